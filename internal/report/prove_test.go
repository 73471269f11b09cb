package report_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"godwit/internal/report"
)

// proven is an archive that reaches its digest with every revision.
func proven() report.Prove {
	l := clean()
	const digest, hex = "RSRRm0XPgnoYOXE2cHPHPUiAEvJTTLeBzRCmjTnFZ4E=", "4524519b45cf827a183971367073c73d488012f2534cb781cd10a68d39c56781"
	return report.Prove{
		ProofID: "a42f046a8bfdebe7354e0fb6016fb031", Execution: "x", Input: []byte(`{"Bucket": "ledger-archive", "Prefix": "dmv/"}`), Finished: at(40), Archive: l.Archive,
		Proof: report.Proof{
			Asked: "full", Level: 3, Kept: 2, Digest: digest, Hex: hex, Tip: 1842,
			Ties: []report.Tie{
				{Digest: digest, Hex: hex, Ledger: "dmv", Tip: 1842, To: 900, How: "the proof of block 900"},
				{Digest: digest, Hex: hex, Ledger: "dmv", Tip: 1842, To: 1842, How: "all block hashes"},
			},
			Blocks:    []report.Verdicts{{Verdict: "proven", Count: 1843}},
			Revisions: []report.Verdicts{{Verdict: "proven", Count: 5240}, {Verdict: "redacted", Count: 2}, {Verdict: "opaque", Count: 19}},
			Holds:     []string{"blocks 0 to 1842 are an unbroken chain", "5242 of 5242 revisions of documents were hashed again"},
			Open:      []report.Open{{What: "19 revisions of QLDB's own catalogue", Why: "the journal holds their hashes alone", Lift: "nothing: their content was never exported"}},
			Where:     "s3://godwit-work/proofs/a42f046a8bfdebe7354e0fb6016fb031/proof.json",
		},
	}
}

// partly is one that nobody gave a digest for.
func partly() report.Prove {
	p := proven()
	p.Proof.Level, p.Proof.Kept, p.Proof.Ties = 1, 0, nil
	p.Proof.Revisions[0].Count -= 1
	p.Proof.Revisions = append(p.Proof.Revisions, report.Verdicts{Verdict: "type-unproven", Count: 1})
	p.Proof.Untyped = []report.Untyped{{Table: "Person", Count: 1, Of: 700, Samples: 200, Proven: 200, Known: true, First: []report.Place{
		{Block: 43, Revision: 1, Document: "8F0TPCmdNQ6JTRpiLj0037", Object: "dmv/43.json"},
	}}}
	p.Proof.Open = append(p.Proof.Open, report.Open{What: "the archive as a whole", Why: "no digest or proof was given", Lift: "give a digest that was kept outside of it"})
	return p
}

// contradicted is one that was tampered with, by somebody who knows of terminals.
func contradicted() report.Prove {
	p := partly()
	p.Proof.Level, p.Proof.Holds = 0, nil
	p.Proof.Blocks = append(p.Proof.Blocks, report.Verdicts{Verdict: "tampered", Count: 1})
	p.Proof.Revisions = append(p.Proof.Revisions, report.Verdicts{Verdict: "tampered", Count: 1})
	p.Contradictions = []string{"1 of 1844 blocks were tampered with: a hash in them is not that of what they show"}
	p.Proof.Findings = []string{"tampered: block 43, revision 0 of document <script>\x1b[2J in object dmv/43.ion: hash is not that of its metadata and data"}
	p.Stops = []report.PlannedStop{{Object: "dmv/60.ion", Block: 60, Text: "object dmv/60.ion is cut short"}}
	p.Unread, p.MoreStops = 12, 1
	return p
}

func proves() map[string]report.Prove {
	return map[string]report.Prove{"proven": proven(), "partly": partly(), "contradicted": contradicted()}
}

func TestProveGolden(t *testing.T) {
	for name, p := range proves() {
		b, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		page, err := p.HTML()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "prove-"+name+".json", b)
		golden(t, "prove-"+name+".html", page)
		golden(t, "prove-"+name+".txt", []byte(p.Text(100)))
		if !reflect.DeepEqual(p, proves()[name]) {
			t.Errorf("%s: rendering changed the caller's proof", name)
		}
		got, err := report.ParseProve(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := got.JSON(); err != nil || !bytes.Equal(b, again) || bytes.Contains(b, []byte(": null")) {
			t.Errorf("%s: writing what was read gives other bytes, or a null: %v", name, err)
		}
		for _, bad := range []string{"<script", "http://", "https://", "src=", "\x1b", "ZgotmplZ"} {
			if strings.Contains(string(page), bad) || strings.Contains(p.Text(100), "\x1b") {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		for line := range strings.Lines(p.Text(100)) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 100 {
				t.Errorf("%s: a line of %d: %s", name, utf8.RuneCountInString(line), line)
			}
		}
	}
	for _, in := range []string{``, `{}`, `{"Format":"godwit.ledgerload/1"}`} {
		if _, err := report.ParseProve([]byte(in)); err == nil {
			t.Errorf("%q was read as a proof", in)
		}
	}
}

// The verdict is worked out; never a bare "verified".
func TestProvenness(t *testing.T) {
	with := func(p report.Prove, change func(*report.Prove)) report.Prove {
		change(&p)
		return p
	}
	for _, c := range []struct {
		name     string
		proof    report.Prove
		want     report.Provenness
		sentence string
	}{
		{"all", proven(), report.Proven, "Level 3 of 3: the blocks are one unbroken chain that leads to the digest RSRR"},
		{"no digest", partly(), report.PartlyProven, "Level 1 of 3: the blocks are one unbroken chain, which no digest covers"},
		{"blocks behind the digest", with(proven(), func(p *report.Prove) { p.Proof.Level = 1 }), report.PartlyProven, "which does not cover all of them"},
		{"level 2", with(proven(), func(p *report.Prove) { p.Proof.Level = 2 }), report.PartlyProven, "Level 2 of 3"},
		{"level 0", with(partly(), func(p *report.Prove) { p.Proof.Level = 0 }), report.NotProven, "Level 0 of 3: the blocks are not one unbroken chain"},
		{"unreadable", with(proven(), func(p *report.Prove) { p.Stops = []report.PlannedStop{{Text: "object x is cut short"}} }), report.NotProven, "not proven as a whole: object x is cut short"},
		{"tampered", contradicted(), report.Contradicted, "1 of 1844 blocks were tampered with"},
	} {
		c.proof.Verdict, c.proof.Sentence, c.proof.Next = report.Proven, "All is well.", "" // must not be believed
		got, err := c.proof.Complete()
		if err != nil {
			t.Fatal(err)
		}
		if got.Verdict != c.want || !strings.Contains(got.Sentence, c.sentence) || got.Next == "" {
			t.Errorf("%s: got %q: %s %s\nwant %q: %s", c.name, got.Verdict, got.Sentence, got.Next, c.want, c.sentence)
		}
	}
}
