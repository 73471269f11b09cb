package proof

import (
	"errors"
	"fmt"
	"math/bits"

	"godwit/internal/journal"
)

// Nodes gives the roots of perfect subtrees of the tree over all blocks: of
// 2^level leaves, the first of them index * 2^level. Level 0 are block hashes. See
// HashFiles.
type Nodes func(level int, index uint64) (Hash, error)

// root returns the root over the leaves from first, which is aligned to what lies
// behind it, to before next.
func (n Nodes) root(first, next uint64) (Hash, error) {
	r := RangeFrom(first)
	for first < next {
		level := levelAt(first, next)
		h, err := n(level, first>>level)
		if err != nil {
			return Hash{}, err
		}
		r.roots = append(r.roots, h)
		first += 1 << level
	}
	var root Hash
	for i := len(r.roots) - 1; i >= 0; i-- {
		root = Dot(r.roots[i], root)
	}
	return root, nil
}

// Inclusion makes the proof that block leaf is under the digest over blocks 0 to
// size-1: Fold(its hash, proof) is the digest. It is what GetBlock gave.
func Inclusion(leaf, size uint64, nodes Nodes) ([]Hash, error) {
	if leaf >= size {
		return nil, fmt.Errorf("prove block %d: the digest covers blocks up to %d", leaf, int64(size)-1)
	}
	path := []Hash{}
	for level := 0; (size-1)>>level > 0; level++ {
		first := (leaf>>level ^ 1) << level // of the sibling
		if first >= size {
			continue // there is none: the subtree rises unchanged
		}
		h, err := nodes.root(first, min(first+1<<level, size))
		if err != nil {
			return nil, fmt.Errorf("prove block %d: %w", leaf, err)
		}
		path = append(path, h)
	}
	return path, nil
}

// InclusionLength is the number of hashes in the proof of block leaf under a
// digest over size blocks. A proof of another length is none.
func InclusionLength(leaf, size uint64) int {
	n := 0
	for level := 0; size > 0 && (size-1)>>level > 0; level++ {
		if (leaf>>level^1)<<level < size {
			n++
		}
	}
	return n
}

// Consistency makes the proof that the digest over the first before blocks is of
// a beginning of what the digest over after blocks covers: that nothing before
// was altered between the two. It is the consistency proof of RFC 6962, section
// 2.1.2, over QLDB's tree.
func Consistency(before, after uint64, nodes Nodes) ([]Hash, error) {
	if before == 0 || before > after {
		return nil, fmt.Errorf("prove that %d blocks are the beginning of %d: want at least one, and no more", before, after)
	}
	proof := []Hash{}
	add := func(first, next uint64) error {
		h, err := nodes.root(first, next)
		proof = append(proof, h)
		return err
	}
	first, next, whole := uint64(0), after, true
	var above [][2]uint64 // what the proof ends with, in reverse
	for before != next {
		half := uint64(1) << (bits.Len64(next-first-1) - 1)
		if before <= first+half {
			above = append(above, [2]uint64{first + half, next})
			next = first + half
		} else {
			above = append(above, [2]uint64{first, first + half})
			first += half
			whole = false
		}
	}
	var err error
	if !whole {
		err = add(first, next)
	}
	for i := len(above) - 1; i >= 0 && err == nil; i-- {
		err = add(above[i][0], above[i][1])
	}
	if err != nil {
		return nil, fmt.Errorf("prove that %d blocks are the beginning of %d: %w", before, after, err)
	}
	return proof, nil
}

// ErrInconsistent says that a proof does not show one digest to be of a
// beginning of what another covers.
var ErrInconsistent = errors.New("the proof does not lead to both digests")

// CheckConsistency checks a proof that Consistency made, by RFC 9162, section
// 2.1.4.2. The error is ErrInconsistent, or about the numbers.
func CheckConsistency(before, after uint64, digestBefore, digestAfter Hash, proof []Hash) error {
	if before == 0 || before > after {
		return fmt.Errorf("check that %d blocks are the beginning of %d: want at least one, and no more", before, after)
	}
	if before == after {
		if len(proof) > 0 || digestBefore != digestAfter {
			return ErrInconsistent
		}
		return nil
	}
	if before&(before-1) == 0 { // a perfect tree: its root is not repeated
		proof = append([]Hash{digestBefore}, proof...)
	}
	if len(proof) == 0 {
		return ErrInconsistent
	}
	f, s := before-1, after-1
	for f&1 == 1 {
		f, s = f>>1, s>>1
	}
	old, new := proof[0], proof[0]
	for _, h := range proof[1:] {
		if s == 0 {
			return ErrInconsistent
		}
		if f&1 == 1 || f == s {
			old, new = Dot(h, old), Dot(h, new)
			for f&1 == 0 && f != 0 {
				f, s = f>>1, s>>1
			}
		} else {
			new = Dot(new, h)
		}
		f, s = f>>1, s>>1
	}
	if s != 0 || old != digestBefore || new != digestAfter {
		return ErrInconsistent
	}
	return nil
}

// RevisionPath is the part of a revision's proof within its block: Fold(the
// revision's hash, path) is the block's hash. The block's own proof continues it
// up to a digest. c is the block's check: its revisions have to be in its
// entriesHashList.
func RevisionPath(b *journal.Block, c *Check, revision int) ([]Hash, error) {
	if c.Block != b.SequenceNo || revision < 0 || revision >= len(b.Revisions) || c.Members.Revisions < 0 {
		return nil, fmt.Errorf("prove revision %d of block %d: it is not among %d that the block's entries hold", revision, b.SequenceNo, len(b.Revisions))
	}
	path := []Hash{}
	climb := func(n, watched int, leaf func(int) []byte) error {
		var t Tree
		for i := range n {
			if i == watched {
				t.Watch()
			}
			h, err := ParseHash(leaf(i))
			if err != nil {
				return fmt.Errorf("prove revision %d of block %d: %w", revision, b.SequenceNo, err)
			}
			t.Add(h)
		}
		for _, h := range t.Path() {
			if !h.IsEmpty() { // an empty member is the identity
				path = append(path, h)
			}
		}
		return nil
	}
	err := climb(len(b.Revisions), revision, func(i int) []byte { return b.Revisions[i].Hash })
	if err == nil {
		err = climb(len(b.EntriesHashList), c.Members.Revisions, func(i int) []byte { return b.EntriesHashList[i] })
	}
	if err != nil {
		return nil, err
	}
	if !c.Previous.IsEmpty() {
		path = append(path, c.Previous)
	}
	return path, nil
}
