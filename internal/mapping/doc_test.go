package mapping_test

import (
	"os"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

// TestDocumentedFileIsRight compiles the file that the package comment shows.
func TestDocumentedFileIsRight(t *testing.T) {
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	for line := range strings.Lines(string(src)) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			file.WriteString(text)
		}
	}
	f, err := mapping.Parse([]byte(file.String()))
	if err != nil {
		t.Fatalf("%s\n%v", file.String(), err)
	}
	if _, err := mapping.Compile(f, &change.Fields{}); err != nil {
		t.Fatal(err)
	}
}
