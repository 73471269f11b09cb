// Package copytext owns the bytes of rows in the text format of PostgreSQL's
// COPY: what `COPY table FROM STDIN` and aws_s3.table_import_from_s3 with
// `(FORMAT text)` read back as exactly the row's values. Columns stand apart by
// a tab, a row ends with a line feed, NULL is \N
// (postgresql.org/docs/17/sql-copy.html, "Text Format"). AppendJSON writes the same
// values within JSON, for a statement that takes its rows as a parameter.
//
// It owns the same rows as JSON objects too, as json_to_recordset reads them
// (postgresql.org/docs/17/functions-json.html): a value is a string of the text
// that COPY would read, jsonb stands as it is.
//
// It leaves what a value means to mapping, and compression and files to others.
//
// Promises: equal rows make equal bytes; whatever is in a value, a row is one
// line, or one object with the members of its columns; a value that PostgreSQL's
// text cannot hold is an error and never a line that fails a whole import; what
// one form takes the other takes. Appending allocates nothing when dst has room.
package copytext

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"godwit/internal/change"
)

// Columns returns the column list that AppendRow's lines have, for the COPY
// command: the names of t's columns in order.
func Columns(t *change.Table) []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return names
}

// A form is how rows stand in text.
type form uint8

const (
	asCopy form = iota // COPY's text format
	asJSON             // a JSON object
)

// AppendRow appends row as one line to dst. On an error, which names the column
// and never the value, it returns dst as it was given.
func AppendRow(dst []byte, row change.Row) ([]byte, error) { return appendRow(dst, row, asCopy) }

// AppendJSON appends row as one JSON object to dst, a member for each column, for
// json_to_recordset with the table's columns. On an error, which names the column
// and never the value, it returns dst as it was given.
func AppendJSON(dst []byte, row change.Row) ([]byte, error) { return appendRow(dst, row, asJSON) }

func appendRow(dst []byte, row change.Row, f form) ([]byte, error) {
	columns := row.Table.Columns
	if len(row.Values) != len(columns) {
		return dst, fmt.Errorf("write row of table %s: it has %d values for %d columns", row.Table.Name, len(row.Values), len(columns))
	}
	start := len(dst)
	for i := range row.Values {
		var err error
		switch {
		case f == asJSON:
			dst = append(dst, "{,"[min(i, 1)], '"')
			if dst, err = appendString(dst, columns[i].Name); err == nil {
				dst, err = appendValue(append(dst, '"', ':'), &row.Values[i], &columns[i].Type, f)
			}
		case i > 0:
			dst = append(dst, '\t')
			fallthrough
		default:
			dst, err = appendValue(dst, &row.Values[i], &columns[i].Type, f)
		}
		if err != nil {
			return dst[:start], fmt.Errorf("write row of table %s: column %s: %w", row.Table.Name, columns[i].Name, err)
		}
	}
	return append(dst, "\n}"[f]), nil
}

var (
	errNUL   = errors.New("the value has a NUL character, which PostgreSQL cannot hold")
	errUTF8  = errors.New("the value is not UTF-8")
	errArray = errors.New("the value of an array column is not a JSON array of one dimension")
	errJSON  = errors.New("the value is not JSON")
)

func appendValue(dst []byte, v *change.Value, t *change.Type, f form) ([]byte, error) {
	switch {
	case v.Kind == change.Null:
		return append(dst, [...]string{`\N`, `null`}[f]...), nil
	case f == asCopy:
		return appendPlain(dst, v, t, f)
	case t.Kind == change.JSON && !t.Array && (v.Kind == change.JSON || v.Kind == change.Text):
		return appendRaw(dst, v.Bytes)
	}
	dst, err := appendPlain(append(dst, '"'), v, t, f)
	return append(dst, '"'), err
}

// appendPlain writes a value as PostgreSQL's input functions read it, with the
// escapes of f.
func appendPlain(dst []byte, v *change.Value, t *change.Type, f form) ([]byte, error) {
	if t.Array {
		if v.Kind != change.JSON {
			return dst, errArray
		}
		return appendArray(dst, v.Bytes, t, f)
	}
	switch v.Kind {
	case change.Bool:
		if v.Int != 0 {
			return append(dst, 't'), nil
		}
		return append(dst, 'f'), nil
	case change.Int:
		if v.Bytes == nil {
			return strconv.AppendInt(dst, v.Int, 10), nil
		}
		return appendEscaped(dst, v.Bytes, f)
	case change.Float:
		return appendFloat(dst, math.Float64frombits(uint64(v.Int)), t.Bits), nil
	case change.Decimal, change.Date, change.Time, change.Timestamp, change.UUID:
		// Digits, letters, signs and colons: nothing to escape, when mapping or
		// another source made them. Escaping costs little and keeps the promise.
		return appendEscaped(dst, v.Bytes, f)
	case change.Text, change.JSON:
		return appendEscaped(dst, v.Bytes, f)
	case change.Bytes:
		dst = append(dst, `\\x`...)
		return hex.AppendEncode(dst, v.Bytes), nil
	default:
		return dst, fmt.Errorf("a row value cannot be of kind %s", v.Kind)
	}
}

func appendEscaped(dst, s []byte, f form) ([]byte, error) {
	if f == asCopy {
		return AppendText(dst, s)
	}
	return appendString(dst, s)
}

// appendFloat writes the shortest text that reads back as the same float.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	if bits != 32 {
		bits = 64
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

// AppendText appends a text, UTF-8 without NUL, as a column of a line: backslash,
// tab and line ends, which COPY reads otherwise, are escaped. What it returns with
// an error is of no use.
func AppendText(dst, s []byte) ([]byte, error) {
	start := 0
	ascii := true
	for i := 0; i < len(s); {
		for i+32 <= len(s) {
			w := s[i : i+32]
			if suspicious(binary.LittleEndian.Uint64(w))|suspicious(binary.LittleEndian.Uint64(w[8:]))|
				suspicious(binary.LittleEndian.Uint64(w[16:]))|suspicious(binary.LittleEndian.Uint64(w[24:])) != 0 {
				break
			}
			i += 32
		}
		for i+8 <= len(s) && suspicious(binary.LittleEndian.Uint64(s[i:])) == 0 {
			i += 8
		}
		for end := min(i+8, len(s)); i < end; i++ {
			c := s[i]
			e := escapes[c]
			switch e {
			case 0:
				continue
			case isHigh:
				ascii = false
				continue
			case isNUL:
				return dst, errNUL
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', e)
			start = i + 1
		}
	}
	if !ascii && !utf8.Valid(s) {
		return dst, errUTF8
	}
	return append(dst, s[start:]...), nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// suspicious is 0 when none of the eight bytes is a backslash, below 0x0e or
// beyond ASCII. (Borrows between bytes may raise a false alarm, never hide one.)
func suspicious(word uint64) uint64 {
	backslash := word ^ ('\\' * ones)
	return ((word - 0x0e*ones) | (backslash - ones) | word) & highs
}

// What escapes says about a byte: 0 stands for itself, a letter follows a
// backslash, isNUL and isHigh need a look.
const (
	isNUL  = 1
	isHigh = 2
)

var escapes = func() (e [256]byte) {
	e[0] = isNUL
	e['\\'], e['\t'], e['\n'], e['\r'] = '\\', 't', 'n', 'r'
	for c := utf8.RuneSelf; c < len(e); c++ {
		e[c] = isHigh
	}
	return e
}()
