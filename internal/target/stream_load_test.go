package target_test

import (
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
)

// meets is a bench on which a stream met ledger table Car while load2, which
// brings it too, was made, and load2.
func meets(t *testing.T, history bool, mapped ...change.Column) (*bench, *plan) {
	t.Helper()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.History = history
	b.load(p)
	s := b.enable(p.follows())
	load2 := ledger("load2", append(people(),
		revision{doc: "x", op: "I", table: "T2", value: "Audi"}, revision{doc: "x", version: 1, op: "U", table: "T2", value: "BMW"},
		revision{doc: "y", op: "I", table: "T2", value: "Citroen"}, revision{doc: "z", op: "I", table: "T2", value: "Dacia"})...)
	load2.History, load2.First, load2.Last = history, 0, 110
	load2.tables, load2.sources = append(load2.tables, pair("car", nameColumn)), append(load2.sources, car)
	if err := b.hidden(load2); err != nil {
		t.Fatal(err)
	}
	if err := b.ensure(s, pair("car", mapped...), car); err != nil {
		t.Fatal(err)
	}
	return b, load2
}

// inCar makes a revision one of ledger table Car.
func inCar(item change.Item) change.Item {
	item.Revision.Table, item.Revision.Current = car.SourceTable, car.Current
	return item
}

// A ledger table that a stream meets while a load brings it, too, is one that
// exists when the load is shown: what both bring is there once, and counted once.
func TestStreamMeetsATableThatALoadBrings(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{true, false} {
		b, load2 := meets(t, history, nameColumn)
		s := load2.follows()
		s.Load, s.Boundary.Major = "load1", 100
		s = b.enable(s)
		b.apply(s, inCar(revision{doc: "x", version: 1, op: "U", table: "T2", value: "BMW"}.item(105)),
			inCar(revision{doc: "y", version: 1, op: "D", table: "T2"}.item(106)), inCar(revision{doc: "w", op: "I", table: "T2", value: "Fiat"}.item(107)))
		if err := b.run("load2", visible); err != nil {
			t.Fatal(err)
		}
		equal(t, "current", b.list(`SELECT doc_id || version || name FROM dmv.car ORDER BY 1`), "w0Fiat x1BMW z0Dacia")
		equal(t, "heads", b.list(`SELECT doc_id || version FROM godwit.head WHERE relation = 'dmv.car' ORDER BY 1`), "w0 x1 y1 z0")
		if history {
			equal(t, "history", b.list(`SELECT doc_id || version || operation FROM dmv.car_audit_log ORDER BY 1`), "w0I x0I x1U y0I y1D z0I")
			equal(t, "counts", b.list(`SELECT table_id || revision_cnt FROM dmv.table_counts ORDER BY 1`), "T15 T26")
		}
		b.keeps("load2", "GW005", "schema dmv has load load1")
		s = b.enable(load2.follows())
		b.apply(s, inCar(revision{doc: "z", version: 1, op: "U", table: "T2", value: "Dodge"}.item(111)))
		equal(t, "current behind load2", b.list(`SELECT doc_id || version || name FROM dmv.car ORDER BY 1`), "w0Fiat x1BMW z1Dodge")
	}
}

// What such a stream and such a load contradict each other in stops the load.
func TestStreamAndLoadThatDisagree(t *testing.T) {
	t.Parallel()
	b, load2 := meets(t, true, nameColumn)
	s := load2.follows()
	s.Load, s.Boundary.Major = "load1", 100
	b.apply(b.enable(s), inCar(revision{doc: "x", version: 1, op: "U", table: "T2", value: "Benz"}.item(105)))
	if e := refused(t, b.run("load2", visible), "GW002"); !strings.Contains(e.Message, "document x version 1 already stands in dmv.car with another revision hash") {
		t.Errorf("got %v", e)
	}

	b, load2 = meets(t, true, change.Column{Name: "make", Type: change.Type{Kind: change.Text}})
	if e := refused(t, b.run("load2", visible), "42P07"); !strings.Contains(e.Message, "table dmv.car was made since load load2 began, with columns (doc_id text, make text, ") || !strings.Contains(e.Message, `"Abandon": "load2"`) {
		t.Errorf("got %v", e)
	}
	if err := b.loader.Abandon(t.Context(), load2.ID); err != nil {
		t.Fatal(err)
	}
	b.exec(`DROP TABLE dmv.car, dmv.car_audit_log`)
	load2.ID = "load3"
	if err := b.hidden(load2); err != nil {
		t.Fatal(err)
	}
	b.exec(`CREATE TABLE dmv.car_audit_log (a text)`)
	if e := refused(t, b.run("load3", visible), "42P07"); !strings.Contains(e.Message, "table dmv.car_audit_log was made since load load3 began") {
		t.Errorf("a table of somebody's: got %v", e)
	}
}

// A ledger table that a stream drops while a load is made is dropped in it.
func TestStreamDropsATableWhileALoadIsMade(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	p := ledger("load2", append(people(), revision{doc: "d", op: "I", value: "Di"})...)
	p.First, p.Last = 90, 110
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	drop := summary(115)
	drop.Block.Events = []change.TableDrop{{Name: "Person"}}
	b.apply(s, drop)
	if err := b.run(p.ID, visible); err != nil {
		t.Fatal(err)
	}
	equal(t, "dropped", b.current(), "")
	equal(t, "counts", b.list(`SELECT is_active::text || revision_cnt FROM dmv.table_counts`), "false6")
	undrop := summary(116)
	undrop.Block.Events = []change.TableDrop{{TableID: "T1", Undrop: true}}
	b.apply(b.enable(p.follows()), undrop)
	equal(t, "undropped", b.current(), "a:1:Anne b:0:Bob d:0:Di")
}

// Without history nobody knows which revisions came: the counts stay those of what
// loads brought, and what a stream brought is no difference to a later load.
func TestStreamWithoutHistoryCountsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.History = false
	b.load(p)
	const counts = `SELECT concat(table_id, is_active, revision_cnt) FROM dmv.table_counts ORDER BY 1`
	s := b.enable(p.follows())
	if err := b.ensure(s, pair("car", nameColumn), car); err != nil {
		t.Fatal(err)
	}
	done := b.apply(s, revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101), revision{doc: "b", version: 1, op: "D", table: "T1"}.item(102),
		revision{doc: "d", op: "I", table: "T1", value: "Di"}.item(103), inCar(revision{doc: "x", op: "I", table: "T2", value: "Audi"}.item(104)))
	if done.Rows != 4 || done.History != 0 || done.Skipped != 0 {
		t.Errorf("got %+v, want 4 rows and no history", done)
	}
	equal(t, "counts", b.list(counts), "T1t5")
	p = ledger("load2", append(people(), revision{doc: "a", version: 2, op: "U", value: "Anna"}, revision{doc: "d", op: "I", value: "Di"}, revision{doc: "d", version: 1, op: "U", value: "Dia"},
		revision{doc: "x", op: "I", table: "T2", value: "Audi"}, revision{doc: "y", op: "I", table: "T2", value: "BMW"})...)
	p.History, p.First, p.Last = false, 0, 110
	p.tables, p.sources = append(p.tables, pair("car", nameColumn)), append(p.sources, car)
	b.load(p)
	equal(t, "current", b.current(), "a:2:Anna d:1:Dia")
	equal(t, "counts behind load2", b.list(counts), "T1t6 T2t1")
	published, err := b.loader.Published(t.Context(), p.ID)
	if err != nil || len(published) != 2 || published[0].Present != 1 || published[1].Present != 7 {
		t.Errorf("got %+v, %v, want 1 car and 7 persons found there", published, err)
	}
}
