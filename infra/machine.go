package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"
)

// A Machine is a state machine of ours with its role and its log.
type Machine struct {
	awsstepfunctions.StateMachine
	Log  awslogs.LogGroup
	Name string // without the environment: LedgerLoad
}

// MachineProps say what differs between state machines.
type MachineProps struct {
	Name       string // without the environment: LedgerLoad
	Definition string
	Functions  []*Function
	Items      []string // objects of the work bucket that its maps read, as patterns
	Results    string   // pattern of the objects that its maps write
}

// NewMachine makes a state machine whose role may call the functions, start the
// children of its maps, and read and write what the maps do.
func NewMachine(s awscdk.Stack, e Environment, data *DataStack, p MachineProps) *Machine {
	// People look for it in the console by this name, and the role's statements
	// about its own executions can name it without a circle of references.
	name := p.Name + "-" + e.Name
	role := awsiam.NewRole(s, jsii.String(p.Name+"Role"), &awsiam.RoleProps{
		Description: jsii.String("The state machine " + name),
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), nil),
	})
	for _, f := range p.Functions {
		allow(role, []string{"lambda:InvokeFunction"}, *f.FunctionArn())
	}
	// ItemReader and ResultWriter.
	g := grants{data: data}
	allow(role, []string{"s3:GetObject"}, g.workObjects(role, p.Items...)...)
	allow(role, []string{"s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"}, g.workObjects(role, p.Results)...)
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

	m := &Machine{Name: p.Name, Log: awslogs.NewLogGroup(s, jsii.String(p.Name+"Log"), &awslogs.LogGroupProps{
		// Under this prefix log delivery needs no entry in the account's resource
		// policy, which has room for a few groups only.
		LogGroupName:  jsii.String("/aws/vendedlogs/states/" + name),
		EncryptionKey: data.Operations,
		Retention:     logRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})}
	m.StateMachine = awsstepfunctions.NewStateMachine(s, jsii.String(p.Name), &awsstepfunctions.StateMachineProps{
		StateMachineName: jsii.String(name),
		StateMachineType: awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:   awsstepfunctions.DefinitionBody_FromString(jsii.String(p.Definition)),
		Role:             role,
		TracingEnabled:   jsii.Bool(true),
		Logs: &awsstepfunctions.LogOptions{
			Destination: m.Log,
			Level:       awsstepfunctions.LogLevel_ALL,
			// Inputs and outputs stay in the execution's history, which people
			// are admitted to one by one.
			IncludeExecutionData: jsii.Bool(false),
		},
	})
	return m
}

// A step is a function of a workflow, as a table of a stack lists it.
type step struct {
	id, name, summary string
	minutes           int
	grant             func(awsiam.Role)
}

// newFunctions makes the functions of a workflow.
func newFunctions(s awscdk.Stack, e Environment, data *DataStack, assets string, values map[string]string, steps []step) ([]*Function, error) {
	list := make([]*Function, 0, len(steps))
	for _, f := range steps {
		made, err := NewFunction(s, f.id, e, FunctionProps{
			Name: f.name, Minutes: f.minutes, Summary: f.summary,
			Values: values, Assets: assets, LogsKey: data.Operations,
		})
		if err != nil {
			return nil, err
		}
		f.grant(made.Role)
		list = append(list, made)
	}
	return list, nil
}

func byName(functions []*Function) map[string]*Function {
	list := map[string]*Function{}
	for _, f := range functions {
		list[f.Name] = f
	}
	return list
}

// arns are the ARNs of functions by their names.
func arns(functions []*Function) map[string]string {
	list := map[string]string{}
	for _, f := range functions {
		list[f.Name] = *f.FunctionArn()
	}
	return list
}

// roles are the ARNs of the roles of the functions of these names, with spaces between.
func roles(functions []*Function, names ...string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = *byName(functions)[name].Role.RoleArn()
	}
	return strings.Join(list, " ")
}
