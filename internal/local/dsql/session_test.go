package dsql_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/local/dsql"
	"godwit/internal/testdb"
)

// Every way in which a driver sends a statement goes through.
func TestEveryModeOfTheDriver(t *testing.T) {
	d := testdb.NewDSQL(t)
	do(t, connect(t, d, "admin"), `CREATE TABLE t (id bigint PRIMARY KEY, v text)`)
	for i, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		s := settings(t, d, "admin")
		s.DefaultQueryExecMode = mode
		c, err := pgx.ConnectConfig(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		for k := range 3 { // from the cache, too
			if _, err := c.Exec(t.Context(), `INSERT INTO t VALUES ($1, $2)`, i*10+k, "v"); err != nil {
				t.Errorf("%s: insert: %v", mode, err)
			}
			var n int
			if err := c.QueryRow(t.Context(), `SELECT count(*) FROM t WHERE id >= $1`, i*10).Scan(&n); err != nil || n != k+1 {
				t.Errorf("%s: got %d rows, %v, want %d", mode, n, err, k+1)
			}
			if err := c.QueryRow(t.Context(), `SELECT count(*) FROM sys.jobs WHERE job_id = $1`, "x").Scan(&n); err != nil || n != 0 {
				t.Errorf("%s: got %d jobs, %v, want 0", mode, n, err)
			}
			_, err := c.Exec(t.Context(), `INSERT INTO t VALUES ($1, $2)`, i*10+k, "v")
			if e := refusal(t, err); e.Code != "23505" {
				t.Errorf("%s: got %s, want 23505", mode, e.Code)
			}
		}
		if !waitForJob(t, c, job(t, c, `CREATE INDEX ASYNC ON t (v)`)) {
			t.Errorf("%s: the job failed", mode)
		}
	}
}

// An error of COPY says where it is; a COPY that the client gives up leaves
// nothing; the session goes on.
func TestCopyFails(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`)
	err := copyRows(t.Context(), c, `COPY t FROM STDIN`, "1\ta\nx\tb\n"+lines(3, 10_000, "c"))
	wantRefusal(t, err, "22P02", `invalid input syntax for type bigint: "x"`)
	if e := refusal(t, err); e.Where != `COPY t, line 2, column id: "x"` {
		t.Errorf("got context %q", e.Where)
	}
	_, err = c.PgConn().CopyFrom(t.Context(), &broken{strings.NewReader(lines(1, 100, "v"))}, `COPY t FROM STDIN`)
	if e := refusal(t, err); e.Code != "57014" {
		t.Errorf("got %s %s, want 57014", e.Code, e.Message)
	}
	// In CSV, in pieces of any size.
	if err := copyRows(t.Context(), c, `COPY t (v, id) FROM STDIN WITH (FORMAT csv, HEADER)`, "v,id\n\"a\nb\",1\n,2\n"); err != nil {
		t.Error(err)
	}
	var n int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != 2 {
		t.Errorf("got %d rows, %v, want 2", n, err)
	}
}

// broken is a reader that fails at its end.
type broken struct{ *strings.Reader }

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		err = errors.New("the source is broken")
	}
	return n, err
}

func (b *broken) WriteTo(interface{ Write([]byte) (int, error) }) (int64, error) {
	return 0, errors.New("the source is broken")
}

func TestCommitThatFailsSaysWhy(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE parent (id bigint PRIMARY KEY)`, `CREATE TABLE child (id bigint PRIMARY KEY, parent bigint REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
	insert := func() error { _, err := c.Exec(t.Context(), `INSERT INTO child VALUES (1, 1)`); return err }
	for name, err := range map[string]error{"explicit": in(t.Context(), c, insert), "implicit": insert()} {
		if e := refusal(t, err); e.Code != "23503" || e.ConstraintName != "child_parent_fkey" {
			t.Errorf("%s: got %s of %s, want 23503 of child_parent_fkey", name, e.Code, e.ConstraintName)
		}
		if c.PgConn().TxStatus() != 'I' {
			t.Errorf("%s: the transaction is not over", name)
		}
	}
	_, err := c.Exec(t.Context(), `INSERT INTO child VALUES ($1, 1)`, 1)
	if e := refusal(t, err); e.Code != "23503" {
		t.Errorf("extended: got %s, want 23503", e.Code)
	}
	do(t, c, `BEGIN; INSERT INTO child VALUES (1, 1); INSERT INTO parent VALUES (1); COMMIT`)
}

// What a client had begun when it went away is nobody's.
func TestClientThatLeavesLeavesNothing(t *testing.T) {
	d := testdb.NewDSQL(t)
	a, b := connect(t, d, "admin"), connect(t, d, "admin")
	do(t, a, `CREATE TABLE t (id bigint PRIMARY KEY)`, `BEGIN`, `INSERT INTO t VALUES (1)`)
	if err := a.PgConn().Conn().Close(); err != nil {
		t.Fatal(err)
	}
	if err := again(func() error { _, err := b.Exec(t.Context(), `INSERT INTO t VALUES (1)`); return err }); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	failed := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), `SELECT pg_sleep(600)`)
		failed <- err
	}()
	look := testdb.Connect(t, d.SuperuserDSN)
	for running := false; !running; {
		if err := look.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active')`).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	silent, err := net.Dial("tcp", d.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	began := time.Now()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("closing took %s", took)
	}
	var e *pgconn.PgError
	if err := <-failed; err == nil || errors.As(err, &e) {
		t.Errorf("got %v, want an end without an error of the server", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A cluster that is started again has its tables, roles and jobs.
func TestClusterGoesOn(t *testing.T) {
	clock := newClock()
	config := dsql.Config{Now: clock.Now, JobDelay: time.Minute}
	d := testdb.NewDSQLWith(t, config)
	c := connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `INSERT INTO t VALUES (1, 'v')`, `CREATE ROLE r WITH LOGIN`, `AWS IAM GRANT r TO '`+d.Role+`'`)
	broken, waiting := job(t, c, `CREATE INDEX ASYNC broken ON t (v)`), job(t, c, `CREATE INDEX ASYNC waiting ON t (v)`)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	look := testdb.Connect(t, d.SuperuserDSN)
	for _, sql := range []string{
		`UPDATE sys.job SET status = 'processing' WHERE object_name = 'public.broken'`, `CREATE INDEX broken ON t (id)`,
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass`,
	} {
		if _, err := look.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	config.DSN, config.Gateway, config.Account, config.Region, config.JobDelay = d.SuperuserDSN, d.Gateway, testdb.Account, testdb.Region, 0
	var err error
	if d.Cluster, err = dsql.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c = connect(t, d, "admin")
	if !waitForJob(t, c, broken) || !waitForJob(t, c, waiting) || valid(t, c, "broken") != "valid" || valid(t, c, "waiting") != "valid" {
		t.Error("jobs were lost")
	}
	do(t, connect(t, d, "r"), `SELECT 1`)
	var v string
	if err := connect(t, d, "admin").QueryRow(t.Context(), `SELECT v FROM t`).Scan(&v); err != nil || v != "v" {
		t.Errorf("got %q, %v, want v", v, err)
	}
	// A database of another version is left alone.
	if _, err := look.Exec(t.Context(), `COMMENT ON SCHEMA sys IS 'other'`); err != nil {
		t.Fatal(err)
	}
	if other, err := dsql.Start(t.Context(), config); err == nil {
		t.Errorf("got a cluster over another version's database, %v", other.Close())
	}
}
