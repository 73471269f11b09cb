package target_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// unloaded is what godwit.unload answers.
type unloaded struct{ State, SQLState, Message string }

// unload calls godwit.unload once, as the loader over the Data API.
func (b *bench) unload(load string, look bool) (u unloaded, err error) {
	var rows []struct{ Result string }
	err = b.loader.Query(b.t.Context(), &rows, `SELECT godwit.unload(:load, :look)::text AS result`,
		target.Param{Name: "load", Value: load}, target.Param{Name: "look", Value: look})
	if err != nil {
		return u, err
	}
	return u, json.Unmarshal([]byte(rows[0].Result), &u)
}

func (b *bench) unloads(load string) {
	b.t.Helper()
	if u, err := b.unload(load, false); err != nil || u.State != "done" {
		b.t.Fatalf("unload %s: got %+v, %v, want it done", load, u, err)
	}
}

// keeps calls unload and wants it refused with state and every text in it, and
// everything as it was.
func (b *bench) keeps(load, state string, texts ...string) {
	b.t.Helper()
	before := b.everything()
	u, err := b.unload(load, false)
	if err != nil || u.State != "failed" || u.SQLState != state {
		b.t.Fatalf("got %+v, %v, want it refused with %s", u, err, state)
	}
	for _, want := range append(texts, "nothing was removed") {
		if !strings.Contains(u.Message, want) {
			b.t.Errorf("got %q, want %q in it", u.Message, want)
		}
	}
	equal(b.t, "after a refusal", b.everything(), before)
}

// everything renders all rows of the loaded tables and of the bookkeeping but its
// times, and what there is in the schemas.
func (b *bench) everything() string {
	b.t.Helper()
	var out strings.Builder
	for table := range strings.FieldsSeq(b.list(`SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname NOT IN ('failure', 'head') ORDER BY 1`)) {
		fmt.Fprintln(&out, table, b.list(`SELECT (to_jsonb(t) - '{started_at,published_at,begun_at,done_at,shown,shown_in}'::text[])::text FROM `+table+` t ORDER BY 1`))
	}
	fmt.Fprintln(&out, b.list(`SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp' ORDER BY 1`))
	return out.String()
}

// two is a ledger of two tables with something in quarantine.
func two(id string) *plan {
	p := ledger(id, append(people(), revision{doc: "v", op: "I", value: "Volvo", table: "T2"})...)
	p.tables = append(p.tables, pair(`Veh"icle`, nameColumn))
	p.sources = append(p.sources, change.LoadSource{SourceTable: change.SourceTable{ID: "T2", Name: "Vehicle"}, Current: `Veh"icle`, Active: true})
	p.aside = []revision{{doc: "z", version: 1, table: "T1"}}
	return p
}

// As if the load had never been, and loaded again it is what it was, whatever the
// server did to its tables on its own.
func TestUnloadRemovesTheLoadAndNothingElse(t *testing.T) {
	for name, history := range map[string]bool{"with history": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			other := ledger("other", people()...)
			other.Schema = "elsewhere"
			b.load(other)
			clean := b.everything()
			p := two("load1")
			p.Schema, p.History = `D"mv`, history
			for round := range 2 {
				b.load(p)
				loaded := b.everything()
				b.exec(`GRANT USAGE ON SCHEMA "D""mv" TO PUBLIC`)
				b.exec(`CREATE INDEX ON "D""mv".person (name)`)
				b.exec([]string{`VACUUM (FULL, FREEZE, ANALYZE)`, `VACUUM (FREEZE, ANALYZE)`}[round])
				for range 3 {
					b.exec(`SELECT txid_current()`)
				}
				equal(t, "loaded", loaded, b.everything())
				b.unloads(p.ID)
				equal(t, "unloaded", b.everything(), clean)
				u, err := b.unload(p.ID, false)
				if err != nil || u.State != "unknown" || u.Message != "load load1 is not known: was it removed already?" {
					t.Errorf("again: got %+v, %v, want it not to be known", u, err)
				}
			}
		})
	}
}

func TestUnloadSaysWhatItRemoves(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(two("load1"))
	want := ` UTC, blocks 0 to 100 of strand S: dmv."Veh""icle" (1 rows), dmv.person (2 rows), dmv."Veh""icle_audit_log" (1 rows), dmv.person_audit_log (5 rows), dmv.table_counts (2 rows); it made schema dmv`
	before := get[string](b, `SELECT godwit.describe('load1')`)
	if !strings.HasPrefix(before, "load load1, shown on 20") || !strings.HasSuffix(before, want) {
		t.Errorf("got %q, want %q in the end", before, want)
	}
	if u, err := b.unload("load1", false); err != nil || u != (unloaded{State: "done", Message: before}) {
		t.Errorf("got %+v, %v, want it done and described as before", u, err)
	}
}

// A schema that was there stays, and so does one with something of its owner's.
func TestUnloadLeavesASchemaThatIsNotTheLoads(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ before, after string }{
		"there before":            {before: `CREATE SCHEMA dmv AUTHORIZATION LOADER`},
		"with default privileges": {after: `ALTER DEFAULT PRIVILEGES FOR ROLE LOADER IN SCHEMA dmv GRANT SELECT ON TABLES TO PUBLIC`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			b.exec(strings.ReplaceAll(test.before, "LOADER", b.db.Loader))
			b.load(two("load1"))
			b.exec(strings.ReplaceAll(test.after, "LOADER", b.db.Loader))
			b.unloads("load1")
			equal(t, "schemas", b.list(`SELECT nspname::text FROM pg_namespace WHERE nspname = 'dmv'`), "dmv")
			equal(t, "what is left", b.visibleNow(), "")
		})
	}
}

// Everything that is not the load's alone stops it, by name and number, and
// changes nothing; what the refusal offers to run by hand leaves nothing.
func TestUnloadRefusesWhatIsNotTheLoadsAlone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  string
		want []string
		kept bool // the statements by hand are stopped by what is there as well
	}{
		"row by hand": {
			sql:  `INSERT INTO dmv.person VALUES ('x', 0, 'X', '{}')`,
			want: []string{"dmv.person holds 3 rows where the load wrote 2, 1 of them written later"},
		},
		"row of history by hand": {
			sql:  `INSERT INTO dmv.person_audit_log VALUES ('a', 2, 'A', '{}', 'U', 'tx')`,
			want: []string{"dmv.person_audit_log holds 6 rows where the load wrote 5, 1 of them written later"},
		},
		"row gone": {
			sql:  `DELETE FROM dmv.person WHERE doc_id = 'a'`,
			want: []string{"dmv.person holds 1 rows where the load wrote 2, 0 of them written later"},
		},
		"rows gone from history": {
			sql:  `TRUNCATE dmv.person_audit_log`,
			want: []string{"dmv.person_audit_log holds 0 rows where the load wrote 5"},
		},
		"value changed by hand": {
			sql:  `UPDATE dmv.person SET name = 'Eve' WHERE doc_id = 'a'`,
			want: []string{"dmv.person holds 2 rows where the load wrote 2, 1 of them written later"},
		},
		"one for another": {
			sql:  `DELETE FROM dmv.person WHERE doc_id = 'a'; INSERT INTO dmv.person VALUES ('x', 0, 'X', '{}')`,
			want: []string{"dmv.person holds 2 rows where the load wrote 2, 1 of them written later"},
		},
		"stream, newer head": {
			sql:  `UPDATE godwit.head SET version = 2, deleted = true WHERE doc_id = 'a'; DELETE FROM dmv.person WHERE doc_id = 'a'`,
			want: []string{"godwit.head_", "holds 3 rows where the load wrote 3, 1 of them written later", "dmv.person holds 1 rows"},
		},
		"stream, new document": {
			sql:  `INSERT INTO godwit.head VALUES ('dmv.person', 'x', 0, true, NULL, 'T1')`,
			want: []string{"holds 4 rows where the load wrote 3, 1 of them written later"},
		},
		"counts of others": {
			sql:  `INSERT INTO dmv.table_counts VALUES ('Mine', 'M', true, 1)`,
			want: []string{"dmv.table_counts holds 3 rows where the load wrote 2"},
		},
		"table dropped":  {sql: `DROP TABLE dmv.person`, want: []string{"no longer there", ": dmv.person."}},
		"history gone":   {sql: `DROP TABLE dmv.person_audit_log`, want: []string{"no longer there", ": dmv.person_audit_log."}},
		"counts gone":    {sql: `DROP TABLE dmv.table_counts`, want: []string{"no longer there", ": dmv.table_counts."}},
		"table replaced": {sql: `CREATE TABLE dmv.p (LIKE dmv.person); DROP TABLE dmv.person; ALTER TABLE dmv.p RENAME TO person`, want: []string{"something else has its name: dmv.person."}, kept: true},
		"view in place":  {sql: `DROP TABLE dmv.person_audit_log; CREATE VIEW dmv.person_audit_log AS SELECT 1 AS x`, want: []string{"something else has its name: dmv.person_audit_log."}, kept: true},
		"heads dropped":  {sql: `DO $$ BEGIN EXECUTE 'DROP TABLE godwit.' || godwit.head_table('dmv', 'person'); END $$`, want: []string{"no longer there", "godwit.head_"}},
		"table beside":   {sql: `CREATE TABLE dmv.mine (a int)`, want: []string{"holds what load load1 did not make: table dmv.mine"}, kept: true},
		"view beside":    {sql: `CREATE VIEW dmv.mine AS SELECT 1 AS x`, want: []string{"did not make: view dmv.mine"}, kept: true},
		"sequence beside": {
			sql: `CREATE SEQUENCE dmv.mine`, want: []string{"did not make: sequence dmv.mine"}, kept: true,
		},
		"function beside": {
			sql: `CREATE FUNCTION dmv.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`, want: []string{"did not make: function dmv.mine()"}, kept: true,
		},
		"types beside": {
			sql: `CREATE TYPE dmv.mine AS ENUM ('a'); CREATE DOMAIN dmv.yours AS int`, want: []string{"did not make: type dmv.mine, type dmv.yours"}, kept: true,
		},
		"view elsewhere":  {sql: `CREATE VIEW app.v AS SELECT * FROM dmv.person`, want: []string{"others depend on the tables of load load1: view app.v depends on table dmv.person"}, kept: true},
		"foreign key":     {sql: `CREATE TABLE app.t (doc text REFERENCES dmv.person)`, want: []string{"constraint t_doc_fkey on table app.t depends on table dmv.person"}, kept: true},
		"partition of it": {sql: `CREATE TABLE app.t () INHERITS (dmv.person)`, want: []string{"table app.t depends on table dmv.person"}, kept: true},
		"loaded before the upgrade": {
			sql: `UPDATE godwit.load SET made_schema = NULL, shown_in = NULL`, want: []string{"was shown by an older godwit"},
		},
		"restored into another cluster": {
			sql: `UPDATE godwit.load SET shown_in = '4000000000:4000000000:'`, want: []string{"in another database cluster"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			b.exec(`CREATE SCHEMA app`)
			b.load(two("load1"))
			if strings.HasPrefix(test.sql, "DO ") {
				b.exec(test.sql)
			} else {
				for sql := range strings.SplitSeq(test.sql, "; ") {
					b.exec(sql)
				}
			}
			b.keeps("load1", "GW005", append(test.want, "DROP TABLE IF EXISTS ", `SELECT godwit.forget('load1');`)...)
			if test.kept {
				return
			}
			u, err := b.unload("load1", true)
			if err != nil {
				t.Fatal(err)
			}
			_, byHand, _ := strings.Cut(u.Message, "DROP ")
			for sql := range strings.SplitSeq(strings.TrimSuffix("DROP "+byHand, ";"), "; ") {
				b.exec(sql)
			}
			equal(t, "by hand", b.visibleNow(), "")
			equal(t, "heads and loads", b.list(`SELECT relation FROM godwit.head UNION ALL SELECT load_id FROM godwit.load`), "")
		})
	}
}

// Loads of one schema share their tables, whichever came first; what the refusal
// offers removes both.
func TestUnloadRefusesMergedLoads(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"load1", "load2"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			second := map[string]string{"load1": "load2", "load2": "load1"}[first]
			b.load(ledger(first, people()...))
			b.load(ledger(second, revision{doc: "d", op: "I", value: "Di"}))
			b.keeps("load1", "GW005", "schema dmv has load load2 (published) as well")
			b.keeps("load2", "GW005", "schema dmv has load load1 (published) as well", "godwit.forget('load1'), godwit.forget('load2');")
			// Bookkeeping that somebody removed does not make the tables one load's.
			b.exec(`SELECT godwit.forget('` + first + `')`)
			b.keeps(second, "GW005", "load "+second+" added to tables that were there before it")
		})
	}
	t.Run("other tables", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, rdsdata.Config{})
		b.load(ledger("load1", people()...))
		p := two("load2")
		p.tables, p.sources, p.revisions = p.tables[1:], p.sources[1:], p.revisions[5:]
		b.load(p)
		b.keeps("load1", "GW005", "schema dmv has load load2 (published) as well")
	})
	t.Run("under way", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, rdsdata.Config{})
		b.load(ledger("load1", people()...))
		b.begin(ledger("load2", people()...))
		b.keeps("load1", "GW003", "schema dmv has load load2 (loading) as well")
		b.keeps("load2", "GW003", "load load2 is under way and shows nothing", "Abandon")
		if err := b.loader.Abandon(t.Context(), "load2"); err != nil {
			t.Fatal(err)
		}
		b.unloads("load1")
	})
	t.Run("dropped by hand", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, rdsdata.Config{})
		b.load(ledger("load1", people()...))
		b.exec(`DROP SCHEMA dmv CASCADE`)
		b.load(ledger("load2", people()...))
		b.unloads("load2") // load1 shows nothing any more
		equal(t, "what is left", b.visibleNow(), "")
	})
}

// A transaction that began before the load was shown and writes after it is told
// from the load, although its id is smaller than that of the one that showed it.
func TestUnloadSeesAWriterThatBeganBeforeTheLoadWasShown(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	writer := testdb.Connect(t, b.db.SuperuserDSN)
	for _, sql := range []string{`BEGIN`, `SELECT pg_current_xact_id()`} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b.exec(`SELECT pg_current_xact_id()`) // one that ends in between
	if err := b.run(p.ID, visible); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`UPDATE dmv.person SET name = 'Eve' WHERE doc_id = 'a'`, `COMMIT`} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b.keeps("load1", "GW005", "dmv.person holds 2 rows where the load wrote 2, 1 of them written later")
}

// Ids of savepoints are in no snapshot: what one that began before the load was
// shown writes after it is told from the load all the same.
func TestUnloadSeesASavepointThatBeganBeforeTheLoadWasShown(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.exec(`CREATE TABLE scratch (a int)`)
	p := ledger("load1", people()...)
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	writer := testdb.Connect(t, b.db.SuperuserDSN)
	for _, sql := range []string{`BEGIN`, `SELECT pg_current_xact_id()`, `SAVEPOINT s`, `INSERT INTO scratch VALUES (1)`} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b.exec(`SELECT pg_current_xact_id()`) // one that ends in between
	if err := b.run(p.ID, visible); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`UPDATE dmv.person SET name = 'Eve' WHERE doc_id = 'a'`, `COMMIT`} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b.keeps("load1", "GW005", "dmv.person holds 2 rows where the load wrote 2, 1 of them written later")
}

// A transaction that is open all the while does not make the load's own rows
// somebody else's.
func TestUnloadBesideATransactionOlderThanTheLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	writer := testdb.Connect(t, b.db.SuperuserDSN)
	for _, sql := range []string{`BEGIN`, `SELECT pg_current_xact_id()`} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b.load(two("load1"))
	if _, err := writer.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	b.unloads("load1")
}

// answer is an unload that runs beside the test.
type answer struct {
	unloaded
	err error
}

func (b *bench) unloadBeside(load string) chan answer {
	out := make(chan answer, 1)
	go func() {
		u, err := b.unload(load, false)
		out <- answer{u, err}
	}()
	return out
}

// A writer that is there first is waited for, and seen.
func TestUnloadWaitsForAWriterAndSeesWhatItWrote(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"stream": `INSERT INTO godwit.head VALUES ('dmv.person', 'x', 0, true, NULL, 'T1')`,
		"hand":   `UPDATE dmv.person SET name = 'Eve' WHERE doc_id = 'a'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			b.load(ledger("load1", people()...))
			b.exec(`BEGIN`)
			b.exec(sql)
			done := b.unloadBeside("load1")
			b.waitLocked(1)
			b.exec(`COMMIT`)
			if a := <-done; a.err != nil || a.SQLState != "GW005" || !strings.Contains(a.Message, "1 of them written later") {
				t.Errorf("got %+v, want the row of the writer seen", a)
			}
		})
	}
}

// A writer that comes between the check and the drop waits, and finds no table.
// The drop itself waits for readers.
func TestNoWriterSlipsInBeforeTheDrop(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	b.exec(`BEGIN`)
	b.exec(`SELECT count(*) FROM dmv.person`) // a reader holds the drop up
	done := b.unloadBeside("load1")
	b.waitLocked(1)
	wrote := make(chan error, 1)
	go func() { wrote <- b.loader.Exec(t.Context(), `INSERT INTO dmv.person VALUES ('x', 0, 'X', '{}')`) }()
	b.waitLocked(2)
	b.exec(`COMMIT`)
	if a := <-done; a.err != nil || a.State != "done" {
		t.Errorf("got %+v, want it done", a)
	}
	if err := <-wrote; err == nil || !strings.Contains(err.Error(), "42P01") {
		t.Errorf("got %v, want the writer to find no table", err)
	}
}

// A stream that writes during the check holds what the drop needs, and the other
// way round: the server ends one of them, and nothing is lost either way.
func TestUnloadBesideAStreamRemovesAllOrNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	before := b.everything()
	b.exec(`BEGIN`)
	b.exec(`SELECT count(*) FROM dmv.person`)
	done := b.unloadBeside("load1")
	b.waitLocked(1)
	wrote := make(chan error, 1)
	go func() {
		wrote <- b.loader.Exec(t.Context(), `INSERT INTO godwit.head VALUES ('dmv.person', 'x', 0, true, NULL, 'T1')`)
	}()
	b.waitLocked(2)
	b.exec(`COMMIT`)
	a, err := <-done, <-wrote
	switch {
	case a.err == nil && a.State == "done" && err != nil:
		equal(t, "unloaded", b.visibleNow(), "")
	case a.err == nil && a.SQLState == "40P01" && err == nil:
		if !strings.Contains(a.Message, "in use by a writer") {
			t.Errorf("got %q, want the reason", a.Message)
		}
		equal(t, "heads", b.heads(), "a:1 b:0 c:1x x:0x")
		b.exec(`DELETE FROM godwit.head WHERE doc_id = 'x'`)
		equal(t, "rest", b.everything(), before)
	default:
		t.Errorf("got %+v and a writer's %v, want one of them ended", a, err)
	}
}

// Somebody who reads for long holds nobody up for long.
func TestUnloadGivesUpBehindALongReader(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	before := b.everything()
	reader := testdb.Connect(t, b.db.SuperuserDSN)
	for _, sql := range []string{`BEGIN`, `SELECT count(*) FROM dmv.person`} {
		if _, err := reader.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	u, err := b.unload("load1", false)
	if err != nil || u.SQLState != "55P03" || !strings.Contains(u.Message, "nothing was removed: the tables of load load1 are in use") || strings.Contains(u.Message, "DROP") {
		t.Errorf("got %+v, %v, want it given up", u, err)
	}
	equal(t, "rest", b.everything(), before)
	if _, err := reader.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	b.unloads("load1")
}

// A load of the schema that begins meanwhile finds either the other load or a free
// schema.
func TestBeginWaitsForUnload(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	b.exec(`BEGIN`)
	b.exec(`SELECT count(*) FROM dmv.person`)
	done := b.unloadBeside("load1")
	b.waitLocked(1)
	loaded := make(chan error, 1)
	p := ledger("load2", people()...)
	go func() {
		_, err := b.loader.Begin(t.Context(), p.Load)
		loaded <- err
	}()
	b.waitLocked(2)
	b.exec(`COMMIT`)
	if a := <-done; a.err != nil || a.State != "done" {
		t.Errorf("got %+v, want it done", a)
	}
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	b.load(p)
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob")
	if get[bool](b, `SELECT merge FROM godwit.load_table`) {
		t.Error("got a load that adds to tables, want them made anew")
	}
}

// A call that ends before its statement does asks again, and hears what became of
// it: done, or why not, although it would be done by now.
func TestUnloadOutlivesItsCall(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ sql, mend, want string }{
		"done":    {sql: `SELECT 1`, mend: `SELECT 1`, want: "unknown"},
		"refused": {sql: `INSERT INTO dmv.person VALUES ('x', 0, 'X', '{}')`, mend: `DELETE FROM dmv.person WHERE doc_id = 'x'`, want: "GW005"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{Timeout: 5 * limit})
			b.load(ledger("load1", people()...))
			b.exec(`BEGIN`)
			b.exec(`LOCK TABLE dmv.person IN ROW EXCLUSIVE MODE`)
			_, err := b.unload("load1", false)
			if err == nil || !strings.Contains(err.Error(), "StatementTimeoutException") {
				t.Fatalf("got %v, want the call to end before its statement", err)
			}
			u, err := b.unload("load1", true)
			if err != nil || u.State != "running" {
				t.Errorf("beside it: got %+v, %v, want it running", u, err)
			}
			b.exec(test.sql)
			b.exec(`COMMIT`)
			b.waitIdle()
			b.exec(test.mend)
			u, err = b.unload("load1", true)
			if err != nil || u.State != test.want && u.SQLState != test.want {
				t.Errorf("in the end: got %+v, %v, want %s", u, err, test.want)
			}
			if test.want == "unknown" {
				return
			}
			b.unloads("load1")
		})
	}
}

// Whoever is not the loader's is told so.
func TestUnloadNeedsTheOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	b.exec(`ALTER TABLE dmv.person OWNER TO CURRENT_USER`)
	b.keeps("load1", "42501", "permission denied for table person")
}

// A bookkeeping schema of the first version, with a load that it showed, is taken
// over: that load is not removed, the ones after it are.
func TestAnOlderBookkeepingSchemaIsUpgraded(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	b.exec(`ALTER TABLE godwit.load DROP COLUMN made_schema, DROP COLUMN shown_in`)
	if err := target.Prepare(t.Context(), b.admin, b.loader, b.db.Loader, b.db.LoaderPassword); err != nil {
		t.Fatal(err)
	}
	b.keeps("load1", "GW005", "was shown by an older godwit")
	p := ledger("load2", people()...)
	p.Schema = "dmv2"
	b.load(p)
	b.unloads("load2")
	equal(t, "what is left", b.visibleNow(), "dmv.person:2 dmv.person_audit_log:5 dmv.table_counts:1")
}
