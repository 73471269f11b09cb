package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"godwit/internal/change"
)

// Bounds of a draft. A struct with more fields than make columns of their own
// stays one jsonb value; so does the whole document beside the first columns.
const (
	maxDraftColumns  = 200
	maxNestedColumns = 32
	maxNotes         = 50
)

// A Draft is a mapping file with rules proposed for ledger tables that it had
// none for. The proposed rules map every document that was observed without
// refusing one: a struct becomes a column for each of its fields (where an empty
// one is as if absent), a list of values of one type an array, what differs in
// kind jsonb. Notes say, by ledger table, what a person should look at: kinds that
// differ, what is left out because no column holds it, what texts were taken for.
// They hold field names and counts, never values; of very many, the first.
type Draft struct {
	File  []byte
	Notes map[string][]string
}

// AddDrafts adds rules for each table of shapes that the mapping file does not
// name, be it to skip it. The error is that of Parse.
func AddDrafts(file []byte, shapes map[string]*Shape) (Draft, error) {
	f, err := Parse(file)
	if err != nil {
		return Draft{}, err
	}
	var src struct {
		JSONSchema string                 `json:"$schema"`
		Tables     map[string]*draftTable `json:"tables"`
	}
	if err := json.Unmarshal(file, &src); err != nil {
		return Draft{}, err
	}
	if src.Tables == nil {
		src.Tables = map[string]*draftTable{}
	}
	var targets targetNames
	for i := range f.tables {
		if t := &f.tables[i]; !t.skip {
			if err := targets.add(t.target, t.source); err != nil {
				return Draft{}, fmt.Errorf("table %s: %w", pathName(t.source), err)
			}
		}
	}
	draft := Draft{Notes: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		if _, named := src.Tables[name]; named || !utf8.ValidString(name) || name == "" {
			continue
		}
		d := drafter{table: &draftTable{}}
		d.document(shapes[name])
		base := SnakeCase(name)
		if base == "" {
			base = "unnamed"
		}
		d.table.Target = unique(base, maxName-len(HistorySuffix), func(target string) bool { return targets.add(target, name) == nil })
		if more := len(d.notes) - maxNotes; more > 0 {
			d.notes = append(d.notes[:maxNotes], fmt.Sprintf("and %d more", more))
		}
		src.Tables[name], draft.Notes[name] = d.table, d.notes
	}
	if draft.File, err = layOut(src.JSONSchema, f.Schema, src.Tables); err != nil {
		return Draft{}, err
	}
	if _, err := Parse(draft.File); err != nil {
		return Draft{}, fmt.Errorf("read the drafted mapping file: %w", err)
	}
	return draft, nil
}

type draftTable struct {
	Skip    bool              `json:"skip"`
	Target  string            `json:"target"`
	Columns []json.RawMessage `json:"columns"`
	Indexes []json.RawMessage `json:"indexes"`
}

type draftColumn struct {
	Name            string `json:"name"`
	Path            string `json:"path"`
	Type            string `json:"type"`
	List            string `json:"list,omitempty"`
	DropAnnotations bool   `json:"dropAnnotations,omitempty"`
}

// A drafter collects the columns of one table.
type drafter struct {
	table *draftTable
	names map[string]bool // of columns, in small letters
	notes []string
	whole bool // something is in the whole document alone
}

// note notes something about the path, which a terminal may show: its control
// characters are escaped.
func (d *drafter) note(path, format string, args ...any) {
	if strings.ContainsFunc(path, unicode.IsControl) {
		path = strconv.Quote(path)
	}
	d.notes = append(d.notes, path+": "+fmt.Sprintf(format, args...))
}

const docPath = "$doc"

// document drafts the columns of a table.
func (d *drafter) document(s *Shape) {
	root := &s.Root
	switch {
	case s.Documents == 0:
		d.note(docPath, "no document was seen, deletions and redactions at most")
		d.whole = true
	case root.Kinds[change.Struct] != s.Documents:
		d.note(docPath, "some documents are no structs (%s): columns need structs", root.Kinds)
		d.whole = true
	default:
		d.fields(root, "", nil)
		if root.Unfollowed > 0 {
			d.note(docPath, "the fields are too many to tell all of them apart: doc holds them all")
			d.whole = true
		}
		if root.Odd.Annotated > 0 {
			d.note(docPath, "%d documents have annotations, which no column holds", root.Odd.Annotated)
		}
	}
	if why := root.holdable(); d.whole && why != "" {
		d.note(docPath, "left out, because jsonb cannot hold it: %s", why)
	} else if d.whole {
		d.column("doc", docPath, "jsonb", root)
	}
	if len(d.table.Columns) == 0 {
		empty := Field{}
		if s.Documents > 0 && len(root.Fields) == 0 && root.holdable() == "" {
			d.column("doc", docPath, "jsonb", root)
		} else {
			d.column("id", "$docId", "text", &empty)
		}
	}
}

// fields drafts columns for the fields of a struct. path is as files spell it.
func (d *drafter) fields(f *Field, path string, names []string) {
	for _, c := range f.Fields {
		at := joinPath(path, c.Name)
		name := SnakeCase(c.Name)
		if name == "" {
			name = "field"
		}
		d.field(c, at, append(names[:len(names):len(names)], name))
	}
}

func (d *drafter) field(f *Field, path string, names []string) {
	apart := f.Kinds.only(change.Struct) && len(f.Fields) > 0 // a column for each of its fields
	typ, why := f.column()
	switch {
	case f.Twice > 0:
		d.note(path, "left out: %d structs have the field more than once, and no column holds that", f.Twice)
		return
	case len(d.table.Columns) >= maxDraftColumns:
		if !d.whole {
			d.note(path, "this and all behind it is in doc alone: a draft has %d columns at most", maxDraftColumns)
		}
		d.whole = true
		return
	case apart && (why != "" || f.Unfollowed == 0 && f.Odd.Annotated == 0 && f.leaves() <= maxNestedColumns):
		d.fields(f, path, names)
		if f.Unfollowed > 0 {
			d.note(path, "%d values are left out, whose fields are too many to tell apart: jsonb cannot hold the whole: %s", f.Unfollowed, why)
		}
		if f.Odd.Annotated > 0 {
			d.note(path, "%d structs have annotations, which no column holds", f.Odd.Annotated)
		}
		return
	case why != "":
		d.note(path, "left out, because no column holds all of its values (%s): %s", f.Kinds, why)
		return
	}
	switch {
	case f.Kinds.Sum() == f.Kinds[change.Null]:
		d.note(path, "always null: give it the type that later values will have")
	case typ == "jsonb" && !f.Kinds.only(change.List) && !f.Kinds.only(change.Struct):
		d.note(path, "values of different kinds (%s), as jsonb", f.Kinds)
	case f.Times.Texts > 0 && typ != "text":
		d.note(path, "all texts are dates or times: %s keeps what they mean, text would keep how they are written", typ)
	case typ == "uuid":
		d.note(path, "all texts are UUIDs")
	}
	d.column(strings.Join(names, "_"), path, typ, f)
}

// column adds a column for what f saw.
func (d *drafter) column(name, path, typ string, f *Field) {
	c := draftColumn{Path: path, Type: typ}
	if n := f.annotated(); n > 0 {
		c.DropAnnotations = true
		d.note(path, "%d values have annotations, which are dropped: without \"dropAnnotations\" their revisions are set aside", n)
	}
	if strings.HasSuffix(typ, "[]") {
		c.List = "array"
	}
	if d.names == nil {
		d.names = map[string]bool{}
		for _, s := range reserved {
			d.names[s] = true
		}
	}
	c.Name = unique(name, maxName, func(s string) bool {
		folded := strings.ToLower(s)
		free := !d.names[folded]
		d.names[folded] = true
		return free
	})
	d.table.Columns = append(d.table.Columns, compact(c))
}

// column returns the type of a column that holds every value seen at f, or why
// there is none.
func (f *Field) column() (typ, why string) {
	if typ := f.plain(); typ != "" {
		return typ, ""
	}
	if e := f.Elements; f.Kinds.only(change.List) && e != nil && f.Unfollowed == 0 {
		if typ := e.plain(); typ != "" {
			return typ + "[]", ""
		}
	}
	return "jsonb", f.holdable()
}

// plain returns the type of a column of single values that holds every value
// seen at f and is not jsonb, or "".
func (f *Field) plain() string {
	switch k := &f.Kinds; {
	case k.only(change.Bool):
		return "boolean"
	case k.only(change.Float):
		return "double precision"
	case k.only(change.Bytes):
		return "bytea"
	case k.only(change.Int) && f.Wide == 0:
		return "bigint"
	case k.only(change.Int, change.Decimal) && f.Odd.NegativeZero == 0 && f.Odd.Beyond == 0:
		return "numeric"
	case k.only(change.Text, change.Timestamp, change.Date, change.Time, change.UUID) && f.Odd.NUL == 0 && f.Odd.NotUTF8 == 0:
		return f.textual()
	}
	return ""
}

// textual is plain for values that text holds.
func (f *Field) textual() string {
	values := f.Kinds.Sum() - f.Kinds[change.Null]
	t := &f.Times
	switch {
	case f.UUIDs == values:
		return "uuid"
	case t.Coarse+t.Days+t.Instant+t.Local != values || t.Coarse > 0 || t.Odd > 0:
	case t.Days == values:
		return "date"
	case t.Instant == values:
		return "timestamptz"
	case t.Days == 0 && t.Apart == 0:
		return "timestamp"
	}
	return "text"
}

// holdable says why jsonb cannot hold every value seen at f and below, or "".
// Annotations can be dropped.
func (f *Field) holdable() (why string) {
	switch o := &f.Odd; {
	case o.Repeated > 0:
		return "repeated field names"
	case o.NUL > 0:
		return "texts with a NUL character"
	case o.NotUTF8 > 0:
		return "texts that are not UTF-8"
	case o.NotFinite > 0:
		return "nan or infinite numbers"
	case o.NegativeZero > 0:
		return "negative zero"
	case o.Beyond > 0:
		return "numbers with more digits than numeric holds"
	}
	for _, c := range f.Fields {
		if c.Twice > 0 {
			return "repeated field names"
		}
		if strings.IndexByte(c.Name, 0) >= 0 {
			return "field names with a NUL character"
		}
		if why := c.holdable(); why != "" {
			return why
		}
	}
	if f.Elements != nil {
		return f.Elements.holdable()
	}
	return ""
}

// annotated counts the values at f and below that have annotations.
func (f *Field) annotated() int64 {
	n := f.Odd.Annotated
	for _, c := range f.Fields {
		n += c.annotated()
	}
	if f.Elements != nil {
		n += f.Elements.annotated()
	}
	return n
}

// leaves counts the columns that the fields of a struct become at most.
func (f *Field) leaves() int {
	n := 0
	for _, c := range f.Fields {
		n += max(1, c.leaves())
	}
	return n
}

// quoteName spells a field name as parsePath reads it.
func quoteName(name string) string {
	for i := range len(name) {
		if !plainName(name[i]) {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	if name == "" {
		return `""`
	}
	return name
}

// unique returns name, cut to limit bytes and with a number behind it where take
// refuses it without.
func unique(name string, limit int, take func(string) bool) string {
	for n := 1; ; n++ {
		suffix := ""
		if n > 1 {
			suffix = fmt.Sprintf("_%d", n)
		}
		head := name[:min(len(name), limit-len(suffix))]
		for !utf8.ValidString(head) {
			head = head[:len(head)-1]
		}
		if take(head + suffix) {
			return head + suffix
		}
	}
}

// layOut writes a mapping file with a line for each column and index.
func layOut(schema, name string, tables map[string]*draftTable) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{\n")
	if schema != "" {
		fmt.Fprintf(&b, "  \"$schema\": %s,\n", compact(schema))
	}
	fmt.Fprintf(&b, "  \"version\": 1,\n  \"schema\": %s,\n  \"tables\": {", compact(name))
	list := func(member string, of []json.RawMessage) error {
		fmt.Fprintf(&b, ",\n      %q: [", member)
		for i, x := range of {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n        ")
			if err := json.Compact(&b, x); err != nil {
				return err
			}
		}
		b.WriteString("\n      ]")
		return nil
	}
	for i, source := range slices.Sorted(maps.Keys(tables)) {
		t := tables[source]
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n    %s: {", compact(source))
		if t.Skip {
			b.WriteString(`"skip": true}`)
			continue
		}
		fmt.Fprintf(&b, "\n      \"target\": %s", compact(t.Target))
		if err := list("columns", t.Columns); err != nil {
			return nil, err
		}
		if len(t.Indexes) > 0 {
			if err := list("indexes", t.Indexes); err != nil {
				return nil, err
			}
		}
		b.WriteString("\n    }")
	}
	b.WriteString("\n  }\n}\n")
	return b.Bytes(), nil
}

// compact is v as JSON in one line; v is a string or a draftColumn, which always
// can be.
func compact(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}
