package target_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// awkward are names that break what quotes badly.
var awkward = []string{
	"select", "User", "order", `quo"ted`, `it's`, `back\slash`, "with space", "semi;colon--", "dollar$f$q$", ":param", "%s %1$I %%", "naïve", "表", "a.b",
	strings.Repeat("x", 53), strings.Repeat("y", 52) + "1", strings.Repeat("y", 52) + "2", // with _audit_log 63 bytes
}

// Every name of table, column, index and schema is quoted wherever it goes, in
// new tables and in tables that exist.
func TestAwkwardNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	schema := `My "Schema"; x'%I:p$q$`
	make := func(id, value string, version int64) *plan {
		p := ledger(id)
		p.Schema = schema
		p.tables, p.sources = nil, nil
		for i, name := range awkward {
			table := fmt.Sprint("T", i)
			x := pair(name, change.Column{Name: strings.Repeat("c", 63), Type: nameColumn.Type})
			x.Current.Columns[2].Name, x.History.Columns[2].Name = awkward[len(awkward)-1-i]+"-", awkward[len(awkward)-1-i]+"-"
			x.Current.Indexes = []change.Index{{Name: fmt.Sprintf("ix%d %.40s", i, name), Columns: []string{x.Current.Columns[2].Name, "version"}}}
			p.tables = append(p.tables, x)
			p.sources = append(p.sources, change.LoadSource{SourceTable: change.SourceTable{ID: table, Name: name}, Current: name, Active: true})
			p.revisions = append(p.revisions, revision{doc: "d" + name, version: version, op: "I", table: table, value: value})
		}
		return p
	}
	b.load(make("load1", "one", 0))
	b.load(make("load2", "two", 1))
	for i, name := range awkward {
		column := awkward[len(awkward)-1-i] + "-"
		got := b.list(`SELECT ` + target.Quote(column) + ` || version FROM ` + target.Quote(schema, name))
		got += " " + b.list(`SELECT `+target.Quote(column)+` || version FROM `+target.Quote(schema, name+"_audit_log")+` ORDER BY version`)
		got += " " + b.list(`SELECT version::text FROM godwit.head WHERE relation = format('%I.%I', $1::text, $2::text)`, schema, name)
		equal(t, name, got, "two1 one0 two1 1")
	}
	equal(t, "counts", b.list(`SELECT DISTINCT revision_cnt::text FROM `+target.Quote(schema, "table_counts")), "2")
	got, err := b.loader.Published(t.Context(), "load2")
	if err != nil || len(got) != len(awkward) || slices.ContainsFunc(got, func(p change.Published) bool { return p.Documents != 1 }) {
		t.Errorf("got %+v, %v, want one document in each table", got, err)
	}
}

func floatBits(f float64) change.Value {
	return change.Value{Kind: change.Float, Int: int64(math.Float64bits(f))}
}

func text(kind change.Kind, s string) change.Value {
	return change.Value{Kind: kind, Bytes: []byte(s)}
}

// TestEveryTypeReachesThePublishedTable sends values of every column type from
// copytext through the import into the published tables, twice: into new tables
// and into those that exist, whose column types must then be recognized.
func TestEveryTypeReachesThePublishedTable(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	type column struct {
		typ    change.Type
		values []change.Value
		want   []string // as PostgreSQL shows them
	}
	utf := "tab\there, line\nend, \\N back\\slash \\. \r quote\"'{},NULL é 表 💥\u0001"
	columns := []column{
		{change.Type{Kind: change.Bool}, []change.Value{{Kind: change.Bool, Int: 1}, {Kind: change.Bool}}, []string{"true", "false"}},
		{change.Type{Kind: change.Int, Bits: 16}, []change.Value{{Kind: change.Int, Int: -32768}, {Kind: change.Int, Int: 32767}}, []string{"-32768", "32767"}},
		{change.Type{Kind: change.Int, Bits: 32}, []change.Value{{Kind: change.Int, Int: -2147483648}, text(change.Int, "2147483647")}, []string{"-2147483648", "2147483647"}},
		{change.Type{Kind: change.Int, Bits: 64}, []change.Value{{Kind: change.Int, Int: math.MinInt64}, {Kind: change.Int, Int: math.MaxInt64}}, []string{"-9223372036854775808", "9223372036854775807"}},
		{change.Type{Kind: change.Decimal}, []change.Value{text(change.Decimal, "-123456789012345678901234567890.00010"), text(change.Decimal, "12E+5")}, []string{"-123456789012345678901234567890.00010", "1200000"}},
		{change.Type{Kind: change.Decimal, Precision: 10, Scale: 2}, []change.Value{text(change.Decimal, "99999999.99"), text(change.Decimal, "0.1")}, []string{"99999999.99", "0.10"}},
		{change.Type{Kind: change.Float, Bits: 32}, []change.Value{floatBits(float64(float32(0.1))), floatBits(math.Inf(-1))}, []string{"0.1", "-Infinity"}},
		{change.Type{Kind: change.Float, Bits: 64}, []change.Value{floatBits(math.SmallestNonzeroFloat64), floatBits(math.NaN())}, []string{"5e-324", "NaN"}},
		{change.Type{Kind: change.Text}, []change.Value{text(change.Text, utf), text(change.Text, "")}, []string{utf, ""}},
		{change.Type{Kind: change.Text, Length: 5}, []change.Value{text(change.Text, "💥💥💥💥💥"), text(change.Text, "a")}, []string{"💥💥💥💥💥", "a"}},
		{change.Type{Kind: change.Bytes}, []change.Value{text(change.Bytes, "\x00\\\xff\n"), text(change.Bytes, "")}, []string{`\x005cff0a`, `\x`}},
		{change.Type{Kind: change.Date}, []change.Value{text(change.Date, "0001-01-01"), text(change.Date, "9999-12-31")}, []string{"0001-01-01", "9999-12-31"}},
		{change.Type{Kind: change.Time}, []change.Value{text(change.Time, "23:59:59.999999"), text(change.Time, "00:00:00")}, []string{"23:59:59.999999", "00:00:00"}},
		{change.Type{Kind: change.Timestamp}, []change.Value{text(change.Timestamp, "2019-09-16T19:37:05.360001"), text(change.Timestamp, "2019-09-16T19:37:05")}, []string{"2019-09-16 19:37:05.360001", "2019-09-16 19:37:05"}},
		{change.Type{Kind: change.Timestamp, Zone: true}, []change.Value{text(change.Timestamp, "2019-09-16T19:37:05.36+02:00"), text(change.Timestamp, "2019-09-16T19:37:05-00:00")}, []string{"2019-09-16 17:37:05.36+00", "2019-09-16 19:37:05+00"}},
		{change.Type{Kind: change.JSON}, []change.Value{text(change.JSON, `{"a": [1, "x\ny\\", null, 1.10]}`), text(change.JSON, `"\t"`)}, []string{`{"a": [1, "x\ny\\", null, 1.10]}`, `"\t"`}},
		{change.Type{Kind: change.UUID}, []change.Value{text(change.UUID, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), text(change.UUID, "00000000-0000-0000-0000-000000000000")}, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"}},
	}
	scalars := len(columns)
	arrays := map[change.Kind][2]string{ // what goes in, what comes out
		change.Bool: {`[true,null,false]`, `{t,NULL,f}`}, change.Int: {`[1,null,-2]`, `{1,NULL,-2}`},
		change.Float: {`[1.5,null]`, `{1.5,NULL}`}, change.Text: {`["a\\b","{},","NULL",null]`, `{"a\\b","{},","NULL",NULL}`},
		change.Bytes: {`["00ff",null]`, `{"\\x00ff",NULL}`}, change.Date: {`["2020-02-29"]`, `{2020-02-29}`}, change.Time: {`["12:00:00"]`, `{12:00:00}`},
		change.Timestamp: {`["2020-02-29T12:00:00+00:00"]`, ``}, change.JSON: {`[{"a":"b\\c"},null]`, `{"{\"a\": \"b\\\\c\"}",NULL}`}, change.UUID: {`["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]`, `{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}`},
		change.Decimal: {`[1.10,null]`, `{1.10,NULL}`},
	}
	for _, c := range columns[:scalars] {
		a := arrays[c.typ.Kind]
		in, out := a[0], a[1]
		switch {
		case c.typ.Kind == change.Timestamp && c.typ.Zone:
			out = `{"2020-02-29 12:00:00+00"}`
		case c.typ.Kind == change.Timestamp:
			in, out = `["2020-02-29T12:00:00"]`, `{"2020-02-29 12:00:00"}`
		case c.typ.Kind == change.Text && c.typ.Length > 0:
			in, out = `["a b"]`, `{"a b"}`
		}
		c.typ.Array = true
		columns = append(columns, column{c.typ, []change.Value{text(change.JSON, in), text(change.JSON, `[]`)}, []string{out, `{}`}})
	}
	var mapped []change.Column
	for i, c := range columns {
		mapped = append(mapped, change.Column{Name: fmt.Sprintf("c%d", i), Type: c.typ})
	}
	for load := range 2 {
		p := ledger(fmt.Sprintf("load%d", load))
		p.tables = []change.LoadTable{pair("person", mapped...)}
		history := p.tables[0].History
		var lines []byte
		for version := range 3 { // the last has nulls
			r := revision{doc: fmt.Sprint("d", load, version), version: 0, op: "I", table: "T1"}
			values := []change.Value{text(change.Text, r.doc), {Kind: change.Int}}
			for _, c := range columns {
				v := change.Value{Kind: change.Null}
				if version < 2 {
					v = c.values[version]
				}
				values = append(values, v)
			}
			values = append(values, text(change.JSON, fmt.Sprintf(`{"ql_rev_hash": %q, "ql_tableid": "T1"}`, r.hash())), text(change.Text, "I"), text(change.Text, "tx"))
			var err error
			if lines, err = copytext.AppendRow(lines, change.Row{Table: &history, Values: values}); err != nil {
				t.Fatal(err)
			}
		}
		b.begin(p)
		if merged := get[bool](b, `SELECT merge FROM godwit.load_table WHERE load_id = $1`, p.ID); merged != (load == 1) {
			t.Errorf("load %d: got merge %v", load, merged)
		}
		tasks := append([]change.Task{b.part(p, history.Name, "T1", lines, 3)}, b.keys(p)...)
		if err := b.runAll(p.ID, tasks); err != nil {
			t.Fatal(err)
		}
		if err := b.runAll(p.ID, append(append(b.slices(p), b.indexes(p)...), visible)); err != nil {
			t.Fatal(err)
		}
		b.exec(`SET TimeZone = 'UTC'`)
		for i, c := range columns {
			for _, table := range []string{"person", "person_audit_log"} {
				for version, want := range append(slices.Clone(c.want), "<null>") {
					got := get[string](b, fmt.Sprintf(`SELECT coalesce(c%d::text, '<null>') FROM dmv.%s WHERE doc_id = $1`, i, table), fmt.Sprint("d", load, version))
					if got != want {
						t.Errorf("load %d, %s.c%d (%+v): got %q, want %q", load, table, i, c.typ, got, want)
					}
				}
			}
		}
	}
}
