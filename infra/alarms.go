package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

const (
	alarmMinutes = 5
	// Workflows repeat calls by themselves, so that one error in five minutes is
	// life and three are worth a look. An execution that gives up has an alarm of
	// its own, at one.
	worthALook = 3
)

// The metric of records set aside, which ledger-phase writes in the embedded
// metric format under its own name: environments may share an account.
const (
	metricNamespace   = "Godwit"
	metricQuarantined = "Quarantined"
	metricFunction    = "Function"
)

// newAlarmTopic makes the topic that all alarms of an environment tell.
func newAlarmTopic(s awscdk.Stack, e Environment, key awskms.IKey) awssns.Topic {
	topic := awssns.NewTopic(s, jsii.String("Alarms"), &awssns.TopicProps{
		DisplayName: jsii.String("godwit " + e.Name),
		MasterKey:   key,
		EnforceSSL:  jsii.Bool(true),
	})
	// A topic with a policy of its own, as TLS asks for, no longer admits the
	// account's alarms by default.
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("Alarms"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.Account()}},
	}))
	if e.AlarmEmail != "" {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(e.AlarmEmail), nil))
	}
	return topic
}

// An alarmer makes the alarms of a stack.
type alarmer struct {
	stack awscdk.Stack
	topic awssns.ITopic
}

// sum is how alarms count: over a period of their own.
func sum() *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: awscdk.Duration_Minutes(jsii.Number(alarmMinutes))}
}

func (a alarmer) alarm(id string, metric awscloudwatch.IMetric, threshold float64, description string) {
	awscloudwatch.NewAlarm(a.stack, jsii.String(id), &awscloudwatch.AlarmProps{
		AlarmDescription:   jsii.String(description),
		Metric:             metric,
		Threshold:          jsii.Number(threshold),
		EvaluationPeriods:  jsii.Number(1),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	}).AddAlarmAction(awscloudwatchactions.NewSnsAction(a.topic))
}

// functions makes the alarms that every function has.
func (a alarmer) functions(list []*Function) {
	for _, f := range list {
		id := *f.Node().Id()
		a.alarm(id+"Errors", f.MetricErrors(sum()), worthALook, f.Name+" fails again and again: see its log")
		a.alarm(id+"Throttles", f.MetricThrottles(sum()), worthALook, f.Name+" is throttled: lower concurrency in cdk.json or raise the account's limit")
	}
}

// alarms makes the alarms of LedgerLoad.
func (s *LedgerStack) alarms(data *DataStack) {
	a := alarmer{stack: s.Stack, topic: data.Alarms}
	a.alarm("LedgerLoadFailed", s.Load.MetricFailed(sum()), 1,
		"A load failed. Its execution names the state and the reason; redrive it, or start it again with the same input")
	a.alarm("LedgerLoadTimedOut", s.Load.MetricTimedOut(sum()), 1, "A load took longer than it may. Start it again with the same input: it goes on where it stopped")
	a.alarm("LedgerLoadAborted", s.Load.MetricAborted(sum()), 1, "Somebody stopped a load. Nothing of it is visible in the target; start it again with the same input")
	a.functions(s.Functions)
	var counts *string // name of the function that counts what is set aside
	for _, f := range s.Functions {
		if f.Name == config.LedgerPhase {
			counts = f.FunctionName()
		}
	}
	a.alarm("Quarantined", awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String(metricNamespace),
		MetricName:    jsii.String(metricQuarantined),
		DimensionsMap: &map[string]*string{metricFunction: counts},
		Statistic:     sum().Statistic,
		Period:        sum().Period,
	}), 1, "A load set records aside: quarantine/ of the load in the work bucket names each with its origin and reason")
}
