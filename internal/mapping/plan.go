package mapping

import (
	"strconv"
	"strings"

	"godwit/internal/change"
)

// A Plan maps the records of one ledger table. It reuses its buffers: a Row is
// valid until the next Map, and one goroutine uses a Plan.
type Plan struct {
	Source  string       // ledger table
	Skip    bool         // the file says to leave the table out: nothing else is set, and Map refuses
	History change.Table // every revision: doc_id, version, mapped columns, ql_audit, operation, transaction_id
	Current change.Table // the latest revision of live documents: doc_id, version, mapped columns, ql_audit

	columns []column
	steps   []step // tree of field names; steps[0] is the document
	slots   int

	// Per record.
	hits   []int32  // by slot: the node there; 0: none; -n: node n stands in the way
	seen   []uint64 // by step: the record that went through it last
	record uint64   // counts records
	values []change.Value
	buf    []byte // bytes of values that are not the record's own
	list   []byte
	json   jsonWriter

	auditOf auditText // of the record before
}

type column struct {
	name            string
	typ             change.Type
	notNull         bool
	paths           []alternative
	list            listMode
	separator       []byte
	emptyNull       bool
	base64          bool
	dropAnnotations bool
}

type alternative struct {
	path    path
	slot    int32            // of path.head; -1 for a special path
	tail    []change.FieldID // of path.tail
	present int64            // documents that had it
}

// A step is a field that some path goes through.
type step struct {
	next   []int32 // by FieldID: step; 0: no path goes there
	slot   int32   // of the paths that end here, or -1
	column int32   // that asked first, for messages
	below  []int32 // slots of the paths that go on from here
}

// Presence says how often a path led to something in the documents that a plan
// mapped. A path with Present 0 after a whole load is probably misspelled.
type Presence struct {
	Column    string
	Path      string
	Documents int64 // given to Map, refused ones included, deletions and redactions not
	Present   int64 // that had something at Path, be it null
}

// Presence returns the counts so far, per column and path in file order, special
// paths left out.
func (p *Plan) Presence() []Presence {
	var list []Presence
	for i := range p.columns {
		for _, a := range p.columns[i].paths {
			if a.path.meta == inDocument {
				list = append(list, Presence{p.columns[i].name, a.path.text, int64(p.record), a.present})
			}
		}
	}
	return list
}

// Map makes the history row of rec. The error is always a *ValueError, for the
// record as a whole: no part of it may be stored.
func (p *Plan) Map(rec *change.Record) (change.Row, error) {
	if p.Skip || len(p.values) == 0 {
		return change.Row{}, p.refuse(rec, nil, DocIDColumn, "$docId", change.Text, "the mapping skips this table: do not map its records")
	}
	p.buf = p.buf[:0]
	v := p.values
	if why := idWhy(rec.Key); why != "" {
		return change.Row{}, p.refuse(rec, nil, DocIDColumn, "$docId", change.Text, why)
	}
	if why := idWhy(rec.Tx); why != "" {
		return change.Row{}, p.refuse(rec, nil, TransactionIDColumn, "$txId", change.Text, why)
	}
	v[0] = change.Value{Kind: change.Text, Bytes: rec.Key}
	v[1] = change.Value{Kind: change.Int, Int: int64(rec.Version)}
	n := len(p.columns)
	mapped := v[2 : 2+n]
	switch {
	case rec.Deleted || rec.Redacted:
		for i := range mapped {
			mapped[i] = change.Value{Kind: change.Null}
		}
	case rec.Fields == nil || len(rec.Fields.Nodes) == 0:
		return change.Row{}, p.refuse(rec, nil, p.columns[0].name, p.columns[0].paths[0].path.text, change.Invalid, "the revision has no document and is neither a deletion nor redacted")
	default:
		if err := p.mapDocument(rec, mapped); err != nil {
			return change.Row{}, err
		}
	}
	audit, why := p.audit(rec)
	if why != "" {
		return change.Row{}, p.refuse(rec, nil, AuditColumn, "metadata", change.Text, why)
	}
	v[2+n] = change.Value{Kind: change.JSON, Bytes: audit}
	v[3+n] = change.Value{Kind: change.Text, Bytes: operation(rec)}
	v[4+n] = change.Value{Kind: change.Text, Bytes: rec.Tx}
	return change.Row{Table: &p.History, Values: v}, nil
}

// mapDocument fills one value per mapped column.
func (p *Plan) mapDocument(rec *change.Record, mapped []change.Value) *ValueError {
	t := rec.Fields
	p.record++
	if p.slots > 0 {
		if t.Nodes[0].Kind != change.Struct {
			return p.refuse(rec, &p.columns[0], p.columns[0].name, "$doc", t.Nodes[0].Kind, "the document is not a struct: leave its table out of the mapping to load it as doc jsonb")
		}
		clear(p.hits)
		if err := p.walk(rec, 0, 0); err != nil {
			return err
		}
	}
	for i := range p.columns {
		c := &p.columns[i]
		var a *alternative
		var at, blocked, node int32
		var why string
		if only := &c.paths[0]; len(c.paths) == 1 && only.slot >= 0 && len(only.tail) == 0 && p.hits[only.slot] > 0 {
			a, at = only, p.hits[only.slot] // nearly always
			a.present++
		} else {
			a, at, blocked = p.find(t, c)
		}
		switch {
		case a != nil && a.path.meta != inDocument:
			why = p.special(rec, c, a.path.meta, &mapped[i])
			node = p.json.bad
		case at == 0 && blocked != 0:
			return p.refuse(rec, c, c.name, nodePath(t, blocked), t.Nodes[blocked].Kind, "stands where a path expects a struct: give the column several paths, or map the field to jsonb")
		case at == 0 || t.Nodes[at].Kind == change.Null:
			mapped[i] = change.Value{Kind: change.Null}
			if at != 0 && t.Nodes[at].Flags&change.Annotated != 0 && !c.dropAnnotations {
				why, node = hasAnnotations, at
			}
		default:
			node, why = p.value(t, c, a, at, &mapped[i])
		}
		switch {
		case why != "" && a != nil && a.path.meta != inDocument && a.path.meta != wholeDocument:
			return p.refuse(rec, c, c.name, a.path.text, change.Text, why)
		case why != "":
			return p.refuse(rec, c, c.name, nodePath(t, node), t.Nodes[node].Kind, why)
		case c.notNull && mapped[i].Kind == change.Null:
			kind := change.Invalid
			if at != 0 {
				kind = change.Null
			}
			return p.refuse(rec, c, c.name, c.paths[0].path.text, kind, `gives no value, and the column is "notNull"`)
		}
	}
	return nil
}

// walk goes once through the struct at, and notes the nodes that paths lead to.
func (p *Plan) walk(rec *change.Record, at, stepAt int32) *ValueError {
	t := rec.Fields
	next := p.steps[stepAt].next
	for i, end := at+1, t.Nodes[at].End; i < end; i = t.Nodes[i].End {
		n := &t.Nodes[i]
		id := t.Names[n.Name].Field
		if id == 0 || int(id) >= len(next) || next[id] == 0 {
			continue
		}
		s := &p.steps[next[id]]
		if p.seen[next[id]] == p.record {
			c := &p.columns[s.column]
			return p.refuse(rec, c, c.name, nodePath(t, i), n.Kind, fieldRepeated)
		}
		p.seen[next[id]] = p.record
		if s.slot >= 0 {
			p.hits[s.slot] = i
		}
		switch {
		case len(s.below) == 0 || n.Kind == change.Null:
		case n.Kind == change.Struct:
			if err := p.walk(rec, i, next[id]); err != nil {
				return err
			}
		default:
			for _, slot := range s.below {
				p.hits[slot] = -i
			}
		}
	}
	return nil
}

// find picks the first path of c that leads to a value that is not null, else
// one that leads to null; at is 0 when there is none, and blocked is then the
// node that stands in the way of a path, if one does.
func (p *Plan) find(t *change.Tape, c *column) (found *alternative, at, blocked int32) {
	for i := range c.paths {
		a := &c.paths[i]
		if a.slot < 0 {
			return a, 0, 0
		}
		hit := p.hits[a.slot]
		switch {
		case hit == 0:
			continue
		case hit < 0:
			if blocked == 0 {
				blocked = -hit
			}
			continue
		}
		if len(a.tail) == 0 || p.anyElement(t, a, hit) {
			a.present++
		}
		if at == 0 || t.Nodes[at].Kind == change.Null && t.Nodes[hit].Kind != change.Null {
			found, at = a, hit
		}
	}
	return found, at, blocked
}

// special maps what a special path names to v.
func (p *Plan) special(rec *change.Record, c *column, m meta, v *change.Value) (why string) {
	*v = change.Value{Kind: change.Text}
	switch m {
	case inDocument: // not special: find has led elsewhere
	case wholeDocument:
		p.json.dropAnnotations = c.dropAnnotations
		at := len(p.buf)
		p.buf, why = p.json.append(p.buf, rec.Fields, 0, 0)
		*v = change.Value{Kind: change.JSON, Bytes: p.buf[at:]}
		return why
	case docID:
		v.Bytes = rec.Key
	case txID:
		v.Bytes = rec.Tx
	case strandID:
		p.buf = append(p.buf, rec.Origin.Strand...)
		v.Bytes = p.buf[len(p.buf)-len(rec.Origin.Strand):]
	case tableID:
		p.buf = append(p.buf, rec.Table.ID...)
		v.Bytes = p.buf[len(p.buf)-len(rec.Table.ID):]
	case tableName:
		p.buf = append(p.buf, rec.Table.Name...)
		v.Bytes = p.buf[len(p.buf)-len(rec.Table.Name):]
	case version:
		*v = change.Value{Kind: change.Int, Int: int64(rec.Version)}
	case sequenceNo:
		*v = change.Value{Kind: change.Int, Int: rec.Origin.Block}
	case txTime:
		*v = change.Value{Kind: change.Timestamp, Bytes: rec.At}
	case revisionHash:
		*v = change.Value{Kind: change.Bytes, Bytes: rec.Hash}
	}
	return p.convert(c, v)
}

func (p *Plan) refuse(rec *change.Record, c *column, name, path string, kind change.Kind, why string) *ValueError {
	e := &ValueError{Origin: rec.Origin, Table: rec.Table, Column: name, Path: path, Kind: kind, Why: why}
	switch {
	case c != nil:
		e.Type = c.typ
	case name == AuditColumn:
		e.Type = change.Type{Kind: change.JSON}
	default:
		e.Type = change.Type{Kind: change.Text}
	}
	return e
}

// nodePath spells the way from the document to a node: Lines[3].Amount.
func nodePath(t *change.Tape, target int32) string {
	if target == 0 {
		return "$doc"
	}
	var b strings.Builder
	for at := int32(0); at != target; {
		index := 0
		child := at + 1
		for t.Nodes[child].End <= target {
			child = t.Nodes[child].End
			index++
		}
		if name := t.Nodes[child].Name; name < 0 {
			b.WriteString("[" + strconv.Itoa(index) + "]")
		} else {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(pathName(t.Names[name].Text))
		}
		at = child
	}
	return b.String()
}
