package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/testdb"
)

var update = flag.Bool("update", false, "rewrite testdata/catalog.json")

func exec(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%v\n%.3000s", err, sql)
	}
}

func file(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func query(t testing.TB, c *pgx.Conn) string {
	t.Helper()
	var text string
	if err := c.QueryRow(t.Context(), catalog.SQL()).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t testing.TB, text string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// settle takes out what is another in each run and version: the server, and how
// much is stored.
func settle(c *catalog.Catalog) *catalog.Catalog {
	c.Server, c.Database = 170000, "shop"
	for i := range c.Tables {
		c.Tables[i].Rows, c.Tables[i].Bytes = -1, 0
	}
	return c
}

// TestCatalogOfARealDatabase reads a database that has everything, and compares
// all of it with testdata/catalog.json.
func TestCatalogOfARealDatabase(t *testing.T) {
	c := testdb.Connect(t, testdb.New(t).SuperuserDSN)
	exec(t, c, file(t, "source.sql")+file(t, "source-17.sql"))
	got, err := json.MarshalIndent(settle(parse(t, query(t, c))), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("testdata/catalog.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(file(t, "catalog.json"), string(got)); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// TestOtherVersionsOfPostgreSQL runs the query on the servers that
// GODWIT_POSTGRES names, as connection strings of administrators with commas
// between them: what they have in common with the test server is read alike.
func TestOtherVersionsOfPostgreSQL(t *testing.T) {
	list := os.Getenv("GODWIT_POSTGRES")
	if list == "" {
		t.Skip("GODWIT_POSTGRES names no other servers")
	}
	reference := testdb.Connect(t, testdb.New(t).SuperuserDSN)
	exec(t, reference, file(t, "source.sql"))
	want := settle(parse(t, query(t, reference)))
	for dsn := range strings.SplitSeq(list, ",") {
		admin := testdb.Connect(t, dsn)
		exec(t, admin, "DROP DATABASE IF EXISTS godwit_catalog")
		exec(t, admin, "CREATE DATABASE godwit_catalog TEMPLATE template0")
		config := admin.Config().Copy()
		config.Database = "godwit_catalog"
		c, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		source := file(t, "source.sql")
		exec(t, c, source)
		got := parse(t, query(t, c))
		t.Logf("PostgreSQL %d", got.Server)
		if got.Server >= 180000 {
			exec(t, c, "CREATE EXTENSION btree_gist;"+file(t, "source-18.sql"))
			checkNewest(t, parse(t, query(t, c)))
		}
		if d := cmp.Diff(want, settle(got)); d != "" {
			t.Errorf("PostgreSQL of %s: test server -, this one +:\n%s", dsn, d)
		}
		c.Close(context.Background())
	}
}

// checkNewest checks what came with PostgreSQL 18.
func checkNewest(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	a, b := c.Table(change.TableName{Schema: "app", Name: "newest"}), c.Table(change.TableName{Schema: "app", Name: "newest_of"})
	if a.Key == nil || !a.Key.Period || a.Column("v").Generated != "virtual" || len(a.Checks) != 1 || !a.Checks[0].NotValid {
		t.Errorf("got %+v, want a key WITHOUT OVERLAPS, a virtual column and a check that is not enforced", a)
	}
	if len(b.Foreign) != 2 || !b.Foreign[0].Period || b.Foreign[0].NotValid || !b.Foreign[1].NotValid || !b.Column("x").NotNull || len(b.Checks) != 0 {
		t.Errorf("got %+v, want a foreign key over a PERIOD and one that is not enforced", b)
	}
}

// A user without any right reads the same, but for where sequences stand.
func TestNoRightsAreNeeded(t *testing.T) {
	db := testdb.New(t)
	admin := testdb.Connect(t, db.SuperuserDSN)
	exec(t, admin, file(t, "source.sql"))
	want := settle(parse(t, query(t, admin)))
	got := settle(parse(t, query(t, testdb.Connect(t, db.LoaderDSN))))
	for i := range want.Sequences {
		want.Sequences[i].Last, want.Sequences[i].Hidden = nil, true
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// Servers of any encoding understand the statement, comments and all; it fits into
// a call of the Data API, which takes 64 Ki characters, and is one.
func TestTheStatementIsPlainAndShort(t *testing.T) {
	sql := catalog.SQL()
	for i := range len(sql) {
		if sql[i] >= 0x80 {
			t.Fatalf("byte %d of the statement is no ASCII: %.40q", i, sql[i:])
		}
	}
	if len(sql) > 60_000 || strings.Contains(sql, ";\n") {
		t.Errorf("got %d bytes, want one statement of at most 60,000", len(sql))
	}
}

// The statement leaves the session as it was.
func TestTheSearchPathComesBack(t *testing.T) {
	c := testdb.Connect(t, testdb.New(t).AdminDSN)
	exec(t, c, "SET search_path = app, public")
	query(t, c)
	var path string
	if err := c.QueryRow(t.Context(), "SHOW search_path").Scan(&path); err != nil || path != "app, public" {
		t.Errorf("got the search path %q, %v, want the one that was set", path, err)
	}
}

// inTransaction is a Query over a connection; it notes the greatest answer.
func inTransaction(t *testing.T, c *pgx.Conn, rows *int, most *int) catalog.Query {
	return func(ctx context.Context, sql string) ([]string, error) {
		r, err := c.Query(ctx, sql)
		if err != nil {
			return nil, err
		}
		list, err := pgx.CollectRows(r, pgx.RowTo[string])
		size := 0
		for _, s := range list {
			*rows = max(*rows, len(s))
			size += len(s)
		}
		*most = max(*most, size)
		return list, err
	}
}

// pieceful is more bytes than two answers of Read bring.
const pieceful = 700_000

// A catalog that no single answer of the Data API could hold comes in pieces, all
// of one moment, whatever characters are in it.
func TestReadTakesLargeCatalogsInPieces(t *testing.T) {
	db := testdb.New(t)
	c := testdb.Connect(t, db.AdminDSN)
	exec(t, c, `CREATE SCHEMA "größe"; DO $$ BEGIN FOR i IN 1..50 LOOP
		EXECUTE (SELECT format('CREATE TABLE "größe".t%s (id bigserial PRIMARY KEY, %s)', i, string_agg(format('"spalte %s %s" int', repeat('𐍈', 12), n), ',')) FROM generate_series(1, 100) n);
		END LOOP; END $$`)
	other := testdb.Connect(t, db.AdminDSN)
	want := query(t, c)
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	row, answer := 0, 0
	got, err := catalog.Read(t.Context(), func(ctx context.Context, sql string) ([]string, error) {
		// Somebody uses a sequence meanwhile.
		exec(t, other, `SELECT nextval('"größe".t7_id_seq')`)
		return inTransaction(t, c, &row, &answer)(ctx, sql)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := parse(t, want), parse(t, string(got))
	for i := range b.Sequences {
		b.Sequences[i].Last = nil
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("want -, got +:\n%.3000s", d)
	}
	if len(got) < pieceful || row > 64<<10 || answer > 1<<19 {
		t.Errorf("got %d bytes in rows of at most %d and answers of at most %d", len(got), row, answer)
	}
}

func TestReadNeedsOneTransaction(t *testing.T) {
	c := testdb.Connect(t, testdb.New(t).AdminDSN)
	row, answer := 0, 0
	if _, err := catalog.Read(t.Context(), inTransaction(t, c, &row, &answer)); err == nil {
		t.Error("got nil, want an error where the setting is gone with its transaction")
	}
	broken := errors.New("broken")
	if _, err := catalog.Read(t.Context(), func(context.Context, string) ([]string, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want what the query said", err)
	}
	for _, answers := range [][]string{{}, {"x"}, {"1", "2"}} {
		if _, err := catalog.Read(t.Context(), func(context.Context, string) ([]string, error) { return answers, nil }); err == nil {
			t.Errorf("got nil for a length of %q", answers)
		}
	}
	first := true
	if _, err := catalog.Read(t.Context(), func(context.Context, string) ([]string, error) {
		if first {
			first = false
			return []string{"100"}, nil
		}
		return []string{"short"}, nil
	}); err == nil || !strings.Contains(err.Error(), "5 of 100") {
		t.Errorf("got %v, want how much arrived", err)
	}
}

// Whatever is wrong with a catalog is said, and where.
func TestParseRefusesWhatDoesNotHoldTogether(t *testing.T) {
	good := file(t, "catalog.json")
	parse(t, good)
	edit := func(f func(c *catalog.Catalog)) string {
		c := parse(t, good)
		f(c)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	table := func(c *catalog.Catalog, name string) *catalog.Table {
		return c.Table(change.TableName{Schema: "app", Name: name})
	}
	for name, c := range map[string]struct{ text, why string }{
		"empty":            {"", "EOF"},
		"two":              {good + good, "behind its end"},
		"psql's table":     {" catalog \n---\n" + good, "invalid character"},
		"unknown member":   {strings.Replace(good, `"version": 1`, `"version": 1, "more": 1`, 1), "more"},
		"version 2":        {strings.Replace(good, `"version": 1`, `"version": 2`, 1), "version is 2"},
		"old server":       {edit(func(c *catalog.Catalog) { c.Server = 100023 }), "PostgreSQL 10"},
		"new server":       {edit(func(c *catalog.Catalog) { c.Server = 190000 }), "PostgreSQL 19"},
		"no database":      {edit(func(c *catalog.Catalog) { c.Database = "" }), "name is empty"},
		"table twice":      {edit(func(c *catalog.Catalog) { c.Tables = append(c.Tables, c.Tables[0]) }), "stands twice"},
		"long name":        {edit(func(c *catalog.Catalog) { c.Tables[0].Name = strings.Repeat("x", 64) }), "64 bytes"},
		"NUL":              {edit(func(c *catalog.Catalog) { c.Tables[0].Columns[0].Name = "a\x00" }), "no text"},
		"kind":             {edit(func(c *catalog.Catalog) { c.Tables[0].Kind = "view" }), `its kind is "view"`},
		"column twice":     {edit(func(c *catalog.Catalog) { a := table(c, "a"); a.Columns = append(a.Columns, a.Columns[0]) }), "stands twice"},
		"class":            {edit(func(c *catalog.Catalog) { table(c, "a").Columns[0].Type.Class = "x" }), "class of its type"},
		"no type":          {edit(func(c *catalog.Catalog) { table(c, "a").Columns[0].Type.Name = "" }), "type has no name"},
		"array of nothing": {edit(func(c *catalog.Catalog) { table(c, "a").Columns[0].Type.Class = "array" }), "without elements"},
		"identity":         {edit(func(c *catalog.Catalog) { table(c, "a").Columns[0].Identity = "SOMETIMES" }), "identity is"},
		"generated":        {edit(func(c *catalog.Catalog) { table(c, "a").Columns[0].Generated = "stored" }), "by nothing"},
		"key column":       {edit(func(c *catalog.Catalog) { table(c, "a").Key.Columns[0] = "zz" }), `no column "zz"`},
		"key twice":        {edit(func(c *catalog.Catalog) { table(c, "a").Key.Columns[0] = "id" }), "stands twice"},
		"empty key":        {edit(func(c *catalog.Catalog) { table(c, "a").Key.Columns = nil }), "has no columns"},
		"constraint twice": {edit(func(c *catalog.Catalog) { table(c, "a").Uniques[0].Name = table(c, "a").Key.Name }), "stands twice"},
		"reference":        {edit(func(c *catalog.Catalog) { table(c, "b").Foreign[0].Table.Name = "zz" }), "not here"},
		"columns":          {edit(func(c *catalog.Catalog) { f := &table(c, "b").Foreign[1]; f.Columns = f.Columns[:1] }), "1 columns reference 2"},
		"action":           {edit(func(c *catalog.Catalog) { table(c, "b").Foreign[0].OnDelete = "" }), "an action"},
		"match":            {edit(func(c *catalog.Catalog) { table(c, "b").Foreign[0].Match = "PARTIAL" }), "match is"},
		"check's column":   {edit(func(c *catalog.Catalog) { table(c, "a").Checks[0].Columns = []string{"zz"} }), `"zz", which is not there`},
		"empty check":      {edit(func(c *catalog.Catalog) { table(c, "a").Checks[0].SQL = "" }), "it is empty"},
		"index of nothing": {edit(func(c *catalog.Catalog) { table(c, "a").Indexes[0].Keys = nil }), "has no keys"},
		"index key":        {edit(func(c *catalog.Catalog) { table(c, "a").Indexes[0].Keys[0] = catalog.IndexKey{} }), "neither a column nor"},
		"index column":     {edit(func(c *catalog.Catalog) { table(c, "a").Indexes[1].Keys[0].Column = "zz" }), `no column "zz"`},
		"index order":      {edit(func(c *catalog.Catalog) { table(c, "a").Indexes[1].Keys[0].Order = "ASC; DROP" }), "an order"},
		"index's condition": {edit(func(c *catalog.Catalog) {
			table(c, "a").Indexes[0].Where = &catalog.Expression{SQL: "x", Columns: []string{"zz"}}
		}), "not there"},
		"parent":   {edit(func(c *catalog.Catalog) { table(c, "child").Inherits[0].Name = "zz" }), "not here"},
		"sequence": {edit(func(c *catalog.Catalog) { c.Sequences[0].Column = "zz" }), "owned by column"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := catalog.Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want %s", err, c.why)
			}
		})
	}
}

func TestTablesAreFoundByName(t *testing.T) {
	c := parse(t, file(t, "catalog.json"))
	if !slices.IsSortedFunc(c.Tables, func(a, b catalog.Table) int {
		return strings.Compare(fmt.Sprint(a.Schema, "\x00", a.Name), fmt.Sprint(b.Schema, "\x00", b.Name))
	}) {
		t.Error("the tables are not sorted")
	}
	a := c.Table(change.TableName{Schema: "app", Name: "a"})
	if a == nil || a.Column("tenant") == nil || a.Column("TENANT") != nil || c.Table(change.TableName{Schema: "app", Name: "A"}) != nil {
		t.Errorf("got %+v, want app.a with its column tenant, and no other by upper case", a)
	}
	if s := c.Sequence(change.TableName{Schema: "app", Name: "shared"}); s == nil || s.Increment != 7 || c.Sequence(change.TableName{}) != nil {
		t.Errorf("got %+v, want the sequence", s)
	}
}

// FuzzParse: nothing makes Parse panic, and what it takes it takes again.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/catalog.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"server":160000,"database":"d","tables":[{"schema":"s","name":"t","kind":"table","columns":[]}]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := catalog.Parse(src)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := catalog.Parse(bytes.TrimSpace(again)); err != nil {
			t.Fatalf("what was parsed is refused: %v", err)
		}
	})
}
