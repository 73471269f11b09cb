package export

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// A part is one Parquet file in the making.
type part struct {
	columns []column
	body    bytes.Buffer
	writer  *parquet.GenericWriter[any]
	rows    []parquet.Row // not written yet
	bytes   int64         // of values, before compression
	count   int64         // rows
}

// pending is how many rows are kept before they are written, and rowGroup how
// many bytes a row group has before compression: as Spark's defaults, a part of
// usual size is one row group.
const (
	pending  = 512
	rowGroup = 128 << 20
)

func newPart(columns []column, rowsPerGroup int64) *part {
	p := &part{columns: columns}
	options := []parquet.WriterOption{
		schemaOf(columns), parquet.Compression(&parquet.Gzip), parquet.DataPageVersion(1), parquet.PageBufferSize(1 << 20),
		// The writers of real exports give a dictionary up that grows beyond its page,
		// and go on in plain pages within the same column.
		parquet.DictionaryMaxBytes(1 << 20), parquet.CreatedBy("parquet-mr", "1.10.1", "a89df8f9932b6ef6633d06069e50c9b7970bebd1"),
	}
	if rowsPerGroup > 0 {
		options = append(options, parquet.MaxRowsPerRowGroup(rowsPerGroup))
	}
	p.writer = parquet.NewGenericWriter[any](&p.body, options...)
	return p
}

// add adds a row of texts; nil is no value.
func (p *part) add(values [][]byte) error {
	row := make(parquet.Row, len(values))
	for i, v := range values {
		if v == nil {
			row[i] = parquet.NullValue().Level(0, 0, i)
			continue
		}
		value, err := p.columns[i].kind.value(v)
		if err != nil {
			return fmt.Errorf("column %s: %w", p.columns[i].name, err)
		}
		row[i] = value.Level(0, 1, i)
		p.bytes += int64(len(v))
	}
	p.rows = append(p.rows, row)
	p.count++
	if len(p.rows) == pending {
		return p.flush()
	}
	return nil
}

func (p *part) flush() error {
	_, err := p.writer.WriteRows(p.rows)
	p.rows = p.rows[:0]
	return err
}

// close ends the file and returns it.
func (p *part) close() ([]byte, error) {
	if err := errors.Join(p.flush(), p.writer.Close()); err != nil {
		return nil, err
	}
	return p.body.Bytes(), nil
}

// value makes a value of PostgreSQL's text.
func (k kind) value(said []byte) (parquet.Value, error) {
	switch k {
	case text:
		return parquet.ByteArrayValue(bytes.Clone(said)), nil
	case int64s:
		n, err := strconv.ParseInt(string(said), 10, 64)
		return parquet.Int64Value(n), err
	case int32s, int16s:
		n, err := strconv.ParseInt(string(said), 10, 32)
		return parquet.Int32Value(int32(n)), err
	case doubles:
		f, err := strconv.ParseFloat(string(said), 64)
		return parquet.DoubleValue(f), err
	case floats:
		f, err := strconv.ParseFloat(string(said), 32)
		return parquet.FloatValue(float32(f)), err
	case booleans:
		return parquet.BooleanValue(string(said) == "t"), nil
	case binaries:
		raw, ok := bytes.CutPrefix(said, []byte(`\x`))
		if !ok {
			return parquet.Value{}, errors.New("bytes are not in hexadecimal")
		}
		b := make([]byte, hex.DecodedLen(len(raw)))
		_, err := hex.Decode(b, raw)
		return parquet.ByteArrayValue(b), err
	case omitted:
	}
	return parquet.Value{}, fmt.Errorf("kind %d is stored in no way", k)
}

// schemaOf keeps the columns in the table's order, where parquet.Group sorts
// them.
func schemaOf(columns []column) *parquet.Schema {
	root := ordered{Group: parquet.Group{}}
	for _, c := range columns {
		node := c.kind.node()
		root.Group[c.name] = node
		root.fields = append(root.fields, field{node, c.name})
	}
	return parquet.NewSchema("spark_schema", root)
}

type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }

type field struct {
	parquet.Node
	name string
}

func (f field) Name() string { return f.name }

func (f field) Value(base reflect.Value) reflect.Value { return base.MapIndex(reflect.ValueOf(f.name)) }
