package dsql_test

import (
	"context"
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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
)

var schedules = flag.Int("schedules", 500, "random schedules of faults")

// The faults of a schedule. Every one has to occur in a run of them.
var faultKinds = []string{
	"throttled connection", "cut connection", "OC000 at a statement", "OC001 at a statement", "OC000 at the commit", "OC001 at the commit",
	"EOF before the commit", "EOF after the commit", "EOF in COPY", "size limit", "row limit", "age limit", "60-minute drop", "row too large",
	"killed", "killed in the commit", "two functions", "deadline",
}

// limits are small, so that many transactions take few rows.
var smallLimits = local.Limits{Rows: 60, Bytes: 16 << 10, ValueBytes: 2 << 10, RowBytes: 4 << 10, ConnectRate: 1 << 20, ConnectBurst: 1 << 20}

// Schedules of a seed: functions load an item of a table that often has no key,
// while everything fails that can, are killed, run out of time, and work on the
// same item at once; in the end the table holds each row of the source once, and
// the bookkeeping says so. GODWIT_SEED repeats one, but for what happens at the
// same time.
func TestRandomSchedulesOfFaultsEndTheSame(t *testing.T) {
	first, n := rand.Uint64()%1_000_000, uint64(*schedules)
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	clusters := make(chan *faulty, max(2, runtime.GOMAXPROCS(0)))
	for range cap(clusters) {
		clusters <- newFaulty(t)
	}
	met := map[string]int{}
	var mu sync.Mutex
	t.Run("schedules", func(t *testing.T) {
		for seed := first; seed < first+n; seed++ {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				f := <-clusters
				defer func() { clusters <- f }()
				found := f.schedule(t, seed)
				mu.Lock()
				defer mu.Unlock()
				for name, n := range found {
					met[name] += n
				}
			})
		}
	})
	t.Logf("%d schedules from seed %d on", n, first)
	for _, name := range faultKinds {
		t.Logf("%6d %s", met[name], name)
		if n >= 200 && met[name] == 0 {
			t.Errorf("fault %q never occurred", name)
		}
		delete(met, name)
	}
	for name := range maps.Keys(met) {
		t.Errorf("fault %q is not listed", name)
	}
}

// A faulty is a cluster that fails as the schedule that uses it says.
type faulty struct {
	*bench
	clock *testClock
	plans [2]change.TablePlan // of tables with a key, and without

	mu  sync.Mutex
	now *schedule // nil: nothing fails
}

// A schedule is one load under faults.
type schedule struct {
	*faulty
	t       *testing.T
	seed    uint64
	random  *rand.Rand // under mu
	trouble float64    // how much of it
	kill    []func()   // of the functions that run, under mu
	met     map[string]int
	calm    atomic.Bool // the faults are over
}

func newFaulty(t *testing.T) *faulty {
	f := &faulty{clock: newClock()}
	f.bench = newBench(t, local.Config{Now: f.clock.Now, Limits: smallLimits, Fault: f.fault})
	// Nothing but the bookkeeping keeps a row from being there twice in the second.
	f.plans = [2]change.TablePlan{orders("keyed"), orders("keyless")}
	f.plans[1].Key = nil
	f.begin("l", f.plans[:]...)
	return f
}

// fault is the cluster's: what goes wrong at a moment.
func (f *faulty) fault(e local.Event) local.Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.now
	if s == nil || s.calm.Load() || e.User != loaderRole {
		return local.Effect{}
	}
	// There are many statements, and few commits.
	weight := 1.5
	if e.Moment == local.Statement && e.Verb != "copy" {
		weight = 0.2
	}
	if s.random.Float64() >= weight*s.trouble {
		return local.Effect{}
	}
	count := func(name string, fault local.Fault) local.Effect {
		s.met[name]++
		return local.Effect{Fault: fault}
	}
	switch dice := s.random.IntN(12); {
	case e.Moment == local.Connect && dice < 9:
		return count("throttled connection", local.Throttle)
	case e.Moment == local.Connect:
		return count("cut connection", local.CutBefore)
	case dice == 0:
		return s.killOne(e)
	case e.Moment == local.Commit && dice < 4:
		return count("OC000 at the commit", local.Conflict)
	case e.Moment == local.Commit && dice < 6:
		return count("OC001 at the commit", local.SchemaChanged)
	case e.Moment == local.Commit && dice < 9:
		return count("EOF before the commit", local.CutBefore)
	case e.Moment == local.Commit:
		return count("EOF after the commit", local.CutAfter)
	case e.Verb == "copy" && dice < 6:
		return count("EOF in COPY", local.CutBefore)
	case e.Verb == "copy" && dice == 6:
		f.clock.advance(6 * time.Minute) // the transaction is now too old
		return local.Effect{}
	case dice == 7:
		f.clock.advance(61 * time.Minute)
		return count("60-minute drop", local.None)
	case dice < 10:
		return count("OC000 at a statement", local.Conflict)
	default:
		return count("OC001 at a statement", local.SchemaChanged)
	}
}

// killOne kills a function, as Lambda does at its time limit: its calls end, and
// it opens no connection any more.
func (s *schedule) killOne(e local.Event) local.Effect {
	if len(s.kill) == 0 {
		return local.Effect{}
	}
	i := s.random.IntN(len(s.kill))
	s.kill[i]()
	s.kill = append(s.kill[:i], s.kill[i+1:]...)
	if e.Moment == local.Commit {
		s.met["killed in the commit"]++
		if s.random.IntN(2) == 0 {
			return local.Effect{Fault: local.CutAfter}
		}
		return local.Effect{Fault: local.CutBefore}
	}
	s.met["killed"]++
	return local.Effect{}
}

// schedule runs one, and returns how often what went wrong.
func (f *faulty) schedule(t *testing.T, seed uint64) map[string]int {
	s := &schedule{faulty: f, t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 6)), met: map[string]int{}}
	f.bench.t = t
	s.trouble = 0.02 + 0.1*s.random.Float64()
	plan := f.plans[min(1, s.random.IntN(3))]
	rows := s.rows()
	work := item("l", fmt.Sprint("seed ", seed), &plan, rows)

	f.mu.Lock()
	f.now = s
	f.mu.Unlock()
	for try := 0; ; try++ {
		if try == 40 {
			t.Fatalf("seed %d: the load does not end", seed)
		}
		s.calm.Store(try > 20)
		functions := 1
		if s.chance(4) {
			functions = 2
			s.met["two functions"]++
		}
		done := make([]bool, functions)
		// The second begins to read while the first does, and cuts the rows at other
		// places.
		var running sync.WaitGroup
		var reads [2]chan struct{}
		var began [2]func()
		for i := range reads {
			reads[i] = make(chan struct{})
			began[i] = sync.OnceFunc(func() { close(reads[i]) })
		}
		for i := range functions {
			hurried, piece := s.chance(6), 1+s.chanceOf(50)
			config := dsql.Config{Role: loaderRole, Connections: 1 + s.chanceOf(4), Limits: dsql.Limits{
				TransactionRows: 10 + s.chanceOf(80), TransactionBytes: 8 << 10 << s.chanceOf(3),
			}}
			if i == 1 {
				<-reads[0]
			}
			read := during(source(rows, piece), func() {
				began[i]()
				if i+1 < functions {
					<-reads[1]
				}
			})
			running.Go(func() {
				defer began[i]()
				done[i] = s.function(work, read, config, hurried)
			})
		}
		running.Wait()
		if done[functions-1] {
			break
		}
	}
	f.mu.Lock()
	f.now = nil
	f.mu.Unlock()
	s.compare(work, rows)
	f.exec(`TRUNCATE shop.` + plan.Target.Name)
	return s.met
}

// chance is true once in n.
func (s *schedule) chance(n int) bool { return s.chanceOf(n) == 0 }

func (s *schedule) chanceOf(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

// rows are a source's: some are filtered, some refused, some too large for the
// target.
func (s *schedule) rows() []row {
	rows := make([]row, 1+s.random.IntN(300))
	large := s.random.IntN(3) == 0
	wide := 1 + s.random.IntN(600)
	for i := range rows {
		note := randomText(s.random, 1+s.random.IntN(wide))
		switch dice := s.random.IntN(320); {
		case dice < 8:
			continue
		case dice < 16:
			rows[i].refused = "its note is odd"
			continue
		case dice == 16 && large:
			note = randomText(s.random, 3000)
		}
		rows[i].line = fmt.Sprintf("%d\t%s\n", i, note)
	}
	return rows
}

// randomText is one that does not compress.
func randomText(random *rand.Rand, n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + random.IntN(26))
	}
	return text
}

// function runs one Lambda function's call, and reports whether the item is done.
func (s *schedule) function(work change.TableItem, rows dsql.Source, config dsql.Config, hurried bool) bool {
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	s.mu.Lock()
	s.kill = append(s.kill, kill)
	s.mu.Unlock()
	if hurried {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
		config.HandOn = time.Minute - time.Duration(s.chanceOf(60))*time.Millisecond
	}
	db := s.open(config)
	defer db.Close()
	p, err := db.Load(ctx, work, rows)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.met["size limit"] += int(db.Stats().Size.Load())
	s.met["row limit"] += int(db.Stats().Rows.Load())
	s.met["age limit"] += int(db.Stats().Age.Load())
	switch {
	case err == nil && len(p.Left) > 0:
		s.met["deadline"]++
		return false
	case err == nil:
		return true
	case errors.Is(err, context.Canceled):
		return false
	}
	var superseded *dsql.SupersededError
	if state := stateOf(err); !errors.As(err, &superseded) && state != "40001" && state != "08006" && state != "53400" && state != "54000" {
		s.t.Errorf("seed %d: got %v, want an error that passes", s.seed, err)
	}
	return false
}

// compare holds the table and the bookkeeping against the source.
func (s *schedule) compare(work change.TableItem, rows []row) {
	s.t.Helper()
	var lines, refusals, want []string
	var counts change.Counts
	for i, r := range rows {
		switch {
		case r.refused != "":
			refusals = append(refusals, fmt.Sprint(i))
			counts.Refused++
		case len(r.line) > smallLimits.ValueBytes:
			refusals = append(refusals, fmt.Sprint(i))
			counts.Refused++
			s.met["row too large"]++
		case r.line != "":
			want = append(want, strings.Replace(strings.TrimSpace(r.line), "\t", ":", 1))
			counts.Loaded++
		default:
			counts.Filtered++
		}
	}
	lines = strings.Fields(s.list(fmt.Sprintf(`SELECT concat(id, ':', note) FROM shop.%s ORDER BY id`, work.Table.Target.Name)))
	if !slices.Equal(lines, want) {
		s.t.Errorf("seed %d: got %d rows (%.200s), want %d (%.200s)", s.seed, len(lines), lines, len(want), want)
	}
	equal(s.t, "accounting", s.list(`SELECT concat(sum(loaded), ' ', sum(refused), ' ', sum(filtered)) FROM godwit.batch WHERE item = $1`, work.ID), fmt.Sprint(counts.Loaded, counts.Refused, counts.Filtered))
	equal(s.t, "refusals", s.list(`SELECT r.row_number::text FROM godwit.refusal r WHERE item = $1 ORDER BY r.row_number`, work.ID), strings.Join(refusals, " "))
	equal(s.t, "ranges that overlap or are apart", s.list(`SELECT b.first_row::text FROM godwit.batch b WHERE item = $1 AND first_row > 0
		AND NOT EXISTS (SELECT FROM godwit.batch a WHERE a.item = b.item AND a.last_row = b.first_row - 1)`, work.ID), "")
	equal(s.t, "the last row", s.list(`SELECT max(last_row)::text FROM godwit.batch WHERE item = $1`, work.ID), fmt.Sprint(len(rows)-1))
}
