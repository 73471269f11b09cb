package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"godwit/internal/ion"
)

// A SyntaxError says which byte of a text cannot be read, and why. It is never
// worth a retry.
type SyntaxError struct {
	Format Format
	Offset int64 // in the decompressed object; in a document's data where RecordError wraps it
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at offset %d: %s", e.Format, e.Offset, e.Reason)
}

// The functions below scan JSON (RFC 8259) in place. They return the position
// behind what they scanned, or a reason why it is not JSON, with the position
// of the fault.

const (
	swarOnes  = 0x0101010101010101
	swarHighs = 0x8080808080808080
)

// scanString scans the string whose opening quote is at pos. The content is
// b[pos+1 : end-1].
func scanString(b []byte, pos int) (end int, escaped bool, reason string) {
	i := pos + 1
	// Eight bytes at a time up to the first that is a quote, a backslash, a
	// control character or not ASCII. The lowest mark of each test is exact.
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		q, s := w^(swarOnes*'"'), w^(swarOnes*'\\')
		m := ((q-swarOnes)&^q | (s-swarOnes)&^s | (w-swarOnes*0x20)&^w | w) & swarHighs
		if m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			break
		}
		i += 8
	}
	ascii := true
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[pos+1:i]) {
				return pos, false, "string is not UTF-8"
			}
			return i + 1, escaped, ""
		case c == '\\':
			escaped = true
			i++ // whatever it escapes does not end the string
		case c < 0x20:
			return i, false, fmt.Sprintf("string holds the control character 0x%02X, which JSON escapes", c)
		case c >= 0x80:
			ascii = false
		}
	}
	return pos, false, stringOpen
}

// unescape appends the text of a string's content.
func unescape(dst, content []byte) ([]byte, string) {
	for {
		i := bytes.IndexByte(content, '\\')
		if i < 0 {
			return append(dst, content...), ""
		}
		dst = append(dst, content[:i]...)
		if i+1 >= len(content) {
			return dst, "string ends within an escape"
		}
		c := content[i+1]
		content = content[i+2:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hex4(content)
			if !ok {
				return dst, `\u is not followed by four hexadecimal digits`
			}
			content = content[4:]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(content) >= 6 && content[0] == '\\' && content[1] == 'u' {
					low, _ = hex4(content[2:])
				}
				whole := utf16.DecodeRune(r, low)
				if whole == utf8.RuneError {
					return dst, fmt.Sprintf(`string holds the surrogate \u%04X without its partner, which is no character`, r)
				}
				r, content = whole, content[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, fmt.Sprintf(`string holds \%c, which JSON does not know`, c)
		}
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return -1, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// scanNumber scans the number at pos. integer reports that it is digits with an
// optional sign.
func scanNumber(b []byte, pos int) (end int, integer bool, reason string) {
	const notNumber = "neither a value nor a number"
	i := pos
	digits := func() bool {
		from := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	from := i
	if !digits() {
		return pos, false, notNumber
	}
	if b[from] == '0' && i > from+1 {
		return pos, false, "number begins with a needless zero"
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		i++
		integer = false
		if !digits() {
			return i, false, "number has no digit behind its point"
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		integer = false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return i, false, "number has no digit in its exponent"
		}
	}
	return i, integer, ""
}

// parseInt parses the integer text s. ok is false when int64 cannot hold it or
// it is -0.
func parseInt(s []byte) (v int64, ok bool) {
	digits := s
	if s[0] == '-' {
		digits = s[1:]
		if digits[0] == '0' {
			return 0, false
		}
	}
	if len(digits) > 18 {
		v, err := strconv.ParseInt(string(s), 10, 64)
		return v, err == nil
	}
	for _, c := range digits {
		v = v*10 + int64(c-'0')
	}
	if len(digits) != len(s) {
		v = -v
	}
	return v, true
}

// appendNumber appends the decimal that the JSON number s is, in the form of
// ion.AppendDecimalText: 90.25 and 9025e-2 are the same.
func appendNumber(dst, s []byte) ([]byte, string) {
	neg := s[0] == '-'
	if neg {
		s = s[1:]
	}
	exp := int64(0)
	if i := bytes.IndexAny(s, "eE"); i >= 0 {
		v, err := strconv.ParseInt(string(s[i+1:]), 10, 64)
		if err != nil || v < math.MinInt32 || v > math.MaxInt32 {
			return dst, "number's exponent exceeds 32 bits"
		}
		s, exp = s[:i], v
	}
	digits := s
	if i := bytes.IndexByte(s, '.'); i >= 0 {
		exp -= int64(len(s) - i - 1)
		joined := make([]byte, 0, 32)
		joined = append(append(joined, s[:i]...), s[i+1:]...)
		digits = joined
	}
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	return ion.AppendDecimalText(dst, neg, digits, exp), ""
}

// isPlainDecimal reports whether s, a JSON number with a point, already is in
// the form of appendNumber.
func isPlainDecimal(s []byte) bool {
	if s[0] == '-' {
		s = s[1:]
	}
	// A digit other than 0 before the point, and no exponent.
	return s[0] != '0' && bytes.IndexByte(s, 'e') < 0 && bytes.IndexByte(s, 'E') < 0
}

// skipValue scans over the value at pos: its strings and brackets only, so that
// what nobody asks for costs little. Whether it is JSON throughout shows when it
// is read.
func skipValue(b []byte, pos int) (end int, reason string) {
	switch b[pos] {
	case '"':
		end, _, reason = scanString(b, pos)
		return end, reason
	case '{', '[':
	default:
		return scanScalar(b, pos)
	}
	depth := 0
	for i := pos; i < len(b); i++ {
		switch b[i] {
		case '"':
			// Strings are most of the bytes: from quote to quote.
			for {
				n := bytes.IndexByte(b[i+1:], '"')
				if n < 0 {
					return i, stringOpen
				}
				i += n + 1
				back := i
				for b[back-1] == '\\' {
					back--
				}
				if (i-back)%2 == 0 {
					break
				}
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, tooDeep
			}
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, ""
			}
		}
	}
	return pos, valueOpen
}

// scanScalar scans a literal or number at pos.
func scanScalar(b []byte, pos int) (end int, reason string) {
	switch b[pos] {
	case 't':
		return scanLiteral(b, pos, "true")
	case 'f':
		return scanLiteral(b, pos, "false")
	case 'n':
		return scanLiteral(b, pos, "null")
	}
	end, _, reason = scanNumber(b, pos)
	return end, reason
}

func scanLiteral(b []byte, pos int, literal string) (end int, reason string) {
	if len(b)-pos < len(literal) || string(b[pos:pos+len(literal)]) != literal {
		return pos, "neither a value nor " + literal
	}
	return pos + len(literal), ""
}

func skipSpace(b []byte, pos int) int {
	for pos < len(b) && (b[pos] == ' ' || b[pos] == '\n' || b[pos] == '\r' || b[pos] == '\t') {
		pos++
	}
	return pos
}

// maxDepth is the deepest nesting of objects and arrays.
const maxDepth = ion.MaxDepth

var tooDeep = "objects and arrays nest deeper than " + strconv.Itoa(maxDepth)

const (
	stringOpen = "string does not end"
	valueOpen  = "value does not end"
)
