package dsql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// buildTries is how often an index or a validation that failed for no reason of
// the data is begun before the caller hears of it.
const buildTries = 3

// A part is an index or a foreign key that is to be built.
type part struct {
	table change.TableName
	name  string
	index *change.IndexPlan // or
	key   *change.Foreign
}

// A built says what the catalog has of a part.
type built struct {
	exists, valid, constraint bool
	object                    string // its oid
}

// A job is one that DSQL works on, or did until half an hour ago.
type job struct{ id, status, details, object string }

// An asked is what was last asked of DSQL for a part.
type asked struct {
	job   string // "" before the first
	tries int
}

// id names a part among those of its load.
func (p part) id() [3]string { return [3]string{p.table.Schema, p.table.Name, p.name} }

// Build begins what a phase (change.BuildIndexes, change.BuildForeignKeys) has to
// build, settles what has ended, and builds anew what DSQL left invalid. Call it
// again while something is running, at most every five minutes. What cannot be
// built is told once: the call after that begins it anew, for those who mended
// the data.
//
// DSQL forgets a job half an hour after its end, so that the catalog decides: an
// index that is valid, a constraint that is validated, is done, whoever built it
// and whatever is recorded.
func (db *DB) Build(ctx context.Context, load, phase string, plans []change.TablePlan) (change.BuildState, error) {
	var parts []part
	var names []change.TableName
	for i := range plans {
		p := &plans[i]
		names = append(names, p.Target)
		switch phase {
		case change.BuildIndexes:
			for j := range p.Indexes {
				parts = append(parts, part{table: p.Target, name: p.Indexes[j].Name, index: &p.Indexes[j]})
			}
		case change.BuildForeignKeys:
			for j := range p.Foreign {
				parts = append(parts, part{table: p.Target, name: p.Foreign[j].Name, key: &p.Foreign[j]})
			}
		default:
			return change.BuildState{}, fmt.Errorf("%q is no phase of what is built", phase)
		}
	}
	b := builder{db: db, load: load}
	// Jobs first: one that ends between the two looks is then taken for running,
	// and never for one that left its index invalid.
	if err := b.lookAtJobs(ctx); err != nil {
		return change.BuildState{}, err
	}
	if err := b.lookAtCatalog(ctx, phase, schemasOf(names)); err != nil {
		return change.BuildState{}, err
	}
	for _, p := range parts {
		if err := b.settle(ctx, p); err != nil {
			return change.BuildState{}, fmt.Errorf("build %s of table %s.%s: %w", p.name, p.table.Schema, p.table.Name, err)
		}
	}
	return b.state, nil
}

// A builder is one call of Build.
type builder struct {
	db    *DB
	load  string
	jobs  []job
	asked map[[3]string]asked
	built map[[3]string]built
	state change.BuildState
}

func (b *builder) lookAtJobs(ctx context.Context) error {
	b.asked = map[[3]string]asked{}
	rows, err := b.db.rows(ctx, `SELECT table_schema, table_name, object_name, job_id, tries FROM godwit.job WHERE load_id = $1`, b.load)
	if err != nil {
		return fmt.Errorf("list what was begun: %w", err)
	}
	for _, row := range rows {
		tries, err := strconv.Atoi(row[4])
		if err != nil {
			return fmt.Errorf("decode the number of tries of %s: %w", row[2], err)
		}
		b.asked[[3]string(row[:3])] = asked{job: row[3], tries: tries}
	}
	rows, err = b.db.rows(ctx, `SELECT job_id::text, status::text, details::text, object_id::text FROM sys.jobs`)
	if err != nil {
		return fmt.Errorf("list the jobs of DSQL: %w", err)
	}
	for _, row := range rows {
		b.jobs = append(b.jobs, job{row[0], row[1], row[2], row[3]})
	}
	return nil
}

func (b *builder) lookAtCatalog(ctx context.Context, phase string, schemas []string) error {
	b.built = map[[3]string]built{}
	sql := `SELECT c.relname, x.relname, i.indisvalid::text, (k.oid IS NOT NULL)::text, x.oid::text
		FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u') WHERE n.nspname = $1`
	if phase == change.BuildForeignKeys {
		sql = `SELECT c.relname, k.conname, k.convalidated::text, 'true', k.oid::text
			FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE k.contype = 'f' AND n.nspname = $1`
	}
	for _, schema := range schemas {
		rows, err := b.db.rows(ctx, sql, schema)
		if err != nil {
			return fmt.Errorf("read the catalog of schema %s: %w", schema, err)
		}
		for _, row := range rows {
			b.built[[3]string{schema, row[0], row[1]}] = built{exists: true, valid: row[2] == "true", constraint: row[3] == "true", object: row[4]}
		}
	}
	return nil
}

// settle does the next thing for a part.
func (b *builder) settle(ctx context.Context, p part) error {
	now, before := b.built[p.id()], b.asked[p.id()]
	if now.exists && now.valid {
		if p.index != nil && p.index.Constraint && !now.constraint {
			// A crash here leaves the unique index, and the next call comes here again.
			sql := "ALTER TABLE " + quote(p.table.Schema, p.table.Name) + " ADD CONSTRAINT " + quote(p.name) + " UNIQUE USING INDEX " + quote(p.name)
			if err := b.db.define(ctx, sql, "42710", "55000"); err != nil {
				return err
			}
		}
		b.state.Done++
		return nil
	}
	j, known := b.job(before.job, now.object)
	switch {
	case known && j.running():
		b.state.Running++
		return nil
	case known && j.status == "failed" && ofData(j.details), before.tries >= buildTries:
		return b.fail(ctx, p, j)
	}
	if p.index != nil {
		return b.buildIndex(ctx, p, now, before)
	}
	return b.validate(ctx, p, now, before)
}

func (j job) running() bool { return j.status == "submitted" || j.status == "processing" }

// job finds the job of a part: the one that was asked for, or, where a crash kept
// its name from being written down, one that still works on its object.
func (b *builder) job(id, object string) (j job, known bool) {
	for _, j := range b.jobs {
		if id != "" && j.id == id || id == "" && object != "" && j.object == object && j.running() {
			return j, true
		}
	}
	return job{}, false
}

// ofData reports whether a job failed for what the rows are, which the next one
// would as well.
func ofData(details string) bool {
	details = strings.ToLower(details)
	for _, word := range []string{"duplicate", "unique", "violate", "23503", "23505", "too large", "54000"} {
		if strings.Contains(details, word) {
			return true
		}
	}
	return false
}

// fail tells of a part that could not be built, and lets the next call begin anew.
func (b *builder) fail(ctx context.Context, p part, j job) error {
	// The details of a job quote values.
	reason := fmt.Sprintf("DSQL failed to build it %d times: look at sys.jobs within half an hour of a try", buildTries)
	switch {
	case j.status == "failed" && ofData(j.details) && p.key != nil:
		reason = "rows reference rows that are missing: add those or remove the rows, which the report lists"
	case j.status == "failed" && ofData(j.details):
		reason = "rows have the same key, or one that is too large: find them by the index's columns"
	}
	if p.index != nil {
		if err := b.db.define(ctx, "DROP INDEX IF EXISTS "+quote(p.table.Schema, p.name)); err != nil {
			return err
		}
	}
	_, err := b.db.Exec(ctx, `DELETE FROM godwit.job WHERE load_id = $1 AND table_schema = $2 AND table_name = $3 AND object_name = $4`, b.load, p.table.Schema, p.table.Name, p.name)
	b.state.Failed = append(b.state.Failed, change.BuildResult{Table: p.table, Name: p.name, Reason: reason})
	return err
}

// buildIndex begins an index. What an earlier job left invalid is dropped first,
// which also ends a job that is not known to this load.
func (b *builder) buildIndex(ctx context.Context, p part, now built, before asked) error {
	if now.exists {
		if err := b.db.define(ctx, "DROP INDEX IF EXISTS "+quote(p.table.Schema, p.name)); err != nil {
			return err
		}
	}
	sql, err := createIndex(p.table, p.index)
	if err != nil {
		return err
	}
	return b.begin(ctx, p, before, sql)
}

// validate adds a foreign key that counts for new rows, and begins to hold the
// old ones against it.
func (b *builder) validate(ctx context.Context, p part, now built, before asked) error {
	if !now.exists {
		sql, err := addForeign(p.table, p.key)
		if err != nil {
			return err
		}
		if err := b.db.define(ctx, sql, "42710"); err != nil {
			return err
		}
	}
	return b.begin(ctx, p, before, "ALTER TABLE ASYNC "+quote(p.table.Schema, p.table.Name)+" VALIDATE CONSTRAINT "+quote(p.name))
}

// begin asks DSQL for a job, and writes down which.
func (b *builder) begin(ctx context.Context, p part, before asked, sql string) error {
	rows, err := b.db.rows(ctx, sql)
	var e *Error
	if errors.As(err, &e) && e.State == "42P07" {
		// An earlier try of this statement was not answered. The next call finds what
		// it began.
		b.state.Running++
		return nil
	}
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) == 0 {
		return fmt.Errorf("DSQL answers %d rows, and not the name of a job", len(rows))
	}
	b.state.Running++
	// A crash here leaves a job that is found by its object.
	_, err = b.db.Exec(ctx, `INSERT INTO godwit.job (load_id, table_schema, table_name, object_name, job_id, tries) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (load_id, table_schema, table_name, object_name) DO UPDATE SET job_id = excluded.job_id, tries = excluded.tries`,
		b.load, p.table.Schema, p.table.Name, p.name, rows[0][0], before.tries+1)
	return err
}

// createIndex renders an index. DSQL keeps it in its table's schema, takes no
// order but that of NULLs, and has one method.
func createIndex(table change.TableName, x *change.IndexPlan) (string, error) {
	if x.Method != "" {
		return "", fmt.Errorf("its method is %s, and DSQL has one only", x.Method)
	}
	var b strings.Builder
	b.WriteString("CREATE ")
	if x.Unique {
		b.WriteString("UNIQUE ")
	}
	b.WriteString("INDEX ASYNC " + quote(x.Name) + " ON " + quote(table.Schema, table.Name) + " (")
	for i, name := range x.Keys {
		if i > 0 {
			b.WriteString(", ")
		}
		if name != "" {
			b.WriteString(quote(name))
		} else {
			b.WriteString("(" + x.Expressions[i] + ")")
		}
		if x.Order != nil && x.Order[i] != "" {
			if x.Order[i] != "NULLS FIRST" && x.Order[i] != "NULLS LAST" {
				return "", fmt.Errorf("its key %d is ordered %s, which DSQL does not take", i+1, x.Order[i])
			}
			b.WriteString(" " + x.Order[i])
		}
	}
	b.WriteString(")")
	if len(x.Include) > 0 {
		b.WriteString(" INCLUDE (" + quoteAll(x.Include) + ")")
	}
	if x.NullsNotDistinct {
		b.WriteString(" NULLS NOT DISTINCT")
	}
	if x.Where != "" {
		b.WriteString(" WHERE " + x.Where)
	}
	return b.String(), nil
}

// addForeign renders a foreign key that does not look at the rows that are there.
func addForeign(table change.TableName, f *change.Foreign) (string, error) {
	var b strings.Builder
	b.WriteString("ALTER TABLE " + quote(table.Schema, table.Name) + " ADD CONSTRAINT " + quote(f.Name) +
		" FOREIGN KEY (" + quoteAll(f.Columns) + ") REFERENCES " + quote(f.Table.Schema, f.Table.Name) + " (" + quoteAll(f.References) + ")")
	switch f.Match {
	case "", "SIMPLE":
	case "FULL":
		b.WriteString(" MATCH FULL")
	default:
		return "", fmt.Errorf("its match is %s, which DSQL does not have", f.Match)
	}
	for _, action := range [][2]string{{"DELETE", f.OnDelete}, {"UPDATE", f.OnUpdate}} {
		switch action[1] {
		case "":
		case "NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT":
			b.WriteString(" ON " + action[0] + " " + action[1])
		default:
			return "", fmt.Errorf("%q is no action of a foreign key", action[1])
		}
	}
	if f.Deferrable {
		b.WriteString(" DEFERRABLE")
	}
	if f.Deferred {
		b.WriteString(" INITIALLY DEFERRED")
	}
	return b.String() + " NOT VALID", nil
}
