package local_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/local"
	"godwit/internal/local/cdc"
	"godwit/internal/local/esm"
	"godwit/internal/local/gateway"
	"godwit/internal/local/source"
)

// A shop is one with its cloud.
type shop struct {
	*local.Shop
	*local.Cloud
	t testing.TB
}

// startShop starts the stacks of a source.
func startShop(t testing.TB, kind string, o local.Options) *local.Cloud {
	t.Helper()
	o.Assembly = assemblyOf(t, "cdk.out."+kind)
	c, err := local.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// openShop opens a shop of 100 customers whose changes go to the stream.
func openShop(t testing.TB, c *local.Cloud, o local.ShopOptions) *shop {
	t.Helper()
	o.Customers = 100
	s, err := c.OpenShop(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &shop{s, c, t}
}

// must ends the test with an error.
func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// begin copies the shop and enables the stream.
func (s *shop) begin() {
	s.t.Helper()
	s.must(s.Prepare(s.t.Context()))
	_, err := s.Enable(s.t.Context())
	s.must(err)
}

// change has the application do n transactions, and Kinesis have them.
func (s *shop) change(n int) {
	s.t.Helper()
	s.must(s.Change(s.t.Context(), n))
	s.must(s.Producer.Flush(s.t.Context()))
}

func (s *shop) drain() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	return s.Mappings.Drain(ctx)
}

// same wants the target's tables to hold what the source's hold.
func (s *shop) same(tables ...change.TableName) {
	s.t.Helper()
	all, err := s.Compare(s.t.Context(), tables)
	s.must(err)
	for _, d := range all {
		if d.Wrong() > 0 || d.Rows == 0 {
			s.t.Errorf("of %d rows %s", d.Rows, &d)
		}
	}
}

// A trouble breaks deliveries and the calls of stream-apply, and counts how. Calls
// do not say which shard they serve, so that several can meet one shard in a row:
// while one of them has failed twice, none is broken, or the mapping would be taken
// for one that stands still.
type trouble struct {
	deliveries, calls atomic.Int64
	tired             sync.Map        // shard to whether its last two deliveries failed
	met               [5]atomic.Int64 // esm.Throttle to esm.Delay
	killed            [4]atomic.Int64 // gateway.KillBefore to gateway.Throttle
}

// delivery breaks every third, twice in a row at most.
func (d *trouble) delivery(x esm.Delivery) esm.Fault {
	n := d.deliveries.Add(1)
	d.tired.Store(x.Shard, x.Failures > 1)
	if n%3 != 1 || x.Failures > 1 {
		return esm.None
	}
	f := (n / 3) % 5
	d.met[f].Add(1)
	return esm.Throttle + esm.Fault(f)
}

// call breaks every fourth of the first hundred.
func (d *trouble) call(c gateway.Call) gateway.Fault {
	if !strings.Contains(c.Role, "StreamApplyRole") || c.Action != "rds-data:ExecuteStatement" {
		return gateway.None
	}
	tired := false
	d.tired.Range(func(_, is any) bool { tired = is.(bool); return !tired })
	if tired {
		return gateway.None
	}
	n := d.calls.Add(1)
	if n%4 != 2 || n > 100 {
		return gateway.None
	}
	f := (n / 4) % 4
	d.killed[f].Add(1)
	return gateway.KillBefore + gateway.Fault(f)
}

// report fails where a kind of fault never happened.
func (d *trouble) report(t *testing.T) {
	t.Helper()
	for i := range d.met {
		if d.met[i].Load() == 0 {
			t.Errorf("no delivery met fault %d", i+1)
		}
	}
	for i := range d.killed {
		if d.killed[i].Load() == 0 {
			t.Errorf("no call met fault %d", i+1)
		}
	}
}

// Whatever is written again, comes out of order, is killed or throttled, the
// target holds in the end what the source holds; a table without a key once it has
// one.
func TestTheTargetFollowsADatabase(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{change.SourceDMS, change.SourceDSQL} {
		t.Run(kind, func(t *testing.T) {
			var d trouble
			c := startShop(t, kind, local.Options{Fault: d.call, Stream: local.StreamOptions{Shards: 3, Fault: d.delivery}})
			s := openShop(t, c, local.ShopOptions{Source: kind, Seed: 3, Repeats: 4})
			s.must(s.Change(t.Context(), 30)) // behind the snapshot, before the copy
			s.begin()
			for range 12 {
				s.change(20)
				s.must(s.drain())
			}
			s.same(source.KeyedTables...)
			sent := s.Producer.Sent()
			if sent.Again == 0 || sent.KeyChanges == 0 || sent.Unchanged == 0 {
				t.Errorf("the producer had no repeats, key changes or large values left alone: %+v", sent)
			}
			status, err := s.Status(t.Context())
			s.must(err)
			if status.Safe || status.Aside == 0 || status.Unread != 0 || status.Behind != 0 {
				t.Errorf("with changes of a table without a key set aside: %s", status.Line)
			}
			s.must(s.Target(t.Context(), `ALTER TABLE shop.visit ADD PRIMARY KEY (customer, page, seen)`))
			for range 2 { // a second replay finds nothing to do
				replayed, err := s.Replay(t.Context())
				s.must(err)
				if replayed.Aside != 0 {
					t.Errorf("replayed: %+v", replayed)
				}
			}
			if status, err = s.Status(t.Context()); err != nil || !status.Safe {
				t.Errorf("in the end: %v %s", err, status.Line)
			}
			s.same(append([]change.TableName{source.Unkeyed}, source.KeyedTables...)...)
			s.must(s.Target(t.Context(), source.ShopRules...))
			d.report(t)
			if err := c.Gateway.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The positions of two sources cannot be compared: a table has one.
func TestATableOfAnotherSourceIsRefused(t *testing.T) {
	t.Parallel()
	c := startShop(t, change.SourceDMS, local.Options{})
	s := openShop(t, c, local.ShopOptions{Source: change.SourceDMS, Seed: 1})
	s.begin()
	s.must(s.Target(t.Context(), `INSERT INTO godwit.stream_table (relation, stream, from_schema, shown) VALUES ('shop.seat', 'another', 'shop', 'shop.seat'::regclass)`))
	s.change(60)
	var stalled *esm.StalledError
	if err := s.drain(); !errors.As(err, &stalled) || !strings.Contains(err.Error(), "table shop.seat is fed by stream another") {
		t.Fatalf("a table that another stream feeds: %v", err)
	}
	status, err := s.Status(t.Context())
	s.must(err)
	if status.Safe || status.Unread == 0 {
		t.Errorf("meanwhile: %s", status.Line)
	}
	// Once the other stream is gone, what waited is applied.
	s.must(s.Target(t.Context(), `DELETE FROM godwit.stream_table`))
	err = s.drain()
	for deadline := time.Now().Add(20 * time.Second); errors.As(err, &stalled) && time.Now().Before(deadline); err = s.drain() {
		time.Sleep(10 * time.Millisecond) // the lanes try again by themselves
	}
	s.must(err)
	s.same(source.KeyedTables...)
}

// Without a setting that godwit needs, records are set aside with its name, and
// nothing is applied that could be wrong.
func TestDMSSettingsThatLackAreNamed(t *testing.T) {
	t.Parallel()
	c := startShop(t, change.SourceDMS, local.Options{})
	enabled := false
	for _, x := range []struct {
		setting string
		lack    func(*cdc.DMS)
	}{
		{"IncludeTransactionDetails", func(d *cdc.DMS) { d.IncludeTransactionDetails = false }},
		{"IncludePartitionValue", func(d *cdc.DMS) { d.IncludePartitionValue = false }},
		{"IncludeNullAndEmpty", func(d *cdc.DMS) { d.IncludeNullAndEmpty = false }},
		{"UseLargeIntegerValue", func(d *cdc.DMS) { d.UseLargeIntegerValue = false }},
		{"BeforeImageSettings", func(d *cdc.DMS) { d.EnableBeforeImage = false }},
	} {
		settings := cdc.Complete()
		x.lack(&settings)
		s := openShop(t, c, local.ShopOptions{Source: change.SourceDMS, Seed: 1, Settings: settings})
		if !enabled {
			s.must(s.Prepare(t.Context()))
			// From the beginning of the log: each shop has its own.
			s.must(c.Invoke(t.Context(), "StreamEnable", object{"Source": "dms"}, &struct{}{}))
			enabled = true
		}
		before := s.reasons()
		s.change(80)
		s.must(s.drain())
		after := s.reasons()[len(before):]
		if !slices.ContainsFunc(after, func(reason string) bool { return strings.Contains(reason, x.setting) }) {
			t.Errorf("without %s the reasons are %.300q", x.setting, after)
		}
	}
}

// reasons are why messages were set aside, in order of time.
func (s *shop) reasons() []string {
	s.t.Helper()
	return query[[]string](s.t, s.Cloud, `SELECT coalesce(array_agg(reason ORDER BY aside_at, object), '{}') FROM godwit.stream_aside`)
}

// The comparison sees one wrong value, one row too many and one too few.
func TestTheComparisonSeesOneWrongValue(t *testing.T) {
	c := startShop(t, change.SourceDSQL, local.Options{})
	s := openShop(t, c, local.ShopOptions{Source: change.SourceDSQL, Seed: 1})
	s.begin()
	s.same(source.KeyedTables...)
	for _, x := range []struct{ sql, want string }{
		{`UPDATE shop.reading SET single = NULL WHERE id = (SELECT min(id::text)::uuid FROM shop.reading)`, "1 different; row"},
		{`UPDATE shop.orders SET total = total + 0.01 WHERE customer = 7 AND number = 1`, `row ["=7" "=1"] is different in total`},
		{`DELETE FROM shop.seat WHERE id = 3`, `1 rows missing`},
		{`INSERT INTO shop.customer VALUES (-1, '', '', NULL, now())`, `1 too many`},
	} {
		s.must(s.Target(t.Context(), x.sql))
		all, err := s.Compare(t.Context(), source.KeyedTables)
		s.must(err)
		i := slices.IndexFunc(all, func(d source.Difference) bool { return strings.Contains(d.String(), x.want) })
		if i < 0 {
			t.Errorf("%s: %v", x.sql, fmt.Sprint(all))
		}
	}
}
