package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A file of block hashes holds the hashes of a ledger's blocks, so that the path
// of any block to a digest is made without the archive: a receipt, years later,
// takes a few reads of 32 KiB at most, from a file of any size.
//
//	hashes of the blocks First to First+Count-1, in order
//	roots of the tree over each aligned 1,024 of these blocks
//	roots over each 1,024 of those, and so on up to a level of 1,024 hashes at most
//	footer of 160 bytes
//
// The first and the last root of a level are over what there is of their 1,024.
// All hashes have 32 bytes. The footer is, numbers big end first:
//
//	  0  16  "godwit.hashes/1\n"
//	 16   8  First
//	 24   8  Count
//	 32  64  strand, filled up with zeros
//	 96  32  root over the top level; zeros without blocks
//	128  32  SHA-256 of the 128 bytes before
//
// The file checks itself wherever it is read: the footer by its sum, hashes by
// their root in the level above. For 10^8 blocks it has 3.2 GB and three levels.
const (
	hashFileMagic  = "godwit.hashes/1\n"
	hashFileFooter = 160
	hashFileSummed = 128 // of the footer
	hashFileStrand = 64
	chunkBits      = 10 // of a number within 1,024
	chunkHashes    = 1 << chunkBits
)

// A hashLevel is where a level lies: of its hashes, the first has the number
// first, which stands for all blocks whose number begins with it.
type hashLevel struct {
	first, count uint64
	offset       int64
}

// hashLevels returns the levels of a file, blocks first, and where they end.
func hashLevels(first, count uint64) (levels []hashLevel, end int64) {
	for count > 0 {
		levels = append(levels, hashLevel{first, count, end})
		end += int64(count) * sha256.Size
		if len(levels) > 1 && count <= chunkHashes {
			break
		}
		next := (first+count-1)>>chunkBits + 1
		first >>= chunkBits
		count = next - first
	}
	return levels, end
}

// A HashWriter writes a file of block hashes from one end to the other. It holds
// one in 1,024 in memory. What a crash leaves behind has no footer, and cannot be
// opened. The first error sticks.
type HashWriter struct {
	w      io.Writer
	strand string
	first  uint64
	count  uint64
	tree   Tree   // over the last 1,024
	roots  []Hash // over those before
	buffer []byte
	err    error
}

// hashBuffer is how many bytes of hashes are written at once.
const hashBuffer = 64 << 10

// NewHashWriter begins a file of the hashes of a strand's blocks from first on.
func NewHashWriter(w io.Writer, strand string, first uint64) (*HashWriter, error) {
	if len(strand) > hashFileStrand || strings.Contains(strand, "\x00") || first >= 1<<62 {
		return nil, fmt.Errorf("write block hashes: strand %.80q or first block %d cannot be", strand, first)
	}
	return &HashWriter{w: w, strand: strand, first: first}, nil
}

// Add appends the next block's hash.
func (w *HashWriter) Add(h Hash) error {
	if w.err == nil && h.IsEmpty() {
		w.err = fmt.Errorf("write block hashes: block %d has none", w.first+w.count)
	}
	if w.err != nil {
		return w.err
	}
	w.tree.Add(h)
	w.count++
	if (w.first+w.count)%chunkHashes == 0 {
		w.roots = append(w.roots, w.tree.Root())
		w.tree.reset()
	}
	w.put(h)
	return w.err
}

func (w *HashWriter) put(h Hash) {
	w.buffer = append(w.buffer, h.sum[:]...)
	if len(w.buffer) >= hashBuffer {
		w.flush()
	}
}

func (w *HashWriter) flush() {
	if w.err == nil {
		if _, err := w.w.Write(w.buffer); err != nil {
			w.err = fmt.Errorf("write block hashes: %w", err)
		}
	}
	w.buffer = w.buffer[:0]
}

// Close writes what makes a file of the hashes. It does not close what it writes
// to.
func (w *HashWriter) Close() error {
	if w.err != nil {
		return w.err
	}
	if root := w.tree.Root(); !root.IsEmpty() {
		w.roots = append(w.roots, root)
	}
	levels, _ := hashLevels(w.first, w.count)
	for i := 1; i < len(levels); i++ {
		for _, h := range w.roots {
			w.put(h)
		}
		if i < len(levels)-1 {
			w.roots = nextLevel(w.roots, levels[i].first)
		}
	}
	top := Merkle(w.roots)
	footer := append(make([]byte, 0, hashFileFooter), hashFileMagic...)
	footer = binary.BigEndian.AppendUint64(footer, w.first)
	footer = binary.BigEndian.AppendUint64(footer, w.count)
	footer = append(footer, w.strand...)
	footer = append(footer, make([]byte, hashFileSummed-sha256.Size-len(footer))...)
	footer = append(footer, top.sum[:]...)
	sum := sha256.Sum256(footer)
	w.buffer = append(append(w.buffer, footer...), sum[:]...)
	w.flush()
	return w.err
}

// nextLevel returns the roots over each 1,024 of hashes, of which the first has
// the number first.
func nextLevel(hashes []Hash, first uint64) []Hash {
	var roots []Hash
	for len(hashes) > 0 {
		n := min(uint64(len(hashes)), chunkHashes-first%chunkHashes)
		roots = append(roots, Merkle(hashes[:n]))
		hashes, first = hashes[n:], first+n
	}
	return roots
}

// A HashFile reads a file of block hashes. It keeps what it read last, and is not
// safe for concurrent use.
type HashFile struct {
	r      io.ReaderAt
	strand string
	levels []hashLevel
	top    []Hash
	kept   [][2]hashChunk // of each level below the top, the last one first
}

// A hashChunk is what a file has of 1,024 aligned hashes of a level.
type hashChunk struct {
	number uint64 // of its first hash, shifted
	first  uint64
	hashes []Hash // nil: none is kept
}

// OpenHashFile opens a file of size bytes. It reads the footer and the top level:
// 33 KB at most.
func OpenHashFile(r io.ReaderAt, size int64) (*HashFile, error) {
	f, err := openHashFile(r, size)
	if err != nil {
		return nil, fmt.Errorf("open file of block hashes: %w", err)
	}
	return f, nil
}

func openHashFile(r io.ReaderAt, size int64) (*HashFile, error) {
	var footer [hashFileFooter]byte
	if size < hashFileFooter {
		return nil, fmt.Errorf("it has %d bytes: it is none, or was not written to its end", size)
	}
	if _, err := io.ReadFull(io.NewSectionReader(r, size-hashFileFooter, hashFileFooter), footer[:]); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(footer[:hashFileSummed])
	if string(footer[:16]) != hashFileMagic || !bytes.Equal(sum[:], footer[hashFileSummed:]) {
		return nil, errors.New("its footer is none, or is damaged: write it again from the archive")
	}
	first, count := binary.BigEndian.Uint64(footer[16:]), binary.BigEndian.Uint64(footer[24:])
	if first >= 1<<62 || count > uint64(size)/sha256.Size {
		return nil, fmt.Errorf("it has %d bytes, and cannot have %d blocks", size, count)
	}
	f := &HashFile{r: r, strand: string(bytes.TrimRight(footer[32:96], "\x00"))}
	var end int64
	if f.levels, end = hashLevels(first, count); end != size-hashFileFooter {
		return nil, fmt.Errorf("it has %d bytes, and the file of %d blocks has %d", size, count, end+hashFileFooter)
	}
	if count == 0 {
		f.levels = []hashLevel{{first: first}}
		return f, nil
	}
	top := f.levels[len(f.levels)-1]
	f.kept = make([][2]hashChunk, len(f.levels)-1)
	var err error
	if f.top, err = f.read(top, top.first, top.count); err != nil {
		return nil, err
	}
	if root := Merkle(f.top); !bytes.Equal(root.sum[:], footer[96:hashFileSummed]) {
		return nil, errors.New("its top level is damaged: write it again from the archive")
	}
	return f, nil
}

// Strand returns the strand's id.
func (f *HashFile) Strand() string { return f.strand }

// First returns the number of the first block.
func (f *HashFile) First() uint64 { return f.levels[0].first }

// Next returns the number behind the last block.
func (f *HashFile) Next() uint64 { return f.levels[0].first + f.levels[0].count }

// read reads count hashes of a level from the number first on.
func (f *HashFile) read(l hashLevel, first, count uint64) ([]Hash, error) {
	b := make([]byte, count*sha256.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f.r, l.offset+int64(first-l.first)*sha256.Size, int64(len(b))), b); err != nil {
		return nil, fmt.Errorf("read block hashes: %w", err)
	}
	hashes := make([]Hash, count)
	for i := range hashes {
		hashes[i] = Hash{sum: [sha256.Size]byte(b[i*sha256.Size:]), full: true}
	}
	return hashes, nil
}

// chunk returns the hashes of a level whose numbers begin with number, and the
// number of the first.
func (f *HashFile) chunk(level int, number uint64) ([]Hash, uint64, error) {
	if level == len(f.levels)-1 {
		return f.top, f.levels[level].first, nil
	}
	kept := &f.kept[level]
	for _, c := range kept {
		if c.hashes != nil && c.number == number {
			return c.hashes, c.first, nil
		}
	}
	above, start, err := f.chunk(level+1, number>>chunkBits)
	if err != nil {
		return nil, 0, err
	}
	l := f.levels[level]
	first := max(number<<chunkBits, l.first)
	hashes, err := f.read(l, first, min((number+1)<<chunkBits, l.first+l.count)-first)
	if err != nil {
		return nil, 0, err
	}
	if Merkle(hashes) != above[number-start] {
		return nil, 0, fmt.Errorf("read block hashes: the file is damaged within %d bytes from byte %d on: write it again from the archive", len(hashes)*sha256.Size, l.offset+int64(first-l.first)*sha256.Size)
	}
	kept[1], kept[0] = kept[0], hashChunk{number, first, hashes}
	return hashes, first, nil
}

// Node is the Nodes of Inclusion and Consistency. For one path it makes two reads
// of 32 KiB at most for each level that the file has below the top.
func (f *HashFile) Node(level int, index uint64) (Hash, error) {
	if level < 0 || level > 62 || index >= 1<<(62-level) || index<<level < f.First() || (index+1)<<level > f.Next() {
		return Hash{}, fmt.Errorf("read block hashes: the file has blocks %d to %d, and not all of the %dth 2^%d blocks", f.First(), int64(f.Next())-1, index, level)
	}
	stored := min(level/chunkBits, len(f.levels)-1)
	shift := level - stored*chunkBits
	from, to := index<<shift, (index+1)<<shift
	hashes, first, err := f.chunk(stored, from>>chunkBits)
	if err != nil {
		return Hash{}, err
	}
	return Merkle(hashes[from-first : to-first]), nil
}
