package journal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/journal"
)

func TestManifestsReadTheSameInEveryFormat(t *testing.T) {
	started := `{ledgerName:"vehicle-registration",exportId:"E1",inclusiveStartTime:2019-04-15T00:00:00.000Z,exclusiveEndTime:2019-04-16T00:00:00Z,` +
		`bucket:"b",prefix:"a.b/c",objectEncryptionType:"SSE_S3",outputFormat:"JSON",other:{x:1}}`
	completed := `{other:1,keys:["a.b/c/2019/04/15/22/S.1-4.ion","a.b/c/2019/04/15/22/S.5-\"9.ion"]}`
	for _, f := range formats {
		for _, pack := range []func(testing.TB, []byte) []byte{func(_ testing.TB, b []byte) []byte { return b }, zip} {
			s, err := journal.ParseStartedManifest(pack(t, encode(t, f, started)))
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			want := &journal.StartedManifest{
				Ledger: "vehicle-registration", ExportID: "E1", Start: "2019-04-15T00:00:00.000Z", End: "2019-04-16T00:00:00Z",
				Bucket: "b", Prefix: "a.b/c", Encryption: "SSE_S3", Format: journal.JSON,
			}
			if diff := cmp.Diff(want, s); diff != "" {
				t.Errorf("%s: %s", f, diff)
			}
			c, err := journal.ParseCompletedManifest(pack(t, encode(t, f, completed)))
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if diff := cmp.Diff([]string{"a.b/c/2019/04/15/22/S.1-4.ion", `a.b/c/2019/04/15/22/S.5-"9.ion`}, c.Keys); diff != "" {
				t.Errorf("%s: %s", f, diff)
			}
			if c, err = journal.ParseCompletedManifest(pack(t, encode(t, f, `{keys:[]}`))); err != nil || c.Keys == nil || len(c.Keys) != 0 {
				t.Errorf("%s: no keys: got %v, %v", f, c, err)
			}
		}
	}
}

func TestLargeManifest(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"keys":[`)
	for i := range 100_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"p/2019/04/15/22/JdxjkR9bSYB5jMHWcI464T.%d-%d.json"`, i*10, i*10+9)
	}
	b.WriteString("]}")
	m, err := journal.ParseCompletedManifest([]byte(b.String()))
	if err != nil || len(m.Keys) != 100_000 {
		t.Fatalf("got %v", err)
	}
}

func TestManifestsThatSayNothingAreRefused(t *testing.T) {
	for _, c := range []struct{ started, completed, want string }{
		{"", "", "it is empty"},
		{`{"ledgerName":"x"}`, "", "it has no exportId"},
		{`{"exportId":7}`, "", "exportId is a int, not a text"},
		{`{"exportId":"E","outputFormat":"CSV"}`, "", `"CSV" is none of ION_BINARY`},
		{`{exportId:`, "", "stream ends within a value"},
		{"", `{"exportId":"x"}`, "it has no list of keys"},
		{"", `{"keys":"x"}`, "it has no list of keys"},
		{"", `{"keys":["a",1]}`, "key 1 is a int, not a text"},
		{"", `{"keys":["a"]`, "JSON at offset"},
		{"", "\xE0\x01\x00\xEA\x21\x01", "it is a int, not a struct"},
		{"", "\x1F\x8B", "open gzip"},
	} {
		var err error
		if c.completed != "" {
			_, err = journal.ParseCompletedManifest([]byte(c.completed))
		} else {
			_, err = journal.ParseStartedManifest([]byte(c.started))
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s%s: got %v, want an error with %q", c.started, c.completed, err, c.want)
		}
	}
}

func TestKeysOfAnExport(t *testing.T) {
	data := func(first, last int64) journal.Key {
		return journal.Key{Kind: journal.DataKey, Strand: "JdxjkR9bSYB5jMHWcI464T", First: first, Last: last}
	}
	for _, c := range []struct {
		prefix, key string
		want        journal.Key
	}{
		{"", "2019/04/15/22/JdxjkR9bSYB5jMHWcI464T.1-4.ion", data(1, 4)},
		{"", "2019/04/15/22/JdxjkR9bSYB5jMHWcI464T.0-0.json", data(0, 0)},
		{"p/", "p/2019/04/15/22/JdxjkR9bSYB5jMHWcI464T.1-4.json.gz", data(1, 4)},
		{"a.b.c", "a.b.c2019/04/15/22/JdxjkR9bSYB5jMHWcI464T.1-4.ion", data(1, 4)},
		{"", "my.old.archive/JdxjkR9bSYB5jMHWcI464T.1-4.ion", data(1, 4)},
		{"exports", "exportsJdxjkR9bSYB5jMHWcI464T.1-9223372036854775807.ion", data(1, 1<<63-1)},
		{"", "my.archive.JdxjkR9bSYB5jMHWcI464T.1-4.ion", data(1, 4)},
		{"", "p/JdxjkR9bSYB5jMHWcI464T.4-1.ion", journal.Key{}},
		{"", "p/JdxjkR9bSYB5jMHWcI464T.1-9223372036854775808.ion", journal.Key{}},
		{"", "p/JdxjkR9bSYB5jMHWcI464T.1.ion", journal.Key{}},
		{"", "p/JdxjkR9bSYB5jMHWcI464T.-1-4.ion", journal.Key{}},
		{"", "p/.1-4.ion", journal.Key{}},
		{"", "p/JdxjkR9bSYB5jMHWcI464T.1-4.txt", journal.Key{}},
		{"", "p/readme.md", journal.Key{}},
		{"", "", journal.Key{}},
		{"p/", "p/", journal.Key{}},
		{"", "p/E1.started.manifest", journal.Key{Kind: journal.StartedKey, ExportID: "E1"}},
		{"a.b", "a.bE1.started.manifest", journal.Key{Kind: journal.StartedKey, ExportID: "E1"}},
		{"", "a.b/E1.started.manifest", journal.Key{Kind: journal.StartedKey, ExportID: "E1"}},
		{"p/", "p/E1.S1.completed.manifest", journal.Key{Kind: journal.CompletedKey, ExportID: "E1", Strand: "S1"}},
		{"p.q", "p.qE1.S1.completed.manifest", journal.Key{Kind: journal.CompletedKey, ExportID: "E1", Strand: "S1"}},
		{"", "x.p/E1.S1.completed.manifest", journal.Key{Kind: journal.CompletedKey, ExportID: "E1", Strand: "S1"}},
		{"", "p/E1.S1.proofs.json", journal.Key{Kind: journal.ProofsKey, ExportID: "E1", Strand: "S1"}},
		{"", "p/E1.S1.completed.manifestE1.S1.proofs.json", journal.Key{Kind: journal.ProofsKey, ExportID: "E1", Strand: "S1"}},
		{"p", "pE1.S1.completed.manifestE1.S1.proofs.json", journal.Key{Kind: journal.ProofsKey, ExportID: "E1", Strand: "S1"}},
	} {
		if got := journal.ParseKey(c.prefix, c.key); got != c.want {
			t.Errorf("%q %q: got %+v, want %+v", c.prefix, c.key, got, c.want)
		}
	}
}

func TestKeysOfManifestsAreResolved(t *testing.T) {
	const name = "2019/04/15/22/S.1-4.ion"
	for _, c := range []struct {
		title, key, prefix, old string
		exist                   []string
		want                    string
	}{
		{"with the prefix", "p/" + name, "p/", "", []string{"p/" + name}, "p/" + name},
		{"without the prefix", name, "p/", "", []string{"p/" + name}, "p/" + name},
		{"absolute first", name, "p/", "", []string{"p/" + name, name}, name},
		{"prefix without slash", name, "p", "", []string{"p/" + name}, "p/" + name},
		{"prefix without slash, joined", name, "p", "", []string{"p" + name}, "p" + name},
		{"no prefix", name, "", "", []string{name}, name},
		{"copied elsewhere", "old/p/" + name, "new/", "old/p/", []string{"new/" + name}, "new/" + name},
		{"copied elsewhere, old prefix without slash", "old/p/" + name, "new", "old/p", []string{"new/" + name}, "new/" + name},
		{"copied below", "p/" + name, "backup/", "", []string{"backup/p/" + name}, "backup/p/" + name},
		{"compressed", "p/" + name, "p/", "", []string{"p/" + name + ".gz"}, "p/" + name + ".gz"},
		{"plain before compressed", name, "p/", "", []string{name + ".gz", "p/" + name}, "p/" + name},
	} {
		exists := func(k string) bool {
			for _, e := range c.exist {
				if e == k {
					return true
				}
			}
			return false
		}
		if got, err := journal.ResolveKey(c.key, c.prefix, c.old, exists); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.title, got, err, c.want)
		}
	}
	_, err := journal.ResolveKey(name, "p", "", func(string) bool { return false })
	var missing *journal.MissingObjectError
	if !asMissing(err, &missing) || missing.Key != name {
		t.Errorf("got %v", err)
	}
}

func asMissing(err error, to **journal.MissingObjectError) bool {
	m, ok := err.(*journal.MissingObjectError)
	*to = m
	return ok
}

func FuzzKeys(f *testing.F) {
	f.Add("p", "p/E1.S1.completed.manifestE1.S1.proofs.json")
	f.Add("", "2019/04/15/22/S.1-4.ion")
	f.Fuzz(func(t *testing.T, prefix, key string) {
		k := journal.ParseKey(prefix, key)
		if k.Kind == journal.DataKey && (k.Strand == "" || k.Last < k.First || k.First < 0 || !strings.Contains(key, fmt.Sprintf("%s.", k.Strand))) {
			t.Errorf("%q %q: %+v", prefix, key, k)
		}
	})
}

func FuzzManifest(f *testing.F) {
	for _, format := range formats {
		f.Add(encode(f, format, `{exportId:"E",keys:["a","b"],inclusiveStartTime:2019T}`))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = journal.ParseStartedManifest(b)
		_, _ = journal.ParseCompletedManifest(b)
	})
}
