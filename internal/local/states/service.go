package states

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/asl"
)

// nameLife is how long the name of a closed execution stays taken.
const nameLife = 90 * 24 * time.Hour

// A Service is Step Functions for one account and region. Make it with New.
type Service struct {
	engine *asl.Engine
	ctx    context.Context // of the executions: longer than any request

	mu         sync.Mutex
	machines   map[string]*asl.StateMachine
	executions map[string]*asl.Execution // by ARN; children are found through their parents
	order      []*asl.Execution
}

// New makes a Service whose executions run until ctx ends. It adds the
// integrations that the service itself is (states:startExecution, with .sync:2) to
// the engine's; machines that use them are parsed afterwards.
func New(ctx context.Context, engine *asl.Engine) *Service {
	s := &Service{engine: engine, ctx: ctx, machines: map[string]*asl.StateMachine{}, executions: map[string]*asl.Execution{}}
	all := map[string]asl.Integration{
		"states:startExecution":        s.startTask(false),
		"states:startExecution.sync:2": s.startTask(true),
	}
	maps.Copy(all, engine.Integrations)
	engine.Integrations = all
	return s
}

// Create parses a definition and registers it under its ARN. role is the ARN that
// executions act as.
func (s *Service) Create(arn, role string, definition []byte) (*asl.StateMachine, error) {
	name := arn[strings.LastIndexByte(arn, ':')+1:]
	if !validName(name) {
		return nil, fmt.Errorf("state machine %s: the name is not valid", arn)
	}
	m, err := asl.Parse(definition, s.engine.Resources)
	if err != nil {
		return nil, fmt.Errorf("state machine %s: %w", name, err)
	}
	sm := &asl.StateMachine{ARN: arn, Name: name, Role: role, Definition: string(definition), Created: s.engine.Clock.Now(), Machine: m}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machines[arn] != nil {
		return nil, fmt.Errorf("state machine %s exists already", arn)
	}
	s.machines[arn] = sm
	return sm, nil
}

// An APIError is an error under the name that the service gives it.
type APIError struct{ Code, Message string }

func (e *APIError) Error() string { return e.Code + ": " + e.Message }

func apiError(code, format string, a ...any) error {
	return &APIError{Code: code, Message: fmt.Sprintf(format, a...)}
}

// Start is StartExecution: name "" takes a new one. Starting again under the name
// of a running execution with the same input returns that execution.
func (s *Service) Start(machineARN, name string, input []byte) (*asl.Execution, error) {
	if name == "" {
		name = newName()
	}
	if !validName(name) {
		return nil, apiError("InvalidName", "Invalid Name: '%s'", name)
	}
	if len(input) == 0 {
		input = []byte("{}")
	}
	if len(input) > asl.MaxData {
		return nil, apiError("ValidationException", "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to %d", asl.MaxData)
	}
	var compacted bytes.Buffer
	if err := json.Compact(&compacted, input); err != nil {
		return nil, apiError("InvalidExecutionInput", "Invalid State Machine Execution Input: '%v'", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[machineARN]
	if m == nil {
		return nil, apiError("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", machineARN)
	}
	arn := strings.Replace(machineARN, ":stateMachine:", ":execution:", 1) + ":" + name
	if old := s.executions[arn]; old != nil {
		r := old.Result()
		if r.Status == asl.Running && bytes.Equal(old.Input, compacted.Bytes()) {
			return old, nil
		}
		if r.Status == asl.Running || s.engine.Clock.Now().Sub(r.Stopped) < nameLife {
			return nil, apiError("ExecutionAlreadyExists", "Execution Already Exists: '%s'", arn)
		}
	}
	x, err := s.engine.Start(s.ctx, m, name, compacted.Bytes())
	if err != nil {
		return nil, apiError("InvalidExecutionInput", "Invalid State Machine Execution Input: '%v'", err)
	}
	s.executions[arn] = x
	s.order = append(s.order, x)
	return x, nil
}

// Execution finds an execution by its ARN, a Map Run's child included.
func (s *Service) Execution(arn string) (*asl.Execution, error) {
	s.mu.Lock()
	x := s.executions[arn]
	s.mu.Unlock()
	if x != nil {
		return x, nil
	}
	for _, r := range s.runs() {
		for _, c := range r.Children() {
			if c.ARN == arn && c.Result().Status != asl.Pending {
				return c, nil
			}
		}
	}
	return nil, apiError("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", arn)
}

// Redrive is RedriveExecution.
func (s *Service) Redrive(arn string) (*asl.Execution, error) {
	x, err := s.Execution(arn)
	if err != nil {
		return nil, err
	}
	if err := x.Redrive(s.ctx); err != nil {
		return nil, apiError("ExecutionNotRedrivable", "%v", err)
	}
	return x, nil
}

// runs returns every Map Run, those within children included.
func (s *Service) runs() []*asl.MapRun {
	s.mu.Lock()
	queue := slices.Clone(s.order)
	s.mu.Unlock()
	var all []*asl.MapRun
	for len(queue) > 0 {
		x := queue[0]
		queue = queue[1:]
		for _, r := range x.Runs() {
			all = append(all, r)
			queue = append(queue, r.Children()...)
		}
	}
	return all
}

func (s *Service) run(arn string) (*asl.MapRun, error) {
	for _, r := range s.runs() {
		if r.ARN == arn {
			return r, nil
		}
	}
	return nil, apiError("ResourceNotFound", "Resource not found: '%s'", arn)
}

// startTask is the task resource arn:aws:states:::states:startExecution.
func (s *Service) startTask(wait bool) asl.Integration {
	return func(ctx context.Context, c asl.Call) (json.RawMessage, error) {
		var in struct {
			StateMachineArn, Name string
			Input                 json.RawMessage
		}
		d := json.NewDecoder(bytes.NewReader(c.Arguments))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, &asl.Error{Name: asl.ErrRuntime, Cause: "the arguments of " + c.Resource + ": " + err.Error()}
		}
		if err := c.Authorize("states:StartExecution", in.StateMachineArn); err != nil {
			return nil, &asl.Error{Name: "StepFunctions.AccessDeniedException", Cause: err.Error()}
		}
		x, err := s.Start(in.StateMachineArn, in.Name, in.Input)
		if err != nil {
			return nil, taskError(err)
		}
		if !wait {
			return json.Marshal(map[string]any{"ExecutionArn": x.ARN, "StartDate": x.Result().Started.UnixMilli()})
		}
		if err := c.Authorize("states:DescribeExecution", x.ARN); err != nil {
			return nil, &asl.Error{Name: "StepFunctions.AccessDeniedException", Cause: err.Error()}
		}
		r, err := x.Wait(ctx)
		if err != nil {
			// The service stops what it waits for when the waiting task ends.
			_ = x.Stop(s.ctx, nil)
			return nil, err
		}
		about := map[string]any{
			"ExecutionArn": x.ARN, "Name": x.Name, "StateMachineArn": x.MachineARN, "Status": r.Status, "Input": x.Input,
			"StartDate": r.Started.UnixMilli(), "StopDate": r.Stopped.UnixMilli(),
		}
		if r.Status == asl.Succeeded {
			about["Output"] = r.Output
			return json.Marshal(about)
		}
		if r.Error != nil {
			about["Error"], about["Cause"] = r.Error.Name, r.Error.Cause
		}
		cause, err := json.Marshal(about)
		if err != nil {
			return nil, err
		}
		return nil, &asl.Error{Name: asl.ErrTaskFailed, Cause: string(cause)}
	}
}

func taskError(err error) error {
	var e *APIError
	if errors.As(err, &e) {
		return &asl.Error{Name: "StepFunctions." + e.Code + "Exception", Cause: e.Message}
	}
	return err
}

// validName applies the service's rule for names of machines and executions.
func validName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	for _, r := range s {
		if r < 0x21 || r >= 0x7f && r < 0xa0 || strings.ContainsRune(`?*<>{}[]"#%\^|~`+"`"+`$&,;:/`, r) {
			return false
		}
	}
	return true
}

func newName() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Executions returns the executions of a machine, by its ARN, the first first; those
// that were not started through the service are not among them.
func (s *Service) Executions(machineARN string) []*asl.Execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.order), func(x *asl.Execution) bool { return x.MachineARN != machineARN })
}
