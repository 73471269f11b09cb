// Command ledger-phase is the Lambda function that checks what a phase of a load
// stands on and writes its tasks.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"godwit/internal/config"
	"godwit/internal/migrate"
	"godwit/internal/objects"
	"godwit/internal/target"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(context.Background()); err != nil {
		log.Error("cannot start", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := config.Read(config.LedgerPhase, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	store := objects.New(cfg)
	db := &target.DB{API: target.NewAPI(cfg), ClusterARN: c.ClusterARN, SecretARN: c.LoaderSecret, Database: c.Database}
	h := &migrate.Phase{Objects: store, Target: db, WorkBucket: c.WorkBucket, Region: cfg.Region, Now: time.Now}
	h.Metrics = migrate.Meter(os.Stdout, lambdacontext.FunctionName, time.Now)
	lambda.Start(h.Handle)
	return nil
}
