package target

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"godwit/internal/change"
)

// EnsureTables gives ledger tables that a stream meets first their target tables,
// with keys, indexes and heads. Doing it again changes nothing. A target table
// that exists must have exactly the columns that the mapping makes. A
// *StreamChangedError says that the stream was registered anew; SQLSTATE GW008
// that a table was dropped since it was loaded, or that the mapping now names
// another one for a ledger table.
func (db *DB) EnsureTables(ctx context.Context, s change.Stream, tables []change.LoadTable, sources []change.LoadSource) error {
	load := change.Load{ID: s.Load, Schema: s.Schema, History: s.History}
	live, err := db.live(ctx, s.Schema, tables)
	if err != nil {
		return err
	}
	in := stageArgs{Tables: []stageTable{}, Sources: stageSources(sources)}
	for _, t := range tables {
		if _, err := merges(live, load, t); err != nil {
			return err
		}
		x := stageTable{Current: t.Current.Name, History: t.History.Name, Mapped: mapped(t)}
		for _, c := range []change.Table{t.History, t.Current} {
			if c.Name == t.History.Name && !s.History {
				continue
			}
			create, err := createTable(s.Schema, c)
			if err != nil {
				return err
			}
			x.DDL = append(x.DDL, create, fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", Quote(s.Schema, c.Name), quoteAll(c.Key)))
			for _, index := range c.Indexes {
				unique := ""
				if index.Unique {
					unique = "UNIQUE "
				}
				x.DDL = append(x.DDL, fmt.Sprintf("CREATE %sINDEX ON %s (%s)", unique, Quote(s.Schema, c.Name), quoteAll(index.Columns)))
			}
		}
		in.Tables = append(in.Tables, x)
	}
	args, err := json.Marshal(in)
	if err != nil {
		return err
	}
	err = db.Exec(ctx, `SELECT godwit.ensure_tables(:stream, :generation, :args::jsonb)::text`,
		Param{"stream", s.Name}, Param{"generation", s.Generation}, Param{"args", string(args)})
	if sqlStateOf(err) == "GW007" {
		now, err := db.Stream(ctx, s.Name)
		if err != nil {
			return err
		}
		return &StreamChangedError{Stream: s.Name, Generation: now.Generation}
	}
	if err != nil {
		return fmt.Errorf("make the tables of %d ledger tables that stream %s met first: %w", len(sources), s.Name, err)
	}
	return nil
}

// quoteAll quotes a list of columns.
func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = Quote(n)
	}
	return strings.Join(quoted, ", ")
}

// RowTables describes tables of the target as its catalog does, in the order asked
// for. A table that is not there is left out.
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
