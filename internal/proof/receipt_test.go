package proof_test

import (
	"bytes"
	"encoding/hex"

	"os"
	"os/exec"
	"path/filepath"

	"strings"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// A checker is receiptcheck, built and run as a program of its own.
type checker struct{ program, file string }

func newChecker(t *testing.T) checker {
	t.Helper()
	dir := t.TempDir()
	c := checker{filepath.Join(dir, "receiptcheck"), filepath.Join(dir, "receipt.json")}
	if out, err := exec.Command("go", "build", "-o", c.program, "../receiptcheck").CombinedOutput(); err != nil {
		t.Fatalf("build receiptcheck: %v\n%s", err, out)
	}
	return c
}

// check runs the program; digest "" is none.
func (c checker) check(t *testing.T, receipt []byte, digest string) (words string, accepted bool) {
	t.Helper()
	if err := os.WriteFile(c.file, receipt, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(c.program, "-digest", digest, c.file).CombinedOutput()
	if _, exit := err.(*exec.ExitError); err != nil && !exit || strings.Contains(string(out), "panic") || (err == nil) == strings.HasPrefix(string(out), "REJECTED: ") {
		t.Fatalf("receiptcheck: %v\n%s", err, out)
	}
	return string(out), err == nil
}

// eachReceipt makes the receipts of a ledger.
func eachReceipt(t *testing.T, o ledgergen.Options, do func(b *journal.Block, revision int, receipt []byte, digest proof.Hash)) {
	t.Helper()
	ledger, objects := generate(t, o)
	var leaves []proof.Hash
	eachBlock(t, objects, func(b *journal.Block) { leaves = append(leaves, parse(t, b.Hash)) })
	r := proof.Receipts{Ledger: ledger.Name, Digest: ledger.Digest, Tip: ledger.Tip, From: "the ledger's maker"}
	if o.Format == ledgergen.JSON {
		r.Types = learn(t, objects)
	}
	eachBlock(t, objects, func(b *journal.Block) {
		path, err := proof.Inclusion(uint64(b.SequenceNo), uint64(len(leaves)), proof.Leaves(leaves))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Revisions {
			receipt, err := r.Append(nil, b, i, path)
			if b.Revisions[i].HashOnly() {
				if err == nil {
					t.Error("a receipt of a hash alone")
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			do(b, i, receipt, ledger.Digest)
		}
	})
}

func TestReceiptsOfEveryRevisionAreAccepted(t *testing.T) {
	c := newChecker(t)
	var want []string
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			kinds := map[string]int{}
			var got []string
			eachReceipt(t, ledgergen.Options{Seed: 9, Documents: 60, Format: format}, func(b *journal.Block, i int, receipt []byte, digest proof.Hash) {
				words, ok := c.check(t, receipt, hex.EncodeToString(digest.Bytes()))
				if !ok || !strings.HasPrefix(words, "PROVEN") {
					t.Errorf("block %d, revision %d: %s\n%s", b.SequenceNo, i, words, receipt)
				}
				for _, kind := range []string{`"Data": [`, `"Deletion": "null"`, `"timestamp"`, `"decimal"`, `"float"`, `"blob"`, `"null"`, `"list"`} {
					if bytes.Contains(receipt, []byte(kind)) {
						kinds[kind]++
					}
				}
				if b.Revisions[i].Redacted() {
					kinds["redacted"]++
				}
				shown, _, _ := bytes.Cut(receipt, []byte(` "NotCovered"`))
				got = append(got, string(shown))
			})
			if len(kinds) != 9 {
				t.Errorf("the ledger lacks some kinds: %v", kinds)
			}
			if want == nil {
				want = got
			}
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("the receipt is another than from %s:\n%s\n%s", formats[0], got[i], want[i])
				}
			}
		})
	}
}
