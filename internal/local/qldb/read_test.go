package qldb_test

import (
	"fmt"
	"strings"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"

	"godwit/internal/ledgergen"
	"godwit/internal/local/qldb"
	"godwit/internal/proof"
)

type ionAddress struct {
	Strand   string `ion:"strandId"`
	Sequence int64  `ion:"sequenceNo"`
}

// ionBlock is what the tests read of a block.
type ionBlock struct {
	Address   ionAddress    `ion:"blockAddress"`
	Hash      []byte        `ion:"blockHash"`
	Previous  []byte        `ion:"previousBlockHash"`
	Revisions []ionRevision `ion:"revisions"`
}

type ionRevision struct {
	Address  ionAddress `ion:"blockAddress"`
	Hash     []byte     `ion:"hash"`
	Metadata *struct {
		ID      string `ion:"id"`
		Version int64  `ion:"version"`
	} `ion:"metadata"`
}

func TestEveryBlockAndRevisionIsProven(t *testing.T) {
	w := start(t, small(name))
	c, j := w.client(caller), w.qldb.Journal(name)
	digest, err := c.GetDigest(t.Context(), &sdk.GetDigestInput{Name: aws.String(name)})
	must(t, err)
	var tip ionAddress
	must(t, ionlib.UnmarshalString(*digest.DigestTipAddress.IonText, &tip))
	if tip.Strand != j.Strand() || tip.Sequence != j.Len()-1 {
		t.Fatalf("the tip is %+v of %d blocks", tip, j.Len())
	}
	want := hashOf(t, digest.Digest)
	var tree proof.Tree
	revisions := 0
	for n := range j.Len() {
		at := holder(fmt.Sprintf("{strandId:%q,sequenceNo:%d}", tip.Strand, n))
		out, err := c.GetBlock(t.Context(), &sdk.GetBlockInput{Name: aws.String(name), BlockAddress: at, DigestTipAddress: digest.DigestTipAddress})
		must(t, err)
		var b ionBlock
		must(t, ionlib.UnmarshalString(*out.Block.IonText, &b))
		if b.Address.Sequence != n || b.Address.Strand != tip.Strand {
			t.Fatalf("block %d says that it is %+v", n, b.Address)
		}
		hash := hashOf(t, b.Hash)
		tree.Add(hash)
		if got := proof.Fold(hash, proofOf(t, out.Proof)); got != want {
			t.Fatalf("block %d: the proof leads to %v, want %v", n, got, want)
		}
		for _, r := range b.Revisions {
			if r.Metadata == nil {
				continue
			}
			revisions++
			out, err := c.GetRevision(t.Context(), &sdk.GetRevisionInput{
				Name: aws.String(name), BlockAddress: at, DigestTipAddress: digest.DigestTipAddress, DocumentId: &r.Metadata.ID,
			})
			must(t, err)
			var got ionRevision
			must(t, ionlib.UnmarshalString(*out.Revision.IonText, &got))
			if got.Metadata.ID != r.Metadata.ID || got.Metadata.Version != r.Metadata.Version || got.Address.Sequence != n {
				t.Errorf("block %d: revision of %s is %+v", n, r.Metadata.ID, got)
			}
			if end := proof.Fold(hashOf(t, got.Hash), proofOf(t, out.Proof)); end != want {
				t.Fatalf("block %d: the proof of %s leads to %v, want %v", n, r.Metadata.ID, end, want)
			}
		}
	}
	oracle, err := w.qldb.Oracle(name)
	must(t, err)
	if tree.Root() != want || oracle.Digest != want || oracle.Revisions() != int64(revisions) || revisions == 0 {
		t.Errorf("digest %v over the blocks, %v of the oracle, want %v; %d revisions, want %d", tree.Root(), oracle.Digest, want, revisions, oracle.Revisions())
	}
}

func TestWithoutATipThereIsNoProof(t *testing.T) {
	w := start(t, small(name))
	j := w.qldb.Journal(name)
	out, err := w.client(caller).GetBlock(t.Context(), &sdk.GetBlockInput{Name: aws.String(name), BlockAddress: holder("{sequenceNo: 3, strandId: \"" + j.Strand() + "\"}")})
	must(t, err)
	if b, err := j.Block(3); err != nil || *out.Block.IonText != b.Text() || out.Proof != nil {
		t.Errorf("got %s, proof %v (%v)", *out.Block.IonText, out.Proof, err)
	}
}

func TestALedgerGrowsAndItsDigestFollows(t *testing.T) {
	l := small(name)
	l.Visible = 7
	w := start(t, l)
	c, j := w.client(caller), w.qldb.Journal(name)
	for _, grow := range []int64{0, 1, 12} {
		tip, err := w.qldb.Grow(name, grow)
		must(t, err)
		digest, err := c.GetDigest(t.Context(), &sdk.GetDigestInput{Name: aws.String(name)})
		must(t, err)
		oracle, err := w.qldb.Oracle(name)
		must(t, err)
		if got := hashOf(t, digest.Digest); got != j.Digest(tip) || oracle.Digest != got || oracle.Tip != tip || !strings.Contains(*digest.DigestTipAddress.IonText, fmt.Sprintf("sequenceNo:%d}", tip)) {
			t.Errorf("tip %d: digest of %s", tip, *digest.DigestTipAddress.IonText)
		}
		beyond := holder(fmt.Sprintf("{strandId:%q,sequenceNo:%d}", j.Strand(), tip+1))
		_, err = c.GetBlock(t.Context(), &sdk.GetBlockInput{Name: aws.String(name), BlockAddress: beyond})
		refused(t, "a block to come", err, "InvalidParameterException", "beyond the strand's latest committed record")
	}
	for name, blocks := range map[string]int64{name: j.Len(), "nobody": 1} {
		if _, err := w.qldb.Grow(name, blocks); err == nil {
			t.Errorf("ledger %s grows by %d", name, blocks)
		}
	}
}

func TestAddressesAreCheckedAsQLDBDid(t *testing.T) {
	w := start(t, small(name))
	c, j := w.client(caller), w.qldb.Journal(name)
	at := func(strand string, n int64) string { return fmt.Sprintf("{strandId:%q,sequenceNo:%d}", strand, n) }
	ours, end := j.Strand(), j.Len()
	for _, test := range []struct{ what, block, tip, parameter, text string }{
		{"no Ion", "{strandId", "", "BlockAddress", "cannot be parsed"},
		{"two values", at(ours, 1) + " 2", "", "BlockAddress", "cannot be parsed"},
		{"nothing", "", "", "BlockAddress", "missing"},
		{"a number", "7", "", "BlockAddress", "block address is not valid"},
		{"a null", "null.struct", "", "BlockAddress", "block address is not valid"},
		{"another field", `{strandId:"x",sequenceNo:1,more:2}`, "", "BlockAddress", "block address is not valid"},
		{"no number", `{strandId:"x"}`, "", "BlockAddress", "block address is not valid"},
		{"a number too large", `{strandId:"x",sequenceNo:99999999999999999999}`, "", "BlockAddress", "block address is not valid"},
		{"a negative number", at(ours, -1), "", "BlockAddress", "block address is not valid"},
		{"another strand", at("0000000000000000000000", 1), "", "BlockAddress", "Strand ID of the provided block address is not valid"},
		{"beyond the end", at(ours, end), "", "BlockAddress", "beyond the strand's latest committed record"},
		{"a tip beyond the end", at(ours, 1), at(ours, end), "DigestTipAddress", "digest tip address is beyond"},
		{"a tip before the block", at(ours, 9), at(ours, 8), "BlockAddress", "must not be greater than"},
		{"a tip of another strand", at(ours, 9), at("0000000000000000000000", 10), "DigestTipAddress", "must match the Strand ID"},
		{"a tip that is no address", at(ours, 9), "[]", "DigestTipAddress", "block address is not valid"},
	} {
		in := &sdk.GetBlockInput{Name: aws.String(name), BlockAddress: holder(test.block)}
		revision := &sdk.GetRevisionInput{Name: aws.String(name), BlockAddress: holder(test.block), DocumentId: aws.String("0000000000000000000000")}
		if test.tip != "" {
			in.DigestTipAddress, revision.DigestTipAddress = holder(test.tip), holder(test.tip)
		}
		_, err := c.GetBlock(t.Context(), in)
		refused(t, test.what, err, "InvalidParameterException", test.text)
		parameter(t, test.what, err, test.parameter)
		_, err = c.GetRevision(t.Context(), revision)
		refused(t, test.what, err, "InvalidParameterException", test.text)
		parameter(t, test.what, err, test.parameter)
	}
	_, err := c.GetRevision(t.Context(), &sdk.GetRevisionInput{Name: aws.String(name), BlockAddress: holder(at(ours, 0)), DocumentId: aws.String("0000000000000000000000")})
	refused(t, "no such document", err, "InvalidParameterException", "Document ID can't be found in the block")
	parameter(t, "no such document", err, "DocumentId")
}

func TestLedgersAreFoundByName(t *testing.T) {
	w := start(t, small("one"), small("two"), small("Three-3"))
	c := w.client(caller)
	for bad, code := range map[string]string{
		"four": "ResourceNotFoundException", "a/b": "InvalidParameterException", "a--b": "InvalidParameterException",
		"-a": "InvalidParameterException", "123": "InvalidParameterException", strings.Repeat("a", 33): "InvalidParameterException", "a b": "InvalidParameterException",
	} {
		_, err := c.GetDigest(t.Context(), &sdk.GetDigestInput{Name: &bad})
		refused(t, "digest of "+bad, err, code, bad)
		_, err = c.DescribeLedger(t.Context(), &sdk.DescribeLedgerInput{Name: &bad})
		refused(t, "describe "+bad, err, code, bad)
		if code != "ResourceNotFoundException" && w.qldb.Create(qldb.Ledger{Name: bad}) == nil {
			t.Errorf("a ledger may be named %q", bad)
		}
	}
	out, err := c.DescribeLedger(t.Context(), &sdk.DescribeLedgerInput{Name: aws.String("two")})
	must(t, err)
	if out.State != types.LedgerStateActive || *out.Arn != "arn:aws:qldb:us-east-1:111122223333:ledger/two" || !out.CreationDateTime.Equal(w.qldb.Journal("two").At(0)) {
		t.Errorf("ledger two is %+v", out)
	}
	var names []string
	pages := sdk.NewListLedgersPaginator(c, &sdk.ListLedgersInput{MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		must(t, err)
		if len(page.Ledgers) > 2 {
			t.Errorf("a page of %d", len(page.Ledgers))
		}
		for _, l := range page.Ledgers {
			names = append(names, *l.Name)
		}
	}
	if fmt.Sprint(names) != "[Three-3 one two]" {
		t.Errorf("the ledgers are %v", names)
	}
	must(t, w.qldb.Delete("two"))
	_, err = c.GetDigest(t.Context(), &sdk.GetDigestInput{Name: aws.String("two")})
	refused(t, "a ledger that was deleted", err, "ResourceNotFoundException", "two")
}

func TestWhatIsNotServedStopsTheRunByName(t *testing.T) {
	w := start(t, small(name))
	_, err := w.client(caller).DeleteLedger(t.Context(), &sdk.DeleteLedgerInput{Name: aws.String(name)})
	refused(t, "a deletion", err, "NotImplemented", "qldb:DeleteLedger is not implemented locally")
	if w.gateway.Err() == nil {
		t.Error("the run goes on")
	}
}

func TestLedgersThatCannotBeAreRefused(t *testing.T) {
	w := start(t, small(name))
	for what, l := range map[string]qldb.Ledger{
		"a name twice":    small(name),
		"too many blocks": {Name: "a", Options: ledgergen.Options{Documents: 10}, Visible: 1000},
		"no such share":   {Name: "a", Options: ledgergen.Options{Documents: 10, SameTime: 101}},
	} {
		if err := w.qldb.Create(l); err == nil {
			t.Errorf("%s: it is made", what)
		}
	}
}
