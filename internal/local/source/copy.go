package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
)

// CopyTables copies tables of a snapshot of the source to tables of the same
// columns, by plain COPY, and counts their rows. A user does the same with psql or
// pg_dump.
func CopyTables(ctx context.Context, from, to *pgx.Conn, snapshot string, tables []change.TableName) (rows int64, err error) {
	tx, err := from.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }()
	if _, err := tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+snapshot+`'`); err != nil {
		return 0, err
	}
	for _, t := range tables {
		r, w := io.Pipe()
		sent := make(chan error, 1)
		go func() {
			_, err := from.PgConn().CopyTo(ctx, w, `COPY `+quoted(t.Schema, t.Name)+` TO STDOUT`)
			w.CloseWithError(err)
			sent <- err
		}()
		tag, err := to.PgConn().CopyFrom(ctx, r, `COPY `+quoted(t.Schema, t.Name)+` FROM STDIN`)
		r.CloseWithError(err)
		if err = errors.Join(err, <-sent); err != nil {
			return rows, fmt.Errorf("copy %s.%s: %w", t.Schema, t.Name, err)
		}
		rows += tag.RowsAffected()
	}
	return rows, nil
}

// A Difference is how a table of the target differs from the source's.
type Difference struct {
	Table                     change.TableName
	Rows                      int64 // in the source
	Missing, Extra, Different int64
	Example                   string // the first difference, by key
}

// Wrong counts all differences.
func (d *Difference) Wrong() int64 { return d.Missing + d.Extra + d.Different }

func (d *Difference) String() string {
	return fmt.Sprintf("%s.%s: %d rows missing, %d too many, %d different; %s", d.Table.Schema, d.Table.Name, d.Missing, d.Extra, d.Different, d.Example)
}

// CompareTables holds every value of every row of tables of the target against
// the source's, as their text. Rows belong together by the target's primary keys.
func CompareTables(ctx context.Context, source, target *pgx.Conn, tables []change.TableName) ([]Difference, error) {
	var all []Difference
	for _, t := range tables {
		columns, keys, err := columnsOf(ctx, target, t)
		if err != nil {
			return nil, err
		}
		var sides [2]map[string][]string
		for i, db := range []*pgx.Conn{source, target} {
			if sides[i], err = contents(ctx, db, t, columns, keys); err != nil {
				return nil, fmt.Errorf("read %s.%s: %w", t.Schema, t.Name, err)
			}
		}
		all = append(all, compare(t, columns, sides[0], sides[1]))
	}
	return all, nil
}

func compare(t change.TableName, columns []string, want, got map[string][]string) Difference {
	d := Difference{Table: t, Rows: int64(len(want))}
	first := ""
	note := func(count *int64, key, what string) {
		*count++
		if first == "" || key < first {
			first, d.Example = key, fmt.Sprintf("row %s is %s", key, what)
		}
	}
	for key, w := range want {
		g, ok := got[key]
		if !ok {
			note(&d.Missing, key, "missing")
			continue
		}
		var differ []string
		for i := range w {
			if w[i] != g[i] {
				differ = append(differ, columns[i])
			}
		}
		if len(differ) > 0 {
			note(&d.Different, key, "different in "+strings.Join(differ, ", "))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			note(&d.Extra, key, "too many")
		}
	}
	return d
}

// columnsOf lists a table's columns, and those of its key.
func columnsOf(ctx context.Context, db *pgx.Conn, t change.TableName) (columns, keys []string, err error) {
	err = db.QueryRow(ctx, `SELECT array_agg(attname::text ORDER BY attnum),
  (SELECT array_agg(k.attname::text ORDER BY k.attnum) FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey) WHERE i.indrelid = a.attrelid AND i.indisprimary)
FROM pg_attribute a WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid`, quoted(t.Schema, t.Name)).Scan(&columns, &keys)
	if err == nil && keys == nil {
		err = errors.New("it has no primary key")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("describe %s.%s: %w", t.Schema, t.Name, err)
	}
	return columns, keys, nil
}

// contents reads a table by key: of each column its text, told from no value.
func contents(ctx context.Context, db *pgx.Conn, t change.TableName, columns, keys []string) (map[string][]string, error) {
	texts := func(names []string) string {
		var all []string
		for _, n := range names {
			all = append(all, `coalesce('=' || `+pgx.Identifier{n}.Sanitize()+`::text, '')`)
		}
		return "ARRAY[" + strings.Join(all, ", ") + "]"
	}
	rows, err := db.Query(ctx, `SELECT `+texts(keys)+`, `+texts(columns)+` FROM `+quoted(t.Schema, t.Name))
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	var key, row []string
	_, err = pgx.ForEachRow(rows, []any{&key, &row}, func() error {
		id := joined(key)
		if _, ok := all[id]; ok {
			return fmt.Errorf("key %s is there twice", id)
		}
		all[id] = append([]string(nil), row...)
		return nil
	})
	return all, err
}
