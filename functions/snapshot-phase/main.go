// Command snapshot-phase is the Lambda function that checks a phase of a snapshot's load and
// writes its tasks.
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
	s, err := snapshots.Read(ctx, config.SnapshotPhase)
	if err != nil {
		return err
	}
	t, err := s.Target()
	if err != nil {
		return err
	}
	h := &migrate.PhaseSnapshot{Objects: s.Objects, Ranges: s.Objects, Target: t, WorkBucket: s.WorkBucket, Now: time.Now, Metrics: s.Metrics}
	lambda.Start(h.Handle)
	return nil
}
