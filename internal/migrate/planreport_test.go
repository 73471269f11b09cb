package migrate_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"godwit/internal/config"
	"godwit/internal/estimate"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
	"godwit/internal/migrate"
	"godwit/internal/report"
)

// planTime is before the loads of a memoryTarget begin.
var planTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// reporter is the function that reports, at a time.
func (m *machine) reporter(now time.Time) *migrate.Report {
	return &migrate.Report{
		Objects: m.objects, Target: m.target, WorkBucket: workBucket, Cluster: "arn", Database: "db", Region: "eu-central-1",
		MemoryMB: 1769, Scale: config.Size{Transform: 40, Tasks: 4, MinACU: 2, MaxACU: 8}, Now: func() time.Time { return now },
	}
}

// planned plans the machine's input and returns the execution's output and the
// report.
func (m *machine) planned(preflight migrate.PreflightOut) (migrate.ReportOut, report.Plan) {
	m.t.Helper()
	p, _ := m.planMode()
	out, err := m.reporter(planTime).Handle(m.t.Context(), migrate.ReportIn{LoadId: p.LoadId, Mode: "plan", Preflight: preflight, Execution: "x"})
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := m.objects.read(workBucket, "loads/"+out.LoadId+"/plan-report.json")
	if err != nil {
		m.t.Fatal(err)
	}
	r, err := report.ParsePlan(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return pass[migrate.ReportOut](m.t, out), r
}

// A plan tells table by table what its load then does, and the load's report
// has what was predicted beside what it took.
func TestPlanReportIsWhatTheLoadReports(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"`+prefix+`","MaxQuarantined":9}`)
	m.generate(ledgergen.Options{Seed: 5, Documents: 300, Unmappable: 9, Prefix: prefix})
	m.objects.changing = func(key string) bool {
		return strings.Contains(key, "report.") || strings.HasSuffix(key, "/estimate.json")
	}
	out, plan := m.planned(migrate.PreflightOut{Warnings: []string{"steadier from 2 on"}})
	if out.Verdict != string(report.ReadyWithFindings) || out.Unload != "" || out.Missing != nil {
		t.Errorf("got output %+v", out)
	}
	if plan.Estimate.Region != "eu-central-1" || plan.Estimate.Basis != estimate.Surveyed || out.Minutes.Likely != plan.Estimate.Minutes.Likely || out.USD.High != plan.Estimate.USD.High {
		t.Errorf("got estimate %+v, output %+v", plan.Estimate, out)
	}
	loaded, l := m.mustRun()
	if loaded.LoadId != out.LoadId {
		t.Fatalf("planned load %s, loaded %s", out.LoadId, loaded.LoadId)
	}
	if loaded.Read != out.Read || loaded.Staged != out.Staged || loaded.Aside != out.Aside || loaded.Left != out.Left {
		t.Errorf("planned %+v, loaded %+v", out, loaded)
	}
	if len(plan.Tables) != len(l.Tables) {
		t.Fatalf("planned %d tables, loaded %d", len(plan.Tables), len(l.Tables))
	}
	unmapped := 0
	for i, p := range plan.Tables {
		x := l.Tables[i]
		if p.Name != x.Name || p.Target != x.Target || p.History != x.History || p.Read != x.Read || p.Staged != x.Staged || p.Quarantined != x.Quarantined || p.Filtered != x.Filtered {
			t.Errorf("planned %+v\nloaded %+v", p, x)
		}
		if p.Target != "" && p.Staged > 0 && p.RowBytes == 0 {
			t.Errorf("table %s has rows of no bytes", p.Name)
		}
		if !p.Mapped {
			unmapped++
			if len(p.Shape) == 0 {
				t.Errorf("table %s has no rules and no shape", p.Name)
			}
		}
	}
	if unmapped == 0 || out.Draft == "" {
		t.Errorf("%d tables without rules, draft %q", unmapped, out.Draft)
	}
	if plan.Archive.Kinds[0].Class != "STANDARD" || plan.Archive.Kinds[0].Format != "ION_BINARY" {
		t.Errorf("got kinds %+v", plan.Archive.Kinds)
	}
	// The draft is a mapping that can be loaded with.
	key := strings.TrimPrefix(out.Draft, "s3://"+workBucket+"/")
	draft, err := m.objects.read(workBucket, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mapping.Parse(draft); err != nil {
		t.Errorf("the draft is no mapping: %v", err)
	}
	// The load's report.
	if l.Predicted == nil || l.Predicted.Basis != estimate.Surveyed || l.Predicted.Minutes != plan.Estimate.Minutes {
		t.Errorf("what was predicted is not what was planned: %+v", l.Predicted)
	}
	if want := "SELECT godwit.unload('" + out.LoadId + "')"; loaded.Unload != want || l.Unload.Statement != want || !strings.Contains(l.Unload.Command, "LOAD="+out.LoadId) {
		t.Errorf("the way back is %q and %+v", loaded.Unload, l.Unload)
	}
	// A plan that was made after a load did not predict it.
	if _, err := m.reporter(time.Now().Add(24*time.Hour)).Handle(t.Context(), migrate.ReportIn{LoadId: out.LoadId, Mode: "plan"}); err != nil {
		t.Fatal(err)
	}
	if _, l = m.mustRun(); l.Predicted.Basis != estimate.Sized {
		t.Errorf("a plan of %s is taken for a prediction", l.Predicted.Made)
	}
}

// Without a plan the report predicts from what the load knew before it read.
func TestReportPredictsWithoutAPlan(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"`+prefix+`"}`)
	m.generate(ledgergen.Options{Seed: 5, Documents: 50, Prefix: prefix})
	_, l := m.mustRun()
	if l.Predicted == nil || l.Predicted.Basis != estimate.Sized || l.Predicted.Minutes.Likely <= 0 {
		t.Error("there is no estimate by size")
	}
}

// What would stop the load, and what preflight misses, makes the plan not ready;
// it is told with what mends it, and no value of the ledger is.
func TestPlanReportTellsWhatIsMissing(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"`+prefix+`"}`)
	m.generate(ledgergen.Options{Seed: 5, Documents: 100, Unmappable: 4, Prefix: prefix})
	out, plan := m.planned(migrate.PreflightOut{Missing: []string{"the Data API of cluster c is off: aws rds enable-http-endpoint"}})
	if out.Verdict != string(report.NotReady) || len(out.Missing) != 1 || plan.Quarantine.Total != 4 {
		t.Errorf("got %+v with %d set aside", out, plan.Quarantine.Total)
	}
	text := plan.Text(200)
	for _, want := range []string{"enable-http-endpoint", "4 revisions do not map exactly", `"MaxQuarantined": 4`, "Mend what is listed, then plan again"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	var state map[string]any
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &state); err != nil || bytes.Contains(b, []byte("null")) {
		t.Errorf("the output is %s (%v)", b, err)
	}
}

// What plan mode writes holds names, counts and types, and no value of a document:
// the survey and its turns, the report, the draft, the estimate.
func TestPlanModeKeepsNoValue(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"`+prefix+`"}`)
	m.generate(ledgergen.Options{Seed: 5, Documents: 150, Unmappable: 6, Prefix: prefix, Format: ledgergen.JSON})
	values := map[string]bool{}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, x := range v {
				collect(x)
			}
		case []any:
			for _, x := range v {
				collect(x)
			}
		case string:
			if len(v) > 5 {
				values[v] = true
			}
		}
	}
	for name, body := range m.objects.under(archiveBucket) {
		for d := json.NewDecoder(strings.NewReader(body)); strings.HasSuffix(name, ".json") && d.More(); {
			var b struct{ Revisions []struct{ Data any } }
			if err := d.Decode(&b); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Revisions {
				collect(r.Data)
			}
		}
	}
	if len(values) < 200 {
		t.Fatalf("only %d values were found to look for", len(values))
	}
	m.planned(migrate.PreflightOut{})
	written := m.objects.under(workBucket)
	if len(written) < 5 {
		t.Errorf("only %d objects were written", len(written))
	}
	for name, body := range written {
		for v := range values {
			if strings.Contains(body, v) {
				t.Errorf("object %s has the value %q", name, v)
			}
		}
	}
}
