package export_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local/export"
	"godwit/internal/local/source"
	"godwit/internal/snapshot"
)

// TestSnapshotPackageReadsEveryRow holds the exporter and the reader, who know
// nothing of each other, against the server: a storefront in every layout.
func TestSnapshotPackageReadsEveryRow(t *testing.T) {
	w := start(t)
	owner := w.connect(w.db.AdminDSN)
	w.must(source.OpenStorefront(t.Context(), owner, 3000, 1))
	w.must(source.OpenWeb(t.Context(), owner, 60, 20, 1))
	f := w.freeze()
	for name, style := range map[string]export.Style{
		"plain": {}, "small parts": {PartBytes: 8 << 10, Partitions: 3, RowsPerGroup: 40, TablesPerFile: 7, Seed: 2}, "flat": {Flat: true, PartBytes: 8 << 10}, "letters": {Letters: true, Partitions: 12, PartBytes: 8 << 10},
	} {
		clear(w.objects)
		_, err := w.write(f, func(t *export.Task) { t.Style = style })
		w.must(err)
		layout, err := snapshot.List("p/job", func(yield func(snapshot.Object) bool) {
			for _, k := range w.keys("") {
				if !yield(snapshot.Object{Key: k, Size: int64(len(w.objects[k]))}) {
					return
				}
			}
		})
		w.must(err)
		info, err := snapshot.ParseInfo(w.objects[layout.Info.Key])
		w.must(err)
		if info.Task != "job" || info.Status != snapshot.Complete || info.FilesPath != "p/job" || info.Progress != 100 {
			t.Errorf("%s: the export says %+v", name, info)
		}
		var infos []snapshot.TableInfo
		for _, o := range layout.TablesInfo {
			some, err := snapshot.ParseTables(w.objects[o.Key])
			w.must(err)
			infos = append(infos, some...)
		}
		tables, findings := layout.Tables(infos)
		if len(findings) > 0 || len(tables) != 60+13 {
			t.Errorf("%s: %d tables, and findings %v", name, len(tables), findings)
		}
		for _, table := range tables {
			var want, got int64
			w.must(w.pg.QueryRow(t.Context(), `SELECT count(*) FROM `+pgx.Identifier{table.Name.Schema, table.Name.Name}.Sanitize()).Scan(&want))
			for _, o := range table.Parts {
				p, err := snapshot.OpenPart(bytes.NewReader(w.objects[o.Key]), o.Size)
				w.must(err)
				got += p.Rows()
				var names []string
				for _, c := range p.Columns() {
					names = append(names, c.Name)
				}
				var told []string
				for _, c := range table.Columns {
					told = append(told, c.Name)
				}
				if strings.Join(names, " ") != strings.Join(told, " ") {
					t.Errorf("%s: %s has the columns %v, and the metadata tell %v", name, o.Key, names, told)
				}
			}
			if got != want {
				t.Errorf("%s: table %v has %d rows, want %d", name, table.Name, got, want)
			}
		}
	}
}
