package stream

import (
	"errors"
	"fmt"

	"godwit/internal/change"
)

// An Op is what happened to a row.
type Op uint8

// The operations. All but Delete write the whole row.
const (
	Load   Op = iota + 1 // DMS: the row was there when the task began
	Insert               //
	Update               // also what a producer calls by a name of its own, when it has the row
	Delete               //
)

func (o Op) String() string {
	switch o {
	case Load:
		return "load"
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// A Change is one write to one row of a relational source. It borrows from the
// message alone.
type Change struct {
	Source        string // change.SourceDMS or change.SourceDSQL
	Op            Op
	Schema, Table string // of the source
	// Position is zero for a Load: older than every change.
	Position change.Position
	At       string // commit time, RFC 3339; "" of a Load
	// After is the row, in the record's order; of a deletion, what the producer
	// has of it, at least the key. Before is what it has of the row before an
	// update: the key's columns where they changed, with REPLICA IDENTITY FULL all.
	After, Before []Field
}

func (*Change) event() {}

// decodeJSON reads the message of AWS DMS or Aurora DSQL: DMS's has metadata,
// DSQL's has a type.
func decodeJSON(data []byte) (Event, error) {
	if err := checkJSON(data); err != nil {
		return nil, &Error{Err: err}
	}
	var room [16]Field
	top, err := appendFields(room[:0], data)
	if err != nil {
		return nil, &Error{Err: err}
	}
	switch {
	case field(top, "metadata") != nil:
		return decodeDMS(top)
	case field(top, "type") != nil:
		return decodeDSQL(top)
	}
	return nil, &Error{Err: errors.New("is a JSON object of neither AWS DMS (it has no metadata) nor Aurora DSQL (it has no type): " +
		"is another producer writing to this stream?")}
}

// member returns the text of a member; "" where there is none, or where it is null.
func member(fields []Field, name string) (string, error) {
	v := field(fields, name)
	if v == nil || isNull(v) {
		return "", nil
	}
	if !isString(v) {
		return "", fmt.Errorf("%s is no string", name)
	}
	text, err := unquote(v)
	if err != nil {
		return "", fmt.Errorf("%s %w", name, err)
	}
	return string(text), nil
}
