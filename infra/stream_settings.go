package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Stream has the stack deployed that applies changes as they come.
type Stream struct {
	Source string `json:"source"` // who writes to the Kinesis stream: qldb, dms or dsql
	DMS    *DMS   `json:"dms"`    // optional, with source dms: the replication that writes to it
}

// A DMS is a serverless replication of AWS DMS, from a database that exists in a
// network that exists. The source is a PostgreSQL database, known by its secret
// or as an endpoint that exists.
type DMS struct {
	Source           *DMSSource `json:"source"`
	SourceEndpoint   string     `json:"sourceEndpointArn"`
	Tables           []DMSTable `json:"tables"`
	SubnetIDs        []string   `json:"subnetIds"` // in two zones at least; they reach the source, Kinesis, CloudWatch Logs and Secrets Manager
	SecurityGroupIDs []string   `json:"securityGroupIds"`
	MaxDCU           int        `json:"maxDCU"` // DMS capacity units of 2 GiB; 0 is 4
}

// A DMSSource is a PostgreSQL database that DMS reads the changes of.
type DMSSource struct {
	SecretARN string `json:"secretArn"` // {"username","password","host","port"} of a role that may replicate
	KeyARN    string `json:"keyArn"`    // optional: the customer key of that secret
	Database  string `json:"database"`
	Slot      string `json:"slot"` // logical replication slot of the plugin test_decoding, made before the tables were copied
}

// A DMSTable is what a replication includes; % in a name stands for any text.
type DMSTable struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
}

// Who writes to the Kinesis stream.
const (
	sourceQLDB = "qldb"
	sourceDMS  = "dms"
	sourceDSQL = "dsql"
)

var (
	sources      = []string{sourceQLDB, sourceDMS, sourceDSQL}
	endpointRule = regexp.MustCompile(`^arn:[a-z-]+:dms:[a-z0-9-]+:[0-9]{12}:endpoint:[A-Za-z0-9-]+$`)
	subnetRule   = regexp.MustCompile(`^subnet-([0-9a-f]{8}|[0-9a-f]{17})$`)
	groupRule    = regexp.MustCompile(`^sg-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// capacities are what a serverless replication may be given at most (DMS User
// Guide, serverless), as far as a change stream needs.
var capacities = []int{1, 2, 4, 8, 16, 32, 64, 128}

func (s Stream) validate(wrong func(ok bool, member, format string, args ...any), matches func(rule *regexp.Regexp, member, value, want string)) {
	wrong(slices.Contains(sources, s.Source), "stream.source", "%q is none of %s", s.Source, strings.Join(sources, ", "))
	d := s.DMS
	if d == nil {
		return
	}
	wrong(s.Source == sourceDMS, "stream.dms", "the stream's source is %s: leave it out, or write \"source\": %q", s.Source, sourceDMS)
	wrong((d.Source == nil) != (d.SourceEndpoint == ""), "stream.dms", "exactly one of source and sourceEndpointArn is wanted")
	if d.SourceEndpoint != "" {
		matches(endpointRule, "stream.dms.sourceEndpointArn", d.SourceEndpoint, "the ARN of a DMS endpoint")
	}
	if p := d.Source; p != nil {
		matches(secretRule, "stream.dms.source.secretArn", p.SecretARN, "the ARN of a secret")
		if p.KeyARN != "" {
			matches(keyRule, "stream.dms.source.keyArn", p.KeyARN, "the ARN of a KMS key (not of an alias)")
		}
		wrong(p.Database != "", "stream.dms.source.database", "is empty: name the database that is replicated")
		// As PostgreSQL names slots.
		matches(databaseRule, "stream.dms.source.slot", p.Slot, "the name of a replication slot")
	}
	wrong(len(d.Tables) > 0, "stream.dms.tables", "is empty: name at least one schema and table, %% for all")
	for i, t := range d.Tables {
		wrong(t.Schema != "" && t.Table != "", fmt.Sprintf("stream.dms.tables[%d]", i), "schema and table are wanted, %% for all")
	}
	wrong(len(d.SubnetIDs) >= 2, "stream.dms.subnetIds", "%d are given, DMS wants two in two zones", len(d.SubnetIDs))
	for i, id := range d.SubnetIDs {
		matches(subnetRule, fmt.Sprintf("stream.dms.subnetIds[%d]", i), id, "the id of a subnet")
	}
	wrong(len(d.SecurityGroupIDs) > 0, "stream.dms.securityGroupIds", "is empty: name the group that the source admits")
	for i, id := range d.SecurityGroupIDs {
		matches(groupRule, fmt.Sprintf("stream.dms.securityGroupIds[%d]", i), id, "the id of a security group")
	}
	wrong(slices.Contains(capacities, d.MaxDCU), "stream.dms.maxDCU", "%d is none of %v", d.MaxDCU, capacities)
}
