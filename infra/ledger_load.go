package main

import (
	"encoding/json"

	"godwit/internal/config"
)

// The definition of LedgerLoad, in JSONata throughout:
//
//	Preflight -> Prepare -> Plan -> published already? ------------------------+
//	                                  | no                                     |
//	                                  v                                        |
//	        Parallel { Map(Transform) ; Map(Count) }                           |
//	                                  |                                        |
//	                                  v                                        v
//	        +-> NextPhase -> any tasks? -> Map(Task) -> another phase? -no-> Report
//	        +------------------------------------------------ yes -'
//
// What the functions take and give (members in PascalCase):
//
//	Preflight  the execution's input   -> {Missing, Warnings}
//	Prepare    {Input, Preflight}      -> {}
//	Plan       {Input, Execution}      -> {LoadId, Published, Items: {Bucket, Key}, ItemCount}
//	Transform  {LoadId, Items, Resume} -> {Done, Resume?}
//	Count      {LoadId, Items, Resume} -> {Done, Resume?}
//	Phase      {LoadId, Phase}         -> {Tasks: {Bucket, Key}, Count, Next}
//	Task       {LoadId, Items, Resume} -> {Done, Resume?, WaitSeconds}
//	Report     {LoadId, Execution}     -> the execution's output
//
// Resume is null at first, then what the last answer held.
//
// Every step may be repeated: an execution that failed is redriven, or another
// is started with the same input, and goes on where the first one stopped.
//
// State data holds names and counts, never values of the ledger.

const (
	// The first phase; every answer of the phase function names the next one, and
	// "" ends the loop. It is bounded by the phases that the function knows.
	firstPhase = "import"

	// Items of 128 MB per child: a child starts in about a second, so four of
	// them make the start cheap and still spread a small archive.
	itemsPerChild = 4
	// Tasks take some 15 seconds in the database; a child a task is the easiest
	// to read in the console and to redrive.
	tasksPerChild = 1

	// A turn of a child is one call of its function, or a call and a wait: 9
	// events, and 3 more a retry. 400 turns with every retry used are 20,400 of
	// the 25,000 events that an execution may have. A function works up to a
	// quarter of an hour a turn, so no honest child comes near.
	maxTurns      = 400
	serviceTries  = 6
	functionTries = 8

	// A reply that never comes: Step Functions would wait for a year.
	callMinutes = 16
	// The whole execution. A load that takes longer than this wants attention;
	// a new start goes on where it stopped.
	loadDays = 14
)

// errorAgain is the name of the error that functions answer with when trying
// again later may help: a database that resumes, a throttled call. Errors named
// Stop… are never retried, because no retrier names them.
const errorAgain = "Again"

// object is a JSON object of a definition.
type object = map[string]any

// LedgerLoadProps are the references in the definition.
type LedgerLoadProps struct {
	Partition   string
	WorkBucket  string
	Functions   map[string]string // ARN by the name of the function
	Concurrency Concurrency
}

// LedgerLoadDefinition writes the definition in the Amazon States Language.
func LedgerLoadDefinition(p LedgerLoadProps) (string, error) {
	read := object{
		"Type": "Parallel",
		"Branches": []object{
			branch("Transform", p.eachItem("Transform", config.LedgerTransform)),
			branch("Count", p.eachItem("Count", config.LedgerCount)),
		},
		"Next": "NextPhase",
	}
	definition := object{
		"Comment":        "Loads the journal export of a ledger into Aurora PostgreSQL",
		"QueryLanguage":  "JSONata",
		"StartAt":        "Preflight",
		"TimeoutSeconds": loadDays * 24 * 3600,
		"States": object{
			"Preflight": with(p.call(config.LedgerPreflight, "{% $states.input %}"), object{
				"Comment": "Names everything that is missing",
				"Assign":  object{"input": "{% $states.input %}"},
				"Next":    "Prepare",
			}),
			"Prepare": with(p.call(config.TargetPrepare, object{"Input": "{% $input %}", "Preflight": "{% $states.input %}"}), object{
				"Comment": "Extension, loader role, grants; stops the load when something is missing. The only holder of the admin secret",
				"Next":    "Plan",
			}),
			"Plan": with(p.call(config.LedgerPlan, object{"Input": "{% $input %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
				"Comment": "Cuts the archive into items of block ranges",
				"Assign": object{
					"load":  "{% $states.result.Payload %}",
					"phase": "{% {'Next': '" + firstPhase + "'} %}",
				},
				"Next": "Published",
			}),
			"Published": object{
				"Type":    "Choice",
				"Comment": "The same input is the same load: what is visible already is only reported",
				"Choices": []object{
					{"Condition": "{% $load.Published %}", "Next": "Report"},
					// A map over an empty object fails.
					{"Condition": "{% $load.ItemCount = 0 %}", "Next": "NextPhase"},
				},
				"Default": "Read",
			},
			"Read": read,
			"NextPhase": with(p.call(config.LedgerPhase, object{"LoadId": "{% $load.LoadId %}", "Phase": "{% $phase.Next %}"}), object{
				"Comment": "Checks what the phase stands on and writes its tasks",
				"Output":  "{% $merge([$states.result.Payload, {'LoadId': $load.LoadId}]) %}",
				"Assign":  object{"phase": "{% $states.result.Payload %}"},
				"Next":    "AnyTasks",
			}),
			"AnyTasks": object{
				"Type":    "Choice",
				"Choices": []object{{"Condition": "{% $phase.Count > 0 %}", "Next": "Tasks"}},
				"Default": "AnotherPhase",
			},
			"Tasks": with(p.eachTask(), object{"Next": "AnotherPhase"}),
			"AnotherPhase": object{
				"Type":    "Choice",
				"Choices": []object{{"Condition": "{% $phase.Next != '' %}", "Next": "NextPhase"}},
				"Default": "Report",
			},
			"Report": with(p.call(config.LedgerReport, object{"LoadId": "{% $load.LoadId %}", "Published": "{% $load.Published %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
				"End": true,
			}),
		},
	}
	text, err := json.Marshal(definition)
	return string(text), err
}

// call is a task state that calls a function with a payload and gives its
// answer on as the state's output.
func (p LedgerLoadProps) call(function string, payload any) object {
	return object{
		"Type":           "Task",
		"Resource":       "arn:" + p.Partition + ":states:::lambda:invoke",
		"Arguments":      object{"FunctionName": p.Functions[function], "Payload": payload},
		"Output":         "{% $states.result.Payload %}",
		"TimeoutSeconds": callMinutes * 60,
		"Retry": []object{
			// The service's own troubles, and processes that died: the functions
			// are safe to repeat.
			retry(2, serviceTries, 60, "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException",
				"Lambda.TooManyRequestsException", "Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "States.Timeout"),
			// About nine minutes in all: a paused cluster wakes in less than one.
			retry(5, functionTries, 120, errorAgain),
		},
	}
}

// retry waits seconds, then twice as long each time up to most, with full
// jitter so that many children do not come back at once.
func retry(seconds, attempts, most int, errors ...string) object {
	return object{
		"ErrorEquals": errors, "IntervalSeconds": seconds, "MaxAttempts": attempts,
		"BackoffRate": 2, "MaxDelaySeconds": most, "JitterStrategy": "FULL",
	}
}

// eachItem is a map over the plan's items, whose children call the function
// until it is done.
func (p LedgerLoadProps) eachItem(label, function string) object {
	return p.distributed(label, object{
		"Bucket": "{% $states.input.Items.Bucket %}",
		"Key":    "{% $states.input.Items.Key %}",
	}, itemsPerChild, p.Concurrency.Transform, p.turns(label, function, false))
}

// eachTask is a map over the phase's tasks, whose children call the function
// until it is done and wait in between as long as it says. The concurrency is of
// its own: the database bounds it, not the archive.
func (p LedgerLoadProps) eachTask() object {
	return p.distributed("Task", object{
		"Bucket": "{% $states.input.Tasks.Bucket %}",
		"Key":    "{% $states.input.Tasks.Key %}",
	}, tasksPerChild, p.Concurrency.Tasks, p.turns("Task", config.TargetTask, true))
}

// distributed is a Distributed Map over the lines of an object on S3. Its fields
// read the state's input, which holds LoadId: a Distributed Map cannot refer to
// variables from around it (Developer Guide, scope of variables). One failed
// child fails it: a load is whole or it is not published.
func (p LedgerLoadProps) distributed(label string, lines object, batch, concurrency int, processor object) object {
	return object{
		"Type":  "Map",
		"Label": label,
		"ItemReader": object{
			"Resource":     "arn:" + p.Partition + ":states:::s3:getObject",
			"ReaderConfig": object{"InputType": "JSONL"},
			"Arguments":    lines,
		},
		"ItemBatcher": object{
			"MaxItemsPerBatch": batch,
			"BatchInput":       object{"LoadId": "{% $states.input.LoadId %}"},
		},
		"MaxConcurrency":             concurrency,
		"ToleratedFailurePercentage": 0,
		"ItemProcessor":              processor,
		"ResultWriter": object{
			"Resource":     "arn:" + p.Partition + ":states:::s3:putObject",
			"WriterConfig": object{"Transformation": "NONE", "OutputType": "JSON"},
			"Arguments": object{
				"Bucket": p.WorkBucket,
				"Prefix": "{% '" + loadsPrefix + "' & $states.input.LoadId & '/results/" + label + "' %}",
			},
		},
	}
}

// turns is the child of a map: it calls the function, and again with what the
// function wants to resume from, until it is done. Names of states are unique in
// the whole definition, children included, so that they begin with the label.
func (p LedgerLoadProps) turns(label, function string, waits bool) object {
	name := func(state string) string { return label + state }
	choices := []object{
		{"Condition": "{% $states.input.Done %}", "Next": name("Finished")},
		{"Condition": "{% $turn >= " + number(maxTurns) + " %}", "Next": name("TooLong")},
	}
	states := object{
		name("Begin"): object{
			"Type":   "Pass",
			"Assign": object{"batch": "{% $states.input %}", "resume": "{% null %}", "turn": 0},
			"Next":   name("Work"),
		},
		name("Work"): with(p.call(function, object{
			"LoadId": "{% $batch.BatchInput.LoadId %}",
			"Items":  "{% $batch.Items %}",
			"Resume": "{% $resume %}",
		}), object{
			"Assign": object{
				"resume": "{% $exists($states.result.Payload.Resume) ? $states.result.Payload.Resume : null %}",
				"turn":   "{% $turn + 1 %}",
			},
			"Next": name("Done"),
		}),
		name("TooLong"): object{
			"Type":  "Fail",
			"Error": "StopTooLong",
			"Cause": function + " is not done after " + number(maxTurns) + " calls; start LedgerLoad again with the same input to go on from here",
		},
		name("Finished"): object{"Type": "Succeed"},
	}
	if waits {
		choices = append(choices, object{"Condition": "{% $states.input.WaitSeconds > 0 %}", "Next": name("Wait")})
		states[name("Wait")] = object{"Type": "Wait", "Seconds": "{% $states.input.WaitSeconds %}", "Next": name("Work")}
	}
	states[name("Done")] = object{"Type": "Choice", "Choices": choices, "Default": name("Work")}
	return object{
		"ProcessorConfig": object{"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
		"StartAt":         name("Begin"),
		"States":          states,
	}
}

// branch is a branch of one state.
func branch(name string, state object) object {
	return object{"StartAt": name, "States": object{name: with(state, object{"End": true})}}
}

// with is o with the members of more.
func with(o, more object) object {
	for name, value := range more {
		o[name] = value
	}
	return o
}

func number(n int) string {
	text, _ := json.Marshal(n) // an int always marshals
	return string(text)
}
