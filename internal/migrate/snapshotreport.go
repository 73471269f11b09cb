package migrate

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/assess"
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
	Published bool // before this execution
	Execution string
}

// ReportSnapshotOut is the execution's output.
type ReportSnapshotOut struct {
	LoadId string
	Report string // S3 URI
	Tables int
	Rows   int64 // loaded
	Equal  bool  // every row of the target was compared with the export
}

// A SnapshotReport is report.json.
type SnapshotReport struct {
	LoadID       string
	Execution    string
	Written      string // RFC 3339
	Snapshot     string `json:",omitempty"`
	Export       ExportPlace
	SnapshotTime string
	Database     string
	Profile      string
	Catalog      bool
	Tables       []TableAccount
	Verdict      SnapshotVerdict
	Findings     []assess.Finding
	Skipped      []string `json:",omitempty"`
	Warnings     []string `json:",omitempty"`
}

// Handle writes the report. It may be repeated.
func (r *ReportSnapshot) Handle(ctx context.Context, in ReportSnapshotIn) (ReportSnapshotOut, error) {
	out, err := r.handle(ctx, in)
	return out, Classify(err)
}

func (r *ReportSnapshot) handle(ctx context.Context, in ReportSnapshotIn) (ReportSnapshotOut, error) {
	plan, err := readSnapshotPlan(ctx, r.Objects, r.WorkBucket, in.LoadId)
	if err != nil {
		return ReportSnapshotOut{}, err
	}
	accounts, err := accountRows(ctx, r.Objects, r.WorkBucket, plan)
	if err != nil {
		return ReportSnapshotOut{}, err
	}
	report := SnapshotReport{
		LoadID: plan.LoadID, Execution: in.Execution, Written: r.Now().UTC().Format(time.RFC3339),
		Snapshot: plan.Input.Snapshot, Export: plan.Place, SnapshotTime: plan.SnapshotTime, Database: plan.Database, Profile: plan.Profile, Catalog: plan.Catalog,
		Tables: accounts, Findings: plan.Findings, Skipped: plan.Skipped, Warnings: in.Preflight.Warnings,
	}
	if err := readJSON(ctx, r.Objects, r.WorkBucket, snapshotKey(plan.LoadID, "verdict.json"), &report.Verdict); err != nil {
		return ReportSnapshotOut{}, err
	}
	key := snapshotKey(plan.LoadID, "report.json")
	if err := putJSON(ctx, r.Objects, r.WorkBucket, key, report); err != nil {
		return ReportSnapshotOut{}, err
	}
	out := ReportSnapshotOut{LoadId: plan.LoadID, Report: fmt.Sprintf("s3://%s/%s", r.WorkBucket, key), Tables: len(accounts), Equal: report.Verdict.Equal}
	for _, a := range accounts {
		out.Rows += a.Loaded
	}
	return out, nil
}
