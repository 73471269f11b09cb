package esm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"godwit/internal/local/asl"
	"godwit/internal/local/esm"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/lambda"
	"godwit/internal/local/s3"
)

const (
	account  = "111122223333"
	region   = "us-east-1"
	stream   = "arn:aws:kinesis:us-east-1:111122223333:stream/changes"
	function = "arn:aws:lambda:us-east-1:111122223333:function:apply"
	role     = "arn:aws:iam::111122223333:role/apply"
	operator = "arn:aws:iam::111122223333:role/operator"
	key      = "arn:aws:kms:us-east-1:111122223333:key/1"
	id       = "5d0b1cb1-7b0c-4b3c-9a3a-0e6f1c2d3e4f"
	mapping  = "arn:aws:lambda:us-east-1:111122223333:event-source-mapping:" + id
)

// What the function's role needs.
var (
	reads    = []string{"kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:ListShards kinesis:GetShardIterator kinesis:GetRecords", stream}
	decrypts = []string{"kms:Decrypt", key}
	stores   = []string{"s3:PutObject", "arn:aws:s3:::failures/*", "s3:ListBucket", "arn:aws:s3:::failures"}
)

// A call is one invocation of the function.
type call struct {
	Shard string
	Data  []string
}

// A world is an account with a stream, a function and a bucket.
type world struct {
	t        *testing.T
	clock    asl.Clock
	kinesis  *kinesis.Service
	gateway  *gateway.Gateway
	judge    *iam.Judge
	s3       *s3.Service
	mappings *esm.Service

	mu      sync.Mutex
	calls   []call
	handler func(events.KinesisEvent) (any, error)
}

// config is what a test may choose.
type config struct {
	stream  kinesis.Stream
	clock   asl.Clock // nil leaps over waits within a millisecond
	hostNow func() time.Time
	role    [][]string // permissions of the function's role; nil is all it needs
	fault   func(esm.Delivery) esm.Fault
	handler func(events.KinesisEvent) (any, error) // nil succeeds
}

func start(t *testing.T, c config) *world {
	t.Helper()
	w := &world{t: t, judge: iam.New(account, region), clock: c.clock, handler: c.handler}
	if w.clock == nil {
		w.clock = &asl.FastClock{Longest: time.Millisecond}
	}
	if c.role == nil {
		c.role = [][]string{reads, decrypts, stores}
	}
	w.must(w.judge.AddRole(role, policy(slices.Concat(c.role...)...), trust))
	w.must(w.judge.AddRole(operator, policy("lambda:ListEventSourceMappings", "*", "lambda:GetEventSourceMapping lambda:UpdateEventSourceMapping", mapping), trust))
	var err error
	w.gateway, err = gateway.New(gateway.Config{Authorizer: w.judge})
	w.must(err)
	t.Cleanup(func() { _ = w.gateway.Close() })
	w.s3, err = s3.New(s3.Config{Account: account, Region: region})
	w.must(err)
	w.must(w.s3.CreateBucket(s3.Bucket{Name: "failures", Region: region}))
	w.gateway.Register("s3", w.s3)
	w.kinesis, err = kinesis.New(kinesis.Config{Account: account, Region: region, Now: w.clock.Now})
	w.must(err)
	c.stream.Name, c.stream.KMSKey = "changes", key
	w.must(w.kinesis.Create(c.stream))
	w.mappings, err = esm.New(esm.Config{
		Account: account, Region: region, Kinesis: w.kinesis, Gateway: w.gateway, Functions: w, Objects: w, Clock: w.clock, HostNow: c.hostNow, Fault: c.fault,
	})
	w.must(err)
	t.Cleanup(w.mappings.Close)
	w.gateway.Register("lambda", w.mappings)
	return w
}

var trust = map[string]any{"Statement": map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}}

// policy has one statement per pair of actions and resource.
func policy(pairs ...string) any {
	statements := []any{}
	for i := 0; i < len(pairs); i += 2 {
		list := []any{}
		for _, action := range strings.Fields(pairs[i]) {
			list = append(list, action)
		}
		statements = append(statements, map[string]any{"Effect": "Allow", "Action": list, "Resource": pairs[i+1]})
	}
	return map[string]any{"Statement": statements}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// create makes the mapping with settings over the defaults that AWS has.
func (w *world) create(over func(*esm.Mapping)) {
	w.t.Helper()
	m := esm.Mapping{
		UUID: id, FunctionARN: function, Role: role, StreamARN: stream, Position: kinesis.TrimHorizon,
		Settings: esm.Settings{Enabled: true, BatchSize: 100, Parallel: 1, Retries: -1},
	}
	if over != nil {
		over(&m)
	}
	w.must(w.mappings.Create(m))
}

// Invoke is the function.
func (w *world) Invoke(_ context.Context, arn string, payload []byte) ([]byte, error) {
	if arn != function || len(payload) > lambda.MaxPayload {
		return nil, fmt.Errorf("%s was invoked with %d bytes", arn, len(payload))
	}
	var e events.KinesisEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	c := call{Shard: strings.SplitN(e.Records[0].EventID, ":", 2)[0]}
	for _, r := range e.Records {
		text := string(r.Kinesis.Data)
		c.Data = append(c.Data, text[:min(len(text), 20)])
	}
	w.mu.Lock()
	w.calls = append(w.calls, c)
	handler := w.handler
	w.mu.Unlock()
	if handler == nil {
		return []byte("null"), nil
	}
	answer, err := handler(e)
	if err != nil {
		var e *lambda.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, &lambda.Error{Type: "errorString", Message: err.Error()}
	}
	if raw, ok := answer.(json.RawMessage); ok {
		return raw, nil
	}
	return json.Marshal(answer)
}

// Put is S3 as a role.
func (w *world) Put(ctx context.Context, role, bucket, key string, body []byte) error {
	_, err := w.objects(w.gateway.Issue(role, nil)).PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
	return err
}

func (w *world) objects(k gateway.Credentials) *awss3.Client {
	return awss3.New(awss3.Options{Region: region, BaseEndpoint: aws.String(w.gateway.URL()), UsePathStyle: true, Credentials: provider(k), Retryer: once()})
}

func (w *world) lambda() *sdk.Client {
	return sdk.New(sdk.Options{Region: region, BaseEndpoint: aws.String(w.gateway.URL()), Credentials: provider(w.gateway.Issue(operator, nil)), Retryer: once()})
}

func provider(k gateway.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
	})
}

func once() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 1) }

// put stores one record for each text; the partition key is the text's part
// before a slash.
func (w *world) put(texts ...string) []kinesis.Result {
	w.t.Helper()
	var all []kinesis.Result
	for part := range slices.Chunk(texts, 500) {
		var entries []kinesis.Entry
		for _, text := range part {
			partitionKey, _, _ := strings.Cut(text, "/")
			entries = append(entries, kinesis.Entry{PartitionKey: partitionKey, Data: []byte(text)})
		}
		results, err := w.kinesis.Put("changes", entries...)
		w.must(err)
		all = append(all, results...)
	}
	return all
}

// drain waits until nothing moves; a stall is the test's end.
func (w *world) drain() {
	w.t.Helper()
	if err := w.stall(); err != nil {
		w.t.Fatal(err)
	}
}

// stall waits until nothing moves and returns what stands still.
func (w *world) stall() *esm.StalledError {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := w.mappings.Drain(ctx)
	var stalled *esm.StalledError
	if err != nil && !errors.As(err, &stalled) {
		w.t.Fatalf("drain: %v", err)
	}
	return stalled
}

// made are the invocations so far.
func (w *world) made() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// batches are the invocations' records, joined by commas.
func (w *world) batches() []string {
	list := []string{}
	for _, c := range w.made() {
		list = append(list, strings.Join(c.Data, ","))
	}
	return list
}

func (w *world) handle(h func(events.KinesisEvent) (any, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

// A failed object is what the destination holds.
type failed struct {
	Key            string
	RequestContext struct {
		FunctionArn, Condition string
		ApproximateInvokeCount int
	}
	ResponseContext  *struct{ FunctionError string }
	Version          string
	KinesisBatchInfo struct {
		ShardID, StartSequenceNumber, EndSequenceNumber, StreamArn string
		BatchSize                                                  int
	}
	Payload string
}

// failures are the objects in the bucket, in the order of their keys' shards and
// sequence numbers.
func (w *world) failures() []failed {
	w.t.Helper()
	ctx := context.Background()
	client := w.objects(w.gateway.Root())
	list, err := client.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: aws.String("failures")})
	w.must(err)
	var all []failed
	for _, o := range list.Contents {
		out, err := client.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String("failures"), Key: o.Key})
		w.must(err)
		body, err := io.ReadAll(out.Body)
		w.must(err)
		f := failed{Key: *o.Key}
		w.must(json.Unmarshal(body, &f))
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b failed) int {
		return strings.Compare(a.KinesisBatchInfo.ShardID+a.KinesisBatchInfo.StartSequenceNumber, b.KinesisBatchInfo.ShardID+b.KinesisBatchInfo.StartSequenceNumber)
	})
	return all
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// names are n texts with one partition key.
func names(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("k/%d", i))
	}
	return list
}
