package main

import "godwit/internal/config"

// The definition of SnapshotLoad, in JSONata throughout:
//
//	Preflight -> Probe -> Export, until it is complete -> Catalogue -> Plan -> assess only? -> Assessed
//	                                                                               |
//	                                                                               v
//	                                                                            Prepare
//	                                                                               v
//	                    +----------------------------------------------------> NextPhase -> any tasks? -> Map(Task)
//	                    |                                                          ^                          v
//	    Parallel { Map(Load) ; Map(Evidence) } <------ the rows are next ----------+-------------- another phase? -no-> Report
//
// What the functions take and give (members in PascalCase):
//
//	Preflight  {Input, Execution}              -> {LoadId, Source, GiB, Warnings}
//	Probe      {}                              -> {Profile, Probed, Kept, Untried?}
//	Export     {LoadId, Input, Resume}         -> {Done, Resume?, WaitSeconds}
//	Catalogue  {LoadId, Input, Source}         -> {Known}
//	Plan       {LoadId, Input, Preflight, …}   -> {LoadId, Schemas, Items: {Bucket, Key}, ItemCount, Assessment}
//	Prepare    {Schemas}                       -> {}
//	Phase      {LoadId, Phase}                 -> {Tasks: {Bucket, Key}, Count, Next}
//	Task       {LoadId, Items, Resume}         -> {Done, Resume?, WaitSeconds}
//	Load       {LoadId, Items, Resume}         -> {Done, Resume?}
//	Evidence   {LoadId, Items, Resume}         -> {Done, Resume?}
//	Report     {LoadId, Preflight, Execution}  -> the execution's output
//
// Resume is null at first, then what the last answer held. Mode "assess" in the
// input ends behind the plan, which writes the assessment, and leaves the target
// alone, but for the schema that Probe makes in Aurora DSQL for a minute where nobody
// did within 30 days. Probe comes before the export, which is billed: a target that
// cannot be loaded is refused first. Phase "rows" has no tasks: it is where the maps over the items run.
//
// Repair in the input has the last phase put rows right that differ; the phases from
// the foreign keys on then follow a second time, with names that end in -again.
//
// Every step may be repeated: an execution that failed is redriven, or another
// is started with the same input, and goes on where the first one stopped.
//
// State data holds names and counts, never values of the database.

const (
	// The first phase of a snapshot's load, and the one behind which its rows are
	// loaded; every answer of the phase function names the next one.
	firstSnapshotPhase = "tables"
	rowsPhase          = "rows"

	// Items are some 128 MB of Parquet: minutes of work each, so that a child an
	// item spreads the load and is the easiest to read in the console.
	rangesPerChild = 1
)

// SnapshotLoadDefinition writes the definition in the Amazon States Language.
func SnapshotLoadDefinition(p DefinitionProps) (string, error) {
	w := workflow{DefinitionProps: p, id: "LoadId", folder: snapshotsPrefix, anew: "start SnapshotLoad again with the same input to go on from here"}
	states := w.turns("Export", config.SnapshotExport, object{"LoadId": "{% $given.LoadId %}", "Input": "{% $given.Input %}"}, true)
	states["ExportFinished"] = object{"Type": "Pass", "Next": "Catalogue"}
	states = with(states, w.phases(config.SnapshotPhase, config.SnapshotTask, object{
		"Condition": "{% $phase.Next = '" + rowsPhase + "' and $load.ItemCount > 0 %}", "Next": "Rows",
	}))
	return w.definition("Loads the snapshot of a PostgreSQL database, or assesses it", "Preflight", with(states, object{
		"Preflight": with(w.call(config.SnapshotPreflight, object{"Input": "{% $states.input %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
			"Comment": "Names everything that is missing, before anything is billed",
			"Assign": object{
				"input":     "{% $states.input %}",
				"mode":      "{% $exists($states.input.Mode) ? $states.input.Mode : 'load' %}",
				"preflight": "{% $states.result.Payload %}",
			},
			"Next": "Probe",
		}),
		"Probe": with(w.call(config.TargetProbe, object{}), object{
			"Comment": "What the target can do, asked of itself unless that is known; refuses what cannot be loaded into",
			"Output":  "{% {'LoadId': $preflight.LoadId, 'Input': $input} %}",
			"Next":    "ExportBegin",
		}),
		"Catalogue": with(w.call(config.SnapshotCatalog, object{
			"LoadId": "{% $preflight.LoadId %}", "Input": "{% $input %}", "Source": "{% $preflight.Source %}",
		}), object{
			"Comment": "Keys, foreign keys, defaults and indexes, which no export carries",
			"Next":    "Plan",
		}),
		"Plan": with(w.call(config.SnapshotPlan, object{
			"LoadId": "{% $preflight.LoadId %}", "Input": "{% $input %}", "Preflight": "{% $preflight %}", "Execution": "{% $states.context.Execution.Name %}",
		}), object{
			"Comment": "Decides what becomes of every column, cuts the export into ranges of rows",
			"Assign": object{
				"load":  "{% $states.result.Payload %}",
				"phase": "{% {'Next': '" + firstSnapshotPhase + "'} %}",
			},
			"Next": "AssessOnly",
		}),
		"AssessOnly": object{
			"Type":    "Choice",
			"Comment": "An assessment leaves the target alone",
			"Choices": []object{{"Condition": "{% $mode = 'assess' %}", "Next": "Assessed"}},
			"Default": "Prepare",
		},
		"Assessed": object{"Type": "Succeed", "Output": "{% {'LoadId': $load.LoadId, 'Assessment': $load.Assessment} %}"},
		"Prepare": with(w.call(config.SnapshotPrepare, object{"Schemas": "{% $load.Schemas %}"}), object{
			"Comment": "Roles, schemas, bookkeeping. Acts as the database's administrator",
			"Next":    "NextPhase",
		}),
		"Rows": object{
			"Type":    "Parallel",
			"Comment": "Loads the rows, and takes the evidence of them that the target is held against",
			"Arguments": object{
				"LoadId": "{% $load.LoadId %}", "Items": "{% $load.Items %}",
			},
			"Branches": []object{
				branch("Load", w.distributed("Load", "Items", rangesPerChild, p.Concurrency.Transform, w.batch("Load", config.SnapshotRows, false))),
				branch("Evidence", w.distributed("Evidence", "Items", rangesPerChild, p.Concurrency.Transform, w.batch("Evidence", config.SnapshotEvidence, false))),
			},
			"Next": "NextPhase",
		},
		"Report": with(w.call(config.SnapshotReport, object{
			"LoadId": "{% $load.LoadId %}", "Preflight": "{% $preflight %}", "Execution": "{% $states.context.Execution.Name %}",
		}), object{"End": true}),
	}))
}
