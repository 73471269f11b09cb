package mapping

import (
	"fmt"
	"strings"

	"godwit/internal/change"
)

// A ValueError says that one value of one record does not map exactly. It is
// never worth a retry: the record is set aside, or the mapping is changed. No
// part of it repeats the value; Path may hold field names of the document.
type ValueError struct {
	Origin change.Origin
	Table  change.SourceTable
	Column string      // target column
	Path   string      // where in the document: Owners.PrimaryOwner.PersonId, Lines[3].Amount, $docId
	Kind   change.Kind // what the document holds there; Invalid when nothing is there
	Type   change.Type // what the column holds
	Why    string      // reads after "path": "has more than 25 characters"
}

func (e *ValueError) Error() string {
	kind := "absent"
	if e.Kind != change.Invalid {
		kind = e.Kind.String()
	}
	return fmt.Sprintf("%s: table %s: map path %s (%s) to column %s %s: %s",
		e.Origin, e.Table.Name, e.Path, kind, e.Column, TypeName(e.Type), e.Why)
}

// A FileError is one thing that is wrong with a mapping file.
type FileError struct {
	Line, Column int    // from 1; Column counts bytes
	Where        string // JSON path: tables.Person.columns[2].type
	Why          string
}

func (e *FileError) Error() string {
	where := ""
	if e.Where != "" {
		where = e.Where + ": "
	}
	return fmt.Sprintf("mapping line %d column %d: %s%s", e.Line, e.Column, where, e.Why)
}

// FileErrors is everything that is wrong with a mapping file, in file order.
type FileErrors []*FileError

func (e FileErrors) Error() string {
	text := make([]string, len(e))
	for i := range e {
		text[i] = e[i].Error()
	}
	return strings.Join(text, "\n")
}

// Unwrap lets errors.As find the first *FileError.
func (e FileErrors) Unwrap() []error {
	list := make([]error, len(e))
	for i := range e {
		list[i] = e[i]
	}
	return list
}
