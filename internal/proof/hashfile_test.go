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
				want, err := proof.Inclusion(uint64(leaf), uint64(size), proof.Leaves(hashes))
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

// TestHashFileIsReadInSmallParts has three levels, as a ledger of 10^8 blocks.
func TestHashFileIsReadInSmallParts(t *testing.T) {
	const n = 1<<20 + 70_000
	file, hashes := hashFile(t, 0, n)
	root := proof.Merkle(hashes)
	for _, leaf := range []uint64{0, 77_777, 1 << 20, n - 1} {
		r := &countingReader{ReaderAt: bytes.NewReader(file)}
		f, err := proof.OpenHashFile(r, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		path, err := proof.Inclusion(leaf, n, f.Node)
		if err != nil || proof.Fold(hashes[leaf], path) != root {
			t.Errorf("block %d: %v", leaf, err)
		}
		if r.reads > 2+2*2 || r.bytes > 160+5*32<<10 {
			t.Errorf("block %d: %d reads of %d bytes", leaf, r.reads, r.bytes)
		}
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
