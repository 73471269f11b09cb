package proof_test

import (
	"crypto/sha256"
	"hash"
	"syscall"
	"testing"
	"time"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// BenchmarkVerify reads and verifies a ledger fully and says what part that is of
// the Ion-hash limit: the compressions of SHA-256 that verifying takes, at the
// rate of one long message, measured in turn with it. Times are of the processor,
// so that other work on the machine counts little.
func BenchmarkVerify(b *testing.B) {
	for _, format := range formats {
		for _, chainOnly := range []bool{false, true} {
			name := string(format)
			if chainOnly {
				name += " chain"
			}
			b.Run(name, func(b *testing.B) {
				o := ledgergen.Options{Seed: 1, Documents: 4000, Format: format}
				_, objects := generate(b, o)
				v := proof.Verifier{ChainOnly: chainOnly}
				size, revisions := 0, 0
				for _, body := range objects {
					size += len(body)
				}
				compressions := shaCompressions(b, o)
				var verifying, reading, limit time.Duration
				for b.Loop() {
					verifying += spent(b, func() {
						eachBlock(b, objects, func(block *journal.Block) {
							v.Verify(block)
							revisions += len(block.Revisions)
						})
					})
					reading += spent(b, func() { eachBlock(b, objects, func(*journal.Block) {}) })
					limit += spent(b, func() { longMessage(compressions) })
				}
				b.ReportMetric(float64(b.N*size)/1e6/verifying.Seconds(), "MB/s")
				b.ReportMetric(float64(revisions)/verifying.Seconds(), "revisions/s")
				b.ReportMetric(limit.Seconds()/verifying.Seconds(), "of-limit")
				b.ReportMetric(limit.Seconds()/(verifying-reading).Seconds(), "of-limit-without-reading")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// spent is the processor time that do takes.
func spent(b *testing.B, do func()) time.Duration {
	b.Helper()
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := now()
	do()
	return now() - start
}

// longMessage takes so many compressions of one message.
func longMessage(compressions int) {
	message := make([]byte, 64<<10)
	h := sha256.New()
	for n := 0; n < compressions; n += len(message) / sha256.BlockSize {
		h.Write(message)
	}
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
