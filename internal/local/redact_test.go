package local_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/report"
)

// A redacted revision of a ledger, and the texts that nothing else in the ledger
// holds.
type redactedRevision struct {
	block, asked int64 // that holds it, and that asks for its redaction
	texts        []string
}

// redactedRevisions reads the redacted revisions of a ledger from exports that
// were made before and after their redaction.
func redactedRevisions(t *testing.T, o ledgergen.Options) []redactedRevision {
	t.Helper()
	type revision struct {
		Hash     string
		Data     any
		DataHash string
	}
	read := func(early bool) (blocks [][]revision, asked map[int64]int64) {
		o.Format, o.Prefix, o.Unredacted = ledgergen.JSON, "", early
		asked = map[int64]int64{}
		_, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
			if x.First < 0 {
				return nil
			}
			for d := json.NewDecoder(bytes.NewReader(x.Body)); d.More(); {
				var b struct {
					Revisions     []revision
					RedactionInfo struct {
						Revisions []struct{ BlockAddress struct{ SequenceNo int64 } }
					}
				}
				if err := d.Decode(&b); err != nil {
					return err
				}
				for _, r := range b.RedactionInfo.Revisions {
					asked[r.BlockAddress.SequenceNo] = int64(len(blocks))
				}
				blocks = append(blocks, b.Revisions)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return blocks, asked
	}
	var leaves func(v any, visit func(string))
	leaves = func(v any, visit func(string)) {
		switch v := v.(type) {
		case string:
			visit(v)
		case []any:
			for _, x := range v {
				leaves(x, visit)
			}
		case map[string]any:
			for _, x := range v {
				leaves(x, visit)
			}
		}
	}
	late, _ := read(false)
	early, asked := read(true)
	seen := map[string]int{}
	for _, b := range early {
		for _, r := range b {
			leaves(r.Data, func(s string) { seen[s]++ })
		}
	}
	var out []redactedRevision
	for n, b := range late {
		for i, r := range b {
			if r.DataHash == "" {
				continue
			}
			x := redactedRevision{block: int64(n), asked: asked[int64(n)]}
			leaves(early[n][i].Data, func(s string) {
				if seen[s] == 1 && len(s) > 5 {
					x.texts = append(x.texts, s)
				}
			})
			out = append(out, x)
		}
	}
	return out
}

// holders lists the tables of the database that hold a text, anywhere in a row.
func holders(t *testing.T, c *local.Cloud, text string) (out []string) {
	t.Helper()
	db := connect(t, c)
	rows, err := db.Query(context.Background(), `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var found bool
		if err := db.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM `+table+` x WHERE strpos(x::text, $1) > 0)`, text).Scan(&found); err != nil {
			t.Fatal(err)
		}
		if found {
			out = append(out, table)
		}
	}
	_ = db.Close(context.Background())
	return out
}

// objectsWith lists the folders of the work bucket whose objects hold a text.
func objectsWith(t *testing.T, c *local.Cloud, text string) (out []string) {
	t.Helper()
	bucket := workBucket(t, c)
	all, err := c.S3.List(bucket, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		body, _, err := c.S3.Get(bucket, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if folder, _, _ := strings.Cut(e.Key, "/"); bytes.Contains(body, []byte(text)) && !slices.Contains(out, folder) {
			out = append(out, folder)
		}
	}
	return out
}

// gone fails for every text of redacted data that the database holds, or the
// work bucket outside of parts/.
func gone(t *testing.T, c *local.Cloud, all []redactedRevision) {
	t.Helper()
	texts := 0
	for _, x := range all {
		for _, text := range x.texts {
			texts++
			if in := holders(t, c, text); len(in) > 0 {
				t.Errorf("redacted data of block %d is in %s", x.block, in)
			}
			if in := objectsWith(t, c, text); len(in) > 0 && !slices.Equal(in, []string{"parts"}) {
				t.Errorf("redacted data of block %d is in %s of the work bucket", x.block, in)
			}
		}
	}
	if texts == 0 {
		t.Error("no redacted revision of the ledger has a text of its own")
	}
}

// redactionsOf sums what a load's report says of redactions.
func redactionsOf(t *testing.T, c *local.Cloud, load string) (sum report.Redacted) {
	t.Helper()
	text, _, err := c.S3.Get(workBucket(t, c), "loads/"+load+"/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var rep report.Load
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	for _, x := range rep.Redacted {
		sum.Already += x.Already
		sum.Loaded += x.Loaded
		sum.Shown += x.Shown
		sum.Unknown += x.Unknown
		sum.Kept += x.Kept
	}
	return sum
}

// Data that the ledger removed is in no table, and in the work bucket in parts/
// alone, though the archive was exported before; and what an earlier load showed
// is taken away by the load that is told of it.
func TestRedactedDataIsNowhere(t *testing.T) {
	t.Parallel()
	o := ledgergen.Options{Seed: 34, Documents: 1500, BlocksPerObject: 40}
	all := redactedRevisions(t, o)
	n := int64(len(all))
	if n < 3 {
		t.Fatalf("the ledger has %d redactions", n)
	}
	// Between a revision with texts of its own and its redaction.
	var middle int64
	for _, x := range all {
		if len(x.texts) > 0 {
			middle = x.asked
		}
	}
	var across int64 // redactions asked for behind the middle, of revisions before it
	for _, x := range all {
		if x.asked >= middle && x.block < middle {
			across++
		}
	}
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.JSON} {
		o.Format = format
		t.Run("one load, "+string(format), func(t *testing.T) {
			c := start(t, local.Options{})
			o := o
			o.Prefix, o.Unredacted, o.UntilBlock = "exports/", true, middle
			archive(t, c, o)
			o.FromBlock, o.UntilBlock, o.Unredacted = middle, 0, false
			l := archive(t, c, o)
			out := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"})
			check(t, c, l)
			gone(t, c, all)
			got := redactionsOf(t, c, out.LoadId)
			if got.Loaded < across || got.Loaded+got.Already != n || got.Shown+got.Unknown+got.Kept != 0 {
				t.Errorf("got %+v of %d redactions, %d of them across the middle", got, n, across)
			}
			if out.Verdict != "loaded with findings" {
				t.Errorf("the verdict is %q", out.Verdict)
			}
			if got := query[string](t, c, `SELECT godwit.unload($1)->>'state'`, out.LoadId); got != "done" {
				t.Errorf("unload is %s: %s", got, query[string](t, c, `SELECT min(message) FROM godwit.failure`))
			}
		})
	}
	o.Format = ledgergen.IonBinary
	t.Run("two loads", func(t *testing.T) {
		c := start(t, local.Options{})
		o := o
		o.Prefix, o.Unredacted, o.UntilBlock = "early/", true, middle
		archive(t, c, o)
		// As if nothing had been asked for yet.
		first := load(t, c, object{"Bucket": archiveBucket, "Prefix": "early/", "ApplyRedactions": false})
		texts := 0
		for _, x := range all {
			for _, text := range x.texts {
				if x.block < middle {
					texts++
					if in := holders(t, c, text); len(in) != 1 {
						t.Errorf("data that is kept is in %s", in)
					}
				}
			}
		}
		if texts == 0 {
			t.Error("no redacted revision of the early export has a text of its own")
		}
		kept := redactionsOf(t, c, first.LoadId)
		o.Prefix, o.Unredacted, o.UntilBlock, o.FromBlock = "late/", false, 0, middle
		l := archive(t, c, o)
		second := load(t, c, object{"Bucket": archiveBucket, "Prefix": "late/", "Since": middle})
		if got := redactionsOf(t, c, second.LoadId); kept.Kept == 0 || got.Shown != across || got.Shown+got.Already != n-kept.Kept {
			t.Errorf("got %+v of %d redactions, %d of them across the middle; then %+v", kept, n, across, got)
		}
		var asked []redactedRevision
		for _, x := range all {
			if x.asked >= middle {
				asked = append(asked, x)
			}
		}
		gone(t, c, asked)
		// The same archive without that member redacts the rest.
		third := load(t, c, object{"Bucket": archiveBucket, "Prefix": "early/"})
		if got := redactionsOf(t, c, third.LoadId); got.Shown != kept.Kept {
			t.Errorf("got %+v, want %d shown", got, kept.Kept)
		}
		check(t, c, l)
		gone(t, c, all)
		if got := query[string](t, c, `SELECT godwit.unload($1)->>'message'`, first.LoadId); !strings.Contains(got, fmt.Sprintf("load %s", second.LoadId)) {
			t.Errorf("unload says %q", got)
		}
	})
}
