package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// Complete is the status of an export, and of a table in it, that ended well.
const Complete = "COMPLETE"

// An Info is what export_info_<task>.json says of an export task. AWS documents
// the file but not all of its members; those that are not here are ignored.
type Info struct {
	Task         string   `json:"exportTaskIdentifier"`
	SourceARN    string   `json:"sourceArn"`
	Only         []string `json:"exportOnly"`
	SnapshotTime string   `json:"snapshotTime"` // as AWS spells it, and so are the others
	Began        string   `json:"taskStartTime"`
	Ended        string   `json:"taskEndTime"`
	Bucket       string   `json:"s3Bucket"`
	Prefix       string   `json:"s3Prefix"`
	FilesPath    string   `json:"exportedFilesPath"`
	KMSKey       string   `json:"kmsKeyId"`
	Status       string   `json:"status"`
	Progress     Figure   `json:"percentProgress"`       // percent
	ExtractedGB  Figure   `json:"totalExportedDataInGB"` // before compression
}

// A Figure is a number of the metadata that nothing depends on. What AWS writes
// there is documented nowhere: a number, one in quotes, or nothing. It is 0 where
// it is no number.
type Figure float64

// UnmarshalJSON takes any value.
func (f *Figure) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseFloat(string(bytes.Trim(text, `"`)), 64)
	if err != nil {
		n = 0
	}
	*f = Figure(n)
	return nil
}

// ParseInfo reads an export_info file. An error says that the file is none.
func ParseInfo(text []byte) (*Info, error) {
	var info Info
	if err := json.Unmarshal(text, &info); err != nil {
		return nil, fmt.Errorf("read export_info: %w", err)
	}
	for name, value := range map[string]string{"exportTaskIdentifier": info.Task, "status": info.Status} {
		if value == "" {
			return nil, fmt.Errorf("read export_info: it has no %s; is it the file of an export?", name)
		}
	}
	return &info, nil
}

// A TableInfo is what export_tables_info_<task>_from_<n>_to_<m>.json says of a
// table.
type TableInfo struct {
	Target  string // database.schema.table
	Status  string
	SizeGB  Figure
	Warning string
	// Partitions is in how many pieces the table was read, and Completed how many of
	// them ended; 0 is not told.
	Partitions, Completed Figure
	Columns               []ColumnInfo
}

// A ColumnInfo is a column of the source as the export saw it.
type ColumnInfo struct {
	Name      string
	Type      string // of PostgreSQL: "character varying", "int4"
	Exported  string // of Parquet: "int64", "binary (UTF8)"
	MaxLength Figure // characters; 0 where there is no limit
	Precision Figure // of a numeric; 0 where there is none
	Fraction  Figure // digits of a second; 0 where it is not told
}

// Names returns the readings of the target's schema and table: more than one
// where a name has a point in it. The first takes it for a part of the table's
// name. It is empty when the target is not of the database.
func (t *TableInfo) Names(database string) (names []change.TableName) {
	rest, ok := strings.CutPrefix(t.Target, database+".")
	if !ok {
		return nil
	}
	for i := range len(rest) {
		if rest[i] == '.' && i > 0 && i < len(rest)-1 {
			names = append(names, change.TableName{Schema: rest[:i], Name: rest[i+1:]})
		}
	}
	return names
}

// ParseTables reads an export_tables_info file. Its order is the file's.
func ParseTables(text []byte) ([]TableInfo, error) {
	var file struct {
		Tables []struct {
			Target  string `json:"target"`
			Status  string `json:"status"`
			SizeGB  Figure `json:"sizeGB"`
			Warning string `json:"warningMessage"`
			Read    struct {
				Pieces struct {
					Partitions Figure `json:"numberOfPartitions"`
					Completed  Figure `json:"numberOfCompletedPartitions"`
				} `json:"partitioningInfo"`
			} `json:"tableStatistics"`
			Schema struct {
				Columns []struct {
					Name      string `json:"columnName"`
					Type      string `json:"originalType"`
					Exported  string `json:"expectedExportedType"`
					MaxLength Figure `json:"originalCharMaxLength"`
					Precision Figure `json:"originalNumPrecision"`
					Fraction  Figure `json:"originalDateTimePrecision"`
				} `json:"originalTypeMappings"`
			} `json:"schemaMetadata"`
		} `json:"perTableStatus"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read export_tables_info: %w", err)
	}
	if file.Tables == nil {
		return nil, fmt.Errorf("read export_tables_info: it has no perTableStatus; is it the file of an export?")
	}
	tables := make([]TableInfo, 0, len(file.Tables))
	for i, t := range file.Tables {
		if strings.Count(t.Target, ".") < 2 {
			return nil, fmt.Errorf("read export_tables_info: table %d has the target %q, which is not database.schema.table", i, t.Target)
		}
		table := TableInfo{Target: t.Target, Status: t.Status, SizeGB: t.SizeGB, Warning: t.Warning, Partitions: t.Read.Pieces.Partitions, Completed: t.Read.Pieces.Completed}
		seen := map[string]bool{}
		for _, c := range t.Schema.Columns {
			if c.Name == "" || c.Type == "" || seen[c.Name] {
				return nil, fmt.Errorf("read export_tables_info: table %s has the column %q of type %q, which is empty or stands twice", t.Target, c.Name, c.Type)
			}
			seen[c.Name] = true
			table.Columns = append(table.Columns, ColumnInfo(c))
		}
		tables = append(tables, table)
	}
	return tables, nil
}
