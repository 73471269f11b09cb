package dsql_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/local/dsql"
	"godwit/internal/testdb"
)

const (
	oc000 = "change conflicts with another transaction (OC000)"
	oc001 = "schema has been updated by another transaction (OC001)"
)

func TestWritersOfOneRowConflict(t *testing.T) {
	d := testdb.NewDSQLWith(t, dsql.Config{Limits: dsql.Limits{LockWait: 50 * time.Millisecond}})
	a, b := connect(t, d, "admin"), connect(t, d, "admin")
	do(t, a, `CREATE TABLE t (id bigint PRIMARY KEY, v int)`, `INSERT INTO t VALUES (1, 0)`)
	if err := again(func() error { _, err := b.Exec(t.Context(), `SELECT * FROM t`); return err }); err != nil {
		t.Fatal(err)
	}
	// One waits for the other in vain, and one sees what changed meanwhile.
	do(t, a, `BEGIN`, `UPDATE t SET v = 1`)
	do(t, b, `BEGIN`)
	_, err := b.Exec(t.Context(), `UPDATE t SET v = 2`)
	wantRefusal(t, err, "40001", oc000)
	do(t, b, `ROLLBACK`, `BEGIN`, `SELECT * FROM t`)
	do(t, a, `COMMIT`)
	_, err = b.Exec(t.Context(), `UPDATE t SET v = v + 1`)
	wantRefusal(t, err, "40001", oc000)
	do(t, b, `ROLLBACK`, `UPDATE t SET v = v + 1`)
	// A definition and a writer of its table conflict, too.
	do(t, a, `BEGIN`, `INSERT INTO t VALUES (2, 0)`)
	_, err = b.Exec(t.Context(), `ALTER TABLE t ADD COLUMN w int`)
	wantRefusal(t, err, "40001", oc001)
	do(t, a, `ROLLBACK`)
	var v int
	if err := a.QueryRow(t.Context(), `SELECT v FROM t`).Scan(&v); err != nil || v != 2 {
		t.Errorf("got %d, %v, want 2", v, err)
	}
}

func TestSessionWithAnOlderCatalogHearsOfItOnce(t *testing.T) {
	d := testdb.NewDSQL(t)
	a, b := connect(t, d, "admin"), connect(t, d, "admin")
	do(t, a, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `CREATE TABLE other (id bigint PRIMARY KEY)`, `CREATE ROLE r`)
	_, err := b.Exec(t.Context(), `SELECT count(*) FROM t`)
	wantRefusal(t, err, "40001", oc001)
	do(t, a, `CREATE TABLE IF NOT EXISTS t (id bigint)`) // changes nothing
	do(t, b, `SELECT count(*) FROM t`)
	for _, sql := range []string{`ALTER TABLE t ADD COLUMN w int`, `GRANT SELECT ON t TO r`} {
		do(t, a, sql, `SELECT count(*) FROM t`) // its own change is no surprise
		_, err := b.Exec(t.Context(), `SELECT count(*) FROM t WHERE id = $1`, 1)
		wantRefusal(t, err, "40001", oc001)
		do(t, b, `SELECT count(*) FROM t`)
	}
	waitForJob(t, a, job(t, a, `CREATE INDEX ASYNC ON t (v)`))
	_, err = b.Exec(t.Context(), `INSERT INTO t VALUES (1)`)
	wantRefusal(t, err, "40001", oc001)
	do(t, b, `INSERT INTO t VALUES (1)`)
	// A table that nobody changed is read in peace.
	if err := again(func() error { _, err := a.Exec(t.Context(), `ALTER TABLE t RENAME COLUMN w TO x`); return err }); err != nil {
		t.Fatal(err)
	}
	do(t, b, `SELECT count(*) FROM other`)
	// The first error masks no second: the transaction is over.
	do(t, b, `BEGIN`)
	_, err = b.Exec(t.Context(), `INSERT INTO t VALUES (2)`)
	wantRefusal(t, err, "40001", oc001)
	_, err = b.Exec(t.Context(), `INSERT INTO t VALUES (2)`)
	if e := refusal(t, err); e.Code != "25P02" {
		t.Errorf("got %s, want 25P02", e.Code)
	}
	do(t, b, `ROLLBACK`)
}

// Each fault at a commit either has an effect or none, and says so or not,
// whichever way the rows came.
func TestFaultsAtACommit(t *testing.T) {
	ctx := t.Context()
	var mu sync.Mutex
	var fault dsql.Fault
	var commits []int
	d := testdb.NewDSQLWith(t, dsql.Config{Fault: func(e dsql.Event) dsql.Effect {
		mu.Lock()
		defer mu.Unlock()
		if e.Moment != dsql.Commit || e.Verb != "insert" && e.Verb != "copy" {
			return dsql.Effect{}
		}
		commits = append(commits, e.Seq)
		return dsql.Effect{Fault: fault}
	}})
	do(t, connect(t, d, "admin"), `CREATE TABLE t (id text PRIMARY KEY)`)
	look := testdb.Connect(t, d.SuperuserDSN)
	ways := []struct {
		name  string
		write func(c *pgx.Conn, id string) error
	}{
		{"explicit", func(c *pgx.Conn, id string) error {
			return in(ctx, c, func() error { _, err := c.Exec(ctx, `INSERT INTO t VALUES ('`+id+`')`); return err })
		}},
		{"simple", func(c *pgx.Conn, id string) error {
			_, err := c.Exec(ctx, `INSERT INTO t VALUES ('`+id+`')`)
			return err
		}},
		{"extended", func(c *pgx.Conn, id string) error { _, err := c.Exec(ctx, `INSERT INTO t VALUES ($1)`, id); return err }},
		{"copy", func(c *pgx.Conn, id string) error { return copyRows(ctx, c, `COPY t FROM STDIN`, id+"\n") }},
	}
	for _, test := range []struct {
		fault   dsql.Fault
		message string // "" is none, or an end without a word
		effect  bool
		open    bool
	}{
		{dsql.None, "", true, true},
		{dsql.Conflict, oc000, false, true},
		{dsql.SchemaChanged, oc001, false, true},
		{dsql.CutBefore, "", false, false},
		{dsql.CutAfter, "", true, false},
		{dsql.KillBefore, "", false, false},
		{dsql.KillAfter, "", true, false},
	} {
		for _, way := range ways {
			name := test.fault.String() + ", " + way.name
			c := connect(t, d, "admin")
			mu.Lock()
			fault, commits = test.fault, nil
			mu.Unlock()
			err := way.write(c, name)
			var e *pgconn.PgError
			switch {
			case test.fault == dsql.None:
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case test.message != "":
				wantRefusal(t, err, "40001", test.message)
			case err == nil || errors.As(err, &e):
				t.Errorf("%s: got %v, want an end without an error of the server", name, err)
			}
			if c.IsClosed() == test.open {
				t.Errorf("%s: the connection is closed: %t", name, c.IsClosed())
			}
			mu.Lock()
			if len(commits) != 1 {
				t.Errorf("%s: asked for commits %v, want one", name, commits)
			}
			mu.Unlock()
			var there bool
			if err := look.QueryRow(ctx, `SELECT EXISTS (SELECT FROM t WHERE id = $1)`, name).Scan(&there); err != nil || there != test.effect {
				t.Errorf("%s: the row is there: %t, %v", name, there, err)
			}
		}
	}
}

func TestFaultsAtConnectionsAndStatements(t *testing.T) {
	var mu sync.Mutex
	var next dsql.Effect
	var seen []string
	will := func(e dsql.Effect) {
		mu.Lock()
		defer mu.Unlock()
		next = e
	}
	d := testdb.NewDSQLWith(t, dsql.Config{Fault: func(e dsql.Event) dsql.Effect {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s %d %d %s %s", e.Moment, e.Conn, e.Seq, e.User, e.Verb))
		effect := next
		next = dsql.Effect{}
		return effect
	}})
	will(dsql.Effect{Fault: dsql.Throttle})
	_, err := pgx.ConnectConfig(t.Context(), settings(t, d, "admin"))
	wantRefusal(t, err, "53400", "Unable to accept connection, rate exceeded.")
	for _, f := range []dsql.Fault{dsql.CutBefore, dsql.CutAfter} {
		will(dsql.Effect{Fault: f})
		_, err := pgx.ConnectConfig(t.Context(), settings(t, d, "admin"))
		var e *pgconn.PgError
		if err == nil || errors.As(err, &e) {
			t.Errorf("%s: got %v, want an end without an error of the server", f, err)
		}
	}
	c := connect(t, d, "admin")
	will(dsql.Effect{Fault: dsql.Conflict})
	_, err = c.Exec(t.Context(), `SELECT 1`)
	wantRefusal(t, err, "40001", oc000)
	will(dsql.Effect{Fault: dsql.SchemaChanged})
	_, err = c.Exec(t.Context(), `SELECT $1::int`, 1)
	wantRefusal(t, err, "40001", oc001)
	will(dsql.Effect{Delay: 30 * time.Millisecond})
	began := time.Now()
	do(t, c, `SELECT 1`)
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("a delay of 30 ms took %s", took)
	}
	will(dsql.Effect{Fault: dsql.CutAfter})
	if _, err := c.Exec(t.Context(), `SELECT 1`); err == nil || !c.IsClosed() {
		t.Errorf("got %v, want an end", err)
	}
	// A COPY that ends within leaves nothing.
	c = connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY)`, `BEGIN`)
	will(dsql.Effect{Fault: dsql.CutWithin})
	if err := copyRows(t.Context(), c, `COPY t FROM STDIN`, lines(1, 10, "")); err == nil || !c.IsClosed() {
		t.Errorf("got %v, want an end", err)
	}
	c = connect(t, d, "admin")
	var n int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != 0 {
		t.Errorf("got %d rows, %v, want 0", n, err)
	}
	mu.Lock()
	defer mu.Unlock()
	seen = seen[:min(8, len(seen))]
	if len(seen) != 8 || seen[0] != "connect 1 1 admin " || seen[4] != "statement 4 1 admin select" {
		t.Errorf("got moments %q", seen)
	}
}
