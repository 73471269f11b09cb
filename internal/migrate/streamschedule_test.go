package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

var streamSchedules = flag.Int("schedules", 500, "random schedules of streams")

// The faults of a schedule. Every one has to occur in a run of them.
var streamFaults = []string{
	"duplicate", "reorder over shards", "bisect", "crash before", "crash after", "lost reply", "throttling", "database resuming",
	"failing over: shut down", "failing over: read-only", "deadlock", "serialization failure", "statement timeout",
	"poison", "refused value", "waits for other rows", "deadline", "given up by Lambda", "replayed", "replay handed on",
	"stopped and resumed", "registered anew", "quarantine object not written",
}

// databaseFaults are what the database and the way to it do.
var databaseFaults = map[string]struct {
	err    error
	stored bool
}{
	"lost reply":              {&serviceError{"NoAnswer", "the call ended without an answer"}, true},
	"throttling":              {&serviceError{"ThrottlingException", "rate exceeded"}, false},
	"database resuming":       {&serviceError{"DatabaseResumingException", "resuming"}, false},
	"failing over: shut down": {&stateError{"57P01"}, false},
	"failing over: read-only": {&stateError{"25006"}, false},
	"deadlock":                {&stateError{"40P01"}, false},
	"serialization failure":   {&stateError{"40001"}, false},
	"statement timeout":       {&serviceError{"StatementTimeoutException", "45 seconds"}, true},
}

// A streamWorld is what a stream brings, and what its target has to hold.
type streamWorld struct {
	name     string
	stream   change.Stream
	catalog  []change.RowTable
	messages []streamMessage
	// aggregated messages come several in a record, in no order; the others have
	// the order of their keys, unless unordered.
	aggregated, unordered bool
	poison                int // messages that never map
	same                  func(testing.TB, *memoryStream)
	ledger                *streamedLedger   // or
	database              *streamedDatabase // what it is of
}

// streamWorlds are one or more of each producer.
func streamWorlds(t testing.TB) (worlds []streamWorld) {
	for i, o := range []ledgergen.Options{{Seed: 3, Documents: 40}, {Seed: 5, Documents: 30, Unmappable: 3}} {
		l := streamLedger(t, o, int64(3+10*i))
		w := streamWorld{name: "qldb", stream: l.stream, aggregated: true, unordered: true, poison: len(l.refused), same: l.same, ledger: l}
		for _, m := range l.messages {
			w.messages = append(w.messages, streamMessage{m.PartitionKey, m.Data})
		}
		worlds = append(worlds, w)
	}
	for _, source := range []string{change.SourceDMS, change.SourceDSQL} {
		d := streamDatabase(source, 1, 90)
		worlds = append(worlds, streamWorld{
			name: source, stream: d.stream, catalog: d.catalog, messages: d.messages, unordered: source == change.SourceDSQL, same: d.same, database: d,
		})
	}
	return worlds
}

// Schedules of a seed: the mapping delivers batches as Kinesis and Lambda do, twice,
// halved, in the order of each shard and no other; everything fails that can, before
// and after it took effect. What remains is what the source holds. GODWIT_SEED
// repeats one.
func TestRandomStreamSchedulesEndTheSame(t *testing.T) {
	first, n := rand.Uint64()%1_000_000, uint64(*streamSchedules)
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	worlds := streamWorlds(t)
	met := &faultCounts{}
	t.Run("schedules", func(t *testing.T) {
		for seed := first; seed < first+n; seed++ {
			w := &worlds[seed%uint64(len(worlds))]
			t.Run(fmt.Sprintf("%s seed %d", w.name, seed), func(t *testing.T) {
				t.Parallel()
				s := newStreamSchedule(t, w, seed)
				s.run()
				met.add(s.met)
			})
		}
	})
	met.report(t, n >= 100)
}

// faultCounts counts how often each fault occurred.
type faultCounts struct {
	mu sync.Mutex
	n  map[string]int
}

func (f *faultCounts) add(met map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = map[string]int{}
	}
	for name, n := range met {
		f.n[name] += n
	}
}

// report prints the counts; all tells that each fault must have occurred.
func (f *faultCounts) report(t *testing.T, all bool) {
	t.Helper()
	for _, name := range streamFaults {
		t.Logf("%6d %s", f.n[name], name)
		if all && f.n[name] == 0 {
			t.Errorf("fault %q never occurred", name)
		}
	}
	for name := range f.n {
		if !slices.Contains(streamFaults, name) {
			t.Errorf("fault %q is not listed", name)
		}
	}
}

// A streamSchedule disturbs a stream.
type streamSchedule struct {
	*streamRun
	world  *streamWorld
	seed   uint64
	random *rand.Rand
	met    map[string]int
	lanes  []*streamLane
	mended bool
	armed  string        // the database's next fault
	after  int           // calls until it
	late   func()        // told of every request, to be the deadline; nil
	server *streamServer // instead of target; nil: none
	poison int           // messages that nothing mends
}

// A streamLane is one shard, as the mapping goes through it.
type streamLane struct {
	records []events.KinesisEventRecord
	at      int // of the checkpoint
	most    int // records of the next batch, after a bisection
	failed  int // calls in turn
}

func newStreamSchedule(t testing.TB, w *streamWorld, seed uint64) *streamSchedule {
	s := &streamSchedule{streamRun: newStreamRun(t, w.stream), world: w, seed: seed, random: rand.New(rand.NewPCG(seed, 3)), met: map[string]int{}}
	s.target.catalog = w.catalog
	s.objects.changing = func(key string) bool { return s.mended || strings.HasPrefix(key, replayed) }
	s.target.cut = func(n int) int { return 1 + s.random.IntN(n) }
	s.target.refuse = s.refusal
	s.target.fault = func(call string) (bool, error) {
		f := databaseFaults[s.strikes(call == "Apply")]
		return f.stored, f.err
	}
	s.objects.fault = func(key string) (bool, error) {
		if s.random.IntN(12) > 0 || !strings.HasPrefix(key, "quarantine/") {
			return true, nil
		}
		s.met["quarantine object not written"]++
		return s.random.IntN(2) == 0, &serviceError{"SlowDown", "reduce your request rate"}
	}
	s.deal()
	return s
}

const replayed = "replayed/"

// strikes is asked at every call of the database, and returns the fault that it
// meets, or "". It may be the call at which the deadline comes.
func (s *streamSchedule) strikes(applies bool) string {
	if s.late != nil && applies {
		s.late()
	}
	if s.armed == "" || !applies && s.random.IntN(3) > 0 {
		return ""
	}
	if s.after--; s.after > 0 {
		return ""
	}
	name := s.armed
	s.met[name]++
	s.armed = ""
	return name
}

// arm has the database fail within some calls.
func (s *streamSchedule) arm(within int) {
	s.armed = slices.Sorted(maps.Keys(databaseFaults))[s.random.IntN(len(databaseFaults))]
	s.after = 1 + s.random.IntN(within)
}

// deal puts the messages into records, and the records into shards.
func (s *streamSchedule) deal() {
	s.lanes = make([]*streamLane, 1+s.random.IntN(4))
	for i := range s.lanes {
		s.lanes[i] = &streamLane{}
	}
	messages := slices.Clone(s.world.messages)
	for range s.random.IntN(5) {
		messages = slices.Insert(messages, s.random.IntN(len(messages)+1), s.garbage())
		s.poison++
		s.met["poison"]++
	}
	s.poison += s.world.poison
	s.met["poison"] += s.world.poison
	if s.world.unordered {
		// Not quite: what is far apart stays so, as over some shards.
		for i := range messages {
			k := min(len(messages)-1, i+s.random.IntN(30))
			messages[i], messages[k] = messages[k], messages[i]
		}
	}
	number := 0
	for len(messages) > 0 {
		n := 1
		data := messages[0].data
		if s.world.aggregated && s.random.IntN(4) > 0 {
			n = min(len(messages), 1+s.random.IntN(20))
			var all []ledgergen.StreamMessage
			for _, m := range messages[:n] {
				all = append(all, ledgergen.StreamMessage{PartitionKey: m.key, Data: m.data})
			}
			data = ledgergen.Aggregate(all)
		}
		lane := s.random.IntN(len(s.lanes))
		if !s.world.unordered {
			sum := 0
			for _, c := range messages[0].key {
				sum += int(c)
			}
			lane = sum % len(s.lanes)
		}
		l := s.lanes[lane]
		l.records = append(l.records, kinesisRecord(lane, number, messages[0].key, data, arrival.Add(time.Duration(number)*time.Millisecond)))
		messages = messages[n:]
		number++
	}
}

// garbage is a message that nothing mends.
func (s *streamSchedule) garbage() streamMessage {
	whole := s.world.messages[s.random.IntN(len(s.world.messages))].data
	damaged := ledgergen.Aggregate([]ledgergen.StreamMessage{{PartitionKey: "k", Data: whole}})
	damaged[len(damaged)-1]++
	other := record(change.SourceDSQL, "item", 1, 0, nil, map[string]string{"id": "1", "name": `"x"`})
	if s.world.name == change.SourceDSQL {
		other = record(change.SourceDMS, "item", 1, 0, nil, map[string]string{"id": "1", "name": `"x"`})
	}
	choices := [][]byte{[]byte("garbage"), {}, whole[:len(whole)/2], damaged, other}
	return streamMessage{"garbage", choices[s.random.IntN(len(choices))]}
}

// refusal is the database's: some messages it never takes before they are mended,
// some not at first.
func (s *streamSchedule) refusal(items []change.Item) error {
	if s.mended || items[0].Revision == nil && items[0].Row == nil {
		return nil
	}
	h := uint64(len(items))
	for _, c := range fmt.Sprint(s.seed, items[0].Mark) {
		h = h*1099511628211 ^ uint64(c)
	}
	switch h % 150 {
	case 0:
		s.met["refused value"]++
		return &change.RefusedError{State: "22003", Detail: "the database refuses a value"}
	case 1, 2:
		if s.random.IntN(4) > 0 {
			s.met["waits for other rows"]++
			return &change.WaitError{State: "23503", Detail: "the database refuses a value (constraint fk of table t)"}
		}
	}
	return nil
}

func (s *streamSchedule) run() {
	for turn := 0; ; turn++ {
		if turn > 20_000 {
			s.t.Fatalf("seed %d: no end", s.seed)
		}
		s.now = s.now.Add(time.Duration(s.random.IntN(10)) * time.Second)
		var open []*streamLane
		for _, l := range s.lanes {
			if l.at < len(l.records) {
				open = append(open, l)
			}
		}
		if len(open) == 0 {
			break
		}
		k := s.random.IntN(len(open))
		if k > 0 {
			s.met["reorder over shards"]++
		}
		s.turn(open[k])
	}
	s.finish()
}

// turn delivers one batch of a shard.
func (s *streamSchedule) turn(l *streamLane) {
	from, n := l.at, 1+s.random.IntN(25)
	if l.most > 0 {
		n = min(n, l.most)
	} else if from > 0 && s.random.IntN(10) == 0 {
		from = max(0, from-1-s.random.IntN(8)) // the checkpoint was not kept
		s.met["duplicate"]++
	}
	batch := l.records[from:min(len(l.records), l.at+n)]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.armed = ""
	lost := false
	switch s.random.IntN(12) {
	case 0:
		s.met["crash before"]++
		s.restart()
		return
	case 1:
		s.met["crash after"]++
		lost = true
	case 2, 3, 4, 5:
		s.arm(3)
	case 6:
		s.met["deadline"]++
		s.endAfter(cancel, 1+s.random.IntN(3))
	case 7:
		s.disturb()
	}
	out, err := s.apply.Handle(ctx, delivered(s.t, batch))
	s.late = nil
	var stop *migrate.Stop
	switch {
	case lost:
		s.restart()
		l.failed++
	case err == nil && len(out.BatchItemFailures) == 0:
		l.at, l.most, l.failed = from+len(batch), 0, 0
	case err == nil:
		// The lowest sequence number that is named, wherever it is.
		at := slices.IndexFunc(batch, func(r events.KinesisEventRecord) bool {
			return r.Kinesis.SequenceNumber == out.BatchItemFailures[0].ItemIdentifier
		})
		if at < 0 {
			s.t.Fatalf("seed %d: %+v names no record of the batch", s.seed, out)
		}
		l.at = max(l.at, from+at)
	case errors.As(err, &stop) && strings.Contains(err.Error(), "is stopped"):
		s.resume()
	case errors.As(err, &stop):
		s.t.Fatalf("seed %d: %v", s.seed, err)
	default:
		l.failed++
		if half := len(batch) / 2; half > 0 && s.random.IntN(2) == 0 {
			s.met["bisect"]++
			l.most = half
		}
	}
	if l.failed > 2 && s.random.IntN(8) == 0 {
		s.giveUp(l, batch, from)
	}
}

// endAfter cancels a call's context before a request of it.
func (s *streamSchedule) endAfter(cancel func(), requests int) {
	s.late = func() {
		if requests--; requests < 0 {
			cancel()
		}
	}
}

// giveUp is what Lambda does with a batch after the last retry.
func (s *streamSchedule) giveUp(l *streamLane, batch []events.KinesisEventRecord, from int) {
	s.met["given up by Lambda"]++
	key, body := failureObject(s.t, batch, "RetryAttemptsExhausted")
	s.objects.set(failureBucket, key, body)
	l.at, l.most, l.failed = max(l.at, from+len(batch)), 0, 0
}

// disturb does what operators do.
func (s *streamSchedule) disturb() {
	if s.random.IntN(2) == 0 {
		s.met["registered anew"]++
		if s.server != nil {
			s.server.exec(`UPDATE godwit.stream SET generation = generation + 1`)
		}
		s.target.stream.Generation++
		return
	}
	s.met["stopped and resumed"]++
	if err := s.db.StopStream(context.Background(), changes, "an operator wants it so"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *streamSchedule) resume() {
	s.t.Helper()
	if s.mappings.state != "Disabled" {
		s.t.Errorf("seed %d: the stream is stopped, and its mapping is %s", s.seed, s.mappings.state)
	}
	s.armed = ""
	h := &migrate.StreamResume{Objects: s.objects, Target: s.db, Mappings: s.mappings, StreamARN: streamARN, Mapping: mappingID}
	if _, err := h.Handle(context.Background(), []byte(`{"Because":"it was a test"}`)); err != nil {
		s.t.Fatalf("seed %d: resume: %v", s.seed, err)
	}
}

// finish mends what can be mended, replays all, and compares.
func (s *streamSchedule) finish() {
	s.t.Helper()
	s.armed = ""
	if err := s.db.ResumeStream(context.Background(), changes, "the end"); err != nil {
		s.t.Fatal(err)
	}
	s.now = s.now.Add(time.Hour)
	if s.server != nil {
		s.server.mend(s.met)
	}
	for round := range 2 { // replaying is safe twice
		s.mended = true
		in := migrate.StreamReplayIn{}
		for calls := 0; ; calls++ {
			if calls > 1000 {
				s.t.Fatalf("seed %d: replays have no end", s.seed)
			}
			s.armed = ""
			ctx, cancel := context.WithCancel(context.Background())
			if round == 0 && s.random.IntN(2) == 0 {
				s.arm(9)
			} else if round == 0 && s.random.IntN(3) == 0 {
				s.endAfter(cancel, 2+s.random.IntN(4))
			}
			b, _ := json.Marshal(in)
			out, err := s.replayer().Handle(ctx, b)
			cancel()
			s.late = nil
			var again *migrate.Again
			if err != nil && !errors.As(err, &again) {
				s.t.Fatalf("seed %d: replay: %v", s.seed, err)
			}
			s.met["replayed"] += int(out.Objects)
			if out.Done {
				break
			}
			if err == nil {
				s.met["replay handed on"]++
				in.Resume = out.Resume
			}
		}
	}
	if s.server != nil {
		s.server.same(s.world)
	} else {
		s.world.same(s.t, s.target)
	}
	all := memoryShards{}
	for _, l := range s.lanes {
		maps.Copy(all, shardsOf(l.records))
	}
	got := s.status("{}", all)
	if got.Aside != int64(s.poison) || got.Safe != (s.poison == 0) || got.Unread != 0 || got.Failures != 0 {
		s.t.Errorf("seed %d: %d messages are poison; status %+v", s.seed, s.poison, got)
	}
	for _, a := range s.target.asides {
		if body, err := s.objects.read(failureBucket, a.Object); err != nil || !bytes.Contains(body, []byte(`"Reason"`)) {
			s.t.Errorf("seed %d: quarantine object %s: %v", s.seed, a.Object, err)
		}
	}
	if s.t.Failed() {
		s.t.Logf("seed %d: %v", s.seed, s.met)
	}
}
