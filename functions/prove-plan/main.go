// Command prove-plan is the Lambda function that collects what an archive is to be
// proven with, and shares it out.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

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
	c, err := config.Read(config.ProvePlan, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	store := objects.New(cfg)
	h := &migrate.ProvePlan{Objects: store, WorkBucket: c.WorkBucket, Region: cfg.Region}
	for _, a := range c.Archives {
		h.Archives = append(h.Archives, migrate.AllowedArchive{Bucket: a.Bucket, Prefix: a.Prefix})
	}
	lambda.Start(h.Handle)
	return nil
}
