package stream_test

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/stream"
)

// decode reads one message.
func decode(t testing.TB, data string) (stream.Event, error) {
	t.Helper()
	return stream.NewDecoder(nil).Decode(stream.Message{Data: []byte(data)})
}

// convert returns the row of an insert into a table of a key and one column.
func convert(t testing.TB, source, typ, value string) (row, key string, err error) {
	t.Helper()
	data := fmt.Sprintf(`{"type":"full","op":"c","before":null,"after":{"v":%s,"id":1},"source":{"ts_ns":1,"txId":"a","schema":"s","table":"t"}}`, value)
	if source == change.SourceDMS {
		data = fmt.Sprintf(`{"data":{"v":%s,"id":1},"metadata":{"record-type":"data","operation":"load","schema-name":"s","table-name":"t"}}`, value)
	}
	event, err := decode(t, data)
	if err != nil {
		return "", "", err
	}
	column := change.RowColumn{Name: "v", Type: typ, Enum: typ == "mood"}
	table := change.RowTable{Schema: "s", Name: "t", Columns: []change.RowColumn{column, {Name: "id", Type: "integer"}}, Key: []string{"id"}}
	prepared, err := stream.NewTable(table)
	if err != nil {
		t.Fatal(err)
	}
	items, err := event.(*stream.Change).Rows(prepared)
	if err != nil {
		return "", "", err
	}
	table.Key = []string{"v"}
	if prepared, err := stream.NewTable(table); err == nil && value != "null" {
		keyed, err := event.(*stream.Change).Rows(prepared)
		if err != nil {
			t.Fatalf("a value that a column takes, a key does not: %v", err)
		}
		key = keyed[0].Key
	}
	row = strings.TrimSuffix(strings.TrimPrefix(string(items[0].Row), `{"v":`), `,"id":"1"}`)
	return row, key, nil
}

func TestValuesAreConvertedExactly(t *testing.T) {
	const dms, dsql = change.SourceDMS, change.SourceDSQL
	for _, c := range []struct{ source, typ, value, row, key string }{
		{dms, "integer", `42`, `"42"`, `["42"]`},
		{dms, "integer", `"42"`, `"42"`, `["42"]`},
		{dms, "integer", `-0`, `"0"`, `["0"]`},
		{dms, "integer", `4.2E+1`, `"42"`, `["42"]`},
		{dms, "integer", `42.00`, `"42"`, `["42"]`},
		{dms, "smallint", `-32768`, `"-32768"`, `["-32768"]`},
		{dms, "oid", `4294967295`, `"4294967295"`, `["4294967295"]`},
		{dms, "bigint", `9223372036854775807`, `"9223372036854775807"`, `["9223372036854775807"]`},
		{dms, "bigint", `-9223372036854775808`, `"-9223372036854775808"`, `["-9223372036854775808"]`},
		{dms, "bigint", `"9223372036854775807"`, `"9223372036854775807"`, `["9223372036854775807"]`},
		{dms, "bigint", `9.007199254740992E+15`, `"9007199254740992"`, `["9007199254740992"]`},
		{dms, "bigint", `1E+3`, `"1000"`, `["1000"]`},
		{dms, "bigint", `1.234567890123456789E+18`, `"1234567890123456789"`, `["1234567890123456789"]`}, // no float64 is this
		{dsql, "bigint", `9223372036854775807`, `"9223372036854775807"`, `["9223372036854775807"]`},

		{dms, "numeric(12,2)", `29.99`, `"29.99"`, `["29.99"]`},
		{dms, "numeric(12,2)", `"29.990"`, `"29.990"`, `["29.99"]`},
		{dms, "numeric", `12345678901234567890.123456789`, `"12345678901234567890.123456789"`, `["12345678901234567890.123456789"]`},
		{dms, "numeric", `1.5E+20`, `"1.5E+20"`, `["150000000000000000000"]`},
		{dms, "numeric", `-0.00`, `"-0.00"`, `["0"]`},
		{dms, "numeric", `1E-5`, `"1E-5"`, `["0.00001"]`},
		{dms, "numeric(5,-2)", `1200`, `"1200"`, `["1200"]`},
		{dms, "numeric", `"NaN"`, `"NaN"`, `["NaN"]`},
		{dsql, "numeric(18,6)", `"123.450000"`, `"123.450000"`, `["123.45"]`},
		{dsql, "numeric", `"-Infinity"`, `"-Infinity"`, `["-Infinity"]`},
		{dms, "money", `12.5000`, `"12.5000"`, ``},
		{dms, "money", `"$1,000.50"`, `"$1,000.50"`, ``},

		{dms, "real", `3.14159`, `"3.14159"`, `["3.14159"]`},
		{dms, "real", `0.10000000149011612`, `"0.10000000149011612"`, `["0.1"]`}, // a real, written as a double
		{dms, "double precision", `1.7976931348623157e+308`, `"1.7976931348623157e+308"`, `["1.7976931348623157e+308"]`},
		{dms, "double precision", `0.1000000000000000055511151231257827021181583404541015625`, `"0.1000000000000000055511151231257827021181583404541015625"`, `["0.1"]`},
		{dms, "double precision", `-0.0`, `"-0.0"`, `["0"]`},
		{dsql, "real", `"Infinity"`, `"Infinity"`, `["+Inf"]`},
		{dsql, "double precision", `"NaN"`, `"NaN"`, `["NaN"]`},

		{dms, "boolean", `true`, `"true"`, `["true"]`},
		{dms, "boolean", `"t"`, `"true"`, `["true"]`},
		{dms, "boolean", `"False"`, `"false"`, `["false"]`},
		{dms, "boolean", `0`, `"false"`, `["false"]`},
		{dms, "boolean", `"1"`, `"true"`, `["true"]`},
		{dsql, "boolean", `false`, `"false"`, `["false"]`},

		{dms, "text", `"a\"\\\/\b\f\n\r\té😀\ud83d\ude00"`, `"a\"\\/\u0008\u000c\n\r\té😀😀"`, `["a\"\\/\u0008\u000c\n\r\té😀😀"]`},
		{dms, "text", `""`, `""`, `[""]`},
		{dms, "text", `"\\u0000"`, `"\\u0000"`, `["\\u0000"]`}, // an escaped backslash, not NUL
		{dms, "character varying(3)", `"äöü"`, `"äöü"`, `["äöü"]`},
		{dms, "character(3)", `"ab     "`, `"ab     "`, `["ab"]`},
		{dsql, "bpchar", `"abc  "`, `"abc  "`, `["abc"]`},
		{dsql, "character(3)", `"ab"`, `"ab"`, `["ab"]`},
		{dms, "mood", `"happy"`, `"happy"`, `["happy"]`},
		{dms, "text", `null`, `null`, ``},

		{dms, "bytea", `"0xDEADbeef"`, `"\\xdeadbeef"`, `["\\xdeadbeef"]`},
		{dms, "bytea", `"deadbeef"`, `"\\xdeadbeef"`, `["\\xdeadbeef"]`},
		{dms, "bytea", `"\\xdeadbeef"`, `"\\xdeadbeef"`, `["\\xdeadbeef"]`},
		{dms, "bytea", `""`, `"\\x"`, `["\\x"]`},
		{dms, "bytea", `"0x"`, `"\\x"`, `["\\x"]`},
		{dsql, "bytea", `"3q2+7w=="`, `"\\xdeadbeef"`, `["\\xdeadbeef"]`},
		{dsql, "bytea", `""`, `"\\x"`, `["\\x"]`},

		{dms, "uuid", `"550E8400-E29B-41D4-A716-446655440000"`, `"550e8400-e29b-41d4-a716-446655440000"`, `["550e8400-e29b-41d4-a716-446655440000"]`},
		{dms, "uuid", `"{550e8400e29b41d4a716446655440000}"`, `"550e8400-e29b-41d4-a716-446655440000"`, `["550e8400-e29b-41d4-a716-446655440000"]`},

		{dms, "json", `" {\"b\": 1,  \"b\":1e3} "`, `" {\"b\": 1,  \"b\":1e3} "`, ``},
		{dms, "jsonb", `{"a":[1,2]}`, `"{\"a\":[1,2]}"`, ``},
		{dms, "jsonb", `"\"text\""`, `"\"text\""`, ``},
		{dms, "jsonb", `"null"`, `"null"`, ``}, // JSON's, not SQL's
		{dms, "jsonb", `null`, `null`, ``},
		{dms, "jsonb", `"{\"a\":\"\\\\u0000\"}"`, `"{\"a\":\"\\\\u0000\"}"`, ``},
		{dms, "jsonb", `{"a":"\ud83d\ude00\\u0000"}`, `"{\"a\":\"\\ud83d\\ude00\\\\u0000\"}"`, ``},
		{dms, "json", `"{\"a\":\"\\u0000\"}"`, `"{\"a\":\"\\u0000\"}"`, ``},
		{dsql, "json", `"{\"key\": \"value\"}"`, `"{\"key\": \"value\"}"`, ``},

		{dms, "date", `"2024-02-29"`, `"2024-02-29"`, `["2024-02-29"]`},
		{dms, "date", `"2024-02-29T00:00:00Z"`, `"2024-02-29"`, `["2024-02-29"]`},
		{dms, "date", `"0044-03-15 BC"`, `"0044-03-15 BC"`, `["0044-03-15 BC"]`},
		{dms, "date", `"5874897-12-31"`, `"5874897-12-31"`, `["5874897-12-31"]`},
		{dms, "date", `"-infinity"`, `"-infinity"`, `["-infinity"]`},
		{dsql, "date", `19797`, `"2024-03-15"`, `["2024-03-15"]`},
		{dsql, "date", `-1`, `"1969-12-31"`, `["1969-12-31"]`},
		{dsql, "date", `2147494604`, `"infinity"`, `["infinity"]`},
		{dsql, "date", `-2147472691`, `"-infinity"`, `["-infinity"]`},
		{dsql, "date", `-2440588`, `"4714-11-24 BC"`, `["4714-11-24 BC"]`},

		{dms, "time without time zone", `"10:11:12.500000"`, `"10:11:12.5"`, `["10:11:12.5"]`},
		{dms, "time without time zone", `"24:00:00"`, `"24:00:00"`, `["24:00:00"]`},
		{dms, "time(3) without time zone", `"10:11:12.123"`, `"10:11:12.123"`, `["10:11:12.123"]`},
		{dsql, "time without time zone", `52200123456`, `"14:30:00.123456"`, `["14:30:00.123456"]`},
		{dsql, "time without time zone", `86400000000`, `"24:00:00"`, `["24:00:00"]`},

		{dms, "timestamp without time zone", `"2020-01-09T04:13:38Z"`, `"2020-01-09 04:13:38"`, `["2020-01-09 04:13:38"]`},
		{dms, "timestamp without time zone", `"2020-01-09 04:13:38.123456000"`, `"2020-01-09 04:13:38.123456"`, `["2020-01-09 04:13:38.123456"]`},
		{dms, "timestamp without time zone", `"0001-12-31 00:00:00 BC"`, `"0001-12-31 00:00:00 BC"`, `["0001-12-31 00:00:00 BC"]`},
		{dms, "timestamp without time zone", `"infinity"`, `"infinity"`, `["infinity"]`},
		{dms, "timestamp(0) without time zone", `"2020-01-09T04:13:38.000Z"`, `"2020-01-09 04:13:38"`, `["2020-01-09 04:13:38"]`},
		{dms, "timestamp with time zone", `"2020-01-09T04:13:38Z"`, `"2020-01-09 04:13:38+00"`, `["2020-01-09 04:13:38+00"]`},
		{dms, "timestamp with time zone", `"2020-01-01 00:13:38+05:30"`, `"2019-12-31 18:43:38+00"`, `["2019-12-31 18:43:38+00"]`},
		{dms, "timestamp with time zone", `"2019-12-31 23:13:38.5-01"`, `"2020-01-01 00:13:38.5+00"`, `["2020-01-01 00:13:38.5+00"]`},
		{dsql, "timestamp without time zone", `1710510600123456`, `"2024-03-15 13:50:00.123456"`, `["2024-03-15 13:50:00.123456"]`},
		{dsql, "timestamp with time zone", `-1`, `"1969-12-31 23:59:59.999999+00"`, `["1969-12-31 23:59:59.999999+00"]`},
		{dsql, "timestamp with time zone", `9223372036825200000`, `"infinity"`, `["infinity"]`},
		{dsql, "timestamp without time zone", `-9223372036832400000`, `"-infinity"`, `["-infinity"]`},

		{dms, "integer[]", `"{1,2,NULL}"`, `"{1,2,NULL}"`, ``},
		{dms, "text[]", `"{\"a b\",\"\\\"\"}"`, `"{\"a b\",\"\\\"\"}"`, ``},
		{dms, "inet", `"10.0.0.1/8"`, `"10.0.0.1/8"`, ``},
		{dms, "interval", `"1 YEAR, 2 MONTHS, 3 DAYS, 4 HOURS, 5 MINUTES, 6.5 SECONDS"`, `"1 YEAR, 2 MONTHS, 3 DAYS, 4 HOURS, 5 MINUTES, 6.5 SECONDS"`, ``},
		{dms, "time with time zone", `"10:11:12+02"`, `"10:11:12+02"`, ``},
		{dms, "int4range", `"[1,5)"`, `"[1,5)"`, ``},
		{dms, "bit(3)", `"101"`, `"101"`, ``},
	} {
		row, key, err := convert(t, c.source, c.typ, c.value)
		if err != nil || row != c.row || key != c.key {
			t.Errorf("%s %s %s: row %s, key %s, error %v; want %s, %s", c.source, c.typ, c.value, row, key, err, c.row, c.key)
		}
	}
}

func TestLargeValuesAreCarriedWhole(t *testing.T) {
	for source, size := range map[string]int{change.SourceDMS: 1<<20 - 1, change.SourceDSQL: 3 << 20} {
		value := `"` + strings.Repeat("é", size/2) + `"`
		if row, _, err := convert(t, source, "text", value); err != nil || row != value {
			t.Errorf("%s: %d bytes, %v", source, len(row), err)
		}
	}
	if row, _, err := convert(t, change.SourceDMS, "bytea", `"0x`+strings.Repeat("ab", 1<<20-1)+`"`); err != nil || len(row) != 2+3+2*(1<<20-1) {
		t.Errorf("bytea: %d bytes, %v", len(row), err)
	}
}

func TestValuesThatWouldChangeAreRefused(t *testing.T) {
	const dms, dsql = change.SourceDMS, change.SourceDSQL
	for _, c := range []struct{ source, typ, value, want string }{
		{dms, "bigint", `1.2345678901234567E+18`, "is in scientific notation, and digits of it may be lost: set UseLargeIntegerValue in the KinesisSettings of the DMS target endpoint, or make the column a string by a transformation rule (change-data-type) of the DMS task"},
		{dms, "bigint", `1.234567890123456768E+18`, "is in scientific notation, and digits"}, // the exact value of a float64
		{dms, "bigint", `1E+16`, "is in scientific notation, and digits"},
		{dms, "bigint", `5E+15`, "is in scientific notation, and digits"},
		{dms, "bigint", `9223372036854775808`, "is outside the range of bigint"},
		{dms, "integer", `2147483648`, "is outside the range of integer"},
		{dms, "integer", `1E+300`, "is outside the range of integer"},
		{dms, "smallint", `-32769`, "is outside the range of smallint"},
		{dms, "oid", `-1`, "is outside the range of oid"},
		{dms, "integer", `1.5`, "has digits behind the decimal point, which integer has not"},
		{dms, "integer", `"x"`, "is no number"},
		{dms, "integer", `""`, "is no number"},
		{dms, "integer", `true`, "is a boolean of JSON, which is not taken for integer: does the column have another type in the source?"},
		{dms, "numeric(12,2)", `29.999`, "has 3 digits behind the decimal point, more than numeric(12,2) holds"},
		{dms, "numeric(5,-2)", `1250`, "has -1 digits behind the decimal point, more than numeric(5,-2) holds"},
		{dms, "numeric(4,2)", `100`, "is outside the range of numeric(4,2)"},
		{dms, "numeric", `1.2345678901234567E+30`, "is in scientific notation, and digits"},
		{dms, "numeric", `"1e999999"`, "is outside the range of numeric"},
		{dms, "numeric", `"1e99999999999"`, "is no number"},
		{dms, "numeric", `{}`, "is an object of JSON"},
		{dms, "real", `0.1234567890123`, "has more digits than real holds"},
		{dms, "real", `1e39`, "is outside the range of real"},
		{dms, "double precision", `1e-400`, "is outside the range of double precision"},
		{dms, "double precision", `0.123456789012345678901`, "has more digits than double precision holds"},
		{dms, "double precision", `"nan"`, "is no number"},
		{dms, "money", `12.505`, "has 3 digits behind the decimal point, more than money holds"},
		{dms, "boolean", `2`, "is no boolean: not one of true, false, t, f, 1 and 0"},
		{dms, "boolean", `"maybe"`, "is no boolean"},
		{dms, "text", `5`, "is a number of JSON, which is not taken for text"},
		{dms, "text", `"a\u0000b"`, `has the character NUL (\u0000), which PostgreSQL's text cannot hold: remove it in the source`},
		{dms, "text", `"\ud83d"`, "has half of a surrogate pair, which is no character"},
		{dms, "text", `"\ude00\ud83d"`, "has half of a surrogate pair"},
		{dms, "text", `"\ud83dA"`, "has half of a surrogate pair"},
		{dms, "text", `"` + strings.Repeat("x", 1<<20) + `"`, "has 1 MiB or more, where AWS DMS cuts large values off (LobMaxSize) without a word: copy the row by hand, and keep values of that size on S3"},
		{dms, "bytea", `"0x` + strings.Repeat("ab", 1<<20) + `"`, "has 1 MiB or more"},
		{dms, "jsonb", `"\"` + strings.Repeat("x", 1<<20) + `\""`, "has 1 MiB or more"},
		{dms, "character varying(3)", `"abcd"`, "has 4 characters, more than character varying(3) holds"},
		{dms, "character varying(3)", `"abc "`, "has 4 characters, more than character varying(3) holds"}, // PostgreSQL would cut the space
		{dms, "character(3)", `"abcd"`, "has 4 characters"},
		{dms, "mood", `1`, "is a number of JSON"},
		{dms, "bytea", `"0xabc"`, "is bytea, but not hexadecimal as DMS writes it, with 0x or without"},
		{dms, "bytea", `"3q2+7w=="`, "is bytea, but not hexadecimal"},
		{dsql, "bytea", `"0xdeadbeef"`, "is bytea, but not base64 as Aurora DSQL writes it"},
		{dms, "uuid", `"550e8400-e29b-41d4-a716"`, "is no uuid"},
		{dms, "uuid", `"550e840-0e29b-41d4-a716-446655440000"`, "is no uuid"},
		{dms, "json", `"{"`, "is a string that holds no JSON"},
		{dms, "jsonb", `"{\"a\":\"\\u0000\"}"`, `has the character NUL (\u0000), which PostgreSQL's text cannot hold`},
		{dms, "jsonb", `{"a":"\\\u0000"}`, `has the character NUL (\u0000)`},
		{dms, "jsonb", `{"a":"\ud83d\u0041"}`, "has half of a surrogate pair"},
		{dms, "jsonb", `{"a":"\ud83d"}`, "has half of a surrogate pair"},
		{dms, "jsonb", `{"a":"\ude00"}`, "has half of a surrogate pair"},
		{dsql, "json", `{}`, "is an object of JSON, which is not taken for json"},
		{dms, "date", `"2023-02-29"`, "is no date as DMS writes it"},
		{dms, "date", `"2024-02-29T10:00:00Z"`, "has a time of day, which date has not"},
		{dms, "date", `19797`, "is a number of JSON"},
		{dms, "date", `"0000-01-01"`, "is no date as DMS writes it"},
		{dms, "date", `"4714-11-23 BC"`, "is outside the range of date"},
		{dsql, "date", `"2024-02-29"`, "is a string of JSON"},
		{dsql, "date", `2147483647`, "is outside the range of date"},
		{dsql, "date", `1.5`, "is no whole number"},
		{dms, "time without time zone", `"25:00:00"`, "is no time without time zone as DMS writes it"},
		{dms, "time without time zone", `"24:00:01"`, "is no time without time zone as DMS writes it"},
		{dms, "time without time zone", `"infinity"`, "is no time without time zone as DMS writes it"},
		{dsql, "time without time zone", `86400000001`, "is no time of day"},
		{dms, "timestamp without time zone", `"2020-01-09T04:13:38+02"`, "has an offset from UTC, which timestamp without time zone has not"},
		{dms, "timestamp without time zone", `"2020-01-09T04:13:38.1234567Z"`, "has a finer fraction of a second than microseconds"},
		{dms, "timestamp(3) without time zone", `"2020-01-09T04:13:38.1234Z"`, "has a finer fraction of a second than timestamp(3) without time zone holds"},
		{dms, "timestamp without time zone", `"2020-01-09"`, "is no timestamp without time zone as DMS writes it"},
		{dms, "timestamp without time zone", `"2020-01-09T04:13:60Z"`, "is no timestamp without time zone as DMS writes it"},
		{dms, "timestamp without time zone", `"2020-01-09T04:13:38Z BC BC"`, "is no timestamp without time zone as DMS writes it"},
		{dms, "timestamp with time zone", `"2020-01-09T04:13:38"`, "has no time zone, so which instant it is cannot be told: make it UTC in the source, or use timestamp"},
		{dsql, "interval", `2802603000000`, "is an interval, of which Aurora DSQL's change stream has an approximation only (a month counts as 30.4375 days): store a number of seconds in the source instead"},
		{dsql, "time with time zone", `52200123456`, "is a time with time zone, of which Aurora DSQL's change stream has lost the zone: store a time, or a timestamp with time zone, in the source instead"},
		{dms, "integer[]", `[1,2]`, "is an array of JSON"},
	} {
		row, _, err := convert(t, c.source, c.typ, c.value)
		where := fmt.Sprintf(`read %s message, `, c.source)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), ` of s.t, column "v": `+c.want) {
			t.Errorf("%s %s %.80s: row %s, error %v; want %s", c.source, c.typ, c.value, row, err, c.want)
		}
	}
}
