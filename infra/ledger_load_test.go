package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// states visits every state of a definition, children of maps and branches
// included, with the names of its machine.
func states(machine map[string]any, visit func(name string, state, siblings map[string]any)) {
	siblings := machine["States"].(map[string]any)
	for _, name := range sortedKeys(siblings) {
		state := siblings[name].(map[string]any)
		visit(name, state, siblings)
		if p, ok := state["ItemProcessor"].(map[string]any); ok {
			states(p, visit)
		}
		branches, _ := state["Branches"].([]any)
		for _, b := range branches {
			states(b.(map[string]any), visit)
		}
	}
}

func TestDefinitionHoldsTogether(t *testing.T) {
	d := synthesize(t, "demo").definition(t)
	if d["QueryLanguage"] != "JSONata" {
		t.Errorf("the query language is %v", d["QueryLanguage"])
	}
	// JSONPath would still be taken, one state at a time.
	path := regexp.MustCompile(`^(InputPath|OutputPath|Parameters|ResultPath|ResultSelector|ItemsPath)$|\.\$$`)
	seen := map[string]bool{}
	states(d, func(name string, state, siblings map[string]any) {
		// As AWS does, in the whole definition.
		if seen[name] {
			t.Errorf("two states are named %s", name)
		}
		seen[name] = true
		var next []string
		for _, member := range []string{"Next", "Default"} {
			if n, ok := state[member].(string); ok {
				next = append(next, n)
			}
		}
		choices, _ := state["Choices"].([]any)
		for _, c := range choices {
			next = append(next, c.(map[string]any)["Next"].(string))
		}
		for _, n := range next {
			if siblings[n] == nil {
				t.Errorf("state %s goes to %s, which is not there", name, n)
			}
		}
		ends := state["End"] == true || state["Type"] == "Succeed" || state["Type"] == "Fail"
		if ends == (len(next) > 0) {
			t.Errorf("state %s ends: %v, goes on to %v", name, ends, next)
		}
		for member := range maps.Keys(state) {
			if path.MatchString(member) {
				t.Errorf("state %s has the JSONPath member %s", name, member)
			}
		}
	})
}

func TestEveryCallIsRetriedByTheSameRules(t *testing.T) {
	s := synthesize(t, "demo")
	called := map[string]int{}
	states(s.definition(t), func(name string, state, _ map[string]any) {
		if state["Type"] != "Task" {
			return
		}
		called[at(state, "Arguments", "FunctionName").(string)]++
		if seconds, _ := state["TimeoutSeconds"].(float64); seconds <= 15*60 {
			t.Errorf("state %s gives up after %v s, before its function does", name, seconds)
		}
		var errors []string
		tries := 0.0
		for _, r := range state["Retry"].([]any) {
			retrier := r.(map[string]any)
			for _, e := range retrier["ErrorEquals"].([]any) {
				errors = append(errors, e.(string))
			}
			tries += retrier["MaxAttempts"].(float64)
			if retrier["JitterStrategy"] != "FULL" || retrier["MaxDelaySeconds"] == nil || retrier["BackoffRate"] != 2.0 {
				t.Errorf("state %s waits by %v", name, retrier)
			}
		}
		for _, want := range []string{
			"Again", "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException",
			"Lambda.TooManyRequestsException", "Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError",
		} {
			if !slices.Contains(errors, want) {
				t.Errorf("state %s does not retry %s", name, want)
			}
		}
		for _, e := range errors {
			if strings.HasPrefix(e, "Stop") || e == "States.ALL" || e == "States.TaskFailed" {
				t.Errorf("state %s retries %s: an integrity error must stop the load", name, e)
			}
		}
		// AWS ends an execution at 25,000 events.
		if events := maxTurns * (9 + 3*tries); events > 25000 {
			t.Errorf("a child may have %v events", events)
		}
	})
	for _, f := range s.resources("AWS::Lambda::Function") {
		if n := called["${"+f.ID+".Arn}"]; n != 1 {
			t.Errorf("function %s is called by %d states, want 1", f, n)
		}
	}
}

func TestMapsAreBoundedAndWriteTheirResults(t *testing.T) {
	for _, name := range []string{"demo", "prod"} {
		s := synthesize(t, name)
		want := map[string]int{
			"Transform": s.Environment.Concurrency.Transform,
			"Count":     s.Environment.Concurrency.Transform,
			"Task":      s.Environment.Concurrency.Tasks,
		}
		found := 0
		states(s.definition(t), func(name string, state, _ map[string]any) {
			if state["Type"] != "Map" {
				return
			}
			found++
			label := state["Label"].(string)
			if got, _ := state["MaxConcurrency"].(float64); int(got) != want[label] || got == 0 {
				t.Errorf("map %s runs %v children at once, want %d", name, got, want[label])
			}
			if at(state, "ItemProcessor", "ProcessorConfig", "Mode") != "DISTRIBUTED" || at(state, "ItemProcessor", "ProcessorConfig", "ExecutionType") != "STANDARD" {
				t.Errorf("map %s: %v", name, at(state, "ItemProcessor", "ProcessorConfig"))
			}
			if at(state, "ItemReader", "ReaderConfig", "InputType") != "JSONL" || at(state, "ItemBatcher", "BatchInput", "LoadId") == nil {
				t.Errorf("map %s reads %v, batches %v", name, state["ItemReader"], state["ItemBatcher"])
			}
			if prefix, _ := at(state, "ResultWriter", "Arguments", "Prefix").(string); !strings.Contains(prefix, "/results/"+label) {
				t.Errorf("map %s writes its results to %q", name, prefix)
			}
			// Variables of the machine do not reach into a Distributed Map.
			for _, member := range []string{"ItemReader", "ItemBatcher", "ResultWriter"} {
				text, _ := json.Marshal(state[member])
				if m := regexp.MustCompile(`\$(load|phase|input)\b`).Find(text); m != nil {
					t.Errorf("map %s refers to %s in %s", name, m, member)
				}
			}
			if state["ToleratedFailurePercentage"] != 0.0 || state["Retry"] != nil {
				t.Errorf("map %s tolerates %v, retries %v: a retry would begin all items anew", name, state["ToleratedFailurePercentage"], state["Retry"])
			}
		})
		if found != 3 {
			t.Errorf("%d maps, want 3", found)
		}
	}
}

// The state machine's log must not hold what executions carry.
func TestLogsHoldNoExecutionData(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, m := range s.resources("AWS::StepFunctions::StateMachine") {
			if at(m.Properties, "LoggingConfiguration", "IncludeExecutionData") != false || at(m.Properties, "LoggingConfiguration", "Level") != "ALL" {
				t.Errorf("%s logs %v", m, m.Properties["LoggingConfiguration"])
			}
			if at(m.Properties, "TracingConfiguration", "Enabled") != true {
				t.Errorf("%s is not traced", m)
			}
			if m.Properties["StateMachineName"] != "LedgerLoad-"+s.Environment.Name {
				t.Errorf("%s is named %v", m, m.Properties["StateMachineName"])
			}
		}
	})
}
