package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/profile"
)

// bytesOfRune is the most bytes that a character of UTF-8 has.
const bytesOfRune = 4

// widths are the most bytes that a value of a type has, as change.SizeLimit counts
// them. Numbers and times are counted by their texts.
var widths = map[string]int64{
	"smallint": 8, "integer": 11, "bigint": 20, "real": 16, "double precision": 24, "boolean": 8, "uuid": 16, "date": 16,
	"time without time zone": 16, "time with time zone": 24, "timestamp without time zone": 36, "timestamp with time zone": 40, "interval": 96,
	"inet": 48, "cidr": 48, "macaddr": 24, "macaddr8": 24, "pg_lsn": 20, "money": 40, `"char"`: 8, "name": 64, "xid8": 20,
	"point": 64, "line": 96, "lseg": 128, "box": 128, "circle": 96, "int4range": 32, "int8range": 48, "daterange": 40, "tsrange": 96, "tstzrange": 96,
}

// width is the most bytes that a value of a type has; 0 is no limit.
func width(name string) int64 {
	mods := modifiers(name)
	if strings.HasSuffix(name, "]") {
		return 0
	}
	switch base := baseType(name); base {
	case "character varying", "character":
		if len(mods) == 1 {
			return int64(mods[0]) * bytesOfRune
		}
		return 0
	case "bit", "bit varying":
		if len(mods) == 1 {
			return int64(mods[0])
		}
		return 0
	case "numeric":
		if len(mods) == 2 {
			return int64(mods[0]) + int64(max(mods[1], -mods[1])) + 3
		}
		return 0
	default:
		return widths[base]
	}
}

// widthOf is the most bytes of a column of the target; of what becomes text, the
// source's type tells more.
func widthOf(t *table, c *change.ColumnPlan) int64 {
	if w := width(c.Type); w > 0 || len(c.From) != 1 {
		return w
	}
	from := t.column(c.From[0].Name)
	if from.typ.Class == catalog.Enum {
		return 64 * bytesOfRune // a label has at most 63 bytes
	}
	return width(from.typ.Name)
}

// declared is the length that a column's type declares; 0 where it declares none.
func declared(name string) int64 {
	mods := modifiers(name)
	switch base := baseType(name); base {
	case "character varying", "character":
		if len(mods) == 1 {
			return int64(mods[0])
		}
		return 0
	case "uuid":
		return 16
	case "text", "bpchar":
		return 0
	}
	return 8
}

// limit plans what the target can hold of a row, and refuses tables that are
// beyond what it can have.
func (d *decider) limit(t *table) {
	if limit := d.profile.Limit(profile.TableColumns); limit.Value > 0 && int64(len(t.plan.Columns)) > limit.Value {
		d.about(t, Refuse, KindColumns, "", "", fmt.Sprintf("The target's table would have %d columns, and it takes %d%s.", len(t.plan.Columns), limit.Value, by(limit.Fact)), `Leave columns out: "skip": true.`)
	}
	if len(t.plan.Columns) == 0 {
		d.about(t, Refuse, KindColumns, "", "", "No column of the table is left.", `Leave the table out: "skip": true.`)
	}
	d.limitIndexes(t)
	d.limitValues(t)
	d.limitKeys(t)
}

// limitIndexes gives up the last indexes that are not unique, until the target
// takes the rest.
func (d *decider) limitIndexes(t *table) {
	limit := d.profile.Limit(profile.TableIndexes)
	if limit.Value == 0 {
		return
	}
	most := int(limit.Value)
	if len(t.plan.Key) > 0 {
		most--
	}
	for i := len(t.plan.Indexes) - 1; i >= 0 && len(t.plan.Indexes) > most; i-- {
		if x := t.plan.Indexes[i]; !x.Unique {
			d.about(t, Lost, KindIndexes, "", x.Name, fmt.Sprintf("The table has more indexes than the target takes, %d%s.", limit.Value, by(limit.Fact)), "Drop indexes that you need less in the source and read the catalog again.")
			t.plan.Indexes = slices.Delete(t.plan.Indexes, i, i+1)
		}
	}
	if len(t.plan.Indexes) > most {
		d.about(t, Refuse, KindIndexes, "", "", fmt.Sprintf("The table has more keys and unique indexes than the target takes, %d%s.", limit.Value, by(limit.Fact)), "Drop unique indexes that you need less in the source and read the catalog again.")
	}
}

// limitValues plans the most bytes of values and rows.
func (d *decider) limitValues(t *table) {
	value, row := d.profile.Limit(profile.ValueBytes), d.profile.Limit(profile.RowBytes)
	total, open := int64(0), false
	var names []string
	for i := range t.plan.Columns {
		c := &t.plan.Columns[i]
		w := widthOf(t, c)
		total, open = total+w, open || w == 0
		rule, _ := d.profile.Type(baseType(c.Type))
		most, what := value.Value, "a value"
		if rule.MaxLength > 0 && w > 0 || rule.MaxLength > 0 && baseType(c.Type) == "bpchar" { // bytes in the target, characters in the source
			most, what = int64(rule.MaxLength), "a value of type "+baseType(c.Type)
		}
		if most == 0 || most >= exportedValue || w > 0 && w <= most {
			continue
		}
		t.plan.Sizes = append(t.plan.Sizes, change.SizeLimit{Columns: []string{c.Name}, Bytes: most, What: what})
		names = append(names, fmt.Sprintf("%s (%d bytes)", c.Name, most))
	}
	if len(names) > 0 {
		d.about(t, Keep, KindValueSize, "", "", fmt.Sprintf("Values of these columns may be longer than the target takes%s: %s. Rows with such a value are refused one by one.", by(value.Fact), list(names)), "Look for the longest values in the source before the snapshot.")
	}
	if row.Value > 0 && (open || total > row.Value) {
		t.plan.Sizes = append(t.plan.Sizes, change.SizeLimit{Bytes: row.Value, What: "a row"})
	}
}

// exportedValue is what an export fails at, so that no value is longer
// (aurora-export-snapshot.Considerations.html).
const exportedValue = 500_000_000

// limitKeys plans the most bytes of keys, and refuses those that are declared
// longer than the target takes.
func (d *decider) limitKeys(t *table) {
	if len(t.plan.Key) > 0 && d.declaredTooLong(t, t.plan.Key) {
		limit := d.profile.Limit(profile.KeyDeclared)
		d.about(t, Refuse, KindKeySize, "", t.plan.KeyName, fmt.Sprintf("The columns of the primary key are declared longer together than the target takes, %d%s.", limit.Value, by(limit.Fact)), `Let the key become a UUID, "key": "uuid", or give its columns shorter types in the mapping.`)
	}
	d.limitKey(t, t.plan.Key, "a primary key", t.plan.KeyName)
	t.plan.Indexes = slices.DeleteFunc(t.plan.Indexes, func(x change.IndexPlan) bool {
		if !d.declaredTooLong(t, x.Keys) {
			return false
		}
		limit := d.profile.Limit(profile.KeyDeclared)
		d.about(t, Lost, KindKeySize, "", x.Name, fmt.Sprintf("Its columns are declared longer together than the target takes, %d%s.", limit.Value, by(limit.Fact)), "Give its columns shorter types in the mapping.")
		return true
	})
	for _, x := range t.plan.Indexes {
		switch {
		case x.Unique:
			d.limitKey(t, x.Keys, "a unique key", x.Name)
		case x.Method == "" && d.mayExceed(t, x.Keys):
			limit := d.profile.Limit(profile.KeyBytes)
			d.about(t, Keep, KindKeySize, "", x.Name, fmt.Sprintf("Its entries may be longer than the target takes, %d bytes%s: one such value, and the index cannot be built.", limit.Value, by(limit.Fact)), "Look for the longest value in the source; drop the index there if it is longer.")
		}
	}
}

func (d *decider) declaredTooLong(t *table, names []string) bool {
	limit := d.profile.Limit(profile.KeyDeclared)
	sum := int64(0)
	for _, name := range names {
		if c := planned(t, name); c != nil {
			sum += declared(c.Type)
		}
	}
	return limit.Value > 0 && sum > limit.Value
}

// limitKey plans that rows with a longer key are refused.
func (d *decider) limitKey(t *table, names []string, what, name string) {
	columns := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	if len(columns) == 0 || !d.mayExceed(t, columns) {
		return
	}
	limit := d.profile.Limit(profile.KeyBytes)
	t.plan.Sizes = append(t.plan.Sizes, change.SizeLimit{Columns: columns, Bytes: limit.Value, What: what})
	d.about(t, Keep, KindKeySize, "", name, fmt.Sprintf("Its values (%s) may be longer than the target takes in a key, %d bytes%s. Rows with a longer one are refused.", strings.Join(columns, ", "), limit.Value, by(limit.Fact)), "")
}

func (d *decider) mayExceed(t *table, names []string) bool {
	limit := d.profile.Limit(profile.KeyBytes)
	sum := int64(0)
	for _, name := range names {
		c := planned(t, name)
		if c == nil {
			continue
		}
		w := widthOf(t, c)
		if w == 0 {
			return limit.Value > 0
		}
		sum += w
	}
	return limit.Value > 0 && sum > limit.Value
}

func planned(t *table, name string) *change.ColumnPlan {
	if i := slices.IndexFunc(t.plan.Columns, func(c change.ColumnPlan) bool { return c.Name == name }); i >= 0 {
		return &t.plan.Columns[i]
	}
	return nil
}
