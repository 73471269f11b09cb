package migrate_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A contestant is one way to do the work of a race.
type contestant struct {
	name   string
	bytes  int64        // moved by one run
	things string       // what bytes counts if not bytes: told in thousands a second
	goal   float64      // least rate of its own; 0 asks for nothing
	before func() error // makes what a run needs, outside of the clock; may be nil
	run    func() error
	// least is what the first contestant has to reach, as a multiple of this
	// one's speed; 0 asks for nothing.
	least float64
}

func (c *contestant) scale() float64 {
	if c.things != "" {
		return 1e3
	}
	return 1e6
}

func (c *contestant) unit() string {
	if c.things != "" {
		return "k " + c.things
	}
	return "MB"
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// A clock tells how much time has gone.
type clock func() time.Duration

// cpu is the time that the processors spent on this process, its garbage
// collections included: what counts on a machine that others use also.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// wall is for work that other processes do.
func wall() clock {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// race runs all ways in turn, round by round, so that a machine that changes its
// speed does it to all of them, and prints the first one's speed as a multiple
// of each other's: the median of the rounds' ratios, with the least and the
// greatest.
func race(b *testing.B, title string, now clock, ways ...contestant) {
	b.Helper()
	rates := make([][]float64, len(ways)) // by way and round
	round := func(keep bool) {
		for i, w := range ways {
			if w.before != nil {
				if err := w.before(); err != nil {
					b.Fatalf("%s: before it: %v", w.name, err)
				}
			}
			runtime.GC()
			began := now()
			if err := w.run(); err != nil {
				b.Fatalf("%s: %v", w.name, err)
			}
			if took := now() - began; keep {
				rates[i] = append(rates[i], float64(w.bytes)/w.scale()/max(took, time.Microsecond).Seconds())
			}
		}
	}
	round(false) // warms caches up
	for b.Loop() {
		round(true)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s (median of %d rounds)\n", title, len(rates[0]))
	for i, w := range ways {
		digits := 1
		if middle(rates[i]) < 1 {
			digits = 3
		}
		fmt.Fprintf(&table, "  %-49s %8.*f %s/s", w.name, digits, middle(rates[i]), w.unit())
		if w.goal > 0 {
			fmt.Fprintf(&table, "   at least %g: %s", w.goal, verdict(middle(rates[i]) >= w.goal))
		}
		if i > 0 {
			ratios := make([]float64, len(rates[i]))
			for r := range ratios {
				ratios[r] = rates[0][r] / rates[i][r]
			}
			got := middle(ratios)
			fmt.Fprintf(&table, "   %6.2f of it (%.2f to %.2f)", got, slices.Min(ratios), slices.Max(ratios))
			if w.least > 0 {
				fmt.Fprintf(&table, "   at least %g: %s", w.least, verdict(got >= w.least))
			}
			b.ReportMetric(got, "of-"+strings.ReplaceAll(w.name, " ", "-"))
		}
		table.WriteByte('\n')
	}
	fmt.Print(table.String())
}

func middle(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[n/2]
}

// oneProcessor keeps garbage collection from using what the others leave idle:
// CPU time is then the work's alone.
func oneProcessor(b *testing.B) {
	before := runtime.GOMAXPROCS(1)
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
}
