package dsql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"godwit/internal/change"
)

// A standing is what the target has of a table.
type standing struct {
	exists    bool
	load, run string // whose it is by the bookkeeping; "" is nobody's
}

// refuses says why a load cannot have the table; nil where it can.
func (s standing) refuses(name change.TableName, load string, replace bool) error {
	if s.load == load || s.load != "" && replace || s.load == "" && !s.exists {
		return nil
	}
	return &LoadedError{Table: name, Load: s.load}
}

// tables looks up what the target has of tables.
func (db *DB) tables(ctx context.Context, names []change.TableName) (map[change.TableName]standing, error) {
	found := map[change.TableName]standing{}
	for _, schema := range schemasOf(names) {
		rows, err := db.rows(ctx, `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1`, schema)
		if err != nil {
			return nil, fmt.Errorf("list the tables of schema %s: %w", schema, err)
		}
		for _, row := range rows {
			found[change.TableName{Schema: schema, Name: row[0]}] = standing{exists: true}
		}
		rows, err = db.rows(ctx, `SELECT table_name, load_id, run FROM godwit.loaded_table WHERE table_schema = $1`, schema)
		if err != nil {
			return nil, fmt.Errorf("list the loaded tables of schema %s: %w", schema, err)
		}
		for _, row := range rows {
			name := change.TableName{Schema: schema, Name: row[0]}
			found[name] = standing{exists: found[name].exists, load: row[1], run: row[2]}
		}
	}
	return found, nil
}

func schemasOf(names []change.TableName) []string {
	var schemas []string
	for _, n := range names {
		if !slices.Contains(schemas, n.Schema) {
			schemas = append(schemas, n.Schema)
		}
	}
	return schemas
}

// Tables makes the tables of a load with their primary keys, checks, defaults and
// identities; those that it made before are left alone. Where the load replaces
// another, that one is ended and its tables of these names are dropped first, as
// are those of an earlier run of this load. A call that ends early leaves some of
// the tables; the next one makes the rest.
func (db *DB) Tables(ctx context.Context, load string, plans []change.TablePlan) error {
	state, err := db.State(ctx, load)
	if err != nil {
		return err
	}
	if state == nil {
		return &UnknownLoadError{load}
	}
	names := make([]change.TableName, len(plans))
	creates := make([]string, len(plans))
	for i, p := range plans {
		names[i] = p.Target
		if creates[i], err = createTable(p); err != nil {
			return fmt.Errorf("table %s.%s: %w", p.Target.Schema, p.Target.Name, err)
		}
	}
	tables, err := db.tables(ctx, names)
	if err != nil {
		return err
	}
	run := ""
	if err := db.transact(ctx, func(ctx context.Context, s *session) (err error) {
		run, err = s.runOf(ctx, load)
		return err
	}); err != nil {
		return err
	}
	var old []change.TableName
	ended := map[string]bool{load: true, "": true}
	for _, name := range names {
		t := tables[name]
		if err := t.refuses(name, load, state.Replace); err != nil {
			return err
		}
		if t.load != "" && t.run != run {
			old = append(old, name)
		}
		if !ended[t.load] {
			if err := db.end(ctx, t.load); err != nil {
				return err
			}
			ended[t.load] = true
		}
	}
	if err := db.drop(ctx, run, old); err != nil {
		return err
	}
	for i, name := range names {
		if t := tables[name]; t.run == run && t.exists {
			continue
		}
		if err := db.own(ctx, load, name); err != nil {
			return err
		}
		if err := db.define(ctx, creates[i]); err != nil {
			return fmt.Errorf("make table %s.%s: %w", name.Schema, name.Name, err)
		}
	}
	return nil
}

// own notes whose a table will be, before there is one. Whoever finds the row and
// no table makes it; whoever finds a table without a row leaves it alone.
func (db *DB) own(ctx context.Context, load string, name change.TableName) error {
	err := db.transact(ctx, func(ctx context.Context, s *session) error {
		run, err := s.runOf(ctx, load)
		if err != nil {
			return err
		}
		return s.exec(ctx, `INSERT INTO godwit.loaded_table (table_schema, table_name, load_id, run) VALUES ($1, $2, $3, $4)
			ON CONFLICT (table_schema, table_name) DO UPDATE SET load_id = excluded.load_id, run = excluded.run`, name.Schema, name.Name, load, run)
	})
	if err != nil {
		return fmt.Errorf("note table %s.%s: %w", name.Schema, name.Name, err)
	}
	return nil
}

// drop drops tables of a load that ended, and the foreign keys among them first.
// What else depends on one of them keeps it, and stops the load.
func (db *DB) drop(ctx context.Context, run string, names []change.TableName) error {
	for _, name := range names {
		if made, err := db.made(ctx, run, name); err != nil {
			return err
		} else if made {
			continue
		}
		rows, err := db.rows(ctx, `SELECT k.conname, rn.nspname, r.relname FROM pg_constraint k
			JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
			WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2`, name.Schema, name.Name)
		if err != nil {
			return fmt.Errorf("list the foreign keys of table %s.%s: %w", name.Schema, name.Name, err)
		}
		for _, row := range rows {
			if !slices.Contains(names, change.TableName{Schema: row[1], Name: row[2]}) {
				continue
			}
			if err := db.define(ctx, "ALTER TABLE "+quote(name.Schema, name.Name)+" DROP CONSTRAINT IF EXISTS "+quote(row[0])); err != nil {
				return fmt.Errorf("drop foreign key %s of table %s.%s: %w", row[0], name.Schema, name.Name, err)
			}
		}
	}
	for _, name := range names {
		if made, err := db.made(ctx, run, name); err != nil {
			return err
		} else if made {
			continue
		}
		if err := db.define(ctx, "DROP TABLE IF EXISTS "+quote(name.Schema, name.Name)); err != nil {
			return fmt.Errorf("drop table %s.%s, which is to be replaced: %w", name.Schema, name.Name, err)
		}
	}
	return nil
}

// made reports whether another call of this run was ahead, and has made its own
// table. The look comes right before what it decides, because a definition cannot
// be in one transaction with it.
func (db *DB) made(ctx context.Context, run string, name change.TableName) (bool, error) {
	rows, err := db.rows(ctx, `SELECT 1 FROM godwit.loaded_table WHERE table_schema = $1 AND table_name = $2 AND run = $3`, name.Schema, name.Name, run)
	if err != nil {
		return false, fmt.Errorf("look whose table %s.%s is: %w", name.Schema, name.Name, err)
	}
	return len(rows) > 0, nil
}

// A type as format_type spells it, without quotes: what a plan may name.
var typeName = regexp.MustCompile(`^[a-z][a-z0-9_ ]*(\([0-9]+(,-?[0-9]+)?\))?[a-z ]*(\[\])*$`)

// createTable renders a table. Its foreign keys and indexes come after its rows.
func createTable(p change.TablePlan) (string, error) {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + quote(p.Target.Schema, p.Target.Name) + " (")
	for i, c := range p.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		if !typeName.MatchString(c.Type) {
			return "", fmt.Errorf("column %s: %q is no type", c.Name, c.Type)
		}
		b.WriteString(quote(c.Name) + " " + c.Type)
		switch c.Identity {
		case "":
			if c.Default != "" {
				b.WriteString(" DEFAULT " + c.Default)
			}
		case "ALWAYS", "BY DEFAULT":
			// DSQL wants to be told, and takes 1, or 65,536 and more.
			b.WriteString(" GENERATED " + c.Identity + " AS IDENTITY (")
			if c.Start != 0 {
				fmt.Fprintf(&b, "START WITH %d ", c.Start)
			}
			fmt.Fprintf(&b, "CACHE %d)", max(c.Cache, 1))
		default:
			return "", fmt.Errorf("column %s: %q is no kind of identity", c.Name, c.Identity)
		}
		if c.NotNull {
			b.WriteString(" NOT NULL")
		}
	}
	if len(p.Key) > 0 {
		b.WriteString(", ")
		if p.KeyName != "" {
			b.WriteString("CONSTRAINT " + quote(p.KeyName) + " ")
		}
		b.WriteString("PRIMARY KEY (" + quoteAll(p.Key) + ")")
	}
	for _, c := range p.Checks {
		b.WriteString(", ")
		if c.Name != "" {
			b.WriteString("CONSTRAINT " + quote(c.Name) + " ")
		}
		b.WriteString("CHECK (" + c.Expression + ")")
	}
	return b.String() + ")", nil
}
