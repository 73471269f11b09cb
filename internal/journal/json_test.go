package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// jsonBlockWith returns a JSON Lines block whose only revision has the given data.
func jsonBlockWith(data string) string {
	return `{"blockAddress":{"strandId":"s","sequenceNo":1},"transactionId":"t","blockTimestamp":"2019-09-16T19:37:05.360Z","blockHash":"` +
		strings.Repeat("A", 43) + `=","transactionInfo":{"statements":[],"documents":{"d":{"tableName":"T","tableId":"i","statements":[]}}},` +
		`"revisions":[{"hash":"` + strings.Repeat("A", 43) + `=","data":` + data + `,"metadata":{"id":"d","version":0,"txTime":"2019-09-16T19:37:05Z","txId":"t"}}]}`
}

// tapeOf reads data, a JSON text, as the data of a revision.
func tapeOf(t testing.TB, data string, fields *change.Fields) (*change.Tape, error) {
	t.Helper()
	r, err := journal.NewReader(strings.NewReader(jsonBlockWith(data)), journal.Options{Fields: fields})
	if err != nil {
		return nil, err
	}
	b, err := r.Next()
	if err != nil {
		return nil, err
	}
	rec, err := b.Record(0)
	if err != nil {
		return nil, err
	}
	return rec.Fields, nil
}

func TestJSONNumbersStayExact(t *testing.T) {
	for _, c := range []struct {
		text string
		kind change.Kind
		want string // Int as digits, or Bytes
	}{
		{"0", change.Int, "0"},
		{"-1", change.Int, "-1"},
		{"9223372036854775807", change.Int, "9223372036854775807"},
		{"-9223372036854775808", change.Int, "-9223372036854775808"},
		{"9223372036854775808", change.Int, "9223372036854775808"},
		{"-123456789012345678901234567890", change.Int, "-123456789012345678901234567890"},
		{"90.25", change.Decimal, "90.25"},
		{"9025e-2", change.Decimal, "90.25"},
		{"9025E-2", change.Decimal, "90.25"},
		{"90e-1", change.Decimal, "9.0"},
		{"9e0", change.Decimal, "9"},
		{"2.5e0", change.Decimal, "2.5"},
		{"12e5", change.Decimal, "12E+5"},
		{"1.5e3", change.Decimal, "15E+2"},
		{"-0", change.Decimal, "-0"},
		{"-0.0", change.Decimal, "-0.0"},
		{"0.000", change.Decimal, "0.000"},
		{"0e-3", change.Decimal, "0.000"},
		{"0.50", change.Decimal, "0.50"},
		{"1e-20", change.Decimal, "1E-20"},
		{"123456789012345678901234567890.123456789", change.Decimal, "123456789012345678901234567890.123456789"},
	} {
		tape, err := tapeOf(t, c.text, nil)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		n := &tape.Nodes[0]
		got := string(tape.Bytes(n))
		if tape.Bytes(n) == nil {
			got = fmt.Sprint(n.Int)
		}
		if n.Kind != c.kind || got != c.want {
			t.Errorf("%s: got %s %s, want %s %s", c.text, n.Kind, got, c.kind, c.want)
		}
	}
}

func TestJSONStringsAreUnescaped(t *testing.T) {
	for text, want := range map[string]string{
		`""`:                        "",
		`"plain"`:                   "plain",
		`"Žižek and a long tail"`:   "Žižek and a long tail",
		`"a\"b\\c\/d\b\f\n\r\t"`:    "a\"b\\c/d\b\f\n\r\t",
		`"\u0041\u00e9\u20AC"`:      "Aé€",
		`"\ud83d\ude00 and \u0000"`: "😀 and \x00",
		`"ends in a backslash\\"`:   `ends in a backslash\`,
		`"1234567\"1234567\\89\""`:  `1234567"1234567\89"`,
		`"exactly8"`:                "exactly8",
		`"sixteen bytes ..",`[0:18]: "sixteen bytes ..",
	} {
		tape, err := tapeOf(t, text, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := string(tape.Bytes(&tape.Nodes[0])); got != want || tape.Nodes[0].Kind != change.Text {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestJSONThatIsNotJSONIsRefused puts one fault a time into a revision's data.
// Where the fault leaves the block's shape readable it is the record's alone.
func TestJSONThatIsNotJSONIsRefused(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{`"\ud83d"`, `surrogate \uD83D without its partner`},
		{`"\ude00\ud83d"`, `surrogate \uDE00 without its partner`},
		{`"\ud83dxxxxxx"`, "without its partner"},
		{`"\ud83d\u0041"`, "without its partner"},
		{"\"\xff\"", "not UTF-8"},
		{"\"\xed\xa0\x80\"", "not UTF-8"},
		{"{\"\xff\":1}", "not UTF-8"},
		{"\"a\tb\"", "control character 0x09"},
		{`"\x41"`, `\x, which JSON does not know`},
		{`"\u12"`, "four hexadecimal digits"},
		{`{"\ud800":1}`, "without its partner"},
		{`01`, "needless zero"},
		{`-`, "neither a value nor a number"},
		{`+1`, "neither a value nor a number"},
		{`1.`, "no digit behind its point"},
		{`.5`, "neither a value nor a number"},
		{`1e`, "no digit in its exponent"},
		{`1e99999999999`, "exponent exceeds 32 bits"},
		{`nan`, "nor null"},
		{`tru`, "nor true"},
		{`[tru]`, "nor true"},
		{`[1 2]`, "no comma"},
		{`[1,]`, "neither a value nor a number"},
		{`[,1]`, "neither a value nor a number"},
		{`{"a" 1}`, "no colon"},
		{`{"a":}`, "neither a value nor a number"},
		{`{"a":1,}`, "no quoted name"},
		{`{a:1}`, "no quoted name"},
		{`{"a":1]`, ""},
		{`[1}`, ""},
		{`[[1}]`, "no comma"},
		{`1 2`, ""},
		{strings.Repeat("[", 120) + strings.Repeat("]", 120), "nest deeper"},
	} {
		_, err := tapeOf(t, c.data, nil)
		if strings.HasPrefix(c.data, "[[[") {
			// Deep, but not too deep for the data alone.
			if err != nil {
				t.Errorf("depth 120: %v", err)
			}
			deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
			_, err = tapeOf(t, deep, nil)
		}
		var syntax *journal.SyntaxError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &syntax) {
			t.Errorf("%s: got %v, want an error with %q", c.data, err, c.want)
		}
	}
}

func TestRepeatedJSONNamesAreKept(t *testing.T) {
	tape, err := tapeOf(t, `{"a":1,"b":2,"a":3}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tape.Nodes) != 4 || tape.Nodes[1].Name != tape.Nodes[3].Name || tape.Nodes[3].Int != 3 {
		t.Errorf("got %+v", tape.Nodes)
	}
}

func TestAFaultInOneRevisionsDataIsThatRecordsAlone(t *testing.T) {
	good := jsonBlockWith(`{"a":1}`)
	object := good + "\n" + jsonBlockWith(`{"a":"\ud800"}`) + "\n" + good
	r, err := journal.NewReader(strings.NewReader(object), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		rec, err := b.Record(0)
		var bad *journal.RecordError
		if errors.As(err, &bad) != (i == 1) || string(rec.Key) != "d" || rec.Origin.Offset != b.Offset {
			t.Errorf("block %d: %v, %v", i, rec, err)
		}
	}
}

// TestNamesStayBounded reads documents whose names never repeat.
func TestNamesStayBounded(t *testing.T) {
	var object strings.Builder
	n := 0
	for range 30 {
		object.WriteString(strings.Split(jsonBlockWith("\x00"), "\x00")[0] + "{")
		for i := range 5000 {
			if i > 0 {
				object.WriteByte(',')
			}
			fmt.Fprintf(&object, `"name%d":1`, n)
			n++
		}
		object.WriteString("}" + strings.Split(jsonBlockWith("\x00"), "\x00")[1] + "\n")
	}
	fields := &change.Fields{}
	fields.ID("name149999")
	r, err := journal.NewReader(strings.NewReader(object.String()), journal.Options{Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	most, next, asked := 0, 0, 0
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		rec, err := b.Record(0)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range rec.Fields.Nodes[1:] {
			name := rec.Fields.Names[node.Name]
			if name.Text != fmt.Sprintf("name%d", next) {
				t.Fatalf("got %s, want name%d", name.Text, next)
			}
			if name.Field != 0 {
				asked++
			}
			next++
		}
		most = max(most, len(rec.Fields.Names))
	}
	if most > 64<<10+5000 || next != n || asked != 1 {
		t.Errorf("%d names at once, %d read, %d asked for", most, next, asked)
	}
}

// TestTapeAgreesWithEncodingJSON reads random documents with both.
func TestTapeAgreesWithEncodingJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for range 3000 {
		text := randomJSON(rng, 5)
		tape, err := tapeOf(t, text, nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, want := showTape(tape), showJSON(t, text)
		if got != want {
			t.Fatalf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// showTape writes a tape so that equal values are equal texts.
func showTape(tape *change.Tape) string {
	var s strings.Builder
	var walk func(i int32) int32
	walk = func(i int32) int32 {
		n := &tape.Nodes[i]
		if n.Name >= 0 {
			fmt.Fprintf(&s, "%q:", tape.Names[n.Name].Text)
		}
		switch n.Kind {
		case change.List, change.Struct:
			s.WriteString(n.Kind.String() + "(")
			for k := i + 1; k < n.End; {
				k = walk(k)
			}
			s.WriteString(") ")
		case change.Null:
			s.WriteString("null ")
		case change.Bool:
			fmt.Fprintf(&s, "%t ", n.Int == 1)
		case change.Text:
			fmt.Fprintf(&s, "%q ", tape.Bytes(n))
		case change.Int, change.Decimal:
			text := string(tape.Bytes(n))
			if text == "" {
				text = fmt.Sprint(n.Int)
			}
			r, ok := new(big.Rat).SetString(text)
			fmt.Fprintf(&s, "%v%t ", r, ok)
		default:
			fmt.Fprintf(&s, "%s? ", n.Kind)
		}
		return n.End
	}
	walk(0)
	return s.String()
}

// showJSON writes a JSON text as showTape does, by encoding/json.
func showJSON(t testing.TB, text string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var s strings.Builder
	var value func()
	value = func() {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' {
				s.WriteString("struct(")
				for d.More() {
					name, err := d.Token()
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintf(&s, "%q:", name)
					value()
				}
			} else {
				s.WriteString("list(")
				for d.More() {
					value()
				}
			}
			if _, err := d.Token(); err != nil {
				t.Fatal(err)
			}
			s.WriteString(") ")
		case nil:
			s.WriteString("null ")
		case bool:
			fmt.Fprintf(&s, "%t ", v)
		case string:
			fmt.Fprintf(&s, "%q ", v)
		case json.Number:
			r, ok := new(big.Rat).SetString(v.String())
			fmt.Fprintf(&s, "%v%t ", r, ok)
		}
	}
	value()
	return s.String()
}

func randomJSON(rng *rand.Rand, depth int) string {
	space := func() string { return strings.Repeat(" ", rng.IntN(3)/2) }
	str := func() string {
		parts := []string{"a", "word", "Ž", `\n`, `\"`, `\\`, `\u00e9`, `\ud83d\ude00`, "longer text", "{", "]", ",", ":", "日本"}
		var b strings.Builder
		for range rng.IntN(6) {
			b.WriteString(parts[rng.IntN(len(parts))])
		}
		return `"` + b.String() + `"`
	}
	pick := rng.IntN(8)
	if depth == 0 {
		pick = rng.IntN(6)
	}
	switch pick {
	case 0:
		return []string{"true", "false", "null"}[rng.IntN(3)]
	case 1, 2:
		n := fmt.Sprintf("%d", rng.Int64()>>rng.IntN(63))
		if rng.IntN(2) == 0 {
			n = "-" + n
		}
		if rng.IntN(3) == 0 {
			n += fmt.Sprintf(".%d", rng.IntN(1000))
		}
		if rng.IntN(3) == 0 {
			n += fmt.Sprintf("e%d", rng.IntN(40)-20)
		}
		return n
	case 3, 4, 5:
		return str()
	}
	var parts []string
	for range rng.IntN(5) {
		v := space() + randomJSON(rng, depth-1) + space()
		if pick == 7 {
			v = space() + str() + space() + ":" + v
		}
		parts = append(parts, v)
	}
	if pick == 7 {
		return "{" + space() + strings.Join(parts, ",") + "}"
	}
	return "[" + space() + strings.Join(parts, ",") + "]"
}

func FuzzJSON(f *testing.F) {
	for _, data := range []string{`{"a":[1,2.5,"x\u00e9"],"b":{}}`, `"\ud83d\ude00"`, `-0.0e-3`, `[[[]]]`, `{"a":null,"a":true}`, "\"\xff\""} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.ContainsAny(data, "\n") {
			return // another line
		}
		tape, err := tapeOf(t, string(data), nil)
		valid := json.Valid(data)
		var syntax *journal.SyntaxError
		switch {
		case err == nil && !valid:
			t.Fatalf("%q is not JSON, and was read", data)
		case err != nil && valid && !(errors.As(err, &syntax) && (strings.Contains(err.Error(), "partner") || strings.Contains(err.Error(), "UTF-8") || strings.Contains(err.Error(), "exceeds") || strings.Contains(err.Error(), "deeper"))):
			t.Fatalf("%q is JSON: %v", data, err)
		case err != nil:
			return
		}
		if len(data) < 200 && !bytes.ContainsAny(data, "eE") {
			if got, want := showTape(tape), showJSON(t, string(data)); got != want {
				t.Fatalf("%q:\n got %s\nwant %s", data, got, want)
			}
		}
	})
}
