package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"syscall"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/migrate"
)

// A stateError is an error with an SQLSTATE, as target's errors are.
type stateError struct{ state string }

func (e *stateError) Error() string    { return "SQLSTATE " + e.state }
func (e *stateError) SQLState() string { return e.state }

// A bothError is an error of the Data API: it has a code and sometimes a state.
type bothError struct{ code, state string }

func (e *bothError) Error() string     { return e.code + " " + e.state }
func (e *bothError) SQLState() string  { return e.state }
func (e *bothError) ErrorCode() string { return e.code }

func TestErrorsAreClassified(t *testing.T) {
	code := func(c string) error { return fmt.Errorf("a: %w", &smithy.GenericAPIError{Code: c, Message: "m"}) }
	status := func(n int, err error) error {
		return &smithy.OperationError{ServiceID: "S3", OperationName: "GetObject", Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: n}}, Err: err,
		}}
	}
	for _, c := range []struct {
		name  string
		err   error
		again bool
	}{
		{"deadline", fmt.Errorf("a: %w", context.DeadlineExceeded), true},
		{"cancelled", fmt.Errorf("a: %w", context.Canceled), true},
		{"cancelled, by the SDK", &smithy.CanceledError{Err: context.Canceled}, true},
		{"S3 throttles", code("SlowDown"), true},
		{"S3 is out of order", code("InternalError"), true},
		{"S3 is not there", code("ServiceUnavailable"), true},
		{"S3 waited", code("RequestTimeout"), true},
		{"a balancer without a code", status(503, code("UnknownError")), true},
		{"a balancer without anything", status(500, errors.New("<html>")), true},
		{"too many requests, without a code", status(429, code("UnknownError")), true},
		{"credentials ran out", code("ExpiredToken"), true},
		{"S3 denies", status(403, code("AccessDenied")), false},
		{"no such key", status(404, code("NoSuchKey")), false},
		{"changed object", status(412, code("PreconditionFailed")), false},
		{"frozen object", status(403, code("InvalidObjectState")), false},
		{"no such bucket", status(404, code("NoSuchBucket")), false},
		{"range", status(416, code("InvalidRange")), false},
		{"redirect", status(301, code("PermanentRedirect")), false},
		{"Lambda's payload", code("ValidationException"), false},

		{"Data API: resuming", &bothError{code: "DatabaseResumingException"}, true},
		{"Data API: unavailable", &bothError{code: "DatabaseUnavailableException"}, true},
		{"Data API: its own fault", &bothError{code: "InternalServerErrorException"}, true},
		{"Data API: not there", &bothError{code: "ServiceUnavailableError"}, true},
		{"Data API: timeout", &bothError{code: "StatementTimeoutException"}, true},
		{"Data API: throttled", &bothError{code: "ThrottlingException"}, true},
		{"Data API: no answer", &bothError{code: "NoAnswer"}, true},
		{"Data API: switched off", &bothError{code: "HttpEndpointNotEnabledException"}, false},
		{"Data API: no secret", &bothError{code: "SecretsErrorException"}, false},
		{"Data API: bad request", &bothError{code: "BadRequestException"}, false},
		{"database: duplicate", &bothError{code: "DatabaseErrorException", state: "23505"}, false},
		{"database: serialization", &bothError{code: "DatabaseErrorException", state: "40001"}, true},
		{"connection", &stateError{"08006"}, true},
		{"deadlock", &stateError{"40P01"}, true},
		{"out of memory", &stateError{"53200"}, true},
		{"too many connections", &stateError{"53300"}, true},
		{"shut down", &stateError{"57P01"}, true},
		{"starts up", &stateError{"57P03"}, true},
		{"cancelled statement", &stateError{"57014"}, true},
		{"disk", &stateError{"58030"}, true},
		{"lock", &stateError{"55P03"}, true},
		{"failover: read only", &stateError{"25006"}, true},
		{"aws_s3: network", &stateError{"38000"}, true},
		{"internal", &stateError{"XX000"}, true},
		{"wrong value", &stateError{"22P02"}, false},
		{"null", &stateError{"23502"}, false},
		{"syntax", &stateError{"42601"}, false},
		{"no right", &stateError{"42501"}, false},
		{"counts differ", &stateError{"GW001"}, false},
		{"hashes differ", &stateError{"GW002"}, false},
		{"corrupt", &stateError{"XX001"}, false},

		{"connection refused", &url.Error{Op: "Get", URL: "u", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, true},
		{"connection reset", fmt.Errorf("read object: %w", &net.OpError{Op: "read", Err: syscall.ECONNRESET}), true},
		{"no name", &net.DNSError{Name: "s3"}, true},
		{"closed before an answer", &smithyhttp.RequestSendError{Err: &url.Error{Op: "Get", URL: "u", Err: io.EOF}}, true},
		{"connection broke in mid-object", fmt.Errorf("object a, block at offset 3: %w", io.ErrUnexpectedEOF), true},
		{"object ends in mid-block", fmt.Errorf("object a, block at offset 3: %w", journal.ErrTruncated), false},
		{"gzip ends in mid-block", fmt.Errorf("object a: %w: %w", journal.ErrTruncated, io.ErrUnexpectedEOF), false},
		{"another format", &journal.FormatError{Announced: journal.JSON, Found: journal.IonText}, false},
		{"anything else", errors.New("x"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range []error{c.err, fmt.Errorf("outer: %w", c.err), errors.Join(errors.New("other"), c.err), migrate.Classify(c.err)} {
				got := migrate.Classify(err)
				// The name of the type is what Lambda reports and definitions branch on.
				name := reflect.TypeOf(got).Elem().Name()
				if want := map[bool]string{true: "Again", false: "Stop"}[c.again]; name != want {
					t.Errorf("%v: got %s, want %s", err, name, want)
				}
				if !errors.Is(got, c.err) || got.Error() != err.Error() {
					t.Errorf("%v became %v", err, got)
				}
			}
		})
	}
	if migrate.Classify(nil) != nil {
		t.Error("nothing became an error")
	}
	// What somebody called a stop stays one, whatever is beneath.
	var again *migrate.Again
	if err := migrate.Classify(fmt.Errorf("a: %w", stop(t))); errors.As(err, &again) {
		t.Errorf("a stop became %v", err)
	}
}

// Errors that a definition branches on keep their names, through whatever they
// came.
func TestNamesOfErrors(t *testing.T) {
	for code, want := range map[string]string{
		"LimitExceededException": "LimitExceeded", "QldbServiceEnded": "QldbServiceEnded",
		"ThrottlingException": "Again", "InvalidParameterException": "Stop", "ResourceNotFoundException": "Stop",
	} {
		err := &serviceError{code, "no"}
		for _, err := range []error{err, fmt.Errorf("outer: %w", err), migrate.Classify(err), fmt.Errorf("outer: %w", migrate.Classify(err))} {
			got := migrate.Classify(err)
			if name := reflect.TypeOf(got).Elem().Name(); name != want || got.Error() != err.Error() {
				t.Errorf("%v: got %s: %v, want %s", err, name, got, want)
			}
		}
	}
}

// stop returns a Stop of the package's own.
func stop(t *testing.T) error {
	_, err := (&migrate.Preflight{}).Handle(context.Background(), []byte(`{}`))
	mustStop(t, err, "Bucket")
	return err
}

// slowTarget is a database whose tasks take some calls.
type slowTarget struct {
	migrate.Target
	left  int // calls that find the task running
	err   error
	looks []bool
}

func (s *slowTarget) Run(_ context.Context, _ string, _ change.Task, look bool) (bool, error) {
	s.looks = append(s.looks, look)
	if s.left > 0 {
		s.left--
		return false, nil
	}
	return s.err == nil, s.err
}

// A task that outlives its call is asked about, with longer and longer waits,
// and the next begins anew.
func TestTasksAreWaitedFor(t *testing.T) {
	db := &slowTarget{left: 9}
	in := migrate.RunTaskIn{LoadId: "l", Items: []change.Task{{Name: "a"}, {Name: "b"}}}
	var waits []int
	for {
		out, err := (&migrate.RunTask{Target: db}).Handle(context.Background(), pass[migrate.RunTaskIn](t, in))
		if err != nil {
			t.Fatal(err)
		}
		if out.Done {
			break
		}
		waits = append(waits, out.WaitSeconds)
		in.Resume = out.Resume
	}
	if got, want := fmt.Sprint(waits), "[1 2 4 8 16 32 60 60 60]"; got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(db.looks), "[false true true true true true true true true true false]"; got != want {
		t.Errorf("looks %s, want %s", got, want)
	}
	if _, err := (&migrate.RunTask{Target: &slowTarget{err: &stateError{"GW002"}}}).Handle(context.Background(), in); err == nil {
		t.Error("a failed task is no error")
	} else {
		mustStop(t, err, "GW002")
	}
}
