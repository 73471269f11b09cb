package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
)

// PhaseSnapshot checks what a phase of a snapshot's load stands on and writes the
// phase's tasks.
type PhaseSnapshot struct {
	Objects    Objects
	Ranges     Ranges
	Target     SnapshotTarget
	WorkBucket string
	Now        func() time.Time
	// Metrics is told how many rows the target refused, and how many differ, for the
	// alarms. nil tells nobody.
	Metrics func(...Metric)
}

func (p *PhaseSnapshot) tell(metric string, n int64) {
	if p.Metrics != nil {
		p.Metrics(Metric{metric, []int64{n}})
	}
}

// Handle plans one phase. It may be repeated: it writes the same tasks, or those of
// another repair that ends in the same rows. The phase rows has none; it checks what
// the maps left.
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
	phase, round := strings.TrimSuffix(in.Phase, again), ""
	if phase != in.Phase {
		round = again
	}
	at := slices.Index(order, phase)
	if at < 0 || round != "" && at < slices.Index(order, p.Target.Linking()) {
		return PhaseOut{}, &Stop{fmt.Errorf("no phase is named %q", in.Phase)}
	}
	if err := markBegun(ctx, p.Objects, p.WorkBucket, plan.LoadID, in.Phase, p.Now()); err != nil {
		return PhaseOut{}, err
	}
	out := PhaseOut{Tasks: ObjectRef{p.WorkBucket, snapshotKey(plan.LoadID, "tasks/"+in.Phase+".jsonl")}}
	if at+1 < len(order) {
		out.Next = order[at+1] + round
	}
	var tasks []change.Task
	switch phase {
	case order[0]:
		published, err := p.begin(ctx, plan)
		if err != nil || published {
			return PhaseOut{}, err // and is only reported
		}
		if tasks, err = p.Target.Tasks(ctx, plan, phase); err != nil {
			return PhaseOut{}, err
		}
	case phaseRows:
		err = p.rows(ctx, plan)
	case phaseVisible:
		var repairs []RepairPlan
		repairs, err = p.judge(ctx, plan, round != "")
		switch {
		case err != nil:
		case len(repairs) > 0:
			out.Next = p.Target.Linking() + again
			tasks, err = p.Target.Repairs(plan, repairs)
		default:
			tasks = []change.Task{{Phase: phaseVisible, Name: "load"}}
		}
	default:
		tasks, err = p.Target.Tasks(ctx, plan, phase)
	}
	if err != nil {
		return PhaseOut{}, err
	}
	out.Count = len(tasks)
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for _, t := range tasks {
		if err := e.Encode(t); err != nil {
			return PhaseOut{}, err
		}
	}
	return out, p.Objects.Put(ctx, out.Tasks.Bucket, out.Tasks.Key, lines.Bytes(), "application/jsonl", "")
}

// again ends the names of the phases that are gone through a second time, behind a
// repair: the state machine carries it, so that a load is repaired once an
// execution, whatever is repeated.
const again = "-again"

// begin registers the load, and says whether it is visible already.
func (p *PhaseSnapshot) begin(ctx context.Context, plan *SnapshotPlan) (published bool, err error) {
	load, err := plan.load()
	if err != nil {
		return false, err
	}
	state, err := p.Target.Begin(ctx, load)
	if err != nil {
		return false, err
	}
	if state.Published && plan.Input.Repair {
		return true, &Stop{fmt.Errorf("load %s is visible, and what is visible is not repaired: others may have written to it since; start again without Repair to have it reported, or with \"Replace\": true to load the tables anew", plan.LoadID)}
	}
	return state.Published, nil
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
	p.tell(MetricQuarantined, refused)
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
