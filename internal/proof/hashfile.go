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

// A file of block hashes holds the hashes of blocks in order, so that the path of
// any of them to a digest is made without the archive: a receipt, years later,
// takes a few reads of 32 KiB at most.
//
//	hashes of the blocks First to First+Count-1
//	roots of the tree over each aligned 1,024 of these blocks, the first and the
//	last over what there is of theirs
//	footer of 160 bytes
//
// All hashes have 32 bytes. The footer is, numbers big end first:
//
//	  0  16  "godwit.hashes/1\n"
//	 16   8  First
//	 24   8  Count
//	 32  64  strand, filled up with zeros
//	 96  32  root over the roots; zeros without blocks
//	128  32  SHA-256 of the 128 bytes before
//
// The file checks itself wherever it is read: the footer by its sum, the roots by
// the footer, hashes by their root. It has 32 MiB at most, since it ends before
// the next block whose number is a multiple of HashFileBlocks; HashFiles makes one
// tree of several.
const (
	hashFileMagic  = "godwit.hashes/1\n"
	hashFileFooter = 160
	hashFileSummed = 128 // of the footer
	hashFileStrand = 64
	chunkBits      = 10 // of a number within 1,024
	chunkHashes    = 1 << chunkBits
	fileBits       = 20 // of a number within a file
)

// HashFileBlocks is how many blocks a file of block hashes has at most: those
// whose numbers, divided by it, give the same.
const HashFileBlocks = 1 << fileBits

// HashFileSize is how many bytes the file of blocks first to last has.
func HashFileSize(first, last uint64) int64 {
	return int64(last+1-first+hashRoots(first, last+1))*sha256.Size + hashFileFooter
}

// hashRoots is how many roots the file of blocks first to before next has.
func hashRoots(first, next uint64) uint64 {
	if first == next {
		return 0
	}
	return (next-1)>>chunkBits + 1 - first>>chunkBits
}

// A HashWriter writes a file of block hashes from one end to the other. What a
// crash leaves behind has no footer, and cannot be opened. The first error sticks.
type HashWriter struct {
	w      io.Writer
	strand string
	first  uint64
	count  uint64
	tree   Tree   // over the last 1,024
	roots  []Hash // over those before
	err    error
}

// NewHashWriter begins a file of the hashes of a strand's blocks from first on.
func NewHashWriter(w io.Writer, strand string, first uint64) (*HashWriter, error) {
	if len(strand) > hashFileStrand || strings.Contains(strand, "\x00") || first >= 1<<62 {
		return nil, fmt.Errorf("write block hashes: strand %.80q or first block %d cannot be", strand, first)
	}
	return &HashWriter{w: w, strand: strand, first: first}, nil
}

// Add appends the next block's hash.
func (w *HashWriter) Add(h Hash) error {
	next := w.first + w.count
	switch {
	case w.err != nil:
		return w.err
	case h.IsEmpty():
		w.err = fmt.Errorf("write block hashes: block %d has none", next)
	case next>>fileBits != w.first>>fileBits:
		w.err = fmt.Errorf("write block hashes: block %d begins another file than block %d", next, w.first)
	default:
		w.tree.Add(h)
		w.count++
		if (next+1)%chunkHashes == 0 {
			w.roots = append(w.roots, w.tree.Root())
			w.tree.reset()
		}
		w.put(h.sum[:])
	}
	return w.err
}

func (w *HashWriter) put(b []byte) {
	if w.err == nil {
		if _, err := w.w.Write(b); err != nil {
			w.err = fmt.Errorf("write block hashes: %w", err)
		}
	}
}

// Close writes what makes a file of the hashes. It does not close what it writes
// to.
func (w *HashWriter) Close() error {
	if root := w.tree.Root(); !root.IsEmpty() {
		w.roots = append(w.roots, root)
		w.tree.reset()
	}
	for _, h := range w.roots {
		w.put(h.sum[:])
	}
	top := Merkle(w.roots)
	footer := append(make([]byte, 0, hashFileFooter), hashFileMagic...)
	footer = binary.BigEndian.AppendUint64(footer, w.first)
	footer = binary.BigEndian.AppendUint64(footer, w.count)
	footer = append(footer, w.strand...)
	footer = append(footer, make([]byte, hashFileSummed-sha256.Size-len(footer))...)
	footer = append(footer, top.sum[:]...)
	sum := sha256.Sum256(footer)
	w.put(append(footer, sum[:]...))
	return w.err
}

// A HashFile reads a file of block hashes. It keeps what it read last, and is not
// safe for concurrent use.
type HashFile struct {
	r           io.ReaderAt
	strand      string
	first, next uint64
	roots       []Hash
	kept        [2]hashChunk // the last one first
}

// A hashChunk is what a file has of 1,024 aligned hashes.
type hashChunk struct {
	number uint64 // of its blocks, divided by 1,024
	hashes []Hash // nil: none is kept
}

// OpenHashFile opens a file of size bytes. It reads the footer and the roots: 33
// KB at most.
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
	if first >= 1<<62 || count > HashFileBlocks || count > 0 && (first+count-1)>>fileBits != first>>fileBits {
		return nil, fmt.Errorf("it cannot have %d blocks from block %d on", count, first)
	}
	f := &HashFile{r: r, strand: string(bytes.TrimRight(footer[32:96], "\x00")), first: first, next: first + count}
	roots := hashRoots(f.first, f.next)
	if end := int64(count+roots)*sha256.Size + hashFileFooter; end != size {
		return nil, fmt.Errorf("it has %d bytes, and the file of %d blocks has %d", size, count, end)
	}
	var err error
	if f.roots, err = f.read(count, roots); err != nil {
		return nil, err
	}
	if root := Merkle(f.roots); !bytes.Equal(root.sum[:], footer[96:hashFileSummed]) {
		return nil, errors.New("its roots are damaged: write it again from the archive")
	}
	return f, nil
}

// Strand returns the strand's id.
func (f *HashFile) Strand() string { return f.strand }

// First returns the number of the first block.
func (f *HashFile) First() uint64 { return f.first }

// Next returns the number behind the last block.
func (f *HashFile) Next() uint64 { return f.next }

// read reads count of the file's hashes and roots, from the number first on.
func (f *HashFile) read(first, count uint64) ([]Hash, error) {
	b := make([]byte, count*sha256.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f.r, int64(first)*sha256.Size, int64(len(b))), b); err != nil {
		return nil, fmt.Errorf("read block hashes: %w", err)
	}
	hashes := make([]Hash, count)
	for i := range hashes {
		hashes[i] = Hash{sum: [sha256.Size]byte(b[i*sha256.Size:]), full: true}
	}
	return hashes, nil
}

// chunk returns the hashes of the file's blocks whose numbers, divided by 1,024,
// give number, and the number of the first block.
func (f *HashFile) chunk(number uint64) ([]Hash, uint64, error) {
	first, next := max(number<<chunkBits, f.first), min((number+1)<<chunkBits, f.next)
	for _, c := range f.kept {
		if c.hashes != nil && c.number == number {
			return c.hashes, first, nil
		}
	}
	hashes, err := f.read(first-f.first, next-first)
	if err != nil {
		return nil, 0, err
	}
	if Merkle(hashes) != f.roots[number-f.first>>chunkBits] {
		return nil, 0, fmt.Errorf("read block hashes: the file is damaged within the hashes of blocks %d to %d: write it again from the archive", first, next-1)
	}
	f.kept[1], f.kept[0] = f.kept[0], hashChunk{number, hashes}
	return hashes, first, nil
}

// Node is the Nodes of Inclusion and Consistency, as far as the file's blocks go.
// For one path it makes two reads of 32 KiB at most.
func (f *HashFile) Node(level int, index uint64) (Hash, error) {
	from, to, err := leavesOf(level, index, f.first, f.next)
	if err != nil {
		return Hash{}, err
	}
	if level >= chunkBits {
		before := f.first >> chunkBits
		return Merkle(f.roots[from>>chunkBits-before : to>>chunkBits-before]), nil
	}
	hashes, first, err := f.chunk(from >> chunkBits)
	if err != nil {
		return Hash{}, err
	}
	return Merkle(hashes[from-first : to-first]), nil
}

// leavesOf returns the leaves of a node, which have to lie within first to before
// next.
func leavesOf(level int, index, first, next uint64) (from, to uint64, err error) {
	if level < 0 || level > 62 || index >= 1<<(62-level) || index<<level < first || (index+1)<<level > next {
		return 0, 0, &MissingBlocksError{First: first, Next: next, Level: level, Index: index}
	}
	return index << level, (index + 1) << level, nil
}

// A MissingBlocksError reports a node over blocks whose hashes are not there.
type MissingBlocksError struct {
	First, Next uint64 // blocks whose hashes are there, the latter behind the last
	Level       int
	Index       uint64
}

func (e *MissingBlocksError) Error() string {
	return fmt.Sprintf("read block hashes: there are those of blocks %d to %d, and not all of the %dth 2^%d blocks", e.First, int64(e.Next)-1, e.Index, e.Level)
}

// HashFiles makes one tree of the files of a run of blocks without a gap. Each file
// has what the run has of its blocks. It is not safe for concurrent use.
type HashFiles struct {
	First, Last uint64 // blocks
	// Open opens the file that begins with a block.
	Open func(first uint64) (*HashFile, error)

	files map[uint64]*HashFile // by their first blocks
	roots map[uint64]Hash      // of files that are only asked for their root
}

// Node is the Nodes of Inclusion and Consistency. One path opens a file in 2^20
// blocks, and reads hashes of blocks in two of them.
func (s *HashFiles) Node(level int, index uint64) (Hash, error) {
	from, to, err := leavesOf(level, index, s.First, s.Last+1)
	if err != nil {
		return Hash{}, err
	}
	if level < fileBits {
		f, err := s.open(from)
		if err != nil {
			return Hash{}, err
		}
		return f.Node(level, index)
	}
	var tree Tree
	for at := from; at < to; at += HashFileBlocks {
		root, err := s.root(at)
		if err != nil {
			return Hash{}, err
		}
		tree.Add(root)
	}
	return tree.Root(), nil
}

// open opens the file that has a block.
func (s *HashFiles) open(block uint64) (*HashFile, error) {
	first := max(block>>fileBits<<fileBits, s.First)
	if f := s.files[first]; f != nil {
		return f, nil
	}
	f, err := s.Open(first)
	if err != nil {
		return nil, err
	}
	if next := min((first>>fileBits+1)<<fileBits, s.Last+1); f.First() != first || f.Next() != next {
		return nil, fmt.Errorf("read block hashes: the file has blocks %d to before %d, and not %d to before %d", f.First(), f.Next(), first, next)
	}
	if s.files == nil {
		s.files = map[uint64]*HashFile{}
	}
	s.files[first] = f
	return f, nil
}

// root is the root over a whole file. The file is not kept: a path asks many for
// their roots, and two for more.
func (s *HashFiles) root(first uint64) (Hash, error) {
	if h, ok := s.roots[first]; ok {
		return h, nil
	}
	f, err := s.open(first)
	if err != nil {
		return Hash{}, err
	}
	h, err := f.Node(fileBits, first>>fileBits)
	if err != nil {
		return Hash{}, err
	}
	if s.roots == nil {
		s.roots = map[uint64]Hash{}
	}
	s.roots[first] = h
	delete(s.files, first)
	return h, nil
}
