package rdsdata_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/gateway"
	"godwit/internal/local/rdsdata"
	"godwit/internal/local/secrets"
	"godwit/internal/testdb"
)

func TestClusterStates(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1e9, 0)}
	_, a := newAPI(t, rdsdata.Config{Now: c.Now})
	set := func(change func(*rdsdata.Cluster)) {
		t.Helper()
		if err := a.Server.UpdateCluster(a.ClusterARN, change); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		code string
		on   func(*rdsdata.Cluster, bool)
	}{
		{"HttpEndpointNotEnabledException", func(c *rdsdata.Cluster, on bool) { c.EndpointDisabled = on }},
		{"DatabaseNotFoundException", func(c *rdsdata.Cluster, on bool) { c.NoInstance = on }},
		{"InvalidResourceStateException", func(c *rdsdata.Cluster, on bool) { c.Stopped = on }},
		{"DatabaseUnavailableException", func(c *rdsdata.Cluster, on bool) { c.Unavailable = on }},
	} {
		set(func(c *rdsdata.Cluster) { test.on(c, true) })
		if _, err := a.exec(`SELECT 1`); code(err) != test.code {
			t.Errorf("got %v, want %s", err, test.code)
		}
		set(func(c *rdsdata.Cluster) { test.on(c, false) })
		if _, err := a.exec(`SELECT 1`); err != nil {
			t.Errorf("after %s: %v", test.code, err)
		}
	}
	for range 2 { // it may pause again
		set(func(c *rdsdata.Cluster) { c.Paused = true })
		c.advance(time.Hour) // nothing resumes it but a call
		for range 3 {
			if _, err := a.exec(`SELECT 1`); code(err) != "DatabaseResumingException" {
				t.Errorf("got %v, want DatabaseResumingException", err)
			}
			c.advance(5 * time.Second)
		}
		if _, err := a.exec(`SELECT 1`); err != nil {
			t.Errorf("15 s after the first call: %v", err)
		}
	}
	in := a.input(`SELECT 1`)
	in.ResourceArn = ptr(strings.ToUpper(a.ClusterARN))
	if _, err := a.client.ExecuteStatement(t.Context(), in); code(err) != "HttpEndpointNotEnabledException" {
		t.Errorf("unknown cluster: got %v, want HttpEndpointNotEnabledException", err)
	}
	if err := a.Server.UpdateCluster("arn:none", func(*rdsdata.Cluster) {}); err == nil {
		t.Error("update of an unknown cluster: got nil, want an error")
	}
}

func TestSecretsAndLogins(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	for _, test := range []struct{ name, value, code, says string }{
		{"no JSON", "hunter2", "InvalidSecretException", ""},
		{"no password", `{"username":"x"}`, "InvalidSecretException", ""},
		{"no username", `{"password":"x"}`, "InvalidSecretException", ""},
		{"wrong password", `{"username":"godwit_master","password":"wrong"}`, "DatabaseErrorException", "SQLState: 28P01"},
		{"unknown user", `{"username":"nobody","password":"wrong"}`, "DatabaseErrorException", "SQLState: 28P01"},
		{"internal superuser", `{"username":"rdsadmin","password":""}`, "DatabaseErrorException", "SQLState: 28000"},
	} {
		arn := "arn:aws:secretsmanager:us-east-1:123456789012:secret:" + test.name + "-abcdef"
		if err := a.Secrets.Create(test.name, arn, "", test.value); err != nil {
			t.Fatal(err)
		}
		in := a.input(`SELECT 1`)
		in.SecretArn = &arn
		if _, err := a.client.ExecuteStatement(t.Context(), in); code(err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %s %s", test.name, err, test.code, test.says)
		}
	}
	in := a.input(`SELECT 1`)
	in.SecretArn = ptr("arn:aws:secretsmanager:us-east-1:123456789012:secret:none-abcdef")
	if _, err := a.client.ExecuteStatement(t.Context(), in); code(err) != "SecretsErrorException" {
		t.Errorf("no such secret: got %v, want SecretsErrorException", err)
	}
	in = a.input(`SELECT 1`)
	in.Database = ptr("none")
	if _, err := a.client.ExecuteStatement(t.Context(), in); code(err) != "DatabaseErrorException" || !strings.Contains(err.Error(), `database "none" does not exist; SQLState: 3D000`) {
		t.Errorf("no such database: got %v, want 3D000", err)
	}
	in.Database = nil // then it is the user's name
	if _, err := a.client.ExecuteStatement(t.Context(), in); code(err) != "DatabaseErrorException" || !strings.Contains(err.Error(), `database "godwit_master" does not exist; SQLState: 3D000`) {
		t.Errorf("no database given: got %v, want 3D000", err)
	}
}

// A server that goes away in mid-statement leaves the caller in the dark.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	db, a := newAPI(t, rdsdata.Config{})
	_, err := a.exec(`SELECT pg_terminate_backend(pg_backend_pid())`)
	if c := code(err); c != "DatabaseErrorException" && c != "DatabaseUnavailableException" {
		t.Errorf("got %v, want an error of the database", err)
	}
	// An idle connection that died is replaced without the caller's noticing.
	a.must(`SELECT 1`)
	if _, err := testdb.Connect(t, db.SuperuserDSN).Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.exec(`SELECT 1`); err != nil {
		t.Error(err)
	}
}

func TestDescribeNamesEveryPermission(t *testing.T) {
	store := &secrets.Store{Region: "us-east-1", Account: "123456789012"}
	const cluster, secret, key = "arn:aws:rds:us-east-1:123456789012:cluster:c", "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-abcdef", "arn:aws:kms:us-east-1:123456789012:key/k"
	if err := store.Create("s", secret, key, "{}"); err != nil {
		t.Fatal(err)
	}
	s := rdsdata.New(rdsdata.Config{Secrets: store})
	defer s.Close()
	for path, action := range map[string]string{
		"/Execute": "ExecuteStatement", "/BatchExecute": "BatchExecuteStatement", "/BeginTransaction": "BeginTransaction",
		"/CommitTransaction": "CommitTransaction", "/RollbackTransaction": "RollbackTransaction",
	} {
		r, err := http.NewRequest(http.MethodPost, "http://x"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Describe(r, []byte(`{"resourceArn":"`+cluster+`","secretArn":"`+secret+`"}`))
		want := []gateway.Call{
			{Action: "rds-data:" + action, Resources: []string{cluster}},
			{Action: "secretsmanager:GetSecretValue", Resources: []string{secret}, Condition: map[string]string{"secretsmanager:VersionStage": "AWSCURRENT"}},
			{Action: "kms:Decrypt", Resources: []string{key}, Condition: map[string]string{"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}},
		}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v\n%s", path, err, cmp.Diff(want, got))
		}
	}
	r, err := http.NewRequest(http.MethodPost, "http://x/ExecuteSql", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Describe(r, []byte(`{}`)); err == nil {
		t.Error("ExecuteSql: got nil, want an error")
	}
}
