package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

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

// archiveReaders are the functions that list or read archives.
var archiveReaders = []string{config.LedgerPreflight, config.LedgerPlan, config.LedgerTransform, config.LedgerCount}

// A LedgerStack is the ledger route: functions, LedgerLoad, alarms.
type LedgerStack struct {
	awscdk.Stack
	Functions []*Function
	Load      awsstepfunctions.StateMachine
}

// NewLedgerStack makes the ledger route of an environment.
func NewLedgerStack(app awscdk.App, id string, e Environment, data *DataStack, target *TargetStack, assets string) (*LedgerStack, error) {
	s := &LedgerStack{Stack: newStack(app, id, e, "godwit: LedgerLoad, an archived ledger into Aurora PostgreSQL")}
	archives, err := e.archivesVariable()
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.Archives, err)
	}
	values := map[string]string{
		config.Archives:     archives,
		config.WorkBucket:   *data.Work.BucketName(),
		config.ClusterARN:   target.ClusterARN,
		config.Database:     target.Database,
		config.LoaderSecret: target.LoaderSecret.ARN,
		config.AdminSecret:  target.AdminSecret.ARN,
		config.ImportRole:   target.ImportRole,
	}
	g := grants{e: e, data: data, target: target, partition: *s.Partition()}
	arns := map[string]string{}
	for _, f := range []struct {
		id, name, summary string
		minutes           int
		grant             func(awsiam.Role)
	}{
		{"Preflight", config.LedgerPreflight, "Names everything that a load lacks", preflightMinutes, g.preflight},
		{"Prepare", config.TargetPrepare, "Extension, schemas, loader role and grants", prepareMinutes, g.prepare},
		{"Plan", config.LedgerPlan, "Manifests or a listing to work items", workMinutes, g.plan},
		{"Transform", config.LedgerTransform, "Blocks to COPY-ready parts", workMinutes, g.transform},
		{"Count", config.LedgerCount, "Counts the archive's revisions, independently of the loader", workMinutes, g.count},
		{"Phase", config.LedgerPhase, "Checks a phase and writes its tasks", workMinutes, g.phase},
		{"Task", config.TargetTask, "Import, index or publish slice in the database", workMinutes, g.task},
		{"Report", config.LedgerReport, "Writes report.json and report.html", workMinutes, g.report},
	} {
		made, err := NewFunction(s.Stack, f.id, e, FunctionProps{
			Name: f.name, Minutes: f.minutes, Summary: f.summary,
			Values: values, Assets: assets, LogsKey: data.Operations,
		})
		if err != nil {
			return nil, err
		}
		f.grant(made.Role)
		s.Functions = append(s.Functions, made)
		arns[f.name] = *made.FunctionArn()
	}
	definition, err := LedgerLoadDefinition(LedgerLoadProps{
		Partition: *s.Partition(), WorkBucket: *data.Work.BucketName(), Functions: arns, Concurrency: e.Concurrency,
	})
	if err != nil {
		return nil, fmt.Errorf("write the definition of LedgerLoad: %w", err)
	}
	s.machine(e, data, definition)
	s.alarms(e, data)
	var readers []string
	for _, f := range s.Functions {
		if slices.Contains(archiveReaders, f.Name) {
			readers = append(readers, *f.Role.RoleArn())
		}
	}
	output(s.Stack, "ArchiveReaders", strings.Join(readers, " "),
		"Roles that read the archives. Policies of another account's bucket and key must give them s3:ListBucket, s3:GetObject and kms:Decrypt")
	output(s.Stack, "LedgerLoadArn", *s.Load.StateMachineArn(), `Start it with {"Bucket": "…", "Prefix": "…"}`)
	return s, nil
}

// machine makes the state machine and its role.
func (s *LedgerStack) machine(e Environment, data *DataStack, definition string) {
	// People look for it in the console by this name, and the role's statements
	// about its own executions can name it without a circle of references.
	name := "LedgerLoad-" + e.Name
	role := awsiam.NewRole(s.Stack, jsii.String("LedgerLoadRole"), &awsiam.RoleProps{
		Description: jsii.String("The state machine " + name),
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), nil),
	})
	for _, f := range s.Functions {
		allow(role, []string{"lambda:InvokeFunction"}, *f.FunctionArn())
	}
	// ItemReader and ResultWriter.
	g := grants{data: data}
	allow(role, []string{"s3:GetObject"}, g.workObjects(role, itemsFile, tasks)...)
	allow(role, []string{"s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"}, g.workObjects(role, results)...)
	allow(role, []string{"kms:Decrypt", "kms:GenerateDataKey"}, *data.Key.KeyArn())
	// The children of a Distributed Map are executions of the machine itself.
	arn := func(kind, rest string) string {
		return fmt.Sprintf("arn:%s:states:%s:%s:%s:%s%s", *s.Partition(), *s.Region(), *s.Account(), kind, name, rest)
	}
	allow(role, []string{"states:StartExecution"}, arn("stateMachine", ""))
	allow(role, []string{"states:DescribeExecution", "states:StopExecution"}, arn("execution", ":*"), arn("execution", "/*"))
	allow(role, []string{"states:RedriveExecution"}, arn("execution", "/*"))
	suppress(role, "AwsSolutions-IAM5", "names of executions hold ids of runs; the machine is named", "/^Resource::.*:execution:"+name+"[:/]\\*$/")
	suppress(role, "AwsSolutions-IAM5", "X-Ray and the delivery of vended logs have no resources to name", "Resource::*")

	logs := awslogs.NewLogGroup(s.Stack, jsii.String("LedgerLoadLog"), &awslogs.LogGroupProps{
		// Under this prefix log delivery needs no entry in the account's resource
		// policy, which has room for a few groups only.
		LogGroupName:  jsii.String("/aws/vendedlogs/states/" + name),
		EncryptionKey: data.Operations,
		Retention:     logRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	s.Load = awsstepfunctions.NewStateMachine(s.Stack, jsii.String("LedgerLoad"), &awsstepfunctions.StateMachineProps{
		StateMachineName: jsii.String(name),
		StateMachineType: awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:   awsstepfunctions.DefinitionBody_FromString(jsii.String(definition)),
		Role:             role,
		TracingEnabled:   jsii.Bool(true),
		Logs: &awsstepfunctions.LogOptions{
			Destination: logs,
			Level:       awsstepfunctions.LogLevel_ALL,
			// Inputs and outputs stay in the execution's history, which people
			// are admitted to one by one.
			IncludeExecutionData: jsii.Bool(false),
		},
	})
}
