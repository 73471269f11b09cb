package local

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/asl"
)

// A progress shows an execution on a terminal: one line a step. The line of a
// step of many parts is rewritten while it runs; where the output is no terminal
// it is written once, at its end.
type progress struct {
	out   io.Writer
	tty   bool
	mu    sync.Mutex
	begun map[*asl.MapRun]time.Time
	open  bool // the current line has no end yet
	last  time.Time
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, begun: map[*asl.MapRun]time.Time{}}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.tty = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// steps are what people call the maps and phases of the state machines.
var steps = map[string]string{
	"Export":    "export",
	"Survey":    "survey",
	"Transform": "read and map",
	"Count":     "count again",
	"import":    "import",
	"keys":      "keys",
	"slices":    "current rows",
	"indexes":   "indexes",
	"visible":   "make visible",

	"Load":     "load rows",
	"Evidence": "digest source",
	"tables":   "make tables",
	"foreign":  "foreign keys",
	"digests":  "digest target",
}

// event takes the engine's events.
func (p *progress) event(e asl.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case asl.StateRetried:
		p.line(fmt.Sprintf("  %-13s again: %s", e.State, e.Error.Name))
		p.newline()
	case asl.MapRunStarted:
		p.begun[e.Run] = time.Now()
	case asl.MapItemsDone:
		ended := e.Done == e.Total
		if !ended && (!p.tty || time.Since(p.last) < 100*time.Millisecond) {
			return
		}
		p.last = time.Now()
		p.line(p.bar(e))
		if ended {
			p.newline()
		}
	}
}

// bar is the line of a map: how far it is, how fast, and how long it will take.
func (p *progress) bar(e asl.Event) string {
	const width = 24
	name, done, all, unit := workOf(e.Run)
	took := time.Since(p.begun[e.Run])
	full := width
	if e.Total > 0 {
		full = width * e.Done / e.Total
	}
	text := fmt.Sprintf("  %-13s [%s%s] %3d of %d  %5.1f s", name, strings.Repeat("#", full), strings.Repeat(".", width-full), e.Done, e.Total, took.Seconds())
	if unit != "" && took > 0 {
		text += fmt.Sprintf("  %s %s/s", count(done/took.Seconds()), unit)
	}
	if e.Failed > 0 {
		text += fmt.Sprintf("  %d failed", e.Failed)
	}
	if e.Done < e.Total && done > 0 && all > done {
		text += fmt.Sprintf("  about %.0f s left", took.Seconds()*(all-done)/done)
	}
	return text
}

// workOf says what a map works on: its name, and how much of it is done, of how
// much, in a unit.
func workOf(run *asl.MapRun) (name string, done, all float64, unit string) {
	name = run.Label
	for _, child := range run.Children() {
		var in struct {
			Items []struct {
				Phase  string
				Args   struct{ Rows float64 }
				Ranges []struct{ Size float64 }
			}
		}
		if json.Unmarshal(child.Input, &in) != nil {
			continue // not a map of ours: the name is enough
		}
		amount := 0.0
		for _, item := range in.Items {
			if item.Phase != "" {
				name = item.Phase
			}
			amount += item.Args.Rows
			for _, r := range item.Ranges {
				amount += r.Size
			}
		}
		all += amount
		if child.Result().Status == asl.Succeeded {
			done += amount
		}
	}
	switch name {
	case "Transform", "Count", "Survey":
		unit, done, all = "MB", done/1e6, all/1e6
	case "import":
		unit = "rows"
	default:
		done, all = 0, 0
	}
	if s, ok := steps[name]; ok {
		name = s
	}
	return name, done, all, unit
}

func count(x float64) string {
	if x < 100 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func (p *progress) line(text string) {
	if p.tty {
		text = "\r\x1b[K" + text
	}
	fmt.Fprint(p.out, text)
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
