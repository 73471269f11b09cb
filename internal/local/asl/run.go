package asl

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	mrand "math/rand/v2"
	"time"

	"github.com/recolabs/gnata"
)

// run takes a list of states from where its frame stands to its end.
func (x *Execution) run(ctx context.Context, pr *processor, f *frame) (json.RawMessage, error) {
	for !f.done {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if !x.deadline.IsZero() && x.engine.Clock.Now().After(x.deadline) {
			return nil, errTimedOut
		}
		out, err := x.visit(ctx, pr.states[f.state], f)
		if err != nil {
			return nil, err // the frame still stands at the state: a redrive begins there
		}
		for name, v := range out.assigned {
			f.scope.vars[name] = v
		}
		f.children, f.run = nil, nil
		if out.next == "" {
			f.done, f.output = true, out.output
		} else {
			f.state, f.input = out.next, out.output
		}
	}
	return f.output, nil
}

// outcome is how a state was left.
type outcome struct {
	next     string // "" ends the list
	output   json.RawMessage
	assigned map[string]variable
}

// visit is one visit of one state: what its expressions see.
type visit struct {
	x       *Execution
	s       *state
	f       *frame
	entered time.Time
	retries int
	states  map[string]any // $states
	vars    map[string]any // every variable in scope, and "states"
}

func (x *Execution) newVisit(s *state, f *frame) *visit {
	v := &visit{x: x, s: s, f: f, entered: x.engine.Clock.Now(), states: map[string]any{}, vars: map[string]any{}}
	for sc := f.scope; sc != nil; sc = sc.outer {
		for name, value := range sc.vars {
			if _, ok := v.vars[name]; !ok {
				v.vars[name] = value.value
			}
		}
	}
	v.vars["states"] = v.states
	v.states["input"], _ = gnata.DecodeJSON(f.input)
	v.states["context"] = v.context(f.item)
	return v
}

// context builds the context object.
func (v *visit) context(it *item) map[string]any {
	x := v.x
	x.mu.Lock()
	execution := map[string]any{
		"Id": x.ARN, "Name": x.Name, "Input": x.decoded, "RoleArn": x.Machine.Role,
		"StartTime": stamp(x.started), "RedriveCount": float64(x.redrives),
	}
	if x.redrives > 0 {
		execution["RedriveTime"] = stamp(x.redriven)
	}
	x.mu.Unlock()
	c := map[string]any{
		"Execution":    execution,
		"State":        map[string]any{"Name": v.s.name, "EnteredTime": stamp(v.entered), "RetryCount": float64(v.retries)},
		"StateMachine": map[string]any{"Id": x.MachineARN, "Name": x.Machine.Name},
	}
	if it != nil {
		c["Map"] = map[string]any{"Item": it.context()}
	}
	return c
}

// withItem is the visit as ItemSelector sees it.
func (v *visit) withItem(it *item) map[string]any {
	states := map[string]any{"input": v.states["input"], "context": v.context(it)}
	vars := make(map[string]any, len(v.vars))
	for k, value := range v.vars {
		vars[k] = value
	}
	vars["states"] = states
	return vars
}

func (v *visit) eval(ctx context.Context, t *template) (json.RawMessage, *Error) {
	return t.json(ctx, v.vars, v.x.engine.Clock.Now())
}

// evalOr evaluates t, or returns otherwise when the definition does not have it.
func (v *visit) evalOr(ctx context.Context, t *template, otherwise json.RawMessage) (json.RawMessage, *Error) {
	if t == nil {
		return otherwise, nil
	}
	return v.eval(ctx, t)
}

// amount evaluates an integer within bounds.
func (v *visit) amount(ctx context.Context, t *template, name string, low, high float64) (int64, *Error) {
	raw, e := v.eval(ctx, t)
	if e != nil {
		return 0, e
	}
	var n float64
	if err := json.Unmarshal(raw, &n); err != nil || n != math.Trunc(n) || n < low || n > high {
		return 0, errorf(ErrQueryEvaluation, "The field '%s' of state '%s' must be an integer from %g to %g, is %s.", name, v.s.name, low, high, raw)
	}
	return int64(n), nil
}

// leave evaluates Assign and Output side by side and checks what they hold.
func (v *visit) leave(ctx context.Context, next string, assign, output *template, otherwise json.RawMessage) (outcome, error) {
	out := outcome{next: next}
	var e *Error
	if out.assigned, e = v.assigned(ctx, assign); e != nil {
		return out, e
	}
	if out.output, e = v.evalOr(ctx, output, otherwise); e != nil {
		return out, e
	}
	if e := tooLarge("output of the state '"+v.s.name+"'", out.output); e != nil {
		return out, e
	}
	return out, nil
}

// maxVariables bounds all variables of an execution, in bytes.
const maxVariables = 10 << 20

func (v *visit) assigned(ctx context.Context, t *template) (map[string]variable, *Error) {
	if t == nil {
		return nil, nil
	}
	all := map[string]variable{}
	sum := 0
	for i, name := range t.keys {
		raw, e := v.eval(ctx, t.values[i])
		if e != nil {
			return nil, e
		}
		if e := tooLarge("variable '"+name+"'", raw); e != nil {
			return nil, e
		}
		value, err := gnata.DecodeJSON(raw)
		if err != nil {
			return nil, errorf(ErrRuntime, "variable '%s': %v", name, err)
		}
		sum += len(raw)
		all[name] = variable{len(raw), value}
	}
	if sum > MaxData {
		return nil, errorf(ErrDataLimitExceeded, "The variables assigned by the state '%s' have %d bytes, more than the limit of %d bytes.", v.s.name, sum, MaxData)
	}
	for sc := v.f.scope; sc != nil; sc = sc.outer {
		for name, old := range sc.vars {
			if _, again := all[name]; !again {
				sum += old.size
			}
		}
	}
	if sum > maxVariables {
		return nil, errorf(ErrDataLimitExceeded, "The variables have %d bytes, more than the limit of %d bytes.", sum, maxVariables)
	}
	return all, nil
}

// visit runs one state, with its retries and catchers.
func (x *Execution) visit(ctx context.Context, s *state, f *frame) (outcome, error) {
	v := x.newVisit(s, f)
	x.record(f, string(s.kind)+"StateEntered", map[string]any{"name": s.name, "input": string(f.input), "inputDetails": notTruncated})
	x.engine.report(Event{Kind: StateEntered, Execution: x, State: s.name})
	used := make([]int, len(s.retry))
	for {
		out, err := x.attempt(ctx, v)
		if err == nil {
			return x.exited(v, out), nil
		}
		var e *Error
		if !errors.As(err, &e) || context.Cause(ctx) != nil {
			return outcome{}, err
		}
		if delay, again := s.retryAfter(e, used); again && !x.engine.NoRetry {
			x.engine.report(Event{Kind: StateRetried, Execution: x, State: s.name, Error: e})
			if err := x.sleep(ctx, delay); err != nil {
				return outcome{}, err
			}
			v.retries++
			v.states["context"] = v.context(f.item)
			delete(v.states, "result")
			f.children, f.run = nil, nil
			continue
		}
		for _, c := range s.catch {
			if !e.matches(c.errors) {
				continue
			}
			x.engine.report(Event{Kind: StateCaught, Execution: x, State: s.name, Error: e})
			v.states["errorOutput"], _ = gnata.DecodeJSON(e.output())
			delete(v.states, "result")
			out, err := v.leave(ctx, c.next, c.assign, c.output, e.output())
			if err != nil {
				return outcome{}, err
			}
			return x.exited(v, out), nil
		}
		x.engine.report(Event{Kind: StateFailed, Execution: x, State: s.name, Error: e})
		return outcome{}, err
	}
}

func (x *Execution) exited(v *visit, out outcome) outcome {
	detail := map[string]any{"name": v.s.name, "output": string(out.output), "outputDetails": notTruncated}
	if v.s.kind != kindFail {
		x.record(v.f, string(v.s.kind)+"StateExited", detail)
	}
	x.engine.report(Event{Kind: StateExited, Execution: x, State: v.s.name})
	return out
}

// retryAfter finds the first retrier for the error; used counts per retrier.
func (s *state) retryAfter(e *Error, used []int) (time.Duration, bool) {
	for i, r := range s.retry {
		if !e.matches(r.errors) {
			continue
		}
		if used[i] >= r.attempts {
			return 0, false
		}
		seconds := r.interval.Seconds() * math.Pow(r.backoff, float64(used[i]))
		longest := 31622400.0
		if r.longest > 0 {
			longest = r.longest.Seconds()
		}
		seconds = min(seconds, longest)
		if r.jitter {
			seconds *= mrand.Float64()
		}
		used[i]++
		return time.Duration(seconds * float64(time.Second)), true
	}
	return 0, false
}

// attempt does what the state is for, once.
func (x *Execution) attempt(ctx context.Context, v *visit) (outcome, error) {
	s, f := v.s, v.f
	if e := tooLarge("input of the state '"+s.name+"'", f.input); e != nil {
		return outcome{}, e
	}
	switch s.kind {
	case kindPass, kindSucceed:
		return v.leave(ctx, s.next, s.assign, s.output, f.input)
	case kindFail:
		return outcome{}, v.fail(ctx)
	case kindWait:
		if err := v.wait(ctx); err != nil {
			return outcome{}, err
		}
		return v.leave(ctx, s.next, s.assign, s.output, f.input)
	case kindChoice:
		return v.choose(ctx)
	case kindTask:
		result, err := x.task(ctx, v)
		return v.succeeded(ctx, result, err)
	case kindParallel:
		result, err := x.parallel(ctx, v)
		return v.succeeded(ctx, result, err)
	case kindMap:
		result, err := x.mapState(ctx, v)
		return v.succeeded(ctx, result, err)
	}
	return outcome{}, errorf(ErrRuntime, "state %q has the unknown type %q", s.name, s.kind)
}

// succeeded leaves a state that has a result.
func (v *visit) succeeded(ctx context.Context, result json.RawMessage, err error) (outcome, error) {
	if err != nil {
		return outcome{}, err
	}
	if e := tooLarge("result of the state '"+v.s.name+"'", result); e != nil {
		return outcome{}, e
	}
	value, err := gnata.DecodeJSON(result)
	if err != nil {
		return outcome{}, errorf(ErrRuntime, "the result of state %q is not JSON: %v", v.s.name, err)
	}
	v.states["result"] = value
	return v.leave(ctx, v.s.next, v.s.assign, v.s.output, result)
}

func (v *visit) fail(ctx context.Context) error {
	e := &Error{}
	for _, m := range []struct {
		t  *template
		to *string
	}{{v.s.failError, &e.Name}, {v.s.failCause, &e.Cause}} {
		if m.t == nil {
			continue
		}
		raw, fault := v.eval(ctx, m.t)
		if fault != nil {
			return fault
		}
		if err := json.Unmarshal(raw, m.to); err != nil {
			return errorf(ErrRuntime, "Error and Cause of the Fail state '%s' must be strings, one is %s.", v.s.name, raw)
		}
	}
	return e
}

func (v *visit) wait(ctx context.Context) error {
	now := v.x.engine.Clock.Now()
	var d time.Duration
	if v.s.seconds != nil {
		n, e := v.amount(ctx, v.s.seconds, "Seconds", 0, 99999999)
		if e != nil {
			return e
		}
		d = time.Duration(n) * time.Second
	} else {
		raw, e := v.eval(ctx, v.s.timestamp)
		if e != nil {
			return e
		}
		t, err := parseTimestamp(raw)
		if err != nil {
			return errorf(ErrRuntime, "The Timestamp of the Wait state '%s' is no timestamp: %v", v.s.name, err)
		}
		d = t.Sub(now)
	}
	return v.x.sleep(ctx, d)
}

func (v *visit) choose(ctx context.Context) (outcome, error) {
	for _, c := range v.s.choices {
		raw, e := v.eval(ctx, c.condition)
		if e != nil {
			return outcome{}, e
		}
		switch string(raw) {
		case "true":
			// The state's own Assign and Output belong to Default.
			return v.leave(ctx, c.next, c.assign, c.output, v.f.input)
		case "false":
		default:
			return outcome{}, errorf(ErrQueryEvaluation, "The Condition of a rule of the Choice state '%s' must be a boolean, is %s.", v.s.name, raw)
		}
	}
	if v.s.fallback == "" {
		return outcome{}, errorf(ErrNoChoiceMatched, "No rule of the Choice state '%s' matched and it has no Default.", v.s.name)
	}
	return v.leave(ctx, v.s.fallback, v.s.assign, v.s.output, v.f.input)
}
