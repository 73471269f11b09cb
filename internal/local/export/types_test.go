package export_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/parquet-go/parquet-go/format"

	"godwit/internal/local/source"
)

// kinds are the Parquet types that are not text, by type in PostgreSQL.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-export-snapshot.html#aurora-export-snapshot.data-types
var kinds = map[string]string{
	"smallint": "INT32 INT(16,true)", "integer": "INT32", "bigint": "INT64", "real": "FLOAT", "double precision": "DOUBLE", "boolean": "BOOLEAN", "bytea": "BYTE_ARRAY",
	"oid": "", "regclass": "", // are no columns of an export
}

func TestEveryTypeIsExportedAsTheGuideSays(t *testing.T) {
	w := start(t, source.EverythingTables)
	w.export(nil)
	type column struct{ name, typ string }
	rows, err := w.pg.Query(t.Context(), `SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'types.everything'::regclass AND attnum > 0 ORDER BY attnum`)
	w.must(err)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) { return c, row.Scan(&c.name, &c.typ) })
	w.must(err)
	var want, got []string
	for _, c := range all {
		kind, ok := kinds[c.typ]
		if !ok {
			kind = "BYTE_ARRAY STRING"
		}
		if kind != "" {
			want = append(want, c.name+" "+kind)
		}
	}
	files := w.parts("types.everything")
	if len(files) != 1 {
		t.Fatalf("got %d parts, want 1", len(files))
	}
	// The file's own metadata: what parquet-go makes of them knows no bare integer.
	for _, e := range files[0].Metadata().Schema[1:] {
		kind := e.Name + " " + e.Type.V.String()
		if l := e.LogicalType; l.Value != nil {
			kind += " " + l.String()
		}
		got = append(got, kind)
		if e.RepetitionType.V != format.Optional {
			t.Errorf("column %s is %s", e.Name, e.RepetitionType.V)
		}
	}
	for _, c := range files[0].Metadata().RowGroups[0].Columns {
		if codec := c.MetaData.Codec; codec != format.Gzip {
			t.Errorf("column %v is compressed with %s", c.MetaData.PathInSchema, codec)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns (-want +got):\n%s", d)
	}
}

// TestEveryValueIsPostgreSQLsOwn compares what was exported with what the server
// says to another reader: texts with the server's cast to text, numbers and bytes
// with their binary form.
func TestEveryValueIsPostgreSQLsOwn(t *testing.T) {
	w := start(t, source.EverythingTables)
	w.export(nil)
	exported := w.rows("types.everything")
	values := 0
	for _, f := range w.parts("types.everything")[0].Schema().Fields() {
		name := pgx.Identifier{f.Name()}.Sanitize()
		// A cast to text says more than the value's own text of some types.
		sql := "CASE WHEN " + name + " IS DISTINCT FROM NULL THEN format('%s', " + name + ") END"
		if kind := f.Type().String(); kind != "STRING" {
			sql = name
		}
		sql = "SELECT " + sql + " FROM types.everything ORDER BY id"
		rows, err := w.pg.Query(t.Context(), sql)
		w.must(err)
		i := 0
		for rows.Next() {
			v, err := rows.Values()
			w.must(err)
			got := exported[i][f.Name()]
			i++
			values++
			var same bool
			switch v := v[0].(type) {
			case nil:
				same = got.IsNull()
			case string:
				same = !got.IsNull() && string(got.ByteArray()) == v
			case []byte:
				same = !got.IsNull() && string(got.ByteArray()) == string(v)
			case bool:
				same = !got.IsNull() && got.Boolean() == v
			case int16:
				same = got.Int32() == int32(v)
			case int32:
				same = got.Int32() == v
			case int64:
				same = got.Int64() == v
			case float32:
				same = math.Float32bits(got.Float()) == math.Float32bits(v)
			case float64:
				same = math.Float64bits(got.Double()) == math.Float64bits(v) || math.IsNaN(v) && math.IsNaN(got.Double())
			default:
				t.Fatalf("column %s: unexpected %T", f.Name(), v)
			}
			if !same {
				t.Errorf("column %s of row %d is %v, want %v", f.Name(), i, got, v[0])
			}
		}
		w.must(rows.Err())
	}
	if values < 4*58 {
		t.Errorf("compared %d values", values)
	}
}

func TestMetadataTellTypesAsInformationSchema(t *testing.T) {
	w := start(t, source.EverythingTables)
	w.export(nil)
	status, ok := w.tables()["app.types.everything"]
	if !ok || status.Status != "COMPLETE" || status.Schema == nil {
		t.Fatalf("the table is described as %+v", status)
	}
	rows, err := w.pg.Query(t.Context(), `SELECT column_name::text, data_type::text, coalesce(character_maximum_length, 0)::int, coalesce(numeric_precision, 0)::int, coalesce(datetime_precision, 0)::int
FROM information_schema.columns WHERE table_schema = 'types' AND data_type NOT IN ('oid', 'regclass') ORDER BY ordinal_position`)
	w.must(err)
	want, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var name, typ string
		var length, digits, fraction int
		err := row.Scan(&name, &typ, &length, &digits, &fraction)
		return fmt.Sprint(name, " ", typ, " ", length, " ", digits, " ", fraction), err
	})
	w.must(err)
	var got []string
	exported := map[string]string{}
	for _, c := range status.Schema.Columns {
		got = append(got, fmt.Sprint(c.Name, " ", c.Original, " ", c.Length, " ", c.Digits, " ", c.Fraction))
		exported[c.Name] = c.Exported
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for name, want := range map[string]string{
		"a_bigint": "int64", "id": "int32", "a_smallint": "int32 (INT_16)", "a_double": "double", "a_real": "float", "a_boolean": "boolean", "a_bytea": "binary",
		"a_numeric": "binary (UTF8)", "a_timestamptz": "binary (UTF8)", "some_integers": "binary (UTF8)", "a_domain": "binary (UTF8)",
	} {
		if exported[name] != want {
			t.Errorf("column %s is exported as %q, want %q", name, exported[name], want)
		}
	}
}
