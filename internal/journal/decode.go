package journal

import (
	"errors"
	"fmt"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// A walker steps through one value, whatever its format. It is how one decoder
// reads blocks from binary Ion and from JSON. Accessors belong to the current
// value; what they return lives as long as the block.
type walker interface {
	next() bool   // to the container's next value; false at its end or on an error
	field() word  // next, to a field with a word that is not null (but data may be); noWord at the end or on an error
	name() []byte // text of the current value's field name
	kind() ion.Type
	isNull() bool
	enter(t ion.Type) bool    // steps into the value if it is a t and not null
	leave() error             // steps out of the container, if there was no error
	text() ([]byte, error)    // a string or symbol
	integer() (int64, error)  // an int within int64
	instant() ([]byte, error) // a timestamp, as Ion text
	lob() ([]byte, error)     // a blob; in JSON base64
	raw() []byte              // the whole value
	start() int               // of the whole value, for rawFrom
	rawFrom(start int) []byte // the container just left without an error, whose start was start
	same(raw []byte) bool     // whether the value is raw, byte for byte; it is then read
	err() error
}

// A decoder fills Blocks. It keeps what blocks share: the names of tables and
// strands, once each.
type decoder struct {
	w       walker
	strings map[string]string
	recent  [16]string // of strings, to find most without hashing
	indexes []int      // backs Document.Statements
	where   []byte     // the block's address as it stands, which its revisions mostly repeat
	summary bool       // blocks are summaries: they have revisionSummaries for revisions
}

// maxInterned bounds the table names, table ids and strand ids that are kept. A
// ledger has one strand and 40 tables.
const maxInterned = 4096

func (d *decoder) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	slot := &d.recent[(len(b)*5+int(b[0])+int(b[len(b)-1]))&15]
	if *slot == string(b) {
		return *slot
	}
	if s, ok := d.strings[string(b)]; ok {
		*slot = s
		return s
	}
	if d.strings == nil || len(d.strings) >= maxInterned {
		d.strings = map[string]string{}
	}
	s := string(b)
	d.strings[s], *slot = s, s
	return s
}

// fieldSet holds the words met in one struct: the format repeats none, and of a
// repeated one nobody could say which counts.
type fieldSet uint64

func (s fieldSet) has(w word) bool { return s&(1<<w) != 0 }

// reset makes b empty and keeps its memory.
func (b *Block) reset() {
	*b = Block{
		EntriesHashList: b.EntriesHashList[:0],
		Statements:      b.Statements[:0],
		Documents:       b.Documents[:0],
		Redactions:      b.Redactions[:0],
		Revisions:       b.Revisions[:0],
		tape:            b.tape,
		byID:            b.byID,
	}
}

// reset forgets the block before.
func (d *decoder) reset() { d.indexes, d.where = d.indexes[:0], nil }

// block decodes the one value that d.w was reset to into b.
func (d *decoder) block(b *Block) error {
	w := d.w
	d.reset()
	if !w.next() {
		return w.err()
	}
	if err := d.enter(ion.StructType, "block"); err != nil {
		return err
	}
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if err != nil {
			return err
		}
		switch field {
		case noWord:
			if w.next() {
				return fmt.Errorf("another value follows the block's")
			}
			if err := w.err(); err != nil {
				return err
			}
			for _, field := range [...]word{blockAddress, transactionID, blockTimestamp, blockHash} {
				if !seen.has(field) {
					return fmt.Errorf("value is no journal block: it has no %s", field)
				}
			}
			return b.resolve()
		case blockAddress:
			at := w.start()
			if b.Strand, b.SequenceNo, err = d.address(); err == nil {
				d.where = w.rawFrom(at)
			}
		case transactionID:
			b.TransactionID, err = w.text()
		case blockTimestamp:
			b.Timestamp, err = w.instant()
		case blockHash:
			b.Hash, err = d.hash()
		case entriesHash:
			b.EntriesHash, err = d.hash()
		case previousBlockHash:
			b.PreviousHash, err = d.hashOrEmpty()
		case entriesHashList:
			err = d.list(func() error {
				h, err := d.hashOrEmpty()
				b.EntriesHashList = append(b.EntriesHashList, h)
				return err
			})
		case transactionInfo:
			at := w.start()
			if err = d.transactionInfo(b); err == nil {
				b.HasTransactionInfo, b.RawTransactionInfo = true, w.rawFrom(at)
			}
		case redactionInfo:
			at := w.start()
			if err = d.redactionInfo(b); err == nil {
				b.HasRedactionInfo, b.RawRedactionInfo = true, w.rawFrom(at)
			}
		case revisions:
			if !d.summary {
				b.HasRevisions = true
				err = d.list(func() error { return d.revision(b) })
			}
		case revisionSummaries:
			if d.summary {
				b.HasRevisions = true
				err = d.list(func() error { return d.revisionSummary(b) })
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
}

// enter steps into the walker's current value, a t that is not null.
func (d *decoder) enter(t ion.Type, what string) error {
	if d.w.enter(t) {
		return nil
	}
	if got := d.w.kind(); got != t {
		return fmt.Errorf("%s is a %s, not a %s", what, got, t)
	}
	if d.w.isNull() {
		return fmt.Errorf("%s is null", what)
	}
	return d.w.err()
}

// list calls each for every element of the current value.
func (d *decoder) list(each func() error) error {
	if err := d.enter(ion.ListType, "value"); err != nil {
		return err
	}
	for i := 0; d.w.next(); i++ {
		if err := each(); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
	}
	return d.w.leave()
}

// field moves to the struct's next field that the format knows and that is not
// null, whatever lies between. Behind the last one it leaves the struct and
// returns noWord.
func (d *decoder) field(seen *fieldSet) (word, error) {
	field := d.w.field()
	if field == noWord {
		return noWord, d.w.leave()
	}
	if seen.has(field) {
		return noWord, fmt.Errorf("field %s appears twice", field)
	}
	*seen |= 1 << field
	return field, nil
}

// fields calls each for every field that the decoder's field finds.
func (d *decoder) fields(each func(word) error) error {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return err
	}
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if field == noWord || err != nil {
			return err
		}
		if err := each(field); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
}

// address decodes a block address.
func (d *decoder) address() (strand string, sequence int64, err error) {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return "", 0, err
	}
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if err != nil {
			return "", 0, err
		}
		switch field {
		case noWord:
			switch {
			case !seen.has(strandID), strand == "":
				return "", 0, fmt.Errorf("block address has no strandId")
			case !seen.has(sequenceNo):
				return "", 0, fmt.Errorf("block address has no sequenceNo")
			}
			return strand, sequence, nil
		case strandID:
			var text []byte
			text, err = d.w.text()
			strand = d.intern(text)
		case sequenceNo:
			if sequence, err = d.w.integer(); err == nil && sequence < 0 {
				err = fmt.Errorf("sequence number %d is negative", sequence)
			}
		}
		if err != nil {
			return "", 0, fmt.Errorf("%s: %w", field, err)
		}
	}
}

func (d *decoder) hash() ([]byte, error) {
	h, err := d.w.lob()
	if err == nil && len(h) != HashSize {
		err = fmt.Errorf("hash has %d bytes, not %d", len(h), HashSize)
	}
	return h, err
}

func (d *decoder) hashOrEmpty() ([]byte, error) {
	h, err := d.w.lob()
	if err == nil && len(h) != HashSize && len(h) != 0 {
		err = fmt.Errorf("hash has %d bytes, neither %d nor none", len(h), HashSize)
	}
	return h, err
}

func (d *decoder) transactionInfo(b *Block) error {
	return d.fields(func(field word) error {
		switch field {
		case statements:
			return d.list(func() error { return d.statement(b) })
		case documents:
			return d.documents(b)
		}
		return nil
	})
}

func (d *decoder) statement(b *Block) error {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return err
	}
	b.Statements = append(b.Statements, Statement{})
	s := &b.Statements[len(b.Statements)-1]
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if field == noWord || err != nil {
			return err
		}
		switch field {
		case statement:
			s.Text, err = d.w.text()
		case startTime:
			s.StartTime, err = d.w.instant()
		case statementDigest:
			s.Digest, err = d.hash()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
}

// documents decodes the struct whose field names are document ids.
func (d *decoder) documents(b *Block) error {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return err
	}
	for d.w.next() {
		doc := Document{ID: d.w.name()}
		if doc.ID == nil {
			return d.w.err()
		}
		if err := d.document(&doc); err != nil {
			return fmt.Errorf("document %.40q: %w", doc.ID, err)
		}
		b.Documents = append(b.Documents, doc)
	}
	return d.w.leave()
}

func (d *decoder) document(doc *Document) error {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return err
	}
	from := len(d.indexes)
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if err != nil {
			return err
		}
		switch field {
		case noWord:
			doc.Statements = d.indexes[from:len(d.indexes):len(d.indexes)]
			return nil
		case tableName, tableID:
			err = d.tableName(field, &doc.Table)
		case statements:
			err = d.list(func() error {
				n, err := d.w.integer()
				if err == nil && (n < 0 || n > 1<<31-1) {
					err = fmt.Errorf("statement number %d is out of range", n)
				}
				d.indexes = append(d.indexes, int(n))
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
}

// tableName decodes the name or the id of a table into t.
func (d *decoder) tableName(field word, t *change.SourceTable) error {
	text, err := d.w.text()
	if field == tableName {
		t.Name = d.intern(text)
	} else {
		t.ID = d.intern(text)
	}
	return err
}

func (d *decoder) redactionInfo(b *Block) error {
	return d.fields(func(field word) error {
		if field != revisions {
			return nil
		}
		return d.list(func() error {
			var r Redaction
			err := d.fields(func(field word) (err error) {
				switch field {
				case blockAddress:
					r.Strand, r.SequenceNo, err = d.address()
				case tableID:
					var text []byte
					text, err = d.w.text()
					r.TableID = d.intern(text)
				case documentID:
					r.DocumentID, err = d.w.text()
				case version:
					r.Version, err = d.version()
				}
				return err
			})
			b.Redactions = append(b.Redactions, r)
			return err
		})
	})
}

func (d *decoder) version() (change.Version, error) {
	n, err := d.w.integer()
	if err == nil && n < 0 {
		err = fmt.Errorf("version %d is negative", n)
	}
	return change.Version(n), err
}

// revision decodes one member of a block's revisions. A wrong hash or metadata
// leaves the rest of the block readable: it stays with the revision.
func (d *decoder) revision(b *Block) error {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return err
	}
	b.Revisions = append(b.Revisions, Revision{Index: len(b.Revisions)})
	r := &b.Revisions[len(b.Revisions)-1]
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if err != nil {
			return err
		}
		switch field {
		case noWord:
			switch {
			case !r.HashOnly() && r.Hash == nil:
				r.keep(hash, errAbsent)
			case r.HashOnly() && r.err != nil:
				return r.err // there is no record to quarantine, and the block's hashes need it
			case r.HashOnly() && r.Hash == nil:
				return fmt.Errorf("revision holds neither a hash nor metadata")
			}
			return nil
		case blockAddress:
			r.HasAddress = true
			if d.where != nil && d.w.same(d.where) {
				r.Strand, r.SequenceNo = b.Strand, b.SequenceNo
			} else {
				r.Strand, r.SequenceNo, err = d.address()
			}
		case hash:
			var fault error
			r.Hash, fault = d.hash()
			r.keep(field, fault)
		case dataHash:
			var fault error
			r.DataHash, fault = d.hash()
			r.keep(field, fault)
		case data:
			r.RawData = d.w.raw()
		case metadata:
			at := d.w.start()
			if err = d.metadata(r); err == nil {
				r.HasMetadata, r.RawMetadata = true, d.w.rawFrom(at)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
}

// revisionSummary decodes one member of a summary's revisions.
func (d *decoder) revisionSummary(b *Block) error {
	r := Revision{Index: len(b.Revisions)}
	err := d.fields(func(field word) (err error) {
		switch field {
		case hash:
			r.Hash, err = d.hash()
		case documentID:
			r.DocumentID, err = d.w.text()
		}
		return err
	})
	if err == nil && r.Hash == nil {
		err = fmt.Errorf("%s: %w", hash, errAbsent)
	}
	b.Revisions = append(b.Revisions, r)
	return err
}

var errAbsent = errors.New("field is absent")

// keep notes the first fault of a revision.
func (r *Revision) keep(field word, fault error) {
	if fault != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", field, fault)
	}
}

func (d *decoder) metadata(r *Revision) error {
	if err := d.enter(ion.StructType, "value"); err != nil {
		return err
	}
	var seen fieldSet
	for {
		field, err := d.field(&seen)
		if err != nil {
			return err
		}
		var fault error
		switch field {
		case noWord:
			for _, field := range [...]word{documentKey, version, txTime, txID} {
				if !seen.has(field) {
					r.keep(field, errAbsent)
				}
			}
			return nil
		case documentKey:
			r.DocumentID, fault = d.w.text()
		case version:
			r.Version, fault = d.version()
		case txTime:
			r.TxTime, fault = d.w.instant()
		case txID:
			r.TxID, fault = d.w.text()
		}
		r.keep(field, fault)
	}
}
