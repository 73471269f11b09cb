package dsql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
)

func TestLoadStoresEveryRowOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	rows := plain(10_000, 20)
	rows[17] = row{refused: "its note is too long"}
	rows[4000] = row{}
	for range 2 {
		p, err := b.loader.Load(t.Context(), item("l1", "a", &plan, rows), source(rows, 700))
		if err != nil {
			t.Fatal(err)
		}
		if p.Loaded != 9998 || p.Refused != 1 || p.Filtered != 1 || len(p.Left) != 0 {
			t.Errorf("got %+v, want 9998 rows, 1 refused, 1 filtered, none left", p)
		}
		equal(t, "rows", b.list(`SELECT concat(count(*), ' ', count(DISTINCT id), ' ', sum(id)) FROM shop.orders`), "9998 9998 49990983")
	}
	equal(t, "refusals", b.list(`SELECT concat(item, ' ', row_number, ' ', column_name, ': ', reason) FROM godwit.refusal`), "a 17 note: its note is too long")
	equal(t, "most rows of a transaction", b.list(`SELECT (max(loaded + refused) <= 2998 AND count(*) = 4)::text FROM godwit.batch`), "true")
}

// A call that takes an item over gets what is not stored yet, and the call before
// it stores no more.
func TestItemIsOneCallsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	plan.Key = nil // nothing but the bookkeeping keeps rows from being there twice
	b.begin("l1", plan)
	rows := plain(9000, 20)
	work := item("l1", "a", &plan, rows)
	var second change.TableProgress
	_, err := b.loader.Load(t.Context(), work, during(source(rows, 4000), func() {
		var err error
		if second, err = b.loader.Load(t.Context(), work, source(rows, 900)); err != nil {
			t.Error(err)
		}
	}))
	var superseded *dsql.SupersededError
	if !errors.As(err, &superseded) {
		t.Errorf("the first call: got %v, want a SupersededError", err)
	}
	equal(t, "the second call's rows", second.Loaded, 9000)
	equal(t, "rows", b.list(`SELECT concat(count(*), ' ', count(DISTINCT id)) FROM shop.orders`), "9000 9000")
}

// Near its deadline a call ends, and the next one does the rest.
func TestLoadHandsOnBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	rows := plain(20_000, 5)
	work := item("l1", "a", &plan, rows)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The clock of a context is the machine's: what is loaded first has these seconds.
	db := b.open(dsql.Config{Role: loaderRole, HandOn: time.Minute - 4*time.Second})
	p, err := db.Load(ctx, work, func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
		return source(rows, 1000)(ctx, r, func(l change.Lines) error {
			if l.First == 7000 {
				<-ctx.Done()
			}
			return yield(l)
		})
	})
	if err != nil || len(p.Left) == 0 || p.Loaded == 0 {
		t.Fatalf("got %+v, %v, want some rows loaded and some left", p, err)
	}
	equal(t, "rows", b.list(`SELECT count(*)::text FROM shop.orders`), fmt.Sprint(p.Loaded))
	if p, err = b.loader.Load(t.Context(), work, source(rows, 1000)); err != nil || p.Loaded != 20_000 || p.Left != nil {
		t.Errorf("got %+v, %v, want all of it", p, err)
	}
	equal(t, "rows", b.list(`SELECT concat(count(*), ' ', count(DISTINCT id)) FROM shop.orders`), "20000 20000")
}

func TestRefusalsNameTheRowAndNoValue(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	const secret = "s3cret"
	tests := []struct {
		name, line, state, column string
	}{
		{"spelling", secret + "\tx\n", "22P02", "id"},
		{"null", "\\N\t" + secret + "\n", "23502", "id"},
		{"too many columns", "7\t" + secret + "\t1\n", "22P04", ""},
	}
	for _, test := range tests {
		rows := plain(20, 5)
		rows[3] = row{}
		rows[12].line = test.line
		_, err := b.loader.Load(t.Context(), item("l1", test.name, &plan, rows), source(rows, 100))
		var e *dsql.Error
		if !errors.As(err, &e) || e.State != test.state || e.Row != 12 || e.Item != test.name || e.Column != test.column || e.Table != "orders" {
			t.Errorf("%s: got %v, want %s of row 12", test.name, err, test.state)
		}
		if strings.Contains(fmt.Sprintf("%+v %v", err, errors.Unwrap(err)), secret) {
			t.Errorf("%s: %v quotes a value", test.name, err)
		}
	}
	rows := plain(20, 5)
	if _, err := b.loader.Load(t.Context(), item("l1", "good", &plan, rows), source(rows, 100)); err != nil {
		t.Fatal(err)
	}
	_, err := b.loader.Load(t.Context(), item("l1", "again", &plan, rows[:1]), source(rows, 100))
	var duplicate *dsql.DuplicateError
	if !errors.As(err, &duplicate) || duplicate.Where.Table != "orders" || duplicate.Where.Constraint != "orders_pkey" || duplicate.Where.Row != 0 || duplicate.Where.Item != "again" {
		t.Errorf("got %v, want a DuplicateError of orders_pkey", err)
	}
	if strings.Contains(fmt.Sprint(err), "(0)") {
		t.Errorf("%v quotes a value", err)
	}
	equal(t, "rows", b.list(`SELECT count(*)::text FROM shop.orders`), "20")
}

// A source that does not yield what was asked for stops the item, and what came
// before counts.
func TestSourceMustYieldTheRowsAskedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	b.begin("l1", plan)
	line := []byte("1\tx\n")
	tests := []struct {
		name, want string
		lines      []change.Lines
	}{
		{"too few", "the source ends before row 1", []change.Lines{{First: 0, Data: line, Ends: []int{4}}}},
		{"a gap", "yields 1 rows from row 2 on, where rows 1 to 2 are awaited", []change.Lines{{First: 0, Data: line, Ends: []int{4}}, {First: 2, Data: line, Ends: []int{4}}}},
		{"too many", "yields 4 rows", []change.Lines{{First: 0, Ends: []int{0, 0, 0, 0}}}},
		{"beyond its data", "line of row 1 ends at byte 5 of 4", []change.Lines{{First: 0, Data: line, Ends: []int{4, 5}}}},
		{"backwards", "line of row 1 ends at byte 3 of 4", []change.Lines{{First: 0, Data: line, Ends: []int{4, 3}}}},
		{"a refused row with a line", "refuses row 0 and yields it", []change.Lines{{First: 0, Data: line, Ends: []int{4}, Refused: []change.Refusal{{Row: 0}}}}},
		{"a refusal of another row", "refuses row 9", []change.Lines{{First: 0, Data: line, Ends: []int{4}, Refused: []change.Refusal{{Row: 9}}}}},
	}
	for _, test := range tests {
		work := change.TableItem{Load: "l1", ID: test.name, Table: &plan, Rows: change.Range{First: 0, Last: 2}}
		p, err := b.loader.Load(t.Context(), work, func(_ context.Context, _ change.Range, yield func(change.Lines) error) error {
			for _, l := range test.lines {
				if err := yield(l); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if len(p.Left) == 0 {
			t.Errorf("%s: nothing is left", test.name)
		}
	}
}
