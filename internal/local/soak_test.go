//go:build soak

package local_test

import "testing"

// soak makes the tests run as long as they can be of use: make soak.
const soak = true

// A larger ledger's load makes more calls, and its maps have more children.
func TestLargerLoadSurvivesKill(t *testing.T) {
	disturb(t, smallLoad{documents: 300}, kills)
}
