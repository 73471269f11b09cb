package dsql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// An Error is a refusal as a client of Aurora DSQL gets it.
type Error struct {
	Code    string // SQLSTATE
	Message string
	Detail  string
	Hint    string
	fatal   bool // the connection ends with it
}

func (e *Error) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

func (e *Error) response() *pgproto3.ErrorResponse {
	severity := "ERROR"
	if e.fatal {
		severity = "FATAL"
	}
	return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
}

// unsupported is the refusal of what Aurora DSQL does not have.
func unsupported(format string, a ...any) *Error {
	return &Error{Code: "0A000", Message: fmt.Sprintf(format, a...)}
}

// unknown is the refusal of what Aurora DSQL may have, but local does not know: an
// internal error, so that nobody takes it for the service's answer.
func unknown(format string, a ...any) *Error {
	return &Error{Code: "XX000", Message: fmt.Sprintf(format, a...) + " is not known to local"}
}

// limit is the refusal of what is beyond a limit.
func limit(format string, a ...any) *Error {
	return &Error{Code: "54000", Message: fmt.Sprintf(format, a...)}
}

// aborted is the answer to everything in a transaction that has failed.
func aborted() *Error {
	return &Error{Code: "25P02", Message: "current transaction is aborted, commands ignored until end of transaction block"}
}

// syntaxError is PostgreSQL's; near is "" at the end.
func syntaxError(near string) *Error {
	if near == "" {
		return &Error{Code: "42601", Message: "syntax error at end of input"}
	}
	return &Error{Code: "42601", Message: fmt.Sprintf("syntax error at or near %q", near)}
}

// The two conflicts, in the words of 2026.
func dataConflict() *Error {
	return &Error{Code: "40001", Message: "change conflicts with another transaction (OC000)"}
}

func schemaConflict() *Error {
	return &Error{Code: "40001", Message: "schema has been updated by another transaction (OC001)"}
}

// translate says an error of the server behind the cluster as Aurora DSQL does:
// what PostgreSQL finds by locks is a conflict, and where in the accounting an
// error was raised is nobody's business.
func translate(e *pgproto3.ErrorResponse, ddl bool) *pgproto3.ErrorResponse {
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		if ddl {
			return schemaConflict().response()
		}
		return dataConflict().response()
	}
	t := *e
	t.File, t.Line, t.Routine = "", 0, ""
	if strings.Contains(t.Where, "sys.") {
		t.Where = ""
	}
	return &t
}

// errGone ends a session whose client or server is gone, or that a fault cuts.
var errGone = errors.New("the connection is gone")
