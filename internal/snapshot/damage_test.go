package snapshot_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

var damageSeed = flag.Uint64("seed", 11, "of TestDamageIsAnError")

// readAll reads a file both ways.
func readAll(file []byte) error {
	p, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	e, err := snapshot.NewEncoder(samplePlan, p.Columns())
	if err != nil {
		return err
	}
	n := int64(0)
	err = e.Encode(context.Background(), p, 0, p.Rows(), func(l change.Lines) error {
		n += int64(len(l.Ends))
		return nil
	})
	if err == nil && n != p.Rows() {
		return errors.New("rows are missing, and no error says so")
	}
	return errors.Join(err, p.Values(context.Background(), 0, p.Rows(), []string{"a", "b", "c", "d", "e", "f", "g", "h"}, func(int64, []change.Value) error { return nil }))
}

// Whatever happens to its bytes, a part is read, or is damaged, and no more.
func TestDamageIsAnError(t *testing.T) {
	t.Logf("seed %d", *damageSeed)
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		r := rand.New(rand.NewPCG(*damageSeed, 1))
		whole := sample(t, 60, true, shapes[name]...)
		if err := readAll(whole); err != nil {
			t.Fatal(err)
		}
		check := func(what string, at int, file []byte, must bool) {
			err := readAll(file)
			if err == nil && must {
				t.Errorf("%s, %s at byte %d: no error", name, what, at)
			}
			if damaged := (*snapshot.DamagedError)(nil); err != nil && !errors.As(err, &damaged) {
				// A footer may lie about a column, too.
				if !strings.Contains(err.Error(), "in the parts, where") && !strings.Contains(err.Error(), "the parts have no column") {
					t.Errorf("%s, %s at byte %d: error %v", name, what, at, err)
				}
			}
		}
		for n := range whole {
			if n%7 == 0 || n > len(whole)-200 {
				check("cut", n, whole[:n], true)
			}
		}
		for range 400 {
			file := bytes.Clone(whole)
			at := r.IntN(len(file))
			file[at] ^= byte(1 << r.IntN(8))
			check("flipped", at, file, false)
			for range 4 {
				file[r.IntN(len(file))] = byte(r.IntN(256))
			}
			check("changed", at, file, false)
		}
	}
}

func TestDamageNamesItsPlace(t *testing.T) {
	whole := sample(t, 90, false, parquet.MaxRowsPerRowGroup(30), parquet.PageBufferSize(100))
	p := open(t, whole)
	f, err := parquet.OpenFile(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	offset := f.Metadata().RowGroups[1].Columns[3].MetaData.DataPageOffset
	file := bytes.Clone(whole)
	for i := range 300 { // beyond the page's header
		file[offset+int64(i)] ^= 0x55
	}
	damaged := open(t, file)
	e := encoder(t, samplePlan, p)
	got, err := encode(t, e, damaged, 0, 90)
	var d *snapshot.DamagedError
	if !errors.As(err, &d) || d.Where != "row group 1, column d" || !strings.Contains(err.Error(), d.Where) {
		t.Errorf("error %v", err)
	}
	if len(got.lines) > 60 {
		t.Errorf("%d lines before it", len(got.lines))
	}
	if err := damaged.Values(t.Context(), 0, 90, []string{"d"}, func(int64, []change.Value) error { return nil }); !errors.As(err, &d) || d.Where != "row group 1, column d" {
		t.Errorf("values: error %v", err)
	}
	// What does not touch the place has no part in it.
	if _, err := encode(t, e, damaged, 0, 30); err != nil {
		t.Error(err)
	}
	if _, err := encode(t, encoder(t, keep("a", "bigint"), p), damaged, 0, 90); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoPartIsNamed(t *testing.T) {
	whole := sample(t, 5, false)
	encrypted := append(bytes.Clone(whole[:len(whole)-1]), 'E')
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge[len(huge)-8:], 1<<31)
	nested := parquet.Group{"a": parquet.Repeated(parquet.Leaf(parquet.Int64Type)), "b": parquet.Group{"c": parquet.String()}, "d": parquet.Date(), "e": parquet.Leaf(parquet.Int96Type), "f": parquet.Uint(32)}
	var odd bytes.Buffer
	w := parquet.NewWriter(&odd, parquet.NewSchema("t", nested))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file  []byte
		wants string
	}{
		"nothing":       {nil, "it has 0 bytes, less than an empty one"},
		"a text":        {[]byte(strings.Repeat("id,name\n", 100)), "it does not begin and end as Parquet does; is it cut short?"},
		"the beginning": {whole[:len(whole)-1], "is it cut short?"},
		"the end":       {whole[1:], "is it cut short?"},
		"encrypted":     {encrypted, "encrypted by Parquet's own encryption"},
		"a huge footer": {huge, "its footer would have 2147483648 bytes, all of it has"},
	} {
		_, err := snapshot.OpenPart(bytes.NewReader(test.file), int64(len(test.file)))
		if err == nil || !strings.Contains(err.Error(), test.wants) {
			t.Errorf("%s: error %v, want %s", name, err, test.wants)
		}
	}
	for _, c := range open(t, odd.Bytes()).Columns() {
		if c.Kind != snapshot.Other || c.Spelt == "" {
			t.Errorf("column %+v is of a kind of exports", c)
		}
	}
}

// requests counts what is read of an object, and fails when told to.
type requests struct {
	*bytes.Reader
	n     int
	bytes int64
	fail  func(off int64) error
}

func (r *requests) ReadAt(p []byte, off int64) (int, error) {
	r.n++
	r.bytes += int64(len(p))
	if r.fail != nil {
		if err := r.fail(off); err != nil {
			return 0, err
		}
	}
	return r.Reader.ReadAt(p, off)
}

// incompressible is a part of many bytes: three row groups of two columns.
func incompressible(t testing.TB, size int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	var rows [][]any
	for i := range 3000 {
		b := make([]byte, size/3000)
		if _, err := r.Read(b); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []any{b, int64(i)})
	}
	return write(t, []column{{name: "b", kind: snapshot.Bytes}, {name: "id", kind: snapshot.Int64}}, rows, parquet.Compression(&parquet.Uncompressed), parquet.MaxRowsPerRowGroup(1000), parquet.PageBufferSize(1<<20))
}

func TestReadsObjectsByFewRequests(t *testing.T) {
	for _, test := range []struct {
		name           string
		megabytes      int
		columns        []string
		opens, most    int
		leastOf, ofAll float64 // of the object's bytes, of two row groups
	}{
		{"a small one by row groups", 10, []string{"b", "bytea", "id", "bigint"}, 1, 2, 0.6, 0.7},
		{"a large one by row groups", 60, []string{"b", "bytea", "id", "bigint"}, 2, 2, 0.6, 0.7},
		{"one of large row groups by windows", 150, []string{"b", "bytea", "id", "bigint"}, 2, 12, 0.6, 0.7},
		{"a column that is needed", 150, []string{"id", "bigint"}, 2, 2, 0, 0.001},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := incompressible(t, test.megabytes<<20)
			r := &requests{Reader: bytes.NewReader(file)}
			p, err := snapshot.OpenPart(r, int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			if r.n != test.opens {
				t.Errorf("%d requests to open it, want %d", r.n, test.opens)
			}
			r.n, r.bytes = 0, 0
			got, err := encode(t, encoder(t, keep(test.columns...), p), p, 1000, 3000)
			if err != nil || len(got.lines) != 2000 {
				t.Fatalf("%d lines, error %v", len(got.lines), err)
			}
			if part := float64(r.bytes) / float64(len(file)); r.n > test.most || part < test.leastOf || part > test.ofAll {
				t.Errorf("%d requests for %.4f of the bytes, want at most %d, for %.3f to %.3f", r.n, part, test.most, test.leastOf, test.ofAll)
			}
		})
	}
}

// What the reader says is not taken for damage: it may be tried again.
func TestReadersErrorIsItsOwn(t *testing.T) {
	lost := errors.New("connection lost")
	for _, megabytes := range []int{60, 120} { // row groups in one piece, and by windows
		testReadersError(t, incompressible(t, megabytes<<20), int64(megabytes)<<20, lost)
	}
}

func testReadersError(t *testing.T, file []byte, size int64, lost error) {
	t.Helper()
	for name, reads := range map[string]func(*snapshot.Part) error{
		"lines": func(p *snapshot.Part) error {
			_, err := encode(t, encoder(t, keep("b", "bytea", "id", "bigint"), p), p, 0, 3000)
			return err
		},
		"values": func(p *snapshot.Part) error {
			return p.Values(t.Context(), 0, 3000, []string{"b"}, func(int64, []change.Value) error { return nil })
		},
	} {
		r := &requests{Reader: bytes.NewReader(file), fail: func(off int64) error {
			if off > size/6 && off < size*3/4 {
				return lost
			}
			return nil
		}}
		p, err := snapshot.OpenPart(r, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		damaged := (*snapshot.DamagedError)(nil)
		if err := reads(p); !errors.Is(err, lost) || errors.As(err, &damaged) {
			t.Errorf("%s: error %v", name, err)
		}
		// An object that is shorter than S3 said is damaged, though.
		r = &requests{Reader: bytes.NewReader(file), fail: func(off int64) error {
			if off > size/6 && off < size*3/4 {
				return io.EOF
			}
			return nil
		}}
		if p, err = snapshot.OpenPart(r, int64(len(file))); err != nil {
			t.Fatal(err)
		}
		if err := reads(p); !errors.As(err, &damaged) {
			t.Errorf("%s: error %v of a short object", name, err)
		}
	}
	if _, err := snapshot.OpenPart(&requests{Reader: bytes.NewReader(file), fail: func(int64) error { return lost }}, int64(len(file))); !errors.Is(err, lost) {
		t.Errorf("open: error %v", err)
	}
}

func TestRowGroupsAreNumberedThrough(t *testing.T) {
	groups := open(t, incompressible(t, 6<<20)).RowGroups()
	for i, g := range groups {
		if g.First != int64(i)*1000 || g.Rows != 1000 || g.Bytes < 2<<20 || g.Compressed < 2<<20 {
			t.Errorf("row group %d: %+v", i, g)
		}
	}
	if len(groups) != 3 {
		t.Errorf("%d row groups", len(groups))
	}
}
