package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
)

// The versions of PostgreSQL that the query is written for.
const (
	oldest = 11
	newest = 18
)

// maxName is the greatest length of a name in PostgreSQL, in bytes.
const maxName = 63

// Parse reads the answer of catalog.sql strictly: an unknown version, member or
// word, a name that stands twice, and a reference to what the catalog does not
// have are errors, all of them in one.
func Parse(text []byte) (*Catalog, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	c := &Catalog{}
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("read catalog: %w: it must be what psql -XAtf catalog.sql writes", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read catalog: there is something behind its end: it must be what psql -XAtf catalog.sql writes, of one database")
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("read catalog: its version is %d and this program knows 1: make it with the catalog.sql of this program", c.Version)
	}
	if major := c.Server / 10000; major < oldest || major > newest {
		return nil, fmt.Errorf("read catalog: it is of PostgreSQL %d: versions %d to %d are known", major, oldest, newest)
	}
	slices.SortFunc(c.Tables, func(a, b Table) int { return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name)) })
	k := checker{catalog: c, tables: map[change.TableName]*Table{}}
	k.all()
	if len(k.errs) > 0 {
		return nil, fmt.Errorf("read catalog: %w", errors.Join(k.errs...))
	}
	return c, nil
}

// A checker collects what is wrong with a catalog.
type checker struct {
	catalog *Catalog
	tables  map[change.TableName]*Table
	errs    []error
}

func (k *checker) fail(where, format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (k *checker) name(where, name string) {
	switch {
	case name == "":
		k.fail(where, "a name is empty")
	case len(name) > maxName:
		k.fail(where, "the name %q has %d bytes, more than PostgreSQL's %d", name, len(name), maxName)
	case !utf8.ValidString(name), strings.IndexByte(name, 0) >= 0:
		k.fail(where, "the name %q is no text", name)
	}
}

func (k *checker) oneOf(where, what, word string, known ...string) {
	if !slices.Contains(known, word) {
		k.fail(where, "%s is %q, which is none of %q", what, word, known)
	}
}

func (k *checker) all() {
	k.name("database", k.catalog.Database)
	for i := range k.catalog.Tables {
		t := &k.catalog.Tables[i]
		where := "table " + t.Schema + "." + t.Name
		k.name(where, t.Schema)
		k.name(where, t.Name)
		if k.tables[t.TableName()] != nil {
			k.fail(where, "it stands twice")
		}
		k.tables[t.TableName()] = t
	}
	for i := range k.catalog.Tables {
		k.table(&k.catalog.Tables[i])
	}
	for i := range k.catalog.Sequences {
		s := &k.catalog.Sequences[i]
		where := "sequence " + s.Schema + "." + s.Name
		k.name(where, s.Schema)
		k.name(where, s.Name)
		if s.Table != nil && (k.tables[*s.Table] == nil || k.tables[*s.Table].Column(s.Column) == nil) {
			k.fail(where, "it is owned by column %q of a table that is not here", s.Column)
		}
	}
}

func (k *checker) table(t *Table) {
	where := "table " + t.Schema + "." + t.Name
	k.oneOf(where, "its kind", t.Kind, Ordinary, Partitioned, Foreign)
	parents := t.Inherits
	if t.PartitionOf != nil {
		parents = append(slices.Clone(parents), *t.PartitionOf)
	}
	for _, p := range parents {
		if k.tables[p] == nil {
			k.fail(where, "its parent %s.%s is not here", p.Schema, p.Name)
		}
	}
	seen := map[string]bool{}
	for i := range t.Columns {
		c := &t.Columns[i]
		if seen[c.Name] {
			k.fail(where, "column %q stands twice", c.Name)
		}
		seen[c.Name] = true
		k.column(where+" column "+c.Name, t, c)
	}
	constraints := map[string]bool{}
	constraint := func(name string) string {
		where := where + " constraint " + name
		k.name(where, name)
		if constraints[name] {
			k.fail(where, "it stands twice")
		}
		constraints[name] = true
		return where
	}
	for _, key := range t.keys() {
		at := constraint(key.Name)
		k.columns(at, t, key.Columns, 1)
		k.columns(at, t, key.Include, 0)
	}
	for i := range t.Foreign {
		k.foreign(constraint(t.Foreign[i].Name), t, &t.Foreign[i])
	}
	for _, c := range t.Checks {
		k.expression(constraint(c.Name), t, &c.Expression)
	}
	for _, name := range t.Exclusions {
		constraint(name)
	}
	for i := range t.Indexes {
		k.index(where+" index "+t.Indexes[i].Name, t, &t.Indexes[i])
	}
}

// keys returns the primary key and the UNIQUE constraints.
func (t *Table) keys() []Key {
	if t.Key == nil {
		return t.Uniques
	}
	return append([]Key{*t.Key}, t.Uniques...)
}

func (k *checker) column(where string, t *Table, c *Column) {
	k.name(where, c.Name)
	k.typ(where, &c.Type)
	k.oneOf(where, "generated", c.Generated, "", "stored", "virtual")
	k.oneOf(where, "identity", c.Identity, "", "ALWAYS", "BY DEFAULT")
	if c.Default != nil {
		k.expression(where, t, c.Default)
	} else if c.Generated != "" {
		k.fail(where, "it is generated, by nothing")
	}
	for _, check := range c.DomainChecks {
		k.name(where, check.Name)
	}
}

func (k *checker) typ(where string, t *Type) {
	k.oneOf(where, "the class of its type", t.Class, Base, Array, Enum, Composite, Range)
	if t.Name == "" {
		k.fail(where, "its type has no name")
	}
	if t.Element != nil {
		k.oneOf(where, "the class of its elements", t.Element.Class, Base, Array, Enum, Composite, Range)
	}
	if (t.Class == Array) != (t.Element != nil) {
		k.fail(where, "its type %s is an array without elements, or elements without an array", t.Name)
	}
}

// columns checks that a table has these columns, at least so many, none twice.
func (k *checker) columns(where string, t *Table, names []string, least int) {
	if len(names) < least {
		k.fail(where, "it has no columns")
	}
	for i, name := range names {
		if t.Column(name) == nil {
			k.fail(where, "there is no column %q", name)
		}
		if slices.Contains(names[:i], name) {
			k.fail(where, "column %q stands twice", name)
		}
	}
}

// systemColumns are what an expression may read beside columns; "*" is the row.
var systemColumns = []string{"*", "tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"}

func (k *checker) expression(where string, t *Table, e *Expression) {
	if e.SQL == "" {
		k.fail(where, "it is empty")
	}
	for _, name := range e.Columns {
		if t.Column(name) == nil && !slices.Contains(systemColumns, name) {
			k.fail(where, "it reads column %q, which is not there", name)
		}
	}
}

func (k *checker) foreign(where string, t *Table, f *ForeignKey) {
	k.columns(where, t, f.Columns, 1)
	k.columns(where, t, f.DeleteColumns, 0)
	k.oneOf(where, "match", f.Match, "SIMPLE", "FULL")
	for _, action := range []string{f.OnUpdate, f.OnDelete} {
		k.oneOf(where, "an action", action, "NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
	}
	to := k.tables[f.Table]
	if to == nil {
		k.fail(where, "it references %s.%s, which is not here", f.Table.Schema, f.Table.Name)
		return
	}
	k.columns(where, to, f.References, 1)
	if len(f.Columns) != len(f.References) {
		k.fail(where, "%d columns reference %d", len(f.Columns), len(f.References))
	}
}

func (k *checker) index(where string, t *Table, x *Index) {
	k.name(where, x.Name)
	k.name(where, x.Method)
	if len(x.Keys) == 0 {
		k.fail(where, "it has no keys")
	}
	for _, key := range x.Keys {
		k.oneOf(where, "an order", key.Order, "", "DESC", "DESC NULLS LAST", "NULLS FIRST")
		switch {
		case (key.Column == "") == (key.Expression == nil):
			k.fail(where, "a key is neither a column nor an expression, or both")
		case key.Expression != nil:
			k.expression(where, t, key.Expression)
		case t.Column(key.Column) == nil:
			k.fail(where, "there is no column %q", key.Column)
		}
	}
	k.columns(where, t, x.Include, 0)
	if x.Where != nil {
		k.expression(where, t, x.Where)
	}
}
