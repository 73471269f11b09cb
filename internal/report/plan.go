package report

import (
	"encoding/json"
	"time"

	"godwit/internal/estimate"
)

// PlanFormat is the member "Format" of every plan-report.json that this package
// writes.
const PlanFormat = "godwit.ledgerplan/1"

// A Plan is what LedgerLoad would do: what plan mode found out without touching
// the target. The caller fills in all but Format, Verdict, Sentence, Next and
// LoadInput, which are worked out from the rest.
type Plan struct {
	Format    string
	Verdict   Readiness       // worked out
	Sentence  string          // the verdict in words, worked out
	Next      string          // what to do, worked out
	LoadInput json.RawMessage `json:",omitempty"` // what to start the load with, worked out of Input

	LoadID    string          // that the load will have
	Execution string          `json:",omitempty"`
	Software  string          `json:",omitempty"` // version of godwit that ran
	Input     json.RawMessage `json:",omitempty"` // of the execution, as it was given
	Mapping   Mapping
	Finished  time.Time // when the report was written

	Archive    Archive
	Target     Target
	Tables     []PlannedTable // one per ledger table name; sorted by name when rendered
	Missing    []string       // what preflight misses, each with what mends it
	Warnings   []string       // of preflight
	Stops      []PlannedStop  // what would stop the load, the first ones
	MoreStops  int64          // that are not listed
	Unread     int64          // blocks that could not be read for one of Stops
	Quarantine Quarantine     // what would be set aside
	Untyped    []Untyped      // revisions in JSON that a load would not prove
	Redactions int64          // that the archive asks for
	// KeepRedacted says that the input asks not to apply them.
	KeepRedacted bool `json:",omitempty"`
	NeverFound   []MappingPath
	Findings     []Finding
	Draft        Draft
	Estimate     *estimate.Estimate `json:",omitempty"`
}

// A Readiness answers "may the load start?".
type Readiness string

// The verdicts of a plan, best first. Programs may branch on them.
const (
	Ready             Readiness = "ready"
	ReadyWithFindings Readiness = "ready with findings" // it would go through; a person should read the findings
	NotReady          Readiness = "not ready"           // it would stop
)

// A PlannedTable is what the load would make of one ledger table name.
// Read = Staged + Quarantined + Filtered, but for tables that would stop it.
type PlannedTable struct {
	Name    string
	IDs     []TableID
	Target  string // current table; "" when the mapping or the input leaves this one out
	History string

	Read        int64 // revisions
	Staged      int64 // would become rows
	Quarantined int64 // would be set aside
	Filtered    int64 // left out as the input or the mapping asks
	Documents   int64 // that begin in the archive
	Deletions   int64 // revisions that delete a document
	RowBytes    int64 // of the rows as COPY text

	Mapped bool        // the mapping has rules for it; otherwise it becomes documents (doc jsonb)
	Shape  []ShapePath // of its documents, when it has no rules
	Notes  []string    // on the columns drafted for it
}

// A ShapePath is a path that documents have.
type ShapePath struct {
	Path   string // as mapping files spell it, [*] for the elements of a list
	Types  []TypeCount
	Column string `json:",omitempty"` // that the draft gives it
	Type   string `json:",omitempty"` // of the column
}

// A TypeCount is how many values of a type stand at a path.
type TypeCount struct {
	Type   string
	Values int64
}

// A PlannedStop is something that would stop the load.
type PlannedStop struct {
	Object string `json:",omitempty"` // S3 key
	Block  int64  // meaningful with Object
	Text   string // what the load would say
}

// A Draft is a mapping file with columns for tables that have none, for a person
// to go on from.
type Draft struct {
	Where   string          `json:",omitempty"` // S3 URI
	Mapping json.RawMessage `json:",omitempty"`
}

// JSON returns plan-report.json, with the verdict and the findings worked out.
func (p Plan) JSON() ([]byte, error) {
	c, err := p.Complete()
	if err != nil {
		return nil, err
	}
	return encode(c, "the plan of load "+p.LoadID)
}

// ParsePlan reads plan-report.json. Members that it does not know are left out.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	err := decode(b, &p, &p.Format, PlanFormat, "plan-report.json")
	return p, err
}
