package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// An operation is what a transaction did to a row, by pgoutput's letter.
type operation byte

const (
	inserted operation = 'I'
	updated  operation = 'U'
	deleted  operation = 'D'
)

// A relation is a table as the log describes it.
type relation struct {
	oid          uint32
	schema, name string
	columns      []relationColumn
}

type relationColumn struct {
	name     string
	identity bool // of the replica identity: what the old row's key consists of
	oid      uint32
	modifier int32
	typ      string // as format_type spells it; filled in by the log
}

// A value is a column's, as text.
type value struct {
	text            string
	null, unchanged bool
}

// A rowChange is one change of one row.
type rowChange struct {
	op       operation
	relation *relation
	after    []value // nil of a deletion
	before   []value // nil where the log has nothing of the row before
	keyOnly  bool    // of before only the replica identity's columns count
}

// A transaction is a committed one.
type transaction struct {
	id      uint32
	end     int64 // log sequence number behind its commit
	commit  time.Time
	changes []rowChange
}

// A decoder reads pgoutput's messages, protocol version 1.
// https://www.postgresql.org/docs/17/protocol-logicalrep-message-formats.html
type decoder struct {
	relations map[uint32]*relation
	open      *transaction
}

// postgresEpoch is where PostgreSQL's timestamps begin.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// decode reads one message. It returns a transaction when it is whole.
func (d *decoder) decode(message []byte) (*transaction, error) {
	if len(message) == 0 {
		return nil, errors.New("an empty message")
	}
	r := &reader{rest: message[1:]}
	var done *transaction
	switch kind := message[0]; kind {
	case 'B':
		r.skip(8) // where its commit begins
		d.open = &transaction{commit: r.time(), id: r.uint32()}
	case 'C':
		if d.open == nil {
			return nil, errors.New("a commit without a beginning")
		}
		r.skip(1 + 8)
		d.open.end = int64(r.uint64())
		r.skip(8) // the time, again
		done, d.open = d.open, nil
	case 'R':
		x := r.relation()
		d.relations[x.oid] = x
	case byte(inserted), byte(updated), byte(deleted):
		c := rowChange{op: operation(kind), relation: d.relations[r.uint32()]}
		if c.relation == nil || d.open == nil {
			return nil, errors.New("a change of a table, or in a transaction, that was not announced")
		}
		r.images(&c)
		d.open.changes = append(d.open.changes, c)
	case 'Y', 'O', 'M': // types, origins, messages: their oids are enough
		return nil, nil
	default:
		return nil, fmt.Errorf("a message of type %q", kind)
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes follow its end", len(r.rest))
	}
	if r.err != nil {
		return nil, fmt.Errorf("message of type %q: %w", message[0], r.err)
	}
	return done, nil
}

// A reader takes a message apart; after an error it gives zeros.
type reader struct {
	rest []byte
	err  error
}

var errShort = errors.New("it ends too early")

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.err, r.rest = errShort, nil
		return make([]byte, min(max(n, 0), 8))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) skip(n int)     { r.take(n) }
func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) time() time.Time {
	return postgresEpoch.Add(time.Duration(int64(r.uint64())) * time.Microsecond)
}

func (r *reader) string() string {
	text, rest, ok := bytes.Cut(r.rest, []byte{0})
	if !ok {
		r.err = errShort
	}
	r.rest = rest
	return string(text)
}

func (r *reader) relation() *relation {
	x := &relation{oid: r.uint32(), schema: r.string(), name: r.string()}
	r.skip(1) // replica identity: the columns' flags say what it is
	for n := r.uint16(); n > 0 && r.err == nil; n-- {
		x.columns = append(x.columns, relationColumn{identity: r.byte() == 1, name: r.string(), oid: r.uint32(), modifier: int32(r.uint32())})
	}
	return x
}

// images reads the rows of a change.
func (r *reader) images(c *rowChange) {
	for len(r.rest) > 0 && r.err == nil {
		switch kind := r.byte(); kind {
		case 'N':
			c.after = r.row(c.relation)
		case 'K', 'O':
			c.before, c.keyOnly = r.row(c.relation), kind == 'K'
		default:
			r.err = fmt.Errorf("a row of type %q", kind)
		}
	}
	if r.err == nil && (c.op == deleted && c.before == nil || c.op != deleted && c.after == nil) {
		r.err = errShort
	}
}

func (r *reader) row(x *relation) []value {
	n := int(r.uint16())
	if n != len(x.columns) && r.err == nil {
		r.err = fmt.Errorf("a row of %d columns of a table of %d", n, len(x.columns))
	}
	row := make([]value, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		switch kind := r.byte(); kind {
		case 'n':
			row = append(row, value{null: true})
		case 'u':
			row = append(row, value{unchanged: true})
		case 't':
			row = append(row, value{text: string(r.take(int(r.uint32())))})
		default:
			r.err = fmt.Errorf("a value of type %q", kind)
		}
	}
	return row
}
