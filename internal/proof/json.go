package proof

import (
	"encoding/base64"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// A speller hashes JSON: objects are structs, arrays lists, repeated names
// repeated fields, numbers without point and exponent ints, others decimals.
type speller struct {
	cursor journal.JSONCursor
	inside []byte // '{' or '[' of each container stepped into
	blob   []byte
}

// spell begins a value on h and spells raw, one JSON value. system gives the
// fields of QLDB's own parts the types that they have in Ion; all else is what it
// looks like. The error is of syntax; h has its own.
func (s *speller) spell(h *ion.Hasher, raw []byte, system bool) error {
	c := &s.cursor
	h.Begin()
	c.Reset(raw)
	s.inside = s.inside[:0]
	for {
		n := len(s.inside)
		if !c.Next() {
			if err := c.Err(); err != nil {
				return err
			}
			if n == 0 {
				return nil
			}
			c.StepOut()
			h.End()
			s.inside = s.inside[:n-1]
			continue
		}
		var name []byte
		if n > 0 && s.inside[n-1] == '{' {
			name = c.Name()
			h.Field(name)
		}
		switch first := c.First(); first {
		case '{', '[':
			if first == '{' {
				h.BeginStruct()
			} else {
				h.BeginList()
			}
			s.inside = append(s.inside, first)
			c.StepIn()
		case '"':
			if text := c.Text(); text != nil && !(system && s.retyped(h, name, text)) {
				h.String(text)
			}
		case 't', 'f':
			if text := c.Text(); text != nil {
				h.Bool(first == 't')
			}
		case 'n':
			if text := c.Text(); text != nil {
				h.Null(ion.NullType)
			}
		default:
			if text := c.Text(); isInt(text) {
				h.Int(text)
			} else if text != nil {
				h.Decimal(text)
			}
		}
	}
}

// isInt says whether a JSON number is one: it has neither point nor exponent, and
// is not -0, which only a decimal can be.
func isInt(text []byte) bool {
	for _, c := range text {
		if c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return string(text) != "-0" && len(text) > 0
}

// retyped spells the strings of QLDB's own parts that were none in Ion: times and
// hashes, by the names that they have in every real block.
func (s *speller) retyped(h *ion.Hasher, name, text []byte) bool {
	switch string(name) {
	case "txTime", "startTime", "blockTimestamp":
		h.Timestamp(text)
		return true
	case "statementDigest", "hash", "dataHash":
		var err error
		if s.blob, err = base64.StdEncoding.AppendDecode(s.blob[:0], text); err == nil {
			h.Blob(s.blob)
			return true
		}
	}
	return false
}
