package migrate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/report"
)

const (
	archiveBucket = "archive"
	workBucket    = "work"
	prefix        = "exports/dmv/"
	stateLimit    = 256 << 10 // bytes of state data in Step Functions
	batch         = 4         // items of a child, as infra has it
)

// A machine is LedgerLoad without its state machine: the same functions in the
// same order, with everything between them as JSON.
type machine struct {
	t            testing.TB
	objects      *memoryObjects
	target       *memoryTarget
	input        string
	segmentBytes int64
	sampleBytes  int64
	// late tells whether the next call has no time left: it then hands on as
	// soon as it may. nil: never.
	late func() bool
	// metrics is told what the handlers count.
	metrics func(...migrate.Metric)
}

func newMachine(t testing.TB, input string) *machine {
	o := newObjects(t)
	return &machine{t: t, objects: o, target: newTarget(t, o), input: input}
}

// generate puts the export of a ledger into the archive.
func (m *machine) generate(o ledgergen.Options) ledgergen.Ledger {
	m.t.Helper()
	l, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
		m.objects.set(archiveBucket, x.Key, x.Body)
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}

// compress gives every data object of the archive another name and gzip.
func (m *machine) compress() {
	for name, o := range m.objects.objects {
		if !strings.HasSuffix(name, ".ion") && !strings.HasSuffix(name, ".json") {
			continue
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(o.body); err != nil {
			m.t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			m.t.Fatal(err)
		}
		delete(m.objects.objects, name)
		m.objects.objects[name+".gz"] = memoryObject{body: b.Bytes()}
	}
}

// context returns a context with a deadline, and a clock that stands before or
// behind the time to hand on.
func (m *machine) context() (context.Context, context.CancelFunc, func() time.Time) {
	begun := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), begun.Add(time.Hour))
	at := begun
	if m.late != nil && m.late() {
		at = begun.Add(2 * time.Hour)
	}
	return ctx, cancel, func() time.Time { return at }
}

// pass sends a value through JSON, as between two states.
func pass[T any](t testing.TB, v any) T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > stateLimit {
		t.Fatalf("%T has %d bytes, more than a state may hold", v, len(b))
	}
	var out T
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *machine) plan() (migrate.PlanOut, error) {
	h := &migrate.PlanLoad{
		Objects: m.objects, Target: m.target, WorkBucket: workBucket,
		Archives: []migrate.AllowedArchive{{Bucket: archiveBucket}},
	}
	return h.Handle(context.Background(), migrate.PlanIn{Input: json.RawMessage(m.input), Execution: "x"})
}

// typing learns types where the plan says that there are any.
func (m *machine) typing(p migrate.PlanOut, mode string) error {
	if !p.Typed {
		return nil
	}
	_, err := m.learn(p, mode)
	return err
}

// begun is a load that waits for its passes.
func (m *machine) begun() migrate.PlanOut {
	m.t.Helper()
	p, err := m.plan()
	if err == nil {
		err = m.typing(p, "load")
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

func (m *machine) learn(p migrate.PlanOut, mode string) (migrate.TypingOut, error) {
	h := &migrate.LearnTypes{Objects: m.objects, WorkBucket: workBucket, SampleBytes: m.sampleBytes}
	return h.Handle(context.Background(), migrate.TypingIn{LoadId: p.LoadId, Mode: mode})
}

// A child is one child of a Distributed Map.
type child struct {
	name   string
	call   func(migrate.WorkIn) (migrate.WorkOut, error)
	in     migrate.WorkIn
	before []migrate.WorkIn // what it was called with, as JSON saw it
	done   bool
	calls  int
}

// turn calls the child's function once and notes where to go on.
func (m *machine) turn(c *child) error {
	c.calls++
	c.before = append(c.before, pass[migrate.WorkIn](m.t, c.in))
	out, err := c.call(pass[migrate.WorkIn](m.t, c.in))
	if err != nil {
		return fmt.Errorf("%s, turn %d: %w", c.name, c.calls, err)
	}
	out = pass[migrate.WorkOut](m.t, out)
	c.done, c.in.Resume = out.Done, out.Resume
	if !out.Done && out.Resume == nil {
		m.t.Fatalf("%s, turn %d: neither done nor a place to go on", c.name, c.calls)
	}
	if c.calls > 10_000 {
		m.t.Fatalf("%s does not end", c.name)
	}
	return nil
}

func (m *machine) transform(in migrate.WorkIn) (migrate.WorkOut, error) {
	ctx, cancel, now := m.context()
	defer cancel()
	return (&migrate.Transform{Objects: m.objects, WorkBucket: workBucket, SegmentBytes: m.segmentBytes, Now: now, Metrics: m.metrics}).Handle(ctx, in)
}

func (m *machine) count(in migrate.WorkIn) (migrate.WorkOut, error) {
	ctx, cancel, now := m.context()
	defer cancel()
	return (&migrate.Count{Objects: m.objects, WorkBucket: workBucket, StepBytes: m.segmentBytes, Now: now}).Handle(ctx, in)
}

// children are the children of the two maps over a plan's items.
func (m *machine) children(p migrate.PlanOut) []*child {
	m.t.Helper()
	items := lines[migrate.Item](m.t, m.objects, p.Items)
	if len(items) != p.ItemCount {
		m.t.Fatalf("plan has %d items, says %d", len(items), p.ItemCount)
	}
	var out []*child
	for i := 0; i < len(items); i += batch {
		in := migrate.WorkIn{LoadId: p.LoadId, Items: items[i:min(i+batch, len(items))]}
		out = append(out, &child{name: fmt.Sprintf("transform of items from %d", i), call: m.transform, in: in},
			&child{name: fmt.Sprintf("count of items from %d", i), call: m.count, in: in})
	}
	return out
}

func lines[T any](t testing.TB, o *memoryObjects, ref migrate.ObjectRef) []T {
	t.Helper()
	b, err := o.read(ref.Bucket, ref.Key)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("line %q of %s: %v", line, ref.Key, err)
		}
		out = append(out, v)
	}
	return out
}

func (m *machine) phase(load, name string) (migrate.PhaseOut, error) {
	ctx, cancel, now := m.context()
	defer cancel()
	h := &migrate.Phase{Objects: m.objects, Target: m.target, WorkBucket: workBucket, Region: "eu-west-1", Metrics: m.metrics, Now: now}
	return h.Handle(ctx, migrate.PhaseIn{LoadId: load, Phase: name})
}

func (m *machine) task(load string, t change.Task) error {
	out, err := (&migrate.RunTask{Target: m.target, Metrics: m.metrics}).Handle(context.Background(), migrate.RunTaskIn{LoadId: load, Items: []change.Task{t}})
	if err == nil && !out.Done {
		return fmt.Errorf("task %s %s is not done", t.Phase, t.Name)
	}
	return err
}

func (m *machine) report(p migrate.PlanOut) (migrate.ReportOut, error) {
	h := &migrate.Report{Objects: m.objects, Target: m.target, WorkBucket: workBucket, Cluster: "arn", Database: "db", Now: time.Now}
	return h.Handle(context.Background(), migrate.ReportIn{LoadId: p.LoadId, Published: p.Published, Execution: "x"})
}

// read does everything before the phases.
func (m *machine) read() (migrate.PlanOut, error) {
	p, err := m.plan()
	if err != nil || p.Published {
		return p, err
	}
	if err := m.typing(p, "load"); err != nil {
		return p, err
	}
	for _, c := range m.children(p) {
		for !c.done {
			if err := m.turn(c); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// run does a whole load.
func (m *machine) run() (migrate.ReportOut, error) {
	p, err := m.read()
	if err != nil {
		return migrate.ReportOut{}, err
	}
	for phase := "import"; !p.Published && phase != ""; {
		out, err := m.phase(p.LoadId, phase)
		if err != nil {
			return migrate.ReportOut{}, fmt.Errorf("phase %s: %w", phase, err)
		}
		var tasks []change.Task
		if out.Count > 0 {
			tasks = lines[change.Task](m.t, m.objects, out.Tasks)
		}
		if len(tasks) != out.Count {
			m.t.Fatalf("phase %s has %d tasks, says %d", phase, len(tasks), out.Count)
		}
		for _, t := range tasks {
			if err := m.task(p.LoadId, t); err != nil {
				return migrate.ReportOut{}, err
			}
		}
		phase = out.Next
	}
	return m.report(p)
}

// mustRun is run for a load that must succeed; it returns its report, too.
func (m *machine) mustRun() (migrate.ReportOut, report.Load) {
	m.t.Helper()
	out, err := m.run()
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := m.objects.read(workBucket, "loads/"+out.LoadId+"/report.json")
	if err != nil {
		m.t.Fatal(err)
	}
	l, err := report.Parse(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return out, l
}

// readPlan reads a load's plan.
func (m *machine) readPlan(load string) migrate.Plan {
	m.t.Helper()
	b, err := m.objects.read(workBucket, "loads/"+load+"/plan.json")
	if err != nil {
		m.t.Fatal(err)
	}
	var p migrate.Plan
	if err := json.Unmarshal(b, &p); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// mustStop checks that a load was refused for good, in these words.
func mustStop(t testing.TB, err error, want ...string) {
	t.Helper()
	var stop *migrate.Stop
	if !errors.As(err, &stop) {
		t.Fatalf("got %v, want a Stop", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got error %q without %q", err, w)
		}
	}
}
