package main

import (
	"fmt"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"

	"godwit/internal/config"
)

// Timeouts, in minutes. Lambda allows 15.
const (
	// A few dozen calls, among them a listing of the archive.
	preflightMinutes = 5
	// Some statements; a paused cluster takes up to a minute to wake.
	prepareMinutes = 5
	// Work that is cut to the function's time and hands on before its end: the
	// longer the call, the fewer the turns.
	workMinutes = 15
)

// archiveReaders are the functions of the stack that list or read archives.
var archiveReaders = []string{config.LedgerPreflight, config.LedgerPlan, config.LedgerTyping, config.LedgerTransform, config.LedgerCount, config.LedgerSurvey, config.ProveRow}

// A LedgerStack is the ledger route: functions, LedgerLoad, alarms, dashboard,
// saved queries.
type LedgerStack struct {
	awscdk.Stack
	Functions []*Function
	Load      *Machine
}

// NewLedgerStack makes the ledger route of an environment.
// stream is nil where there is none.
func NewLedgerStack(app awscdk.App, id string, e Environment, data *DataStack, target *TargetStack, stream *StreamStack, assets string) (*LedgerStack, error) {
	s := &LedgerStack{Stack: newStack(app, id, e, "godwit: LedgerLoad, an archived ledger into Aurora PostgreSQL")}
	archives, err := e.archivesVariable()
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.Archives, err)
	}
	scale, err := e.scaleVariable()
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.Scale, err)
	}
	values := map[string]string{
		config.Archives:     archives,
		config.Scale:        scale,
		config.WorkBucket:   *data.Work.BucketName(),
		config.ClusterARN:   target.ClusterARN,
		config.Database:     target.Database,
		config.LoaderSecret: target.LoaderSecret.ARN,
		config.AdminSecret:  target.AdminSecret.ARN,
		config.ImportRole:   target.ImportRole,
	}
	g := grants{e: e, data: data, target: target, partition: *s.Partition()}
	s.Functions, err = newFunctions(s.Stack, e, data, assets, values, []step{
		{"Preflight", config.LedgerPreflight, "Names everything that a load lacks", preflightMinutes, g.preflight},
		{"Prepare", config.TargetPrepare, "Extension, schemas, loader role and grants", prepareMinutes, g.prepare},
		{"Plan", config.LedgerPlan, "Manifests or a listing to work items", workMinutes, g.plan},
		{"Typing", config.LedgerTyping, "Finds the Ion types that an archive's JSON lost", workMinutes, g.typing},
		{"Transform", config.LedgerTransform, "Blocks to COPY-ready parts", workMinutes, g.transform},
		{"Count", config.LedgerCount, "Counts the archive's revisions, independently of the loader", workMinutes, g.count},
		{"Survey", config.LedgerSurvey, "Shapes and counts of what a load would do, for a plan", workMinutes, g.survey},
		{"Phase", config.LedgerPhase, "Checks a phase and writes its tasks", workMinutes, g.phase},
		{"Task", config.TargetTask, "Import, index or publish slice in the database", workMinutes, g.task},
		{"Report", config.LedgerReport, "Writes report.json and report.html", workMinutes, g.report},
	})
	if err != nil {
		return nil, err
	}
	called := slices.Clone(s.Functions)
	if stream != nil && stream.Source == sourceQLDB {
		called = append(called, byName(stream.Functions)[config.StreamEnable])
	}
	definition, err := LedgerLoadDefinition(DefinitionProps{
		Partition: *s.Partition(), WorkBucket: *data.Work.BucketName(), Functions: arns(called), Concurrency: e.Concurrency,
	})
	if err != nil {
		return nil, fmt.Errorf("write the definition of LedgerLoad: %w", err)
	}
	s.Load = NewMachine(s.Stack, e, data, MachineProps{
		Name: "LedgerLoad", Definition: definition, Functions: called, Items: []string{itemsFile, tasks}, Results: results,
	})
	rows, err := newFunctions(s.Stack, e, data, assets, values, []step{
		{"ProveRow", config.ProveRow, "The receipt of one row, for whoever asks", workMinutes, g.proveRow},
	})
	if err != nil {
		return nil, err
	}
	s.Functions = append(s.Functions, rows...)
	saveQueries(s.Stack, e, "LedgerLoad", savedQueries, s.Functions, s.Load)
	s.dashboard(e, target, s.alarms(e, data))
	output(s.Stack, "ArchiveReaders", roles(s.Functions, archiveReaders...),
		"Roles that read the archives. Policies of another account's bucket and key must give them s3:ListBucket, s3:GetObject and kms:Decrypt")
	output(s.Stack, "ProveRowArn", *rows[0].FunctionArn(), `make receipt calls it with {"Table": "…", "Document": "…", "Version": 0}`)
	if stream != nil && stream.Source != sourceQLDB {
		output(s.Stack, "PrepareName", *byName(s.Functions)[config.TargetPrepare].FunctionName(),
			"Call it with {} before stream-enable: it makes the loader's role and what a stream keeps in the database; LedgerLoad does so by itself")
	}
	output(s.Stack, "LedgerLoadArn", *s.Load.StateMachineArn(), `Start it with {"Bucket": "…", "Prefix": "…"}`)
	return s, nil
}
