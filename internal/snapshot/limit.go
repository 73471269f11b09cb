package snapshot

import (
	"bytes"
	"fmt"

	"godwit/internal/change"
)

// A size is a limit on the bytes of some columns of a line.
type size struct {
	columns []uint32
	bytes   int64
	reason  uint32
}

func (e *Encoder) compileSize(limit change.SizeLimit) error {
	s := size{bytes: limit.Bytes, reason: e.reason(fmt.Sprintf("has more bytes than %s may, %d", limit.What, limit.Bytes))}
	for i := range e.outs {
		if limit.Columns == nil {
			s.columns = append(s.columns, uint32(i))
		}
	}
	for _, name := range limit.Columns {
		for i := range e.outs {
			if e.outs[i].name == name {
				s.columns = append(s.columns, uint32(i))
			}
		}
	}
	if len(s.columns) < len(limit.Columns) {
		return fmt.Errorf("the lines do not have all of the columns %v", limit.Columns)
	}
	e.sizes = append(e.sizes, s)
	return nil
}

// run refuses the rows that are beyond the limit. A line's length tells of most
// that they are not.
func (s *size) run(e *Encoder) {
	room := int(s.bytes) - 8*len(s.columns)
	for i, length := range e.lengths {
		if length <= room || e.states[i].end != 0 {
			continue
		}
		sum, most, of := int64(0), int64(-1), uint32(0)
		for _, j := range s.columns {
			n := e.outs[j].size(i)
			if sum += n; n > most {
				most, of = n, j
			}
		}
		if sum > s.bytes {
			e.refuse(i, of, s.reason)
		}
	}
}

// size returns the bytes of a row's value as change.SizeLimit counts them.
func (o *out) size(row int) int64 {
	c := o.cells[row]
	if c.end >= isText {
		return 0
	}
	n := int64(c.end - c.at)
	switch part, ok := o.from.(*converter); {
	case o.uuid:
		return 16
	case o.bytea:
		return (n - int64(len(`\\x`))) / 2
	case ok && part.text:
		// Each escape is a backslash and a byte, and stands for one.
		text := o.raw[c.at:c.end]
		for i := bytes.IndexByte(text, '\\'); i >= 0; i = bytes.IndexByte(text, '\\') {
			text = text[i+2:]
			n--
		}
		return n
	}
	return max(n, 8)
}
