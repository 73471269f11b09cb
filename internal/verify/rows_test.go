package verify_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/testdb"
	"godwit/internal/verify"
)

// typed are columns of the types that are compared by more than their text, and of
// some that are not, with values as SQL writes them.
var typed = []struct {
	typ    string
	values []string
}{
	{"bigint", []string{"0", "-1", "9223372036854775807", "-9223372036854775808"}},
	{"integer", []string{"0", "42", "-2147483648"}},
	{"smallint", []string{"7", "-32768"}},
	{"numeric", []string{"0", "0.00", "-0.50", "1.50", "1500", "100.000", "'NaN'", "'Infinity'", "123456789012345678901234567890.123456789"}},
	{"numeric(12,2)", []string{"1.5", "-0.01", "1000"}},
	{"real", []string{"0", "'-0'", "1.1", "'NaN'", "'-Infinity'", "3.4028235e38", "1e-45"}},
	{"double precision", []string{"0", "'-0'", "0.1", "'NaN'", "'Infinity'", "1e300", "5e-324", "123456.789"}},
	{"boolean", []string{"true", "false"}},
	{"bytea", []string{`'\x'`, `'\x00ff10'`}},
	{"character(6)", []string{"'ab'", "''", "'abcdef'"}},
	{"character varying(10)", []string{"'ab '", "''", "'ä\\tö'"}},
	{"text", []string{"'N'", "'1:N'", "E'two\\nlines'", "''"}},
	{"date", []string{"'2024-02-29'", "'infinity'", "'0044-03-15 BC'"}},
	{"timestamp without time zone", []string{"'2024-01-01 12:00:00'", "'2024-01-01 12:00:00.5'", "'-infinity'", "'0044-03-15 01:02:03.000001 BC'"}},
	{"timestamp with time zone", []string{"'2024-01-01 12:00:00+02'", "'2024-01-01 00:30:00.25+05:30'", "'infinity'", "'0001-01-01 00:00:00+01'", "'0044-03-15 01:02:03 BC'"}},
	{"time without time zone", []string{"'12:00:00.120'", "'24:00:00'"}},
	{"time with time zone", []string{"'12:00:00.5+02'"}},
	{"interval", []string{"'1 year 2 mons -3 days 04:05:06.7'"}},
	{"uuid", []string{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}},
	{"json", []string{`'{"b": 1,  "a": 2}'`}},
	{"jsonb", []string{`'{"b": 1.50,  "a": [null]}'`}},
	{"integer[]", []string{"'{1,NULL,3}'", "'{}'"}},
	{"int4range", []string{"'[1,5)'", "'empty'"}},
	{"inet", []string{"'10.0.0.1/8'", "'10.0.0.1'", "'::1'"}},
	{"bpchar", []string{"'ab  '", "'ab'", "''"}},
}

// exported is a value as an export holds it: integers, floats and booleans as
// such, bytea as bytes, all else as PostgreSQL's text.
func exported(t *testing.T, typ string, text *string) change.Value {
	t.Helper()
	if text == nil {
		return change.Value{Kind: change.Null}
	}
	var v change.Value
	var err error
	switch typ {
	case "bigint", "integer", "smallint":
		v.Kind = change.Int
		v.Int, err = strconv.ParseInt(*text, 10, 64)
	case "real", "double precision":
		size := 64
		if typ == "real" {
			size = 32
		}
		var f float64
		f, err = strconv.ParseFloat(*text, size)
		v = change.Value{Kind: change.Float, Int: int64(math.Float64bits(f))}
	case "boolean":
		v.Kind = change.Bool
		if *text == "t" {
			v.Int = 1
		}
	case "bytea":
		v.Kind = change.Bytes
		v.Bytes, err = hex.DecodeString(strings.TrimPrefix(*text, `\x`))
	default:
		v = change.Value{Kind: change.Text, Bytes: []byte(*text)}
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// fill makes a table with a column of each type and random rows of the values.
func fill(t *testing.T, conn *pgx.Conn, seed uint64, key string) *change.TablePlan {
	t.Helper()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	plan := &change.TablePlan{Source: change.TableName{Schema: "public", Name: "All \"types\""}, Target: change.TableName{Schema: "public", Name: "all_types"}}
	definition := []string{"id " + key + " PRIMARY KEY"}
	add := func(name, typ string) {
		plan.Columns = append(plan.Columns, change.ColumnPlan{Name: name, Type: typ, From: []change.SourceColumn{{Name: name, Type: typ}}, As: change.Conversion{Kind: change.AsIs}})
	}
	add("id", key)
	plan.Key = []string{"id"}
	for i, c := range typed {
		name := fmt.Sprintf("c%d", i)
		add(name, c.typ)
		definition = append(definition, name+" "+c.typ)
	}
	exec(t, conn, "CREATE TABLE all_types ("+strings.Join(definition, ", ")+")")
	for i := range 300 {
		id := strconv.Itoa(i)
		if key == "uuid" {
			id = fmt.Sprintf("md5('%d')::uuid", i)
		}
		row := []string{id}
		for _, c := range typed {
			if chance.IntN(5) == 0 {
				row = append(row, "NULL")
			} else {
				row = append(row, c.values[chance.IntN(len(c.values))])
			}
		}
		exec(t, conn, "INSERT INTO all_types VALUES ("+strings.Join(row, ", ")+")")
	}
	return plan
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// printed visits the rows of a table as the texts that PostgreSQL prints, as an
// export has them.
func printed(t *testing.T, conn *pgx.Conn, columns []string, zone string, visit func([]*string)) {
	t.Helper()
	exec(t, conn, "SET timezone = '"+zone+"'")
	list := make([]string, len(columns))
	for i, c := range columns {
		name := pgx.Identifier{c}.Sanitize()
		list[i] = "CASE WHEN " + name + " IS NOT NULL THEN format('%s', " + name + ") END"
	}
	rows, err := conn.Query(t.Context(), "SELECT "+strings.Join(list, ", ")+" FROM all_types")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		texts := make([]*string, len(columns))
		into := make([]any, len(columns))
		for i := range texts {
			into[i] = &texts[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		visit(texts)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
}

func sourceSums(t *testing.T, conn *pgx.Conn, plan *change.TablePlan, zone string) *verify.RowSums {
	t.Helper()
	s, err := verify.NewSourceRows(plan)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, c := range plan.Columns {
		for _, f := range c.From {
			types[f.Name] = f.Type
		}
	}
	printed(t, conn, s.Columns(), zone, func(texts []*string) {
		values := make([]change.Value, len(texts))
		for i, text := range texts {
			values[i] = exported(t, types[s.Columns()[i]], text)
		}
		if err := s.Add(values); err != nil {
			t.Fatal(err)
		}
	})
	return &s.Sums
}

func targetSums(t *testing.T, conn *pgx.Conn, plan *change.TablePlan) *verify.RowSums {
	t.Helper()
	s, err := verify.NewTargetRows(plan)
	if err != nil {
		t.Fatal(err)
	}
	printed(t, conn, s.Columns(), "UTC", func(texts []*string) {
		row := make([][]byte, len(texts))
		for i, text := range texts {
			if text != nil {
				row[i] = []byte(*text)
			}
		}
		if err := s.Add(row); err != nil {
			t.Fatal(err)
		}
	})
	return &s.Sums
}

func serverSums(t *testing.T, conn *pgx.Conn, plan *change.TablePlan) *verify.RowSums {
	t.Helper()
	exec(t, conn, "SET timezone = 'UTC'")
	quote := func(parts ...string) string { return pgx.Identifier(parts).Sanitize() }
	sql, err := verify.SumsSQL(plan, quote(plan.Target.Schema, plan.Target.Name), quote)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "SELECT bucket, rows::text, high, low FROM ("+sql+") AS s")
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	sums := &verify.RowSums{}
	for rows.Next() {
		var bucket int
		var n, high, low string
		if err := rows.Scan(&bucket, &n, &high, &low); err != nil {
			t.Fatal(err)
		}
		if err := sums.AddAnswer(bucket, n, high, low); err != nil {
			t.Fatal(err)
		}
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return sums
}

// What the export holds, what the target prints, and what the target's server sums
// up by itself have the same digests, for every type and for keys of all kinds.
func TestBothSidesHaveTheSameSums(t *testing.T) {
	for _, key := range []string{"uuid", "bigint", "none"} {
		t.Run(key, func(t *testing.T) {
			conn := testdb.Connect(t, testdb.New(t).AdminDSN)
			typ := key
			if key == "none" {
				typ = "bigint"
			}
			plan := fill(t, conn, 1, typ)
			if key == "none" {
				plan.Key = nil
			}
			want := sourceSums(t, conn, plan, "UTC")
			if want.Rows != 300 {
				t.Fatalf("%d rows", want.Rows)
			}
			for side, got := range map[string]*verify.RowSums{
				"source in another zone": sourceSums(t, conn, plan, "Asia/Kolkata"),
				"target":                 targetSums(t, conn, plan),
				"server":                 serverSums(t, conn, plan),
			} {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-source +%s):\n%s", side, side, diff)
				}
			}
			text, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var back verify.RowSums
			if err := json.Unmarshal(text, &back); err != nil || back != *want {
				t.Errorf("sums come back as %+v, %v", back, err)
			}
		})
	}
}

// One value of one row that is another shows, in the bucket of the row's key and
// nowhere else, whatever its type.
func TestOneChangedValueShows(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).AdminDSN)
	plan := fill(t, conn, 2, "bigint")
	want := sourceSums(t, conn, plan, "UTC")
	for i, c := range typed {
		if len(c.values) < 2 {
			continue
		}
		name := fmt.Sprintf("c%d", i)
		exec(t, conn, "BEGIN")
		exec(t, conn, fmt.Sprintf("UPDATE all_types SET %s = CASE WHEN %[1]s::text = ((%s)::%s)::text THEN (%s)::%[3]s ELSE (%[2]s)::%[3]s END WHERE id = 17", name, c.values[0], c.typ, c.values[len(c.values)-1]))
		for side, got := range map[string]*verify.RowSums{"target": targetSums(t, conn, plan), "server": serverSums(t, conn, plan)} {
			if differing := want.Differing(got); len(differing) != 1 {
				t.Errorf("%s: a changed %s shows in the buckets %v", side, c.typ, differing)
			}
		}
		exec(t, conn, "ROLLBACK")
	}
	exec(t, conn, "DELETE FROM all_types WHERE id = 17")
	if differing := want.Differing(serverSums(t, conn, plan)); len(differing) != 1 {
		t.Errorf("a missing row shows in the buckets %v", differing)
	}
}

// Keys that become UUIDs, and what refers to them, are made by the verifier's own
// reading of the rule.
func TestKeysBecomeUUIDs(t *testing.T) {
	table := change.TableName{Schema: "public", Name: "orders"}
	plan := &change.TablePlan{
		Source: table, Target: table, Key: []string{"id"},
		Columns: []change.ColumnPlan{
			{Name: "id", Type: "uuid", From: []change.SourceColumn{{Name: "no", Type: "numeric"}, {Name: "at", Type: "timestamp with time zone"}}, As: change.Conversion{Kind: change.AsUUID, Namespace: "shop", Of: table}},
			{Name: "parent", Type: "uuid", From: []change.SourceColumn{{Name: "parent_no", Type: "numeric"}, {Name: "parent_at", Type: "timestamp with time zone"}}, As: change.Conversion{Kind: change.AsUUID, Namespace: "shop", Of: table}},
			{Name: "no", Type: "numeric(12,2)", From: []change.SourceColumn{{Name: "no", Type: "numeric"}}, As: change.Conversion{Kind: change.AsFit}},
		},
		Filter: []change.Condition{{Column: "status", In: []string{"test"}, Not: true}},
	}
	source, err := verify.NewSourceRows(plan)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"no", "at", "parent_no", "parent_at", "status"}, source.Columns()); diff != "" {
		t.Fatal(diff)
	}
	text := func(s string) change.Value { return change.Value{Kind: change.Text, Bytes: []byte(s)} }
	null := change.Value{Kind: change.Null}
	rows := [][]change.Value{
		{text("1.50"), text("2024-01-01 12:00:00+02"), null, text("2024-01-01 12:00:00+02"), text("open")},
		{text("2"), text("2024-01-01 12:00:00+00"), text("1.5"), text("2024-01-01 10:00:00+00"), null},
		{text("3"), text("2024-01-01 12:00:00+00"), null, null, text("test")},
	}
	for _, r := range rows {
		if err := source.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if source.Sums.Rows != 2 || source.Sums.Filtered != 1 {
		t.Errorf("%d rows, %d filtered", source.Sums.Rows, source.Sums.Filtered)
	}
	first := change.KeyUUID(nil, "shop", table, []byte("1.5"), []byte("2024-01-01 10:00:00+00"))
	second := change.KeyUUID(nil, "shop", table, []byte("2"), []byte("2024-01-01 12:00:00+00"))
	target, err := verify.NewTargetRows(plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][][]byte{{first, nil, []byte("1.50")}, {second, first, []byte("2.00")}} {
		if err := target.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	source.Sums.Filtered = 0
	if diff := cmp.Diff(source.Sums, target.Sums); diff != "" {
		t.Errorf("(-source +target):\n%s", diff)
	}
}

func TestTextsThatAreNoValuesAreRefused(t *testing.T) {
	for typ, text := range map[string]string{
		"numeric": "12x", "integer": "", "real": "fast", "boolean": "yes", "bytea": "00", "timestamp with time zone": "yesterday",
	} {
		plan := &change.TablePlan{Columns: []change.ColumnPlan{{Name: "c", Type: typ, From: []change.SourceColumn{{Name: "c", Type: typ}}, As: change.Conversion{Kind: change.AsIs}}}}
		target, err := verify.NewTargetRows(plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Add([][]byte{[]byte(text)}); err == nil || !strings.Contains(err.Error(), "column c") || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s %q: got %v", typ, text, err)
		}
	}
}
