package mapping_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

func TestRulesOfRowsAreRead(t *testing.T) {
	got, err := mapping.ParseTables([]byte(`{
		"$schema": "schema.json", "version": 1, "from": "postgresql",
		"schemas": {"public": "shop", "Old Stuff": "old"}, "keys": "uuid", "namespace": "shop", "replace": true,
		"tables": {
			"public.orders": {
				"schema": "sales", "target": "purchase", "key": "uuid", "keyColumn": "order_key", "keepKey": "old_id", "primaryKey": ["tenant", "id"],
				"columns": {"note": {"skip": true}, "total": {"name": "amount", "type": "numeric(12,2)"}, "at": {"type": "timestamptz"}, "code": {"type": "varchar(9)"}},
				"filter": [{"column": "status", "in": ["test", ""], "not": true}, {"column": "gone", "null": true}]
			},
			"\"a.b\".\"c\"\"d\"": {"key": "keep"},
			"public.scratch": {"skip": true}
		}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &mapping.Tables{
		Schemas: map[string]string{"public": "shop", "Old Stuff": "old"}, Keys: "uuid", Namespace: "shop", Replace: true,
		Rules: []mapping.TableRule{
			{
				Source: change.TableName{Schema: "public", Name: "orders"}, Schema: "sales", Target: "purchase",
				Key: "uuid", KeyColumn: "order_key", KeepKey: "old_id", Primary: []string{"tenant", "id"},
				Columns: []mapping.ColumnRule{
					{Source: "note", Skip: true},
					{Source: "total", Name: "amount", Type: "numeric(12,2)"},
					{Source: "at", Type: "timestamp with time zone"},
					{Source: "code", Type: "character varying(9)"},
				},
				Filter: []change.Condition{{Column: "status", In: []string{"test", ""}, Not: true}, {Column: "gone", Null: true}},
			},
			{Source: change.TableName{Schema: "a.b", Name: `c"d`}, Key: "keep"},
			{Source: change.TableName{Schema: "public", Name: "scratch"}, Skip: true},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if r := got.Rule(change.TableName{Schema: "public", Name: "orders"}); r == nil || r.Column("note") == nil || r.Column("other") != nil {
		t.Errorf("got rule %+v, want that of orders with a rule of note alone", r)
	}
	if r := got.Rule(change.TableName{Schema: "public", Name: "other"}); r != nil {
		t.Errorf("got %+v for a table without rules", r)
	}
}

// TestSchemaAgreesWithParseTables gives every file to both: they accept the same.
func TestSchemaAgreesWithParseTables(t *testing.T) {
	schema := jsonSchema(t)
	file := func(members string) string { return `{"version":1,"from":"postgresql"` + members + `}` }
	table := func(members string) string { return file(`,"keys":"uuid","tables":{"s.t":{` + members + `}}`) }
	named := func(name string) string { return file(`,"tables":{"` + name + `":{}}`) }
	column := func(rule string) string { return table(`"columns":{"c":` + rule + `}`) }
	filter := func(list string) string { return table(`"filter":` + list) }
	long := strings.Repeat("n", 64)
	for _, c := range []struct {
		name string
		file string
		ok   bool
	}{
		{"least", file(``), true},
		{"of nothing", `{"version":1,"from":"mysql"}`, false},
		{"no version", `{"from":"postgresql"}`, false},
		{"version 2", `{"version":2,"from":"postgresql"}`, false},
		{"unknown member", file(`,"table":{}`), false},
		{"schema", file(`,"schema":"shop"`), true},
		{"schema of PostgreSQL", file(`,"schema":"PG_shop"`), false},
		{"schema of the bookkeeping", file(`,"schema":"Godwit"`), false},
		{"schemas", file(`,"schemas":{"public":"shop"}`), true},
		{"schemas to PostgreSQL's", file(`,"schemas":{"public":"information_schema"}`), false},
		{"schemas without a name", file(`,"schemas":{"":"shop"}`), false},
		{"schemas is a list", file(`,"schemas":["shop"]`), false},
		{"both", file(`,"schema":"shop","schemas":{"public":"shop"}`), false},
		{"keys kept", file(`,"keys":"keep"`), true},
		{"keys to serial", file(`,"keys":"serial"`), false},
		{"empty namespace", file(`,"namespace":""`), false},
		{"namespace of two lines", file(`,"namespace":"a\nb"`), false},
		{"replace", file(`,"replace":true`), true},
		{"replace is text", file(`,"replace":"yes"`), false},
		{"tables is a list", file(`,"tables":[]`), false},
		{"table", named(`public.orders`), true},
		{"table with odd characters", named(`my schema.Order-Items`), true},
		{"table in quotes", named(`\"a.b\".\"c\"\"d\"`), true},
		{"table without schema", named(`orders`), false},
		{"table with three names", named(`db.public.orders`), false},
		{"table with an open quote", named(`\"public.orders`), false},
		{"table with text behind quotes", named(`\"public\"x.orders`), false},
		{"table without name", named(`public.`), false},
		{"table is null", file(`,"tables":{"s.t":null}`), false},
		{"table of a ledger", table(`"columns":[]`), false},
		{"skip", table(`"skip":true`), true},
		{"skip false", table(`"skip":false`), false},
		{"skip and target", table(`"skip":true,"target":"a"`), false},
		{"target", table(`"target":"a","schema":"b","key":"uuid","keyColumn":"id","keepKey":"old"`), true},
		{"long target", table(`"target":"` + long + `"`), false},
		{"unknown table member", table(`"indexes":[]`), false},
		{"primary key", table(`"primaryKey":["a","b"]`), true},
		{"empty primary key", table(`"primaryKey":[]`), false},
		{"repeated primary key", table(`"primaryKey":["a","a"]`), false},
		{"column name", column(`{"name":"d"}`), true},
		{"column type", column(`{"type":"numeric(38,9)"}`), true},
		{"column type text", column(`{"type":"text"}`), true},
		{"column type array", column(`{"type":"text[]"}`), false},
		{"column type json", column(`{"type":"json"}`), false},
		{"column type of PostgreSQL", column(`{"type":"character varying(3)"}`), false},
		{"column skip", column(`{"skip":true}`), true},
		{"column skip and name", column(`{"skip":true,"name":"d"}`), false},
		{"empty column", column(`{}`), false},
		{"column is null", column(`null`), false},
		{"column without name", table(`"columns":{"":{"name":"d"}}`), false},
		{"filter", filter(`[{"column":"c","in":["1"]},{"column":"c","null":true,"not":true},{"column":"c","in":["1"],"null":false}]`), true},
		{"empty filter", filter(`[]`), false},
		{"filter of no column", filter(`[{"in":["1"]}]`), false},
		{"filter that says nothing", filter(`[{"column":"c"}]`), false},
		{"filter null false", filter(`[{"column":"c","null":false}]`), false},
		{"filter of numbers", filter(`[{"column":"c","in":[1]}]`), false},
		{"filter of no texts", filter(`[{"column":"c","in":[]}]`), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(c.file)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); (err == nil) != c.ok {
				t.Errorf("JSON Schema: error %v, want accepted %v", err, c.ok)
			}
			if _, err := mapping.ParseTables([]byte(c.file)); (err == nil) != c.ok {
				t.Errorf("ParseTables: error %v, want accepted %v", err, c.ok)
			}
		})
	}
}

// What names do to each other is beyond the JSON Schema.
func TestRulesOfRowsThatClashSayWhere(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		why  string
	}{
		"a ledger's":               {`{"version":1,"schema":"x"}`, `"from": "postgresql"`},
		"one table in two ways":    {`{"version":1,"from":"postgresql","tables":{"a.b":{},"\"a\".b":{}}}`, "named twice"},
		"one name for two":         {`{"version":1,"from":"postgresql","tables":{"a.b":{"columns":{"c":{"name":"x"},"d":{"name":"x"}}}}}`, `the same name "x"`},
		"old key of a kept key":    {`{"version":1,"from":"postgresql","tables":{"a.b":{"keepKey":"old"}}}`, `needs "key": "uuid"`},
		"old key where it is kept": {`{"version":1,"from":"postgresql","keys":"uuid","tables":{"a.b":{"key":"keep","keepKey":"old"}}}`, `needs "key": "uuid"`},
		"63 characters too long":   {`{"version":1,"from":"postgresql","schema":"` + strings.Repeat("é", 32) + `"}`, "64 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mapping.ParseTables([]byte(c.file))
			var first *mapping.FileError
			if !errors.As(err, &first) || first.Line != 1 || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want line 1: %s", err, c.why)
			}
		})
	}
}

// FuzzParseTables: no file makes ParseTables panic.
func FuzzParseTables(f *testing.F) {
	f.Add([]byte(`{"version":1,"from":"postgresql","schemas":{"a":"b"},"tables":{"a.\"b\"":{"columns":{"c":{"type":"text"}},"filter":[{"column":"c","in":["1"]}]}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		if _, err := mapping.ParseTables(src); err != nil {
			var all mapping.FileErrors
			if !errors.As(err, &all) {
				t.Fatalf("error is %T", err)
			}
		}
	})
}
