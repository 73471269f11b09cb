package proof_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// stitch joins runs in the order of their blocks, whatever the order they are in.
func stitch(runs []proof.Run) (*proof.Chain, error) {
	sorted := slices.Clone(runs)
	slices.SortStableFunc(sorted, func(a, b proof.Run) int { return int(a.First - b.First) })
	c := &proof.Chain{}
	for i := range sorted {
		if err := c.Add(&sorted[i]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func TestRangesJoinToTheTree(t *testing.T) {
	for n := uint64(1); n < 70; n++ {
		var tree proof.Tree
		for i := range n {
			tree.Add(number(int(i)))
		}
		for cut := uint64(0); cut <= n; cut++ {
			left, right := proof.RangeFrom(0), proof.RangeFrom(cut)
			for i := range n {
				if i < cut {
					left.Add(number(int(i)))
				} else {
					right.Add(number(int(i)))
				}
			}
			b, err := json.Marshal(right)
			if err != nil {
				t.Fatal(err)
			}
			var read proof.Range
			if err := json.Unmarshal(b, &read); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
			if err := left.Join(&read); err != nil {
				t.Fatal(err)
			}
			if got, ok := left.Root(); !ok || got != tree.Root() {
				t.Fatalf("%d leaves cut at %d: got %v, want %v", n, cut, got, tree.Root())
			}
			if _, ok := right.Root(); ok != (cut == 0) {
				t.Fatalf("a range from leaf %d has a root: %v", cut, ok)
			}
			if cut < n && left.Join(&right) == nil {
				t.Fatal("the same leaves join twice")
			}
		}
	}
}

func TestRangesFromOutsideAreChecked(t *testing.T) {
	for _, s := range []string{
		`{"first":2,"next":1,"roots":[]}`, `{"first":0,"next":3,"roots":[]}`, `{"first":0,"next":18446744073709551615,"roots":[]}`,
		`{"first":-1}`, `{"first":0,"next":1,"roots":["AAAA"]}`, `[]`,
	} {
		var r proof.Range
		if err := json.Unmarshal([]byte(s), &r); err == nil {
			t.Errorf("%s: read as %v", s, r)
		}
	}
}

// recorded verifies a ledger in pieces, cut before the given blocks.
func recorded(t *testing.T, objects [][]byte, marks []int64, cut func(int64) bool) []proof.Run {
	t.Helper()
	var v proof.Verifier
	var runs []proof.Run
	r := proof.Recorder{Marks: marks}
	eachBlock(t, objects, func(b *journal.Block) {
		if cut(b.SequenceNo) {
			runs = append(runs, r.Runs()...)
			r = proof.Recorder{Marks: marks}
		}
		if err := r.Add(b, v.Verify(b)); err != nil {
			t.Fatal(err)
		}
	})
	runs = append(runs, r.Runs()...)
	b, err := json.Marshal(runs)
	if err != nil {
		t.Fatal(err)
	}
	runs = nil
	if err := json.Unmarshal(b, &runs); err != nil {
		t.Fatal(err)
	}
	return runs
}

func TestRunsInAnyOrderAreStitchedToTheDigest(t *testing.T) {
	ledger, objects := generate(t, ledgergen.Options{Seed: 5, Documents: 600})
	whole := recorded(t, objects, []int64{0, 77, 100}, func(int64) bool { return false })
	chance := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		runs := recorded(t, objects, []int64{77, 100, 0}, func(int64) bool { return chance.IntN(9) == 0 })
		chance.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
		chain, err := stitch(runs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, chain.Runs, cmp.AllowUnexported(proof.Range{}, proof.Hash{})); diff != "" {
			t.Fatalf("stitched runs differ from one:\n%s", diff)
		}
		if got, ok := chain.Digest(ledger.Tip); !ok || got != ledger.Digest {
			t.Fatalf("digest: got %v, %v, want %v", got, ok, ledger.Digest)
		}
		var tree proof.Tree
		eachBlock(t, objects, func(b *journal.Block) {
			tree.Add(parse(t, b.Hash))
			got, ok := chain.Digest(b.SequenceNo)
			hash, okHash := chain.Block(b.SequenceNo)
			marked := b.SequenceNo == 0 || b.SequenceNo == 77 || b.SequenceNo == 100 || b.SequenceNo == ledger.Tip
			if ok != marked || okHash != marked || marked && (got != tree.Root() || hash != parse(t, b.Hash)) {
				t.Errorf("digest at block %d: got %v, %v, want %v, %v", b.SequenceNo, got, ok, tree.Root(), marked)
			}
		})
	}
}

func TestStitchNamesWhatDoesNotFit(t *testing.T) {
	_, objects := generate(t, ledgergen.Options{Seed: 5, Documents: 300})
	_, others := generate(t, ledgergen.Options{Seed: 6, Documents: 300})
	cut := func(at ...int64) func(int64) bool {
		return func(n int64) bool {
			for _, a := range at {
				if a == n {
					return true
				}
			}
			return false
		}
	}
	runs := recorded(t, objects, nil, cut(20, 40))
	foreign := recorded(t, others, nil, cut(20, 40))

	gap, err := stitch([]proof.Run{runs[2], runs[0]})
	if err != nil || gap.Whole() || len(gap.Runs) != 2 {
		t.Errorf("a gap: %v, %v", gap, err)
	} else if _, ok := gap.Digest(gap.Last()); ok {
		t.Error("a digest across a gap")
	}
	var overlap *proof.OverlapError
	if _, err := stitch([]proof.Run{runs[0], runs[1], runs[1]}); !errors.As(err, &overlap) || overlap.First != 20 || overlap.Last != 39 {
		t.Errorf("an overlap: %v", err)
	}
	var strands *proof.StrandsError
	if _, err := stitch([]proof.Run{runs[0], foreign[1]}); !errors.As(err, &strands) {
		t.Errorf("two strands: %v", err)
	}
	foreign[1].Strand = runs[0].Strand
	var broken *proof.BrokenChainError
	if _, err := stitch([]proof.Run{runs[0], foreign[1]}); !errors.As(err, &broken) || broken.Block != 20 || broken.Want != runs[0].Hash || broken.Got != foreign[1].Previous {
		t.Errorf("a splice: %v", err)
	}
	var on proof.Chain
	if err := on.Add(&runs[0]); err != nil {
		t.Error(err)
	}
	if err := on.Add(&foreign[1]); !errors.As(err, &broken) || len(on.Runs) != 2 {
		t.Errorf("a chain that grows over a splice: %v, %d runs", err, len(on.Runs))
	}
	if c := on.Conclude(nil); c.Level != 0 || len(c.Contradictions) != 1 || !strings.Contains(c.Contradictions[0], "block 20 of strand") {
		t.Errorf("the conclusion on a splice: %v", c.Contradictions)
	}
	runs[1].First++
	if _, err := stitch(runs); err == nil {
		t.Error("a run with leaves that are not its own is taken")
	}
	late, err := stitch(runs[2:])
	if err != nil || late.First() != 40 {
		t.Errorf("a late start: %v", err)
	} else if _, ok := late.Digest(late.Last()); ok {
		t.Error("a digest without the first blocks")
	}
	if empty, err := stitch(nil); err != nil || empty.First() != -1 || empty.Last() != -1 {
		t.Errorf("nothing: %v, %v", empty, err)
	}
}
