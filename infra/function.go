package main

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"godwit/internal/config"
)

const (
	// 1,769 MB is one whole core (Lambda Developer Guide, function memory). The
	// functions hold less than 256 MB; what they need is the core.
	memoryMB = 1769
	// Long enough to look back at a load from the quarter before.
	logRetention = awslogs.RetentionDays_THREE_MONTHS
)

// A Function is a Go function of ours: one binary, one role, one log group.
type Function struct {
	awslambda.Function
	Role awsiam.Role
	Log  awslogs.LogGroup
	Name string // its folder under functions/
}

// FunctionProps say what differs between functions.
type FunctionProps struct {
	Name    string // folder under functions/, and of the binary under Assets
	Minutes int    // timeout; functions hand on before it
	Summary string // what it does, in a few words
	// Values of all variables that functions of the stack may need; the function
	// is given those that config.Needs names.
	Values  map[string]string
	Assets  string // folder of built functions
	LogsKey awskms.IKey
}

// NewFunction makes a function with a role that may write its log and its
// traces, and nothing else: the caller adds what it needs.
func NewFunction(scope constructs.Construct, id string, e Environment, p FunctionProps) (*Function, error) {
	needs := config.Needs(p.Name)
	if needs == nil {
		return nil, fmt.Errorf("function %s: internal/config knows no function of that name", p.Name)
	}
	variables := map[string]*string{}
	for _, name := range needs {
		value, ok := p.Values[name]
		if !ok {
			return nil, fmt.Errorf("function %s: the stack has no value for variable %s", p.Name, name)
		}
		variables[name] = jsii.String(value)
	}
	binary := path.Join(p.Assets, e.Architecture, p.Name)
	if _, err := os.Stat(path.Join(binary, "bootstrap")); err != nil {
		return nil, fmt.Errorf("function %s is not built for %s: %w; run make build, or make synth ENV=%s", p.Name, e.Architecture, err, e.Name)
	}
	logs := awslogs.NewLogGroup(scope, jsii.String(id+"Log"), &awslogs.LogGroupProps{
		EncryptionKey: p.LogsKey,
		Retention:     logRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY, // the evidence of a load is its report, not its log
	})
	f := &Function{Name: p.Name, Log: logs}
	f.Role = awsiam.NewRole(scope, jsii.String(id+"Role"), &awsiam.RoleProps{
		Description: jsii.String("The function " + p.Name),
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
	})
	architecture := awslambda.Architecture_ARM_64()
	if e.Architecture == "x86_64" {
		architecture = awslambda.Architecture_X86_64()
	}
	f.Function = awslambda.NewFunction(scope, jsii.String(id), &awslambda.FunctionProps{
		Description:           jsii.String(p.Summary),
		Runtime:               awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:          architecture,
		Handler:               jsii.String("bootstrap"),
		Code:                  awslambda.Code_FromAsset(jsii.String(binary), nil),
		MemorySize:            jsii.Number(memoryMB),
		Timeout:               awscdk.Duration_Minutes(jsii.Number(p.Minutes)),
		Environment:           &variables,
		Role:                  f.Role,
		LogGroup:              logs,
		LoggingFormat:         awslambda.LoggingFormat_JSON,
		ApplicationLogLevelV2: awslambda.ApplicationLogLevel_INFO,
		// A report of each call, from which a saved query finds the slowest.
		SystemLogLevelV2: awslambda.SystemLogLevel_INFO,
		Tracing:          awslambda.Tracing_ACTIVE,
	})
	allow(f.Role, []string{"logs:CreateLogStream", "logs:PutLogEvents"}, *logs.LogGroupArn())
	// Added by the tracing above: xray:Put* takes no resource.
	suppress(f.Role, "AwsSolutions-IAM5", "X-Ray's actions have no resources to name", "Resource::*")
	return f, nil
}

// allow adds a statement to the role's own policy.
func allow(role awsiam.IRole, actions []string, resources ...string) {
	allowIf(role, nil, actions, resources...)
}

// allowIf is allow under a condition.
func allowIf(role awsiam.IRole, condition map[string]any, actions []string, resources ...string) {
	props := &awsiam.PolicyStatementProps{Actions: jsii.Strings(actions...), Resources: jsii.Strings(resources...)}
	if condition != nil {
		props.Conditions = &condition
	}
	role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(props))
}

// suppress accepts findings of a cdk-nag rule on a construct and what is below
// it, for a reason. appliesTo narrows it to findings on these resources or
// actions, written as the rule writes them or as a /regular expression/.
func suppress(c awscdk.Resource, rule, reason string, appliesTo ...string) {
	s := &cdknag.NagPackSuppression{Id: jsii.String(rule), Reason: jsii.String(reason)}
	if len(appliesTo) > 0 {
		list := make([]any, len(appliesTo))
		for i, a := range appliesTo {
			list[i] = a
			if strings.HasPrefix(a, "/") {
				list[i] = &cdknag.RegexAppliesTo{Regex: jsii.String(a)}
			}
		}
		s.AppliesTo = &list
	}
	cdknag.NagSuppressions_AddResourceSuppressions(c, &[]*cdknag.NagPackSuppression{s}, jsii.Bool(true))
}
