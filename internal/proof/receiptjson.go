package proof

import (
	"fmt"

	"godwit/internal/ion"
)

// document shows data that was JSON, in the types that a Typist read it by.
func (s *shower) document(d *document) error {
	if len(d.nodes) == 0 || d.nodes[0].class != structClass {
		return fmt.Errorf("it is no document")
	}
	s.element()
	return s.node(d, 0)
}

// node shows a value from its type on. It nests as deep as the journal does.
func (s *shower) node(d *document, i int32) error {
	n := &d.nodes[i]
	switch n.class {
	case structClass, listClass:
		t := ion.StructType
		if n.class == listClass {
			t = n.reading.rule.ionType()
		}
		s.open(t)
		for c, k := i+1, 0; c < n.end; c, k = d.nodes[c].end, k+1 {
			s.next(k)
			if n.class == structClass {
				s.field(d.nodes[c].name)
			} else {
				s.element()
			}
			if err := s.node(d, c); err != nil {
				return err
			}
		}
		s.close()
	case boolClass:
		s.bool(n.text[0] == 't')
	default:
		if err := s.read(d, n); err != nil {
			return err
		}
	}
	s.end()
	return nil
}

// read shows a value in the type that the Typist read it by.
func (s *shower) read(d *document, n *node) error {
	text := n.reading.text
	switch r := n.reading.rule; {
	case r >= nullRule && r < nanRule:
		s.null(r.ionType())
	case r == floatRule || r >= nanRule:
		s.float(r.float(n.text))
	case r >= decimalRule && r < nullRule:
		s.decimal(d.exact(text))
	case r == intRule:
		s.int(text)
	case r == timestampRule:
		only, err := onlyTimestamp(text)
		if err != nil {
			return err
		}
		s.timestamp(only)
	case r == symbolRule:
		s.symbol(text)
	case r == blobRule:
		s.blob(text)
	case r == clobRule:
		s.clob(text)
	default:
		s.string(text)
	}
	return nil
}

// onlyTimestamp returns the spelling that ion gives the timestamp that has
// others, such as 2019-09-16T.
func onlyTimestamp(text []byte) ([]byte, error) {
	var w ion.Writer
	w.Timestamp(string(text))
	value, err := w.AppendValues(nil)
	if err != nil {
		return nil, err
	}
	var c ion.Cursor
	c.Reset(value, 0, len(value))
	c.Next()
	return c.AppendTimestamp(nil)
}
