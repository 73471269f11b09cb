package asl

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/recolabs/gnata"
)

// Status is the state of an execution or of a Map Run.
type Status string

// The statuses. Pending is a child of a Map Run that has not started.
const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
	Pending   Status = "PENDING"
)

// redrivable is how long after its end an execution may be redriven.
const redrivable = 14 * 24 * time.Hour

// An Execution is one run of a state machine, or one child of a Map Run. Its
// methods may be called from any goroutine.
type Execution struct {
	ARN, Name  string
	MachineARN string // of a child: with the Map's label
	Input      json.RawMessage
	Machine    *StateMachine // of a child: the parent's
	Parent     *MapRun       // nil unless a child

	engine    *Engine
	processor *processor
	express   bool
	decoded   any // Input

	mu       sync.Mutex
	status   Status
	output   json.RawMessage
	failure  *Error
	started  time.Time
	redriven time.Time
	stopped  time.Time
	redrives int
	history  []HistoryEvent
	runs     []*MapRun
	full     bool // the history may take no more
	done     chan struct{}

	// Only the goroutines that run the execution touch these.
	ctx      context.Context
	cancel   context.CancelCauseFunc
	deadline time.Time // by the engine's clock; zero: none
	root     *frame
}

// frame is how far a list of states has come. It survives the failure of an
// execution: a redrive goes on from it.
type frame struct {
	state    string // in progress, or to enter next
	input    json.RawMessage
	scope    *scope
	item     *item // of the inline Map iteration around it
	done     bool
	output   json.RawMessage
	children []*frame // branches or iterations of the state in progress
	run      *MapRun  // of the state in progress
	previous int64    // event
}

// scope holds the variables of one list of states.
type scope struct {
	outer *scope
	vars  map[string]variable
}

type variable struct {
	size  int
	value any
}

func newFrame(pr *processor, input json.RawMessage, outer *scope, it *item, previous int64) *frame {
	return &frame{
		state: pr.startAt, input: input, item: it, previous: previous,
		scope: &scope{outer: outer, vars: map[string]variable{}},
	}
}

func (e *Engine) newExecution(m *StateMachine, pr *processor, machineARN, arn, name string, input json.RawMessage) *Execution {
	return &Execution{
		ARN: arn, Name: name, MachineARN: machineARN, Input: input, Machine: m,
		engine: e, processor: pr, express: pr.express, status: Pending, done: make(chan struct{}),
	}
}

// begin starts the execution's life; loop must follow.
func (x *Execution) begin(ctx context.Context) {
	x.mu.Lock()
	x.status = Running
	x.started = x.engine.Clock.Now()
	x.mu.Unlock()
	x.decoded, _ = gnata.DecodeJSON(x.Input) // valid JSON: it was compacted
	x.root = newFrame(x.processor, x.Input, nil, nil, 0)
	x.arm(ctx)
	x.record(x.root, "ExecutionStarted", map[string]any{"input": string(x.Input), "inputDetails": notTruncated, "roleArn": x.Machine.Role})
	x.engine.report(Event{Kind: ExecutionStarted, Execution: x})
}

func (x *Execution) arm(ctx context.Context) {
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.deadline = time.Time{}
	limit := time.Duration(0)
	switch {
	case x.Parent == nil:
		limit = x.Machine.Machine.timeout
	case x.express:
		limit = 5 * time.Minute
	}
	if limit > 0 {
		x.deadline = x.engine.Clock.Now().Add(limit)
		t := time.AfterFunc(limit, func() { x.cancel(errTimedOut) })
		context.AfterFunc(x.ctx, func() { t.Stop() })
	}
}

var (
	errTimedOut = errors.New("the execution is over its time limit")
	errSibling  = errors.New("another branch has failed")
	errFull     = errors.New("the history is full")
)

// stopError is the cause of a stopped execution.
type stopError struct{ failure *Error }

func (e *stopError) Error() string { return "execution stopped: " + e.failure.Error() }

// loop runs the execution to its end.
func (x *Execution) loop() {
	var out json.RawMessage
	var err error
	if e := tooLarge("execution's input", x.Input); e != nil {
		err = e
	} else {
		out, err = x.run(x.ctx, x.processor, x.root)
	}
	x.finish(out, err)
}

func (x *Execution) finish(out json.RawMessage, err error) {
	var failure *Error
	var stop *stopError
	status := Failed
	switch cause := context.Cause(x.ctx); {
	case err == nil:
		status = Succeeded
	case errors.Is(err, errFull) || errors.Is(cause, errFull):
		failure = errorf(ErrRuntime, "The execution reached the maximum number of history events (%d).", MaxEvents)
	case errors.Is(err, errTimedOut) || errors.Is(cause, errTimedOut):
		status, failure = TimedOut, &Error{Name: ErrTimeout}
	case errors.As(err, &failure):
	case errors.As(err, &stop):
		status, failure = Aborted, stop.failure
	default:
		status, failure = Aborted, &Error{Cause: err.Error()}
	}
	x.cancel(nil)
	x.mu.Lock()
	x.status, x.output, x.failure = status, out, failure
	x.stopped = x.engine.Clock.Now()
	x.full = false // the last event always fits: place is kept for it
	if status == Succeeded {
		// Nothing goes on from here: a run may have very many children.
		x.root, x.decoded = &frame{previous: x.root.previous}, nil
	}
	x.mu.Unlock()
	switch status {
	case Succeeded:
		x.record(x.root, "ExecutionSucceeded", map[string]any{"output": string(out), "outputDetails": notTruncated})
	case TimedOut:
		x.record(x.root, "ExecutionTimedOut", failureDetail(failure))
	case Aborted:
		x.record(x.root, "ExecutionAborted", failureDetail(failure))
	default:
		x.record(x.root, "ExecutionFailed", failureDetail(failure))
	}
	x.engine.report(Event{Kind: ExecutionEnded, Execution: x, Error: failure})
	x.mu.Lock()
	close(x.done)
	x.mu.Unlock()
}

// Done is closed when the execution has ended; a redrive makes a new one.
func (x *Execution) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.done
}

// Result is what DescribeExecution tells.
type Result struct {
	Status                     Status
	Output                     json.RawMessage
	Error                      *Error // nil unless it failed, timed out or was aborted with one
	Started, Stopped, Redriven time.Time
	RedriveCount               int
}

// Result returns the execution's present state.
func (x *Execution) Result() Result {
	x.mu.Lock()
	defer x.mu.Unlock()
	return Result{x.status, x.output, x.failure, x.started, x.stopped, x.redriven, x.redrives}
}

// Wait waits for the end of the execution, or of ctx.
func (x *Execution) Wait(ctx context.Context) (Result, error) {
	select {
	case <-x.Done():
		return x.Result(), nil
	case <-ctx.Done():
		return x.Result(), context.Cause(ctx)
	}
}

// Runs returns the Map Runs that the execution has started.
func (x *Execution) Runs() []*MapRun {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]*MapRun(nil), x.runs...)
}

// Stop aborts the execution and the children it has; functions that are running
// run on. It returns when the execution has ended, or ctx. Stopping one that has
// ended does nothing.
func (x *Execution) Stop(ctx context.Context, failure *Error) error {
	x.mu.Lock()
	running, cancel := x.status == Running, x.cancel
	x.mu.Unlock()
	if !running {
		return nil
	}
	if failure == nil {
		failure = &Error{}
	}
	cancel(&stopError{failure})
	_, err := x.Wait(ctx)
	return err
}

// WhyNotRedrivable returns "" when Redrive would be accepted, else the reason.
func (x *Execution) WhyNotRedrivable() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.whyNot()
}

func (x *Execution) whyNot() string {
	switch {
	case x.express && x.Parent == nil:
		return "Execution is EXPRESS and cannot be redriven"
	case x.status == Running || x.status == Pending:
		return "Execution is " + string(x.status) + " and cannot be redriven"
	case x.status == Succeeded:
		return "Execution is SUCCEEDED and cannot be redriven"
	case x.engine.Clock.Now().Sub(x.stopped) > redrivable:
		return "Execution exceeded the redrivable period of 14 days"
	case len(x.history) >= MaxEvents-1:
		return "Execution history event limit exceeded"
	}
	return ""
}

// Redrive runs an unsuccessful execution again from the states that did not
// succeed, with the input they had; retry counts begin anew. What is refused is a
// *NotRedrivableError.
func (x *Execution) Redrive(ctx context.Context) error {
	if x.Parent != nil {
		return &NotRedrivableError{x.ARN, "it belongs to a Map Run: redrive the parent execution"}
	}
	if err := x.rearm(ctx); err != nil {
		return err
	}
	go x.loop()
	return nil
}

func (x *Execution) rearm(ctx context.Context) error {
	x.mu.Lock()
	if why := x.whyNot(); why != "" {
		x.mu.Unlock()
		return &NotRedrivableError{x.ARN, why}
	}
	x.status, x.failure, x.output = Running, nil, nil
	x.redrives++
	x.redriven = x.engine.Clock.Now()
	x.stopped = time.Time{}
	x.done = make(chan struct{})
	x.mu.Unlock()
	if x.express {
		x.root = newFrame(x.processor, x.Input, nil, nil, x.root.previous)
	}
	x.arm(ctx)
	x.record(x.root, "ExecutionRedriven", map[string]any{"redriveCount": x.redrives})
	x.engine.report(Event{Kind: ExecutionStarted, Execution: x})
	return nil
}

// authorize asks IAM about the state machine's role.
func (x *Execution) authorize(action, resource string) error {
	return x.engine.Authorizer.Authorize(x.Machine.Role, action, resource, nil)
}

// sleep waits by the engine's clock, not beyond the execution's deadline.
func (x *Execution) sleep(ctx context.Context, d time.Duration) error {
	if !x.deadline.IsZero() {
		if left := x.deadline.Sub(x.engine.Clock.Now()); left < d {
			if err := x.engine.Clock.Sleep(ctx, max(left, 0)); err != nil {
				return err
			}
			return errTimedOut
		}
	}
	return x.engine.Clock.Sleep(ctx, d)
}
