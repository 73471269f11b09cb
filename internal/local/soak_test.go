//go:build soak

package local_test

import (
	"math/rand/v2"
	"testing"
)

// soak makes the tests run as long as they can be of use: make soak.
const soak = true

// A larger ledger's load has more calls of most kinds.
func TestLargerLoadSurvivesKill(t *testing.T) {
	disturb(t, smallLoad{documents: 300}, func(calls []string, chance *rand.Rand) []disturbance {
		return kills(some(calls, chance), chance)
	})
}
