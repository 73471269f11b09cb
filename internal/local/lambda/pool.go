package lambda

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// acquire hands out an idle environment, the warmest first, starts one where the
// bound allows it, or waits.
func (f *Function) acquire(ctx context.Context) (*environment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		if err := f.Validate(); err != nil {
			return nil, &Error{Type: "Lambda.SdkClientException", Message: err.Error()}
		}
		f.cond = sync.NewCond(&f.mu)
		f.alive = map[*environment]bool{}
		f.start = newStarter()
		f.ready = true
	}
	if f.Reserved > 0 && f.flying >= f.Reserved {
		return nil, &Error{Type: "Lambda.TooManyRequestsException", Message: "Rate Exceeded: ReservedFunctionConcurrentInvocationLimitExceeded"}
	}
	limit := f.Environments
	if limit <= 0 {
		limit = 8
	}
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		f.cond.Broadcast()
		f.mu.Unlock()
	})
	defer stop()
	for {
		if f.closed {
			return nil, &Error{Type: "Lambda.SdkClientException", Message: "function " + f.Name + " is closed"}
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		for n := len(f.idle); n > 0; n = len(f.idle) {
			e := f.idle[n-1]
			f.idle = f.idle[:n-1]
			if !e.isDead() {
				f.begin()
				return e, nil
			}
			delete(f.alive, e)
		}
		if len(f.alive) < limit {
			e, err := f.startEnvironment()
			if err != nil {
				return nil, &Error{Type: "Lambda.Unknown", Message: fmt.Sprintf("start %s: %v", f.Bootstrap, err)}
			}
			f.alive[e] = true
			f.stats.Environments++
			f.begin()
			return e, nil
		}
		f.cond.Wait()
	}
}

func (f *Function) begin() {
	f.flying++
	f.stats.Calls++
}

// release takes an environment back after a call: a living one becomes idle.
func (f *Function) release(e *environment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flying--
	f.stats.PeakRSS = max(f.stats.PeakRSS, e.sampleRSS())
	// A panic answers first and exits then: an environment on its way out must not
	// be given the next call.
	if e.leaving() {
		delete(f.alive, e)
		go func() {
			select {
			case <-e.dead:
			case <-time.After(time.Second): // it reported a stack, but stays
				e.kill()
			}
		}()
	} else {
		f.idle = append(f.idle, e)
	}
	f.cond.Broadcast()
}

func (f *Function) timeout() time.Duration {
	if f.Timeout == 0 {
		return 3 * time.Second
	}
	return f.Timeout
}

// lineWriter hands whole lines to a Function's Logs.
type lineWriter struct {
	f    *Function
	rest []byte
}

// maxLine bounds a log line in memory; a longer one is written in pieces.
const maxLine = 256 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			if len(w.rest) > maxLine {
				w.flush()
			}
			return len(p), nil
		}
		w.emit(w.rest[:i+1])
		w.rest = w.rest[i+1:]
	}
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.emit(append(w.rest, '\n'))
		w.rest = nil
	}
}

func (w *lineWriter) emit(line []byte) {
	if w.f.Logs == nil {
		return
	}
	w.f.logMu.Lock()
	defer w.f.logMu.Unlock()
	_, _ = w.f.Logs.Write(line) // a reader of logs that is gone must not stop the function
}
