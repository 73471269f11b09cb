package ion_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"godwit/internal/ion"

	"github.com/google/go-cmp/cmp"
)

// memory returns the bytes allocated so far.
func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// ionOf writes a tiny subset of binary Ion by hand: what tests of symbol tables
// need and ion-go does not write.
type ionOf struct{ b []byte }

func (w *ionOf) marker() *ionOf { w.b = append(w.b, 0xE0, 1, 0, 0xEA); return w }

func wrap(code byte, content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	if len(body) < 14 {
		return append([]byte{code<<4 | byte(len(body))}, body...)
	}
	return append([]byte{code<<4 | 14, byte(len(body) >> 7), byte(len(body))&0x7F | 0x80}, body...)
}

func str(s string) []byte           { return wrap(8, []byte(s)) }
func num(n int) []byte              { return wrap(2, []byte{byte(n >> 8), byte(n)}) }
func sym(id int) []byte             { return wrap(7, []byte{byte(id >> 8), byte(id)}) }
func field(id int, v []byte) []byte { return append([]byte{byte(id) | 0x80}, v...) }

// table writes a local symbol table of the given fields.
func (w *ionOf) table(fields ...[]byte) *ionOf {
	w.b = append(w.b, wrap(14, []byte{0x81, 0x83}, wrap(13, fields...))...)
	return w
}

func (w *ionOf) add(v []byte) *ionOf { w.b = append(w.b, v...); return w }

func symbols(names ...string) []byte {
	var list [][]byte
	for _, n := range names {
		list = append(list, str(n))
	}
	return field(7, wrap(11, list...))
}

var appended = field(6, sym(3)) // imports: $ion_symbol_table

func imports(tables ...[]byte) []byte { return field(6, wrap(11, tables...)) }

func shared(name string, version, maxID int) []byte {
	fields := [][]byte{field(4, str(name)), field(5, num(version))}
	if maxID >= 0 {
		fields = append(fields, field(8, num(maxID)))
	}
	return wrap(13, fields...)
}

func TestSymbolTablesAreReplacedAddedToAndReset(t *testing.T) {
	for _, c := range []struct {
		name, want string
		stream     *ionOf
	}{
		{"one table", `'"a" '"b" `, new(ionOf).marker().table(symbols("a", "b")).add(sym(10)).add(sym(11))},
		{"added to", `'"a" '"b" '"a" `, new(ionOf).marker().table(symbols("a")).add(sym(10)).table(appended, symbols("b")).add(sym(11)).add(sym(10))},
		{"added to, symbols before imports", `'"a" '"b" `, new(ionOf).marker().table(symbols("a")).table(symbols("b"), appended).add(sym(10)).add(sym(11))},
		{"replaced", `'"a" '"b" '?11 `, new(ionOf).marker().table(symbols("a", "x")).add(sym(10)).table(symbols("b")).add(sym(10)).add(sym(11))},
		{"reset by a version marker", `'"a" '?10 '"name" `, new(ionOf).marker().table(symbols("a")).add(sym(10)).marker().add(sym(10)).add(sym(4))},
		{"reset by a null table", `'?10 `, new(ionOf).marker().table(symbols("a")).add(wrap(14, []byte{0x81, 0x83, 0xDF})).add(sym(10))},
		{"symbol that is no string", `'"a" '?11 '"c" `, new(ionOf).marker().table(field(7, wrap(11, str("a"), num(1), str("c")))).add(sym(10)).add(sym(11)).add(sym(12))},
		{"shared table", `'?10 '?14 '"a" `, new(ionOf).marker().table(imports(shared("s", 1, 5)), symbols("a")).add(sym(10)).add(sym(14)).add(sym(15))},
		{"shared table, then added to", `'"a" '"b" `, new(ionOf).marker().table(imports(shared("s", 1, 5)), symbols("a")).table(appended, symbols("b")).add(sym(15)).add(sym(16))},
		{"system table imported", `'"a" `, new(ionOf).marker().table(imports(shared("$ion", 1, 9)), symbols("a")).add(sym(10))},
		{"no symbols", `'?10 `, new(ionOf).marker().table().add(sym(10))},
		{"empty text", `'"" `, new(ionOf).marker().table(symbols("")).add(sym(10))},
		{
			"not at top level", `list("$ion_symbol_table"::struct("symbols":list("x" ) ) ) '"a" `,
			new(ionOf).marker().table(symbols("a")).add(wrap(11, wrap(14, []byte{0x81, 0x83}, wrap(13, symbols("x"))))).add(sym(10)),
		},
		{
			"not the first annotation", `"name"::"$ion_symbol_table"::struct() '"a" `,
			new(ionOf).marker().table(symbols("a")).add(wrap(14, []byte{0x82, 0x84, 0x83}, wrap(13))).add(sym(10)),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := showStream(c.stream.b)
			if err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestSymbolTablesThatCannotBeUsedAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, want string
		stream     *ionOf
	}{
		{"shared table without max_id", "shared symbol table com.example.s, version 3, gives no max_id", new(ionOf).marker().table(imports(shared("com.example.s", 3, -1)))},
		{"two lists of symbols", "two lists of symbols", new(ionOf).marker().table(symbols("a"), symbols("b"))},
		{"symbol that is not UTF-8", "symbol is not UTF-8", new(ionOf).marker().table(symbols("\xff"))},
		{"max_id that leaves no ids", "leaves no symbol ids", new(ionOf).marker().table(imports(wrap(13, field(4, str("s")), field(8, wrap(2, []byte{0x7F, 0xFF, 0xFF, 0xFF})))))},
		{"symbols longer than the table", "does not fit", new(ionOf).marker().table([]byte{0x87, 0xB9, 0x81})},
		{"ion 1.1", "not the version marker of ion 1.0", &ionOf{[]byte{0xE0, 1, 1, 0xEA}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := showStream(c.stream.add(num(1)).b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestUnknownSymbolNamesItsSharedTable(t *testing.T) {
	r := ion.NewReader(bytes.NewReader(new(ionOf).marker().table(imports(shared("s", 1, 5), shared("t", 1, 5)), symbols("a")).add(num(1)).b), 0)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[ion.SID]string{0: "", 10: "s", 14: "s", 15: "t", 19: "t", 21: "", 1 << 30: ""} {
		_, err := r.Symbols().Text(id)
		var unknown *ion.SymbolError
		if !errors.As(err, &unknown) || unknown.Table != want || unknown.ID != id {
			t.Errorf("$%d: got %v, want table %q", id, err, want)
		}
	}
}

// TestReaderResumesAtEveryValue reads a stream with many symbol tables, and goes
// on from every position with only the bytes that the position names.
func TestReaderResumesAtEveryValue(t *testing.T) {
	w := new(ionOf).marker()
	n := 0
	for block := range 60 {
		switch {
		case block == 10:
			w.marker()
			n = 0
		case block == 14:
			w.table(symbols("fresh"))
			n = 1
		}
		w.table(appended, symbols(fmt.Sprintf("s%d", block), "other"))
		n += 2
		for i := range n {
			w.add(sym(10 + i))
		}
	}
	stream := w.b
	type place struct {
		at   ion.Position
		rest int // values read before
	}
	read := func(r *ion.Reader, stop func()) []string {
		var all []string
		for {
			stop()
			v, err := r.Next()
			if err == io.EOF {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			var c ion.Cursor
			c.Reset(v, 0, len(v))
			one, err := showCursor(&c, r.Symbols())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
	}
	var places []place
	r := ion.NewReader(bytes.NewReader(stream), 0)
	whole := read(r, func() { places = append(places, place{r.Position(), len(places)}) })
	if len(whole) < 500 {
		t.Fatalf("only %d values", len(whole))
	}
	for _, p := range places {
		text, err := json.Marshal(p.at)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 2048 {
			t.Fatalf("position of %d bytes: %s", len(text), text)
		}
		var at ion.Position
		if err := json.Unmarshal(text, &at); err != nil {
			t.Fatal(err)
		}
		r := ion.NewReader(nil, 0)
		for _, rg := range at.Symbols {
			if err := r.LoadSymbols(bytes.NewReader(stream[rg.Offset:]), rg); err != nil {
				t.Fatal(err)
			}
		}
		r.Continue(bytes.NewReader(stream[at.Offset:]), at.Offset)
		if diff := cmp.Diff(strings.Join(whole[p.rest:], ""), strings.Join(read(r, func() {}), "")); diff != "" {
			t.Fatalf("from value %d, %s:\n%s", p.rest, text, diff)
		}
		if p.rest%7 == 0 && len(at.Symbols) > 0 {
			// A position taken after resuming is as good.
			if got := r.Position(); len(got.Symbols) == 0 {
				t.Fatalf("position after resuming has no symbol tables")
			}
		}
	}
}
