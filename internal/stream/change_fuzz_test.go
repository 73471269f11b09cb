package stream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/local/cdc"
	"godwit/internal/stream"
)

// wide is a table with a column of every sampled type, all of those keyable in
// its key.
func wide() change.RowTable {
	t := change.RowTable{Schema: "b", Name: "t", Columns: []change.RowColumn{{Name: "id", Type: "bigint", NotNull: true}}}
	for i, s := range samples {
		t.Columns = append(t.Columns, change.RowColumn{Name: fmt.Sprintf("c%d", i), Type: s.typ, Enum: s.typ == "mood"})
	}
	for _, c := range t.Columns {
		t.Key = append(t.Key, c.Name)
		if _, err := stream.NewTable(t); err != nil {
			t.Key = t.Key[:len(t.Key)-1]
		}
	}
	return t
}

// wideRows are rows of wide, of edges.
func wideRows(n int) []cdc.Row {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var rows []cdc.Row
	for i := range n {
		row := cdc.Row{
			Op: []string{cdc.Insert, cdc.Update, cdc.Delete}[i%3], Schema: "a", Table: "t", Position: int64(i), Record: 1, Transaction: "7", Commit: at, Built: at,
			Columns: []cdc.Column{{Name: "id", Type: "bigint", Text: fmt.Sprint(i)}},
		}
		for k, s := range samples {
			row.Columns = append(row.Columns, cdc.Column{Name: fmt.Sprintf("c%d", k), Type: s.typ, Text: s.edges[i%len(s.edges)]})
		}
		row.Before = row.Columns[:1+i%len(row.Columns)]
		rows = append(rows, row)
	}
	return rows
}

func FuzzChange(f *testing.F) {
	for _, row := range wideRows(12) {
		f.Add(cdc.AppendDMS(nil, cdc.Complete(), row))
		f.Add(cdc.AppendDMSControl(nil, cdc.Complete(), "add-column", row))
		if records, err := cdc.DSQL(row, "c"); err == nil {
			f.Add(records[0])
		}
	}
	f.Add([]byte(dmsRecord("update", `"data":{"id":7,"line":"x","price":9.50},"before-image":{"id":1E0,"doc":"{}","price":"NaN"}`)))
	f.Add([]byte(`{"type":"full","op":"d","before":{"line":"\ud83d\ude00","id":7},"after":null,` + dsqlSource))
	var tables []*stream.Table
	for _, t := range []change.RowTable{orders(), wide()} {
		table, err := stream.NewTable(t)
		if err != nil {
			f.Fatal(err)
		}
		tables = append(tables, table)
	}
	decoder := stream.NewDecoder(nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		event, err := decoder.Decode(stream.Message{Data: data})
		var poison *stream.Error
		if err != nil && (event != nil || !errors.As(err, &poison)) {
			t.Fatalf("%v, %v", event, err)
		}
		c, ok := event.(*stream.Change)
		if !ok {
			return
		}
		for _, table := range tables {
			items, err := c.Rows(table)
			if err != nil {
				if !errors.As(err, &poison) || items != nil {
					t.Fatalf("%v, %v", items, err)
				}
				continue
			}
			for _, item := range items {
				var row map[string]*string
				if err := json.Unmarshal(item.Row, &row); err != nil {
					t.Fatalf("row %s: %v", item.Row, err)
				}
				var key []string
				if err := json.Unmarshal([]byte(item.Key), &key); err != nil || len(key) == 0 {
					t.Fatalf("key %s: %v", item.Key, err)
				}
			}
		}
	})
}

// Decoding and converting must keep up with a shard's 1 MiB a second many times
// over: rows of 10 columns.
func BenchmarkRows(b *testing.B) {
	t := change.RowTable{Schema: "public", Name: "orders", Key: []string{"id"}}
	row := cdc.Row{
		Op: cdc.Update, Schema: "public", Table: "orders", Position: 1 << 40, Record: 1, Transaction: "1",
		Commit: time.Unix(1_700_000_000, 0), Built: time.Unix(1_700_000_000, 0),
	}
	for i, v := range []struct{ name, typ, text string }{
		{"id", "bigint", "123456789"},
		{"customer", "uuid", "550e8400-e29b-41d4-a716-446655440000"},
		{"status", "character varying(20)", "delivered"},
		{"price", "numeric(12,2)", "1234.50"},
		{"quantity", "integer", "17"},
		{"paid", "boolean", "t"},
		{"note", "text", "leave it at the back door, please; the bell does not work"},
		{"made_at", "timestamp with time zone", "2026-01-02 03:04:05.678901+00"},
		{"due", "date", "2026-02-03"},
		{"tags", "jsonb", `{"gift": true, "colours": ["red", "green"]}`},
	} {
		t.Columns = append(t.Columns, change.RowColumn{Name: v.name, Type: v.typ})
		row.Columns = append(row.Columns, cdc.Column{Name: v.name, Type: v.typ, Text: v.text})
		if i == 0 {
			row.Before = row.Columns
		}
	}
	table, err := stream.NewTable(t)
	if err != nil {
		b.Fatal(err)
	}
	records, err := cdc.DSQL(row, "cluster")
	if err != nil {
		b.Fatal(err)
	}
	for name, message := range map[string][]byte{"dms": cdc.AppendDMS(nil, cdc.Complete(), row), "dsql": records[0]} {
		b.Run(name, func(b *testing.B) {
			decoder := stream.NewDecoder(nil)
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				event, err := decoder.Decode(stream.Message{Data: message})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := event.(*stream.Change).Rows(table); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
