package dsql_test

import (
	"testing"

	local "godwit/internal/local/dsql"
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
