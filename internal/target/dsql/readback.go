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

const (
	// The rows of a page, at first and at most.
	firstRows = 1000
	mostRows  = 100_000
	// pageBytes is how many bytes of values a page aims at: seconds of the five
	// minutes that a transaction may take.
	pageBytes = 64 << 20
)

// ReadPage hands the rows of a table behind a page to yield, in the order of their
// key: the texts of these columns, nil for NULL, which are valid until yield
// returns. It returns where it stopped, from where to go on, in this call or in
// another. It goes on behind the last row where a connection ends. A table without
// a key is one page, read in a single statement, which DSQL ends after five
// minutes. Rows that are written meanwhile may be missed.
func (db *DB) ReadPage(ctx context.Context, table *change.TablePlan, columns []string, from change.TablePage, yield func(row [][]byte) error) (change.TablePage, error) {
	fail := func(err error) (change.TablePage, error) {
		return change.TablePage{}, fmt.Errorf("read table %s.%s back: %w", table.Target.Schema, table.Target.Name, err)
	}
	if len(table.Key) == 0 {
		if err := db.Query(ctx, yield, pageSQL(table, columns, nil, false, 0)); err != nil {
			return fail(err)
		}
		return change.TablePage{End: true}, nil
	}
	types, err := keyTypes(table)
	if err != nil {
		return fail(err)
	}
	limit, bytes := from.Rows, 0
	if limit <= 0 {
		limit = firstRows
	}
	var last []any // the key of the row before
	for _, text := range from.After {
		last = append(last, []byte(text))
	}
	for rows := 0; ; {
		n := 0
		err := db.Query(ctx, func(row [][]byte) error {
			n++
			for _, v := range row {
				bytes += len(v)
			}
			if last == nil {
				last = make([]any, len(table.Key))
			}
			for i, text := range row[len(columns):] {
				before, _ := last[i].([]byte)
				last[i] = append(before[:0], text...)
			}
			return yield(row[:len(columns)])
		}, pageSQL(table, columns, types, len(last) > 0, limit-rows), last...)
		rows += n
		var interrupted *interruptedError
		switch {
		case errors.As(err, &interrupted) && rows < limit:
			continue // behind the rows that came, of which there was one at least
		case err != nil && !errors.As(err, &interrupted):
			return fail(err)
		}
		at := change.TablePage{End: err == nil && rows < limit, Rows: min(mostRows, 2*limit, max(1, int(pageBytes*float64(rows)/float64(max(bytes, 1)))))}
		for _, text := range last {
			at.After = append(at.After, fmt.Sprintf("%s", text))
		}
		return at, nil
	}
}

// pageSQL reads a page of a table, behind a key that its parameters hold.
func pageSQL(table *change.TablePlan, columns, types []string, behind bool, limit int) string {
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
	b.WriteString(" ORDER BY " + quoteAll(table.Key) + " LIMIT " + strconv.Itoa(limit))
	return b.String()
}
