package dsql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// readRows is how many rows of a table one statement reads: seconds of the five
// minutes that a transaction may take, whatever the size of the table.
const readRows = 100_000

// ReadBack hands each row of a table to yield, as the texts of these columns, nil
// for NULL, which are valid until yield returns. A table with a key is read in the
// order of it, in many statements, and goes on behind the last row where a
// connection ends; one without is read in a single statement, which DSQL ends
// after five minutes. Rows that are written meanwhile may be missed.
func (db *DB) ReadBack(ctx context.Context, table *change.TablePlan, columns []string, yield func(row [][]byte) error) error {
	var last []any // of the key of the row before
	var types []string
	for _, k := range table.Key {
		i := slices.IndexFunc(table.Columns, func(c change.ColumnPlan) bool { return c.Name == k })
		if i < 0 {
			return fmt.Errorf("read table %s.%s back: its key has the column %s, which it has not", table.Target.Schema, table.Target.Name, k)
		}
		types = append(types, table.Columns[i].Type)
	}
	for {
		n := 0
		err := db.Query(ctx, func(row [][]byte) error {
			n++
			last = last[:0]
			for _, text := range row[len(columns):] {
				last = append(last, string(text))
			}
			return yield(row[:len(columns)])
		}, pageSQL(table, columns, types, len(last) > 0), last...)
		var interrupted *interruptedError
		if errors.As(err, &interrupted) && len(table.Key) > 0 {
			continue // behind the rows that came, of which there was one at least
		}
		if err != nil {
			return fmt.Errorf("read table %s.%s back: %w", table.Target.Schema, table.Target.Name, err)
		}
		if len(table.Key) == 0 || n < readRows {
			return nil
		}
	}
}

// pageSQL reads a page of a table, behind a key that its parameters hold.
func pageSQL(table *change.TablePlan, columns, types []string, behind bool) string {
	var b strings.Builder
	b.WriteString("SELECT " + quoteAll(slices.Concat(columns, table.Key)) + " FROM " + quote(table.Target.Schema, table.Target.Name))
	if len(table.Key) == 0 {
		return b.String()
	}
	if behind {
		b.WriteString(" WHERE (" + quoteAll(table.Key) + ") > (")
		for i, typ := range types {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString("$" + strconv.Itoa(i+1) + "::" + typ)
		}
		b.WriteString(")")
	}
	b.WriteString(" ORDER BY " + quoteAll(table.Key) + " LIMIT " + strconv.Itoa(readRows))
	return b.String()
}
