package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"godwit/internal/change"
)

// convert turns v, which is neither null nor a container, into a value of c's
// type (its element type for an array) in place, or says why that is not exact.
// What it has to write lands behind p.buf; all else is borrowed.
func (p *Plan) convert(c *column, v *change.Value) (why string) {
	switch c.typ.Kind {
	case change.Text:
		return p.toText(c, v)
	case change.Int:
		return p.toInt(c, v)
	case change.Decimal:
		return p.toDecimal(c, v)
	case change.Float:
		return p.toFloat(c, v)
	case change.Bool:
		if v.Kind == change.Bool {
			return ""
		}
	case change.Date:
		if v.Kind == change.Date {
			return ""
		}
		t, why := asTimestamp(v)
		if why != "" {
			return why
		}
		v.Kind = change.Date
		v.Bytes, why = t.date()
		return why
	case change.Timestamp:
		t, why := asTimestamp(v)
		if why != "" {
			return why
		}
		v.Kind = change.Timestamp
		v.Bytes, p.buf, why = t.clock(p.buf, c.typ.Zone)
		return why
	case change.Time:
		if v.Kind == change.Time || v.Kind == change.Text {
			if !timeOfDay(v.Bytes) {
				return "is not a time of day, 15:04:05 with at most microseconds"
			}
			v.Kind = change.Time
			return ""
		}
	case change.UUID:
		if v.Kind == change.UUID || v.Kind == change.Text {
			if !uuidText(v.Bytes) {
				return "is not a UUID, 8-4-4-4-12 hexadecimal digits"
			}
			v.Kind = change.UUID
			return ""
		}
	case change.Bytes:
		return p.toBytes(c, v)
	case change.JSON:
		at := len(p.buf)
		p.buf, why = appendJSONScalar(p.buf, *v)
		*v = change.Value{Kind: change.JSON, Bytes: p.buf[at:]}
		return why
	default:
	}
	return wrongKind
}

const (
	wrongKind = "is of a kind that the column cannot hold: map it to jsonb, or to a column of its kind"
	hasNUL    = "has a NUL character, which PostgreSQL's text and jsonb cannot hold"
	notUTF8   = "is not UTF-8"
)

func (p *Plan) toText(c *column, v *change.Value) (why string) {
	switch v.Kind {
	case change.Timestamp:
		v.Bytes = timestampText(v.Bytes)
	case change.Text, change.Date, change.Time, change.UUID:
	default:
		return wrongKind
	}
	if why := textWhy(v.Bytes); why != "" {
		return why
	}
	v.Kind = change.Text
	return lengthWhy(v.Bytes, c.typ.Length)
}

func textWhy(s []byte) string {
	if plainText(s) {
		return ""
	}
	if bytes.IndexByte(s, 0) >= 0 {
		return hasNUL
	}
	if !utf8.Valid(s) {
		return notUTF8
	}
	return ""
}

// idWhy says why s cannot be an id.
func idWhy(s []byte) string {
	if len(s) == 0 {
		return "is empty"
	}
	return textWhy(s)
}

// plainText reports that s is ASCII without NUL; false may be a false alarm. It
// looks at eight bytes at a time, at the last ones twice.
func plainText(s []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	if len(s) < 8 {
		for _, c := range s {
			if c-1 >= utf8.RuneSelf-1 {
				return false
			}
		}
		return true
	}
	end := binary.LittleEndian.Uint64(s[len(s)-8:])
	bad := (end - ones) | end
	for ; len(s) > 8; s = s[8:] {
		w := binary.LittleEndian.Uint64(s)
		bad |= (w - ones) | w
	}
	return bad&highs == 0
}

// lengthWhy says that s has more than limit characters; 0 is no limit.
func lengthWhy(s []byte, limit int) string {
	if limit > 0 && len(s) > limit && utf8.RuneCount(s) > limit {
		return "has more than " + strconv.Itoa(limit) + " characters"
	}
	return ""
}

func (p *Plan) toInt(c *column, v *change.Value) (why string) {
	n := v.Int
	switch {
	case v.Kind == change.Int && v.Bytes == nil:
	case v.Kind == change.Int || v.Kind == change.Decimal:
		at := len(p.buf)
		d, buf, ok := splitDecimal(p.buf, v.Bytes)
		p.buf = buf[:at]
		if !ok {
			return "is not a decimal number"
		}
		if n, why = d.int64(); why != "" {
			return why
		}
	default:
		return wrongKind
	}
	if shift := 64 - c.typ.Bits; n<<shift>>shift != n {
		return "is out of the column's range"
	}
	*v = change.Value{Kind: change.Int, Int: n}
	return ""
}

func (p *Plan) toDecimal(c *column, v *change.Value) (why string) {
	limited := c.typ.Precision > 0
	switch {
	case v.Kind == change.Int && v.Bytes == nil && !limited:
		return ""
	case v.Kind == change.Int && v.Bytes == nil:
		at := len(p.buf)
		p.buf = strconv.AppendInt(p.buf, v.Int, 10)
		v.Bytes = p.buf[at:]
	case v.Kind == change.Int || v.Kind == change.Decimal:
		if !limited && plainDecimal(v.Bytes) {
			*v = change.Value{Kind: change.Decimal, Bytes: v.Bytes}
			return ""
		}
	default:
		return wrongKind
	}
	var d decimal
	var ok bool
	if d, p.buf, ok = splitDecimal(p.buf, v.Bytes); !ok {
		return "is not a decimal number"
	}
	if why = d.numericWhy(); why == "" && limited {
		why = d.scaleWhy(c.typ)
	}
	if why != "" {
		return why
	}
	at := len(p.buf)
	p.buf = d.append(p.buf)
	*v = change.Value{Kind: change.Decimal, Bytes: p.buf[at:]}
	return ""
}

func (p *Plan) toFloat(c *column, v *change.Value) (why string) {
	var f float64
	switch v.Kind {
	case change.Float:
		f = math.Float64frombits(uint64(v.Int))
	case change.Int, change.Decimal:
		if v.Kind == change.Int && v.Bytes == nil {
			at := len(p.buf)
			p.buf = strconv.AppendInt(p.buf, v.Int, 10)
			v.Bytes = p.buf[at:]
		}
		d, buf, ok := splitDecimal(p.buf, v.Bytes)
		if !ok {
			return "is not a decimal number"
		}
		if f, p.buf, why = floatOf(buf, &d, c.typ.Bits); why != "" {
			return why
		}
	default:
		return wrongKind
	}
	if c.typ.Bits == 32 {
		switch {
		case math.IsNaN(f) || math.IsInf(f, 0):
			return "is not finite: map it to double precision"
		case float64(float32(f)) != f:
			return "is finer or greater than real holds: map it to double precision"
		}
	}
	if math.IsNaN(f) {
		f = math.NaN() // PostgreSQL has one NaN
	}
	*v = change.Value{Kind: change.Float, Int: int64(math.Float64bits(f))}
	return ""
}

func (p *Plan) toBytes(c *column, v *change.Value) (why string) {
	switch {
	case v.Kind == change.Bytes:
		return ""
	case v.Kind == change.Text && c.base64:
		at := len(p.buf)
		buf, err := base64.StdEncoding.Strict().AppendDecode(p.buf, v.Bytes)
		// The decoder skips line ends, which no export writes.
		if err != nil || bytes.ContainsAny(v.Bytes, "\r\n") {
			return "is not base64 text with padding"
		}
		p.buf = buf
		*v = change.Value{Kind: change.Bytes, Bytes: p.buf[at:]}
		return ""
	case v.Kind == change.Text:
		return `is text: say "encoding": "base64" if it is base64, or map it to text`
	}
	return wrongKind
}

// asTimestamp reads a timestamp, a date, or text that is one from end to end.
func asTimestamp(v *change.Value) (t timestamp, why string) {
	switch v.Kind {
	case change.Timestamp, change.Date, change.Text:
		t, ok := parseTimestamp(v.Bytes)
		if !ok {
			return t, "is not a timestamp"
		}
		return t, ""
	default:
		return t, wrongKind
	}
}

func uuidText(s []byte) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}
