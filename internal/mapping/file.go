package mapping

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// maxName is the greatest length of an identifier, in bytes. PostgreSQL cuts a
// longer one without an error.
const maxName = 63

//go:embed dmv.json
var dmv string

//go:embed schema.json
var schema string

// DMV returns the mapping file of the vehicle registration ledger, with the
// columns of AWS's public migration sample.
func DMV() []byte { return []byte(dmv) }

// JSONSchema returns the JSON Schema (2020-12) of mapping files. It and Parse
// accept the same files; Compile refuses some of them for what names or paths
// do to each other.
func JSONSchema() []byte { return []byte(schema) }

// A File is a parsed mapping file. Its rules are not yet checked against each
// other: Compile does that.
type File struct {
	Schema string // target schema
	tables []fileTable
	src    []byte
	offset int // of Schema
}

type fileTable struct {
	source, target string
	skip           bool
	columns        []fileColumn
	indexes        []fileIndex
	offset         int
	targetOffset   int
}

type fileColumn struct {
	name            string
	typ             change.Type
	paths           []path
	notNull         bool
	list            listMode
	separator       string
	emptyNull       bool
	base64          bool
	dropAnnotations bool
	offset          int
	nameOffset      int
}

type fileIndex struct {
	columns []string
	unique  bool
	offset  int
	at      []int // offset of each column
}

// A listMode says what becomes of a list.
type listMode uint8

const (
	noList    listMode = iota // a list goes into jsonb only
	listJSON                  // into jsonb, also the elements that [*] picks
	listArray                 // into an array column
	listJoin                  // into one text, elements apart by a separator
)

// Parse reads a mapping file strictly. The error is FileErrors: everything that
// is wrong, each with line and column.
func Parse(src []byte) (*File, error) {
	root, err := parseSyntax(src)
	if err != nil {
		return nil, err
	}
	r := &fileReader{src: src}
	f := &File{src: append([]byte(nil), src...)}
	r.file(f, root)
	if err := r.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// Sources returns the names of the ledger tables that the file has rules for
// and does not skip, in file order.
func (f *File) Sources() []string {
	var names []string
	for i := range f.tables {
		if !f.tables[i].skip {
			names = append(names, f.tables[i].source)
		}
	}
	return names
}

// A fileReader collects what is wrong with a file.
type fileReader struct {
	src  []byte
	errs FileErrors
}

func (r *fileReader) fail(offset int, where, format string, args ...any) {
	line, column := lineColumn(r.src, offset)
	r.errs = append(r.errs, &FileError{Line: line, Column: column, Where: where, Why: fmt.Sprintf(format, args...)})
}

// err returns what was collected, in file order, or nil.
func (r *fileReader) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errs, func(a, b *FileError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.errs
}

// object checks that n is an object with no members but those allowed.
func (r *fileReader) object(n *syntaxNode, where string, allowed ...string) bool {
	if !n.object() {
		r.fail(n.offset, where, "is %s where an object is needed", n.kind())
		return false
	}
next:
	for _, m := range n.names {
		for _, a := range allowed {
			if m.text == a {
				continue next
			}
		}
		r.fail(m.offset, where, "unknown member %q: allowed are %s", m.text, strings.Join(allowed, ", "))
	}
	return true
}

func (r *fileReader) text(n *syntaxNode, where string) (string, bool) {
	s, ok := n.value.(string)
	if !ok {
		r.fail(n.offset, where, "is %s where a string is needed", n.kind())
	}
	return s, ok
}

// flag reads the member called name of parent, false when it is absent.
func (r *fileReader) flag(parent *syntaxNode, where, name string) bool {
	n := parent.member(name)
	if n == nil {
		return false
	}
	b, ok := n.value.(bool)
	if !ok {
		r.fail(n.offset, where+"."+name, "is %s where true or false is needed", n.kind())
	}
	return b
}

// name reads the member called member of parent as an identifier.
func (r *fileReader) name(parent *syntaxNode, where, member string) (string, int) {
	n := parent.member(member)
	if n == nil {
		r.fail(parent.offset, where, "has no member %q", member)
		return "", parent.offset
	}
	s, ok := r.text(n, where+"."+member)
	if ok {
		r.identifier(n.offset, where+"."+member, s)
	}
	return s, n.offset
}

func (r *fileReader) identifier(offset int, where, s string) {
	switch {
	case s == "":
		r.fail(offset, where, "is an empty name")
	case strings.IndexByte(s, 0) >= 0:
		r.fail(offset, where, "the name %q has a NUL character", s)
	case len([]rune(s)) > maxName:
		r.fail(offset, where, "the name %q has more than %d characters: PostgreSQL would cut it; choose a shorter one", s, maxName)
	}
}

func (r *fileReader) file(f *File, n *syntaxNode) {
	if !r.object(n, "", "$schema", "version", "schema", "tables") {
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
	f.Schema, f.offset = r.name(n, "", "schema")
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
		if m.text == "" {
			r.fail(m.offset, where, "is an empty name of a ledger table")
		}
		f.tables = append(f.tables, r.table(m, where, tables.members[i]))
	}
}

func (r *fileReader) table(name syntaxName, where string, n *syntaxNode) fileTable {
	t := fileTable{source: name.text, offset: name.offset}
	if n.object() && n.member("skip") != nil {
		if r.object(n, where, "skip") && !r.flag(n, where, "skip") {
			r.fail(n.offset, where, `"skip" is not true: leave it out and give "target" and "columns", or leave the whole table out to load it as doc jsonb`)
		}
		t.skip = true
		return t
	}
	if !r.object(n, where, "target", "columns", "indexes") {
		return t
	}
	t.target, t.targetOffset = r.name(n, where, "target")
	columns := n.member("columns")
	switch {
	case columns == nil:
		r.fail(n.offset, where, `has no member "columns"`)
	case !columns.list():
		r.fail(columns.offset, where+".columns", "is %s where a list is needed", columns.kind())
	case len(columns.members) == 0:
		r.fail(columns.offset, where+".columns", `is empty: name a column, or leave the table out to load it as doc jsonb`)
	default:
		for i, c := range columns.members {
			t.columns = append(t.columns, r.column(c, where+".columns["+strconv.Itoa(i)+"]"))
		}
	}
	if indexes := n.member("indexes"); indexes != nil {
		if !indexes.list() {
			r.fail(indexes.offset, where+".indexes", "is %s where a list is needed", indexes.kind())
			return t
		}
		for i, x := range indexes.members {
			t.indexes = append(t.indexes, r.index(x, where+".indexes["+strconv.Itoa(i)+"]"))
		}
	}
	return t
}

func (r *fileReader) index(n *syntaxNode, where string) fileIndex {
	x := fileIndex{offset: n.offset}
	if !r.object(n, where, "columns", "unique") {
		return x
	}
	x.unique = r.flag(n, where, "unique")
	columns := n.member("columns")
	if columns == nil || !columns.list() || len(columns.members) == 0 || len(columns.members) > 32 {
		r.fail(n.offset, where, `needs "columns", a list of 1 to 32 column names`)
		return x
	}
	for i, c := range columns.members {
		at := where + ".columns[" + strconv.Itoa(i) + "]"
		s, ok := r.text(c, at)
		if !ok {
			continue
		}
		r.identifier(c.offset, at, s)
		for _, other := range x.columns {
			if other == s {
				r.fail(c.offset, at, "column %q is repeated", s)
			}
		}
		x.columns = append(x.columns, s)
		x.at = append(x.at, c.offset)
	}
	return x
}

func (r *fileReader) column(n *syntaxNode, where string) fileColumn {
	c := fileColumn{offset: n.offset}
	if !r.object(n, where, "name", "path", "type", "notNull", "list", "separator", "empty", "encoding", "dropAnnotations") {
		return c
	}
	c.name, c.nameOffset = r.name(n, where, "name")
	c.notNull = r.flag(n, where, "notNull")
	c.dropAnnotations = r.flag(n, where, "dropAnnotations")
	c.paths = r.paths(n, where)
	typeKnown := false
	if t := n.member("type"); t == nil {
		r.fail(n.offset, where, `has no member "type"`)
	} else if s, ok := r.text(t, where+".type"); ok {
		typ, err := ParseType(s)
		if err != nil {
			r.fail(t.offset, where+".type", "%s", err)
		}
		c.typ, typeKnown = typ, err == nil
	}
	r.lists(&c, n, where)
	if e := n.member("encoding"); e != nil {
		if e.value != "base64" {
			r.fail(e.offset, where+".encoding", `is not "base64", the only encoding`)
		}
		c.base64 = true
	}
	if typeKnown {
		r.fits(&c, n, where)
	}
	return c
}

func (r *fileReader) paths(parent *syntaxNode, where string) []path {
	n := parent.member("path")
	where += ".path"
	if n == nil {
		r.fail(parent.offset, where, `is missing: write "path": "FieldName"`)
		return nil
	}
	texts := []*syntaxNode{n}
	if n.list() {
		texts = n.members
		if len(texts) == 0 {
			r.fail(n.offset, where, "is an empty list of paths")
		}
	}
	var paths []path
	for _, t := range texts {
		s, ok := r.text(t, where)
		if !ok {
			continue
		}
		p, err := parsePath(s)
		if err != nil {
			r.fail(t.offset, where, "%s", err)
			continue
		}
		for _, other := range paths {
			if other.text == p.text {
				r.fail(t.offset, where, "path %q is repeated", s)
			}
		}
		paths = append(paths, p)
	}
	return paths
}

func (r *fileReader) lists(c *fileColumn, n *syntaxNode, where string) {
	if l := n.member("list"); l != nil {
		switch l.value {
		case "json":
			c.list = listJSON
		case "array":
			c.list = listArray
		case "join":
			c.list = listJoin
		default:
			r.fail(l.offset, where+".list", `is not "json", "array" or "join"`)
		}
	}
	s := n.member("separator")
	switch {
	case s == nil && c.list == listJoin:
		r.fail(n.offset, where, `"list": "join" needs a "separator"`)
	case s != nil && c.list != listJoin:
		r.fail(s.offset, where+".separator", `needs "list": "join"`)
	case s != nil:
		text, ok := r.text(s, where+".separator")
		if ok && (text == "" || strings.IndexByte(text, 0) >= 0) {
			r.fail(s.offset, where+".separator", "is empty or has a NUL character")
		}
		c.separator = text
	}
	if e := n.member("empty"); e != nil {
		switch {
		case e.value != "null" && e.value != "text":
			r.fail(e.offset, where+".empty", `is not "null" or "text"`)
		case c.list != listJoin:
			r.fail(e.offset, where+".empty", `needs "list": "join"`)
		}
		c.emptyNull = e.value == "null"
	}
}

// fits checks list, encoding and paths against the type.
func (r *fileReader) fits(c *fileColumn, n *syntaxNode, where string) {
	name := TypeName(c.typ)
	switch {
	case c.typ.Array && c.list != listArray:
		r.fail(n.offset, where, `type %s needs "list": "array"`, name)
	case !c.typ.Array && c.list == listArray:
		r.fail(n.offset, where, `"list": "array" needs an array type: write "type": %q`, name+"[]")
	case c.list == listJSON && c.typ.Kind != change.JSON:
		r.fail(n.offset, where, `"list": "json" needs type jsonb, not %s`, name)
	case c.list == listJoin && c.typ.Kind != change.Text:
		r.fail(n.offset, where, `"list": "join" needs type text or varchar(n), not %s`, name)
	}
	if c.base64 && c.typ.Kind != change.Bytes {
		r.fail(n.offset, where, `"encoding": "base64" needs type bytea, not %s`, name)
	}
	for _, p := range c.paths {
		switch {
		case p.star && c.list == noList:
			r.fail(n.offset, where, `path %q runs over a list: say "list": "json", "array" or "join"`, p.text)
		case p.meta != inDocument && c.list != noList:
			r.fail(n.offset, where, `special path %q is not a list`, p.text)
		case p.meta != inDocument && len(c.paths) > 1:
			r.fail(n.offset, where, "special path %q is always there: it cannot be one of several", p.text)
		case p.meta == wholeDocument && c.typ.Kind != change.JSON:
			r.fail(n.offset, where, "special path $doc needs type jsonb, not %s", name)
		}
	}
}
