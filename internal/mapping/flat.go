package mapping

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"godwit/internal/change"
)

// Tables is the rules for rows of tables: those of a PostgreSQL database, which
// have columns already. They are in a mapping file with "from": "postgresql":
//
//	{
//	  "version": 1, "from": "postgresql",
//	  "schemas": {"public": "shop"},
//	  "keys": "uuid", "namespace": "shop",
//	  "tables": {
//	    "public.orders": {
//	      "target": "purchase", "keepKey": "old_id",
//	      "columns": {"note": {"skip": true}, "total": {"name": "amount", "type": "numeric(12,2)"}},
//	      "filter": [{"column": "status", "in": ["test"], "not": true}]
//	    },
//	    "public.scratch": {"skip": true}
//	  }
//	}
//
// A table that is not named keeps name, columns and key. Names are as the database
// has them, upper and lower case told apart; one with a point or a quote in it is
// written in double quotes: "public.\"a.b\"".
type Tables struct {
	Schema    string            // target schema of every table; "" leaves it to Schemas
	Schemas   map[string]string // target schema by source schema; others keep theirs
	Keys      string            // what becomes of every primary key: KeyKeep (or ""), KeyUUID
	Namespace string            // of change.KeyUUID; "" is the name of the source's database
	Replace   bool              // tables that the target has are replaced
	Rules     []TableRule       // in file order
}

// What becomes of a primary key.
const (
	KeyKeep = "keep"
	KeyUUID = "uuid" // change.KeyUUID of it, and in every foreign key that refers to it
)

// A TableRule is the rules of one table.
type TableRule struct {
	Source change.TableName
	Skip   bool   // the table is not loaded; nothing else is set
	Schema string // of the target; "" is what Tables says
	Target string // name; "" keeps the source's
	Key    string // "" is what Tables says
	// KeyColumn names the column that the UUID of a key of several columns becomes;
	// "" leaves it to the assessment.
	KeyColumn string
	KeepKey   string       // name of the column that keeps the values of a key that becomes a UUID; "" keeps none
	Primary   []string     // columns of the key, of a table whose key no catalog tells
	Columns   []ColumnRule // in file order
	Filter    []change.Condition
}

// A ColumnRule is the rule of one column.
type ColumnRule struct {
	Source string
	Name   string // of the target; "" keeps it
	Type   string // of the target, as format_type spells it; "" leaves it to the profile
	Skip   bool   // the column is not loaded; nothing else is set
}

// Rule returns the rules of a table, or nil.
func (t *Tables) Rule(source change.TableName) *TableRule {
	for i := range t.Rules {
		if t.Rules[i].Source == source {
			return &t.Rules[i]
		}
	}
	return nil
}

// Column returns the rule of a column, or nil.
func (t *TableRule) Column(source string) *ColumnRule {
	for i := range t.Columns {
		if t.Columns[i].Source == source {
			return &t.Columns[i]
		}
	}
	return nil
}

// Skips says whether a column is not loaded.
func (t *TableRule) Skips(source string) bool {
	c := t.Column(source)
	return c != nil && c.Skip
}

// ParseTables reads a mapping file for rows of tables strictly. The error is
// FileErrors: everything that is wrong, each with line and column.
func ParseTables(src []byte) (*Tables, error) {
	root, err := parseSyntax(src)
	if err != nil {
		return nil, err
	}
	r := &flatReader{fileReader{src: src}}
	t := &Tables{}
	r.file(t, root)
	if err := r.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// A flatReader is a fileReader of rules for rows of tables.
type flatReader struct{ fileReader }

func (r *flatReader) file(t *Tables, n *syntaxNode) {
	if !r.object(n, "", "$schema", "version", "from", "schema", "schemas", "keys", "namespace", "replace", "tables") {
		return
	}
	if s := n.member("$schema"); s != nil {
		r.text(s, "$schema")
	}
	switch v := n.member("version"); {
	case v == nil:
		r.fail(n.offset, "", `has no member "version": write "version": 1`)
	case v.value != json.Number("1"):
		r.fail(v.offset, "version", "is not 1, the only version of mapping files")
	}
	switch f := n.member("from"); {
	case f == nil:
		r.fail(n.offset, "", `has no member "from": rules for rows of tables begin with "from": "postgresql"; without it they are for documents of a ledger`)
	case f.value != "postgresql":
		r.fail(f.offset, "from", `is not "postgresql", the only source of rows of tables`)
	}
	t.Schema = r.schema(n, "schema", "schema")
	if s := n.member("schemas"); s != nil {
		if t.Schema != "" {
			r.fail(s.offset, "schemas", `stands beside "schema", which is for all tables: leave one of them out`)
		}
		t.Schemas = r.schemas(s)
	}
	t.Keys = r.word(n, "", "keys", KeyUUID, KeyKeep)
	t.Namespace = r.namespace(n)
	t.Replace = r.flag(n, "", "replace")
	tables := n.member("tables")
	if tables == nil {
		return
	}
	if !tables.object() {
		r.fail(tables.offset, "tables", "is %s where an object is needed", tables.kind())
		return
	}
	for i, m := range tables.names {
		where := "tables." + pathName(m.text)
		name, err := ParseTableName(m.text)
		if err != nil {
			r.fail(m.offset, where, "%s", err)
			continue
		}
		if t.Rule(name) != nil {
			r.fail(m.offset, where, "the table is named twice")
		}
		t.Rules = append(t.Rules, r.table(t, name, where, tables.members[i]))
	}
}

// optionalName reads a member as an identifier; "" where there is none.
func (r *flatReader) optionalName(parent *syntaxNode, where, member string) string {
	n := parent.member(member)
	if n == nil {
		return ""
	}
	s, ok := r.text(n, where+"."+member)
	if ok {
		r.shortName(n.offset, where+"."+member, s)
	}
	return s
}

func (r *flatReader) shortName(offset int, where, s string) {
	before := len(r.errs)
	if r.identifier(offset, where, s); len(r.errs) == before && len(s) > maxName {
		r.fail(offset, where, "the name %q has %d bytes, more than %d: PostgreSQL would cut it; choose a shorter one", s, len(s), maxName)
	}
}

func (r *flatReader) schema(parent *syntaxNode, where, member string) string {
	n := parent.member(member)
	if n == nil {
		return ""
	}
	s, ok := r.text(n, where)
	if !ok {
		return ""
	}
	r.shortName(n.offset, where, s)
	if why := schemaWhy(s); why != "" && len(s) <= maxName {
		r.fail(n.offset, where, "%s", why)
	}
	return s
}

func (r *flatReader) schemas(n *syntaxNode) map[string]string {
	if !n.object() {
		r.fail(n.offset, "schemas", "is %s where an object is needed", n.kind())
		return nil
	}
	schemas := map[string]string{}
	for _, m := range n.names {
		r.shortName(m.offset, "schemas", m.text)
		schemas[m.text] = r.schema(n, "schemas."+pathName(m.text), m.text)
	}
	return schemas
}

// word reads a member that is one of some words; "" where there is none.
func (r *flatReader) word(parent *syntaxNode, where, member string, words ...string) string {
	n := parent.member(member)
	if n == nil {
		return ""
	}
	for _, w := range words {
		if n.value == w {
			return w
		}
	}
	r.fail(n.offset, strings.TrimPrefix(where+"."+member, "."), "is none of %q", words)
	return ""
}

func (r *flatReader) namespace(parent *syntaxNode) string {
	n := parent.member("namespace")
	if n == nil {
		return ""
	}
	s, ok := r.text(n, "namespace")
	if ok && (s == "" || strings.ContainsFunc(s, unicode.IsControl)) {
		r.fail(n.offset, "namespace", "is empty or has a control character")
	}
	return s
}

func (r *flatReader) table(t *Tables, source change.TableName, where string, n *syntaxNode) TableRule {
	rule := TableRule{Source: source}
	if n.object() && n.member("skip") != nil {
		if r.object(n, where, "skip") && !r.flag(n, where, "skip") {
			r.fail(n.offset, where, `"skip" is not true: leave it out`)
		}
		rule.Skip = true
		return rule
	}
	if !r.object(n, where, "schema", "target", "key", "keyColumn", "keepKey", "primaryKey", "columns", "filter") {
		return rule
	}
	rule.Schema = r.schema(n, where+".schema", "schema")
	rule.Target = r.optionalName(n, where, "target")
	rule.Key = r.word(n, where, "key", KeyUUID, KeyKeep)
	rule.KeyColumn = r.optionalName(n, where, "keyColumn")
	rule.KeepKey = r.optionalName(n, where, "keepKey")
	if key := rule.Key; key == KeyKeep || key == "" && t.Keys != KeyUUID {
		for _, member := range []string{"keyColumn", "keepKey"} {
			if m := n.member(member); m != nil {
				r.fail(m.offset, where+"."+member, `needs "key": "uuid", or "keys": "uuid" for the whole file`)
			}
		}
	}
	if p := n.member("primaryKey"); p != nil {
		rule.Primary = r.names(p, where+".primaryKey")
	}
	if c := n.member("columns"); c != nil {
		rule.Columns = r.columns(c, where+".columns")
	}
	if f := n.member("filter"); f != nil {
		rule.Filter = r.filter(f, where+".filter")
	}
	return rule
}

func (r *flatReader) names(n *syntaxNode, where string) []string {
	if !n.list() || len(n.members) == 0 || len(n.members) > 32 {
		r.fail(n.offset, where, "is not a list of 1 to 32 column names")
		return nil
	}
	var names []string
	for i, m := range n.members {
		at := where + "[" + strconv.Itoa(i) + "]"
		s, ok := r.text(m, at)
		if !ok {
			continue
		}
		r.shortName(m.offset, at, s)
		for _, other := range names {
			if other == s {
				r.fail(m.offset, at, "column %q is repeated", s)
			}
		}
		names = append(names, s)
	}
	return names
}

func (r *flatReader) columns(n *syntaxNode, where string) []ColumnRule {
	if !n.object() {
		r.fail(n.offset, where, "is %s where an object is needed", n.kind())
		return nil
	}
	var rules []ColumnRule
	for i, m := range n.names {
		at, c := where+"."+pathName(m.text), n.members[i]
		r.shortName(m.offset, at, m.text)
		rule := ColumnRule{Source: m.text}
		switch {
		case c.object() && c.member("skip") != nil:
			if r.object(c, at, "skip") && !r.flag(c, at, "skip") {
				r.fail(c.offset, at, `"skip" is not true: leave it out`)
			}
			rule.Skip = true
		case !r.object(c, at, "name", "type"):
		case len(c.names) == 0:
			r.fail(c.offset, at, `says nothing: give a "name" or a "type", or "skip": true`)
		default:
			rule.Name = r.optionalName(c, at, "name")
			if t := c.member("type"); t != nil {
				rule.Type = r.columnType(t, at+".type")
			}
		}
		for _, other := range rules {
			if rule.Name != "" && other.Name == rule.Name {
				r.fail(c.offset, at, "columns %q and %q get the same name %q: rename one", other.Source, rule.Source, rule.Name)
			}
		}
		rules = append(rules, rule)
	}
	return rules
}

// columnType reads a type as the file spells it and returns format_type's spelling.
func (r *flatReader) columnType(n *syntaxNode, where string) string {
	s, ok := r.text(n, where)
	if !ok {
		return ""
	}
	t, err := ParseType(s)
	switch {
	case err != nil:
		r.fail(n.offset, where, "%s", err)
		return ""
	case t.Array:
		r.fail(n.offset, where, "is an array: an array column keeps its type or becomes text")
		return ""
	case t.Kind == change.Text && t.Length > 0:
		return fmt.Sprintf("character varying(%d)", t.Length)
	case t.Kind == change.Time:
		return "time without time zone"
	case t.Kind == change.Timestamp && t.Zone:
		return "timestamp with time zone"
	case t.Kind == change.Timestamp:
		return "timestamp without time zone"
	}
	return s
}

func (r *flatReader) filter(n *syntaxNode, where string) []change.Condition {
	if !n.list() || len(n.members) == 0 {
		r.fail(n.offset, where, "is not a list of conditions")
		return nil
	}
	var list []change.Condition
	for i, m := range n.members {
		at := where + "[" + strconv.Itoa(i) + "]"
		if !r.object(m, at, "column", "in", "null", "not") {
			continue
		}
		if m.member("column") == nil {
			r.fail(m.offset, at, `has no member "column"`)
		}
		c := change.Condition{Column: r.optionalName(m, at, "column"), Null: r.flag(m, at, "null"), Not: r.flag(m, at, "not")}
		in := m.member("in")
		switch {
		case in == nil && !c.Null:
			r.fail(m.offset, at, `says nothing of the column: give "in", a list of texts, or "null": true`)
		case in != nil && (!in.list() || len(in.members) == 0):
			r.fail(in.offset, at+".in", "is not a list of texts")
		case in != nil:
			for j, v := range in.members {
				if s, ok := r.text(v, at+".in["+strconv.Itoa(j)+"]"); ok {
					c.In = append(c.In, s)
				}
			}
		}
		list = append(list, c)
	}
	return list
}

// ParseTableName reads the name of a table with its schema: public.orders, in
// double quotes where a name has a point or a quote: "my.schema"."orders". Unlike
// in SQL, upper case stays.
func ParseTableName(text string) (change.TableName, error) {
	schema, rest, err := cutTableName(text)
	if err == nil && strings.HasPrefix(rest, ".") {
		var name string
		if name, rest, err = cutTableName(rest[1:]); err == nil && rest == "" {
			for _, s := range []string{schema, name} {
				if s == "" || len(s) > maxName || strings.IndexByte(s, 0) >= 0 {
					return change.TableName{}, fmt.Errorf("%q is no table: a name has 1 to %d bytes and no NUL", text, maxName)
				}
			}
			return change.TableName{Schema: schema, Name: name}, nil
		}
	}
	if err != nil {
		return change.TableName{}, err
	}
	return change.TableName{}, fmt.Errorf("%q is no table with its schema: write it as public.orders, and names with a point in them in double quotes", text)
}

// cutTableName takes a name, quoted or up to a point, from the beginning of text.
func cutTableName(text string) (name, rest string, err error) {
	quoted, ok := strings.CutPrefix(text, `"`)
	if !ok {
		i := strings.IndexAny(text, `."`)
		if i < 0 {
			return text, "", nil
		}
		return text[:i], text[i:], nil
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(quoted, '"')
		if i < 0 {
			return "", "", fmt.Errorf("%q has a quote that does not end", text)
		}
		b.WriteString(quoted[:i])
		if quoted = quoted[i+1:]; !strings.HasPrefix(quoted, `"`) {
			return b.String(), quoted, nil
		}
		b.WriteByte('"')
		quoted = quoted[1:]
	}
}
