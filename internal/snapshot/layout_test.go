package snapshot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

const infoText = `{
	"exportTaskIdentifier": "nightly", "sourceArn": "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:nightly", "exportOnly": ["shop.public"],
	"snapshotTime": "Nov 22, 2026 2:00:13 AM", "taskStartTime": "…", "s3Bucket": "exports", "s3Prefix": "daily", "exportedFilesPath": "daily/nightly",
	"kmsKeyId": "arn:aws:kms:eu-central-1:111122223333:key/k", "status": "COMPLETE", "percentProgress": 100, "totalExportedDataInGB": 0.03, "newMember": {}
}`

func TestReadsTheMetadataOfAnExport(t *testing.T) {
	info, err := snapshot.ParseInfo([]byte(infoText))
	if err != nil {
		t.Fatal(err)
	}
	want := &snapshot.Info{
		Task: "nightly", SourceARN: "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:nightly", Only: []string{"shop.public"},
		SnapshotTime: "Nov 22, 2026 2:00:13 AM", Began: "…", Bucket: "exports", Prefix: "daily", FilesPath: "daily/nightly",
		KMSKey: "arn:aws:kms:eu-central-1:111122223333:key/k", Status: "COMPLETE", Progress: 100, ExtractedGB: 0.03,
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	tables, err := snapshot.ParseTables([]byte(`{"perTableStatus": [{
		"tableStatistics": {"extractionStartTime": "…", "partitioningInfo": {"numberOfPartitions": 2, "numberOfCompletedPartitions": 2}},
		"schemaMetadata": {"originalTypeMappings": [
			{"columnName": "id", "originalType": "int8", "expectedExportedType": "int64", "originalCharMaxLength": 0, "originalNumPrecision": 64, "originalDateTimePrecision": 0},
			{"columnName": "name", "originalType": "varchar", "expectedExportedType": "binary (UTF8)", "originalCharMaxLength": "40", "originalNumPrecision": null}]},
		"status": "COMPLETE", "sizeGB": 0.5, "target": "shop.public.customers"}, {"target": "shop.a.b.c", "status": "FAILED", "warningMessage": "PERMISSIONS_DO_NOT_EXIST"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]snapshot.TableInfo{
		{Target: "shop.public.customers", Status: "COMPLETE", SizeGB: 0.5, Partitions: 2, Completed: 2, Columns: []snapshot.ColumnInfo{
			{Name: "id", Type: "int8", Exported: "int64", Precision: 64},
			{Name: "name", Type: "varchar", Exported: "binary (UTF8)", MaxLength: 40},
		}},
		{Target: "shop.a.b.c", Status: "FAILED", Warning: "PERMISSIONS_DO_NOT_EXIST"},
	}, tables); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]change.TableName{{Schema: "a", Name: "b.c"}, {Schema: "a.b", Name: "c"}}, tables[1].Names("shop")); diff != "" {
		t.Error(diff)
	}
	if names := tables[1].Names("sho"); names != nil {
		t.Errorf("names in another database: %v", names)
	}
}

func TestMetadataThatIsNoneIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                            "read export_info: json",
		`{"status": "x"}`:               "it has no exportTaskIdentifier; is it the file of an export?",
		`{"exportTaskIdentifier": "x"}`: "it has no status",
		`{"exportTaskIdentifier": 1}`:   "read export_info: json",
	} {
		if _, err := snapshot.ParseInfo([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`{`:                                     "read export_tables_info: unexpected end",
		`{}`:                                    "it has no perTableStatus; is it the file of an export?",
		`{"perTableStatus":[{"target":"a.b"}]}`: `table 0 has the target "a.b", which is not database.schema.table`,
		`{"perTableStatus":[{"target":"a.b.c","schemaMetadata":{"originalTypeMappings":[{"columnName":"x","originalType":"int4"},{"columnName":"x","originalType":"int4"}]}}]}`: `table a.b.c has the column "x" of type "int4", which is empty or stands twice`,
		`{"perTableStatus":[{"target":"a.b.c","schemaMetadata":{"originalTypeMappings":[{"columnName":"","originalType":"int4"}]}}]}`:                                           "is empty or stands twice",
	} {
		if _, err := snapshot.ParseTables([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

// objects are of keys under the export's folder.
func objects(keys ...string) func(func(snapshot.Object) bool) {
	var all []snapshot.Object
	for _, key := range keys {
		all = append(all, snapshot.Object{Key: "daily/nightly/" + key, Size: int64(len(key)), ETag: key})
	}
	slices.Reverse(all)
	return slices.Values(all)
}

func described(targets ...string) (tables []snapshot.TableInfo) {
	for _, target := range targets {
		tables = append(tables, snapshot.TableInfo{Target: target, Status: snapshot.Complete, Columns: []snapshot.ColumnInfo{{Name: "id", Type: "int8"}}})
	}
	return tables
}

func TestBothLayoutsAreTablesWithTheirParts(t *testing.T) {
	for name, test := range map[string]struct {
		keys []string
		want []string // tables as database schema name: parts
	}{
		"with batches": {[]string{
			"export_info_nightly.json", "export_tables_info_nightly_from_1_to_2.json", "shop/", "shop/public.orders/",
			"shop/public.orders/1/_SUCCESS", "shop/public.orders/1/part-00000-a-c000.gz.parquet", "shop/public.orders/1/part-00007-a-c000.gz.parquet",
			"shop/public.orders/a/_SUCCESS", "shop/public.orders/a/part-00000-b-c000.gz.parquet", "shop/public.empty/1/_SUCCESS",
		}, []string{"shop public orders: 1/part-00000-a-c000.gz.parquet 1/part-00007-a-c000.gz.parquet a/part-00000-b-c000.gz.parquet", "shop public empty:"}},
		"without": {[]string{
			"export_info_nightly.json", "export_tables_info_nightly_from_1_to_2.json",
			"shop/public.orders/_SUCCESS", "shop/public.orders/part-00000-a.gz.parquet", "shop/public.empty/_SUCCESS",
		}, []string{"shop public orders: part-00000-a.gz.parquet", "shop public empty:"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := snapshot.List("daily/nightly", objects(test.keys...))
			if err != nil {
				t.Fatal(err)
			}
			if l.Info.ETag != test.keys[0] || len(l.TablesInfo) != 1 || l.TablesInfo[0].ETag != test.keys[1] {
				t.Errorf("metadata %v and %v", l.Info, l.TablesInfo)
			}
			tables, findings := l.Tables(described("shop.public.orders", "shop.public.empty"))
			var got []string
			for _, table := range tables {
				text, size := fmt.Sprintf("%s %s %s:", table.Database, table.Name.Schema, table.Name.Name), int64(0)
				for _, p := range table.Parts {
					text += " " + strings.TrimPrefix(p.ETag, "shop/public.orders/")
					size += p.Size
				}
				if size != table.Bytes || len(table.Columns) != 1 || len(table.Names) != 1 {
					t.Errorf("table %+v", table)
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || findings != nil {
				t.Errorf("findings %v %s", findings, diff)
			}
		})
	}
}

func TestOddExportsHaveFindings(t *testing.T) {
	usual := []string{"export_info_nightly.json", "export_tables_info_nightly_from_1_to_9.json", "shop/public.a/1/_SUCCESS", "shop/public.a/1/part-0.parquet"}
	for name, test := range map[string]struct {
		keys   []string
		tables []snapshot.TableInfo
		want   []string // what and table
		loaded int
	}{
		"none":                          {usual, described("shop.public.a"), nil, 1},
		"a table without data":          {usual, described("shop.public.a", "shop.public.b"), []string{"no-data shop.public.b"}, 1},
		"data without a table":          {append(usual, "shop/public.b/1/_SUCCESS"), described("shop.public.a"), []string{"no-metadata shop.public.b"}, 1},
		"a table that failed":           {usual, []snapshot.TableInfo{{Target: "shop.public.a", Status: "FAILED", Columns: described("x")[0].Columns}}, []string{"incomplete shop.public.a"}, 1},
		"a table that was read in part": {usual, []snapshot.TableInfo{{Target: "shop.public.a", Status: "COMPLETE", Partitions: 3, Completed: 2, Columns: described("x")[0].Columns}}, []string{"incomplete shop.public.a"}, 1},
		"a table without columns":       {usual, []snapshot.TableInfo{{Target: "shop.public.a", Status: "COMPLETE"}}, []string{"incomplete shop.public.a"}, 1},
		"a batch without its end":       {append(usual, "shop/public.a/2/part-1.parquet"), described("shop.public.a"), []string{"incomplete shop.public.a"}, 1},
		"a part in both layouts":        {append(usual, "shop/public.a/part-1.parquet", "shop/public.a/_SUCCESS"), described("shop.public.a"), []string{"doubled shop.public.a"}, 1},
		"a part in two batches":         {append(usual, "shop/public.a/2/part-0.parquet", "shop/public.a/2/_SUCCESS"), described("shop.public.a"), []string{"doubled shop.public.a"}, 1},
		"a gap in the metadata":         {append(usual, "export_tables_info_nightly_from_11_to_12.json"), described("shop.public.a"), []string{"metadata-gap "}, 1},
		"an object that is no part":     {append(usual, "shop/public.a/1/part-0.csv", "readme", "shop/1/2/3/4.parquet", "shop/nodot/part-0.parquet"), described("shop.public.a"), []string{"strange ", "strange ", "strange ", "strange "}, 1},
		"a name with spaces":            {append(usual, "shop/public.my_table/1/_SUCCESS"), described("shop.public.a", "shop.public.my table"), nil, 2},
		"two names for one folder":      {append(usual, "shop/public.my_table/1/_SUCCESS"), described("shop.public.a", "shop.public.my table", "shop.public.my_table"), []string{"ambiguous shop.public.my_table"}, 2},
		"a table that stands twice":     {usual, described("shop.public.a", "shop.public.a"), []string{"ambiguous shop.public.a"}, 1},
		"a database's name with a dot":  {append(usual, "my.shop/public.b/1/_SUCCESS"), described("shop.public.a", "my.shop.public.b"), nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := snapshot.List("daily/nightly/", objects(test.keys...))
			if err != nil {
				t.Fatal(err)
			}
			tables, findings := l.Tables(test.tables)
			var got []string
			for _, f := range findings {
				got = append(got, f.What+" "+f.Table)
				if f.Text == "" {
					t.Errorf("%+v has no text", f)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(tables) != test.loaded {
				t.Errorf("%d tables, findings %v: %s", len(tables), findings, diff)
			}
		})
	}
	for name, test := range map[string]struct {
		keys []string
		want string
	}{
		"nothing":          {nil, "it has no export_info_….json; is this the folder that the export task made?"},
		"another's folder": {[]string{"../other/export_info_other.json"}, "it has no export_info"},
		"two exports":      {[]string{"export_info_a.json", "export_info_b.json"}, "it has two files of metadata"},
	} {
		if _, err := snapshot.List("daily/nightly", objects(test.keys...)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", name, err, test.want)
		}
	}
}
