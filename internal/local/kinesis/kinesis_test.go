package kinesis_test

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/kinesis"
)

func TestKeysGoToTheShardOfTheirHash(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, OnDemand: true})
	shards := w.shards(&sdk.ListShardsInput{})
	if len(shards) != 4 {
		t.Fatalf("got %d shards, want the 4 of an on-demand stream", len(shards))
	}
	next := new(big.Int)
	for _, sh := range shards {
		first, last := number(t, *sh.HashKeyRange.StartingHashKey), number(t, *sh.HashKeyRange.EndingHashKey)
		if first.Cmp(next) != 0 || last.Cmp(first) < 0 {
			t.Errorf("%s has the range %s to %s: the ranges leave no key out, and want %s first", *sh.ShardId, first, last, next)
		}
		next = last.Add(last, big.NewInt(1))
	}
	if want := new(big.Int).Lsh(big.NewInt(1), 128); next.Cmp(want) != 0 {
		t.Errorf("the last range ends before %s, want %s", next, want)
	}
	// MD5("a") begins with 0c, MD5("b") with 92, MD5("c") with 4a, MD5("1") with c4.
	for partitionKey, want := range map[string]int{"a": 0, "c": 1, "b": 2, "1": 3} {
		if got := w.put(partitionKey, "x").ShardId; *got != *shards[want].ShardId {
			t.Errorf("key %s went to %s, want shard %d", partitionKey, *got, want)
		}
	}
	out, err := w.client.PutRecord(ctx, &sdk.PutRecordInput{StreamARN: aws.String(arn), PartitionKey: aws.String("a"), Data: []byte("x"), ExplicitHashKey: shards[2].HashKeyRange.EndingHashKey})
	w.must(err)
	if *out.ShardId != *shards[2].ShardId {
		t.Errorf("the explicit hash key went to %s, want %s", *out.ShardId, *shards[2].ShardId)
	}
}

func number(t *testing.T, text string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return n
}

func TestRecordsComeInOrderByteForByte(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1})
	blob := append([]byte{0xf3, 0x89, 0x9a, 0xc2}, bytes.Repeat([]byte{0, 0xff, '"'}, 100)...) // begins as a KPL aggregate
	var entries []types.PutRecordsRequestEntry
	for i := range 300 {
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint(i % 7)), Data: append(slices.Clone(blob), byte(i))})
	}
	put, err := w.client.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: aws.String(name), Records: entries})
	w.must(err)
	out := w.read(w.iterator(&sdk.GetShardIteratorInput{ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}))
	last := ""
	for i, r := range out.Records {
		if len(*r.SequenceNumber) != 56 || *r.SequenceNumber <= last || *r.SequenceNumber != *put.Records[i].SequenceNumber {
			t.Fatalf("record %d has the sequence number %s behind %s, and %s when it was put", i, *r.SequenceNumber, last, *put.Records[i].SequenceNumber)
		}
		last = *r.SequenceNumber
		if !bytes.Equal(r.Data, entries[i].Data) || *r.PartitionKey != *entries[i].PartitionKey {
			t.Fatalf("record %d is not what was put", i)
		}
		if !r.ApproximateArrivalTimestamp.Equal(w.now) {
			t.Fatalf("record %d arrived at %s, want %s", i, r.ApproximateArrivalTimestamp, w.now)
		}
	}
	if len(out.Records) != 300 || out.NextShardIterator == nil || *out.MillisBehindLatest != 0 {
		t.Errorf("got %d records, next %v, %d ms behind: want 300, more to come, and the tip", len(out.Records), out.NextShardIterator, *out.MillisBehindLatest)
	}
}

func TestIteratorsBeginWhereTheySay(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1})
	shard := aws.String("shardId-000000000000")
	var numbers []*string
	var times []time.Time
	for _, text := range []string{"a", "b", "c"} {
		w.later(time.Second)
		times = append(times, w.now)
		numbers = append(numbers, w.put("k", text).SequenceNumber)
	}
	w.later(time.Second)
	for _, c := range []struct {
		name string
		in   sdk.GetShardIteratorInput
		want string
	}{
		{"trim horizon", sdk.GetShardIteratorInput{ShardIteratorType: "TRIM_HORIZON"}, "a b c d"},
		{"latest", sdk.GetShardIteratorInput{ShardIteratorType: "LATEST"}, "d"},
		{"at b", sdk.GetShardIteratorInput{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: numbers[1]}, "b c d"},
		{"after b", sdk.GetShardIteratorInput{ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: numbers[1]}, "c d"},
		{"after c", sdk.GetShardIteratorInput{ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: numbers[2]}, "d"},
		{"at b's time", sdk.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP", Timestamp: &times[1]}, "b c d"},
		{"just behind b's time", sdk.GetShardIteratorInput{ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(times[1].Add(time.Millisecond))}, "c d"},
	} {
		c.in.ShardId = shard
		w.later(time.Second) // five calls a second
		it := w.iterator(&c.in)
		if c.name == "trim horizon" {
			w.later(time.Second)
			w.put("k", "d")
		}
		if c.name == "latest" {
			// d is there already: nothing comes until something is put.
			if got := data(w.read(it)); len(got) != 0 {
				t.Errorf("%s: got %v, want nothing", c.name, got)
			}
			continue
		}
		if got := strings.Join(data(w.read(it)), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestIteratorsAndArgumentsAreRefusedByTheirNames(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1}, kinesis.Stream{Name: "other", Shards: 1})
	shard := aws.String("shardId-000000000000")
	other, err := w.kinesis.Put("other", kinesis.Entry{PartitionKey: "k"})
	w.must(err)
	it := w.iterator(&sdk.GetShardIteratorInput{ShardId: shard, ShardIteratorType: "TRIM_HORIZON"})
	iterate := func(in sdk.GetShardIteratorInput) func() error {
		return func() error { _, err := w.client.GetShardIterator(ctx, &in); return err }
	}
	put := func(in sdk.PutRecordInput) func() error {
		in.StreamName = aws.String(name)
		return func() error { _, err := w.client.PutRecord(ctx, &in); return err }
	}
	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"no such stream", iterate(sdk.GetShardIteratorInput{StreamName: aws.String("none"), ShardId: shard, ShardIteratorType: "LATEST"}), "ResourceNotFoundException"},
		{"no such shard", iterate(sdk.GetShardIteratorInput{StreamName: aws.String(name), ShardId: aws.String("shardId-000000000009"), ShardIteratorType: "LATEST"}), "ResourceNotFoundException"},
		{"another stream's number", iterate(sdk.GetShardIteratorInput{StreamName: aws.String(name), ShardId: shard, ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: &other[0].Sequence}), "InvalidArgumentException"},
		{"a time to come", iterate(sdk.GetShardIteratorInput{StreamName: aws.String(name), ShardId: shard, ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(w.now.Add(time.Second))}), "InvalidArgumentException"},
		{"a type that is none", iterate(sdk.GetShardIteratorInput{StreamName: aws.String(name), ShardId: shard, ShardIteratorType: "NOW"}), "ValidationException"},
		{"garbage", func() error {
			_, err := w.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: aws.String("AAAA")})
			return err
		}, "InvalidArgumentException"},
		{"too many records", func() error {
			_, err := w.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(10_001)})
			return err
		}, "InvalidArgumentException"},
		{"a long key", put(sdk.PutRecordInput{PartitionKey: aws.String(strings.Repeat("k", 257)), Data: []byte("x")}), "ValidationException"},
		{"a hash key of 129 bits", put(sdk.PutRecordInput{PartitionKey: aws.String("k"), Data: []byte("x"), ExplicitHashKey: aws.String("340282366920938463463374607431768211456")}), "InvalidArgumentException"},
		{"the last hash key", put(sdk.PutRecordInput{PartitionKey: aws.String("k"), Data: []byte("x"), ExplicitHashKey: aws.String("340282366920938463463374607431768211455")}), ""},
		{"a record over 1 MiB", put(sdk.PutRecordInput{PartitionKey: aws.String("k"), Data: make([]byte, 1<<20+1)}), "ValidationException"},
		{"a record of 1 MiB", put(sdk.PutRecordInput{PartitionKey: aws.String("k"), Data: make([]byte, 1<<20)}), ""},
		{"an old iterator", func() error {
			w.later(5*time.Minute + time.Millisecond)
			_, err := w.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it})
			return err
		}, "ExpiredIteratorException"},
	} {
		if got := code(c.call()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if err := w.gateway.Err(); err != nil {
		t.Errorf("the run has stopped: %v", err)
	}
}

func TestReadsHaveTheLimitsOfAShard(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1, MaxRecordKiB: 10 * 1024})
	for range 3 {
		_, err := w.kinesis.Put(name, kinesis.Entry{PartitionKey: "k", Data: make([]byte, 4<<20)})
		w.must(err)
	}
	it := w.iterator(&sdk.GetShardIteratorInput{ShardId: aws.String("shardId-000000000000"), ShardIteratorType: "TRIM_HORIZON"})
	w.later(time.Second)
	out := w.read(it)
	if len(out.Records) != 2 || *out.MillisBehindLatest != 1000 {
		t.Errorf("got %d records of 4 MiB, %d ms behind: 10 MiB hold 2, a second old", len(out.Records), *out.MillisBehindLatest)
	}
	w.later(3 * time.Second)
	if _, err := w.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: out.NextShardIterator}); code(err) != "ProvisionedThroughputExceededException" {
		t.Errorf("got %v 3 s after 8 MiB, which are 4 s of a shard", err)
	}
	w.later(1001 * time.Millisecond)
	out = w.read(*out.NextShardIterator)
	if len(out.Records) != 1 || *out.MillisBehindLatest != 0 {
		t.Errorf("got %d records, %d ms behind; want the last one", len(out.Records), *out.MillisBehindLatest)
	}
	w.later(time.Minute)
	for range 5 {
		out = w.read(*out.NextShardIterator)
	}
	if _, err := w.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: out.NextShardIterator}); code(err) != "ProvisionedThroughputExceededException" {
		t.Errorf("the sixth read of a second: got %v", err)
	}
	w.later(time.Second)
	w.read(*out.NextShardIterator)
}

func TestRefusedRecordsDoNotKeepOthersOut(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1})
	w.refuse = func(partitionKey string) string {
		return map[string]string{"hot": "ProvisionedThroughputExceededException", "sick": "InternalFailure"}[partitionKey]
	}
	var entries []types.PutRecordsRequestEntry
	for _, k := range []string{"a", "hot", "b", "sick", "c"} {
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String(k), Data: []byte(k)})
	}
	out, err := w.client.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: aws.String(name), Records: entries})
	w.must(err)
	var codes []string
	for _, r := range out.Records {
		codes = append(codes, aws.ToString(r.ErrorCode))
	}
	if diff := cmp.Diff([]string{"", "ProvisionedThroughputExceededException", "", "InternalFailure", ""}, codes); diff != "" || *out.FailedRecordCount != 2 {
		t.Errorf("%d failed:\n%s", *out.FailedRecordCount, diff)
	}
	got := data(w.read(w.iterator(&sdk.GetShardIteratorInput{ShardId: aws.String("shardId-000000000000"), ShardIteratorType: "TRIM_HORIZON"})))
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := w.client.PutRecord(ctx, &sdk.PutRecordInput{StreamName: aws.String(name), PartitionKey: aws.String("hot"), Data: []byte("x")}); code(err) != "ProvisionedThroughputExceededException" {
		t.Errorf("PutRecord: got %v", err)
	}
	many := slices.Repeat(entries[:1], 501)
	if _, err := w.client.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: aws.String(name), Records: many}); code(err) != "ValidationException" {
		t.Errorf("501 records: got %v", err)
	}
	big := []types.PutRecordsRequestEntry{}
	for range 11 {
		big = append(big, types.PutRecordsRequestEntry{PartitionKey: aws.String("a"), Data: make([]byte, 1<<20)})
	}
	if _, err := w.client.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: aws.String(name), Records: big}); code(err) != "InvalidArgumentException" {
		t.Errorf("11 MiB: got %v", err)
	}
}

func TestChildrenBeginBehindTheirParents(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 2, OnDemand: true})
	before := w.put("a", "before") // shard 0
	halves, err := w.kinesis.Split(name, *before.ShardId)
	w.must(err)
	after := w.put("a", "after")
	if *after.ShardId != halves[0] || *after.SequenceNumber <= *before.SequenceNumber {
		t.Errorf("the key's next record is %s in %s, behind %s: want a greater number in %s", *after.SequenceNumber, *after.ShardId, *before.SequenceNumber, halves[0])
	}
	out := w.read(w.iterator(&sdk.GetShardIteratorInput{ShardId: before.ShardId, ShardIteratorType: "TRIM_HORIZON"}))
	if diff := cmp.Diff([]string{"before"}, data(out)); diff != "" || out.NextShardIterator != nil {
		t.Errorf("a closed shard ends: next %v\n%s", out.NextShardIterator, diff)
	}
	if len(out.ChildShards) != 2 || *out.ChildShards[0].ShardId != halves[0] || *out.ChildShards[1].ShardId != halves[1] || out.ChildShards[0].ParentShards[0] != *before.ShardId {
		t.Errorf("got the children %+v, want %v", out.ChildShards, halves)
	}
	merged, err := w.kinesis.Merge(name, halves[0], halves[1])
	w.must(err)
	again := w.put("a", "again")
	if *again.ShardId != merged || *again.SequenceNumber <= *after.SequenceNumber {
		t.Errorf("got %s in %s, want a number above %s in %s", *again.SequenceNumber, *again.ShardId, *after.SequenceNumber, merged)
	}
	shards := w.shards(&sdk.ListShardsInput{})
	if last := shards[len(shards)-1]; *last.ParentShardId != halves[0] || *last.AdjacentParentShardId != halves[1] || *last.HashKeyRange.StartingHashKey != *shards[0].HashKeyRange.StartingHashKey ||
		*last.HashKeyRange.EndingHashKey != *shards[0].HashKeyRange.EndingHashKey {
		t.Errorf("the merged shard is %+v, want the range of %+v", last, shards[0])
	}
	latest := w.shards(&sdk.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
	if len(shards) != 5 || len(latest) != 2 {
		t.Errorf("got %d shards, of them %d open; want 5 and 2", len(shards), len(latest))
	}
	if _, err := w.kinesis.Merge(name, merged, "shardId-000000000099"); err == nil {
		t.Error("a shard that is not there was merged")
	}
	if _, err := w.kinesis.Split(name, halves[0]); err == nil {
		t.Error("a closed shard was split")
	}
}

func TestRecordsAndShardsLeaveWithTheRetention(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1, Retention: 168 * time.Hour})
	shard := aws.String("shardId-000000000000")
	first := w.put("k", "first")
	w.later(100 * time.Hour)
	w.put("k", "second")
	_, err := w.kinesis.Split(name, *shard)
	w.must(err)
	w.later(68*time.Hour + time.Second) // first is too old now
	for _, in := range []sdk.GetShardIteratorInput{
		{ShardIteratorType: "TRIM_HORIZON"}, {ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: first.SequenceNumber},
	} {
		in.ShardId = shard
		if diff := cmp.Diff([]string{"second"}, data(w.read(w.iterator(&in)))); diff != "" {
			t.Errorf("%s:\n%s", in.ShardIteratorType, diff)
		}
	}
	if n := len(w.shards(&sdk.ListShardsInput{})); n != 3 {
		t.Errorf("got %d shards, want the closed one as long as its records last", n)
	}
	w.later(100 * time.Hour)
	if n := len(w.shards(&sdk.ListShardsInput{})); n != 2 {
		t.Errorf("got %d shards, want the closed one gone", n)
	}
	_, err = w.client.GetShardIterator(ctx, &sdk.GetShardIteratorInput{StreamName: aws.String(name), ShardId: shard, ShardIteratorType: "TRIM_HORIZON"})
	if code(err) != "ResourceNotFoundException" {
		t.Errorf("an iterator of a shard that is gone: got %v", err)
	}
}

func TestListsHavePages(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 5})
	var ids []string
	in := &sdk.ListShardsInput{StreamName: aws.String(name), MaxResults: aws.Int32(2)}
	for {
		out, err := w.client.ListShards(ctx, in)
		w.must(err)
		for _, sh := range out.Shards {
			ids = append(ids, *sh.ShardId)
		}
		if out.NextToken == nil {
			break
		}
		in = &sdk.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(2)}
	}
	if len(ids) != 5 || !slices.IsSorted(ids) {
		t.Errorf("got %v, want five in order", ids)
	}
	summary, err := w.client.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamARN: aws.String(arn)})
	w.must(err)
	if d := summary.StreamDescriptionSummary; *d.OpenShardCount != 5 || *d.RetentionPeriodHours != 24 || d.StreamStatus != types.StreamStatusActive || *d.StreamARN != arn {
		t.Errorf("got %+v", d)
	}
	described, err := w.client.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: aws.String(name), Limit: aws.Int32(3)})
	w.must(err)
	if d := described.StreamDescription; len(d.Shards) != 3 || !*d.HasMoreShards {
		t.Errorf("got %d shards, more: %v", len(d.Shards), *d.HasMoreShards)
	}
}

func TestCallsNeedTheStreamAndItsKey(t *testing.T) {
	const reader, half, writer = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::111122223333:role/half", "arn:aws:iam::111122223333:role/writer"
	w := start(t, kinesis.Stream{Name: name, Shards: 1, KMSKey: key})
	allow := func(role string, statements ...any) {
		t.Helper()
		w.must(w.judge.AddRole(role, map[string]any{"Statement": statements}, map[string]any{"Statement": map[string]any{
			"Effect": "Allow", "Principal": map[string]any{"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
		}}))
	}
	reads := map[string]any{"Effect": "Allow", "Action": []any{"kinesis:GetShardIterator", "kinesis:GetRecords"}, "Resource": arn}
	decrypts := map[string]any{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key, "Condition": map[string]any{
		"StringEquals": map[string]any{"kms:ViaService": "kinesis.us-east-1.amazonaws.com", "kms:EncryptionContext:aws:kinesis:arn": arn},
	}}
	allow(reader, reads, decrypts)
	allow(half, reads)
	allow(writer, map[string]any{"Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": arn}, map[string]any{"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key})
	get := func(role string) string {
		c := w.as(w.gateway.Issue(role, nil))
		it, err := c.GetShardIterator(ctx, &sdk.GetShardIteratorInput{StreamName: aws.String(name), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: "TRIM_HORIZON"})
		if err != nil {
			return code(err)
		}
		_, err = c.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: it.ShardIterator})
		return code(err)
	}
	put := func(role string) string {
		_, err := w.as(w.gateway.Issue(role, nil)).PutRecord(ctx, &sdk.PutRecordInput{StreamName: aws.String(name), PartitionKey: aws.String("k"), Data: []byte("x")})
		return code(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"reader reads", get(reader), ""},
		{"reader writes", put(reader), "AccessDeniedException"},
		{"half a reader reads", get(half), "AccessDeniedException"},
		{"writer writes", put(writer), ""},
		{"writer reads", get(writer), "AccessDeniedException"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestWhatIsNotServedIsSaidByName(t *testing.T) {
	w := start(t, kinesis.Stream{Name: name, Shards: 1})
	_, err := w.client.RegisterStreamConsumer(ctx, &sdk.RegisterStreamConsumerInput{StreamARN: aws.String(arn), ConsumerName: aws.String("c")})
	if err == nil || !strings.Contains(err.Error(), "kinesis:RegisterStreamConsumer is not served") {
		t.Errorf("got %v", err)
	}
	for _, st := range []kinesis.Stream{{}, {Name: "s", Retention: time.Hour}, {Name: "s", MaxRecordKiB: 20_000}, {Name: "s", Shards: -1}, {Name: name}} {
		if err := w.kinesis.Create(st); err == nil {
			t.Errorf("%+v was created", st)
		}
	}
}
