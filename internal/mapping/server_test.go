package mapping_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/testdb"
)

// equalTo is SQL that compares column v with the text that the mapping's value
// was, as the type itself compares, by what the column shows, or by its bytes.
var equalTo = map[string]string{
	"text": `v COLLATE "C" = $1`, "varchar(5)": `v::text COLLATE "C" = $1`,
	"numeric":          `v = $1::numeric AND scale(v) = scale($1::numeric)`,
	"numeric(5,2)":     `v = $1::numeric`,
	"double precision": `v::text::float8 IS NOT DISTINCT FROM $1::float8`,
	"bytea":            `encode(v, 'hex') = $1`,
	"boolean":          `v = ($1 = '1')`,
}

// TestServerHoldsEveryAcceptedValue sends every value that a type accepts through
// COPY into a column of that type and, with a null behind it, into an array of
// it, and compares what the server then holds.
func TestServerHoldsEveryAcceptedValue(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).AdminDSN)
	ctx := context.Background()
	for _, typ := range allTypes {
		t.Run(typ, func(t *testing.T) {
			if _, err := conn.Exec(ctx, "CREATE TEMP TABLE t (v "+typ+", a "+typ+"[])"); err != nil {
				t.Fatal(err)
			}
			defer conn.Exec(ctx, "DROP TABLE t")
			equal := equalTo[typ]
			if equal == "" {
				equal = "v = $1::" + typ
			}
			p, fields := oneColumn(t, typ, "")
			many, manyFields := oneColumn(t, typ+"[]", `,"list":"array"`)
			tab := change.Table{Name: "t", Columns: []change.Column{p.History.Columns[2], many.History.Columns[2]}}
			n := 0
			for _, c := range valueCases() {
				want, exact := c.want[typ]
				if !exact || want == "NULL" {
					continue
				}
				row, err := p.Map(record("Case", 0, ionTape(t, fields, "{v:"+c.ion+"}")))
				if err != nil {
					t.Fatal(err)
				}
				list, err := many.Map(record("Case", 0, ionTape(t, manyFields, "{v:["+c.ion+",null]}")))
				if err != nil {
					t.Fatal(err)
				}
				line, err := copytext.AppendRow(nil, change.Row{Table: &tab, Values: []change.Value{row.Values[2], list.Values[2]}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(line), "COPY t FROM STDIN"); err != nil {
					t.Errorf("%s: the server refuses %.60q: %v", c.ion, line, err)
					continue
				}
				want = strings.Replace(want, "+Inf", "Infinity", 1)
				want = strings.Replace(want, "-Inf", "-Infinity", 1)
				var same bool
				var shown string
				if err := conn.QueryRow(ctx, "SELECT "+equal+" AND a[1] = v AND a[2] IS NULL AND array_length(a, 1) = 2, left(v::text || ' ' || a::text, 200) FROM t", want).Scan(&same, &shown); err != nil {
					t.Fatalf("%s: %v", c.ion, err)
				}
				if !same {
					t.Errorf("%.60s: the server holds %s, want %.60s", c.ion, shown, want)
				}
				if _, err := conn.Exec(ctx, "TRUNCATE t"); err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n == 0 {
				t.Error("no case")
			}
		})
	}
}

// TestServerParsesTheDeepestDocument: what Map accepts, one part's COPY must not
// fail over.
func TestServerParsesTheDeepestDocument(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).AdminDSN)
	ctx := context.Background()
	p, fields := oneColumn(t, "jsonb", "")
	for _, open := range []string{"[", "{a:"} {
		end := map[string]string{"[": "]", "{a:": "}"}[open]
		doc := "{v:" + strings.Repeat(open, 1000) + "1" + strings.Repeat(end, 1000) + "}"
		row, err := p.Map(record("Case", 0, ionTape(t, fields, doc)))
		if err != nil {
			t.Fatal(err)
		}
		var levels int
		if err := conn.QueryRow(ctx, "SELECT length($1::text::jsonb::text)", string(row.Values[2].Bytes)).Scan(&levels); err != nil {
			t.Errorf("%s: %v", open, err)
		}
	}
}

// TestServerAcceptsShippedTypes creates the tables of every type name.
func TestServerAcceptsShippedTypes(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).AdminDSN)
	for _, typ := range append([]string{"varchar(10485760)", "numeric(1000,1000)", "numeric(1,0)"}, allTypes...) {
		for _, suffix := range []string{"", "[]"} {
			if _, err := conn.Exec(context.Background(), fmt.Sprintf("SELECT NULL::%s%s", typ, suffix)); err != nil {
				t.Errorf("%s%s: %v", typ, suffix, err)
			}
		}
	}
}
