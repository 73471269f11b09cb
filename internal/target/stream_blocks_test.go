package target_test

import (
	"errors"
	"fmt"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// wholeBlock is what a block brings, n revisions and its summary.
func wholeBlock(block int64, n int) []change.Item {
	var items []change.Item
	last := summary(block)
	for i := range n {
		r := revision{doc: fmt.Sprintf("doc%d-%d", block, i), op: "I", table: "T1", value: "x"}
		item := r.item(block)
		last.Block.Revisions = append(last.Block.Revisions, item.Revision.Hash)
		items = append(items, item)
	}
	return append(items, last)
}

func TestBlocksThatComeWholeWaitForThoseBeforeThem(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.load(p)
	s := b.enable(p.follows())
	waiting := func() (n int) {
		t.Helper()
		if err := b.look.QueryRow(t.Context(), `SELECT count(*) FROM godwit.stream_block`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	step := func(name string, items []change.Item, gapFree int64, notes int) {
		t.Helper()
		if done := b.apply(s, items...); done.GapFree != gapFree || waiting() != notes {
			t.Fatalf("%s: got gap-free block %d and notes of %d blocks, want %d and %d", name, done.GapFree, waiting(), gapFree, notes)
		}
	}
	step("the next one", wholeBlock(101, 2), 101, 0)
	step("two behind a gap", append(wholeBlock(103, 2), wholeBlock(104, 1)...), 101, 2)
	step("one of them again", wholeBlock(103, 2), 101, 2)
	part := wholeBlock(102, 2)
	step("a revision of the one between", part[:1], 101, 3)
	step("all of that, and one more", append(part, wholeBlock(105, 0)...), 105, 0)
	step("what is done", wholeBlock(102, 2), 105, 0)
	if got := b.status(); got.OpenBlocks != 0 || got.GapFree != 105 {
		t.Errorf("got %+v, want no open block", got)
	}
}

func TestBlocksThatComeWholeAreHeldAgainstOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.load(p)
	s := b.enable(p.follows())
	refused := func(name string, items []change.Item) {
		t.Helper()
		var integrity *target.IntegrityError
		if _, err := b.loader.Apply(t.Context(), s, items); !errors.As(err, &integrity) {
			t.Errorf("%s: got %v, want an integrity error", name, err)
		}
	}
	b.apply(s, wholeBlock(101, 1)...)
	other := wholeBlock(102, 1)
	other[1].Block.PreviousHash = blockHash(7)
	refused("another block before it", other)
	alien := revision{doc: "alien", op: "I", table: "T1", value: "x"}
	b.apply(s, alien.item(102))
	refused("a revision that another request brought is not its own", wholeBlock(102, 1))
	refused("a revision that this request brings is not its own", append([]change.Item{revision{doc: "other", op: "I", table: "T1", value: "x"}.item(103)}, wholeBlock(103, 1)...))
	// The revision by itself is applied: its block is what nobody has.
	if got := b.status(); got.GapFree != 101 || got.OpenBlocks != 2 {
		t.Errorf("got %+v, want block 101 gap-free, 102 and 103 open", got)
	}
}
