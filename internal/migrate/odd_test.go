package migrate_test

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

// edit changes the text of every data object of a JSON archive.
func edit(m *machine, to func(body string) string) {
	// Of the same hour the shorter name has the smaller block number.
	inOrder := func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }
	for _, name := range slices.SortedFunc(maps.Keys(m.objects.objects), inOrder) {
		if strings.HasPrefix(name, archiveBucket+"/") && strings.HasSuffix(name, ".json") {
			m.objects.objects[name] = memoryObject{body: []byte(to(string(m.objects.objects[name].body)))}
		}
	}
}

// asides reads the quarantine lists of a load.
func asides(m *machine, load string) (list []migrate.Aside) {
	for name := range m.objects.under(workBucket + "/loads/" + load + "/quarantine/") {
		key := strings.TrimPrefix(name, workBucket+"/")
		list = append(list, lines[migrate.Aside](m.t, m.objects, migrate.ObjectRef{Bucket: workBucket, Key: key})...)
	}
	return list
}

// Ids that no ledger of QLDB has, but an archive may: they neither make a key
// that S3 refuses nor hide one table's rows behind another's.
func TestOddTableIdsKeepTheirRows(t *testing.T) {
	o := ledgergen.Options{Seed: 14, Documents: 120, Prefix: prefix, BlocksPerObject: 6, Format: ledgergen.JSON}
	calm := newMachine(t, whole)
	ledger := calm.generate(o)
	want, _ := calm.mustRun()
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Verify":"off"}`)
	m.generate(o)
	odd := []string{"quarantine", "a/b", "../..", "ä ö", strings.Repeat("x", 200)}
	edit(m, func(body string) string {
		for i, x := range ledger.Tables {
			if i < len(odd) {
				body = strings.ReplaceAll(body, x.ID, odd[i])
			}
		}
		return body
	})
	got, _ := m.mustRun()
	if got.Read != want.Read || got.Staged != want.Staged {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for table, rows := range calm.target.lines() {
		if got := m.target.lines()[table]; len(got) != len(rows) {
			t.Errorf("table %s: %d rows, want %d", table, len(got), len(rows))
		}
	}
	if m.target.sources["a/b"].Name != ledger.Tables[1].Name {
		t.Errorf("sources %+v", m.target.sources)
	}
}

// What cannot be a row is set aside with where it came from; ids that the
// database cannot hold do not keep the list from being stored.
func TestOddRevisionsAreSetAside(t *testing.T) {
	o := ledgergen.Options{Seed: 14, Documents: 120, Prefix: prefix, BlocksPerObject: 6, Format: ledgergen.JSON}
	metadata := regexp.MustCompile(`"metadata":\{"id":"([^"]*)"`)
	for _, c := range []struct {
		name string
		// to changes one revision, given its document id.
		to       func(block, id string) string
		table    bool   // it is still known
		document string // in the list
		stored   string // in the database's list
		reason   string
	}{
		{"a document of no table", func(block, id string) string {
			return strings.Replace(block, `"metadata":{"id":"`+id+`"`, `"metadata":{"id":"nobody"`, 1)
		}, false, "nobody", "nobody", "table of document nobody is not known"},
		{"NUL in the id", func(block, id string) string { return strings.ReplaceAll(block, `"`+id+`"`, `"a\u0000b"`) }, true, "a\x00b", "a\ufffdb", "NUL"},
		{"a tab and a line's end in the id", func(block, id string) string {
			return strings.Replace(block, `"metadata":{"id":"`+id+`"`, `"metadata":{"id":"a\tb\n\\."`, 1)
		}, false, "a\tb\n\\.", `a\tb\n\\.`, "is not known"},
		{"no metadata", func(block, id string) string {
			return regexp.MustCompile(`,"metadata":\{"id":"`+id+`"[^}]*\}`).ReplaceAllString(block, "")
		}, false, "", "", "no metadata"},
		{"another transaction", func(block, id string) string {
			return regexp.MustCompile(`("metadata":\{"id":"`+id+`"[^}]*"txId":")[^"]*`).ReplaceAllString(block, "${1}other")
		}, true, "", "", "belongs to transaction other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":1,"Verify":"off"}`)
			ledger := m.generate(o)
			done := false
			edit(m, func(body string) string {
				blocks := strings.SplitAfter(body, "\n")
				for i, b := range blocks {
					if x := metadata.FindStringSubmatch(b); x != nil && !done && strings.Contains(b, `"version":0`) {
						if blocks[i] = c.to(b, x[1]); blocks[i] != b {
							done = true
						}
					}
				}
				return strings.Join(blocks, "")
			})
			if !done {
				t.Fatal("nothing was changed")
			}
			out, rep := m.mustRun()
			if out.Read != ledger.Revisions() || out.Aside != 1 || out.Staged != out.Read-1 {
				t.Fatalf("got %+v of %d", out, ledger.Revisions())
			}
			a := asides(m, out.LoadId)[0]
			if a.Object == "" || a.Reason == "" || !strings.Contains(a.Reason, c.reason) || (a.TableID != "") != c.table || c.document != "" && a.Document != c.document {
				t.Errorf("got %+v", a)
			}
			if got := m.target.asides[0].doc; c.stored != "" && got != c.stored {
				t.Errorf("stored %q, want %q", got, c.stored)
			}
			// A table that is not known is one of its own in the report.
			found := false
			for _, x := range rep.Tables {
				found = found || x.Name == "(no table known)" && x.Quarantined == 1
			}
			if found == c.table {
				t.Errorf("tables %+v", rep.Tables)
			}
		})
	}
}

// A document whose latest revision is set aside shows no older one.
func TestOlderRevisionsDoNotStandInForTheLatest(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":6}`)
	m.generate(ledgergen.Options{Seed: 14, Documents: 120, Unmappable: 6, Prefix: prefix})
	out, rep := m.mustRun()
	withheld := int64(0)
	for _, x := range rep.Tables {
		withheld += x.Withheld
	}
	updates := int64(0)
	for _, a := range asides(m, out.LoadId) {
		if a.Version > 0 {
			updates++
		}
		for table, rows := range m.target.visible {
			if _, ok := rows[a.Document]; ok {
				t.Errorf("table %s shows document %s", table, a.Document)
			}
		}
	}
	if updates == 0 || withheld != updates {
		t.Errorf("%d withheld, %d latest revisions set aside", withheld, updates)
	}
}

// A table id has one name, in one segment and in all, also where nothing verifies it.
func TestATableWithTwoNamesStops(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Verify":"chain"}`)
	m.generate(ledgergen.Options{Seed: 14, Documents: 120, Prefix: prefix, Format: ledgergen.JSON})
	n := 0
	edit(m, func(body string) string {
		blocks := strings.SplitAfter(body, "\n")
		for i, b := range blocks {
			if strings.Contains(b, `"tableName":"Person"`) {
				if n++; n == 2 {
					blocks[i] = strings.Replace(b, `"tableName":"Person"`, `"tableName":"Persons"`, 1)
				}
			}
		}
		return strings.Join(blocks, "")
	})
	_, err := m.read()
	mustStop(t, err, "Person", "Persons", "keep their names")
}

// Where everything is set aside the list is cut into segments, too: it is kept
// in memory as it is.
func TestQuarantineListsAreBounded(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":100000,"Mapping":"s3://archive/m.json"}`)
	m.segmentBytes = 40_000
	ledger := m.generate(ledgergen.Options{Seed: 14, Documents: 400, Prefix: prefix, Format: ledgergen.JSON, BlocksPerObject: 2})
	m.objects.set(archiveBucket, "m.json", []byte(`{"version":1,"schema":"dmv","tables":{"Person":{"target":"person","columns":[{"name":"n","path":"FirstName","type":"integer"}]},
		"Vehicle":{"target":"vehicle","columns":[{"name":"n","path":"VIN","type":"integer"}]},"VehicleRegistration":{"target":"r","columns":[{"name":"n","path":"VIN","type":"integer"}]}}}`))
	out, rep := m.mustRun()
	lists, longest := 0, 0
	for _, body := range m.objects.under(workBucket + "/loads/" + out.LoadId + "/quarantine/") {
		lists++
		longest = max(longest, len(body))
	}
	if out.Aside < ledger.Revisions()/2 || lists < 5 || longest > 25_000 {
		t.Errorf("%d of %d set aside, in %d lists of at most %d bytes", out.Aside, ledger.Revisions(), lists, longest)
	}
	if rep.Quarantine.Total != out.Aside || len(rep.Quarantine.First) != 100 {
		t.Errorf("report shows %d of %d, set aside were %d", len(rep.Quarantine.First), rep.Quarantine.Total, out.Aside)
	}
	// No value of a document is in a list.
	values := map[string]bool{}
	for name, body := range m.objects.under(archiveBucket) {
		if strings.HasSuffix(name, ".json") {
			for _, x := range regexp.MustCompile(`"(?:FirstName|VIN)":"([^"]*)"`).FindAllStringSubmatch(body, -1) {
				values[x[1]] = true
			}
		}
	}
	if len(values) < 10 {
		t.Fatalf("%d values", len(values))
	}
	for _, a := range asides(m, out.LoadId) {
		for _, word := range strings.FieldsFunc(a.Reason+" "+a.Path, func(r rune) bool { return strings.ContainsRune(" \"':,", r) }) {
			if values[word] {
				t.Errorf("a value is in the list: %+v", a)
			}
		}
		if a.Path == "" || a.Document == "" || a.Block == 0 {
			t.Errorf("got %+v", a)
		}
	}
}

// The statement that drops a table is all that tells of it: up to that block the
// table's documents are current, and from it on they are not.
func TestADroppedTableHasNoCurrentDocuments(t *testing.T) {
	o := ledgergen.Options{Seed: 14, Documents: 300, Prefix: prefix, BlocksPerObject: 1, Format: ledgergen.JSON}
	drop := regexp.MustCompile(`"sequenceNo":(\d+).*"DROP TABLE \\?"?(\w+)`)
	scan := newMachine(t, whole)
	scan.generate(o)
	var block int64 = -1
	name := ""
	edit(scan, func(body string) string {
		if x := drop.FindStringSubmatch(body); x != nil && block < 0 {
			name = x[2]
			if _, err := fmt.Sscan(x[1], &block); err != nil {
				t.Fatal(err)
			}
		}
		return body
	})
	if block < 1 {
		t.Fatal("no table is dropped")
	}
	for _, dropped := range []bool{false, true} {
		m := newMachine(t, whole)
		o.UntilBlock = block
		if dropped {
			o.UntilBlock++
		}
		m.generate(o)
		_, rep := m.mustRun()
		found := false
		for _, x := range rep.Tables {
			if x.Name != name {
				continue
			}
			found = true
			if x.IDs[0].Active == dropped || dropped && (x.Current != 0 || x.Dropped == 0) || !dropped && (x.Current == 0 || x.Dropped != 0) {
				t.Errorf("dropped %t: %+v", dropped, x)
			}
		}
		if !found {
			t.Errorf("no table %s in %+v", name, rep.Tables)
		}
	}
}
