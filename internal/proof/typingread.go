package proof

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"godwit/internal/ion"
)

// Bounds on what is tried with a number. QLDB's documents held 128 KB; turning
// digits into bytes takes time that grows with the square of their number.
const (
	maxDigits      = 32 << 10 // beyond, a number is not hashed
	maxTriedDigits = 400      // beyond, a number is taken as it is printed only
	maxPadding     = 32       // zeros behind a number's digits
)

// read appends to dst what the rule makes of a value's text: the text or bytes
// of a string, symbol, lob and timestamp, the digits of an int and a text of a
// decimal. The rule is one of the choices of the value's class; ok is false when
// the value cannot have been that nevertheless.
func (r rule) read(dst, text []byte) (_ []byte, ok bool) {
	switch {
	case r == blobRule:
		out, err := base64.StdEncoding.Strict().AppendDecode(dst, text)
		return out, err == nil
	case r == clobRule:
		return appendLatin1(dst, text)
	case r <= symbolRule:
		return append(dst, text...), true
	case r == intRule:
		return append(dst, text...), len(text) <= maxDigits
	case r == decimalRule && len(text) > maxTriedDigits:
		return append(dst, text...), len(text) <= maxDigits
	case r >= decimalRule && r < nullRule && len(text) <= maxTriedDigits:
		return r.number(dst, text)
	}
	return dst, r >= nullRule
}

// number is read for what becomes a decimal or float; the float's text is its
// number's.
func (r rule) number(dst, text []byte) (_ []byte, ok bool) {
	var buf [maxTriedDigits]byte
	n, ok := splitNumber(buf[:0], text)
	switch {
	case !ok:
		return dst, false
	case r == decimalRule:
		return ion.AppendDecimalText(dst, n.negative, n.digits, n.exponent), true
	case r >= scaleRule && n.exponent >= -int64(r-scaleRule):
		return n.pad(dst, int64(r-scaleRule))
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, false
	}
	if r == floatRule {
		return append(dst, text...), true
	}
	var out, join [32 + 309]byte
	var short []byte
	if r >= scaleRule {
		short = strconv.AppendFloat(out[:0], f, 'f', int(r-scaleRule), 64)
	} else {
		short = strconv.AppendFloat(out[:0], f, 'e', noisyDigits-1, 64)
	}
	if g, err := strconv.ParseFloat(string(short), 64); err != nil || !near(f, g) {
		return dst, false
	}
	if n, ok = splitNumber(join[:0], short); !ok {
		return dst, false
	}
	if r >= scaleRule {
		return n.pad(dst, int64(r-scaleRule))
	}
	for len(n.digits) > 1 && n.digits[len(n.digits)-1] == '0' {
		n.digits, n.exponent = n.digits[:len(n.digits)-1], n.exponent+1
	}
	if len(n.digits) == 1 && n.digits[0] == '0' {
		n.exponent = 0
	}
	return n.pad(dst, max(int64(r-shortestRule), -n.exponent))
}

// near reports whether two doubles are equal but for what a few operations on
// them may round: a decimal that a program multiplied by a power of ten, and
// printed.
func near(f, g float64) bool {
	const few = 4
	a, b := int64(math.Float64bits(f)), int64(math.Float64bits(g))
	return f == g || a-b <= few && b-a <= few
}

// A splitted number is digits x 10^exponent.
type splitted struct {
	negative bool
	digits   []byte // no leading zero, unless they are "0"
	exponent int64
}

// splitNumber takes a JSON number apart; the digits may be joined in buf.
func splitNumber(buf, s []byte) (n splitted, ok bool) {
	if s[0] == '-' {
		n.negative, s = true, s[1:]
	}
	if i := bytes.IndexAny(s, "eE"); i >= 0 {
		v, err := strconv.ParseInt(string(s[i+1:]), 10, 32)
		if err != nil {
			return n, false
		}
		s, n.exponent = s[:i], v
	}
	n.digits = s
	if i := bytes.IndexByte(s, '.'); i >= 0 {
		n.digits = append(append(buf, s[:i]...), s[i+1:]...)
		n.exponent -= int64(len(s) - i - 1)
	}
	for len(n.digits) > 1 && n.digits[0] == '0' {
		n.digits = n.digits[1:]
	}
	return n, n.exponent >= math.MinInt32
}

// pad appends the number as the decimal with the given number of digits behind
// the point, none of which it has to lose.
func (n splitted) pad(dst []byte, scale int64) ([]byte, bool) {
	zeros := n.exponent + scale
	if zeros < 0 || zeros > maxPadding {
		return dst, false
	}
	var buf [maxTriedDigits + maxPadding]byte
	digits := append(buf[:0], n.digits...)
	if len(digits) > 1 || digits[0] != '0' {
		for range zeros {
			digits = append(digits, '0')
		}
	}
	return ion.AppendDecimalText(dst, n.negative, digits, -scale), true
}

// appendLatin1 appends the bytes of a clob, of which each is a character.
func appendLatin1(dst, text []byte) (_ []byte, ok bool) {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c > 0xFF {
			return dst, false
		}
		dst = append(dst, byte(c))
		i += size
	}
	return dst, true
}

// spell spells a value on h that read made with the rule.
func (r rule) spell(h *ion.Hasher, text []byte) {
	switch {
	case r >= decimalRule && r < nullRule && r != floatRule:
		h.Decimal(text)
		return
	case r >= nullRule && r < nanRule:
		h.Null(ion.Type(r - nullRule))
		return
	}
	switch r {
	case stringRule:
		h.String(text)
	case timestampRule:
		h.Timestamp(text)
	case symbolRule:
		h.Symbol(text)
	case blobRule:
		h.Blob(text)
	case clobRule:
		h.Clob(text)
	case intRule:
		h.Int(text)
	default:
		h.Float(r.float(text))
	}
}

// float is the value of a float.
func (r rule) float(text []byte) float64 {
	switch r { //nolint:exhaustive // the others have text
	case nanRule:
		return math.NaN()
	case infRule:
		return math.Inf(1)
	case minusInfRule:
		return math.Inf(-1)
	}
	f, _ := strconv.ParseFloat(string(text), 64) // read was content with it
	return f
}

// exact is the text of a decimal as journal has it.
func (d *document) exact(text []byte) []byte {
	var buf [maxTriedDigits]byte
	n, ok := splitNumber(buf[:0], text)
	if !ok {
		return text // never: it was hashed
	}
	from := len(d.arena)
	d.arena = ion.AppendDecimalText(d.arena, n.negative, n.digits, n.exponent)
	return d.arena[from:len(d.arena):len(d.arena)]
}
