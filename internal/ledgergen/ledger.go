package ledgergen

import (
	"fmt"
	"time"

	"godwit/internal/proof"
)

// Name is what a ledger is called whose maker names it no other way.
const Name = "vehicle-registration"

// A Format is the output format of an export.
type Format string

// The formats of ExportJournalToS3, by the names it gave them.
const (
	IonBinary Format = "ION_BINARY"
	IonText   Format = "ION_TEXT"
	JSON      Format = "JSON"
)

// A Layout says who made the export.
type Layout string

// The layouts.
const (
	// QLDB is an export as the service wrote it, where it wrote it.
	QLDB Layout = "qldb"
	// AWSSample is what aws-samples/example-qldb-ledger-migration left behind:
	// JSON whatever Format says, a proofs object per export under the name that
	// its bug gave it, a digest taken after the export (so its tip lies behind
	// the last exported block), and all of it copied to another bucket and
	// prefix, so that the manifests name keys that are not there.
	AWSSample Layout = "aws-sample"
)

// Options choose a ledger and how it is exported.
type Options struct {
	// Seed chooses the ledger, with Documents, Unmappable, Later and SameTime and
	// nothing else.
	Seed uint64
	// Documents is how many documents the journal inserts, all tables together.
	Documents int
	// Unmappable is how many revisions follow whose document a loader must
	// refuse: a NUL in a Note, a Person's LastName of 101 characters, and an
	// update of a Vehicle to a colour of 26, in turn. Each is its document's last.
	Unmappable int
	// Later is how many documents are inserted when all that the other options say
	// has happened: the ledger goes on, as under an application that still writes.
	// The blocks before are those of a ledger without. With it come updates,
	// deletions and redactions as before, a table that was not there, licenses of
	// another shape, and a table that is dropped and made again. What is redacted
	// later keeps its data in its own block: whoever reads along saw it.
	Later int
	// SameTime is how many blocks in a hundred have the very time of the block
	// before, to the millisecond; 100: all. 0: what a busy ledger has, about 40.
	SameTime int
	// Blocks is how many blocks there are: the ledger as it was when it had so
	// many. 0: the whole life of the ledger. More than that is an error.
	Blocks int64
	// Unredacted exports redacted revisions with their data, as an export that was
	// made earlier has them. It may hold the blocks that ask for the redactions all
	// the same: QLDB carried those out later.
	Unredacted bool
	// Format of the export; empty: IonBinary.
	Format Format
	// Layout of the export; empty: QLDB.
	Layout Layout
	// Exports is the number of export jobs that share the ledger, in
	// consecutive windows of time; 0: 1, or 2 in the layout AWSSample. A window
	// ends on a whole second. Windows may be empty in a small ledger.
	Exports int
	// Bucket that the manifests name; empty: a synthetic name. In the layout
	// AWSSample they name the bucket before the copy whatever Bucket is.
	Bucket string
	// Prefix of all keys, with or without a slash at its end; may be empty.
	Prefix string
	// OriginalPrefix is the prefix that the manifests name, when the objects
	// were copied since; empty: Prefix, or "journal/" in the layout AWSSample.
	OriginalPrefix string
	// BlocksPerObject is the greatest number of blocks of a data object; an
	// object never spans two hours. It bounds memory. 0: 100.
	BlocksPerObject int
	// FromBlock and UntilBlock restrict the export to blocks from the one to
	// before the other, as a job for a part of the journal would; UntilBlock 0:
	// no end. The ledger, its digest and the returned oracle stay whole, so two
	// calls make two archives of one ledger that overlap or leave a gap.
	FromBlock, UntilBlock int64
}

// An Object is one S3 object of the export.
type Object struct {
	Key  string
	Body []byte // valid until write returns
	// First and Last are the sequence numbers of a data object's blocks; -1 for
	// manifests and proofs.
	First, Last int64
}

// A Ledger is the oracle: what a right loader finds in the whole ledger.
type Ledger struct {
	Name, Strand string
	ExportIDs    []string // of exports with at least one block, in order
	Tables       []Table  // in order of creation
	Blocks       int64    // exported, of all exports together
	LastBlock    int64    // sequence number of the last exported block
	LastHash     proof.Hash
	Tip          int64      // sequence number that Digest covers
	Digest       proof.Hash // Merkle root over the hashes of blocks 0 to Tip
	Objects      int        // data objects
	Bytes        int64      // of data objects
}

// A Table counts one table's part of the ledger. Revisions = inserted, updated
// and deleted; documents inserted = Current + Deleted.
type Table struct {
	Name, ID  string
	Active    bool  // not dropped
	Revisions int64 // all, redacted ones included
	Current   int64 // live documents; of a dropped table: at its end
	Deleted   int64 // documents whose last revision deletes them
	Redacted  int64 // revisions whose data was redacted, exported with it or not
	Refused   int64 // unmappable revisions; as many documents are not current in a target
}

// Revisions counts the revisions of all tables.
func (l *Ledger) Revisions() int64 {
	n := int64(0)
	for _, t := range l.Tables {
		n += t.Revisions
	}
	return n
}

// Generate makes the ledger and hands each object of its export to write, in
// the order of the journal, manifests behind their data. It stops at the first
// error of write.
func Generate(o Options, write func(Object) error) (Ledger, error) {
	if err := o.complete(); err != nil {
		return Ledger{}, err
	}
	g := newGenerator(o)
	x := newExporter(o, g.chain.strand, write)
	g.emit = x.add
	if err := g.run(); err != nil {
		return Ledger{}, fmt.Errorf("generate ledger: %w", err)
	}
	if err := g.export(x); err != nil {
		return Ledger{}, fmt.Errorf("generate ledger: %w", err)
	}
	return g.ledger, nil
}

func newGenerator(o Options) *generator {
	seed := mix(o.Seed) ^ mix(uint64(o.Documents)) ^ mix(uint64(o.Unmappable)<<32)
	g := &generator{
		options: o,
		wanted:  o.Documents,
		random:  random{state: seed},
		ids:     idMaker{seed: mix(seed + 1)},
		at:      time.Date(2021, 8, 3, 17, 4, 5, 120e6, time.UTC),
	}
	g.author = author{random: &g.random, ids: &g.ids}
	g.chain = chain{random: &g.random, ids: &g.ids, strand: g.ids.id()}
	g.ledger = Ledger{Name: Name, Strand: g.chain.strand, LastBlock: -1, Tip: -1}
	return g
}

func (o *Options) complete() error {
	if o.Format == "" {
		o.Format = IonBinary
	}
	if o.Layout == "" {
		o.Layout = QLDB
	}
	switch o.Layout {
	case QLDB:
		if o.OriginalPrefix == "" {
			o.OriginalPrefix = o.Prefix
		}
	case AWSSample:
		o.Format = JSON
		if o.Exports == 0 {
			o.Exports = 2
		}
		if o.OriginalPrefix == "" {
			o.OriginalPrefix = "journal/"
		}
	default:
		return fmt.Errorf("generate ledger: unknown layout %q: want %s or %s", o.Layout, QLDB, AWSSample)
	}
	switch o.Format {
	case IonBinary, IonText, JSON:
	default:
		return fmt.Errorf("generate ledger: unknown format %q: want %s, %s or %s", o.Format, IonBinary, IonText, JSON)
	}
	if o.Documents < 0 || o.Unmappable < 0 || o.Exports < 0 || o.BlocksPerObject < 0 || o.FromBlock < 0 || o.UntilBlock < 0 || o.SameTime < 0 || o.Blocks < 0 || o.Later < 0 {
		return fmt.Errorf("generate ledger: negative count in %+v", *o)
	}
	if o.SameTime > 100 {
		return fmt.Errorf("generate ledger: %d blocks in a hundred have the time of the one before: want 0 to 100", o.SameTime)
	}
	if o.Exports == 0 {
		o.Exports = 1
	}
	if o.BlocksPerObject == 0 {
		o.BlocksPerObject = 100
	}
	if o.Bucket == "" || o.Layout == AWSSample {
		o.Bucket = "synthetic-ledger-export"
	}
	return nil
}
