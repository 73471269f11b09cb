package local_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/lambda"
	"godwit/internal/local/s3"
	"godwit/internal/migrate"
)

// The two functions that read the archive need no more memory for ten times the
// archive. The smaller one is more than a segment, which is what bounds them.
func TestPeakMemoryFlat(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("reads 700 MB of a ledger")
	}
	c := start(t, local.Options{})
	many, few := archives(t, c, 850_000)
	after := func(prefix string) map[string]int64 {
		input := json.RawMessage(`{"Bucket":"` + archiveBucket + `","Prefix":"` + prefix + `","Manifests":"none"}`)
		call(t, c, "Preflight", input, nil)
		call(t, c, "Prepare", object{"Input": input, "Preflight": object{}}, nil)
		var plan migrate.PlanOut
		call(t, c, "Plan", object{"Input": input, "Execution": "memory"}, &plan)
		items := readItems(t, c, plan)
		peak := map[string]int64{}
		for _, name := range []string{"Transform", "Count"} {
			const batch = 4 // as the state machine has it
			for from := 0; from < len(items); from += batch {
				work := migrate.WorkIn{LoadId: plan.LoadId, Items: items[from:min(from+batch, len(items))]}
				for out := (migrate.WorkOut{}); !out.Done; work.Resume = out.Resume {
					out = migrate.WorkOut{}
					call(t, c, name, work, &out)
				}
			}
			peak[name] = function(t, c, name).Stats().PeakRSS
		}
		segments, err := c.S3.List(plan.Items.Bucket, "loads/"+plan.LoadId+"/segments/")
		if err != nil || len(segments) < 2 {
			t.Fatalf("%d segments of %s, want more than one: %v", len(segments), prefix, err)
		}
		return peak
	}
	small := after("few/")
	abandon(t, c) // a second load into the schema would have to wait for the first
	large := after("many/")
	for name, before := range small {
		t.Logf("%s: %.1f MB resident after %.0f MB of the archive, %.1f MB after %.0f MB", name, float64(before)/1e6, float64(few)/1e6, float64(large[name])/1e6, float64(many)/1e6)
		if before == 0 {
			t.Skipf("%s: its memory is not known on this system", name)
		}
		if float64(large[name]) > 1.2*float64(before) {
			t.Errorf("%s: ten times the input takes %.2f times the memory", name, float64(large[name])/float64(before))
		}
		if large[name] >= 256<<20 {
			t.Errorf("%s: %d bytes resident, want less than 256 MB", name, large[name])
		}
	}
}

// archives puts the data objects of a ledger under many/, and the first tenth of
// them under few/. It returns the sizes of both in bytes.
func archives(t *testing.T, c *local.Cloud, documents int) (many, few int64) {
	t.Helper()
	var keys []string
	ledger, err := ledgergen.Generate(ledgergen.Options{Seed: 1, Documents: documents, Prefix: "many/", BlocksPerObject: 1600}, func(x ledgergen.Object) error {
		if x.First < 0 {
			return nil
		}
		keys = append(keys, x.Key)
		return c.S3.Put(archiveBucket, x.Key, bytes.Clone(x.Body), s3.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if few >= ledger.Bytes/10 {
			break
		}
		body, _, err := c.S3.Get(archiveBucket, key)
		if err == nil {
			err = c.S3.Put(archiveBucket, "few/"+strings.TrimPrefix(key, "many/"), body, s3.Options{})
		}
		if err != nil {
			t.Fatal(err)
		}
		few += int64(len(body))
	}
	return ledger.Bytes, few
}

// abandon ends the load that is under way.
func abandon(t *testing.T, c *local.Cloud) {
	t.Helper()
	id := query[string](t, c, `SELECT load_id FROM godwit.load WHERE state = 'loading'`)
	query[string](t, c, `SELECT coalesce(godwit.abandon($1)::text, '')`, id)
}

func readItems(t *testing.T, c *local.Cloud, plan migrate.PlanOut) []migrate.Item {
	t.Helper()
	body, _, err := c.S3.Get(plan.Items.Bucket, plan.Items.Key)
	if err != nil {
		t.Fatal(err)
	}
	var items []migrate.Item
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		var item migrate.Item
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	return items
}

// function returns the function of that construct.
func function(t *testing.T, c *local.Cloud, name string) *lambda.Function {
	t.Helper()
	for _, f := range c.Functions {
		if strings.HasPrefix(f.Name, "godwit-demo-ledger-"+name) {
			return f
		}
	}
	t.Fatalf("the stacks have no function %s", name)
	return nil
}

// call invokes a function and decodes its answer.
func call(t *testing.T, c *local.Cloud, name string, in, out any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	payload, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := function(t, c, name).Invoke(ctx, payload)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatalf("%s answered %s: %v", name, answer, err)
		}
	}
}
