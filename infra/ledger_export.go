package main

import "godwit/internal/config"

// The definition of LedgerExport, in JSONata throughout:
//
//	Digest -> Split -> Map(Export) -> Proofs <-+ until done
//	   |                                +------+
//	   +- QLDB is gone -> QldbServiceEnded
//
// What the functions take and give (members in PascalCase):
//
//	Digest  the execution's input     -> {Ledger, Strand, Tip, Digest, Bucket, Prefix, OutputFormat, ExportCount, ConcurrentExports}
//	Split   {Input, Execution}        -> {ExportId, Windows: {Bucket, Key}, Count}
//	Export  {ExportId, Items, Resume} -> {Done, Resume?, WaitSeconds}
//	Proofs  {ExportId, Resume}        -> {Done, Resume?, Output?}
//
// Proofs' last answer has the execution's output, which is an input of
// LedgerLoad.
//
// QLDB is called by functions only: an aws-sdk:qldb task would need a service
// that Step Functions no longer knows.
//
// Every step may be repeated: an execution that failed is redriven. An export
// that a killed step had begun is found again by its window.

// errorServiceEnded is the name of the error that the functions answer with when
// QLDB itself is no longer there; errorLimit when a ledger has as many exports
// under way as it may.
const (
	errorServiceEnded = "QldbServiceEnded"
	errorLimit        = "LimitExceeded"
)

const (
	// An export is hours of QLDB's own work and one line to us: a child each is
	// the easiest to read and to redrive.
	windowsPerChild = 1
	// Exports of others hold a ledger's two places for as long as they take.
	// With full jitter a wait is half its bound in the mean: 200 of them are
	// some eight hours, and 600 events.
	limitTries = 200
)

// LedgerExportDefinition writes the definition in the Amazon States Language.
func LedgerExportDefinition(p DefinitionProps) (string, error) {
	w := workflow{DefinitionProps: p, id: "ExportId", folder: exportsPrefix, anew: "start LedgerExport again with a greater ExportCount and a fresh BucketPrefix"}
	exports := w.batch("Export", config.LedgerExport, true)
	work := exports["ExportWork"].(object)
	work["Retry"] = append(work["Retry"].([]object), retry(30, limitTries, 300, errorLimit))
	proofs := w.turns("Proofs", config.LedgerProofs, object{"ExportId": "{% $given.ExportId %}"}, true)
	proofs["ProofsFinished"].(object)["Output"] = "{% $states.input.Output %}"
	return w.definition("Exports the journal of a ledger to S3 in parallel, with proofs", "Digest", with(proofs, object{
		"Digest": with(w.call(config.LedgerDigest, "{% $states.input %}"), object{
			"Comment": "Checks the input and asks the ledger for its digest",
			// No other error is caught: an execution that ends in its failed state
			// can be redriven from there.
			"Catch": []object{{"ErrorEquals": []string{errorServiceEnded}, "Next": "QldbServiceEnded"}},
			"Next":  "Split",
		}),
		"QldbServiceEnded": object{
			"Type":  "Fail",
			"Error": errorServiceEnded,
			"Cause": "Amazon QLDB closed on 2025-07-31 and has no ledgers any more; start LedgerLoad with an archive of the ledger's exports",
		},
		"Split": with(w.call(config.LedgerSplit, object{"Input": "{% $states.input %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
			"Comment": "Cuts the journal into windows of block times",
			"Output":  "{% $merge([$states.result.Payload, {'ConcurrentExports': $states.input.ConcurrentExports}]) %}",
			"Next":    "Exports",
		}),
		"Exports": with(w.distributed("Export", "Windows", windowsPerChild, "{% $states.input.ConcurrentExports %}", exports), object{
			"Comment": "Begins an export for each window and waits for its end",
			"Output":  object{"ExportId": "{% $states.input.ExportId %}"},
			"Next":    "ProofsBegin",
		}),
	}))
}
