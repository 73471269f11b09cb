package target_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// visibleTo lists what anybody but the loader's bookkeeping sees: tables outside
// the staging schemas and godwit, with their rows.
func (b *bench) visibleNow() string {
	b.t.Helper()
	return b.list(`SELECT n.nspname || '.' || c.relname || ':' ||
		(xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', n.nspname, c.relname), false, true, '')))[1]::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname NOT IN ('godwit', 'pg_catalog', 'information_schema', 'aws_s3', 'aws_commons') AND n.nspname NOT LIKE 'godwit\_load\_%' ORDER BY 1`)
}

// Invariant 11: into new tables and into tables that exist, nothing shows before
// make_visible, and then all of it; a failure inside of it shows nothing.
func TestNothingVisibleBeforePublish(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	two := func(id string, revisions ...revision) *plan {
		p := ledger(id, revisions...)
		p.tables = append(p.tables, pair("vehicle", nameColumn))
		p.sources = append(p.sources, change.LoadSource{SourceTable: change.SourceTable{ID: "T2", Name: "Vehicle"}, Current: "vehicle", Active: true})
		return p
	}
	steps := func(p *plan, want string) {
		t.Helper()
		b.begin(p)
		equal(t, "begun", b.visibleNow(), want)
		for _, phase := range []func(*plan) []change.Task{b.imports, b.keys, b.slices, b.indexes} {
			for _, x := range phase(p) {
				if err := b.run(p.ID, x); err != nil {
					t.Fatal(err)
				}
				equal(t, x.Phase+" "+x.Name, b.visibleNow(), want)
			}
		}
		// The last of its tables fails: the first must not be shown.
		b.exec(`ALTER TABLE godwit.load ADD CONSTRAINT broken CHECK (load_id <> '` + p.ID + `' OR state <> 'published')`)
		refused(t, b.run(p.ID, visible), "23514")
		equal(t, "after a failure", b.visibleNow(), want)
		b.exec(`ALTER TABLE godwit.load DROP CONSTRAINT broken`)
		if err := b.run(p.ID, visible); err != nil {
			t.Fatal(err)
		}
	}
	steps(two("load1", append(people(), revision{doc: "v", op: "I", value: "Volvo", table: "T2"})...), "")
	first := "dmv.person:2 dmv.person_audit_log:5 dmv.table_counts:2 dmv.vehicle:1 dmv.vehicle_audit_log:1"
	equal(t, "first load", b.visibleNow(), first)
	steps(two("load2", revision{doc: "d", op: "I", value: "Di"}, revision{doc: "v", version: 1, op: "U", value: "Saab", table: "T2"}), first)
	equal(t, "second load", b.visibleNow(), "dmv.person:3 dmv.person_audit_log:6 dmv.table_counts:2 dmv.vehicle:1 dmv.vehicle_audit_log:2")
}

// An archive that overlaps what is loaded adds what is missing, whichever of the
// two is the newer one.
func TestOverlappingLoadsAddEachRevisionOnce(t *testing.T) {
	old := []revision{{doc: "a", version: 0, op: "I", value: "Ann"}, {doc: "b", version: 0, op: "I", value: "Bob"}, {doc: "c", version: 0, op: "I", value: "Cy"}}
	late := []revision{{doc: "a", version: 0, op: "I", value: "Ann"}, {doc: "a", version: 1, op: "U", value: "Anne"}, {doc: "c", version: 1, op: "D"}, {doc: "d", version: 0, op: "I", value: "Di"}}
	for name, order := range map[string][2][]revision{"older first": {old, late}, "newer first": {late, old}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			b.load(ledger("load1", slices.Clone(order[0])...))
			b.load(ledger("load2", slices.Clone(order[1])...))
			equal(t, "current", b.current(), "a:1:Anne b:0:Bob d:0:Di")
			equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D d:0:I")
			equal(t, "heads", b.heads(), "a:1 b:0 c:1x d:0")
			equal(t, "counts", b.list(`SELECT revision_cnt::text FROM dmv.table_counts`), "6")
			got, err := b.loader.Published(t.Context(), "load2")
			if err != nil || len(got) != 1 || got[0].Present != 1 {
				t.Errorf("got %+v, %v, want one revision that was present", got, err)
			}
			stored, err := b.loader.Stored(t.Context(), "load2")
			if want := int64(len(order[1])); err != nil || len(stored) != 1 || stored[0].Rows != want {
				t.Errorf("got %+v, %v, want %d rows stored", stored, err, want)
			}
		})
	}
}

// Without history the heads are all that later loads know.
func TestLoadsWithoutHistory(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	bare := func(id string, revisions ...revision) *plan {
		p := ledger(id, revisions...)
		p.History = false
		return p
	}
	b.load(bare("load1", people()...))
	if n := get[int](b, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname LIKE 'person\_audit%'`); n != 0 {
		t.Errorf("got %d relations of history, want none", n)
	}
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob")
	// The same again, and one more: nothing is resurrected, nothing counts twice.
	b.load(bare("load2", append(people(), revision{doc: "b", version: 1, op: "U", value: "Rob"}, revision{doc: "d", op: "I", value: "Di"})...))
	equal(t, "current", b.current(), "a:1:Anne b:1:Rob d:0:Di")
	equal(t, "heads", b.heads(), "a:1 b:1 c:1x d:0")
	equal(t, "counts", b.list(`SELECT revision_cnt::text FROM dmv.table_counts`), "7")
	b.load(bare("load3", people()[:4]...)) // older: c is not deleted there
	equal(t, "current", b.current(), "a:1:Anne b:1:Rob d:0:Di")

	p := bare("load4", revision{doc: "d", op: "I", value: "Dave"})
	refused(t, b.hidden(p), "GW002")
	if err := b.loader.Abandon(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	full := ledger("load5", people()...)
	if _, err := b.loader.Begin(t.Context(), full.Load); err != nil {
		t.Fatal(err)
	}
	if err := b.loader.Stage(t.Context(), full.Load, full.tables, full.sources); err == nil {
		t.Error("got no error, want a load with history refused where one without it stands")
	}
}

// A row already there with another hash stops the load, before anything shows.
func TestAnotherHashStopsTheLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	before := b.history()
	for _, r := range []revision{{doc: "a", version: 0, op: "I", value: "Eve"}, {doc: "a", version: 1, op: "U", value: "Eve"}} {
		p := ledger("load2", revision{doc: "x", op: "I", value: "X"}, r)
		e := refused(t, b.hidden(p), "GW002")
		if !strings.Contains(e.Message, fmt.Sprintf("document a version %d", r.version)) {
			t.Errorf("got %q, want the revision named", e.Message)
		}
		equal(t, "history", b.history(), before)
		if err := b.loader.Abandon(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// A document whose newest revision is in quarantine is in no current table, by
// whatever load its older ones come, until the revision itself comes.
func TestWithheldDocumentsAreNotShown(t *testing.T) {
	for _, history := range []bool{true, false} {
		t.Run(fmt.Sprintf("history %v", history), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			make := func(id string, revisions ...revision) *plan {
				p := ledger(id, revisions...)
				p.History = history
				return p
			}
			p := make("load1", revision{doc: "a", op: "I", value: "Ann"}, revision{doc: "b", op: "I", value: "Bob"})
			p.aside = []revision{{doc: "a", version: 1, table: "T1"}, {doc: "z", version: 5, table: "T1"}}
			b.load(p)
			equal(t, "current", b.current(), "b:0:Bob")
			equal(t, "heads", b.heads(), "a:0 b:0")
			got, err := b.loader.Published(t.Context(), "load1")
			if want := (change.Published{Table: "person", Documents: 2, Current: 1, Withheld: 1}); err != nil || len(got) != 1 || got[0] != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
			// Later loads that do not know of the quarantine.
			b.load(make("load2", revision{doc: "a", op: "I", value: "Ann"}, revision{doc: "z", version: 4, op: "U", value: "Zoe"}))
			equal(t, "current", b.current(), "b:0:Bob")
			// One that sets aside what another showed.
			q := make("load3", revision{doc: "c", op: "I", value: "Cy"})
			q.aside = []revision{{doc: "b", version: 1, table: "T1"}}
			b.load(q)
			equal(t, "current", b.current(), "c:0:Cy")
			// With a mended mapping.
			b.load(make("load4", revision{doc: "a", version: 1, op: "U", value: "Anne"}, revision{doc: "b", version: 1, op: "U", value: "Rob"}))
			equal(t, "current", b.current(), "a:1:Anne b:1:Rob c:0:Cy")
		})
	}
}

// Whether a table is dropped is for the archive to say that ends last.
func TestDroppedTablesLeaveCurrentAndComeBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	make := func(id string, last int64, active bool, revisions ...revision) *plan {
		for i := range revisions {
			revisions[i].table = "T1"
		}
		p := ledger(id, append(revisions, revision{doc: "n" + id, op: "I", value: "new", table: "T2"})...)
		p.Last = last
		p.sources[0].Active = active
		p.sources = append(p.sources, change.LoadSource{SourceTable: change.SourceTable{ID: "T2", Name: "Person"}, Current: "person", Active: true})
		return p
	}
	b.load(make("load1", 100, true, people()...))
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob nload1:0:new")
	b.load(make("load2", 200, false, revision{doc: "b", version: 1, op: "U", value: "Rob"}))
	equal(t, "dropped", b.current(), "nload1:0:new nload2:0:new")
	got, err := b.loader.Published(t.Context(), "load2")
	if want := (change.Published{Table: "person", Documents: 2, Current: 1, Dropped: 1}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	// An older archive, loaded late, knows nothing of the drop.
	b.load(make("load3", 150, true, revision{doc: "e", op: "I", value: "Eve"}))
	equal(t, "older", b.current(), "nload1:0:new nload2:0:new nload3:0:new")
	equal(t, "counts", b.list(`SELECT table_id || ':' || is_active || ':' || revision_cnt FROM dmv.table_counts ORDER BY 1`), "T1:false:7 T2:true:3")
	// Undropped.
	b.load(make("load4", 300, true, revision{doc: "a", version: 2, op: "U", value: "Anna"}))
	equal(t, "undropped", b.current(), "a:2:Anna b:1:Rob e:0:Eve nload1:0:new nload2:0:new nload3:0:new nload4:0:new")
	equal(t, "heads", b.heads(), "a:2 b:1 c:1x e:0 nload1:0 nload2:0 nload3:0 nload4:0")
}

// A document that was withheld when its table was dropped stays withheld when the
// table comes back by a load that knows nothing of it.
func TestUndroppedTableKeepsWithholding(t *testing.T) {
	for _, history := range []bool{true, false} {
		t.Run(fmt.Sprintf("history %v", history), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			for i, active := range []bool{true, false, true} {
				p := ledger(fmt.Sprint("load", i), revision{doc: "b", version: int64(i), op: "U", value: "Bob"})
				p.History, p.Last, p.sources[0].Active = history, int64(100*i+100), active
				if i == 0 {
					p.revisions = append(p.revisions, revision{doc: "a", op: "I", value: "Ann", table: "T1"})
					p.aside = []revision{{doc: "a", version: 1, table: "T1"}}
				}
				b.load(p)
			}
			equal(t, "current", b.current(), "b:2:Bob")
		})
	}
}

// Without history, what a dropped table left behind is nowhere: a load that would
// show the table without it stops, one that brings it all does not.
func TestUndroppedTableWithoutHistoryStops(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	make := func(id string, last int64, active bool, revisions ...revision) *plan {
		p := ledger(id, revisions...)
		p.History, p.Last, p.sources[0].Active = false, last, active
		return p
	}
	b.load(make("load1", 100, true, people()...))
	b.load(make("load2", 200, false, revision{doc: "d", op: "I", value: "Di"}))
	equal(t, "dropped", b.current(), "")
	p := make("load3", 300, true, revision{doc: "e", op: "I", value: "Eve"})
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	if e := refused(t, b.run(p.ID, visible), "GW004"); !strings.Contains(e.Message, "its 3 older documents") {
		t.Errorf("got %q, want how many documents are missing", e.Message)
	}
	equal(t, "after", b.current(), "")
	if err := b.loader.Abandon(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	b.load(make("load4", 300, true, append(people(), revision{doc: "d", op: "I", value: "Di"}, revision{doc: "e", op: "I", value: "Eve"})...))
	equal(t, "undropped", b.current(), "a:1:Anne b:0:Bob d:0:Di e:0:Eve")
}

// A stream writes heads, history and current while the load that is shown waits
// for it: the newer revision stays, the older one becomes history only.
func TestStreamWritesBesideMakeVisible(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	p := ledger("load2",
		revision{doc: "a", version: 2, op: "U", value: "load's Anna"}, revision{doc: "b", version: 1, op: "U", value: "load's Rob"},
		revision{doc: "d", version: 0, op: "I", value: "load's Di"}, revision{doc: "e", version: 0, op: "I", value: "load's Eve"})
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	tx, err := b.look.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := func(doc string, version int64, deleted bool, value string) {
		t.Helper()
		r := revision{doc: doc, version: version, value: value}
		for _, sql := range []string{
			`INSERT INTO godwit.head AS h VALUES ('dmv.person', $1, $2, $3, decode($4, 'base64'), 'T1') ON CONFLICT (relation, doc_id) DO UPDATE
			 SET version = excluded.version, deleted = excluded.deleted, hash = excluded.hash WHERE h.version < excluded.version`,
			`INSERT INTO dmv.person_audit_log SELECT $1, $2, $5, jsonb_build_object('ql_rev_hash', $4::text, 'ql_tableid', 'T1'), CASE WHEN $3 THEN 'D' ELSE 'U' END, 'tx'`,
			`DELETE FROM dmv.person WHERE doc_id = $1`,
			`INSERT INTO dmv.person SELECT $1, $2, $5, jsonb_build_object('ql_rev_hash', $4::text) WHERE NOT $3`,
		} {
			var args []any
			for i, a := range []any{doc, version, deleted, r.hash(), value} {
				if strings.Contains(sql, fmt.Sprintf("$%d", i+1)) {
					args = append(args, a)
				} else {
					args = append(args, nil)
				}
			}
			if _, err := tx.Exec(context.Background(), inline(sql, args)); err != nil {
				t.Fatalf("%.60s: %v", sql, err)
			}
		}
	}
	write("a", 3, false, "stream's Annabel") // newer than the load's
	write("b", 2, true, "")                  // a newer deletion
	write("d", 1, false, "stream's Diana")   // of a document that the load brings, and that had no head
	done := make(chan error)
	go func() { done <- b.run(p.ID, visible) }()
	b.waitLocked(1)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	equal(t, "current", b.current(), "a:3:stream's Annabel d:1:stream's Diana e:0:load's Eve")
	equal(t, "heads", b.heads(), "a:3 b:2x c:1x d:1 e:0")
	equal(t, "history", b.history(), "a:0:I a:1:U a:2:U a:3:U b:0:I b:1:U b:2:D c:0:I c:1:D d:0:I d:1:U e:0:I")
}

func TestOneLoadIntoASchemaAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p, q := ledger("load1", people()...), ledger("load2", people()...)
	b.begin(p)
	_, err := b.loader.Begin(t.Context(), q.Load)
	var c *target.Conflict
	if !errors.As(err, &c) || c.Running != "load1" || c.Schema != "dmv" {
		t.Errorf("got %v, want the load that is under way", err)
	}
	elsewhere := q.Load
	elsewhere.Schema = "other"
	if _, err := b.loader.Begin(t.Context(), elsewhere); err != nil {
		t.Errorf("another schema: %v", err)
	}
}

// All ask before one of them is registered: one load gets the schema, however many
// executions it has, and all of the other hear which.
func TestBeginAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	tx, err := b.look.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE godwit.load IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	answers := make(chan string)
	for i := range 6 {
		go func() {
			_, err := b.loader.Begin(context.Background(), ledger(fmt.Sprint("load", i%2)).Load)
			var c *target.Conflict
			switch {
			case err == nil:
				answers <- fmt.Sprint("load", i%2)
			case errors.As(err, &c):
				answers <- c.Running
			default:
				answers <- err.Error()
			}
		}()
	}
	b.waitLocked(6)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := <-answers
	for range 5 {
		if other := <-answers; other != first || !strings.HasPrefix(other, "load") {
			t.Errorf("got %s and %s, want all to name the same load", first, other)
		}
	}
}

// Two executions of one load begin, stage and load at once.
func TestTheSameLoadTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	for round := range 3 {
		p := ledger(fmt.Sprintf("load%d", round), people()...)
		p.Schema = fmt.Sprintf("dmv%d", round)
		errs := make(chan error)
		const executions = 4
		for range executions {
			go func() {
				errs <- func() error {
					if _, err := b.loader.Begin(context.Background(), p.Load); err != nil {
						return err
					}
					if err := b.loader.Stage(context.Background(), p.Load, p.tables, p.sources); err != nil {
						return err
					}
					for _, phase := range []func(*plan) []change.Task{b.imports, b.keys, b.slices, b.indexes} {
						if err := b.runAll(p.ID, phase(p)); err != nil {
							return err
						}
					}
					return b.run(p.ID, visible)
				}()
			}()
		}
		for range executions {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := get[int](b, `SELECT count(*) FROM `+p.Schema+`.person_audit_log`); n != 5 {
			t.Errorf("got %d revisions, want 5", n)
		}
		if n := get[int](b, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'godwit\_load%'`); n != 0 {
			t.Errorf("got %d staging schemas left, want none", n)
		}
	}
}

// A load may be abandoned in every state but the last, and begun again.
func TestAbandonLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.aside = []revision{{doc: "b", version: 1, table: "T1"}}
	phases := []func(*plan) []change.Task{b.imports, b.keys, b.slices, b.indexes}
	const traces = `SELECT (SELECT count(*) FROM godwit.load) + (SELECT count(*) FROM godwit.load_table) + (SELECT count(*) FROM godwit.load_source)
		+ (SELECT count(*) FROM godwit.task) + (SELECT count(*) FROM godwit.failure) + (SELECT count(*) FROM godwit.slice) + (SELECT count(*) FROM godwit.quarantine)
		+ (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'godwit\_load%')`
	for upTo := -2; upTo <= len(phases); upTo++ {
		if upTo >= -1 {
			if _, err := b.loader.Begin(t.Context(), p.Load); err != nil {
				t.Fatal(err)
			}
		}
		if upTo >= 0 {
			if err := b.loader.Stage(t.Context(), p.Load, p.tables, p.sources); err != nil {
				t.Fatal(err)
			}
			for _, phase := range phases[:upTo] {
				if err := b.runAll(p.ID, phase(p)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 {
			if err := b.loader.Abandon(t.Context(), p.ID); err != nil {
				t.Fatal(err)
			}
		}
		if n := get[int](b, traces); n != 0 {
			t.Errorf("after %d phases: got %d traces, want none", upTo, n)
		}
	}
	if err := b.loader.Stage(t.Context(), p.Load, p.tables, p.sources); err == nil || !strings.Contains(err.Error(), "not registered") {
		t.Errorf("stage after abandon: got %v, want the load not to be registered", err)
	}
	b.load(p)
	var e *target.Error
	if err := b.loader.Abandon(t.Context(), p.ID); !errors.As(err, &e) || e.SQLState() != "GW003" {
		t.Errorf("got %v, want GW003 for a published load", err)
	}
	equal(t, "current", b.current(), "a:1:Anne")
}

// Whoever drops what was loaded can load it again.
func TestLoadIsBegunAnewWhenItsTablesWereDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.load(p)
	for _, drop := range []string{`DROP SCHEMA dmv CASCADE`, `DROP TABLE dmv.person, dmv.person_audit_log`} {
		b.exec(drop)
		b.load(p)
		equal(t, "current", b.current(), "a:1:Anne b:0:Bob")
		equal(t, "heads", b.heads(), "a:1 b:0 c:1x")
		equal(t, "counts", b.list(`SELECT revision_cnt::text FROM dmv.table_counts`), "5")
	}
	q := ledger("load3", people()...)
	q.Schema = "two"
	q.tables = append(q.tables, pair("vehicle", nameColumn))
	b.load(q)
	b.exec(`DROP TABLE two.vehicle, two.vehicle_audit_log`)
	if published, err := b.loader.Begin(t.Context(), q.Load); err != nil || !published {
		t.Errorf("with one of two tables: got %v, %v, want the load to be visible still", published, err)
	}
	// Tables of the same name that another load made since are not its own.
	b.exec(`DROP SCHEMA dmv CASCADE`)
	b.load(ledger("load2", revision{doc: "d", op: "I", value: "Di"}))
	b.load(p)
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob d:0:Di")
}

// What could not be shown in the end is refused in the beginning.
func TestStageRefusesASchemaThatCannotTakeTheLoad(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql, want string
		change    func(*plan)
	}{
		"other columns":      {sql: `CREATE TABLE dmv.person (doc_id text)`, want: "exists with columns (doc_id text)"},
		"view":               {sql: `CREATE VIEW dmv.person_audit_log AS SELECT 1 AS x`, want: "exists with columns (x integer)"},
		"sequence":           {sql: `CREATE SEQUENCE dmv.person`, want: "exists with columns"},
		"table of others":    {sql: `CREATE TABLE dmv.person (doc_id text, version bigint, name text, ql_audit jsonb); CREATE TABLE dmv.person_audit_log (LIKE dmv.person, operation varchar(1), transaction_id text)`, want: "no load made it"},
		"half":               {sql: `CREATE TABLE dmv.person (doc_id text, version bigint, name text, ql_audit jsonb)`, want: "only one of the tables"},
		"history, not asked": {sql: `CREATE TABLE dmv.person_audit_log (a int)`, want: "would leave gaps", change: func(p *plan) { p.History = false }},
		"counts of others":   {sql: `CREATE TABLE dmv.table_counts (a int)`, want: "where every load keeps"},
		"named table_counts": {want: "every load makes itself", change: func(p *plan) { p.tables = []change.LoadTable{pair("table_counts")}; p.sources = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			b.exec(`CREATE SCHEMA dmv AUTHORIZATION ` + b.db.Loader)
			for sql := range strings.SplitSeq(test.sql, ";") {
				b.exec(sql)
			}
			p := ledger("load1", people()...)
			if test.change != nil {
				test.change(p)
			}
			if _, err := b.loader.Begin(t.Context(), p.Load); err != nil {
				t.Fatal(err)
			}
			err := b.loader.Stage(t.Context(), p.Load, p.tables, p.sources)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if n := get[int](b, `SELECT count(*) FROM godwit.load_table`); n != 0 {
				t.Errorf("got %d tables registered, want none", n)
			}
		})
	}
}
