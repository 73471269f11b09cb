package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/esm"
	"godwit/internal/local/kinesis"
	"godwit/internal/migrate"
)

// A hundred poison records among ten thousand: the others are applied, each of the
// hundred is set aside with its reason, and when they are mended a replay
// completes the set.
func TestPoisonIsSetAsideAndReplayed(t *testing.T) {
	t.Parallel()
	const records, poison = 10_000, 100
	o := liveOptions()
	o.Later = 6000
	v := startLive(t, local.Options{}, o)
	v.load()
	seed := uint64(20261122)
	chance := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	// As many blocks as make so many messages; what the last one has too many shares
	// the last record.
	var all []ledgergen.StreamMessage
	tip := v.loaded
	for len(all) < records {
		if tip++; tip == v.journal.Len() {
			t.Fatalf("the ledger has %d messages", len(all))
		}
		all = append(all, v.messages(tip)...)
	}
	v.show(tip)
	entries := make([]kinesis.Entry, records)
	for i, m := range all[:records] {
		entries[i] = kinesis.Entry{PartitionKey: m.PartitionKey, Data: m.Data}
	}
	entries[records-1].Data = ledgergen.Aggregate(all[records-1:])
	foreign := []byte(`{"data":{"id":1},"metadata":{"record-type":"data","operation":"insert","schema-name":"public","table-name":"orders"}}`)
	bad := map[string][]byte{} // true messages by what stands for them
	kinds := []func(i int, m []byte) []byte{
		func(_ int, m []byte) []byte { return m[:len(m)-1-chance.IntN(len(m)/2)] },                                // cut
		func(i int, _ []byte) []byte { return fmt.Appendf(nil, "no message at all, %d", i) },                      // not Ion
		func(i int, m []byte) []byte { return append(slices.Clone(m), fmt.Sprintf("and %d more", i)...) },         // something behind it
		func(i int, _ []byte) []byte { return fmt.Appendf(slices.Clone(foreign), "%*s", i%50, "") },               // another producer's
		func(i int, _ []byte) []byte { return fmt.Appendf([]byte{0xE0, 1, 0, 0xEA}, "\xD3\x84\x81%c", 'a'+i%26) }, // Ion of another shape
		func(_ int, m []byte) []byte { // an aggregate whose checksum is wrong
			whole := ledgergen.Aggregate([]ledgergen.StreamMessage{{PartitionKey: "a", Data: m}})
			whole[len(whole)-1] ^= 1
			return whole
		},
	}
	for n, i := range chance.Perm(records - 1)[:poison] {
		spoilt := kinds[n%len(kinds)](i, entries[i].Data)
		bad[fmt.Sprintf("%s %x", entries[i].PartitionKey, spoilt)] = entries[i].Data
		entries[i].Data = spoilt
	}
	v.put(entries...)
	if err := v.drain(); err != nil {
		t.Fatal(err)
	}
	s := v.status()
	if s.Safe || s.Aside != poison || s.Unread != 0 || !strings.Contains(s.Line, "100 set aside") {
		t.Errorf("stream-status: %s", s.Line)
	}
	if n := query[int64](t, v.Cloud, `SELECT count(*) FROM godwit.stream_aside WHERE reason <> '' AND replayed_at IS NULL`); n != poison {
		t.Errorf("%d messages are noted, want %d", n, poison)
	}
	aside := v.aside()
	reasons := map[string]int{}
	for _, a := range aside {
		if a.Reason == "" || a.Sequence == "" || a.Shard == "" {
			t.Errorf("%s has no reason or no origin: %+v", a.Key, a)
		}
		reasons[a.Reason]++
		mended := bad[fmt.Sprintf("%s %x", a.PartitionKey, a.Message)]
		if mended == nil {
			t.Fatalf("%s is none of those that were spoilt: %s", a.Key, a.Reason)
		}
		v.mend(a.Key, mended)
	}
	if len(aside) != poison || len(reasons) < 4 {
		t.Errorf("%d objects, with %d reasons: %v", len(aside), len(reasons), reasons)
	}
	if out := v.replay(); out.Objects != poison || out.Applied != poison || out.Aside != 0 {
		t.Errorf("the replay is %+v", out)
	}
	v.safe()
	// Replayed again, and all records once more, change nothing.
	v.replay()
	v.put(entries[:2000]...)
	if err := v.drain(); err != nil {
		t.Fatal(err)
	}
	v.same()
}

// A logBook keeps what functions log.
type logBook struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// sum adds up a metric over all lines.
func (l *logBook) sum(metric string) (sum int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range regexp.MustCompile(`"`+metric+`":(\d+)`).FindAllStringSubmatch(l.b.String(), -1) {
		n := 0
		_, _ = fmt.Sscan(m[1], &n) // digits
		sum += n
	}
	return sum
}

// flip returns a message of a revision with one bit of a letter of its data
// flipped; nil where the data has no text of its own.
func flip(block *ledgergen.Block, m []byte) []byte {
	for _, letters := range regexp.MustCompile(`:"([A-Za-z0-9 ,.]{8,20})"`).FindAllSubmatch(block.JSON(), -1) {
		// What the message has once stands in its data alone.
		if bytes.Count(m, letters[1]) == 1 && bytes.Count(block.JSON(), letters[1]) == 1 {
			flipped := slices.Clone(m)
			flipped[bytes.Index(m, letters[1])] ^= 1
			return flipped
		}
	}
	return nil
}

var recordOf = regexp.MustCompile(`shardId-\d+:\d+`)

// One flipped bit in the data of a streamed revision stops the stream: nothing
// more is applied, whoever delivers, until somebody looked and resumed it.
func TestOneFlippedBitStopsTheStream(t *testing.T) {
	var logs logBook
	v := startLive(t, local.Options{Logs: &logs, Stream: local.StreamOptions{Shards: 1}}, liveOptions())
	v.load()
	bad := int64(0)
	var mended []byte
	tip := v.loaded + 40
	for n := v.loaded + 1; n <= tip; n++ {
		messages := v.messages(n)
		block, err := v.journal.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		if bad == 0 && n > v.loaded+5 && len(block.Revisions) == 1 {
			if flipped := flip(block, messages[1].Data); flipped != nil {
				bad, mended, messages[1].Data = n, messages[1].Data, flipped
			}
		}
		v.put(kinesis.Entry{PartitionKey: "a", Data: ledgergen.Aggregate(messages)})
	}
	v.show(tip)
	if bad == 0 {
		t.Fatal("no block holds one revision with a text of its own")
	}
	var stalled *esm.StalledError
	if err := v.drain(); !errors.As(err, &stalled) || stalled.State != "Disabled" {
		t.Fatalf("block %d was altered: %v, want the mapping to be disabled", bad, err)
	}
	s := v.status()
	if want := fmt.Sprintf("block %d", bad); s.Safe || !strings.Contains(s.Stopped, want) || !strings.Contains(s.Stopped, "hash") || s.Mapping != "Disabled" || s.GapFree >= bad {
		t.Errorf("block %d was altered, and stream-status says %s", bad, s.Line)
	}
	if n := logs.sum(migrate.MetricStreamStopped); n != 1 {
		t.Errorf("the alarm's metric counts %d stops", n)
	}
	if n := query[int64](t, v.Cloud, `SELECT count(*) FROM godwit.stream WHERE stopped IS NOT NULL`); n != 1 {
		t.Errorf("the flag is not set")
	}
	held := state(t, v.Cloud, "dmv")

	// Who turns the mapping on by hand has nothing applied.
	v.enable()
	if err := v.drain(); !errors.As(err, &stalled) || stalled.State != "Disabled" {
		t.Fatalf("%v, want the mapping to be disabled again", err)
	}
	if diff := cmp.Diff(held, state(t, v.Cloud, "dmv")); diff != "" {
		t.Errorf("something was applied while the flag stood:\n%s", diff)
	}

	// Resumed without a look at the record, it stops again.
	resumed := invoke[migrate.StreamResumeOut](v, "StreamResume", object{"Because": "hope"})
	if !strings.Contains(resumed.Was, fmt.Sprintf("block %d", bad)) {
		t.Errorf("resumed from %q", resumed.Was)
	}
	if err := v.drain(); !errors.As(err, &stalled) || stalled.State != "Disabled" {
		t.Fatalf("%v, want the mapping to be disabled again", err)
	}
	// With the record set aside it goes on, and the block stays open.
	record := recordOf.FindString(v.status().Stopped)
	invoke[migrate.StreamResumeOut](v, "StreamResume", object{"Because": "the record was altered on its way", "Aside": []string{record}})
	if err := v.drain(); err != nil {
		t.Fatal(err)
	}
	if s = v.status(); s.Safe || s.Stopped != "" || s.Aside != 1 || s.Unread != 0 || s.GapFree != bad-1 {
		t.Errorf("with the record set aside: %+v", s)
	}
	aside := v.aside()
	if len(aside) != 1 {
		t.Fatalf("%d messages are set aside, want one", len(aside))
	}
	// Replayed as it is, it stays aside.
	if out := v.replay(); out.Aside != 1 {
		t.Errorf("the replay of the altered message is %+v", out)
	}
	v.mend(aside[0].Key, mended)
	if out := v.replay(); out.Applied != 1 || out.Aside != 0 {
		t.Errorf("the replay of the mended message is %+v", out)
	}
	v.safe()
}
