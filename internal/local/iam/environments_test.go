package iam_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

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
	for _, stack := range []string{"data", "target", "stream", "ledger", "prove", "export"} {
		text, err := os.ReadFile(filepath.Join(golden, environment, stack+".json"))
		if stack == "stream" && os.IsNotExist(err) {
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
			want := 1                  // that it writes exports with
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
