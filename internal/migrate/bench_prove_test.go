package migrate_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/plainproof"
	"godwit/internal/proof"
)

// eachBlock reads the blocks of an object.
func eachBlock(object []byte, do func(*journal.Block) error) error {
	r, err := journal.NewReader(bytes.NewReader(object), journal.Options{})
	if err != nil {
		return err
	}
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(b); err != nil {
			return err
		}
	}
}

// A counter is a hash function that only counts compressions of SHA-256.
type counter struct{ size, compressions int }

func (c *counter) Write(b []byte) (int, error) { c.size += len(b); return len(b), nil }
func (c *counter) Sum(b []byte) []byte {
	c.compressions += (c.size + 8 + sha256.BlockSize) / sha256.BlockSize
	return append(b, make([]byte, sha256.Size)...)
}
func (c *counter) Reset()         { c.size = 0 }
func (c *counter) Size() int      { return sha256.Size }
func (c *counter) BlockSize() int { return sha256.BlockSize }

// compressions counts those of SHA-256 that verifying an object of binary Ion
// takes: of the Ion hashes of all that is shown, and two for every pair of hashes.
func compressions(object []byte) (int, error) {
	c := &counter{}
	h := ion.Hasher{New: func() hash.Hash { return c }}
	pairs := 0
	err := eachBlock(object, func(b *journal.Block) error {
		parts := [][]byte{b.RawTransactionInfo, b.RawRedactionInfo}
		for i := range b.Revisions {
			if r := &b.Revisions[i]; r.HasMetadata {
				parts = append(parts, r.RawMetadata, r.RawData)
				pairs++
			}
		}
		pairs += max(len(b.Revisions)-1, 0) + len(b.EntriesHashList) + 1 // entries, the block's hash, the tree over blocks
		for _, part := range parts {
			if part == nil {
				continue
			}
			if _, err := h.Sum(nil, part, b.Symbols); err != nil {
				return err
			}
		}
		return nil
	})
	return c.compressions + 2*pairs, err
}

// verified is a contestant that verifies and maps, as the transform does.
func verified(objects [][]byte, size int64, l *liner, v *proof.Verifier) contestant {
	var out bytes.Buffer
	return contestant{name: "godwit", bytes: size, run: func() error {
		var rec proof.Recorder
		l.each = func(block *journal.Block) error { return rec.Add(block, v.Verify(block)) }
		defer func() { l.each = nil }()
		return every(objects, func(o []byte) error { out.Reset(); return l.lines(o, &out) })()
	}}
}

// sameProof hashes objects in both ways and compares what comes of it: every
// block's hash, how many revisions are proven, and the digest.
func sameProof(b *testing.B, objects [][]byte) {
	b.Helper()
	var plain plainproof.Ledger
	var rec proof.Recorder
	v := &proof.Verifier{}
	blocks := 0
	for _, o := range objects {
		if err := plain.Object(o); err != nil {
			b.Fatal(err)
		}
		err := eachBlock(o, func(block *journal.Block) error {
			c := v.Verify(block)
			if c.Verdict != proof.Proven || blocks >= len(plain.Blocks) || !bytes.Equal(c.Hash.Bytes(), plain.Blocks[blocks]) {
				return fmt.Errorf("block %d is %s, or has another hash the plain way", block.SequenceNo, c.Verdict)
			}
			blocks++
			return rec.Add(block, c)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	var chain proof.Chain
	for _, run := range rec.Runs() {
		if err := chain.Add(&run); err != nil {
			b.Fatal(err)
		}
	}
	got := chain.Conclude(nil)
	if again := got.Revisions[proof.Proven] + got.Revisions[proof.Redacted]; !bytes.Equal(got.Digest.Bytes(), plain.Digest()) || again != int64(plain.Revisions) {
		b.Fatalf("%d revisions are proven and the digest is %s; the plain way %d and %x", again, got.Digest, plain.Revisions, plain.Digest())
	}
}

// BenchmarkVerifiedIonToRows races the whole pass of the transform, hashing and
// mapping, against what its hashes cost at least: as many compressions of one long
// message; and against the plain way, ion-go and an Ion hash as one writes it over
// ion-go's reader. ion-go with ion-hash-go, which is no dependency because the
// module proxy does not have it, took 1.48 times as long as that when both were
// run side by side, with equal hashes: 7 times here are 10 times there.
func BenchmarkVerifiedIonToRows(b *testing.B) {
	oneProcessor(b)
	objects, size := benchObjects(b, ledgergen.IonBinary)
	l := newLiner(b, true)
	n := 0
	for _, o := range objects {
		c, err := compressions(o)
		if err != nil {
			b.Fatal(err)
		}
		n += c
	}
	message := make([]byte, n*sha256.BlockSize)
	sameProof(b, objects)
	sameLines(b, objects, l, plainIon)
	var out bytes.Buffer
	plain := func() error {
		var ledger plainproof.Ledger
		return every(objects, func(o []byte) error {
			out.Reset()
			return errors.Join(ledger.Object(o), plainIon(o, &out))
		})()
	}
	race(b, fmt.Sprintf("Ion binary, fully verified and mapped to rows: %d bytes, %d compressions of SHA-256, CPU time of one core", size, n), cpu,
		verified(objects, size, l, &proof.Verifier{}),
		contestant{name: "SHA-256 of one message of as many compressions", bytes: size, least: 0.20, run: func() error { sha256.Sum256(message); return nil }},
		contestant{name: "ion-go: plain Ion hash, Unmarshal to same rows", bytes: size, least: 7, run: plain},
		contestant{name: "ion-go Unmarshal of blocks to rows, no hash", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return plainIon(o, &out) })},
		contestant{name: "godwit, not verified", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return l.lines(o, &out) })},
	)
}

// BenchmarkVerifiedJSONToRows does so with the chain of JSON alone.
func BenchmarkVerifiedJSONToRows(b *testing.B) {
	oneProcessor(b)
	objects, size := benchObjects(b, ledgergen.JSON)
	l := newLiner(b, true)
	chain := verified(objects, size, l, &proof.Verifier{ChainOnly: true})
	chain.goal = 100
	var out bytes.Buffer
	race(b, fmt.Sprintf("JSON Lines, the chain verified and mapped to rows: %d bytes, CPU time of one core", size), cpu,
		chain,
		contestant{name: "encoding/json into structs, no hash", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return plainJSON(o, &out) })},
		contestant{name: "godwit, not verified", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return l.lines(o, &out) })},
	)
}

// BenchmarkProvenJSONToRows does so with every revision of JSON, by the types that
// were learned before.
func BenchmarkProvenJSONToRows(b *testing.B) {
	oneProcessor(b)
	objects, size := benchObjects(b, ledgergen.JSON)
	l := newLiner(b, true)
	var learner proof.Learner
	all := 0
	l.each = func(block *journal.Block) error {
		for i := range block.Revisions {
			learner.Add(&block.Revisions[i])
		}
		all += len(block.Revisions) - block.HashOnly
		return nil
	}
	var out bytes.Buffer
	for _, o := range objects {
		if err := l.lines(o, &out); err != nil {
			b.Fatal(err)
		}
	}
	full := verified(objects, size, l, &proof.Verifier{Typing: &proof.Typist{Types: learner.Learn()}})
	chain := verified(objects, size, l, &proof.Verifier{ChainOnly: true})
	chain.name = "godwit, the chain alone"
	var took []float64
	run := full.run
	full.run = func() error {
		began := cpu()
		err := run()
		took = append(took, float64(all)/(cpu()-began).Seconds())
		return err
	}
	race(b, fmt.Sprintf("JSON Lines, every revision proven and mapped to rows: %d bytes, CPU time of one core", size), cpu, full, chain)
	fmt.Printf("  %.0f revisions/s proven; at least 60,000: %s\n", middle(took), verdict(middle(took) >= 60_000))
}
