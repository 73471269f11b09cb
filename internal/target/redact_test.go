package target_test

import (
	"fmt"
	"testing"

	"godwit/internal/local/rdsdata"
)

// rows shows the audit table as doc:version:value, redacted rows with the data
// hash that they have.
func (b *bench) rows() string {
	b.t.Helper()
	return b.list(`SELECT doc_id || ':' || version || ':' || coalesce(name, '-') || CASE WHEN (ql_audit->>'ql_redacted')::boolean THEN '/' || left(ql_audit->>'ql_data_hash', 4) ELSE '' END
		FROM dmv.person_audit_log ORDER BY doc_id COLLATE "C", version`)
}

func (b *bench) redacted(load string) string {
	b.t.Helper()
	all, err := b.loader.Redacted(b.t.Context(), load)
	if err != nil {
		b.t.Fatal(err)
	}
	out := ""
	for _, r := range all {
		out += fmt.Sprintf("%s %s already %d loaded %d shown %d unknown %d;", r.TableID, r.Table, r.Already, r.Loaded, r.Shown, r.Unknown)
	}
	return out
}

// holds counts the rows of any table, bookkeeping too, that have a text in them.
func (b *bench) holds(text string) int {
	b.t.Helper()
	return get[int](b, `SELECT coalesce(sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I AS x WHERE strpos(x::text, %L) > 0', n.nspname, c.relname, $1::text),
		false, true, '')))[1]::text::integer), 0)::integer
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')`, text)
}

// secret is a document whose first revision, with the data Sue, was redacted.
func secret(redacted bool) []revision {
	return []revision{{doc: "s", version: 0, op: "I", value: "Sue", gone: redacted}, {doc: "s", version: 1, op: "U", value: "S."}}
}

var asked = []revision{{doc: "s"}}

// A load is told of the redaction of a revision that its archive has in full.
func TestRedactionOfACopyInTheSameLoad(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{true, false} {
		b := newBench(t, rdsdata.Config{})
		p := ledger("load1", append(people(), secret(false)...)...)
		// Asked twice, of a revision without data, and of ones that are nowhere.
		p.redact = append(asked, revision{doc: "s"}, revision{doc: "c", version: 1}, revision{doc: "none"}, revision{doc: "s", version: 1, table: "T9"})
		p.History = history
		b.load(p)
		if history {
			equal(t, "rows", b.rows(), "a:0:Ann a:1:Anne b:0:Bob c:0:Cy c:1:- s:0:-/ s:1:S.")
			equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D s:0:I s:1:U")
		}
		equal(t, "current", b.current(), "a:1:Anne b:0:Bob s:1:S.")
		equal(t, "redacted", b.redacted("load1"), "T1 Person already 1 loaded 1 shown 0 unknown 1;T9  already 0 loaded 0 shown 0 unknown 1;")
		if n := b.holds("Sue"); n != 0 {
			t.Errorf("%d rows hold redacted data", n)
		}
		// Its rows are the load's own, changed or not.
		b.unloads("load1")
		if n := get[int](b, `SELECT count(*) FROM godwit.redaction`); n != 0 {
			t.Errorf("%d redactions of an unloaded load are left", n)
		}
	}
}

// A later load is told of the redaction, of a table that it may have or not. The
// rows that were shown lose their data as the load is shown, not before.
func TestRedactionOfWhatAnEarlierLoadShowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		second []revision
		counts string
		rows   string
	}{
		{"consecutive", []revision{{doc: "d", op: "I", value: "Di"}}, "already 0 loaded 0 shown 1 unknown 0", "d:0:Di s:0:-/ s:1:S."},
		{"overlapping", secret(false), "already 0 loaded 0 shown 1 unknown 0", "s:0:-/ s:1:S."},
		{"overlapping with its redacted copy", secret(true), "already 0 loaded 0 shown 1 unknown 0", "s:0:-/" + secret(true)[0].dataHash()[:4] + " s:1:S."},
		{"other tables", nil, "already 0 loaded 0 shown 1 unknown 0", "s:0:-/ s:1:S."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			b.load(ledger("load1", secret(false)...))
			p := ledger("load2", c.second...)
			if c.second == nil {
				p.tables, p.sources = nil, nil
			}
			p.redact = asked
			if err := b.hidden(p); err != nil {
				t.Fatal(err)
			}
			equal(t, "rows before the load is shown", b.rows(), "s:0:Sue s:1:S.")
			if err := b.run("load2", visible); err != nil {
				t.Fatal(err)
			}
			equal(t, "rows", b.rows(), c.rows)
			if n := b.holds("Sue"); n != 0 {
				t.Errorf("%d rows hold redacted data", n)
			}
			equal(t, "redacted", b.redacted("load2"), "T1 Person "+c.counts+";")
			// The same archive again, told by another load: nothing is left to do.
			p = ledger("load3", secret(false)...)
			p.redact = asked
			b.load(p)
			equal(t, "rows after a third load", b.rows(), c.rows)
			equal(t, "redacted by the third", b.redacted("load3"), "T1 Person already 1 loaded 0 shown 0 unknown 0;")
		})
	}
}

// The archive of a later load has the revision redacted, and not the block that
// asks for it.
func TestRedactedCopyTellsOfTheRedaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.load(ledger("load1", secret(false)...))
	b.load(ledger("load2", secret(true)...))
	hash := secret(true)[0].dataHash()[:4]
	equal(t, "rows", b.rows(), "s:0:-/"+hash+" s:1:S.")
	equal(t, "redacted", b.redacted("load2"), "T1 Person already 0 loaded 0 shown 1 unknown 0;")
	// The other way round the full copy is what is there already.
	c := newBench(t, rdsdata.Config{})
	c.load(ledger("load1", secret(true)...))
	c.load(ledger("load2", secret(false)...))
	equal(t, "rows", c.rows(), "s:0:-/"+hash+" s:1:S.")
	equal(t, "redacted", c.redacted("load2"), "")
}

// An older archive does not bring back what an earlier load was told is redacted.
func TestRedactionIsRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", revision{doc: "s", version: 1, op: "U", value: "S."})
	p.redact = asked
	b.load(p)
	equal(t, "redacted", b.redacted("load1"), "T1 Person already 0 loaded 0 shown 0 unknown 1;")
	b.load(ledger("load2", secret(false)...))
	equal(t, "rows", b.rows(), "s:0:-/ s:1:S.")
	equal(t, "redacted", b.redacted("load2"), "T1 Person already 0 loaded 1 shown 0 unknown 0;")
	if n := b.holds("Sue"); n != 0 {
		t.Errorf("%d rows hold redacted data", n)
	}
}

func TestRedactionsThatAreNotApplied(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", secret(false)...)
	p.redact, p.keep = asked, true
	b.load(p)
	equal(t, "rows", b.rows(), "s:0:Sue s:1:S.")
	p = ledger("load2", secret(true)...)
	p.keep = true
	b.load(p)
	equal(t, "rows", b.rows(), "s:0:Sue s:1:S.")
	equal(t, "redacted", b.redacted("load1")+b.redacted("load2"), "")
}

// QLDB redacts revisions that have a newer one. Where no load brought that one,
// the redacted revision is not shown in its place.
func TestRedactedRevisionIsNeverCurrent(t *testing.T) {
	for _, c := range []struct {
		name    string
		history bool
		first   []revision
		second  []revision // nil: one load
		redact  []revision // of the last load
	}{
		{"redacted copy", true, secret(true)[:1], nil, nil},
		{"redacted copy, without history", false, secret(true)[:1], nil, nil},
		{"asked for", true, secret(false)[:1], nil, asked},
		{"asked for later", true, secret(false)[:1], people(), asked},
		{"asked for later, without history", false, secret(false)[:1], people(), asked},
		{"asked for later, overlapping, without history", false, secret(false)[:1], secret(false)[:1], asked},
		{"redacted copy later", true, secret(false)[:1], secret(true)[:1], nil},
		{"redacted copy later, without history", false, secret(false)[:1], secret(true)[:1], nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rdsdata.Config{})
			p := ledger("load1", c.first...)
			p.History = c.history
			if c.second != nil {
				b.load(p)
				equal(t, "current", b.current(), "s:0:Sue")
				p = ledger("load2", c.second...)
				p.History = c.history
			}
			p.redact = c.redact
			b.load(p)
			if n := get[int](b, `SELECT count(*) FROM dmv.person WHERE doc_id = 's'`); n != 0 {
				t.Errorf("document s is current")
			}
			if n := b.holds("Sue"); n != 0 {
				t.Errorf("%d rows hold redacted data", n)
			}
			p = ledger("beside", revision{doc: "x", op: "I", value: "Xi"})
			p.History = c.history
			b.load(p)
			// Its newer revision comes, and is.
			p = ledger("load3", secret(true)[1:]...)
			p.History = c.history
			b.load(p)
			equal(t, "current", b.list(`SELECT version || name FROM dmv.person WHERE doc_id = 's'`), "1S.")
		})
	}
}
