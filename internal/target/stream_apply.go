package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"godwit/internal/change"
)

// applyTries is how often one request is tried that the server says it did not
// commit because of another (40001, 40P01).
const applyTries = 5

// Apply stores what items ask for, in as few requests as their size allows, each
// in one transaction with its bookkeeping: applying items again, late or out of
// order, after a lost reply or beside others who apply them too, ends in the same
// state. Items of one message, which bear one Mark and stand together, are never
// apart. Stream is as EnableStream or Stream returned it.
//
// Applied.Items tells how many items, from the first on, are done with, also
// beside an error. What stands behind a message that waits for other rows may be
// applied before it, and comes again. Errors that a caller branches on: *StreamStoppedError,
// *StreamChangedError, *UnknownTableError, *IntegrityError, *RefusedError and
// *WaitError. SQLSTATE GW008 says that a table has another source, or was made
// again since: see ReleaseTables. After any other error the request may have been applied.
func (db *DB) Apply(ctx context.Context, s change.Stream, items []change.Item) (change.Applied, error) {
	done := change.Applied{GapFree: s.Boundary.Major}
	suspect := 0 // a message before this item was refused
	waited := -1 // the message at this item waits, and what is behind it was tried
	for done.Items < len(items) {
		from := items[done.Items:]
		if suspect > done.Items {
			from = half(items[done.Items:suspect])
		}
		r, err := newRequest(s, from, db.requestBytes())
		if err != nil {
			return done, at(err, done.Items)
		}
		err = db.send(ctx, s, r, &done)
		var wait *WaitError
		switch {
		case r.messages > 1 && ofMessage(err):
			done.SplitFaults++
			suspect = done.Items + r.items
			continue
		case errors.As(err, &wait) && waited != done.Items && db.ahead(ctx, s, items[done.Items+r.items:], &done):
			waited = done.Items
			continue
		case err != nil:
			return done, at(err, done.Items)
		}
		done.Items += r.items
		if r.behind != nil {
			return done, at(r.behind, done.Items)
		}
	}
	return done, nil
}

// ahead applies what stands behind a message that waits, as far as one request has
// room: the row that frees its key may be there. Nothing of it is done with. That
// the shards are not noted leaves the message unread for whoever asks how far they
// are, also after a crash here; what is applied twice is counted as skipped then.
func (db *DB) ahead(ctx context.Context, s change.Stream, rest []change.Item, done *change.Applied) bool {
	if len(rest) == 0 {
		return false
	}
	r, err := newRequest(s, rest, db.requestBytes())
	if err != nil {
		return false
	}
	clear(r.shards)
	var a change.Applied
	err = db.send(ctx, s, r, &a)
	done.Rows += a.Rows
	done.History += a.History
	done.Calls += a.Calls
	done.Bytes += a.Bytes
	return err == nil
}

// ofMessage tells whether err is of one message, whose neighbours can be applied.
func ofMessage(err error) bool {
	var refused *RefusedError
	var wait *WaitError
	var integrity *IntegrityError
	return errors.As(err, &refused) || errors.As(err, &wait) || errors.As(err, &integrity) && integrity.Item >= 0
}

// at tells which item an error is of.
func at(err error, item int) error {
	var refused *RefusedError
	var wait *WaitError
	var integrity *IntegrityError
	switch {
	case errors.As(err, &integrity) && integrity.Item >= 0:
		integrity.Item = item
	case errors.As(err, &refused):
		refused.Item = item
	case errors.As(err, &wait):
		wait.Item = item
	}
	return err
}

// half returns the first half of the messages of items, one at least.
func half(items []change.Item) []change.Item {
	n := message(items)
	for n < len(items) {
		next := n + message(items[n:])
		if next > (len(items)+1)/2 {
			break
		}
		n = next
	}
	return items[:n]
}

// message returns how many items the first message has.
func message(items []change.Item) int {
	n := 1
	for n < len(items) && items[n].Mark == items[0].Mark {
		n++
	}
	return n
}

// An outcome is what godwit.apply answers.
type outcome struct {
	State      string `json:"state"`
	Message    string `json:"message"`
	SQLState   string `json:"sqlstate"`
	Generation int64  `json:"generation"`
	TableID    string `json:"table_id"`
	Table      string `json:"table"`
	Current    string `json:"current"`
	Rows       int64  `json:"rows"`
	History    int64  `json:"history"`
	Skipped    int64  `json:"skipped"`
	GapFree    int64  `json:"gap_free"`
}

// send applies one request and counts it. What the server undid because of
// another transaction, or because the stream was stopped in between, is tried
// again: the first cannot have stored anything, the second is told why.
func (db *DB) send(ctx context.Context, s change.Stream, r *request, done *change.Applied) error {
	text := r.text()
	size := int64(escapedLen(text))
	for try := 1; ; try++ {
		var o outcome
		err := db.answer(ctx, &o, `SELECT godwit.apply(:stream, :generation, :request)::text AS result`,
			Param{"stream", s.Name}, Param{"generation", s.Generation}, Param{"request", text})
		done.Calls++
		done.Bytes += size
		switch state := sqlStateOf(err); {
		case err == nil:
			return o.judge(s, r, done)
		case state == "GW002" || state == "GW004" || state == "GW009":
			var e *Error
			errors.As(err, &e)
			integrity := &IntegrityError{Stream: s.Name, Message: e.Message}
			if state == "GW009" { // of a block that another request brought
				integrity.Item = -1
			}
			return integrity
		case (state == "40001" || state == "40P01" || state == "GW007") && try < applyTries:
			sleep := db.Sleep
			if sleep == nil {
				sleep = sleepClock
			}
			if sleep(ctx, time.Duration(try)*20*time.Millisecond+rand.N(50*time.Millisecond)) != nil { //nolint:gosec // two that met once should not meet again: no secret hangs on it
				return fmt.Errorf("apply %d items of stream %s: %w", r.items, s.Name, err)
			}
		default:
			return fmt.Errorf("apply %d items of stream %s: %w", r.items, s.Name, err)
		}
	}
}

func (o outcome) judge(s change.Stream, r *request, done *change.Applied) error {
	switch o.State {
	case "applied":
		done.Rows += o.Rows
		done.History += o.History
		done.Skipped += o.Skipped + int64(r.skipped)
		done.Aside += int64(r.aside)
		done.GapFree = o.GapFree
		return nil
	case "stopped":
		return &StreamStoppedError{Stream: s.Name, Reason: o.Message}
	case "changed":
		return &StreamChangedError{Stream: s.Name, Generation: o.Generation}
	case "unknown":
		return &UnknownTableError{Stream: s.Name, Table: change.SourceTable{ID: o.TableID, Name: o.Table}, Current: o.Current}
	case "refused":
		switch o.SQLState {
		case "23503", "23505", "23P01": // foreign key, unique key, exclusion
			return &WaitError{State: o.SQLState, Detail: o.Message}
		}
		return &RefusedError{State: o.SQLState, Detail: o.Message}
	}
	return fmt.Errorf("apply items of stream %s: the database answered state %q", s.Name, o.State)
}
