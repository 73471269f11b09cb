package migrate

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
	"godwit/internal/report"
	"godwit/internal/verify"
)

// ReportSnapshot writes the report of a snapshot's load.
type ReportSnapshot struct {
	Objects    Objects
	WorkBucket string
	Now        func() time.Time
}

// ReportSnapshotIn is the load, and what the steps before it found.
type ReportSnapshotIn struct {
	LoadId    string
	Preflight SnapshotPreflightOut
	Execution string
}

// ReportSnapshotOut is the execution's output.
type ReportSnapshotOut struct {
	LoadId  string
	Verdict string
	Said    string // the verdict in a sentence
	Report  string // S3 URI of the report for people
	Data    string // S3 URI of the same for programs
	Tables  int
	Rows    int64 // loaded
	Equal   bool  // every row of the target was compared with the export
}

// The files of the report, below snapshots/<load id>/.
const (
	snapshotReportFile = "report.json"
	snapshotReportPage = "report.html"
)

// Handle writes the report for programs and the one for people. It may be repeated.
func (r *ReportSnapshot) Handle(ctx context.Context, in ReportSnapshotIn) (ReportSnapshotOut, error) {
	out, err := r.handle(ctx, in)
	return out, Classify(err)
}

func (r *ReportSnapshot) handle(ctx context.Context, in ReportSnapshotIn) (ReportSnapshotOut, error) {
	plan, err := readSnapshotPlan(ctx, r.Objects, r.WorkBucket, in.LoadId)
	if err != nil {
		return ReportSnapshotOut{}, err
	}
	return reportSnapshot(ctx, r.Objects, r.WorkBucket, plan, in, r.Now())
}

// reportSnapshot writes the report of a load whose rows were compared, equal or not.
func reportSnapshot(ctx context.Context, o Objects, bucket string, plan *SnapshotPlan, in ReportSnapshotIn, now time.Time) (ReportSnapshotOut, error) {
	none := ReportSnapshotOut{}
	text, err := readAll(ctx, o, bucket, snapshotKey(plan.LoadID, assessmentFile))
	if err != nil {
		return none, err
	}
	assessed, err := report.ParseAssessment(text)
	if err != nil {
		return none, &Stop{err}
	}
	accounts, err := accountRows(ctx, o, bucket, plan)
	if err != nil {
		return none, err
	}
	var verdict SnapshotVerdict
	if err := readJSON(ctx, o, bucket, snapshotKey(plan.LoadID, "verdict.json"), &verdict); err != nil {
		return none, err
	}
	s := report.Snapshot{Moved: assessed.Moved}
	s.Execution, s.Finished = cmp.Or(in.Execution, s.Execution), now
	for i := range s.Tables {
		t := &s.Tables[i]
		at := slices.IndexFunc(accounts, func(a TableAccount) bool { return spelled(a.Source) == t.Source })
		if at < 0 {
			continue // it is not loaded
		}
		t.Account = rowAccount(&accounts[at], &verdict)
	}
	if err := timed(ctx, o, bucket, plan, &verdict, &s); err != nil {
		return none, err
	}
	if s, err = s.Complete(); err != nil {
		return none, err
	}
	page, file := snapshotKey(plan.LoadID, snapshotReportPage), snapshotKey(plan.LoadID, snapshotReportFile)
	if err := putPages(ctx, o, bucket, file, s.JSON, page, s.HTML); err != nil {
		return none, err
	}
	out := ReportSnapshotOut{
		LoadId: plan.LoadID, Verdict: string(s.Verdict), Said: s.Sentence, Report: "s3://" + bucket + "/" + page, Data: "s3://" + bucket + "/" + file,
		Tables: len(accounts), Equal: verdict.Equal,
	}
	for _, a := range accounts {
		out.Rows += a.Loaded
	}
	return out, nil
}

// rowAccount is what became of the rows of a table, and how they compare.
func rowAccount(a *TableAccount, verdict *SnapshotVerdict) *report.RowAccount {
	out := &report.RowAccount{Exported: a.Rows, Loaded: a.Loaded, Quarantined: a.Refused, Filtered: a.Filtered}
	for _, v := range verdict.Tables {
		if v.Target == a.Target {
			out.Compared, out.Expected, out.Found = true, v.Rows, v.Found
			out.Differing, out.Differences, out.Unlisted = int64(len(v.Differing)), int64(v.Differences), v.Unlisted
			out.Listed = rowDifferences(v.Listed)
		}
	}
	for _, r := range verdict.Repaired {
		if r.Target == a.Target {
			out.RepairedAll += int64(r.Rows)
			out.Repaired = append(out.Repaired, rowDifferences(r.Listed)...)
		}
	}
	return out
}

func rowDifferences(list []verify.Difference) (out []report.RowDifference) {
	for _, d := range list {
		x := report.RowDifference{Kind: d.Kind, Key: d.Key}
		for _, c := range d.Columns {
			x.Columns = append(x.Columns, report.ValueDifference(c))
		}
		out = append(out, x)
	}
	return out
}

// phaseWords say what goes on from the beginning of a phase to that of the next one.
var phaseWords = map[string]string{
	phaseTables: "tables and rows", phaseRows: "account of the rows", change.BuildIndexes: "indexes", change.BuildForeignKeys: "foreign keys",
	phaseDigests: "digests of the target", phaseVisible: "comparison",
}

// timed tells how long the load took, by when its phases began for the first time.
func timed(ctx context.Context, o Objects, bucket string, plan *SnapshotPlan, verdict *SnapshotVerdict, s *report.Snapshot) error {
	s.Times.ExportBegan, s.Times.ExportEnded = awsTime(plan.ExportBegan), awsTime(plan.ExportEnded)
	s.Times.VerifyEnded = verdict.Judged
	folder := phaseBeganKey(plan.LoadID, "")
	folder = folder[:strings.LastIndexByte(folder, '/')+1]
	var names []string
	err := o.List(ctx, bucket, folder, func(key, _ string, _ int64, _ string) error {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(key, folder), beganSuffix); ok {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		var began PhaseBegan
		if err := readJSON(ctx, o, bucket, phaseBeganKey(plan.LoadID, name), &began); err != nil {
			return err
		}
		first, repeated := strings.CutSuffix(name, again)
		p := report.Phase{Name: cmp.Or(phaseWords[first], first), Started: began.At}
		if repeated {
			p.Name += ", again"
		}
		switch name {
		case phaseTables:
			s.Times.LoadBegan = began.At
			for _, t := range s.Tables {
				if t.Account != nil {
					p.Rows += t.Account.Loaded
				}
			}
		case phaseDigests:
			s.Times.VerifyBegan = began.At
		}
		s.Phases = append(s.Phases, p)
	}
	slices.SortStableFunc(s.Phases, func(a, b report.Phase) int { return a.Started.Compare(b.Started) })
	for i := range s.Phases {
		switch {
		case i+1 < len(s.Phases):
			s.Phases[i].Finished = s.Phases[i+1].Started
		case verdict.Judged.After(s.Phases[i].Started):
			s.Phases[i].Finished = verdict.Judged
		}
	}
	return nil
}

// awsTime reads a time as an export's metadata spells it, which no document says;
// the zero time where it is another spelling.
func awsTime(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999 MST", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "Jan 2, 2006, 3:04:05 PM"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return time.Time{}
}
