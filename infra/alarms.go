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

// The metrics that functions write in the embedded metric format, each under its
// own name: environments may share an account. The names are migrate's.
const (
	metricNamespace   = "Godwit"
	metricFunction    = "Function"
	metricQuarantined = "Quarantined"
	metricRevisions   = "Revisions"
	metricBytes       = "Bytes"
	metricRows        = "Rows"
	metricWaits       = "Waits"
	metricDataAPI     = "DataApiMilliseconds"
	metricFiltered    = "Filtered"
	metricConflicts   = "Conflicts"
	metricDiffering   = "Differing"
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
	stack       awscdk.Stack
	topic       awssns.ITopic
	environment Environment
	workflow    string // LedgerLoad
	made        []awscloudwatch.Alarm
}

// saved names a saved query in the text of an alarm.
func (a *alarmer) saved(query string) string {
	return `"` + queryTitle(a.environment, a.workflow, query) + `" of CloudWatch Logs Insights`
}

// sum is how alarms count: over a period of their own.
func sum() *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: awscdk.Duration_Minutes(jsii.Number(alarmMinutes))}
}

func (a *alarmer) alarm(id string, metric awscloudwatch.IMetric, threshold float64, description string) {
	a.lasting(id, metric, threshold, 1, description)
}

// lasting is an alarm that is raised when so many periods in a row reach the
// threshold.
func (a *alarmer) lasting(id string, metric awscloudwatch.IMetric, threshold, periods float64, description string) {
	a.add(id, metric, threshold, periods, awscloudwatch.TreatMissingData_NOT_BREACHING, description)
}

// standing is an alarm that stays raised until the metric says otherwise.
func (a *alarmer) standing(id string, metric awscloudwatch.IMetric, threshold float64, description string) {
	a.add(id, metric, threshold, 1, awscloudwatch.TreatMissingData_IGNORE, description)
}

func (a *alarmer) add(id string, metric awscloudwatch.IMetric, threshold, periods float64, missing awscloudwatch.TreatMissingData, description string) {
	alarm := awscloudwatch.NewAlarm(a.stack, jsii.String(id), &awscloudwatch.AlarmProps{
		AlarmDescription:   jsii.String(description),
		Metric:             metric,
		Threshold:          jsii.Number(threshold),
		EvaluationPeriods:  jsii.Number(periods),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
		TreatMissingData:   missing,
	})
	alarm.AddAlarmAction(awscloudwatchactions.NewSnsAction(a.topic))
	a.made = append(a.made, alarm)
}

// counted is a metric that a function writes itself, as alarms count.
func counted(f *Function, name string) awscloudwatch.IMetric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String(metricNamespace),
		MetricName:    jsii.String(name),
		DimensionsMap: &map[string]*string{metricFunction: f.FunctionName()},
		Statistic:     sum().Statistic,
		Period:        sum().Period,
	})
}

// byExecution is what becomes of a failed call of a state machine.
const byExecution = "Calls are repeated: an execution that gives up has an alarm of its own"

// functions makes the alarms that every function has. then says what becomes of a
// failed call, relief how fewer may run at once.
func (a *alarmer) functions(list []*Function, then, relief string) {
	for _, f := range list {
		id := *f.Node().Id()
		a.alarm(id+"Errors", f.MetricErrors(sum()), worthALook, f.Name+" fails again and again. Look first at the saved query "+a.saved(queryErrors)+
			"; for a crash or a call that ran out of time at "+a.saved(querySlowest)+". "+then)
		a.alarm(id+"Throttles", f.MetricThrottles(sum()), worthALook, f.Name+" is throttled. Look first at Lambda's quota Concurrent executions in Service Quotas: raise it, or "+relief)
	}
}

// alarms makes the alarms of LedgerLoad. Each says what to look at first.
func (s *LedgerStack) alarms(e Environment, data *DataStack) []awscloudwatch.Alarm {
	a := &alarmer{stack: s.Stack, topic: data.Alarms, environment: e, workflow: "LedgerLoad"}
	a.alarm("LedgerLoadFailed", s.Load.MetricFailed(sum()), 1,
		"A load or a plan failed. Look first at the execution in Step Functions: its failed state, and for a map the failed child in its Map Run, says object, block and what to do. "+
			"Mend that and redrive the execution, or start it again with the same input. Before the state Report nothing of a load is visible")
	a.alarm("LedgerLoadTimedOut", s.Load.MetricTimedOut(sum()), 1,
		"A load took longer than "+number(executionDays)+" days. Look first at the execution's last state and at the saved query "+a.saved(queryRetries)+
			"; then start it again with the same input: it goes on where it stopped")
	a.alarm("LedgerLoadAborted", s.Load.MetricAborted(sum()), 1,
		"Somebody stopped a load. Look first at who did (CloudTrail, StopExecution); start it again with the same input to go on. Before the state Report nothing of it is visible")
	a.functions(s.Functions, byExecution, "lower concurrency in cdk.json")
	a.alarm("Quarantined", counted(byName(s.Functions)[config.LedgerPhase], metricQuarantined), 1, "A load set revisions aside. Look first at quarantine/ of the load in the work bucket, or at godwit.quarantine in the database: each stands there with its origin and the reason. Mend the mapping and load again, or leave it")
	return a.made
}
