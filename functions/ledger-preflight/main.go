// Command ledger-preflight is the Lambda function that finds everything that would
// stop a load before anything is written.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"godwit/internal/config"
	"godwit/internal/control"
	"godwit/internal/migrate"
	"godwit/internal/objects"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(context.Background()); err != nil {
		log.Error("cannot start", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := config.Read(config.LedgerPreflight, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	store := objects.New(cfg)
	clusters := &control.RDS{API: rds.NewFromConfig(cfg)}
	h := &migrate.Preflight{
		Objects: store, WorkBucket: c.WorkBucket, ClusterARN: c.ClusterARN, ImportRole: c.ImportRole, Region: cfg.Region,
		Cluster: func(ctx context.Context, arn string) (migrate.Cluster, error) {
			d, err := clusters.Cluster(ctx, arn)
			return migrate.Cluster(d), err
		},
	}
	for _, a := range c.Archives {
		h.Archives = append(h.Archives, migrate.AllowedArchive{Bucket: a.Bucket, Prefix: a.Prefix})
	}
	lambda.Start(h.Handle)
	return nil
}
