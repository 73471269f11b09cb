package dsql

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
)

func TestMissingIsWhatRangesLeave(t *testing.T) {
	t.Parallel()
	whole := change.Range{First: 5, Last: 20}
	for _, test := range []struct {
		name       string
		done, want []change.Range
	}{
		{"nothing is done", nil, []change.Range{whole}},
		{"all is done", []change.Range{{First: 5, Last: 9}, {First: 10, Last: 20}}, nil},
		{"the ends", []change.Range{{First: 7, Last: 18}}, []change.Range{{First: 5, Last: 6}, {First: 19, Last: 20}}},
		{"the middle", []change.Range{{First: 5, Last: 9}, {First: 12, Last: 20}}, []change.Range{{First: 10, Last: 11}}},
		{"what is done twice", []change.Range{{First: 5, Last: 12}, {First: 7, Last: 9}}, []change.Range{{First: 13, Last: 20}}},
	} {
		if diff := cmp.Diff(missing(whole, test.done), test.want); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// The parts of a batch are its rows, each in one of them, with their refusals, and
// every part has a line.
func TestSplitKeepsEveryRow(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := &batch{}
		for row := range int64(1 + random.IntN(40)) {
			switch random.IntN(4) {
			case 0:
				b.add(100+row, nil)
			case 1:
				b.add(100+row, nil)
				b.refused = append(b.refused, change.Refusal{Row: 100 + row})
			default:
				b.add(100+row, fmt.Appendf(nil, "%d\n", 100+row))
			}
		}
		if b.lines < 2 {
			continue
		}
		n, next := 2+random.IntN(10), b.rows.First
		var data []byte
		var refused []change.Refusal
		var counts change.Counts
		parts := b.split(n)
		if len(parts) > n || len(parts) < 2 {
			t.Fatalf("got %d parts of %d lines, want 2 to %d", len(parts), b.lines, n)
		}
		for _, p := range parts {
			if p.rows.First != next || p.lines == 0 || p.lines >= b.lines {
				t.Fatalf("a part has rows %v and %d lines of %d, want it to begin at %d", p.rows, p.lines, b.lines, next)
			}
			if got := string(p.data[:len(fmt.Sprintln(p.rowOfLine(0)))]); got != fmt.Sprintln(p.rowOfLine(0)) {
				t.Fatalf("the first line is of row %d, and says %s", p.rowOfLine(0), got)
			}
			next = p.rows.Last + 1
			data, refused = append(data, p.data...), append(refused, p.refused...)
			c := p.counts()
			counts.Loaded, counts.Refused, counts.Filtered = counts.Loaded+c.Loaded, counts.Refused+c.Refused, counts.Filtered+c.Filtered
		}
		if next != b.rows.Last+1 || string(data) != string(b.data) || counts != b.counts() || !cmp.Equal(refused, b.refused) {
			t.Fatalf("the parts hold other rows than the batch: up to %d, %+v, want %d, %+v", next-1, counts, b.rows.Last, b.counts())
		}
	}
}

func TestRefuseNamesTheRowOfTheLine(t *testing.T) {
	t.Parallel()
	b := &batch{}
	b.add(7, nil)
	b.add(8, []byte("x\n"))
	b.add(9, nil)
	b.refused = []change.Refusal{{Row: 9, Reason: "odd"}}
	b.refuse("note", "too large")
	want := []change.Refusal{{Row: 8, Column: "note", Reason: "too large"}, {Row: 9, Reason: "odd"}}
	if diff := cmp.Diff(b.refused, want); diff != "" || b.lines != 0 || len(b.data) != 0 || b.counts() != (change.Counts{Refused: 2, Filtered: 1}) {
		t.Errorf("got %+v: %s", b, diff)
	}
}

// What the cluster says of a transaction's size makes the next ones fit, also
// where it is rounded, and where it says nothing.
func TestMeasureLearnsFromWhatWasRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		says func(size float64) int64
	}{
		{"exactly", func(size float64) int64 { return int64(size) }},
		{"in whole MiB", func(size float64) int64 { return int64(size) >> 20 << 20 }},
		{"nothing", func(float64) int64 { return 0 }},
	} {
		m := (&measures{}).get(change.TableName{}, Limits{TransactionRows: 3000, TransactionBytes: 10 << 20})
		refused := 0
		for range 50 {
			// The cluster takes each row for 2.5 times its bytes.
			b := &batch{}
			for b.add(0, make([]byte, 4000)); m.takes(b.lines+1, len(b.data)+4000, 0); b.add(int64(b.lines), make([]byte, 4000)) {
			}
			if size := 2.5 * float64(len(b.data)); size > 10<<20 {
				refused++
				if pieces := m.tooLarge(b, test.says(size)); pieces < 2 {
					t.Errorf("%s: a transaction that was refused is done in %d", test.name, pieces)
				}
			} else if size < 0.6*(10<<20) {
				t.Errorf("%s: a transaction has %.0f bytes only", test.name, size)
			}
		}
		if refused == 0 || refused > 7 {
			t.Errorf("%s: %d transactions were refused", test.name, refused)
		}
	}
	m := (&measures{}).get(change.TableName{}, Limits{TransactionRows: 3000, TransactionBytes: 10 << 20})
	if !m.takes(2998, 0, 0) || !m.takes(998, 0, 2000) || m.takes(2999, 0, 0) {
		t.Error("a transaction takes 2,998 rows, refused ones included, and no more")
	}
	b := &batch{}
	for row := range int64(2998) {
		b.add(row, []byte("x\n"))
	}
	m.tooMany(b)
	if m.takes(2701, 0, 0) || !m.takes(2600, 0, 0) {
		t.Error("a tenth less is taken after a refusal for the number of rows")
	}
}
