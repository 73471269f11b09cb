package esm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/asl"
	"godwit/internal/local/esm"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/lambda"
)

func TestBatchesAreKinesisEvents(t *testing.T) {
	blob := "\xf3\x89\x9a\xc2\x00\xff\"aggregate"
	host := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var got events.KinesisEvent
	w := start(t, config{stream: kinesis.Stream{Shards: 1}, hostNow: func() time.Time { return host }, handler: func(e events.KinesisEvent) (any, error) {
		got = e
		return nil, nil
	}})
	results, err := w.kinesis.Put("changes", kinesis.Entry{PartitionKey: `a "key" <é>`, Data: []byte(blob)})
	w.must(err)
	w.create(nil)
	w.drain()
	if len(got.Records) != 1 {
		t.Fatalf("got %d records, want 1", len(got.Records))
	}
	age := host.Sub(got.Records[0].Kinesis.ApproximateArrivalTimestamp.Time)
	if age < 0 || age > time.Hour {
		t.Errorf("the record is %s old by the function's clock", age)
	}
	got.Records[0].Kinesis.ApproximateArrivalTimestamp = events.SecondsEpochTime{}
	want := events.KinesisEventRecord{
		AwsRegion: region, EventID: results[0].ShardID + ":" + results[0].Sequence, EventName: "aws:kinesis:record", EventSource: "aws:kinesis",
		EventSourceArn: stream, EventVersion: "1.0", InvokeIdentityArn: role,
		Kinesis: events.KinesisRecord{Data: []byte(blob), PartitionKey: `a "key" <é>`, SequenceNumber: results[0].Sequence, KinesisSchemaVersion: "1.0"},
	}
	if diff := cmp.Diff(want, got.Records[0]); diff != "" {
		t.Error(diff)
	}
}

// The order that a function may rely on: of each key every record comes, none
// before the one in front of it, whatever is repeated; and no two invocations
// have records of one key at the same time.
func TestKeysStayInOrderWhateverHappens(t *testing.T) {
	const records, keys = 3000, 60
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	var meet sync.Once
	happened := map[esm.Fault]int{}
	reached, busy := map[string]int{}, map[string]bool{} // by key
	most, now := 0, 0
	second := make(chan struct{}) // closed when two invocations are under way
	w := start(t, config{
		stream: kinesis.Stream{Shards: 3},
		fault: func(esm.Delivery) esm.Fault {
			mu.Lock()
			defer mu.Unlock()
			f := esm.None
			if chance.IntN(3) == 0 {
				f = esm.Fault(1 + chance.IntN(int(esm.Delay)))
			}
			happened[f]++
			return f
		},
		handler: func(e events.KinesisEvent) (any, error) {
			mine := map[string]bool{}
			mu.Lock()
			now++
			if most = max(most, now); now == 2 {
				meet.Do(func() { close(second) })
			}
			failAt := ""
			for i, r := range e.Records {
				k := r.Kinesis.PartitionKey
				var n int
				if _, err := fmt.Sscanf(strings.TrimPrefix(string(r.Kinesis.Data), k+"/"), "%d", &n); err != nil {
					t.Errorf("the data of key %s: %v", k, err)
				}
				if busy[k] && !mine[k] {
					t.Errorf("key %s is in two invocations at once", k)
				}
				mine[k], busy[k] = true, true
				if failAt == "" && i > 0 && chance.IntN(40) == 0 {
					failAt = r.Kinesis.SequenceNumber
				}
				if failAt != "" {
					continue
				}
				if n > reached[k] {
					t.Errorf("key %s: record %d came, and %d is next", k, n, reached[k])
				}
				reached[k] = max(reached[k], n+1)
			}
			fails := chance.IntN(10) == 0
			mu.Unlock()
			select {
			case <-second: // the first one waits for another
			case <-t.Context().Done():
			}
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				now--
				for k := range mine {
					delete(busy, k)
				}
			}()
			if fails {
				return nil, errors.New("it failed behind its effect")
			}
			if failAt != "" {
				return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{{ItemIdentifier: failAt}}}, nil
			}
			return events.KinesisEventResponse{}, nil
		},
	})
	w.create(func(m *esm.Mapping) { m.BatchSize, m.Parallel, m.ItemFailures, m.Bisect = 25, 10, true, true })
	var texts []string
	next := map[string]int{}
	for range records {
		k := fmt.Sprintf("key%d", chance.IntN(keys))
		texts = append(texts, fmt.Sprintf("%s/%d", k, next[k]))
		next[k]++
	}
	for part := range slices.Chunk(texts, 200) {
		w.put(part...)
	}
	// A key that fails often in a row is blocked only until it succeeds.
	for stalled := w.stall(); stalled != nil; stalled = w.stall() {
		t.Log(stalled)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(next, reached); diff != "" {
		t.Errorf("records that came, by key:\n%s", diff)
	}
	for f := esm.Throttle; f <= esm.Delay; f++ {
		if happened[f] == 0 {
			t.Errorf("fault %d never happened", f)
		}
	}
	t.Logf("faults %v, at most %d invocations at once, %+v", happened, most, w.mappings.Stats(id))
}

func TestAnswersMoveTheCheckpoint(t *testing.T) {
	number := func(r events.KinesisEventRecord) string { return r.Kinesis.SequenceNumber }
	list := func(ids ...any) any {
		var items []any
		for _, id := range ids {
			items = append(items, map[string]any{"itemIdentifier": id})
		}
		return map[string]any{"batchItemFailures": items}
	}
	for _, c := range []struct {
		name     string
		unaware  bool // the mapping does not report item failures
		answer   func([]events.KinesisEventRecord) any
		retried  string // the second invocation; "" is none
		bisected string // likewise, with bisecting
	}{
		{"null", false, func([]events.KinesisEventRecord) any { return nil }, "", ""},
		{"empty", false, func([]events.KinesisEventRecord) any { return json.RawMessage{} }, "", ""},
		{"empty object", false, func([]events.KinesisEventRecord) any { return map[string]any{} }, "", ""},
		{"empty list", false, func([]events.KinesisEventRecord) any { return list() }, "", ""},
		{"null list", false, func([]events.KinesisEventRecord) any { return map[string]any{"batchItemFailures": nil} }, "", ""},
		{"another list's name", false, func(r []events.KinesisEventRecord) any {
			return map[string]any{"batchitemfailures": list(number(r[1]))}
		}, "", ""},
		{"one", false, func(r []events.KinesisEventRecord) any { return list(number(r[2])) }, "k/2,k/3", "k/2,k/3"},
		{"several: the lowest", false, func(r []events.KinesisEventRecord) any { return list(number(r[3]), number(r[1]), number(r[2])) }, "k/1,k/2,k/3", "k/1,k/2,k/3"},
		{"the first", false, func(r []events.KinesisEventRecord) any { return list(number(r[0])) }, "k/0,k/1,k/2,k/3", "k/0,k/1,k/2,k/3"},
		{"empty text", false, func([]events.KinesisEventRecord) any { return list("") }, "k/0,k/1,k/2,k/3", "k/0,k/1"},
		{"null id", false, func([]events.KinesisEventRecord) any { return list(nil) }, "k/0,k/1,k/2,k/3", "k/0,k/1"},
		{"wrong member", false, func(r []events.KinesisEventRecord) any {
			return map[string]any{"batchItemFailures": []any{map[string]any{"ItemIdentifier": number(r[2])}}}
		}, "k/0,k/1,k/2,k/3", "k/0,k/1"},
		{"unknown", false, func(r []events.KinesisEventRecord) any { return list(number(r[2]), "49") }, "k/0,k/1,k/2,k/3", "k/0,k/1"},
		{"no object", false, func([]events.KinesisEventRecord) any { return "done" }, "k/0,k/1,k/2,k/3", "k/0,k/1"},
		{"an error", false, func([]events.KinesisEventRecord) any { return errors.New("no") }, "k/0,k/1,k/2,k/3", "k/0,k/1"},
		{"reported, but nobody asked", true, func(r []events.KinesisEventRecord) any { return list(number(r[2])) }, "", ""},
		{"an error, and nobody asked", true, func([]events.KinesisEventRecord) any { return errors.New("no") }, "k/0,k/1,k/2,k/3", "k/0,k/1"},
	} {
		for _, bisect := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, bisect %v", c.name, bisect), func(t *testing.T) {
				first := true
				w := start(t, config{stream: kinesis.Stream{Shards: 1}, handler: func(e events.KinesisEvent) (any, error) {
					if !first {
						return nil, nil
					}
					first = false
					answer := c.answer(e.Records)
					if err, ok := answer.(error); ok {
						return nil, err
					}
					return answer, nil
				}})
				w.put(names(4)...)
				w.create(func(m *esm.Mapping) { m.ItemFailures, m.Bisect = !c.unaware, bisect })
				w.drain()
				want, then := []string{"k/0,k/1,k/2,k/3"}, c.retried
				if bisect {
					then = c.bisected
				}
				if then != "" {
					want = append(want, then)
				}
				if then == "k/0,k/1" {
					want = append(want, "k/2,k/3")
				}
				if diff := cmp.Diff(want, w.batches()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestBisectingFindsThePoison(t *testing.T) {
	w := start(t, config{stream: kinesis.Stream{Shards: 1}, handler: func(e events.KinesisEvent) (any, error) {
		for _, r := range e.Records {
			if string(r.Kinesis.Data) == "k/5" {
				return nil, errors.New("poison")
			}
		}
		return nil, nil
	}})
	results := w.put(names(8)...)
	w.create(func(m *esm.Mapping) { m.Bisect, m.Retries, m.Destination = true, 1, "arn:aws:s3:::failures" })
	w.drain()
	want := []string{
		"k/0,k/1,k/2,k/3,k/4,k/5,k/6,k/7", "k/0,k/1,k/2,k/3", "k/4,k/5,k/6,k/7", "k/4,k/5", "k/4",
		"k/5", "k/5", // splitting used up no retry: the poison alone has its two attempts
		"k/6,k/7",
	}
	if diff := cmp.Diff(want, w.batches()); diff != "" {
		t.Error(diff)
	}
	all := w.failures()
	if len(all) != 1 {
		t.Fatalf("got %d objects, want 1", len(all))
	}
	f := all[0]
	if !strings.HasPrefix(f.Key, "aws/lambda/"+id+"/shardId-000000000000/"+w.clock.Now().Format("2006/01/02/2006-01-02T")) {
		t.Errorf("the key is %s", f.Key)
	}
	if f.RequestContext.Condition != "RetryAttemptsExhausted" || f.RequestContext.FunctionArn != function || f.RequestContext.ApproximateInvokeCount != 5 || f.Version != "1.0" ||
		f.ResponseContext == nil || f.ResponseContext.FunctionError != "Unhandled" {
		t.Errorf("got %+v", f)
	}
	if b := f.KinesisBatchInfo; b.BatchSize != 1 || b.StartSequenceNumber != results[5].Sequence || b.EndSequenceNumber != results[5].Sequence || b.StreamArn != stream || b.ShardID != results[5].ShardID {
		t.Errorf("got %+v, want %+v", b, results[5])
	}
	var payload events.KinesisEvent
	w.must(json.Unmarshal([]byte(f.Payload), &payload))
	if len(payload.Records) != 1 || string(payload.Records[0].Kinesis.Data) != "k/5" {
		t.Errorf("the payload is %+v", payload)
	}
	if s := w.mappings.Stats(id); s.OnFailureDestinationDelivered != 1 || s.Dropped != 0 || s.Bisections != 3 || s.Polled != 8 || s.Invoked != 8+4+4+2+1+1+1+2 || s.FailedInvoke != 8+4+2+1+1 {
		t.Errorf("got %+v", s)
	}
}

func TestRetriesAreCountedAndThrottlesAreNot(t *testing.T) {
	throttles := 7
	w := start(t, config{stream: kinesis.Stream{Shards: 1}, handler: func(events.KinesisEvent) (any, error) {
		if throttles--; throttles >= 0 {
			return nil, &lambda.Error{Type: "Lambda.TooManyRequestsException", Message: "Rate Exceeded"}
		}
		return nil, errors.New("no")
	}})
	w.put(names(3)...)
	w.create(func(m *esm.Mapping) { m.Retries, m.BatchSize = 2, 2 })
	for w.stall() != nil { // while it is throttled
		continue
	}
	want := append(slices.Repeat([]string{"k/0,k/1"}, 7+3), "k/2", "k/2", "k/2")
	if diff := cmp.Diff(want, w.batches()); diff != "" {
		t.Error(diff)
	}
	if s := w.mappings.Stats(id); s.Throttles != 7 || s.Invocations != 6 || s.Dropped != 3 {
		t.Errorf("got %+v", s)
	}
}

func TestOldRecordsAreGivenUp(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration
		wait time.Duration // between two attempts
	}{
		{"older than the mapping takes", time.Minute, 25 * time.Second},
		{"older than the stream keeps", 0, 10 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := &asl.FastClock{Longest: time.Millisecond}
			tried := 0
			w := start(t, config{stream: kinesis.Stream{Shards: 1}, clock: clock, fault: func(esm.Delivery) esm.Fault {
				tried++
				clock.Advance(c.wait)
				return esm.Throttle // the function is never there
			}})
			w.put(names(3)...)
			w.create(func(m *esm.Mapping) { m.MaxAge, m.Destination = c.age, "arn:aws:s3:::failures" })
			w.drain()
			all := w.failures()
			if len(all) != 1 || all[0].RequestContext.Condition != "RecordAgeExceeded" || all[0].KinesisBatchInfo.BatchSize != 3 || all[0].ResponseContext != nil {
				t.Errorf("got %+v", all)
			}
			if s := w.mappings.Stats(id); s.OnFailureDestinationDelivered != 3 || s.Invocations != 0 || tried != 3 {
				t.Errorf("got %+v after %d attempts, want 3", s, tried)
			}
		})
	}
}

func TestEventsHaveSixMegabytes(t *testing.T) {
	w := start(t, config{stream: kinesis.Stream{Shards: 1, MaxRecordKiB: 10 * 1024}})
	large := func(name string, size int) string { return "k/" + name + strings.Repeat(".", size-2-len(name)) }
	var texts []string
	for i := range 6 {
		texts = append(texts, large(fmt.Sprint(i), 1<<20)) // 1.4 MB in base64: four fit
	}
	texts = append(texts, large("huge", 5<<20), large("fits", 4<<20), large("last", 10))
	for _, text := range texts {
		w.put(text)
	}
	w.create(func(m *esm.Mapping) { m.Destination = "arn:aws:s3:::failures" })
	w.drain()
	var sizes []int
	for _, c := range w.made() {
		sizes = append(sizes, len(c.Data))
	}
	// Two reads of 10 MiB and less, so where the first one ended a batch may end too.
	if n := slices.Max(sizes); n != 4 || slices.Contains(w.batches(), "k/huge..............") {
		t.Errorf("batches of %v records: four of 1 MiB fit, the huge one never", sizes)
	}
	joined := strings.Join(w.batches(), ",")
	for _, name := range []string{"0", "1", "2", "3", "4", "5", "fits", "last"} {
		if strings.Count(joined, "k/"+name+".") != 1 {
			t.Errorf("record %s came %d times", name, strings.Count(joined, "k/"+name+"."))
		}
	}
	all := w.failures()
	if len(all) != 1 || all[0].RequestContext.Condition != "RecordTooLarge" || all[0].RequestContext.ApproximateInvokeCount != 0 || len(all[0].Payload) < 5<<20*4/3 {
		t.Errorf("got %d objects", len(all))
	}
}

// A failure behind the first record splits the batch there where the mapping
// bisects, which is no attempt; where it does not, it is one.
func TestPartialFailuresAreAttemptsUnlessTheySplit(t *testing.T) {
	for _, c := range []struct {
		bisect  bool
		want    []string
		dropped int64
	}{
		{true, []string{"k/0,k/1,k/2,k/3", "k/1,k/2,k/3", "k/2,k/3", "k/3"}, 0},
		{false, []string{"k/0,k/1,k/2,k/3"}, 3},
	} {
		w := start(t, config{stream: kinesis.Stream{Shards: 1}, handler: func(e events.KinesisEvent) (any, error) {
			if len(e.Records) == 1 {
				return nil, nil
			}
			return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{{ItemIdentifier: e.Records[1].Kinesis.SequenceNumber}}}, nil
		}})
		w.put(names(4)...)
		w.create(func(m *esm.Mapping) {
			m.ItemFailures, m.Bisect, m.Retries, m.Destination = true, c.bisect, 0, "arn:aws:s3:::failures"
		})
		w.drain()
		if diff := cmp.Diff(c.want, w.batches()); diff != "" {
			t.Errorf("bisect %v:\n%s", c.bisect, diff)
		}
		if s := w.mappings.Stats(id); s.OnFailureDestinationDelivered != c.dropped {
			t.Errorf("bisect %v: got %+v", c.bisect, s)
		}
		// Here the function answered, so that no error of it is told.
		for _, f := range w.failures() {
			if f.ResponseContext == nil || f.ResponseContext.FunctionError != "" || f.KinesisBatchInfo.BatchSize != 3 {
				t.Errorf("got %+v", f)
			}
		}
	}
}
