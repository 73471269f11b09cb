package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

const (
	// A few calls.
	digestMinutes = 5
	// A block for each cut, and a listing of the prefix.
	splitMinutes = 15
	// It begins an export or asks how far one is, and leaves the waiting to the
	// state machine.
	exportMinutes = 5
)

// An ExportStack exports live ledgers: functions, LedgerExport, the role that
// QLDB writes with, alarms, saved queries. Nothing needs it, and it is deployed
// where an environment asks for it, because QLDB itself is gone from AWS.
type ExportStack struct {
	awscdk.Stack
	Functions []*Function
	Export    *Machine
}

// NewExportStack makes the export of ledgers of an environment. stream is nil
// where there is none.
func NewExportStack(app awscdk.App, id string, e Environment, data *DataStack, stream *StreamStack, assets string) (*ExportStack, error) {
	s := &ExportStack{Stack: newStack(app, id, e, "godwit: LedgerExport, a QLDB ledger to its archive")}
	archives, err := e.archivesVariable()
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.Archives, err)
	}
	g := exportGrants{grants: grants{e: e, data: data, partition: *s.Partition()}, stack: s.Stack}
	g.role = g.exportRole()
	values := map[string]string{
		config.Archives:   archives,
		config.WorkBucket: *data.Work.BucketName(),
		config.ExportRole: *g.role.RoleArn(),
	}
	s.Functions, err = newFunctions(s.Stack, e, data, assets, values, []step{
		{"Digest", config.LedgerDigest, "Checks the input of LedgerExport, asks for the ledger's digest", digestMinutes, g.digest},
		{"Split", config.LedgerSplit, "Cuts the journal into windows of block times", splitMinutes, g.split},
		{"Export", config.LedgerExport, "Begins the export of a window, tells when it is complete", exportMinutes, g.export},
		{"Proofs", config.LedgerProofs, "Checks that the exports hold every block, writes their proofs", workMinutes, g.proofs},
	})
	if err != nil {
		return nil, err
	}
	definition, err := LedgerExportDefinition(DefinitionProps{
		Partition: *s.Partition(), WorkBucket: *data.Work.BucketName(), Functions: arns(s.Functions),
	})
	if err != nil {
		return nil, fmt.Errorf("write the definition of LedgerExport: %w", err)
	}
	s.Export = NewMachine(s.Stack, e, data, MachineProps{
		Name: "LedgerExport", Definition: definition, Functions: s.Functions, Items: []string{windowsFile}, Results: exportResults,
	})
	saveQueries(s.Stack, e, "LedgerExport", savedQueries, s.Functions, s.Export)
	s.alarms(e, data)
	if stream != nil && stream.Source == sourceQLDB {
		// QLDB Developer Guide, stream permissions.
		role := writerRole(s.Stack, "QldbStreamRole", "QLDB writes the changes of ledgers with it", "qldb.amazonaws.com", "qldb", "stream/*", stream, data)
		output(s.Stack, "QldbStreamRoleArn", *role.RoleArn(), "RoleArn of StreamJournalToKinesis")
	}
	output(s.Stack, "ArchiveWriters", roles(s.Functions, config.LedgerSplit, config.LedgerProofs)+" "+*g.role.RoleArn(),
		"Roles that list, write and read archives. Policies of another account's bucket and key must give them s3:ListBucket, s3:GetObject, s3:PutObject, s3:PutObjectAcl, s3:AbortMultipartUpload, kms:Decrypt and kms:GenerateDataKey")
	output(s.Stack, "LedgerExportArn", *s.Export.StateMachineArn(), `Start it with {"LedgerName": "…", "BucketPrefix": "…", "ExportCount": …}`)
	return s, nil
}

// alarms makes the alarms of LedgerExport. Each says what to look at first.
func (s *ExportStack) alarms(e Environment, data *DataStack) {
	a := &alarmer{stack: s.Stack, topic: data.Alarms, environment: e, workflow: "LedgerExport"}
	a.alarm("LedgerExportFailed", s.Export.MetricFailed(sum()), 1,
		"An export failed. Look first at the execution in Step Functions: its failed state, and for the map the failed child in its Map Run, says window, export and what to do. "+
			"QldbServiceEnded: there is no QLDB; start LedgerLoad with the archive. Otherwise mend the cause and redrive: what is exported stays")
	a.alarm("LedgerExportTimedOut", s.Export.MetricTimedOut(sum()), 1,
		"An export took longer than "+number(executionDays)+" days. Look first at its Map Run, which names the windows that are open, and at the saved query "+a.saved(queryRetries)+"; then redrive it, which gives it as long again: what is exported stays")
	a.alarm("LedgerExportAborted", s.Export.MetricAborted(sum()), 1,
		"Somebody stopped an export; QLDB goes on with what was begun. Look first at who did (CloudTrail, StopExecution); redrive the execution, which finds those exports again")
	a.functions(s.Functions, byExecution, "start with fewer ConcurrentExports")
}

// Where the functions keep what they hand on, under exports/<export id>/; see migrate.
const (
	exportPlan      = exportsPrefix + "*/plan.json"
	windowsFile     = exportsPrefix + "*/windows.jsonl"
	exportDone      = exportsPrefix + "*/done/*"
	exportCancelled = exportsPrefix + "*/cancelled/*"
	exportResults   = exportsPrefix + "*/results/*"
)

// exportGrants are the permissions of LedgerExport's functions, one method a
// function.
type exportGrants struct {
	grants
	stack awscdk.Stack
	role  awsiam.Role // QLDB's
}

func (g exportGrants) digest(r awsiam.Role) {
	g.ledgers(r, "qldb:DescribeLedger", "qldb:GetDigest")
}

func (g exportGrants) split(r awsiam.Role) {
	g.ledgers(r, "qldb:GetBlock")
	g.listArchives(r, g.e.Archives)
	g.listWork(r, exportPlan)
	g.readWork(r, exportPlan)
	g.writeWork(r, exportPlan, windowsFile)
}

// export begins exports, which QLDB writes with the role that is passed to it.
func (g exportGrants) export(r awsiam.Role) {
	g.ledgers(r, "qldb:DescribeJournalS3Export", "qldb:ExportJournalToS3", "qldb:ListJournalS3ExportsForLedger")
	allowIf(r, object{"StringEquals": object{"iam:PassedToService": "qldb.amazonaws.com"}}, []string{"iam:PassRole"}, *g.role.RoleArn())
	g.listWork(r, exportDone, exportCancelled)
	g.readWork(r, exportPlan)
	g.writeWork(r, exportDone, exportCancelled)
}

// proofs reads completion manifests and writes proofs beside them; the objects
// of an archive it can neither read nor replace.
func (g exportGrants) proofs(r awsiam.Role) {
	g.ledgers(r, "qldb:GetBlock", "qldb:GetDigest")
	g.listArchives(r, g.e.Archives)
	g.readWork(r, exportPlan, windowsFile, exportDone)
	for _, a := range g.e.Archives {
		g.allowBelow(r, a, "*.completed.manifest", "s3:GetObject")
		g.allowBelow(r, a, "*.proofs.json", "s3:PutObject")
		if a.KMSKeyARN != "" {
			allow(r, []string{"kms:Decrypt", "kms:GenerateDataKey"}, a.KMSKeyARN)
		}
	}
}

// ledgers lets a role call QLDB for the ledgers of the account: which one an
// execution exports is in its input.
func (g exportGrants) ledgers(r awsiam.Role, actions ...string) {
	allow(r, actions, g.ledgerARN())
	suppress(r, "AwsSolutions-IAM5", "the execution's input names the ledger; the actions are named", "/^Resource::arn:.*:qldb:.*:ledger/\\*$/")
}

func (g exportGrants) ledgerARN() string {
	return fmt.Sprintf("arn:%s:qldb:%s:%s:ledger/*", g.partition, *g.stack.Region(), *g.stack.Account())
}

// exportRole makes the role that QLDB writes exports with: to the archives of
// the environment and nowhere else (QLDB Developer Guide, export permissions).
func (g exportGrants) exportRole() awsiam.Role {
	role := awsiam.NewRole(g.stack, jsii.String("QldbRole"), &awsiam.RoleProps{
		Description: jsii.String("QLDB writes exports of journals with it"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("qldb.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			// Nobody else's ledger can make QLDB use it.
			Conditions: &map[string]any{
				"StringEquals": map[string]any{"aws:SourceAccount": *g.stack.Account()},
				"ArnLike":      map[string]any{"aws:SourceArn": fmt.Sprintf("arn:%s:qldb:%s:%s:*", g.partition, *g.stack.Region(), *g.stack.Account())},
			},
		}),
	})
	for _, a := range g.e.Archives {
		g.allowBelow(role, a, "*", "s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl")
		if a.KMSKeyARN != "" {
			allow(role, []string{"kms:Decrypt", "kms:GenerateDataKey"}, a.KMSKeyARN)
		}
	}
	return role
}
