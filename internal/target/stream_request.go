package target

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	// defaultRequest keeps a request far from the 45 s that a call may take.
	defaultRequest = 2 << 20
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
	skipped  int // at or below the boundary, or of tables that the mapping leaves out
	bytes    int // of the body, at most

	revisions map[revisionKey]*change.RevisionItem
	newest    map[docKey]*change.RevisionItem
	rows      map[string][]byte // by current table
	names     map[string]string // of ledger tables, by id
	sources   map[string]string // current table by ledger table id
	shards    map[string]string
}

type docKey struct{ current, doc string }

type revisionKey struct {
	docKey
	version change.Version
}

// newRequest makes a request of as many messages as have room in limit bytes, one
// at least: a *RefusedError when that one has none.
func newRequest(s change.Stream, items []change.Item, limit int) (*request, error) {
	r := &request{
		stream: s, bytes: requestFrame,
		revisions: map[revisionKey]*change.RevisionItem{}, newest: map[docKey]*change.RevisionItem{}, rows: map[string][]byte{},
		names: map[string]string{}, sources: map[string]string{}, shards: map[string]string{},
	}
	for r.items < len(items) {
		next := items[r.items:]
		next = next[:message(next)]
		size := 0
		for i := range next {
			size += itemBytes(&next[i])
		}
		if r.bytes+size > limit {
			if r.messages > 0 {
				break
			}
			return nil, &RefusedError{State: "54000", Detail: fmt.Sprintf("the message needs a request of %d bytes, and the Data API takes %d", r.bytes+size, limit)}
		}
		for i := range next {
			if err := r.add(&next[i]); err != nil {
				return nil, err
			}
		}
		r.bytes += size
		r.items += len(next)
		r.messages++
	}
	return r, nil
}

func (r *request) add(item *change.Item) error {
	if was, ok := r.shards[item.Mark.Shard]; !ok || lessSequence(was, item.Mark.Sequence) {
		r.shards[item.Mark.Shard] = item.Mark.Sequence
	}
	if x := item.Revision; x != nil {
		return r.addRevision(x)
	}
	return nil
}

// lessSequence compares decimal numbers without leading zeros.
func lessSequence(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

func (r *request) addRevision(x *change.RevisionItem) error {
	if x.Block <= r.stream.Boundary.Major || x.Current == "" {
		r.skipped++
		return nil
	}
	if !json.Valid(x.Row) {
		return &RefusedError{State: "22P02", Detail: fmt.Sprintf("the row of document %s, version %d, is not JSON", x.Document, x.Version)}
	}
	doc := docKey{x.Current, x.Document}
	key := revisionKey{doc, x.Version}
	if was, ok := r.revisions[key]; ok {
		if !bytes.Equal(was.Hash, x.Hash) {
			return &IntegrityError{Stream: r.stream.Name, Message: fmt.Sprintf("document %s version %d comes with two revision hashes", x.Document, x.Version)}
		}
		return nil
	}
	r.revisions[key] = x
	r.names[x.Table.ID], r.sources[x.Table.ID] = x.Table.Name, x.Current
	if was, ok := r.newest[doc]; !ok || was.Version < x.Version {
		r.newest[doc] = x
	}
	rows := r.rows[x.Current]
	if len(rows) > 0 {
		rows = append(rows, ',')
	}
	r.rows[x.Current] = append(rows, x.Row...)
	return nil
}

// A headDoc is the newest revision of a document in a request.
type headDoc struct {
	Current string         `json:"current"`
	Doc     string         `json:"doc"`
	Version change.Version `json:"version"`
	Deleted bool           `json:"deleted,omitempty"`
	Hash    string         `json:"hash"`
	ID      string         `json:"id"` // of the ledger table
}

// text is the request as godwit.apply reads it.
func (r *request) text() string {
	docs := make([]headDoc, 0, len(r.newest))
	for _, x := range r.newest {
		docs = append(docs, headDoc{x.Current, x.Document, x.Version, x.Deleted, base64.StdEncoding.EncodeToString(x.Hash), x.Table.ID})
	}
	slices.SortFunc(docs, func(a, b headDoc) int { return strings.Compare(a.Doc, b.Doc) })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteString(`{"docs":`)
	_ = enc.Encode(docs) // strings and numbers into memory: nothing can fail
	b.WriteString(`,"rows":{`)
	sep := ""
	for current, rows := range r.rows {
		b.WriteString(sep)
		_ = enc.Encode(current)
		b.WriteString(":[")
		b.Write(rows)
		b.WriteString("]")
		sep = ","
	}
	b.WriteString("}}")
	return b.String()
}

// itemBytes is how many bytes an item needs in the body of a request at most:
// JSON in a JSON string.
func itemBytes(item *change.Item) int {
	n := 160 // names and numbers of the shard's note
	if x := item.Revision; x != nil {
		n += 2*escapedLen(x.Current) + 2*escapedLen(x.Document) + 2*escapedLen(x.Table.ID) + 2*len(x.Hash) + escapedLen(x.Row) + 160
	}
	return n
}

// escapedLen is how many bytes text has within a JSON string of the client's.
func escapedLen[T ~string | ~[]byte](text T) int {
	n := len(text)
	for i := 0; i < len(text); {
		switch c := text[i]; {
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
