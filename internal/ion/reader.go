package ion

import (
	"errors"
	"fmt"
	"io"
)

// DefaultMaxValueBytes is the longest top-level value that a Reader takes when
// it is not told otherwise. A QLDB block holds a few megabytes at most.
const DefaultMaxValueBytes = 64 << 20

// startBuffer is a Reader's first buffer: it holds many blocks.
const startBuffer = 256 << 10

// maxRanges bounds the symbol table ranges of a Position.
const maxRanges = 32

// ErrTruncated is in the error of a stream that ends within a value.
var ErrTruncated = errors.New("stream ends within a value")

// A TooLongError reports a top-level value above the Reader's limit.
type TooLongError struct {
	Offset int64 // of the value's first byte
	Size   int64 // of the value, in bytes
	Limit  int   // MaxValueBytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("binary ion at offset %d: value of %d bytes exceeds the limit of %d", e.Offset, e.Size, e.Limit)
}

// A Range is a range of bytes in a stream.
type Range struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// A Position is a place between two top-level values from which a Reader can go
// on: the place, and where the symbol tables in force there were read. A range
// may hold user values also: those are skipped. There are never more than a few
// dozen ranges.
type Position struct {
	Offset  int64   `json:"offset"`
	Symbols []Range `json:"symbols,omitempty"`
}

// A Reader yields the top-level values of a stream of binary Ion one at a time.
// It takes version markers, padding and local symbol tables out of the stream
// and keeps Symbols. Its memory is the longest value, once.
type Reader struct {
	// MaxValueBytes is the longest value taken; 0 means DefaultMaxValueBytes.
	MaxValueBytes int

	src     io.Reader
	buf     []byte
	r, w    int   // unread bytes are buf[r:w]
	base    int64 // offset of buf[0]
	eof     bool
	offset  int64 // of the value that Next returned
	symbols SymbolTable
	ranges  []Range
	cur     Cursor
	err     error
}

// NewReader returns a Reader of src. offset is where src begins in its stream:
// it is added to all offsets.
func NewReader(src io.Reader, offset int64) *Reader {
	return &Reader{src: src, base: offset}
}

// Continue makes r read src, which begins at offset, with the symbols that r
// holds. A reader is resumed by LoadSymbols of every range of a Position, in
// order, and Continue at its Offset.
func (r *Reader) Continue(src io.Reader, offset int64) {
	r.src, r.base, r.r, r.w, r.eof, r.err = src, offset, 0, 0, false, nil
}

// LoadSymbols reads the bytes of rg, which src begins with, for the symbol tables
// in them.
func (r *Reader) LoadSymbols(src io.Reader, rg Range) error {
	r.Continue(io.LimitReader(src, rg.Length), rg.Offset)
	for {
		_, err := r.Next()
		switch {
		case err == io.EOF && r.base+int64(r.r) != rg.Offset+rg.Length:
			return fmt.Errorf("read symbol tables at offset %d: %w", rg.Offset, io.ErrUnexpectedEOF)
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read symbol tables at offset %d: %w", rg.Offset, err)
		}
	}
}

// Symbols returns the symbol table in force for the value that Next returned.
func (r *Reader) Symbols() *SymbolTable { return &r.symbols }

// Offset returns where the value that Next returned begins in the stream.
func (r *Reader) Offset() int64 { return r.offset }

// Position returns the place behind the value that Next returned. It is a copy.
func (r *Reader) Position() Position {
	return Position{Offset: r.base + int64(r.r), Symbols: append([]Range(nil), r.ranges...)}
}

// Next returns the bytes of the next user value, annotations included. They are
// valid until the next call. The error is io.EOF at the end of the stream; an
// error stays. Lengths inside the value are not yet checked: that is a Cursor's
// work.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	for {
		size, err := r.measure()
		if err != nil {
			return nil, r.stop(err)
		}
		at := r.base + int64(r.r)
		v := r.buf[r.r : r.r+size : r.r+size]
		switch tag := v[0]; {
		case tag == 0xE0:
			r.symbols.Reset()
			r.ranges = r.ranges[:0]
		case tag>>4 == 0 && tag != 0x0F: // padding
		case tag>>4 == 14:
			r.cur.Base = at
			r.cur.Reset(v, 0, len(v))
			if !r.cur.Next() {
				return nil, r.stop(r.cur.Err())
			}
			if isTable(&r.cur) {
				if err := r.loadTable(at, size); err != nil {
					return nil, r.stop(err)
				}
				break
			}
			fallthrough
		default:
			r.offset = at
			r.r += size
			return v, nil
		}
		r.r += size
	}
}

// loadTable applies the symbol table under r.cur and remembers its range.
func (r *Reader) loadTable(at int64, size int) error {
	kept, err := r.symbols.load(&r.cur)
	if err != nil {
		return err
	}
	if !kept {
		r.ranges = r.ranges[:0]
	}
	r.ranges = append(r.ranges, Range{Offset: at, Length: int64(size)})
	if len(r.ranges) > maxRanges {
		r.ranges = mergeClosest(r.ranges)
	}
	return nil
}

// mergeClosest joins the two neighbours with the fewest bytes between them.
func mergeClosest(rs []Range) []Range {
	best, gap := 0, int64(-1)
	for i := 0; i+1 < len(rs); i++ {
		g := rs[i+1].Offset - rs[i].Offset - rs[i].Length
		if gap < 0 || g < gap {
			best, gap = i, g
		}
	}
	rs[best].Length = rs[best+1].Offset + rs[best+1].Length - rs[best].Offset
	return append(rs[:best+1], rs[best+2:]...)
}

// measure makes buf[r:] hold the whole of the next thing in the stream, value,
// padding or version marker, and returns its size. It returns io.EOF between
// values only.
func (r *Reader) measure() (int, error) {
	if err := r.fill(1); err != nil {
		return 0, err // io.EOF: a clean end
	}
	tag := r.buf[r.r]
	if tag == 0xE0 {
		if err := r.fill(4); err != nil {
			return 0, r.within(err)
		}
		if m := r.buf[r.r : r.r+4]; m[1] != 1 || m[2] != 0 || m[3] != 0xEA {
			return 0, r.syntax(fmt.Sprintf("% X is not the version marker of ion 1.0", m))
		}
		return 4, nil
	}
	class := descriptors[tag]
	head, size := 1, uint64(tag&15)
	switch {
	case class == classReserved:
		return 0, r.syntax(reservedReason(tag))
	case class == classNull || class == classBool:
		size = 0
	case tag&15 == 14 || class == classOrdered:
		// At most ten bytes hold a VarUInt of 63 bits.
		n := 0
		for n == 0 && head < 11 {
			if err := r.fill(head + 1); err != nil {
				return 0, r.within(err)
			}
			if r.buf[r.r+head] >= 0x80 {
				size, n = varUint(r.buf[r.r+1 : r.r+head+1])
				if n == 0 {
					break
				}
			}
			head++
		}
		if n == 0 {
			return 0, r.syntax("length exceeds 63 bits")
		}
	}
	limit := r.MaxValueBytes
	if limit <= 0 {
		limit = DefaultMaxValueBytes
	}
	if size > uint64(limit-min(head, limit)) {
		return 0, &TooLongError{Offset: r.base + int64(r.r), Size: int64(min(size, 1<<62)) + int64(head), Limit: limit}
	}
	total := head + int(size)
	if err := r.fill(total); err != nil {
		return 0, r.within(err)
	}
	return total, nil
}

// fill makes buf[r:w] hold at least n bytes. It returns io.EOF when the stream
// ends first. The buffer grows with what has arrived, not with what a length
// promises.
func (r *Reader) fill(n int) error {
	idle := 0
	for r.w-r.r < n {
		if r.eof {
			return io.EOF
		}
		if r.r == r.w {
			r.base += int64(r.r)
			r.r, r.w = 0, 0
		}
		if r.w == len(r.buf) {
			if r.r > 0 {
				copy(r.buf, r.buf[r.r:r.w])
				r.base += int64(r.r)
				r.r, r.w = 0, r.w-r.r
			} else {
				grown := make([]byte, max(startBuffer, 2*len(r.buf)))
				copy(grown, r.buf[:r.w])
				r.buf = grown
			}
		}
		got, err := r.src.Read(r.buf[r.w:])
		r.w += got
		if got == 0 && err == nil {
			if idle++; idle == 100 {
				err = io.ErrNoProgress
			}
		}
		switch {
		case err == io.EOF:
			r.eof = true
		case err != nil:
			return fmt.Errorf("read at offset %d: %w", r.base+int64(r.w), err)
		}
	}
	return nil
}

// within turns the end of the stream into the error of an unfinished value.
func (r *Reader) within(err error) error {
	if err == io.EOF {
		return fmt.Errorf("binary ion at offset %d: %w, after %d of its bytes", r.base+int64(r.r), ErrTruncated, r.w-r.r)
	}
	return err
}

func (r *Reader) syntax(reason string) error {
	return &SyntaxError{Offset: r.base + int64(r.r), Reason: reason}
}

func (r *Reader) stop(err error) error {
	r.err = err
	return err
}
