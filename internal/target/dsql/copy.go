package dsql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/change"
)

// The stages of a transaction that stores a batch, in their order: what an error
// means depends on the stage that it came in.
type stage int

const (
	connecting stage = iota // which is tried again there, and not here
	noting                  // BEGIN, the claim, the batch's own row
	copying                 // the rows
	committing              // COMMIT: from here on, a lost connection leaves the outcome unknown
)

// store stores a batch, in several transactions where one does not take it, and
// records what was stored. It returns when all of it is, or with the error that
// another try does not mend.
func (l *loader) store(ctx context.Context, b *batch) error {
	unknown, losses := false, 0
	for try := 0; ; try++ {
		at, err := l.attempt(ctx, b)
		switch {
		case err == nil:
			l.db.stats.Transactions.Add(1)
			l.record(b)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case at == connecting:
			return err
		}
		l.db.note(err)
		pieces := 1
		switch state := stateOf(err); {
		case state == "54000":
			if pieces = l.exceeds(b, err); pieces == 0 {
				continue // the row that was too large is refused now
			}
		case state == "08006" && at == committing:
			unknown = true
		case state == "08006" && at == copying:
			// A message that is too large ends the connection without a word.
			if losses++; losses > 1 && b.lines > 1 {
				pieces = 2
			}
		case !passing(err):
			return err
		}
		switch {
		case pieces > 1 && unknown:
			// An earlier try of the whole may still commit, as far as anybody knows.
			// Its first row would keep the first part out, but not the others: the
			// next call takes the item over, which stops it for good.
			return &LostError{fmt.Errorf("item %s, rows %d to %d: the outcome of a transaction that is now too large is not known", l.item.ID, b.rows.First, b.rows.Last)}
		case pieces > 1:
			for _, part := range b.split(pieces) {
				if err := l.store(ctx, part); err != nil {
					return err
				}
			}
			return nil
		case try+1 >= tries:
			return fmt.Errorf("item %s, rows %d to %d, after %d tries: %w", l.item.ID, b.rows.First, b.rows.Last, tries, err)
		}
		if err := l.db.pause(ctx, try); err != nil {
			return err
		}
	}
}

// exceeds says in how many transactions to store a batch that exceeded a limit; 0
// where it is one row that the target does not take, which it makes a refused one.
func (l *loader) exceeds(b *batch, err error) (pieces int) {
	pieces = 2 // finds what else there is, keys and rows that are too large, by halving
	var e *Error
	errors.As(err, &e)
	switch {
	case strings.Contains(e.Message, "transaction size limit"):
		l.db.stats.Size.Add(1)
		var said *sizeError
		errors.As(err, &said)
		pieces = max(2, l.measure.tooLarge(b, said.bytes()))
	case strings.Contains(e.Message, "transaction row limit"):
		l.db.stats.Rows.Add(1)
		l.measure.tooMany(b)
		if b.lines == 1 {
			return 1 // not the row's fault
		}
	case strings.Contains(e.Message, "transaction age limit"):
		l.db.stats.Age.Add(1)
		if b.lines == 1 {
			return 1
		}
	}
	switch b.lines {
	case 0:
		return 1 // there is no row to leave out
	case 1:
		if l.repair {
			return 1
		}
		b.refuse(e.Column, "the target does not take the row: "+e.Message+" (SQLSTATE 54000)")
		return 0
	}
	return pieces
}

// attempt tries a transaction once, and finds out what became of it where that is
// in doubt.
func (l *loader) attempt(ctx context.Context, b *batch) (stage, error) {
	s, err := l.db.take(ctx)
	if err != nil {
		return connecting, err
	}
	began := l.db.cfg.Now()
	at, err := l.transact(ctx, s, b)
	took := l.db.cfg.Now().Sub(began)
	l.db.give(s)
	state := stateOf(err)
	switch {
	case err == nil:
		l.db.pace.stored(took, b.full)
	case state == "40001":
		l.db.pace.conflicted(took)
	}
	if state != "23505" && (at != committing || state != "08006") {
		return at, err
	}
	if state == "08006" {
		l.db.stats.Unknown.Add(1)
	}
	// The key of the batch's row is there already, or a commit was not answered.
	stored, look := l.stored(ctx, b)
	switch {
	case look != nil:
		return at, look
	case stored:
		return at, nil
	case state == "23505" && at == noting:
		// The row was another transaction's that was rolled back meanwhile.
		return at, &Error{State: "40001", Message: "the row of the batch was there and is gone (OC000)"}
	case state == "23505":
		var e *Error
		errors.As(err, &e)
		return at, &DuplicateError{e}
	}
	return at, err
}

// stored looks whether the batch's row is there.
func (l *loader) stored(ctx context.Context, b *batch) (bool, error) {
	rows, err := l.db.rows(ctx, `SELECT last_row, epoch FROM godwit.batch WHERE load_id = $1 AND item = $2 AND first_row = $3`, l.item.Load, l.item.ID, b.rows.First)
	switch {
	case err != nil || len(rows) == 0:
		return false, err
	case rows[0][0] != fmt.Sprint(b.rows.Last) || rows[0][1] != fmt.Sprint(l.epoch):
		return false, &SupersededError{l.item.ID}
	}
	return true, nil
}

// transact does the transaction. The row of the batch is its first write, so that a
// repeat fails on the row's key before it sends anything.
func (l *loader) transact(ctx context.Context, s *session, b *batch) (stage, error) {
	if err := l.note(ctx, s, b); err != nil {
		return noting, err
	}
	if b.lines > 0 {
		if err := l.write(ctx, s, b); err != nil {
			return copying, err
		}
	}
	if err := s.commit(ctx); err != nil {
		return committing, l.explain(ctx, err, b)
	}
	return committing, nil
}

// copyRows is the write of a load.
func (l *loader) copyRows(ctx context.Context, s *session, b *batch) error {
	tag, err := s.conn.CopyFrom(ctx, bytes.NewReader(b.data), copyStatement(l.item.Table))
	if err != nil {
		return l.explain(ctx, err, b)
	}
	if n := tag.RowsAffected(); n != int64(b.lines) {
		return fmt.Errorf("item %s: the target stored %d rows of %d lines", l.item.ID, n, b.lines)
	}
	return nil
}

// note begins the transaction, locks the claim, and writes the batch's row and
// its refusals, in one message.
func (l *loader) note(ctx context.Context, s *session, b *batch) error {
	counts := b.counts()
	statements := []struct {
		sql  string
		args []any
	}{
		{"BEGIN", nil},
		{`SELECT 1 FROM godwit.claim WHERE load_id = $1 AND item = $2 AND epoch = $3 AND run = $4 FOR KEY SHARE`, []any{l.item.Load, l.item.ID, l.epoch, l.run}},
		{
			`INSERT INTO godwit.batch (load_id, item, first_row, last_row, epoch, loaded, refused, filtered) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			[]any{l.item.Load, l.item.ID, b.rows.First, b.rows.Last, l.epoch, counts.Loaded, counts.Refused, counts.Filtered},
		},
	}
	if len(b.refused) > 0 {
		var sql strings.Builder
		sql.WriteString(`INSERT INTO godwit.refusal (load_id, item, row_number, column_name, reason) VALUES `)
		args := []any{l.item.Load, l.item.ID}
		for i, r := range b.refused {
			if i > 0 {
				sql.WriteString(", ")
			}
			fmt.Fprintf(&sql, "($1, $2, $%d, $%d, $%d)", len(args)+1, len(args)+2, len(args)+3)
			args = append(args, r.Row, r.Column, r.Reason)
		}
		statements = append(statements, struct {
			sql  string
			args []any
		}{sql.String(), args})
	}
	pipeline := &pgconn.Batch{}
	for _, st := range statements {
		values, err := texts(st.args)
		if err != nil {
			return err
		}
		pipeline.ExecParams(st.sql, values, nil, nil, nil)
	}
	results := s.conn.ExecBatch(ctx, pipeline)
	var claims int64
	for i := 0; results.NextResult(); i++ {
		tag, err := results.ResultReader().Close()
		if err != nil {
			break // and Close says so
		}
		if i == 1 {
			claims = tag.RowsAffected()
		}
	}
	if err := results.Close(); err != nil {
		return ended(ctx, err)
	}
	if claims == 0 {
		return &SupersededError{l.item.ID}
	}
	return nil
}

// A sizeError is the refusal of a transaction for its size, which the cluster
// tells.
type sizeError struct {
	err  *Error
	size int64
}

func (e *sizeError) Error() string { return e.err.Error() }
func (e *sizeError) Unwrap() error { return e.err }

func (e *sizeError) bytes() int64 {
	if e == nil {
		return 0
	}
	return e.size
}

// explain says of an error which row it is about, or how large the transaction was.
func (l *loader) explain(ctx context.Context, err error, b *batch) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ended(ctx, err)
	}
	var e *Error
	if !errors.As(wrap(err), &e) {
		return wrap(err)
	}
	if n := transactionSize(pg); n > 0 {
		return &sizeError{e, n}
	}
	e.place(pg, l.item, b)
	return e
}

// commit ends a transaction. A transaction that failed before is not committed,
// which COMMIT answers without an error.
func (s *session) commit(ctx context.Context) error {
	reader := s.conn.ExecParams(ctx, "COMMIT", nil, nil, nil, nil)
	tag, err := reader.Close()
	if err != nil {
		return ended(ctx, err)
	}
	if tag.String() != "COMMIT" {
		return &Error{State: "25P02", Message: "the transaction had failed before it was to commit"}
	}
	return nil
}

// copyStatement is the COPY of the columns that a load writes.
func copyStatement(p *change.TablePlan) string {
	var columns []string
	for _, c := range p.Columns {
		if len(c.From) > 0 {
			columns = append(columns, c.Name)
		}
	}
	return "COPY " + quote(p.Target.Schema, p.Target.Name) + " (" + quoteAll(columns) + ") FROM STDIN"
}
