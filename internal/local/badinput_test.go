package local_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/rds"
	"godwit/internal/local/rdsdata"
	"godwit/internal/local/s3"
	"godwit/internal/local/template"
)

// Input that cannot be loaded is refused in words that say what, where and what
// to do, and leaves nothing visible.
func TestBadArchivesAreRefused(t *testing.T) {
	t.Parallel()
	const prefix = "exports/dmv/"
	input := func(more object) object {
		in := object{"Bucket": archiveBucket, "Prefix": prefix}
		for k, v := range more {
			in[k] = v
		}
		return in
	}
	data := func(c *local.Cloud) []s3.Entry {
		all, err := c.S3.List(archiveBucket, prefix)
		if err != nil {
			t.Fatal(err)
		}
		var out []s3.Entry
		for _, e := range all {
			if strings.HasSuffix(e.Key, ".ion") {
				out = append(out, e)
			}
		}
		slices.SortFunc(out, func(a, b s3.Entry) int {
			return int(journal.ParseKey(prefix, a.Key).First - journal.ParseKey(prefix, b.Key).First)
		})
		return out
	}
	manifests := func(c *local.Cloud, kind string) (keys []string) {
		all, err := c.S3.List(archiveBucket, prefix)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if strings.HasSuffix(e.Key, kind+".manifest") {
				keys = append(keys, e.Key)
			}
		}
		return keys
	}
	remove := func(c *local.Cloud, keys ...string) {
		for _, k := range keys {
			if err := c.S3.Delete(archiveBucket, k); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix, BlocksPerObject: 8, Format: ledgergen.IonBinary}
	for _, c := range []struct {
		name  string
		make  ledgergen.Options
		spoil func(c *local.Cloud)
		input object
		want  []string
	}{
		{"no manifest", whole, func(c *local.Cloud) {
			remove(c, append(manifests(c, "started"), manifests(c, "completed")...)...)
		}, input(nil), []string{"holds no completion manifest", `"Manifests": "none"`}},
		{"unfinished export", whole, func(c *local.Cloud) {
			remove(c, manifests(c, "completed")...)
		}, input(nil), []string{"holds no completion manifest", "started exports"}},
		{"missing object", whole, func(c *local.Cloud) {
			remove(c, data(c)[2].Key)
		}, input(nil), []string{"names object", "copy it there"}},
		{"gap", whole, func(c *local.Cloud) {
			remove(c, data(c)[1].Key)
		}, input(object{"Manifests": "none"}), []string{"blocks 8 to 15 are in no object", "AcceptGaps"}},
		{
			"begins late",
			ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix, FromBlock: 9},
			nil,
			input(nil),
			[]string{"begins at block 9", `"Since": 9`},
		},
		{"truncated object", whole, func(c *local.Cloud) {
			e := data(c)[1]
			body, _, err := c.S3.Get(archiveBucket, e.Key)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.S3.Put(archiveBucket, e.Key, body[:len(body)-100], s3.Options{}); err != nil {
				t.Fatal(err)
			}
		}, input(nil), []string{"object exports/dmv/", "offset"}},
		{"object cut between two blocks", ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix, BlocksPerObject: 8, Format: ledgergen.JSON}, func(c *local.Cloud) {
			all, err := c.S3.List(archiveBucket, prefix)
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
				cut := bytes.LastIndexByte(bytes.TrimRight(body, "\n"), '\n') + 1
				if err := c.S3.Put(archiveBucket, e.Key, body[:cut], s3.Options{}); err != nil {
					t.Fatal(err)
				}
				return
			}
		}, input(nil), []string{"ends before block 7", "cut short"}},
		{"another format than announced", whole, func(c *local.Cloud) {
			_, err := ledgergen.Generate(ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix, BlocksPerObject: 8, Format: ledgergen.JSON}, func(x ledgergen.Object) error {
				if x.First < 0 {
					return nil
				}
				return c.S3.Put(archiveBucket, strings.TrimSuffix(x.Key, ".json")+".ion", bytes.Clone(x.Body), s3.Options{})
			})
			if err != nil {
				t.Fatal(err)
			}
		}, input(nil), []string{"ION_BINARY", "JSON"}},
		{"two ledgers", whole, func(c *local.Cloud) {
			archive(t, c, ledgergen.Options{Seed: 6, Documents: 20, Prefix: prefix})
		}, input(nil), []string{"2 ledgers", "ExportIds"}},
		{"empty prefix", whole, nil, object{"Bucket": archiveBucket, "Prefix": "exports/other/"}, []string{"holds no object", "check Bucket and Prefix"}},
		{"empty export", ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix, Format: ledgergen.JSON}, func(c *local.Cloud) {
			for _, key := range manifests(c, "completed") {
				if err := c.S3.Put(archiveBucket, key, []byte(`{"keys":[]}`), s3.Options{}); err != nil {
					t.Fatal(err)
				}
			}
		}, input(nil), []string{"are empty", "nothing to read"}},
		{"unknown export id", whole, nil, input(object{"ExportIds": []string{"nosuch"}}), []string{"export nosuch has no completion manifest"}},
		{"archive not configured", whole, nil, object{"Bucket": "somebody-elses", "Prefix": "x/"}, []string{"is not an archive of this environment", `{"bucket":"somebody-elses","prefix":"x/"}`, "make deploy"}},
		{"cold storage", whole, func(c *local.Cloud) {
			if err := c.S3.SetStorageClass(archiveBucket, data(c)[0].Key, "DEEP_ARCHIVE"); err != nil {
				t.Fatal(err)
			}
		}, input(nil), []string{"1 objects of", "cold storage (DEEP_ARCHIVE)", "restore-object"}},
		{"typing error", whole, nil, input(object{"Mapings": "x"}), []string{"Mapings"}},
		{"bad history", whole, nil, input(object{"History": "some"}), []string{`"all"`, `"none"`}},
		{"mapping elsewhere", whole, nil, input(object{"Mapping": "s3://nobody/mapping.json"}), []string{"s3://nobody/mapping.json may not be read", "work bucket"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := start(t, local.Options{})
			archive(t, cloud, c.make)
			if c.spoil != nil {
				c.spoil(cloud)
			}
			refuse(t, cloud, c.input, c.want...)
		})
	}
}

// A mapping that cannot hold what the ledger has is refused, or its revisions
// are set aside and listed.
func TestBadMappingsAreRefused(t *testing.T) {
	const prefix = "exports/"
	for _, c := range []struct {
		name, mapping string
		want          []string
	}{
		{"not JSON", `{"version": 1,`, []string{"mapping line 1"}},
		{"unknown member", `{"version":1,"schema":"dmv","tabels":{}}`, []string{"tabels", "line 1"}},
		{"bad path", `{"version":1,"schema":"dmv","tables":{"Person":{"target":"person","columns":[{"name":"a","path":"Owners..Name","type":"text"}]}}}`, []string{"path"}},
		{"long name", `{"version":1,"schema":"dmv","tables":{"Person":{"target":"` + strings.Repeat("p", 60) + `","columns":[{"name":"a","path":"A","type":"text"}]}}}`, []string{"63"}},
		{"names differ in case", `{"version":1,"schema":"dmv","tables":{"Person":{"target":"person","columns":[{"name":"a","path":"A","type":"text"},{"name":"A","path":"B","type":"text"}]}}}`, []string{"differ only in case"}},
		{"unknown type", `{"version":1,"schema":"dmv","tables":{"Person":{"target":"person","columns":[{"name":"a","path":"A","type":"money"}]}}}`, []string{"money"}},
		{
			"type cannot hold the value", `{"version":1,"schema":"dmv","tables":{"Person":{"target":"person","columns":[{"name":"first","path":"FirstName","type":"integer"}]}}}`,
			[]string{"revisions do not map exactly", "Person", "MaxQuarantined is 0", "/quarantine/"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := start(t, local.Options{})
			archive(t, cloud, ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix})
			if err := cloud.S3.Put(archiveBucket, prefix+"mapping.json", []byte(c.mapping), s3.Options{}); err != nil {
				t.Fatal(err)
			}
			refuse(t, cloud, object{"Bucket": archiveBucket, "Prefix": prefix, "Mapping": "s3://" + archiveBucket + "/" + prefix + "mapping.json"}, c.want...)
		})
	}
}

// Everything that is missing at the target is named at once, with the command
// that mends it.
func TestMissingThingsAreNamedAtOnce(t *testing.T) {
	const prefix = "exports/"
	cloud := start(t, local.Options{})
	archive(t, cloud, ledgergen.Options{Seed: 5, Documents: 20, Prefix: prefix})
	cluster := template.ByType(cloud.Stacks, "AWS::RDS::DBCluster")[0]
	cloud.RDS.Change(cluster.ID, func(c *rds.Cluster) { c.DataAPI, c.Roles = false, nil })
	if err := cloud.Data.UpdateCluster(cluster.ARN(), func(c *rdsdata.Cluster) { c.EndpointDisabled = true }); err != nil {
		t.Fatal(err)
	}
	if err := cloud.S3.SetStorageClass(archiveBucket, first(t, cloud, prefix), "GLACIER"); err != nil {
		t.Fatal(err)
	}
	refuse(t, cloud, object{"Bucket": archiveBucket, "Prefix": prefix},
		"cold storage (GLACIER)", "aws rds enable-http-endpoint", "aws rds add-role-to-db-cluster", "--feature-name s3Import")
}

// A paused cluster is woken and waited for; one that another region owns or that
// has no aws_s3 is refused.
func TestTargetStates(t *testing.T) {
	t.Parallel()
	const prefix = "exports/"
	in := object{"Bucket": archiveBucket, "Prefix": prefix}
	t.Run("paused", func(t *testing.T) {
		cloud := start(t, local.Options{})
		archive(t, cloud, ledgergen.Options{Seed: 5, Documents: 20, Prefix: prefix})
		cluster := template.ByType(cloud.Stacks, "AWS::RDS::DBCluster")[0]
		if err := cloud.Data.UpdateCluster(cluster.ARN(), func(c *rdsdata.Cluster) { c.Paused, c.Resume = true, 1500*time.Millisecond }); err != nil {
			t.Fatal(err)
		}
		load(t, cloud, in)
	})
	t.Run("another engine", func(t *testing.T) {
		cloud := start(t, local.Options{})
		archive(t, cloud, ledgergen.Options{Seed: 5, Documents: 20, Prefix: prefix})
		cluster := template.ByType(cloud.Stacks, "AWS::RDS::DBCluster")[0]
		cloud.RDS.Change(cluster.ID, func(c *rds.Cluster) { c.Engine = "aurora-mysql" })
		refuse(t, cloud, in, "aurora-mysql", "aurora-postgresql")
	})
	t.Run("schema of somebody else", func(t *testing.T) {
		cloud := start(t, local.Options{})
		archive(t, cloud, ledgergen.Options{Seed: 5, Documents: 20, Prefix: prefix})
		db := connect(t, cloud)
		for _, sql := range []string{`CREATE SCHEMA theirs`, `CREATE TABLE theirs.person (id int)`, `CREATE SCHEMA closed`} {
			if _, err := db.Exec(context.Background(), sql); err != nil {
				t.Fatal(err)
			}
		}
		refuse(t, cloud, object{"Bucket": archiveBucket, "Prefix": prefix, "Schema": "theirs"}, "schema theirs belongs to", "holds 1 relations", "choose another Schema")
		refuse(t, cloud, object{"Bucket": archiveBucket, "Prefix": prefix, "Schema": "closed"}, `GRANT USAGE, CREATE ON SCHEMA "closed" TO "godwit_loader"`)
	})
	t.Run("no aws_s3", func(t *testing.T) {
		cloud := start(t, local.Options{})
		archive(t, cloud, ledgergen.Options{Seed: 5, Documents: 20, Prefix: prefix})
		db := connect(t, cloud)
		// What is not in the template database of extensions cannot be created:
		// stand in for such a server by taking the right to create it away.
		if _, err := db.Exec(context.Background(), `CREATE SCHEMA aws_s3`); err != nil {
			t.Fatal(err)
		}
		refuse(t, cloud, in, "aws_s3")
	})
}

// Two loads of one archive at once are one load; another one into the same
// schema is refused until the first is published or abandoned.
func TestTwoLoadsAtOnce(t *testing.T) {
	const prefix = "exports/"
	cloud := start(t, local.Options{})
	l := archive(t, cloud, ledgergen.Options{Seed: 9, Documents: 300, Prefix: prefix, BlocksPerObject: 10})
	in := object{"Bucket": archiveBucket, "Prefix": prefix}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var both []*asl.Execution
	for i := range 2 {
		x, err := cloud.StartExecution(ctx, "LedgerLoad", fmt.Sprintf("at-once-%d", i), in)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, x)
	}
	for _, x := range both {
		r, err := x.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != asl.Succeeded {
			t.Errorf("%s %s: %v", x.Name, r.Status, r.Error)
		}
	}
	check(t, cloud, l)
}

func TestAnotherLoadIntoTheSchemaIsRefusedUntilTheFirstIsAbandoned(t *testing.T) {
	const prefix = "exports/"
	cloud := start(t, local.Options{})
	l := archive(t, cloud, ledgergen.Options{Seed: 9, Documents: 100, Prefix: prefix, Unmappable: 2})
	in := object{"Bucket": archiveBucket, "Prefix": prefix}
	refuse(t, cloud, in, "revisions do not map exactly")
	running := query[string](t, cloud, `SELECT load_id FROM godwit.load WHERE state = 'loading'`)
	in["Tables"], in["MaxQuarantined"] = []string{"Vehicle", "DriversLicense"}, 10
	refuse(t, cloud, in, running, "is under way into schema dmv", "Abandon")
	in["Abandon"] = running
	out := load(t, cloud, in)
	if want := l.Revisions(); out.Read != want || out.Left == 0 || out.Read != out.Staged+out.Aside+out.Left {
		t.Errorf("read %d of %d, staged %d, quarantined %d, filtered %d", out.Read, want, out.Staged, out.Aside, out.Left)
	}
}

// first is the key of the first data object under prefix.
func first(t testing.TB, c *local.Cloud, prefix string) string {
	t.Helper()
	all, err := c.S3.List(archiveBucket, prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if strings.HasSuffix(e.Key, ".ion") || strings.HasSuffix(e.Key, ".json") {
			return e.Key
		}
	}
	t.Fatalf("no data object under %s", prefix)
	return ""
}
