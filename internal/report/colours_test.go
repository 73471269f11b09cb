package report_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every pair of colours that carries text differs by 4.5 to 1 at least, every
// bar by 3 to 1 (WCAG 2.1, 1.4.3 and 1.4.11), in light, in dark and in print.
func TestColoursHaveContrast(t *testing.T) {
	css, err := os.ReadFile("report.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(themes) != 3 {
		t.Fatalf("got %d themes, want light, dark and print", len(themes))
	}
	for _, theme := range themes {
		colour := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): #([0-9a-f]{3,6});`).FindAllStringSubmatch(theme[1], -1) {
			colour[m[1]] = luminance(t, m[2])
		}
		for _, c := range []struct {
			ink, on string
			least   float64
		}{
			{"ink", "bg", 7},
			{"ink", "band", 7},
			{"ink", "ok-bg", 7},
			{"ink", "warn-bg", 7},
			{"ink", "bad-bg", 7},
			{"ink", "note-bg", 7},
			{"soft", "bg", 4.5},
			{"soft", "band", 4.5},
			{"soft", "note-bg", 4.5},
			{"soft", "bad-bg", 4.5},
			{"faint", "bg", 4.5},
			{"faint", "band", 4.5},
			{"faint", "bad-bg", 4.5},
			{"link", "bg", 4.5},
			{"ok", "bg", 4.5},
			{"ok", "band", 4.5},
			{"ok", "ok-bg", 4.5},
			{"warn", "warn-bg", 4.5},
			{"bad", "bad-bg", 4.5},
			{"quarantined", "bg", 4.5},
			{"quarantined", "band", 4.5},
			{"quarantined", "bad-bg", 4.5},
			{"loaded", "bg", 3},
			{"loaded", "track", 3},
			{"filtered", "bg", 3},
			{"bad", "bg", 3},
		} {
			a, ok := colour[c.ink]
			b, ok2 := colour[c.on]
			if !ok || !ok2 {
				t.Fatalf("no colour %s or %s", c.ink, c.on)
			}
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); got < c.least {
				t.Errorf("%s on %s: %.2f to 1, want %.1f: %s", c.ink, c.on, got, c.least, strings.TrimSpace(theme[1])[:40])
			}
		}
	}
}

// luminance is WCAG's relative luminance of a colour in hex.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(c uint64) float64 {
		x := float64(c&255) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}
