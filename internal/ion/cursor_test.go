package ion_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"godwit/internal/ion"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// ionGoBinary turns Ion text into binary Ion with ion-go.
func ionGoBinary(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := ionlib.NewBinaryWriter(&out)
	r := ionlib.NewReaderString(text)
	ionGoCopy(t, w, r)
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func ionGoCopy(t testing.TB, w ionlib.Writer, r ionlib.Reader) {
	check := func(err error) { // without t.Helper, which takes most of the time here
		if err != nil {
			t.Fatal(err)
		}
	}
	for r.Next() {
		if r.IsInStruct() {
			name, err := r.FieldName()
			check(err)
			check(w.FieldName(*name))
		}
		anns, err := r.Annotations()
		check(err)
		if len(anns) > 0 {
			check(w.Annotations(anns...))
		}
		if r.IsNull() {
			check(w.WriteNullType(r.Type()))
			continue
		}
		switch r.Type() {
		case ionlib.BoolType:
			v, err := r.BoolValue()
			check(err)
			check(w.WriteBool(*v))
		case ionlib.IntType:
			v, err := r.BigIntValue()
			check(err)
			check(w.WriteBigInt(v))
		case ionlib.FloatType:
			v, err := r.FloatValue()
			check(err)
			check(w.WriteFloat(*v))
		case ionlib.DecimalType:
			v, err := r.DecimalValue()
			check(err)
			check(w.WriteDecimal(v))
		case ionlib.TimestampType:
			v, err := r.TimestampValue()
			check(err)
			check(w.WriteTimestamp(*v))
		case ionlib.SymbolType:
			v, err := r.SymbolValue()
			check(err)
			check(w.WriteSymbol(*v))
		case ionlib.StringType:
			v, err := r.StringValue()
			check(err)
			check(w.WriteString(*v))
		case ionlib.ClobType:
			v, err := r.ByteValue()
			check(err)
			check(w.WriteClob(v))
		case ionlib.BlobType:
			v, err := r.ByteValue()
			check(err)
			check(w.WriteBlob(v))
		case ionlib.ListType:
			check(r.StepIn())
			check(w.BeginList())
			ionGoCopy(t, w, r)
			check(r.StepOut())
			check(w.EndList())
		case ionlib.SexpType:
			check(r.StepIn())
			check(w.BeginSexp())
			ionGoCopy(t, w, r)
			check(r.StepOut())
			check(w.EndSexp())
		case ionlib.StructType:
			check(r.StepIn())
			check(w.BeginStruct())
			ionGoCopy(t, w, r)
			check(r.StepOut())
			check(w.EndStruct())
		default:
			t.Fatalf("unexpected type %v", r.Type())
		}
	}
	check(r.Err())
}

func TestReaderYieldsEveryTopLevelValue(t *testing.T) {
	r := ion.NewReader(bytes.NewReader(ionGoBinary(t, `{a:1} "x" foo 9.00 2019-09-16T19:37:05.360-00:00`)), 0)
	var got []string
	for {
		v, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var c ion.Cursor
		c.Reset(v, 0, len(v))
		if !c.Next() {
			t.Fatal(c.Err())
		}
		s := c.Type().String()
		switch c.Type() {
		case ion.DecimalType:
			b, err := c.AppendDecimal(nil)
			if err != nil {
				t.Fatal(err)
			}
			s = string(b)
		case ion.TimestampType:
			b, err := c.AppendTimestamp(nil)
			if err != nil {
				t.Fatal(err)
			}
			s = string(b)
		case ion.SymbolType:
			id, err := c.Symbol()
			if err != nil {
				t.Fatal(err)
			}
			s, err = r.Symbols().Text(id)
			if err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, s)
	}
	want := "struct string foo 9.00 2019-09-16T19:37:05.360-00:00"
	if g := strings.Join(got, " "); g != want {
		t.Errorf("got %s, want %s", g, want)
	}
}
