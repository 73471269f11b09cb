package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"godwit/internal/control"
	"godwit/internal/journal"
	"godwit/internal/local/gateway"
	"godwit/internal/migrate"
	"godwit/internal/objects"
	"godwit/internal/proof"
)

// exporter is control.QLDB in the words of migrate, as in functions/ledger-export.
type exporter struct{ *control.QLDB }

func (e exporter) StartExport(ctx context.Context, x migrate.JournalExport) (string, error) {
	return e.QLDB.StartExport(ctx, control.JournalExport(x))
}

func (e exporter) Exports(ctx context.Context, ledger string, visit func(migrate.JournalExport)) error {
	return e.QLDB.Exports(ctx, ledger, func(x control.JournalExport) { visit(migrate.JournalExport(x)) })
}

// again repeats a step while it says that it may pass.
func again[T any](t *testing.T, step func() (T, error)) T {
	t.Helper()
	for range 100 {
		out, err := step()
		var again *migrate.Again
		var limit *migrate.LimitExceeded
		if err == nil {
			return out
		}
		if !errors.As(err, &again) && !errors.As(err, &limit) {
			t.Fatal(err)
		}
	}
	t.Fatal("it never passes")
	panic("not reached")
}

// ledgerExport runs the steps of LedgerExport over the SDK's clients. begun is
// told each export that a step waits for.
func (w *world) ledgerExport(t *testing.T, input string, begun func(id string)) migrate.Input {
	t.Helper()
	store := &objects.Store{API: s3.NewFromConfig(w.config, func(o *s3.Options) {
		o.UsePathStyle = true
	})}
	archives := []migrate.AllowedArchive{{Bucket: "archive", Prefix: "exports/"}}
	digest := &migrate.ReadDigest{Ledger: w.client, Archives: archives}
	order := again(t, func() (migrate.ExportOrder, error) { return digest.Handle(t.Context(), json.RawMessage(input)) })
	split := &migrate.SplitJournal{Objects: store, Ledger: w.client, WorkBucket: "work", Archives: archives, Now: time.Now}
	out := again(t, func() (migrate.SplitOut, error) {
		return split.Handle(t.Context(), migrate.SplitIn{Input: order, Execution: "e"})
	})
	lines, _, err := w.s3.Get(out.Windows.Bucket, out.Windows.Key)
	must(t, err)
	window := &migrate.ExportWindow{Objects: store, Exporter: exporter{w.client}, WorkBucket: "work", ExportRole: exportRole, Archives: archives}
	for line := range strings.Lines(string(lines)) {
		in := migrate.ExportWindowIn{ExportId: out.ExportId, Items: make([]migrate.Window, 1)}
		must(t, json.Unmarshal([]byte(line), &in.Items[0]))
		for {
			turn := again(t, func() (migrate.ExportWindowOut, error) {
				out, err := window.Handle(t.Context(), in)
				var cancelled *migrate.StopCancelledExport
				if errors.As(err, &cancelled) {
					return window.Handle(t.Context(), in) // a redrive
				}
				return out, err
			})
			if turn.Done {
				break
			}
			if in.Resume == nil && begun != nil {
				begun(turn.Resume.Export)
			}
			in.Resume = turn.Resume
		}
	}
	proofs := &migrate.WriteProofs{Objects: store, Ledger: w.client, WorkBucket: "work", Archives: archives, Now: time.Now}
	done := again(t, func() (migrate.ProofsOut, error) {
		return proofs.Handle(t.Context(), migrate.ProofsIn{ExportId: out.ExportId})
	})
	b, err := json.Marshal(done.Output)
	must(t, err)
	in, err := migrate.ParseInput(b)
	must(t, err)
	return in
}

// exported checks that the data objects of the exports hold each block of the
// ledger once, by reading them, and that the kept proofs lead to the digest.
func (w *world) exported(t *testing.T, in migrate.Input) {
	t.Helper()
	j := w.qldb.Journal(ledger)
	times := map[int64]int{}
	last := map[string]int64{}
	for _, id := range in.ExportIds {
		manifest, _, err := w.s3.Get(in.Bucket, in.Prefix+id+"."+in.Strand+".completed.manifest")
		must(t, err)
		m, err := journal.ParseCompletedManifest(manifest)
		must(t, err)
		for _, key := range m.Keys {
			body, _, err := w.s3.Get(in.Bucket, key)
			must(t, err)
			r, err := journal.NewReader(bytes.NewReader(body), journal.Options{Object: key})
			must(t, err)
			for {
				b, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				must(t, err)
				times[b.SequenceNo]++
				last[id] = b.SequenceNo
			}
		}
		kept, _, err := w.s3.Get(in.Bucket, in.Prefix+id+"."+in.Strand+".proofs.json")
		must(t, err)
		e, err := proof.ParseEvidence(kept)
		must(t, err)
		if e.Proof == nil || e.Proof.Block != last[id] || e.Tip != *in.DigestTip || `"`+e.Digest.String()+`"` != string(in.Digest) || proof.Fold(j.Hash(last[id]), e.Proof.Path) != j.Digest(e.Tip) {
			t.Errorf("proofs of export %s: %s", id, kept)
		}
	}
	for n := range *in.LastBlockNum + 1 {
		if times[n] != 1 {
			t.Errorf("block %d is exported %d times", n, times[n])
		}
	}
	if int64(len(times)) != *in.LastBlockNum+1 {
		t.Errorf("%d blocks are exported, the last is block %d", len(times), *in.LastBlockNum)
	}
	if most := w.qldb.MostRunning(ledger); most > 2 {
		t.Errorf("%d exports were under way at once", most)
	}
}

func exportInput(count int, format string) string {
	return fmt.Sprintf(`{"LedgerName":%q,"BucketPrefix":"exports/dmv/","ExportCount":%d,"OutputFormat":%q}`, ledger, count, format)
}

func TestLedgerExportOverTheSDK(t *testing.T) {
	for format, count := range map[string]int{"ION_BINARY": 1, "ION_TEXT": 7, "JSON": 40} {
		l := someLedger()
		l.Visible = 31 // the ledger goes on behind the digest
		w := openWorld(t, l)
		in := w.ledgerExport(t, exportInput(count, format), func(string) {
			if _, err := w.qldb.Grow(ledger, 1); err != nil {
				t.Error(err)
			}
		})
		w.exported(t, in)
		if len(in.ExportIds) > count || len(in.ExportIds) < min(count, 5) || *in.LastBlockNum < 30 {
			t.Errorf("%s: %d exports up to block %d", format, len(in.ExportIds), *in.LastBlockNum)
		}
	}
}

// Replies are lost behind each export that begins, and one is cancelled in the
// middle: no window is exported twice, and none is missing.
func TestLedgerExportOverABadLine(t *testing.T) {
	w := openWorld(t, someLedger())
	calls := map[string]int{}
	w.strike(func(c gateway.Call) gateway.Fault {
		calls[c.Action]++
		switch n := calls[c.Action]; {
		case c.Action == "qldb:ExportJournalToS3" && n%2 == 1:
			return gateway.Lose
		case c.Action == "qldb:GetBlock" && n%7 == 0:
			return gateway.Throttle
		}
		return gateway.None
	})
	release := w.qldb.Hold()
	var cancelled string
	in := w.ledgerExport(t, exportInput(4, "ION_BINARY"), func(id string) {
		if cancelled == "" {
			cancelled = id
			must(t, w.qldb.Cancel(id))
			release()
		}
	})
	w.exported(t, in)
	if len(in.ExportIds) != 4 || slices.Contains(in.ExportIds, cancelled) {
		t.Errorf("exports %v, %s was cancelled", in.ExportIds, cancelled)
	}
	began := 0
	must(t, w.client.Exports(t.Context(), ledger, func(control.JournalExport) { began++ }))
	if began != 5 {
		t.Errorf("%d exports began for 4 windows, one of which was cancelled", began)
	}
}
