package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/internal/local/gateway"
	"godwit/internal/local/lambda"
)

var bootstrap string

func TestMain(m *testing.M) {
	if os.Getenv("GODWIT_TEST_HOST") != "" {
		host()
		return
	}
	dir, err := os.MkdirTemp("", "lambda")
	if err == nil {
		bootstrap = filepath.Join(dir, "bootstrap")
		var out []byte
		out, err = exec.Command("go", "build", "-tags", "lambda.norpc", "-o", bootstrap, "./testdata/worker").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the worker:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func newFunction(t *testing.T) *lambda.Function {
	t.Helper()
	f := &lambda.Function{
		ARN: "arn:aws:lambda:eu-west-1:000000000000:function:worker", Name: "worker",
		Bootstrap: bootstrap, Timeout: 20 * time.Second, MemoryMB: 256,
	}
	t.Cleanup(f.Close)
	return f
}

type report struct {
	PID, Calls, Left    int
	Request, ARN, Trace string
}

func call(t *testing.T, f *lambda.Function, payload string) report {
	t.Helper()
	body, err := f.Invoke(t.Context(), []byte(payload))
	if err != nil {
		t.Fatalf("Invoke(%s): %v", payload, err)
	}
	var r report
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("answer %s: %v", body, err)
	}
	return r
}

func failure(t *testing.T, f *lambda.Function, payload string) *lambda.Error {
	t.Helper()
	body, err := f.Invoke(t.Context(), []byte(payload))
	var e *lambda.Error
	if !errors.As(err, &e) {
		t.Fatalf("Invoke(%s) = %s, %v, want a *lambda.Error", payload, body, err)
	}
	return e
}

func TestEnvironmentIsReused(t *testing.T) {
	f := newFunction(t)
	a, b := call(t, f, `{}`), call(t, f, `{}`)
	if a.PID != b.PID || b.Calls != 2 {
		t.Errorf("calls ran in processes %d and %d, the second as call %d; want one process", a.PID, b.PID, b.Calls)
	}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if !uuid.MatchString(a.Request) || a.Request == b.Request {
		t.Errorf("request ids %q and %q are not two UUIDs", a.Request, b.Request)
	}
	if a.Left <= 15000 || a.Left > 20000 {
		t.Errorf("the deadline is %d ms away, want about 20,000", a.Left)
	}
	if a.ARN != f.ARN || !strings.HasPrefix(a.Trace, "Root=1-") {
		t.Errorf("got ARN %q and trace %q", a.ARN, a.Trace)
	}
}

func TestErrorTypes(t *testing.T) {
	f := newFunction(t)
	for _, c := range []struct{ name, payload, want, message string }{
		{"named", `{"Do":"fail","Type":"Ledger.Broken"}`, "Ledger.Broken", "as asked"},
		{"plain", `{"Do":"plain"}`, "errorString", "a plain error"},
		{"panic", `{"Do":"panic"}`, "string", "as asked"},
		{"exit", `{"Do":"exit"}`, "Runtime.ExitError", "exit status 3"},
		{"too much out", `{"Do":"big","Bytes":6291457}`, "Function.ResponseSizeTooLarge", "6291456"},
		{"too much in", `"` + strings.Repeat("x", lambda.MaxPayload) + `"`, "RequestEntityTooLargeException", "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := failure(t, f, c.payload)
			if e.Type != c.want || !strings.Contains(e.Message, c.message) {
				t.Errorf("got %v, want type %s with %q", e, c.want, c.message)
			}
			if c.name == "panic" && len(e.Trace) == 0 {
				t.Error("a panic has no stack")
			}
			call(t, f, `{}`) // the next call finds a living process
		})
	}
}

func TestTimeoutKillsTheProcessGroup(t *testing.T) {
	f := newFunction(t)
	f.Timeout = 300 * time.Millisecond
	body, err := f.Invoke(t.Context(), []byte(`{"Do":"child"}`))
	if err != nil {
		t.Fatal(err)
	}
	var grandchild int
	if err := json.Unmarshal(body, &grandchild); err != nil {
		t.Fatal(err)
	}
	e := failure(t, f, `{"Sleep":60000}`)
	if e.Type != "Sandbox.Timedout" || !strings.Contains(e.Message, "Task timed out after 0.30 seconds") {
		t.Errorf("got %v", e)
	}
	waitGone(t, grandchild)
}

func TestExitTakesTheProcessGroupAlong(t *testing.T) {
	f := newFunction(t)
	body, err := f.Invoke(t.Context(), []byte(`{"Do":"child"}`))
	if err != nil {
		t.Fatal(err)
	}
	var grandchild int
	if err := json.Unmarshal(body, &grandchild); err != nil {
		t.Fatal(err)
	}
	failure(t, f, `{"Do":"exit"}`)
	waitGone(t, grandchild)
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || bytes.Contains(status, []byte("State:\tZ")) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestProcessSeesOnlyWhatLambdaGives(t *testing.T) {
	t.Setenv("GODWIT_SECRET_OF_THE_HOST", "x")
	f := newFunction(t)
	f.Env = map[string]string{"GODWIT_WORK_BUCKET": "work"}
	f.Endpoint = "http://127.0.0.1:1"
	f.Credentials = func(func()) gateway.Credentials {
		return gateway.Credentials{AccessKeyID: "ASIA1", SecretAccessKey: "s", SessionToken: "t"}
	}
	body, err := f.Invoke(t.Context(), []byte(`{"Do":"env"}`))
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	if err := json.Unmarshal(body, &env); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	want := strings.Fields(`AWS_ACCESS_KEY_ID AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_NAME
		AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE AWS_LAMBDA_LOG_FORMAT AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME
		AWS_LAMBDA_RUNTIME_API AWS_REGION AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GODWIT_WORK_BUCKET LAMBDA_RUNTIME_DIR LAMBDA_TASK_ROOT
		LANG PATH TZ _HANDLER _X_AMZN_TRACE_ID`)
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("got variables %v\nwant %v", names, want)
	}
	if !slices.Contains(env, "AWS_REGION=eu-west-1") || !slices.Contains(env, "AWS_ACCESS_KEY_ID=ASIA1") {
		t.Errorf("got %v", env)
	}
}

func TestKillTakesExactlyOneEnvironment(t *testing.T) {
	f := newFunction(t)
	var mu sync.Mutex
	var kills []func()
	f.Credentials = func(kill func()) gateway.Credentials {
		mu.Lock()
		defer mu.Unlock()
		kills = append(kills, kill)
		return gateway.Credentials{AccessKeyID: fmt.Sprint("ASIA", len(kills))}
	}
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := f.Invoke(t.Context(), []byte(`{"Sleep":600}`))
			results <- err
		}()
	}
	for deadline := time.Now().Add(5 * time.Second); f.Stats().Calls < 2 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if s := f.Stats(); s.Running != 2 {
		t.Errorf("%d calls are under way, want 2", s.Running)
	}
	time.Sleep(200 * time.Millisecond)
	kills[0]()
	var ok, dead int
	for range 2 {
		var e *lambda.Error
		switch err := <-results; {
		case err == nil:
			ok++
		case errors.As(err, &e) && e.Type == "Runtime.ExitError":
			dead++
		default:
			t.Error(err)
		}
	}
	if s := f.Stats(); ok != 1 || dead != 1 || s.Running != 0 {
		t.Errorf("%d calls succeeded, %d died and %d are under way, want one, one and none", ok, dead, s.Running)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	f := newFunction(t)
	f.Environments = 2
	var wg sync.WaitGroup
	for range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := f.Invoke(t.Context(), []byte(`{"Sleep":50}`)); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if s := f.Stats(); s.Environments != 2 || s.Calls != 6 {
		t.Errorf("got %+v, want 6 calls in 2 environments", s)
	}
}

func TestReservedConcurrencyThrottles(t *testing.T) {
	f := newFunction(t)
	f.Reserved = 1
	go func() { _, _ = f.Invoke(context.Background(), []byte(`{"Sleep":1000}`)) }()
	for f.Stats().Calls == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if e := failure(t, f, `{}`); e.Type != "Lambda.TooManyRequestsException" {
		t.Errorf("got %v", e)
	}
}

func TestCallOutlivesItsCaller(t *testing.T) {
	var logs lockedBuffer
	f := newFunction(t)
	f.Logs = &logs
	call(t, f, `{}`) // warm
	ctx, cancel := context.WithCancel(t.Context())
	go func() { time.Sleep(100 * time.Millisecond); cancel() }()
	if _, err := f.Invoke(ctx, []byte(`{"Do":"log","Sleep":400}`)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if r := call(t, f, `{}`); r.Calls == 0 {
		t.Error("no answer")
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s := logs.String(); strings.Contains(s, "a line on stdout\n") && strings.Contains(s, "a line on stderr\n") {
			return
		}
	}
	t.Errorf("the abandoned call did not finish; logs: %q", logs.String())
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestPeakMemoryIsRecorded(t *testing.T) {
	f := newFunction(t)
	call(t, f, `{}`)
	before := f.Stats().PeakRSS
	if _, err := f.Invoke(t.Context(), []byte(`{"Do":"grow","Bytes":100000000}`)); err != nil {
		t.Fatal(err)
	}
	after := f.Stats().PeakRSS
	if before <= 0 || before > 60<<20 || after-before < 90<<20 || after-before > 160<<20 {
		t.Errorf("peak was %d bytes before and %d after 100 MB were touched", before, after)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	f := &lambda.Function{Name: "f", Env: map[string]string{"AWS_REGION": "x", "LONG": strings.Repeat("x", 4096)}, Timeout: time.Hour, MemoryMB: 64}
	err := f.Validate()
	for _, want := range []string{"ARN", "bootstrap", "timeout 1h0m0s", "64 MB", "AWS_REGION", "the service takes 4096"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// host is a program that starts a function and waits to be killed.
func host() {
	f := &lambda.Function{
		ARN: "arn:aws:lambda:eu-west-1:000000000000:function:worker", Name: "worker",
		Bootstrap: os.Getenv("GODWIT_TEST_HOST"), Timeout: time.Minute,
	}
	body, err := f.Invoke(context.Background(), []byte(`{}`))
	fmt.Println(string(body), err)
	_, _ = f.Invoke(context.Background(), []byte(`{"Sleep":60000}`)) // killed within
}

func TestNoProcessOutlivesAKilledHost(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "GODWIT_TEST_HOST="+bootstrap)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.NewDecoder(out).Decode(&r); err != nil || r.PID == 0 {
		t.Fatalf("the host said %+v: %v", r, err)
	}
	time.Sleep(100 * time.Millisecond)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	waitGone(t, r.PID)
}
