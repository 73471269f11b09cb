package migrate_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
)

// A streamMessage is one message and, where its producer keeps the order of a
// row's changes, what it keeps it by.
type streamMessage struct {
	key  string
	data []byte
}

// A streamedDatabase is what DMS or Aurora DSQL tell of a database that changes,
// and what it holds at the end.
type streamedDatabase struct {
	stream   change.Stream
	catalog  []change.RowTable
	messages []streamMessage
	rows     map[string]string // see memoryStream.relations
}

// relational are the tables of a streamedDatabase.
var relational = []change.RowTable{
	{Schema: "public", Name: "orders", Key: []string{"id", "line"}, Columns: []change.RowColumn{
		{Name: "id", Type: "bigint", NotNull: true},
		{Name: "line", Type: "text", NotNull: true},
		{Name: "price", Type: "numeric(12,2)"},
		{Name: "doc", Type: "jsonb"},
	}},
	{Schema: "public", Name: "item", Key: []string{"id"}, Columns: []change.RowColumn{
		{Name: "id", Type: "bigint", NotNull: true},
		{Name: "name", Type: "text"},
	}},
}

// streamDatabase makes a life of a database from a seed.
func streamDatabase(source string, seed uint64, transactions int) *streamedDatabase {
	random := rand.New(rand.NewPCG(seed, 7))
	d := &streamedDatabase{stream: change.Stream{Name: changes, Source: source}, catalog: relational, rows: map[string]string{}}
	type row map[string]string // JSON by column
	live := map[string]row{}   // by table and key
	key := func(table string, r row) string {
		if table == "item" {
			return fmt.Sprintf(`public.item["%s"]`, r["id"])
		}
		return fmt.Sprintf(`public.orders["%s",%s]`, r["id"], r["line"])
	}
	fresh := func(table string) row {
		if table == "item" {
			return row{"id": fmt.Sprint(random.IntN(40)), "name": fmt.Sprintf(`"item %d"`, random.IntN(1000))}
		}
		return row{
			"id": fmt.Sprint(random.IntN(12)), "line": fmt.Sprintf(`"l%d"`, random.IntN(4)),
			"price": fmt.Sprintf("%d.%02d", random.IntN(100), random.IntN(100)), "doc": fmt.Sprintf(`"{\"n\":%d}"`, random.IntN(9)),
		}
	}
	for tx := 1; tx <= transactions; tx++ {
		touched := map[string]bool{} // Aurora DSQL tells one change of a row in a transaction, DMS all
		for n := range 1 + random.IntN(3) {
			table := []string{"orders", "item"}[random.IntN(2)]
			op := random.IntN(10)
			var before, after row
			at := fresh(table)
			was := live[key(table, at)]
			switch {
			case was == nil:
				after = at
			case op < 2:
				before = was
			case op < 4 && source == change.SourceDMS: // another key
				before, after = was, fresh(table)
				if live[key(table, after)] != nil {
					after = at
				}
			default:
				before, after = was, at
			}
			keys := []string{}
			for _, r := range []row{before, after} {
				if r != nil {
					keys = append(keys, key(table, r))
				}
			}
			if source == change.SourceDSQL && slices.ContainsFunc(keys, func(k string) bool { return touched[k] }) {
				continue
			}
			for _, k := range keys {
				touched[k] = true
				delete(live, k)
			}
			if after != nil {
				live[key(table, after)] = after
			}
			d.messages = append(d.messages, streamMessage{keys[len(keys)-1], record(source, table, tx, n, before, after)})
		}
	}
	for k, r := range live {
		table, _, _ := strings.Cut(k, "[")
		want := []string{}
		for _, c := range slices.Sorted(maps.Keys(r)) {
			v := r[c]
			if v[0] != '"' {
				v = `"` + v + `"`
			}
			want = append(want, fmt.Sprintf("%q:%s", c, v))
		}
		d.rows[table+k[len(table):]] = "{" + strings.Join(want, ",") + "}"
	}
	return d
}

// record is one change as its producer tells it.
func record(source, table string, tx, n int, before, after map[string]string) []byte {
	image := func(r map[string]string) string {
		if r == nil {
			return "null"
		}
		var members []string
		for _, c := range slices.Sorted(maps.Keys(r)) {
			members = append(members, fmt.Sprintf("%q:%s", c, r[c]))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	if source == change.SourceDSQL {
		op := map[[2]bool]string{{false, true}: "c", {true, true}: "u", {true, false}: "d"}[[2]bool{before != nil, after != nil}]
		if op == "u" {
			before = nil
		}
		return fmt.Appendf(nil, `{"type":"full","op":%q,"before":%s,"after":%s,"source":{"version":"1.0","ts_ms":1705318200000,"ts_ns":%d,"txId":"tx%05d","schema":"public","table":%q,"db":"postgres","cluster":"c"},"ts_ms":1705318200125,"ts_ns":1705318200125483291}`,
			op, image(before), image(after), 1705318200000000000+int64(tx/3)*1000, tx, table)
	}
	op, data, members := "insert", after, ""
	switch {
	case after == nil:
		op, data = "delete", before
	case before != nil:
		op, members = "update", `"before-image":`+image(before)+","
	}
	return fmt.Appendf(nil, `{"data":%s,%s"metadata":{"timestamp":"2024-07-29T00:58:44.895275Z","record-type":"data","operation":%q,"partition-key-type":"primary-key","partition-key-value":"x","schema-name":"public","table-name":%q,"transaction-id":%d,"commit-timestamp":"2024-07-29T00:58:44.886717Z","transaction-record-id":%d,"stream-position":"00000002/%08X.2.00000002/%08X"}}`,
		image(data), members, op, table, tx, n+1, tx*16, tx*16)
}

func (d *streamedDatabase) same(t testing.TB, m *memoryStream) {
	t.Helper()
	if diff := cmp.Diff(d.rows, m.relations()); diff != "" {
		t.Errorf("the tables differ (-want +got):\n%s", diff)
	}
}

// Rows of both producers end in what the source holds, in one order and another.
func TestStreamOfRowsEndsInWhatTheSourceHolds(t *testing.T) {
	for _, source := range []string{change.SourceDMS, change.SourceDSQL} {
		d := streamDatabase(source, 1, 300)
		for _, reverse := range []bool{false, true} {
			r := newStreamRun(t, d.stream)
			r.target.catalog = d.catalog
			messages := slices.Clone(d.messages)
			if reverse {
				slices.Reverse(messages)
			}
			for i := 0; i < len(messages); i += 50 {
				batch := messages[i:min(i+50, len(messages))]
				r.mustMessages(i, batch)
			}
			d.same(t, r.target)
			if n := r.target.calls["RowTables"]; n != 1 && n != 2 {
				t.Errorf("%s: the catalog was asked %d times", source, n)
			}
			if got := r.status("{}", nil); !got.Safe {
				t.Errorf("%s: status %q", source, got.Line)
			}
		}
	}
}

func (r *streamRun) mustMessages(first int, messages []streamMessage) {
	r.t.Helper()
	records := kinesisRecords(first, messages)
	r.must(records...)
}

// What is at or below the boundary was copied by other means.
func TestRowsBelowTheBoundaryAreSkipped(t *testing.T) {
	d := streamDatabase(change.SourceDMS, 2, 100)
	for _, boundary := range []int{0, 40, 100} {
		r := newStreamRun(t, d.stream)
		r.target.catalog = d.catalog
		if boundary > 0 {
			r.target.stream.Boundary = change.Position{Major: 2<<32 + int64(boundary)*16, Minor: 1<<63 - 1}
		}
		r.mustMessages(0, d.messages)
		for key, row := range r.target.rows {
			if tx := (row.Position.Major - 2<<32) / 16; tx <= int64(boundary) {
				t.Errorf("boundary %d: %s was applied of transaction %d", boundary, key, tx)
			}
		}
		if n := int64(0); boundary > 0 {
			for i := range d.messages {
				if strings.Contains(string(d.messages[i].data), "transaction-id") && txOf(d.messages[i].data) <= boundary {
					n++
				}
			}
			if r.metrics["Skipped"] < n {
				t.Errorf("boundary %d: %d rows are skipped, want %d at least", boundary, r.metrics["Skipped"], n)
			}
		}
	}
}

func txOf(record []byte) (tx int) {
	_, rest, _ := strings.Cut(string(record), `"transaction-id":`)
	fmt.Sscan(strings.SplitN(rest, ",", 2)[0], &tx)
	return tx
}

// Rows of tables that the target lacks, or has without a key, are set aside with
// advice. Once it has them, the same process applies what follows, and a replay
// what it set aside.
func TestRowsOfTablesThatTheTargetLacks(t *testing.T) {
	d := streamDatabase(change.SourceDMS, 3, 120)
	r := newStreamRun(t, d.stream)
	keyless := relational[1]
	keyless.Key = nil
	r.target.catalog = []change.RowTable{keyless}
	half := len(d.messages) / 2
	r.mustMessages(0, d.messages[:half])
	if len(r.target.asides) != half {
		t.Fatalf("%d of %d messages are set aside", len(r.target.asides), half)
	}
	for _, a := range r.target.asides {
		want := map[string]string{"public.orders": "the target has no table public.orders", "public.item": "public.item has no key"}[a.Table.Name]
		if want == "" || !strings.Contains(a.Reason, want) {
			t.Errorf("set aside as %+v", a)
		}
	}
	asked := r.target.calls["RowTables"]
	r.target.catalog = relational
	r.mustMessages(half, d.messages[half:])
	if len(r.target.asides) != half || r.target.calls["RowTables"] > asked+2 {
		t.Errorf("%d messages are set aside, want still %d; the catalog was asked %d times more", len(r.target.asides), half, r.target.calls["RowTables"]-asked)
	}
	if out := r.replay(""); out.Applied != int64(half) || out.Aside != 0 {
		t.Errorf("replay of %d: %+v", half, out)
	}
	d.same(t, r.target)
	if got := r.status("{}", nil); !got.Safe {
		t.Errorf("status %q", got.Line)
	}
}

// A message of another producer than the one that the stream is registered for
// is set aside.
func TestMessagesOfAnotherProducerAreSetAside(t *testing.T) {
	dms, dsql := streamDatabase(change.SourceDMS, 4, 5), streamDatabase(change.SourceDSQL, 4, 5)
	r := newStreamRun(t, dms.stream)
	r.target.catalog = relational
	r.mustMessages(0, append(dsql.messages[:1:1], dms.messages...))
	dms.same(t, r.target)
	for _, a := range r.target.asides {
		if !strings.Contains(a.Reason, "the message is of dsql, and the stream is registered for dms") {
			t.Errorf("reason %q", a.Reason)
		}
	}
	if len(r.target.asides) != 1 {
		t.Errorf("%d messages are set aside", len(r.target.asides))
	}
}

// A hundred messages among ten thousand are bad: 9,900 are applied, a hundred wait
// with their reasons, and once they are mended a replay completes the set.
func TestAHundredBadMessagesAmongTenThousand(t *testing.T) {
	r := newStreamRun(t, change.Stream{Name: changes, Source: change.SourceDMS})
	narrow := relational[1]
	narrow.Columns = slices.Clone(narrow.Columns)
	narrow.Columns[1].Type = "character varying(10)"
	r.target.catalog = []change.RowTable{narrow}
	var messages []streamMessage
	want := map[string]string{}
	for i := range 10_000 {
		id, name := fmt.Sprint(i), "short"
		if i%100 == 42 {
			name = "a name that is too long"
		}
		messages = append(messages, streamMessage{id, record(change.SourceDMS, "item", i+1, 0, nil, map[string]string{"id": id, "name": `"` + name + `"`})})
		want[fmt.Sprintf(`public.item["%d"]`, i)] = fmt.Sprintf(`{"id":"%d","name":%q}`, i, name)
	}
	for i := 0; i < len(messages); i += 2500 {
		r.mustMessages(i, messages[i:i+2500])
	}
	if len(r.target.rows) != 9_900 || len(r.target.asides) != 100 || r.metrics["Rows"] != 9_900 || r.metrics["Quarantined"] != 100 {
		t.Errorf("%d rows, %d set aside, metrics %v", len(r.target.rows), len(r.target.asides), r.metrics)
	}
	if n := r.metrics["DataAPICalls"]; n > 100 {
		t.Errorf("%d calls for 10,000 messages", n)
	}
	for _, a := range r.target.asides {
		if !strings.Contains(a.Reason, `column "name"`) || strings.Contains(a.Reason, "is too long name") || strings.Contains(a.Reason, "a name that") {
			t.Fatalf("reason %q", a.Reason)
		}
	}
	r.target.catalog = relational
	if out := r.replay(""); out.Applied != 100 || out.Aside != 0 || out.Objects != 100 {
		t.Errorf("replay %+v", out)
	}
	if d := cmp.Diff(want, r.target.relations()); d != "" {
		t.Errorf("the table differs (-want +got):\n%s", d)
	}
	if got := r.status("{}", nil); !got.Safe {
		t.Errorf("status %q", got.Line)
	}
}
