package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/migrate"
)

// The names under which functions write what alarms and dashboard read. They
// stand here and there, because infra knows names of config only.
func TestMetricsAreThoseThatFunctionsWrite(t *testing.T) {
	for ours, theirs := range map[string]string{
		metricNamespace: migrate.MetricNamespace, metricFunction: migrate.DimensionFunction,
		metricQuarantined: migrate.MetricQuarantined, metricRevisions: migrate.MetricRevisions, metricBytes: migrate.MetricBytes,
		metricRows: migrate.MetricRows, metricWaits: migrate.MetricWaits, metricDataAPI: migrate.MetricDataAPI,
		metricHistory: migrate.MetricHistory, metricSkipped: migrate.MetricSkipped, metricCalls: migrate.MetricDataAPICalls,
		metricLagSeconds: migrate.MetricLagSeconds, metricLagBlocks: migrate.MetricLagBlocks, metricStopped: migrate.MetricStreamStopped,
		metricFiltered: migrate.MetricFiltered, metricConflicts: migrate.MetricConflicts, metricDiffering: migrate.MetricDiffering,
	} {
		if ours != theirs {
			t.Errorf("stacks read %q, functions write %q", ours, theirs)
		}
	}
}

// widgets are those of the dashboard of a stack, with references written as text.
func (s *synthesis) widgets(t *testing.T, stack string) []map[string]any {
	t.Helper()
	boards := slices.DeleteFunc(s.resources("AWS::CloudWatch::Dashboard"), func(r resource) bool { return r.Stack != stack })
	if len(boards) != 1 {
		t.Fatalf("stack %s has %d dashboards, want 1", stack, len(boards))
	}
	var body struct{ Widgets []map[string]any }
	if err := json.Unmarshal([]byte(s.text(boards[0].Properties["DashboardBody"])), &body); err != nil {
		t.Fatalf("the dashboard is not JSON: %v", err)
	}
	return body.Widgets
}

// A metric is what a dashboard shows of whom.
type metric struct{ namespace, name, of string }

// shows fails for each metric that the dashboard of a stack does not show.
func (s *synthesis) shows(t *testing.T, stack string, want []metric) {
	t.Helper()
	shown := map[metric]bool{}
	for _, w := range s.widgets(t, stack) {
		list, _ := at(w, "properties", "metrics").([]any)
		for _, m := range list {
			parts, _ := m.([]any)
			if len(parts) == 0 || at(parts[0], "expression") != nil {
				continue
			}
			got := metric{namespace: parts[0].(string), name: parts[1].(string)}
			if len(parts) > 3 {
				got.of = parts[3].(string)
			}
			shown[got] = true
		}
	}
	for _, w := range want {
		if !shown[w] {
			t.Errorf("the dashboard of %s does not show %v", stack, w)
		}
	}
}

// cluster is the target's name as templates write it.
func (s *synthesis) cluster() string {
	if s.Environment.Cluster.Imported != nil {
		return "existing"
	}
	return "${Cluster}"
}

func TestDashboardShowsTheRoute(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		if !s.Environment.has("ledger") {
			return
		}
		want := []metric{
			{"AWS/States", "ExecutionsStarted", "${LedgerLoad}"},
			{"AWS/States", "ExecutionsSucceeded", "${LedgerLoad}"},
			{"AWS/States", "ExecutionsFailed", "${LedgerLoad}"},
			{"AWS/States", "ApproximateOpenMapRunCount", ""},
			{"AWS/RDS", "ServerlessDatabaseCapacity", s.cluster()},
			{"AWS/RDS", "ACUUtilization", s.cluster()},
			{metricNamespace, metricQuarantined, "${Phase}"},
			{metricNamespace, metricRevisions, "${Transform}"},
			{metricNamespace, metricBytes, "${Transform}"},
			{metricNamespace, metricRows, "${Task}"},
			{metricNamespace, metricWaits, "${Task}"},
			{metricNamespace, metricDataAPI, "${Task}"},
		}
		for _, f := range s.resources("AWS::Lambda::Function") {
			if f.Stack == "ledger" {
				for _, name := range []string{"Errors", "Throttles", "Duration", "ConcurrentExecutions"} {
					want = append(want, metric{"AWS/Lambda", name, "${" + f.ID + "}"})
				}
			}
		}
		s.shows(t, "ledger", want)
	})
}

// Proofs and snapshots have dashboards of their own: who audits need not have the ledger's.
func TestDashboardsShowTheirWorkflow(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, stack := range []string{"prove", "snapshot"} {
			if !s.Environment.has(stack) {
				continue
			}
			machine := "${" + machines[stack] + "}"
			want := []metric{{"AWS/States", "ExecutionsStarted", machine}, {"AWS/States", "ExecutionsFailed", machine}}
			if stack == "snapshot" {
				want = append(want, metric{metricNamespace, metricRows, "${SnapshotRows}"}, metric{metricNamespace, metricFiltered, "${SnapshotRows}"},
					metric{metricNamespace, metricConflicts, "${SnapshotRows}"}, metric{metricNamespace, metricQuarantined, "${SnapshotPhase}"},
					metric{metricNamespace, metricDiffering, "${SnapshotPhase}"})
			}
			for _, f := range s.resources("AWS::Lambda::Function") {
				if f.Stack == stack {
					for _, name := range []string{"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"} {
						want = append(want, metric{"AWS/Lambda", name, "${" + f.ID + "}"})
					}
				}
			}
			s.shows(t, stack, want)
		}
	})
}

// Who is woken reads the alarm's text first.
func TestAlarmsSayWhatToLookAtFirst(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		saved := map[string]bool{}
		for _, q := range s.resources("AWS::Logs::QueryDefinition") {
			saved[q.Properties["Name"].(string)] = true
		}
		want := 0
		for stack := range machines {
			if s.Environment.has(stack) {
				want += len(savedQueries)
			}
		}
		for _, q := range streamQueries {
			if !q.machine && s.Environment.Stream != nil {
				want++
			}
		}
		if len(saved) != want {
			t.Errorf("%d queries are saved, want %d", len(saved), want)
		}
		named := regexp.MustCompile(`"(godwit/[^"]+)"`)
		for _, a := range s.resources("AWS::CloudWatch::Alarm") {
			text, _ := a.Properties["AlarmDescription"].(string)
			// AlarmDescription may have 1,024 characters (CloudWatch API Reference, PutMetricAlarm).
			if !strings.Contains(text, "Look first at ") || len(text) > 1024 {
				t.Errorf("alarm %s says in %d bytes: %s", a, len(text), text)
			}
			// A new start is refused: its prefix is in use.
			if strings.HasPrefix(a.ID, "LedgerExport") && !strings.Contains(text, "redrive") {
				t.Errorf("alarm %s does not say that the export is redriven: %s", a, text)
			}
			for _, m := range named.FindAllStringSubmatch(text, -1) {
				if !saved[m[1]] {
					t.Errorf("alarm %s names the query %s, which is not saved", a, m[1])
				}
			}
		}
	})
}

func TestSavedQueriesReadTheRightLogs(t *testing.T) {
	s := synthesize(t, "demo")
	stackOf := map[string]string{"LedgerLoad": "ledger", "LedgerProve": "prove", "LedgerExport": "export", streamWorkflow: "stream"}
	want := map[string][]string{} // by the query's name
	for workflow := range stackOf {
		var logs []string
		for _, f := range s.resources("AWS::Lambda::Function") {
			if f.Stack == stackOf[workflow] {
				logs = append(logs, "${"+f.ID+"Log}")
			}
		}
		slices.Sort(logs)
		for _, q := range streamQueries {
			want[queryTitle(s.Environment, workflow, q.name)] = logs
			if q.machine {
				want[queryTitle(s.Environment, workflow, q.name)] = []string{"${" + workflow + "Log}"}
			}
		}
	}
	for _, q := range s.resources("AWS::Logs::QueryDefinition") {
		name := q.Properties["Name"].(string)
		got := s.texts(q.Properties["LogGroupNames"])
		slices.Sort(got)
		if !slices.Equal(got, want[name]) {
			t.Errorf("query %s reads %v, want %v", name, got, want[name])
		}
	}
	for _, f := range s.resources("AWS::Lambda::Function") {
		// Without it no call is reported that ends well.
		if got := at(f.Properties, "LoggingConfig", "SystemLogLevel"); got != "INFO" {
			t.Errorf("function %s has system log level %v", f, got)
		}
	}
}

// aws-lambda-go's line of a failed call, as the queries take it apart.
func TestQueriesFindErrorsAsTheyAreWritten(t *testing.T) {
	line, err := json.Marshal(struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}{`open s3://b/k: "x" is no object`, errorAgain})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range savedQueries {
		if q.name != queryErrors && q.name != queryRetries {
			continue
		}
		m := regexp.MustCompile(`parse @message '(.*)\*(.*)\*(.*)' as`).FindStringSubmatch(q.text)
		if m == nil {
			t.Fatalf("query %s parses nothing", q.name)
		}
		parts := regexp.MustCompile(regexp.QuoteMeta(m[1]) + `(.*?)` + regexp.QuoteMeta(m[2]) + `(.*?)` + regexp.QuoteMeta(m[3])).FindStringSubmatch("2026/11/22 20:00:00 " + string(line))
		if len(parts) != 3 || parts[2] != errorAgain {
			t.Errorf("query %s makes %q of the line %s", q.name, parts, line)
		}
		for _, f := range regexp.MustCompile(`like '("errorType".*?)'`).FindAllStringSubmatch(q.text, -1) {
			if !strings.HasPrefix(f[1], `"errorType":"`+errorLimit) && !strings.Contains(string(line), f[1]) {
				t.Errorf("query %s filters by %s, which the line %s does not hold", q.name, f[1], line)
			}
		}
	}
}
