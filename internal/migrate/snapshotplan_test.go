package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/migrate"
)

// ReadAt reads a piece of an object, as migrate.Ranges.
func (m *memoryObjects) ReadAt(ctx context.Context, bucket, key, etag string, p []byte, offset int64) error {
	r, err := m.Open(ctx, bucket, key, etag, offset)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // of memory
	for len(p) > 0 {
		n, err := r.Read(p)
		if p = p[n:]; err != nil {
			return fmt.Errorf("read %s/%s: it ends too soon: %w", bucket, key, err)
		}
	}
	return nil
}

const exportFolder = "mine/daily/"

// A planning is an export of two tables that is to be planned, with what its input
// names.
type planning struct {
	*migrate.PlanSnapshot
	objects *memoryObjects
	input   map[string]any
	catalog *catalog.Catalog
	tables  []map[string]any
}

func mapped(columns ...string) map[string]any {
	var list []map[string]string
	for i := 0; i < len(columns); i += 2 {
		list = append(list, map[string]string{"columnName": columns[i], "originalType": columns[i+1], "expectedExportedType": map[string]string{"integer": "int32"}[columns[i+1]]})
	}
	return map[string]any{"originalTypeMappings": list}
}

func integer(name string) catalog.Column {
	return catalog.Column{Name: name, Type: catalog.Type{Name: "integer", Class: catalog.Base, Builtin: true}, NotNull: true}
}

func newPlanning(t *testing.T) *planning {
	o := newObjects(t)
	o.changing = func(key string) bool { return strings.HasPrefix(key, "snapshots/") }
	name := func(name string) catalog.Column {
		return catalog.Column{Name: name, Type: catalog.Type{Name: "text", Class: catalog.Base, Builtin: true}}
	}
	p := &planning{
		objects: o, PlanSnapshot: &migrate.PlanSnapshot{Objects: o, Ranges: o, WorkBucket: workBucket, Cluster: "arn:target", Profile: "aurora-dsql", ItemBytes: 1000, Now: func() time.Time { return time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC) }},
		input: map[string]any{"Export": migrate.ExportPlace{Bucket: exportsHere, Prefix: exportFolder}},
		catalog: &catalog.Catalog{Version: 1, Server: 160004, Database: "shop", Encoding: "UTF8", Collate: "C", Monetary: "C", Tables: []catalog.Table{
			{Schema: "app", Name: "a", Kind: catalog.Ordinary, Columns: []catalog.Column{integer("id"), name("name")}, Key: &catalog.Key{Name: "a_pkey", Columns: []string{"id"}}},
			{
				Schema: "app", Name: "b", Kind: catalog.Ordinary, Columns: []catalog.Column{integer("id"), integer("a")}, Key: &catalog.Key{Name: "b_pkey", Columns: []string{"id"}},
				Foreign: []catalog.ForeignKey{{Name: "b_a", Columns: []string{"a"}, Table: change.TableName{Schema: "app", Name: "a"}, References: []string{"id"}, OnUpdate: "NO ACTION", OnDelete: "NO ACTION", Match: "SIMPLE"}},
			},
		}},
		tables: []map[string]any{
			{"target": "shop.app.a", "status": "COMPLETE", "schemaMetadata": mapped("id", "integer", "name", "text")},
			{"target": "shop.app.b", "status": "COMPLETE", "schemaMetadata": mapped("id", "integer", "a", "integer")},
		},
	}
	p.object("export_info_daily.json", exported("daily"))
	for _, table := range []string{"a", "b"} {
		p.object("shop/app."+table+"/1/_SUCCESS", nil)
		for i := range 3 {
			p.object(fmt.Sprintf("shop/app.%s/1/part-0000%d-%s.gz.parquet", table, i, table), make([]byte, 400+i))
		}
	}
	return p
}

func (p *planning) object(key string, body []byte) {
	p.objects.set(exportsHere, exportFolder+key, body)
}

func (p *planning) remove(key string) { delete(p.objects.objects, exportsHere+"/"+exportFolder+key) }

// run does what comes before the plan, and plans.
func (p *planning) run(t *testing.T) (migrate.PlanSnapshotOut, error) {
	t.Helper()
	tables, err1 := json.Marshal(map[string]any{"perTableStatus": p.tables})
	input, err2 := json.Marshal(p.input)
	known, err3 := json.Marshal(p.catalog)
	export, err4 := json.Marshal(migrate.SnapshotExport{Place: migrate.ExportPlace{Bucket: exportsHere, Prefix: exportFolder}, Done: true})
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Fatal(err1, err2, err3, err4)
	}
	if p.tables != nil {
		p.object("export_tables_info_daily_from_1_to_2.json", tables)
	}
	preflight := newPreflight(newRDS(t), p.objects)
	out, err := preflight.Handle(t.Context(), migrate.SnapshotPreflightIn{Input: input})
	if err != nil {
		return migrate.PlanSnapshotOut{}, err
	}
	if p.catalog != nil {
		p.objects.set(workBucket, "snapshots/"+out.LoadId+"/catalog.json", known)
	}
	p.objects.set(workBucket, "snapshots/"+out.LoadId+"/export.json", export)
	in, err := migrate.ParseSnapshotInput(input)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handle(t.Context(), migrate.PlanSnapshotIn{LoadId: out.LoadId, Input: in, Execution: "x"})
}

func (p *planning) rules(text string) {
	p.objects.set(workBucket, "mappings/m.json", []byte(text))
	p.input["Mapping"] = "s3://" + workBucket + "/mappings/m.json"
}

// What an export lacks, what is odd about it, and what its catalog and the rules say
// of what is not there, stops a load before the target is touched: each with what
// and where it is, and what to do.
func TestPlansOfOddExportsAreRefused(t *testing.T) {
	t.Parallel()
	const again = `take the export again, or accept it with "AcceptSkipped": true`
	for name, test := range map[string]struct {
		edit func(*planning)
		want []string // nil is planned
	}{
		"nothing odd": {func(*planning) {}, nil},
		"no catalog":  {func(p *planning) { p.catalog = nil }, nil},
		"an empty table": {func(p *planning) {
			p.remove("shop/app.a/1/part-00000-a.gz.parquet")
			p.remove("shop/app.a/1/part-00001-a.gz.parquet")
			p.remove("shop/app.a/1/part-00002-a.gz.parquet")
		}, nil},
		"a gap in part numbers":   {func(p *planning) { p.remove("shop/app.a/1/part-00001-a.gz.parquet") }, nil},
		"a batch without its end": {func(p *planning) { p.remove("shop/app.a/1/_SUCCESS") }, []string{"shop.app.a: its folder shop/app.a/1 has no _SUCCESS", again}},
		"a table without a folder": {func(p *planning) {
			p.tables = append(p.tables, map[string]any{"target": "shop.app.c", "status": "COMPLETE", "schemaMetadata": mapped("id", "integer")})
		}, []string{"shop.app.c: the metadata names it, but it has no folder", again}},
		"a folder without metadata": {func(p *planning) { p.object("shop/app.d/1/_SUCCESS", nil) }, []string{"shop.app.d: it has the folder shop/app.d, but the metadata does not name it", again}},
		"a table that failed":       {func(p *planning) { p.tables[0]["status"] = "FAILED" }, []string{`shop.app.a: its status is "FAILED", not COMPLETE`, again}},
		"no metadata of tables":     {func(p *planning) { p.tables = nil }, []string{"the export s3://exports/mine/daily/ has no table"}},
		"a gap in the metadata": {func(p *planning) {
			p.object("export_tables_info_daily_from_5_to_5.json", []byte(`{"perTableStatus": []}`))
		}, []string{"the export: after mine/daily/export_tables_info_daily_from_1_to_2.json comes", again}},
		"metadata of another export": {func(p *planning) { p.object("export_info_weekly.json", exported("weekly")) }, []string{"it has two files of metadata", "export_info_daily.json and", "export_info_weekly.json", "which export is it?"}},
		"tables of another export": {func(p *planning) {
			p.object("export_tables_info_weekly_from_3_to_4.json", []byte(`{"perTableStatus": [{"target": "shop.app.a", "status": "COMPLETE"}]}`))
		}, []string{"shop.app.a: it stands twice in the metadata", again}},
		"metadata cut short": {func(p *planning) {
			p.object("export_tables_info_daily_from_3_to_4.json", []byte(`{"perTableStatus": [`))
		}, []string{"read s3://exports/mine/daily/export_tables_info_daily_from_3_to_4.json", "unexpected end"}},
		"parts in both layouts": {func(p *planning) {
			p.object("shop/app.b/part-00000-b.gz.parquet", make([]byte, 9))
			p.object("shop/app.b/_SUCCESS", nil)
		}, []string{"shop.app.b: it has parts in folders of batches and beside them: its rows may come twice", again}},
		"a part in two batches": {func(p *planning) {
			p.object("shop/app.b/2/part-00000-b.gz.parquet", make([]byte, 9))
			p.object("shop/app.b/2/_SUCCESS", nil)
		}, []string{"shop/app.b/1/part-00000-b.gz.parquet and", "have one name: its rows may come twice"}},
		"two databases": {func(p *planning) {
			p.tables = append(p.tables, map[string]any{"target": "other.app.a", "status": "COMPLETE", "schemaMetadata": mapped("id", "integer")})
			p.object("other/app.a/1/_SUCCESS", nil)
		}, []string{"the export has 2 databases (other, shop): name one as Database in the input"}},
		"another database":              {func(p *planning) { p.input["Database"] = "shoe" }, []string{`the export has no database "shoe": it has shop`}},
		"a catalog of another database": {func(p *planning) { p.catalog.Database = "shoe" }, []string{"the catalog is of the database shoe, and the export's is shop"}},
		"a column that was added":       {func(p *planning) { p.catalog.Tables[0].Columns = append(p.catalog.Tables[0].Columns, integer("later")) }, []string{"app.a.later: The catalog has this column and the export does not: it was added after the snapshot", "Take another snapshot"}},
		"a column that was dropped":     {func(p *planning) { p.catalog.Tables[0].Columns = p.catalog.Tables[0].Columns[:1] }, []string{"app.a.name: The export has this column and the catalog does not: it was dropped or renamed", "Give the catalog that was read when the snapshot was taken"}},
		"a column that was altered":     {func(p *planning) { p.catalog.Tables[0].Columns[1] = integer("name") }, []string{"app.a.name: The catalog says that its type is integer, and the export was made of text", "Take another snapshot"}},
		"a table that was made since": {func(p *planning) {
			p.catalog.Tables = append(p.catalog.Tables, catalog.Table{Schema: "app", Name: "new", Kind: catalog.Ordinary, Columns: []catalog.Column{integer("id")}})
		}, []string{"app.new: The catalog has this table and the export does not"}},
		"a table that was dropped since": {func(p *planning) { p.catalog.Tables[1].Foreign, p.catalog.Tables = nil, p.catalog.Tables[1:] }, []string{"app.a: The export has this table and the catalog does not"}},
		"an unlogged table": {func(p *planning) {
			p.catalog.Tables = append(p.catalog.Tables, catalog.Table{Schema: "app", Name: "cache", Kind: catalog.Ordinary, Unlogged: true, Columns: []catalog.Column{integer("id")}})
		}, []string{"app.cache: It is an unlogged table, which exports leave out without a word. ALTER TABLE … SET LOGGED"}},
		"an odd column's name": {func(p *planning) {
			p.catalog.Tables = append(p.catalog.Tables, catalog.Table{Schema: "app", Name: "odd", Kind: catalog.Ordinary, Columns: []catalog.Column{integer("a;b")}})
		}, []string{`app.odd: Exports leave it out without a word, because of the character ';' in the name of its column "a;b"`}},
		"rules of no table": {func(p *planning) {
			p.rules(`{"version": 1, "from": "postgresql", "tables": {"app.z": {"target": "y"}}}`)
		}, []string{"app.z: The mapping names this table, and the source does not have it. Mend the name"}},
		"rules of no column": {func(p *planning) {
			p.rules(`{"version": 1, "from": "postgresql", "tables": {"app.a": {"columns": {"colour": {"name": "x"}}}}}`)
		}, []string{"app.a.colour: The mapping names this column, and the table does not have it"}},
		"two tables into one": {func(p *planning) {
			p.rules(`{"version": 1, "from": "postgresql", "tables": {"app.a": {"target": "b"}}}`)
		}, []string{"app.b: It and app.a would both be app.b in the target"}},
		"into the bookkeeping": {func(p *planning) { p.rules(`{"version": 1, "from": "postgresql", "schema": "godwit"}`) }, []string{`the schema "godwit" holds the bookkeeping: choose another`}},
		"everything at once": {func(p *planning) {
			p.catalog.Tables[0].Columns[1] = integer("name")
			p.remove("shop/app.b/1/_SUCCESS")
			p.tables[0]["status"] = "FAILED"
		}, []string{"because of 3 findings", "app.a.name", "shop.app.b", `"FAILED"`}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanning(t)
			test.edit(p)
			out, err := p.run(t)
			if test.want == nil {
				if err != nil || out.ItemCount == 0 || !slices.Equal(out.Schemas, []string{"app"}) {
					t.Errorf("%+v, %v", out, err)
				}
				return
			}
			if retry(err) != "Stop" {
				t.Errorf("the error is %s, want Stop: %v", retry(err), err)
			}
			hasTexts(t, err, test.want...)
			if !strings.Contains(test.want[len(test.want)-1], "AcceptSkipped") {
				return
			}
			// What was accepted is loaded as it is.
			p.input["AcceptSkipped"] = true
			if _, err := p.run(t); err != nil && strings.Contains(err.Error(), "AcceptSkipped") {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}

// An assessment ends well whatever it found: it is what the user asked for.
func TestAnAssessmentOfABadExportEndsWell(t *testing.T) {
	t.Parallel()
	p := newPlanning(t)
	p.catalog.Tables[0].Columns[1] = integer("name")
	p.remove("shop/app.b/1/_SUCCESS")
	p.input["Mode"] = "assess"
	out, err := p.run(t)
	if err != nil || out.Assessment == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	text := string(p.objects.objects[workBucket+"/snapshots/"+out.LoadId+"/assessment.json"].body)
	for _, want := range []string{"The catalog says that its type is integer", "has no _SUCCESS"} {
		if !strings.Contains(text, want) {
			t.Errorf("the assessment does not say %q", want)
		}
	}
}

// The rules are those that the load began with.
func TestChangedRulesAreAnotherLoad(t *testing.T) {
	t.Parallel()
	p := newPlanning(t)
	p.rules(`{"version": 1, "from": "postgresql"}`)
	out, err := p.run(t)
	if err != nil {
		t.Fatal(err)
	}
	p.rules(`{"version": 1, "from": "postgresql", "keys": "uuid"}`)
	in := migrate.SnapshotInput{Export: &migrate.ExportPlace{Bucket: exportsHere, Prefix: exportFolder}, Mapping: "s3://" + workBucket + "/mappings/m.json"}
	_, err = p.Handle(t.Context(), migrate.PlanSnapshotIn{LoadId: out.LoadId, Input: in})
	if retry(err) != "Stop" {
		t.Error(err)
	}
	hasTexts(t, err, "a file that the input names changed since the load "+out.LoadId+" began: start SnapshotLoad again")
}

// itemsOf reads the items that a plan wrote.
func (p *planning) items(t *testing.T, out migrate.PlanSnapshotOut) (list []migrate.SnapshotItem) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(p.objects.objects[out.Items.Bucket+"/"+out.Items.Key].body))
	for d.More() {
		var x migrate.SnapshotItem
		if err := d.Decode(&x); err != nil {
			t.Fatal(err)
		}
		list = append(list, x)
	}
	return list
}

// Every row group of every part is in one item, whether parts are grouped or cut;
// and no item holds parts of two partitions.
func TestItemsHoldEveryRowOnce(t *testing.T) {
	t.Parallel()
	p := newPlanning(t)
	var big bytes.Buffer
	w := parquet.NewGenericWriter[struct{ ID int64 }](&big, parquet.MaxRowsPerRowGroup(100), parquet.Compression(&parquet.Uncompressed))
	for i := range 1000 {
		if _, err := w.Write([]struct{ ID int64 }{{int64(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p.object("shop/app.b/1/part-00009-b.gz.parquet", big.Bytes())
	parted, ids := change.TableName{Schema: "app", Name: "parted"}, mapped("id", "integer")
	p.catalog.Tables = append(p.catalog.Tables, catalog.Table{Schema: "app", Name: "parted", Kind: catalog.Partitioned, Columns: []catalog.Column{integer("id")}})
	for _, name := range []string{"parted_1", "parted_2"} {
		p.catalog.Tables = append(p.catalog.Tables, catalog.Table{Schema: "app", Name: name, Kind: catalog.Ordinary, PartitionOf: &parted, Columns: []catalog.Column{integer("id")}})
		p.tables = append(p.tables, map[string]any{"target": "shop.app." + name, "status": "COMPLETE", "schemaMetadata": ids})
		p.object("shop/app."+name+"/1/_SUCCESS", nil)
		p.object("shop/app."+name+"/1/part-00000-"+name+".gz.parquet", make([]byte, 10))
	}
	out, err := p.run(t)
	if err != nil {
		t.Fatal(err)
	}
	whole, rows := map[string]int{}, map[int64]int{}
	for i, x := range p.items(t, out) {
		if x.Item != i {
			t.Errorf("item %d has the number %d", i, x.Item)
		}
		folders := map[string]bool{}
		for _, part := range x.Parts {
			folder, _, _ := strings.Cut(strings.TrimPrefix(part.Key, exportFolder+"shop/"), "/")
			folders[folder] = true
			if part.To == 0 {
				whole[part.Key]++
				continue
			}
			for row := part.From; row < part.To; row++ {
				rows[row]++
			}
		}
		if len(folders) != 1 {
			t.Errorf("item %d has parts of %v", i, folders)
		}
	}
	if len(whole) != 8 || len(rows) != 1000 {
		t.Errorf("%d whole parts and %d rows of the large one, want 8 and 1000", len(whole), len(rows))
	}
	for key, n := range whole {
		if n != 1 {
			t.Errorf("%s is in %d items", key, n)
		}
	}
	for row, n := range rows {
		if n != 1 {
			t.Errorf("row %d is in %d items", row, n)
		}
	}
	again, err := p.run(t)
	if err != nil || fmt.Sprint(p.items(t, again)) != fmt.Sprint(p.items(t, out)) {
		t.Errorf("planned again it is another plan, %v", err)
	}
	// A large part has to be looked into: one that is damaged is named.
	p.object("shop/app.b/1/part-00009-b.gz.parquet", big.Bytes()[:big.Len()-9])
	_, err = p.run(t)
	if retry(err) != "Stop" {
		t.Errorf("damaged: %v", err)
	}
	hasTexts(t, err, "read s3://exports/mine/daily/shop/app.b/1/part-00009-b.gz.parquet", "is it cut short?", "export the snapshot again")
}
