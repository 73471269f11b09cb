package report

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"math/big"
	"slices"
	"strings"
	"time"
)

//go:embed *.tmpl report.css
var files embed.FS

// Lists in report.html end here; report.json has them whole.
const mostShown = 100

// HTML returns report.html: one file, without scripts and without anything to
// fetch.
func (l Load) HTML() ([]byte, error) {
	c, err := l.Complete()
	if err != nil {
		return nil, err
	}
	b, err := render("report.html.tmpl", func(css template.CSS) any { return newPage(c, css) })
	if err != nil {
		return nil, fmt.Errorf("write report.html of load %s: %w", l.LoadID, err)
	}
	return b, nil
}

// render executes a template of this package on what page makes of the style.
func render(name string, page func(css template.CSS) any) ([]byte, error) {
	css, err := files.ReadFile("report.css")
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Funcs(template.FuncMap{
		"num": number, "when": when, "plain": plain, "parts": parts,
		"size":    func(n int64) string { return size(float64(n)) },
		"title":   func(s string) string { return strings.ToUpper(s[:1]) + s[1:] },
		"minutes": minutes, "minuteRange": minuteRange, "usd": usd, "usdRange": usdRange, "amount": amount, "exact": exact, "printed": printed,
	}).ParseFS(files, name, "shared.html.tmpl", "proof.html.tmpl", "cost.html.tmpl", "moved.html.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page(template.CSS(css))); err != nil { //nolint:gosec // the style sheet is a file of this package
		return nil, err
	}
	return b.Bytes(), nil
}

// A page is what the template shows: a complete load, and what is worked out
// for the eye only.
type page struct {
	Load
	CSS      template.CSS
	Tone     string // ok, warn, bad
	Title    string
	File     string // that lies beside it, for programs
	Word     string // what became of a revision that is neither quarantined nor filtered
	Facts    []fact
	Rows     []row
	Total    row
	Advice   []advice
	Plot     []bar
	Some     struct{ Quarantined, Filtered bool } // the plot's legend
	Timeline timeline
	Never    []MappingPath
	Set      []Quarantined
	Reasons  []reason
	Partial  bool // Reasons does not cover the whole quarantine
	Gaps     []Blocks
	Overlaps []Blocks
	Unused   []string
	Counted  string // by the independent pass, in all; "" when it did not see every table
	Asked    string // the input, indented
	How      string // it was checked
	Checked  bool   // some table has evidence
	Sums     bool   // some table has a checksum
	More     bool   // Set is not the whole quarantine
	Merged   bool   // some revision was in the target already
	Compared []compared
	Whole    compared
	MadeFrom string
}

// A reason is why revisions of one table are in quarantine.
type reason struct {
	Table, Path, Reason string
	Revisions           int64
}

type fact struct{ Figure, Label, Note string }

// Advice is findings of one severity that the same step mends.
type advice struct {
	Severity Severity
	Texts    []string
	Next     string
}

// newAdvice joins neighbours, so that forty tables with one trouble give one
// piece of advice.
func newAdvice(fs []Finding) []advice {
	var out []advice
	for _, f := range fs {
		if n := len(out) - 1; n >= 0 && f.Next != "" && out[n].Next == f.Next && out[n].Severity == f.Severity {
			out[n].Texts = append(out[n].Texts, f.Text)
			continue
		}
		out = append(out, advice{f.Severity, []string{f.Text}, f.Next})
	}
	return out
}

// A row is one ledger table with its errors.
type row struct {
	Table
	Bad bool
}

// A bar is one line of the plot read = loaded + quarantined + filtered.
type bar struct {
	Name  string
	Parts []part
	Read  int64
	Extra string // what was not loaded, in words
}

// A part is one rectangle, in percent of the plot's width.
type part struct {
	Class    string
	X, Width string
}

type timeline struct {
	Bars  []phase
	Ticks []tick
	From  string
}

type phase struct {
	Phase
	X, Width string // percent; "" when it did not begin
	Took     string
	RowRate  string // per second, without a unit
	ByteRate string // per second, with its unit
	Begun    bool
	Ended    bool
}

type tick struct{ X, Label, Anchor string }

func newPage(l Load, css template.CSS) page {
	p := page{Load: l, CSS: css, File: "report.json", How: l.counted(), Advice: newAdvice(l.Findings), Word: l.word()}
	switch l.Verdict {
	case Loaded, AlreadyLoaded:
		p.Tone = "ok"
	case LoadedWithFindings:
		p.Tone = "warn"
	default:
		p.Tone = "bad"
	}
	p.Title = "LedgerLoad: " + plain(l.Archive.Bucket) + " into " + plain(l.Target.Schema) + ": " + string(l.Verdict)
	total := l.total()
	p.Total = row{Table: total}
	for _, t := range l.Tables {
		r := row{t, len(t.follow()) > 0}
		p.Rows = append(p.Rows, r)
		p.Total.Bad = p.Total.Bad || r.Bad
		p.Checked = p.Checked || t.Evidence != nil
		p.Sums = p.Sums || t.Evidence != nil && t.Evidence.Checksum != ""
		p.Merged = p.Merged || t.Present > 0
	}
	if l.uncounted() == 0 {
		n := new(big.Int)
		for _, t := range l.Tables {
			n.Add(n, big.NewInt(t.Evidence.Revisions))
		}
		p.Counted = group(n.String())
	}
	p.Facts = l.facts(total)
	if p.Compared, p.Whole = l.compared(); l.Predicted != nil {
		p.MadeFrom = madeFrom(l.Predicted)
	}
	p.plot()
	p.Timeline = newTimeline(l.Phases, l.Finished)
	p.Never, p.Set = head(l.NeverFound), head(l.Quarantine.First)
	p.Reasons = head(reasons(l.Quarantine.First))
	p.Partial = int64(len(l.Quarantine.First)) < l.Quarantine.Total
	p.Gaps, p.Overlaps, p.Unused = head(l.Archive.Gaps), head(l.Archive.Overlaps), head(l.Archive.Unused)
	p.More = int64(len(p.Set)) < l.Quarantine.Total
	p.Asked = indent(l.Input)
	return p
}

// parts cuts a long name where a line may end: behind its separators.
func parts(name string) []string {
	var out []string
	name = plain(name)
	for name != "" {
		i := strings.IndexAny(name, "/._-:") + 1
		if i == 0 || len(out) == 40 {
			i = len(name)
		}
		out, name = append(out, name[:i]), name[i:]
	}
	return out
}

func head[T any](s []T) []T { return s[:min(len(s), mostShown)] }

// reasons counts quarantined revisions by table, path and reason, the commonest
// first: that is the order in which a mapping is mended.
func reasons(set []Quarantined) []reason {
	at := map[reason]int{}
	var out []reason
	for _, q := range set {
		k := reason{Table: q.Table, Path: q.Path, Reason: q.Reason}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, k)
		}
		out[i].Revisions++
	}
	slices.SortStableFunc(out, func(a, b reason) int { return cmp.Compare(b.Revisions, a.Revisions) })
	return out
}

func (l Load) facts(t Table) []fact {
	took := time.Duration(-1)
	if !l.Started.IsZero() && !l.Finished.IsZero() {
		took = l.Finished.Sub(l.Started)
	}
	of := ""
	if l.Archive.Bytes > 0 {
		of = "from " + size(float64(l.Archive.Bytes)) + " in " + count(l.Archive.Objects, "object")
	}
	speed := ""
	if r := rate(t.Read, took); r != "" {
		speed = r + " revisions a second"
	}
	left := ""
	if t.Withheld > 0 {
		left = count(t.Withheld, "document") + " withheld"
	}
	return []fact{
		{number(t.Read), "revisions read", of},
		{number(t.Staged), "revisions " + l.word(), "of " + count(int64(len(l.Tables)), "ledger table")},
		{number(t.Quarantined), "revisions quarantined", left},
		{number(t.Current), "current documents", number(t.Deleted) + " deleted"},
		{span(took), "from start to report", speed},
	}
}

// A barOf is what a bar of the plot shows.
type barOf struct {
	Name                                string
	Read, Loaded, Quarantined, Filtered int64
}

func (p *page) plot() {
	bars := make([]barOf, 0, len(p.Tables))
	for _, t := range p.Tables {
		p.Some.Quarantined = p.Some.Quarantined || t.Quarantined > 0
		p.Some.Filtered = p.Some.Filtered || t.Filtered > 0
		bars = append(bars, barOf{t.Name, t.Read, t.Staged, t.Quarantined, t.Filtered})
	}
	p.Plot = plot(bars)
}

// plot makes the stacked bars. Every part that is not zero is at least half a
// percent wide, so that one quarantined revision among a billion is seen.
func plot(bars []barOf) []bar {
	const least = 0.5
	var most int64
	for _, t := range bars {
		most = max(most, t.Read)
	}
	var out []bar
	for _, t := range bars {
		b := bar{Name: shorten(plain(t.Name), 48), Read: t.Read} // the table has the name whole
		classes := []string{"loaded", "quarantined", "filtered"}
		widths := make([]float64, 3)
		whole := 0.0
		for i, n := range []int64{t.Loaded, t.Quarantined, t.Filtered} {
			if n > 0 && most > 0 {
				widths[i] = max(float64(n)/float64(most)*100, least)
				whole += widths[i]
			}
		}
		// Wider parts, or figures that do not add up, must not draw outside the
		// plot: the widest gives way.
		if whole > 100 {
			i := slices.Index(widths, slices.Max(widths))
			widths[i] = max(widths[i]-(whole-100), least)
		}
		x := 0.0
		for i, w := range widths {
			if w = min(w, 100-x); w > 0 {
				b.Parts = append(b.Parts, part{classes[i], percent(x), percent(w)})
				x += w
			}
		}
		var extra []string
		if t.Quarantined > 0 {
			extra = append(extra, number(t.Quarantined)+" quarantined")
		}
		if t.Filtered > 0 {
			extra = append(extra, number(t.Filtered)+" filtered")
		}
		if !adds(t.Read, t.Loaded, t.Quarantined, t.Filtered) {
			extra = append(extra, "does not add up")
		}
		b.Extra = strings.Join(extra, ", ")
		out = append(out, b)
	}
	return out
}

func percent(x float64) string { return fmt.Sprintf("%.3f%%", x) }

// newTimeline places the phases between the first start and the last end. A
// phase that did not finish lasts until the report.
func newTimeline(phases []Phase, report time.Time) timeline {
	var t timeline
	var first, last time.Time
	for _, p := range phases {
		if p.Started.IsZero() {
			continue
		}
		if first.IsZero() || p.Started.Before(first) {
			first = p.Started
		}
		end := p.Finished
		if end.IsZero() {
			end = report
		}
		for _, x := range []time.Time{p.Started, end} {
			if x.After(last) {
				last = x
			}
		}
	}
	whole := last.Sub(first)
	if !first.IsZero() {
		t.From = when(first)
	}
	share := func(d time.Duration) float64 {
		if whole <= 0 {
			return 0
		}
		return min(max(float64(d)/float64(whole)*100, 0), 100)
	}
	const least = 0.4
	for _, p := range phases {
		b := phase{Phase: p, Begun: !p.Started.IsZero(), Ended: !p.Finished.IsZero()}
		if b.Begun {
			end := last
			if b.Ended {
				end = p.Finished
				d := p.Finished.Sub(p.Started)
				b.Took, b.RowRate = span(d), rate(p.Rows, d)
				if d > 0 && p.Bytes > 0 {
					b.ByteRate = size(float64(p.Bytes)/d.Seconds()) + "/s"
				}
			}
			w := max(share(end.Sub(p.Started)), least)
			b.X, b.Width = percent(min(share(p.Started.Sub(first)), 100-w)), percent(w)
		}
		t.Bars = append(t.Bars, b)
	}
	if whole > 0 {
		step := tickStep(whole)
		for d := time.Duration(0); d <= whole; d += step {
			x := share(d)
			k := tick{percent(x), tickLabel(d), "middle"}
			switch {
			case x < 3:
				k.Anchor = "start"
			case x > 95:
				k.Anchor = "end"
			}
			t.Ticks = append(t.Ticks, k)
		}
	}
	return t
}

// tickStep returns a round time that divides whole into at most six.
func tickStep(whole time.Duration) time.Duration {
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, d := range []time.Duration{
		10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		s, 2 * s, 5 * s, 10 * s, 15 * s, 30 * s, m, 2 * m, 5 * m, 10 * m, 15 * m, 30 * m, h, 2 * h, 6 * h, 12 * h,
	} {
		if whole/d <= 6 {
			return d
		}
	}
	const day = 24 * h
	return time.Duration(int64(whole/(6*day))+1) * day
}

func tickLabel(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Hour && d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d min", d/time.Minute, d%time.Minute/time.Second)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d:%02d h", d/time.Hour, d%time.Hour/time.Minute)
	}
}
