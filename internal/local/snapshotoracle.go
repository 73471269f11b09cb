package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/assess"
	"godwit/internal/change"
)

// A Compared is what a comparison of two databases found.
type Compared struct {
	Tables, Rows int
	Differences  []string // table, and the row as one side has it
}

// Compare compares every row that a storefront has with what stands in the target,
// behind the DSN to. What the source's values become is computed by the source's own
// server, in SQL: nothing of the export, the loader or the verifier is asked.
func (s *Storefront) Compare(ctx context.Context, plans []change.TablePlan, to string) (found Compared, err error) {
	source, err := connectUTC(ctx, s.DSN())
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, source.Close(context.WithoutCancel(ctx))) }()
	target, err := connectUTC(ctx, to)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, target.Close(context.WithoutCancel(ctx))) }()
	for i := range plans {
		p := &plans[i]
		var from, into []string
		for j := range p.Columns {
			c := &p.Columns[j]
			if len(c.From) > 0 {
				sql := assess.ColumnSQL(c)
				if c.As.Kind != change.AsUUID {
					sql = pgx.Identifier{c.From[0].Name}.Sanitize()
				}
				from = append(from, comparable(sql, c.Type))
				into = append(into, comparable(pgx.Identifier{c.Name}.Sanitize(), c.Type))
			}
		}
		want, err := texts(ctx, source, from, p.Source)
		if err != nil {
			return found, fmt.Errorf("read %s.%s of the source: %w", p.Source.Schema, p.Source.Name, err)
		}
		got, err := texts(ctx, target, into, p.Target)
		if err != nil {
			return found, fmt.Errorf("read %s.%s of the target: %w", p.Target.Schema, p.Target.Name, err)
		}
		found.Tables++
		found.Rows += len(want)
		found.Differences = append(found.Differences, unlike(p.Target.Schema+"."+p.Target.Name, want, got)...)
	}
	return found, nil
}

// comparable is the text of a value, which is one for equal values of two columns
// that may have another scale.
func comparable(sql, typ string) string {
	if strings.HasPrefix(typ, "numeric") {
		return "trim_scale(" + sql + ")::text"
	}
	return "(" + sql + ")::text"
}

// texts reads the rows of a table, each as one text, in order.
func texts(ctx context.Context, db *pgx.Conn, columns []string, table change.TableName) ([]string, error) {
	rows, err := db.Query(ctx, "SELECT ROW("+strings.Join(columns, ", ")+")::text FROM "+pgx.Identifier{table.Schema, table.Name}.Sanitize())
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(list)
	return list, err
}

// unlike lists what only one of two ordered lists has.
func unlike(table string, want, got []string) (list []string) {
	for len(want)+len(got) > 0 {
		switch order := first(want, got); {
		case order < 0:
			list = append(list, table+" lacks "+want[0])
			want = want[1:]
		case order > 0:
			list = append(list, table+" has besides "+got[0])
			got = got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return list
}

func first(a, b []string) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return cmp.Compare(a[0], b[0])
}
