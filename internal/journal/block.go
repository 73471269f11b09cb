package journal

import (
	"bytes"
	"fmt"
	"iter"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// HashSize is the length of every hash of a journal, in bytes.
const HashSize = 32

// A Block is one journal block: the outcome of one transaction. All of it is
// borrowed from the Reader, but for strings, which may be kept.
type Block struct {
	Strand        string
	SequenceNo    int64
	TransactionID []byte
	Timestamp     []byte // Ion timestamp text

	Hash            []byte   // HashSize bytes
	EntriesHash     []byte   // HashSize bytes; nil where absent
	PreviousHash    []byte   // HashSize bytes; empty at genesis or where absent
	EntriesHashList [][]byte // each HashSize bytes or empty

	HasTransactionInfo bool // absent in some system blocks
	Statements         []Statement
	Documents          []Document // in the order of the journal
	Redactions         []Redaction
	HasRedactionInfo   bool

	HasRevisions bool // absent when the transaction wrote nothing
	Revisions    []Revision
	HashOnly     int // revisions that hold a hash alone: QLDB's own, no records

	Object string // Options.Object
	Offset int64  // of Raw in the decompressed object
	Format Format // of the object

	// Raw and the other raw parts are values of binary Ion, also for a block from
	// Ion text, to be read with Symbols; from JSON they are JSON text and Symbols
	// is nil. A part that is absent is nil.
	Raw                []byte
	RawTransactionInfo []byte
	RawRedactionInfo   []byte
	Symbols            *ion.SymbolTable

	alone  bool // holds one revision, and nothing of the block itself
	values values
	record change.Record
	tape   change.Tape
	byID   map[string]int32 // Documents by id, made when there are many
}

// A Statement is a PartiQL statement of the transaction. Its parameters are not
// in the journal.
type Statement struct {
	Text      []byte
	StartTime []byte // Ion timestamp text; nil where absent
	Digest    []byte // HashSize bytes; nil where absent
}

// A Document is a member of transactionInfo.documents: a document that the
// transaction wrote.
type Document struct {
	ID         []byte
	Table      change.SourceTable
	Statements []int // indexes into Block.Statements, as they stand: may repeat
}

// A Redaction tells that a revision's data was removed from the journal.
type Redaction struct {
	Strand     string // block of the redacted revision
	SequenceNo int64
	TableID    string
	DocumentID []byte
	Version    change.Version
}

// A Revision is one member of a block's revisions.
type Revision struct {
	Index int // in Block.Revisions

	HasAddress bool // blockAddress is present
	Strand     string
	SequenceNo int64

	Hash     []byte // HashSize bytes
	DataHash []byte // of a redacted revision, HashSize bytes; else nil

	HasMetadata bool
	DocumentID  []byte
	Version     change.Version
	TxTime      []byte // Ion timestamp text
	TxID        []byte

	Table change.SourceTable // from transactionInfo.documents; zero if not known

	RawMetadata []byte // see Block.Raw
	RawData     []byte // nil when absent: see Deleted

	err error // why it cannot be a record
}

// HashOnly reports whether the revision holds nothing but its hash: an internal
// one of QLDB's catalogue, which takes part in the block's hashes and is no
// record. So do all in the summary of a stream, but for the DocumentID of those
// that come as messages of their own.
func (r *Revision) HashOnly() bool {
	return !r.HasMetadata && !r.HasAddress && r.RawData == nil && r.DataHash == nil
}

// Deleted reports whether the revision deletes its document: metadata, and
// neither data nor the hash of redacted data.
func (r *Revision) Deleted() bool { return r.HasMetadata && r.RawData == nil && r.DataHash == nil }

// Redacted reports whether the revision's data was replaced by its hash.
func (r *Revision) Redacted() bool { return r.RawData == nil && r.DataHash != nil }

// A RecordError says why one revision cannot become a record. The rest of the
// block is not touched by it: it is a case for quarantine.
type RecordError struct {
	Origin change.Origin
	Err    error
}

func (e *RecordError) Error() string { return fmt.Sprintf("%s: %v", e.Origin, e.Err) }

// Unwrap returns the reason without the origin.
func (e *RecordError) Unwrap() error { return e.Err }

// values turns a raw value of a block into a tape.
type values interface {
	tape(t *change.Tape, raw []byte) error
}

// Origin returns where revision i came from.
func (b *Block) Origin(i int) change.Origin {
	return change.Origin{Object: b.Object, Offset: b.Offset, Strand: b.Strand, Block: b.SequenceNo, Revision: i}
}

// Record returns revision i as a record, or a *RecordError together with as much
// of the record as is known, its Origin at least. The record belongs to b: the
// next call of Record or Records overwrites it. A revision that is HashOnly has
// no record: nil and no error.
func (b *Block) Record(i int) (*change.Record, error) {
	r := &b.Revisions[i]
	if r.HashOnly() {
		return nil, nil
	}
	b.record = change.Record{
		Table:    r.Table,
		Key:      r.DocumentID,
		Version:  r.Version,
		Tx:       r.TxID,
		At:       r.TxTime,
		Hash:     r.Hash,
		DataHash: r.DataHash,
		Deleted:  r.Deleted(),
		Redacted: r.Redacted(),
		Origin:   b.Origin(i),
	}
	err := r.err
	if err == nil && r.RawData != nil {
		if err = b.values.tape(&b.tape, r.RawData); err != nil {
			err = fmt.Errorf("read data: %w", err)
		} else {
			b.record.Fields = &b.tape
		}
	}
	if err != nil {
		return &b.record, &RecordError{Origin: b.record.Origin, Err: err}
	}
	return &b.record, nil
}

// Records yields the record of every revision that is not HashOnly, in order,
// or a *RecordError with the part of the record that is known. Whoever wants a
// part of the revisions only looks at Revisions and calls Record: the data of
// the others is then never decoded.
func (b *Block) Records() iter.Seq2[*change.Record, error] {
	return func(yield func(*change.Record, error) bool) {
		for i := range b.Revisions {
			rec, err := b.Record(i)
			if rec == nil && err == nil {
				continue
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// manyDocuments is the number of documents from which a map beats looking at
// each: a transaction of QLDB holds 40 at most.
const manyDocuments = 64

// resolve checks what ties revisions to their block and gives each its table. A
// document that is listed twice is the block's error: either could be meant.
func (b *Block) resolve() error {
	clear(b.byID)
	many := len(b.Documents) > manyDocuments
	if many && b.byID == nil {
		b.byID = make(map[string]int32, len(b.Documents))
	}
	for i := range b.Documents {
		id := b.Documents[i].ID
		twice := false
		if many {
			_, twice = b.byID[string(id)]
			b.byID[string(id)] = int32(i)
		} else {
			for k := range b.Documents[:i] {
				twice = twice || bytes.Equal(b.Documents[k].ID, id)
			}
		}
		if twice {
			return fmt.Errorf("transactionInfo: documents: document %.40q appears twice", id)
		}
	}
	for i := range b.Revisions {
		r := &b.Revisions[i]
		if r.HashOnly() {
			b.HashOnly++
			continue
		}
		if d := b.document(r.DocumentID, i); d != nil {
			r.Table = d.Table
		}
		if r.err == nil {
			r.err = b.check(r)
		}
	}
	return nil
}

// document returns the document with the given id, or nil. Revisions come
// mostly in the order of the documents: hint is tried first.
func (b *Block) document(id []byte, hint int) *Document {
	if hint < len(b.Documents) && bytes.Equal(b.Documents[hint].ID, id) {
		return &b.Documents[hint]
	}
	if len(b.Documents) > manyDocuments {
		if i, ok := b.byID[string(id)]; ok {
			return &b.Documents[i]
		}
		return nil
	}
	for i := range b.Documents {
		if bytes.Equal(b.Documents[i].ID, id) {
			return &b.Documents[i]
		}
	}
	return nil
}

// check returns why r cannot be a record of b, or nil.
func (b *Block) check(r *Revision) error {
	switch {
	case !r.HasMetadata:
		return fmt.Errorf("revision has no metadata: its document is not known")
	case len(r.DocumentID) == 0:
		return fmt.Errorf("metadata has no document id")
	case r.RawData != nil && r.DataHash != nil:
		return fmt.Errorf("revision of document %s holds data and dataHash: it is either redacted or not", r.DocumentID)
	case r.HasAddress && (r.Strand != b.Strand || r.SequenceNo != b.SequenceNo):
		return fmt.Errorf("revision of document %s says that it is in strand %s, block %d: it stands in strand %s, block %d", r.DocumentID, r.Strand, r.SequenceNo, b.Strand, b.SequenceNo)
	case !bytes.Equal(r.TxID, b.TransactionID):
		return fmt.Errorf("revision of document %s belongs to transaction %s: the block holds transaction %s", r.DocumentID, r.TxID, b.TransactionID)
	case b.alone && (r.Table.ID == "" || r.Table.Name == ""):
		return fmt.Errorf("table of document %s is not known: tableInfo gives no tableName or no tableId", r.DocumentID)
	case r.Table.ID != "" && r.Table.Name != "":
		return nil
	case r.Table.ID != r.Table.Name: // one of them is there
		return fmt.Errorf("table of document %s is not known: transactionInfo.documents gives no tableName or no tableId", r.DocumentID)
	case !b.HasTransactionInfo:
		return fmt.Errorf("table of document %s is not known: the block has no transactionInfo", r.DocumentID)
	}
	return fmt.Errorf("table of document %s is not known: transactionInfo.documents does not list it", r.DocumentID)
}
