package ion_test

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"godwit/internal/ion"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// textOf reads binary Ion with ion-go and prints it as Ion text, a value a line.
func textOf(t *testing.T, binary []byte) string {
	t.Helper()
	r := ionlib.NewReaderBytes(binary)
	var out strings.Builder
	for r.Next() {
		printValue(t, r, &out)
		out.WriteByte('\n')
	}
	if err := r.Err(); err != nil {
		t.Fatalf("ion-go refuses % x: %v", binary, err)
	}
	return out.String()
}

// printValue prints what r stands on; ion-go's own writers lose things.
func printValue(t *testing.T, r ionlib.Reader, out *strings.Builder) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	notes, err := r.Annotations()
	must(err)
	for _, a := range notes {
		fmt.Fprintf(out, "%s::", *a.Text)
	}
	if r.IsNull() {
		fmt.Fprintf(out, "null.%s", r.Type())
		return
	}
	switch r.Type() {
	case ionlib.BoolType:
		v, err := r.BoolValue()
		must(err)
		fmt.Fprint(out, *v)
	case ionlib.IntType:
		v, err := r.BigIntValue()
		must(err)
		fmt.Fprint(out, v)
	case ionlib.FloatType:
		v, err := r.FloatValue()
		must(err)
		fmt.Fprintf(out, "float(%v)", *v)
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		must(err)
		fmt.Fprint(out, v)
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		must(err)
		fmt.Fprint(out, v)
	case ionlib.SymbolType:
		v, err := r.SymbolValue()
		must(err)
		fmt.Fprintf(out, "'%s'", *v.Text)
	case ionlib.StringType:
		v, err := r.StringValue()
		must(err)
		fmt.Fprintf(out, "%q", *v)
	case ionlib.ClobType, ionlib.BlobType:
		v, err := r.ByteValue()
		must(err)
		fmt.Fprintf(out, "%s(%x)", r.Type(), v)
	case ionlib.ListType, ionlib.SexpType, ionlib.StructType:
		fmt.Fprintf(out, "%s(", r.Type())
		must(r.StepIn())
		for r.Next() {
			if name, err := r.FieldName(); err == nil && name != nil {
				fmt.Fprintf(out, "%s:", *name.Text)
			}
			printValue(t, r, out)
			out.WriteByte(' ')
		}
		must(r.Err())
		must(r.StepOut())
		out.WriteByte(')')
	default:
		t.Fatalf("unexpected type %v", r.Type())
	}
}

func TestWriterIsReadAlikeByAnotherLibrary(t *testing.T) {
	beyond, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	cases := []struct {
		name  string
		write func(w *ion.Writer)
		want  string
	}{
		{"nulls", func(w *ion.Writer) { w.Null(ion.NullType); w.Null(ion.DecimalType); w.Null(ion.StructType) }, "null.null\nnull.decimal\nnull.struct\n"},
		{"bools", func(w *ion.Writer) { w.Bool(true); w.Bool(false) }, "true\nfalse\n"},
		{"ints", func(w *ion.Writer) { w.Int(0); w.Int(-1); w.Int(math.MinInt64); w.Int(math.MaxInt64) }, "0\n-1\n-9223372036854775808\n9223372036854775807\n"},
		{"ints beyond 64 bits", func(w *ion.Writer) { w.Uint(math.MaxUint64); w.BigInt(beyond); w.BigInt(new(big.Int)) }, "18446744073709551615\n-123456789012345678901234567890\n0\n"},
		{"floats", func(w *ion.Writer) { w.Float(0); w.Float(math.Copysign(0, -1)); w.Float(2.5); w.Float32(0.5) }, "float(0)\nfloat(-0)\nfloat(2.5)\nfloat(0.5)\n"},
		{"decimals", func(w *ion.Writer) {
			for _, s := range []string{"0.", "-0.", "0.00", "90.25", "-1.5", "9.", "9.0", "5d2", "128d-3", "123456789012345678901234567890.123"} {
				w.Decimal(s)
			}
			w.DecimalOf(big.NewInt(-9025), -2)
		}, "0.\n-0.\n0d-2\n90.25\n-1.5\n9.\n9.0\n5d2\n1.28d-1\n123456789012345678901234567890.123\n-90.25\n"},
		{"timestamps", func(w *ion.Writer) {
			for _, s := range []string{"2019T", "2019-09T", "2019-09-16", "2019-09-16T19:37Z", "2019-09-16T23:30:05-08:00", "2019-12-31T23:59:59.360+00:30", "2019-09-16T19:37:05.000-00:00", "2020-02-29T00:00:00.000000001Z"} {
				w.Timestamp(s)
			}
		}, "2019T\n2019-09T\n2019-09-16T\n2019-09-16T19:37Z\n2019-09-16T23:30:05-08:00\n2019-12-31T23:59:59.360+00:30\n2019-09-16T19:37:05.000-00:00\n2020-02-29T00:00:00.000000001Z\n"},
		{"text and lobs", func(w *ion.Writer) {
			w.String("a\x00é")
			w.Symbol("name")
			w.Symbol("mine")
			w.Clob([]byte("c"))
			w.Blob(nil)
		}, "\"a\\x00é\"\n'name'\n'mine'\nclob(63)\nblob()\n"},
		{"containers", func(w *ion.Writer) {
			w.BeginStruct()
			w.Field("list")
			w.BeginList()
			w.BeginSexp()
			w.End()
			w.BeginStruct()
			w.End()
			w.Int(1)
			w.End()
			w.Field("version")
			w.Annotate("a", "b")
			w.BeginList()
			w.Annotate("a")
			w.String(strings.Repeat("x", 20))
			w.End()
			w.Field("list")
			w.Null(ion.IntType)
			w.End()
		}, "struct(list:list(sexp() struct() 1 ) version:a::b::list(a::\"xxxxxxxxxxxxxxxxxxxx\" ) list:null.int )\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var w ion.Writer
			c.write(&w)
			binary, err := w.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := textOf(t, binary); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestWriterNestsDeepAndLongWithTrueLengths(t *testing.T) {
	var w ion.Writer
	const depth = 200
	want := ""
	for i := range depth {
		w.BeginList()
		w.String(strings.Repeat("y", i))
		want += fmt.Sprintf("list(%q ", strings.Repeat("y", i))
	}
	for range depth {
		w.End()
	}
	want += strings.Repeat(") ", depth)
	binary, err := w.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := textOf(t, binary); got != strings.TrimSuffix(want, " ")+"\n" {
		t.Errorf("got %.200s…, want %.200s…", got, want)
	}
}

func TestWriterContinuesAStreamWithItsNewSymbols(t *testing.T) {
	var w ion.Writer
	var stream []byte
	var err error
	for _, name := range []string{"first", "second", "first", "third"} {
		w.Symbol(name)
		if stream, err = w.AppendTo(stream); err != nil {
			t.Fatal(err)
		}
	}
	w.Reset()
	w.Symbol("fourth")
	if stream, err = w.AppendTo(stream); err != nil {
		t.Fatal(err)
	}
	if got, want := textOf(t, stream), "'first'\n'second'\n'first'\n'third'\n'fourth'\n"; got != want {
		t.Errorf("ion-go reads %q, want %q", got, want)
	}
	// Our own reader must find the same, and each table's symbols told once.
	r := ion.NewReader(bytes.NewReader(stream), 0)
	n := 0
	for range 5 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 5 || bytes.Count(stream, []byte("first")) != 1 || bytes.Count(stream, []byte{0xE0, 1, 0, 0xEA}) != 2 {
		t.Errorf("stream is % x", stream)
	}
}

func TestWriterRefusesMistakes(t *testing.T) {
	cases := []struct {
		name  string
		write func(w *ion.Writer)
	}{
		{"a field outside of a struct", func(w *ion.Writer) { w.Field("a") }},
		{"a value without its field name", func(w *ion.Writer) { w.BeginStruct(); w.Int(1); w.End() }},
		{"two field names", func(w *ion.Writer) { w.BeginStruct(); w.Field("a"); w.Field("b"); w.Int(1); w.End() }},
		{"a field name without its value", func(w *ion.Writer) { w.BeginStruct(); w.Field("a"); w.End() }},
		{"an end too many", func(w *ion.Writer) { w.BeginList(); w.End(); w.End() }},
		{"an end too few", func(w *ion.Writer) { w.BeginList() }},
		{"annotations of nothing", func(w *ion.Writer) { w.Annotate("a") }},
		{"a null of no type", func(w *ion.Writer) { w.Null(3) }},
		{"no decimal", func(w *ion.Writer) { w.Decimal("1,5") }},
		{"an empty decimal", func(w *ion.Writer) { w.Decimal("-") }},
		{"a decimal's exponent", func(w *ion.Writer) { w.Decimal("1d99999999999") }},
		{"a 30th of February", func(w *ion.Writer) { w.Timestamp("2020-02-30") }},
		{"an hour alone", func(w *ion.Writer) { w.Timestamp("2020-02-03T04Z") }},
		{"a time without offset", func(w *ion.Writer) { w.Timestamp("2020-02-03T04:05:06") }},
		{"a point without digits", func(w *ion.Writer) { w.Timestamp("2020-02-03T04:05:06.Z") }},
		{"a year before 1 in UTC", func(w *ion.Writer) { w.Timestamp("0001-01-01T00:00+01:00") }},
		{"text behind a timestamp", func(w *ion.Writer) { w.Timestamp("2020-02-03T04:05:06Z ") }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var w ion.Writer
			c.write(&w)
			if out, err := w.AppendTo(nil); err == nil {
				t.Errorf("got % x, want an error", out)
			}
			w.Reset()
			w.Int(1)
			if _, err := w.AppendTo(nil); err != nil {
				t.Errorf("after Reset: %v", err)
			}
		})
	}
}

// FuzzNumbersFromText: text is refused, or written so that the cursor reads a
// text of the same value back.
func FuzzNumbersFromText(f *testing.F) {
	for _, s := range []string{"2019-09-16T19:37:05.360-00:00", "2000-02-29", "1T", "9999-12-31T23:59-23:59", "90.25", "-0.0d-7", "5d300", "12345678901234567890.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, write := range map[string]func(*ion.Writer, string){"decimal": (*ion.Writer).Decimal, "timestamp": (*ion.Writer).Timestamp} {
			var w ion.Writer
			write(&w, s)
			first, err := w.AppendValues(nil)
			if err != nil {
				continue
			}
			var c ion.Cursor
			c.Reset(first, 0, len(first))
			if !c.Next() {
				t.Fatalf("%s %q is written as % x: %v", name, s, first, c.Err())
			}
			var text []byte
			if name == "decimal" {
				text, err = c.AppendDecimal(nil)
			} else {
				text, err = c.AppendTimestamp(nil)
			}
			if err != nil {
				if len(s) > 100 {
					continue // the cursor bounds the digits of a second
				}
				t.Fatalf("%s %q is written as % x: %v", name, s, first, err)
			}
			write(&w, string(text))
			second, err := w.AppendValues(nil)
			if err != nil || !bytes.Equal(first, second) {
				t.Fatalf("%s %q is written as % x, read as %s, written as % x: %v", name, s, first, text, second, err)
			}
		}
	})
}
