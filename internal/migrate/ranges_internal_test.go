package migrate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever objects there are: every block from since on that any of them holds
// is claimed exactly once, by one that holds it; gaps are exactly what none
// holds, overlaps exactly what several do.
func TestClaimGivesEveryBlockOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const blocks = 40
	for range 20_000 {
		var objects []Range
		held := [blocks + 1]int{}
		for i := range r.IntN(9) {
			first := r.Int64N(blocks)
			last := min(blocks-1, first+r.Int64N(12))
			objects = append(objects, Range{Key: fmt.Sprint(i), Object: Blocks{first, last}})
			for b := first; b <= last; b++ {
				held[b]++
			}
		}
		since := r.Int64N(blocks)
		if r.IntN(2) == 0 {
			since = 0
		}
		ranges, gaps, overlaps := claim(objects, since)
		claimed := [blocks + 1]int{}
		last := int64(-1)
		for i, x := range ranges {
			if x.Claim.First > x.Claim.Last || x.Claim.First < x.Object.First || x.Claim.Last > x.Object.Last || x.Claim.First < since {
				t.Fatalf("%v since %d: object %v claims %v", objects, since, x.Object, x.Claim)
			}
			if i > 0 && x.Claim.First <= last {
				t.Fatalf("%v since %d: claims are not in order: %v", objects, since, ranges)
			}
			last = x.Claim.Last
			for b := x.Claim.First; b <= x.Claim.Last; b++ {
				claimed[b]++
			}
		}
		in := func(bs []Blocks, b int64) (n int) {
			for _, x := range bs {
				if x.First <= b && b <= x.Last {
					n++
				}
			}
			return n
		}
		for b := range int64(blocks) {
			want := 0
			if b >= since && held[b] > 0 {
				want = 1
			}
			if claimed[b] != want {
				t.Fatalf("%v since %d: block %d is claimed %d times", objects, since, b, claimed[b])
			}
			gap := 0
			if b >= since && held[b] == 0 && b <= last {
				gap = 1
			}
			if in(gaps, b) != gap {
				t.Fatalf("%v since %d: block %d is in %d of the gaps %v", objects, since, b, in(gaps, b), gaps)
			}
			overlap := 0
			if b >= since && held[b] > 1 {
				overlap = 1
			}
			if in(overlaps, b) != overlap {
				t.Fatalf("%v since %d: block %d is in %d of the overlaps %v", objects, since, b, in(overlaps, b), overlaps)
			}
		}
		for i := 1; i < len(overlaps); i++ {
			if overlaps[i].First <= overlaps[i-1].Last+1 {
				t.Fatalf("overlaps %v are not joined", overlaps)
			}
		}
		// The order of a listing does not matter.
		r.Shuffle(len(objects), func(i, k int) { objects[i], objects[k] = objects[k], objects[i] })
		again, _, _ := claim(objects, since)
		if fmt.Sprint(again) != fmt.Sprint(ranges) {
			t.Fatalf("claims depend on the order of the objects: %v, %v", ranges, again)
		}
	}
}

// Items keep the order and lose nothing, and four of them with a Resume fit into
// the state of a child, however long the keys are.
func TestItemsFitIntoAChild(t *testing.T) {
	for _, c := range []struct {
		name  string
		n     int
		key   string
		bytes int64
		most  int // ranges in an item
	}{
		{"short keys", 5000, "2021/08/03/17/AbCdEfGhIjKlMnOpQrStUv.1234567-1234667.ion", 1000, 400},
		{"the longest keys", 300, strings.Repeat("k", 1000), 1000, 60},
		{"keys that JSON spells at length", 300, strings.Repeat("\u2028<", 250), 1000, 60},
		{"great objects", 50, "a", 100 << 20, 1},
		{"greater than an item", 5, "a", 1 << 40, 1},
		{"exactly an item", 6, "a", 64 << 20, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ranges []Range
			for i := range c.n {
				ranges = append(ranges, Range{
					Key: c.key, ETag: `"d41d8cd98f00b204e9800998ecf8427e"`, Size: c.bytes, Announced: "ION_BINARY",
					Object: Blocks{int64(i), int64(i)}, Claim: Blocks{int64(i), int64(i)},
				})
			}
			work, err := items(ranges)
			if err != nil {
				t.Fatal(err)
			}
			at := int64(0)
			for i, item := range work {
				if item.Number != i || len(item.Ranges) == 0 || len(item.Ranges) > c.most {
					t.Fatalf("item %d has number %d and %d ranges", i, item.Number, len(item.Ranges))
				}
				for _, r := range item.Ranges {
					if r.Claim.First != at {
						t.Fatalf("block %d comes where %d is due", r.Claim.First, at)
					}
					at++
				}
			}
			if at != int64(c.n) {
				t.Fatalf("%d of %d ranges", at, c.n)
			}
			for i := 0; i+4 <= len(work); i += 4 {
				b, err := json.Marshal(work[i : i+4])
				if err != nil {
					t.Fatal(err)
				}
				if len(b) > 200<<10 {
					t.Fatalf("four items are %d bytes of the 262,144 of a state", len(b))
				}
			}
			if c.bytes < 1<<20 && len(work) > 1 {
				if b, err := json.Marshal(work[0]); err != nil || len(b) < itemText/2 {
					t.Errorf("an item is %d bytes only: %v", len(b), err)
				}
			}
		})
	}
	if work, err := items(nil); err != nil || len(work) != 0 {
		t.Errorf("of nothing: %v, %v", work, err)
	}
}

// A key is safe whatever a table's id is, and never another's.
func TestFoldersAreSafeAndDiffer(t *testing.T) {
	if got := folder("BFJKdXgzt9oF4wjMbuxy4G"); got != "BFJKdXgzt9oF4wjMbuxy4G" {
		t.Errorf("QLDB's id became %s", got)
	}
	seen := map[string]string{quarantineFolder: "the quarantine list"}
	for _, id := range []string{"", "a", "A", "a/b", "a b", "..", "quarantine", "\x00", "ä", "\xff", "a%2fb", strings.Repeat("a", 65), strings.Repeat("a", 64), "id-", folder("a/b")} {
		f := folder(id)
		if other, ok := seen[f]; ok {
			t.Errorf("ids %q and %q are both in %s", id, other, f)
		}
		seen[f] = id
		if f == "" || len(f) > 64 {
			t.Errorf("id %q: folder %q", id, f)
		}
		for _, r := range f {
			if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				t.Errorf("id %q: folder %q", id, f)
			}
		}
	}
}

func TestWordsListAFew(t *testing.T) {
	bs := []Blocks{{0, 0}, {2, 3}, {5, 5}, {7, 9}, {11, 11}, {13, 14}, {16, 16}}
	if got, want := words(bs), "block 0, blocks 2 to 3, block 5, blocks 7 to 9, block 11, and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
