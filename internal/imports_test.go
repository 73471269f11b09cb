// Package internal_test holds the import rules of the project: which package
// may know which. They are a graph without exceptions; see README.md beside it.
package internal_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A rule is for the packages of a folder and those below it.
type rule struct {
	folder string
	ours   []string // folders of this module; "*" is any
	others []string // prefixes of import paths
}

// rules say what the packages of a folder may import: packages of this module
// by their folder, and modules or packages of others by prefix. The standard
// library is free to all, but for what bans says.
var rules = []rule{
	{"internal/change", nil, nil},
	{"internal/ion", nil, nil},
	{"internal/profile", nil, nil},
	{"internal/catalog", []string{"internal/change"}, nil},
	{"internal/assess", []string{"internal/change", "internal/catalog", "internal/profile", "internal/mapping"}, nil},
	{"internal/config", nil, nil},
	{"internal/report", []string{"internal/estimate"}, nil},
	{"internal/estimate", nil, nil},
	{"internal/receiptcheck", nil, nil},
	{"internal/journal", []string{"internal/change", "internal/ion"}, []string{"github.com/amazon-ion/ion-go", gzip}},
	{"internal/proof", []string{"internal/ion", "internal/journal"}, nil},
	{"internal/ledgergen", []string{"internal/ion", "internal/journal", "internal/proof"}, []string{protowire}},
	{"internal/stream", []string{"internal/change", "internal/ion", "internal/journal"}, []string{protowire}},
	{"internal/snapshot", []string{"internal/change", "internal/copytext"}, []string{"github.com/parquet-go/parquet-go"}},
	{"internal/mapping", []string{"internal/change"}, nil},
	{"internal/copytext", []string{"internal/change"}, nil},
	{"internal/target", []string{"internal/change", "internal/profile", "internal/copytext"}, []string{
		"github.com/jackc/pgx/v5", "github.com/aws/aws-sdk-go-v2/service/rdsdata", "github.com/aws/aws-sdk-go-v2/feature/dsql", aws, smithy,
	}},
	{"internal/postgres", []string{"internal/change"}, []string{"github.com/jackc/pgx/v5"}},
	{"internal/verify", []string{"internal/change", "internal/journal", "internal/proof"}, nil},
	{"internal/control", []string{"internal/change"}, []string{"github.com/aws/aws-sdk-go-v2/service/", aws, smithy}},
	{"internal/objects", nil, []string{"github.com/aws/aws-sdk-go-v2/service/s3", aws, smithy}},
	{"internal/migrate", []string{
		"internal/change", "internal/ion", "internal/profile", "internal/config", "internal/report", "internal/estimate", "internal/journal", "internal/proof",
		"internal/stream", "internal/snapshot", "internal/catalog", "internal/assess", "internal/mapping", "internal/copytext", "internal/verify",
	}, []string{"github.com/aws/aws-lambda-go/events", gzip}},
	{"functions", []string{
		"internal/migrate", "internal/config", "internal/objects", "internal/control", "internal/target", "internal/postgres",
		"internal/mapping", "internal/verify", "internal/report",
	}, []string{"github.com/aws/aws-lambda-go", "github.com/aws/aws-sdk-go-v2", smithy}},
	{"infra", []string{"internal/config"}, []string{
		"github.com/aws/aws-cdk-go/awscdk/v2", "github.com/aws/constructs-go/constructs/v10", "github.com/aws/jsii-runtime-go", "github.com/cdklabs/cdk-nag-go/cdknag/v2",
	}},
	{"internal/plainproof", nil, []string{"github.com/amazon-ion/ion-go"}},
	{"internal/iontest", nil, []string{"github.com/amazon-ion/ion-go"}},
	{"internal/testdb", []string{"internal/local"}, []string{"github.com/jackc/pgx/v5"}},
	{"internal/local", []string{"*"}, []string{""}},
	{"internal", nil, nil}, // this test
}

const (
	// What every client of AWS is made of.
	aws    = "github.com/aws/aws-sdk-go-v2/aws"
	smithy = "github.com/aws/smithy-go"
	// The standard library's gzip, several times as fast: the other half of the
	// work on gzipped exports and on every part.
	gzip = "github.com/klauspost/compress/gzip"
	// The wire format of the aggregates in Kinesis, and no more of protobuf.
	protowire = "google.golang.org/protobuf/encoding/protowire"
)

// bans are packages, and what is below them, that only the named folders may
// import, directly.
var bans = []struct {
	path string
	only []string
}{
	{"github.com/aws/aws-cdk-go", []string{"infra"}},
	{"github.com/aws/jsii-runtime-go", []string{"infra"}},
	{"github.com/aws/aws-sdk-go-v2", []string{"functions", "internal/objects", "internal/control", "internal/target", "internal/local"}},
	{"godwit/internal/local", []string{"internal/local", "internal/testdb"}},
	{"godwit/internal/testdb", nil},
	{"godwit/internal/plainproof", nil},
	{"godwit/internal/iontest", nil},
	{"godwit/internal/ledgergen", []string{"internal/local"}},
}

// pure are the packages that know no clock, chance or log: with the same input
// they do the same.
var pure = []string{"internal/change", "internal/ion", "internal/journal", "internal/proof", "internal/stream", "internal/mapping", "internal/copytext", "internal/estimate", "internal/catalog", "internal/profile", "internal/assess"}

// notInFunctions are packages that no function's binary may hold, through
// whomever it came.
var notInFunctions = []string{"github.com/aws/aws-cdk-go", "github.com/aws/jsii-runtime-go", "godwit/internal/local", "godwit/internal/ledgergen", "godwit/internal/plainproof", "godwit/internal/iontest", "godwit/internal/testdb"}

// A listed package is what `go list -json -deps` says of it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

func (p listed) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

const module = "godwit"

func TestImportsFollowTheRules(t *testing.T) {
	packages := list(t, "-deps", "./...")
	standard := map[string]bool{}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	for _, p := range packages {
		if p.Module == nil || p.Module.Path != module {
			continue
		}
		folder := p.folder()
		i := slices.IndexFunc(rules, func(r rule) bool { return within(folder, r.folder) })
		if i < 0 {
			t.Errorf("package %s has no rule: say in rules what it may import, and in README.md what it owns", folder)
			continue
		}
		rule := rules[i]
		for _, path := range p.Imports {
			switch ours := within(path, module); {
			case standard[path]:
			case ours && !within(strings.TrimPrefix(path, module+"/"), rule.folder) && !slices.ContainsFunc(rule.ours, func(f string) bool {
				return f == "*" || within(path, module+"/"+f)
			}):
				t.Errorf("%s imports %s, which the rule of %s does not allow", p.ImportPath, path, rule.folder)
			case !ours && !slices.ContainsFunc(rule.others, func(prefix string) bool { return strings.HasPrefix(path, prefix) }):
				t.Errorf("%s imports %s, which the rule of %s does not allow", p.ImportPath, path, rule.folder)
			}
			for _, b := range bans {
				if within(path, b.path) && !slices.ContainsFunc(b.only, func(f string) bool { return within(folder, f) }) {
					t.Errorf("%s imports %s, which only %v may", p.ImportPath, path, b.only)
				}
			}
		}
	}
}

func TestFunctionsLinkNothingOfOtherPlaces(t *testing.T) {
	found := 0
	for _, p := range list(t, "-deps", "./functions/...") {
		if !within(p.folder(), "functions") {
			continue
		}
		found++
		for _, dep := range p.Deps {
			for _, ban := range notInFunctions {
				if within(dep, ban) {
					t.Errorf("function %s links %s: `go list -deps` shows the way", p.folder(), dep)
				}
			}
		}
	}
	if found == 0 {
		t.Error("there is no function to check")
	}
}

func TestPurePackagesKnowNoClockChanceOrLog(t *testing.T) {
	for _, p := range list(t, "./internal/...") {
		if !slices.ContainsFunc(pure, func(f string) bool { return within(p.folder(), f) }) {
			continue
		}
		for _, path := range p.Imports {
			if path == "log" || within(path, "log/slog") || within(path, "math/rand") || path == "crypto/rand" {
				t.Errorf("%s imports %s: it must do the same with the same input", p.ImportPath, path)
			}
		}
	}
	for _, call := range []string{"time.Now(", "time.Since(", "os.Getenv(", "os.LookupEnv("} {
		folders := pure
		if strings.HasPrefix(call, "os.") {
			folders = []string{"."}
		}
		for _, hit := range grep(t, call, folders...) {
			switch {
			case strings.HasSuffix(strings.SplitN(hit, ":", 2)[0], "_test.go"), strings.HasPrefix(hit, "./internal/local/"), strings.HasPrefix(hit, "internal/local/"):
			case strings.HasPrefix(call, "os.") && (strings.Contains(hit, "internal/config/") || strings.Contains(hit, "internal/testdb/")):
			default:
				t.Errorf("%s: %s does not belong here", hit, call)
			}
		}
	}
}

// within reports whether a path is another one or below it.
func within(path, above string) bool {
	return path == above || strings.HasPrefix(path, above+"/")
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Standard,Imports,Deps,Module"}, args...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v: %s", args, err, stderr.String())
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// grep returns the lines of tracked Go files that hold a text.
func grep(t *testing.T, text string, folders ...string) []string {
	t.Helper()
	args := []string{"grep", "-n", "-F", "-e", text, "--"}
	for _, f := range folders {
		args = append(args, f+"/*.go")
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // no line
	} else if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}
