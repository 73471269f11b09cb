package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

// Archives lie in all sorts of places: what a manifest names is found wherever
// that is clear, and loads the same rows.
func TestArchivesAreFoundWhereverTheyLie(t *testing.T) {
	options := ledgergen.Options{Seed: 14, Documents: 60, BlocksPerObject: 6}
	calm := newMachine(t, whole)
	o := options
	o.Prefix = prefix
	calm.generate(o)
	calm.mustRun()
	want := calm.target.lines()
	rename := func(m *machine, to func(key string) string) {
		old := m.objects.objects
		m.objects.objects = map[string]memoryObject{}
		for name, o := range old {
			m.objects.objects[archiveBucket+"/"+to(strings.TrimPrefix(name, archiveBucket+"/"))] = o
		}
	}
	isData := func(key string) bool { return strings.HasSuffix(key, ".ion") || strings.HasSuffix(key, ".json") }
	for _, c := range []struct {
		name    string
		input   string // prefix
		options ledgergen.Options
		change  func(m *machine)
	}{
		{name: "no prefix"},
		{name: "prefix with a slash", input: "a/", options: ledgergen.Options{Prefix: "a/"}},
		{name: "prefix without a slash, as given", input: "a", options: ledgergen.Options{Prefix: "a"}},
		{name: "prefix without a slash, one in the input", input: "a/", options: ledgergen.Options{Prefix: "a"}},
		{name: "prefix with dots", input: "my.ledger/v1.0/", options: ledgergen.Options{Prefix: "my.ledger/v1.0/"}},
		{name: "prefix with dots and no slash", input: "my.ledger.v1", options: ledgergen.Options{Prefix: "my.ledger.v1"}},
		{name: "prefix with what keys may hold", input: "a b+c=d&e/ü/", options: ledgergen.Options{Prefix: "a b+c=d&e/ü/"}},
		{name: "manifests name keys without the prefix", input: "p/", change: func(m *machine) {
			rename(m, func(key string) string { return "p/" + key })
		}},
		{name: "copied elsewhere", input: "copy/", options: ledgergen.Options{Prefix: "copy/", OriginalPrefix: "journal/"}},
		{name: "copied to the top", options: ledgergen.Options{OriginalPrefix: "journal/"}},
		{name: "copied below its old prefix", input: "copy/journal/", options: ledgergen.Options{Prefix: "copy/journal/", OriginalPrefix: "journal/"}},
		{name: "copied below its old prefix, found from above", input: "copy/", options: ledgergen.Options{Prefix: "copy/journal/", OriginalPrefix: "journal/"}},
		{name: "copied, the old prefix with dots and no slash", input: "copy/", options: ledgergen.Options{Prefix: "copy/", OriginalPrefix: "my.ledger"}},
		{name: "copied, without the started manifest", input: "copy/", options: ledgergen.Options{Prefix: "copy/", OriginalPrefix: "a.b/c/"}, change: func(m *machine) {
			for name := range m.objects.objects {
				if strings.HasSuffix(name, ".started.manifest") {
					delete(m.objects.objects, name)
				}
			}
		}},
		{name: "data moved apart from the manifests", input: "", options: ledgergen.Options{Prefix: "a/", OriginalPrefix: "journal/"}, change: func(m *machine) {
			rename(m, func(key string) string {
				if isData(key) {
					return "somewhere/else/" + strings.TrimPrefix(key, "a/")
				}
				return key
			})
		}},
		{name: "data compressed and moved apart from the manifests", input: "", options: ledgergen.Options{Prefix: "a/", OriginalPrefix: "journal/"}, change: func(m *machine) {
			m.compress()
			rename(m, func(key string) string {
				if strings.HasSuffix(key, ".gz") {
					return "somewhere/else/" + strings.TrimPrefix(key, "a/")
				}
				return key
			})
		}},
		{name: "compressed", input: "a/", options: ledgergen.Options{Prefix: "a/"}, change: (*machine).compress},
		{name: "compressed and copied", input: "copy/", options: ledgergen.Options{Prefix: "copy/", OriginalPrefix: "journal/", Format: ledgergen.JSON}, change: (*machine).compress},
		{name: "compressed beside the plain", input: "a/", options: ledgergen.Options{Prefix: "a/"}, change: func(m *machine) {
			plain := m.objects.under("")
			m.compress()
			for name, body := range plain {
				m.objects.objects[name] = memoryObject{body: []byte(body)}
			}
		}},
		{name: "manifests in text of a binary export", input: "a/", options: ledgergen.Options{Prefix: "a/"}, change: func(m *machine) {
			o := options
			o.Prefix, o.Format = "a/", ledgergen.IonText
			_, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
				if x.First < 0 && strings.Contains(x.Key, ".completed.") {
					m.objects.set(archiveBucket, x.Key, x.Body)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}},
		{name: "AWS's sample", input: "copy/", options: ledgergen.Options{Layout: ledgergen.AWSSample, Prefix: "copy/"}},
		{name: "other things beside it", input: "a/", options: ledgergen.Options{Prefix: "a/"}, change: func(m *machine) {
			for _, key := range []string{"a/readme.txt", "a/digest.json", "a/2021/", "a/x.1-2.csv", "a/.DS_Store", "a/mapping.json"} {
				m.objects.set(archiveBucket, key, []byte("{}"))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := json.Marshal(map[string]string{"Bucket": archiveBucket, "Prefix": c.input})
			if err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, string(in))
			o := c.options
			o.Seed, o.Documents, o.BlocksPerObject = options.Seed, options.Documents, options.BlocksPerObject
			m.generate(o)
			if c.change != nil {
				c.change(m)
			}
			m.mustRun()
			differences(t, c.name, m.target.lines(), want)
		})
	}
}

// What is not clear is refused, with what to do.
func TestUnclearArchivesAreRefused(t *testing.T) {
	o := ledgergen.Options{Seed: 14, Documents: 200, Prefix: prefix, BlocksPerObject: 6}
	manifest := func(m *machine, kind string) string {
		for name := range m.objects.objects {
			if strings.HasSuffix(name, kind+".manifest") {
				return name
			}
		}
		t.Fatal("no manifest")
		return ""
	}
	for _, c := range []struct {
		name   string
		input  string
		change func(m *machine)
		want   []string
	}{
		{"two copies of what was copied", `{"Bucket":"archive"}`, func(m *machine) {
			m.objects.objects = map[string]memoryObject{}
			for _, to := range []string{"a/", "b/"} {
				o := o
				o.Prefix, o.OriginalPrefix = to, "journal/"
				m.generate(o)
			}
		}, []string{"may be s3://archive/a/", "or b/", "Prefix"}},
		{"an object gone", whole, func(m *machine) { delete(m.objects.objects, archiveBucket+"/"+firstData(m)) }, []string{"which is not under s3://archive/exports/dmv/", `"Manifests": "none"`}},
		{"no manifest, but objects", whole, func(m *machine) {
			delete(m.objects.objects, manifest(m, "completed"))
			delete(m.objects.objects, manifest(m, "started"))
		}, []string{"no completion manifest", "objects", `"Manifests": "none"`}},
		{"an export that did not end", whole, func(m *machine) { delete(m.objects.objects, manifest(m, "completed")) }, []string{"1 of started exports"}},
		{"nothing", whole, func(m *machine) { m.objects.objects = map[string]memoryObject{} }, []string{"no data object", "check Bucket and Prefix"}},
		{"nothing without manifests", `{"Bucket":"archive","Prefix":"exports/dmv/","Manifests":"none"}`, func(m *machine) { m.objects.objects = map[string]memoryObject{} }, []string{"no data object", "check Bucket and Prefix"}},
		{"an export that wrote nothing", whole, func(m *machine) {
			m.objects.objects[manifest(m, "completed")] = memoryObject{body: []byte(`{keys:[]}`)}
		}, []string{"are empty", "nothing to read"}},
		{"a manifest cut short", whole, func(m *machine) {
			m.objects.objects[manifest(m, "completed")] = memoryObject{body: []byte(`{keys:["a`)}
		}, []string{"read manifest exports/dmv/"}},
		{"a manifest of something else", whole, func(m *machine) {
			m.objects.objects[manifest(m, "completed")] = memoryObject{body: []byte(`{keys:["exports/dmv/readme.txt"]}`)}
			m.objects.set(archiveBucket, prefix+"readme.txt", []byte("x"))
		}, []string{"readme.txt", "not named like"}},
		{"a started manifest cut short", whole, func(m *machine) { m.objects.objects[manifest(m, "started")] = memoryObject{body: []byte(`{exportId:`)} }, []string{"read manifest exports/dmv/"}},
		{"two ledgers", whole, func(m *machine) {
			o := o
			o.Seed = 15
			m.generate(o)
		}, []string{"2 ledgers", "ExportIds"}},
		{"an unknown export", `{"Bucket":"archive","Prefix":"exports/dmv/","ExportIds":["nosuch"]}`, func(*machine) {}, []string{"export nosuch"}},
		{"a bucket of somebody else", `{"Bucket":"other"}`, func(*machine) {}, []string{"not an archive of this environment", "make deploy"}},

		{"an object cut between two blocks", whole, func(m *machine) {
			rewrite(m, 1, func(blocks [][]byte) [][]byte { return blocks[:len(blocks)-1] })
		}, []string{"ends before block 10", "blocks 5 to 10", "cut short"}},
		{"an object cut within a block", whole, func(m *machine) {
			rewrite(m, 1, func(blocks [][]byte) [][]byte {
				last := len(blocks) - 1
				return append(blocks[:last:last], blocks[last][:len(blocks[last])/2])
			})
		}, []string{"object exports/dmv/", "ends"}},
		{"a block lost within an object", whole, func(m *machine) {
			rewrite(m, 1, func(blocks [][]byte) [][]byte { return slices.Delete(blocks, 2, 3) })
		}, []string{"block 8 stands where block 7 is due"}},
		{"a block twice", whole, func(m *machine) {
			rewrite(m, 1, func(blocks [][]byte) [][]byte { return slices.Insert(blocks, 2, blocks[2]) })
		}, []string{"block 7 stands where block 8 is due"}},
		{"the last block twice", whole, func(m *machine) {
			rewrite(m, 1, func(blocks [][]byte) [][]byte { return append(blocks, blocks[len(blocks)-1]) })
		}, []string{"block 10 stands behind the last of blocks 5 to 10"}},
		{"a block too many", whole, func(m *machine) {
			next := split(m, 2)[0]
			rewrite(m, 1, func(blocks [][]byte) [][]byte { return append(blocks, next) })
		}, []string{"block 11 stands behind the last of blocks 5 to 10"}},
		{"an empty object", whole, func(m *machine) {
			rewrite(m, 1, func([][]byte) [][]byte { return nil })
		}, []string{"ends before block 5"}},
		{"a block of another ledger", whole, func(m *machine) {
			rewrite(m, 1, func(blocks [][]byte) [][]byte {
				strand := strings.SplitN(strings.SplitN(string(blocks[0]), `strandId:"`, 2)[1], `"`, 2)[0]
				blocks[3] = bytes.ReplaceAll(blocks[3], []byte(strand), []byte("0000000000000000000000"))
				return blocks
			})
		}, []string{"is of strand 0000000000000000000000", "one ledger"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, c.input)
			o := o
			o.Format = ledgergen.IonText
			m.generate(o)
			c.change(m)
			p, err := m.plan()
			if err == nil {
				// Both passes refuse it by themselves.
				for _, x := range m.children(p) {
					var err error
					for !x.done && err == nil {
						err = m.turn(x)
					}
					mustStop(t, err, c.want...)
				}
				return
			}
			mustStop(t, err, c.want...)
		})
	}
}

// dataKeys are the archive's data objects in the order of their blocks.
func dataKeys(m *machine) []string {
	var keys []string
	for name := range m.objects.under(archiveBucket) {
		if strings.HasSuffix(name, ".ion") {
			keys = append(keys, name)
		}
	}
	first := func(key string) (n int) {
		if _, err := fmt.Sscanf(strings.SplitN(path.Base(key), ".", 2)[1], "%d-", &n); err != nil {
			m.t.Fatal(err)
		}
		return n
	}
	slices.SortFunc(keys, func(a, b string) int { return first(a) - first(b) })
	return keys
}

// split returns the blocks, one a line, of data object i.
func split(m *machine, i int) [][]byte {
	return bytes.SplitAfter(bytes.TrimSuffix(m.objects.objects[dataKeys(m)[i]].body, []byte("\n")), []byte("\n"))
}

// rewrite writes data object i anew from its blocks.
func rewrite(m *machine, i int, to func([][]byte) [][]byte) {
	blocks := split(m, i)
	last := len(blocks) - 1
	blocks[last] = append(bytes.Clone(blocks[last]), '\n')
	m.objects.objects[dataKeys(m)[i]] = memoryObject{body: bytes.Join(to(blocks), nil)}
}

// An object that changes while a load reads it is not read as another.
func TestAnObjectThatChangesStopsTheLoad(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(ledgergen.Options{Seed: 14, Documents: 60, Prefix: prefix})
	p, err := m.plan()
	if err != nil {
		t.Fatal(err)
	}
	children := m.children(p)
	key := archiveBucket + "/" + firstData(m)
	m.objects.objects[key] = memoryObject{body: append(bytes.Clone(m.objects.objects[key].body), '\n')}
	for _, c := range children {
		mustStop(t, m.turn(c), "PreconditionFailed")
	}
}

// Only the exports that were asked for count, with their manifests: what is wrong
// with another does not matter.
func TestExportIdsChoose(t *testing.T) {
	o := ledgergen.Options{Seed: 14, Documents: 300, Prefix: prefix, BlocksPerObject: 6, Exports: 2}
	m := newMachine(t, whole)
	ledger := m.generate(o)
	if len(ledger.ExportIDs) != 2 {
		t.Fatal(ledger.ExportIDs)
	}
	for name := range m.objects.objects {
		if strings.Contains(name, ledger.ExportIDs[1]+".") {
			m.objects.objects[name] = memoryObject{body: []byte("?")}
		}
	}
	m.input = `{"Bucket":"archive","Prefix":"exports/dmv/","ExportIds":["` + ledger.ExportIDs[0] + `"]}`
	out, rep := m.mustRun()
	if len(rep.Archive.Exports) != 1 || rep.Archive.Exports[0].ID != ledger.ExportIDs[0] || rep.Archive.LastBlock >= ledger.LastBlock || len(rep.Archive.Unused) != 0 {
		t.Errorf("got %+v", rep.Archive)
	}
	if out.Read == 0 || out.Read >= ledger.Revisions() {
		t.Errorf("read %d of %d", out.Read, ledger.Revisions())
	}
}

// Data objects that no manifest names are said, and are not read.
func TestUnusedObjectsAreSaid(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(ledgergen.Options{Seed: 14, Documents: 300, Prefix: prefix, UntilBlock: 40})
	rest := newMachine(t, whole)
	rest.generate(ledgergen.Options{Seed: 14, Documents: 300, Prefix: prefix, FromBlock: 40})
	for name, o := range rest.objects.objects {
		if strings.HasSuffix(name, ".ion") {
			m.objects.objects[name] = o
		}
	}
	_, rep := m.mustRun()
	if len(rep.Archive.Unused) == 0 || rep.Archive.LastBlock != 39 || !strings.Contains(fmt.Sprint(rep.Findings), "no manifest names") {
		t.Errorf("got %+v, %+v", rep.Archive, rep.Findings)
	}
}

// A bucket of another region answers with a redirect that no client follows.
func TestPreflightTellsWhenAnArchiveIsInAnotherRegion(t *testing.T) {
	p := &migrate.Preflight{
		Objects: movedObjects{}, WorkBucket: workBucket, ClusterARN: "arn:c", ImportRole: "role", Region: "eu-west-1",
		Archives: []migrate.AllowedArchive{{Bucket: archiveBucket}},
		Cluster: func(context.Context, string) (migrate.Cluster, error) {
			return migrate.Cluster{ID: "c", Region: "eu-west-1", Engine: "aurora-postgresql", Status: "available", DataAPI: true, ImportRoles: []string{"role"}, MinACU: 2}, nil
		},
	}
	out, err := p.Handle(context.Background(), json.RawMessage(`{"Bucket":"`+archiveBucket+`"}`))
	if err != nil || len(out.Missing) != 1 || !strings.Contains(out.Missing[0], "is not in region eu-west-1 (PermanentRedirect)") {
		t.Errorf("got %q, %v", out.Missing, err)
	}
}

type movedObjects struct{ migrate.Objects }

func (movedObjects) List(context.Context, string, string, func(key, etag string, size int64, class string) error) error {
	return fmt.Errorf("list: %w", &smithy.GenericAPIError{Code: "PermanentRedirect"})
}

// A cluster that is not there is one of the things that are missing; an answer
// that may be another later is not.
func TestPreflightTellsWhenThereIsNoCluster(t *testing.T) {
	m := newMachine(t, `{"Bucket":"elsewhere","Mode":"plan"}`)
	check := func(code string) (migrate.PreflightOut, error) {
		return (&migrate.Preflight{
			Objects: m.objects, WorkBucket: workBucket, ClusterARN: "arn:c", ImportRole: "role", Region: "eu-west-1",
			Cluster: func(context.Context, string) (migrate.Cluster, error) {
				return migrate.Cluster{}, fmt.Errorf("describe: %w", &serviceError{code, "DBCluster c not found"})
			},
		}).Handle(context.Background(), json.RawMessage(m.input))
	}
	out, err := check("DBClusterNotFoundFault")
	if err != nil || len(out.Missing) != 2 || !strings.Contains(out.Missing[0], "cdk.json") || !strings.Contains(out.Missing[1], "DBClusterNotFoundFault") {
		t.Errorf("got %q, %v", out.Missing, err)
	}
	var again *migrate.Again
	if _, err := check("ThrottlingException"); !errors.As(err, &again) {
		t.Errorf("throttled: %v", err)
	}
}

// Preflight names everything at once, and lets restored objects pass.
func TestPreflightNamesEverythingAtOnce(t *testing.T) {
	check := func(change func(m *machine, c *migrate.Cluster, allowed *migrate.AllowedArchive), want ...string) {
		t.Helper()
		m := newMachine(t, whole)
		m.generate(ledgergen.Options{Seed: 14, Documents: 20, Prefix: prefix})
		c := migrate.Cluster{ID: "c", Region: "eu-west-1", Engine: "aurora-postgresql", Status: "available", DataAPI: true, ImportRoles: []string{"role"}, MinACU: 2}
		allowed := migrate.AllowedArchive{Bucket: archiveBucket, Prefix: "exports/"}
		change(m, &c, &allowed)
		p := &migrate.Preflight{
			Objects: m.objects, WorkBucket: workBucket, ClusterARN: "arn:c", ImportRole: "role", Region: "eu-west-1",
			Archives: []migrate.AllowedArchive{allowed},
			Cluster:  func(context.Context, string) (migrate.Cluster, error) { return c, nil },
		}
		out, err := p.Handle(context.Background(), json.RawMessage(m.input))
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Missing) != len(want) {
			t.Errorf("got %q, want %d things", out.Missing, len(want))
			return
		}
		for i, w := range want {
			if !strings.Contains(out.Missing[i], w) {
				t.Errorf("got %q without %q", out.Missing[i], w)
			}
		}
		// What is missing stops the load before anything is written.
		prepared := false
		_, err = (&migrate.Prepare{Target: func(context.Context) error { prepared = true; return nil }}).Handle(context.Background(),
			migrate.PrepareIn{Input: json.RawMessage(m.input), Preflight: out})
		if len(want) == 0 && (err != nil || !prepared) {
			t.Errorf("prepare: %v", err)
		} else if len(want) > 0 {
			mustStop(t, err, want...)
		}
	}
	cold := func(class string) func(m *machine, c *migrate.Cluster, a *migrate.AllowedArchive) {
		return func(m *machine, _ *migrate.Cluster, _ *migrate.AllowedArchive) {
			for name, o := range m.objects.objects {
				o.class = class
				m.objects.objects[name] = o
			}
		}
	}
	check(func(*machine, *migrate.Cluster, *migrate.AllowedArchive) {})
	check(cold("GLACIER"), "restore-object")
	check(cold("DEEP_ARCHIVE"), "cold storage (DEEP_ARCHIVE)")
	check(cold("restored GLACIER"))
	check(func(m *machine, _ *migrate.Cluster, _ *migrate.AllowedArchive) {
		m.objects.objects = map[string]memoryObject{}
	}, "holds no object")
	check(func(_ *machine, c *migrate.Cluster, _ *migrate.AllowedArchive) {
		*c = migrate.Cluster{ID: "c", MinACU: 1}
	},
		"aurora-postgresql", "region", "enable-http-endpoint", "add-role-to-db-cluster", "start-db-cluster")
	check(func(_ *machine, c *migrate.Cluster, _ *migrate.AllowedArchive) { c.ImportRoles = []string{"other"} }, "remove-role-from-db-cluster")
	check(func(_ *machine, _ *migrate.Cluster, a *migrate.AllowedArchive) { a.Prefix = "elsewhere/" }, `{"bucket":"archive","prefix":"exports/dmv/"}`)
	check(func(m *machine, _ *migrate.Cluster, a *migrate.AllowedArchive) {
		a.Prefix, m.input = prefix, `{"Bucket":"archive","Prefix":"exports/dmv"}`
	}, `"Prefix": "exports/dmv/"`)
}
