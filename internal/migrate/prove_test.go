package migrate_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/proof"
)

// proving is a small ledger in Ion text: a line is a block.
var proving = ledgergen.Options{Seed: 3, Documents: 120, Prefix: prefix, Format: ledgergen.IonText, BlocksPerObject: 6}

// held is an input with the digest of a ledger.
func held(l ledgergen.Ledger) string {
	return fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Digest":%q,"DigestTip":%d,"Strand":%q}`, l.Digest, l.Tip, l.Strand)
}

// blockLines are the blocks of an archive in Ion text, in order, and the objects
// that they are in.
func blockLines(m *machine) (lines, objects []string) {
	m.t.Helper()
	at := map[string]int64{}
	var keys []string
	for name := range m.objects.under(archiveBucket + "/") {
		var first, last int64
		i := strings.LastIndexByte(strings.TrimSuffix(name, ".ion"), '.')
		if !strings.HasSuffix(name, ".ion") {
			continue
		}
		if _, err := fmt.Sscanf(name[i:], ".%d-%d.ion", &first, &last); err != nil {
			m.t.Fatalf("object %s: %v", name, err)
		}
		at[name] = first
		keys = append(keys, name)
	}
	slices.SortFunc(keys, func(a, b string) int { return int(at[a] - at[b]) })
	for _, key := range keys {
		for line := range strings.Lines(string(m.objects.objects[key].body)) {
			lines, objects = append(lines, line), append(objects, key)
		}
	}
	return lines, objects
}

// storeLines stores the blocks again.
func storeLines(m *machine, lines, objects []string) {
	bodies := map[string]string{}
	for i, line := range lines {
		bodies[objects[i]] += line
	}
	for key, body := range bodies {
		m.objects.objects[key] = memoryObject{body: []byte(body)}
	}
}

// readProof reads what a load's verification came to.
func (m *machine) readProof(load string) (p migrate.Proof) {
	m.t.Helper()
	b, err := m.objects.read(workBucket, "loads/"+load+"/proof.json")
	if err != nil {
		m.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// bump makes another letter or digit of the last one.
func bump(s string) string {
	b := []byte(s)
	for i := len(b) - 1; i >= 0; i-- {
		switch c := b[i]; {
		case c == 'z' || c == 'Z' || c == '9':
			b[i]--
			return string(b)
		case c >= '0' && c < '9' || c >= 'a' && c < 'z' || c >= 'A' && c < 'Z':
			b[i]++
			return string(b)
		}
	}
	return s
}

// Whatever in an archive is changed: the load stops before anything is staged,
// says what and where, and stops again when it is redriven or begun anew.
func TestTamperedArchiveIsNeverStaged(t *testing.T) {
	const rich = `revisions:\[\{blockAddress.*\}\},\{blockAddress.*data:\{VIN` // several revisions
	none := func(string) string { return "" }
	renumber := func(to string) func(string) string { return func(string) string { return to } }
	for _, c := range []struct {
		name  string
		block string // pattern of the block
		field string // pattern; its group is what is changed
		to    func(string) string
		want  []string
	}{
		{"data", rich, `data:\{VIN:"([^"]*)"`, bump, []string{"tampered: block #", "revision ", "of document", "in object exports/dmv/", "hash is not that of its metadata and data"}},
		{"data removed", rich, `(data:\{VIN[^{}]*\},)`, none, []string{"tampered: block #", "of document", "in object exports/dmv/", "data is absent", "other deletion"}},
		{"a version", rich, `metadata:\{id:"[^"]*",version:(\d)`, bump, []string{"tampered: block #", "revision 0 of document", "hash is not that of"}},
		{"a transaction's time", rich, `txTime:[^,]*\.(\d)`, bump, []string{"tampered: block #", "revision 0 of document", "hash is not that of"}},
		{"a revision's hash", rich, `\},hash:\{\{([^}]{20})`, bump, []string{"tampered: block #", "revisions' root is not what entriesHashList has the hash of"}},
		{"a revision removed", rich, `revisions:\[(\{blockAddress.*?\}\},)\{blockAddress`, none, []string{"tampered: block #", "revisions' root"}},
		{"revisions swapped", rich, `revisions:\[(\{blockAddress.*\}\},\{blockAddress.*\}\})\]`, func(s string) string {
			i := strings.Index(s, "}},{blockAddress") + 2
			return s[i+1:] + "," + s[:i]
		}, []string{"tampered: block #", "revisions' root"}},
		{"a statement", rich, `statement:"([^"]*)"`, bump, []string{"tampered: block #", "transactionInfo is not what"}},
		{"a table's name", rich, `tableName:"([^"]*)"`, bump, []string{"tampered: block #", "transactionInfo is not what"}},
		{"transactionInfo removed", rich, `(transactionInfo:.*\}\},)revisions`, none, []string{"do not map exactly", "MaxQuarantined is 0"}},
		{"entriesHash", rich, `entriesHash:\{\{([^}]{20})`, bump, []string{"tampered: block #", "entriesHash is not that of entriesHashList"}},
		{"entriesHashList", rich, `entriesHashList:\[\{\{([^}]{20})`, bump, []string{"tampered: block #", "entriesHash is not that of entriesHashList"}},
		{"blockHash", rich, `blockHash:\{\{([^}]{20})`, bump, []string{"tampered: block #", "blockHash is not that of", "does not follow block #"}},
		{"previousBlockHash", rich, `previousBlockHash:\{\{([^}]{20})`, bump, []string{"tampered: block #", "block # of strand", "does not follow block"}},
		{"renumbered", rich, `sequenceNo:(\d+)\}`, renumber("9999"), []string{"block 9999 stands where block # is due"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, whole)
			m.input = held(m.generate(proving))
			m.segmentBytes = 2000 // so that most neighbours are of two segments
			lines, objects := blockLines(m)
			at := slices.IndexFunc(lines, func(s string) bool { return regexp.MustCompile(c.block).MatchString(s) })
			if at < 0 {
				t.Fatalf("no block has %s", c.block)
			}
			field := regexp.MustCompile(c.field).FindStringSubmatchIndex(lines[at])
			if field == nil {
				t.Fatalf("block %d has no %s: %s", at, c.field, lines[at])
			}
			was := lines[at]
			lines[at] = was[:field[2]] + c.to(was[field[2]:field[3]]) + was[field[3]:]
			if lines[at] == was {
				t.Fatal("nothing was changed")
			}
			storeLines(m, lines, objects)
			stopsTwice(t, m, at, c.want)
		})
	}
}

// A table's name that was changed is told by the block that it was changed in, wherever
// the name's other blocks are and whether the mapping could load it.
func TestATableThatWasRenamedIsToldAsTampering(t *testing.T) {
	for _, name := range []string{"Persons", "person", "..."} {
		for _, bytes := range []int64{0, 2000} {
			for _, nth := range []int{0, 1, 7} {
				m := newMachine(t, whole)
				m.input = held(m.generate(proving))
				m.segmentBytes = bytes
				lines, objects := blockLines(m)
				at, seen := -1, 0
				for i, line := range lines {
					if strings.Contains(line, `tableName:"Person"`) {
						if at = i; seen == nth {
							break
						}
						seen++
					}
				}
				lines[at] = strings.ReplaceAll(lines[at], `tableName:"Person"`, `tableName:"`+name+`"`)
				storeLines(m, lines, objects)
				stopsTwice(t, m, at, []string{"tampered: block #", "in object exports/dmv/", "transactionInfo is not what entriesHashList has the hash of"})
			}
		}
	}
}

// stopsTwice wants a load to stop in these words, where # is a block, with nothing
// staged; and to do so again.
func stopsTwice(t *testing.T, m *machine, block int, want []string) {
	t.Helper()
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "#", fmt.Sprint(block))
	}
	for range 2 {
		_, err := m.run()
		mustStop(t, err, want...)
		if m.target.staged != "" || len(m.target.lines()) > 1 {
			t.Errorf("staged: %s %v", m.target.staged, m.target.lines())
		}
		if strings.Contains(err.Error(), "tampered") {
			if m.target.state != "" {
				t.Errorf("the load is %s in the target", m.target.state)
			}
			if p := m.readProof(m.target.load.ID); !p.Stopped || p.Conclusion.Level != 0 {
				t.Errorf("proof %+v", p)
			}
			_, err = m.phase(m.target.load.ID, "import")
			mustStop(t, err, want...)
		}
	}
}

func TestBlocksOutOfPlaceAreNeverStaged(t *testing.T) {
	other := newMachine(t, whole)
	foreign := proving
	foreign.Seed++
	another := other.generate(foreign)
	others, _ := blockLines(other)
	strand := regexp.MustCompile(`strandId:"[^"]*"`)
	number := func(line string, to int) string {
		return regexp.MustCompile(`sequenceNo:\d+\}`).ReplaceAllString(line, fmt.Sprintf("sequenceNo:%d}", to))
	}
	for _, c := range []struct {
		name  string
		alter func(s []string)
		want  []string
	}{
		{
			"swapped and renumbered", func(s []string) { s[20], s[21] = number(s[21], 20), number(s[20], 21) },
			[]string{"tampered", "block 20 of strand", "in object exports/dmv/", "does not follow block 19"},
		},
		{"of another ledger", func(s []string) { s[20] = others[20] }, []string{"block 20 is of strand", "an archive holds one ledger"}},
		{
			"of another ledger under this one's strand", func(s []string) { s[20] = strand.ReplaceAllString(others[20], strand.FindString(s[20])) },
			[]string{"tampered", "block 20 of strand", "does not follow block 19", "block 21 of strand", "does not follow block 20"},
		},
		{"all from one on of another ledger", func(s []string) {
			for i := 20; i < len(s) && i < len(others); i++ {
				s[i] = strand.ReplaceAllString(others[i], strand.FindString(s[i]))
			}
		}, []string{"tampered", "block 20 of strand", "does not follow block 19"}},
		{"the end cut", func(s []string) { s[len(s)-1] = "" }, []string{"the object is cut short"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, whole)
			m.input = held(m.generate(proving))
			m.segmentBytes = 2000
			lines, objects := blockLines(m)
			c.alter(lines)
			storeLines(m, lines, objects)
			stopsTwice(t, m, 0, c.want)
		})
	}
	t.Run("a digest of another ledger", func(t *testing.T) {
		m := newMachine(t, whole)
		ledger := m.generate(proving)
		another.Strand, another.Tip = ledger.Strand, ledger.Tip
		m.input = held(another)
		stopsTwice(t, m, 0, []string{"tampered", "blocks were altered, or the digest is of another ledger", "contradicted by: Digest of the input"})
		another.Strand = "AnotherStrand000000000"
		m.input = `{"Bucket":"archive","Prefix":"exports/dmv/","Digest":` + fmt.Sprintf(`{"digest":%q,"digestTipAddress":"{strandId:\"%s\",sequenceNo:%d}"}}`, another.Digest, another.Strand, another.Tip)
		m.target = newTarget(t, m.objects)
		stopsTwice(t, m, 0, []string{"tampered", "of strand AnotherStrand000000000", "contradicted by: Digest of the input"})
	})
	t.Run("a forged proofs.json", func(t *testing.T) {
		m := newMachine(t, whole)
		m.generate(ledgergen.Options{Seed: 3, Documents: 60, Prefix: prefix, Layout: ledgergen.AWSSample})
		forged := ""
		for name, body := range m.objects.under(archiveBucket + "/") {
			if at := strings.Index(body, `"Proof"`); strings.HasSuffix(name, ".proofs.json") && at > 0 {
				i := at + regexp.MustCompile(`[A-Za-z0-9+/]{20}`).FindStringIndex(body[at:])[0]
				m.objects.set(archiveBucket, strings.TrimPrefix(name, archiveBucket+"/"), []byte(body[:i]+bump(body[i:i+20])+body[i+20:]))
				forged = strings.TrimPrefix(name, archiveBucket+"/")
				break
			}
		}
		stopsTwice(t, m, 0, []string{"tampered", "the proof is forged", "contradicted by: " + forged})
	})
}

// What cannot be read is named, before anything begins.
func TestUnreadableEvidenceIsNamed(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(proving)
	key := prefix + "Export1.Strand1.proofs.json"
	m.objects.set(archiveBucket, key, []byte(`{"Digest":"no hash"}`))
	_, err := m.run()
	mustStop(t, err, "object "+key, "digest is not 32 bytes", "move it away")
	m.input = `{"Bucket":"archive","Prefix":"exports/dmv/","Verify":"off"}`
	out, rep := m.mustRun()
	if rep.Proof == nil || rep.Proof.Asked != "off" || out.Verdict != "loaded" {
		t.Errorf("%+v, %+v", out, rep.Proof)
	}
	for name := range m.objects.under(workBucket + "/loads/" + out.LoadId + "/") {
		if strings.HasSuffix(name, "proof.json") || strings.HasSuffix(name, "evidence.json") {
			t.Errorf("%s was written", name)
		}
	}
	for _, bad := range []string{`"Verify":"all"`, `"Digest":"AA=="`, `"Digest":{"ledger":"dmv"}`, `"Digest":[7]`, `"Digest":"` + strings.Repeat("A", 43) + `=","DigestTip":-1`} {
		m.input = `{"Bucket":"archive","Prefix":"exports/dmv/",` + bad + `}`
		name := regexp.MustCompile(`\w+`).FindString(bad)
		if _, err := m.run(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// The level that is reached is said in the report, with what would lift it.
func TestReportSaysHowFarTheProofReaches(t *testing.T) {
	var digest, tail string
	var tip int64
	for _, c := range []struct {
		name  string
		make  func(o *ledgergen.Options)
		input func() string // further members
		level int
		said  []string // by the line of the terminal and the finding
	}{
		{"all", nil, func() string { return fmt.Sprintf(`"Digest":%q,"DigestTip":%d`, digest, tip) }, 3, []string{"level 3 of 3", "leads to the digest", "every revision was hashed again"}},
		{"the digest in hex, without its tip", nil, func() string { return `"Digest":"` + tail + `"` }, 3, []string{"level 3 of 3"}},
		{"no digest", nil, nil, 1, []string{"level 1 of 3", "which no digest covers", "NOTE: The archive is proven to level 1 of 3"}},
		{"the chain alone", nil, func() string { return fmt.Sprintf(`"Verify":"chain","Digest":[%q],"DigestTip":%d`, digest, tip) }, 2, []string{"level 2 of 3", "unchecked"}},
		{
			"a digest behind the end", func(o *ledgergen.Options) { o.UntilBlock = 30 }, func() string { return fmt.Sprintf(`"Digest":%q,"DigestTip":%d`, digest, tip) }, 1,
			[]string{"level 1 of 3", "WARNING", "the archive with block 29", "Next: To prove more: add the export of blocks 30 to"},
		},
		{
			"not from the beginning", func(o *ledgergen.Options) { o.FromBlock = 30 }, func() string { return fmt.Sprintf(`"Since":30,"Digest":%q,"DigestTip":%d`, digest, tip) }, 1,
			[]string{"level 1 of 3", "WARNING", "the archive begins with block 30"},
		},
		{"JSON", func(o *ledgergen.Options) { o.Format = ledgergen.JSON }, func() string { return fmt.Sprintf(`"Digest":%q,"DigestTip":%d`, digest, tip) }, -1, []string{"level "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := proving
			if c.make != nil {
				c.make(&o)
			}
			m := newMachine(t, whole)
			m.segmentBytes = 5000
			l := m.generate(o)
			digest, tail, tip = l.Digest.String(), fmt.Sprintf("%x", l.Digest.Bytes()), l.Tip
			if c.input != nil {
				m.input = strings.TrimSuffix(whole, "}") + "," + c.input() + "}"
			}
			_, rep := m.mustRun()
			if c.level >= 0 && rep.Proof.Level != c.level {
				t.Errorf("level %d, want %d", rep.Proof.Level, c.level)
			}
			text := strings.Join(strings.Fields(rep.Text(100)), " ")
			for _, s := range c.said {
				if !strings.Contains(text, s) {
					t.Errorf("the report does not say %q:\n%s", s, rep.Text(100))
				}
			}
		})
	}
}

// However a ledger is cut into items, segments and calls, the proof is the same.
func TestProofDoesNotKnowSegments(t *testing.T) {
	var want *proof.Conclusion
	for _, segment := range []int64{0, 1, 3000} {
		for _, late := range []bool{false, true} {
			m := newMachine(t, whole)
			m.segmentBytes = segment
			if late {
				m.late = func() bool { return true }
			}
			m.input = held(m.generate(ledgergen.Options{Seed: 3, Documents: 120, Prefix: prefix, Exports: 2, BlocksPerObject: 7}))
			out, _ := m.mustRun()
			got := m.readProof(out.LoadId).Conclusion
			if want == nil {
				want = got
			}
			a, _ := json.Marshal(want)
			b, _ := json.Marshal(got)
			if got.Level != 3 || string(a) != string(b) {
				t.Errorf("segments of %d bytes, handed on %t:\n%s\nwant\n%s", segment, late, b, a)
			}
		}
	}
}
