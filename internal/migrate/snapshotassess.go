package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/estimate"
	"godwit/internal/profile"
	"godwit/internal/report"
	"godwit/internal/snapshot"
)

// An AssessIn is what an assessment is made of, beside the decision.
type AssessIn struct {
	assess.Input
	DSQL  bool           // the target is Aurora DSQL, as far as prices go
	GiB   int64          // of the snapshot; 0 is not known
	Parts []PlannedTable // of the export, by the index of the decision's plans; nil before there is one
	Place estimate.Place
	Now   time.Time
}

// Assess tells people and programs what becomes of a database, and what the load
// would take.
func Assess(in AssessIn, d *assess.Decision) (report.Assessment, error) {
	var a report.Assessment
	a.Finished = in.Now
	a.Source = report.MovedSource{Database: in.Database, Catalog: in.Catalog != nil, GiB: in.GiB}
	if c := in.Catalog; c != nil {
		a.Source.Database, a.Source.Server = cmp.Or(in.Database, c.Database), fmt.Sprintf("PostgreSQL %d", c.Server/10000)
	}
	a.Target = report.MovedTarget{Profile: in.Profile.Name, AsOf: in.Profile.AsOf}
	a.Known = facts(in.Profile)
	for _, f := range d.Findings {
		x := report.Decision{Column: f.Column, Name: f.Name, Kind: f.Kind, Fate: report.Fate(f.Verdict), Why: f.Why, Do: f.Do}
		if f.Table != (change.TableName{}) {
			x.Table = spelled(f.Table)
		}
		a.Decisions = append(a.Decisions, x)
	}
	reckoned := estimate.SnapshotFacts{GiB: in.GiB, DSQL: in.DSQL, Place: in.Place}
	for i := range d.Plans {
		t, fact := in.table(&d.Plans[i])
		if in.Parts != nil {
			fact.Bytes, fact.Packed = in.Parts[i].Bytes, true
			if t.Bytes < 0 {
				t.Bytes = in.Parts[i].Bytes
			}
		}
		a.Tables = append(a.Tables, t)
		reckoned.Tables = append(reckoned.Tables, fact)
		if sql := assess.KeySQL(&d.Plans[i]); sql != "" {
			a.Keys = append(a.Keys, report.KeyRule{Table: t.Source, SQL: sql})
		}
	}
	a.Tables = append(a.Tables, in.left(d)...)
	e, err := estimate.MakeSnapshot(reckoned)
	if err != nil {
		return a, err
	}
	e.Made = in.Now.UTC()
	a.Estimate = &e
	return a, nil
}

func spelled(t change.TableName) string { return t.Schema + "." + t.Name }

// table is a table that is loaded.
func (in *AssessIn) table(plan *change.TablePlan) (report.MovedTable, estimate.SnapshotTable) {
	t := report.MovedTable{Source: spelled(plan.Source), Target: spelled(plan.Target), Key: plan.Key, Indexes: len(plan.Indexes), Foreign: len(plan.Foreign), Rows: -1, Bytes: -1}
	used := map[string]bool{}
	for _, c := range plan.Columns {
		x := report.MovedColumn{Target: c.Name, TargetType: c.Type, By: byWhat(c.As, len(c.From))}
		var names, types []string
		for _, f := range c.From {
			used[f.Name] = true
			names, types = append(names, f.Name), append(types, f.Type)
		}
		x.Source, x.SourceType = strings.Join(names, ", "), strings.Join(types, ", ")
		t.Columns = append(t.Columns, x)
	}
	source := in.columns(plan.Source)
	for _, c := range source {
		if !used[c.Source] {
			t.Columns = append(t.Columns, c)
		}
	}
	// In the source's order, what the target alone has behind them.
	place := func(c report.MovedColumn) int {
		i := slices.IndexFunc(source, func(s report.MovedColumn) bool { return s.Source == c.Source })
		if i < 0 {
			return len(source)
		}
		return i
	}
	slices.SortStableFunc(t.Columns, func(a, b report.MovedColumn) int { return cmp.Compare(place(a), place(b)) })
	if in.Catalog != nil {
		t.Rows, t.Bytes = sized(in.Catalog, plan.Source)
	}
	return t, estimate.SnapshotTable{Rows: t.Rows, Bytes: t.Bytes, Indexes: int64(t.Indexes), Foreign: int64(t.Foreign)}
}

// columns are those of a table of the source.
func (in *AssessIn) columns(name change.TableName) (list []report.MovedColumn) {
	if in.Catalog != nil {
		if t := in.Catalog.Table(name); t != nil {
			for _, c := range t.Columns {
				list = append(list, report.MovedColumn{Source: c.Name, SourceType: cmp.Or(c.Domain, c.Type.Name)})
			}
			return list
		}
	}
	for _, t := range in.Export {
		if t.Name == name {
			for _, c := range t.Columns {
				list = append(list, report.MovedColumn{Source: c.Name, SourceType: c.Type})
			}
		}
	}
	return list
}

// sized is what the source estimates of a table: of one with partitions, those of
// them.
func sized(c *catalog.Catalog, name change.TableName) (rows, bytes int64) {
	t := c.Table(name)
	if t == nil {
		return -1, -1
	}
	if t.Kind != catalog.Partitioned {
		return t.Rows, t.Bytes
	}
	for i := range c.Tables {
		if p := c.Tables[i].PartitionOf; p != nil && *p == name {
			r, b := sized(c, c.Tables[i].TableName())
			bytes += max(b, 0)
			if r < 0 || rows < 0 {
				rows = -1
			} else {
				rows += r
			}
		}
	}
	return rows, bytes
}

// left are the tables of the source that are not loaded; partitions come with the
// table that they are of.
func (in *AssessIn) left(d *assess.Decision) (list []report.MovedTable) {
	planned := map[change.TableName]bool{}
	for _, p := range d.Plans {
		planned[p.Source] = true
		for _, part := range p.Partitions {
			planned[part] = true
		}
	}
	add := func(name change.TableName) {
		if planned[name] {
			return
		}
		planned[name] = true
		t := report.MovedTable{Source: spelled(name), Columns: in.columns(name), Rows: -1, Bytes: -1}
		if in.Catalog != nil {
			t.Rows, t.Bytes = sized(in.Catalog, name)
		}
		list = append(list, t)
	}
	if in.Catalog != nil {
		for i := range in.Catalog.Tables {
			if t := &in.Catalog.Tables[i]; t.PartitionOf == nil {
				add(t.TableName())
			} else {
				planned[t.TableName()] = true
			}
		}
	}
	for _, t := range in.Export {
		add(t.Name)
	}
	return list
}

// byWhat is a conversion in words.
func byWhat(as change.Conversion, from int) string {
	switch as.Kind {
	case change.AsText:
		return "to text, as PostgreSQL writes it"
	case change.AsFit:
		return "if it fits exactly; the row is refused otherwise"
	case change.AsUUID:
		if from > 1 {
			return "to a UUID of the key of " + spelled(as.Of) + ", of several columns"
		}
		return "to a UUID of the key of " + spelled(as.Of)
	}
	return ""
}

// facts are what a profile knows of its target, and from where.
func facts(p *profile.Profile) (list []report.TargetFact) {
	add := func(name, value string, f profile.Fact) {
		list = append(list, report.TargetFact{Name: spaced(name), Value: value, Source: f.Source, AsOf: f.AsOf, Doubtful: f.Doubtful})
	}
	for _, name := range p.Limits() {
		l := p.Limit(name)
		value := "no limit"
		if l.Value > 0 {
			value = fmt.Sprint(l.Value)
		}
		add(string(name), value, l.Fact)
	}
	for _, name := range p.Features() {
		f := p.Feature(name)
		add(string(name), map[bool]string{true: "yes", false: "no"}[f.Has], f.Fact)
	}
	return list
}

// spaced spells a name like rowsPerTransaction as words.
func spaced(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// here is the place that a function estimates for: all functions of an environment
// are alike.
func here(region string, memoryMB int64) estimate.Place {
	p := estimate.Place{Region: region, MemoryMB: memoryMB, Architecture: "arm64"}
	if runtime.GOARCH == "amd64" {
		p.Architecture = "x86_64"
	}
	return p
}

// assess writes what becomes of the database, for programs and for people.
func (p *PlanSnapshot) assess(ctx context.Context, in PlanSnapshotIn, plan *SnapshotPlan, run snapshotRun, about assess.Input, d *assess.Decision, export SnapshotExport, odd []snapshot.Finding) error {
	a, err := Assess(AssessIn{Input: about, DSQL: p.DSQL, GiB: in.Preflight.GiB, Parts: plan.Tables, Place: here(p.Region, p.MemoryMB), Now: p.Now()}, d)
	if err != nil {
		return err
	}
	a.LoadID, a.Execution, a.Mapping = plan.LoadID, in.Execution, report.Mapping{From: in.Input.Mapping, SHA256: run.rulesSum}
	if a.Input, err = json.Marshal(in.Input); err != nil {
		return err
	}
	a.Source.Snapshot, a.Source.Taken, a.Source.Task = in.Input.Snapshot, plan.SnapshotTime, export.Task
	a.Source.Export = "s3://" + plan.Place.Bucket + "/" + plan.Place.Prefix
	a.Target.Cluster, a.Target.Probed = p.Cluster, plan.Probed
	a.Estimate.LoadID = plan.LoadID
	a.Findings = slices.Concat(oddFindings(odd, in.Input.AcceptSkipped), skippedFindings(plan.Skipped), preflightFindings(in.Preflight.Warnings))
	if a, err = a.Complete(); err != nil {
		return err
	}
	return putPages(ctx, p.Objects, p.WorkBucket, snapshotKey(plan.LoadID, assessmentFile), a.JSON, snapshotKey(plan.LoadID, assessmentPage), a.HTML)
}

// putPages stores a report for programs and the same for people.
func putPages(ctx context.Context, o Objects, bucket, file string, programs func() ([]byte, error), page string, people func() ([]byte, error)) error {
	for _, x := range []struct {
		key, kind string
		write     func() ([]byte, error)
	}{{file, "application/json", programs}, {page, "text/html; charset=utf-8", people}} {
		body, err := x.write()
		if err != nil {
			return err
		}
		if err := o.Put(ctx, bucket, x.key, body, x.kind, ""); err != nil {
			return err
		}
	}
	return nil
}

// oddFindings are findings about an export, by whether the input accepts that data may be
// missing.
func oddFindings(odd []snapshot.Finding, accept bool) (list []report.Finding) {
	for _, f := range odd {
		x := report.Finding{Code: f.What, Severity: report.Error, Text: cmp.Or(f.Table, "The export") + ": " + f.Text, Next: "Take the export again, or accept it with \"AcceptSkipped\": true."}
		switch {
		case f.What == snapshot.Strange:
			x.Severity, x.Next = report.Note, ""
		case accept:
			x.Severity, x.Next = report.Warning, "Look for what is missing in the source: the input accepts it."
		}
		list = append(list, x)
	}
	return list
}

// skippedFindings are what RDS says that it left out, and the input accepted.
func skippedFindings(skipped []string) (list []report.Finding) {
	for _, text := range skipped {
		list = append(list, report.Finding{Code: "skipped", Severity: report.Warning, Text: "RDS left this out of the export, as the input accepts: " + text, Next: "Move it by other means, or mend the cause in the source and take another snapshot."})
	}
	return list
}

func preflightFindings(warnings []string) (list []report.Finding) {
	for _, text := range warnings {
		list = append(list, report.Finding{Code: "preflight", Severity: report.Note, Text: strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):] + "."})
	}
	return list
}
