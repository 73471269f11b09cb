// Package testdb owns fresh, real PostgreSQL databases for tests: one server
// for a test binary, one database for a test, with the roles of an Aurora
// cluster and, on demand, a Data API in front of it.
//
// It leaves schemas to the tests. Tests may run in parallel: databases and
// loader roles have names of their own, and roles are the only thing that
// databases of one server share. The server and its data vanish with the test
// binary, even one that is killed.
package testdb

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local/postgres"
	"godwit/internal/local/rdsdata"
	"godwit/internal/local/secrets"
)

// The names in ARNs.
const (
	Region  = "us-east-1"
	Account = "123456789012"
)

// masterName is the cluster's master user; not a superuser.
const masterName = "godwit_master"

// The servers of the test binary, started on first use. They end with the binary:
// their guards notice.
var (
	start        = sync.OnceValues(func() (*cluster, error) { return startWith(postgres.Options{}) })
	startDurable = sync.OnceValues(func() (*cluster, error) { return startWith(postgres.Options{Durable: true}) })
)

func startWith(o postgres.Options) (*cluster, error) {
	c := &cluster{password: strings.ToLower(rand.Text())}
	o.Master, o.Password = masterName, c.password
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var err error
	c.Server, err = postgres.Start(ctx, o)
	return c, err
}

type cluster struct {
	*postgres.Server
	password string
}

// A DB is one test's database. It is owned by the master user; a loader role
// exists that may connect and nothing else.
type DB struct {
	Name string // of the database

	// AdminDSN connects as the master user, member of rds_superuser but no
	// superuser, as target-prepare does on Aurora.
	AdminDSN string
	// LoaderDSN connects as Loader, a role of this database's own.
	LoaderDSN string
	// SuperuserDSN connects as rdsadmin, whom nobody is on Aurora: to look, not
	// to load.
	SuperuserDSN string

	Master, MasterPassword string
	Loader, LoaderPassword string

	// Server is shared by the tests of a binary: do not close it.
	Server *postgres.Server
}

// New makes a database, in about 30 ms, and drops it when the test ends. Where
// PostgreSQL is not installed the test is skipped with the reason, or fails
// under CI=true.
func New(t testing.TB) *DB {
	t.Helper()
	return newOn(t, start)
}

// NewDurable is New on a server whose commits wait for the disk, as those of a
// real one do: for benchmarks of what commits often.
func NewDurable(t testing.TB) *DB {
	t.Helper()
	return newOn(t, startDurable)
}

// installed skips the test where PostgreSQL is not, or fails it under CI=true.
func installed(t testing.TB) {
	t.Helper()
	if err := postgres.Installed(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func newOn(t testing.TB, start func() (*cluster, error)) *DB {
	t.Helper()
	installed(t)
	c, err := start()
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(rand.Text()[:12])
	db := &DB{
		Name: name, Server: c.Server,
		Master: masterName, MasterPassword: c.password,
		Loader: name + "_loader", LoaderPassword: strings.ToLower(rand.Text()),
	}
	db.AdminDSN = c.DSN(db.Master, db.MasterPassword, name)
	db.LoaderDSN = c.DSN(db.Loader, db.LoaderPassword, name)
	db.SuperuserDSN = c.AdminDSN(name)
	// As the master user, so that it may administer the loader's role, as on Aurora.
	exec(t, c.DSN(db.Master, db.MasterPassword, "postgres"),
		`CREATE DATABASE `+name,
		`CREATE ROLE `+db.Loader+` LOGIN PASSWORD '`+db.LoaderPassword+`'`)
	t.Cleanup(func() {
		exec(t, c.AdminDSN("postgres"),
			`DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`,
			`DROP ROLE IF EXISTS `+db.Loader)
	})
	return db
}

func exec(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%.60s: %v", sql, err)
		}
	}
}

// Connect opens a connection for the length of the test.
func Connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn.Close(ctx)
	})
	return conn
}

// A DataAPI is an endpoint of the Data API and of Secrets Manager over a DB,
// without IAM.
type DataAPI struct {
	URL          string // of the endpoint, for BaseEndpoint
	ClusterARN   string
	AdminSecret  string // ARN; the master user's
	LoaderSecret string // ARN; the loader's
	Database     string

	// Server is the Data API behind URL, to change the cluster's state.
	Server *rdsdata.Server
	// Secrets is behind it, to add more.
	Secrets *secrets.Store
}

// DataAPI starts an endpoint that serves the database's cluster with the
// service's own limits until the test ends.
func (db *DB) DataAPI(t testing.TB) *DataAPI {
	t.Helper()
	return db.DataAPIWith(t, rdsdata.Config{})
}

// DataAPIWith is DataAPI with another time limit or clock; Secrets is replaced.
func (db *DB) DataAPIWith(t testing.TB, cfg rdsdata.Config) *DataAPI {
	t.Helper()
	store := &secrets.Store{Region: Region, Account: Account}
	cfg.Secrets = store
	api := &DataAPI{
		ClusterARN:   fmt.Sprintf("arn:aws:rds:%s:%s:cluster:%s", Region, Account, db.Name),
		AdminSecret:  db.secret(t, store, "admin", db.Master, db.MasterPassword),
		LoaderSecret: db.secret(t, store, "loader", db.Loader, db.LoaderPassword),
		Database:     db.Name,
		Server:       rdsdata.New(cfg),
		Secrets:      store,
	}
	api.Server.AddCluster(api.ClusterARN, rdsdata.Cluster{Addr: db.Server.Addr()})
	front := httptest.NewServer(route{api.Server, store})
	t.Cleanup(func() {
		api.Server.Close() // first: it ends the statements that front would wait for
		front.Close()
	})
	api.URL = front.URL
	return api
}

// secret stores a login as Secrets Manager holds it for RDS.
func (db *DB) secret(t testing.TB, store *secrets.Store, name, user, password string) string {
	t.Helper()
	value, err := json.Marshal(map[string]string{"engine": "postgres", "username": user, "password": password, "dbname": db.Name})
	if err != nil {
		t.Fatal(err)
	}
	name = db.Name + "/" + name
	arn := fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-a1B2c3", Region, Account, name)
	if err := store.Create(name, arn, "", string(value)); err != nil {
		t.Fatal(err)
	}
	return arn
}
