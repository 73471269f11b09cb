package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"godwit/internal/config"
)

// A ProveStack proves archives: functions, LedgerProve, alarms, dashboard, saved queries. It
// needs the data stack only: whoever audits an archive needs no database, and no
// role of it can reach one.
type ProveStack struct {
	awscdk.Stack
	Functions []*Function
	Prove     *Machine
}

// NewProveStack makes the proof of archives of an environment.
func NewProveStack(app awscdk.App, id string, e Environment, data *DataStack, assets string) (*ProveStack, error) {
	s := &ProveStack{Stack: newStack(app, id, e, "godwit: LedgerProve, an archived ledger against its digest")}
	archives, err := e.archivesVariable()
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.Archives, err)
	}
	g := proveGrants{grants{e: e, data: data, partition: *s.Partition()}}
	values := map[string]string{config.Archives: archives, config.WorkBucket: *data.Work.BucketName()}
	s.Functions, err = newFunctions(s.Stack, e, data, assets, values, []step{
		{"ProvePlan", config.ProvePlan, "Digests, proofs, types that JSON lost, and work items of an archive", workMinutes, g.plan},
		{"ProveBlocks", config.ProveBlocks, "Hashes blocks again", workMinutes, g.blocks},
		{"ProveReport", config.ProveReport, "Concludes how far an archive is proven, writes the report", workMinutes, g.report},
	})
	if err != nil {
		return nil, err
	}
	definition, err := LedgerProveDefinition(DefinitionProps{
		Partition: *s.Partition(), WorkBucket: *data.Work.BucketName(), Functions: arns(s.Functions), Concurrency: e.Concurrency,
	})
	if err != nil {
		return nil, fmt.Errorf("write the definition of LedgerProve: %w", err)
	}
	s.Prove = NewMachine(s.Stack, e, data, MachineProps{
		Name: "LedgerProve", Definition: definition, Functions: s.Functions, Items: []string{proveItems}, Results: proveResults,
	})
	saveQueries(s.Stack, e, "LedgerProve", savedQueries, s.Functions, s.Prove)
	workflowDashboard(s.Stack, e, "prove", proofsPrefix+"<proof>", s.Prove, s.Functions, s.alarms(e, data))
	output(s.Stack, "ArchiveReaders", roles(s.Functions, config.ProvePlan, config.ProveBlocks),
		"Roles that read the archives. Policies of another account's bucket and key must give them s3:ListBucket, s3:GetObject and kms:Decrypt")
	output(s.Stack, "LedgerProveArn", *s.Prove.StateMachineArn(), `Start it with {"Bucket": "…", "Prefix": "…", "Digest": "…"}`)
	return s, nil
}

// alarms makes the alarms of LedgerProve. Each says what to look at first.
func (s *ProveStack) alarms(e Environment, data *DataStack) []awscloudwatch.Alarm {
	a := &alarmer{stack: s.Stack, topic: data.Alarms, environment: e, workflow: "LedgerProve"}
	a.alarm("LedgerProveFailed", s.Prove.MetricFailed(sum()), 1,
		"A proof failed, or an archive is contradicted. Look first at the execution in Step Functions: its failed state says which. "+
			"In the state Report the archive is: the error names block, revision and object, and the report that it names lists all. Otherwise mend the cause and redrive")
	a.alarm("LedgerProveTimedOut", s.Prove.MetricTimedOut(sum()), 1,
		"A proof took longer than "+number(executionDays)+" days. Look first at the saved query "+a.saved(queryRetries)+"; then start it again with the same input")
	a.alarm("LedgerProveAborted", s.Prove.MetricAborted(sum()), 1,
		"Somebody stopped a proof. Look first at who did (CloudTrail, StopExecution); start it again with the same input. It changes nothing but its own folder in the work bucket")
	a.functions(s.Functions, byExecution, "lower concurrency in cdk.json")
	return a.made
}

// Where the functions keep what they hand on, under proofs/<proof id>/; see migrate.
const (
	provePlan     = proofsPrefix + "*/plan.json"
	proveItems    = proofsPrefix + "*/items.jsonl"
	proveEvidence = proofsPrefix + "*/evidence.json"
	proveTypes    = proofsPrefix + "*/types.json"
	proveRuns     = proofsPrefix + "*/runs/*"
	proveResults  = proofsPrefix + "*/results/*"
)

// proveGrants are the permissions of LedgerProve's functions, one method a
// function.
type proveGrants struct{ grants }

func (g proveGrants) plan(r awsiam.Role) {
	g.listArchives(r, g.e.Archives)
	g.readArchives(r, g.e.Archives)
	g.readWork(r, proveItems)
	g.writeWork(r, provePlan, proveItems, proveEvidence, proveTypes)
}

func (g proveGrants) blocks(r awsiam.Role) {
	g.readArchives(r, g.e.Archives)
	g.readWork(r, provePlan, proveTypes, proveRuns)
	g.writeWork(r, proveRuns)
}

func (g proveGrants) report(r awsiam.Role) {
	g.readWork(r, provePlan, proveEvidence, proveRuns)
	g.writeWork(r, proofsPrefix+"*/proof.json", proofsPrefix+"*/report.json", proofsPrefix+"*/report.html")
}
