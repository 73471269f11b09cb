package events

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"godwit/internal/local/asl"
)

// Config is what a Service needs to know. Invoking, Fault and Poll may be zero.
type Config struct {
	Account    string
	Region     string
	Clock      asl.Clock
	Judge      Judge
	Functions  Functions
	Executions Executions
	// Invoking says how Lambda repeats the asynchronous invocations of a function;
	// nil is Lambda's default for all.
	Invoking map[string]Invoking // by ARN
	// Fault is asked about every event that is published. nil means no faults.
	Fault func(Event) Fault
	// Poll is how often, by the host's clock, schedules are looked at; 0 is never:
	// Tick does it then.
	Poll time.Duration
}

// A Judge judges calls, as iam.Judge does. Its errors are *gateway.AccessDenied,
// or what else is wrong.
type Judge interface {
	Authorize(role, action, resource string, condition map[string]string) error
	AuthorizeService(service, action, resource string, condition map[string]string) error
	CanAssume(role, service string, condition map[string]string) error
}

// Functions are the functions of the account.
type Functions interface {
	// Invoke calls a function and waits for it; the error is a *lambda.Error.
	Invoke(ctx context.Context, arn string, payload []byte) ([]byte, error)
}

// Executions are those of the account's state machines.
type Executions interface {
	// Start starts an execution; the same name and input start it once. An error
	// that is a *states.APIError is final.
	Start(machineARN, name string, input []byte) error
}

// A Fault is what happens to one event.
type Fault uint8

// The faults. Drop: nobody hears of it. Double: every target does twice.
const (
	None Fault = iota
	Drop
	Double
)

// A Delivery is an event for a target, as it stands.
type Delivery struct {
	Rule     string // name
	Target   string // ARN
	Event    string // id
	Attempts int    // of EventBridge, or of Lambda once the function's queue has it
	Outcome  Outcome
	Err      error // of the last attempt
}

// An Outcome is how a delivery stands.
type Outcome uint8

// The outcomes. Dead is a letter in a queue; Lost is nowhere.
const (
	UnderWay Outcome = iota
	Delivered
	Dead
	Lost
)

// A Letter is a message in a queue for what could not be delivered.
type Letter struct {
	Queue      string // ARN
	Body       json.RawMessage
	Attributes map[string]string
}

// A Service is the default bus and the scheduler. Safe for concurrent use. Close
// it after use.
type Service struct {
	config Config
	ctx    context.Context // of everything under way; ends with Close
	stop   context.CancelFunc
	jobs   sync.WaitGroup

	mu         sync.Mutex
	rules      []*rule
	deliveries []*Delivery
	letters    []Letter
	flying     int
	settled    chan struct{} // closed and replaced when a delivery ends
}

// A rule is one that is there; next is when it fires by the clock.
type rule struct {
	Rule
	next time.Time
}

// New makes a service without rules.
func New(c Config) (*Service, error) {
	if c.Account == "" || c.Region == "" || c.Clock == nil || c.Judge == nil || c.Functions == nil || c.Executions == nil {
		return nil, errors.New("local events need an account, a region, a clock, a judge, functions and executions")
	}
	if c.Fault == nil {
		c.Fault = func(Event) Fault { return None }
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Service{config: c, ctx: ctx, stop: stop, settled: make(chan struct{})}
	if c.Poll > 0 {
		s.jobs.Go(func() {
			t := time.NewTicker(c.Poll)
			defer t.Stop()
			for {
				select {
				case <-t.C:
					s.Tick()
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return s, nil
}

// Create adds a rule. A schedule fires a whole rate from now for the first time.
func (s *Service) Create(r Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.rules, func(have *rule) bool { return have.ARN == r.ARN }) {
		return fmt.Errorf("create rule %s: it exists", r.Name)
	}
	s.rules = append(s.rules, &rule{Rule: r, next: s.config.Clock.Now().Add(r.Every)})
	return nil
}

// Close ends deliveries under way.
func (s *Service) Close() {
	s.mu.Lock()
	s.stop() // no delivery starts from here on
	s.mu.Unlock()
	s.jobs.Wait()
}

// Put publishes an event on the default bus. Its id, account, region and, where
// there is none, its time are made here.
func (s *Service) Put(e Event) {
	e = s.complete(e)
	copies := map[Fault]int{None: 1, Double: 2}[s.config.Fault(e)]
	v, err := e.value()
	if err != nil {
		return // an event that is no JSON never left its publisher
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.pattern == nil || !r.pattern.matches(v, true) {
			continue
		}
		for range copies {
			s.begin(&r.Rule, e)
		}
	}
}

func (s *Service) complete(e Event) Event {
	e.Version, e.ID, e.Account, e.Region = "0", newID(), s.config.Account, s.config.Region
	if e.Time.IsZero() {
		e.Time = s.config.Clock.Now()
	}
	e.Time = e.Time.UTC().Truncate(time.Second)
	if e.Resources == nil {
		e.Resources = []string{}
	}
	if e.Detail == nil {
		e.Detail = json.RawMessage("{}")
	}
	return e
}

// Tick fires the schedules that are due, each once: times that the clock has leapt
// over are one. It returns how many fired.
func (s *Service) Tick() (fired int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock.Now()
	for _, r := range s.rules {
		if r.Every == 0 || now.Before(r.next) {
			continue
		}
		e := s.complete(Event{Source: "aws.events", DetailType: "Scheduled Event", Time: r.next, Resources: []string{r.ARN}})
		if r.Scheduler {
			e.Source, e.Detail = "aws.scheduler", json.RawMessage(`"{}"`)
		}
		for !r.next.After(now) {
			r.next = r.next.Add(r.Every)
		}
		s.begin(&r.Rule, e)
		fired++
	}
	return fired
}

// begin delivers an event to the targets of a rule; s.mu is held.
func (s *Service) begin(r *Rule, e Event) {
	if s.ctx.Err() != nil {
		return
	}
	for _, t := range r.Targets {
		d := &Delivery{Rule: r.Name, Target: t.ARN, Event: e.ID}
		s.deliveries = append(s.deliveries, d)
		s.flying++
		s.jobs.Go(func() {
			outcome := s.deliver(d, r, t, e)
			s.mu.Lock()
			defer s.mu.Unlock()
			d.Outcome = outcome
			s.flying--
			close(s.settled)
			s.settled = make(chan struct{})
		})
	}
}

// Wait returns when no delivery is under way.
func (s *Service) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		flying, settled := s.flying, s.settled
		s.mu.Unlock()
		if flying == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d deliveries: %w", flying, context.Cause(ctx))
		}
	}
}

// Deliveries are all there were, in the order of their beginning.
func (s *Service) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Delivery, 0, len(s.deliveries))
	for _, d := range s.deliveries {
		all = append(all, *d)
	}
	return all
}

// Letters are what lies in queues of dead letters, the oldest first.
func (s *Service) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// tried notes an attempt.
func (s *Service) tried(d *Delivery, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Attempts++
	d.Err = err
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
