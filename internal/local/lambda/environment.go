package lambda

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/local/gateway"
)

// initLimit is how long a process may take until it asks for its first call.
const initLimit = 10 * time.Second

// environment is one process with its Runtime API.
type environment struct {
	f        *Function
	listener net.Listener
	server   *http.Server
	cmd      *exec.Cmd
	calls    chan *call    // to the process's next request for work
	dead     chan struct{} // closed when the process has been waited for
	logsDone chan struct{}
	last     atomic.Bool // the process said it will exit, or was killed
	peak     atomic.Int64

	mu        sync.Mutex
	current   *call
	initError *Error
}

type call struct {
	id      string
	payload []byte
	done    chan reply // holds one
}

type reply struct {
	body []byte
	err  *Error
}

// startEnvironment starts a process; the function's lock is held.
func (f *Function) startEnvironment() (*environment, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the Runtime API: %w", err)
	}
	e := &environment{
		f: f, listener: listener, calls: make(chan *call),
		dead: make(chan struct{}), logsDone: make(chan struct{}),
	}
	var c gateway.Credentials
	if f.Credentials != nil {
		c = f.Credentials(e.kill)
	}
	read, write, err := os.Pipe()
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("make the log pipe: %w", err)
	}
	path, err := filepath.Abs(f.Bootstrap)
	if err != nil {
		path = f.Bootstrap
	}
	e.cmd = &exec.Cmd{
		Path: path, Args: []string{path}, Dir: filepath.Dir(path),
		Env:    f.variables(listener.Addr().String(), c),
		Stdout: write, Stderr: write,
		SysProcAttr: processAttributes(),
	}
	if err := f.start.run(e.cmd); err != nil {
		return nil, errors.Join(err, listener.Close(), read.Close(), write.Close())
	}
	_ = write.Close() // the process has its own copy
	go func() {
		defer close(e.logsDone)
		w := &lineWriter{f: f}
		_, _ = io.Copy(w, read) // ends when the last holder of the pipe is gone
		w.flush()
		_ = read.Close()
	}()
	e.server = &http.Server{Handler: e.routes(), ReadHeaderTimeout: time.Minute}
	go func() { _ = e.server.Serve(listener) }()
	go func() {
		_ = e.cmd.Wait() // how it ended does not matter: a call in flight fails in any case
		e.last.Store(true)
		e.notePeak(exitRSS(e.cmd.ProcessState))
		killGroup(e.cmd.Process.Pid) // whatever it started
		close(e.dead)
		_ = e.server.Close()
	}()
	return e, nil
}

func (e *environment) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r.PathValue("id"), reply{err: readError(r)})
	})
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.initError = readError(r)
		e.mu.Unlock()
		e.last.Store(true)
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

func (e *environment) next(w http.ResponseWriter, r *http.Request) {
	var c *call
	select {
	case c = <-e.calls:
	case <-r.Context().Done():
		return
	}
	// The deadline counts from here: initialisation is not the call's time.
	deadline := time.Now().Add(e.f.timeout())
	e.mu.Lock()
	e.current = c
	e.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", c.id)
	h.Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(deadline.UnixMilli()))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", e.f.ARN)
	h.Set("Lambda-Runtime-Trace-Id", fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), randomBytes(12), randomBytes(8)))
	_, _ = w.Write(c.payload) // a process that is gone is noticed by its Wait
}

func (e *environment) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	case len(body) > MaxPayload:
		// The service answers 413 and fails the call; the runtime then gives up and exits.
		e.last.Store(true)
		e.finish(r.PathValue("id"), reply{err: &Error{
			Type:    "Function.ResponseSizeTooLarge",
			Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload),
		}})
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		e.answer(w, r.PathValue("id"), reply{err: &Error{Type: kind, Message: "the response stream broke off"}})
		return
	}
	e.answer(w, r.PathValue("id"), reply{body: body})
}

func (e *environment) answer(w http.ResponseWriter, id string, r reply) {
	if r.err != nil && len(r.err.Trace) > 0 && string(r.err.Trace) != "null" {
		// Only a panic carries a stack; the runtime exits after reporting it.
		e.last.Store(true)
	}
	if !e.finish(id, r) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// finish delivers the answer of call id; false when there is no such call.
func (e *environment) finish(id string, r reply) bool {
	e.mu.Lock()
	c := e.current
	if c == nil || c.id != id {
		e.mu.Unlock()
		return false
	}
	e.current = nil
	e.mu.Unlock()
	c.done <- r
	return true
}

func readError(r *http.Request) *Error {
	e := &Error{}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // a broken report is still a failure
	if json.Unmarshal(body, e) != nil || e.Type == "" {
		e.Type = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	}
	if e.Type == "" {
		e.Type = "Runtime.Unknown"
	}
	return e
}

// invoke runs one call to its end: answer, timeout or death of the process.
func (e *environment) invoke(payload []byte) ([]byte, *Error) {
	timeout := e.f.timeout()
	c := &call{id: newUUID(), payload: payload, done: make(chan reply, 1)}
	initial := time.NewTimer(initLimit + timeout)
	defer initial.Stop()
	select {
	case e.calls <- c:
	case <-e.dead:
		return nil, e.deathError(c)
	case <-initial.C:
		e.kill()
		return nil, &Error{Type: "Sandbox.Timedout", Message: fmt.Sprintf(
			"RequestId: %s Error: the process did not ask for its call within %s", c.id, initLimit+timeout)}
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case r := <-c.done:
		return r.body, r.err
	case <-t.C:
		e.kill()
		return nil, &Error{Type: "Sandbox.Timedout", Message: fmt.Sprintf(
			"RequestId: %s Error: Task timed out after %.2f seconds", c.id, timeout.Seconds())}
	case <-e.dead:
		select {
		case r := <-c.done: // answered, then exited
			return r.body, r.err
		default:
			return nil, e.deathError(c)
		}
	}
}

func (e *environment) deathError(c *call) *Error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initError != nil {
		return e.initError
	}
	return &Error{Type: "Runtime.ExitError", Message: fmt.Sprintf(
		"RequestId: %s Error: Runtime exited with error: %s", c.id, e.cmd.ProcessState)}
}

// kill ends the process group and returns when the process is gone.
func (e *environment) kill() {
	e.last.Store(true)
	if e.cmd == nil || e.cmd.Process == nil {
		return
	}
	e.sampleRSS()
	select {
	case <-e.dead:
		return
	default:
	}
	killGroup(e.cmd.Process.Pid)
	select {
	case <-e.dead:
	case <-time.After(10 * time.Second): // a process in uninterruptible sleep; nothing more to do
	}
}

func (e *environment) isDead() bool {
	select {
	case <-e.dead:
		return true
	default:
		return false
	}
}

// leaving reports whether the process must not get another call.
func (e *environment) leaving() bool { return e.last.Load() || e.isDead() }

// sampleRSS reads the greatest resident memory of the process so far, in bytes.
func (e *environment) sampleRSS() int64 {
	if e.cmd != nil && e.cmd.Process != nil && !e.isDead() {
		e.notePeak(liveRSS(e.cmd.Process.Pid))
	}
	return e.peak.Load()
}

func (e *environment) notePeak(n int64) {
	for {
		old := e.peak.Load()
		if n <= old || e.peak.CompareAndSwap(old, n) {
			return
		}
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func newUUID() string {
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
