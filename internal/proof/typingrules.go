package proof

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"godwit/internal/ion"
)

// A class is what JSON shows of a value. Values of one class may have been the
// same Ion types; an object was a struct, true and false were bools.
type class uint8

const (
	structClass class = iota
	boolClass
	nullClass
	listClass
	emptyClass      // ""
	instantClass    // a string that is a timestamp's text
	base64Class     // a string of letters and digits that is base64
	paddedClass     // a string that is base64 and has a =, + or /
	textClass       // any other string
	integerClass    // a number without point and exponent
	pointClass      // a number with a point: 90.25
	noisyClass      // one with 15 digits or more, as doubles that were computed have: 8.700000000000001
	scaledClass     // a decimal as ion-java writes it in JSON: 9025e-2
	scientificClass // a number with an exponent that a float may have: 2.5e0, 2e0, 1e-7
	classCount
)

var classNames = [classCount]string{
	"struct", "bool", "null", "list", "empty", "instant", "base64", "padded", "text", "integer", "point", "noisy", "scaled", "scientific",
}

// kin are the classes that show the same kind of JSON value.
func (c class) kin() (first, last class) {
	switch {
	case c >= integerClass:
		return integerClass, scientificClass
	case c >= emptyClass:
		return emptyClass, textClass
	}
	return c, c
}

// A rule says how a JSON value is taken for an Ion value.
type rule uint8

const (
	noRule rule = iota // a struct or bool, which needs none
	stringRule
	timestampRule
	symbolRule
	blobRule
	clobRule
	intRule
	decimalRule   // digits and exponent as printed
	floatRule     //
	shortestRule  // decimal of the digits that a double keeps, without zeros at the end: 8.700000000000001 is 8.7
	shortest1Rule // the same with one digit behind the point at least: 9 is 9.0
	scaleRule     // decimal with 0 digits behind the point; the rules that follow have 1 to maxScale
)

const (
	maxScale     = 9
	nullRule     = scaleRule + maxScale + 1 // null; the rules that follow are null.bool to null.struct
	nanRule      = nullRule + rule(ion.StructType) + 1
	infRule      = nanRule + 1
	minusInfRule = infRule + 1
	listRule     = minusInfRule + 1
	sexpRule     = listRule + 1
	ruleCount    = sexpRule + 1
)

// String names the rule as the file of a Typing does.
func (r rule) String() string {
	switch {
	case r >= scaleRule && r < nullRule:
		return "decimal." + strconv.Itoa(int(r-scaleRule))
	case r == nullRule:
		return "null"
	case r > nullRule && r < nanRule:
		return "null." + ion.Type(r-nullRule).String()
	}
	switch r {
	case stringRule:
		return "string"
	case timestampRule:
		return "timestamp"
	case symbolRule:
		return "symbol"
	case blobRule:
		return "blob"
	case clobRule:
		return "clob"
	case intRule:
		return "int"
	case decimalRule:
		return "decimal"
	case floatRule:
		return "float"
	case shortestRule:
		return "decimal.short"
	case shortest1Rule:
		return "decimal.short.1"
	case nanRule:
		return "nan"
	case infRule:
		return "+inf"
	case minusInfRule:
		return "-inf"
	case listRule:
		return "list"
	case sexpRule:
		return "sexp"
	}
	return "none"
}

// ionType is the type of the value that r makes.
func (r rule) ionType() ion.Type {
	switch {
	case r == decimalRule || r == shortestRule || r == shortest1Rule || r >= scaleRule && r < nullRule:
		return ion.DecimalType
	case r >= nullRule && r < nanRule:
		return ion.Type(r - nullRule)
	}
	switch r {
	case stringRule:
		return ion.StringType
	case timestampRule:
		return ion.TimestampType
	case symbolRule:
		return ion.SymbolType
	case blobRule:
		return ion.BlobType
	case clobRule:
		return ion.ClobType
	case intRule:
		return ion.IntType
	case floatRule, nanRule, infRule, minusInfRule:
		return ion.FloatType
	case listRule:
		return ion.ListType
	}
	return ion.SexpType
}

// A weighted rule is one that a class may have had, with how often out of a
// thousand times one guesses before anything is known of a table.
type weighted struct {
	rule   rule
	weight uint16
}

// choices are the rules of each class, the plain reading first.
//
//nolint:gochecknoglobals // a table, never changed
var choices = [classCount][]weighted{
	nullClass: {
		{nullRule, 620}, {nullRule + rule(ion.StringType), 80}, {nullRule + rule(ion.IntType), 60}, {nullRule + rule(ion.DecimalType), 40},
		{nullRule + rule(ion.TimestampType), 60}, {nullRule + rule(ion.ListType), 40}, {nullRule + rule(ion.StructType), 40}, {nullRule + rule(ion.BoolType), 20},
		{nullRule + rule(ion.FloatType), 15}, {nullRule + rule(ion.BlobType), 5}, {nullRule + rule(ion.SymbolType), 5}, {nullRule + rule(ion.ClobType), 2},
		{nullRule + rule(ion.SexpType), 2}, {nanRule, 5}, {infRule, 3}, {minusInfRule, 3},
	},
	listClass:    {{listRule, 970}, {sexpRule, 30}},
	emptyClass:   {{stringRule, 930}, {symbolRule, 30}, {blobRule, 30}, {clobRule, 10}},
	instantClass: {{stringRule, 460}, {timestampRule, 500}, {symbolRule, 30}, {clobRule, 10}},
	base64Class:  {{stringRule, 850}, {blobRule, 100}, {symbolRule, 45}, {clobRule, 5}},
	paddedClass:  {{stringRule, 470}, {blobRule, 500}, {symbolRule, 20}, {clobRule, 10}},
	textClass:    {{stringRule, 940}, {symbolRule, 50}, {clobRule, 10}},
	integerClass: {
		{intRule, 850}, {decimalRule, 30}, {floatRule, 30}, {shortestRule, 2}, {shortest1Rule, 15}, {scaleRule, 2}, {scaleRule + 1, 20}, {scaleRule + 2, 30},
		{scaleRule + 3, 5}, {scaleRule + 4, 5}, {scaleRule + 5, 3}, {scaleRule + 6, 3}, {scaleRule + 7, 1}, {scaleRule + 8, 2}, {scaleRule + 9, 1},
	},
	pointClass: {
		{decimalRule, 560}, {floatRule, 240}, {shortestRule, 40}, {shortest1Rule, 20}, {scaleRule, 2}, {scaleRule + 1, 20}, {scaleRule + 2, 50},
		{scaleRule + 3, 15}, {scaleRule + 4, 15}, {scaleRule + 5, 8}, {scaleRule + 6, 10}, {scaleRule + 7, 5}, {scaleRule + 8, 10}, {scaleRule + 9, 5},
	},
	noisyClass: {
		{decimalRule, 220}, {floatRule, 260}, {shortestRule, 350}, {shortest1Rule, 20}, {scaleRule, 2}, {scaleRule + 1, 20}, {scaleRule + 2, 50},
		{scaleRule + 3, 15}, {scaleRule + 4, 15}, {scaleRule + 5, 8}, {scaleRule + 6, 10}, {scaleRule + 7, 5}, {scaleRule + 8, 10}, {scaleRule + 9, 5},
	},
	scaledClass: {{decimalRule, 900}, {floatRule, 40}, {shortestRule, 20}, {shortest1Rule, 10}, {scaleRule + 2, 20}, {scaleRule + 4, 10}},
	scientificClass: {
		{floatRule, 600}, {decimalRule, 340}, {shortestRule, 10}, {shortest1Rule, 10}, {scaleRule, 5}, {scaleRule + 1, 10}, {scaleRule + 2, 20}, {scaleRule + 3, 5},
	},
}

// plain is the rule that takes a value for what it looks like.
func (c class) plain() rule {
	if len(choices[c]) == 0 {
		return noRule
	}
	return choices[c][0].rule
}

// stringClass classes the text of a string.
func stringClass(s []byte) class {
	switch {
	case len(s) == 0:
		return emptyClass
	case ion.IsTimestamp(s):
		return instantClass
	case len(s)%4 != 0:
		return textClass
	}
	content := s
	for range 2 {
		content = bytes.TrimSuffix(content, []byte{'='})
	}
	padded := len(content) < len(s)
	for _, c := range content {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
		case c == '+', c == '/':
			padded = true
		default:
			return textClass
		}
	}
	if padded {
		return paddedClass
	}
	return base64Class
}

// noisyDigits is the number of digits from which a number looks computed: a
// double keeps 15 of a decimal, and prints up to 17.
const noisyDigits = 15

// numberClass classes a JSON number.
func numberClass(s []byte) class {
	if s[0] == '-' {
		s = s[1:]
		if len(s) == 1 && s[0] == '0' {
			return scientificClass // -0 is no int
		}
	}
	point, exponent := -1, -1
	for i, c := range s {
		switch c {
		case '.':
			point = i
		case 'e', 'E':
			exponent = i
		}
	}
	switch {
	case point < 0 && exponent < 0:
		return integerClass
	case exponent < 0 && len(bytes.TrimLeft(s, "0.")) > noisyDigits: // the point counts
		return noisyClass
	case exponent < 0:
		return pointClass
	case point < 0 && exponent > 1 && s[exponent+1] == '-' && len(s)-exponent < 8:
		return scaledClass
	}
	return scientificClass
}

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
	switch r {
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
