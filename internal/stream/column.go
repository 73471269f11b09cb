package stream

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"godwit/internal/change"
)

// A kind is what matters of a PostgreSQL type here.
type kind uint8

const (
	other    kind = iota // text for PostgreSQL's input function: inet, interval, ranges, arrays, …
	integer              // smallint, integer, bigint, oid
	float                // real, double precision
	decimal              // numeric, money
	boolean              //
	text                 // text, character varying, name, "char"
	padded               // character: spaces at the end do not count
	enum                 //
	bytea                //
	uuid                 //
	document             // json, jsonb
	date                 //
	daytime              // time without time zone
	moment               // timestamp without time zone
	instant              // timestamp with time zone
)

// A column is a column of the target, ready for values.
type column struct {
	change.RowColumn
	label []byte // its name as a JSON member, with the colon
	kind  kind
	base  string // the type without its modifier
	bits  int    // integer, float
	// limited says that length, or precision and scale, hold.
	limited   bool
	length    int // text, padded: characters
	precision int // decimal: digits
	scale     int // decimal: digits behind the point, may be negative; daytime, moment, instant: digits of a second
}

// newColumn reads a type as format_type spells it.
func newColumn(c change.RowColumn) column {
	col := column{RowColumn: c, label: append(appendString(nil, c.Name), ':'), base: c.Type}
	var modifier []int
	if open := strings.IndexByte(c.Type, '('); open >= 0 {
		inside, rest, _ := strings.Cut(c.Type[open+1:], ")")
		for part := range strings.SplitSeq(inside, ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(part)); err == nil {
				modifier = append(modifier, n)
			}
		}
		col.base = c.Type[:open] + rest
	}
	if len(modifier) > 0 {
		col.limited = true
		col.length, col.precision = modifier[0], modifier[0]
	}
	switch col.base {
	case "smallint":
		col.kind, col.bits = integer, 16
	case "integer":
		col.kind, col.bits = integer, 32
	case "bigint":
		col.kind, col.bits = integer, 64
	case "oid":
		col.kind, col.bits = integer, oidBits
	case "real":
		col.kind, col.bits = float, 32
	case "double precision":
		col.kind, col.bits = float, 64
	case "numeric":
		col.kind = decimal
		if len(modifier) > 1 {
			col.scale = modifier[1]
		}
	case "boolean":
		col.kind = boolean
	case "text", "character varying", "name", `"char"`:
		col.kind = text
	case "character", "bpchar":
		col.kind = padded
	case "bytea":
		col.kind = bytea
	case "uuid":
		col.kind = uuid
	case "json", "jsonb":
		col.kind = document
	case "date":
		col.kind = date
	case "time without time zone", "timestamp without time zone", "timestamp with time zone":
		col.kind = map[string]kind{"time without time zone": daytime, "timestamp without time zone": moment, "timestamp with time zone": instant}[col.base]
		col.scale = 6
		if col.limited {
			col.scale = modifier[0]
		}
	}
	if c.Enum {
		col.kind = enum
	}
	return col
}

// lobMaxSize is the most bytes of a large value (text, json, bytea, arrays, …) that
// DMS carries to Kinesis. A value that is longer is cut to this length, so one of
// it may be whole or not. A task whose LobMaxSize is less cuts where nobody can
// tell.
const lobMaxSize = 1 << 20

var errLarge = errors.New("has 1 MiB or more, where AWS DMS cuts large values off (LobMaxSize) without a word: copy the row by hand, and keep values of that size on S3")

// oidBits marks the one unsigned integer type, of 32 bits.
const oidBits = 33

// canKey reports whether appendKey knows one spelling for each value.
func (c *column) canKey() bool { return c.kind != other && c.kind != document }

// append adds the value as a member of a row: null, or a string for PostgreSQL's
// input function. A document is a string as well: as the JSON that it is, its
// null would be taken for NULL, and the text of json would change.
func (c *column) append(dst, v []byte, source string) ([]byte, error) {
	if isNull(v) {
		return append(dst, "null"...), nil
	}
	var room [128]byte
	text, err := c.text(room[:0], v, source)
	if err != nil {
		return nil, err
	}
	return appendString(dst, text), nil
}

// appendKey adds a key's value, not null, as the one JSON string that all equal
// values of its type have:
//
//   - integers in decimal; numeric without zeros that do not count: 1, 0.5
//   - floats as the shortest decimal that reads as the same float
//   - true, false; uuid in lower case with hyphens; bytea as \x and lower case
//   - text by bytes, character without the spaces at its end, enums by label
//   - dates and timestamps as 2024-01-31 and 2024-01-31 23:59:59.5, those with a
//     time zone in UTC
//
// Text is compared by bytes: a nondeterministic collation's equal texts are
// different keys here.
func (c *column) appendKey(dst, v []byte, source string) ([]byte, error) {
	var room [128]byte
	text, err := c.text(room[:0], v, source)
	if err != nil {
		return nil, err
	}
	var plain [64]byte
	if c.kind == decimal {
		if n, ok := parseNumber(text); ok { // else NaN, Infinity
			text = n.appendPlain(plain[:0])
		}
	}
	if c.kind == padded {
		text = bytes.TrimRight(text, " ")
	}
	if c.kind == float {
		f, err := strconv.ParseFloat(string(text), c.bits)
		if err != nil {
			return nil, errors.New("is no float")
		}
		if f == 0 {
			f = 0 // -0 equals 0
		}
		text = strconv.AppendFloat(plain[:0], f, 'g', -1, c.bits)
	}
	return appendString(dst, text), nil
}

// text returns the value's text for PostgreSQL's input function. It may be part
// of v, or is appended to dst.
func (c *column) text(dst, v []byte, source string) ([]byte, error) {
	// What is to be read as text: that of a string, or the JSON as written.
	s := v
	if isString(v) {
		var err error
		if s, err = unquote(v); err != nil {
			return nil, err
		}
	}
	dsql := source == change.SourceDSQL
	if !dsql && len(s) >= lobMaxSize && c.kind != bytea {
		return nil, errLarge
	}
	switch c.kind {
	case integer:
		if err := c.wants(v, isNumber(v) || isString(v)); err != nil {
			return nil, err
		}
		return c.integer(dst, s)
	case float:
		if err := c.wants(v, isNumber(v) || isString(v)); err != nil {
			return nil, err
		}
		return s, c.checkFloat(s)
	case decimal:
		if err := c.wants(v, isNumber(v) || isString(v)); err != nil {
			return nil, err
		}
		return s, c.checkDecimal(s, isString(v))
	case boolean:
		return c.boolean(s)
	case text, padded:
		if err := c.wants(v, isString(v)); err != nil {
			return nil, err
		}
		return s, c.checkLength(s)
	case enum:
		return s, c.wants(v, isString(v))
	case bytea:
		if err := c.wants(v, isString(v)); err != nil {
			return nil, err
		}
		if dsql {
			return fromBase64(s)
		}
		return fromHex(s)
	case uuid:
		if err := c.wants(v, isString(v)); err != nil {
			return nil, err
		}
		return normalUUID(dst, s)
	case document:
		return c.document(v, s, dsql)
	case date, daytime, moment, instant:
		if dsql {
			return c.fromEpoch(dst, v)
		}
		if err := c.wants(v, isString(v)); err != nil {
			return nil, err
		}
		return c.fromText(dst, s)
	default:
		return s, c.checkOther(v, dsql)
	}
}

// wants refuses a value whose JSON type does not fit the column.
func (c *column) wants(v []byte, ok bool) error {
	if ok {
		return nil
	}
	is := "a boolean"
	switch {
	case isNumber(v):
		is = "a number"
	case isString(v):
		is = "a string"
	case isObject(v):
		is = "an object"
	case v[0] == '[':
		is = "an array"
	}
	return fmt.Errorf("is %s of JSON, which is not taken for %s: does the column have another type in the source?", is, c.Type)
}

// checkOther lets PostgreSQL's own input function judge a type that is text here.
func (c *column) checkOther(v []byte, dsql bool) error {
	if dsql {
		switch c.base {
		case "interval":
			return errors.New("is an interval, of which Aurora DSQL's change stream has an approximation only (a month counts as 30.4375 days): store a number of seconds in the source instead")
		case "time with time zone":
			return errors.New("is a time with time zone, of which Aurora DSQL's change stream has lost the zone: store a time, or a timestamp with time zone, in the source instead")
		}
	}
	if c.base == "money" && isNumber(v) {
		return (&column{RowColumn: c.RowColumn, limited: true, precision: 19, scale: 2}).checkDecimal(v, false)
	}
	return c.wants(v, isString(v) || isNumber(v) && !bytes.ContainsAny(v, "eE"))
}

// document returns the text of a json or jsonb value. Both producers write it as a
// string; JSON of another kind is taken for the document itself.
func (c *column) document(v, text []byte, dsql bool) ([]byte, error) {
	if !isString(v) && dsql {
		return nil, c.wants(v, false)
	}
	if !json.Valid(text) {
		return nil, errors.New("is a string that holds no JSON")
	}
	if c.base == "jsonb" {
		return text, checkEscapes(text)
	}
	return text, nil
}

// checkEscapes refuses the escapes of RFC 8259 that jsonb cannot hold, because they
// stand for no character; json keeps them as text.
func checkEscapes(v []byte) error {
	for i := 0; ; {
		n := bytes.IndexByte(v[i:], '\\')
		if n < 0 {
			return nil
		}
		i += n + 2 // behind the letter
		if v[i-1] != 'u' {
			continue
		}
		r := hex4(v[i:])
		i += 4
		switch {
		case r == 0:
			return errNUL
		case !utf16.IsSurrogate(r):
		case len(v)-i < 6 || v[i] != '\\' || v[i+1] != 'u' || utf16.DecodeRune(r, hex4(v[i+2:])) == utf8.RuneError:
			return errHalf
		default:
			i += 6
		}
	}
}

// boolean reads what PostgreSQL does, and JSON's own.
func (c *column) boolean(s []byte) ([]byte, error) {
	switch strings.ToLower(string(s[:min(len(s), 6)])) {
	case "true", "t", "1", "yes", "y", "on":
		return []byte("true"), nil
	case "false", "f", "0", "no", "n", "off":
		return []byte("false"), nil
	}
	return nil, errors.New("is no boolean: not one of true, false, t, f, 1 and 0")
}

// checkLength refuses a text that is longer than the column. PostgreSQL would
// cut spaces at the end without a word; those of a character column do not count.
func (c *column) checkLength(s []byte) error {
	if !c.limited {
		return nil
	}
	if c.kind == padded {
		s = bytes.TrimRight(s, " ")
	}
	if len(s) <= c.length {
		return nil
	}
	if n := utf8.RuneCount(s); n > c.length {
		return fmt.Errorf("has %d characters, more than %s holds", n, c.Type)
	}
	return nil
}

func fromBase64(s []byte) ([]byte, error) {
	plain := make([]byte, base64.StdEncoding.DecodedLen(len(s)))
	n, err := base64.StdEncoding.Strict().Decode(plain, s)
	if err != nil || slices.Contains(s, '\n') || slices.Contains(s, '\r') {
		return nil, errors.New("is bytea, but not base64 as Aurora DSQL writes it")
	}
	return appendHex(plain[:n]), nil
}

// fromHex reads 0x and hexadecimal digits, without the prefix where the endpoint
// has NoHexPrefix, and PostgreSQL's own \x.
func fromHex(s []byte) ([]byte, error) {
	if len(s) >= 2 && (s[0] == '0' || s[0] == '\\') && (s[1] == 'x' || s[1] == 'X') {
		s = s[2:]
	}
	plain := make([]byte, hex.DecodedLen(len(s)))
	if _, err := hex.Decode(plain, s); err != nil {
		return nil, errors.New("is bytea, but not hexadecimal as DMS writes it, with 0x or without")
	}
	if len(plain) >= lobMaxSize {
		return nil, errLarge
	}
	return appendHex(plain), nil
}

func appendHex(plain []byte) []byte {
	return hex.AppendEncode(append(make([]byte, 0, 2+2*len(plain)), '\\', 'x'), plain)
}

var errUUID = errors.New("is no uuid")

// normalUUID adds the hyphenated spelling in lower case of any that PostgreSQL
// reads.
func normalUUID(dst, s []byte) ([]byte, error) {
	if len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	digits := 0
	for i, b := range s {
		switch {
		case b == '-':
			if digits == 0 || digits%4 != 0 || s[i-1] == '-' || i == len(s)-1 {
				return nil, errUUID
			}
			continue
		case b >= 'A' && b <= 'F':
			b += 'a' - 'A'
		case b >= '0' && b <= '9', b >= 'a' && b <= 'f':
		default:
			return nil, errUUID
		}
		if digits == 8 || digits == 12 || digits == 16 || digits == 20 {
			dst = append(dst, '-')
		}
		dst = append(dst, b)
		digits++
	}
	if digits != 32 {
		return nil, errUUID
	}
	return dst, nil
}
