package mapping

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
)

// maxNesting bounds the depth of a jsonb value. PostgreSQL's parser gives up at
// its max_stack_depth, some thousand levels, and then fails a whole part.
const maxNesting = 1000

// A jsonWriter writes documents as JSON text that jsonb holds exactly, after the
// rules by which QLDB itself wrote JSON (the Ion cookbook's down-conversion):
//
//	struct -> object, list and sexp -> array, int and decimal -> number with all
//	its digits, float -> number, its shortest decimal text, timestamp -> string
//	in Ion's text form (a day without its T), blob -> base64 string, clob ->
//	string of its bytes as characters, symbol -> string, any null -> null
//
// and refuses what those rules lose in silence: annotations (unless told to drop
// them), repeated field names, NUL, nan and infinities, negative zero, numbers
// beyond numeric's limits.
type jsonWriter struct {
	dropAnnotations bool
	names           []nameAt // scratch: the field names of large structs
	bad             int32    // the node that a refusal is about
}

type nameAt struct {
	text string
	node int32
}

// append writes node at of t, or says why not and sets w.bad.
func (w *jsonWriter) append(dst []byte, t *change.Tape, at int32, depth int) (_ []byte, why string) {
	n := &t.Nodes[at]
	if n.Flags&change.Annotated != 0 && !w.dropAnnotations {
		w.bad = at
		return dst, hasAnnotations
	}
	if n.Kind != change.List && n.Kind != change.Struct {
		v := t.Value(n)
		if v.Kind == change.Bytes && n.Flags&change.Clob != 0 {
			dst, why = appendClob(dst, v.Bytes)
		} else {
			dst, why = appendJSONScalar(dst, v)
		}
		if why != "" {
			w.bad = at
		}
		return dst, why
	}
	if depth == maxNesting {
		w.bad = at
		return dst, "is nested deeper than 1000 levels"
	}
	object := n.Kind == change.Struct
	if object {
		if bad := w.repeated(t, at); bad >= 0 {
			w.bad = bad
			return dst, fieldRepeated
		}
		dst = append(dst, '{')
	} else {
		dst = append(dst, '[')
	}
	for i := at + 1; i < n.End; i = t.Nodes[i].End {
		if i > at+1 {
			dst = append(dst, ',')
		}
		if object {
			if dst, why = appendString(dst, t.Names[t.Nodes[i].Name].Text); why != "" {
				w.bad = i
				return dst, "has a field name that " + why
			}
			dst = append(dst, ':')
		}
		if dst, why = w.append(dst, t, i, depth+1); why != "" {
			return dst, why
		}
	}
	if object {
		return append(dst, '}'), ""
	}
	return append(dst, ']'), ""
}

const (
	hasAnnotations = `has annotations, which the column cannot hold: say "dropAnnotations": true if they may go`
	fieldRepeated  = "is a repeated field name"
)

// fewFields is up to how many fields are compared each with each.
const fewFields = 12

// repeated returns a field of the struct at whose name an earlier one has, or -1.
func (w *jsonWriter) repeated(t *change.Tape, at int32) int32 {
	w.names = w.names[:0]
	for i := at + 1; i < t.Nodes[at].End; i = t.Nodes[i].End {
		w.names = append(w.names, nameAt{t.Names[t.Nodes[i].Name].Text, i})
	}
	if len(w.names) <= fewFields {
		for i := range w.names {
			for j := range i {
				if w.names[i].text == w.names[j].text {
					return w.names[i].node
				}
			}
		}
		return -1
	}
	slices.SortStableFunc(w.names, func(a, b nameAt) int { return strings.Compare(a.text, b.text) })
	for i := 1; i < len(w.names); i++ {
		if w.names[i].text == w.names[i-1].text {
			return w.names[i].node
		}
	}
	return -1
}

// appendJSONScalar writes any value but a container.
func appendJSONScalar(dst []byte, v change.Value) (_ []byte, why string) {
	switch v.Kind {
	case change.Null:
		return append(dst, "null"...), ""
	case change.Bool:
		return strconv.AppendBool(dst, v.Int != 0), ""
	case change.Int:
		if v.Bytes == nil {
			return strconv.AppendInt(dst, v.Int, 10), ""
		}
		return appendJSONDecimal(dst, v.Bytes)
	case change.Decimal:
		if plainDecimal(v.Bytes) {
			return append(dst, v.Bytes...), ""
		}
		return appendJSONDecimal(dst, v.Bytes)
	case change.Float:
		f := math.Float64frombits(uint64(v.Int))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, "is nan or infinite, which JSON cannot hold"
		}
		var text [32]byte
		return appendJSONDecimal(dst, strconv.AppendFloat(text[:0], f, 'e', -1, 64))
	case change.Timestamp:
		return appendString(dst, timestampText(v.Bytes))
	case change.Text, change.Date, change.Time, change.UUID:
		return appendText(dst, v.Bytes)
	case change.Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes)
		return append(dst, '"'), ""
	case change.JSON:
		return append(dst, v.Bytes...), textWhy(v.Bytes)
	default:
		return dst, wrongKind
	}
}

func appendJSONDecimal(dst, text []byte) (_ []byte, why string) {
	at := len(dst)
	d, dst, ok := splitDecimal(dst, text)
	if !ok {
		return dst[:at], "is not a decimal number"
	}
	if why := d.numericWhy(); why != "" {
		return dst[:at], why
	}
	used := len(dst)
	dst = d.append(dst)
	// The digits may have been put together at dst's end; close the gap.
	n := copy(dst[at:], dst[used:])
	return dst[:at+n], ""
}

// appendText is appendString for bytes, most of which need no escape.
func appendText(dst, s []byte) (_ []byte, why string) {
	if len(s) >= 8 { // eight bytes at a time, the last ones twice
		odd := special(binary.LittleEndian.Uint64(s[len(s)-8:]))
		for rest := s; len(rest) > 8; rest = rest[8:] {
			odd |= special(binary.LittleEndian.Uint64(rest))
		}
		if odd == 0 {
			dst = append(dst, '"')
			dst = append(dst, s...)
			return append(dst, '"'), ""
		}
	}
	return appendString(dst, s)
}

// appendString writes s as a JSON string: UTF-8 as it is, and escapes only
// where JSON demands them.
func appendString[S string | []byte](dst []byte, s S) (_ []byte, why string) {
	dst = append(dst, '"')
	begin, start := len(dst), 0
	ascii := true
	for i := 0; i < len(s); {
		for i+8 <= len(s) {
			word := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
				uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
			if special(word) != 0 {
				break
			}
			i += 8
		}
		for end := min(i+8, len(s)); i < end; i++ {
			c := s[i]
			switch {
			case jsonPlain[c]:
				continue
			case c >= utf8.RuneSelf:
				ascii = false
				continue
			case c == 0:
				return dst, hasNUL
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			start = i + 1
		}
	}
	dst = append(dst, s[start:]...)
	if !ascii && !utf8.Valid(dst[begin:]) { // escapes are ASCII and hide nothing
		return dst, notUTF8
	}
	return append(dst, '"'), ""
}

// special is 0 when each of the eight bytes of word is plain in a JSON string.
// (Borrows between bytes may raise a false alarm, never hide one.)
func special(word uint64) uint64 {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	return ((word - ' '*ones) | (word ^ '"'*ones - ones) | (word ^ '\\'*ones - ones) | word) & highs
}

// jsonPlain marks the ASCII characters that stand for themselves in a string.
var jsonPlain = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// appendClob writes each byte of a clob as the character of that number.
func appendClob(dst, s []byte) (_ []byte, why string) {
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == 0:
			return dst, hasNUL
		case c >= utf8.RuneSelf:
			dst = utf8.AppendRune(dst, rune(c))
		case jsonPlain[c]:
			dst = append(dst, c)
		default:
			dst = appendEscape(dst, c)
		}
	}
	return append(dst, '"'), ""
}
