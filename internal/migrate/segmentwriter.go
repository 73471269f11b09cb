package migrate

import (
	"bytes"
	"context"
	"encoding/json"
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
	mapper
	prover  *prover // nil: nothing is verified
	packers packers
	parts   []part       // by index of their table
	list    bytes.Buffer // quarantine list, JSON Lines
	copy    part         // quarantine list, COPY rows
	redact  part         // list of redactions, COPY rows
	hashes  []byte       // of the blocks, where they are verified
	line    []byte
	wrote   int64 // bytes of COPY text
	read    int64 // bytes of blocks, decompressed
	ended   bool
}

// A part is one COPY-ready object in the making.
type part struct {
	*packer // nil before the first row
	folder  string
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
	used := map[string]bool{quarantineFolder: s.copy.packer != nil, redactionFolder: s.redact.packer != nil}
	for _, p := range s.parts {
		used[p.folder] = p.packer != nil
	}
	maps.DeleteFunc(s.packers, func(folder string, _ *packer) bool { return !used[folder] })
}

// write adds a row to p.
func (s *segment) write(p *part, row []byte) error {
	if p.packer == nil {
		p.packer = s.packers[p.folder]
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
			s.packers[p.folder] = p.packer
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
	s := &segment{packers: packing, copy: part{folder: quarantineFolder}, redact: part{folder: redactionFolder}}
	s.mapper = newMapper(plan, rules, s)
	s.out.Item, s.out.Number = item.Number, number
	return s
}

// full notes whether the segment ends behind the block just taken: where it has
// written limit bytes, or read them from one object.
func (s *segment) full(limit, read int64) bool {
	s.ended = s.wrote >= limit || read >= limit
	return s.ended
}

// block takes the next block.
func (s *segment) block(b *journal.Block) error {
	if err := s.mapper.block(b); err != nil {
		return err
	}
	if s.prover != nil {
		s.hashes = append(s.hashes, b.Hash...)
	}
	return s.redactions(b)
}

func (s *segment) staged(t *tally, _ *change.Record, row []byte) error {
	for len(s.parts) <= t.index {
		s.parts = append(s.parts, part{folder: folder(s.order[len(s.parts)].count.ID)})
	}
	s.wrote += int64(len(row))
	return s.write(&s.parts[t.index], row)
}

// stopped ends the reading, unless a block was tampered with: that ends the load
// behind the transform, and tells which, where the table's error blames what it fits
// least.
func (s *segment) stopped(t *tally) error {
	if s.prover.tampered() {
		return nil
	}
	return t.err
}

func (s *segment) setAside(_ *tally, _ *change.Record, a Aside) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	s.list.Write(line)
	s.list.WriteByte('\n')
	// The list is kept as it is, rows are kept compressed: where all is set aside,
	// a segment ends sooner.
	s.wrote += 4 * int64(len(line))
	row := change.Row{Table: &quarantineTable, Values: []change.Value{
		text(s.plan.LoadID), text(a.TableID), text(a.Table), text(a.Document), num(a.Version),
		text(a.Object), num(a.Block), num(int64(a.Revision)), text(a.Path), text(a.Reason),
	}}
	if s.line, err = copytext.AppendRow(s.line[:0], row); err != nil {
		return err
	}
	return s.write(&s.copy, s.line)
}

// text is a value of a list. An id that PostgreSQL cannot hold must not keep the
// list from being stored.
func text(v string) change.Value {
	v = strings.ReplaceAll(strings.ToValidUTF8(v, "\ufffd"), "\x00", "\ufffd")
	return change.Value{Kind: change.Text, Bytes: []byte(v)}
}

func num(v int64) change.Value { return change.Value{Kind: change.Int, Int: v} }

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
	out := s.segment(nil)
	out.Last, out.Runs = last, s.prover.runs()
	load, item, number := s.plan.LoadID, out.Item, out.Number
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
	for i := range s.parts {
		if s.parts[i].rows == 0 {
			continue // aws_s3 refuses an empty object
		}
		p, err := add(&s.parts[i], partKey(load, s.parts[i].folder, item, number), s.order[i].count)
		if err != nil {
			return err
		}
		out.Parts = append(out.Parts, p)
	}
	if s.copy.rows > 0 {
		p, err := add(&s.copy, partKey(load, quarantineFolder, item, number), SegmentTable{})
		if err != nil {
			return err
		}
		out.Quarantine = &p
		uploads = append(uploads, upload{quarantineKey(load, item, number), "application/jsonl", "", s.list.Bytes()})
	}
	if s.redact.rows > 0 {
		p, err := add(&s.redact, partKey(load, redactionFolder, item, number), SegmentTable{})
		if err != nil {
			return err
		}
		out.Redact = &p
	}
	if len(s.hashes) > 0 {
		uploads = append(uploads, upload{blockHashesKey(load, item, number), "application/octet-stream", "", s.hashes})
	}
	err := each(ctx, len(uploads), func(ctx context.Context, i int) error {
		return o.Put(ctx, bucket, uploads[i].key, uploads[i].body, uploads[i].kind, uploads[i].encoding)
	})
	if err != nil {
		return err
	}
	return putJSON(ctx, o, bucket, segmentKey(load, item, number), out)
}
