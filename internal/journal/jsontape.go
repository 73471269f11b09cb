package journal

import (
	"math"

	"godwit/internal/change"
)

// jsonValues makes tapes of JSON values.
type jsonValues struct {
	names jsonNames
	open  [maxDepth]int32 // nodes of the containers that are open
}

// tape lays raw, one JSON value, on t: Data is raw with the texts behind it that
// raw writes otherwise. Numbers without point and exponent are ints, others
// decimals: JSON does not tell an Ion float from a decimal. Offsets in errors
// count from the start of raw.
func (v *jsonValues) tape(t *change.Tape, raw []byte) error {
	v.names.trim()
	t.Nodes, t.Data = t.Nodes[:0], append(t.Data[:0], raw...)
	at, reason := v.build(t, raw)
	t.Names = v.names.list
	if reason == "" && len(t.Data) > math.MaxUint32 {
		reason = "document is too large"
	}
	if reason != "" {
		return &SyntaxError{Format: JSON, Offset: int64(at), Reason: reason}
	}
	return nil
}

func (v *jsonValues) build(t *change.Tape, b []byte) (at int, reason string) {
	depth, pos := 0, skipSpace(b, 0)
	prev := int32(-1) // name before this one
	inStruct := false
	for {
		// A value begins at pos, or the container that was just opened ends.
		n := change.Node{Name: -1, End: int32(len(t.Nodes) + 1)}
		if inStruct {
			if pos >= len(b) || b[pos] != '"' {
				return pos, "a member has no quoted name"
			}
			end, escaped, reason := scanString(b, pos)
			if reason != "" {
				return end, reason
			}
			key := b[pos+1 : end-1]
			if escaped {
				if v.names.scratch, reason = unescape(v.names.scratch[:0], key); reason != "" {
					return pos, reason
				}
				key = v.names.scratch
			}
			n.Name = v.names.index(key, prev)
			prev = n.Name
			if end < len(b) && b[end] == ':' {
				pos = end + 1
			} else if pos = skipSpace(b, end); pos < len(b) && b[pos] == ':' {
				pos++
			} else {
				return pos, "no colon behind a member's name"
			}
			if pos < len(b) && b[pos] <= ' ' {
				pos = skipSpace(b, pos)
			}
		}
		if pos >= len(b) {
			return pos, "value is missing"
		}
		if len(t.Nodes) == maxNodes {
			return pos, errTooManyNodes.Error()
		}
		switch c := b[pos]; c {
		case '{', '[':
			n.Kind = change.Struct
			closing := byte('}')
			if c == '[' {
				n.Kind, closing = change.List, ']'
			}
			pos = skipSpace(b, pos+1)
			if pos < len(b) && b[pos] == closing {
				pos++
				t.Nodes = append(t.Nodes, n)
				break
			}
			if depth == maxDepth {
				return pos, tooDeep
			}
			v.open[depth] = int32(len(t.Nodes))
			depth++
			inStruct = c == '{'
			t.Nodes = append(t.Nodes, n)
			continue
		case '"':
			end, escaped, reason := scanString(b, pos)
			if reason != "" {
				return end, reason
			}
			n.Kind = change.Text
			n.Off, n.Len = uint32(pos+1), uint32(end-pos-2)
			if escaped {
				from := len(t.Data)
				if t.Data, reason = unescape(t.Data, b[pos+1:end-1]); reason != "" {
					return pos, reason
				}
				n.Off, n.Len = uint32(from), uint32(len(t.Data)-from)
			}
			pos = end
			t.Nodes = append(t.Nodes, n)
		case 't', 'f', 'n':
			n.Kind = change.Bool
			if c == 'n' {
				n.Kind = change.Null
			} else if c == 't' {
				n.Int = 1
			}
			end, reason := scanScalar(b, pos)
			if reason != "" {
				return end, reason
			}
			pos = end
			t.Nodes = append(t.Nodes, n)
		default:
			end, integer, reason := scanNumber(b, pos)
			if reason != "" {
				return end, reason
			}
			if reason = number(&n, t, b[pos:end], pos, integer); reason != "" {
				return pos, reason
			}
			pos = end
			t.Nodes = append(t.Nodes, n)
		}
		// Behind a value: close what ends here, then stand before the next one.
		for {
			if pos < len(b) && b[pos] <= ' ' {
				pos = skipSpace(b, pos)
			}
			if depth == 0 {
				if pos < len(b) {
					return pos, "something follows the value"
				}
				return pos, ""
			}
			if pos >= len(b) {
				return pos, "object or array does not end"
			}
			c := b[pos]
			pos++
			if c == ',' {
				if pos < len(b) && b[pos] <= ' ' {
					pos = skipSpace(b, pos)
				}
				break
			}
			if c != '}' && c != ']' || (c == '}') != inStruct {
				return pos - 1, "no comma between two members"
			}
			depth--
			t.Nodes[v.open[depth]].End = int32(len(t.Nodes))
			if depth > 0 {
				inStruct = t.Nodes[v.open[depth-1]].Kind == change.Struct
			}
		}
	}
}

// number gives n the number with the text s, which lies at off.
func number(n *change.Node, t *change.Tape, s []byte, off int, integer bool) (reason string) {
	if integer {
		v, ok := parseInt(s)
		if ok {
			n.Kind, n.Int = change.Int, v
			return ""
		}
		if s[0] != '-' || s[1] != '0' {
			n.Kind = change.Int
			n.Off, n.Len = uint32(off), uint32(len(s))
			return ""
		}
		// Only a decimal can be -0.
	}
	n.Kind = change.Decimal
	if !integer && isPlainDecimal(s) {
		n.Off, n.Len = uint32(off), uint32(len(s))
		return ""
	}
	from := len(t.Data)
	t.Data, reason = appendNumber(t.Data, s)
	n.Off, n.Len = uint32(from), uint32(len(t.Data)-from)
	return reason
}

// jsonNames numbers the names of members. Documents of a table repeat the same
// names in the same order, so that the name behind a name is mostly the one that
// came behind it last time: one comparison finds it.
type jsonNames struct {
	fields  *change.Fields
	list    []change.Name
	follow  []int32 // follow[i+1] came behind name i; follow[0] came first; -1: none yet
	byText  map[string]int32
	bytes   int
	scratch []byte
}

// Above either, the names are forgotten at the next document.
const (
	maxNames     = 64 << 10
	maxNameBytes = 8 << 20
)

func (n *jsonNames) trim() {
	if len(n.list) > maxNames || n.bytes > maxNameBytes {
		clear(n.list)
		clear(n.byText)
		n.list, n.follow, n.bytes = n.list[:0], n.follow[:0], 0
	}
	if len(n.follow) == 0 {
		n.follow = append(n.follow, -1)
	}
}

// index returns the number of name, which came behind the name numbered prev.
func (n *jsonNames) index(name []byte, prev int32) int32 {
	guess := n.follow[prev+1]
	if guess >= 0 && n.list[guess].Text == string(name) {
		return guess
	}
	i, ok := n.byText[string(name)]
	if !ok {
		if n.byText == nil {
			n.byText = map[string]int32{}
		}
		i = int32(len(n.list))
		text := string(name)
		n.byText[text] = i
		n.list = append(n.list, change.Name{Text: text, Field: n.fields.Lookup(name)})
		n.follow = append(n.follow, -1)
		n.bytes += len(text)
	}
	n.follow[prev+1] = i
	return i
}
