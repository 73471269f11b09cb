package dsql_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dsql/auth"
	"github.com/jackc/pgx/v5"

	"godwit/internal/local/dsql"
	"godwit/internal/local/gateway"
	"godwit/internal/testdb"
)

func TestTokenOpensAConnection(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `INSERT INTO t VALUES (1, 'one')`)
	if _, err := c.Exec(t.Context(), `INSERT INTO t VALUES ($1, $2)`, 2, "two"); err != nil {
		t.Fatal(err)
	}
	if err := in(t.Context(), c, func() error {
		_, err := c.Exec(t.Context(), `UPDATE t SET v = $2 WHERE id = $1`, 2, "zwei")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var n int
	var v, isolation, user string
	if err := c.QueryRow(t.Context(), `SELECT count(*), max(v), current_setting('transaction_isolation'), session_user FROM t`).Scan(&n, &v, &isolation, &user); err != nil {
		t.Fatal(err)
	}
	if n != 2 || v != "zwei" || isolation != "repeatable read" || user != "admin" {
		t.Errorf("got %d, %s, %s, %s, want 2, zwei, repeatable read, admin", n, v, isolation, user)
	}
	if version := c.PgConn().ParameterStatus("server_version"); !strings.HasPrefix(version, "16.") {
		t.Errorf("got version %s, want 16", version)
	}
}

// Requests that a client sends together are one transaction.
func TestPipelineIsOneTransaction(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY)`)
	send := func(ids ...int) error {
		b := &pgx.Batch{}
		for _, id := range ids {
			b.Queue(`INSERT INTO t VALUES ($1)`, id)
		}
		return c.SendBatch(t.Context(), b).Close()
	}
	if err := send(1, 2, 3); err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, send(4, 1, 5)); e.Code != "23505" {
		t.Errorf("got %s, want 23505", e.Code)
	}
	var n int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != 3 {
		t.Errorf("got %d rows, %v, want 3", n, err)
	}
	// A prepared statement outlives the transaction that it was made in, and a
	// row of rows the buffer that it is sent with.
	if _, err := c.Prepare(t.Context(), "wide", `SELECT repeat('x', 100000) FROM generate_series(1, $1)`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		rows, err := c.Query(t.Context(), "wide", 50)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(list) != 50 || len(list[49]) != 100_000 {
			t.Errorf("got %d rows, %v", len(list), err)
		}
	}
	if err := c.Deallocate(t.Context(), "wide"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "wide", 1); err == nil {
		t.Error("a statement that was closed runs")
	}
}

func TestBadTokensAreDenied(t *testing.T) {
	d := testdb.NewDSQL(t)
	ctx, good := t.Context(), provider(d.Credentials())
	forged := d.Credentials()
	forged.SecretAccessKey = "guess"
	sign := func(host, region string, k gateway.Credentials) string {
		text, err := auth.GenerateDBConnectAdminAuthToken(ctx, host, region, provider(k))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	custom, err := auth.GenerateDbConnectAuthToken(ctx, d.Endpoint(), testdb.Region, good)
	if err != nil {
		t.Fatal(err)
	}
	short, err := auth.GenerateDBConnectAdminAuthToken(ctx, d.Endpoint(), testdb.Region, good, func(o *auth.TokenOptions) { o.ExpiresIn = time.Second })
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, user, token, hint string }{
		{"token of a custom role", "admin", custom, "Wrong user to action mapping. user: admin, action: DbConnect"},
		{"token of admin", "r", token(t, d, "admin"), "Wrong user to action mapping. user: r, action: DbConnectAdmin"},
		{"password", "admin", "secret", "the token is for host secret"},
		{"other host", "admin", sign("other.dsql.us-east-1.on.aws", testdb.Region, d.Credentials()), "the token is for host other.dsql.us-east-1.on.aws"},
		{"other region", "admin", sign(d.Endpoint(), "eu-west-1", d.Credentials()), "Credential should be scoped to a valid region."},
		{"unknown key", "admin", sign(d.Endpoint(), testdb.Region, gateway.Credentials{AccessKeyID: "ASIAGUESS", SecretAccessKey: "x"}), "InvalidAccessKeyId"},
		{"other secret", "admin", sign(d.Endpoint(), testdb.Region, forged), "SignatureDoesNotMatch"},
		{"changed", "admin", strings.Replace(token(t, d, "admin"), "X-Amz-Expires=900", "X-Amz-Expires=901", 1), "SignatureDoesNotMatch"},
		{"expired", "admin", short, "Signature expired"},
	} {
		c := settings(t, d, test.user)
		c.Password = test.token
		deadline := time.Now().Add(10 * time.Second)
		for {
			conn, err := pgx.ConnectConfig(ctx, c)
			if err == nil {
				conn.Close(ctx)
				if test.name == "expired" && time.Now().Before(deadline) {
					continue // it is good for a second
				}
				t.Errorf("%s: got a connection", test.name)
				break
			}
			wantRefusal(t, err, "08006", "unable to accept connection, access denied")
			if e := refusal(t, err); e.Severity != "FATAL" || !strings.HasPrefix(e.Hint, test.hint) {
				t.Errorf("%s: got %s with hint %q, want %q", test.name, e.Severity, e.Hint, test.hint)
			}
			break
		}
	}
}

// judge allows what it is told.
type judge map[string]bool

func (j judge) Authorize(role, action, resource string, _ map[string]string) error {
	if j[role+" "+action+" "+resource] {
		return nil
	}
	return &gateway.AccessDenied{Role: role, Action: action, Resource: resource, Why: "no identity-based policy allows the " + action + " action"}
}

func TestIAMJudgesConnections(t *testing.T) {
	const id = "abcdefghijklmnopqrstuvwxyz"
	const arn = "arn:aws:dsql:" + testdb.Region + ":" + testdb.Account + ":cluster/" + id
	const role = "arn:aws:iam::" + testdb.Account + ":role/loader"
	rules := judge{role + " dsql:DbConnect " + arn: true}
	var fault atomic.Uint32
	g, err := gateway.New(gateway.Config{Authorizer: rules, Fault: func(c gateway.Call) gateway.Fault { return gateway.Fault(fault.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	d := testdb.NewDSQLWith(t, dsql.Config{ID: id, Gateway: g})
	if d.ARN() != arn {
		t.Errorf("got ARN %s, want %s", d.ARN(), arn)
	}
	_, err = pgx.ConnectConfig(t.Context(), settings(t, d, "admin"))
	wantRefusal(t, err, "08006", "unable to accept connection, access denied")
	if want := "User: " + role + " is not authorized to perform: dsql:DbConnectAdmin on resource: " + arn; !strings.HasPrefix(refusal(t, err).Hint, want) {
		t.Errorf("got hint %q, want %q", refusal(t, err).Hint, want)
	}
	// The operator's own credentials may do everything.
	c := settings(t, d, "admin")
	if c.Password, err = auth.GenerateDBConnectAdminAuthToken(t.Context(), d.Endpoint(), testdb.Region, provider(g.Root())); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	do(t, admin, `CREATE ROLE loader WITH LOGIN`, `CREATE ROLE idle`, `AWS IAM GRANT loader TO '`+role+`'`, `AWS IAM GRANT idle TO '`+role+`'`)
	do(t, connect(t, d, "loader"), `SELECT 1`)
	calls := g.Calls()
	if last := calls[len(calls)-1]; last.Action != "dsql:DbConnect" || last.Detail != "loader" || !last.Allowed || last.Role != role {
		t.Errorf("got call %+v", last)
	}
	// The gateway's faults are a connection's.
	var killed atomic.Bool
	k := g.Issue(role, func() { killed.Store(true) })
	for f, code := range map[gateway.Fault]string{gateway.KillBefore: "", gateway.Lose: "", gateway.Throttle: "53400"} {
		c := settings(t, d, "loader")
		if c.Password, err = auth.GenerateDbConnectAuthToken(t.Context(), d.Endpoint(), testdb.Region, provider(k)); err != nil {
			t.Fatal(err)
		}
		fault.Store(uint32(f))
		_, err := pgx.ConnectConfig(t.Context(), c)
		if err == nil || code != "" && refusal(t, err).Code != code {
			t.Errorf("fault %d: got %v", f, err)
		}
		if f == gateway.KillBefore {
			if !killed.Load() {
				t.Error("the process was not killed")
			}
			k = g.Issue(role, nil) // the dead are not served
		}
	}
	fault.Store(uint32(gateway.None))
	for user, why := range map[string]string{"idle": "may not log in", "other": "does not exist"} {
		if _, err := pgx.ConnectConfig(t.Context(), settings(t, d, user)); err == nil {
			t.Errorf("role %s, which %s, got a connection", user, why)
		}
	}
	do(t, admin, `AWS IAM REVOKE loader FROM '`+role+`'`)
	if _, err := pgx.ConnectConfig(t.Context(), settings(t, d, "loader")); err == nil {
		t.Error("a role that was revoked got a connection")
	}
}

// A custom role may do what it was granted, and nothing in public.
func TestCustomRoleHasItsOwnSchema(t *testing.T) {
	d := testdb.NewDSQL(t)
	admin := connect(t, d, "admin")
	do(t, admin, `CREATE ROLE loader WITH LOGIN`, `AWS IAM GRANT loader TO '`+d.Role+`'`, `CREATE SCHEMA s`, `CREATE TABLE s.t (id bigint PRIMARY KEY)`,
		`GRANT USAGE ON SCHEMA s TO loader`, `GRANT SELECT, INSERT ON s.t TO loader`, `CREATE TABLE hidden (id int)`)
	var arn, name string
	if err := admin.QueryRow(t.Context(), `SELECT arn, pg_role_name FROM sys.iam_pg_role_mappings`).Scan(&arn, &name); err != nil || arn != d.Role || name != "loader" {
		t.Errorf("got %s, %s, %v", arn, name, err)
	}
	loader := connect(t, d, "loader")
	do(t, loader, `INSERT INTO s.t VALUES (1)`, `SELECT * FROM s.t`)
	for _, sql := range []string{
		`DELETE FROM s.t`, `SELECT * FROM hidden`, `CREATE TABLE public.x (id int)`, `CREATE SCHEMA x`, `CREATE TABLE s.x (id int)`, `CREATE ROLE x`,
		`AWS IAM GRANT loader TO '` + d.Role + `'`, `SELECT * FROM sys.job`, `DELETE FROM sys.iam_grant`,
	} {
		_, err := loader.Exec(t.Context(), sql)
		if err == nil {
			t.Errorf("%s: got no error", sql)
			continue
		}
		if e := refusal(t, err); e.Code != "42501" {
			t.Errorf("%s: got %s %s, want 42501", sql, e.Code, e.Message)
		}
	}
}

func TestConnectionsAreTLSWithTheServersName(t *testing.T) {
	d := testdb.NewDSQL(t)
	for _, test := range []struct {
		name string
		tls  func(*tls.Config) *tls.Config
		want string
	}{
		{"none", func(*tls.Config) *tls.Config { return nil }, "unable to accept connection, ssl is required"},
		{"no server name", func(c *tls.Config) *tls.Config { c.ServerName, c.InsecureSkipVerify = "", true; return c }, "unable to accept connection, sni was not received"},
		{"other authority", func(c *tls.Config) *tls.Config { c.RootCAs = x509.NewCertPool(); return c }, "certificate signed by unknown authority"},
		{"other name", func(c *tls.Config) *tls.Config { c.ServerName = "example.com"; return c }, "not example.com"},
	} {
		c := settings(t, d, "admin")
		c.TLSConfig = test.tls(c.TLSConfig)
		if test.name == "no server name" {
			c.Host = "127.0.0.1"
		}
		_, err := pgx.ConnectConfig(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	c := settings(t, d, "admin")
	c.Database = "other"
	if _, err := pgx.ConnectConfig(t.Context(), c); err == nil || refusal(t, err).Code != "3D000" {
		t.Errorf("got %v, want 3D000", err)
	}
	c = settings(t, d, "admin")
	c.RuntimeParams = map[string]string{"statement_timeout": "1"}
	_, err := pgx.ConnectConfig(t.Context(), c)
	wantRefusal(t, err, "0A000", `setting configuration parameter "statement_timeout" not supported`)
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	g, err := gateway.New(gateway.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, c := range []dsql.Config{
		{},
		{Account: "1", Region: "r"},
		{Account: "1", Region: "r", Gateway: g, ID: "short"},
		{Account: "1", Region: "r", Gateway: g, ID: strings.Repeat("A", 26)},
		{Account: "1", Region: "r", Gateway: g, DSN: "host=/nowhere"},
	} {
		if cluster, err := dsql.Start(t.Context(), c); err == nil {
			t.Errorf("%+v: got a cluster, %v", c, cluster.Close())
		}
	}
}
