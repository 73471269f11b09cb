package target_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"godwit/internal/change"
)

// setAside is the item of a revision that cannot be applied.
func setAside(r revision, block int64) change.Item {
	x := r.item(block)
	return change.Item{Mark: x.Mark, Aside: &change.AsideItem{
		Object: fmt.Sprint("quarantine/", block), Reason: "no reason", Table: x.Revision.Table, Current: "person",
		Document: r.doc, Version: change.Version(r.version), Block: block, Hash: x.Revision.Hash,
	}}
}

// A document whose newest revision is set aside shows no older one, whether that was
// there before or comes later, in a request of its own or in the same; and the newest
// once it is mended.
func TestOlderRevisionsOfWhatIsSetAsideAreNotShown(t *testing.T) {
	t.Parallel()
	older := func(doc string) change.Item {
		return revision{doc: doc, version: 2, op: "U", table: "T1", value: "older"}.item(101)
	}
	newest := func(doc string) revision {
		return revision{doc: doc, version: 3, op: "U", table: "T1", value: "newest"}
	}
	for _, doc := range []string{"a", "n"} { // one that was loaded, one that was not
		for name, requests := range map[string][][]change.Item{
			"before":             {{older(doc)}, {setAside(newest(doc), 102)}},
			"later":              {{setAside(newest(doc), 102)}, {older(doc)}},
			"in the same":        {{older(doc), setAside(newest(doc), 102)}},
			"in the same, later": {{setAside(newest(doc), 102), older(doc)}},
		} {
			b, s := streaming(t)
			for _, items := range requests {
				b.apply(s, items...)
			}
			if n := get[int](b, `SELECT count(*) FROM dmv.person WHERE doc_id = $1`, doc); n != 0 {
				t.Errorf("%s of document %s: an older revision is shown", name, doc)
			}
			b.apply(s, newest(doc).item(102))
			if got := b.list(`SELECT concat(version, name) FROM dmv.person WHERE doc_id = $1`, doc); got != "3newest" {
				t.Errorf("%s of document %s: mended, it shows %q", name, doc, got)
			}
		}
	}
}

// What is concealed is found by keys, in a table of any size, before and after its
// statistics are taken, and also where the server has settled on a plan.
func TestConcealingReadsNoTable(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	const documents, tables = 30_000, 2
	for n := range tables {
		name, source := "person", person
		if n > 0 {
			name = fmt.Sprint("table", n)
			source = change.LoadSource{SourceTable: change.SourceTable{ID: fmt.Sprint("T1", n), Name: name}, Current: name, Active: true}
			if err := b.ensure(s, pair(name, nameColumn), source); err != nil {
				t.Fatal(err)
			}
		}
		b.exec(fmt.Sprintf(`INSERT INTO dmv.%s_audit_log SELECT 'x' || i, 0, 'X', jsonb_build_object('ql_tableid', $2::text, 'ql_rev_hash', md5(i::text)), 'I', 'tx' FROM generate_series(1, $1::int) AS i`, name), documents, source.ID)
		b.exec(fmt.Sprintf(`INSERT INTO dmv.%s SELECT 'x' || i, 0, 'X', '{}' FROM generate_series(1, $1::int) AS i`, name), documents)
		b.exec(`INSERT INTO godwit.head SELECT 'dmv.' || $2::text, 'x' || i, 0, false, NULL, $3::text FROM generate_series(1, $1::int) AS i`, documents, name, source.ID)
	}
	least := get[int](b, `SELECT least(pg_relation_size('dmv.person_audit_log'), pg_relation_size('dmv.person'), pg_relation_size(('godwit.' || godwit.head_table('dmv', 'person'))::regclass)) / 8192`)
	for n := range 32 {
		if n == 16 {
			b.exec(`ANALYZE`)
		}
		// A document of a request, and one that each list tells of; or many.
		docs, most := 1, least
		if n%2 > 0 {
			docs, most = 300, 5*300*tables
		}
		var plan []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		hidden := fmt.Sprintf(`[{"table_id":"T1","table_name":"Person","doc_id":"x%d","version":1,"object":"quarantine/1","block":102,"reason":"no reason"}]`, 2*n+1)
		redactions := fmt.Sprintf(`[{"table_id":"T1","doc_id":"x%d","version":0,"block":102}]`, 2*n+2)
		text := get[string](b, fmt.Sprintf(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT godwit.conceal(x, ARRAY['load1'],
			(SELECT array_agg('x' || 1000 + i * 50 + %d) FROM generate_series(1, %d) AS i), '%s', '%s') FROM godwit.stream x`, n, docs, hidden, redactions))
		if err := json.Unmarshal([]byte(text), &plan); err != nil {
			t.Fatal(err)
		}
		blocks := plan[0].Plan.Hit + plan[0].Plan.Read
		if blocks == 0 || blocks > most && n%16 > 1 { // the first calls read catalogs
			t.Errorf("call %d touches %d blocks, of %d documents at most %d", n, blocks, docs, most)
		}
	}
	equal(t, "concealed", b.list(`SELECT count(*)::text FROM dmv.person WHERE doc_id LIKE 'x%'`), fmt.Sprint(documents-64))
}
