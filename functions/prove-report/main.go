// Command prove-report is the Lambda function that concludes how far an archive is
// proven, and writes the report.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
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
	c, err := config.Read(config.ProveReport, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	store := objects.New(cfg)
	h := &migrate.ProveReport{Objects: store, WorkBucket: c.WorkBucket, Now: time.Now}
	lambda.Start(h.Handle)
	return nil
}
