package ion

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// MaxDigitsBytes is the longest magnitude, in bytes, of an int or a decimal's
// coefficient that is turned into digits: turning takes more than linear time.
// It is larger than any document a QLDB ledger could hold.
const MaxDigitsBytes = 128 << 10

// Bool returns the current value, a bool that is not null.
func (c *Cursor) Bool() (bool, error) {
	if err := c.want(BoolType); err != nil {
		return false, err
	}
	return c.data[c.head]&15 == 1, nil
}

// Int64 returns the current value, an int that is not null. ok is false when
// int64 cannot hold it: AppendInt can.
func (c *Cursor) Int64() (v int64, ok bool, err error) {
	if !c.live || c.typ != IntType || c.null {
		return 0, false, c.want(IntType)
	}
	m, ok := magnitude(c.data[c.body:c.pos])
	switch {
	case !ok:
		return 0, false, nil
	case c.code == 2:
		return int64(m), m <= math.MaxInt64, nil
	case m == 1<<63:
		return math.MinInt64, true, nil
	default:
		return -int64(m), m < 1<<63, nil
	}
}

// AppendInt appends the decimal digits of the current value, an int of any size
// that is not null, with a '-' when it is negative.
func (c *Cursor) AppendInt(dst []byte) ([]byte, error) {
	if err := c.want(IntType); err != nil {
		return dst, err
	}
	if c.code == 3 {
		dst = append(dst, '-')
	}
	return c.appendDigits(dst, c.data[c.body:c.pos])
}

// Float returns the current value, a float that is not null, as the double that
// it is or widens to exactly.
func (c *Cursor) Float() (float64, error) {
	if err := c.want(FloatType); err != nil {
		return 0, err
	}
	switch b := c.data[c.body:c.pos]; len(b) {
	case 0:
		return 0, nil
	case 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b))), nil
	default: // 8: Next admits no other length
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	}
}

// AppendDecimal appends the exact text of the current value, a decimal that is
// not null, in the form of AppendDecimalText.
func (c *Cursor) AppendDecimal(dst []byte) ([]byte, error) {
	if err := c.want(DecimalType); err != nil {
		return dst, err
	}
	b := c.data[c.body:c.pos]
	if len(b) == 0 {
		return append(dst, '0'), nil
	}
	exp, _, n := varInt(b)
	if n == 0 || exp < math.MinInt32 || exp > math.MaxInt32 {
		return dst, c.wrong("decimal has no exponent of at most 32 bits")
	}
	coef, neg := b[n:], false
	var first byte
	if len(coef) > 0 {
		neg, first = coef[0]&0x80 != 0, coef[0]&0x7f
	}
	if m, ok := signMagnitude(coef); ok {
		var digits [20]byte
		return AppendDecimalText(dst, neg, strconv.AppendUint(digits[:0], m, 10), exp), nil
	}
	if len(coef) > MaxDigitsBytes {
		return dst, c.wrong(fmt.Sprintf("number of %d bytes is longer than %d", len(coef), MaxDigitsBytes))
	}
	unsigned := append([]byte(nil), coef...)
	unsigned[0] = first
	digits := new(big.Int).SetBytes(unsigned).Append(nil, 10)
	return AppendDecimalText(dst, neg, digits, exp), nil
}

// AppendDecimalText appends the decimal digits x 10^exp as the text that godwit
// uses for every source, so that equal decimals with equal precision are equal
// bytes: all digits of the coefficient are kept; a point is set where at most
// five zeros come between it and them (90.25, 9.00, 0.000001); an exponent is
// written otherwise (12E+5, 1E-20). digits has no leading zero unless it is "0".
func AppendDecimalText(dst []byte, neg bool, digits []byte, exp int64) []byte {
	if neg {
		dst = append(dst, '-')
	}
	whole := int64(len(digits)) + exp // digits before the point
	switch {
	case exp == 0:
		return append(dst, digits...)
	case exp < 0 && whole > 0:
		dst = append(dst, digits[:whole]...)
		dst = append(dst, '.')
		return append(dst, digits[whole:]...)
	case exp < 0 && whole > -6:
		dst = append(dst, '0', '.')
		for ; whole < 0; whole++ {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits...)
	dst = append(dst, 'E')
	if exp > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, exp, 10)
}

// Symbol returns the symbol id of the current value, a symbol that is not null.
func (c *Cursor) Symbol() (SID, error) {
	if err := c.want(SymbolType); err != nil {
		return 0, err
	}
	m, ok := magnitude(c.data[c.body:c.pos])
	if !ok || m > MaxSID {
		return 0, c.wrong("symbol id exceeds 31 bits")
	}
	return SID(m), nil
}

// Text returns the UTF-8 bytes of the current value, a string that is not null.
func (c *Cursor) Text() ([]byte, error) {
	if !c.live || c.typ != StringType || c.null {
		return nil, c.want(StringType)
	}
	b := c.Body()
	if !ascii(b) && !utf8.Valid(b) {
		return nil, c.wrong("string is not UTF-8")
	}
	return b, nil
}

// ascii reports whether b is, looking at eight bytes at a time, at the last ones
// twice. Most strings of a journal are short and ASCII.
func ascii(b []byte) bool {
	if len(b) < 8 {
		high := byte(0)
		for _, c := range b {
			high |= c
		}
		return high < utf8.RuneSelf
	}
	high := binary.LittleEndian.Uint64(b[len(b)-8:])
	for ; len(b) > 8; b = b[8:] {
		high |= binary.LittleEndian.Uint64(b)
	}
	return high&0x8080808080808080 == 0
}

// Lob returns the bytes of the current value, a blob or clob that is not null.
func (c *Cursor) Lob() ([]byte, error) {
	if !c.live || c.typ != BlobType && c.typ != ClobType || c.null {
		return nil, c.want(BlobType)
	}
	return c.Body(), nil
}

// want checks that there is a current value of type t and not null.
func (c *Cursor) want(t Type) error {
	switch {
	case !c.live:
		return c.wrong("no current value to read a " + t.String() + " from")
	case c.typ != t:
		return c.wrong("read a " + t.String() + " from a " + c.typ.String())
	case c.null:
		return c.wrong("read a " + t.String() + " from null." + t.String())
	}
	return nil
}

// appendDigits appends the digits of the unsigned big-endian magnitude b.
func (c *Cursor) appendDigits(dst, b []byte) ([]byte, error) {
	if m, ok := magnitude(b); ok {
		return strconv.AppendUint(dst, m, 10), nil
	}
	if len(b) > MaxDigitsBytes {
		return dst, c.wrong(fmt.Sprintf("number of %d bytes is longer than %d", len(b), MaxDigitsBytes))
	}
	return new(big.Int).SetBytes(b).Append(dst, 10), nil
}

// magnitude decodes an unsigned big-endian integer, leading zeros allowed.
func magnitude(b []byte) (v uint64, ok bool) {
	if len(b) > 8 {
		for len(b) > 8 && b[0] == 0 {
			b = b[1:]
		}
		if len(b) > 8 {
			return 0, false
		}
	}
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v, true
}

// signMagnitude decodes the magnitude of an Int field, whose first bit is its sign.
func signMagnitude(b []byte) (v uint64, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	if len(b) > 8 {
		if b[0]&0x7f != 0 {
			return 0, false
		}
		return magnitude(b[1:])
	}
	v = uint64(b[0] & 0x7f)
	for _, x := range b[1:] {
		v = v<<8 | uint64(x)
	}
	return v, true
}

// varInt decodes a VarInt: sign in the second bit of the first byte. neg tells
// the sign also of a zero. n is 0 when b ends first or it exceeds 62 bits.
func varInt(b []byte) (v int64, neg bool, n int) {
	if len(b) == 0 {
		return 0, false, 0
	}
	neg = b[0]&0x40 != 0
	v = int64(b[0] & 0x3f)
	n = 1
	for b[n-1] < 0x80 {
		if n == len(b) || v >= 1<<55 {
			return 0, false, 0
		}
		v = v<<7 | int64(b[n]&0x7f)
		n++
	}
	if neg {
		v = -v
	}
	return v, neg, n
}
