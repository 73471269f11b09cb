package target_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/local/rdsdata"
)

// make unload ENV= removes a load through the Data API with the AWS CLI and what
// make deploy wrote, also when the statement outlives its call.
func TestMakeUnload(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"aws", "make", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, rdsdata.Config{Timeout: 3 * limit})
	b.load(ledger("load1", people()...))
	folder := t.TempDir()
	unload := func(load string) (string, error) {
		c := exec.CommandContext(t.Context(), "make", "-C", folder, "-f", makefile, "unload", "ENV=test", "LOAD="+load)
		c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+b.api.URL, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_PAGER=")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	want := func(load string, ok bool, texts ...string) {
		t.Helper()
		out, err := unload(load)
		if (err == nil) != ok {
			t.Errorf("got %v:\n%s", err, out)
		}
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("got %s\nwant %q in it", out, text)
			}
		}
	}
	want("", false, "which load? make unload LOAD=id")
	want("load1", false, "test.outputs.json is missing: make deploy ENV=test")
	outputs := func(stack map[string]string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"godwit-test-data": map[string]string{}, "godwit-test-target": stack})
		if err == nil {
			err = os.MkdirAll(filepath.Join(folder, "build/cdk"), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "build/cdk/test.outputs.json"), body, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	outputs(map[string]string{"ClusterArn": b.api.ClusterARN})
	want("load1", false, "has no output LoaderSecretArn: make deploy ENV=test")
	outputs(map[string]string{"ClusterArn": b.api.ClusterARN, "LoaderSecretArn": b.api.LoaderSecret, "Database": b.api.Database})

	b.exec(`CREATE TABLE dmv.mine (a int)`)
	want("load1", false, "to be removed: load load1, shown on", "nothing was removed: schema dmv holds what load load1 did not make: table dmv.mine")
	b.exec(`DROP TABLE dmv.mine`)
	b.exec(`BEGIN`)
	b.exec(`SELECT count(*) FROM dmv.person`) // holds it up for longer than a call
	done := make(chan struct{})
	go func() {
		defer close(done)
		want("load1", true, "to be removed: load load1, shown on", "still at it", "removed")
	}()
	b.waitLocked(1)
	b.exec(`SELECT pg_sleep(1)`)
	b.exec(`COMMIT`)
	<-done
	equal(t, "what is left", b.visibleNow(), "")
	want("load1", false, "load load1 is not known: was it removed already?")
	b.load(ledger("load1", people()...))
	want("load1", true, "removed: load load1, shown on")
}
