package dsql

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"godwit/internal/local/gateway"
)

// A session is one connection. Its goroutine alone reads from the client and
// from the server; only cut may be called by others.
//
// The server never sees a statement outside of a transaction that the session
// began, so that limits and faults have one place at which a commit happens,
// whichever of the protocol's ways the client chose.
type session struct {
	cluster    *Cluster
	conn       net.Conn // to the client, below TLS
	client     *pgproto3.Backend
	server     net.Conn
	backend    *pgproto3.Frontend // to the server
	parameters map[string]string  // of the server
	user       string             // database role
	signer     gateway.Signer
	number     int
	opened     time.Time
	seen       uint64 // version of the catalog that this session has read

	busy atomic.Bool // in a transaction
	tx   transaction
	out  int // bytes sent to the client since the last flush

	pending Fault // of the statement that runs, for when it has run
	skipped bool  // its definition: what it makes exists

	prepared map[string]*prepared
	portals  map[string]*portal
	skip     bool   // what comes before the next Sync
	tag      []byte // of the last statement in the extended protocol
}

// cut ends the connection without a word, not even one of TLS.
func (s *session) cut() { _ = s.conn.Close() }

// die carries a fault's end out.
func (s *session) die(f Fault) {
	if f == KillBefore || f == KillAfter || f == KillWithin {
		s.signer.Kill()
	}
	s.cut()
}

// fault asks what goes wrong.
func (s *session) fault(m Moment, verb string) Fault {
	return s.cluster.fault(Event{Moment: m, Conn: s.number, User: s.user, Role: s.signer.Role, Verb: verb})
}

// run serves the session until its client leaves. What it had begun is rolled
// back by the server when the connection behind it closes.
func (s *session) run() {
	s.prepared, s.portals = map[string]*prepared{}, map[string]*portal{}
	for {
		message, err := s.client.Receive()
		if err != nil {
			// A message that is too long ends the connection without an error, as
			// measured on the service, which documents one.
			return
		}
		if s.skip {
			if _, ok := message.(*pgproto3.Sync); !ok {
				if _, ok := message.(*pgproto3.Terminate); ok {
					return
				}
				continue
			}
		}
		switch m := message.(type) {
		case *pgproto3.Query:
			err = s.query(m.String)
		case *pgproto3.Parse:
			err = s.parse(m)
		case *pgproto3.Bind:
			err = s.bind(m)
		case *pgproto3.Describe:
			err = s.describe(m)
		case *pgproto3.Execute:
			err = s.execute(m)
		case *pgproto3.Close:
			err = s.close(m)
		case *pgproto3.Flush:
			err = s.flush()
		case *pgproto3.Sync:
			err = s.sync()
		case *pgproto3.Terminate:
			return
		case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
			// What a client still sends after its COPY failed is dropped, as PostgreSQL does.
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

// send queues a message for the client and sends what became long.
func (s *session) send(m pgproto3.BackendMessage) error {
	s.client.Send(m)
	if row, ok := m.(*pgproto3.DataRow); ok {
		for _, v := range row.Values {
			s.out += len(v) + 4
		}
		if s.out > 64<<10 {
			return s.flush()
		}
	}
	return nil
}

func (s *session) flush() error {
	s.out = 0
	return s.client.Flush()
}

// ready ends an exchange.
func (s *session) ready() error {
	status := byte('I')
	switch {
	case s.tx.explicit && s.tx.failed:
		status = 'E'
	case s.tx.explicit:
		status = 'T'
	}
	s.busy.Store(s.tx.explicit)
	if err := s.send(&pgproto3.ReadyForQuery{TxStatus: status}); err != nil {
		return err
	}
	return s.flush()
}

// fail tells the client of an error and gives its transaction up.
func (s *session) fail(e *pgproto3.ErrorResponse) error {
	if err := s.send(e); err != nil {
		return err
	}
	return s.tx.abandon(s)
}

// now is what a refusal by a statement's words is at this moment: in a transaction
// that has failed only its syntax is looked at.
func (s *session) now(refusal *Error) *Error {
	if s.tx.failed && refusal.Code != "42601" {
		return aborted()
	}
	return refusal
}

// ask sends messages to the server and hands on its answers up to ReadyForQuery,
// the error apart, which it returns. An error of the other kind ends the session.
func (s *session) ask(answer func(pgproto3.BackendMessage) error, messages ...pgproto3.FrontendMessage) (*pgproto3.ErrorResponse, error) {
	for _, m := range messages {
		s.backend.Send(m)
	}
	if err := s.backend.Flush(); err != nil {
		return nil, err
	}
	var failure *pgproto3.ErrorResponse
	for {
		message, err := s.backend.Receive()
		if err != nil {
			return nil, err
		}
		switch m := message.(type) {
		case *pgproto3.ReadyForQuery:
			return failure, nil
		case *pgproto3.ErrorResponse:
			copied := *m
			failure = &copied
		case *pgproto3.NotificationResponse:
		case *pgproto3.NoticeResponse:
			s.skipped = s.skipped || m.Code == "42P06" || m.Code == "42P07" // IF NOT EXISTS
			s.client.Send(m)
		case *pgproto3.ParameterStatus:
			// A change of who the session is on the server is not the client's.
			if m.Name == "session_authorization" || m.Name == "is_superuser" {
				continue
			}
			s.client.Send(m)
		default:
			if answer != nil {
				if err := answer(m); err != nil {
					return nil, err
				}
			}
		}
	}
}

// exec runs a statement of the cluster's own, whose rows nobody needs.
func (s *session) exec(sql string) error {
	_, err := s.rows(sql)
	return err
}

// own is the name of what the cluster itself prepares on a session's server. The
// simple protocol would take the client's unnamed statement and portal away.
const own = "dsql own"

// rows runs a statement of the cluster's own.
func (s *session) rows(sql string) ([][]string, error) {
	var all [][]string
	failure, err := s.ask(func(m pgproto3.BackendMessage) error {
		if row, ok := m.(*pgproto3.DataRow); ok {
			var texts []string
			for _, v := range row.Values {
				texts = append(texts, string(v))
			}
			all = append(all, texts)
		}
		return nil
	}, &pgproto3.Parse{Name: own, Query: sql}, &pgproto3.Bind{DestinationPortal: own, PreparedStatement: own}, &pgproto3.Execute{Portal: own},
		&pgproto3.Close{ObjectType: 'P', Name: own}, &pgproto3.Close{ObjectType: 'S', Name: own}, &pgproto3.Sync{})
	if err != nil {
		return nil, err
	}
	if failure != nil {
		// The exchange ended before they were closed.
		if _, err := s.ask(nil, &pgproto3.Close{ObjectType: 'P', Name: own}, &pgproto3.Close{ObjectType: 'S', Name: own}, &pgproto3.Sync{}); err != nil {
			return nil, err
		}
		return nil, &serverError{failure}
	}
	return all, nil
}

// serverError is an error response in the way of a Go error.
type serverError struct{ response *pgproto3.ErrorResponse }

func (e *serverError) Error() string {
	return e.response.Message + " (SQLSTATE " + e.response.Code + ")"
}

// answerOf is the response that an error of the cluster's own work makes, or the
// error itself where the session is over.
func answerOf(err error) (*pgproto3.ErrorResponse, error) {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.response(), nil
	}
	var server *serverError
	if errors.As(err, &server) {
		return server.response, nil
	}
	return nil, err
}

// query carries the simple protocol out: statement by statement, in one
// transaction where the client began none.
func (s *session) query(sql string) error {
	all, refusal := parse(sql)
	if refusal == nil && len(all) == 0 {
		if err := s.send(&pgproto3.EmptyQueryResponse{}); err != nil {
			return err
		}
		return s.ready()
	}
	failed := false
	for i, stmt := range all {
		// The last tag waits for the commit, which may fail.
		last := i == len(all)-1 && refusal == nil
		tag, failure, err := s.simple(stmt)
		if err != nil {
			return err
		}
		if failure == nil && last && !s.tx.explicit {
			failure, err = s.tx.commit(s)
			if err != nil {
				return err
			}
		}
		if failure != nil {
			failed = true
			if err := s.fail(failure); err != nil {
				return err
			}
			break
		}
		if err := s.send(&pgproto3.CommandComplete{CommandTag: tag}); err != nil {
			return err
		}
	}
	if refusal != nil && !failed {
		if err := s.fail(s.now(refusal).response()); err != nil {
			return err
		}
	}
	if !s.tx.explicit {
		if err := s.tx.end(s); err != nil {
			return err
		}
	}
	return s.ready()
}

// simple runs one statement and returns its tag.
func (s *session) simple(stmt *statement) ([]byte, *pgproto3.ErrorResponse, error) {
	if tag, failure, done, err := s.before(stmt, nil, output{}); done || failure != nil || err != nil {
		return tag, failure, err
	}
	var tag []byte
	failure, err := s.ask(func(m pgproto3.BackendMessage) error {
		switch m := m.(type) {
		case *pgproto3.CommandComplete:
			tag = append(tag, m.CommandTag...)
			return nil
		case *pgproto3.CopyInResponse:
			if err := s.send(m); err != nil {
				return err
			}
			return s.copyIn()
		}
		return s.send(m)
	}, &pgproto3.Query{String: stmt.sql})
	if err != nil {
		return nil, nil, err
	}
	if failure != nil {
		return nil, translate(failure, stmt.defines()), nil
	}
	failure, err = s.after(stmt, tag)
	return tag, failure, err
}

// copyIn hands the client's rows on to the server.
func (s *session) copyIn() error {
	if err := s.flush(); err != nil {
		return err
	}
	waiting := 0
	for {
		message, err := s.client.Receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			if s.pending == CutWithin || s.pending == KillWithin {
				s.die(s.pending)
				return errGone
			}
			s.backend.Send(m)
			if waiting += len(m.Data); waiting > 64<<10 {
				waiting = 0
				if err := s.backend.Flush(); err != nil {
					return err
				}
			}
		case *pgproto3.CopyDone, *pgproto3.CopyFail:
			s.backend.Send(m)
			return s.backend.Flush()
		case *pgproto3.Flush, *pgproto3.Sync:
		default:
			return errGone
		}
	}
}
