package journal

import (
	"bytes"
	"fmt"
	"io"

	"godwit/internal/ion"
)

// line returns the next line that is not blank, and where it begins, and moves
// behind it. It is valid until the next call.
func (w *window) line(limit int) (line []byte, at int64, err error) {
	scanned := 0
	for {
		b := w.unread()
		if n := bytes.IndexByte(b[scanned:], '\n'); n >= 0 {
			n += scanned
			at = w.offset()
			w.r += n + 1
			if n > limit {
				return nil, at, tooLong(JSON, at, n, limit)
			}
			if skipSpace(b[:n], 0) == n {
				scanned = 0
				continue
			}
			return b[:n:n], at, nil
		}
		scanned = len(b)
		if scanned > limit {
			return nil, w.offset(), tooLong(JSON, w.offset(), scanned, limit)
		}
		if err := w.more(); err == nil {
			continue
		} else if err != io.EOF {
			return nil, w.offset(), err
		}
		b, at = w.unread(), w.offset()
		from := skipSpace(b, 0)
		if from == len(b) {
			w.r = w.w
			return nil, w.offset(), io.EOF
		}
		// The last line has no end: it may have lost part of its block.
		if _, reason := skipValue(b, from); reason == valueOpen || reason == stringOpen {
			return nil, at, fmt.Errorf("JSON at offset %d: %w, after %d of its bytes", at, ion.ErrTruncated, len(b))
		}
		w.r = w.w
		return b[:len(b):len(b)], at, nil
	}
}

// A TooLongError reports a block above Options.MaxBlockBytes.
type TooLongError struct {
	Format Format
	Offset int64 // of the block
	Size   int   // at least, in bytes
	Limit  int   // MaxBlockBytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("%s at offset %d: block of at least %d bytes exceeds the limit of %d", e.Format, e.Offset, e.Size, e.Limit)
}

func tooLong(f Format, at int64, size, limit int) error {
	return &TooLongError{Format: f, Offset: at, Size: size, Limit: limit}
}
