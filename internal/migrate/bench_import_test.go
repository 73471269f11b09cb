package migrate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// oneBucket lets every bucket name mean the work bucket.
type oneBucket struct{ *memoryObjects }

func (o oneBucket) List(ctx context.Context, _, prefix string, visit func(key, etag string, size int64, class string) error) error {
	return o.memoryObjects.List(ctx, workBucket, prefix, visit)
}

func (o oneBucket) Open(ctx context.Context, _, key, etag string, offset int64) (io.ReadCloser, error) {
	return o.memoryObjects.Open(ctx, workBucket, key, etag, offset)
}

func (o oneBucket) Put(ctx context.Context, _, key string, body []byte, contentType, encoding string) error {
	return o.memoryObjects.Put(ctx, workBucket, key, body, contentType, encoding)
}

// A transformed load waits for a database to be imported into.
type transformed struct {
	b      *testing.B
	m      *machine
	plan   migrate.PlanOut
	load   migrate.Plan
	folder string            // of the parts as plain files
	files  map[string]string // part's key -> file
	bytes  int64             // of COPY text
}

// transformLedger makes parts of a ledger, in memory and as files that the
// server can read.
func transformLedger(b *testing.B, documents int) *transformed {
	b.Helper()
	m := newMachine(b, `{"Bucket":"archive","Prefix":"`+prefix+`"}`)
	m.generate(ledgergen.Options{Seed: 1, Documents: documents, Prefix: prefix, BlocksPerObject: 1600})
	m.objects.changing = func(string) bool { return true } // each database gets tasks of its own
	p, err := m.read()
	if err != nil {
		b.Fatal(err)
	}
	x := &transformed{b: b, m: m, plan: p, load: m.readPlan(p.LoadId), files: map[string]string{}}
	if x.folder, err = os.MkdirTemp("", "godwit-parts-"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(x.folder) })
	if err := os.Chmod(x.folder, 0o755); err != nil { // the server runs as another user
		b.Fatal(err)
	}
	for name := range m.objects.objects {
		key, ok := strings.CutPrefix(name, workBucket+"/")
		if !ok || !strings.HasPrefix(key, "parts/") {
			continue
		}
		text, err := m.objects.read(workBucket, key)
		if err != nil {
			b.Fatal(err)
		}
		x.files[key] = filepath.Join(x.folder, strings.ReplaceAll(key, "/", "_"))
		if err := os.WriteFile(x.files[key], text, 0o644); err != nil {
			b.Fatal(err)
		}
		x.bytes += int64(len(text))
	}
	return x
}

// A database is a fresh one with the load's hidden tables.
type database struct {
	x     *transformed
	db    *testdb.DB
	to    *target.DB
	look  *pgx.Conn // of a superuser
	work  string    // bucket
	tasks []change.Task
	next  string // phase behind tasks
}

// database prepares a database and plans its imports.
func (x *transformed) database() (*database, error) {
	d := &database{x: x, db: testdb.New(x.b)}
	bucket, api := d.db.Bucket(x.b), d.db.DataAPI(x.b)
	d.work = bucket.Name
	for key := range x.files {
		bucket.Put(key, x.m.objects.objects[workBucket+"/"+key].body, "gzip")
	}
	client := target.NewAPI(aws.Config{Region: testdb.Region, BaseEndpoint: &api.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	admin := &target.DB{API: client, ClusterARN: api.ClusterARN, SecretARN: api.AdminSecret, Database: api.Database}
	d.to = &target.DB{API: client, ClusterARN: api.ClusterARN, SecretARN: api.LoaderSecret, Database: api.Database}
	ctx := context.Background()
	if err := target.Prepare(ctx, admin, d.to, d.db.Loader, d.db.LoaderPassword); err != nil {
		return nil, err
	}
	d.look = testdb.Connect(x.b, d.db.SuperuserDSN)
	l := x.load
	if _, err := d.to.Begin(ctx, change.Load{ID: l.LoadID, Schema: l.Schema, History: l.History, Strand: l.Strand, First: l.First, Last: l.Last}); err != nil {
		return nil, err
	}
	return d, d.phase("import")
}

func (d *database) phase(name string) error {
	objects := oneBucket{d.x.m.objects}
	out, err := (&migrate.Phase{Objects: objects, Target: d.to, WorkBucket: d.work, Region: testdb.Region, Now: time.Now}).
		Handle(context.Background(), migrate.PhaseIn{LoadId: d.x.plan.LoadId, Phase: name})
	if err != nil {
		return err
	}
	d.tasks = lines[change.Task](d.x.b, d.x.m.objects, migrate.ObjectRef{Bucket: workBucket, Key: out.Tasks.Key})
	d.next = out.Next
	return nil
}

// do does the tasks of the phase, one after the other.
func (d *database) do() error {
	out, err := (&migrate.RunTask{Target: d.to}).Handle(context.Background(), migrate.RunTaskIn{LoadId: d.x.plan.LoadId, Items: d.tasks})
	if err == nil && !out.Done {
		err = fmt.Errorf("a task is not done")
	}
	return err
}

// publish does all phases.
func (d *database) publish() error {
	for {
		if err := d.do(); err != nil || d.next == "" {
			return err
		}
		if err := d.phase(d.next); err != nil {
			return err
		}
	}
}

// copyFiles has the server read the parts' files into the hidden tables, as
// plainly as it can: without claims, counts, HTTP and decompression.
func (d *database) copyFiles() error {
	for _, t := range d.tasks {
		var args struct{ Schema, Relation, Key string }
		if err := json.Unmarshal(t.Args, &args); err != nil {
			return err
		}
		_, err := d.look.Exec(context.Background(), fmt.Sprintf("COPY %s FROM PROGRAM 'cat %s'", target.Quote(args.Schema, args.Relation), d.x.files[args.Key]))
		if err != nil {
			return fmt.Errorf("copy %s: %w", path.Base(d.x.files[args.Key]), err)
		}
	}
	return nil
}

// contents sums up every row of the hidden history tables.
func (d *database) contents() (map[string]string, error) {
	out := map[string]string{}
	for _, t := range d.tasks {
		var args struct{ Schema, Relation string }
		if err := json.Unmarshal(t.Args, &args); err != nil {
			return nil, err
		}
		sum := ""
		err := d.look.QueryRow(context.Background(), fmt.Sprintf(`SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM %s AS t`,
			target.Quote(args.Schema, args.Relation))).Scan(&sum)
		if err != nil {
			return nil, err
		}
		out[args.Relation] = sum
	}
	return out, nil
}

// BenchmarkImport races the import of a load's parts, and the whole way from
// parts to visible tables, against COPY of the same bytes by the same server.
func BenchmarkImport(b *testing.B) {
	x := transformLedger(b, 60_000)
	var d *database
	fresh := func() (err error) {
		d, err = x.database()
		return err
	}
	var sums []map[string]string
	for _, way := range []func() error{func() error { return d.do() }, func() error { return d.copyFiles() }} {
		if err := fresh(); err != nil {
			b.Fatal(err)
		}
		if err := way(); err != nil {
			b.Fatal(err)
		}
		sum, err := d.contents()
		if err != nil {
			b.Fatal(err)
		}
		sums = append(sums, sum)
	}
	if fmt.Sprint(sums[0]) != fmt.Sprint(sums[1]) {
		b.Fatalf("imported %v, copied %v", sums[0], sums[1])
	}
	plain := contestant{name: "COPY FROM PROGRAM 'cat', same rows", bytes: x.bytes, before: fresh, run: func() error { return d.copyFiles() }}
	b.Run("alone", func(b *testing.B) {
		plain := plain
		plain.least = 0.9
		race(b, fmt.Sprintf("import of %d parts into PostgreSQL: %d bytes of rows, one connection, wall time", len(x.files), x.bytes), wall(),
			contestant{name: "godwit, gzip parts from S3, claimed and counted", bytes: x.bytes, before: fresh, run: func() error { return d.do() }},
			plain)
	})
	b.Run("published", func(b *testing.B) {
		race(b, fmt.Sprintf("from parts to visible tables with keys and indexes: %d bytes of rows, wall time", x.bytes), wall(),
			contestant{name: "godwit, every phase", bytes: x.bytes, before: fresh, run: func() error { return d.publish() }},
			plain)
	})
}
