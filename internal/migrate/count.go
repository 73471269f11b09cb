package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"godwit/internal/journal"
)

// An ItemCount is what the independent pass counted in one item.
type ItemCount struct {
	Item     int
	Blocks   int64
	HashOnly int64
	Tables   map[string]int64 // revisions by ledger table id; "" counts those without a table
}

// Count counts the revisions of an archive straight from its blocks, without
// the mapping and without the loader's accounting: the other side of the
// reconciliation.
type Count struct {
	Objects    Objects
	WorkBucket string
	// StepBytes is how much is read, in bytes of one object, between two looks at
	// the deadline; 0 is 64 MiB.
	StepBytes int64
	Now       func() time.Time
}

// Handle counts its items and hands on before the deadline. It may be repeated.
func (c *Count) Handle(ctx context.Context, in WorkIn) (WorkOut, error) {
	out, err := c.handle(ctx, in)
	return out, Classify(err)
}

func (c *Count) handle(ctx context.Context, in WorkIn) (WorkOut, error) {
	stop, limited := handOn(ctx, c.Now())
	var plan Plan
	if err := readJSON(ctx, c.Objects, c.WorkBucket, planKey(in.LoadId), &plan); err != nil {
		return WorkOut{}, err
	}
	at := Resume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	step := c.StepBytes
	if step == 0 {
		step = defaultSegmentBytes
	}
	for at.Item < len(in.Items) {
		item := &in.Items[at.Item]
		if at.Counts == nil {
			at.Counts = &ItemCount{Item: item.Number, Tables: map[string]int64{}}
		}
		for at.Range < len(item.Ranges) {
			ended, err := c.read(ctx, &plan, &item.Ranges[at.Range], &at, step)
			if err != nil {
				return WorkOut{}, err
			}
			if ended {
				at = Resume{Item: at.Item, Range: at.Range + 1, Counts: at.Counts}
			}
			if limited && c.Now().After(stop) && (!ended || at.Range < len(item.Ranges)) {
				return WorkOut{Resume: &at}, nil
			}
		}
		if err := putJSON(ctx, c.Objects, c.WorkBucket, countKey(in.LoadId, item.Number), at.Counts); err != nil {
			return WorkOut{}, err
		}
		at = Resume{Item: at.Item + 1}
		if limited && at.Item < len(in.Items) && c.Now().After(stop) {
			return WorkOut{Resume: &at}, nil
		}
	}
	return WorkOut{Done: true}, nil
}

// read counts one range, or step bytes of it.
func (c *Count) read(ctx context.Context, plan *Plan, r *Range, at *Resume, step int64) (ended bool, err error) {
	w, err := openRange(ctx, c.Objects, plan, r, at, nil)
	if err != nil {
		return false, err
	}
	defer w.close()
	began := at.Position.Offset
	for {
		b, err := w.next(ctx)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		at.Counts.add(b)
		at.Position, at.Next = w.reader.Position(), b.SequenceNo+1
		if at.Position.Offset-began >= step {
			return false, nil
		}
	}
}

func (n *ItemCount) add(b *journal.Block) {
	n.Blocks++
	n.HashOnly += int64(b.HashOnly)
	for i := range b.Revisions {
		if !b.Revisions[i].HashOnly() {
			n.Tables[b.Revisions[i].Table.ID]++
		}
	}
}

// readCounts reads and adds up what the independent pass counted; every item
// must be there.
func readCounts(ctx context.Context, o Objects, bucket string, plan *Plan) (*ItemCount, error) {
	counts := make([]ItemCount, plan.Items)
	err := each(ctx, plan.Items, func(ctx context.Context, i int) error {
		return readJSON(ctx, o, bucket, countKey(plan.LoadID, i), &counts[i])
	})
	if err != nil {
		return nil, fmt.Errorf("read the independent count: %w", err)
	}
	sum := &ItemCount{Tables: map[string]int64{}}
	for _, n := range counts {
		sum.Blocks += n.Blocks
		sum.HashOnly += n.HashOnly
		for id, k := range n.Tables {
			sum.Tables[id] += k
		}
	}
	return sum, nil
}

// reconcile proves that every revision is accounted for: what the independent
// pass counted is what the transform read; what it read was staged, set aside or
// filtered; what it staged is what the database committed. Nothing may differ by
// one.
func (l *load) reconcile(ctx context.Context, o Objects, t Target, bucket string) error {
	counted, err := readCounts(ctx, o, bucket, l.plan)
	if err != nil {
		return err
	}
	staged, err := t.StagedRows(ctx, l.plan.LoadID)
	if err != nil {
		return err
	}
	var findings []string
	differ := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	if counted.Blocks != l.blocks {
		differ("the count found %d blocks, the transform %d", counted.Blocks, l.blocks)
	}
	if counted.HashOnly != l.hashOnly {
		differ("the count found %d revisions of QLDB's own tables, the transform %d", counted.HashOnly, l.hashOnly)
	}
	known := map[string]bool{"": true}
	for _, x := range l.tables {
		known[x.ID] = true
		if n := counted.Tables[x.ID]; n != x.Read {
			differ("table %s (%s): the count found %d revisions, the transform read %d", x.Name, x.ID, n, x.Read)
		}
		if x.Read != x.Staged+x.Quarantined+x.Filtered {
			differ("table %s (%s): %d revisions read are not %d staged + %d quarantined + %d filtered", x.Name, x.ID, x.Read, x.Staged, x.Quarantined, x.Filtered)
		}
		if n := staged[x.ID]; x.ID != "" && n != x.Staged {
			differ("table %s (%s): the transform staged %d revisions, the database committed %d", x.Name, x.ID, x.Staged, n)
		}
	}
	for id, n := range counted.Tables {
		if n > 0 && !slices.ContainsFunc(l.tables, func(t SegmentTable) bool { return t.ID == id }) {
			differ("table %q: the count found %d revisions, the transform none", id, n)
		}
	}
	for id, n := range staged {
		if !known[id] {
			differ("table %q: the database committed %d rows of it, the transform staged none", id, n)
		}
	}
	if staged[""] != l.total.Quarantined {
		differ("the transform set %d revisions aside, the database lists %d", l.total.Quarantined, staged[""])
	}
	if len(findings) == 0 {
		return nil
	}
	slices.Sort(findings)
	return &Stop{fmt.Errorf("the load does not add up, and nothing of it is visible:\n- %s", strings.Join(findings, "\n- "))}
}
