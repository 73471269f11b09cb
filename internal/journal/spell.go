package journal

import (
	"fmt"

	"godwit/internal/ion"
)

// A Leaf is a scalar of a JSON export. QLDB down-converted Ion values to it, so
// that its Ion type may be another than it looks: a timestamp is a string, a
// float a number.
type Leaf struct {
	// Path are the field names that lead to the leaf, outermost first; nil stands
	// for being an element of a list. It is borrowed.
	Path [][]byte
	// Kind is StringType, BoolType, NullType, IntType for a number without point
	// and exponent, and DecimalType for any other.
	Kind ion.Type
	// Text is a string's text, its escapes resolved, or the number, literal as it
	// stands. It is borrowed.
	Text []byte
}

// A Spelling spells leaf on h as the Ion value that it was, or reports false to
// have it spelled as it looks.
type Spelling func(h *ion.Hasher, leaf *Leaf) bool

// A JSONSpeller spells JSON values on a Hasher, so that their Ion hash can be
// computed once their types are known. The zero value is ready to use; it keeps
// its buffers, and is not safe for concurrent use.
type JSONSpeller struct {
	w     jsonWalker
	arena []byte
	leaf  Leaf
}

// Spell begins a value on h and spells raw, one JSON value: objects are structs,
// arrays lists, repeated names repeated fields, and scalars what spelling says;
// nil: what they look like. The error is of syntax; h has its own.
func (s *JSONSpeller) Spell(h *ion.Hasher, raw []byte, spelling Spelling) error {
	h.Begin()
	s.arena, s.leaf.Path = s.arena[:0], s.leaf.Path[:0]
	s.w.arena = &s.arena
	s.w.reset(raw, 0)
	for {
		if !s.w.next() {
			if err := s.w.err(); err != nil {
				return fmt.Errorf("spell json: %w", err)
			}
			if s.w.depth == 0 {
				return nil
			}
			s.w.stepOut()
			h.End()
			continue
		}
		if d := s.w.depth; d > 0 {
			var name []byte
			if s.w.inside[d-1] == '{' {
				name = s.w.name()
				h.Field(name)
			}
			s.leaf.Path = append(s.leaf.Path[:d-1], name)
		}
		switch kind := s.w.kind(); kind {
		case ion.StructType, ion.ListType:
			if kind == ion.StructType {
				h.BeginStruct()
			} else {
				h.BeginList()
			}
			s.w.stepIn()
		default:
			if err := s.scalar(h, kind, spelling); err != nil {
				return fmt.Errorf("spell json: %w", err)
			}
		}
	}
}

func (s *JSONSpeller) scalar(h *ion.Hasher, kind ion.Type, spelling Spelling) (err error) {
	l, w := &s.leaf, &s.w
	l.Kind = kind
	switch kind {
	case ion.StringType:
		l.Text, err = w.text()
	case ion.DecimalType:
		end, integer, reason := scanNumber(w.b, w.val)
		if reason != "" {
			w.fail(end, reason)
			return w.problem
		}
		l.Text, w.after = w.b[w.val:end], end
		if integer && !(l.Text[0] == '-' && l.Text[1] == '0') { // only a decimal can be -0
			l.Kind = ion.IntType
		}
	default:
		end, reason := scanScalar(w.b, w.val)
		if reason != "" {
			w.fail(end, reason)
			return w.problem
		}
		l.Text, w.after = w.b[w.val:end], end
	}
	if err != nil {
		return err
	}
	if spelling != nil && spelling(h, l) {
		return nil
	}
	switch l.Kind {
	case ion.StringType:
		h.String(l.Text)
	case ion.IntType:
		h.Int(l.Text)
	case ion.DecimalType:
		h.Decimal(l.Text)
	case ion.BoolType:
		h.Bool(l.Text[0] == 't')
	default:
		h.Null(ion.NullType)
	}
	return nil
}
