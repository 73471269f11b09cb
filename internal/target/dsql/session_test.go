package dsql_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
	"godwit/internal/testdb"
)

// A connection is not used in its last minutes: DSQL never ends one, and the load
// that goes on for hours never notices.
func TestConnectionsAreReplacedBeforeTheirHour(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := newBench(t, local.Config{Now: c.Now})
	db := b.open(dsql.Config{Role: loaderRole, Now: c.Now, Connections: 1})
	plan := orders("orders")
	b.begin("l1", plan)
	rows := plain(100, 5)
	if _, err := db.Load(t.Context(), item("l1", "a", &plan, rows), source(rows, 10)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // four hours
		c.advance(12 * time.Minute)
		time.Sleep(20 * time.Millisecond) // the cluster ends what is too old every 10 ms
		if _, err := db.Exec(t.Context(), `SELECT 1`); err != nil {
			t.Fatalf("after %d minutes: %v", 12*(i+1), err)
		}
	}
	if lost, opened := db.Stats().Lost.Load(), db.Stats().Connections.Load(); lost != 0 || opened < 4 || opened > 6 {
		t.Errorf("got %d connections lost of %d, want none of about five", lost, opened)
	}
}

// A cluster that throttles gets another try after a pause that grows, and no more
// than its rate of them.
func TestThrottledConnectionsAreTriedAgain(t *testing.T) {
	t.Parallel()
	var refuse atomic.Int64
	b := newBench(t, local.Config{Fault: func(e local.Event) local.Effect {
		if e.Moment == local.Connect && e.User == loaderRole && refuse.Add(-1) >= 0 {
			return local.Effect{Fault: local.Throttle}
		}
		return local.Effect{}
	}})
	var mu sync.Mutex
	var pauses []time.Duration
	sleep := func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		if d > 0 {
			pauses = append(pauses, d)
		}
		return ctx.Err()
	}
	now := time.Now()
	db := b.open(dsql.Config{Role: loaderRole, Sleep: sleep, Now: func() time.Time { return now }, Random: func() float64 { return 0.5 }})
	refuse.Store(3)
	if _, err := db.Exec(t.Context(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	// Between two tries the pause, and 10 ms for each try before by a clock that
	// stands still.
	want := []int64{25, 10, 50, 20, 100, 30}
	if len(pauses) != len(want) {
		t.Fatalf("got pauses %v, want %v ms", pauses, want)
	}
	for i, d := range want {
		equal(t, "pause in ms", pauses[i].Milliseconds(), d)
	}
	equal(t, "throttled", db.Stats().Throttled.Load(), 3)

	refuse.Store(1000)
	db = b.open(dsql.Config{Role: loaderRole})
	if _, err := db.Exec(t.Context(), `SELECT 1`); stateOf(err) != "53300" && stateOf(err) != "53400" {
		t.Errorf("got %v, want it throttled in the end", err)
	}
	if tries := 1000 - refuse.Load(); tries > 20 {
		t.Errorf("a connection was tried %d times", tries)
	}
}

// Who may not connect hears it at once, and the token is in no error.
func TestRefusedLoginIsNotRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	slept := false
	db := b.open(dsql.Config{Role: "nobody_knows", Sleep: func(_ context.Context, d time.Duration) error {
		slept = slept || d > 0
		return nil
	}})
	_, err := db.Exec(t.Context(), `SELECT 1`)
	var e *dsql.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.State, "28") || !strings.Contains(err.Error(), "as nobody_knows") {
		t.Errorf("got %v, want the login refused", err)
	}
	if slept {
		t.Error("it was tried again")
	}
	if strings.Contains(err.Error(), "X-Amz") {
		t.Errorf("%v holds the token", err)
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	whole := dsql.Config{Endpoint: "a.dsql.us-east-1.on.aws", Region: testdb.Region, Role: "r", Credentials: aws.AnonymousCredentials{}}
	if _, err := dsql.Open(whole); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		want string
		take func(*dsql.Config)
	}{
		{"endpoint", func(c *dsql.Config) { c.Endpoint = "" }},
		{"no port", func(c *dsql.Config) { c.Endpoint = "a:b" }},
		{"region", func(c *dsql.Config) { c.Region = "" }},
		{"role", func(c *dsql.Config) { c.Role = "" }},
		{"credentials", func(c *dsql.Config) { c.Credentials = nil }},
	} {
		c := whole
		test.take(&c)
		if _, err := dsql.Open(c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

// A closed DB opens nothing.
func TestCloseEndsConnections(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{})
	db := b.open(dsql.Config{Role: loaderRole})
	if _, err := db.Exec(t.Context(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := db.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("a closed DB answers")
	}
}
