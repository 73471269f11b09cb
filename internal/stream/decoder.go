package stream

import (
	"bytes"
	"errors"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// A Decoder reads messages. A process needs one: it keeps what messages share,
// such as symbol tables, and its memory. It is not safe for concurrent use.
type Decoder struct {
	journal journalDecoder
}

// NewDecoder returns a Decoder. Fields are the field names that a mapping asks
// for of QLDB's documents; nil: none.
func NewDecoder(fields *change.Fields) *Decoder {
	return &Decoder{journal: journalDecoder{payloads: journal.NewStreamReader(fields)}}
}

// binaryIon begins every message of QLDB.
var binaryIon = []byte{0xE0, 0x01, 0x00, 0xEA}

// Decode reads what a message says. The error is an *Error: the message is poison.
// The event is valid until the next call.
func (d *Decoder) Decode(m Message) (Event, error) {
	switch {
	case bytes.HasPrefix(m.Data, binaryIon):
		return d.journal.decode(m.Data)
	case m.Damaged != "":
		return nil, &Error{Err: errors.New("record begins like an aggregate of the Kinesis Producer Library: " + m.Damaged)}
	case len(m.Data) == 0:
		return nil, &Error{Err: errors.New("it is empty")}
	}
	if i := space(m.Data, 0); i < len(m.Data) && m.Data[i] == '{' {
		return decodeJSON(m.Data)
	}
	return nil, &Error{Err: errors.New("content is neither binary ion, which QLDB streams, nor JSON, which DMS and Aurora DSQL do: does another producer write to this Kinesis stream?")}
}
