package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Config is what a gateway needs. Authorizer may be nil while nothing but the
// root user calls; everything else may be zero.
type Config struct {
	Authorizer Authorizer
	// Fault is asked once for every numbered request, with its first call, after
	// the call was allowed. nil means no faults.
	Fault func(Call) Fault
	// Halt is told the first error that must stop the run: an operation, action,
	// condition key or service that local does not know. May be nil; see Err.
	Halt func(error)
	// Now is the clock against which signatures are checked; nil is time.Now.
	Now func() time.Time
	// MaxBody is the longest request body in bytes; 0 is 512 MiB.
	MaxBody int64
}

// An Entry is one judged call in the gateway's log.
type Entry struct {
	Call
	Allowed bool
	Fault   Fault
}

// A Gateway serves all services of the local AWS at one address.
type Gateway struct {
	config   Config
	listener net.Listener
	server   *http.Server

	mu       sync.Mutex
	services map[string]Service
	issued   map[string]*identity // by access key id
	root     Credentials
	seq      int
	log      []Entry
	halted   error
}

// identity is who owns an access key.
type identity struct {
	credentials Credentials
	role        string
	kill        func()
	dead        bool // killed: nothing it still sends is served
}

// New starts a gateway on a free port of 127.0.0.1. Close it after use.
func New(c Config) (*Gateway, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxBody == 0 {
		c.MaxBody = 512 << 20
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the local AWS: %w", err)
	}
	g := &Gateway{config: c, listener: listener, services: map[string]Service{}, issued: map[string]*identity{}}
	g.root = g.issue("AKIA", "", nil)
	g.server = &http.Server{Handler: http.HandlerFunc(g.serve), ReadHeaderTimeout: time.Minute}
	go func() {
		// Serve always returns an error; after Close it is ErrServerClosed.
		if err := g.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			g.halt(fmt.Errorf("serve the local AWS: %w", err))
		}
	}()
	return g, nil
}

// URL is the endpoint, for AWS_ENDPOINT_URL. Its host is an IP address, so that
// S3 clients use path style.
func (g *Gateway) URL() string { return "http://" + g.listener.Addr().String() }

// Close stops serving; requests under way lose their connection.
func (g *Gateway) Close() error { return g.server.Close() }

// Register makes s answer the requests whose credential scope names service.
func (g *Gateway) Register(service string, s Service) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.services[service] = s
}

// Issue makes credentials for one process that runs as role, an IAM role's ARN.
// kill takes the process down when a fault says so; it may be nil for callers
// that cannot die, whose connection is then broken.
func (g *Gateway) Issue(role string, kill func()) Credentials {
	return g.issue("ASIA", role, kill)
}

func (g *Gateway) issue(prefix, role string, kill func()) Credentials {
	c := Credentials{AccessKeyID: prefix + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14]}
	if role != "" {
		c.SessionToken = rand.Text() + rand.Text()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued[c.AccessKeyID] = &identity{credentials: c, role: role, kill: kill}
	return c
}

// Revoke makes credentials unknown, for a process that has ended.
func (g *Gateway) Revoke(accessKeyID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.issued, accessKeyID)
}

// Root are the operator's credentials, which may do everything and whose calls
// are neither numbered nor faulted.
func (g *Gateway) Root() Credentials { return g.root }

// Calls returns the log: every call judged so far, in order.
func (g *Gateway) Calls() []Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Entry(nil), g.log...)
}

// Seq is the number of the last numbered request, which is how many there were.
func (g *Gateway) Seq() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seq
}

// Err is the first error that stops the run, or nil. From then on every request
// is answered 501 with its text.
func (g *Gateway) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.halted
}

func (g *Gateway) halt(err error) {
	g.mu.Lock()
	first := g.halted == nil
	if first {
		g.halted = err
	}
	g.mu.Unlock()
	if first && g.config.Halt != nil {
		g.config.Halt(err)
	}
}

// repeat tells whether a request is not the first try of its call: an SDK says so,
// "amz-sdk-request: attempt=2; max=3".
func repeat(r *http.Request) bool {
	attempt, ok := strings.CutPrefix(r.Header.Get("Amz-Sdk-Request"), "attempt=")
	return ok && attempt != "1" && !strings.HasPrefix(attempt, "1;")
}

// Admit judges and numbers calls that reach no service by HTTP, such as a state
// machine that invokes a function: the caller is role, the first call decides the
// fault. It returns the number, the fault for the caller to carry out, and nil,
// *AccessDenied, or the error that stops the run.
func (g *Gateway) Admit(role string, calls ...Call) (int, Fault, error) {
	seq := 0
	if role != "" {
		g.mu.Lock()
		g.seq++
		seq = g.seq
		g.mu.Unlock()
	}
	fault := None
	for i := range calls {
		calls[i].Role, calls[i].Seq = role, seq
	}
	if len(calls) == 0 {
		return seq, None, g.stopped(fmt.Errorf("judge a request by %q: the service names no action", role))
	}
	if err := g.judge(calls); err != nil {
		return seq, None, err
	}
	if role != "" && g.config.Fault != nil {
		fault = g.config.Fault(calls[0])
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range calls {
		g.log = append(g.log, Entry{Call: c, Allowed: true, Fault: fault})
	}
	return seq, fault, nil
}

// judge asks the authorizer about every resource of every call; the first that
// is refused is logged and returned.
func (g *Gateway) judge(calls []Call) error {
	for _, c := range calls {
		if c.Role == "" {
			continue
		}
		if g.config.Authorizer == nil {
			return g.stopped(fmt.Errorf("judge %s by %s: the gateway has no authorizer", c.Action, c.Role))
		}
		if len(c.Resources) == 0 {
			return g.stopped(fmt.Errorf("judge %s by %s: the service names no resource", c.Action, c.Role))
		}
		for _, resource := range c.Resources {
			err := g.config.Authorizer.Authorize(c.Role, c.Action, resource, c.Condition)
			if err == nil {
				continue
			}
			var denied *AccessDenied
			if !errors.As(err, &denied) {
				return g.stopped(fmt.Errorf("judge %s by %s on %s: %w", c.Action, c.Role, resource, err))
			}
			g.mu.Lock()
			g.log = append(g.log, Entry{Call: c})
			g.mu.Unlock()
			return denied
		}
	}
	return nil
}

func (g *Gateway) stopped(err error) error {
	g.halt(err)
	return err
}

// serve takes one request through signature, description, judgement and fault to
// its service.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	if err := g.Err(); err != nil {
		reply(w, r, http.StatusNotImplemented, "NotImplemented", "the run has stopped: "+err.Error())
		return
	}
	body, err := g.readBody(w, r)
	if err != nil {
		reply(w, r, http.StatusRequestEntityTooLarge, "EntityTooLarge", err.Error())
		return
	}
	who, service, err := g.authenticate(r, body)
	if err != nil {
		var refused *signatureError
		if !errors.As(err, &refused) {
			refused = &signatureError{"IncompleteSignature", err.Error()}
		}
		reply(w, r, http.StatusForbidden, refused.code, refused.text)
		return
	}
	g.mu.Lock()
	s, dead := g.services[service], who.dead
	g.mu.Unlock()
	if dead {
		breakConnection(w)
		return
	}
	if s == nil {
		err := fmt.Errorf("service %q, called by %s, is not known to local", service, who.name())
		g.halt(err)
		reply(w, r, http.StatusNotImplemented, "NotImplemented", err.Error())
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	calls, err := s.Describe(r, body)
	if err != nil {
		err = fmt.Errorf("%s request %s %s by %s: %w", service, r.Method, r.URL.Path, who.name(), err)
		g.halt(err)
		reply(w, r, http.StatusNotImplemented, "NotImplemented", err.Error())
		return
	}
	for i := range calls {
		calls[i].Service, calls[i].Repeat = service, repeat(r)
	}
	seq, fault, err := g.Admit(who.role, calls...)
	if err != nil {
		var denied *AccessDenied
		if errors.As(err, &denied) {
			reply(w, r, http.StatusForbidden, "AccessDenied", denied.Error())
			return
		}
		reply(w, r, http.StatusNotImplemented, "NotImplemented", err.Error())
		return
	}
	r = r.WithContext(withCaller(r.Context(), who.role, seq))
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch fault {
	case None:
		s.ServeHTTP(w, r)
	case KillBefore:
		g.kill(who)
		breakConnection(w)
	case KillAfter, Lose:
		// The effect must not depend on whether the caller still listens.
		s.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		if fault == KillAfter {
			g.kill(who)
		}
		breakConnection(w)
	case Throttle:
		throttle(w, r)
	default:
		err := fmt.Errorf("fault %d of call %d is not known to the gateway", fault, seq)
		g.halt(err)
		reply(w, r, http.StatusNotImplemented, "NotImplemented", err.Error())
	}
}

// readBody reads the whole body, into memory of the announced length where there
// is one.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limited := http.MaxBytesReader(w, r.Body, g.config.MaxBody)
	if r.ContentLength < 0 || r.ContentLength > g.config.MaxBody {
		return io.ReadAll(limited)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(limited, body)
	return body, err
}

func (i *identity) name() string {
	if i.role == "" {
		return "the root user"
	}
	return i.role
}

// kill takes the caller's process down and refuses what it may still send before
// it is gone.
func (g *Gateway) kill(who *identity) {
	g.mu.Lock()
	who.dead = true
	g.mu.Unlock()
	if who.kill != nil {
		who.kill()
		return
	}
	// A caller that cannot die goes on after its broken connection.
	g.mu.Lock()
	who.dead = false
	g.mu.Unlock()
}

// breakConnection ends the exchange without an answer.
func breakConnection(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if connection, _, err := h.Hijack(); err == nil {
			// Nothing can be done about a connection that does not close.
			_ = connection.Close()
			return
		}
	}
	panic(http.ErrAbortHandler) // net/http's own way to end an exchange without an answer
}

type callerKey struct{}

type caller struct {
	role string
	seq  int
}

func withCaller(ctx context.Context, role string, seq int) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{role, seq})
}

// CallerRole is the ARN of the role that makes the request, "" for the root user.
func CallerRole(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.role
}

// CallerSeq is the number of the request in this run, 0 for the root user.
func CallerSeq(ctx context.Context) int {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.seq
}

// WithCaller returns a context in which CallerRole is role, for services that
// are called without the gateway, as tests do.
func WithCaller(ctx context.Context, role string) context.Context {
	return withCaller(ctx, role, 0)
}
