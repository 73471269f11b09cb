package dsql_test

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
)

// readBack reads a table page by page, each as another call would.
func (b *bench) readBack(plan *change.TablePlan, columns []string, yield func(row [][]byte) error) error {
	for at := (change.TablePage{}); !at.End; {
		var err error
		if at, err = b.loader.ReadPage(b.t.Context(), plan, columns, at, yield); err != nil {
			return err
		}
	}
	return nil
}

// A table is read whole, page by page, and a connection that ends in a page costs
// nothing but the rest of it.
func TestReadBackYieldsEveryRowOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	plan.Key = []string{"note", "id"}
	b.begin("l1", plan)
	b.exec(`ALTER TABLE shop.orders DISABLE TRIGGER ALL`, `INSERT INTO shop.orders SELECT n, (n % 7)::text FROM generate_series(1, 150000) n`)
	var last string
	seen, cut := map[string]bool{}, false
	err := b.readBack(&plan, []string{"id", "note"}, func(row [][]byte) error {
		if len(row) != 2 {
			return fmt.Errorf("a row has %d values", len(row))
		}
		if note := string(row[1]); note < last {
			return fmt.Errorf("note %s comes after %s", note, last)
		}
		last = string(row[1])
		if seen[string(row[0])] {
			return fmt.Errorf("row %s comes twice", row[0])
		}
		seen[string(row[0])] = true
		if len(seen) == 50_000 && !cut {
			cut = true
			b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT "id", "note"%'`)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", len(seen), 150_000)
}

func TestReadBackOfATableWithoutAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	plan := orders("orders")
	plan.Key = nil
	b.begin("l1", plan)
	b.exec(`INSERT INTO shop.orders VALUES (1, 'a'), (1, NULL)`)
	var rows []string
	if err := b.readBack(&plan, []string{"note"}, func(row [][]byte) error {
		rows = append(rows, fmt.Sprintf("%s %v", row[0], row[0] == nil))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", strings.Join(rows, ", "), "a false,  true")
	plan.Key = []string{"gone"}
	if err := b.readBack(&plan, []string{"note"}, nil); err == nil || !strings.Contains(err.Error(), "column gone") {
		t.Errorf("got %v, want the column named", err)
	}
}
