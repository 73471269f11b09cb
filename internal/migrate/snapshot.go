package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

// A SnapshotSource is a cluster or DB instance whose snapshots the environment
// allows to be exported.
type SnapshotSource struct {
	ARN       string
	Automated bool   // its automated snapshots as well
	Mapping   string // S3 URI of the rules that loads go by which an event starts; "" is none
}

// Snapshots is RDS, as far as snapshots and their exports go. Everything may be
// repeated but StartExport, which answers the second time that the task exists.
type Snapshots interface {
	// Snapshots returns the snapshots of a cluster or DB instance, by its ARN.
	Snapshots(ctx context.Context, source string) ([]change.DBSnapshot, error)
	// Snapshot returns the snapshot of an ARN.
	Snapshot(ctx context.Context, arn string) (change.DBSnapshot, error)
	// Tag returns the value of a tag of a snapshot, "" where it has none.
	Tag(ctx context.Context, arn, name string) (string, error)
	// StartExport begins an export. An error does not mean that none began.
	StartExport(ctx context.Context, o change.ExportOrder) error
	// ExportTask tells how far an export is; false where there is none of the name.
	ExportTask(ctx context.Context, id string) (change.ExportTask, bool, error)
}

// SnapshotInput is the input of SnapshotLoad. What is loaded is either the
// snapshot, which is exported first, or an export that exists.
type SnapshotInput struct {
	Snapshot string       // ARN
	Export   *ExportPlace `json:",omitempty"`
	// Only exports and loads a part of the databases: database, database.schema or
	// database.schema.table. The whole snapshot is billed all the same.
	Only []string `json:",omitempty"`
	// Database is the one that is loaded; "" is the only one that the export has.
	Database string `json:",omitempty"`
	// Catalog is the S3 URI of what catalog.sql printed of the source; "" has the
	// living source asked where the environment can, and goes without otherwise.
	Catalog string `json:",omitempty"`
	Mapping string `json:",omitempty"` // S3 URI of the rules; "" is none
	Mode    string `json:",omitempty"` // "assess" ends before the target is touched; "" and "load" load
	// AcceptSkipped goes on where the export skipped something, or its layout is odd.
	AcceptSkipped  bool  `json:",omitempty"`
	MaxQuarantined int64 `json:",omitempty"` // rows that may be refused
	// Replace takes the place of what another load brought into the same tables.
	Replace bool `json:",omitempty"`
	// Repair puts rows that differ from the export right, once, before the load is
	// shown. It is no part of the load's id.
	Repair bool `json:",omitempty"`
}

// An ExportPlace is the folder of an export: [prefix/]identifier/.
type ExportPlace struct{ Bucket, Prefix string }

// ParseSnapshotInput reads the input of SnapshotLoad strictly.
func ParseSnapshotInput(b []byte) (SnapshotInput, error) {
	var in SnapshotInput
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, fmt.Errorf("read the input: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return in, errors.New("read the input: something follows its closing brace")
	}
	switch {
	case (in.Snapshot == "") == (in.Export == nil):
		return in, errors.New(`the input has no Snapshot and no Export, or both: give {"Snapshot": "arn:…"}, or {"Export": {"Bucket": "…", "Prefix": "…"}} for an export that exists`)
	case in.Export != nil && (in.Export.Bucket == "" || strings.ContainsAny(in.Export.Bucket, ":/")):
		return in, fmt.Errorf("Export.Bucket %q is not the name of a bucket", in.Export.Bucket)
	case in.Export != nil && (!strings.HasSuffix(in.Export.Prefix, "/") || strings.HasPrefix(in.Export.Prefix, "/")):
		return in, fmt.Errorf("Export.Prefix %q is not the folder of an export: it ends in the export's identifier and a slash", in.Export.Prefix)
	case in.Export != nil && len(in.Only) > 0:
		return in, errors.New("Only is for an export that is to begin; leave tables of one that exists out by the rules of Mapping")
	case in.Mode != "" && in.Mode != "load" && in.Mode != "assess":
		return in, fmt.Errorf("Mode %q is neither \"load\" nor \"assess\"", in.Mode)
	case in.MaxQuarantined < 0:
		return in, fmt.Errorf("MaxQuarantined %d is negative", in.MaxQuarantined)
	case in.Mapping != "" && !isS3URI(in.Mapping):
		return in, fmt.Errorf("Mapping %q is not an S3 URI like s3://bucket/key", in.Mapping)
	case in.Catalog != "" && !isS3URI(in.Catalog):
		return in, fmt.Errorf("Catalog %q is not an S3 URI like s3://bucket/key", in.Catalog)
	}
	return in, nil
}

// A snapshotRun is what a load of a snapshot is known by, and the texts that
// decide what becomes of it.
type snapshotRun struct {
	id       string
	rules    *mapping.Tables // nil is none
	rulesSum string          // SHA-256 of their file, in hex
	catalog  []byte          // as given in the input; nil is not given
}

// readSnapshotRun reads what the input names, and finds the load's id: the same
// source, rules and target are the same load.
func readSnapshotRun(ctx context.Context, o Objects, workBucket, target string, in SnapshotInput) (snapshotRun, error) {
	var run snapshotRun
	var rules []byte
	var err error
	if in.Mapping != "" {
		if rules, err = readGiven(ctx, o, workBucket, "Mapping", in.Mapping); err != nil {
			return run, err
		}
		if run.rules, err = mapping.ParseTables(rules); err != nil {
			return run, &Stop{fmt.Errorf("read the rules %s: %w", in.Mapping, err)}
		}
		sum := sha256.Sum256(rules)
		run.rulesSum = hex.EncodeToString(sum[:])
	}
	if in.Catalog != "" {
		if run.catalog, err = readGiven(ctx, o, workBucket, "Catalog", in.Catalog); err != nil {
			return run, err
		}
	}
	only := slices.Sorted(slices.Values(in.Only))
	b, err := json.Marshal(struct {
		Snapshot, Database, Target string
		Export                     *ExportPlace
		Only                       []string
		Rules, Catalog             []byte
		Replace                    bool
	}{in.Snapshot, in.Database, target, in.Export, only, rules, run.catalog, in.Replace})
	if err != nil {
		return run, err
	}
	sum := sha256.Sum256(b)
	run.id = hex.EncodeToString(sum[:16])
	return run, nil
}

// readGiven reads a file that the input names: people put such files below
// mappings/ of the work bucket.
func readGiven(ctx context.Context, o Objects, workBucket, member, uri string) ([]byte, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if bucket != workBucket || !strings.HasPrefix(key, "mappings/") {
		return nil, &Stop{fmt.Errorf("%s %s may not be read: put the file into the work bucket (aws s3 cp FILE s3://%s/mappings/)", member, uri, workBucket)}
	}
	return readAll(ctx, o, bucket, key)
}

// Where a load of a snapshot keeps what it hands on, under snapshots/<load id>/.

func snapshotKey(id, file string) string { return "snapshots/" + id + "/" + file }
