package laws

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

const problemPath = module + "/problem"

// raised is one place where a code is raised, with the names of its arguments.
type raised struct {
	at    string
	names []string
}

// codebook is all codes of a tree and where each is raised.
type codebook struct {
	tr       *tree
	declared map[string]string   // where, by "dir.Name"
	code     map[string]string   // the code by "dir.Name"
	raised   map[string][]raised // by code
	open     []raised            // raised with a code that only the running program knows
	helpers  map[string]helper   // by "dir.name"
	breaches []string
}

// helper is a function that raises the code that it is given.
type helper struct {
	index  int      // of the code among its parameters
	adds   []string // names that it adds itself
	spread bool     // what follows the code are names and values
}

func readCodes(tr *tree) *codebook {
	b := &codebook{
		tr: tr, declared: make(map[string]string), code: make(map[string]string),
		raised: make(map[string][]raised), helpers: make(map[string]helper),
	}
	files := slices.DeleteFunc(tr.shipped(), func(s *source) bool { return s.dir == "problem" })
	for _, s := range files {
		b.readConstants(s)
	}
	for range 2 { // a helper may call a helper
		for _, s := range files {
			b.readHelpers(s)
		}
	}
	for _, s := range files {
		b.readCalls(s)
	}
	return b
}

func (b *codebook) breach(s *source, n ast.Node, format string, args ...any) {
	b.breaches = append(b.breaches, b.tr.at(s, n)+": "+fmt.Sprintf(format, args...))
}

// isCode says whether a type is problem.Code.
func isCode(s *source, expr ast.Expr) bool {
	from, name, ok := s.selected(expr)
	return ok && from == problemPath && name == "Code"
}

var codeForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+$`)

func (b *codebook) readConstants(s *source) {
	s.walk(func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return
		}
		for i, name := range spec.Names {
			if i >= len(spec.Values) {
				break
			}
			value := spec.Values[i]
			typed := spec.Type != nil && isCode(s, spec.Type)
			if call, ok := value.(*ast.CallExpr); ok && isCode(s, call.Fun) && len(call.Args) == 1 {
				typed, value = true, call.Args[0]
			}
			text, ok := literal(value)
			if !typed || !ok {
				continue
			}
			if !codeForm.MatchString(text) {
				b.breach(s, n, "%q is no code of the form area.what-is-wrong", text)
			}
			for other, code := range b.code {
				if code == text {
					b.breach(s, n, "%s is declared at %s too", text, b.declared[other])
				}
			}
			key := s.dir + "." + name.Name
			b.code[key], b.declared[key] = text, b.tr.at(s, n)
		}
	})
}

// codeOf is the code that an expression names, if it names one.
func (b *codebook) codeOf(s *source, expr ast.Expr) (string, bool) {
	if from, name, ok := s.selected(expr); ok {
		dir, _ := strings.CutPrefix(from, module+"/")
		code, ok := b.code[dir+"."+name]
		return code, ok
	}
	if ident, ok := expr.(*ast.Ident); ok {
		code, ok := b.code[s.dir+"."+ident.Name]
		return code, ok
	}
	return "", false
}

// callee is the helper that a call calls; problem.New is one too.
func (b *codebook) callee(s *source, call *ast.CallExpr) (helper, bool) {
	if from, name, ok := s.selected(call.Fun); ok {
		if from == problemPath && name == "New" {
			return helper{index: 1, spread: true}, true
		}
		dir, _ := strings.CutPrefix(from, module+"/")
		h, ok := b.helpers[dir+"."+name]
		return h, ok
	}
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		h, ok := b.helpers[s.dir+"."+fun.Name]
		return h, ok
	case *ast.SelectorExpr: // a method
		h, ok := b.helpers[s.dir+"."+fun.Sel.Name]
		return h, ok
	}
	return helper{}, false
}

// readHelpers finds functions, methods and named closures that hand a parameter
// of type problem.Code on to problem.New or to another helper.
func (b *codebook) readHelpers(s *source) {
	s.walk(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				b.readHelper(s, n.Name.Name, n.Type, n.Body)
			}
		case *ast.AssignStmt:
			for i, right := range n.Rhs {
				lit, isFunc := right.(*ast.FuncLit)
				if name, ok := n.Lhs[min(i, len(n.Lhs)-1)].(*ast.Ident); ok && isFunc {
					b.readHelper(s, name.Name, lit.Type, lit.Body)
				}
			}
		}
	})
}

func (b *codebook) readHelper(s *source, name string, form *ast.FuncType, body *ast.BlockStmt) {
	index, param := 0, ""
	var h helper
	for _, field := range form.Params.List {
		for _, p := range field.Names {
			if param == "" && isCode(s, field.Type) {
				h.index, param = index, p.Name
			}
			index++
		}
	}
	if param == "" {
		return
	}
	raises := false
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if fun, ok := call.Fun.(*ast.Ident); ok && fun.Name == "append" { // args = append(args, "file", file)
			h.adds = append(h.adds, namesIn(call.Args[1:])...)
			if list, ok := call.Args[0].(*ast.CompositeLit); ok { // append([]any{"file", file}, args...)
				h.adds = append(h.adds, namesIn(list.Elts)...)
			}
		}
		called, ok := b.callee(s, call)
		if !ok || called.index >= len(call.Args) {
			return true
		}
		if code, ok := call.Args[called.index].(*ast.Ident); !ok || code.Name != param {
			return true
		}
		raises = true
		h.adds = append(h.adds, called.adds...)
		if called.spread {
			h.adds = append(h.adds, namesIn(call.Args[called.index+1:])...)
			h.spread = h.spread || call.Ellipsis.IsValid()
		}
		return true
	})
	if raises {
		b.helpers[s.dir+"."+name] = h
	}
}

// namesIn are the literals at the places of names.
func namesIn(args []ast.Expr) (names []string) {
	for i := 0; i+1 < len(args); i += 2 {
		if name, ok := literal(args[i]); ok {
			names = append(names, name)
		}
	}
	return names
}

func (b *codebook) readCalls(s *source) {
	for _, decl := range s.syntax.Decls {
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				b.readCall(s, decl, n)
			case *ast.CompositeLit:
				b.readLiteral(s, n)
			}
			return true
		})
	}
}

// readLiteral refuses problem.Problem{Code: Constant}, whose arguments nobody checks.
func (b *codebook) readLiteral(s *source, lit *ast.CompositeLit) {
	from, name, ok := s.selected(lit.Type)
	if !ok || from != problemPath || name != "Problem" {
		return
	}
	for _, elt := range lit.Elts {
		if pair, ok := elt.(*ast.KeyValueExpr); ok {
			if code, ok := b.codeOf(s, pair.Value); ok {
				b.breach(s, lit, "%s is raised without problem.New", code)
			}
		}
	}
}

func (b *codebook) readCall(s *source, around ast.Decl, call *ast.CallExpr) {
	h, ok := b.callee(s, call)
	if !ok || h.index >= len(call.Args) {
		return
	}
	site := raised{at: b.tr.at(s, call), names: slices.Clone(h.adds)}
	forwards := call.Ellipsis.IsValid()
	if h.spread && !forwards {
		rest := call.Args[h.index+1:]
		for i := 0; i < len(rest); i += 2 {
			name, ok := literal(rest[i])
			if !ok {
				b.breach(s, rest[i], "the name of an argument is no literal")
			}
			site.names = append(site.names, name)
		}
		if len(rest)%2 != 0 {
			b.breach(s, call, "an argument has no value")
		}
	}
	slices.Sort(site.names)
	site.names = slices.Compact(site.names)

	switch code := call.Args[h.index].(type) {
	case *ast.BasicLit:
		if text, ok := literal(code); ok {
			b.breach(s, code, "%s is raised by a literal, not by a typed constant", text)
			b.raised[text] = append(b.raised[text], site)
		}
	default:
		if known, ok := b.codeOf(s, code); ok {
			b.raised[known] = append(b.raised[known], site)
			return
		}
		if ident, ok := code.(*ast.Ident); ok && !forwards {
			for _, known := range b.assigned(s, around, ident.Name) {
				b.raised[known] = append(b.raised[known], site)
			}
		}
		b.open = append(b.open, site)
	}
}

// assigned are the codes that a declaration puts into a variable.
func (b *codebook) assigned(s *source, around ast.Decl, name string) (codes []string) {
	ast.Inspect(around, func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok || len(assign.Lhs) != len(assign.Rhs) {
			return true
		}
		for i, left := range assign.Lhs {
			if ident, ok := left.(*ast.Ident); ok && ident.Name == name {
				if code, ok := b.codeOf(s, assign.Rhs[i]); ok {
					codes = append(codes, code)
				}
			}
		}
		return true
	})
	return codes
}
