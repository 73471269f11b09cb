package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/gateway"
)

// MaxPayload is the largest request and the largest response of a synchronous
// invocation, in bytes (6 MB in the service's quotas).
const MaxPayload = 6 << 20

// maxVariables bounds the names and values of a function's variables, in bytes.
const maxVariables = 4 << 10

// A Function is one Lambda function and its execution environments. Set the
// exported fields, then call Invoke from any number of goroutines; changing a
// field after the first Invoke has no effect on environments already started.
type Function struct {
	ARN  string // unqualified
	Name string
	Role string // ARN of the execution role, for whoever hands out Credentials

	// Bootstrap is the path of the executable.
	Bootstrap string
	// Env is Environment.Variables of the template, resolved.
	Env map[string]string
	// Timeout bounds one call; 0 is the service's default of 3 s, 900 s the most.
	Timeout time.Duration
	// MemoryMB is announced to the process; it is not enforced (see Stats). 0 is 128.
	MemoryMB int
	// Region is announced as AWS_REGION; "" is the region of ARN.
	Region string
	// Endpoint is announced as AWS_ENDPOINT_URL; "" leaves it out.
	Endpoint string
	// LogFormat is LoggingConfig.LogFormat (JSON or Text); "" is Text.
	LogFormat string

	// Environments bounds the processes alive at once; further calls wait for one.
	// 0 is 8. The service has no such bound below the account's: this is the host's.
	Environments int
	// Reserved is ReservedConcurrentExecutions: more calls at once than this fail
	// with TooManyRequestsException. 0 is no reservation.
	Reserved int

	// Credentials gives each new environment its own identity; kill takes exactly
	// that environment's process group down and returns when it is gone. nil gives
	// the process no credentials.
	Credentials func(kill func()) gateway.Credentials
	// Logs receives the lines of stdout and stderr, one Write a line with its line
	// feed, never two at once for one Function. nil drops them.
	Logs io.Writer

	mu     sync.Mutex
	cond   *sync.Cond // an environment became idle or went away
	ready  bool
	closed bool
	idle   []*environment
	alive  map[*environment]bool
	flying int
	stats  Stats
	start  *starter
	logMu  sync.Mutex
}

// Stats tells what a function has used since it was made.
type Stats struct {
	Calls        int   // invocations begun
	Running      int   // of them under way, those that nobody waits for any more included
	Environments int   // processes started
	Failures     int   // calls that ended in an *Error
	PeakRSS      int64 // greatest resident memory of any one process, in bytes; 0 where unknown
}

// An Error is a failed invocation in the service's words. Type is the error name
// that Step Functions sees: the errorType that the function reported, or one of
// Runtime.ExitError, Sandbox.Timedout, Lambda.TooManyRequestsException,
// Lambda.SdkClientException, Lambda.Unknown, Function.ResponseSizeTooLarge,
// RequestEntityTooLargeException.
type Error struct {
	Type    string          `json:"errorType"`
	Message string          `json:"errorMessage"`
	Trace   json.RawMessage `json:"stackTrace,omitempty"`
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Invoke calls the function once and waits for its answer, a JSON text. The error
// is an *Error, or ctx's when ctx ends first: then the call goes on, and what it
// does happens, as in the service.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, f.failed(&Error{Type: "RequestEntityTooLargeException", Message: fmt.Sprintf(
			"%d byte payload is too large for the RequestResponse invocation type (limit %d bytes)", len(payload), MaxPayload)})
	}
	env, err := f.acquire(ctx)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, f.failed(e)
		}
		return nil, err
	}
	type answer struct {
		body []byte
		err  *Error
	}
	done := make(chan answer, 1)
	go func() {
		body, e := env.invoke(payload)
		f.release(env)
		done <- answer{body, e}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return nil, f.failed(a.err)
		}
		return a.body, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (f *Function) failed(e *Error) error {
	f.mu.Lock()
	f.stats.Failures++
	f.mu.Unlock()
	return e
}

// Stats returns what the function has used until now, live processes included.
func (f *Function) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := range f.alive {
		f.stats.PeakRSS = max(f.stats.PeakRSS, e.sampleRSS())
	}
	f.stats.Running = f.flying
	return f.stats
}

// Close kills every process of the function and makes further calls fail. It
// returns when they are gone; calling it again does nothing.
func (f *Function) Close() {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.closed = true
	var alive []*environment
	for e := range f.alive {
		f.stats.PeakRSS = max(f.stats.PeakRSS, e.sampleRSS())
		alive = append(alive, e)
	}
	if f.cond != nil {
		f.cond.Broadcast()
	}
	start := f.start
	f.mu.Unlock()
	for _, e := range alive {
		e.kill()
	}
	if start != nil {
		start.stop()
	}
}

// Validate says what is missing or more than the service takes, all at once.
func (f *Function) Validate() error {
	var errs []error
	fault := func(format string, a ...any) {
		errs = append(errs, fmt.Errorf("function %q: "+format, append([]any{f.Name}, a...)...))
	}
	if f.Name == "" || !strings.HasPrefix(f.ARN, "arn:") {
		fault("needs a name and an ARN, has ARN %q", f.ARN)
	}
	if f.Bootstrap == "" {
		fault("needs the path of its bootstrap")
	}
	if f.Timeout < 0 || f.Timeout > 900*time.Second {
		fault("timeout %s is not within 1 s and 900 s", f.Timeout)
	}
	if f.MemoryMB != 0 && (f.MemoryMB < 128 || f.MemoryMB > 10240) {
		fault("memory of %d MB is not within 128 and 10,240", f.MemoryMB)
	}
	size := 0
	for name, value := range f.Env {
		size += len(name) + len(value)
		if slices.Contains(reserved, name) || strings.HasPrefix(name, "AWS_LAMBDA_") {
			fault("variable %s is the service's own and cannot be set by the template", name)
		}
	}
	if size > maxVariables {
		fault("variables hold %d bytes, the service takes %d", size, maxVariables)
	}
	return errors.Join(errs...)
}

// reserved lists variables that the service sets and a template may not:
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// variables is the whole environment of a process: what the service sets, then
// what the template sets.
func (f *Function) variables(api string, c gateway.Credentials) []string {
	region := f.Region
	if part := strings.Split(f.ARN, ":"); region == "" && len(part) > 3 {
		region = part[3]
	}
	format := f.LogFormat
	if format == "" {
		format = "Text"
	}
	memory := f.MemoryMB
	if memory == 0 {
		memory = 128
	}
	v := map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(memory),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "local/[$LATEST]" + c.AccessKeyID,
		"AWS_LAMBDA_LOG_FORMAT":           format,
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"LAMBDA_TASK_ROOT":                filepath.Dir(f.Bootstrap),
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"_HANDLER":                        "bootstrap",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
	}
	if c.AccessKeyID != "" {
		v["AWS_ACCESS_KEY_ID"] = c.AccessKeyID
		v["AWS_SECRET_ACCESS_KEY"] = c.SecretAccessKey
		v["AWS_SESSION_TOKEN"] = c.SessionToken
	}
	if f.Endpoint != "" {
		v["AWS_ENDPOINT_URL"] = f.Endpoint
	}
	for name, value := range f.Env {
		v[name] = value
	}
	list := make([]string, 0, len(v))
	for name, value := range v {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
