package mapping_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

var update = flag.Bool("update", false, "rewrite the want sections of testdata")

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

// record wraps a document as the n-th revision of document D1 of table.
func record(table string, n int, tape *change.Tape) *change.Record {
	return &change.Record{
		Table:   change.SourceTable{ID: "tableId" + table, Name: table},
		Key:     []byte("D1"),
		Version: change.Version(n),
		Tx:      []byte("tx" + strconv.Itoa(n)),
		At:      []byte("2026-01-02T03:04:05.678Z"),
		Hash:    bytes.Repeat([]byte{byte(n)}, 32),
		Fields:  tape,
		Origin:  change.Origin{Object: "a/b.ion", Offset: 100, Strand: "strand", Block: int64(n), Revision: 0},
	}
}

// show writes the mapped columns of a row, one a line.
func show(row change.Row) string {
	var b strings.Builder
	for i, v := range row.Values {
		switch c := row.Table.Columns[i]; c.Name {
		case mapping.DocIDColumn, mapping.VersionColumn, mapping.AuditColumn, mapping.OperationColumn, mapping.TransactionIDColumn:
		default:
			fmt.Fprintf(&b, "%s %s: %s\n", c.Name, mapping.TypeName(c.Type), showValue(v))
		}
	}
	return b.String()
}

func showValue(v change.Value) string {
	switch {
	case v.Kind == change.Null:
		return "NULL"
	case v.Bytes == nil:
		return fmt.Sprintf("%s %d", v.Kind, v.Int)
	case v.Kind == change.Bytes:
		return fmt.Sprintf("%s %x", v.Kind, v.Bytes)
	}
	return fmt.Sprintf("%s %q", v.Kind, v.Bytes)
}

// TestGolden maps the documents of testdata/*.txtar. A case has the sections
// mapping.json (the rules, for the ledger table that the first line of the
// section "table" names, else Case), doc.ion or doc.json (a document a line) and
// want. The section same-from-json promises that the JSON form of doc.ion makes
// the same rows.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			comment, sections := parseTxtar(string(text))
			files := map[string]string{}
			for _, s := range sections {
				files[s.name] = s.data
			}
			got := mapCase(t, files, false)
			if _, same := files["same-from-json"]; same {
				// A refusal names the kind that stood there, which JSON changes.
				kind := regexp.MustCompile(`(?m)^(refused: path .*): \w+ into `)
				if diff := cmp.Diff(kind.ReplaceAllString(got, "$1"), kind.ReplaceAllString(mapCase(t, files, true), "$1")); diff != "" {
					t.Errorf("the JSON form makes other rows (-ion +json):\n%s", diff)
				}
			}
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
			if diff := cmp.Diff(got, files["want"]); diff != "" {
				t.Errorf("rows differ (-got +want):\n%s", diff)
			}
		})
	}
}

func mapCase(t *testing.T, files map[string]string, viaJSON bool) string {
	t.Helper()
	rules := []byte(files["mapping.json"])
	if len(rules) == 0 {
		rules = mapping.DMV()
	}
	f, err := mapping.Parse(rules)
	if err != nil {
		return "mapping refused: " + err.Error() + "\n"
	}
	var fields change.Fields
	m, err := mapping.Compile(f, &fields)
	if err != nil {
		return "mapping refused: " + err.Error() + "\n"
	}
	table := strings.TrimSpace(files["table"])
	if table == "" {
		table = "Case"
	}
	p, err := m.Plan(table)
	if err != nil {
		return "table refused: " + err.Error() + "\n"
	}
	var b strings.Builder
	docs, isIon := files["doc.ion"]
	if !isIon {
		docs = files["doc.json"]
	}
	n := 0
	for line := range strings.Lines(docs) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var tape *change.Tape
		switch {
		case isIon && viaJSON:
			tape = jsonTape(t, &fields, jsonOf(t, line))
		case isIon:
			tape = ionTape(t, &fields, line)
		default:
			tape = jsonTape(t, &fields, line)
		}
		row, err := p.Map(record(table, n, tape))
		fmt.Fprintf(&b, "# %d\n", n)
		n++
		var ve *mapping.ValueError
		switch {
		case errors.As(err, &ve):
			fmt.Fprintf(&b, "refused: path %s: %s into %s %s: %s\n", ve.Path, ve.Kind, ve.Column, mapping.TypeName(ve.Type), ve.Why)
		case err != nil:
			t.Fatalf("Map returned %T: %v", err, err)
		default:
			b.WriteString(show(row))
		}
	}
	for _, c := range p.Presence() {
		if c.Present == 0 {
			fmt.Fprintf(&b, "column %s: path %s never found in %d documents\n", c.Column, c.Path, c.Documents)
		}
	}
	return b.String()
}
