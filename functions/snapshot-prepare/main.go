// Command snapshot-prepare is the Lambda function that makes the target of snapshots ready:
// the one function that acts as the database's administrator.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"godwit/functions/internal/snapshots"
	"godwit/internal/config"
	"godwit/internal/migrate"
	"godwit/internal/target/dsql"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(context.Background()); err != nil {
		log.Error("cannot start", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := snapshots.Read(ctx, config.SnapshotPrepare)
	if err != nil {
		return err
	}
	t := s.SnapshotTarget
	h := &migrate.PrepareSnapshot{Target: func(ctx context.Context, schemas []string) error {
		db, err := dsql.Open(dsql.Config{Endpoint: t.Endpoint, Region: s.AWS.Region, Role: dsql.Admin, Credentials: s.AWS.Credentials})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Prepare(ctx, dsql.Preparation{Loader: t.LoaderRole, Principals: t.LoaderARNs, Schemas: schemas})
	}}
	lambda.Start(h.Handle)
	return nil
}
