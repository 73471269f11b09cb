package migrate

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCutsShareBlocksOutEvenly(t *testing.T) {
	for _, c := range []struct {
		n    int64
		k    int
		want []int64
	}{
		{1, 1, []int64{0}},
		{1, 1000, []int64{0}},
		{3, 5, []int64{0, 1, 2}},
		{10, 1, []int64{0}},
		{10, 3, []int64{0, 3, 6}},
		{10, 4, []int64{0, 2, 5, 7}},
		{500, 5, []int64{0, 100, 200, 300, 400}},
		{math.MaxInt64, 2, []int64{0, math.MaxInt64 / 2}},
	} {
		if got := cutBlocks(c.n, c.k); !slices.Equal(got, c.want) {
			t.Errorf("%d blocks, %d exports: got %v, want %v", c.n, c.k, got, c.want)
		}
	}
	cuts := cutBlocks(math.MaxInt64, mostExports)
	if len(cuts) != mostExports || !slices.IsSorted(cuts) || cuts[mostExports-1] < math.MaxInt64/1000*998 {
		t.Errorf("the longest journal is cut at %d places, the last %d", len(cuts), cuts[len(cuts)-1])
	}
}

// splitTimes does what SplitJournal does with a journal of these block times.
func splitTimes(t testing.TB, times []time.Time, exports int) []Window {
	t.Helper()
	var cuts []cut
	for _, block := range cutBlocks(int64(len(times)), exports) {
		c, err := firstOfMillisecond(block, func(i int64) (time.Time, error) {
			return times[i].Truncate(time.Millisecond), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, c)
	}
	windows, err := makeWindows(cuts, int64(len(times)-1), times[len(times)-1].Truncate(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return windows
}

// Every block is in the window that names it, and in no other, whatever the
// precision of its time and however many share a millisecond.
func TestWindowsLoseAndDoubleNoBlock(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		times := make([]time.Time, 1+r.IntN(500))
		at := time.Date(2021, 8, 3, 17, 4, 5, r.IntN(1e9), time.UTC)
		step := []int64{0, 1, 1000, 300_000, 1_000_000, 40_000_000, 60_000_000_000}[r.IntN(7)]
		for i := range times {
			times[i] = at
			if r.IntN(3) > 0 {
				at = at.Add(time.Duration(r.Int64N(step + 1)))
			}
		}
		exports := 1 + r.IntN(20)
		windows := splitTimes(t, times, exports)
		if len(windows) > exports || len(windows) > len(times) {
			t.Fatalf("%d windows for %d exports of %d blocks", len(windows), exports, len(times))
		}
		for i, w := range windows {
			if w.Number != i || !w.Start.Before(w.End) || w.Start.Nanosecond()%1e6 != 0 || w.End.Nanosecond()%1e6 != 0 || w.First > w.Last {
				t.Fatalf("window %d is %+v", i, w)
			}
			if i > 0 && (!w.Start.Equal(windows[i-1].End) || w.First != windows[i-1].Last+1) {
				t.Fatalf("window %+v follows %+v", w, windows[i-1])
			}
		}
		for block, at := range times {
			for _, w := range windows {
				in := !at.Before(w.Start) && at.Before(w.End)
				named := w.First <= int64(block) && int64(block) <= w.Last
				if in != named {
					t.Fatalf("block %d at %s: window %+v holds it: %v", block, at.Format(time.RFC3339Nano), w, in)
				}
			}
		}
		if last := windows[len(windows)-1]; windows[0].First != 0 || last.Last != int64(len(times)-1) || last.End.Sub(times[len(times)-1]) > time.Millisecond {
			t.Fatalf("%d blocks in windows %+v", len(times), windows)
		}
	}
}

func TestOneMillisecondIsOneWindow(t *testing.T) {
	times := make([]time.Time, 500)
	for i := range times {
		times[i] = time.Date(2021, 8, 3, 17, 4, 5, 120e6+i, time.UTC)
	}
	windows := splitTimes(t, times, 20)
	if len(windows) != 1 || windows[0].First != 0 || windows[0].Last != 499 || windows[0].End.Sub(windows[0].Start) != time.Millisecond {
		t.Errorf("got %+v", windows)
	}
}

// A cut costs one look more where times differ, and a few where they do not.
func TestCutsAreFoundWithFewLooks(t *testing.T) {
	base := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	for _, c := range []struct{ same, most int64 }{{1, 2}, {2, 4}, {100_000, 40}} {
		looks := int64(0)
		block := int64(1_000_000)
		got, err := firstOfMillisecond(block, func(i int64) (time.Time, error) {
			looks++
			if i > block-c.same {
				return base, nil
			}
			return base.Add(-time.Millisecond), nil
		})
		if err != nil || got.block != block-c.same+1 || !got.at.Equal(base) {
			t.Errorf("%d of one time: got %+v, %v", c.same, got, err)
		}
		if looks > c.most {
			t.Errorf("%d of one time: %d looks, want at most %d", c.same, looks, c.most)
		}
	}
	gone := errors.New("gone")
	if _, err := firstOfMillisecond(5, func(i int64) (time.Time, error) {
		if i < 5 {
			return time.Time{}, gone
		}
		return base, nil
	}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestBlocksOutOfTimeAreRefused(t *testing.T) {
	base := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	_, err := makeWindows([]cut{{0, base}, {5, base.Add(time.Second)}, {9, base}}, 12, base.Add(time.Hour))
	if err == nil || !strings.Contains(err.Error(), "block 9 (2021-08-03T17:04:05Z) is older than block 5") {
		t.Errorf("got %v", err)
	}
	_, err = makeWindows([]cut{{0, base}, {5, base.Add(time.Second)}}, 12, base)
	if err == nil || !strings.Contains(err.Error(), "block 12") {
		t.Errorf("got %v", err)
	}
}

func TestCoverageNamesTheBlock(t *testing.T) {
	x := func(id string, first, last int64, objects ...int64) exportedWindow {
		w := exportedWindow{id: id, window: Window{First: first, Last: last}}
		for i := 0; i < len(objects); i += 2 {
			w.objects = append(w.objects, exportedObject{key: id + "-object", blocks: Blocks{objects[i], objects[i+1]}})
		}
		return w
	}
	for _, c := range []struct {
		name    string
		exports []exportedWindow
		tip     int64
		last    int64
		refused []string
	}{
		{name: "one", exports: []exportedWindow{x("a", 0, 0, 0, 0)}, tip: 0, last: 0},
		{name: "in any order", exports: []exportedWindow{x("b", 5, 9, 7, 9, 5, 6), x("a", 0, 4, 0, 4)}, tip: 9, last: 9},
		{name: "behind the tip", exports: []exportedWindow{x("a", 0, 4, 0, 6)}, tip: 4, last: 6},
		{name: "an export without blocks", exports: []exportedWindow{x("a", 0, 4, 0, 4), x("b", 4, 4)}, tip: 4, last: 4},
		{name: "a block is missing", exports: []exportedWindow{x("a", 0, 4, 0, 1, 3, 4)}, tip: 4, refused: []string{"block 2 is in no object", "export a was to hold blocks 0 to 4"}},
		{name: "the first is missing", exports: []exportedWindow{x("a", 0, 4, 1, 4)}, tip: 4, refused: []string{"block 0 is in no object"}},
		{name: "the tip is missing", exports: []exportedWindow{x("a", 0, 4, 0, 4), x("b", 5, 9, 5, 7)}, tip: 9, refused: []string{"blocks 8 to 9 are in no object", "export b"}},
		{name: "nothing is there", exports: []exportedWindow{x("a", 0, 4)}, tip: 4, refused: []string{"blocks 0 to 4 are in no object", "export a"}},
		{name: "a block is there twice", exports: []exportedWindow{x("a", 0, 4, 0, 5), x("b", 5, 9, 5, 9)}, tip: 9, refused: []string{"block 5 is in two objects", "a-object of export a", "b-object of export b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			last, err := coverage(c.exports, c.tip)
			if c.refused == nil {
				if err != nil || last != c.last {
					t.Errorf("got %d, %v", last, err)
				}
				return
			}
			for _, w := range c.refused {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("got %v without %q", err, w)
				}
			}
		})
	}
}
