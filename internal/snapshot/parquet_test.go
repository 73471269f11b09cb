package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

// A column is one of a part that a test writes. Parts have their columns in the
// order of their names.
type column struct {
	name     string
	kind     snapshot.Kind
	dict     bool
	required bool
}

func (c column) node() parquet.Node {
	var n parquet.Node
	switch c.kind {
	case snapshot.Bool:
		n = parquet.Leaf(parquet.BooleanType)
	case snapshot.Int32:
		n = parquet.Leaf(parquet.Int32Type)
	case snapshot.Int64:
		n = parquet.Leaf(parquet.Int64Type)
	case snapshot.Float:
		n = parquet.Leaf(parquet.FloatType)
	case snapshot.Double:
		n = parquet.Leaf(parquet.DoubleType)
	case snapshot.Bytes:
		n = parquet.Leaf(parquet.ByteArrayType)
	case snapshot.Text:
		n = parquet.String()
	default:
		n = parquet.Timestamp(parquet.Microsecond)
	}
	if c.dict {
		n = parquet.Encoded(n, &parquet.RLEDictionary)
	}
	if !c.required {
		n = parquet.Optional(n)
	}
	return n
}

// write makes a part of rows, whose values are by column: nil for NULL, or what
// parquet.ValueOf takes.
func write(t testing.TB, columns []column, rows [][]any, options ...parquet.WriterOption) []byte {
	t.Helper()
	var file bytes.Buffer
	writeTo(t, &file, columns, slices.Values(rows), options...)
	return file.Bytes()
}

// writeTo is write for more rows than memory should hold.
func writeTo(t testing.TB, file io.Writer, columns []column, rows iter.Seq[[]any], options ...parquet.WriterOption) {
	t.Helper()
	group := parquet.Group{}
	for _, c := range columns {
		group[c.name] = c.node()
	}
	schema := parquet.NewSchema("table", group)
	leaves := make([]int, len(columns))
	for i, c := range columns {
		leaf, ok := schema.Lookup(c.name)
		if !ok {
			t.Fatalf("the schema has no column %s", c.name)
		}
		leaves[i] = leaf.ColumnIndex
	}
	w := parquet.NewWriter(file, append([]parquet.WriterOption{schema, parquet.Compression(&parquet.Gzip)}, options...)...)
	row := make(parquet.Row, len(columns))
	for values := range rows {
		for i, v := range values {
			level := 1
			if v == nil || columns[i].required {
				level = 0
			}
			row[leaves[i]] = parquet.ValueOf(v).Level(0, level, leaves[i])
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, file []byte) *snapshot.Part {
	t.Helper()
	p, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encoder(t testing.TB, plan *change.TablePlan, p *snapshot.Part) *snapshot.Encoder {
	t.Helper()
	e, err := snapshot.NewEncoder(plan, p.Columns())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The lines of rows [from, to), with what else is known of them.
type encoded struct {
	lines    []string
	numbers  []int64
	refused  []change.Refusal
	filtered int64
	calls    int
}

func encode(t testing.TB, e *snapshot.Encoder, p *snapshot.Part, from, to int64) (all encoded, err error) {
	t.Helper()
	next := from
	err = e.Encode(context.Background(), p, from, to, func(l change.Lines) error {
		if l.First != next || len(l.Ends) == 0 {
			t.Errorf("%d rows from %d after row %d", len(l.Ends), l.First, next)
		}
		at, lines := 0, len(all.lines)
		for i, end := range l.Ends {
			if end == at {
				continue // no line
			}
			line := string(l.Data[at:end])
			if strings.IndexByte(line, '\n') != len(line)-1 {
				t.Errorf("row %d is not one line: %q", l.First+int64(i), line)
			}
			all.lines, all.numbers = append(all.lines, line), append(all.numbers, l.First+int64(i))
			at = end
		}
		if at != len(l.Data) {
			t.Errorf("%d bytes behind the last line", len(l.Data)-at)
		}
		next += int64(len(l.Ends))
		all.refused = append(all.refused, l.Refused...)
		all.filtered += int64(len(l.Ends) - len(l.Refused) - len(all.lines) + lines)
		all.calls++
		return nil
	})
	if err == nil && next != to {
		t.Errorf("rows end at %d, want %d", next, to)
	}
	return all, err
}

// keep is a plan that keeps columns as they are: name and type in turn.
func keep(namesAndTypes ...string) *change.TablePlan {
	plan := &change.TablePlan{Source: change.TableName{Schema: "public", Name: "t"}, Target: change.TableName{Schema: "public", Name: "t"}}
	for i := 0; i < len(namesAndTypes); i += 2 {
		plan.Columns = append(plan.Columns, as(change.AsIs, namesAndTypes[i], namesAndTypes[i+1], namesAndTypes[i+1]))
	}
	return plan
}

func as(kind, name, from, to string) change.ColumnPlan {
	return change.ColumnPlan{Name: name, Type: to, From: []change.SourceColumn{{Name: name, Type: from}}, As: change.Conversion{Kind: kind}}
}

// shapes are ways of writing the same rows.
var shapes = map[string][]parquet.WriterOption{
	"small pages":      {parquet.PageBufferSize(64)},
	"version 1":        {parquet.DataPageVersion(1), parquet.PageBufferSize(300)},
	"small row groups": {parquet.MaxRowsPerRowGroup(3)},
	"plain":            {parquet.Compression(&parquet.Uncompressed)},
	"snappy":           {parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(7)},
	"delta":            {parquet.DefaultEncodingFor(parquet.Int64, &parquet.DeltaBinaryPacked), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.DeltaByteArray)},
	"given up":         {parquet.DataPageVersion(1), parquet.DictionaryMaxBytes(80), parquet.PageBufferSize(120)}, // dictionaries, as parquet-mr does
	"delta lengths":    {parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.DeltaLengthByteArray)},
}

// sample is a part of columns of all kinds, with NULL and texts to escape.
func sample(t testing.TB, rows int, dict bool, options ...parquet.WriterOption) []byte {
	columns := []column{
		{name: "a", kind: snapshot.Int64, required: true},
		{name: "b", kind: snapshot.Bool},
		{name: "c", kind: snapshot.Double, dict: dict},
		{name: "d", kind: snapshot.Text, dict: dict},
		{name: "e", kind: snapshot.Bytes},
		{name: "f", kind: snapshot.Int32, dict: dict},
		{name: "g", kind: snapshot.Float},
		{name: "h", kind: snapshot.Text, required: true},
	}
	var all [][]any
	for i := range rows {
		row := []any{int64(i), i%3 == 0, float64(i) / 8, fmt.Sprintf("täxt %d\twith\\ed\n", i%9), []byte{byte(i), 0xff}, int32(-i % 5), float32(i) * 1e10, strings.Repeat("x", i%40)}
		for j := 1; j < 7; j++ {
			if (i+j)%5 == 0 {
				row[j] = nil
			}
		}
		all = append(all, row)
	}
	return write(t, columns, all, options...)
}

var samplePlan = keep("a", "bigint", "b", "boolean", "c", "double precision", "d", "text", "e", "bytea", "f", "integer", "g", "real", "h", "text")

// sampleLine is the line of row i of sample, made by other code.
func sampleLine(i int) string {
	fields := []string{
		fmt.Sprint(i), map[bool]string{true: "t", false: "f"}[i%3 == 0], fmt.Sprint(float64(i) / 8), fmt.Sprintf(`täxt %d\twith\\ed\n`, i%9),
		fmt.Sprintf(`\\x%02xff`, byte(i)), fmt.Sprint(-i % 5), fmt.Sprintf("%g", float32(i)*1e10), strings.Repeat("x", i%40),
	}
	for j := 1; j < 7; j++ {
		if (i+j)%5 == 0 {
			fields[j] = `\N`
		}
	}
	return strings.Join(fields, "\t") + "\n"
}

func TestLinesAreOfEveryShapeTheSame(t *testing.T) {
	const rows = 100
	for name, options := range shapes {
		for _, dict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dictionaries %v", name, dict), func(t *testing.T) {
				p := open(t, sample(t, rows, dict, options...))
				if p.Rows() != rows {
					t.Fatalf("%d rows", p.Rows())
				}
				e := encoder(t, samplePlan, p)
				for _, span := range [][2]int64{{0, rows}, {0, 0}, {7, 8}, {13, 77}, {rows, rows}} {
					for _, limit := range []int{1, 10, 10_000} {
						e.Limit(limit, 1<<20)
						got, err := encode(t, e, p, span[0], span[1])
						if err != nil {
							t.Fatal(err)
						}
						if want := int(span[1]-span[0]+int64(limit)-1) / limit; got.calls != want {
							t.Errorf("rows %v, %d at a time: %d calls", span, limit, got.calls)
						}
						for i, line := range got.lines {
							row := span[0] + int64(i)
							if want := sampleLine(int(row)); line != want || got.numbers[i] != row {
								t.Fatalf("rows %v: line of row %d is %q, want %q", span, got.numbers[i], line, want)
							}
						}
						if n := int64(len(got.lines)); n != span[1]-span[0] {
							t.Errorf("rows %v: %d lines", span, n)
						}
					}
				}
			})
		}
	}
}

func TestValuesAreOfEveryShapeTheSame(t *testing.T) {
	const rows = 100
	for name, options := range shapes {
		for _, dict := range []bool{false, true} {
			p := open(t, sample(t, rows, dict, options...))
			next := int64(13)
			err := p.Values(t.Context(), next, 77, []string{"d", "a", "b", "c", "e", "f", "g"}, func(row int64, v []change.Value) error {
				text := fmt.Sprintf("täxt %d\twith\\ed\n", row%9)
				want := []change.Value{
					{Kind: change.Text, Bytes: []byte(text)},
					{Kind: change.Int, Int: row},
					{Kind: change.Bool, Int: map[bool]int64{true: 1}[row%3 == 0]},
					{Kind: change.Float, Int: int64(math.Float64bits(float64(row) / 8))},
					{Kind: change.Bytes, Bytes: []byte{byte(row), 0xff}},
					{Kind: change.Int, Int: -row % 5},
					{Kind: change.Float, Int: int64(math.Float64bits(float64(float32(row) * 1e10)))},
				}
				for i, j := range map[int]int64{0: 3, 2: 1, 3: 2, 4: 4, 5: 5, 6: 6} {
					if (row+j)%5 == 0 {
						want[i] = change.Value{Kind: change.Null}
					}
				}
				if row != next || fmt.Sprint(v) != fmt.Sprint(want) {
					t.Errorf("%s: row %d (after %d) has %v, want %v", name, row, next-1, v, want)
				}
				next++
				return nil
			})
			if err != nil || next != 77 {
				t.Errorf("%s: values end before row %d: %v", name, next, err)
			}
		}
	}
}
