package ion_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"godwit/internal/ion"
)

// message is {names[0]: 0, names[1]: 1, ...} with a symbol table of its own.
func message(t testing.TB, names ...string) []byte {
	t.Helper()
	var w ion.Writer
	w.BeginStruct()
	for i, name := range names {
		w.Field(name)
		w.Int(int64(i))
	}
	w.End()
	b, err := w.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fieldNames are the names of the fields of a message's struct.
func fieldNames(t testing.TB, r *ion.MessageReader, b []byte) string {
	t.Helper()
	value, symbols, err := r.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var c ion.Cursor
	c.Reset(value, 0, len(value))
	c.Next()
	c.StepIn()
	var names []string
	for c.Next() {
		name, err := symbols.Text(c.Field())
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestMessagesAreReadWithTheirOwnSymbols(t *testing.T) {
	const seed = 3
	random := rand.New(rand.NewPCG(seed, 0))
	// Many more than are kept, heads of one length, and some too long to be kept.
	var messages [][]byte
	var want []string
	for i := range 300 {
		names := []string{fmt.Sprintf("first%03d", i), "shared", fmt.Sprintf("last%03d", i)}
		if i%50 == 0 {
			names = append(names, strings.Repeat("long", 2000))
		}
		messages, want = append(messages, message(t, names...)), append(want, strings.Join(names, " "))
	}
	var r ion.MessageReader
	for range 5000 {
		i := random.IntN(len(messages))
		if random.IntN(2) == 0 {
			i %= 10 // a few come often
		}
		if got := fieldNames(t, &r, messages[i]); got != want[i] {
			t.Fatalf("seed %d: message %d has fields %.60q, want %.60q", seed, i, got, want[i])
		}
	}
}

func TestAKnownSymbolTableCostsNothing(t *testing.T) {
	var r ion.MessageReader
	b := message(t, "some", "names")
	_, first, err := r.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	epoch := first.Epoch()
	if got := testing.AllocsPerRun(100, func() { _, _, _ = r.Read(b) }); got != 0 {
		t.Errorf("%v allocations a message", got)
	}
	if _, again, _ := r.Read(b); again != first || again.Epoch() != epoch {
		t.Error("the table was parsed again")
	}
}

func TestATableThatCannotBeReadIsNotKept(t *testing.T) {
	var r ion.MessageReader
	good := message(t, "some", "names")
	for i := range 1000 { // so that some take the place where good's table is kept
		// {symbols: ["x", "\xFF"]}: the second must not find the first's remains.
		bad := []byte{0xE0, 1, 0, 0xEA, 0xEA, 0x81, 0x83, 0xD7, 0x87, 0xB5, 0x82, byte('a' + i%26), byte('a' + i/26), 0x81, 0xFF, 0x0F}
		for range 2 {
			if _, _, err := r.Read(bad); err == nil || !strings.Contains(err.Error(), "UTF-8") {
				t.Fatalf("table %d: error %v", i, err)
			}
		}
		if got := fieldNames(t, &r, good); got != "some names" {
			t.Fatalf("behind table %d: fields %q", i, got)
		}
	}
}

func TestLargeSymbolTablesAreNotKept(t *testing.T) {
	var r ion.MessageReader
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	for i := range 200 {
		name := fmt.Sprint(i, strings.Repeat("x", 256<<10))
		if got := fieldNames(t, &r, message(t, name)); got != name {
			t.Fatalf("table %d: another name", i)
		}
	}
	if after := held(); after > before+(4<<20) {
		t.Errorf("%d bytes are held", after-before)
	}
	runtime.KeepAlive(&r)
}

func TestAMessageIsOneValue(t *testing.T) {
	marker := []byte{0xE0, 1, 0, 0xEA}
	table := []byte{0xE7, 0x81, 0x83, 0xD4, 0x87, 0xB2, 0x81, 'a'}                  // defines $10
	more := []byte{0xEA, 0x81, 0x83, 0xD7, 0x86, 0x71, 0x03, 0x87, 0xB2, 0x81, 'b'} // adds $11
	value := []byte{0xD2, 0x8B, 0x0F}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		message []byte
		says    string // "": it is read
	}{
		"table upon table":      {join(marker, table, more, value), ""},
		"padding everywhere":    {join(marker, []byte{0x00}, table, []byte{0x01, 0x7F}, more, value, []byte{0x00}), ""},
		"marker twice":          {join(marker, marker, table, more, value, marker), ""},
		"tables behind it":      {join(marker, table, more, value, table), ""},
		"nothing":               {nil, "empty"},
		"no marker":             {value, "not the version marker"},
		"half a marker":         {marker[:3], "not the version marker"},
		"half a marker behind":  {join(marker, value, marker[:2]), "not the version marker"},
		"no value":              {join(marker, table), "no value"},
		"two values":            {join(marker, value, value), "another value"},
		"table that is cut off": {join(marker, table[:5]), "does not fit"},
	} {
		var r ion.MessageReader
		got, symbols, err := r.Read(c.message)
		if c.says != "" {
			var syntax *ion.SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: error %v, want one with %q", name, err, c.says)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, value) {
			t.Errorf("%s: value % X, error %v", name, got, err)
			continue
		}
		if text, err := symbols.Text(11); text != "b" {
			t.Errorf("%s: $11 is %q, %v", name, text, err)
		}
	}
}

// FuzzMessage reads anything as a message: no panic, and what is read is what a
// Reader reads.
func FuzzMessage(f *testing.F) {
	f.Add(message(f, "a", "b"))
	f.Add(append(message(f), message(f, "x")...))
	f.Add([]byte{0xE0, 1, 0, 0xEA, 0xE7, 0x81, 0x83, 0xD4, 0x87, 0xB2, 0x81, 'a', 0x0F})
	var r ion.MessageReader
	f.Fuzz(func(t *testing.T, b []byte) {
		value, symbols, err := r.Read(b)
		if err != nil {
			return
		}
		oracle := ion.NewReader(bytes.NewReader(b), 0)
		want, err := oracle.Next()
		if err != nil || !bytes.Equal(value, want) {
			t.Fatalf("value % X, a Reader finds % X, %v", value, want, err)
		}
		for id := range max(symbols.End(), oracle.Symbols().End()) {
			if id > 1000 {
				break
			}
			got, errGot := symbols.Text(id)
			want, errWant := oracle.Symbols().Text(id)
			if got != want || (errGot == nil) != (errWant == nil) {
				t.Fatalf("$%d is %q, %v, with a Reader %q, %v", id, got, errGot, want, errWant)
			}
		}
	})
}
