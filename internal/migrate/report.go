package migrate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
	"godwit/internal/config"
	"godwit/internal/estimate"
	"godwit/internal/journal"
	"godwit/internal/report"
	"godwit/internal/verify"
)

// Report writes the report that ends a load, or a plan.
type Report struct {
	Objects    Objects
	Target     Target // plan mode does not touch it
	WorkBucket string
	Cluster    string // ARN
	Database   string
	Region     string
	MemoryMB   int64       // of every function; 0 is not known
	Scale      config.Size // of the environment; its zero members are not known
	Now        func() time.Time
}

// ReportIn names the load and the execution.
type ReportIn struct {
	LoadId    string
	Mode      string       // "plan", or anything else for a load
	Preflight PreflightOut // plan mode
	Published bool         // the load was visible before this execution
	Execution string
}

// ReportOut is the output of the execution.
type ReportOut struct {
	LoadId  string
	Verdict string
	Said    string // the verdict in a sentence
	Report  string // S3 URI of the report for people
	Read    int64  // revisions
	Staged  int64
	Aside   int64 // quarantined
	Left    int64 // filtered

	Unload string `json:",omitempty"` // the statement that removes exactly this load

	// Of plan mode.
	Draft   string          `json:",omitempty"` // S3 URI of a mapping with columns for tables that have no rules
	Minutes *estimate.Range `json:",omitempty"` // that the load would take
	USD     *estimate.Range `json:",omitempty"` // that it would cost
	Missing []string        `json:",omitempty"` // what preflight misses
}

// Handle writes the report for programs and the one for people, of a load beside
// its plan. It may be repeated.
func (r *Report) Handle(ctx context.Context, in ReportIn) (ReportOut, error) {
	handle := r.handle
	if in.Mode == "plan" {
		handle = r.plan
	}
	out, err := handle(ctx, in)
	return out, Classify(err)
}

func (r *Report) handle(ctx context.Context, in ReportIn) (ReportOut, error) {
	l, err := readLoad(ctx, r.Objects, r.WorkBucket, in.LoadId)
	if err != nil {
		return ReportOut{}, err
	}
	d, err := r.data(ctx, l, in)
	if err != nil {
		return ReportOut{}, err
	}
	if d, err = d.Complete(); err != nil {
		return ReportOut{}, err
	}
	if err := r.put(ctx, in.LoadId, "report", d.JSON, d.HTML); err != nil {
		return ReportOut{}, err
	}
	return ReportOut{
		LoadId: in.LoadId, Verdict: string(d.Verdict), Said: d.Sentence,
		Report: "s3://" + r.WorkBucket + "/" + reportKey(in.LoadId, "report", "html"),
		Read:   l.total.Read, Staged: l.total.Staged, Aside: l.total.Quarantined, Left: l.total.Filtered,
		Unload: d.Unload.Statement,
	}, nil
}

// put writes both files of a report, the one that people open last.
func (r *Report) put(ctx context.Context, load, name string, programs, people func() ([]byte, error)) error {
	for _, x := range []struct {
		ext, kind string
		body      func() ([]byte, error)
	}{{"json", "application/json", programs}, {"html", "text/html; charset=utf-8", people}} {
		b, err := x.body()
		if err != nil {
			return err
		}
		if err := r.Objects.Put(ctx, r.WorkBucket, reportKey(load, name, x.ext), b, x.kind, ""); err != nil {
			return err
		}
	}
	return nil
}

// wayBack is what removes exactly this load. The environment's name is not known
// here; on one's own machine there is none.
func wayBack(load string) *report.Unload {
	return &report.Unload{
		Statement: "SELECT godwit.unload('" + load + "')",
		Command:   "make unload LOAD=" + load + " ENV=<environment>",
	}
}

func (r *Report) data(ctx context.Context, l *load, in ReportIn) (report.Load, error) {
	p := l.plan
	input, err := json.Marshal(p.Input)
	if err != nil {
		return report.Load{}, err
	}
	d := report.Load{
		LoadID: p.LoadID, Outcome: report.Visible, Execution: in.Execution, Input: input, Finished: r.Now(),
		Mapping: mappingOf(p), Archive: l.archive(), Target: r.target(p), Unload: wayBack(p.LoadID),
		NeverFound: l.neverFound(), Findings: append(l.namedUnseen(), l.droppedUnseen()...),
	}
	if in.Published {
		d.Outcome = report.Already
	}
	if d.Proof, err = r.proof(ctx, l); err != nil {
		return d, err
	}
	if err := r.tables(ctx, l, &d); err != nil {
		return d, err
	}
	if err := r.quarantine(ctx, l, &d); err != nil {
		return d, err
	}
	if err := r.times(ctx, l, &d); err != nil {
		return d, err
	}
	if d.Redacted, err = r.redacted(ctx, l); err != nil {
		return d, err
	}
	d.Predicted, err = r.predicted(ctx, l, d.Started)
	return d, err
}

func mappingOf(p *Plan) report.Mapping {
	return report.Mapping{From: cmp.Or(p.Input.Mapping, packaged), SHA256: p.MappingSHA256}
}

func (r *Report) target(p *Plan) report.Target {
	return report.Target{Cluster: r.Cluster, Database: r.Database, Schema: p.Schema, History: p.History}
}

// archive is the archive as it was planned and read.
func (l *load) archive() report.Archive {
	p := l.plan
	a := report.Archive{
		Bucket: p.Input.Bucket, Prefix: p.Input.Prefix, Strand: p.Strand, FirstBlock: p.First, LastBlock: p.Last,
		Blocks: l.blocks, Objects: int64(p.Objects), Bytes: p.Bytes, SystemRevisions: l.hashOnly, Unused: p.Unused,
	}
	for _, e := range p.Exports {
		a.Exports = append(a.Exports, report.Export{ID: e.ID, Objects: int64(e.Objects), Format: e.Announced})
	}
	for _, b := range p.Gaps {
		a.Gaps = append(a.Gaps, report.Blocks(b))
	}
	for _, b := range p.Overlaps {
		a.Overlaps = append(a.Overlaps, report.Blocks(b))
	}
	for _, k := range p.Kinds {
		a.Kinds = append(a.Kinds, report.Kind(k))
	}
	return a
}

func (l *load) neverFound() (out []report.MappingPath) {
	for _, m := range l.missing {
		out = append(out, report.MappingPath(m))
	}
	return out
}

// namedUnseen finds tables that the input chooses and the archive lacks.
func (l *load) namedUnseen() (out []report.Finding) {
	for _, name := range l.plan.Input.Tables {
		if !slices.ContainsFunc(l.tables, func(t SegmentTable) bool { return t.Name == name }) {
			out = append(out, report.Finding{
				Code: "table-not-found", Severity: report.Warning,
				Text: fmt.Sprintf("Tables names %s, of which the archive holds no revision.", name),
				Next: "Check its spelling: names of ledger tables tell capital letters from small ones.",
			})
		}
	}
	return out
}

// predicted is what was predicted of a load that began at a time: by the plan
// before it, or else of what the load itself knew before it read a block.
func (r *Report) predicted(ctx context.Context, l *load, began time.Time) (*estimate.Estimate, error) {
	e := &estimate.Estimate{}
	there := false
	key := estimateKey(l.plan.LoadID)
	// A role that may not list sees an absent object as a forbidden one.
	err := r.Objects.List(ctx, r.WorkBucket, key, func(string, string, int64, string) error { there = true; return nil })
	if err == nil && there {
		err = readJSON(ctx, r.Objects, r.WorkBucket, key, e)
	}
	if err != nil {
		return nil, err
	}
	if there && !e.Made.After(began) {
		return e, nil
	}
	return r.estimate(l.plan.LoadID, l.plan.facts())
}

// droppedUnseen finds tables that an archive without the ledger's beginning drops
// or brings back, and of which it holds no revision from before: their documents
// came with an earlier load, which this one does not change.
func (l *load) droppedUnseen() []report.Finding {
	if l.plan.First == 0 {
		return nil // a table without revisions never had documents
	}
	var out []report.Finding
	seen := map[string]bool{}
	for _, e := range l.events {
		known := func(t SegmentTable) bool {
			return t.ID != "" && (t.ID == e.TableID || t.Name == e.Name && t.FirstBlock <= e.Block)
		}
		if e.Kind == journal.TableCreated || slices.ContainsFunc(l.tables, known) || seen[e.Name+e.TableID] {
			continue
		}
		seen[e.Name+e.TableID] = true
		out = append(out, report.Finding{
			Code: "dropped-unseen", Severity: report.Warning,
			Text: fmt.Sprintf("Block %d holds %s %s, and the archive no earlier revision of that table: documents of it that an earlier load brought are as they were.", e.Block, e.Kind, e.Name+e.TableID),
			Next: "When an earlier load into this schema had the table, load the whole archive into a fresh schema instead.",
		})
	}
	return out
}

func (r *Report) tables(ctx context.Context, l *load, d *report.Load) error {
	evidence, err := readEvidence(ctx, r.Objects, r.WorkBucket, l.plan)
	if err != nil {
		return err
	}
	published, err := r.Target.Published(ctx, l.plan.LoadID)
	if err != nil {
		return err
	}
	stored, err := readBack(ctx, r.Target, l.plan.LoadID)
	if err != nil {
		return err
	}
	byCurrent := map[string]change.Published{}
	for _, t := range published {
		byCurrent[t.Table] = t
	}
	byName := map[string]*report.Table{}
	sums, held := map[string]*verify.Checksum{}, map[string]*verify.Checksum{}
	for _, t := range l.tables {
		name := t.Name
		if t.ID == "" {
			name = "(no table known)"
		}
		x := byName[name]
		if x == nil {
			x = &report.Table{Name: name, Target: l.current[t.Name], Evidence: &report.Evidence{}}
			if x.Target != "" {
				c := byCurrent[x.Target]
				x.Present, x.Documents, x.Current, x.Deleted, x.Dropped, x.Withheld = c.Present, c.Documents, c.Current, c.Deleted, c.Dropped, c.Withheld
				if l.plan.History {
					x.History = l.history[t.Name]
				}
			}
			byName[name], sums[name], held[name] = x, &verify.Checksum{}, &verify.Checksum{}
		}
		if t.ID != "" {
			x.IDs = append(x.IDs, report.TableID{ID: t.ID, Active: l.live[t.ID], Revisions: t.Read})
		}
		x.Read += t.Read
		x.Staged += t.Staged
		x.Quarantined += t.Quarantined
		x.Filtered += t.Filtered
		if e := evidence.Tables[t.ID]; e != nil {
			x.Evidence.Revisions += e.Revisions
			sums[name].Merge(e.Checksum)
			x.Evidence.Checksum = checksum(sums[name])
		}
		if t, ok := stored.Tables[t.ID]; ok && t.Checksum != nil {
			held[name].Merge(*t.Checksum)
		}
	}
	for name, x := range byName {
		if x.Read == x.Staged {
			// What was set aside or left out is not in the target's checksum.
			x.Evidence.Loader = checksum(held[name])
		} else {
			x.Evidence.Checksum = ""
		}
		d.Tables = append(d.Tables, *x)
	}
	slices.SortFunc(d.Tables, func(a, b report.Table) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func checksum(c *verify.Checksum) string { return fmt.Sprintf("%016x%016x", c.Xor, c.Sum) }

// listed is how many quarantined revisions a report shows.
const listed = 100

func (r *Report) quarantine(ctx context.Context, l *load, d *report.Load) error {
	d.Quarantine.Total = l.total.Quarantined
	if d.Quarantine.Total == 0 {
		return nil
	}
	d.Quarantine.Where = fmt.Sprintf("s3://%s/loads/%s/quarantine/", r.WorkBucket, l.plan.LoadID)
	for _, key := range l.asides {
		b, err := readAll(ctx, r.Objects, r.WorkBucket, key)
		if err != nil {
			return err
		}
		for lines := json.NewDecoder(bytes.NewReader(b)); lines.More(); {
			var a Aside
			if err := lines.Decode(&a); err != nil {
				return fmt.Errorf("read the quarantine list s3://%s/%s: %w", r.WorkBucket, key, err)
			}
			d.Quarantine.First = append(d.Quarantine.First, listedAside(a))
			if len(d.Quarantine.First) == listed {
				return nil
			}
		}
	}
	return nil
}

func listedAside(a Aside) report.Quarantined {
	return report.Quarantined{
		Table: a.Table, Document: a.Document, Version: a.Version, Object: a.Object, Block: a.Block,
		Revision: int64(a.Revision), Path: a.Path, Reason: a.Reason,
	}
}

func (r *Report) times(ctx context.Context, l *load, d *report.Load) error {
	times, err := r.Target.Times(ctx, l.plan.LoadID)
	if err != nil {
		return err
	}
	for _, t := range times {
		started, err := time.Parse(time.RFC3339Nano, t.Started)
		if err != nil {
			return err
		}
		finished, err := time.Parse(time.RFC3339Nano, t.Finished)
		if err != nil {
			return err
		}
		if t.Phase == "load" {
			d.Started = started
			continue
		}
		if t.Phase == phaseImport {
			// The transform ends where the import begins; it is timed by that.
			d.Phases = append(d.Phases, report.Phase{Name: "read and map", Started: d.Started, Finished: started, Rows: l.total.Read, Bytes: l.plan.Bytes, Tasks: int64(l.plan.Items)})
		}
		x := report.Phase{Name: t.Phase, Started: started, Finished: finished, Rows: t.Rows, Tasks: t.Tasks}
		if t.Phase == phaseImport {
			x.Bytes = l.partBytes
		}
		d.Phases = append(d.Phases, x)
	}
	return nil
}
