package report

import (
	"fmt"
	"strings"

	"godwit/internal/estimate"
)

// The terminal's text ends lists here; the report has them whole.
const (
	mostTextTables   = 30
	mostTextFindings = 12
)

// Text returns the assessment for a terminal that is width columns wide, the last
// line ended. Names are shortened to fit; figures never are. Control characters in
// names are replaced.
func (a Assessment) Text(width int) string {
	a, err := a.Complete()
	if err != nil {
		return "no assessment: " + plain(err.Error()) + "\n"
	}
	var b strings.Builder
	rows := [][]string{{"table", "becomes", "rows, about", "columns", "converted", "left out", ""}}
	size := a.sizing()
	for i, t := range a.Tables {
		if i == mostTextTables {
			rows = append(rows, []string{"and " + number(int64(len(a.Tables)-i)) + " more", "", "", "", "", "", ""})
			break
		}
		v := newTableView(t, nil, "", false)
		left := int64(len(t.Columns)) - v.All
		target := plain(t.Target)
		switch t.Target {
		case "":
			target = "-"
		case t.Source:
			target = "the same"
		}
		rows = append(rows, []string{plain(t.Source), target, knownNumber(t.Rows), number(v.All), number(v.Converted), number(left), fateWord(t.Fate)})
	}
	if len(a.Tables) > 0 {
		rows = append(rows, []string{count(size.Loaded, "table"), "", knownNumber(size.Rows), number(size.Columns - size.LeftOut), number(size.Converted), number(size.LeftOut), ""})
		b.WriteString(columns(shortNames(rows, width), width) + "\n")
	}
	for _, g := range groups(a.Decisions) {
		var kinds []string
		for _, k := range g.Kinds {
			kinds = append(kinds, plain(k.Title)+" "+number(k.Count))
		}
		b.WriteString(wrap(g.Title+": "+strings.Join(kinds, "; ")+".", width, ""))
	}
	if len(a.Decisions) > 0 {
		b.WriteByte('\n')
	}
	if a.Estimate != nil {
		b.WriteString(costText(a.Estimate, width) + "\n")
	}
	b.WriteString(findingsText(a.Findings, width))
	b.WriteString(wrap("VERDICT: "+string(a.Verdict)+". "+plain(a.Sentence), width, ""))
	b.WriteString(wrap("Next: "+plain(a.Next), width, ""))
	return b.String()
}

// Text returns the report for a terminal that is width columns wide, the last line
// ended. Names are shortened to fit; figures never are. Control characters in names
// are replaced.
func (s Snapshot) Text(width int) string {
	s, err := s.Complete()
	if err != nil {
		return "no report: " + plain(err.Error()) + "\n"
	}
	var b strings.Builder
	rows := [][]string{{"table", "exported", "loaded", "quarantined", "filtered", "in the target", "equal"}}
	row := func(name string, a *RowAccount, equal bool) []string {
		if a == nil {
			return []string{name, "?", "?", "?", "?", "?", "NO"}
		}
		return []string{name, number(a.Exported), number(a.Loaded), number(a.Quarantined), number(a.Filtered), number(a.Found), map[bool]string{true: "yes", false: "NO"}[equal]}
	}
	all, more := true, int64(0)
	for _, t := range s.Tables {
		if t.Target == "" {
			continue
		}
		equal := t.Account.equal()
		all = all && equal
		if len(rows) > mostTextTables && equal {
			more++
			continue
		}
		rows = append(rows, row(plain(t.Source), t.Account, equal))
	}
	if len(rows) > 1 {
		if more > 0 {
			rows = append(rows, []string{number(more) + " more, equal", "", "", "", "", "", ""})
		}
		total := s.account()
		rows = append(rows, row("total", &total, all))
		b.WriteString(columns(rows, width) + "\n")
	}
	_, downtime, note := s.laps()
	b.WriteString(wrap(fmt.Sprintf("Without writes: %s (%s). %s", downtime, lapWords(s), note), width, "") + "\n")
	b.WriteString(findingsText(s.Findings, width))
	b.WriteString(wrap("VERDICT: "+string(s.Verdict)+". "+plain(s.Sentence), width, ""))
	return b.String()
}

func knownNumber(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return number(n)
}

// fateWord is a fate as the pages say it.
func fateWord(f Fate) string {
	return map[Fate]string{Kept: "as it is", Converted: "converted", Refused: "REFUSED", Lost: "lost", LeftOut: "left out"}[f]
}

// shortNames shortens the second cell of each row, so that two long names fit one
// line.
func shortNames(rows [][]string, width int) [][]string {
	for _, r := range rows {
		r[1] = shorten(r[1], max(16, width/4))
	}
	return rows
}

func findingsText(findings []Finding, width int) string {
	var b strings.Builder
	for i, f := range findings {
		if i == mostTextFindings {
			b.WriteString("  and " + count(int64(len(findings)-i), "more finding") + " in the report\n")
			break
		}
		b.WriteString(wrap(strings.ToUpper(string(f.Severity))+": "+plain(f.Text), width, "  "))
		same := i+1 < min(len(findings), mostTextFindings) && findings[i+1].Next == f.Next
		if f.Next != "" && f.Severity != Note && !same {
			b.WriteString(wrap("Next: "+plain(f.Next), width, "  "))
		}
	}
	if len(findings) > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// costText is the steps of an estimate.
func costText(e *estimate.Estimate, width int) string {
	rows := [][]string{{"step", "takes", "from best to worst", "costs", "from best to worst"}}
	for _, s := range e.Steps {
		rows = append(rows, []string{plain(s.Name), minutes(s.Minutes.Likely), minuteRange(s.Minutes), usd(s.USD.Likely), usdRange(s.USD)})
	}
	rows = append(rows, []string{"the whole load", minutes(e.Minutes.Likely), minuteRange(e.Minutes), usd(e.USD.Likely), usdRange(e.USD)})
	return columns(rows, width) + wrap(fmt.Sprintf("On AWS, at prices of %s as of %s; nothing was measured there. The report says what is assumed.", e.PriceRegion, e.PricesAsOf), width, "")
}
