package migrate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"godwit/internal/change"
)

// Where the rows of an item lie until the database has imported them, below
// parts/<load id>/<item>/. They expire; so does the record beside each.
const (
	partObject = ".copy.gz"
	partRecord = ".json"
)

func snapshotPartsPrefix(load string) string { return "parts/" + load + "/" }

func itemPartsPrefix(load string, item int) string {
	return snapshotPartsPrefix(load) + fmt.Sprintf("%08d/", item)
}

func snapshotPartKey(load string, item, number int) string {
	return itemPartsPrefix(load, item) + fmt.Sprintf("%06d", number) + partObject
}

func partRecordKey(load string, item, number int) string {
	return itemPartsPrefix(load, item) + fmt.Sprintf("%06d", number) + partRecord
}

func refusedPrefix(load string) string { return snapshotKey(load, "quarantine/rows/") }

func refusedKey(load string, item, number int) string {
	return refusedPrefix(load) + fmt.Sprintf("%08d-%06d.json", item, number)
}

// A snapshotPart is a stretch of an item's rows: the unit of repetition. Where it
// ends depends on the rows alone, so that a repeated one is the same, byte for byte.
type snapshotPart struct {
	Item     int
	Number   int
	Last     bool // of its item
	Table    change.TableName
	From, To int64 // rows of the item, To apart
	change.Counts
	Bytes int64 // of the object, compressed; there is none without loaded rows
}

// refusedRows are the rows of a part that the target cannot hold.
type refusedRows struct {
	Item int
	Rows []change.Refusal
}

const (
	defaultPartBytes = 128 << 20 // of text: some tens of MB compressed, and as many in memory
	// What a row weighs beside its line, and one that is refused: a part of rows that
	// are all filtered out or refused ends as well.
	rowWeight     = 16
	refusalWeight = 512
)

// errHandOn ends the reading of rows that are left to another call.
var errHandOn = errors.New("the rest is left to another call")

// Load writes the rows of an item that no call before wrote as parts, one after the
// other, and hands on between two of them where the next would not be done in time.
// It may be repeated, and beside itself: whoever writes a part writes the same.
func (t *AuroraTarget) Load(ctx context.Context, item change.TableItem, rows func(ctx context.Context, r change.Range, yield func(change.Lines) error) error) (change.TableProgress, error) {
	w := &partWriter{target: t, load: item.Load, end: item.Rows.Last + 1, limit: cmp.Or(t.PartBytes, defaultPartBytes)}
	var err error
	if w.part.Item, err = strconv.Atoi(item.ID); err != nil {
		return change.TableProgress{}, &Stop{fmt.Errorf("%q is no number of an item", item.ID)}
	}
	w.part.Table, w.part.From, w.part.To = item.Table.Target, item.Rows.First, item.Rows.First
	if err := w.resume(ctx); err != nil {
		return change.TableProgress{}, err
	}
	if !w.done {
		w.began = t.Now()
		err = rows(ctx, change.Range{First: w.part.From, Last: item.Rows.Last}, func(lines change.Lines) error { return w.take(ctx, lines) })
		if err == nil && !w.done {
			err = w.store(ctx)
		}
	}
	// A part that the deadline cut off is written again; those before it stay.
	if err != nil && !errors.Is(err, errHandOn) && (w.longest == 0 || !errors.Is(err, context.DeadlineExceeded)) {
		return change.TableProgress{}, err
	}
	progress := change.TableProgress{Counts: w.stored}
	if !w.done {
		progress.Left = []change.Range{{First: w.part.From, Last: item.Rows.Last}}
	}
	return progress, nil
}

// A partWriter writes the parts of one item in one call.
type partWriter struct {
	target  *AuroraTarget
	load    string
	end     int64 // of the item's rows
	limit   int64
	part    snapshotPart // in the making
	refused []change.Refusal
	body    bytes.Buffer
	zip     *gzip.Writer
	weight  int64
	stored  change.Counts // of the parts that are stored
	done    bool          // all of them are
	began   time.Time     // the part in the making
	longest time.Duration // that a part of this call took
}

// resume goes on behind the parts that are stored. One without those before it is
// left to be written again.
func (w *partWriter) resume(ctx context.Context) error {
	o, bucket := w.target.Objects, w.target.WorkBucket
	there := map[string]bool{}
	err := o.List(ctx, bucket, itemPartsPrefix(w.load, w.part.Item), func(key, _ string, _ int64, _ string) error {
		if strings.HasSuffix(key, partRecord) {
			there[key] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for !w.done && there[partRecordKey(w.load, w.part.Item, w.part.Number)] {
		var p snapshotPart
		if err := readJSON(ctx, o, bucket, partRecordKey(w.load, w.part.Item, w.part.Number), &p); err != nil {
			return err
		}
		w.next(&p)
	}
	return nil
}

// next begins the part behind one that is stored.
func (w *partWriter) next(p *snapshotPart) {
	w.stored.Loaded += p.Loaded
	w.stored.Refused += p.Refused
	w.stored.Filtered += p.Filtered
	w.done = p.Last
	w.part = snapshotPart{Item: p.Item, Number: p.Number + 1, Table: p.Table, From: p.To, To: p.To}
	w.refused, w.weight = nil, 0
}

// take adds rows, and stores the parts that they fill.
func (w *partWriter) take(ctx context.Context, lines change.Lines) error {
	if lines.First != w.part.To {
		return &Stop{fmt.Errorf("row %d comes behind row %d: please report this", lines.First, w.part.To-1)}
	}
	written, before := 0, 0
	refused := lines.Refused
	for i, end := range lines.Ends {
		w.weight += rowWeight + int64(end-before)
		switch {
		case end > before:
			w.part.Loaded++
		case len(refused) > 0 && refused[0].Row == lines.First+int64(i):
			w.part.Refused++
			w.refused, refused = append(w.refused, refused[0]), refused[1:]
			w.weight += refusalWeight
		default:
			w.part.Filtered++
		}
		before = end
		w.part.To++
		if w.weight < w.limit {
			continue
		}
		if err := w.write(lines.Data[written:end]); err != nil {
			return err
		}
		written = end
		if err := w.store(ctx); err != nil {
			return err
		}
		if !w.done && w.late(ctx) {
			return errHandOn
		}
	}
	return w.write(lines.Data[written:before])
}

// late tells whether another part might not be done before the deadline.
func (w *partWriter) late(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return limited && w.target.Now().Add(2*w.longest).After(deadline)
}

func (w *partWriter) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if w.zip == nil {
		// The fastest level, and no time in the header, as for the parts of a ledger.
		var err error
		if w.zip, err = gzip.NewWriterLevel(&w.body, gzip.BestSpeed); err != nil {
			return err
		}
	}
	_, err := w.zip.Write(lines)
	return err
}

// store stores the part in the making; its record comes last, so that what it tells
// of exists.
func (w *partWriter) store(ctx context.Context) error {
	p, o, bucket := w.part, w.target.Objects, w.target.WorkBucket
	p.Last = p.To == w.end
	if p.Loaded > 0 {
		if err := w.zip.Close(); err != nil {
			return err
		}
		p.Bytes = int64(w.body.Len())
		if err := o.Put(ctx, bucket, snapshotPartKey(w.load, p.Item, p.Number), w.body.Bytes(), "text/plain", "gzip"); err != nil {
			return err
		}
		w.body.Reset()
		w.zip.Reset(&w.body)
	}
	if len(w.refused) > 0 {
		if err := putJSON(ctx, o, bucket, refusedKey(w.load, p.Item, p.Number), refusedRows{p.Item, w.refused}); err != nil {
			return err
		}
	}
	if err := putJSON(ctx, o, bucket, partRecordKey(w.load, p.Item, p.Number), p); err != nil {
		return err
	}
	now := w.target.Now()
	w.longest = max(w.longest, now.Sub(w.began), 1)
	w.began = now
	w.next(&p)
	return nil
}
