package dsql_test

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
)

// After a load the next value of an identity is behind the greatest one that was
// loaded and behind where the source stood, whichever of the two is greater.
func TestIdentitiesGoOnBehindWhatWasLoaded(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	keep := change.Conversion{Kind: change.AsIs}
	from := []change.SourceColumn{{Name: "id"}}
	table := func(name string, start, cache int64) change.TablePlan {
		return change.TablePlan{
			Target:  change.TableName{Schema: "shop", Name: name},
			Columns: []change.ColumnPlan{{Name: "id", Type: "bigint", NotNull: true, Identity: "BY DEFAULT", Start: start, Cache: cache, From: from, As: keep}},
			Key:     []string{"id"},
		}
	}
	// The catalog was read before the last rows; after them; never; and of an empty
	// table. Negative numbers are behind nobody.
	plans := []change.TablePlan{table("before", 3, 0), table("after", 50, 0), table("unknown", 0, 65_536), table("empty", 7, 0), table("negative", 1, 0), table("last", 1, 0)}
	plans[4].Columns[0].Identity = "ALWAYS"
	loaded := map[string][]string{"before": {"1", "2", "9"}, "after": {"1", "2"}, "unknown": {"1", "40"}, "negative": {"-5", "-4"}, "last": {"9223372036854775807"}}
	b.begin("l1", plans...)
	for i, p := range plans {
		var rows []row
		for _, id := range loaded[p.Target.Name] {
			rows = append(rows, row{line: id + "\n"})
		}
		if len(rows) == 0 {
			continue
		}
		if _, err := b.loader.Load(t.Context(), item("l1", fmt.Sprint(i), &plans[i], rows), source(rows, 10)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second changes nothing
		if err := b.loader.Position(t.Context(), "l1", plans); err != nil {
			t.Fatal(err)
		}
	}
	next := func(name string) string {
		return b.list(`INSERT INTO shop.` + name + ` DEFAULT VALUES RETURNING id::text`)
	}
	for name, want := range map[string]string{"before": "10", "after": "50", "unknown": "41", "empty": "7", "negative": "1"} {
		if got := next(name); got != want {
			t.Errorf("the next value of %s is %s, want %s", name, got, want)
		}
	}
	equal(t, "caches", b.list(`SELECT seqcache::text FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relname IN ('before_id_seq', 'unknown_id_seq') ORDER BY c.relname`), "1 65536")

	// Once the load is published, its tables are the application's.
	if err := b.loader.Publish(t.Context(), "l1"); err != nil {
		t.Fatal(err)
	}
	b.exec(`INSERT INTO shop.before VALUES (1000)`)
	if err := b.loader.Position(t.Context(), "l1", plans); err != nil {
		t.Fatal(err)
	}
	equal(t, "after publishing", next("before"), "11")
	if err := b.loader.Position(t.Context(), "l9", plans); err == nil || !strings.Contains(err.Error(), "l9") {
		t.Errorf("of a load that nobody began: %v", err)
	}
}
