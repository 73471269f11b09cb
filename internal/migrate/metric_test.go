package migrate_test

import (
	"strings"
	"testing"
	"time"

	"godwit/internal/migrate"
)

// The alarm's metric names namespace, name and dimension as written here; the
// dimension's value stands beside the metric's.
func TestWriteMetricIsInTheEmbeddedFormat(t *testing.T) {
	var b strings.Builder
	if err := migrate.WriteMetric(&b, time.UnixMilli(1700000000123), "phase-function", migrate.MetricQuarantined, 7); err != nil {
		t.Fatal(err)
	}
	want := `{"Function":"phase-function","Quarantined":7,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Function"]],` +
		`"Metrics":[{"Name":"Quarantined","Unit":"Count"}],"Namespace":"Godwit"}],"Timestamp":1700000000123}}` + "\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
}
