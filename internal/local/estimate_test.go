package local_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"godwit/internal/estimate"
	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/report"
)

// A plan predicts, to the last one, the state transitions, calls and requests
// that its load then makes, and those that planning itself made.
func TestPlanCountsWhatTheLoadDoes(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.JSON} {
		t.Run(string(format), func(t *testing.T) { planCounts(t, format) })
	}
}

func planCounts(t *testing.T, format ledgergen.Format) {
	var mu sync.Mutex
	counts := map[string]float64{} // by the name of the unit's price
	count := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		counts[name]++
	}
	counted := func() map[string]float64 {
		mu.Lock()
		defer mu.Unlock()
		was := counts
		counts = map[string]float64{}
		return was
	}
	alone := map[string]bool{"Preflight": true, "Prepare": true, "Plan": true, "Typing": true, "NextPhase": true, "Report": true}
	actions := map[string]string{
		"rds-data:ExecuteStatement": "data-api", "s3:GetObject": "s3-reads", "s3:PutObject": "s3-writes", "s3:ListBucket": "s3-writes",
	}
	c := start(t, local.Options{
		Progress: func(e asl.Event) {
			switch {
			case e.Kind == asl.StateEntered:
				count("states-transitions")
				if alone[e.State] || strings.HasSuffix(e.State, "Work") {
					count("lambda-requests")
				}
			case e.Kind == asl.ExecutionStarted && e.Execution.Parent != nil:
				count("states-transitions") // of starting a child
			}
		},
		Fault: func(x gateway.Call) gateway.Fault {
			if name := actions[x.Action]; name != "" {
				count(name)
			}
			return gateway.None
		},
	})
	archive(t, c, ledgergen.Options{Seed: 1, Documents: 300, Prefix: "exports/", Format: format})
	counted() // what starting took
	out := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Mode": "plan"})
	planning := counted()
	load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	loading := counted()
	text, _, err := c.S3.Get(workBucket(t, c), "loads/"+out.LoadId+"/plan-report.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := report.ParsePlan(text)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(what string, got map[string]float64, steps ...estimate.Step) {
		t.Helper()
		want := map[string]float64{}
		for _, s := range steps {
			for _, u := range s.Units {
				want[u.Name] += u.Count.Likely
			}
		}
		for _, name := range []string{"states-transitions", "lambda-requests", "data-api", "s3-reads", "s3-writes"} {
			if got[name] != want[name] {
				t.Errorf("%s took %g %s, predicted %g", what, got[name], name, want[name])
			}
		}
	}
	maps := 0
	for name, machine := range c.Machines {
		for _, m := range regexp.MustCompile(`"MaxItemsPerBatch":(\d+)`).FindAllStringSubmatch(machine.Definition, -1) {
			if maps++; m[1] != "1" && m[1] != fmt.Sprint(estimate.ItemsPerChild) {
				t.Errorf("a map of %s has %s items a child, predicted %d", name, m[1], estimate.ItemsPerChild)
			}
		}
	}
	if maps < 4 {
		t.Errorf("%d maps were looked at", maps)
	}
	compare("planning", planning, p.Estimate.Planning)
	compare("the load", loading, p.Estimate.Steps...)
}
