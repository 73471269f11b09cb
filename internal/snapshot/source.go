package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	// tail is read of an object first, in the hope that it holds the footer.
	tail = 64 << 10
	// ahead is how much is held of a row group before it is decoded: all of it in one
	// piece, or the windows of its columns, which have at least minWindow.
	ahead     = 32 << 20
	minWindow = 64 << 10
)

// A source reads an object by few requests, and remembers what its reader said:
// the Parquet library hides some errors behind its own.
type source struct {
	r    io.ReaderAt
	size int64

	held    []byte // bytes of the object, from heldAt on
	heldAt  int64
	mu      sync.Mutex
	failure error
}

var magic = []byte("PAR1")

func openSource(r io.ReaderAt, size int64) (*source, error) {
	s := &source{r: r, size: size}
	damaged := func(format string, args ...any) error {
		return &DamagedError{Err: fmt.Errorf(format, args...)}
	}
	if size < int64(len(magic))*2+4 {
		return nil, damaged("it has %d bytes, less than an empty one", size)
	}
	n := min(size, tail)
	if err := s.hold(size-n, n); err != nil {
		return nil, err
	}
	end := s.held[len(s.held)-8:]
	switch {
	case string(end[4:]) == "PARE":
		return nil, damaged("its footer is encrypted by Parquet's own encryption, which exports do not use")
	case !bytes.Equal(end[4:], magic), s.heldAt == 0 && !bytes.HasPrefix(s.held, magic):
		return nil, damaged("it does not begin and end as Parquet does; is it cut short?")
	}
	footer := int64(binary.LittleEndian.Uint32(end))
	if footer > size-int64(len(magic))*2-4 {
		return nil, damaged("its footer would have %d bytes, all of it has %d", footer, size)
	}
	if footer+8 > n {
		if err := s.hold(size-footer-8, footer+8); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// hold reads n bytes from an offset on and keeps them.
func (s *source) hold(off, n int64) error {
	s.held, s.heldAt = slices.Grow(s.held[:0], int(n))[:n], off
	if got, err := s.r.ReadAt(s.held, off); int64(got) < n {
		return s.short(off+int64(got), err)
	}
	return nil
}

func (s *source) short(at int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamagedError{Err: fmt.Errorf("it ends at byte %d of %d", at, s.size)}
	}
	return err
}

// ReadAt reads what is held, or from the object.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.heldAt && off+int64(len(p)) <= s.heldAt+int64(len(s.held)) {
		return copy(p, s.held[off-s.heldAt:]), nil
	}
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	s.fail(s.short(off+int64(n), err))
	return n, err
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = err
	}
}

// blame says whose fault an error of the Parquet library is: the reader's, if it
// has failed, else the object's.
func (s *source) blame(where string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return s.failure
	}
	return &DamagedError{Where: where, Err: err}
}

// group returns readers for the given columns of a row group, in their order.
// Where the columns lie together in few enough bytes, those are read by one
// request, into room; else each column is read by windows of its own.
func (p *Part) group(g int, columns []int, room *[]byte) ([]io.ReaderAt, error) {
	s := p.source
	readers := make([]io.ReaderAt, len(columns))
	first, last := s.size, int64(0)
	for i, c := range columns {
		from, to := chunkRange(&p.file.Metadata().RowGroups[g].Columns[p.columns[c].leaf].MetaData)
		first, last = min(first, from), max(last, to)
		readers[i] = &window{source: s, last: to, size: max(ahead/int64(len(columns)), minWindow)}
	}
	if n := last - first; n > 0 && n <= ahead {
		shared := &source{r: s.r, size: s.size, held: *room}
		if err := shared.hold(first, n); err != nil {
			return nil, err
		}
		*room = shared.held
		for i := range readers {
			readers[i] = shared
		}
	}
	return readers, nil
}

// A window reads a column chunk from its beginning to its end by large requests.
type window struct {
	source *source
	last   int64 // end of the chunk
	size   int64
	held   []byte
	heldAt int64
}

func (w *window) ReadAt(p []byte, off int64) (int, error) {
	n := int64(len(p))
	if off < w.heldAt || off+n > w.heldAt+int64(len(w.held)) {
		size := min(max(w.size, n), max(w.last-off, n))
		if int64(cap(w.held)) < size {
			w.held = make([]byte, size)
		}
		w.held, w.heldAt = w.held[:size], off
		if got, err := w.source.ReadAt(w.held, off); got < len(w.held) {
			w.held = nil
			return 0, err
		}
	}
	return copy(p, w.held[off-w.heldAt:]), nil
}
