package snapshot

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// A Kind is how a column's values stand in a part.
type Kind uint8

// The kinds. An export of PostgreSQL writes all but a few types as Text.
const (
	Other Kind = iota // what no export of PostgreSQL writes: it cannot be read
	Bool
	Int32
	Int64
	Float
	Double
	Bytes // a byte array that nothing says to be text
	Text
)

var kindNames = [...]string{"other", "boolean", "int32", "int64", "float", "double", "binary", "binary (UTF8)"}

// String names the kind as export_tables_info does: "int64", "binary (UTF8)".
func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// A Column is a column of a part.
type Column struct {
	Name     string
	Kind     Kind
	Optional bool   // it may hold NULL
	Spelt    string // the whole of its Parquet type, for messages
	leaf     int    // its place among the column chunks
}

// A RowGroup is a piece of a part that is read by itself.
type RowGroup struct {
	First      int64 // number of its first row in the part
	Rows       int64
	Bytes      int64 // decompressed
	Compressed int64
}

// A Part is one Parquet object of an export, open for reading. It may be read by
// several goroutines when its reader may.
type Part struct {
	source  *source
	file    *parquet.File
	columns []Column
	groups  []RowGroup
	rows    int64
}

// A DamagedError says that an object is not the Parquet that its footer or its
// place promises. Reading it again does not help; what does is another export.
type DamagedError struct {
	Where string // "row group 3, column total"; "" for the whole of it
	Err   error
}

// Error names the place.
func (e *DamagedError) Error() string {
	if e.Where == "" {
		return fmt.Sprintf("the part is damaged, or no Parquet of an export: %v", e.Err)
	}
	return fmt.Sprintf("the part is damaged: %s: %v", e.Where, e.Err)
}

// Unwrap returns what was found.
func (e *DamagedError) Unwrap() error { return e.Err }

// contain turns a panic into an error, at the edge to the Parquet library:
// bytes that are not what their headers say make some of its decoders panic.
func contain(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("decoding it panics: %v", r)
	}
}

// OpenPart reads the footer of a part of size bytes, mostly by one call of ReadAt,
// and holds no more of it: row groups are read when they are asked for, each by
// one call, or by some when it is large. An error is a *DamagedError or the
// reader's own, after which the part has to be opened anew.
func OpenPart(r io.ReaderAt, size int64) (*Part, error) {
	s, err := openSource(r, size)
	if err != nil {
		return nil, err
	}
	p := &Part{source: s}
	if err := p.open(); err != nil {
		return nil, s.blame("", err)
	}
	s.held = nil
	return p, nil
}

func (p *Part) open() (err error) {
	defer contain(&err)
	p.file, err = parquet.OpenFile(p.source, p.source.size, parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true),
		parquet.SkipBloomFilters(true), parquet.ReadBufferSize(4<<10)) // a source holds what is ahead
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	leaves := 0
	for _, c := range p.file.Root().Columns() {
		if seen[c.Name()] {
			return fmt.Errorf("column %s stands twice", c.Name())
		}
		seen[c.Name()] = true
		column := Column{Name: c.Name(), Kind: kindOf(c), Optional: c.Optional(), Spelt: c.String()}
		if c.Leaf() {
			column.leaf = c.Index()
			column.Spelt = c.Type().String()
			leaves++
		}
		p.columns = append(p.columns, column)
	}
	return p.openGroups(leaves == len(p.columns))
}

func kindOf(c *parquet.Column) Kind {
	if !c.Leaf() || c.Repeated() {
		return Other
	}
	logical := c.Type().LogicalType()
	switch c.Type().Kind() {
	case parquet.Boolean:
		return Bool
	case parquet.Int32, parquet.Int64:
		if logical != nil && logical.Value != nil {
			if i, ok := logical.Value.(*format.IntType); !ok || !i.IsSigned {
				return Other // dates and times, which exports of MySQL have
			}
		}
		if c.Type().Kind() == parquet.Int32 {
			return Int32
		}
		return Int64
	case parquet.Float:
		return Float
	case parquet.Double:
		return Double
	case parquet.ByteArray:
		if logical == nil || logical.Value == nil {
			return Bytes
		}
		switch logical.Value.(type) {
		case *format.StringType, *format.JsonType, *format.EnumType:
			return Text
		}
	case parquet.Int96, parquet.FixedLenByteArray:
	}
	return Other
}

// openGroups checks that the row groups are of this file, so that what reads
// them may rely on it.
func (p *Part) openGroups(flat bool) error {
	meta := p.file.Metadata()
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		group := RowGroup{First: p.rows, Rows: g.NumRows}
		if g.NumRows < 0 || p.rows+g.NumRows < p.rows {
			return fmt.Errorf("row group %d says that it has %d rows", i, g.NumRows)
		}
		if int(g.Ordinal) != i {
			g.Ordinal = int16(i) // writers may leave it out; the library goes by it
		}
		for j := range g.Columns {
			c := &g.Columns[j].MetaData
			first, last := chunkRange(c)
			if first < 0 || last < first || last > p.source.size || c.TotalUncompressedSize < 0 {
				return fmt.Errorf("row group %d: column %d of it lies at bytes %d to %d of %d", i, j, first, last, p.source.size)
			}
			if flat && c.NumValues != g.NumRows {
				return fmt.Errorf("row group %d: column %d of it has %d values for %d rows", i, j, c.NumValues, g.NumRows)
			}
			switch c.Codec { // of the others, some take the size of their output from damaged bytes
			case format.Uncompressed, format.Gzip, format.Snappy:
			default:
				return fmt.Errorf("row group %d: column %d of it is compressed by %v; exports use gzip", i, j, c.Codec)
			}
			if codec := meta.RowGroups[0].Columns[j].MetaData.Codec; c.Codec != codec {
				return fmt.Errorf("row group %d: column %d of it is compressed by %v, in the first row group by %v", i, j, c.Codec, codec)
			}
			group.Bytes += c.TotalUncompressedSize
			group.Compressed += c.TotalCompressedSize
		}
		p.rows += g.NumRows
		p.groups = append(p.groups, group)
	}
	if p.rows != meta.NumRows {
		return fmt.Errorf("the footer says %d rows, its row groups have %d", meta.NumRows, p.rows)
	}
	return nil
}

// chunkRange returns the bytes of a column chunk in its object.
func chunkRange(c *format.ColumnMetaData) (first, last int64) {
	first = c.DataPageOffset
	if c.DictionaryPageOffset != 0 {
		first = c.DictionaryPageOffset
	}
	return first, first + c.TotalCompressedSize
}

// Rows returns how many rows the part has. A row's number is its place, from 0.
func (p *Part) Rows() int64 { return p.rows }

// RowGroups returns the part's row groups in order.
func (p *Part) RowGroups() []RowGroup { return p.groups }

// Columns returns the part's columns in order.
func (p *Part) Columns() []Column { return p.columns }
