package target_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
)

// person and car are ledger tables as a stream meets them.
var (
	person = change.LoadSource{SourceTable: change.SourceTable{ID: "T1", Name: "Person"}, Current: "person", Active: true}
	car    = change.LoadSource{SourceTable: change.SourceTable{ID: "T2", Name: "Car"}, Current: "car", Active: true}
)

func (b *bench) ensure(s change.Stream, table change.LoadTable, source change.LoadSource) error {
	return b.loader.EnsureTables(b.t.Context(), s, []change.LoadTable{table}, []change.LoadSource{source})
}

// A column that was added to the tables and to the mapping is written from then on.
func TestColumnThatAMappingGrows(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.exec(`ALTER TABLE dmv.person ADD age text; ALTER TABLE dmv.person_audit_log ADD age text`)
	s.Mapping = `{"another": 1}`
	s = b.enable(s)
	if err := b.ensure(s, pair("person", nameColumn, change.Column{Name: "age", Type: change.Type{Kind: change.Text}}), person); err != nil {
		t.Fatal(err)
	}
	item := revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101)
	var row map[string]any
	if err := json.Unmarshal(item.Revision.Row, &row); err != nil {
		t.Fatal(err)
	}
	row["age"] = "77"
	var err error
	if item.Revision.Row, err = json.Marshal(row); err != nil {
		t.Fatal(err)
	}
	b.apply(s, item)
	equal(t, "current", b.list(`SELECT doc_id || coalesce(age, '-') FROM dmv.person ORDER BY 1`), "a77 b-")
	equal(t, "history", b.list(`SELECT doc_id || age FROM dmv.person_audit_log WHERE age IS NOT NULL`), "a77")
}

// A ledger table whose documents are in one table of the target does not go on in
// another, where a tombstone or an older revision would be missing.
func TestLedgerTableKeepsItsTable(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	other := person
	other.Current = "people"
	if err := b.ensure(s, pair("people", nameColumn), other); stateOf(err) != "GW008" || !strings.Contains(err.Error(), "Person (id T1) is followed into table person") {
		t.Errorf("got %v", err)
	}
	if n := get[int](b, `SELECT count(*) FROM pg_class WHERE relname LIKE 'people%'`); n != 0 {
		t.Errorf("%d relations are left behind", n)
	}
}

// Who makes tables waits for nobody who writes rows, and so for nobody who waits
// for him at the stream's row.
func TestTablesAreMadeBesideWriters(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	tx, err := b.look.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `INSERT INTO godwit.head VALUES ('dmv.person', 'q', 0, false, NULL, 'T1')`); err != nil {
		t.Fatal(err)
	}
	made := make(chan error)
	go func() { made <- b.ensure(s, pair("car", nameColumn), car) }()
	select {
	case err := <-made:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for a writer of heads")
		_ = tx.Rollback(t.Context())
		<-made
	}
}

// A table that was dropped by hand is not made anew, without its documents.
func TestDroppedTableIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.exec(`DROP TABLE dmv.person, dmv.person_audit_log`)
	_, err := b.loader.Apply(t.Context(), s, []change.Item{revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101)})
	if stateOf(err) != "42P01" {
		t.Errorf("got %v", err)
	}
	if err := b.ensure(s, pair("person", nameColumn), person); stateOf(err) != "GW008" || !strings.Contains(err.Error(), "table dmv.person was dropped since it was loaded") {
		t.Errorf("got %v", err)
	}
}
