// Package config owns the environment: the names of the variables that the
// stacks set and the functions read, and one typed configuration a function. It
// is the only package that looks variables up.
//
// Promises: a missing or malformed variable is an error that names it; all of
// them are named at once; no value is logged.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The functions, by the name of their folder under functions/.
const (
	LedgerPreflight = "ledger-preflight"
	TargetPrepare   = "target-prepare"
	LedgerPlan      = "ledger-plan"
	LedgerTransform = "ledger-transform"
	LedgerCount     = "ledger-count"
	LedgerPhase     = "ledger-phase"
	TargetTask      = "target-task"
	LedgerReport    = "ledger-report"
	LedgerSurvey    = "ledger-survey"
	LedgerTyping    = "ledger-typing"
	ProveRow        = "prove-row" // called by people, not by a workflow

	// Of LedgerExport.
	LedgerDigest = "ledger-digest"
	LedgerSplit  = "ledger-split"
	LedgerExport = "ledger-export"
	LedgerProofs = "ledger-proofs"

	// Of LedgerProve.
	ProvePlan   = "prove-plan"
	ProveBlocks = "prove-blocks"
	ProveReport = "prove-report"

	// Of SnapshotLoad, and what starts it.
	SnapshotTrigger   = "snapshot-trigger"
	SnapshotPreflight = "snapshot-preflight"
	SnapshotExport    = "snapshot-export"
	SnapshotCatalog   = "snapshot-catalog"
	SnapshotPlan      = "snapshot-plan"
	TargetProbe       = "target-probe"
	SnapshotPrepare   = "snapshot-prepare"
	SnapshotRows      = "snapshot-rows"
	SnapshotEvidence  = "snapshot-evidence"
	SnapshotPhase     = "snapshot-phase"
	SnapshotTask      = "snapshot-task"
	SnapshotReport    = "snapshot-report"

	// Of the stream.
	StreamApply  = "stream-apply"
	StreamEnable = "stream-enable"
	StreamResume = "stream-resume"
	StreamReplay = "stream-replay"
	StreamStatus = "stream-status"
)

// The variables.
const (
	Archives     = "GODWIT_ARCHIVES"      // JSON: [{"bucket":"b","prefix":"p/"}], what may be read; with "kmsKeyArn" where exports are encrypted with it
	WorkBucket   = "GODWIT_WORK_BUCKET"   // plans, parts, quarantine, reports
	ClusterARN   = "GODWIT_CLUSTER_ARN"   // Aurora PostgreSQL cluster
	Database     = "GODWIT_DATABASE"      // database name in the cluster
	LoaderSecret = "GODWIT_LOADER_SECRET" // ARN of the secret {"username","password"} of the role that loads
	AdminSecret  = "GODWIT_ADMIN_SECRET"  // ARN of the cluster's master secret; target-prepare only
	ImportRole   = "GODWIT_IMPORT_ROLE"   // ARN of the role that the cluster reads S3 with
	ExportRole   = "GODWIT_EXPORT_ROLE"   // ARN of the role that QLDB (LedgerExport) or RDS (SnapshotLoad) writes exports with
	Scale        = "GODWIT_SCALE"         // JSON: {"transform":40,"tasks":4,"minACU":2,"maxACU":8}, what an estimate reckons with; without ACU for a cluster that is not ours

	SnapshotSources = "GODWIT_SNAPSHOT_SOURCES" // JSON: list of SnapshotSource, whose snapshots may be exported
	SnapshotTarget  = "GODWIT_SNAPSHOT_TARGET"  // JSON: Target, where they are loaded
	SnapshotMachine = "GODWIT_SNAPSHOT_MACHINE" // ARN of SnapshotLoad; snapshot-trigger only
	ExportBucket    = "GODWIT_EXPORT_BUCKET"    // where RDS writes exports of snapshots
	ExportKey       = "GODWIT_EXPORT_KEY"       // ARN of the KMS key that it encrypts them with

	StreamARN     = "GODWIT_STREAM_ARN"     // the Kinesis stream
	StreamSource  = "GODWIT_STREAM_SOURCE"  // who writes to it: qldb, dms or dsql
	StreamMapping = "GODWIT_STREAM_MAPPING" // UUID of the event source mapping of stream-apply, which finds its own by itself
	FailureBucket = "GODWIT_FAILURE_BUCKET" // what Lambda could not have applied, and what stream-apply set aside
)

// An Archive is a place that the environment allows LedgerLoad to read.
type Archive struct {
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`
	KMSKeyARN string `json:"kmsKeyArn,omitempty"`
}

// A SnapshotSource is a cluster or DB instance whose snapshots may be exported.
type SnapshotSource struct {
	ARN string `json:"arn"`
	// Automated has automated snapshots loaded as well; manual ones are in any case.
	Automated bool `json:"automated,omitempty"`
	// SecretARN and Database read the catalogue of the living cluster through the
	// Data API; without them it is given in the input, or there is none.
	SecretARN string `json:"secretArn,omitempty"`
	Database  string `json:"database,omitempty"`
	// Mapping is the S3 URI of the rules that loads go by which an event starts; ""
	// is none.
	Mapping string `json:"mapping,omitempty"`
}

// The kinds of a Target.
const (
	TargetAurora = "aurora"
	TargetDSQL   = "dsql"
)

// A Target is the database that snapshots are loaded into.
type Target struct {
	Kind    string `json:"kind"`    // TargetAurora or TargetDSQL
	Cluster string `json:"cluster"` // ARN

	Database     string `json:"database,omitempty"`     // TargetAurora
	LoaderSecret string `json:"loaderSecret,omitempty"` // TargetAurora: ARN
	AdminSecret  string `json:"adminSecret,omitempty"`  // TargetAurora: ARN; snapshot-prepare only

	Endpoint   string `json:"endpoint,omitempty"`   // TargetDSQL: host name
	LoaderRole string `json:"loaderRole,omitempty"` // TargetDSQL: role of the database
	// LoaderARNs are the roles of the functions that connect as LoaderRole;
	// TargetDSQL, snapshot-prepare only.
	LoaderARNs []string `json:"loaderArns,omitempty"`
}

// A Size is how much an environment does at once.
type Size struct {
	Transform int64   `json:"transform"` // children that read the archive at once, for each of the two passes
	Tasks     int64   `json:"tasks"`     // children that work in the database at once
	MinACU    float64 `json:"minACU,omitempty"`
	MaxACU    float64 `json:"maxACU,omitempty"` // 0 is not known
}

// A Function is the configuration of one function. It reads only what its stack
// sets; Needs says which.
type Function struct {
	Archives      []Archive
	WorkBucket    string
	ClusterARN    string
	Database      string
	LoaderSecret  string
	AdminSecret   string
	ImportRole    string
	ExportRole    string
	Scale         Size
	StreamARN     string
	StreamSource  string
	StreamMapping string
	FailureBucket string

	SnapshotSources []SnapshotSource
	SnapshotTarget  Target
	SnapshotMachine string
	ExportBucket    string
	ExportKey       string
}

// Needs lists the variables of each function. The stacks set exactly these.
func Needs(function string) []string {
	target := []string{ClusterARN, Database, LoaderSecret}
	switch function {
	case LedgerPreflight:
		return []string{Archives, WorkBucket, ClusterARN, ImportRole}
	case TargetPrepare:
		return append(target, AdminSecret)
	case LedgerPlan:
		return append(target, Archives, WorkBucket)
	case LedgerTyping, LedgerTransform, LedgerCount, LedgerSurvey, ProveBlocks, ProveReport:
		return []string{WorkBucket}
	case LedgerDigest:
		return []string{Archives}
	case LedgerSplit, LedgerProofs, ProvePlan:
		return []string{Archives, WorkBucket}
	case LedgerExport:
		return []string{Archives, WorkBucket, ExportRole}
	case LedgerPhase, TargetTask, ProveRow:
		return append(target, WorkBucket)
	case LedgerReport:
		return append(target, WorkBucket, Scale)
	case SnapshotTrigger:
		return []string{SnapshotSources, SnapshotTarget, SnapshotMachine}
	case SnapshotPreflight, SnapshotExport:
		return []string{Archives, SnapshotSources, SnapshotTarget, WorkBucket, ExportBucket, ExportKey, ExportRole}
	case SnapshotCatalog:
		return []string{SnapshotSources, WorkBucket}
	case SnapshotEvidence, SnapshotReport:
		return []string{WorkBucket}
	case SnapshotPrepare:
		return []string{SnapshotTarget}
	case TargetProbe, SnapshotPlan, SnapshotRows, SnapshotPhase, SnapshotTask:
		return []string{SnapshotTarget, WorkBucket}
	case StreamApply:
		return append(target, FailureBucket)
	case StreamEnable:
		return append(target, WorkBucket, StreamARN, StreamSource, StreamMapping)
	case StreamResume:
		return append(target, WorkBucket, StreamARN, StreamMapping)
	case StreamReplay:
		return append(target, StreamARN, FailureBucket)
	case StreamStatus:
		return append(target, StreamARN, StreamMapping, FailureBucket)
	}
	return nil
}

// Read reads the configuration of one function with lookup (os.LookupEnv).
func Read(function string, lookup func(string) (string, bool)) (Function, error) {
	var c Function
	var errs []error
	needs := Needs(function)
	if needs == nil {
		return c, fmt.Errorf("no function is named %q", function)
	}
	for _, name := range needs {
		v, ok := lookup(name)
		if !ok || strings.TrimSpace(v) == "" {
			errs = append(errs, fmt.Errorf("variable %s is not set", name))
			continue
		}
		switch name {
		case Archives:
			if err := json.Unmarshal([]byte(v), &c.Archives); err != nil {
				errs = append(errs, fmt.Errorf("variable %s is not a JSON list of archives: %w", name, err))
			}
		case WorkBucket:
			c.WorkBucket = v
		case ClusterARN:
			c.ClusterARN = v
		case Database:
			c.Database = v
		case LoaderSecret:
			c.LoaderSecret = v
		case AdminSecret:
			c.AdminSecret = v
		case ImportRole:
			c.ImportRole = v
		case ExportRole:
			c.ExportRole = v
		case Scale:
			if err := json.Unmarshal([]byte(v), &c.Scale); err != nil {
				errs = append(errs, fmt.Errorf("variable %s is not a JSON object like {\"transform\":40,\"tasks\":4}: %w", name, err))
			}
		case SnapshotSources:
			if err := json.Unmarshal([]byte(v), &c.SnapshotSources); err != nil {
				errs = append(errs, fmt.Errorf("variable %s is not a JSON list of clusters and DB instances: %w", name, err))
			}
		case SnapshotTarget:
			if err := json.Unmarshal([]byte(v), &c.SnapshotTarget); err != nil {
				errs = append(errs, fmt.Errorf("variable %s is not a JSON object of a target: %w", name, err))
			} else if k := c.SnapshotTarget.Kind; k != TargetAurora && k != TargetDSQL {
				errs = append(errs, fmt.Errorf("variable %s: kind %q is neither %s nor %s", name, k, TargetAurora, TargetDSQL))
			}
		case SnapshotMachine:
			c.SnapshotMachine = v
		case ExportBucket:
			c.ExportBucket = v
		case ExportKey:
			c.ExportKey = v
		case StreamARN:
			c.StreamARN = v
		case StreamSource:
			if c.StreamSource = v; v != "qldb" && v != "dms" && v != "dsql" {
				errs = append(errs, fmt.Errorf("variable %s is none of qldb, dms and dsql", name))
			}
		case StreamMapping:
			c.StreamMapping = v
		case FailureBucket:
			c.FailureBucket = v
		}
	}
	return c, errors.Join(errs...)
}
