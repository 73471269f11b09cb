package change

import (
	"fmt"
	"slices"
)

// A TableLoad is one load of whole tables.
type TableLoad struct {
	ID string `json:"id"`
	// Plan is a digest of everything that decides what becomes of the tables. A
	// load goes on with the plan that it began with, or not at all.
	Plan   string      `json:"plan"`
	Tables []TableName `json:"tables"` // of the target
	// Replace lets the load take the place of what another load brought into
	// these tables, all of which is then dropped.
	Replace bool `json:"replace,omitempty"`
}

// Stage names the hidden schema of the load's tables of a target schema, where the
// target has hidden ones.
func (l *TableLoad) Stage(schema string) string {
	var schemas []string
	for _, t := range l.Tables {
		schemas = append(schemas, t.Schema)
	}
	slices.Sort(schemas)
	return fmt.Sprintf("godwit_load_%s_%d", l.ID[:min(16, len(l.ID))], slices.Index(slices.Compact(schemas), schema))
}

// A TableItem is a unit of work of a TableLoad: rows of one table, from one
// source that numbers them. Its ID is the load's only item of that name, and
// stands for the same rows in every attempt.
type TableItem struct {
	Load  string     `json:"load"`
	ID    string     `json:"id"`
	Table *TablePlan `json:"table"`
	Rows  Range      `json:"rows"`
}

// A Range is the rows First to Last, both of them included; none where Last is
// before First.
type Range struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Len is the number of rows.
func (r Range) Len() int64 { return max(0, r.Last-r.First+1) }

// Lines are consecutive rows of a source in PostgreSQL's text format of COPY, for
// the columns of the target's table. Who is given Lines may read them until it
// returns.
type Lines struct {
	First int64  // the number of the first row
	Data  []byte // the lines, each with its LF
	// Ends has an element for each row, where its line ends in Data. A row without
	// a line, because it was filtered out or refused, ends where the row before
	// it does, or at 0.
	Ends    []int
	Refused []Refusal // of these rows, in their order
}

// A Refusal is a row that the target cannot hold as it is, and that is left out
// for that reason. It names no value.
type Refusal struct {
	Row    int64  `json:"row"`
	Column string `json:"column,omitempty"` // "" where it is the row as a whole
	Reason string `json:"reason"`
}

// Counts account for rows of a source: each is one of the three.
type Counts struct {
	Loaded   int64 `json:"loaded"`
	Refused  int64 `json:"refused"`
	Filtered int64 `json:"filtered"`
}

// A TableProgress is how far the work on a TableItem has come.
type TableProgress struct {
	Counts         // of the whole item, whoever stored the rows
	Left   []Range `json:"left,omitempty"` // what remains; nil when the item is done
}

// A TableLoadState is what a target knows of a TableLoad.
type TableLoadState struct {
	TableLoad
	Published bool        `json:"published"`
	Items     []ItemState `json:"items"` // those that have begun, by their ID
}

// An ItemState is what is recorded of a TableItem. Its counts tell nothing of the
// rows in between that no transaction brought yet.
type ItemState struct {
	ID string `json:"id"`
	Counts
}

// A TablePage is where the rows of a table were read to, in the order of its key.
type TablePage struct {
	After []string `json:"after,omitempty"` // texts of the key of the last row; nil before the first page
	Rows  int      `json:"rows,omitempty"`  // of the next page, at most; 0 leaves it to the reader
	End   bool     `json:"end,omitempty"`   // no row is behind it
}

// A TableRepair makes rows of a table others: those of some keys go out, then
// others come in. Its ID is its load's only one, and stands for the same rows in
// every attempt.
type TableRepair struct {
	Load  string
	ID    string
	Table *TablePlan // one of Plans, with a key
	Plans []TablePlan
	Out   int64 // rows that go out, as lines of COPY text of the key's columns
	In    int64 // rows that come in, as lines of those that a load writes
}

// The phases of what is built beside rows.
const (
	BuildIndexes     = "indexes"      // indexes, and the UNIQUE constraints that own one
	BuildForeignKeys = "foreign keys" // foreign keys
)

// A BuildState is how far a phase of what is built has come.
type BuildState struct {
	Done    int           `json:"done"`
	Running int           `json:"running"` // ask again while it is not 0
	Failed  []BuildResult `json:"failed,omitempty"`
}

// A BuildResult is an index or a constraint that could not be built, and why. It
// names no value.
type BuildResult struct {
	Table  TableName `json:"table"`
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
}
