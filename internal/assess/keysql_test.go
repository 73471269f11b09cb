package assess_test

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/assess"
	"godwit/internal/change"
	"godwit/internal/testdb"
)

// keyValues are values of every type that a UUID may be made of, each with its
// canonical text: what change.KeyUUID is given.
var keyValues = []struct {
	typ    string
	values [][2]string // as SQL, canonical
}{
	{"smallint", [][2]string{{"-32768", "-32768"}, {"0", "0"}}},
	{"integer", [][2]string{{"7", "7"}}},
	{"bigint", [][2]string{{"9223372036854775807", "9223372036854775807"}}},
	{"numeric", [][2]string{{"5.00", "5"}, {"500", "500"}, {"-0.0", "0"}, {"0.0", "0"}, {"-1.50", "-1.5"}, {"1e20", "100000000000000000000"}, {"'NaN'", "NaN"}, {"'-Infinity'", "-Infinity"}, {"1000.0010", "1000.001"}}},
	{"numeric(12,4)", [][2]string{{"3", "3"}, {"10", "10"}}},
	{"numeric(5,-2)", [][2]string{{"1200", "1200"}}},
	{"text", [][2]string{{"''", ""}, {"'a b '", "a b "}, {"E'ü\\n\\\\'", "ü\n\\"}}},
	{"character varying(9)", [][2]string{{"'x '", "x "}}},
	{"character(5)", [][2]string{{"'x'", "x"}, {"''", ""}, {"'ü  y'", "ü  y"}}},
	{"bpchar", [][2]string{{"'x  '", "x"}}},
	{"name", [][2]string{{"'N'", "N"}}},
	{"uuid", [][2]string{{"'0F8FAD5B-d9cb-469f-a165-70867728950e'", "0f8fad5b-d9cb-469f-a165-70867728950e"}}},
	{"boolean", [][2]string{{"true", "true"}, {"false", "false"}}},
	{"date", [][2]string{{"'2020-02-29'", "2020-02-29"}, {"'0044-03-15 BC'", "0044-03-15 BC"}, {"'infinity'", "infinity"}, {"'12345-01-01'", "12345-01-01"}}},
	{"time without time zone", [][2]string{{"'01:02:03.5'", "01:02:03.5"}, {"'24:00'", "24:00:00"}}},
	{"timestamp without time zone", [][2]string{{"'2020-02-29 01:02:03.4'", "2020-02-29 01:02:03.4"}, {"'0044-03-15 BC'", "0044-03-15 00:00:00 BC"}, {"'-infinity'", "-infinity"}}},
	{"timestamp(0) without time zone", [][2]string{{"'2020-02-29 01:02:03'", "2020-02-29 01:02:03"}}},
	{"timestamp with time zone", [][2]string{
		{"'2020-02-29 01:02:03.4+02'", "2020-02-28 23:02:03.4+00"},
		{"'0044-03-15 00:00:00+00 BC'", "0044-03-15 00:00:00+00 BC"},
		{"'infinity'", "infinity"},
		{"'-infinity'", "-infinity"},
		{"'12345-01-01 00:00:00+00'", "12345-01-01 00:00:00+00"},
	}},
	{"app.mood", [][2]string{{"'it''s ok'", "it's ok"}}},
}

// The rule that is handed to programs makes the UUIDs that a load makes, whatever
// a session's settings are.
func TestKeySQLIsKeyUUID(t *testing.T) {
	db := testdb.New(t)
	c := testdb.Connect(t, db.SuperuserDSN)
	exec(t, c, `CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('it''s ok')`)
	for _, settings := range []string{"", "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'; SET standard_conforming_strings = off; SET IntervalStyle = iso_8601; SET bytea_output = escape", "SET DateStyle = 'German'; SET TimeZone = 'America/St_Johns'"} {
		for i, k := range keyValues {
			for j, v := range k.values {
				name := change.TableName{Schema: `s"\'`, Name: fmt.Sprintf("t%d", i)}
				plan := &change.TablePlan{
					Source: name, Key: []string{"id"},
					Columns: []change.ColumnPlan{
						{Name: "other", Type: "text", From: []change.SourceColumn{{Name: "other", Type: "text"}}, As: change.Conversion{Kind: change.AsIs}},
						{
							Name: "id", Type: "uuid", As: change.Conversion{Kind: change.AsUUID, Namespace: "näme 's", Of: name},
							From: []change.SourceColumn{{Name: `the "key`, Type: k.typ, Enum: k.typ == "app.mood"}, {Name: "n", Type: "integer"}},
						},
					},
				}
				want := string(change.KeyUUID(nil, "näme 's", name, []byte(v[1]), []byte("42")))
				var got string
				exec(t, c, "RESET ALL; SET TimeZone = 'UTC'; CREATE TEMP TABLE k AS SELECT ("+v[0]+")::"+k.typ+` AS "the ""key", 42 AS n; `+settings)
				if err := c.QueryRow(t.Context(), "SELECT ("+assess.KeySQL(plan)+")::text FROM k").Scan(&got); err != nil {
					t.Fatalf("%s %s: %v", k.typ, v[0], err)
				}
				if got != want {
					t.Errorf("%s %s (value %d) under %q: got %s, want %s", k.typ, v[0], j, settings, got, want)
				}
				exec(t, c, "DROP TABLE k")
			}
		}
	}
	var null *string
	plan := &change.TablePlan{Key: []string{"id"}, Columns: []change.ColumnPlan{{Name: "id", Type: "uuid", As: change.Conversion{Kind: change.AsUUID}, From: []change.SourceColumn{{Name: "a", Type: "numeric"}, {Name: "b", Type: "text"}}}}}
	if err := c.QueryRow(t.Context(), "SELECT ("+assess.KeySQL(plan)+")::text FROM (SELECT 1::numeric AS a, NULL::text AS b) k").Scan(&null); err != nil || null != nil {
		t.Errorf("got %v, %v of a key of which a column is NULL, want NULL", null, err)
	}
}

// Every type that a decision makes UUIDs of is tested above, and no other is.
func TestOnlyTypesWithOneTextBecomeUUIDs(t *testing.T) {
	db := testdb.New(t)
	c := testdb.Connect(t, db.SuperuserDSN)
	exec(t, c, `CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('a')`)
	tested := map[string]bool{}
	for i, k := range keyValues {
		tested[strings.Split(k.typ, "(")[0]] = true
		exec(t, c, fmt.Sprintf("CREATE TABLE app.t%d (id %s PRIMARY KEY)", i, k.typ))
	}
	d := decide(t, "aurora-dsql", catalogOf(t, c), `{"version":1,"from":"postgresql","keys":"uuid"}`)
	if len(d.Refused()) > 0 {
		t.Errorf("got %+v refused", d.Refused())
	}
	for _, typ := range []string{"real", "double precision", "interval", "time with time zone", "bytea", "inet", "money", "bit(3)", "jsonb", "int4range", "text[]", "oid"} {
		exec(t, c, fmt.Sprintf(`DROP SCHEMA app CASCADE; CREATE SCHEMA app; CREATE TABLE app.t (id %s PRIMARY KEY)`, typ))
		d := decide(t, "aurora-postgresql-16", catalogOf(t, c), `{"version":1,"from":"postgresql","keys":"uuid"}`)
		if len(d.Refused()) == 0 {
			t.Errorf("a key of type %s becomes a UUID", typ)
		}
	}
}

func TestKeySQLIsOfKeysThatBecomeUUIDsOnly(t *testing.T) {
	for _, p := range []change.TablePlan{
		{},
		{Key: []string{"a", "b"}},
		{Key: []string{"a"}},
		{Key: []string{"a"}, Columns: []change.ColumnPlan{{Name: "a", Type: "integer", As: change.Conversion{Kind: change.AsIs}}}},
	} {
		if got := assess.KeySQL(&p); got != "" {
			t.Errorf("got %s of %+v, want nothing", got, p)
		}
	}
}
