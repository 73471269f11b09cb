package proof_test

import (
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

func learn(t testing.TB, objects [][]byte) *proof.Types {
	t.Helper()
	var l proof.Learner
	eachBlock(t, objects, func(b *journal.Block) {
		for i := range b.Revisions {
			l.Add(&b.Revisions[i])
		}
	})
	return l.Learn()
}

func TestEveryRevisionOfAJSONLedgerIsProven(t *testing.T) {
	for seed := range uint64(3) {
		_, objects := generate(t, ledgergen.Options{Seed: seed, Documents: 1500, Format: ledgergen.JSON})
		types := learn(t, objects)
		v := proof.Verifier{Typing: &proof.Typist{Types: types}}
		var revisions proof.Counts
		open := map[string]int{}
		eachBlock(t, objects, func(b *journal.Block) {
			for i, verdict := range v.Verify(b).Revisions {
				revisions[verdict]++
				if verdict == proof.TypeUnproven {
					open[b.Revisions[i].Table.Name]++
					if open[b.Revisions[i].Table.Name] < 4 {
						t.Logf("%s", b.Revisions[i].RawData)
					}
				}
			}
		})
		text, err := types.MarshalJSON()
		t.Log(seed, revisions, open, len(text), err)
	}
}
