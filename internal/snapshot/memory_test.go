package snapshot_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

var (
	partFile = flag.String("part", "", "of TestReadsOnePart: the part")
	partWay  = flag.String("way", "", "of TestReadsOnePart: lines or values")
)

// A row group of 128 MB is read in less than 256 MB of resident memory, by a
// process that does nothing else.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes and reads 128 MB twice")
	}
	file := filepath.Join(t.TempDir(), "part")
	columns := make([]column, 20)
	for i := range columns {
		columns[i] = column{name: fmt.Sprintf("c%02d", i), kind: snapshot.Text, dict: i%4 == 0}
	}
	columns[1].kind, columns[2].kind, columns[3].kind = snapshot.Int64, snapshot.Double, snapshot.Bytes
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	writeTo(t, out, columns, func(yield func([]any) bool) {
		row := make([]any, len(columns))
		for n := range 700_000 {
			for i := range row {
				row[i] = fmt.Sprintf("a value %d", n*i%77777)
				if i%4 == 0 {
					row[i] = fmt.Sprintf("kind %d", n%(i+1))
				}
			}
			row[1], row[2], row[3], row[19] = int64(n), float64(n)/8, []byte("bytes"), strings.Repeat("escaped\n", n%10)
			if !yield(row) {
				return
			}
		}
	}, parquet.PageBufferSize(1<<20), parquet.MaxRowsPerRowGroup(1<<30))
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"lines", "values"} {
		text, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestReadsOnePart$", "-test.v", "-part", file, "-way", way).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		var size, peak int64
		_, rest, _ := bytes.Cut(text, []byte("read "))
		if _, err := fmt.Sscanf(string(rest), "%d decompressed bytes with %d resident", &size, &peak); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if peak == 0 {
			t.Skip("resident memory is not known on this system")
		}
		t.Logf("%s: %d MB decompressed, %d MB resident", way, size>>20, peak>>20)
		if size < 128<<20 || peak > 256<<20 {
			t.Errorf("%s: %d MB resident for a row group of %d MB, want at most 256 for at least 128", way, peak>>20, size>>20)
		}
	}
}

// TestReadsOnePart is the process of TestMemoryIsBounded.
func TestReadsOnePart(t *testing.T) {
	if *partFile == "" {
		t.Skip("it is started by TestMemoryIsBounded")
	}
	f, err := os.Open(*partFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := snapshot.OpenPart(f, stat.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.RowGroups()) != 1 {
		t.Fatalf("%d row groups", len(p.RowGroups()))
	}
	plan, names, rows := keep(), []string(nil), int64(0)
	for _, c := range p.Columns() {
		of := map[snapshot.Kind]string{snapshot.Int64: "bigint", snapshot.Double: "double precision", snapshot.Bytes: "bytea", snapshot.Text: "text"}[c.Kind]
		plan.Columns = append(plan.Columns, as(change.AsIs, c.Name, of, of))
		names = append(names, c.Name)
	}
	if *partWay == "lines" {
		err = encoder(t, plan, p).Encode(t.Context(), p, 0, p.Rows(), func(l change.Lines) error {
			rows += int64(len(l.Ends))
			return nil
		})
	} else {
		err = p.Values(t.Context(), 0, p.Rows(), names, func(int64, []change.Value) error {
			rows++
			return nil
		})
	}
	if err != nil || rows != p.Rows() {
		t.Fatalf("%d rows of %d: %v", rows, p.Rows(), err)
	}
	t.Logf("read %d decompressed bytes with %d resident", p.RowGroups()[0].Bytes, resident())
}

// resident returns the most memory that this process had, in bytes; 0 where the
// system does not tell.
func resident() (peak int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	if _, err := fmt.Sscanf(strings.TrimSpace(string(rest)), "%d kB", &peak); err != nil {
		return 0
	}
	return peak << 10
}
