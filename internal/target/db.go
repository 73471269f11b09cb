package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"
	"github.com/aws/smithy-go"
)

// callTimeout is the client's own limit of one call. The service ends a call
// after 45 s; a client that gives up earlier would not learn what committed.
const callTimeout = 70 * time.Second

// resumeFor is how long a paused cluster is given to resume, the time that
// Aurora documents for a resume from zero capacity with some to spare.
const resumeFor = 90 * time.Second

// A DB is one database user's way into one Aurora PostgreSQL database. It is
// safe for concurrent use.
type DB struct {
	API        *rdsdata.Client
	ClusterARN string
	SecretARN  string
	Database   string
	// Sleep waits between two tries of a call that found the cluster paused.
	// nil sleeps on the clock.
	Sleep func(context.Context, time.Duration) error
	// RequestBytes is the greatest size of one request of Apply, whose body holds
	// most of it; 0 is 2 MiB, and 4 MiB is the most that the service takes.
	RequestBytes int
	// Observe is told how long each call took, however it ended. nil tells nobody.
	Observe func(took time.Duration)
}

// NewAPI makes the Data API client that a DB needs: it never repeats a call by
// itself (an error does not mean that nothing was stored) and waits longer than
// the service does.
func NewAPI(cfg aws.Config) *rdsdata.Client {
	return rdsdata.NewFromConfig(cfg, func(o *rdsdata.Options) {
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = &http.Client{Timeout: callTimeout}
	})
}

// An Error is an error of the Data API or of the database behind it.
type Error struct {
	API     string // the service's error code: DatabaseErrorException, StatementTimeoutException, …
	State   string // SQLSTATE, when the database itself refused
	Message string
	err     error
}

func (e *Error) Error() string {
	if e.State != "" {
		return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.State)
	}
	return e.API + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.err }

// ErrorCode returns the service's error code.
func (e *Error) ErrorCode() string { return e.API }

// SQLState returns the database's error code, or "".
func (e *Error) SQLState() string { return e.State }

var sqlState = regexp.MustCompile(`(?:Position: [0-9]+; )?SQLState: ([0-9A-Z]{5})`)

func apiError(err error) error {
	var a smithy.APIError
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &a) || a.ErrorCode() == "UnknownError" && errors.As(err, &status) && status.HTTPStatusCode() >= 500 {
		// Nothing, or something on the way that is not the service, such as a 504.
		// The client's words name the endpoint and what broke, and no value.
		return &Error{API: "NoAnswer", Message: fmt.Sprintf("the call ended without an answer, so it may have taken effect: %v", err), err: err}
	}
	e := &Error{API: a.ErrorCode(), Message: a.ErrorMessage(), err: err}
	// The last one: the database's text stands before it, and may quote anything.
	if all := sqlState.FindAllStringSubmatchIndex(e.Message, -1); all != nil {
		m := all[len(all)-1]
		e.State = e.Message[m[2]:m[3]]
		e.Message = strings.TrimSuffix(e.Message[:m[0]], "; ")
		if c := e.State[:2]; c == "22" || c == "23" {
			// These quote column values.
			e.Message = "the database refused a value (text withheld)"
			e.err = nil
		}
	}
	return e
}

// A Param is a named parameter: :name in the statement.
type Param struct {
	Name  string
	Value any // string, int64, bool or nil
}

func (p Param) field() (types.SqlParameter, error) {
	out := types.SqlParameter{Name: aws.String(p.Name)}
	switch v := p.Value.(type) {
	case nil:
		out.Value = &types.FieldMemberIsNull{Value: true}
	case string:
		out.Value = &types.FieldMemberStringValue{Value: v}
	case int64:
		out.Value = &types.FieldMemberLongValue{Value: v}
	case bool:
		out.Value = &types.FieldMemberBooleanValue{Value: v}
	default:
		return out, fmt.Errorf("parameter %s: type %T is not supported", p.Name, p.Value)
	}
	return out, nil
}

// Exec runs one statement in its own transaction. It is not repeated here: on an
// error the statement may have committed, or may still be running.
func (db *DB) Exec(ctx context.Context, sql string, params ...Param) error {
	_, err := db.call(ctx, sql, params, "")
	return err
}

// Query runs one statement in its own transaction and decodes its rows, one JSON
// object each, into out (a pointer to a slice of structs).
func (db *DB) Query(ctx context.Context, out any, sql string, params ...Param) error {
	res, err := db.call(ctx, sql, params, types.RecordsFormatTypeJson)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(aws.ToString(res.FormattedRecords)), out); err != nil {
		return fmt.Errorf("decode the rows of a query: %w", err)
	}
	return nil
}

func (db *DB) call(ctx context.Context, sql string, params []Param, format types.RecordsFormatType) (*rdsdata.ExecuteStatementOutput, error) {
	in := &rdsdata.ExecuteStatementInput{
		ResourceArn: aws.String(db.ClusterARN),
		SecretArn:   aws.String(db.SecretARN),
		Database:    aws.String(db.Database),
		Sql:         aws.String(sql),
		// Work that needs longer than a call goes on, and its bookkeeping row
		// tells the next call what became of it.
		ContinueAfterTimeout: true,
		FormatRecordsAs:      format,
	}
	for _, p := range params {
		f, err := p.field()
		if err != nil {
			return nil, err
		}
		in.Parameters = append(in.Parameters, f)
	}
	waited := time.Duration(0)
	for delay := time.Second; ; delay = min(2*delay, 10*time.Second) {
		began := time.Now()
		res, err := db.API.ExecuteStatement(ctx, in)
		if db.Observe != nil {
			db.Observe(time.Since(began))
		}
		if err == nil {
			return res, nil
		}
		e := apiError(err)
		// A paused cluster says so before it runs anything: the one error that
		// is safe to repeat here.
		var known *Error
		if !errors.As(e, &known) || known.API != "DatabaseResumingException" || waited >= resumeFor {
			return nil, e
		}
		sleep := db.Sleep
		if sleep == nil {
			sleep = sleepClock
		}
		if err := sleep(ctx, delay); err != nil {
			return nil, e
		}
		waited += delay
	}
}

func sleepClock(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
