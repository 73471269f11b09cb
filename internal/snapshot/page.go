package snapshot

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// A reader reads a column of one row group page by page. Of the current page it
// holds the values as the library decoded them, checked so that whoever indexes
// them need not ask again.
type reader struct {
	part   *Part
	column *Column
	chunk  *chunk
	page   parquet.Page

	rows   int    // of the page
	at     int    // next row
	levels []byte // a row's value is NULL where it is 0; nil where none is
	next   int    // place, among those that are not NULL, of the next row's value
	serial int    // of the page, among all that were read: 0 is none
	values values
	// index is the values' places in dict, where the page has a dictionary;
	// values is dict's then.
	index []int32
	dict  parquet.Dictionary
}

// values are those of a page, or of a dictionary, that are not NULL: one slice by
// the column's kind.
type values struct {
	bits    []byte // booleans, eight a byte from the lowest bit
	int32s  []int32
	int64s  []int64
	floats  []float32
	doubles []float64
	bytes   []byte
	offsets []uint32 // of bytes: one more than values
	count   int
}

// open begins to read a row group's column at a row of the group. Pages before
// that row are decoded: a page index would save it, but nothing guards one, and a
// wrong one would shift the column by rows.
func (r *reader) open(p *Part, column *Column, group int, from io.ReaderAt, row int64) error {
	r.close()
	*r = reader{part: p, column: column, serial: r.serial}
	var err error
	if r.chunk, err = p.chunk(column, group, from); err != nil {
		return p.source.blame(fmt.Sprintf("row group %d, column %s", group, column.Name), err)
	}
	for row > 0 {
		n, err := r.left()
		if err != nil {
			return err
		}
		n = int(min(int64(n), row))
		r.take(n)
		row -= int64(n)
	}
	return nil
}

// left returns how many rows of the current page are left, after reading the
// next one when there is none. The group has rows that were not read.
func (r *reader) left() (int, error) {
	for r.at == r.rows {
		if err := r.advance(); err != nil {
			return 0, r.part.source.blame(r.chunk.where(), err)
		}
	}
	return r.rows - r.at, nil
}

// take ends the work on n rows of the current page.
func (r *reader) take(n int) {
	r.next += r.present(n)
	r.at += n
}

// present returns how many of the next n rows are not NULL.
func (r *reader) present(n int) int {
	if r.levels == nil {
		return n
	}
	sum := 0
	for _, l := range r.levels[r.at : r.at+n] {
		sum += int(l)
	}
	return sum
}

func (r *reader) advance() (err error) {
	defer contain(&err)
	r.release()
	page, err := r.chunk.read()
	if err != nil {
		return err
	}
	r.page = page
	rows := page.NumRows()
	count, levels := int(rows), page.DefinitionLevels()
	if len(levels) > 0 {
		if len(levels) != count {
			return fmt.Errorf("a page has %d definition levels for %d rows", len(levels), rows)
		}
		count = 0
		for _, l := range levels {
			if l > 1 {
				return fmt.Errorf("a page has definition level %d in a flat column", l)
			}
			count += int(l)
		}
	}
	if dict := page.Dictionary(); dict != nil {
		err = r.lookUp(page, dict, count)
	} else {
		r.dict = nil
		err = r.values.set(r.column.Kind, page, count)
	}
	if err != nil {
		return err
	}
	r.rows, r.at, r.levels, r.next = int(rows), 0, levels, 0
	if len(levels) == 0 {
		r.levels = nil
	}
	r.serial++
	return nil
}

// lookUp takes a page whose values are places in a dictionary.
func (r *reader) lookUp(page parquet.Page, dict parquet.Dictionary, count int) error {
	data := page.Data()
	r.index = data.Int32()
	if len(r.index) < count {
		return fmt.Errorf("a page has %d values, its definition levels say %d", len(r.index), count)
	}
	if r.dict != dict {
		if err := r.values.set(r.column.Kind, dict.Page(), dict.Len()); err != nil {
			return fmt.Errorf("dictionary: %w", err)
		}
		r.dict = dict
	}
	for _, i := range r.index[:count] {
		if uint32(i) >= uint32(r.values.count) {
			return fmt.Errorf("a value is number %d of a dictionary of %d", i, r.values.count)
		}
	}
	return nil
}

// set takes the values of a page, of which there have to be count.
func (v *values) set(kind Kind, page parquet.Page, count int) error {
	data := page.Data()
	*v = values{count: count}
	var have int
	switch kind {
	case Bool:
		v.bits = data.Boolean()
		have = len(v.bits) * 8
	case Int32:
		v.int32s = data.Int32()
		have = len(v.int32s)
	case Int64:
		v.int64s = data.Int64()
		have = len(v.int64s)
	case Float:
		v.floats = data.Float()
		have = len(v.floats)
	case Double:
		v.doubles = data.Double()
		have = len(v.doubles)
	case Bytes, Text:
		v.bytes, v.offsets = data.ByteArray()
		have = len(v.offsets) - 1
		if count == 0 { // a page of NULL alone has no offset
			return nil
		}
		for i, last := 1, uint32(0); i <= min(have, count); i++ {
			if v.offsets[i] < last || int(v.offsets[i]) > len(v.bytes) {
				return fmt.Errorf("a value of a page lies outside of it")
			}
			last = v.offsets[i]
		}
		if have >= 0 && v.offsets[0] > v.offsets[min(1, have)] {
			return fmt.Errorf("a value of a page lies outside of it")
		}
	default:
		return fmt.Errorf("it is of a type that no export of PostgreSQL writes")
	}
	if have < count {
		return fmt.Errorf("a page has %d values, its definition levels say %d", have, count)
	}
	return nil
}

// release gives the current page's memory back.
func (r *reader) release() {
	if r.page != nil {
		parquet.Release(r.page)
	}
	r.page, r.rows, r.at, r.index = nil, 0, 0, nil
}

// close ends the reading; r may be opened again.
func (r *reader) close() {
	if r.chunk == nil {
		return
	}
	r.release()
	r.chunk.close()
	r.chunk, r.dict = nil, nil
}

// within returns how many of the next n rows have at most so many bytes together,
// but at least one.
func (r *reader) within(n, bytes int) int {
	v := &r.values
	if v.offsets == nil || r.dict != nil || v.count == 0 {
		return n
	}
	last := r.next + r.present(n)
	if int(v.offsets[last]-v.offsets[r.next]) <= bytes {
		return n
	}
	fits := 0
	for next := r.next; fits < n; fits++ {
		if r.levels == nil || r.levels[r.at+fits] != 0 {
			if next++; int(v.offsets[next]-v.offsets[r.next]) > bytes {
				break
			}
		}
	}
	return max(fits, 1)
}
