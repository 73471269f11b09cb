package ion_test

import (
	"os"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"

	"godwit/internal/iontest"
)

// TestCursorReadsRealDataAsIonGoDoes walks binary Ion that the service wrote,
// real values that ion-go made binary, and the official Ion hash vectors.
func TestCursorReadsRealDataAsIonGoDoes(t *testing.T) {
	read := func(elem ...string) []byte {
		b, err := os.ReadFile(corpus(t, elem...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"attestation.0", "attestation.1"} {
		got, err := showStream(read("qldb", "stream-record", name+".10n"))
		want := showIonGo(t, ionlib.NewReaderBytes(read("qldb", "stream-record", name+".ion")))
		if err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, want)
		}
	}
	for _, file := range [][]string{
		{"qldb", "block100", "block100.ion"},
		{"qldb", "block100", "block100.proof.ion"},
		{"qldb", "revision429", "revision429.ion"},
		{"qldb", "ion-hash-test", "ion_hash_tests.ion"},
	} {
		text := string(read(file...))
		got, err := showStream(iontest.Binary(t, text))
		if want := showIonGo(t, ionlib.NewReaderString(text)); err != nil || got != want {
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					got, want = got[max(0, i-100):min(len(got), i+100)], want[max(0, i-100):min(len(want), i+100)]
					break
				}
			}
			t.Errorf("%s: %v\n got …%s\nwant …%s", file[2], err, got, want)
		}
	}
}
