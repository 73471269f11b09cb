package copytext

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

var errNullJSON = errors.New("the value is JSON's null, which a row of JSON cannot tell from NULL")

// appendString writes s as it stands within a JSON string.
func appendString[T ~string | ~[]byte](dst []byte, s T) ([]byte, error) {
	start := 0
	ascii := true
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			ascii = false
			continue
		case c == 0:
			return dst, errNUL
		case c >= ' ' && c != '"' && c != '\\':
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendByte(dst, c)
		start = i + 1
	}
	if !ascii && !utf8.ValidString(string(s)) {
		return dst, errUTF8
	}
	return append(dst, s[start:]...), nil
}

// appendByte writes one byte, not NUL, as it stands within a JSON string.
func appendByte(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, `\n`...)
	case c == '\r':
		return append(dst, `\r`...)
	case c == '\t':
		return append(dst, `\t`...)
	case c < ' ':
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	}
	return append(dst, c)
}

// appendRaw writes JSON as it is. What is wrong within it is the server's to
// refuse; that it ends where the value ends is seen to here.
func appendRaw(dst, s []byte) ([]byte, error) {
	if bytes.IndexByte(s, 0) >= 0 {
		return dst, errNUL
	}
	if !utf8.Valid(s) {
		return dst, errUTF8
	}
	if string(s) == "null" {
		return dst, errNullJSON
	}
	depth, inString, some := 0, false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		if depth < 0 || depth == 0 && c == ',' && !inString {
			return dst, errJSON
		}
		some = some || c > ' '
	}
	if depth != 0 || inString || !some {
		return dst, errJSON
	}
	return append(dst, s...), nil
}
