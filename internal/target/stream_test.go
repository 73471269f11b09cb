package target_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
)

// enable registers a stream that continues a load.
func (b *bench) enable(s change.Stream) change.Stream {
	b.t.Helper()
	s, err := b.loader.EnableStream(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// follows is the stream that continues a plan.
func (p *plan) follows() change.Stream {
	return change.Stream{
		Name: "s", Source: change.SourceQLDB, Schema: p.Schema, Load: p.ID, Strand: p.Strand, Boundary: change.Position{Major: p.Last},
		Mapping: "{}", History: p.History, ApplyRedactions: !p.keep,
	}
}

// item makes the item of one revision, in a block of its own.
func (r revision) item(block int64) change.Item {
	audit := map[string]any{"ql_rev_hash": r.hash(), "ql_tableid": r.table, "ql_id": r.doc, "ql_v": r.version, "ql_redacted": r.gone, "ql_data_hash": r.dataHash()}
	row := map[string]any{"doc_id": r.doc, "version": r.version, "name": r.value, "ql_audit": audit, "operation": r.op, "transaction_id": "tx"}
	if r.op == "D" || r.gone {
		row["name"] = nil
	}
	text, err := json.Marshal(row)
	if err != nil {
		panic(err) // a map of plain values
	}
	hash, err := base64.StdEncoding.DecodeString(r.hash())
	if err != nil {
		panic(err) // just encoded
	}
	return change.Item{
		Mark: change.Mark{Shard: "shard-0", Sequence: fmt.Sprint(1000 + block)},
		Revision: &change.RevisionItem{
			Table: change.SourceTable{ID: r.table, Name: tableName(r.table)}, Current: "person", Document: r.doc, Version: change.Version(r.version), Block: block,
			Hash: hash, Deleted: r.op == "D", Redacted: r.gone, TransactionID: "tx", Row: text,
		},
	}
}

func TestStreamContinuesALoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.load(p)
	s := b.enable(p.follows())
	again := b.enable(p.follows())
	if s.Generation != 1 || again.Generation != 1 {
		t.Errorf("got generations %d and %d, want 1 twice", s.Generation, again.Generation)
	}
	items := []change.Item{
		revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101),
		revision{doc: "b", version: 1, op: "D", table: "T1"}.item(102),
		revision{doc: "d", version: 0, op: "I", table: "T1", value: "Di"}.item(103),
	}
	done, err := b.loader.Apply(t.Context(), s, items)
	if err != nil || done.Items != 3 || done.Rows != 3 || done.History != 3 || done.Calls != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
	equal(t, "current", b.current(), "a:2:Anna d:0:Di")
	equal(t, "history", b.history(), "a:0:I a:1:U a:2:U b:0:I b:1:D c:0:I c:1:D d:0:I")
}

// summary is the item of a block's summary, without revisions yet.
func summary(block int64) change.Item {
	return change.Item{
		Mark:  change.Mark{Shard: "shard-0", Sequence: fmt.Sprint(1000 + block), Sub: 99},
		Block: &change.BlockItem{Block: block, Hash: blockHash(block), PreviousHash: blockHash(block - 1), Timestamp: "2024-01-02T03:04:05.678Z"},
	}
}

func blockHash(block int64) []byte {
	h := sha256.Sum256(fmt.Append(nil, "block", block))
	return h[:]
}

// tableName is the name of a ledger table of the tests.
func tableName(id string) string {
	if id == "T1" {
		return "Person"
	}
	return "Person of " + id
}
