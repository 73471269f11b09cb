package dsql

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"godwit/internal/profile"
)

// Admin is the role that DSQL makes with a cluster. It may do everything; only
// Prepare and Probe are called by it.
const Admin = "admin"

// A Config is one database role's way to one cluster.
type Config struct {
	Endpoint    string // a host, and after a colon a port other than 5432
	Region      string // of the cluster, which the token is signed for
	Role        string // database role: Admin or a custom one
	Credentials aws.CredentialsProvider
	// Roots are the authorities that the cluster's certificate may come from; nil
	// is the system's.
	Roots *x509.CertPool
	// Connections is the most that are used at once; 0 is 8.
	Connections int
	// HandOn is how long before its deadline Load begins no more transactions; 0
	// is 20 s.
	HandOn time.Duration
	Limits Limits
	// Now, Sleep and Random are the clock and chance, a number in [0, 1), which
	// may be called concurrently; nil is the machine's.
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Random func() float64
}

// Limits are what a cluster takes. A zero is what the profile aurora-dsql says.
type Limits struct {
	TransactionRows  int   // that a transaction may change
	TransactionBytes int64 // of their stored size, with indexes
	ConnectionLife   time.Duration
	ConnectionRate   float64 // new connections a second
}

// A DB is one role's way to one cluster, with the connections that it keeps. It
// is safe for concurrent use.
type DB struct {
	cfg  Config
	host string
	port uint16

	stats Stats
	gate  gate
	pace  *pace
	sizes measures

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// Open checks the configuration. The first call connects.
func Open(cfg Config) (*DB, error) {
	db := &DB{cfg: cfg, host: cfg.Endpoint, port: 5432}
	if host, port, err := net.SplitHostPort(cfg.Endpoint); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %q is no port", cfg.Endpoint, port)
		}
		db.host, db.port = host, uint16(n)
	}
	switch {
	case db.host == "":
		return nil, errors.New("the endpoint of the Aurora DSQL cluster is missing")
	case cfg.Region == "":
		return nil, errors.New("the region of the Aurora DSQL cluster is missing")
	case cfg.Role == "":
		return nil, errors.New("the database role for Aurora DSQL is missing")
	case cfg.Credentials == nil:
		return nil, errors.New("the credentials for Aurora DSQL are missing")
	}
	c := &db.cfg
	if c.Connections <= 0 {
		c.Connections = 8
	}
	known, err := profile.Lookup("aurora-dsql")
	if err != nil {
		return nil, err
	}
	of := func(name profile.LimitName) int64 { return known.Limit(name).Value }
	l := &c.Limits
	if l.TransactionRows <= 0 {
		l.TransactionRows = int(of(profile.RowsPerTransaction))
	}
	if l.TransactionBytes <= 0 {
		l.TransactionBytes = of(profile.BytesPerTransaction)
	}
	if l.ConnectionLife <= 0 {
		l.ConnectionLife = time.Duration(of(profile.ConnectionMinutes)) * time.Minute
	}
	if l.ConnectionRate <= 0 {
		l.ConnectionRate = float64(of(profile.ConnectionsPerSecond))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.HandOn <= 0 {
		c.HandOn = 20 * time.Second
	}
	db.pace = newPace(c.Connections, c.Now)
	return db, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
