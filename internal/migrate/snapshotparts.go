package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"godwit/internal/snapshot"
)

// An object is a part on S3 as io.ReaderAt. It keeps the context of the call that
// opened it, for which alone it is read.
type object struct {
	ctx    context.Context //nolint:containedctx // io.ReaderAt has none, and the part lives no longer than the call
	ranges Ranges
	bucket string
	part   PartRange
}

// ReadAt reads a range of the object.
func (o *object) ReadAt(p []byte, offset int64) (int, error) {
	short := error(nil)
	if rest := o.part.Size - offset; int64(len(p)) > rest {
		p, short = p[:max(rest, 0)], io.EOF
	}
	if err := o.ranges.ReadAt(o.ctx, o.bucket, o.part.Key, o.part.ETag, p, offset); err != nil {
		return 0, err
	}
	return len(p), short
}

func openPart(ctx context.Context, ranges Ranges, bucket string, p PartRange) (*snapshot.Part, error) {
	part, err := snapshot.OpenPart(&object{ctx, ranges, bucket, p}, p.Size)
	return part, partError(bucket, p, err)
}

// partError names the object, and stops where reading it again does not help.
func partError(bucket string, p PartRange, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("read s3://%s/%s: %w", bucket, p.Key, err)
	var damaged *snapshot.DamagedError
	if errors.As(err, &damaged) {
		return &Stop{fmt.Errorf("%w: the object is not what RDS wrote, or the export is damaged: export the snapshot again", err)}
	}
	var code interface{ ErrorCode() string }
	if errors.As(err, &code) {
		switch code.ErrorCode() {
		case "PreconditionFailed":
			return &Stop{fmt.Errorf("%w: an export must not change while it is loaded: export the snapshot again, and load that with \"Replace\": true", err)}
		case "NoSuchKey", "AccessDenied": // S3 says the second to who may not list the bucket
			return &Stop{fmt.Errorf("%w: the object was deleted since the load was planned, or who may read it was changed: export the snapshot again, and load that with \"Replace\": true", err)}
		}
	}
	return err
}

// itemParts are the open parts of an item, whose rows are numbered through: a
// row's number is its place in all of them together, from 0.
type itemParts struct {
	bucket string
	ranges []PartRange
	parts  []*snapshot.Part
	first  []int64 // number of each part's first row, and behind them the number of rows
}

// openItem opens the parts of an item. Only what their footers say stays in
// memory.
func openItem(ctx context.Context, ranges Ranges, bucket string, item *SnapshotItem) (*itemParts, error) {
	open := &itemParts{bucket: bucket, ranges: item.Parts, first: []int64{0}}
	for _, p := range item.Parts {
		part, err := openPart(ctx, ranges, bucket, p)
		if err != nil {
			return nil, err
		}
		rows := part.Rows() - p.From
		if p.To > 0 {
			rows = p.To - p.From
		}
		if p.From < 0 || rows < 0 || p.From+rows > part.Rows() {
			return nil, &Stop{fmt.Errorf("s3://%s/%s has %d rows, and the plan asks for %d to %d: start SnapshotLoad again", bucket, p.Key, part.Rows(), p.From, p.To)}
		}
		open.parts = append(open.parts, part)
		open.first = append(open.first, open.first[len(open.first)-1]+rows)
	}
	return open, nil
}

// rows is how many rows the item has.
func (o *itemParts) rows() int64 { return o.first[len(o.first)-1] }

// each visits the parts that hold rows of [from, to), each with its own numbers of
// them and what to add to those to have the item's.
func (o *itemParts) each(from, to int64, visit func(p *snapshot.Part, from, to, add int64) error) error {
	for i, p := range o.parts {
		low, high := max(from, o.first[i]), min(to, o.first[i+1])
		if low >= high {
			continue
		}
		add := o.first[i] - o.ranges[i].From
		if err := partError(o.bucket, o.ranges[i], visit(p, low-add, high-add, add)); err != nil {
			return err
		}
	}
	return nil
}
