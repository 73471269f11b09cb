// Command snapshot-catalog is the Lambda function that keeps the catalog of a snapshot's
// source beside the load.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"godwit/functions/internal/snapshots"
	"godwit/internal/config"
	"godwit/internal/migrate"
	"godwit/internal/target"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(context.Background()); err != nil {
		log.Error("cannot start", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := snapshots.Read(ctx, config.SnapshotCatalog)
	if err != nil {
		return err
	}
	h := &migrate.ReadCatalog{Objects: s.Objects, WorkBucket: s.WorkBucket}
	h.Living = func(ctx context.Context, source string, read func(func(context.Context, string) ([]string, error)) error) (bool, error) {
		for _, x := range s.SnapshotSources {
			if x.ARN == source && x.SecretARN != "" {
				db := &target.DB{API: target.NewAPI(s.AWS), ClusterARN: x.ARN, SecretARN: x.SecretARN, Database: x.Database}
				return true, db.ReadOnly(ctx, read)
			}
		}
		return false, nil
	}
	lambda.Start(h.Handle)
	return nil
}
