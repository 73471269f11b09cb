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

func TestDefinitionsHoldTogether(t *testing.T) {
	for machine, d := range synthesize(t, "demo").definitions(t) {
		t.Run(machine, func(t *testing.T) { holdsTogether(t, d) })
	}
}

func holdsTogether(t *testing.T, d map[string]any) {
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
		for _, member := range []string{"Choices", "Catch"} {
			list, _ := state[member].([]any)
			for _, c := range list {
				next = append(next, c.(map[string]any)["Next"].(string))
			}
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
		// The functions alone call services: QLDB is not one that Step Functions knows.
		if r, _ := state["Resource"].(string); state["Type"] == "Task" && !strings.HasSuffix(r, ":states:::lambda:invoke") {
			t.Errorf("state %s calls %s", name, r)
		}
	})
}

func TestEveryCallIsRetriedByTheSameRules(t *testing.T) {
	s := synthesize(t, "demo")
	called := map[string]int{}
	for _, d := range s.definitions(t) {
		states(d, func(name string, state, _ map[string]any) {
			if state["Type"] == "Task" {
				called[at(state, "Arguments", "FunctionName").(string)]++
				retriesByTheRules(t, name, state)
			}
		})
	}
	others := []string{"StreamApply", "StreamResume", "StreamReplay", "StreamStatus", "ProveRow"} // by Lambda, and by hand
	for _, f := range s.resources("AWS::Lambda::Function") {
		want := 1
		if slices.Contains(others, f.ID) {
			want = 0
		}
		if n := called["${"+f.ID+".Arn}"]; n != want {
			t.Errorf("function %s is called by %d states, want %d", f, n, want)
		}
	}
}

func retriesByTheRules(t *testing.T, name string, state map[string]any) {
	t.Helper()
	if seconds, _ := state["TimeoutSeconds"].(float64); seconds <= 15*60 {
		t.Errorf("state %s gives up after %v s, before its function does", name, seconds)
	}
	want := []string{
		"Again", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.ServiceException", "Lambda.TooManyRequestsException",
		"Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout",
	}
	// A ledger with as many exports as it may have answers so at the beginning of
	// an export, which is one turn of a child.
	once := 0.0
	if name == "ExportWork" {
		want = append(want, errorLimit)
	}
	var errors []string
	tries := 0.0
	for _, r := range state["Retry"].([]any) {
		retrier := r.(map[string]any)
		if retrier["JitterStrategy"] != "FULL" || retrier["MaxDelaySeconds"] == nil || retrier["BackoffRate"] != 2.0 {
			t.Errorf("state %s waits by %v", name, retrier)
		}
		list := retrier["ErrorEquals"].([]any)
		for _, e := range list {
			errors = append(errors, e.(string))
		}
		if list[0] == errorLimit {
			once += retrier["MaxAttempts"].(float64)
		} else {
			tries += retrier["MaxAttempts"].(float64)
		}
	}
	slices.Sort(errors)
	slices.Sort(want)
	// Above all no Stop… and no wildcard: an integrity error stops the workflow.
	if !slices.Equal(errors, want) {
		t.Errorf("state %s retries %v, want %v", name, errors, want)
	}
	// AWS ends an execution at 25,000 events.
	if events := maxTurns*(9+3*tries) + 3*once; events > 25000 {
		t.Errorf("a child of %s may have %v events", name, events)
	}
}

// A caught error cannot be redriven from where it came.
func TestOnlyTheEndOfQLDBIsCaught(t *testing.T) {
	caught := 0
	for machine, d := range synthesize(t, "demo").definitions(t) {
		states(d, func(name string, state, siblings map[string]any) {
			list, _ := state["Catch"].([]any)
			for _, c := range list {
				caught++
				next, _ := siblings[c.(map[string]any)["Next"].(string)].(map[string]any)
				errors, _ := c.(map[string]any)["ErrorEquals"].([]any)
				if machine != "LedgerExport" || len(errors) != 1 || errors[0] != errorServiceEnded || next["Type"] != "Fail" || next["Error"] != errorServiceEnded {
					t.Errorf("%s: state %s catches %v", machine, name, c)
				}
			}
		})
	}
	if caught != 1 {
		t.Errorf("%d errors are caught, want 1", caught)
	}
}

func TestMapsAreBoundedAndWriteTheirResults(t *testing.T) {
	for _, name := range []string{"demo", "prod"} {
		s := synthesize(t, name)
		passes := float64(s.Environment.Concurrency.Transform)
		want := map[string]struct {
			machine, id string
			concurrency any
		}{
			"Transform": {"LedgerLoad", "LoadId", passes},
			"Count":     {"LedgerLoad", "LoadId", passes},
			"Survey":    {"LedgerLoad", "LoadId", passes},
			"Task":      {"LedgerLoad", "LoadId", float64(s.Environment.Concurrency.Tasks)},
			"Blocks":    {"LedgerProve", "ProofId", passes},
			// ledger-digest bounds it.
			"Export": {"LedgerExport", "ExportId", "{% $states.input.ConcurrentExports %}"},
		}
		for machine, d := range s.definitions(t) {
			states(d, func(name string, state, _ map[string]any) {
				if state["Type"] != "Map" {
					return
				}
				label := state["Label"].(string)
				w, ok := want[label]
				if delete(want, label); !ok || w.machine != machine {
					t.Errorf("there is a map %s in %s", name, machine)
				}
				if got := state["MaxConcurrency"]; got != w.concurrency || got == 0.0 {
					t.Errorf("map %s runs %v children at once, want %v", name, got, w.concurrency)
				}
				if at(state, "ItemProcessor", "ProcessorConfig", "Mode") != "DISTRIBUTED" || at(state, "ItemProcessor", "ProcessorConfig", "ExecutionType") != "STANDARD" {
					t.Errorf("map %s: %v", name, at(state, "ItemProcessor", "ProcessorConfig"))
				}
				if at(state, "ItemReader", "ReaderConfig", "InputType") != "JSONL" || at(state, "ItemBatcher", "BatchInput", w.id) == nil {
					t.Errorf("map %s reads %v, batches %v", name, state["ItemReader"], state["ItemBatcher"])
				}
				if prefix, _ := at(state, "ResultWriter", "Arguments", "Prefix").(string); !strings.Contains(prefix, "/results/"+label) {
					t.Errorf("map %s writes its results to %q", name, prefix)
				}
				// Variables of the machine do not reach into a Distributed Map.
				for _, member := range []string{"ItemReader", "ItemBatcher", "ResultWriter", "MaxConcurrency"} {
					text, _ := json.Marshal(state[member])
					if m := regexp.MustCompile(`\$(load|phase|input|mode|preflight)\b`).Find(text); m != nil {
						t.Errorf("map %s refers to %s in %s", name, m, member)
					}
				}
				if state["ToleratedFailurePercentage"] != 0.0 || state["Retry"] != nil {
					t.Errorf("map %s tolerates %v, retries %v: a retry would begin all items anew", name, state["ToleratedFailurePercentage"], state["Retry"])
				}
			})
		}
		for label := range want {
			t.Errorf("there is no map %s", label)
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
			if m.Properties["StateMachineName"] != m.ID+"-"+s.Environment.Name {
				t.Errorf("%s is named %v", m, m.Properties["StateMachineName"])
			}
		}
	})
}
