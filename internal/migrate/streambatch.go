package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/mapping"
	"godwit/internal/proof"
	"godwit/internal/stream"
)

// A delivery is one record of a Kinesis stream, or one message of it that was set
// aside.
type delivery struct {
	shard, sequence string
	key             string // partition key
	arrived         time.Time
	data            []byte
	alone           bool // data is message sub of the record
	sub             int
}

// messages are those of the delivery, each with its place.
func (d *delivery) messages() []stream.Message {
	all := stream.Split(d.data)
	if d.alone && (len(all) != 1 || all[0].PartitionKey != nil) {
		return []stream.Message{{Data: d.data}} // an aggregate within one: nobody takes it apart
	}
	return all
}

// mark is the place of the delivery's message number i.
func (d *delivery) mark(i int) change.Mark {
	if d.alone {
		i = d.sub
	}
	return change.Mark{Shard: d.shard, Sequence: d.sequence, Sub: i}
}

// A batch is what deliveries ask of the target.
type batch struct {
	entries []entry
	skipped int64 // revisions and rows at or below the boundary, or of tables that are left out
	newest  time.Time
	block   int64 // highest that was met; -1 without any
}

// An entry is one message, and what it came to.
type entry struct {
	delivery int // index
	message  stream.Message
	items    []change.Item // with one mark
	aside    *setAside     // items is its one AsideItem
	row      *stream.Change
}

// An integrityError says that a message contradicts itself or the registration.
// It never quotes a value.
type integrityError struct{ reason string }

func (e *integrityError) Error() string { return e.reason }

// An itemizer turns messages into items, by the registration of their stream. It
// keeps what messages share. One goroutine uses it.
type itemizer struct {
	stream   change.Stream
	rules    *mapping.Mapping // QLDB
	decoder  *stream.Decoder
	verifier proof.Verifier
	row      []byte

	ensured map[change.SourceTable]bool          // ledger tables that the target has
	unseen  map[change.SourceTable]*mapping.Plan // of the batch: those not known to be there
	tables  map[change.TableName]*rowTable       // of DMS and DSQL
	wanted  map[string]bool                      // QLDB: Stream.Tables; nil: all
}

// A rowTable is what the target has under a name that rows of a stream carry.
type rowTable struct {
	table *stream.Table
	why   error // why rows cannot be written to it
	fresh bool  // read for this batch
}

func newItemizer(s change.Stream) (*itemizer, error) {
	d := &itemizer{stream: s, ensured: map[change.SourceTable]bool{}, tables: map[change.TableName]*rowTable{}}
	if s.Source != change.SourceQLDB {
		d.decoder = stream.NewDecoder(nil)
		return d, nil
	}
	file, err := mapping.Parse([]byte(s.Mapping))
	if err != nil {
		return nil, &Stop{fmt.Errorf("read the mapping that stream %s is registered with: %w", s.Name, err)}
	}
	file.Schema = s.Schema
	fields := &change.Fields{}
	if d.rules, err = mapping.Compile(file, fields); err != nil {
		return nil, &Stop{fmt.Errorf("compile the mapping that stream %s is registered with: %w", s.Name, err)}
	}
	d.decoder = stream.NewDecoder(fields)
	if s.Tables != nil {
		d.wanted = map[string]bool{}
		for _, t := range s.Tables {
			d.wanted[t] = true
		}
	}
	return d, nil
}

// read turns deliveries into a batch, but for the rows of DMS and DSQL, whose
// tables have to be looked up first. The error is an *integrityError: none of the
// deliveries is to be applied. Its memory is that of the deliveries and of their
// rows as JSON.
func (d *itemizer) read(deliveries []delivery) (*batch, error) {
	b := &batch{block: -1}
	d.unseen = map[change.SourceTable]*mapping.Plan{}
	for i := range deliveries {
		messages := deliveries[i].messages()
		if len(messages) == 0 { // an aggregate of nothing
			b.entries = append(b.entries, entry{delivery: i, items: []change.Item{{Mark: deliveries[i].mark(0)}}})
		}
		for k, m := range messages {
			e := entry{delivery: i, message: m}
			mark := deliveries[i].mark(k)
			if err := d.message(b, &e, mark); err != nil {
				if !slices.Contains(d.stream.Aside, mark.Record()) {
					return nil, &integrityError{named(err.Error(), mark)}
				}
				e.poison(mark, setAside{Reason: err.Error(), Block: -1})
			}
			b.entries = append(b.entries, e)
		}
	}
	return b, nil
}

// named is a reason with the message that it is of.
func named(reason string, mark change.Mark) string {
	return fmt.Sprintf("%s (message %d of record %s)", reason, mark.Sub, mark.Record())
}

// message reads one message.
func (d *itemizer) message(b *batch, e *entry, mark change.Mark) error {
	item := change.Item{Mark: mark}
	event, why := d.decode(e.message)
	if why != "" {
		e.poison(mark, setAside{Reason: why, Block: -1})
		return nil
	}
	var err error
	switch event := event.(type) {
	case *stream.Control:
	case *stream.Summary:
		item.Block, err = d.summary(b, event.Block)
	case *stream.Revision:
		return d.revision(b, e, item, event)
	case *stream.Change:
		if d.loaded(event.Position) {
			b.skipped++
			break
		}
		b.at(event.At)
		e.row = event
	}
	e.items = []change.Item{item}
	return err
}

// decode reads what a message says, or says why nobody can.
func (d *itemizer) decode(m stream.Message) (event stream.Event, why string) {
	event, err := d.decoder.Decode(m)
	if err != nil {
		return nil, err.Error()
	}
	if source := sourceOf(event); source != d.stream.Source {
		return nil, fmt.Sprintf("the message is of %s, and the stream is registered for %s: find out who writes it", source, d.stream.Source)
	}
	return event, ""
}

func sourceOf(e stream.Event) string {
	switch e := e.(type) {
	case *stream.Control:
		return e.Source
	case *stream.Change:
		return e.Source
	}
	return change.SourceQLDB
}

// loaded tells whether what has this position was loaded before the stream began.
func (d *itemizer) loaded(p change.Position) bool {
	if d.stream.Source == change.SourceQLDB {
		return p.Major <= d.stream.Boundary.Major
	}
	return d.stream.Boundary != change.Position{} && p.Compare(d.stream.Boundary) <= 0
}

// at notes a commit time, RFC 3339 or Ion text of the same form.
func (b *batch) at(text string) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.After(b.newest) {
		b.newest = at
	}
}

// foreign refuses what is of another ledger: its blocks have the same numbers.
func (d *itemizer) foreign(block *journal.Block) error {
	if block.Strand == d.stream.Strand {
		return nil
	}
	return &integrityError{fmt.Sprintf("block %d is of strand %s, and the stream continues a load of strand %s: the journal stream is another ledger's", block.SequenceNo, block.Strand, d.stream.Strand)}
}

// tampered is an *integrityError where hashing a block or a revision again
// contradicts it.
func tampered(c *proof.Check) error {
	if c.Verdict != proof.Tampered {
		return nil
	}
	i := slices.IndexFunc(c.Findings, func(f proof.Finding) bool { return f.Verdict == proof.Tampered })
	if i < 0 {
		return &integrityError{fmt.Sprintf("block %d does not have the hash that it says", c.Block)}
	}
	return &integrityError{c.Findings[i].String()}
}

func (d *itemizer) summary(b *batch, block *journal.Block) (*change.BlockItem, error) {
	if err := d.foreign(block); err != nil {
		return nil, err
	}
	if d.loaded(change.Position{Major: block.SequenceNo}) {
		return nil, nil
	}
	if err := tampered(d.verifier.Verify(block)); err != nil {
		return nil, err
	}
	b.block = max(b.block, block.SequenceNo)
	b.at(string(block.Timestamp))
	item := &change.BlockItem{
		Block: block.SequenceNo, Hash: bytes.Clone(block.Hash), PreviousHash: bytes.Clone(block.PreviousHash), Timestamp: string(block.Timestamp),
	}
	for i := range block.Revisions {
		if r := &block.Revisions[i]; len(r.DocumentID) > 0 {
			item.Revisions = append(item.Revisions, bytes.Clone(r.Hash))
		}
	}
	if d.stream.ApplyRedactions {
		for i := range block.Redactions {
			r := &block.Redactions[i]
			item.Redactions = append(item.Redactions, change.Redaction{TableID: r.TableID, Document: string(r.DocumentID), Version: r.Version})
		}
	}
	for _, e := range block.TableEvents() {
		switch e.Kind {
		case journal.TableDropped:
			item.Events = append(item.Events, change.TableDrop{Name: e.Name})
		case journal.TableUndropped:
			item.Events = append(item.Events, change.TableDrop{TableID: e.TableID, Undrop: true})
		case journal.TableCreated: // its first revision tells its id
		}
	}
	return item, nil
}

func (d *itemizer) revision(b *batch, e *entry, item change.Item, event *stream.Revision) error {
	block := event.Block
	if err := d.foreign(block); err != nil {
		return err
	}
	if d.loaded(change.Position{Major: block.SequenceNo}) {
		b.skipped++
		e.items = []change.Item{item}
		return nil
	}
	if err := tampered(d.verifier.VerifyRevisions(block)); err != nil {
		return err
	}
	b.block = max(b.block, block.SequenceNo)
	r := &block.Revisions[0]
	b.at(string(r.TxTime))
	table := event.Table()
	var plan *mapping.Plan
	rec, err := event.Record()
	wanted := table.ID == "" || d.wanted == nil || d.wanted[table.Name]
	if wanted && table.Name != "" {
		var unnamed error
		if plan, unnamed = d.rules.Plan(table.Name); unnamed != nil {
			plan, err = nil, errors.Join(err, unnamed)
		} else {
			wanted = !plan.Skip
		}
	}
	revision := &change.RevisionItem{
		Table: table, Document: string(r.DocumentID), Version: r.Version, Block: block.SequenceNo, Hash: bytes.Clone(r.Hash),
		Deleted: r.Deleted(), Redacted: r.Redacted(), TransactionID: string(r.TxID),
	}
	if !wanted {
		b.skipped++
		item.Revision = revision
		e.items = []change.Item{item}
		return nil
	}
	if plan != nil {
		revision.Current = plan.Current.Name
		if !d.ensured[table] {
			d.unseen[table] = plan
		}
	}
	if err == nil {
		revision.Row, err = d.map_(plan, rec)
	}
	if err != nil {
		e.poison(item.Mark, setAside{
			Reason: whyAside(rec, err), Table: table.Name, TableID: table.ID, Current: revision.Current,
			Document: revision.Document, Version: int64(revision.Version), Block: revision.Block, Hash: revision.Hash,
		})
		return nil
	}
	item.Revision = revision
	e.items = []change.Item{item}
	return nil
}

// map_ makes the row of a revision.
func (d *itemizer) map_(plan *mapping.Plan, rec *change.Record) ([]byte, error) {
	row, err := plan.Map(rec)
	if err != nil {
		return nil, err
	}
	if d.row, err = copytext.AppendJSON(d.row[:0], row); err != nil {
		return nil, err
	}
	return bytes.Clone(d.row), nil
}

// whyAside is aside's reason, with its path.
func whyAside(rec *change.Record, err error) string {
	if rec == nil {
		return err.Error()
	}
	a := aside(rec, err)
	if a.Path != "" {
		return a.Path + ": " + a.Reason
	}
	return a.Reason
}

// missing are the tables that rows of b are of, and that are not known.
func (d *itemizer) missing(b *batch) (names []change.TableName) {
	for i := range b.entries {
		if b.entries[i].row == nil {
			continue
		}
		if name := d.tableName(b.entries[i].row); d.tables[name] == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// tableName is the target's name for the table of a row.
func (d *itemizer) tableName(c *stream.Change) change.TableName {
	name := change.TableName{Schema: c.Schema, Name: c.Table}
	if d.stream.Schema != "" {
		name.Schema = d.stream.Schema
	}
	return name
}

// know notes what the target has under names.
func (d *itemizer) know(names []change.TableName, found []change.RowTable) {
	for _, name := range names {
		t := &rowTable{fresh: true}
		i := slices.IndexFunc(found, func(r change.RowTable) bool { return r.Schema == name.Schema && r.Name == name.Name })
		if i < 0 {
			t.why = fmt.Errorf("the target has no table %s.%s: make it, with the key that it has in the source, or leave it out at the source, and replay", name.Schema, name.Name)
		} else {
			t.table, t.why = stream.NewTable(found[i])
		}
		d.tables[name] = t
	}
}

// rows converts the rows of b. It returns the tables that refused one and were
// not read for this batch: the target may have changed them since, so read them
// and convert again.
func (d *itemizer) rows(b *batch) (stale []change.TableName) {
	for i := range b.entries {
		e := &b.entries[i]
		if e.row == nil {
			continue
		}
		name := d.tableName(e.row)
		t := d.tables[name]
		mark := e.items[0].Mark
		err := t.why
		var rows []change.RowItem
		if err == nil {
			rows, err = e.row.Rows(t.table)
		}
		switch {
		case err != nil && !t.fresh:
			if !slices.Contains(stale, name) {
				stale = append(stale, name)
			}
			continue
		case err != nil:
			e.poison(mark, setAside{Reason: err.Error(), Table: name.Schema + "." + name.Name, Block: -1})
		default:
			e.items = e.items[:0]
			for k := range rows {
				e.items = append(e.items, change.Item{Mark: mark, Row: &rows[k]})
			}
		}
		e.row = nil
	}
	return stale
}

// poison sets a message aside.
func (e *entry) poison(mark change.Mark, a setAside) {
	a.mark = mark
	e.aside = &a
	e.row = nil
	e.items = []change.Item{{Mark: mark, Aside: &change.AsideItem{
		Reason: a.Reason, Table: change.SourceTable{ID: a.TableID, Name: a.Table}, Current: a.Current,
		Document: a.Document, Version: change.Version(a.Version), Block: a.Block, Hash: a.Hash,
	}}}
}
