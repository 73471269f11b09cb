package main

import (
	"fmt"
	"regexp"
	"slices"
)

// A Snapshot has the stack deployed that loads snapshots of RDS and Aurora
// PostgreSQL databases.
type Snapshot struct {
	Target  string           `json:"target"`  // what they are loaded into: aurora (the environment's cluster) or dsql
	DSQL    *DSQL            `json:"dsql"`    // with target dsql
	Sources []SnapshotSource `json:"sources"` // whose snapshots may be exported
	Exports []Archive        `json:"exports"` // optional: where exports lie that exist already
}

// A DSQL is the Aurora DSQL cluster of a target: exactly one of its members is given.
type DSQL struct {
	New      *NewDSQL      `json:"new"`
	Imported *ImportedDSQL `json:"imported"`
}

// A NewDSQL is a cluster of our own, in the environment's region alone.
type NewDSQL struct{}

// An ImportedDSQL exists already and is known by its attributes only.
type ImportedDSQL struct {
	ARN      string `json:"arn"`
	Endpoint string `json:"endpoint"` // host name
}

// A SnapshotSource is a cluster or DB instance of the environment's account and
// region whose snapshots may be exported. A snapshot is exported on its own tag
// godwit=export only.
type SnapshotSource struct {
	ARN       string `json:"arn"`
	Automated bool   `json:"automated"` // its automated snapshots as well
	// SecretARN is optional: the secret {"username","password"} of a role that may
	// read the catalogue of the living cluster, through the Data API.
	SecretARN string `json:"secretArn"`
	KeyARN    string `json:"keyArn"`   // optional: the customer key of that secret
	Database  string `json:"database"` // with SecretARN
	// Mapping is optional: the file below mappings/ of the work bucket with the rules
	// that loads go by which an event starts.
	Mapping string `json:"mapping"`
}

// What snapshots are loaded into.
const (
	targetAurora = "aurora"
	targetDSQL   = "dsql"
)

var (
	sourceRule   = regexp.MustCompile(`^arn:[a-z-]+:rds:([a-z0-9-]+):([0-9]{12}):(cluster|db):[A-Za-z0-9-]+$`)
	dsqlRule     = regexp.MustCompile(`^arn:[a-z-]+:dsql:[a-z0-9-]+:[0-9]{12}:cluster/[a-z0-9]{26}$`)
	hostRule     = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)
	mappingRule  = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
	snapshotsOf  = map[string]string{"cluster": "cluster-snapshot", "db": "snapshot"}
	targetsKnown = []string{targetAurora, targetDSQL}
)

func (s Snapshot) validate(e Environment, wrong func(ok bool, member, format string, args ...any), matches func(rule *regexp.Regexp, member, value, want string)) {
	wrong(slices.Contains(targetsKnown, s.Target), "snapshot.target", "%q is none of %v", s.Target, targetsKnown)
	wrong(s.Target != targetAurora || e.hasCluster(), "snapshot.target", "aurora is the environment's cluster: give it one")
	wrong((s.Target == targetDSQL) == (s.DSQL != nil), "snapshot.dsql", "is for target dsql, and wanted there")
	if d := s.DSQL; d != nil {
		wrong((d.New == nil) != (d.Imported == nil), "snapshot.dsql", "exactly one of new and imported is wanted")
		if c := d.Imported; c != nil {
			matches(dsqlRule, "snapshot.dsql.imported.arn", c.ARN, "the ARN of an Aurora DSQL cluster")
			matches(hostRule, "snapshot.dsql.imported.endpoint", c.Endpoint, "the host name of a cluster's endpoint")
		}
	}
	wrong(len(s.Sources)+len(s.Exports) > 0, "snapshot.sources", "is empty, and so is exports: name a cluster, a DB instance or a bucket with exports")
	for i, source := range s.Sources {
		at := fmt.Sprintf("snapshot.sources[%d].", i)
		matches(sourceRule, at+"arn", source.ARN, "the ARN of a cluster or DB instance")
		if m := sourceRule.FindStringSubmatch(source.ARN); m != nil {
			wrong(m[1] == e.Region, at+"arn", "it is in %s, the environment in %s: RDS exports within a region", m[1], e.Region)
			wrong(e.Account == "" || m[2] == e.Account, at+"arn", "it is of account %s, the environment of %s: copy its snapshots to this account and name the copies' cluster", m[2], e.Account)
			wrong(source.SecretARN == "" || m[3] == "cluster", at+"secretArn", "the Data API serves clusters only: give the catalogue in the input of SnapshotLoad")
		}
		wrong((source.SecretARN == "") == (source.Database == ""), at+"database", "secretArn and database are given together or not at all")
		if source.SecretARN != "" {
			matches(secretRule, at+"secretArn", source.SecretARN, "the ARN of a secret")
		}
		if source.Mapping != "" {
			matches(mappingRule, at+"mapping", source.Mapping, "the name of a file below mappings/ of the work bucket")
		}
		if source.KeyARN != "" {
			matches(keyRule, at+"keyArn", source.KeyARN, "the ARN of a KMS key (not of an alias)")
		}
	}
	for i, a := range s.Exports {
		a.validate(fmt.Sprintf("snapshot.exports[%d].", i), wrong, matches)
	}
}
