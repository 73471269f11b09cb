package control_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/control"
	"godwit/internal/local/gateway"
	"godwit/internal/local/rds"
	"godwit/internal/local/secrets"
)

const (
	clusterARN = "arn:aws:rds:eu-central-1:111122223333:cluster:target"
	secretARN  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:loader-a1B2c3"
)

type plane struct {
	clusters *rds.Service
	store    *secrets.Store
	rds      *control.RDS
	secrets  *control.Secrets
}

func open(t *testing.T) *plane {
	t.Helper()
	p := &plane{clusters: &rds.Service{}, store: &secrets.Store{Region: "eu-central-1", Account: "111122223333"}}
	g, err := gateway.New(gateway.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	g.Register("rds", p.clusters)
	g.Register("secretsmanager", p.store)
	root := g.Root()
	cfg := aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(g.URL()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretAccessKey, root.SessionToken),
	}
	p.rds = &control.RDS{API: awsrds.NewFromConfig(cfg)}
	p.secrets = &control.Secrets{API: secretsmanager.NewFromConfig(cfg)}
	return p
}

func TestClusterTellsWhatALoadNeeds(t *testing.T) {
	p := open(t)
	p.clusters.Set(rds.Cluster{ID: "other", ARN: strings.Replace(clusterARN, "target", "other", 1), Engine: "aurora-mysql", Status: "available"})
	p.clusters.Set(rds.Cluster{
		ID: "target", ARN: clusterARN, Engine: "aurora-postgresql", Version: "17.4", Status: "available", DataAPI: true, MinACU: 0.5, MaxACU: 8,
		Roles: []rds.Role{{ARN: "arn:import1", Feature: "s3Import"}, {ARN: "arn:export", Feature: "s3Export"}, {ARN: "arn:import2", Feature: "s3Import"}},
	})
	got, err := p.rds.Cluster(t.Context(), clusterARN)
	if err != nil {
		t.Fatal(err)
	}
	want := control.Cluster{
		ID: "target", Region: "eu-central-1", Engine: "aurora-postgresql", Version: "17.4", Status: "available", DataAPI: true, MinACU: 0.5,
		ImportRoles: []string{"arn:import1", "arn:import2"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	p.clusters.Change("target", func(c *rds.Cluster) { c.DataAPI, c.Roles, c.Status = false, nil, "stopped" })
	got, err = p.rds.Cluster(t.Context(), clusterARN)
	if err != nil || got.DataAPI || got.ImportRoles != nil || got.Status != "stopped" {
		t.Errorf("got %+v, %v, want the cluster as it is now", got, err)
	}
}

func TestClusterThatIsNone(t *testing.T) {
	p := open(t)
	for arn, want := range map[string]string{
		"":       "is not the ARN of a database cluster",
		"target": "is not the ARN of a database cluster",
		"arn:aws:rds:eu-central-1:111122223333:db:target":    "is not the ARN of a database cluster",
		"arn:aws:rds:eu-central-1:111122223333:cluster:none": "describe cluster none",
	} {
		if got, err := p.rds.Cluster(t.Context(), arn); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v, want %q", arn, got, err, want)
		}
	}
}

func TestLoginReadsTheCurrentSecret(t *testing.T) {
	p := open(t)
	if err := p.store.Create("loader", secretARN, "", `{"engine":"postgres","username":"godwit_loader","password":"p\"1","port":5432}`); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`p"1`, "p2"} {
		user, password, err := p.secrets.Login(t.Context(), secretARN)
		if err != nil || user != "godwit_loader" || password != want {
			t.Errorf("got %s, %s, %v, want %s", user, password, err, want)
		}
		if err := p.store.Put(secretARN, `{"username":"godwit_loader","password":"p2"}`); err != nil {
			t.Fatal(err)
		}
	}
}

// An error about a secret names it and holds nothing of it.
func TestLoginErrorsHoldNoSecret(t *testing.T) {
	p := open(t)
	if err := p.store.Create("loader", secretARN, "", "hunter2"); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"hunter2", `{"username":"hunter2"}`, `{"password":"hunter2"}`, `{"username":"hunter2","password":7}`, `["hunter2"]`, `{"username":"","password":"hunter2"}`} {
		if err := p.store.Put(secretARN, value); err != nil {
			t.Fatal(err)
		}
		user, password, err := p.secrets.Login(t.Context(), secretARN)
		if err == nil || user != "" || password != "" || !strings.Contains(err.Error(), secretARN) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %q, %q, %v, want an error that names the secret and holds nothing of it", value, user, password, err)
		}
	}
	if _, _, err := p.secrets.Login(t.Context(), strings.Replace(secretARN, "loader", "none", 1)); err == nil || !strings.Contains(err.Error(), "read secret") {
		t.Errorf("got %v, want a secret that is not there", err)
	}
}
