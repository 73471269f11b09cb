package assess_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/profile"
	"godwit/internal/testdb"
)

// Every type that PostgreSQL has is kept as it is, or a finding says what becomes
// of it: nothing is converted that nobody states, and nothing is overlooked. Arrays
// and domains of each are decided likewise.
func TestEveryTypeOfPostgreSQLIsKeptConvertedOrRefused(t *testing.T) {
	db := testdb.New(t)
	c := testdb.Connect(t, db.SuperuserDSN)
	rows, err := c.Query(t.Context(), `SELECT format_type(oid, NULL), typtype::text FROM pg_type t WHERE typnamespace = 'pg_catalog'::regnamespace
		AND (typtype IN ('b', 'r', 'm') AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid) OR oid = 'pg_catalog.pg_class'::regtype) ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	types, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s [2]string, err error) { return s, r.Scan(&s[0], &s[1]) })
	if err != nil || len(types) < 80 {
		t.Fatalf("got %d types, %v", len(types), err)
	}
	exec(t, c, "CREATE SCHEMA app")
	var columns []string
	made := 0
	for i, typ := range types {
		name := typ[0]
		// Types of the catalogs alone may not be columns; they are decided all the same.
		if strings.HasPrefix(name, "pg_") && name != "pg_lsn" && name != "pg_snapshot" && name != "pg_class" || name == "gtsvector" {
			continue
		}
		made++
		columns = append(columns, fmt.Sprintf("c%d %s, a%d %[2]s[], d%[1]d app.d%[1]d", i, name, i))
		exec(t, c, fmt.Sprintf("CREATE DOMAIN app.d%d AS %s", i, name))
	}
	exec(t, c, "CREATE TABLE app.t (id bigint PRIMARY KEY, "+strings.Join(columns, ", ")+")")
	cat := catalogOf(t, c)
	for _, target := range profile.Names() {
		d := decide(t, target, cat, "")
		plan := d.Plans[0]
		kept, converted, refused := 0, 0, 0
		for _, column := range cat.Tables[0].Columns {
			said := map[assess.Verdict]*assess.Finding{}
			for i := range d.Findings {
				if f := &d.Findings[i]; f.Column == column.Name && f.Kind != assess.KindDomain {
					said[f.Verdict] = f
				}
			}
			var p *change.ColumnPlan
			for i := range plan.Columns {
				if plan.Columns[i].Name == column.Name {
					p = &plan.Columns[i]
				}
			}
			switch {
			case said[assess.Refuse] != nil:
				refused++
			case p == nil:
				t.Errorf("%s: %s of type %s is neither planned nor refused", target, column.Name, column.Type.Name)
			case p.As.Kind == change.AsIs && p.Type == column.Type.Name:
				kept++
			case said[assess.Convert] == nil:
				t.Errorf("%s: %s of type %s becomes %s (%s), and no finding says so", target, column.Name, column.Type.Name, p.Type, p.As.Kind)
			default:
				converted++
			}
		}
		encode(t, d.Plans)
		t.Logf("%s: %d kept, %d converted, %d refused of %d", target, kept, converted, refused, 3*made+1)
		if kept < 20 || converted == 0 || refused == 0 {
			t.Errorf("%s: a class is empty", target)
		}
	}
	// What no column can have is known to the profiles, too.
	for _, typ := range types {
		for _, target := range profile.Names() {
			d := decide(t, target, source(ordinary("app", "t", []catalog.Column{{Name: "c", Type: catalog.Type{Name: typ[0], Class: catalog.Base, Builtin: typ[1] != "c"}}})), "")
			if len(d.Plans[0].Columns) == 0 && len(d.Refused()) == 0 {
				t.Errorf("%s: type %s is neither planned nor refused", target, typ[0])
			}
		}
	}
}

// A value of each kept type, and the text of each converted one, is the same in
// the column that is planned: read back after PostgreSQL wrote it there.
func TestPlannedColumnsHoldEveryValueAsItWas(t *testing.T) {
	values := map[string][]string{
		"smallint": {"-32768", "32767"}, "integer": {"-2147483648"}, "bigint": {"9223372036854775807"}, "real": {"3.4028235e+38", "NaN", "-Infinity", "1e-45"},
		"double precision": {"1.7976931348623157e+308", "0.1", "-0"}, "numeric(20,4)": {"1234567890123456.7891", "NaN"}, "boolean": {"t", "f"},
		"text": {"", "ü\t\n\\", "NULL"}, "character varying(3)": {"ab "}, "character(4)": {"ab"}, "bpchar": {"ab  "}, "uuid": {"0f8fad5b-d9cb-469f-a165-70867728950e"},
		"date": {"0044-03-15 BC", "infinity", "-infinity", "5874897-12-31"}, "time without time zone": {"24:00:00", "00:00:00.000001"}, "time with time zone": {"10:11:12.5-15:59"},
		"timestamp without time zone": {"4713-01-01 00:00:00 BC", "infinity", "294276-12-31 23:59:59.999999"}, "timestamp with time zone": {"2000-01-01 00:00:00.123456+00", "-infinity"},
		"timestamp(3) without time zone": {"2000-01-01 00:00:00.123"}, "interval": {"-1 years -2 mons +3 days -04:05:06.789"}, "bytea": {`\x00ff`}, "json": {`{"a": 1,  "a":2}`}, "jsonb": {`{"a": 1.50}`},
		"xml": {"<a>b</a>"}, "inet": {"10.1.2.3/8", "::1"}, "cidr": {"10.0.0.0/8"}, "macaddr": {"08:00:2b:01:02:03"}, "bit(3)": {"101"}, "bit varying": {"10101"}, "money": {"-$92,233,720,368,547,758.08"},
		"point": {"(0.1,1e+300)"}, "polygon": {"((0,0),(1,1),(1,0))"}, "int4range": {"[1,5)", "empty"}, "tstzrange": {`["2000-01-01 00:00:00+00",)`}, "int4multirange": {"{[1,3),[5,9)}"},
		"tsvector": {"'a':1A 'b':2"}, "tsquery": {"'a' & !'b':*"}, "pg_lsn": {"16/B374D848"}, "xid8": {"18446744073709551615"}, `"char"`: {"a"}, "name": {"x"}, "jsonpath": {`$."a"[*]`},
		"text[]": {`{a,"b,c",NULL,"NULL","\"\\"}`}, "integer[]": {"[2:3]={1,2}", "{{1,2},{3,4}}", "{}"}, "app.mood": {"it's ok"}, "app.pair": {`(1,"a ""b"",")`}, "app.mood[]": {`{sad,"it's ok"}`},
	}
	db := testdb.New(t)
	c := testdb.Connect(t, db.SuperuserDSN)
	exec(t, c, `CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok'); CREATE TYPE app.pair AS (a int, b text); SET lc_monetary = 'C'; SET TimeZone = 'UTC'`)
	i := 0
	for typ, texts := range values {
		i++
		exec(t, c, fmt.Sprintf("CREATE TABLE app.t%d (id int PRIMARY KEY, c %s)", i, typ))
		for j, text := range texts {
			if _, err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO app.t%d VALUES (%d, '%s')", i, j, strings.ReplaceAll(text, "'", "''"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	cat := catalogOf(t, c)
	for _, target := range targets {
		d := decide(t, target, cat, `{"version":1,"from":"postgresql","schema":"to"}`)
		exec(t, c, `CREATE SCHEMA "to"`)
		for _, p := range d.Plans {
			exec(t, c, createTable(&p))
			exec(t, c, fmt.Sprintf(`COPY "to".%s FROM PROGRAM 'true'`, quote(p.Target.Name))) // the table takes COPY
			from := quote(p.Source.Schema, p.Source.Name)
			to := quote(p.Target.Schema, p.Target.Name)
			// As the load does it: the text that the export has, read by the target's type.
			var column change.ColumnPlan
			for _, x := range p.Columns {
				if x.Name == "c" {
					column = x
				}
			}
			exec(t, c, fmt.Sprintf(`DO $$ DECLARE r record; BEGIN FOR r IN SELECT id, c::text AS c FROM %s LOOP EXECUTE format('INSERT INTO %s VALUES (%%L, %%L)', r.id, r.c); END LOOP; END $$`, from, to))
			var different int
			if err := c.QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*) FROM %s s LEFT JOIN %s t USING (id) WHERE (s.c::text) IS DISTINCT FROM (t.c::text)`, from, to)).Scan(&different); err != nil {
				t.Fatal(err)
			}
			if different > 0 {
				t.Errorf("%s: %d values of type %s are others as %s (%s)", target, different, column.From[0].Type, column.Type, column.As.Kind)
			}
		}
		exec(t, c, `DROP SCHEMA "to" CASCADE`)
	}
}
