package ledgergen

import (
	"encoding/base64"
	"strconv"
	"strings"

	"godwit/internal/ion"
)

// appendText appends v as compact Ion text.
func (v *value) appendText(dst []byte) []byte {
	if v.null && v.kind != ion.NullType {
		return append(append(dst, "null."...), v.kind.String()...)
	}
	switch v.kind {
	case ion.BoolType:
		return strconv.AppendBool(dst, v.bool)
	case ion.IntType:
		return v.appendInt(dst)
	case ion.FloatType:
		return appendFloat(dst, v.float)
	case ion.DecimalType, ion.TimestampType:
		return append(dst, v.text...)
	case ion.StringType:
		return appendQuoted(dst, v.text, `\x`)
	case ion.BlobType:
		dst = append(dst, "{{"...)
		dst = base64.StdEncoding.AppendEncode(dst, v.bytes)
		return append(dst, "}}"...)
	case ion.ListType:
		dst = append(dst, '[')
		for i := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.items[i].appendText(dst)
		}
		return append(dst, ']')
	case ion.StructType:
		dst = append(dst, '{')
		for i := range v.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendSymbol(dst, v.fields[i].name), ':')
			dst = v.fields[i].value.appendText(dst)
		}
		return append(dst, '}')
	default: // no other kind is ever made
		return append(dst, "null"...)
	}
}

// appendJSON appends v down-converted to JSON.
func (v *value) appendJSON(dst []byte) []byte {
	if v.null {
		return append(dst, "null"...)
	}
	switch v.kind {
	case ion.BoolType:
		return strconv.AppendBool(dst, v.bool)
	case ion.IntType:
		return v.appendInt(dst)
	case ion.FloatType:
		return appendFloat(dst, v.float)
	case ion.DecimalType:
		return appendUnscaled(dst, v.text)
	case ion.TimestampType, ion.StringType:
		return appendQuoted(dst, v.text, `\u00`)
	case ion.BlobType:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.bytes)
		return append(dst, '"')
	case ion.ListType:
		dst = append(dst, '[')
		for i := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.items[i].appendJSON(dst)
		}
		return append(dst, ']')
	case ion.StructType:
		dst = append(dst, '{')
		for i := range v.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, v.fields[i].name, `\u00`), ':')
			dst = v.fields[i].value.appendJSON(dst)
		}
		return append(dst, '}')
	default: // no other kind is ever made
		return append(dst, "null"...)
	}
}

func (v *value) appendInt(dst []byte) []byte {
	if v.big != nil {
		return v.big.Append(dst, 10)
	}
	return strconv.AppendInt(dst, v.int, 10)
}

// appendFloat writes the shortest digits that denote f, with the exponent that
// makes the text a float in Ion: 2.5e0, 1e-7.
func appendFloat(dst []byte, f float64) []byte {
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	n, _ := strconv.Atoi(exponent) // FormatFloat's own digits
	dst = append(append(dst, digits...), 'e')
	return strconv.AppendInt(dst, int64(n), 10)
}

// appendUnscaled writes a decimal such as 90.25 as 9025e-2.
func appendUnscaled(dst []byte, text string) []byte {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if negative {
		dst = append(dst, '-')
	}
	unscaled := strings.TrimLeft(whole+fraction, "0")
	if unscaled == "" {
		unscaled = "0"
	}
	dst = append(append(dst, unscaled...), 'e')
	return strconv.AppendInt(dst, int64(-len(fraction)), 10)
}

// appendQuoted quotes s for Ion text or JSON, which differ in the escape for
// control characters only.
func appendQuoted(dst []byte, s, hexEscape string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c < ' ':
			dst = append(append(dst, hexEscape...), hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c) // UTF-8 stands as it is in both
		}
	}
	return append(dst, '"')
}

// appendSymbol writes a field name, quoted where Ion text would take it for
// something else.
func appendSymbol(dst []byte, name string) []byte {
	plain := name != "" && name != "null" && name != "true" && name != "false" && name != "nan" && name[0] != '$'
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		plain = plain && (letter || i > 0 && c >= '0' && c <= '9')
	}
	if plain {
		return append(dst, name...)
	}
	quoted := appendQuoted(nil, name, `\x`)
	inner := strings.ReplaceAll(strings.ReplaceAll(string(quoted[1:len(quoted)-1]), `\"`, `"`), `'`, `\'`)
	return append(append(append(dst, '\''), inner...), '\'')
}
