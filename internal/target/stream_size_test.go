package target_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/target"
)

// Requests are cut by their size as the service sees it, JSON within JSON, in
// order and between messages; what they are expected to need is never less than
// what they do, and not much more.
func TestRequestsFitTheirLimit(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	r := rand.New(rand.NewPCG(1, 4))
	odd := []string{"plain text of some length ", `quo"te`, `back\slash`, "tab\tand\nline", "\x01\x1f", "é\u2028€\U0001F600", "</script>&"}
	var items []change.Item
	for i := range int64(400) {
		var value strings.Builder
		for range r.IntN(40) {
			value.WriteString(odd[r.IntN(len(odd))])
		}
		x := revision{doc: fmt.Sprintf(`d"%d`, i), op: "I", table: fmt.Sprintf("T%d", i%3), value: value.String()}.item(101 + i/3)
		x.Mark.Shard = fmt.Sprint("shard-", i%5)
		items = append(items, x)
		if i%3 == 2 {
			block := summary(101 + i/3)
			for j := i - 2; j <= i; j++ {
				block.Block.Revisions = append(block.Block.Revisions, items[len(items)-int(1+i-j)].Revision.Hash)
			}
			block.Block.Redactions = []change.Redaction{{TableID: "T1", Document: `d"7`, Version: 9}}
			items = append(items, block, change.Item{Mark: block.Mark, Aside: &change.AsideItem{Object: fmt.Sprint("quarantine/", i), Reason: `a "reason"`, Document: `d"x`, Block: 101, Table: change.SourceTable{ID: "T1", Name: "Person"}}})
		}
	}
	sources := []change.LoadSource{{SourceTable: change.SourceTable{ID: "T0", Name: "Person of T0"}, Current: "person", Active: true}, {SourceTable: change.SourceTable{ID: "T2", Name: "Person of T2"}, Current: "person", Active: true}}
	if err := b.loader.EnsureTables(t.Context(), s, nil, sources); err != nil {
		t.Fatal(err)
	}
	b.loader.RequestBytes = 64 << 10
	b.wire.calls = nil
	done := b.apply(s, items...)
	var total int64
	for _, body := range b.wire.calls {
		total += int64(len(body))
		if len(body) > b.loader.RequestBytes {
			t.Errorf("a request has %d bytes", len(body))
		}
	}
	if n := int64(len(b.wire.calls)); done.Calls != n || n < 5 || total-done.Bytes < 0 || total-done.Bytes > 1000*n {
		t.Errorf("got %+v of %d requests with %d bytes", done, n, total)
	}
	if fill := total / done.Calls; fill < 24<<10 {
		t.Errorf("requests hold %d bytes on average of %d", fill, b.loader.RequestBytes)
	}
	if done.GapFree != 101+400/3-1 {
		t.Errorf("got %+v, want blocks complete up to %d", done, 101+400/3-1)
	}
	// The only message that has no room is refused before it is sent.
	items = items[:1]
	items[0] = revision{doc: "big", op: "I", table: "T1", value: strings.Repeat("x", 5<<20)}.item(1000)
	b.loader.RequestBytes = 0
	calls := len(b.wire.calls)
	_, err := b.loader.Apply(t.Context(), s, items)
	var refused *target.RefusedError
	if !errors.As(err, &refused) || refused.State != "54000" || len(b.wire.calls) != calls {
		t.Errorf("got %v after %d calls", err, len(b.wire.calls)-calls)
	}
}

// A thousand revisions with their blocks' summaries take one call.
func TestThousandRevisionsTakeOneCall(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	done := b.apply(s, revisions(0, 1000)...)
	if done.Calls != 1 || done.History != 1000 || done.Rows != 500 || done.GapFree != 350 {
		t.Errorf("got %+v", done)
	}
}

// A ledger table that the stream meets first gets tables, keys, indexes and heads,
// once, whoever asks first; it may have the tables of another load.
func TestEnsureTablesMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	x := pair(`Veh"icle`, nameColumn)
	x.Current.Indexes = []change.Index{{Columns: []string{"name"}, Unique: true}}
	source := change.LoadSource{SourceTable: change.SourceTable{ID: "T7", Name: "Vehicle"}, Current: `Veh"icle`, Active: true}
	item := revision{doc: "v", op: "I", table: "T7", value: "Volvo"}.item(101)
	item.Revision.Table, item.Revision.Current = source.SourceTable, source.Current
	_, err := b.loader.Apply(t.Context(), s, []change.Item{item})
	var unknown *target.UnknownTableError
	if !errors.As(err, &unknown) || unknown.Table != source.SourceTable || unknown.Current != source.Current {
		t.Fatalf("got %v", err)
	}
	errs := make(chan error)
	for range 3 {
		go func() {
			errs <- b.loader.EnsureTables(t.Context(), s, []change.LoadTable{x}, []change.LoadSource{source})
		}()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.apply(s, item, item)
	equal(t, "rows", b.list(`SELECT doc_id || ':' || name FROM dmv."Veh""icle" UNION ALL SELECT doc_id || ':' || operation FROM dmv."Veh""icle_audit_log"`), "v:Volvo v:I")
	equal(t, "keys and indexes", b.list(`SELECT replace(pg_get_indexdef(indexrelid), ' ', '_') FROM pg_index WHERE indrelid IN ('dmv."Veh""icle"'::regclass, 'dmv."Veh""icle_audit_log"'::regclass) ORDER BY 1`),
		`CREATE_UNIQUE_INDEX_"Veh""icle_audit_log_pkey"_ON_dmv."Veh""icle_audit_log"_USING_btree_(doc_id,_version) CREATE_UNIQUE_INDEX_"Veh""icle_name_idx"_ON_dmv."Veh""icle"_USING_btree_(name) CREATE_UNIQUE_INDEX_"Veh""icle_pkey"_ON_dmv."Veh""icle"_USING_btree_(doc_id)`)
	y := pair(`Veh"icle`, change.Column{Name: "other", Type: change.Type{Kind: change.Text}})
	if err := b.loader.EnsureTables(t.Context(), s, []change.LoadTable{y}, nil); err == nil || !strings.Contains(err.Error(), "exists with columns") {
		t.Errorf("a table of another shape: got %v", err)
	}
	s.Generation++
	var changed *target.StreamChangedError
	if err := b.loader.EnsureTables(t.Context(), s, []change.LoadTable{x}, nil); !errors.As(err, &changed) {
		t.Errorf("another generation: got %v", err)
	}
}

// What is applied needs a new snapshot for every statement.
func TestOnlyReadCommittedApplies(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.exec(`SET default_transaction_isolation = 'repeatable read'`)
	_, err := b.look.Exec(t.Context(), `SELECT godwit.apply('s', $1, '{}')`, s.Generation)
	if err == nil || !strings.Contains(err.Error(), "READ COMMITTED") {
		t.Errorf("got %v", err)
	}
}

// A stream that does not apply redactions keeps what it has, and what comes
// redacted stays so.
func TestRedactionsAreKeptOutWhereAskedFor(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	s.ApplyRedactions = false
	s = b.enable(s)
	asks := summary(103)
	asks.Block.Redactions = []change.Redaction{{TableID: "T1", Document: "a", Version: 0}}
	full := revision{doc: "n", op: "I", table: "T1", value: "Nan"}
	late := revision{doc: "a", version: 0, op: "I", table: "T1", value: "Ann", gone: true}
	never := revision{doc: "m", op: "I", table: "T1", value: "Mo", gone: true}
	b.apply(s, asks, full.item(101), late.item(104), never.item(105))
	equal(t, "rows", hashes.ReplaceAllString(b.rows(), "/"), "a:0:Ann a:1:Anne b:0:Bob c:0:Cy c:1:- m:0:-/ n:0:Nan")
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob n:0:Nan")
}
