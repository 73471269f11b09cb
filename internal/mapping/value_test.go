package mapping_test

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

var allTypes = []string{
	"smallint", "integer", "bigint", "numeric", "numeric(5,2)", "real", "double precision", "boolean",
	"text", "varchar(5)", "date", "time", "timestamp", "timestamptz", "uuid", "bytea", "jsonb",
}

// oneColumn compiles a mapping of the document field v to a column of type typ.
func oneColumn(t *testing.T, typ, options string) (*mapping.Plan, *change.Fields) {
	t.Helper()
	f, err := mapping.Parse(fmt.Appendf(nil, `{"version":1,"schema":"x","tables":{"Case":{"target":"c","columns":[{"name":"v","path":"v","type":%q%s}]}}}`, typ, options))
	if err != nil {
		t.Fatal(err)
	}
	fields := &change.Fields{}
	m, err := mapping.Compile(f, fields)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan("Case")
	if err != nil {
		t.Fatal(err)
	}
	return p, fields
}

// plain writes a row value as SQL text, without quoting.
func plain(v change.Value, typ change.Type) string {
	switch {
	case v.Kind == change.Null:
		return "NULL"
	case v.Kind == change.Float:
		return strconv.FormatFloat(math.Float64frombits(uint64(v.Int)), 'g', -1, typ.Bits)
	case v.Kind == change.Bytes:
		return fmt.Sprintf("%x", v.Bytes)
	case v.Bytes == nil:
		return strconv.FormatInt(v.Int, 10)
	}
	return string(v.Bytes)
}

// numbers is the outcome of one text in all types that hold it.
func numbers(text string, types ...string) map[string]string {
	m := map[string]string{}
	for _, t := range types {
		m[t] = text
	}
	return m
}

func with(m map[string]string, pairs ...string) map[string]string {
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// A valueCase is a value in Ion text and what it becomes in each type that holds
// it; every other type refuses it.
type valueCase struct {
	ion  string
	want map[string]string // by type
}

func valueCases() []valueCase {
	ints := []string{"smallint", "integer", "bigint", "numeric", "numeric(5,2)", "real", "double precision", "jsonb"}
	long := strings.Repeat("1234567890", 30)
	list := []valueCase{
		{"null", numbers("NULL", allTypes...)},
		{"null.timestamp", numbers("NULL", allTypes...)},
		{"true", map[string]string{"boolean": "1", "jsonb": "true"}},
		{"false", map[string]string{"boolean": "0", "jsonb": "false"}},
		{"0", numbers("0", ints...)},
		{"-7", numbers("-7", ints...)},
		{"32767", numbers("32767", "smallint", "integer", "bigint", "numeric", "real", "double precision", "jsonb")},
		{"-32768", numbers("-32768", "smallint", "integer", "bigint", "numeric", "real", "double precision", "jsonb")},
		{"32768", numbers("32768", "integer", "bigint", "numeric", "real", "double precision", "jsonb")},
		{"2147483648", with(numbers("2147483648", "bigint", "numeric", "jsonb"), "real", "2.1474836e+09", "double precision", "2.147483648e+09")},
		{"16777217", with(numbers("16777217", "integer", "bigint", "numeric", "jsonb"), "double precision", "1.6777217e+07")},
		{"9007199254740993", numbers("9007199254740993", "bigint", "numeric", "jsonb")},
		{"9223372036854775807", numbers("9223372036854775807", "bigint", "numeric", "jsonb")},
		{"-9223372036854775808", with(numbers("-9223372036854775808", "bigint", "numeric", "jsonb"), "real", "-9.223372e+18", "double precision", "-9.223372036854776e+18")},
		{"9223372036854775808", numbers("9223372036854775808", "numeric", "jsonb")},
		{"-9223372036854775809", numbers("-9223372036854775809", "numeric", "jsonb")},
		{long, numbers(long, "numeric", "jsonb")},
		{"16777216.5", with(numbers("16777216.5", "numeric", "jsonb"), "double precision", "1.67772165e+07")},
		{"90.25", numbers("90.25", "numeric", "numeric(5,2)", "real", "double precision", "jsonb")},
		{"0.1", numbers("0.1", "numeric", "numeric(5,2)", "real", "double precision", "jsonb")},
		{"1.00", with(numbers("1", "smallint", "integer", "bigint", "real", "double precision"), "numeric", "1.00", "numeric(5,2)", "1.00", "jsonb", "1.00")},
		{"1.000", with(numbers("1", "smallint", "integer", "bigint", "real", "double precision"), "numeric", "1.000", "numeric(5,2)", "1.000", "jsonb", "1.000")},
		{"1.001", numbers("1.001", "numeric", "real", "double precision", "jsonb")},
		{"999.99", numbers("999.99", "numeric", "numeric(5,2)", "real", "double precision", "jsonb")},
		{"1000.00", with(numbers("1000", "smallint", "integer", "bigint", "real", "double precision"), "numeric", "1000.00", "jsonb", "1000.00")},
		{"12d3", numbers("12000", "smallint", "integer", "bigint", "numeric", "real", "double precision", "jsonb")},
		{"12d-3", numbers("0.012", "numeric", "real", "double precision", "jsonb")},
		{"0d3", numbers("0", ints...)},
		{"0.000", with(numbers("0", "smallint", "integer", "bigint", "real", "double precision"), "numeric", "0.000", "numeric(5,2)", "0.000", "jsonb", "0.000")},
		{"-0.0", map[string]string{"real": "-0", "double precision": "-0"}},
		{"0.12345678901234567890", numbers("0.12345678901234567890", "numeric", "jsonb")},
		{"1d70", numbers("1E70", "numeric", "jsonb")}, // and 1e70 in double precision, below
		{"1d-16383", numbers("1E-16383", "numeric", "jsonb")},
		{"1d-16384", nil},
		{"1d131071", numbers("1E131071", "numeric", "jsonb")},
		{"1d131072", nil},
		{"1d999999999", nil},
		{"2.5e0", with(numbers("2.5", "real", "double precision"), "jsonb", "2.5")},
		{"0.1e0", numbers("0.1", "double precision", "jsonb")},
		{"1e300", with(numbers("1e+300", "double precision"), "jsonb", "1E300")},
		{"-0e0", numbers("-0", "real", "double precision")},
		{"nan", map[string]string{"double precision": "NaN"}},
		{"+inf", map[string]string{"double precision": "+Inf"}},
		{"-inf", map[string]string{"double precision": "-Inf"}},
		{`""`, map[string]string{"text": "", "varchar(5)": "", "jsonb": `""`}},
		{`"ééééé"`, map[string]string{"text": "ééééé", "varchar(5)": "ééééé", "jsonb": `"ééééé"`}},
		{`"éééééé"`, map[string]string{"text": "éééééé", "jsonb": `"éééééé"`}},
		{`'symbol'`, map[string]string{"text": "symbol", "jsonb": `"symbol"`}},
		{`"12"`, map[string]string{"text": "12", "varchar(5)": "12", "jsonb": `"12"`}},
		{`"true"`, map[string]string{"text": "true", "varchar(5)": "true", "jsonb": `"true"`}},
		{`"n\0l"`, nil},
		{"2019-02-28T", map[string]string{"date": "2019-02-28", "text": "2019-02-28", "jsonb": `"2019-02-28"`}},
		{"2019-02T", map[string]string{"text": "2019-02T", "jsonb": `"2019-02T"`}},
		{"2019T", map[string]string{"text": "2019T", "varchar(5)": "2019T", "jsonb": `"2019T"`}},
		{"2019-02-28T00:00Z", timestamps("2019-02-28T00:00Z", "date", "2019-02-28", "timestamptz", "2019-02-28T00:00Z", "timestamp", "2019-02-28T00:00")},
		{"2019-02-28T00:00:00.000-00:00", timestamps("2019-02-28T00:00:00.000-00:00", "date", "2019-02-28", "timestamp", "2019-02-28T00:00:00.000")},
		{"2019-02-28T00:00:00+01:00", timestamps("2019-02-28T00:00:00+01:00", "timestamptz", "2019-02-28T00:00:00+01:00")},
		{"2019-02-28T00:00:00.001Z", timestamps("2019-02-28T00:00:00.001Z", "timestamptz", "2019-02-28T00:00:00.001Z", "timestamp", "2019-02-28T00:00:00.001")},
		{"2019-02-28T12:34:56.123456Z", timestamps("2019-02-28T12:34:56.123456Z", "timestamptz", "2019-02-28T12:34:56.123456Z", "timestamp", "2019-02-28T12:34:56.123456")},
		{"2019-02-28T12:34:56.123456000-08:00", timestamps("2019-02-28T12:34:56.123456000-08:00", "timestamptz", "2019-02-28T12:34:56.123456-08:00")},
		{"2019-02-28T12:34+15:59", timestamps("2019-02-28T12:34+15:59", "timestamptz", "2019-02-28T12:34+15:59")},
		{"2019-02-28T12:34-16:00", timestamps("2019-02-28T12:34-16:00")},
		{"2019-02-28T12:34:56.123456700Z", timestamps("2019-02-28T12:34:56.123456700Z")},
		{`"2019-02-28"`, map[string]string{"date": "2019-02-28", "text": "2019-02-28", "jsonb": `"2019-02-28"`}},
		{`"2019-02-28T"`, map[string]string{"date": "2019-02-28", "text": "2019-02-28T", "jsonb": `"2019-02-28T"`}},
		{`"2019-02-29"`, map[string]string{"text": "2019-02-29", "jsonb": `"2019-02-29"`}},
		{`"0000-01-01"`, map[string]string{"text": "0000-01-01", "jsonb": `"0000-01-01"`}},
		{`"2019-02-28 "`, map[string]string{"text": "2019-02-28 ", "jsonb": `"2019-02-28 "`}},
		{`"2019-02-28T24:00Z"`, map[string]string{"text": "2019-02-28T24:00Z", "jsonb": `"2019-02-28T24:00Z"`}},
		{`"2019-02-28T12:34:56.5Z"`, timestamps("2019-02-28T12:34:56.5Z", "timestamptz", "2019-02-28T12:34:56.5Z", "timestamp", "2019-02-28T12:34:56.5")},
		{`"12:34"`, map[string]string{"text": "12:34", "varchar(5)": "12:34", "time": "12:34", "jsonb": `"12:34"`}},
		{`"12:34:56.123456"`, map[string]string{"text": "12:34:56.123456", "time": "12:34:56.123456", "jsonb": `"12:34:56.123456"`}},
		{`"12:34:56.1234567"`, map[string]string{"text": "12:34:56.1234567", "jsonb": `"12:34:56.1234567"`}},
		{`"24:00:00"`, map[string]string{"text": "24:00:00", "jsonb": `"24:00:00"`}},
		{`"0f8fad5b-d9cb-469f-a165-70867728950e"`, map[string]string{"text": "0f8fad5b-d9cb-469f-a165-70867728950e", "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e", "jsonb": `"0f8fad5b-d9cb-469f-a165-70867728950e"`}},
		{`"0f8fad5bd9cb469fa16570867728950e"`, map[string]string{"text": "0f8fad5bd9cb469fa16570867728950e", "jsonb": `"0f8fad5bd9cb469fa16570867728950e"`}},
		{"{{AAH/}}", map[string]string{"bytea": "0001ff", "jsonb": `"AAH/"`}},
		{`{{"clob"}}`, map[string]string{"bytea": "636c6f62", "text": "clob", "varchar(5)": "clob", "jsonb": `"clob"`}},
		{`{{"cl\xe9"}}`, map[string]string{"bytea": "636ce9", "jsonb": `"clé"`}},
		{`{{"c\0"}}`, map[string]string{"bytea": "6300"}},
		{"[1,2]", map[string]string{"jsonb": "[1,2]"}},
		{"(1 2)", map[string]string{"jsonb": "[1,2]"}},
		{"{a:1}", map[string]string{"jsonb": `{"a":1}`}},
		{"kg::5", nil},
		{"[kg::5]", nil},
	}
	for _, c := range list {
		if c.ion == "1d70" {
			c.want["double precision"] = "1e+70"
		}
	}
	return list
}

// TestEveryValueExactOrRefused maps every kind of value to every type: the types
// named with a value must hold exactly that text, all others must refuse it, and
// no refusal may repeat the value. (Invariant 4 of the design.)
func TestEveryValueExactOrRefused(t *testing.T) {
	for _, c := range valueCases() {
		for _, typ := range allTypes {
			t.Run(c.ion[:min(len(c.ion), 40)]+" into "+typ, func(t *testing.T) {
				p, fields := oneColumn(t, typ, "")
				row, err := p.Map(record("Case", 0, ionTape(t, fields, "{v:"+c.ion+"}")))
				want, exact := c.want[typ]
				var refused *mapping.ValueError
				switch {
				case err == nil && !exact:
					t.Errorf("maps to %s: want a refusal", showValue(row.Values[2]))
				case err == nil && plain(row.Values[2], row.Table.Columns[2].Type) != want:
					t.Errorf("maps to %s: want %s", plain(row.Values[2], row.Table.Columns[2].Type), want)
				case err != nil && exact:
					t.Errorf("is refused (%v): want %s", err, want)
				case err != nil && !errors.As(err, &refused):
					t.Errorf("error is %T: want *ValueError", err)
				case err != nil:
					if refused.Path == "" || refused.Why == "" || refused.Column != "v" {
						t.Errorf("refusal lacks a fact: %+v", refused)
					}
					if value := strings.Trim(c.ion, `"`); len(value) > 3 && strings.Contains(err.Error(), value) {
						t.Errorf("refusal repeats the value: %v", err)
					}
				}
			})
		}
	}
}

// timestamps adds what every timestamp text becomes.
func timestamps(text string, pairs ...string) map[string]string {
	return with(map[string]string{"text": text, "jsonb": `"` + text + `"`}, pairs...)
}

func TestNestingIsBounded(t *testing.T) {
	p, fields := oneColumn(t, "jsonb", "")
	for _, c := range []struct {
		levels int
		ok     bool
	}{{1000, true}, {1001, false}} {
		doc := "{v:" + strings.Repeat("[", c.levels) + strings.Repeat("]", c.levels) + "}"
		if _, err := p.Map(record("Case", 0, ionTape(t, fields, doc))); (err == nil) != c.ok {
			t.Errorf("%d levels: error %v, want ok %v", c.levels, err, c.ok)
		}
	}
}

// Bytes are looked at in groups: what text cannot hold must be seen in every
// place of texts of every length.
func TestNothingHidesInALongText(t *testing.T) {
	plan, fields := oneColumn(t, "text", "")
	record := change.Record{
		Table: change.SourceTable{ID: "T", Name: "Case"}, Key: []byte("D"), Tx: []byte("X"), At: []byte("2020-01-01T00:00:00Z"), Hash: make([]byte, 32),
	}
	for n := range 40 {
		for at := range n {
			for _, bad := range []byte{0, 0xFF} {
				s := []byte(strings.Repeat("x", n))
				tape := &change.Tape{
					Nodes: []change.Node{
						{Kind: change.Struct, Name: -1, End: 2},
						{Kind: change.Text, Name: 0, End: 2, Len: uint32(n)},
					},
					Data:  s,
					Names: []change.Name{{Text: "v", Field: fields.Lookup([]byte("v"))}},
				}
				record.Fields = tape
				if row, err := plan.Map(&record); err != nil || string(row.Values[2].Bytes) != string(s) {
					t.Fatalf("length %d: got %v, %v", n, row.Values, err)
				}
				s[at] = bad
				if row, err := plan.Map(&record); err == nil {
					t.Fatalf("%q at %d of %d: got %v, want an error", bad, at, n, row.Values)
				}
				record.Key = s
				if row, err := plan.Map(&record); err == nil {
					t.Fatalf("document id with %q at %d of %d: got %v, want an error", bad, at, n, row.Values)
				}
				record.Key = []byte("D")
			}
		}
	}
}
