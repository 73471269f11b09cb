package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns the load for a terminal that is width columns wide, the last
// line ended. Names are shortened to fit; figures never are, so a very narrow
// terminal wraps. Control characters in names are replaced: a ledger's table
// name must not steer the terminal. A load that cannot be reported is said so.
func (l Load) Text(width int) string {
	l, err := l.Complete()
	if err != nil {
		return "no report: " + plain(err.Error()) + "\n"
	}
	head := []string{"ledger table", "read", l.word(), "quarantined", "filtered", "current", "deleted"}
	row := func(name string, t Table) []string {
		return []string{name, number(t.Read), number(t.Staged), number(t.Quarantined), number(t.Filtered), number(t.Current), number(t.Deleted)}
	}
	var rows [][]string
	bad := 0
	for _, t := range l.Tables {
		rows = append(rows, row(plain(t.Name), t))
		if len(t.follow()) > 0 {
			bad++
		}
	}
	rows = append(rows, row("total", l.total()))

	const gap = 2
	widths := make([]int, len(head))
	for _, r := range append([][]string{head}, rows...) {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	figures := 0
	for _, w := range widths[1:] {
		figures += w + gap
	}
	figures += gap // a wider gap between revisions and documents
	widths[0] = min(widths[0], max(width-figures, len(head[0])))

	var b strings.Builder
	line := func(cells []string) {
		b.WriteString(pad(shorten(cells[0], widths[0]), widths[0]))
		for i, c := range cells[1:] {
			if i == 4 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			b.WriteString(strings.Repeat(" ", gap+widths[i+1]-utf8.RuneCountInString(c)) + c)
		}
		b.WriteByte('\n')
	}
	rule := strings.Repeat("-", widths[0]+figures) + "\n"
	revisions := 0
	for _, w := range widths[1:5] {
		revisions += w + gap
	}
	if len(l.Tables) > 0 {
		b.WriteString(strings.Repeat(" ", widths[0]+gap) + pad("revisions", revisions-gap) + strings.Repeat(" ", 2*gap) + "documents\n")
		line(head)
		b.WriteString(rule)
		for i, r := range rows {
			if i == len(rows)-1 {
				b.WriteString(rule)
			}
			line(r)
		}
		b.WriteByte('\n')
	}

	t := l.total()
	sum := "read = " + l.word() + " + quarantined + filtered"
	switch {
	case len(l.Tables) == 0:
		b.WriteString("No revision of a ledger table was read.\n")
	case bad > 0:
		b.WriteString(wrap("Does NOT add up in "+number(int64(bad))+" of "+count(int64(len(l.Tables)), "table")+": see the errors below.", width, ""))
	case l.uncounted() == 0:
		b.WriteString(wrap("Adds up in every table: "+sum+", and an independent count of the archive agrees ("+count(t.Read, "revision")+").", width, ""))
	default:
		b.WriteString(wrap("Adds up in every table: "+sum+" ("+count(t.Read, "revision")+").", width, ""))
	}
	b.WriteByte('\n')
	if l.Proof != nil {
		b.WriteString(wrap("Proof: "+plain(l.Proof.line()), width, "") + "\n")
	}
	const most = 12 // findings
	for i, f := range l.Findings {
		if i == most {
			b.WriteString("  and " + count(int64(len(l.Findings)-most), "more finding") + " in the report\n")
			break
		}
		b.WriteString(wrap(strings.ToUpper(string(f.Severity))+": "+plain(f.Text), width, "  "))
		// One piece of advice for several findings is given once, after the last.
		same := i+1 < min(len(l.Findings), most) && l.Findings[i+1].Next == f.Next
		if f.Next != "" && f.Severity != Note && !same {
			b.WriteString(wrap("Next: "+plain(f.Next), width, "  "))
		}
	}
	if len(l.Findings) > 0 {
		b.WriteByte('\n')
	}
	if _, whole := l.compared(); whole.Actual != "" {
		b.WriteString(wrap(fmt.Sprintf("From reading to visible: %s. Predicted for AWS: %s (%s) and %s (%s); %s.", whole.Actual,
			minutes(whole.Predicted.Likely), minuteRange(whole.Predicted), usd(whole.USD.Likely), usdRange(whole.USD), madeFrom(l.Predicted)), width, ""))
	}
	if l.Unload != nil {
		b.WriteString(wrap("The way back: "+plain(l.Unload.Command)+" (without ENV for a database that KEEP=1 keeps here)", width, ""))
	}
	if l.Predicted != nil || l.Unload != nil {
		b.WriteByte('\n')
	}
	b.WriteString(wrap("VERDICT: "+string(l.Verdict)+". "+plain(l.Sentence), width, ""))
	return b.String()
}

// plain replaces what a terminal would obey or hide.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// shorten keeps the beginning and the end, which tell long names apart.
func shorten(s string, width int) string {
	r := []rune(s)
	if len(r) <= width || width < 3 {
		return s
	}
	tail := (width - 1) / 3
	return string(r[:width-1-tail]) + "…" + string(r[len(r)-tail:])
}

// wrap breaks text at spaces; lines after the first are indented by two more.
func wrap(text string, width int, indent string) string {
	width = max(width, 40)
	var b strings.Builder
	at := 0
	for i, w := range strings.Fields(text) {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
			b.WriteString(indent)
			at = len(indent)
		case at+1+n > width:
			b.WriteString("\n" + indent + "  ")
			at = len(indent) + 2
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(w)
		at += n
	}
	return b.String() + "\n"
}
