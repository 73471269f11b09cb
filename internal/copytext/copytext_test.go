package copytext_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/testdb"
)

// A sample is a value and the text that its column shows after COPY.
type sample struct {
	sql   string // column type
	typ   change.Type
	value change.Value
	shown string // of column::text; "\N" is NULL
}

func text(s string) change.Value  { return change.Value{Kind: change.Text, Bytes: []byte(s)} }
func jsonv(s string) change.Value { return change.Value{Kind: change.JSON, Bytes: []byte(s)} }
func kind(k change.Kind, s string) change.Value {
	return change.Value{Kind: k, Bytes: []byte(s)}
}

func float(f float64) change.Value {
	return change.Value{Kind: change.Float, Int: int64(math.Float64bits(f))}
}

// nasty are texts that some layer on the way might read otherwise.
var nasty = []string{
	"", " ", `\N`, `\\N`, `\.`, "\\", `\\`, "a\tb", "a\nb", "a\r\nb", "\b\f\v\x1b\x7f", `"`, `'`, `{}`, `{a,"b"}`, "NULL", "null",
	"\\x41", `\101`, "é", "\U0001F600", "\u2028", "\ufeff", "\u0080", "0123456\\", "01234567\\", "0123456\t89abcde\n", strings.Repeat("\\", 17),
	"ÿ\\", "\u00dc\\\u00dc\n", strings.Repeat("é\\", 9), "\x0e\x0f", "x\x0d", "\x01\x02\x03\x04\x05\x06\x07\x08",
}

func samples() []sample {
	null := change.Value{Kind: change.Null}
	list := []sample{
		{"text", change.Type{Kind: change.Text}, null, `\N`},
		{"integer", change.Type{Kind: change.Int, Bits: 32}, null, `\N`},
		{"text[]", change.Type{Kind: change.Text, Array: true}, null, `\N`},
		{"boolean", change.Type{Kind: change.Bool}, change.Value{Kind: change.Bool, Int: 1}, "true"},
		{"boolean", change.Type{Kind: change.Bool}, change.Value{Kind: change.Bool}, "false"},
		{"smallint", change.Type{Kind: change.Int, Bits: 16}, change.Value{Kind: change.Int, Int: -32768}, "-32768"},
		{"bigint", change.Type{Kind: change.Int, Bits: 64}, change.Value{Kind: change.Int, Int: math.MinInt64}, "-9223372036854775808"},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Int, "123456789012345678901234567890"), "123456789012345678901234567890"},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Decimal, "9.00"), "9.00"},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Decimal, "-0.000001"), "-0.000001"},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Decimal, "12E70"), "12" + strings.Repeat("0", 70)},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Decimal, "0E-70"), "0." + strings.Repeat("0", 70)},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Decimal, "1E-16383"), "0." + strings.Repeat("0", 16382) + "1"},
		{"numeric", change.Type{Kind: change.Decimal}, kind(change.Decimal, "1E131071"), "1" + strings.Repeat("0", 131071)},
		{"numeric(5,2)", change.Type{Kind: change.Decimal, Precision: 5, Scale: 2}, kind(change.Decimal, "999.990"), "999.99"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(0.1), "0.1"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(math.MaxFloat64), "1.7976931348623157e+308"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(math.SmallestNonzeroFloat64), "5e-324"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(math.Copysign(0, -1)), "-0"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(math.NaN()), "NaN"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(math.Inf(1)), "Infinity"},
		{"double precision", change.Type{Kind: change.Float, Bits: 64}, float(math.Inf(-1)), "-Infinity"},
		{"real", change.Type{Kind: change.Float, Bits: 32}, float(float64(float32(0.1))), "0.1"},
		{"real", change.Type{Kind: change.Float, Bits: 32}, float(1 << 31), "2.1474836e+09"},
		{"date", change.Type{Kind: change.Date}, kind(change.Date, "0001-01-01"), "0001-01-01"},
		{"date", change.Type{Kind: change.Date}, kind(change.Date, "9999-12-31"), "9999-12-31"},
		{"time", change.Type{Kind: change.Time}, kind(change.Time, "23:59:59.999999"), "23:59:59.999999"},
		{"time", change.Type{Kind: change.Time}, kind(change.Time, "12:34"), "12:34:00"},
		{"timestamp", change.Type{Kind: change.Timestamp}, kind(change.Timestamp, "2019-09-16T19:37:05.360"), "2019-09-16 19:37:05.36"},
		{"timestamp", change.Type{Kind: change.Timestamp}, kind(change.Timestamp, "2019-09-16T19:37"), "2019-09-16 19:37:00"},
		{"timestamptz", change.Type{Kind: change.Timestamp, Zone: true}, kind(change.Timestamp, "2019-09-16T19:37:05.123456Z"), "2019-09-16 19:37:05.123456+00"},
		{"timestamptz", change.Type{Kind: change.Timestamp, Zone: true}, kind(change.Timestamp, "2019-09-16T19:37-08:30"), "2019-09-17 04:07:00+00"},
		{"timestamptz", change.Type{Kind: change.Timestamp, Zone: true}, kind(change.Timestamp, "0001-01-01T00:00:00+10:00"), "0001-12-31 14:00:00+00 BC"},
		{"timestamptz", change.Type{Kind: change.Timestamp, Zone: true}, kind(change.Timestamp, "9999-12-31T23:59:59.999999-15:59"), "10000-01-01 15:58:59.999999+00"},
		{"uuid", change.Type{Kind: change.UUID}, kind(change.UUID, "0F8FAD5B-d9cb-469f-a165-70867728950e"), "0f8fad5b-d9cb-469f-a165-70867728950e"},
		{"bytea", change.Type{Kind: change.Bytes}, kind(change.Bytes, ""), `\x`},
		{"bytea", change.Type{Kind: change.Bytes}, kind(change.Bytes, "\x00\\\t\n\xff"), `\x005c090aff`},
		{"integer[]", change.Type{Kind: change.Int, Bits: 32, Array: true}, jsonv(`[]`), "{}"},
		{"integer[]", change.Type{Kind: change.Int, Bits: 32, Array: true}, jsonv(`[1,null,-3]`), "{1,NULL,-3}"},
		{"numeric[]", change.Type{Kind: change.Decimal, Array: true}, jsonv(`[1.50,2E3]`), "{1.50,2000}"},
		{"boolean[]", change.Type{Kind: change.Bool, Array: true}, jsonv(`[true,false,null]`), "{t,f,NULL}"},
		{"double precision[]", change.Type{Kind: change.Float, Bits: 64, Array: true}, jsonv(`["NaN",1e+300,"-Infinity"]`), "{NaN,1e+300,-Infinity}"},
		{"date[]", change.Type{Kind: change.Date, Array: true}, jsonv(`["2019-09-16"]`), "{2019-09-16}"},
		{"bytea[]", change.Type{Kind: change.Bytes, Array: true}, jsonv(`["00ff","",null]`), `{"\\x00ff","\\x",NULL}`},
		{
			"jsonb[]",
			change.Type{Kind: change.JSON, Array: true},
			jsonv(`[{"a":["b\"\\\n",null]},null,"x,y",[1,2],5]`),
			`{"{\"a\": [\"b\\\"\\\\\\n\", null]}",NULL,"\"x,y\"","[1, 2]",5}`,
		},
		{"text[]", change.Type{Kind: change.Text, Array: true}, jsonv(`["null","NULL","","a,b","\u00e9\ud83d\ude00\/"]`), `{"null","NULL","","a,b",é😀/}`},
	}
	for _, s := range nasty {
		list = append(list,
			sample{"text", change.Type{Kind: change.Text}, text(s), s},
			sample{"varchar(200)", change.Type{Kind: change.Text, Length: 200}, text(s), s},
			sample{"jsonb", change.Type{Kind: change.JSON}, jsonv(jsonString(s)), canonical(jsonString(s))})
	}
	return list
}

// jsonString writes s as a JSON string.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// canonical writes a JSON string's escapes as jsonb shows them.
func canonical(s string) string {
	return strings.NewReplacer(`\u0008`, `\b`, `\u0009`, `\t`, `\u000a`, `\n`, `\u000c`, `\f`, `\u000d`, `\r`).Replace(s)
}

// table makes a table of one column for each sample.
func table(list []sample) change.Table {
	t := change.Table{Name: "t"}
	for i, s := range list {
		t.Columns = append(t.Columns, change.Column{Name: fmt.Sprintf("c%d", i), Type: s.typ})
	}
	return t
}

// TestServerReadsWhatWasWritten sends every sample through a real COPY, and
// through json_to_recordset.
func TestServerReadsWhatWasWritten(t *testing.T) {
	db := testdb.New(t)
	conn := testdb.Connect(t, db.AdminDSN)
	ctx := context.Background()
	list := samples()
	if _, err := conn.Exec(ctx, "SET TimeZone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	tab := table(list)
	var columns, shown []string
	var values []change.Value
	for i, s := range list {
		columns = append(columns, tab.Columns[i].Name+" "+s.sql)
		shown = append(shown, tab.Columns[i].Name+"::text")
		values = append(values, s.value)
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE t ("+strings.Join(columns, ", ")+")"); err != nil {
		t.Fatal(err)
	}
	line, err := copytext.AppendRow(nil, change.Row{Table: &tab, Values: values})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(bytes.Repeat(line, 2)), "COPY t ("+strings.Join(copytext.Columns(&tab), ",")+") FROM STDIN (FORMAT text)")
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() != 2 {
		t.Errorf("%d rows copied of 2", tag.RowsAffected())
	}
	object, err := copytext.AppendJSON(nil, change.Row{Table: &tab, Values: values})
	if err != nil {
		t.Fatal(err)
	}
	for from, args := range map[string][]any{
		"t": nil,
		"json_to_recordset($1::json) AS t (" + strings.Join(columns, ", ") + ")": {"[" + string(object) + "]"},
	} {
		rows, err := conn.Query(ctx, "SELECT "+strings.Join(shown, ", ")+" FROM "+from+" LIMIT 1", args...)
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		got, err := rows.Values()
		rows.Close()
		if err != nil || rows.Err() != nil {
			t.Fatal(err, rows.Err())
		}
		for i, s := range list {
			g, ok := got[i].(string)
			if !ok {
				g = `\N`
			}
			if g != s.shown {
				t.Errorf("%.20s: %s of kind %s: the server shows %.60q, want %.60q", from, s.sql, s.value.Kind, g, s.shown)
			}
		}
	}
}

// decode reads one COPY line as PostgreSQL does; nil is NULL.
func decode(t *testing.T, line []byte) [][]byte {
	t.Helper()
	if n := bytes.Count(line, []byte("\n")); n != 1 || line[len(line)-1] != '\n' {
		t.Fatalf("%q is not one line", line)
	}
	var out [][]byte
	for field := range bytes.SplitSeq(line[:len(line)-1], []byte("\t")) {
		if string(field) == `\N` {
			out = append(out, nil)
			continue
		}
		value := []byte{}
		for i := 0; i < len(field); i++ {
			c := field[i]
			if c == '\r' {
				t.Fatalf("%q has a bare carriage return", line)
			}
			if c != '\\' {
				value = append(value, c)
				continue
			}
			if i++; i == len(field) {
				t.Fatalf("%q ends with a backslash", line)
			}
			at := strings.IndexByte("bfnrtv", field[i])
			switch {
			case at >= 0:
				value = append(value, "\b\f\n\r\t\v"[at])
			case field[i] == 'x' || '0' <= field[i] && field[i] <= '7':
				t.Fatalf("%q has a numeric escape", line)
			default:
				value = append(value, field[i])
			}
		}
		out = append(out, value)
	}
	return out
}

// TestEveryTextIsOneFieldOfOneLine needs no server: random texts at every
// position within a machine word come back as they went.
func TestEveryTextIsOneFieldOfOneLine(t *testing.T) {
	seed := uint64(20261122)
	r := rand.New(rand.NewPCG(seed, 1))
	alphabet := []rune("ab\\\t\n\r\b\v\f\"{}é\U0001F600\x0e\x01\x7f")
	tab := change.Table{Name: "t", Columns: make([]change.Column, 3)}
	for i := range tab.Columns {
		tab.Columns[i] = change.Column{Name: "c", Type: change.Type{Kind: change.Text}}
	}
	for n := range 20000 {
		var want []string
		var values []change.Value
		for range tab.Columns {
			var b strings.Builder
			for range r.IntN(40) {
				if r.IntN(3) > 0 {
					b.WriteByte(byte('a' + r.IntN(26)))
				} else {
					b.WriteRune(alphabet[r.IntN(len(alphabet))])
				}
			}
			want = append(want, b.String())
			values = append(values, text(b.String()))
		}
		line, err := copytext.AppendRow([]byte("before"), change.Row{Table: &tab, Values: values})
		if err != nil {
			t.Fatal(err)
		}
		rest, ok := bytes.CutPrefix(line, []byte("before"))
		if !ok {
			t.Fatal("what stood in dst is gone")
		}
		var got []string
		for _, f := range decode(t, rest) {
			got = append(got, string(f))
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatalf("seed %d, row %d (-got +want):\n%s", seed, n, diff)
		}
	}
}

func TestValueThatTextCannotHoldIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		typ   change.Type
		value change.Value
	}{
		"NUL":                      {change.Type{Kind: change.Text}, text("secret\x00")},
		"NUL behind a word":        {change.Type{Kind: change.Text}, text("secret is longer\x00")},
		"broken UTF-8":             {change.Type{Kind: change.Text}, text("secret\xff")},
		"half a character":         {change.Type{Kind: change.Text}, text("secret\xc3")},
		"surrogate":                {change.Type{Kind: change.Text}, text("secret\xed\xa0\x80")},
		"broken UTF-8 in jsonb":    {change.Type{Kind: change.JSON}, jsonv("\"secret\xff\"")},
		"no kind":                  {change.Type{Kind: change.Text}, change.Value{}},
		"list":                     {change.Type{Kind: change.JSON}, change.Value{Kind: change.List}},
		"struct":                   {change.Type{Kind: change.JSON}, change.Value{Kind: change.Struct}},
		"text as array":            {change.Type{Kind: change.Text, Array: true}, text("{secret}")},
		"array of arrays":          {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret",["b"]]`)},
		"array that does not end":  {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret"`)},
		"array with open string":   {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret]`)},
		"array with a hole":        {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret",]`)},
		"array and more":           {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret"]]`)},
		"array with NUL":           {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret\u0000"]`)},
		"array with raw NUL":       {change.Type{Kind: change.Text, Array: true}, jsonv("[\"secret\x00\"]")},
		"array with half a pair":   {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret\ud83d"]`)},
		"array with broken UTF-8":  {change.Type{Kind: change.Text, Array: true}, jsonv("[\"secret\xff\"]")},
		"array with unknown \\q":   {change.Type{Kind: change.Text, Array: true}, jsonv(`["secret\q"]`)},
		"array with bare nonsense": {change.Type{Kind: change.Text, Array: true}, jsonv(`[secret"}]`)},
		"empty array text":         {change.Type{Kind: change.Text, Array: true}, jsonv(``)},
	} {
		t.Run(name, func(t *testing.T) {
			tab := change.Table{Name: "t", Columns: []change.Column{{Name: "first", Type: change.Type{Kind: change.Text}}, {Name: "second", Type: c.typ}}}
			for _, form := range []func([]byte, change.Row) ([]byte, error){copytext.AppendRow, copytext.AppendJSON} {
				dst := []byte("before")
				got, err := form(dst, change.Row{Table: &tab, Values: []change.Value{text("a"), c.value}})
				switch {
				case err == nil:
					t.Errorf("written as %q", got)
				case string(got) != "before":
					t.Errorf("dst became %q", got)
				case !strings.Contains(err.Error(), "column second"):
					t.Errorf("%v does not name the column", err)
				case strings.Contains(err.Error(), "secret"):
					t.Errorf("%v repeats the value", err)
				}
			}
		})
	}
}

func TestRowOfAnotherShapeIsRefused(t *testing.T) {
	tab := change.Table{Name: "t", Columns: []change.Column{{Name: "a"}, {Name: "b"}}}
	for _, form := range []func([]byte, change.Row) ([]byte, error){copytext.AppendRow, copytext.AppendJSON} {
		if _, err := form(nil, change.Row{Table: &tab, Values: []change.Value{text("a")}}); err == nil {
			t.Error("a row with a value too few was written")
		}
	}
}

// COPY would not notice: a line ends what a row holds, an object does not.
func TestJSONThatEndsElsewhereIsRefused(t *testing.T) {
	tab := change.Table{Name: "t", Columns: []change.Column{{Name: "doc", Type: change.Type{Kind: change.JSON}}}}
	for _, s := range []string{``, ` `, `1,"a":2`, `1},{"doc":2`, `{`, `[1`, `"a`, `"a\"`, `]`, `}{`, "\x00"} {
		if got, err := copytext.AppendJSON(nil, change.Row{Table: &tab, Values: []change.Value{jsonv(s)}}); err == nil || strings.Contains(err.Error(), "1") {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
	for _, s := range []string{`1`, `"a,b"`, `"\""`, `{"a":[1,{"b":"}"}],"c":","}`, ` [ ] `} {
		if got, err := copytext.AppendJSON(nil, change.Row{Table: &tab, Values: []change.Value{jsonv(s)}}); err != nil || string(got) != `{"doc":`+s+`}` {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}

// FuzzAppendRow: no text and no array form makes a line that PostgreSQL would
// read as other than one row of two columns.
func FuzzAppendRow(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.value.Bytes)
	}
	tab := change.Table{Name: "t", Columns: []change.Column{{Name: "a", Type: change.Type{Kind: change.Text}}, {Name: "b", Type: change.Type{Kind: change.Text, Array: true}}}}
	f.Fuzz(func(t *testing.T, s []byte) {
		for _, values := range [][]change.Value{
			{{Kind: change.Text, Bytes: s}, {Kind: change.Null}},
			{{Kind: change.Null}, {Kind: change.JSON, Bytes: s}},
		} {
			line, err := copytext.AppendRow(nil, change.Row{Table: &tab, Values: values})
			object, err2 := copytext.AppendJSON(nil, change.Row{Table: &tab, Values: values})
			if (err == nil) != (err2 == nil) {
				t.Fatalf("%q: as COPY %v, as JSON %v", s, err, err2)
			}
			if err != nil {
				continue
			}
			fields := decode(t, line)
			var members struct{ A, B *string }
			if err := json.Unmarshal(object, &members); err != nil {
				t.Fatalf("%q: %v", object, err)
			}
			for i, m := range []*string{members.A, members.B} {
				if (m == nil) != (fields[i] == nil) || m != nil && *m != string(fields[i]) {
					t.Fatalf("%q says otherwise than %q", object, line)
				}
			}
			if len(fields) != 2 || !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
				t.Fatalf("%q is not a row", line)
			}
			if fields[0] != nil && !bytes.Equal(fields[0], s) {
				t.Fatalf("%q came back as %q", s, fields[0])
			}
		}
	})
}

func BenchmarkAppendRow(b *testing.B) { benchmark(b, copytext.AppendRow) }

func BenchmarkAppendJSON(b *testing.B) { benchmark(b, copytext.AppendJSON) }

func benchmark(b *testing.B, form func([]byte, change.Row) ([]byte, error)) {
	tab := change.Table{Name: "t"}
	var values []change.Value
	for i := range 12 {
		tab.Columns = append(tab.Columns, change.Column{Name: fmt.Sprint(i), Type: change.Type{Kind: change.Text}})
		values = append(values, text("a text of an ordinary length"))
	}
	values = slices.Replace(values, 11, 12, jsonv(`{"ql_id":"`+hex.EncodeToString(make([]byte, 150))+`"}`))
	var line []byte
	for b.Loop() {
		var err error
		if line, err = form(line[:0], change.Row{Table: &tab, Values: values}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(line)))
	io.Discard.Write(line)
}

// Bytes are looked at in groups: what needs a look must be seen in every place
// of texts of every length.
func TestNothingHidesInALongText(t *testing.T) {
	typ := change.Type{Kind: change.Text}
	for n := range 80 {
		for at := range n {
			s := bytes.Repeat([]byte{'x'}, n)
			for bad, want := range map[byte]string{'\\': `\\`, '\t': `\t`, '\n': `\n`, '\r': `\r`} {
				s[at] = bad
				row := change.Row{Table: &change.Table{Columns: []change.Column{{Name: "v", Type: typ}}}, Values: []change.Value{{Kind: change.Text, Bytes: s}}}
				line, err := copytext.AppendRow(nil, row)
				if err != nil || string(line) != strings.Repeat("x", at)+want+strings.Repeat("x", n-at-1)+"\n" {
					t.Fatalf("%q at %d of %d: got %q, %v", bad, at, n, line, err)
				}
			}
			for _, bad := range []byte{0, 0xFF} {
				s[at] = bad
				row := change.Row{Table: &change.Table{Columns: []change.Column{{Name: "v", Type: typ}}}, Values: []change.Value{{Kind: change.Text, Bytes: s}}}
				if line, err := copytext.AppendRow(nil, row); err == nil {
					t.Fatalf("%q at %d of %d: got %q, want an error", bad, at, n, line)
				}
			}
		}
	}
}
