package change

import (
	"cmp"
	"encoding/json"
)

// The producers of streams.
const (
	SourceQLDB = "qldb" // Amazon QLDB's journal stream: revisions, guarded by document version
	SourceDMS  = "dms"  // AWS DMS, JSON: rows, guarded by commit LSN and place in the transaction
	SourceDSQL = "dsql" // Aurora DSQL's change stream, JSON: rows, guarded by commit time
)

// A Position orders the changes of one source; positions of two sources are
// never compared. QLDB: Major is the block. DMS: Major is the commit LSN, Minor
// the record's number in its transaction. DSQL: Major is the commit time in
// nanoseconds since 1970, Tie the transaction id.
type Position struct {
	Major int64  `json:"major"`
	Minor int64  `json:"minor,omitempty"`
	Tie   string `json:"tie,omitempty"`
}

// Compare returns -1, 0 or 1 as p is before, at or behind q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Major, q.Major), cmp.Compare(p.Minor, q.Minor), cmp.Compare(p.Tie, q.Tie))
}

// A Stream is the registration of one Kinesis stream in its target database.
type Stream struct {
	Name            string   // of the Kinesis stream
	Source          string   // SourceQLDB, SourceDMS or SourceDSQL
	Schema          string   // target schema; "" (DMS, DSQL) is that of each record
	Load            string   // QLDB: the load that it continues
	Strand          string   // QLDB
	Boundary        Position // what is at or below it was loaded
	BoundaryHash    []byte   // QLDB: hash of the boundary's block; nil where the load did not verify
	Mapping         string   // QLDB: the text of the mapping file
	Tables          []string // QLDB: only these ledger tables; nil is all
	Aside           []string // QLDB: records, as Mark.Record names them, whose contradictions are set aside and do not stop it; nil is those that are registered
	History         bool     // QLDB: keep the audit tables
	ApplyRedactions bool     // QLDB
	Generation      int64    // given by the target: grows with each registration
	Stopped         string   // why nothing is applied; "" while it runs
}

// An Item is what one message of a stream asks of the target: at most one of its
// pointers is set. Without any it only notes its mark, as of a message that says
// nothing of rows, or of one at or below the boundary.
type Item struct {
	Mark     Mark
	Revision *RevisionItem
	Block    *BlockItem
	Row      *RowItem
	Aside    *AsideItem
}

// A Mark is where in the stream an item came from.
type Mark struct {
	Shard    string `json:"shard"`
	Sequence string `json:"sequence"` // decimal, up to 56 digits
	Sub      int    `json:"sub"`      // index within an aggregated record
}

// Record names the record of the stream that holds the message: shard:sequence.
func (m Mark) Record() string { return m.Shard + ":" + m.Sequence }

// A RevisionItem is one revision of a QLDB document.
type RevisionItem struct {
	Table         SourceTable     // ledger table
	Current       string          // the target's current table, without schema; "" for a table that is left out: nothing is written, and its block has it
	Document      string          // id
	Version       Version         //
	Block         int64           // sequence number
	Hash          []byte          // 32 bytes
	Deleted       bool            //
	Redacted      bool            // the data is its hash
	TransactionID string          //
	Row           json.RawMessage // of the history table: a JSON object of all its columns; none where Current is ""
}

// A BlockItem is the summary of one QLDB block.
type BlockItem struct {
	Block        int64
	Hash         []byte
	PreviousHash []byte
	Timestamp    string      // RFC 3339
	Revisions    [][]byte    // hashes of the revisions that get a record of their own
	Redactions   []Redaction // that the block asks for
	Events       []TableDrop // tables that it drops or undrops
}

// A Redaction names a revision whose data its ledger removed.
type Redaction struct {
	TableID  string  `json:"table_id"`
	Document string  `json:"doc_id"`
	Version  Version `json:"version"`
}

// A TableDrop is a DROP TABLE, which names the table, or an UNDROP TABLE, which
// tells its id.
type TableDrop struct {
	TableID string `json:"table_id,omitempty"` // of an UNDROP
	Name    string `json:"name,omitempty"`     // of a DROP: the ledger table that had the name in this block
	Undrop  bool   `json:"undrop,omitempty"`
}

// A RowItem is one write to a row of a table that the target has with the
// source's own key. An update that changes the key is two items of one message:
// the old key deleted, the new one written.
type RowItem struct {
	Schema, Table string   // of the target
	From          string   // schema of the source: a table of the target is fed by one
	Key           string   // canonical: a JSON array of the key's values in key order, as text
	Position      Position //
	Deleted       bool     //
	At            string   // commit time, RFC 3339; "" where not known
	// Row is a JSON object of the columns to be written; of a deletion the key's
	// columns alone. A value is null, or a string for its type's input function;
	// json and jsonb too, or JSON's own null could not be told from NULL.
	Row json.RawMessage
}

// An AsideItem is a message that cannot be applied, as its quarantine object
// holds it: reasons and places, never values.
type AsideItem struct {
	Object   string // key of the quarantine object
	Reason   string
	Table    SourceTable // zero where not known
	Current  string      // QLDB: the target's current table; "" where not known
	Document string      // "" where not known
	Version  Version
	Block    int64  // -1 where not known
	Hash     []byte // of the revision; nil where not known
}

// Applied counts what became of items.
type Applied struct {
	Items       int   // from the first on, that are done with: applied, skipped or set aside
	Rows        int64 // written to current tables, deletions included
	History     int64 // written to history tables
	Skipped     int64 // at or below the boundary, or older than what the target has
	Aside       int64 // set aside
	Calls       int64 // of the Data API
	Bytes       int64 // of requests' bodies
	SplitFaults int64 // requests that were cut in two because the database refused one of their messages
	GapFree     int64 // QLDB: every block up to it is complete, as far as the last request saw
}

// A StreamStatus is how far a stream has come, as its target tells.
type StreamStatus struct {
	Stream      Stream
	GapFree     int64         // QLDB: every block up to it was applied, the boundary's included
	GapFreeHash []byte        // QLDB: hash of block GapFree; nil where not known
	Open        []int64       // QLDB: the first blocks behind GapFree that have revisions or a summary to come, 20 at most
	OpenBlocks  int64         // QLDB: how many there are
	Last        Position      // the greatest that was applied; the boundary where nothing was
	LastAt      string        // greatest commit time applied, RFC 3339 in UTC; "" where not known
	AppliedAt   string        // when the target applied something last, RFC 3339 in UTC; "" where it never did
	Shards      []ShardStatus // in order of their names
	Aside       int64         // messages set aside and not replayed
	AsideFirst  string        // quarantine object of the oldest of them
}

// A ShardStatus is how far one shard of a stream was applied.
type ShardStatus struct {
	Shard    string `json:"shard"`
	Sequence string `json:"sequence"` // the greatest, decimal
}
