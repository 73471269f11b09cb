package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/functions/internal/snapshots"
	"godwit/internal/control"
	"godwit/internal/target"
	"godwit/internal/target/dsql"
)

func prepareDSQL(ctx context.Context, s *snapshots.Setup, schemas []string) error {
	t := s.SnapshotTarget
	db, err := dsql.Open(dsql.Config{Endpoint: t.Endpoint, Region: s.AWS.Region, Role: dsql.Admin, Credentials: s.AWS.Credentials})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Prepare(ctx, dsql.Preparation{Loader: t.LoaderRole, Principals: t.LoaderARNs, Schemas: schemas})
}

func prepareAurora(ctx context.Context, s *snapshots.Setup, schemas []string) error {
	t := s.SnapshotTarget
	secrets := &control.Secrets{API: secretsmanager.NewFromConfig(s.AWS)}
	role, password, err := secrets.Login(ctx, t.LoaderSecret)
	if err != nil {
		return err
	}
	admin := s.Database(t.AdminSecret)
	if err := target.Prepare(ctx, admin, s.Database(t.LoaderSecret), role, password); err != nil {
		return err
	}
	return target.OpenSchemas(ctx, admin, role, schemas)
}
