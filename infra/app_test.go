package main

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scratch is the folder of everything that the tests synthesize.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if scratch, err = os.MkdirTemp("", "godwit-infra-"); err != nil {
		panic(err)
	}
	code := m.Run()
	jsii.Close()
	if err := os.RemoveAll(scratch); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// functions are all functions of the stacks.
var functions = append([]string{
	config.LedgerPreflight, config.TargetPrepare, config.LedgerPlan, config.LedgerTyping, config.LedgerTransform,
	config.LedgerCount, config.LedgerSurvey, config.LedgerPhase, config.TargetTask, config.LedgerReport, config.ProveRow,
	config.LedgerDigest, config.LedgerSplit, config.LedgerExport, config.LedgerProofs,
	config.ProvePlan, config.ProveBlocks, config.ProveReport,
	config.SnapshotTrigger, config.SnapshotPreflight, config.SnapshotExport, config.SnapshotCatalog, config.SnapshotPlan, config.TargetProbe, config.SnapshotPrepare,
	config.SnapshotRows, config.SnapshotEvidence, config.SnapshotPhase, config.SnapshotTask, config.SnapshotReport,
}, streamFunctions...)

var streamFunctions = []string{config.StreamApply, config.StreamEnable, config.StreamResume, config.StreamReplay, config.StreamStatus}

// stacks are all stacks, in the order in which they may refer to each other.
var stacks = []string{"data", "target", "snapshot", "stream", "ledger", "prove", "export"}

// has tells whether an environment has a stack, deployed or to be reviewed.
func (e Environment) has(stack string) bool {
	switch stack {
	case "data":
		return true
	case "target":
		return e.hasCluster()
	case "snapshot":
		return e.Snapshot != nil
	case "stream":
		return e.Stream != nil
	}
	return len(e.Archives) > 0
}

// machines are all state machines, by the stack that has them.
var machines = map[string]string{"ledger": "LedgerLoad", "prove": "LedgerProve", "export": "LedgerExport", "snapshot": "SnapshotLoad"}

// imported is an environment whose cluster exists already, with an account, and
// a replication of ours from a database that exists.
const imported = `{
	"region": "eu-west-1", "account": "111122223333", "removal": "retain",
	"stream": {"source": "dms", "dms": {
		"source": {
			"secretArn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:source-a1b2c3",
			"keyArn": "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000002",
			"database": "shop", "slot": "godwit"},
		"tables": [{"schema": "public", "table": "%"}, {"schema": "billing", "table": "invoice"}],
		"subnetIds": ["subnet-0a1b2c3d", "subnet-0123456789abcdef0"], "securityGroupIds": ["sg-0123456789abcdef0"]}},
	"archives": [{"bucket": "example-ledger-exports", "prefix": "dmv/"}],
	"cluster": {"imported": {
		"arn": "arn:aws:rds:eu-west-1:111122223333:cluster:existing", "database": "ledger",
		"adminSecretArn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:existing-a1b2c3"}}}`

// importedWithRole is an imported cluster with a role for s3Import and a key of
// its own for the admin's secret, and a replication from an endpoint that exists.
const importedWithRole = `{
	"region": "eu-west-1", "account": "111122223333", "removal": "retain",
	"stream": {"source": "dms", "dms": {
		"sourceEndpointArn": "arn:aws:dms:eu-west-1:111122223333:endpoint:EXISTING",
		"tables": [{"schema": "public", "table": "%"}], "maxDCU": 16,
		"subnetIds": ["subnet-0a1b2c3d", "subnet-0123456789abcdef0"], "securityGroupIds": ["sg-0123456789abcdef0"]}},
	"archives": [{"bucket": "example-ledger-exports", "prefix": "dmv/"}],
	"cluster": {"imported": {
		"arn": "arn:aws:rds:eu-west-1:111122223333:cluster:existing", "database": "ledger",
		"importRoleArn": "arn:aws:iam::111122223333:role/existing-import",
		"adminKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000001",
		"adminSecretArn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:existing-a1b2c3"}}}`

// withAccount is a new cluster in an account that is known at synth.
const withAccount = `{
	"region": "eu-west-1", "account": "111122223333", "removal": "destroy",
	"archives": [{"bucket": "example-ledger-exports", "prefix": ""}],
	"cluster": {"new": {"database": "ledger", "minACU": 0.5, "maxACU": 4}}}`

// environments are the environments that every rule is tested on: those of
// cdk.json, and the three above.
var environments = []string{"dev", "prod", "demo", "demo-dms", "demo-dsql", "demo-snapshot", "demo-snapshot-dsql", "imported", "importedwithrole", "withaccount"}

// A synthesis is what an environment synthesizes to.
type synthesis struct {
	Environment Environment
	Dir         string
	Templates   map[string]map[string]any // by the members of stacks
}

var (
	synthesized = map[string]*synthesis{}
	mutex       sync.Mutex
)

// synthesize returns the templates of an environment, made once a test run, with
// the stacks that it does not deploy.
func synthesize(t *testing.T, name string) *synthesis {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	if s := synthesized[name]; s != nil {
		return s
	}
	project, e := environment(t, name)
	e.LedgerExport = true
	dir := filepath.Join(scratch, name)
	app := NewApp(project.Context, filepath.Join(dir, "cdk.out"))
	if _, err := NewStacks(app, e, assets(t, dir)); err != nil {
		t.Fatalf("make stacks of %s: %v", name, err)
	}
	if err := Synth(app); err != nil {
		t.Fatalf("environment %s has findings (printed above): %v", name, err)
	}
	s := &synthesis{Environment: e, Dir: filepath.Join(dir, "cdk.out"), Templates: map[string]map[string]any{}}
	for _, stack := range stacks {
		if !e.has(stack) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.Dir, "godwit-"+name+"-"+stack+".template.json"))
		if err != nil {
			t.Fatal(err)
		}
		var template map[string]any
		if err := json.Unmarshal(text, &template); err != nil {
			t.Fatal(err)
		}
		s.Templates[stack] = template
	}
	synthesized[name] = s
	return s
}

func environment(t *testing.T, name string) (Project, Environment) {
	t.Helper()
	project, err := ReadProject(filepath.Join("..", "cdk.json"))
	if err != nil {
		t.Fatal(err)
	}
	project.Environments["imported"] = json.RawMessage(imported)
	project.Environments["importedwithrole"] = json.RawMessage(importedWithRole)
	project.Environments["withaccount"] = json.RawMessage(withAccount)
	e, err := project.Environment(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(name, "demo") {
		e.Architecture = "x86_64" // whatever machine the test runs on
	}
	return project, e
}

// assets makes a folder of functions that are built only in name, so that these
// tests need no build.
func assets(t *testing.T, dir string) string {
	t.Helper()
	dir = filepath.Join(dir, "assets")
	for _, architecture := range []string{"arm64", "x86_64"} {
		for _, f := range functions {
			folder := filepath.Join(dir, architecture, f)
			if err := os.MkdirAll(folder, 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "bootstrap"), []byte(f), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// A resource is one resource of a template.
type resource struct {
	Stack, ID, Type string
	Properties      map[string]any
	Whole           map[string]any
}

func (r resource) String() string { return r.Stack + "/" + r.ID }

// resources are those of all stacks whose type begins with prefix.
func (s *synthesis) resources(prefix string) []resource {
	var list []resource
	for _, stack := range stacks {
		all, _ := s.Templates[stack]["Resources"].(map[string]any)
		for _, id := range sortedKeys(all) {
			whole := all[id].(map[string]any)
			properties, _ := whole["Properties"].(map[string]any)
			r := resource{Stack: stack, ID: hash.ReplaceAllString(id, ""), Type: whole["Type"].(string), Properties: properties, Whole: whole}
			if strings.HasPrefix(r.Type, prefix) {
				list = append(list, r)
			}
		}
	}
	return list
}

// hash is what CDK puts behind logical ids.
var hash = regexp.MustCompile(`[0-9A-F]{8}$`)

// text writes a value of a template with references as ${Name} and ${Name.Attribute},
// across stacks as well.
func (s *synthesis) text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		for name, argument := range v {
			switch name {
			case "Ref":
				return "${" + hash.ReplaceAllString(argument.(string), "") + "}"
			case "Fn::GetAtt":
				list := argument.([]any)
				return "${" + hash.ReplaceAllString(list[0].(string), "") + "." + list[1].(string) + "}"
			case "Fn::Join":
				var b strings.Builder
				list := argument.([]any)
				for i, part := range list[1].([]any) {
					if i > 0 {
						b.WriteString(list[0].(string))
					}
					b.WriteString(s.text(part))
				}
				return b.String()
			case "Fn::ImportValue":
				for _, t := range s.Templates {
					outputs, _ := t["Outputs"].(map[string]any)
					for _, o := range outputs {
						export, _ := o.(map[string]any)["Export"].(map[string]any)
						if export["Name"] == argument {
							return s.text(o.(map[string]any)["Value"])
						}
					}
				}
			}
		}
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// texts is text for a value or a list of them.
func (s *synthesis) texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, item := range list {
		out = append(out, s.text(item))
	}
	return out
}

// definitions are the definitions of the state machines by their logical ids,
// with references written as text.
func (s *synthesis) definitions(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, m := range s.resources("AWS::StepFunctions::StateMachine") {
		var d map[string]any
		if err := json.Unmarshal([]byte(s.text(m.Properties["DefinitionString"])), &d); err != nil {
			t.Fatalf("the definition of %s is not JSON: %v", m, err)
		}
		all[m.ID] = d
	}
	return all
}

// at follows members of nested objects; nil when one is absent.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func each(t *testing.T, test func(t *testing.T, s *synthesis)) {
	t.Helper()
	for _, name := range environments {
		t.Run(name, func(t *testing.T) { test(t, synthesize(t, name)) })
	}
}

func sortedKeys(m map[string]any) []string {
	return slices.Sorted(maps.Keys(m))
}
