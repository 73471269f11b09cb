package ion_test

import (
	"bytes"
	"crypto/md5"
	"hash"
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/ion"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// corpus returns the folder of real data, or skips.
func corpus(t *testing.T, elem ...string) string {
	t.Helper()
	dir := os.Getenv("GODWIT_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no real data at %s: set GODWIT_CORPUS", path)
	}
	return path
}

// readText opens a file of Ion text.
func readText(t *testing.T, path string) ionlib.Reader {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ionlib.NewReaderBytes(b)
}

// identity is the hash function of the official vectors that returns its input.
type identity struct{ bytes.Buffer }

func (h *identity) Sum(b []byte) []byte { return append(b, h.Bytes()...) }
func (h *identity) Size() int           { return h.Len() }
func (h *identity) BlockSize() int      { return 1 }

// noText stands for the name of a field that has no text.
const noText = "(a symbol without text)"

// transcode writes the value that r stands on with our Writer.
func transcode(t *testing.T, r ionlib.Reader, w *ion.Writer) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name, err := r.FieldName()
	must(err)
	if name != nil {
		if name.Text == nil {
			name.Text = new(string)
			*name.Text = noText
		}
		w.Field(*name.Text)
	}
	notes, err := r.Annotations()
	must(err)
	for _, a := range notes {
		w.Annotate(*a.Text)
	}
	writeValue(t, r, w)
}

// writeValue is transcode without field name and annotations.
func writeValue(t *testing.T, r ionlib.Reader, w *ion.Writer) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if r.IsNull() {
		nulls := map[ionlib.Type]ion.Type{
			ionlib.NullType: ion.NullType, ionlib.BoolType: ion.BoolType, ionlib.IntType: ion.IntType,
			ionlib.FloatType: ion.FloatType, ionlib.DecimalType: ion.DecimalType, ionlib.TimestampType: ion.TimestampType,
			ionlib.SymbolType: ion.SymbolType, ionlib.StringType: ion.StringType, ionlib.ClobType: ion.ClobType,
			ionlib.BlobType: ion.BlobType, ionlib.ListType: ion.ListType, ionlib.SexpType: ion.SexpType, ionlib.StructType: ion.StructType,
		}
		w.Null(nulls[r.Type()])
		return
	}
	switch r.Type() {
	case ionlib.BoolType:
		v, err := r.BoolValue()
		must(err)
		w.Bool(*v)
	case ionlib.IntType:
		v, err := r.BigIntValue()
		must(err)
		w.BigInt(v)
	case ionlib.FloatType:
		v, err := r.FloatValue()
		must(err)
		w.Float(*v)
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		must(err)
		w.Decimal(v.String())
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		must(err)
		w.Timestamp(v.String())
	case ionlib.SymbolType:
		v, err := r.SymbolValue()
		must(err)
		w.Symbol(*v.Text)
	case ionlib.StringType:
		v, err := r.StringValue()
		must(err)
		w.String(*v)
	case ionlib.ClobType, ionlib.BlobType:
		v, err := r.ByteValue()
		must(err)
		if r.Type() == ionlib.ClobType {
			w.Clob(v)
		} else {
			w.Blob(v)
		}
	case ionlib.ListType, ionlib.SexpType, ionlib.StructType:
		switch r.Type() {
		case ionlib.ListType:
			w.BeginList()
		case ionlib.SexpType:
			w.BeginSexp()
		default:
			w.BeginStruct()
		}
		must(r.StepIn())
		for r.Next() {
			transcode(t, r, w)
		}
		must(r.Err())
		must(r.StepOut())
		w.End()
	default:
		t.Fatalf("unexpected type %v", r.Type())
	}
}

// readBytes reads a sexp of ints, such as (0x0b 0x20).
func readBytes(t *testing.T, r ionlib.Reader) []byte {
	t.Helper()
	if err := r.StepIn(); err != nil {
		t.Fatal(err)
	}
	out := []byte{}
	for r.Next() {
		v, err := r.IntValue()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, byte(*v))
	}
	if err := r.StepOut(); err != nil {
		t.Fatal(err)
	}
	return out
}

// finalDigest reads the last digest of an expectation.
func finalDigest(t *testing.T, r ionlib.Reader) []byte {
	t.Helper()
	if err := r.StepIn(); err != nil {
		t.Fatal(err)
	}
	var last []byte
	for r.Next() {
		notes, err := r.Annotations()
		if err != nil {
			t.Fatal(err)
		}
		if b := readBytes(t, r); *notes[0].Text != "update" {
			last = b
		}
	}
	if err := r.StepOut(); err != nil {
		t.Fatal(err)
	}
	return last
}

// withoutText returns the bytes of the three vectors with a symbol that has no
// text ($0, {$0:1} and $0::{}), which our Writer cannot make; nil for others.
func withoutText(t *testing.T, notes []ionlib.SymbolToken, r ionlib.Reader) []byte {
	t.Helper()
	if len(notes) == 1 && notes[0].Text == nil {
		return []byte{0xE3, 0x81, 0x80, 0xD0}
	}
	if r.Type() == ionlib.SymbolType && !r.IsNull() {
		if v, err := r.SymbolValue(); err != nil {
			t.Fatal(err)
		} else if v.Text == nil {
			return []byte{0x70}
		}
	}
	return nil
}

func TestHashMeetsEveryOfficialExpectation(t *testing.T) {
	functions := map[string]func() hash.Hash{
		"identity": func() hash.Hash { return &identity{} },
		"md5":      md5.New,
	}
	r := readText(t, corpus(t, "qldb", "ion-hash-test", "ion_hash_tests.ion"))
	vectors, expectations := 0, 0
	for r.Next() {
		vectors++
		if err := r.StepIn(); err != nil {
			t.Fatal(err)
		}
		var w ion.Writer
		var value []byte
		for r.Next() {
			name, err := r.FieldName()
			if err != nil {
				t.Fatal(err)
			}
			switch *name.Text {
			case "ion":
				notes, err := r.Annotations()
				if err != nil {
					t.Fatal(err)
				}
				if value = withoutText(t, notes, r); value != nil {
					continue
				}
				for _, a := range notes {
					w.Annotate(*a.Text)
				}
				writeValue(t, r, &w)
				if value, err = w.AppendValues(nil); err != nil {
					t.Fatalf("vector %d: %v", vectors, err)
				}
				if first, _ := w.Text(10); first == noText { // {$0:1}
					value = bytes.Replace(value, []byte{0xD3, 0x8A}, []byte{0xD3, 0x80}, 1)
				}
			case "10n":
				value = readBytes(t, r)
			case "expect":
				if err := r.StepIn(); err != nil {
					t.Fatal(err)
				}
				for r.Next() {
					algorithm, err := r.FieldName()
					if err != nil {
						t.Fatal(err)
					}
					want := finalDigest(t, r)
					h := ion.Hasher{New: functions[*algorithm.Text]}
					got, err := h.Sum(nil, value, &w)
					if err != nil {
						t.Errorf("vector %d, %s, of % x: %v", vectors, *algorithm.Text, value, err)
					} else if !bytes.Equal(got, want) {
						t.Errorf("vector %d, %s, of % x:\n got  % x\n want % x", vectors, *algorithm.Text, value, got, want)
					}
					expectations++
				}
				if err := r.StepOut(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := r.StepOut(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if vectors != 167 || expectations != 171 {
		t.Errorf("read %d vectors with %d expectations, want 167 and 171", vectors, expectations)
	}
}
