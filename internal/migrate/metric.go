package migrate

import (
	"encoding/json"
	"io"
	"time"
)

// MetricNamespace is where CloudWatch keeps our metrics.
const MetricNamespace = "Godwit"

// DimensionFunction tells the environments of an account apart: the name of the
// function that counts.
const DimensionFunction = "Function"

// The metrics. They count work done: what is done twice, after a lost reply or a
// crash, counts twice.
const (
	MetricQuarantined = "Quarantined"         // ledger-phase: revisions that a load set aside
	MetricRevisions   = "Revisions"           // ledger-transform: revisions read
	MetricBytes       = "Bytes"               // ledger-transform: bytes of blocks read, decompressed
	MetricRows        = "Rows"                // target-task: rows imported, part by part
	MetricWaits       = "Waits"               // target-task: 1 when the call left a task running, to ask again later
	MetricDataAPI     = "DataApiMilliseconds" // target-task: each call of the Data API, until its answer

	// Of stream-apply, with Rows (written to current tables) and Quarantined
	// (messages that were set aside).
	MetricHistory       = "History"       // rows written to history tables
	MetricSkipped       = "Skipped"       // revisions and rows that were loaded before, are older than what is there, or of tables that are left out
	MetricDataAPICalls  = "DataAPICalls"  // calls of the Data API that applied
	MetricLagSeconds    = "LagSeconds"    // from the newest commit of a batch to its end
	MetricLagBlocks     = "LagBlocks"     // from the last block up to which all are complete to the newest of the batch
	MetricStreamStopped = "StreamStopped" // 1 when a contradiction stops the stream, 0 when a call applied its batch

	// Of SnapshotLoad, with Rows (snapshot-rows: of items that are loaded, or written
	// to parts) and Quarantined (snapshot-phase: rows that the target cannot hold).
	MetricFiltered  = "Filtered"  // snapshot-rows: rows that a rule of the mapping leaves out
	MetricConflicts = "Conflicts" // snapshot-rows: transactions that Aurora DSQL did not take and that were done again
	MetricDiffering = "Differing" // snapshot-phase: rows in which target and export differ, each time that they are compared
)

// units are CloudWatch's, of the metrics that are no counts.
var units = map[string]string{MetricBytes: "Bytes", MetricDataAPI: "Milliseconds", MetricLagSeconds: "Seconds"}

// A Metric is what one call of a function adds to one metric.
type Metric struct {
	Name   string
	Values []int64
}

// metricValues is the most values of a metric that a line may hold, of the format.
const metricValues = 100

// Meter returns what writes metrics of a function to its log, as a line in
// CloudWatch's embedded metric format, from which the log service makes metrics
// without a call of ours
// (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
// Where a metric has more values than a line may hold, further lines have the
// rest; one without values is left out. Errors of log are dropped: a metric that
// cannot be written must not stop a load.
func Meter(log io.Writer, function string, now func() time.Time) func(...Metric) {
	return func(metrics ...Metric) { _ = writeMetrics(log, now(), function, metrics) }
}

func writeMetrics(w io.Writer, at time.Time, function string, metrics []Metric) error {
	for metrics = present(metrics); len(metrics) > 0; metrics = present(metrics) {
		var declared []map[string]string
		line := map[string]any{DimensionFunction: function}
		for i := range metrics {
			m := &metrics[i]
			unit, ok := units[m.Name]
			if !ok {
				unit = "Count"
			}
			declared = append(declared, map[string]string{"Name": m.Name, "Unit": unit})
			n := min(metricValues, len(m.Values))
			if n == 1 {
				line[m.Name] = m.Values[0]
			} else {
				line[m.Name] = m.Values[:n]
			}
			m.Values = m.Values[n:]
		}
		line["_aws"] = map[string]any{
			"Timestamp": at.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": MetricNamespace, "Dimensions": [][]string{{DimensionFunction}}, "Metrics": declared,
			}},
		}
		b, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// present returns the metrics that have values.
func present(metrics []Metric) (out []Metric) {
	for _, m := range metrics {
		if len(m.Values) > 0 {
			out = append(out, m)
		}
	}
	return out
}
