package rds_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"
	"github.com/jackc/pgx/v5"

	"godwit/internal/local/events"
	"godwit/internal/local/export"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/rds"
	"godwit/internal/local/s3"
	"godwit/internal/testdb"
)

const (
	account  = "111122223333"
	region   = "us-east-1"
	source   = "arn:aws:rds:us-east-1:111122223333:cluster:storefront"
	instance = "arn:aws:rds:us-east-1:111122223333:db:storefront-1"
	caller   = "arn:aws:iam::111122223333:role/caller"
	writer   = "arn:aws:iam::111122223333:role/writer"
	stranger = "arn:aws:iam::111122223333:role/stranger"
	key      = "arn:aws:kms:us-east-1:111122223333:key/1"
)

// A clock that a test moves on: Sleep returns when it has been moved far enough.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	sleeper map[chan struct{}]time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC), sleeper: map[chan struct{}]time.Time{}}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	until := make(chan struct{})
	c.sleeper[until] = c.now.Add(d)
	c.mu.Unlock()
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.sleeper, until)
		c.mu.Unlock()
		return context.Cause(ctx)
	}
}

// advance moves the clock, once somebody waits for it.
func (c *clock) advance(t *testing.T, d time.Duration) {
	t.Helper()
	for range 4000 {
		c.mu.Lock()
		if len(c.sleeper) > 0 {
			c.now = c.now.Add(d)
			for until, at := range c.sleeper {
				if !c.now.Before(at) {
					close(until)
					delete(c.sleeper, until)
				}
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("nobody waits for the clock")
}

// A world is an RDS, an S3 and a judge behind one gateway, and a database.
type world struct {
	t       *testing.T
	rds     *rds.Service
	s3      *s3.Service
	judge   *iam.Judge
	gateway *gateway.Gateway
	clock   *clock
	db      *testdb.DB

	mu     sync.Mutex
	events []events.Event
	broken string // why exports fail
	faults func(gateway.Call) gateway.Fault
}

// policy has one statement per pair of actions and resource.
func policy(pairs ...string) any {
	var statements []any
	for i := 0; i < len(pairs); i += 2 {
		var list []any
		for _, a := range strings.Fields(pairs[i]) {
			list = append(list, a)
		}
		statements = append(statements, map[string]any{"Effect": "Allow", "Action": list, "Resource": pairs[i+1]})
	}
	return map[string]any{"Statement": statements}
}

func trusts(service string) any {
	return map[string]any{"Statement": map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"Service": service}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": account}},
	}}
}

// The rights of the roles.
var (
	calls   = []string{"rds:*", "*", "iam:PassRole", "arn:aws:iam::111122223333:role/*", "kms:DescribeKey kms:CreateGrant", key}
	objects = "arn:aws:s3:::exports/p/*"
	writes  = []string{"s3:PutObject s3:GetObject s3:DeleteObject", objects, "s3:ListBucket s3:GetBucketLocation", "arn:aws:s3:::exports"}
)

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, judge: iam.New(account, region), clock: newClock(), db: testdb.New(t)}
	w.must(w.judge.AddRole(caller, policy(calls...), trusts("lambda.amazonaws.com")))
	w.must(w.judge.AddRole(writer, policy(writes...), trusts("export.rds.amazonaws.com")))
	w.must(w.judge.AddRole(stranger, policy(writes...), trusts("rds.amazonaws.com")))
	var err error
	w.gateway, err = gateway.New(gateway.Config{Authorizer: w.judge, Fault: func(c gateway.Call) gateway.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.faults == nil {
			return gateway.None
		}
		return w.faults(c)
	}})
	w.must(err)
	t.Cleanup(func() { _ = w.gateway.Close() })
	w.s3, err = s3.New(s3.Config{Account: account, Region: region})
	w.must(err)
	w.must(w.s3.CreateBucket(s3.Bucket{Name: "exports"}))
	w.must(w.s3.CreateBucket(s3.Bucket{Name: "abroad", Region: "eu-central-1"}))
	w.rds, err = rds.New(rds.Config{
		Account: account, Region: region, Clock: w.clock, Judge: w.judge, Objects: w.s3, Style: export.Style{Seed: 1},
		Publish: func(e events.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
		Broken: func(string) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.broken
		},
	})
	w.must(err)
	t.Cleanup(w.rds.Close)
	w.gateway.Register("rds", w.rds)
	w.exec(`CREATE TABLE numbers (id integer PRIMARY KEY); INSERT INTO numbers SELECT generate_series(1, 10)`)
	w.rds.Set(rds.Cluster{ID: "storefront", ARN: source, Engine: "aurora-postgresql", Status: "available", Databases: w.databases()})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string) {
	w.t.Helper()
	db, err := pgx.Connect(w.t.Context(), w.db.AdminDSN)
	w.must(err)
	_, err = db.PgConn().Exec(w.t.Context(), sql).ReadAll()
	w.must(errors.Join(err, db.Close(context.Background())))
}

func (w *world) databases() []export.Database {
	return []export.Database{{Name: "app", DSN: w.db.SuperuserDSN, Master: w.db.Master}}
}

// snapshot makes one of the cluster.
func (w *world) snapshot(id string) string {
	w.t.Helper()
	arn, err := w.rds.CreateSnapshot(w.t.Context(), rds.Snapshot{ID: id, SourceARN: source, Tags: map[string]string{"godwit": "export", "Name": id}, Databases: w.databases()})
	w.must(err)
	return arn
}

// client is the SDK's own client with the credentials of the caller.
func (w *world) client() *sdk.Client {
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(w.gateway.URL()), Retryer: aws.NopRetryer{}, Credentials: credentials(w.gateway.Issue(caller, nil)),
	})
}

func credentials(k gateway.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
	})
}

func (w *world) fault(f func(gateway.Call) gateway.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = f
}

// request asks for an export of a source to exports/p.
func request(id, arn string) *sdk.StartExportTaskInput {
	return &sdk.StartExportTaskInput{
		ExportTaskIdentifier: aws.String(id), SourceArn: aws.String(arn), S3BucketName: aws.String("exports"), S3Prefix: aws.String("p"), IamRoleArn: aws.String(writer), KmsKeyId: aws.String(key),
	}
}

func (w *world) start(in *sdk.StartExportTaskInput) *sdk.StartExportTaskOutput {
	w.t.Helper()
	out, err := w.client().StartExportTask(w.t.Context(), in)
	w.must(err)
	return out
}

// task describes an export once it has a status, or is past it.
func (w *world) task(id, status string) types.ExportTask {
	w.t.Helper()
	var last types.ExportTask
	for range 4000 {
		out, err := w.client().DescribeExportTasks(w.t.Context(), &sdk.DescribeExportTasksInput{ExportTaskIdentifier: &id})
		w.must(err)
		if last = out.ExportTasks[0]; *last.Status == status {
			return last
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("export %s is %s, not %s", id, *last.Status, status)
	return last
}

// heard are the numbers of the events so far.
func (w *world) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for _, e := range w.events {
		_, id, _ := strings.Cut(string(e.Detail), `"EventID":"RDS-EVENT-`)
		ids = append(ids, id[:4])
	}
	return strings.Join(ids, " ")
}

// refused checks an error's code, and that its text says what it should.
func refused(t *testing.T, what string, err error, code, text string) {
	t.Helper()
	var answer smithy.APIError
	if !errors.As(err, &answer) || answer.ErrorCode() != code || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %s with %q", what, err, code, text)
	}
}
