package ion_test

import (
	"bytes"
	"slices"
	"testing"

	"godwit/internal/ion"
)

func TestSpellingRefusesWhatIsNoValue(t *testing.T) {
	name := []byte("a")
	for what, spell := range map[string]func(h *ion.Hasher){
		"nothing":                     func(*ion.Hasher) {},
		"two values":                  func(h *ion.Hasher) { h.Bool(true); h.Bool(true) },
		"a list without an end":       func(h *ion.Hasher) { h.BeginList() },
		"an end without a list":       func(h *ion.Hasher) { h.End() },
		"a value without a name":      func(h *ion.Hasher) { h.BeginStruct(); h.Bool(true); h.End() },
		"a name without a value":      func(h *ion.Hasher) { h.BeginStruct(); h.Field(name); h.End() },
		"two names":                   func(h *ion.Hasher) { h.BeginStruct(); h.Field(name); h.Field(name); h.Bool(true); h.End() },
		"a name in a list":            func(h *ion.Hasher) { h.BeginList(); h.Field(name); h.Bool(true); h.End() },
		"an annotation of nothing":    func(h *ion.Hasher) { h.Annotate(name) },
		"an annotation before an end": func(h *ion.Hasher) { h.BeginList(); h.Annotate(name); h.End() },
		"no int":                      func(h *ion.Hasher) { h.Int([]byte("1.5")) },
		"an empty int":                func(h *ion.Hasher) { h.Int([]byte("-")) },
		"no decimal":                  func(h *ion.Hasher) { h.Decimal([]byte("x")) },
		"a long int":                  func(h *ion.Hasher) { h.Int(bytes.Repeat([]byte("7"), 1<<20)) },
		"a long decimal":              func(h *ion.Hasher) { h.Decimal(bytes.Repeat([]byte("7"), 1<<20)) },
		"a long timestamp": func(h *ion.Hasher) {
			h.Timestamp(append([]byte("2021-01-01T00:00:00."), bytes.Repeat([]byte("7"), 1<<20)...))
		},
		"no timestamp": func(h *ion.Hasher) { h.Timestamp([]byte("2021-13-01")) },
		"deep nesting": func(h *ion.Hasher) {
			for range 100_000 {
				h.BeginList()
			}
		},
	} {
		var h ion.Hasher
		h.Begin()
		spell(&h)
		if sum, err := h.AppendSum([]byte("x")); err == nil || string(sum) != "x" {
			t.Errorf("%s: got %x, %v, want an error", what, sum, err)
		}
		h.Begin()
		h.Bool(true)
		if _, err := h.AppendSum(nil); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
	}
}

func TestSpellingReusesItsMemory(t *testing.T) {
	var h ion.Hasher
	var sum []byte
	name, text, digits := []byte("name"), []byte("text"), []byte("12345")
	n := testing.AllocsPerRun(100, func() {
		h.Begin()
		h.BeginStruct()
		for range 30 {
			h.Field(name)
			h.BeginList()
			h.String(text)
			h.Int(digits)
			h.End()
		}
		h.End()
		var err error
		if sum, err = h.AppendSum(sum[:0]); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a value, want none", n)
	}
}

func TestNamesAreThoseOfTheTableInForce(t *testing.T) {
	// Two streams with one reader: the ids are the same, the names are not.
	stream := func(name string) []byte {
		var w ion.Writer
		w.BeginStruct()
		w.Field(name)
		w.Int(1)
		w.End()
		b, err := w.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	hashes := func(h func() *ion.Hasher) (all []string) {
		r := ion.NewReader(bytes.NewReader(slices.Concat(stream("a"), stream("b"), stream("a"))), 0)
		for range 3 {
			value, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			sum, err := h().Sum(nil, value, r.Symbols())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(sum))
		}
		return all
	}
	var kept ion.Hasher
	got := hashes(func() *ion.Hasher { return &kept })
	want := hashes(func() *ion.Hasher { return &ion.Hasher{} })
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("value %d: a Hasher that is kept says %x, a new one %x", i, got[i], want[i])
		}
	}
	if want[0] == want[1] || want[0] != want[2] {
		t.Error("the names do not count")
	}
}
