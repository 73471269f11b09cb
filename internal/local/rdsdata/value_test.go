package rdsdata_test

import (
	"context"
	"math"
	"strings"
	"testing"

	awsrds "github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit/internal/local/rdsdata"
)

var fields = cmp.Options{
	cmpopts.IgnoreUnexported(types.FieldMemberLongValue{}, types.FieldMemberDoubleValue{}, types.FieldMemberStringValue{}, types.FieldMemberBooleanValue{},
		types.FieldMemberBlobValue{}, types.FieldMemberIsNull{}, types.FieldMemberArrayValue{}, types.ArrayValueMemberStringValues{},
		types.ArrayValueMemberLongValues{}, types.ArrayValueMemberBooleanValues{}, types.ArrayValueMemberDoubleValues{}, types.ColumnMetadata{}),
	cmpopts.EquateNaNs(),
}

func TestEveryTypeRoundTrips(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"')`, `CREATE DOMAIN amount AS numeric(10,2)`)
	long := func(n int64) types.Field { return &types.FieldMemberLongValue{Value: n} }
	double := func(f float64) types.Field { return &types.FieldMemberDoubleValue{Value: f} }
	boolean := func(b bool) types.Field { return &types.FieldMemberBooleanValue{Value: b} }
	blob := func(b ...byte) types.Field { return &types.FieldMemberBlobValue{Value: append([]byte{}, b...)} }
	null := func() types.Field { return &types.FieldMemberIsNull{Value: true} }
	strs := func(s ...string) types.Field {
		return &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberStringValues{Value: ptrs(s...)}}
	}
	for _, test := range []struct {
		typ, sql string // of the column; sql is the placeholder, "" is :v
		in       types.Field
		hint     types.TypeHint
		want     types.Field // nil is in
	}{
		{typ: "bool", in: boolean(true)},
		{typ: "bool", in: boolean(false)},
		{typ: "bool", in: null()},
		{typ: "bit(1)", sql: ":v::bit(1)", in: text("1"), want: boolean(true)},
		{typ: "int2", in: long(-32768)},
		{typ: "int4", in: long(math.MaxInt32)},
		{typ: "int8", in: long(math.MinInt64)},
		{typ: "int8", in: long(math.MaxInt64)},
		{typ: "float4", in: double(0.5)},
		{typ: "float8", in: double(0.1)},
		{typ: "float8", in: double(math.SmallestNonzeroFloat64)},
		{typ: "float8", in: double(math.MaxFloat64)},
		{typ: "float8", in: double(math.NaN())},
		{typ: "float8", in: double(math.Inf(1))},
		{typ: "float8", in: double(math.Inf(-1))},
		{typ: "float8", in: double(3)},
		{typ: "numeric", in: text("123456789012345678901234567890.0012300"), hint: types.TypeHintDecimal},
		{typ: "numeric", in: text("-1e3"), hint: types.TypeHintDecimal, want: text("-1000")},
		{typ: "amount", in: text("1.5"), hint: types.TypeHintDecimal, want: text("1.50")},
		{typ: "text", in: text("")},
		{typ: "text", in: text("né \U0001F426 <&> \u2028 \x01\t\n\\ ' \" $1 :v")},
		{typ: "varchar(3)", in: text("abc")},
		{typ: "char(5)", in: text("ab"), want: text("ab   ")},
		{typ: "name", in: text("ab")},
		{typ: "bytea", in: blob()},
		{typ: "bytea", in: blob(0, 1, 0xff, '\\')},
		{typ: "bytea", in: null()},
		{typ: "date", in: text("2024-02-29"), hint: types.TypeHintDate},
		{typ: "time", in: text("23:59:59.999"), hint: types.TypeHintTime},
		{typ: "timestamp", in: text("2026-01-02 03:04:05.678"), hint: types.TypeHintTimestamp},
		{typ: "timestamp", sql: ":v::timestamp", in: text("2026-01-02 03:04:05.678901")},
		{typ: "timestamptz", sql: ":v::timestamptz", in: text("2026-01-02T03:04:05.678901+05:30"), want: text("2026-01-01 21:34:05.678901")},
		{typ: "timestamptz", sql: ":v::timestamptz", in: text("0044-03-15 12:00:00+00 BC"), want: text("0044-03-15 12:00:00 BC")},
		{typ: "uuid", in: text("9f0c8a4e-0000-4000-8000-00000000000f"), hint: types.TypeHintUuid},
		{typ: "json", in: text(`{"a": 1.50, "a": null}`), hint: types.TypeHintJson},
		{typ: "jsonb", in: text(`{"b": 1, "a": 1.50}`), hint: types.TypeHintJson, want: text(`{"a": 1.50, "b": 1}`)},
		{typ: "inet", sql: ":v::inet", in: text("10.0.0.1")},
		{typ: "cidr", sql: ":v::cidr", in: text("10.0.0.0/8")},
		{typ: "mood", sql: ":v::mood", in: text(`it's "ok"`)},
		{typ: "text[]", sql: ":v::text[]", in: text(`{a,"b c","d\"\\e,",NULLx,"NULL",""}`), want: strs("a", "b c", `d"\e,`, "NULLx", "NULL", "")},
		{typ: "text[]", sql: ":v::text[]", in: text(`{}`), want: strs()},
		{typ: "int8[]", sql: ":v::int8[]", in: text(`[0:1]={1,-2}`), want: &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberLongValues{Value: ptrs[int64](1, -2)}}},
		{typ: "int4[]", sql: ":v::int4[]", in: text(`{NULL,7}`), want: &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberLongValues{Value: []*int64{nil, ptr[int64](7)}}}},
		{typ: "bool[]", sql: ":v::bool[]", in: text(`{t,f}`), want: &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberBooleanValues{Value: ptrs(true, false)}}},
		{typ: "float8[]", sql: ":v::float8[]", in: text(`{0.25,1e300}`), want: &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberDoubleValues{Value: ptrs[float64](0.25, 1e300)}}},
		{typ: "numeric[]", sql: ":v::numeric[]", in: text(`{1.50,2}`), want: strs("1.50", "2")},
		{typ: "uuid[]", sql: ":v::uuid[]", in: text(`{9f0c8a4e-0000-4000-8000-00000000000f}`), want: strs("9f0c8a4e-0000-4000-8000-00000000000f")},
		{typ: "date[]", sql: ":v::date[]", in: text(`{2024-02-29}`), want: strs("2024-02-29")},
		{typ: "timestamp[]", sql: ":v::timestamp[]", in: text(`{"2024-02-29 01:02:03"}`), want: strs("2024-02-29 01:02:03")},
	} {
		name := test.typ
		if test.sql == "" {
			test.sql = ":v"
		}
		if test.want == nil {
			test.want = test.in
		}
		a.must(`DROP TABLE IF EXISTS t`, `CREATE TABLE t (v `+test.typ+`)`)
		p := param("v", test.in)
		p.TypeHint = test.hint
		out, err := a.exec(`INSERT INTO t VALUES (`+test.sql+`) RETURNING v`, p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if out.NumberOfRecordsUpdated != 1 || len(out.GeneratedFields) != 0 {
			t.Errorf("%s: got %d records updated and fields %v, want 1 and none", name, out.NumberOfRecordsUpdated, out.GeneratedFields)
		}
		if diff := cmp.Diff([][]types.Field{{test.want}}, out.Records, fields); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A text where the column has another type must fail without hint or cast, as
// it does on Aurora.
func TestBindsAreStrict(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TABLE t (u uuid, ts timestamptz, j jsonb, n numeric, i int, b bytea, d date)`)
	for _, test := range []struct {
		sql   string
		p     types.SqlParameter
		code  string
		state string
	}{
		{`INSERT INTO t (u) VALUES (:v)`, param("v", text("9f0c8a4e-0000-4000-8000-00000000000f")), "DatabaseErrorException", "42804"},
		{`INSERT INTO t (ts) VALUES (:v)`, param("v", text("2026-01-02 03:04:05")), "DatabaseErrorException", "42804"},
		{`INSERT INTO t (j) VALUES (:v)`, param("v", text("{}")), "DatabaseErrorException", "42804"},
		{`INSERT INTO t (n) VALUES (:v)`, param("v", text("1")), "DatabaseErrorException", "42804"},
		{`INSERT INTO t (i) VALUES (:v)`, param("v", text("1")), "DatabaseErrorException", "42804"},
		{`INSERT INTO t (b) VALUES (:v)`, param("v", text("x")), "DatabaseErrorException", "42804"},
		{`INSERT INTO t (d) VALUES (:v)`, param("v", &types.FieldMemberLongValue{Value: 1}), "DatabaseErrorException", "42804"},
		{`SELECT 1 FROM t WHERE u = :v`, param("v", text("9f0c8a4e-0000-4000-8000-00000000000f")), "DatabaseErrorException", "42883"},
		{`INSERT INTO t (i) VALUES (:v)`, param("v", &types.FieldMemberLongValue{Value: 1 << 40}), "DatabaseErrorException", "22003"},
		{`INSERT INTO t (ts) VALUES (:v)`, hinted("v", "2026-01-02 03:04:05.1234", types.TypeHintTimestamp), "ValidationException", ""},
		{`INSERT INTO t (ts) VALUES (:v)`, hinted("v", "2026-01-02T03:04:05", types.TypeHintTimestamp), "ValidationException", ""},
		{`INSERT INTO t (ts) VALUES (:v)`, hinted("v", "2026-01-02 03:04:05Z", types.TypeHintTimestamp), "ValidationException", ""},
		{`INSERT INTO t (d) VALUES (:v)`, hinted("v", "2026-02-29", types.TypeHintDate), "ValidationException", ""},
		{`INSERT INTO t (d) VALUES (:v)`, hinted("v", "2026-2-9", types.TypeHintDate), "ValidationException", ""},
		{`SELECT :v`, hinted("v", "23:59:59.1234", types.TypeHintTime), "ValidationException", ""},
		{`SELECT :v`, hinted("v", "24:00:00", types.TypeHintTime), "ValidationException", ""},
		{`INSERT INTO t (n) VALUES (:v)`, hinted("v", "1,5", types.TypeHintDecimal), "ValidationException", ""},
		{`INSERT INTO t (j) VALUES (:v)`, hinted("v", "{", types.TypeHintJson), "ValidationException", ""},
		{`INSERT INTO t (u) VALUES (:v)`, hinted("v", "9f0c8a4e000040008000", types.TypeHintUuid), "ValidationException", ""},
		{`INSERT INTO t (u) VALUES (:v)`, hinted("v", "x", "UUIDS"), "ValidationException", ""},
		{`SELECT :v::text[]`, param("v", &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberStringValues{Value: ptrs("a")}}), "ValidationException", ""},
		{`SELECT :w`, param("v", text("x")), "ValidationException", ""},
		{`SELECT $1`, param("v", text("x")), "DatabaseErrorException", "42P02"},
		{`SELECT :v`, types.SqlParameter{Name: ptr("v")}, "ValidationException", ""},
		{`SELECT :v`, param("v", &types.FieldMemberIsNull{Value: false}), "ValidationException", ""},
		{`SELECT :v::text`, param("v", text("a\x00b")), "DatabaseErrorException", "22021"},
	} {
		_, err := a.exec(test.sql, test.p)
		if code(err) != test.code || !strings.Contains(err.Error(), test.state) || (test.state != "" && !strings.Contains(err.Error(), "SQLState: "+test.state)) {
			t.Errorf("%s with %v: got %v, want %s %s", test.sql, test.p.Value, err, test.code, test.state)
		}
	}
	if _, err := a.exec(`SELECT :v, :v`, param("v", text("1")), param("v", text("2"))); code(err) != "ValidationException" {
		t.Errorf("one name twice: got %v, want ValidationException", err)
	}
}

func ptrs[T any](v ...T) []*T {
	out := []*T{}
	for i := range v {
		out = append(out, &v[i])
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func TestUnsupportedResultTypes(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TYPE pair AS (a int, b text)`)
	for _, sql := range []string{
		`SELECT '1'::money`, `SELECT '(1,2)'::point`, `SELECT interval '1 day'`, `SELECT '{{1,2},{3,4}}'::int[]`, `SELECT '[0:0][1:1]={{1}}'::int[]`,
		`SELECT ROW(1, 'x')::pair`, `SELECT int4range(1, 2)`, `SELECT '{}'::jsonb[]`, `SELECT '101'::bit(3)`, `SELECT 1::oid`,
	} {
		_, err := a.exec(sql)
		if code(err) != "UnsupportedResultException" {
			t.Errorf("%s: got %v, want UnsupportedResultException", sql, err)
		}
		if _, err := a.exec(sql + `::text`); err != nil {
			t.Errorf("%s::text: %v", sql, err)
		}
	}
}

func TestResultOptions(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	in := a.input(`SELECT 12::int8 AS l, 3::int2 AS s, 1.50::numeric AS d, 7::numeric AS w, 12345678901234567890::numeric AS h, '{1.5,2}'::numeric[] AS a, '{1,2}'::int4[] AS i`)
	in.ResultSetOptions = &types.ResultSetOptions{DecimalReturnType: types.DecimalReturnTypeDoubleOrLong, LongReturnType: types.LongReturnTypeString}
	out, err := a.client.ExecuteStatement(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]types.Field{{
		text("12"), text("3"), &types.FieldMemberDoubleValue{Value: 1.5}, &types.FieldMemberLongValue{Value: 7}, &types.FieldMemberDoubleValue{Value: 12345678901234567890},
		&types.FieldMemberArrayValue{Value: &types.ArrayValueMemberDoubleValues{Value: ptrs[float64](1.5, 2)}},
		&types.FieldMemberArrayValue{Value: &types.ArrayValueMemberStringValues{Value: ptrs("1", "2")}},
	}}
	if diff := cmp.Diff(want, out.Records, fields); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if out.ColumnMetadata != nil {
		t.Errorf("got metadata %v, want none unless asked for", out.ColumnMetadata)
	}
	in.FormatRecordsAs = types.RecordsFormatTypeJson
	if out, err = a.client.ExecuteStatement(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	const formatted = `[{"l":"12","s":"3","d":1.5,"w":7,"h":12345678901234567000,"a":[1.5,2],"i":["1","2"]}]`
	if out.FormattedRecords == nil || *out.FormattedRecords != formatted {
		t.Errorf("got %v, want %s", deref(out.FormattedRecords), formatted)
	}
}

func deref(s *string) string {
	if s == nil {
		return "nil"
	}
	return *s
}

func TestFormattedRecordsKeepColumnOrder(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	format := func(sql string) (*awsrds.ExecuteStatementOutput, error) {
		in := a.input(sql)
		in.FormatRecordsAs, in.IncludeResultMetadata = types.RecordsFormatTypeJson, true
		return a.client.ExecuteStatement(context.Background(), in)
	}
	out, err := format(`SELECT 9007199254740993 AS "z<", 1.50 AS y, NULL AS "x""", '\x00ff'::bytea AS w, '{"b":1}'::jsonb AS v, '{1,NULL}'::int[] AS u, true AS t, 'NaN'::float8 AS s
		UNION ALL SELECT 1, 2, 'n', '', '[]', '{}', false, 0.5`)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"z<":9007199254740993,"y":"1.50","x\"":null,"w":"AP8=","v":"{\"b\": 1}","u":[1,null],"t":true,"s":"NaN"},` +
		`{"z<":1,"y":"2","x\"":"n","w":"","v":"[]","u":[],"t":false,"s":0.5}]`
	if got := deref(out.FormattedRecords); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if out.Records != nil || out.ColumnMetadata != nil {
		t.Errorf("got records %v and metadata %v, want neither", out.Records, out.ColumnMetadata)
	}
	if out, err = format(`SELECT 1 AS a WHERE false`); err != nil || deref(out.FormattedRecords) != "[]" {
		t.Errorf("no rows: got %v, %v, want []", out, err)
	}
	if _, err := format(`SELECT 1 AS a, 2 AS a`); code(err) != "BadRequestException" {
		t.Errorf("one label twice: got %v, want BadRequestException", err)
	}
	a.must(`CREATE TABLE t (a int)`)
	if out, err = format(`INSERT INTO t VALUES (1) RETURNING a`); err != nil || out.FormattedRecords != nil || len(out.Records) != 1 {
		t.Errorf("not a SELECT: got %+v, %v, want plain records", out, err)
	}
}

func TestColumnMetadata(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE SCHEMA dmv`, `CREATE TABLE dmv.person (id serial PRIMARY KEY, name varchar(20), pay numeric(10,2) NOT NULL, tags text[])`)
	in := a.input(`SELECT id AS key, name, pay, tags, 1.5::float8 AS f, now()::date FROM dmv.person`)
	in.IncludeResultMetadata = true
	out, err := a.client.ExecuteStatement(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Records) != 0 {
		t.Errorf("got %d records, want 0", len(out.Records))
	}
	column := func(label, name, schema, table, typeName string, typ, base, nullable, precision, scale int32, auto, signed, cased bool) types.ColumnMetadata {
		return types.ColumnMetadata{
			Label: &label, Name: &name, SchemaName: &schema, TableName: &table, TypeName: &typeName, Type: typ, ArrayBaseColumnType: base,
			Nullable: nullable, Precision: precision, Scale: scale, IsAutoIncrement: auto, IsSigned: signed, IsCaseSensitive: cased,
		}
	}
	const unbounded = 1<<31 - 1
	want := []types.ColumnMetadata{
		column("key", "id", "dmv", "person", "serial", 4, 0, 0, 10, 0, true, true, false),
		column("name", "name", "dmv", "person", "varchar", 12, 0, 1, 20, 0, false, false, true),
		column("pay", "pay", "dmv", "person", "numeric", 2, 0, 0, 10, 2, false, true, false),
		column("tags", "tags", "dmv", "person", "_text", 2003, 12, 1, unbounded, 0, false, false, true),
		column("f", "f", "", "", "float8", 8, 0, 2, 17, 17, false, true, false),
		column("now", "now", "", "", "date", 91, 0, 2, 13, 0, false, false, false),
	}
	if diff := cmp.Diff(want, out.ColumnMetadata, fields); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
