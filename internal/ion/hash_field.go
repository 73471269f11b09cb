package ion

import "encoding/binary"

// FieldSum adds a field of the innermost struct by its hash alone, the SHA-256
// of s(name) and s(value), where LastField told it before: whoever hashes a
// document again with one value changed need not spell out the others.
func (h *Hasher) FieldSum(sum *[32]byte) {
	h.Field(nil)
	if h.err != nil {
		return
	}
	f := &h.frames[len(h.frames)-1]
	h.text = h.text[:f.field]
	f.field = -1
	from := len(h.digests)
	h.digests = append(h.digests, sum[:]...)
	h.spans = append(h.spans, hashSpan{key: binary.BigEndian.Uint64(sum[:]), from: from, to: from + len(sum)})
}

// LastField returns the hash of the field that was last spelled out in the
// innermost struct, until the next call of any method; nil where there is none.
func (h *Hasher) LastField() []byte {
	n := len(h.frames)
	if n == 0 || len(h.spans) == h.frames[n-1].spans || h.frames[n-1].field >= 0 {
		return nil
	}
	s := h.spans[len(h.spans)-1]
	return h.digests[s.from:s.to]
}

// IsTimestamp reports whether text is a timestamp that Hasher.Timestamp and
// Writer.Timestamp take.
func IsTimestamp(text []byte) bool {
	// Most strings are none: tell those apart without making an error.
	if len(text) < len("2019T") || text[4] != '-' && text[4] != 'T' || !allDigits(text[:4]) {
		return false
	}
	var buf [32]byte
	_, err := appendTimestamp(buf[:0], string(text))
	return err == nil
}
