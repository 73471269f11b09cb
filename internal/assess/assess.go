package assess

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/mapping"
	"godwit/internal/profile"
)

// Input is what a decision is made of.
type Input struct {
	// Catalog is the source's; nil where it is gone: types then come from Export,
	// keys from Rules, and there are no foreign keys.
	Catalog *catalog.Catalog
	// Database is the source's; "" is Catalog's.
	Database string
	// Export is the tables that the export's metadata names; nil before there is an
	// export: what it will skip is then foretold.
	Export []Table
	// Partial says that the export was asked for some tables only, so that others
	// are not missed.
	Partial bool
	Rules   *mapping.Tables // nil is none
	Profile *profile.Profile
}

// A Table is a table as the export's metadata has it.
type Table struct {
	Name    change.TableName
	Columns []Column
	// Empty says that the export has no part of it, and so no row; false is not known.
	Empty bool
}

// A Column is a column as the export's metadata has it (originalTypeMappings).
type Column struct {
	Name      string
	Type      string // of PostgreSQL: character varying, int4, ARRAY, USER-DEFINED
	Exported  string // of Parquet: int64, binary (UTF8)
	MaxLength int64  // characters; 0 where there is no limit
	Precision int64  // of a numeric; 0 where there is none
	Fraction  int64  // digits of a second; 0 where it is not told
}

// A Verdict is what becomes of something.
type Verdict string

// The verdicts.
const (
	Keep    Verdict = "keep"    // as it is; the finding is something to know
	Convert Verdict = "convert" // by a stated rule that keeps every value, or refuses the row
	Refuse  Verdict = "refuse"  // stops the load until somebody decides
	Lost    Verdict = "lost"    // the target will not have it; no value is lost by it
)

// A Finding says what becomes of something, why, and what to do. Why and Do are
// sentences for people; Do is empty where nothing is to be done.
type Finding struct {
	Table   change.TableName `json:"table,omitzero"` // of the source; zero is the database
	Column  string           `json:"column,omitempty"`
	Name    string           `json:"name,omitempty"` // of a constraint, an index or another object
	Kind    string           `json:"kind"`           // what it is about, for programs: one of the Kind constants
	Verdict Verdict          `json:"verdict"`
	Why     string           `json:"why"`
	Do      string           `json:"do,omitempty"`
}

// A Decision is what becomes of a database. A column of a plan without a finding
// is kept as it is.
type Decision struct {
	Plans    []change.TablePlan `json:"plans"`              // by source
	Findings []Finding          `json:"findings,omitempty"` // of the database, then by table, column, kind and name
}

// Refused returns the findings that stop a load.
func (d *Decision) Refused() []Finding {
	var list []Finding
	for _, f := range d.Findings {
		if f.Verdict == Refuse {
			list = append(list, f)
		}
	}
	return list
}

// Decide decides. The plans are good to load by when nothing is refused. An error
// means that the input is not complete; everything that its user can do something
// about is a finding.
func Decide(in Input) (*Decision, error) {
	if in.Profile == nil {
		return nil, errors.New("assess: the profile of the target is missing")
	}
	if in.Catalog == nil && in.Export == nil {
		return nil, errors.New("assess: there is neither a catalog nor an export's metadata to go by")
	}
	d := &decider{in: in, profile: in.Profile, rules: in.Rules, byName: map[change.TableName]*table{}}
	if d.rules == nil {
		d.rules = &mapping.Tables{}
	}
	d.database = cmp.Or(in.Database, "database")
	if in.Database == "" && in.Catalog != nil {
		d.database = in.Catalog.Database
	}
	d.namespace = cmp.Or(d.rules.Namespace, d.database)
	d.gather()
	d.checkRules()
	d.placeTables()
	d.decideColumns()
	d.decideKeys()
	d.widenIdentities()
	d.nameColumns()
	for _, t := range d.tables {
		d.planColumns(t)
		d.planKey(t)
		d.planUniques(t)
		d.planChecks(t)
		d.planIndexes(t)
	}
	for _, t := range d.tables {
		d.planForeign(t) // which needs the keys of the others
	}
	for _, t := range d.tables {
		d.limit(t)
	}
	d.nameIndexes()
	d.aboutDatabase()
	return d.decision(), nil
}

// A decider holds what is decided so far.
type decider struct {
	in        Input
	profile   *profile.Profile
	rules     *mapping.Tables
	database  string
	namespace string
	tables    []*table // that are loaded, by source name
	byName    map[change.TableName]*table
	findings  []Finding
	exports   map[change.TableName]*Table // of the input
}

func (d *decider) add(f Finding) { d.findings = append(d.findings, f) }

// about adds a finding about a table.
func (d *decider) about(t *table, verdict Verdict, kind, column, name, why, do string) {
	d.add(Finding{Table: t.source, Column: column, Name: name, Kind: kind, Verdict: verdict, Why: why, Do: do})
}

func (d *decider) decision() *Decision {
	slices.SortStableFunc(d.findings, func(a, b Finding) int {
		return cmp.Or(compareNames(a.Table, b.Table), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	// Partitions of one table differ alike.
	d.findings = slices.Compact(d.findings)
	dec := &Decision{Findings: d.findings, Plans: make([]change.TablePlan, 0, len(d.tables))}
	for _, t := range d.tables {
		dec.Plans = append(dec.Plans, t.plan)
	}
	return dec
}

func compareNames(a, b change.TableName) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
}

// spell writes a table's name for sentences.
func spell(t change.TableName) string { return t.Schema + "." + t.Name }

// by says where a fact is from, at the end of a sentence.
func by(f profile.Fact) string { return fmt.Sprintf(" (%s)", f) }
