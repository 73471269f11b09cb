package migrate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/profile"
	"godwit/internal/snapshot"
)

// The files of a snapshot's load, below snapshots/<load id>/.
const (
	exportFile     = "export.json"
	catalogFile    = "catalog.json"
	planFile       = "plan.json"
	itemsFile      = "items.jsonl"
	assessmentFile = "assessment.json"
	assessmentPage = "assessment.html"
	keysFile       = "keys.sql"
	profileFile    = "profile.json"
)

// PlanSnapshot decides what becomes of every table and column, and shares the
// export out into items of row ranges.
type PlanSnapshot struct {
	Objects    Objects
	Ranges     Ranges
	WorkBucket string
	Cluster    string // ARN of the target
	Profile    string // of a target that nobody probed; "" wants a probe
	ItemBytes  int64  // 0 is 128 MiB
	// What the estimate is reckoned with.
	DSQL     bool // the target is Aurora DSQL
	Region   string
	MemoryMB int64 // of a function
	Now      func() time.Time
}

// Ranges reads pieces of objects.
type Ranges interface {
	// ReadAt fills p with an object's bytes from offset on, and refuses an object
	// that changed since etag or ends before.
	ReadAt(ctx context.Context, bucket, key, etag string, p []byte, offset int64) error
}

// PlanSnapshotIn is the load, its input, what preflight found, and the execution's
// name.
type PlanSnapshotIn struct {
	LoadId    string
	Input     SnapshotInput
	Preflight SnapshotPreflightOut
	Execution string
}

// PlanSnapshotOut names where the items lie.
type PlanSnapshotOut struct {
	LoadId     string
	Schemas    []string // of the target, that tables are made in
	Items      ObjectRef
	ItemCount  int
	Assessment string // S3 URI of the assessment for people
}

// A SnapshotPlan is what the load of a snapshot will do: plan.json, which never
// changes.
type SnapshotPlan struct {
	LoadID       string
	Execution    string // that planned it last
	Input        SnapshotInput
	Place        ExportPlace
	Database     string // of the source
	SnapshotTime string // as AWS spells it; "" is not known, and so are the next two
	ExportBegan  string
	ExportEnded  string
	Profile      string
	Probed       string // day on which the target said what it can do; "" is not known
	Catalog      bool   // keys and constraints are those of the source's catalog
	Plans        []change.TablePlan
	Tables       []PlannedTable // by the index of Plans
	Items        int
	Findings     []assess.Finding
	Skipped      []string // that the export left out, and the input accepted
}

// A PlannedTable counts what the export has of a table.
type PlannedTable struct {
	Parts int
	Bytes int64 // of the parts
}

// load is what the target registers.
func (p *SnapshotPlan) load() (change.TableLoad, error) {
	b, err := json.Marshal(p.Plans)
	if err != nil {
		return change.TableLoad{}, err
	}
	sum := sha256.Sum256(b)
	l := change.TableLoad{ID: p.LoadID, Plan: hex.EncodeToString(sum[:16]), Replace: p.Input.Replace}
	for _, t := range p.Plans {
		l.Tables = append(l.Tables, t.Target)
	}
	return l, nil
}

// A SnapshotItem is a unit of work: rows of one table, of one part or several.
type SnapshotItem struct {
	Item  int // number in the load
	Table int // index into the plan's Plans
	Parts []PartRange
}

// A PartRange is the rows [From, To) of a part; To 0 is all of it.
type PartRange struct {
	Key      string
	ETag     string
	Size     int64
	From, To int64
}

// Handle plans a load. It may be repeated: the same export, catalog, rules and probe
// of the target make the same plan. Once a load goes on to the target, its probe is
// kept beside it: what is found later makes no other plan of it.
func (p *PlanSnapshot) Handle(ctx context.Context, in PlanSnapshotIn) (PlanSnapshotOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *PlanSnapshot) handle(ctx context.Context, in PlanSnapshotIn) (PlanSnapshotOut, error) {
	run, err := readSnapshotRun(ctx, p.Objects, p.WorkBucket, p.Cluster, in.Input)
	if err != nil {
		return PlanSnapshotOut{}, err
	}
	if run.id != in.LoadId {
		return PlanSnapshotOut{}, &Stop{fmt.Errorf("a file that the input names changed since the load %s began: start SnapshotLoad again", in.LoadId)}
	}
	var export SnapshotExport
	if err := readJSON(ctx, p.Objects, p.WorkBucket, snapshotKey(in.LoadId, exportFile), &export); err != nil {
		return PlanSnapshotOut{}, err
	}
	plan := &SnapshotPlan{LoadID: in.LoadId, Execution: in.Execution, Input: in.Input, Place: export.Place, Skipped: export.Skipped}
	tables, odd, err := p.tables(ctx, plan)
	if err != nil {
		return PlanSnapshotOut{}, err
	}
	known, err := p.catalog(ctx, plan)
	if err != nil {
		return PlanSnapshotOut{}, err
	}
	probe, target, err := p.target(ctx, plan)
	if err != nil {
		return PlanSnapshotOut{}, err
	}
	chosen := chooseNames(tables, known)
	about := assess.Input{Catalog: known, Database: plan.Database, Export: assessed(chosen), Partial: len(in.Input.Only) > 0, Rules: run.rules, Profile: target}
	decision, err := assess.Decide(about)
	if err != nil {
		return PlanSnapshotOut{}, &Stop{fmt.Errorf("assess the database %s: %w", plan.Database, err)}
	}
	plan.Plans, plan.Findings = decision.Plans, decision.Findings
	out := PlanSnapshotOut{LoadId: in.LoadId, Items: ObjectRef{p.WorkBucket, snapshotKey(in.LoadId, itemsFile)}}
	out.Assessment = "s3://" + p.WorkBucket + "/" + snapshotKey(in.LoadId, assessmentPage)
	items, err := p.items(ctx, plan, chosen)
	if err != nil {
		return PlanSnapshotOut{}, err
	}
	plan.Items, out.ItemCount = len(items), len(items)
	if err := p.write(ctx, plan, items); err != nil {
		return PlanSnapshotOut{}, err
	}
	if err := p.assess(ctx, in, plan, run, about, decision, export, odd); err != nil {
		return PlanSnapshotOut{}, err
	}
	for _, t := range plan.Plans {
		out.Schemas = append(out.Schemas, t.Target.Schema)
	}
	slices.Sort(out.Schemas)
	out.Schemas = slices.Compact(out.Schemas)
	if in.Input.Mode == "assess" {
		return out, nil
	}
	if err := refusals(decision, odd, in.Input.AcceptSkipped, out.Assessment); err != nil {
		return out, err
	}
	return out, putJSON(ctx, p.Objects, p.WorkBucket, snapshotKey(in.LoadId, profileFile), probe)
}

// target reads what the target said that it can do when the load went on to it, or
// else when it was last probed.
func (p *PlanSnapshot) target(ctx context.Context, plan *SnapshotPlan) (*TargetProbe, *profile.Profile, error) {
	probe, err := readProbe(ctx, p.Objects, p.WorkBucket, snapshotKey(plan.LoadID, profileFile), p.Cluster)
	if err == nil && probe == nil {
		probe, err = readProbe(ctx, p.Objects, p.WorkBucket, probeKey, p.Cluster)
	}
	if err != nil {
		return nil, nil, err
	}
	if probe == nil {
		if p.Profile == "" {
			return nil, nil, &Stop{fmt.Errorf("there is no s3://%s/%s of the target, which tells what it can do: start SnapshotLoad again", p.WorkBucket, probeKey)}
		}
		probe = &TargetProbe{Cluster: p.Cluster, Profile: p.Profile}
	}
	known, err := probe.profile()
	if err != nil {
		return nil, nil, &Stop{fmt.Errorf("read what the target can do: %w", err)}
	}
	plan.Profile, plan.Probed = probe.Profile, probe.day()
	return probe, known, nil
}

// tables reads what the export holds of the database that is loaded.
func (p *PlanSnapshot) tables(ctx context.Context, plan *SnapshotPlan) ([]snapshot.Table, []snapshot.Finding, error) {
	var listed []snapshot.Object
	err := p.Objects.List(ctx, plan.Place.Bucket, plan.Place.Prefix, func(key, etag string, size int64, _ string) error {
		listed = append(listed, snapshot.Object{Key: key, ETag: etag, Size: size})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	layout, err := snapshot.List(plan.Place.Prefix, slices.Values(listed))
	if err != nil {
		return nil, nil, &Stop{fmt.Errorf("read the export s3://%s/%s: %w", plan.Place.Bucket, plan.Place.Prefix, err)}
	}
	text, err := readAll(ctx, p.Objects, plan.Place.Bucket, layout.Info.Key)
	if err != nil {
		return nil, nil, err
	}
	info, err := snapshot.ParseInfo(text)
	if err != nil {
		return nil, nil, &Stop{fmt.Errorf("read s3://%s/%s: %w", plan.Place.Bucket, layout.Info.Key, err)}
	}
	plan.SnapshotTime, plan.ExportBegan, plan.ExportEnded = info.SnapshotTime, info.Began, info.Ended
	var infos []snapshot.TableInfo
	for _, o := range layout.TablesInfo {
		if text, err = readAll(ctx, p.Objects, plan.Place.Bucket, o.Key); err != nil {
			return nil, nil, err
		}
		more, err := snapshot.ParseTables(text)
		if err != nil {
			return nil, nil, &Stop{fmt.Errorf("read s3://%s/%s: %w", plan.Place.Bucket, o.Key, err)}
		}
		infos = append(infos, more...)
	}
	all, findings := layout.Tables(infos)
	var databases []string
	for _, t := range all {
		databases = append(databases, t.Database)
	}
	slices.Sort(databases)
	databases = slices.Compact(databases)
	switch plan.Database = plan.Input.Database; {
	case plan.Database != "" && !slices.Contains(databases, plan.Database):
		return nil, nil, &Stop{fmt.Errorf("the export has no database %q: it has %s", plan.Database, strings.Join(databases, ", "))}
	case plan.Database == "" && len(databases) > 1:
		return nil, nil, &Stop{fmt.Errorf("the export has %d databases (%s): name one as Database in the input", len(databases), strings.Join(databases, ", "))}
	case plan.Database == "" && len(databases) == 1:
		plan.Database = databases[0]
	case len(databases) == 0:
		return nil, nil, &Stop{fmt.Errorf("the export s3://%s/%s has no table", plan.Place.Bucket, plan.Place.Prefix)}
	}
	of := func(database string) bool { return database == plan.Database }
	all = slices.DeleteFunc(all, func(t snapshot.Table) bool { return !of(t.Database) })
	findings = slices.DeleteFunc(findings, func(f snapshot.Finding) bool {
		database, _, _ := strings.Cut(f.Table, ".")
		return f.Table != "" && !of(database) && slices.Contains(databases, database)
	})
	return all, findings, nil
}

// catalog reads the catalog that was kept, if one was.
func (p *PlanSnapshot) catalog(ctx context.Context, plan *SnapshotPlan) (*catalog.Catalog, error) {
	key := snapshotKey(plan.LoadID, catalogFile)
	there, err := exists(ctx, p.Objects, p.WorkBucket, key)
	if err != nil || !there {
		return nil, err
	}
	text, err := readAll(ctx, p.Objects, p.WorkBucket, key)
	if err != nil {
		return nil, err
	}
	known, err := catalog.Parse(text)
	if err != nil {
		return nil, &Stop{fmt.Errorf("read the catalog s3://%s/%s: %w", p.WorkBucket, key, err)}
	}
	if known.Database != plan.Database {
		return nil, &Stop{fmt.Errorf("the catalog is of the database %s, and the export's is %s: give the catalog of that one", known.Database, plan.Database)}
	}
	plan.Catalog = true
	return known, nil
}

// A chosenTable is a table of the export under the name that it has in the source.
type chosenTable struct {
	name  change.TableName
	table snapshot.Table
}

// chooseNames settles where the schema ends in names with points in them, by the
// catalog where there is one.
func chooseNames(tables []snapshot.Table, known *catalog.Catalog) []chosenTable {
	list := make([]chosenTable, 0, len(tables))
	for _, t := range tables {
		name := t.Name
		if known != nil {
			if i := slices.IndexFunc(t.Names, func(n change.TableName) bool { return known.Table(n) != nil }); i >= 0 {
				name = t.Names[i]
			}
		}
		list = append(list, chosenTable{name, t})
	}
	return list
}

// assessed is the export as assess takes it.
func assessed(tables []chosenTable) []assess.Table {
	list := make([]assess.Table, 0, len(tables))
	for _, t := range tables {
		a := assess.Table{Name: t.name, Empty: len(t.table.Parts) == 0}
		for _, c := range t.table.Columns {
			a.Columns = append(a.Columns, assess.Column{
				Name: c.Name, Type: c.Type, Exported: c.Exported, MaxLength: int64(c.MaxLength), Precision: int64(c.Precision), Fraction: int64(c.Fraction),
			})
		}
		list = append(list, a)
	}
	return list
}

// items shares the parts of the tables that are loaded out into items of some 128
// MB, minutes of a core and of the target. RDS writes parts of 1 to 10 MB, so that
// an item takes several; a larger one is cut at its row groups.
//
// They come in the order in which they are worked on: the largest first, and
// otherwise in one that mixes the tables, so that no table is written to by all at
// once and the last items are small ones.
func (p *PlanSnapshot) items(ctx context.Context, plan *SnapshotPlan, tables []chosenTable) ([]SnapshotItem, error) {
	limit := cmp.Or(p.ItemBytes, itemBytes)
	type sized struct {
		SnapshotItem
		bytes int64
		order [32]byte
	}
	var list []sized
	add := func(table int, parts []PartRange, bytes int64) {
		s := sized{SnapshotItem: SnapshotItem{Table: table, Parts: parts}, bytes: bytes}
		s.order = sha256.Sum256(fmt.Appendf(nil, "%s %s %d", plan.LoadID, parts[0].Key, parts[0].From))
		list = append(list, s)
	}
	plan.Tables = make([]PlannedTable, len(plan.Plans))
	for i := range plan.Plans {
		parts, err := partsOf(&plan.Plans[i], tables)
		if err != nil {
			return nil, err
		}
		var some []PartRange
		var bytes, text int64
		for _, o := range parts {
			plan.Tables[i].Parts++
			plan.Tables[i].Bytes += o.Size
			whole := PartRange{Key: o.Key, ETag: o.ETag, Size: o.Size}
			if o.Size > limit {
				pieces, err := p.cut(ctx, plan, whole, limit)
				if err != nil {
					return nil, err
				}
				for _, piece := range pieces {
					add(i, []PartRange{piece}, limit)
				}
				continue
			}
			// Parts of two partitions may have their columns in different orders.
			if (bytes+o.Size > limit || text > itemText || o.first) && len(some) > 0 {
				add(i, some, bytes)
				some, bytes, text = nil, 0, 0
			}
			some, bytes, text = append(some, whole), bytes+o.Size, text+int64(len(o.Key))+128
		}
		if len(some) > 0 {
			add(i, some, bytes)
		}
	}
	slices.SortFunc(list, func(a, b sized) int {
		// By size as far as it tells: items that are full are all as large.
		return cmp.Or(cmp.Compare(b.bytes>>24, a.bytes>>24), slices.Compare(a.order[:], b.order[:]))
	})
	out := make([]SnapshotItem, len(list))
	for i, s := range list {
		s.Item = i
		out[i] = s.SnapshotItem
	}
	return out, nil
}

// A tablePart is a part of a table of the export; first is the first of it.
type tablePart struct {
	snapshot.Object
	first bool
}

// partsOf returns the parts that have a table's rows: its own, or its partitions'.
func partsOf(p *change.TablePlan, tables []chosenTable) (parts []tablePart, err error) {
	names := p.Partitions
	if names == nil {
		names = []change.TableName{p.Source}
	}
	for _, name := range names {
		at := slices.IndexFunc(tables, func(t chosenTable) bool { return t.name == name })
		if at < 0 {
			return nil, &Stop{fmt.Errorf("table %s.%s is planned and not in the export: please report this", name.Schema, name.Name)}
		}
		for i, o := range tables[at].table.Parts {
			parts = append(parts, tablePart{o, i == 0})
		}
	}
	return parts, nil
}

// cut cuts a large part at its row groups.
func (p *PlanSnapshot) cut(ctx context.Context, plan *SnapshotPlan, whole PartRange, limit int64) ([]PartRange, error) {
	part, err := openPart(ctx, p.Ranges, plan.Place.Bucket, whole)
	if err != nil {
		return nil, err
	}
	var pieces []PartRange
	var from, bytes int64
	groups := part.RowGroups()
	for i, g := range groups {
		bytes += g.Compressed
		if end := g.First + g.Rows; bytes >= limit || i == len(groups)-1 {
			piece := whole
			piece.From, piece.To = from, end
			pieces = append(pieces, piece)
			from, bytes = end, 0
		}
	}
	return pieces, nil
}

// write stores the plan, its items, and the rule of new keys.
func (p *PlanSnapshot) write(ctx context.Context, plan *SnapshotPlan, items []SnapshotItem) error {
	if err := putJSON(ctx, p.Objects, p.WorkBucket, snapshotKey(plan.LoadID, planFile), plan); err != nil {
		return err
	}
	var keys strings.Builder
	for i := range plan.Plans {
		if sql := assess.KeySQL(&plan.Plans[i]); sql != "" {
			t := plan.Plans[i].Source
			fmt.Fprintf(&keys, "-- the key in the target of a row of %s.%s, over its columns in the source\n%s;\n\n", t.Schema, t.Name, sql)
		}
	}
	if err := p.Objects.Put(ctx, p.WorkBucket, snapshotKey(plan.LoadID, keysFile), []byte(keys.String()), "text/plain", ""); err != nil {
		return err
	}
	return putLines(ctx, p.Objects, p.WorkBucket, snapshotKey(plan.LoadID, itemsFile), items)
}

// refusals is the error of a load that its assessment refuses.
func refusals(decision *assess.Decision, odd []snapshot.Finding, accept bool, assessment string) error {
	var texts []Finding
	for _, f := range decision.Refused() {
		at := strings.TrimSuffix(strings.TrimPrefix(f.Table.Schema+"."+f.Table.Name+"."+f.Column, "."), ".")
		texts = append(texts, Finding{Text: strings.TrimSpace(fmt.Sprintf("%s: %s %s", cmp.Or(at, "the database"), f.Why, f.Do))})
	}
	for _, f := range odd {
		if f.What != snapshot.Strange && !accept {
			texts = append(texts, Finding{Text: fmt.Sprintf("%s: %s; take the export again, or accept it with \"AcceptSkipped\": true", cmp.Or(f.Table, "the export"), f.Text)})
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &Stop{fmt.Errorf("nothing was loaded, because of %d findings (all of them are in %s):\n%w", len(texts), assessment, stopText(texts, "the assessment lists them"))}
}
