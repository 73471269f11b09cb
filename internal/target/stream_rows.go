package target

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"godwit/internal/change"
)

// maxKey is the longest key, in bytes, that heads keep as it is: PostgreSQL's
// index holds no more than 2,704 bytes of a row.
const maxKey = 512

// A part is the writes of a request to one table that have the same columns, or
// its deletions.
type part struct {
	ID      int      `json:"id"`
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	From    string   `json:"from,omitempty"`
	Deleted bool     `json:"deleted,omitempty"`
	Columns []string `json:"columns"`
}

// A partKey tells parts apart.
type partKey struct {
	schema, name, from string
	deleted            bool
	columns            string // quoted and joined
}

type rowKey struct{ schema, name, from, key string }

// A rowWrite is the newest write to one row in a request.
type rowWrite struct {
	part *part
	item *change.RowItem
}

// A rowHead guards one row.
type rowHead struct {
	Key     string `json:"key"`
	Major   int64  `json:"major"`
	Minor   int64  `json:"minor,omitempty"`
	Tie     string `json:"tie,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Part    int    `json:"part"`
	Number  int    `json:"number"` // of the write in its part, from 1
}

func partOf(x *change.RowItem, columns []string) partKey {
	return partKey{x.Schema, x.Table, x.From, x.Deleted, fmt.Sprintf("%q", columns)}
}

func keyOf(x *change.RowItem) rowKey {
	key := x.Key
	if len(key) > maxKey {
		sum := sha256.Sum256([]byte(key))
		key = "sha256:" + hex.EncodeToString(sum[:])
	}
	return rowKey{x.Schema, x.Table, x.From, key}
}

// splits tells whether a message writes other columns of a row that the request
// writes already: the two must come one after the other.
func (r *request) splits(message []change.Item) bool {
	for i := range message {
		x := message[i].Row
		if x == nil || x.Deleted {
			continue
		}
		if was := r.writes[keyOf(x)]; was != nil && !was.part.Deleted {
			if !slices.Equal(r.membersOf(x), was.part.Columns) {
				return true
			}
		}
	}
	return false
}

func (r *request) addRow(x *change.RowItem) {
	if r.below(x.Position.Major) {
		r.skipped++
		return
	}
	columns := r.membersOf(x)
	r.reached(x.Position, x.At)
	key := keyOf(x)
	was := r.writes[key]
	if was != nil {
		r.skipped++
		if was.item.Position.Compare(x.Position) > 0 {
			return
		}
	} else {
		was = &rowWrite{}
		r.writes[key] = was
		r.order = append(r.order, key)
	}
	id := partOf(x, columns)
	p := r.parts[id]
	if p == nil {
		p = &part{len(r.parts), x.Schema, x.Table, x.From, x.Deleted, columns}
		r.parts[id] = p
	}
	was.part, was.item = p, x
}

// writeRows writes the heads of rows, and returns the rows of each part in the
// order in which the request met them: parents, as a rule, before what refers to
// them.
func (r *request) writeRows(b *bytes.Buffer) [][]byte {
	heads := make([]rowHead, 0, len(r.order))
	parts := make([]*part, len(r.parts))
	rows := make([][]byte, len(r.parts))
	count := make([]int, len(r.parts))
	for _, key := range r.order {
		w := r.writes[key]
		n := w.part.ID
		if count[n]++; count[n] > 1 {
			rows[n] = append(rows[n], ',')
		}
		parts[n] = w.part
		rows[n] = append(rows[n], w.item.Row...)
		p := w.item.Position
		heads = append(heads, rowHead{key.key, p.Major, p.Minor, p.Tie, w.item.Deleted, n, count[n]})
	}
	b.WriteString(`,"heads":`)
	appendJSON(b, heads)
	b.WriteString(`,"parts":`)
	appendJSON(b, slices.DeleteFunc(parts, func(p *part) bool { return p == nil })) // newer writes took the place of all of its own
	return rows
}

// membersOf lists the columns that a row names, in its order; nil where it is no
// JSON object that names any.
func (r *request) membersOf(x *change.RowItem) []string {
	names, ok := r.known[x]
	if !ok {
		names = members(x.Row)
		r.known[x] = names
	}
	return names
}

func members(object []byte) (names []string) {
	object = bytes.TrimLeft(object, " \t\r\n")
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		return nil
	}
	depth, value := 0, false
	for i := 0; i < len(object); i++ {
		switch c := object[i]; c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ':':
			value = true
		case ',':
			value = value && depth > 1
		case '"':
			start := i
			for i++; object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
			if depth == 1 && !value {
				var name string
				if json.Unmarshal(object[start:i+1], &name) != nil {
					return nil
				}
				names = append(names, name)
			}
		}
	}
	return names
}
