package snapshot

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
)

// narrow prepares c for a target's type that holds fewer values than the
// source's: those that it would change are refused.
func (c *converter) narrow(from change.SourceColumn, target string) error {
	source := base(from.Type)
	modifiers, err := modifiersOf(target)
	if err != nil {
		return err
	}
	no := fmt.Errorf("%s cannot be fitted into %s", from.Type, target)
	digits := c.text && source == "numeric" || source == "smallint" || source == "integer" || source == "bigint"
	switch to := base(target); {
	case to == source && modifiers == nil, to == "text" && c.text:
		// Nothing of a value to look at.
	case to == "numeric" && digits && modifiers != nil:
		c.fit = fitsNumeric(modifiers[0], append(modifiers, 0)[1])
	case (to == "smallint" || to == "integer" || to == "bigint") && digits:
		bits := map[string]int{"smallint": 16, "integer": 32, "bigint": 64}[to]
		c.fit = func(text []byte) bool {
			_, err := strconv.ParseInt(string(text), 10, bits)
			return err == nil
		}
		if c.text {
			c.trim = trimNumeric
		}
	case to == "real" && source == "double precision" && c.text: // of a domain
		c.fit = func(text []byte) bool {
			x, err := strconv.ParseFloat(string(text), 64)
			return err == nil && (math.IsNaN(x) || float64(float32(x)) == x)
		}
	case to == "real" && source == "double precision":
		c.bits = 32
	case (to == "character varying" || to == "character") && c.text:
		if modifiers == nil && to == "character" {
			modifiers = []int{1}
		}
		if modifiers != nil {
			c.fit = fitsLength(modifiers[0], to == "character")
		}
	case to == source && len(modifiers) == 1 && (to == "bit varying" || to == "bit"):
		c.fit = func(text []byte) bool { return len(text) == modifiers[0] || to != "bit" && len(text) < modifiers[0] }
	case to == source && len(modifiers) == 1 && (strings.HasPrefix(to, "time") || to == "interval"):
		c.fit = fitsFraction(modifiers[0])
	default:
		return no
	}
	return nil
}

// modifiersOf returns the numbers in the parentheses of a type; nil where it has
// none.
func modifiersOf(t string) (modifiers []int, err error) {
	_, rest, ok := strings.Cut(t, "(")
	if !ok {
		return nil, nil
	}
	list, _, _ := strings.Cut(rest, ")")
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("the modifier %q of type %s is no number", text, t)
		}
		modifiers = append(modifiers, n)
	}
	return modifiers, nil
}

// A number is the text of a numeric in pieces, without zeros that say nothing.
type number struct {
	negative bool
	whole    []byte // digits before the point
	fraction []byte // digits behind it
}

// parseNumber reads a numeric as PostgreSQL writes it, of digits.
func parseNumber(text []byte) (n number, ok bool) {
	if len(text) > 0 && text[0] == '-' {
		n.negative, text = true, text[1:]
	}
	n.whole, n.fraction, _ = bytes.Cut(text, []byte("."))
	for _, digits := range [...][]byte{n.whole, n.fraction} {
		for _, c := range digits {
			if c < '0' || c > '9' {
				return n, false
			}
		}
	}
	ok = len(n.whole)+len(n.fraction) > 0
	n.whole = bytes.TrimLeft(n.whole, "0")
	n.fraction = bytes.TrimRight(n.fraction, "0")
	return n, ok
}

// fitsNumeric tells of texts whether numeric(precision, scale) holds them as they
// are. It holds NaN, and no infinity (postgresql.org/docs/17/datatype-numeric.html).
func fitsNumeric(precision, scale int) func([]byte) bool {
	return func(text []byte) bool {
		n, ok := parseNumber(text)
		if !ok {
			return string(text) == "NaN"
		}
		if scale < 0 { // the last places before the point are zeros
			places := min(-scale, len(n.whole))
			if len(n.fraction) > 0 || len(bytes.TrimRight(n.whole[len(n.whole)-places:], "0")) > 0 {
				return false
			}
			return len(n.whole) <= precision-scale
		}
		if len(n.fraction) > scale {
			return false
		}
		if precision < scale { // the first places behind the point are zeros
			places := min(scale-precision, len(n.fraction))
			return len(n.whole) == 0 && len(bytes.TrimLeft(n.fraction[:places], "0")) == 0
		}
		return len(n.whole) <= precision-scale
	}
}

// trimNumeric returns a numeric's canonical text; nil when it is none.
func trimNumeric(text []byte) []byte {
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return text
	}
	n, ok := parseNumber(text)
	if !ok {
		return nil
	}
	out := make([]byte, 0, len(text)+1)
	if n.negative && len(n.whole)+len(n.fraction) > 0 {
		out = append(out, '-')
	}
	if len(n.whole) == 0 {
		out = append(out, '0')
	}
	out = append(out, n.whole...)
	if len(n.fraction) > 0 {
		out = append(append(out, '.'), n.fraction...)
	}
	return out
}

// fitsLength tells of texts whether they have at most n characters; trailing
// spaces are no part of a padded one.
func fitsLength(n int, padded bool) func([]byte) bool {
	return func(text []byte) bool {
		if len(text) <= n {
			return true
		}
		if padded {
			text = bytes.TrimRight(text, " ")
		}
		return utf8.RuneCount(text) <= n
	}
}

// fitsFraction tells of times and intervals whether their seconds have at most n
// digits behind the point that say something.
func fitsFraction(n int) func([]byte) bool {
	return func(text []byte) bool {
		_, rest, _ := bytes.Cut(text, []byte("."))
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		return len(bytes.TrimRight(rest[:digits], "0")) <= n
	}
}
