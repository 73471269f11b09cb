package rdsdata_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"

	"godwit/internal/local/rdsdata"
	"godwit/internal/testdb"
)

// A clock stands still until a test advances it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestTransactionIsSeenOnlyWhenCommitted(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TABLE t (a int)`)
	tx := a.begin()
	if _, err := a.in(tx, `INSERT INTO t VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.in(tx, `CREATE TABLE u (a int)`); err != nil { // DDL is transactional
		t.Fatal(err)
	}
	if n := a.long(`SELECT count(*) FROM t`); n != 0 {
		t.Errorf("got %d rows before the commit, want 0", n)
	}
	if err := a.commit(tx); err != nil {
		t.Fatal(err)
	}
	if n := a.long(`SELECT count(*) + (SELECT count(*) FROM u) FROM t`); n != 1 {
		t.Errorf("got %d rows after the commit, want 1", n)
	}
	if err := a.commit(tx); code(err) != "TransactionNotFoundException" {
		t.Errorf("second commit: got %v, want TransactionNotFoundException", err)
	}
	tx = a.begin()
	if _, err := a.in(tx, `INSERT INTO t VALUES (2)`); err != nil {
		t.Fatal(err)
	}
	if err := a.rollback(tx); err != nil {
		t.Fatal(err)
	}
	if n := a.long(`SELECT count(*) FROM t`); n != 1 {
		t.Errorf("got %d rows after the rollback, want 1", n)
	}
}

func TestUnknownTransaction(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	for name, call := range map[string]func() error{
		"execute":  func() error { _, err := a.in("nonsense", `SELECT 1`); return err },
		"commit":   func() error { return a.commit("nonsense") },
		"rollback": func() error { return a.rollback("nonsense") },
	} {
		if err := call(); code(err) != "TransactionNotFoundException" || !strings.Contains(err.Error(), "Transaction nonsense is not found") {
			t.Errorf("%s: got %v, want TransactionNotFoundException", name, err)
		}
	}
}

func TestErrorAbortsTransaction(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TABLE t (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)`)
	for name, sql := range map[string]string{"SQL error": `SELECT 1/0`, "unsupported result": `SELECT '1'::money`, "result too large": `SELECT repeat('x', 70000)`} {
		tx := a.begin()
		if _, err := a.in(tx, `INSERT INTO t VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		if _, err := a.in(tx, sql); err == nil {
			t.Fatalf("%s: got nil, want an error", name)
		}
		_, err := a.in(tx, `SELECT 1`)
		if code(err) != "TransactionNotFoundException" || !strings.Contains(err.Error(), "aborted due to an error from a previous call") {
			t.Errorf("%s: got %v, want an aborted transaction", name, err)
		}
		if err := a.commit(tx); code(err) != "TransactionNotFoundException" {
			t.Errorf("%s: commit: got %v, want TransactionNotFoundException", name, err)
		}
	}
	if n := a.long(`SELECT count(*) FROM t`); n != 0 {
		t.Errorf("got %d rows, want 0", n)
	}
	// What the service refuses before it asks the database does not abort.
	tx := a.begin()
	if _, err := a.in(tx, `SELECT 1; SELECT 2`); code(err) != "ValidationException" {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := a.in(tx, `INSERT INTO t VALUES (1)`); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.commit(tx); code(err) != "DatabaseErrorException" || !strings.Contains(err.Error(), "SQLState: 23505") {
		t.Errorf("deferred constraint: got %v, want 23505 from the commit", err)
	}
	if err := a.rollback(tx); code(err) != "TransactionNotFoundException" {
		t.Errorf("after a failed commit: got %v, want TransactionNotFoundException", err)
	}
}

func TestBusyTransactionIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{})
	tx := a.begin()
	holder := testdb.Connect(t, db.SuperuserDSN)
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_lock(7)`); err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := a.in(tx, `SELECT 1 FROM (SELECT pg_advisory_xact_lock(7)) l`)
		first <- err
	}()
	waitFor(t, func() bool {
		return a.long(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == 1
	})
	for name, call := range map[string]func() error{
		"execute":  func() error { _, err := a.in(tx, `SELECT 1`); return err },
		"commit":   func() error { return a.commit(tx) },
		"rollback": func() error { return a.rollback(tx) },
	} {
		if err := call(); code(err) != "DatabaseErrorException" || !strings.Contains(err.Error(), "Transaction is still running a query") {
			t.Errorf("%s: got %v, want the transaction to be busy", name, err)
		}
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_unlock(7)`); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Errorf("the running call: %v", err)
	}
	if err := a.commit(tx); err != nil {
		t.Errorf("a refused call does not end the transaction: %v", err)
	}
}

// waitFor polls a condition of another process for at most 10 s.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("the condition does not come true within 10 s")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestIdleTransactionExpires(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1e9, 0)}
	db, a := newAPI(t, rdsdata.Config{Now: c.Now})
	a.must(`CREATE TABLE t (a int)`)
	tx, kept := a.begin(), a.begin()
	for range 3 { // every call begins the three minutes anew
		c.advance(2*time.Minute + 59*time.Second)
		for _, id := range []string{tx, kept} {
			if _, err := a.in(id, `INSERT INTO t VALUES (1)`); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.advance(2 * time.Minute)
	if _, err := a.in(kept, `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	a.Server.Sweep() // as it does by itself once a second: no call is needed for the locks to go
	watcher := testdb.Connect(t, db.SuperuserDSN)
	waitFor(t, func() bool {
		var open int
		if err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`).Scan(&open); err != nil {
			t.Fatal(err)
		}
		return open == 1
	})
	if err := a.commit(tx); code(err) != "TransactionNotFoundException" || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v, want an expired transaction", err)
	}
	if err := a.commit(kept); err != nil {
		t.Error(err)
	}
	if n := a.long(`SELECT count(*) FROM t`); n != 3 {
		t.Errorf("got %d rows, want 3", n)
	}
}

func TestTransactionEndsAfterADay(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1e9, 0)}
	_, a := newAPI(t, rdsdata.Config{Now: c.Now})
	tx := a.begin()
	for range 24*30 - 1 {
		c.advance(2 * time.Minute)
		if _, err := a.in(tx, `SELECT 1`); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(2 * time.Minute)
	if _, err := a.in(tx, `SELECT 1`); code(err) != "TransactionNotFoundException" || !strings.Contains(err.Error(), "24 hours") {
		t.Errorf("got %v, want a transaction that is too old", err)
	}
}

func TestTransactionBelongsToItsDatabase(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	tx := a.begin()
	in := a.input(`SELECT 1`)
	in.TransactionId, in.Database = &tx, ptr("postgres")
	if _, err := a.client.ExecuteStatement(t.Context(), in); code(err) != "ValidationException" {
		t.Errorf("another database: got %v, want ValidationException", err)
	}
	in.Database = &a.Database
	if _, err := a.client.ExecuteStatement(t.Context(), in); err != nil {
		t.Errorf("the same database: %v", err)
	}
}

func TestStatementThatEndsTheTransactionEndsIt(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	tx := a.begin()
	if _, err := a.in(tx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.in(tx, `SELECT 1`); code(err) != "TransactionNotFoundException" {
		t.Errorf("got %v, want TransactionNotFoundException", err)
	}
}

// Nothing of a call is left in the session for the next one.
func TestCallsLeaveNoStateBehind(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{})
	a.must(`SET search_path TO nowhere`, `SET statement_timeout TO 1`, `SELECT 1 FROM (SELECT pg_advisory_lock(42)) l`,
		`CREATE TEMP TABLE temporary (a int)`, `PREPARE p AS SELECT 1`, `SET ROLE pg_monitor`, `BEGIN`, `LISTEN x`)
	for range 10 { // whichever connection serves it
		out, err := a.exec(`SELECT current_setting('search_path'), current_setting('statement_timeout'), current_user::text, to_regclass('temporary')::text,
			(SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())), current_setting('TimeZone')`)
		if err != nil {
			t.Fatal(err)
		}
		r := out.Records[0]
		for i, want := range []string{`"$user", public`, "0", db.Master} {
			if got := r[i].(*types.FieldMemberStringValue).Value; got != want {
				t.Errorf("column %d: got %s, want %s", i, got, want)
			}
		}
		if _, null := r[3].(*types.FieldMemberIsNull); !null || r[4].(*types.FieldMemberLongValue).Value != 0 || r[5].(*types.FieldMemberLongValue).Value != 0 {
			t.Errorf("got %v, want no temporary table, prepared statement or lock", r)
		}
		if got := r[6].(*types.FieldMemberStringValue).Value; got != "UTC" {
			t.Errorf("got zone %s, want UTC", got)
		}
	}
}
