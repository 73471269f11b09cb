package dsql_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
)

// A testClock moves when it is told to.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *testClock { return &testClock{now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// family is a table that references itself and another.
func family() (parent, child change.TablePlan) {
	parent, child = orders("parent"), orders("child")
	child.Columns = append(child.Columns, change.ColumnPlan{Name: "of", Type: "bigint", From: []change.SourceColumn{{Name: "of"}}, As: change.Conversion{Kind: change.AsIs}})
	child.Indexes = []change.IndexPlan{
		{Name: "child_of", Keys: []string{"of"}, Include: []string{"note"}},
		{Name: "child_note", Unique: true, Constraint: true, Keys: []string{"note"}},
		{Name: "child_lower", Keys: []string{""}, Expressions: []string{"lower(note)"}, Where: "of > 1"},
	}
	child.Foreign = []change.Foreign{{Name: "child_of_fkey", Columns: []string{"of"}, Table: parent.Target, References: []string{"id"}, OnDelete: "CASCADE", Deferrable: true}}
	return parent, child
}

// build calls Build until nothing runs, and advances the clock in between.
func (b *bench) build(load, phase string, c *testClock, plans ...change.TablePlan) change.BuildState {
	b.t.Helper()
	for range 40 {
		state, err := b.loader.Build(b.t.Context(), load, phase, plans)
		if err != nil {
			b.t.Fatal(err)
		}
		if state.Running == 0 {
			return state
		}
		c.advance(time.Minute)
		time.Sleep(20 * time.Millisecond) // the cluster's keeper looks at the clock every 10 ms
	}
	b.t.Fatalf("phase %s does not end", phase)
	return change.BuildState{}
}

func (b *bench) fill(load string, plan change.TablePlan, lines ...string) {
	b.t.Helper()
	var rows []row
	for _, line := range lines {
		rows = append(rows, row{line: line + "\n"})
	}
	if _, err := b.loader.Load(b.t.Context(), item(load, "fill "+plan.Target.Name+fmt.Sprint(len(rows)), &plan, rows), source(rows, 100)); err != nil {
		b.t.Fatal(err)
	}
}

func TestBuildEndsWithWhatWasPlanned(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := newBench(t, local.Config{Now: c.Now, JobDelay: 30 * time.Second})
	parent, child := family()
	b.begin("l1", parent, child)
	b.fill("l1", parent, "1\ta", "2\tb")
	b.fill("l1", child, "1\tx\t1", "2\ty\t2", "3\tz\t\\N")
	equal(t, "indexes", b.build("l1", change.BuildIndexes, c, parent, child).Done, 3)
	equal(t, "foreign keys", b.build("l1", change.BuildForeignKeys, c, parent, child).Done, 1)
	equal(t, "indexes", b.list(`SELECT pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indrelid = 'shop.child'::regclass AND NOT indisprimary ORDER BY 1`),
		`CREATE INDEX child_lower ON shop.child USING btree (lower(note)) WHERE (of > 1)true CREATE INDEX child_of ON shop.child USING btree (of) INCLUDE (note)true CREATE UNIQUE INDEX child_note ON shop.child USING btree (note)true`)
	equal(t, "constraints", b.list(`SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'shop.child'::regclass AND contype IN ('u', 'f') ORDER BY 1`),
		`child_note UNIQUE (note) child_of_fkey FOREIGN KEY (of) REFERENCES shop.parent(id) ON DELETE CASCADE DEFERRABLE`)
	// Half an hour later the jobs are forgotten, and all is as it was.
	c.advance(time.Hour)
	state, err := b.loader.Build(t.Context(), "l1", change.BuildIndexes, []change.TablePlan{parent, child})
	if err != nil || state.Done != 3 || state.Running != 0 || len(state.Failed) != 0 {
		t.Errorf("got %+v, %v, want all of it done", state, err)
	}
}

// A job whose row is gone left its index invalid: it is dropped and built anew.
// The same after a crash before the job was written down.
func TestInvalidIndexIsBuiltAnew(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := newBench(t, local.Config{Now: c.Now, JobDelay: 30 * time.Second})
	parent, child := family()
	child.Indexes = child.Indexes[1:2]
	b.begin("l1", parent, child)
	b.fill("l1", child, "1\tx\t1", "2\tx\t2")
	if _, err := b.loader.Build(t.Context(), "l1", change.BuildIndexes, []change.TablePlan{child}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c.advance(time.Minute)
		time.Sleep(20 * time.Millisecond)
		if b.list(`SELECT status FROM sys.job`) == "failed" {
			break
		}
	}
	equal(t, "the index", b.list(`SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'shop.child_note'::regclass`), "false")
	c.advance(time.Hour)
	b.exec(`DELETE FROM shop.child WHERE id = 2`, `DELETE FROM godwit.job`)
	state := b.build("l1", change.BuildIndexes, c, child)
	if state.Done != 1 || len(state.Failed) != 0 {
		t.Errorf("got %+v, want the index done", state)
	}
	equal(t, "the index", b.list(`SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'shop.child_note'::regclass`), "true")
	// A second job would have been a second row.
	equal(t, "jobs", b.list(`SELECT count(*)::text FROM sys.job`), "2")
}

// What the data keep from being built is told once, without values, and begun
// anew by the call after that.
func TestWhatCannotBeBuiltIsToldOnce(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := newBench(t, local.Config{Now: c.Now, JobDelay: 30 * time.Second})
	parent, child := family()
	b.begin("l1", parent, child)
	b.fill("l1", parent, "1\ta")
	b.fill("l1", child, "1\tsecret\t1", "2\tsecret\t77", "3\tc\t88")
	state := b.build("l1", change.BuildIndexes, c, parent, child)
	if len(state.Failed) != 1 || state.Failed[0].Name != "child_note" || !strings.Contains(state.Failed[0].Reason, "the same key") || strings.Contains(state.Failed[0].Reason, "secret") {
		t.Errorf("got %+v, want child_note failed for the same key", state)
	}
	state = b.build("l1", change.BuildForeignKeys, c, parent, child)
	if len(state.Failed) != 1 || state.Failed[0].Name != "child_of_fkey" || !strings.Contains(state.Failed[0].Reason, "missing") || strings.Contains(state.Failed[0].Reason, "77") {
		t.Errorf("got %+v, want child_of_fkey failed for missing rows", state)
	}
	orphans, err := b.loader.Orphans(t.Context(), child, child.Foreign[0], 10)
	if err != nil || fmt.Sprint(orphans) != "[[2] [3]]" {
		t.Errorf("got orphans %v, %v, want 2 and 3", orphans, err)
	}
	if orphans, err = b.loader.Orphans(t.Context(), child, child.Foreign[0], 1); err != nil || len(orphans) != 1 {
		t.Errorf("got orphans %v, %v, want one", orphans, err)
	}
	b.exec(`UPDATE shop.child SET note = 'd', of = 1 WHERE id = 2`, `DELETE FROM shop.child WHERE id = 3`)
	if state = b.build("l1", change.BuildIndexes, c, parent, child); state.Done != 3 || len(state.Failed) != 0 {
		t.Errorf("got %+v, want all of it done", state)
	}
	if state = b.build("l1", change.BuildForeignKeys, c, parent, child); state.Done != 1 || len(state.Failed) != 0 {
		t.Errorf("got %+v, want all of it done", state)
	}
}
