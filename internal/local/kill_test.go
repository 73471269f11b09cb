package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/dsql"
	"godwit/internal/local/gateway"
	"godwit/internal/report"
)

// A disturbance is one fault at one call of a run. The call is known by its name
// and not by its number in the run, because calls side by side change places.
type disturbance struct {
	call    string
	fault   gateway.Fault
	redrive bool // nothing is retried, and the execution that failed is redriven
	// early loses the connection to Aurora DSQL before it took the statement, and
	// not its reply.
	early bool
}

func (d disturbance) String() string {
	said := [...]string{"none", "kill before", "kill after", "lose the reply of", "throttle"}[d.fault] + " " + d.call
	if d.early {
		said = "lose " + d.call
	}
	if d.redrive {
		said += ", redriven"
	}
	return said
}

// onTheWire is in the names of statements and commits, which reach Aurora DSQL past
// the gateway.
const onTheWire = "dsql wire: "

// wire is what happens to a statement of Aurora DSQL.
func (d disturbance) wire() dsql.Fault {
	if d.early {
		return dsql.CutBefore
	}
	return map[gateway.Fault]dsql.Fault{
		gateway.KillBefore: dsql.KillBefore, gateway.KillAfter: dsql.KillAfter, gateway.Lose: dsql.CutAfter, gateway.Throttle: dsql.Conflict,
	}[d.fault]
}

// Accounting is exact whichever call takes its caller down, before the call or
// after it took effect, when the state machine's own retries go on and when the
// failed execution is redriven.
func TestLoadSurvivesKill(t *testing.T) {
	disturb(t, smallLoad{}, kills)
}

// The same with JSON, at the calls that only JSON needs: types are learned before
// the passes, and read by all of them.
func TestTypingSurvivesKill(t *testing.T) {
	disturb(t, smallLoad{format: ledgergen.JSON}, func(calls []string, chance *rand.Rand) []disturbance {
		return kills(slices.DeleteFunc(calls, func(call string) bool {
			return !strings.HasPrefix(call, "Typing's ") && !strings.Contains(call, "/types.json")
		}), chance)
	})
}

// The same when a reply is lost, or the service asks to come back later, while
// the caller lives on.
func TestLoadSurvivesLostReply(t *testing.T) {
	disturb(t, smallLoad{}, losses)
}

// The database reads parts from S3 by itself, and gives up after some tries: then
// the state machine tries again.
func TestImportIsTriedAgainWhileS3DoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, fault := range []gateway.Fault{gateway.Lose, gateway.Throttle} {
		var mu sync.Mutex
		faults := 0
		c := start(t, local.Options{Fault: func(x gateway.Call) gateway.Fault {
			mu.Lock()
			defer mu.Unlock()
			if callerOf(x) != "Import" || faults == 12 {
				return gateway.None
			}
			faults++
			return fault
		}})
		l := archive(t, c, ledgergen.Options{Seed: 1, Documents: 200, Prefix: "exports/"})
		load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"})
		check(t, c, l)
		if faults != 12 {
			t.Errorf("%d faults: too few to outlast the database's own tries", faults)
		}
	}
}

// seed is what chance has in these tests: GODWIT_SEED chooses another.
func seed(t testing.TB) uint64 {
	t.Helper()
	n := uint64(20261122)
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("GODWIT_SEED=%d", n)
	return n
}

// kills kills the callers of all calls, before the call or after it took effect,
// with the state machine's retries or with a redrive. Chance says which; make soak
// has all four.
func kills(calls []string, chance *rand.Rand) (cases []disturbance) {
	for _, call := range calls {
		cases = append(cases, sample(chance,
			disturbance{call: call, fault: gateway.KillBefore}, disturbance{call: call, fault: gateway.KillAfter},
			disturbance{call: call, fault: gateway.KillBefore, redrive: true}, disturbance{call: call, fault: gateway.KillAfter, redrive: true})...)
	}
	return cases
}

// sample is one of the disturbances of a call, by chance; make soak has all.
func sample(chance *rand.Rand, all ...disturbance) []disturbance {
	if soak {
		return all
	}
	i := chance.IntN(len(all))
	return all[i : i+1]
}

// losses loses the replies of all calls, or throttles them; make soak does both.
// S3's client repeats such calls by itself, with waits that are long for a test: one
// call of each caller, by chance, stands for the others; make soak has all.
func losses(calls []string, chance *rand.Rand) (cases []disturbance) {
	if !soak {
		calls = oneOfAKind(calls, chance, func(call string) string {
			if caller, _, ok := strings.Cut(call, "'s s3:"); ok {
				return caller
			}
			return call
		})
	}
	for _, call := range calls {
		all := []disturbance{{call: call, fault: gateway.Lose}, {call: call, fault: gateway.Throttle}}
		if strings.Contains(call, onTheWire) {
			all = append(all, disturbance{call: call, fault: gateway.Lose, early: true})
		}
		cases = append(cases, sample(chance, all...)...)
	}
	return cases
}

// oneOfAKind has one call of each kind, by chance.
func oneOfAKind(calls []string, chance *rand.Rand, kind func(call string) string) (chosen []string) {
	kinds := map[string][]string{}
	for _, call := range calls {
		kinds[kind(call)] = append(kinds[kind(call)], call)
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		slices.Sort(kinds[k])
		chosen = append(chosen, kinds[k][chance.IntN(len(kinds[k]))])
	}
	return chosen
}

// A workload is what a run does, in a cloud of its own.
type workload interface {
	machine() string
	// options are those of the cloud.
	options() local.Options
	// prepare fills the cloud and returns the input of the state machine.
	prepare(t testing.TB, c *local.Cloud) any
	// outcome is everything that the run leaves behind, but for times and names
	// that are new each time. A run that nothing disturbed must have left what a
	// test is worth.
	outcome(t testing.TB, c *local.Cloud, r asl.Result, undisturbed bool) outcome
}

// An opener is a workload whose stacks are others than the ledger's.
type opener interface {
	open(t testing.TB, o local.Options) *local.Cloud
}

// A beginner is a workload whose execution an event starts, and not its input.
type beginner interface {
	begin(ctx context.Context, t testing.TB, c *local.Cloud) (*asl.Execution, error)
}

// A poller is a workload that makes some calls more or less often, as it takes its
// time.
type poller interface{ polls(call string) bool }

func polls(w workload, call string) bool {
	p, ok := w.(poller)
	return ok && p.polls(call)
}

// begin starts the execution of a workload.
func begin(ctx context.Context, t testing.TB, w workload, c *local.Cloud) (*asl.Execution, error) {
	t.Helper()
	if b, ok := w.(beginner); ok {
		return b.begin(ctx, t, c)
	}
	return c.StartExecution(ctx, w.machine(), "trial", w.prepare(t, c))
}

// open starts the cloud of a workload.
func open(t testing.TB, w workload, o local.Options) *local.Cloud {
	t.Helper()
	if x, ok := w.(opener); ok {
		return x.open(t, o)
	}
	return start(t, o)
}

// An outcome is everything that a run leaves behind.
type outcome struct {
	Output  string
	Rows    map[string]string // by table: their number and a checksum; godwit's own in full
	Objects map[string]string // of the buckets, by key: headers and bytes
}

// disturb runs a workload undisturbed, then once with each of the disturbances
// that are chosen of its calls, and wants every run to end as the first one did.
func disturb(t *testing.T, w workload, choose func(calls []string, chance *rand.Rand) []disturbance) {
	began := time.Now()
	want, calls := undisturbed(t, w)
	n := len(calls)
	slices.Sort(calls)
	cases := choose(calls, rand.New(rand.NewPCG(seed(t), 0)))
	if len(cases) == 0 {
		t.Fatalf("none of %d calls is disturbed", n)
	}
	parallel(cases, func(d disturbance) {
		t.Run(d.String(), func(t *testing.T) {
			got, _ := trial(t, w, d)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the run ends otherwise than the undisturbed one (-undisturbed +disturbed):\n%s", diff)
			}
		})
	})
	t.Logf("%d runs over %d calls in %.0f s", len(cases), n, time.Since(began).Seconds())
}

// parallel does each of the cases, some at once: runs wait for processes and
// timers more than they compute.
func parallel[T any](cases []T, do func(T)) {
	queue := make(chan T)
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for c := range queue {
				do(c)
			}
		})
	}
	for _, c := range cases {
		queue <- c
	}
	close(queue)
	wg.Wait()
}

// undisturbed runs the workload twice: what differs between the two is no measure
// of a disturbed run.
func undisturbed(t *testing.T, w workload) (outcome, []string) {
	t.Helper()
	first, firstCalls := trial(t, w, disturbance{})
	second, secondCalls := trial(t, w, disturbance{})
	if diff := cmp.Diff(first, second); diff != "" {
		t.Fatalf("two undisturbed runs differ (-first +second):\n%s", diff)
	}
	inSecond := map[string]bool{}
	for _, call := range secondCalls {
		inSecond[call] = true
	}
	return first, slices.DeleteFunc(firstCalls, func(call string) bool {
		if !inSecond[call] && !polls(w, call) {
			t.Errorf("of two undisturbed runs only one makes the call %s", call)
		}
		return !inSecond[call]
	})
}

// trial runs a workload once, with at most one call disturbed.
func trial(t *testing.T, w workload, d disturbance) (outcome, []string) {
	t.Helper()
	var mu sync.Mutex
	seen, calls, faults := map[string]int{}, []string(nil), 0
	byFunction := false
	happens := func(name, caller string) bool {
		mu.Lock()
		defer mu.Unlock()
		seen[name]++
		name = fmt.Sprintf("%s #%d", name, seen[name])
		calls = append(calls, name)
		if d.fault == gateway.None || name != d.call || faults > 0 {
			return false
		}
		faults++
		byFunction = !cannotDie[caller]
		return true
	}
	o := w.options()
	o.Fault = func(x gateway.Call) gateway.Fault {
		// A repeat on a busy machine, or of a call that was disturbed, is none of the
		// workload's own.
		if x.Repeat || !happens(callName(x), callerOf(x)) {
			return gateway.None
		}
		return d.fault
	}
	o.DSQL.Fault = func(e dsql.Event) dsql.Effect {
		caller := callerOf(gateway.Call{Role: e.Role})
		// Of the beginning of a connection the gateway tells.
		if e.Moment == dsql.Connect || !happens(fmt.Sprintf("%s's %s%s %s", caller, onTheWire, e.Moment, e.Verb), caller) {
			return dsql.Effect{}
		}
		return dsql.Effect{Fault: d.wire()}
	}
	c := open(t, w, o)
	c.Engine.NoRetry = d.redrive
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	x, err := begin(ctx, t, w, c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.Wait(ctx)
	if err != nil {
		t.Fatalf("%s did not end: %v", w.machine(), err)
	}
	for range 5 {
		if !d.redrive || r.Status != asl.Failed {
			break
		}
		calm(t, c)
		if err := x.Redrive(ctx); err != nil {
			t.Fatal(err)
		}
		if r, err = x.Wait(ctx); err != nil {
			t.Fatalf("%s did not end: %v", w.machine(), err)
		}
	}
	if r.Status != asl.Succeeded {
		t.Fatalf("%s %s after %d redrives: %s", w.machine(), r.Status, r.RedriveCount, local.Cause(x))
	}
	mu.Lock()
	defer mu.Unlock()
	switch made := d.fault == gateway.None || faults == 1; {
	case made:
	case polls(w, d.call):
		t.Logf("this run was done before it made the call")
		return w.outcome(t, c, r, false), calls
	default:
		t.Fatalf("the call was not made, so nothing was disturbed; %d calls", len(calls))
	}
	if d.redrive && byFunction && r.RedriveCount == 0 {
		t.Error("the execution did not fail: the fault did not reach it")
	}
	return w.outcome(t, c, r, d.fault == gateway.None), calls
}

// calm waits until no function is called any more. A failed map leaves calls of
// its other children under way, for some minutes at most; who redrives comes later.
func calm(t testing.TB, c *local.Cloud) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var running []string
		for _, f := range c.Functions {
			if f.Stats().Running > 0 {
				running = append(running, f.Name)
			}
		}
		if len(running) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("calls of %v do not end", running)
		}
	}
}

// A smallLoad is LedgerLoad on a small ledger that has something of everything.
type smallLoad struct {
	format    ledgergen.Format
	documents int // more than the fewest that will do
}

func (smallLoad) machine() string        { return "LedgerLoad" }
func (smallLoad) options() local.Options { return local.Options{} }

func (w smallLoad) ledger() (o ledgergen.Options, tables []string) {
	o = ledgergen.Options{Seed: 1, Documents: 20, Unmappable: 3, Exports: 2, BlocksPerObject: 20, Prefix: "exports/", Format: w.format}
	tables = []string{"Note", "Person"}
	if w.documents > 0 {
		o.Documents, tables = w.documents, []string{"Note", "Person", "Vehicle", "DriversLicense"}
	}
	return o, tables
}

func (w smallLoad) prepare(t testing.TB, c *local.Cloud) any {
	o, tables := w.ledger()
	archive(t, c, o)
	return object{"Bucket": archiveBucket, "Prefix": "exports/", "Tables": tables, "MaxQuarantined": 3}
}

func (w smallLoad) outcome(t testing.TB, c *local.Cloud, r asl.Result, undisturbed bool) outcome {
	t.Helper()
	var out output
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatal(err)
	}
	if undisturbed {
		o, _ := w.ledger()
		l, err := ledgergen.Generate(o, func(ledgergen.Object) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if out.Read != l.Revisions() || out.Read != out.Staged+out.Aside+out.Left || out.Staged == 0 || out.Aside == 0 || out.Left == 0 {
			t.Fatalf("read %d of %d revisions, staged %d, quarantined %d, filtered %d: the small load must have all of them, and add up",
				out.Read, l.Revisions(), out.Staged, out.Aside, out.Left)
		}
		if n := len(c.Gateway.Calls()); n < 80 {
			t.Fatalf("a run makes only %d calls", n)
		}
	}
	rows := state(t, c, "dmv")
	for name, text := range bookkeeping(t, c) {
		rows[name] = text
	}
	return outcome{string(r.Output), rows, objects(t, c)}
}

var (
	roleName = regexp.MustCompile(`-([A-Za-z]+)Role[0-9A-F]{5,8}-`)
	loadID   = regexp.MustCompile(`[0-9a-f]{32}`)
	qldbID   = regexp.MustCompile(`\b[0-9A-Za-z]{22}\b`)
	uuid     = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// cannotDie names the callers that are no functions, so that a kill breaks their
// connection, and the one that is called before there is an execution.
var cannotDie = map[string]bool{"LedgerLoad": true, "LedgerExport": true, "LedgerProve": true, "SnapshotLoad": true, "SnapshotTrigger": true, "Import": true, "Qldb": true}

// callerOf is the name of the role that calls.
func callerOf(c gateway.Call) string {
	if m := roleName.FindStringSubmatch(c.Role); m != nil {
		return m[1]
	}
	return c.Role
}

// callName names a call by who makes it and what it does to what, but for ids.
func callName(c gateway.Call) string {
	resource := c.Resources[0]
	resource = resource[strings.LastIndexByte(resource, ':')+1:]
	what := resource
	if c.Detail != "" {
		what, _, _ = strings.Cut(c.Detail, " args=")
	}
	what = qldbID.ReplaceAllString(uuid.ReplaceAllString(loadID.ReplaceAllString(what, "LOAD"), "RUN"), "ID")
	return fmt.Sprintf("%s's %s %s", callerOf(c), c.Action, what)
}

// bookkeeping is what godwit's own tables hold, but for times and the server's numbers.
func bookkeeping(t testing.TB, c *local.Cloud) map[string]string {
	t.Helper()
	db := connect(t, c)
	ctx := context.Background()
	rows, err := db.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname), string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'godwit' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.atttypid <> ALL ('{timestamptz,oid,pg_snapshot}'::regtype[]) GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	type table struct{ Name, Columns string }
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, x := range tables {
		var text string
		err := db.QueryRow(ctx, `SELECT coalesce(string_agg(r, E'\n' ORDER BY r COLLATE "C"), '') FROM (SELECT ROW(`+x.Columns+`)::text AS r FROM `+x.Name+`) AS x`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		out["bookkeeping "+x.Name] = text
	}
	_ = db.Close(ctx)
	return out
}

// objects is what lies in the work bucket: everything that functions wrote. What
// Step Functions writes under results/ tells how a run went, not how it ended.
func objects(t testing.TB, c *local.Cloud) map[string]string {
	t.Helper()
	work := workBucket(t, c)
	all, err := c.S3.List(work, "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range all {
		if regexp.MustCompile(`^(loads|exports|proofs)/[0-9a-f]+/results/`).MatchString(e.Key) {
			continue
		}
		body, e, err := c.S3.Get(work, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		text := string(body)
		switch {
		case strings.HasSuffix(e.Key, "/report.json"):
			text = timeless(t, e.Key, body)
		case strings.HasSuffix(e.Key, "/report.html"):
			// It shows what report.json holds.
			twin, _, err := c.S3.Get(work, strings.TrimSuffix(e.Key, "html")+"json")
			if err != nil {
				t.Fatal(err)
			}
			html, err := parseReport(t, e.Key, twin).HTML()
			if err != nil {
				t.Fatal(err)
			}
			if text != string(html) {
				t.Errorf("%s does not show what report.json holds", e.Key)
			}
			text = ""
		}
		out[e.Key] = fmt.Sprintf("%s %s\n%s", e.Header["Content-Type"], e.Header["Content-Encoding"], text)
	}
	return out
}

// A page is a report that was read back.
type page interface{ HTML() ([]byte, error) }

// parseReport reads the report of a load, or of a proof, by its key.
func parseReport(t testing.TB, key string, body []byte) page {
	t.Helper()
	var p page
	var err error
	if strings.HasPrefix(key, "proofs/") {
		p, err = report.ParseProve(body)
	} else {
		p, err = report.Parse(body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// timeless is a report without its times.
func timeless(t testing.TB, key string, body []byte) string {
	t.Helper()
	r := parseReport(t, key, body)
	switch x := r.(type) {
	case report.Prove:
		x.Finished = time.Time{}
		r = x
	case report.Load:
		x.Started, x.Finished = time.Time{}, time.Time{}
		for i := range x.Phases {
			x.Phases[i].Started, x.Phases[i].Finished = time.Time{}, time.Time{}
		}
		if x.Predicted != nil {
			x.Predicted.Made = time.Time{}
		}
		r = x
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// workBucket is the stacks' own bucket.
func workBucket(t testing.TB, c *local.Cloud) string {
	t.Helper()
	for _, f := range c.Functions {
		if b := f.Env["GODWIT_WORK_BUCKET"]; b != "" {
			return b
		}
	}
	t.Fatal("no function has a work bucket")
	return ""
}
