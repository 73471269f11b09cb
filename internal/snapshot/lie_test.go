package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

// withFooter returns a file whose footer lies.
func withFooter(t testing.TB, file []byte, lie func(*format.FileMetaData)) []byte {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	meta := f.Metadata()
	lie(meta)
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), meta)
	if err != nil {
		t.Fatal(err)
	}
	size := binary.LittleEndian.Uint32(file[len(file)-8:])
	out := slices.Concat(file[:len(file)-8-int(size)], footer)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer)))
	return append(out, "PAR1"...)
}

// A part that says of itself what is not so is damaged, by both ways of reading,
// and no row of it is lost or made up.
func TestPartsThatLieAreDamaged(t *testing.T) {
	whole := sample(t, 60, true, parquet.MaxRowsPerRowGroup(20), parquet.DataPageVersion(1), parquet.Compression(&parquet.Gzip))
	f, err := parquet.OpenFile(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	// Column d of row group 1 has a dictionary and a page of data.
	text := f.Metadata().RowGroups[1].Columns[3].MetaData
	flip := func(from, to int64) []byte {
		file := bytes.Clone(whole)
		for i := from; i < to; i++ {
			file[i] ^= 0x5a
		}
		return file
	}
	swapped := bytes.Clone(whole)
	slices.Reverse(swapped[len(swapped)-8 : len(swapped)-4])
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"more rows than there are": {withFooter(t, whole, func(m *format.FileMetaData) { m.NumRows = 61 }), "the footer says 61 rows, its row groups have 60"},
		"a group with more rows": {
			withFooter(t, whole, func(m *format.FileMetaData) { m.NumRows, m.RowGroups[2].NumRows = 61, 21 }),
			"row group 2: column 0 of it has 20 values for 21 rows",
		},
		"a group and its columns with more rows": {withFooter(t, whole, func(m *format.FileMetaData) {
			m.NumRows, m.RowGroups[2].NumRows = 61, 21
			for i := range m.RowGroups[2].Columns {
				m.RowGroups[2].Columns[i].MetaData.NumValues = 21
			}
		}), "row group 2, column"},
		"fewer rows than there are": {withFooter(t, whole, func(m *format.FileMetaData) {
			m.NumRows, m.RowGroups[1].NumRows = 59, 19
			for i := range m.RowGroups[1].Columns {
				m.RowGroups[1].Columns[i].MetaData.NumValues = 19
			}
		}), "row group 1, column"},
		"a negative number of rows": {withFooter(t, whole, func(m *format.FileMetaData) { m.RowGroups[0].NumRows = -20 }), "row group 0"},
		"columns beyond the end": {withFooter(t, whole, func(m *format.FileMetaData) {
			m.RowGroups[0].Columns[2].MetaData.DataPageOffset = 1 << 40
			m.RowGroups[0].Columns[2].MetaData.DictionaryPageOffset = 0
		}), "row group 0: column 2 of it lies at bytes"},
		"a column of another": {withFooter(t, whole, func(m *format.FileMetaData) {
			g := m.RowGroups[1].Columns
			g[3].MetaData.DataPageOffset, g[3].MetaData.DictionaryPageOffset, g[3].MetaData.TotalCompressedSize = g[0].MetaData.DataPageOffset, g[0].MetaData.DictionaryPageOffset, g[0].MetaData.TotalCompressedSize
		}), "row group 1, column d"},
		"a codec that is not its": {withFooter(t, whole, func(m *format.FileMetaData) {
			for i := range m.RowGroups {
				m.RowGroups[i].Columns[3].MetaData.Codec = format.Uncompressed
			}
		}), "column d"},
		"a footer's length big endian": {swapped, "bytes, all of it has"},
		"gzip damaged in the middle":   {flip(text.DataPageOffset+40, text.DataPageOffset+44), "row group 1, column d"},
		"a damaged dictionary":         {flip(text.DictionaryPageOffset+30, text.DictionaryPageOffset+36), "row group 1, column d"},
		"a page's header damaged":      {flip(text.DataPageOffset, text.DataPageOffset+8), "row group 1, column d"},
	} {
		t.Run(name, func(t *testing.T) {
			err := readAll(test.file)
			if damaged := (*snapshot.DamagedError)(nil); !errors.As(err, &damaged) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			p, err := snapshot.OpenPart(bytes.NewReader(test.file), int64(len(test.file)))
			if err != nil {
				return
			}
			err = p.Values(t.Context(), 0, p.Rows(), []string{"a", "d", "h"}, func(int64, []change.Value) error { return nil })
			if damaged := (*snapshot.DamagedError)(nil); !errors.As(err, &damaged) {
				t.Errorf("values: error %v", err)
			}
		})
	}
}

// What gzip holds of a page has a checksum: whatever byte of it is changed, the page
// is damaged, and the error quotes no value.
func TestChangedValuesOfAPageAreFound(t *testing.T) {
	file := write(t, []column{{name: "s", kind: snapshot.Text}}, [][]any{{"SECRET-VALUE-ONE"}, {"SECRET-VALUE-TWO"}})
	lines := func(file []byte) error {
		p := open(t, file)
		_, err := encode(t, encoder(t, keep("s", "text"), p), p, 0, 2)
		return err
	}
	if err := lines(file); err != nil {
		t.Fatal(err)
	}
	const gzipHeader = 10
	from := bytes.Index(file, []byte{0x1f, 0x8b}) + gzipHeader
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	chunk := f.Metadata().RowGroups[0].Columns[0].MetaData
	end := int(chunk.DataPageOffset + chunk.TotalCompressedSize)
	if from < gzipHeader || end-from < 30 {
		t.Fatalf("the page lies at %d to %d", from, end)
	}
	for at := from; at < end; at++ {
		changed := bytes.Clone(file)
		changed[at] ^= 1
		if err := lines(changed); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("byte %d is changed: error %v", at, err)
		}
	}
}
