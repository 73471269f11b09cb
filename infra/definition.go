package main

import "encoding/json"

const (
	// A turn of a child is one call of its function, or a call and a wait: 9
	// events, and 3 more a retry. 400 turns with every retry used are 20,400 of
	// the 25,000 events that an execution may have. A function works up to a
	// quarter of an hour a turn, so no honest child comes near.
	maxTurns      = 400
	serviceTries  = 6
	functionTries = 8

	// A reply that never comes: Step Functions would wait for a year.
	callMinutes = 16
	// The whole execution. One that takes longer than this wants attention.
	executionDays = 14
)

// errorAgain is the name of the error that functions answer with when trying
// again later may help: a database that resumes, a throttled call. Errors named
// Stop… are never retried, because no retrier names them.
const errorAgain = "Again"

// object is a JSON object of a definition.
type object = map[string]any

// DefinitionProps are the references in a definition.
type DefinitionProps struct {
	Partition   string
	WorkBucket  string
	Functions   map[string]string // ARN by the name of the function
	Concurrency Concurrency
}

// A workflow writes the states of one state machine, in JSONata.
type workflow struct {
	DefinitionProps
	id     string // the member that names the run in the payloads of its functions: LoadId
	folder string // of the run in the work bucket, which the run's id follows: loads/
	anew   string // what to do after a run that does not end
}

// definition writes the machine in the Amazon States Language.
func (w workflow) definition(comment, start string, states object) (string, error) {
	text, err := json.Marshal(object{
		"Comment":        comment,
		"QueryLanguage":  "JSONata",
		"StartAt":        start,
		"TimeoutSeconds": executionDays * 24 * 3600,
		"States":         states,
	})
	return string(text), err
}

// call is a task state that calls a function with a payload and gives its
// answer on as the state's output.
func (w workflow) call(function string, payload any) object {
	return object{
		"Type":           "Task",
		"Resource":       "arn:" + w.Partition + ":states:::lambda:invoke",
		"Arguments":      object{"FunctionName": w.Functions[function], "Payload": payload},
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

// distributed is a Distributed Map over the lines of the object on S3 that the
// member lines of the state's input names. concurrency is a number or an
// expression. Its fields read the state's input, which holds the run's id: a
// Distributed Map cannot refer to variables from around it (Developer Guide,
// scope of variables). One failed child fails it: a run is whole or it is
// nothing.
func (w workflow) distributed(label, lines string, batch int, concurrency any, child object) object {
	return object{
		"Type":  "Map",
		"Label": label,
		"ItemReader": object{
			"Resource":     "arn:" + w.Partition + ":states:::s3:getObject",
			"ReaderConfig": object{"InputType": "JSONL"},
			"Arguments": object{
				"Bucket": "{% $states.input." + lines + ".Bucket %}",
				"Key":    "{% $states.input." + lines + ".Key %}",
			},
		},
		"ItemBatcher": object{
			"MaxItemsPerBatch": batch,
			"BatchInput":       object{w.id: "{% $states.input." + w.id + " %}"},
		},
		"MaxConcurrency":             concurrency,
		"ToleratedFailurePercentage": 0,
		"ItemProcessor": object{
			"ProcessorConfig": object{"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
			"StartAt":         label + "Begin",
			"States":          child,
		},
		"ResultWriter": object{
			"Resource":     "arn:" + w.Partition + ":states:::s3:putObject",
			"WriterConfig": object{"Transformation": "NONE", "OutputType": "JSON"},
			"Arguments": object{
				"Bucket": w.WorkBucket,
				"Prefix": "{% '" + w.folder + "' & $states.input." + w.id + " & '/results/" + label + "' %}",
			},
		},
	}
}

// batch are the turns of a map's child.
func (w workflow) batch(label, function string, waits bool) object {
	return w.turns(label, function, object{w.id: "{% $given.BatchInput." + w.id + " %}", "Items": "{% $given.Items %}"}, waits)
}

// turns are the states that call a function, and again with what it wants to
// resume from, until it is done, with waits in between as long as it says. They
// begin at <label>Begin and end at <label>Finished, whose input is the last
// answer; payload is of what the first state was given, $given. Names of states
// are unique in the whole definition, children included, so that they begin with
// the label.
func (w workflow) turns(label, function string, payload object, waits bool) object {
	name := func(state string) string { return label + state }
	choices := []object{
		{"Condition": "{% $states.input.Done %}", "Next": name("Finished")},
		{"Condition": "{% $turn >= " + number(maxTurns) + " %}", "Next": name("TooLong")},
	}
	states := object{
		name("Begin"): object{
			"Type":   "Pass",
			"Assign": object{"given": "{% $states.input %}", "resume": "{% null %}", "turn": 0},
			"Next":   name("Work"),
		},
		name("Work"): with(w.call(function, with(payload, object{"Resume": "{% $resume %}"})), object{
			"Assign": object{
				"resume": "{% $exists($states.result.Payload.Resume) ? $states.result.Payload.Resume : null %}",
				"turn":   "{% $turn + 1 %}",
			},
			"Next": name("Done"),
		}),
		name("TooLong"): object{
			"Type":  "Fail",
			"Error": "StopTooLong",
			"Cause": function + " is not done after " + number(maxTurns) + " calls; " + w.anew,
		},
		name("Finished"): object{"Type": "Succeed"},
	}
	if waits {
		choices = append(choices, object{"Condition": "{% $states.input.WaitSeconds > 0 %}", "Next": name("Wait")})
		states[name("Wait")] = object{"Type": "Wait", "Seconds": "{% $states.input.WaitSeconds %}", "Next": name("Work")}
	}
	states[name("Done")] = object{"Type": "Choice", "Choices": choices, "Default": name("Work")}
	return states
}

// phases are the states of a load's database work, phase by phase: the function
// phase checks what a phase stands on, writes its tasks and names the next, "" for
// the end; task does them. They begin at NextPhase, read the variables load and
// phase, and go on to Report. first are choices before another phase.
func (w workflow) phases(phase, task string, first ...object) object {
	return object{
		"NextPhase": with(w.call(phase, object{"LoadId": "{% $load.LoadId %}", "Phase": "{% $phase.Next %}"}), object{
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
		// The concurrency is of its own: the database bounds it, not the source.
		"Tasks": with(w.distributed("Task", "Tasks", tasksPerChild, w.Concurrency.Tasks, w.batch("Task", task, true)), object{
			"Next": "AnotherPhase",
		}),
		"AnotherPhase": object{
			"Type":    "Choice",
			"Choices": append(first, object{"Condition": "{% $phase.Next != '' %}", "Next": "NextPhase"}),
			"Default": "Report",
		},
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
