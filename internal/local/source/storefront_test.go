package source_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local/source"
	"godwit/internal/testdb"
)

// open connects to a fresh database as its owner.
func open(t *testing.T) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), testdb.New(t).AdminDSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func count(t *testing.T, db *pgx.Conn, sql string) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

const allRows = `SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::int) FROM pg_tables WHERE schemaname IN ('public', 'stock')`

func TestStorefrontIsTheSameOfOneSeed(t *testing.T) {
	const digest = `SELECT md5(string_agg(x::text, '' ORDER BY id)) FROM (SELECT * FROM orders) AS x`
	var digests []string
	for _, seed := range []uint64{1, 1, 2} {
		db := open(t)
		if err := source.OpenStorefront(t.Context(), db, 4000, seed); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, allRows); n < 3200 || n > 4800 {
			t.Errorf("the storefront has %d rows, want about 4000", n)
		}
		var d string
		if err := db.QueryRow(t.Context(), digest).Scan(&d); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
		for _, sql := range []string{
			`SELECT count(*) FROM customers WHERE last_order IS NOT NULL`, `SELECT count(*) FROM customers WHERE referred_by IS NOT NULL`, `SELECT count(*) FROM categories WHERE parent IS NOT NULL`,
			`SELECT count(*) FROM shipments`, `SELECT count(*) FROM reviews`, `SELECT count(*) FROM stock.levels`, `SELECT count(*) FROM readings WHERE double = 'NaN'`,
		} {
			if count(t, db, sql) == 0 {
				t.Errorf("%s: nothing", sql)
			}
		}
		// An application goes on behind the keys that are there.
		if _, err := db.Exec(t.Context(), `INSERT INTO orders (customer_id, placed) VALUES (1, now())`); err != nil {
			t.Error(err)
		}
	}
	if digests[0] != digests[1] || digests[0] == digests[2] {
		t.Errorf("digests of seeds 1, 1, 2 are %v", digests)
	}
}

func TestEverythingHasEveryBuiltInType(t *testing.T) {
	db := open(t)
	if _, err := db.Exec(t.Context(), `SET timezone = 'UTC'`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.PgConn().Exec(t.Context(), source.EverythingTables).ReadAll(); err != nil {
		t.Fatal(err)
	}
	missing, err := db.Query(t.Context(), `SELECT typname::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'e', 'm', 'r', 'd') AND typcategory <> 'A'
AND oid NOT IN (SELECT atttypid FROM pg_attribute WHERE attrelid IN ('types.everything'::regclass, 'internals.everything'::regclass))`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(missing, pgx.RowTo[string])
	if err != nil || len(names) > 0 {
		t.Errorf("types that it has no column of: %v, %v", names, err)
	}
}

func TestWebHasCircles(t *testing.T) {
	db := open(t)
	if err := source.OpenWeb(t.Context(), db, 60, 50, 1); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, `SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'web'::regnamespace`); n != 180 {
		t.Errorf("%d foreign keys, want 180", n)
	}
	if n := count(t, db, `SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'web'::regnamespace AND confrelid = conrelid`); n == 0 {
		t.Error("no table refers to itself")
	}
	if n := count(t, db, `SELECT count(*) FROM web.t60 WHERE to0 IS NOT NULL`); n != 40 {
		t.Errorf("%d rows refer to others, want 40", n)
	}
}
