package dsql_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dsql/auth"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/local/gateway"
	"godwit/internal/testdb"
)

// provider hands credentials to the SDK's signer.
func provider(k gateway.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
	})
}

// token signs for a database role.
func token(t testing.TB, d *testdb.DSQL, user string) string {
	t.Helper()
	sign := auth.GenerateDbConnectAuthToken
	if user == "admin" {
		sign = auth.GenerateDBConnectAdminAuthToken
	}
	text, err := sign(t.Context(), d.Endpoint(), testdb.Region, provider(d.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// settings are how a client connects.
func settings(t testing.TB, d *testdb.DSQL, user string) *pgx.ConnConfig {
	t.Helper()
	host, port, err := net.SplitHostPort(d.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.ParseConfig("sslmode=verify-full dbname=postgres")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.CA())
	c.Host, c.Port, c.User, c.Password = host, uint16(n), user, token(t, d, user)
	c.TLSConfig = &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	c.Fallbacks = nil
	return c
}

// connect opens a connection for the length of the test.
func connect(t testing.TB, d *testdb.DSQL, user string) *pgx.Conn {
	t.Helper()
	c, err := pgx.ConnectConfig(t.Context(), settings(t, d, user))
	if err != nil {
		t.Fatal(err, refusal(t, err).Hint)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// do runs statements one after the other.
func do(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%.80s: %v", sql, err)
		}
	}
}

// refusal is the error of the server in an error.
func refusal(t testing.TB, err error) *pgconn.PgError {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Helper()
		t.Fatalf("got %v, want an error of the server", err)
	}
	return e
}

// wantRefusal checks an error's SQLSTATE and text.
func wantRefusal(t testing.TB, err error, code, message string) {
	t.Helper()
	if e := refusal(t, err); e.Code != code || e.Message != message {
		t.Errorf("got %s %q, want %s %q", e.Code, e.Message, code, message)
	}
}

// again repeats what meets a conflict, as every client of DSQL must.
func again(work func() error) error {
	for {
		err := work()
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "40001" {
			return err
		}
	}
}

// job runs a statement with ASYNC and returns the job's id.
func job(t testing.TB, c *pgx.Conn, sql string) string {
	t.Helper()
	var id string
	if err := again(func() error { return c.QueryRow(t.Context(), sql).Scan(&id) }); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(id) != 26 {
		t.Errorf("got job id %q, want 26 characters", id)
	}
	return id
}

// waitForJob says whether a job succeeded.
func waitForJob(t testing.TB, c *pgx.Conn, id string) bool {
	t.Helper()
	var succeeded bool
	if err := c.QueryRow(t.Context(), `CALL sys.wait_for_job($1)`, id).Scan(&succeeded); err != nil {
		t.Fatal(err)
	}
	return succeeded
}
