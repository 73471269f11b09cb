package source

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"godwit/internal/local/cdc"
)

// dsql renders as Aurora DSQL's change stream does: what a transaction did to each
// row in the end, in no order. Its tables have REPLICA IDENTITY FULL, or a large
// value that an update left alone is missing.
type dsql struct {
	cluster string
	now     int64           // commit time of the latest transaction, in nanoseconds
	tip     int64           // of the latest that had an effect
	times   map[int64]int64 // of transactions by their end: a repeat has the same
	chance  *rand.Rand
	built   func() time.Time
}

// A net is what a transaction did to one row.
type net struct {
	relation *relation
	was      bool    // there before
	key      []value // a row with the key
	row      []value // nil when it is gone
}

func (d *dsql) render(l *changeLog, t *transaction) (out []record, err error) {
	at, ok := d.times[t.end]
	if !ok {
		// The server's clock has microseconds, and may give two commits the same.
		at = max(t.commit.UnixNano(), d.now+1)
		d.now, d.times[t.end] = at, at
	}
	for _, n := range nets(l, t) {
		if !n.was && n.row == nil {
			continue
		}
		x := n.relation
		row := cdc.Row{Op: cdc.Insert, Schema: x.schema, Table: x.name, Transaction: fmt.Sprintf("tx%d", t.id), Commit: time.Unix(0, at), Built: d.built()}
		row.Columns = images(x, n.row, false)
		if n.was {
			row.Op = cdc.Update
		}
		if n.row == nil {
			row.Op = cdc.Delete
			keys := l.keys[x.oid]
			row.Columns = slices.DeleteFunc(images(x, n.key, false), func(c cdc.Column) bool { return !slices.Contains(keys, c.Name) })
		}
		records, err := cdc.DSQL(row, d.cluster)
		if err != nil {
			return nil, fmt.Errorf("table %s.%s: %w", x.schema, x.name, err)
		}
		for _, data := range records {
			out = append(out, record{key: fmt.Sprintf("%016x", d.chance.Uint64()), data: data})
		}
		d.tip = max(d.tip, at)
	}
	return out, nil
}

// nets sums a transaction up by row. Rows without a key are inserted only.
func nets(l *changeLog, t *transaction) (out []*net) {
	known := map[string]*net{}
	of := func(x *relation, row []value, was bool) *net {
		key := l.key(x, row)
		id := quoted(x.schema, x.name) + joined(key)
		n := known[id]
		if n == nil || key == nil {
			n = &net{relation: x, was: was, key: row}
			known[id], out = n, append(out, n)
		}
		return n
	}
	for _, c := range t.changes {
		if c.before != nil {
			of(c.relation, c.before, true).row = nil
		}
		if c.after == nil {
			continue
		}
		row := slices.Clone(c.after)
		for i := range row {
			if row[i].unchanged && c.before != nil {
				row[i] = c.before[i]
			}
		}
		of(c.relation, row, c.op == updated && c.before == nil).row = row
	}
	return out
}
