package dsql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// Repair does a repair with the lines that out and in yield, and says whether it is
// done: near the deadline of ctx it leaves the rest to the next call. It drops the
// foreign keys of the plans that the table has or that refer to it, which would act
// on rows that go out; Build makes them anew. It may be repeated after any error and
// beside itself: no row goes out that came in, and a call that was taken for dead
// stores nothing more.
func (db *DB) Repair(ctx context.Context, r change.TableRepair, out, in Source) (done bool, err error) {
	name := r.Table.Target
	goes := &loader{db: db, measure: (&measures{}).get(name, db.cfg.Limits), repair: true, item: change.TableItem{
		Load: r.Load, ID: r.ID + "/out", Table: r.Table, Rows: change.Range{Last: r.Out - 1},
	}}
	if goes.write, err = goes.deleteKeys(); err != nil {
		return false, fmt.Errorf("repair table %s.%s: %w", name.Schema, name.Name, err)
	}
	comes := &loader{db: db, measure: db.sizes.get(name, db.cfg.Limits), repair: true, item: change.TableItem{
		Load: r.Load, ID: r.ID + "/in", Table: r.Table, Rows: change.Range{Last: r.In - 1},
	}}
	comes.write = comes.copyRows
	// Foreign keys go before the first row does, and never once the last one came.
	left := 0
	for _, l := range []*loader{goes, comes} {
		if err := l.resume(ctx); err != nil {
			return false, err
		}
		left += len(l.left())
		l.done, l.counts = nil, change.Counts{} // is read again, by who has the claim
	}
	if left == 0 {
		return true, nil
	}
	if err := db.unlink(ctx, &r); err != nil {
		return false, err
	}
	progress, err := goes.all(ctx, out)
	if err != nil || len(progress.Left) > 0 {
		return false, err
	}
	progress, err = comes.all(ctx, in)
	return err == nil && len(progress.Left) == 0, err
}

// unlink drops the foreign keys that touch a table.
func (db *DB) unlink(ctx context.Context, r *change.TableRepair) error {
	for _, p := range r.Plans {
		for _, f := range p.Foreign {
			if p.Target != r.Table.Target && f.Table != r.Table.Target {
				continue
			}
			if err := db.define(ctx, "ALTER TABLE "+quote(p.Target.Schema, p.Target.Name)+" DROP CONSTRAINT IF EXISTS "+quote(f.Name)); err != nil {
				return fmt.Errorf("drop foreign key %s of table %s.%s: %w", f.Name, p.Target.Schema, p.Target.Name, err)
			}
			// It is begun anew, as if for the first time.
			if _, err := db.Exec(ctx, `DELETE FROM godwit.job WHERE load_id = $1 AND table_schema = $2 AND table_name = $3 AND object_name = $4`, r.Load, p.Target.Schema, p.Target.Name, f.Name); err != nil {
				return fmt.Errorf("forget foreign key %s of table %s.%s: %w", f.Name, p.Target.Schema, p.Target.Name, err)
			}
		}
	}
	return nil
}

// deleteKeys is the write of what goes out: lines of the texts of keys.
func (l *loader) deleteKeys() (func(ctx context.Context, s *session, b *batch) error, error) {
	table := l.item.Table
	types, err := keyTypes(table)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s *session, b *batch) error {
		var sql strings.Builder
		sql.WriteString("DELETE FROM " + quote(table.Target.Schema, table.Target.Name) + " WHERE (" + quoteAll(table.Key) + ") IN (VALUES ")
		var args []any
		for line := range strings.Lines(string(b.data)) {
			texts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(texts) != len(types) {
				return fmt.Errorf("a line has %d values for the key of table %s.%s, which has %d columns", len(texts), table.Target.Schema, table.Target.Name, len(types))
			}
			if len(args) > 0 {
				sql.WriteString(", ")
			}
			for i, text := range texts {
				args = append(args, unescape.Replace(text))
				sql.WriteString([]string{"(", ", "}[min(i, 1)] + "$" + strconv.Itoa(len(args)) + "::" + types[i])
			}
			sql.WriteString(")")
		}
		return s.exec(ctx, sql.String()+")", args...)
	}, nil
}

// unescape reads a value of COPY text, of which keys have these escapes.
var unescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")

// keyTypes are the types of the columns of a table's key.
func keyTypes(table *change.TablePlan) ([]string, error) {
	if len(table.Key) == 0 {
		return nil, fmt.Errorf("it has no key")
	}
	var types []string
	for _, k := range table.Key {
		i := slices.IndexFunc(table.Columns, func(c change.ColumnPlan) bool { return c.Name == k })
		if i < 0 {
			return nil, fmt.Errorf("its key has the column %s, which it has not", k)
		}
		types = append(types, table.Columns[i].Type)
	}
	return types, nil
}
