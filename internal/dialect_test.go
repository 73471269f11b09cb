package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dialect is what a condition would name that asks which kind of target it has.
var dialect = regexp.MustCompile(`(?i)dsql|dialect|aurora-(postgresql|mysql)|engineversion|server_version`)

// reviewed are the conditions that may: they refuse, or reckon, and nothing that is
// done depends on them.
var reviewed = map[string]string{
	"config/config.go":     "refuses a producer of the stream that nobody knows",
	"estimate/snapshot.go": "the two services are billed for different things, and have rates of their own",
	"migrate/preflight.go": "refuses a cluster that is no Aurora PostgreSQL before anything is read",
}

// What a target can do is data with a date, of package profile, and not a condition
// in the code (invariant 10): nothing that deploys may ask which it is. The local AWS
// stands in for the services and is left out; so is stream, which tells sources apart.
func TestNoDialectBranchOutsideProfile(t *testing.T) {
	used := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "local" || path == "testdb" || path == "profile" || path == "stream" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		condition := func(e ast.Expr) {
			if e == nil {
				return
			}
			ast.Inspect(e, func(n ast.Node) bool {
				text := ""
				switch n := n.(type) {
				case *ast.Ident:
					text = n.Name
				case *ast.BasicLit:
					text = n.Value
				}
				if !dialect.MatchString(text) {
					return true
				}
				if name := filepath.ToSlash(path); reviewed[name] != "" {
					used[name] = true
				} else {
					t.Errorf("%s: a condition asks for %s: what a target can do belongs into profile, as data", set.Position(n.Pos()), text)
				}
				return true
			})
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IfStmt:
				condition(n.Cond)
			case *ast.SwitchStmt:
				condition(n.Tag)
			case *ast.CaseClause:
				for _, e := range n.List {
					condition(e)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range reviewed {
		if !used[name] {
			t.Errorf("%s no longer asks: take it off the list", name)
		}
	}
}
