// Command snapshot-report is the Lambda function that writes the report of a snapshot's load.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"godwit/functions/internal/snapshots"
	"godwit/internal/config"
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
	s, err := snapshots.Read(ctx, config.SnapshotReport)
	if err != nil {
		return err
	}
	h := &migrate.ReportSnapshot{Objects: s.Objects, WorkBucket: s.WorkBucket, Now: time.Now}
	lambda.Start(h.Handle)
	return nil
}
