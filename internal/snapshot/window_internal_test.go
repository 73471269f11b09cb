package snapshot

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
)

// A page of large values is converted in pieces: what is written out of it is
// never all of it at once.
func TestLargeValuesAreConvertedInPieces(t *testing.T) {
	type row struct {
		B []byte `parquet:"b,optional"`
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[row](&file, parquet.Compression(&parquet.Gzip), parquet.PageBufferSize(64<<20))
	const rows, size = 200, 100 << 10
	for i := range rows {
		r := row{bytes.Repeat([]byte{byte(i)}, size)}
		if i%3 == 0 {
			r.B = nil
		}
		if _, err := w.Write([]row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPart(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(&change.TablePlan{Columns: []change.ColumnPlan{{
		Name: "b", Type: "bytea", From: []change.SourceColumn{{Name: "b", Type: "bytea"}}, As: change.Conversion{Kind: change.AsIs},
	}}}, p.Columns())
	if err != nil {
		t.Fatal(err)
	}
	n, most := 0, 0
	if err := e.Encode(t.Context(), p, 0, rows, func(l change.Lines) error {
		n += len(l.Ends)
		most = max(most, len(l.Data))
		return nil
	}); err != nil || n != rows {
		t.Fatalf("%d rows: %v", n, err)
	}
	if got := cap(e.converters[0].scratch); got > 4*windowBytes || most > batchBytes+2*size+10 {
		t.Errorf("%d bytes written at once, %d yielded", got, most)
	}
}
