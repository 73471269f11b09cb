package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
	"godwit/internal/profile"
)

// bytesOfRune is the most bytes that a character of UTF-8 has.
const bytesOfRune = 4

// width is the most bytes that a value of a target's type has, as change.SizeLimit
// counts them; 0 is no limit.
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
	case "numeric":
		if len(mods) == 2 {
			return int64(mods[0]) + int64(max(mods[1], -mods[1])) + 3
		}
		return 0
	case "smallint", "integer", "bigint", "real", "double precision", "boolean":
		return 24
	case "uuid":
		return 16
	case "date", "time without time zone", "time with time zone", "timestamp without time zone", "timestamp with time zone":
		return 40
	}
	return 0
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
	case "smallint", "integer", "bigint", "date", "timestamp without time zone", "timestamp with time zone", "time without time zone", "boolean", "real", "double precision":
		return 8
	}
	return 0
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
	for _, c := range t.plan.Columns {
		w := width(c.Type)
		total, open = total+w, open || w == 0
		rule, _ := d.profile.Type(baseType(c.Type))
		most, what := value.Value, "a value"
		if rule.MaxLength > 0 { // bytes in the target, characters in the source
			most, what = int64(rule.MaxLength), "a value of type "+baseType(c.Type)
		}
		if most == 0 || most >= exportedValue || w > 0 && w <= most {
			continue
		}
		t.plan.Sizes = append(t.plan.Sizes, change.SizeLimit{Columns: []string{c.Name}, Bytes: most, What: what})
		d.about(t, Keep, KindValueSize, c.From[0].Name, "", fmt.Sprintf("A value of it may be longer than the target takes, %d bytes%s. Rows with such a value are refused one by one.", most, by(value.Fact)), "")
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
		w := width(c.Type)
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
