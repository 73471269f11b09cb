package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Kinesis looks at the records of a stream, beside those who read it. It is safe
// for concurrent use.
type Kinesis struct {
	API *kinesis.Client
	// Sleep waits between two reads of a shard, which serves five a second to all
	// of its readers. nil sleeps on the clock.
	Sleep func(context.Context, time.Duration) error
}

// NewKinesis makes the client of a function.
func NewKinesis(cfg aws.Config) *Kinesis { return &Kinesis{API: kinesis.NewFromConfig(cfg)} }

// Shards returns the ids of a stream's shards, those that are closed and still
// hold records among them.
func (k *Kinesis) Shards(ctx context.Context, streamARN string) (ids []string, err error) {
	in := &kinesis.ListShardsInput{StreamARN: aws.String(streamARN)}
	for {
		out, err := k.API.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the shards of %s: %w", streamARN, err)
		}
		for _, s := range out.Shards {
			ids = append(ids, aws.ToString(s.ShardId))
		}
		if out.NextToken == nil {
			return ids, nil
		}
		in = &kinesis.ListShardsInput{StreamARN: aws.String(streamARN), NextToken: out.NextToken}
	}
}

const (
	readPause = 250 * time.Millisecond
	// A read takes a limited stretch of a shard and may find nothing in it while
	// there is more behind. How many are looked through, at 5 a second.
	mostReads = 40
)

// Unread counts the records of a shard behind a sequence number, "" for all that
// the stream still holds. It stops at most, and where the shard is too long to be
// looked through in about ten seconds; more tells that there may be others. foreign
// tells that the shard never gave out the sequence number, as when the stream was
// deleted and made again under its name: all that it holds was counted then.
func (k *Kinesis) Unread(ctx context.Context, streamARN, shard, after string, most int) (n int, more, foreign bool, err error) {
	fail := func(err error) (int, bool, bool, error) {
		return 0, false, false, fmt.Errorf("read shard %s of %s: %w", shard, streamARN, err)
	}
	in := &kinesis.GetShardIteratorInput{StreamARN: aws.String(streamARN), ShardId: aws.String(shard), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if after != "" {
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, aws.String(after)
	}
	at, err := k.API.GetShardIterator(ctx, in)
	var refused *types.InvalidArgumentException
	if after != "" && errors.As(err, &refused) {
		// Refused for whatever else, it is refused again.
		foreign = true
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeTrimHorizon, nil
		at, err = k.API.GetShardIterator(ctx, in)
	}
	if err != nil {
		return fail(err)
	}
	sleep := k.Sleep
	if sleep == nil {
		sleep = sleepClock
	}
	iterator := at.ShardIterator
	for reads := 0; iterator != nil; reads++ {
		if n >= most || reads == mostReads {
			return n, true, foreign, nil
		}
		if reads > 0 {
			if err := sleep(ctx, readPause); err != nil {
				return fail(err)
			}
		}
		out, err := k.API.GetRecords(ctx, &kinesis.GetRecordsInput{StreamARN: aws.String(streamARN), ShardIterator: iterator, Limit: aws.Int32(int32(min(most-n, 10_000)))})
		var busy *types.ProvisionedThroughputExceededException
		if errors.As(err, &busy) {
			continue // others read the shard: the iterator stays good
		}
		if err != nil {
			return fail(err)
		}
		n += len(out.Records)
		if iterator = out.NextShardIterator; aws.ToInt64(out.MillisBehindLatest) == 0 {
			return n, false, foreign, nil
		}
	}
	return n, false, foreign, nil // a closed shard, to its end
}

func sleepClock(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
