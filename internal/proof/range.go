package proof

import (
	"encoding/json"
	"fmt"
	"math/bits"
)

// A Range is a compact range of the Merkle tree over all blocks: the roots of
// the largest aligned subtrees that its leaves are made of. Neighbouring ranges
// join without their leaves, so a tree can be hashed in parts, by whoever has
// them. The zero Range is empty and begins at leaf 0.
type Range struct {
	first, next uint64
	roots       []Hash
}

// RangeFrom returns an empty range that begins at leaf first.
func RangeFrom(first uint64) Range { return Range{first: first, next: first} }

// First returns the number of the range's first leaf.
func (r *Range) First() uint64 { return r.first }

// Next returns the number of the leaf behind the last one.
func (r *Range) Next() uint64 { return r.next }

// Clone copies the range.
func (r *Range) Clone() Range {
	return Range{r.first, r.next, append([]Hash(nil), r.roots...)}
}

// Add appends a leaf.
func (r *Range) Add(leaf Hash) { r.push(leaf, 0) }

// push appends the root of a subtree of 2^level leaves, which is aligned, and
// joins it with what is complete then.
func (r *Range) push(root Hash, level int) {
	at := r.next
	r.next += 1 << level
	// The subtree is a right child whose left sibling lies within the range: the
	// two become one, and so on.
	for at>>level&1 == 1 && at-1<<level >= r.first {
		last := len(r.roots) - 1
		root = Dot(r.roots[last], root)
		r.roots = r.roots[:last]
		at -= 1 << level
		level++
	}
	r.roots = append(r.roots, root)
}

// Join appends the leaves of another range, which begins where r ends.
func (r *Range) Join(right *Range) error {
	if r.next != right.first {
		return fmt.Errorf("join ranges of leaves: one ends before leaf %d, the other begins at %d", r.next, right.first)
	}
	at := right.first
	for _, root := range right.roots {
		level := levelAt(at, right.next)
		r.push(root, level)
		at += 1 << level
	}
	return nil
}

// levelAt is the level of the largest aligned subtree that begins at leaf at and
// ends before leaf next.
func levelAt(at, next uint64) int {
	level := bits.Len64(next-at) - 1
	if at != 0 {
		level = min(level, bits.TrailingZeros64(at))
	}
	return level
}

// rootsOf is the number of subtrees that the leaves from first to before next
// are made of.
func rootsOf(first, next uint64) int {
	n := 0
	for first < next {
		first += 1 << levelAt(first, next)
		n++
	}
	return n
}

// Root returns the root of the tree whose leaves are those of the range. Only a
// range from leaf 0 on is a tree of the ledger: ok is false for others.
func (r *Range) Root() (root Hash, ok bool) {
	if r.first != 0 {
		return Hash{}, false
	}
	for i := len(r.roots) - 1; i >= 0; i-- {
		root = Dot(r.roots[i], root)
	}
	return root, true
}

type rangeJSON struct {
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
	Roots []Hash `json:"roots"`
}

// MarshalJSON writes the range; it has 2*64 hashes at most.
func (r Range) MarshalJSON() ([]byte, error) {
	return json.Marshal(rangeJSON{r.first, r.next, append([]Hash{}, r.roots...)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Range) UnmarshalJSON(b []byte) error {
	var j rangeJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read range of leaves: %w", err)
	}
	if j.Next < j.First || j.Next > 1<<63 || len(j.Roots) != rootsOf(j.First, j.Next) {
		return fmt.Errorf("read range of leaves: %d roots are not those of leaves %d to before %d", len(j.Roots), j.First, j.Next)
	}
	*r = Range{j.First, j.Next, j.Roots}
	return nil
}
