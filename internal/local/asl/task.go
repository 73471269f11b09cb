package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/gateway"
	"godwit/internal/local/lambda"
)

// forever is the time limit of a task that states none, in seconds.
const forever = 99999999

// task runs a Task state once.
func (x *Execution) task(ctx context.Context, v *visit) (json.RawMessage, error) {
	s := v.s
	arguments, e := v.evalOr(ctx, s.arguments, v.f.input)
	if e != nil {
		return nil, e
	}
	if e := tooLarge("arguments of the state '"+s.name+"'", arguments); e != nil {
		return nil, e
	}
	limit := int64(forever)
	if s.timeout != nil {
		if limit, e = v.amount(ctx, s.timeout, "TimeoutSeconds", 1, forever); e != nil {
			return nil, e
		}
	}
	// A function's ARN as the resource has events of its own kind in the history.
	names := [4]string{"TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskFailed"}
	about := map[string]any{}
	bare := strings.HasPrefix(s.resource, "arn:")
	if bare {
		names = [4]string{"LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded", "LambdaFunctionFailed"}
	} else {
		kind, op := s.resource, ""
		if i := strings.LastIndexByte(s.resource, ':'); i >= 0 {
			kind, op = s.resource[:i], s.resource[i+1:]
		}
		about["resourceType"], about["resource"] = kind, op
	}
	with := func(more map[string]any) map[string]any {
		for k, value := range about {
			more[k] = value
		}
		return more
	}
	if bare {
		x.record(v.f, names[0], map[string]any{"resource": s.resource, "input": string(arguments), "inputDetails": notTruncated})
		x.record(v.f, names[1], nil)
	} else {
		x.record(v.f, names[0], with(map[string]any{"region": x.Machine.part(3), "parameters": string(arguments)}))
		x.record(v.f, names[1], with(map[string]any{}))
	}
	within, cancel := context.WithTimeout(ctx, time.Duration(limit)*time.Second)
	defer cancel()
	result, err := x.callResource(within, s.resource, arguments)
	switch {
	case err == nil:
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case within.Err() != nil:
		err = errorf(ErrTimeout, "The task of state '%s' did not end within %d seconds.", s.name, limit)
	default:
		var e *Error
		if !errors.As(err, &e) {
			err = &Error{Name: ErrTaskFailed, Cause: err.Error()}
		}
	}
	if err != nil {
		errors.As(err, &e)
		x.record(v.f, names[3], with(failureDetail(e)))
		return nil, err
	}
	x.record(v.f, names[2], with(map[string]any{"output": string(result), "outputDetails": notTruncated}))
	return result, nil
}

func (x *Execution) callResource(ctx context.Context, resource string, arguments json.RawMessage) (json.RawMessage, error) {
	if strings.HasPrefix(resource, "arn:") {
		return x.invoke(ctx, resource, arguments)
	}
	if do := x.engine.Integrations[resource]; do != nil {
		return do(ctx, Call{
			Resource: resource, Role: x.Machine.Role, Execution: x.ARN, Arguments: arguments, Authorize: x.authorize,
		})
	}
	if resource == "lambda:invoke" {
		return x.invokeTask(ctx, arguments)
	}
	return nil, errorf(ErrRuntime, "the task resource %q is not implemented here", resource)
}

// invokeTask is arn:aws:states:::lambda:invoke.
func (x *Execution) invokeTask(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
	o, err := parseObject(arguments)
	if err != nil {
		return nil, errorf(ErrRuntime, "the arguments of lambda:invoke: %v", err)
	}
	var function, qualifier, kind string
	payload := json.RawMessage("{}")
	for _, k := range o.keys {
		var to *string
		switch k {
		case "FunctionName":
			to = &function
		case "Qualifier":
			to = &qualifier
		case "InvocationType":
			to = &kind
		case "Payload":
			payload = o.values[k]
			continue
		default:
			return nil, errorf(ErrRuntime, "The field '%s' of the arguments of lambda:invoke is not known here.", k)
		}
		if err := json.Unmarshal(o.values[k], to); err != nil {
			return nil, errorf(ErrRuntime, "The field '%s' of the arguments of lambda:invoke must be a string.", k)
		}
	}
	if function == "" {
		return nil, errorf(ErrRuntime, "The field 'FunctionName' is missing in the arguments of lambda:invoke.")
	}
	if kind != "" && kind != "RequestResponse" {
		return nil, errorf(ErrRuntime, "The InvocationType %s of lambda:invoke is not implemented here.", kind)
	}
	if qualifier != "" {
		function += ":" + qualifier
	}
	body, err := x.invoke(ctx, function, payload)
	if err != nil {
		return nil, err
	}
	return encodeObject("ExecutedVersion", "$LATEST", "Payload", body, "StatusCode", 200), nil
}

// invoke calls a function as the state machine's role.
func (x *Execution) invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
	arn := function
	if !strings.HasPrefix(arn, "arn:") {
		arn = strings.Join([]string{"arn", x.Machine.part(1), "lambda", x.Machine.part(3), x.Machine.part(4), "function", function}, ":")
	}
	if err := x.authorize("lambda:InvokeFunction", arn); err != nil {
		return nil, &Error{Name: "Lambda.AWSLambdaException", Cause: denied(err) + " (Service: Lambda, Status Code: 403)"}
	}
	if x.engine.Functions == nil {
		return nil, errorf(ErrRuntime, "the engine has no functions to invoke %s with", arn)
	}
	body, err := x.engine.Functions.Invoke(ctx, function, payload)
	if err != nil {
		var e *lambda.Error
		if !errors.As(err, &e) {
			return nil, err
		}
		if strings.HasPrefix(e.Type, "Lambda.") {
			return nil, &Error{Name: e.Type, Cause: e.Message}
		}
		pairs := []any{"errorMessage", e.Message, "errorType", e.Type}
		if len(e.Trace) > 0 {
			pairs = append(pairs, "stackTrace", e.Trace)
		}
		return nil, &Error{Name: e.Type, Cause: string(encodeObject(pairs...))}
	}
	raw, err := compact(body)
	if err != nil {
		return nil, errorf(ErrRuntime, "function %s returned what is not JSON: %v", arn, err)
	}
	return raw, nil
}

func denied(err error) string {
	var d *gateway.AccessDenied
	if errors.As(err, &d) {
		return d.Error()
	}
	return err.Error()
}

// parallel runs the branches of a Parallel state side by side.
func (x *Execution) parallel(ctx context.Context, v *visit) (json.RawMessage, error) {
	input, e := v.evalOr(ctx, v.s.arguments, v.f.input)
	if e != nil {
		return nil, e
	}
	x.record(v.f, "ParallelStateStarted", nil)
	if v.f.children == nil {
		for _, b := range v.s.branches {
			v.f.children = append(v.f.children, newFrame(b, input, v.f.scope, v.f.item, v.f.previous))
		}
	}
	outputs, err := x.together(ctx, v.f.children, len(v.f.children), func(ctx context.Context, i int, f *frame) (json.RawMessage, error) {
		return x.run(ctx, v.s.branches[i], f)
	})
	if err != nil {
		x.record(v.f, "ParallelStateFailed", nil)
		return nil, err
	}
	x.record(v.f, "ParallelStateSucceeded", nil)
	return encodeList(outputs), nil
}

// together runs frames, at most atOnce at a time; the first failure ends the
// others.
func (x *Execution) together(ctx context.Context, frames []*frame, atOnce int,
	run func(context.Context, int, *frame) (json.RawMessage, error),
) ([]json.RawMessage, error) {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	outputs := make([]json.RawMessage, len(frames))
	slots := make(chan struct{}, max(atOnce, 1))
	var wg sync.WaitGroup
	var once sync.Once
	var failure error
	for i, f := range frames {
		select {
		case slots <- struct{}{}:
		case <-inner.Done():
		}
		if inner.Err() != nil {
			break
		}
		wg.Add(1)
		go func() {
			defer func() { <-slots; wg.Done() }()
			out, err := run(inner, i, f)
			if err != nil {
				once.Do(func() {
					failure = err
					cancel(errSibling)
				})
				return
			}
			outputs[i] = out
		}()
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return outputs, failure
}

// item is one item of a Map state.
type item struct {
	index int
	key   string // of an object's member
	keyed bool
	raw   json.RawMessage
	value any
}

func (it *item) context() map[string]any {
	c := map[string]any{"Index": float64(it.index), "Value": it.value}
	if it.keyed {
		c["Key"] = it.key
	}
	return c
}

// inlineAtOnce is how many iterations an inline Map runs at most at a time.
const inlineAtOnce = 40

// inlineMap runs the iterations of an inline Map inside this execution.
func (x *Execution) inlineMap(ctx context.Context, v *visit) (json.RawMessage, error) {
	m := v.s.each
	atOnce := int64(0)
	if m.concurrency != nil {
		var e *Error
		if atOnce, e = v.amount(ctx, m.concurrency, "MaxConcurrency", 0, 1<<31); e != nil {
			return nil, e
		}
	}
	if atOnce == 0 || atOnce > inlineAtOnce {
		atOnce = inlineAtOnce
	}
	if v.f.children == nil {
		items, err := v.items(ctx)
		if err != nil {
			return nil, err
		}
		x.record(v.f, "MapStateStarted", map[string]any{"length": len(items)})
		children := []*frame{}
		for _, it := range items {
			input, e := v.selected(ctx, it)
			if e != nil {
				return nil, e
			}
			children = append(children, newFrame(m.processor, input, v.f.scope, it, v.f.previous))
		}
		v.f.children = children
	}
	outputs, err := x.together(ctx, v.f.children, int(atOnce), func(ctx context.Context, i int, f *frame) (json.RawMessage, error) {
		if f.done {
			return f.output, nil
		}
		about := map[string]any{"name": v.s.name, "index": i}
		x.record(f, "MapIterationStarted", about)
		out, err := x.run(ctx, m.processor, f)
		switch {
		case err == nil:
			x.record(f, "MapIterationSucceeded", about)
		case context.Cause(ctx) != nil:
			x.record(f, "MapIterationAborted", about)
		default:
			x.record(f, "MapIterationFailed", about)
		}
		return out, err
	})
	if err != nil {
		x.record(v.f, "MapStateFailed", nil)
		return nil, err
	}
	x.record(v.f, "MapStateSucceeded", nil)
	return encodeList(outputs), nil
}

// mapState runs a Map state of either mode.
func (x *Execution) mapState(ctx context.Context, v *visit) (json.RawMessage, error) {
	if v.s.each.processor.distributed {
		return x.distributedMap(ctx, v)
	}
	return x.inlineMap(ctx, v)
}

// items evaluates Items, or takes the state's input.
func (v *visit) items(ctx context.Context) ([]*item, error) {
	raw, e := v.evalOr(ctx, v.s.each.items, v.f.input)
	if e != nil {
		return nil, e
	}
	items, err := itemsOf(raw)
	if err != nil {
		return nil, errorf(ErrQueryEvaluation, "The Items of the Map state '%s': %v", v.s.name, err)
	}
	return items, nil
}

func itemsOf(raw json.RawMessage) ([]*item, error) {
	var items []*item
	switch first(raw) {
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		for i, e := range list {
			items = append(items, &item{index: i, raw: e})
		}
	case '{':
		o, err := parseObject(raw)
		if err != nil {
			return nil, err
		}
		keys := slices.Clone(o.keys)
		slices.Sort(keys)
		for i, k := range keys {
			items = append(items, &item{index: i, key: k, keyed: true, raw: encodeObject("Key", k, "Value", o.values[k])})
		}
	default:
		return nil, fmt.Errorf("neither a list nor an object but %.40s", raw)
	}
	return items, nil
}

// selected is the input of an iteration: the item, or what ItemSelector makes of it.
func (v *visit) selected(ctx context.Context, it *item) (json.RawMessage, *Error) {
	if err := it.decode(); err != nil {
		return nil, errorf(ErrRuntime, "item %d of the Map state '%s' is not JSON: %v", it.index, v.s.name, err)
	}
	if v.s.each.selector == nil {
		return it.raw, nil
	}
	return v.s.each.selector.json(ctx, v.withItem(it), v.x.engine.Clock.Now())
}
