package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/assess"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
	"godwit/internal/migrate"
)

// loadBy takes a snapshot and starts its load by rules.
func loadBy(t *testing.T, c *local.Cloud, s *local.Storefront, name, rules string, more object) (*asl.Execution, asl.Result) {
	t.Helper()
	work := workBucket(t, c)
	if err := c.S3.Put(work, "mappings/"+name+".json", []byte(rules), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	arn, err := s.Snapshot(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	input := object{"Snapshot": arn, "Mapping": "s3://" + work + "/mappings/" + name + ".json"}
	for k, v := range more {
		input[k] = v
	}
	x, err := c.StartExecution(t.Context(), "SnapshotLoad", name, input)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.Wait(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return x, r
}

// An assessment is what the load of a snapshot decided, as far as these tests look.
type assessment struct {
	Findings []assess.Finding `json:"findings"`
}

// assessed reads the assessment of the one load by rules of a name.
func assessed(t *testing.T, c *local.Cloud) (a assessment) {
	t.Helper()
	all, err := c.S3.List(workBucket(t, c), "snapshots/")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if load, file, _ := strings.Cut(strings.TrimPrefix(o.Key, "snapshots/"), "/"); file == "plan.json" {
			return readSnapshot[assessment](t, c, load, "plan.json")
		}
	}
	t.Fatal("no load has a plan")
	return a
}

// of are the tables and columns that findings of a verdict are about.
func (a assessment) of(verdict assess.Verdict) (list []string) {
	for _, f := range a.Findings {
		if f.Verdict == verdict && f.Table.Name != "" {
			list = append(list, strings.TrimSuffix(f.Table.Schema+"."+f.Table.Name+"."+f.Column, "."))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// bare has numbers of a type that Aurora DSQL has not, and holds some of.
const bare = `CREATE TABLE bare (id integer PRIMARY KEY, n numeric);
INSERT INTO bare VALUES (1, 'NaN'), (2, 'Infinity'), (3, 0.0000000001), (4, 12345678901234567890123456789.123456789), (5, 1e29), (6, -0.5), (7, 1.500), (8, NULL)`

// internal are the columns of the catalogs' own types, of which no target is told.
var internal = []string{
	"a_bloom", "a_cid", "a_dependency", "a_distinct", "a_gtsvector", "a_minmax", "a_regcollation", "a_regconfig", "a_regdictionary", "a_regnamespace", "a_regoper", "a_regoperator", "a_regproc",
	"a_regprocedure", "a_regrole", "a_regtype", "a_tid", "a_tree", "a_vector", "a_xid", "an_aclitem", "an_mcv", "an_oidvector", "some_oids",
}

// A database with a column of every type that PostgreSQL has built in, and values at
// the limits of each, arrives with every value equal under the conversion that the
// assessment states; what cannot is refused there, by name, before anything is loaded.
func TestEveryTypeArrivesOrIsRefused(t *testing.T) {
	var refused []string
	for _, column := range internal {
		refused = append(refused, "internals.everything."+column)
	}
	refused = append(refused, "types.everything.a_regclass", "types.everything.an_oid")
	numeric := map[string]string{"aurora": "", "dsql": `, "a_numeric": {"type": "text"}`}
	lacking := map[string][]string{"dsql": {`bare lacks (2,Infinity)`, `bare lacks (3,0.0000000001)`, `bare lacks (5,100000000000000000000000000000)`}}
	for _, target := range []string{"aurora", "dsql"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			c, s := startStorefrontWith(t, target, local.Options{}, local.StorefrontOptions{Rows: 1, Seed: 1, Everything: true, SQL: bare})
			x, r := loadBy(t, c, s, "all", `{"version": 1, "from": "postgresql"}`, nil)
			if r.Status == asl.Succeeded || !strings.Contains(local.Cause(x), "internals.everything.a_bloom") {
				t.Fatalf("all of it: %s, %s", r.Status, local.Cause(x))
			}
			if d := cmp.Diff(refused, assessed(t, c).of(assess.Refuse)); d != "" {
				t.Errorf("what is refused (-want +got):\n%s", d)
			}

			x, r = loadBy(t, c, s, "most", `{"version": 1, "from": "postgresql", "tables": {"internals.everything": {"skip": true},
				"types.everything": {"columns": {"a_regclass": {"skip": true}, "an_oid": {"skip": true}`+numeric[target]+`}}}}`, object{"MaxQuarantined": len(lacking[target])})
			if r.Status != asl.Succeeded {
				t.Fatal(local.Cause(x))
			}
			var out migrate.ReportSnapshotOut
			if err := json.Unmarshal(r.Output, &out); err != nil || !out.Equal {
				t.Fatalf("the output is %s, %v", r.Output, err)
			}
			plan := readSnapshot[migrate.SnapshotPlan](t, c, out.LoadId, "plan.json")
			found, err := s.Compare(t.Context(), plan.Plans, targetDSN(c)+"&timezone=UTC")
			if err != nil {
				t.Fatal(err)
			}
			var lacks []string
			for _, d := range found.Differences {
				_, d, _ = strings.Cut(d, ".") // the target's schema
				lacks = append(lacks, d)
			}
			if d := cmp.Diff(lacking[target], lacks); d != "" {
				t.Errorf("differences (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"internals.everything", "types.everything.an_oid", "types.everything.a_regclass"}, found.Left); d != "" {
				t.Errorf("what is not loaded (-want +got):\n%s", d)
			}
			told := assessment{plan.Findings}.of(assess.Convert)
			for _, p := range plan.Plans {
				for _, column := range p.Columns {
					if len(column.From) == 1 && (column.As.Kind != "keep" || column.Type != column.From[0].Type) && !slices.Contains(told, p.Source.Schema+"."+p.Source.Name+"."+column.From[0].Name) {
						t.Errorf("column %s of %v becomes %s (%s), and no finding says so", column.Name, p.Source, column.Type, column.As.Kind)
					}
				}
			}
			if err := c.Gateway.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A database of sixty tables that refer to each other in circles, by keys of one
// column and of two, arrives with UUIDs in the place of all keys, and all of its
// foreign keys.
func TestWebOfForeignKeysArrives(t *testing.T) {
	const tables = 60
	for _, target := range []string{"aurora", "dsql"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			c, s := startStorefrontWith(t, target, local.Options{}, local.StorefrontOptions{Rows: 1, Seed: 3, Web: tables})
			x, r := loadBy(t, c, s, "web", `{"version": 1, "from": "postgresql", "keys": "uuid"}`, nil)
			if r.Status != asl.Succeeded {
				t.Fatal(local.Cause(x))
			}
			var out migrate.ReportSnapshotOut
			if err := json.Unmarshal(r.Output, &out); err != nil || !out.Equal {
				t.Fatalf("the output is %s, %v", r.Output, err)
			}
			plan := readSnapshot[migrate.SnapshotPlan](t, c, out.LoadId, "plan.json")
			found, err := s.Compare(t.Context(), plan.Plans, targetDSN(c)+"&timezone=UTC")
			if err != nil || len(found.Differences)+len(found.Left) > 0 || int64(found.Rows) != out.Rows || found.Tables != tables+13 {
				t.Errorf("compared: %+v, %v; the load has %d rows", found, err, out.Rows)
			}
			for _, name := range slices.Concat(assessment{plan.Findings}.of(assess.Refuse), assessment{plan.Findings}.of(assess.Lost)) {
				if strings.HasPrefix(name, "web.") {
					t.Errorf("%s is refused or lost", name)
				}
			}
			// Whatever the keys are called, each refers to the same table, by as many columns
			// as what it refers to has.
			const keys = `SELECT count(*) || ' of ' || string_agg(conrelid::regclass || ' ' || confrelid::regclass, ', ' ORDER BY conrelid::regclass::text, confrelid::regclass::text)
				FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace WHERE contype = 'f' AND nspname = 'web' AND convalidated`
			var texts []string
			for _, dsn := range []string{s.DSN(), targetDSN(c)} {
				db, err := pgx.Connect(t.Context(), dsn)
				if err != nil {
					t.Fatal(err)
				}
				var text string
				if err := db.QueryRow(t.Context(), keys).Scan(&text); err != nil {
					t.Fatal(err)
				}
				texts = append(texts, text)
				_ = db.Close(t.Context()) // it only read
			}
			if texts[0] != texts[1] || !strings.HasPrefix(texts[0], fmt.Sprint(3*tables)) {
				t.Errorf("the foreign keys are %s, want %s", texts[1], texts[0])
			}
			if err := c.Gateway.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}
