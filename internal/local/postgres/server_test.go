package postgres_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/local/postgres"
)

// start starts a server for the test, or skips where none is installed.
func start(t *testing.T, o postgres.Options) *postgres.Server {
	t.Helper()
	if err := postgres.Installed(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s, err := postgres.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestMasterUserIsNoSuperuser(t *testing.T) {
	s := start(t, postgres.Options{Master: "boss", Password: "p'a:s@s/", Database: "app"})
	c := connect(t, s.DSN("boss", "p'a:s@s/", "app"))
	var super, createRole, member, monitor bool
	var version string
	err := c.QueryRow(t.Context(), `SELECT rolsuper, rolcreaterole, pg_has_role('rds_superuser', 'MEMBER'), pg_has_role('pg_monitor', 'USAGE'), version()
		FROM pg_roles WHERE rolname = session_user`).Scan(&super, &createRole, &member, &monitor, &version)
	if err != nil {
		t.Fatal(err)
	}
	if super || !createRole || !member || !monitor {
		t.Errorf("got superuser %t, CREATEROLE %t, in rds_superuser %t, pg_monitor %t; want false, true, true, true", super, createRole, member, monitor)
	}
	if !strings.HasPrefix(version, "PostgreSQL 17.") {
		t.Errorf("got version %q, want PostgreSQL 17", version)
	}
	for _, sql := range []string{`CREATE ROLE x SUPERUSER`, `COPY (SELECT 1) TO PROGRAM 'cat'`, `SELECT pg_read_file('PG_VERSION')`} {
		if _, err := c.Exec(t.Context(), sql); code(err) != "42501" {
			t.Errorf("%s: got %v, want SQLSTATE 42501", sql, err)
		}
	}
	if _, err := c.Exec(t.Context(), `CREATE ROLE loader LOGIN; CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO loader`); err != nil {
		t.Errorf("the master user does what it does on Aurora: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), s.DSN("boss", "wrong", "app")); code(err) != "28P01" {
		t.Errorf("wrong password: got %v, want SQLSTATE 28P01", err)
	}
	if _, err := pgx.Connect(t.Context(), s.DSN("rdsadmin", "", "app")); code(err) != "28000" {
		t.Errorf("rdsadmin over TCP: got %v, want SQLSTATE 28000", err)
	}
}
