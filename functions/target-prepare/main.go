// Command target-prepare is the Lambda function that makes the target database
// ready: the one holder of the admin secret.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"godwit/internal/config"
	"godwit/internal/control"
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
	c, err := config.Read(config.TargetPrepare, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	loader := &target.DB{API: target.NewAPI(cfg), ClusterARN: c.ClusterARN, SecretARN: c.LoaderSecret, Database: c.Database}
	admin := &target.DB{API: loader.API, ClusterARN: c.ClusterARN, SecretARN: c.AdminSecret, Database: c.Database}
	secrets := &control.Secrets{API: secretsmanager.NewFromConfig(cfg)}
	h := &migrate.Prepare{Target: func(ctx context.Context) error {
		role, password, err := secrets.Login(ctx, c.LoaderSecret)
		if err != nil {
			return err
		}
		return target.Prepare(ctx, admin, loader, role, password)
	}}
	lambda.Start(h.Handle)
	return nil
}
