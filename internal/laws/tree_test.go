// Package laws keeps the laws of the house (ARCHITECTURE.md) as tests. Each one
// says why it stands and what to do when it fails; each is shown to fail, on a
// small tree of its own, beside the test that runs it over the project.
//
// Files are read as syntax, without types: fast, and enough for what is asked.
// The laws speak of what ships; test files are free, but for what they embed
// of other laws.
package laws

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	top    = "../.." // the repository, seen from here
	module = "github.com/openesu/openesu"
)

// law is what a failing test tells: the law, why it stands, what mends it.
type law struct{ text, why, mend string }

// hold fails the test with all breaches at once.
func (l law) hold(t *testing.T, breaches []string) {
	t.Helper()
	if len(breaches) == 0 {
		return
	}
	slices.Sort(breaches)
	t.Errorf("%s\n  why:  %s\n  mend: %s\n\n  %s", l.text, l.why, l.mend,
		strings.Join(slices.Compact(breaches), "\n  "))
}

// tree is the Go files of a repository, without tools/ (a module of its own)
// and testdata.
type tree struct {
	fset  *token.FileSet
	files []*source
}

// source is one Go file; paths are relative to the repository, with slashes.
type source struct {
	path, dir string
	test      bool
	syntax    *ast.File
	imports   map[string]string // path by the name it has in this file
}

// at is "path:line".
func (tr *tree) at(s *source, n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, tr.fset.Position(n.Pos()).Line)
}

// shipped are the files that are no tests and serve none.
func (tr *tree) shipped() []*source {
	return slices.DeleteFunc(slices.Clone(tr.files), func(s *source) bool { return s.test || servesTests(s.dir) })
}

// servesTests says of a package that only tests may import it.
func servesTests(dir string) bool {
	return path.Base(dir) == "testkit" || strings.HasSuffix(path.Base(dir), "test")
}

// atRoot says of a package that it is one of the pure ones.
func atRoot(dir string) bool {
	first, _, _ := strings.Cut(dir, "/")
	return first != "internal" && first != "cmd" && first != "."
}

func (tr *tree) add(name string, text []byte) error {
	syntax, err := parser.ParseFile(tr.fset, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	s := &source{
		path: name, dir: path.Dir(name), syntax: syntax, imports: make(map[string]string),
		test: strings.HasSuffix(name, "_test.go"),
	}
	for _, spec := range syntax.Imports {
		from, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		name := path.Base(from)
		if isVersion.MatchString(name) {
			name = path.Base(path.Dir(from))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		s.imports[name] = from
	}
	tr.files = append(tr.files, s)
	return nil
}

var isVersion = regexp.MustCompile(`^v[0-9]+$`)

// project reads the repository once.
var project = sync.OnceValues(func() (*tree, error) {
	tr := &tree{fset: token.NewFileSet()}
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && rel != "."
			if hidden || rel == "tools" || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return tr.add(rel, text)
	})
	if err == nil && len(tr.files) < 10 {
		err = fmt.Errorf("only %d Go files under %s: the laws look in the wrong place", len(tr.files), top)
	}
	return tr, err
})

func readProject(t *testing.T) *tree {
	t.Helper()
	tr, err := project()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// small makes a tree of pairs: a path and what follows its package clause.
func small(t *testing.T, pairs ...string) *tree {
	t.Helper()
	tr := &tree{fset: token.NewFileSet()}
	for i := 0; i < len(pairs); i += 2 {
		if err := tr.add(pairs[i], []byte("package p\n"+pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// wantBreaches fails unless each breach holds its part, in the order of places,
// and there are no others.
func wantBreaches(t *testing.T, got []string, parts ...string) {
	t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	ok := len(got) == len(parts)
	for i := range min(len(got), len(parts)) {
		ok = ok && strings.Contains(got[i], parts[i])
	}
	if !ok {
		t.Errorf("breaches:\n  %s\nwant, in this order, ones with:\n  %s", strings.Join(got, "\n  "), strings.Join(parts, "\n  "))
	}
}

// selected returns the import path and the name of pkg.Name, where expr is that.
func (s *source) selected(expr ast.Expr) (from, name string, ok bool) {
	sel, isSel := expr.(*ast.SelectorExpr)
	if !isSel {
		return "", "", false
	}
	x, isIdent := sel.X.(*ast.Ident)
	if !isIdent || x.Obj != nil { // a local variable of that name
		return "", "", false
	}
	from, ok = s.imports[x.Name]
	return from, sel.Sel.Name, ok
}

// literal is the value of a string literal.
func literal(expr ast.Node) (string, bool) {
	lit, ok := expr.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// walk visits every node of a file but its imports.
func (s *source) walk(visit func(ast.Node)) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if _, ok := n.(*ast.ImportSpec); ok {
			return false
		}
		if n != nil {
			visit(n)
		}
		return true
	})
}
