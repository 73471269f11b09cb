package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"godwit/internal/estimate"
)

// A Moved database is what the two reports of a snapshot have in common: where it
// comes from, where it goes, and what becomes of everything in it.
type Moved struct {
	LoadID    string          `json:",omitempty"`
	Execution string          `json:",omitempty"` // name of the state machine's execution
	Input     json.RawMessage `json:",omitempty"` // of the execution, as it was given
	Mapping   Mapping         // From is "" where there are no rules
	Finished  time.Time       // when the report was written

	Source    MovedSource
	Target    MovedTarget
	Tables    []MovedTable       // by source when rendered
	Decisions []Decision         // worst first when rendered
	Keys      []KeyRule          // of tables whose keys become UUIDs; by source when rendered
	Known     []TargetFact       // what the target can do, as the decisions rest on it
	Findings  []Finding          // what the caller has to say; findings that follow from the rest are added
	Estimate  *estimate.Estimate `json:",omitempty"`
}

// A MovedSource is the database that is moved.
type MovedSource struct {
	Snapshot string `json:",omitempty"` // ARN; "" where there is none, or an export was given
	Taken    string `json:",omitempty"` // when the snapshot was, as AWS spells it
	Export   string `json:",omitempty"` // S3 URI of the folder
	Task     string `json:",omitempty"` // that exported; "" where an export was given
	Database string
	Server   string `json:",omitempty"` // PostgreSQL 17; "" where nobody says
	Catalog  bool   // keys, foreign keys, defaults and indexes are those of the source's catalog
	GiB      int64  `json:",omitempty"` // that RDS bills the export by; 0 is not known
}

// A MovedTarget is where it goes.
type MovedTarget struct {
	Cluster string `json:",omitempty"` // ARN; "" where none is named
	Profile string // what it can do, by name: aurora-dsql
	AsOf    string // newest day of the profile's facts
	Probed  string `json:",omitempty"` // day on which the target itself was asked; "" is never
}

// A Fate is what becomes of a table, a column or anything else of the source.
type Fate string

// The fates. Programs may branch on them.
const (
	Kept      Fate = "keep"      // as it is
	Converted Fate = "convert"   // by a stated rule that keeps every value, or refuses the row
	Refused   Fate = "refuse"    // stops the load until somebody decides
	Lost      Fate = "lost"      // the target will not have it; no value of a loaded column is lost by it
	LeftOut   Fate = "leave out" // as the mapping asks
)

var fates = []Fate{Refused, Lost, Converted, LeftOut, Kept} // worst first

// A Decision says what becomes of something, and why.
type Decision struct {
	Table  string `json:",omitempty"` // of the source, with its schema; "" is the database
	Column string `json:",omitempty"`
	Name   string `json:",omitempty"` // of a constraint, an index or another object
	Kind   string // what it is about; stable, for programs: type-text, foreign-key
	Fate   Fate
	Why    string
	Do     string `json:",omitempty"`
}

// A MovedTable is what becomes of a table.
type MovedTable struct {
	Source  string // with its schema
	Target  string `json:",omitempty"` // "" where it is not loaded
	Fate    Fate   // worked out: the worst of its columns and of the decisions about it
	Columns []MovedColumn
	Key     []string // of the target; empty where it has none
	Indexes int      // of the target, beside the key
	Foreign int      // foreign keys of the target
	// Rows and Bytes of the source as its catalog estimates them, or Bytes of the
	// export; -1 is not known.
	Rows    int64
	Bytes   int64
	Account *RowAccount `json:",omitempty"` // nil before a load
}

// A MovedColumn is what becomes of a column; its decisions say why.
type MovedColumn struct {
	Source     string `json:",omitempty"` // several, with commas, where a key of several columns becomes one; "" where the target alone has it
	SourceType string `json:",omitempty"`
	Target     string `json:",omitempty"` // "" where it is not loaded
	TargetType string `json:",omitempty"`
	Fate       Fate   // worked out
	By         string `json:",omitempty"` // the conversion, in words; "" where there is none
	Why        string `json:",omitempty"` // worked out: the decisions about it
}

// A KeyRule is how the keys of a table become UUIDs, for the application's team.
type KeyRule struct {
	Table string // of the source
	SQL   string // an expression over the source's columns
}

// A TargetFact is something that the target can do or cannot, and how that is known.
type TargetFact struct {
	Name   string
	Value  string
	Source string
	AsOf   string // 2006-01-02
	// Doubtful says that sources differ, and no probe of the target settled it.
	Doubtful bool
}

// whole returns it with its lists not nil, sorted, and what follows from them.
func (m Moved) whole() (Moved, error) {
	m.Finished = utc(m.Finished)
	if len(m.Input) > 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, m.Input); err != nil {
			return Moved{}, fmt.Errorf("read the input of the execution: %w", err)
		}
		m.Input = compact.Bytes()
	}
	m.Decisions, m.Keys, m.Known, m.Findings = list(m.Decisions), list(m.Keys), list(m.Known), list(m.Findings)
	for _, d := range m.Decisions {
		if !slices.Contains(fates, d.Fate) {
			return Moved{}, fmt.Errorf("fate %q of decision %q is none of %q", d.Fate, d.Why, fates)
		}
	}
	slices.SortStableFunc(m.Decisions, func(a, b Decision) int {
		return cmp.Or(cmp.Compare(slices.Index(fates, a.Fate), slices.Index(fates, b.Fate)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Name, b.Name))
	})
	m.Tables = list(m.Tables)
	slices.SortStableFunc(m.Tables, func(a, b MovedTable) int { return cmp.Compare(a.Source, b.Source) })
	slices.SortStableFunc(m.Keys, func(a, b KeyRule) int { return cmp.Compare(a.Table, b.Table) })
	slices.SortStableFunc(m.Known, func(a, b TargetFact) int { return cmp.Compare(a.Name, b.Name) })
	about := map[string][]Decision{}
	for _, d := range m.Decisions {
		about[d.Table] = append(about[d.Table], d)
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		t.Key, t.Columns = list(t.Key), list(t.Columns)
		t.decide(about[t.Source])
		if a := t.Account; a != nil {
			b := *a
			b.Listed, b.Repaired = list(b.Listed), list(b.Repaired)
			t.Account = &b
		}
	}
	return m, nil
}

// decide works out the fates of a table and its columns.
func (t *MovedTable) decide(about []Decision) {
	t.Fate = LeftOut
	if t.Target != "" {
		t.Fate = Kept
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		c.Why = ""
		switch c.Fate = Kept; {
		case c.Target == "":
			c.Fate = LeftOut
		case c.By != "":
			c.Fate = Converted
		}
		for _, d := range about {
			if d.Column != "" && (d.Column == c.Source || c.Source == "" && d.Column == c.Target) {
				c.Fate = worse(c.Fate, d.columnFate())
				c.Why = joinText(c.Why, d.Why)
			}
		}
		if c.Target != "" || c.Fate == Refused {
			t.Fate = worse(t.Fate, c.Fate)
		}
	}
	for _, d := range about {
		if d.Column == "" && (d.Fate != Lost || t.Target == "") { // what is lost beside a loaded table's rows is told of apart
			t.Fate = worse(t.Fate, d.Fate)
		}
	}
}

// columnFate is the fate that a decision gives its column: what is lost of a column
// that is loaded, a default say, leaves its values as they are.
func (d Decision) columnFate() Fate {
	if d.Fate == Lost {
		return Kept
	}
	return d.Fate
}

func worse(a, b Fate) Fate {
	if slices.Index(fates, b) < slices.Index(fates, a) {
		return b
	}
	return a
}

func joinText(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

// A sizing counts tables and columns by what becomes of them.
type sizing struct {
	Tables, Loaded                             int64
	Columns, Kept, Converted, LeftOut, Refused int64
	Indexes, Foreign                           int64
	Rows, Bytes                                int64 // of what is loaded; -1 where some is not known
}

func (m Moved) sizing() (s sizing) {
	for _, t := range m.Tables {
		s.Tables++
		if t.Target == "" {
			continue
		}
		s.Loaded++
		s.Indexes += int64(t.Indexes)
		s.Foreign += int64(t.Foreign)
		if t.Rows < 0 || s.Rows < 0 {
			s.Rows = -1
		} else {
			s.Rows = capped(sum(s.Rows, t.Rows))
		}
		if t.Bytes < 0 || s.Bytes < 0 {
			s.Bytes = -1
		} else {
			s.Bytes = capped(sum(s.Bytes, t.Bytes))
		}
		for _, c := range t.Columns {
			s.Columns++
			switch c.Fate {
			case Converted:
				s.Converted++
			case LeftOut:
				s.LeftOut++
			case Refused:
				s.Refused++
			case Kept, Lost:
				s.Kept++
			}
		}
	}
	return s
}

// of returns how many decisions have a fate.
func (m Moved) of(f Fate) (n int64) {
	for _, d := range m.Decisions {
		if d.Fate == f {
			n++
		}
	}
	return n
}

// where names what a decision is about.
func (d Decision) where() string {
	at := d.Table
	if d.Column != "" {
		at = joinName(at, d.Column)
	}
	if d.Name != "" {
		if at != "" {
			at += ", "
		}
		at += d.Name
	}
	if at == "" {
		return "the database"
	}
	return at
}

func joinName(table, column string) string {
	if table == "" {
		return column
	}
	return table + "." + column
}

// refusals are findings: what stops a load.
func (m Moved) refusals() []Finding {
	var out []Finding
	for _, d := range m.Decisions {
		if d.Fate == Refused {
			out = append(out, Finding{Code: "refused", Severity: Error, Text: d.where() + ": " + d.Why, Next: d.Do})
		}
	}
	return out
}

// settle adds findings that follow from the rest, and sorts them, worst first.
func (m *Moved) settle(follow []Finding) error {
	for _, f := range follow {
		if !slices.Contains(m.Findings, f) {
			m.Findings = append(m.Findings, f)
		}
	}
	for _, f := range m.Findings {
		if rank(f.Severity) < 0 {
			return fmt.Errorf("severity %q of finding %q is none of %q, %q, %q", f.Severity, f.Text, Error, Warning, Note)
		}
	}
	slices.SortStableFunc(m.Findings, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return nil
}
