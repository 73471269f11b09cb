package esm

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Stall is one place where a mapping does not go on by itself.
type Stall struct {
	Shard    string // "" is the mapping as a whole
	Lane     int
	Sequence string // of the first record that waits; "" where none is known
	Failures int    // in a row
	Why      string
}

// A StalledError says that a mapping has nothing left to do but what keeps
// failing.
type StalledError struct {
	Mapping string
	State   string
	Stalls  []Stall // in the order of shards and lanes
}

func (e *StalledError) Error() string {
	var parts []string
	for _, s := range e.Stalls {
		text := s.Why
		if s.Failures > 0 {
			text = fmt.Sprintf("%d failures in a row: %s", s.Failures, s.Why)
		}
		if s.Sequence != "" {
			text = fmt.Sprintf("%s lane %d at %s: %s", s.Shard, s.Lane, s.Sequence, text)
		} else if s.Shard != "" {
			text = s.Shard + ": " + text
		}
		parts = append(parts, text)
	}
	return fmt.Sprintf("event source mapping %s is %s and stands still: %s", e.Mapping, e.State, strings.Join(parts, "; "))
}

// Drain returns when every mapping has nothing unread and nothing under way, or
// with a *StalledError when what is left of one keeps failing, or the mapping is
// disabled; or with ctx's cause.
func (s *Service) Drain(ctx context.Context) error {
	for _, m := range s.all() {
		if err := m.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *mapping) drain(ctx context.Context) error {
	for {
		m.mu.Lock()
		quiet, stalls := m.standing()
		state, moved := m.state, m.moved
		m.mu.Unlock()
		switch {
		case quiet && len(stalls) > 0:
			return &StalledError{Mapping: m.UUID, State: state, Stalls: stalls}
		case quiet:
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// standing says whether nothing moves any more, but for what stalls. m.mu is held.
func (m *mapping) standing() (quiet bool, stalls []Stall) {
	patience := m.service.config.Patience
	switch {
	case m.changing:
		return false, nil
	case m.run == nil:
		return true, []Stall{{Why: "it reads nothing: enable it"}}
	case m.run.looking:
		return m.run.failing >= patience, []Stall{{Failures: m.run.failing, Why: m.run.problem}}
	}
	var ids []string
	for id := range m.run.shards {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		sh := m.run.shards[id]
		blocked := 0
		for _, l := range sh.lanes {
			if l.failing >= patience {
				blocked++
				stalls = append(stalls, Stall{Shard: id, Lane: l.number, Sequence: sh.firstOf(l), Failures: l.failing, Why: l.why})
			} else if l.left > 0 {
				return false, nil // a batch is collected or under way
			}
		}
		switch {
		case sh.failing >= patience:
			stalls = append(stalls, Stall{Shard: id, Failures: sh.failing, Why: sh.problem})
		case sh.over, sh.crowded && blocked > 0:
		case !sh.idle:
			return false, nil
		default:
			// The reader waits: is there really nothing?
			if ready, _, err := m.service.config.Kinesis.Waiting(sh.iterator); ready || err != nil {
				return false, nil
			}
		}
	}
	return true, stalls
}

// firstOf is the first record that a lane has not finished. m.mu is held.
func (sh *shard) firstOf(l *lane) string {
	for _, it := range sh.open {
		if !it.done && it.lane == l {
			return it.Sequence
		}
	}
	return ""
}
