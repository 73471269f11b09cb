package migrate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/mapping"
	"godwit/internal/migrate"
	"godwit/internal/profile"
	"godwit/internal/report"
	"godwit/internal/verify"
)

// assessed is the assessment of a database with a table of every fate.
func assessed(t *testing.T) (report.Assessment, *assess.Decision) {
	t.Helper()
	column := func(name, typ string) catalog.Column {
		return catalog.Column{Name: name, Type: catalog.Type{Name: typ, Class: catalog.Base, Builtin: true}}
	}
	table := func(name string, rows int64, columns ...catalog.Column) catalog.Table {
		return catalog.Table{Schema: "app", Name: name, Kind: catalog.Ordinary, Columns: columns, Rows: rows, Bytes: rows * 100}
	}
	orders := table("orders", 50, column("id", "bigint"), column("note", "text"), column("total", "numeric"), column("net", "inet"))
	orders.Key = &catalog.Key{Name: "orders_pkey", Columns: []string{"id"}}
	events := table("events", -1, column("id", "bigint"))
	events.Kind = catalog.Partitioned
	first, second := table("events_1", 7, column("id", "bigint")), table("events_2", 8, column("id", "bigint"))
	first.PartitionOf, second.PartitionOf = &change.TableName{Schema: "app", Name: "events"}, &change.TableName{Schema: "app", Name: "events"}
	fast := table("fast", 3, column("id", "bigint"))
	fast.Unlogged = true
	known := &catalog.Catalog{
		Version: 1, Server: 160004, Database: "shop", Encoding: "UTF8", Collate: "C", Monetary: "C",
		Tables: []catalog.Table{orders, events, first, second, fast, table("scratch", 9, column("id", "bigint"))},
	}
	rules, err := mapping.ParseTables([]byte(`{"version": 1, "from": "postgresql", "tables": {"app.scratch": {"skip": true}, "app.orders": {"key": "uuid", "target": "purchases", "columns": {"note": {"skip": true}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	target, err := profile.Lookup("aurora-dsql")
	if err != nil {
		t.Fatal(err)
	}
	in := assess.Input{Catalog: known, Rules: rules, Profile: target}
	d, err := assess.Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	a, err := migrate.Assess(migrate.AssessIn{Input: in, DSQL: true, Now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}, d)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = a.Complete(); err != nil {
		t.Fatal(err)
	}
	return a, d
}

// Every table and column of the source is told of once, whether it is loaded or not.
func TestAssessmentTellsOfEveryTableAndColumn(t *testing.T) {
	a, _ := assessed(t)
	var got []string
	for _, x := range a.Tables {
		got = append(got, fmt.Sprintf("%s > %s: %s, about %d rows", x.Source, x.Target, x.Fate, x.Rows))
		for _, c := range x.Columns {
			got = append(got, fmt.Sprintf("  %s %s > %s %s: %s", c.Source, c.SourceType, c.Target, c.TargetType, c.Fate))
		}
	}
	want := []string{
		"app.events > app.events: convert, about 15 rows", // of its partitions
		"  id bigint > id bigint: keep",
		"app.fast > : refuse, about 3 rows",
		"  id bigint >  : leave out",
		"app.orders > app.purchases: convert, about 50 rows",
		"  id bigint > id uuid: convert",
		"  note text >  : leave out",
		"  total numeric > total numeric(38,9): convert",
		"  net inet > net text: convert",
		"app.scratch > : leave out, about 9 rows",
		"  id bigint >  : leave out",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if a.Verdict != report.NotMovable || len(a.Keys) != 1 || !strings.Contains(a.Keys[0].SQL, "sha256") || a.Source.Server != "PostgreSQL 16" || a.Estimate == nil {
		t.Errorf("got %s, %d keys, %s", a.Verdict, len(a.Keys), a.Source.Server)
	}
	for _, f := range a.Known {
		if f.Source == "" || f.AsOf == "" || f.Value == "" {
			t.Errorf("fact %+v", f)
		}
	}
	if len(a.Known) < 20 {
		t.Errorf("%d facts of the target", len(a.Known))
	}
}

// The report has what the steps left: rows, the comparison, what was put right, and
// when phases began.
func TestSnapshotReportHasWhatTheStepsLeft(t *testing.T) {
	a, d := assessed(t)
	o := newObjects(t)
	began := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	put := func(file string, v any) {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		o.set(workBucket, "snapshots/abc/"+file, b)
	}
	a.LoadID, a.Decisions, a.Findings = "abc", nil, nil // as of a load that nothing stops
	text, err := a.JSON()
	if err != nil {
		t.Fatal(err)
	}
	o.set(workBucket, "snapshots/abc/assessment.json", text)
	at := func(name string) int {
		return slices.IndexFunc(d.Plans, func(p change.TablePlan) bool { return p.Source.Name == name })
	}
	plan := migrate.SnapshotPlan{LoadID: "abc", Plans: d.Plans, Items: 2, ExportBegan: "2026-11-23T05:00:00.000Z", ExportEnded: "2026-11-23T05:50:00.000Z"}
	put("plan.json", plan)
	for i, name := range []string{"events", "orders"} {
		put(fmt.Sprintf("segments/%08d.json", i), migrate.SnapshotSegment{Item: i, Table: at(name), Rows: 10, Counts: change.Counts{Loaded: 8, Filtered: 2}})
		put(fmt.Sprintf("evidence/source/%08d.json", i), migrate.SnapshotEvidence{Item: i, Table: at(name), Rows: 10, Sums: &verify.RowSums{}})
	}
	for i, phase := range []string{"tables", "rows", "indexes", "digests", "visible"} {
		put("tasks/"+phase+".began.json", migrate.PhaseBegan{At: began.Add(time.Duration(i) * time.Minute)})
	}
	verdict := migrate.SnapshotVerdict{Equal: true, Judged: began.Add(5 * time.Minute)}
	for _, p := range d.Plans {
		verdict.Tables = append(verdict.Tables, migrate.TableVerdict{Source: p.Source, Target: p.Target, Rows: 8, Found: 8})
	}
	orders := &verdict.Tables[at("orders")]
	verdict.Repaired = []migrate.TableRepair{{Source: orders.Source, Target: orders.Target, Rows: 2, Listed: []verify.Difference{{Kind: verify.RowMissing, Key: []string{"7"}}}}}
	put("verdict.json", verdict)
	read := func() (migrate.ReportSnapshotOut, report.Snapshot) {
		t.Helper()
		h := &migrate.ReportSnapshot{Objects: o, WorkBucket: workBucket, Now: func() time.Time { return began.Add(time.Hour) }}
		out, err := h.Handle(context.Background(), migrate.ReportSnapshotIn{LoadId: "abc", Execution: "x"})
		if err != nil {
			t.Fatal(err)
		}
		text, err := o.read(workBucket, "snapshots/abc/report.json")
		if err != nil {
			t.Fatal(err)
		}
		s, err := report.ParseSnapshot(text)
		if err != nil {
			t.Fatal(err)
		}
		return out, s
	}
	out, s := read()
	if !out.Equal || out.Rows != 16 || out.Tables != 2 || !strings.HasSuffix(out.Report, "/snapshots/abc/report.html") || !strings.HasSuffix(out.Data, "/snapshots/abc/report.json") || out.Verdict != string(report.ArrivedWithFindings) {
		t.Errorf("the output is %+v", out)
	}
	if page, err := o.read(workBucket, "snapshots/abc/report.html"); err != nil || !strings.Contains(string(page), "app.purchases") {
		t.Errorf("the page: %v", err)
	}
	times := report.SnapshotTimes{ExportBegan: began.Add(-time.Hour), ExportEnded: began.Add(-10 * time.Minute), LoadBegan: began, VerifyBegan: began.Add(3 * time.Minute), VerifyEnded: began.Add(5 * time.Minute)}
	if s.Times != times || len(s.Phases) != 5 || s.Phases[0].Rows != 16 || !s.Phases[4].Finished.Equal(verdict.Judged) {
		t.Errorf("times %+v, phases %+v", s.Times, s.Phases)
	}
	for _, x := range s.Tables {
		loaded := x.Source == "app.orders" || x.Source == "app.events"
		if (x.Account != nil) != loaded || loaded && (x.Account.Exported != 10 || x.Account.Loaded != 8 || x.Account.Filtered != 2 || !x.Account.Compared || x.Account.Found != 8) {
			t.Errorf("table %s: %+v", x.Source, x.Account)
		}
		if x.Source == "app.orders" && (x.Account.RepairedAll != 2 || len(x.Account.Repaired) != 1 || x.Account.Repaired[0].Key[0] != "7") {
			t.Errorf("what was put right: %+v", x.Account)
		}
	}

	// One that differs is told by table, key and column.
	verdict.Equal, verdict.Repaired = false, nil
	orders.Found, orders.Differing, orders.Differences = 7, []int{3}, 1
	orders.Listed = []verify.Difference{{Kind: verify.RowDifferent, Key: []string{"9"}, Columns: []verify.ColumnDifference{{Column: "total", Source: "4 bytes", Target: "NULL"}}}}
	put("verdict.json", verdict)
	out, s = read()
	if out.Equal || out.Verdict != string(report.Differs) {
		t.Errorf("the output is %+v", out)
	}
	for _, x := range s.Tables {
		if x.Source == "app.orders" && (len(x.Account.Listed) != 1 || x.Account.Listed[0].Columns[0].Column != "total" || x.Account.Differing != 1) {
			t.Errorf("what differs: %+v", x.Account)
		}
	}
}
