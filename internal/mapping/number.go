package mapping

import (
	"bytes"
	"math"
	"strconv"

	"godwit/internal/change"
)

// Digits that PostgreSQL's numeric holds before and behind the point
// (postgresql.org/docs/17/datatype-numeric.html). jsonb numbers are numeric.
const (
	maxDigitsBefore = 131072
	maxDigitsBehind = 16383
)

// maxZeros is how many zeros a number may need beside its own digits before it
// is written with an exponent: a short text must not become a long row.
const maxZeros = 64

// A decimal is decimal text taken apart: coefficient digits without leading
// zeros, times ten to the power of exp. Zero has no digits.
type decimal struct {
	negative bool
	digits   []byte
	exp      int64
}

// splitDecimal reads [-+]digits[.digits][(e|E|d|D)[+-]digits]. The digits lie in
// text when they are in one piece there, else behind buf, which is returned.
func splitDecimal(buf, text []byte) (d decimal, _ []byte, ok bool) {
	s := text
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	n := digits(s)
	head := s[:n]
	s = s[n:]
	var tail []byte
	if len(s) > 0 && s[0] == '.' {
		n = digits(s[1:])
		tail = s[1 : 1+n]
		s = s[1+n:]
	}
	if len(head)+len(tail) == 0 {
		return d, buf, false
	}
	if len(s) > 0 {
		switch s[0] {
		case 'e', 'E', 'd', 'D':
		default:
			return d, buf, false
		}
		s = s[1:]
		minus := len(s) > 0 && s[0] == '-'
		if minus || len(s) > 0 && s[0] == '+' {
			s = s[1:]
		}
		if len(s) == 0 || digits(s) != len(s) {
			return d, buf, false
		}
		for _, c := range s {
			if d.exp = d.exp*10 + int64(c-'0'); d.exp > math.MaxInt32 {
				d.exp = math.MaxInt32 // far beyond every limit, and no overflow
			}
		}
		if minus {
			d.exp = -d.exp
		}
	}
	d.exp -= int64(len(tail))
	switch {
	case len(tail) == 0:
		d.digits = head
	case zeros(head) == len(head):
		d.digits = tail
	default:
		at := len(buf)
		buf = append(append(buf, head...), tail...)
		d.digits = buf[at:]
	}
	d.digits = d.digits[zeros(d.digits):]
	return d, buf, true
}

// digits counts the decimal digits that s begins with.
func digits(s []byte) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// zeros counts the zeros that s begins with.
func zeros(s []byte) int {
	n := 0
	for n < len(s) && s[n] == '0' {
		n++
	}
	return n
}

// zero reports whether d is zero, of either sign.
func (d *decimal) zero() bool { return len(d.digits) == 0 }

// trailing counts the zeros that the coefficient ends with.
func (d *decimal) trailing() int {
	n := len(d.digits)
	for n > 0 && d.digits[n-1] == '0' {
		n--
	}
	return len(d.digits) - n
}

// numericWhy says why numeric cannot hold d exactly, or nothing.
func (d *decimal) numericWhy() string {
	switch {
	case d.zero() && d.negative:
		return "is negative zero, whose sign the column cannot hold"
	case !d.zero() && int64(len(d.digits))+d.exp > maxDigitsBefore:
		return "has more than 131072 digits before the decimal point"
	case -d.exp > maxDigitsBehind:
		return "has more than 16383 digits behind the decimal point"
	}
	return ""
}

// scaleWhy says why numeric(p,s) cannot hold d exactly, or nothing.
func (d *decimal) scaleWhy(t change.Type) string {
	if d.zero() {
		return ""
	}
	if int64(len(d.digits))+d.exp > int64(t.Precision-t.Scale) {
		return "has more than " + strconv.Itoa(t.Precision-t.Scale) + " digits before the decimal point"
	}
	if -d.exp-int64(d.trailing()) > int64(t.Scale) {
		return "has more than " + strconv.Itoa(t.Scale) + " digits behind the decimal point"
	}
	return ""
}

// appendDecimal writes d as PostgreSQL and JSON both read it: plain, or with an
// exponent where that saves many zeros. Digits behind the point are kept, also
// zeros, so equal text of one source becomes equal text whatever its notation
// was. d has passed numericWhy.
func (d *decimal) append(dst []byte) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	n := int64(len(d.digits))
	switch {
	case d.zero() && d.exp >= 0:
		return append(dst, '0')
	case d.zero() && -d.exp > maxZeros:
		return strconv.AppendInt(append(dst, "0E"...), d.exp, 10)
	case d.exp > maxZeros || -d.exp > n+maxZeros:
		return strconv.AppendInt(append(append(dst, d.digits...), 'E'), d.exp, 10)
	case d.exp >= 0:
		dst = append(dst, d.digits...)
		return appendZeros(dst, d.exp)
	case -d.exp < n:
		dst = append(dst, d.digits[:n+d.exp]...)
		dst = append(dst, '.')
		return append(dst, d.digits[n+d.exp:]...)
	}
	dst = append(dst, "0."...)
	dst = appendZeros(dst, -d.exp-n)
	return append(dst, d.digits...)
}

func appendZeros(dst []byte, n int64) []byte {
	for ; n > 0; n-- {
		dst = append(dst, '0')
	}
	return dst
}

// plainDecimal reports whether text is already what decimal.append would write,
// and is neither zero nor long: then it needs no work.
func plainDecimal(text []byte) bool {
	s := text
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	if len(s) > 1000 {
		return false
	}
	n := digits(s)
	if n == 0 || s[0] == '0' { // zero needs a look at its sign
		return false
	}
	s = s[n:]
	return len(s) == 0 || s[0] == '.' && len(s) > 1 && digits(s[1:]) == len(s)-1
}

// int64 returns d as an integer when it is one and fits.
func (d *decimal) int64() (n int64, why string) {
	if d.zero() {
		if d.negative {
			return 0, "is negative zero, whose sign the column cannot hold"
		}
		return 0, ""
	}
	s := d.digits
	if d.exp < 0 {
		if -d.exp > int64(d.trailing()) {
			return 0, "has digits behind the decimal point"
		}
		s = s[:int64(len(s))+d.exp]
	}
	const outOfRange = "is out of the column's range"
	if int64(len(s))+max(d.exp, 0) > 19 {
		return 0, outOfRange
	}
	var u uint64
	for _, c := range s {
		u = u*10 + uint64(c-'0')
	}
	for e := d.exp; e > 0; e-- {
		u *= 10 // at most 19 digits: no overflow of 64 bits without a sign
	}
	switch {
	case u <= math.MaxInt64 && d.negative:
		return -int64(u), ""
	case u <= math.MaxInt64:
		return int64(u), ""
	case d.negative && u == 1<<63:
		return math.MinInt64, ""
	}
	return 0, outOfRange
}

// floatOf returns the float of the given size that d is: an integer that the
// float holds exactly, or a decimal that survives the way there and back, its
// digits being those of the float's shortest text.
func floatOf(buf []byte, d *decimal, bits int) (f float64, _ []byte, why string) {
	const inexact = "is not the decimal text of one binary float: map it to numeric"
	if d.zero() {
		if d.negative {
			return math.Copysign(0, -1), buf, ""
		}
		return 0, buf, ""
	}
	if n, why := d.int64(); why == "" {
		f := float64(n)
		if bits == 32 {
			f = float64(float32(n))
		}
		if f < 1<<63 && int64(f) == n {
			return f, buf, ""
		}
	}
	if len(d.digits)-d.trailing() > 17 || int64(len(d.digits))+d.exp > 400 || int64(len(d.digits))+d.exp < -400 {
		return 0, buf, inexact
	}
	at := len(buf)
	buf = strconv.AppendInt(append(append(buf, d.digits[:len(d.digits)-d.trailing()]...), 'e'), d.exp+int64(d.trailing()), 10)
	f, err := strconv.ParseFloat(string(buf[at:]), bits)
	if err != nil {
		return 0, buf[:at], inexact
	}
	if d.negative {
		f = -f
	}
	back := strconv.AppendFloat(buf, f, 'e', -1, bits)
	shortest, back, _ := splitDecimal(back, back[len(buf):])
	same := bytes.Equal(shortest.digits[:len(shortest.digits)-shortest.trailing()], d.digits[:len(d.digits)-d.trailing()]) &&
		shortest.exp+int64(shortest.trailing()) == d.exp+int64(d.trailing())
	if !same {
		return 0, back, inexact
	}
	return f, back, ""
}
