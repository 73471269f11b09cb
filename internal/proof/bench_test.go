package proof_test

import (
	"crypto/sha256"
	"hash"
	"testing"
	"time"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// BenchmarkVerify verifies a ledger fully and says what part that is of the
// Ion-hash limit: the compressions of SHA-256 that the Ion hashes take, at the
// rate of one long message, measured in the same run.
func BenchmarkVerify(b *testing.B) {
	for _, format := range formats {
		b.Run(string(format), func(b *testing.B) {
			o := ledgergen.Options{Seed: 1, Documents: 8000, Format: format}
			_, objects := generate(b, o)
			var v proof.Verifier
			size, revisions, reading := 0, 0, time.Duration(0)
			for _, body := range objects {
				size += len(body)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			start := time.Now()
			for b.Loop() {
				eachBlock(b, objects, func(block *journal.Block) {
					v.Verify(block)
					revisions += len(block.Revisions)
				})
			}
			took := time.Since(start) / time.Duration(b.N)
			b.StopTimer()
			start = time.Now()
			eachBlock(b, objects, func(*journal.Block) {})
			reading = time.Since(start)
			compressions := shaCompressions(b, o)
			limit := longMessage(compressions)
			b.ReportMetric(float64(revisions)/float64(b.N)/took.Seconds(), "revisions/s")
			b.ReportMetric(limit.Seconds()/took.Seconds(), "of-SHA-limit")
			b.ReportMetric(limit.Seconds()/(took-reading).Seconds(), "of-SHA-limit-without-reading")
		})
	}
}

// longMessage is how long SHA-256 takes for so many compressions of one message.
func longMessage(compressions int) time.Duration {
	message := make([]byte, 64<<10)
	start := time.Now()
	h := sha256.New()
	for n := 0; n < compressions; n += len(message) / sha256.BlockSize {
		h.Write(message)
	}
	return time.Since(start)
}

// A counter is a hash function that counts compressions of SHA-256.
type counter struct {
	size, compressions int
}

func (c *counter) Write(b []byte) (int, error) { c.size += len(b); return len(b), nil }
func (c *counter) Sum(b []byte) []byte {
	c.compressions += (c.size + 8 + 64) / 64
	return append(b, make([]byte, 32)...)
}
func (c *counter) Reset()         { c.size = 0 }
func (c *counter) Size() int      { return 32 }
func (c *counter) BlockSize() int { return 64 }

// shaCompressions counts what verifying a ledger fully takes: Ion hashes, and two
// for every pair of hashes.
func shaCompressions(t testing.TB, o ledgergen.Options) int {
	t.Helper()
	o.Format = ledgergen.IonBinary
	_, objects := generate(t, o)
	var c counter
	h := ion.Hasher{New: func() hash.Hash { return &c }}
	pairs := 0
	eachBlock(t, objects, func(b *journal.Block) {
		parts := [][]byte{b.RawTransactionInfo, b.RawRedactionInfo}
		for i := range b.Revisions {
			if r := &b.Revisions[i]; r.HasMetadata {
				parts = append(parts, r.RawMetadata, r.RawData)
				pairs++
			}
		}
		pairs += max(len(b.Revisions)-1, 0) + len(b.EntriesHashList) // entries, and the block's hash
		for _, part := range parts {
			if part == nil {
				continue
			}
			if _, err := h.Sum(nil, part, b.Symbols); err != nil {
				t.Fatal(err)
			}
		}
	})
	return c.compressions + 2*pairs
}
