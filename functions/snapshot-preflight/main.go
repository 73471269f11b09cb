// Command snapshot-preflight is the Lambda function that names everything that the load of a
// snapshot lacks.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"godwit/functions/internal/snapshots"
	"godwit/internal/config"
	"godwit/internal/control"
	"godwit/internal/migrate"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(context.Background()); err != nil {
		log.Error("cannot start", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := snapshots.Read(ctx, config.SnapshotPreflight)
	if err != nil {
		return err
	}
	h := &migrate.SnapshotPreflight{
		Objects: s.Objects, Snapshots: &control.RDS{API: rds.NewFromConfig(s.AWS)}, Sources: s.Sources(), Exports: s.Places(),
		WorkBucket: s.WorkBucket, Target: s.SnapshotTarget.Cluster,
	}
	lambda.Start(h.Handle)
	return nil
}
