package migrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// claim gives every block to exactly one object: objects are taken in the order
// of their first blocks, the longest first, and each takes what is not taken
// yet, from block since on. It returns the ranges with a claim, the gaps between
// them and the overlaps that it resolved.
func claim(objects []Range, since int64) (ranges []Range, gaps, overlaps []Blocks) {
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b Range) int {
		return cmp.Or(cmp.Compare(a.Object.First, b.Object.First), cmp.Compare(b.Object.Last, a.Object.Last), strings.Compare(a.Key, b.Key))
	})
	next := since
	for _, r := range sorted {
		if r.Object.First < next && r.Object.Last >= since {
			if o := (Blocks{max(r.Object.First, since), min(r.Object.Last, next-1)}); o.First <= o.Last {
				if n := len(overlaps); n > 0 && o.First <= overlaps[n-1].Last+1 {
					overlaps[n-1].Last = max(overlaps[n-1].Last, o.Last)
				} else {
					overlaps = append(overlaps, o)
				}
			}
		}
		if r.Object.Last < next {
			continue
		}
		if r.Object.First > next {
			gaps = append(gaps, Blocks{next, r.Object.First - 1})
		}
		r.Claim = Blocks{max(r.Object.First, next), r.Object.Last}
		ranges = append(ranges, r)
		next = r.Object.Last + 1
	}
	return ranges, gaps, overlaps
}

// Limits of one item. State data is 256 KiB at most, and the definition gives a
// child four items and a Resume; a range takes about 300 bytes of it, with a long
// key some thousand.
const (
	itemBytes = 128 << 20 // of objects
	itemText  = 48 << 10  // of the item as JSON
)

// items groups ranges, in block order, into the work of one child each: about
// itemBytes, never more than itemText, never less than one object.
func items(ranges []Range) ([]Item, error) {
	var out []Item
	var cur Item
	var bytes int64
	text := 0
	for _, r := range ranges {
		b, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		if len(cur.Ranges) > 0 && (bytes+r.Size > itemBytes || text+len(b) > itemText) {
			out = append(out, cur)
			cur, bytes, text = Item{Number: len(out)}, 0, 0
		}
		cur.Ranges = append(cur.Ranges, r)
		bytes += r.Size
		text += len(b) + 1
	}
	if len(cur.Ranges) > 0 {
		out = append(out, cur)
	}
	return out, nil
}

// words lists a few block ranges for a message.
func words(bs []Blocks) string {
	const most = 5
	var parts []string
	for i, b := range bs {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(bs)-most))
			break
		}
		parts = append(parts, b.String())
	}
	return strings.Join(parts, ", ")
}
