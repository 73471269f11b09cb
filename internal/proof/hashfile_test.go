package proof_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"godwit/internal/proof"
)

// hashFile writes the hashes of n blocks from first on.
func hashFile(t testing.TB, first uint64, n int) (file []byte, hashes []proof.Hash) {
	t.Helper()
	var b bytes.Buffer
	w, err := proof.NewHashWriter(&b, "MadeUpStrand0000000001", first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		hashes = append(hashes, number(i))
		if err := w.Add(hashes[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), hashes
}

// A countingReader counts what is read.
type countingReader struct {
	io.ReaderAt
	reads, bytes int
}

func (r *countingReader) ReadAt(b []byte, off int64) (int, error) {
	r.reads, r.bytes = r.reads+1, r.bytes+len(b)
	return r.ReaderAt.ReadAt(b, off)
}

func TestHashFileMakesEveryPath(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1023, 1024, 1025, 2048, 5000} {
		file, hashes := hashFile(t, 0, n)
		f, err := proof.OpenHashFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Strand() != "MadeUpStrand0000000001" || f.First() != 0 || f.Next() != uint64(n) {
			t.Errorf("%d blocks: %s, %d to %d", n, f.Strand(), f.First(), f.Next())
		}
		for _, size := range []int{n, n - n/3, n / 2} {
			for leaf := 0; leaf < size; leaf += 1 + size/17 {
				want, err := proof.Inclusion(uint64(leaf), uint64(size), nodesOf(hashes))
				if err != nil {
					t.Fatal(err)
				}
				got, err := proof.Inclusion(uint64(leaf), uint64(size), f.Node)
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("block %d of %d: %v, %v", leaf, size, got, err)
				}
			}
		}
		if _, err := f.Node(0, uint64(n)); err == nil {
			t.Error("a hash behind the last")
		}
		for _, node := range [][2]uint64{{63, 0}, {62, 1}, {64, 1 << 63}, {0, 1 << 62}} {
			if _, err := f.Node(int(node[0]), node[1]); err == nil {
				t.Errorf("node %v", node)
			}
		}
	}
}

func TestHashFileMayBeginAnywhere(t *testing.T) {
	all := make([]proof.Hash, 5000)
	for i := range all {
		all[i] = number(i)
	}
	for _, first := range []uint64{1, 1000, 1024, 3000} {
		file, _ := hashFile(t, first, 2000)
		f, err := proof.OpenHashFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		for level := range 12 {
			for index := range uint64(5000 >> level) {
				from, to := index<<level, (index+1)<<level
				got, err := f.Node(level, index)
				if from < first || to > first+2000 {
					if err == nil {
						t.Fatalf("from block %d: node %d of level %d is not there", first, index, level)
					}
					continue
				}
				if want := proof.Merkle(all[from-first : to-first]); err != nil || got != want {
					t.Fatalf("from block %d: node %d of level %d: %v, %v, want %v", first, index, level, got, err, want)
				}
			}
		}
	}
}

// writeFiles writes the hashes of blocks first to before next to as many files as
// there have to be, by their first blocks.
func writeFiles(t *testing.T, hashes []proof.Hash, first, next uint64) map[uint64][]byte {
	t.Helper()
	files := map[uint64][]byte{}
	for at := first; at < next; {
		var b bytes.Buffer
		w, err := proof.NewHashWriter(&b, "MadeUpStrand0000000001", at)
		if err != nil {
			t.Fatal(err)
		}
		begin := at
		for ; at < next && at/proof.HashFileBlocks == begin/proof.HashFileBlocks; at++ {
			_ = w.Add(hashes[at]) // Close says it again
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files[begin] = b.Bytes()
	}
	return files
}

// openFiles makes one tree of files, and counts what is read of them.
func openFiles(files map[uint64][]byte, first, next uint64) (*proof.HashFiles, *countingReader) {
	read := &countingReader{}
	return &proof.HashFiles{First: first, Last: next - 1, Open: func(first uint64) (*proof.HashFile, error) {
		file, ok := files[first]
		if !ok {
			return nil, fmt.Errorf("there is no file from block %d on", first)
		}
		return proof.OpenHashFile(countingParts{bytes.NewReader(file), read}, int64(len(file)))
	}}, read
}

// A countingParts counts for several files.
type countingParts struct {
	io.ReaderAt
	all *countingReader
}

func (r countingParts) ReadAt(b []byte, off int64) (int, error) {
	r.all.reads, r.all.bytes = r.all.reads+1, r.all.bytes+len(b)
	return r.ReaderAt.ReadAt(b, off)
}

func TestPathsOverSeveralHashFilesTakeFewReads(t *testing.T) {
	const n = 2<<20 + 1_500
	var hash [32]byte
	hashes := make([]proof.Hash, n)
	for i := range hashes {
		binary.BigEndian.PutUint64(hash[:], uint64(i))
		hashes[i] = parse(t, hash[:])
	}
	var files map[uint64][]byte
	for _, first := range []uint64{1<<20 - 5, 0} {
		files = writeFiles(t, hashes, first, n)
		for _, size := range []uint64{n, 2<<20 + 1} {
			root := proof.Merkle(hashes[:size])
			for _, leaf := range []uint64{0, 77_777, 1<<20 - 1, 1 << 20, 2<<20 - 1, n - 1} {
				if leaf < first || leaf >= size {
					continue
				}
				s, read := openFiles(files, first, n)
				path, err := proof.Inclusion(leaf, size, s.Node)
				switch {
				case first > 0:
					if err == nil {
						t.Errorf("block %d of %d has a path without blocks 0 to %d", leaf, size, first-1)
					}
				case err != nil || proof.Fold(hashes[leaf], path) != root:
					t.Errorf("block %d of %d: %v", leaf, size, err)
				case read.reads > 3*2+2*2 || read.bytes > 3*160+7*32<<10:
					t.Errorf("block %d of %d: %d reads of %d bytes", leaf, size, read.reads, read.bytes)
				}
			}
		}
	}
	s, _ := openFiles(files, 0, n)
	for _, node := range [][2]uint64{{0, n}, {20, 2}, {62, 0}, {63, 0}} {
		if _, err := s.Node(int(node[0]), node[1]); err == nil {
			t.Errorf("node %v", node)
		}
	}
	s.Last++ // as if a block more were there
	if _, err := s.Node(0, n); err == nil {
		t.Error("the last file is taken for one with more blocks")
	}
}

func TestDamagedHashFilesAreFound(t *testing.T) {
	file, hashes := hashFile(t, 0, 3000)
	for bit := 0; bit < 8*len(file); bit += 997 {
		damaged := bytes.Clone(file)
		damaged[bit/8] ^= 1 << (bit % 8)
		f, err := proof.OpenHashFile(bytes.NewReader(damaged), int64(len(damaged)))
		for i := 0; err == nil && i < len(hashes); i += 512 {
			_, err = f.Node(0, uint64(i))
		}
		if err == nil {
			t.Fatalf("bit %d is not found", bit)
		}
	}
	for name, damaged := range map[string][]byte{
		"nothing": nil, "cut off at its end": file[:len(file)-1], "cut off in front": file[32:], "hashes alone": file[:3000*32], "something before it": append(make([]byte, 32), file...),
	} {
		if _, err := proof.OpenHashFile(bytes.NewReader(damaged), int64(len(damaged))); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errors.New("the disk is full")
	}
	return len(b), nil
}

func TestHashWriterReportsWhatFails(t *testing.T) {
	for _, room := range []int{0, 100_000} {
		w, err := proof.NewHashWriter(&brokenWriter{room}, "s", 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4000 {
			_ = w.Add(number(i)) // Close says it again
		}
		if w.Close() == nil {
			t.Errorf("%d bytes of room: no error", room)
		}
	}
	w, err := proof.NewHashWriter(io.Discard, "s", 0)
	if err != nil {
		t.Fatal(err)
	}
	if w.Add(proof.Hash{}) == nil || w.Add(number(1)) == nil || w.Close() == nil {
		t.Error("a block without a hash")
	}
	if w, err = proof.NewHashWriter(io.Discard, "s", proof.HashFileBlocks-1); err != nil {
		t.Fatal(err)
	}
	if w.Add(number(1)) != nil || w.Add(number(2)) == nil || w.Close() == nil {
		t.Error("a block of the next file")
	}
	for strand, first := range map[string]uint64{fmt.Sprintf("%65d", 1): 0, "a\x00b": 0, "s": 1 << 62} {
		if _, err := proof.NewHashWriter(io.Discard, strand, first); err == nil {
			t.Errorf("strand %q from %d", strand, first)
		}
	}
}

func FuzzOpenHashFile(f *testing.F) {
	file, _ := hashFile(f, 5, 3)
	f.Add(file, 0, uint64(5))
	f.Add(binary.BigEndian.AppendUint64(nil, 1<<63), 1, uint64(1))
	f.Fuzz(func(_ *testing.T, b []byte, level int, index uint64) {
		if h, err := proof.OpenHashFile(bytes.NewReader(b), int64(len(b))); err == nil {
			_, _ = h.Node(level, index)
		}
	})
}
