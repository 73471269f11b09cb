package migrate_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/proof"
)

const (
	exportStrand = "ADR2Ll1fGsU4Jr4EqTdnQF"
	exportRole   = "arn:aws:iam::111122223333:role/export"
	exportLedger = "vehicle-registration"
	exportWhole  = `{"LedgerName":"vehicle-registration","BucketPrefix":"exports/dmv/","ExportCount":3}`
)

// check compares what was exported with the ledger: each block in one object of
// one of the exports, and proofs that lead to the digest.
func (e *exporting) check(out migrate.Input) {
	e.t.Helper()
	held := map[int64]string{}
	ids := map[string]bool{}
	for _, id := range out.ExportIds {
		if ids[id] {
			e.t.Errorf("export %s is named twice", id)
		}
		ids[id] = true
		manifest, err := e.objects.read(out.Bucket, out.Prefix+id+"."+exportStrand+".completed.manifest")
		if err != nil {
			e.t.Fatal(err)
		}
		m, err := journal.ParseCompletedManifest(manifest)
		if err != nil {
			e.t.Fatal(err)
		}
		last := int64(-1)
		for _, key := range m.Keys {
			k := journal.ParseKey(out.Prefix, key)
			for n := k.First; n <= k.Last; n++ {
				if held[n] != "" {
					e.t.Errorf("block %d is in %s and %s", n, held[n], key)
				}
				held[n] = key
				last = n
			}
		}
		e.checkProofs(out, id, last)
	}
	if *out.LastBlockNum < e.order.Tip || int64(len(held)) != *out.LastBlockNum+1 {
		e.t.Errorf("%d blocks up to %d are exported, the digest was of block %d", len(held), *out.LastBlockNum, e.order.Tip)
	}
	at, err := time.Parse(time.RFC3339Nano, out.LastBlockTimestamp)
	if err != nil || !at.Equal(e.ledger.times[*out.LastBlockNum]) {
		e.t.Errorf("the last block is of %s, %v; want %s", out.LastBlockTimestamp, err, e.ledger.times[*out.LastBlockNum])
	}
	if *out.DigestTip < *out.LastBlockNum || out.Strand != exportStrand || out.LedgerName != exportLedger {
		e.t.Errorf("output %+v", out)
	}
	if e.ledger.most > 2 {
		e.t.Errorf("%d exports were under way at once", e.ledger.most)
	}
}

func (e *exporting) checkProofs(out migrate.Input, id string, last int64) {
	e.t.Helper()
	b, err := e.objects.read(out.Bucket, out.Prefix+id+"."+exportStrand+".proofs.json")
	if err != nil {
		e.t.Error(err)
		return
	}
	var file struct {
		Ledger, Digest, Export, LastBlockTimestamp string
		DigestTipAddress                           struct {
			Strand   string `json:"strandId"`
			Sequence int64  `json:"sequenceNo"`
		}
		LastBlockNum int64
		Proof        []string
	}
	if err := json.Unmarshal(b, &file); err != nil {
		e.t.Fatal(err)
	}
	tip := file.DigestTipAddress
	if file.Ledger != exportLedger || file.Export != id || file.LastBlockNum != last || `"`+file.Digest+`"` != string(out.Digest) || tip.Sequence != *out.DigestTip || tip.Strand != exportStrand {
		e.t.Errorf("proofs of export %s: %s", id, b)
	}
	var path []proof.Hash
	for _, text := range file.Proof {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			e.t.Fatal(err)
		}
		h, err := proof.ParseHash(raw)
		if err != nil {
			e.t.Fatal(err)
		}
		path = append(path, h)
	}
	if got := proof.Fold(e.ledger.hashes[last], path).String(); got != file.Digest {
		e.t.Errorf("the proof of block %d leads to %s, not to %s", last, got, file.Digest)
	}
	if want := proof.Merkle(e.ledger.hashes[:tip.Sequence+1]).String(); file.Digest != want {
		e.t.Errorf("digest %s at block %d, want %s", file.Digest, tip.Sequence, want)
	}
}

// blockTimes makes n block times, some of them equal.
func blockTimes(r *rand.Rand, n int) []time.Time {
	at := time.Date(2021, 8, 3, 17, 4, 5, r.IntN(1000)*1e6, time.UTC)
	unit := []time.Duration{time.Microsecond, time.Millisecond, time.Second}[r.IntN(3)]
	steps := []int{1, 2, 4000}[r.IntN(3)]
	times := make([]time.Time, n)
	for i := range times {
		times[i] = at
		at = at.Add(time.Duration(r.IntN(steps)) * unit)
	}
	return times
}

// Ledgers of 1 to 500 blocks by 1 to 20 exports, equal times included: every block
// once, a proof beside each export, and an output that LedgerLoad takes. Calls are
// lost before and behind their effect, throttled and cut off at random.
func TestExportHoldsEveryBlockOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 7))
	for round := range 30 {
		n, exports := 1+r.IntN(500), 1+r.IntN(20)
		if round < 5 {
			n, exports = []int{1, 1, 2, 2, 500}[round], []int{1, 20, 1, 20, 20}[round]
		}
		e := newExporting(t, blockTimes(r, n)...)
		e.objects.changing = func(key string) bool { return strings.HasSuffix(key, ".proofs.json") }
		faults, concurrent := round%3 > 0, 1+r.IntN(4)
		if faults {
			e.ledger.cancel = r.IntN(3)
			strike := func(call string) (bool, error) {
				odds := 6
				if call == "block" {
					odds = 200 // a step asks for many, all or nothing
				}
				if r.IntN(odds) > 0 {
					return true, nil
				}
				return r.IntN(2) == 0, []error{errCrash, &serviceError{"ThrottlingException", "slow down"}, &serviceError{"InternalFailure", "oops"}}[r.IntN(3)]
			}
			e.ledger.fault, e.objects.fault = strike, strike
		}
		// Blocks go on arriving, the first of them within the tip's millisecond.
		e.ledger.digested = func() {
			if r.IntN(2) == 0 {
				last := e.ledger.times[len(e.ledger.times)-1]
				e.ledger.add(last)
				e.ledger.add(last.Add(time.Duration(r.IntN(3)) * time.Millisecond))
			}
		}
		input := fmt.Sprintf(`{"LedgerName":%q,"BucketPrefix":"exports/dmv/","ExportCount":%d,"OutputFormat":"ION_TEXT","ConcurrentExports":%d}`, exportLedger, exports, concurrent)
		out, err := e.run(input)
		if err != nil {
			t.Fatalf("%d blocks, %d exports: %v", n, exports, err)
		}
		e.check(out)
		if want := min(n+8, exports); len(out.ExportIds) > want || out.Bucket != archiveBucket || out.Prefix != "exports/dmv/" {
			t.Errorf("%d blocks, %d exports: output %+v", n, exports, out)
		}
		if t.Failed() {
			t.Fatalf("in round %d: %d blocks, %d exports, faults %v", round, n, exports, faults)
		}
	}
}

// What LedgerExport gives starts LedgerLoad as it is.
func TestOutputOfExportIsAnInputOfLoad(t *testing.T) {
	e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
	out, err := e.run(exportWhole)
	if err != nil {
		t.Fatal(err)
	}
	tip, last := int64(19), int64(19)
	want := migrate.Input{
		Bucket: archiveBucket, Prefix: "exports/dmv/", ExportIds: []string{"Export0000000000000000", "Export0000000000000001", "Export0000000000000002"},
		LedgerName: exportLedger, Strand: exportStrand, Digest: json.RawMessage(`"` + proof.Merkle(e.ledger.hashes).String() + `"`), DigestTip: &tip,
		LastBlockNum: &last, LastBlockTimestamp: e.ledger.times[19].Format("2006-01-02T15:04:05.000000Z"),
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	// The fake finds objects that are written again with other bytes.
	if _, err := e.proofs(t.Context(), nil); err != nil {
		t.Error(err)
	}
	db := newTarget(t, e.objects)
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	p := &migrate.PlanLoad{Objects: e.objects, Target: db, WorkBucket: workBucket, Archives: e.archives}
	if _, err := p.Handle(t.Context(), migrate.PlanIn{Input: b, Execution: "x"}); err != nil {
		t.Error(err)
	}
}
