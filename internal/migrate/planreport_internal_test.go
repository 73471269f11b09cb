package migrate

import (
	"testing"

	"godwit/internal/estimate"
)

// An estimate cuts work as the workflow does.
func TestEstimateCutsWorkAsTheWorkflowDoes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"bytes of an item", estimate.ItemBytes, itemBytes},
		{"bytes of a segment", estimate.SegmentBytes, defaultSegmentBytes},
		{"revisions of a slice", estimate.SliceRows, sliceRows},
		{"longest wait", estimate.LongestWait, longestWait},
		{"objects of a sample", estimate.SampleObjects, sampledObjects},
		{"bytes of a sample", estimate.SampleBytes, defaultSampleBytes},
	} {
		if c.got != c.want {
			t.Errorf("%s: estimate has %d, the workflow %d", c.name, c.got, c.want)
		}
	}
}
