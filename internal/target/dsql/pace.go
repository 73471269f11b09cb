package dsql

import (
	"context"
	"sync"
	"time"
)

const (
	// slower is how many times the best transaction another may last before it
	// counts as one that waited for others.
	slower = 3
	// ease is what is left of the pace after such a transaction; after a conflict,
	// half is.
	ease = 0.85
	// forget is how much of the difference to a longer transaction the best time
	// gives up with each, so that a cluster that became slower is not held against
	// its best day.
	forget = 0.02
)

// A pace says how many transactions may be under way at once: one at first, twice
// as many with each round until something is in the way, then one more with each
// round, half after a conflict, a little less after a slow one. It is shared by all
// loads of one function, and knows nothing of other functions.
type pace struct {
	most int
	now  func() time.Time

	mu      sync.Mutex
	allowed float64
	grown   bool // something was in the way once
	under   int
	best    float64   // seconds of a transaction
	cut     time.Time // when it was last made less
	waiting []chan struct{}
}

func newPace(most int, now func() time.Time) *pace {
	return &pace{most: most, now: now, allowed: 1}
}

// begin waits for a turn.
func (p *pace) begin(ctx context.Context) error {
	p.mu.Lock()
	if len(p.waiting) == 0 && p.under < int(p.allowed) {
		p.under++
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.waiting {
		if w == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return ctx.Err()
		}
	}
	p.under-- // the turn came at the same moment
	p.wake()
	return ctx.Err()
}

// end gives the turn back.
func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under--
	p.wake()
}

func (p *pace) wake() {
	for len(p.waiting) > 0 && p.under < int(p.allowed) {
		p.under++
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
	}
}

// stored learns from a transaction that committed. Only full ones are alike, so
// that their times can be compared.
func (p *pace) stored(took time.Duration, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slow := false
	if full {
		seconds := took.Seconds()
		if p.best == 0 || seconds < p.best {
			p.best = seconds
		}
		slow = seconds > slower*p.best
		p.best += forget * (seconds - p.best)
	}
	switch {
	case slow:
		p.less(ease, took)
	case !p.grown:
		p.allowed++
	default:
		p.allowed += 1 / p.allowed
	}
	p.allowed = min(p.allowed, float64(p.most))
	p.wake()
}

// conflicted learns from a transaction that others were in the way of.
func (p *pace) conflicted(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.less(0.5, took)
}

// less slows down, once for all transactions that were under way together.
func (p *pace) less(part float64, took time.Duration) {
	now := p.now()
	if p.grown && now.Add(-took).Before(p.cut) {
		return
	}
	p.grown, p.cut = true, now
	p.allowed = max(1, p.allowed*part)
}
