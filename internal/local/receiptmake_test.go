package local_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// make receipt ENV= calls the deployed function with the AWS CLI and what make
// deploy wrote, and brings a receipt that is too long for an answer from S3.
func TestMakeReceipt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"make", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	folder, bin := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	// An AWS CLI that notes its arguments and answers what it is told to.
	write(filepath.Join(bin, "aws"), `#!/bin/sh
echo "$@" >> '`+folder+`/calls'
for last; do :; done
case "$1 $2" in
  'lambda invoke') cp '`+folder+`/answer' "$last" ;;
  's3 cp') echo '{"from":"S3"}' > "$last" ;;
esac
`, 0o755)
	receipt := func(args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), "make", append([]string{"-C", folder, "-f", makefile, "receipt", "ENV=test"}, args...)...)
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		return string(out), err
	}
	row := []string{"TABLE=person", `DOC=a"b`, "VERSION=3"}
	want := func(ok bool, texts []string, args ...string) {
		t.Helper()
		out, err := receipt(args...)
		for _, text := range texts {
			if (err == nil) != ok || !strings.Contains(out, text) {
				t.Errorf("%v: got %v, %s, want %q", args, err, out, text)
			}
		}
	}
	outputs := filepath.Join(folder, "build/cdk/test.outputs.json")
	want(false, []string{"which row? make receipt TABLE="}, row[:2]...)
	want(false, []string{"test.outputs.json is missing: make deploy ENV=test"}, row...)
	write(outputs, `{"godwit-test-ledger": {}}`, 0o600)
	want(false, []string{"has no output ProveRowArn: make deploy ENV=test"}, row...)
	write(outputs, `{"godwit-test-ledger": {"ProveRowArn": "arn:aws:lambda:eu-west-1:111122223333:function:f"}}`, 0o600)
	answer, made := filepath.Join(folder, "answer"), filepath.Join(folder, "build/receipt.json")

	write(answer, `{"errorType": "Stop", "errorMessage": "no such document"}`, 0o600)
	want(false, []string{"no such document"}, row...)
	write(answer, `{"Receipt": "s3://work/receipts/r.json", "Digest": "D", "DigestFrom": "a file", "Content": "{\"a\": \"<\"}\n"}`, 0o600)
	want(true, []string{"it leads to the digest D, from: a file", "go run ./internal/receiptcheck -digest DIGEST build/receipt.json"}, append(row, "SCHEMA=dmv", "LOAD=l")...)
	if got, err := os.ReadFile(made); err != nil || string(got) != "{\"a\": \"<\"}\n" {
		t.Errorf("%v: %s", err, got)
	}
	write(answer, `{"Receipt": "s3://work/receipts/r.json", "DigestFrom": "none"}`, 0o600)
	want(true, []string{"it ends with the hash of its block; digest: none"}, row...)
	if got, err := os.ReadFile(made); err != nil || string(got) != "{\"from\":\"S3\"}\n" {
		t.Errorf("%v: %s", err, got)
	}
	calls, err := os.ReadFile(filepath.Join(folder, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`--function-name arn:aws:lambda:eu-west-1:111122223333:function:f --payload {"Table":"person","Document":"a\"b","Version":3} `,
		`--payload {"Table":"person","Document":"a\"b","Version":3,"Schema":"dmv","LoadId":"l"} `, "lambda invoke --region eu-west-1 ",
		"s3 cp --region eu-west-1 s3://work/receipts/r.json build/receipt.json",
	} {
		if !strings.Contains(string(calls), text) {
			t.Errorf("got %s, want %q in it", calls, text)
		}
	}
}
