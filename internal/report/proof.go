package report

import (
	"fmt"
	"slices"
	"strings"
)

// A Proof says how far the archive was proven, in words that an auditor reads.
type Proof struct {
	Asked string // by the input: full, chain or off
	// Level is how far it came:
	//
	//	1  the blocks are one unbroken chain
	//	2  the chain, to its end, is tied to a digest that was kept outside of the archive
	//	3  every revision was hashed again and has the hash that its block holds
	Level     int
	Kept      int    // digests and proofs that the archive was held against
	Digest    string // base64; what QLDB's digest at block Tip must have been, "" where it cannot be told
	Hex       string // Digest
	Tip       int64
	Ties      []Tie
	Blocks    []Verdicts
	Revisions []Verdicts
	Holds     []string // sentences
	Open      []Open
	Untyped   []Untyped
	Findings  []string // the first ones
	Unlisted  int64    // findings beyond those
	Where     string   // S3 URI of the whole; "" when nothing was verified
}

// A Tie is a digest that the archive's blocks lead to.
type Tie struct {
	Digest   string // base64
	Hex      string
	Ledger   string `json:",omitempty"`
	Tip      int64  // block; -1 where it is not known
	From, To int64  // blocks of the archive that it covers
	How      string
}

// Verdicts counts the blocks or revisions that got one verdict.
type Verdicts struct {
	Verdict string
	Count   int64
}

// An Open is something that is not proven.
type Open struct{ What, Why, Lift string }

// whole returns a proof whose lists are not nil.
func (p *Proof) whole() *Proof {
	if p == nil {
		return nil
	}
	w := *p
	w.Ties, w.Blocks, w.Revisions = list(p.Ties), list(p.Blocks), list(p.Revisions)
	w.Holds, w.Open, w.Untyped, w.Findings = list(p.Holds), list(p.Open), untypedList(p.Untyped), list(p.Findings)
	return &w
}

func (p *Proof) made() bool { return p != nil && p.Asked != "off" }

// most is the level that can be reached by what was asked.
func (p *Proof) most() int {
	if p.Asked == "chain" {
		return 2
	}
	return 3
}

// with is how many blocks or revisions got a verdict.
func with(verdict string, list []Verdicts) int64 {
	for _, v := range list {
		if v.Verdict == verdict {
			return v.Count
		}
	}
	return 0
}

// odd says that something is absent or contradicts itself, whatever level is
// reached without it.
func (p *Proof) odd() bool {
	for _, list := range [][]Verdicts{p.Blocks, p.Revisions} {
		if with("unattested", list)+with("inconsistent", list) > 0 {
			return true
		}
	}
	return false
}

// line says it in a sentence or two.
func (p *Proof) line() string {
	if !p.made() {
		return `none: the input asked for it ("Verify": "off").`
	}
	s := fmt.Sprintf("level %d of 3: ", p.Level)
	if p.Level == 0 {
		return s + "the blocks are not one unbroken chain; the report says what holds."
	}
	s += "the blocks are one unbroken chain"
	if len(p.Ties) == 0 {
		s += ", which no digest covers"
	} else {
		t := p.Ties[len(p.Ties)-1]
		s += " that leads to the digest " + t.Digest + " (hex " + t.Hex + ")"
		if t.Tip >= 0 {
			s += " at block " + number(t.Tip)
		}
		if p.Level < 2 {
			s += ", which does not cover all of them"
		}
	}
	var all, opaque int64
	for _, v := range p.Revisions {
		all += v.Count
	}
	opaque = with("opaque", p.Revisions)
	again := with("proven", p.Revisions) + with("redacted", p.Revisions)
	if again == all-opaque {
		return s + "; every revision was hashed again and has the hash that its block holds (" + number(again) + ")."
	}
	var rest []string
	for _, v := range p.Revisions {
		if !slices.Contains([]string{"proven", "redacted", "opaque"}, v.Verdict) {
			rest = append(rest, number(v.Count)+" "+v.Verdict)
		}
	}
	return s + fmt.Sprintf("; of %s, %s hashed again and fit; %s.", count(all-opaque, "revision"), count(again, "", "was", "were"), strings.Join(rest, ", "))
}

// follow returns what a person should know of the proof.
func (p *Proof) follow() []Finding {
	switch {
	case p == nil:
		return nil
	case !p.made():
		return []Finding{{Code: "not-verified", Severity: Note, Text: "The archive was not verified, as the input asks: nothing shows whether it is what QLDB wrote."}}
	}
	var whats, lifts []string
	for _, o := range p.Open {
		if strings.HasPrefix(o.Lift, "nothing") {
			continue // it keeps no level from being reached
		}
		if len(whats) < 3 {
			whats = append(whats, o.What+": "+o.Why)
		}
		if !slices.Contains(lifts, o.Lift) && len(lifts) < 3 {
			lifts = append(lifts, o.Lift)
		}
	}
	// Level 3 beside something open: a second digest, say, that fits nothing.
	if p.Level >= p.most() && !p.odd() && (p.Level < 3 || len(whats) == 0) {
		return nil
	}
	// What nobody gave is nothing wrong; what was given and does not fit may be.
	severity := Note
	if p.Kept > 0 && p.Level < 2 || p.Level == 0 || p.odd() {
		severity = Warning
	}
	out := []Finding{{
		Code: "proof-level", Severity: severity,
		Text: fmt.Sprintf("The archive is proven to level %d of %d. Not proven: %s.", p.Level, p.most(), strings.Join(whats, "; ")),
		Next: "To prove more: " + strings.Join(lifts, "; or "),
	}}
	for _, u := range p.Untyped {
		out = append(out, u.finding())
	}
	return out
}
