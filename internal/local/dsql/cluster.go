package dsql

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local/gateway"
)

// Config is what a cluster needs.
type Config struct {
	// DSN connects as a superuser to the database postgres of a server that is
	// the cluster's alone: its roles are the cluster's. It is empty, or an earlier
	// cluster's, with which this one goes on.
	DSN string
	// ID is the cluster's identifier, 26 of a-z and 0-9; "" makes one.
	ID              string
	Account, Region string
	// Gateway knows whose tokens they are and has IAM judge connections.
	Gateway *gateway.Gateway
	// Now is the clock by which connections end, transactions age and jobs run
	// and vanish; nil is time.Now. Tokens are checked by the gateway's.
	Now func() time.Time
	// Limits that are zero are the service's.
	Limits Limits
	// JobDelay is how long by Now a job is submitted, and then processing, before
	// it has run. 0 runs it at once.
	JobDelay time.Duration
	// Fault says what goes wrong; nil is nothing. It may be called by several
	// connections at the same time.
	Fault func(Event) Effect
}

// A Cluster is a running endpoint. Its methods may be called concurrently.
type Cluster struct {
	config    Config
	ca        []byte
	tls       *tls.Config
	listener  net.Listener
	admin     *pgx.Conn // superuser, of the keeper alone
	limitText string    // the limits as the database's triggers read them

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wake   chan struct{} // a job was submitted
	served sync.WaitGroup

	mu       sync.Mutex
	sessions map[*session]bool
	seq      [Commit + 1]int
	conns    int
	bucket   bucket
	catalog  catalog
	failure  error // that ended the cluster before Close
}

//go:embed install.sql
var install string

// endpointHost is the name in the endpoint: a client sends it as its server
// name, which it would not do with an address.
const endpointHost = "localhost"

// Start serves a cluster on a free port of 127.0.0.1. Close it before the server
// behind it. ctx bounds the start only.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	if c.Account == "" || c.Region == "" || c.Gateway == nil {
		return nil, errors.New("start a DSQL cluster: it needs an account, a region and a gateway")
	}
	if c.ID == "" {
		c.ID = strings.ToLower(rand.Text())
	}
	if len(c.ID) != 26 || strings.Trim(c.ID, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil, fmt.Errorf("start a DSQL cluster: its id %q is not 26 of a-z and 0-9", c.ID)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	certificate, ca, err := certify(endpointHost)
	if err != nil {
		return nil, err
	}
	limits, err := json.Marshal(c.Limits)
	if err != nil {
		return nil, fmt.Errorf("write the limits: %w", err)
	}
	admin, err := pgx.Connect(ctx, c.DSN)
	if err != nil {
		return nil, fmt.Errorf("connect to the database behind the cluster: %w", err)
	}
	if err := prepare(ctx, admin); err != nil {
		return nil, errors.Join(err, admin.Close(ctx))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the cluster: %w", err), admin.Close(ctx))
	}
	s := &Cluster{
		config: c, ca: ca, listener: listener, admin: admin, limitText: string(limits),
		tls:  &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		wake: make(chan struct{}, 1), sessions: map[*session]bool{},
		bucket: bucket{tokens: float64(c.Limits.ConnectBurst), at: c.Now()},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.served.Add(2)
	go s.accept()
	go s.keep()
	return s, nil
}

// prepare makes what a cluster has in an empty database, or readies one that an
// earlier cluster has left. It may be repeated: all of it or nothing is there.
func prepare(ctx context.Context, admin *pgx.Conn) error {
	version := fmt.Sprintf("%x", sha256.Sum256([]byte(install)))
	var made string
	if err := admin.QueryRow(ctx, `SELECT coalesce(pg_catalog.obj_description(pg_catalog.to_regnamespace('sys'), 'pg_namespace'), '')`).Scan(&made); err != nil {
		return fmt.Errorf("look for a cluster in the database: %w", err)
	}
	switch made {
	case version:
		// A build that a crash broke off begins anew.
		rows, err := admin.Query(ctx, `UPDATE sys.job SET status = 'submitted' WHERE status = 'processing' RETURNING object_name, job_type = 'INDEX_BUILD'`)
		if err != nil {
			return fmt.Errorf("look for jobs of an earlier cluster: %w", err)
		}
		var index string
		var build bool
		var builds []string
		if _, err := pgx.ForEachRow(rows, []any{&index, &build}, func() error {
			if build {
				builds = append(builds, index)
			}
			return nil
		}); err != nil {
			return fmt.Errorf("look for jobs of an earlier cluster: %w", err)
		}
		for _, index := range builds { // quoted already
			if _, err := admin.Exec(ctx, "DROP INDEX IF EXISTS "+index); err != nil {
				return fmt.Errorf("remove the part of an index: %w", err)
			}
		}
		return nil
	case "":
		if _, err := admin.Exec(ctx, install+"COMMENT ON SCHEMA sys IS '"+version+"';"); err != nil {
			return fmt.Errorf("make the cluster in its database: %w", err)
		}
		return nil
	}
	return errors.New("the database was made by another version of the local DSQL: remove it and start again")
}

// ID is the cluster's identifier.
func (c *Cluster) ID() string { return c.config.ID }

// ARN is the resource of dsql:DbConnect and dsql:DbConnectAdmin.
func (c *Cluster) ARN() string {
	return "arn:aws:dsql:" + c.config.Region + ":" + c.config.Account + ":cluster/" + c.config.ID
}

// Endpoint is the host and the port to connect to, localhost:50123. The real
// one has no port, because it is always 5432. Tokens may be signed for it with
// or without the port.
func (c *Cluster) Endpoint() string {
	_, port, _ := net.SplitHostPort(c.listener.Addr().String())
	return net.JoinHostPort(endpointHost, port)
}

// CA is the certificate, as PEM, that a client must trust: for a file that
// SSL_CERT_FILE names, or a pool.
func (c *Cluster) CA() []byte { return append([]byte(nil), c.ca...) }

// Close ends every connection and the jobs, and says what had ended the cluster
// before. It may be repeated.
func (c *Cluster) Close() error {
	if c.ctx.Err() != nil {
		return nil
	}
	c.cancel() // ends the connections, too
	err := c.listener.Close()
	c.served.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(c.failure, err, c.admin.Close(ctx))
}

func (c *Cluster) accept() {
	defer c.served.Done()
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		c.served.Go(func() { c.serve(conn) })
	}
}

// fault asks what goes wrong and lets its delay go by.
func (c *Cluster) fault(e Event) Fault {
	if c.config.Fault == nil {
		return None
	}
	c.mu.Lock()
	c.seq[e.Moment]++
	e.Seq = c.seq[e.Moment]
	c.mu.Unlock()
	effect := c.config.Fault(e)
	if effect.Delay > 0 {
		select {
		case <-time.After(effect.Delay):
		case <-c.ctx.Done():
		}
	}
	return effect.Fault
}

// enter counts a session in, or says why it may not.
func (c *Cluster) enter(s *session) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failure != nil:
		return denied(c.failure.Error())
	case c.ctx.Err() != nil:
		return denied("the cluster is closing")
	case !c.bucket.take(c.config.Now(), c.config.Limits):
		return throttled()
	case len(c.sessions) >= c.config.Limits.Connections:
		return tooMany()
	}
	c.conns++
	s.number, s.opened, s.seen = c.conns, c.config.Now(), c.catalog.version
	c.sessions[s] = true
	return nil
}

func (c *Cluster) leave(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s)
}

// A bucket is how many connections may be made now.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, l Limits) bool {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*float64(l.ConnectRate), float64(l.ConnectBurst))
		b.at = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
