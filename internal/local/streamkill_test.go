package local_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/esm"
	"godwit/internal/local/gateway"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/qldb"
	"godwit/internal/migrate"
)

// A story is a stream from its first record to the last replay: a ledger that goes
// on behind a load, a record that is none, and one with a flipped bit that stops
// the stream. Its operator tries again what fails.
type story struct {
	*live
	fault func(gateway.Call) gateway.Fault
}

func (s *story) options() local.Options {
	return local.Options{Fault: s.fault, Stream: local.StreamOptions{Shards: 1, Settings: func(m esm.Settings) esm.Settings {
		m.BatchSize = 12 // several calls
		return m
	}}}
}

// again does what an operator does until it succeeds, some times. Its error is
// those of all tries.
func again(do func() error) error {
	var all []error
	for range 4 {
		err := do()
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// storyLedger is the ledger of a story.
func storyLedger() ledgergen.Options {
	return ledgergen.Options{Seed: 5, Documents: 20, Later: 30, Prefix: "exports/"}
}

// begin starts the cloud of a story.
func (s *story) begin(t *testing.T) *local.Cloud {
	o := s.options()
	o.Ledger = &qldb.Ledger{Options: storyLedger()}
	return start(t, o)
}

// tell tells the story, and returns why it does not come to its end.
func (s *story) tell(t *testing.T, c *local.Cloud) error {
	t.Helper()
	s.live = liveOf(t, c, storyLedger())
	tip := s.journal.Len() - 1
	var altered []byte
	for n := s.loaded - 1; n <= tip; n++ {
		messages := s.messages(n)
		block, err := s.journal.Block(n)
		if err != nil {
			return err
		}
		if altered == nil && n > (s.loaded+tip)/2 && len(block.Revisions) == 1 {
			if flipped := flip(block, messages[1].Data); flipped != nil {
				altered, messages[1].Data = messages[1].Data, flipped
			}
		}
		if n == s.loaded+3 {
			s.put(kinesis.Entry{PartitionKey: "a", Data: []byte("not Ion")})
		}
		s.put(kinesis.Entry{PartitionKey: "a", Data: ledgergen.Aggregate(messages)})
	}
	s.show(tip)
	x, r := run(t, s.Cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "EnableStream": true})
	if r.Error != nil {
		return errors.New(local.Cause(x))
	}
	var stalled *esm.StalledError
	if err := s.drain(); !errors.As(err, &stalled) || stalled.State != "Disabled" {
		return fmt.Errorf("a flipped bit leaves the mapping enabled: %w", errors.Join(err, errors.New("see above")))
	}
	ctx := context.WithoutCancel(t.Context())
	status, err := s.state(ctx)
	if err != nil {
		return err
	}
	resume := object{"Because": "it was altered on its way", "Aside": []string{recordOf.FindString(status.Stopped)}}
	if err := again(func() error { return s.Invoke(ctx, "StreamResume", resume, &migrate.StreamResumeOut{}) }); err != nil {
		return err
	}
	if err := s.drain(); err != nil {
		return err
	}
	for _, a := range s.aside() {
		if !strings.HasPrefix(string(a.Message), "not Ion") {
			s.mend(a.Key, altered)
		} else {
			s.mend(a.Key, s.messages(s.loaded + 1)[0].Data) // one that came already
		}
	}
	if err := again(func() error {
		var out migrate.StreamReplayOut
		err := s.Invoke(ctx, "StreamReplay", object{}, &out)
		if err == nil && (!out.Done || out.Aside > 0) {
			err = fmt.Errorf("the replay is %+v", out)
		}
		return err
	}); err != nil {
		return err
	}
	if status, err = s.state(ctx); err == nil && !status.Safe {
		err = errors.New(status.Line)
	}
	return err
}

func (s *story) state(ctx context.Context) (out migrate.StreamStatusOut, err error) {
	err = again(func() error { return s.Invoke(ctx, "StreamStatus", object{"Ledger": ledgergen.Name}, &out) })
	return out, err
}

// Whichever call of the stream's functions takes its caller down, before the call
// or after it took effect, or has its reply lost, or is throttled: the target ends
// with the same rows. Calls of one kind are represented by one, chosen by a seed,
// and all but stream-apply's in the database have one fault; make soak disturbs
// every call with every fault.
func TestStreamSurvivesKill(t *testing.T) {
	want, first := undisturbedStory(t)
	same, second := undisturbedStory(t)
	if diff := cmp.Diff(want, same); diff != "" {
		t.Fatalf("two undisturbed runs differ (-first +second):\n%s", diff)
	}
	// Batches are cut by time, so that runs differ in how many calls they make.
	calls := slices.DeleteFunc(first, func(call string) bool { return !slices.Contains(second, call) })
	chance := rand.New(rand.NewPCG(seed(t), 0))
	var cases []disturbance
	if !soak {
		calls = oneOfAKind(calls, chance, func(call string) string { return call[:strings.LastIndex(call, " #")] })
	}
	for _, call := range calls {
		faults := []gateway.Fault{gateway.KillBefore, gateway.KillAfter, gateway.Lose, gateway.Throttle}
		switch {
		case soak:
		case strings.HasPrefix(call, "StreamApply's rds-data:"):
		default: // clients repeat what is lost by themselves, with waits
			faults = faults[chance.IntN(2):][:1]
		}
		for _, fault := range faults {
			cases = append(cases, disturbance{call: call, fault: fault})
		}
	}
	t.Logf("%d runs over %d calls", len(cases), len(calls))
	disturbed := func(t *testing.T, d disturbance) (happened bool) {
		var mu sync.Mutex
		seen := map[string]int{}
		s := &story{fault: func(c gateway.Call) gateway.Fault {
			mu.Lock()
			defer mu.Unlock()
			if !ofStream(c) {
				return gateway.None
			}
			name := callName(c)
			seen[name]++
			if happened || fmt.Sprintf("%s #%d", name, seen[name]) != d.call {
				return gateway.None
			}
			happened = true
			return d.fault
		}}
		if err := s.tell(t, s.begin(t)); err != nil {
			t.Fatal(err)
		}
		s.safe()
		if diff := cmp.Diff(want, state(t, s.Cloud, "dmv")); diff != "" {
			t.Errorf("the target ends otherwise than undisturbed (-undisturbed +disturbed):\n%s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		return happened
	}
	parallel(cases, func(d disturbance) {
		t.Run(d.String(), func(t *testing.T) {
			for range 3 {
				if disturbed(t, d) {
					return
				}
			}
			t.Error("no run made the call, so nothing was disturbed")
		})
	})
}

// ofStream tells a call of the stream's functions, but for StreamStatus, which
// changes nothing, and for a client's own repeat.
func ofStream(c gateway.Call) bool {
	return strings.HasPrefix(callerOf(c), "Stream") && callerOf(c) != "StreamStatus" && !c.Repeat
}

// undisturbedStory is what a story leaves in the target, and the calls of the
// stream's functions. How often Lambda reads is a matter of time: each run has one
// read of a kind.
func undisturbedStory(t *testing.T) (want map[string]string, calls []string) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]int{}
	s := &story{fault: func(c gateway.Call) gateway.Fault {
		mu.Lock()
		defer mu.Unlock()
		if name := callName(c); ofStream(c) {
			if seen[name]++; seen[name] == 1 || !strings.Contains(name, "kinesis:") {
				calls = append(calls, fmt.Sprintf("%s #%d", name, seen[name]))
			}
		}
		return gateway.None
	}}
	if err := s.tell(t, s.begin(t)); err != nil {
		t.Fatal(err)
	}
	s.safe()
	want = state(t, s.Cloud, "dmv")
	s.Close() // the mapping calls no more
	return want, calls
}
