package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text returns the plan for a terminal that is width columns wide, the last line
// ended. Names are shortened to fit; figures never are. Control characters in
// names are replaced.
func (p Plan) Text(width int) string {
	p, err := p.Complete()
	if err != nil {
		return "no plan: " + plain(err.Error()) + "\n"
	}
	var b strings.Builder
	if len(p.Tables) > 0 {
		row := func(name string, t PlannedTable) []string {
			return []string{name, number(t.Read), number(t.Staged), number(t.Quarantined), number(t.Filtered), size(float64(t.RowBytes))}
		}
		rows := [][]string{{"ledger table", "revisions", "would load", "set aside", "filtered", "as rows"}}
		for _, t := range p.Tables {
			name := plain(t.Name)
			if t.Target != "" && !t.Mapped {
				name += " (as documents)"
			}
			rows = append(rows, row(name, t))
		}
		b.WriteString(columns(append(rows, row("total", p.total())), width))
	}
	if e := p.Estimate; e != nil {
		rows := [][]string{{"step", "takes", "from best to worst", "costs", "from best to worst"}}
		for _, s := range e.Steps {
			name := plain(s.Name)
			if s.Beside != "" {
				name += ", with " + plain(s.Beside)
			}
			rows = append(rows, []string{name, minutes(s.Minutes.Likely), minuteRange(s.Minutes), usd(s.USD.Likely), usdRange(s.USD)})
		}
		rows = append(rows, []string{"the whole load", minutes(e.Minutes.Likely), minuteRange(e.Minutes), usd(e.USD.Likely), usdRange(e.USD)})
		b.WriteString("\n" + columns(rows, width) + "\n")
		month := ""
		for i, h := range e.Monthly {
			if i > 0 {
				month += "; "
			}
			month += fmt.Sprintf("%s: %s GB, %s", h.Name, amount(h.GB.Likely), usd(h.USD.Likely))
		}
		b.WriteString(wrap("Each month: "+month+".", width, ""))
		b.WriteString(wrap(fmt.Sprintf("On AWS, at prices of %s as of %s. The report says what is assumed.", e.PriceRegion, e.PricesAsOf), width, ""))
	}
	b.WriteByte('\n')
	const most = 12 // findings
	for i, f := range p.Findings {
		if i == most {
			b.WriteString("  and " + count(int64(len(p.Findings)-most), "more finding") + " in the report\n")
			break
		}
		b.WriteString(wrap(strings.ToUpper(string(f.Severity))+": "+plain(f.Text), width, "  "))
		if f.Next != "" && f.Severity != Note {
			b.WriteString(wrap("Next: "+plain(f.Next), width, "  "))
		}
	}
	if len(p.Findings) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(wrap("VERDICT: "+string(p.Verdict)+". "+plain(p.Sentence), width, ""))
	b.WriteString(wrap("Next: "+plain(p.Next), width, ""))
	return b.String()
}

// columns sets rows in columns, the first to the left and shortened to fit, the
// others to the right; the first row is the head, the last one the sum.
func columns(rows [][]string, width int) string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	const gap = 2
	rest := 0
	for _, w := range widths[1:] {
		rest += gap + w
	}
	widths[0] = min(widths[0], max(width-rest, utf8.RuneCountInString(rows[0][0])))
	rule := strings.Repeat("-", widths[0]+rest) + "\n"
	var b strings.Builder
	for i, r := range rows {
		if i == 1 || i == len(rows)-1 {
			b.WriteString(rule)
		}
		line := pad(shorten(r[0], widths[0]), widths[0])
		for j, c := range r[1:] {
			line += strings.Repeat(" ", gap+widths[j+1]-utf8.RuneCountInString(c)) + c
		}
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	return b.String()
}
