package asl

import (
	"encoding/json"
	"fmt"
)

// The error names that the language defines.
const (
	ErrAll                = "States.ALL"
	ErrTaskFailed         = "States.TaskFailed"
	ErrTimeout            = "States.Timeout"
	ErrHeartbeatTimeout   = "States.HeartbeatTimeout"
	ErrPermissions        = "States.Permissions"
	ErrNoChoiceMatched    = "States.NoChoiceMatched"
	ErrQueryEvaluation    = "States.QueryEvaluationError"
	ErrDataLimitExceeded  = "States.DataLimitExceeded"
	ErrRuntime            = "States.Runtime"
	ErrItemReaderFailed   = "States.ItemReaderFailed"
	ErrResultWriterFailed = "States.ResultWriterFailed"
	ErrToleratedFailure   = "States.ExceedToleratedFailureThreshold"
)

// An Error is a failed state or execution in the language's terms.
type Error struct {
	Name  string // "Error" in the language
	Cause string
}

func (e *Error) Error() string {
	if e.Cause == "" {
		return e.Name
	}
	return e.Name + ": " + e.Cause
}

// output is what a Catch sees.
func (e *Error) output() json.RawMessage {
	return encodeObject("Error", e.Name, "Cause", e.Cause)
}

func errorf(name, format string, a ...any) *Error {
	return &Error{Name: name, Cause: fmt.Sprintf(format, a...)}
}

// matches tells whether a list of ErrorEquals takes the error. States.ALL and
// States.TaskFailed do not take what ends a workflow: data over the limit must be
// named, a runtime fault cannot be taken at all.
func (e *Error) matches(names []string) bool {
	if e.Name == ErrRuntime {
		return false
	}
	for _, n := range names {
		switch {
		case n == e.Name:
			return true
		case e.Name == ErrDataLimitExceeded:
		case n == ErrAll:
			return true
		case n == ErrTaskFailed && e.Name != ErrTimeout:
			return true
		case n == ErrTimeout && e.Name == ErrHeartbeatTimeout:
			return true
		}
	}
	return false
}

// NotRedrivableError says why RedriveExecution is refused.
type NotRedrivableError struct{ ARN, Reason string }

func (e *NotRedrivableError) Error() string {
	return "execution " + e.ARN + " cannot be redriven: " + e.Reason
}
