package ion

import (
	"fmt"
	"hash/crc32"
)

// A MessageReader reads messages: each is the whole of a stream of binary Ion
// that holds one value, as the records of QLDB's journal streams do. Producers
// write the same symbol table into message after message: one that was parsed
// serves the next message that begins with the same bytes. The zero MessageReader
// is ready; it is not safe for concurrent use.
type MessageReader struct {
	cur   Cursor
	kept  [keptHeads]*messageHead // by checksum
	large messageHead
}

// What is kept bounds memory: some megabytes at the worst.
const (
	keptHeads    = 64
	maxKeptBytes = 4 << 10
)

// A messageHead is what lies before a message's value, and what it means.
type messageHead struct {
	bytes   []byte
	symbols SymbolTable
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Read returns the value of message, annotations included, and the symbols to
// read it with. The value is a part of message; the symbols are valid until the
// next call, and while their Epoch stays they are the same. Lengths inside the
// value are not yet checked: that is a Cursor's work.
func (r *MessageReader) Read(message []byte) (value []byte, symbols *SymbolTable, err error) {
	if len(message) == 0 {
		return nil, nil, &SyntaxError{Reason: "message is empty"}
	}
	c := &r.cur
	head := 0
	for at := 0; at < len(message); {
		marked, err := versionMarker(message, at)
		if err != nil {
			return nil, nil, err
		}
		if marked {
			at += 4
			continue
		}
		if !r.stand(message, at) {
			if c.Err() != nil {
				return nil, nil, c.Err()
			}
			break // padding up to the end
		}
		at = c.End()
		if isTable(c) {
			continue
		}
		if value != nil {
			return nil, nil, &SyntaxError{Offset: int64(c.Offset()), Reason: "another value follows the message's"}
		}
		value, head = c.Raw(), c.Offset()
	}
	if value == nil {
		return nil, nil, &SyntaxError{Offset: int64(len(message)), Reason: "message holds no value"}
	}
	symbols, err = r.symbols(message[:head])
	return value, symbols, err
}

// stand puts the cursor on the value that begins at byte at.
func (r *MessageReader) stand(message []byte, at int) bool {
	r.cur.Base = 0
	r.cur.Reset(message, at, len(message))
	return r.cur.Next()
}

// versionMarker says whether a version marker stands at byte at, as one must at
// the beginning.
func versionMarker(message []byte, at int) (bool, error) {
	b := message[at:]
	switch {
	case len(b) >= 4 && b[0] == 0xE0 && b[1] == 1 && b[2] == 0 && b[3] == 0xEA:
		return true, nil
	case at == 0 || b[0] == 0xE0:
		return false, &SyntaxError{Offset: int64(at), Reason: fmt.Sprintf("% X is not the version marker of ion 1.0", b[:min(len(b), 4)])}
	}
	return false, nil
}

// symbols returns the symbols that head, which Read stepped over, defines.
func (r *MessageReader) symbols(head []byte) (*SymbolTable, error) {
	h := &r.large
	if len(head) <= maxKeptBytes {
		slot := &r.kept[crc32.Checksum(head, castagnoli)%keptHeads]
		if *slot == nil {
			*slot = &messageHead{}
		}
		h = *slot
		if len(h.bytes) > 0 && string(h.bytes) == string(head) {
			return &h.symbols, nil
		}
		h.bytes = h.bytes[:0] // until it was read
	}
	for at := 0; at < len(head); {
		if head[at] == 0xE0 {
			h.symbols.Reset()
			at += 4
			continue
		}
		if !r.stand(head, at) {
			break // padding
		}
		at = r.cur.End()
		if _, err := h.symbols.load(&r.cur); err != nil {
			return nil, err
		}
	}
	if h != &r.large {
		h.bytes = append(h.bytes, head...)
	}
	return &h.symbols, nil
}
