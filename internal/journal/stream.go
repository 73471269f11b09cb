package journal

import (
	"errors"
	"fmt"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// A StreamReader reads the payloads of a journal stream's messages: a block
// without its revisions, and revisions without their block. What it returns is
// borrowed until its next call, and from what it was given. Symbols come from one
// ion.MessageReader, which has a few tables: what their names mean is kept. It is
// not safe for concurrent use.
type StreamReader struct {
	fields *change.Fields
	names  map[*ion.SymbolTable]*ionNames
	iw     ionWalker
	iv     ionValues
	dec    decoder
	arena  []byte
	block  Block
}

// NewStreamReader returns a StreamReader. Fields are the field names that a
// mapping asks for; nil: none.
func NewStreamReader(fields *change.Fields) *StreamReader {
	r := &StreamReader{fields: fields, names: map[*ion.SymbolTable]*ionNames{}}
	r.iw.arena = &r.arena
	r.dec.w = &r.iw
	return r
}

// Summary reads the payload of a BLOCK_SUMMARY: the fields of a block, but for
// revisions, and
//
//	revisionSummaries: [{hash, documentId?}, ...]
//
// which are the block's Revisions, each HashOnly. Those without a documentId are
// QLDB's own and get no REVISION_DETAILS.
func (r *StreamReader) Summary(payload []byte, symbols *ion.SymbolTable) (*Block, error) {
	b := r.start(payload, symbols)
	r.dec.summary = true
	if err := r.dec.block(b); err != nil {
		if b.Strand != "" {
			err = fmt.Errorf("block %d: %w", b.SequenceNo, err)
		}
		return nil, err
	}
	return b, nil
}

// Details reads the payload of a REVISION_DETAILS:
//
//	{tableInfo: {tableName, tableId}, revision: {blockAddress, hash, data | dataHash, metadata}}
//
// The block holds what the revision tells of it, Strand, SequenceNo and
// TransactionID, and the revision. A revision that cannot become a record is no
// error as long as its block is known: Block.Record has the reason.
func (r *StreamReader) Details(payload []byte, symbols *ion.SymbolTable) (*Block, error) {
	b := r.start(payload, symbols)
	b.alone, b.HasRevisions = true, true
	if !r.iw.next() {
		return nil, errors.Join(r.iw.err(), errors.New("there is no value"))
	}
	var table change.SourceTable
	err := r.dec.fields(func(field word) error {
		switch field {
		case tableInfo:
			return r.dec.fields(func(field word) error {
				if field == tableName || field == tableID {
					return r.dec.tableName(field, &table)
				}
				return nil
			})
		case revision:
			return r.dec.revision(b)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(b.Revisions) == 0 {
		return nil, errors.New("revision is absent")
	}
	v := &b.Revisions[0]
	switch {
	case v.HashOnly():
		return nil, errors.New("revision holds its hash alone: details were expected")
	case !v.HasAddress:
		return nil, errors.New("revision has no blockAddress: its block is not known")
	}
	b.Strand, b.SequenceNo, b.TransactionID, v.Table = v.Strand, v.SequenceNo, v.TxID, table
	if v.err == nil {
		v.err = b.check(v)
	}
	return b, nil
}

// start makes r ready to read payload into the block.
func (r *StreamReader) start(payload []byte, symbols *ion.SymbolTable) *Block {
	names := r.names[symbols]
	if names == nil {
		names = &ionNames{symbols: symbols, fields: r.fields}
		r.names[symbols] = names
	}
	names.sync()
	r.arena = r.arena[:0]
	r.iw.names, r.iv.names = names, names
	r.iw.reset(payload, 0)
	r.dec.reset()
	b := &r.block
	b.reset()
	b.Format, b.Raw, b.Symbols, b.values = IonBinary, payload, symbols, &r.iv
	return b
}
