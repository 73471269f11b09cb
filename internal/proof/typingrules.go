package proof

import (
	"bytes"

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
	decimalRule // digits and exponent as printed
	floatRule
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

// ruleTable has the names in the file of Types, and what the rules make.
var ruleTable = [ruleCount]struct {
	name string
	typ  ion.Type
}{
	noRule:        {"none", ion.NullType},
	stringRule:    {"string", ion.StringType},
	timestampRule: {"timestamp", ion.TimestampType},
	symbolRule:    {"symbol", ion.SymbolType},
	blobRule:      {"blob", ion.BlobType},
	clobRule:      {"clob", ion.ClobType},
	intRule:       {"int", ion.IntType},
	decimalRule:   {"decimal", ion.DecimalType},
	floatRule:     {"float", ion.FloatType},
	shortestRule:  {"decimal.short", ion.DecimalType},
	shortest1Rule: {"decimal.short.1", ion.DecimalType},
	scaleRule:     {"decimal.0", ion.DecimalType},
	scaleRule + 1: {"decimal.1", ion.DecimalType},
	scaleRule + 2: {"decimal.2", ion.DecimalType},
	scaleRule + 3: {"decimal.3", ion.DecimalType},
	scaleRule + 4: {"decimal.4", ion.DecimalType},
	scaleRule + 5: {"decimal.5", ion.DecimalType},
	scaleRule + 6: {"decimal.6", ion.DecimalType},
	scaleRule + 7: {"decimal.7", ion.DecimalType},
	scaleRule + 8: {"decimal.8", ion.DecimalType},
	scaleRule + 9: {"decimal.9", ion.DecimalType},

	nullRule:                           {"null", ion.NullType},
	nullRule + rule(ion.BoolType):      {"null.bool", ion.BoolType},
	nullRule + rule(ion.IntType):       {"null.int", ion.IntType},
	nullRule + rule(ion.FloatType):     {"null.float", ion.FloatType},
	nullRule + rule(ion.DecimalType):   {"null.decimal", ion.DecimalType},
	nullRule + rule(ion.TimestampType): {"null.timestamp", ion.TimestampType},
	nullRule + rule(ion.SymbolType):    {"null.symbol", ion.SymbolType},
	nullRule + rule(ion.StringType):    {"null.string", ion.StringType},
	nullRule + rule(ion.ClobType):      {"null.clob", ion.ClobType},
	nullRule + rule(ion.BlobType):      {"null.blob", ion.BlobType},
	nullRule + rule(ion.ListType):      {"null.list", ion.ListType},
	nullRule + rule(ion.SexpType):      {"null.sexp", ion.SexpType},
	nullRule + rule(ion.StructType):    {"null.struct", ion.StructType},

	nanRule:      {"nan", ion.FloatType},
	infRule:      {"+inf", ion.FloatType},
	minusInfRule: {"-inf", ion.FloatType},
	listRule:     {"list", ion.ListType},
	sexpRule:     {"sexp", ion.SexpType},
}

func (r rule) String() string    { return ruleTable[r].name }
func (r rule) ionType() ion.Type { return ruleTable[r].typ }

// A weighted rule is one that a class may have had, with how often out of a
// thousand times one guesses before anything is known of a table.
type weighted struct {
	rule   rule
	weight uint16
}

// choices are the rules of each class, the plain reading first.
var choices = [classCount][]weighted{
	nullClass: {
		{nullRule, 620},
		{nullRule + rule(ion.StringType), 80},
		{nullRule + rule(ion.IntType), 60},
		{nullRule + rule(ion.DecimalType), 40},
		{nullRule + rule(ion.TimestampType), 60},
		{nullRule + rule(ion.ListType), 40},
		{nullRule + rule(ion.StructType), 40},
		{nullRule + rule(ion.BoolType), 20},
		{nullRule + rule(ion.FloatType), 15},
		{nullRule + rule(ion.BlobType), 5},
		{nullRule + rule(ion.SymbolType), 5},
		{nullRule + rule(ion.ClobType), 2},
		{nullRule + rule(ion.SexpType), 2},
		{nanRule, 5},
		{infRule, 3},
		{minusInfRule, 3},
	},
	listClass:    {{listRule, 970}, {sexpRule, 30}},
	emptyClass:   {{stringRule, 930}, {symbolRule, 30}, {blobRule, 30}, {clobRule, 10}},
	instantClass: {{stringRule, 460}, {timestampRule, 500}, {symbolRule, 30}, {clobRule, 10}},
	base64Class:  {{stringRule, 850}, {blobRule, 100}, {symbolRule, 45}, {clobRule, 5}},
	paddedClass:  {{stringRule, 470}, {blobRule, 500}, {symbolRule, 20}, {clobRule, 10}},
	textClass:    {{stringRule, 940}, {symbolRule, 50}, {clobRule, 10}},
	integerClass: {
		{intRule, 850},
		{decimalRule, 30},
		{floatRule, 30},
		{shortestRule, 2},
		{shortest1Rule, 15},
		{scaleRule, 2},
		{scaleRule + 1, 20},
		{scaleRule + 2, 30},
		{scaleRule + 3, 5},
		{scaleRule + 4, 5},
		{scaleRule + 5, 3},
		{scaleRule + 6, 3},
		{scaleRule + 7, 1},
		{scaleRule + 8, 2},
		{scaleRule + 9, 1},
	},
	pointClass: {
		{decimalRule, 560},
		{floatRule, 240},
		{shortestRule, 40},
		{shortest1Rule, 20},
		{scaleRule, 2},
		{scaleRule + 1, 20},
		{scaleRule + 2, 50},
		{scaleRule + 3, 15},
		{scaleRule + 4, 15},
		{scaleRule + 5, 8},
		{scaleRule + 6, 10},
		{scaleRule + 7, 5},
		{scaleRule + 8, 10},
		{scaleRule + 9, 5},
	},
	noisyClass: {
		{decimalRule, 220},
		{floatRule, 260},
		{shortestRule, 350},
		{shortest1Rule, 20},
		{scaleRule, 2},
		{scaleRule + 1, 20},
		{scaleRule + 2, 50},
		{scaleRule + 3, 15},
		{scaleRule + 4, 15},
		{scaleRule + 5, 8},
		{scaleRule + 6, 10},
		{scaleRule + 7, 5},
		{scaleRule + 8, 10},
		{scaleRule + 9, 5},
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
