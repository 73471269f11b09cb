package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/local/cdc"
	"godwit/internal/local/postgres"
	"godwit/internal/local/source"
	"godwit/internal/local/template"
	"godwit/internal/migrate"
)

// loaderRole is the role that the stacks' functions log in as.
const loaderRole = "godwit_loader"

// A Shop is a PostgreSQL database with an application that writes to it, and what
// writes its changes to the stream of the stacks: AWS DMS or Aurora DSQL.
type Shop struct {
	*source.Shop
	Producer *source.Producer
	Copied   int64 // rows of the first copy

	cloud    *Cloud
	source   string
	server   *postgres.Server
	from, to *pgx.Conn // of the source and of the target, as their administrators
}

// ShopOptions say what a Shop is like.
type ShopOptions struct {
	Source    string // change.SourceDMS or change.SourceDSQL
	Customers int
	Seed      uint64 // of what the application does
	// Repeats seeds where the producer falls back and writes again what it wrote. 0
	// has it write everything once.
	Repeats  uint64
	Settings cdc.DMS // of the DMS task; zero is what godwit asks for
}

// OpenShop starts a server, has the application fill its database, and the
// producer begin there. Close it after use.
func (c *Cloud) OpenShop(ctx context.Context, o ShopOptions) (_ *Shop, err error) {
	s := &Shop{cloud: c, source: o.Source}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	// What was not written out yet is not decoded: a commit waits for that.
	settings := map[string]string{"wal_level": "logical", "synchronous_commit": "on"}
	if s.server, err = postgres.Start(ctx, postgres.Options{Database: "shop", Settings: settings}); err != nil {
		return nil, fmt.Errorf("start the source's PostgreSQL: %w", err)
	}
	if s.from, err = connectUTC(ctx, s.server.AdminDSN("shop")); err != nil {
		return nil, err
	}
	if s.to, err = connectUTC(ctx, c.Postgres.AdminDSN(c.Database)); err != nil {
		return nil, err
	}
	if s.Shop, err = source.OpenShop(ctx, s.from, o.Source, o.Seed, o.Customers); err != nil {
		return nil, err
	}
	if o.Settings == (cdc.DMS{}) {
		o.Settings = cdc.Complete()
	}
	client, arn, err := c.streamWriter(o.Source)
	if err != nil {
		return nil, err
	}
	s.Producer, err = source.NewProducer(ctx, source.Config{
		Source: o.Source, DSN: s.server.AdminDSN("shop"), Kinesis: client, StreamARN: arn, Settings: o.Settings, Seed: o.Repeats,
	})
	return s, err
}

// connectUTC connects to where values are compared as text.
func connectUTC(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["timezone"] = "UTC"
	return pgx.ConnectConfig(ctx, config)
}

// Close ends the server, and all that is connected to it.
func (s *Shop) Close() {
	ctx := context.Background()
	for _, db := range []*pgx.Conn{s.from, s.to} {
		if db != nil {
			_ = db.Close(ctx) // nothing is under way
		}
	}
	if s.Producer != nil {
		_ = s.Producer.Close(ctx) // the slot ends with its server
	}
	if s.server != nil {
		_ = s.server.Close() // its data are temporary
	}
}

// streamWriter returns a client of Kinesis with the role that the stacks have for
// the source's producer.
func (c *Cloud) streamWriter(source string) (client *awskinesis.Client, stream string, err error) {
	streams := template.ByType(c.Stacks, "AWS::Kinesis::Stream")
	if len(streams) != 1 {
		return nil, "", fmt.Errorf("the stacks have %d streams: local writes to exactly one", len(streams))
	}
	for _, r := range template.ByType(c.Stacks, "AWS::IAM::Role") {
		if !strings.HasPrefix(r.LogicalID, "WriterRole") {
			continue
		}
		resource := map[string]string{change.SourceDMS: "dms:%s:%s:rep:GODWIT", change.SourceDSQL: "dsql:%s:%s:cluster/local/stream/local"}[source]
		if err := c.Judge.CanAssume(r.ARN(), source+".amazonaws.com", map[string]string{
			"aws:SourceAccount": r.Stack.Account, "aws:SourceArn": "arn:aws:" + fmt.Sprintf(resource, r.Stack.Region, r.Stack.Account),
		}); err != nil {
			return nil, "", fmt.Errorf("role %s: %w", r.LogicalID, err)
		}
		k := c.Gateway.Issue(r.ARN(), nil)
		return awskinesis.New(awskinesis.Options{
			Region: r.Stack.Region, BaseEndpoint: aws.String(c.Gateway.URL()),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
			}),
		}), streams[0].ARN(), nil
	}
	return nil, "", fmt.Errorf("the stacks have no role that %s may write to the stream with: their source is another", source)
}

// Prepare does what comes before the stream, as the README tells: the target's own
// tables, the shop's with their keys and the loader's rights, and a copy of the
// rows of the producer's snapshot.
func (s *Shop) Prepare(ctx context.Context) error {
	if err := s.cloud.Invoke(ctx, "Prepare", migrate.PrepareIn{}, &struct{}{}); err != nil {
		return err
	}
	if err := s.Target(ctx, source.ShopTables, `GRANT USAGE ON SCHEMA shop TO `+loaderRole, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO `+loaderRole); err != nil {
		return err
	}
	var err error
	s.Copied, err = source.CopyTables(ctx, s.from, s.to, s.Producer.Snapshot(), append([]change.TableName{source.Unkeyed}, source.KeyedTables...))
	return err
}

// Target has the target's administrator run statements.
func (s *Shop) Target(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := s.to.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.80s: %w", sql, err)
		}
	}
	return nil
}

// Enable registers the stream from the copy on, and has it applied.
func (s *Shop) Enable(ctx context.Context) (in migrate.StreamEnableIn, err error) {
	in = migrate.StreamEnableIn{Source: s.source, Boundary: s.position(s.Producer.Boundary())}
	return in, s.cloud.Invoke(ctx, "StreamEnable", in, &migrate.StreamEnableOut{})
}

// position spells a position as stream-enable and stream-status take it.
func (s *Shop) position(at int64) string {
	if s.source == change.SourceDMS {
		return change.FormatLSN(at)
	}
	return fmt.Sprint(at)
}

// Status asks stream-status, and tells it how far the source is.
func (s *Shop) Status(ctx context.Context) (out migrate.StreamStatusOut, err error) {
	err = s.cloud.Invoke(ctx, "StreamStatus", map[string]string{"Tip": s.position(s.Producer.Tip())}, &out)
	return out, err
}

// Replay has everything that was set aside applied again.
func (s *Shop) Replay(ctx context.Context) (all migrate.StreamReplayOut, err error) {
	for in := (migrate.StreamReplayIn{}); ; in.Resume = all.Resume {
		var out migrate.StreamReplayOut
		if err := s.cloud.Invoke(ctx, "StreamReplay", in, &out); err != nil {
			return all, err
		}
		all.Applied += out.Applied
		all.Aside += out.Aside
		all.Objects += out.Objects
		all.Resume, all.Done = out.Resume, out.Done
		if out.Done {
			return all, nil
		}
	}
}

// Compare holds the target against the source.
func (s *Shop) Compare(ctx context.Context, tables []change.TableName) ([]source.Difference, error) {
	return source.CompareTables(ctx, s.from, s.to, tables)
}

var errNotSafe = errors.New("the stream did not bring everything: read its status")
