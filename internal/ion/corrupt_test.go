package ion_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/iontest"
)

func TestCursorRefusesEveryCorruption(t *testing.T) {
	// Each case is one value, walked in full and with every scalar decoded.
	for _, c := range []struct {
		name, want string
		value      []byte
	}{
		{"type code 15", "0xF0 describes no value", []byte{0xF0}},
		{"bool of length 2", "0x12 describes no value", []byte{0x12}},
		{"negative int without magnitude", "0x30 describes no value", []byte{0x30}},
		{"negative zero", "negative zero", []byte{0x31, 0x00}},
		{"negative zero with a long length", "negative zero", []byte{0x3E, 0x82, 0x00, 0x00}},
		{"float of 5 bytes", "0x45 describes no value", []byte{0x45, 1, 2, 3, 4, 5}},
		{"timestamp of one byte", "0x61 describes no value", []byte{0x61, 0x80}},
		{"null annotations", "0xEF describes no value", []byte{0xEF}},
		{"annotations of two bytes", "0xE2 describes no value", []byte{0xE2, 0x81, 0x84}},
		{"sorted struct without fields", "sorted fields has none", []byte{0xD1, 0x80}},
		{"string longer than its list", "does not fit into the 1 bytes left", []byte{0xB2, 0x82, 'a'}},
		{"string longer than the value", "does not fit", []byte{0x83, 'a', 'b'}},
		{"length that does not end", "length does not end", []byte{0xB3, 0x8E, 0x01, 0x01}},
		{"length over 63 bits", "length does not end", []byte{0xBC, 0x8E, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xFF, 0x00}},
		{"length far beyond", "value of 9223372036854775807 bytes", []byte{0xBB, 0x8E, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xFF, 0x00}},
		{"field name that does not end", "field name", []byte{0xD2, 0x01, 0x01}},
		{"field name over 31 bits", "field name", []byte{0xD7, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xFF, 0x20}},
		{"field name without a value", "between a field name and its value", []byte{0xD3, 0x84, 0x20, 0x84}},
		{"padding longer than its list", "does not fit", []byte{0xB2, 0x05, 0x00}},
		{"version marker in a list", "version marker stands inside", []byte{0xB4, 0xE0, 0x01, 0x00, 0xEA}},
		{"annotations without a value", "leave no room", []byte{0xE3, 0x82, 0x84, 0x85}},
		{"no annotations", "annotations are empty", []byte{0xE3, 0x80, 0x21, 0x01}},
		{"annotation that does not end", "annotation is not a symbol id", []byte{0xE4, 0x81, 0x04, 0x21, 0x01}},
		{"annotated value shorter than its wrapper", "does not fill", []byte{0xE4, 0x81, 0x84, 0x20, 0x20}},
		{"annotated value longer than its wrapper", "does not fit", []byte{0xE3, 0x81, 0x84, 0x21, 0x01}},
		{"annotated annotation", "wrap padding or another annotation", []byte{0xE7, 0x81, 0x84, 0xE4, 0x81, 0x84, 0x21, 0x01}},
		{"annotated padding", "wrap padding or another annotation", []byte{0xE3, 0x81, 0x84, 0x00}},
		{"string that is not UTF-8", "not UTF-8", []byte{0x81, 0xFF}},
		{"symbol over 31 bits", "symbol id exceeds", []byte{0x74, 0x80, 0, 0, 0}},
		{"decimal without an end to its exponent", "decimal has no exponent", []byte{0x52, 0x01, 0x01}},
		{"decimal with an exponent over 32 bits", "decimal has no exponent", []byte{0x57, 0x08, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01}},
		{"timestamp: offset of a day", "offset is not less than a day", []byte{0x67, 0x0B, 0xC0, 0x0F, 0xE3, 0x89, 0x90, 0x93}},
		{"timestamp: year 0", "year is out of range", []byte{0x62, 0xC0, 0x80}},
		{"timestamp: month 13", "month is out of range", []byte{0x64, 0xC0, 0x0F, 0xE3, 0x8D}},
		{"timestamp: 30 February", "day is out of range", []byte{0x65, 0xC0, 0x0F, 0xE3, 0x82, 0x9E}},
		{"timestamp: 29 February 2019", "day is out of range", []byte{0x65, 0xC0, 0x0F, 0xE3, 0x82, 0x9D}},
		{"timestamp: hour 24", "hour is out of range", []byte{0x67, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x98, 0x80}},
		{"timestamp: no minute", "hour and no minute", []byte{0x66, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93}},
		{"timestamp: minute 60", "minute is out of range", []byte{0x67, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xBC}},
		{"timestamp: second 60", "second is out of range", []byte{0x68, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0xBC}},
		{"timestamp: a whole second's fraction", "not less than a second", []byte{0x6A, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0xC1, 0x0A}},
		{"timestamp: negative fraction", "fraction is negative", []byte{0x6A, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0xC1, 0x81}},
		{"timestamp: fraction of 200 digits", "more than 100 digits", []byte{0x6A, 0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0x41, 0xC8}},
		{"timestamp: before year 1 at its offset", "year is out of range at its offset", []byte{0x67, 0x41 ^ 0x80 | 0x40, 0x81, 0x81, 0x81, 0x80, 0x80, 0x80}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cur := &ion.Cursor{Base: 1000}
			cur.Reset(c.value, 0, len(c.value))
			got, err := showCursor(cur, &ion.SymbolTable{})
			var syntax *ion.SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q, error %v, want one with %q", got, err, c.want)
			}
			if syntax.Offset < 1000 || syntax.Offset > 1000+int64(len(c.value)) {
				t.Errorf("offset %d lies outside of the value", syntax.Offset)
			}
		})
	}
}

func TestCursorAcceptsUnusualForms(t *testing.T) {
	for _, c := range []struct {
		name, want string
		value      []byte
	}{
		{"padding everywhere", `list(1 2 ) `, []byte{0xB7, 0x00, 0x21, 0x01, 0x01, 0xAA, 0x21, 0x02}},
		{"padding only", `list() `, []byte{0xB3, 0x02, 0xAA, 0xAA}},
		{"long padding", `list() `, []byte{0xB4, 0x0E, 0x82, 0xAA, 0xAA}},
		{"padding as a field", `struct("name":1 ) `, []byte{0xD6, 0x85, 0x01, 0xAA, 0x84, 0x21, 0x01}},
		{"sorted struct", `struct("name":1 ) `, []byte{0xD1, 0x83, 0x84, 0x21, 0x01}},
		{"needlessly long length", `"a" `, []byte{0x8E, 0x00, 0x00, 0x81, 'a'}},
		{"needlessly long field name", `struct("name":1 ) `, []byte{0xD5, 0x00, 0x00, 0x84, 0x21, 0x01}},
		{"int with leading zeros", `1 `, []byte{0x2E, 0x8A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"greatest and least int64", `9223372036854775807 `, []byte{0x28, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}},
		{"least int64", `-9223372036854775808 `, []byte{0x38, 0x80, 0, 0, 0, 0, 0, 0, 0}},
		{"one more than int64", `9223372036854775808 `, []byte{0x28, 0x80, 0, 0, 0, 0, 0, 0, 0}},
		{"one less than int64", `-9223372036854775809 `, []byte{0x38, 0x80, 0, 0, 0, 0, 0, 0, 1}},
		{"symbol 0", `'?0 `, []byte{0x70}},
		{"repeated fields", `struct("name":1 "name":2 ) `, []byte{0xD6, 0x84, 0x21, 0x01, 0x84, 0x21, 0x02}},
		{"two annotations", `"name"::"version"::true `, []byte{0xE4, 0x82, 0x84, 0x85, 0x11}},
		{"typed null", `null.decimal `, []byte{0x5F}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cur := &ion.Cursor{}
			cur.Reset(c.value, 0, len(c.value))
			got, err := showCursor(cur, &ion.SymbolTable{})
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestCursorRefusesDeepNesting(t *testing.T) {
	nest := func(n int) []byte {
		v := []byte{0xB0}
		for len(v) < 12 && n > 1 {
			v = append([]byte{0xB0 | byte(len(v))}, v...)
			n--
		}
		for ; n > 1; n-- {
			l := len(v)
			v = append([]byte{0xBE, byte(l >> 7), byte(l)&0x7F | 0x80}, v...)
		}
		return v
	}
	for _, c := range []struct {
		depth int
		ok    bool
	}{{ion.MaxDepth, true}, {ion.MaxDepth + 1, false}} {
		v := nest(c.depth)
		cur := &ion.Cursor{}
		cur.Reset(v, 0, len(v))
		if _, err := showCursor(cur, &ion.SymbolTable{}); (err == nil) != c.ok {
			t.Errorf("depth %d: got error %v", c.depth, err)
		}
	}
}

func TestCursorStepsOverWhatNobodyReads(t *testing.T) {
	stream := iontest.Binary(t, `{a:[1,2,{b:"deep"}],c:x::(1 2)} 7`)
	r := ion.NewReader(bytes.NewReader(stream), 0)
	v, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	var c ion.Cursor
	c.Reset(v, 0, len(v))
	if !c.Next() || !c.StepIn() || !c.Next() || !c.StepIn() || !c.Next() {
		t.Fatal(c.Err())
	}
	if !c.StepOut() || !c.Next() || !c.Annotated() || string(c.Raw()) == string(c.Bare()) {
		t.Fatalf("not at the second field: %v", c.Err())
	}
	if c.Next() || c.Err() != nil || !c.StepOut() || c.Next() || c.Err() != nil {
		t.Fatalf("not at the end: %v", c.Err())
	}
	if c.StepOut() || c.Err() == nil {
		t.Error("stepping out of the top level is no error")
	}
}

func TestAccessorsRefuseOtherTypes(t *testing.T) {
	v := []byte{0x21, 0x01}
	var c ion.Cursor
	if _, err := c.Text(); err == nil {
		t.Error("a Cursor without a value yields text")
	}
	c.Reset(v, 0, len(v))
	c.Next()
	for name, read := range map[string]func() error{
		"bool":      func() error { _, err := c.Bool(); return err },
		"float":     func() error { _, err := c.Float(); return err },
		"decimal":   func() error { _, err := c.AppendDecimal(nil); return err },
		"timestamp": func() error { _, err := c.AppendTimestamp(nil); return err },
		"symbol":    func() error { _, err := c.Symbol(); return err },
		"string":    func() error { _, err := c.Text(); return err },
		"blob":      func() error { _, err := c.Lob(); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), "read a "+name+" from a int") {
			t.Errorf("%s from an int: got error %v", name, err)
		}
	}
	if c.StepIn() || c.Err() == nil {
		t.Error("stepping into an int is no error")
	}
}

// TestReaderSaysWhereAStreamBreaksOff cuts a stream at every byte: what is whole
// comes, and the rest is an error that names its offset.
func TestReaderSaysWhereAStreamBreaksOff(t *testing.T) {
	stream := iontest.Binary(t, `{a:1,b:"x"} [1,2,3] "a string of more than fourteen bytes" foo::{c:null}`)
	starts := map[int64]bool{0: true, int64(len(stream)): true}
	r := ion.NewReader(bytes.NewReader(stream), 0)
	starts[4] = true // the symbol table
	for {
		_, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		starts[r.Offset()] = true
	}
	for cut := range stream {
		r := ion.NewReader(iotestOneByte{bytes.NewReader(stream[:cut])}, 0)
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if clean := err == io.EOF; clean != starts[int64(cut)] {
			t.Errorf("cut at %d: got %v", cut, err)
		}
		if err != io.EOF && !errors.Is(err, ion.ErrTruncated) {
			t.Errorf("cut at %d: got %v, want ErrTruncated", cut, err)
		}
		if _, again := r.Next(); again != err {
			t.Errorf("cut at %d: the error does not stay: %v, then %v", cut, err, again)
		}
	}
}

// iotestOneByte yields one byte a read.
type iotestOneByte struct{ r io.Reader }

func (r iotestOneByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.r.Read(p[:1])
}

func TestReaderRefusesValuesAboveItsLimit(t *testing.T) {
	stream := append([]byte{0xE0, 1, 0, 0xEA, 0x21, 0x01, 0x8E, 0x07, 0xE8}, make([]byte, 1000)...)
	for _, c := range []struct {
		limit int
		ok    bool
	}{{1002, false}, {1003, true}, {3, false}, {1, false}} {
		r := ion.NewReader(bytes.NewReader(stream), 100)
		r.MaxValueBytes = c.limit
		_, err := r.Next()
		if err == nil {
			_, err = r.Next()
		}
		var long *ion.TooLongError
		switch {
		case c.ok && err != nil, !c.ok && !errors.As(err, &long):
			t.Errorf("limit %d: got %v", c.limit, err)
		case c.limit == 1002 && (long.Offset != 106 || long.Size != 1003 || long.Limit != 1002):
			t.Errorf("limit %d: got %+v", c.limit, long)
		}
	}
}

// TestReaderGrowsWithWhatArrives gives a length of 60 MB and few bytes.
func TestReaderGrowsWithWhatArrives(t *testing.T) {
	stream := []byte{0xE0, 1, 0, 0xEA, 0x8E, 0x1C, 0x4D, 0x70, 0x80, 'x'}
	if n := testing.AllocsPerRun(1, func() {
		if _, err := ion.NewReader(bytes.NewReader(stream), 0).Next(); !errors.Is(err, ion.ErrTruncated) {
			t.Errorf("got %v", err)
		}
	}); n > 20 {
		t.Errorf("%v allocations", n)
	}
	before := memory()
	_, _ = ion.NewReader(bytes.NewReader(stream), 0).Next()
	if used := memory() - before; used > 8<<20 {
		t.Errorf("reading 10 bytes allocated %d", used)
	}
}

func FuzzReader(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 8 {
		f.Add(iontest.Binary(f, randomIon(rng, 4)+" "+randomIon(rng, 4)))
	}
	f.Add([]byte{0xE0, 1, 0, 0xEA, 0xE9, 0x81, 0x83, 0xD6, 0x87, 0xB4, 0x83, 'a', 'b', 'c', 0xD2, 0x8A, 0x0F})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var c ion.Cursor
		before := memory()
		got, err := showStream(stream)
		if used := memory() - before; used > 16<<20+2000*uint64(len(stream)) {
			t.Errorf("%d bytes of input took %d", len(stream), used)
		}
		// The same bytes as one value, without a Reader before it.
		c.Reset(stream, 0, len(stream))
		_, _ = showCursor(&c, &ion.SymbolTable{})
		if err != nil {
			return
		}
		// A stream that reads well reads the same byte by byte.
		r := ion.NewReader(iotestOneByte{bytes.NewReader(stream)}, 0)
		var s strings.Builder
		for {
			v, err := r.Next()
			if err != nil {
				if err != io.EOF {
					t.Fatalf("byte by byte: %v", err)
				}
				break
			}
			c.Reset(v, 0, len(v))
			one, _ := showCursor(&c, r.Symbols())
			s.WriteString(one)
		}
		if s.String() != got {
			t.Errorf("byte by byte: got %s, want %s", s.String(), got)
		}
	})
}
