package migrate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"godwit/internal/verify"
)

// Count counts the revisions of an archive straight from its blocks, without
// the mapping and without the loader's accounting: the other side of the
// reconciliation.
type Count struct {
	Objects    Objects
	WorkBucket string
	// StepBytes is how much is read, in decompressed bytes of one object, between
	// two looks at the deadline; 0 is 64 MiB.
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
	late := func() bool { return limited && c.Now().After(stop) }
	for at.Item < len(in.Items) {
		item := &in.Items[at.Item]
		if at.Counts == nil {
			at.Counts = &verify.Evidence{}
		}
		for at.Range < len(item.Ranges) {
			ended, err := c.read(ctx, &plan, &item.Ranges[at.Range], &at, late)
			if err != nil {
				return WorkOut{}, err
			}
			if ended {
				at = Resume{Item: at.Item, Range: at.Range + 1, Counts: at.Counts}
			}
			if !ended || at.Range < len(item.Ranges) && late() {
				return WorkOut{Resume: &at}, nil
			}
		}
		if err := putJSON(ctx, c.Objects, c.WorkBucket, countKey(in.LoadId, item.Number), at.Counts); err != nil {
			return WorkOut{}, err
		}
		at = Resume{Item: at.Item + 1}
		if at.Item < len(in.Items) && late() {
			return WorkOut{Resume: &at}, nil
		}
	}
	return WorkOut{Done: true}, nil
}

// read counts one range, or as much of it as there is time for.
func (c *Count) read(ctx context.Context, plan *Plan, r *Range, at *Resume, late func() bool) (ended bool, err error) {
	step := c.StepBytes
	if step == 0 {
		step = defaultSegmentBytes
	}
	w, err := openRange(ctx, c.Objects, plan, r, at, nil)
	if err != nil {
		return false, err
	}
	defer w.close()
	began := at.Position.Offset
	for {
		b, err := w.next(ctx)
		if err != nil {
			return false, err
		}
		at.Counts.Add(b)
		if w.due > r.Claim.Last {
			return true, w.end()
		}
		at.Position, at.Next = w.reader.Position(), w.due
		if at.Position.Offset-began >= step {
			if late() {
				return false, nil
			}
			began = at.Position.Offset
		}
	}
}

// readEvidence reads and adds up what the independent pass found; every item
// must be there.
func readEvidence(ctx context.Context, o Objects, bucket string, plan *Plan) (*verify.Evidence, error) {
	sum := &verify.Evidence{}
	err := inOrder(ctx, plan.Items, func(ctx context.Context, i int, found *verify.Evidence) error {
		return readJSON(ctx, o, bucket, countKey(plan.LoadID, i), found)
	}, func(found *verify.Evidence) error {
		sum.Merge(found)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the independent count: %w", err)
	}
	return sum, nil
}

// account is what the loader says it did.
func (l *load) account() *verify.Account {
	a := &verify.Account{Blocks: l.blocks, HashOnly: l.hashOnly}
	for _, t := range l.tables {
		a.Tables = append(a.Tables, verify.TableAccount{ID: t.ID, Name: t.Name, Read: t.Read, Staged: t.Staged, Quarantined: t.Quarantined, Filtered: t.Filtered})
	}
	return a
}

// reconcile compares the archive, by its own pass, with the loader's account,
// and that with what the target holds. Nothing may differ by one revision.
func (l *load) reconcile(ctx context.Context, o Objects, bucket string, stored *verify.Stored) error {
	evidence, err := readEvidence(ctx, o, bucket, l.plan)
	if err != nil {
		return err
	}
	if evidence.Blocks != l.plan.Blocks {
		return &Stop{fmt.Errorf("the independent pass read %d blocks where the plan gave out %d, and nothing of the load is visible: %s", evidence.Blocks, l.plan.Blocks, startAgain)}
	}
	findings := verify.Reconcile(evidence, l.account(), stored)
	if findings.Verdict() == verify.Reconciled {
		return nil
	}
	return &Stop{fmt.Errorf("the load does not add up, and nothing of it is visible: %s", findings)}
}

// imported is what the target committed while it imported, by its bookkeeping.
func imported(ctx context.Context, t Target, load string) (*verify.Stored, error) {
	rows, err := t.StagedRows(ctx, load)
	if err != nil {
		return nil, err
	}
	s := &verify.Stored{Tables: map[string]verify.StoredTable{}}
	for id, n := range rows {
		if id == "" {
			s.Quarantined = n
			continue
		}
		s.Tables[id] = verify.StoredTable{Rows: n}
	}
	return s, nil
}

// readBack is what the slices found in the staged tables, revision by revision.
func readBack(ctx context.Context, t Target, load string) (*verify.Stored, error) {
	s, err := imported(ctx, t, load)
	if err != nil {
		return nil, err
	}
	stored, err := t.Stored(ctx, load)
	if err != nil {
		return nil, err
	}
	clear(s.Tables)
	for _, x := range stored {
		xor, err := strconv.ParseInt(x.Xor, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the checksum of table %s: %w", x.TableID, err)
		}
		sum, err := verify.ParseSum(x.Sum)
		if err != nil {
			return nil, fmt.Errorf("read the checksum of table %s: %w", x.TableID, err)
		}
		s.Tables[x.TableID] = verify.StoredTable{Rows: x.Rows, Checksum: &verify.Checksum{Xor: uint64(xor), Sum: sum}}
	}
	return s, nil
}
