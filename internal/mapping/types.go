package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// Limits of PostgreSQL's types that the file's type names carry.
const (
	maxVarchar   = 10485760 // characters, varchar(n)
	maxPrecision = 1000     // digits, numeric(p,s)
)

var plainTypes = [...]struct {
	name string
	typ  change.Type
}{
	{"smallint", change.Type{Kind: change.Int, Bits: 16}},
	{"integer", change.Type{Kind: change.Int, Bits: 32}},
	{"bigint", change.Type{Kind: change.Int, Bits: 64}},
	{"numeric", change.Type{Kind: change.Decimal}},
	{"real", change.Type{Kind: change.Float, Bits: 32}},
	{"double precision", change.Type{Kind: change.Float, Bits: 64}},
	{"boolean", change.Type{Kind: change.Bool}},
	{"text", change.Type{Kind: change.Text}},
	{"date", change.Type{Kind: change.Date}},
	{"time", change.Type{Kind: change.Time}},
	{"timestamp", change.Type{Kind: change.Timestamp}},
	{"timestamptz", change.Type{Kind: change.Timestamp, Zone: true}},
	{"uuid", change.Type{Kind: change.UUID}},
	{"bytea", change.Type{Kind: change.Bytes}},
	{"jsonb", change.Type{Kind: change.JSON}},
}

// typeNames is what a refused type is told to choose from.
const typeNames = `smallint, integer, bigint, numeric, numeric(p,s), real, double precision, boolean, text, varchar(n), date, time, timestamp, timestamptz, uuid, bytea, jsonb, or one of these followed by []`

// ParseType reads one of PostgreSQL's type names as a mapping file spells them:
// lower case, one spelling a type, no spaces but the one in double precision.
func ParseType(name string) (change.Type, error) {
	base, array := strings.CutSuffix(name, "[]")
	t, err := parseElement(base)
	if err != nil {
		return change.Type{}, fmt.Errorf("unknown type %q%w: choose %s", name, err, typeNames)
	}
	t.Array = array
	return t, nil
}

// hint is the middle of ParseType's message.
type hint string

func (h hint) Error() string { return string(h) }

func parseElement(name string) (change.Type, error) {
	for _, p := range plainTypes {
		if p.name == name {
			return p.typ, nil
		}
	}
	open := strings.IndexByte(name, '(')
	if open < 0 || !strings.HasSuffix(name, ")") {
		return change.Type{}, hint(instead(name))
	}
	args := strings.Split(name[open+1:len(name)-1], ",")
	numbers := make([]int, len(args))
	for i, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil || strconv.Itoa(n) != a {
			return change.Type{}, hint("")
		}
		numbers[i] = n
	}
	switch name[:open] {
	case "varchar":
		if len(numbers) != 1 || numbers[0] < 1 || numbers[0] > maxVarchar {
			return change.Type{}, hint(fmt.Sprintf(" (varchar(n) takes n from 1 to %d)", maxVarchar))
		}
		return change.Type{Kind: change.Text, Length: numbers[0]}, nil
	case "numeric":
		if len(numbers) != 2 || numbers[0] < 1 || numbers[0] > maxPrecision || numbers[1] < 0 || numbers[1] > numbers[0] {
			return change.Type{}, hint(fmt.Sprintf(" (numeric(p,s) takes p from 1 to %d and s from 0 to p)", maxPrecision))
		}
		return change.Type{Kind: change.Decimal, Precision: numbers[0], Scale: numbers[1]}, nil
	}
	return change.Type{}, hint(instead(name[:open]))
}

// instead names the type that somebody who wrote name probably wants.
func instead(name string) string {
	switch strings.ToLower(name) {
	case "int", "int4", "serial":
		return " (write integer)"
	case "int2":
		return " (write smallint)"
	case "int8", "bigserial":
		return " (write bigint)"
	case "decimal":
		return " (write numeric)"
	case "float", "float8", "double":
		return " (write double precision)"
	case "float4":
		return " (write real)"
	case "bool":
		return " (write boolean)"
	case "varchar", "character varying":
		return " (write text or varchar(n))"
	case "char", "character", "bpchar":
		return " (it pads with blanks: write varchar(n))"
	case "json":
		return " (write jsonb)"
	case "timestamp with time zone":
		return " (write timestamptz)"
	case "timestamp without time zone", "datetime":
		return " (write timestamp)"
	}
	return ""
}

// TypeName spells t as ParseType reads it.
func TypeName(t change.Type) string {
	suffix := ""
	if t.Array {
		suffix = "[]"
		t.Array = false
	}
	switch {
	case t.Kind == change.Text && t.Length > 0:
		return fmt.Sprintf("varchar(%d)%s", t.Length, suffix)
	case t.Kind == change.Decimal && t.Precision > 0:
		return fmt.Sprintf("numeric(%d,%d)%s", t.Precision, t.Scale, suffix)
	}
	for _, p := range plainTypes {
		if p.typ == t {
			return p.name + suffix
		}
	}
	return fmt.Sprintf("unknown type (%s)", t.Kind)
}
