package target

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
)

// What the loader installs, in this order, each in a transaction: bookkeeping and
// tasks, what makes a load visible, what takes it away, and loads of tables.
var (
	//go:embed install.sql
	installSQL string
	//go:embed publish.sql
	publishSQL string
	//go:embed unload.sql
	unloadSQL string
	//go:embed snapshot.sql
	snapshotSQL string
)

// A Conflict says that another load is under way into the same schema.
type Conflict struct {
	Schema, Running string
	Tables          bool // the other is a load of tables
}

func (e *Conflict) Error() string {
	if e.Tables {
		return fmt.Sprintf("the load %s of a snapshot is under way into schema %s; let it finish or redrive it, or replace it with a load of the same tables and \"Replace\": true",
			e.Running, e.Schema)
	}
	return fmt.Sprintf("load %s is under way into schema %s; let it finish or redrive it, or start again with \"Abandon\": %q to remove what it left",
		e.Running, e.Schema, e.Running)
}

// A SchemaError says that a target schema is neither free nor ours.
type SchemaError struct {
	Schema, Owner, Role string
	Relations           int64 // that it holds
}

func (e *SchemaError) Error() string {
	if e.Relations > 0 {
		return fmt.Sprintf("schema %s belongs to %s and holds %d relations that no load made: choose another Schema", e.Schema, e.Owner, e.Relations)
	}
	return fmt.Sprintf("schema %s belongs to %s: choose another Schema, or let the loader use it: GRANT USAGE, CREATE ON SCHEMA %s TO %s", e.Schema, e.Owner, Quote(e.Schema), Quote(e.Role))
}

// checkSchema refuses a schema that is not free (absent, or empty and open to
// the loader) and not ours (the loader's own, or loaded before).
func (db *DB) checkSchema(ctx context.Context, schema string) error {
	var found []struct {
		Owner, Role string
		Ours, Open  bool
		Relations   int64
	}
	err := db.Query(ctx, &found, `SELECT pg_get_userbyid(n.nspowner)::text AS owner, current_user::text AS role,
  pg_has_role(n.nspowner, 'USAGE') OR EXISTS (SELECT FROM godwit.load l WHERE l.target_schema = :schema AND l.state = 'published') AS ours,
  has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') AS open,
  (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid)::bigint AS relations
FROM pg_namespace n WHERE n.nspname = :schema`, Param{"schema", schema})
	if err != nil {
		return fmt.Errorf("look at schema %s: %w", schema, err)
	}
	if len(found) == 0 {
		return nil
	}
	f := found[0]
	if f.Open && (f.Ours || f.Relations == 0) {
		return nil
	}
	e := &SchemaError{Schema: schema, Owner: f.Owner, Role: f.Role}
	if !f.Ours {
		e.Relations = f.Relations
	}
	return e
}

// A GapError says that a load would leave blocks between itself and what its
// schema has of the same ledger.
type GapError struct{ Schema, Have, Bring string }

func (e *GapError) Error() string {
	return fmt.Sprintf("schema %s has %s of this ledger and the archive brings %s: the blocks between them would be missing; load the archive that has them first, or load without them with \"AcceptGaps\": true", e.Schema, e.Have, e.Bring)
}

// checkGap refuses a load that neither overlaps nor continues what was loaded of
// its ledger: nothing would ever tell that blocks are missing in between.
func (db *DB) checkGap(ctx context.Context, l change.Load) error {
	var found []struct {
		Loads, Touching int64
		Have            string
	}
	err := db.Query(ctx, &found, `SELECT count(*)::bigint AS loads,
  (count(*) FILTER (WHERE first_block <= :last + 1 AND last_block >= :first - 1))::bigint AS touching,
  coalesce(string_agg('blocks ' || first_block || ' to ' || last_block, ', ' ORDER BY first_block), '') AS have
FROM (SELECT first_block, greatest(last_block, (SELECT max(s.gap_free) FROM godwit.stream s WHERE s.load_id = o.load_id AND s.source = 'qldb')) AS last_block FROM godwit.load o
      WHERE target_schema = :schema AND strand = :strand AND state = 'published' AND load_id <> :load) AS l`,
		Param{"schema", l.Schema}, Param{"strand", l.Strand}, Param{"load", l.ID}, Param{"first", l.First}, Param{"last", l.Last})
	if err != nil {
		return fmt.Errorf("look at what schema %s has of the ledger: %w", l.Schema, err)
	}
	if len(found) != 1 || found[0].Loads == 0 || found[0].Touching > 0 {
		return nil
	}
	return &GapError{Schema: l.Schema, Have: found[0].Have, Bring: fmt.Sprintf("blocks %d to %d", l.First, l.Last)}
}

// Begin registers a load and reserves its schema. Published is true when this
// very load is already visible; one whose tables were all dropped since is loaded
// anew. Beginning again is harmless. A schema that is neither free nor ours is a
// *SchemaError, one that another load is under way into a *Conflict, and a load
// that would leave a gap to what is there a *GapError.
func (db *DB) Begin(ctx context.Context, l change.Load) (published bool, err error) {
	if err := db.checkSchema(ctx, l.Schema); err != nil {
		return false, err
	}
	if !l.Apart {
		if err := db.checkGap(ctx, l); err != nil {
			return false, err
		}
	}
	var rows []struct{ Result string }
	err = db.Query(ctx, &rows, `SELECT godwit.register(:load, :schema, :stage, :history, :strand, :first, :last)::text AS result`,
		Param{"load", l.ID}, Param{"schema", l.Schema}, Param{"stage", l.Stage()}, Param{"history", l.History},
		Param{"strand", l.Strand}, Param{"first", l.First}, Param{"last", l.Last})
	if err != nil {
		return false, fmt.Errorf("register load %s: %w", l.ID, err)
	}
	if len(rows) != 1 {
		return false, fmt.Errorf("register load %s: the database answered %d rows", l.ID, len(rows))
	}
	var r struct{ State, Running string }
	if err := json.Unmarshal([]byte(rows[0].Result), &r); err != nil {
		return false, fmt.Errorf("register load %s: decode the database's answer: %w", l.ID, err)
	}
	if r.Running != "" {
		return false, &Conflict{Schema: l.Schema, Running: r.Running}
	}
	return r.State == "published", nil
}

// Abandon removes everything of a load that is not published. A load that is
// not known is no error.
func (db *DB) Abandon(ctx context.Context, id string) error {
	if err := db.Exec(ctx, `SELECT godwit.abandon(:load)::text`, Param{"load", id}); err != nil {
		return fmt.Errorf("abandon load %s: %w", id, err)
	}
	return nil
}

// Stage creates the hidden tables of a load. Doing it again changes nothing. A
// target table that exists must have exactly the columns that the load brings.
func (db *DB) Stage(ctx context.Context, l change.Load, tables []change.LoadTable, sources []change.LoadSource) error {
	live, err := db.live(ctx, l.Schema, tables)
	if err != nil {
		return err
	}
	in := stageArgs{Tables: []stageTable{}, Sources: stageSources(sources)}
	for _, t := range tables {
		merge, err := merges(live, l, t)
		if err != nil {
			return err
		}
		x := stageTable{Current: t.Current.Name, History: t.History.Name, Merge: merge, Mapped: mapped(t)}
		for _, c := range []change.Table{t.History, t.Current} {
			ddl, err := createTable(l.Stage(), c)
			if err != nil {
				return err
			}
			x.DDL = append(x.DDL, ddl)
		}
		in.Tables = append(in.Tables, x)
	}
	args, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if err := db.Exec(ctx, `SELECT godwit.stage(:load, :args::jsonb)::text`, Param{"load", l.ID}, Param{"args", string(args)}); err != nil {
		return fmt.Errorf("create the hidden tables of load %s: %w", l.ID, err)
	}
	return nil
}

// stageArgs are the arguments of godwit.stage and godwit.ensure_tables.
type stageArgs struct {
	Tables  []stageTable  `json:"tables"`
	Sources []stageSource `json:"sources"`
}

type stageTable struct {
	Current string   `json:"current"`
	History string   `json:"history"`
	Mapped  []string `json:"mapped"`
	Merge   bool     `json:"merge"`
	DDL     []string `json:"ddl"`
}

type stageSource struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Current string `json:"current"`
	Active  bool   `json:"active"`
}

func stageSources(sources []change.LoadSource) []stageSource {
	out := make([]stageSource, len(sources))
	for i, s := range sources {
		out[i] = stageSource{s.ID, s.Name, s.Current, s.Active}
	}
	return out
}

// mapped lists the columns between version and ql_audit.
func mapped(t change.LoadTable) []string {
	columns := t.Current.Columns[2 : len(t.Current.Columns)-1]
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// countsTable is the table beside the loaded ones; publish.sql makes it.
const (
	countsTable   = "table_counts"
	countsColumns = "table_name text, table_id text, is_active boolean, revision_cnt bigint"
)

// A liveTable is what the target schema has under the name of a table of a load.
type liveTable struct {
	Table   string
	Columns string // "name type, …"
	Ours    bool   // godwit guards it with heads
}

// live finds what the target schema has under the names that a load will take,
// and refuses a schema in which the load could not be shown.
func (db *DB) live(ctx context.Context, schema string, tables []change.LoadTable) (map[string]liveTable, error) {
	names := []string{countsTable}
	for _, t := range tables {
		if t.Current.Name == countsTable || t.History.Name == countsTable {
			return nil, fmt.Errorf("a mapping makes table %s, which every load makes itself: choose another target", countsTable)
		}
		names = append(names, t.Current.Name, t.History.Name)
	}
	list, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	var rows []liveTable
	err = db.Query(ctx, &rows, `SELECT c.relname AS "table", string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS columns,
  to_regclass('godwit.' || godwit.head_table(:schema, c.relname)) IS NOT NULL AS ours
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = :schema AND c.relname IN (SELECT jsonb_array_elements_text(:names::jsonb)) GROUP BY c.relname`, Param{"schema", schema}, Param{"names", string(list)})
	if err != nil {
		return nil, fmt.Errorf("read the tables of schema %s: %w", schema, err)
	}
	out := map[string]liveTable{}
	for _, r := range rows {
		if r.Table == countsTable && r.Columns != countsColumns {
			return nil, fmt.Errorf("table %s.%s exists with columns (%s) where every load keeps (%s): rename it, or choose another Schema", schema, countsTable, r.Columns, countsColumns)
		}
		out[r.Table] = r
	}
	return out, nil
}

// merges tells whether a load adds to a table that exists, and refuses one that
// has other columns or only one of its two tables.
func merges(live map[string]liveTable, l change.Load, t change.LoadTable) (bool, error) {
	tables := []change.Table{t.Current}
	if l.History {
		tables = append(tables, t.History)
	}
	found := 0
	for _, x := range tables {
		got, ok := live[x.Name]
		if !ok {
			continue
		}
		found++
		var want []string
		for _, c := range x.Columns {
			ty, err := sqlType(c.Type)
			if err != nil {
				return false, err
			}
			want = append(want, c.Name+" "+formatType(ty))
		}
		// In any order: a column that a mapping came to have later was added at the end.
		if w := strings.Join(want, ", "); sorted(w) != sorted(got.Columns) {
			return false, fmt.Errorf("table %s.%s exists with columns (%s) where the mapping makes (%s): choose another Schema, or a mapping that makes those columns", l.Schema, x.Name, got.Columns, w)
		}
	}
	if _, ok := live[t.History.Name]; ok && !l.History {
		return false, fmt.Errorf("table %s.%s exists: the schema was loaded with its history, so a load with History none would leave gaps in it: choose another Schema, or History all", l.Schema, t.History.Name)
	}
	if found != 0 && found != len(tables) {
		return false, fmt.Errorf("schema %s has only one of the tables %s and %s: drop it or restore the other", l.Schema, t.Current.Name, t.History.Name)
	}
	if found != 0 && !live[t.Current.Name].Ours {
		return false, fmt.Errorf("table %s.%s exists, and no load made it: rename it, or choose another Schema", l.Schema, t.Current.Name)
	}
	return found != 0, nil
}

// sorted sorts a list of columns.
func sorted(columns string) string {
	all := strings.Split(columns, ", ")
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// formatType spells a type of sqlType as pg_catalog.format_type does.
func formatType(ty string) string {
	base, array := strings.CutSuffix(ty, "[]")
	switch {
	case base == "timestamptz":
		base = "timestamp with time zone"
	case base == "timestamp":
		base = "timestamp without time zone"
	case base == "time":
		base = "time without time zone"
	case strings.HasPrefix(base, "varchar("):
		base = "character varying" + base[len("varchar"):]
	}
	if array {
		base += "[]"
	}
	return base
}
