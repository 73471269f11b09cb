package report

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// The plot shows so many tables, the largest.
const mostBars = 20

// HTML returns report.html of SnapshotLoad: one file, without scripts and without
// anything to fetch.
func (s Snapshot) HTML() ([]byte, error) {
	c, err := s.Complete()
	if err != nil {
		return nil, err
	}
	v, err := newSnapshotPage(c)
	if err != nil {
		return nil, err
	}
	b, err := render("snapshot.html.tmpl", func(css template.CSS) any {
		v.CSS = css
		return v
	})
	if err != nil {
		return nil, fmt.Errorf("write report.html of load %s: %w", c.LoadID, err)
	}
	return b, nil
}

// A snapshotPage is what the template shows.
type snapshotPage struct {
	movedPage
	Format, Sentence, Next string
	Verdict                Arrival
	Account                RowAccount
	Unequal                bool // some table is not as the export says
	Rows                   []rowView
	Plot                   []bar
	Smaller                bool // tables that the plot does not show
	Differing, Mended      []rowsOf
	Laps                   []lap
	Downtime, DowntimeNote string
	Timeline               timeline
}

// A rowView is the account of a table.
type rowView struct {
	ID, Name string
	Account  *RowAccount
	Equal    bool
}

// A rowsOf is rows of a table.
type rowsOf struct {
	Name  string
	Count int64 // of which List has the first
	List  []RowDifference
}

// All is Count, as templates compare it.
func (r rowsOf) All() int { return int(min(r.Count, 1<<31-1)) }

// A lap is a step of the time without writes.
type lap struct{ Name, Took, Note string }

func newSnapshotPage(s Snapshot) (snapshotPage, error) {
	v := snapshotPage{Format: s.Format, Sentence: s.Sentence, Verdict: s.Verdict, Account: s.account()}
	var err error
	if v.movedPage, err = newMovedPage(s.Moved, "report.json"); err != nil {
		return snapshotPage{}, err
	}
	switch s.Verdict {
	case Arrived:
		v.Tone, v.Next = "ok", "Grant your readers and writers what they need, look over what is converted and lost, point the application to the target, and keep this report."
	case ArrivedWithFindings:
		v.Tone = "warn"
	default:
		v.Tone = "bad"
	}
	v.Title = "SnapshotLoad: " + plain(s.Source.Database) + " into " + plain(s.Target.Profile) + ": " + string(s.Verdict)
	var bars []barOf
	for _, t := range v.Views {
		if t.Target == "" {
			continue
		}
		r := rowView{ID: t.ID, Name: t.Source, Account: t.Account, Equal: t.Account.equal()}
		v.Rows = append(v.Rows, r)
		v.Unequal = v.Unequal || !r.Equal
		a := t.Account
		if a == nil {
			continue
		}
		bars = append(bars, barOf{t.Source, a.Exported, a.Loaded, a.Quarantined, a.Filtered})
		if len(a.Listed) > 0 {
			v.Differing = append(v.Differing, rowsOf{t.Target, max(a.Differences, int64(len(a.Listed))), head(a.Listed)})
		}
		if len(a.Repaired) > 0 {
			v.Mended = append(v.Mended, rowsOf{t.Target, max(a.RepairedAll, int64(len(a.Repaired))), head(a.Repaired)})
		}
	}
	slices.SortStableFunc(bars, func(a, b barOf) int { return cmp.Compare(b.Read, a.Read) })
	v.Smaller = len(bars) > mostBars
	v.Plot = plot(bars[:min(len(bars), mostBars)])
	v.Laps, v.Downtime, v.DowntimeNote = s.laps()
	v.Timeline = newTimeline(s.Phases, s.Finished)
	v.Facts = s.facts(v.Downtime)
	return v, nil
}

// laps are the steps of the time without writes, and their sum. A step that ends
// before it begins is of two clocks that differ: it is not known.
func (s Snapshot) laps() (list []lap, together, note string) {
	t := s.Times
	var sum time.Duration
	known := true
	add := func(name string, from, to time.Time, must bool, note string) {
		took := took(from, to)
		if took == "" && !must {
			return
		}
		if took != "" {
			sum += to.Sub(from)
		}
		known = known && took != ""
		list = append(list, lap{name, took, note})
	}
	add("Export", t.ExportBegan, t.ExportEnded, true, "RDS restores the snapshot and writes it to S3, by RDS's own clock")
	add("Planning", t.ExportEnded, t.LoadBegan, false, "until the export was seen to be complete, the catalogue read, and the rows shared out")
	add("Load", t.LoadBegan, t.VerifyBegan, true, "tables, rows, indexes, foreign keys; pauses between executions are in it")
	add("Verification", t.VerifyBegan, t.VerifyEnded, true, "digests of the target, the comparison, and repairs if there were any")
	together = span(sum)
	switch {
	case sum == 0 && !known:
		together, note = "unknown", "No step's time is known."
	case !known:
		together, note = "at least "+together, "Not every step's time is known."
	default:
		note = "The time that the snapshot itself took, and from there to the export's beginning, comes before it."
	}
	return list, together, note
}

func (s Snapshot) facts(downtime string) []fact {
	a := s.account()
	n := s.sizing()
	equal := "each compared, and equal"
	if s.Verdict == Differs {
		equal = "read the errors"
	}
	out := []fact{
		{number(a.Exported), "rows exported", "of " + count(n.Loaded, "table")},
		{number(a.Found), "rows in the target", equal},
		{number(a.Quarantined), "rows quarantined", ""},
		{downtime, "without writes", lapWords(s)},
	}
	if a.Filtered > 0 {
		out = append(out, fact{number(a.Filtered), "rows filtered out", ""})
	}
	if a.RepairedAll > 0 {
		out = append(out, fact{number(a.RepairedAll), "rows put right", ""})
	}
	return out
}

func lapWords(s Snapshot) string {
	laps, _, _ := s.laps()
	var words []string
	for _, l := range laps {
		if l.Took != "" {
			words = append(words, strings.ToLower(l.Name)+" "+l.Took)
		}
	}
	return strings.Join(words, ", ")
}
