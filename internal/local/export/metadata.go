package export

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
)

// info is export_info_<id>.json.
type info struct {
	ID            string   `json:"exportTaskIdentifier"`
	SourceARN     string   `json:"sourceArn"`
	Only          []string `json:"exportOnly"`
	SnapshotTime  string   `json:"snapshotTime"`
	TaskStartTime string   `json:"taskStartTime"`
	TaskEndTime   string   `json:"taskEndTime"`
	Bucket        string   `json:"s3Bucket"`
	Prefix        string   `json:"s3Prefix"`
	Path          string   `json:"exportedFilesPath"`
	RoleARN       string   `json:"iamRoleArn"`
	KMSKey        string   `json:"kmsKeyId"`
	Status        string   `json:"status"`
	Percent       int      `json:"percentProgress"`
	Gigabytes     float64  `json:"totalExportedDataInGB"`
	Warning       string   `json:"warningMessage,omitempty"`
}

// A tableStatus is one table in export_tables_info_<id>_from_<n>_to_<m>.json. A
// table that was skipped has a warning and no metadata.
type tableStatus struct {
	Statistics statistics      `json:"tableStatistics"`
	Metadata   *schemaMetadata `json:"schemaMetadata,omitempty"`
	Status     string          `json:"status"`
	Size       float64         `json:"sizeGB"`
	Target     string          `json:"target"`
	Warning    string          `json:"warningMessage,omitempty"`
}

type statistics struct {
	Start        string        `json:"extractionStartTime"`
	End          string        `json:"extractionEndTime"`
	Partitioning *partitioning `json:"partitioningInfo,omitempty"`
}

type partitioning struct {
	Partitions int `json:"numberOfPartitions"`
	Completed  int `json:"numberOfCompletedPartitions"`
}

type schemaMetadata struct {
	Mappings []mapping `json:"originalTypeMappings"`
}

type mapping struct {
	Column   string `json:"columnName"`
	Original string `json:"originalType"`
	Exported string `json:"expectedExportedType"`
	Length   int    `json:"originalCharMaxLength"`
	Digits   int    `json:"originalNumPrecision"`
	Fraction int    `json:"originalDateTimePrecision"`
}

func mappings(columns []column) []mapping {
	or0 := func(n *int) int {
		if n == nil {
			return 0
		}
		return *n
	}
	all := []mapping{}
	for _, c := range columns {
		all = append(all, mapping{c.name, c.original, c.kind.exported(), or0(c.length), or0(c.digits), or0(c.fraction)})
	}
	return all
}

// metadata stores the files that tell of the export: of its tables first, so that
// whoever finds export_info finds them all.
func (w *writer) metadata(ctx context.Context, from *Frozen, r Result) error {
	first := 1
	for some := range slices.Chunk(w.status, w.Style.TablesPerFile) {
		name := fmt.Sprintf("export_tables_info_%s_from_%d_to_%d.json", w.ID, first, first+len(some)-1)
		if err := w.json(ctx, name, map[string]any{"perTableStatus": some}); err != nil {
			return err
		}
		first += len(some)
	}
	return w.json(ctx, "export_info_"+w.ID+".json", info{
		ID: w.ID, SourceARN: w.SourceARN, Only: slices.Concat([]string{}, w.Only), SnapshotTime: stamp(from.At), TaskStartTime: stamp(w.Started), TaskEndTime: stamp(w.Now()),
		Bucket: w.Bucket, Prefix: w.Prefix, Path: w.root(), RoleARN: w.RoleARN, KMSKey: w.KMSKey, Status: "COMPLETE", Percent: 100, Gigabytes: gigabytes(r.Bytes), Warning: r.Warning,
	})
}

func (w *writer) json(ctx context.Context, name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.put(ctx, path.Join(w.root(), name), body)
}
