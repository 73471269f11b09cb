package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/config"
	"godwit/internal/local/export"
	"godwit/internal/local/postgres"
	"godwit/internal/local/rds"
	"godwit/internal/local/rdsdata"
	"godwit/internal/local/source"
)

// The master user of the storefront's cluster, who owns its tables, and the one
// whose secret the functions are given.
const (
	storefrontMaster = "postgres"
	storefrontReader = "catalogue"
)

// A Storefront is the cluster that the stacks name as a source of snapshots, with
// a database that an application uses.
type Storefront struct {
	ARN    string // of the cluster
	Secret string // ARN, of a user that may read everything; "" where the stacks name none

	cloud    *Cloud
	server   *postgres.Server
	database string
	reader   string // value of the secret
}

// StorefrontOptions say what a Storefront holds.
type StorefrontOptions struct {
	Rows int // of the storefront's tables, about; see source.OpenStorefront
	Seed uint64
	// Everything adds types.everything, and Web so many tables in a web of foreign
	// keys.
	Everything bool
	Web        int
	SQL        string // further statements of the application
}

// OpenStorefront starts the cluster that the stacks name first as a source of
// snapshots, and fills its database. Close it after use.
func (c *Cloud) OpenStorefront(ctx context.Context, o StorefrontOptions) (_ *Storefront, err error) {
	named, err := c.snapshotSource()
	if err != nil {
		return nil, err
	}
	s := &Storefront{ARN: named.ARN, Secret: named.SecretARN, cloud: c, database: named.Database}
	if s.database == "" {
		s.database = "storefront"
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	password := rand.Text()
	if s.server, err = postgres.Start(ctx, postgres.Options{Master: storefrontMaster, Password: password, Database: s.database}); err != nil {
		return nil, fmt.Errorf("start the source's PostgreSQL: %w", err)
	}
	if err := s.fill(ctx, s.server.DSN(storefrontMaster, password, s.database), o); err != nil {
		return nil, err
	}
	if s.Secret != "" {
		reader := rand.Text()
		if err := s.Admin(ctx, `CREATE ROLE `+storefrontReader+` LOGIN PASSWORD '`+reader+`' IN ROLE pg_read_all_data`); err != nil {
			return nil, err
		}
		secret, err := json.Marshal(map[string]string{"username": storefrontReader, "password": reader})
		if err != nil {
			return nil, err
		}
		s.reader = string(secret)
	}
	return s, s.join(c)
}

// Join makes the cluster known to another cloud of the same stacks, where it is a
// Storefront of the same server, which ends with the first.
func (s *Storefront) Join(c *Cloud) (*Storefront, error) {
	joined := *s
	joined.cloud = c
	return &joined, joined.join(c)
}

func (s *Storefront) join(c *Cloud) error {
	id := s.ARN[strings.LastIndexByte(s.ARN, ':')+1:]
	c.RDS.Set(rds.Cluster{ID: id, ARN: s.ARN, Engine: "aurora-postgresql", Version: "17.9", Status: "available", DataAPI: true, MinACU: 2, MaxACU: 8, Databases: s.databases()})
	c.Data.AddCluster(s.ARN, rdsdata.Cluster{Addr: s.server.Addr()})
	if s.Secret == "" {
		return nil
	}
	return c.Secrets.Create(secretName(s.Secret), s.Secret, "", s.reader)
}

// snapshotSource is the first source that a function of the stacks is told of.
func (c *Cloud) snapshotSource() (config.SnapshotSource, error) {
	for _, f := range c.Functions {
		if text := f.Env[config.SnapshotSources]; text != "" {
			var sources []config.SnapshotSource
			if err := json.Unmarshal([]byte(text), &sources); err != nil {
				return config.SnapshotSource{}, fmt.Errorf("read %s of function %s: %w", config.SnapshotSources, f.Name, err)
			}
			if len(sources) > 0 {
				return sources[0], nil
			}
		}
	}
	return config.SnapshotSource{}, errors.New("the stacks name no source of snapshots")
}

func (s *Storefront) fill(ctx context.Context, dsn string, o StorefrontOptions) error {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }() // everything is committed
	if err := source.OpenStorefront(ctx, db, o.Rows, o.Seed); err != nil {
		return err
	}
	if o.Web > 0 {
		if err := source.OpenWeb(ctx, db, o.Web, 100, o.Seed); err != nil {
			return err
		}
	}
	if o.Everything {
		o.SQL += ";" + source.EverythingTables
	}
	if _, err := db.PgConn().Exec(ctx, o.SQL).ReadAll(); err != nil {
		return fmt.Errorf("fill the storefront: %w", err)
	}
	return nil
}

func (s *Storefront) databases() []export.Database {
	return []export.Database{{Name: s.database, DSN: s.DSN(), Master: storefrontMaster}}
}

// DSN connects to the database as its administrator, in UTC with ISO dates, as
// values are compared.
func (s *Storefront) DSN() string { return s.server.AdminDSN(s.database) + "&timezone=UTC" }

// Admin has the database's administrator run statements.
func (s *Storefront) Admin(ctx context.Context, statements ...string) (err error) {
	db, err := connectUTC(ctx, s.DSN())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	for _, sql := range statements {
		if _, err := db.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%.80s: %w", sql, err)
		}
	}
	return nil
}

// Snapshot takes a snapshot of the cluster as it is now, and returns its ARN. One
// whose id begins with rds: is automated.
func (s *Storefront) Snapshot(ctx context.Context, id string, tags map[string]string) (arn string, err error) {
	return s.cloud.RDS.CreateSnapshot(ctx, rds.Snapshot{ID: id, SourceARN: s.ARN, Tags: tags, Databases: s.databases()})
}

// Close ends the server, and all that is connected to it.
func (s *Storefront) Close() {
	if s.server != nil {
		_ = s.server.Close() // its data are temporary
	}
}
