package migrate

import (
	"errors"
	"fmt"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/mapping"
)

// A mapper decides what a load does with each revision of a stretch of blocks,
// and counts it. Transform and survey share it, so that a load and its plan
// cannot disagree.
type mapper struct {
	plan   *Plan
	rules  *mapping.Mapping
	types  *retyper // nil: what JSON shows is taken as it looks
	to     outcomes
	tables map[change.SourceTable]*tally
	order  []*tally
	out    Segment // without what segment adds
	row    []byte
}

// outcomes takes what becomes of the revisions of wanted tables. An error ends
// the reading.
type outcomes interface {
	// staged takes a revision's row as COPY text, which is valid until it returns.
	staged(t *tally, rec *change.Record, row []byte) error
	// setAside takes a revision that does not map exactly.
	setAside(t *tally, rec *change.Record, a Aside) error
	// stopped is asked at every revision of a table that stops the load (t.err).
	stopped(t *tally) error
}

// A tally counts the revisions of one ledger table.
type tally struct {
	index int // in the order of the tables
	count SegmentTable
	plan  *mapping.Plan
	want  bool
	err   error   // why the table stops the load
	since []int64 // presence counts when the stretch began
}

func newMapper(plan *Plan, rules *mapping.Mapping, to outcomes) mapper {
	return mapper{plan: plan, rules: rules, to: to, tables: map[change.SourceTable]*tally{}}
}

func (m *mapper) table(t change.SourceTable) *tally {
	for _, st := range m.order[:min(len(m.order), 8)] { // faster than hashing for the first tables
		if st.count.ID == t.ID && st.count.Name == t.Name {
			return st
		}
	}
	if st, ok := m.tables[t]; ok {
		return st
	}
	return m.open(SegmentTable{ID: t.ID, Name: t.Name, FirstBlock: -1})
}

// open adds a table, with what was counted of it before.
func (m *mapper) open(count SegmentTable) *tally {
	st := &tally{index: len(m.order), count: count}
	for _, other := range m.order {
		if other.count.ID == count.ID && count.ID != "" {
			st.err = twoNames(count.ID, other.count.Name, count.Name, m.out.LastBlock)
		}
	}
	if count.ID != "" && m.plan.Input.wants(count.Name) {
		p, err := m.rules.Plan(count.Name)
		switch {
		case err != nil:
			st.err = &Stop{err}
		case !p.Skip:
			st.want, st.plan = true, p
			for _, x := range p.Presence() {
				st.since = append(st.since, x.Present)
			}
		}
	}
	m.tables[change.SourceTable{ID: count.ID, Name: count.Name}] = st
	m.order = append(m.order, st)
	return st
}

// block maps the revisions of one block, which was verified before where types are
// recovered. An error of outcomes apart, it fails before it counted anything of the
// block.
func (m *mapper) block(b *journal.Block) error {
	defer m.types.forget()
	early, err := m.plan.early(b)
	if err != nil {
		return err
	}
	if m.out.Blocks == 0 {
		m.out.FirstBlock = b.SequenceNo
	}
	m.out.Blocks++
	m.out.LastBlock = b.SequenceNo
	m.out.HashOnly += int64(b.HashOnly)
	for i := range b.Redactions {
		if m.out.Redactions == nil {
			m.out.Redactions = map[string]int64{}
		}
		m.out.Redactions[b.Redactions[i].TableID]++
	}
	m.out.Events = append(m.out.Events, b.TableEvents()...)
	for i := range b.Revisions {
		r := &b.Revisions[i]
		if r.HashOnly() {
			continue
		}
		st := m.table(r.Table)
		c := &st.count
		c.Read++
		if c.FirstBlock < 0 {
			c.FirstBlock = b.SequenceNo
		}
		c.LastBlock = b.SequenceNo
		if m.types.unproven(b, r) {
			c.TypeUnproven++
		}
		switch {
		case st.err != nil:
			err = m.to.stopped(st)
		case r.Table.ID != "" && !st.want || early:
			c.Filtered++
		default:
			err = m.revision(b, i, st)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// revision stages one revision, or sets it aside.
func (m *mapper) revision(b *journal.Block, i int, st *tally) error {
	rec, err := b.Record(i)
	if err == nil {
		m.types.apply(&b.Revisions[i], rec.Fields)
		var row change.Row
		if row, err = st.plan.Map(rec); err == nil {
			if m.row, err = copytext.AppendRow(m.row[:0], row); err == nil {
				st.count.Staged++
				return m.to.staged(st, rec, m.row)
			}
		}
	}
	st.count.Quarantined++
	return m.to.setAside(st, rec, aside(rec, err))
}

// An Aside is one line of the quarantine list: where a revision came from and
// why it could not be mapped, never its values.
type Aside struct {
	Table, TableID string
	Document       string
	Version        int64
	Object         string
	Offset         int64
	Block          int64
	Revision       int
	Path           string
	Reason         string
}

func aside(rec *change.Record, why error) Aside {
	a := Aside{
		Table: rec.Table.Name, TableID: rec.Table.ID, Document: string(rec.Key), Version: int64(rec.Version),
		Object: rec.Origin.Object, Offset: rec.Origin.Offset, Block: rec.Origin.Block, Revision: rec.Origin.Revision,
		Reason: why.Error(),
	}
	var value *mapping.ValueError
	var record *journal.RecordError
	switch {
	case errors.As(why, &value):
		a.Path, a.Reason = value.Path, fmt.Sprintf("column %s %s: %s", value.Column, mapping.TypeName(value.Type), value.Why)
	case errors.As(why, &record):
		a.Reason = record.Err.Error()
	}
	return a
}

// segment returns what was counted. found, if not nil, is what earlier stretches
// of the same segment found.
func (m *mapper) segment(found map[string][]int64) Segment {
	out := m.out
	out.Tables, out.Found = nil, nil
	for _, st := range m.order {
		out.Tables = append(out.Tables, st.count)
		if !st.want {
			continue
		}
		if out.Found == nil {
			out.Found = map[string][]int64{}
		}
		counts := make([]int64, len(st.since))
		for i, x := range st.plan.Presence() {
			counts[i] = x.Present - st.since[i]
			if before := found[st.count.Name]; before != nil {
				counts[i] += before[i]
			}
		}
		if have, ok := out.Found[st.count.Name]; ok {
			// Two table ids of one name share a plan, and so its counts.
			for i := range counts {
				counts[i] = max(counts[i], have[i])
			}
		}
		out.Found[st.count.Name] = counts
	}
	return out
}

// resume goes on from what was counted before.
func (m *mapper) resume(before Segment) {
	m.out = before
	for _, t := range before.Tables {
		m.open(t)
	}
}
