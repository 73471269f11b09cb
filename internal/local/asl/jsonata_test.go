package asl

import (
	"context"
	"testing"
	"time"

	"github.com/recolabs/gnata"
)

// Where a branch of a Parallel fails, what the others evaluate at that moment is
// no error of theirs, which would pass for the reason.
func TestAbortIsNoErrorOfAnExpression(t *testing.T) {
	code, err := gnata.Compile("$map([1..100], function($x) { $x * 2 })[99]")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	got, err := (&expression{code: code}).evaluate(ctx, nil, time.Now())
	if err != nil || got != 200.0 {
		t.Errorf("got %v, %v, want 200", got, err)
	}
}
