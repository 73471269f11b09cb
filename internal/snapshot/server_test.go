package snapshot_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/snapshot"
	"godwit/internal/testdb"
)

// every is a value or more of every type that PostgreSQL brings along and a table
// can have, as SQL that makes it.
var every = []struct {
	name   string // as format_type spells it
	values []string
}{
	{"smallint", []string{"-32768", "32767", "0"}},
	{"integer", []string{"-2147483648", "2147483647"}},
	{"bigint", []string{"-9223372036854775808", "9223372036854775807"}},
	{"real", []string{"0.1", "'NaN'", "'-Infinity'", "'Infinity'", "3.4028235e38", "1e-45", "1e6", "999999", "0.0001", "0.00001", "'-0'"}},
	{"double precision", []string{"0.1", "'NaN'", "'-Infinity'", "1.7976931348623157e308", "5e-324", "1e15", "999999999999999", "0.0001", "0.00001", "'-0'", "123456.789"}},
	{"numeric", []string{"0", "-0.00", "1e100", "'NaN'", "'Infinity'", "123456789012345678901234567890.123456789012345678901234567890", "1.50"}},
	{"numeric(12,2)", []string{"1.5", "-9999999999.99", "'NaN'"}},
	{"money", []string{"12.34", "-1000000"}},
	{"boolean", []string{"true", "false"}},
	{"bytea", []string{"''", `'\x00ff5c0a0009'`}},
	{"character(5)", []string{"'a'", "''", "'äöüßx'"}},
	{"character varying(10)", []string{"'a'", "'tail  '", "''"}},
	{"text", []string{`''`, `'\N'`, `'\.'`, `E'a\tb\nc\rd\\e\b\f\v'`, `'日本語 😀'`, `repeat('long ', 30000)`, `'NULL'`, `'"'`, `'  '`}},
	{"name", []string{"'pg_catalog'"}},
	{`"char"`, []string{"'x'", "''"}},
	{"mood", []string{"'happy'", `'so, "so"'`}},
	{"positive", []string{"7"}},
	{"point_of_sale", []string{`ROW(1, 'a "quoted", text')`, `ROW(NULL, '')`}},
	{"tsvector", []string{`'a fat cat'::tsvector`, `to_tsvector('english', 'the rats ate it''s \ cheese')`}},
	{"tsquery", []string{`'fat & (rat | cat)'`}},
	{"bit(4)", []string{"B'1010'"}},
	{"bit varying(9)", []string{"B''", "B'110'"}},
	{"date", []string{"'2026-02-28'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'5874897-12-31'"}},
	{"time without time zone", []string{"'24:00:00'", "'13:14:15.123456'"}},
	{"time(3) without time zone", []string{"'13:14:15.123'"}},
	{"time with time zone", []string{"'13:14:15.1+05:30'", "'00:00-15:59:59'"}},
	{"timestamp without time zone", []string{"'2026-02-28 01:02:03.4'", "'infinity'", "'4713-01-01 00:00 BC'", "'294276-12-31 23:59:59.999999'"}},
	{"timestamp with time zone", []string{"'2026-02-28 01:02:03.4+02'", "'-infinity'", "'0001-01-01 00:00 BC'", "'1890-01-01 00:00:00.5'"}},
	{"timestamp(0) with time zone", []string{"'2026-02-28 01:02:03+02'"}},
	{"interval", []string{"'1 year -2 mons +3 days 04:05:06.789'", "'-00:00:00.000001'", "'178000000 years'"}},
	{"json", []string{`'{"b": 1,  "a": "x\\y\u00e9\n"}'`, `'null'`}},
	{"jsonb", []string{`'{"b": 1,  "a": "x\\y\u00e9\n"}'`, `'"text"'`}},
	{"jsonpath", []string{`'$.a[*] ? (@ > 1)'`}},
	{"uuid", []string{"'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"}},
	{"integer[]", []string{"'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[2:3]={1,2}'"}},
	{"text[]", []string{`ARRAY['a,b', '"', '\', NULL, 'NULL', '', 'ü', E'\n']`}},
	{"bytea[]", []string{`ARRAY['\x00ff'::bytea]`}},
	{"mood[]", []string{`ARRAY['happy', 'so, "so"']::mood[]`}},
	{"point_of_sale[]", []string{`ARRAY[ROW(1, 'a"b\')]::point_of_sale[]`}},
	{"int4range", []string{"'[1,5)'", "'empty'", "'(,)'"}},
	{"numrange", []string{"'(1.5,2.50]'"}},
	{"tstzrange", []string{`'["2026-01-01 00:00+02",infinity)'`}},
	{"int4multirange", []string{"'{[1,2),[5,9)}'"}},
	{"cidr", []string{"'192.168.100.128/25'", "'2001:4f8:3:ba::/64'"}},
	{"inet", []string{"'192.168.0.1'", "'::1/128'", "'10.0.0.1/8'"}},
	{"macaddr", []string{"'08:00:2b:01:02:03'"}},
	{"macaddr8", []string{"'08:00:2b:01:02:03:04:05'"}},
	{"pg_lsn", []string{"'16/B374D848'"}},
	{"pg_snapshot", []string{"'10:20:10,14,15'"}},
	{"box", []string{"'(1.5,2),(0,0)'"}},
	{"circle", []string{"'<(1,2),3.5>'"}},
	{"line", []string{"'{1,-1,0.1}'"}},
	{"lseg", []string{"'[(0,0),(1e-9,2)]'"}},
	{"path", []string{"'[(0,0),(1,1)]'", "'((0,0),(1,1))'"}},
	{"point", []string{"'(0.1,Infinity)'"}},
	{"polygon", []string{"'((0,0),(1,1),(2,0))'"}},
	{"xid8", []string{"'18446744073709551615'"}},
	{"regclass", []string{"'pg_class'"}},
}

// types are made before the tables.
const types = `
	CREATE TYPE mood AS ENUM ('happy', 'so, "so"');
	CREATE DOMAIN positive AS bigint CHECK (VALUE > 0);
	CREATE TYPE point_of_sale AS (n integer, t text);`

// exportKind is how an export writes a type: aws-facts of the export's guide.
func exportKind(name string) snapshot.Kind {
	switch name {
	case "smallint", "integer":
		return snapshot.Int32
	case "bigint":
		return snapshot.Int64
	case "real":
		return snapshot.Float
	case "double precision":
		return snapshot.Double
	case "boolean":
		return snapshot.Bool
	case "bytea":
		return snapshot.Bytes
	}
	return snapshot.Text // numeric, dates, domains and all others
}

// source makes a table of every type, a row for each place in the lists of
// values, and returns it as a part.
func source(t *testing.T, conn *pgx.Conn) (columns []column, rows [][]any) {
	t.Helper()
	run(t, conn, types)
	var definitions, reads []string
	most := 0
	columns = append(columns, column{name: "a", kind: snapshot.Int64, required: true})
	reads = append(reads, "a")
	for i, e := range every {
		name := fmt.Sprintf("c%02d", i)
		definitions = append(definitions, name+" "+e.name)
		columns = append(columns, column{name: name, kind: exportKind(e.name), dict: i%2 == 0 && exportKind(e.name) != snapshot.Bool})
		if columns[i+1].kind == snapshot.Text {
			name += "::text"
		}
		reads = append(reads, name)
		most = max(most, len(e.values))
	}
	run(t, conn, "CREATE TABLE source (a bigint PRIMARY KEY, "+strings.Join(definitions, ", ")+")")
	for n := range most {
		values := []string{fmt.Sprint(n)}
		for _, e := range every {
			if n < len(e.values) {
				values = append(values, e.values[n])
			} else {
				values = append(values, "NULL")
			}
		}
		run(t, conn, "INSERT INTO source VALUES ("+strings.Join(values, ", ")+")")
	}
	run(t, conn, "INSERT INTO source (a) VALUES (99)")
	run(t, conn, "SET TIME ZONE 'America/St_Johns'") // its zones have minutes, and had seconds
	result, err := conn.Query(t.Context(), "SELECT "+strings.Join(reads, ", ")+" FROM source ORDER BY a")
	if err != nil {
		t.Fatal(err)
	}
	for result.Next() {
		values, err := result.Values()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if small, ok := v.(int16); ok {
				values[i] = int32(small)
			}
		}
		rows = append(rows, values)
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	return columns, rows
}

func run(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
}

// load copies the rows of a part into a table.
func load(t testing.TB, conn *pgx.Conn, e *snapshot.Encoder, p *snapshot.Part, table string) (refused []change.Refusal) {
	t.Helper()
	var data bytes.Buffer
	err := e.Encode(t.Context(), p, 0, p.Rows(), func(l change.Lines) error {
		data.Write(l.Data)
		refused = append(refused, l.Refused...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sql := fmt.Sprintf("COPY %s (%s) FROM STDIN", table, strings.Join(e.Columns(), ", "))
	if _, err := conn.PgConn().CopyFrom(t.Context(), &data, sql); err != nil {
		t.Fatal(err)
	}
	return refused
}

func TestEveryTypeComesBackAsItWas(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).SuperuserDSN)
	columns, rows := source(t, conn)
	run(t, conn, `CREATE TABLE kept (LIKE source)`)
	kept, texts, keys := keep("a", "bigint"), keep("a", "bigint"), keep("a", "bigint")
	definitions := []string{"a bigint"}
	for i, e := range every {
		name, of := columns[i+1].name, e.name
		if of == "positive" {
			of = "numeric" // any type that an export writes as text
		}
		kept.Columns = append(kept.Columns, as(change.AsIs, name, of, e.name))
		texts.Columns = append(texts.Columns, as(change.AsText, name, of, "text"))
		key := as(change.AsUUID, name, of, "uuid")
		key.As.Namespace, key.As.Of = "space", change.TableName{Schema: "public", Name: of}
		keys.Columns = append(keys.Columns, key)
		definitions = append(definitions, name+" text")
	}
	run(t, conn, "CREATE TABLE texts ("+strings.Join(definitions, ", ")+")")
	run(t, conn, "CREATE TABLE keys ("+strings.ReplaceAll(strings.Join(definitions, ", "), " text", " uuid")+")")
	for name, options := range shapes {
		run(t, conn, "TRUNCATE kept, texts, keys")
		p := open(t, write(t, columns, rows, options...))
		for table, plan := range map[string]*change.TablePlan{"kept": kept, "texts": texts, "keys": keys} {
			if refused := load(t, conn, encoder(t, plan, p), p, table); len(refused) > 0 {
				t.Errorf("%s, %s: refused %v", name, table, refused)
			}
		}
		for i, e := range every {
			c := columns[i+1].name
			var n, missing int
			var badly, worse []string
			err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*), count(s.%s) - count(k.%[1]s),
				array_agg(s.%[1]s::text || ' became ' || k.%[1]s::text) FILTER (WHERE s.%[1]s::text IS DISTINCT FROM k.%[1]s::text),
				array_agg(s.%[1]s::text || ' became ' || t.%[1]s) FILTER (WHERE s.%[1]s::text IS DISTINCT FROM t.%[1]s%s)
				FROM source s JOIN kept k USING (a) JOIN texts t USING (a)`, c, map[bool]string{true: "::bpchar::text"}[strings.HasPrefix(e.name, "character(")])).Scan(&n, &missing, &badly, &worse)
			if err != nil {
				t.Fatal(err)
			}
			if n != len(rows) || missing != 0 || badly != nil {
				t.Errorf("%s: %s: %d rows, %d missing, %v", name, e.name, n, missing, badly)
			}
			if worse != nil {
				t.Errorf("%s: %s as text: %v", name, e.name, worse)
			}
		}
	}
	sameKeys(t, conn, columns)
}

// sameKeys compares the keys that an encoder made with those of the texts that
// the server has of the values, by the rule of change.KeyUUID.
func sameKeys(t *testing.T, conn *pgx.Conn, columns []column) {
	t.Helper()
	run(t, conn, "SET TIME ZONE 'UTC'")
	for i, e := range every {
		c, of := columns[i+1].name, e.name
		if of == "tstzrange" {
			continue // only a timestamp's text is brought to UTC
		}
		text := c + "::text"
		if strings.HasPrefix(of, "numeric") {
			text = "trim_scale(" + c + ")::text"
		}
		if of == "positive" {
			of = "numeric"
		}
		rows, err := conn.Query(t.Context(), fmt.Sprintf("SELECT s.t, k.%s::text FROM (SELECT a, %s AS t FROM source) s JOIN keys k USING (a)", c, text))
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text, key *string
			if err := rows.Scan(&text, &key); err != nil {
				t.Fatal(err)
			}
			if (text == nil) != (key == nil) {
				t.Errorf("%s: the key of %v is %v", e.name, text, key)
				continue
			}
			if text == nil {
				continue
			}
			want := string(change.KeyUUID(nil, "space", change.TableName{Schema: "public", Name: of}, []byte(*text)))
			if *key != want {
				t.Errorf("%s: the key of %s is %s, want %s", e.name, *text, *key, want)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// What fits a narrower type is what PostgreSQL takes without changing it.
func TestFitsWhatTheServerKeeps(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).SuperuserDSN)
	run(t, conn, `CREATE FUNCTION kept(value text, source text, target text) RETURNS boolean LANGUAGE plpgsql AS $$
		DECLARE same boolean; BEGIN
			EXECUTE format('SELECT $1::%1$s::%2$s::%1$s = $1::%1$s', source, target) INTO same USING value;
			RETURN same;
		EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN RETURN false; END $$`)
	seed := uint64(5)
	r := rand.New(rand.NewPCG(seed, seed))
	var numerics, integers []any
	for range 300 {
		digits := fmt.Sprint(r.Uint64() >> r.IntN(64))
		if at := r.IntN(len(digits) + 2); at < len(digits) {
			digits = strings.Repeat("0", r.IntN(3)) + digits[:at] + "." + digits[at:] + strings.Repeat("0", r.IntN(3))
		} else {
			digits += strings.Repeat("0", r.IntN(4))
		}
		numerics = append(numerics, strings.Repeat("-", r.IntN(2))+digits)
		integers = append(integers, int64(r.Uint64())>>r.IntN(64))
	}
	numerics = append(numerics, "NaN", "Infinity", "-Infinity", "0", "0.00", "-32768", "32768", "9.5", "0.007", "0.012", "0.123")
	integers = append(integers, int64(0), int64(math.MinInt64), int64(math.MaxInt64), int64(-32768), int64(32768), int64(1<<31), int64(-1<<31))
	texts := []any{"", "a", "äöü", "äöüß", "abcd", "ab  ", "   ", "日本", "ab   ", "\t\n\\"}
	times := []any{"2026-01-02 03:04:05", "2026-01-02 03:04:05.1", "2026-01-02 03:04:05.12", "2026-01-02 03:04:05.123456", "infinity", "-infinity", "2026-01-02 03:04:05.120000", "0044-01-02 03:04:05.123 BC"}
	zones := []any{"2026-01-02 03:04:05+00", "2026-01-02 03:04:05.1+00", "2026-01-02 03:04:05.123+00", "infinity", "0044-01-02 03:04:05.123+00 BC"}
	clocks := []any{"24:00:00", "13:14:15.1", "13:14:15.123", "23:59:59.9999"}
	intervals := []any{"1 year 2 mons", "1 day 00:00:00.1", "-00:00:00.123", "00:00:01.10"}
	doubles := []any{0.1, 0.5, 1e300, math.NaN(), math.Inf(1), float64(float32(0.1)), 16777217.0, 5e-324}
	bits := []any{"", "1", "101", "1010", "10101"}
	cases := []struct {
		source, target string
		kind           snapshot.Kind
		values         []any
	}{
		{"numeric", "numeric(12,2)", snapshot.Text, numerics},
		{"numeric", "numeric(5)", snapshot.Text, numerics},
		{"numeric", "numeric(38,9)", snapshot.Text, numerics},
		{"numeric", "numeric(2,4)", snapshot.Text, numerics},
		{"numeric", "numeric(4,-2)", snapshot.Text, numerics},
		{"numeric", "numeric(3,3)", snapshot.Text, numerics},
		{"numeric(40,20)", "numeric(18,6)", snapshot.Text, []any{"1.00000000000000000000", "1.00000010000000000000", "123456789012.00000000000000000000", "1234567890123.00000000000000000000"}},
		{"bigint", "numeric(6,0)", snapshot.Int64, integers},
		{"bigint", "numeric(9,5)", snapshot.Int64, integers},
		{"bigint", "integer", snapshot.Int64, integers},
		{"bigint", "smallint", snapshot.Int64, integers},
		{"text", "character varying(3)", snapshot.Text, texts},
		{"text", "text", snapshot.Text, texts},
		{"character(5)", "character(3)", snapshot.Text, []any{"a    ", "abc  ", "abcd ", "äöüß ", "     "}},
		{"timestamp without time zone", "timestamp(2) without time zone", snapshot.Text, times},
		{"timestamp without time zone", "timestamp(0) without time zone", snapshot.Text, times},
		{"timestamp with time zone", "timestamp(2) with time zone", snapshot.Text, zones},
		{"time without time zone", "time(1) without time zone", snapshot.Text, clocks},
		{"interval", "interval(1)", snapshot.Text, intervals},
		{"double precision", "real", snapshot.Double, doubles},
		{"bit varying", "bit varying(3)", snapshot.Text, bits},
	}
	for _, c := range cases {
		t.Run(c.source+" into "+c.target, func(t *testing.T) {
			var rows [][]any
			for i, v := range c.values {
				rows = append(rows, []any{int64(i), v})
			}
			p := open(t, write(t, []column{{name: "a", kind: snapshot.Int64, required: true}, {name: "v", kind: c.kind}}, rows))
			plan := keep("a", "bigint")
			plan.Columns = append(plan.Columns, as(change.AsFit, "v", c.source, c.target))
			run(t, conn, "DROP TABLE IF EXISTS target")
			run(t, conn, "CREATE TABLE target (a bigint, v "+c.target+")")
			run(t, conn, "SET TIME ZONE 'UTC'")
			refused := load(t, conn, encoder(t, plan, p), p, "target")
			fits, fitsNot := 0, 0
			for i, v := range c.values {
				text := fmt.Sprint(v)
				if f, ok := v.(float64); ok {
					text = strings.Replace(fmt.Sprint(f), "+Inf", "Infinity", 1)
				}
				var want bool
				if err := conn.QueryRow(t.Context(), "SELECT kept($1, $2, $3)", text, c.source, c.target).Scan(&want); err != nil {
					t.Fatal(err)
				}
				got := !slices.ContainsFunc(refused, func(r change.Refusal) bool { return r.Row == int64(i) })
				if got != want {
					t.Errorf("%s fits %s: %v, the server keeps it: %v", text, c.target, got, want)
				}
				if got {
					fits++
				} else {
					fitsNot++
				}
			}
			for _, r := range refused {
				if r.Column != "v" || r.Reason != "does not fit "+c.target {
					t.Errorf("refused: %+v", r)
				}
			}
			if fits == 0 || fitsNot == 0 && c.target != "text" {
				t.Errorf("%d fit, %d do not: nothing was tried", fits, fitsNot)
			}
		})
	}
}

// Floats of all sizes are spelt as the server spells them.
func TestFloatsAreSpeltAsTheServerDoes(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).SuperuserDSN)
	r := rand.New(rand.NewPCG(1, 7))
	var rows [][]any
	for i := range 5000 {
		d, f := math.Float64frombits(r.Uint64()), math.Float32frombits(r.Uint32())
		if i%2 == 0 {
			d = math.Copysign(float64(r.Int64N(1<<uint(1+r.IntN(60))))/math.Pow10(r.IntN(12)), float64(i%4-1))
			f = float32(d)
		}
		rows = append(rows, []any{int64(i), d, f})
	}
	columns := []column{{name: "a", kind: snapshot.Int64}, {name: "d", kind: snapshot.Double}, {name: "f", kind: snapshot.Float}}
	p := open(t, write(t, columns, rows, parquet.PageBufferSize(1000)))
	run(t, conn, "CREATE TABLE floats (a bigint, d double precision, f real)")
	run(t, conn, "CREATE TABLE texts (a bigint, d text, f text)")
	load(t, conn, encoder(t, keep("a", "bigint", "d", "double precision", "f", "real"), p), p, "floats")
	plan := keep("a", "bigint")
	plan.Columns = append(plan.Columns, as(change.AsText, "d", "double precision", "text"), as(change.AsText, "f", "real", "text"))
	load(t, conn, encoder(t, plan, p), p, "texts")
	for i, row := range rows {
		var d float64
		var f float32
		var ds, fs, dt, ft string
		err := conn.QueryRow(t.Context(), "SELECT f.d, f.f, f.d::text, f.f::text, t.d, t.f FROM floats f JOIN texts t USING (a) WHERE a = $1", i).Scan(&d, &f, &ds, &fs, &dt, &ft)
		if err != nil {
			t.Fatal(err)
		}
		if want := row[1].(float64); ds != dt || math.Float64bits(d) != math.Float64bits(want) && !math.IsNaN(want) {
			t.Errorf("%x became %x, %s and %s", want, d, ds, dt)
		}
		if want := row[2].(float32); fs != ft || math.Float32bits(f) != math.Float32bits(want) && want == want {
			t.Errorf("%x became %x, %s and %s", want, f, fs, ft)
		}
		if i > 600 {
			break
		}
	}
}
