package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SnapshotPreflight finds everything that would stop the load of a snapshot,
// before anything is billed.
type SnapshotPreflight struct {
	Objects    Objects
	Snapshots  Snapshots
	Sources    []SnapshotSource
	Exports    []AllowedArchive // where exports may lie that exist already
	WorkBucket string
	Target     string // ARN of the cluster
}

// SnapshotPreflightIn is the execution's input and name.
type SnapshotPreflightIn struct {
	Input     json.RawMessage
	Execution string
}

// SnapshotPreflightOut names the load, and what whoever pays should know.
type SnapshotPreflightOut struct {
	LoadId   string
	Source   string // ARN of what the snapshot is of; "" where an export exists already
	GiB      int64  // of the snapshot, that RDS bills its export by; 0 where an export exists already
	Warnings []string
}

// exportDollarsPerGB is what RDS charges for an export, for each GB of the whole
// snapshot, in us-east-1 (AWS price list, 2026-11: SnapshotExportToS3; up to 0.013
// in other regions).
const exportDollarsPerGB = 0.010

// exportable are the engines of whose snapshots the exports are read.
var exportable = []string{"aurora-postgresql", "postgres"}

// Handle checks the input, and the snapshot or the export that it names. It names
// everything that is missing at once, each with what mends it. It may be repeated.
func (p *SnapshotPreflight) Handle(ctx context.Context, in SnapshotPreflightIn) (SnapshotPreflightOut, error) {
	input, err := ParseSnapshotInput(in.Input)
	if err != nil {
		return SnapshotPreflightOut{}, &Stop{err}
	}
	run, err := readSnapshotRun(ctx, p.Objects, p.WorkBucket, p.Target, input)
	if err != nil {
		return SnapshotPreflightOut{}, Classify(err)
	}
	out := SnapshotPreflightOut{LoadId: run.id}
	var missing []error
	if input.Export != nil {
		err = AllowExport(p.Exports, *input.Export)
		if err != nil {
			missing = append(missing, err)
		}
	} else if missing, err = p.snapshot(ctx, input.Snapshot, &out); err != nil {
		return out, Classify(err)
	}
	if err := errors.Join(missing...); err != nil {
		return out, &Stop{err}
	}
	return out, nil
}

// AllowExport refuses a place that the environment does not list: what a role may
// read is fixed when the stack is deployed.
func AllowExport(allowed []AllowedArchive, place ExportPlace) error {
	for _, a := range allowed {
		if a.Bucket == place.Bucket && strings.HasPrefix(place.Prefix, a.Prefix) {
			return nil
		}
	}
	line, err := json.Marshal(map[string]string{"bucket": place.Bucket, "prefix": place.Prefix})
	if err != nil {
		return err
	}
	return fmt.Errorf("s3://%s/%s is not a place of exports of this environment: add %s to \"exports\" of its \"snapshot\" in cdk.json and run make deploy", place.Bucket, place.Prefix, line)
}

// snapshot checks a snapshot that is to be exported.
func (p *SnapshotPreflight) snapshot(ctx context.Context, arn string, out *SnapshotPreflightOut) (missing []error, err error) {
	part := strings.SplitN(arn, ":", 7)
	if len(part) != 7 || part[2] != "rds" || part[5] != "cluster-snapshot" && part[5] != "snapshot" {
		return []error{fmt.Errorf("Snapshot %q is not the ARN of a snapshot: aws rds describe-db-cluster-snapshots, or describe-db-snapshots, prints it", arn)}, nil
	}
	if len(p.Sources) == 0 {
		return []error{errors.New(`this environment exports no snapshots: add the cluster's ARN to "sources" of its "snapshot" in cdk.json and run make deploy`)}, nil
	}
	if own := strings.SplitN(p.Sources[0].ARN, ":", 7); part[3] != own[3] || part[4] != own[4] {
		return []error{fmt.Errorf("snapshot %s is of account %s in %s, and this environment exports those of account %s in %s alone: copy it there first (aws rds %s), which takes, for a snapshot that is encrypted with the other account's default key, a copy under a customer key there before it can be shared",
			part[6], part[4], part[3], own[4], own[3], map[string]string{"cluster-snapshot": "copy-db-cluster-snapshot", "snapshot": "copy-db-snapshot"}[part[5]])}, nil
	}
	s, err := p.Snapshots.Snapshot(ctx, arn)
	if err != nil {
		var code interface{ ErrorCode() string }
		if errors.As(err, &code) && (strings.HasPrefix(code.ErrorCode(), "DBClusterSnapshotNotFound") || strings.HasPrefix(code.ErrorCode(), "DBSnapshotNotFound")) {
			return []error{fmt.Errorf("snapshot %s is not there: it was deleted, or its name is another", arn)}, nil
		}
		return nil, err
	}
	for _, x := range p.Sources {
		if strings.HasSuffix(x.ARN, ":"+kindOf(s.Cluster)+":"+s.Source) {
			out.Source = x.ARN
		}
	}
	if out.Source == "" {
		missing = append(missing, fmt.Errorf("snapshot %s is of %s, which is no source of this environment: add its ARN to \"sources\" of \"snapshot\" in cdk.json and run make deploy", part[6], s.Source))
	}
	if !slices.Contains(exportable, s.Engine) {
		missing = append(missing, fmt.Errorf("snapshot %s is of engine %s: only exports of PostgreSQL are read", part[6], s.Engine))
	}
	if s.Status != "available" {
		missing = append(missing, fmt.Errorf("snapshot %s is %s: start again when it is available", part[6], s.Status))
	}
	out.GiB = s.GiB
	out.Warnings = append(out.Warnings,
		fmt.Sprintf("RDS bills the export of the whole snapshot, whatever part of it is asked for: %d GiB, about %.2f USD in us-east-1", s.GiB, float64(s.GiB)*1.073741824*exportDollarsPerGB),
		"what is written to the source after the snapshot is not moved: the time without writes is that of export, load and verification together")
	return missing, nil
}

func kindOf(cluster bool) string {
	if cluster {
		return "cluster"
	}
	return "db"
}

// PrepareSnapshot makes the target ready, as its administrator.
type PrepareSnapshot struct {
	// Target makes roles, schemas and bookkeeping that are missing; repeating it is
	// harmless.
	Target func(ctx context.Context, schemas []string) error
}

// PrepareSnapshotIn names the schemas that tables are made in.
type PrepareSnapshotIn struct{ Schemas []string }

// Handle prepares the database. It may be repeated.
func (p *PrepareSnapshot) Handle(ctx context.Context, in PrepareSnapshotIn) (struct{}, error) {
	if err := p.Target(ctx, in.Schemas); err != nil {
		return struct{}{}, Classify(fmt.Errorf("prepare the target: %w", err))
	}
	return struct{}{}, nil
}
