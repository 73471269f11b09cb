package main

import "godwit/internal/config"

// The definition of LedgerProve, in JSONata throughout:
//
//	Plan -> any items? -> Map(Blocks) -> Report
//
// What the functions take and give (members in PascalCase):
//
//	Plan    {Input, Execution}        -> {ProofId, Items: {Bucket, Key}, ItemCount}
//	Blocks  {ProofId, Items, Resume}  -> {Done, Resume?}
//	Report  {ProofId, Execution}      -> the execution's output
//
// Report ends the execution as failed when the archive is contradicted, behind
// writing the report: an auditor wants that of a bad archive most.
//
// No step calls a database. Every step may be repeated: an execution that failed
// is redriven, or another is started with the same input.

// LedgerProveDefinition writes the definition in the Amazon States Language.
func LedgerProveDefinition(p DefinitionProps) (string, error) {
	w := workflow{DefinitionProps: p, id: "ProofId", folder: proofsPrefix, anew: "start LedgerProve again with the same input"}
	return w.definition("Proves an archived ledger offline, and loads nothing", "Plan", object{
		"Plan": with(w.call(config.ProvePlan, object{"Input": "{% $states.input %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
			"Comment": "Checks the input, collects digests and proofs, learns the types that JSON lost, cuts the archive into items of block ranges",
			"Next":    "AnyItems",
		}),
		"AnyItems": object{
			"Type":    "Choice",
			"Comment": "A map over an empty object fails",
			"Choices": []object{{"Condition": "{% $states.input.ItemCount > 0 %}", "Next": "Blocks"}},
			"Default": "Report",
		},
		"Blocks": with(w.distributed("Blocks", "Items", itemsPerChild, p.Concurrency.Transform, w.batch("Blocks", config.ProveBlocks, false)), object{
			"Comment": "Hashes every block again",
			"Output":  object{"ProofId": "{% $states.input.ProofId %}"},
			"Next":    "Report",
		}),
		"Report": with(w.call(config.ProveReport, object{"ProofId": "{% $states.input.ProofId %}", "Execution": "{% $states.context.Execution.Name %}"}), object{
			"Comment": "Joins what the children found, compares it with what was kept, writes the report",
			"End":     true,
		}),
	})
}
