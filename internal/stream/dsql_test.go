package stream_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/stream"
)

const dsqlSource = `"source":{"version":"1.0","ts_ms":1705318200000,"ts_ns":1705318200000000123,"txId":"ffthunp5stx6ffs2vyfqoatmfu","schema":"public","table":"orders","db":"postgres","cluster":"kmabugltfmjdaj2siqr2qbxgju"},"ts_ms":1705318200125,"ts_ns":1705318200125483291}`

func TestDSQLChangesBecomeRows(t *testing.T) {
	const after = `"after":{"id":7,"line":"x","price":"9.50","doc":"{\"a\":1}"},`
	position := change.Position{Major: 1705318200000000123, Tie: "ffthunp5stx6ffs2vyfqoatmfu"}
	written := change.RowItem{
		Schema: "public", Table: "orders", From: "public", Key: `["x","7"]`, Position: position, At: "2024-01-15T11:30:00.000000123Z",
		Row: []byte(`{"id":"7","line":"x","price":"9.50","doc":"{\"a\":1}"}`),
	}
	gone := written
	gone.Deleted, gone.Row = true, []byte(`{"line":"x","id":"7"}`)
	for name, c := range map[string]struct {
		record string
		want   change.RowItem
		op     stream.Op
	}{
		"an insert": {`{"type":"full","op":"c","before":null,` + after + dsqlSource, written, stream.Insert},
		"an update": {`{"type":"full","op":"u","before":null,` + after + dsqlSource, written, stream.Update},
		"an operation of another name, which the guide calls an upsert": {`{"type":"full","op":"m","before":null,` + after + dsqlSource, written, stream.Update},
		"a deletion": {`{"type":"full","op":"d","before":{"line":"x","id":7},"after":null,` + dsqlSource, gone, stream.Delete},
	} {
		event, err := decode(t, c.record)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := event.(*stream.Change); got.Op != c.op || got.Source != change.SourceDSQL {
			t.Errorf("%s: is an %s of %s", name, got.Op, got.Source)
		}
		got, err := rows(t, c.record)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff([]change.RowItem{c.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDSQLRecordsThatCannotBeAppliedAreRefused(t *testing.T) {
	const full = `{"type":"full","op":"c","before":null,"after":{"id":7,"line":"x","price":"9.50","doc":null},` + dsqlSource
	swap := func(old, fresh string) string {
		if !strings.Contains(full, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(full, old, fresh, 1)
	}
	const advice = "; the RDS Data API takes 4 MiB: copy that row by hand, and keep values of that size on S3"
	for _, c := range []struct{ record, want string }{
		{
			`{"type":"chunked","op":"c","before":null,"after":null,"chunked":{"after":{"chunk_id":"c","total_fragments":3,"crc32c":"2073618257"}},` + dsqlSource,
			"read dsql message: is the record of a row whose fragments hold more than 9 MiB" + advice,
		},
		{`{"type":"fragment","chunk_id":"c","index":0,"data":"{\"id\":1"}`, "read dsql message: is a fragment of a row of more than 9 MiB" + advice},
		{swap(`"full"`, `"partial"`), `read dsql message, type: is "partial", not one of full, chunked and fragment`},
		{swap(`"full"`, `7`), `read dsql message: type is no string`},
		{swap(`"op":"c",`, ``), `read dsql message: has no op`},
		{swap(`"txId":"ffthunp5stx6ffs2vyfqoatmfu",`, ``), `read dsql message: has no txId`},
		{swap(`"schema":"public",`, ``), `read dsql message: has no schema`},
		{swap(`"ts_ns":1705318200000000123,`, ``), `read dsql message, source.ts_ns: is no whole number of nanoseconds since 1970`},
		{swap(`1705318200000000123`, `1.7E+18`), `read dsql message, source.ts_ns: is no whole number of nanoseconds since 1970`},
		{swap(`"after":{"id":7,"line":"x","price":"9.50","doc":null}`, `"after":null`), `read dsql message, after: is missing, or no object`},
		{
			swap(`"op":"c"`, `"op":"d"`),
			`read dsql message, before: is null: public.orders has no primary key in the source, so which row is gone cannot be told; add one`,
		},
		{
			swap(`,"doc":null`, ``),
			`read dsql message, insert of public.orders, column "doc": is not in the record: if the source has it since a later ALTER TABLE, update the row there once more`,
		},
		{swap(`"id":7`, `"id":7,"note":1`), `read dsql message, insert of public.orders, column "note": is not in the target's table: add it to the target, and replay`},
		{swap(`"price":"9.50"`, `"price":"9.505"`), `read dsql message, insert of public.orders, column "price": has 3 digits behind the decimal point, more than numeric(12,2) holds`},
		{swap(`"id":7`, `"id":7,"id":7`), `read dsql message, after: has the member "id" twice`},
		{swap(`"db"`, `"table":"t","db"`), `read dsql message, source: has the member "table" twice`},
	} {
		if got, err := rows(t, c.record); err == nil || err.Error() != c.want {
			t.Errorf("%s\ngot  %v, %v\nwant %s", c.record, got, err, c.want)
		}
	}
}
