package target

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// Row looks one revision up, by the name of its table in the target or in the
// ledger; an empty schema is the one that has the table. It changes nothing. The
// error says what there is: which tables, which versions of the document.
func (db *DB) Row(ctx context.Context, schema, table, document string, version int64) (*change.StoredRow, error) {
	t, err := db.shown(ctx, schema, table)
	if err != nil {
		return nil, err
	}
	params := []Param{{"document", document}, {"version", version}}
	var rows []change.StoredRow
	err = db.Query(ctx, &rows, `SELECT ql_audit->>'ql_strand' AS "strand", (ql_audit->>'ql_blockseq')::bigint AS "block", ql_audit->>'ql_rev_hash' AS "hash",
  coalesce((ql_audit->>'ql_redacted')::boolean, false) AS "redacted", coalesce(ql_audit->>'ql_object', '') AS "object",
  coalesce((ql_audit->>'ql_offset')::bigint, 0) AS "offset", coalesce((ql_audit->>'ql_revision')::bigint, 0) AS "revision"
FROM `+Quote(t.Schema, t.relation())+` WHERE doc_id = :document AND version = :version`, params...)
	if err != nil {
		return nil, fmt.Errorf("read version %d of document %s in %s.%s: %w", version, document, t.Schema, t.relation(), err)
	}
	if len(rows) == 0 {
		return nil, db.noVersion(ctx, t, document, version)
	}
	r := &rows[0]
	r.Schema, r.Table = t.Schema, t.relation()
	var loads []struct{ ID string }
	err = db.Query(ctx, &loads, `SELECT load_id AS id FROM godwit.load
WHERE state = 'published' AND target_schema = :schema AND strand = :strand AND first_block <= :block AND last_block >= :block
ORDER BY published_at DESC, load_id`, Param{"schema", t.Schema}, Param{"strand", r.Strand}, Param{"block", r.Block})
	if err != nil {
		return nil, fmt.Errorf("look for loads with block %d in schema %s: %w", r.Block, t.Schema, err)
	}
	for _, l := range loads {
		r.Loads = append(r.Loads, l.ID)
	}
	return r, nil
}

// A shownTable is a pair of tables that loads show.
type shownTable struct {
	Schema, Current, History string
	Kept                     bool // there is a history
	Exact                    bool // by its name in the target, not in the ledger
}

func (t *shownTable) relation() string {
	if t.Kept {
		return t.History
	}
	return t.Current
}

// shown finds a table by one of its names.
func (db *DB) shown(ctx context.Context, schema, table string) (*shownTable, error) {
	var found []shownTable
	err := db.Query(ctx, &found, `SELECT DISTINCT l.target_schema AS "schema", t.current_name AS "current", t.history_name AS "history",
  to_regclass(format('%I.%I', l.target_schema, t.history_name)) IS NOT NULL AS "kept", :table IN (t.current_name, t.history_name) AS "exact"
FROM godwit.load l JOIN godwit.load_table t USING (load_id)
WHERE l.state = 'published' AND (:schema = '' OR l.target_schema = :schema) AND (:table IN (t.current_name, t.history_name)
  OR EXISTS (SELECT FROM godwit.load_source s WHERE s.load_id = t.load_id AND s.current_name = t.current_name AND s.table_name = :table))
ORDER BY "exact" DESC, 1, 2`, Param{"schema", schema}, Param{"table", table})
	if err != nil {
		return nil, fmt.Errorf("look for table %s: %w", table, err)
	}
	if len(found) == 0 {
		return nil, db.noTable(ctx, schema, table)
	}
	var others []string
	for _, t := range found {
		if t.Exact == found[0].Exact {
			others = append(others, t.Schema+"."+t.Current)
		}
	}
	if len(others) > 1 {
		return nil, fmt.Errorf("table %s may be any of %s: give Schema, and the table's name there", table, strings.Join(others, ", "))
	}
	return &found[0], nil
}

// toldNames is how many names or versions an error lists.
const toldNames = 30

func list(names []string) string {
	if len(names) > toldNames {
		names = append(names[:toldNames:toldNames], "and others")
	}
	return strings.Join(names, ", ")
}

// noTable says which tables there are.
func (db *DB) noTable(ctx context.Context, schema, table string) error {
	var there []struct{ Name string }
	err := db.Query(ctx, &there, `SELECT DISTINCT l.target_schema || '.' || t.current_name AS name FROM godwit.load l JOIN godwit.load_table t USING (load_id)
WHERE l.state = 'published' AND (:schema = '' OR l.target_schema = :schema) ORDER BY 1 LIMIT 31`, Param{"schema", schema})
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	var names []string
	for _, t := range there {
		names = append(names, t.Name)
	}
	in := ""
	if schema != "" {
		in = " in schema " + schema
	}
	return fmt.Errorf("no load shows a table %s%s: there are %s", table, in, cmp.Or(list(names), "none"))
}

// noVersion says which versions there are, or why this one is not.
func (db *DB) noVersion(ctx context.Context, t *shownTable, document string, version int64) error {
	var there []struct{ Version int64 }
	err := db.Query(ctx, &there, `SELECT version FROM `+Quote(t.Schema, t.relation())+` WHERE doc_id = :document ORDER BY version LIMIT 31`, Param{"document", document})
	if err != nil {
		return fmt.Errorf("list the versions of document %s in %s.%s: %w", document, t.Schema, t.relation(), err)
	}
	var aside []struct {
		Object, Reason string
		Block          int64
	}
	err = db.Query(ctx, &aside, `SELECT q.object, q.block, q.reason FROM godwit.quarantine q JOIN godwit.load l USING (load_id) JOIN godwit.load_source s USING (load_id, table_id)
WHERE l.state = 'published' AND l.target_schema = :schema AND s.current_name = :current AND q.doc_id = :document AND q.version = :version LIMIT 1`,
		Param{"schema", t.Schema}, Param{"current", t.Current}, Param{"document", document}, Param{"version", version})
	if err != nil {
		return fmt.Errorf("look whether version %d of document %s was set aside: %w", version, document, err)
	}
	var versions []string
	for _, v := range there {
		versions = append(versions, strconv.FormatInt(v.Version, 10))
	}
	switch {
	case len(aside) > 0:
		return fmt.Errorf("version %d of document %s is no row of %s.%s: it was set aside, block %d in object %s: %s", version, document, t.Schema, t.relation(), aside[0].Block, aside[0].Object, aside[0].Reason)
	case len(versions) == 0:
		return fmt.Errorf("%s.%s has no document %s: give its id, which stands in the column doc_id", t.Schema, t.relation(), document)
	case !t.Kept:
		return fmt.Errorf("%s.%s has document %s in version %s only, since no history was loaded", t.Schema, t.relation(), document, list(versions))
	}
	return fmt.Errorf("document %s of %s.%s has no version %d: there are %s", document, t.Schema, t.relation(), version, list(versions))
}
