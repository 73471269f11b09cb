package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"godwit/internal/change"
)

// The phases behind the transform, in order. "reconcile" is no phase: it is what
// "keys" stands on.
const (
	phaseImport  = "import"
	phaseKeys    = "keys"
	phaseSlices  = "slices"
	phaseIndexes = "indexes"
	phaseVisible = "visible"
)

// sliceRows is about how many revisions one publish slice takes, so that it fits
// well within a call at the least capacity.
const sliceRows = 200_000

// Phase checks what a phase stands on and writes the phase's tasks.
type Phase struct {
	Objects    Objects
	Target     Target
	WorkBucket string
	Region     string // of the work bucket
	SliceRows  int64  // 0 is 200,000
	Now        func() time.Time
	// Metrics is told how many revisions a load set aside, for the alarm. nil
	// tells nobody.
	Metrics func(...Metric)
}

// PhaseIn asks for one phase of a load.
type PhaseIn struct{ LoadId, Phase string }

// PhaseOut is where the phase's tasks lie, how many there are, and which phase
// is next; "" ends the load. A phase that needs another call names itself, and has
// no tasks until then.
type PhaseOut struct {
	Tasks ObjectRef
	Count int
	Next  string
}

// An ObjectRef names an object on S3.
type ObjectRef struct{ Bucket, Key string }

// Handle plans one phase. It may be repeated: it writes the same tasks.
func (p *Phase) Handle(ctx context.Context, in PhaseIn) (PhaseOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *Phase) handle(ctx context.Context, in PhaseIn) (PhaseOut, error) {
	phase, file, err := phaseAt(in.Phase)
	if err != nil {
		return PhaseOut{}, err
	}
	l, err := readLoad(ctx, p.Objects, p.WorkBucket, in.LoadId)
	if err != nil {
		return PhaseOut{}, err
	}
	t := &tasks{phase: phase}
	next := ""
	switch phase {
	case phaseImport:
		if file, err = p.evidence(ctx, l, file); err == nil && file > 0 {
			return PhaseOut{Tasks: ObjectRef{p.WorkBucket, tasksKey(in.LoadId, phase)}, Next: fmt.Sprintf("%s %d", phase, file)}, nil
		}
		if err == nil {
			err = p.imports(ctx, l, t)
		}
		next = phaseKeys
	case phaseKeys:
		err = p.keys(ctx, l, t)
		next = phaseSlices
	case phaseSlices:
		err = p.slices(ctx, l, t)
		next = phaseIndexes
	case phaseIndexes:
		err = p.indexes(l, t)
		next = phaseVisible
	case phaseVisible:
		err = p.visible(ctx, l, t)
	default:
		err = &Stop{fmt.Errorf("no phase is named %q", in.Phase)}
	}
	if err != nil {
		return PhaseOut{}, err
	}
	out := PhaseOut{Tasks: ObjectRef{p.WorkBucket, tasksKey(in.LoadId, phase)}, Count: t.count, Next: next}
	return out, p.Objects.Put(ctx, out.Tasks.Bucket, out.Tasks.Key, t.lines.Bytes(), "application/jsonl", "")
}

// tasks are the tasks of a phase as JSON Lines: a great load imports some hundred
// thousand parts, and only the text of their tasks is kept.
type tasks struct {
	phase string
	lines bytes.Buffer
	count int
}

func (t *tasks) add(name string, args map[string]any) error {
	b, err := json.Marshal(args)
	if err != nil {
		return err
	}
	t.count++
	return json.NewEncoder(&t.lines).Encode(change.Task{Phase: t.phase, Name: name, Args: b})
}

// evidence concludes on the proof and writes the files of block hashes. It returns
// the number of the file to go on with in another call, or 0.
func (p *Phase) evidence(ctx context.Context, l *load, file int) (next int, err error) {
	if p.Metrics != nil && file == 0 {
		p.Metrics(Metric{MetricQuarantined, []int64{l.total.Quarantined}})
	}
	if err := p.prove(ctx, l); err != nil {
		return 0, err
	}
	return p.hashes(ctx, l, file)
}

// imports checks the transform, creates the hidden tables and makes one task of
// every part.
func (p *Phase) imports(ctx context.Context, l *load, t *tasks) error {
	if q := l.total.Quarantined; q > l.plan.Input.MaxQuarantined {
		return &Stop{errors.New(l.tooMany(p.WorkBucket))}
	}
	if err := p.Target.Stage(ctx, l.plan.load(), l.targets, l.sources); err != nil {
		return err
	}
	add := func(part Part, schema, relation string) error {
		args := map[string]any{
			"schema": schema, "relation": relation, "table_id": part.TableID,
			"bucket": p.WorkBucket, "key": part.Key, "region": p.Region, "rows": part.Rows,
		}
		if relation == "redaction" {
			delete(args, "table_id") // its rows are no revisions
		}
		return t.add(strings.TrimPrefix(part.Key, "parts/"+l.plan.LoadID+"/"), args)
	}
	return readSegments(ctx, p.Objects, p.WorkBucket, l.plan, func(s *Segment) error {
		for _, part := range s.Parts {
			if err := add(part, l.plan.load().Stage(), l.history[part.Table]); err != nil {
				return err
			}
		}
		if s.Quarantine != nil {
			if err := add(*s.Quarantine, "godwit", "quarantine"); err != nil {
				return err
			}
		}
		if s.Redact != nil {
			return add(*s.Redact, "godwit", "redaction")
		}
		return nil
	})
}

// keys compares what was read, counted by its own pass, with what was staged,
// and keys the staged history.
func (p *Phase) keys(ctx context.Context, l *load, t *tasks) error {
	stored, err := imported(ctx, p.Target, l.plan.LoadID)
	if err != nil {
		return err
	}
	if err := l.reconcile(ctx, p.Objects, p.WorkBucket, stored); err != nil {
		return err
	}
	for _, x := range l.targets {
		if err := t.add(x.History.Name, map[string]any{"history": x.History.Name}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Phase) slices(ctx context.Context, l *load, t *tasks) error {
	rows := p.SliceRows
	if rows == 0 {
		rows = sliceRows
	}
	for _, x := range l.targets {
		slices, err := p.Target.Slices(ctx, l.plan.LoadID, x.Current.Name, rows)
		if err != nil {
			return err
		}
		for _, s := range slices {
			err := t.add(fmt.Sprintf("%s/%d", x.Current.Name, s.Number), map[string]any{
				"table": x.Current.Name, "low": s.Low, "high": s.High, "redact": l.plan.Input.applyRedactions(),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Phase) indexes(l *load, t *tasks) error {
	for _, x := range l.targets {
		err := errors.Join(
			t.add(x.Current.Name+" key", map[string]any{"relation": x.Current.Name, "columns": x.Current.Key, "key": true}),
			t.add(x.Current.Name+" heads", map[string]any{"heads_of": x.Current.Name, "columns": []string{"relation", "doc_id"}, "key": true}))
		if err != nil {
			return err
		}
		for _, x := range []change.Table{x.Current, x.History} {
			for i, ix := range x.Indexes {
				err := t.add(fmt.Sprintf("%s index %d", x.Name, i+1), map[string]any{
					"relation": x.Name, "columns": ix.Columns, "unique": ix.Unique, "key": false, "index": indexName(x.Name, ix),
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// indexName names an index after its table and columns, within PostgreSQL's 63
// bytes.
func indexName(table string, ix change.Index) string {
	if ix.Name != "" {
		return ix.Name
	}
	name := table + "_" + strings.Join(ix.Columns, "_")
	if len(name) > 63 {
		name = strings.ToValidUTF8(name[:50], "") + "_" + shortHash(name)
	}
	return name
}

// visible compares what the slices found in the target with the archive once
// more, revision by revision, checks that they account for every document, and
// makes the one task that shows the load.
func (p *Phase) visible(ctx context.Context, l *load, tasks *tasks) error {
	stored, err := readBack(ctx, p.Target, l.plan.LoadID)
	if err != nil {
		return err
	}
	if err := l.reconcile(ctx, p.Objects, p.WorkBucket, stored); err != nil {
		return err
	}
	published, err := p.Target.Published(ctx, l.plan.LoadID)
	if err != nil {
		return err
	}
	for _, t := range published {
		if t.Documents != t.Current+t.Deleted+t.Dropped+t.Withheld {
			return &Stop{fmt.Errorf("table %s: %d documents are not %d current + %d deleted + %d dropped + %d withheld: nothing was made visible; please report this", t.Table, t.Documents, t.Current, t.Deleted, t.Dropped, t.Withheld)}
		}
	}
	return tasks.add("load", map[string]any{})
}
