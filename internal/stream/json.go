package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A Field is a column of a row image, as its record has it.
type Field struct {
	Name  []byte
	Value []byte // JSON (RFC 8259), as written
}

// checkJSON refuses what is not one JSON object in UTF-8. What is below may then
// walk data without looking for faults.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8")
	}
	if !json.Valid(data) {
		var (
			syntax *json.SyntaxError
			none   json.RawMessage
		)
		if err := json.Unmarshal(data, &none); errors.As(err, &syntax) {
			return fmt.Errorf("is not JSON from offset %d on: %w", syntax.Offset, syntax)
		}
		return errors.New("is not JSON")
	}
	if data[space(data, 0)] != '{' {
		return errors.New("is JSON, but no object")
	}
	return nil
}

// appendFields adds the members of a JSON object to dst. A name that is there
// twice is refused: its readers would differ in which one counts.
func appendFields(dst []Field, object []byte) ([]Field, error) {
	first := len(dst)
	i := space(object, space(object, 0)+1)
	for object[i] != '}' {
		end := skip(object, i)
		name := object[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var err error
			if name, err = unquote(object[i:end]); err != nil {
				return nil, fmt.Errorf("a member's name %w", err)
			}
		}
		i = space(object, space(object, end)+1) // behind the colon
		end = skip(object, i)
		dst = append(dst, Field{Name: name, Value: object[i:end]})
		if i = space(object, end); object[i] == ',' {
			i = space(object, i+1)
		}
	}
	return dst, repeated(dst[first:])
}

// repeated refuses two fields of one name.
func repeated(fields []Field) error {
	const few = 24 // up to here comparing all pairs is faster than a map
	if len(fields) <= few {
		for i := range fields {
			for j := range fields[:i] {
				if bytes.Equal(fields[i].Name, fields[j].Name) {
					return fmt.Errorf("has the member %.100q twice", fields[i].Name)
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(fields))
	for i := range fields {
		if _, ok := seen[string(fields[i].Name)]; ok {
			return fmt.Errorf("has the member %.100q twice", fields[i].Name)
		}
		seen[string(fields[i].Name)] = struct{}{}
	}
	return nil
}

// field returns the value of the field of that name; nil where there is none.
func field(fields []Field, name string) []byte {
	for i := range fields {
		if string(fields[i].Name) == name {
			return fields[i].Value
		}
	}
	return nil
}

// space returns the position of the first byte from i on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skip returns the position behind the value at i of valid JSON.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch b[i] {
			case '"':
				i = skipString(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	default: // a number, true, false, null
		for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
			i++
		}
		return i
	}
}

func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// isString, isNull and isObject tell of valid JSON what it is.
func isString(v []byte) bool { return len(v) > 0 && v[0] == '"' }
func isNull(v []byte) bool   { return len(v) > 0 && v[0] == 'n' }
func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }

// isNumber reports whether valid JSON is a number.
func isNumber(v []byte) bool {
	return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

var (
	errNUL  = errors.New(`has the character NUL (\u0000), which PostgreSQL's text cannot hold: remove it in the source`)
	errHalf = errors.New("has half of a surrogate pair, which is no character: mend it in the source")
)

// unquote returns the text of a JSON string: part of s, where s has no escapes.
// PostgreSQL's text has no NUL, and UTF-8 no half of a pair of
// surrogates: both are refused.
func unquote(s []byte) ([]byte, error) {
	s = s[1 : len(s)-1]
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s, nil
	}
	dst := make([]byte, 0, len(s))
	for {
		dst = append(dst, s[:i]...)
		switch c := s[i+1]; c {
		case 'u':
			r := hex4(s[i+2:])
			s = s[i+6:]
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
					low = hex4(s[2:])
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, errHalf
				}
				s = s[6:]
			}
			if r == 0 {
				return nil, errNUL
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, unescape(c))
			s = s[i+2:]
		}
		if i = bytes.IndexByte(s, '\\'); i < 0 {
			return append(dst, s...), nil
		}
	}
}

// unescape returns what the escape of one letter stands for.
func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a backslash, a slash
}

// hex4 returns the number of four hexadecimal digits of valid JSON.
func hex4(s []byte) rune {
	n, err := strconv.ParseUint(string(s[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// appendString adds text as a JSON string, always spelt the same.
func appendString[T []byte | string](dst []byte, text T) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	dst = append(dst, text[from:]...)
	return append(dst, '"')
}
