package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/mapping"
)

// A table is a source's table that is loaded.
type table struct {
	source  change.TableName
	catalog *catalog.Table     // nil where no catalog has it
	rule    *mapping.TableRule // never nil
	columns []*column          // in the source's order
	key     []*column          // of the source's primary key, in its order
	keyName string
	// uuid is the target column of a key of several columns that becomes a UUID;
	// nil otherwise.
	uuid    *column
	foreign []*column // target columns of foreign keys to such keys
	plan    change.TablePlan
}

// A column is a column of the source, or one that the target has beside them.
type column struct {
	table   *table
	source  change.SourceColumn
	from    []*column // of a UUID that is made of several
	catalog *catalog.Column
	typ     catalog.Type
	rule    *mapping.ColumnRule // never nil
	skipped bool

	name string // in the target
	to   string // type in the target
	as   change.Conversion
	set  *keySet // columns that hold the same key, as foreign keys say
	keep *column // beside a key that becomes a UUID: its old values
	of   string  // of a foreign key's UUID: the constraint's name
}

func (t *table) column(source string) *column {
	for _, c := range t.columns {
		if c.source.Name == source {
			return c
		}
	}
	return nil
}

// gather finds the tables that are loaded.
func (d *decider) gather() {
	d.exports = map[change.TableName]*Table{}
	for i := range d.in.Export {
		d.exports[d.in.Export[i].Name] = &d.in.Export[i]
	}
	if d.in.Catalog != nil {
		for i := range d.in.Catalog.Tables {
			t := &d.in.Catalog.Tables[i]
			if t.PartitionOf != nil || d.skips(t.TableName()) {
				continue // a partition's rows come with the partitioned table's
			}
			if from, ok := d.isLoaded(t); ok {
				d.addTable(t.TableName(), t, from)
			}
		}
	}
	for i := range d.in.Export {
		e := &d.in.Export[i]
		switch {
		case d.skips(e.Name):
		case d.in.Catalog == nil:
			d.addTable(e.Name, nil, []*Table{e})
		case d.in.Catalog.Table(e.Name) == nil:
			d.add(Finding{
				Table: e.Name, Kind: KindNotInCatalog, Verdict: Refuse,
				Why: "The export has this table and the catalog does not: the catalog is of another database, or was read before the table was made or after it was dropped.",
				Do:  `Read the catalog of the database that the snapshot is of, or leave the table out: "skip": true.`,
			})
		}
	}
	slices.SortFunc(d.tables, func(a, b *table) int { return compareNames(a.source, b.source) })
}

func (d *decider) skips(name change.TableName) bool {
	r := d.rules.Rule(name)
	return r != nil && r.Skip
}

// addTable adds a table that is loaded from tables of the export: itself, or its
// partitions; none where there is no export yet.
func (d *decider) addTable(name change.TableName, cat *catalog.Table, from []*Table) {
	t := &table{source: name, catalog: cat, rule: d.rules.Rule(name)}
	if t.rule == nil {
		t.rule = &mapping.TableRule{Source: name}
	}
	if cat != nil {
		for i := range cat.Columns {
			t.addColumn(cat.Columns[i].Name, cat.Columns[i].Type, &cat.Columns[i])
		}
		for _, e := range from {
			d.compareColumns(t, e)
		}
	} else {
		for i := range from[0].Columns {
			d.exportColumn(t, &from[0].Columns[i])
		}
	}
	if len(from) > 0 && (len(from) > 1 || from[0].Name != name) {
		for _, e := range from {
			t.plan.Partitions = append(t.plan.Partitions, e.Name)
		}
	}
	d.tables = append(d.tables, t)
	d.byName[name] = t
}

func (t *table) addColumn(name string, typ catalog.Type, cat *catalog.Column) {
	// Without a length, as queries make it, bit holds any, and has no name that is a
	// type's of a table.
	if rest, ok := strings.CutPrefix(typ.Name, `"bit"`); ok && typ.Builtin {
		typ.Name = "bit varying" + rest
	}
	c := &column{table: t, catalog: cat, typ: typ, rule: t.rule.Column(name), source: change.SourceColumn{
		Name: name, Type: typ.Name, Enum: typ.Class == catalog.Enum, Domain: cat != nil && cat.Domain != "",
	}}
	if c.rule == nil {
		c.rule = &mapping.ColumnRule{Source: name}
	}
	c.skipped = c.rule.Skip
	t.columns = append(t.columns, c)
}

// compareColumns compares the columns of the catalog with those of the export.
func (d *decider) compareColumns(t *table, exp *Table) {
	for _, c := range t.columns {
		if c.skipped {
			continue
		}
		cat := c.catalog
		j := slices.IndexFunc(exp.Columns, func(e Column) bool { return e.Name == cat.Name })
		switch {
		case j < 0 && cat.Generated == "virtual":
			c.skipped = true
			d.about(t, Lost, KindGenerated, cat.Name, "", "The column is computed when it is read, and the export does not have it.", "Add it to the target's table after the load.")
		case j < 0:
			c.skipped = true
			d.about(t, Refuse, KindNotExported, cat.Name, "", "The catalog has this column and the export does not: it was added after the snapshot, or its type is not exported.",
				`Take another snapshot, or leave the column out: "skip": true.`)
		case !d.sameType(cat, exp.Columns[j].Type):
			d.about(t, Refuse, KindTypeChanged, cat.Name, "", fmt.Sprintf("The catalog says that its type is %s, and the export was made of %s: the column was altered between the two.", cat.Type.Name, exp.Columns[j].Type),
				"Take another snapshot, or give the catalog that was read when this one was taken.")
		default:
			d.exported(c, &exp.Columns[j])
		}
	}
	for _, e := range exp.Columns {
		if t.column(e.Name) == nil && !t.rule.Skips(e.Name) {
			d.about(t, Refuse, KindNotInCatalog, e.Name, "", "The export has this column and the catalog does not: it was dropped or renamed between the two.",
				`Give the catalog that was read when the snapshot was taken, or leave the column out: "skip": true.`)
		}
	}
}

// exportColumn takes a column of the export's metadata, where there is no catalog.
func (d *decider) exportColumn(t *table, e *Column) {
	name := d.typeOfExport(e)
	switch name {
	case "array", "other":
		// What it is an array of, or whose labels it has, the metadata does not say;
		// its text is what the export has.
		t.addColumn(e.Name, catalog.Type{Name: "text", Class: catalog.Base, Builtin: true}, nil)
		d.about(t, Convert, KindTypeText, e.Name, "", fmt.Sprintf("The export's metadata says no more of its type than %q, so that it becomes text, which holds every value as PostgreSQL writes it.", e.Type),
			"Give the catalog of the source if there is one left: it tells the type.")
	default:
		t.addColumn(e.Name, catalog.Type{Name: name, Class: catalog.Base, Builtin: true}, nil)
	}
	d.exported(t.column(e.Name), e)
}

// exported refuses a column that the export holds otherwise than it does its type.
// The values of a domain are text, whatever its base type is; where there is no
// catalog, that is all that tells of a domain.
func (d *decider) exported(c *column, e *Column) {
	switch {
	case c.skipped || !exportedOtherwise(c.typ, e.Exported):
	case exportedAsText(e.Exported) && c.source.Domain:
	case exportedAsText(e.Exported) && c.catalog == nil:
		c.source.Domain = true
		d.about(c.table, Convert, KindDomain, c.source.Name, "", fmt.Sprintf("The export has its type %s as text, as exports write domains; the target's column is of that type, without what the domain checks.", c.typ.Name),
			"Give the catalog of the source if there is one left: it tells the domain.")
	default:
		d.about(c.table, Refuse, KindTypeChanged, c.source.Name, "", fmt.Sprintf("Its type is %s, and the export has it as %s, which is not how exports of PostgreSQL write that type.", c.typ.Name, e.Exported),
			`Check that the export is of this database, or leave the column out: "skip": true.`)
	}
}

// isLoaded says whether an export carries a table, and as which tables of its own,
// and adds findings where it does not, or where a person has to look.
func (d *decider) isLoaded(t *catalog.Table) (from []*Table, ok bool) {
	name := t.TableName()
	ruled := d.rules.Rule(name) != nil
	switch own := d.exports[name]; {
	case t.Kind == catalog.Foreign:
		d.absent(t)
		return nil, false
	case t.Extension != "" && !ruled:
		d.add(Finding{Table: name, Kind: KindExtensionTable, Verdict: Lost, Why: fmt.Sprintf("It belongs to the extension %s, which fills it where it is created.", t.Extension), Do: "Name the table in the mapping to load it all the same."})
		return nil, false
	case t.Kind == catalog.Partitioned:
		return d.partitioned(t)
	case own != nil:
		from = []*Table{own}
	case d.absent(t):
		return nil, false
	}
	if children := d.children(name); len(children) > 0 && !ruled {
		d.add(Finding{
			Table: name, Kind: KindInherited, Verdict: Refuse,
			Why: fmt.Sprintf("Other tables inherit from it (%s), and whether the export has their rows in this table, too, is not documented: they may come twice.", list(children)),
			Do:  "Compare the counts, and name the table in the mapping to load what the export has of it.",
		})
	}
	if len(t.Inherits) > 0 {
		d.add(Finding{Table: name, Kind: KindInherited, Verdict: Lost, Why: fmt.Sprintf("It inherits from %s; in the target it is a table of its own.", spell(t.Inherits[0]))})
	}
	return from, true
}

// absent says why the export has nothing of a table, or, where there is no export
// yet, will have nothing; false where it will have it.
func (d *decider) absent(t *catalog.Table) bool {
	f := Finding{Table: t.TableName(), Verdict: Refuse}
	const leaveOut = `Or leave the table out: "skip": true.`
	switch odd := oddName(t); {
	case t.Kind == catalog.Foreign:
		f.Verdict, f.Kind, f.Why, f.Do = Lost, KindForeignTable, "It is a foreign table: its rows are in another server, and no snapshot has them.", "Make the foreign table in the target, or move its rows from where they are."
	case t.Unlogged:
		f.Kind, f.Why, f.Do = KindUnlogged, "It is an unlogged table, which exports leave out without a word.", "ALTER TABLE … SET LOGGED in the source and take another snapshot. "+leaveOut
	case odd != "":
		f.Kind, f.Why, f.Do = KindOddName, "Exports leave it out without a word, because of "+odd+".", "Rename it in the source and take another snapshot. "+leaveOut
	case d.in.Export == nil:
		return false
	case d.in.Partial:
		return true
	default:
		f.Kind, f.Why, f.Do = KindNotExported, "The catalog has this table and the export does not: it was made after the snapshot, or the export could not read it.", "Read the warnings of the export, and take another snapshot. "+leaveOut
	}
	d.add(f)
	return true
}

// children returns the tables that inherit from one, partitions apart.
func (d *decider) children(of change.TableName) (names []string) {
	for i := range d.in.Catalog.Tables {
		if t := &d.in.Catalog.Tables[i]; slices.Contains(t.Inherits, of) {
			names = append(names, spell(t.TableName()))
		}
	}
	return names
}

// oddName says which name of a table makes an export skip it; "" is none
// (docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-export-snapshot.Considerations.html).
func oddName(t *catalog.Table) string {
	if strings.Contains(t.Name, "/") {
		return "the slash in its name"
	}
	for _, c := range t.Columns {
		if i := strings.IndexAny(c.Name, ",;{}()\n\t= "); i >= 0 {
			return fmt.Sprintf("the character %q in the name of its column %q", c.Name[i], c.Name)
		}
	}
	return ""
}
