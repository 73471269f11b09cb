package ledgergen_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/proof"

	ionlib "github.com/amazon-ion/ion-go/ion"
	"github.com/google/go-cmp/cmp"
)

// An audit recomputes a ledger from what another library reads.
type audit struct {
	blocks     []node
	tables     map[string]*ledgergen.Table
	names      map[string]map[string]bool // table name -> ids
	versions   map[string]int64           // last version of a document
	tableOf    map[string]string
	redacted   map[string]int64 // document -> version that is redacted
	redactions int
	seen       map[string]int // rare things met
	tree       proof.Tree
}

func (a *audit) see(what string, is bool) {
	if is {
		a.seen[what]++
	}
}

func newAudit(blocks []node) *audit {
	return &audit{
		blocks: blocks, tables: map[string]*ledgergen.Table{}, names: map[string]map[string]bool{}, versions: map[string]int64{},
		tableOf: map[string]string{}, redacted: map[string]int64{}, seen: map[string]int{},
	}
}

func (a *audit) run(t *testing.T) {
	t.Helper()
	var previous proof.Hash
	last := ""
	for i := range a.blocks {
		b := &a.blocks[i]
		if got := b.at(t, "blockAddress", "sequenceNo").int(t); got != int64(i) {
			t.Fatalf("block %d has the sequence number %d", i, got)
		}
		at := b.at(t, "blockTimestamp").text
		if at < last {
			t.Errorf("block %d: time goes back from %s to %s", i, last, at)
		}
		a.see("same millisecond", at == last)
		last = at
		a.block(t, b, previous, int64(i))
		previous = b.at(t, "blockHash").hash(t)
		a.tree.Add(previous)
	}
}

func (a *audit) block(t *testing.T, b *node, previous proof.Hash, sequence int64) {
	t.Helper()
	same := func(what string, got, want proof.Hash) {
		t.Helper()
		if got != want {
			t.Errorf("block %d: %s is %v, want %v", sequence, what, got, want)
		}
	}
	same("previousBlockHash", b.at(t, "previousBlockHash").hash(t), previous)
	var entries []proof.Hash
	for i := range b.at(t, "entriesHashList").children {
		entries = append(entries, b.at(t, "entriesHashList").children[i].node.hash(t))
	}
	same("entriesHash", b.at(t, "entriesHash").hash(t), proof.EntriesHash(entries))
	same("blockHash", b.at(t, "blockHash").hash(t), proof.BlockHash(proof.EntriesHash(entries), previous))

	var hashes []proof.Hash
	info := b.find("transactionInfo")
	a.see("no transactionInfo", info == nil)
	if info == nil {
		same("entry 3", entries[3], proof.Hash{})
	} else {
		same("entry 3", entries[3], info.ionHash(t))
		for _, s := range info.at(t, "statements").children {
			said := s.node.at(t, "statement").text
			a.see(strings.Join(strings.Fields(said)[:2], " "), true)
		}
	}
	if r := b.find("redactionInfo"); r != nil {
		same("entry 4", entries[4], r.ionHash(t))
		for _, what := range r.at(t, "revisions").children {
			id, version := what.node.at(t, "documentId").text, what.node.at(t, "version").int(t)
			if v, ok := a.redacted[id]; !ok || v != version || a.versions[id] <= version {
				t.Errorf("block %d redacts version %d of document %s, which is at %d", sequence, version, id, a.versions[id])
			}
			if got := what.node.at(t, "tableId").text; got != a.tableOf[id] {
				t.Errorf("block %d redacts document %s in table %s, want %s", sequence, id, got, a.tableOf[id])
			}
			delete(a.redacted, id)
			a.redactions++
		}
	} else if len(entries) != 4 {
		t.Errorf("block %d: %d entries", sequence, len(entries))
	}
	revisions := b.find("revisions")
	a.see("no revisions", revisions == nil)
	if revisions != nil {
		for i := range revisions.children {
			hashes = append(hashes, a.revision(t, b, &revisions.children[i].node))
		}
	}
	same("entry 1", entries[1], proof.Merkle(hashes))
}

func (a *audit) revision(t *testing.T, b, r *node) proof.Hash {
	t.Helper()
	hash := r.at(t, "hash").hash(t)
	metadata := r.find("metadata")
	if metadata == nil {
		a.see("hash-only revision", true)
		return hash
	}
	id, version := metadata.at(t, "id").text, metadata.at(t, "version").int(t)
	said := b.at(t, "transactionInfo", "documents", id)
	name, table := said.at(t, "tableName").text, said.at(t, "tableId").text
	for i, s := range said.at(t, "statements").children {
		a.see("statement named twice", i > 0 && s.node.int(t) == said.at(t, "statements").children[i-1].node.int(t))
	}
	if r.at(t, "blockAddress").json() != b.at(t, "blockAddress").json() || metadata.at(t, "txId").text != b.at(t, "transactionId").text {
		t.Errorf("revision %d of document %s does not name its block or transaction", version, id)
	}
	if tx, at := metadata.at(t, "txTime").text, b.at(t, "blockTimestamp").text; tx > at {
		t.Errorf("revision %d of document %s commits at %s, after its block at %s", version, id, tx, at)
	}
	if last, ok := a.versions[id]; ok && version != last+1 || !ok && version != 0 {
		t.Errorf("document %s: version %d follows %d", id, version, last)
	}
	a.versions[id], a.tableOf[id] = version, table
	if a.tables[table] == nil {
		a.tables[table] = &ledgergen.Table{Name: name, ID: table}
		if a.names[name] == nil {
			a.names[name] = map[string]bool{}
		}
		a.names[name][table] = true
	}
	counts := a.tables[table]
	counts.Revisions++
	if version == 0 {
		counts.Current++
	}
	var data proof.Hash
	switch d := r.find("data"); {
	case r.find("dataHash") != nil:
		data = r.at(t, "dataHash").hash(t)
		counts.Redacted++
		a.redacted[id] = version
	case d != nil:
		data = d.ionHash(t)
	default:
		counts.Current--
		counts.Deleted++
		data = (&node{kind: ionlib.NullType, null: true}).ionHash(t)
	}
	if want := proof.RevisionHash(metadata.ionHash(t), data); hash != want {
		t.Errorf("document %s, version %d: hash is %v, want %v", id, version, hash, want)
	}
	return hash
}

func TestEveryHashIsTrueAndTheOracleCountsRight(t *testing.T) {
	for _, o := range []ledgergen.Options{
		{Seed: 1, Documents: 2000},
		{Seed: 2, Documents: 300, Format: ledgergen.IonText, Exports: 3},
		{Seed: 3, Documents: 1},
		{Seed: 4},
		{Seed: 5, Documents: 200, Unmappable: 7, Format: ledgergen.IonText},
	} {
		archive := generate(t, o)
		a := newAudit(archive.blocks(t))
		a.run(t)
		l := archive.ledger
		for _, want := range l.Tables {
			got := a.tables[want.ID]
			if got == nil {
				got = &ledgergen.Table{Name: want.Name, ID: want.ID}
			}
			got.Active, got.Refused = want.Active, want.Refused
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Errorf("seed %d: oracle (-) and blocks (+) differ:\n%s", o.Seed, diff)
			}
		}
		if len(a.redacted) > 0 {
			t.Errorf("seed %d: redacted without a redaction block: %v", o.Seed, a.redacted)
		}
		last := &a.blocks[len(a.blocks)-1]
		if l.Blocks != int64(len(a.blocks)) || l.LastBlock != l.Blocks-1 || l.Tip != l.LastBlock || l.LastHash != last.at(t, "blockHash").hash(t) {
			t.Errorf("seed %d: oracle ends at %d of %d blocks, %v", o.Seed, l.LastBlock, l.Blocks, l.LastHash)
		}
		if l.Digest != a.tree.Root() {
			t.Errorf("seed %d: digest %v, want %v", o.Seed, l.Digest, a.tree.Root())
		}
		if o.Documents < 2000 {
			continue
		}
		inserted := int64(0)
		for _, table := range l.Tables {
			inserted += table.Current + table.Deleted
		}
		updates := l.Revisions() - inserted
		for _, table := range l.Tables {
			updates -= table.Deleted
		}
		if share := float64(updates) / float64(l.Revisions()); inserted != 2000 || share < 0.35 || share > 0.45 {
			t.Errorf("%d documents, %.2f of the revisions update, want 2000 and 0.40", inserted, share)
		}
		if len(a.names["DriversLicense"]) != 2 || a.redactions == 0 {
			t.Errorf("DriversLicense has the ids %v, %d redactions", a.names["DriversLicense"], a.redactions)
		}
		for _, what := range []string{
			"no transactionInfo", "no revisions", "hash-only revision", "statement named twice", "CREATE TABLE", "CREATE INDEX", "DROP TABLE",
			"EXEC REDACT_REVISION", "SELECT *", "DELETE FROM", "INSERT INTO", "UPDATE Person",
		} {
			if a.seen[what] == 0 {
				t.Errorf("seed %d: the ledger lacks %q", o.Seed, what)
			}
		}
		if a.seen["same millisecond"] < len(a.blocks)/5 {
			t.Errorf("only %d of %d blocks share their millisecond", a.seen["same millisecond"], len(a.blocks))
		}
	}
}

// The literal keeps a ledger's bytes the same from one version to the next;
// change it only with a reason.
func TestDigestOfAFixedLedger(t *testing.T) {
	got := generate(t, ledgergen.Options{Seed: 7, Documents: 500}).ledger.Digest.String()
	if want := "1p/wcNkRQveWzDfQWXfPSyavi/PULvE82kruCkTymRI="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSameOptionsMakeTheSameBytes(t *testing.T) {
	for _, o := range []ledgergen.Options{
		{Seed: 5, Documents: 400, Prefix: "a.b/c"},
		{Seed: 5, Documents: 400, Layout: ledgergen.AWSSample, Prefix: "copy/"},
	} {
		first, second := generate(t, o), generate(t, o)
		if diff := cmp.Diff(first.objects, second.objects); diff != "" {
			t.Errorf("%+v: %s", o, diff)
		}
		o.Seed++
		if generate(t, o).ledger.Digest == first.ledger.Digest {
			t.Error("another seed makes the same ledger")
		}
	}
}

func TestAllFormatsDescribeTheSameLedger(t *testing.T) {
	o := ledgergen.Options{Seed: 6, Documents: 600}
	binary := generate(t, o)
	o.Format = ledgergen.IonText
	text := generate(t, o)
	o.Format = ledgergen.JSON
	o.BlocksPerObject = 7
	lines := generate(t, o)
	if binary.ledger.Digest != text.ledger.Digest || binary.ledger.Digest != lines.ledger.Digest {
		t.Error("digests differ")
	}
	b, x, j := binary.blocks(t), text.blocks(t), lines.blocks(t)
	if len(b) != len(x) || len(b) != len(j) {
		t.Fatalf("%d, %d and %d blocks", len(b), len(x), len(j))
	}
	for i := range b {
		if b[i].ionHash(t) != x[i].ionHash(t) {
			t.Fatalf("block %d: binary %s\ntext %s", i, b[i].json(), x[i].json())
		}
		if got, want := j[i].json(), b[i].json(); got != want {
			t.Fatalf("block %d: JSON %s\nbinary %s", i, got, want)
		}
	}
}

func TestKeysAndManifestsOfTheRealLayout(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		a := generate(t, ledgergen.Options{Seed: 8, Documents: 900, Format: format, Exports: 2, Prefix: "arch.ive/q", BlocksPerObject: 20})
		read := readIon
		extension := "ion"
		if format == ledgergen.JSON {
			read, extension = readJSON, "json"
		}
		listed := map[string]bool{}
		hours := map[string]bool{}
		ends := ""
		for _, id := range a.ledger.ExportIDs {
			var started, completed *node
			for _, o := range a.objects {
				switch o.Key {
				case "arch.ive/q/" + id + ".started.manifest":
					started = &read(t, o.Body)[0]
				case "arch.ive/q/" + id + "." + a.ledger.Strand + ".completed.manifest":
					completed = &read(t, o.Body)[0]
				}
			}
			if started == nil || completed == nil {
				t.Fatalf("export %s lacks a manifest", id)
			}
			if got := started.at(t, "outputFormat").text; got != string(format) || started.at(t, "prefix").text != "arch.ive/q" {
				t.Errorf("started manifest: %s", started.json())
			}
			if from := started.at(t, "inclusiveStartTime").text; ends != "" && from != ends {
				t.Errorf("a window begins at %s, the one before ends at %s", from, ends)
			}
			ends = started.at(t, "exclusiveEndTime").text
			if !strings.HasSuffix(ends, ".000Z") {
				t.Errorf("a window ends at %s", ends)
			}
			for _, k := range completed.at(t, "keys").children {
				listed[k.node.text] = true
			}
		}
		next := int64(0)
		for _, o := range a.data() {
			blocks := read(t, o.Body)
			at := blocks[0].at(t, "blockTimestamp").text
			want := fmt.Sprintf("arch.ive/q/%s/%s/%s/%s/%s.%d-%d.%s", at[:4], at[5:7], at[8:10], at[11:13], a.ledger.Strand, next, next+int64(len(blocks))-1, extension)
			if o.Key != want || !listed[want] || len(blocks) > 20 {
				t.Errorf("object %s of %d blocks, want %s, listed: %v", o.Key, len(blocks), want, listed[want])
			}
			next += int64(len(blocks))
			hours[at[:13]] = true
		}
		if len(listed) != len(a.data()) || a.ledger.Objects != len(listed) || len(a.ledger.ExportIDs) != 2 || len(hours) < 2 {
			t.Errorf("%d keys listed, %d data objects, %d exports, %d hours", len(listed), len(a.data()), len(a.ledger.ExportIDs), len(hours))
		}
	}
}

func TestAWSSampleLeavesWhatTheSampleLeft(t *testing.T) {
	a := generate(t, ledgergen.Options{Seed: 9, Documents: 700, Layout: ledgergen.AWSSample, Prefix: "copied/here/"})
	l := a.ledger
	audit := newAudit(a.blocks(t))
	if len(l.ExportIDs) != 2 || l.Tip <= l.LastBlock || l.LastBlock != int64(len(audit.blocks)-1) {
		t.Fatalf("%d exports up to block %d of %d under tip %d", len(l.ExportIDs), l.LastBlock, len(audit.blocks), l.Tip)
	}
	for _, id := range l.ExportIDs {
		manifest := "copied/here/" + id + "." + l.Strand + ".completed.manifest"
		var proofs struct {
			Ledger, Digest, Export, LastBlockTimestamp string
			DigestTipAddress                           struct {
				StrandID   string `json:"strandId"`
				SequenceNo int64  `json:"sequenceNo"`
			}
			LastBlockNum int64
			Proof        []string
		}
		for _, o := range a.objects {
			if o.Key == manifest {
				for _, k := range readJSON(t, o.Body)[0].at(t, "keys").children {
					if !strings.HasPrefix(k.node.text, "journal/20") {
						t.Errorf("manifest lists %s", k.node.text)
					}
				}
			}
			if o.Key == manifest+id+"."+l.Strand+".proofs.json" {
				if err := json.Unmarshal(o.Body, &proofs); err != nil {
					t.Fatal(err)
				}
			}
		}
		if proofs.Export != id || proofs.DigestTipAddress.SequenceNo != l.Tip || proofs.DigestTipAddress.StrandID != l.Strand || proofs.Digest != l.Digest.String() {
			t.Fatalf("proofs of export %s: %+v", id, proofs)
		}
		block := &audit.blocks[proofs.LastBlockNum]
		at, err := time.Parse("2006-01-02T15:04:05.999999Z", proofs.LastBlockTimestamp)
		if err != nil || at.Format("2006-01-02T15:04:05.000Z") != block.at(t, "blockTimestamp").text {
			t.Errorf("last block of export %s at %s: %v", id, proofs.LastBlockTimestamp, err)
		}
		var path []proof.Hash
		for _, s := range proofs.Proof {
			path = append(path, (&node{text: s}).hash(t))
		}
		if got := proof.Fold(block.at(t, "blockHash").hash(t), path); got != l.Digest {
			t.Errorf("proof of block %d leads to %v, want %v", proofs.LastBlockNum, got, l.Digest)
		}
	}
	if whole := generate(t, ledgergen.Options{Seed: 9, Documents: 700}).ledger; whole.LastHash != l.LastHash {
		t.Error("the layout changes the ledger")
	}
	last := a.ledger.LastBlock
	if end := audit.blocks[last]; end.at(t, "blockHash").hash(t) != l.LastHash {
		t.Error("the oracle's last block is another")
	}
}

func TestPartsOfOneLedgerFitTogether(t *testing.T) {
	o := ledgergen.Options{Seed: 10, Documents: 300, Prefix: "p/"}
	whole := generate(t, o)
	o.UntilBlock = 60
	head := generate(t, o)
	o.FromBlock, o.UntilBlock = 40, 0
	tail := generate(t, o)
	if head.ledger.Digest != whole.ledger.Digest || tail.ledger.Digest != whole.ledger.Digest || head.ledger.Revisions() != whole.ledger.Revisions() {
		t.Error("a part is of another ledger")
	}
	all, h, l := whole.blocks(t), head.blocks(t), tail.blocks(t)
	if len(h) != 60 || len(l) != len(all)-40 || head.ledger.LastBlock != 59 {
		t.Fatalf("parts of %d and %d blocks of %d", len(h), len(l), len(all))
	}
	for i := 40; i < 60; i++ {
		if h[i].json() != all[i].json() || l[i-40].json() != all[i].json() {
			t.Errorf("block %d differs", i)
		}
	}
	keys := map[string]bool{}
	for _, o := range head.objects {
		keys[o.Key] = true
	}
	for _, o := range tail.objects {
		if keys[o.Key] {
			t.Errorf("both parts have a %s", o.Key)
		}
	}
}

func TestMemoryStaysFlatAsTheLedgerGrows(t *testing.T) {
	peak := func(documents int) uint64 {
		var peak uint64
		n := 0
		_, err := ledgergen.Generate(ledgergen.Options{Seed: 12, Documents: documents}, func(ledgergen.Object) error {
			if n++; n%(documents/1000) == 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return peak
	}
	small, large := peak(6000), peak(60_000)
	t.Logf("live memory: %d KiB for 6,000 documents, %d KiB for 60,000", small>>10, large>>10)
	if float64(large) > 1.2*float64(small) {
		t.Errorf("ten times the documents take %d bytes instead of %d", large, small)
	}
}

func TestGenerateStopsWhenWriteFails(t *testing.T) {
	full := errors.New("disk full")
	n := 0
	_, err := ledgergen.Generate(ledgergen.Options{Documents: 1000, BlocksPerObject: 10}, func(ledgergen.Object) error { n++; return full })
	if !errors.Is(err, full) || n != 1 {
		t.Errorf("%d writes, %v", n, err)
	}
}

func TestGenerateRefusesUnknownOptions(t *testing.T) {
	for _, o := range []ledgergen.Options{{Format: "XML"}, {Layout: "gcp"}, {Documents: -1}, {FromBlock: -5}, {BlocksPerObject: -1}} {
		if _, err := ledgergen.Generate(o, func(ledgergen.Object) error { return nil }); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		b.Run(string(format), func(b *testing.B) {
			var revisions, size int64
			for b.Loop() {
				l, err := ledgergen.Generate(ledgergen.Options{Seed: 1, Documents: 10_000, Format: format}, func(o ledgergen.Object) error {
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				revisions, size = revisions+l.Revisions(), l.Bytes
			}
			b.SetBytes(size)
			b.ReportMetric(float64(revisions)/b.Elapsed().Seconds(), "revisions/s")
		})
	}
}

// An early export has the data that a later one has the hash of; nothing else
// differs.
func TestUnredactedExportHasTheDataBehindTheHashes(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		late := generate(t, ledgergen.Options{Seed: 3, Documents: 200, Format: format})
		early := generate(t, ledgergen.Options{Seed: 3, Documents: 200, Format: format, Unredacted: true})
		if early.ledger.Digest != late.ledger.Digest || slices.Equal(early.ledger.ExportIDs, late.ledger.ExportIDs) {
			t.Fatalf("%s: got digest %x of exports %s, then %x of exports %s", format, early.ledger.Digest, early.ledger.ExportIDs, late.ledger.Digest, late.ledger.ExportIDs)
		}
		got, want := early.blocks(t), late.blocks(t)
		redacted := int64(0)
		for i := range want {
			revisions := want[i].find("revisions")
			if revisions == nil {
				continue
			}
			for k := range revisions.children {
				r := &revisions.children[k].node
				if r.find("dataHash") == nil {
					continue
				}
				redacted++
				was := &got[i].at(t, "revisions").children[k].node
				if was.find("dataHash") != nil || was.at(t, "hash").json() != r.at(t, "hash").json() {
					t.Errorf("%s: block %d: got %s before the redaction, %s after it", format, i, was.json(), r.json())
				}
				if format != ledgergen.JSON && was.at(t, "data").ionHash(t) != r.at(t, "dataHash").hash(t) {
					t.Errorf("%s: block %d: dataHash is not that of %s", format, i, was.at(t, "data").json())
				}
			}
		}
		sum := int64(0)
		for _, x := range early.ledger.Tables {
			sum += x.Redacted
		}
		if redacted == 0 || redacted != sum {
			t.Errorf("%s: got %d redacted revisions, the oracle counts %d", format, redacted, sum)
		}
	}
}
