package migrate_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
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

// memoryLedger is QLDB in memory: one ledger whose blocks hold nothing but their
// hashes, with the real arithmetic, and its export jobs. It refuses what QLDB
// refuses, and finds exports that are begun twice.
type memoryLedger struct {
	t       testing.TB
	objects *memoryObjects
	now     *time.Time

	state   string
	texts   []string // blocks as Ion text
	times   []time.Time
	hashes  []proof.Hash
	jobs    []*memoryJob
	running int
	most    int // greatest number of exports under way
	limit   int
	cancel  int // so many exports are cancelled when they are first looked at
	// digested, if not nil, is called behind each digest.
	digested func()
	// fault, if not nil, is asked at each call. stored tells whether what was asked
	// for happens before err is returned.
	fault func(call string) (stored bool, err error)
	// spoil, if not nil, changes answers of GetBlock that have a proof.
	spoil func(block, proof string) (string, string)
}

type memoryJob struct {
	migrate.JournalExport
	looks   int  // until it is completed
	foreign bool // somebody else's: it may overlap
}

func newLedger(t testing.TB, o *memoryObjects, now *time.Time, times []time.Time) *memoryLedger {
	l := &memoryLedger{t: t, objects: o, now: now, state: "ACTIVE", limit: 2}
	for _, at := range times {
		l.add(at)
	}
	return l
}

// add commits a block.
func (l *memoryLedger) add(at time.Time) {
	n := len(l.texts)
	sum := func(i int) proof.Hash {
		var b [32]byte
		copy(b[:], fmt.Sprintf("entry %d of block %d", i, n))
		h, err := proof.ParseHash(b[:])
		if err != nil {
			l.t.Fatal(err)
		}
		return h
	}
	list := []proof.Hash{sum(0), {}, sum(2), sum(3)}
	var previous proof.Hash
	if n > 0 {
		previous = l.hashes[n-1]
	}
	entries := proof.EntriesHash(list)
	hash := proof.BlockHash(entries, previous)
	var blobs []string
	for _, h := range list {
		blobs = append(blobs, blobText(h))
	}
	l.texts = append(l.texts, fmt.Sprintf(`{blockAddress:{strandId:"%s",sequenceNo:%d},transactionId:"Tx%020d",blockTimestamp:%s,blockHash:%s,entriesHash:%s,previousBlockHash:%s,entriesHashList:[%s]}`,
		exportStrand, n, n, at.Format(time.RFC3339Nano), blobText(hash), blobText(entries), blobText(previous), strings.Join(blobs, ",")))
	l.times, l.hashes = append(l.times, at), append(l.hashes, hash)
}

func blobText(h proof.Hash) string { return "{{" + h.String() + "}}" }

// call runs do unless the fault says that it does not happen.
func (l *memoryLedger) call(ctx context.Context, name string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.objects.mu.Lock() // one lock for all of the world
	defer l.objects.mu.Unlock()
	var fault error
	stored := true
	if l.fault != nil {
		if stored, fault = l.fault(name); fault == nil {
			stored = true
		}
	}
	if stored {
		if err := do(); err != nil {
			return err
		}
	}
	return fault
}

func (l *memoryLedger) known(ledger string) error {
	if ledger != exportLedger {
		return &serviceError{"ResourceNotFoundException", "no ledger " + ledger}
	}
	return nil
}

func (l *memoryLedger) LedgerState(ctx context.Context, ledger string) (state string, err error) {
	err = l.call(ctx, "state", func() error { state = l.state; return l.known(ledger) })
	return state, err
}

func (l *memoryLedger) Digest(ctx context.Context, ledger string) (digest []byte, tip string, err error) {
	err = l.call(ctx, "digest", func() error {
		digest, tip = proof.Merkle(l.hashes).Bytes(), journal.Address{Strand: exportStrand, SequenceNo: int64(len(l.hashes) - 1)}.String()
		if l.digested != nil {
			l.digested()
		}
		return l.known(ledger)
	})
	return digest, tip, err
}

func (l *memoryLedger) Block(ctx context.Context, ledger, address, tip string) (block, path string, err error) {
	err = l.call(ctx, "block", func() error {
		at, err := journal.ParseAddress(address)
		if err != nil || at.Strand != exportStrand || at.SequenceNo >= int64(len(l.texts)) {
			return &serviceError{"InvalidParameterException", "no block " + address}
		}
		block = l.texts[at.SequenceNo]
		if tip == "" {
			return l.known(ledger)
		}
		under, err := journal.ParseAddress(tip)
		if err != nil || under.SequenceNo < at.SequenceNo || under.SequenceNo >= int64(len(l.hashes)) {
			return &serviceError{"InvalidParameterException", "no digest " + tip + " of block " + address}
		}
		var tree proof.Tree
		for i, h := range l.hashes[:under.SequenceNo+1] {
			if int64(i) == at.SequenceNo {
				tree.Watch()
			}
			tree.Add(h)
		}
		var blobs []string
		for _, h := range tree.Path() {
			blobs = append(blobs, blobText(h))
		}
		path = "[" + strings.Join(blobs, ",") + "]"
		if l.spoil != nil {
			block, path = l.spoil(block, path)
		}
		return l.known(ledger)
	})
	return block, path, err
}

func (l *memoryLedger) StartExport(ctx context.Context, e migrate.JournalExport) (id string, err error) {
	err = l.call(ctx, "start", func() error {
		switch {
		case !e.Start.Before(e.End) || e.End.After(*l.now) || e.Role != exportRole || e.ID != "" || e.Bucket == "":
			return &serviceError{"InvalidParameterException", fmt.Sprintf("export %+v", e)}
		case l.running >= l.limit:
			return &serviceError{"LimitExceededException", "exports of " + e.Ledger}
		}
		for _, j := range l.jobs {
			if !j.foreign && j.Status != "CANCELLED" && j.Prefix == e.Prefix && j.Start.Before(e.End) && e.Start.Before(j.End) {
				l.t.Errorf("export %s to %s beside export %s, %s to %s", e.Start, e.End, j.ID, j.Start, j.End)
			}
		}
		e.ID, e.Created, e.Status = fmt.Sprintf("Export%016d", len(l.jobs)), *l.now, "IN_PROGRESS"
		l.jobs = append(l.jobs, &memoryJob{JournalExport: e, looks: len(l.jobs) % 4})
		l.running++
		l.most = max(l.most, l.running)
		id = e.ID
		return l.known(e.Ledger)
	})
	return id, err
}

func (l *memoryLedger) ExportStatus(ctx context.Context, ledger, id string) (status string, err error) {
	err = l.call(ctx, "status", func() error {
		i := slices.IndexFunc(l.jobs, func(j *memoryJob) bool { return j.ID == id })
		if i < 0 {
			return &serviceError{"ResourceNotFoundException", "no export " + id}
		}
		l.step(l.jobs[i])
		status = l.jobs[i].Status
		return l.known(ledger)
	})
	return status, err
}

func (l *memoryLedger) Exports(ctx context.Context, ledger string, visit func(migrate.JournalExport)) error {
	return l.call(ctx, "list", func() error {
		for _, j := range l.jobs {
			visit(j.JournalExport)
		}
		return l.known(ledger)
	})
}

// step moves an export on.
func (l *memoryLedger) step(j *memoryJob) {
	if j.Status != "IN_PROGRESS" {
		return
	}
	if l.cancel > 0 {
		l.cancel--
		j.Status = "CANCELLED"
		l.running--
		return
	}
	if j.looks--; j.looks >= 0 {
		return
	}
	// Two blocks an object.
	var keys []string
	put := func(name, body string) string {
		key := j.Prefix + name
		l.objects.objects[j.Bucket+"/"+key] = memoryObject{body: []byte(body)}
		return key
	}
	var body string
	first := -1
	flush := func(last int) {
		if first >= 0 {
			keys = append(keys, fmt.Sprintf("%q", put(fmt.Sprintf("%s%s.%d-%d.ion", l.times[first].Format("2006/01/02/15/"), exportStrand, first, last), body)))
		}
		first, body = -1, ""
	}
	last := -1
	for i, at := range l.times {
		if at.Before(j.Start) || !at.Before(j.End) {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		if body += l.texts[i] + "\n"; i-first == 1 {
			flush(i)
		}
	}
	flush(last)
	put(j.ID+".started.manifest", fmt.Sprintf(`{exportId:%q,prefix:%q}`, j.ID, j.Prefix))
	put(j.ID+"."+exportStrand+".completed.manifest", "{keys:["+strings.Join(keys, ",")+"]}")
	j.Status = "COMPLETED"
	l.running--
}

// An exporting is LedgerExport over memory: the definition by hand.
type exporting struct {
	t         *testing.T
	ledger    *memoryLedger
	objects   *memoryObjects
	now       time.Time
	archives  []migrate.AllowedArchive
	execution string

	order migrate.ExportOrder
	split migrate.SplitOut
	waits []int
}

func newExporting(t *testing.T, times ...time.Time) *exporting {
	e := &exporting{t: t, objects: newObjects(t), archives: []migrate.AllowedArchive{{Bucket: archiveBucket, Prefix: "exports/"}}, execution: "first"}
	e.now = times[len(times)-1].Truncate(time.Millisecond).Add(time.Second)
	e.ledger = newLedger(t, e.objects, &e.now, times)
	return e
}

func (e *exporting) clock() time.Time { return e.now }

func (e *exporting) digest(input string) (err error) {
	e.order, err = (&migrate.ReadDigest{Ledger: e.ledger, Archives: e.archives}).Handle(e.t.Context(), []byte(input))
	return err
}

func (e *exporting) doSplit() (err error) {
	h := &migrate.SplitJournal{Objects: e.objects, Ledger: e.ledger, WorkBucket: workBucket, Archives: e.archives, Now: e.clock}
	e.split, err = h.Handle(e.t.Context(), pass[migrate.SplitIn](e.t, migrate.SplitIn{Input: e.order, Execution: e.execution}))
	return err
}

func (e *exporting) windows() []migrate.Window {
	e.t.Helper()
	b, err := e.objects.read(e.split.Windows.Bucket, e.split.Windows.Key)
	if err != nil {
		e.t.Fatal(err)
	}
	var out []migrate.Window
	for line := range strings.Lines(string(b)) {
		var w migrate.Window
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			e.t.Fatal(err)
		}
		out = append(out, w)
	}
	return out
}

// turn is one call of ledger-export.
func (e *exporting) turn(w migrate.Window, resume *migrate.ExportResume) (migrate.ExportWindowOut, error) {
	h := &migrate.ExportWindow{Objects: e.objects, Exporter: e.ledger, WorkBucket: workBucket, ExportRole: exportRole, Archives: e.archives}
	out, err := h.Handle(e.t.Context(), pass[migrate.ExportWindowIn](e.t, migrate.ExportWindowIn{ExportId: e.split.ExportId, Items: []migrate.Window{w}, Resume: resume}))
	return pass[migrate.ExportWindowOut](e.t, out), err
}

func (e *exporting) proofs(ctx context.Context, resume *migrate.ProofsResume) (migrate.ProofsOut, error) {
	h := &migrate.WriteProofs{Objects: e.objects, Ledger: e.ledger, WorkBucket: workBucket, Archives: e.archives, Now: e.clock}
	out, err := h.Handle(ctx, pass[migrate.ProofsIn](e.t, migrate.ProofsIn{ExportId: e.split.ExportId, Resume: resume}))
	return pass[migrate.ProofsOut](e.t, out), err
}

// errorName is the name that a definition sees.
func errorName(err error) string {
	if err == nil {
		return ""
	}
	return reflect.TypeOf(err).Elem().Name()
}

// persist repeats a step as the definition does, and redrives what was cancelled.
func (e *exporting) persist(do func() error) error {
	for tries := 0; ; tries++ {
		err := do()
		switch name := errorName(err); {
		case err == nil:
			return nil
		case tries > 1000:
			e.t.Fatalf("it never ends: %v", err)
		case errors.Is(err, errCrash), name == "Again", name == "LimitExceeded", name == "StopCancelledExport":
			e.now = e.now.Add(time.Second)
		default:
			return err
		}
	}
}

// run is a whole execution, and all its retries and redrives.
func (e *exporting) run(input string) (migrate.Input, error) {
	if err := e.persist(func() error { return e.digest(input) }); err != nil {
		return migrate.Input{}, err
	}
	e.order = pass[migrate.ExportOrder](e.t, e.order)
	if err := e.persist(e.doSplit); err != nil {
		return migrate.Input{}, err
	}
	if err := e.exports(); err != nil {
		return migrate.Input{}, err
	}
	var out migrate.ProofsOut
	for !out.Done {
		resume := out.Resume
		err := e.persist(func() (err error) { out, err = e.proofs(e.t.Context(), resume); return err })
		if err != nil {
			return migrate.Input{}, err
		}
	}
	b, err := json.Marshal(out.Output)
	if err != nil {
		e.t.Fatal(err)
	}
	return migrate.ParseInput(b)
}

// exports is the map: its children take turns.
func (e *exporting) exports() error {
	type child struct {
		window migrate.Window
		resume *migrate.ExportResume
	}
	var waiting, running []*child
	for _, w := range e.windows() {
		waiting = append(waiting, &child{window: w})
	}
	for len(waiting)+len(running) > 0 {
		for len(waiting) > 0 && len(running) < e.order.ConcurrentExports {
			running, waiting = append(running, waiting[0]), waiting[1:]
		}
		for _, c := range slices.Clone(running) {
			var out migrate.ExportWindowOut
			// A child that fails waits while the others go on.
			tries := 0
			err := e.persist(func() (err error) {
				if tries++; tries > 1 {
					for _, j := range e.ledger.jobs {
						e.objects.mu.Lock()
						e.ledger.step(j)
						e.objects.mu.Unlock()
					}
				}
				out, err = e.turn(c.window, c.resume)
				return err
			})
			if err != nil {
				return err
			}
			if out.Done {
				running = slices.DeleteFunc(running, func(x *child) bool { return x == c })
				continue
			}
			c.resume = out.Resume
			e.waits = append(e.waits, out.WaitSeconds)
			e.now = e.now.Add(time.Duration(out.WaitSeconds) * time.Second)
		}
	}
	return nil
}

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

// The waits between two looks grow to five minutes, and then with the time that
// was waited: what takes days is still asked about when the definition's bound of
// a child's turns is near.
func TestExportsAreWaitedFor(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	w := e.windows()[0]
	out, err := e.turn(w, nil)
	waits := []int{out.WaitSeconds}
	e.ledger.jobs[0].looks = 8
	for err == nil {
		if out, err = e.turn(w, out.Resume); out.Done {
			break
		}
		waits = append(waits, out.WaitSeconds)
	}
	if got, want := fmt.Sprint(waits, err), "[5 10 20 40 80 160 300 300 300] <nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	e = newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	if out, err = e.turn(w, nil); err != nil {
		t.Fatal(err)
	}
	e.ledger.jobs[0].looks = 1000
	waited := 0
	for range 398 { // maxTurns of the definition, without the first and the last
		if out, err = e.turn(w, out.Resume); err != nil {
			t.Fatal(err)
		}
		if out.WaitSeconds > 300 && out.WaitSeconds > waited/10 {
			t.Fatalf("a wait of %d s after %d s", out.WaitSeconds, waited)
		}
		waited += out.WaitSeconds
	}
	if days := waited / (24 * 3600); days < 13 || days > 14 {
		t.Errorf("a child asks for %d days, an execution has 14", days)
	}
}

// A doubled call, when Step Functions loses the first one's connection and calls
// again while it still runs, may begin a window twice. One of the two counts, and
// the archive's blocks are each in one of the exports that the output names.
func TestWindowThatIsBegunTwiceCountsOnce(t *testing.T) {
	e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.turn(e.windows()[0], nil); err != nil {
		t.Fatal(err)
	}
	twin := *e.ledger.jobs[0]
	twin.ID, twin.foreign = "Twin000000000000000000", true
	e.ledger.jobs = append(e.ledger.jobs, &twin)
	e.ledger.running++
	if err := e.exports(); err != nil {
		t.Fatal(err)
	}
	for twin.Status == "IN_PROGRESS" {
		e.ledger.step(&twin)
	}
	out, err := e.proofs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(out.Output.ExportIds, twin.ID) {
		t.Errorf("the output names both: %v", out.Output.ExportIds)
	}
	e.check(pass[migrate.Input](t, out.Output))
}

func TestExportBegunByALostCallIsAdopted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(j *memoryJob)
		begins int // exports in all
	}{
		"under way":            {func(*memoryJob) {}, 1},
		"completed":            {func(j *memoryJob) { j.Status = "COMPLETED" }, 1},
		"by a clock behind":    {func(j *memoryJob) { j.Created = j.Created.Add(-4 * time.Second) }, 1},
		"cancelled":            {func(j *memoryJob) { j.Status = "CANCELLED" }, 2},
		"of an earlier time":   {func(j *memoryJob) { j.Created = j.Created.Add(-time.Minute) }, 2},
		"in another format":    {func(j *memoryJob) { j.Format = "JSON" }, 2},
		"to another prefix":    {func(j *memoryJob) { j.Prefix = "exports/" }, 2},
		"to another bucket":    {func(j *memoryJob) { j.Bucket = "other" }, 2},
		"with another role":    {func(j *memoryJob) { j.Role = "other" }, 2},
		"with another start":   {func(j *memoryJob) { j.Start = j.Start.Add(-time.Millisecond) }, 2},
		"with another end":     {func(j *memoryJob) { j.End = j.End.Add(time.Millisecond) }, 2},
		"with an exacter time": {func(j *memoryJob) { j.Start = j.Start.Add(time.Microsecond) }, 1},
		"since the creation":   {func(j *memoryJob) { j.Start = j.Start.Add(500 * time.Microsecond).Add(time.Millisecond) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
			if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
				t.Fatal(err)
			}
			e.ledger.fault = func(call string) (bool, error) {
				if call == "start" {
					return true, errCrash
				}
				return true, nil
			}
			w := e.windows()[0]
			if _, err := e.turn(w, nil); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			e.ledger.fault = nil
			c.change(e.ledger.jobs[0])
			e.ledger.jobs[0].foreign = c.begins > 1
			out, err := e.turn(w, nil)
			if err != nil || len(e.ledger.jobs) != c.begins || out.Resume.Export != e.ledger.jobs[c.begins-1].ID {
				t.Errorf("%d exports began, want %d: %+v, %v", len(e.ledger.jobs), c.begins, out.Resume, err)
			}
		})
	}
}

// A window that is recorded as exported is not asked about again: QLDB forgets.
func TestExportedWindowsAreNotExportedAgain(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit(), e.exports()); err != nil {
		t.Fatal(err)
	}
	e.ledger.jobs = nil
	if out, err := e.turn(e.windows()[0], nil); err != nil || !out.Done || len(e.ledger.jobs) > 0 {
		t.Errorf("%+v, %v, %d exports began", out, err, len(e.ledger.jobs))
	}
}

// A cancelled export stops the execution once; its redrive exports the window
// again.
func TestCancelledExportIsBegunAgainByARedrive(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	w := e.windows()[0]
	begun, err := e.turn(w, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.ledger.cancel = 1
	_, err = e.turn(w, begun.Resume)
	if errorName(err) != "StopCancelledExport" {
		t.Fatalf("got %T: %v", err, err)
	}
	for _, want := range []string{begun.Resume.Export, "blocks 0 to 0", exportRole, "s3://archive/exports/dmv/", "redrive"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q without %q", err, want)
		}
	}
	again, err := e.turn(w, begun.Resume)
	if err != nil || again.Resume == nil || again.Resume.Export == begun.Resume.Export || len(e.ledger.jobs) != 2 {
		t.Errorf("the redrive: %+v, %v", again.Resume, err)
	}
}

func TestExportRefuses(t *testing.T) {
	at := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	begin := func(t *testing.T) *exporting {
		e := newExporting(t, at, at.Add(time.Second), at.Add(time.Minute))
		if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	first := func(e *exporting, resume *migrate.ExportResume) error {
		_, err := e.turn(e.windows()[0], resume)
		return err
	}
	t.Run("the limit", func(t *testing.T) {
		e := begin(t)
		e.ledger.limit = 0
		if err := first(e, nil); errorName(err) != "LimitExceeded" || !strings.Contains(err.Error(), "blocks 0 to 0") || !strings.Contains(err.Error(), "redrive") {
			t.Errorf("got %T: %v", err, err)
		}
	})
	t.Run("a service that is gone", func(t *testing.T) {
		e := begin(t)
		e.ledger.fault = func(string) (bool, error) {
			return false, fmt.Errorf("get: %w", &serviceError{"QldbServiceEnded", "closed"})
		}
		for _, err := range []error{e.digest(exportWhole), first(e, nil), first(e, &migrate.ExportResume{Export: "x"})} {
			if errorName(err) != "QldbServiceEnded" {
				t.Errorf("got %T: %v", err, err)
			}
		}
		_, err := e.proofs(t.Context(), nil)
		if err == nil {
			t.Error("proofs without exports")
		}
	})
	t.Run("a throttle", func(t *testing.T) {
		e := begin(t)
		e.ledger.fault = func(string) (bool, error) { return false, &serviceError{"ThrottlingException", "slow down"} }
		if err := first(e, nil); errorName(err) != "Again" {
			t.Errorf("got %T: %v", err, err)
		}
	})
	t.Run("an unknown status", func(t *testing.T) {
		e := begin(t)
		out, err := e.turn(e.windows()[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		e.ledger.jobs[0].Status = "PAUSED"
		mustStop(t, first(e, out.Resume), `"PAUSED"`, out.Resume.Export)
	})
	t.Run("a forgotten export", func(t *testing.T) {
		e, gone := begin(t), &migrate.ExportResume{Export: "Gone", Looks: 3}
		mustStop(t, first(e, gone), "Gone", "a week", "redrive")
		out, err := e.turn(e.windows()[0], gone)
		if err != nil || out.Resume == nil || out.Resume.Export == "Gone" || out.Resume.Looks != 0 || len(e.ledger.jobs) != 1 {
			t.Errorf("the redrive: %+v, %v, %d exports began", out.Resume, err, len(e.ledger.jobs))
		}
	})
	t.Run("another archive", func(t *testing.T) {
		e := begin(t)
		e.archives = nil
		mustStop(t, first(e, nil), "s3://archive/exports/dmv/", "cdk.json")
	})
	t.Run("no ledger of the name", func(t *testing.T) {
		e := begin(t)
		mustStop(t, e.digest(strings.Replace(exportWhole, exportLedger, "other", 1)), "there is no ledger other", "region")
	})
	t.Run("a ledger that is deleted", func(t *testing.T) {
		e := begin(t)
		e.ledger.state = "DELETING"
		mustStop(t, e.digest(exportWhole), "DELETING", "ACTIVE")
		e.ledger.state = "CREATING"
		if err := e.digest(exportWhole); errorName(err) != "Again" {
			t.Errorf("got %T: %v", err, err)
		}
	})
	t.Run("a prefix in use", func(t *testing.T) {
		for name, body := range map[string]string{
			"OldExport.started.manifest": "an export under way", "OldExport." + exportStrand + ".completed.manifest": "an export",
			"2020/01/01/00/" + exportStrand + ".0-9.ion": "an object", "deep/2020/01/01/00/" + exportStrand + ".0-9.json.gz": "an object further down",
		} {
			e := begin(t)
			e.execution = "second"
			e.objects.set(archiveBucket, "exports/dmv/"+name, []byte(body))
			err := e.doSplit()
			mustStop(t, err, "s3://archive/exports/dmv/", name, "redrive", "BucketPrefix")
			if strings.HasPrefix(name, "Old") && !strings.Contains(err.Error(), "of exports OldExport") {
				t.Errorf("got %v", err)
			}
		}
		e := begin(t)
		e.execution = "second"
		e.objects.set(archiveBucket, "exports/dmv/mapping.json", []byte("{}"))
		if err := e.doSplit(); err != nil {
			t.Errorf("a mapping beside the exports: %v", err)
		}
	})
}

// A repeated split gives the same windows and the same plan, also when exports
// are there.
func TestSplitIsTheSameAgain(t *testing.T) {
	at := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	e := newExporting(t, at, at.Add(time.Second), at.Add(time.Minute))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	before, first := maps.Clone(e.objects.objects), e.split
	e.now = e.now.Add(time.Hour)
	e.ledger.add(e.now)
	e.objects.set(archiveBucket, "exports/dmv/Ours.started.manifest", nil)
	if err := e.doSplit(); err != nil {
		t.Fatal(err)
	}
	delete(e.objects.objects, archiveBucket+"/exports/dmv/Ours.started.manifest")
	if diff := cmp.Diff(first, e.split); diff != "" {
		t.Error(diff)
	}
	for name, o := range before {
		if string(o.body) != string(e.objects.objects[name].body) {
			t.Errorf("%s changed", name)
		}
	}
	e.execution = "second"
	if err := e.doSplit(); err != nil || e.split.ExportId == first.ExportId {
		t.Errorf("another execution has id %s, %v", e.split.ExportId, err)
	}
}

// The last window ends in the past, whatever the clock says when the digest is
// taken.
func TestSplitWaitsForTheMillisecondToEnd(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 120e6, time.UTC))
	e.now = time.Date(2021, 8, 3, 17, 4, 5, 120_900_000, time.UTC)
	if err := e.digest(exportWhole); err != nil {
		t.Fatal(err)
	}
	if err := e.doSplit(); errorName(err) != "Again" {
		t.Fatalf("got %T: %v", err, err)
	}
	e.now = e.now.Add(100 * time.Microsecond)
	if err := e.doSplit(); err != nil {
		t.Error(err)
	}
}

func TestProofsAreCheckedBeforeTheyAreWritten(t *testing.T) {
	swap := func(s, name, with string) string {
		i := strings.Index(s, name+":{{")
		j := i + strings.Index(s[i:], "}}")
		return s[:i] + name + ":{{" + with + s[j:]
	}
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		spoil func(block, path string) (string, string)
		want  []string
	}{
		"another proof": {func(b, p string) (string, string) { return b, "[{{" + zero + "}}]" }, []string{"block 9 of ledger", "the digest that its proof leads to"}},
		"another hash":  {func(b, p string) (string, string) { return swap(b, "blockHash", zero), p }, []string{"the hash over entries"}},
		"other entries": {func(b, p string) (string, string) { return swap(b, "entriesHash", zero), p }, []string{"the hash over its entries"}},
		"another block": {func(b, p string) (string, string) {
			return strings.Replace(b, "sequenceNo:9", "sequenceNo:8", 1), p
		}, []string{"block 9", "block 8"}},
		"another strand": {func(b, p string) (string, string) { return strings.Replace(b, exportStrand, "Other", 1), p }, []string{"strand Other"}},
		"no proof":       {func(b, p string) (string, string) { return b, "" }, []string{"read proof"}},
		"no block":       {func(b, p string) (string, string) { return "{}", p }, []string{"read block"}},
		"a short hash":   {func(b, p string) (string, string) { return swap(b, "blockHash", "AAAA"), p }, []string{"block 9"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 10)...)
			e.ledger.spoil = c.spoil
			_, err := e.run(strings.Replace(exportWhole, `:3`, `:1`, 1))
			mustStop(t, err, c.want...)
			for key := range e.objects.objects {
				if strings.HasSuffix(key, ".proofs.json") {
					t.Errorf("%s was written", key)
				}
			}
		})
	}
}

// Exports that lost objects since are found before anything is proven.
func TestProofsNeedWholeExports(t *testing.T) {
	whole := func(t *testing.T) *exporting {
		e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
		if err := errors.Join(e.digest(exportWhole), e.doSplit(), e.exports()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	manifest := func(e *exporting, i int) string {
		return archiveBucket + "/exports/dmv/" + e.ledger.jobs[i].ID + "." + exportStrand + ".completed.manifest"
	}
	for name, c := range map[string]struct {
		damage func(e *exporting)
		want   []string
	}{
		"no manifest": {func(e *exporting) { delete(e.objects.objects, manifest(e, 1)) }, []string{"Export0000000000000001", "no completion manifest", "fresh BucketPrefix"}},
		"a bad manifest": {func(e *exporting) {
			e.objects.set(archiveBucket, strings.TrimPrefix(manifest(e, 1), archiveBucket+"/"), []byte("{}"))
		}, []string{
			"Export0000000000000001", "no list of keys",
		}},
		"fewer keys": {func(e *exporting) {
			key := strings.TrimPrefix(manifest(e, 1), archiveBucket+"/")
			b := string(e.objects.objects[manifest(e, 1)].body)
			e.objects.set(archiveBucket, key, []byte(b[:strings.LastIndex(b, ",")]+"]}"))
		}, []string{"in no object", "export Export0000000000000001 was to hold blocks 6 to 12"}},
		"the same keys": {func(e *exporting) {
			key := strings.TrimPrefix(manifest(e, 1), archiveBucket+"/")
			e.objects.set(archiveBucket, key, e.objects.objects[manifest(e, 0)].body)
		}, []string{"block 0 is in two objects"}},
		"no object": {func(e *exporting) {
			for key := range e.objects.objects {
				if strings.Contains(key, "."+"0-1.ion") {
					delete(e.objects.objects, key)
				}
			}
		}, []string{"0-1.ion", "no such object"}},
		"another strand": {func(e *exporting) {
			e.objects.set(archiveBucket, "exports/dmv/"+e.ledger.jobs[0].ID+".Other.completed.manifest", []byte("{keys:[]}"))
		}, []string{"strand Other", "one strand"}},
		"something else": {func(e *exporting) {
			e.objects.set(archiveBucket, "exports/dmv/x.ion", nil)
			key := strings.TrimPrefix(manifest(e, 0), archiveBucket+"/")
			e.objects.set(archiveBucket, key, []byte(`{keys:["exports/dmv/x.ion"]}`))
		}, []string{"exports/dmv/x.ion", "not named like"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := whole(t)
			c.damage(e)
			_, err := e.proofs(t.Context(), nil)
			mustStop(t, err, c.want...)
		})
	}
}

// The last block is the one with the greatest number, whichever export has it.
func TestLastBlockIsTheGreatest(t *testing.T) {
	e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
	if err := errors.Join(e.digest(exportWhole), e.doSplit(), e.exports()); err != nil {
		t.Fatal(err)
	}
	manifest := func(i int) string {
		return archiveBucket + "/exports/dmv/" + e.ledger.jobs[i].ID + "." + exportStrand + ".completed.manifest"
	}
	o := e.objects.objects
	o[manifest(0)], o[manifest(2)] = o[manifest(2)], o[manifest(0)]
	out, err := e.proofs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	e.check(pass[migrate.Input](t, out.Output))
}

// Many proofs do not fit into a short call: it hands on, with one digest
// for all.
func TestProofsHandOn(t *testing.T) {
	at := time.Now().UTC().Add(-time.Hour).Truncate(time.Second) // the context's deadline is of this clock
	var times []time.Time
	for i := range 400 {
		times = append(times, at.Add(time.Duration(i)*time.Second))
	}
	e := newExporting(t, times...)
	if err := e.digest(strings.Replace(exportWhole, `:3`, `:400`, 1)); err != nil {
		t.Fatal(err)
	}
	e.ledger.add(times[399]) // beyond the tip
	if err := errors.Join(e.doSplit(), e.exports()); err != nil {
		t.Fatal(err)
	}
	deadline := e.now.Add(15 * time.Minute)
	var out migrate.ProofsOut
	calls := 0
	for ; !out.Done && calls < 10; calls++ {
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		// Time passes with each block that is asked for.
		e.ledger.spoil = func(b, p string) (string, string) { e.now = e.now.Add(3 * time.Second); return b, p }
		var err error
		out, err = e.proofs(ctx, out.Resume)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		e.ledger.digested = func() { t.Error("another digest was taken") }
		deadline = e.now.Add(15 * time.Minute)
	}
	if calls < 2 {
		t.Errorf("%d calls did all", calls)
	}
	e.check(pass[migrate.Input](t, out.Output))
}
