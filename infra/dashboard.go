package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

const (
	// The time that a dashboard opens with: a load of a hundred million revisions
	// fits.
	dashboardHours = 12
	graphMinutes   = 1
	// In units of the grid, which is 24 wide.
	thirdWidth, halfWidth, graphHeight = 8, 12, 6
)

// dashboard makes the dashboard of the ledger route: rows of widgets from the
// whole to the parts.
func (s *LedgerStack) dashboard(e Environment, target *TargetStack, alarms []awscloudwatch.Alarm) {
	queries := make([]string, 0, len(savedQueries))
	for _, q := range savedQueries {
		queries = append(queries, fmt.Sprintf("- **%s**: %s", queryTitle(e, "LedgerLoad", q.name), q.answers))
	}
	refs := make([]interfacesawscloudwatch.IAlarmRef, len(alarms))
	for i, a := range alarms {
		refs[i] = a
	}
	f := byName(s.Functions)
	transform, task := f[config.LedgerTransform], f[config.TargetTask]
	children := []*Function{transform, f[config.LedgerCount], f[config.LedgerSurvey], task}
	board := awscloudwatch.NewDashboard(s.Stack, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName:   jsii.String("godwit-" + e.Name + "-ledger"),
		DefaultInterval: awscdk.Duration_Hours(jsii.Number(dashboardHours)),
	})
	board.AddWidgets(
		awscloudwatch.NewTextWidget(&awscloudwatch.TextWidgetProps{
			Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight),
			Markdown: jsii.String("# LedgerLoad-" + e.Name + "\nHow far a map is, item by item: Step Functions, the execution, its state, *Map Run*. " +
				"Reports: the work bucket, `" + loadsPrefix + "<load>/report.html`.\n\nSaved queries of CloudWatch Logs Insights:\n" + strings.Join(queries, "\n")),
		}),
		awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
			Title: jsii.String("Alarms"), Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight), Alarms: &refs,
		}),
	)
	each := &awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: graphPeriod()}
	board.AddWidgets(
		graph("Executions", s.Load.MetricStarted(each), s.Load.MetricSucceeded(each), s.Load.MetricFailed(each),
			s.Load.MetricTimedOut(each), s.Load.MetricAborted(each)),
		// Step Functions has no metric of one Map Run's items: what a map does
		// shows in the calls of its children, one or more a batch of items.
		graph("Maps: calls of their children", ofEach(children, func(f *Function) awscloudwatch.IMetric { return f.MetricInvocations(of(f, "Sum")) })...),
		graph("Map Runs under way, in the whole account", awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String("AWS/States"), MetricName: jsii.String("ApproximateOpenMapRunCount"), Statistic: jsii.String("Maximum"), Period: graphPeriod(),
		})),
	)
	board.AddWidgets(
		graph("Revisions read a second", perSecond(transform, metricRevisions)),
		graph("Bytes read a second", perSecond(transform, metricBytes)),
		graph("Rows imported a second", perSecond(task, metricRows)),
	)
	board.AddWidgets(
		capacity(target),
		twoAxes("Data API: milliseconds a call (left), tasks waited for (right)",
			[]awscloudwatch.IMetric{ours(task, metricDataAPI, "p50"), ours(task, metricDataAPI, "p99")}, []awscloudwatch.IMetric{ours(task, metricWaits, "Sum")}),
		graph("Revisions set aside", ours(f[config.LedgerPhase], metricQuarantined, "Sum")),
	)
	board.AddWidgets(functionGraphs(s.Functions)...)
}

// functionGraphs show how a stack's functions do.
func functionGraphs(functions []*Function) []awscloudwatch.IWidget {
	return []awscloudwatch.IWidget{
		graph("Functions at once", ofEach(functions, func(f *Function) awscloudwatch.IMetric {
			return f.Metric(jsii.String("ConcurrentExecutions"), of(f, "Maximum"))
		})...),
		graph("Functions: longest call, milliseconds", ofEach(functions, func(f *Function) awscloudwatch.IMetric { return f.MetricDuration(of(f, "Maximum")) })...),
		twoAxes("Functions: errors (left), throttles (right)",
			ofEach(functions, func(f *Function) awscloudwatch.IMetric { return f.MetricErrors(of(f, "Sum")) }),
			ofEach(functions, func(f *Function) awscloudwatch.IMetric { return f.MetricThrottles(of(f, "Sum")) })),
	}
}

// capacity shows how large the database is, and how much of it is used.
func capacity(target *TargetStack) awscloudwatch.IWidget {
	metric := func(name string) []awscloudwatch.IMetric {
		return []awscloudwatch.IMetric{awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String("AWS/RDS"), MetricName: jsii.String(name), Statistic: jsii.String("Maximum"), Period: graphPeriod(),
			DimensionsMap: &map[string]*string{"DBClusterIdentifier": jsii.String(target.ClusterName)},
		})}
	}
	return twoAxes("Database: capacity units (left), percent of the most (right)", metric("ServerlessDatabaseCapacity"), metric("ACUUtilization"))
}

func graphPeriod() awscdk.Duration { return awscdk.Duration_Minutes(jsii.Number(graphMinutes)) }

func graph(title string, metrics ...awscloudwatch.IMetric) awscloudwatch.IWidget {
	return twoAxes(title, metrics, nil)
}

func twoAxes(title string, left, right []awscloudwatch.IMetric) awscloudwatch.IWidget {
	zero := &awscloudwatch.YAxisProps{Min: jsii.Number(0)}
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title: jsii.String(title), Width: jsii.Number(thirdWidth), Height: jsii.Number(graphHeight),
		Left: &left, LeftYAxis: zero, Right: &right, RightYAxis: zero,
	})
}

// of labels a metric of a function with the function's name.
func of(f *Function, statistic string) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Label: jsii.String(f.Name), Statistic: jsii.String(statistic), Period: graphPeriod()}
}

func ofEach(functions []*Function, metric func(*Function) awscloudwatch.IMetric) []awscloudwatch.IMetric {
	list := make([]awscloudwatch.IMetric, len(functions))
	for i, f := range functions {
		list[i] = metric(f)
	}
	return list
}

// ours is a metric that a function writes itself.
func ours(f *Function, name, statistic string) awscloudwatch.IMetric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String(metricNamespace), MetricName: jsii.String(name), Statistic: jsii.String(statistic), Period: graphPeriod(),
		Label: jsii.String(f.Name + " " + statistic), DimensionsMap: &map[string]*string{metricFunction: f.FunctionName()},
	})
}

// perSecond is a metric that a function writes itself, as a rate.
func perSecond(f *Function, name string) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String("m / PERIOD(m)"), Label: jsii.String(f.Name), Period: graphPeriod(),
		UsingMetrics: &map[string]awscloudwatch.IMetric{"m": ours(f, name, "Sum")},
	})
}

// workflowDashboard makes the dashboard of a workflow that has its functions to
// itself; folder is where its reports lie in the work bucket. work is a row of its
// own.
func workflowDashboard(stack awscdk.Stack, e Environment, name, folder string, m *Machine, functions []*Function, alarms []awscloudwatch.Alarm, work ...awscloudwatch.IWidget) {
	refs := make([]interfacesawscloudwatch.IAlarmRef, len(alarms))
	for i, a := range alarms {
		refs[i] = a
	}
	board := awscloudwatch.NewDashboard(stack, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName:   jsii.String("godwit-" + e.Name + "-" + name),
		DefaultInterval: awscdk.Duration_Hours(jsii.Number(dashboardHours)),
	})
	each := &awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: graphPeriod()}
	board.AddWidgets(
		awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
			Title: jsii.String("Alarms of " + m.Name + "-" + e.Name + "; reports: " + folder + "/report.html of the work bucket"),
			Width: jsii.Number(thirdWidth), Height: jsii.Number(graphHeight), Alarms: &refs,
		}),
		graph("Executions", m.MetricStarted(each), m.MetricSucceeded(each), m.MetricFailed(each), m.MetricTimedOut(each), m.MetricAborted(each)),
		graph("Functions: calls", ofEach(functions, func(f *Function) awscloudwatch.IMetric { return f.MetricInvocations(of(f, "Sum")) })...),
	)
	if len(work) > 0 {
		board.AddWidgets(work...)
	}
	board.AddWidgets(functionGraphs(functions)...)
}
