package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// An outcome is what an archive came to.
type outcome struct {
	findings   []proof.Finding
	refused    error // by the journal's reader
	broken     error // by recording or stitching
	conclusion *proof.Conclusion
}

// prove reads, verifies, stitches and concludes.
func prove(objects [][]byte, evidence []proof.Evidence) outcome {
	var o outcome
	var v proof.Verifier
	r := proof.Recorder{}
	for _, e := range evidence {
		r.Marks = append(r.Marks, e.Marks()...)
	}
	for i, body := range objects {
		reader, err := journal.NewReader(bytes.NewReader(body), journal.Options{Object: fmt.Sprintf("object%d", i)})
		for err == nil {
			var b *journal.Block
			if b, err = reader.Next(); err != nil {
				break
			}
			c := v.Verify(b)
			o.findings = append(o.findings, slices.Clone(c.Findings)...)
			if o.broken == nil {
				o.broken = r.Add(b, c)
			}
		}
		if err != io.EOF {
			o.refused = err
			return o
		}
	}
	chain, err := stitch(r.Runs())
	if err != nil {
		o.broken = err
		return o
	}
	o.conclusion = chain.Conclude(evidence)
	return o
}

// damage returns the worst finding of a block.
func (o *outcome) damage(block int64) (worst proof.Finding) {
	for _, f := range o.findings {
		if f.Block == block && f.Verdict >= worst.Verdict {
			worst = f
		}
	}
	return worst
}

// A ledgerText is a ledger in Ion text, block by block.
type ledgerText struct {
	lines  []string
	digest []proof.Evidence
}

func textLedger(t testing.TB, seed uint64) ledgerText {
	ledger, objects := generate(t, ledgergen.Options{Seed: seed, Documents: 200, Format: ledgergen.IonText})
	text := strings.TrimSuffix(string(bytes.Join(objects, nil)), "\n")
	return ledgerText{strings.Split(text, "\n"), []proof.Evidence{{Digest: ledger.Digest, Strand: ledger.Strand, Tip: ledger.Tip}}}
}

// find returns the first block whose text matches.
func (l *ledgerText) find(t testing.TB, pattern string) int {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for i, line := range l.lines {
		if re.MatchString(line) {
			return i
		}
	}
	t.Fatalf("no block has %s", pattern)
	return 0
}

func (l *ledgerText) prove(lines []string) outcome {
	return prove([][]byte{[]byte(strings.Join(lines, "\n"))}, l.digest)
}

// bump changes the last letter or digit of s to the next one.
func bump(s string) string {
	b := []byte(s)
	for i := len(b) - 1; i >= 0; i-- {
		switch c := b[i]; {
		case c >= '0' && c < '9' || c >= 'a' && c < 'z' || c >= 'A' && c < 'Z':
			b[i]++
			return string(b)
		case c == '9':
			b[i] = '8'
			return string(b)
		}
	}
	return s + "x"
}

const blobText = `\{\{[^}]{44}\}\}`

func TestTamperingIsFoundWherever(t *testing.T) {
	l := textLedger(t, 3)
	if o := l.prove(l.lines); o.conclusion == nil || o.conclusion.Level != 3 || len(o.findings) > 0 {
		t.Fatalf("the untouched archive: %+v", o)
	}
	rich := `dataHash:.*data:\{VIN`                                                        // a block with a redacted and another revision
	deleting := `hash:` + blobText + `,metadata:\{id:"[^"]*",version:[1-9]`                // hash and metadata only
	silent := `entriesHashList:\[` + blobText + `,\{\{\}\},` + blobText + `,\{\{\}\}\]\}$` // no transactionInfo
	cases := []struct {
		name, block string // pattern of the block
		field       string // pattern; the group is what is changed
		to          string // what the group becomes; "": bumped
		verdict     proof.Verdict
		what        string
	}{
		{"data", rich, `data:\{VIN:"([^"]*)"`, "", proof.Tampered, "hash"},
		{"a member of data removed", rich, `data:\{(VIN:"[^"]*",)`, "-", proof.Tampered, "hash"},
		{"a member of data added", rich, `data:\{()VIN`, "extra:1,", proof.Tampered, "hash"},
		{"a type within data", rich, `data:\{VIN:("[^"]*")`, "'symbol'", proof.Tampered, "hash"},
		{"data removed", rich, `(data:\{VIN[^{}]*\},)`, "-", proof.Unattested, "data"},
		{"data replaced by a hash", rich, `(data:\{VIN[^{}]*\})`, "dataHash:{{AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}}", proof.Tampered, "hash"},
		{"dataHash", rich, `dataHash:\{\{([^}]{20})`, "", proof.Tampered, "hash"},
		{"dataHash removed", rich, `(dataHash:` + blobText + `,)`, "-", proof.Unattested, "data"},
		{"a dataHash beside data", rich, `()data:\{VIN`, "dataHash:{{AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}},", proof.Tampered, "dataHash"},
		{"metadata.id", rich, `metadata:\{id:"([^"]*)"`, "", proof.Tampered, "hash"},
		{"metadata.version", rich, `metadata:\{id:"[^"]*",version:(\d)`, "", proof.Tampered, "hash"},
		{"metadata.txTime", rich, `txTime:[^,]*\.(\d)`, "0", proof.Tampered, "hash"},
		{"metadata.txId", rich, `txId:"([^"]*)"`, "", proof.Tampered, "hash"},
		{"metadata extended", rich, `metadata:\{()id`, "more:1,", proof.Tampered, "hash"},
		{"metadata removed", rich, `(,metadata:\{[^}]*\})`, "-", proof.Unattested, "metadata"},
		{"revision.hash", rich, `\},hash:\{\{([^}]{20})`, "", proof.Tampered, ""},
		{"revision.hash removed", rich, `(hash:` + blobText + `,)data:\{VIN`, "-", proof.Unattested, "hash"},
		{"revision removed", rich, `revisions:\[(\{blockAddress.*?\}\},)\{blockAddress`, "-", proof.Tampered, "revisions' root"},
		{"a deletion's version", deleting, `hash:` + blobText + `,metadata:\{id:"[^"]*",version:(\d)`, "", proof.Unattested, "data"},
		{"statement", rich, `statement:"([^"]*)"`, "", proof.Tampered, "transactionInfo"},
		{"startTime", rich, `startTime:([^,]*)Z`, "", proof.Tampered, "transactionInfo"},
		{"statementDigest", rich, `statementDigest:\{\{([^}]{20})`, "", proof.Tampered, "transactionInfo"},
		{"tableName", rich, `tableName:"([^"]*)"`, "", proof.Tampered, "transactionInfo"},
		{"tableId", rich, `tableId:"([^"]*)"`, "", proof.Tampered, "transactionInfo"},
		{"a document's statements", rich, `statements:\[(\d)`, "", proof.Tampered, "transactionInfo"},
		{"transactionInfo removed", rich, `(transactionInfo:.*\}\},)revisions`, "-", proof.Unattested, "transactionInfo"},
		{"revisions removed", rich, `(,revisions:.*\])`, "-", proof.Unattested, "revisions"},
		{"redactionInfo", `redactionInfo`, `redactionInfo:.*version:(\d)`, "", proof.Tampered, "redactionInfo"},
		{"redactionInfo's document", `redactionInfo`, `redactionInfo:.*documentId:"([^"]*)`, "", proof.Tampered, "redactionInfo"},
		{"redactionInfo removed", `redactionInfo`, `(,redactionInfo:.*\])`, "-", proof.Unattested, "redactionInfo"},
		{"entriesHash", rich, `entriesHash:\{\{([^}]{20})`, "", proof.Tampered, ""},
		{"entriesHash removed", rich, `(entriesHash:` + blobText + `,)`, "-", proof.Unattested, "entriesHash"},
		{"entriesHashList 0", rich, `entriesHashList:\[\{\{([^}]{20})`, "", proof.Tampered, "entriesHash"},
		{"entriesHashList 1", rich, `entriesHashList:\[` + blobText + `,\{\{([^}]{20})`, "", proof.Tampered, ""},
		{"entriesHashList 2", rich, `entriesHashList:\[` + blobText + `,` + blobText + `,\{\{([^}]{20})`, "", proof.Tampered, "entriesHash"},
		{"entriesHashList 3", rich, `entriesHashList:\[` + blobText + `,` + blobText + `,` + blobText + `,\{\{([^}]{20})`, "", proof.Tampered, ""},
		{"entriesHashList removed", rich, `(entriesHashList:\[[^\]]*\],)`, "-", proof.Unattested, "entriesHashList"},
		{"blockHash", rich, `blockHash:\{\{([^}]{20})`, "", proof.Tampered, "blockHash"},
		{"previousBlockHash", rich, `previousBlockHash:\{\{([^}]{20})`, "", proof.Tampered, "blockHash"},
		{"previousBlockHash removed", rich, `(previousBlockHash:` + blobText + `,)`, "-", proof.Tampered, "blockHash"},
		{"a transactionInfo where none was", silent, `()\}$`, `,transactionInfo:{statements:[]}`, proof.Tampered, "transactionInfo"},
		{"revisions where none were", silent, `()\}$`, `,revisions:[{hash:{{AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}}}]`, proof.Tampered, "revisions' root"},
		// What no hash covers has to agree with what hashes cover.
		{"transactionId", rich, `transactionId:"([^"]*)"`, "", proof.Inconsistent, "metadata.txId"},
		{"blockTimestamp", rich, `blockTimestamp:(\d{4})`, "2001", proof.Inconsistent, "metadata.txTime"},
		{"revision.blockAddress", rich, `revisions:\[\{blockAddress:\{strandId:"[^"]*",sequenceNo:(\d+)`, "", proof.Inconsistent, "blockAddress"},
		{"revision.blockAddress removed", rich, `revisions:\[\{(blockAddress:\{[^}]*\},)`, "-", proof.Inconsistent, "blockAddress"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			at := l.find(t, c.block)
			re := regexp.MustCompile(c.field)
			m := re.FindStringSubmatchIndex(l.lines[at])
			if m == nil {
				t.Fatalf("block %d has no %s", at, c.field)
			}
			to := c.to
			switch to {
			case "":
				to = bump(l.lines[at][m[2]:m[3]])
			case "-":
				to = ""
			}
			lines := slices.Clone(l.lines)
			lines[at] = lines[at][:m[2]] + to + lines[at][m[3]:]
			o := l.prove(lines)
			f := o.damage(int64(at))
			if f.Verdict != c.verdict || c.what != "" && !slices.ContainsFunc(o.findings, func(f proof.Finding) bool {
				return f.Block == int64(at) && f.What == c.what && f.Verdict == c.verdict
			}) {
				t.Errorf("want %s in %q, got %s, refused %v, broken %v", c.verdict, c.what, &f, o.refused, o.broken)
			}
			for _, f := range o.findings {
				if f.Block != int64(at) && (f.Block != int64(at)+1 || c.name != "blockTimestamp") {
					t.Errorf("another block is blamed: %s", &f)
				}
			}
			if o.conclusion != nil && o.conclusion.Level == 3 {
				t.Errorf("the archive is still of level 3: %+v", o.conclusion)
			}
			if c.verdict == proof.Tampered && o.broken == nil && (o.conclusion == nil || o.conclusion.Err() == nil) {
				t.Error("nothing stops")
			}
			if c.verdict == proof.Tampered && o.broken == nil {
				// The words that a load ends with.
				for _, word := range []string{"level 0 of 3", "tampered: block " + fmt.Sprint(at), "object0"} {
					if !strings.Contains(o.conclusion.String(), word) {
						t.Errorf("no %q in %s", word, o.conclusion)
					}
				}
			}
		})
	}
}

func TestBlocksOutOfPlaceAreFound(t *testing.T) {
	l, other := textLedger(t, 3), textLedger(t, 4)
	renumber := func(line string, from, to int) string {
		return strings.ReplaceAll(line, fmt.Sprintf("sequenceNo:%d}", from), fmt.Sprintf("sequenceNo:%d}", to))
	}
	var overlap *proof.OverlapError
	var broken *proof.BrokenChainError
	var strands *proof.StrandsError
	cases := []struct {
		name  string
		alter func(lines []string) []string
		check func(o outcome) bool
	}{
		{"swapped", func(s []string) []string { s[20], s[21] = s[21], s[20]; return s }, func(o outcome) bool {
			// In another order they are what they were: runs are sorted.
			return o.broken == nil && o.conclusion.Level == 3
		}},
		{"swapped and renumbered", func(s []string) []string {
			s[20], s[21] = renumber(s[21], 21, 20), renumber(s[20], 20, 21)
			return s
		}, func(o outcome) bool { return errors.As(o.broken, &broken) && broken.Block == 20 }},
		{"removed", func(s []string) []string { return slices.Delete(s, 20, 22) }, func(o outcome) bool {
			return o.conclusion != nil && o.conclusion.Level == 0 && slices.ContainsFunc(o.conclusion.Open, func(p proof.Open) bool { return p.What == "blocks 20 to 21" && p.Lift != "" })
		}},
		{"removed and closed up", func(s []string) []string {
			s = slices.Delete(s, 20, 21)
			for i := 20; i < len(s); i++ {
				s[i] = renumber(s[i], i+1, i)
			}
			return s
		}, func(o outcome) bool { return errors.As(o.broken, &broken) && broken.Block == 20 }},
		{"twice", func(s []string) []string { return slices.Insert(s, 20, s[20]) }, func(o outcome) bool {
			return errors.As(o.broken, &overlap) && overlap.First == 20
		}},
		{"of another ledger", func(s []string) []string { s[20] = other.lines[20]; return s }, func(o outcome) bool {
			return errors.As(o.broken, &strands)
		}},
		{"of another ledger under this one's strand", func(s []string) []string {
			strand := regexp.MustCompile(`strandId:"[^"]*"`)
			s[20] = strand.ReplaceAllString(other.lines[20], strand.FindString(s[20]))
			return s
		}, func(o outcome) bool { return errors.As(o.broken, &broken) && broken.Block == 20 }},
		{"renumbered", func(s []string) []string { s[20] = renumber(s[20], 20, 500); return s }, func(o outcome) bool {
			return o.conclusion != nil && o.conclusion.Level == 0 && len(o.conclusion.Open) > 1
		}},
		{"first ones cut off", func(s []string) []string { return s[5:] }, func(o outcome) bool {
			return o.conclusion != nil && o.conclusion.Level == 1 && strings.Contains(o.conclusion.Open[0].Why, "begins with block 5")
		}},
		{"last ones cut off", func(s []string) []string { return s[:len(s)-3] }, func(o outcome) bool {
			return o.conclusion != nil && o.conclusion.Level == 1 && strings.Contains(o.conclusion.Open[0].Why, "cut off")
		}},
		{"all rewritten", func([]string) []string {
			strand := regexp.MustCompile(`strandId:"[^"]*"`)
			s := slices.Clone(other.lines)
			for i := range s {
				s[i] = strand.ReplaceAllString(s[i], strand.FindString(l.lines[0]))
			}
			return s
		}, func(o outcome) bool {
			return o.conclusion != nil && o.conclusion.Level == 0 && o.conclusion.Err() != nil
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := l.prove(c.alter(slices.Clone(l.lines)))
			if !c.check(o) {
				t.Errorf("broken %v, refused %v, conclusion %+v", o.broken, o.refused, o.conclusion)
			}
		})
	}
}

func TestARevisionMovedToAnotherBlockIsFound(t *testing.T) {
	l := textLedger(t, 3)
	from := l.find(t, `dataHash:.*data:\{VIN`)
	re := regexp.MustCompile(`revisions:\[(\{blockAddress.*?\}\}),\{blockAddress`)
	m := re.FindStringSubmatchIndex(l.lines[from])
	moved := l.lines[from][m[2]:m[3]]
	to := 0
	for i := from + 1; i < len(l.lines); i++ {
		if strings.Contains(l.lines[i], ",revisions:[{blockAddress") && !strings.Contains(l.lines[i], "redactionInfo") {
			to = i
			break
		}
	}
	lines := slices.Clone(l.lines)
	lines[from] = lines[from][:m[2]] + lines[from][m[3]+1:]
	lines[to] = strings.Replace(lines[to], ",revisions:[", ",revisions:["+moved+",", 1)
	o := l.prove(lines)
	for _, block := range []int{from, to} {
		if f := o.damage(int64(block)); f.Verdict != proof.Tampered {
			t.Errorf("block %d: %s", block, &f)
		}
	}
	if o.conclusion.Err() == nil {
		t.Error("nothing stops")
	}
}

func TestRevisionsThatNothingIntactHoldsAreUnattested(t *testing.T) {
	l := textLedger(t, 3)
	at := l.find(t, `dataHash:.*data:\{VIN`)
	revisions := int64(strings.Count(l.lines[at], "metadata:{"))
	for _, field := range []string{`blockHash:\{\{([^}]{20})`, `entriesHashList:\[\{\{([^}]{20})`, `entriesHashList:\[` + blobText + `,\{\{([^}]{20})`} {
		m := regexp.MustCompile(field).FindStringSubmatchIndex(l.lines[at])
		lines := slices.Clone(l.lines)
		lines[at] = lines[at][:m[2]] + bump(lines[at][m[2]:m[3]]) + lines[at][m[3]:]
		// Their own hashes are true: but in what block?
		o := prove([][]byte{[]byte(strings.Join(lines[at:at+1], "\n"))}, nil)
		if got := o.conclusion.Revisions[proof.Unattested]; got != revisions {
			t.Errorf("%s: %d of %d revisions are unattested", field, got, revisions)
		}
	}
}

func TestDataRemovedIsTamperingWhereOtherDeletionsShowTheirRule(t *testing.T) {
	l := textLedger(t, 3)
	at := l.find(t, `dataHash:.*data:\{VIN`)
	lines := slices.Clone(l.lines)
	m := regexp.MustCompile(`(data:\{VIN[^{}]*\},)`).FindStringIndex(lines[at])
	lines[at] = lines[at][:m[0]] + lines[at][m[1]:]
	deletion := l.find(t, `revisions:\[\{blockAddress:\{[^}]*\},hash:`+blobText+`,metadata:[^\]]*\]\}$`)
	for name, lines := range map[string][]string{"one run": lines, "runs with a gap": {lines[at], lines[deletion]}} {
		c := prove([][]byte{[]byte(strings.Join(lines, "\n"))}, nil).conclusion
		if c.Revisions[proof.Tampered] != 1 || c.Blocks[proof.Tampered] != 1 || c.Revisions[proof.Unattested]+c.Blocks[proof.Unattested] != 0 || c.Err() == nil {
			t.Errorf("%s: %+v", name, c)
		}
		for _, word := range []string{"level 0 of 3", fmt.Sprintf("tampered: block %d, revision ", at), " of document ", "in object object0: data is absent", "other deletion"} {
			if !strings.Contains(c.String(), word) {
				t.Errorf("%s: no %q in %s", name, word, c)
			}
		}
	}
	// Where nothing shows how the ledger hashes deletions, it may be one.
	c := prove([][]byte{[]byte(lines[at])}, nil).conclusion
	if c.Revisions[proof.Unattested] != 1 || c.Blocks[proof.Unattested] != 1 || c.Err() != nil || c.Level == 3 {
		t.Errorf("no other deletion: %+v", c)
	}
}
