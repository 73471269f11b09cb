package ledgergen

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"godwit/internal/ion"
	"godwit/internal/proof"
)

// A Journal is a whole ledger that can be asked, block by block and for any
// moment of its life, as QLDB could. Its blocks lie in a file without a name,
// so that nothing is left behind by a crash; memory holds an index entry per
// block and the texts of document ids. Its methods may be called at the same
// time.
//
// Positions in the ledger are sequence numbers. A tip is the last block that
// there is at some moment, so a digest at a tip covers tip+1 blocks.
type Journal struct {
	options Options
	strand  string
	whole   Ledger // the oracle at the end
	file    *os.File
	symbols ion.Writer // of all blocks; only read once the ledger is written
	index   []entry
	levels  [][]proof.Hash // levels[k][i]: root over the 2^k blocks from i*2^k on
	later   int64          // first block of what Options.Later adds
}

// An entry is where a block lies, and when it was made.
type entry struct {
	offset int64
	size   int32
	at     int64 // in milliseconds since 1970
}

// A Block is one block of a Journal.
type Block struct {
	Sequence  int64
	At        time.Time // block timestamp, in UTC
	Hash      proof.Hash
	Revisions []Revision // of documents, in the block's order
	value     value
	previous  proof.Hash
	entries   []proof.Hash
}

// A Revision is what one transaction made of one document.
type Revision struct {
	DocumentID string
	Version    int64
	Hash       proof.Hash
	index      int // among all revisions of the block
}

// NewJournal makes the ledger of o; what o says of exports, but for
// BlocksPerObject, does not matter. Folder takes the file, "" is the system's
// folder for such files. Close it after use.
func NewJournal(o Options, folder string) (*Journal, error) {
	o.Layout = QLDB
	if err := o.complete(); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(folder, "godwit-ledger-")
	if err != nil {
		return nil, fmt.Errorf("make the ledger's file: %w", err)
	}
	j := &Journal{options: o, file: file}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("make the ledger's file: %w", err), j.Close())
	}
	g := newGenerator(o)
	j.strand = g.chain.strand
	to := bufio.NewWriterSize(file, 1<<20)
	var offset int64
	var buf []byte
	g.emit = func(b *block, _ float64) (err error) {
		b.value.write(&j.symbols)
		if buf, err = j.symbols.AppendValues(buf[:0]); err != nil {
			return fmt.Errorf("write block %d: %w", b.sequence, err)
		}
		j.index = append(j.index, entry{offset, int32(len(buf)), b.at.UnixMilli()}) // a block has a few megabytes at most
		offset += int64(len(buf))
		j.addLeaf(b.hash)
		_, err = to.Write(buf)
		return err
	}
	err = g.run()
	if err == nil {
		err = to.Flush()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("generate ledger: %w", err), j.Close())
	}
	j.whole, j.later = j.oracle(g), j.Len()
	if g.later > 0 {
		j.later = g.later
	}
	return j, nil
}

// Close frees the file. What is called later fails.
func (j *Journal) Close() error { return j.file.Close() }

// Strand is the id of the journal's strand.
func (j *Journal) Strand() string { return j.strand }

// Len is the number of blocks.
func (j *Journal) Len() int64 { return int64(len(j.index)) }

// Later is the first block of what Options.Later adds; Len when it adds nothing.
func (j *Journal) Later() int64 { return j.later }

// At is the block timestamp of block n, in UTC.
func (j *Journal) At(n int64) time.Time { return time.UnixMilli(j.index[n].at).UTC() }

// Hash is the hash of block n.
func (j *Journal) Hash(n int64) proof.Hash { return j.levels[0][n] }

// First is the first block that was made at t or later; Len when there is none.
func (j *Journal) First(t time.Time) int64 {
	return int64(sort.Search(len(j.index), func(i int) bool { return !j.At(int64(i)).Before(t) }))
}

// Oracle is what a right loader finds in the first blocks of the ledger.
func (j *Journal) Oracle(blocks int64) (Ledger, error) {
	switch {
	case blocks == j.Len():
		l := j.whole
		l.Tables = append([]Table(nil), l.Tables...)
		return l, nil
	case blocks < 1 || blocks > j.Len():
		return Ledger{}, fmt.Errorf("the ledger has 1 to %d blocks, not %d", j.Len(), blocks)
	}
	// The same life again, up to there.
	o := j.options
	o.Blocks = blocks
	g := newGenerator(o)
	g.emit = func(*block, float64) error { return nil }
	if err := g.run(); err != nil {
		return Ledger{}, fmt.Errorf("generate ledger: %w", err)
	}
	return j.oracle(g), nil
}

func (j *Journal) oracle(g *generator) Ledger {
	l := g.ledger
	l.Blocks, l.LastBlock = l.Tip+1, l.Tip
	l.LastHash, l.Digest = j.Hash(l.Tip), j.Digest(l.Tip)
	return l
}

// read reads the value of block n.
func (j *Journal) read(n int64) (value, error) {
	if n < 0 || n >= j.Len() {
		return value{}, fmt.Errorf("the ledger has blocks 0 to %d, not %d", j.Len()-1, n)
	}
	buf := make([]byte, j.index[n].size)
	if _, err := j.file.ReadAt(buf, j.index[n].offset); err != nil {
		return value{}, fmt.Errorf("read block %d: %w", n, err)
	}
	var c ion.Cursor
	c.Reset(buf, 0, len(buf))
	if !c.Next() {
		return value{}, fmt.Errorf("read block %d: %w", n, errors.Join(c.Err(), errors.New("no value")))
	}
	v, err := readValue(&c, &j.symbols)
	if err != nil {
		return value{}, fmt.Errorf("read block %d: %w", n, err)
	}
	return v, nil
}

// Block reads block n.
func (j *Journal) Block(n int64) (*Block, error) {
	v, err := j.read(n)
	if err != nil {
		return nil, err
	}
	b := &Block{Sequence: n, At: j.At(n), Hash: j.Hash(n), value: v, previous: hashOf(v.get("previousBlockHash"))}
	for i := range v.get("entriesHashList").items {
		b.entries = append(b.entries, hashOf(&v.get("entriesHashList").items[i]))
	}
	if revisions := v.get("revisions"); revisions != nil {
		for i := range revisions.items {
			r := &revisions.items[i]
			if metadata := r.get("metadata"); metadata != nil {
				b.Revisions = append(b.Revisions, Revision{metadata.get("id").text, metadata.get("version").int, hashOf(r.get("hash")), i})
			}
		}
	}
	return b, nil
}

// hashOf is the hash in a blob of ours.
func hashOf(v *value) proof.Hash {
	h, _ := proof.ParseHash(v.bytes) // 32 bytes or none: the chain wrote it
	return h
}

// Text is the block as Ion text.
func (b *Block) Text() string { return string(b.value.appendText(nil)) }

// JSON is the block as an export in JSON holds it.
func (b *Block) JSON() []byte { return b.value.appendJSON(nil) }

// RevisionText is a revision of the block as Ion text.
func (b *Block) RevisionText(r Revision) string {
	return string(b.value.get("revisions").items[r.index].appendText(nil))
}

// Path is the first part of a revision's proof, from its hash to the block's:
// its siblings among the revisions, their siblings in the entries, and the hash
// of the block before. The path of the block is the rest.
//
// None of them is nothing: a block with a document's revision has a
// transactionInfo, and is not the first.
func (b *Block) Path(r Revision) []proof.Hash {
	// The second entry is the root over the revisions; see chain.add.
	const revisionsEntry = 1
	var hashes []proof.Hash
	for i := range b.value.get("revisions").items {
		hashes = append(hashes, hashOf(b.value.get("revisions").items[i].get("hash")))
	}
	path := append(pathAmong(hashes, r.index), pathAmong(b.entries, revisionsEntry)...)
	return append(path, b.previous)
}

// pathAmong is the path of leaf i to the root over leaves.
func pathAmong(leaves []proof.Hash, i int) []proof.Hash {
	var t proof.Tree
	for n, h := range leaves {
		if n == i {
			t.Watch()
		}
		t.Add(h)
	}
	return t.Path()
}

// addLeaf appends a block's hash, and every perfect subtree that it completes.
func (j *Journal) addLeaf(h proof.Hash) {
	for level := 0; ; level++ {
		if level == len(j.levels) {
			j.levels = append(j.levels, nil)
		}
		j.levels[level] = append(j.levels[level], h)
		n := len(j.levels[level])
		if n%2 == 1 {
			return
		}
		h = proof.Dot(j.levels[level][n-2], h)
	}
}

// node is the root over the blocks that subtree i of a level has below n.
func (j *Journal) node(level int, i, n int64) proof.Hash {
	if (i+1)<<level <= n {
		return j.levels[level][i]
	}
	left := j.node(level-1, 2*i, n)
	if (2*i+1)<<(level-1) >= n {
		return left // an odd last one rises unchanged
	}
	return proof.Dot(left, j.node(level-1, 2*i+1, n))
}

// height is the level of the root over n blocks.
func height(n int64) int {
	level := 0
	for int64(1)<<level < n {
		level++
	}
	return level
}

// Digest is the digest of the ledger whose last block is tip.
func (j *Journal) Digest(tip int64) proof.Hash { return j.node(height(tip+1), 0, tip+1) }

// Path is the proof of block n under the digest at tip, which is n or later.
func (j *Journal) Path(n, tip int64) []proof.Hash {
	var path []proof.Hash
	for level := range height(tip + 1) {
		sibling := n>>level ^ 1
		if sibling<<level <= tip {
			path = append(path, j.node(level, sibling, tip+1))
		}
	}
	return path
}

// An Export is one call of ExportJournalToS3.
type Export struct {
	ID         string
	Ledger     string    // name of the ledger, as the manifest says it
	Start, End time.Time // of blocks: from the one to before the other
	Blocks     int64     // that the ledger has, the others are still to come; 0: all
	Format     Format    // "" is IonText, and the manifest does not name it
	Bucket     string
	Prefix     string // with or without a slash at its end
	Encryption string // SSE_S3, SSE_KMS or NO_ENCRYPTION, as the manifest says it
}

// Export writes the objects of an export in the order in which the service did:
// the manifest of its beginning, its data, and the manifest that it is
// complete. It stops at the first error of write.
func (j *Journal) Export(x Export, write func(Object) error) error {
	o := Options{Format: x.Format, Bucket: x.Bucket, Prefix: x.Prefix, BlocksPerObject: j.options.BlocksPerObject}
	if o.Format == "" {
		o.Format = IonText
	}
	if err := o.complete(); err != nil {
		return err
	}
	if x.Blocks == 0 {
		x.Blocks = j.Len()
	}
	e := newExporter(o, j.strand, write)
	e.ledger, e.encryption, e.unnamed = x.Ledger, x.Encryption, x.Format == ""
	e.job = &job{id: x.ID, start: x.Start, last: -1}
	if err := e.writeStarted(x.End); err != nil {
		return err
	}
	for n := j.First(x.Start); n < min(j.First(x.End), x.Blocks); n++ {
		v, err := j.read(n)
		if err != nil {
			return err
		}
		if err := e.put(&block{sequence: n, at: j.At(n), value: v, hash: j.Hash(n)}); err != nil {
			return err
		}
	}
	if err := e.endObject(); err != nil {
		return err
	}
	return e.writeCompleted()
}
