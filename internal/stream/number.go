package stream

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
)

// A number is a decimal as written: digits × 10^(point − len(digits)).
type number struct {
	negative   bool
	scientific bool   // written with an exponent
	digits     []byte // without zeros in front, but with those written behind
	point      int    // how many digits are in front of the decimal point; may be negative, or more than there are
}

// parseNumber reads a JSON number, or a number as PostgreSQL's text has it: with
// a plus sign, with nothing on one side of the point.
func parseNumber(s []byte) (number, bool) {
	var n number
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		n.negative = s[0] == '-'
		s = s[1:]
	}
	mantissa := s
	exponent := 0
	if e := bytes.IndexAny(s, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(s[e+1:])); err != nil || exponent > 1<<20 || exponent < -1<<20 {
			return n, false
		}
		mantissa, n.scientific = s[:e], true
	}
	whole, fraction, pointed := bytes.Cut(mantissa, []byte{'.'})
	for _, part := range [2][]byte{whole, fraction} {
		for _, d := range part {
			if d < '0' || d > '9' {
				return n, false
			}
		}
	}
	if len(whole)+len(fraction) == 0 {
		return n, false
	}
	n.digits = whole
	if pointed && len(fraction) > 0 {
		n.digits = append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
	}
	n.point = len(whole) + exponent
	zeros := 0
	for zeros < len(n.digits) && n.digits[zeros] == '0' {
		zeros++
	}
	n.digits = n.digits[zeros:]
	n.point -= zeros
	return n, true
}

// counting returns the digits without the zeros behind.
func (n *number) counting() []byte { return bytes.TrimRight(n.digits, "0") }

// appendPlain adds the one spelling without exponent that equal numbers have.
func (n *number) appendPlain(dst []byte) []byte {
	digits := n.counting()
	if len(digits) == 0 {
		return append(dst, '0')
	}
	if n.negative {
		dst = append(dst, '-')
	}
	if n.point <= 0 {
		dst = append(dst, "0."...)
		dst = append(dst, bytes.Repeat([]byte{'0'}, -n.point)...)
		return append(dst, digits...)
	}
	if n.point >= len(digits) {
		dst = append(dst, digits...)
		return append(dst, bytes.Repeat([]byte{'0'}, n.point-len(digits))...)
	}
	dst = append(dst, digits[:n.point]...)
	dst = append(dst, '.')
	return append(dst, digits[n.point:]...)
}

// Of a float64, as which DMS writes what it does not write digit by digit: any
// decimal of so many digits keeps them, and any whole number up to this is exact.
const (
	sureDigits = 15
	sureWhole  = 1 << 53
)

var errLostDigits = errors.New("is in scientific notation, and digits of it may be lost: set UseLargeIntegerValue in the KinesisSettings of the DMS target endpoint, " +
	"or make the column a string by a transformation rule (change-data-type) of the DMS task")

// integer adds the whole number's one spelling.
func (c *column) integer(dst, s []byte) ([]byte, error) {
	n, ok := parseNumber(s)
	if !ok {
		return nil, errors.New("is no number")
	}
	digits := n.counting()
	if len(digits) == 0 {
		return append(dst, '0'), nil
	}
	if len(digits) > n.point {
		return nil, fmt.Errorf("has digits behind the decimal point, which %s has not", c.Type)
	}
	if n.point > 19 {
		return nil, c.outside()
	}
	var room [20]byte
	plain := append(room[:0], digits...)
	for len(plain) < n.point {
		plain = append(plain, '0')
	}
	value, err := strconv.ParseUint(string(plain), 10, 64)
	if err != nil {
		return nil, c.outside()
	}
	if n.scientific && n.point > sureDigits {
		if len(n.digits) < n.point || value > sureWhole && uint64(float64(value)) == value {
			return nil, errLostDigits
		}
	}
	most, least := uint64(1)<<(c.bits-1)-1, uint64(1)<<(c.bits-1)
	if c.bits == oidBits {
		most, least = math.MaxUint32, 0
	}
	if !n.negative && value > most || n.negative && value > least {
		return nil, c.outside()
	}
	if n.negative {
		dst = append(dst, '-')
	}
	return append(dst, plain...), nil
}

func (c *column) outside() error { return fmt.Errorf("is outside the range of %s", c.Type) }

// checkFloat refuses a number that real or double precision cannot hold as
// written, or rather as a float was written.
func (c *column) checkFloat(s []byte) error {
	n, ok := parseNumber(s)
	if !ok {
		switch string(s) {
		case "NaN", "Infinity", "-Infinity":
			return nil
		}
		return errors.New("is no number")
	}
	if len(n.digits) == 0 {
		return nil
	}
	value, err := strconv.ParseFloat(string(s), c.bits)
	if err != nil || value == 0 {
		return c.outside()
	}
	// Up to so many digits name one float, and are how it is written. More are
	// either a float written in full, or more than it can hold.
	digits := 17
	if c.bits == 32 {
		digits = 9
	}
	if len(n.counting()) <= digits {
		return nil
	}
	if c.bits == 32 { // a real that was written as a double
		if wide, err := strconv.ParseFloat(string(s), 64); err == nil && wide == value && len(n.counting()) <= 17 {
			return nil
		}
	}
	if exact, ok := new(big.Rat).SetString(string(s)); ok && n.point < 400 && n.point > -400 {
		if new(big.Rat).SetFloat64(value).Cmp(exact) == 0 {
			return nil
		}
	}
	return fmt.Errorf("has more digits than %s holds", c.Type)
}

// checkDecimal refuses what numeric would round, or its producer may have.
func (c *column) checkDecimal(s []byte, quoted bool) error {
	n, ok := parseNumber(s)
	if !ok {
		switch string(s) {
		case "NaN", "Infinity", "-Infinity":
			if quoted {
				return nil
			}
		}
		return errors.New("is no number")
	}
	digits := n.counting()
	if len(digits) == 0 {
		return nil
	}
	if n.scientific && !quoted && len(digits) > sureDigits {
		return errLostDigits
	}
	scale := len(digits) - n.point
	if c.limited {
		if scale > c.scale {
			return fmt.Errorf("has %d digits behind the decimal point, more than %s holds", scale, c.Type)
		}
		if n.point > c.precision-c.scale {
			return c.outside()
		}
	}
	// PostgreSQL's own limits of numeric.
	if n.point > 131072 || scale > 16383 {
		return c.outside()
	}
	return nil
}
