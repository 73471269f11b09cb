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
	prepare := prepareDSQL
	if s.SnapshotTarget.Kind == config.TargetAurora {
		prepare = prepareAurora
	}
	h := &migrate.PrepareSnapshot{Target: func(ctx context.Context, schemas []string) error { return prepare(ctx, s, schemas) }}
	lambda.Start(h.Handle)
	return nil
}
