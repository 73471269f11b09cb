package target

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"godwit/internal/change"
)

// The phases of a load of tables, in order.
const (
	PhaseTables   = "tables"   // hidden tables
	PhaseImport   = "import"   // of parts, whose tasks the caller makes: TableImport
	PhaseKeys     = "keys"     // primary keys and unique constraints; where identities go on; statistics
	PhaseIndexes  = "indexes"  // indexes that no constraint owns
	PhaseForeign  = "foreign"  // foreign keys, which hold for nothing yet
	PhaseValidate = "validate" // the same, held against the rows
	PhaseDigests  = "digests"  // of rows, by the statement that the caller gives: TableDigest
	PhaseRepair   = "repair"   // of rows that differ, whose task the caller makes: TableRepairs; PhaseForeign is next
	PhaseVisible  = "visible"  // everything at once
)

// A TableImport is the arguments of a task of PhaseImport: a part of a table,
// COPY text of the columns that the load writes.
type TableImport struct {
	Table  int    `json:"table"` // index into the plans
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Region string `json:"region"`
	Rows   int64  `json:"rows"` // that it must have
}

// A TableDigest is the arguments of a task of PhaseDigests: a statement over the
// hidden table that answers bucket, rows, high and low.
type TableDigest struct {
	SQL string `json:"sql"`
}

// TableRepairs are the arguments of a task of PhaseRepair. Its foreign keys and
// digests are made anew behind it.
type TableRepairs struct {
	Repairs []TableRepair `json:"repairs"`
}

// A TableRepair puts rows of one table right.
type TableRepair struct {
	Table int `json:"table"` // index into the plans
	// Keys are the rows that go out, COPY text of the columns of the table's key;
	// Rows those that come in then, as those of a TableImport. nil is none.
	Keys *TablePart `json:"keys,omitempty"`
	Rows *TablePart `json:"rows,omitempty"`
}

// A TablePart is COPY text on S3, compressed.
type TablePart struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Region string `json:"region"`
	Rows   int64  `json:"rows"` // that it must have
}

// A PlanError says that a load goes by another plan than it began with.
type PlanError struct{ Load string }

func (e *PlanError) Error() string {
	return fmt.Sprintf("load %s began with another plan of its tables: start it again with the same input, or with \"Replace\": true", e.Load)
}

// A LoadedError says that a table of the target is there.
type LoadedError struct {
	Table change.TableName
	Load  string // that brought it; "" is none
}

func (e *LoadedError) Error() string {
	if e.Load == "" {
		return fmt.Sprintf("table %s.%s exists, and no load of a snapshot made it: rename it, or bring the table under another name or into another schema by the rules of Mapping", e.Table.Schema, e.Table.Name)
	}
	return fmt.Sprintf("table %s.%s was brought by load %s: choose another schema by the rules of Mapping, or start again with \"Replace\": true to drop what that load brought into the same tables", e.Table.Schema, e.Table.Name, e.Load)
}

// BeginTables registers a load of tables, reserves its schemas and makes hidden
// ones, or finds the load and says whether it is shown. Doing it again is harmless.
// It refuses with a *SchemaError a schema that is closed to the loader, with a
// *Conflict one that another load is under way into, and with a *LoadedError a
// table that is there, unless a load of tables brought it and may be replaced.
func (db *DB) BeginTables(ctx context.Context, l change.TableLoad) (*change.TableLoadState, error) {
	type table struct {
		Schema string `json:"schema"`
		Name   string `json:"name"`
		Stage  string `json:"stage"`
	}
	tables := []table{}
	for _, t := range l.Tables {
		tables = append(tables, table{t.Schema, t.Name, l.Stage(t.Schema)})
	}
	list, err := json.Marshal(tables)
	if err != nil {
		return nil, err
	}
	var r struct {
		State, Plan         string
		Closed, Owner, Role string
		Running, Schema     string
		Tables              bool
		Taken, Load         string
	}
	err = db.answer(ctx, &r, `SELECT godwit.register_tables(:load, :plan, :replace, :tables::jsonb)::text AS result`,
		Param{"load", l.ID}, Param{"plan", l.Plan}, Param{"replace", l.Replace}, Param{"tables", string(list)})
	if err != nil {
		return nil, fmt.Errorf("register load %s: %w", l.ID, err)
	}
	switch {
	case r.Closed != "":
		return nil, &SchemaError{Schema: r.Closed, Owner: r.Owner, Role: r.Role}
	case r.Running != "":
		return nil, &Conflict{Schema: r.Schema, Running: r.Running, Tables: r.Tables}
	case r.Taken != "":
		return nil, &LoadedError{Table: change.TableName{Schema: r.Schema, Name: r.Taken}, Load: r.Load}
	case r.Plan != l.Plan:
		return nil, &PlanError{l.ID}
	}
	return &change.TableLoadState{TableLoad: l, Published: r.State == "published"}, nil
}

// TableTasks are the tasks of a phase that TableTasks knows by the plans alone:
// those of PhaseImport are the caller's.
func (db *DB) TableTasks(phase string, plans []change.TablePlan) ([]change.Task, error) {
	work, err := tableWork(&change.TableLoad{}, plans, phase)
	if err != nil {
		return nil, err
	}
	tasks := []change.Task{}
	for _, w := range work {
		tasks = append(tasks, change.Task{Phase: phase, Name: w.name})
	}
	return tasks, nil
}

// RunTables does a task of a load of tables, as Run does. Tasks of PhaseImport,
// PhaseDigests and PhaseRepair have arguments; those of all others follow from the plans, which may
// hold defaults and checks that are nobody else's business.
func (db *DB) RunTables(ctx context.Context, l change.TableLoad, plans []change.TablePlan, t change.Task, look bool) (done bool, err error) {
	var args any
	switch t.Phase {
	case PhaseImport, PhaseRepair:
		of := importArgs
		if t.Phase == PhaseRepair {
			of = repairArgs
		}
		if args, err = of(&l, plans, t); err != nil {
			return false, fmt.Errorf("%s %s: %w", t.Phase, t.Name, err)
		}
	default:
		work, err := tableWork(&l, plans, t.Phase)
		if err != nil {
			return false, err
		}
		at := slices.IndexFunc(work, func(w tableTask) bool { return w.name == t.Name })
		if at < 0 {
			return false, fmt.Errorf("phase %s of load %s has no task %s", t.Phase, l.ID, t.Name)
		}
		if args, err = work[at].args(); err != nil {
			return false, fmt.Errorf("%s %s: %w", t.Phase, t.Name, err)
		}
	}
	if t.Phase != PhaseDigests {
		if t.Args, err = json.Marshal(args); err != nil {
			return false, err
		}
	}
	return db.Run(ctx, l.ID, t, look)
}

func importArgs(l *change.TableLoad, plans []change.TablePlan, t change.Task) (any, error) {
	args := struct {
		TableImport
		Schema   string `json:"schema"`
		Relation string `json:"relation"`
		Columns  string `json:"columns,omitempty"`
	}{}
	if err := json.Unmarshal(t.Args, &args.TableImport); err != nil {
		return nil, err
	}
	if args.Table < 0 || args.Table >= len(plans) {
		return nil, fmt.Errorf("there is no table %d", args.Table)
	}
	plan := &plans[args.Table]
	args.Schema, args.Relation, args.Columns = l.Stage(plan.Target.Schema), plan.Target.Name, loadedColumns(plan)
	return args, nil
}

// loadedColumns is the list of columns that a load writes, "" for all.
func loadedColumns(plan *change.TablePlan) string {
	var columns []string
	for _, c := range plan.Columns {
		if len(c.From) > 0 {
			columns = append(columns, c.Name)
		}
	}
	if len(columns) == len(plan.Columns) {
		return ""
	}
	return quoteAll(columns)
}

func repairArgs(l *change.TableLoad, plans []change.TablePlan, t change.Task) (any, error) {
	type part struct {
		*TablePart
		Columns string `json:"columns,omitempty"`
	}
	type repair struct {
		Schema     string          `json:"schema"`
		Relation   string          `json:"relation"`
		Key        []string        `json:"key"`
		Keys       *TablePart      `json:"keys,omitempty"`
		Rows       *part           `json:"rows,omitempty"`
		Identities []tableIdentity `json:"identities,omitempty"`
	}
	var given TableRepairs
	if err := json.Unmarshal(t.Args, &given); err != nil {
		return nil, err
	}
	var args struct {
		Repairs []repair `json:"repairs"`
	}
	for _, g := range given.Repairs {
		if g.Table < 0 || g.Table >= len(plans) {
			return nil, fmt.Errorf("there is no table %d", g.Table)
		}
		plan := &plans[g.Table]
		if g.Keys != nil && len(plan.Key) == 0 {
			return nil, fmt.Errorf("table %s.%s has no key", plan.Target.Schema, plan.Target.Name)
		}
		r := repair{Schema: l.Stage(plan.Target.Schema), Relation: plan.Target.Name, Key: plan.Key, Keys: g.Keys}
		if g.Rows != nil {
			r.Rows, r.Identities = &part{g.Rows, loadedColumns(plan)}, identities(plan)
		}
		args.Repairs = append(args.Repairs, r)
	}
	return args, nil
}

// orphansPage is how many rows of keys, each of some kilobytes at most, an answer
// of the Data API takes for certain.
const orphansPage = 50

// TableOrphans lists the rows that a task of PhaseValidate found to refer to
// nothing, at most 1,000: the texts of the table's key, or of the referring columns
// where it has none. These are values: whoever shows them decides to whom.
func (db *DB) TableOrphans(ctx context.Context, load, task string) ([][]string, error) {
	list := [][]string{}
	for {
		var page []struct{ Keys string }
		err := db.Query(ctx, &page, `SELECT o.keys::text AS keys FROM godwit.task t CROSS JOIN LATERAL jsonb_array_elements(t.counts->'orphans') WITH ORDINALITY AS o (keys, n)
WHERE t.load_id = :load AND t.phase = 'validate' AND t.name = :task AND o.n > :after ORDER BY o.n LIMIT :page`,
			Param{"load", load}, Param{"task", task}, Param{"after", int64(len(list))}, Param{"page", int64(orphansPage)})
		if err != nil {
			return nil, fmt.Errorf("list the orphans of %s: %w", task, err)
		}
		for _, p := range page {
			var keys []string
			if err := json.Unmarshal([]byte(p.Keys), &keys); err != nil {
				return nil, fmt.Errorf("list the orphans of %s: %w", task, err)
			}
			list = append(list, keys)
		}
		if len(page) < orphansPage {
			return list, nil
		}
	}
}

// TableBroken lists the tasks of PhaseValidate that found rows that refer to
// nothing, and how many each lists.
func (db *DB) TableBroken(ctx context.Context, load string) (map[string]int64, error) {
	var rows []struct {
		Name   string
		Listed int64
	}
	err := db.Query(ctx, &rows, `SELECT t.name, jsonb_array_length(t.counts->'orphans')::bigint AS listed FROM godwit.task t
WHERE t.load_id = :load AND t.phase = 'validate' AND jsonb_typeof(t.counts->'orphans') = 'array'`, Param{"load", load})
	if err != nil {
		return nil, fmt.Errorf("list the foreign keys of load %s that do not hold: %w", load, err)
	}
	broken := map[string]int64{}
	for _, r := range rows {
		broken[r.Name] = r.Listed
	}
	return broken, nil
}

// TableSums visits the digests that the task of a table left, bucket by bucket:
// rows, and the sums as decimal numbers.
func (db *DB) TableSums(ctx context.Context, load string, table change.TableName, visit func(bucket int, rows, high, low string) error) error {
	var rows []struct{ Bucket, Rows, High, Low string }
	// One row at least: the task's, whose counts are NULL where the table has no row.
	err := db.Query(ctx, &rows, `SELECT coalesce(d.bucket, '') AS bucket, coalesce(d.rows, '') AS rows, coalesce(d.high, '') AS high, coalesce(d.low, '') AS low FROM godwit.task t
LEFT JOIN LATERAL jsonb_to_recordset(t.counts) AS d (bucket text, rows text, high text, low text) ON true
WHERE t.load_id = :load AND t.phase = 'digests' AND t.name = :table`, Param{"load", load}, Param{"table", tableTaskName(table)})
	if err != nil {
		return fmt.Errorf("read the digests of table %s.%s: %w", table.Schema, table.Name, err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("the digests of table %s.%s were not taken, or a repair took them back: redrive the load's latest execution", table.Schema, table.Name)
	}
	for _, r := range rows {
		if r.Bucket == "" {
			continue
		}
		bucket, err := strconv.Atoi(r.Bucket)
		if err != nil {
			return fmt.Errorf("read the digests of table %s.%s: %w", table.Schema, table.Name, err)
		}
		if err := visit(bucket, r.Rows, r.High, r.Low); err != nil {
			return fmt.Errorf("read the digests of table %s.%s: %w", table.Schema, table.Name, err)
		}
	}
	return nil
}

// OpenSchemas lets the loader make tables in schemas that exist. It acts as the
// admin. One that the admin may not open stays closed: BeginTables tells.
func OpenSchemas(ctx context.Context, admin *DB, role string, schemas []string) error {
	list, err := json.Marshal(schemas)
	if err != nil {
		return err
	}
	var closed []struct{ Name string }
	err = admin.Query(ctx, &closed, `SELECT n.nspname::text AS name FROM pg_catalog.pg_namespace n JOIN pg_catalog.jsonb_array_elements_text(:schemas::jsonb) AS s ON s = n.nspname
WHERE NOT (pg_catalog.has_schema_privilege(:role, n.oid, 'USAGE') AND pg_catalog.has_schema_privilege(:role, n.oid, 'CREATE'))
AND (pg_catalog.pg_has_role(n.nspowner, 'USAGE') OR pg_catalog.has_schema_privilege(n.oid, 'CREATE WITH GRANT OPTION'))`,
		Param{"schemas", string(list)}, Param{"role", role})
	if err != nil {
		return fmt.Errorf("look at the schemas: %w", err)
	}
	for _, s := range closed {
		if err := admin.Exec(ctx, "GRANT USAGE, CREATE ON SCHEMA "+Quote(s.Name)+" TO "+Quote(role)); err != nil {
			return fmt.Errorf("let %s make tables in schema %s: %w", role, s.Name, err)
		}
	}
	return nil
}
