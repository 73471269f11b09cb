package rdsdata

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelGrace is how long a cancelled statement may take to end before its
// caller gets the timeout all the same.
const cancelGrace = 5 * time.Second

// timed runs work on c and waits for it no longer than the time limit. done is
// called when work has ended, before the caller is answered, however late that
// is. At the limit the statement is cancelled, so that it rolls back, or left
// running if goOn is set. The caller's connection plays no part.
func (s *Server) timed(c *pgconn.PgConn, goOn bool, work func() (any, error), done func(error)) (any, error) {
	type reply struct {
		out any
		err error
	}
	replies := make(chan reply, 1)
	pid := c.PID()
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		out, err := work()
		done(err)
		replies <- reply{out, err}
	}()
	timeout := &Error{status: 400, code: "StatementTimeoutException", text: "Request timed out", connection: pid}
	limit := time.NewTimer(s.cfg.Timeout)
	defer limit.Stop()
	select {
	case r := <-replies:
		return r.out, r.err
	case <-s.stop:
		cancel(c)
	case <-limit.C:
		if goOn {
			s.running.Add(1)
			go func() { // so that Close still ends it
				defer s.running.Done()
				select {
				case <-replies:
				case <-s.stop:
					cancel(c)
				}
			}()
			return nil, timeout
		}
		cancel(c)
	}
	select {
	case r := <-replies:
		if r.err == nil {
			return r.out, nil // it was faster than the cancellation, and took effect
		}
	case <-time.After(cancelGrace):
	}
	return nil, timeout
}

// cancel asks the server to cancel what c runs.
func cancel(c *pgconn.PgConn) {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	c.CancelRequest(ctx) // an error leaves the statement running; the grace period bounds the wait
}

// with runs work on the call's connection: its transaction's, or one of its own
// that is given back clean.
func (s *Server) with(in *request, work func(*pgconn.PgConn, login) (any, error)) (any, error) {
	if in.TransactionID != nil {
		t, err := s.take(in)
		if err != nil {
			return nil, err
		}
		return s.timed(t.conn, in.ContinueAfterTimeout, func() (any, error) { return work(t.conn, t.login) },
			func(err error) { s.release(*in.TransactionID, t, err) })
	}
	l, err := s.login(in)
	if err != nil {
		return nil, err
	}
	c, err := s.pool.get(l)
	if err != nil {
		return nil, err
	}
	return s.timed(c, in.ContinueAfterTimeout, func() (any, error) { return work(c, l) },
		func(error) { s.pool.put(l, c) })
}

// executed is the answer of ExecuteStatement.
type executed struct {
	NumberOfRecordsUpdated int64      `json:"numberOfRecordsUpdated"`
	GeneratedFields        []struct{} `json:"generatedFields"`
	Records                []record   `json:"records,omitempty"`
	ColumnMetadata         []column   `json:"columnMetadata,omitempty"`
	FormattedRecords       *string    `json:"formattedRecords,omitempty"`
}

func (s *Server) execute(in *request) (any, error) {
	st, err := parse(*in.SQL)
	if err != nil {
		return nil, err
	}
	args, err := bind(st.names, in.Parameters)
	if err != nil {
		return nil, err
	}
	return s.with(in, func(c *pgconn.PgConn, l login) (any, error) {
		rows, err := run(c, st.sql, args)
		if err != nil {
			return nil, err
		}
		out := executed{GeneratedFields: []struct{}{}}
		if t := rows.tag; t.Insert() || t.Update() || t.Delete() || strings.HasPrefix(t.String(), "MERGE") {
			out.NumberOfRecordsUpdated = t.RowsAffected()
		}
		if rows.fields == nil {
			return out, nil
		}
		types, err := s.types(c, l, rows.fields)
		if err != nil {
			return nil, err
		}
		// The format is for SELECT only and ignored otherwise.
		if in.FormatRecordsAs == "JSON" && rows.tag.Select() {
			text, err := rows.formatted(types, in.ResultSetOptions)
			out.FormattedRecords = &text
			return out, err
		}
		if out.Records, err = rows.records(types, in.ResultSetOptions); err != nil {
			return nil, err
		}
		if in.IncludeResultMetadata {
			if out.ColumnMetadata, err = metadata(c, rows.fields, types); err != nil {
				return nil, err
			}
		}
		if b, err := encode(out); err != nil || len(b) > maxResponse {
			return nil, tooLarge(err)
		}
		return out, nil
	})
}

func tooLarge(err error) error {
	if err != nil {
		return err
	}
	return &Error{status: 400, code: "DatabaseErrorException", text: "Database response exceeded size limit"}
}

// rows are a result as the server sent it, in text format.
type rows struct {
	fields []pgconn.FieldDescription // nil if the statement returns no rows
	values [][][]byte
	tag    pgconn.CommandTag
}

// run executes one statement to its end. A result beyond the limits is read to
// its end as well but not kept: what the statement wrote is committed, and the
// caller gets an error.
func run(c *pgconn.PgConn, sql string, args arguments) (rows, error) {
	var out rows
	rr := c.ExecParams(context.Background(), sql, args.values, args.oids, args.formats, nil)
	size, row := 0, 0
	for rr.NextRow() {
		values, n := rr.Values(), 0
		for _, v := range values {
			n += len(v)
		}
		if size, row = size+n, max(row, n); size > maxResponse || row > maxRow {
			out.values = nil
			continue
		}
		kept, all := make([][]byte, len(values)), make([]byte, 0, n)
		for i, v := range values {
			if v != nil {
				all = append(all, v...)
				kept[i] = all[len(all)-len(v) : len(all) : len(all)]
			}
		}
		out.values = append(out.values, kept)
	}
	if f := rr.FieldDescriptions(); f != nil {
		out.fields = append(make([]pgconn.FieldDescription, 0, len(f)), f...)
	}
	tag, err := rr.Close()
	out.tag = tag
	switch {
	case err != nil:
		var pg *pgconn.PgError
		if asPg(err, &pg) && pg.Code == "42601" && strings.Contains(pg.Message, "multiple commands") {
			return out, validation("Multistatements aren't supported.")
		}
		return out, err
	case row > maxRow:
		return out, &Error{status: 400, code: "DatabaseErrorException", text: "Packet for query is too large: a row of the result has more than 64 KB"}
	case size > maxResponse:
		return out, tooLarge(nil)
	}
	return out, nil
}

// updated is one element of BatchExecuteStatement's answer; PostgreSQL never
// fills it.
type updated struct {
	GeneratedFields []struct{} `json:"generatedFields"`
}

// batch executes one statement with each parameter set. Outside a transaction
// every set commits by itself (see the package's comment).
func (s *Server) batch(in *request) (any, error) {
	st, err := parse(*in.SQL)
	if err != nil {
		return nil, err
	}
	sets := in.ParameterSets
	if len(sets) == 0 {
		sets = [][]parameter{nil}
	}
	args := make([]arguments, len(sets))
	for i, set := range sets {
		if args[i], err = bind(st.names, set); err != nil {
			return nil, err
		}
	}
	deadline := time.Now().Add(s.cfg.Timeout)
	return s.with(in, func(c *pgconn.PgConn, _ login) (any, error) {
		out := struct {
			UpdateResults []updated `json:"updateResults"`
		}{make([]updated, len(sets))}
		for i := range args {
			if time.Now().After(deadline) { // between two statements there is nothing to cancel
				return nil, &Error{status: 400, code: "StatementTimeoutException", text: "Request timed out", connection: c.PID()}
			}
			if _, err := run(c, st.sql, args[i]); err != nil {
				return nil, err
			}
			out.UpdateResults[i].GeneratedFields = []struct{}{}
		}
		return out, nil
	})
}
