package migrate_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

// sameObjects reports all differences between two work buckets.
func sameObjects(t *testing.T, name string, got, want map[string]string) {
	t.Helper()
	for key, w := range want {
		if g, ok := got[key]; !ok {
			t.Errorf("%s: %s is missing", name, key)
		} else if g != w {
			t.Errorf("%s: %s differs:\n%.200q\nwant\n%.200q", name, key, g, w)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %s is too many", name, key)
		}
	}
}

// Every step again, in any state of the load: the same keys with the same bytes.
// The fakes themselves compare what is written again.
func TestRepeatWritesTheSameBytes(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":6}`)
		m.segmentBytes = 30_000
		m.generate(ledgergen.Options{Seed: 7, Documents: 300, Unmappable: 6, Prefix: prefix, BlocksPerObject: 9, Format: format, Exports: 2})
		m.mustRun()
		want, rows := m.objects.under(workBucket), m.target.lines()
		if len(want) < 20 {
			t.Fatalf("%d objects are too few to tell anything", len(want))
		}
		p, err := m.plan()
		if err != nil || !p.Published {
			t.Fatalf("plan again: %+v, %v", p, err)
		}
		p.Published = false
		for _, late := range []bool{false, true} {
			m.late = func() bool { return late }
			for _, c := range m.children(p) {
				for !c.done {
					if err := m.turn(c); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for phase := "import"; phase != ""; {
			out, err := m.phase(p.LoadId, phase)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range lines[change.Task](t, m.objects, out.Tasks) {
				if err := m.task(p.LoadId, x); err != nil {
					t.Fatal(err)
				}
			}
			phase = out.Next
		}
		if _, err := m.report(p); err != nil {
			t.Fatal(err)
		}
		sameObjects(t, string(format), m.objects.under(workBucket), want)
		differences(t, string(format), m.target.lines(), rows)
	}
}

// Handing on behind every block of every object, in every format and in gzip,
// leaves the same objects as one long call.
func TestResumeAtEveryBoundary(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		for _, gz := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s gzip %t", format, gz), func(t *testing.T) {
				t.Parallel()
				run := func(late bool) (map[string]string, int, int64) {
					m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":6}`)
					m.segmentBytes = 1
					m.late = func() bool { return late }
					// Objects of more blocks than a symbol table is good for.
					ledger := m.generate(ledgergen.Options{Seed: 9, Documents: 250, Unmappable: 6, Prefix: prefix, BlocksPerObject: 70, Format: format})
					if gz {
						m.compress()
					}
					p := m.begun()
					calls := 0
					for _, c := range m.children(p) {
						for !c.done {
							if err := m.turn(c); err != nil {
								t.Fatal(err)
							}
						}
						calls += c.calls
					}
					return m.objects.under(workBucket), calls, ledger.Blocks
				}
				want, once, blocks := run(false)
				got, calls, _ := run(true)
				sameObjects(t, "handed on", got, want)
				if once != 2 {
					t.Errorf("%d calls without a deadline", once)
				}
				// Each block is a segment of its own, counted and transformed.
				if int64(calls) < 2*blocks-2 {
					t.Errorf("%d calls for %d blocks: not every boundary was tried", calls, blocks)
				}
			})
		}
	}
}

// Schedules of a seed: steps come twice, late, in another order and beside
// later ones, and die before or after any object or row is stored. What remains
// is what an undisturbed run leaves. GODWIT_SEED repeats one.
func TestRandomSchedulesEndTheSame(t *testing.T) {
	first, n := rand.Uint64()%1_000_000, uint64(4)
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	prepare := func(t *testing.T, seed uint64) *machine {
		format := ledgergen.IonBinary
		if seed%2 == 1 { // types are learned before the passes, and read by them
			format = ledgergen.JSON
		}
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":6}`)
		m.segmentBytes = 9_000
		m.generate(ledgergen.Options{Seed: 12, Documents: 500, Unmappable: 6, Prefix: deep, BlocksPerObject: 3, Exports: 2, Format: format})
		return m
	}
	var calm [2]*machine
	for i := range calm {
		calm[i] = prepare(t, uint64(i))
		calm[i].mustRun()
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			m, undisturbed := prepare(t, seed), calm[seed%2]
			s := &schedule{machine: m, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), seen: map[string]int{}}
			s.run()
			sameObjects(t, "disturbed", m.objects.under(workBucket), undisturbed.objects.under(workBucket))
			differences(t, "disturbed", m.target.lines(), undisturbed.target.lines())
			t.Logf("%d crashes, %d repeats, %d puts", s.crashes, s.repeats, m.objects.puts)
			if s.crashes == 0 || s.repeats == 0 {
				t.Error("nothing was disturbed")
			}
		})
	}
}

// A schedule disturbs a machine.
type schedule struct {
	*machine
	seed             uint64
	random           *rand.Rand
	seen             map[string]int // how often a storing step came
	crashes, repeats int
}

// fault decides by the seed, the step and how often it came, so that a seed is
// the same schedule again. It is called under the fakes' locks, one at a time
// per fake; the two never run at once.
func (s *schedule) fault(step string) (stored bool, err error) {
	s.seen[step]++
	h := fnv.New64a()
	fmt.Fprint(h, s.seed, step, s.seen[step])
	switch h.Sum64() % 10 {
	case 0:
		s.crashes++
		return false, errCrash
	case 1:
		s.crashes++
		return true, errCrash
	}
	return true, nil
}

// again does a step until it does not crash, and now and then once more.
func (s *schedule) again(what string, do func() error) {
	s.t.Helper()
	for {
		err := do()
		if err != nil && !errors.Is(err, errCrash) {
			s.t.Fatalf("seed %d: %s: %v", s.seed, what, err)
		}
		if err == nil {
			if s.random.IntN(4) > 0 {
				return
			}
			s.repeats++
		}
	}
}

func (s *schedule) run() {
	s.objects.fault, s.target.fault = s.fault, s.fault
	s.late = func() bool { return s.random.IntN(2) == 0 }
	p, err := s.plan()
	s.again("plan", func() (err error) { p, err = s.plan(); return err })
	_ = err // a crash, which again made good
	s.again("typing", func() error { return s.typing(p, "load") })
	children := s.children(p)
	for slices.ContainsFunc(children, func(c *child) bool { return !c.done }) {
		c := children[s.random.IntN(len(children))]
		if len(c.before) > 0 && s.random.IntN(4) == 0 {
			// An earlier call comes again, also behind the end: its answer is lost.
			s.repeats++
			if _, err := c.call(pass[migrate.WorkIn](s.t, c.before[s.random.IntN(len(c.before))])); err != nil && !errors.Is(err, errCrash) {
				s.t.Fatalf("seed %d: %s again: %v", s.seed, c.name, err)
			}
			continue
		}
		if c.done {
			continue
		}
		if err := s.turn(c); err != nil && !errors.Is(err, errCrash) {
			s.t.Fatalf("seed %d: %v", s.seed, err)
		}
	}
	var earlier []change.Task
	for phase := "import"; phase != ""; {
		var tasks []change.Task
		next := ""
		s.again("phase "+phase, func() error {
			out, err := s.phase(p.LoadId, phase)
			if err == nil {
				tasks, next = lines[change.Task](s.t, s.objects, out.Tasks), out.Next
			}
			return err
		})
		s.random.Shuffle(len(tasks), func(i, k int) { tasks[i], tasks[k] = tasks[k], tasks[i] })
		for _, x := range tasks {
			s.again("task "+x.Name, func() error { return s.task(p.LoadId, x) })
			earlier = append(earlier, x)
			if s.random.IntN(3) == 0 {
				old := earlier[s.random.IntN(len(earlier))]
				s.again("old task "+old.Name, func() error { return s.task(p.LoadId, old) })
			}
		}
		phase = next
	}
	s.again("report", func() error { _, err := s.report(p); return err })
	if !strings.Contains(strings.Join(slices.Collect(maps.Keys(s.objects.objects)), " "), "report.html") {
		s.t.Error("no report")
	}
}
