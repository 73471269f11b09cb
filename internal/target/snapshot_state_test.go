package target_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// At no moment does anybody see a table of a load without the others, and until
// they are shown nobody but the load does.
func TestTablesAreShownAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.beginTables(p)
	for _, phase := range tablePhases[:len(tablePhases)-1] {
		for _, x := range b.tableTasks(p, phase) {
			if err := b.runTable(p, x); err != nil {
				t.Fatal(err)
			}
			equal(t, "after "+x.Phase+" "+x.Name, b.shown(), "")
		}
	}
	// What fails last takes everything back with it.
	b.exec(`CREATE SCHEMA shop AUTHORIZATION ` + b.db.Loader)
	b.exec(`CREATE TABLE shop.other (x int CONSTRAINT "customers mail" PRIMARY KEY)`)
	e := refused(t, b.runPhases(p, ""), "42P07")
	if !strings.Contains(e.Message, "customers mail") || !strings.Contains(e.Message, "shop.customers") {
		t.Errorf("got %q, want the names of the table and of what is in its way", e.Message)
	}
	equal(t, "after a failure", b.shown(), "shop.other")
	b.exec(`DROP TABLE shop.other`)
	if err := b.runPhases(p, ""); err != nil {
		t.Fatal(err)
	}
	equal(t, "tables", b.shown(), allShown)
}

// Two of everything: one stores, the other finds it running or done.
func TestTablesTwoAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	errs := make([]error, 2)
	both := func(do func() error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = do() })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	both(func() error { _, err := b.loader.BeginTables(context.Background(), p.TableLoad); return err })
	for _, phase := range tablePhases {
		for _, x := range b.tableTasks(p, phase) {
			both(func() error {
				for look := false; ; look = true {
					if done, err := b.loader.RunTables(context.Background(), p.TableLoad, p.plans, x, look); done || err != nil {
						return err
					}
				}
			})
		}
	}
	equal(t, "tables", b.shown(), allShown)
	equal(t, "rows", b.list(`SELECT count(*)::text FROM shop.notes UNION ALL SELECT count(*)::text FROM shop.customers UNION ALL SELECT count(*)::text FROM "Shop two"."Orders"`), "3 2 2")
}

// Invariant 9.
func TestTableTaskOutlivesItsCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	slow := newSlow(t, b)
	p := storefront("load1")
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseImport); err != nil {
		t.Fatal(err)
	}
	x := b.tablePart(p, 2, 0, p.lines[2])
	open := b.shelf.hold(t, "work-bucket", fmt.Sprintf("parts/%s/%s/2-0.copy.gz", b.db.Name, p.ID))
	for i := range 2 {
		if done, err := slow.RunTables(t.Context(), p.TableLoad, p.plans, x, i > 0); done || err != nil {
			t.Fatalf("call %d: got done %v and error %v, want it to be running", i, done, err)
		}
	}
	open()
	b.waitIdle()
	if done, err := slow.RunTables(t.Context(), p.TableLoad, p.plans, x, true); !done || err != nil {
		t.Fatalf("at the end: got done %v and error %v", done, err)
	}
	if n := get[int](b, fmt.Sprintf(`SELECT count(*) FROM %s`, target.Quote(p.Stage("shop"), "notes"))); n != 3 {
		t.Errorf("got %d rows, want 3", n)
	}
}

// A second load into tables that exist is refused, unless it may replace them.
func TestTablesAreReplacedOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.loadTables(storefront("load1"))
	before := get[uint32](b, `SELECT 'shop.customers'::regclass::oid`)

	p := storefront("load2")
	p.lines[2] = "1\tann@x\tnew\n"
	var loaded *target.LoadedError
	if _, err := b.loader.BeginTables(t.Context(), p.TableLoad); !errors.As(err, &loaded) || loaded.Load != "load1" {
		t.Fatalf("got %v, want that load1 brought a table", err)
	}
	p.Replace = true
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*) FROM shop.notes`); n != 3 || get[uint32](b, `SELECT 'shop.customers'::regclass::oid`) != before {
		t.Errorf("before the load is shown there are %d notes, want 3", n)
	}
	// What others made of the tables keeps them.
	b.exec(`CREATE VIEW shop.names AS SELECT "E-mail" FROM shop.customers`)
	if e := refused(t, b.runPhases(p, ""), "2BP01"); !strings.Contains(e.Message, "view shop.names") {
		t.Errorf("got %q, want the name of the view", e.Message)
	}
	b.exec(`DROP VIEW shop.names`)
	if err := b.runPhases(p, ""); err != nil {
		t.Fatal(err)
	}
	equal(t, "tables", b.shown(), allShown)
	equal(t, "notes", b.list(`SELECT text FROM shop.notes`), "new")
	equal(t, "loads", b.list(`SELECT load_id FROM godwit.load`), "load2")

	// The first one again brings its own, where it may.
	again := storefront("load1")
	again.Replace = true
	b.loadTables(again)
	if n := get[int](b, `SELECT count(*) FROM shop.notes`); n != 3 {
		t.Errorf("got %d notes, want 3", n)
	}
}

// Of a load that is replaced in part, the other tables stay.
func TestTablesThatAreNotReplacedStay(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.loadTables(storefront("load1"))
	p := storefront("load2")
	p.plans, p.Tables, p.lines = p.plans[2:], p.Tables[2:], []string{"\\N\t\\N\tnew\n"}
	p.plans[0].Foreign, p.Replace = nil, true
	b.loadTables(p)
	equal(t, "tables", b.shown(), allShown)
	equal(t, "loads", b.list(`SELECT load_id || ':' || target_name FROM godwit.loaded_table ORDER BY load_id, target_name COLLATE "C"`), "load1:Orders load1:customers load2:notes")
	state, err := b.loader.BeginTables(t.Context(), storefront("load1").TableLoad)
	if err != nil || !state.Published {
		t.Errorf("got %+v and error %v, want that load1 is shown", state, err)
	}
}

func TestTablesOfOthersAreNeverReplaced(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.exec(`CREATE SCHEMA shop`)
	p := storefront("load1")
	p.Replace = true
	var closed *target.SchemaError
	if _, err := b.loader.BeginTables(t.Context(), p.TableLoad); !errors.As(err, &closed) || closed.Schema != "shop" || !strings.Contains(err.Error(), "GRANT USAGE, CREATE ON SCHEMA") {
		t.Fatalf("got %v, want that schema shop is closed", err)
	}
	b.exec(`ALTER SCHEMA shop OWNER TO ` + b.db.Master)
	if err := target.OpenSchemas(t.Context(), b.admin, b.db.Loader, []string{"shop", "Shop two"}); err != nil {
		t.Fatal(err)
	}
	b.exec(`CREATE TABLE shop.notes (mine int)`)
	var loaded *target.LoadedError
	if _, err := b.loader.BeginTables(t.Context(), p.TableLoad); !errors.As(err, &loaded) || loaded.Load != "" || loaded.Table.Name != "notes" {
		t.Fatalf("got %v, want that nobody's load made table notes", err)
	}
	b.exec(`DROP TABLE shop.notes`)
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	b.exec(`CREATE TABLE shop.notes (mine int)`) // meanwhile
	refused(t, b.runPhases(p, ""), "42P07")
	equal(t, "tables", b.shown(), "shop.notes")
}

// Loads of ledgers and of tables never write to one schema at a time.
func TestLoadsOfBothKindsExcludeEachOther(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p, other, l := storefront("load1"), storefront("load2"), ledger("load3", people()...)
	l.Schema = "shop"
	b.beginTables(p)
	var conflict *target.Conflict
	if _, err := b.loader.Begin(t.Context(), l.Load); !errors.As(err, &conflict) || conflict.Running != p.ID {
		t.Errorf("a ledger's load: got %v, want that load1 is under way", err)
	}
	other.Tables, other.plans = []change.TableName{shop("shop", "more")}, nil
	other.Replace = true
	if _, err := b.loader.BeginTables(t.Context(), other.TableLoad); !errors.As(err, &conflict) || conflict.Running != p.ID {
		t.Errorf("a load of another table: got %v, want that load1 is under way", err)
	}
	// One that replaces the same tables ends it, and so does who abandons it.
	other.Tables = p.Tables[2:]
	if _, err := b.loader.BeginTables(t.Context(), other.TableLoad); err != nil {
		t.Fatal(err)
	}
	refused(t, b.runPhases(p, ""), "GW003")
	if err := b.loader.Abandon(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'godwit\_load%'`); n != 0 {
		t.Errorf("%d hidden schemas are left", n)
	}
	b.begin(l)
	if _, err := b.loader.BeginTables(t.Context(), p.TableLoad); !errors.As(err, &conflict) || conflict.Running != l.ID || conflict.Tables {
		t.Errorf("got %v, want that load3 of a ledger is under way", err)
	}
}

func TestTablesGoOnWithTheirPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.beginTables(p)
	p.Plan = "another"
	var e *target.PlanError
	if _, err := b.loader.BeginTables(t.Context(), p.TableLoad); !errors.As(err, &e) {
		t.Errorf("got %v, want that the plan is another", err)
	}
}

// Once all of its tables were dropped, a load is loaded anew.
func TestTablesThatWereDroppedAreLoadedAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.loadTables(p)
	b.exec(`DROP TABLE shop.notes, shop.customers, "Shop two"."Orders"`)
	b.loadTables(p)
	equal(t, "tables", b.shown(), allShown)
}

// Rows that refer to nothing are listed by key, and by no error; nothing is shown.
func TestOrphansAreListedByKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	p.plans[1].Foreign[1].Match = "FULL" // a NULL beside a value refers to nothing
	p.lines[1] = "9\t1\t5\t1.50\t\\N\n9\t2\t2\t1\t\\N\n8\t1\t1\t1\t7\n"
	p.lines[2] = strings.Repeat("\\N\tann@x\tx\n", 3) + strings.Repeat("\\N\tsecret\tx\n", 1200)
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	broken, err := b.loader.TableBroken(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	customer, of, mail := target.ForeignTask(p.Tables[1], "customer"), target.ForeignTask(p.Tables[1], "of"), target.ForeignTask(p.Tables[2], "mail")
	if len(broken) != 3 || broken[customer] != 1 || broken[of] != 3 || broken[mail] != 1000 {
		t.Errorf("got %v, want one orphan of customer, 3 of of, and 1,000 of mail", broken)
	}
	for name, want := range map[string]string{customer: "9,1", of: "8,1 9,1 9,2", mail: strings.TrimSuffix(strings.Repeat("secret ", 1000), " ")} {
		var got []string
		keys, err := b.loader.TableOrphans(t.Context(), p.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			got = append(got, strings.Join(k, ","))
		}
		equal(t, name, strings.Join(got, " "), want)
	}
	refused(t, b.runPhases(p, ""), "GW009")
	equal(t, "tables", b.shown(), "")
}

// What a server refuses is said without the value.
func TestTableTasksTellNoValue(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	for i, c := range []struct {
		table              int
		lines, state, want string
	}{
		{0, "1\tsecret\t\\N\t\\N\t\\N\n", "23514", "constraint mail of table customers"},
		{0, "1\t\\N\t\\N\t\\N\t\\N\n", "23502", "line 1"},
		{0, "secret\ta@x\t\\N\t\\N\t\\N\n", "22P02", "line 1, column id"},
		{0, "1\tsecret@x\t\\N\t\\N\t\\N\n1\tother@x\t\\N\t\\N\t\\N\n", "23505", "constraint customers_pkey of table customers"},
		{0, "1\tsecret@x\t\\N\t\\N\t\\N\n2\tsecret@x\t\\N\t\\N\t\\N\n", "23505", "constraint customers_mail_key of table customers"},
		{0, "1\tsecret@x\t\\N\t\\N\t\\N\n\n", "22P02", "line 2"},
	} {
		p := storefront(fmt.Sprintf("load%d", i))
		p.Replace = true
		p.lines[c.table] = c.lines
		b.beginTables(p)
		e := refused(t, b.runPhases(p, target.PhaseIndexes), c.state)
		if !strings.Contains(e.Message, c.want) || strings.Contains(e.Message, "secret") || strings.Contains(get[string](b, `SELECT coalesce(string_agg(message, ''), '') FROM godwit.failure`), "secret") {
			t.Errorf("%q: got %q, want %q and no value", c.lines, e.Message, c.want)
		}
	}
}

// A part that lacks rows is not taken for whole.
func TestTablePartsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseImport); err != nil {
		t.Fatal(err)
	}
	x := b.tablePart(p, 2, 0, p.lines[2])
	b.shelf.put(t, "work-bucket", fmt.Sprintf("parts/%s/%s/2-0.copy.gz", b.db.Name, p.ID), []byte("\\N\t\\N\tx\n"))
	refused(t, b.runTable(p, x), "GW001")
}

// The load of a snapshot is not taken away, but how to is told.
func TestUnloadTellsHowToDropTables(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.loadTables(storefront("load1"))
	answer := get[string](b, `SELECT godwit.unload('load1')::text`)
	if !strings.Contains(answer, "DROP TABLE") || !strings.Contains(answer, "shop.notes") {
		t.Fatalf("got %s, want the tables", answer)
	}
	b.exec(`DROP TABLE "Shop two"."Orders", shop.customers, shop.notes; SELECT godwit.forget('load1')`)
	equal(t, "loads", b.list(`SELECT load_id FROM godwit.load`), "")
}

// A plan's words that are no names are checked before they are statements.
func TestPlansAreNoStatements(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	for name, bad := range map[string]func(*change.TablePlan){
		"type":     func(p *change.TablePlan) { p.Columns[0].Type = "integer); DROP TABLE x; --" },
		"identity": func(p *change.TablePlan) { p.Columns[0].Identity = "SOMETIMES" },
		"method":   func(p *change.TablePlan) { p.Indexes[2].Method = "gin (x)" },
		"match":    func(p *change.TablePlan) { p.Foreign[0].Match = "PARTIAL" },
		"action":   func(p *change.TablePlan) { p.Foreign[0].OnDelete = "EXPLODE" },
		"outside":  func(p *change.TablePlan) { p.Foreign[0].Table.Name = "elsewhere" },
		"arity":    func(p *change.TablePlan) { p.Foreign[0].References = nil },
		"unique":   func(p *change.TablePlan) { p.Indexes[0].Where = "id > 0" },
	} {
		p := storefront("load1")
		bad(&p.plans[0])
		found := false
		for _, phase := range []string{target.PhaseTables, target.PhaseKeys, target.PhaseIndexes, target.PhaseForeign} {
			for _, x := range b.tableTasks(p, phase) {
				var asked *target.TaskError // which the database refuses, because the load did not begin
				if err := b.runTable(p, x); !errors.As(err, &asked) {
					found = true
				}
			}
		}
		if !found {
			t.Errorf("%s: no task is refused", name)
		}
	}
}
