package migrate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"godwit/internal/change"
	"godwit/internal/snapshot"
	"godwit/internal/verify"
)

// differencesListed is how many rows of a table a verdict lists.
const differencesListed = 100

// eachItemOf visits the items of a load, in order.
func eachItemOf(ctx context.Context, o Objects, bucket, load string, visit func(*SnapshotItem) error) error {
	r, err := o.Open(ctx, bucket, snapshotKey(load, itemsFile), "", 0)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // read only
	d := json.NewDecoder(bufio.NewReader(r))
	for {
		var item SnapshotItem
		if err := d.Decode(&item); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode s3://%s/%s: %w", bucket, snapshotKey(load, itemsFile), err)
		}
		if err := visit(&item); err != nil {
			return err
		}
	}
}

// refusedRowsOf are the rows that a load left out, in order, by item.
type refusedRowsOf map[int][]int64

func (r refusedRowsOf) has(item int, row int64) bool {
	_, found := slices.BinarySearch(r[item], row)
	return found
}

// refused reads which rows the load left out.
func (p *PhaseSnapshot) refused(ctx context.Context, plan *SnapshotPlan) (refusedRowsOf, error) {
	refused := refusedRowsOf{}
	err := p.Target.Refused(ctx, plan.LoadID, func(item string, r change.Refusal) error {
		n, err := strconv.Atoi(item)
		refused[n] = append(refused[n], r.Row)
		return err
	})
	for item, rows := range refused {
		slices.Sort(rows)
		refused[item] = slices.Compact(rows) // once for all of its columns
	}
	return refused, err
}

// withoutRefused takes the rows that the load left out off the sums of the export,
// which the verifier made without knowing of them. Each is read again.
func (p *PhaseSnapshot) withoutRefused(ctx context.Context, plan *SnapshotPlan, refused refusedRowsOf, want []verify.RowSums) error {
	if len(refused) == 0 {
		return nil
	}
	return eachItemOf(ctx, p.Objects, p.WorkBucket, plan.LoadID, func(item *SnapshotItem) error {
		rows := refused[item.Item]
		if len(rows) == 0 {
			return nil
		}
		source, err := verify.NewSourceRows(&plan.Plans[item.Table])
		if err != nil {
			return &Stop{err}
		}
		parts, err := openItem(ctx, p.Ranges, plan.Place.Bucket, item)
		if err != nil {
			return err
		}
		for _, row := range rows {
			err := eachValue(ctx, parts, row, row+1, source.Columns(), func(_ int64, values []change.Value) error {
				d, kept, err := source.Digest(values)
				if err == nil && kept {
					want[item.Table].Remove(d)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// eachValue visits the values of the rows [from, to) of an item, each with its
// number in the item.
func eachValue(ctx context.Context, parts *itemParts, from, to int64, columns []string, visit func(row int64, values []change.Value) error) error {
	return parts.each(from, to, func(part *snapshot.Part, from, to, add int64) error {
		return part.Values(ctx, from, to, columns, func(row int64, values []change.Value) error {
			if err := visit(row+add, values); err != nil {
				return fmt.Errorf("row %d: %w", row, err)
			}
			return nil
		})
	})
}

// What is looked at row by row, so that memory is bounded.
const (
	// maxDigests is how many rows the buckets that differ may have: of each, some 40
	// bytes are kept.
	maxDigests = 8_000_000
	// maxNarrowed is how many rows that differ are looked at one by one: of more, the
	// number says enough. Of each, some 40 bytes a column are kept.
	maxNarrowed = 10_000
)

// A narrowed table is one of which rows differ.
type narrowed struct {
	rows     int
	list     []verify.Difference
	unlisted string // why there is no list, though rows differ
	by       *verify.Narrowing
}

// tooLarge says why a table is not looked at to its end.
const tooLarge = "the table is too large to be read row by row within one call"

// inTime does what may take longer than the call has: it is given the time up to a
// minute before its end, and late is true where that was too short.
func (p *PhaseSnapshot) inTime(ctx context.Context, do func(ctx context.Context) error) (late bool, err error) {
	limited := ctx
	if stop, ok := handOn(ctx, p.Now()); ok {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadline(ctx, stop)
		defer cancel()
	}
	if err = do(limited); err != nil && limited.Err() != nil && ctx.Err() == nil {
		return true, nil
	}
	return false, err
}

// narrow finds the rows of a table that differ, in buckets that have this many. It
// reads both sides twice; a table that is too large for that in one call is not
// listed.
func (p *PhaseSnapshot) narrow(ctx context.Context, plan *SnapshotPlan, table int, refused refusedRowsOf, differing []int, within uint64) (found *narrowed, err error) {
	if within > maxDigests {
		return &narrowed{unlisted: fmt.Sprintf("those parts have %d rows, more than are looked at one by one (%d)", within, maxDigests)}, nil
	}
	late, err := p.inTime(ctx, func(ctx context.Context) (err error) {
		found, err = p.narrowWithin(ctx, plan, table, refused, differing)
		return err
	})
	if late {
		return &narrowed{unlisted: tooLarge}, nil
	}
	return found, err
}

func (p *PhaseSnapshot) narrowWithin(ctx context.Context, plan *SnapshotPlan, table int, refused refusedRowsOf, differing []int) (*narrowed, error) {
	n, err := verify.NewNarrowing(&plan.Plans[table], differing)
	if err != nil {
		return nil, &Stop{err}
	}
	pass := func() error {
		err := eachItemOf(ctx, p.Objects, p.WorkBucket, plan.LoadID, func(item *SnapshotItem) error {
			if item.Table != table {
				return nil
			}
			parts, err := openItem(ctx, p.Ranges, plan.Place.Bucket, item)
			if err != nil {
				return err
			}
			return eachValue(ctx, parts, 0, parts.rows(), n.Source.Columns(), func(row int64, values []change.Value) error {
				if refused.has(item.Item, row) {
					return nil
				}
				return n.AddSource(verify.Place{Item: item.Item, Row: row}, values)
			})
		})
		if err != nil {
			return err
		}
		return p.Target.Narrow(ctx, plan, table, n)
	}
	if err := pass(); err != nil {
		return nil, err
	}
	if rows := n.Again(); rows > maxNarrowed {
		return &narrowed{rows: rows, unlisted: fmt.Sprintf("%d rows differ, more than are looked at one by one (%d)", rows, maxNarrowed)}, nil
	}
	if err := pass(); err != nil {
		return nil, err
	}
	list := n.Differences()
	return &narrowed{rows: len(list), list: list, by: n}, nil
}
