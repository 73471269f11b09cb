package dsql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
)

// A repaired family: rows of both tables differ, and refer to each other.
type repaired struct {
	*bench
	clock  *testClock
	family []change.TablePlan
}

func newRepaired(t *testing.T, c local.Config) *repaired {
	t.Helper()
	r := &repaired{clock: newClock()}
	c.Now = r.clock.Now
	r.bench = newBench(t, c)
	parent, child := family()
	child.Indexes = nil
	r.family = []change.TablePlan{parent, child}
	r.begin("l1", r.family...)
	r.fill("l1", parent, "1\tone", "2\ttw\\to", "3\tthree")
	r.fill("l1", child, "10\ta\t1", "11\tb\t2", "12\tc\t3")
	r.link()
	return r
}

// link makes the foreign keys.
func (r *repaired) link() {
	r.t.Helper()
	if state := r.build("l1", change.BuildForeignKeys, r.clock, r.family...); state.Done != 1 || len(state.Failed) > 0 {
		r.t.Fatalf("foreign keys: %+v", state)
	}
}

// damage changes rows past all limits: a parent is another, one is missing although
// a child refers to it, and one is there besides.
func (r *repaired) damage() {
	r.t.Helper()
	r.exec(`SET session_replication_role = replica`,
		`DELETE FROM shop.parent WHERE id IN (2, 9)`, `UPDATE shop.parent SET note = 'other' WHERE id = 1`, `INSERT INTO shop.parent VALUES (9, 'extra')`)
}

func (r *repaired) repair(ctx context.Context, db *dsql.DB, id string) (bool, error) {
	out := []row{{line: "1\n"}, {line: "9\n"}}
	in := []row{{line: "1\tone\n"}, {line: "2\ttw\\to\n"}}
	return db.Repair(ctx, change.TableRepair{Load: "l1", ID: id, Table: &r.family[0], Plans: r.family, Out: int64(len(out)), In: int64(len(in))}, source(out, 10), source(in, 10))
}

// check holds the rows against what they were, and makes the foreign keys anew.
func (r *repaired) check(what string) {
	r.t.Helper()
	equal(r.t, what+": parents", r.list(`SELECT p::text FROM shop.parent p ORDER BY id`), `(1,one) (2,"tw`+"\t"+`o") (3,three)`)
	equal(r.t, what+": children", r.list(`SELECT c::text FROM shop.child c ORDER BY id`), `(10,a,1) (11,b,2) (12,c,3)`)
	r.link()
}

// Rows go out although others refer to them, which a cascade would take along; a
// repair that is done is not done again.
func TestRepairPutsRowsRight(t *testing.T) {
	t.Parallel()
	r := newRepaired(t, local.Config{JobDelay: time.Second})
	r.damage()
	for range 2 {
		if done, err := r.repair(t.Context(), r.loader, "repair/1/a"); !done || err != nil {
			t.Fatalf("got done %v and error %v", done, err)
		}
	}
	r.check("repaired")
	r.exec(`INSERT INTO shop.parent VALUES (9, 'extra')`)
	if done, err := r.repair(t.Context(), r.loader, "repair/1/a"); !done || err != nil {
		t.Fatalf("got done %v and error %v", done, err)
	}
	equal(t, "foreign keys behind a repair that was done", r.list(`SELECT conname::text FROM pg_constraint WHERE contype = 'f'`), "child_of_fkey")
	equal(t, "rows behind a repair that was done", r.list(`SELECT count(*)::text FROM shop.parent`), "4")
	r.damage()
	if done, err := r.repair(t.Context(), r.loader, "repair/2/a"); !done || err != nil {
		t.Fatalf("another repair: got done %v and error %v", done, err)
	}
	r.check("repaired again")
	plan := r.family[0]
	plan.Key = nil
	if _, err := r.loader.Repair(t.Context(), change.TableRepair{Load: "l1", ID: "x", Table: &plan}, nil, nil); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without a key: got %v", err)
	}
}

// Whatever call of a repair breaks, before or after it took effect, and whoever is
// killed there: the next call ends in the same rows.
func TestRepairSurvivesEveryBreak(t *testing.T) {
	t.Parallel()
	var at, seen atomic.Int64
	var kill atomic.Pointer[context.CancelFunc]
	var effect atomic.Int64
	r := newRepaired(t, local.Config{Fault: func(e local.Event) local.Effect {
		if e.User != loaderRole || at.Load() < 0 || e.Moment != local.Statement && e.Moment != local.Commit || seen.Add(1) != at.Load()+1 {
			return local.Effect{}
		}
		if cancel := kill.Load(); cancel != nil {
			(*cancel)()
			return local.Effect{}
		}
		return local.Effect{Fault: local.Fault(effect.Load())}
	}})
	at.Store(-1)
	runs := 0
	for _, fault := range []local.Fault{local.CutAfter, local.None} {
		for n := int64(0); ; n++ {
			r.damage()
			ctx, cancel := context.WithCancel(t.Context())
			kill.Store(nil)
			if fault == local.None {
				kill.Store(&cancel)
			}
			effect.Store(int64(fault))
			db := r.open(dsql.Config{Role: loaderRole, Connections: 2})
			seen.Store(0)
			at.Store(n)
			id := fmt.Sprintf("repair/%d/%d", fault, n)
			done, _ := r.repair(ctx, db, id)
			broke := seen.Load() > n
			at.Store(-1)
			cancel()
			db.Close()
			if !done {
				if done, err := r.repair(t.Context(), r.loader, id); !done || err != nil {
					t.Fatalf("%v at call %d: the next one ends with done %v and error %v", fault, n, done, err)
				}
			}
			r.check(fmt.Sprintf("%v at call %d", fault, n))
			if runs++; !broke {
				break
			}
		}
	}
	if runs < 20 {
		t.Errorf("%d runs: nothing broke", runs)
	}
}

// Two calls at once: one gives way, and who was taken for dead changes nothing more.
func TestRepairByTwoAtOnce(t *testing.T) {
	t.Parallel()
	r := newRepaired(t, local.Config{})
	for i := range 5 {
		r.damage()
		id := fmt.Sprint("repair/", i)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 20 {
					done, err := r.repair(context.Background(), r.loader, id)
					var superseded *dsql.SupersededError
					if err != nil && !errors.As(err, &superseded) {
						t.Error(err)
						return
					}
					if done {
						return
					}
				}
				t.Error("the repair does not end")
			})
		}
		wg.Wait()
		r.check(id)
	}
}

// Near its deadline a repair leaves the rest to the next call.
func TestRepairIsHandedOn(t *testing.T) {
	t.Parallel()
	r := newRepaired(t, local.Config{})
	r.damage()
	db := r.open(dsql.Config{Role: loaderRole, HandOn: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	late := func(ctx context.Context, _ change.Range, _ func(change.Lines) error) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if done, err := db.Repair(ctx, change.TableRepair{Load: "l1", ID: "repair/1", Table: &r.family[0], Plans: r.family, Out: 2, In: 2}, late, late); done || err != nil {
		t.Fatalf("got done %v and error %v, want it handed on", done, err)
	}
	if done, err := r.repair(t.Context(), r.loader, "repair/1"); !done || err != nil {
		t.Fatalf("got done %v and error %v", done, err)
	}
	r.check("handed on")
}

// A row that the target does not take stops the repair, and is no refused row of the
// load.
func TestRepairRefusesNoRow(t *testing.T) {
	t.Parallel()
	r := newRepaired(t, local.Config{Limits: local.Limits{RowBytes: 4 << 10, ValueBytes: 2 << 10}})
	wide := []row{{line: "5\t" + strings.Repeat("x", 3<<10) + "\n"}}
	done, err := r.loader.Repair(t.Context(), change.TableRepair{Load: "l1", ID: "repair/1", Table: &r.family[0], Plans: r.family, In: 1}, source(nil, 1), source(wide, 1))
	if done || stateOf(err) != "54000" {
		t.Errorf("got done %v and error %v", done, err)
	}
	equal(t, "refused rows", r.list(`SELECT count(*)::text FROM godwit.refusal`), "0")
}
