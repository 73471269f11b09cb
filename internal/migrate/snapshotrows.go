package migrate

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

// A RowWriter stores the rows of an item in a target, or makes them ready for it.
//
// Load stores what is missing of an item and says how far it is; near the deadline
// of ctx it ends without an error and leaves the rest to the next call. rows
// yields the rows of a range in order. It may be repeated after any error and
// beside itself: no row is stored twice.
type RowWriter interface {
	Load(ctx context.Context, item change.TableItem, rows func(ctx context.Context, r change.Range, yield func(change.Lines) error) error) (change.TableProgress, error)
}

// LoadRows loads the rows of an export.
type LoadRows struct {
	Objects    Objects
	Ranges     Ranges
	Writer     RowWriter
	WorkBucket string
	Now        func() time.Time
	// Retried counts the transactions that were done again so far; nil is none.
	Retried func() int64
	// Metrics is told, at the end of each call, of the items that it ended. nil tells
	// nobody.
	Metrics func(...Metric)
}

// SnapshotWorkIn is a batch of items and, when an earlier call handed on, where it
// stood.
type SnapshotWorkIn struct {
	LoadId string
	Items  []SnapshotItem
	Resume *SnapshotResume `json:",omitempty"`
}

// SnapshotResume is where to go on.
type SnapshotResume struct {
	Next int // index of the first item that is not known to be done
}

// SnapshotWorkOut says whether the batch is done, or where to go on.
type SnapshotWorkOut struct {
	Done   bool
	Resume *SnapshotResume `json:",omitempty"`
}

// A SnapshotSegment accounts for an item whose rows are all loaded, refused or
// filtered out: segments/<item>.json.
type SnapshotSegment struct {
	Item  int
	Table int
	Rows  int64 // of the item
	change.Counts
}

// Handle loads its items, one after the other, and hands on before the deadline. It
// may be repeated with any input that it was given before.
func (l *LoadRows) Handle(ctx context.Context, in SnapshotWorkIn) (SnapshotWorkOut, error) {
	out, err := l.handle(ctx, in)
	return out, Classify(err)
}

func (l *LoadRows) handle(ctx context.Context, in SnapshotWorkIn) (SnapshotWorkOut, error) {
	plan, err := readSnapshotPlan(ctx, l.Objects, l.WorkBucket, in.LoadId)
	if err != nil {
		return SnapshotWorkOut{}, err
	}
	stop, limited := handOn(ctx, l.Now())
	if limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, stop)
		defer cancel()
	}
	at := SnapshotResume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	var counts change.Counts
	defer l.tell(&counts)()
	for ; at.Next < len(in.Items); at.Next++ {
		if limited && !l.Now().Before(stop) {
			return SnapshotWorkOut{Resume: &at}, nil
		}
		done, err := l.item(ctx, plan, &in.Items[at.Next], &counts)
		if err != nil {
			return SnapshotWorkOut{}, err
		}
		if !done {
			return SnapshotWorkOut{Resume: &at}, nil
		}
	}
	return SnapshotWorkOut{Done: true}, nil
}

// tell begins to count, and returns what tells of it.
func (l *LoadRows) tell(counts *change.Counts) func() {
	if l.Metrics == nil {
		return func() {}
	}
	retried := func() int64 { return 0 }
	if l.Retried != nil {
		retried = l.Retried
	}
	before := retried()
	return func() {
		l.Metrics(Metric{MetricRows, []int64{counts.Loaded}}, Metric{MetricFiltered, []int64{counts.Filtered}}, Metric{MetricConflicts, []int64{retried() - before}})
	}
}

// item loads what is missing of an item, and accounts for it, and in counts, once
// nothing is.
func (l *LoadRows) item(ctx context.Context, plan *SnapshotPlan, item *SnapshotItem, counts *change.Counts) (done bool, err error) {
	table := &plan.Plans[item.Table]
	parts, err := openItem(ctx, l.Ranges, plan.Place.Bucket, item)
	if err != nil {
		return false, err
	}
	segment := SnapshotSegment{Item: item.Item, Table: item.Table, Rows: parts.rows()}
	work := change.TableItem{Load: plan.LoadID, ID: fmt.Sprint(item.Item), Table: table, Rows: change.Range{First: 0, Last: parts.rows() - 1}}
	progress, err := l.Writer.Load(ctx, work, func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
		return encode(ctx, table, parts, r, yield)
	})
	if err != nil {
		return false, fmt.Errorf("load item %d of table %s.%s: %w", item.Item, table.Source.Schema, table.Source.Name, err)
	}
	if len(progress.Left) > 0 {
		return false, nil
	}
	segment.Counts = progress.Counts
	if c := segment.Counts; c.Loaded+c.Refused+c.Filtered != segment.Rows {
		return false, &Stop{fmt.Errorf("item %d of table %s.%s has %d rows, and %d loaded + %d refused + %d filtered are accounted for: please report this", item.Item, table.Source.Schema, table.Source.Name, segment.Rows, c.Loaded, c.Refused, c.Filtered)}
	}
	if err := putJSON(ctx, l.Objects, l.WorkBucket, snapshotSegmentKey(plan.LoadID, item.Item), segment); err != nil {
		return false, err
	}
	counts.Loaded += segment.Loaded
	counts.Filtered += segment.Filtered
	return true, nil
}

// encode yields the rows of a range of an item as lines of COPY.
func encode(ctx context.Context, table *change.TablePlan, parts *itemParts, r change.Range, yield func(change.Lines) error) error {
	var encoder *snapshot.Encoder
	return parts.each(r.First, r.Last+1, func(p *snapshot.Part, from, to, add int64) error {
		if encoder == nil {
			var err error
			if encoder, err = snapshot.NewEncoder(table, p.Columns()); err != nil {
				return &Stop{fmt.Errorf("%w: the part is of another table or of another time than the catalog: export the snapshot again, and give the catalog that was read when it was taken", err)}
			}
		}
		return encoder.Encode(ctx, p, from, to, func(lines change.Lines) error {
			lines.First += add
			for i := range lines.Refused {
				lines.Refused[i].Row += add
			}
			return yield(lines)
		})
	})
}

func snapshotSegmentKey(load string, item int) string {
	return snapshotKey(load, fmt.Sprintf("segments/%08d.json", item))
}

func readSnapshotPlan(ctx context.Context, o Objects, bucket, load string) (*SnapshotPlan, error) {
	plan := &SnapshotPlan{}
	return plan, readJSON(ctx, o, bucket, snapshotKey(load, planFile), plan)
}
