package dsql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A Preparation is what Prepare makes.
type Preparation struct {
	Loader     string   // the database role that loads
	Principals []string // ARNs of the IAM roles that may connect as it
	Schemas    []string // that it may make tables in; made where they are missing
}

// bookkeeping is the schema godwit. DSQL takes one statement of DDL a transaction.
var bookkeeping = []string{
	`CREATE SCHEMA IF NOT EXISTS godwit`,
	// A load that has a row here may store rows. Another that replaces it deletes
	// the row first. Where a load of that name begins again, it is another run, to
	// which tables and claims of the first are nothing.
	`CREATE TABLE IF NOT EXISTS godwit.load (
		load_id text PRIMARY KEY,
		run text NOT NULL DEFAULT gen_random_uuid()::text,
		plan text NOT NULL,
		replaces boolean NOT NULL,
		begun_at timestamptz NOT NULL DEFAULT now(),
		published_at timestamptz)`,
	// The load that a table of the target is of. The row is there before the table.
	`CREATE TABLE IF NOT EXISTS godwit.loaded_table (
		table_schema text,
		table_name text,
		load_id text NOT NULL,
		run text NOT NULL,
		PRIMARY KEY (table_schema, table_name))`,
	// Who works on an item: the call that put the epoch there. The epoch is of the
	// key, because FOR KEY SHARE, which the call's transactions take, conflicts
	// with nothing but a change of the key or a deletion.
	`CREATE TABLE IF NOT EXISTS godwit.claim (
		load_id text,
		item text,
		epoch bigint,
		run text NOT NULL,
		PRIMARY KEY (load_id, item, epoch))`,
	// A transaction that stored rows of an item, all from first_row to last_row: it
	// inserts this row before them. Transactions of one epoch never overlap.
	`CREATE TABLE IF NOT EXISTS godwit.batch (
		load_id text,
		item text,
		first_row bigint,
		last_row bigint NOT NULL,
		epoch bigint NOT NULL,
		loaded bigint NOT NULL,
		refused bigint NOT NULL,
		filtered bigint NOT NULL,
		PRIMARY KEY (load_id, item, first_row))`,
	`CREATE TABLE IF NOT EXISTS godwit.refusal (
		load_id text,
		item text,
		row_number bigint,
		column_name text NOT NULL,
		reason text NOT NULL,
		PRIMARY KEY (load_id, item, row_number))`,
	// What DSQL was last asked to build, and how often. A crash before the row is
	// written leaves a job that is found by its object, or is begun again.
	`CREATE TABLE IF NOT EXISTS godwit.job (
		load_id text,
		table_schema text,
		table_name text,
		object_name text,
		job_id text NOT NULL,
		tries bigint NOT NULL,
		PRIMARY KEY (load_id, table_schema, table_name, object_name))`,
}

// Prepare makes, as admin, the role that loads, its bookkeeping and the schemas
// that it may fill. Doing it again changes nothing but what is missing; a call
// that ends early leaves a part, and the next one does the rest.
func (db *DB) Prepare(ctx context.Context, p Preparation) error {
	if p.Loader == "" || p.Loader == Admin {
		return fmt.Errorf("the role that loads is %q: name one that is not admin", p.Loader)
	}
	loader := quote(p.Loader)
	if slices.Contains(p.Schemas, "public") {
		return errors.New("schema public belongs to admin, and DSQL lets nobody else make tables in it: name another schema in the mapping")
	}
	known, err := db.rows(ctx, `SELECT 1 FROM pg_roles WHERE rolname = $1`, p.Loader)
	if err != nil {
		return fmt.Errorf("look for role %s: %w", p.Loader, err)
	}
	if len(known) == 0 {
		if err := db.define(ctx, "CREATE ROLE "+loader+" WITH LOGIN", "42710"); err != nil {
			return fmt.Errorf("make role %s: %w", p.Loader, err)
		}
	}
	granted, err := db.rows(ctx, `SELECT arn FROM sys.iam_pg_role_mappings WHERE pg_role_name = $1`, p.Loader)
	if err != nil {
		return fmt.Errorf("list the IAM roles of role %s: %w", p.Loader, err)
	}
	for _, arn := range p.Principals {
		if slices.ContainsFunc(granted, func(row []string) bool { return row[0] == arn }) {
			continue
		}
		if err := db.define(ctx, "AWS IAM GRANT "+loader+" TO "+literal(arn), "42710"); err != nil {
			return fmt.Errorf("let %s connect as %s: %w", arn, p.Loader, err)
		}
	}
	for _, sql := range bookkeeping {
		if err := db.define(ctx, sql); err != nil {
			return fmt.Errorf("make the schema godwit: %w", err)
		}
	}
	grants := []string{
		"GRANT USAGE ON SCHEMA godwit TO " + loader,
		// UPDATE is also what FOR KEY SHARE asks for.
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA godwit TO " + loader,
	}
	for _, schema := range p.Schemas {
		if err := db.define(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(schema)); err != nil {
			return fmt.Errorf("make schema %s: %w", schema, err)
		}
		if err := db.open(ctx, schema, p.Loader); err != nil {
			return err
		}
	}
	for _, sql := range grants {
		if err := db.define(ctx, sql); err != nil {
			return fmt.Errorf("grant role %s what it needs: %w", p.Loader, err)
		}
	}
	return nil
}

// open lets the role that loads use a schema. One that is somebody else's is left
// to them, unless they did so.
func (db *DB) open(ctx context.Context, schema, loader string) error {
	grant := "GRANT USAGE, CREATE ON SCHEMA " + quote(schema) + " TO " + quote(loader)
	err := db.define(ctx, grant)
	var e *Error
	if !errors.As(err, &e) || e.SQLState() != "42501" {
		if err != nil {
			err = fmt.Errorf("let role %s use schema %s: %w", loader, schema, err)
		}
		return err
	}
	rows, asked := db.rows(ctx, `SELECT 1 WHERE has_schema_privilege($1, $2, 'USAGE') AND has_schema_privilege($1, $2, 'CREATE')`, loader, schema)
	if asked == nil && len(rows) > 0 {
		return nil
	}
	return fmt.Errorf("let role %s use schema %s: %w: the schema is another role's: have that one run %s, or choose another schema in the mapping", loader, schema, err, grant)
}

// define runs one statement of DDL, in a transaction of its own. Errors of the
// given states say that it ran before.
func (db *DB) define(ctx context.Context, sql string, before ...string) error {
	_, err := db.Exec(ctx, sql)
	var e *Error
	if errors.As(err, &e) && slices.Contains(before, e.State) {
		return nil
	}
	return err
}

// quote quotes an identifier, or a qualified one.
func quote(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// quoteAll quotes the names of columns.
func quoteAll(names []string) string {
	var b []byte
	for i, name := range names {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, quote(name)...)
	}
	return string(b)
}

// literal quotes a text for the one statement that takes no parameters.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
