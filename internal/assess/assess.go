package assess

import (
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
	// Export is the tables that the export's metadata names; nil before there is an
	// export, which makes what it will skip a finding.
	Export  []Table
	Rules   *mapping.Tables // nil is none
	Profile *profile.Profile
}

// A Table is a table as the export's metadata has it.
type Table struct {
	Name    change.TableName
	Columns []Column
}

// A Column is a column as the export's metadata has it: originalTypeMappings.
type Column struct {
	Name         string
	OriginalType string // as information_schema or the server spells it: character varying, ARRAY, int4
	Exported     string // expectedExportedType
	CharLength   int    // originalCharMaxLength; 0 is none
	Precision    int    // originalNumPrecision; 0 is none
	TimeDigits   int    // originalDateTimePrecision; -1 is none
}

// A Verdict is what becomes of something.
type Verdict string

// The verdicts.
const (
	Keep    Verdict = "keep"    // as it is; the finding is something to know
	Convert Verdict = "convert" // by a stated rule
	Refuse  Verdict = "refuse"  // stops the load until somebody decides
	Lost    Verdict = "lost"    // the target will not have it
)

// A Finding says what becomes of something, why, and what to do. Why and Do are
// sentences; Do is empty where nothing is to be done.
type Finding struct {
	Table   change.TableName `json:"table,omitzero"` // of the source; zero is the database
	Column  string           `json:"column,omitempty"`
	Kind    string           `json:"kind"`           // a stable name of the reason: type-text, key-size
	Name    string           `json:"name,omitempty"` // of a constraint, index or object
	Verdict Verdict          `json:"verdict"`
	Why     string           `json:"why"`
	Do      string           `json:"do,omitempty"`
}

// A Decision is what becomes of a database.
type Decision struct {
	Plans    []change.TablePlan `json:"plans"` // by source name
	Findings []Finding          `json:"findings,omitempty"`
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

// Decide decides. An error means that the input contradicts itself; everything
// that a user can do something about is a finding.
func Decide(in Input) (*Decision, error) {
	return &Decision{}, nil
}

// KeySQL returns the rule that makes the target's key as an SQL expression over
// the columns of the source's table, of type uuid; "" where the key is not made by
// KeyUUID. It runs on PostgreSQL 11 and later and on Aurora DSQL.
func KeySQL(plan *change.TablePlan) string { return "" }
