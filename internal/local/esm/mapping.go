package esm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/kinesis"
	"godwit/internal/local/template"
)

// A Mapping is a mapping to be made.
type Mapping struct {
	UUID        string
	FunctionARN string
	Role        string // the function's
	StreamARN   string
	// Position is where the shards begin: kinesis.TrimHorizon, kinesis.Latest or
	// kinesis.AtTimestamp, which needs a Timestamp.
	Position  string
	Timestamp time.Time
	Settings
}

// Settings are what may be changed of a mapping.
type Settings struct {
	Enabled      bool
	BatchSize    int           // records of a batch at most: 1 to 10,000
	Window       time.Duration // how long a batch waits for more records: 0 to 300 s
	Parallel     int           // lanes of a shard (ParallelizationFactor): 1 to 10
	Bisect       bool          // halve a batch that fails
	Retries      int           // after the first attempt: 0 to 10,000, -1 without end
	MaxAge       time.Duration // of a record: 60 s to 7 days, 0 without end
	ItemFailures bool          // the function's answer says from where on it failed
	Destination  string        // ARN of the bucket for what is discarded, "" for none
}

func (c Mapping) validate() error {
	var errs []error
	fault := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	fault(c.UUID != "" && strings.Contains(c.FunctionARN, ":function:") && strings.Contains(c.StreamARN, ":kinesis:") && c.Role != "", "it needs a UUID, a function's ARN, its role and a stream's ARN")
	fault(slices.Contains([]string{kinesis.TrimHorizon, kinesis.Latest, kinesis.AtTimestamp}, c.Position), "starting position %q is none of TRIM_HORIZON, LATEST, AT_TIMESTAMP", c.Position)
	fault((c.Position == kinesis.AtTimestamp) != c.Timestamp.IsZero(), "a timestamp belongs to AT_TIMESTAMP, and only there")
	if err := c.Settings.validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s Settings) validate() error {
	var errs []error
	within := func(name string, value, least, most int) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("%s %d is not within %d and %d", name, value, least, most))
		}
	}
	within("BatchSize", s.BatchSize, 1, 10_000)
	within("MaximumBatchingWindowInSeconds", int(s.Window/time.Second), 0, 300)
	within("ParallelizationFactor", s.Parallel, 1, 10)
	within("MaximumRetryAttempts", s.Retries, -1, 10_000)
	if s.MaxAge != 0 {
		within("MaximumRecordAgeInSeconds", int(s.MaxAge/time.Second), 60, 604_800)
	}
	if s.Destination != "" && bucket(s.Destination) == s.Destination {
		errs = append(errs, fmt.Errorf("destination %s is no bucket: local delivers to S3 only", s.Destination))
	}
	return errors.Join(errs...)
}

// properties are how a template and the control API write settings; what is
// absent stays as it is.
type properties struct {
	Enabled                                                          *bool
	BatchSize, MaximumBatchingWindowInSeconds, ParallelizationFactor *int
	BisectBatchOnFunctionError                                       *bool
	MaximumRetryAttempts, MaximumRecordAgeInSeconds                  *int
	FunctionResponseTypes                                            *[]string
	DestinationConfig                                                *struct{ OnFailure *struct{ Destination string } }
	MetricsConfig                                                    *struct{ Metrics []string } // the counts are always kept
}

func (p properties) over(s Settings) (Settings, error) {
	set := func(to *int, from *int) {
		if from != nil {
			*to = *from
		}
	}
	if p.Enabled != nil {
		s.Enabled = *p.Enabled
	}
	set(&s.BatchSize, p.BatchSize)
	set(&s.Parallel, p.ParallelizationFactor)
	set(&s.Retries, p.MaximumRetryAttempts)
	if p.MaximumBatchingWindowInSeconds != nil {
		s.Window = time.Duration(*p.MaximumBatchingWindowInSeconds) * time.Second
	}
	if p.BisectBatchOnFunctionError != nil {
		s.Bisect = *p.BisectBatchOnFunctionError
	}
	if age := p.MaximumRecordAgeInSeconds; age != nil {
		s.MaxAge = time.Duration(*age) * time.Second
		if *age == -1 {
			s.MaxAge = 0
		} else if *age < 60 {
			return s, fmt.Errorf("MaximumRecordAgeInSeconds %d is neither -1 nor within 60 and 604800", *age)
		}
	}
	if types := p.FunctionResponseTypes; types != nil {
		s.ItemFailures = len(*types) > 0
		if len(*types) > 1 || s.ItemFailures && (*types)[0] != "ReportBatchItemFailures" {
			return s, fmt.Errorf("FunctionResponseTypes %v is not known", *types)
		}
	}
	if d := p.DestinationConfig; d != nil {
		s.Destination = ""
		if d.OnFailure != nil {
			s.Destination = d.OnFailure.Destination
		}
	}
	return s, s.validate()
}

// MappingOf reads a mapping of a stack; FunctionARN is its FunctionName, an ARN
// or a name, and Role is left to the caller. A property that local does not know
// is an error by name.
func MappingOf(r *template.Resource) (Mapping, error) {
	for name := range r.Properties {
		if !slices.Contains([]string{
			"Enabled", "BatchSize", "MaximumBatchingWindowInSeconds", "ParallelizationFactor", "BisectBatchOnFunctionError", "MaximumRetryAttempts",
			"MaximumRecordAgeInSeconds", "FunctionResponseTypes", "DestinationConfig", "MetricsConfig",
			"FunctionName", "EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "Tags",
		}, name) {
			return Mapping{}, fmt.Errorf("event source mapping %s: property %s is not known to local", r.LogicalID, name)
		}
	}
	var p struct {
		properties
		FunctionName, EventSourceArn, StartingPosition string
		StartingPositionTimestamp                      int64 // seconds since 1970
	}
	if err := r.Decode(&p); err != nil {
		return Mapping{}, err
	}
	c := Mapping{UUID: r.ID, FunctionARN: p.FunctionName, StreamARN: p.EventSourceArn, Position: p.StartingPosition}
	if p.StartingPositionTimestamp != 0 {
		c.Timestamp = time.Unix(p.StartingPositionTimestamp, 0)
	}
	var err error
	if c.Settings, err = p.over(Settings{Enabled: true, BatchSize: 100, Parallel: 1, Retries: -1}); err != nil {
		return Mapping{}, fmt.Errorf("event source mapping %s: %w", r.LogicalID, err)
	}
	return c, nil
}

// A mapping is one that is there. Its mutex guards all that changes of it, its
// run's shards and their lanes included.
type mapping struct {
	Mapping // Settings change, under mu
	service *Service

	mu        sync.Mutex
	state     string
	reason    string // of the state, in AWS's words
	result    string // of the last batch, likewise
	modified  time.Time
	changing  bool // a change is under way: another one is refused
	run       *run // nil while nothing is read
	positions map[string]*position
	stats     Stats
	moved     chan struct{} // closed and replaced when Drain should look again
}

// A position is how far a shard got: what survives a stop.
type position struct {
	start kinesis.Start
	done  bool // the shard was closed, and nothing is left of it
}

// errChanging says that another change is under way.
var errChanging = errors.New("the mapping is being changed")

// change takes new settings over: what runs stops behind its invocations under
// way, and starts again if it shall. It returns at once; state says what the
// mapping is until the change is through.
func (m *mapping) change(state string, to Settings) error {
	s := m.service
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changing || s.ctx.Err() != nil {
		return errChanging
	}
	m.changing, m.state, m.modified = true, state, s.config.Clock.Now()
	old := m.run
	s.jobs.Go(func() {
		if old != nil {
			old.end()
		}
		// A change takes the service a while. Its caller must be able to meet it, and
		// the error is that of a service that closes, which starts nothing more.
		if s.config.Clock.Sleep(s.ctx, time.Second) != nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.Settings, m.run, m.changing, m.modified, m.state = to, nil, false, s.config.Clock.Now(), "Disabled"
		if to.Enabled {
			m.state = "Enabled"
			m.run = m.begin()
		}
		m.note()
	})
	m.note()
	return nil
}

// note makes Drain look again. m.mu is held.
func (m *mapping) note() {
	close(m.moved)
	m.moved = make(chan struct{})
}

// A run is a mapping while it is enabled: one goroutine that starts shards, and
// for each shard one that reads and one for each lane.
type run struct {
	m        *mapping
	settings Settings
	ctx      context.Context
	stop     context.CancelFunc
	jobs     sync.WaitGroup
	ended    chan struct{} // holds a token when a shard was finished

	// Under m.mu.
	shards  map[string]*shard // started, and not finished
	looking bool              // for shards
	problem string            // why shards cannot be listed
	failing int               // how often in a row they could not
}

// begin starts to read. m.mu is held.
func (m *mapping) begin() *run {
	ctx, stop := context.WithCancel(m.service.ctx)
	r := &run{m: m, settings: m.Settings, ctx: ctx, stop: stop, ended: make(chan struct{}, 1), shards: map[string]*shard{}, looking: true}
	r.jobs.Go(r.lead)
	return r
}

// end stops the run and returns when its last invocation is over.
func (r *run) end() {
	r.stop()
	r.jobs.Wait()
}

// lead starts the shards that can be read, again whenever one was finished.
func (r *run) lead() {
	for {
		err := r.discover()
		r.m.mu.Lock()
		r.looking, r.problem = false, ""
		if err != nil {
			r.looking, r.problem = true, err.Error()
			r.failing++
			r.m.trouble(err)
		} else {
			r.failing = 0
		}
		pause := backoff(r.failing)
		r.m.note()
		r.m.mu.Unlock()
		if err != nil {
			if r.m.service.config.Clock.Sleep(r.ctx, pause) != nil {
				return
			}
			continue
		}
		select {
		case <-r.ended:
		case <-r.ctx.Done():
			return
		}
	}
}

// finished tells lead that a shard has no more to do. m.mu is held.
func (r *run) finished(sh *shard) {
	delete(r.shards, sh.id)
	r.m.positions[sh.id].done = true
	r.looking = true
	select {
	case r.ended <- struct{}{}:
	default: // it will look anyway
	}
}

// discover lists the shards and starts those whose parents are finished.
func (r *run) discover() error {
	m, s := r.m, r.m.service
	// The guide wants all three of a role.
	for _, operation := range []string{"DescribeStream", "DescribeStreamSummary", "ListShards"} {
		if err := m.admit(operation); err != nil {
			return err
		}
	}
	stream, err := s.config.Kinesis.Stream(m.StreamARN)
	if err != nil {
		return err
	}
	listed, err := s.config.Kinesis.Shards(m.StreamARN)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	first := m.positions == nil
	if first {
		m.positions = map[string]*position{}
	}
	kept := map[string]bool{}
	for _, sh := range listed {
		kept[sh.ID] = true
		if m.positions[sh.ID] == nil {
			m.positions[sh.ID] = m.beginning(sh, first)
		}
	}
	for _, sh := range listed {
		p := m.positions[sh.ID]
		waits := slices.ContainsFunc(sh.Parents, func(id string) bool { return kept[id] && !m.positions[id].done })
		if p.done || waits || r.shards[sh.ID] != nil || r.ctx.Err() != nil {
			continue
		}
		r.start(sh.ID, p.start, stream.Retention)
	}
	return nil
}

// beginning is where a shard begins that the mapping did not know: first are the
// shards that it finds when it is enabled for the first time.
func (m *mapping) beginning(sh kinesis.Shard, first bool) *position {
	switch closed := sh.EndNumber != ""; {
	case !first || m.Position == kinesis.TrimHorizon:
		return &position{start: kinesis.Start{Type: kinesis.TrimHorizon}}
	case m.Position == kinesis.Latest:
		return &position{start: kinesis.Start{Type: kinesis.Latest}, done: closed}
	default:
		return &position{start: kinesis.Start{Type: kinesis.AtTimestamp, Timestamp: m.Timestamp}, done: closed && sh.Closed.Before(m.Timestamp)}
	}
}

// backoff is the wait after n failures in a row.
func backoff(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(time.Second<<min(n-1, 6), time.Minute)
}

// trouble keeps why the mapping does not read. m.mu is held.
func (m *mapping) trouble(err error) {
	m.result = "PROBLEM: Cannot access stream " + m.StreamARN + ". " + err.Error()
	m.stats.ReadFailures++
}
