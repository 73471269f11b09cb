package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"godwit/internal/estimate"
)

// Format is the member "Format" of every report.json that this package writes.
const Format = "godwit.ledgerload/1"

// A Load is what LedgerLoad did. The caller fills in all but Format, Verdict and
// Sentence, which are worked out from the rest; whatever they hold is replaced.
type Load struct {
	Format   string
	Verdict  Verdict // worked out
	Sentence string  // the verdict in words, worked out

	LoadID    string
	Outcome   Outcome
	Execution string          `json:",omitempty"` // ARN of the state machine's execution
	Software  string          `json:",omitempty"` // version of godwit that ran
	Input     json.RawMessage `json:",omitempty"` // of the execution, as it was given
	Mapping   Mapping
	Started   time.Time // of the execution
	Finished  time.Time // when the report was written

	Archive    Archive
	Proof      *Proof `json:",omitempty"` // nil when nobody says
	Target     Target
	Tables     []Table // one per ledger table name; sorted by name when rendered
	Quarantine Quarantine
	Redacted   []Redacted `json:",omitempty"`
	Findings   []Finding  // what the caller has to say; findings that follow from the figures are added
	NeverFound []MappingPath
	Phases     []Phase
	Predicted  *estimate.Estimate `json:",omitempty"` // made before the load; nil when there was none
	Unload     *Unload            `json:",omitempty"` // the way back; nil when nothing is visible
}

// An Unload is what removes exactly this load.
type Unload struct {
	Statement string // SQL, for the loader's role
	Command   string // for a shell in the checkout
}

// An Outcome is how the load ended, as the target's bookkeeping has it.
type Outcome string

// The outcomes of a load.
const (
	Visible Outcome = "visible"         // this execution made the load visible
	Already Outcome = "already visible" // an earlier execution with the same input had done so
	Stopped Outcome = "stopped"         // nothing of the load is visible
)

// A Verdict answers "did everything arrive?" in one word or three.
type Verdict string

// The verdicts, best first. Programs may branch on them.
const (
	Loaded             Verdict = "loaded"               // everything that was asked for is in the target
	AlreadyLoaded      Verdict = "already loaded"       // it was there before this execution
	LoadedWithFindings Verdict = "loaded with findings" // visible; a person should read the findings
	DoesNotAddUp       Verdict = "does not add up"      // visible, but at least one finding is an error
	NotLoaded          Verdict = "not loaded"           // nothing is visible
)

// A Mapping names the rules that made rows of documents.
type Mapping struct {
	From   string // S3 URI, or "packaged"
	SHA256 string `json:",omitempty"` // of the file, in hex
}

// An Archive is the journal as it was read.
type Archive struct {
	Bucket          string
	Prefix          string
	Exports         []Export
	Strand          string
	FirstBlock      int64 // sequence number of the first block read; 0 is the ledger's first
	LastBlock       int64
	Blocks          int64 // blocks read, each counted once; 0 when nobody counted
	Objects         int64 // data objects read
	Bytes           int64 // of those objects, as stored
	SystemRevisions int64 // revisions that hold only a hash: QLDB's own, without data, of no table
	Gaps            []Blocks
	Overlaps        []Blocks
	Unused          []string // keys of data objects that were not read, because no manifest names them
	Kinds           []Kind   // the data objects by format, compression and storage class
}

// A Kind is data objects that are alike.
type Kind struct {
	Format  string `json:",omitempty"` // ION_TEXT, ION_BINARY or JSON; "" when nobody announced it
	Gzip    bool
	Class   string // S3 storage class
	Objects int64
	Bytes   int64 // as stored
}

// An Export is one QLDB export of the archive.
type Export struct {
	ID      string
	Objects int64
	Format  string `json:",omitempty"` // ION_TEXT, ION_BINARY or JSON, as the manifest says
}

// Blocks is a closed range of block sequence numbers.
type Blocks struct{ First, Last int64 }

func (b Blocks) String() string {
	if b.First == b.Last {
		return "block " + number(b.First)
	}
	return "blocks " + number(b.First) + " to " + number(b.Last)
}

// A Target is where the load went.
type Target struct {
	Cluster  string
	Database string
	Schema   string
	History  bool // audit tables are kept
}

// A Table is the account of one ledger table name. For every table
// Read = Staged + Quarantined + Filtered and
// Documents = Current + Deleted + Dropped + Withheld must hold.
type Table struct {
	Name    string // in the ledger
	IDs     []TableID
	Target  string // current table; "" when the mapping skips this one
	History string // audit table; "" when there is none

	// Revisions.
	Read        int64
	Staged      int64 // became rows that the database confirmed
	Quarantined int64 // did not map exactly; set aside on S3
	Filtered    int64 // left out as the input or the mapping asks
	Present     int64 // of Staged: the target had them already, so nothing was written

	// Documents with a staged revision.
	Documents int64
	Current   int64 // rows in the current table
	Deleted   int64 // the latest revision deletes them
	Dropped   int64 // of dropped ledger tables: in the history only
	Withheld  int64 // not current, because the latest revision is in quarantine or redacted

	Evidence *Evidence `json:",omitempty"` // nil when nothing else counted this table
}

// A TableID is one ledger table behind a name: dropping and re-creating a table
// gives it another id.
type TableID struct {
	ID        string
	Active    bool // not dropped
	Revisions int64
}

// Evidence is what the independent pass over the archive found, which shares no
// counters with the loader. It covers what Read covers.
type Evidence struct {
	Revisions int64
	Checksum  string `json:",omitempty"` // over the revisions' ids, versions and hashes
	Loader    string `json:",omitempty"` // the same checksum over what the loader stored, read back from the target
}

// A Quarantine lists revisions that did not map exactly.
type Quarantine struct {
	Total int64
	Where string        `json:",omitempty"` // S3 URI under which the whole list lies
	First []Quarantined // in journal order; the renderers show 100 of them
}

// A Quarantined is one revision that was set aside.
type Quarantined struct {
	Table    string
	Document string
	Version  int64
	Object   string // S3 key
	Block    int64
	Revision int64 // index in the block, from 0
	Path     string
	Reason   string
}

// A MappingPath is a path of the mapping that matched nothing in any revision.
type MappingPath struct {
	Table  string // in the ledger
	Column string // in the target
	Path   string
}

// A Phase is one step of the load. Phases may overlap in time.
type Phase struct {
	Name     string
	Started  time.Time `json:",omitzero"`
	Finished time.Time `json:",omitzero"` // zero when it did not finish
	Rows     int64     // 0 when the phase does not move rows
	Bytes    int64
	Tasks    int64
}

// A Severity says how much a finding matters.
type Severity string

// The severities, worst first.
const (
	Error   Severity = "error"   // the account or the load is not right
	Warning Severity = "warning" // something may be missing: a person decides
	Note    Severity = "note"    // worth knowing; nothing to do
)

// A Finding is something that a person should know, with what to do next.
type Finding struct {
	Code     string // stable, for programs: quarantined, gap, count-differs
	Severity Severity
	Text     string
	Next     string `json:",omitempty"`
}

// JSON returns report.json, with the verdict and the findings worked out.
func (l Load) JSON() ([]byte, error) {
	c, err := l.Complete()
	if err != nil {
		return nil, err
	}
	return encode(c, "the report of load "+l.LoadID)
}

// Parse reads report.json. Members that it does not know are left out, so that
// an old program reads a newer report of the same format.
func Parse(b []byte) (Load, error) {
	var l Load
	err := decode(b, &l, &l.Format, Format, "report.json")
	return l, err
}

// encode writes a complete report, which what names, as people read JSON.
func encode(report any, what string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(report); err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return b.Bytes(), nil
}

// decode reads a report of one format, whose own member of that name is found.
func decode(b []byte, report any, found *string, want, file string) error {
	if err := json.Unmarshal(b, report); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if *found != want {
		return fmt.Errorf("read %s: format %q is not %q: use the godwit that wrote it", file, *found, want)
	}
	return nil
}
