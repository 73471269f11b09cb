package local_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
	"godwit/internal/report"
)

// planReport is the report of a plan.
func planReport(t testing.TB, c *local.Cloud, load string) report.Plan {
	t.Helper()
	body, _, err := c.S3.Get(workBucket(t, c), "loads/"+load+"/plan-report.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := report.ParsePlan(body)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func loadReport(t testing.TB, c *local.Cloud, load string) report.Load {
	t.Helper()
	body, _, err := c.S3.Get(workBucket(t, c), "loads/"+load+"/report.json")
	if err != nil {
		t.Fatal(err)
	}
	l, err := report.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// everything is all that is in the database: schemas, relations, roles.
const everything = `SELECT string_agg(x, ' ' ORDER BY x) FROM (
  SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\_%'
  UNION ALL SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' UNION ALL SELECT rolname FROM pg_roles UNION ALL SELECT extname FROM pg_extension) AS x (x)`

// A plan leaves the target alone, and says what the load then does: its id, and
// how many revisions of each table are loaded, set aside and left out. The load's
// report shows what was predicted beside what was.
func TestPlanSaysWhatTheLoadDoes(t *testing.T) {
	for _, o := range []ledgergen.Options{
		{Format: ledgergen.IonBinary, Unmappable: 5},
		{Format: ledgergen.IonText, Unmappable: 1},
		{Format: ledgergen.JSON, Unmappable: 5},
		{Layout: ledgergen.AWSSample},
	} {
		t.Run(fmt.Sprintf("%s %s", o.Format, o.Layout), func(t *testing.T) {
			c := start(t, local.Options{})
			o.Seed, o.Documents, o.Prefix = 7, 300, "exports/"
			l := archive(t, c, o)
			input := func(mode string) object {
				return object{"Bucket": archiveBucket, "Prefix": "exports/", "Tables": []string{"Person", "Vehicle", "Note"}, "MaxQuarantined": 9, "Mode": mode}
			}
			before := query[string](t, c, everything)
			planned := load(t, c, input("plan"))
			if d := cmp.Diff(before, query[string](t, c, everything)); d != "" {
				t.Errorf("planning changed the database (-before +after):\n%s", d)
			}
			p := planReport(t, c, planned.LoadId)
			if planned.Verdict != string(p.Verdict) || p.Estimate == nil || len(p.Estimate.Steps) < 6 || p.Estimate.USD.Likely <= 0 || p.Estimate.Minutes.Likely <= 0 {
				t.Errorf("the plan says %+v and estimates %+v", planned, p.Estimate)
			}
			done := load(t, c, input("load"))
			if done.LoadId != planned.LoadId {
				t.Errorf("planned was load %s, done load %s", planned.LoadId, done.LoadId)
			}
			if done.Read != l.Revisions() || planned.Read != done.Read || planned.Staged != done.Staged || planned.Aside != done.Aside || planned.Left != done.Left || done.Left == 0 || done.Aside != 0 != (o.Unmappable > 0) {
				t.Errorf("of %d revisions planned were %+v, and done %+v", l.Revisions(), planned, done)
			}
			r := loadReport(t, c, done.LoadId)
			counts := map[string][4]int64{}
			for _, x := range p.Tables {
				counts[x.Name] = [4]int64{x.Read, x.Staged, x.Quarantined, x.Filtered}
			}
			for _, x := range r.Tables {
				if got := [4]int64{x.Read, x.Staged, x.Quarantined, x.Filtered}; got != counts[x.Name] {
					t.Errorf("table %s: read, staged, quarantined and filtered are %v, planned %v", x.Name, got, counts[x.Name])
				}
			}
			if len(p.Tables) != len(r.Tables) {
				t.Errorf("%d tables are planned, %d done", len(p.Tables), len(r.Tables))
			}
			if r.Predicted == nil || cmp.Diff(*p.Estimate, *r.Predicted) != "" {
				t.Errorf("the load's report predicts %+v, the plan %+v", r.Predicted, p.Estimate)
			}
			html, err := r.HTML()
			if err != nil || !strings.Contains(strings.ToLower(string(html)), "predicted") {
				t.Errorf("the page of the load shows no prediction: %v", err)
			}
		})
	}
}

// A load that nobody planned is estimated from the size of its archive.
func TestUnplannedLoadIsEstimated(t *testing.T) {
	c := start(t, local.Options{})
	archive(t, c, ledgergen.Options{Seed: 7, Documents: 100, Prefix: "exports/"})
	out := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	if r := loadReport(t, c, out.LoadId); r.Predicted == nil || r.Predicted.Minutes.Likely <= 0 {
		t.Errorf("the report predicts %+v", r.Predicted)
	}
}

// The draft of a mapping that a plan writes is a mapping: the ledger loads by it,
// and no table is left as documents.
func TestDraftOfAPlanIsAMapping(t *testing.T) {
	c := start(t, local.Options{})
	l := archive(t, c, ledgergen.Options{Seed: 7, Documents: 300, Prefix: "exports/"})
	// With no rules at all every table is drafted.
	if err := c.S3.Put(workBucket(t, c), "mappings/none.json", []byte(`{"version": 1, "schema": "dmv", "tables": {}}`), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	planned := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Mode": "plan", "Mapping": "s3://" + workBucket(t, c) + "/mappings/none.json"})
	body, _, err := c.S3.Get(workBucket(t, c), "loads/"+planned.LoadId+"/mapping-draft.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.S3.Put(workBucket(t, c), "mappings/draft.json", body, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	done := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Mapping": "s3://" + workBucket(t, c) + "/mappings/draft.json"})
	if done.Read != l.Revisions() || done.Staged != l.Revisions() {
		t.Errorf("by the draft %d of %d revisions are read and %d loaded", done.Read, l.Revisions(), done.Staged)
	}
	if n := query[int64](t, c, `SELECT count(*) FROM information_schema.columns WHERE table_schema = 'dmv' AND column_name = 'vin' AND data_type <> 'jsonb'`); n == 0 {
		t.Errorf("the draft made no column of VIN; it is\n%s", body)
	}
}
