package asl

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"strings"
	"time"

	"godwit/internal/local/gateway"
)

// An Engine is what executions act with. Set the fields before the first
// execution; Clock and Authorizer are required, the others where a machine needs
// them.
type Engine struct {
	Clock      Clock
	Authorizer gateway.Authorizer
	Functions  Functions
	Objects    Objects
	// Integrations are the task resources beyond lambda:invoke, by the text after
	// "arn:aws:states:::".
	Integrations map[string]Integration
	// NoRetry takes every Retry as exhausted: what fails once fails, is caught or
	// waits for a redrive. For tests of redrives; the service has no such thing.
	NoRetry bool
	// Progress sees what happens, in order for one execution, from many goroutines.
	// It must not block. nil sees nothing.
	Progress func(Event)
	// Warn hears of what the service would accept and we would not deploy. nil drops it.
	Warn func(message string)
}

// Functions invokes Lambda functions synchronously. function is a name or an ARN,
// with or without qualifier. A failed invocation is a *lambda.Error, one that ctx
// ended is ctx's cause. The caller is already authorised.
type Functions interface {
	Invoke(ctx context.Context, function string, payload []byte) ([]byte, error)
}

// Objects is S3 as the state machine's role uses it. The implementation checks
// what lies beyond the action itself (bucket policies, KMS); s3:GetObject,
// s3:PutObject and s3:ListBucket are already authorised for the role.
type Objects interface {
	// Get opens an object; the caller closes it.
	Get(ctx context.Context, role, bucket, key string) (io.ReadCloser, error)
	// Put stores an object whole, or not at all.
	Put(ctx context.Context, role, bucket, key string, body []byte) error
	// List yields the objects below prefix in the order of their keys.
	List(ctx context.Context, role, bucket, prefix string) iter.Seq2[Object, error]
}

// An Object is one entry of a listing.
type Object struct {
	Key, ETag, StorageClass string
	Size                    int64 // bytes
	LastModified            time.Time
}

// An Integration runs one task: arguments in, result out, both JSON. A failure
// that a definition may catch is an *Error; any other error becomes
// States.TaskFailed. It authorises what it does with call.Authorize.
type Integration func(ctx context.Context, call Call) (json.RawMessage, error)

// A Call is one task as an Integration sees it.
type Call struct {
	Resource  string // "aws-sdk:rds:startExportTask"
	Role      string // the state machine's
	Execution string // ARN of the execution
	Arguments json.RawMessage
	Authorize func(action, resource string) error
}

// Resources tells whether a task resource exists, for Parse.
func (e *Engine) Resources(name string) bool {
	return name == "lambda:invoke" || e.Integrations[name] != nil
}

// A StateMachine is a machine under its name.
type StateMachine struct {
	ARN, Name  string
	Role       string // ARN of the role that executions act as
	Definition string // the text, for DescribeStateMachine
	Created    time.Time
	Machine    *Machine
}

// part returns field i of the machine's ARN: 1 partition, 3 region, 4 account.
func (m *StateMachine) part(i int) string {
	if p := strings.Split(m.ARN, ":"); i < len(p) {
		return p[i]
	}
	return ""
}

// arn makes the ARN of something that belongs to the machine.
func (m *StateMachine) arn(kind, rest string) string {
	return strings.Join([]string{"arn", m.part(1), "states", m.part(3), m.part(4), kind, rest}, ":")
}

// Start begins an execution; it runs until it ends, is stopped, or ctx ends. The
// caller has checked the name and the authorisation.
func (e *Engine) Start(ctx context.Context, m *StateMachine, name string, input json.RawMessage) (*Execution, error) {
	raw, err := compact(input)
	if err != nil {
		return nil, err
	}
	x := e.newExecution(m, m.Machine.states, m.ARN, m.arn("execution", m.Name+":"+name), name, raw)
	x.begin(ctx)
	go x.loop()
	return x, nil
}

func (e *Engine) warn(message string) {
	if e.Warn != nil {
		e.Warn(message)
	}
}

func (e *Engine) report(ev Event) {
	if e.Progress != nil {
		e.Progress(ev)
	}
}

// EventKind names what an Event tells.
type EventKind string

// The kinds of Event.
const (
	ExecutionStarted EventKind = "ExecutionStarted" // also of the children of a Map Run
	ExecutionEnded   EventKind = "ExecutionEnded"
	StateEntered     EventKind = "StateEntered"
	StateExited      EventKind = "StateExited"
	StateRetried     EventKind = "StateRetried"
	StateCaught      EventKind = "StateCaught"
	StateFailed      EventKind = "StateFailed"
	MapRunStarted    EventKind = "MapRunStarted"
	MapItemsDone     EventKind = "MapItemsDone" // a child of a Map Run has ended
	MapRunEnded      EventKind = "MapRunEnded"
)

// An Event is one step of an execution, for progress bars and tests.
type Event struct {
	Kind      EventKind
	Execution *Execution
	State     string
	Error     *Error // of StateRetried, StateCaught, StateFailed, ExecutionEnded
	// Of the events of a Map Run: items that ended, those of them that failed, and
	// all of them.
	Run                 *MapRun
	Done, Failed, Total int
}
