package rdsdata

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxEnded bounds how many finished transactions are remembered, only to say
// why they are gone.
const maxEnded = 10_000

// A transaction is open between BeginTransaction and its end. Its fields are
// guarded by Server.mu; conn belongs to whoever set busy.
type transaction struct {
	resource string
	login    login
	conn     *pgconn.PgConn
	began    time.Time
	used     time.Time
	busy     bool
}

func (s *Server) begin(in *request) (any, error) {
	l, err := s.login(in)
	if err != nil {
		return nil, err
	}
	c, err := s.pool.get(l)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	if _, err := c.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		closeConn(c)
		return nil, fmt.Errorf("begin a transaction: %w", err)
	}
	b := make([]byte, 96)
	rand.Read(b) // never fails
	id := base64.StdEncoding.EncodeToString(b)
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = &transaction{resource: in.ResourceArn, login: l, conn: c, began: now, used: now}
	return struct {
		TransactionID string `json:"transactionId"`
	}{id}, nil
}

// take reserves the transaction of a call.
func (s *Server) take(in *request) (*transaction, error) {
	id := *in.TransactionID
	s.Sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.open[id]
	switch {
	case t == nil || t.resource != in.ResourceArn:
		text := "Transaction " + id + " is not found"
		if why := s.ended[id]; why != "" {
			text += ": " + why
		}
		return nil, &Error{status: 404, code: "TransactionNotFoundException", text: text}
	case in.Database != "" && in.Database != t.login.database:
		return nil, validation("Database name is not the same as transaction's: %s, not %s", in.Database, t.login.database)
	case t.busy:
		return nil, &Error{status: 400, code: "DatabaseErrorException", text: "Transaction is still running a query"}
	}
	t.busy = true
	return t, nil
}

// release ends a call's use of its transaction. An error, or SQL that ended the
// transaction by itself, ends it for the service too.
func (s *Server) release(id string, t *transaction, err error) {
	s.mu.Lock()
	gone := true
	switch {
	case err != nil:
		s.finish(id, t, "Transaction has been aborted due to an error from a previous call")
	case t.conn.IsClosed() || t.conn.TxStatus() != 'T':
		s.finish(id, t, "Transaction was ended by a statement")
	default:
		gone = false
		t.busy, t.used = false, s.cfg.Now()
	}
	s.mu.Unlock()
	if gone {
		closeConn(t.conn) // rolls back
	}
}

// finish forgets a transaction; the caller holds s.mu and disposes of conn.
func (s *Server) finish(id string, t *transaction, why string) {
	if s.open[id] != t {
		return
	}
	delete(s.open, id)
	s.ended[id] = why
	s.order = append(s.order, id)
	if len(s.order) > maxEnded {
		delete(s.ended, s.order[0])
		s.order = s.order[1:]
	}
}

// Sweep rolls back the transactions that have been idle for 3 minutes or open
// for 24 hours. It runs once a second and before every call with a transaction.
func (s *Server) Sweep() {
	now := s.cfg.Now()
	var gone []*pgconn.PgConn
	s.mu.Lock()
	for id, t := range s.open {
		if t.busy {
			continue
		}
		why := ""
		if now.Sub(t.used) >= idleTimeout {
			why = "Transaction has expired: it was idle for 3 minutes"
		} else if now.Sub(t.began) >= totalTimeout {
			why = "Transaction has expired: it was open for 24 hours"
		}
		if why != "" {
			s.finish(id, t, why)
			gone = append(gone, t.conn)
		}
	}
	s.mu.Unlock()
	for _, c := range gone {
		closeConn(c)
	}
}

// end commits or rolls back.
func (s *Server) end(in *request, verb, status string) (any, error) {
	t, err := s.take(in)
	if err != nil {
		return nil, err
	}
	out, err := s.timed(t.conn, false, func() (any, error) {
		tag, err := execSimple(t.conn, verb)
		if err == nil && verb == "COMMIT" && tag != "COMMIT" {
			err = &Error{status: 400, code: "DatabaseErrorException", text: "Transaction was rolled back by the database"}
		}
		return struct {
			TransactionStatus string `json:"transactionStatus"`
		}{status}, err
	}, func(err error) {
		s.mu.Lock()
		s.finish(*in.TransactionID, t, "Transaction has ended")
		s.mu.Unlock()
		if err != nil {
			closeConn(t.conn)
			return
		}
		s.pool.put(t.login, t.conn)
	})
	return out, err
}

func execSimple(c *pgconn.PgConn, sql string) (string, error) {
	results, err := c.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 {
		return "", nil
	}
	return results[0].CommandTag.String(), nil
}
