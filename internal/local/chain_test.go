package local_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
)

// A block that does not follow the one before it stops the load: nothing is
// tried again, and nothing of it is visible.
func TestBrokenChainIsNeverRetried(t *testing.T) {
	var mu sync.Mutex
	var retried []string
	c := start(t, local.Options{Progress: func(e asl.Event) {
		if e.Kind == asl.StateRetried {
			mu.Lock()
			defer mu.Unlock()
			retried = append(retried, e.State+": "+e.Error.Name)
		}
	}})
	archive(t, c, ledgergen.Options{Seed: 4, Documents: 60, Prefix: "exports/", Format: ledgergen.JSON})
	all, err := c.S3.List(archiveBucket, "exports/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if !strings.HasSuffix(e.Key, ".json") {
			continue
		}
		body, _, err := c.S3.Get(archiveBucket, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(body, []byte("\n"))
		const member = `"previousBlockHash":"`
		at := bytes.Index(lines[2], []byte(member)) + len(member)
		if at < len(member) {
			t.Fatalf("the third block of %s has no previousBlockHash", e.Key)
		}
		// Another letter of base64: still 32 bytes, but others.
		lines[2][at] = map[bool]byte{true: 'B', false: 'A'}[lines[2][at] == 'A']
		if err := c.S3.Put(archiveBucket, e.Key, bytes.Join(lines, nil), s3.Options{}); err != nil {
			t.Fatal(err)
		}
		break
	}
	refuse(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"}, "tampered: block 2 in object exports/", "block 2 of strand", "does not follow block 1")
	if len(retried) > 0 {
		t.Errorf("retried: %s", strings.Join(retried, ", "))
	}
}

// The last block of a load is recorded. What follows may begin before it, at the
// next block, and not one block later: that would leave a gap that nothing tells.
func TestLoadBoundary(t *testing.T) {
	t.Parallel()
	o := ledgergen.Options{Seed: 8, Documents: 200, Prefix: "whole/"}
	whole := start(t, local.Options{})
	l := archive(t, whole, o)
	load(t, whole, object{"Bucket": archiveBucket, "Prefix": "whole/"})
	want := state(t, whole, "dmv")
	cut := l.Blocks / 2 // first block of the second archive, when it follows exactly
	for _, at := range []int64{-1, 0, 1} {
		t.Run(fmt.Sprintf("%+d", at), func(t *testing.T) {
			c := start(t, local.Options{})
			o.Prefix, o.FromBlock, o.UntilBlock = "first/", 0, cut
			archive(t, c, o)
			load(t, c, object{"Bucket": archiveBucket, "Prefix": "first/"})
			if got := query[int64](t, c, `SELECT last_block FROM godwit.load WHERE state = 'published'`); got != cut-1 {
				t.Fatalf("the boundary is block %d, want %d", got, cut-1)
			}
			o.Prefix, o.FromBlock, o.UntilBlock = "second/", cut+at, 0
			archive(t, c, o)
			in := object{"Bucket": archiveBucket, "Prefix": "second/", "Since": cut + at}
			if at > 0 {
				before := state(t, c, "dmv")
				x, r := run(t, c, in)
				if r.Status != asl.Failed || !strings.Contains(local.Cause(x), fmt.Sprintf("schema dmv has blocks 0 to %d of this ledger", cut-1)) {
					t.Errorf("%s: %s", r.Status, local.Cause(x))
				}
				if d := cmp.Diff(before, state(t, c, "dmv")); d != "" {
					t.Errorf("the refused load changed the target:\n%s", d)
				}
				in["AcceptGaps"] = true
				load(t, c, in)
				return
			}
			load(t, c, in)
			if d := cmp.Diff(want, state(t, c, "dmv")); d != "" {
				t.Errorf("the two differ from the whole (-whole +both):\n%s", d)
			}
		})
	}
}
