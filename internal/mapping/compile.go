package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
)

// HistorySuffix makes the name of a history table of its current table's name.
const HistorySuffix = "_audit_log"

// countsTable is the table that every load makes beside those of the ledger.
const countsTable = "table_counts"

// The columns that every target table, or its history, has beside the mapped
// ones.
const (
	DocIDColumn         = "doc_id"
	VersionColumn       = "version"
	AuditColumn         = "ql_audit"
	OperationColumn     = "operation"
	TransactionIDColumn = "transaction_id"
)

// reserved names cannot be mapped columns: ours, and PostgreSQL's system columns.
var reserved = []string{
	DocIDColumn, VersionColumn, AuditColumn, OperationColumn, TransactionIDColumn,
	"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid",
}

// A Mapping is a compiled mapping file. It and its plans reuse buffers: one
// goroutine, one Mapping.
type Mapping struct {
	Schema string
	fields *change.Fields
	plans  map[string]*Plan
	names  targetNames
	mapped []string
	recent [16]*Plan // of plans, to find most without hashing
}

// Compile checks the rules of f against each other, registers the field names
// of its paths with fields (which a source then looks up), and compiles a plan
// for every table of the file. The error is FileErrors: everything that is wrong.
func Compile(f *File, fields *change.Fields) (*Mapping, error) {
	m := &Mapping{Schema: f.Schema, fields: fields, plans: map[string]*Plan{}, mapped: f.Sources()}
	r := &fileReader{src: f.src}
	if why := schemaWhy(f.Schema); why != "" {
		r.fail(f.offset, "schema", "%s", why)
	}
	for i := range f.tables {
		t := &f.tables[i]
		if t.skip {
			m.plans[t.source] = &Plan{Source: t.source, Skip: true}
			continue
		}
		where := "tables." + pathName(t.source)
		if err := m.names.add(t.target, t.source); err != nil {
			r.fail(t.targetOffset, where+".target", "%s", err)
		}
		checkColumns(r, t, where)
		m.plans[t.source] = compileTable(t, fields)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return m, nil
}

func schemaWhy(name string) string {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("the name %q has %d bytes, more than %d: PostgreSQL would cut it; choose a shorter one", name, len(name), maxName)
	case strings.HasPrefix(strings.ToLower(name), "pg_"), strings.EqualFold(name, "information_schema"):
		return fmt.Sprintf("the schema %q belongs to PostgreSQL: choose another", name)
	case strings.EqualFold(name, "godwit"):
		return `the schema "godwit" holds the bookkeeping: choose another`
	}
	return ""
}

func checkColumns(r *fileReader, t *fileTable, where string) {
	for i := range t.columns {
		c := &t.columns[i]
		at := fmt.Sprintf("%s.columns[%d].name", where, i)
		if len(c.name) > maxName {
			r.fail(c.nameOffset, at, "the name %q has %d bytes, more than %d: PostgreSQL would cut it; choose a shorter one", c.name, len(c.name), maxName)
		}
		if slices.ContainsFunc(reserved, func(s string) bool { return strings.EqualFold(s, c.name) }) {
			r.fail(c.nameOffset, at, "the column name %q is reserved: choose another", c.name)
		}
		for _, earlier := range t.columns[:i] {
			if earlier.name == c.name {
				r.fail(c.nameOffset, at, "column %q is repeated: rename one", c.name)
				break
			}
			if strings.EqualFold(earlier.name, c.name) {
				r.fail(c.nameOffset, at, "columns %q and %q differ only in case: rename one", earlier.name, c.name)
				break
			}
		}
	}
	for i, x := range t.indexes {
		for j, name := range x.columns {
			at := fmt.Sprintf("%s.indexes[%d].columns[%d]", where, i, j)
			k := slices.IndexFunc(t.columns, func(c fileColumn) bool { return c.name == name })
			switch {
			case name == DocIDColumn, name == VersionColumn:
			case k < 0:
				r.fail(x.at[j], at, "the table has no column %q: name a column of its own, doc_id or version", name)
			case t.columns[k].typ.Kind == change.JSON:
				r.fail(x.at[j], at, "column %q is jsonb, whose values are often too long for an index: map what you look for to a column of its own", name)
			}
		}
	}
}

// targetNames knows which target table belongs to which ledger table.
type targetNames struct{ owner map[string]targetName } // by lower-case name

type targetName struct{ name, source string }

// add claims name and its history's for the ledger table source.
func (n *targetNames) add(name, source string) error {
	if n.owner == nil {
		n.owner = map[string]targetName{}
	}
	if len(name)+len(HistorySuffix) > maxName {
		return fmt.Errorf("the table name %q has %d bytes: with %q behind it more than %d, and PostgreSQL would cut it; choose a shorter target", name, len(name), HistorySuffix, maxName)
	}
	if name == countsTable {
		return fmt.Errorf("the target table of ledger table %q cannot be %s, which every load makes itself: choose another target", source, countsTable)
	}
	for _, s := range []string{name, name + HistorySuffix} {
		o, taken := n.owner[strings.ToLower(s)]
		switch {
		case !taken:
			continue
		case o.name == s && s == name && !strings.HasSuffix(s, HistorySuffix):
			return fmt.Errorf("ledger tables %q and %q have the same target table %q: choose another target for one", o.source, source, s)
		case o.name == s:
			return fmt.Errorf("target table %q of ledger table %q clashes with that of %q, because every table has another named <table>%s beside it: choose another target for one", s, source, o.source, HistorySuffix)
		}
		return fmt.Errorf("target tables %q of ledger table %q and %q of %q differ only in case: choose another target for one", s, source, o.name, o.source)
	}
	for _, s := range []string{name, name + HistorySuffix} {
		n.owner[strings.ToLower(s)] = targetName{s, source}
	}
	return nil
}

// Plan returns the plan for the ledger table called name; for one that the file
// does not mention it makes the default plan: snake_case name, the document as
// doc jsonb. Dropped and re-created tables share their name and so their plan.
func (m *Mapping) Plan(name string) (*Plan, error) {
	slot := &m.recent[0]
	if len(name) > 0 {
		slot = &m.recent[(len(name)+int(name[0]))%len(m.recent)]
	}
	if *slot != nil && (*slot).Source == name {
		return *slot, nil
	}
	if p, ok := m.plans[name]; ok {
		*slot = p
		return p, nil
	}
	target := SnakeCase(name)
	err := errors.New("it has no letter or digit to make a table name of")
	if target != "" {
		err = m.names.add(target, name)
	}
	if err != nil {
		return nil, fmt.Errorf("name a target table for ledger table %q: %w: give the table a \"target\" in the mapping file, or \"skip\": true", name, err)
	}
	p := compileTable(&fileTable{
		source: name, target: target,
		columns: []fileColumn{{name: "doc", typ: change.Type{Kind: change.JSON}, paths: []path{{text: "$doc", meta: wholeDocument}}}},
	}, m.fields)
	m.plans[name] = p
	return p, nil
}

// Check makes the plans of all these ledger tables and reports every name that
// cannot be a target table, whatever the order of the names: what Plan finds
// one at a time, known before any row is written.
func (m *Mapping) Check(names []string) error {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	var errs []error
	for _, name := range slices.Compact(sorted) {
		if _, err := m.Plan(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Sources returns the ledger tables that the file maps, in file order.
func (m *Mapping) Sources() []string { return slices.Clone(m.mapped) }

// SnakeCase is the default target name of a ledger table: VehicleRegistration
// becomes vehicle_registration, HTTPLog2 http_log2. Runs of other characters
// than letters and digits become one underscore.
func SnakeCase(name string) string {
	const (
		other = iota
		lower // or a digit
		upper
	)
	class := func(c byte) int {
		switch {
		case 'A' <= c && c <= 'Z':
			return upper
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c >= utf8.RuneSelf:
			return lower
		}
		return other
	}
	var b strings.Builder
	for i := range len(name) {
		c := class(name[i])
		if c == other {
			continue
		}
		before, after := other, other
		if i > 0 {
			before = class(name[i-1])
		}
		if i+1 < len(name) {
			after = class(name[i+1])
		}
		// A word begins behind another character, at a capital behind a small
		// letter, and at the last capital of an abbreviation.
		if b.Len() > 0 && (before == other || c == upper && (before == lower || after == lower)) {
			b.WriteByte('_')
		}
		if c == upper {
			b.WriteByte(name[i] + 'a' - 'A')
			continue
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// compileTable compiles the rules of one table, which have been checked.
func compileTable(t *fileTable, fields *change.Fields) *Plan {
	p := &Plan{Source: t.source, steps: []step{{slot: -1}}}
	for i := range t.columns {
		fc := &t.columns[i]
		c := column{
			name: fc.name, typ: fc.typ, notNull: fc.notNull,
			list: fc.list, separator: []byte(fc.separator), emptyNull: fc.emptyNull,
			base64: fc.base64, dropAnnotations: fc.dropAnnotations,
		}
		for _, fp := range fc.paths {
			a := alternative{path: fp, slot: -1}
			if fp.meta == inDocument {
				a.slot = p.slot(fp.head, int32(i), fields)
				for _, name := range fp.tail {
					a.tail = append(a.tail, fields.ID(name))
				}
			}
			c.paths = append(c.paths, a)
		}
		p.columns = append(p.columns, c)
	}
	p.hits = make([]int32, p.slots)
	p.seen = make([]uint64, len(p.steps))
	p.tables(t)
	p.values = make([]change.Value, len(p.History.Columns))
	return p
}

// slot returns the slot of the value at the end of names, and adds to the tree
// of steps what is missing.
func (p *Plan) slot(names []string, column int32, fields *change.Fields) int32 {
	at := int32(0)
	for _, name := range names {
		id := fields.ID(name)
		for int(id) >= len(p.steps[at].next) {
			p.steps[at].next = append(p.steps[at].next, 0)
		}
		child := p.steps[at].next[id]
		if child == 0 {
			child = int32(len(p.steps))
			p.steps[at].next[id] = child
			p.steps = append(p.steps, step{slot: -1, column: column})
		}
		at = child
	}
	if p.steps[at].slot < 0 {
		p.steps[at].slot = int32(p.slots)
		p.slots++
	}
	s := p.steps[at].slot
	// Whoever stops on the way marks every slot below as unreachable.
	walk := int32(0)
	for _, name := range names[:len(names)-1] {
		walk = p.steps[walk].next[fields.ID(name)]
		if !slices.Contains(p.steps[walk].below, s) {
			p.steps[walk].below = append(p.steps[walk].below, s)
		}
	}
	return s
}

// tables makes the shapes of the two target tables.
func (p *Plan) tables(t *fileTable) {
	p.Current = change.Table{Name: t.target, Key: []string{DocIDColumn}}
	p.History = change.Table{Name: t.target + HistorySuffix, Key: []string{DocIDColumn, VersionColumn}}
	for _, table := range []*change.Table{&p.Current, &p.History} {
		history := table == &p.History
		table.Columns = append(table.Columns,
			change.Column{Name: DocIDColumn, Type: change.Type{Kind: change.Text}, NotNull: true},
			change.Column{Name: VersionColumn, Type: change.Type{Kind: change.Int, Bits: 64}, NotNull: true})
		for _, c := range p.columns {
			// A deleted or redacted revision has no values, so history allows NULL.
			table.Columns = append(table.Columns, change.Column{Name: c.name, Type: c.typ, NotNull: c.notNull && !history})
		}
		table.Columns = append(table.Columns, change.Column{Name: AuditColumn, Type: change.Type{Kind: change.JSON}, NotNull: true})
		if history {
			table.Columns = append(table.Columns,
				change.Column{Name: OperationColumn, Type: change.Type{Kind: change.Text, Length: 1}, NotNull: true},
				change.Column{Name: TransactionIDColumn, Type: change.Type{Kind: change.Text}, NotNull: true})
		}
		for _, x := range t.indexes {
			// What is unique among live documents repeats among their revisions.
			table.Indexes = append(table.Indexes, change.Index{Columns: x.columns, Unique: x.unique && !history})
		}
	}
}
