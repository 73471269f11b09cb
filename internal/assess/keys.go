package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/mapping"
	"godwit/internal/profile"
)

// A keySet is columns of which foreign keys say that they hold the same keys:
// whatever becomes of one of them becomes of all. A foreign key of several columns
// joins each of them with the one that it refers to.
type keySet struct {
	columns []*column
	uuid    bool // one of them is the whole of a key that becomes a UUID
	of      change.TableName
}

// decideKeys decides which keys become UUIDs. A key of one column becomes a UUID
// in place, and so does every column that a foreign key joins with it, however
// far. A key of several columns gets a column of its own for its UUID and keeps
// its columns; so does every foreign key that refers to it.
func (d *decider) decideKeys() {
	for _, t := range d.tables {
		d.findKey(t)
	}
	d.joinColumns()
	for _, t := range d.tables {
		d.decideKey(t)
	}
	for _, t := range d.tables {
		for _, c := range t.columns {
			if c.set != nil && c.set.uuid && c.set.columns[0] == c {
				d.makeUUIDs(c.set)
			}
		}
	}
	for _, t := range d.tables {
		d.referUUIDs(t)
	}
}

// findKey finds the source's key: the catalog's, or the rule's where it has none.
func (d *decider) findKey(t *table) {
	var names []string
	if t.catalog != nil && t.catalog.Key != nil {
		names, t.keyName = t.catalog.Key.Columns, t.catalog.Key.Name
		if t.rule.Primary != nil && !slices.Equal(t.rule.Primary, names) {
			d.about(t, Refuse, KindRule, "", t.keyName, fmt.Sprintf("The mapping says that its key is (%s), and the catalog says (%s).", strings.Join(t.rule.Primary, ", "), strings.Join(names, ", ")), `Leave "primaryKey" out.`)
		}
		if t.catalog.Key.Period {
			d.about(t, Lost, KindKey, "", t.keyName, "The last column of its key is WITHOUT OVERLAPS, which the target does not have: the table gets no key.", "")
			return
		}
	} else {
		names = t.rule.Primary
	}
	for _, name := range names {
		c := t.column(name)
		if c == nil {
			d.about(t, Refuse, KindRule, name, "", "The mapping names it as a column of the key, and the table does not have it.", `Mend "primaryKey".`)
			t.key = nil
			return
		}
		t.key = append(t.key, c)
	}
}

// joinColumns makes the sets of columns that foreign keys join.
func (d *decider) joinColumns() {
	for _, t := range d.tables {
		if t.catalog == nil {
			continue
		}
		for _, f := range t.catalog.Foreign {
			to := d.byName[f.Table]
			if to == nil || f.Period {
				continue
			}
			for i := range f.Columns {
				join(t.column(f.Columns[i]), to.column(f.References[i]))
			}
		}
	}
}

func join(a, b *column) {
	for _, c := range []*column{a, b} {
		if c.set == nil {
			c.set = &keySet{columns: []*column{c}}
		}
	}
	if a.set == b.set {
		return
	}
	from, into := b.set, a.set
	if len(from.columns) > len(into.columns) {
		from, into = into, from
	}
	for _, c := range from.columns {
		c.set = into
	}
	into.columns = append(into.columns, from.columns...)
}

// decideKey marks a key that the mapping makes a UUID.
func (d *decider) decideKey(t *table) {
	mode := t.rule.Key
	if mode == "" {
		mode = d.rules.Keys
	}
	if len(t.key) == 0 {
		if t.rule.Key == mapping.KeyUUID {
			d.about(t, Refuse, KindNoKey, "", "", "The mapping makes its key a UUID, and no key is known.", `Name its columns in the mapping: "primaryKey".`)
		}
		d.aboutNoKey(t)
		return
	}
	if mode != mapping.KeyUUID {
		return
	}
	if len(t.key) == 1 {
		c := t.key[0]
		if baseType(c.typ.Name) == "uuid" {
			return // it is one
		}
		if c.set == nil {
			c.set = &keySet{columns: []*column{c}}
		}
		c.set.uuid = true
		return
	}
	if !d.canBeKey(t.key, t.keyName) {
		return
	}
	t.uuid = &column{
		table: t, from: t.key, to: "uuid", rule: &mapping.ColumnRule{}, name: t.freeName(t.rule.KeyColumn, "id", t.source.Name+"_id"),
		as: change.Conversion{Kind: change.AsUUID, Namespace: d.namespace, Of: t.source},
	}
	d.about(t, Convert, KindKeyUUID, t.uuid.name, t.keyName, fmt.Sprintf("Its key (%s) becomes the column %s, a UUID made of the values of all of them. The columns stay, unique as before.", namesOf(t.key), t.uuid.name),
		"New rows get a random one, or theirs by the rule, which the report has as SQL.")
	if t.rule.KeepKey != "" {
		d.about(t, Refuse, KindRule, "", t.keyName, "The mapping keeps its old key under a name, and the columns of a key of several stay anyway.", `Leave "keepKey" out.`)
	}
}

func (d *decider) aboutNoKey(t *table) {
	why := "It has no primary key: nothing tells its rows apart."
	if t.catalog == nil {
		why = "No key is known of it, because there is no catalog."
	}
	d.about(t, Keep, KindNoKey, "", "", why+" They are loaded once each, and a row that differs is found by its values only.", `Name its key in the mapping, if it has one: "primaryKey".`)
}

// canBeKey says whether columns have types whose equal values have one canonical
// text, and refuses them otherwise.
func (d *decider) canBeKey(columns []*column, name string) bool {
	ok := true
	for _, c := range columns {
		switch {
		case keyFamily(c.typ) == "" || c.domainOver("boolean"):
			ok = false
			d.about(c.table, Refuse, KindKeyUUID, c.source.Name, name, fmt.Sprintf("The mapping makes the key a UUID, and equal values of type %s may be spelt in several ways.", c.typ.Name), `Keep the key: "key": "keep".`)
		case c.catalog != nil && c.catalog.Nondeterministic:
			ok = false
			d.about(c.table, Refuse, KindKeyUUID, c.source.Name, name, fmt.Sprintf("The mapping makes the key a UUID, and its collation %s takes some different texts for equal, which would become different UUIDs.", c.catalog.Collation), `Keep the key: "key": "keep".`)
		}
	}
	return ok
}

// makeUUIDs makes UUIDs of all columns of a set. They are of the table whose key
// the others refer to in the end; where tables refer to each other in a circle,
// of the first by name.
func (d *decider) makeUUIDs(s *keySet) {
	slices.SortFunc(s.columns, func(a, b *column) int { return compareColumns(a, b) })
	if !d.canBeKey(s.columns, "") || !d.sameFamily(s) {
		return
	}
	var keys, roots []*column
	for _, c := range s.columns {
		if c.wholeKey() {
			keys = append(keys, c)
			if !c.refers() {
				roots = append(roots, c)
			}
		}
	}
	s.of = append(roots, keys...)[0].table.source
	for _, c := range s.columns {
		d.makeUUID(c, s)
	}
}

func (d *decider) makeUUID(c *column, s *keySet) {
	t := c.table
	explicit := t.rule.Key == mapping.KeyKeep && c.wholeKey()
	switch {
	case c.rule.Type != "" && c.rule.Type != "uuid":
		d.about(t, Refuse, KindRule, c.source.Name, "", fmt.Sprintf("The mapping gives it the type %s, and it holds the key of %s, which becomes a UUID.", c.rule.Type, spell(s.of)), `Leave the type out, or keep that key: "key": "keep".`)
		return
	case explicit:
		d.about(t, Refuse, KindRule, c.source.Name, t.keyName, fmt.Sprintf("The mapping keeps its key, and foreign keys join it with that of %s, which becomes a UUID.", spell(s.of)), "Keep both keys, or make both UUIDs.")
		return
	}
	if t.rule.KeepKey != "" && c.wholeKey() && !c.skipped {
		old := *c
		old.name, old.rule, old.set = t.rule.KeepKey, &mapping.ColumnRule{}, nil
		if old.catalog != nil { // it keeps values, and makes none
			plain := *old.catalog
			plain.Default, plain.Identity, plain.Generated, plain.Sequence = nil, "", "", nil
			old.catalog = &plain
		}
		c.keep = &old
	}
	// What its type would have become by itself is of no account any more.
	d.findings = slices.DeleteFunc(d.findings, func(f Finding) bool {
		return f.Table == t.source && f.Column == c.source.Name && slices.Contains([]string{KindTypeFit, KindTypeText, KindTypeWider}, f.Kind) && c.keep == nil
	})
	c.to, c.as = "uuid", change.Conversion{Kind: change.AsUUID, Namespace: d.namespace, Of: s.of}
	switch {
	case c.wholeKey() && s.of == t.source:
		d.about(t, Convert, KindKeyUUID, c.source.Name, t.keyName, "The key becomes a UUID that is made of its old value.", "The report has the rule as SQL, for programs that know the old key.")
	default:
		d.about(t, Convert, KindKeyUUID, c.source.Name, "", fmt.Sprintf("It holds the key of %s, and becomes the same UUID.", spell(s.of)), "")
	}
}

// sameFamily refuses a set of columns whose equal values have several canonical
// texts: date and timestamp, padded and other text.
func (d *decider) sameFamily(s *keySet) bool {
	for _, c := range s.columns[1:] {
		if first := s.columns[0]; keyFamily(c.typ) != keyFamily(first.typ) {
			d.about(c.table, Refuse, KindKeyUUID, c.source.Name, "", fmt.Sprintf("Foreign keys join it, of type %s, with %s of %s, of type %s: equal values would become different UUIDs.",
				c.typ.Name, first.source.Name, spell(first.table.source), first.typ.Name), `Give both one type in the source, or keep the key: "key": "keep".`)
			return false
		}
	}
	return true
}

func compareColumns(a, b *column) int {
	if n := compareNames(a.table.source, b.table.source); n != 0 {
		return n
	}
	return slices.Index(a.table.columns, a) - slices.Index(b.table.columns, b)
}

// wholeKey says whether the column is the whole of its table's key.
func (c *column) wholeKey() bool { return len(c.table.key) == 1 && c.table.key[0] == c }

// refers says whether a foreign key of the column's table refers by it to another
// table.
func (c *column) refers() bool {
	return c.table.catalog != nil && slices.ContainsFunc(c.table.catalog.Foreign, func(f catalog.ForeignKey) bool {
		return slices.Contains(f.Columns, c.source.Name) && f.Table != c.table.source
	})
}

// referUUIDs gives a table a column for each foreign key that refers to a key of
// several columns which became a UUID.
func (d *decider) referUUIDs(t *table) {
	if t.catalog == nil {
		return
	}
	for i := range t.catalog.Foreign {
		f := &t.catalog.Foreign[i]
		to := d.byName[f.Table]
		from := t.uuidOf(f, to)
		if from == nil {
			continue
		}
		for j, c := range from {
			if keyFamily(c.typ) != keyFamily(to.key[j].typ) {
				d.about(t, Refuse, KindKeyUUID, c.source.Name, f.Name, fmt.Sprintf("The foreign key %s compares it, of type %s, with %s of %s, of type %s: equal values would become different UUIDs.",
					f.Name, c.typ.Name, to.key[j].source.Name, spell(to.source), to.key[j].typ.Name), `Give both one type in the source, or keep the key: "key": "keep".`)
			}
		}
		if !d.canBeKey(from, f.Name) {
			continue
		}
		c := &column{
			table: t, from: from, of: f.Name, to: "uuid", rule: &mapping.ColumnRule{}, name: t.freeName("", to.source.Name+"_"+to.uuid.name),
			as: change.Conversion{Kind: change.AsUUID, Namespace: d.namespace, Of: to.source},
		}
		t.foreign = append(t.foreign, c)
		d.about(t, Convert, KindKeyUUID, c.name, f.Name, fmt.Sprintf("The foreign key (%s) refers to %s by the UUID that its key becomes, in the new column %s. The columns stay.", namesOf(from), spell(to.source), c.name), "")
	}
}

// uuidOf returns the columns of a foreign key in the order of the key that it
// refers to, where that is one of several columns and becomes a UUID; else nil.
func (t *table) uuidOf(f *catalog.ForeignKey, to *table) []*column {
	if to == nil || to.uuid == nil || f.Period || len(f.References) != len(to.key) {
		return nil
	}
	from := make([]*column, len(to.key))
	for i, key := range to.key {
		j := slices.Index(f.References, key.source.Name)
		if j < 0 {
			return nil
		}
		from[i] = t.column(f.Columns[j])
	}
	return from
}

// freeName returns a name for a column that the source does not have: the wanted
// one, or the first that no column of the target has, then numbered.
func (t *table) freeName(want string, others ...string) string {
	if want != "" {
		return want
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(t.columns, func(c *column) bool { return c.source.Name == name || c.rule.Name == name }) ||
			name == t.rule.KeepKey || slices.ContainsFunc(t.foreign, func(c *column) bool { return c.name == name }) || t.uuid != nil && t.uuid.name == name
	}
	for _, name := range others {
		if name = cut(name); !taken(name) {
			return name
		}
	}
	last := others[len(others)-1]
	for n := 2; ; n++ {
		if name := numbered(last, n); !taken(name) {
			return name
		}
	}
}

func namesOf(columns []*column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.source.Name
	}
	return strings.Join(names, ", ")
}

// widenIdentities makes bigint of identities where the target has no others, and
// of every column that a foreign key joins with them.
func (d *decider) widenIdentities() {
	small, any := d.profile.Feature(profile.SmallIdentity), d.profile.Feature(profile.Identity)
	if small.Has || !any.Has {
		return
	}
	for _, t := range d.tables {
		for _, c := range t.columns {
			if c.catalog == nil || c.catalog.Sequence == nil || c.as.Kind != change.AsIs || c.to != "integer" && c.to != "smallint" {
				continue
			}
			set := []*column{c}
			if c.set != nil {
				set = c.set.columns
			}
			for _, other := range set {
				if other.as.Kind == change.AsIs && (other.to == "integer" || other.to == "smallint") {
					d.about(other.table, Convert, KindTypeWider, other.source.Name, "", fmt.Sprintf("Its type %s becomes bigint, because it holds values of an identity, and the target's are of bigint alone%s.", other.to, by(small.Fact)), "")
					other.to = "bigint"
				}
			}
		}
	}
}
