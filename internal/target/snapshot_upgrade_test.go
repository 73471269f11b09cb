package target_test

import (
	"testing"

	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// A database that an older godwit prepared keeps its loads, one that is under way
// goes on, and takes loads of tables as well.
func TestPrepareKeepsLoadsOfOlderVersions(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	p := ledger("load2", people()...)
	p.Schema, p.Apart = "later", true
	b.begin(p)
	b.exec(`DROP TABLE godwit.loaded_table`)
	b.exec(`ALTER TABLE godwit.load DROP COLUMN plan, DROP COLUMN replaces, ALTER COLUMN target_schema SET NOT NULL, ALTER COLUMN stage_schema SET NOT NULL`)
	for range 2 {
		if err := target.Prepare(t.Context(), b.admin, b.loader, b.db.Loader, b.db.LoaderPassword); err != nil {
			t.Fatal(err)
		}
	}
	if published, err := b.loader.Begin(t.Context(), ledger("load1").Load); err != nil || !published {
		t.Errorf("begin load1 again: got published %v and error %v", published, err)
	}
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	if err := b.run(p.ID, visible); err != nil {
		t.Fatal(err)
	}
	b.loadTables(storefront("load3"))
	equal(t, "tables", b.shown(), allShown)
	equal(t, "loads", b.list(`SELECT load_id || ':' || state FROM godwit.load ORDER BY 1`), "load1:published load2:published load3:published")
}
