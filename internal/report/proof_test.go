package report_test

import (
	"strings"
	"testing"

	"godwit/internal/report"
)

// What the proof reached is told in one sentence, and what it did not is a finding
// of the weight that it has.
func TestProofIsToldByItsWeight(t *testing.T) {
	for _, c := range []struct {
		name     string
		alter    func(p *report.Proof)
		verdict  report.Verdict
		code     string // of the finding; "" is none
		said     string // in the terminal
		withheld string // must not be said
	}{
		{"everything", func(*report.Proof) {}, report.Loaded, "", "Proof: level 3 of 3: the blocks are one unbroken chain that leads to the digest n4bQ", "NOTE"},
		{"not asked for", func(p *report.Proof) { *p = report.Proof{Asked: "off"} }, report.Loaded, "not-verified", "Proof: none: the input asked for it", "level"},
		{"no digest", func(p *report.Proof) {
			p.Level, p.Kept, p.Ties = 1, 0, nil
			p.Open = append(p.Open, report.Open{What: "the archive as a whole", Why: "no digest was given", Lift: "give one"})
		}, report.Loaded, "proof-level", "which no digest covers", "catalogue:"},
		{"a digest that is not reached", func(p *report.Proof) { p.Level, p.Ties = 1, nil }, report.LoadedWithFindings, "proof-level", "level 1 of 3", ""},
		{"a digest that fits nothing beside one that does", func(p *report.Proof) {
			p.Open = append(p.Open, report.Open{What: "the digest d3d3", Why: "it is not said which block it ends with", Lift: "give it with its tip address"})
		}, report.Loaded, "proof-level", "level 3 of 3. Not proven: the digest d3d3", "WARNING"},
		{"blocks behind the digest", func(p *report.Proof) { p.Level = 1 }, report.LoadedWithFindings, "proof-level", "which does not cover all of them", ""},
		{"the chain, as asked", func(p *report.Proof) {
			p.Asked, p.Level, p.Revisions = "chain", 2, []report.Verdicts{{Verdict: "unchecked", Count: 5242}}
			p.Open = append(p.Open, report.Open{What: "5242 revisions", Why: "only the chain was asked to be verified", Lift: `verify with "full"`})
		}, report.Loaded, "", "of 5,242 revisions, 0 were hashed again and fit; 5,242 unchecked", "NOTE"},
		{"the chain, with a part removed", func(p *report.Proof) {
			p.Asked, p.Level, p.Blocks = "chain", 2, append(p.Blocks, report.Verdicts{Verdict: "unattested", Count: 1})
		}, report.LoadedWithFindings, "proof-level", "WARNING", ""},
		{"a gap", func(p *report.Proof) { p.Level = 0 }, report.LoadedWithFindings, "proof-level", "level 0 of 3: the blocks are not one unbroken chain", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := clean()
			c.alter(l.Proof)
			got := complete(t, l)
			code := ""
			for _, f := range got.Findings {
				if f.Code == "proof-level" || f.Code == "not-verified" {
					code = f.Code
				}
			}
			text := strings.Join(strings.Fields(l.Text(100)), " ")
			if got.Verdict != c.verdict || code != c.code || !strings.Contains(text, c.said) || c.withheld != "" && strings.Contains(text, c.withheld) {
				t.Errorf("verdict %s, finding %q:\n%s", got.Verdict, code, l.Text(100))
			}
		})
	}
}
