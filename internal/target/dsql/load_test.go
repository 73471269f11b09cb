package dsql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
)

func TestPrepareTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	state := func() string {
		return b.list(`SELECT concat(n.nspname, '.', relname, ' ', relacl) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('godwit', 'shop') ORDER BY 1`) +
			b.list(`SELECT concat(nspname, ' ', nspacl) FROM pg_namespace ORDER BY 1`) + b.list(`SELECT rolname::text FROM pg_roles ORDER BY 1`)
	}
	before := state()
	if err := b.admin.Prepare(t.Context(), b.preparation()); err != nil {
		t.Fatal(err)
	}
	equal(t, "after another Prepare", state(), before)
	// The loader makes tables, and nothing else.
	if _, err := b.loader.Exec(t.Context(), `CREATE SCHEMA mine`); stateOf(err) != "42501" {
		t.Errorf("the loader makes a schema: got %v, want 42501", err)
	}
	p := b.preparation()
	p.Schemas = []string{"public"}
	if err := b.admin.Prepare(t.Context(), p); err == nil || !strings.Contains(err.Error(), "name another schema") {
		t.Errorf("schema public: got %v, want it refused", err)
	}
}

func stateOf(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

func TestBeginKeepsTheLoadThatIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	rows := plain(100, 5)
	if _, err := b.loader.Load(t.Context(), item("l1", "a", &plan, rows), source(rows, 10)); err != nil {
		t.Fatal(err)
	}
	again := change.TableLoad{ID: "l1", Plan: "1", Tables: []change.TableName{plan.Target}}
	state, err := b.loader.Begin(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Items) != 1 || state.Items[0].Loaded != 100 || state.Published || len(state.Tables) != 1 {
		t.Errorf("got %+v, want one item of 100 rows, not published", state)
	}
	again.Plan = "2"
	var changed *dsql.PlanChangedError
	if _, err := b.loader.Begin(t.Context(), again); !errors.As(err, &changed) {
		t.Errorf("another plan: got %v, want a PlanChangedError", err)
	}
	var loaded *dsql.LoadedError
	other := change.TableLoad{ID: "l2", Plan: "1", Tables: []change.TableName{plan.Target}}
	if _, err := b.loader.Begin(t.Context(), other); !errors.As(err, &loaded) || loaded.Load != "l1" {
		t.Errorf("another load: got %v, want it refused for l1", err)
	}
	b.exec(`CREATE TABLE shop.theirs (id int)`)
	other = change.TableLoad{ID: "l2", Plan: "1", Tables: []change.TableName{{Schema: "shop", Name: "theirs"}}, Replace: true}
	if _, err := b.loader.Begin(t.Context(), other); !errors.As(err, &loaded) || loaded.Load != "" {
		t.Errorf("a table of nobody: got %v, want it refused also where it is to be replaced", err)
	}
	for range 2 {
		if err := b.loader.Publish(t.Context(), "l1"); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := b.loader.State(t.Context(), "l1"); err != nil || !state.Published {
		t.Errorf("got %+v, %v, want it published", state, err)
	}
	var unknown *dsql.UnknownLoadError
	if err := b.loader.Publish(t.Context(), "l9"); !errors.As(err, &unknown) {
		t.Errorf("got %v, want an UnknownLoadError", err)
	}
}

// A load that replaces another ends it: what still runs for that one stores no
// more rows, and its own name begins from nothing.
func TestReplaceEndsTheOtherLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	parent, child := orders("parent"), orders("child")
	b.begin("l1", parent, child)
	rows := plain(10, 5)
	if _, err := b.loader.Load(t.Context(), item("l1", "a", &parent, rows), source(rows, 10)); err != nil {
		t.Fatal(err)
	}
	b.exec(`ALTER TABLE shop.child ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES shop.parent (id)`)

	var late error
	other := change.TableLoad{ID: "l2", Plan: "1", Tables: []change.TableName{parent.Target, child.Target}, Replace: true}
	more := plain(20, 5)
	_, late = b.loader.Load(t.Context(), item("l1", "b", &child, more), during(source(more, 10), func() {
		if _, err := b.loader.Begin(t.Context(), other); err != nil {
			t.Error(err)
		}
		if err := b.loader.Tables(t.Context(), "l2", []change.TablePlan{parent, child}); err != nil {
			t.Error(err)
		}
	}))
	var superseded *dsql.SupersededError
	if !errors.As(late, &superseded) {
		t.Errorf("the load that was replaced: got %v, want a SupersededError", late)
	}
	equal(t, "rows", b.list(`SELECT count(*)::text FROM shop.parent UNION ALL SELECT count(*)::text FROM shop.child`), "0 0")
	var unknown *dsql.UnknownLoadError
	if _, err := b.loader.Load(t.Context(), item("l1", "a", &parent, rows), source(rows, 10)); !errors.As(err, &unknown) {
		t.Errorf("got %v, want an UnknownLoadError", err)
	}
	if err := b.loader.Tables(t.Context(), "l1", []change.TablePlan{parent, child}); !errors.As(err, &unknown) {
		t.Errorf("got %v, want an UnknownLoadError", err)
	}
}

// A load that was ended, and whose tables were not dropped yet, begins again from
// nothing: rows that its first run stored are not its own, and what still runs
// for that stores no more.
func TestLoadThatBeginsAgainTrustsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	plan.Key = nil
	b.begin("l1", plan)
	rows := plain(100, 5)
	work := item("l1", "a", &plan, rows)
	if _, err := b.loader.Load(t.Context(), item("l1", "b", &plan, rows), source(rows, 10)); err != nil {
		t.Fatal(err)
	}
	db := b.open(dsql.Config{Role: loaderRole, Limits: dsql.Limits{TransactionRows: 30}})
	_, late := db.Load(t.Context(), work, func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
		return source(rows, 10)(ctx, r, func(l change.Lines) error {
			if l.First == 50 {
				for b.list(`SELECT count(*)::text FROM godwit.batch WHERE item = 'a'`) == "0" {
					time.Sleep(time.Millisecond) // rows 0 to 27 are being stored
				}
				b.exec(`DELETE FROM godwit.load`) // as who replaces it does first
				b.begin("l1", plan)
				if _, err := b.loader.Load(t.Context(), work, source(rows, 10)); err != nil {
					t.Error(err)
				}
			}
			return yield(l)
		})
	})
	var superseded *dsql.SupersededError
	if !errors.As(late, &superseded) {
		t.Errorf("the first run: got %v, want a SupersededError", late)
	}
	equal(t, "rows", b.list(`SELECT concat(count(*), ' ', count(DISTINCT id)) FROM shop.orders`), "100 100")
	state, err := b.loader.State(t.Context(), "l1")
	if err != nil || len(state.Items) != 1 || state.Items[0].ID != "a" {
		t.Errorf("got %+v, %v, want item a and no other", state, err)
	}
}

// What depends on a table that is to be replaced keeps it.
func TestReplaceKeepsWhatOthersDependOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	b.exec(`CREATE VIEW shop.v AS SELECT * FROM shop.orders`)
	if _, err := b.loader.Begin(t.Context(), change.TableLoad{ID: "l2", Plan: "1", Tables: []change.TableName{plan.Target}, Replace: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.loader.Tables(t.Context(), "l2", []change.TablePlan{plan}); stateOf(err) != "2BP01" {
		t.Errorf("got %v, want 2BP01", err)
	}
	equal(t, "whose it is", b.list(`SELECT load_id FROM godwit.loaded_table`), "l1")
}

func TestTablesAreMadeAsPlanned(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	keep := change.Conversion{Kind: change.AsIs}
	plan := change.TablePlan{
		Target: change.TableName{Schema: "shop", Name: `Or"der`},
		Columns: []change.ColumnPlan{
			{Name: "select", Type: "bigint", NotNull: true, Identity: "BY DEFAULT", Start: 77, From: []change.SourceColumn{{Name: "id"}}, As: keep},
			{Name: "Total", Type: "numeric(12,2)", Default: "0.00", From: []change.SourceColumn{{Name: "total"}}, As: keep},
			{Name: "at", Type: "timestamp(3) with time zone", Default: "now()"},
		},
		Key: []string{"select", "Total"}, KeyName: "order_key",
		Checks: []change.Check{{Name: "positive", Expression: `"Total" >= 0`}},
	}
	b.begin("l1", plan)
	b.begin("l1", plan) // again
	rows := []row{{line: "1\t5\n"}, {line: "2\t6.25\n"}}
	if _, err := b.loader.Load(t.Context(), item("l1", "a", &plan, rows), source(rows, 10)); err != nil {
		t.Fatal(err)
	}
	b.exec(`INSERT INTO shop."Or""der" DEFAULT VALUES`)
	equal(t, "rows", b.list(`SELECT concat("select", ' ', "Total", ' ', "at" IS NOT NULL) FROM shop."Or""der" ORDER BY 1`), "1 5.00 t 2 6.25 t 77 0.00 t")
	equal(t, "constraints", b.list(`SELECT conname::text FROM pg_constraint WHERE conrelid = 'shop."Or""der"'::regclass AND contype IN ('p', 'c') ORDER BY 1`), "order_key positive")

	for _, bad := range []change.ColumnPlan{{Name: "a", Type: "text); DROP TABLE x; --"}, {Name: "a", Type: "bigint", Identity: "SOMETIMES"}} {
		p := change.TablePlan{Target: change.TableName{Schema: "shop", Name: "bad"}, Columns: []change.ColumnPlan{bad}}
		if err := b.loader.Tables(t.Context(), "l1", []change.TablePlan{p}); err == nil || !strings.Contains(err.Error(), "column a") {
			t.Errorf("got %v, want column a refused", err)
		}
	}
}
