package migrate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

// The dashboard and the alarm name namespace, names and dimension as written
// here; the dimension's value stands beside the metrics'.
func TestMetricsAreInTheEmbeddedFormat(t *testing.T) {
	var b strings.Builder
	migrate.Meter(&b, "phase-function", func() time.Time { return time.UnixMilli(1700000000123) })(
		migrate.Metric{Name: migrate.MetricQuarantined, Values: []int64{7}}, migrate.Metric{Name: migrate.MetricRows},
		migrate.Metric{Name: migrate.MetricDataAPI, Values: []int64{12, 345}})
	want := `{"DataApiMilliseconds":[12,345],"Function":"phase-function","Quarantined":7,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Function"]],` +
		`"Metrics":[{"Name":"Quarantined","Unit":"Count"},{"Name":"DataApiMilliseconds","Unit":"Milliseconds"}],"Namespace":"Godwit"}],"Timestamp":1700000000123}}` + "\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
}

// A line holds a hundred values of a metric; no value is lost, none is written
// twice.
func TestNoLineHoldsMoreMetricValuesThanItMay(t *testing.T) {
	var b strings.Builder
	calls := migrate.Metric{Name: migrate.MetricDataAPI}
	for i := range int64(250) {
		calls.Values = append(calls.Values, i)
	}
	write := migrate.Meter(&b, "f", time.Now)
	write(migrate.Metric{Name: migrate.MetricRows, Values: []int64{5}}, calls)
	seen, rows, lines := map[int64]int{}, 0, strings.Split(strings.TrimSpace(b.String()), "\n")
	for _, line := range lines {
		var got struct {
			DataApiMilliseconds []int64
			Rows                int
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if n := len(got.DataApiMilliseconds); n == 0 || n > 100 {
			t.Errorf("got %d values in a line, want 1 to 100", n)
		}
		for _, v := range got.DataApiMilliseconds {
			seen[v]++
		}
		rows += got.Rows
	}
	if len(lines) != 3 || len(seen) != 250 || rows != 5 {
		t.Errorf("got %d lines, %d values, %d rows, want 3, 250 and 5", len(lines), len(seen), rows)
	}
	if write(); strings.Count(b.String(), "\n") != 3 {
		t.Error("got another line, want none without metrics")
	}
}

// gauge sums what handlers tell, and how often they do.
type gauge struct {
	sums  map[string]int64
	calls int
}

func (g *gauge) add(metrics ...migrate.Metric) {
	g.calls++
	if g.sums == nil {
		g.sums = map[string]int64{}
	}
	for _, m := range metrics {
		for _, v := range m.Values {
			g.sums[m.Name] += v
		}
	}
}

// The calls of a load tell together what was read and imported, once each: a
// ledger's revisions, its objects' bytes.
func TestALoadTellsWhatItReadAndImported(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("handing on %v", late), func(t *testing.T) {
			g := &gauge{}
			m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":4}`)
			m.segmentBytes, m.late, m.metrics = 4<<10, func() bool { return late }, g.add
			l := m.generate(ledgergen.Options{Seed: 3, Documents: 60, Unmappable: 4, Prefix: prefix, BlocksPerObject: 9, Format: ledgergen.IonBinary})
			m.mustRun()
			var size int64
			for name, o := range m.objects.objects {
				if strings.HasPrefix(name, archiveBucket) && strings.HasSuffix(name, ".ion") {
					size += int64(len(o.body))
				}
			}
			want := map[string]int64{migrate.MetricRevisions: l.Revisions(), migrate.MetricRows: l.Revisions(), migrate.MetricBytes: size, migrate.MetricQuarantined: 4}
			if !maps.Equal(g.sums, want) {
				t.Errorf("got %v, want %v", g.sums, want)
			}
		})
	}
}

// A call tells of the tasks that it found done, also when a later one fails, and
// that it left one running.
func TestTasksTellRowsAndWaits(t *testing.T) {
	part := func(rows int) change.Task {
		return change.Task{Phase: "import", Args: fmt.Appendf(nil, `{"table_id":"t","rows":%d}`, rows)}
	}
	for name, test := range map[string]struct {
		target *turnTarget
		want   map[string]int64
	}{
		"done":    {&turnTarget{}, map[string]int64{migrate.MetricRows: 12}},
		"running": {&turnTarget{at: 2}, map[string]int64{migrate.MetricRows: 5, migrate.MetricWaits: 1}},
		"failed":  {&turnTarget{at: 2, err: &stateError{"GW001"}}, map[string]int64{migrate.MetricRows: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gauge{}
			h := &migrate.RunTask{Target: test.target, Metrics: g.add}
			in := migrate.RunTaskIn{LoadId: "l", Items: []change.Task{part(5), part(7), {Phase: "keys", Args: []byte(`{"rows":9}`)}}}
			if _, err := h.Handle(context.Background(), in); (err != nil) != (test.target.err != nil) {
				t.Fatal(err)
			}
			if !maps.Equal(g.sums, test.want) || g.calls != 1 {
				t.Errorf("got %v in %d calls, want %v in one", g.sums, g.calls, test.want)
			}
		})
	}
}

// turnTarget is a database that stops at one of its tasks, counted from 1: it
// is running, or fails with err.
type turnTarget struct {
	migrate.Target
	at, calls int
	err       error
}

func (s *turnTarget) Run(context.Context, string, change.Task, bool) (bool, error) {
	if s.calls++; s.calls == s.at {
		return false, s.err
	}
	return true, nil
}
