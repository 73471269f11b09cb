package journal_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"godwit/internal/journal"
)

func TestAddressesAreReadAndWritten(t *testing.T) {
	want := journal.Address{Strand: "JdxjkR9bSYB5jMHWcI464T", SequenceNo: 9_007_199_254_740_993}
	for _, text := range []string{
		want.String(),
		`{strandId:"JdxjkR9bSYB5jMHWcI464T",sequenceNo:9007199254740993}`,
		`{ "sequenceNo": 9007199254740993, 'strandId': "JdxjkR9bSYB5jMHWcI464T", more: [1] }`,
	} {
		got, err := journal.ParseAddress(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "[]", "7", "{", `{strandId:"s"}`, `{sequenceNo:1}`, `{strandId:"s",sequenceNo:-1}`, `{strandId:"",sequenceNo:1}`,
		`{strandId:1,sequenceNo:1}`, `{strandId:"s",sequenceNo:"1"}`, `{strandId:"s",sequenceNo:1.0}`, `{strandId:"s",sequenceNo:9223372036854775808}`, `null`,
	} {
		if a, err := journal.ParseAddress(text); err == nil {
			t.Errorf("%s became %+v", text, a)
		}
	}
}

func TestProofsAreListsOfHashes(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{0xFE}, 32)
	blob := func(b []byte) string { return "{{" + base64.StdEncoding.EncodeToString(b) + "}}" }
	got, err := journal.ParseProof("[" + blob(one) + ", " + blob(two) + "]")
	if err != nil || len(got) != 2 || !bytes.Equal(got[0], one) || !bytes.Equal(got[1], two) {
		t.Errorf("got %x, %v", got, err)
	}
	if got, err := journal.ParseProof("[]"); err != nil || got == nil || len(got) != 0 {
		t.Errorf("an empty proof: %v, %v", got, err)
	}
	for _, text := range []string{"", "{}", "null.list", "[1]", `["` + strings.Repeat("a", 32) + `"]`, "[" + blob(one[:31]) + "]", "[" + blob(one) + ",null.blob]", "[" + blob(one)} {
		if p, err := journal.ParseProof(text); err == nil {
			t.Errorf("%s became %x", text, p)
		}
	}
}

func TestAnswersHoldOneBlock(t *testing.T) {
	whole := edited(t, "", "")
	for _, text := range []string{whole, edited(t, "blockAddress:", `"blockAddress":`)} {
		b, err := journal.ParseBlock(text)
		if err != nil {
			t.Fatal(err)
		}
		if b.Strand == "" || b.Format != journal.IonText || len(b.Hash) != journal.HashSize {
			t.Errorf("got block %+v", b)
		}
	}
	for _, text := range []string{"", " ", "[]", "{}", "{blockAddress:{}}", whole[:len(whole)/2]} {
		if _, err := journal.ParseBlock(text); err == nil {
			t.Errorf("%.40q became a block", text)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(sample)
	f.Add(`{strandId:"s",sequenceNo:1}`)
	f.Add(`[{{AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := journal.ParseBlock(text); err == nil && b == nil {
			t.Error("neither a block nor an error")
		}
		if a, err := journal.ParseAddress(text); err == nil {
			if again, err := journal.ParseAddress(a.String()); err != nil || again != a {
				t.Errorf("%+v became %+v, %v", a, again, err)
			}
		}
		if p, err := journal.ParseProof(text); err == nil && p == nil {
			t.Error("neither a proof nor an error")
		}
	})
}
