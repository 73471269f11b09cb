package migrate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

// BenchmarkPasses prints what the passes over an archive do a second of one
// core, as the functions run them, from objects to parts: the rates that
// internal/estimate begins with. MB are of the archive as it is, decompressed.
func BenchmarkPasses(b *testing.B) {
	oneProcessor(b)
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		for _, compressed := range []bool{false, true} {
			name := string(format)
			if compressed {
				name += " gzip"
			}
			b.Run(name, func(b *testing.B) {
				m := newMachine(b, `{"Bucket":"archive","Prefix":"`+prefix+`"}`)
				m.generate(ledgergen.Options{Seed: 1, Documents: 20_000, Format: format, Prefix: prefix, BlocksPerObject: 1600})
				m.objects.changing = func(string) bool { return true }
				size, stored := m.dataBytes(), int64(0)
				if compressed {
					m.compress()
					stored = m.dataBytes()
				}
				p := m.begun()
				m.input = strings.TrimSuffix(m.input, "}") + `,"Mode":"plan"}`
				if _, err := m.plan(); err != nil { // the survey's
					b.Fatal(err)
				}
				in := migrate.WorkIn{LoadId: p.LoadId, Items: lines[migrate.Item](b, m.objects, p.Items)}
				transform := &migrate.Transform{Objects: m.objects, WorkBucket: workBucket, Now: time.Now}
				count := &migrate.Count{Objects: m.objects, WorkBucket: workBucket, Now: time.Now}
				survey := &migrate.SurveyArchive{Objects: m.objects, WorkBucket: workBucket, Now: time.Now}
				var mapped, counted, surveyed []float64
				for b.Loop() {
					for _, pass := range []struct {
						call func(context.Context, migrate.WorkIn) (migrate.WorkOut, error)
						to   *[]float64
					}{{transform.Handle, &mapped}, {count.Handle, &counted}, {survey.Handle, &surveyed}} {
						runtime.GC()
						began := cpu()
						if _, err := pass.call(context.Background(), in); err != nil {
							b.Fatal(err)
						}
						*pass.to = append(*pass.to, float64(size)/1e6/(cpu()-began).Seconds())
					}
				}
				ratio := ""
				if stored > 0 {
					ratio = fmt.Sprintf(", compressed %.1f times", float64(size)/float64(stored))
				}
				fmt.Printf("\npasses over %s: %d bytes%s, CPU time of one core (median of %d rounds)\n", name, size, ratio, len(mapped))
				fmt.Printf("  read, map and pack %31s %8.1f MB/s\n  count independently %30s %8.1f MB/s\n  survey, in plan mode %29s %8.1f MB/s, %.2f of the load's\n",
					"", middle(mapped), "", middle(counted), "", middle(surveyed), middle(surveyed)/middle(mapped))
				m.rowFigures(b, p.LoadId, size, middle(mapped))
			})
		}
	}
}

// dataBytes sums the data objects of the archive.
func (m *machine) dataBytes() (n int64) {
	for name, o := range m.objects.objects {
		if strings.HasPrefix(name, archiveBucket+"/") && !strings.HasSuffix(name, ".manifest") {
			n += int64(len(o.body))
		}
	}
	return n
}

// rowFigures prints how much of rows and parts comes of the archive, and how many
// revisions are hashed again, mapped and packed at a rate in MB/s.
func (m *machine) rowFigures(b *testing.B, load string, size int64, mapped float64) {
	b.Helper()
	var rows, parts, text int64
	for name, o := range m.objects.under(workBucket + "/loads/" + load + "/segments/") {
		var s migrate.Segment
		if err := json.Unmarshal([]byte(o), &s); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		for _, p := range s.Parts {
			body, err := m.objects.read(workBucket, p.Key)
			if err != nil {
				b.Fatal(err)
			}
			rows, parts, text = rows+p.Rows, parts+p.Bytes, text+int64(len(body))
		}
	}
	fmt.Printf("  %.0f bytes a revision become rows of %.0f bytes, %.0f in parts; fully verified %.0f revisions/s\n", float64(size)/float64(rows), float64(text)/float64(rows), float64(parts)/float64(rows), mapped*1e6*float64(rows)/float64(size))
}

// BenchmarkSteps prints what each step in the database does a second, on one
// connection: the rates of internal/estimate, before they are made smaller for
// Aurora's units of capacity.
func BenchmarkSteps(b *testing.B) {
	x := transformLedger(b, 60_000)
	took := map[string][]float64{} // seconds by phase
	var order []string
	for b.Loop() {
		d, err := x.database()
		if err != nil {
			b.Fatal(err)
		}
		for phase := "import"; ; phase = d.next {
			if phase != "import" {
				if err := d.phase(phase); err != nil {
					b.Fatal(err)
				}
			}
			if took[phase] == nil {
				order = append(order, fmt.Sprintf("%s (%d tasks)", phase, len(d.tasks)))
			}
			began := time.Now()
			if err := d.do(); err != nil {
				b.Fatal(err)
			}
			took[phase] = append(took[phase], time.Since(began).Seconds())
			if d.next == "" {
				break
			}
		}
	}
	fmt.Printf("\nsteps in the database: %d bytes of rows, one connection, wall time\n", x.bytes)
	for _, name := range order {
		seconds := middle(took[strings.Fields(name)[0]])
		fmt.Printf("  %-24s %8.3f s %8.1f MB/s\n", name, seconds, float64(x.bytes)/1e6/seconds)
	}
}
