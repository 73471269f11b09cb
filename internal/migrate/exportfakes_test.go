package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/proof"
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
