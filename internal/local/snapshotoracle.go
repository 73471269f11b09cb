package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
)

// A Compared is what a comparison of two databases found.
type Compared struct {
	Tables, Rows int
	Differences  []string // table, and the row as one side has it
	// Left is the tables of the source, and the columns of tables that are compared,
	// that no plan takes.
	Left []string
}

// Compare compares every row that a storefront has with what stands in the target,
// behind the DSN to. What the source's values become is computed by the source's own
// server, in SQL: nothing of the export, the loader, the verifier or the rules that
// they share is asked.
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
				want, got := sides(c)
				from, into = append(from, want), append(into, got)
			}
		}
		want, err := texts(ctx, source, from, p.Source, filter(p.Filter))
		if err != nil {
			return found, fmt.Errorf("read %s.%s of the source: %w", p.Source.Schema, p.Source.Name, err)
		}
		got, err := texts(ctx, target, into, p.Target, "")
		if err != nil {
			return found, fmt.Errorf("read %s.%s of the target: %w", p.Target.Schema, p.Target.Name, err)
		}
		found.Tables++
		found.Rows += len(want)
		found.Differences = append(found.Differences, unlike(p.Target.Schema+"."+p.Target.Name, want, got)...)
	}
	found.Left, err = left(ctx, source, plans)
	return found, err
}

// sides are the expressions that must be equal in a row: what a column's conversion
// makes of the source's values, and what the target has.
func sides(c *change.ColumnPlan) (want, got string) {
	from, into := pgx.Identifier{c.From[0].Name}.Sanitize(), pgx.Identifier{c.Name}.Sanitize()
	source, target := baseOf(c.From[0].Type), baseOf(c.Type)
	switch {
	case c.As.Kind == change.AsUUID:
		return printed(keyUUID(c)), printed(into)
	case c.As.Kind == change.AsText && source == "boolean":
		return from + "::text", into
	case source == target:
		if c.As.Kind == change.AsFit && target == "numeric" { // of another scale
			return "trim_scale(" + from + ")::text", "trim_scale(" + into + ")::text"
		}
		return printed(from), printed(into)
	case isNumber(source) && isNumber(target):
		return "trim_scale(" + from + "::numeric)::text", "trim_scale(" + into + "::numeric)::text"
	case isFloat(source) && isFloat(target):
		return from + "::double precision::text", into + "::double precision::text"
	}
	return printed(from), printed(into)
}

// printed is the text that PostgreSQL prints of a value. A cast to text prints some
// values otherwise: without the blanks that pad it, or with the length of a network.
func printed(sql string) string {
	return "CASE WHEN " + sql + " IS DISTINCT FROM NULL THEN format('%s', " + sql + ") END"
}

// baseOf is a type without its modifiers.
func baseOf(typ string) string {
	head, tail, ok := strings.Cut(typ, "(")
	if !ok {
		return typ
	}
	_, tail, _ = strings.Cut(tail, ")")
	return head + tail
}

func isNumber(base string) bool {
	return slices.Contains([]string{"smallint", "integer", "bigint", "numeric"}, base)
}

func isFloat(base string) bool { return base == "real" || base == "double precision" }

// keyUUID is the UUID of a row's key by the words of change.KeyUUID: the first half
// of a hash of counted texts, with version and variant put in.
func keyUUID(c *change.ColumnPlan) string {
	counted := func(sql string) string {
		return "E'\\n' || octet_length(convert_to(" + sql + ", 'UTF8')) || ':' || " + sql
	}
	name := []string{literal(c.As.Namespace), counted(literal(c.As.Of.Schema)), counted(literal(c.As.Of.Name))}
	for _, from := range c.From {
		column := pgx.Identifier{from.Name}.Sanitize()
		switch base := baseOf(from.Type); {
		case isNumber(base):
			column = "trim_scale(" + column + "::numeric)"
		case base == "character" || base == "bpchar":
			column = "rtrim(" + column + ", ' ')"
		}
		name = append(name, counted(column+"::text"))
	}
	hash := "substr(sha256(convert_to(" + strings.Join(name, " || ") + ", 'UTF8')), 1, 16)"
	for _, bits := range []struct{ at, keep, set int }{{6, 0x0f, 0x80}, {8, 0x3f, 0x80}} {
		hash = fmt.Sprintf("(SELECT set_byte(h, %[2]d, get_byte(h, %[2]d) & %[3]d | %[4]d) FROM (SELECT %[1]s AS h) AS x)", hash, bits.at, bits.keep, bits.set)
	}
	return "encode(" + hash + ", 'hex')::uuid"
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// filter is the condition of the rows that stay.
func filter(conditions []change.Condition) string {
	var all []string
	for _, c := range conditions {
		column := pgx.Identifier{c.Column}.Sanitize()
		met := []string{"false"}
		for _, text := range c.In {
			met = append(met, "coalesce("+column+"::text = "+literal(text)+", false)")
		}
		if c.Null {
			met = append(met, column+" IS NULL")
		}
		sql := "(" + strings.Join(met, " OR ") + ")"
		if c.Not {
			sql = "NOT " + sql
		}
		all = append(all, sql)
	}
	if len(all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

// left lists what the plans do not take of a database.
func left(ctx context.Context, source *pgx.Conn, plans []change.TablePlan) ([]string, error) {
	taken := map[string]bool{}
	for i := range plans {
		p := &plans[i]
		table := p.Source.Schema + "." + p.Source.Name
		taken[table] = true
		for _, c := range p.Columns {
			for _, from := range c.From {
				taken[table+"."+from.Name] = true
			}
		}
	}
	rows, err := source.Query(ctx, `SELECT n.nspname || '.' || c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1 ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	var list []string
	var table string
	var columns []string
	_, err = pgx.ForEachRow(rows, []any{&table, &columns}, func() error {
		if !taken[table] {
			list = append(list, table)
			return nil
		}
		for _, column := range columns {
			if !taken[table+"."+column] {
				list = append(list, table+"."+column)
			}
		}
		return nil
	})
	return list, err
}

// texts reads the rows of a table, each as one text, in order.
func texts(ctx context.Context, db *pgx.Conn, columns []string, table change.TableName, where string) ([]string, error) {
	rows, err := db.Query(ctx, "SELECT ROW("+strings.Join(columns, ", ")+")::text FROM "+pgx.Identifier{table.Schema, table.Name}.Sanitize()+where)
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
