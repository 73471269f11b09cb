package target_test

import (
	"testing"

	"godwit/internal/local/rdsdata"
)

// people is a small ledger: two versions, one version, a deletion.
func people() []revision {
	return []revision{
		{doc: "a", version: 0, op: "I", value: "Ann"},
		{doc: "a", version: 1, op: "U", value: "Anne"},
		{doc: "b", version: 0, op: "I", value: "Bob"},
		{doc: "c", version: 0, op: "I", value: "Cy"},
		{doc: "c", version: 1, op: "D"},
	}
}

func TestLoadMakesCurrentHistoryAndHeads(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", people()...))
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob")
	equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D")
	equal(t, "heads", b.heads(), "a:1 b:0 c:1x")
	equal(t, "counts", b.list(`SELECT table_name || ':' || table_id || ':' || is_active || ':' || revision_cnt FROM dmv.table_counts`), "Person:T1:true:5")
	if n := get[int](b, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'godwit\_load%'`); n != 0 {
		t.Errorf("got %d staging schemas after the load, want none", n)
	}
	published, err := b.loader.Begin(t.Context(), ledger("load1").Load)
	if err != nil || !published {
		t.Errorf("begin again: got %v, %v, want the load to be visible", published, err)
	}
}
