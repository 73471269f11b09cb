package iam_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"godwit/internal/local/events"
	"godwit/internal/local/iam"
	"godwit/internal/local/template"
)

// golden is where infra keeps the templates of every environment.
const golden = "../../../infra/testdata"

// assembly makes a cloud assembly of an environment's golden templates.
func assembly(t *testing.T, environment string) string {
	t.Helper()
	dir, entries, files := t.TempDir(), map[string]any{}, map[string]any{}
	before := []string{"assets"}
	for _, stack := range []string{"data", "target", "stream", "ledger", "snapshot", "prove", "export"} {
		text, err := os.ReadFile(filepath.Join(golden, environment, stack+".json"))
		if stack != "data" && os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		store(t, dir, stack+".json", json.RawMessage(text))
		entries[stack] = map[string]any{
			"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region", "dependencies": before,
			"properties": map[string]any{"templateFile": stack + ".json", "stackName": "godwit-" + environment + "-" + stack},
		}
		before = append(before, stack)
		var document struct {
			Resources map[string]struct {
				Properties struct{ Code struct{ S3Key string } }
			}
		}
		// Other resources may have a Code of another form, which is no concern here.
		_ = json.Unmarshal(text, &document)
		for _, r := range document.Resources {
			if key := r.Properties.Code.S3Key; key != "" {
				files[key] = map[string]any{"source": map[string]any{"path": "asset"}, "destinations": map[string]any{"d": map[string]any{"objectKey": key}}}
			}
		}
	}
	entries["assets"] = map[string]any{"type": "cdk:asset-manifest", "properties": map[string]any{"file": "assets.json"}}
	store(t, dir, "assets.json", map[string]any{"files": files})
	store(t, dir, "manifest.json", map[string]any{"artifacts": entries})
	return dir
}

func store(t *testing.T, dir, name string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func environments(t *testing.T) []string {
	t.Helper()
	folders, err := os.ReadDir(golden)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range folders {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s holds no environment", golden)
	}
	return names
}

// qldbSource is the region and the kind of what a trust policy admits: all of
// QLDB, or its streams.
var qldbSource = regexp.MustCompile(`"arn:aws:qldb:([a-z0-9-]+):[^:]+:(stream/)?\*"`)

// TestEveryEnvironmentIsKnownToLocal fails as soon as infra uses a resource
// type, attribute, action or condition that local could not judge.
func TestEveryEnvironmentIsKnownToLocal(t *testing.T) {
	for _, environment := range environments(t) {
		t.Run(environment, func(t *testing.T) {
			stacks, err := template.Load(assembly(t, environment), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			j, err := iam.FromStacks(stacks)
			if err != nil {
				t.Fatal(err)
			}
			for _, fn := range template.ByType(stacks, "AWS::Lambda::Function") {
				role := fn.Properties["Role"].(string)
				if err := j.CanAssume(role, "lambda.amazonaws.com", nil); err != nil {
					t.Errorf("function %s: %v", fn.LogicalID, err)
				}
				if err := j.CanAssume(role, "states.amazonaws.com", nil); verdict(err) != "deny" {
					t.Errorf("function %s: a state machine may assume its role: %v", fn.LogicalID, err)
				}
			}
			writers := 0
			for _, role := range template.ByType(stacks, "AWS::IAM::Role") {
				trust, err := json.Marshal(role.Properties["AssumeRolePolicyDocument"])
				if err != nil {
					t.Fatal(err)
				}
				source := qldbSource.FindSubmatch(trust)
				if source == nil {
					continue
				}
				writers++
				resource := "ledger/registry"
				if len(source[2]) > 0 {
					resource = "stream/registry/IiPT4brpZCqCq3f4MTHbYy"
				}
				for _, account := range []string{role.Stack.Account, "444455556666"} {
					from := map[string]string{"aws:SourceArn": "arn:aws:qldb:" + string(source[1]) + ":" + account + ":" + resource, "aws:SourceAccount": account}
					want := "allow"
					if account != role.Stack.Account {
						want = "deny"
					}
					if err := j.CanAssume(role.ARN(), "qldb.amazonaws.com", from); verdict(err) != want {
						t.Errorf("role %s for a ledger of account %s: %v, want %s", role.LogicalID, account, err, want)
					}
				}
			}
			want := 0
			for _, s := range stacks {
				if s.Name == "godwit-"+environment+"-export" { // that it writes exports with
					want++
				}
			}
			if environment == "demo" { // a ledger writes to its stream
				want++
			}
			if writers != want {
				t.Errorf("QLDB may assume %d roles, want %d", writers, want)
			}
			for _, machine := range template.ByType(stacks, "AWS::StepFunctions::StateMachine") {
				ours := map[string]string{"aws:SourceArn": machine.ARN(), "aws:SourceAccount": machine.Stack.Account}
				if err := j.CanAssume(machine.Properties["RoleArn"].(string), "states.amazonaws.com", ours); err != nil {
					t.Errorf("state machine %s: %v", machine.LogicalID, err)
				}
			}
		})
	}
}

// TestEventsReachTheirFunctions: EventBridge may call the target of every rule by
// that rule, and by no other.
func TestEventsReachTheirFunctions(t *testing.T) {
	found := 0
	for _, environment := range environments(t) {
		stacks, err := template.Load(assembly(t, environment), template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := iam.FromStacks(stacks)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range template.ByType(stacks, "AWS::Events::Rule") {
			rule, err := events.RuleOf(r)
			if err != nil || rule == nil {
				t.Errorf("%s: rule %s: %v, %v", environment, r.LogicalID, rule, err)
				continue
			}
			for _, target := range rule.Targets {
				found++
				for source, want := range map[string]string{rule.ARN: "allow", rule.ARN + "-other": "deny"} {
					about := map[string]string{"aws:SourceArn": source, "aws:SourceAccount": r.Stack.Account}
					if err := j.AuthorizeService("events.amazonaws.com", "lambda:InvokeFunction", target.ARN, about); verdict(err) != want {
						t.Errorf("%s: rule %s: %v, want %s", environment, source, err, want)
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("no environment has a rule")
	}
}

// TestRDSWritesExportsForOneAccount: the role that RDS writes exports with is
// assumed for snapshots of the environment's account, and by RDS alone.
func TestRDSWritesExportsForOneAccount(t *testing.T) {
	found := 0
	for _, environment := range environments(t) {
		stacks, err := template.Load(assembly(t, environment), template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := iam.FromStacks(stacks)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range template.ByType(stacks, "AWS::IAM::Role") {
			ours := map[string]string{"aws:SourceAccount": role.Stack.Account}
			if verdict(j.CanAssume(role.ARN(), "export.rds.amazonaws.com", ours)) != "allow" {
				continue
			}
			found++
			for _, account := range []string{"999999999999", ""} {
				if err := j.CanAssume(role.ARN(), "export.rds.amazonaws.com", map[string]string{"aws:SourceAccount": account}); verdict(err) != "deny" {
					t.Errorf("%s: role %s for account %q: %v", environment, role.LogicalID, account, err)
				}
			}
			for _, other := range []string{"rds.amazonaws.com", "lambda.amazonaws.com"} {
				if err := j.CanAssume(role.ARN(), other, ours); verdict(err) != "deny" {
					t.Errorf("%s: role %s for %s: %v", environment, role.LogicalID, other, err)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no environment has a role that RDS writes exports with")
	}
}

// TestAlarmsReachTheirTopic: CloudWatch may publish to the topic of every alarm
// and use the key that encrypts it. CloudWatch and nobody else.
func TestAlarmsReachTheirTopic(t *testing.T) {
	for _, environment := range environments(t) {
		t.Run(environment, func(t *testing.T) {
			stacks, err := template.Load(assembly(t, environment), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			j, err := iam.FromStacks(stacks)
			if err != nil {
				t.Fatal(err)
			}
			keys := map[string]string{} // topic to key
			for _, topic := range template.ByType(stacks, "AWS::SNS::Topic") {
				keys[topic.ARN()], _ = topic.Properties["KmsMasterKeyId"].(string)
			}
			alarms := template.ByType(stacks, "AWS::CloudWatch::Alarm")
			if len(alarms) == 0 {
				t.Error("the environment has no alarm")
			}
			for _, alarm := range alarms {
				actions, _ := alarm.Properties["AlarmActions"].([]any)
				if len(actions) == 0 {
					t.Errorf("alarm %s tells nobody", alarm.LogicalID)
				}
				from := map[string]string{"aws:SourceArn": alarm.ARN(), "aws:SourceAccount": alarm.Stack.Account}
				for _, action := range actions {
					topic := fmt.Sprint(action)
					key, known := keys[topic]
					if !known {
						t.Errorf("alarm %s tells %s, which no stack makes", alarm.LogicalID, topic)
						continue
					}
					if err := j.AuthorizeService("cloudwatch.amazonaws.com", "sns:Publish", topic, from); err != nil {
						t.Errorf("alarm %s: %v", alarm.LogicalID, err)
					}
					if err := j.AuthorizeService("ec2.amazonaws.com", "sns:Publish", topic, from); verdict(err) != "deny" {
						t.Errorf("another service may publish to %s: %v", topic, err)
					}
					for _, use := range []string{"kms:GenerateDataKey", "kms:Decrypt"} {
						if err := j.AuthorizeService("cloudwatch.amazonaws.com", use, key, from); err != nil {
							t.Errorf("alarm %s: %v", alarm.LogicalID, err)
						}
					}
				}
			}
		})
	}
}
