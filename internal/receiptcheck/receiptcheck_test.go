package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestItIsShortAndNeedsNothing(t *testing.T) {
	source, err := os.ReadFile("receiptcheck.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte("\n")); n > 250 {
		t.Errorf("%d lines: an auditor reads 250", n)
	}
	_, imports, _ := strings.Cut(string(source), "import (\n")
	imports, _, _ = strings.Cut(imports, ")")
	if strings.Contains(imports, ".") || strings.Contains(imports, "godwit") {
		t.Errorf("imports more than the standard library: %s", imports)
	}
}

// receipt reads the receipt in testdata: of a synthetic revision with every Ion
// type, under a digest that is made up.
func receiptFile(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/receipt.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const digest = "oMTtg02D4f0KxRoIsOLH9WM9IAzS9M3xJWNRD0cQh8Q="

func TestTheReceiptIsProven(t *testing.T) {
	words, err := check(receiptFile(t), digest)
	if err != nil || !strings.HasPrefix(words, "PROVEN") {
		t.Errorf("%s, %v", words, err)
	}
	if words, err = check(receiptFile(t), ""); err != nil || !strings.HasPrefix(words, "CONSISTENT with the digest it shows, and no more") {
		t.Errorf("%s, %v", words, err)
	}
}

// TestWhatIsSpelledOtherwiseIsRejected has changes that no hash would find.
func TestWhatIsSpelledOtherwiseIsRejected(t *testing.T) {
	receipt := string(receiptFile(t))
	for _, change := range [][2]string{
		{`"Format"`, `"format"`},
		{`"Format"`, `"Forma\u0074"`},
		{`"Deletion": ""`, `"Deletion": "", "Deletion": ""`},
		{`"Deletion": ""`, `"Deletion": "", "More": 1`},
		{`"Deletion": ""`, `"Deletion": null`},
		{`"Tip":4`, `"Tip":4.0`},
		{`"Tip":4`, `"Tip": 04`},
		{`"decimal", "90.25"`, `"decimal", "090.25"`},
		{`"decimal", "90.25"`, `"decimal", "+90.25"`},
		{`"decimal", "12E+5"`, `"decimal", "12E5"`},
		{`"int", "-5"`, `"int", -5`},
		{`"int", "-5"`, `"int", "-05"`},
		{`"int", "0"`, `"int", "-0"`},
		{`"int", "0"`, `"int", ""`},
		{`"decimal", "12E+5"`, `"decimal", "12e+5"`},
		{`"bool", "true"`, `"bool", true`},
		{`"float", "2.5"`, `"float", "25e-1"`},
		{`"float", "0"`, `"float", "0.0"`},
		{`"float", "nan"`, `"float", "NaN"`},
		{`"blob", "AAE="`, `"blob", "AAF="`}, // the same bytes
		{`"blob", "AAE="`, `"blob", "AAE=\n"`},
		{`"timestamp", "2019-09-16"`, `"timestamp", "2019-09-16T"`},
		{`05.360Z"`, `05.360+00:00"`},
		{`"null", "int"`, `"null", null`},
		{`"null", "int"`, `"null"`},
		{`["VIN", "string"`, `["V\u0049N", "string"`},
	} {
		altered := strings.Replace(receipt, change[0], change[1], 1)
		if altered == receipt {
			t.Errorf("there is no %s", change[0])
		}
		if words, err := check([]byte(altered), ""); err == nil {
			t.Errorf("%s for %s: %s", change[1], change[0], words)
		}
	}
	for name, altered := range map[string]string{
		"nothing": "", "no JSON": "x", "another value": "[]", "null": "null", "an empty object": "{}", "something behind": receipt + "1",
		"no text":  strings.Replace(receipt, "MADEUPVEHICLE0001", "\xff", 1),
		"deep":     strings.Replace(receipt, `["VIN", `, `["VIN", `+strings.Repeat(`"list", [[`, 3000)+strings.Repeat("]]", 3000)+", ", 1),
		"too deep": strings.Repeat("[", 1e6),
		"long":     receipt + strings.Repeat(" ", 9<<20),
	} {
		if words, err := check([]byte(altered), ""); err == nil {
			t.Errorf("%s: %s", name, words)
		}
	}
	// White space says nothing.
	if words, err := check([]byte(strings.ReplaceAll(receipt, "\n", "\n\t")), ""); err != nil {
		t.Errorf("%s, %v", words, err)
	}
}

func TestDotOrdersFromTheLastByteAsSigned(t *testing.T) {
	low, high := make([]byte, 32), make([]byte, 32)
	low[31], low[0], high[0] = 0x80, 9, 1
	if want := sum(slices.Concat(low, high)); !bytes.Equal(dot(high, low), want) || !bytes.Equal(dot(low, high), want) {
		t.Error("another order")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(receiptFile(f), "")
	f.Add(receiptFile(f), digest)
	f.Fuzz(func(t *testing.T, b []byte, own string) {
		if words, err := check(b, own); err == nil && words == "" {
			t.Error("accepted without a word")
		}
	})
}
