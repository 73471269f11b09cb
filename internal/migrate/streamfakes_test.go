package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/change"
)

const (
	failureBucket = "failures"
	streamARN     = "arn:aws:kinesis:eu-west-1:123456789012:stream/changes"
	changes       = "changes" // the stream's name
)

// memoryStream is a stream's target in memory: what it was told, from which the
// state follows whatever the order. It checks what Apply is promised, and what the
// database would refuse.
type memoryStream struct {
	t       testing.TB
	objects *memoryObjects
	// fault, if not nil, is asked before every call, and before every request of
	// Apply. stored tells whether its work is kept before err is returned.
	fault func(call string) (stored bool, err error)
	// refuse, if not nil, is the database's answer to a message: nil, or a
	// *change.RefusedError, *change.WaitError or *change.IntegrityError.
	refuse func(items []change.Item) error
	// cut chooses how many of the messages left go into a request, at most.
	cut func(messages int) int

	mu      sync.Mutex
	stream  change.Stream // Name "" is none
	enabled []string      // as EnableStream and ResumeStream were told
	tables  map[string]change.LoadTable
	sources map[string]string // table id -> current table
	catalog []change.RowTable

	revisions map[string]change.RevisionItem // by table id, document and version
	blocks    map[int64]change.BlockItem
	seen      map[int64]map[string]bool
	rows      map[string]change.RowItem // newest, by table and key
	asides    map[string]*memoryAside
	shards    map[string]string
	calls     map[string]int
}

type memoryAside struct {
	change.AsideItem
	replayed bool
}

func newStream(t testing.TB, o *memoryObjects, s change.Stream) *memoryStream {
	m := &memoryStream{
		t: t, objects: o, stream: s, tables: map[string]change.LoadTable{}, sources: map[string]string{},
		revisions: map[string]change.RevisionItem{}, blocks: map[int64]change.BlockItem{}, seen: map[int64]map[string]bool{},
		rows: map[string]change.RowItem{}, asides: map[string]*memoryAside{}, shards: map[string]string{}, calls: map[string]int{},
	}
	if s.Name != "" {
		m.stream.Generation = 1
	}
	return m
}

// call counts a call and lets it fail: before it did anything (done is false), or
// after.
func (m *memoryStream) call(ctx context.Context, name string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[name]++
	stored, fault := true, error(nil)
	if m.fault != nil {
		if stored, fault = m.fault(name); fault == nil {
			stored = true
		}
	}
	if stored {
		if err := do(); err != nil {
			return err
		}
	}
	return fault
}

func (m *memoryStream) EnableStream(ctx context.Context, s change.Stream) (out change.Stream, err error) {
	err = m.call(ctx, "EnableStream", func() error {
		switch {
		case s.Name == "" || s.Source == "":
			m.t.Errorf("EnableStream of %+v", s)
		case s.Source == change.SourceQLDB && (s.Strand == "" || s.Mapping == "" || s.Schema == ""):
			m.t.Errorf("EnableStream of a ledger's stream without strand, mapping or schema: %+v", s)
		}
		was := m.stream
		s.Generation, s.Stopped = was.Generation, was.Stopped
		if fmt.Sprint(s) != fmt.Sprint(was) {
			s.Generation++
		}
		m.stream, out = s, s
		m.enabled = append(m.enabled, fmt.Sprintf("enable %s generation %d", s.Name, s.Generation))
		return nil
	})
	return out, err
}

func (m *memoryStream) Stream(ctx context.Context, name string) (out change.Stream, err error) {
	err = m.call(ctx, "Stream", func() error {
		if m.stream.Name != name {
			return &change.StreamChangedError{Stream: name}
		}
		out = m.stream
		return nil
	})
	return out, err
}

func (m *memoryStream) StopStream(ctx context.Context, name, reason string) error {
	return m.call(ctx, "StopStream", func() error {
		if m.stream.Name == name && m.stream.Stopped == "" {
			m.stream.Stopped = reason
		}
		return nil
	})
}

func (m *memoryStream) ResumeStream(ctx context.Context, name, because string) error {
	return m.call(ctx, "ResumeStream", func() error {
		m.stream.Stopped = ""
		m.enabled = append(m.enabled, "resume "+name+" because "+because)
		return nil
	})
}

func (m *memoryStream) ReleaseTables(ctx context.Context, name string, tables []string) error {
	return m.call(ctx, "ReleaseTables", func() error {
		m.enabled = append(m.enabled, fmt.Sprintf("release %s %q", name, tables))
		return nil
	})
}

func (m *memoryStream) EnsureTables(ctx context.Context, s change.Stream, tables []change.LoadTable, sources []change.LoadSource) error {
	return m.call(ctx, "EnsureTables", func() error {
		for _, t := range tables {
			m.tables[t.Current.Name] = t
		}
		for _, x := range sources {
			if _, ok := m.tables[x.Current]; !ok {
				m.t.Errorf("EnsureTables names table %s of ledger table %s, and does not describe it", x.Current, x.Name)
			}
			m.sources[x.ID] = x.Current
		}
		return nil
	})
}

func (m *memoryStream) RowTables(ctx context.Context, names []change.TableName) (out []change.RowTable, err error) {
	err = m.call(ctx, "RowTables", func() error {
		for _, n := range names {
			for _, t := range m.catalog {
				if t.Schema == n.Schema && t.Name == n.Name {
					out = append(out, t)
				}
			}
		}
		return nil
	})
	return out, err
}

func (m *memoryStream) Replayed(ctx context.Context, name, object string) error {
	return m.call(ctx, "Replayed", func() error {
		if a := m.asides[object]; a != nil {
			a.replayed = true
		}
		return nil
	})
}

func (m *memoryStream) StreamStatus(ctx context.Context, name string) (out change.StreamStatus, err error) {
	err = m.call(ctx, "StreamStatus", func() error {
		if m.stream.Name != name {
			return &change.StreamChangedError{Stream: name}
		}
		out = change.StreamStatus{Stream: m.stream, GapFree: m.gapFree(), Last: m.stream.Boundary}
		for block := range m.seen {
			out.Last.Major = max(out.Last.Major, block)
		}
		for _, r := range m.rows {
			if r.Position.Compare(out.Last) > 0 {
				out.Last, out.LastAt = r.Position, r.At
			}
		}
		if m.stream.Source == change.SourceQLDB {
			for b := out.GapFree + 1; b <= out.Last.Major; b++ {
				if !m.complete(b) && m.seen[b] != nil {
					out.Open = append(out.Open, b)
				}
			}
			out.OpenBlocks = int64(len(out.Open))
		}
		for _, shard := range slices.Sorted(maps.Keys(m.shards)) {
			out.Shards = append(out.Shards, change.ShardStatus{Shard: shard, Sequence: m.shards[shard]})
		}
		for _, object := range slices.Sorted(maps.Keys(m.asides)) {
			if !m.asides[object].replayed {
				if out.Aside++; out.AsideFirst == "" {
					out.AsideFirst = object
				}
			}
		}
		return nil
	})
	return out, err
}

// complete tells whether a block's summary and all of its revisions came.
func (m *memoryStream) complete(block int64) bool {
	b, ok := m.blocks[block]
	if !ok {
		return false
	}
	for _, h := range b.Revisions {
		if !m.seen[block][string(h)] {
			return false
		}
	}
	return true
}

func (m *memoryStream) gapFree() int64 {
	at := m.stream.Boundary.Major
	for m.complete(at + 1) {
		at++
	}
	return at
}

func (m *memoryStream) Apply(ctx context.Context, s change.Stream, items []change.Item) (done change.Applied, err error) {
	m.messages(items)
	for done.Items < len(items) {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		from := done.Items
		rest := m.messages(items[from:])
		n := rest[len(rest)-1]
		if m.cut != nil {
			n = rest[min(len(rest), m.cut(len(rest)))-1]
		}
		done.Calls++
		err := m.call(ctx, "Apply", func() error { return m.request(s, items[from:from+n], &done) })
		if err != nil {
			return done, atItem(err, done.Items)
		}
	}
	done.GapFree = m.gapFree()
	return done, nil
}

func atItem(err error, item int) error {
	switch e := err.(type) {
	case *change.RefusedError:
		return &change.RefusedError{Item: item, State: e.State, Detail: e.Detail}
	case *change.WaitError:
		return &change.WaitError{Item: item, State: e.State, Detail: e.Detail}
	case *change.IntegrityError:
		if e.Item >= 0 {
			return &change.IntegrityError{Item: item, Stream: e.Stream, Message: e.Message}
		}
	}
	return err
}

// messages returns where the messages of items end, and checks that each stands
// together.
func (m *memoryStream) messages(items []change.Item) (ends []int) {
	met := map[change.Mark]bool{}
	for i := range items {
		mark := items[i].Mark
		if mark.Shard == "" || strings.Trim(mark.Sequence, "0123456789") != "" || mark.Sequence == "" {
			m.t.Errorf("item %d has mark %+v", i, mark)
		}
		if i == 0 || items[i-1].Mark != mark {
			if met[mark] && items[i].Row != nil {
				m.t.Errorf("the items of message %+v do not stand together", mark)
			}
			met[mark] = true
			if i > 0 {
				ends = append(ends, i)
			}
		}
	}
	if len(items) > 0 {
		ends = append(ends, len(items))
	}
	return ends
}

// request applies items: the messages before one that is refused, or all.
func (m *memoryStream) request(s change.Stream, items []change.Item, done *change.Applied) error {
	switch {
	case m.stream.Name != s.Name || m.stream.Generation != s.Generation:
		return &change.StreamChangedError{Stream: s.Name, Generation: m.stream.Generation}
	case m.stream.Stopped != "":
		return &change.StreamStoppedError{Stream: s.Name, Reason: m.stream.Stopped}
	}
	at := 0
	for _, end := range m.messages(items) {
		message := items[at:end]
		if m.refuse != nil && message[0].Aside == nil {
			if err := m.refuse(message); err != nil {
				return err
			}
		}
		for i := range message {
			if err := m.item(&message[i], done); err != nil {
				return err
			}
		}
		done.Items += len(message)
		mark := message[0].Mark
		if was := m.shards[mark.Shard]; len(was) < len(mark.Sequence) || len(was) == len(mark.Sequence) && was < mark.Sequence {
			m.shards[mark.Shard] = mark.Sequence
		}
		at = end
	}
	return nil
}

func (m *memoryStream) item(x *change.Item, done *change.Applied) error {
	set := 0
	for _, is := range []bool{x.Revision != nil, x.Block != nil, x.Row != nil, x.Aside != nil} {
		if is {
			set++
		}
	}
	if set > 1 {
		m.t.Errorf("item %+v is several things", x.Mark)
	}
	switch {
	case x.Revision != nil:
		return m.revision(x.Revision, done)
	case x.Block != nil:
		return m.block(x.Block)
	case x.Row != nil:
		m.row(x.Row, done)
	case x.Aside != nil:
		m.aside(x, done)
	}
	return nil
}

func (m *memoryStream) arrived(block int64, hash []byte) {
	if m.seen[block] == nil {
		m.seen[block] = map[string]bool{}
	}
	if hash != nil {
		m.seen[block][string(hash)] = true
	}
}

func (m *memoryStream) revision(r *change.RevisionItem, done *change.Applied) error {
	if r.Block <= m.stream.Boundary.Major || len(r.Hash) != 32 {
		m.t.Errorf("revision %s of block %d, with a hash of %d bytes; the boundary is block %d", r.Document, r.Block, len(r.Hash), m.stream.Boundary.Major)
	}
	if r.Current == "" {
		if r.Row != nil {
			m.t.Errorf("revision %s of a table that is left out has a row", r.Document)
		}
		m.arrived(r.Block, r.Hash)
		return nil
	}
	t, ok := m.tables[r.Current]
	if !ok || m.sources[r.Table.ID] != r.Current {
		return &change.UnknownTableError{Stream: m.stream.Name, Table: r.Table, Current: r.Current}
	}
	var row map[string]json.RawMessage
	if err := json.Unmarshal(r.Row, &row); err != nil {
		m.t.Errorf("row of revision %s: %v", r.Document, err)
	}
	for _, c := range t.History.Columns {
		if _, ok := row[c.Name]; !ok {
			m.t.Errorf("the row of a revision of %s has no %s", r.Current, c.Name)
		}
	}
	if len(row) != len(t.History.Columns) {
		m.t.Errorf("the row of a revision of %s has %d columns of %d", r.Current, len(row), len(t.History.Columns))
	}
	key := fmt.Sprintf("%s/%s/%d", r.Table.ID, r.Document, r.Version)
	switch was, again := m.revisions[key]; {
	case again && !bytes.Equal(was.Hash, r.Hash):
		return &change.IntegrityError{Stream: m.stream.Name, Message: fmt.Sprintf("document %s has two revisions %d", r.Document, r.Version)}
	case again:
		done.Skipped++
	default:
		m.revisions[key] = *r
		done.History++
		done.Rows++
	}
	m.arrived(r.Block, r.Hash)
	return nil
}

func (m *memoryStream) block(b *change.BlockItem) error {
	if b.Block <= m.stream.Boundary.Major || len(b.Hash) != 32 || len(b.PreviousHash) != 32 && b.Block > 0 {
		m.t.Errorf("summary of block %d, with hashes of %d and %d bytes", b.Block, len(b.Hash), len(b.PreviousHash))
	}
	before, ok := m.blocks[b.Block-1]
	if b.Block == m.stream.Boundary.Major+1 && m.stream.BoundaryHash != nil {
		before, ok = change.BlockItem{Hash: m.stream.BoundaryHash}, true
	}
	if ok && !bytes.Equal(before.Hash, b.PreviousHash) {
		return &change.IntegrityError{Stream: m.stream.Name, Message: fmt.Sprintf("block %d does not follow block %d", b.Block, b.Block-1)}
	}
	m.blocks[b.Block] = *b
	m.arrived(b.Block, nil)
	return nil
}

func (m *memoryStream) row(r *change.RowItem, done *change.Applied) {
	if !json.Valid(r.Row) || r.Key == "" {
		m.t.Errorf("row %s of %s.%s is not JSON", r.Key, r.Schema, r.Table)
	}
	key := r.Schema + "." + r.Table + r.Key
	if was, ok := m.rows[key]; ok && was.Position.Compare(r.Position) >= 0 {
		done.Skipped++
		return
	}
	m.rows[key] = *r
	done.Rows++
}

// aside notes a message that was set aside: its object has to be there.
func (m *memoryStream) aside(x *change.Item, done *change.Applied) {
	a := x.Aside
	body, err := m.objects.read(failureBucket, a.Object)
	var o struct {
		Stream, Shard, Sequence, Reason, Source string
		Sub                                     int
		Message                                 []byte
	}
	if err == nil {
		err = json.Unmarshal(body, &o)
	}
	if err != nil || o.Stream != m.stream.Name || (change.Mark{Shard: o.Shard, Sequence: o.Sequence, Sub: o.Sub}) != x.Mark || o.Reason != a.Reason || o.Source != m.stream.Source || a.Reason == "" {
		m.t.Errorf("message %+v is set aside as %q, whose object has %s: %v", x.Mark, a.Object, body, err)
	}
	if m.asides[a.Object] == nil {
		m.asides[a.Object] = &memoryAside{AsideItem: *a}
	}
	if a.Block >= 0 {
		m.arrived(a.Block, a.Hash)
	}
	done.Aside++
}

// ledger is what the tables of a ledger hold: the history by table, document and
// version, and the current rows by table and document.
func (m *memoryStream) ledger() (history, current map[string]string) {
	history, current = map[string]string{}, map[string]string{}
	redacted := map[string]bool{}
	for _, b := range m.blocks {
		for _, r := range b.Redactions {
			redacted[fmt.Sprintf("%s/%s/%d", r.TableID, r.Document, r.Version)] = true
		}
	}
	active := m.active()
	newest := map[string]change.RevisionItem{}
	for key, r := range m.revisions {
		row := r.Row
		if redacted[key] {
			row, r.Redacted = withoutData(row, m.tables[r.Current].History), true
		}
		history[fmt.Sprintf("%s/%s/%d", r.Current, r.Document, r.Version)] = bareRow(row, true)
		if at := r.Current + "/" + r.Document; newest[at].Document == "" || newest[at].Version < r.Version {
			r.Row = row
			newest[at] = r
		}
	}
	for at, r := range newest {
		if r.Deleted || r.Redacted || !active[r.Table.ID] || m.withheld(&r) {
			continue
		}
		current[at] = bareRow(r.Row, false)
	}
	return history, current
}

// withheld tells whether a later revision of a document is set aside.
func (m *memoryStream) withheld(r *change.RevisionItem) bool {
	for _, a := range m.asides {
		if a.Document == r.Document && a.Current == r.Current && a.Version > r.Version {
			return true
		}
	}
	return false
}

// active tells which ledger tables are not dropped: an event of a name is of the
// id that has the latest revision before it.
func (m *memoryStream) active() map[string]bool {
	active := map[string]bool{}
	last := map[string]int64{} // block of the event that counts
	for id := range m.sources {
		active[id] = true
	}
	for block, b := range m.blocks {
		for _, e := range b.Events {
			id := e.TableID
			if !e.Undrop {
				id = ""
				at := int64(-1)
				for _, r := range m.revisions {
					if r.Table.Name == e.Name && r.Block < block && r.Block > at {
						id, at = r.Table.ID, r.Block
					}
				}
			}
			if block >= last[id] {
				last[id], active[id] = block, e.Undrop
			}
		}
	}
	return active
}

// bareRow is a row of a history table without what differs by the way that it
// came, or as the current table has it.
func bareRow(row []byte, history bool) string {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(row))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return err.Error()
	}
	if audit, ok := m["ql_audit"].(map[string]any); ok {
		delete(audit, "ql_object")
		delete(audit, "ql_offset")
		delete(audit, "ql_revision")
		if audit["ql_redacted"] == true {
			delete(audit, "ql_data_hash")
		}
	}
	if !history {
		delete(m, "operation")
		delete(m, "transaction_id")
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// withoutData is the row of a redacted revision.
func withoutData(row []byte, t change.Table) []byte {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(row))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return row
	}
	for _, c := range t.Columns {
		switch c.Name {
		case "doc_id", "version", "operation", "transaction_id":
		case "ql_audit":
			m[c.Name].(map[string]any)["ql_redacted"] = true
		default:
			m[c.Name] = nil
		}
	}
	b, _ := json.Marshal(m)
	return b
}

// relations is what the tables of DMS and DSQL hold, by table and key.
func (m *memoryStream) relations() map[string]string {
	out := map[string]string{}
	for key, r := range m.rows {
		if !r.Deleted {
			out[key] = bareRow(r.Row, true)
		}
	}
	return out
}
