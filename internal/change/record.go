package change

import "fmt"

// A Version orders the versions of one record: QLDB's revision number, counted
// from 0.
type Version int64

// A SourceTable names a table in the source. A ledger knows it by ID: a dropped
// and re-created table has the same Name with another ID.
type SourceTable struct{ ID, Name string }

// An Origin says where a record came from, for messages, quarantine and audit.
type Origin struct {
	Object   string // S3 key, without the bucket
	Offset   int64  // of the block's first byte in the (decompressed) object
	Strand   string // ledger strand id
	Block    int64  // block sequence number
	Revision int    // index in the block's list of revisions, from 0
}

// String reads as part of a message: object a/b.ion, offset 12, block 3, revision 0.
func (o Origin) String() string {
	return fmt.Sprintf("object %s, offset %d, block %d, revision %d", o.Object, o.Offset, o.Block, o.Revision)
}

// A Record is one version of one source record.
type Record struct {
	Table    SourceTable
	Key      []byte  // document id
	Version  Version // revision number
	Tx       []byte  // transaction id
	At       []byte  // commit time (metadata.txTime) as Ion timestamp text
	Hash     []byte  // revision hash, 32 raw bytes
	DataHash []byte  // of a redacted revision; else nil
	Deleted  bool    // the revision deletes the document: no Fields
	Redacted bool    // data was replaced by DataHash: no Fields
	Fields   *Tape   // nil when Deleted or Redacted
	Origin   Origin
}
