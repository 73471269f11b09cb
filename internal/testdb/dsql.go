package testdb

import (
	"context"
	"testing"
	"time"

	"godwit/internal/local/dsql"
	"godwit/internal/local/gateway"
	"godwit/internal/local/postgres"
)

// A DSQL is an Aurora DSQL cluster of a test's own. Connect as admin, or as a
// role that AWS IAM GRANT gave to the IAM role, with a token that the SDK's
// signer makes of Credentials for Endpoint and Region.
type DSQL struct {
	*dsql.Cluster
	// Gateway knows the credentials. Unless the test brought its own, everybody
	// whose credentials it issued may connect.
	Gateway *gateway.Gateway
	// Role is the ARN of the IAM role of Credentials.
	Role string
	// SuperuserDSN connects to the database behind the cluster, past all of its
	// limits: to look, and to break what a test wants broken.
	SuperuserDSN string
}

// NewDSQL starts a cluster with the service's own limits, in about half a second,
// and ends it with the test. Where PostgreSQL is not installed the test is
// skipped or fails, as by New.
func NewDSQL(t testing.TB) *DSQL {
	t.Helper()
	return NewDSQLWith(t, dsql.Config{})
}

// NewDSQLWith is NewDSQL with another clock, gateway, faults or limits; DSN,
// Account and Region are replaced.
func NewDSQLWith(t testing.TB, c dsql.Config) *DSQL {
	t.Helper()
	installed(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	// Roles are a server's: a cluster has one of its own.
	server, err := postgres.Start(ctx, postgres.Options{Settings: map[string]string{"shared_buffers": "32MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if c.Gateway == nil {
		if c.Gateway, err = gateway.New(gateway.Config{Authorizer: anything{}}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Gateway.Close() })
	}
	d := &DSQL{Gateway: c.Gateway, Role: "arn:aws:iam::" + Account + ":role/loader", SuperuserDSN: server.AdminDSN("postgres")}
	c.DSN, c.Account, c.Region = d.SuperuserDSN, Account, Region
	if d.Cluster, err = dsql.Start(ctx, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Credentials makes credentials of Role.
func (d *DSQL) Credentials() gateway.Credentials { return d.Gateway.Issue(d.Role, nil) }

// anything is an authorizer that allows it.
type anything struct{}

func (anything) Authorize(string, string, string, map[string]string) error { return nil }
