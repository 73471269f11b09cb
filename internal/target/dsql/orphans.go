package dsql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"godwit/internal/change"
)

// Orphans lists rows whose foreign key references no row, at most limit of them:
// the texts of the table's key, or of the referencing columns where the table has
// no key. These are values: whoever shows them decides to whom.
func (db *DB) Orphans(ctx context.Context, plan change.TablePlan, foreign change.Foreign, limit int) ([][]string, error) {
	if len(foreign.Columns) == 0 || len(foreign.Columns) != len(foreign.References) {
		return nil, errors.New("a foreign key without columns has no orphans")
	}
	show := plan.Key
	if len(show) == 0 {
		show = foreign.Columns
	}
	var columns, all, some, same []string
	for _, name := range show {
		columns = append(columns, "c."+quote(name)+"::text")
	}
	for i, name := range foreign.Columns {
		c := "c." + quote(name)
		all = append(all, c+" IS NOT NULL")
		some = append(some, c+" IS NULL")
		same = append(same, "p."+quote(foreign.References[i])+" = "+c)
	}
	orphan := fmt.Sprintf("%s AND NOT EXISTS (SELECT 1 FROM %s p WHERE %s)",
		strings.Join(all, " AND "), quote(foreign.Table.Schema, foreign.Table.Name), strings.Join(same, " AND "))
	if foreign.Match == "FULL" && len(foreign.Columns) > 1 {
		// NULL in some of its columns, but not in all of them.
		orphan = fmt.Sprintf("(%s) OR ((%s) AND NOT (%s))", orphan, strings.Join(some, " OR "), strings.Join(some, " AND "))
	}
	sql := fmt.Sprintf("SELECT %s FROM %s c WHERE %s ORDER BY 1 LIMIT %d", strings.Join(columns, ", "), quote(plan.Target.Schema, plan.Target.Name), orphan, limit)
	rows, err := db.rows(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("list orphans of foreign key %s of table %s.%s: %w", foreign.Name, plan.Target.Schema, plan.Target.Name, err)
	}
	return rows, nil
}
