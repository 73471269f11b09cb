package stream_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/stream"
)

// orders is a table with a key of two columns, in another order than theirs.
func orders() change.RowTable {
	return change.RowTable{Schema: "public", Name: "orders", Key: []string{"line", "id"}, Columns: []change.RowColumn{
		{Name: "id", Type: "bigint", NotNull: true},
		{Name: "line", Type: "text", NotNull: true},
		{Name: "price", Type: "numeric(12,2)"},
		{Name: "doc", Type: "jsonb"},
		{Name: "twice", Type: "numeric", Generated: true},
	}}
}

// dmsMeta is the metadata of a change with all that is asked for.
const dmsMeta = `"metadata":{"timestamp":"2024-07-29T00:58:44.895275Z","record-type":"data","operation":"%s",` +
	`"partition-key-type":"schema-table","schema-name":"public","table-name":"orders","transaction-id":1140,` +
	`"commit-timestamp":"2024-07-29T00:58:44.886717Z","transaction-record-id":3,"stream-position":"00000002/7C007328.2.00000002/7C007328"}`

func dmsRecord(op, members string) string {
	return "{" + members + "," + fmt.Sprintf(dmsMeta, op) + "}"
}

// rows decodes a record and converts it for orders.
func rows(t testing.TB, record string) ([]change.RowItem, error) {
	t.Helper()
	event, err := decode(t, record)
	if err != nil {
		return nil, err
	}
	table, err := stream.NewTable(orders())
	if err != nil {
		t.Fatal(err)
	}
	return event.(*stream.Change).Rows(table)
}

// indented is a record as MessageFormat json has it.
func indented(t *testing.T, record string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(record), " ", "\t"); err != nil {
		t.Fatal(err)
	}
	return "\r\n " + strings.ReplaceAll(out.String(), ",\n", " ,\r\n") + "\n"
}

var dmsPosition = change.Position{Major: 0x2_7C00_7328, Minor: 3}

func item(key, row string, deleted bool) change.RowItem {
	return change.RowItem{
		Schema: "public", Table: "orders", From: "public", Key: key, Position: dmsPosition, Deleted: deleted,
		At: "2024-07-29T00:58:44.886717Z", Row: []byte(row),
	}
}

func TestDMSChangesBecomeRows(t *testing.T) {
	const after = `"data":{"doc":"{\"a\":1}","id":7,"line":"x","price":9.50,"twice":19.00}`
	written := item(`["x","7"]`, `{"id":"7","line":"x","price":"9.50","doc":"{\"a\":1}"}`, false)
	for name, c := range map[string]struct {
		record string
		want   []change.RowItem
	}{
		"an insert":                        {dmsRecord("insert", after), []change.RowItem{written}},
		"an update that keeps the key":     {dmsRecord("update", after+`,"before-image":{}`), []change.RowItem{written}},
		"an update with the whole before":  {dmsRecord("update", after+`,"before-image":{"doc":null,"id":7.0,"line":"x","price":1,"twice":2}`), []change.RowItem{written}},
		"control details beside":           {dmsRecord("insert", `"control":{},`+after), []change.RowItem{written}},
		"white space everywhere":           {indented(t, dmsRecord("insert", after)), []change.RowItem{written}},
		"a key update":                     {dmsRecord("update", after+`,"before-image":{"id":6}`), []change.RowItem{item(`["x","6"]`, `{"line":"x","id":"6"}`, true), written}},
		"a key update of both columns":     {dmsRecord("update", after+`,"before-image":{"id":6,"line":"w"}`), []change.RowItem{item(`["w","6"]`, `{"line":"w","id":"6"}`, true), written}},
		"an unchanged value, stored apart": {dmsRecord("update", `"data":{"id":7,"line":"x","price":9.50},"before-image":{"id":7,"line":"x","price":1,"doc":"{\"a\":1}"}`), []change.RowItem{written}},
		"a deletion":                       {dmsRecord("delete", `"data":{"id":7,"line":"x","price":null,"doc":null}`), []change.RowItem{item(`["x","7"]`, `{"line":"x","id":"7"}`, true)}},
		"a deletion with the key in the before image": {
			dmsRecord("delete", `"data":{},"before-image":{"id":7,"line":"x"}`),
			[]change.RowItem{item(`["x","7"]`, `{"line":"x","id":"7"}`, true)},
		},
		"nulls": {dmsRecord("insert", `"data":{"id":7,"line":"x","price":null,"doc":null}`), []change.RowItem{item(`["x","7"]`, `{"id":"7","line":"x","price":null,"doc":null}`, false)}},
	} {
		got, err := rows(t, c.record)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDMSLoadsAreOlderThanChanges(t *testing.T) {
	got, err := rows(t, `{"data":{"id":7,"line":"x","price":1,"doc":null},"metadata":{"timestamp":"2024-07-29T00:57:35.691762Z",`+
		`"record-type":"data","operation":"load","partition-key-type":"primary-key","partition-key-value":"public.orders.7","schema-name":"public","table-name":"orders"}}`)
	if err != nil || len(got) != 1 || got[0].Position != (change.Position{}) || got[0].At != "" || got[0].Position.Compare(dmsPosition) >= 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDMSControlRecordsNameTheirTable(t *testing.T) {
	for _, c := range []struct {
		record string
		want   stream.Control
	}{
		{
			`{"control":{"table-def":{"columns":{"id":{"nullable":false,"type":"INT32"}},"primary-key":["id"]}},"metadata":{"operation":"create-table",` +
				`"partition-key-type":"task-id","partition-key-value":"serv-1","record-type":"control","schema-name":"public","table-name":"orders","timestamp":"2024-07-29T00:30:47.266581Z"}}`,
			stream.Control{Source: change.SourceDMS, Type: "create-table", Schema: "public", Table: "orders"},
		},
		{
			`{"metadata":{"timestamp":"2021-02-18T23:09:09.509179Z","record-type":"control","operation":"create-table","partition-key-type":"task-id","schema-name":"","table-name":"awsdms_apply_exceptions"}}`,
			stream.Control{Source: change.SourceDMS, Type: "create-table", Table: "awsdms_apply_exceptions"},
		},
	} {
		event, err := decode(t, c.record)
		if err != nil {
			t.Error(err)
		} else if got := event.(*stream.Control); *got != c.want {
			t.Errorf("got %+v, want %+v", *got, c.want)
		}
	}
}

func TestDMSPositionIsTheCommits(t *testing.T) {
	for text, want := range map[string]int64{
		"00000002/7C007178.3.00000002/7C007178": 0x2_7C00_7178,
		"00000002/7C007178.3.00000002/7C007200": 0x2_7C00_7200, // whichever of the two is the commit's
		"00000002/7C007200.3.00000002/7C007178": 0x2_7C00_7200,
		"7FFFFFFF/FFFFFFFF.1.0/0":               1<<63 - 1,
	} {
		record := strings.Replace(dmsRecord("delete", `"data":{"id":7,"line":"x"}`), "00000002/7C007328.2.00000002/7C007328", text, 1)
		if got, err := rows(t, record); err != nil || got[0].Position.Major != want {
			t.Errorf("%s: got %+v, %v; want %d", text, got, err, want)
		}
	}
}

func TestDMSRecordsThatLackASettingAreRefusedByItsName(t *testing.T) {
	const after = `"data":{"id":7,"line":"x","price":1,"doc":null}`
	insert, update := dmsRecord("insert", after), dmsRecord("update", after+`,"before-image":{}`)
	swap := func(record, old, fresh string) string {
		if !strings.Contains(record, old) {
			t.Fatalf("%s has no %s", record, old)
		}
		return strings.Replace(record, old, fresh, 1)
	}
	const details = ": set IncludeTransactionDetails in the KinesisSettings of the DMS target endpoint"
	for _, c := range []struct{ record, want string }{
		{swap(insert, `,"stream-position":"00000002/7C007328.2.00000002/7C007328"`, ""), "read dms message, metadata: has no stream-position" + details},
		{swap(insert, `"transaction-record-id":3,`, ""), "read dms message, metadata: has no transaction-record-id" + details},
		{swap(insert, `"transaction-id":1140,`, ""), "read dms message, metadata: has no transaction-id" + details},
		{swap(insert, `"commit-timestamp":"2024-07-29T00:58:44.886717Z",`, ""), "read dms message, metadata: has no commit-timestamp" + details},
		{
			swap(insert, "schema-table", "primary-key"),
			"read dms message, metadata: has no partition-key-value (partition-key-type is primary-key): set IncludePartitionValue in the KinesisSettings of the DMS target endpoint",
		},
		{
			swap(insert, `,"doc":null`, ""),
			`read dms message, insert of public.orders, column "doc": is not in the record: set IncludeNullAndEmpty in the KinesisSettings of the DMS target endpoint (without it, null is left out); ` +
				`or the source has no such column: drop it in the target, or make it GENERATED there`,
		},
		{
			swap(update, `,"doc":null`, ""),
			`read dms message, update of public.orders, column "doc": is not in the record: set IncludeNullAndEmpty in the KinesisSettings of the DMS target endpoint (without it, null is left out); ` +
				`or, where it is a large value that the update did not change, ALTER TABLE … REPLICA IDENTITY FULL in the source`,
		},
		{
			swap(update, `,"before-image":{}`, ""),
			`read dms message: is an update without before-image, so whether it changes the key cannot be told: set BeforeImageSettings of the DMS task ` +
				`to {"EnableBeforeImage": true, "FieldName": "before-image", "ColumnFilter": "all"}`,
		},
		{
			swap(update, "before-image", "old"),
			`read dms message: has the member "old": if that is the before image, set BeforeImageSettings.FieldName of the DMS task to before-image`,
		},
		{
			swap(insert, `"id":7`, `"id":7,"BI_id":7`),
			`read dms message, insert of public.orders, column "BI_id": is not in the target's table: if a transformation rule add-before-image-columns made it, ` +
				`remove the rule and set BeforeImageSettings of the DMS task, and replay`,
		},
		{
			swap(insert, `"id":7`, `"id":7,"note":7`),
			`read dms message, insert of public.orders, column "note": is not in the target's table: add it to the target, ` +
				`or leave it out of the stream (DMS: a transformation rule remove-column), and replay`,
		},
		{swap(insert, `"id":7`, `"id":null`), `read dms message, insert of public.orders, column "id": is null, and NOT NULL in the target`},
		{
			dmsRecord("delete", `"data":{"id":7}`),
			`read dms message, delete of public.orders, column "line": is of the key, and not in the record: is the source's key the same?`,
		},
		{dmsRecord("delete", `"data":{"id":7,"line":null}`), `read dms message, delete of public.orders, column "line": is null, and of the key`},
		{
			swap(insert, "00000002/7C007328.2.00000002/7C007328", "mysql-bin-changelog.000007.123456"),
			`read dms message, metadata: stream-position "mysql-bin-changelog.000007.123456" is not that of a PostgreSQL source, as 00000002/7C007328.2.00000002/7C007328`,
		},
		{
			swap(insert, "00000002/7C007328.2.00000002/7C007328", "80000000/0.2.80000000/0"),
			`read dms message, metadata: stream-position "80000000/0.2.80000000/0" is not that of a PostgreSQL source, as 00000002/7C007328.2.00000002/7C007328`,
		},
		{swap(insert, `"transaction-record-id":3`, `"transaction-record-id":"3"`), `read dms message, metadata: transaction-record-id is no whole number`},
		{swap(insert, `"insert"`, `"upsert"`), `read dms message, metadata.operation: is "upsert", not one of load, insert, update and delete`},
		{swap(insert, `"record-type":"data"`, `"record-type":"dates"`), `read dms message, metadata.record-type: is "dates", neither data nor control`},
		{swap(insert, `"schema-name":"public"`, `"schema-name":""`), `read dms message, metadata: has no schema-name or no table-name`},
		{swap(insert, `"schema-name":"public"`, `"schema-name":5`), `read dms message, metadata: schema-name is no string`},
		{swap(insert, `"data":{"id":7,"line":"x","price":1,"doc":null}`, `"data":null`), `read dms message, data: is missing, or no object`},
		{swap(update, `"before-image":{}`, `"before-image":[]`), `read dms message, before-image: is no object`},
		{`{"metadata":[]}`, `read dms message, metadata: is no object`},
		{swap(insert, `"id":7`, `"id":7,"id":8`), `read dms message, data: has the member "id" twice`},
		{swap(insert, `"id":7`, `"id":7,"\u0069d":8`), `read dms message, data: has the member "id" twice`},
		{swap(insert, `"schema-name"`, `"table-name":"t","schema-name"`), `read dms message, metadata: has the member "table-name" twice`},
		{swap(insert, `"data"`, `"data":{},"data"`), `read message: has the member "data" twice`},
		{`{"rows":[]}`, `read message: is a JSON object of neither AWS DMS (it has no metadata) nor Aurora DSQL (it has no type): is another producer writing to this stream?`},
		{"{\"a\":\"\xff\"}", `read message: is not UTF-8`},
		{`{"a":1`, `read message: is not JSON from offset 6 on: unexpected end of JSON input`},
		{`{"metadata":{}} {}`, `read message: is not JSON from offset 17 on: invalid character '{' after top-level value`},
	} {
		if got, err := rows(t, c.record); err == nil || err.Error() != c.want {
			t.Errorf("%s\ngot  %v, %v\nwant %s", c.record, got, err, c.want)
		}
	}
}

func TestWideTables(t *testing.T) {
	const columns = 1600 // the most that PostgreSQL has
	table := change.RowTable{Schema: "public", Name: "wide", Key: []string{"c7"}}
	var after, want []string
	for i := range columns {
		name := fmt.Sprintf("c%d", i)
		table.Columns = append(table.Columns, change.RowColumn{Name: name, Type: "integer"})
		want = append(want, fmt.Sprintf(`%q:"%d"`, name, i))
		name = fmt.Sprintf("c%d", columns-1-i) // not in the table's order
		after = append(after, fmt.Sprintf(`%q:%d`, name, columns-1-i))
	}
	prepared, err := stream.NewTable(table)
	if err != nil {
		t.Fatal(err)
	}
	event, err := decode(t, dmsRecord("insert", `"data":{`+strings.Join(after, ",")+`}`))
	if err != nil {
		t.Fatal(err)
	}
	items, err := event.(*stream.Change).Rows(prepared)
	if err != nil || len(items) != 1 || items[0].Key != `["7"]` || string(items[0].Row) != "{"+strings.Join(want, ",")+"}" {
		t.Errorf("got %+v, %v", items, err)
	}
	_, err = decode(t, dmsRecord("insert", `"data":{`+strings.Join(after, ",")+`,"c800":1}`))
	if err == nil || err.Error() != `read dms message, data: has the member "c800" twice` {
		t.Errorf("got %v", err)
	}
}

func TestTablesWithoutAUsableKeyAreRefused(t *testing.T) {
	table := orders()
	for want, key := range map[string][]string{
		"public.orders has no key, so which row a change is of cannot be told: add a primary key, or a unique index over NOT NULL columns and ALTER TABLE … REPLICA IDENTITY USING INDEX, in source and target": nil,
		`public.orders has the key column "doc" of type jsonb, whose equal values may be spelt differently: give it a primary key of numbers, text, uuid, boolean, bytea, an enum, dates or timestamps`:         {"id", "doc"},
		`public.orders has the key column "gone", but not among its columns`: {"gone"},
	} {
		table.Key = key
		if _, err := stream.NewTable(table); err == nil || err.Error() != want {
			t.Errorf("key %v: got %v, want %s", key, err, want)
		}
	}
}

func TestEqualKeysHaveOneText(t *testing.T) {
	for typ, values := range map[string][]string{
		"integer":                     {`1`, `1.0`, `1E0`, `"1"`, `"+1"`, `"01"`, `10E-1`},
		"numeric":                     {`10`, `10.00`, `1E1`, `"1e+1"`, `"010."`},
		"double precision":            {`0.5`, `5e-1`, `".5"`, `0.50`},
		"uuid":                        {`"550e8400-e29b-41d4-a716-446655440000"`, `"550E8400E29B41D4A716446655440000"`},
		"character(5)":                {`"a"`, `"a    "`},
		"boolean":                     {`true`, `"t"`, `1`, `"TRUE"`},
		"bytea":                       {`"0xAB"`, `"ab"`, `"\\xaB"`},
		"timestamp with time zone":    {`"2020-01-01T00:00:00Z"`, `"2020-01-01 01:00:00+01"`, `"2019-12-31 19:00:00.000-0500"`},
		"timestamp without time zone": {`"2020-01-01T00:00:00Z"`, `"2020-01-01 00:00"`, `"2020-01-01 00:00:00.0"`},
		"text":                        {`"é/"`, `"\u00e9\/"`},
	} {
		_, want, err := convert(t, change.SourceDMS, typ, values[0])
		if err != nil {
			t.Errorf("%s %s: %v", typ, values[0], err)
		}
		for _, v := range values[1:] {
			if _, got, err := convert(t, change.SourceDMS, typ, v); err != nil || got != want {
				t.Errorf("%s: key of %s is %s (%v), of %s %s", typ, v, got, err, values[0], want)
			}
		}
	}
}

func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "4111-1111-1111-1111"
	for _, typ := range []string{"integer", "bigint", "numeric", "numeric(4,2)", "real", "boolean", "bytea", "uuid", "jsonb", "date", "timestamp with time zone", "time without time zone", "character varying(5)"} {
		if _, _, err := convert(t, change.SourceDMS, typ, `"`+secret+`"`); err == nil || strings.Contains(err.Error(), "4111") {
			t.Errorf("%s: %v", typ, err)
		}
	}
}
