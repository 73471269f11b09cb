package ledgergen_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/proof"

	"github.com/google/go-cmp/cmp"
)

func journal(t *testing.T, o ledgergen.Options) *ledgergen.Journal {
	t.Helper()
	j, err := ledgergen.NewJournal(o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// everything is a window around all blocks.
func everything(j *ledgergen.Journal) ledgergen.Export {
	return ledgergen.Export{
		ID: "id", Ledger: ledgergen.Name, Start: j.At(0), End: j.At(j.Len() - 1).Add(time.Millisecond),
		Bucket: "bucket", Prefix: "p", Encryption: "SSE_S3",
	}
}

func TestJournalExportsTheBytesThatGenerateWrites(t *testing.T) {
	o := ledgergen.Options{Seed: 6, Documents: 700, Unmappable: 7, Prefix: "p", BlocksPerObject: 90}
	j := journal(t, o)
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		o.Format = format
		want := generate(t, o)
		x := everything(j)
		x.Format = format
		got := map[string][]byte{}
		var order []string
		if err := j.Export(x, func(o ledgergen.Object) error {
			got[o.Key] = bytes.Clone(o.Body)
			order = append(order, o.Key)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, o := range want.data() {
			if !bytes.Equal(got[o.Key], o.Body) {
				t.Errorf("%s: object %s has other bytes, or is missing", format, o.Key)
			}
		}
		if len(got) != len(want.data())+2 || order[0] != "p/id.started.manifest" || order[len(order)-1] != "p/id."+j.Strand()+".completed.manifest" {
			t.Errorf("%s: %d objects for %d of data, from %s to %s", format, len(got), len(want.data()), order[0], order[len(order)-1])
		}
		if j.Len() != want.ledger.Blocks || j.Digest(j.Len()-1) != want.ledger.Digest {
			t.Errorf("%s: the journal has %d blocks, want %d, or another digest", format, j.Len(), want.ledger.Blocks)
		}
	}
}

func TestJournalProvesEveryBlockAndRevision(t *testing.T) {
	j := journal(t, ledgergen.Options{Seed: 3, Documents: 60})
	revisions := 0
	for n := range j.Len() {
		b, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		if b.Hash != j.Hash(n) || b.Sequence != n || !b.At.Equal(j.At(n)) {
			t.Fatalf("block %d says that it is %d at %s", n, b.Sequence, b.At)
		}
		for tip := n; tip < j.Len(); tip += 1 + tip/7 {
			if got := proof.Fold(b.Hash, j.Path(n, tip)); got != j.Digest(tip) {
				t.Fatalf("block %d under tip %d: the path leads elsewhere", n, tip)
			}
		}
		for _, r := range b.Revisions {
			revisions++
			path := b.Path(r)
			if got := proof.Fold(r.Hash, path); got != b.Hash {
				t.Fatalf("revision %d of document %s: the path leads elsewhere", r.Version, r.DocumentID)
			}
			for _, h := range path {
				if h.IsEmpty() {
					t.Errorf("block %d: a proof holds nothing", n)
				}
			}
			if text := b.RevisionText(r); !strings.Contains(text, r.DocumentID) || !strings.Contains(b.Text(), text) {
				t.Errorf("block %d: revision %s is not in it", n, text)
			}
		}
	}
	if l, err := j.Oracle(j.Len()); err != nil || l.Revisions() != int64(revisions) || revisions == 0 {
		t.Errorf("%d revisions, want %d (%v)", revisions, l.Revisions(), err)
	}
	if _, err := j.Block(j.Len()); err == nil {
		t.Error("there is a block behind the last one")
	}
}

func TestJournalDigestsAreThoseOfTheDefinition(t *testing.T) {
	j := journal(t, ledgergen.Options{Seed: 3, Documents: 60})
	var tree proof.Tree
	for n := range j.Len() {
		tree.Add(j.Hash(n))
		if j.Digest(n) != tree.Root() {
			t.Fatalf("digest at tip %d is another", n)
		}
	}
}

func TestALedgerIsTheBeginningOfItsLongerLife(t *testing.T) {
	o := ledgergen.Options{Seed: 2, Documents: 500, Unmappable: 5}
	j := journal(t, o)
	for _, blocks := range []int64{1, 2, 3, 14, 40, 41, 42, 43, 100, j.Len() - 1, j.Len()} {
		o.Blocks = blocks
		a := generate(t, o)
		if a.ledger.Blocks != blocks || a.ledger.Tip != blocks-1 || a.ledger.Digest != j.Digest(blocks-1) {
			t.Fatalf("%d blocks: the ledger has %d, or another digest", blocks, a.ledger.Blocks)
		}
		// The oracle of a shorter ledger counts what is in its blocks.
		audit := newAudit(a.blocks(t))
		audit.run(t)
		oracle, err := j.Oracle(blocks)
		if err != nil {
			t.Fatal(err)
		}
		want := a.ledger
		want.ExportIDs, want.Objects, want.Bytes = nil, 0, 0
		if diff := cmp.Diff(want, oracle, cmp.AllowUnexported(proof.Hash{})); diff != "" {
			t.Errorf("%d blocks: the journal's oracle is another:\n%s", blocks, diff)
		}
		for _, table := range oracle.Tables {
			found := audit.tables[table.ID]
			if found == nil {
				found = &ledgergen.Table{Name: table.Name, ID: table.ID}
			}
			found.Active, found.Refused = table.Active, table.Refused
			if *found != table {
				t.Errorf("%d blocks: %+v, the blocks have %+v", blocks, table, *found)
			}
		}
	}
	for _, blocks := range []int64{j.Len() + 1, 100_000} {
		o.Blocks = blocks
		if _, err := ledgergen.Generate(o, func(ledgergen.Object) error { return nil }); err == nil || !strings.Contains(err.Error(), "ask for more documents") {
			t.Errorf("%d blocks: %v", blocks, err)
		}
		if _, err := j.Oracle(blocks); err == nil {
			t.Errorf("an oracle of %d blocks", blocks)
		}
	}
}

func TestBlocksShareTheirMillisecondAsAsked(t *testing.T) {
	shares := map[int]float64{}
	for _, same := range []int{0, 1, 50, 100} {
		j := journal(t, ledgergen.Options{Seed: 4, Documents: 800, SameTime: same})
		equal := 0
		for n := int64(1); n < j.Len(); n++ {
			if j.At(n).Before(j.At(n - 1)) {
				t.Fatalf("%d: time goes back at block %d", same, n)
			}
			if j.At(n).Equal(j.At(n - 1)) {
				equal++
			}
		}
		shares[same] = float64(equal) / float64(j.Len()-1)
	}
	for same, want := range map[int]float64{0: 0.4, 1: 0.01, 50: 0.5, 100: 1} {
		if got := shares[same]; got < want-0.06 || got > want+0.06 || same == 100 && got != 1 {
			t.Errorf("SameTime %d: %.2f of the blocks share their millisecond", same, got)
		}
	}
}

func TestExportHoldsTheBlocksOfItsWindow(t *testing.T) {
	j := journal(t, ledgergen.Options{Seed: 4, Documents: 400, BlocksPerObject: 9})
	for _, c := range []struct{ first, last, blocks int64 }{{0, 10, 0}, {5, 60, 0}, {5, 60, 30}, {40, 40, 0}, {70, 90, 60}} {
		x := everything(j)
		x.Start, x.End, x.Blocks = j.At(c.first), j.At(c.last), c.blocks
		var got []int64
		if err := j.Export(x, func(o ledgergen.Object) error {
			for n := o.First; n >= 0 && n <= o.Last; n++ {
				got = append(got, n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var want []int64
		for n := range j.Len() {
			if !j.At(n).Before(x.Start) && j.At(n).Before(x.End) && (c.blocks == 0 || n < c.blocks) {
				want = append(want, n)
			}
		}
		if !cmp.Equal(got, want) {
			t.Errorf("window of blocks %d to %d of %d: got %v, want %v", c.first, c.last, c.blocks, got, want)
		}
	}
	full := errors.New("bucket is gone")
	n := 0
	if err := j.Export(everything(j), func(ledgergen.Object) error { n++; return full }); !errors.Is(err, full) || n != 1 {
		t.Errorf("%d writes, %v", n, err)
	}
}

func TestJournalLeavesNoFileBehind(t *testing.T) {
	folder := t.TempDir()
	j, err := ledgergen.NewJournal(ledgergen.Options{Documents: 20}, folder)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if _, err := j.Block(0); err == nil {
		t.Error("a closed journal has blocks")
	}
	if _, err := ledgergen.NewJournal(ledgergen.Options{Documents: 20, Blocks: 4000}, folder); err == nil {
		t.Error("a ledger that is too long is made")
	}
}
