package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/parquet-go/parquet-go"

	"godwit/internal/local/export"
	"godwit/internal/testdb"
)

var moment = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// A world is a database, and where its exports are stored.
type world struct {
	t  *testing.T
	db *testdb.DB
	pg *pgx.Conn // as the superuser, in UTC

	mu      sync.Mutex
	objects map[string][]byte
}

func start(t *testing.T, scripts ...string) *world {
	t.Helper()
	w := &world{t: t, db: testdb.New(t), objects: map[string][]byte{}}
	owner := w.connect(w.db.AdminDSN)
	for _, text := range scripts {
		if _, err := owner.PgConn().Exec(t.Context(), text).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	w.pg = w.connect(w.db.SuperuserDSN)
	return w
}

func (w *world) connect(dsn string) *pgx.Conn {
	w.t.Helper()
	config, err := pgx.ParseConfig(dsn)
	w.must(err)
	config.RuntimeParams["timezone"] = "UTC"
	db, err := pgx.ConnectConfig(w.t.Context(), config)
	w.must(err)
	w.t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string) {
	w.t.Helper()
	_, err := w.pg.Exec(w.t.Context(), sql)
	w.must(err)
}

func (w *world) freeze() *export.Frozen {
	w.t.Helper()
	f, err := export.Freeze(w.t.Context(), moment, []export.Database{{Name: "app", DSN: w.db.SuperuserDSN, Master: w.db.Master}})
	w.must(err)
	w.t.Cleanup(f.Close)
	return f
}

// write exports what is there, or what a snapshot holds.
func (w *world) write(from *export.Frozen, over func(*export.Task)) (export.Result, error) {
	w.t.Helper()
	t := export.Task{
		ID: "job", SourceARN: "arn:aws:rds:us-east-1:111122223333:cluster-snapshot:s", Bucket: "exports", Prefix: "p", RoleARN: "role", KMSKey: "key",
		Started: moment.Add(time.Hour), Now: func() time.Time { return moment.Add(2 * time.Hour) },
	}
	if over != nil {
		over(&t)
	}
	return export.Write(w.t.Context(), from, t, func(_ context.Context, key string, body []byte) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.objects[key] != nil {
			w.t.Errorf("%s is stored twice", key)
		}
		w.objects[key] = append([]byte{}, body...)
		return nil
	})
}

// export exports everything, and fails where that does.
func (w *world) export(over func(*export.Task)) export.Result {
	w.t.Helper()
	r, err := w.write(w.freeze(), over)
	w.must(err)
	return r
}

// keys are the objects below a prefix.
func (w *world) keys(prefix string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(w.objects)), func(k string) bool { return !strings.HasPrefix(k, prefix) })
}

// parts are the Parquet files of a table.
func (w *world) parts(table string) (files []*parquet.File) {
	w.t.Helper()
	for _, k := range w.keys("p/job/app/" + table + "/") {
		if strings.HasSuffix(k, ".gz.parquet") {
			f, err := parquet.OpenFile(bytes.NewReader(w.objects[k]), int64(len(w.objects[k])))
			w.must(err)
			files = append(files, f)
		}
	}
	return files
}

// rows are all rows of a table, by the names of their columns.
func (w *world) rows(table string) (rows []map[string]parquet.Value) {
	w.t.Helper()
	for _, f := range w.parts(table) {
		for _, g := range f.RowGroups() {
			r := g.Rows()
			buffer := make([]parquet.Row, 100)
			for {
				n, err := r.ReadRows(buffer)
				for _, row := range buffer[:n] {
					m := map[string]parquet.Value{}
					for i, c := range f.Schema().Fields() {
						m[c.Name()] = row[i].Clone()
					}
					rows = append(rows, m)
				}
				if err != nil {
					break
				}
			}
			w.must(r.Close())
		}
	}
	return rows
}

// json reads a file of metadata.
func (w *world) json(key string, into any) {
	w.t.Helper()
	w.must(json.Unmarshal(w.objects[key], into))
}

// tables are the tables that the metadata tell of.
func (w *world) tables() map[string]tableStatus {
	w.t.Helper()
	all := map[string]tableStatus{}
	for _, k := range w.keys("p/job/export_tables_info_") {
		var file struct {
			Tables []tableStatus `json:"perTableStatus"`
		}
		w.json(k, &file)
		for _, t := range file.Tables {
			all[t.Target] = t
		}
	}
	return all
}

type tableStatus struct {
	Target, Status string
	Warning        string `json:"warningMessage"`
	Schema         *struct {
		Columns []struct {
			Name     string `json:"columnName"`
			Original string `json:"originalType"`
			Exported string `json:"expectedExportedType"`
			Length   int    `json:"originalCharMaxLength"`
			Digits   int    `json:"originalNumPrecision"`
			Fraction int    `json:"originalDateTimePrecision"`
		} `json:"originalTypeMappings"`
	} `json:"schemaMetadata"`
}

type row = map[string]parquet.Value

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
