package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// PhaseSnapshot checks what a phase of a snapshot's load stands on and writes the
// phase's tasks.
type PhaseSnapshot struct {
	Objects    Objects
	Ranges     Ranges
	Target     SnapshotTarget
	WorkBucket string
	Now        func() time.Time
}

// Handle plans one phase. It may be repeated: it writes the same tasks. The phase
// rows has none; it checks what the maps left.
func (p *PhaseSnapshot) Handle(ctx context.Context, in PhaseIn) (PhaseOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *PhaseSnapshot) handle(ctx context.Context, in PhaseIn) (PhaseOut, error) {
	plan, err := readSnapshotPlan(ctx, p.Objects, p.WorkBucket, in.LoadId)
	if err != nil {
		return PhaseOut{}, err
	}
	order := snapshotPhases(p.Target)
	at := slices.Index(order, in.Phase)
	if at < 0 {
		return PhaseOut{}, &Stop{fmt.Errorf("no phase is named %q", in.Phase)}
	}
	if err := markBegun(ctx, p.Objects, p.WorkBucket, plan.LoadID, in.Phase, p.Now()); err != nil {
		return PhaseOut{}, err
	}
	var tasks []change.Task
	switch in.Phase {
	case order[0]:
		load, err := plan.load()
		if err != nil {
			return PhaseOut{}, err
		}
		state, err := p.Target.Begin(ctx, load)
		if err != nil {
			return PhaseOut{}, err
		}
		if state.Published {
			return PhaseOut{}, nil // and is only reported
		}
		if tasks, err = p.Target.Tasks(ctx, plan, in.Phase); err != nil {
			return PhaseOut{}, err
		}
	case phaseRows:
		err = p.rows(ctx, plan)
	case phaseVisible:
		if err = p.judge(ctx, plan); err == nil {
			tasks = []change.Task{{Phase: phaseVisible, Name: "load"}}
		}
	default:
		tasks, err = p.Target.Tasks(ctx, plan, in.Phase)
	}
	if err != nil {
		return PhaseOut{}, err
	}
	out := PhaseOut{Tasks: ObjectRef{p.WorkBucket, snapshotKey(plan.LoadID, "tasks/"+in.Phase+".jsonl")}, Count: len(tasks)}
	if at+1 < len(order) {
		out.Next = order[at+1]
	}
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for _, t := range tasks {
		if err := e.Encode(t); err != nil {
			return PhaseOut{}, err
		}
	}
	return out, p.Objects.Put(ctx, out.Tasks.Bucket, out.Tasks.Key, lines.Bytes(), "application/jsonl", "")
}

// snapshotPhases are the phases of a load, in order.
func snapshotPhases(t SnapshotTarget) []string {
	own := t.Phases()
	return slices.Concat(own[:1], []string{phaseRows}, own[1:], []string{phaseDigests, phaseVisible})
}

// A TableAccount accounts for the rows of one table.
type TableAccount struct {
	Source, Target change.TableName
	Rows           int64 // in the export, counted by the verifier
	change.Counts
}

// rows checks that every row of the export is loaded, refused or filtered out, and
// that no more are refused than the input allows.
func (p *PhaseSnapshot) rows(ctx context.Context, plan *SnapshotPlan) error {
	accounts, err := accountRows(ctx, p.Objects, p.WorkBucket, plan)
	if err != nil {
		return err
	}
	var errs []error
	var refused int64
	for _, a := range accounts {
		refused += a.Refused
		if a.Loaded+a.Refused+a.Filtered != a.Rows {
			errs = append(errs, fmt.Errorf("table %s.%s: the export has %d rows, and %d loaded + %d refused + %d filtered are accounted for", a.Source.Schema, a.Source.Name, a.Rows, a.Loaded, a.Refused, a.Filtered))
		}
	}
	if len(errs) > 0 {
		return &Stop{fmt.Errorf("%w\nplease report this; nothing was made visible", errors.Join(errs...))}
	}
	if refused <= plan.Input.MaxQuarantined {
		return nil
	}
	var first []string
	err = p.Target.Refused(ctx, plan.LoadID, func(item string, r change.Refusal) error {
		if len(first) < 10 {
			first = append(first, fmt.Sprintf("item %s, row %d, column %s: %s", item, r.Row, r.Column, r.Reason))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return &Stop{fmt.Errorf("%d rows cannot be held by the target, and MaxQuarantined allows %d: %s%s; change the rules of Mapping, or start again with \"MaxQuarantined\": %d to leave them out", refused, plan.Input.MaxQuarantined, strings.Join(first, "; "), more(int(refused), len(first)), refused)}
}

func more(all, shown int) string {
	if all <= shown {
		return ""
	}
	return fmt.Sprintf("; and %d more", all-shown)
}

// accountRows sums up what the maps left, by the index of the plan's tables. What
// is not complete is an error.
func accountRows(ctx context.Context, o Objects, bucket string, plan *SnapshotPlan) ([]TableAccount, error) {
	accounts := make([]TableAccount, len(plan.Plans))
	for i, t := range plan.Plans {
		accounts[i].Source, accounts[i].Target = t.Source, t.Target
	}
	err := inOrder(ctx, plan.Items, func(ctx context.Context, i int, s *SnapshotSegment) error {
		return readJSON(ctx, o, bucket, snapshotSegmentKey(plan.LoadID, i), s)
	}, func(s *SnapshotSegment) error {
		a := &accounts[s.Table]
		a.Loaded += s.Loaded
		a.Refused += s.Refused
		a.Filtered += s.Filtered
		return nil
	})
	if err != nil {
		return nil, err
	}
	return accounts, eachEvidence(ctx, o, bucket, plan, func(e *SnapshotEvidence) error {
		accounts[e.Table].Rows += e.Rows
		return nil
	})
}

func eachEvidence(ctx context.Context, o Objects, bucket string, plan *SnapshotPlan, visit func(*SnapshotEvidence) error) error {
	return inOrder(ctx, plan.Items, func(ctx context.Context, i int, e *SnapshotEvidence) error {
		return readJSON(ctx, o, bucket, snapshotEvidenceKey(plan.LoadID, i), e)
	}, visit)
}

// A TableVerdict says whether a table's rows in the target are those of the export.
type TableVerdict struct {
	Source, Target change.TableName
	Rows           int64 // that the target must have
	Found          int64 // that it has
	Differing      []int `json:",omitempty"` // buckets of the key whose rows are not the same
	// Differences is how many rows those are, and Listed the first of them.
	Differences int                 `json:",omitempty"`
	Listed      []verify.Difference `json:",omitempty"`
	Unlisted    string              `json:",omitempty"` // why no row is listed, though some differ
}

// A SnapshotVerdict is the comparison of source and target: verdict.json.
type SnapshotVerdict struct {
	Equal  bool
	Judged time.Time
	Tables []TableVerdict
	// Repaired is what executions with Repair put right before the rows were
	// compared again.
	Repaired []TableRepair `json:",omitempty"`
}

// A TableRepair is what one execution put right in a table.
type TableRepair struct {
	Execution      string
	Source, Target change.TableName
	Rows           int                 // that differed
	Listed         []verify.Difference // the first of them
}

// judge compares the digests of both sides, and stops a load whose target is not
// what the export says.
func (p *PhaseSnapshot) judge(ctx context.Context, plan *SnapshotPlan) error {
	want := make([]verify.RowSums, len(plan.Plans))
	err := eachEvidence(ctx, p.Objects, p.WorkBucket, plan, func(e *SnapshotEvidence) error {
		want[e.Table].Add(e.Sums)
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.withoutRefused(ctx, plan, want); err != nil {
		return err
	}
	verdict := SnapshotVerdict{Equal: true, Judged: p.Now().UTC()}
	var texts []Finding
	for i, t := range plan.Plans {
		got, err := p.Target.Sums(ctx, plan, i)
		if err != nil {
			return err
		}
		v := TableVerdict{Source: t.Source, Target: t.Target, Rows: want[i].Rows, Found: got.Rows, Differing: want[i].Differing(got)}
		if len(v.Differing) > 0 {
			verdict.Equal = false
			if v.Differences, v.Listed, err = p.narrow(ctx, plan, i, v.Differing); err != nil {
				return err
			}
			texts = append(texts, Finding{Text: fmt.Sprintf("table %s.%s: %d rows are expected and %d there; %d rows differ%s", t.Target.Schema, t.Target.Name, v.Rows, v.Found, v.Differences, columnsOf(v.Listed))})
		}
		verdict.Tables = append(verdict.Tables, v)
	}
	if err := putJSON(ctx, p.Objects, p.WorkBucket, snapshotKey(plan.LoadID, "verdict.json"), verdict); err != nil {
		return err
	}
	if !verdict.Equal {
		return &Stop{fmt.Errorf("the target is not what the export says, and the load is not complete; s3://%s/%s lists the rows by key. Unless somebody else wrote to these tables, please report this; start again with \"Replace\": true to load them anew:\n%w", p.WorkBucket, snapshotKey(plan.LoadID, "verdict.json"), stopText(texts))}
	}
	return nil
}

// columnsOf names the kinds of differences and the columns that they are in, and no
// key: errors are logged.
func columnsOf(list []verify.Difference) string {
	kinds, columns := map[string]bool{}, map[string]bool{}
	for _, d := range list {
		kinds[d.Kind] = true
		for _, c := range d.Columns {
			columns[c.Column] = true
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	text := " (" + strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
	if len(columns) > 0 {
		text += "; columns " + strings.Join(slices.Sorted(maps.Keys(columns)), ", ")
	}
	return text + ")"
}
