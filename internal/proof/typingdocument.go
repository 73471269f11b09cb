package proof

import (
	"fmt"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// A document is one JSON value, parsed once and hashed under one reading after
// another. Only what changed between two readings, and what it is within, is
// hashed again.
type document struct {
	nodes  []node
	cursor journal.JSONCursor
	arena  []byte // texts that readings made
	hasher ion.Hasher
	sum    []byte
	work   int64 // bytes spelled out; what else takes time is counted as such
}

// A node is a value of the document. Nodes stand in document order, containers
// before what they hold, as change.Tape has them.
type node struct {
	name    []byte // of an object's member
	text    []byte // of a scalar: as JSON has it, escapes resolved
	reading reading
	sum     [32]byte // of a struct's field, unless stale
	parent  int32    // -1: none
	end     int32    // behind the last node within
	path    int32    // in the table's paths; -1: unknown
	class   class
	stale   bool // it or something within was read differently since it was hashed
}

// A reading is a rule and what it made of a value.
type reading struct {
	rule rule
	text []byte
}

// maxNodes bounds a document; QLDB's held 128 KB, so never half as many values.
const maxNodes = 1 << 17

// parse makes d the document raw of the table. The error is a
// *journal.SyntaxError, or says that the document is too large.
func (d *document) parse(raw []byte, t *table) error {
	d.nodes, d.arena = d.nodes[:0], d.arena[:0]
	c := &d.cursor
	c.Reset(raw)
	parent := int32(-1)
	for {
		if !c.Next() {
			if err := c.Err(); err != nil {
				return err
			}
			if parent < 0 {
				return nil
			}
			c.StepOut()
			p := &d.nodes[parent]
			p.end = int32(len(d.nodes))
			parent = p.parent
			continue
		}
		if len(d.nodes) == maxNodes {
			return fmt.Errorf("document holds more than %d values", maxNodes)
		}
		i := int32(len(d.nodes))
		d.nodes = append(d.nodes, node{parent: parent, end: i + 1, stale: true})
		n := &d.nodes[i]
		if parent >= 0 {
			if p := &d.nodes[parent]; p.class == structClass {
				n.name = c.Name()
				n.path = t.member(p.path, n.name)
			} else {
				n.path = t.element(p.path)
			}
		}
		switch c.First() {
		case '{', '[':
			if n.class = structClass; c.First() == '[' {
				n.class = listClass
			}
			parent = i
			c.StepIn() // on an error Next is false
			continue
		case '"':
			if n.text = c.Text(); n.text != nil {
				n.class = stringClass(n.text)
			}
		default:
			if n.text = c.Text(); n.text == nil {
				continue // Next is false
			}
			switch n.text[0] {
			case 't', 'f':
				n.class = boolClass
			case 'n':
				n.class = nullClass
			default:
				n.class = numberClass(n.text)
			}
		}
	}
}

// take makes n be read by r, or reports false when r cannot be.
func (d *document) take(n *node, r rule) bool {
	if n.reading.rule == r {
		return true
	}
	made := reading{rule: r, text: n.text}
	if n.class >= emptyClass && !r.verbatim(n) {
		from := len(d.arena)
		out, ok := r.read(d.arena, n.text)
		if !ok {
			return false
		}
		d.arena = out
		made.text = out[from:len(out):len(out)]
	}
	n.reading = made
	d.change(n)
	return true
}

// verbatim reports whether the rule takes n's text as it is.
func (r rule) verbatim(n *node) bool {
	switch r {
	case stringRule, symbolRule, timestampRule:
		return true
	case intRule, decimalRule:
		return len(n.text) <= maxDigits && n.class != scientificClass // whose exponent may be too large
	default:
		return false
	}
}

// change marks n and what it is within.
func (d *document) change(n *node) {
	for !n.stale {
		n.stale = true
		if n.parent < 0 {
			return
		}
		n = &d.nodes[n.parent]
	}
}

// hash returns the Ion hash of the document as it is read now.
func (d *document) hash() (Hash, error) {
	d.hasher.Begin()
	d.spell(0)
	var err error
	if d.sum, err = d.hasher.AppendSum(d.sum[:0]); err != nil {
		return Hash{}, err
	}
	d.work += perHash
	return Hash{sum: [32]byte(d.sum), full: true}, nil
}

// What a hash and a value add to document.work, beside their bytes.
const (
	perHash  = 128
	perValue = 16
)

// spell spells node i on the hasher. It nests as deep as the journal does, 512.
func (d *document) spell(i int32) {
	n, h := &d.nodes[i], &d.hasher
	n.stale = false
	d.work += perValue + int64(len(n.text))
	switch n.class {
	case structClass:
		h.BeginStruct()
		for c := i + 1; c < n.end; {
			m := &d.nodes[c]
			if !m.stale {
				h.FieldSum(&m.sum)
				d.work += 2 * perValue
			} else {
				h.Field(m.name)
				d.spell(c)
				copy(m.sum[:], h.LastField())
				d.work += perHash + int64(len(m.name))
			}
			c = m.end
		}
		h.End()
	case listClass:
		if n.reading.rule == sexpRule {
			h.BeginSexp()
		} else {
			h.BeginList()
		}
		for c := i + 1; c < n.end; c = d.nodes[c].end {
			d.spell(c)
		}
		h.End()
	case boolClass:
		h.Bool(n.text[0] == 't')
	default:
		n.reading.rule.spell(h, n.reading.text)
	}
}

// searched stands for no typing: values were tried one by one.
const searched = -1

// prove looks for a reading that the oracle accepts, and says by which typing it
// was found.
func (d *document) prove(t *table, oracle Oracle, effort int64) (_ Hash, typing int, ok bool) {
	for k := range max(1, len(t.typings)) {
		changed, ok := d.read(t, k)
		if !ok {
			return Hash{}, k, false
		}
		if !changed {
			continue
		}
		h, err := d.hash()
		if err != nil {
			return Hash{}, k, false
		}
		if oracle.Accepts(h) {
			return h, k, true
		}
	}
	h, ok := d.search(t, oracle, effort)
	return h, searched, ok
}

// read reads every value by typing k, or as it looks where the typing's rule
// cannot be. changed reports whether a value is read differently than before; ok
// is false when there is a value that cannot be hashed at all.
func (d *document) read(t *table, k int) (changed, ok bool) {
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.class == structClass || n.class == boolClass {
			continue
		}
		was := n.reading.rule
		if !d.take(n, t.rule(n.path, n.class, k)) && !d.takeAny(n) {
			return false, false
		}
		changed = changed || n.reading.rule != was
	}
	return changed || k == 0, true
}

// takeAny makes n be read by its first rule that can be, as it looks mostly.
func (d *document) takeAny(n *node) bool {
	for _, r := range choices[n.class] {
		if d.take(n, r.rule) {
			return true
		}
	}
	return false
}
