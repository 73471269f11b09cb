package states_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
	"godwit/internal/local/states"
)

// killing has one of its calls end the function's process.
type killing struct {
	f     *lambda.Function
	kill  int64 // the number of that call, from 1
	calls atomic.Int64
}

func (k *killing) Invoke(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	if k.calls.Add(1) == k.kill {
		payload = []byte(`{"Do":"exit"}`)
	}
	return k.f.Invoke(ctx, payload)
}

// TestKillAtEveryCall kills the function's process at each call in turn: with its
// retries the machine goes on by itself, without them a redrive goes on from the
// state that failed; either way every state succeeds exactly once.
func TestKillAtEveryCall(t *testing.T) {
	bootstrap := filepath.Join(t.TempDir(), "bootstrap")
	if out, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", bootstrap, "../lambda/testdata/worker").CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v: %s", err, out)
	}
	const arn = "arn:aws:lambda:eu-west-1:000000000000:function:worker"
	f := &lambda.Function{ARN: arn, Name: "worker", Bootstrap: bootstrap, Timeout: time.Minute}
	t.Cleanup(f.Close)
	task := func(next string) string {
		return `{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":{"FunctionName":"` + arn + `","Payload":{"Do":"log"}},"Output":"{% $states.input %}",
			"Retry":[{"ErrorEquals":["Runtime.ExitError"],"IntervalSeconds":2,"JitterStrategy":"FULL"}],` + next + `}`
	}
	definition := `{"QueryLanguage":"JSONata","StartAt":"Plan","States":{"Plan":` + task(`"Next":"Work"`) + `,
		"Work":{"Type":"Map","Label":"L","MaxConcurrency":1,"Items":[1,2,3],"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},
			"StartAt":"First","States":{"First":` + task(`"Next":"Second"`) + `,"Second":` + task(`"End":true`) + `}},"Next":"Report"},
		"Report":` + task(`"End":true`) + `}}`
	const calls = 8 // 1 + 3*2 + 1
	for _, redrive := range []bool{false, true} {
		for k := range calls + 1 { // 0 kills none
			t.Run(fmt.Sprintf("redrive=%t/call=%d", redrive, k), func(t *testing.T) {
				fn := &killing{f: f, kill: int64(k)}
				s := states.New(t.Context(), &asl.Engine{Clock: &asl.FastClock{}, Authorizer: allowAll{}, Functions: fn, NoRetry: redrive})
				if _, err := s.Create(machine, role, []byte(definition)); err != nil {
					t.Fatal(err)
				}
				x, err := s.Start(machine, "", nil)
				if err != nil {
					t.Fatal(err)
				}
				settled(t, s, x.ARN)
				want := int64(calls)
				if k > 0 {
					want++
					if redrive {
						if r := x.Result(); r.Status != asl.Failed {
							t.Fatalf("with no retry left the execution is %s, %v", r.Status, r.Error)
						}
						if _, err := s.Redrive(x.ARN); err != nil {
							t.Fatal(err)
						}
						settled(t, s, x.ARN)
					}
				}
				if r := x.Result(); r.Status != asl.Succeeded || string(r.Output) != `[1,2,3]` {
					t.Errorf("the execution is %s, %s, %v", r.Status, r.Output, r.Error)
				}
				if got := fn.calls.Load(); got != want {
					t.Errorf("%d calls, want %d", got, want)
				}
			})
		}
	}
}
