package dsql_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
)

// script is a cluster whose commits and COPYs fail one after the other as told,
// from when it is armed on.
type script struct {
	armed           atomic.Bool
	commits, copies []local.Fault // used by one connection
	clock           *testClock
	old             bool // the next COPY lasts too long
}

func (s *script) fault(e local.Event) local.Effect {
	next := func(list *[]local.Fault) local.Effect {
		if len(*list) == 0 {
			return local.Effect{}
		}
		f := (*list)[0]
		*list = (*list)[1:]
		return local.Effect{Fault: f}
	}
	switch {
	case !s.armed.Load() || e.User != loaderRole:
	case e.Moment == local.Commit:
		return next(&s.commits)
	case e.Moment == local.Statement && e.Verb == "copy":
		if s.old && len(s.copies) == 0 {
			s.old = false
			s.clock.advance(6 * time.Minute)
		}
		return next(&s.copies)
	}
	return local.Effect{}
}

// scripted loads 100 rows over one connection and returns the error and what the
// DB counted.
func scripted(t *testing.T, s *script) (*bench, *dsql.DB, error) {
	t.Helper()
	s.clock = newClock()
	b := newBench(t, local.Config{Now: s.clock.Now, Fault: s.fault})
	plan := orders("orders")
	plan.Key = nil
	b.begin("l1", plan)
	rows := plain(100, 5)
	db := b.open(dsql.Config{Role: loaderRole, Connections: 1})
	_, err := db.Load(t.Context(), item("l1", "empty", &plan, []row{{}}), source([]row{{}}, 1)) // connects
	if err != nil {
		t.Fatal(err)
	}
	s.commits = append([]local.Fault{local.None}, s.commits...) // of the claim
	s.armed.Store(true)
	_, err = db.Load(t.Context(), item("l1", "a", &plan, rows), source(rows, 100))
	s.armed.Store(false)
	if err != nil {
		// The next call does the rest.
		if _, err := b.loader.Load(t.Context(), item("l1", "a", &plan, rows), source(rows, 100)); err != nil {
			t.Error(err)
		}
	}
	equal(t, "rows", b.list(`SELECT concat(count(*), ' ', count(DISTINCT id)) FROM shop.orders`), "100 100")
	return b, db, err
}

const batches = `SELECT concat(first_row, '-', last_row) FROM godwit.batch WHERE item = 'a' ORDER BY first_row`

// Whether a transaction that was not answered took place is told by the batch's
// row.
func TestUnknownOutcomeIsLookedUp(t *testing.T) {
	t.Parallel()
	for _, fault := range []local.Fault{local.CutBefore, local.CutAfter} {
		b, db, err := scripted(t, &script{commits: []local.Fault{fault, fault}})
		if err != nil {
			t.Errorf("%v: %v", fault, err)
		}
		equal(t, "batches", b.list(batches), "0-99")
		want := int64(2)
		if fault == local.CutAfter {
			want = 1
		}
		equal(t, "commits that were not answered", db.Stats().Unknown.Load(), want)
	}
}

// A connection that ends while rows are sent is tried again, and the second time
// with fewer rows: a message that is too large ends it without a word.
func TestConnectionLostInCopyTwiceSplits(t *testing.T) {
	t.Parallel()
	b, _, err := scripted(t, &script{copies: []local.Fault{local.CutBefore}})
	if err != nil {
		t.Error(err)
	}
	equal(t, "batches after one loss", b.list(batches), "0-99")
	b, _, err = scripted(t, &script{copies: []local.Fault{local.CutBefore, local.CutBefore}})
	if err != nil {
		t.Error(err)
	}
	equal(t, "batches after two losses", b.list(batches), "0-49 50-99")
}

// A batch whose outcome was in doubt is never stored in other parts by the same
// call: the whole may still commit.
func TestUnknownOutcomeIsNotSplit(t *testing.T) {
	t.Parallel()
	b, db, err := scripted(t, &script{commits: []local.Fault{local.CutBefore}, copies: []local.Fault{local.None}, old: true})
	if stateOf(err) != "08006" || !strings.Contains(err.Error(), "rows 0 to 99: the outcome of a transaction that is now too large is not known") {
		t.Errorf("got %v, want the item handed back", err)
	}
	equal(t, "transactions that were too old", db.Stats().Age.Load(), 1)
	equal(t, "batches", b.list(batches), "0-99")
	// Without the doubt it is.
	b, _, err = scripted(t, &script{old: true})
	if err != nil {
		t.Error(err)
	}
	equal(t, "batches", b.list(batches), "0-49 50-99")
}

// Conflicts without end are an error that passes, and not a call without end.
func TestConflictsEndInAnError(t *testing.T) {
	t.Parallel()
	s := &script{}
	for range 100 {
		s.commits = append(s.commits, local.Conflict)
	}
	_, db, err := scripted(t, s)
	if stateOf(err) != "40001" || !strings.Contains(err.Error(), "item a, rows 0 to 99, after 14 tries") {
		t.Errorf("got %v, want 40001 after 14 tries", err)
	}
	equal(t, "conflicts", db.Stats().Data.Load(), 14)
}

// What the service counts a row for is known well enough that no transaction is
// refused for its size, and most are nearly full.
func TestTransactionsFitAsTheyAreCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	for _, bytes := range []int{10_000, 3500} {
		rows := plain(24<<20/bytes, bytes)
		for i := range rows {
			rows[i].line = strings.Replace(rows[i].line, "\t", string(rune('0'+bytes%7))+"\t", 1) // another key
		}
		if _, err := b.loader.Load(t.Context(), item("l1", string(rune('a'+bytes%7)), &plan, rows), source(rows, 100)); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "transactions refused for their size", b.loader.Stats().Size.Load(), 0)
	equal(t, "transactions", b.list(`SELECT count(*)::text FROM godwit.batch`), "6")
}
