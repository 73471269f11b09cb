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
	"runtime"
	"slices"
	"strconv"
	"strings"
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
	"poison", "refused value", "waits for other rows", "deadline", "given up by Lambda", "replayed", "replayed early", "replay handed on",
	"stopped and resumed", "registered anew", "registered anew while stopped", "quarantine object not written",
	"two functions at once", "one batch to two functions", "written and deleted at once", "held between the statements", "stopped between the statements", "registered anew between the statements",
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

// Schedules of a seed: the mapping delivers batches as Kinesis and Lambda do, twice,
// halved, in the order of each shard and no other, to two functions at once;
// everything fails that can, before and after it took effect. What remains, in a
// real PostgreSQL behind the Data API, is what the source holds. GODWIT_SEED repeats
// one, but for what two functions do at the same time.
func TestRandomStreamSchedulesEndTheSame(t *testing.T) {
	first, n := rand.Uint64()%1_000_000, uint64(*streamSchedules)
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	world := streamWorlds(t)
	servers := make(chan *streamServer, runtime.GOMAXPROCS(0))
	for range cap(servers) {
		servers <- newStreamServer(t)
	}
	met := &faultCounts{}
	t.Run("schedules", func(t *testing.T) {
		for seed := first; seed < first+n; seed++ {
			w := world(seed)
			t.Run(fmt.Sprintf("%s seed %d", w.name, seed), func(t *testing.T) {
				t.Parallel()
				server := <-servers
				defer func() { servers <- server }()
				s := newStreamSchedule(t, server, w, seed)
				s.run()
				met.add(s.met)
			})
		}
	})
	t.Logf("%d schedules from seed %d on", n, first)
	met.report(t, n >= 200)
}

// A streamSchedule disturbs a stream.
type streamSchedule struct {
	*streamRun // of operators
	world      *streamWorld
	server     *streamServer
	seed       uint64
	random     *rand.Rand
	met        *faultCounts
	functions  [2]*streamRun
	lanes      []*streamLane
	stopped    string // when the stream applied something last, which was stopped then; "": it runs
	replayed   bool
	atOnce     bool // two shards begin with one document
	poison     int  // messages that nothing mends
}

// A streamLane is one shard, as the mapping goes through it.
type streamLane struct {
	records []events.KinesisEventRecord
	at      int // of the checkpoint
	most    int // records of the next batch, after a bisection
	failed  int // calls in turn
}

func newStreamSchedule(t testing.TB, server *streamServer, w *streamWorld, seed uint64) *streamSchedule {
	s := &streamSchedule{streamRun: newStreamRun(t, w.stream), world: w, server: server, seed: seed, random: rand.New(rand.NewPCG(seed, 3)), met: &faultCounts{}}
	server.begin(t, w, seed)
	for i, way := range server.ways {
		way.begin(rand.New(rand.NewPCG(seed, uint64(4+i))), s.met)
	}
	s.target, s.db = nil, server.operator().db
	for i := range s.functions {
		s.functions[i] = &streamRun{t: t, objects: s.objects, db: server.ways[i].db, mappings: s.mappings, metrics: map[string]int64{}}
		s.functions[i].restart()
	}
	s.objects.changing = func(string) bool { return s.replayed } // what is set aside again has its reason anew
	tried := map[string]int{}
	s.objects.fault = func(key string) (bool, error) {
		chance := rand.New(rand.NewPCG(seed, uint64(len(key)+tried[key])<<32+sum(key)))
		if tried[key]++; chance.IntN(12) > 0 || !strings.HasPrefix(key, "quarantine/") {
			return true, nil
		}
		s.met.count("quarantine object not written", 1)
		return chance.IntN(2) == 0, &serviceError{"SlowDown", "reduce your request rate"}
	}
	s.deal()
	return s
}

func sum(text string) (n uint64) {
	for _, c := range []byte(text) {
		n = n*31 + uint64(c)
	}
	return n % (1 << 31)
}

// deal puts the messages into records, and the records into shards.
func (s *streamSchedule) deal() {
	s.lanes = make([]*streamLane, 1+s.random.IntN(4))
	for i := range s.lanes {
		s.lanes[i] = &streamLane{}
	}
	messages := slices.Clone(s.world.messages)
	number := 0
	if l := s.world.ledger; l != nil && len(l.ends) > 0 && len(s.lanes) > 1 && s.random.IntN(3) > 0 {
		// A document's last revision and its deletion are what two shards begin with.
		end := l.ends[s.random.IntN(len(l.ends))]
		for lane, i := range end {
			m := messages[i]
			s.lanes[lane].records = []events.KinesisEventRecord{kinesisRecord(lane, number, m.key, m.data, arrival)}
			s.lanes[lane].most = 1
			number++
		}
		messages = slices.Delete(slices.Delete(messages, end[1], end[1]+1), end[0], end[0]+1)
		s.atOnce = true
	}
	for range s.random.IntN(5) {
		messages = slices.Insert(messages, s.random.IntN(len(messages)+1), s.garbage())
		s.poison++
		s.met.count("poison", 1)
	}
	s.poison += s.world.poison
	s.met.count("poison", s.world.poison)
	if s.world.unordered() {
		// Not quite: what is far apart stays so, as over some shards.
		for i := range messages {
			k := min(len(messages)-1, i+s.random.IntN(30))
			messages[i], messages[k] = messages[k], messages[i]
		}
	}
	for len(messages) > 0 {
		n := 1
		data := messages[0].data
		if s.world.aggregated() && s.random.IntN(4) > 0 {
			n = min(len(messages), 1+s.random.IntN(20))
			var all []ledgergen.StreamMessage
			for _, m := range messages[:n] {
				all = append(all, ledgergen.StreamMessage{PartitionKey: m.key, Data: m.data})
			}
			data = ledgergen.Aggregate(all)
		}
		lane := s.random.IntN(len(s.lanes))
		if !s.world.unordered() {
			lane = int(sum(messages[0].key) % uint64(len(s.lanes)))
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

func (s *streamSchedule) run() {
	if s.atOnce {
		s.met.count("written and deleted at once", 1)
		s.together(s.lanes[0], s.lanes[1])
		s.server.seemly(s.world)
	}
	for turn := 0; ; turn++ {
		if turn > 5_000 {
			s.t.Fatalf("seed %d: no end", s.seed)
		}
		s.now = s.now.Add(time.Duration(s.random.IntN(60)) * time.Second)
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
			s.met.count("reorder over shards", 1)
		}
		switch s.random.IntN(20) {
		case 0, 1, 2, 3:
			s.together(open[k], open[s.random.IntN(len(open))])
		case 7:
			s.replayOnce()
		default:
			if c := s.call(s.functions[s.random.IntN(2)], open[k]); c != nil {
				<-c.start()
				s.heard(c)
			}
		}
		s.stays()
	}
	s.finish()
}

// A streamCall is one call of a function.
type streamCall struct {
	function *streamRun
	lane     *streamLane
	from     int // of the batch
	batch    []events.KinesisEventRecord
	event    events.KinesisEvent
	ctx      context.Context
	lost     bool // nobody hears of its end
	out      events.KinesisEventResponse
	err      error
}

// call prepares a call with one batch of a shard, and what happens to it; nil: it
// never begins.
func (s *streamSchedule) call(function *streamRun, l *streamLane) *streamCall {
	c := &streamCall{function: function, lane: l, from: l.at, ctx: s.t.Context()}
	n := 1 + s.random.IntN(40)
	if l.most > 0 {
		n = min(n, l.most)
	} else if c.from > 0 && s.random.IntN(10) == 0 {
		c.from = max(0, c.from-1-s.random.IntN(8)) // the checkpoint was not kept
		s.met.count("duplicate", 1)
	}
	c.batch = l.records[c.from:min(len(l.records), l.at+n)]
	c.event = delivered(s.t, c.batch)
	function.now = s.now
	way := s.server.of(function.db)
	way.arm("", 0)
	switch s.random.IntN(12) {
	case 0:
		s.met.count("crash before", 1)
		function.restart()
		return nil
	case 1:
		s.met.count("crash after", 1)
		c.lost = true
	case 2, 3, 4, 5:
		way.arm(s.fault(), 1+s.random.IntN(3))
	case 6:
		s.met.count("deadline", 1)
		c.ctx = way.endAfter(c.ctx, s.random.IntN(3))
	case 7:
		s.disturb()
	}
	return c
}

func (s *streamSchedule) fault() string {
	return slices.Sorted(maps.Keys(databaseFaults))[s.random.IntN(len(databaseFaults))]
}

// start calls; what it returns is closed at the end.
func (c *streamCall) start() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.out, c.err = c.function.apply.Handle(c.ctx, c.event)
	}()
	return done
}

// heard does what the mapping does after a call.
func (s *streamSchedule) heard(c *streamCall) {
	l := c.lane
	var changed *change.StreamChangedError
	if errors.As(c.err, &changed) {
		s.t.Fatalf("seed %d: a function did not read the registration again: %v", s.seed, c.err)
	}
	var stop *migrate.Stop
	switch {
	case c.lost:
		c.function.restart()
		l.failed++
	case c.err == nil && len(c.out.BatchItemFailures) == 0:
		l.at, l.most, l.failed = max(l.at, c.from+len(c.batch)), 0, 0
	case c.err == nil:
		// The lowest sequence number that is named, wherever it is.
		at := slices.IndexFunc(c.batch, func(r events.KinesisEventRecord) bool {
			return r.Kinesis.SequenceNumber == c.out.BatchItemFailures[0].ItemIdentifier
		})
		if at < 0 {
			s.t.Fatalf("seed %d: %+v names no record of the batch", s.seed, c.out)
		}
		l.at = max(l.at, c.from+at)
	case errors.As(c.err, &stop) && strings.Contains(c.err.Error(), "is stopped") && s.stopped != "":
		s.stays()
		if s.mappings.state != "Disabled" {
			s.t.Errorf("seed %d: the stream is stopped, and its mapping is %s", s.seed, s.mappings.state)
		}
		s.resume()
	case errors.As(c.err, &stop):
		s.t.Fatalf("seed %d: %v", s.seed, c.err)
	default:
		l.failed++
		if half := len(c.batch) / 2; half > 0 && s.random.IntN(2) == 0 {
			s.met.count("bisect", 1)
			l.most = half
		}
	}
	if l.failed > 2 && s.random.IntN(8) == 0 {
		s.giveUp(l, c.batch, c.from)
	}
}

// together has two functions apply batches at the same time: of two shards, or one
// batch twice, as when Lambda took a function for dead that goes on. Mostly the
// first has taken its heads when the second begins, and goes on when that waits.
func (s *streamSchedule) together(one, two *streamLane) {
	first := s.random.IntN(2)
	a, b := s.call(s.functions[first], one), s.call(s.functions[1-first], two)
	if a == nil || b == nil {
		for _, c := range []*streamCall{a, b} {
			if c != nil {
				<-c.start()
				s.heard(c)
				return
			}
		}
		return
	}
	s.met.count("two functions at once", 1)
	if one == two {
		s.met.count("one batch to two functions", 1)
		b.from, b.batch, b.event, b.lost = a.from, a.batch, a.event, true
	}
	held := s.random.IntN(4) > 0
	if held {
		s.server.hold()
	}
	aDone := a.start()
	held = held && s.server.waits(1, aDone)
	bDone := b.start()
	if held {
		s.met.count("held between the statements", 1)
		s.server.waits(2, bDone)
		s.server.seemly(s.world)
		switch s.random.IntN(6) {
		case 0:
			s.met.count("stopped between the statements", 1)
			s.stop()
		case 1:
			s.met.count("registered anew between the statements", 1)
			s.register()
		}
	}
	s.server.release()
	<-aDone
	<-bDone
	s.stays()
	for _, c := range []*streamCall{a, b} {
		if c.err != nil && strings.Contains(c.err.Error(), "is stopped") && s.stopped == "" {
			continue // the other one told of it
		}
		s.heard(c)
	}
}

// giveUp is what Lambda does with a batch after the last retry.
func (s *streamSchedule) giveUp(l *streamLane, batch []events.KinesisEventRecord, from int) {
	s.met.count("given up by Lambda", 1)
	key, body := failureObject(s.t, batch, "RetryAttemptsExhausted")
	s.objects.set(failureBucket, key, body)
	l.at, l.most, l.failed = max(l.at, from+len(batch)), 0, 0
}

// disturb does what operators do.
func (s *streamSchedule) disturb() {
	what := s.random.IntN(3)
	if what > 0 && s.stopped == "" {
		s.met.count("stopped and resumed", 1)
		s.stop()
	}
	if what < 2 {
		if s.met.count("registered anew", 1); s.stopped != "" {
			s.met.count("registered anew while stopped", 1)
		}
		s.register()
	}
}

func (s *streamSchedule) stop() {
	s.t.Helper()
	s.operate(func() error { return s.db.StopStream(context.Background(), changes, "an operator wants it so") })
	s.stopped = s.server.applied()
}

// register registers the stream with something of it changed.
func (s *streamSchedule) register() {
	s.t.Helper()
	s.operate(func() error {
		now, err := s.db.Stream(context.Background(), changes)
		if err == nil {
			now.Aside = append(now.Aside, fmt.Sprintf("shardId-000000000099/%d", len(now.Aside)))
			_, err = s.db.EnableStream(context.Background(), now)
		}
		return err
	})
}

// operate does what an operator does. Where that waits for a function that makes
// tables, which waits for the one that is held, none is held any longer.
func (s *streamSchedule) operate(do func() error) {
	s.t.Helper()
	s.server.operator().arm("", 0)
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = do()
	}()
	if s.server.waits(3, done) {
		s.server.release()
	}
	<-done
	if err != nil {
		s.t.Fatalf("seed %d: an operator: %v", s.seed, cause(err))
	}
}

// stays checks that nothing is applied while the stream is stopped.
func (s *streamSchedule) stays() {
	s.t.Helper()
	if s.stopped != "" && s.stopped != s.server.applied() {
		s.t.Fatalf("seed %d: the stream is stopped, and something is applied", s.seed)
	}
	if s.random.IntN(8) == 0 {
		s.server.seemly(s.world)
	}
}

func (s *streamSchedule) resume() {
	s.t.Helper()
	s.server.operator().arm("", 0)
	h := &migrate.StreamResume{Objects: s.objects, Target: s.db, Mappings: s.mappings, StreamARN: streamARN, Mapping: mappingID}
	if _, err := h.Handle(context.Background(), []byte(`{"Because":"it was a test"}`)); err != nil {
		s.t.Fatalf("seed %d: resume: %v", s.seed, cause(err))
	}
	s.stopped = ""
}

// replayOnce calls replay once, which may not come to its end, while the stream
// goes on.
func (s *streamSchedule) replayOnce() {
	if s.stopped != "" {
		return
	}
	s.met.count("replayed early", 1)
	s.replayed = true
	s.server.operator().arm(s.fault(), 1+s.random.IntN(9))
	out, err := s.replayer().Handle(s.t.Context(), []byte("{}"))
	var again *migrate.Again
	if err != nil && !errors.As(err, &again) {
		s.t.Fatalf("seed %d: replay: %v", s.seed, cause(err))
	}
	s.met.count("replayed", int(out.Objects))
}

// finish mends what can be mended, replays all, and compares.
func (s *streamSchedule) finish() {
	s.t.Helper()
	s.server.idle()
	s.resume()
	s.now = s.now.Add(time.Hour)
	s.server.seemly(s.world)
	s.server.mend(s.met)
	s.replayed = true
	for round := range 2 { // replaying is safe twice
		in := migrate.StreamReplayIn{}
		for calls := 0; ; calls++ {
			if calls > 1000 {
				s.t.Fatalf("seed %d: replays have no end", s.seed)
			}
			ctx, way := s.t.Context(), s.server.operator()
			way.arm("", 0)
			if round == 0 && s.random.IntN(2) == 0 {
				way.arm(s.fault(), 1+s.random.IntN(9))
			} else if round == 0 && s.random.IntN(3) == 0 {
				ctx = way.endAfter(ctx, 1+s.random.IntN(4))
			}
			b, _ := json.Marshal(in)
			out, err := s.replayer().Handle(ctx, b)
			var again *migrate.Again
			if err != nil && !errors.As(err, &again) {
				s.t.Fatalf("seed %d: replay: %v", s.seed, cause(err))
			}
			s.met.count("replayed", int(out.Objects))
			if out.Done {
				break
			}
			if err == nil {
				s.met.count("replay handed on", 1)
				in.Resume = out.Resume
			}
		}
	}
	s.server.idle()
	s.server.operator().arm("", 0)
	s.server.same(s.world)
	all := memoryShards{}
	for _, l := range s.lanes {
		maps.Copy(all, shardsOf(l.records))
	}
	got := s.status("{}", all)
	if got.Aside != int64(s.poison) || got.Safe != (s.poison == 0) || got.Unread != 0 || got.Failures != 0 {
		s.t.Errorf("seed %d: %d messages are poison; status %+v", s.seed, s.poison, got)
	}
	for _, object := range s.server.asides() {
		if body, err := s.objects.read(failureBucket, object); err != nil || !bytes.Contains(body, []byte(`"Reason"`)) {
			s.t.Errorf("seed %d: quarantine object %s: %v", s.seed, object, err)
		}
	}
	if s.t.Failed() {
		s.t.Logf("seed %d: %v", s.seed, s.met.n)
	}
}
