package rdsdata

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// An Error is an answer of the service other than success.
type Error struct {
	status     int
	code       string // the name that the SDK knows
	text       string
	connection uint32 // dbConnectionId, of a timeout only
}

func (e *Error) Error() string { return e.code + ": " + e.text }

// validation is an error that the service's model does not have; the SDK gives
// it as a generic API error.
func validation(format string, args ...any) error {
	return &Error{status: 400, code: "ValidationException", text: fmt.Sprintf(format, args...)}
}

// apiError finds the answer for any error.
func apiError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if pg.Code == "57P03" { // cannot_connect_now
			return &Error{status: 504, code: "DatabaseUnavailableException", text: pg.Message}
		}
		return &Error{status: 400, code: "DatabaseErrorException", text: message(pg)}
	}
	// The connection broke: whether the statement took effect is unknown, as on AWS.
	return &Error{status: 504, code: "DatabaseUnavailableException", text: err.Error()}
}

// message writes a database error as the service does: severity, text, detail,
// position and always the SQLSTATE at the end.
func message(pg *pgconn.PgError) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", pg.Severity, pg.Message)
	if pg.Detail != "" {
		b.WriteString("\n  Detail: " + pg.Detail)
	}
	if pg.Hint != "" {
		b.WriteString("\n  Hint: " + pg.Hint)
	}
	if pg.Position > 0 {
		fmt.Fprintf(&b, "; Position: %d", pg.Position)
	}
	b.WriteString("; SQLState: " + pg.Code)
	return b.String()
}
