package dsql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"godwit/internal/change"
)

// A Source yields the lines of the rows of a range, in order and without gaps.
// What it yields may be reused when yield returns; an error of yield ends it, and
// is its error.
type Source = func(ctx context.Context, rows change.Range, yield func(change.Lines) error) error

// A loader is one call's work on an item.
type loader struct {
	db      *DB
	item    change.TableItem
	measure *measure
	// write stores a batch's lines within the transaction.
	write  func(ctx context.Context, s *session, b *batch) error
	repair bool   // a row that the target does not take is an error
	epoch  int64  // of the claim
	run    string // of the load

	mu     sync.Mutex
	done   []change.Range // what is stored
	counts change.Counts  // of done
}

// errHandOn ends reading when there is no time left for what would be read.
var errHandOn = errors.New("the deadline is near")

// Load stores what is missing of an item, in transactions beside each other while
// the source is read, and returns how far it is. It takes the item over: a call
// that works on it still stores nothing more, and gets a *SupersededError. Near
// the deadline of ctx it ends without an error and says what is left; the next
// call does the rest. What was stored before an error counts as well.
func (db *DB) Load(ctx context.Context, item change.TableItem, rows Source) (change.TableProgress, error) {
	l := &loader{db: db, item: item, measure: db.sizes.get(item.Table.Target, db.cfg.Limits)}
	l.write = l.copyRows
	return l.all(ctx, rows)
}

// all does what Load promises.
func (l *loader) all(ctx context.Context, rows Source) (change.TableProgress, error) {
	item := l.item
	if err := l.claim(ctx); err != nil {
		return change.TableProgress{}, fmt.Errorf("take item %s: %w", item.ID, err)
	}
	if err := l.resume(ctx); err != nil {
		return change.TableProgress{}, fmt.Errorf("resume item %s: %w", item.ID, err)
	}
	err := l.load(ctx, rows)
	progress := change.TableProgress{Counts: l.counts, Left: l.left()}
	if errors.Is(err, errHandOn) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// What a transaction did that was under way at the end is not known, and is
		// read by the next call.
		return progress, nil
	}
	return progress, err
}

// claim makes this call the item's only one.
func (l *loader) claim(ctx context.Context) error {
	return l.db.transact(ctx, func(ctx context.Context, s *session) error {
		var err error
		if l.run, err = s.runOf(ctx, l.item.Load); err != nil {
			return err
		}
		var epoch int64
		_, err = s.query(ctx, func(row [][]byte) (err error) {
			epoch, err = strconv.ParseInt(string(row[0]), 10, 64)
			return err
		}, `SELECT coalesce(max(epoch), 0) FROM godwit.claim WHERE load_id = $1 AND item = $2`, l.item.Load, l.item.ID)
		if err != nil {
			return err
		}
		if err := s.exec(ctx, `DELETE FROM godwit.claim WHERE load_id = $1 AND item = $2`, l.item.Load, l.item.ID); err != nil {
			return err
		}
		l.epoch = epoch + 1
		err = s.exec(ctx, `INSERT INTO godwit.claim (load_id, item, epoch, run) VALUES ($1, $2, $3, $4)`, l.item.Load, l.item.ID, l.epoch, l.run)
		if stateOf(err) == "23505" {
			// Another call takes it at this moment: as if one of the two had conflicted.
			return &Error{State: "40001", Message: "two calls take the item at once (OC000)"}
		}
		return err
	})
}

// resume reads what was stored before.
func (l *loader) resume(ctx context.Context) error {
	rows, err := l.db.rows(ctx, `SELECT loaded, refused, filtered, first_row, last_row FROM godwit.batch WHERE load_id = $1 AND item = $2`, l.item.Load, l.item.ID)
	if err != nil {
		return err
	}
	for _, row := range rows {
		counts, err := countsOf(row)
		if err != nil {
			return err
		}
		var r change.Range
		if r.First, err = strconv.ParseInt(row[3], 10, 64); err != nil {
			return err
		}
		if r.Last, err = strconv.ParseInt(row[4], 10, 64); err != nil {
			return err
		}
		l.add(r, counts)
	}
	return nil
}

// record notes that a batch is stored.
func (l *loader) record(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(b.rows, b.counts())
}

func (l *loader) add(rows change.Range, c change.Counts) {
	l.done = append(l.done, rows)
	l.counts.Loaded += c.Loaded
	l.counts.Refused += c.Refused
	l.counts.Filtered += c.Filtered
}

// left is what no transaction stored yet.
func (l *loader) left() []change.Range {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.done, func(a, b change.Range) int { return cmp.Compare(a.First, b.First) })
	return missing(l.item.Rows, l.done)
}

// load reads what is missing, cuts it into batches, and has them stored. The
// first error ends reading; what is stored at that moment is stored to its end.
func (l *loader) load(ctx context.Context, rows Source) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if deadline, ok := ctx.Deadline(); ok {
		near := time.AfterFunc(time.Until(deadline)-l.db.cfg.HandOn, func() { stop(errHandOn) })
		defer near.Stop()
	}
	var storing sync.WaitGroup
	err := l.read(reading, rows, func(b *batch) error {
		// The turn comes first, so that there is one batch more in memory than
		// transactions are under way.
		if err := l.db.pace.begin(reading); err != nil {
			return context.Cause(reading)
		}
		storing.Go(func() {
			defer l.db.pace.end()
			if err := l.store(ctx, b); err != nil {
				stop(err)
			}
		})
		return nil
	})
	storing.Wait()
	if cause := context.Cause(reading); cause != nil {
		return cause // the first error, which the others follow from
	}
	return err
}

// read cuts what the source yields into batches.
func (l *loader) read(ctx context.Context, rows Source, out func(*batch) error) error {
	for _, r := range l.left() {
		c := &cutter{measure: l.measure, rows: r, batch: &batch{}, out: out}
		if err := rows(ctx, r, c.add); err != nil {
			return fmt.Errorf("item %s: read rows %d to %d: %w", l.item.ID, r.First, r.Last, err)
		}
		if c.rows.Len() > 0 {
			return fmt.Errorf("item %s: the source ends before row %d, and rows %d to %d are asked for: its file is not the one that was planned", l.item.ID, c.rows.First, r.First, r.Last)
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}
