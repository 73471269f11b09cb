package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/recolabs/gnata"
)

// defaultAtOnce is the service's concurrency of a Distributed Map that states none.
const defaultAtOnce = 10000

// A MapRun is one run of a Distributed Map: its items and the executions that
// work on them.
type MapRun struct {
	ARN    string
	Parent *Execution
	State  string
	Label  string

	concurrency int
	toleratedPc float64 // percent of the items
	toleratedNo int64   // items
	hasPc       bool
	hasNo       bool
	total       int // items

	mu       sync.Mutex
	status   Status
	started  time.Time
	stopped  time.Time
	redriven time.Time
	redrives int
	children []*Execution
	sizes    []int  // items of each child
	tally    Counts // of the items that have ended, kept while the run runs
}

// Counts are numbers of items or of executions by status.
type Counts struct{ Pending, Running, Succeeded, Failed, TimedOut, Aborted, Total int }

func (c *Counts) add(s Status, n int) {
	c.Total += n
	switch s {
	case Pending:
		c.Pending += n
	case Running:
		c.Running += n
	case Succeeded:
		c.Succeeded += n
	case Failed:
		c.Failed += n
	case TimedOut:
		c.TimedOut += n
	case Aborted:
		c.Aborted += n
	}
}

// RunResult is what DescribeMapRun tells.
type RunResult struct {
	Status                     Status
	Started, Stopped, Redriven time.Time
	RedriveCount               int
	MaxConcurrency             int
	ToleratedPercentage        float64
	ToleratedCount             int64
	Items, Executions          Counts
}

// Result returns the run's present state.
func (r *MapRun) Result() RunResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := RunResult{
		Status: r.status, Started: r.started, Stopped: r.stopped, Redriven: r.redriven, RedriveCount: r.redrives,
		MaxConcurrency: r.concurrency, ToleratedPercentage: r.toleratedPc, ToleratedCount: r.toleratedNo,
	}
	for i, c := range r.children {
		s := c.Result().Status
		res.Items.add(s, r.sizes[i])
		res.Executions.add(s, 1)
	}
	return res
}

// Children returns the run's executions in the order of their items, those that
// have not started included.
func (r *MapRun) Children() []*Execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Execution(nil), r.children...)
}

// decode fills in the value that expressions see.
func (it *item) decode() error {
	if it.value != nil {
		return nil
	}
	raw, err := compact(it.raw)
	if err != nil {
		return err
	}
	it.raw = raw
	it.value, err = gnata.DecodeJSON(raw)
	return err
}

// distributedMap runs a Distributed Map, or goes on with the run that failed.
func (x *Execution) distributedMap(ctx context.Context, v *visit) (json.RawMessage, error) {
	r := v.f.run
	if r == nil {
		var err error
		if r, err = x.newRun(ctx, v); err != nil {
			return nil, err
		}
		v.f.run = r
		x.record(v.f, "MapStateStarted", map[string]any{"length": r.total})
		x.record(v.f, "MapRunStarted", map[string]any{"mapRunArn": r.ARN})
	} else {
		if err := x.authorize("states:RedriveExecution", x.Machine.arn("execution", x.Machine.Name+"/"+r.Label+":"+x.Name)); err != nil {
			return nil, &Error{Name: ErrPermissions, Cause: denied(err)}
		}
		r.mu.Lock()
		r.redrives++
		r.redriven = x.engine.Clock.Now()
		r.mu.Unlock()
		x.record(v.f, "MapRunRedriven", map[string]any{"mapRunArn": r.ARN, "redriveCount": r.redrives})
	}
	r.mu.Lock()
	r.status = Running
	r.stopped = time.Time{}
	r.mu.Unlock()
	failure := x.runChildren(ctx, r)
	result, err := x.writeResults(ctx, v, r, failure != nil)
	if failure == nil {
		failure = err
	}
	status := Succeeded
	var e *Error
	switch {
	case context.Cause(ctx) != nil:
		status, failure = Aborted, context.Cause(ctx)
	case failure != nil:
		status = Failed
	}
	r.mu.Lock()
	r.status, r.stopped = status, x.engine.Clock.Now()
	r.mu.Unlock()
	done, failed := r.progress()
	errors.As(failure, &e)
	x.engine.report(Event{Kind: MapRunEnded, Execution: x, State: v.s.name, Run: r, Done: done, Failed: failed, Total: r.total, Error: e})
	switch status {
	case Succeeded:
		x.record(v.f, "MapRunSucceeded", nil)
		x.record(v.f, "MapStateSucceeded", nil)
		return result, nil
	case Aborted:
		x.record(v.f, "MapRunAborted", nil)
	default:
		x.record(v.f, "MapRunFailed", failureDetail(e))
		x.record(v.f, "MapStateFailed", nil)
		if e != nil && e.Name == ErrDataLimitExceeded {
			v.f.run = nil // a redrive makes a new run; after any other error it takes this one up
		}
	}
	return nil, failure
}

// newRun evaluates the fields of the Map state, reads its items and makes the
// children's inputs. Nothing has started when it fails.
func (x *Execution) newRun(ctx context.Context, v *visit) (*MapRun, error) {
	m := v.s.each
	// The service starts children, watches and stops them as the state machine's
	// role, and its documentation asks for all three.
	for _, need := range [][2]string{
		{"states:StartExecution", x.Machine.ARN},
		{"states:DescribeExecution", x.Machine.arn("execution", x.Machine.Name+":"+x.Name)},
		{"states:StopExecution", x.Machine.arn("execution", x.Machine.Name+":"+x.Name)},
	} {
		if err := x.authorize(need[0], need[1]); err != nil {
			return nil, &Error{Name: ErrPermissions, Cause: denied(err)}
		}
	}
	r := &MapRun{Parent: x, State: v.s.name, Label: m.label, status: Running, started: x.engine.Clock.Now(), concurrency: defaultAtOnce}
	if r.Label == "" {
		r.Label = labelOf(v.s.name)
	}
	r.ARN = x.Machine.arn("mapRun", x.Machine.Name+"/"+r.Label+":"+newUUID())
	if err := x.limits(ctx, v, r); err != nil {
		return nil, err
	}
	items, err := x.mapItems(ctx, v)
	if err != nil {
		return nil, err
	}
	r.total = len(items)
	inputs, sizes, err := v.inputs(ctx, items)
	if err != nil {
		return nil, err
	}
	for i, input := range inputs {
		name := newUUID()
		child := x.engine.newExecution(x.Machine, m.processor, x.Machine.ARN+"/"+r.Label,
			x.Machine.arn("execution", x.Machine.Name+"/"+r.Label+":"+name), name, input)
		child.Parent = r
		r.children = append(r.children, child)
		r.sizes = append(r.sizes, sizes[i])
	}
	x.mu.Lock()
	x.runs = append(x.runs, r)
	x.mu.Unlock()
	x.engine.report(Event{Kind: MapRunStarted, Execution: x, State: v.s.name, Run: r, Total: r.total})
	return r, nil
}

// labelOf makes the label of a Map state that has none from its name.
func labelOf(name string) string {
	clean := strings.Map(func(r rune) rune {
		if strings.ContainsRune(forbiddenInNames, r) {
			return -1
		}
		return r
	}, name)
	if len(clean) > 40 {
		clean = clean[:40]
	}
	return clean
}

func (x *Execution) limits(ctx context.Context, v *visit, r *MapRun) error {
	m := v.s.each
	if m.concurrency != nil {
		n, e := v.amount(ctx, m.concurrency, "MaxConcurrency", 0, 1<<31)
		if e != nil {
			return e
		}
		if n > 0 && n < defaultAtOnce {
			r.concurrency = int(n)
		}
	}
	if r.concurrency == defaultAtOnce {
		x.engine.warn(fmt.Sprintf("the Distributed Map %q has no MaxConcurrency: the service would run up to %d children at once", v.s.name, defaultAtOnce))
	}
	if m.toleratedNum != nil {
		n, e := v.amount(ctx, m.toleratedNum, "ToleratedFailureCount", 0, 1<<31)
		if e != nil {
			return e
		}
		r.toleratedNo, r.hasNo = n, true
	}
	if m.toleratedPct != nil {
		raw, e := v.eval(ctx, m.toleratedPct)
		if e != nil {
			return e
		}
		if err := json.Unmarshal(raw, &r.toleratedPc); err != nil || r.toleratedPc < 0 || r.toleratedPc > 100 {
			return errorf(ErrQueryEvaluation, "The field 'ToleratedFailurePercentage' of state '%s' must be a number from 0 to 100, is %s.", v.s.name, raw)
		}
		r.hasPc = true
	}
	return nil
}

// inputs makes the children's inputs, batched where the state says so.
func (v *visit) inputs(ctx context.Context, items []*item) (inputs []json.RawMessage, sizes []int, err error) {
	b := v.s.each.batcher
	var batchInput json.RawMessage
	most, bytes := int64(1), int64(MaxData)
	if b != nil {
		var e *Error
		most = 1 << 31
		if b.maxItems != nil {
			if most, e = v.amount(ctx, b.maxItems, "MaxItemsPerBatch", 1, 1<<31); e != nil {
				return nil, nil, e
			}
		}
		if b.maxBytes != nil {
			if bytes, e = v.amount(ctx, b.maxBytes, "MaxInputBytesPerBatch", 1, MaxData); e != nil {
				return nil, nil, e
			}
		}
		if b.input != nil {
			if batchInput, e = v.eval(ctx, b.input); e != nil {
				return nil, nil, e
			}
		}
	}
	wrap := func(batch []json.RawMessage) json.RawMessage {
		if batchInput == nil {
			return encodeObject("Items", encodeList(batch))
		}
		return encodeObject("BatchInput", batchInput, "Items", encodeList(batch))
	}
	envelope := len(wrap(nil))
	var batch []json.RawMessage
	size := envelope
	flush := func() {
		if len(batch) > 0 {
			inputs, sizes = append(inputs, wrap(batch)), append(sizes, len(batch))
		}
		batch, size = nil, envelope
	}
	for _, it := range items {
		input, e := v.selected(ctx, it)
		if e != nil {
			return nil, nil, e
		}
		it.value = nil // only ItemSelector wanted it
		if b == nil {
			if e := tooLarge(fmt.Sprintf("input of item %d of the Map state '%s'", it.index, v.s.name), input); e != nil {
				return nil, nil, e
			}
			inputs, sizes = append(inputs, input), append(sizes, 1)
			continue
		}
		if int64(envelope+len(input)) > bytes {
			return nil, nil, errorf(ErrDataLimitExceeded, "Item %d of the Map state '%s' alone makes a batch of %d bytes, more than %d.", it.index, v.s.name, envelope+len(input), bytes)
		}
		if int64(len(batch)) == most || int64(size+1+len(input)) > bytes {
			flush()
		}
		if len(batch) > 0 {
			size++ // the comma
		}
		size += len(input)
		batch = append(batch, input)
	}
	flush()
	return inputs, sizes, nil
}

// runChildren runs or redrives what has not succeeded, at most concurrency at a
// time. Over the tolerated failures it starts nothing more, stops what runs and
// returns the error.
func (x *Execution) runChildren(ctx context.Context, r *MapRun) error {
	// Whatever ends the parent, a time limit included, aborts the children.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(&stopError{&Error{}}) })()
	work := make(chan *Execution)
	var wg sync.WaitGroup
	// Children that a redrive cannot take up again stay failed.
	var queue []*Execution
	items := map[*Execution]int{}
	for i, c := range r.Children() {
		items[c] = r.sizes[i]
		if s := c.Result().Status; s == Pending || s != Succeeded && c.WhyNotRedrivable() == "" {
			queue = append(queue, c)
		}
	}
	r.recount(queue)
	for range min(r.concurrency, len(queue)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for c := range work {
				x.runChild(inner, c)
				r.ended(c, items[c])
				done, failed := r.progress()
				x.engine.report(Event{Kind: MapItemsDone, Execution: c, State: r.State, Run: r, Done: done, Failed: failed, Total: r.total})
				if r.exceeded() != nil {
					cancel(&stopError{&Error{}})
				}
			}
		}()
	}
feed:
	for _, c := range queue {
		select {
		case work <- c:
		case <-inner.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if e := r.exceeded(); e != nil {
		return e
	}
	return nil
}

func (x *Execution) runChild(ctx context.Context, c *Execution) {
	if ctx.Err() != nil {
		return // it stays pending
	}
	if c.Result().Status == Pending {
		c.begin(ctx)
	} else if err := c.rearm(ctx); err != nil {
		return // no longer redrivable: it stays as it is
	}
	c.loop()
}

// recount begins a tally from the children as they are, without those that the
// run is about to take up.
func (r *MapRun) recount(queue []*Execution) {
	again := map[*Execution]bool{}
	for _, c := range queue {
		again[c] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally = Counts{}
	for i, c := range r.children {
		if !again[c] {
			r.tally.add(c.Result().Status, r.sizes[i])
		}
	}
}

// ended adds a child to the tally.
func (r *MapRun) ended(c *Execution, items int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.add(c.Result().Status, items)
}

// progress counts the items that have ended, and those of them that failed.
func (r *MapRun) progress() (done, failed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	failed = r.tally.Failed + r.tally.TimedOut + r.tally.Aborted
	return r.tally.Succeeded + failed, failed
}

// exceeded returns the error of a run with more failures than it tolerates.
// Children that were stopped because of it do not count.
func (r *MapRun) exceeded() *Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	bad := r.tally.Failed + r.tally.TimedOut
	switch {
	case bad == 0:
		return nil
	case !r.hasNo && !r.hasPc:
	case r.hasNo && int64(bad) > r.toleratedNo:
	case r.hasPc && float64(bad)*100 > r.toleratedPc*float64(r.total):
	default:
		return nil
	}
	return errorf(ErrToleratedFailure, "The specified tolerated failure threshold was exceeded")
}
