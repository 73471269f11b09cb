package journal

import (
	"fmt"
	"io"
)

// startWindow is the first size of a window: it holds many blocks.
const startWindow = 256 << 10

// A window is the part of a stream of text that is in memory: buf[r:w], of which
// buf[r] lies at offset base+r. It grows with what has arrived.
type window struct {
	src  io.Reader
	buf  []byte
	r, w int
	base int64
	eof  bool
}

func (w *window) offset() int64 { return w.base + int64(w.r) }

// unread returns the bytes in memory. They are valid until the next more.
func (w *window) unread() []byte { return w.buf[w.r:w.w] }

// more reads at least one byte more, or returns io.EOF or the source's error.
func (w *window) more() error {
	if w.eof {
		return io.EOF
	}
	if w.r == w.w {
		w.base += int64(w.r)
		w.r, w.w = 0, 0
	}
	if w.w == len(w.buf) {
		if w.r > len(w.buf)/2 {
			copy(w.buf, w.buf[w.r:w.w])
			w.base += int64(w.r)
			w.r, w.w = 0, w.w-w.r
		} else {
			grown := make([]byte, max(startWindow, 2*len(w.buf)))
			n := copy(grown, w.buf[w.r:w.w])
			w.base += int64(w.r)
			w.buf, w.r, w.w = grown, 0, n
		}
	}
	for idle := 0; idle < 100; idle++ {
		n, err := w.src.Read(w.buf[w.w:])
		w.w += n
		switch {
		case err == io.EOF && n > 0:
			w.eof = true
			return nil
		case err == io.EOF:
			w.eof = true
			return io.EOF
		case n > 0:
			return nil // an error beside bytes comes again
		case err != nil:
			return fmt.Errorf("read at offset %d: %w", w.base+int64(w.w), err)
		}
	}
	return fmt.Errorf("read at offset %d: %w", w.base+int64(w.w), io.ErrNoProgress)
}
