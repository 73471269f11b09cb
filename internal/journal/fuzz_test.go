package journal_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"godwit/internal/journal"
)

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzBlocks reads anything as an object: no panic, memory in proportion to the
// input, offsets that grow, and from the last position the same end.
func FuzzBlocks(f *testing.F) {
	for _, format := range formats {
		f.Add(encode(f, format, newSynthetic(6).blocks(2)))
		f.Add(encode(f, format, strings.ReplaceAll(sample, "HASH", hashA)))
	}
	f.Add(zip(f, encode(f, journal.JSON, newSynthetic(6).blocks(1))))
	f.Add(streamed(f, newSynthetic(7), 2, 1))
	f.Add([]byte("$ion_1_0 // c\n{a:'''x''' '''y''',b:{{YWI=}},c:{{\"x\"}},d:{{'''y'''}},e:'q\\'',f:2019-09-16T19:37:05.1234567891Z} /* */"))
	f.Fuzz(func(t *testing.T, object []byte) {
		const limit = 1 << 20
		before := allocated()
		r, err := journal.NewReader(bytes.NewReader(object), journal.Options{MaxBlockBytes: limit})
		last, read := int64(-1), 0
		for err == nil {
			var b *journal.Block
			if b, err = r.Next(); err != nil {
				break
			}
			read++
			if b.Offset <= last || r.Position().Offset <= b.Offset {
				t.Fatalf("block at %d after one at %d, position %d", b.Offset, last, r.Position().Offset)
			}
			last = b.Offset
			for rec, err := range b.Records() {
				var bad *journal.RecordError
				if rec == nil || err != nil && !errors.As(err, &bad) {
					t.Fatalf("record %v with error %v", rec, err)
				}
			}
			p := r.Position()
			if rest, err := journal.NewReader(bytes.NewReader(object), journal.Options{Resume: &p, MaxBlockBytes: limit}); err != nil {
				t.Fatalf("resume at %+v: %v", p, err)
			} else if _, err := rest.Next(); err == nil && read > 100 {
				return // enough
			}
		}
		if used := allocated() - before; used > uint64(read+2)*(8<<20)+4000*uint64(len(object)) {
			t.Errorf("%d bytes of input took %d", len(object), used)
		}
		if err != nil && err != io.EOF && len(err.Error()) > 2000 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	})
}
