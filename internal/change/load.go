package change

import "encoding/json"

// A Load names one load of one archive into one target schema.
type Load struct {
	ID      string // hash of archive, mapping and target: the same input is the same load
	Schema  string // target schema
	History bool   // keep the audit tables
	Strand  string // of the ledger
	First   int64  // block
	Last    int64  // block
	Apart   bool   // it may leave a gap to what was loaded before
}

// Stage names the hidden schema of the load.
func (l Load) Stage() string { return "godwit_load_" + l.ID[:min(16, len(l.ID))] }

// A LoadTable is the pair of target tables that the ledger tables of one name
// become.
type LoadTable struct {
	Current Table // doc_id, version, mapped columns, ql_audit
	History Table // the same, operation and transaction_id
}

// A LoadSource is one ledger table of a load, by its id.
type LoadSource struct {
	SourceTable
	Current string // name of the target's current table
	Active  bool   // not dropped
}

// A Task is one unit of database work that runs at most once. Args are the
// arguments of its phase; only the target reads them.
type Task struct {
	Phase string
	Name  string // unique in its load and phase
	Args  json.RawMessage
}

// A Slice is one range of document ids of a table: Low <= id < High, compared by
// bytes; High nil is open.
type Slice struct {
	Number int
	Low    string
	High   *string
}

// Published counts what the slices of one current table made.
type Published struct {
	Table     string // current table
	Documents int64  // with a staged revision
	Current   int64  // rows in the current table
	Deleted   int64  // documents whose latest revision deletes them
	Dropped   int64  // documents of dropped ledger tables
	Withheld  int64  // documents whose latest revision is in quarantine
	Present   int64  // revisions that the target already had
}

// Stored is what a target holds of one ledger table: rows, and the XOR and the
// sum of a checksum term of each, as decimal numbers (signed, of any size).
type Stored struct {
	TableID string `json:"table_id"`
	Rows    int64
	Xor     string
	Sum     string
}

// Redacted counts the revisions of one ledger table whose data the ledger
// removed, as a load found them.
type Redacted struct {
	TableID string `json:"table_id"`
	Table   string // ledger table name; "" where no load of the schema has the table
	Already int64  // their rows held no data
	Loaded  int64  // data was taken from rows of this load
	Shown   int64  // data was taken from rows that an earlier load showed
	Unknown int64  // no row that was loaded has them
}

// A PhaseTime tells when the tasks of one phase ran. Times are RFC 3339 in UTC.
type PhaseTime struct {
	Phase    string
	Started  string
	Finished string
	Tasks    int64
	Rows     int64 // 0 where the phase moves none
}
