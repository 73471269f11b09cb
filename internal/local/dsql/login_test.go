package dsql_test

import (
	"testing"

	"godwit/internal/testdb"
)

func TestTokenOpensAConnection(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `INSERT INTO t VALUES (1, 'one')`)
	if _, err := c.Exec(t.Context(), `INSERT INTO t VALUES ($1, $2)`, 2, "two"); err != nil {
		t.Fatal(err)
	}
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE t SET v = $2 WHERE id = $1`, 2, "zwei"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	var v, isolation string
	if err := c.QueryRow(t.Context(), `SELECT count(*), max(v), current_setting('transaction_isolation') FROM t`).Scan(&n, &v, &isolation); err != nil {
		t.Fatal(err)
	}
	if n != 2 || v != "zwei" || isolation != "repeatable read" {
		t.Errorf("got %d, %s, %s, want 2, zwei, repeatable read", n, v, isolation)
	}
}
