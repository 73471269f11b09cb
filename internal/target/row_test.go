package target_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
)

// A row is found by the names of its table in target and ledger, with where it
// stands and which loads have its block; what is not there is answered with what is.
func TestRowIsFoundWithItsOrigin(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.aside = []revision{{doc: "a", version: 77, table: "T1"}}
	b.load(p)
	other := ledger("load2", people()...)
	other.Schema = "two"
	b.load(other)
	var doc string
	var version int64
	for _, r := range p.revisions {
		if r.op == "U" {
			doc, version = r.doc, r.version
		}
	}
	b.exec(`UPDATE dmv.person_audit_log SET ql_audit = ql_audit || '{"ql_strand": "S", "ql_blockseq": 42, "ql_object": "o''x", "ql_offset": 7, "ql_revision": 3, "ql_redacted": true}'`)
	var hash string
	for _, r := range p.revisions {
		if r.doc == doc && r.version == version {
			hash = r.hash()
		}
	}
	want := &change.StoredRow{
		Schema: "dmv", Table: "person_audit_log", Strand: "S", Block: 42, Hash: hash, Redacted: true, Object: "o'x", Offset: 7, Revision: 3, Loads: []string{"load1"},
	}
	for _, name := range []string{"person", "person_audit_log", "Person"} {
		got, err := b.loader.Row(t.Context(), "dmv", name, doc, version)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("by %s: %v\n%s", name, err, d)
		}
	}
	for _, c := range []struct {
		schema, table, doc string
		version            int64
		want               []string
	}{
		{"", "person", doc, 0, []string{"table person may be any of dmv.person, two.person: give Schema"}},
		{"dmv", "people", doc, 0, []string{"no load shows a table people in schema dmv: there are dmv.person"}},
		{"none", "person", doc, 0, []string{"no load shows a table person in schema none: there are none"}},
		{"", `"; DROP`, doc, 0, []string{"there are dmv.person, two.person"}},
		{"dmv", "person", "nobody'", 0, []string{"dmv.person_audit_log has no document nobody'"}},
		{"dmv", "person", doc, 99, []string{"document " + doc + " of dmv.person_audit_log has no version 99: there are 0, "}},
		{"dmv", "person", "a", 77, []string{"it was set aside, block 1 in object object: no reason"}},
	} {
		_, err := b.loader.Row(t.Context(), c.schema, c.table, c.doc, c.version)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: got %v", c, err)
			}
		}
	}
	b.exec(`DROP TABLE two.person_audit_log`) // as where no history was asked for
	if got, err := b.loader.Row(t.Context(), "two", "person", doc, version+50); err == nil || !strings.Contains(err.Error(), "no document") && !strings.Contains(err.Error(), "only, since no history was loaded") {
		t.Errorf("without a history: %+v, %v", got, err)
	}
}
