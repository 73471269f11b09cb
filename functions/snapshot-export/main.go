// Command snapshot-export is the Lambda function that has RDS export a snapshot, and tells
// when that is complete.
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
	s, err := snapshots.Read(ctx, config.SnapshotExport)
	if err != nil {
		return err
	}
	h := &migrate.ExportSnapshot{
		Objects: s.Objects, Snapshots: &control.RDS{API: rds.NewFromConfig(s.AWS)}, WorkBucket: s.WorkBucket,
		Bucket: s.ExportBucket, Role: s.ExportRole, Key: s.ExportKey, Exports: s.Places(),
	}
	lambda.Start(h.Handle)
	return nil
}
