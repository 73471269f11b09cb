package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
)

// Values yields the values of the named columns, in their order, for each of the
// rows [from, to): Null, Bool, Int, Float, Bytes or Text, as they stand in the
// part, and nothing checked of a text. It is the plain way of reading, value by
// value, for whoever must not rely on an Encoder. values is valid until yield
// returns. An error is as Encode's; it can be repeated from any row on.
func (p *Part) Values(ctx context.Context, from, to int64, columns []string, yield func(row int64, values []change.Value) error) error {
	if from < 0 || from > to || to > p.rows {
		return fmt.Errorf("read rows %d to %d: the part has %d", from, to, p.rows)
	}
	places := make([]int, len(columns))
	for i, name := range columns {
		places[i] = -1
		for j := range p.columns {
			if p.columns[j].Name == name {
				places[i] = j
			}
		}
		if places[i] < 0 || p.columns[places[i]].Kind == Other {
			return p.source.blame("", fmt.Errorf("it has no column %s of a kind that exports of PostgreSQL have", name))
		}
	}
	var held []byte
	for g, group := range p.groups {
		first, last := max(from, group.First), min(to, group.First+group.Rows)
		if first >= last {
			continue
		}
		if err := p.groupValues(ctx, g, first, last, places, &held, yield); err != nil {
			return err
		}
	}
	return nil
}

func (p *Part) groupValues(ctx context.Context, g int, from, to int64, places []int, held *[]byte, yield func(int64, []change.Value) error) error {
	sources, err := p.group(g, places, held)
	if err != nil {
		return err
	}
	walks := make([]walk, len(places))
	defer func() {
		for i := range walks {
			walks[i].close()
		}
	}()
	for i, place := range places {
		if walks[i].chunk, err = p.chunk(&p.columns[place], g, sources[i]); err != nil {
			return p.source.blame(fmt.Sprintf("row group %d, column %s", g, p.columns[place].Name), err)
		}
	}
	values := make([]change.Value, len(places))
	for row := p.groups[g].First; row < to; row++ {
		if row&0xff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		for i := range walks {
			w := &walks[i]
			if w.at == len(w.read) {
				if err := w.fill(); err != nil {
					return p.source.blame(w.chunk.where(), err)
				}
			}
			if row >= from {
				values[i] = valueOf(&w.read[w.at], p.columns[places[i]].Kind)
			}
			w.at++
		}
		if row < from {
			continue
		}
		if err := yield(row, values); err != nil {
			return err
		}
	}
	return nil
}

// A walk reads a column of a row group through the library's values.
type walk struct {
	chunk  *chunk
	page   parquet.Page
	values parquet.ValueReader
	room   [256]parquet.Value
	read   []parquet.Value
	at     int
}

// fill reads the next values of the column.
func (w *walk) fill() (err error) {
	defer contain(&err)
	for {
		if w.values != nil {
			n, err := w.values.ReadValues(w.room[:])
			if w.read, w.at = w.room[:n], 0; n > 0 {
				return nil
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		parquet.Release(w.page)
		w.page, w.values = nil, nil
		page, err := w.chunk.read()
		if err != nil {
			return err
		}
		w.page, w.values = page, page.Values()
	}
}

func (w *walk) close() {
	if w.chunk == nil {
		return
	}
	parquet.Release(w.page)
	w.chunk.close()
}

func valueOf(v *parquet.Value, kind Kind) change.Value {
	if v.IsNull() {
		return change.Value{Kind: change.Null}
	}
	switch kind {
	case Bool:
		if v.Boolean() {
			return change.Value{Kind: change.Bool, Int: 1}
		}
		return change.Value{Kind: change.Bool}
	case Int32:
		return change.Value{Kind: change.Int, Int: int64(v.Int32())}
	case Int64:
		return change.Value{Kind: change.Int, Int: v.Int64()}
	case Float:
		return change.Value{Kind: change.Float, Int: int64(math.Float64bits(float64(v.Float())))}
	case Double:
		return change.Value{Kind: change.Float, Int: int64(math.Float64bits(v.Double()))}
	case Bytes:
		return change.Value{Kind: change.Bytes, Bytes: v.ByteArray()}
	case Text:
		return change.Value{Kind: change.Text, Bytes: v.ByteArray()}
	case Other: // refused before
	}
	return change.Value{}
}
