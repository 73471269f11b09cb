package kinesis_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/kinesis"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	name    = "changes"
	arn     = "arn:aws:kinesis:us-east-1:111122223333:stream/changes"
	key     = "arn:aws:kms:us-east-1:111122223333:key/1"
)

var ctx = context.Background()

// A world is a Kinesis and a judge behind a gateway, on a clock that stands.
type world struct {
	t       *testing.T
	kinesis *kinesis.Service
	judge   *iam.Judge
	gateway *gateway.Gateway
	client  *sdk.Client // of the root user

	mu     sync.Mutex
	now    time.Time
	refuse func(partitionKey string) string
}

func start(t *testing.T, streams ...kinesis.Stream) *world {
	t.Helper()
	w := &world{t: t, judge: iam.New(account, region), now: time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)}
	var err error
	w.gateway, err = gateway.New(gateway.Config{Authorizer: w.judge})
	w.must(err)
	t.Cleanup(func() { _ = w.gateway.Close() })
	w.kinesis, err = kinesis.New(kinesis.Config{
		Account: account, Region: region,
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		},
		Refuse: func(_, partitionKey string) string {
			if w.refuse == nil {
				return ""
			}
			return w.refuse(partitionKey)
		},
	})
	w.must(err)
	for _, st := range streams {
		w.must(w.kinesis.Create(st))
	}
	w.gateway.Register("kinesis", w.kinesis)
	w.client = w.as(w.gateway.Root())
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// as is the SDK's own client, without retries.
func (w *world) as(k gateway.Credentials) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(w.gateway.URL()), Retryer: retry.AddWithMaxAttempts(retry.NewStandard(), 1),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
	})
}

func (w *world) put(partitionKey, data string) *sdk.PutRecordOutput {
	w.t.Helper()
	out, err := w.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: aws.String(name), PartitionKey: &partitionKey, Data: []byte(data)})
	w.must(err)
	return out
}

func (w *world) shards(in *sdk.ListShardsInput) []types.Shard {
	w.t.Helper()
	if in.StreamName == nil && in.NextToken == nil {
		in.StreamName = aws.String(name)
	}
	out, err := w.client.ListShards(ctx, in)
	w.must(err)
	return out.Shards
}

func (w *world) iterator(in *sdk.GetShardIteratorInput) string {
	w.t.Helper()
	in.StreamName = aws.String(name)
	out, err := w.client.GetShardIterator(ctx, in)
	w.must(err)
	return *out.ShardIterator
}

func (w *world) read(iterator string) *sdk.GetRecordsOutput {
	w.t.Helper()
	out, err := w.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &iterator})
	w.must(err)
	return out
}

// data are the records' data.
func data(out *sdk.GetRecordsOutput) []string {
	list := []string{}
	for _, r := range out.Records {
		list = append(list, string(r.Data))
	}
	return list
}

// code is an error's name in the service's words; "" is none.
func code(err error) string {
	var api smithy.APIError
	if err == nil {
		return ""
	}
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return err.Error()
}
