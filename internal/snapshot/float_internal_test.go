package snapshot

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// The way for decimals of few places writes what the general one does.
func TestFloatsOfFewPlacesAreTheShortest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	check := func(x float64, bits int) {
		if bits == 32 {
			x = float64(float32(x))
		}
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return
		}
		format := byte('e')
		if a := math.Abs(x); a == 0 || bits == 64 && a >= 1e-4 && a < 1e15 || bits == 32 && float32(a) >= 1e-4 && a < 1e6 {
			format = 'f'
		}
		if got, want := string(appendFloat(nil, x, bits)), strconv.FormatFloat(x, format, -1, bits); got != want {
			t.Errorf("%d bits: %s, want %s", bits, got, want)
		}
	}
	for _, x := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e-4, 9.9999e-5, 999999, 999999.94, 1e6, 1e15, 999999999999999, 999999999999999.9, 123456789012345.6, 0.3, 16777216, 16777217, math.MaxFloat64, math.SmallestNonzeroFloat64, math.MaxFloat32} {
		for _, bits := range []int{32, 64} {
			check(x, bits)
			check(-x, bits)
			check(math.Nextafter(x, math.Inf(1)), bits)
			check(float64(math.Nextafter32(float32(x), 0)), bits)
		}
	}
	for range 300_000 {
		x := float64(r.Int64N(1<<uint(1+r.IntN(50)))) / math.Pow10(r.IntN(8))
		check(x, 64)
		check(x, 32)
		check(math.Float64frombits(r.Uint64()&^(1<<62)), 64)
		check(float64(math.Float32frombits(r.Uint32()&^(1<<30))), 32)
	}
}
