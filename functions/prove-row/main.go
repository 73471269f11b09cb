// Command prove-row is the Lambda function that makes the receipt of one row.
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
	c, err := config.Read(config.ProveRow, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	db := &target.DB{API: target.NewAPI(cfg), ClusterARN: c.ClusterARN, SecretARN: c.LoaderSecret, Database: c.Database}
	h := &migrate.ProveRow{Objects: objects.New(cfg), Rows: db, WorkBucket: c.WorkBucket}
	lambda.Start(h.Handle)
	return nil
}
