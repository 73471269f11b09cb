package ion

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// maxExponent bounds a decimal's exponent, written or read. Real data stays
// within two digits; the bound keeps arithmetic on exponents from overflowing.
const maxExponent = math.MaxInt32

// appendDecimal appends the binary body of the decimal with the given Ion text.
func appendDecimal(dst []byte, text string) ([]byte, error) {
	digits, negative := strings.CutPrefix(text, "-")
	exponent := int64(0)
	if i := strings.IndexAny(digits, "dDeE"); i >= 0 {
		e, err := strconv.ParseInt(digits[i+1:], 10, 64)
		if err != nil || e > maxExponent || e < -maxExponent {
			return dst, fmt.Errorf("write a decimal of %d characters: bad exponent", len(text))
		}
		digits, exponent = digits[:i], e
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	exponent -= int64(len(fraction))
	if whole == "" || !isDigits(whole) || !isDigits(fraction) || exponent < -maxExponent {
		return dst, fmt.Errorf("write a decimal of %d characters: not a decimal", len(text))
	}
	if len(whole)+len(fraction) <= 18 {
		m := decimalDigits(decimalDigits(0, whole), fraction)
		var buf [8]byte
		return appendDecimalParts(dst, negative, appendMagnitude(buf[:0], m), exponent), nil
	}
	m, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return dst, fmt.Errorf("write a decimal of %d characters: not a decimal", len(text))
	}
	return appendDecimalParts(dst, negative, m.Bytes(), exponent), nil
}

// appendDecimalParts appends the shortest body: nothing for 0d0, no coefficient
// for a zero that is not negative, and a byte for the sign only where the
// magnitude fills its first byte.
func appendDecimalParts(dst []byte, negative bool, magnitude []byte, exponent int64) []byte {
	for len(magnitude) > 0 && magnitude[0] == 0 {
		magnitude = magnitude[1:]
	}
	if len(magnitude) == 0 && !negative && exponent == 0 {
		return dst
	}
	dst = appendVarInt(dst, exponent)
	return appendSigned(dst, negative, magnitude)
}

// appendSigned appends Ion's Int: sign and magnitude, where zero is nothing and
// negative zero one byte. The magnitude has no leading zeros.
func appendSigned(dst []byte, negative bool, magnitude []byte) []byte {
	sign := byte(0)
	if negative {
		sign = 0x80
	}
	if len(magnitude) == 0 {
		if negative {
			dst = append(dst, sign)
		}
		return dst
	}
	if magnitude[0]&0x80 != 0 {
		return append(append(dst, sign), magnitude...)
	}
	dst = append(dst, magnitude[0]|sign)
	return append(dst, magnitude[1:]...)
}

func decimalDigits[T []byte | string](v uint64, digits T) uint64 {
	for i := range len(digits) {
		v = v*10 + uint64(digits[i]-'0')
	}
	return v
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// unknownOffset is -00:00: a time in UTC whose place nobody knows. Dates have it.
const unknownOffset = 0xC0

// appendTimestamp appends the binary body of the timestamp with the given Ion
// text. Fields are UTC, the offset (minutes) stands before them, and no field
// that the text lacks is written.
func appendTimestamp(dst []byte, text string) ([]byte, error) {
	bad := func(what string) ([]byte, error) {
		return dst, fmt.Errorf("write a timestamp of %d characters: %s", len(text), what)
	}
	p := timestampText{rest: text}
	year := p.number(4)
	if p.bad || year < 1 {
		return bad("bad year")
	}
	if p.rest == "T" {
		return appendVarUint(append(dst, unknownOffset), uint64(year)), nil
	}
	p.literal('-')
	month := p.number(2)
	if p.bad || month < 1 || month > 12 {
		return bad("bad month")
	}
	if p.rest == "T" {
		return append(appendVarUint(append(dst, unknownOffset), uint64(year)), byte(month)|0x80), nil
	}
	p.literal('-')
	day := p.number(2)
	if p.bad || day < 1 || day > time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return bad("bad day")
	}
	if p.rest == "" || p.rest == "T" {
		return append(appendVarUint(append(dst, unknownOffset), uint64(year)), byte(month)|0x80, byte(day)|0x80), nil
	}
	p.literal('T')
	hour := p.number(2)
	p.literal(':')
	minute := p.number(2)
	if p.bad || hour > 23 || minute > 59 {
		return bad("bad time of day")
	}
	second, fraction := -1, ""
	if strings.HasPrefix(p.rest, ":") {
		p.literal(':')
		second = p.number(2)
		if p.bad || second > 59 {
			return bad("bad second")
		}
		if strings.HasPrefix(p.rest, ".") {
			n := 1
			for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
				n++
			}
			if n == 1 {
				return bad("no digits of a second")
			}
			fraction, p.rest = p.rest[1:n], p.rest[n:]
		}
	}
	offset, known, ok := p.offset()
	if !ok {
		return bad("bad offset")
	}
	utc := time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC).Add(time.Duration(-offset) * time.Minute)
	if utc.Year() < 1 || utc.Year() > 9999 {
		return bad("year out of range in UTC")
	}
	if known {
		dst = appendVarInt(dst, int64(offset))
	} else {
		dst = append(dst, unknownOffset)
	}
	dst = appendVarUint(dst, uint64(utc.Year()))
	dst = append(dst, byte(utc.Month())|0x80, byte(utc.Day())|0x80, byte(utc.Hour())|0x80, byte(utc.Minute())|0x80)
	if second >= 0 {
		dst = append(dst, byte(second)|0x80)
	}
	if fraction == "" {
		return dst, nil
	}
	dst = appendVarInt(dst, int64(-len(fraction)))
	if len(fraction) <= 18 {
		var buf [8]byte
		return appendSigned(dst, false, appendMagnitude(buf[:0], decimalDigits(0, fraction))), nil
	}
	m, _ := new(big.Int).SetString(strings.Clone(fraction), 10) // digits only; a copy, so that text need not be kept
	return appendSigned(dst, false, m.Bytes()), nil
}

// A timestampText takes a timestamp's text apart; bad turns true for good at
// the first thing that does not fit.
type timestampText struct {
	rest string
	bad  bool
}

func (p *timestampText) number(digits int) int {
	if p.bad || len(p.rest) < digits || !isDigits(p.rest[:digits]) {
		p.bad = true
		return 0
	}
	v := int(decimalDigits(0, p.rest[:digits]))
	p.rest = p.rest[digits:]
	return v
}

func (p *timestampText) literal(c byte) {
	if p.bad || p.rest == "" || p.rest[0] != c {
		p.bad = true
		return
	}
	p.rest = p.rest[1:]
}

// offset reads Z or +hh:mm or -hh:mm at the end, in minutes; -00:00 is unknown.
func (p *timestampText) offset() (minutes int, known, ok bool) {
	if p.bad {
		return 0, false, false
	}
	if p.rest == "Z" {
		return 0, true, true
	}
	if p.rest == "" || p.rest[0] != '+' && p.rest[0] != '-' {
		return 0, false, false
	}
	negative := p.rest[0] == '-'
	p.rest = p.rest[1:]
	hours := p.number(2)
	p.literal(':')
	minutes = p.number(2)
	if p.bad || p.rest != "" || hours > 23 || minutes > 59 {
		return 0, false, false
	}
	minutes += 60 * hours
	if negative {
		return -minutes, minutes > 0, true
	}
	return minutes, true, true
}
