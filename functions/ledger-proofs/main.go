// Command ledger-proofs is the Lambda function that checks that exports hold every
// block once, and writes the proof of the last block of each.
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
	c, err := config.Read(config.LedgerProofs, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	store := objects.New(cfg)
	h := &migrate.WriteProofs{Objects: store, Ledger: control.NewQLDB(cfg), WorkBucket: c.WorkBucket, Now: time.Now}
	for _, a := range c.Archives {
		h.Archives = append(h.Archives, migrate.AllowedArchive{Bucket: a.Bucket, Prefix: a.Prefix, KMSKeyARN: a.KMSKeyARN})
	}
	// Proofs lie beside the exports, under the same key.
	store.KMSKey = func(bucket, key string) string { return migrate.ArchiveKey(h.Archives, bucket, key) }
	lambda.Start(h.Handle)
	return nil
}
