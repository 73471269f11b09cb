package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/klauspost/compress/gzip"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/mapping"
)

// A segment collects what one stretch of blocks becomes. It holds compressed
// parts and nothing of the blocks themselves.
type segment struct {
	plan    *Plan
	item    *Item
	rules   *mapping.Mapping
	packers packers
	tables  map[change.SourceTable]*segmentTable
	order   []*segmentTable
	out     Segment
	list    bytes.Buffer // quarantine list, JSON Lines
	copy    part         // quarantine list, COPY rows
	row     []byte
	wrote   int64 // bytes of COPY text
	ended   bool
}

type segmentTable struct {
	folder string // of its parts
	count  SegmentTable
	plan   *mapping.Plan
	want   bool
	part   part
	since  []int64 // presence counts when the segment began
}

// A part is one COPY-ready object in the making.
type part struct {
	*packer // nil before the first row
	rows    int64
}

// A packer compresses the rows of one part.
type packer struct {
	body bytes.Buffer
	zip  *gzip.Writer
}

// packers are kept from segment to segment and from call to call, so that the
// memory of a function is that of its largest segment, once.
type packers map[string]*packer // by folder of the part

// trim drops what the segment did not need: tables come and go.
func (s *segment) trim() {
	used := map[string]bool{quarantineFolder: s.copy.packer != nil}
	for _, st := range s.order {
		used[st.folder] = st.part.packer != nil
	}
	maps.DeleteFunc(s.packers, func(folder string, _ *packer) bool { return !used[folder] })
}

// write adds a row to p, the part whose folder is given.
func (s *segment) write(p *part, folder string, row []byte) error {
	if p.packer == nil {
		p.packer = s.packers[folder]
		if p.packer == nil {
			p.packer = &packer{}
			// The fastest level: the server decompresses, and the network inside a
			// region is not what limits an import. The header has no time, so equal
			// rows are equal bytes.
			z, err := gzip.NewWriterLevel(&p.body, gzip.BestSpeed)
			if err != nil {
				return err
			}
			p.zip = z
			s.packers[folder] = p.packer
		} else {
			p.body.Reset()
			p.zip.Reset(&p.body)
		}
	}
	p.rows++
	_, err := p.zip.Write(row)
	return err
}

// newSegment begins a segment, when the one that used packing before is stored.
func newSegment(plan *Plan, item *Item, number int, rules *mapping.Mapping, packing packers) *segment {
	return &segment{
		plan: plan, item: item, rules: rules, packers: packing,
		tables: map[change.SourceTable]*segmentTable{},
		out:    Segment{Item: item.Number, Number: number},
	}
}

// full notes whether the segment ends behind the block just taken: where it has
// written limit bytes, or read them from one object.
func (s *segment) full(limit, read int64) bool {
	s.ended = s.wrote >= limit || read >= limit
	return s.ended
}

func (s *segment) table(t change.SourceTable) (*segmentTable, error) {
	for _, st := range s.order[:min(len(s.order), 8)] { // faster than hashing for the first tables
		if st.count.ID == t.ID && st.count.Name == t.Name {
			return st, nil
		}
	}
	if st, ok := s.tables[t]; ok {
		return st, nil
	}
	for _, st := range s.order {
		if st.count.ID == t.ID && t.ID != "" {
			return nil, twoNames(t.ID, st.count.Name, t.Name, s.out.LastBlock)
		}
	}
	st := &segmentTable{folder: folder(t.ID), count: SegmentTable{ID: t.ID, Name: t.Name, FirstBlock: -1}}
	if t.ID != "" && s.plan.Input.wants(t.Name) {
		p, err := s.rules.Plan(t.Name)
		if err != nil {
			return nil, &Stop{err}
		}
		st.want = !p.Skip
		if st.want {
			st.plan = p
			for _, x := range p.Presence() {
				st.since = append(st.since, x.Present)
			}
		}
	}
	s.tables[t] = st
	s.order = append(s.order, st)
	return st, nil
}

// block maps the revisions of one block.
func (s *segment) block(b *journal.Block) error {
	if s.out.Blocks == 0 {
		s.out.FirstBlock = b.SequenceNo
	}
	s.out.Blocks++
	s.out.LastBlock = b.SequenceNo
	s.out.HashOnly += int64(b.HashOnly)
	s.out.Events = append(s.out.Events, b.TableEvents()...)
	early, err := s.plan.early(b)
	if err != nil {
		return err
	}
	for i := range b.Revisions {
		r := &b.Revisions[i]
		if r.HashOnly() {
			continue
		}
		st, err := s.table(r.Table)
		if err != nil {
			return err
		}
		c := &st.count
		c.Read++
		if c.FirstBlock < 0 {
			c.FirstBlock = b.SequenceNo
		}
		c.LastBlock = b.SequenceNo
		if r.Table.ID != "" && !st.want || early {
			c.Filtered++
			continue
		}
		if err := s.revision(b, i, st); err != nil {
			return err
		}
	}
	return nil
}

// revision stages one revision, or sets it aside.
func (s *segment) revision(b *journal.Block, i int, st *segmentTable) error {
	rec, err := b.Record(i)
	if err == nil {
		var row change.Row
		if row, err = st.plan.Map(rec); err == nil {
			if s.row, err = copytext.AppendRow(s.row[:0], row); err == nil {
				s.wrote += int64(len(s.row))
				st.count.Staged++
				return s.write(&st.part, st.folder, s.row)
			}
		}
	}
	st.count.Quarantined++
	return s.setAside(rec, err)
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

func (s *segment) setAside(rec *change.Record, why error) error {
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
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	s.list.Write(line)
	s.list.WriteByte('\n')
	// The list is kept as it is, rows are kept compressed: where all is set aside,
	// a segment ends sooner.
	s.wrote += 4 * int64(len(line))
	// An id that PostgreSQL cannot hold must not keep the list from being stored.
	text := func(v string) change.Value {
		v = strings.ReplaceAll(strings.ToValidUTF8(v, "\ufffd"), "\x00", "\ufffd")
		return change.Value{Kind: change.Text, Bytes: []byte(v)}
	}
	num := func(v int64) change.Value { return change.Value{Kind: change.Int, Int: v} }
	row := change.Row{Table: &quarantineTable, Values: []change.Value{
		text(s.plan.LoadID), text(a.TableID), text(a.Table), text(a.Document), num(a.Version),
		text(a.Object), num(a.Block), num(int64(a.Revision)), text(a.Path), text(a.Reason),
	}}
	if s.row, err = copytext.AppendRow(s.row[:0], row); err != nil {
		return err
	}
	return s.write(&s.copy, quarantineFolder, s.row)
}

// quarantineTable is godwit.quarantine, column for column.
var quarantineTable = change.Table{Name: "quarantine", Columns: []change.Column{
	{Name: "load_id", Type: change.Type{Kind: change.Text}},
	{Name: "table_id", Type: change.Type{Kind: change.Text}},
	{Name: "table_name", Type: change.Type{Kind: change.Text}},
	{Name: "doc_id", Type: change.Type{Kind: change.Text}},
	{Name: "version", Type: change.Type{Kind: change.Int, Bits: 64}},
	{Name: "object", Type: change.Type{Kind: change.Text}},
	{Name: "block", Type: change.Type{Kind: change.Int, Bits: 64}},
	{Name: "revision", Type: change.Type{Kind: change.Int, Bits: 32}},
	{Name: "path", Type: change.Type{Kind: change.Text}},
	{Name: "reason", Type: change.Type{Kind: change.Text}},
}}

// store writes the segment's objects; the segment's own record comes last, so
// that what it names exists.
func (s *segment) store(ctx context.Context, o Objects, bucket string, last bool) error {
	s.out.Last = last
	load, item, number := s.plan.LoadID, s.out.Item, s.out.Number
	type upload struct {
		key, kind, encoding string
		body                []byte
	}
	var uploads []upload
	add := func(p *part, key string, t SegmentTable) (Part, error) {
		if err := p.zip.Close(); err != nil {
			return Part{}, err
		}
		uploads = append(uploads, upload{key, "text/plain", "gzip", p.body.Bytes()})
		return Part{TableID: t.ID, Table: t.Name, Key: key, Rows: p.rows, Bytes: int64(p.body.Len())}, nil
	}
	for _, st := range s.order {
		s.out.Tables = append(s.out.Tables, st.count)
		if st.want {
			s.found(st)
		}
		if st.part.rows == 0 {
			continue // aws_s3 refuses an empty object
		}
		p, err := add(&st.part, partKey(load, st.folder, item, number), st.count)
		if err != nil {
			return err
		}
		s.out.Parts = append(s.out.Parts, p)
	}
	if s.copy.rows > 0 {
		p, err := add(&s.copy, partKey(load, quarantineFolder, item, number), SegmentTable{})
		if err != nil {
			return err
		}
		s.out.Quarantine = &p
		uploads = append(uploads, upload{quarantineKey(load, item, number), "application/jsonl", "", s.list.Bytes()})
	}
	err := each(ctx, len(uploads), func(ctx context.Context, i int) error {
		return o.Put(ctx, bucket, uploads[i].key, uploads[i].body, uploads[i].kind, uploads[i].encoding)
	})
	if err != nil {
		return err
	}
	return putJSON(ctx, o, bucket, segmentKey(load, item, number), s.out)
}

// found notes how often each mapped path led to something in this segment.
func (s *segment) found(st *segmentTable) {
	if s.out.Found == nil {
		s.out.Found = map[string][]int64{}
	}
	counts := make([]int64, len(st.since))
	for i, x := range st.plan.Presence() {
		counts[i] = x.Present - st.since[i]
	}
	if have, ok := s.out.Found[st.count.Name]; ok {
		// Two table ids of one name share a plan, and so its counts.
		for i := range counts {
			counts[i] = max(counts[i], have[i])
		}
	}
	s.out.Found[st.count.Name] = counts
}
