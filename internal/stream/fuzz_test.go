package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"godwit/internal/iontest"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
	"godwit/internal/stream"
)

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// use does with an event what the apply function does, as far as it takes no
// database.
func use(event stream.Event, v *proof.Verifier) error {
	switch e := event.(type) {
	case *stream.Summary:
		v.Verify(e.Block)
		e.Block.TableEvents()
	case *stream.Revision:
		v.VerifyRevisions(e.Block)
		record, err := e.Record()
		var bad *journal.RecordError
		if record == nil || err != nil && !errors.As(err, &bad) {
			return fmt.Errorf("record %v with error %w", record, err)
		}
	}
	return nil
}

// FuzzRecord reads anything as the data of a Kinesis record, and anything as an
// aggregate: no panic, events or an *Error, memory in proportion to the record.
func FuzzRecord(f *testing.F) {
	messages := streamed(f, ledger(f, ledgergen.Options{Seed: 4, Documents: 30}))
	f.Add(ledgergen.Aggregate(messages[len(messages)-3:]))
	for _, m := range messages[:40] {
		f.Add(m.Data)
	}
	f.Add(iontest.Binary(f, details(table, address+",hash:"+hash32+",data:{a:[1,2,\"x\"]},"+meta)))
	f.Add([]byte(`{"metadata":{}}`))
	d := stream.NewDecoder(nil)
	var v proof.Verifier
	f.Fuzz(func(t *testing.T, record []byte) {
		before := allocated()
		all := append(stream.Split(record), stream.Split(seal(record))...)
		for _, m := range all {
			event, err := d.Decode(m)
			var poison *stream.Error
			if (event == nil) == (err == nil) || err != nil && !errors.As(err, &poison) {
				t.Fatalf("event %v, error %v", event, err)
			}
			if err := use(event, &v); err != nil {
				t.Fatal(err)
			}
		}
		if used := allocated() - before; used > 1<<20+2000*uint64(len(record)) {
			t.Errorf("%d bytes of input took %d", len(record), used)
		}
	})
}

func TestEveryFlippedByteIsPoisonOrFound(t *testing.T) {
	messages := streamed(t, ledger(t, ledgergen.Options{Seed: 8, Documents: 12}))
	d := stream.NewDecoder(nil)
	var v proof.Verifier
	poison, damaged := 0, 0
	for _, m := range messages[:min(len(messages), 60)] {
		record := ledgergen.Aggregate([]ledgergen.StreamMessage{m})
		for i := range record {
			flipped := bytes.Clone(record)
			flipped[i] ^= 0x10
			for _, m := range stream.Split(flipped) {
				switch event, err := d.Decode(m); {
				case m.Damaged != "" && err == nil:
					t.Fatalf("byte %d: a damaged aggregate was read as %T", i, event)
				case m.Damaged != "":
					damaged++
				case err != nil:
					poison++ // without its magic the record is something else
				default:
					t.Fatalf("byte %d of %d: read as %T", i, len(record), event)
				}
			}
			// The same without the aggregate's checksum: whatever it is read as, no panic.
			if i < len(m.Data) {
				flipped := bytes.Clone(m.Data)
				flipped[i] ^= 0x10
				if event, err := d.Decode(stream.Message{Data: flipped}); err == nil {
					if err := use(event, &v); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if damaged == 0 || poison == 0 {
		t.Errorf("%d damaged, %d poison", damaged, poison)
	}
}

func TestDecodingRevisionsAllocatesNothingOnceItIsWarm(t *testing.T) {
	d := stream.NewDecoder(nil)
	all := streamed(t, ledger(t, ledgergen.Options{Seed: 1, Documents: 300}))
	var warm [][]byte
	for _, m := range all {
		event, err := d.Decode(stream.Message{Data: m.Data})
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := event.(*stream.Revision); ok && r.Table().Name != "Note" && len(warm) < 40 {
			warm = append(warm, m.Data)
		}
	}
	decode := func() {
		for _, data := range warm {
			event, _ := d.Decode(stream.Message{Data: data})
			if _, err := event.(*stream.Revision).Record(); err != nil {
				t.Fatal(err)
			}
		}
	}
	decode()
	if got := testing.AllocsPerRun(20, decode); got > 4 {
		t.Errorf("%v allocations for %d revisions", got, len(warm))
	}
}

// Producers that write a new symbol table into each message, and each a large
// one, must not fill the memory of a function that lives for hours.
func TestMemoryIsBoundedWhateverTheSymbolTables(t *testing.T) {
	d := stream.NewDecoder(nil)
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for i := range 4000 {
		if i == 500 {
			before = held()
		}
		var fields bytes.Buffer
		for n := range 100 {
			fmt.Fprintf(&fields, "field%dof%d:1,", n, i)
		}
		m := iontest.Binary(t, details(table, address+",hash:"+hash32+",data:{"+fields.String()+"a:1},"+meta))
		if _, err := d.Decode(stream.Message{Data: m}); err != nil {
			t.Fatal(err)
		}
	}
	if after := held(); after > before+(4<<20) {
		t.Errorf("after 3500 more tables %d bytes more are held", after-before)
	}
	runtime.KeepAlive(d)
}
