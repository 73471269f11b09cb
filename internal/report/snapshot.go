package report

import (
	"fmt"
	"strings"
	"time"
)

// SnapshotFormat is the member "Format" of every report.json of SnapshotLoad that
// this package writes.
const SnapshotFormat = "godwit.snapshotload/1"

// A Snapshot is what SnapshotLoad did. The caller fills in all but Format, Verdict
// and Sentence, and what Moved says is worked out.
type Snapshot struct {
	Format   string
	Verdict  Arrival // worked out
	Sentence string  // the verdict in words, worked out
	Moved
	Times  SnapshotTimes
	Phases []Phase // of the load, as far as their times are known
}

// An Arrival answers "is everything there, and equal?".
type Arrival string

// The verdicts of a load of a snapshot, best first. Programs may branch on them.
const (
	Arrived             Arrival = "complete"               // every row is in the target, compared value by value
	ArrivedWithFindings Arrival = "complete with findings" // a person should read the findings
	Differs             Arrival = "not complete"           // rows differ, or the account does not add up: the load stopped
)

// A RowAccount is what became of the rows of a table. For every table
// Exported = Loaded + Quarantined + Filtered must hold, and the target must have
// the loaded ones, each with the values of the export.
type RowAccount struct {
	Exported    int64 // rows in the export, counted by the verifier
	Loaded      int64
	Quarantined int64 // refused: the target cannot hold them
	Filtered    int64 // left out by the mapping's filter

	Compared    bool   // with the target, all of them
	Expected    int64  // rows that the target must have, by the verifier
	Found       int64  // that it has
	Differing   int64  // buckets of rows that are not the same; 0 is equal
	Differences int64  // rows in them that are not the same, as far as they were counted
	Unlisted    string `json:",omitempty"` // why none is listed, though some differ
	Listed      []RowDifference
	Repaired    []RowDifference // that differed, and were put right and compared again
	RepairedAll int64           // how many; Repaired lists the first ones
}

// A RowDifference is a row that was not the same on both sides.
type RowDifference struct {
	Kind    string            // missing, extra, different
	Key     []string          `json:",omitempty"` // of the target; none where the table has none
	Columns []ValueDifference `json:",omitempty"`
}

// A ValueDifference is a column of which the two sides have other values, each as
// what may be shown of it: its length, or that it is NULL.
type ValueDifference struct{ Column, Source, Target string }

// SnapshotTimes are the moments that the downtime is made of, where they are known.
// Those of the export are of RDS's clock, the others of the functions'.
type SnapshotTimes struct {
	ExportBegan time.Time `json:",omitzero"`
	ExportEnded time.Time `json:",omitzero"`
	LoadBegan   time.Time `json:",omitzero"` // first tables made
	VerifyBegan time.Time `json:",omitzero"` // rows, indexes and foreign keys are there
	VerifyEnded time.Time `json:",omitzero"` // repairs included
}

// Complete returns the report with its verdict, its sentence and every finding that
// follows from the figures, in the order in which they are shown. Lists are not
// nil, times are UTC, and s is not touched. Completing again changes nothing.
func (s Snapshot) Complete() (Snapshot, error) {
	fail := func(err error) (Snapshot, error) {
		return Snapshot{}, fmt.Errorf("report load %s: %w", s.LoadID, err)
	}
	s.Format = SnapshotFormat
	var err error
	if s.Moved, err = s.whole(); err != nil {
		return fail(err)
	}
	t := &s.Times
	for _, at := range []*time.Time{&t.ExportBegan, &t.ExportEnded, &t.LoadBegan, &t.VerifyBegan, &t.VerifyEnded} {
		*at = utc(*at)
	}
	s.Phases = list(s.Phases)
	for i, p := range s.Phases {
		s.Phases[i].Started, s.Phases[i].Finished = utc(p.Started), utc(p.Finished)
	}
	if err := s.settle(s.follow()); err != nil {
		return fail(err)
	}
	s.Verdict = Arrived
	if len(s.Findings) > 0 { // sorted, worst first
		switch s.Findings[0].Severity {
		case Error:
			s.Verdict = Differs
		case Warning:
			s.Verdict = ArrivedWithFindings
		case Note:
		}
	}
	s.Sentence = s.sentence()
	return s, nil
}

const loadAnew = "Unless somebody else wrote to these tables, please report this. Start again with the same input and \"Repair\": true, which puts these rows right, or with \"Replace\": true to load everything anew."

// follow returns the findings that follow from the figures.
func (s Snapshot) follow() []Finding {
	var out []Finding
	add := func(code string, severity Severity, next, format string, args ...any) {
		out = append(out, Finding{Code: code, Severity: severity, Text: fmt.Sprintf(format, args...), Next: next})
	}
	var loaded int64
	for _, t := range s.Tables {
		if t.Target == "" {
			continue
		}
		loaded++
		a := t.Account
		if a == nil {
			add("not-counted", Error, "Please report this.", "Table %s: nobody accounted for its rows.", t.Source)
			continue
		}
		for _, n := range []int64{a.Exported, a.Loaded, a.Quarantined, a.Filtered, a.Expected, a.Found} {
			if n < 0 {
				add("negative", Error, "Please report this.", "Table %s: a count is negative (%s).", t.Source, number(n))
				break
			}
		}
		if !adds(a.Exported, a.Loaded, a.Quarantined, a.Filtered) {
			add("rows-differ", Error, "Please report this, and do not rely on this load.", "Table %s: the export has %s, and loaded + quarantined + filtered are %s + %s + %s = %s.",
				t.Source, count(a.Exported, "row"), number(a.Loaded), number(a.Quarantined), number(a.Filtered), group(sum(a.Loaded, a.Quarantined, a.Filtered).String()))
		}
		switch {
		case !a.Compared:
			add("not-compared", Error, "Start again with the same input: the load goes on where it stopped.", "Table %s: its rows were not compared with the target.", t.Source)
		case a.Differing > 0 || a.Expected != a.Found:
			add("target-differs", Error, loadAnew, "Table %s: %s expected in the target and %s there; %s.", t.Target, count(a.Expected, "row", "is", "are"), count(a.Found, "", "is", "are"), a.differ())
		case a.Expected != a.Loaded:
			add("loaded-differs", Error, "Please report this, and do not rely on this load.", "Table %s: the loader says that it loaded %s, and the verifier expects %s.", t.Source, count(a.Loaded, "row"), number(a.Expected))
		}
	}
	total := s.account()
	if n := total.Quarantined; n > 0 {
		add("quarantined", Warning, "They are in the export and not in the target: load them by other means, or change the mapping and load again. The quarantine lists them by part, row and column.",
			"%s of %s could not be held by the target and %s left out, as the input accepts.", number(n), count(total.Exported, "row"), was(n))
	}
	if n := total.RepairedAll; n > 0 {
		add("repaired", Warning, "Find out who wrote to these tables while they were loaded; if nobody did, please report this.", "%s not what the export says, %s put right and compared again.", count(n, "row of the target was", "rows of the target were"), was(n))
	}
	if n := total.Filtered; n > 0 {
		add("filtered", Note, "", "%s left out by the filters of the mapping.", count(n, "row was", "rows were"))
	}
	if loaded == 0 {
		add("nothing-loaded", Warning, "Check Only, Database and the mapping in the input.", "No table was loaded.")
	}
	return out
}

func (a *RowAccount) differ() string {
	switch {
	case a.Differences > 0:
		return count(a.Differences, "row differs", "rows differ")
	case a.Differing > 0:
		text := count(a.Differing, "group", "of rows differs", "of rows differ")
		if a.Unlisted != "" {
			text += ", and no row is listed because " + a.Unlisted
		}
		return text
	}
	return "every group of rows is equal"
}

// equal says that the target has what the export says.
func (a *RowAccount) equal() bool {
	return a != nil && a.Compared && a.Differing == 0 && a.Expected == a.Found && a.Expected == a.Loaded && adds(a.Exported, a.Loaded, a.Quarantined, a.Filtered)
}

// account sums the tables.
func (s Snapshot) account() RowAccount {
	var all RowAccount
	for _, t := range s.Tables {
		a := t.Account
		if a == nil {
			continue
		}
		for _, x := range []struct {
			to *int64
			n  int64
		}{
			{&all.Exported, a.Exported},
			{&all.Loaded, a.Loaded},
			{&all.Quarantined, a.Quarantined},
			{&all.Filtered, a.Filtered},
			{&all.Expected, a.Expected},
			{&all.Found, a.Found},
			{&all.Differences, a.Differences},
			{&all.RepairedAll, a.RepairedAll},
		} {
			*x.to = capped(sum(*x.to, x.n))
		}
	}
	return all
}

func (s Snapshot) sentence() string {
	a, n := s.account(), s.sizing().Loaded
	schemas := map[string]bool{}
	for _, t := range s.Tables {
		if t.Target != "" {
			schema, _, _ := strings.Cut(t.Target, ".")
			schemas[schema] = true
		}
	}
	switch s.Verdict {
	case Differs:
		return "The target is not what the export says: do not use it until every error below is settled."
	case ArrivedWithFindings:
		return fmt.Sprintf("%s of %s exported are in %s of the target, each compared value by value. Read the findings.", number(a.Loaded), count(a.Exported, "row"), count(n, "table"))
	case Arrived:
	}
	if a.Filtered > 0 {
		return fmt.Sprintf("Everything that was asked for arrived: of %s exported, %s are in %s of the target, each compared value by value, and %s left out by filters.", count(a.Exported, "row"), number(a.Loaded), count(n, "table"), count(a.Filtered, "", "was", "were"))
	}
	return fmt.Sprintf("Everything arrived: all %s exported are in %s of the target, and every value was compared.", count(a.Exported, "row"), count(n, "table"))
}

// JSON returns report.json, with everything worked out.
func (s Snapshot) JSON() ([]byte, error) {
	c, err := s.Complete()
	if err != nil {
		return nil, err
	}
	return encode(c, "the report of load "+s.LoadID)
}

// ParseSnapshot reads report.json of SnapshotLoad. Members that it does not know
// are left out.
func ParseSnapshot(b []byte) (Snapshot, error) {
	var s Snapshot
	err := decode(b, &s, &s.Format, SnapshotFormat, "report.json")
	return s, err
}
