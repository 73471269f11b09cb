package qldb

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"godwit/internal/ledgergen"
)

// What the Kinesis Producer Library does with its default settings.
// https://github.com/awslabs/amazon-kinesis-producer: default_config.properties
const (
	aggregateBytes  = 51_200
	collectionCount = 500
	collectionBytes = 5 << 20
)

// A producer writes messages to a Kinesis stream as the producer library does:
// those of one shard share records, and what Kinesis refuses goes out again.
type producer struct {
	service *Service
	stream  *journalStream
	client  *kinesis.Client
	close   func()
	shards  []types.Shard // open ones
	firsts  []*big.Int    // of their hash key ranges
}

// newProducer makes a producer with the credentials of the stream's role.
func (s *Service) newProducer(x *journalStream) *producer {
	k := s.config.Gateway.Issue(x.request.RoleArn, nil)
	return &producer{service: s, stream: x, close: func() { s.config.Gateway.Revoke(k.AccessKeyID) }, client: kinesis.New(kinesis.Options{
		Region: s.config.Region, BaseEndpoint: aws.String(s.config.Gateway.URL()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 5, 50*time.Millisecond }),
	})}
}

// begin sends the message that a stream begins with.
func (p *producer) begin(ctx context.Context) error {
	if err := p.look(ctx); err != nil {
		return err
	}
	m, err := ledgergen.StreamControl(p.stream.arn, "CREATED")
	if err != nil {
		return err
	}
	return p.put(ctx, []ledgergen.StreamMessage{m})
}

// look learns the open shards, in the order of their ranges.
func (p *producer) look(ctx context.Context) error {
	to := p.stream.request.KinesisConfiguration.StreamArn
	p.shards = nil
	for in := (&kinesis.ListShardsInput{StreamARN: &to}); ; {
		out, err := p.client.ListShards(ctx, in)
		if err != nil {
			return err
		}
		p.shards = append(p.shards, out.Shards...)
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{StreamARN: &to, NextToken: out.NextToken}
	}
	p.shards = slices.DeleteFunc(p.shards, func(sh types.Shard) bool { return sh.SequenceNumberRange.EndingSequenceNumber != nil })
	p.firsts = nil
	slices.SortFunc(p.shards, func(a, b types.Shard) int { return first(a).Cmp(first(b)) })
	for _, sh := range p.shards {
		p.firsts = append(p.firsts, first(sh))
	}
	if len(p.shards) == 0 {
		return errors.New("the stream has no open shard")
	}
	return nil
}

// first is where a shard's range begins.
func first(sh types.Shard) *big.Int {
	n, ok := new(big.Int).SetString(aws.ToString(sh.HashKeyRange.StartingHashKey), 10)
	if !ok {
		return new(big.Int) // Kinesis says numbers
	}
	return n
}

// put returns when all messages are in Kinesis. After an error some may be.
func (p *producer) put(ctx context.Context, messages []ledgergen.StreamMessage) error {
	entries, places := p.entries(messages)
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && n < collectionCount {
			size += len(entries[n].Data) + len(*entries[n].PartitionKey)
			if n > 0 && size > collectionBytes {
				break
			}
			n++
		}
		out, err := p.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamARN: &p.stream.request.KinesisConfiguration.StreamArn, Records: entries[:n]})
		if err != nil {
			return err
		}
		var again []types.PutRecordsRequestEntry
		var back []string
		moved := false
		for i, r := range out.Records {
			switch {
			case r.ErrorCode != nil:
				again, back = append(again, entries[i]), append(back, places[i])
			case *r.ShardId != places[i]:
				moved = true // the stream was resharded
			}
		}
		entries, places = append(again, entries[n:]...), append(back, places[n:]...)
		if moved {
			if err := p.look(ctx); err != nil {
				return err
			}
		}
		if len(again) == n { // none got in: do not spin
			select {
			case <-time.After(streamPause):
			case <-ctx.Done():
				return fmt.Errorf("put %d records: %w", n, context.Cause(ctx))
			}
		}
	}
	return nil
}

// entries makes records of messages, and says which shard each is for. A record
// of several messages has the partition key "a" and the hash key of the first.
func (p *producer) entries(messages []ledgergen.StreamMessage) (entries []types.PutRecordsRequestEntry, places []string) {
	open := make([][]ledgergen.StreamMessage, len(p.shards)) // not yet records, by shard
	size := make([]int, len(p.shards))
	flush := func(i int) {
		group := open[i]
		open[i], size[i] = nil, 0
		if len(group) == 0 {
			return
		}
		e := types.PutRecordsRequestEntry{PartitionKey: aws.String(group[0].PartitionKey), Data: group[0].Data}
		if len(group) > 1 {
			e = types.PutRecordsRequestEntry{PartitionKey: aws.String("a"), ExplicitHashKey: aws.String(hash(group[0].PartitionKey).String()), Data: ledgergen.Aggregate(group)}
		}
		entries, places = append(entries, e), append(places, *p.shards[i].ShardId)
	}
	for _, m := range messages {
		i := p.shard(m.PartitionKey)
		length := len(m.Data) + len(m.PartitionKey) + 16 // tags and lengths
		if size[i] > 0 && (size[i]+length > aggregateBytes || !p.stream.request.aggregated()) {
			flush(i)
		}
		open[i] = append(open[i], m)
		size[i] += length
	}
	for i := range open {
		flush(i)
	}
	return entries, places
}

// shard is the index of the shard that a partition key belongs to.
func (p *producer) shard(partitionKey string) int {
	h := hash(partitionKey)
	i, found := slices.BinarySearchFunc(p.firsts, h, func(first, h *big.Int) int { return first.Cmp(h) })
	if !found {
		i--
	}
	return max(i, 0)
}

func hash(partitionKey string) *big.Int {
	sum := md5.Sum([]byte(partitionKey))
	return new(big.Int).SetBytes(sum[:])
}
