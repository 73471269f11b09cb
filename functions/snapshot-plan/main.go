// Command snapshot-plan is the Lambda function that decides what becomes of every table and
// column of a snapshot, and shares its export out.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

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
	s, err := snapshots.Read(ctx, config.SnapshotPlan)
	if err != nil {
		return err
	}
	h := &migrate.PlanSnapshot{
		Objects: s.Objects, Ranges: s.Objects, WorkBucket: s.WorkBucket, Cluster: s.SnapshotTarget.Cluster,
		DSQL: s.SnapshotTarget.Kind == config.TargetDSQL, Region: s.AWS.Region, MemoryMB: int64(lambdacontext.MemoryLimitInMB), Now: time.Now,
	}
	lambda.Start(h.Handle)
	return nil
}
