package events_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/events"
	"godwit/internal/local/iam"
	"godwit/internal/local/template"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

// A world is what a template makes: its rules, the function Fn and the state
// machine Machine.
type world struct {
	t      *testing.T
	clock  *asl.FastClock
	events *events.Service
	stacks []*template.Stack

	mu       sync.Mutex
	calls    []string // of functions and executions, with their input
	function func(payload []byte) error
	machine  func(name string) error
	faults   func(events.Event) events.Fault
}

// head makes the function, the state machine, a queue, a role for rules, and what
// may call them.
const head = `
"Fn": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["FnRole", "Arn"]}, "Code": {"S3Bucket": "assets", "S3Key": "fn.zip"}}},
"FnRole": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]},
  "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}]}}]}},
"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"RoleArn": {"Fn::GetAtt": ["FnRole", "Arn"]}}},
"Queue": {"Type": "AWS::SQS::Queue"},
"QueuePolicy": {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage",
  "Principal": {"Service": "events.amazonaws.com"}, "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}, "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}}}]}}},
"Caller": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": ["events.amazonaws.com", "scheduler.amazonaws.com"]},
  "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}}]},
  "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "states:StartExecution", "Resource": {"Ref": "Machine"}},
    {"Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": {"Fn::GetAtt": ["Fn", "Arn"]}}]}}]}},
"Permission": {"Type": "AWS::Lambda::Permission", "Properties": {"Action": "lambda:InvokeFunction", "FunctionName": {"Fn::GetAtt": ["Fn", "Arn"]}, "Principal": "events.amazonaws.com",
  "SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}}`

// Targets and patterns of rules.
const (
	snapshots = `"EventPattern": {"source": ["aws.rds"], "detail": {"EventID": ["RDS-EVENT-0075"]}}, "State": "ENABLED"`
	toFn      = `"Targets": [{"Arn": {"Fn::GetAtt": ["Fn", "Arn"]}, "Id": "Target0"}]`
	toMachine = `"Targets": [{"Arn": {"Ref": "Machine"}, "Id": "Target0", "RoleArn": {"Fn::GetAtt": ["Caller", "Arn"]}}]`
)

// rule is the resource Rule with properties.
func rule(properties ...string) string {
	return `"Rule": {"Type": "AWS::Events::Rule", "Properties": {` + strings.Join(properties, ", ") + `}}`
}

// load reads a template of head and more resources.
func load(t *testing.T, resources ...string) []*template.Stack {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"artifacts": {"a": {"type": "cdk:asset-manifest", "properties": {"file": "s.assets.json"}},
"s": {"type": "aws:cloudformation:stack", "environment": "aws://111122223333/us-east-1", "properties": {"templateFile": "s.json"}, "dependencies": ["a"]}}}`,
		"s.assets.json": `{"files": {"x": {"source": {"path": "fn"}, "destinations": {"d": {"objectKey": "fn.zip"}}}}}`,
		"s.json":        `{"Resources": {` + strings.Join(append(slices.Clone(resources), head), ",\n") + `}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stacks, err := template.Load(dir, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return stacks
}

// start starts the rules of a template.
func start(t *testing.T, resources ...string) *world {
	t.Helper()
	w := &world{t: t, clock: &asl.FastClock{Longest: time.Millisecond}, stacks: load(t, resources...)}
	judge, err := iam.FromStacks(w.stacks)
	w.must(err)
	invoking := map[string]events.Invoking{}
	for _, r := range template.ByType(w.stacks, "AWS::Lambda::EventInvokeConfig") {
		how, err := events.InvokingOf(r)
		w.must(err)
		how.Role = template.ByType(w.stacks, "AWS::Lambda::Function")[0].Properties["Role"].(string)
		invoking[template.ByType(w.stacks, "AWS::Lambda::Function")[0].ARN()] = how
	}
	w.events, err = events.New(events.Config{
		Account: account, Region: region, Clock: w.clock, Judge: judge, Functions: w, Executions: executions{w}, Invoking: invoking,
		Fault: func(e events.Event) events.Fault {
			if w.faults == nil {
				return events.None
			}
			return w.faults(e)
		},
	})
	w.must(err)
	t.Cleanup(w.events.Close)
	for _, kind := range []string{"AWS::Events::Rule", "AWS::Scheduler::Schedule"} {
		for _, r := range template.ByType(w.stacks, kind) {
			made, err := events.RuleOf(r)
			w.must(err)
			if made != nil {
				w.must(w.events.Create(*made))
			}
		}
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Invoke is the function.
func (w *world) Invoke(_ context.Context, arn string, payload []byte) ([]byte, error) {
	w.mu.Lock()
	w.calls = append(w.calls, string(payload))
	do := w.function
	w.mu.Unlock()
	if do == nil {
		return []byte("null"), nil
	}
	return nil, do(payload)
}

type executions struct{ w *world }

// Start is the state machine.
func (e executions) Start(_, name string, input []byte) error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if e.w.machine != nil {
		if err := e.w.machine(name); err != nil {
			return err
		}
	}
	e.w.calls = append(e.w.calls, name+" "+string(input))
	return nil
}

// put publishes that a snapshot was made, and waits for what follows.
func (w *world) put(number string) {
	w.t.Helper()
	w.events.Put(events.Event{
		Source: "aws.rds", DetailType: "RDS DB Cluster Snapshot Event", Resources: []string{"arn:aws:rds:us-east-1:111122223333:cluster-snapshot:nightly"},
		Detail: json.RawMessage(`{"EventID": "RDS-EVENT-` + number + `"}`),
	})
	w.must(w.events.Wait(w.t.Context()))
}

func (w *world) called() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// ended is the last delivery.
func (w *world) ended() events.Delivery {
	w.t.Helper()
	all := w.events.Deliveries()
	if len(all) == 0 {
		w.t.Fatal("nothing was delivered")
	}
	return all[len(all)-1]
}
