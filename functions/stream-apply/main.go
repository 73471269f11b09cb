// Command stream-apply is the Lambda function that applies the records of a Kinesis
// stream to the target.
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
	"godwit/internal/control"
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
	c, err := config.Read(config.StreamApply, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	db := &target.DB{API: target.NewAPI(cfg), ClusterARN: c.ClusterARN, SecretARN: c.LoaderSecret, Database: c.Database}
	h := &migrate.StreamApply{
		Objects: objects.New(cfg), Target: db, Mappings: control.NewMappings(cfg),
		Function: lambdacontext.FunctionName, FailureBucket: c.FailureBucket, Now: time.Now,
		Metrics: migrate.Meter(os.Stdout, lambdacontext.FunctionName, time.Now),
	}
	lambda.Start(h.Handle)
	return nil
}
