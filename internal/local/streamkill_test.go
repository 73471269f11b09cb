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

// again does what an operator does until it succeeds, some times.
func again(do func() error) (err error) {
	for range 4 {
		if err = do(); err == nil {
			return nil
		}
	}
	return err
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
// with the same rows. By default calls of one kind are represented by one, chosen
// by a seed, and those of people's functions have one fault; make soak disturbs
// every call with every fault.
func TestStreamSurvivesKill(t *testing.T) {
	var mu sync.Mutex
	count := map[string]int{}
	// StreamStatus changes nothing.
	ofStream := func(c gateway.Call) bool {
		return strings.HasPrefix(callerOf(c), "Stream") && callerOf(c) != "StreamStatus"
	}
	whole := &story{fault: func(c gateway.Call) gateway.Fault {
		mu.Lock()
		defer mu.Unlock()
		if ofStream(c) && !c.Repeat {
			count[callName(c)]++
		}
		return gateway.None
	}}
	if err := whole.tell(t, whole.begin(t)); err != nil {
		t.Fatal(err)
	}
	whole.safe()
	want := state(t, whole.Cloud, "dmv")
	var names []string
	for name := range count {
		names = append(names, name)
	}
	slices.Sort(names)
	seed := uint64(20261122)
	chance := rand.New(rand.NewPCG(seed, 0))
	var cases []disturbance
	for _, name := range names {
		faults := []gateway.Fault{gateway.KillBefore, gateway.KillAfter, gateway.Lose, gateway.Throttle}
		first, last := 1, count[name]
		if !soak {
			first = 1 + chance.IntN(last)
			last = first
			switch {
			case strings.Contains(name, "kinesis:"), !strings.HasPrefix(name, "StreamApply's") && !strings.HasPrefix(name, "StreamEnable's"):
				faults = faults[chance.IntN(2):][:1]
			case !strings.Contains(name, "rds-data:"): // clients repeat these by themselves, with waits
				faults = faults[:2]
			}
		}
		if strings.Contains(name, "kinesis:") { // how often Lambda reads is a matter of time
			first, last = 1, 1
		}
		for _, fault := range faults {
			for n := first; n <= last; n++ {
				cases = append(cases, disturbance{fmt.Sprintf("%s #%d", name, n), fault})
			}
		}
	}
	t.Logf("%d kinds of calls, %d runs, seed %d", len(names), len(cases), seed)
	disturbed := func(t *testing.T, d disturbance) (happened bool) {
		var mu sync.Mutex
		seen := map[string]int{}
		s := &story{fault: func(c gateway.Call) gateway.Fault {
			mu.Lock()
			defer mu.Unlock()
			if !ofStream(c) || c.Repeat {
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
			// Batches are cut by time, so that runs differ in how many calls they make.
			for range 3 {
				if disturbed(t, d) {
					return
				}
			}
			t.Error("no run made the call, so nothing was disturbed")
		})
	})
}
