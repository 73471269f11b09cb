package iam_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/template"
)

// stacks makes one resolved stack of the given resources.
func stacks(t *testing.T, resources string) []*template.Stack {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"artifacts": {"s": {"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region", "properties": {"templateFile": "s.json"}}}}`,
		"s.json":        `{"Resources": ` + resources + `}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := template.Load(dir, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

const lambdaTrust = `{"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}`

const (
	loader = "arn:aws:iam::111122223333:role/loader"
	other  = "arn:aws:iam::111122223333:role/other"
)

// judge makes a judge of the role loader with one inline policy of the given
// statements, a role other without any, and further resources.
func judge(t *testing.T, statements, more string) *iam.Judge {
	t.Helper()
	if more != "" {
		more = ", " + more
	}
	j, err := iam.FromStacks(stacks(t, `{
		"Loader": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "loader", "AssumeRolePolicyDocument": `+lambdaTrust+`,
			"Policies": [{"PolicyName": "inline", "PolicyDocument": {"Version": "2012-10-17", "Statement": `+statements+`}}]}},
		"Other": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "other", "AssumeRolePolicyDocument": `+lambdaTrust+`}}`+more+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// verdict is "allow", "deny" or "error".
func verdict(err error) string {
	var denied *gateway.AccessDenied
	switch {
	case err == nil:
		return "allow"
	case errors.As(err, &denied):
		return "deny"
	}
	return "error"
}

func TestIdentityPolicies(t *testing.T) {
	tests := []struct {
		name, statements, action, resource string
		condition                          map[string]string
		want                               string
	}{
		{"nothing is allowed by default", `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/*"}]`, "s3:PutObject", "arn:aws:s3:::work/a", nil, "deny"},
		{"exact action and wildcard resource", `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/parts/*"}]`, "s3:GetObject", "arn:aws:s3:::work/parts/a/b", nil, "allow"},
		{"resource outside", `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/parts/*"}]`, "s3:GetObject", "arn:aws:s3:::work/plan", nil, "deny"},
		{"a bucket is not its objects", `[{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::work"}]`, "s3:GetObject", "arn:aws:s3:::work/plan", nil, "deny"},
		{"wildcards in actions", `[{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:Li?tBucket"], "Resource": "*"}]`, "s3:ListBucket", "arn:aws:s3:::work", nil, "allow"},
		{"actions ignore case", `[{"Effect": "Allow", "Action": "S3:getobject", "Resource": "*"}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "allow"},
		{"resources do not", `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::Work/*"}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "deny"},
		{"explicit deny wins", `[{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}]`, "s3:DeleteObject", "arn:aws:s3:::work/a", nil, "deny"},
		{"NotAction", `[{"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}]`, "s3:DeleteObject", "arn:aws:s3:::work/a", nil, "deny"},
		{"NotAction allows the rest", `[{"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "allow"},
		{"NotResource", `[{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::work/secret/*"}]`, "s3:GetObject", "arn:aws:s3:::work/secret/a", nil, "deny"},
		{"condition met", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": ["a/*", "b/*"]}}}]`, "s3:ListBucket", "arn:aws:s3:::work", map[string]string{"s3:prefix": "b/c"}, "allow"},
		{"condition not met", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": ["a/*", "b/*"]}}}]`, "s3:ListBucket", "arn:aws:s3:::work", map[string]string{"s3:prefix": "c/"}, "deny"},
		{"missing key is not met", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": "*"}}}]`, "s3:ListBucket", "arn:aws:s3:::work", nil, "deny"},
		{"missing key with IfExists is", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLikeIfExists": {"s3:prefix": "a"}}}]`, "s3:ListBucket", "arn:aws:s3:::work", nil, "allow"},
		{"missing key of a negated operator is", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringNotEquals": {"s3:prefix": "a"}}}]`, "s3:ListBucket", "arn:aws:s3:::work", nil, "allow"},
		{"negated operator refuses each value", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringNotEquals": {"s3:prefix": ["a", "b"]}}}]`, "s3:ListBucket", "arn:aws:s3:::work", map[string]string{"s3:prefix": "b"}, "deny"},
		{"all keys must be met", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"}}}]`, "s3:ListBucket", "arn:aws:s3:::work", map[string]string{"s3:prefix": "a"}, "deny"},
		{"Null", `[{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"Null": {"s3:prefix": "true"}}}]`, "s3:ListBucket", "arn:aws:s3:::work", nil, "allow"},
		{"Bool over the wire", `[{"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": false}}}, {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "allow"},
		{"ArnLike stays within parts", `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:*:role/loader"}}}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "deny"},
		{"ArnLike", `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/lo*"}}}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "allow"},
		{"Numeric", `[{"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": {"NumericLessThan": {"s3:TlsVersion": 1.2}}}, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]`, "s3:GetObject", "arn:aws:s3:::work/a", nil, "allow"},
		{"unknown action", `[{"Effect": "Allow", "Action": "*", "Resource": "*"}]`, "s3:GetObjekt", "arn:aws:s3:::work/a", nil, "error"},
		{"unknown condition key of a call", `[{"Effect": "Allow", "Action": "*", "Resource": "*"}]`, "s3:GetObject", "arn:aws:s3:::work/a", map[string]string{"s3:colour": "red"}, "error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := judge(t, test.statements, "").Authorize(loader, test.action, test.resource, test.condition)
			if got := verdict(err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func TestAccessDeniedNamesRoleActionAndResource(t *testing.T) {
	err := judge(t, `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]`, "").Authorize(loader, "s3:PutObject", "arn:aws:s3:::work/a", nil)
	var denied *gateway.AccessDenied
	if !errors.As(err, &denied) {
		t.Fatalf("got %v", err)
	}
	want := gateway.AccessDenied{Role: loader, Action: "s3:PutObject", Resource: "arn:aws:s3:::work/a", Why: "no identity-based policy allows the s3:PutObject action"}
	if diff := cmp.Diff(want, *denied); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBucketPolicies(t *testing.T) {
	bucket := func(statements string) string {
		return `"Work": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "work"}},
			"WorkPolicy": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "Work"}, "PolicyDocument": {"Statement": [` + statements + `]}}}`
	}
	get := `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]`
	tests := []struct{ name, identity, policy, role, want string }{
		{"TLS-only policy lets TLS pass", get, `{"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": ["arn:aws:s3:::work", "arn:aws:s3:::work/*"], "Condition": {"Bool": {"aws:SecureTransport": "false"}}}`, loader, "allow"},
		{"deny by principal", get, `{"Effect": "Deny", "Principal": {"AWS": "` + loader + `"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/*"}`, loader, "deny"},
		{"deny for the account", get, `{"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/*"}`, loader, "deny"},
		{"allow by role needs no identity policy", get, `{"Effect": "Allow", "Principal": {"AWS": "` + other + `"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/*"}`, other, "allow"},
		{"allow for the account needs one", get, `{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/*"}`, other, "deny"},
		{"allow of another account is not ours", get, `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/*"}`, other, "deny"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := judge(t, test.identity, bucket(test.policy)).Authorize(test.role, "s3:GetObject", "arn:aws:s3:::work/a", nil)
			if got := verdict(err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func TestKeyIsRuledByItsPolicy(t *testing.T) {
	decrypt := `[{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}]`
	root := `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"}`
	tests := []struct {
		name, policy, role string
		condition          map[string]string
		want               string
	}{
		{"root statement hands over to IAM", root, loader, nil, "allow"},
		{"but IAM must allow", root, other, nil, "deny"},
		{"without it IAM does not count", `{"Effect": "Allow", "Principal": {"AWS": "` + other + `"}, "Action": "kms:Decrypt", "Resource": "*"}`, loader, nil, "deny"},
		{"role in the key policy needs no IAM", `{"Effect": "Allow", "Principal": {"AWS": "` + other + `"}, "Action": "kms:Decrypt", "Resource": "*"}`, other, nil, "allow"},
		{"via the named service", `{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}}`, other, map[string]string{"kms:ViaService": "s3.us-east-1.amazonaws.com"}, "allow"},
		{"not via another", `{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}}`, other, map[string]string{"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}, "deny"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := stacks(t, `{
				"Loader": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "loader", "AssumeRolePolicyDocument": `+lambdaTrust+`, "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": `+decrypt+`}}]}},
				"Other": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "other", "AssumeRolePolicyDocument": `+lambdaTrust+`}},
				"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": [`+test.policy+`]}}}}`)
			j, err := iam.FromStacks(all)
			if err != nil {
				t.Fatal(err)
			}
			err = j.Authorize(test.role, "kms:Decrypt", all[0].Resources["Key"].ARN(), test.condition)
			if got := verdict(err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func TestAnotherAccountsBucketNeedsBothSides(t *testing.T) {
	const bucket = "arn:aws:s3:::their-archive"
	read := `[{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["` + bucket + `", "` + bucket + `/*"]}]`
	admit := func(principal string) any {
		return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "` + principal + `"}, "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["` + bucket + `", "` + bucket + `/*"]}]}`
	}
	tests := []struct {
		name, role string
		policy     any
		want       string
	}{
		{"both sides by account", loader, admit("arn:aws:iam::111122223333:root"), "allow"},
		{"both sides by role", loader, admit(loader), "allow"},
		{"no bucket policy", loader, nil, "deny"},
		{"bucket policy for another role", loader, admit(other), "deny"},
		{"no identity policy", other, admit(other), "deny"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := judge(t, read, "")
			if err := j.AddResource(bucket, "999988887777", test.policy); err != nil {
				t.Fatal(err)
			}
			err := j.Authorize(test.role, "s3:GetObject", bucket+"/exports/a", nil)
			if got := verdict(err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func TestRoleOutsideTheStacks(t *testing.T) {
	const imported = "arn:aws:iam::111122223333:role/service/import"
	j := judge(t, `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]`, "")
	if err := j.AddRole(imported, `{"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::work/parts/*"}}`,
		`{"Statement": {"Effect": "Allow", "Principal": {"Service": "rds.amazonaws.com"}, "Action": "sts:AssumeRole"}}`); err != nil {
		t.Fatal(err)
	}
	if err := j.CanAssume(imported, "rds.amazonaws.com", nil); err != nil {
		t.Error(err)
	}
	if err := j.Authorize(imported, "s3:GetObject", "arn:aws:s3:::work/parts/a", nil); err != nil {
		t.Error(err)
	}
	if err := j.Authorize(imported, "s3:GetObject", "arn:aws:s3:::work/plan", nil); verdict(err) != "deny" {
		t.Errorf("outside its grant: got %v", err)
	}
}

func TestPassRoleNeedsPermissionAndTrust(t *testing.T) {
	j := judge(t, `[{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "`+other+`", "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "states.amazonaws.com"]}}}]`, "")
	for service, want := range map[string]string{"lambda.amazonaws.com": "allow", "states.amazonaws.com": "deny", "rds.amazonaws.com": "deny"} {
		if err := j.PassRole(loader, other, service); verdict(err) != want {
			t.Errorf("%s: got %v, want %s", service, err, want)
		}
	}
	if err := j.PassRole(other, loader, "lambda.amazonaws.com"); verdict(err) != "deny" {
		t.Errorf("a role without PassRole: got %v", err)
	}
}

func TestServicesCallByResourcePolicyAlone(t *testing.T) {
	all := stacks(t, `{
		"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "alarms"}},
		"Admit": {"Type": "AWS::SNS::TopicPolicy", "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": {"Statement": [
			{"Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish", "Resource": {"Ref": "Topic"}, "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}}]}}}}`)
	j, err := iam.FromStacks(all)
	if err != nil {
		t.Fatal(err)
	}
	topic := all[0].Resources["Topic"].ID
	ours := map[string]string{"aws:SourceAccount": "111122223333"}
	if err := j.AuthorizeService("cloudwatch.amazonaws.com", "sns:Publish", topic, ours); err != nil {
		t.Error(err)
	}
	if err := j.AuthorizeService("events.amazonaws.com", "sns:Publish", topic, ours); verdict(err) != "deny" {
		t.Errorf("events: got %v", err)
	}
	if err := j.AuthorizeService("cloudwatch.amazonaws.com", "sns:Publish", topic, nil); verdict(err) != "deny" {
		t.Errorf("without source account: got %v", err)
	}
}

func TestAttachedAndManagedPolicies(t *testing.T) {
	j, err := iam.FromStacks(stacks(t, `{
		"Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "loader", "AssumeRolePolicyDocument": `+lambdaTrust+`, "ManagedPolicyArns": [
			{"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}, {"Ref": "Made"}]}},
		"Made": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}}},
		"Attached": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "p", "Roles": [{"Ref": "Role"}], "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]string{"logs:PutLogEvents": "allow", "s3:GetObject": "allow", "s3:PutObject": "allow", "s3:DeleteObject": "deny", "ec2:CreateNetworkInterface": "deny"} {
		if err := j.Authorize(loader, action, "arn:aws:s3:::work/a", nil); verdict(err) != want {
			t.Errorf("%s: got %v, want %s", action, err, want)
		}
	}
}

func TestWhatIsNotKnownIsAnErrorByName(t *testing.T) {
	role := func(statement string) string {
		return `{"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ` + lambdaTrust + `, "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": [` + statement + `]}}]}}}`
	}
	tests := []struct{ name, resources, want string }{
		{"action", role(`{"Effect": "Allow", "Action": "s3:GetObjekt", "Resource": "*"}`), "s3:GetObjekt"},
		{"action pattern", role(`{"Effect": "Allow", "Action": "s3:Fetch*", "Resource": "*"}`), "s3:Fetch*"},
		{"service", role(`{"Effect": "Allow", "Action": "braket:*", "Resource": "*"}`), "braket:*"},
		{"operator", role(`{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"DateLessThan": {"aws:CurrentTime": "x"}}}`), "DateLessThan"},
		{"condition key", role(`{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpce": "x"}}}`), "aws:SourceVpce"},
		{"variable", role(`{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::home/${aws:username}"}`), "${aws:username}"},
		{"element", role(`{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Mood": "good"}`), "Mood"},
		{"principal in an identity policy", role(`{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*"}`), "Principal"},
		{"no resource", role(`{"Effect": "Allow", "Action": "s3:*"}`), "Resource"},
		{"managed policy", `{"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ` + lambdaTrust + `, "ManagedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]}}}`, "AdministratorAccess"},
		{"too long", role(`{"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["` + strings.Repeat("arn:aws:s3:::work/", 600) + `"]}`), "10240"},
		{"boundary", `{"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ` + lambdaTrust + `, "PermissionsBoundary": "x"}}}`, "boundary"},
		{"principal kind", `{"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": [{"Effect": "Allow", "Principal": {"Federated": "x"}, "Action": "sts:AssumeRole"}]}}}}`, "Federated"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := iam.FromStacks(stacks(t, test.resources))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error naming %q", err, test.want)
			}
		})
	}
	if err := judge(t, `[]`, "").Authorize("arn:aws:iam::111122223333:role/stranger", "s3:GetObject", "*", nil); verdict(err) != "error" {
		t.Errorf("unknown role: got %v", err)
	}
}

func TestUsesTellWhichStatementsWereNeeded(t *testing.T) {
	statements := `[
		{"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
		{"Sid": "ReadAgain", "Effect": "Allow", "Action": "s3:Get*", "Resource": "*"},
		{"Sid": "Write", "Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
		{"Sid": "Idle", "Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "*"}]`
	j := judge(t, statements, "")
	for _, action := range []string{"s3:GetObject", "s3:PutObject", "s3:PutObject"} {
		if err := j.Authorize(loader, action, "arn:aws:s3:::work/a", nil); err != nil {
			t.Fatal(err)
		}
	}
	var unused []string
	for _, u := range j.Unused() {
		if u.Ref.Policy == "inline" {
			unused = append(unused, u.Ref.Sid)
		}
		if !json.Valid([]byte(u.Text)) {
			t.Errorf("text of %s is no JSON: %s", u.Ref, u.Text)
		}
	}
	if diff := cmp.Diff([]string{"ReadAgain", "Idle"}, unused); diff != "" {
		t.Errorf("unused (-want +got):\n%s", diff)
	}
	needed := j.Needed()
	if len(needed) != 1 || needed[0].String() != "s/Loader/inline#2 (Write)" {
		t.Fatalf("got needed statements %v, want Write alone", needed)
	}
	// Removing a needed statement makes the same run fail, by name.
	again := judge(t, statements, "")
	if err := again.Remove(iam.Pick(needed, 1, 10)...); err != nil {
		t.Fatal(err)
	}
	if err := again.Authorize(loader, "s3:PutObject", "arn:aws:s3:::work/a", nil); verdict(err) != "deny" {
		t.Errorf("got %v after the removal, want a denial", err)
	}
	if err := again.Remove(iam.Ref{Stack: "nobody"}); err == nil {
		t.Error("removing an unknown statement is no error")
	}
}

func TestPickIsTheSameForTheSameSeed(t *testing.T) {
	var refs []iam.Ref
	for i := range 50 {
		refs = append(refs, iam.Ref{Index: i})
	}
	one, two, three := iam.Pick(refs, 7, 10), iam.Pick(refs, 7, 10), iam.Pick(refs, 8, 10)
	if len(one) != 10 || !cmp.Equal(one, two) || cmp.Equal(one, three) {
		t.Errorf("got %v, %v and %v", one, two, three)
	}
}
