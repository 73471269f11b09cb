package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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

// TestOwner is not a test: TestServerEndsWithItsKilledOwner runs it as a
// process of its own.
func TestOwner(t *testing.T) {
	if os.Getenv("GODWIT_TEST_OWNER") == "" {
		t.Skip("run by TestServerEndsWithItsKilledOwner")
	}
	s, err := postgres.Start(context.Background(), postgres.Options{Master: "boss", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, s.AdminDSN("postgres"))
	var folder string
	var pid int
	if err := c.QueryRow(context.Background(), `SELECT current_setting('data_directory'), pg_backend_pid()`).Scan(&folder, &pid); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nserver %s %d\n", folder, pid)
	time.Sleep(time.Minute)
}

func TestServerEndsWithItsKilledOwner(t *testing.T) {
	if err := postgres.Installed(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	owner := exec.Command(os.Args[0], "-test.run=^TestOwner$")
	owner.Env = append(os.Environ(), "GODWIT_TEST_OWNER=1")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var folder string
	var pid int
	for lines := bufio.NewScanner(out); folder == "" && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "server %s %d", &folder, &pid)
	}
	if pid == 0 {
		t.Fatal("the owner did not start a server")
	}
	if err := owner.Process.Kill(); err != nil { // SIGKILL: it cannot clean up
		t.Fatal(err)
	}
	owner.Wait() // it was killed
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := os.Stat(filepath.Dir(folder))
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("backend %d or folder %s outlives its owner by 20 s", pid, folder)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestDurableServerKeepsItsData(t *testing.T) {
	// A folder that the server's user can reach even when the test's own folders are closed.
	parent, err := os.MkdirTemp("/var/tmp", "godwit-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	o := postgres.Options{Dir: filepath.Join(parent, "kept"), Durable: true, Master: "boss", Password: "one", Database: "app"}
	s := start(t, o)
	c := connect(t, s.DSN("boss", "one", "app"))
	var fsync string
	if err := c.QueryRow(t.Context(), `CREATE TABLE kept (a int)`).Scan(); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	if err := c.QueryRow(t.Context(), `SELECT current_setting('fsync')`).Scan(&fsync); err != nil || fsync != "on" {
		t.Errorf("got fsync %q, %v, want on", fsync, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Password = "two"
	s = start(t, o)
	c = connect(t, s.DSN("boss", "two", "app"))
	if _, err := c.Exec(t.Context(), `SELECT a FROM kept`); err != nil {
		t.Errorf("got %v, want the table of the first server", err)
	}
	if _, err := postgres.Start(t.Context(), o); err == nil {
		t.Error("got nil, want a second server in the same folder to be refused")
	}
	if _, err := c.Exec(t.Context(), `SELECT a FROM kept`); err != nil {
		t.Errorf("got %v, want the first server untouched by the second", err)
	}
}
