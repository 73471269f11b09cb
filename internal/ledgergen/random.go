package ledgergen

import "math/bits"

// random is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
// generators, 2014): a ledger's bytes must not change with the Go release.
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9E3779B97F4A7C15
	return mix(r.state)
}

// mix is SplitMix64's finalizer, a bijection of 64 bits.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// below returns a number from 0 to n-1; n is at least 1.
func (r *random) below(n int) int {
	high, _ := bits.Mul64(r.next(), uint64(n))
	return int(high)
}

// between returns a number from low to high.
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }

// chance is true n times in a thousand.
func (r *random) chance(n int) bool { return r.below(1000) < n }

func (r *random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.next() >> 56)
	}
	return b
}

func pick[T any](r *random, from []T) T { return from[r.below(len(from))] }

// An idMaker gives out names that never repeat: a counter through a bijection.
type idMaker struct{ seed, count uint64 }

// id returns 22 base-62 characters, as QLDB names strands, transactions, tables
// and documents: 128 bits, of which 64 are the counter's.
func (m *idMaker) id() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	m.count++
	low := mix(m.count + m.seed)
	high := mix(low ^ m.seed)
	var id [22]byte
	for i := len(id) - 1; i >= 0; i-- {
		var rest uint64
		high, rest = high/62, high%62
		low, rest = bits.Div64(rest, low, 62)
		id[i] = digits[rest]
	}
	return string(id[:])
}

// vin returns a vehicle identification number: four characters of a maker and
// 13 that hold the 64 bits of a counter.
func (m *idMaker) vin() string {
	const digits = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ" // no I, O, Q
	m.count++
	rest := mix(m.count + m.seed)
	vin := [17]byte{'1', 'N', '4', 'A'}
	for i := 4; i < len(vin); i++ {
		vin[i] = digits[rest%33]
		rest /= 33
	}
	return string(vin[:])
}
