// Package iontest makes binary Ion for tests, by another implementation of Ion than
// ours.
package iontest

import (
	"bytes"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// Binary turns values in Ion text into binary Ion.
func Binary(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := ionlib.NewBinaryWriter(&out)
	copyValues(t, w, ionlib.NewReaderString(text))
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func copyValues(t testing.TB, w ionlib.Writer, r ionlib.Reader) {
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
			copyValues(t, w, r)
			check(r.StepOut())
			check(w.EndList())
		case ionlib.SexpType:
			check(r.StepIn())
			check(w.BeginSexp())
			copyValues(t, w, r)
			check(r.StepOut())
			check(w.EndSexp())
		case ionlib.StructType:
			check(r.StepIn())
			check(w.BeginStruct())
			copyValues(t, w, r)
			check(r.StepOut())
			check(w.EndStruct())
		default:
			t.Fatalf("unexpected type %v", r.Type())
		}
	}
	check(r.Err())
}
