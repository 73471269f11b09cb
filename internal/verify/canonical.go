package verify

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"godwit/internal/change"
)

// A class is how values of a type are compared: by one text for each value,
// whatever the two sides print.
type class uint8

const (
	asPrinted   class = iota // PostgreSQL's text, which is one for each value
	number                   // digits without needless zeros
	single                   // the bits of a float32, in hexadecimal
	double                   // the bits of a float64, in hexadecimal
	truth                    // t, f
	raw                      // hexadecimal
	padded                   // text without the blanks at its end
	clock                    // of a day: without needless zeros of the fraction
	wallClock                // timestamp: the same
	instant                  // timestamp with time zone: in UTC
	hexadecimal              // lower case
	output                   // PostgreSQL's text, which a cast to text is not
)

// classOf is the class of a type as format_type spells it.
func classOf(typ string) class {
	base, _, modified := strings.Cut(typ, "(")
	if modified {
		_, rest, _ := strings.Cut(typ, ")")
		base += rest
	}
	switch base {
	case "smallint", "integer", "bigint", "numeric":
		return number
	case "real":
		return single
	case "double precision":
		return double
	case "boolean":
		return truth
	case "bytea":
		return raw
	case "character":
		return padded
	case "time without time zone", "time", "time with time zone":
		return clock
	case "timestamp without time zone", "timestamp":
		return wallClock
	case "timestamp with time zone":
		return instant
	case "uuid":
		return hexadecimal
	case "bpchar", "inet": // a cast takes blanks away, or adds the length of the network
		return output
	}
	return asPrinted
}

// appendText appends the canonical text of what PostgreSQL printed of a value.
func (c class) appendText(dst, text []byte) ([]byte, error) {
	switch c {
	case number:
		return appendNumber(dst, text)
	case single, double:
		return appendFloat(dst, string(text), c)
	case truth:
		switch string(text) {
		case "t", "true":
			return append(dst, 't'), nil
		case "f", "false":
			return append(dst, 'f'), nil
		}
		return nil, errors.New("it is no boolean")
	case raw:
		digits, ok := bytes.CutPrefix(text, []byte(`\x`))
		if !ok {
			return nil, errors.New("it is no bytea in hexadecimal")
		}
		return append(dst, digits...), nil
	case padded:
		return append(dst, bytes.TrimRight(text, " ")...), nil
	case clock, wallClock:
		return appendFraction(dst, text), nil
	case instant:
		return appendInstant(dst, text)
	case hexadecimal:
		return append(dst, bytes.ToLower(text)...), nil
	default:
		return append(dst, text...), nil
	}
}

// appendNumber appends digits without a plus, leading zeros, and zeros at the end
// of a fraction; NaN and infinities as PostgreSQL prints them.
func appendNumber(dst, text []byte) ([]byte, error) {
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return append(dst, text...), nil
	}
	rest, negative := bytes.CutPrefix(text, []byte("-"))
	whole, fraction, _ := bytes.Cut(rest, []byte("."))
	whole, fraction = bytes.TrimLeft(whole, "0"), bytes.TrimRight(fraction, "0")
	for _, digits := range [][]byte{whole, fraction} {
		for _, d := range digits {
			if d < '0' || d > '9' {
				return nil, errors.New("it is no number")
			}
		}
	}
	if len(rest) == 0 {
		return nil, errors.New("it is no number")
	}
	if negative && len(whole)+len(fraction) > 0 {
		dst = append(dst, '-')
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if len(fraction) > 0 {
		dst = append(append(dst, '.'), fraction...)
	}
	return dst, nil
}

func appendFloat(dst []byte, text string, c class) ([]byte, error) {
	size := 64
	if c == single {
		size = 32
	}
	f, err := strconv.ParseFloat(text, size)
	if err != nil {
		return nil, errors.New("it is no float")
	}
	return appendBits(dst, f, c), nil
}

// appendBits appends the bits of a float; all NaNs are one.
func appendBits(dst []byte, f float64, c class) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case c == single:
		return fmt.Appendf(dst, "%08x", math.Float32bits(float32(f)))
	}
	return fmt.Appendf(dst, "%016x", math.Float64bits(f))
}

// appendFraction appends a time without the zeros at the end of its fraction.
func appendFraction(dst, text []byte) []byte {
	at := bytes.IndexByte(text, '.')
	if at < 0 {
		return append(dst, text...)
	}
	end := at + 1
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	fraction := bytes.TrimRight(text[at+1:end], "0")
	dst = append(dst, text[:at]...)
	if len(fraction) > 0 {
		dst = append(append(dst, '.'), fraction...)
	}
	return append(dst, text[end:]...)
}

// appendInstant appends a timestamp with an offset as PostgreSQL prints it where the
// time zone is UTC, without the offset.
func appendInstant(dst, text []byte) ([]byte, error) {
	if s := string(text); s == "infinity" || s == "-infinity" {
		return append(dst, text...), nil
	}
	rest, era := bytes.CutSuffix(text, []byte(" BC"))
	at := bytes.LastIndexAny(rest, "+-")
	if space := bytes.IndexByte(rest, ' '); space < 0 || at < space {
		return nil, errors.New("it is no timestamp with an offset")
	}
	local, offset := rest[:at], rest[at:]
	if bytes.Trim(offset[1:], "0:") == nil {
		dst = appendFraction(dst, local)
		if era {
			dst = append(dst, " BC"...)
		}
		return dst, nil
	}
	return appendShifted(dst, string(local), string(offset), era)
}

// appendShifted appends a local time, moved to UTC.
func appendShifted(dst []byte, local, offset string, era bool) ([]byte, error) {
	date, hours, _ := strings.Cut(local, " ")
	hours, fraction, _ := strings.Cut(hours, ".")
	var year, month, day, h, m, s int
	if _, err := fmt.Sscanf(date+" "+hours, "%d-%d-%d %d:%d:%d", &year, &month, &day, &h, &m, &s); err != nil {
		return nil, errors.New("it is no timestamp with an offset")
	}
	if era {
		year = 1 - year
	}
	shift, unit := 0, 3600
	for _, part := range strings.Split(offset[1:], ":") {
		n, err := strconv.Atoi(part)
		if err != nil || unit == 0 {
			return nil, errors.New("it is no timestamp with an offset")
		}
		shift, unit = shift+n*unit, unit/60
	}
	if offset[0] == '+' {
		shift = -shift
	}
	t := time.Date(year, time.Month(month), day, h, m, s+shift, 0, time.UTC)
	bc := t.Year() <= 0
	if year = t.Year(); bc {
		year = 1 - year
	}
	dst = fmt.Appendf(dst, "%04d-%02d-%02d %02d:%02d:%02d", year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second())
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		dst = append(append(dst, '.'), fraction...)
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst, nil
}

// appendValue appends the canonical text of a value of an export.
func (c class) appendValue(dst []byte, v change.Value) ([]byte, error) {
	switch v.Kind {
	case change.Text:
		return c.appendText(dst, v.Bytes)
	case change.Int:
		if c == number || c == asPrinted {
			return strconv.AppendInt(dst, v.Int, 10), nil
		}
	case change.Bool:
		switch {
		case c == truth:
			return append(dst, "ft"[v.Int]), nil
		case c == asPrinted:
			return strconv.AppendBool(dst, v.Int == 1), nil
		}
	case change.Float:
		if c == single || c == double {
			return appendBits(dst, math.Float64frombits(uint64(v.Int)), c), nil
		}
	case change.Bytes:
		switch c {
		case raw:
			return hex.AppendEncode(dst, v.Bytes), nil
		case asPrinted:
			return hex.AppendEncode(append(dst, `\x`...), v.Bytes), nil
		default:
		}
	default:
	}
	return nil, fmt.Errorf("a %s of the export cannot be compared with it", v.Kind)
}
