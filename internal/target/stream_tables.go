package target

import (
	"context"
	"encoding/json"
	"fmt"

	"godwit/internal/change"
)

// EnsureTables gives ledger tables that a stream meets first their target tables,
// with keys, indexes and heads. Doing it again changes nothing. A target table
// that exists must have exactly the columns that the mapping makes.
func (db *DB) EnsureTables(ctx context.Context, s change.Stream, tables []change.LoadTable, sources []change.LoadSource) error {
	return nil
}

// RowTables describes tables of the target, in the order asked for, from its
// catalog. A table that is not there is left out.
func (db *DB) RowTables(ctx context.Context, names []change.TableName) ([]change.RowTable, error) {
	list, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	var r []change.RowTable
	if err := db.answer(ctx, &r, `SELECT godwit.row_tables(:names::jsonb)::text AS result`, Param{"names", string(list)}); err != nil {
		return nil, fmt.Errorf("describe %d tables: %w", len(names), err)
	}
	return r, nil
}
