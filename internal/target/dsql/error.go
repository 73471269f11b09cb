package dsql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/change"
)

// An Error is what the cluster refused. It holds names and numbers, no value: the
// text of errors about data (classes 22 and 23), which quotes them, is withheld,
// and so are details.
type Error struct {
	State   string // SQLSTATE
	Message string
	// What it is about, where the cluster says so. Row is the row of the item, and
	// meaningful where Item is set.
	Table, Column, Constraint string
	Item                      string
	Row                       int64
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Item != "" {
		fmt.Fprintf(&b, "item %s, row %d: ", e.Item, e.Row)
	}
	if e.Table != "" {
		fmt.Fprintf(&b, "table %s: ", e.Table)
	}
	if e.Column != "" {
		fmt.Fprintf(&b, "column %s: ", e.Column)
	}
	if e.Constraint != "" {
		fmt.Fprintf(&b, "constraint %s: ", e.Constraint)
	}
	fmt.Fprintf(&b, "%s (SQLSTATE %s)", e.Message, e.State)
	return b.String()
}

// SQLState returns the cluster's error code.
func (e *Error) SQLState() string { return e.State }

// A LostError is a connection that could not be made, or that ended before the
// answer came.
type LostError struct{ err error }

func (e *LostError) Error() string { return "connection to Aurora DSQL: " + e.err.Error() }
func (e *LostError) Unwrap() error { return e.err }

// SQLState returns the code of a connection that failed.
func (*LostError) SQLState() string { return "08006" }

// A DuplicateError is a row whose unique key another row has: the source has it
// twice, or the table held it before. Loading again ends in the same way.
type DuplicateError struct {
	Where *Error // table, constraint and, where the cluster says it, the row
}

func (e *DuplicateError) Error() string {
	return e.Where.Error() + ": find the two rows by the constraint's columns, in the source and in the target"
}
func (e *DuplicateError) Unwrap() error { return e.Where }

// A SupersededError is an item that another call took over meanwhile. Nothing of
// this call is stored any more; what it stored before counts.
type SupersededError struct{ Item string }

func (e *SupersededError) Error() string {
	return fmt.Sprintf("item %s was taken over by another call, which goes on with it", e.Item)
}

// SQLState returns the code of a lock that another holds.
func (*SupersededError) SQLState() string { return "55P03" }

// An UnknownLoadError is a load that never began, or that another one replaced.
type UnknownLoadError struct{ Load string }

func (e *UnknownLoadError) Error() string {
	return fmt.Sprintf("load %s is not known to the target: it has not begun, or another load replaced it", e.Load)
}

// ErrorCode names the error to a definition.
func (*UnknownLoadError) ErrorCode() string { return "UnknownLoad" }

// A LoadedError is a table of a load that is in the target already: of another
// load, or of nobody that is known.
type LoadedError struct {
	Table change.TableName
	Load  string // whose it is; "" where no load made it
}

func (e *LoadedError) Error() string {
	if e.Load == "" {
		return fmt.Sprintf("table %s.%s exists and was made by no load: choose another schema, or drop it", e.Table.Schema, e.Table.Name)
	}
	return fmt.Sprintf("table %s.%s was brought by load %s: choose another schema by the rules of Mapping, or start again with \"Replace\": true to drop what that load brought into the same tables", e.Table.Schema, e.Table.Name, e.Load)
}

// ErrorCode names the error to a definition.
func (*LoadedError) ErrorCode() string { return "TableLoaded" }

// A PlanChangedError is a load that began with another plan.
type PlanChangedError struct{ Load string }

func (e *PlanChangedError) Error() string {
	return fmt.Sprintf("load %s began with another plan for its tables: begin a load of another name, which may replace it", e.Load)
}

// ErrorCode names the error to a definition.
func (*PlanChangedError) ErrorCode() string { return "PlanChanged" }

// wrap makes of an error of the driver one of ours.
func wrap(err error) error {
	var pg *pgconn.PgError
	var lost *LostError
	var ours *Error
	switch {
	case err == nil, errors.As(err, &lost), errors.As(err, &ours):
		return err
	case errors.As(err, &pg):
		if fatal(pg) && !strings.HasPrefix(pg.Code, "28") && !strings.HasPrefix(pg.Code, "53") {
			return &LostError{fmt.Errorf("%s (SQLSTATE %s)", pg.Message, pg.Code)}
		}
		e := &Error{State: pg.Code, Message: pg.Message, Table: pg.TableName, Column: pg.ColumnName, Constraint: pg.ConstraintName}
		if strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") {
			e.Message = meaning[pg.Code]
			if e.Message == "" {
				e.Message = "the data is refused"
			}
		}
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &LostError{err}
}

// meaning replaces texts that quote values.
var meaning = map[string]string{
	"22001": "a text is longer than its column takes",
	"22003": "a number is out of its column's range",
	"22007": "a date or time is spelt in another way",
	"22008": "a date or time is out of range",
	"22021": "a text is not valid UTF-8",
	"22P02": "a value is spelt in another way than its type is",
	"22P04": "a line of COPY is malformed",
	"23502": "a value is missing in a column that must have one",
	"23503": "the row that is referenced is missing",
	"23505": "the key is there already",
	"23514": "a check refuses the row",
}

// fatal reports whether an error ended its connection.
func fatal(pg *pgconn.PgError) bool {
	severity := pg.SeverityUnlocalized
	if severity == "" {
		severity = pg.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

func stateOf(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// passing reports whether a transaction that ended so did not happen, or may not
// have, and is worth another try as it is: conflicts of optimistic concurrency
// control, lost connections, resources that are used up for the moment.
func passing(err error) bool {
	switch state := stateOf(err); state {
	case "40001", "08006", "53300", "53400":
		return true
	default:
		return false
	}
}

var (
	// What COPY says of its place: the line, counted from one, and the column.
	copyPlace = regexp.MustCompile(`^COPY [^\n]*?, line ([0-9]+)(?:, column ([^:\n]+))?`)
	// Current transaction size 11mb > 10mb, with or without a fraction.
	sizeDetail = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?) ?[mM][bB] > [0-9.]+ ?[mM][bB]`)
)

// place says which row and column an error of storing a batch is about, where the
// cluster tells.
func (e *Error) place(pg *pgconn.PgError, item change.TableItem, b *batch) {
	if e.Table == "" {
		e.Table = item.Table.Target.Name
	}
	m := copyPlace.FindStringSubmatch(pg.Where)
	if m == nil {
		return
	}
	if line, err := strconv.Atoi(m[1]); err == nil {
		e.Item, e.Row = item.ID, b.rowOfLine(line-1)
	}
	if e.Column == "" {
		e.Column = m[2]
	}
}

// transactionSize is what the cluster says that a refused transaction had, in
// bytes; 0 where it does not say.
func transactionSize(pg *pgconn.PgError) int64 {
	m := sizeDetail.FindStringSubmatch(pg.Detail)
	if m == nil {
		return 0
	}
	mb, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0
	}
	return int64(mb * (1 << 20))
}
