package report_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"godwit/internal/report"
)

// A document is a report of either kind, for what both promise.
type document struct {
	html, json func() ([]byte, error)
	text       func(int) string
	findings   func() ([]report.Finding, error)
}

// documents are the reports of all fixtures.
func documents() map[string]document {
	list := map[string]document{}
	for name, a := range assessments() {
		list["assess-"+name] = document{a.HTML, a.JSON, a.Text, func() ([]report.Finding, error) { c, err := a.Complete(); return c.Findings, err }}
	}
	for name, s := range snapshots() {
		list["snapshot-"+name] = document{s.HTML, s.JSON, s.Text, func() ([]report.Finding, error) { c, err := s.Complete(); return c.Findings, err }}
	}
	return list
}

func written(t *testing.T, write func() ([]byte, error)) string {
	t.Helper()
	b, err := write()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSnapshotGolden(t *testing.T) {
	all := documents()
	for _, name := range []string{"assess-movable", "assess-refused", "snapshot-arrived", "snapshot-laden", "snapshot-differing"} {
		t.Run(name, func(t *testing.T) {
			d := all[name]
			golden(t, name+".html", []byte(written(t, d.html)))
			golden(t, name+".json", []byte(written(t, d.json)))
			golden(t, name+".txt", []byte(d.text(100)))
		})
	}
}

func TestSnapshotReadsBackWholeAndCallerKeepsIt(t *testing.T) {
	for name, a := range assessments() {
		b := written(t, a.JSON)
		if !reflect.DeepEqual(a, assessments()[name]) {
			t.Errorf("%s: rendering changed the caller's assessment", name)
		}
		got, err := report.ParseAssessment([]byte(b))
		if err != nil {
			t.Fatal(err)
		}
		if again := written(t, got.JSON); again != b {
			t.Errorf("%s: writing what was read gives other bytes", name)
		}
		if strings.Contains(b, ": null") {
			t.Errorf("%s: assessment.json has a null", name)
		}
	}
	for name, s := range snapshots() {
		b := written(t, s.JSON)
		if !reflect.DeepEqual(s, snapshots()[name]) {
			t.Errorf("%s: rendering changed the caller's report", name)
		}
		got, err := report.ParseSnapshot([]byte(b))
		if err != nil {
			t.Fatal(err)
		}
		if again := written(t, got.JSON); again != b {
			t.Errorf("%s: writing what was read gives other bytes", name)
		}
		if strings.Contains(b, ": null") {
			t.Errorf("%s: report.json has a null", name)
		}
	}
	for _, in := range []string{``, `{}`, `[]`, `{"Format":"godwit.ledgerload/1"}`} {
		if _, err := report.ParseSnapshot([]byte(in)); err == nil {
			t.Errorf("%q was read as the report of a snapshot", in)
		}
		if _, err := report.ParseAssessment([]byte(in)); err == nil {
			t.Errorf("%q was read as an assessment", in)
		}
	}
}

// Another order of the same facts gives the same report.
func TestSnapshotSameFactsSameBytes(t *testing.T) {
	a, b := movable(), movable()
	for i, j := 0, len(b.Decisions)-1; i < j; i, j = i+1, j-1 {
		b.Decisions[i], b.Decisions[j] = b.Decisions[j], b.Decisions[i]
	}
	b.Tables[0], b.Tables[1] = b.Tables[1], b.Tables[0]
	b.Input = append(json.RawMessage(" \n"), b.Input...)
	if written(t, a.HTML) != written(t, b.HTML) || written(t, a.JSON) != written(t, b.JSON) || a.Text(80) != b.Text(80) {
		t.Error("another order of the same facts gives another assessment")
	}
}

func TestAssessmentVerdicts(t *testing.T) {
	with := func(change func(*report.Assessment)) report.Assessment {
		a := movable()
		a.Estimate = nil
		change(&a)
		return a
	}
	refuse := func(a *report.Assessment) {
		a.Decisions = append(a.Decisions, report.Decision{Kind: "schemas", Fate: report.Refused, Why: "Too many.", Do: "Fewer."})
	}
	for _, c := range []struct {
		name       string
		assessment report.Assessment
		verdict    report.Movability
		sentence   string
	}{
		{"all is well", with(func(*report.Assessment) {}), report.Movable, "2 tables with 6 columns can be moved: 2 as they are, 4 by a stated conversion. 3 things of the source do not come along."},
		{"nothing converted", with(func(a *report.Assessment) {
			a.Decisions = nil
			for i := range a.Tables {
				for j := range a.Tables[i].Columns {
					a.Tables[i].Columns[j].By = ""
				}
			}
		}), report.Movable, "2 tables with 6 columns can be moved: every column as it is."},
		{"refused", with(refuse), report.NotMovable, "The database cannot be moved as it is: 1 thing has to be decided first. 3 things of the source do not come along."},
		{"an incomplete export", with(func(a *report.Assessment) { a.Findings = []report.Finding{{Severity: report.Error, Text: "x"}} }), report.NotMovable, "1 thing has to be decided first."},
		{"an incomplete export that is accepted", with(func(a *report.Assessment) { a.Findings = []report.Finding{{Severity: report.Warning, Text: "x"}} }), report.Movable, ""},
		{"no table", with(func(a *report.Assessment) { a.Tables = nil }), report.NotMovable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.assessment.Verdict, c.assessment.Sentence, c.assessment.Next = "can be moved", "All is well.", "" // must not be believed
			got, err := c.assessment.Complete()
			if err != nil {
				t.Fatal(err)
			}
			if got.Verdict != c.verdict || !strings.Contains(got.Sentence, c.sentence) || got.Next == "" {
				t.Errorf("got %q: %s %s\nwant %q: %s", got.Verdict, got.Sentence, got.Next, c.verdict, c.sentence)
			}
			words := strings.Join(strings.Fields(c.assessment.Text(100)), " ")
			if want := "VERDICT: " + string(c.verdict) + ". " + got.Sentence + " Next: " + got.Next; !strings.HasSuffix(words, want) {
				t.Errorf("the terminal's last words are not %q:\n%s", want, words)
			}
		})
	}
}

// Each case plants one fault in a load that brought everything; no other may be
// reported.
func TestSnapshotEveryFaultIsAFinding(t *testing.T) {
	for _, c := range []struct {
		code    string
		verdict report.Arrival
		text    string
		plant   func(*report.RowAccount)
	}{
		{"", report.Arrived, "", func(*report.RowAccount) {}},
		{"rows-differ", report.Differs, "Table public.orders: the export has 5,001 rows, and loaded + quarantined + filtered are 5,000 + 0 + 0 = 5,000.", func(a *report.RowAccount) { a.Exported++ }},
		{"target-differs", report.Differs, "Table shop.orders: 5,000 rows are expected in the target and 4,999 are there; 1 row differs.", func(a *report.RowAccount) { a.Found, a.Differing, a.Differences = 4999, 1, 1 }},
		{"target-differs", report.Differs, "Table shop.orders: 5,000 rows are expected in the target and 5,000 are there; 2 groups of rows differ, and no row is listed because they are many.", func(a *report.RowAccount) {
			a.Differing, a.Unlisted = 2, "they are many"
		}},
		{"target-differs", report.Differs, "Table shop.orders: 5,000 rows are expected in the target and 5,001 are there; every group of rows is equal.", func(a *report.RowAccount) { a.Found++ }},
		{"not-compared", report.Differs, "Table public.orders: its rows were not compared with the target.", func(a *report.RowAccount) { a.Compared = false }},
		{"loaded-differs", report.Differs, "Table public.orders: the loader says that it loaded 5,000 rows, and the verifier expects 4,999.", func(a *report.RowAccount) { a.Expected, a.Found = 4999, 4999 }},
		{"negative", report.Differs, "Table public.orders: a count is negative (-1).", func(a *report.RowAccount) { a.Filtered, a.Exported = -1, 4999 }},
		{"quarantined", report.ArrivedWithFindings, "1 of 7,000 rows could not be held by the target and was left out, as the input accepts.", func(a *report.RowAccount) {
			a.Quarantined, a.Loaded, a.Expected, a.Found = 1, 4999, 4999, 4999
		}},
		{"filtered", report.Arrived, "2 rows were left out by the filters of the mapping.", func(a *report.RowAccount) {
			a.Filtered, a.Loaded, a.Expected, a.Found = 2, 4998, 4998, 4998
		}},
		{"repaired", report.ArrivedWithFindings, "1 row of the target was not what the export says, was put right and compared again.", func(a *report.RowAccount) { a.RepairedAll = 1 }},
	} {
		t.Run(c.code, func(t *testing.T) {
			s := arrived()
			for i := range s.Tables {
				if s.Tables[i].Source == "public.orders" {
					c.plant(s.Tables[i].Account)
				}
			}
			got, err := s.Complete()
			if err != nil {
				t.Fatal(err)
			}
			var codes []string
			for _, f := range got.Findings {
				codes = append(codes, f.Code)
			}
			if strings.Join(codes, " ") != c.code || got.Verdict != c.verdict {
				t.Fatalf("got %q and findings %q, want %q and %q", got.Verdict, codes, c.verdict, c.code)
			}
			if equal := !strings.Contains(written(t, s.HTML), `<span class="no">`); equal != (c.verdict != report.Differs || c.code == "negative") {
				t.Errorf("the page says that every table is equal: %t", equal)
			}
			if c.code != "" && (got.Findings[0].Text != c.text || got.Findings[0].Severity != report.Note && got.Findings[0].Next == "") {
				t.Errorf("got %q, next %q\nwant %s", got.Findings[0].Text, got.Findings[0].Next, c.text)
			}
			if want := "VERDICT: " + string(c.verdict) + ". " + got.Sentence; !strings.HasSuffix(strings.Join(strings.Fields(s.Text(100)), " "), want) {
				t.Errorf("the terminal's last words are not %q", want)
			}
		})
	}
	s := arrived()
	s.Tables[0].Account = nil
	if got, err := s.Complete(); err != nil || got.Verdict != report.Differs {
		t.Errorf("a table that nobody accounted for: %s, %v", got.Verdict, err)
	}
}

// Time without writes is the sum of what was measured; clocks that differ are said
// to.
func TestSnapshotTimeWithoutWrites(t *testing.T) {
	page := func(s report.Snapshot) string { return unescape(written(t, s.HTML)) }
	if got := page(arrived()); !strings.Contains(got, `<tfoot><tr><th scope="row">Together</th><td class="n">52 min 40 s</td>`) || !strings.Contains(got, "Planning") {
		t.Error("40 min of export, 100 s of planning, 10 min of load and 60 s of verification are not 52 min 40 s")
	}
	s := arrived()
	s.Times.ExportEnded = s.Times.LoadBegan.Add(1) // RDS's clock is ahead
	if got := page(s); strings.Contains(got, "Planning") || strings.Contains(got, ">-") {
		t.Error("a step that ends before it begins is shown")
	}
	if got := page(laden()); !strings.Contains(got, "at least 11 min") || !strings.Contains(got, "Not every step's time is known.") {
		t.Error("an export of unknown length counts as none")
	}
	if got := page(report.Snapshot{}); !strings.Contains(got, "No step's time is known.") {
		t.Error("a load without times has one")
	}
}

// Names cannot leave their place, nothing is fetched, and every finding is on the
// page and, the first ones, on the terminal.
func TestSnapshotIsSafeToOpen(t *testing.T) {
	all := documents()
	allowed := map[string]bool{}
	for _, name := range []string{"assess-movable", "assess-refused", "snapshot-laden", "snapshot-differing"} {
		for _, n := range elements(t, written(t, all[name].html)) {
			allowed[n] = true
		}
	}
	for name, d := range all {
		page := written(t, d.html)
		for _, n := range elements(t, page) {
			if !allowed[n] {
				t.Errorf("%s: the page has a <%s>", name, n)
			}
		}
		for _, bad := range []string{"<script", "<img", "http://", "https://", "src=", "url(http", "javascript:", "@import", "<link", "\x1b", "\x00", "\u202e", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		if strings.ContainsAny(d.text(100), "\x1b\x00\u202e") {
			t.Errorf("%s: the text has control characters", name)
		}
		findings, err := d.findings()
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range findings {
			if i < 100 && !strings.Contains(name, "hostile") && !strings.Contains(unescape(page), f.Text) {
				t.Errorf("%s: the page hides %q", name, f.Text)
			}
		}
	}
}

// The tables of the pages have captions, heads and as many cells in each row.
func TestSnapshotTablesAreRealTables(t *testing.T) {
	for name, d := range documents() {
		realTables(t, name, written(t, d.html))
	}
}

// Sixty tables of twenty columns stay a page: columns are folded, the plot ends at
// the largest tables, and the terminal's text ends.
func TestManyTablesStayReadable(t *testing.T) {
	page := written(t, documents()["snapshot-huge"].html)
	if n := strings.Count(page, "<details"); n < 120 || strings.Contains(page, `class="of-table" id="table-1" open`) {
		t.Errorf("%d folds, or an open table among sixty", n)
	}
	if n := strings.Count(page, `<rect class="track"`); n != 20 {
		t.Errorf("the plot has %d bars, want those of the 20 largest tables", n)
	}
	if n := strings.Count(page, "Its type text[] becomes text"); n != 1+60 { // together, and beside each column
		t.Errorf("one decision of 60 columns is told %d times", n)
	}
	if lines := strings.Count(documents()["assess-web"].text(100), "\n"); lines > 70 {
		t.Errorf("the terminal gets %d lines", lines)
	}
	for name, d := range documents() {
		for _, line := range strings.Split(d.text(100), "\n") {
			if n := utf8.RuneCountInString(line); n > 100 && !strings.Contains(name, "huge") && !strings.Contains(name, "hostile") {
				t.Errorf("%s: a line of %d: %s", name, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: a line ends in spaces: %q", name, line)
			}
		}
	}
}

// What is no word of the report is refused by name.
func TestSnapshotUnknownWordsAreRefused(t *testing.T) {
	a := movable()
	a.Decisions[0].Fate = "perhaps"
	if _, err := a.JSON(); err == nil || !strings.Contains(err.Error(), `"perhaps"`) {
		t.Errorf("got %v", err)
	}
	s := arrived()
	s.Findings = []report.Finding{{Severity: "fatal", Text: "x"}}
	if _, err := s.HTML(); err == nil || !strings.Contains(err.Error(), `"fatal"`) {
		t.Errorf("got %v", err)
	}
	s = arrived()
	s.Input = json.RawMessage("{")
	if _, err := s.HTML(); err == nil {
		t.Error("half an input was reported")
	}
	if b, err := (report.Snapshot{}).HTML(); err != nil || !bytes.Contains(b, []byte("No table was loaded.")) {
		t.Errorf("an empty report: %v", err)
	}
}
