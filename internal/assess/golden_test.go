package assess_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/assess"
	"godwit/internal/testdb"
)

var update = flag.Bool("update", false, "rewrite the want sections of testdata")

// targets are what every golden case is decided for.
var targets = []string{"aurora-postgresql-16", "aurora-dsql"}

// A section is one file of a txtar archive.
type section struct{ name, data string }

// parseTxtar reads the format of golang.org/x/tools/txtar: a comment, then files
// each under a line "-- name --".
func parseTxtar(text string) (comment string, sections []section) {
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "-- ")
		if name, end := strings.CutSuffix(name, " --"); ok && end {
			sections = append(sections, section{name: name})
		} else if len(sections) == 0 {
			comment += line
		} else {
			sections[len(sections)-1].data += line
		}
	}
	return comment, sections
}

// TestGolden decides about the databases of testdata/*.txtar. A case has the
// sections source.sql (run on a real PostgreSQL by its administrator, whose
// catalog is then read; without it there is no catalog), mapping.json, export.json
// (tables of the export's metadata), partial (the export was asked for some), all
// (findings that every decision has are shown, too) and want. What it plans is
// made on a real PostgreSQL, and given to the encoder, unless it is refused.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			comment, sections := parseTxtar(string(text))
			files := map[string]string{}
			for _, s := range sections {
				files[s.name] = s.data
			}
			got := decideCase(t, files)
			if *update {
				var b strings.Builder
				b.WriteString(comment)
				for _, s := range sections {
					if s.name != "want" {
						fmt.Fprintf(&b, "-- %s --\n%s", s.name, s.data)
					}
				}
				fmt.Fprintf(&b, "-- want --\n%s", got)
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(files["want"], got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func decideCase(t *testing.T, files map[string]string) string {
	t.Helper()
	in := assess.Input{Database: "shop"}
	if source, ok := files["source.sql"]; ok {
		in.Catalog = readCatalog(t, testdb.New(t), source)
	}
	if text, ok := files["export.json"]; ok {
		in.Export = []assess.Table{}
		if err := json.Unmarshal([]byte(text), &in.Export); err != nil {
			t.Fatal(err)
		}
	}
	_, in.Partial = files["partial"]
	if text, ok := files["mapping.json"]; ok {
		in.Rules = parseRules(t, text)
	}
	var b strings.Builder
	for _, name := range targets {
		in.Profile = lookup(t, name)
		d, err := assess.Decide(in)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== %s\n", name)
		for i := range d.Plans {
			b.WriteString(showPlan(&d.Plans[i]))
		}
		for _, f := range d.Findings {
			// What every decision says is in one case.
			if _, all := files["all"]; !all && slices.Contains([]string{assess.KindWrites, assess.KindNotCarried, assess.KindVersion}, f.Kind) {
				continue
			}
			b.WriteString(showFinding(f))
		}
		if len(d.Refused()) == 0 {
			makeTables(t, testdb.New(t), d.Plans)
			encode(t, d.Plans)
		}
	}
	return b.String()
}

// Every kind of finding has a case, so that a reviewer sees its words.
func TestEveryKindOfFindingHasACase(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(string(text), "-- want --\n")
		all.WriteString(want)
	}
	source, err := os.ReadFile("kinds.go")
	if err != nil {
		t.Fatal(err)
	}
	others, err := os.ReadFile("limits_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || !strings.HasPrefix(name, "Kind") {
			continue
		}
		name = strings.TrimSpace(strings.Fields(name)[0])
		value = strings.Trim(strings.Fields(value)[0], `"`)
		if !strings.Contains(all.String(), " "+value+" ") && !strings.Contains(string(others), "assess."+name) {
			t.Errorf("no case has a finding of kind %s", value)
		}
	}
}

// Findings are for people: sentences, with day and source where a profile decides.
func TestFindingsAreSentences(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(string(text), "-- want --\n")
		for line := range strings.Lines(want) {
			rest, isWhy := strings.CutPrefix(line, "    why: ")
			if !isWhy {
				if rest, isWhy = strings.CutPrefix(line, "    do: "); !isWhy {
					continue
				}
			}
			rest = strings.TrimSpace(rest)
			if first := rest[:1]; first != strings.ToUpper(first) && !strings.HasPrefix(rest, "public.") && !strings.HasPrefix(rest, "\"") || !slices.Contains([]string{".", ")"}, rest[len(rest)-1:]) {
				t.Errorf("%s: no sentence: %s", filepath.Base(file), rest)
			}
		}
	}
}
