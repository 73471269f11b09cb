package copytext_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/testdb"
)

// jsonTable has a column of every kind, and rows that try them.
func jsonTable() (*change.Table, [][]change.Value) {
	text := func(k change.Kind, s string) change.Value { return change.Value{Kind: k, Bytes: []byte(s)} }
	null := change.Value{Kind: change.Null}
	t := &change.Table{Name: "everything", Columns: []change.Column{
		{Name: "b", Type: change.Type{Kind: change.Bool}},
		{Name: "i", Type: change.Type{Kind: change.Int, Bits: 64}},
		{Name: "n", Type: change.Type{Kind: change.Decimal}},
		{Name: "f", Type: change.Type{Kind: change.Float, Bits: 64}},
		{Name: "t", Type: change.Type{Kind: change.Text}},
		{Name: "x", Type: change.Type{Kind: change.Bytes}},
		{Name: "d", Type: change.Type{Kind: change.Timestamp, Zone: true}},
		{Name: "j", Type: change.Type{Kind: change.JSON}},
		{Name: "a", Type: change.Type{Kind: change.Text, Array: true}},
		{Name: `odd "name\`, Type: change.Type{Kind: change.Text}},
	}}
	return t, [][]change.Value{
		{null, null, null, null, null, null, null, null, null, null},
		{
			{Kind: change.Bool, Int: 1},
			{Kind: change.Int, Int: math.MinInt64},
			text(change.Decimal, "12345678901234567890.100"),
			{Kind: change.Float, Int: int64(math.Float64bits(0.1))},
			text(change.Text, "a\tb\nc\rd\\e\"f/\u007f\u0001\b\f\v é😀 \\N"), text(change.Bytes, "\x00\xff\\"), text(change.Timestamp, "2024-05-01T00:00:00.123456Z"),
			text(change.JSON, `{"a": [1.50, "x\"\\y\u0001", null]}`), text(change.JSON, `["a\"b","c\\d\n\u0001",null,"NULL",""]`), text(change.Text, ""),
		},
		{
			{Kind: change.Bool},
			text(change.Int, "-7"), text(change.Decimal, "-0.00"),
			{Kind: change.Float, Int: int64(math.Float64bits(math.Inf(-1)))},
			text(change.Text, `\N`), text(change.Bytes, ""), text(change.Timestamp, "1969-12-31T23:59:59.999Z"), text(change.JSON, `"text"`), text(change.JSON, `[]`), text(change.Text, "null"),
		},
	}
}

// What json_to_recordset reads of a row is what COPY reads of it.
func TestJSONRowsAreReadAsCOPYReadsThem(t *testing.T) {
	db := testdb.New(t)
	conn := testdb.Connect(t, db.AdminDSN)
	ctx := context.Background()
	const columns = `(b boolean, i bigint, n numeric, f double precision, t text, x bytea, d timestamptz, j jsonb, a text[], "odd ""name\" text)`
	for _, table := range []string{"copied", "read"} {
		if _, err := conn.Exec(ctx, `CREATE TABLE `+table+` `+columns); err != nil {
			t.Fatal(err)
		}
	}
	table, rows := jsonTable()
	var lines, list []byte
	for i, values := range rows {
		var err error
		if lines, err = copytext.AppendRow(lines, change.Row{Table: table, Values: values}); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			list = append(list, ',')
		}
		if list, err = copytext.AppendJSON(list, change.Row{Table: table, Values: values}); err != nil {
			t.Fatal(err)
		}
	}
	list = append(append([]byte{'['}, list...), ']')
	if !json.Valid(list) {
		t.Fatalf("no JSON: %s", list)
	}
	if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(string(lines)), `COPY copied FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `INSERT INTO read SELECT * FROM json_to_recordset($1::json) AS x `+columns, string(list)); err != nil {
		t.Fatal(err)
	}
	var all, differ int
	err := conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM copied), (SELECT count(*) FROM (SELECT to_jsonb(c)::text FROM copied c EXCEPT ALL SELECT to_jsonb(r)::text FROM read r) AS x)`).Scan(&all, &differ)
	if err != nil || all != len(rows) || differ != 0 {
		t.Errorf("%d rows were copied, and %d of them read otherwise: %v", all, differ, err)
	}
}

func TestJSONRowsThatTextCannotHoldAreRefused(t *testing.T) {
	table, rows := jsonTable()
	for name, v := range map[string]change.Value{"t": {Kind: change.Text, Bytes: []byte("a\x00")}, "a": {Kind: change.JSON, Bytes: []byte(`{}`)}, "i": {Kind: change.List}, "j": {Kind: change.JSON, Bytes: []byte("null")}} {
		values := append([]change.Value(nil), rows[0]...)
		for i, c := range table.Columns {
			if c.Name == name {
				values[i] = v
			}
		}
		out, err := copytext.AppendJSON([]byte("before"), change.Row{Table: table, Values: values})
		if err == nil || string(out) != "before" || !strings.Contains(err.Error(), "column "+name) {
			t.Errorf("column %s: %q, %v", name, out, err)
		}
	}
	if _, err := copytext.AppendJSON(nil, change.Row{Table: table, Values: rows[0][1:]}); err == nil {
		t.Error("a row of another shape is written")
	}
}
