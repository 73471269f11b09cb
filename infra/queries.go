package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
)

// A savedQuery is a query of CloudWatch Logs Insights that answers a question
// which alarms of a workflow raise. Texts of the log lines: aws-lambda-go writes a failed call
// as {"errorMessage": …, "errorType": …}; Lambda reports each call as
// platform.report (Lambda Developer Guide, Telemetry API event schema); Step
// Functions writes an event of an execution a line (Developer Guide, logging).
type savedQuery struct {
	id      string // logical, in the template
	name    string
	answers string // in a few words
	machine bool   // it reads the state machine's log, not the functions'
	text    string
}

// The queries by name, for the alarms that send people to them.
const (
	queryErrors  = "errors with reason"
	queryRetries = "retries"
	querySlowest = "slowest calls"
	queryEvents  = "what it did"
)

var savedQueries = []savedQuery{
	{"ErrorsQuery", queryErrors, "what functions failed with, the latest first", false, `fields @timestamp, @log
| filter @message like '"errorType"'
| parse @message '"errorMessage":"*","errorType":"*"' as reason, error
| display @timestamp, error, reason, @log
| sort @timestamp desc
| limit 200`},
	{"RetriesQuery", queryRetries, "which failures are tried again, how often and until when", false, `filter @message like '"errorType":"Again"' or @message like '"errorType":"LimitExceeded"'
| parse @message '"errorMessage":"*","errorType":"*"' as reason, error
| stats count(*) as calls, earliest(@timestamp) as first, latest(@timestamp) as last, latest(reason) as latest_reason by @log, error
| sort calls desc`},
	{"SlowestQuery", querySlowest, "the longest calls, with memory used; those that ended by time or a crash have a status other than success", false, `filter type = "platform.report"
| fields record.metrics.durationMs / 1000 as seconds, record.metrics.maxMemoryUsedMB as memory_mb, record.metrics.initDurationMs as init_ms, record.status as status
| display @timestamp, seconds, memory_mb, init_ms, status, record.requestId, @log
| sort seconds desc
| limit 100`},
	{"EventsQuery", queryEvents, "states that executions entered and left, their Map Runs, and what failed, children of maps included", true, `filter type like /^Execution|StateEntered$|StateExited$|^MapRun|Failed$|TimedOut$/
| filter execution_arn not like "/" or type like /Failed$|TimedOut$/
| display @timestamp, execution_arn, type, details.name, details.error, details.cause
| sort @timestamp asc
| limit 2000`},
}

// queryTitle is the name of a workflow's query in the console, which makes
// folders of slashes.
func queryTitle(e Environment, workflow, name string) string {
	return "godwit/" + e.Name + "/" + workflow + "/" + name
}

// saveQueries saves queries over the logs of a workflow: LedgerLoad. machine is
// nil where no state machine runs it.
func saveQueries(s awscdk.Stack, e Environment, workflow string, queries []savedQuery, functions []*Function, machine *Machine) {
	var groups []any
	for _, f := range functions {
		groups = append(groups, f.Log.LogGroupName())
	}
	for _, q := range queries {
		reads := &groups
		if q.machine {
			if machine == nil {
				continue
			}
			reads = &[]any{machine.Log.LogGroupName()}
		}
		awslogs.NewCfnQueryDefinition(s, jsii.String(q.id), &awslogs.CfnQueryDefinitionProps{
			Name: jsii.String(queryTitle(e, workflow, q.name)), QueryString: jsii.String(q.text), LogGroupNames: reads,
		})
	}
}
