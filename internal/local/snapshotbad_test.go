package local_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"godwit/internal/local"
	"godwit/internal/local/asl"
)

// TestBadExportsStopTheLoadByName damages an export as it is written: nothing of
// it may pass for the whole.
func TestBadExportsStopTheLoadByName(t *testing.T) {
	const orders = "storefront/public.orders/1/"
	is := func(key, place string) bool { return strings.Contains(key, place) }
	part := func(key, table string) bool { return is(key, table+"part-") }
	var other []byte // a part of another table
	tests := map[string]struct {
		damage func(key string, body []byte) []byte
		want   []string // what the error says
	}{
		"part cut short": {func(key string, body []byte) []byte {
			if part(key, orders) {
				return body[:len(body)-7]
			}
			return body
		}, []string{orders + "part-"}},
		"part of nothing": {func(key string, body []byte) []byte {
			if part(key, orders) {
				return body[:0]
			}
			return body
		}, []string{orders + "part-"}},
		"part of another table": {func(key string, body []byte) []byte {
			switch {
			case part(key, "storefront/public.categories/1/"): // exported before orders
				other = bytes.Clone(body)
			case part(key, orders):
				return other
			}
			return body
		}, []string{orders + "part-"}},
		"batch that did not end": {func(key string, body []byte) []byte {
			if is(key, orders+"_SUCCESS") {
				return nil
			}
			return body
		}, []string{"orders", "_SUCCESS"}},
		"table without a folder": {func(key string, body []byte) []byte {
			if is(key, "/public.orders/") {
				return nil
			}
			return body
		}, []string{"public.orders"}},
		"folder without metadata": {func(key string, body []byte) []byte {
			if is(key, "export_tables_info") {
				return bytes.Replace(body, []byte("storefront.public.orders"), []byte("storefront.public.others"), 1)
			}
			return body
		}, []string{"public.orders"}},
		"table that is not complete": {func(key string, body []byte) []byte {
			if is(key, "export_tables_info") {
				return bytes.Replace(body, []byte(`"status":"COMPLETE"`), []byte(`"status":"FAILED"`), 1)
			}
			return body
		}, []string{"categories", "FAILED"}},
		"export that is not complete": {func(key string, body []byte) []byte {
			if is(key, "export_info") {
				return bytes.Replace(body, []byte(`"status":"COMPLETE"`), []byte(`"status":"IN_PROGRESS"`), 1)
			}
			return body
		}, []string{"IN_PROGRESS"}},
		"no metadata of the export": {func(key string, body []byte) []byte {
			if is(key, "export_info") {
				return nil
			}
			return body
		}, []string{"export_info"}},
		"metadata of no tables": {func(key string, body []byte) []byte {
			if is(key, "export_tables_info") {
				return nil
			}
			return body
		}, []string{"has no table"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := startStorefront(t, "dsql", local.Options{Snapshots: local.SnapshotOptions{Damage: test.damage}})
			failsWith(t, c, s, test.want...)
		})
	}
}

// failsWith has the storefront loaded, which must fail with an error that says
// what is wrong.
func failsWith(t *testing.T, c *local.Cloud, s *local.Storefront, want ...string) {
	t.Helper()
	x, err := s.Load(t.Context(), "nightly")
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.Wait(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != asl.Failed {
		t.Fatalf("the load is %s", r.Status)
	}
	for _, text := range want {
		if got := local.Cause(x); !strings.Contains(got, text) {
			t.Errorf("the error does not name %s: %s", text, got)
		}
	}
	if err := c.Gateway.Err(); err != nil {
		t.Error(err)
	}
}

// TestSkippedTablesStopTheLoad: a COMPLETE export warns of what the master user
// may not read.
func TestSkippedTablesStopTheLoad(t *testing.T) {
	t.Parallel()
	c, s := startStorefront(t, "aurora", local.Options{})
	if err := s.Admin(t.Context(), `CREATE TABLE public.secret (id integer PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	failsWith(t, c, s, "PERMISSIONS_DO_NOT_EXIST", "public.secret")
}

// TestFailedExportStopsTheLoad with the words of RDS.
func TestFailedExportStopsTheLoad(t *testing.T) {
	t.Parallel()
	c, s := startStorefront(t, "aurora", local.Options{Snapshots: local.SnapshotOptions{Broken: func(string) string { return "The export failed: out of luck" }}})
	failsWith(t, c, s, "FAILED", "out of luck")
}
