package rdsdata_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"

	"godwit/internal/local/rdsdata"
	"godwit/internal/testdb"
)

// sleepy writes a row and then takes longer than the limit of these tests.
const sleepy = `INSERT INTO t SELECT 1 FROM (SELECT pg_sleep(0.8)) s`

const limit = 200 * time.Millisecond

func TestTimeoutRollsBack(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{Timeout: limit})
	a.must(`CREATE TABLE t (a int)`)
	began := time.Now()
	_, err := a.exec(sleepy)
	var timeout *types.StatementTimeoutException
	if !errors.As(err, &timeout) || timeout.DbConnectionId == 0 {
		t.Fatalf("got %v, want StatementTimeoutException with a connection", err)
	}
	if took := time.Since(began); took < limit {
		t.Errorf("got the timeout after %s, want at least %s", took, limit)
	}
	waitIdle(t, db)
	if n := a.long(`SELECT count(*) FROM t`); n != 0 {
		t.Errorf("got %d rows, want the statement rolled back", n)
	}
}

func TestStatementOutlivesCall(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{Timeout: limit})
	a.must(`CREATE TABLE t (a int)`)
	in := a.input(sleepy)
	in.ContinueAfterTimeout = true
	if _, err := a.client.ExecuteStatement(context.Background(), in); code(err) != "StatementTimeoutException" {
		t.Fatalf("got %v, want StatementTimeoutException all the same", err)
	}
	if n := a.long(`SELECT count(*) FROM t`); n != 0 {
		t.Errorf("got %d rows at the timeout, want 0: it is still running", n)
	}
	waitIdle(t, db)
	if n := a.long(`SELECT count(*) FROM t`); n != 1 {
		t.Errorf("got %d rows at the end, want 1", n)
	}
}

// A caller that hangs up gets nothing; its statement ends by itself.
func TestLostCallerDoesNotStopStatement(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TABLE t (a int)`)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := a.client.ExecuteStatement(ctx, a.input(sleepy)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the caller's own timeout", err)
	}
	waitIdle(t, db)
	if n := a.long(`SELECT count(*) FROM t`); n != 1 {
		t.Errorf("got %d rows, want 1", n)
	}
}

func TestTimeoutAbortsTransaction(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{Timeout: limit})
	a.must(`CREATE TABLE t (a int)`)
	tx := a.begin()
	if _, err := a.in(tx, `INSERT INTO t VALUES (2)`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.in(tx, sleepy); code(err) != "StatementTimeoutException" {
		t.Fatalf("got %v, want StatementTimeoutException", err)
	}
	if err := a.commit(tx); code(err) != "TransactionNotFoundException" {
		t.Errorf("got %v, want TransactionNotFoundException", err)
	}
	waitIdle(t, db)
	if n := a.long(`SELECT count(*) FROM t`); n != 0 {
		t.Errorf("got %d rows, want 0", n)
	}
}

func TestTransactionStaysBusyAfterContinuedTimeout(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{Timeout: limit})
	a.must(`CREATE TABLE t (a int)`)
	tx := a.begin()
	in := a.input(sleepy)
	in.ContinueAfterTimeout, in.TransactionId = true, &tx
	if _, err := a.client.ExecuteStatement(context.Background(), in); code(err) != "StatementTimeoutException" {
		t.Fatalf("got %v, want StatementTimeoutException", err)
	}
	if err := a.commit(tx); code(err) != "DatabaseErrorException" {
		t.Errorf("got %v, want a busy transaction", err)
	}
	waitIdle(t, db)
	waitFor(t, func() bool { return a.commit(tx) == nil })
	if n := a.long(`SELECT count(*) FROM t`); n != 1 {
		t.Errorf("got %d rows, want 1", n)
	}
}

// Closing the Data API, at the end of a run, leaves no statement behind.
func TestCloseCancelsWhatRuns(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{Timeout: limit})
	in := a.input(`SELECT 1 FROM (SELECT pg_sleep(600)) s`)
	in.ContinueAfterTimeout = true
	if _, err := a.client.ExecuteStatement(context.Background(), in); code(err) != "StatementTimeoutException" {
		t.Fatalf("got %v, want StatementTimeoutException", err)
	}
	a.begin()
	if err := a.Server.Close(); err != nil {
		t.Fatal(err)
	}
	watcher := testdb.Connect(t, db.SuperuserDSN)
	waitFor(t, func() bool {
		var n int
		if err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	if _, err := a.exec(`SELECT 1`); code(err) != "ServiceUnavailableError" {
		t.Errorf("got %v, want ServiceUnavailableError", err)
	}
}

// waitIdle waits until no statement runs in the database.
func waitIdle(t *testing.T, db *testdb.DB) {
	t.Helper()
	watcher := testdb.Connect(t, db.SuperuserDSN)
	waitFor(t, func() bool {
		var n int
		if err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND backend_type = 'client backend'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}
