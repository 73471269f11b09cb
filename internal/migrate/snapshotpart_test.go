package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/migrate"
)

// madeRows are rows of an item as an encoder yields them, in batches of some size:
// some are filtered out, some refused.
type madeRows struct {
	count, batch int64
	filtered     func(row int64) bool
	refused      func(row int64) bool
	read         int64 // rows that were asked for
	each         func(row int64)
}

func (m *madeRows) line(row int64) string {
	return fmt.Sprintf("%d\t%s\n", row, strings.Repeat("x", int(row*7919%97)))
}

func (m *madeRows) yield(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
	for first := r.First; first <= r.Last; first += m.batch {
		lines := change.Lines{First: first}
		for row := first; row <= min(first+m.batch-1, r.Last); row++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			m.read++
			if m.each != nil {
				m.each(row)
			}
			switch {
			case m.filtered(row):
			case m.refused(row):
				lines.Refused = append(lines.Refused, change.Refusal{Row: row, Column: "c", Reason: "too long"})
			default:
				lines.Data = append(lines.Data, m.line(row)...)
			}
			lines.Ends = append(lines.Ends, len(lines.Data))
		}
		if err := yield(lines); err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
	}
	return nil
}

func newMadeRows() *madeRows {
	return &madeRows{count: 2000, batch: 300, filtered: func(row int64) bool { return row%10 == 3 || row/100 == 7 }, refused: func(row int64) bool { return row%50 == 6 || row/50 == 30 }}
}

var madePlan = change.TablePlan{Target: change.TableName{Schema: "shop", Name: "things"}}

func (m *madeRows) item() change.TableItem {
	return change.TableItem{Load: "load1", ID: "0", Table: &madePlan, Rows: change.Range{Last: m.count - 1}}
}

func auroraTarget(o *memoryObjects, now func() time.Time) *migrate.AuroraTarget {
	return &migrate.AuroraTarget{Objects: o, WorkBucket: workBucket, Region: "us-east-1", Now: now, PartBytes: 8000, Quote: func(name ...string) string { return strings.Join(name, ".") }}
}

// finish calls Load until nothing is left, as the state machine does, and returns
// the number of calls.
func finish(t *testing.T, target *migrate.AuroraTarget, m *madeRows, limit func(context.Context) (context.Context, context.CancelFunc)) (change.Counts, int) {
	t.Helper()
	for calls := 1; calls < 200; calls++ {
		ctx, cancel := limit(context.Background())
		p, err := target.Load(ctx, m.item(), m.yield)
		cancel()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if err == nil && p.Left == nil {
			return p.Counts, calls
		}
	}
	t.Fatal("the item does not end")
	return change.Counts{}, 0
}

func unlimited(ctx context.Context) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}

// stored is what the parts hold, by the tasks that import them, and what was
// refused.
func storedRows(t *testing.T, target *migrate.AuroraTarget, o *memoryObjects) (lines string, refused []int64) {
	t.Helper()
	tasks, err := target.Tasks(t.Context(), &migrate.SnapshotPlan{LoadID: "load1", Items: 1, Plans: []change.TablePlan{madePlan}}, "import")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tasks {
		var args struct {
			Bucket, Key, Region string
			Rows                int
		}
		if err := json.Unmarshal(x.Args, &args); err != nil {
			t.Fatal(err)
		}
		text, err := o.read(args.Bucket, args.Key)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n != args.Rows || n == 0 || args.Region == "" {
			t.Errorf("%s has %d rows, and its task says %d", args.Key, n, args.Rows)
		}
		lines += string(text)
	}
	err = target.Refused(t.Context(), "load1", func(item string, r change.Refusal) error {
		refused = append(refused, r.Row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, refused
}

// check holds what is stored against the rows.
func (m *madeRows) check(t *testing.T, target *migrate.AuroraTarget, o *memoryObjects, counts change.Counts) {
	t.Helper()
	var want strings.Builder
	var wantCounts change.Counts
	var wantRefused []int64
	for row := range m.count {
		switch {
		case m.filtered(row):
			wantCounts.Filtered++
		case m.refused(row):
			wantCounts.Refused++
			wantRefused = append(wantRefused, row)
		default:
			wantCounts.Loaded++
			want.WriteString(m.line(row))
		}
	}
	lines, refused := storedRows(t, target, o)
	if lines != want.String() || fmt.Sprint(refused) != fmt.Sprint(wantRefused) || counts != wantCounts {
		t.Errorf("got %d bytes of rows, %d refused and %+v; want %d bytes, %d refused and %+v", len(lines), len(refused), counts, want.Len(), len(wantRefused), wantCounts)
	}
}

// However the rows come, in whatever calls, the parts are the same bytes.
func TestPartsAreCutByTheRowsAlone(t *testing.T) {
	t.Parallel()
	var first map[string]string
	for _, batch := range []int64{1, 7, 300, 5000} {
		for _, span := range []time.Duration{0, 1, 7 * time.Second, 60 * time.Second} {
			o := newObjects(t)
			clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			target := auroraTarget(o, func() time.Time { return clock })
			m := newMadeRows()
			m.batch = batch
			m.each = func(int64) { clock = clock.Add(50 * time.Millisecond) }
			counts, calls := finish(t, target, m, func(ctx context.Context) (context.Context, context.CancelFunc) {
				if span == 0 {
					return unlimited(ctx)
				}
				return deadline{ctx, clock.Add(span)}, func() {}
			})
			m.check(t, target, o, counts)
			if span > 0 && calls == 1 {
				t.Errorf("batches of %d rows, %v a call: nothing was left to another call", batch, span)
			}
			if got := o.under(workBucket + "/"); first == nil {
				first = got
			} else if !maps.Equal(got, first) {
				t.Errorf("batches of %d rows, %v a call: other objects", batch, span)
			}
		}
	}
	if len(first) < 20 {
		t.Errorf("the rows make %d objects, too few to tell anything", len(first))
	}
}

// A deadline of the test's clock, which cuts nothing off.
type deadline struct {
	context.Context
	at time.Time
}

func (d deadline) Deadline() (time.Time, bool) { return d.at, true }

// The function dies at every write, before it takes effect and after; the next call
// goes on and reads no row again that a stored part holds.
func TestPartsSurviveADeathAtEveryWrite(t *testing.T) {
	t.Parallel()
	clean := newObjects(t)
	m := newMadeRows()
	counts, _ := finish(t, auroraTarget(clean, time.Now), m, unlimited)
	m.check(t, auroraTarget(clean, time.Now), clean, counts)
	want, puts := clean.under(workBucket+"/"), clean.puts
	for at := 1; at <= puts; at++ {
		for _, stored := range []bool{false, true} {
			o := newObjects(t)
			o.fault = func(string) (bool, error) {
				if o.puts == at {
					return stored, errCrash
				}
				return true, nil
			}
			m := newMadeRows()
			again, calls := finish(t, auroraTarget(o, time.Now), m, unlimited)
			if again != counts || calls != 2 || !maps.Equal(o.under(workBucket+"/"), want) {
				t.Errorf("death at write %d (stored %v): %+v after %d calls, or other objects", at, stored, again, calls)
			}
			if m.read > m.count+3*m.batch+400 {
				t.Errorf("death at write %d: %d rows were read, of %d", at, m.read, m.count)
			}
		}
	}
}

// A deadline that cuts a part off loses that part and no other.
func TestPartsBeforeADeadlineStay(t *testing.T) {
	t.Parallel()
	o := newObjects(t)
	target := auroraTarget(o, time.Now)
	m := newMadeRows()
	ctx, cancel := context.WithCancelCause(t.Context())
	m.each = func(row int64) {
		if row == 1000 {
			cancel(context.DeadlineExceeded)
		}
	}
	p, err := target.Load(timedOut{ctx}, m.item(), m.yield)
	if err != nil || len(p.Left) != 1 || p.Left[0].First == 0 || p.Loaded == 0 {
		t.Fatalf("got %+v and error %v, want that the rest is left", p, err)
	}
	m.each = nil
	counts, _ := finish(t, target, m, unlimited)
	m.check(t, target, o, counts)
	// Where not even one part is done in time, that is an error.
	_, err = auroraTarget(newObjects(t), time.Now).Load(timedOut{ctx}, m.item(), m.yield)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
}

// timedOut says that its time is over where it was cancelled.
type timedOut struct{ context.Context }

func (c timedOut) Err() error {
	if c.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// Items of nothing, and of nothing that stays, have records and no object.
func TestItemsWithoutRowsAreComplete(t *testing.T) {
	t.Parallel()
	for _, count := range []int64{0, 5} {
		o := newObjects(t)
		target := auroraTarget(o, time.Now)
		m := newMadeRows()
		m.count, m.filtered = count, func(int64) bool { return true }
		counts, _ := finish(t, target, m, unlimited)
		m.check(t, target, o, counts)
		if len(o.objects) != 1 {
			t.Errorf("%d rows that are filtered out make %d objects, want the record alone", count, len(o.objects))
		}
	}
}

// An import that lacks a part does not begin.
func TestMissingPartsStopTheImport(t *testing.T) {
	t.Parallel()
	clean := newObjects(t)
	m := newMadeRows()
	finish(t, auroraTarget(clean, time.Now), m, unlimited)
	for name := range clean.under(workBucket + "/parts/") {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		o := newObjects(t)
		o.objects = maps.Clone(clean.objects)
		delete(o.objects, name)
		var stop *migrate.Stop
		_, err := auroraTarget(o, time.Now).Tasks(t.Context(), &migrate.SnapshotPlan{LoadID: "load1", Items: 1, Plans: []change.TablePlan{madePlan}}, "import")
		if !errors.As(err, &stop) || !strings.Contains(err.Error(), "missing") {
			t.Errorf("without %s: got %v, want that it is missing", name, err)
		}
	}
}
