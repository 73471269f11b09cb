package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

// streamWorkflow is the name of the stream where state machines have theirs.
const streamWorkflow = "Stream"

const (
	// A quarter of an hour behind, for as long: bursts and a database that wakes
	// pass by themselves.
	lateMinutes, latePeriods = 15, 3
	// Changes that nobody reads half a day long. A load takes less as a rule, and
	// Kinesis keeps them fourteen times as long.
	unreadHours = 12
	// The time that the stream's dashboard opens with.
	streamHours = 3
)

// The metrics that stream-apply writes beside those of the ledger route. The
// names are migrate's.
const (
	metricHistory    = "History"
	metricSkipped    = "Skipped"
	metricCalls      = "DataAPICalls"
	metricLagSeconds = "LagSeconds"
	metricLagBlocks  = "LagBlocks"
	metricStopped    = "StreamStopped"
)

// Queries of the stream's own, over the metrics in the logs.
const (
	queryAside   = "messages set aside"
	queryApplied = "what it applied"
)

var streamQueries = append([]savedQuery{
	{"AsideQuery", queryAside, "calls that set messages aside, and how many", false, `filter ` + metricQuarantined + ` > 0
| display @timestamp, ` + metricQuarantined + `, ` + metricRows + `, @log
| sort @timestamp desc
| limit 200`},
	{"AppliedQuery", queryApplied, "rows, history, skipped, Data API calls and lag, minute by minute", false, `filter ispresent(` + metricCalls + `)
| stats sum(` + metricRows + `) as rows, sum(` + metricHistory + `) as history, sum(` + metricSkipped + `) as skipped, sum(` + metricQuarantined + `) as aside, sum(` + metricCalls + `) as calls, max(` + metricLagSeconds + `) as seconds_behind by bin(1m) as minute
| sort minute desc
| limit 1000`},
}, savedQueries...)

// events is a metric of what the mapping did, record by record.
func (s *StreamStack) events(name, statistic string, period awscdk.Duration) awscloudwatch.IMetric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String("AWS/Lambda"), MetricName: jsii.String(name), Statistic: jsii.String(statistic), Period: period,
		DimensionsMap: &map[string]*string{"EventSourceMappingUUID": s.Mapping.AttrId()},
	})
}

// alarms makes the alarms of the stream. Each says what to look at first.
func (s *StreamStack) alarms(e Environment, data *DataStack) []awscloudwatch.Alarm {
	a := &alarmer{stack: s.Stack, topic: data.Alarms, environment: e, workflow: streamWorkflow}
	apply := byName(s.Functions)[config.StreamApply]
	period := sum().Period
	ofApply := func(name string) awscloudwatch.IMetric {
		return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String(metricNamespace), MetricName: jsii.String(name), Statistic: jsii.String("Sum"), Period: period,
			DimensionsMap: &map[string]*string{metricFunction: apply.FunctionName()},
		})
	}
	a.standing("StreamStopped", ofApply(metricStopped), 1,
		"The stream contradicts the target, and nothing is applied any longer. Look first at the answer of "+config.StreamStatus+
			", which says why; then at the saved query "+a.saved(queryErrors)+". Mend the cause and call "+config.StreamResume+
			" with what you did. Kinesis keeps changes for "+number(retentionHours)+" hours")
	a.lasting("StreamLate", apply.Metric(jsii.String("IteratorAge"), &awscloudwatch.MetricOptions{Statistic: jsii.String("Maximum"), Period: period}),
		lateMinutes*60*1000, latePeriods,
		"Changes are applied more than "+number(lateMinutes)+" minutes after they came. Once enabled, a stream catches up with what came during the load. Look first at the saved query "+
			a.saved(queryRetries)+" for what holds a shard up, then at the database's capacity: raise cluster.new.maxACU in cdk.json")
	a.lasting("StreamUnread", awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String("IF(FILL(read, 0) > 0, 0, written)"),
		Label:      jsii.String("written and not read"),
		Period:     awscdk.Duration_Hours(jsii.Number(1)),
		UsingMetrics: &map[string]awscloudwatch.IMetric{
			"written": s.Stream.MetricIncomingRecords(&awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: awscdk.Duration_Hours(jsii.Number(1))}),
			"read":    apply.MetricInvocations(&awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: awscdk.Duration_Hours(jsii.Number(1))}),
		},
	}), 1, unreadHours,
		"Changes come, and nobody has read any for "+number(unreadHours)+" hours; Kinesis keeps them for "+number(retentionHours)+
			". Look first at LedgerLoad: its last step enables the stream. Otherwise at the answer of "+config.StreamStatus+
			": after a stop, and after a deployment that changed the mapping, "+config.StreamResume+" enables it again")
	a.alarm("FailuresDelivered", s.events("OnFailureDestinationDeliveredEventCount", "Sum", period), 1,
		"Lambda gave changes up, as too old or too large, and put them into the bucket of failures. Look first at the objects under aws/lambda/ there; call "+config.StreamReplay+" once the cause is mended")
	a.alarm("FailuresDropped", s.events("DroppedEventCount", "Sum", period), 1,
		"Lambda dropped changes that it could not put into the bucket of failures either: they are lost to the stream. Look first at the bucket's and the key's policies and the role of "+config.StreamApply+
			"; then load again from an export, or copy the tables again")
	a.alarm("FailuresUndeliverable", apply.Metric(jsii.String("DestinationDeliveryFailures"), sum()), 1,
		"Lambda cannot write to the bucket of failures. Look first at the bucket's and the key's policies and the role of "+config.StreamApply)
	a.alarm("Quarantined", ofApply(metricQuarantined), 1,
		"Messages were set aside, and their documents withheld; all others were applied. Look first at the saved query "+a.saved(queryAside)+
			" and at quarantine/ in the bucket of failures: each object holds origin, reason and message. Mend the mapping or the table and call "+config.StreamReplay)
	const relief = "lower concurrency in cdk.json, which bounds loads"
	a.functions([]*Function{apply}, "Lambda repeats the batch, and nothing behind it in its shard is applied meanwhile; once it is "+
		number(recordAgeSeconds/3600/24)+" days old, it goes to the bucket of failures", relief)
	a.functions(slices.DeleteFunc(slices.Clone(s.Functions), func(f *Function) bool { return f == apply }), "Who called it has the error, too", relief)
	return a.made
}

// dashboard makes the dashboard of the stream, from the source to the target.
func (s *StreamStack) dashboard(e Environment, target *TargetStack, alarms []awscloudwatch.Alarm) {
	queries := make([]string, 0, len(streamQueries))
	for _, q := range streamQueries {
		if !q.machine {
			queries = append(queries, fmt.Sprintf("- **%s**: %s", queryTitle(e, streamWorkflow, q.name), q.answers))
		}
	}
	refs := make([]interfacesawscloudwatch.IAlarmRef, len(alarms))
	for i, a := range alarms {
		refs[i] = a
	}
	apply := byName(s.Functions)[config.StreamApply]
	board := awscloudwatch.NewDashboard(s.Stack, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName:   jsii.String("godwit-" + e.Name + "-stream"),
		DefaultInterval: awscdk.Duration_Hours(jsii.Number(streamHours)),
	})
	board.AddWidgets(
		awscloudwatch.NewTextWidget(&awscloudwatch.TextWidgetProps{
			Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight),
			Markdown: jsii.String("# Stream of " + e.Name + "\nSafe to cut over? `" + config.StreamStatus + "` says it in a line, and why. " +
				"What could not be applied: the bucket of failures.\n\nSaved queries of CloudWatch Logs Insights:\n" + strings.Join(queries, "\n")),
		}),
		awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
			Title: jsii.String("Alarms"), Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight), Alarms: &refs,
		}),
	)
	each := &awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: graphPeriod()}
	most := &awscloudwatch.MetricOptions{Statistic: jsii.String("Maximum"), Period: graphPeriod()}
	count := func(name string) awscloudwatch.IMetric { return s.events(name, "Sum", graphPeriod()) }
	board.AddWidgets(
		twoAxes("Written: records (left), bytes (right)",
			[]awscloudwatch.IMetric{s.Stream.MetricIncomingRecords(each)}, []awscloudwatch.IMetric{s.Stream.MetricIncomingBytes(each)}),
		graph("Writes that Kinesis turned away", s.Stream.MetricWriteProvisionedThroughputExceeded(each)),
		graph("Records: read, applied in calls, failed", count("PolledEventCount"), count("InvokedEventCount"), count("FailedInvokeEventCount")),
	)
	board.AddWidgets(
		twoAxes("Behind: milliseconds of the last record read (left), seconds of the last change applied (right)",
			[]awscloudwatch.IMetric{apply.Metric(jsii.String("IteratorAge"), most)}, []awscloudwatch.IMetric{ours(apply, metricLagSeconds, "Maximum")}),
		graph("Behind: blocks of the ledger", ours(apply, metricLagBlocks, "Maximum")),
		graph("Set aside, given up, dropped, stopped", ours(apply, metricQuarantined, "Sum"),
			count("OnFailureDestinationDeliveredEventCount"), count("DroppedEventCount"), ours(apply, metricStopped, "Sum")),
	)
	board.AddWidgets(
		graph("Rows written a second", perSecond(apply, metricRows)),
		graph("Rows of history written a second", perSecond(apply, metricHistory)),
		graph("Changes that the target had already", ours(apply, metricSkipped, "Sum")),
	)
	board.AddWidgets(
		capacity(target),
		graph("Data API: calls", ours(apply, metricCalls, "Sum")),
		twoAxes("stream-apply: longest call, milliseconds (left), at once (right)",
			[]awscloudwatch.IMetric{apply.MetricDuration(of(apply, "Maximum"))},
			[]awscloudwatch.IMetric{apply.Metric(jsii.String("ConcurrentExecutions"), of(apply, "Maximum"))}),
	)
	board.AddWidgets(
		twoAxes("Functions: errors (left), throttles (right)",
			ofEach(s.Functions, func(f *Function) awscloudwatch.IMetric { return f.MetricErrors(of(f, "Sum")) }),
			ofEach(s.Functions, func(f *Function) awscloudwatch.IMetric { return f.MetricThrottles(of(f, "Sum")) })),
	)
}
