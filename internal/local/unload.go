package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// databaseFile is where a job that keeps its database says how to connect, in
// its folder, for as long as the database runs.
const databaseFile = "database"

// keep keeps the database running until ctx ends, and says where it is; with it
// what make receipt needs. What a killed job leaves behind is a file that names a
// server which is gone.
func (j *Job) keep(ctx context.Context, c *Cloud) (err error) {
	stop, err := j.takeCalls(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	file, dsn := filepath.Join(j.Folder, databaseFile), c.Postgres.AdminDSN(c.Database)
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	fmt.Fprintf(j.Out, "\nthe database runs until you press Ctrl-C:\n  psql '%s'\n", dsn)
	<-ctx.Done()
	return nil
}

// Unload removes one published load from the database that a job keeps, and
// says to out what it removes. folder is the job's.
func Unload(ctx context.Context, folder, load string, out io.Writer) error {
	if load == "" {
		return errors.New("say which load: -load id, as the report names it")
	}
	const none = "no database is kept on this machine: make demo KEEP=1 (or make load KEEP=1) keeps one while it runs"
	dsn, err := os.ReadFile(filepath.Join(folder, databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(none)
	}
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, strings.TrimSpace(string(dsn)))
	if err != nil {
		return fmt.Errorf("%s: %w", none, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is open in it
	var what *string
	if err := conn.QueryRow(ctx, `SELECT godwit.describe($1)`, load).Scan(&what); err != nil {
		return fmt.Errorf("look for load %s: %w", load, err)
	}
	if what != nil {
		fmt.Fprintln(out, "to be removed:", *what)
	}
	var answer []byte
	if err := conn.QueryRow(ctx, `SELECT godwit.unload($1)`, load).Scan(&answer); err != nil {
		return fmt.Errorf("unload %s: %w", load, err)
	}
	var r struct{ State, Message string }
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("unload %s: decode the database's answer: %w", load, err)
	}
	if r.State != "done" {
		return errors.New(r.Message)
	}
	fmt.Fprintln(out, "removed:", r.Message)
	return nil
}
