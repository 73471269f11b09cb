// Command target-probe is the Lambda function that finds what the target of snapshots can
// do: the version of Aurora PostgreSQL, and what is in doubt of Aurora DSQL.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"godwit/functions/internal/snapshots"
	"godwit/internal/config"
	"godwit/internal/control"
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
	s, err := snapshots.Read(ctx, config.TargetProbe)
	if err != nil {
		return err
	}
	t := s.SnapshotTarget
	h := &migrate.ProbeTarget{Objects: s.Objects, WorkBucket: s.WorkBucket, Cluster: t.Cluster, Now: time.Now}
	if t.Kind == config.TargetAurora {
		clusters := &control.RDS{API: rds.NewFromConfig(s.AWS)}
		h.Target = migrate.AuroraProbe{Cluster: func(ctx context.Context) (migrate.Cluster, error) {
			d, err := clusters.Cluster(ctx, t.Cluster)
			return migrate.Cluster(d), err
		}}
	} else {
		db, err := dsql.Open(dsql.Config{Endpoint: t.Endpoint, Region: s.AWS.Region, Role: dsql.Admin, Credentials: s.AWS.Credentials})
		if err != nil {
			return err
		}
		h.Target = migrate.DSQLProbe{Try: db.Probe}
	}
	lambda.Start(h.Handle)
	return nil
}
