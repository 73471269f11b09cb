package template_test

import (
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/local/template"
)

// FuzzLoad: a template may be wrong in any way, and is an error then.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"data", "ledger"} {
		text, err := os.ReadFile(filepath.Join("testdata", "two", name+".template.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"Resources": {"R": null}}`)
	f.Add(`{"Resources": {"R": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": ["${A}", null]}}}}}`)
	f.Add(`{"Conditions": {"C": {"Condition": "C"}}, "Resources": {"R": {"Type": "AWS::S3::Bucket", "Condition": "C"}}}`)
	f.Add(`{"Resources": {"R": {"Type": "AWS::S3::Bucket", "Properties": {"A": {"Fn::Select": [{"Ref": "AWS::NoValue"}, {"Fn::Split": ["", ""]}]}}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		write(t, dir, "manifest.json", `{"artifacts": {"s": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "s.json"}}}}`)
		write(t, dir, "s.json", text)
		stacks, err := template.Load(dir, template.Options{})
		if err != nil {
			return
		}
		for _, s := range stacks {
			if len(s.Order) != len(s.Resources) {
				t.Errorf("%d of %d resources stand in an order", len(s.Order), len(s.Resources))
			}
		}
	})
}
