package source

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"
)

// StorefrontTables makes the tables of a storefront, in an empty database.
//
//go:embed storefront.sql
var StorefrontTables string

//go:embed storefront_rows.sql
var storefrontRows string

// EverythingTables makes and fills a table with a column of every type that
// PostgreSQL has built in: types.everything.
//
//go:embed everything.sql
var EverythingTables string

// OpenStorefront makes the tables of a storefront, owned by whoever db is, and
// fills them with about as many rows as asked for, no fewer than some hundreds.
// The same rows and seed make the same values.
func OpenStorefront(ctx context.Context, db *pgx.Conn, rows int, seed uint64) error {
	if err := script(ctx, db, StorefrontTables); err != nil {
		return fmt.Errorf("make the storefront's tables: %w", err)
	}
	_, err := db.Exec(ctx, `SELECT set_config('storefront.seed', $1::bigint::text, false), set_config('storefront.rows', $2::int::text, false)`, int64(seed), rows)
	if err != nil {
		return fmt.Errorf("fill the storefront: %w", err)
	}
	if err := script(ctx, db, storefrontRows); err != nil {
		return fmt.Errorf("fill the storefront: %w", err)
	}
	return nil
}

// script runs statements of one text, as psql does.
func script(ctx context.Context, db *pgx.Conn, text string) error {
	_, err := db.PgConn().Exec(ctx, text).ReadAll()
	return err
}

// OpenWeb makes tables web.t1 to web.tN, with n rows each, in a web of foreign
// keys: each table refers to some others or to itself, in circles too, by keys of
// one column and of two.
func OpenWeb(ctx context.Context, db *pgx.Conn, tables, n int, seed uint64) error {
	chance := rand.New(rand.NewPCG(seed, 7))
	var tablesSQL, link, fill strings.Builder
	tablesSQL.WriteString("CREATE SCHEMA web;\n")
	fill.WriteString("BEGIN; SET CONSTRAINTS ALL DEFERRED;\n")
	wide := func(t int) bool { return t%4 == 0 } // with a key of two columns
	for t := 1; t <= tables; t++ {
		columns, key, values := []string{"id bigint NOT NULL", "words text"}, "id", []string{"i", fmt.Sprintf("'t%d ' || i", t)}
		if wide(t) {
			columns, key, values = append(columns, "part character(2) NOT NULL"), "id, part", append(values, "chr(97 + (i % 26)::integer) || 'x'")
		}
		names := []string{"id", "words", "part"}[:len(columns)]
		// The next one closes the circle of all.
		for r, to := range []int{t%tables + 1, 1 + chance.IntN(tables), 1 + chance.IntN(tables)} {
			other := fmt.Sprintf("(1 + (i * %d + %d) %% %d)", 1+chance.IntN(9), chance.IntN(n), n)
			column := fmt.Sprintf("to%d", r)
			columns, names, values = append(columns, column+" bigint"), append(names, column), append(values, "CASE WHEN i % 5 > 0 THEN "+other+" END")
			from, at := column, "id"
			if wide(to) {
				columns, names = append(columns, column+"_part character(2)"), append(names, column+"_part")
				values = append(values, "CASE WHEN i % 5 > 0 THEN chr(97 + "+other+"::integer % 26) || 'x' END")
				from, at = column+", "+column+"_part", "id, part"
			}
			fmt.Fprintf(&link, "ALTER TABLE web.t%d ADD FOREIGN KEY (%s) REFERENCES web.t%d (%s) DEFERRABLE;\n", t, from, to, at)
		}
		fmt.Fprintf(&tablesSQL, "CREATE TABLE web.t%d (%s, PRIMARY KEY (%s));\n", t, strings.Join(columns, ", "), key)
		fmt.Fprintf(&fill, "INSERT INTO web.t%d (%s) SELECT %s FROM generate_series(1::bigint, %d) AS i;\n", t, strings.Join(names, ", "), strings.Join(values, ", "), n)
	}
	fill.WriteString("COMMIT;")
	for _, text := range []string{tablesSQL.String(), link.String(), fill.String()} {
		if err := script(ctx, db, text); err != nil {
			return fmt.Errorf("make a web of %d tables: %w", tables, err)
		}
	}
	return nil
}

// StorefrontRules are the rules that the storefront is loaded by: every key becomes
// a UUID.
//
//go:embed storefront.json
var StorefrontRules []byte
