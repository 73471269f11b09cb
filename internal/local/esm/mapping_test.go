package esm_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/esm"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/template"
)

// settled waits until a mapping is in no transition, and returns its state.
func (w *world) settled() string {
	w.t.Helper()
	_ = w.stall()
	out, err := w.lambda().GetEventSourceMapping(context.Background(), &sdk.GetEventSourceMappingInput{UUID: aws.String(id)})
	w.must(err)
	return *out.State
}

func TestADisabledMappingGoesOnWhereItStopped(t *testing.T) {
	w := start(t, config{stream: kinesis.Stream{Shards: 2}})
	ctx, client := context.Background(), w.lambda()
	w.create(func(m *esm.Mapping) { m.Enabled, m.BatchSize, m.ItemFailures = false, 3, true })
	w.put(names(5)...)
	if stalled := w.stall(); stalled == nil || stalled.State != "Disabled" {
		t.Fatalf("a mapping that was made disabled: %v", stalled)
	}
	enable := func(on bool) string {
		t.Helper()
		out, err := client.UpdateEventSourceMapping(ctx, &sdk.UpdateEventSourceMappingInput{UUID: aws.String(id), Enabled: &on})
		w.must(err)
		return *out.State
	}
	// In its second call the function turns its own mapping off, as one that finds
	// a fault does, and fails from its second record on.
	w.handle(func(e events.KinesisEvent) (any, error) {
		if string(e.Records[0].Kinesis.Data) != "k/3" {
			return nil, nil
		}
		if state := enable(false); state != "Disabling" {
			t.Errorf("the mapping is %s, want Disabling", state)
		}
		_, err := client.UpdateEventSourceMapping(ctx, &sdk.UpdateEventSourceMappingInput{UUID: aws.String(id), Enabled: aws.Bool(false)})
		if code(err) != "ResourceInUseException" {
			t.Errorf("a second change at once: got %v", err)
		}
		return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{{ItemIdentifier: e.Records[1].Kinesis.SequenceNumber}}}, nil
	})
	if state := enable(true); state != "Enabling" {
		t.Errorf("the mapping is %s, want Enabling", state)
	}
	if state := w.settled(); state != "Disabled" {
		t.Errorf("the mapping is %s, want Disabled", state)
	}
	if diff := cmp.Diff([]string{"k/0,k/1,k/2", "k/3,k/4"}, w.batches()); diff != "" {
		t.Error(diff)
	}
	w.put("k/5")
	w.handle(nil)
	enable(true)
	w.drain()
	if diff := cmp.Diff([]string{"k/4,k/5"}, w.batches()[2:]); diff != "" {
		t.Errorf("behind the stop:\n%s", diff)
	}
	if state := w.settled(); state != "Enabled" {
		t.Errorf("the mapping is %s, want Enabled", state)
	}
}

func TestAStopRepeatsWhatOtherLanesFinished(t *testing.T) {
	var once sync.Once
	w := start(t, config{stream: kinesis.Stream{Shards: 1}})
	stop := make(chan struct{})
	w.handle(func(e events.KinesisEvent) (any, error) {
		if e.Records[0].Kinesis.PartitionKey == "bad" {
			return nil, errors.New("no")
		}
		once.Do(func() { close(stop) })
		return nil, nil
	})
	w.create(func(m *esm.Mapping) { m.Parallel = 10 })
	w.put("bad/0", "good/0")
	<-stop
	stalled := w.stall()
	if stalled == nil || len(stalled.Stalls) != 1 || !strings.Contains(stalled.Error(), "no") || stalled.Stalls[0].Shard != "shardId-000000000000" {
		t.Fatalf("got %v, want the lane of the bad key", stalled)
	}
	update := func(on bool) {
		t.Helper()
		_, err := w.lambda().UpdateEventSourceMapping(context.Background(), &sdk.UpdateEventSourceMappingInput{UUID: aws.String(id), Enabled: &on})
		w.must(err)
		_ = w.stall()
	}
	update(false)
	w.handle(nil)
	before := len(w.made())
	update(true)
	got := w.batches()[before:]
	slices.Sort(got)
	if diff := cmp.Diff([]string{"bad/0", "good/0"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPositionsSayWhereToBegin(t *testing.T) {
	for _, c := range []struct {
		name     string
		position string
		want     string
	}{
		{"trim horizon", kinesis.TrimHorizon, "k/old,k/mid,k/new"},
		{"latest", kinesis.Latest, "k/new"},
		{"a time", kinesis.AtTimestamp, "k/mid,k/new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, config{stream: kinesis.Stream{Shards: 1}})
			w.put("k/old")
			w.must(w.clock.Sleep(context.Background(), time.Minute))
			at := w.clock.Now()
			w.put("k/mid")
			w.must(w.clock.Sleep(context.Background(), time.Minute))
			w.create(func(m *esm.Mapping) {
				m.Position = c.position
				if c.position == kinesis.AtTimestamp {
					m.Timestamp = at
				}
			})
			w.drain()
			w.put("k/new")
			w.drain()
			if got := strings.Join(w.batches(), ","); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// An idle mapping leaps nowhere and asks nothing, and still hears the next
// record, when its iterator has long expired too.
func TestAnIdleMappingWaits(t *testing.T) {
	w := start(t, config{stream: kinesis.Stream{Shards: 4}})
	w.create(func(m *esm.Mapping) { m.Position = kinesis.Latest })
	w.drain()
	calls := w.gateway.Seq()
	if calls != 3+4 { // the stream twice, its shards, an iterator each
		t.Errorf("%d calls were made for nothing to read, want 7", calls)
	}
	w.must(w.clock.Sleep(context.Background(), time.Hour))
	w.drain()
	if n := w.gateway.Seq(); n != calls {
		t.Errorf("%d calls were made while nothing came", n-calls)
	}
	w.put("k/0")
	w.drain()
	if diff := cmp.Diff([]string{"k/0"}, w.batches()); diff != "" {
		t.Error(diff)
	}
}

func TestParentsComeBeforeTheirChildren(t *testing.T) {
	w := start(t, config{stream: kinesis.Stream{Shards: 1}})
	var texts []string
	put := func(generation string) {
		for i := range 20 {
			text := fmt.Sprintf("key%d/%s", i, generation)
			w.put(text)
			texts = append(texts, text)
		}
	}
	put("0")
	halves, err := w.kinesis.Split("changes", "shardId-000000000000")
	w.must(err)
	put("1")
	merged, err := w.kinesis.Merge("changes", halves[0], halves[1])
	w.must(err)
	put("2")
	failures := 0
	var mu sync.Mutex
	w.handle(func(events.KinesisEvent) (any, error) { // each shard has trouble first
		mu.Lock()
		defer mu.Unlock()
		if failures++; failures%3 != 0 {
			return nil, errors.New("no")
		}
		return nil, nil
	})
	w.create(func(m *esm.Mapping) { m.Parallel, m.BatchSize = 2, 5 })
	for w.stall() != nil {
		continue
	}
	// Whatever failed came again: what counts is a record's last time.
	place := map[string]int{}
	for i, c := range w.made() {
		for _, text := range c.Data {
			place[text] = i
		}
	}
	for i := range 20 {
		k := fmt.Sprintf("key%d/", i)
		if !(place[k+"0"] < place[k+"1"] && place[k+"1"] < place[k+"2"]) {
			t.Errorf("key %d came in the invocations %d, %d, %d", i, place[k+"0"], place[k+"1"], place[k+"2"])
		}
	}
	if len(place) != len(texts) {
		t.Errorf("%d of %d records came", len(place), len(texts))
	}
	// A shard that is split while it is read goes on as well.
	before := len(w.made())
	w.handle(nil)
	_, err = w.kinesis.Split("changes", merged)
	w.must(err)
	put("3")
	w.drain()
	n := 0
	for _, c := range w.made()[before:] {
		n += len(c.Data)
	}
	if n != 20 {
		t.Errorf("%d records came behind the last split, want 20", n)
	}
}

func TestWithoutPermissionNothingIsRead(t *testing.T) {
	for _, c := range []struct {
		missing string
		role    [][]string
	}{
		{"kinesis:GetRecords", [][]string{{"kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:ListShards kinesis:GetShardIterator", stream}, decrypts}},
		{"kinesis:GetShardIterator", [][]string{{"kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:ListShards kinesis:GetRecords", stream}, decrypts}},
		{"kinesis:ListShards", [][]string{{"kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:GetShardIterator kinesis:GetRecords", stream}, decrypts}},
		{"kinesis:DescribeStreamSummary", [][]string{{"kinesis:DescribeStream kinesis:ListShards kinesis:GetShardIterator kinesis:GetRecords", stream}, decrypts}},
		{"kinesis:DescribeStream ", [][]string{{"kinesis:DescribeStreamSummary kinesis:ListShards kinesis:GetShardIterator kinesis:GetRecords", stream}, decrypts}},
		{"kms:Decrypt", [][]string{reads}},
	} {
		t.Run(c.missing, func(t *testing.T) {
			w := start(t, config{stream: kinesis.Stream{Shards: 1}, role: c.role})
			w.put("k/0")
			w.create(nil)
			stalled := w.stall()
			if stalled == nil || !strings.Contains(stalled.Error(), c.missing) || !strings.Contains(stalled.Error(), role) {
				t.Fatalf("got %v, want a stall that names %s", stalled, c.missing)
			}
			out, err := w.lambda().GetEventSourceMapping(context.Background(), &sdk.GetEventSourceMappingInput{UUID: aws.String(id)})
			w.must(err)
			if !strings.HasPrefix(*out.LastProcessingResult, "PROBLEM: ") || len(w.made()) != 0 || w.mappings.Stats(id).ReadFailures == 0 {
				t.Errorf("the result is %s after %d invocations", *out.LastProcessingResult, len(w.made()))
			}
		})
	}
}

func TestADestinationThatRefusesLosesTheBatch(t *testing.T) {
	for _, missing := range []string{"s3:PutObject", "s3:ListBucket"} {
		t.Run(missing, func(t *testing.T) {
			permissions := [][]string{reads, decrypts}
			for i := 0; i < len(stores); i += 2 {
				if stores[i] != missing {
					permissions = append(permissions, stores[i:i+2])
				}
			}
			w := start(t, config{stream: kinesis.Stream{Shards: 1}, role: permissions, handler: func(events.KinesisEvent) (any, error) { return nil, errors.New("no") }})
			w.put(names(2)...)
			w.create(func(m *esm.Mapping) { m.Retries, m.Destination = 0, "arn:aws:s3:::failures" })
			w.drain()
			if s := w.mappings.Stats(id); s.DestinationFailures != 1 || s.Dropped != 2 || s.OnFailureDestinationDelivered != 0 || len(w.failures()) != 0 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// A gate is a clock that stands until a test moves it.
type gate struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{}
	waits chan time.Duration // of sleeps as they begin
}

func newGate() *gate {
	return &gate{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), moved: make(chan struct{}), waits: make(chan time.Duration, 100)}
}

func (g *gate) Now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *gate) Sleep(ctx context.Context, d time.Duration) error {
	g.mu.Lock()
	until := g.now.Add(d)
	g.waits <- d
	for g.now.Before(until) {
		moved := g.moved
		g.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		g.mu.Lock()
	}
	g.mu.Unlock()
	return nil
}

func (g *gate) advance(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
	close(g.moved)
	g.moved = make(chan struct{})
}

func TestABatchWaitsForItsWindowOrItsSize(t *testing.T) {
	g := newGate()
	done := make(chan struct{}, 10)
	w := start(t, config{stream: kinesis.Stream{Shards: 1}, clock: g, handler: func(events.KinesisEvent) (any, error) {
		done <- struct{}{}
		return nil, nil
	}})
	w.create(func(m *esm.Mapping) { m.BatchSize, m.Window = 3, 10*time.Second })
	sleeps := func(want time.Duration) {
		t.Helper()
		if got := <-g.waits; got != want {
			t.Fatalf("something waits for %s, want %s", got, want)
		}
	}
	sleeps(time.Second) // to be enabled
	g.advance(time.Second)
	w.drain()
	w.put("k/0")
	sleeps(10 * time.Second)
	g.advance(4 * time.Second)
	w.put("k/1")
	for w.mappings.Stats(id).Polled < 2 {
		runtime.Gosched()
	}
	g.advance(6 * time.Second)
	<-done
	w.drain()
	w.put("k/2")
	sleeps(10 * time.Second)
	w.put("k/3", "k/4", "k/5")
	<-done // full before its window ends
	sleeps(10 * time.Second)
	g.advance(10 * time.Second)
	<-done
	got := w.batches()
	if diff := cmp.Diff([]string{"k/0,k/1", "k/2,k/3,k/4", "k/5"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheControlAPIShowsTheMapping(t *testing.T) {
	w := start(t, config{stream: kinesis.Stream{Shards: 1}})
	w.create(func(m *esm.Mapping) {
		m.Parallel, m.Window, m.Bisect, m.ItemFailures, m.MaxAge, m.Destination = 10, 5*time.Second, true, true, 6*24*time.Hour, "arn:aws:s3:::failures"
	})
	w.drain()
	ctx, client := context.Background(), w.lambda()
	for _, c := range []struct {
		name string
		in   sdk.ListEventSourceMappingsInput
		want int
	}{
		{"all", sdk.ListEventSourceMappingsInput{}, 1},
		{"of the function, by name", sdk.ListEventSourceMappingsInput{FunctionName: aws.String("apply")}, 1},
		{"of the function, by ARN", sdk.ListEventSourceMappingsInput{FunctionName: aws.String(function), EventSourceArn: aws.String(stream)}, 1},
		{"of another function", sdk.ListEventSourceMappingsInput{FunctionName: aws.String("other")}, 0},
		{"of another stream", sdk.ListEventSourceMappingsInput{EventSourceArn: aws.String(stream + "s")}, 0},
	} {
		out, err := client.ListEventSourceMappings(ctx, &c.in)
		w.must(err)
		if len(out.EventSourceMappings) != c.want {
			t.Errorf("%s: got %d mappings, want %d", c.name, len(out.EventSourceMappings), c.want)
		}
	}
	out, err := client.UpdateEventSourceMapping(ctx, &sdk.UpdateEventSourceMappingInput{UUID: aws.String(id), BatchSize: aws.Int32(7)})
	w.must(err)
	if *out.State != "Updating" {
		t.Errorf("the mapping is %s, want Updating", *out.State)
	}
	w.drain()
	got, err := client.GetEventSourceMapping(ctx, &sdk.GetEventSourceMappingInput{UUID: aws.String(id)})
	w.must(err)
	if *got.State != "Enabled" || *got.BatchSize != 7 || *got.ParallelizationFactor != 10 || *got.MaximumBatchingWindowInSeconds != 5 || !*got.BisectBatchOnFunctionError ||
		*got.MaximumRetryAttempts != -1 || *got.MaximumRecordAgeInSeconds != 518_400 || got.FunctionResponseTypes[0] != "ReportBatchItemFailures" ||
		*got.DestinationConfig.OnFailure.Destination != "arn:aws:s3:::failures" || *got.EventSourceMappingArn != mapping || *got.EventSourceArn != stream || *got.FunctionArn != function ||
		got.StartingPosition != "TRIM_HORIZON" || *got.LastProcessingResult != "No records processed" {
		t.Errorf("got %+v", got)
	}
	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"one that is not there", func() error {
			_, err := client.GetEventSourceMapping(ctx, &sdk.GetEventSourceMappingInput{UUID: aws.String("none")})
			return err
		}, "AccessDeniedException"}, // the operator may see its own only
		{"an age of 10 s", func() error {
			_, err := client.UpdateEventSourceMapping(ctx, &sdk.UpdateEventSourceMappingInput{UUID: aws.String(id), MaximumRecordAgeInSeconds: aws.Int32(10)})
			return err
		}, "InvalidParameterValueException"},
		{"another function", func() error {
			_, err := client.UpdateEventSourceMapping(ctx, &sdk.UpdateEventSourceMappingInput{UUID: aws.String(id), FunctionName: aws.String("other")})
			return err
		}, "InvalidParameterValueException"},
	} {
		if got := code(c.call()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if _, err := client.DeleteEventSourceMapping(ctx, &sdk.DeleteEventSourceMappingInput{UUID: aws.String(id)}); err == nil || !strings.Contains(err.Error(), "not served by the local Lambda") {
		t.Errorf("got %v", err)
	}
}

func TestMappingsOfTemplatesAreReadWhole(t *testing.T) {
	resource := func(over map[string]any) *template.Resource {
		p := map[string]any{
			"FunctionName": function, "EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON", "Enabled": false, "BatchSize": 1000.0, "MaximumRecordAgeInSeconds": 518400.0,
			"DestinationConfig": map[string]any{"OnFailure": map[string]any{"Destination": "arn:aws:s3:::failures"}}, "FunctionResponseTypes": []any{"ReportBatchItemFailures"},
		}
		for name, v := range over {
			p[name] = v
		}
		return &template.Resource{Stack: &template.Stack{}, LogicalID: "Mapping", ID: id, Properties: p}
	}
	got, err := esm.MappingOf(resource(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := esm.Mapping{UUID: id, FunctionARN: function, StreamARN: stream, Position: "TRIM_HORIZON", Settings: esm.Settings{
		BatchSize: 1000, Parallel: 1, Retries: -1, MaxAge: 6 * 24 * time.Hour, ItemFailures: true, Destination: "arn:aws:s3:::failures",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, v := range map[string]any{
		"FilterCriteria": map[string]any{}, "ParallelizationFactor": 11.0, "MaximumRecordAgeInSeconds": 10.0, "FunctionResponseTypes": []any{"Other"},
		"DestinationConfig": map[string]any{"OnFailure": map[string]any{"Destination": "arn:aws:sqs:us-east-1:111122223333:q"}},
	} {
		if _, err := esm.MappingOf(resource(map[string]any{name: v})); err == nil {
			t.Errorf("%s %v was taken", name, v)
		}
	}
}

// What a reader holds is what a stop repeats, so it does not read on while the
// function fails.
func TestABlockedShardIsNotReadToItsEnd(t *testing.T) {
	const records = 10_500 // a read has 10,000
	w := start(t, config{stream: kinesis.Stream{Shards: 1}, handler: func(events.KinesisEvent) (any, error) { return nil, errors.New("no") }})
	w.put(names(records)...)
	w.create(func(m *esm.Mapping) { m.BatchSize = 1000 })
	if stalled := w.stall(); stalled == nil || len(stalled.Stalls) != 1 {
		t.Fatalf("got %v, want one lane that stands", stalled)
	}
	if s := w.mappings.Stats(id); s.Polled != 10_000 {
		t.Errorf("%d records were read ahead, want those of one read", s.Polled)
	}
	w.handle(nil)
	for w.stall() != nil { // until its next attempt
		runtime.Gosched()
	}
	seen := map[string]bool{}
	for _, c := range w.made() {
		for _, text := range c.Data {
			seen[text] = true
		}
	}
	if len(seen) != records {
		t.Errorf("%d of %d records came", len(seen), records)
	}
}
