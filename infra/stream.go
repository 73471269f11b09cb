package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

const (
	// The most that Kinesis keeps without charging by the day for old records: a
	// load may take days, and the stream begins before it.
	retentionHours = 168
	// The most that Kinesis takes. Aurora DSQL demands it (User Guide, CDC setup);
	// the others write wide rows that exceed the default of 1 MiB.
	maxRecordKiB = 10240

	// The most there is: the 6 MB that an event may have close a batch before, at
	// some 4,000 rows of DMS or 90 aggregates of QLDB, and the larger the batch,
	// the fewer the Data API's calls.
	batchSize = 10000
	// Lambda polls once a second. Waiting one second more lets a trickle gather,
	// so that an idle application costs no call for each row.
	batchWindowSeconds = 1
	// One batch of a shard at a time: a shard takes in 1 MB a second at most, and
	// one call applies several. More at once would wait for each other's rows. With
	// DMS it also keeps the changes of a row in their order, so that no version is
	// passed over; QLDB and DSQL promise no order, and there, as after a replay, the
	// guard of versions in the database is the order.
	parallelizationFactor = 1
	// For ever, as far as the count goes: what may pass is waited for, what never
	// will is set aside by the function itself.
	retryAttempts = -1
	// A day before Kinesis forgets a record, it goes to the bucket of failures.
	recordAgeSeconds = 6 * 24 * 3600

	// A batch takes seconds, a paused cluster up to a minute to wake. A call that
	// hangs blocks its shard, so that the next try should not be far.
	applyMinutes = 5
	// A few calls, or a look at each shard.
	controlMinutes = 5
)

// Where the bucket of failures keeps what: Lambda's own objects (Developer Guide,
// on-failure destinations), the messages that stream-apply set aside, and the
// marks of what was replayed.
const (
	lambdaFailures = "aws/lambda/*"
	setAside       = "quarantine/*"
	replayed       = "replayed/*"
)

// A StreamStack applies changes as they come: a Kinesis stream, the functions,
// the mapping between them, alarms, dashboard, saved queries.
type StreamStack struct {
	awscdk.Stack
	Source    string
	Stream    awskinesis.Stream
	Functions []*Function
	Mapping   awslambda.CfnEventSourceMapping
}

// NewStreamStack makes the stream of an environment that has one.
func NewStreamStack(app awscdk.App, id string, e Environment, data *DataStack, target *TargetStack, assets string) (*StreamStack, error) {
	s := &StreamStack{Stack: newStack(app, id, e, "godwit: changes follow by themselves, from Kinesis into Aurora PostgreSQL"), Source: e.Stream.Source}
	s.Stream = awskinesis.NewStream(s.Stack, jsii.String("Stream"), &awskinesis.StreamProps{
		StreamMode:      awskinesis.StreamMode_ON_DEMAND,
		Encryption:      awskinesis.StreamEncryption_KMS,
		EncryptionKey:   data.Key,
		RetentionPeriod: awscdk.Duration_Hours(jsii.Number(retentionHours)),
		RemovalPolicy:   removalPolicy(e),
	})
	cfn, ok := s.Stream.Node().DefaultChild().(awskinesis.CfnStream)
	if !ok {
		return nil, fmt.Errorf("set the record size of the stream: its resource is not a CfnStream")
	}
	cfn.SetMaxRecordSizeInKiB(jsii.Number(maxRecordKiB))
	suppress(s.Stream, "AwsSolutions-KDS3", "rows of the source are in it: who may read them is said by a key of our own, as for the cluster and the buckets")

	values := map[string]string{
		config.WorkBucket:    *data.Work.BucketName(),
		config.FailureBucket: *data.Failures.BucketName(),
		config.ClusterARN:    target.ClusterARN,
		config.Database:      target.Database,
		config.LoaderSecret:  target.LoaderSecret.ARN,
		config.StreamARN:     *s.Stream.StreamArn(),
		config.StreamSource:  s.Source,
	}
	g := streamGrants{grants: grants{e: e, data: data, target: target, partition: *s.Partition()}, stream: s}
	apply, err := newFunctions(s.Stack, e, data, assets, values, []step{
		{"StreamApply", config.StreamApply, "Applies a batch of changes", applyMinutes, g.apply},
	})
	if err != nil {
		return nil, err
	}
	s.Mapping = s.mapping(apply[0], data)
	g.own(apply[0])
	values[config.StreamMapping] = *s.Mapping.AttrId()
	others, err := newFunctions(s.Stack, e, data, assets, values, []step{
		{"StreamEnable", config.StreamEnable, "Registers where a stream begins and has it applied", workMinutes, g.enable},
		{"StreamResume", config.StreamResume, "Goes on after a stop", controlMinutes, g.resume},
		{"StreamReplay", config.StreamReplay, "Applies failures and what was set aside again", workMinutes, g.replay},
		{"StreamStatus", config.StreamStatus, "Says whether it is safe to cut over, and why", controlMinutes, g.status},
	})
	if err != nil {
		return nil, err
	}
	s.Functions = append(apply, others...)
	saveQueries(s.Stack, e, streamWorkflow, streamQueries, s.Functions, nil)
	s.dashboard(e, target, s.alarms(e, data))
	output(s.Stack, "StreamArn", *s.Stream.StreamArn(), "Where the source writes its changes")
	for _, f := range others {
		output(s.Stack, *f.Node().Id()+"Name", *f.FunctionName(), *streamHelp(f.Name))
	}
	s.producer(e, data)
	return s, nil
}

// streamHelp says how a function of the stream is called by hand.
func streamHelp(function string) *string {
	return jsii.String(map[string]string{
		config.StreamEnable: `After a copy by other means: {"Source": "dms", "Boundary": "0/1A2B3C"}. LedgerLoad calls it where EnableStream is true`,
		config.StreamResume: `After a stop, once its reason is mended: {"Because": "…"}`,
		config.StreamReplay: `Once the cause is mended: {}, or {"Prefix": "aws/lambda/…"}; again with the Resume that it answers until Done`,
		config.StreamStatus: `{}, or {"Tip": …} with the source's last position: safe to cut over or not, and why`,
	}[function])
}

// mapping makes the event source mapping of stream-apply, disabled: stream-enable
// enables it once the database knows where the stream begins, and stream-apply
// disables it when applying on would do harm. It is written out in full, because
// the construct would grant patterns of actions.
//
// A deployment that changes one of its properties disables it again, as the
// template says; stream-resume enables it then. Nothing is lost meanwhile.
func (s *StreamStack) mapping(f *Function, data *DataStack) awslambda.CfnEventSourceMapping {
	return awslambda.NewCfnEventSourceMapping(s.Stack, jsii.String("Mapping"), &awslambda.CfnEventSourceMappingProps{
		FunctionName:                   f.FunctionArn(),
		EventSourceArn:                 s.Stream.StreamArn(),
		Enabled:                        jsii.Bool(false),
		StartingPosition:               jsii.String("TRIM_HORIZON"),
		BatchSize:                      jsii.Number(batchSize),
		MaximumBatchingWindowInSeconds: jsii.Number(batchWindowSeconds),
		ParallelizationFactor:          jsii.Number(parallelizationFactor),
		MaximumRetryAttempts:           jsii.Number(retryAttempts),
		MaximumRecordAgeInSeconds:      jsii.Number(recordAgeSeconds),
		BisectBatchOnFunctionError:     jsii.Bool(true),
		FunctionResponseTypes:          jsii.Strings("ReportBatchItemFailures"),
		DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{Destination: data.Failures.BucketArn()},
		},
		// Without them nothing tells that a record went to the bucket.
		MetricsConfig: &awslambda.CfnEventSourceMapping_MetricsConfigProperty{Metrics: jsii.Strings("EventCount")},
	})
}
