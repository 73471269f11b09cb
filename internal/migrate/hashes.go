package migrate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/journal"
	"godwit/internal/proof"
)

// The hashes of a load's blocks lie in files beside its other evidence, so that a
// receipt needs no archive: see proof.HashWriter. Segments leave those of their
// blocks, 32 bytes each, among the parts, which a lifecycle rule deletes; the phase
// that concludes on the proof puts them into files.

// hashesFolder is the folder, among the parts, of what segments leave.
const hashesFolder = "hashes"

func blockHashesKey(load string, item, segment int) string {
	return fmt.Sprintf("parts/%s/%s/%06d-%06d.sha256", load, hashesFolder, item, segment)
}

// hashFileKey is of the file that begins with a block.
func hashFileKey(load string, first uint64) string {
	return fmt.Sprintf("loads/%s/hashes/%019d.sha256", load, first)
}

// A stretch is contiguous blocks whose hashes one segment left.
type stretch struct {
	item, segment int
	first, last   int64
	before        int64 // hashes that the segment has before them
}

// stretches are those of a segment that verified its blocks.
func stretches(s *Segment) (out []stretch) {
	before := int64(0)
	for i := range s.Runs {
		r := &s.Runs[i]
		out = append(out, stretch{s.Item, s.Number, r.First, r.Last, before})
		before += r.Last + 1 - r.First
	}
	return out
}

// hashFiles are the blocks that each file of a load's block hashes has: what one
// run of blocks without a gap has of 2^20 numbers.
func hashFiles(runs []Blocks) (files []Blocks) {
	for _, r := range runs {
		for first := r.First; first <= r.Last; {
			next := min((first/proof.HashFileBlocks+1)*proof.HashFileBlocks, r.Last+1)
			files = append(files, Blocks{first, next - 1})
			first = next
		}
	}
	return files
}

// runs are the plan's blocks without their gaps.
func (p *Plan) runs() (runs []Blocks) {
	first := p.First
	for _, gap := range p.Gaps {
		if gap.First > first {
			runs = append(runs, Blocks{first, gap.First - 1})
		}
		first = gap.Last + 1
	}
	if p.Blocks > 0 && first <= p.Last {
		runs = append(runs, Blocks{first, p.Last})
	}
	return runs
}

// hashFiles is how many files of block hashes a load of the plan leaves.
func (p *Plan) hashFiles() int64 {
	if p.Input.verify() == verifyOff {
		return 0
	}
	return int64(len(hashFiles(p.runs())))
}

// hashes writes the load's files of block hashes, from the one with a number on,
// and returns the number of the first for which no time is left, or 0. A file is
// whole or not there, and always the same: whoever comes again writes it again.
func (p *Phase) hashes(ctx context.Context, l *load, from int) (next int, err error) {
	if l.plan.Input.verify() == verifyOff {
		return 0, nil
	}
	files := hashFiles(l.plan.runs())
	stop, limited := handOn(ctx, p.Now())
	at := 0 // stretches before it lie before the file
	for i := range files {
		if i < from {
			continue
		}
		f := files[i]
		for at < len(l.stretches) && l.stretches[at].last < f.First {
			at++
		}
		of := at
		for of < len(l.stretches) && l.stretches[of].first <= f.Last {
			of++
		}
		b, err := hashFileOf(ctx, p.Objects, p.WorkBucket, l, f, l.stretches[at:of])
		if err != nil {
			return 0, err
		}
		if err := p.Objects.Put(ctx, p.WorkBucket, hashFileKey(l.plan.LoadID, uint64(f.First)), b, "application/octet-stream", ""); err != nil {
			return 0, err
		}
		if limited && i+1 < len(files) && p.Now().After(stop) {
			return i + 1, nil
		}
	}
	return 0, nil
}

// hashFileOf makes a file of what segments left. It holds the file's hashes, and
// those of all segments that have some of them.
func hashFileOf(ctx context.Context, o Objects, bucket string, l *load, f Blocks, from []stretch) ([]byte, error) {
	left := make([][]byte, len(from))
	err := each(ctx, len(from), func(ctx context.Context, i int) (err error) {
		if i > 0 && from[i-1].item == from[i].item && from[i-1].segment == from[i].segment {
			return nil // the object of the stretch before
		}
		left[i], err = readAll(ctx, o, bucket, blockHashesKey(l.plan.LoadID, from[i].item, from[i].segment))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, startAgain)
	}
	var b bytes.Buffer
	b.Grow(int(f.Last+1-f.First)*(journal.HashSize+1) + 1024)
	w, err := proof.NewHashWriter(&b, l.plan.Strand, uint64(f.First))
	if err != nil {
		return nil, err
	}
	due := f.First
	for i := range from {
		s := &from[i]
		if left[i] == nil {
			left[i] = left[i-1]
		}
		for block := max(due, s.first); block <= min(s.last, f.Last); block++ {
			at := (s.before + block - s.first) * journal.HashSize
			if block != due || at+journal.HashSize > int64(len(left[i])) {
				return nil, fmt.Errorf("load %s: the hash of block %d is not among those that segment %d of item %d left: %s", l.plan.LoadID, due, s.segment, s.item, startAgain)
			}
			h, err := proof.ParseHash(left[i][at : at+journal.HashSize])
			if err != nil {
				return nil, err
			}
			if err := w.Add(h); err != nil {
				return nil, err
			}
			due++
		}
	}
	if due <= f.Last {
		return nil, fmt.Errorf("load %s: no segment left the hash of block %d: %s", l.plan.LoadID, due, startAgain)
	}
	err = w.Close()
	return b.Bytes(), err
}

// phaseAt reads the name of a phase. One that was handed on has the number of the
// file of block hashes to go on with behind its name: "import 3".
func phaseAt(phase string) (name string, file int, err error) {
	name, number, ok := strings.Cut(phase, " ")
	if !ok {
		return name, 0, nil
	}
	if file, err = strconv.Atoi(number); err != nil || file < 0 || name != phaseImport {
		return "", 0, &Stop{fmt.Errorf("no phase is named %q", phase)}
	}
	return name, file, nil
}

// openHashes opens the block hashes of a run of a load's blocks. They are read by
// ranges.
func openHashes(ctx context.Context, o Objects, bucket, load string, run Blocks) *proof.HashFiles {
	files := hashFiles([]Blocks{run})
	return &proof.HashFiles{First: uint64(run.First), Last: uint64(run.Last), Open: func(first uint64) (*proof.HashFile, error) {
		i := slices.IndexFunc(files, func(f Blocks) bool { return uint64(f.First) == first })
		if i < 0 {
			return nil, fmt.Errorf("no file of block hashes begins with block %d", first)
		}
		key := hashFileKey(load, first)
		read := func(b []byte, offset int64) (int, error) {
			body, err := o.Open(ctx, bucket, key, "", offset)
			if err != nil {
				return 0, err
			}
			defer func() { _ = body.Close() }() // read only
			return io.ReadFull(body, b)
		}
		return proof.OpenHashFile(readAt(read), proof.HashFileSize(first, uint64(files[i].Last)))
	}}
}

// A readAt is an io.ReaderAt.
type readAt func(b []byte, offset int64) (int, error)

// ReadAt calls it.
func (read readAt) ReadAt(b []byte, offset int64) (int, error) { return read(b, offset) }
