package cdc_test

import (
	"encoding/json"
	"errors"
	"hash/crc32"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/local/cdc"
	"godwit/internal/stream"
)

func row(op string, columns ...cdc.Column) cdc.Row {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	return cdc.Row{Op: op, Schema: "public", Table: "t", Columns: columns, Position: 0x2_7C00_7328, Record: 1, Transaction: "1140", Commit: at, Built: at.Add(time.Second)}
}

// The forms are those of records that were captured from DMS and that AWS's
// guides show.
func TestRecordsLookLikeTheProducers(t *testing.T) {
	columns := []cdc.Column{
		{Name: "id", Type: "bigint", Text: "9223372036854775807"},
		{Name: "at", Type: "timestamp with time zone", Text: "2024-07-29 00:58:17.5+00"},
		{Name: "raw", Type: "bytea", Text: `\xbeef`},
		{Name: "day", Type: "date", Text: "2024-03-15"},
		{Name: "price", Type: "numeric(12,2)", Text: "29.90"},
		{Name: "ok", Type: "boolean", Text: "t"},
		{Name: "doc", Type: "jsonb", Text: `{"a": "<>"}`},
		{Name: "none", Type: "text", Null: true},
	}
	update := row(cdc.Update, columns...)
	update.Before = columns[:1]
	dsql, err := cdc.DSQL(update, "kmab")
	if err != nil {
		t.Fatal(err)
	}
	bare := cdc.DMS{NoHexPrefix: true, MapBooleanAsBoolean: true, PartitionKeyType: "primary-key"}
	for _, c := range []struct{ got, want string }{
		{
			string(cdc.AppendDMS(nil, cdc.Complete(), update)),
			`{"data":{"id":9.223372036854776E+18,"at":"2024-07-29T00:58:17.5Z","raw":"0xbeef","day":"2024-03-15","price":29.90,"ok":"true","doc":"{\"a\": \"<>\"}","none":null},` +
				`"before-image":{"id":9.223372036854776E+18},"metadata":{"timestamp":"2026-01-02T03:04:06.000006Z","record-type":"data","operation":"update","partition-key-type":"schema-table",` +
				`"schema-name":"public","table-name":"t","transaction-id":1140,"commit-timestamp":"2026-01-02T03:04:05.000006Z","transaction-record-id":1,"stream-position":"00000002/7C007328.2.00000002/7C007328"}}`,
		},
		{
			string(cdc.AppendDMS(nil, bare, row(cdc.Load, columns[2], columns[5], columns[7]))),
			`{"data":{"raw":"beef","ok":true},"metadata":{"timestamp":"2026-01-02T03:04:06.000006Z","record-type":"data","operation":"load","partition-key-type":"primary-key","schema-name":"public","table-name":"t"}}`,
		},
		{
			string(cdc.AppendDMSControl(nil, cdc.DMS{IncludePartitionValue: true, PartitionKeyValue: "task-1"}, "drop-table", row(""))),
			`{"control":{},"metadata":{"timestamp":"2026-01-02T03:04:06.000006Z","record-type":"control","operation":"drop-table","partition-key-type":"task-id","partition-key-value":"task-1","schema-name":"public","table-name":"t"}}`,
		},
		{
			string(dsql[0]),
			`{"type":"full","op":"u","before":null,"after":{"id":9223372036854775807,"at":1722214697500000,"raw":"vu8=","day":19797,"price":"29.90","ok":true,"doc":"{\"a\": \"<>\"}","none":null},` +
				`"source":{"version":"1.0","ts_ms":1767323045000,"ts_ns":1767323045000006000,"txId":"1140","schema":"public","table":"t","db":"postgres","cluster":"kmab"},"ts_ms":1767323046000,"ts_ns":1767323046000006000}`,
		},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

func TestDSQLCutsRowsOfMoreThanNineMebibytes(t *testing.T) {
	records, err := cdc.DSQL(row(cdc.Insert, cdc.Column{Name: "id", Type: "integer", Text: "1"}, cdc.Column{Name: "v", Type: "text", Text: strings.Repeat("é\"", 4<<20)}), "c")
	if err != nil {
		t.Fatal(err)
	}
	var main struct {
		After   json.RawMessage `json:"after"`
		Chunked struct {
			After struct {
				ID    string `json:"chunk_id"`
				Total int    `json:"total_fragments"`
				CRC   string `json:"crc32c"`
			} `json:"after"`
		} `json:"chunked"`
	}
	if err := json.Unmarshal(records[0], &main); err != nil {
		t.Fatal(err)
	}
	var image strings.Builder
	for i, record := range records[1:] {
		var f struct {
			Type, Data string
			ID         string `json:"chunk_id"`
			Index      int
		}
		if err := json.Unmarshal(record, &f); err != nil || f.Type != "fragment" || f.Index != i || f.ID != main.Chunked.After.ID {
			t.Errorf("fragment %d is %s %s, %d: %v", i, f.Type, f.ID, f.Index, err)
		}
		image.WriteString(f.Data)
	}
	sum := crc32.Checksum([]byte(image.String()), crc32.MakeTable(crc32.Castagnoli))
	if string(main.After) != "null" || main.Chunked.After.Total != len(records)-1 || main.Chunked.After.CRC != strconv.FormatUint(uint64(sum), 10) || !json.Valid([]byte(image.String())) {
		t.Errorf("%+v of %d records, checksum %d", main.Chunked, len(records), sum)
	}
	for i, record := range records {
		var poison *stream.Error
		if _, err := stream.NewDecoder(nil).Decode(stream.Message{Data: record}); !errors.As(err, &poison) || poison.Source != change.SourceDSQL {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

func TestDSQLHasNotAllTypes(t *testing.T) {
	if _, err := cdc.DSQL(row(cdc.Insert, cdc.Column{Name: "v", Type: "integer[]", Text: "{1}"}), "c"); err == nil || err.Error() != "column v: type integer[] is not one of Aurora DSQL's" {
		t.Error(err)
	}
}
