package migrate_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// hashFiles are a load's files of block hashes, by their keys.
func hashFiles(m *machine, load string) map[string]*proof.HashFile {
	m.t.Helper()
	out := map[string]*proof.HashFile{}
	for name, body := range m.objects.under(workBucket + "/loads/" + load + "/hashes/") {
		f, err := proof.OpenHashFile(strings.NewReader(body), int64(len(body)))
		if err != nil {
			m.t.Fatalf("%s: %v", name, err)
		}
		out[strings.TrimPrefix(name, workBucket+"/loads/"+load+"/hashes/")] = f
	}
	return out
}

// blockHashes are those of a ledger's blocks, by their numbers.
func blockHashes(t *testing.T, m *machine) map[int64]proof.Hash {
	t.Helper()
	out := map[int64]proof.Hash{}
	for name, body := range m.objects.under(archiveBucket) {
		if journal.ParseKey("", name).Kind != journal.DataKey {
			continue
		}
		r, err := journal.NewReader(strings.NewReader(body), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for b, err := r.Next(); err == nil; b, err = r.Next() {
			if out[b.SequenceNo], err = proof.ParseHash(b.Hash); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// A load leaves the hashes of its blocks, all of them in order, whatever its
// segments and gaps; where nothing is verified, there are none.
func TestLoadLeavesBlockHashes(t *testing.T) {
	for _, c := range []struct {
		name, input string
		drop        func(key string) bool
		files       int
	}{
		{name: "whole", files: 1},
		{name: "chain", input: `,"Verify":"chain"`, files: 1},
		{name: "off", input: `,"Verify":"off"`},
		{name: "from a block on", input: `,"Since":40`, files: 1},
		{name: "with gaps", input: `,"Manifests":"none","AcceptGaps":true`, files: 3, drop: func(key string) bool {
			first := journal.ParseKey(prefix, key).First
			return first == 0 || first == 27 || first == 54 || first == 63
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/"`+c.input+`}`)
			m.segmentBytes = 20_000
			m.generate(ledgergen.Options{Seed: 7, Documents: 200, Prefix: prefix, BlocksPerObject: 9, Exports: 2})
			for name := range m.objects.objects {
				if key := strings.TrimPrefix(name, archiveBucket+"/"); c.drop != nil && journal.ParseKey(prefix, key).Kind == journal.DataKey && c.drop(key) {
					delete(m.objects.objects, name)
				}
			}
			want := blockHashes(t, m)
			out, _ := m.mustRun()
			plan := m.readPlan(out.LoadId)
			files := hashFiles(m, out.LoadId)
			if len(files) != c.files {
				t.Errorf("%d files of block hashes, want %d", len(files), c.files)
			}
			n := int64(0)
			for key, f := range files {
				if f.Strand() != plan.Strand || key != fmt.Sprintf("%019d.sha256", f.First()) {
					t.Errorf("file %s begins with block %d of strand %s", key, f.First(), f.Strand())
				}
				for i := f.First(); i < f.Next(); i++ {
					n++
					if h, err := f.Node(0, i); err != nil || h != want[int64(i)] {
						t.Fatalf("block %d: %v, %v", i, h, err)
					}
				}
			}
			if c.files > 0 && n != plan.Blocks {
				t.Errorf("hashes of %d blocks, the load has %d", n, plan.Blocks)
			}
		})
	}
}

// The phase that writes files of block hashes hands on between two of them, goes on
// where it stopped, and leaves the same as one call.
func TestBlockHashesAreHandedOn(t *testing.T) {
	run := func(late bool) (map[string]string, []string) {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Manifests":"none","AcceptGaps":true}`)
		m.segmentBytes = 20_000
		m.generate(ledgergen.Options{Seed: 7, Documents: 200, Prefix: prefix, BlocksPerObject: 9})
		for name := range m.objects.objects {
			if first := journal.ParseKey(prefix, strings.TrimPrefix(name, archiveBucket+"/")).First; first == 27 || first == 54 {
				delete(m.objects.objects, name)
			}
		}
		p, err := m.read()
		if err != nil {
			t.Fatal(err)
		}
		m.late = func() bool { return late }
		var phases []string
		for phase := "import"; phase != "keys"; {
			phases = append(phases, phase)
			out, err := m.phase(p.LoadId, phase)
			if err != nil {
				t.Fatal(err)
			}
			if out.Next != "keys" && out.Count != 0 {
				t.Errorf("phase %s has tasks and is to go on", phase)
			}
			phase = out.Next
		}
		return m.objects.under(workBucket), phases
	}
	want, once := run(false)
	got, turns := run(true)
	if !slices.Equal(once, []string{"import"}) || !slices.Equal(turns, []string{"import", "import 1", "import 2"}) {
		t.Errorf("the phases are %q and %q", once, turns)
	}
	sameObjects(t, "handed on", got, want)
	m := newMachine(t, `{}`)
	for _, name := range []string{"import x", "import -1", "keys 1", "import "} {
		if _, err := m.phase("load", name); err == nil || !strings.Contains(err.Error(), "no phase is named") {
			t.Errorf("phase %q: %v", name, err)
		}
	}
}

// What segments left has to be complete: otherwise nothing is staged.
func TestBlockHashesThatAreMissingStopTheLoad(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/"}`)
	m.segmentBytes = 20_000
	m.generate(ledgergen.Options{Seed: 7, Documents: 200, Prefix: prefix, BlocksPerObject: 9})
	p, err := m.read()
	if err != nil {
		t.Fatal(err)
	}
	key := workBucket + "/parts/" + p.LoadId + "/hashes/000000-000001.sha256"
	was, ok := m.objects.objects[key]
	if !ok {
		t.Fatalf("there is no %s", key)
	}
	for name, spoil := range map[string]func(){
		"missing": func() { delete(m.objects.objects, key) },
		"shorter": func() { m.objects.objects[key] = memoryObject{body: was.body[:len(was.body)-32]} },
		"nothing": func() { m.objects.objects[key] = memoryObject{body: bytes.Repeat(nil, 0)} },
	} {
		spoil()
		_, err := m.phase(p.LoadId, "import")
		mustStop(t, err, "start LedgerLoad again with the same input")
		if m.target.staged != "" {
			t.Errorf("%s: staged", name)
		}
	}
	m.objects.objects[key] = was
	out, err := m.phase(p.LoadId, "import")
	if err != nil {
		t.Fatal(err)
	}
	if len(lines[change.Task](t, m.objects, out.Tasks)) == 0 || out.Next != "keys" {
		t.Errorf("%+v", out)
	}
}
