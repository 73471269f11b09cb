package main

import (
	"fmt"
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// streamGrants are the permissions of the stream's functions, one method a
// function.
type streamGrants struct {
	grants
	stream *StreamStack
}

// apply is the role of a function and of its mapping: Lambda reads the stream
// and writes to the bucket of failures with it.
func (g streamGrants) apply(r awsiam.Role) {
	allow(r, []string{
		"kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards",
	}, *g.stream.Stream.StreamArn())
	allow(r, []string{"kms:Decrypt"}, *g.data.Key.KeyArn())
	// Lambda looks at the bucket before it writes.
	allow(r, []string{"s3:ListBucket"}, *g.data.Failures.BucketArn())
	g.writeFailures(r, lambdaFailures, setAside)
	g.database(r, g.target.LoaderSecret)
}

// own lets a function find the mapping that calls it, and disable that one and no
// other. It cannot be told which it is, and the policy is apart from its role's:
// the mapping is made after both.
func (g streamGrants) own(f *Function) {
	policy := awsiam.NewPolicy(g.stream.Stack, jsii.String("StreamApplyMappingPolicy"), &awsiam.PolicyProps{
		Roles: &[]awsiam.IRole{f.Role},
	})
	policy.AddStatements(
		awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions: jsii.Strings("lambda:UpdateEventSourceMapping"), Resources: &[]*string{g.stream.Mapping.AttrEventSourceMappingArn()},
		}),
		awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions: jsii.Strings("lambda:ListEventSourceMappings"), Resources: jsii.Strings("*"),
		}),
	)
	suppress(policy, "AwsSolutions-IAM5", "ListEventSourceMappings has no resources to name", "Resource::*")
}

// enable reads where a load ended.
func (g streamGrants) enable(r awsiam.Role) {
	g.listWork(r, segments)
	g.readWork(r, planFile, segments)
	g.database(r, g.target.LoaderSecret)
	g.mapping(r, "lambda:UpdateEventSourceMapping")
}

// resume may be told of another mapping file.
func (g streamGrants) resume(r awsiam.Role) {
	g.readWork(r, mappingsPrefix+"*")
	g.database(r, g.target.LoaderSecret)
	g.mapping(r, "lambda:UpdateEventSourceMapping")
}

// replay reads failures, marks what it replayed, and sets aside what again does
// not apply.
func (g streamGrants) replay(r awsiam.Role) {
	allow(r, []string{"s3:ListBucket"}, *g.data.Failures.BucketArn())
	allow(r, []string{"s3:GetObject"}, g.failures(r, lambdaFailures, setAside)...)
	allow(r, []string{"kms:Decrypt"}, *g.data.Key.KeyArn())
	g.writeFailures(r, setAside, replayed)
	g.database(r, g.target.LoaderSecret)
}

// status reads the stream behind what was applied, and lists what failed. A
// ledger that still answers is asked how far it is.
func (g streamGrants) status(r awsiam.Role) {
	allow(r, []string{"kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"}, *g.stream.Stream.StreamArn())
	allow(r, []string{"kms:Decrypt"}, *g.data.Key.KeyArn())
	allow(r, []string{"s3:ListBucket"}, *g.data.Failures.BucketArn())
	g.database(r, g.target.LoaderSecret)
	g.mapping(r, "lambda:GetEventSourceMapping")
	if g.stream.Source == sourceQLDB {
		ledger := fmt.Sprintf("arn:%s:qldb:%s:%s:ledger/*", g.partition, *g.stream.Region(), *g.stream.Account())
		allow(r, []string{"qldb:GetDigest"}, ledger)
		suppress(r, "AwsSolutions-IAM5", "the input names the ledger; the action is named", "/^Resource::arn:.*:qldb:.*:ledger/\\*$/")
	}
}

func (g streamGrants) mapping(r awsiam.Role, actions ...string) {
	allow(r, actions, *g.stream.Mapping.AttrEventSourceMappingArn())
}

func (g streamGrants) writeFailures(r awsiam.Role, patterns ...string) {
	allow(r, []string{"s3:PutObject"}, g.failures(r, patterns...)...)
	allow(r, []string{"kms:GenerateDataKey"}, *g.data.Key.KeyArn())
}

func (g streamGrants) failures(r awsiam.Role, patterns ...string) []string {
	arns := make([]string, len(patterns))
	for i, p := range patterns {
		arns[i] = *g.data.Failures.ArnForObjects(jsii.String(p))
		suppress(r, "AwsSolutions-IAM5", "names of objects hold shards and sequence numbers; the folder is named", "/^Resource::.*/"+regexp.QuoteMeta(p)+"$/")
	}
	return arns
}
