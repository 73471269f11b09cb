package snapshot

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// An Object is an object of the export's bucket.
type Object struct {
	Key  string
	Size int64
	ETag string
}

// A Layout is what lies under an export's folder, by its names alone.
type Layout struct {
	// Info and TablesInfo are the metadata, to be read and given to Tables.
	Info       Object
	TablesInfo []Object // in the order of their numbers

	folders  map[string]*folder // by database/schema.table
	findings []Finding
}

type folder struct {
	parts   []Object
	batches map[string]bool // by name, "" where there are none: it has its _SUCCESS
}

// A Finding is what is odd in an export.
type Finding struct {
	Table string // as the export names it: database.schema.table; "" for the export
	What  string // one of the constants
	Text  string
}

// What a Finding says. All but Strange stop a load, unless its input accepts
// them: data may be missing.
const (
	NoData     = "no-data"      // a table of the metadata has no folder
	NoMetadata = "no-metadata"  // a folder is of no table of the metadata
	Incomplete = "incomplete"   // a table's status is not COMPLETE, or a batch has no _SUCCESS
	Gap        = "metadata-gap" // numbers of tables are in no file of the metadata
	Ambiguous  = "ambiguous"    // two tables would have one folder
	Doubled    = "doubled"      // parts lie where their rows would come twice
	Strange    = "strange"      // an object that no export writes; it is not read
)

// A Table is a table of an export, with its data.
type Table struct {
	Database string
	// Name is the first of Names, which are more than one where a point in a name
	// leaves open where the schema ends: the source's catalogue tells.
	Name    change.TableName
	Names   []change.TableName
	Columns []ColumnInfo
	Parts   []Object // by key; none of an empty table
	Bytes   int64    // of the parts
}

const success = "_SUCCESS"

// List sorts out the objects under base, the export's folder
// ([prefix/]identifier/), from any order. Both layouts are read: with a folder
// for each batch of a table, and without.
func List(base string, objects iter.Seq[Object]) (*Layout, error) {
	base = strings.TrimSuffix(base, "/") + "/"
	l := &Layout{folders: map[string]*folder{}}
	type numbered struct {
		Object
		from, to int64
	}
	var infos []numbered
	for o := range objects {
		name, ok := strings.CutPrefix(o.Key, base)
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			continue // not of this export, or what a console makes of a folder
		}
		pieces := strings.Split(name, "/")
		switch from, to, isTables := tablesRange(name); {
		case isTables:
			infos = append(infos, numbered{o, from, to})
		case len(pieces) == 1 && strings.HasPrefix(name, "export_info_") && strings.HasSuffix(name, ".json"):
			if l.Info.Key != "" {
				return nil, fmt.Errorf("list the export %s: it has two files of metadata, %s and %s; which export is it?", base, l.Info.Key, o.Key)
			}
			l.Info = o
		case !l.place(pieces, o):
			l.findings = append(l.findings, Finding{What: Strange, Text: fmt.Sprintf("%s is no object of an export; it is not read", o.Key)})
		}
	}
	if l.Info.Key == "" {
		return nil, fmt.Errorf("list the export %s: it has no export_info_….json; is this the folder that the export task made?", base)
	}
	slices.SortFunc(infos, func(a, b numbered) int { return cmp.Compare(a.from, b.from) })
	for i, info := range infos {
		if i > 0 && info.from != infos[i-1].to+1 {
			l.findings = append(l.findings, Finding{What: Gap, Text: fmt.Sprintf("after %s comes %s", infos[i-1].Key, info.Key)})
		}
		l.TablesInfo = append(l.TablesInfo, info.Object)
	}
	return l, nil
}

// tablesRange returns the numbers of tables that a file of the metadata says in
// its name: export_tables_info_<task>_from_<n>_to_<m>.json.
func tablesRange(name string) (from, to int64, ok bool) {
	name, ok = strings.CutPrefix(name, "export_tables_info_")
	if !ok || strings.Contains(name, "/") {
		return 0, 0, false
	}
	name, ok = strings.CutSuffix(name, ".json")
	at := strings.LastIndex(name, "_from_")
	if !ok || at < 0 {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(name[at+len("_from_"):], "_to_")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	return from, to, err1 == nil && err2 == nil
}

// place puts an object of a table into its folder:
// database/schema.table[/batch]/name.
func (l *Layout) place(pieces []string, o Object) bool {
	n := len(pieces)
	if n != 3 && n != 4 || !strings.Contains(pieces[1], ".") {
		return false
	}
	part := strings.HasSuffix(pieces[n-1], ".parquet")
	if !part && pieces[n-1] != success {
		return false
	}
	name := pieces[0] + "/" + pieces[1]
	f := l.folders[name]
	if f == nil {
		f = &folder{batches: map[string]bool{}}
		l.folders[name] = f
	}
	batch := ""
	if n == 4 {
		batch = pieces[2]
	}
	f.batches[batch] = f.batches[batch] || !part
	if part {
		f.parts = append(f.parts, o)
	}
	return true
}

// doubled says why parts of a table may be copies of others; "" is no reason. An
// export has one layout, and gives each part a name of its own.
func doubled(f *folder) string {
	if _, flat := f.batches[""]; flat && len(f.batches) > 1 {
		return "it has parts in folders of batches and beside them: its rows may come twice"
	}
	keys := map[string]string{}
	for _, part := range f.parts {
		name := part.Key[strings.LastIndexByte(part.Key, '/')+1:]
		if other, ok := keys[name]; ok {
			return fmt.Sprintf("%s and %s have one name: its rows may come twice", other, part.Key)
		}
		keys[name] = part.Key
	}
	return ""
}

// folderOf spells a name as the export spells it in keys.
var folderOf = strings.NewReplacer(`\`, "_", "`", "_", `"`, "_", " ", "_")

// Tables joins what the metadata says of tables, from all files in order, with
// their data, in the metadata's order. Findings come with the tables that can be
// read; those of which the metadata knows nothing are left out.
func (l *Layout) Tables(infos []TableInfo) ([]Table, []Finding) {
	findings := slices.Clone(l.findings)
	folders := map[string]string{} // by target as keys spell it
	for name := range l.folders {
		folders[strings.Replace(name, "/", ".", 1)] = name
	}
	var tables []Table
	taken := map[string]string{} // target by folder's target
	for i := range infos {
		info := &infos[i]
		find := func(what, format string, args ...any) {
			findings = append(findings, Finding{Table: info.Target, What: what, Text: fmt.Sprintf(format, args...)})
		}
		if info.Status != Complete {
			find(Incomplete, "its status is %q, not %s %s", info.Status, Complete, info.Warning)
		}
		if info.Completed > 0 && info.Completed < info.Partitions {
			find(Incomplete, "%v of the %v pieces that it was read in ended", info.Completed, info.Partitions)
		}
		key := folderOf.Replace(info.Target)
		if other, ok := taken[key]; ok {
			if other == info.Target {
				find(Ambiguous, "it stands twice in the metadata")
			} else {
				find(Ambiguous, "its data would lie in the folder of %s", other)
			}
			continue
		}
		taken[key] = info.Target
		name, ok := folders[key]
		if !ok {
			find(NoData, "the metadata names it, but it has no folder")
			continue
		}
		f := l.folders[name]
		folderDatabase, _, _ := strings.Cut(name, "/")
		table := Table{Database: info.Target[:len(folderDatabase)], Columns: info.Columns, Parts: f.parts}
		if table.Names = info.Names(table.Database); len(table.Names) == 0 {
			find(Strange, "its name is not database.schema.table")
			continue
		}
		table.Name = table.Names[0]
		if len(info.Columns) == 0 {
			find(Incomplete, "the metadata has no column of it")
		}
		for _, batch := range slices.Sorted(maps.Keys(f.batches)) {
			if !f.batches[batch] {
				find(Incomplete, "its folder %s has no %s", strings.TrimSuffix(name+"/"+batch, "/"), success)
			}
		}
		slices.SortFunc(table.Parts, func(a, b Object) int { return cmp.Compare(a.Key, b.Key) })
		if text := doubled(f); text != "" {
			find(Doubled, "%s", text)
		}
		for _, part := range table.Parts {
			table.Bytes += part.Size
		}
		tables = append(tables, table)
	}
	for _, target := range slices.Sorted(maps.Keys(folders)) {
		if _, ok := taken[target]; !ok {
			findings = append(findings, Finding{Table: target, What: NoMetadata, Text: "it has the folder " + folders[target] + ", but the metadata does not name it"})
		}
	}
	return tables, findings
}
