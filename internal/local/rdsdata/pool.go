package rdsdata

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// connectTimeout bounds a connection attempt.
const connectTimeout = 10 * time.Second

// maxIdle is how many connections are kept for one login.
const maxIdle = 8

// A login is who connects to what.
type login struct{ addr, database, user, password string }

// A pool keeps connections by login. What it hands out is as good as new.
type pool struct {
	mu     sync.Mutex
	idle   map[login][]*pgconn.PgConn
	types  map[typeKey]pgType
	closed bool
}

// typeKey names a type that a database defines itself.
type typeKey struct {
	addr, database string
	oid            uint32
}

func (p *pool) get(l login) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	for {
		p.mu.Lock()
		list := p.idle[l]
		if len(list) == 0 {
			p.mu.Unlock()
			break
		}
		c := list[len(list)-1]
		p.idle[l] = list[:len(list)-1]
		p.mu.Unlock()
		if c.Ping(ctx) == nil {
			return c, nil
		}
		closeConn(c) // the server ended it
	}
	host, port, err := net.SplitHostPort(l.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.addr, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.addr, err)
	}
	cfg, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("configure a connection: %w", err)
	}
	cfg.Host, cfg.Port, cfg.Database, cfg.User, cfg.Password = host, uint16(n), l.database, l.user, l.password
	cfg.Fallbacks = nil
	cfg.RuntimeParams = map[string]string{
		"application_name": "RDS Data API", "client_encoding": "UTF8",
		// Results are read as text in one known style; timestamptz is always UTC.
		"TimeZone": "UTC", "DateStyle": "ISO, YMD", "bytea_output": "hex", "extra_float_digits": "1",
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// put takes a connection back, without anything that its user left in it.
func (p *pool) put(l login, c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	reset := "DISCARD ALL"
	if !c.IsClosed() && c.TxStatus() != 'I' {
		if _, err := c.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			closeConn(c)
			return
		}
	}
	if c.IsClosed() {
		return
	}
	if _, err := c.Exec(ctx, reset).ReadAll(); err != nil {
		closeConn(c)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle[l]) >= maxIdle {
		go closeConn(c)
		return
	}
	if p.idle == nil {
		p.idle = map[login][]*pgconn.PgConn{}
	}
	p.idle[l] = append(p.idle[l], c)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, list := range p.idle {
		for _, c := range list {
			closeConn(c)
		}
	}
	p.idle = nil
}

// closeConn ends a connection, and with it any transaction.
func closeConn(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.Close(ctx) // it is closed whatever this says
}
