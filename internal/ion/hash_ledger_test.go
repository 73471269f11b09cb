package ion_test

import (
	"encoding/base64"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/plainproof"
)

// TestFixedLedgersHaveTheirDigests hashes whole ledgers again without any code
// that made them. The digests stand here as they were found, so that writer and
// oracle cannot drift together, either.
func TestFixedLedgersHaveTheirDigests(t *testing.T) {
	for _, c := range []struct {
		seed      uint64
		documents int
		digest    string
	}{
		{1, 0, "pzXbXvKRBLqYQ4l+dlXriBLlA+QJXJQZ7tunWLuCQuA="},
		{1, 500, "Rn/ltteruYcD30iBShdEDJFSyz18Hf1G9S0j2pU0Ve0="},
		{7, 200, "G/tue36uBsDk+Q2pLJd50Qu834k9H0aCX0qgLPsWHzc="},
	} {
		var a plainproof.Ledger
		ledger, err := ledgergen.Generate(ledgergen.Options{Seed: c.seed, Documents: c.documents}, func(o ledgergen.Object) error {
			if o.First < 0 {
				return nil
			}
			return a.Object(o.Body)
		})
		if err != nil {
			t.Fatal(err)
		}
		if int64(a.Revisions) != ledger.Revisions() || int64(len(a.Blocks)) != ledger.Blocks {
			t.Errorf("seed %d: hashed %d revisions in %d blocks, want %d in %d", c.seed, a.Revisions, len(a.Blocks), ledger.Revisions(), ledger.Blocks)
		}
		if got := base64.StdEncoding.EncodeToString(a.Digest()); got != c.digest || got != ledger.Digest.String() {
			t.Errorf("seed %d, %d documents: digest %s, ledgergen says %s, want %s", c.seed, c.documents, got, ledger.Digest, c.digest)
		}
	}
}
