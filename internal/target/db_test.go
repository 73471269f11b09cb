package target_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// A paused cluster is waited for, with longer and longer pauses; nothing else is
// repeated.
func TestPausedClusterIsWaitedFor(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	b := newBareBench(t, rdsdata.Config{Now: func() time.Time { return time.Unix(0, now.Load()) }})
	pause := func(resume time.Duration) {
		t.Helper()
		if err := b.api.Server.UpdateCluster(b.api.ClusterARN, func(c *rdsdata.Cluster) { c.Paused, c.Resume = true, resume }); err != nil {
			t.Fatal(err)
		}
	}
	var slept []time.Duration
	b.admin.Sleep = func(_ context.Context, d time.Duration) error {
		slept = append(slept, d)
		now.Add(int64(d))
		return nil
	}
	calls := 0
	b.admin.Observe = func(time.Duration) { calls++ }
	var one []struct{ One int }

	pause(20 * time.Second)
	if err := b.admin.Query(t.Context(), &one, `SELECT 1 AS one`); err != nil || len(one) != 1 || one[0].One != 1 {
		t.Errorf("got %v, %v, want the answer of the resumed cluster", one, err)
	}
	if len(slept) != 5 || slept[0] != time.Second || slept[4] != 10*time.Second { // 1 2 4 8 10
		t.Errorf("got pauses %v, want 1, 2, 4, 8 and 10 s", slept)
	}
	if calls != len(slept)+1 {
		t.Errorf("got %d calls observed, want every try and the answer", calls)
	}

	slept = nil
	pause(time.Hour)
	err := b.admin.Query(t.Context(), &one, `SELECT 1 AS one`)
	var e *target.Error
	total := time.Duration(0)
	for _, d := range slept {
		total += d
	}
	if !errors.As(err, &e) || e.API != "DatabaseResumingException" || total < 60*time.Second || total > 2*time.Minute {
		t.Errorf("got %v after %s, want DatabaseResumingException after 60 s at least", err, total)
	}

	b.admin.Sleep = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.admin.Exec(ctx, `SELECT 1`); err == nil {
		t.Error("got no error, want the context's end")
	}
}

// An error is never repeated by the client: it does not mean that nothing was
// stored.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	answer := func(w http.ResponseWriter) {}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		calls.Add(1)
		answer(w)
	}))
	defer srv.Close()
	db := &target.DB{API: client(srv.URL), ClusterARN: "arn:aws:rds:us-east-1:123456789012:cluster:c", SecretARN: "arn:aws:secretsmanager:us-east-1:123456789012:secret:s", Database: "d"}
	fail := func(status int, code, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if code != "" {
				w.Header().Set("X-Amzn-ErrorType", code)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter)
		code   string
		state  string
		text   string
	}{
		{"connection cut", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "NoAnswer", "", "may have taken effect"},
		{"gateway timeout", fail(504, "", "<html>timeout</html>"), "NoAnswer", "", "may have taken effect"},
		{"half an answer", fail(200, "", `{"records": [`), "NoAnswer", "", "may have taken effect"},
		{"throttled", fail(400, "ThrottlingException", `{"message":"Rate exceeded"}`), "ThrottlingException", "", "Rate exceeded"},
		{"internal", fail(500, "InternalServerErrorException", `{}`), "InternalServerErrorException", "", ""},
		{"refused", fail(400, "BadRequestException", `{"message":"ERROR: relation \"x\" does not exist; Position: 15; SQLState: 42P01"}`), "BadRequestException", "42P01", `relation "x" does not exist (SQLSTATE 42P01)`},
		{"a value", fail(400, "DatabaseErrorException", `{"message":"ERROR: invalid input syntax for type integer: \"v4lue; SQLState: 40001\"; Position: 8; SQLState: 22P02"}`), "DatabaseErrorException", "22P02", "withheld"},
		{"a detail with a value", fail(400, "DatabaseErrorException", `{"message":"ERROR: duplicate key\n  Detail: Key (a)=(v4lue) already exists.; SQLState: 23505"}`), "DatabaseErrorException", "23505", "withheld"},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls.Store(0)
			answer = test.answer
			err := db.Exec(t.Context(), "SELECT 1")
			var e *target.Error
			if !errors.As(err, &e) || e.ErrorCode() != test.code || e.SQLState() != test.state || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %#v, want %s, SQLSTATE %q and %q", err, test.code, test.state, test.text)
			}
			for chain := err; chain != nil; chain = errors.Unwrap(chain) {
				if strings.Contains(chain.Error(), "v4lue") {
					t.Errorf("the error holds the value: %v", chain)
				}
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("got %d calls, want 1", n)
			}
		})
	}
}

func TestParametersArriveAsGiven(t *testing.T) {
	t.Parallel()
	b := newBareBench(t, rdsdata.Config{})
	var rows []struct {
		S, N *string
		I    int64
		B    bool
	}
	const odd = "quo'te \\ \" :i $1 é\n"
	err := b.loader.Query(t.Context(), &rows, `SELECT :s AS s, :i::bigint AS i, :b AS b, :n::text AS n`,
		target.Param{Name: "s", Value: odd}, target.Param{Name: "i", Value: int64(1)<<62 + 1}, target.Param{Name: "b", Value: true}, target.Param{Name: "n"})
	if err != nil || len(rows) != 1 || *rows[0].S != odd || rows[0].I != 1<<62+1 || !rows[0].B || rows[0].N != nil {
		t.Errorf("got %+v, %v", rows, err)
	}
	if err := b.loader.Exec(t.Context(), `SELECT :x`, target.Param{Name: "x", Value: 1.5}); err == nil || !strings.Contains(err.Error(), "float64") {
		t.Errorf("got %v, want the type refused", err)
	}
}
