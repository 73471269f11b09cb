package target

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
)

const (
	// maxRequest is the Data API's limit of one request, headers and JSON
	// notation included.
	maxRequest = 4 << 20
	// requestFrame is what is kept free of a request for everything but the
	// records: headers with the signature, ARNs, the statement.
	requestFrame = 16 << 10
	// defaultRequest keeps a request far from the 45 s that a call may take, and
	// some way from a limit that the service measures, not we. What a transaction
	// costs by itself is little beside so many rows.
	defaultRequest = 3 << 20
)

func (db *DB) requestBytes() int {
	n := db.RequestBytes
	if n <= 0 {
		n = defaultRequest
	}
	return min(n, maxRequest)
}

// A request is the items of one transaction on their way into godwit.apply.
type request struct {
	stream   change.Stream
	items    int // that it holds
	messages int
	skipped  int // at or below the boundary, brought twice, or of tables that the mapping leaves out
	aside    int
	bytes    int             // of the body, at most
	behind   *IntegrityError // the message behind those contradicts one of them

	notes      notes
	shards     map[string]string
	sources    map[string]*source // by id
	revisions  map[revisionKey]*change.RevisionItem
	rows       map[string][]byte // by current table: JSON objects with commas between
	blocks     map[int64]*block
	hidden     []hidden
	redactions []redaction
	events     []event

	parts  map[partKey]*part
	writes map[rowKey]*rowWrite
	order  []rowKey                     // in which writes were met
	known  map[*change.RowItem][]string // members of rows
}

type revisionKey struct {
	current, document string
	version           change.Version
}

func keyOfRevision(x *change.RevisionItem) revisionKey {
	return revisionKey{x.Current, x.Document, x.Version}
}

// newRequest makes a request of as many messages as have room in limit bytes, one
// at least: a *RefusedError when that one has none.
func newRequest(s change.Stream, items []change.Item, limit int) (*request, error) {
	r := &request{
		stream: s, bytes: requestFrame, shards: map[string]string{}, sources: map[string]*source{},
		revisions: map[revisionKey]*change.RevisionItem{}, rows: map[string][]byte{},
		blocks: map[int64]*block{}, parts: map[partKey]*part{}, writes: map[rowKey]*rowWrite{}, known: map[*change.RowItem][]string{},
	}
	for r.items < len(items) {
		next := items[r.items:]
		next = next[:message(next)]
		size, refused := r.bytesOf(next), r.check(next)
		if r.bytes+size > limit && refused == nil {
			refused = &RefusedError{State: "54000", Detail: fmt.Sprintf("the message needs a request of %d bytes, and the Data API takes %d", r.bytes+size, limit)}
		}
		if r.messages > 0 && (refused != nil || r.splits(next)) {
			break
		}
		if refused != nil {
			return r, refused
		}
		if r.behind = r.contradiction(next); r.behind != nil {
			break
		}
		for i := range next {
			r.add(&next[i])
		}
		r.bytes += size
		r.items += len(next)
		r.messages++
	}
	return r, nil //nolint:nilerr // a message that is refused begins the next request, which says so
}

func (r *request) add(item *change.Item) {
	if was, ok := r.shards[item.Mark.Shard]; !ok || len(was) < len(item.Mark.Sequence) || len(was) == len(item.Mark.Sequence) && was < item.Mark.Sequence {
		r.shards[item.Mark.Shard] = item.Mark.Sequence
	}
	switch {
	case item.Revision != nil:
		r.addRevision(item.Revision)
	case item.Block != nil:
		r.addBlock(item.Block, item.Mark)
	case item.Row != nil:
		r.addRow(item.Row)
	case item.Aside != nil:
		r.addAside(item.Aside)
	}
}

// contradiction tells whether a message says something else of a revision or a
// block than the request does: the target would see one of them alone.
func (r *request) contradiction(message []change.Item) *IntegrityError {
	for i := range message {
		switch item := &message[i]; {
		case item.Revision != nil:
			x := item.Revision
			if was := r.revisions[keyOfRevision(x)]; was != nil && !r.below(x.Block) && !bytes.Equal(was.Hash, x.Hash) {
				return &IntegrityError{Stream: r.stream.Name, Message: fmt.Sprintf("document %s version %d comes with two revision hashes", x.Document, x.Version)}
			}
		case item.Block != nil:
			x := item.Block
			if was := r.blocks[x.Block]; was != nil && was.summary != nil && !bytes.Equal(was.summary.Hash, x.Hash) {
				return &IntegrityError{Stream: r.stream.Name, Message: fmt.Sprintf("block %d comes with two block hashes", x.Block)}
			}
		}
	}
	return nil
}

// check refuses a message that would spoil the request for its neighbours.
func (r *request) check(message []change.Item) *RefusedError {
	for i := range message {
		switch item := &message[i]; {
		case item.Revision != nil:
			if x := item.Revision; x.Current != "" && !json.Valid(x.Row) {
				return &RefusedError{State: "22P02", Detail: fmt.Sprintf("the row of document %s, version %d, is not JSON", x.Document, x.Version)}
			}
		case item.Row != nil:
			if x := item.Row; r.membersOf(x) == nil {
				return &RefusedError{State: "22P02", Detail: fmt.Sprintf("a row of table %s.%s is not a JSON object with columns", x.Schema, x.Table)}
			}
		}
	}
	return nil
}

// below tells whether a position was loaded. Rows of a stream without a boundary
// were not, the first ones, which DMS copies, included: they are at position zero.
func (r *request) below(major int64) bool {
	return major <= r.stream.Boundary.Major && (r.stream.Source == change.SourceQLDB || r.stream.Boundary != change.Position{})
}

// reached notes that the stream came to a position.
func (r *request) reached(p change.Position, at string) {
	if r.notes.Major == nil || p.Compare(change.Position{Major: *r.notes.Major, Minor: r.notes.Minor, Tie: r.notes.Tie}) > 0 {
		r.notes.Major, r.notes.Minor, r.notes.Tie = &p.Major, p.Minor, p.Tie
	}
	if at > r.notes.At {
		r.notes.At = at
	}
}

func (r *request) addRevision(x *change.RevisionItem) {
	if r.below(x.Block) {
		r.skipped++
		return
	}
	r.reached(change.Position{Major: x.Block}, "")
	r.sees(x.Block, x.Hash)
	if x.Current == "" {
		r.skipped++
		return
	}
	key := keyOfRevision(x)
	if was, ok := r.revisions[key]; ok {
		r.skipped++
		if x.Redacted && !was.Redacted && r.stream.ApplyRedactions {
			*was = *x
		}
		return
	}
	own := *x
	r.revisions[key] = &own
	of := r.sources[x.Table.ID]
	if of == nil {
		of = &source{x.Table.ID, x.Table.Name, x.Current, x.Block}
		r.sources[x.Table.ID] = of
	}
	of.Block = max(of.Block, x.Block)
}

// A block is what a request tells of one block.
type block struct {
	Block    int64    `json:"block"`
	Hash     *string  `json:"hash,omitempty"` // nil: its summary is elsewhere
	Previous *string  `json:"previous,omitempty"`
	Record   string   `json:"record,omitempty"` // that its summary came in
	Awaited  []string `json:"awaited,omitempty"`
	Seen     []string `json:"seen,omitempty"`  // nothing where Whole
	Whole    bool     `json:"whole,omitempty"` // all that it awaits was seen, and nothing else
	summary  *change.BlockItem
}

func (r *request) block(n int64) *block {
	b := r.blocks[n]
	if b == nil {
		b = &block{Block: n}
		r.blocks[n] = b
	}
	return b
}

// sees notes that a revision of a block came.
func (r *request) sees(n int64, hash []byte) {
	b := r.block(n)
	if text := base64.StdEncoding.EncodeToString(hash); !slices.Contains(b.Seen, text) {
		b.Seen = append(b.Seen, text)
	}
}

// finish notes whether the block came whole: what it awaits is then not told twice.
func (b *block) finish() {
	if b.summary != nil && slices.Equal(slices.Sorted(slices.Values(b.Seen)), slices.Sorted(slices.Values(b.Awaited))) {
		b.Whole, b.Seen = true, nil
	}
}

type redaction struct {
	change.Redaction
	Block int64 `json:"block"`
}

type event struct {
	change.TableDrop
	Block int64 `json:"block"`
}

func (r *request) addBlock(x *change.BlockItem, mark change.Mark) {
	if r.below(x.Block) {
		r.skipped++
		return
	}
	r.reached(change.Position{Major: x.Block}, x.Timestamp)
	b := r.block(x.Block)
	if b.summary != nil {
		r.skipped++
		return
	}
	hash, previous := base64.StdEncoding.EncodeToString(x.Hash), base64.StdEncoding.EncodeToString(x.PreviousHash)
	b.Hash, b.Previous, b.Record, b.Awaited, b.summary = &hash, &previous, mark.Record(), []string{}, x
	for _, h := range x.Revisions {
		b.Awaited = append(b.Awaited, base64.StdEncoding.EncodeToString(h))
	}
	for _, x2 := range x.Redactions {
		r.redactions = append(r.redactions, redaction{x2, x.Block})
	}
	for _, e := range x.Events {
		r.events = append(r.events, event{e, x.Block})
	}
}

// A hidden is a document whose revision is set aside: older ones must not show.
type hidden struct {
	TableID   string         `json:"table_id"`
	TableName string         `json:"table_name"`
	Document  string         `json:"doc_id"`
	Version   change.Version `json:"version"`
	Object    string         `json:"object"`
	Block     int64          `json:"block"`
	Reason    string         `json:"reason"`
}

// An aside is a message in quarantine.
type aside struct {
	Object    string         `json:"object"`
	Reason    string         `json:"reason"`
	TableName string         `json:"table_name"`
	Document  string         `json:"doc"`
	Version   change.Version `json:"version"`
	Block     int64          `json:"block"`
}

func (r *request) addAside(x *change.AsideItem) {
	if r.stream.Source == change.SourceQLDB && x.Block >= 0 && r.below(x.Block) {
		r.skipped++
		return
	}
	r.aside++
	r.notes.Asides = append(r.notes.Asides, aside{x.Object, x.Reason, x.Table.Name, x.Document, x.Version, x.Block})
	if r.stream.Source != change.SourceQLDB {
		return
	}
	if x.Block >= 0 && x.Hash != nil {
		r.sees(x.Block, x.Hash)
	}
	if x.Document != "" {
		r.hidden = append(r.hidden, hidden{x.Table.ID, x.Table.Name, x.Document, x.Version, x.Object, x.Block, x.Reason})
	}
}

// A source is a ledger table of a request.
type source struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Current string `json:"current"`
	Block   int64  `json:"block"` // the greatest that brings a revision of it
}

// notes is what is noted of the stream itself.
type notes struct {
	Major  *int64               `json:"major,omitempty"` // nil: nothing but messages without a position
	Minor  int64                `json:"minor,omitempty"`
	Tie    string               `json:"tie,omitempty"`
	At     string               `json:"at,omitempty"`
	Shards []change.ShardStatus `json:"shards"`
	Asides []aside              `json:"asides,omitempty"`
}

// rowsSeparator stands before each array of rows, behind everything else.
const rowsSeparator = '\x1e'

// text is the request as godwit.apply reads it.
func (r *request) text() string {
	var b bytes.Buffer
	for shard, sequence := range r.shards {
		r.notes.Shards = append(r.notes.Shards, change.ShardStatus{Shard: shard, Sequence: sequence})
	}
	slices.SortFunc(r.notes.Shards, func(a, b change.ShardStatus) int { return strings.Compare(a.Shard, b.Shard) })
	b.WriteString(`{"notes":`)
	appendJSON(&b, r.notes)
	var rows [][]byte
	if r.stream.Source == change.SourceQLDB {
		rows = r.writeRevisions(&b)
	} else {
		rows = r.writeRows(&b)
	}
	b.WriteByte('}')
	for _, x := range rows {
		b.WriteByte(rowsSeparator)
		b.WriteByte('[')
		b.Write(x)
		b.WriteByte(']')
	}
	return b.String()
}

// writeRevisions returns the rows of each table.
func (r *request) writeRevisions(b *bytes.Buffer) (rows [][]byte) {
	member := func(name string, some bool, v any) {
		if some {
			fmt.Fprintf(b, ",%q:", name)
			appendJSON(b, v)
		}
	}
	for _, b := range r.blocks {
		b.finish()
	}
	member("sources", len(r.sources) > 0, slices.Collect(maps.Values(r.sources)))
	member("blocks", len(r.blocks) > 0, slices.Collect(maps.Values(r.blocks)))
	member("hidden", len(r.hidden) > 0, r.hidden)
	member("redactions", len(r.redactions) > 0, r.redactions)
	member("events", len(r.events) > 0, r.events)
	for _, x := range r.revisions {
		own := r.rows[x.Current]
		if own != nil {
			own = append(own, ',')
		}
		r.rows[x.Current] = append(own, x.Row...)
	}
	tables := slices.Sorted(maps.Keys(r.rows))
	member("tables", len(tables) > 0, tables)
	for _, current := range tables {
		rows = append(rows, r.rows[current])
	}
	return rows
}

// appendJSON writes v, with characters as they are.
func appendJSON(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings and numbers, into memory: nothing can fail
}

// bytesOf is how many bytes more the body of the request needs for a message, at
// most: JSON in a JSON string.
func (r *request) bytesOf(message []change.Item) int {
	const (
		object = 160 // member names, numbers, quotes and commas of one object
		hash   = 60  // in base64, with its quotes
	)
	n := 0
	if mark := message[0].Mark; r.shards[mark.Shard] == "" {
		n += object + twice(mark.Shard) + twice(mark.Sequence)
	}
	for i := range message {
		switch item := &message[i]; {
		case item.Revision != nil:
			x := item.Revision
			n += len(",") + escapedLen(x.Row)
			if r.sources[x.Table.ID] == nil {
				n += 2*object + 2*twice(x.Current) + twice(x.Table.ID) + twice(x.Table.Name)
			}
			if n += hash; r.blocks[x.Block] == nil {
				n += object
			}
		case item.Block != nil:
			x := item.Block
			n += object + 2*hash + hash*len(x.Revisions) + twice(x.Timestamp) + twice(item.Mark.Record())
			for _, y := range x.Redactions {
				n += object + twice(y.TableID) + twice(y.Document)
			}
			for _, y := range x.Events {
				n += object + twice(y.TableID) + twice(y.Name)
			}
		case item.Row != nil:
			x := item.Row
			n += object + twice(x.Key) + twice(x.Position.Tie) + twice(x.At) + len(",") + escapedLen(x.Row)
			if columns := r.membersOf(x); r.parts[partOf(x, columns)] == nil {
				n += object + twice(x.Schema) + twice(x.Table) + twice(x.From)
				for _, c := range columns {
					n += len(",") + twice(c)
				}
			}
		case item.Aside != nil:
			x := item.Aside
			n += 2*object + object + hash + 2*twice(x.Object) + 2*twice(x.Reason) + twice(x.Table.ID) + 2*twice(x.Table.Name) + 2*twice(x.Document)
		}
	}
	return n
}

// twice is how many bytes a string has at most as a JSON string within a JSON
// string.
func twice(s string) int {
	n := 4 // quotes
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			n += 4
		case c < ' ' || c >= utf8.RuneSelf:
			n += 7
		default:
			n++
		}
	}
	return n
}

// escapedLen is how many bytes text has within a JSON string of the client's.
func escapedLen[T ~string | ~[]byte](text T) int {
	n := len(text)
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
				n += len(`\u0000`) - size
			}
			i += size
			continue
		}
		i++
	}
	return n
}
