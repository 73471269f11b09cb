package proof_test

import (
	"bytes"
	"strings"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// Where no way to a digest is known, a receipt ends with the hash of its block, and
// says so.
func TestReceiptsMayEndWithTheirBlock(t *testing.T) {
	_, objects := generate(t, ledgergen.Options{Seed: 9, Documents: 20})
	c, n := newChecker(t), 0
	eachBlock(t, objects, func(b *journal.Block) {
		if n == 3 || len(b.Revisions) == 0 || b.Revisions[0].RawData == nil {
			return
		}
		n++
		r := proof.Receipts{From: "the archive begins behind block 0"}
		if _, err := r.Append(nil, b, 0, []proof.Hash{number(1)}); err == nil {
			t.Error("a path that leads nowhere")
		}
		receipt, err := r.Append(nil, b, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for own, want := range map[string]string{
			"":                                "CONSISTENT with the block hash it shows, and no more",
			parse(t, b.Hash).String():         "PROVEN under the block hash you gave",
			number(1).String():                "REJECTED: it does not lead to the digest you gave",
			parse(t, b.PreviousHash).String(): "REJECTED: it does not lead to the digest you gave",
		} {
			if words, _ := c.check(t, receipt, own); !strings.HasPrefix(words, want) {
				t.Errorf("got %s, want %q", words, want)
			}
		}
		for _, change := range [][2]string{
			{`"Digest": null`, `"Digest": ""`},
			{`"Digest": null`, `"Digest": "` + parse(t, b.Hash).String() + `"`},
			{`"ToDigest": []`, `"ToDigest": null`},
			{`"ToDigest": []`, `"ToDigest": ["` + number(1).String() + `"]`},
			{`"Tip":`, `"Tip":1`},
			{`"BlockHash": "`, `"BlockHash": "A`},
		} {
			altered := bytes.Replace(receipt, []byte(change[0]), []byte(change[1]), 1)
			if words, ok := c.check(t, altered, ""); ok || bytes.Equal(altered, receipt) {
				t.Errorf("%s for %s: %s", change[1], change[0], words)
			}
		}
	})
	if n != 3 {
		t.Errorf("%d receipts were made, want 3", n)
	}
}

// Data that is to be shown no more is proven by its hash alone, as QLDB proves what
// it redacted.
func TestWithheldDataIsNotShown(t *testing.T) {
	for _, format := range formats {
		ledger, objects := generate(t, ledgergen.Options{Seed: 9, Documents: 20, Format: format})
		var leaves []proof.Hash
		eachBlock(t, objects, func(b *journal.Block) { leaves = append(leaves, parse(t, b.Hash)) })
		c, n := newChecker(t), 0
		eachBlock(t, objects, func(b *journal.Block) {
			if n == 3 || len(b.Revisions) == 0 || b.Revisions[0].RawData == nil {
				return
			}
			path, err := proof.Inclusion(uint64(b.SequenceNo), uint64(len(leaves)), nodesOf(leaves))
			if err != nil {
				t.Fatal(err)
			}
			r := proof.Receipts{Digest: ledger.Digest, Tip: ledger.Tip, Withhold: true}
			receipt, err := r.Append(nil, b, 0, path)
			if err != nil {
				return // JSON whose types are not the usual ones
			}
			n++
			words, ok := c.check(t, receipt, ledger.Digest.String())
			if !ok || !strings.Contains(words, "is withheld, has the hash shown") || !bytes.Contains(receipt, []byte(` "Data": null,`)) || bytes.Contains(receipt, []byte(`"struct"`)) {
				t.Errorf("%s\n%s", words, receipt)
			}
		})
		if n != 3 {
			t.Errorf("%s: %d receipts were made, want 3", format, n)
		}
	}
}
