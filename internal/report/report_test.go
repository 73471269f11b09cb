package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"godwit/internal/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s line %d (go test ./internal/report -update rewrites it):\n got %s\nwant %s", name, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: got %d lines, want %d", name, len(g), len(w))
}

func html(t *testing.T, l report.Load) string {
	t.Helper()
	b, err := l.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func complete(t *testing.T, l report.Load) report.Load {
	t.Helper()
	c, err := l.Complete()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func codes(l report.Load) string {
	var out []string
	for _, f := range l.Findings {
		out = append(out, f.Code)
	}
	return strings.Join(out, " ")
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"clean", "troubled", "broken", "stopped", "empty"} {
		t.Run(name, func(t *testing.T) {
			l := loads()[name]
			golden(t, name+".html", []byte(html(t, l)))
			b, err := l.JSON()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", b)
			golden(t, name+".txt", []byte(l.Text(100)))
		})
	}
}

func TestSameLoadSameBytes(t *testing.T) {
	for name, l := range loads() {
		a, err := l.JSON()
		if err != nil {
			t.Fatal(err)
		}
		h, text := html(t, l), l.Text(80)
		// Another order of tables, another zone, another spelling of the input.
		m := l
		m.Tables = append([]report.Table(nil), l.Tables...)
		for i, j := 0, len(m.Tables)-1; i < j; i, j = i+1, j-1 {
			m.Tables[i], m.Tables[j] = m.Tables[j], m.Tables[i]
		}
		if !m.Started.IsZero() {
			m.Started = m.Started.In(time.FixedZone("", 3600))
		}
		if len(m.Input) > 0 {
			m.Input = append(json.RawMessage(" \n"), m.Input...)
		}
		b, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) || html(t, m) != h || m.Text(80) != text {
			t.Errorf("%s: another order of the same facts gives another report", name)
		}
	}
}

func TestCallerKeepsItsLoad(t *testing.T) {
	for name, l := range loads() {
		if _, err := l.JSON(); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(l, loads()[name]) {
			t.Errorf("%s: rendering changed the caller's load", name)
		}
	}
}

func TestJSONReadsBackWhole(t *testing.T) {
	for name, l := range loads() {
		b, err := l.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := report.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		// The encoder indents the input; nothing else may differ.
		want := complete(t, l)
		if again := complete(t, got); !reflect.DeepEqual(again, want) {
			t.Errorf("%s: read back differs:\n got %+v\nwant %+v", name, again, want)
		}
		c, err := got.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, c) {
			t.Errorf("%s: writing what was read gives other bytes", name)
		}
		if bytes.Contains(b, []byte(": null")) && !bytes.Contains(l.Input, []byte("null")) {
			t.Errorf("%s: report.json has a null", name)
		}
	}
}

func TestParseRefusesAnotherFormat(t *testing.T) {
	for _, in := range []string{``, `{}`, `[]`, `{"Format":"godwit.ledgerload/2"}`} {
		if _, err := report.Parse([]byte(in)); err == nil {
			t.Errorf("%q was read as a report", in)
		}
	}
}

func TestVerdicts(t *testing.T) {
	with := func(change func(*report.Load)) report.Load {
		l := clean()
		change(&l)
		return l
	}
	for _, c := range []struct {
		name     string
		load     report.Load
		verdict  report.Verdict
		sentence string
	}{
		{
			"everything", clean(), report.Loaded,
			"Everything arrived: all 5,242 revisions of 4 ledger tables, blocks 0 to 1,873, are in schema dmv.",
		},
		{"one revision", with(func(l *report.Load) {
			l.Tables = []report.Table{{Name: "A", Read: 1, Staged: 1, Documents: 1, Current: 1, Evidence: &report.Evidence{Revisions: 1}}}
		}), report.Loaded, "Everything arrived: the one revision read is in schema dmv."},
		{
			"filtered", with(func(l *report.Load) { l.Tables[0].Staged, l.Tables[0].Filtered = 2309, 1 }), report.Loaded,
			"Everything that was asked for arrived: of 5,242 revisions read, 5,241 are in schema dmv and 1 left out on request.",
		},
		{
			"no history", with(func(l *report.Load) { l.Target.History = false }), report.Loaded,
			"Everything that was asked for arrived: of 5,242 revisions read, 1,981 current documents are in schema dmv; older ones were not asked for.",
		},
		{
			"nothing there", empty(), report.LoadedWithFindings,
			"The load finished, but no revision of a ledger table was read; schema dmv has nothing new. Read the findings.",
		},
		{
			"already", with(func(l *report.Load) { l.Outcome = report.Already }), report.AlreadyLoaded,
			"Everything arrived: all 5,242 revisions of 4 ledger tables, blocks 0 to 1,873, are in schema dmv. An earlier execution with the same input had loaded it; nothing was changed now.",
		},
		{
			"quarantined", troubled(), report.LoadedWithFindings,
			"The load is visible in schema dmv; 42 of 5,242 revisions were set aside. Something may be missing or altered: read the findings.",
		},
		{
			"gap", with(func(l *report.Load) { l.Archive.Gaps, l.Archive.Blocks = []report.Blocks{{First: 3, Last: 3}}, 1873 }), report.LoadedWithFindings,
			"The load is visible in schema dmv; every revision read is accounted for. Something may be missing or altered: read the findings.",
		},
		{
			"already with findings", with(func(l *report.Load) {
				l.Outcome, l.Archive.Unused = report.Already, []string{"x"}
			}), report.LoadedWithFindings,
			"The load is visible in schema dmv; every revision read is accounted for. Something may be missing or altered: read the findings. An earlier execution with the same input had loaded it; nothing was changed now.",
		},
		{
			"does not add up", broken(), report.DoesNotAddUp,
			"The load is visible in schema dmv, but its account does not add up: do not rely on it until every error below is explained.",
		},
		{
			"stopped", stopped(), report.NotLoaded,
			"Nothing of this load is visible: it stopped before it was published, and the tables of schema dmv are as they were.",
		},
		{"note alone", with(func(l *report.Load) {
			l.Findings = []report.Finding{{Code: "x", Severity: report.Note, Text: "By the way."}}
		}), report.Loaded, "Everything arrived: all 5,242 revisions of 4 ledger tables, blocks 0 to 1,873, are in schema dmv."},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.load.Verdict, c.load.Sentence = "loaded", "All is well." // must not be believed
			got := complete(t, c.load)
			if got.Verdict != c.verdict || got.Sentence != c.sentence {
				t.Errorf("got %q: %s\nwant %q: %s\nfindings: %s", got.Verdict, got.Sentence, c.verdict, c.sentence, codes(got))
			}
			words := strings.Join(strings.Fields(c.load.Text(100)), " ")
			if want := "VERDICT: " + string(c.verdict) + ". " + c.sentence; !strings.HasSuffix(words, want) {
				t.Errorf("the terminal's last words are not %q:\n%s", want, c.load.Text(100))
			}
			if !strings.Contains(html(t, c.load), c.sentence) {
				t.Error("report.html lacks the sentence")
			}
		})
	}
}

// Each case plants one fault in a clean load; no other may be reported.
func TestEveryFaultIsAFinding(t *testing.T) {
	for _, c := range []struct {
		code  string
		text  string
		plant func(*report.Load)
	}{
		{"read-differs", "Ledger table Vehicle: 1,017 revisions were read, but loaded + quarantined + filtered = 1,016 + 0 + 0 = 1,016.", func(l *report.Load) {
			l.Tables[2].Read, l.Tables[2].Evidence.Revisions, l.Tables[2].IDs[0].Revisions = 1017, 1017, 1017
		}},
		{"documents-differ", "Ledger table Vehicle: 512 documents were loaded, but current + deleted + dropped + withheld = 499 + 12 + 0 + 0 = 511.", func(l *report.Load) { l.Tables[2].Current-- }},
		{"present-differs present", "Ledger table Vehicle: 1,020 revisions are said to be in the target already, more than the 1,016 that were loaded.", func(l *report.Load) { l.Tables[2].Present = 1020 }},
		{"ids-differ", "Ledger table Vehicle: 1,016 revisions were read, but its table ids account for 1,015.", func(l *report.Load) { l.Tables[2].IDs[0].Revisions-- }},
		{"count-differs", "Ledger table Vehicle: the loader read 1,016 revisions, the independent pass 1,015.", func(l *report.Load) { l.Tables[2].Evidence.Revisions-- }},
		{"checksum-differs", "Ledger table Vehicle: the target's checksum is b, the archive's a.", func(l *report.Load) {
			l.Tables[2].Evidence = &report.Evidence{Revisions: 1016, Checksum: "a", Loader: "b"}
		}},
		{"negative", "Ledger table Vehicle: a count is negative (-1).", func(l *report.Load) { l.Tables[2].Present = -1 }},
		{"table-twice", "Ledger table Person is in this report twice.", func(l *report.Load) { l.Tables[2].Name = "Person" }},
		{"quarantine-differs", "The quarantine holds 2 revisions, but the tables' accounts name 0.", func(l *report.Load) { l.Quarantine.Total = 2 }},
		{"not-counted", "1 ledger table was not counted by the independent pass.", func(l *report.Load) { l.Tables[2].Evidence = nil }},
		{"gap", "3 blocks are missing in the archive: block 7, blocks 9 to 10.", func(l *report.Load) {
			l.Archive.Blocks -= 3
			l.Archive.Gaps = []report.Blocks{{First: 7, Last: 7}, {First: 9, Last: 10}}
		}},
		{"unused", "1 data object in the archive was not read, because no manifest names it.", func(l *report.Load) { l.Archive.Unused = []string{"k"} }},
		{"overlap", "Exports overlap in blocks 1 to 2; each block was read once.", func(l *report.Load) { l.Archive.Overlaps = []report.Blocks{{First: 1, Last: 2}} }},
		{"begins-late", "What was read begins at block 5, not at the ledger's first block 0.", func(l *report.Load) { l.Archive.FirstBlock, l.Archive.Blocks = 5, 1869 }},
		{"gap", "5 blocks are missing in the archive: blocks 0 to 4.", func(l *report.Load) {
			l.Archive.FirstBlock, l.Archive.Blocks, l.Archive.Gaps = 5, 1869, []report.Blocks{{First: 0, Last: 4}}
		}},
		{"blocks-differ", "1,873 blocks were read, but block 0 to block 1,873 without the missing ones are 1,874.", func(l *report.Load) { l.Archive.Blocks-- }},
		{"no-history", "The history was not kept, as the input asks: the target holds current documents only.", func(l *report.Load) { l.Target.History = false }},
		{"path-never-found", "1 path of the mapping matched nothing in any revision.", func(l *report.Load) {
			l.NeverFound = []report.MappingPath{{Table: "Person", Column: "c", Path: "P"}, {Table: "Not loaded", Column: "c", Path: "P"}}
		}},
		{"nothing-read", "No revision of a ledger table was read.", func(l *report.Load) { l.Tables = nil }},
		{"stopped", "The load stopped; this report was not told why.", func(l *report.Load) { l.Outcome = report.Stopped }},
		{"quarantined withheld", "1 of 5,242 revisions did not map exactly and was set aside.", func(l *report.Load) {
			t := &l.Tables[2]
			t.Staged, t.Quarantined, t.Current, t.Withheld = t.Staged-1, 1, t.Current-1, 1
			l.Quarantine.Total = 1
		}},
		{"redactions-kept", "The archive asks for 3 redactions (Person 1, Vehicle 2), which were not applied, as the input asks: rows keep the data that was exported before.", func(l *report.Load) {
			l.Redacted = []report.Redacted{{Table: "Vehicle", Kept: 1}, {Table: "Person", Kept: 1}, {Table: "Vehicle", Kept: 1}}
		}},
		{"redacted", "1 revision was redacted after the export that the archive has of it, and the data was taken from the rows (Person 1).", func(l *report.Load) {
			l.Redacted = []report.Redacted{{Table: "Person", Loaded: 1}}
		}},
		{"redacted", "3 revisions were redacted after the export that the archive has of them, and the data was taken from the rows (Person 3; 2 in rows of earlier loads).", func(l *report.Load) {
			l.Redacted = []report.Redacted{{Table: "Person", Loaded: 1, Shown: 2}}
		}},
		{"redacted-already redacted-unknown", "1 revision was redacted and held no data any more (Person 1).", func(l *report.Load) {
			l.Redacted = []report.Redacted{{Table: "Person", Already: 1, Unknown: 2}}
		}},
		{"redacted-unknown", "The archive asks for 2 redactions of revisions that are in no loaded row (T9 2).", func(l *report.Load) {
			l.Redacted = []report.Redacted{{Table: "T9", Unknown: 2}}
		}},
		{"present", "1 revision was already in the target, with the same hashes; nothing was written for it.", func(l *report.Load) { l.Tables[2].Present = 1 }},
	} {
		t.Run(c.code, func(t *testing.T) {
			l := clean()
			c.plant(&l)
			got := complete(t, l)
			if codes(got) != c.code {
				t.Fatalf("got findings %q, want %q: %+v", codes(got), c.code, got.Findings)
			}
			if got.Findings[0].Text != c.text {
				t.Errorf("got %s\nwant %s", got.Findings[0].Text, c.text)
			}
			if got.Findings[0].Severity != report.Note && got.Findings[0].Next == "" {
				t.Error("the finding does not say what to do next")
			}
			words := strings.Join(strings.Fields(l.Text(100)), " ")
			if !strings.Contains(words, c.text) {
				t.Errorf("the terminal hides it:\n%s", l.Text(100))
			}
			if !strings.Contains(unescape(html(t, l)), c.text) {
				t.Error("report.html hides it")
			}
		})
	}
}

func unescape(s string) string {
	return strings.NewReplacer("&#43;", "+", "&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// Sums that would only add up by overflow do not.
func TestSumsDoNotWrapAround(t *testing.T) {
	const most = 1<<63 - 1
	l := clean()
	l.Tables = []report.Table{{Name: "A", Read: most - 1, Staged: most, Quarantined: most, Filtered: most, Evidence: &report.Evidence{Revisions: most - 1}}}
	l.Quarantine.Total = most
	if got := complete(t, l); got.Verdict != report.DoesNotAddUp {
		t.Errorf("got %s: %+v", got.Verdict, got.Findings)
	}
	l.Tables = append(l.Tables, report.Table{Name: "B", Read: most, Staged: most})
	if got := l.Text(200); strings.Contains(got, "-9,223") || !strings.Contains(got, "\ntotal         9,223,372,036,854,775,807  ") {
		t.Errorf("the totals wrapped around:\n%s", got)
	}
}

func TestUnknownWordsAreRefusedByName(t *testing.T) {
	l := clean()
	l.Outcome = "perhaps"
	if _, err := l.JSON(); err == nil || !strings.Contains(err.Error(), `"perhaps"`) {
		t.Errorf("got %v", err)
	}
	if got := l.Text(80); !strings.Contains(got, "perhaps") {
		t.Errorf("got %s", got)
	}
	l = clean()
	l.Findings = []report.Finding{{Severity: "fatal", Text: "x"}}
	if _, err := l.HTML(); err == nil || !strings.Contains(err.Error(), `"fatal"`) {
		t.Errorf("got %v", err)
	}
	l = clean()
	l.Input = json.RawMessage("{")
	if _, err := l.HTML(); err == nil {
		t.Error("half an input was reported")
	}
}

// report.html is well-formed, so a name that breaks out of its place is found
// by walking its elements.
func TestNothingGetsOutOfItsPlace(t *testing.T) {
	allowed := map[string]bool{}
	for _, n := range elements(t, html(t, troubled())) {
		allowed[n] = true
	}
	for name, l := range loads() {
		page := html(t, l)
		for _, n := range elements(t, page) {
			if !allowed[n] {
				t.Errorf("%s: report.html has a <%s>", name, n)
			}
		}
		if strings.ContainsAny(page, "\x1b\x00\u202e") {
			t.Errorf("%s: report.html has a control character", name)
		}
		for _, w := range []string{"<script", "http://", "https://", "javascript:", "@import", "<link", "ZgotmplZ"} {
			if strings.Contains(page, w) {
				t.Errorf("%s: report.html has %s", name, w)
			}
		}
		if strings.ContainsAny(l.Text(80), "\x1b\x00\u202e") {
			t.Errorf("%s: the terminal's table has a control character", name)
		}
	}
}

// elements returns the names of the elements and "name@attribute" of event
// attributes.
func elements(t *testing.T, page string) []string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict = false
	d.AutoClose = []string{"meta", "br", "wbr"}
	d.Entity = xml.HTMLEntity
	var out []string
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("report.html is not well-formed: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			out = append(out, e.Name.Local)
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" {
					out = append(out, e.Name.Local+"@"+a.Name.Local)
				}
			}
		}
	}
}

func TestTablesAreRealTables(t *testing.T) {
	for name, l := range loads() {
		realTables(t, name, html(t, l))
	}
}

func realTables(t *testing.T, name, page string) {
	t.Helper()
	tables := strings.Count(page, "<table")
	for _, w := range []string{"<caption", "<thead>", "<tbody>"} {
		if got := strings.Count(page, w); got != tables {
			t.Errorf("%s: %d tables, %d %s", name, tables, got, w)
		}
	}
	if got, scoped := strings.Count(page, "<th "), strings.Count(page, `<th scope="`); got != scoped || strings.Contains(page, "<th>") {
		t.Errorf("%s: %d of %d header cells have a scope", name, scoped, got)
	}
	for _, row := range regexp.MustCompile(`(?s)<table.*?</table>`).FindAllString(page, -1) {
		want := -1
		for i, r := range regexp.MustCompile(`(?s)<tr.*?</tr>`).FindAllString(row, -1) {
			n := strings.Count(r, "</th>") + strings.Count(r, "</td>")
			if want < 0 {
				want = n
			}
			if n != want {
				t.Errorf("%s: row %d has %d cells, the header %d: %s", name, i, n, want, r)
			}
		}
	}
}

// Bars stay in the plot, also those of figures that do not add up.
func TestBarsStayInThePlot(t *testing.T) {
	l := broken()
	l.Tables[0].Staged *= 50
	l.Tables[0].Quarantined, l.Tables[0].Filtered = l.Tables[0].Staged, l.Tables[0].Staged
	l.Phases = append(l.Phases, report.Phase{Name: "backwards", Started: at(100), Finished: at(-500)}, report.Phase{Name: "no time", Started: at(1), Finished: at(1)})
	all := loads()
	all["more than read"] = l
	rects := regexp.MustCompile(`<rect class="[a-z]+" x="([0-9.]+)%" width="([0-9.]+)%"`)
	for name, l := range all {
		page := html(t, l)
		found := rects.FindAllStringSubmatch(page, -1)
		for _, m := range found {
			var x, w float64
			if err := errors.Join(json.Unmarshal([]byte(m[1]), &x), json.Unmarshal([]byte(m[2]), &w)); err != nil {
				t.Fatal(err)
			}
			if w <= 0 || x+w > 100.01 {
				t.Errorf("%s: a bar from %s %% is %s %% wide", name, m[1], m[2])
			}
		}
		if want := strings.Count(page, `<rect class="`) > 0 && len(l.Tables) > 0; want && len(found) == 0 {
			t.Errorf("%s: no bar was found", name)
		}
	}
}

func TestTextFitsTheTerminal(t *testing.T) {
	for name, l := range loads() {
		for _, width := range []int{80, 100, 132} {
			for _, line := range strings.Split(l.Text(width), "\n") {
				if name != "hostile" && name != "huge" && utf8.RuneCountInString(line) > width && !strings.Contains(line, "s3://") {
					t.Errorf("%s at %d columns: a line of %d: %s", name, width, utf8.RuneCountInString(line), line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s: a line ends in spaces: %q", name, line)
				}
			}
		}
	}
	// The figures of 10^12 need 100 columns; names give way to them.
	l := huge()
	l.Findings, l.Archive.Gaps = nil, nil
	lines := strings.Split(l.Text(110), "\n")
	for _, line := range lines[:44] {
		if utf8.RuneCountInString(line) > 110 {
			t.Errorf("a line of %d: %s", utf8.RuneCountInString(line), line)
		}
	}
	if got := l.Text(-5); !strings.Contains(got, "1,000,000,000,000") {
		t.Errorf("a narrow terminal loses figures:\n%s", got)
	}
}

// Programs read report.json by these names: adding one is well, renaming or
// removing one needs another Format.
func TestMembersAreAsDocumented(t *testing.T) {
	b, err := troubled().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var paths []string
	var walk func(string, any)
	walk = func(at string, v any) {
		if !seen[at] {
			seen[at] = true
			paths = append(paths, at)
		}
		switch v := v.(type) {
		case map[string]any:
			if at == ".Input" {
				return
			}
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(at+"."+k, v[k])
			}
		case []any:
			for _, x := range v {
				walk(at+"[]", x)
			}
		}
	}
	walk("", v)
	golden(t, "members.txt", []byte(strings.Join(paths[1:], "\n")+"\n"))
}
