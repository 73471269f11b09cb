package stream

import (
	"fmt"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// A Message is what a producer handed over as one: a Kinesis record, or a part of
// one that the Kinesis Producer Library aggregated.
type Message struct {
	Data         []byte
	PartitionKey []byte // of a part of an aggregate; nil: that of the Kinesis record
	Sub          int    // index in the aggregate, from 0
	// Damaged says why a record that begins like an aggregate is none; else "".
	Damaged string
}

// An Event is what a message says: *Control, *Summary, *Revision or *Change. It
// is borrowed from the Decoder and the record.
type Event interface{ event() }

// A Control tells of the stream or of a table, and changes no row.
type Control struct {
	Source        string // change.SourceQLDB, …
	Type          string // QLDB: Created or Completed; DMS: its operation, as create-table
	Schema, Table string // DMS, DSQL: where it concerns a table
}

// The types of QLDB's control messages.
const (
	Created   = "CREATED"   // the stream begins
	Completed = "COMPLETED" // it has delivered all up to its end; one that was cancelled says nothing
)

// A Summary is QLDB's BLOCK_SUMMARY: a block without its revisions. In
// Block.Revisions each has its hash and, where it gets a message of its own, its
// document's id: see journal.Revision.HashOnly.
type Summary struct{ Block *journal.Block }

// A Revision is QLDB's REVISION_DETAILS. Block holds nothing of its block but the
// address, the transaction's id and, as Revisions[0], this revision.
type Revision struct{ Block *journal.Block }

// Table returns the ledger table of the revision's document.
func (r *Revision) Table() change.SourceTable { return r.Block.Revisions[0].Table }

// Record returns the revision for mapping.Plan.Map, or a *journal.RecordError
// with as much of the record as is known. Its Origin has no object and no offset:
// the caller knows the shard and the sequence number. It is borrowed like the
// Revision.
func (r *Revision) Record() (*change.Record, error) { return r.Block.Record(0) }

func (*Control) event()  {}
func (*Summary) event()  {}
func (*Revision) event() {}

// An Error says why a message cannot be read: it is poison, and never worth a
// retry. It holds no values of rows.
type Error struct {
	Source string // change.SourceQLDB, …; "" where the content does not tell
	Where  string // place in the message, as payload.revision; "" is the whole
	Err    error  // what is wrong there, and what to do
}

func (e *Error) Error() string {
	what := "message"
	if e.Source != "" {
		what = e.Source + " message"
	}
	if e.Where != "" {
		what += ", " + e.Where
	}
	return fmt.Sprintf("read %s: %v", what, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
