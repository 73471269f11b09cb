package dsql

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tries is how often a transaction is tried that did not happen, before the
	// caller hears of it: with the pauses below, about half a minute.
	tries = 14
	// The pause before the second try is up to the first, doubled with each, and
	// never above the last.
	firstPause = 50 * time.Millisecond
	lastPause  = 4 * time.Second
)

// Stats count what a DB met since it was opened.
type Stats struct {
	Connections  atomic.Int64 // opened
	Throttled    atomic.Int64 // connections refused for their number or rate
	Transactions atomic.Int64 // of rows, that committed
	Data, Schema atomic.Int64 // conflicts: with other rows (OC000), with a change of the schema (OC001)
	Lost         atomic.Int64 // connections that ended in a transaction that is then done again
	Unknown      atomic.Int64 // commits of rows that were not answered
	// Transactions that were refused for their number of rows, their size or their
	// age, and done again in parts.
	Rows, Size, Age atomic.Int64
}

// Stats are the DB's counters, to be read at any time.
func (db *DB) Stats() *Stats { return &db.stats }

// Retried is how many transactions and statements were done again, as they were or
// in parts.
func (s *Stats) Retried() int64 {
	return s.Data.Load() + s.Schema.Load() + s.Lost.Load() + s.Rows.Load() + s.Size.Load() + s.Age.Load()
}

// pause waits before another try, for a random part of a time that grows.
func (db *DB) pause(ctx context.Context, try int) error {
	most := min(lastPause, firstPause<<min(try, 20))
	return db.cfg.Sleep(ctx, time.Duration(db.cfg.Random()*float64(most)))
}

// note counts an error.
func (db *DB) note(err error) {
	switch state := stateOf(err); {
	case state == "08006":
		db.stats.Lost.Add(1)
	case state != "40001":
	case strings.Contains(err.Error(), "OC001"):
		db.stats.Schema.Add(1)
	default:
		db.stats.Data.Add(1)
	}
}

// do runs f on a connection until it succeeds, or fails in a way that another try
// does not mend. f is repeated after an outcome that is unknown: whatever it does
// must be right to do twice.
func (db *DB) do(ctx context.Context, f func(context.Context, *session) error) error {
	for try := 0; ; try++ {
		s, err := db.take(ctx)
		if err != nil {
			return err
		}
		err = f(ctx, s)
		db.give(s)
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		db.note(err)
		if try+1 == tries {
			return fmt.Errorf("after %d tries: %w", tries, err)
		}
		if err := db.pause(ctx, try); err != nil {
			return err
		}
	}
}

// transact is do for a transaction.
func (db *DB) transact(ctx context.Context, f func(context.Context, *session) error) error {
	return db.do(ctx, func(ctx context.Context, s *session) error {
		if err := s.exec(ctx, "BEGIN"); err != nil {
			return err
		}
		if err := f(ctx, s); err != nil {
			return err
		}
		return s.commit(ctx)
	})
}

// Exec runs one statement, which must be right to run twice, and returns how many
// rows it changed when it last ran.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (rows int64, err error) {
	err = db.do(ctx, func(ctx context.Context, s *session) error {
		rows, err = s.query(ctx, nil, sql, args...)
		return err
	})
	return rows, err
}

// Query runs a statement that reads, and hands each row to yield: the text of
// each value, nil for NULL, valid until yield returns. Arguments are nil, string,
// []byte, int, int64 or bool. It is not repeated once a row was handed out.
func (db *DB) Query(ctx context.Context, yield func(row [][]byte) error, sql string, args ...any) error {
	return db.do(ctx, func(ctx context.Context, s *session) error {
		begun := false
		_, err := s.query(ctx, func(row [][]byte) error {
			begun = true
			return yield(row)
		}, sql, args...)
		if err != nil && begun && passing(err) {
			return &interruptedError{err}
		}
		return err
	})
}

// rows runs a statement that reads and returns all of its rows; NULL is "".
func (db *DB) rows(ctx context.Context, sql string, args ...any) (rows [][]string, err error) {
	err = db.do(ctx, func(ctx context.Context, s *session) error {
		rows = nil
		_, err := s.query(ctx, func(row [][]byte) error {
			texts := make([]string, len(row))
			for i, v := range row {
				texts[i] = string(v)
			}
			rows = append(rows, texts)
			return nil
		}, sql, args...)
		return err
	})
	return rows, err
}

// An interruptedError is an answer that ended in its middle: the caller, who has
// the first rows, asks again.
type interruptedError struct{ err error }

func (e *interruptedError) Error() string  { return "the answer ended in its middle: " + e.err.Error() }
func (*interruptedError) SQLState() string { return "08003" }

// A gate spaces the connections of one function evenly. Each of many functions
// has its own, and DSQL's burst of a thousand is what they share.
type gate struct {
	mu   sync.Mutex
	next time.Time
}

// slot reserves the next turn, and returns how long it is away.
func (g *gate) slot(now time.Time, rate float64) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.next
	if at.Before(now) {
		at = now
	}
	g.next = at.Add(time.Duration(float64(time.Second) / rate))
	return at.Sub(now)
}
