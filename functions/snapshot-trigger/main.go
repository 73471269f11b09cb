// Command snapshot-trigger is the Lambda function that starts SnapshotLoad for snapshots with
// the tag godwit=export.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

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
	s, err := snapshots.Read(ctx, config.SnapshotTrigger)
	if err != nil {
		return err
	}
	machines := &control.Machines{API: sfn.NewFromConfig(s.AWS)}
	h := &migrate.SnapshotTrigger{
		Snapshots: &control.RDS{API: rds.NewFromConfig(s.AWS)}, Sources: s.Sources(), Target: s.SnapshotTarget.Cluster, Now: time.Now,
		Start: func(ctx context.Context, name, input string) (bool, error) {
			return machines.Start(ctx, s.SnapshotMachine, name, input)
		},
	}
	lambda.Start(h.Handle)
	return nil
}
