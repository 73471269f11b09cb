package proof_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

const (
	digestText  = "6m6BMXobbJKpMhahwVthAEsN6awgnHK62Qq5McGP1Gk="
	addressText = `{strandId:\"KmA3ZZca7vAIiJAK9S5Iwl\",sequenceNo:123}`
)

func TestEvidenceIsReadAsPeopleKeptIt(t *testing.T) {
	var digest proof.Hash
	if err := digest.UnmarshalText([]byte(digestText)); err != nil {
		t.Fatal(err)
	}
	a, b := number(1), number(2)
	bare := proof.Evidence{Digest: digest, Tip: -1}
	tip := proof.Evidence{Digest: digest, Strand: "KmA3ZZca7vAIiJAK9S5Iwl", Tip: 123}
	with := func(e proof.Evidence, ledger string, p *proof.Proof) proof.Evidence {
		e.Ledger, e.Proof = ledger, p
		return e
	}
	path := []proof.Hash{a, b}
	ionPath := fmt.Sprintf("[{{%s}},{{%s}}]", a, b)
	block := fmt.Sprintf(`{blockAddress:{strandId:\"S\",sequenceNo:7},blockHash:{{%s}},other:2019-01-01T}`, a)
	revision := fmt.Sprintf(`{blockAddress:{strandId:\"S\",sequenceNo:7},hash:{{%s}},data:{x:1.5,y:a::sym,z:(1 2)},metadata:{id:\"D\",version:3,txTime:2019-01-01T00:00:00.000Z}}`, a)
	cases := []struct {
		name, text string
		want       proof.Evidence
	}{
		{"base64", " " + digestText + "\n", bare},
		{"base64 in quotes", `"` + digestText + `"`, bare},
		{"hex", hex.EncodeToString(digest.Bytes()), bare},
		{"upper-case hex", strings.ToUpper(hex.EncodeToString(digest.Bytes())), bare},
		{"the console's digest file", `{"digest":"` + digestText + `","digestTipAddress":"` + addressText + `","ledger":"my-ledger","date":"2019-04-17T16:57:26.749Z"}`, with(tip, "my-ledger", nil)},
		{"the console's digest file as Ion", `{digest:"` + digestText + `",digestTipAddress:{strandId:"KmA3ZZca7vAIiJAK9S5Iwl",sequenceNo:123},ledger:"my-ledger",date:2019-04-17T16:57:26.749Z}`, with(tip, "my-ledger", nil)},
		{"Ion with a blob", `{digest:{{` + digestText + `}},digestTipAddress:{strandId:"KmA3ZZca7vAIiJAK9S5Iwl",sequenceNo:123}}`, tip},
		{"GetDigest", `{"Digest":"` + digestText + `","DigestTipAddress":{"IonText":"` + addressText + `"}}`, tip},
		{
			"GetBlock", `{"Block":{"IonText":"` + block + `"},"Proof":{"IonText":"` + ionPath + `"}}`,
			proof.Evidence{Tip: -1, Proof: &proof.Proof{Block: 7, Leaf: a, Path: path}},
		},
		{
			"GetRevision", `{"Proof":{"IonText":"` + ionPath + `"},"Revision":{"IonText":"` + revision + `"}}`,
			proof.Evidence{Tip: -1, Proof: &proof.Proof{Block: 7, Document: "D", Leaf: a, Path: path}},
		},
		{
			"GetDigest and GetBlock in one", `{"Digest":"` + digestText + `","DigestTipAddress":{"IonText":"` + addressText + `"},"Block":{"IonText":"` + block + `"},"Proof":{"IonText":"` + ionPath + `"}}`,
			with(tip, "", &proof.Proof{Block: 7, Leaf: a, Path: path}),
		},
		{
			"proofs.json", fmt.Sprintf(`{"Ledger":"l","Digest":%q,"DigestTipAddress":{"strandId":"KmA3ZZca7vAIiJAK9S5Iwl","sequenceNo":123},"Export":"E","LastBlockNum":99,"LastBlockTimestamp":"t","Proof":[%q,%q]}`, digestText, a, b),
			with(tip, "l", &proof.Proof{Block: 99, Path: path}),
		},
		{
			"proofs.json with Ion in it", fmt.Sprintf(`{"Ledger":"l","Digest":%q,"DigestTipAddress":"%s","Export":"E","LastBlockNum":99,"Proof":%q}`, digestText, addressText, ionPath),
			with(tip, "l", &proof.Proof{Block: 99, Path: path}),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := proof.ParseEvidence([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got, cmp.AllowUnexported(proof.Hash{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEvidenceThatSaysNothingIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "  ", "AAAA", "zz", strings.Repeat("0", 62), "[]", "{}", "null", `{"digest":"AAAA"}`, `{"digest":""}`, `{"digest":5}`, `{"ledger":"x"}`,
		`{"digest":"` + digestText + `","digestTipAddress":"{strandId:\"x\"}"}`, `{"digest":"` + digestText + `","digestTipAddress":5}`,
		`{"digest":"` + digestText + `","proof":[]}`, `{"digest":"` + digestText + `","proof":["x"],"LastBlockNum":1}`, `{"proof":"[","LastBlockNum":1}`,
		`{"digest":"` + digestText + `","proof":[],"LastBlockNum":-1}`, `{"digest":"` + digestText + `","proof":[],"LastBlockNum":1.5}`,
		`{"Digest":"` + digestText + `","DigestTipAddress":{"strandId":"S","sequenceNo":5},"Proof":[],"LastBlockNum":6}`,
		`{"Proof":[],"Block":{"IonText":"{}"}}`, `{"Proof":[],"Revision":{"IonText":"{hash:{{` + digestText + `}},blockAddress:{strandId:\"S\",sequenceNo:7}}"}}`,
		"{digest:", "$ion_1_0 {a:1} {b:2}",
	} {
		if e, err := proof.ParseEvidence([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", text, e)
		}
	}
}

func FuzzEvidence(f *testing.F) {
	f.Add([]byte(digestText))
	f.Add([]byte(`{"Digest":"` + digestText + `","DigestTipAddress":{"IonText":"` + addressText + `"},"Proof":{"IonText":"[{{}}]"},"LastBlockNum":1}`))
	f.Add([]byte(`{digest:{{` + digestText + `}},proof:[{{` + digestText + `}}],lastBlockNum:3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := proof.ParseEvidence(b)
		if err == nil && e.Digest.IsEmpty() && e.Proof == nil {
			t.Errorf("%q: read as nothing", b)
		}
	})
}

// kept returns what GetDigest and the proofs would have said of a ledger at tip.
func kept(t *testing.T, leaves []proof.Hash, strand string, tip, proven int) proof.Evidence {
	t.Helper()
	e := proof.Evidence{Digest: proof.Merkle(leaves[:tip+1]), Strand: strand, Tip: int64(tip)}
	if proven >= 0 {
		path, err := proof.Inclusion(uint64(proven), uint64(tip)+1, nodesOf(leaves))
		if err != nil {
			t.Fatal(err)
		}
		e.Proof = &proof.Proof{Block: int64(proven), Path: path}
	}
	return e
}

func TestConclusionsSayHowFarTheProofReaches(t *testing.T) {
	ledger, objects := generate(t, ledgergen.Options{Seed: 12, Documents: 120})
	var leaves []proof.Hash
	var revision proof.Evidence // of a revision in block 30 under the digest at 40
	var v proof.Verifier
	eachBlock(t, objects, func(b *journal.Block) { leaves = append(leaves, parse(t, b.Hash)) })
	eachBlock(t, objects, func(b *journal.Block) {
		if c := v.Verify(b); revision.Proof == nil && b.SequenceNo >= 30 && len(b.Revisions) > 1 {
			path, err := proof.RevisionPath(b, c, 1)
			if err != nil {
				t.Fatal(err)
			}
			revision = kept(t, leaves, ledger.Strand, 40, int(b.SequenceNo))
			revision.Proof.Path = append(path, revision.Proof.Path...)
			revision.Proof.Document, revision.Proof.Leaf = string(b.Revisions[1].DocumentID), parse(t, b.Revisions[1].Hash)
		}
	})
	last := len(leaves) - 1
	full := kept(t, leaves, ledger.Strand, last, -1)
	middle := kept(t, leaves, ledger.Strand, 20, -1)
	beyond := kept(t, leaves, ledger.Strand, last, last-5)
	without := beyond
	without.Proof = nil
	bare := proof.Evidence{Digest: full.Digest, Tip: -1}
	foreign := full
	foreign.Strand = "another"
	forged := kept(t, leaves, ledger.Strand, last, last-5)
	forged.Proof.Path[1] = number(1)
	wrong := full
	wrong.Digest = number(1)
	answer := beyond
	answer.Digest, answer.Tip = proof.Hash{}, -1
	other := answer
	other.Proof = &proof.Proof{Block: answer.Proof.Block, Leaf: number(3), Path: answer.Proof.Path}
	lost, elsewhere := revision, *revision.Proof
	elsewhere.Leaf = number(5)
	lost.Proof = &elsewhere
	cases := []struct {
		name        string
		first, last int // blocks of the archive
		evidence    []proof.Evidence
		level       int
		ties        int
		says        string // in Holds, Open or Contradictions
	}{
		{"nothing kept", 0, last, nil, 1, 0, "no digest or proof was given"},
		{"digest at the last block", 0, last, []proof.Evidence{full}, 3, 1, "under the digest " + full.Digest.String()},
		{"digest without its tip", 0, last, []proof.Evidence{bare}, 3, 1, "by all block hashes"},
		{"digest without its tip, of another block", 0, last - 1, []proof.Evidence{bare}, 1, 0, "which block it ends with"},
		{"digest in the middle", 0, last, []proof.Evidence{middle}, 1, 1, fmt.Sprintf("blocks 21 to %d: no digest that was kept covers them", last)},
		{"two digests", 0, last, []proof.Evidence{middle, full}, 3, 2, "blocks 0 to 20 are under"},
		{"digest beyond, with a proof of the last block", 0, last - 5, []proof.Evidence{beyond}, 3, 1, "by the proof of block"},
		{"digest beyond, without", 0, last - 5, []proof.Evidence{without}, 1, 0, "were cut off, or written after"},
		{"no first blocks, with a proof of the last one", 7, last - 5, []proof.Evidence{beyond}, 3, 1, fmt.Sprintf("blocks 7 to %d are under", last-5)},
		{"no first blocks, with a proof before the last one", 7, last, []proof.Evidence{beyond}, 1, 1, fmt.Sprintf("blocks %d to %d: no digest that was kept covers them", last-4, last)},
		{"no first blocks, without", 7, last, []proof.Evidence{full}, 1, 0, "does not reach from block 0"},
		{"proof of a block that is not there", 0, 5, []proof.Evidence{beyond}, 1, 0, "is not in the archive"},
		{"a GetBlock answer and a digest", 0, last - 5, []proof.Evidence{answer, without}, 3, 1, "by the proof of block"},
		{"a GetBlock answer alone", 0, last - 5, []proof.Evidence{answer}, 1, 0, "no digest that was kept is that"},
		{"a GetRevision answer", 7, last, []proof.Evidence{revision}, 1, 1, "by the proof of document"},
		{"a GetRevision answer of another block", 7, last, []proof.Evidence{lost}, 0, 0, "does not lead through"},
		{"a digest of another strand", 0, last, []proof.Evidence{foreign}, 0, 0, "another ledger"},
		{"another digest", 0, last, []proof.Evidence{wrong}, 0, 0, "lead to the digest"},
		{"a forged proof", 0, last - 5, []proof.Evidence{forged}, 0, 0, "forged"},
		{"a GetBlock answer of another block", 0, last - 5, []proof.Evidence{other}, 0, 0, "the GetBlock answer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := proof.Recorder{}
			for _, e := range c.evidence {
				r.Marks = append(r.Marks, e.Marks()...)
			}
			eachBlock(t, objects, func(b *journal.Block) {
				if n := int(b.SequenceNo); n >= c.first && n <= c.last {
					if err := r.Add(b, v.Verify(b)); err != nil {
						t.Fatal(err)
					}
				}
			})
			chain, err := stitch(r.Runs())
			if err != nil {
				t.Fatal(err)
			}
			got := chain.Conclude(c.evidence)
			all := strings.Join(slices.Concat(got.Holds, got.Contradictions), "\n")
			for _, o := range got.Open {
				all += "\n" + o.What + ": " + o.Why + ": " + o.Lift
			}
			if got.Level != c.level || len(got.Ties) != c.ties || !strings.Contains(all, c.says) || (got.Err() != nil) != (c.level == 0) {
				t.Errorf("level %d, ties %v, %v, want level %d, %d ties and %q in\n%s", got.Level, got.Ties, got.Err(), c.level, c.ties, c.says, all)
			}
			b, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var read proof.Conclusion
			if err := json.Unmarshal(b, &read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, &read, cmp.AllowUnexported(proof.Hash{})); diff != "" {
				t.Errorf("as JSON:\n%s", diff)
			}
		})
	}
}

func TestAWSSamplesProofsTieItsArchive(t *testing.T) {
	var ev []proof.Evidence
	var objects [][]byte
	ledger, err := ledgergen.Generate(ledgergen.Options{Seed: 2, Documents: 300, Layout: ledgergen.AWSSample}, func(o ledgergen.Object) error {
		switch {
		case o.First >= 0:
			objects = append(objects, slices.Clone(o.Body))
		case strings.HasSuffix(o.Key, ".proofs.json"):
			e, err := proof.ParseEvidence(o.Body)
			if err != nil {
				return err
			}
			ev = append(ev, *e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o := prove(objects, ev)
	if len(ev) < 2 || o.conclusion == nil || len(o.conclusion.Ties) != len(ev) || o.conclusion.Level != 2 || ledger.Tip <= ledger.LastBlock {
		t.Errorf("%d proofs: %+v", len(ev), o.conclusion)
	}
	if got := o.conclusion.Revisions; got[proof.TypeUnproven] == 0 || got[proof.Proven] == 0 {
		t.Errorf("verdicts on JSON: %v", got)
	}
}

// An Evidence with a proof is read as it was written, and checked like any other.
func TestEvidenceIsReadAsItWasWritten(t *testing.T) {
	a, b := number(1), number(2)
	path := []proof.Hash{a, b}
	for _, e := range []proof.Evidence{
		{Tip: -1, Proof: &proof.Proof{Block: 7, Leaf: a, Path: path}},
		{Ledger: "l", Digest: b, Strand: "S", Tip: 9, Proof: &proof.Proof{Block: 7, Document: "D", Leaf: a, Path: path}},
		{Digest: b, Tip: -1, Proof: &proof.Proof{Block: 0, Path: []proof.Hash{}}},
	} {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proof.ParseEvidence(text)
		if err != nil || cmp.Diff(&e, got, cmp.Comparer(func(a, b proof.Hash) bool { return a == b })) != "" {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		`{"digest":"","tip":-1,"proof":{"leaf":"","path":[]}}`,
		`{"digest":"","tip":3,"proof":{"block":7,"leaf":"","path":[]}}`,
		`{"digest":"","tip":-1,"proof":{"block":7,"document":"D","leaf":"","path":[]}}`,
		`{"digest":"","tip":-1,"proof":{"block":7,"leaf":"","path":[""]}}`,
		`{"digest":"","tip":-1,"proof":{"block":7,"leaf":"","path":["` + strings.Repeat("A", 43) + `="]},"other":1}`,
		`{"digest":"","tip":-1,"proof":{"block":7,"leaf":"","path":["` + strings.Repeat("A", 43) + `="` + strings.Repeat(`,"`+strings.Repeat("A", 43)+`="`, 128) + `]}}`,
	} {
		if got, err := proof.ParseEvidence([]byte(text)); err == nil {
			t.Errorf("%.120s is read as %+v", text, got)
		}
	}
}
