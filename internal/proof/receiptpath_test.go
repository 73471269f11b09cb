package proof_test

import (
	"slices"
	"testing"

	"godwit/internal/proof"
)

func TestInclusionBehindIsInclusion(t *testing.T) {
	var leaves []proof.Hash
	for i := range 40 {
		leaves = append(leaves, number(i))
	}
	for size := uint64(1); size <= 40; size++ {
		all := nodesOf(leaves[:size])
		for last := range size {
			path, err := proof.Inclusion(last, size, all)
			if err != nil {
				t.Fatal(err)
			}
			for leaf := range last + 1 {
				want, err := proof.Inclusion(leaf, size, all)
				if err != nil {
					t.Fatal(err)
				}
				got, err := proof.InclusionBehind(leaf, size, nodesOf(leaves[:last+1]), last, path)
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("block %d of %d by block %d: %v, %v, want %v", leaf, size, last, got, err, want)
				}
			}
			for _, wrong := range [][2]uint64{{last + 1, last}, {0, size}} {
				if _, err := proof.InclusionBehind(wrong[0], size, all, wrong[1], path); err == nil {
					t.Errorf("block %d of %d by block %d is proven", wrong[0], size, wrong[1])
				}
			}
			if _, err := proof.InclusionBehind(0, size, all, last, append(path, number(1))); err == nil {
				t.Error("a proof that is too long")
			}
			if _, err := proof.InclusionBehind(0, size, nodesOf(nil), last, path); err == nil {
				t.Error("a proof without hashes")
			}
		}
	}
}
