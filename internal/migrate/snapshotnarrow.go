package migrate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// withoutRefused takes the rows that the load left out off the sums of the export,
// which the verifier made without knowing of them. Each is read again.
func (p *PhaseSnapshot) withoutRefused(ctx context.Context, plan *SnapshotPlan, want []verify.RowSums) error {
	refused := map[int][]int64{} // rows by item
	err := p.Target.Refused(ctx, plan.LoadID, func(item string, r change.Refusal) error {
		n, err := strconv.Atoi(item)
		if rows := refused[n]; len(rows) == 0 || rows[len(rows)-1] != r.Row { // once for all of its columns
			refused[n] = append(rows, r.Row)
		}
		return err
	})
	if err != nil || len(refused) == 0 {
		return err
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
			err := eachValue(ctx, parts, row, row+1, source.Columns(), func(values []change.Value) error {
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

// eachValue visits the values of the rows [from, to) of an item.
func eachValue(ctx context.Context, parts *itemParts, from, to int64, columns []string, visit func([]change.Value) error) error {
	return parts.each(from, to, func(part *snapshot.Part, from, to, _ int64) error {
		return part.Values(ctx, from, to, columns, func(row int64, values []change.Value) error {
			if err := visit(values); err != nil {
				return fmt.Errorf("row %d: %w", row, err)
			}
			return nil
		})
	})
}

// narrow finds the rows of a table that differ, and says how many there are. It
// reads both sides twice.
func (p *PhaseSnapshot) narrow(ctx context.Context, plan *SnapshotPlan, table int, differing []int) (rows int, list []verify.Difference, err error) {
	n, err := verify.NewNarrowing(&plan.Plans[table], differing)
	if err != nil {
		return 0, nil, &Stop{err}
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
			return eachValue(ctx, parts, 0, parts.rows(), n.Source.Columns(), n.AddSource)
		})
		if err != nil {
			return err
		}
		return p.Target.ReadBack(ctx, &plan.Plans[table], n.Target.Columns(), n.AddTarget)
	}
	if err := pass(); err != nil {
		return 0, nil, err
	}
	if rows = n.Again(); rows > maxNarrowed {
		return rows, nil, nil
	}
	if err := pass(); err != nil {
		return 0, nil, err
	}
	list = n.Differences()
	return len(list), list[:min(len(list), differencesListed)], nil
}

// maxNarrowed is how many rows that differ are looked at one by one: of more, the
// number says enough, and memory is bounded.
const maxNarrowed = 10_000
