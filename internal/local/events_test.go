package local_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
)

// Every sample input runs, on the ledger that its names are made for.
func TestSampleInputsRun(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "ledger-load-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sample inputs, %v", len(files), err)
	}
	mapping, err := os.ReadFile(filepath.Join("..", "mapping", "dmv.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "ledger-load-"), ".json")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := start(t, local.Options{})
			archive(t, c, ledgergen.Options{Documents: 200, Seed: 1, Exports: 2, Prefix: "exports/dmv/"})
			if err := c.S3.Put(archiveBucket, "mappings/dmv.json", mapping, s3.Options{}); err != nil {
				t.Fatal(err)
			}
			out := load(t, c, json.RawMessage(text))
			if out.Read == 0 || out.Read != out.Staged+out.Aside+out.Left {
				t.Errorf("read %d, staged %d, quarantined %d, filtered %d", out.Read, out.Staged, out.Aside, out.Left)
			}
		})
	}
}
