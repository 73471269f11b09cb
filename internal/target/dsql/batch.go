package dsql

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"godwit/internal/change"
)

// rowOverhead is what a row takes beside its values, in bytes of the 10 MiB:
// measured at 147 with a primary key alone, which is all that a table has while
// it is loaded.
const rowOverhead = 150

// A batch is consecutive rows that one transaction stores, or leaves out.
type batch struct {
	rows    change.Range
	data    []byte // the lines
	ends    []int  // as change.Lines has them
	refused []change.Refusal
	lines   int  // rows that have one
	full    bool // cut because no more went in
}

// add appends the row that comes next, which has no line where line is empty.
func (b *batch) add(row int64, line []byte) {
	if len(b.ends) == 0 {
		b.rows.First = row
	}
	b.rows.Last = row
	b.data = append(b.data, line...)
	b.ends = append(b.ends, len(b.data))
	if len(line) > 0 {
		b.lines++
	}
}

// line returns the line of a row, counted from the batch's first.
func (b *batch) line(i int) []byte {
	if i == 0 {
		return b.data[:b.ends[0]]
	}
	return b.data[b.ends[i-1]:b.ends[i]]
}

// rowOfLine returns the number of the row that has a line, counted from 0; the
// last row's where there are fewer lines.
func (b *batch) rowOfLine(n int) int64 {
	for i := range b.ends {
		if len(b.line(i)) == 0 {
			continue
		}
		if n == 0 {
			return b.rows.First + int64(i)
		}
		n--
	}
	return b.rows.Last
}

// counts account for the batch's rows.
func (b *batch) counts() change.Counts {
	c := change.Counts{Loaded: int64(b.lines), Refused: int64(len(b.refused))}
	c.Filtered = int64(len(b.ends)) - c.Loaded - c.Refused
	return c
}

// split cuts a batch of at least two lines into at most n, each with at least one.
func (b *batch) split(n int) []*batch {
	n = max(2, min(n, b.lines))
	most := (b.lines + n - 1) / n
	parts := []*batch{{}}
	refused := b.refused
	for i := range b.ends {
		row, line := b.rows.First+int64(i), b.line(i)
		p := parts[len(parts)-1]
		if len(line) > 0 && p.lines == most {
			p = &batch{}
			parts = append(parts, p)
		}
		p.add(row, line)
		for len(refused) > 0 && refused[0].Row == row {
			p.refused, refused = append(p.refused, refused[0]), refused[1:]
		}
	}
	return parts
}

// refuse makes the batch's only line a refused row.
func (b *batch) refuse(column, reason string) {
	row := b.rowOfLine(0)
	b.data, b.lines = b.data[:0], 0
	for i := range b.ends {
		b.ends[i] = 0
	}
	b.refused = append(b.refused, change.Refusal{Row: row, Column: column, Reason: reason})
	slices.SortFunc(b.refused, func(x, y change.Refusal) int { return int(x.Row - y.Row) })
}

// A measure knows how many rows of a table a transaction takes. It begins with
// what is documented, and learns from transactions that were refused.
type measure struct {
	mu     sync.Mutex
	rows   int     // that a transaction may change, with those of the bookkeeping
	bytes  int64   // that it may have
	factor float64 // of what a row takes by our count, and by the cluster's
}

// bookkeepingRows are those beside the table's: the claim that is locked, and the
// row of the batch.
const bookkeepingRows = 2

// fill is the part of the limit that a transaction aims at: rows differ.
const fill = 0.93

func (m *measure) size(lines, bytes int) float64 {
	return m.factor * (float64(bytes) + rowOverhead*float64(lines))
}

// takes reports whether a transaction of so many lines, of so many bytes in all,
// and refusals is within the limits.
func (m *measure) takes(lines, bytes, refused int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return lines+refused+bookkeepingRows <= m.rows && m.size(lines, bytes) <= fill*float64(m.bytes)
}

// tooLarge learns from a transaction whose size was refused, and says in how many
// to cut it. said is its size by the cluster's count; 0 where that is unknown.
func (m *measure) tooLarge(b *batch, said int64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	thought := m.size(b.lines, len(b.data))
	truth := float64(said)
	if said <= m.bytes {
		// No number, or one that is rounded to the limit itself.
		truth = max(1.05*float64(m.bytes), 1.2*thought)
	}
	if truth > thought {
		m.factor *= truth / thought
	}
	return int(math.Ceil(max(truth, thought) / (fill * float64(m.bytes))))
}

// tooMany learns that a transaction had too many rows.
func (m *measure) tooMany(b *batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = max(bookkeepingRows+1, min(m.rows, (b.lines+len(b.refused)+bookkeepingRows)*9/10))
}

// measures are those of tables, kept between the calls of a warm function.
type measures struct {
	mu sync.Mutex
	of map[change.TableName]*measure
}

func (ms *measures) get(table change.TableName, l Limits) *measure {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.of == nil {
		ms.of = map[change.TableName]*measure{}
	}
	m := ms.of[table]
	if m == nil {
		m = &measure{rows: l.TransactionRows, bytes: l.TransactionBytes, factor: 1}
		ms.of[table] = m
	}
	return m
}

// A cutter makes batches of lines.
type cutter struct {
	measure *measure
	rows    change.Range // that are still to come
	batch   *batch
	out     func(*batch) error
}

// add takes what a source yields.
func (c *cutter) add(l change.Lines) error {
	if l.First != c.rows.First || int64(len(l.Ends)) > c.rows.Len() {
		return fmt.Errorf("the source yields %d rows from row %d on, where rows %d to %d are awaited", len(l.Ends), l.First, c.rows.First, c.rows.Last)
	}
	refused, begin := l.Refused, 0
	for i, end := range l.Ends {
		row := l.First + int64(i)
		if end < begin || end > len(l.Data) {
			return fmt.Errorf("the source's line of row %d ends at byte %d of %d, and begins at %d", row, end, len(l.Data), begin)
		}
		line := l.Data[begin:end]
		begin = end
		isRefused := len(refused) > 0 && refused[0].Row == row
		lines, entries := c.batch.lines, len(c.batch.refused)
		if isRefused {
			entries++
		}
		if len(line) > 0 {
			lines++
		}
		if lines+entries > 1 && !c.measure.takes(lines, len(c.batch.data)+len(line), entries) {
			c.batch.full = true
			if err := c.flush(); err != nil {
				return err
			}
		}
		c.batch.add(row, line)
		c.rows.First = row + 1
		if isRefused {
			if len(line) > 0 {
				return fmt.Errorf("the source refuses row %d and yields it", row)
			}
			c.batch.refused, refused = append(c.batch.refused, refused[0]), refused[1:]
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("the source refuses row %d, which is not among those that it yields, or not in their order", refused[0].Row)
	}
	return nil
}

// flush hands on what has come.
func (c *cutter) flush() error {
	if len(c.batch.ends) == 0 {
		return nil
	}
	b := c.batch
	c.batch = &batch{data: make([]byte, 0, len(b.data)), ends: make([]int, 0, len(b.ends))}
	return c.out(b)
}

// missing is what ranges, in their order, leave of a whole.
func missing(whole change.Range, done []change.Range) []change.Range {
	var left []change.Range
	next := whole.First
	for _, r := range done {
		if r.First > next {
			left = append(left, change.Range{First: next, Last: r.First - 1})
		}
		next = max(next, r.Last+1)
	}
	if next <= whole.Last {
		left = append(left, change.Range{First: next, Last: whole.Last})
	}
	return left
}
