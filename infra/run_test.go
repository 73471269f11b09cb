package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/config"
	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
)

// A stage runs a definition with functions and objects that a test makes up: what
// the definitions decide, without what the functions do.
type stage struct {
	t         *testing.T
	engine    *asl.Engine
	functions map[string]func(in map[string]any) (any, error)
	objects   map[string][]byte // by bucket/key

	mu    sync.Mutex
	calls []call
}

type call struct {
	function string
	payload  map[string]any
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, functions: map[string]func(map[string]any) (any, error){}, objects: map[string][]byte{}}
	s.engine = &asl.Engine{Clock: &asl.FastClock{Longest: time.Millisecond}, Authorizer: s, Functions: s, Objects: s}
	return s
}

func (s *stage) Authorize(string, string, string, map[string]string) error { return nil }

func (s *stage) Invoke(_ context.Context, function string, payload []byte) ([]byte, error) {
	var in map[string]any
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.calls = append(s.calls, call{function, in})
	f := s.functions[function]
	s.mu.Unlock()
	if f == nil {
		return nil, fail("Stop", "nobody calls "+function+" here")
	}
	out, err := f(in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (s *stage) Get(_ context.Context, _, bucket, key string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[bucket+"/"+key]
	if !ok {
		return nil, fmt.Errorf("there is no s3://%s/%s", bucket, key)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s *stage) Put(_ context.Context, _, bucket, key string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[bucket+"/"+key] = body
	return nil
}

func (s *stage) List(context.Context, string, string, string) iter.Seq2[asl.Object, error] {
	return func(func(asl.Object, error) bool) {}
}

// lines puts an object of JSON Lines and returns where it is.
func (s *stage) lines(key string, values ...any) object {
	var b bytes.Buffer
	for _, v := range values {
		text, _ := json.Marshal(v)
		b.Write(append(text, '\n'))
	}
	s.objects["work/"+key] = b.Bytes()
	return object{"Bucket": "work", "Key": key}
}

// run runs a definition to its end.
func (s *stage) run(definition func(DefinitionProps) (string, error), input any) (*asl.Execution, asl.Result) {
	s.t.Helper()
	functionNames := map[string]string{}
	for _, f := range functions {
		functionNames[f] = f
	}
	text, err := definition(DefinitionProps{Partition: "aws", WorkBucket: "work", Functions: functionNames, Concurrency: Concurrency{Transform: 3, Tasks: 2}})
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := asl.Parse([]byte(text), s.engine.Resources)
	if err != nil {
		s.t.Fatal(err)
	}
	in, err := json.Marshal(input)
	if err != nil {
		s.t.Fatal(err)
	}
	machine := &asl.StateMachine{ARN: "arn:aws:states:eu-west-1:111122223333:stateMachine:M", Name: "M", Role: "role", Machine: m, Definition: text}
	x, err := s.engine.Start(s.t.Context(), machine, "x", in)
	if err != nil {
		s.t.Fatal(err)
	}
	return x, s.wait(x)
}

func (s *stage) wait(x *asl.Execution) asl.Result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	r, err := x.Wait(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// called are the functions by the order of their first calls, and how often.
func (s *stage) called() (order []string, times map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	times = map[string]int{}
	for _, c := range s.calls {
		if times[c.function]++; times[c.function] == 1 {
			order = append(order, c.function)
		}
	}
	return order, times
}

// payloads are what a function was called with, in order.
func (s *stage) payloads(function string) (list []map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.function == function {
			list = append(list, c.payload)
		}
	}
	return list
}

func fail(kind, message string) error { return &lambda.Error{Type: kind, Message: message} }

func answers(out any) func(map[string]any) (any, error) {
	return func(map[string]any) (any, error) { return out, nil }
}

// loading is a stage for LedgerLoad with n items, whose every work is done at
// the second turn.
func loading(t *testing.T, n int) *stage {
	s := newStage(t)
	var items []any
	for i := range n {
		items = append(items, object{"Number": i})
	}
	s.functions[config.LedgerPreflight] = answers(object{"Missing": []string{"a role"}, "Warnings": []string{}})
	s.functions[config.TargetPrepare] = answers(object{})
	s.functions[config.LedgerPlan] = answers(object{"LoadId": "l1", "Published": false, "ItemCount": n, "Typed": false, "Items": s.lines("loads/l1/items.jsonl", items...)})
	twice := func(in map[string]any) (any, error) {
		if in["Resume"] == nil {
			return object{"Done": false, "Resume": object{"Item": 1}, "WaitSeconds": 0}, nil
		}
		return object{"Done": true}, nil
	}
	for _, f := range []string{config.LedgerTransform, config.LedgerCount, config.LedgerSurvey, config.TargetTask} {
		s.functions[f] = twice
	}
	s.functions[config.LedgerPhase] = func(in map[string]any) (any, error) {
		next := map[any]string{"import": "reconcile", "reconcile": "visible", "visible": ""}[in["Phase"]]
		if in["Phase"] == "reconcile" {
			return object{"Phase": "reconcile", "Count": 0, "Next": next}, nil
		}
		return object{"Phase": in["Phase"], "Count": 2, "Next": next, "Tasks": s.lines(fmt.Sprint("loads/l1/tasks/", in["Phase"]), object{"Name": "a"}, object{"Name": "b"})}, nil
	}
	s.functions[config.LedgerReport] = answers(object{"LoadId": "l1", "Verdict": "as told"})
	return s
}

// A plan opens the target nowhere: no function that holds a secret but the plan's
// own, which leaves it alone, and the report's.
func TestPlanModeLeavesTheTargetAlone(t *testing.T) {
	s := loading(t, 6)
	_, r := s.run(LedgerLoadDefinition, object{"Bucket": "b", "Mode": "plan"})
	if r.Status != asl.Succeeded {
		t.Fatalf("the plan %s: %v", r.Status, r.Error)
	}
	order, times := s.called()
	want := []string{config.LedgerPreflight, config.LedgerPlan, config.LedgerSurvey, config.LedgerReport}
	// 6 items, 4 a child: two children of two turns.
	if !slices.Equal(order, want) || times[config.LedgerSurvey] != 4 {
		t.Errorf("called are %v, the survey %d times, want %v and 4", order, times[config.LedgerSurvey], want)
	}
	if p := s.payloads(config.LedgerSurvey)[0]; p["LoadId"] != "l1" || len(p["Items"].([]any)) == 0 {
		t.Errorf("the survey is given %v", p)
	}
	p := s.payloads(config.LedgerReport)[0]
	if p["Mode"] != "plan" || p["LoadId"] != "l1" || fmt.Sprint(at(p, "Preflight", "Missing")) != "[a role]" {
		t.Errorf("the report is given %v", p)
	}
	if !strings.Contains(string(r.Output), "as told") {
		t.Errorf("the output is %s", r.Output)
	}
	for key := range s.objects {
		if strings.Contains(key, "/results/") && !strings.HasPrefix(key, "work/loads/l1/results/Survey/") {
			t.Errorf("results are at %s", key)
		}
	}
}

func TestPlanOfNothingIsReported(t *testing.T) {
	s := loading(t, 0)
	if _, r := s.run(LedgerLoadDefinition, object{"Bucket": "b", "Mode": "plan"}); r.Status != asl.Succeeded {
		t.Fatalf("the plan %s: %v", r.Status, r.Error)
	}
	if order, _ := s.called(); !slices.Equal(order, []string{config.LedgerPreflight, config.LedgerPlan, config.LedgerReport}) {
		t.Errorf("called are %v", order)
	}
}

// Types are learned once, before anybody reads, in plan mode as in a load.
func TestTypesAreLearnedBeforeThePasses(t *testing.T) {
	for mode, want := range map[string][]string{
		"plan": {config.LedgerPreflight, config.LedgerPlan, config.LedgerTyping, config.LedgerSurvey, config.LedgerReport},
		"load": {config.LedgerPreflight, config.TargetPrepare, config.LedgerPlan, config.LedgerTyping, config.LedgerCount, config.LedgerTransform, config.LedgerPhase, config.TargetTask, config.LedgerReport},
	} {
		s := loading(t, 6)
		plan := s.functions[config.LedgerPlan]
		s.functions[config.LedgerPlan] = func(in map[string]any) (any, error) {
			out, err := plan(in)
			return with(out.(object), object{"Typed": true}), err
		}
		s.functions[config.LedgerTyping] = answers(object{"Tables": 3})
		if _, r := s.run(LedgerLoadDefinition, object{"Bucket": "b", "Mode": mode}); r.Status != asl.Succeeded {
			t.Fatalf("%s %s: %v", mode, r.Status, r.Error)
		}
		order, times := s.called()
		if i := slices.Index(order, config.LedgerTransform); i > 0 && order[i+1] == config.LedgerCount { // they run side by side
			order[i], order[i+1] = order[i+1], order[i]
		}
		if !slices.Equal(order, want) || times[config.LedgerTyping] != 1 {
			t.Errorf("%s: called are %v, the typing %d times, want %v", mode, order, times[config.LedgerTyping], want)
		}
		if p := s.payloads(config.LedgerTyping)[0]; len(p) != 2 || p["LoadId"] != "l1" || p["Mode"] != mode {
			t.Errorf("%s: the typing is given %v", mode, p)
		}
	}
}

func TestLoadGoesThroughAllPhases(t *testing.T) {
	s := loading(t, 6)
	_, r := s.run(LedgerLoadDefinition, object{"Bucket": "b"})
	if r.Status != asl.Succeeded {
		t.Fatalf("the load %s: %v", r.Status, r.Error)
	}
	_, times := s.called()
	for f, want := range map[string]int{
		config.TargetPrepare: 1, config.LedgerTransform: 4, config.LedgerCount: 4, config.LedgerSurvey: 0, config.LedgerPhase: 3, config.TargetTask: 8, config.LedgerReport: 1,
	} {
		if times[f] != want {
			t.Errorf("%s is called %d times, want %d", f, times[f], want)
		}
	}
	if p := s.payloads(config.TargetPrepare)[0]; fmt.Sprint(at(p, "Preflight", "Missing")) != "[a role]" || at(p, "Input", "Bucket") != "b" {
		t.Errorf("prepare is given %v", p)
	}
	if p := s.payloads(config.LedgerReport)[0]; p["Mode"] != "load" || p["Published"] != false || p["Execution"] != "x" {
		t.Errorf("the report is given %v", p)
	}
}

// proving is a stage for LedgerProve with n items.
func proving(t *testing.T, n int) *stage {
	s := newStage(t)
	var items []any
	for i := range n {
		items = append(items, object{"Number": i})
	}
	s.functions[config.ProvePlan] = answers(object{"ProofId": "p1", "ItemCount": n, "Items": s.lines("proofs/p1/items.jsonl", items...)})
	s.functions[config.ProveBlocks] = func(in map[string]any) (any, error) {
		if in["Resume"] == nil {
			return object{"Done": false, "Resume": object{"Item": 1}}, nil
		}
		return object{"Done": true}, nil
	}
	s.functions[config.ProveReport] = answers(object{"ProofId": "p1", "Level": 3})
	return s
}

func TestProofIsConcludedBehindAllBlocks(t *testing.T) {
	for n, calls := range map[int]int{0: 0, 9: 6} {
		s := proving(t, n)
		_, r := s.run(LedgerProveDefinition, object{"Bucket": "b"})
		if r.Status != asl.Succeeded || string(r.Output) != `{"Level":3,"ProofId":"p1"}` {
			t.Fatalf("%d items: the proof %s: %v %s", n, r.Status, r.Error, r.Output)
		}
		order, times := s.called()
		if times[config.ProveBlocks] != calls || order[0] != config.ProvePlan || order[len(order)-1] != config.ProveReport {
			t.Errorf("%d items: calls %v", n, order)
		}
		if p := s.payloads(config.ProvePlan)[0]; p["Execution"] != "x" || at(p, "Input", "Bucket") != "b" {
			t.Errorf("the plan is given %v", p)
		}
		for _, p := range s.payloads(config.ProveBlocks) {
			if p["ProofId"] != "p1" || len(p["Items"].([]any)) == 0 {
				t.Errorf("a child is given %v", p)
			}
		}
		if p := s.payloads(config.ProveReport)[0]; p["ProofId"] != "p1" || p["Execution"] != "x" || len(p) != 2 {
			t.Errorf("the report is given %v", p)
		}
	}
}

// What a contradicted archive ends with is what its report says, and no retry.
func TestContradictedProofFailsOnce(t *testing.T) {
	s := proving(t, 1)
	s.functions[config.ProveReport] = func(map[string]any) (any, error) { return nil, fail("Stop", "tampered: block 7") }
	_, r := s.run(LedgerProveDefinition, object{"Bucket": "b"})
	if r.Status != asl.Failed || r.Error == nil || r.Error.Name != "Stop" || !strings.Contains(r.Error.Cause, "tampered: block 7") {
		t.Errorf("the proof %s: %v", r.Status, r.Error)
	}
	if _, times := s.called(); times[config.ProveReport] != 1 {
		t.Errorf("calls: %v", times)
	}
}

// exporting is a stage for LedgerExport with n windows, two at once.
func exporting(t *testing.T, n int) *stage {
	s := newStage(t)
	var windows []any
	for i := range n {
		windows = append(windows, object{"Number": i})
	}
	s.functions[config.LedgerDigest] = answers(object{"Ledger": "l", "ConcurrentExports": 2})
	s.functions[config.LedgerSplit] = answers(object{"ExportId": "e1", "Count": n, "Windows": s.lines("exports/e1/windows.jsonl", windows...)})
	s.functions[config.LedgerExport] = func(in map[string]any) (any, error) {
		switch in["Resume"] {
		case nil:
			return object{"Done": false, "Resume": "under way", "WaitSeconds": 300}, nil
		default:
			return object{"Done": true, "WaitSeconds": 0}, nil
		}
	}
	s.functions[config.LedgerProofs] = func(in map[string]any) (any, error) {
		if in["Resume"] == nil {
			return object{"Done": false, "Resume": object{"Next": 3}, "WaitSeconds": 0}, nil
		}
		return object{"Done": true, "WaitSeconds": 0, "Output": object{"Bucket": "b", "ExportIds": []string{"q1"}}}, nil
	}
	return s
}

func TestExportGivesAnInputOfALoad(t *testing.T) {
	s := exporting(t, 5)
	most, now := 0, 0
	begin := s.functions[config.LedgerExport]
	s.functions[config.LedgerExport] = func(in map[string]any) (any, error) {
		s.mu.Lock()
		if in["Resume"] == nil {
			now++
			most = max(most, now)
		} else {
			now--
		}
		s.mu.Unlock()
		return begin(in)
	}
	_, r := s.run(LedgerExportDefinition, object{"LedgerName": "l"})
	if r.Status != asl.Succeeded || string(r.Output) != `{"Bucket":"b","ExportIds":["q1"]}` {
		t.Fatalf("the export %s: %v %s", r.Status, r.Error, r.Output)
	}
	if most > 2 {
		t.Errorf("%d exports ran at once, the input allows 2", most)
	}
	_, times := s.called()
	if times[config.LedgerExport] != 10 || times[config.LedgerProofs] != 2 {
		t.Errorf("calls: %v", times)
	}
	if p := s.payloads(config.LedgerSplit)[0]; p["Execution"] != "x" || at(p, "Input", "Ledger") != "l" {
		t.Errorf("split is given %v", p)
	}
	if p := s.payloads(config.LedgerExport)[0]; p["ExportId"] != "e1" || len(p["Items"].([]any)) != 1 {
		t.Errorf("export is given %v", p)
	}
	if p := s.payloads(config.LedgerProofs)[1]; p["ExportId"] != "e1" || fmt.Sprint(p["Resume"]) != "map[Next:3]" {
		t.Errorf("proofs are given %v", p)
	}
}

func TestEndOfQLDBIsSaidAtOnce(t *testing.T) {
	s := exporting(t, 1)
	s.functions[config.LedgerDigest] = func(map[string]any) (any, error) { return nil, fail(errorServiceEnded, "no such host") }
	_, r := s.run(LedgerExportDefinition, object{"LedgerName": "l"})
	if r.Status != asl.Failed || r.Error == nil || r.Error.Name != errorServiceEnded || !strings.Contains(r.Error.Cause, "start LedgerLoad with") {
		t.Errorf("the export %s: %v", r.Status, r.Error)
	}
	if _, times := s.called(); times[config.LedgerDigest] != 1 {
		t.Errorf("the digest is asked for %d times, want 1: QLDB does not come back", times[config.LedgerDigest])
	}
}

// A ledger whose places are taken is waited for, for hours; the wait is not long
// only because the clock leaps.
func TestTakenPlacesAreWaitedFor(t *testing.T) {
	s := exporting(t, 1)
	begin, refused := s.functions[config.LedgerExport], 0
	s.functions[config.LedgerExport] = func(in map[string]any) (any, error) {
		s.mu.Lock()
		refused++
		n := refused
		s.mu.Unlock()
		if n <= limitTries {
			return nil, fail(errorLimit, "two exports are under way")
		}
		return begin(in)
	}
	from := s.engine.Clock.Now()
	if _, r := s.run(LedgerExportDefinition, object{"LedgerName": "l"}); r.Status != asl.Succeeded {
		t.Fatalf("the export %s: %v", r.Status, r.Error)
	}
	// Each wait is by chance: 200 of them lie within these bounds but once in
	// more than a billion runs.
	if waited := s.engine.Clock.Now().Sub(from); waited < 6*time.Hour || waited > 11*time.Hour {
		t.Errorf("it waited for %v, want about eight hours", waited)
	}
}

// What else fails is not caught, so that a redrive repeats only that.
func TestRedriveRepeatsTheFailedWindowOnly(t *testing.T) {
	s := exporting(t, 3)
	begin, broken := s.functions[config.LedgerExport], true
	s.functions[config.LedgerExport] = func(in map[string]any) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if broken && at(in["Items"].([]any)[0], "Number") == 2.0 {
			return nil, fail("StopCancelledExport", "QLDB cancelled it")
		}
		return begin(in)
	}
	x, r := s.run(LedgerExportDefinition, object{"LedgerName": "l"})
	if r.Status != asl.Failed {
		t.Fatalf("the export %s, want it to fail", r.Status)
	}
	_, before := s.called()
	s.mu.Lock()
	broken = false
	s.mu.Unlock()
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := s.wait(x); r.Status != asl.Succeeded {
		t.Fatalf("the redriven export %s: %v", r.Status, r.Error)
	}
	_, after := s.called()
	if after[config.LedgerDigest] != 1 || after[config.LedgerSplit] != 1 || after[config.LedgerExport]-before[config.LedgerExport] > 4 {
		t.Errorf("calls before the redrive %v, after it %v", before, after)
	}
}
