package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
	"godwit/internal/migrate"
	"godwit/internal/stream"
)

const journalStreamARN = "arn:aws:qldb:eu-west-1:123456789012:stream/vehicle-registration/IiPT4brpZCqCq3f4MTHbYy"

// arrival is when the records of the tests came.
var arrival = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A streamedLedger is a ledger of which a load took the first blocks, and what a
// stream brings of the others.
type streamedLedger struct {
	stream   change.Stream
	messages []ledgergen.StreamMessage // in the order of the journal
	blocks   []int64                   // of each message
	ends     [][2]int                  // messages of deletions, each behind that of the revision before it
	tip      int64

	// What a right target holds of the others: see memoryStream.ledger. refused are
	// the documents with a revision that does not map.
	history, current map[string]string
	refused          []string
}

// streamLedger makes a ledger. What its target has to hold comes by the way of
// exports.
func streamLedger(t testing.TB, o ledgergen.Options, loaded int64) *streamedLedger {
	t.Helper()
	o.Unredacted = true // the stream was faster than the redactions
	j, err := ledgergen.NewJournal(o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	l := &streamedLedger{tip: j.Len() - 1, stream: change.Stream{
		Name: changes, Source: change.SourceQLDB, Schema: "dmv", Load: "3f9a61c07d52be843f9a61c07d52be84", Strand: j.Strand(),
		Boundary: change.Position{Major: loaded - 1}, Mapping: string(mapping.DMV()), History: true, ApplyRedactions: true,
	}}
	if loaded > 0 {
		l.stream.BoundaryHash = j.Hash(loaded - 1).Bytes()
	}
	for n := range j.Len() {
		block, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := block.Stream(journalStreamARN)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			l.messages = append(l.messages, m)
			l.blocks = append(l.blocks, n)
		}
	}
	l.findEnds(t)
	o.Unredacted, o.FromBlock = false, loaded
	l.expect(t, o)
	return l
}

func (l *streamedLedger) findEnds(t testing.TB) {
	t.Helper()
	last := map[string]int{} // message of a document
	decoder := stream.NewDecoder(&change.Fields{})
	for i, m := range l.messages {
		event, err := decoder.Decode(stream.Message{Data: m.Data})
		if err != nil {
			t.Fatal(err)
		}
		x, ok := event.(*stream.Revision)
		if !ok {
			continue
		}
		r := &x.Block.Revisions[0]
		if before, ok := last[string(r.DocumentID)]; ok && r.Deleted() && x.Block.SequenceNo > l.stream.Boundary.Major && l.blocks[before] > l.stream.Boundary.Major {
			l.ends = append(l.ends, [2]int{before, i})
		}
		last[string(r.DocumentID)] = i
	}
}

// expect reads the export of the blocks that were not loaded.
func (l *streamedLedger) expect(t testing.TB, o ledgergen.Options) {
	t.Helper()
	file, err := mapping.Parse(mapping.DMV())
	if err != nil {
		t.Fatal(err)
	}
	fields := &change.Fields{}
	rules, err := mapping.Compile(file, fields)
	if err != nil {
		t.Fatal(err)
	}
	l.history, l.current = map[string]string{}, map[string]string{}
	versions, tableOf := map[string]change.Version{}, map[string]string{}
	revision := func(b *journal.Block, i int) error {
		rec, err := b.Record(i)
		if rec == nil {
			return err
		}
		plan, unnamed := rules.Plan(rec.Table.Name)
		if unnamed != nil {
			return unnamed
		}
		at := plan.Current.Name + "/" + string(rec.Key)
		var text []byte
		row, bad := plan.Map(rec)
		if bad == nil {
			text, bad = copytext.AppendJSON(nil, row)
		}
		if bad != nil {
			l.refused, text = append(l.refused, at), nil
		}
		if text == nil {
			return nil
		}
		l.history[fmt.Sprintf("%s/%d", at, rec.Version)] = bareRow(text, true)
		if was, ok := versions[at]; !ok || was < rec.Version {
			versions[at], tableOf[at] = rec.Version, rec.Table.ID
			if delete(l.current, at); !rec.Deleted && !rec.Redacted {
				l.current[at] = bareRow(text, false)
			}
		}
		return nil
	}
	ledger, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
		if !strings.HasSuffix(x.Key, ".ion") {
			return nil
		}
		r, err := journal.NewReader(bytes.NewReader(x.Body), journal.Options{Fields: fields})
		if err != nil {
			return err
		}
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if b.SequenceNo <= l.stream.Boundary.Major {
				continue
			}
			for i := range b.Revisions {
				if err := revision(b, i); err != nil {
					return err
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	dropped := map[string]bool{}
	for _, x := range ledger.Tables {
		dropped[x.ID] = !x.Active
	}
	for at, id := range tableOf {
		if dropped[id] || slices.Contains(l.refused, at) {
			delete(l.current, at)
		}
	}
}

// same compares what the target has with what it has to have.
func (l *streamedLedger) same(t testing.TB, m *memoryStream) {
	t.Helper()
	history, current := m.ledger()
	if d := cmp.Diff(l.history, history); d != "" {
		t.Errorf("the history differs (-want +got):\n%s", d)
	}
	if d := cmp.Diff(l.current, current); d != "" {
		t.Errorf("the current tables differ (-want +got):\n%s", d)
	}
	if got := m.gapFree(); got != l.tip {
		t.Errorf("all up to block %d is complete, want %d", got, l.tip)
	}
}

// records makes a record of every message, or aggregates so many each, over
// shards.
func (l *streamedLedger) records(each, shards int) (out []events.KinesisEventRecord) {
	number := 0
	for at := 0; at < len(l.messages); at += each {
		group := l.messages[at:min(at+each, len(l.messages))]
		data := group[0].Data
		if each > 1 {
			data = ledgergen.Aggregate(group)
		}
		out = append(out, kinesisRecord(number%shards, number, group[0].PartitionKey, data, arrival))
		number++
	}
	return out
}

// A streamWorld is what a stream brings, and what its target has to hold.
type streamWorld struct {
	name     string
	stream   change.Stream
	messages []streamMessage
	poison   int               // messages that never map
	ledger   *streamedLedger   // or
	database *streamedDatabase // what it is of
}

// aggregated tells whether messages may come several in a record.
func (w *streamWorld) aggregated() bool { return w.ledger != nil }

// unordered tells whether messages come in no order; others have that of their keys.
func (w *streamWorld) unordered() bool { return w.name != change.SourceDMS }

// streamWorlds returns the world of each seed: half of them are of ledgers.
func streamWorlds(t testing.TB) func(seed uint64) *streamWorld {
	var ledgers []*streamedLedger
	for i := range int64(8) {
		o := ledgergen.Options{Seed: 3 + uint64(i), Documents: int(8 + i), Unmappable: int(i % 2 * 3)}
		if i == 4 || i == 6 {
			o.Documents, o.Blocks = 16, 14 // no table is dropped yet
		}
		ledgers = append(ledgers, streamLedger(t, o, 3+i%4))
	}
	return func(seed uint64) *streamWorld {
		if n := seed / 2; seed%2 == 0 {
			l := ledgers[n%uint64(len(ledgers))]
			w := &streamWorld{name: change.SourceQLDB, stream: l.stream, poison: len(l.refused), ledger: l}
			for _, m := range l.messages {
				w.messages = append(w.messages, streamMessage{m.PartitionKey, m.Data})
			}
			return w
		}
		source := []string{change.SourceDMS, change.SourceDSQL}[seed/2%2]
		d := streamDatabase(source, seed, 25)
		return &streamWorld{name: source, stream: d.stream, messages: d.messages, database: d}
	}
}

// A streamRun is stream-apply over fakes.
type streamRun struct {
	t        testing.TB
	objects  *memoryObjects
	target   *memoryStream
	db       migrate.StreamTarget // target, or another
	mappings *memoryMappings
	metrics  map[string]int64
	now      time.Time
	apply    *migrate.StreamApply
}

func newStreamRun(t testing.TB, s change.Stream) *streamRun {
	o := newObjects(t)
	r := &streamRun{
		t: t, objects: o, target: newStream(t, o, s), mappings: &memoryMappings{t: t, function: "stream-apply", state: "Enabled"},
		metrics: map[string]int64{}, now: arrival.Add(time.Minute),
	}
	r.db = r.target
	r.restart()
	return r
}

// restart is a new process.
func (r *streamRun) restart() {
	r.apply = &migrate.StreamApply{
		Objects: r.objects, Target: r.db, Mappings: r.mappings, Function: "stream-apply", FailureBucket: failureBucket,
		Now: func() time.Time { return r.now }, Metrics: func(all ...migrate.Metric) {
			for _, m := range all {
				for _, v := range m.Values {
					r.metrics[m.Name] += v
				}
			}
		},
	}
}

func (r *streamRun) handle(records ...events.KinesisEventRecord) (events.KinesisEventResponse, error) {
	return r.apply.Handle(context.Background(), delivered(r.t, records))
}

// delivered sends an event through JSON, as Lambda does.
func delivered(t testing.TB, records []events.KinesisEventRecord) (e events.KinesisEvent) {
	t.Helper()
	b, err := json.Marshal(events.KinesisEvent{Records: records})
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// must applies records, which has to succeed.
func (r *streamRun) must(records ...events.KinesisEventRecord) {
	r.t.Helper()
	out, err := r.handle(records...)
	if err != nil || len(out.BatchItemFailures) > 0 {
		r.t.Fatalf("apply %d records: %+v, %v", len(records), out, err)
	}
}

// replay replays everything, or what is under a prefix.
func (r *streamRun) replay(prefix string) migrate.StreamReplayOut {
	r.t.Helper()
	in := "{}"
	if prefix != "" {
		in = fmt.Sprintf(`{"Prefix":%q}`, prefix)
	}
	out, err := r.replayer().Handle(context.Background(), []byte(in))
	if err != nil {
		r.t.Fatalf("replay: %v", err)
	}
	return out
}

func (r *streamRun) replayer() *migrate.StreamReplay {
	return &migrate.StreamReplay{Objects: r.objects, Target: r.db, FailureBucket: failureBucket, StreamARN: streamARN, Now: func() time.Time { return r.now }}
}

// status asks where the stream stands; unread are its records by shard.
func (r *streamRun) status(input string, shards memoryShards) migrate.StreamStatusOut {
	r.t.Helper()
	h := &migrate.StreamStatus{
		Objects: r.objects, Target: r.db, Mappings: r.mappings, Shards: shards, FailureBucket: failureBucket,
		StreamARN: streamARN, Mapping: mappingID, Now: func() time.Time { return r.now },
	}
	out, err := h.Handle(context.Background(), []byte(input))
	if err != nil {
		r.t.Fatalf("status: %v", cause(err))
	}
	return out
}

// memoryShards are the sequence numbers of a stream's records, by shard.
type memoryShards map[string][]string

func shardsOf(records []events.KinesisEventRecord) memoryShards {
	m := memoryShards{}
	for i := range records {
		shard, sequence, _ := strings.Cut(records[i].EventID, ":")
		m[shard] = append(m[shard], sequence)
	}
	return m
}

func (m memoryShards) Shards(context.Context, string) (out []string, err error) {
	for shard := range m {
		out = append(out, shard)
	}
	slices.Sort(out)
	return out, nil
}

func (m memoryShards) Unread(_ context.Context, _, shard, after string, most int) (n int, more, foreign bool, err error) {
	if foreign = after != "" && !slices.Contains(m[shard], after); foreign {
		after = ""
	}
	for _, s := range m[shard] {
		if s > after {
			n++
		}
	}
	return min(n, most), n > most, foreign, nil
}
