package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"

	"godwit/internal/change"
	"godwit/internal/estimate"
	"godwit/internal/mapping"
	"godwit/internal/report"
)

// plan writes the report of plan mode: what the survey found, what a load would
// take and cost, and columns for tables that have none.
func (r *Report) plan(ctx context.Context, in ReportIn) (ReportOut, error) {
	s, err := readSurvey(ctx, r.Objects, r.WorkBucket, in.LoadId)
	if err != nil {
		return ReportOut{}, err
	}
	draft, err := mapping.AddDrafts(s.plan.Mapping, s.shapes)
	if err != nil {
		return ReportOut{}, &Stop{fmt.Errorf("draft columns for tables without rules: %w", err)}
	}
	predicted, err := r.estimate(in.LoadId, s.facts())
	if err != nil {
		return ReportOut{}, err
	}
	input, err := json.Marshal(s.plan.Input)
	if err != nil {
		return ReportOut{}, err
	}
	d := report.Plan{
		LoadID: in.LoadId, Execution: in.Execution, Input: input, Mapping: mappingOf(s.plan), Finished: r.Now(),
		Archive: s.archive(), Target: r.target(s.plan), Missing: in.Preflight.Missing, Warnings: in.Preflight.Warnings,
		MoreStops: s.untold, Unread: s.unread, NeverFound: s.neverFound(), Findings: append(s.namedUnseen(), s.droppedUnseen()...),
		Estimate: predicted,
	}
	for _, f := range s.findings {
		d.Stops = append(d.Stops, report.PlannedStop{Object: f.Object, Block: f.Block, Text: f.Text})
	}
	types, err := readTypes(ctx, r.Objects, r.WorkBucket, s.plan)
	if err != nil {
		return ReportOut{}, err
	}
	d.Untyped = untyped(s.typed(types), s.untyped)
	for _, n := range s.redact {
		d.Redactions += n
	}
	d.KeepRedacted = !s.plan.Input.applyRedactions()
	d.Quarantine.Total = s.total.Quarantined
	for _, a := range s.quarantined {
		d.Quarantine.First = append(d.Quarantine.First, listedAside(a))
	}
	if d.Tables, err = s.planned(draft); err != nil {
		return ReportOut{}, err
	}
	out := ReportOut{Minutes: &predicted.Minutes, USD: &predicted.USD, Missing: in.Preflight.Missing}
	if len(draft.Notes) > 0 {
		out.Draft = "s3://" + r.WorkBucket + "/" + draftKey(in.LoadId)
		d.Draft = report.Draft{Where: out.Draft, Mapping: draft.File}
		if err := r.Objects.Put(ctx, r.WorkBucket, draftKey(in.LoadId), draft.File, "application/json", ""); err != nil {
			return ReportOut{}, err
		}
	}
	// The load of this plan looks for its prediction, and for nothing else of it.
	if err := putJSON(ctx, r.Objects, r.WorkBucket, estimateKey(in.LoadId), predicted); err != nil {
		return ReportOut{}, err
	}
	if d, err = d.Complete(); err != nil {
		return ReportOut{}, err
	}
	if err := r.put(ctx, in.LoadId, "plan-report", d.JSON, d.HTML); err != nil {
		return ReportOut{}, err
	}
	out.LoadId, out.Verdict, out.Said = in.LoadId, string(d.Verdict), d.Sentence
	out.Report = "s3://" + r.WorkBucket + "/" + reportKey(in.LoadId, "plan-report", "html")
	out.Read, out.Staged, out.Aside, out.Left = s.total.Read, s.total.Staged, s.total.Quarantined, s.total.Filtered
	return out, nil
}

// estimate makes the estimate of a load here and now.
func (r *Report) estimate(load string, f estimate.Facts) (*estimate.Estimate, error) {
	f.Place = estimate.Place{
		Region: r.Region, MemoryMB: r.MemoryMB, Transform: r.Scale.Transform, Tasks: r.Scale.Tasks, MinACU: r.Scale.MinACU, MaxACU: r.Scale.MaxACU,
		Architecture: "arm64",
	}
	if runtime.GOARCH == "amd64" { // all functions of an environment have one
		f.Place.Architecture = "x86_64"
	}
	e, err := estimate.Make(f)
	if err != nil {
		return nil, &Stop{err}
	}
	e.LoadID, e.Made = load, r.Now().UTC()
	return &e, nil
}

// facts is what is known of a load when its archive is planned.
func (p *Plan) facts() estimate.Facts {
	f := estimate.Facts{Largest: p.Largest, Exports: int64(len(p.Exports)), Items: int64(p.Items), NoHistory: !p.History, Typed: p.typed(), Hashes: p.hashFiles()}
	for _, k := range p.Kinds {
		f.Archive = append(f.Archive, estimate.Content{Format: k.Format, Gzip: k.Gzip, Objects: k.Objects, Bytes: k.Bytes})
	}
	return f
}

// facts is what is known of it when its archive is surveyed.
func (s *survey) facts() estimate.Facts {
	f := s.plan.facts()
	f.Survey, f.Asides = true, s.total.Quarantined
	f.Blocks, f.Unread = s.blocks+s.unread, s.unread
	if s.plan.Input.applyRedactions() {
		for _, n := range s.redact {
			f.Redactions += n
		}
	}
	for _, x := range s.targets {
		t := estimate.Table{Indexes: int64(len(x.Current.Indexes) + len(x.History.Indexes))}
		for _, source := range s.tables {
			if source.ID != "" && s.current[source.Name] == x.Current.Name {
				t.Revisions += source.Staged
				if source.Staged > 0 {
					t.Sources++
				}
				if v := s.volumes[source.ID]; v != nil {
					t.RowBytes += v.RowBytes
				}
			}
		}
		f.Tables = append(f.Tables, t)
	}
	return f
}

// planned is what would become of each ledger table.
func (s *survey) planned(draft mapping.Draft) ([]report.PlannedTable, error) {
	columns, err := drafted(draft)
	if err != nil {
		return nil, err
	}
	var out []report.PlannedTable
	at := map[string]int{}
	for _, t := range s.tables {
		name := t.Name
		if t.ID == "" {
			name = "(no table known)"
		}
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			notes, unmapped := draft.Notes[t.Name]
			x := report.PlannedTable{Name: name, Target: s.current[t.Name], Mapped: !unmapped, Notes: notes}
			if x.Target != "" && s.plan.History {
				x.History = s.history[t.Name]
			}
			if unmapped {
				x.Shape = shapePaths(s.shapes[t.Name], columns[t.Name])
			}
			out = append(out, x)
		}
		x := &out[i]
		x.Read += t.Read
		x.Staged += t.Staged
		x.Quarantined += t.Quarantined
		x.Filtered += t.Filtered
		if t.ID != "" {
			x.IDs = append(x.IDs, report.TableID{ID: t.ID, Active: s.live[t.ID], Revisions: t.Read})
		}
		if v := s.volumes[t.ID]; v != nil {
			x.Documents += v.Documents
			x.Deletions += v.Deletions
			x.RowBytes += v.RowBytes
		}
	}
	return out, nil
}

// A draftedColumn is a column of the rules that a draft adds.
type draftedColumn struct {
	Name string
	Path string
	Type string
}

// drafted reads the columns of the tables that a draft adds.
func drafted(d mapping.Draft) (map[string][]draftedColumn, error) {
	var m struct {
		Tables map[string]struct{ Columns json.RawMessage }
	}
	if err := json.Unmarshal(d.File, &m); err != nil {
		return nil, fmt.Errorf("read the drafted mapping: %w", err)
	}
	out := map[string][]draftedColumn{}
	for name := range d.Notes {
		var columns []draftedColumn
		if err := json.Unmarshal(m.Tables[name].Columns, &columns); err != nil {
			return nil, fmt.Errorf("read the drafted columns of table %s: %w", name, err)
		}
		out[name] = columns
	}
	return out, nil
}

// shapePaths lists the paths of a shape, each with the column that the draft has
// for it.
func shapePaths(s *mapping.Shape, columns []draftedColumn) []report.ShapePath {
	if s == nil {
		return nil
	}
	var out []report.ShapePath
	s.EachPath(func(path string, f *mapping.Field) {
		if path == "" {
			return
		}
		p := report.ShapePath{Path: path, Types: []report.TypeCount{}}
		for kind, n := range f.Kinds {
			if n > 0 {
				p.Types = append(p.Types, report.TypeCount{Type: change.Kind(kind).String(), Values: n})
			}
		}
		if i := slices.IndexFunc(columns, func(c draftedColumn) bool { return c.Path == path }); i >= 0 {
			p.Column, p.Type = columns[i].Name, columns[i].Type
		}
		out = append(out, p)
	})
	return out
}
