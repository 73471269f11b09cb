package journal_test

import (
	"testing"

	"godwit/internal/journal"
)

func TestRealBlockReadsTheSameInEveryFormat(t *testing.T) {
	text := string(corpus(t, "qldb", "block100", "block100.ion"))
	for _, f := range formats {
		got := readAll(t, encode(t, f, text), journal.Options{Announced: f})
		if len(got) != 1 {
			t.Fatalf("%s: got %d blocks, want 1", f, len(got))
		}
		t.Logf("%s", got[0])
	}
}
