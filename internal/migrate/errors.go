package migrate

import (
	"context"
	"errors"
	"io"
	"strings"

	"godwit/internal/journal"
)

// Again is an error that may pass by itself: the state machine repeats the step.
// Its name is the error name that definitions branch on.
type Again struct{ err error }

func (e *Again) Error() string { return e.err.Error() }
func (e *Again) Unwrap() error { return e.err }

// Stop is an error that repeating cannot mend: integrity, configuration, input.
// Its name is the error name that definitions branch on.
type Stop struct{ err error }

func (e *Stop) Error() string { return e.err.Error() }
func (e *Stop) Unwrap() error { return e.err }

// LimitExceeded is an error of QLDB: the ledger has as many exports under way as
// it may. The state machine repeats the step with long waits. Its name is the
// error name that definitions branch on.
type LimitExceeded struct{ err error }

func (e *LimitExceeded) Error() string { return e.err.Error() }
func (e *LimitExceeded) Unwrap() error { return e.err }

// QldbServiceEnded is an error of a QLDB that is not there any more: no repeat
// mends it. Its name is the error name that definitions branch on.
type QldbServiceEnded struct{ err error }

func (e *QldbServiceEnded) Error() string { return e.err.Error() }
func (e *QldbServiceEnded) Unwrap() error { return e.err }

// StopCancelledExport is an export that QLDB gave up. The state machine stops,
// and goes on with another export when it is redriven.
type StopCancelledExport struct{ err error }

func (e *StopCancelledExport) Error() string { return e.err.Error() }
func (e *StopCancelledExport) Unwrap() error { return e.err }

// Classify decides whether a step that ended in err is repeated. It is the one
// place that does. A nil error stays nil.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	var again *Again
	var stop *Stop
	if errors.As(err, &stop) {
		return &Stop{err}
	}
	if errors.As(err, &again) {
		return &Again{err}
	}
	var cancelled *StopCancelledExport
	if errors.As(err, &cancelled) {
		return &StopCancelledExport{err}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Again{err}
	}
	var state interface{ SQLState() string }
	if errors.As(err, &state) && state.SQLState() != "" {
		switch s := state.SQLState(); {
		case strings.HasPrefix(s, "08"), // connection
			strings.HasPrefix(s, "40"), // serialization failure, deadlock
			strings.HasPrefix(s, "53"), // out of a resource
			strings.HasPrefix(s, "57"), // shut down, cancelled
			strings.HasPrefix(s, "58"), // system error
			s == "55P03",               // lock not available
			s == "25006",               // read-only: the writer of the cluster just changed
			s == "38000", s == "XX000": // aws_s3 could not reach S3, or an internal error
			return &Again{err}
		}
		return &Stop{err}
	}
	var code interface{ ErrorCode() string }
	if errors.As(err, &code) {
		switch {
		case passing[code.ErrorCode()]:
			return &Again{err}
		case code.ErrorCode() == "LimitExceededException":
			return &LimitExceeded{err}
		case code.ErrorCode() == "QldbServiceEnded": // ours, of control
			return &QldbServiceEnded{err}
		}
	}
	// A balancer in front of a service answers with a status and no code.
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) && (status.HTTPStatusCode() >= 500 || status.HTTPStatusCode() == 429) {
		return &Again{err}
	}
	if errors.As(err, &code) {
		return &Stop{err}
	}
	var net interface{ Timeout() bool }
	if errors.As(err, &net) {
		return &Again{err}
	}
	// A connection that breaks while an object is read; an object that is too
	// short says ErrTruncated beside it.
	if errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, journal.ErrTruncated) {
		return &Again{err}
	}
	return &Stop{err}
}

// passes tells whether an error may pass by itself, so that the step is repeated.
func passes(err error) bool {
	_, again := Classify(err).(*Again) //nolint:errorlint // what Classify wraps is not its answer
	return again
}

// passing lists the service errors that repeating can mend.
var passing = map[string]bool{
	"NoAnswer":                      true, // ours: the connection broke
	"DatabaseResumingException":     true,
	"DatabaseUnavailableException":  true,
	"InvalidResourceStateException": true,
	"InternalServerErrorException":  true,
	"ServiceUnavailableError":       true,
	"StatementTimeoutException":     true,
	"ThrottlingException":           true,
	"Throttling":                    true,
	"TooManyRequestsException":      true,
	"RequestLimitExceeded":          true,
	"SlowDown":                      true,
	"InternalError":                 true,
	"ServiceUnavailable":            true,
	"RequestTimeout":                true,
	"InternalFailure":               true,
	"InternalServiceError":          true,
	"ExpiredToken":                  true, // of a role's session: the next call has a new one
	"ExpiredTokenException":         true,
	"RequestTimeTooSkewed":          true,
	"OperationAborted":              true, // S3: two writers of one key
	"KMS.ThrottlingException":       true,
	"ExecutionLimitExceeded":        true, // Step Functions: others run, and end
	"ResourceInUseException":        true, // Lambda: the event source mapping is being changed
	"ResourceConflictException":     true,

	"ProvisionedThroughputExceededException": true, // Kinesis: others read the shard
}
