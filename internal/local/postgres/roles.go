package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// rolesSQL makes the roles that an Aurora PostgreSQL cluster has besides its
// master user. rdsadmin, who runs it, is the only superuser.
const rolesSQL = `
CREATE ROLE rds_superuser NOLOGIN;
CREATE ROLE rds_password NOLOGIN;
CREATE ROLE rds_replication NOLOGIN;
CREATE ROLE rds_iam NOLOGIN;
GRANT pg_monitor, pg_signal_backend, pg_checkpoint, pg_use_reserved_connections, pg_create_subscription,
	rds_password, rds_replication TO rds_superuser WITH ADMIN OPTION;
REVOKE EXECUTE ON FUNCTION pg_ls_logdir() FROM PUBLIC;
`

// hostRules is pg_hba.conf: rdsadmin by socket only, in a folder closed to all
// others; everybody else by password over TCP, as on Aurora from version 14.
const hostRules = `
local all rdsadmin trust
local all all reject
host all rdsadmin all reject
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
`

// createMaster creates or updates the master user and its database. It may be
// repeated.
func createMaster(ctx context.Context, dsn, user, password, database string) error {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect as rdsadmin: %w", err)
	}
	defer c.Close(ctx)
	var known bool
	if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, user).Scan(&known); err != nil {
		return fmt.Errorf("look for the master user: %w", err)
	}
	role := pgx.Identifier{user}.Sanitize()
	verb := "CREATE"
	if known {
		verb = "ALTER"
	}
	if _, err := c.Exec(ctx, verb+` ROLE `+role+` LOGIN CREATEROLE CREATEDB INHERIT NOSUPERUSER NOREPLICATION PASSWORD `+literal(password)); err != nil {
		return fmt.Errorf("create master user %s: %w", user, err)
	}
	if _, err := c.Exec(ctx, `GRANT rds_superuser TO `+role+` WITH ADMIN OPTION`); err != nil {
		return fmt.Errorf("make %s a member of rds_superuser: %w", user, err)
	}
	if database == "" {
		return nil
	}
	if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, database).Scan(&known); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if known {
		return nil
	}
	if _, err := c.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{database}.Sanitize()+` OWNER `+role); err != nil {
		return fmt.Errorf("create database %s: %w", database, err)
	}
	return nil
}
