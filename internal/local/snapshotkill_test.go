package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/local/s3"
	"godwit/internal/migrate"
)

// A smallSnapshot is SnapshotLoad on a few tables of a storefront that have
// something of everything: keys that become UUIDs in a circle of two tables and in
// one that refers to itself, an enum and a domain, a sequence, indexes of all
// kinds, a table that is empty, and one without a key of whose rows some are left
// out and some refused.
type smallSnapshot struct {
	target string            // aurora or dsql
	source *local.Storefront // of all runs
	told   bool              // an event starts it, and rows are refused by none
}

const smallRules = `{
  "version": 1, "from": "postgresql", "schemas": {"public": "shop"}, "keys": "uuid",
  "tables": {
    "public.customers": {"keepKey": "old_id"},
    "public.visits": {"columns": {"page": {"type": "varchar(7)"}}, "filter": [{"column": "customer_id", "null": true, "not": true}]},
    "public.products": {"skip": true}, "public.order_items": {"skip": true}, "public.shipments": {"skip": true}, "public.reviews": {"skip": true}, "public.readings": {"skip": true},
    "stock.warehouses": {"skip": true}, "stock.staff": {"skip": true}, "stock.levels": {"skip": true}
  }
}`

// toldRules refuse no rows: events allow none to be.
var toldRules = strings.Replace(smallRules, "varchar(7)", "text", 1)

// newSmallSnapshot starts the one storefront of all runs.
func newSmallSnapshot(t *testing.T, target string, told bool) smallSnapshot {
	t.Helper()
	_, s := startStorefront(t, target, local.Options{})
	return smallSnapshot{target: target, source: s, told: told}
}

func (smallSnapshot) machine() string        { return "SnapshotLoad" }
func (smallSnapshot) options() local.Options { return local.Options{} }

// open starts the cloud. Whoever asks for an export that began waits for its end,
// so that all runs ask as often.
func (w smallSnapshot) open(t testing.TB, o local.Options) *local.Cloud {
	t.Helper()
	var c *local.Cloud
	fault := o.Fault
	o.Fault = func(x gateway.Call) gateway.Fault {
		if x.Action == "rds:DescribeExportTasks" {
			ended(c)
		}
		return fault(x)
	}
	c = openTarget(t, w.target, o)
	return c
}

// polls tells calls whose number is a matter of time: a job of Aurora DSQL is
// asked about until it is done.
func (smallSnapshot) polls(call string) bool {
	return strings.HasPrefix(call, "SnapshotTask's "+onTheWire+"statement select #") || strings.HasPrefix(call, "SnapshotTask's s3:GetObject ") || strings.Contains(call, "/results/Task/")
}

func (w smallSnapshot) prepare(t testing.TB, c *local.Cloud) any {
	t.Helper()
	rules, tags := smallRules, map[string]string(nil)
	if w.told {
		rules, tags = toldRules, exportTag
	}
	// Where events find it, too.
	if err := c.S3.Put(workBucket(t, c), "mappings/storefront.json", []byte(rules), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	s, err := w.source.Join(c)
	if err != nil {
		t.Fatal(err)
	}
	arn, err := s.Snapshot(context.Background(), "nightly", tags)
	if err != nil {
		t.Fatal(err)
	}
	return object{"Snapshot": arn, "Mapping": "s3://" + workBucket(t, c) + "/mappings/storefront.json", "MaxQuarantined": 13}
}

func (w smallSnapshot) begin(ctx context.Context, t testing.TB, c *local.Cloud) (*asl.Execution, error) {
	t.Helper()
	input := w.prepare(t, c)
	if !w.told {
		return c.StartExecution(ctx, w.machine(), "trial", input)
	}
	if err := c.Events.Wait(ctx); err != nil {
		return nil, err
	}
	m, err := c.Machine(w.machine())
	if err != nil {
		return nil, err
	}
	list := c.States.Executions(m.ARN)
	if len(list) != 1 {
		return nil, fmt.Errorf("the snapshot's event started %d executions", len(list))
	}
	return list[0], nil
}

func (w smallSnapshot) outcome(t testing.TB, c *local.Cloud, r asl.Result, undisturbed bool) outcome {
	t.Helper()
	var out migrate.ReportSnapshotOut
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatal(err)
	}
	plan := readSnapshot[migrate.SnapshotPlan](t, c, out.LoadId, "plan.json")
	var rows, refused, filtered int64
	for i := range plan.Items {
		segment := readSnapshot[migrate.SnapshotSegment](t, c, out.LoadId, fmt.Sprintf("segments/%08d.json", i))
		rows, refused, filtered = rows+segment.Loaded, refused+segment.Refused, filtered+segment.Filtered
	}
	if undisturbed && (len(plan.Plans) != 5 || filtered == 0 || (refused > 0) == w.told || c.Gateway.Seq() < 150) {
		t.Fatalf("%d tables, %d rows, %d refused, %d filtered, %d calls: the small snapshot must have all of them", len(plan.Plans), rows, refused, filtered, c.Gateway.Seq())
	}
	// Of the rows that are left out the undisturbed run tells.
	whole := slices.DeleteFunc(slices.Clone(plan.Plans), func(p change.TablePlan) bool { return p.Source.Name == "visits" })
	found, err := w.source.Compare(context.Background(), whole, targetDSN(c)+"&timezone=UTC")
	if err != nil || len(found.Differences) > 0 || found.Tables != 4 {
		t.Errorf("compared with the source: %+v, %v", found, err)
	}
	if !out.Equal || out.Rows != rows {
		t.Errorf("the output is %s of %d rows", r.Output, rows)
	}
	if err := c.Gateway.Err(); err != nil {
		t.Error(err)
	}
	state := targetState(t, c)
	if strings.Contains(state["schemas"], "probe") || strings.Contains(state["relations"], "godwit_") {
		t.Errorf("the load leaves %s\n%s", state["schemas"], state["relations"])
	}
	state["exports"] = exportsOf(t, c)
	return outcome{string(r.Output), state, snapshotObjects(t, c)}
}

// exports are those that were begun, as the operator sees them.
func exports(c *local.Cloud) ([]types.ExportTask, error) {
	k := c.Gateway.Root()
	client := rds.New(rds.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.Gateway.URL()), Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, ""),
	})
	out, err := client.DescribeExportTasks(context.Background(), &rds.DescribeExportTasksInput{})
	if err != nil {
		return nil, err
	}
	return out.ExportTasks, nil
}

// ended waits until no export goes on, for some time: how a run ends tells the
// rest.
func ended(c *local.Cloud) {
	for range 3000 {
		list, err := exports(c)
		if err != nil || !slices.ContainsFunc(list, func(x types.ExportTask) bool { return *x.Status != "COMPLETE" && *x.Status != "FAILED" }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// exportsOf tells the exports that were begun, of which there must be one.
func exportsOf(t testing.TB, c *local.Cloud) string {
	t.Helper()
	list, err := exports(c)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, x := range list {
		all = append(all, *x.ExportTaskIdentifier+" "+*x.Status)
	}
	if len(list) != 1 {
		t.Errorf("the exports are %v", all)
	}
	return strings.Join(all, ", ")
}

// targetState is what a load left in the target: rows and a checksum of every
// table, all that was built on them, and godwit's own records. What is different
// each time, or tells how a run went and not how it ended, is left out: times, ids
// of jobs and runs, how often something was tried, and in which pieces.
func targetState(t testing.TB, c *local.Cloud) map[string]string {
	t.Helper()
	ctx := context.Background()
	db, err := pgx.Connect(ctx, targetDSN(c))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(ctx) }() // it only read
	lines := func(sql string) []string {
		rows, err := db.Query(ctx, sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return list
	}
	const theirs = `nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'sys') AND nspname NOT LIKE 'pg\_temp%'`
	out := map[string]string{
		"schemas":   strings.Join(lines(`SELECT nspname FROM pg_namespace WHERE `+theirs+` ORDER BY 1`), "\n"),
		"relations": strings.Join(lines(`SELECT c.oid::regclass::text || ' ' || c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE `+theirs+` ORDER BY 1`), "\n"),
		"indexes": strings.Join(lines(`SELECT pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END FROM pg_index i
			JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE `+theirs+` ORDER BY 1`), "\n"),
		"constraints": strings.Join(lines(`SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(k.oid) || CASE WHEN convalidated THEN '' ELSE ' NOT VALID' END
			FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE conrelid <> 0 AND `+theirs+` ORDER BY 1`), "\n"),
		"columns": strings.Join(lines(`SELECT a.attrelid::regclass::text || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text || ' ' || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
			WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND `+theirs+` ORDER BY a.attrelid::regclass::text, a.attnum`), "\n"),
		"sequences": strings.Join(lines(`SELECT schemaname || '.' || sequencename || ' ' || coalesce(last_value::text, '') FROM pg_sequences WHERE schemaname <> 'sys' ORDER BY 1`), "\n"),
	}
	for _, table := range lines(`SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind = 'r' AND ` + theirs + ` AND nspname <> 'godwit' ORDER BY 1`) {
		out[table] = lines(`SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(x.r, E'\n' ORDER BY x.r COLLATE "C")), '') FROM (SELECT ROW(t.*)::text AS r FROM ` + table + ` t) AS x`)[0]
	}
	records := map[string]string{
		"load": "load_id, plan, replaces, published_at IS NOT NULL", "loaded_table": "table_schema, table_name, load_id", "refusal": "load_id, item, row_number, column_name, reason",
		"batch": "load_id, item, sum(loaded), sum(refused), sum(filtered), sum(last_row - first_row + 1)",
	}
	if c.DSQL == nil {
		records = map[string]string{"load": "load_id, history, state, plan, replaces"}
	}
	for _, table := range slices.Sorted(maps.Keys(records)) {
		group := ""
		if table == "batch" {
			group = " GROUP BY load_id, item"
		}
		out["godwit."+table] = strings.Join(lines(`SELECT ROW(`+records[table]+`)::text FROM godwit.`+table+group+` ORDER BY 1`), "\n")
	}
	if c.DSQL == nil {
		for name, text := range bookkeeping(t, c) {
			out[name] = text
		}
	}
	return out
}

// moment is a time as Go and PostgreSQL write it.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?`)

// snapshotObjects is what the functions wrote to the work bucket, but for times.
func snapshotObjects(t testing.TB, c *local.Cloud) map[string]string {
	t.Helper()
	work := workBucket(t, c)
	all, err := c.S3.List(work, "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range all {
		if regexp.MustCompile(`^snapshots/[0-9a-f]+/results/`).MatchString(e.Key) {
			continue
		}
		body, _, err := c.S3.Get(work, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		text := moment.ReplaceAllString(uuid.ReplaceAllString(string(body), "RUN"), "then")
		if strings.HasSuffix(e.Key, ".html") { // shows what its JSON holds, with its times in words
			text = ""
		}
		out[e.Key] = fmt.Sprintf("%s %s\n%s", e.Header["Content-Type"], e.Header["Content-Encoding"], text)
	}
	return out
}

var (
	// reads are calls that have no effect: behind one is before the next.
	reads = regexp.MustCompile(`'s (s3:(Get|List)|rds:(Describe|List)|secretsmanager:Get|dsql wire: statement )|^SnapshotCatalogue's rds-data:`)
	// ofTarget are calls of functions that are others with another target.
	ofTarget = regexp.MustCompile(`^(SnapshotPrepare|SnapshotPhase|SnapshotRows|SnapshotTask|TargetProbe)'s `)
	phaseOf  = regexp.MustCompile(` phase=\w+`)
)

// kind is what a call is, for runs that do not disturb them all: a read of its
// caller; a commit in Aurora DSQL of a statement, or a task of a phase in Aurora
// PostgreSQL; or an action.
func kind(call string) string {
	caller, what, _ := strings.Cut(call, "'s ")
	action, _, _ := strings.Cut(what, " ")
	switch {
	case reads.MatchString(call):
		return caller + " reads"
	case strings.HasPrefix(what, onTheWire) && (caller == "SnapshotRows" || caller == "SnapshotTask"):
		return call[:strings.LastIndex(call, " #")]
	case strings.HasPrefix(what, onTheWire):
		return caller + " commits"
	}
	return caller + " " + action + phaseOf.FindString(what)
}

// faults kills before or after one call of each kind, and loses, throttles or breaks
// some.
// Functions that do not know the target are disturbed with one of them. make soak
// has all faults of all calls.
func (w smallSnapshot) faults(calls []string, chance *rand.Rand) []disturbance {
	if soak {
		return slices.Concat(kills(calls, chance), losses(calls, chance))
	}
	if w.target == "dsql" {
		calls = slices.DeleteFunc(calls, func(call string) bool { return !ofTarget.MatchString(call) })
	}
	chosen := oneOfAKind(calls, chance, kind)
	lost := losses(chosen, chance)
	chance.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	return append(kills(chosen, chance), lost[:6]...)
}

// The load of a snapshot ends the same, whichever call takes its caller down,
// before the call or after it took effect, retried or redriven; and when a reply or
// a connection is lost, or the service asks to come back later, while the caller
// lives on.
func TestSnapshotSurvivesFaults(t *testing.T) {
	for _, target := range []string{"aurora", "dsql"} {
		t.Run(target, func(t *testing.T) {
			w := newSmallSnapshot(t, target, false)
			disturb(t, w, w.faults)
		})
	}
}

// A snapshot is loaded once whichever call of the function that starts its load
// fails.
func TestSnapshotTriggerSurvivesKill(t *testing.T) {
	disturb(t, newSmallSnapshot(t, "aurora", true), func(calls []string, chance *rand.Rand) []disturbance {
		calls = slices.DeleteFunc(calls, func(call string) bool { return !strings.HasPrefix(call, "SnapshotTrigger's ") })
		cases := kills(calls, chance)
		if soak {
			cases = append(cases, losses(calls, chance)...)
		}
		return cases
	})
}
