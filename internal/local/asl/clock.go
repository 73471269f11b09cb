package asl

import (
	"context"
	"sync"
	"time"
)

// A Clock is the time that executions live in. Both methods may be called from
// any number of goroutines. Sleep returns early, with the context's cause, when
// ctx ends.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// RealClock is the host's time.
type RealClock struct{}

// Now returns the host's time in UTC.
func (RealClock) Now() time.Time { return time.Now().UTC() }

// Sleep waits for d.
func (RealClock) Sleep(ctx context.Context, d time.Duration) error { return pause(ctx, d) }

// A FastClock runs with the host's time but leaps over most of every wait: Sleep
// takes a hundredth of the time asked for, at most Longest, and the clock then
// stands where it would have stood. Sleeps side by side leap together, not one
// after the other. What really takes time beside a Wait (a statement in a real
// database) does not get faster, so that a poll finds it unfinished more often
// than it would: the hundredth keeps such polls from spinning.
type FastClock struct {
	// Longest is the most that a Sleep really takes; 0 is 100 ms.
	Longest time.Duration

	mu   sync.Mutex
	leap time.Duration
}

// Now returns the host's time plus what was leapt over, in UTC.
func (c *FastClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().UTC().Add(c.leap)
}

// Advance moves the clock forward by d.
func (c *FastClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leap += d
}

// Sleep lets d go by.
func (c *FastClock) Sleep(ctx context.Context, d time.Duration) error {
	target := c.Now().Add(d)
	longest := c.Longest
	if longest == 0 {
		longest = 100 * time.Millisecond
	}
	if err := pause(ctx, min(d, max(d/100, time.Millisecond), longest)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if short := target.Sub(time.Now().Add(c.leap)); short > 0 {
		c.leap += short
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
