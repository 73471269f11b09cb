package target_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/local/cdc"
	"godwit/internal/local/rdsdata"
	"godwit/internal/stream"
)

// What DMS writes of a row, read by package stream and applied, is the row: the
// conversion and the SQL that takes it agree on every kind of type.
func TestRowsOfAllTypesAreAppliedAsTheyWere(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	types := []struct{ typ, first, second string }{ // column types, not domains, as in the record
		{"bigint", "1", "2"},
		{"integer", "-2147483648", "7"},
		{"numeric(12,3)", "0.001", "-7.500"},
		{"numeric", "NaN", "1.00"},
		{"double precision", "-Infinity", "0.1"},
		{"boolean", "true", "false"},
		{"text", "a\"\\\n'é😀", ""},
		{"character varying(3)", "äöü", ""},
		{"character(3)", "ab ", "abc"},
		{"bytea", `\xdeadbeef`, `\x`},
		{"uuid", "550e8400-e29b-41d4-a716-446655440000", "00000000-0000-0000-0000-000000000000"},
		{"jsonb", "null", `"text"`},
		{"json", ` {"a":1,"a":2} `, "null"},
		{"date", "0044-03-15 BC", "infinity"},
		{"timestamp(3) without time zone", "2024-01-01 00:00:00.001", "-infinity"},
		{"timestamp with time zone", "2024-01-01 00:00:00.123456+00", "1999-12-31 23:59:59+00"},
		{"interval", "1 year 2 mons", "00:00:01"},
		{"integer[]", "{1,NULL}", "{}"},
		{"mood", "sad", "it's"},
		{"share", "1.50", "2.25"},
		{"paper", `{"a": 1}`, `"x"`},
		{"raw", `\x00`, `\xff`},
	}
	b.exec(`CREATE TYPE mood AS ENUM ('sad', 'it''s'); CREATE DOMAIN share AS numeric(5,2); CREATE DOMAIN paper AS jsonb; CREATE DOMAIN raw0 AS bytea; CREATE DOMAIN raw AS raw0`)
	b.exec(`CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO ` + b.db.Loader)
	var define []string
	row := cdc.Row{Schema: "shop", Table: "t", Record: 1, Transaction: "7", Commit: time.Unix(1, 0), Built: time.Unix(2, 0)}
	second := row
	for i, c := range types {
		define = append(define, fmt.Sprintf("c%d %s", i, c.typ))
		base := map[string]string{"share": "numeric(5,2)", "paper": "jsonb", "raw": "bytea"}[c.typ]
		if base == "" {
			base = c.typ
		}
		name := fmt.Sprintf("c%d", i)
		row.Columns = append(row.Columns, cdc.Column{Name: name, Type: base, Text: c.first})
		second.Columns = append(second.Columns, cdc.Column{Name: name, Type: base, Text: c.second})
	}
	b.exec(`CREATE TABLE shop.t (` + strings.Join(define, ", ") + `, twice numeric GENERATED ALWAYS AS (c0 * 2) STORED, PRIMARY KEY (c0, c18))`)
	b.exec(`GRANT SELECT, INSERT, UPDATE, DELETE ON shop.t TO ` + b.db.Loader)

	tables, err := b.loader.RowTables(t.Context(), []change.TableName{{Schema: "shop", Name: "t"}})
	if err != nil || len(tables) != 1 {
		t.Fatalf("%+v, %v", tables, err)
	}
	table, err := stream.NewTable(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	s := b.enable(change.Stream{Name: "rows", Source: change.SourceDMS})
	sequence := 0
	apply := func(op string, r cdc.Row, before ...cdc.Column) {
		t.Helper()
		sequence++
		r.Op, r.Position, r.Before = op, int64(sequence), before
		event, err := stream.NewDecoder(nil).Decode(stream.Message{Data: cdc.AppendDMS(nil, cdc.Complete(), r)})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := event.(*stream.Change).Rows(table)
		if err != nil {
			t.Fatal(err)
		}
		var items []change.Item
		for i := range rows {
			items = append(items, change.Item{Mark: change.Mark{Shard: "shard-0", Sequence: fmt.Sprint(sequence)}, Row: &rows[i]})
		}
		if applied, err := b.loader.Apply(t.Context(), s, items); err != nil || applied.Items != len(items) {
			t.Fatalf("%s: %+v, %v", op, applied, err)
		}
	}
	check := func(r cdc.Row) {
		t.Helper()
		if n := get[int](b, `SELECT count(*) FROM shop.t`); n != 1 {
			t.Fatalf("%d rows", n)
		}
		for i, c := range r.Columns {
			if same := get[bool](b, fmt.Sprintf(`SELECT t.%s::text IS NOT DISTINCT FROM ($1::text)::%s::text FROM shop.t t`, c.Name, types[i].typ), c.Text); !same {
				t.Errorf("%s: is %s, not %s", types[i].typ, get[string](b, fmt.Sprintf(`SELECT coalesce(%s::text, 'NULL') FROM shop.t`, c.Name)), c.Text)
			}
		}
	}
	apply(cdc.Insert, row)
	check(row)
	apply(cdc.Update, second, row.Columns[0], row.Columns[18]) // another key
	check(second)
	apply(cdc.Delete, second)
	if n := get[int](b, `SELECT count(*) FROM shop.t`); n != 0 {
		t.Errorf("%d rows after the deletion", n)
	}
}
