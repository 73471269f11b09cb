package dsql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dsql/auth"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// connectTries is how often a connection is tried before the caller hears of
	// it: with the pauses between them, some twenty seconds.
	connectTries = 12
	// dialTimeout is of one try: name, TCP, TLS and start-up.
	dialTimeout = 15 * time.Second
	// rollbackTimeout is what leaving a failed transaction may take before its
	// connection is given up.
	rollbackTimeout = 5 * time.Second
)

// A session is one connection. Its owner is the only one to use it.
type session struct {
	conn   *pgconn.PgConn
	retire time.Time // not to be used for another transaction from then on
}

// connect opens a connection. Throttled and broken tries are repeated with
// jitter; what DSQL says of the role or the token is not.
func (db *DB) connect(ctx context.Context) (*session, error) {
	for try := 0; ; try++ {
		if err := db.cfg.Sleep(ctx, db.gate.slot(db.cfg.Now(), db.cfg.Limits.ConnectionRate)); err != nil {
			return nil, err
		}
		s, err := db.dial(ctx)
		if err == nil {
			db.stats.Connections.Add(1)
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if state := stateOf(err); state == "53300" || state == "53400" {
			db.stats.Throttled.Add(1)
		}
		if !passing(err) || try+1 == connectTries {
			return nil, fmt.Errorf("connect to %s as %s: %w", db.cfg.Endpoint, db.cfg.Role, err)
		}
		if err := db.pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

func (db *DB) dial(ctx context.Context) (*session, error) {
	token, err := db.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a token: %w", err)
	}
	// Everything is said here: what the environment says of PostgreSQL is not ours.
	cfg, err := pgconn.ParseConfig("sslmode=disable passfile='' servicefile=''")
	if err != nil {
		return nil, err
	}
	cfg.Host, cfg.Port, cfg.Database, cfg.User, cfg.Password = db.host, db.port, "postgres", db.cfg.Role, token
	cfg.RuntimeParams = map[string]string{"application_name": "godwit"}
	cfg.ConnectTimeout = dialTimeout
	cfg.TLSConfig = &tls.Config{ServerName: db.host, RootCAs: db.cfg.Roots, MinVersion: tls.VersionTLS12}
	cfg.Fallbacks = nil
	now := db.cfg.Now()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "08006" && strings.HasPrefix(strings.ToLower(pg.Message), "unable to accept connection") {
		// DSQL gives what it thinks of the token and the role the code of a broken
		// connection, which would be tried again.
		e := &Error{State: "28000", Message: pg.Message}
		if pg.Hint != "" {
			e.Message += ": " + pg.Hint
		}
		return nil, e
	}
	if err != nil {
		return nil, wrap(err)
	}
	// A tenth, six minutes of sixty, is more than a transaction may last. Chance
	// keeps the connections of one function from ending together.
	life := db.cfg.Limits.ConnectionLife
	return &session{conn: conn, retire: now.Add(life - life/10 - time.Duration(db.cfg.Random()*float64(life/20)))}, nil
}

// token signs a token, which is looked at when a connection begins and never
// again.
func (db *DB) token(ctx context.Context) (string, error) {
	if db.cfg.Role == Admin {
		return auth.GenerateDBConnectAdminAuthToken(ctx, db.host, db.cfg.Region, db.cfg.Credentials)
	}
	return auth.GenerateDbConnectAuthToken(ctx, db.host, db.cfg.Region, db.cfg.Credentials)
}

// take returns a connection that waits for work, or a new one.
func (db *DB) take(ctx context.Context) (*session, error) {
	for {
		db.mu.Lock()
		if db.closed {
			db.mu.Unlock()
			return nil, errors.New("the connections to Aurora DSQL are closed")
		}
		n := len(db.idle)
		if n == 0 {
			db.mu.Unlock()
			return db.connect(ctx)
		}
		s := db.idle[n-1]
		db.idle = db.idle[:n-1]
		db.mu.Unlock()
		if !s.conn.IsClosed() && db.cfg.Now().Before(s.retire) {
			return s, nil
		}
		s.close()
	}
}

// give takes a connection back. One that is in the middle of something is rolled
// back, or closed.
func (db *DB) give(s *session) {
	if s.conn.IsClosed() {
		// Those that waited beside it, while the function was frozen or the
		// network was gone, are no better.
		db.mu.Lock()
		idle := db.idle
		db.idle = nil
		db.mu.Unlock()
		for _, s := range idle {
			s.close()
		}
		return
	}
	if s.conn.TxStatus() != 'I' {
		// The caller's time may be over; the connection is still good.
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		if err := s.exec(ctx, "ROLLBACK"); err != nil {
			s.close()
			return
		}
	}
	db.mu.Lock()
	keep := !db.closed && len(db.idle) < db.cfg.Connections
	if keep {
		db.idle = append(db.idle, s)
	}
	db.mu.Unlock()
	if !keep {
		s.close()
	}
}

// Close closes the connections that are idle, and those in use when they end.
func (db *DB) Close() {
	db.mu.Lock()
	idle := db.idle
	db.closed, db.idle = true, nil
	db.mu.Unlock()
	for _, s := range idle {
		s.close()
	}
}

// close says goodbye, if that is quick.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // it is gone either way
}

// exec runs one statement for its effect.
func (s *session) exec(ctx context.Context, sql string, args ...any) error {
	_, err := s.query(ctx, nil, sql, args...)
	return err
}

// query runs one statement, in the extended protocol, which takes no second one.
// Values are texts in both directions.
func (s *session) query(ctx context.Context, yield func(row [][]byte) error, sql string, args ...any) (int64, error) {
	values, err := texts(args)
	if err != nil {
		return 0, err
	}
	reader := s.conn.ExecParams(ctx, sql, values, nil, nil, nil)
	var stop error
	for reader.NextRow() {
		if yield != nil && stop == nil {
			stop = yield(reader.Values())
		}
	}
	tag, err := reader.Close()
	if err != nil {
		return 0, ended(ctx, err)
	}
	return tag.RowsAffected(), stop
}

// ended is an error of the driver, or the end of the caller's time, which breaks
// the connection and looks like a network error.
func ended(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if err != nil && !errors.As(err, &pg) && ctx.Err() != nil {
		return ctx.Err()
	}
	return wrap(err)
}

// texts spells arguments as PostgreSQL reads them.
func texts(args []any) ([][]byte, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		switch a := arg.(type) {
		case nil:
		case string:
			values[i] = []byte(a)
		case []byte:
			values[i] = a
		case int, int64, bool:
			values[i] = fmt.Append(nil, a)
		default:
			return nil, fmt.Errorf("argument %d: a %T is no argument of a statement", i+1, arg)
		}
	}
	return values, nil
}
