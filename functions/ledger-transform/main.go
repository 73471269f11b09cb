// Command ledger-transform is the Lambda function that makes COPY-ready parts of a
// ledger's blocks.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"godwit/internal/config"
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
	c, err := config.Read(config.LedgerTransform, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	store := objects.New(cfg)
	h := &migrate.Transform{Objects: store, WorkBucket: c.WorkBucket, Now: time.Now}
	h.Metrics = migrate.Meter(os.Stdout, lambdacontext.FunctionName, time.Now)
	// Most of the heap are parts in the making, which hold no pointers: collecting
	// often costs little and keeps the process near what it uses.
	debug.SetGCPercent(20)
	lambda.Start(h.Handle)
	return nil
}
