package qldb_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/qldb"
	"godwit/internal/stream"
)

const (
	changes  = "arn:aws:kinesis:us-east-1:111122223333:stream/changes"
	streamer = "arn:aws:iam::111122223333:role/streamer"
)

// streaming is a world with a Kinesis stream of three shards, and the role that
// QLDB writes to it with.
func streaming(t *testing.T, disorder uint64, refuse func(string) string, ledgers ...qldb.Ledger) (*world, *kinesis.Service) {
	t.Helper()
	w := startWith(t, disorder, ledgers...)
	must(t, w.judge.AddRole(streamer, policy("kinesis:ListShards kinesis:PutRecords", changes), trusts("qldb.amazonaws.com")))
	k, err := kinesis.New(kinesis.Config{Account: account, Region: region, Refuse: func(_, partitionKey string) string {
		if refuse == nil {
			return ""
		}
		return refuse(partitionKey)
	}})
	must(t, err)
	must(t, k.Create(kinesis.Stream{Name: "changes", Shards: 3}))
	w.gateway.Register("kinesis", k)
	return w, k
}

func (w *world) streamRequest(ledger, name string) *sdk.StreamJournalToKinesisInput {
	return &sdk.StreamJournalToKinesisInput{
		LedgerName: &ledger, StreamName: &name, RoleArn: aws.String(streamer), InclusiveStartTime: aws.Time(time.Unix(0, 0)),
		KinesisConfiguration: &types.KinesisConfiguration{StreamArn: aws.String(changes)},
	}
}

// received reads all shards of the stream and takes the records apart. The
// messages' bytes are keys, how often each came values.
func received(t *testing.T, k *kinesis.Service) (messages map[string]int, records, aggregates, shards int) {
	t.Helper()
	messages, seen := map[string]int{}, map[string]bool{}
	eachRecord(t, k, func(sh kinesis.Shard, r kinesis.Record) {
		seen[sh.ID] = true
		records++
		split := stream.Split(r.Data)
		if split[0].PartitionKey != nil {
			aggregates++
		}
		for _, m := range split {
			messages[string(m.Data)]++
		}
	})
	return messages, records, aggregates, len(seen)
}

// eachRecord reads every shard from its beginning on.
func eachRecord(t *testing.T, k *kinesis.Service, f func(kinesis.Shard, kinesis.Record)) {
	t.Helper()
	all, err := k.Shards("changes")
	must(t, err)
	for _, sh := range all {
		it, err := k.Iterator("changes", sh.ID, kinesis.Start{Type: kinesis.TrimHorizon})
		must(t, err)
		read, err := k.Records(it, 0)
		must(t, err)
		for _, r := range read.Records {
			f(sh, r)
		}
	}
}

// told is what a ledger's blocks say in a stream.
func told(t *testing.T, w *world, ledger, arn string, from, to int64) []string {
	t.Helper()
	var all []string
	for n := from; n < to; n++ {
		b, err := w.qldb.Journal(ledger).Block(n)
		must(t, err)
		messages, err := b.Stream(arn)
		must(t, err)
		for _, m := range messages {
			all = append(all, string(m.Data))
		}
	}
	return all
}

func TestStreamsTellEachBlockAsTheLedgerGrows(t *testing.T) {
	for _, c := range []struct {
		name     string
		disorder uint64
		plain    bool
		refuses  bool
	}{{name: "in order"}, {name: "in disorder", disorder: 7}, {name: "not aggregated", plain: true}, {name: "refused now and then", refuses: true}} {
		t.Run(c.name, func(t *testing.T) {
			l := small("my-ledger")
			l.Visible = 31
			puts := 0
			w, k := streaming(t, c.disorder, func(string) string {
				if puts++; c.refuses && puts%3 == 2 {
					return "ProvisionedThroughputExceededException"
				}
				return ""
			}, l)
			client := w.client(caller)
			in := w.streamRequest(l.Name, "changes")
			if c.plain {
				in.KinesisConfiguration.AggregationEnabled = aws.Bool(false)
			}
			out, err := client.StreamJournalToKinesis(t.Context(), in)
			must(t, err)
			must(t, w.qldb.Streamed(t.Context(), l.Name))
			_, err = w.qldb.Grow(l.Name, 20)
			must(t, err)
			must(t, w.qldb.Streamed(t.Context(), l.Name))
			d, err := client.DescribeJournalKinesisStream(t.Context(), &sdk.DescribeJournalKinesisStreamInput{LedgerName: &l.Name, StreamId: out.StreamId})
			must(t, err)
			if d.Stream.Status != types.StreamStatusActive || *d.Stream.StreamName != "changes" || *d.Stream.KinesisConfiguration.AggregationEnabled == c.plain {
				t.Errorf("got %+v", d.Stream)
			}
			want := map[string]int{}
			created, err := ledgergen.StreamControl(*d.Stream.Arn, "CREATED")
			must(t, err)
			for _, text := range append(told(t, w, l.Name, *d.Stream.Arn, 0, 51), string(created.Data)) {
				want[text]++
			}
			got, records, aggregates, shards := received(t, k)
			twice := 0
			for text, n := range got {
				if n > 1 && c.disorder != 0 {
					twice++
					got[text] = 1
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d messages of %d are there, or other ones", len(got), len(want))
			}
			if c.plain != (aggregates == 0) || shards != 3 || c.plain && records != len(want) {
				t.Errorf("%d records, %d of them aggregates, in %d shards", records, aggregates, shards)
			}
			if (c.disorder != 0) != (twice > 0) {
				t.Errorf("%d messages came twice", twice)
			}
		})
	}
}

func TestAggregatesFollowTheShards(t *testing.T) {
	l := small("my-ledger")
	l.Visible = 10
	w, k := streaming(t, 0, nil, l)
	out, err := w.client(caller).StreamJournalToKinesis(t.Context(), w.streamRequest(l.Name, "changes"))
	must(t, err)
	must(t, w.qldb.Streamed(t.Context(), l.Name))
	all, err := k.Shards("changes")
	must(t, err)
	_, err = k.Split("changes", all[1].ID)
	must(t, err)
	grow := func() {
		t.Helper()
		_, err = w.qldb.Grow(l.Name, 10)
		must(t, err)
		must(t, w.qldb.Streamed(t.Context(), l.Name))
	}
	grow() // it learns that the shard was split
	before := map[string]int{}
	eachRecord(t, k, func(sh kinesis.Shard, _ kinesis.Record) { before[sh.ID]++ })
	for range 3 {
		grow()
	}
	parts := 0
	eachRecord(t, k, func(sh kinesis.Shard, r kinesis.Record) {
		if before[sh.ID]--; before[sh.ID] >= 0 {
			return
		}
		for _, m := range stream.Split(r.Data) {
			if m.PartitionKey == nil {
				continue
			}
			sum := md5.Sum(m.PartitionKey)
			place, first, last := new(big.Int).SetBytes(sum[:]), new(big.Int), new(big.Int)
			first.SetString(sh.FirstHash, 10)
			last.SetString(sh.LastHash, 10)
			if parts++; place.Cmp(first) < 0 || place.Cmp(last) > 0 {
				t.Errorf("a message in %s has its key outside of the shard", sh.ID)
			}
		}
	})
	if parts == 0 {
		t.Error("nothing was aggregated")
	}
	got, _, _, shards := received(t, k)
	want := told(t, w, l.Name, "arn:aws:qldb:us-east-1:111122223333:stream/my-ledger/"+*out.StreamId, 0, 50)
	if len(got) != len(want)+1 || shards != 5 {
		t.Errorf("%d messages in %d shards, want %d in 5", len(got), shards, len(want)+1)
	}
}

func TestStreamsEnd(t *testing.T) {
	l := small("my-ledger")
	l.Visible = 20
	w, k := streaming(t, 0, nil, l)
	client := w.client(caller)
	in := w.streamRequest(l.Name, "until")
	in.InclusiveStartTime, in.ExclusiveEndTime = aws.Time(w.qldb.Journal(l.Name).At(5)), aws.Time(w.qldb.Journal(l.Name).At(15))
	until, err := client.StreamJournalToKinesis(t.Context(), in)
	must(t, err)
	open, err := client.StreamJournalToKinesis(t.Context(), w.streamRequest(l.Name, "open"))
	must(t, err)
	_, err = client.StreamJournalToKinesis(t.Context(), w.streamRequest(l.Name, "open"))
	refused(t, "a second stream of a name", err, "ResourcePreconditionNotMetException", "active stream")
	must(t, w.qldb.Streamed(t.Context(), l.Name))
	_, err = client.CancelJournalKinesisStream(t.Context(), &sdk.CancelJournalKinesisStreamInput{LedgerName: &l.Name, StreamId: open.StreamId})
	must(t, err)
	_, err = w.qldb.Grow(l.Name, 5)
	must(t, err)
	must(t, w.qldb.Streamed(t.Context(), l.Name))
	list, err := client.ListJournalKinesisStreamsForLedger(t.Context(), &sdk.ListJournalKinesisStreamsForLedgerInput{LedgerName: &l.Name})
	must(t, err)
	var states []string
	for _, d := range list.Streams {
		states = append(states, *d.StreamName+" "+string(d.Status))
	}
	if diff := cmp.Diff([]string{"until COMPLETED", "open CANCELED"}, states); diff != "" {
		t.Error(diff)
	}
	prefix := "arn:aws:qldb:us-east-1:111122223333:stream/my-ledger/"
	want := append(told(t, w, l.Name, prefix+*until.StreamId, 5, 15), told(t, w, l.Name, prefix+*open.StreamId, 0, 20)...)
	for _, c := range [][2]string{{*until.StreamId, "CREATED"}, {*until.StreamId, "COMPLETED"}, {*open.StreamId, "CREATED"}} {
		m, err := ledgergen.StreamControl(prefix+c[0], c[1])
		must(t, err)
		want = append(want, string(m.Data))
	}
	got, _, _, _ := received(t, k)
	for _, text := range want {
		if got[text] != 1 {
			t.Errorf("message %s came %d times", hex.EncodeToString([]byte(text))[:20], got[text])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d messages, want %d", len(got), len(want))
	}
}

func TestStreamsThatCannotWriteSaySo(t *testing.T) {
	l := small("my-ledger")
	l.Visible = 20
	sick := false
	w, k := streaming(t, 0, func(string) string {
		if sick {
			return "InternalFailure"
		}
		return ""
	}, l)
	client := w.client(caller)
	in := w.streamRequest(l.Name, "changes")
	in.RoleArn = aws.String(writer) // it may write to S3, not to Kinesis
	_, err := client.StreamJournalToKinesis(t.Context(), in)
	refused(t, "a role that may not write", err, "InvalidParameterException", "kinesis:ListShards")
	in = w.streamRequest(l.Name, "changes")
	in.KinesisConfiguration.StreamArn = aws.String(changes + "2")
	_, err = client.StreamJournalToKinesis(t.Context(), in)
	refused(t, "a stream that is not there", err, "InvalidParameterException", "changes2")
	_, err = client.StreamJournalToKinesis(t.Context(), w.streamRequest(l.Name, "changes"))
	must(t, err)
	must(t, w.qldb.Streamed(t.Context(), l.Name))
	// Records that Kinesis refuses for long keep the stream waiting, not lost.
	sick = true
	_, err = w.qldb.Grow(l.Name, 10)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := w.qldb.Streamed(ctx, l.Name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v while Kinesis refuses everything", err)
	}
	must(t, w.qldb.Close())
	if got, _, _, _ := received(t, k); len(got) == 0 {
		t.Error("nothing was sent before")
	}
}
