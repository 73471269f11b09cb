package stream_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/local/cdc"
	"godwit/internal/stream"
	"godwit/internal/testdb"
)

// A sampled type has texts that PostgreSQL reads: some that once went wrong
// elsewhere, and random ones.
type sampled struct {
	typ    string
	dsql   bool // Aurora DSQL has it, and its stream has all of it
	edges  []string
	random func(r *rand.Rand) string
}

func whole(bits int) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return strconv.FormatInt(int64(r.Uint64())>>(64-r.IntN(bits)-1), 10) }
}

func micros(layout string, span int64) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		t := time.UnixMicro(r.Int64N(2*span) - span).UTC()
		if r.IntN(2) == 0 {
			t = t.Truncate(time.Second)
		}
		return t.Format(layout)
	}
}

func letters(r *rand.Rand) string {
	var (
		alphabet = []rune("ab \"\\/\n\t\x01'éñ😀{},\u2028\u00a0")
		text     []rune
	)
	for range r.IntN(10) {
		text = append(text, alphabet[r.IntN(len(alphabet))])
	}
	return string(text)
}

const years = 200 * 365 * 86_400 * 1_000_000

var samples = []sampled{
	{"smallint", true, []string{"-32768", "32767", "0"}, whole(16)},
	{"integer", true, []string{"-2147483648", "2147483647"}, whole(32)},
	{"bigint", true, []string{"-9223372036854775808", "9223372036854775807", "9007199254740993", "1000000000000000000", "999999999999999999"}, whole(64)},
	{"oid", true, []string{"4294967295"}, func(r *rand.Rand) string { return strconv.Itoa(int(r.Uint32())) }},
	{"real", true, []string{"NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1", "16777217"}, func(r *rand.Rand) string { return fmt.Sprint(r.Float32() * 1e6) }},
	{"double precision", true, []string{"NaN", "Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1", "1e22", "9007199254740993"}, func(r *rand.Rand) string { return fmt.Sprint(r.NormFloat64() * 1e20) }},
	{"numeric", true, []string{"NaN", "0", "0.00", "-0.000", "1", "1.0", "1.00", "12345678901234567890123456789.123456789", "0.000000000000000000001", "1e30"}, func(r *rand.Rand) string {
		return fmt.Sprintf("%d.%0*d", r.Int64(), 1+r.IntN(20), r.IntN(10))
	}},
	{"numeric(12,3)", true, []string{"999999999.999", "-0.001"}, func(r *rand.Rand) string { return fmt.Sprintf("%d.%03d", r.IntN(1e9), r.IntN(1000)) }},
	{"boolean", true, []string{"t", "f"}, func(r *rand.Rand) string { return []string{"t", "f"}[r.IntN(2)] }},
	{"text", true, []string{"", " ", "null", `\u0000`, `\\`, "\u2028\u2029", "\U0010ffff", strings.Repeat("long ", 3000)}, letters},
	{"character varying(10)", true, []string{"", "éééééééééé", "a  "}, letters},
	{"character(5)", true, []string{"", "a", "a    ", "éé"}, func(r *rand.Rand) string { return strconv.Itoa(r.IntN(99999)) }},
	{"bpchar", true, []string{"", "a", "a  "}, letters},
	{"bytea", true, []string{`\x`, `\x00`, `\xdeadbeef`}, func(r *rand.Rand) string { return `\x` + hex.EncodeToString(binary(r, 40)) }},
	{"uuid", true, []string{"00000000-0000-0000-0000-000000000000"}, func(r *rand.Rand) string { return hex.EncodeToString(binary(r, 16)[:16]) }},
	{"json", true, []string{`null`, ` {"a" : 1,"a":2 } `, `"\ud83d\ude00\\u0000"`, `"\u0000\ud83d"`, `1e400`, `[]`, `"x"`}, func(r *rand.Rand) string { return fmt.Sprintf(`{"a":[%d,"é\"\\"]}`, r.Int()) }},
	{"jsonb", true, []string{`null`, `"x"`, `{"a":"\\u0000"}`, `12345678901234567890.10`}, func(r *rand.Rand) string { return fmt.Sprintf(`{"b":[%d,{}]}`, r.Int()) }},
	{"date", true, []string{"infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "0001-01-01", "0001-12-31 BC", "2024-02-29", "1969-12-31"}, micros("2006-01-02", years)},
	{"time without time zone", true, []string{"00:00:00", "24:00:00", "23:59:59.999999"}, micros("15:04:05.999999", years)},
	{"time(2) without time zone", true, []string{"23:59:59.99"}, micros("15:04:05.99", years)},
	{"timestamp without time zone", true, []string{"infinity", "-infinity", "4714-11-24 00:00:00 BC", "0001-02-03 04:05:06 BC", "12000-01-01 00:00:00.000001", "290000-01-01 00:00:00"}, micros("2006-01-02 15:04:05.999999", years)},
	{"timestamp(3) without time zone", true, []string{"2024-01-01 00:00:00.001"}, micros("2006-01-02 15:04:05.999", years)},
	{"timestamp with time zone", true, []string{"infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "1999-12-31 23:59:59.999999+00"}, micros("2006-01-02 15:04:05.999999+00", years)},

	{"time with time zone", false, []string{"23:59:59+15:59", "00:00:00-03:30"}, func(r *rand.Rand) string { return micros("15:04:05", years)(r) + "+02" }},
	{"interval", false, []string{"1 year 2 mons -3 days 04:05:06.789", "00:00:00"}, func(r *rand.Rand) string { return fmt.Sprintf("%d mons %d days", r.IntN(99), r.IntN(99)) }},
	{"inet", false, []string{"10.0.0.1", "10.0.0.1/8", "::1", "fe80::/10"}, func(r *rand.Rand) string { return fmt.Sprintf("10.1.%d.%d", r.IntN(256), r.IntN(256)) }},
	{"macaddr", false, []string{"08:00:2b:01:02:03"}, func(*rand.Rand) string { return "08-00-2b-01-02-04" }},
	{"integer[]", false, []string{"{}", "{1,NULL}", "{{1,2},{3,4}}", "[0:1]={1,2}"}, func(r *rand.Rand) string { return fmt.Sprintf("{%d,%d}", r.Int32(), r.Int32()) }},
	{"text[]", false, []string{`{"a b","\"","\\",NULL,"NULL",""}`}, func(r *rand.Rand) string { return fmt.Sprintf("{%d}", r.Int()) }},
	{"int4range", false, []string{"empty", "[1,5)", "(,)"}, func(r *rand.Rand) string { return fmt.Sprintf("[%d,)", r.Int32()) }},
	{"bit(5)", false, []string{"10101"}, func(r *rand.Rand) string { return fmt.Sprintf("%05b", r.IntN(32)) }},
	{"money", false, []string{"-92233720368547758.08", "0.01"}, func(r *rand.Rand) string { return fmt.Sprintf("%d.%02d", r.Int32(), r.IntN(100)) }},
	{"tsvector", false, []string{"'a':1A 'b''c':2", ""}, func(r *rand.Rand) string { return fmt.Sprintf("'w%d':1", r.IntN(100)) }},
	{"mood", false, []string{"sad", "so-so", "it's"}, func(r *rand.Rand) string { return []string{"sad", "so-so", "it's"}[r.IntN(3)] }},
}

func binary(r *rand.Rand, most int) []byte {
	b := make([]byte, max(16, r.IntN(most)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// A source is a real table with rows of all types, as PostgreSQL's output
// functions write them.
type source struct {
	conn *pgx.Conn
	rows [][]cdc.Column // id, then a column for each sample
}

func newSource(t *testing.T, r *rand.Rand, n int) *source {
	t.Helper()
	ctx := context.Background()
	s := &source{conn: testdb.Connect(t, testdb.New(t).AdminDSN)}
	define := []string{"id bigint PRIMARY KEY"}
	shown := []string{"id::text"}
	for i, sample := range samples {
		define = append(define, fmt.Sprintf("c%d %s", i, sample.typ))
		shown = append(shown, fmt.Sprintf("c%d::text", i))
		if sample.typ == "character(5)" || sample.typ == "bpchar" { // ::text drops spaces, the output function does not
			shown[i+1] = fmt.Sprintf("CASE WHEN c%[1]d IS NOT NULL THEN format('%%s', c%[1]d) END", i)
		}
	}
	for _, sql := range []string{
		"SET TIME ZONE 'UTC'; SET DateStyle = ISO; SET lc_monetary = 'C'; CREATE SCHEMA a; CREATE SCHEMA b; CREATE TYPE mood AS ENUM ('sad', 'so-so', 'it''s')",
		"CREATE TABLE a.t (" + strings.Join(define, ", ") + ")",
		"CREATE TABLE b.t (LIKE a.t)",
	} {
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for id := range n {
		values := []string{strconv.Itoa(id)}
		for _, sample := range samples {
			var text string
			switch {
			case id < len(sample.edges):
				text = sample.edges[id]
			case r.IntN(8) == 0:
				values = append(values, "NULL")
				continue
			default:
				text = sample.random(r)
			}
			values = append(values, "'"+strings.ReplaceAll(text, "'", "''")+"'")
		}
		if _, err := s.conn.Exec(ctx, "INSERT INTO a.t VALUES ("+strings.Join(values, ", ")+")", pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("insert %v: %v", values, err)
		}
	}
	found, err := s.conn.Query(ctx, "SELECT ARRAY["+strings.Join(shown, ", ")+"] FROM a.t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(found, pgx.RowTo[[]*string])
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range texts {
		columns := []cdc.Column{{Name: "id", Type: "bigint", Text: *row[0]}}
		for i, sample := range samples {
			c := cdc.Column{Name: "c" + strconv.Itoa(i), Type: sample.typ, Null: row[i+1] == nil}
			if !c.Null {
				c.Text = *row[i+1]
			}
			columns = append(columns, c)
		}
		s.rows = append(s.rows, columns)
	}
	return s
}

// table is the target's catalog entry of the columns that wanted names.
func (s *source) table(wanted func(sampled) bool, key string) change.RowTable {
	t := change.RowTable{Schema: "b", Name: "t", Key: []string{key}, Columns: []change.RowColumn{{Name: "id", Type: "bigint", NotNull: true}}}
	for i, sample := range samples {
		if wanted(sample) {
			t.Columns = append(t.Columns, change.RowColumn{Name: "c" + strconv.Itoa(i), Type: sample.typ, Enum: sample.typ == "mood"})
		}
	}
	return t
}

// different puts rows into b.t as the target does, and returns which values of
// a.t, of those ids, are not the same there.
func (s *source) different(t *testing.T, table change.RowTable, rows [][]byte, ids []string) []string {
	t.Helper()
	ctx := context.Background()
	var names, types, values, compared []string
	for _, c := range table.Columns {
		names = append(names, c.Name)
		if c.Type == "json" || c.Type == "jsonb" { // or the string would be the document
			types = append(types, c.Name+" text")
			values = append(values, c.Name+"::"+c.Type)
		} else {
			types = append(types, c.Name+" "+c.Type)
			values = append(values, c.Name)
		}
		compared = append(compared, fmt.Sprintf("SELECT format('row %%s, %[2]s: %%s, not %%s', a.id, b.%[1]s, a.%[1]s) FROM a.t a LEFT JOIN b.t b USING (id) WHERE id::text = ANY($1) AND a.%[1]s::text IS DISTINCT FROM b.%[1]s::text", c.Name, c.Type))
	}
	if _, err := s.conn.Exec(ctx, "TRUNCATE b.t"); err != nil {
		t.Fatal(err)
	}
	sql := fmt.Sprintf("INSERT INTO b.t (%s) SELECT %s FROM json_to_recordset($1::text::json) AS r(%s)", strings.Join(names, ", "), strings.Join(values, ", "), strings.Join(types, ", "))
	if _, err := s.conn.Exec(ctx, sql, "["+string(bytes.Join(rows, []byte{','}))+"]"); err != nil {
		t.Fatal(err)
	}
	found, err := s.conn.Query(ctx, strings.Join(compared, " UNION ALL "), ids)
	if err != nil {
		t.Fatal(err)
	}
	differences, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return differences
}

func TestRowsArriveInPostgreSQLAsTheyWere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSource(t, r, 300)
	decoder := stream.NewDecoder(nil)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

	for _, producer := range []string{change.SourceDMS, change.SourceDSQL} {
		table := s.table(func(x sampled) bool { return producer == change.SourceDMS || x.dsql }, "id")
		prepared, err := stream.NewTable(table)
		if err != nil {
			t.Fatal(err)
		}
		var (
			rows    [][]byte
			ids     []string
			refused int
		)
		for n, columns := range s.rows {
			columns = slices.DeleteFunc(slices.Clone(columns), func(c cdc.Column) bool {
				return !slices.ContainsFunc(table.Columns, func(x change.RowColumn) bool { return x.Name == c.Name })
			})
			row := cdc.Row{
				Op: []string{cdc.Load, cdc.Insert, cdc.Update}[r.IntN(3)], Schema: "a", Table: "t", Columns: columns,
				Position: int64(n+1) << 30, Record: 1, Transaction: strconv.Itoa(n + 700), Commit: at, Built: at,
			}
			settings := cdc.Complete()
			settings.Formatted = r.IntN(2) == 0
			settings.MapBooleanAsBoolean = r.IntN(2) == 0
			settings.NoHexPrefix = r.IntN(2) == 0
			moved := false
			if row.Op == cdc.Update && producer == change.SourceDMS {
				row.Before = slices.Clone(columns)
				row.Columns = slices.Clone(columns)
				if moved = r.IntN(2) == 0; moved {
					row.Before[0].Text = "-" + strconv.Itoa(n+1)
				}
				for i := 1; i < len(columns); i++ {
					row.Columns[i].Unchanged = r.IntN(4) == 0
				}
			}
			var message []byte
			if producer == change.SourceDMS {
				message = cdc.AppendDMS(nil, settings, row)
			} else {
				records, err := cdc.DSQL(row, "cluster")
				if err != nil {
					t.Fatal(err)
				}
				message = records[0]
			}
			event, err := decoder.Decode(stream.Message{Data: message})
			if err != nil {
				t.Fatalf("%s\n%v", message, err)
			}
			items, err := event.(*stream.Change).Rows(prepared)
			if err != nil {
				// DMS writes a bigint of 19 digits as a float64.
				if c := columns[3]; producer == change.SourceDMS && len(strings.TrimPrefix(c.Text, "-")) == 19 && strings.Contains(err.Error(), `"c2": is in scientific notation`) {
					refused++
					continue
				}
				t.Fatalf("%s\n%v", message, err)
			}
			if moved {
				if want := fmt.Sprintf(`{"id":"-%d"}`, n+1); len(items) != 2 || !items[0].Deleted || string(items[0].Row) != want {
					t.Fatalf("a key update gives %+v", items)
				}
				items = items[1:]
			}
			if len(items) != 1 || items[0].Deleted {
				t.Fatalf("%s %s gives %d rows", producer, row.Op, len(items))
			}
			rows = append(rows, items[0].Row)
			ids = append(ids, columns[0].Text)
		}
		if producer == change.SourceDMS && refused == 0 {
			t.Error("no bigint was long enough to be refused")
		}
		for _, d := range s.different(t, table, rows, ids) {
			t.Errorf("%s: %s", producer, d)
		}
		t.Logf("%s: %d rows the same, %d refused for a bigint of 19 digits", producer, len(rows), refused)
	}
}

func TestKeysAreEqualWherePostgreSQLSaysSo(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newSource(t, rand.New(rand.NewPCG(seed, 0)), 200)
	usable := 0
	for i, sample := range samples {
		name := "c" + strconv.Itoa(i)
		prepared, err := stream.NewTable(s.table(func(x sampled) bool { return x.typ == sample.typ }, name))
		if err != nil {
			continue // its equal values have several texts
		}
		usable++
		keys := map[string]bool{}
		for _, columns := range s.rows {
			c := columns[i+1]
			if c.Null {
				continue
			}
			for _, producer := range []string{change.SourceDMS, change.SourceDSQL} {
				row := cdc.Row{Op: cdc.Delete, Schema: "a", Table: "t", Columns: []cdc.Column{c}, Transaction: "1", Record: 1, Commit: time.Unix(1, 0)}
				settings := cdc.Complete()
				settings.UseLargeIntegerValue = false
				message := cdc.AppendDMS(nil, settings, row)
				if sample.typ == "bigint" || producer == change.SourceDSQL && sample.dsql {
					records, err := cdc.DSQL(row, "cluster")
					if err != nil {
						t.Fatal(err)
					}
					message = records[0]
				}
				event, err := stream.NewDecoder(nil).Decode(stream.Message{Data: message})
				if err != nil {
					t.Fatalf("%s\n%v", message, err)
				}
				items, err := event.(*stream.Change).Rows(prepared)
				if err != nil {
					t.Fatalf("%s\n%v", message, err)
				}
				keys[items[0].Key] = true
			}
		}
		var distinct int
		if err := s.conn.QueryRow(context.Background(), fmt.Sprintf("SELECT count(DISTINCT %s) FROM a.t", name)).Scan(&distinct); err != nil {
			t.Fatal(err)
		}
		if len(keys) != distinct {
			t.Errorf("%s: %d keys of %d different values", sample.typ, len(keys), distinct)
		}
	}
	if usable < 20 {
		t.Errorf("%d types are usable as keys", usable)
	}
}
