package local_test

import (
	"context"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/qldb"
	"godwit/internal/local/s3"
)

// unusedHere are the statements that no run on the local AWS uses, and why the
// stacks have them. A name is as permission makes it, with * for any text
// without a slash.
var unusedHere = []struct{ statement, reason string }{
	{"*/*RoleDefaultPolicy/policy logs:CreateLogStream logs:PutLogEvents", "Lambda writes a function's log as the function's role; here logs go to a file"},
	{"*/*RoleDefaultPolicy/policy xray:PutTelemetryRecords xray:PutTraceSegments", "Lambda's traces of a function; there is no X-Ray here"},
	{"*/Ledger*RoleDefaultPolicy/policy logs:* xray:PutTraceSegments", "log delivery and traces of a state machine; neither is here"},
	{"*-data/AlarmsPolicy/topic sns:Publish", "an alarm reaches its topic; no alarm goes off here"},
	{"*-data/OperationsKey/key kms:\\*", "the account's administrators rule the key; the local operator needs no permission"},
	{"*-data/OperationsKey/key kms:* kms:GenerateDataKeyWithoutPlaintext *", "CloudWatch Logs encrypts log groups with it"},
	{"*-data/OperationsKey/key kms:Decrypt kms:GenerateDataKey", "CloudWatch and EventBridge publish to the encrypted topic of alarms"},
	{"*-data/AccessLogsPolicy/bucket s3:PutObject", "S3 delivers the access logs of the buckets; here it writes none"},
	{"*-export/QldbStreamRole/trust sts:AssumeRole", "QLDB writes a ledger's changes with it; here tests put them into the stream"},
	{"*-export/QldbStreamRoleDefaultPolicy/policy *", "QLDB writes a ledger's changes with it; here tests put them into the stream"},
	{"*-target/NetworkRejectedIAMRole/trust sts:AssumeRole", "VPC flow logs; there is no network here"},
	{"*-target/NetworkRejectedIAMRoleDefaultPolicy/policy logs:*", "VPC flow logs; there is no network here"},
	{"*-target/ImportRoleDefaultPolicy/policy s3:ListBucket", "Aurora's guide asks for it: without it S3 answers 403 for a part that is missing, which would look like a wrong policy"},
}

// unusedActions are actions of statements that are used, which no run here needs.
var unusedActions = []struct{ statement, action, reason string }{
	{"*/Ledger*RoleDefaultPolicy/policy s3:AbortMultipartUpload *", "s3:AbortMultipartUpload", multipart},
	{"*/Ledger*RoleDefaultPolicy/policy s3:AbortMultipartUpload *", "s3:ListMultipartUploadParts", multipart},
	{"*/Ledger*RoleDefaultPolicy/policy s3:AbortMultipartUpload *", "s3:GetObject", multipart},
	{"*-export/QldbRoleDefaultPolicy/policy s3:AbortMultipartUpload *", "s3:AbortMultipartUpload", "QLDB wrote great objects in parts; here they are small"},
}

const multipart = "Step Functions writes great results of a map in parts, and its guide asks for this to do so; here they are small"

// Every statement of every policy that the stacks deploy is used when the sample
// inputs run and a failed load is redriven, or stands above with its reason; and
// what stands above is not used.
func TestEveryStatementIsUsedOrReviewed(t *testing.T) {
	t.Parallel()
	texts, used := map[iam.Ref]string{}, map[iam.Ref]map[string]bool{}
	note := func(c *local.Cloud) {
		for _, u := range c.Judge.Uses() {
			texts[u.Ref] = u.Text
			if used[u.Ref] == nil {
				used[u.Ref] = map[string]bool{}
			}
			for _, a := range u.Actions {
				used[u.Ref][a] = true
			}
		}
	}
	for _, name := range sampleInputs(t) {
		c, _, _ := runSample(t, name)
		note(c)
		c.Close()
	}
	for _, file := range proveSamples(t) {
		c, _ := proveSample(t, file)
		note(c)
		c.Close()
	}
	for _, file := range proveRowSamples(t) {
		c, _, _ := proveRowSample(t, file)
		note(c)
		c.Close()
	}
	note(provenExport(t, ledgergen.JSON))
	note(redriven(t, smallProve{}, "ProveBlocks"))
	note(redriven(t, smallLoad{}, "Task"))
	note(mapped(t))
	note(planned(t))
	note(exportedAndGrown(t))
	note(splitAgain(t))
	note(cancelledAndRedriven(t))
	note(followed(t))
	rows := map[string]int{}
	for ref, text := range texts {
		name, actions := permission(t, ref, text)
		row := slices.IndexFunc(unusedHere, func(r struct{ statement, reason string }) bool { return like(r.statement, name) })
		switch {
		case len(used[ref]) == 0 && row < 0:
			t.Errorf("no run uses %s: remove it, or say above why it is needed\n%s", name, text)
		case len(used[ref]) > 0 && row >= 0:
			t.Errorf("%s is used by %v, though the table says that it is not", name, used[ref])
		case row >= 0:
			rows[unusedHere[row].statement]++
		}
		for _, a := range actions {
			if row >= 0 || len(used[ref]) == 0 || strings.Contains(a, "*") {
				continue
			}
			reviewed := slices.ContainsFunc(unusedActions, func(r struct{ statement, action, reason string }) bool {
				return r.action == a && like(r.statement, name)
			})
			if used[ref][a] == reviewed {
				t.Errorf("%s of %s: used by a run: %t, reviewed as unused: %t", a, name, used[ref][a], reviewed)
			}
		}
	}
	for _, r := range unusedHere {
		if rows[r.statement] == 0 {
			t.Errorf("the table has %q, which is no unused statement", r.statement)
		}
	}
	t.Logf("%d statements, of which %d are used", len(texts), len(texts)-sum(rows))
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

var logicalHash = regexp.MustCompile(`[0-9A-F]{8}$`)

// permission names a statement by its policy and what it allows, and lists that.
func permission(t *testing.T, ref iam.Ref, text string) (name string, actions []string) {
	t.Helper()
	var s struct{ Action json.RawMessage }
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("statement %s: %v", ref, err)
	}
	if json.Unmarshal(s.Action, &actions) != nil {
		var one string
		if err := json.Unmarshal(s.Action, &one); err != nil {
			t.Fatalf("statement %s: %v", ref, err)
		}
		actions = []string{one}
	}
	slices.Sort(actions)
	return ref.Stack + "/" + logicalHash.ReplaceAllString(ref.Resource, "") + "/" + ref.Policy + " " + strings.Join(actions, " "), actions
}

func like(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// redriven is a cloud in which a function of a map failed and the execution was
// redriven.
func redriven(t *testing.T, w workload, function string) *local.Cloud {
	t.Helper()
	var once sync.Once
	o := w.options()
	o.Fault = func(x gateway.Call) (f gateway.Fault) {
		if callerOf(x) == function {
			once.Do(func() { f = gateway.KillBefore })
		}
		return f
	}
	c := start(t, o)
	c.Engine.NoRetry = true
	x, r := execute(t, c, w.machine(), w.prepare(t, c))
	if r.Status != asl.Failed {
		t.Fatalf("%s %s, want it to fail", w.machine(), r.Status)
	}
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := x.Wait(t.Context()); err != nil || r.Status != asl.Succeeded {
		t.Fatalf("the redriven %s %s: %v %s", w.machine(), r.Status, err, local.Cause(x))
	}
	return c
}

// mapped is a cloud with a load whose mapping lies in the work bucket.
func mapped(t *testing.T) *local.Cloud {
	t.Helper()
	mapping, err := os.ReadFile(filepath.Join("..", "mapping", "dmv.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, local.Options{})
	archive(t, c, ledgergen.Options{Seed: 1, Documents: 20, Prefix: "exports/"})
	if err := c.S3.Put(workBucket(t, c), "mappings/dmv.json", mapping, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Mapping": "s3://" + workBucket(t, c) + "/mappings/dmv.json"})
	return c
}

// planned is a cloud in which a load was planned and then done.
func planned(t *testing.T) *local.Cloud {
	t.Helper()
	c := start(t, local.Options{})
	archive(t, c, ledgergen.Options{Seed: 1, Documents: 20, Unmappable: 3, Prefix: "exports/", Format: ledgergen.JSON})
	in := object{"Bucket": archiveBucket, "Prefix": "exports/", "MaxQuarantined": 3}
	load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "MaxQuarantined": 3, "Mode": "plan"})
	load(t, c, in)
	return c
}

// exportedAndGrown is a cloud with an export of a ledger that grew meanwhile.
func exportedAndGrown(t *testing.T) *local.Cloud {
	t.Helper()
	c := growing(t)
	export(t, c, object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 2})
	return c
}

// splitAgain is a cloud in which the reply of a step that had its effect was lost.
func splitAgain(t *testing.T) *local.Cloud {
	t.Helper()
	var once sync.Once
	o := smallExport{}.options()
	o.Fault = func(x gateway.Call) (f gateway.Fault) {
		if callerOf(x) == "Split" && x.Action == "s3:PutObject" && strings.HasSuffix(x.Resources[0], "/plan.json") {
			once.Do(func() { f = gateway.KillAfter })
		}
		return f
	}
	c := start(t, o)
	export(t, c, smallExport{}.prepare(t, c))
	return c
}

// cancelledAndRedriven is a cloud in which one of two exports was cancelled, and
// the execution redriven.
func cancelledAndRedriven(t *testing.T) *local.Cloud {
	t.Helper()
	c, x, _ := cancelOne(t)
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := x.Wait(t.Context()); err != nil || r.Status != asl.Succeeded {
		t.Fatalf("the redriven LedgerExport %s: %v %s", r.Status, err, local.Cause(x))
	}
	return c
}

// A load fails without any one of the statements that it needs, and says who may
// not do what to what. Ten are taken away, chosen by a seed; make soak takes all.
func TestLoadFailsWithoutAStatementThatItNeeds(t *testing.T) {
	failWithout(t, local.Options{}, func(t *testing.T, c *local.Cloud) (*asl.Execution, asl.Result) {
		archive(t, c, ledgergen.Options{Seed: 1, Documents: 20, Unmappable: 3, Prefix: "exports/"})
		return run(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "MaxQuarantined": 3})
	})
}

// And an export.
func TestExportFailsWithoutAStatementThatItNeeds(t *testing.T) {
	failWithout(t, smallExport{}.options(), func(t *testing.T, c *local.Cloud) (*asl.Execution, asl.Result) {
		return execute(t, c, "LedgerExport", smallExport{}.prepare(t, c))
	})
}

// And a stream, whose functions are called by Lambda and by people.
func TestStreamFailsWithoutAStatementThatItNeeds(t *testing.T) {
	o := (&story{}).options()
	o.Ledger = &qldb.Ledger{Options: storyLedger()}
	ofStream := func(r iam.Ref) bool {
		return strings.HasSuffix(r.Stack, "-stream") || strings.HasPrefix(r.Resource, "QldbStreamRole")
	}
	sayWithout(t, o, ofStream, func(t *testing.T, c *local.Cloud) string {
		err := (&story{}).tell(t, c)
		if err == nil {
			err = c.StreamLedger(t.Context(), ledgergen.Name, 0)
		}
		if err == nil {
			err = c.Mappings.Drain(t.Context())
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

func failWithout(t *testing.T, o local.Options, do func(*testing.T, *local.Cloud) (*asl.Execution, asl.Result)) {
	sayWithout(t, o, func(iam.Ref) bool { return true }, func(t *testing.T, c *local.Cloud) string {
		if x, r := do(t, c); r.Status != asl.Succeeded {
			return local.Cause(x)
		}
		return ""
	})
}

// sayWithout does something without one statement at a time of those that are
// chosen, which do must say: "" is success.
func sayWithout(t *testing.T, o local.Options, chosen func(iam.Ref) bool, do func(*testing.T, *local.Cloud) (said string)) {
	t.Helper()
	attempt := func(t *testing.T, without ...iam.Ref) (c *local.Cloud, said string) {
		t.Helper()
		o := o
		o.Assembly, o.Buckets, o.Without = assembly(t), []s3.Bucket{{Name: archiveBucket}}, without
		c, err := local.Start(context.Background(), o)
		if err != nil {
			return nil, err.Error()
		}
		t.Cleanup(c.Close)
		said = do(t, c)
		// The database says no more of a part that it may not read than HTTP 403,
		// as Aurora does; who was refused what is in the log of the local AWS.
		for _, e := range c.Gateway.Calls() {
			if !e.Allowed && callerOf(e.Call) == "Import" && strings.Contains(said, "HTTP 403") && strings.Contains(said, "s3Import must be allowed") {
				said = (&gateway.AccessDenied{Role: e.Role, Action: e.Action, Resource: e.Resources[0]}).Error()
			}
		}
		return c, said
	}
	whole, said := attempt(t)
	if said != "" {
		t.Fatalf("with every statement: %s", said)
	}
	needed := slices.DeleteFunc(whole.Judge.Needed(), func(r iam.Ref) bool { return !chosen(r) })
	n := 10
	if soak {
		n = len(needed)
	}
	t.Logf("%d of %d statements", n, len(needed))
	uses := map[iam.Ref]iam.Use{}
	for _, u := range whole.Judge.Uses() {
		uses[u.Ref] = u
	}
	parallel(iam.Pick(needed, seed(t), n), func(ref iam.Ref) {
		t.Run(ref.String(), func(t *testing.T) {
			_, said := attempt(t, ref)
			m := regexp.MustCompile(`User: (\S+) is not authorized to perform: (\S+) on resource: (arn:\S+|\*)`).FindStringSubmatch(said)
			if m == nil {
				t.Fatalf("without it the execution says %q", said)
			}
			if !slices.Contains(uses[ref].Actions, m[2]) {
				t.Errorf("it allows %v, but what fails is %s: %s", uses[ref].Actions, m[2], said)
			}
			// A role's policy is named after the role, a trust policy is the role's own.
			name, _, _ := strings.Cut(strings.TrimSuffix(logicalHash.ReplaceAllString(ref.Resource, ""), "MappingPolicy"), "DefaultPolicy")
			switch {
			case ref.Policy == "trust" && !strings.Contains(m[3], "-"+name):
				t.Errorf("the error does not name role %s: %s", name, said)
			case ref.Policy == "policy" && !strings.Contains(m[1], "-"+name):
				t.Errorf("the error does not name role %s: %s", name, said)
			}
		})
	})
}
