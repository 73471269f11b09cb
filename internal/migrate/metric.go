package migrate

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// MetricNamespace and MetricQuarantined name the metric that the alarm on
// quarantined revisions watches.
const (
	MetricNamespace   = "Godwit"
	MetricQuarantined = "Quarantined"
)

// DimensionFunction tells the environments of an account apart: the name of the
// function that counts.
const DimensionFunction = "Function"

// WriteMetric writes one count of a function as a line in CloudWatch's embedded metric format,
// from which the log service makes a metric without a call of ours
// (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
func WriteMetric(w io.Writer, at time.Time, function, name string, value int64) error {
	line, err := json.Marshal(map[string]any{
		"_aws": map[string]any{
			"Timestamp": at.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace":  MetricNamespace,
				"Dimensions": [][]string{{DimensionFunction}},
				"Metrics":    []any{map[string]string{"Name": name, "Unit": "Count"}},
			}},
		},
		DimensionFunction: function,
		name:              value,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}
