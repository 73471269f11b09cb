package proof

// Merkle returns the root over leaves: neighbours are joined by Dot, an odd
// last one rises unchanged, until one is left. No leaves give nothing. The
// shape is that of RFC 6962, without its prefixes.
func Merkle(leaves []Hash) Hash {
	var t Tree
	for _, h := range leaves {
		t.Add(h)
	}
	return t.Root()
}

// A Tree computes the same root leaf by leaf, in memory that grows with the
// logarithm of the leaves. A Tree over the hashes of all blocks from the first
// one has, as its root, the ledger's digest at the block added last.
type Tree struct {
	n       uint64
	peaks   []Hash // roots of the perfect subtrees that n is made of, largest first
	watched int    // index in peaks of the subtree with the watched leaf, plus 1; 0: none
	path    []Hash // from the watched leaf up to its peak
}

// Clone copies the tree, the watched leaf included.
func (t *Tree) Clone() Tree {
	c := *t
	c.peaks = append([]Hash(nil), t.peaks...)
	c.path = append([]Hash(nil), t.path...)
	return c
}

// reset makes the tree empty and keeps its memory.
func (t *Tree) reset() { *t = Tree{peaks: t.peaks[:0]} }

// Add appends a leaf.
func (t *Tree) Add(leaf Hash) {
	t.peaks = append(t.peaks, leaf)
	// Each trailing 1 of the old count is a perfect subtree of the size of the
	// one at the end: the two become one.
	for n := t.n; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		left, right := t.peaks[last-1], t.peaks[last]
		switch t.watched {
		case last: // left
			t.path = append(t.path, right)
		case last + 1: // right
			t.path = append(t.path, left)
			t.watched = last
		}
		t.peaks = append(t.peaks[:last-1], Dot(left, right))
	}
	t.n++
}

// Root returns the root over the leaves added so far.
func (t *Tree) Root() Hash {
	var root Hash
	for i := len(t.peaks) - 1; i >= 0; i-- {
		root = Dot(t.peaks[i], root)
	}
	return root
}

// Watch makes Path follow the next leaf that Add appends, and no other.
func (t *Tree) Watch() {
	t.watched, t.path = len(t.peaks)+1, nil
}

// Path returns the proof of the watched leaf: Fold(leaf, Path()) == Root(). It
// is nil before Watch and while the watched leaf is still to come.
func (t *Tree) Path() []Hash {
	if t.watched == 0 || t.watched > len(t.peaks) {
		return nil
	}
	path := append([]Hash{}, t.path...)
	var right Hash
	for i := len(t.peaks) - 1; i >= t.watched; i-- {
		right = Dot(t.peaks[i], right)
	}
	if !right.IsEmpty() {
		path = append(path, right)
	}
	for i := t.watched - 2; i >= 0; i-- {
		path = append(path, t.peaks[i])
	}
	return path
}
