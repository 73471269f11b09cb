package proof_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// nodesOf makes Nodes of the hashes of all blocks from 0 on.
func nodesOf(hashes []proof.Hash) proof.Nodes {
	return func(level int, index uint64) (proof.Hash, error) {
		from, to := index<<level, (index+1)<<level
		if to > uint64(len(hashes)) {
			return proof.Hash{}, fmt.Errorf("hash of block %d is not there: there are %d", to-1, len(hashes))
		}
		return proof.Merkle(hashes[from:to]), nil
	}
}

func TestInclusionIsWhatTheTreeFollows(t *testing.T) {
	var leaves []proof.Hash
	for size := 1; size < 70; size++ {
		leaves = append(leaves, number(size))
		root := proof.Merkle(leaves)
		for leaf := range size {
			path, err := proof.Inclusion(uint64(leaf), uint64(size), nodesOf(leaves))
			if err != nil {
				t.Fatal(err)
			}
			var tree proof.Tree
			for i, h := range leaves {
				if i == leaf {
					tree.Watch()
				}
				tree.Add(h)
			}
			if !slices.Equal(path, tree.Path()) || proof.Fold(leaves[leaf], path) != root {
				t.Fatalf("leaf %d of %d: got %v, want %v", leaf, size, path, tree.Path())
			}
			if n := proof.InclusionLength(uint64(leaf), uint64(size)); n != len(path) {
				t.Fatalf("leaf %d of %d: length %d, want %d", leaf, size, n, len(path))
			}
		}
	}
	if _, err := proof.Inclusion(5, 5, nodesOf(leaves)); err == nil {
		t.Error("a block behind the digest is proven")
	}
	if _, err := proof.Inclusion(5, 1000, nodesOf(leaves)); err == nil {
		t.Error("a proof without all hashes")
	}
}

func TestConsistencyBindsTwoDigests(t *testing.T) {
	var leaves []proof.Hash
	for i := range 40 {
		leaves = append(leaves, number(i))
	}
	root := func(n int) proof.Hash { return proof.Merkle(leaves[:n]) }
	for after := 1; after <= len(leaves); after++ {
		for before := 1; before <= after; before++ {
			p, err := proof.Consistency(uint64(before), uint64(after), nodesOf(leaves))
			if err != nil {
				t.Fatal(err)
			}
			check := func(before, after int, b, a proof.Hash, p []proof.Hash) error {
				return proof.CheckConsistency(uint64(before), uint64(after), b, a, p)
			}
			if err := check(before, after, root(before), root(after), p); err != nil {
				t.Fatalf("%d in %d: %v", before, after, err)
			}
			wrong := []error{
				check(before, after, number(999), root(after), p),
				check(before, after, root(before), number(999), p),
				check(before, after, root(before), root(after), append(slices.Clone(p), number(1))),
			}
			if len(p) > 0 {
				wrong = append(wrong, check(before, after, root(before), root(after), p[1:]))
				for i := range p {
					altered := slices.Clone(p)
					altered[i] = number(999)
					wrong = append(wrong, check(before, after, root(before), root(after), altered))
				}
			}
			for i, err := range wrong {
				if !errors.Is(err, proof.ErrInconsistent) {
					t.Fatalf("%d in %d, wrong in way %d: %v", before, after, i, err)
				}
			}
		}
	}
	for _, n := range [][2]uint64{{0, 5}, {6, 5}} {
		if _, err := proof.Consistency(n[0], n[1], nodesOf(leaves)); err == nil {
			t.Errorf("%v: a proof", n)
		}
		if proof.CheckConsistency(n[0], n[1], root(1), root(1), nil) == nil {
			t.Errorf("%v: accepted", n)
		}
	}
}

func TestEveryRevisionHasAProofMadeOfTheArchive(t *testing.T) {
	ledger, objects := generate(t, ledgergen.Options{Seed: 8, Documents: 150})
	var leaves []proof.Hash
	eachBlock(t, objects, func(b *journal.Block) { leaves = append(leaves, parse(t, b.Hash)) })
	var v proof.Verifier
	n := 0
	eachBlock(t, objects, func(b *journal.Block) {
		c := v.Verify(b)
		up, err := proof.Inclusion(uint64(b.SequenceNo), uint64(len(leaves)), nodesOf(leaves))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Revisions {
			path, err := proof.RevisionPath(b, c, i)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if got := proof.Fold(parse(t, b.Revisions[i].Hash), append(path, up...)); got != ledger.Digest {
				t.Errorf("block %d, revision %d: leads to %v, want %v", b.SequenceNo, i, got, ledger.Digest)
			}
		}
		if _, err := proof.RevisionPath(b, c, len(b.Revisions)); err == nil {
			t.Error("a revision that is not there is proven")
		}
	})
	if n < 200 {
		t.Errorf("proved %d revisions only", n)
	}
}

func TestProofsSkipWhatIsNothing(t *testing.T) {
	h := number(1)
	b := &journal.Block{SequenceNo: 1, Revisions: []journal.Revision{{Hash: h.Bytes()}}, EntriesHashList: [][]byte{{}, h.Bytes()}}
	path, err := proof.RevisionPath(b, &proof.Check{Block: 1, Members: proof.Members{Revisions: 1}}, 0)
	if err != nil || len(path) != 0 {
		t.Errorf("got %v, %v, want no hashes", path, err)
	}
}
