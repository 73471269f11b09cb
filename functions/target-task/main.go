// Command target-task is the Lambda function that does database tasks, each at most
// once.
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
	c, err := config.Read(config.TargetTask, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	db := &target.DB{API: target.NewAPI(cfg), ClusterARN: c.ClusterARN, SecretARN: c.LoaderSecret, Database: c.Database}
	h := &migrate.RunTask{Target: db}
	calls := migrate.Metric{Name: migrate.MetricDataAPI} // of one invocation
	db.Observe = func(took time.Duration) { calls.Values = append(calls.Values, took.Milliseconds()) }
	meter := migrate.Meter(os.Stdout, lambdacontext.FunctionName, time.Now)
	h.Metrics = func(m ...migrate.Metric) {
		meter(append(m, calls)...)
		calls.Values = nil
	}
	lambda.Start(h.Handle)
	return nil
}
