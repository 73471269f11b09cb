package migrate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"godwit/internal/change"
	localdsql "godwit/internal/local/dsql"
	"godwit/internal/snapshot"
	"godwit/internal/target/dsql"
	"godwit/internal/testdb"
)

// What it costs that Aurora DSQL takes 3,000 rows a transaction, each with its
// bookkeeping: against one COPY of the same lines into the same table of the same
// server, without bookkeeping. There, a commit waits for other machines as well,
// which several connections make up for.
func BenchmarkSnapshotTransactions(b *testing.B) {
	const rows = 100_000
	file := sales(b, rows)
	plan := salesPlan()
	plan.Target, plan.Key = change.TableName{Schema: "shop", Name: "sales"}, []string{"id"}
	for i := range plan.Columns {
		if plan.Columns[i].Name == "tax" {
			plan.Columns[i].Type = "numeric(18,6)"
		}
	}
	var lines []change.Lines
	var whole bytes.Buffer
	part, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	encoder, err := snapshot.NewEncoder(salesPlan(), part.Columns())
	if err != nil {
		b.Fatal(err)
	}
	if err := encoder.Encode(b.Context(), part, 0, rows, func(l change.Lines) error {
		whole.Write(l.Data)
		lines = append(lines, change.Lines{First: l.First, Data: bytes.Clone(l.Data), Ends: append([]int(nil), l.Ends...)})
		return nil
	}); err != nil {
		b.Fatal(err)
	}

	cluster := testdb.NewDSQLWith(b, localdsql.Config{})
	key := cluster.Credentials()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cluster.CA())
	open := func(role string, connections int) *dsql.DB {
		db, err := dsql.Open(dsql.Config{
			Endpoint: cluster.Endpoint(), Region: testdb.Region, Role: role, Roots: roots, Connections: connections,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}, nil
			}),
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(db.Close)
		return db
	}
	const loader = "godwit_loader"
	db := open(loader, 0)
	if err := errors.Join(
		open(dsql.Admin, 1).Prepare(b.Context(), dsql.Preparation{Loader: loader, Principals: []string{cluster.Role}, Schemas: []string{"shop"}}),
		func() error {
			_, err := db.Begin(b.Context(), change.TableLoad{ID: "bench", Plan: "1", Tables: []change.TableName{plan.Target}})
			return err
		}(),
	); err != nil {
		b.Fatal(err)
	}
	if err := db.Tables(b.Context(), "bench", []change.TablePlan{*plan}); err != nil {
		b.Fatal(err)
	}
	// Past the cluster, and without the triggers by which it counts, whose cost per
	// row grows with the transaction.
	look := testdb.Connect(b, cluster.SuperuserDSN)
	if _, err := look.Exec(b.Context(), "ALTER TABLE shop.sales DISABLE TRIGGER ALL"); err != nil {
		b.Fatal(err)
	}
	before := func() error {
		_, err := look.Exec(b.Context(), "TRUNCATE shop.sales")
		return err
	}
	items := 0
	load := func(db *dsql.DB) error {
		items++
		p, err := db.Load(b.Context(), change.TableItem{Load: "bench", ID: fmt.Sprint(items), Table: plan, Rows: change.Range{Last: rows - 1}},
			func(_ context.Context, _ change.Range, yield func(change.Lines) error) error {
				for _, l := range lines {
					if err := yield(l); err != nil {
						return err
					}
				}
				return nil
			})
		if err == nil && p.Loaded != rows {
			err = fmt.Errorf("%d rows of %d", p.Loaded, rows)
		}
		return err
	}
	alone := open(loader, 1)
	race(b, fmt.Sprintf("Snapshot: %d rows of 20 columns as lines, %d MB, into a table with a key of the local Aurora DSQL", rows, whole.Len()>>20), wall(),
		contestant{name: "godwit", bytes: rows, things: "rows", before: before, run: func() error { return load(db) }},
		contestant{name: "over one connection", bytes: rows, things: "rows", before: before, run: func() error { return load(alone) }},
		contestant{name: "one COPY", bytes: rows, things: "rows", least: 0.85, before: before, run: func() error {
			tag, err := look.PgConn().CopyFrom(b.Context(), bytes.NewReader(whole.Bytes()), "COPY shop.sales FROM STDIN")
			if err == nil && tag.RowsAffected() != rows {
				err = fmt.Errorf("%d rows of %d", tag.RowsAffected(), rows)
			}
			return err
		}})
}
