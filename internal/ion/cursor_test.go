package ion_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/iontest"
)

func TestReaderYieldsEveryTopLevelValue(t *testing.T) {
	r := ion.NewReader(bytes.NewReader(iontest.Binary(t, `{a:1} "x" foo 9.00 2019-09-16T19:37:05.360-00:00`)), 0)
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
