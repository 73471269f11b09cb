// Command ledger-typing is the Lambda function that finds the Ion types which an archive's JSON
// lost.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

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
	c, err := config.Read(config.LedgerTyping, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	h := &migrate.LearnTypes{Objects: objects.New(cfg), WorkBucket: c.WorkBucket}
	// A sample of a hundred tables is as many megabytes, which collecting late would
	// double.
	debug.SetGCPercent(20)
	lambda.Start(h.Handle)
	return nil
}
