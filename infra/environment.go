package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"godwit/internal/config"
)

// An Environment is one place that the stacks are deployed to: a member of
// "environments" in cdk.json. Everything that differs between places is here,
// so that synth looks nothing up and needs no credentials.
type Environment struct {
	Name         string      `json:"-"`            // dev, prod, demo: the member's name; part of the stacks' names
	Region       string      `json:"region"`       // of stacks, cluster and archives: aws_s3 and the Distributed Map read no other
	Account      string      `json:"account"`      // optional: 12 digits; deploying with credentials of another account then fails
	Architecture string      `json:"architecture"` // of the functions: arm64, x86_64 or host; "" is arm64
	Cluster      Cluster     `json:"cluster"`      // optional where snapshots are all that is loaded, into Aurora DSQL
	Archives     []Archive   `json:"archives"`     // what LedgerLoad may read; anything else is refused before the first read. Without any there is no ledger route
	Removal      string      `json:"removal"`      // of data when its stack is deleted: retain or destroy
	AlarmEmail   string      `json:"alarmEmail"`   // optional: subscribed to the alarm topic
	Concurrency  Concurrency `json:"concurrency"`  // optional
	Stream       *Stream     `json:"stream"`       // optional: changes follow by themselves
	Snapshot     *Snapshot   `json:"snapshot"`     // optional: snapshots are loaded
	// LedgerExport has the stack that exports live ledgers deployed. It is
	// synthesized and reviewed everywhere; QLDB itself is gone from AWS.
	LedgerExport bool `json:"ledgerExport"`
}

// A Cluster is the target: exactly one of its members is given.
type Cluster struct {
	New      *NewCluster      `json:"new"`
	Imported *ImportedCluster `json:"imported"`
}

// A NewCluster is an Aurora PostgreSQL Serverless v2 cluster of our own.
type NewCluster struct {
	Database string  `json:"database"`
	MinACU   float64 `json:"minACU"` // Aurora capacity units of 2 GiB; 0 pauses when idle and is refused where data is retained
	MaxACU   float64 `json:"maxACU"`
}

// An ImportedCluster exists already and is known by its attributes only.
type ImportedCluster struct {
	ARN            string `json:"arn"`
	Database       string `json:"database"`
	AdminSecretARN string `json:"adminSecretArn"` // {"username","password"} of a role that may create roles, schemas and extensions
	AdminKeyARN    string `json:"adminKeyArn"`    // optional: the customer key of that secret
	// ImportRoleARN is optional: the role that the cluster already has for the
	// feature s3Import. A cluster has one role per feature. Without it we make
	// one, and an output prints the command that attaches it.
	ImportRoleARN string `json:"importRoleArn"`
}

// An Archive is a bucket and prefix that journal exports lie under.
type Archive struct {
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`    // "" is the whole bucket
	KMSKeyARN string `json:"kmsKeyArn"` // optional: the customer key that the objects are encrypted with
}

// Concurrency bounds the children of LedgerLoad's maps.
type Concurrency struct {
	Transform int `json:"transform"` // children that read the archive at once, for each of the two passes; 0 is 40
	Tasks     int `json:"tasks"`     // children that work in the database at once; 0 is 4
}

const (
	retain  = "retain"
	destroy = "destroy"
)

// A Project is what cdk.json says: the feature flags for every way of running
// the app, and the environments.
type Project struct {
	Context      map[string]any
	Environments map[string]json.RawMessage
}

// ReadProject reads cdk.json. The CLI hands the context to the app as well, a
// run of the bare binary does not: reading the file ourselves makes both the same.
func ReadProject(file string) (Project, error) {
	var p Project
	data, err := os.ReadFile(file)
	if err != nil {
		return p, fmt.Errorf("read the project file: %w; run from the folder that holds cdk.json", err)
	}
	var doc struct {
		Context map[string]json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return p, fmt.Errorf("read %s: %w", file, err)
	}
	if err := json.Unmarshal(doc.Context["environments"], &p.Environments); err != nil {
		return p, fmt.Errorf("read %s: member context.environments: %w", file, err)
	}
	p.Context = map[string]any{}
	for name, value := range doc.Context {
		if name == "environments" {
			continue
		}
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			return p, fmt.Errorf("read %s: member context.%s: %w", file, name, err)
		}
		p.Context[name] = v
	}
	return p, nil
}

// Environment returns the environment of a name with its defaults filled in,
// or an error that names every member that is wrong.
func (p Project) Environment(name string) (Environment, error) {
	raw, ok := p.Environments[name]
	if !ok {
		known := make([]string, 0, len(p.Environments))
		for n := range p.Environments {
			known = append(known, n)
		}
		slices.Sort(known)
		return Environment{}, fmt.Errorf("no environment is named %q in cdk.json: it has %s", name, strings.Join(known, ", "))
	}
	return ParseEnvironment(name, raw)
}

// ParseEnvironment is Environment for the text of one member.
func ParseEnvironment(name string, raw []byte) (Environment, error) {
	e := Environment{Name: name}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("environment %s: %w", name, err)
	}
	if e.Architecture == "" {
		e.Architecture = "arm64"
	}
	if e.Architecture == "host" {
		e.Architecture = map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	}
	if e.Concurrency.Transform == 0 {
		e.Concurrency.Transform = 40
	}
	if e.Concurrency.Tasks == 0 {
		e.Concurrency.Tasks = 4
	}
	if e.Stream != nil && e.Stream.DMS != nil && e.Stream.DMS.MaxDCU == 0 {
		e.Stream.DMS.MaxDCU = 4
	}
	if err := e.validate(); err != nil {
		return e, fmt.Errorf("environment %s: %w", name, err)
	}
	return e, nil
}

var (
	nameRule     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)
	regionRule   = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	accountRule  = regexp.MustCompile(`^[0-9]{12}$`)
	bucketRule   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	databaseRule = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
	emailRule    = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	clusterRule  = regexp.MustCompile(`^arn:[a-z-]+:rds:([a-z0-9-]+):([0-9]{12}):cluster:[A-Za-z0-9-]+$`)
	secretRule   = regexp.MustCompile(`^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:\S+$`)
	keyRule      = regexp.MustCompile(`^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`)
	roleRule     = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/\S+$`)
)

func (e Environment) validate() error {
	var errs []error
	wrong := func(ok bool, member, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("member %s: %s", member, fmt.Sprintf(format, args...)))
		}
	}
	matches := func(rule *regexp.Regexp, member, value, want string) {
		wrong(rule.MatchString(value), member, "%q is not %s", value, want)
	}
	optional := func(rule *regexp.Regexp, member, value, want string) {
		if value != "" {
			matches(rule, member, value, want)
		}
	}
	matches(nameRule, "environments", e.Name, "a name of up to 20 lower-case letters, digits and hyphens")
	matches(regionRule, "region", e.Region, "a region such as eu-central-1")
	optional(accountRule, "account", e.Account, "an account number of 12 digits")
	wrong(e.Architecture == "arm64" || e.Architecture == "x86_64", "architecture", "%q is not arm64, x86_64 or host", e.Architecture)
	wrong(e.Removal == retain || e.Removal == destroy, "removal", "%q is not %s or %s", e.Removal, retain, destroy)
	optional(emailRule, "alarmEmail", e.AlarmEmail, "an e-mail address")
	wrong(e.Concurrency.Transform >= 1 && e.Concurrency.Transform <= 1000, "concurrency.transform", "%d is not between 1 and 1000", e.Concurrency.Transform)
	wrong(e.Concurrency.Tasks >= 1 && e.Concurrency.Tasks <= 100, "concurrency.tasks", "%d is not between 1 and 100", e.Concurrency.Tasks)

	wrong(len(e.Archives) > 0 || e.Snapshot != nil && e.Stream == nil && !e.LedgerExport, "archives", "is empty: name at least one bucket and prefix to read")
	for i, a := range e.Archives {
		a.validate(fmt.Sprintf("archives[%d].", i), wrong, matches)
	}

	wrong((e.Cluster.New == nil) != (e.Cluster.Imported == nil) || !e.hasCluster() && len(e.Archives) == 0 && e.Snapshot != nil && e.Snapshot.Target == targetDSQL,
		"cluster", "exactly one of new and imported is wanted")
	if c := e.Cluster.New; c != nil {
		matches(databaseRule, "cluster.new.database", c.Database, "a lower-case database name")
		half := func(v float64) bool { return v*2 == float64(int(v*2)) }
		wrong(c.MinACU >= 0 && c.MinACU <= 256 && half(c.MinACU), "cluster.new.minACU", "%v is not between 0 and 256 in steps of 0.5", c.MinACU)
		wrong(c.MaxACU >= max(1, c.MinACU) && c.MaxACU <= 256 && half(c.MaxACU), "cluster.new.maxACU",
			"%v is not between %v and 256 in steps of 0.5", c.MaxACU, max(1, c.MinACU))
		// Loads are cut for 2 units (memory for sorts and index builds), and a
		// cluster that pauses makes the first calls of a load fail.
		wrong(e.Removal != retain || c.MinACU >= 2, "cluster.new.minACU", "%v is less than 2, which only an environment with removal %q may have", c.MinACU, destroy)
	}
	if c := e.Cluster.Imported; c != nil {
		matches(clusterRule, "cluster.imported.arn", c.ARN, "the ARN of a cluster")
		if m := clusterRule.FindStringSubmatch(c.ARN); m != nil {
			wrong(m[1] == e.Region, "cluster.imported.arn", "the cluster is in %s, the environment in %s: aws_s3 and the Data API need one region", m[1], e.Region)
			wrong(e.Account == "" || m[2] == e.Account, "cluster.imported.arn", "the cluster is of account %s, the environment of %s: the Data API serves its own account only", m[2], e.Account)
		}
		matches(databaseRule, "cluster.imported.database", c.Database, "a lower-case database name")
		matches(secretRule, "cluster.imported.adminSecretArn", c.AdminSecretARN, "the ARN of a secret")
		optional(keyRule, "cluster.imported.adminKeyArn", c.AdminKeyARN, "the ARN of a KMS key (not of an alias)")
		optional(roleRule, "cluster.imported.importRoleArn", c.ImportRoleARN, "the ARN of a role")
	}
	if e.Stream != nil {
		e.Stream.validate(wrong, matches)
	}
	if e.Snapshot != nil {
		e.Snapshot.validate(e, wrong, matches)
	}
	return errors.Join(errs...)
}

func (a Archive) validate(at string, wrong func(ok bool, member, format string, args ...any), matches func(rule *regexp.Regexp, member, value, want string)) {
	matches(bucketRule, at+"bucket", a.Bucket, "a bucket name")
	wrong(!strings.HasPrefix(a.Prefix, "/") && !strings.ContainsAny(a.Prefix, "*?$"), at+"prefix",
		"%q begins with a slash or holds one of * ? $, which a policy would read as a pattern", a.Prefix)
	if a.KMSKeyARN != "" {
		matches(keyRule, at+"kmsKeyArn", a.KMSKeyARN, "the ARN of a KMS key (not of an alias)")
	}
}

// hasCluster tells whether the environment has a cluster of Aurora PostgreSQL.
func (e Environment) hasCluster() bool { return e.Cluster.New != nil || e.Cluster.Imported != nil }

// Database is the database of the target.
func (e Environment) Database() string {
	if e.Cluster.New != nil {
		return e.Cluster.New.Database
	}
	return e.Cluster.Imported.Database
}

// archivesVariable is the value of config.Archives.
func (e Environment) archivesVariable() (string, error) { return archivesVariable(e.Archives) }

func archivesVariable(archives []Archive) (string, error) {
	list := make([]config.Archive, 0, len(archives))
	for _, a := range archives {
		list = append(list, config.Archive{Bucket: a.Bucket, Prefix: a.Prefix, KMSKeyARN: a.KMSKeyARN})
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// scaleVariable is the value of config.Scale. What an imported cluster has is
// not known here.
func (e Environment) scaleVariable() (string, error) {
	size := config.Size{Transform: int64(e.Concurrency.Transform), Tasks: int64(e.Concurrency.Tasks)}
	if c := e.Cluster.New; c != nil {
		size.MinACU, size.MaxACU = c.MinACU, c.MaxACU
	}
	text, err := json.Marshal(size)
	return string(text), err
}
