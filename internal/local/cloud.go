// Package local owns the local AWS: it starts what the synthesized stacks
// contain on this machine, so that the demo and the tests run the very
// templates, state machines, policies and binaries that are deployed.
//
// It leaves each service to its own package below this one and wires them.
//
// Promises: functions get the environment that their template gives them and
// credentials of their own; every call is judged by the policies of the
// template; what a template holds that local does not know stops the start by
// name; Close leaves no process behind.
package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/esm"
	"godwit/internal/local/events"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/lambda"
	"godwit/internal/local/postgres"
	"godwit/internal/local/qldb"
	"godwit/internal/local/rds"
	"godwit/internal/local/rdsdata"
	"godwit/internal/local/s3"
	"godwit/internal/local/secrets"
	"godwit/internal/local/states"
	"godwit/internal/local/template"
)

// Options say what to start and how.
type Options struct {
	Assembly string      // cloud assembly folder (cdk.out)
	Dir      string      // keeps database and objects; "" keeps nothing
	Buckets  []s3.Bucket // buckets that are not of the stacks: archives
	// Ledger is a ledger of the local QLDB. Without one QLDB is as it is on AWS
	// since 2025-07-31: gone, and its endpoint does not resolve.
	Ledger *qldb.Ledger
	// NoDatabase leaves PostgreSQL, and what calls it, out: LedgerExport and
	// LedgerProve need none.
	NoDatabase bool
	Stream     StreamOptions
	Snapshots  SnapshotOptions
	DSQL       DSQLOptions
	Events     EventOptions
	Clock      asl.Clock // nil: waits of state machines and of streams are leapt over
	Logs       io.Writer // of the functions; nil drops them
	Progress   func(asl.Event)
	// Fault may break any call of the run.
	Fault func(gateway.Call) gateway.Fault
	// Without takes statements out of the stacks' policies, to see what needs them.
	Without []iam.Ref
	// CallTimeout is the Data API's limit of one call; 0 is the real 45 s.
	CallTimeout time.Duration
}

// A Cloud is the started stacks.
type Cloud struct {
	Stacks    []*template.Stack
	Gateway   *gateway.Gateway
	Judge     *iam.Judge
	S3        *s3.Service
	QLDB      *qldb.Service // nil where QLDB is gone
	Secrets   *secrets.Store
	RDS       *rds.Service
	Data      *rdsdata.Server  // nil without a database, as is RDS
	Postgres  *postgres.Server // nil without a cluster in the stacks
	DSQL      *DSQLCluster     // the same
	Clock     asl.Clock
	Kinesis   *kinesis.Service
	Mappings  *esm.Service
	Engine    *asl.Engine
	States    *states.Service
	Events    *events.Service
	Functions map[string]*lambda.Function  // by ARN
	Machines  map[string]*asl.StateMachine // by name: LedgerLoad

	Database string // of the cluster
	closers  []func()
}

// Start starts the stacks of an assembly. Close it after use.
func Start(ctx context.Context, o Options) (_ *Cloud, err error) {
	c := &Cloud{Functions: map[string]*lambda.Function{}, Machines: map[string]*asl.StateMachine{}}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.Stacks, err = template.Load(o.Assembly, template.Options{}); err != nil {
		return nil, fmt.Errorf("read the stacks in %s: %w", o.Assembly, err)
	}
	if len(c.Stacks) == 0 {
		return nil, fmt.Errorf("%s holds no stack: make synth ENV=demo", o.Assembly)
	}
	if c.Judge, err = iam.FromStacks(c.Stacks); err != nil {
		return nil, fmt.Errorf("read the policies of the stacks: %w", err)
	}
	if err := c.Judge.Remove(o.Without...); err != nil {
		return nil, fmt.Errorf("read the policies of the stacks: %w", err)
	}
	if c.Gateway, err = gateway.New(gateway.Config{Authorizer: c.Judge, Fault: o.Fault}); err != nil {
		return nil, err
	}
	c.closers = append(c.closers, func() { _ = c.Gateway.Close() }) // nothing to save
	steps := []func(context.Context, Options) error{
		c.startClock, c.startS3, c.startQLDB, c.startKinesis, c.startSecrets, c.startRDS, c.startDatabase, c.startDSQL, c.startFunctions, c.startMappings, c.startMachines, c.startEvents,
	}
	for _, step := range steps {
		if err := step(ctx, o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close ends every process and server of the cloud.
func (c *Cloud) Close() {
	for i := len(c.closers) - 1; i >= 0; i-- {
		c.closers[i]()
	}
	c.closers = nil
}

func (c *Cloud) startS3(_ context.Context, o Options) error {
	dir := ""
	if o.Dir != "" {
		dir = filepath.Join(o.Dir, "s3")
	}
	var err error
	c.S3, err = s3.New(s3.Config{Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Dir: dir})
	if err != nil {
		return fmt.Errorf("start S3: %w", err)
	}
	for _, r := range template.ByType(c.Stacks, "AWS::S3::Bucket") {
		b, err := s3.BucketOf(r)
		if err != nil {
			return err
		}
		if err := c.S3.CreateBucket(b); err != nil {
			return err
		}
	}
	for _, b := range o.Buckets {
		if err := c.S3.CreateBucket(b); err != nil {
			return err
		}
	}
	c.Gateway.Register("s3", c.S3)
	return nil
}

// noQLDB is an endpoint whose name nobody has: RFC 2606, section 2.
const noQLDB = "https://qldb.gone.invalid"

func (c *Cloud) startQLDB(_ context.Context, o Options) error {
	if o.Ledger == nil {
		return nil
	}
	var err error
	c.QLDB, err = qldb.New(qldb.Config{Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Gateway: c.Gateway, Roles: c.Judge, Disorder: o.Stream.Disorder})
	if err != nil {
		return fmt.Errorf("start QLDB: %w", err)
	}
	c.closers = append(c.closers, func() { _ = c.QLDB.Close() }) // its ledgers end with it
	if err := c.QLDB.Create(*o.Ledger); err != nil {
		return fmt.Errorf("start QLDB: %w", err)
	}
	c.Gateway.Register("qldb", c.QLDB)
	return nil
}

func (c *Cloud) startSecrets(_ context.Context, _ Options) error {
	c.Secrets = &secrets.Store{Region: c.Stacks[0].Region, Account: c.Stacks[0].Account}
	for _, r := range template.ByType(c.Stacks, "AWS::SecretsManager::Secret") {
		var p struct {
			Name, KmsKeyId, SecretString string
			GenerateSecretString         *struct {
				SecretStringTemplate, GenerateStringKey string
				PasswordLength                          int
			}
		}
		if err := r.Decode(&p); err != nil {
			return fmt.Errorf("secret %s: %w", r.LogicalID, err)
		}
		value := p.SecretString
		if g := p.GenerateSecretString; g != nil {
			v := map[string]string{}
			if err := json.Unmarshal([]byte(g.SecretStringTemplate), &v); err != nil {
				return fmt.Errorf("secret %s: read its template: %w", r.LogicalID, err)
			}
			v[g.GenerateStringKey] = rand.Text()
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			value = string(b)
		}
		if err := c.Secrets.Create(secretName(r.ARN()), r.ARN(), p.KmsKeyId, value); err != nil {
			return fmt.Errorf("secret %s: %w", r.LogicalID, err)
		}
	}
	c.Gateway.Register("secretsmanager", c.Secrets)
	return nil
}

// secretName is the name within a secret's ARN, which ends in six random
// characters.
func secretName(arn string) string {
	name := arn[strings.LastIndexByte(arn, ':')+1:]
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		name = name[:i]
	}
	return name
}

// startDatabase starts PostgreSQL in the place of the stacks' cluster.
func (c *Cloud) startDatabase(ctx context.Context, o Options) error {
	if o.NoDatabase {
		return nil
	}
	clusters := template.ByType(c.Stacks, "AWS::RDS::DBCluster")
	switch len(clusters) {
	case 0:
		return nil // what is loaded into Aurora DSQL needs none
	case 1:
	default:
		return fmt.Errorf("the stacks have %d database clusters: local runs one", len(clusters))
	}
	r := clusters[0]
	resolved, err := template.ResolveSecrets(r.Properties, func(id, key string) (string, error) {
		value, err := c.Secrets.Value(id)
		if err != nil || key == "" {
			return value, err
		}
		var members map[string]string
		if err := json.Unmarshal([]byte(value), &members); err != nil {
			return "", errors.New("the secret is not JSON")
		}
		return members[key], nil
	})
	if err != nil {
		return fmt.Errorf("cluster %s: %w", r.LogicalID, err)
	}
	var p struct {
		DatabaseName, MasterUsername, MasterUserPassword, Engine, EngineVersion string
		EnableHttpEndpoint                                                      bool
		ServerlessV2ScalingConfiguration                                        struct{ MinCapacity, MaxCapacity float64 }
		AssociatedRoles                                                         []struct{ RoleArn, FeatureName string }
	}
	b, err := json.Marshal(resolved)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("cluster %s: %w", r.LogicalID, err)
	}
	c.Database = p.DatabaseName
	po := postgres.Options{Master: p.MasterUsername, Password: p.MasterUserPassword, Database: p.DatabaseName}
	if o.Dir != "" {
		po.Dir, po.Durable = filepath.Join(o.Dir, "postgres"), true
	}
	if c.Postgres, err = postgres.Start(ctx, po); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	c.closers = append(c.closers, func() { _ = c.Postgres.Close() }) // its end is what matters
	control := rds.Cluster{
		ID: r.ID, ARN: r.ARN(), Engine: p.Engine, Version: p.EngineVersion, Status: "available", DataAPI: p.EnableHttpEndpoint,
		MinACU: p.ServerlessV2ScalingConfiguration.MinCapacity, MaxACU: p.ServerlessV2ScalingConfiguration.MaxCapacity,
	}
	for _, role := range p.AssociatedRoles {
		control.Roles = append(control.Roles, rds.Role{ARN: role.RoleArn, Feature: role.FeatureName})
		if role.FeatureName != "s3Import" {
			continue
		}
		if err := c.Judge.CanAssume(role.RoleArn, "rds.amazonaws.com", map[string]string{"aws:SourceAccount": r.Stack.Account}); err != nil {
			return fmt.Errorf("cluster %s: %w", r.LogicalID, err)
		}
		k := c.Gateway.Issue(role.RoleArn, nil)
		if err := c.Postgres.SetImport(postgres.Import{
			Endpoint: c.Gateway.URL(), Region: r.Stack.Region,
			AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		}); err != nil {
			return fmt.Errorf("attach the import role: %w", err)
		}
	}
	c.RDS.Set(control)
	c.Data.AddCluster(r.ARN(), rdsdata.Cluster{Addr: c.Postgres.Addr(), EndpointDisabled: !p.EnableHttpEndpoint})
	return nil
}

func (c *Cloud) startFunctions(_ context.Context, o Options) error {
	for _, r := range template.ByType(c.Stacks, "AWS::Lambda::Function") {
		var p struct {
			Role, Runtime, Handler string
			Timeout, MemorySize    int
			Environment            struct{ Variables map[string]string }
			LoggingConfig          struct{ LogFormat string }
		}
		if err := r.Decode(&p); err != nil {
			return fmt.Errorf("function %s: %w", r.LogicalID, err)
		}
		if p.Runtime != "provided.al2023" {
			return fmt.Errorf("function %s has runtime %s: local runs provided.al2023 only", r.LogicalID, p.Runtime)
		}
		env := map[string]string{}
		maps.Copy(env, p.Environment.Variables)
		if c.QLDB == nil {
			env["AWS_ENDPOINT_URL_QLDB"] = noQLDB
		}
		c.DSQL.resolve(env)
		f := &lambda.Function{
			ARN: r.ARN(), Name: r.ID, Role: p.Role, Bootstrap: filepath.Join(r.Asset, "bootstrap"), Env: env,
			Timeout: time.Duration(p.Timeout) * time.Second, MemoryMB: p.MemorySize, Region: r.Stack.Region,
			Endpoint: c.Gateway.URL(), LogFormat: p.LoggingConfig.LogFormat, Logs: o.Logs,
			Credentials: func(kill func()) gateway.Credentials { return c.Gateway.Issue(p.Role, kill) },
		}
		if err := f.Validate(); err != nil {
			return fmt.Errorf("function %s: %w", r.LogicalID, err)
		}
		if err := c.Judge.CanAssume(p.Role, "lambda.amazonaws.com", nil); err != nil {
			return fmt.Errorf("function %s: %w", r.LogicalID, err)
		}
		c.Functions[f.ARN] = f
		c.closers = append(c.closers, f.Close)
	}
	return nil
}

func (c *Cloud) startMachines(_ context.Context, o Options) error {
	c.Engine = &asl.Engine{
		Clock: c.Clock, Authorizer: c.Judge, Functions: functions(c.Functions), Objects: newStore(c.Gateway, c.Stacks[0].Region), Progress: o.Progress,
	}
	runs, stop := context.WithCancel(context.Background()) // longer than any call that starts one
	c.closers = append(c.closers, stop)
	c.States = states.New(runs, c.Engine)
	for _, r := range template.ByType(c.Stacks, "AWS::StepFunctions::StateMachine") {
		var p struct{ DefinitionString, RoleArn string }
		if err := r.Decode(&p); err != nil {
			return fmt.Errorf("state machine %s: %w", r.LogicalID, err)
		}
		if err := c.Judge.CanAssume(p.RoleArn, "states.amazonaws.com", nil); err != nil {
			return fmt.Errorf("state machine %s: %w", r.LogicalID, err)
		}
		m, err := c.States.Create(r.ARN(), p.RoleArn, []byte(p.DefinitionString))
		if err != nil {
			return fmt.Errorf("state machine %s: %w", r.LogicalID, err)
		}
		c.Machines[r.LogicalID] = m
	}
	c.Gateway.Register("states", c.States)
	return nil
}

// Machine returns the state machine whose logical id begins with name.
func (c *Cloud) Machine(name string) (*asl.StateMachine, error) {
	for id, m := range c.Machines {
		if strings.HasPrefix(id, name) {
			return m, nil
		}
	}
	return nil, fmt.Errorf("the stacks have no state machine %s", name)
}
