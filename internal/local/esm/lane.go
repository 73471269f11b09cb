package esm

import (
	"context"
	"errors"
	"time"

	"godwit/internal/local/lambda"
)

const (
	readPause  = 200 * time.Millisecond // Kinesis allows five reads a second
	faultDelay = 10 * time.Second       // of the fault Delay
)

// A lane delivers the records of some partition keys of a shard, one batch at a
// time.
type lane struct {
	shard  *shard
	number int
	wake   chan struct{} // holds a token when collect should look again

	// Under m.mu.
	queue   []*item
	left    int                // items not finished: those of queue, and those collected
	hurry   context.CancelFunc // ends the window that collect waits for
	failing int                // failures in a row without progress
	why     string             // of the last one
}

// A batch is what one invocation gets. It may shrink, and be split.
type batch struct {
	items    []*item
	attempts int // failed ones that count
	invokes  int // of the function, with these records at least
}

// work delivers until the run stops, or until the shard has no more for the lane.
func (l *lane) work() {
	for {
		items := l.collect()
		if len(items) == 0 || !l.deliver(items) {
			return
		}
	}
}

// look ends collect's wait if it has something to do. m.mu is held.
func (l *lane) look() {
	_, full := l.fit()
	if l.hurry != nil && (full || l.shard.over) {
		l.hurry()
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// fit says how many of the queue make the next batch, and whether no more would
// fit. m.mu is held.
func (l *lane) fit() (n int, full bool) {
	size := len(eventHead) + len(eventTail)
	for n < len(l.queue) && n < l.shard.run.settings.BatchSize {
		size += l.queue[n].size + 1
		if size-1 > maxEvent {
			return max(n, 1), true // one that never fits is discarded by itself
		}
		n++
	}
	return n, n == l.shard.run.settings.BatchSize
}

// collect takes the next batch off the queue: when it is full, when its window
// has passed, or when no more can come. It returns nothing when the lane has
// nothing more to do.
func (l *lane) collect() []*item {
	r, m, clock := l.shard.run, l.shard.run.m, l.shard.run.m.service.config.Clock
	var deadline time.Time
	for {
		m.mu.Lock()
		n, full := l.fit()
		now := clock.Now()
		if n > 0 && deadline.IsZero() {
			deadline = now.Add(r.settings.Window)
		}
		switch {
		case n == 0 && l.shard.over || r.ctx.Err() != nil:
			m.mu.Unlock()
			return nil
		case n > 0 && (full || l.shard.over || !now.Before(deadline)):
			items := l.queue[:n:n]
			l.queue = l.queue[n:]
			m.mu.Unlock()
			return items
		}
		ctx, cancel := context.WithCancel(r.ctx)
		if n > 0 {
			l.hurry = cancel
		}
		m.mu.Unlock()
		if n > 0 {
			// Its error is that of the run, which the loop sees, or of look's hurry.
			_ = clock.Sleep(ctx, deadline.Sub(now))
		} else {
			select {
			case <-l.wake:
			case <-ctx.Done():
			}
		}
		m.mu.Lock()
		l.hurry = nil
		m.mu.Unlock()
		cancel()
	}
}

// An outcome is what became of an invocation: the first n records are done with,
// and failed says why the rest is not, "" when there is none.
type outcome struct {
	n         int
	failed    string
	throttled bool // the function was not called
	answered  bool // it answered, and named where it failed
	again     bool // nobody heard that it succeeded
}

// deliver takes a batch to its end: each of its records done or discarded. It
// returns false when the run stops before that.
func (l *lane) deliver(items []*item) bool {
	r, m := l.shard.run, l.shard.run.m
	// The last of the stack holds the first records that are left.
	stack := []batch{{items: items}}
	for len(stack) > 0 {
		b := &stack[len(stack)-1]
		if len(b.items) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		if r.ctx.Err() != nil {
			return false
		}
		if n := l.expired(b.items); n > 0 {
			l.discard(batch{b.items[:n], b.attempts, b.invokes}, conditionAge, false)
			b.items = b.items[n:]
			continue
		}
		if len(b.items) == 1 && len(eventHead)+b.items[0].size+len(eventTail) > maxEvent {
			l.discard(*b, conditionSize, false)
			b.items = nil
			continue
		}
		out := l.invoke(b)
		if m.service.ctx.Err() != nil {
			return false
		}
		if out.again {
			continue
		}
		m.mu.Lock()
		l.shard.finish(b.items[:out.n])
		switch {
		case out.failed == "":
			m.result = "OK"
		case out.throttled:
			m.stats.Throttles++
			m.result = "PROBLEM: " + out.failed
		default:
			m.stats.FailedInvoke += int64(len(b.items) - out.n)
			m.result = "PROBLEM: Function call failed"
		}
		bisected := r.settings.Bisect && !out.throttled && (out.n > 0 || !out.answered && len(b.items) > 1)
		l.failing++
		if l.why = out.failed; out.failed == "" || out.n > 0 || bisected {
			l.failing = 0
		}
		if bisected && out.failed != "" && out.n == 0 {
			m.stats.Bisections++
		}
		pause := backoff(l.failing)
		m.note()
		m.mu.Unlock()
		b.items = b.items[out.n:]
		switch {
		case out.failed == "", out.throttled:
		case bisected && out.n == 0:
			half := len(b.items) / 2
			second := batch{b.items[half:], b.attempts, b.invokes}
			b.items = b.items[:half]
			stack = append(stack[:len(stack)-1], second, *b)
		case bisected: // split where the function said
		default:
			if b.attempts++; r.settings.Retries >= 0 && b.attempts > r.settings.Retries {
				l.discard(*b, conditionRetries, !out.answered)
				b.items = nil
				continue
			}
		}
		if pause > 0 && m.service.config.Clock.Sleep(r.ctx, pause) != nil {
			return false
		}
	}
	return true
}

// expired is how many of the first records are too old: for the mapping, or for
// the stream, which does not keep them any more.
func (l *lane) expired(items []*item) int {
	now, n := l.shard.run.m.service.config.Clock.Now(), 0
	for n < len(items) && now.Sub(items[n].Arrival) > l.shard.limit {
		n++
	}
	return n
}

// invoke calls the function with a batch, through the faults that the run asks for.
func (l *lane) invoke(b *batch) outcome {
	m, config := l.shard.run.m, l.shard.run.m.service.config
	fault := None
	if config.Fault != nil {
		m.mu.Lock()
		d := Delivery{
			Mapping: m.UUID, Shard: l.shard.id, Lane: l.number, First: b.items[0].Sequence, Last: b.items[len(b.items)-1].Sequence,
			Records: len(b.items), Failures: l.failing,
		}
		m.mu.Unlock()
		fault = config.Fault(d)
	}
	switch fault {
	case Throttle:
		return outcome{failed: "Rate exceeded", throttled: true}
	case Crash:
		l.count(b)
		return outcome{failed: "the function crashed"}
	case Delay:
		if config.Clock.Sleep(l.shard.run.ctx, faultDelay) != nil {
			return outcome{again: true} // the mapping stops
		}
	case None, Lose, Repeat: // the function runs
	}
	body, err := config.Functions.Invoke(m.service.ctx, m.FunctionARN, m.event(l.shard.id, b.items))
	var refused *lambda.Error
	if errors.As(err, &refused) && refused.Type == "Lambda.TooManyRequestsException" {
		return outcome{failed: refused.Message, throttled: true}
	}
	l.count(b)
	switch {
	case err != nil:
		return outcome{failed: err.Error()}
	case fault == Lose:
		return outcome{failed: "the function's answer was lost"}
	case fault == Repeat:
		return outcome{again: true}
	case !l.shard.run.settings.ItemFailures:
		return outcome{n: len(b.items)}
	}
	return interpret(body, b.items)
}

// count counts an invocation.
func (l *lane) count(b *batch) {
	m := l.shard.run.m
	b.invokes++
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Invocations++
	m.stats.Invoked += int64(len(b.items))
}
