package template_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/template"
)

func load(t *testing.T) []*template.Stack {
	t.Helper()
	stacks, err := template.Load("testdata/two", template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return stacks
}

func TestLoadResolvesEveryIntrinsic(t *testing.T) {
	data := load(t)[0]
	key := data.Resources["Key"]
	got := data.Resources["Work"].Properties
	want := map[string]any{
		"BucketName": "work-111122223333-us-east-1",
		"Key":        "arn:aws:kms:us-east-1:111122223333:key/" + key.ID,
		"Kept":       "v",
		"List":       []any{"2", "x"},
		"Zone":       "us-east-1c",
		"Short":      "aws/" + key.ID + "/" + key.ARN() + "/${Literal}",
		"Long":       "godwit-data.amazonaws.com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("properties of Work (-want +got):\n%s", diff)
	}
	if key.DeletionPolicy != "Retain" {
		t.Errorf("got deletion policy %q, want Retain", key.DeletionPolicy)
	}
	if data.Resources["Absent"] != nil {
		t.Error("a resource whose condition is false is there")
	}
}

func TestLoadOrdersStacksAndImportsExports(t *testing.T) {
	stacks := load(t)
	if len(stacks) != 2 || stacks[0].Name != "godwit-data" || stacks[1].Name != "a-ledger" {
		t.Fatalf("got stacks %v, want godwit-data before a-ledger", stacks)
	}
	fn := stacks[1].Resources["Fn"]
	var properties struct {
		Role        string
		Timeout     int
		Environment struct{ Variables map[string]string }
	}
	if err := fn.Decode(&properties); err != nil {
		t.Fatal(err)
	}
	if got, want := properties.Environment.Variables["WORK"], "arn:aws:s3:::work-111122223333-us-east-1"; got != want {
		t.Errorf("got imported value %q, want %q", got, want)
	}
	if !strings.HasPrefix(properties.Role, "arn:aws:iam::444455556666:role/a-ledger-Role-") || properties.Timeout != 900 {
		t.Errorf("got role %q and timeout %d", properties.Role, properties.Timeout)
	}
	if _, err := os.Stat(filepath.Join(fn.Asset, "bootstrap")); err != nil {
		t.Errorf("asset folder %q: %v", fn.Asset, err)
	}
}

func TestLoadNamesAreValidAndStable(t *testing.T) {
	one, two := load(t), load(t)
	for id, r := range one[0].Resources {
		if again := two[0].Resources[id]; again.ID != r.ID {
			t.Errorf("%s: got id %q, then %q", id, r.ID, again.ID)
		}
	}
	if id := one[0].Resources["Parts"].ID; id != strings.ToLower(id) || len(id) > 63 {
		t.Errorf("bucket name %q", id)
	}
}

func TestResolveSecretsAsksForSecretAndKey(t *testing.T) {
	data := load(t)[0]
	secret := data.Resources["Secret"].ID
	if got := data.Resources["Attachment"].ID; got != secret {
		t.Errorf("got Ref of the attachment %q, want the secret's ARN %q", got, secret)
	}
	got, err := template.ResolveSecrets(data.Resources["Cluster"].Properties, func(id, key string) (string, error) {
		return id + "#" + key, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"MasterUserPassword": secret + "#password"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOrderCreatesDependenciesFirst(t *testing.T) {
	data := load(t)[0]
	at := map[string]int{}
	for i, id := range data.Order {
		at[id] = i
	}
	for _, pair := range [][2]string{{"Key", "Work"}, {"Secret", "Cluster"}, {"Cluster", "Attachment"}} {
		if at[pair[0]] > at[pair[1]] {
			t.Errorf("%s comes after %s in %v", pair[0], pair[1], data.Order)
		}
	}
}

func TestLoadRefusesByName(t *testing.T) {
	tests := []struct{ name, resources, want string }{
		{"resource type", `{"R": {"Type": "AWS::EC2::Instance"}}`, "AWS::EC2::Instance"},
		{"custom resource", `{"R": {"Type": "Custom::S3AutoDeleteObjects"}}`, "Custom::S3AutoDeleteObjects"},
		{"attribute", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Fn::GetAtt": ["R2", "Colour"]}}}, "R2": {"Type": "AWS::S3::Bucket"}}`, "attribute Colour of AWS::S3::Bucket"},
		{"pseudo parameter", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Ref": "AWS::Weather"}}}}`, "AWS::Weather"},
		{"intrinsic", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Fn::Cidr": ["a"]}}}}`, "Fn::Cidr"},
		{"missing resource", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Ref": "Nobody"}}}}`, "Ref Nobody"},
		{"import", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Fn::ImportValue": "nobody:x"}}}}`, "nobody:x"},
		{"dynamic reference", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": "{{resolve:ssm-secure:/x}}"}}}`, "ssm-secure"},
		{"circle", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Ref": "Q"}}}, "Q": {"Type": "AWS::S3::Bucket", "DependsOn": "R"}}`, "circular dependency: Q -> R -> Q"},
		{"name of itself", `{"R": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": "x${R}"}}}}`, "refers to itself"},
		{"function without asset", `{"R": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Key": "gone.zip"}}}}`, "gone.zip"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "manifest.json", `{"artifacts": {"s": {"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region", "properties": {"templateFile": "s.json"}}}}`)
			write(t, dir, "s.json", `{"Resources": `+test.resources+`}`)
			_, err := template.Load(dir, template.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error naming %q", err, test.want)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
