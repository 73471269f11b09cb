package proof_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

var formats = []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON}

// generate returns a ledger's data objects, in order.
func generate(t testing.TB, o ledgergen.Options) (ledgergen.Ledger, [][]byte) {
	t.Helper()
	var objects [][]byte
	ledger, err := ledgergen.Generate(o, func(object ledgergen.Object) error {
		if object.First >= 0 {
			objects = append(objects, bytes.Clone(object.Body))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ledger, objects
}

// eachBlock reads the blocks of objects.
func eachBlock(t testing.TB, objects [][]byte, do func(*journal.Block)) {
	t.Helper()
	for i, body := range objects {
		r, err := journal.NewReader(bytes.NewReader(body), journal.Options{Object: fmt.Sprintf("object%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			do(b)
		}
	}
}

func TestTrueLedgersAreProven(t *testing.T) {
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			ledger, objects := generate(t, ledgergen.Options{Seed: 3, Documents: 400, Format: format})
			var v proof.Verifier
			var revisions, blocks proof.Counts
			deletions := 0
			eachBlock(t, objects, func(b *journal.Block) {
				c := v.Verify(b)
				blocks[c.Verdict]++
				for _, verdict := range c.Revisions {
					revisions[verdict]++
				}
				deletions += c.Deletions[proof.DeletionOfNull]
				for _, f := range c.Findings {
					if format != ledgergen.JSON || f.Verdict != proof.TypeUnproven {
						t.Error(f.String())
					}
				}
			})
			t.Log(blocks, revisions, deletions)
			if n := revisions.Total() - revisions[proof.Opaque]; n != ledger.Revisions() {
				t.Errorf("verdicts on %d revisions, want %d", n, ledger.Revisions())
			}
			want := proof.Counts{}
			want[proof.Proven] = ledger.Blocks
			if format != ledgergen.JSON && blocks != want {
				t.Errorf("blocks: got %v, want %v", blocks, want)
			}
			if revisions[proof.Redacted] == 0 || revisions[proof.Opaque] == 0 || deletions == 0 {
				t.Errorf("the ledger lacks redactions, deletions or revisions of QLDB's own: %v, %d deletions", revisions, deletions)
			}
		})
	}
}

func TestVerifyingReusesItsMemory(t *testing.T) {
	for _, format := range formats {
		_, objects := generate(t, ledgergen.Options{Seed: 3, Documents: 40, Format: format, BlocksPerObject: 1000})
		var v proof.Verifier
		eachBlock(t, objects, func(b *journal.Block) {
			v.Verify(b) // makes its buffers
			if format == ledgergen.JSON && len(v.Verify(b).Findings) > 0 {
				return // findings are made of new strings
			}
			if n := testing.AllocsPerRun(3, func() { v.Verify(b) }); n > 0 && format != ledgergen.JSON {
				t.Errorf("%s, block %d of %d revisions: %v allocations", format, b.SequenceNo, len(b.Revisions), n)
			}
		})
	}
}
