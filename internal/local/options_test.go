package local_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
	"godwit/internal/report"
)

// The queries that people ask an audited table, with the answers computed from
// each other: current rows, full history, members of ql_audit, the history of
// one document, and what was deleted.
func TestAuditTablesAnswerTheFiveKindsOfQuery(t *testing.T) {
	cloud := start(t, local.Options{})
	l := archive(t, cloud, ledgergen.Options{Seed: 11, Documents: 500, Prefix: "exports/"})
	load(t, cloud, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	check(t, cloud, l)
	for _, q := range []struct{ name, wrong string }{
		{
			"every current row is the latest revision of a live document",
			`SELECT count(*) FROM dmv.person p FULL JOIN (
			   SELECT DISTINCT ON (doc_id) doc_id, version, first_name, last_name, dob, gov_id, address, operation, ql_audit->>'ql_tableid' AS table_id
			   FROM dmv.person_audit_log ORDER BY doc_id, version DESC) a USING (doc_id)
			 WHERE (a.operation = 'D') <> (p.doc_id IS NULL) OR p.doc_id IS NOT NULL AND
			   (p.version, p.first_name, p.last_name, p.dob, p.gov_id, p.address) IS DISTINCT FROM (a.version, a.first_name, a.last_name, a.dob, a.gov_id, a.address)`,
		},
		{
			"versions count from 0 without a hole, and the first is the only insert",
			`SELECT count(*) FROM (SELECT version, operation, row_number() OVER (PARTITION BY doc_id ORDER BY version) - 1 AS n FROM dmv.vehicle_audit_log) x
			 WHERE version <> n OR (operation = 'I') <> (version = 0)`,
		},
		{
			"members of ql_audit name the transaction and its time",
			`SELECT count(*) FROM dmv.person_audit_log WHERE ql_audit->>'ql_txid' IS DISTINCT FROM transaction_id
			   OR (ql_audit->>'ql_txtime')::timestamptz IS NULL OR ql_audit->>'ql_id' <> doc_id OR (ql_audit->>'ql_v')::bigint <> version
			   OR length(decode(ql_audit->>'ql_rev_hash', 'base64')) <> 32 OR (SELECT count(*) FROM jsonb_object_keys(ql_audit)) <> 15`,
		},
		{
			"the history of one person, by a value that changed",
			`SELECT count(*) FROM (SELECT gov_id FROM dmv.person LIMIT 20) g
			 WHERE NOT EXISTS (SELECT FROM dmv.person_audit_log a WHERE a.gov_id = g.gov_id AND a.version = 0)`,
		},
		{
			"deletions are in the history, without data, and nowhere else",
			`SELECT count(*) FROM dmv.vehicle_registration_audit_log WHERE (operation = 'D') <> (ql_audit->>'ql_deletion')::boolean OR operation = 'D' AND vin IS NOT NULL`,
		},
	} {
		t.Run(q.name, func(t *testing.T) {
			if n := query[int64](t, cloud, q.wrong); n != 0 {
				t.Errorf("%d rows answer wrongly", n)
			}
		})
	}
	if n := query[int64](t, cloud, `SELECT count(*) FROM dmv.vehicle_audit_log WHERE operation = 'D'`); n == 0 {
		t.Error("the ledger has no deletion, so the queries prove little")
	}
}

// A document whose newest revision cannot be mapped is withheld: an older one is
// not shown as current, and the revision is listed.
func TestWithheldDocumentsShowNoOlderRevision(t *testing.T) {
	cloud := start(t, local.Options{})
	l := archive(t, cloud, ledgergen.Options{Seed: 12, Documents: 300, Prefix: "exports/", Unmappable: 9})
	out := load(t, cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "MaxQuarantined": 9})
	var refused int64
	for _, x := range l.Tables {
		refused += x.Refused
	}
	if refused != 9 || out.Aside != refused || out.Read != out.Staged+out.Aside {
		t.Errorf("quarantined %d of %d read and %d staged, the ledger has %d such revisions", out.Aside, out.Read, out.Staged, refused)
	}
	for _, table := range []string{"person", "vehicle", "note"} {
		if n := query[int64](t, cloud, `SELECT count(*) FROM dmv.`+table+` c JOIN godwit.quarantine q USING (doc_id) WHERE q.version > c.version`); n != 0 {
			t.Errorf("%d documents of %s show an older revision than the one in quarantine", n, table)
		}
	}
	if n := query[int64](t, cloud, `SELECT count(*) FROM godwit.quarantine WHERE object LIKE 'exports/%' AND reason <> '' AND doc_id <> ''`); n != refused {
		t.Errorf("%d revisions are listed with object, document and reason, want %d", n, refused)
	}
	if out.Verdict != "loaded with findings" {
		t.Errorf("the verdict is %q", out.Verdict)
	}
}

func TestHistoryNoneKeepsCurrentRowsOnly(t *testing.T) {
	o := ledgergen.Options{Seed: 13, Documents: 300, Prefix: "exports/"}
	all, none := start(t, local.Options{}), start(t, local.Options{})
	archive(t, all, o)
	archive(t, none, o)
	load(t, all, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	load(t, none, object{"Bucket": archiveBucket, "Prefix": "exports/", "History": "none"})
	want, got := state(t, all, "dmv"), state(t, none, "dmv")
	for table := range want {
		if strings.HasSuffix(table, "_audit_log") {
			if _, ok := got[table]; ok {
				t.Errorf("table %s is there", table)
			}
			continue
		}
		if want[table] != got[table] {
			t.Errorf("table %s has %s, with history %s", table, got[table], want[table])
		}
	}
}

// What the input leaves out is filtered and counted, not lost.
func TestWhatTheInputLeavesOutIsCounted(t *testing.T) {
	for _, c := range []struct {
		name  string
		input object
		wrong string // counts rows that should not be there
	}{
		{"tables", object{"Tables": []string{"Person", "Vehicle"}}, `SELECT count(*) FROM pg_tables WHERE schemaname = 'dmv' AND tablename NOT LIKE 'person%' AND tablename NOT LIKE 'vehicle' AND tablename NOT LIKE 'vehicle\_audit%' AND tablename <> 'table_counts'`},
		{"since a block", object{"Since": 40}, `SELECT count(*) FROM dmv.person_audit_log WHERE (ql_audit->>'ql_blockseq')::int < 40`},
		{"since a time", object{"Since": "2019-01-01T00:00:00Z"}, `SELECT 0::bigint`},
		{"another schema", object{"Schema": "Registry \"A\""}, `SELECT count(*) FROM pg_tables WHERE schemaname = 'dmv'`},
		{"listing", object{"Manifests": "none"}, `SELECT 0::bigint`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := start(t, local.Options{})
			l := archive(t, cloud, ledgergen.Options{Seed: 14, Documents: 200, Prefix: "exports/"})
			in := object{"Bucket": archiveBucket, "Prefix": "exports/"}
			for k, v := range c.input {
				in[k] = v
			}
			out := load(t, cloud, in)
			if out.Read != out.Staged+out.Aside+out.Left || c.name != "since a block" && out.Read != l.Revisions() {
				t.Errorf("read %d of %d, staged %d, quarantined %d, filtered %d", out.Read, l.Revisions(), out.Staged, out.Aside, out.Left)
			}
			if n := query[int64](t, cloud, c.wrong); n != 0 {
				t.Errorf("%d things are there that the input left out", n)
			}
		})
	}
}

// Tables that the mapping does not name become documents, and readers with a
// grant can query what was loaded.
func TestUnmappedTablesBecomeDocuments(t *testing.T) {
	cloud := start(t, local.Options{})
	archive(t, cloud, ledgergen.Options{Seed: 15, Documents: 200, Prefix: "exports/"})
	load(t, cloud, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	if n := query[int64](t, cloud, `SELECT count(*) FROM dmv.note WHERE jsonb_typeof(doc) = 'object'`); n == 0 {
		t.Error("no document of Note is a JSON object")
	}
	db := connect(t, cloud)
	for _, sql := range []string{"CREATE ROLE reader", "GRANT USAGE ON SCHEMA dmv TO reader", "GRANT SELECT ON ALL TABLES IN SCHEMA dmv TO reader", "SET ROLE reader"} {
		if _, err := db.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var n int64
	if err := db.QueryRow(context.Background(), `SELECT count(*) FROM dmv.note_audit_log`).Scan(&n); err != nil || n == 0 {
		t.Errorf("a reader sees %d rows of the history: %v", n, err)
	}
}

// A path that leads to nothing in the whole ledger is most often misspelled: the
// report names it.
func TestMappingPathsThatMatchNothingAreNamed(t *testing.T) {
	cloud := start(t, local.Options{})
	archive(t, cloud, ledgergen.Options{Seed: 16, Documents: 200, Prefix: "exports/"})
	mapping := `{"version":1,"schema":"dmv","tables":{"Person":{"target":"person","columns":[
		{"name":"first_name","path":["FristName","FirstName"],"type":"text"},{"name":"last_name","path":"LastNmae","type":"text"}]}}}`
	if err := cloud.S3.Put(archiveBucket, "exports/mapping.json", []byte(mapping), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	out := load(t, cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "Mapping": "s3://" + archiveBucket + "/exports/mapping.json"})
	if out.Verdict != "loaded with findings" {
		t.Errorf("the verdict is %q", out.Verdict)
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(out.Report, "html")+"json", "s3://"), "/")
	body, _, err := cloud.S3.Get(bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := report.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	want := []report.MappingPath{{Table: "Person", Column: "last_name", Path: "LastNmae"}}
	if d := cmp.Diff(want, l.NeverFound); d != "" {
		t.Errorf("paths that matched nothing (-want +got):\n%s", d)
	}
}
