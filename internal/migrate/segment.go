package migrate

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"godwit/internal/journal"
	"godwit/internal/proof"
)

// A Segment is what one stretch of an item's blocks became: the unit of
// repetition. Where segments begin and end depends on the blocks alone, so that
// a repeated segment writes the same objects with the same bytes.
type Segment struct {
	Item       int
	Number     int
	Last       bool // of its item
	Blocks     int64
	FirstBlock int64 // meaningful when Blocks > 0
	LastBlock  int64
	HashOnly   int64 // revisions of QLDB's own tables, which hold a hash and no record
	Tables     []SegmentTable
	Events     []journal.TableEvent `json:",omitempty"`
	Parts      []Part               `json:",omitempty"`
	Quarantine *Part                `json:",omitempty"` // COPY part of the quarantine list
	Redactions map[string]int64     `json:",omitempty"` // that the blocks ask for, by ledger table id
	Redact     *Part                `json:",omitempty"` // COPY part of the list of redactions
	Found      map[string][]int64   `json:",omitempty"` // by ledger table name: how often each mapped column's path was there
	Runs       []proof.Run          `json:",omitempty"` // the segment's blocks, verified
}

// A SegmentTable counts the revisions of one ledger table in one segment. Read =
// Staged + Quarantined + Filtered.
type SegmentTable struct {
	ID, Name                            string
	Read, Staged, Quarantined, Filtered int64
	TypeUnproven                        int64 `json:",omitempty"` // of Read: in JSON, whose types were not found
	FirstBlock, LastBlock               int64
}

// A Part is one COPY-ready object.
type Part struct {
	TableID string
	Table   string // ledger table name
	Key     string
	Rows    int64
	Bytes   int64 // compressed
}

// startAgain mends a transform that is not complete. A redrive would not: it does
// not go back to steps that succeeded.
const startAgain = "start LedgerLoad again with the same input, which transforms what is missing and goes on from there"

// parallel is how many small objects are read at a time.
const parallel = 32

// each calls do for 0..n-1, parallel at a time, and returns the first error.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(parallel, n) {
		wg.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// window is how many small objects are in memory at a time while many are read.
const window = 256

// inOrder reads n small objects, several at a time, and visits them in order.
func inOrder[T any](ctx context.Context, n int, read func(ctx context.Context, i int, into *T) error, visit func(*T) error) error {
	for first := 0; first < n; first += window {
		batch := make([]T, min(window, n-first))
		err := each(ctx, len(batch), func(ctx context.Context, i int) error { return read(ctx, first+i, &batch[i]) })
		if err != nil {
			return err
		}
		for i := range batch {
			if err := visit(&batch[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSegments visits the segments of a load, in the order of their blocks, and
// refuses a set that is not complete: each item's segments count from 0 to one
// that is its last. A great load has tens of thousands: visit must not keep them.
func readSegments(ctx context.Context, o Objects, bucket string, plan *Plan, visit func(*Segment) error) error {
	var keys []string
	err := o.List(ctx, bucket, segmentPrefix(plan.LoadID), func(key, _ string, _ int64, _ string) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(keys) // numbers have leading zeros
	item, number := 0, 0
	err = inOrder(ctx, len(keys), func(ctx context.Context, i int, s *Segment) error {
		return readJSON(ctx, o, bucket, keys[i], s)
	}, func(s *Segment) error {
		if s.Item != item || s.Number != number {
			return fmt.Errorf("load %s: segment %d of item %d is missing under s3://%s/%s: %s", plan.LoadID, number, item, bucket, segmentPrefix(plan.LoadID), startAgain)
		}
		number++
		if s.Last {
			item, number = item+1, 0
		}
		return visit(s)
	})
	if err != nil {
		return err
	}
	if item != plan.Items || number != 0 {
		return fmt.Errorf("load %s: %d of %d items were transformed: %s", plan.LoadID, item, plan.Items, startAgain)
	}
	return nil
}
