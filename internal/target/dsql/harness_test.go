package dsql_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	local "godwit/internal/local/dsql"
	"godwit/internal/target/dsql"
	"godwit/internal/testdb"
)

// A bench is a cluster that is prepared, and the loader's way to it.
type bench struct {
	t       testing.TB
	cluster *testdb.DSQL
	admin   *dsql.DB
	loader  *dsql.DB
	look    *pgx.Conn // past all limits
}

const loaderRole = "godwit_loader"

func newBench(t testing.TB, c local.Config) *bench {
	t.Helper()
	b := &bench{t: t, cluster: testdb.NewDSQLWith(t, c)}
	b.admin = b.open(dsql.Config{Role: dsql.Admin})
	b.loader = b.open(dsql.Config{Role: loaderRole})
	b.look = testdb.Connect(t, b.cluster.SuperuserDSN)
	if err := b.admin.Prepare(t.Context(), b.preparation()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) preparation() dsql.Preparation {
	return dsql.Preparation{Loader: loaderRole, Principals: []string{b.cluster.Role}, Schemas: []string{"shop"}}
}

// open opens a DB of the cluster, with short pauses, until the test ends.
func (b *bench) open(c dsql.Config) *dsql.DB {
	b.t.Helper()
	key := b.cluster.Credentials()
	c.Endpoint, c.Region = b.cluster.Endpoint(), testdb.Region
	c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}, nil
	})
	c.Roots = x509.NewCertPool()
	c.Roots.AppendCertsFromPEM(b.cluster.CA())
	if c.Sleep == nil {
		c.Sleep = func(ctx context.Context, d time.Duration) error {
			if d > 0 {
				time.Sleep(d / 100)
			}
			return ctx.Err()
		}
	}
	db, err := dsql.Open(c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(db.Close)
	return db
}

// exec runs statements past all limits.
func (b *bench) exec(statements ...string) {
	b.t.Helper()
	for _, sql := range statements {
		if _, err := b.look.Exec(context.Background(), sql); err != nil {
			b.t.Fatalf("%.80s: %v", sql, err)
		}
	}
}

// list joins the first column of a query's rows.
func (b *bench) list(sql string, args ...any) string {
	b.t.Helper()
	rows, err := b.look.Query(context.Background(), sql, args...)
	if err != nil {
		b.t.Fatalf("%.80s: %v", sql, err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%.80s: %v", sql, err)
	}
	return strings.Join(texts, " ")
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// orders is a table with a key, and a text of any length.
func orders(name string) change.TablePlan {
	keep := change.Conversion{Kind: change.AsIs}
	return change.TablePlan{
		Source: change.TableName{Schema: "public", Name: name}, Target: change.TableName{Schema: "shop", Name: name},
		Columns: []change.ColumnPlan{
			{Name: "id", Type: "bigint", NotNull: true, From: []change.SourceColumn{{Name: "id", Type: "bigint"}}, As: keep},
			{Name: "note", Type: "text", From: []change.SourceColumn{{Name: "note", Type: "text"}}, As: keep},
		},
		Key: []string{"id"}, KeyName: name + "_pkey",
	}
}

// begin begins a load of tables.
func (b *bench) begin(load string, plans ...change.TablePlan) {
	b.t.Helper()
	l := change.TableLoad{ID: load, Plan: "1"}
	for _, p := range plans {
		l.Tables = append(l.Tables, p.Target)
	}
	if _, err := b.loader.Begin(b.t.Context(), l); err != nil {
		b.t.Fatal(err)
	}
	if err := b.loader.Tables(b.t.Context(), load, plans); err != nil {
		b.t.Fatal(err)
	}
}

// A row of a source: its line, or why it has none.
type row struct {
	line, refused string
}

// source yields rows in pieces.
func source(rows []row, piece int) dsql.Source {
	return func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
		for first := r.First; first <= r.Last; {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			l := change.Lines{First: first}
			for ; first <= r.Last && len(l.Ends) < piece; first++ {
				if first >= int64(len(rows)) {
					return errors.New("the source has no such row")
				}
				l.Data = append(l.Data, rows[first].line...)
				l.Ends = append(l.Ends, len(l.Data))
				if why := rows[first].refused; why != "" {
					l.Refused = append(l.Refused, change.Refusal{Row: first, Column: "note", Reason: why})
				}
			}
			if err := yield(l); err != nil {
				return err
			}
		}
		return nil
	}
}

// plain makes n rows with notes of some bytes.
func plain(n, bytes int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i].line = fmt.Sprintf("%d\t%s\n", i, strings.Repeat("x", bytes))
	}
	return rows
}

// item is all rows of a source.
func item(load, id string, plan *change.TablePlan, rows []row) change.TableItem {
	return change.TableItem{Load: load, ID: id, Table: plan, Rows: change.Range{First: 0, Last: int64(len(rows)) - 1}}
}

// during calls f once, after the first rows were yielded.
func during(s dsql.Source, f func()) dsql.Source {
	called := false
	return func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
		return s(ctx, r, func(l change.Lines) error {
			err := yield(l)
			if !called {
				called = true
				f()
			}
			return err
		})
	}
}
