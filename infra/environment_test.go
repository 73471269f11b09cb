package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvironmentErrorsNameTheMember(t *testing.T) {
	const valid = `{"region": "eu-west-1", "removal": "retain",
		"archives": [{"bucket": "exports", "prefix": "dmv/"}],
		"cluster": {"new": {"database": "ledger", "minACU": 2, "maxACU": 8}}}`
	if _, err := ParseEnvironment("dev", []byte(valid)); err != nil {
		t.Fatalf("the valid one: %v", err)
	}
	change := func(old, replacement string) string {
		if !strings.Contains(valid, old) {
			t.Fatalf("nothing to change: %s", old)
		}
		return strings.Replace(valid, old, replacement, 1)
	}
	replicated := func(old, replacement string) string {
		if !strings.Contains(imported, old) {
			t.Fatalf("nothing to change: %s", old)
		}
		return strings.Replace(imported, old, replacement, 1)
	}
	existing := strings.Replace(imported, `"region": "eu-west-1"`, `"region": "eu-central-1"`, 1)
	for _, c := range []struct{ name, text, want string }{
		{"unknown member", change(`"removal"`, `"regoin": "x", "removal"`), `unknown field "regoin"`},
		{"wrong type", change(`"minACU": 2`, `"minACU": "2"`), "cluster.new.minACU"},
		{"region", change("eu-west-1", "europe"), "member region"},
		{"account", change(`"removal"`, `"account": "12", "removal"`), "member account"},
		{"architecture", change(`"removal"`, `"architecture": "arm", "removal"`), "member architecture"},
		{"removal", change(`"retain"`, `"keep"`), "member removal"},
		{"e-mail", change(`"removal"`, `"alarmEmail": "ops", "removal"`), "member alarmEmail"},
		{"concurrency", change(`"removal"`, `"concurrency": {"transform": 5000}, "removal"`), "member concurrency.transform"},
		{"tasks", change(`"removal"`, `"concurrency": {"tasks": -1}, "removal"`), "member concurrency.tasks"},
		{"no archives", change(`[{"bucket": "exports", "prefix": "dmv/"}]`, `[]`), "member archives"},
		{"archive's bucket", change(`"exports"`, `"s3://exports"`), "member archives[0].bucket"},
		{"archive's prefix", change(`"dmv/"`, `"dmv/*"`), "member archives[0].prefix"},
		{"archive's key", change(`"dmv/"`, `"dmv/", "kmsKeyArn": "alias/x"`), "member archives[0].kmsKeyArn"},
		{"no cluster", change(`"new": {"database": "ledger", "minACU": 2, "maxACU": 8}`, ``), "member cluster"},
		{"database", change(`"ledger"`, `"Ledger"`), "member cluster.new.database"},
		{"capacity steps", change(`"minACU": 2`, `"minACU": 2.3`), "member cluster.new.minACU"},
		{"capacity order", change(`"maxACU": 8`, `"maxACU": 1`), "member cluster.new.maxACU"},
		{"sleeping production", change(`"minACU": 2`, `"minACU": 0`), "member cluster.new.minACU"},
		{"another region", existing, "member cluster.imported.arn"},
		{"another account", strings.Replace(imported, `"account": "111122223333"`, `"account": "444455556666"`, 1), "member cluster.imported.arn"},
		{"role", strings.Replace(importedWithRole, "role/existing-import", "user/x", 1), "member cluster.imported.importRoleArn"},
		{"stream's source", change(`"removal"`, `"stream": {"source": "kafka"}, "removal"`), "member stream.source"},
		{"replication of another source", replicated(`"dms", "dms"`, `"dsql", "dms"`), "member stream.dms"},
		{"two sources", replicated(`"source": {`, `"sourceEndpointArn": "arn:aws:dms:eu-west-1:111122223333:endpoint:E", "source": {`), "member stream.dms: exactly one"},
		{"source's secret", replicated("arn:aws:secretsmanager:eu-west-1:111122223333:secret:source-a1b2c3", "postgres://u:p@h/d"), "member stream.dms.source.secretArn"},
		{"source's database", replicated(`"shop"`, `""`), "member stream.dms.source.database"},
		{"slot", replicated(`"godwit"`, `""`), "member stream.dms.source.slot"},
		{"endpoint", strings.Replace(importedWithRole, "endpoint:EXISTING", "task:X", 1), "member stream.dms.sourceEndpointArn"},
		{"no tables", replicated(`[{"schema": "public", "table": "%"}, {"schema": "billing", "table": "invoice"}]`, `[]`), "member stream.dms.tables"},
		{"table without a name", replicated(`"invoice"`, `""`), "member stream.dms.tables[1]"},
		{"one subnet", replicated(`"subnet-0a1b2c3d", `, ``), "member stream.dms.subnetIds"},
		{"subnet", replicated(`subnet-0123456789abcdef0`, `vpc-1`), "member stream.dms.subnetIds[1]"},
		{"no group", replicated(`["sg-0123456789abcdef0"]`, `[]`), "member stream.dms.securityGroupIds"},
		{"group", replicated(`sg-0123456789abcdef0`, `default`), "member stream.dms.securityGroupIds[0]"},
		{"capacity of DMS", strings.Replace(importedWithRole, `"maxDCU": 16`, `"maxDCU": 3`, 1), "member stream.dms.maxDCU"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseEnvironment("dev", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "environment dev") {
				t.Errorf("got error %v, want one that names %q", err, c.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := ParseEnvironment("dev", []byte(`{}`))
		for _, member := range []string{"region", "removal", "archives", "cluster"} {
			if err == nil || !strings.Contains(err.Error(), "member "+member) {
				t.Errorf("error %v does not name %s", err, member)
			}
		}
	})
}

func TestUnknownEnvironmentNamesThoseThereAre(t *testing.T) {
	project, err := ReadProject(filepath.Join("..", "cdk.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = project.Environment("staging")
	if err == nil || !strings.Contains(err.Error(), "demo, demo-dms, demo-dsql, demo-snapshot, demo-snapshot-dsql, dev, prod") {
		t.Errorf("got %v", err)
	}
}

// Flags of cdk.json that the templates depend on. The app passes them on by
// itself; see ReadProject.
func TestFeatureFlagsReachTheAppWithoutTheCLI(t *testing.T) {
	project, err := ReadProject(filepath.Join("..", "cdk.json"))
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]any{
		// Findings fail the bare binary as well.
		"@aws-cdk/core:annotationsInValidationReport": true,
		"@aws-cdk/core:validateAgainstDefaultRules":   true,
		// The data stack cannot be deleted under the others. CDK recommends weak
		// references, which would allow it.
		"@aws-cdk/core:defaultCrossStackReferences":       "strong",
		"@aws-cdk/aws-iam:minimizePolicies":               true,
		"@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": true,
	} {
		if got := project.Context[flag]; got != want {
			t.Errorf("flag %s is %v, want %v", flag, got, want)
		}
	}
	if _, ok := project.Context["environments"]; ok {
		t.Error("the environments are in the app's context, where every construct sees all of them")
	}
}

// cdk-nag and CDK's own rules fail a synth that finds something, also without
// the CLI.
func TestFindingFailsSynth(t *testing.T) {
	project, e := environment(t, "dev")
	dir := filepath.Join(scratch, "planted")
	app := NewApp(project.Context, filepath.Join(dir, "cdk.out"))
	stacks, err := NewStacks(app, e, assets(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	allow(stacks.Ledger.Functions[0].Role, []string{"s3:GetObject"}, "arn:aws:s3:::somebody-elses/*")
	if err := Synth(app); err == nil {
		t.Error("a finding was planted and synth did not fail")
	}
}

func TestMissingBinaryNamesTheCommand(t *testing.T) {
	project, e := environment(t, "dev")
	dir := filepath.Join(scratch, "unbuilt")
	app := NewApp(project.Context, filepath.Join(dir, "cdk.out"))
	_, err := NewStacks(app, e, dir)
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v, want an error that names make build", err)
	}
}

func TestProjectErrorsNameTheFile(t *testing.T) {
	if _, err := ReadProject(filepath.Join(t.TempDir(), "cdk.json")); err == nil || !strings.Contains(err.Error(), "cdk.json") {
		t.Errorf("missing file: %v", err)
	}
	file := filepath.Join(t.TempDir(), "cdk.json")
	for text, want := range map[string]string{
		`{`: "cdk.json", `{"context": {}}`: "context.environments", `{"context": {"environments": []}}`: "context.environments",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadProject(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that names %s", text, err, want)
		}
	}
}
