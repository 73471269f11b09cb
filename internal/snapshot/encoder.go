package snapshot

import (
	"context"
	"fmt"
	"slices"

	"godwit/internal/change"
)

const (
	// windowRows and windowBytes are the most that is converted at once: few enough
	// that a window's text stays in the processor's cache.
	windowRows  = 1024
	windowBytes = 1 << 20
	// How much Lines hold before they are yielded, unless Limit says otherwise;
	// and how many rows, if they have no lines.
	batchRows  = 16 << 10
	mostRows   = 64 << 10
	batchBytes = 1 << 20
	// short is how many bytes are moved without asking how many they are.
	short = 48
)

// An Encoder makes COPY text of the parts of one table. It keeps its buffers from
// part to part and may not be used concurrently.
type Encoder struct {
	table      change.TableName
	columns    []Column
	names      []string
	reads      []int // places in columns
	readers    []reader
	outs       []out
	filters    []filter
	sizes      []size
	converters []*converter
	keys       []*keyMaker
	reasons    []string
	maxRows    int
	maxBytes   int

	held    []byte // of a row group, before it is decoded
	lines   change.Lines
	full    int    // of lines' rows that have one
	lengths []int  // of the window's lines
	states  []cell // of the window's rows: at is the column, end what became of it
}

// An out is a column of the lines: texts by row of the window.
type out struct {
	name    string
	notNull bool
	from    interface{ texts() ([]byte, []cell) }
	bytea   bool
	uuid    bool
	raw     []byte
	cells   []cell
}

// A cell is where a value's text stands in a buffer; or no text.
type cell struct{ at, end uint32 }

// The ends of cells that are no text.
const (
	isNull    = ^uint32(0)
	isRefused = isNull - 1 // at is the reason
	isOut     = isNull - 2 // by a filter
	isText    = isNull - 3 // and below
)

// NewEncoder prepares a plan for parts with these columns, which all parts of a
// table have. An error names the column that the parts lack, hold as another
// type than the plan says, or that its conversion cannot take.
func NewEncoder(plan *change.TablePlan, columns []Column) (*Encoder, error) {
	e := &Encoder{table: plan.Target, columns: columns, maxRows: batchRows, maxBytes: batchBytes}
	if err := e.compile(plan); err != nil {
		return nil, fmt.Errorf("table %s.%s: %w", plan.Source.Schema, plan.Source.Name, err)
	}
	e.readers = make([]reader, len(e.reads))
	return e, nil
}

// Columns returns the target's columns that a line has, in its order: COPY's
// column list.
func (e *Encoder) Columns() []string { return e.names }

// Limit sets the most lines that are yielded at once, and the bytes after whose
// passing they are: what is yielded has more by less than a line.
func (e *Encoder) Limit(rows, bytes int) { e.maxRows, e.maxBytes = max(rows, 1), max(bytes, 1) }

// Encode yields the rows [from, to) of a part, numbered as the part does, in its
// order. Reasons of refusals never quote a value. What was yielded stays true
// after an error: *DamagedError, the reader's, the context's or yield's own. It
// can be repeated, from any row on.
func (e *Encoder) Encode(ctx context.Context, p *Part, from, to int64, yield func(change.Lines) error) error {
	if from < 0 || from > to || to > p.rows {
		return fmt.Errorf("encode rows %d to %d of table %s: the part has %d", from, to, e.table.Name, p.rows)
	}
	if err := e.same(p.columns); err != nil {
		return p.source.blame("", err)
	}
	e.begin(from)
	defer func() {
		for i := range e.readers {
			e.readers[i].close()
		}
	}()
	for g, group := range p.groups {
		first, last := max(from, group.First), min(to, group.First+group.Rows)
		if first >= last {
			continue
		}
		if err := e.encodeGroup(ctx, p, g, first, last, yield); err != nil {
			return err
		}
	}
	return e.flush(yield)
}

// same checks that a part has the columns that e was made for.
func (e *Encoder) same(columns []Column) error {
	if slices.Equal(columns, e.columns) {
		return nil
	}
	for _, want := range e.columns {
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == want.Name })
		switch {
		case i < 0:
			return fmt.Errorf("it has no column %s, which other parts of its table have", want.Name)
		case columns[i].Kind != want.Kind:
			return fmt.Errorf("its column %s is %s, in other parts of its table %s", want.Name, columns[i].Spelt, want.Spelt)
		}
	}
	return fmt.Errorf("it has %d columns, or in another order than other parts of its table, which have %d", len(columns), len(e.columns))
}

func (e *Encoder) encodeGroup(ctx context.Context, p *Part, g int, from, to int64, yield func(change.Lines) error) error {
	group := p.groups[g]
	sources, err := p.group(g, e.reads, &e.held)
	if err != nil {
		return err
	}
	for i, column := range e.reads {
		if err := e.readers[i].open(p, &p.columns[column], g, sources[i], from-group.First); err != nil {
			return err
		}
	}
	for row := from; row < to; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := e.window(int(min(to-row, windowRows)))
		if err != nil {
			return err
		}
		if err := e.convert(row, n, yield); err != nil {
			return err
		}
		for i := range e.readers {
			e.readers[i].take(n)
		}
		row += int64(n)
	}
	return nil
}

// window returns how many rows, of at most n, every column has in its current
// page and within windowBytes.
func (e *Encoder) window(n int) (int, error) {
	for i := range e.readers {
		left, err := e.readers[i].left()
		if err != nil {
			return 0, err
		}
		n = min(n, left)
	}
	for i := range e.readers {
		n = e.readers[i].within(n, windowBytes)
	}
	return n, nil
}

// convert makes the lines of the next n rows.
func (e *Encoder) convert(row int64, n int, yield func(change.Lines) error) error {
	for _, c := range e.converters {
		c.run(&e.readers[c.read], n)
	}
	e.lengths = slices.Grow(e.lengths[:0], n)[:n]
	e.states = slices.Grow(e.states[:0], n)[:n]
	clear(e.states)
	for i := range e.lengths {
		e.lengths[i] = max(len(e.outs), 1) // tabs and the line feed
	}
	for i := range e.filters {
		e.filters[i].run(e.states)
	}
	for _, k := range e.keys {
		k.run(n)
	}
	for i := range e.outs {
		e.measure(uint32(i), &e.outs[i], n)
	}
	for i := range e.sizes {
		e.sizes[i].run(e)
	}
	return e.gather(row, yield)
}

// measure adds the lengths of a column's texts to their lines', and refuses rows
// whose value is.
func (e *Encoder) measure(column uint32, o *out, n int) {
	o.raw, o.cells = o.from.texts()
	for i, c := range o.cells[:n] {
		switch {
		case c.end < isText:
			e.lengths[i] += int(c.end - c.at)
		case c.end == isNull && !o.notNull:
			e.lengths[i] += len(`\N`)
		case e.states[i].end != 0: // out or refused already
		case c.end == isNull:
			e.refuse(i, column, reasonNull)
		default:
			e.refuse(i, column, c.at)
		}
	}
}

// refuse marks a row of the window. Reasons stand above all columns in a state.
func (e *Encoder) refuse(row int, column, reason uint32) {
	e.states[row] = cell{column<<16 | reason, isRefused}
}

// gather appends the window's lines, and yields what there is when it is enough.
func (e *Encoder) gather(row int64, yield func(change.Lines) error) error {
	l := &e.lines
	for i, length := range e.lengths {
		at := len(l.Data)
		switch state := e.states[i]; state.end {
		case isOut:
			l.Ends = append(l.Ends, at)
			continue
		case isRefused:
			l.Ends = append(l.Ends, at)
			l.Refused = append(l.Refused, change.Refusal{Row: row + int64(i), Column: e.outs[state.at>>16].name, Reason: e.reasons[state.at&0xffff]})
			continue
		}
		line := slices.Grow(l.Data, length+short)[:at+length+short]
		for j := range e.outs {
			o := &e.outs[j]
			switch c := o.cells[i]; {
			case c.end >= isText:
				at += copy(line[at:], `\N`)
			case c.end-c.at <= short && int(c.at)+short <= len(o.raw):
				// Most texts are short, and moves of a fixed size are the fastest: what
				// they move beyond the text is overwritten.
				n := int(c.end - c.at)
				to, from := (*[short]byte)(line[at:]), (*[short]byte)(o.raw[c.at:])
				*(*[16]byte)(to[:]) = [16]byte(from[:])
				if n > 16 {
					*(*[32]byte)(to[16:]) = [32]byte(from[16:])
				}
				at += n
			default:
				at += copy(line[at:], o.raw[c.at:c.end])
			}
			line[at] = '\t'
			at++
		}
		line[at-1] = '\n'
		l.Data = line[:at]
		l.Ends = append(l.Ends, at)
		if e.full++; e.full >= e.maxRows || at >= e.maxBytes {
			if err := e.flush(yield); err != nil {
				return err
			}
		}
	}
	if len(l.Ends) >= mostRows {
		return e.flush(yield)
	}
	return nil
}

func (e *Encoder) begin(first int64) {
	l := &e.lines
	*l = change.Lines{First: first, Data: l.Data[:0], Ends: l.Ends[:0], Refused: l.Refused[:0]}
	e.full = 0
}

func (e *Encoder) flush(yield func(change.Lines) error) error {
	n := len(e.lines.Ends)
	if n == 0 {
		return nil
	}
	if err := yield(e.lines); err != nil {
		return err
	}
	e.begin(e.lines.First + int64(n))
	return nil
}
