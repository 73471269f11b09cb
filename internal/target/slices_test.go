package target_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
)

// TestSlicesCoverEveryDocumentOnce cuts tables of awkward shapes and checks that
// every document is in exactly one range, that no range but that of one document
// is much too large, and that the answer stays the same.
func TestSlicesCoverEveryDocumentOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	for i, test := range []struct {
		name  string
		rows  string // SELECT doc_id, version
		size  int64
		total int64 // rows that the import is said to have had; 0 is the truth
		most  int64 // revisions in one slice
	}{
		{name: "empty", rows: `SELECT '', 0 WHERE false`, size: 10},
		{name: "one", rows: `SELECT 'a', 0`, size: 10, most: 1},
		{name: "fewer than a slice", rows: `SELECT 'd' || g, 0 FROM generate_series(1, 9) g`, size: 10, most: 9},
		{name: "many", rows: `SELECT md5(g::text), v FROM generate_series(1, 300) g, generate_series(0, 2) v`, size: 50, most: 60},
		{name: "one document has nearly all", rows: `SELECT 'm', v FROM generate_series(0, 900) v UNION ALL SELECT 'd' || g, 0 FROM generate_series(1, 50) g UNION ALL SELECT 'z' || g, 0 FROM generate_series(1, 50) g`, size: 50, most: 960},
		{name: "one document", rows: `SELECT 'm', v FROM generate_series(0, 500) v`, size: 10, most: 501},
		{name: "no rows asked for", rows: `SELECT 'd' || g, 0 FROM generate_series(1, 9) g`, size: 0, most: 2},
		{name: "odd ids", rows: `SELECT unnest(ARRAY['', ' ', '"', '''', '\', E'\n', 'a', 'A', 'Z', 'z', 'ä', '€', '💥', 'aa', 'a a', 'ab', 'a-b', '{}', ':low', '%', '0', 'zz']), 0`, size: 1, most: 2},
		// More than a million rows are sampled; a lie about the total makes a small
		// table be, with whole pages in or out.
		{name: "sampled", rows: `SELECT md5(g::text), 0 FROM generate_series(1, 20000) g`, size: 200_000, total: 4_000_000, most: 20000},
		{name: "sampled, nothing hit", rows: `SELECT 'd' || g, 0 FROM generate_series(1, 9) g`, size: 1 << 20, total: 1 << 40, most: 9},
	} {
		p := ledger(fmt.Sprintf("slices%d", i))
		p.Schema = fmt.Sprintf("dmv%d", i)
		b.begin(p)
		table := p.Stage() + ".person_audit_log"
		b.exec(`INSERT INTO ` + table + ` SELECT d, v, NULL, '{"ql_tableid": "T1"}', 'I', 'tx' FROM (` + test.rows + `) AS x (d, v)`)
		b.exec(`INSERT INTO godwit.task (load_id, phase, name, table_id, rows) SELECT '`+p.ID+`', 'import', 'x', 'T1', CASE WHEN $1::bigint > 0 THEN $1::bigint ELSE count(*) END FROM `+table, test.total)
		if err := b.runAll(p.ID, b.keys(p)); err != nil {
			t.Fatal(err)
		}
		got, err := b.loader.Slices(t.Context(), p.ID, "person", test.size)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		again, err := b.loader.Slices(t.Context(), p.ID, "person", test.size+1000)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: got %v, %v, want the same slices again", test.name, again, err)
		}
		if len(got) == 0 || got[0].Low != "" || got[len(got)-1].High != nil {
			t.Fatalf("%s: got %+v, want ranges that are open at both ends", test.name, got)
		}
		var sum int64
		for n, s := range got {
			if s.Number != n+1 {
				t.Errorf("%s: slice %d has number %d", test.name, n+1, s.Number)
			}
			if n > 0 && (got[n-1].High == nil || *got[n-1].High != s.Low) || s.High != nil && s.Low >= *s.High {
				t.Errorf("%s: slice %d of %+v does not go on where the one before ends", test.name, n+1, got)
			}
			rows := get[int64](b, `SELECT count(*) FROM `+table+` WHERE doc_id >= $1 AND ($2::text IS NULL OR doc_id < $2)`, s.Low, s.High)
			if sum += rows; rows > test.most {
				t.Errorf("%s: slice %d has %d revisions, want at most %d", test.name, n+1, rows, test.most)
			}
		}
		if all := get[int64](b, `SELECT count(*) FROM `+table); sum != all {
			t.Errorf("%s: the slices hold %d revisions, want %d", test.name, sum, all)
		}
		if test.total > 0 && test.total < 1<<40 && len(got) < 10 {
			t.Errorf("%s: got %d slices, want the sample to make about 20", test.name, len(got))
		}
	}
}

// Callers that ask for slices at once get the same ones.
func TestSlicesAtOnceAreTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1")
	for i := range 200 {
		p.revisions = append(p.revisions, revision{doc: fmt.Sprint("d", i), op: "I", table: "T1"})
	}
	b.begin(p)
	if err := b.runAll(p.ID, append(b.imports(p), b.keys(p)...)); err != nil {
		t.Fatal(err)
	}
	// All of them ask before one of them may write what it chose.
	tx, err := b.look.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE godwit.slice IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	all := make(chan string)
	for i := range 6 {
		go func() {
			s, err := b.loader.Slices(t.Context(), p.ID, "person", int64(5+i)) // each would cut otherwise
			var text strings.Builder
			for _, x := range s {
				high := "end"
				if x.High != nil {
					high = *x.High
				}
				fmt.Fprintf(&text, "%d %s %s\n", x.Number, x.Low, high)
			}
			all <- fmt.Sprint(text.String(), err)
		}()
	}
	b.waitLocked(6)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := <-all
	for range 5 {
		if other := <-all; other != first {
			t.Errorf("got %s\nand %s", first, other)
		}
	}
}

// Published counts a table's own slices, whatever other tables are called.
func TestPublishedTellsTablesApart(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1")
	p.tables, p.sources, p.sliceRows = nil, nil, 1
	for i, name := range []string{"a", "a/b", "a%b", "a_b", "axb", `a\b`, "a/b/1"} {
		id := fmt.Sprint("T", i)
		p.tables = append(p.tables, pair(name, nameColumn))
		p.sources = append(p.sources, change.LoadSource{SourceTable: change.SourceTable{ID: id, Name: name}, Current: name, Active: true})
		for d := range i + 1 {
			p.revisions = append(p.revisions, revision{doc: fmt.Sprintf("d%d-%d", i, d), op: "I", table: id})
		}
	}
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	got, err := b.loader.Published(t.Context(), p.ID)
	if err != nil || len(got) != len(p.tables) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, x := range p.tables {
		for _, g := range got {
			if g.Table == x.Current.Name && (g.Documents != int64(i+1) || g.Current != int64(i+1)) {
				t.Errorf("table %q: got %+v, want %d documents", g.Table, g, i+1)
			}
		}
	}
}
