package local

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/asl"
)

// A progress shows an execution on a terminal: one line a state, rewritten while
// its map runs.
type progress struct {
	out   io.Writer
	mu    sync.Mutex
	begun map[string]time.Time
	open  bool // the current line has no end yet
	last  time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out, begun: map[string]time.Time{}} }

// event takes the engine's events.
func (p *progress) event(e asl.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Execution != nil && e.Execution.Parent != nil {
		return // children are counted by their map
	}
	switch e.Kind {
	case asl.StateEntered:
		p.begun[e.State] = time.Now()
	case asl.StateRetried:
		p.line(fmt.Sprintf("%-12s again: %s", e.State, e.Error.Name))
		p.newline()
	case asl.MapItemsDone:
		if e.Done < e.Total && time.Since(p.last) < 100*time.Millisecond {
			return
		}
		p.last = time.Now()
		took := time.Since(p.begun[e.State])
		left := time.Duration(0)
		if e.Done > 0 {
			left = took * time.Duration(e.Total-e.Done) / time.Duration(e.Done)
		}
		const width = 30
		full := 0
		if e.Total > 0 {
			full = width * e.Done / e.Total
		}
		p.line(fmt.Sprintf("%-12s [%s%s] %d of %d, %.1f s, %.0f s left", e.State, strings.Repeat("#", full), strings.Repeat(".", width-full), e.Done, e.Total, took.Seconds(), left.Seconds()))
		if e.Done == e.Total {
			p.newline()
		}
	case asl.StateExited:
		if p.open {
			return
		}
		if took := time.Since(p.begun[e.State]); took > 50*time.Millisecond {
			p.line(fmt.Sprintf("%-12s %.1f s", e.State, took.Seconds()))
			p.newline()
		}
	}
}

func (p *progress) line(text string) {
	fmt.Fprintf(p.out, "\r\x1b[K%s", text)
	p.open = true
}

func (p *progress) newline() {
	if p.open {
		fmt.Fprintln(p.out)
	}
	p.open = false
}

// end ends the line that is open.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newline()
}
