package migrate

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/change"
	"godwit/internal/snapshot"
	"godwit/internal/verify"
)

// DigestRows takes the evidence of an export's rows that the target is held
// against. It shares no code with the loader but the opening of parts: it reads
// them value by value, and converts with code of its own (package verify).
type DigestRows struct {
	Objects    Objects
	Ranges     Ranges
	WorkBucket string
	Now        func() time.Time
}

// SnapshotEvidence is the evidence of one item: evidence/<item>.json.
type SnapshotEvidence struct {
	Item  int
	Table int
	Rows  int64 // that its parts have, filtered ones too
	Sums  *verify.RowSums
}

// Handle digests the rows of its items, one after the other, and hands on between
// two of them before the deadline. It may be repeated: it writes the same.
func (d *DigestRows) Handle(ctx context.Context, in SnapshotWorkIn) (SnapshotWorkOut, error) {
	out, err := d.handle(ctx, in)
	return out, Classify(err)
}

func (d *DigestRows) handle(ctx context.Context, in SnapshotWorkIn) (SnapshotWorkOut, error) {
	plan, err := readSnapshotPlan(ctx, d.Objects, d.WorkBucket, in.LoadId)
	if err != nil {
		return SnapshotWorkOut{}, err
	}
	stop, limited := handOn(ctx, d.Now())
	at := SnapshotResume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	for ; at.Next < len(in.Items); at.Next++ {
		if limited && !d.Now().Before(stop) {
			return SnapshotWorkOut{Resume: &at}, nil
		}
		if err := d.item(ctx, plan, &in.Items[at.Next]); err != nil {
			return SnapshotWorkOut{}, err
		}
	}
	return SnapshotWorkOut{Done: true}, nil
}

func (d *DigestRows) item(ctx context.Context, plan *SnapshotPlan, item *SnapshotItem) error {
	table := &plan.Plans[item.Table]
	parts, err := openItem(ctx, d.Ranges, plan.Place.Bucket, item)
	if err != nil {
		return err
	}
	rows, err := verify.NewSourceRows(table)
	if err != nil {
		return &Stop{err}
	}
	err = parts.each(0, parts.rows(), func(p *snapshot.Part, from, to, _ int64) error {
		return p.Values(ctx, from, to, rows.Columns(), func(row int64, values []change.Value) error {
			if err := rows.Add(values); err != nil {
				return &Stop{fmt.Errorf("row %d: %w: the export holds what no PostgreSQL writes; export the snapshot again", row, err)}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("table %s.%s: %w", table.Source.Schema, table.Source.Name, err)
	}
	return putJSON(ctx, d.Objects, d.WorkBucket, snapshotEvidenceKey(plan.LoadID, item.Item),
		SnapshotEvidence{Item: item.Item, Table: item.Table, Rows: parts.rows(), Sums: &rows.Sums})
}

func snapshotEvidenceKey(load string, item int) string {
	return snapshotKey(load, fmt.Sprintf("evidence/source/%08d.json", item))
}
