// Package snapshots owns the wiring that the functions of SnapshotLoad share: which
// database a snapshot is loaded into decides what a function opens.
package snapshots

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"godwit/internal/config"
	"godwit/internal/migrate"
	"godwit/internal/objects"
	"godwit/internal/target"
	"godwit/internal/target/dsql"
)

// A Setup is what a function of SnapshotLoad is made of.
type Setup struct {
	config.Function
	AWS     aws.Config
	Objects *objects.Store
	// Metrics writes metrics of the function to its log.
	Metrics func(...migrate.Metric)
	// Retried counts what Target's Aurora DSQL had done again so far; nil where the
	// target is another.
	Retried func() int64
}

// Read reads the configuration of a function.
func Read(ctx context.Context, function string) (*Setup, error) {
	c, err := config.Read(function, os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read AWS configuration: %w", err)
	}
	return &Setup{Function: c, AWS: cfg, Objects: objects.New(cfg), Metrics: migrate.Meter(os.Stdout, lambdacontext.FunctionName, time.Now)}, nil
}

// Target opens the database as the role that loads. It is the load's RowWriter,
// too.
func (s *Setup) Target() (Target, error) {
	t := s.SnapshotTarget
	if t.Kind == config.TargetAurora {
		return &migrate.AuroraTarget{
			Aurora: s.Database(t.LoaderSecret), Quote: target.Quote, Objects: s.Objects, WorkBucket: s.WorkBucket, Region: s.AWS.Region, Now: time.Now,
		}, nil
	}
	db, err := dsql.Open(dsql.Config{Endpoint: t.Endpoint, Region: s.AWS.Region, Role: t.LoaderRole, Credentials: s.AWS.Credentials})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", t.Endpoint, err)
	}
	s.Retried = db.Stats().Retried
	return &migrate.DSQLTarget{DSQL: db, Objects: s.Objects, WorkBucket: s.WorkBucket, Now: time.Now}, nil
}

// Database is the Aurora PostgreSQL database as the user of a secret.
func (s *Setup) Database(secret string) *target.DB {
	t := s.SnapshotTarget
	return &target.DB{API: target.NewAPI(s.AWS), ClusterARN: t.Cluster, SecretARN: secret, Database: t.Database}
}

// A Target is a database that a snapshot is loaded into, and what writes its rows.
type Target interface {
	migrate.SnapshotTarget
	migrate.RowWriter
}

// Sources are the clusters and DB instances whose snapshots may be exported.
func (s *Setup) Sources() []migrate.SnapshotSource {
	var list []migrate.SnapshotSource
	for _, x := range s.SnapshotSources {
		list = append(list, migrate.SnapshotSource{ARN: x.ARN, Automated: x.Automated, Mapping: x.Mapping})
	}
	return list
}

// Places are where exports may lie that exist already.
func (s *Setup) Places() []migrate.AllowedArchive {
	var list []migrate.AllowedArchive
	for _, a := range s.Archives {
		list = append(list, migrate.AllowedArchive{Bucket: a.Bucket, Prefix: a.Prefix})
	}
	return list
}
