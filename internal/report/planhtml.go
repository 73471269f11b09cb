package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"godwit/internal/estimate"
)

// HTML returns plan-report.html: one file, without scripts and without anything
// to fetch.
func (p Plan) HTML() ([]byte, error) {
	c, err := p.Complete()
	if err != nil {
		return nil, err
	}
	prices, err := estimate.Prices()
	if err != nil {
		return nil, err
	}
	rates, err := estimate.Rates()
	if err != nil {
		return nil, err
	}
	b, err := render("plan.html.tmpl", func(css template.CSS) any {
		v := newPlanPage(c, css)
		v.Costs = newCosts(c.Estimate, prices, rates)
		return v
	})
	if err != nil {
		return nil, fmt.Errorf("write plan-report.html of load %s: %w", p.LoadID, err)
	}
	return b, nil
}

// A planPage is what the template shows: a complete plan, and what is worked out
// for the eye only.
type planPage struct {
	Plan
	CSS      template.CSS
	Tone     string // ok, warn, bad
	Title    string
	File     string
	Facts    []fact
	Total    PlannedTable
	Advice   []advice
	Begin    string // the load's input, indented
	Asked    string // the plan's input, indented
	Drafted  string // mapping, indented
	Costs    *costs
	Shapes   []shapeTable
	Never    []MappingPath
	Set      []Quarantined
	Reasons  []reason
	Partial  bool
	More     bool
	Gaps     []Blocks
	Overlaps []Blocks
	Unused   []string
}

// Costs are an estimate with what it was made of, for the eye.
type costs struct {
	*estimate.Estimate
	Bill   []paid
	Prices []estimate.Price
	Rates  []estimate.Rate
}

// newCosts is nil where there is no estimate.
func newCosts(e *estimate.Estimate, prices []estimate.Price, rates []estimate.Rate) *costs {
	if e == nil {
		return nil
	}
	return &costs{e, bill(e), prices, rates}
}

// A shapeTable is a table without rules, with as many paths as are shown.
type shapeTable struct {
	PlannedTable
	Paths   int
	Columns int // drafted
}

func newPlanPage(p Plan, css template.CSS) planPage {
	v := planPage{Plan: p, CSS: css, File: "plan-report.json", Advice: newAdvice(p.Findings), Total: p.total()}
	switch p.Verdict {
	case Ready:
		v.Tone = "ok"
	case ReadyWithFindings:
		v.Tone = "warn"
	default:
		v.Tone = "bad"
	}
	v.Title = "LedgerLoad plan: " + plain(p.Archive.Bucket) + " into " + plain(p.Target.Schema) + ": " + string(p.Verdict)
	v.Facts = p.facts(v.Total)
	v.Asked, v.Drafted = indent(p.Input), indent(p.Draft.Mapping)
	if p.Verdict != NotReady {
		v.Begin = indent(p.LoadInput)
	}
	for _, t := range p.Tables {
		if len(t.Shape) > 0 {
			s := shapeTable{PlannedTable: t, Paths: len(t.Shape)}
			for _, path := range t.Shape {
				if path.Column != "" {
					s.Columns++
				}
			}
			s.Shape, s.Notes = head(t.Shape), head(t.Notes)
			v.Shapes = append(v.Shapes, s)
		}
	}
	v.Never, v.Set = head(p.NeverFound), head(p.Quarantine.First)
	v.Reasons = head(reasons(p.Quarantine.First))
	v.Partial = int64(len(p.Quarantine.First)) < p.Quarantine.Total
	v.More = int64(len(v.Set)) < p.Quarantine.Total
	v.Gaps, v.Overlaps, v.Unused = head(p.Archive.Gaps), head(p.Archive.Overlaps), head(p.Archive.Unused)
	return v
}

// indent writes JSON for the eye; Complete has parsed it.
func indent(text json.RawMessage) string {
	var b bytes.Buffer
	if len(text) == 0 || json.Indent(&b, text, "", "  ") != nil {
		return ""
	}
	return b.String()
}

// printed replaces in each line what a reader would not see.
func printed(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = plain(l)
	}
	return strings.Join(lines, "\n")
}

func (p Plan) facts(t PlannedTable) []fact {
	of := ""
	if p.Archive.Bytes > 0 {
		of = "in " + size(float64(p.Archive.Bytes)) + ", " + count(p.Archive.Objects, "object")
	}
	out := []fact{
		{number(t.Read), "revisions in the archive", of},
		{number(t.Staged), "would become rows", "of " + count(int64(len(p.Tables)), "ledger table")},
		{number(t.Quarantined), "would be set aside", ""},
	}
	if e := p.Estimate; e != nil {
		out = append(out,
			fact{minutes(e.Minutes.Likely), "a load would take", minuteRange(e.Minutes)},
			fact{usd(e.USD.Likely), "a load would cost", usdRange(e.USD)})
	}
	return out
}

// exact writes a figure of a table with all its digits.
func exact(x float64) string {
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		return group(s)
	}
	return s
}
