package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Database is a database that a snapshot holds.
type Database struct {
	Name string // as in the export's folders
	DSN  string // of an administrator, who sees what the master user may not
	// Master is the role whose rights decide which tables are exported.
	Master string
}

// A Frozen is the state of some databases at one moment. It holds a transaction
// open in each until it is closed. Safe for concurrent use.
type Frozen struct {
	At        time.Time
	databases []frozenDatabase
}

type frozenDatabase struct {
	Database
	holder *pgx.Conn
	id     string // of the exported snapshot
}

// Freeze keeps the databases as they are now; at is what the clock says. The
// databases are kept one after another: a transaction that commits in two of
// them meanwhile may be in one only. Close it after use.
func Freeze(ctx context.Context, at time.Time, databases []Database) (_ *Frozen, err error) {
	f := &Frozen{At: at}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	for _, d := range databases {
		conn, err := connect(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("take a snapshot of database %s: %w", d.Name, err)
		}
		f.databases = append(f.databases, frozenDatabase{Database: d, holder: conn})
		last := &f.databases[len(f.databases)-1]
		if _, err := conn.Exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
			return nil, fmt.Errorf("take a snapshot of database %s: %w", d.Name, err)
		}
		if err := conn.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&last.id); err != nil {
			return nil, fmt.Errorf("take a snapshot of database %s: %w", d.Name, err)
		}
	}
	return f, nil
}

// Close lets the databases go.
func (f *Frozen) Close() {
	for _, d := range f.databases {
		_ = d.holder.Close(context.Background()) // its transaction wrote nothing
	}
	f.databases = nil
}

// read calls do with a connection that sees the database as it was.
func (d *frozenDatabase) read(ctx context.Context, do func(*pgx.Conn) error) (err error) {
	conn, err := connect(ctx, d.Database)
	if err != nil {
		return fmt.Errorf("open database %s: %w", d.Name, err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, sql := range []string{`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`, `SET TRANSACTION SNAPSHOT '` + d.id + `'`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("go back to the snapshot of database %s: %w", d.Name, err)
		}
	}
	return do(conn)
}

// connect opens a connection whose texts of values are the export's.
func connect(ctx context.Context, d Database) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(d.DSN)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"timezone": "UTC", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "bytea_output": "hex", "extra_float_digits": "1", "search_path": "pg_catalog",
	} {
		config.RuntimeParams[name] = value
	}
	return pgx.ConnectConfig(ctx, config)
}
