package migrate

import (
	"cmp"
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
				overlaps = append(overlaps, o)
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

// Limits of one item. A child's input is 256 KiB at most, and a range takes
// about 300 bytes of it.
const (
	itemBytes  = 128 << 20
	itemRanges = 400
)

// items groups ranges, in block order, into the work of one child each: about
// itemBytes, never more than itemRanges objects.
func items(ranges []Range) []Item {
	var out []Item
	var cur Item
	var bytes int64
	for _, r := range ranges {
		if len(cur.Ranges) > 0 && (bytes+r.Size > itemBytes || len(cur.Ranges) == itemRanges) {
			out = append(out, cur)
			cur, bytes = Item{Number: len(out)}, 0
		}
		cur.Ranges = append(cur.Ranges, r)
		bytes += r.Size
	}
	if len(cur.Ranges) > 0 {
		out = append(out, cur)
	}
	return out
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
