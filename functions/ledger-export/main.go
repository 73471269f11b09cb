// Command ledger-export is the Lambda function that has QLDB export windows of a
// journal, each once.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

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
	c, err := config.Read(config.LedgerExport, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS configuration: %w", err)
	}
	h := &migrate.ExportWindow{Objects: objects.New(cfg), Exporter: exporter{control.NewQLDB(cfg)}, WorkBucket: c.WorkBucket, ExportRole: c.ExportRole}
	for _, a := range c.Archives {
		h.Archives = append(h.Archives, migrate.AllowedArchive{Bucket: a.Bucket, Prefix: a.Prefix, KMSKeyARN: a.KMSKeyARN})
	}
	lambda.Start(h.Handle)
	return nil
}

// exporter is control.QLDB in the words of migrate.
type exporter struct{ *control.QLDB }

func (e exporter) StartExport(ctx context.Context, x migrate.JournalExport) (string, error) {
	return e.QLDB.StartExport(ctx, control.JournalExport(x))
}

func (e exporter) Exports(ctx context.Context, ledger string, visit func(migrate.JournalExport)) error {
	return e.QLDB.Exports(ctx, ledger, func(x control.JournalExport) { visit(migrate.JournalExport(x)) })
}
