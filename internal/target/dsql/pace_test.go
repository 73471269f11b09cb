package dsql

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A paced is a pace under a clock of its own, and the turns that are taken.
type paced struct {
	*pace
	clock time.Time
}

func newPaced(most int) *paced {
	p := &paced{clock: time.Unix(0, 0)}
	p.pace = newPace(most, func() time.Time { return p.clock })
	return p
}

// rounds does as many transactions at once as are allowed, n times, and returns
// how many that is in the end.
func (p *paced) rounds(n int, took time.Duration) int {
	for range n {
		p.clock = p.clock.Add(took)
		for range int(p.allowed) {
			p.stored(took, true)
		}
	}
	return int(p.allowed)
}

func TestPaceGrowsUntilSomethingIsInTheWay(t *testing.T) {
	t.Parallel()
	p := newPaced(64)
	for _, want := range []int{2, 4, 8, 16} {
		if got := p.rounds(1, time.Second); got != want {
			t.Fatalf("got %d at once, want %d", got, want)
		}
	}
	// One conflict of many that are of the same moment counts.
	p.clock = p.clock.Add(time.Second)
	for range 16 {
		p.conflicted(time.Second)
	}
	if got := int(p.allowed); got != 8 {
		t.Errorf("after conflicts of one moment: got %d at once, want 8", got)
	}
	if got := p.rounds(3, time.Second); got != 11 && got != 10 {
		t.Errorf("after three rounds: got %d at once, want one more for each", got)
	}
	before := p.allowed
	p.clock = p.clock.Add(10 * time.Second)
	p.stored(9*time.Second, true)
	if p.allowed >= before || p.allowed < before/2 {
		t.Errorf("after a slow one: got %.1f at once, was %.1f, want a little less", p.allowed, before)
	}
	// The last transaction of an item is small, and says nothing of others.
	p.stored(time.Millisecond, false)
	if got := p.rounds(100, time.Second); got != 64 {
		t.Errorf("in the end: got %d at once, want 64", got)
	}
	for range 20 {
		p.clock = p.clock.Add(time.Minute)
		p.conflicted(time.Second)
	}
	if got := int(p.allowed); got != 1 {
		t.Errorf("after many conflicts: got %d at once, want 1", got)
	}
}

// A cluster that became slower for good is not held against its best day.
func TestPaceForgetsItsBestTime(t *testing.T) {
	t.Parallel()
	p := newPaced(8)
	p.rounds(10, time.Second)
	if got := p.rounds(200, 5*time.Second); got != 8 {
		t.Errorf("got %d at once, want 8 again", got)
	}
}

func TestTurnsComeInOrderAndEndWithTheirContext(t *testing.T) {
	t.Parallel()
	p := newPaced(1)
	if err := p.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- p.begin(ctx) }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it cancelled", err)
	}
	came := make(chan error)
	go func() { came <- p.begin(t.Context()) }()
	p.end()
	if err := <-came; err != nil {
		t.Error(err)
	}
	p.end()
	if p.under != 0 || len(p.waiting) != 0 {
		t.Errorf("got %d under way and %d waiting, want none", p.under, len(p.waiting))
	}
}
