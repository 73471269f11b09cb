package dsql

import (
	"context"
	"fmt"
	"strconv"

	"godwit/internal/change"
)

// purgeRows is how many rows of bookkeeping one transaction deletes.
const purgeRows = 2000

// Begin registers a load, or finds it registered and returns what is known of it.
// A *LoadedError says that one of its tables is in the target already, a
// *PlanChangedError that the load began with another plan. Nothing is made but
// its row; Tables does the rest.
func (db *DB) Begin(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error) {
	known, err := db.State(ctx, load.ID)
	if err != nil {
		return nil, err
	}
	if known != nil {
		if known.Plan != load.Plan {
			return nil, &PlanChangedError{load.ID}
		}
		return known, nil
	}
	tables, err := db.tables(ctx, load.Tables)
	if err != nil {
		return nil, err
	}
	for _, name := range load.Tables {
		if err := tables[name].refuses(name, load.ID, load.Replace); err != nil {
			return nil, err
		}
	}
	// What an earlier run of it left, which another load ended, is no progress of it.
	if err := db.purge(ctx, load.ID); err != nil {
		return nil, err
	}
	_, err = db.Exec(ctx, `INSERT INTO godwit.load (load_id, plan, replaces) VALUES ($1, $2, $3) ON CONFLICT (load_id) DO NOTHING`, load.ID, load.Plan, load.Replace)
	if err != nil {
		return nil, fmt.Errorf("register load %s: %w", load.ID, err)
	}
	return db.begun(ctx, load)
}

// begun reads a load again that was just registered, by this call or by another
// at the same time, with whatever plan.
func (db *DB) begun(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error) {
	known, err := db.State(ctx, load.ID)
	switch {
	case err != nil:
		return nil, err
	case known == nil:
		return nil, &UnknownLoadError{load.ID}
	case known.Plan != load.Plan:
		return nil, &PlanChangedError{load.ID}
	}
	return known, nil
}

// State tells what is recorded of a load; nil where it is unknown. Its Tables are
// those that were made or are about to be.
func (db *DB) State(ctx context.Context, load string) (*change.TableLoadState, error) {
	rows, err := db.rows(ctx, `SELECT plan, replaces::text, (published_at IS NOT NULL)::text FROM godwit.load WHERE load_id = $1`, load)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	state := &change.TableLoadState{
		TableLoad: change.TableLoad{ID: load, Plan: rows[0][0], Replace: rows[0][1] == "true"},
		Published: rows[0][2] == "true",
	}
	rows, err = db.rows(ctx, `SELECT table_schema, table_name FROM godwit.loaded_table WHERE load_id = $1 ORDER BY 1, 2`, load)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		state.Tables = append(state.Tables, change.TableName{Schema: row[0], Name: row[1]})
	}
	rows, err = db.rows(ctx, `SELECT sum(loaded)::bigint, sum(refused)::bigint, sum(filtered)::bigint, item FROM godwit.batch WHERE load_id = $1 GROUP BY item ORDER BY item`, load)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		counts, err := countsOf(row)
		if err != nil {
			return nil, err
		}
		state.Items = append(state.Items, change.ItemState{ID: row[3], Counts: counts})
	}
	return state, nil
}

// Refused hands each row that a load refused to yield, by item and row.
func (db *DB) Refused(ctx context.Context, load string, yield func(item string, r change.Refusal) error) error {
	return db.Query(ctx, func(row [][]byte) error {
		n, err := strconv.ParseInt(string(row[1]), 10, 64)
		if err != nil {
			return err
		}
		return yield(string(row[0]), change.Refusal{Row: n, Column: string(row[2]), Reason: string(row[3])})
	}, `SELECT item, row_number, column_name, reason FROM godwit.refusal WHERE load_id = $1 ORDER BY item, row_number`, load)
}

// Publish marks a load as complete. Doing it again changes nothing.
func (db *DB) Publish(ctx context.Context, load string) error {
	n, err := db.Exec(ctx, `UPDATE godwit.load SET published_at = coalesce(published_at, now()) WHERE load_id = $1`, load)
	if err != nil {
		return fmt.Errorf("publish load %s: %w", load, err)
	}
	if n == 0 {
		return &UnknownLoadError{load}
	}
	return nil
}

// runOf locks a load for the transaction, so that nobody ends it meanwhile, and
// returns its run.
func (s *session) runOf(ctx context.Context, load string) (run string, err error) {
	n, err := s.query(ctx, func(row [][]byte) error {
		run = string(row[0])
		return nil
	}, `SELECT run FROM godwit.load WHERE load_id = $1 FOR KEY SHARE`, load)
	if err == nil && n == 0 {
		return "", &UnknownLoadError{load}
	}
	return run, err
}

// end ends a load: from its return on, nothing that was begun for it commits, and
// its bookkeeping is gone but for the names of its tables. Doing it again does the
// rest of what a call that ended early left.
func (db *DB) end(ctx context.Context, load string) error {
	// First the row, which whoever takes an item over locks, so that no claim is
	// made any more; then the claims, which every transaction of rows locks; then
	// what is read by nobody.
	if _, err := db.Exec(ctx, `DELETE FROM godwit.load WHERE load_id = $1`, load); err != nil {
		return fmt.Errorf("end load %s: %w", load, err)
	}
	return db.purge(ctx, load)
}

// purge removes what is recorded of a load that has no row. Where it gets one
// meanwhile, what is recorded from then on stays: a statement sees either both
// or neither.
func (db *DB) purge(ctx context.Context, load string) error {
	for _, t := range []struct{ table, key string }{
		{"claim", "load_id, item, epoch"},
		{"batch", "load_id, item, first_row"},
		{"refusal", "load_id, item, row_number"},
		{"job", "load_id, table_schema, table_name, object_name"},
	} {
		sql := fmt.Sprintf(`DELETE FROM godwit.%[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM godwit.%[1]s WHERE load_id = $1 LIMIT %[3]d)
			AND NOT EXISTS (SELECT 1 FROM godwit.load WHERE load_id = $1)`, t.table, t.key, purgeRows)
		for {
			n, err := db.Exec(ctx, sql, load)
			if err != nil {
				return fmt.Errorf("remove the bookkeeping of load %s: %w", load, err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// countsOf reads the first three values of a row.
func countsOf(row []string) (c change.Counts, err error) {
	for i, n := range []*int64{&c.Loaded, &c.Refused, &c.Filtered} {
		if *n, err = strconv.ParseInt(row[i], 10, 64); err != nil {
			return c, fmt.Errorf("decode a count of the bookkeeping: %w", err)
		}
	}
	return c, nil
}
