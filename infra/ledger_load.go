package main

import "godwit/internal/config"

// The definition of LedgerLoad, in JSONata throughout:
//
//	Preflight -> Prepare -> Plan -> published already? ------------------------+
//	    |                    ^ |     any JSON? -> Typing, and on               |
//	    +---- plan only? ----+ |      | no                                     |
//	                           |      v                                        |
//	                           |  Parallel { Map(Transform) ; Map(Count) }     |
//	         plan only?        |      |                                        |
//	    +----------------------+      v                                        v
//	    |   +-> NextPhase -> any tasks? -> Map(Task) -> another phase? -no-> Report
//	    |   +------------------------------------------------ yes -'           ^  |
//	    +-> Map(Survey) -------------------------------------------------------+  v
//	                                                     EnableStream, where wanted
//
// What the functions take and give (members in PascalCase):
//
//	Preflight  the execution's input   -> {Missing, Warnings}
//	Prepare    {Input, Preflight}      -> {}
//	Plan       {Input, Execution}      -> {LoadId, Published, Items: {Bucket, Key}, ItemCount, Typed}
//	Typing     {LoadId, Mode}          -> {}
//	Transform  {LoadId, Items, Resume} -> {Done, Resume?}
//	Count      {LoadId, Items, Resume} -> {Done, Resume?}
//	Survey     {LoadId, Items, Resume} -> {Done, Resume?}
//	Phase      {LoadId, Phase}         -> {Tasks: {Bucket, Key}, Count, Next}
//	Task       {LoadId, Items, Resume} -> {Done, Resume?, WaitSeconds}
//	Report     {LoadId, Mode, Preflight, Published, Execution} -> the execution's output
//	Enable     {LoadId}                -> what the output has as Stream
//
// Resume is null at first, then what the last answer held. Mode is the input's:
// "load" or "plan", which reads, estimates and reports, and leaves the target
// alone. EnableStream true has changes follow from where the load ends: the last
// step of a load, and the only thing that makes a stream begin to be applied. An
// environment that no ledger streams to refuses it in the first state.
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
)

// LedgerLoadDefinition writes the definition in the Amazon States Language.
func LedgerLoadDefinition(p DefinitionProps) (string, error) {
	w := workflow{DefinitionProps: p, id: "LoadId", folder: loadsPrefix, anew: "start LedgerLoad again with the same input to go on from here"}
	states := object{
		"Preflight": with(w.call(config.LedgerPreflight, "{% $states.input %}"), object{
			"Comment": "Names everything that is missing",
			"Assign": object{
				"input":     "{% $states.input %}",
				"mode":      "{% $exists($states.input.Mode) ? $states.input.Mode : 'load' %}",
				"preflight": "{% $states.result.Payload %}",
			},
			"Next": "PlanOnly",
		}),
		"PlanOnly": object{
			"Type":    "Choice",
			"Comment": "A plan leaves the target alone; what is missing goes into its report",
			"Choices": []object{{"Condition": "{% $mode = 'plan' %}", "Next": "Plan"}},
			"Default": "Prepare",
		},
		"Prepare": with(w.call(config.TargetPrepare, object{"Input": "{% $input %}", "Preflight": "{% $preflight %}"}), object{
			"Comment": "Extension, loader role, grants; stops the load when something is missing. The only holder of the admin secret",
			"Next":    "Plan",
		}),
		"Plan": with(w.call(config.LedgerPlan, object{"Input": "{% $input %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
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
				{"Condition": "{% $mode = 'plan' and $load.ItemCount = 0 %}", "Next": "Report"},
				{"Condition": "{% $load.ItemCount = 0 %}", "Next": "NextPhase"},
				{"Condition": "{% $load.Typed %}", "Next": "Typing"},
				{"Condition": "{% $mode = 'plan' %}", "Next": "Survey"},
			},
			"Default": "Read",
		},
		// And back to the choice, like a load that has nothing to type.
		"Typing": with(w.call(config.LedgerTyping, object{"LoadId": "{% $load.LoadId %}", "Mode": "{% $mode %}"}), object{
			"Comment": "Finds the Ion types that JSON lost, on a sample, once for all who read the archive",
			"Output":  "{% $load %}",
			"Assign":  object{"load": "{% $merge([$load, {'Typed': false}]) %}"},
			"Next":    "Published",
		}),
		"Survey": with(w.eachItem("Survey", config.LedgerSurvey), object{
			"Comment": "Reads the archive as a load would, and writes shapes and counts instead of parts",
			"Next":    "Report",
		}),
		"Read": object{
			"Type": "Parallel",
			"Branches": []object{
				branch("Transform", w.eachItem("Transform", config.LedgerTransform)),
				branch("Count", w.eachItem("Count", config.LedgerCount)),
			},
			"Next": "NextPhase",
		},
		"Report": with(w.call(config.LedgerReport, object{
			"LoadId": "{% $load.LoadId %}", "Mode": "{% $mode %}", "Preflight": "{% $preflight %}",
			"Published": "{% $load.Published %}", "Execution": "{% $states.context.Execution.Name %}",
		}), object{}),
	}
	states = with(states, w.phases(config.LedgerPhase, config.TargetTask))
	return w.definition("Loads the journal export of a ledger into Aurora PostgreSQL, or plans to", w.follow(states), states)
}

// follow adds what EnableStream asks for, and returns the first state. Nobody
// loads for hours to hear at the end that there is no stream. A load without one
// takes as many states in every environment, which the estimate counts.
func (w workflow) follow(states object) string {
	states["Loaded"] = object{"Type": "Succeed"}
	report := states["Report"].(object)
	if w.Functions[config.StreamEnable] == "" {
		report["Next"] = "Loaded"
		states["StreamWanted"] = object{
			"Type":    "Choice",
			"Choices": []object{{"Condition": "{% $states.input.EnableStream = true %}", "Next": "NoStream"}},
			"Default": "Preflight",
		}
		states["NoStream"] = object{
			"Type":  "Fail",
			"Error": "StopNoStream",
			"Cause": `this environment has no stream that a ledger writes to: give it "stream": {"source": "qldb"} in cdk.json and deploy, or start without EnableStream`,
		}
		return "StreamWanted"
	}
	report["Next"] = "StreamWanted"
	states["StreamWanted"] = object{
		"Type":    "Choice",
		"Comment": "The report is the execution's output, and what follows adds to it",
		"Choices": []object{{"Condition": "{% $mode != 'plan' and $input.EnableStream = true %}", "Next": "EnableStream"}},
		"Default": "Loaded",
	}
	states["EnableStream"] = with(w.call(config.StreamEnable, object{"LoadId": "{% $load.LoadId %}"}), object{
		"Comment": "Registers the load's last block as the boundary, enables the mapping. Repeating it changes nothing",
		"Output":  "{% $merge([$states.input, {'Stream': $states.result.Payload}]) %}",
		"End":     true,
	})
	return "Preflight"
}

// eachItem is a map over the plan's items.
func (w workflow) eachItem(label, function string) object {
	return w.distributed(label, "Items", itemsPerChild, w.Concurrency.Transform, w.batch(label, function, false))
}
