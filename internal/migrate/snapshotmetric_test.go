package migrate_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/migrate"
	"godwit/internal/verify"
)

// A tally adds up metrics by name.
type tally map[string]int64

func (c tally) add(metrics ...migrate.Metric) {
	for _, m := range metrics {
		for _, v := range m.Values {
			c[m.Name] += v
		}
	}
}

func (c tally) equal(t *testing.T, what string, want tally) {
	t.Helper()
	if !maps.Equal(c, want) {
		t.Errorf("%s: told %v, want %v", what, c, want)
	}
}

// metered is a load of two tables, one item each, of 5 rows.
func metered(t *testing.T, input migrate.SnapshotInput) *memoryObjects {
	t.Helper()
	o := newObjects(t)
	o.changing = func(string) bool { return true }
	plan := migrate.SnapshotPlan{LoadID: "l", Input: input, Place: migrate.ExportPlace{Bucket: exportsHere, Prefix: exportFolder}, Items: 2}
	for i := range 2 {
		plan.Plans = append(plan.Plans, change.TablePlan{
			Source: change.TableName{Schema: "app", Name: fmt.Sprint("t", i)}, Target: change.TableName{Schema: "app", Name: fmt.Sprint("t", i)}, Key: []string{"id"},
			Columns: []change.ColumnPlan{{Name: "id", Type: "integer", From: []change.SourceColumn{{Name: "id", Type: "integer"}}, As: change.Conversion{Kind: change.AsIs}}},
		})
		segment := migrate.SnapshotSegment{Item: i, Table: i, Rows: 5, Counts: change.Counts{Loaded: 3, Refused: 1, Filtered: 1}}
		for file, v := range map[string]any{
			fmt.Sprintf("segments/%08d.json", i): segment, fmt.Sprintf("evidence/source/%08d.json", i): migrate.SnapshotEvidence{Item: i, Table: i, Rows: 5, Sums: &verify.RowSums{}},
		} {
			putJSON(t, o, "snapshots/l/"+file, v)
		}
	}
	putJSON(t, o, "snapshots/l/plan.json", plan)
	return o
}

// writesAll stores nothing, and says that it did: of each item 3 rows, refused 1.
type writesAll struct{}

func (writesAll) Load(_ context.Context, item change.TableItem, _ func(context.Context, change.Range, func(change.Lines) error) error) (change.TableProgress, error) {
	if item.ID == "1" {
		return change.TableProgress{}, &serviceError{"ThrottlingException", "slow down"}
	}
	return change.TableProgress{Counts: change.Counts{Loaded: 3, Refused: 1, Filtered: 1}}, nil
}

// What a call ended of items is told, also where it then fails, and what the target
// had done again meanwhile.
func TestRowsAreToldOfOnceTheirItemIsDone(t *testing.T) {
	t.Parallel()
	o := metered(t, migrate.SnapshotInput{})
	var part bytes.Buffer
	w := parquet.NewGenericWriter[struct {
		ID int32 `parquet:"id"`
	}](&part)
	rows := make([]struct {
		ID int32 `parquet:"id"`
	}, 5)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o.set(exportsHere, "part", part.Bytes())
	ranged := []migrate.PartRange{{Key: "part", ETag: o.objects[exportsHere+"/part"].etag(), Size: int64(part.Len())}}
	count, retried := tally{}, int64(100)
	load := migrate.LoadRows{
		Objects: o, Ranges: o, Writer: writesAll{}, WorkBucket: workBucket, Now: time.Now, Metrics: count.add, Retried: func() int64 { retried += 7; return retried },
	}
	_, err := load.Handle(t.Context(), migrate.SnapshotWorkIn{LoadId: "l", Items: []migrate.SnapshotItem{{Item: 0, Table: 0, Parts: ranged}, {Item: 1, Table: 1, Parts: ranged}}})
	if retry(err) != "Again" {
		t.Errorf("got %v, want that the second item is tried again", err)
	}
	count.equal(t, "rows", tally{migrate.MetricRows: 3, migrate.MetricFiltered: 1, migrate.MetricConflicts: 7})
}

// A judged target has digests of its own, of so many rows that none is looked at by
// itself.
type judgedTarget struct {
	migrate.SnapshotTarget
	differs bool
}

func (judgedTarget) Phases() []string { return []string{"tables", "foreign"} }
func (judgedTarget) Linking() string  { return "foreign" }
func (judgedTarget) Refused(context.Context, string, func(string, change.Refusal) error) error {
	return nil
}

func (j judgedTarget) Sums(context.Context, *migrate.SnapshotPlan, int) (*verify.RowSums, error) {
	sums := &verify.RowSums{}
	if j.differs {
		sums.Rows, sums.Buckets[7] = 1<<40, verify.RowSum{Rows: 1 << 40, High: 1, Low: 2}
	}
	return sums, nil
}

// Refused and differing rows are told of, for their alarms, whether they stop the
// load or not; rows that nobody could list are one a table at least.
func TestPhasesTellOfRefusedAndDifferingRows(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		phase   string
		most    int64
		differs bool
		stops   bool
		want    tally
	}{
		{"rows", 2, false, false, tally{migrate.MetricQuarantined: 2}},
		{"rows", 1, false, true, tally{migrate.MetricQuarantined: 2}},
		{"visible", 2, false, false, tally{migrate.MetricDiffering: 0}},
		{"visible", 2, true, true, tally{migrate.MetricDiffering: 2}},
	} {
		o, count := metered(t, migrate.SnapshotInput{MaxQuarantined: x.most}), tally{}
		phase := migrate.PhaseSnapshot{Objects: o, Ranges: o, Target: judgedTarget{differs: x.differs}, WorkBucket: workBucket, Now: time.Now, Metrics: count.add}
		if _, err := phase.Handle(t.Context(), migrate.PhaseIn{LoadId: "l", Phase: x.phase}); (retry(err) == "Stop") != x.stops {
			t.Errorf("%s: %v, want a stop: %t", x.phase, err, x.stops)
		}
		count.equal(t, x.phase, x.want)
	}
}
