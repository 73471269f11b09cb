package catalog_test

import (
	"testing"

	"godwit/internal/catalog"
	"godwit/internal/testdb"
)

func TestSmoke(t *testing.T) {
	db := testdb.New(t)
	c := testdb.Connect(t, db.AdminDSN)
	if _, err := c.Exec(t.Context(), `CREATE TABLE t (a int primary key, b numeric(10,2)[] default '{}', c text check (c <> ''), d int generated always as (a+1) stored); CREATE INDEX ON t (lower(c), a desc) WHERE c > 'a'`); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := c.QueryRow(t.Context(), catalog.SQL()).Scan(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text)
	got, err := catalog.Parse([]byte(text))
	t.Logf("%+v %v", got, err)
}
