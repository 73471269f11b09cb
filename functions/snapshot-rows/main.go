// Command snapshot-rows is the Lambda function that loads the rows of an export.
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
	s, err := snapshots.Read(ctx, config.SnapshotRows)
	if err != nil {
		return err
	}
	t, err := s.Target()
	if err != nil {
		return err
	}
	h := &migrate.LoadRows{
		Objects: s.Objects, Ranges: s.Objects, Writer: t, WorkBucket: s.WorkBucket, Now: time.Now, Retried: s.Retried, Metrics: s.Metrics,
	}
	lambda.Start(h.Handle)
	return nil
}
