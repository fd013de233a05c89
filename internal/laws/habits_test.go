package laws

import (
	"bufio"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var stillVariables = law{
	text: "No init(), and no package variable that changes.",
	why: "what a program does must follow from what main calls and passes on. A registry filled by an import, or a\n" +
		"        variable that one test sets and another reads, works until two of them run at once.",
	mend: "make it a field of what needs it, built in main and passed on. Tables, errors, patterns and embedded files\n" +
		"        that are set where they are declared are fine, and so is sync.OnceValue.",
}

func changingVariables(tr *tree) (breaches []string) {
	specs := make(map[string]*ast.ValueSpec) // by "dir.Name"
	for _, s := range tr.shipped() {
		for _, decl := range s.syntax.Decls {
			if fun, ok := decl.(*ast.FuncDecl); ok && fun.Recv == nil && fun.Name.Name == "init" {
				breaches = append(breaches, tr.at(s, fun)+": func init")
			}
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					if from, kind, ok := s.selected(spec.Type); ok && (from == "sync" || from == "sync/atomic") {
						breaches = append(breaches, tr.at(s, spec)+": "+name.Name+" is a "+path.Base(from)+"."+kind)
					}
					specs[s.dir+"."+name.Name] = spec
				}
			}
		}
	}
	for _, s := range tr.shipped() {
		change := func(target ast.Expr, at ast.Node) {
			if key, ok := s.variable(target, specs); ok {
				breaches = append(breaches, tr.at(s, at)+": changes "+key)
			}
		}
		s.walk(func(n ast.Node) {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					if n.Tok != token.DEFINE {
						change(left, n)
					}
				}
			case *ast.IncDecStmt:
				change(n.X, n)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					change(n.X, n)
				}
			case *ast.CallExpr:
				if fun, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (fun.Name == "delete" || fun.Name == "clear") {
					change(n.Args[0], n)
				}
			}
		})
	}
	return breaches
}

// variable finds the package variable that an expression is, or is a part of.
func (s *source) variable(expr ast.Expr, specs map[string]*ast.ValueSpec) (string, bool) {
	for {
		if from, name, ok := s.selected(expr); ok {
			dir, _ := strings.CutPrefix(from, module+"/")
			_, known := specs[dir+"."+name]
			return path.Base(dir) + "." + name, known
		}
		switch e := expr.(type) {
		case *ast.ParenExpr:
			expr = e.X
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.SelectorExpr:
			expr = e.X
		case *ast.Ident:
			spec, known := specs[s.dir+"."+e.Name]
			here := e.Obj == nil || e.Obj.Decl == spec // declared in another file, or here and not shadowed
			return e.Name, known && here
		default:
			return "", false
		}
	}
}

func TestVariablesAreStill(t *testing.T) { stillVariables.hold(t, changingVariables(readProject(t))) }

func TestVariablesAreStillCanFail(t *testing.T) {
	wantBreaches(t, changingVariables(small(t,
		"a/a.go", `import "sync"
			var Table = map[string]int{"a": 1}
			var count int
			var mu sync.Mutex
			func init() {}
			func f() { count++ }
			func g(count int) { count = 2; x := Table["a"]; x = 3 }
			func h() { Table["b"] = 2 }
			func i() *int { return &count }`,
		"a/b.go", `func j() { clear(Table) }`,
		"b/b.go", `import "github.com/openesu/openesu/a"; func k() { a.Table = nil }`,
		"a/a_test.go", `func init() { count = 1 }`,
	)), "a/a.go:10: changes count", "a/a.go:5: mu is a sync.Mutex", "a/a.go:6: func init", "a/a.go:7: changes count",
		"a/a.go:9: changes Table", "a/b.go:2: changes Table", "b/b.go:2: changes a.Table")
}

var doors = law{
	text: "Some libraries and calls have one door.",
	why: "the two database engines look the same to everyone because one package speaks to them; an offline clock for\n" +
		"        metadata is safe because one file sets it, where every rollback check stays on.",
	mend: "ask the package that owns the door for what is missing.",
}

// doorways are the folders that may import a library.
var doorways = map[string][]string{
	"github.com/jackc/pgx/v5":     {"internal/db"},
	"github.com/nicksnyder":       {"locales"},
	"github.com/pressly/goose/v3": {"internal/db"},
	"github.com/schollz":          {"internal/term"},
	"github.com/theupdateframework/go-tuf/v2": {
		"internal/trust",
	},
	"golang.org/x/term":  {"internal/term", "internal/cli"},
	"modernc.org/sqlite": {"internal/db"},
}

func aroundDoors(tr *tree) (breaches []string) {
	clocks := make(map[string]string) // the places of UnsafeSetRefTime by file
	for _, s := range tr.shipped() {
		for _, spec := range s.syntax.Imports {
			from, _ := literal(spec.Path)
			for library, folders := range doorways {
				if below(from, []string{library}) && !below(s.dir, folders) {
					breaches = append(breaches, tr.at(s, spec)+": imports "+from+", whose door is "+strings.Join(folders, ", "))
				}
			}
		}
		s.walk(func(n ast.Node) {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "UnsafeSetRefTime" {
				clocks[s.path] = tr.at(s, n) + ": UnsafeSetRefTime is called in more than one file"
			}
		})
	}
	if len(clocks) > 1 {
		breaches = slices.AppendSeq(breaches, maps.Values(clocks))
	}
	return breaches
}

func TestDoors(t *testing.T) { doors.hold(t, aroundDoors(readProject(t))) }

func TestDoorsCanFail(t *testing.T) {
	wantBreaches(t, aroundDoors(small(t,
		"internal/site/a.go", `import _ "github.com/jackc/pgx/v5/stdlib"`,
		"internal/db/a.go", `import _ "github.com/jackc/pgx/v5/stdlib"`,
		"internal/trust/a.go", `func f() { u.UnsafeSetRefTime(t); u.UnsafeSetRefTime(t) }`,
	)), "site/a.go:2")
	wantBreaches(t, aroundDoors(small(t,
		"internal/trust/a.go", `func f() { u.UnsafeSetRefTime(t) }`,
		"internal/trust/b.go", `func g() { u.UnsafeSetRefTime(t) }`,
	)), "a.go:2", "b.go:2")
}

var names = law{
	text: "A package is a noun of the business, or the thing that you get from it.",
	why:  "util, common and manager say nothing, so everything ends up in them.",
	mend: "name it after what it holds, or move its parts to where they are used.",
}

func emptyNames(tr *tree) (breaches []string) {
	empty := []string{"base", "common", "core", "helper", "helpers", "lib", "manager", "misc", "model", "models", "shared", "types", "util", "utils"}
	for _, s := range tr.files {
		for part := range strings.SplitSeq(s.dir, "/") {
			if slices.Contains(empty, part) {
				breaches = append(breaches, s.dir)
			}
		}
	}
	return breaches
}

func TestNames(t *testing.T) { names.hold(t, emptyNames(readProject(t))) }

func TestNamesCanFail(t *testing.T) {
	wantBreaches(t, emptyNames(small(t, "internal/util/a.go", "", "internal/wire/a.go", "")), "internal/util")
}

var dependenciesExplained = law{
	text: "Each library and tool that the project itself asks for has a line in docs/dependencies.md.",
	why:  "every library is code that others can change under us; somebody must have said what for, and why this one.",
	mend: "add a line to the table, or drop the dependency; remove the line of one that is gone.",
}

// requirement is a line of go.mod: a module, and whether a comment calls it indirect.
var requirement = regexp.MustCompile(`^(?:require )?\t?([a-z0-9.-]+\.[a-z]+/\S+) v\S+( // indirect)?$`)

// explained is a line of the table: | `module` | what for | why |.
var explained = regexp.MustCompile("^\\| `([^`]+)` \\| [^|]{10,} \\| [^|]{10,} \\|$")

func unexplained(mod, tools, table string) (breaches []string) {
	direct, all, told := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	lines(mod, func(line string) {
		if m := requirement.FindStringSubmatch(line); m != nil {
			all[m[1]] = true
			if m[2] == "" {
				direct[m[1]] = true
			}
		}
	})
	inTools := false
	lines(tools, func(line string) {
		line, one := strings.CutPrefix(line, "tool ")
		if name := strings.TrimSpace(line); one && name != "(" || inTools && name != ")" {
			direct[name], all[name] = true, true
		}
		inTools = one && line == "(" || inTools && line != ")"
	})
	lines(table, func(line string) {
		if m := explained.FindStringSubmatch(line); m != nil {
			told[m[1]] = true
			if !all[m[1]] {
				breaches = append(breaches, "docs/dependencies.md explains "+m[1]+", which is not used")
			}
		}
	})
	for name := range direct {
		if !told[name] {
			breaches = append(breaches, "docs/dependencies.md has no line for "+name)
		}
	}
	return breaches
}

func lines(text string, visit func(string)) {
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		visit(scanner.Text())
	}
}

func TestDependenciesAreExplained(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	dependenciesExplained.hold(t, unexplained(read("go.mod"), read("tools/go.mod"), read("docs/dependencies.md")))
}

func TestDependenciesAreExplainedCanFail(t *testing.T) {
	mod := "module m\n\nrequire rsc.io/qr v0.2.0\n\nrequire (\n\texample.org/a v1.0.0\n\texample.org/b/v2 v2.0.0-x // indirect\n)\n"
	tools := "module m/tools\n\ntool (\n\texample.org/lint/cmd/lint\n\texample.org/bench\n)\n\nrequire example.org/lint v1.0.0 // indirect\n"
	table := "| module | what for | why this one |\n| --- | --- | --- |\n" +
		"| `example.org/bench` | comparing benchmarks | the standard one |\n" +
		"| `example.org/b/v2` | something needed | the standard one |\n" +
		"| `rsc.io/qr` | | |\n" +
		"| `example.org/gone` | something needed | the standard one |\n"
	wantBreaches(t, unexplained(mod, tools, table), "explains example.org/gone", "no line for example.org/a",
		"no line for example.org/lint/cmd/lint", "no line for rsc.io/qr")
	wantBreaches(t, unexplained(mod, "tool example.org/one\n", table), "explains example.org/bench", "explains example.org/gone",
		"no line for example.org/a", "no line for example.org/one", "no line for rsc.io/qr")
}
