package dsql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/local/dsql"
	"godwit/internal/testdb"
)

// copyRows sends lines as COPY text.
func copyRows(ctx context.Context, c *pgx.Conn, sql, lines string) error {
	_, err := c.PgConn().CopyFrom(ctx, strings.NewReader(lines), sql)
	return err
}

func lines(from, n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d\t%s\n", from+i, value)
	}
	return b.String()
}

// in runs statements in a transaction and returns the first error, that of the
// commit included.
func in(ctx context.Context, c *pgx.Conn, work func() error) error {
	if _, err := c.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := work(); err != nil {
		_, rollback := c.Exec(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}
	_, err := c.Exec(ctx, "COMMIT")
	return err
}

func TestTransactionChangesAtMost3000Rows(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	ctx := t.Context()
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `CREATE TABLE child (id bigint PRIMARY KEY, t bigint REFERENCES t ON DELETE CASCADE)`,
		`CREATE FUNCTION touch() RETURNS void LANGUAGE sql AS $$ UPDATE t SET v = v WHERE id BETWEEN 1 AND 1500 $$`)
	exec := func(sql string) func() error {
		return func() error { _, err := c.Exec(ctx, sql); return err }
	}
	for _, test := range []struct {
		name  string
		steps []func() error
		ok    bool
	}{
		{"3000 by INSERT", []func() error{exec(`INSERT INTO t SELECT g, 'x' FROM generate_series(1, 3000) g`)}, true},
		{"3001 by INSERT", []func() error{exec(`INSERT INTO t SELECT g, 'x' FROM generate_series(10001, 13001) g`)}, false},
		{"3001 by two", []func() error{exec(`INSERT INTO t SELECT g, 'x' FROM generate_series(10001, 13000) g`), exec(`INSERT INTO t VALUES (9999, 'x')`)}, false},
		{"3000 by COPY", []func() error{func() error { return copyRows(ctx, c, `COPY t FROM STDIN`, lines(20001, 3000, "x")) }}, true},
		{"3001 by COPY", []func() error{func() error { return copyRows(ctx, c, `COPY t (id, v) FROM STDIN`, lines(30001, 3001, "x")) }}, false},
		{"COPY and INSERT", []func() error{func() error { return copyRows(ctx, c, `COPY t FROM STDIN`, lines(30001, 3000, "x")) }, exec(`INSERT INTO child VALUES (1, 1)`)}, false},
		{"UPDATE", []func() error{exec(`UPDATE t SET v = 'y' WHERE id <= 3000`), exec(`UPDATE t SET v = 'z' WHERE id = 20001`)}, false},
		{"DELETE", []func() error{exec(`DELETE FROM t WHERE id <= 20001`)}, false},
		{"rows that are locked", []func() error{exec(`SELECT * FROM t WHERE id <= 3000 FOR KEY SHARE`), exec(`UPDATE t SET v = 'z' WHERE id = 20001`)}, false},
		{"a function", []func() error{exec(`SELECT touch(), touch(), touch()`)}, false},
		{"DELETE in a query", []func() error{exec(`WITH gone AS (DELETE FROM t WHERE id <= 20001 RETURNING 1) SELECT count(*) FROM gone`)}, false},
		{"children", []func() error{exec(`INSERT INTO child SELECT g, 1 FROM generate_series(1, 2999) g`)}, true},
		{"cascade of 2999", []func() error{exec(`DELETE FROM t WHERE id = 1`)}, true},
		{"children again", []func() error{exec(`INSERT INTO child SELECT g, 2 FROM generate_series(1, 3000) g`)}, true},
		{"cascade of 3000", []func() error{exec(`DELETE FROM t WHERE id = 2`)}, false},
	} {
		err := in(ctx, c, func() error {
			for _, step := range test.steps {
				if err := step(); err != nil {
					return err
				}
			}
			return nil
		})
		if test.ok {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: got no error", test.name)
			continue
		}
		wantRefusal(t, err, "54000", "transaction row limit exceeded")
		if e := refusal(t, err); e.Where != "" {
			t.Errorf("%s: the error tells of the inside: %s", test.name, e.Where)
		}
	}
	// Without BEGIN, too.
	_, err := c.Exec(ctx, `INSERT INTO t SELECT g, 'x' FROM generate_series(10001, 13001) g`)
	wantRefusal(t, err, "54000", "transaction row limit exceeded")
	var n int
	if err := c.QueryRow(ctx, `SELECT count(*) FROM t`).Scan(&n); err != nil || n != 5999 {
		t.Errorf("got %d rows, %v, want 5999", n, err)
	}
}

// random is text that no compression makes shorter.
func random(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// The size counts rows, their overhead and the entries of indexes, and is told
// when the transaction commits: 500 rows of 19 KB fit without an index and do not
// with four.
func TestTransactionChangesAtMost10MiB(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	ctx := t.Context()
	do(t, c, `CREATE TABLE plain (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a text, b text, c text, d text, v text)`,
		`CREATE TABLE indexed (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a text UNIQUE, b text UNIQUE, c text UNIQUE, d text UNIQUE, v text)`)
	fill := func(table string, mebibytes float64) error {
		raw := int(mebibytes*(1<<20)) / 500
		var b strings.Builder
		for i := range 500 {
			for k := range 4 {
				fmt.Fprintf(&b, "%0100d\t", i*4+k)
			}
			b.WriteString(random(raw-416) + "\n")
		}
		return in(ctx, c, func() error {
			if err := copyRows(ctx, c, `COPY `+table+` (a, b, c, d, v) FROM STDIN`, b.String()); err != nil {
				return err
			}
			_, err := c.Exec(ctx, `SELECT 1`)
			return err
		})
	}
	for _, test := range []struct {
		table     string
		mebibytes float64
		ok        bool
	}{
		{"plain", 9.90, true}, {"plain", 9.97, false}, {"indexed", 9.0, true}, {"indexed", 9.2, false},
	} {
		err := fill(test.table, test.mebibytes)
		if test.ok {
			if err != nil {
				t.Errorf("%s of %g MiB: %v", test.table, test.mebibytes, err)
			}
			do(t, c, `DELETE FROM `+test.table)
			continue
		}
		if err == nil {
			t.Errorf("%s of %g MiB: got no error", test.table, test.mebibytes)
			continue
		}
		wantRefusal(t, err, "54000", "transaction size limit 10mb exceeded")
		var size, most float64
		if _, err := fmt.Sscanf(refusal(t, err).Detail, "Current transaction size %gmb > %gmb", &size, &most); err != nil || size < 10 || size > 10.5 || most != 10 {
			t.Errorf("got detail %q: %v", refusal(t, err).Detail, err)
		}
	}
}

func TestValuesRowsAndKeysHaveLimits(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	ctx := t.Context()
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text, w text, x text, b bytea, j jsonb, c varchar)`, `CREATE TABLE k (id text, n text, PRIMARY KEY (id, n))`, `CREATE TABLE u (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n text UNIQUE)`)
	for i, test := range []struct{ sql, message string }{
		{`INSERT INTO t (id, v) VALUES ($1, repeat('x', 1048576))`, ""},
		{`INSERT INTO t (id, v) VALUES ($1, repeat('x', 1048577))`, "datatype limit greater than 1048576 bytes not supported for text"},
		{`INSERT INTO t (id, b) VALUES ($1, convert_to(repeat('x', 1048577), 'UTF8'))`, "datatype limit greater than 1048576 bytes not supported for bytea"},
		{`INSERT INTO t (id, j) VALUES ($1, to_jsonb(repeat('x', 1048577)))`, "datatype limit greater than 1048576 bytes not supported for jsonb"},
		{`INSERT INTO t (id, c) VALUES ($1, repeat('x', 65536))`, "datatype limit greater than 65535 bytes not supported for varchar"},
		{`INSERT INTO t (id, v, w) VALUES ($1, repeat('x', 1000000), repeat('x', 1000000))`, ""},
		{`INSERT INTO t (id, v, w, x) VALUES ($1, repeat('x', 1000000), repeat('x', 1000000), repeat('x', 200000))`, "maximum row size exceeded"},
		{`INSERT INTO k VALUES (repeat('x', 500), repeat('x', 500) || $1)`, ""},
		{`INSERT INTO k VALUES (repeat('x', 512), repeat('x', 512) || $1)`, "key size too large"},
		{`INSERT INTO u (n) VALUES (repeat('x', 1000) || $1)`, ""},
		{`INSERT INTO u (n) VALUES (repeat('x', 1010) || $1)`, "key size too large"}, // with the primary key's 16
	} {
		arg := any(i)
		if strings.Contains(test.sql, "|| $1") {
			arg = fmt.Sprint(i)
		}
		_, err := c.Exec(ctx, test.sql, arg)
		if test.message == "" {
			if err != nil {
				t.Errorf("%s: %v", test.sql, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: got no error, want %s", test.sql, test.message)
			continue
		}
		wantRefusal(t, err, "54000", test.message)
	}
}

func TestThingsAreLimitedInNumber(t *testing.T) {
	d := testdb.NewDSQLWith(t, dsql.Config{Limits: dsql.Limits{Tables: 3, Views: 1, Sequences: 2, Columns: 4, Indexes: 3}})
	c := connect(t, d, "admin")
	for i := range 10 {
		do(t, c, fmt.Sprintf(`CREATE SCHEMA s%d`, i))
	}
	do(t, c, `CREATE TABLE a (id bigint PRIMARY KEY, v int, w int)`, `CREATE TABLE b (id bigint PRIMARY KEY)`, `CREATE TABLE c (id bigint PRIMARY KEY)`, `CREATE VIEW v AS SELECT 1`,
		`CREATE SEQUENCE q CACHE 1`, `CREATE SEQUENCE r CACHE 1`)
	waitForJob(t, c, job(t, c, `CREATE INDEX ASYNC i ON a (v)`))
	job(t, c, `CREATE INDEX ASYNC ON a (w)`)
	for _, test := range []struct{ sql, code, message string }{
		{`CREATE SCHEMA s10`, "54000", "more than 10 schemas not allowed"},
		{`CREATE TABLE d (id int)`, "54000", "creating more than 3 tables not allowed"},
		{`CREATE VIEW w AS SELECT 1`, "54000", "creating more than 1 views not allowed"},
		{`CREATE SEQUENCE s CACHE 1`, "54000", "creating more than 2 sequences is not allowed"},
		{`DROP TABLE c; CREATE TABLE c (a int, b int, c int, d int, e int)`, "0A000", "multiple ddl statements not supported in a transaction"},
		{`CREATE INDEX ASYNC l ON a (v, w)`, "54000", "more than 3 indexes per table are not allowed"},
	} {
		err := again(func() error { _, err := c.Exec(t.Context(), test.sql); return err })
		if err == nil {
			t.Errorf("%s: got no error", test.sql)
			continue
		}
		wantRefusal(t, err, test.code, test.message)
	}
	do(t, c, `DROP TABLE c`)
	_, err := c.Exec(t.Context(), `CREATE TABLE c (a int, b int, c int, d int, e int)`)
	wantRefusal(t, err, "54011", "tables can have at most 4 columns")
}

// A clock is a test's.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestTransactionLasts300Seconds(t *testing.T) {
	clock := newClock()
	d := testdb.NewDSQLWith(t, dsql.Config{Now: clock.Now})
	c := connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY)`)
	for lasts, ok := range map[time.Duration]bool{300 * time.Second: true, 301 * time.Second: false} {
		err := in(t.Context(), c, func() error {
			_, err := c.Exec(t.Context(), `INSERT INTO t VALUES ($1)`, int64(lasts))
			clock.Advance(lasts)
			return err
		})
		if ok {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		wantRefusal(t, err, "54000", "transaction age limit of 300s exceeded")
		if got := refusal(t, err).Detail; got != "Current transaction age 301s exceeds 300s" {
			t.Errorf("got detail %q", got)
		}
	}
}

func TestConnectionEndsAfterAnHour(t *testing.T) {
	clock := newClock()
	d := testdb.NewDSQLWith(t, dsql.Config{Now: clock.Now})
	idle, busy := connect(t, d, "admin"), connect(t, d, "admin")
	do(t, busy, `CREATE TABLE t (id bigint PRIMARY KEY)`)
	clock.Advance(59 * time.Minute)
	do(t, idle, `SELECT 1`)
	do(t, busy, `BEGIN`)
	clock.Advance(2 * time.Minute)
	deadline := time.Now().Add(10 * time.Second)
	for !idle.IsClosed() && time.Now().Before(deadline) {
		_, _ = idle.Exec(t.Context(), `SELECT 1`)
	}
	_, err := idle.Exec(t.Context(), `SELECT 1`)
	var pg *pgconn.PgError
	if err == nil || errors.As(err, &pg) {
		t.Errorf("got %v, want an end without an error of the server", err)
	}
	do(t, busy, `INSERT INTO t VALUES (1)`, `COMMIT`) // what was begun in the hour may end
}

func TestLongMessageEndsTheConnectionWithoutAWord(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	if _, err := c.Exec(t.Context(), `SELECT length($1)`, strings.Repeat("x", 10<<20-100)); err != nil {
		t.Fatalf("just under the limit: %v", err)
	}
	_, err := c.Exec(t.Context(), `SELECT length($1)`, strings.Repeat("x", 10<<20+1))
	var pg *pgconn.PgError
	if err == nil || errors.As(err, &pg) || !c.IsClosed() {
		t.Errorf("got %v, want an end without an error of the server", err)
	}
}

func TestConnectionsAreMadeAtARate(t *testing.T) {
	clock := newClock()
	d := testdb.NewDSQLWith(t, dsql.Config{Now: clock.Now, Limits: dsql.Limits{ConnectBurst: 3, ConnectRate: 2, Connections: 4}})
	for range 3 {
		connect(t, d, "admin")
	}
	_, err := pgx.ConnectConfig(t.Context(), settings(t, d, "admin"))
	wantRefusal(t, err, "53400", "Unable to accept connection, rate exceeded.")
	clock.Advance(500 * time.Millisecond)
	connect(t, d, "admin")
	clock.Advance(time.Minute)
	_, err = pgx.ConnectConfig(t.Context(), settings(t, d, "admin"))
	wantRefusal(t, err, "53300", "Unable to accept connection, too many open connections.")
}

func TestOneDefinitionATransaction(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY)`, `CREATE ROLE r WITH LOGIN`)
	const many, mixed = "multiple ddl statements not supported in a transaction", "ddl and dml are not supported in the same transaction"
	for _, test := range []struct{ first, second, message string }{
		{`CREATE TABLE a (id int)`, `CREATE TABLE b (id int)`, many},
		{`CREATE TABLE a (id int)`, `GRANT SELECT ON t TO r`, many},
		{`CREATE INDEX ASYNC i ON t (id)`, `CREATE INDEX ASYNC j ON t (id)`, many},
		{`AWS IAM GRANT r TO 'arn:aws:iam::123456789012:role/x'`, `DROP TABLE t`, many},
		{`CREATE TABLE a (id int)`, `INSERT INTO t VALUES (1)`, mixed},
		{`INSERT INTO t VALUES (1)`, `CREATE TABLE a (id int)`, mixed},
		{`DELETE FROM t`, `CREATE INDEX ASYNC i ON t (id)`, mixed},
	} {
		err := in(t.Context(), c, func() error {
			if _, err := c.Exec(t.Context(), test.first); err != nil {
				t.Errorf("%s: %v", test.first, err)
			}
			_, err := c.Exec(t.Context(), test.second)
			if err != nil {
				// The first error is the only one that says why.
				for _, sql := range []string{`SELECT 1`, `TRUNCATE t`} {
					_, after := c.Exec(t.Context(), sql)
					wantRefusal(t, after, "25P02", "current transaction is aborted, commands ignored until end of transaction block")
					_, after = c.Exec(t.Context(), sql, pgx.QueryExecModeExec)
					wantRefusal(t, after, "25P02", "current transaction is aborted, commands ignored until end of transaction block")
				}
			}
			return err
		})
		if err == nil {
			t.Errorf("%s, %s: got no error", test.first, test.second)
			continue
		}
		wantRefusal(t, err, "0A000", test.message)
	}
	// COPY is DML, too; and nothing of the failed transactions is there.
	err := in(t.Context(), c, func() error {
		do(t, c, `CREATE TABLE a (id int)`)
		_, err := c.PgConn().CopyFrom(t.Context(), bytes.NewReader(nil), `COPY t FROM STDIN`)
		return err
	})
	wantRefusal(t, err, "0A000", mixed)
	var n int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&n); err != nil || n != 1 {
		t.Errorf("got %d tables, %v, want 1", n, err)
	}
}
