package report_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"godwit/internal/estimate"
	"godwit/internal/report"
)

func planHTML(t *testing.T, p report.Plan) string {
	t.Helper()
	b, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPlanGolden(t *testing.T) {
	for _, name := range []string{"ready", "hesitant", "hindered"} {
		t.Run(name, func(t *testing.T) {
			p := plans()[name]
			golden(t, "plan-"+name+".html", []byte(planHTML(t, p)))
			b, err := p.JSON()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "plan-"+name+".json", b)
			golden(t, "plan-"+name+".txt", []byte(p.Text(100)))
		})
	}
}

func TestPlanReadsBackWholeAndCallerKeepsIt(t *testing.T) {
	for name, p := range plans() {
		b, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, plans()[name]) {
			t.Errorf("%s: rendering changed the caller's plan", name)
		}
		got, err := report.ParsePlan(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, again) {
			t.Errorf("%s: writing what was read gives other bytes", name)
		}
		if bytes.Contains(b, []byte(": null")) {
			t.Errorf("%s: plan-report.json has a null", name)
		}
	}
	for _, in := range []string{``, `{}`, `{"Format":"godwit.ledgerload/1"}`} {
		if _, err := report.ParsePlan([]byte(in)); err == nil {
			t.Errorf("%q was read as a plan", in)
		}
	}
	if _, err := (report.Plan{Input: []byte(`[]`)}).JSON(); err == nil {
		t.Error("an input that is no object was reported")
	}
}

// What would stop a load makes it not ready; what a person should know, ready
// with findings; a note alone changes nothing.
func TestPlanVerdicts(t *testing.T) {
	with := func(change func(*report.Plan)) report.Plan {
		p := ready()
		change(&p)
		return p
	}
	for _, c := range []struct {
		name     string
		plan     report.Plan
		verdict  report.Readiness
		sentence string
	}{
		{"clean", ready(), report.Ready, "A load with this input would go through and bring all 5,242 revisions of 4 ledger tables."},
		{"note", with(func(p *report.Plan) { p.Archive.Overlaps = []report.Blocks{{First: 1, Last: 2}} }), report.Ready, "A load with this input would go through and bring all 5,242 revisions of 4 ledger tables."},
		{"filtered", with(func(p *report.Plan) { p.Tables[0].Staged, p.Tables[0].Filtered = 2300, 10 }), report.Ready, "A load with this input would go through and bring 5,232 of 5,242 revisions."},
		{"warning of preflight", with(func(p *report.Plan) { p.Warnings = []string{"w"} }), report.ReadyWithFindings, "a person should read the findings first."},
		{"set aside within what the input allows", with(func(p *report.Plan) { p.Tables[0].Staged, p.Tables[0].Quarantined = 2300, 10 }), report.ReadyWithFindings, "bring 5,232 of 5,242 revisions;"},
		{"gap that the input accepts", with(func(p *report.Plan) { p.Archive.Gaps = []report.Blocks{{First: 1, Last: 2}} }), report.ReadyWithFindings, ""},
		{"unused", with(func(p *report.Plan) { p.Archive.Unused = []string{"x"} }), report.ReadyWithFindings, ""},
		{"misspelled path", with(func(p *report.Plan) { p.NeverFound = []report.MappingPath{{Table: "Person"}} }), report.ReadyWithFindings, ""},
		{"nothing there", with(func(p *report.Plan) { p.Tables = nil }), report.ReadyWithFindings, ""},
		{"missing", with(func(p *report.Plan) { p.Missing = []string{"m"} }), report.NotReady, "A load with this input would stop: 1 thing has to be mended first."},
		{"would stop", with(func(p *report.Plan) { p.Stops = []report.PlannedStop{{Text: "a"}, {Text: "b"}} }), report.NotReady, "A load with this input would stop: 2 things have to be mended first."},
		{"blocks not read", with(func(p *report.Plan) { p.Unread = 1 }), report.NotReady, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.plan.Verdict, c.plan.Sentence, c.plan.Next = "ready", "All is well.", "" // must not be believed
			got, err := c.plan.Complete()
			if err != nil {
				t.Fatal(err)
			}
			if got.Verdict != c.verdict || !strings.Contains(got.Sentence, c.sentence) || got.Next == "" {
				t.Errorf("got %q: %s %s\nwant %q: %s", got.Verdict, got.Sentence, got.Next, c.verdict, c.sentence)
			}
			words := strings.Join(strings.Fields(c.plan.Text(100)), " ")
			if want := "VERDICT: " + string(c.verdict) + ". " + got.Sentence + " Next: " + got.Next; !strings.HasSuffix(words, want) {
				t.Errorf("the terminal's last words are not %q:\n%s", want, words)
			}
			page := unescape(planHTML(t, c.plan))
			for _, f := range got.Findings {
				if !strings.Contains(page, f.Text) {
					t.Errorf("plan-report.html hides %q", f.Text)
				}
			}
			if begins := strings.Contains(page, `<pre tabindex="0">{`+"\n"+`  "Bucket": "ledger-archive",`+"\n"+`  "Prefix": "dmv/"`+"\n}</pre>"); begins != (c.verdict != report.NotReady) {
				t.Errorf("the input to start with is shown: %t", begins)
			}
		})
	}
}

// The load's input is the plan's without its Mode, byte for byte otherwise.
func TestPlanGivesTheLoadsInput(t *testing.T) {
	for _, c := range []struct{ input, want string }{
		{`{"Mode":"plan"}`, `{}`},
		{`{"Mode": "plan", "Bucket":"b"}`, `{"Bucket":"b"}`},
		{`{"Bucket":"b","Mode":"plan","Since":12345678901234567890,"Tables":["A","\u00e9"]}`, `{"Bucket":"b","Since":12345678901234567890,"Tables":["A","\u00e9"]}`},
	} {
		p := ready()
		p.Input = []byte(c.input)
		got, err := p.Complete()
		if err != nil {
			t.Fatal(err)
		}
		if string(got.LoadInput) != c.want {
			t.Errorf("%s: got %s, want %s", c.input, got.LoadInput, c.want)
		}
	}
}

// Names cannot leave their place, and nothing is fetched.
func TestPlanIsSafeToOpen(t *testing.T) {
	for name, p := range plans() {
		page := planHTML(t, p)
		for _, bad := range []string{"<script", "<img", "http://", "https://", "src=", "url(http", "\x1b", "\x00", "\u202e", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		text := p.Text(100)
		if strings.ContainsAny(text, "\x1b\x00\u202e") {
			t.Errorf("%s: the text has control characters", name)
		}
		if p.Estimate != nil && !strings.Contains(text, p.Estimate.PricesAsOf) {
			t.Errorf("%s: the text does not date its prices", name)
		}
	}
	for _, line := range strings.Split(ready().Text(100), "\n") {
		if utf8.RuneCountInString(line) > 100 {
			t.Errorf("a line of %d: %s", utf8.RuneCountInString(line), line)
		}
	}
}

// predictedLoad is a load that was planned before it ran.
func predictedLoad(basis estimate.Basis) report.Load {
	l := clean()
	l.Phases = []report.Phase{
		{Name: "read and map", Started: at(0), Finished: at(100)},
		{Name: "import", Started: at(110), Finished: at(300)},
		{Name: "visible", Started: at(310), Finished: at(311)},
	}
	l.Predicted = prediction(basis)
	l.Unload = &report.Unload{Statement: "SELECT godwit.unload('3f9a61c07d52be84')", Command: "make unload LOAD=3f9a61c07d52be84"}
	return l
}

// A step that two passes share is predicted as the longer of them; the sum is of
// the steps that were timed, from the first one's beginning to the last one's end.
func TestPredictedBesideActual(t *testing.T) {
	l := predictedLoad(estimate.Surveyed)
	page := html(t, l)
	for _, want := range []string{
		"planned on 2026-11-22 20:14:03 UTC, by reading every block",
		// read and map 1.5 min, count 1 min at the same time; 0.5 and 0.25 USD.
		`<th scope="row">read and map and count</th><td class="n">1 min 40 s</td><td class="n">90 s</td><td class="n">45 s to 6 min</td><td class="n">0.75 USD</td>`,
		`<th scope="row">import</th><td class="n">3 min 10 s</td><td class="n">4 min</td>`,
		// 1.5 + 4 + 0.1 minutes; 0.75 + 1.5 + 0.01 USD; 311 s.
		`<th scope="row">From first to last</th><td class="n">5 min 11 s</td><td class="n">6 min</td><td class="n">3 min to 22 min</td><td class="n">2.26 USD</td>`,
		"SELECT godwit.unload(&#39;3f9a61c07d52be84&#39;)", "make unload LOAD=3f9a61c07d52be84",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("report.html lacks %s", want)
		}
	}
	golden(t, "predicted.html", []byte(page))
	golden(t, "predicted.txt", []byte(l.Text(100)))
	if page := html(t, predictedLoad(estimate.Sized)); !strings.Contains(page, "estimated from the archive&#39;s size") {
		t.Error("the report does not say that there was no survey")
	}
}
