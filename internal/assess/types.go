package assess

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/profile"
)

// baseType returns a type's name without its modifiers: timestamp with time zone
// of timestamp(3) with time zone, interval of interval day to second(3).
func baseType(name string) string {
	from := strings.IndexByte(name, '(')
	if to := strings.IndexByte(name, ')'); from >= 0 && to > from {
		name = name[:from] + name[to+1:]
	}
	switch {
	case strings.HasPrefix(name, "interval "):
		return "interval"
	case name == `"bit"`: // bit without a length
		return "bit"
	}
	return name
}

// modifiers returns the numbers in a type's parentheses: 12 and 2 of numeric(12,2).
func modifiers(name string) (list []int) {
	_, rest, ok := strings.Cut(name, "(")
	if !ok {
		return nil
	}
	rest, _, _ = strings.Cut(rest, ")")
	for part := range strings.SplitSeq(rest, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil
		}
		list = append(list, n)
	}
	return list
}

// shortNames are PostgreSQL's own names (pg_type.typname) and usual ones of types
// whose name in SQL is another.
var shortNames = map[string]string{
	"int2": "smallint", "int4": "integer", "int8": "bigint", "int": "integer", "smallserial": "smallint", "serial": "integer", "bigserial": "bigint",
	"float4": "real", "float8": "double precision", "bool": "boolean", "decimal": "numeric", "varchar": "character varying",
	"char": "character", "time": "time without time zone", "timetz": "time with time zone", "timestamp": "timestamp without time zone",
	"timestamptz": "timestamp with time zone", "varbit": "bit varying",
}

// longName returns a type's name without modifiers as format_type spells it; array
// of any array, other of what only the database itself can tell.
func longName(name string) string {
	name = strings.TrimSpace(name)
	lower := strings.ToLower(baseType(name))
	switch {
	case lower == "array", strings.HasSuffix(lower, "[]"), strings.HasPrefix(lower, "_"):
		return "array"
	case lower == "user-defined":
		return "other"
	}
	if long, ok := shortNames[lower]; ok {
		return long
	}
	return lower
}

// builtin says whether a type's name, without modifiers, is one of PostgreSQL's own
// and tells all of it.
func (d *decider) builtin(name string) bool {
	_, ok := d.profile.Type(name)
	return ok && !slices.Contains([]string{profile.AnyArray, profile.AnyEnum, profile.AnyComposite, profile.AnyRange, profile.AnyOther}, name)
}

// typeOfExport returns the type of a column of an export's metadata as format_type
// spells it; array or other where the metadata does not tell it. A numeric's scale
// is not told, so that it is one without precision, which holds every number.
func (d *decider) typeOfExport(e *Column) string {
	name := longName(e.Type)
	if !d.builtin(name) && name != "array" {
		return "other"
	}
	switch name {
	case "character varying":
		if e.MaxLength > 0 {
			return fmt.Sprintf("character varying(%d)", e.MaxLength)
		}
	case "character", "bpchar":
		if e.MaxLength > 0 {
			return fmt.Sprintf("character(%d)", e.MaxLength)
		}
		return "bpchar"
	case "bit":
		if e.MaxLength > 0 {
			return fmt.Sprintf("bit(%d)", e.MaxLength)
		}
		return "bit varying"
	}
	return name
}

// sameType says whether a type of the catalog may be what the export's metadata
// names: it has no modifiers that could be compared, and no names of users' types.
func (d *decider) sameType(c *catalog.Column, exported string) bool {
	name, t := longName(exported), c.Type
	switch {
	case c.Domain != "" && name != "array" && !d.builtin(name): // called by its own name
		return true
	case t.Class == catalog.Array, name == "array":
		return t.Class == catalog.Array && name == "array"
	case t.Builtin && t.Class != catalog.Composite:
		base := baseType(t.Name)
		for _, alike := range [][]string{{"character", "bpchar", `"char"`}, {"bit", "bit varying"}} { // one may be called as another
			if slices.Contains(alike, base) && slices.Contains(alike, name) {
				return true
			}
		}
		return base == name || !d.builtin(name)
	}
	return !d.builtin(name)
}

// exportedAs are the first words of Parquet's types by those of PostgreSQL; other
// types are exported as text (aurora-export-snapshot.Considerations.html).
var exportedAs = map[string]string{
	"smallint": "int", "integer": "int", "bigint": "int", "real": "float", "double precision": "double", "boolean": "boolean", "bytea": "binary",
}

// exportedOtherwise says whether an export's metadata names a type of Parquet that
// no export of the type has. What it does not know it lets pass: the parts tell.
func exportedOtherwise(t catalog.Type, exported string) bool {
	want := "binary"
	if as, ok := exportedAs[baseType(t.Name)]; ok && t.Builtin && t.Class == catalog.Base {
		want = as
	}
	for _, known := range []string{"int", "float", "double", "boolean", "binary"} {
		if strings.HasPrefix(strings.ToLower(exported), known) {
			return known != want
		}
	}
	return false
}

// exportedAsText says whether an export's metadata names Parquet's text.
func exportedAsText(exported string) bool {
	return strings.HasPrefix(strings.ToLower(exported), "binary")
}

// keyFamily returns what two columns must share for equal values of them to have
// one canonical text, that of change.KeyUUID; "" is a type that has none: floats
// and intervals have several texts for equal values, or text is no key of them.
func keyFamily(t catalog.Type) string {
	if t.Class == catalog.Enum {
		return "enum " + t.Name
	}
	if t.Class != catalog.Base || !t.Builtin {
		return ""
	}
	switch base := baseType(t.Name); base {
	case "smallint", "integer", "bigint", "numeric":
		return "number"
	case "text", "character varying", "name":
		return "text"
	case "character", "bpchar":
		return "padded text"
	case "uuid", "boolean", "date", "timestamp without time zone", "timestamp with time zone", "time without time zone":
		return base
	}
	return ""
}

// family is a coarser keyFamily: values of one family may be compared.
func family(name string) string {
	switch base := baseType(name); base {
	case "smallint", "integer", "bigint", "numeric":
		return "number"
	case "real", "double precision":
		return "float"
	case "text", "character varying", "character", "bpchar", "name":
		return "text"
	case "date", "timestamp without time zone", "timestamp with time zone":
		return "time"
	default:
		return base
	}
}

// wider says whether every value of one type is a value of another, and is equal
// there: the types of a rule that convert nothing.
func wider(from, to string) bool {
	a, b := baseType(from), baseType(to)
	am, bm := modifiers(from), modifiers(to)
	ints := []string{"smallint", "integer", "bigint"}
	switch {
	case from == to:
		return true
	case slices.Contains(ints, a) && slices.Contains(ints, b):
		return slices.Index(ints, a) <= slices.Index(ints, b)
	case a == "real" && b == "double precision":
		return true
	case b == "numeric" && bm == nil:
		return a == "numeric" || slices.Contains(ints, a)
	case a == "numeric" && b == "numeric" && len(am) == 2 && len(bm) == 2:
		return bm[1] >= am[1] && bm[0]-bm[1] >= am[0]-am[1]
	case b == "text":
		return a == "character varying" || a == "name"
	case a == "character varying" && b == "character varying":
		return bm == nil || am != nil && bm[0] >= am[0]
	}
	return false
}

// narrower says whether snapshot's encoder can fit values of one type into
// another exactly, or refuse them.
func narrower(from, to string) bool {
	a, b := baseType(from), baseType(to)
	ints := []string{"smallint", "integer", "bigint"}
	switch {
	case b == "numeric":
		return modifiers(to) != nil && (a == "numeric" || slices.Contains(ints, a))
	case slices.Contains(ints, b):
		return a == "numeric" || slices.Contains(ints, a)
	case b == "real":
		return a == "double precision"
	case b == "character varying":
		return a == "text" || a == "character varying" || a == "name"
	}
	return false
}

// hasText are the types whose text an export writes as PostgreSQL's output
// function does, in one way only: what a rule may turn into text.
func hasText(t catalog.Type) bool {
	if t.Class != catalog.Base || !t.Builtin {
		return true // arrays, enums, ranges, composites
	}
	switch baseType(t.Name) {
	case "bytea", "character", "bpchar", "timestamp with time zone", "money":
		// Escaped in several ways; padded or not; in a session's time zone. Money is
		// text by the profile, where it is.
		return false
	}
	return true
}
