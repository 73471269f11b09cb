package mapping

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"

	"godwit/internal/change"
)

// value maps the node at, which is not null and which path a of c led to, to v.
// bad is the node that a refusal is about.
func (p *Plan) value(t *change.Tape, c *column, a *alternative, at int32, v *change.Value) (bad int32, why string) {
	if c.list != noList && !(c.list == listJSON && !a.path.star) {
		return p.elements(t, c, a, at, v)
	}
	if c.typ.Kind == change.JSON {
		start := len(p.buf)
		p.json.dropAnnotations = c.dropAnnotations
		p.buf, why = p.json.append(p.buf, t, at, 0)
		*v = change.Value{Kind: change.JSON, Bytes: p.buf[start:]}
		return p.json.bad, why
	}
	return at, p.scalar(t, c, at, v)
}

// scalar maps the node at as one value that is neither null nor jsonb.
func (p *Plan) scalar(t *change.Tape, c *column, at int32, v *change.Value) (why string) {
	n := &t.Nodes[at]
	if n.Kind == change.Text && c.typ.Kind == change.Text && n.Flags == 0 { // most are
		v.Kind, v.Bytes = change.Text, t.Bytes(n)
		if plainText(v.Bytes) && (c.typ.Length == 0 || len(v.Bytes) <= c.typ.Length) {
			return ""
		}
	}
	switch {
	case n.Flags&change.Annotated != 0 && !c.dropAnnotations:
		return hasAnnotations
	case n.Kind == change.List:
		return `is a list: say "list": "array" or "join", or map it to jsonb`
	case n.Kind == change.Struct:
		return "is a struct: map a field of it, or the whole to jsonb"
	}
	v.Kind, v.Int, v.Bytes = n.Kind, n.Int, t.Bytes(n)
	if n.Flags&change.Clob != 0 && c.typ.Kind == change.Text {
		// A clob has no encoding; ASCII is the same in all.
		for _, b := range v.Bytes {
			if b >= 0x80 {
				return "is a clob with other bytes than ASCII: map it to bytea"
			}
		}
		v.Kind = change.Text
	}
	return p.convert(c, v)
}

// elements maps the list at. Elements without a value at the path's tail count
// as null.
func (p *Plan) elements(t *change.Tape, c *column, a *alternative, at int32, v *change.Value) (bad int32, why string) {
	n := &t.Nodes[at]
	switch {
	case n.Kind != change.List:
		return at, "is not a list"
	case n.Flags&change.Annotated != 0 && !c.dropAnnotations:
		return at, hasAnnotations
	}
	p.list = p.list[:0]
	if c.list != listJoin {
		p.list = append(p.list, '[')
	}
	first := true
	for e := at + 1; e < n.End; e = t.Nodes[e].End {
		node, bad, why := p.element(t, a, e)
		if why != "" {
			return bad, why
		}
		if !first {
			if c.list == listJoin {
				p.list = append(p.list, c.separator...)
			} else {
				p.list = append(p.list, ',')
			}
		}
		first = false
		if bad, why := p.appendElement(t, c, e, node); why != "" {
			return bad, why
		}
	}
	kind := change.JSON
	switch {
	case c.list != listJoin:
		p.list = append(p.list, ']')
	case first && c.emptyNull:
		*v = change.Value{Kind: change.Null}
		return at, ""
	default:
		kind = change.Text
		if why := lengthWhy(p.list, c.typ.Length); why != "" {
			return at, why + " when joined"
		}
	}
	start := len(p.buf)
	p.buf = append(p.buf, p.list...)
	*v = change.Value{Kind: kind, Bytes: p.buf[start:]}
	return at, ""
}

// element follows the path's tail into the element e; 0 is nothing there.
func (p *Plan) element(t *change.Tape, a *alternative, e int32) (node, bad int32, why string) {
	for i, id := range a.tail {
		switch t.Nodes[e].Kind {
		case change.Struct:
		case change.Null:
			return 0, 0, ""
		default:
			return 0, e, "stands where a path expects a struct"
		}
		found := int32(0)
		for f := e + 1; f < t.Nodes[e].End; f = t.Nodes[f].End {
			if t.Names[t.Nodes[f].Name].Field != id {
				continue
			}
			if found != 0 {
				return 0, f, fieldRepeated
			}
			found = f
		}
		if found == 0 {
			return 0, 0, ""
		}
		if e = found; i == len(a.tail)-1 {
			return e, 0, ""
		}
	}
	return e, 0, ""
}

// anyElement reports whether some element of the list at has a's tail.
func (p *Plan) anyElement(t *change.Tape, a *alternative, at int32) bool {
	if t.Nodes[at].Kind != change.List {
		return false
	}
	for e := at + 1; e < t.Nodes[at].End; e = t.Nodes[e].End {
		if node, _, why := p.element(t, a, e); node != 0 || why != "" {
			return true
		}
	}
	return false
}

// appendElement writes one element behind p.list: as text for a join, else as
// JSON (the array form of change.JSON).
func (p *Plan) appendElement(t *change.Tape, c *column, e, node int32) (bad int32, why string) {
	missing := node == 0 || t.Nodes[node].Kind == change.Null
	if missing && node != 0 && t.Nodes[node].Flags&change.Annotated != 0 && !c.dropAnnotations {
		return node, hasAnnotations
	}
	switch {
	case missing && c.list == listJoin:
		return e, "has no value, which a joined list cannot show: use an array or jsonb"
	case missing:
		p.list = append(p.list, "null"...)
		return 0, ""
	case c.typ.Kind == change.JSON:
		p.json.dropAnnotations = c.dropAnnotations
		p.list, why = p.json.append(p.list, t, node, 0)
		return p.json.bad, why
	}
	limit := c.typ.Length
	if c.list == listJoin {
		c.typ.Length = 0 // holds for the whole
	}
	var v change.Value
	why = p.scalar(t, c, node, &v)
	c.typ.Length = limit
	if why != "" {
		return node, why
	}
	if c.list == listArray {
		p.list = appendArrayElement(p.list, v)
		return 0, ""
	}
	switch {
	case len(v.Bytes) == 0:
		return node, "is an empty text, which a joined list cannot show: use an array or jsonb"
	case bytes.Contains(v.Bytes, c.separator):
		return node, "contains the separator: choose another, or an array or jsonb"
	}
	p.list = append(p.list, v.Bytes...)
	return 0, ""
}

// appendArrayElement writes a converted value in the array form of change.JSON.
func appendArrayElement(dst []byte, v change.Value) []byte {
	switch v.Kind {
	case change.Int:
		if v.Bytes == nil {
			return strconv.AppendInt(dst, v.Int, 10)
		}
		return append(dst, v.Bytes...)
	case change.Decimal:
		return append(dst, v.Bytes...)
	case change.Bool:
		return strconv.AppendBool(dst, v.Int != 0)
	case change.Float:
		f := math.Float64frombits(uint64(v.Int))
		switch {
		case math.IsNaN(f):
			return append(dst, `"NaN"`...)
		case math.IsInf(f, 1):
			return append(dst, `"Infinity"`...)
		case math.IsInf(f, -1):
			return append(dst, `"-Infinity"`...)
		}
		return strconv.AppendFloat(dst, f, 'g', -1, 64)
	case change.Bytes:
		dst = append(dst, '"')
		dst = hex.AppendEncode(dst, v.Bytes)
		return append(dst, '"')
	default:
		dst, _ = appendString(dst, v.Bytes) // converted text has no NUL and is UTF-8
		return dst
	}
}
