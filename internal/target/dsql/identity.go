package dsql

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"godwit/internal/change"
)

// Position has the identities of a load's tables go on behind the greatest value
// that each holds, where that is beyond where they begin. It looks at identities
// that begin a key or an index, where the greatest value is found at once, and where
// alone one that comes twice is an error. A load that is published is left alone:
// its tables are in use. Repeating it changes nothing.
func (db *DB) Position(ctx context.Context, load string, plans []change.TablePlan) error {
	state, err := db.State(ctx, load)
	switch {
	case err != nil:
		return err
	case state == nil:
		return &UnknownLoadError{load}
	case state.Published:
		return nil
	}
	for i := range plans {
		for j := range plans[i].Columns {
			if err := db.position(ctx, &plans[i], &plans[i].Columns[j]); err != nil {
				return fmt.Errorf("position the identity %s of table %s.%s: %w", plans[i].Columns[j].Name, plans[i].Target.Schema, plans[i].Target.Name, err)
			}
		}
	}
	return nil
}

func (db *DB) position(ctx context.Context, p *change.TablePlan, c *change.ColumnPlan) error {
	first := func(keys []string) bool { return len(keys) > 0 && keys[0] == c.Name }
	if c.Identity == "" || !first(p.Key) && !slices.ContainsFunc(p.Indexes, func(x change.IndexPlan) bool { return first(x.Keys) }) {
		return nil
	}
	table, column := quote(p.Target.Schema, p.Target.Name), quote(c.Name)
	rows, err := db.rows(ctx, "SELECT coalesce(max("+column+"), 0)::text FROM "+table)
	if err != nil {
		return err
	}
	most, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil || most < max(c.Start, 1) || most+1 < most {
		return err
	}
	return db.define(ctx, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s RESTART WITH %d", table, column, most+1))
}
