package source

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
)

// ShopTables makes the shop's tables, in the source and in the target.
//
//go:embed shop.sql
var ShopTables string

// ShopRules are the rules between rows, which the source has from the beginning,
// and the target from the cut-over on: until then a row may come before the one
// that it refers to. Aurora DSQL has no foreign keys.
var ShopRules = []string{
	`ALTER TABLE shop.customer ADD UNIQUE (email)`,
	`ALTER TABLE shop.seat ADD UNIQUE (customer) DEFERRABLE`,
	`ALTER TABLE shop.orders ADD FOREIGN KEY (customer) REFERENCES shop.customer ON UPDATE CASCADE`,
}

// KeyedTables are the shop's tables that have a primary key, and Unkeyed is the
// one without.
var KeyedTables = []change.TableName{{Schema: "shop", Name: "customer"}, {Schema: "shop", Name: "orders"}, {Schema: "shop", Name: "seat"}, {Schema: "shop", Name: "reading"}}

// Unkeyed is a table without a key.
var Unkeyed = change.TableName{Schema: "shop", Name: "visit"}

// A Shop is an application that writes to its database. The same seed writes the
// same.
type Shop struct {
	db     *pgx.Conn
	chance *rand.Rand
}

// OpenShop makes the shop's tables in a database and fills them.
func OpenShop(ctx context.Context, db *pgx.Conn, source string, seed uint64, customers int) (*Shop, error) {
	s := &Shop{db: db, chance: rand.New(rand.NewPCG(seed, 11))}
	setup := []string{ShopTables, `ALTER TABLE shop.customer ALTER about SET STORAGE EXTERNAL`}
	setup = append(setup, ShopRules...)
	for _, t := range KeyedTables {
		// Of orders the log has the key alone, which is enough for DMS: it has no large
		// values.
		if t.Name != "orders" || source == change.SourceDSQL {
			setup = append(setup, `ALTER TABLE `+quoted(t.Schema, t.Name)+` REPLICA IDENTITY FULL`)
		}
	}
	for _, sql := range setup {
		if _, err := db.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("make the shop's tables: %w", err)
		}
	}
	for _, sql := range []string{
		`INSERT INTO shop.customer SELECT i, format('c%s@example.com', i), 'customer ' || i, CASE WHEN i % 4 = 0 THEN repeat(md5(i::text), 100) END, now() - i * interval '1 hour' FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO shop.orders SELECT i, n, 'open', (i * n) / 7.0, timestamp '2024-02-29 12:00' + n * interval '1 second' FROM generate_series(1, $1::int) AS i, generate_series(1, 3) AS n`,
		`INSERT INTO shop.seat SELECT i, i FROM generate_series(1, $1::int / 10 + 2) AS i`,
		`INSERT INTO shop.visit SELECT i, 0, now() FROM generate_series(1, $1::int / 10) AS i`,
	} {
		if _, err := db.Exec(ctx, sql, customers); err != nil {
			return nil, fmt.Errorf("fill the shop: %w", err)
		}
	}
	for range customers / 10 {
		if _, err := db.Exec(ctx, addReading, s.chance.Int64()); err != nil {
			return nil, fmt.Errorf("fill the shop: %w", err)
		}
	}
	return s, nil
}

// $1 is a random number: of the rows, one is picked by it. Values are chosen to
// be hard: the limits of their types, digits that a float64 lacks (18, for DMS
// loses some of more), empty text, no value.
const (
	somebody   = `(SELECT id FROM shop.customer ORDER BY md5(id || 'c' || $1::bigint) LIMIT 1)`
	someOrder  = `(customer, number) = (SELECT customer, number FROM shop.orders ORDER BY md5(customer || 'o' || number || 'o' || $1::bigint) LIMIT 1)`
	addReading = `INSERT INTO shop.reading SELECT md5('r' || n)::uuid, CASE n % 3 WHEN 0 THEN -32768 WHEN 1 THEN 32767 END, n % 2147483647,
CASE n % 4 WHEN 0 THEN 999999999999999999 WHEN 1 THEN 9007199254740993 WHEN 2 THEN -n % 1000000 END,
CASE n % 5 WHEN 0 THEN 0.10 WHEN 1 THEN 12345678901234 WHEN 2 THEN -0.000001 END, (n % 1000) / 8.0, n / 3.0, n % 2 = 0, CASE n % 3 WHEN 0 THEN 'ab' WHEN 1 THEN '' END,
CASE n % 6 WHEN 0 THEN '' WHEN 1 THEN E'tab\t"quote" \\ newline\n' WHEN 2 THEN 'žluťoučký 😀' WHEN 3 THEN 'null' ELSE md5(n::text) END,
CASE n % 3 WHEN 0 THEN '\x'::bytea WHEN 1 THEN decode(md5(n::text), 'hex') END, date '1969-12-31' + (n % 40000)::int, time '00:00' + (n % 86400) * interval '1 second',
timestamp '2000-02-29 23:59:59.999' + (n % 100000) * interval '1 minute', timestamptz '1999-12-31 23:59:59.999999+00' + (n % 100000) * interval '1 hour',
CASE n % 3 WHEN 0 THEN '{"a": [1, "2", null], "n": 1.50}'::jsonb WHEN 1 THEN 'null'::jsonb END
FROM (SELECT $1::bigint AS n) AS x ON CONFLICT (id) DO UPDATE SET medium = excluded.small, words = NULL, at = excluded.at`
)

// steps are what the application does, each in one transaction.
var steps = [][]string{
	{ // somebody new orders
		`INSERT INTO shop.customer SELECT max(id) + 1, format('c%s@example.com', max(id) + 1), 'new', repeat(md5($1::bigint::text), 80), now() FROM shop.customer`,
		`INSERT INTO shop.orders SELECT max(id), 1, 'open', 9.99, localtimestamp FROM shop.customer`,
	},
	{`INSERT INTO shop.orders SELECT c.id, coalesce((SELECT max(number) FROM shop.orders o WHERE o.customer = c.id), 0) + 1, 'open', NULL, localtimestamp FROM ` + somebody + ` AS c`},
	{`UPDATE shop.orders SET status = 'paid', total = coalesce(total, 0) + 0.01 WHERE ` + someOrder},
	{`UPDATE shop.orders SET status = 'sent' WHERE ` + someOrder, `UPDATE shop.orders SET total = NULL WHERE ` + someOrder},
	// What is large stays as it is.
	{`UPDATE shop.customer SET name = 'renamed ' || $1::bigint % 1000 WHERE id = ` + somebody},
	{`DELETE FROM shop.orders WHERE ` + someOrder},
	{`DELETE FROM shop.orders WHERE customer = ` + somebody, `UPDATE shop.seat SET customer = NULL WHERE customer = ` + somebody, `DELETE FROM shop.customer WHERE id = ` + somebody},
	// Keys change.
	{`UPDATE shop.orders SET number = (SELECT max(number) + 1 FROM shop.orders) WHERE ` + someOrder},
	{`UPDATE shop.orders SET number = -number WHERE ` + someOrder, `UPDATE shop.orders SET number = -number WHERE number < 0`},
	{`UPDATE shop.customer SET id = (SELECT max(id) + 1 FROM shop.customer) WHERE id = ` + somebody},
	// Two change places.
	{
		`UPDATE shop.seat SET customer = CASE id WHEN 1 THEN (SELECT customer FROM shop.seat WHERE id = 2) ELSE (SELECT customer FROM shop.seat WHERE id = 1) END WHERE id IN (1, 2)`,
	},
	// There and gone within a transaction; gone and there again.
	{`INSERT INTO shop.seat VALUES (1000000, -1)`, `UPDATE shop.seat SET customer = -2 WHERE id = 1000000`, `DELETE FROM shop.seat WHERE id = 1000000`},
	{`DELETE FROM shop.seat WHERE id = 2`, `INSERT INTO shop.seat VALUES (2, NULL)`, `UPDATE shop.seat SET customer = - $1::bigint % 1000 - 10 WHERE id = 2`},
	{addReading},
	{`UPDATE shop.reading SET words = '', raw = NULL, double = 1e300, yes = NOT yes WHERE id = (SELECT id FROM shop.reading ORDER BY md5(id::text || $1::bigint) LIMIT 1)`},
	{`DELETE FROM shop.reading WHERE id = (SELECT id FROM shop.reading ORDER BY md5(id::text || $1::bigint) LIMIT 1)`},
	{`INSERT INTO shop.visit SELECT ` + somebody + `, 1 + count(*), now() FROM shop.visit`},
}

// Change has the application do n transactions; some others are rolled back.
func (s *Shop) Change(ctx context.Context, n int) error {
	for i := 0; i < n; {
		step, number := steps[s.chance.IntN(len(steps))], s.chance.Int64()
		tx, err := s.db.Begin(ctx)
		if err != nil {
			return err
		}
		for _, sql := range step {
			var args []any
			if strings.Contains(sql, "$1") {
				args = []any{number}
			}
			if _, err = tx.Exec(ctx, sql, args...); err != nil {
				return fmt.Errorf("change the shop: %.80s: %w", sql, err)
			}
		}
		if s.chance.IntN(20) == 0 {
			err = tx.Rollback(ctx)
		} else {
			err = tx.Commit(ctx)
			i++
		}
		if err != nil {
			return err
		}
	}
	return nil
}
