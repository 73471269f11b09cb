package asl

import (
	"encoding/json"
	"time"
)

// A Machine is a definition that has been read and checked. It is immutable and
// may be used by any number of executions at once.
type Machine struct {
	Comment string
	timeout time.Duration // 0: none
	states  *processor
}

// processor is a list of states with its entry: the machine's own, a branch's or
// an item processor's.
type processor struct {
	startAt     string
	states      map[string]*state
	distributed bool
	express     bool
}

type kind string

const (
	kindPass     kind = "Pass"
	kindTask     kind = "Task"
	kindChoice   kind = "Choice"
	kindWait     kind = "Wait"
	kindSucceed  kind = "Succeed"
	kindFail     kind = "Fail"
	kindParallel kind = "Parallel"
	kindMap      kind = "Map"
)

type state struct {
	name string
	kind kind
	next string
	end  bool

	output *template
	assign *template

	// Task
	resource  string
	arguments *template // Task and Parallel
	timeout   *template // seconds

	retry []*retrier
	catch []*catcher

	// Choice
	choices  []*choice
	fallback string // Default

	// Wait
	seconds, timestamp *template

	// Fail
	failError, failCause *template

	branches []*processor // Parallel
	each     *mapping     // Map
}

type choice struct {
	condition      *template
	next           string
	output, assign *template
}

type retrier struct {
	errors   []string
	interval time.Duration
	attempts int
	backoff  float64
	longest  time.Duration // 0: none
	jitter   bool
}

type catcher struct {
	errors         []string
	next           string
	output, assign *template
}

// mapping is what a Map state does with its items.
type mapping struct {
	items        *template
	selector     *template
	processor    *processor
	concurrency  *template
	reader       *itemReader
	batcher      *itemBatcher
	toleratedPct *template
	toleratedNum *template
	label        string
	writer       *resultWriter
}

type itemReader struct {
	resource  string // s3:getObject or s3:listObjectsV2
	arguments *template
	inputType string
	headers   []string
	given     bool
	delimiter rune
	maxItems  *template
	pointer   *template
}

type itemBatcher struct {
	maxItems, maxBytes *template
	input              *template
}

type resultWriter struct {
	arguments      *template // nil: the results stay in the state's output
	transformation string    // NONE, COMPACT or FLATTEN
	jsonl          bool
}

// MaxData is the service's limit on a state's input and output, a variable and an
// execution's input, in bytes of UTF-8.
const MaxData = 256 << 10

// MaxEvents is the service's limit on the events of one history.
const MaxEvents = 25000

func tooLarge(what string, raw json.RawMessage) *Error {
	if len(raw) <= MaxData {
		return nil
	}
	return errorf(ErrDataLimitExceeded, "The %s has %d bytes, more than the limit of %d bytes.", what, len(raw), MaxData)
}
