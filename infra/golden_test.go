package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The golden templates show a reviewer what a change of the code changes on AWS.
// `make golden` writes them anew.
func TestTemplatesAreAsReviewed(t *testing.T) {
	asset := regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	for _, name := range []string{"dev", "prod", "demo", "demo-snapshot", "demo-snapshot-dsql", "imported"} {
		t.Run(name, func(t *testing.T) {
			s := synthesize(t, name)
			for stack, template := range s.Templates {
				text := render(t, withoutNoise(template))
				golden(t, filepath.Join("testdata", name, stack+".json"), asset.ReplaceAll(text, []byte("ASSET")))
			}
			// The same in all environments, whose concurrency is the same, but for a
			// ledger's stream, which demo has.
			for machine, d := range s.definitions(t) {
				if machine != "LedgerLoad" || name == "demo" {
					golden(t, filepath.Join("testdata", machine+".asl.json"), render(t, d))
				}
			}
		})
	}
}

// withoutNoise leaves out what CDK writes for its own use, the definition, which has
// a file of its own where it can be read, and the coordinates of widgets.
func withoutNoise(template map[string]any) map[string]any {
	out := maps.Clone(template)
	resources := map[string]any{}
	for id, r := range template["Resources"].(map[string]any) {
		whole := maps.Clone(r.(map[string]any))
		delete(whole, "Metadata")
		if properties, ok := whole["Properties"].(map[string]any); ok && properties["DefinitionString"] != nil {
			properties = maps.Clone(properties)
			properties["DefinitionString"] = "see " + hash.ReplaceAllString(id, "") + ".asl.json"
			whole["Properties"] = properties
		}
		if properties, ok := whole["Properties"].(map[string]any); ok && properties["DashboardBody"] != nil {
			properties = maps.Clone(properties)
			properties["DashboardBody"] = "see dashboard_test.go"
			whole["Properties"] = properties
		}
		resources[id] = whole
	}
	out["Resources"] = resources
	return out
}

// References stand on one line each: they are half of a template.
var (
	ref    = regexp.MustCompile(`\{\s+("Ref": "[^"]*")\s+\}`)
	getAtt = regexp.MustCompile(`\{\s+("Fn::GetAtt": \[)\s+("[^"]*",)\s+("[^"]*")\s+\]\s+\}`)
)

func render(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = getAtt.ReplaceAll(ref.ReplaceAll(text, []byte("{$1}")), []byte("{$1$2 $3]}"))
	return append(text, '\n')
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make golden writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what is synthesized (-file +synthesized); make golden, and read the diff:\n%s", file, diff)
	}
}
