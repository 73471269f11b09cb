package asl_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/local/lambda"
)

const (
	machineARN = "arn:aws:states:eu-west-1:000000000000:stateMachine:M"
	roleARN    = "arn:aws:iam::000000000000:role/machine"
)

// world is what the machines of the tests act on.
type world struct {
	t      *testing.T
	clock  *asl.FastClock
	engine *asl.Engine

	mu        sync.Mutex
	objects   map[string][]byte // "bucket/key"
	functions map[string]func(ctx context.Context, in json.RawMessage) (any, error)
	calls     map[string]int
	judged    []string
	denied    map[string]bool // "action resource"
	events    []asl.Event
	warnings  []string
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, clock: &asl.FastClock{}, objects: map[string][]byte{}, calls: map[string]int{}, denied: map[string]bool{},
		functions: map[string]func(context.Context, json.RawMessage) (any, error){},
	}
	w.engine = &asl.Engine{
		Clock: w.clock, Authorizer: w, Functions: w, Objects: w,
		Integrations: map[string]asl.Integration{
			"aws-sdk:test:echo": func(_ context.Context, c asl.Call) (json.RawMessage, error) {
				if err := c.Authorize("test:Echo", "*"); err != nil {
					return nil, &asl.Error{Name: "Test.AccessDeniedException", Cause: err.Error()}
				}
				return c.Arguments, nil
			},
		},
		Progress: func(e asl.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
		Warn: func(m string) { w.warnings = append(w.warnings, m) },
	}
	return w
}

func (w *world) Authorize(role, action, resource string, _ map[string]string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judged = append(w.judged, action+" "+resource)
	if role != roleARN || w.denied[action] {
		return &gateway.AccessDenied{Role: role, Action: action, Resource: resource, Why: "no identity-based policy allows the action"}
	}
	return nil
}

func (w *world) Invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	w.mu.Lock()
	name := function[strings.LastIndexByte(function, ':')+1:]
	f := w.functions[name]
	w.calls[name]++
	w.mu.Unlock()
	if f == nil {
		return nil, &lambda.Error{Type: "Lambda.ResourceNotFoundException", Message: "Function not found: " + function}
	}
	v, err := f(ctx, payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func (w *world) called(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[name]
}

func (w *world) Get(_ context.Context, _, bucket, key string) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.objects[bucket+"/"+key]
	if !ok {
		return nil, fmt.Errorf("NoSuchKey: s3://%s/%s", bucket, key)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (w *world) Put(_ context.Context, _, bucket, key string, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[bucket+"/"+key] = body
	return nil
}

func (w *world) List(_ context.Context, _, bucket, prefix string) iter.Seq2[asl.Object, error] {
	return func(yield func(asl.Object, error) bool) {
		w.mu.Lock()
		var keys []string
		for k := range w.objects {
			if strings.HasPrefix(k, bucket+"/"+prefix) {
				keys = append(keys, strings.TrimPrefix(k, bucket+"/"))
			}
		}
		w.mu.Unlock()
		slices.Sort(keys)
		for _, k := range keys {
			if !yield(asl.Object{Key: k, ETag: `"e"`, Size: 3, StorageClass: "STANDARD", LastModified: time.Unix(1700000000, 0)}, nil) {
				return
			}
		}
	}
}

// parse loads a JSONata machine; states is the text of its States object.
func (w *world) parse(definition string) *asl.StateMachine {
	w.t.Helper()
	m, err := asl.Parse([]byte(definition), w.engine.Resources)
	if err != nil {
		w.t.Fatalf("Parse: %v", err)
	}
	return &asl.StateMachine{ARN: machineARN, Name: "M", Role: roleARN, Machine: m, Definition: definition}
}

// start begins an execution of a machine whose first state is A.
func (w *world) start(states, input string) *asl.Execution {
	w.t.Helper()
	x, err := w.engine.Start(w.t.Context(), w.parse(`{"QueryLanguage":"JSONata","StartAt":"A","States":{`+states+`}}`), "x", json.RawMessage(input))
	if err != nil {
		w.t.Fatalf("Start: %v", err)
	}
	return x
}

func (w *world) wait(x *asl.Execution) asl.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	r, err := x.Wait(ctx)
	if err != nil {
		w.t.Fatalf("Wait: %v", err)
	}
	return r
}

func (w *world) run(states, input string) asl.Result {
	w.t.Helper()
	return w.wait(w.start(states, input))
}

// outcome is a result in one line: the output, or status, error and cause.
func outcome(r asl.Result) string {
	if r.Status == asl.Succeeded {
		return string(r.Output)
	}
	s := string(r.Status)
	if r.Error != nil {
		s += " " + r.Error.Error()
	}
	return s
}

func types(x *asl.Execution) string {
	var s []string
	for _, e := range x.History() {
		s = append(s, e.Type)
	}
	return strings.Join(s, " ")
}

var errPlain = errors.New("no lambda error")
