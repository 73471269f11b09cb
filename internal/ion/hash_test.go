package ion_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"godwit/internal/ion"
)

// serial is s(v) of a value without content of its own, written down from the
// specification: 0B, type byte, escaped representation, 0E.
func serial(typ byte, text string) string {
	escaped := strings.NewReplacer("\x0B", "\x0C\x0B", "\x0C", "\x0C\x0C", "\x0E", "\x0C\x0E").Replace(text)
	return "\x0B" + string([]byte{typ}) + escaped + "\x0E"
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return string(sum[:])
}

func TestHashOfNaughtyStrings(t *testing.T) {
	lines, err := os.ReadFile(corpus(t, "qldb", "ion-hash-test", "big_list_of_naughty_strings.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.SplitSeq(string(lines), "\n") {
		text, symbol := serial(0x80, line), serial(0x70, line)
		fields := []string{sha(symbol + text), sha(symbol + symbol)}
		slices.Sort(fields)
		var w ion.Writer
		cases := []struct {
			name  string
			write func()
			want  string
		}{
			{"string", func() { w.String(line) }, text},
			{"symbol", func() { w.Symbol(line) }, symbol},
			{"blob", func() { w.Blob([]byte(line)) }, serial(0xA0, line)},
			{"clob", func() { w.Clob([]byte(line)) }, serial(0x90, line)},
			{"list", func() { w.BeginList(); w.String(line); w.Symbol(line); w.End() }, "\x0B\xB0" + text + symbol + "\x0E"},
			{"sexp", func() { w.BeginSexp(); w.String(line); w.End() }, "\x0B\xC0" + text + "\x0E"},
			{"struct", func() {
				w.BeginStruct()
				w.Field(line)
				w.String(line)
				w.Field(line)
				w.Symbol(line)
				w.End()
			}, serial(0xD0, fields[0]+fields[1])},
			{"annotation", func() { w.Annotate(line); w.String(line) }, "\x0B\xE0" + symbol + text + "\x0E"},
		}
		for _, c := range cases {
			c.write()
			value, err := w.AppendValues(nil)
			if err != nil {
				t.Fatal(err)
			}
			var h ion.Hasher
			got, err := h.Sum(nil, value, &w)
			if err != nil {
				t.Fatalf("%s of %q: %v", c.name, line, err)
			}
			if string(got) != sha(c.want) {
				t.Errorf("%s of %q: got %x, want %x", c.name, line, got, sha(c.want))
			}
			n++
		}
	}
	if n < 8*680 {
		t.Errorf("hashed %d values of %d lines: the list is cut off", n, n/8)
	}
}

// hashOf hashes binary Ion given in hex, with the symbols a, b, ... from $10 on.
func hashOf(t *testing.T, value string) (string, error) {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(value, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	var w ion.Writer
	for _, name := range []string{"a", "b", "c"} {
		w.Symbol(name)
	}
	var h ion.Hasher
	sum, err := h.Sum(nil, b, &w)
	return hex.EncodeToString(sum), err
}

func TestHashIsOfTheValueNotItsEncoding(t *testing.T) {
	cases := []struct {
		name string
		a, b string
		same bool
	}{
		{"int with leading zeros", "21 05", "23 00 00 05", true},
		{"int with a long length", "21 05", "2E 81 05", true},
		{"zero of no bytes and of one", "20", "21 00", true},
		{"float of 32 and 64 bits", "44 3F 00 00 00", "48 3F E0 00 00 00 00 00 00", true},
		{"positive zero float", "40", "48 00 00 00 00 00 00 00 00", true},
		{"negative zero float", "40", "48 80 00 00 00 00 00 00 00", false},
		{"every nan", "44 7F C0 00 00", "48 7F F8 00 00 00 00 00 01", true},
		{"decimal zero", "50", "52 80 00", true},
		{"decimal with padded exponent and coefficient", "53 C2 23 41", "56 40 82 00 00 23 41", true},
		{"decimal of another scale", "52 C1 5A", "53 C2 03 84", false},
		{"decimal negative zero", "50", "52 80 80", false},
		{"timestamp with padded fields", "64 C0 0F D0 81", "66 C0 00 0F D0 00 81", true},
		{"timestamp with an empty fraction", "68 80 0F D0 81 81 80 80 80", "6A 80 0F D0 81 81 80 80 80 80 00", true},
		{"timestamp with a fraction of zero", "68 80 0F D0 81 81 80 80 80", "69 80 0F D0 81 81 80 80 80 C3", false},
		{"timestamp with a padded fraction", "6A 80 0F D0 81 81 80 80 80 C3 05", "6C 80 0F D0 81 81 80 80 80 C3 00 00 05", true},
		{"timestamp of unknown offset", "67 80 0F D0 81 81 80 80", "67 C0 0F D0 81 81 80 80", false},
		{"struct in another order", "D6 8A 21 01 8B 21 02", "D6 8B 21 02 8A 21 01", true},
		{"struct with padding and sorted fields", "D6 8A 21 01 8B 21 02", "D1 8A 8A 21 01 8B 02 00 00 8B 21 02", true},
		{"struct with a repeated field", "D3 8A 21 01", "D6 8A 21 01 8A 21 01", false},
		{"list with padding", "B2 21 01", "B4 21 01 01 00", true},
		{"list in another order", "B4 21 01 21 02", "B4 21 02 21 01", false},
		{"null.int of both signs", "2F", "3F", true},
		{"null of another type", "2F", "0F", false},
		{"symbol and string", "71 0A", "81 61", false},
		{"annotation", "E4 81 8A 21 01", "21 01", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, err := hashOf(t, c.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := hashOf(t, c.b)
			if err != nil {
				t.Fatal(err)
			}
			if (a == b) != c.same {
				t.Errorf("%s hashes to %s, %s to %s, want same: %v", c.a, a, c.b, b, c.same)
			}
		})
	}
}

func TestHashRefusesWhatIsNoValue(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":                       "",
		"two values":                    "20 20",
		"a cut off string":              "83 61 62",
		"a length beyond the end":       "8E 7F FF FF FF FF",
		"padding":                       "00",
		"a version marker":              "E0 01 00 EA",
		"an unknown symbol":             "72 01 00",
		"an unknown field name":         "D3 FF 21 01",
		"negative zero int":             "31 00",
		"a float of three bytes":        "43 00 00 00",
		"a reserved bool":               "12",
		"a wrapper around a wrapper":    "E7 81 8A E4 81 8A 21 01",
		"a decimal without an exponent": "51 00",
		"a timestamp's hour alone":      "65 80 0F D0 81 81 80",
		"a fraction above a second":     "6A 80 0F D0 81 81 80 80 80 81 01",
		"nesting without end":           strings.Repeat("BE 83 ", 100000) + "20",
	} {
		if sum, err := hashOf(t, value); err == nil || sum != "" {
			t.Errorf("%s: got %s, %v, want an error", name, sum, err)
		}
	}
}

func TestHashOfRealStreamRecordIsThatOfItsText(t *testing.T) {
	for _, name := range []string{"attestation.0", "attestation.1"} {
		binary, err := os.ReadFile(corpus(t, "qldb", "stream-record", name+".10n"))
		if err != nil {
			t.Fatal(err)
		}
		r := ion.NewReader(bytes.NewReader(binary), 0)
		value, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var h ion.Hasher
		got, err := h.Sum(nil, value, r.Symbols())
		if err != nil {
			t.Fatal(err)
		}
		file := corpus(t, "qldb", "stream-record", name+".ion")
		var w ion.Writer
		text := readText(t, file)
		text.Next()
		writeValue(t, text, &w)
		value, err = w.AppendValues(nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := h.Sum(nil, value, &w)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: binary hashes to %x, text to %x", name, got, want)
		}
	}
}

func FuzzHash(f *testing.F) {
	f.Add([]byte{0xD6, 0x8A, 0x21, 0x01, 0x8B, 0x21, 0x02})
	f.Add([]byte{0x6A, 0x80, 0x0F, 0xD0, 0x81, 0x81, 0x80, 0x80, 0x80, 0xC3, 0x05})
	f.Add([]byte{0xE4, 0x81, 0x8A, 0x53, 0xC2, 0x23, 0x41})
	var h ion.Hasher
	var symbols ion.Writer
	symbols.Symbol("a")
	f.Fuzz(func(t *testing.T, b []byte) {
		if sum, err := h.Sum(nil, b, &symbols); err == nil && len(sum) != sha256.Size {
			t.Errorf("% x hashes to %x", b, sum)
		}
	})
}

// registration writes a document of the tutorial's ledger.
func registration(w *ion.Writer) {
	w.BeginStruct()
	w.Field("VIN")
	w.String("1N4AL11D75C109151")
	w.Field("PendingPenaltyTicketAmount")
	w.Decimal("90.25")
	w.Field("ValidFromDate")
	w.Timestamp("2017-08-21")
	w.Field("Owners")
	w.BeginStruct()
	w.Field("PrimaryOwner")
	w.BeginStruct()
	w.Field("PersonId")
	w.String("BFJKdXhnLRT27sXBnojNGW")
	w.End()
	w.Field("SecondaryOwners")
	w.BeginList()
	w.End()
	w.End()
	w.End()
}

func TestHashAndWriterReuseTheirMemory(t *testing.T) {
	var w ion.Writer
	var h ion.Hasher
	var value, sum []byte
	n := testing.AllocsPerRun(100, func() {
		registration(&w)
		var err error
		if value, err = w.AppendValues(value[:0]); err != nil {
			t.Fatal(err)
		}
		if sum, err = h.Sum(sum[:0], value, &w); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a document, want none", n)
	}
}

func BenchmarkHash(b *testing.B) {
	var w ion.Writer
	registration(&w)
	value, err := w.AppendValues(nil)
	if err != nil {
		b.Fatal(err)
	}
	var h ion.Hasher
	var sum []byte
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if sum, err = h.Sum(sum[:0], value, &w); err != nil {
			b.Fatal(err)
		}
	}
}
