package copytext

import (
	"bytes"
	"unicode/utf8"

	"godwit/internal/change"
)

// appendArray writes the array form of change.JSON as a PostgreSQL array
// literal: {1,NULL,"text"} (postgresql.org/docs/17/arrays.html#ARRAYS-IO). The
// literal's own backslashes are doubled again for COPY, as for JSON.
func appendArray(dst, s []byte, t *change.Type, f form) ([]byte, error) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return dst, errArray
	}
	if !utf8.Valid(s) {
		return dst, errUTF8
	}
	if bytes.IndexByte(s, 0) >= 0 {
		return dst, errNUL
	}
	dst = append(dst, '{')
	s = s[1:]
	for first := true; ; first = false {
		if s[0] == ']' && first {
			break
		}
		n := jsonLength(s)
		if n == 0 || n >= len(s) {
			return dst, errArray
		}
		var ok bool
		if dst, ok = appendElement(dst, s[:n], t, f); !ok {
			return dst, errArray
		}
		s = s[n:]
		if s[0] == ']' {
			break
		}
		if s[0] != ',' || len(s) == 1 {
			return dst, errArray
		}
		dst = append(dst, ',')
		s = s[1:]
	}
	if len(s) != 1 {
		return dst, errArray
	}
	return append(dst, '}'), nil
}

// jsonLength returns how many bytes the JSON value at the start of s has, up to
// a comma or bracket that is not its own. It trusts the JSON to be well formed
// inside.
func jsonLength(s []byte) int {
	depth := 0
	inString := false
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
			if depth == 0 {
				return i
			}
			depth--
		case c == ',' && depth == 0:
			return i
		}
	}
	return 0
}

func appendElement(dst, s []byte, t *change.Type, f form) (_ []byte, ok bool) {
	quote := [...]string{`"`, `\"`}[f]
	switch {
	case string(s) == "null":
		return append(dst, "NULL"...), true
	case t.Kind == change.JSON:
		dst = append(dst, quote...)
		for _, c := range s {
			dst = appendQuoted(dst, c, f)
		}
		return append(dst, quote...), true
	case s[0] == '[' || s[0] == '{':
		return dst, false
	case s[0] != '"':
		return append(dst, s...), bare(s)
	case len(s) < 2 || s[len(s)-1] != '"':
		return dst, false
	}
	s = s[1 : len(s)-1]
	dst = append(dst, quote...)
	if t.Kind == change.Bytes {
		dst = append(dst, `\\\\x`...)
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = appendQuoted(dst, s[i], f)
			continue
		}
		if i++; i == len(s) {
			return dst, false
		}
		switch s[i] {
		case 'n':
			dst = appendQuoted(dst, '\n', f)
		case 't':
			dst = appendQuoted(dst, '\t', f)
		case 'r':
			dst = appendQuoted(dst, '\r', f)
		case 'b':
			dst = appendQuoted(dst, '\b', f)
		case 'f':
			dst = appendQuoted(dst, '\f', f)
		case '"', '\\', '/':
			dst = appendQuoted(dst, s[i], f)
		case 'u':
			r, n := unicodeEscape(s[i-1:])
			if n == 0 || r == 0 {
				return dst, false
			}
			var text [utf8.UTFMax]byte
			for _, c := range text[:utf8.EncodeRune(text[:], r)] {
				dst = appendQuoted(dst, c, f)
			}
			i += n - 2
		default:
			return dst, false
		}
	}
	return append(dst, quote...), true
}

// bare reports whether s is a number or a word, which need no quotes.
func bare(s []byte) bool {
	for _, c := range s {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '+' || c == '.') {
			return false
		}
	}
	return true
}

// unicodeEscape reads \uXXXX, or a pair of them that is one character, and
// returns how many bytes it has; 0 when it is none.
func unicodeEscape(s []byte) (rune, int) {
	one := func(s []byte) (r rune) {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return -1
		}
		for _, c := range s[2:6] {
			switch {
			case '0' <= c && c <= '9':
				r = r<<4 | rune(c-'0')
			case 'a' <= c && c <= 'f':
				r = r<<4 | rune(c-'a'+10)
			case 'A' <= c && c <= 'F':
				r = r<<4 | rune(c-'A'+10)
			default:
				return -1
			}
		}
		return r
	}
	r := one(s)
	switch {
	case r < 0 || 0xdc00 <= r && r < 0xe000:
		return 0, 0
	case r < 0xd800 || r >= 0xe000:
		return r, 6
	}
	low := one(s[6:])
	if low < 0xdc00 || low >= 0xe000 {
		return 0, 0
	}
	return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, 12
}

// appendQuoted writes one byte of a quoted array element: escaped for the
// literal, then for f.
func appendQuoted(dst []byte, c byte, f form) []byte {
	switch {
	case c == '"':
		return append(dst, [...]string{`\\"`, `\\\"`}[f]...)
	case c == '\\':
		return append(dst, `\\\\`...)
	case f == asJSON:
		return appendByte(dst, c)
	case c == '\n':
		return append(dst, `\n`...)
	case c == '\r':
		return append(dst, `\r`...)
	case c == '\t':
		return append(dst, `\t`...)
	}
	return append(dst, c)
}
