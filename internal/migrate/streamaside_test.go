package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

// A bad message is set aside alone, in a record of its own and within an
// aggregate: its neighbours are applied.
func TestPoisonIsSetAsideAlone(t *testing.T) {
	l := streamLedger(t, ledgergen.Options{Seed: 3, Documents: 60, Unmappable: 6}, loadedBlocks)
	if len(l.refused) != 6 {
		t.Fatalf("%d documents do not map, want 6", len(l.refused))
	}
	garbage := ledgergen.StreamMessage{PartitionKey: "x", Data: []byte("no ion")}
	l.messages = slices.Insert(l.messages, len(l.messages)/2, garbage)
	damaged := ledgergen.Aggregate(l.messages[:3])
	damaged[len(damaged)-1]++
	for _, each := range []int{1, 40} {
		r := newStreamRun(t, l.stream)
		records := append(l.records(each, 2), kinesisRecord(0, 999_999, "k", damaged, arrival), kinesisRecord(1, 999_998, "k", nil, arrival))
		r.must(records...)
		l.same(t, r.target)
		if len(r.target.asides) != 9 || r.metrics[migrate.MetricQuarantined] != 9 {
			t.Errorf("%d messages are set aside, the metric says %d, want 9", len(r.target.asides), r.metrics[migrate.MetricQuarantined])
		}
		known, reasons := 0, ""
		for _, a := range r.target.asides {
			if a.Document != "" {
				if known++; a.Current == "" || a.Block < 0 || a.Hash == nil || a.Table.ID == "" {
					t.Errorf("%+v: table, block and hash are known", a)
				}
			}
			reasons += a.Reason + "\n"
		}
		for _, want := range []string{"LastName: column last_name", "neither binary ion", "MD5", "it is empty"} {
			if !strings.Contains(reasons, want) {
				t.Errorf("no reason has %q:\n%s", want, reasons)
			}
		}
		if known != 6 {
			t.Errorf("%d of the messages set aside name their document, want 6", known)
		}
		got := r.status("{}", shardsOf(records))
		if got.Safe || got.Aside != 9 || !strings.HasPrefix(got.Line, "not safe: 9 set aside, the first of them s3://failures/quarantine/changes/shardId-") {
			t.Errorf("status %q", got.Line)
		}
		// Another mapping cannot mend these: replaying sets the same aside.
		if out := r.replay("quarantine/changes/"); !out.Done || out.Objects != 9 || out.Aside != 9 || out.Applied != 0 {
			t.Errorf("replay %+v", out)
		}
		l.same(t, r.target)
	}
}

// What the database refuses is set aside like what does not map, and a replay
// applies it once it does not.
func TestRefusedValuesAreSetAsideAndReplayed(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	refused := map[string]bool{}
	r.target.refuse = func(items []change.Item) error {
		if x := items[0].Revision; x != nil && x.Current != "" && x.Hash[0] < 20 {
			refused[fmt.Sprintf("%s/%d", x.Document, x.Version)] = true
			return &change.RefusedError{State: "22003", Detail: "the database refuses a value"}
		}
		return nil
	}
	records := l.records(30, 3)
	r.must(records...)
	if len(refused) < 3 || len(r.target.asides) != len(refused) {
		t.Fatalf("%d messages are set aside of %d refused", len(r.target.asides), len(refused))
	}
	for _, a := range r.target.asides {
		if a.Document == "" || a.Current == "" || !strings.Contains(a.Reason, "SQLSTATE 22003") {
			t.Errorf("set aside as %+v", a)
		}
	}
	r.target.refuse = nil
	if out := r.replay(""); !out.Done || out.Applied != int64(len(refused)) || out.Aside != 0 {
		t.Errorf("replay of %d: %+v", len(refused), out)
	}
	l.same(t, r.target)
	if got := r.status("{}", shardsOf(records)); !got.Safe {
		t.Errorf("status %q", got.Line)
	}
	r.replay("") // and again
	l.same(t, r.target)
}

// A message that breaks a rule between rows is delivered again until others came,
// and set aside five minutes later.
func TestMessagesWaitForOthers(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	records := l.records(1, 1)
	waiting := ""
	for i := range records {
		if at := l.blocks[i]; at > loadedBlocks {
			waiting = records[i].Kinesis.SequenceNumber
			break
		}
	}
	r.target.refuse = func(items []change.Item) error {
		if items[0].Mark.Sequence == waiting {
			return &change.WaitError{State: "23503", Detail: "the database refuses a value (constraint fk of table t)"}
		}
		return nil
	}
	out, err := r.handle(records...)
	if err != nil || len(out.BatchItemFailures) != 1 || out.BatchItemFailures[0].ItemIdentifier != waiting {
		t.Fatalf("got %+v, %v, want record %s named", out, err, waiting)
	}
	from := slices.IndexFunc(records, func(x events.KinesisEventRecord) bool { return x.Kinesis.SequenceNumber == waiting })
	_, err = r.handle(records[from:]...)
	var again *migrate.Again
	if !errors.As(err, &again) {
		t.Fatalf("a batch that begins with a message that waits ends in %v", err)
	}
	r.now = r.now.Add(5*time.Minute + time.Second)
	r.must(records[from:]...)
	if len(r.target.asides) != 1 {
		t.Fatalf("%d messages are set aside, want the one that waited", len(r.target.asides))
	}
	for _, a := range r.target.asides {
		if !strings.Contains(a.Reason, "rule between rows") || !strings.Contains(a.Reason, "23503") {
			t.Errorf("its reason is %q", a.Reason)
		}
	}
	r.target.refuse = nil
	r.replay("")
	l.same(t, r.target)
}

// What a stream kept for hours waits for other shards as well, which have as much
// to read; but a shard of which much is broken waits once, not at every message.
func TestMessagesThatAreLateWaitForOthersOnce(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	r.now = arrival.Add(6 * time.Hour)
	records := l.records(1, 1)
	broken := map[string]bool{}
	for i := range records {
		if l.blocks[i] > loadedBlocks && len(broken) < 3 {
			broken[records[i].Kinesis.SequenceNumber] = true
		}
	}
	r.target.refuse = func(items []change.Item) error {
		if broken[items[0].Mark.Sequence] {
			return &change.WaitError{State: "23503", Detail: "the database refuses a value (constraint fk of table t)"}
		}
		return nil
	}
	for range 3 {
		if out, err := r.handle(records...); err != nil || len(out.BatchItemFailures) != 1 || len(r.target.asides) != 0 {
			t.Fatalf("got %+v, %v and %d set aside, want that it waits", out, err, len(r.target.asides))
		}
		r.now = r.now.Add(2 * time.Minute)
	}
	r.must(records...)
	if len(r.target.asides) != len(broken) {
		t.Errorf("%d messages are set aside, want %d", len(r.target.asides), len(broken))
	}
	if out := r.replay(""); out.Aside != int64(len(broken)) {
		t.Errorf("replay %+v: nothing waits for a replay", out)
	}
}

// A storm of messages that the database refuses costs about a request each.
func TestStormOfRefusals(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	refused, items := 0, 0
	r.target.refuse = func(message []change.Item) error {
		if message[0].Revision != nil {
			refused++
			return &change.RefusedError{State: "22003", Detail: "the database refuses a value"}
		}
		return nil
	}
	r.db = counted{r.target, &items}
	r.restart()
	records := l.records(40, 1)
	r.must(records...)
	if refused < 50 || len(r.target.asides) != refused {
		t.Fatalf("%d refused, %d set aside", refused, len(r.target.asides))
	}
	// The first call brings all; then each brings what it applies, and little more.
	if limit := len(l.messages) * 6; items > limit {
		t.Errorf("the target was given %d items for %d messages, want %d at most", items, len(l.messages), limit)
	}
}

// counted counts the items that Apply is given.
type counted struct {
	migrate.StreamTarget
	items *int
}

func (c counted) Apply(ctx context.Context, s change.Stream, items []change.Item) (change.Applied, error) {
	*c.items += len(items)
	return c.StreamTarget.Apply(ctx, s, items)
}
