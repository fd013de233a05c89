package laws

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openesu/openesu/locales"
)

var codesHaveWords = law{
	text: "Every code has an English sentence and hint, with the arguments that it is raised with.",
	why: "a code without a sentence shows up in front of a person as nothing but a code; a placeholder without an\n" +
		"        argument shows as a bare name; two places that raise one code with different arguments cannot share a sentence.",
	mend: "declare the code as a typed constant (const LimitReached problem.Code = \"activation.limit-reached\"), raise it\n" +
		"        with problem.New and the same literal argument names everywhere, and write its entry into\n" +
		"        locales/en/AREA.yaml, AREA being the part before the first dot. An entry without a code is deleted.",
}

// check holds the codes against the entries of a language.
func (b *codebook) check(entries map[string]locales.Entry) []string {
	breaches := b.breaches
	where := make(map[string]string) // by code
	for key, code := range b.code {
		where[code] = b.declared[key]
	}
	for code, sites := range b.raised {
		if where[code] == "" {
			where[code] = sites[0].at
		}
	}
	var openNames []string
	for _, site := range b.open {
		openNames = append(openNames, site.names...)
	}
	for _, code := range slices.Sorted(maps.Keys(where)) {
		entry, ok := entries[code]
		if !ok {
			area, _, _ := strings.Cut(code, ".")
			breaches = append(breaches, fmt.Sprintf("%s: %s has no entry in locales/en/%s.yaml", where[code], code, area))
			continue
		}
		sites := b.raised[code]
		for _, site := range sites {
			if !slices.Equal(site.names, sites[0].names) {
				breaches = append(breaches, fmt.Sprintf("%s: %s is raised with %q, but at %s with %q",
					site.at, code, site.names, sites[0].at, sites[0].names))
			}
			for _, name := range entry.Placeholders() {
				if !slices.Contains(site.names, name) {
					breaches = append(breaches, fmt.Sprintf("%s: %s is raised without %q, which its entry shows", site.at, code, name))
				}
			}
		}
		for _, name := range entry.Placeholders() {
			if len(sites) == 0 && !slices.Contains(openNames, name) {
				breaches = append(breaches, fmt.Sprintf("%s: the entry of %s shows %q, but nothing raises it with that", where[code], code, name))
			}
		}
	}
	for id := range entries {
		area, _, _ := strings.Cut(id, ".")
		if where[id] == "" && area != "text" {
			breaches = append(breaches, "locales/en/"+area+".yaml: "+id+" is no code of the program's")
		}
	}
	return breaches
}

func TestCodesHaveWords(t *testing.T) {
	entries, err := locales.Entries("en")
	if err != nil {
		t.Errorf("locales/en is at fault:\n%v", err)
	}
	codesHaveWords.hold(t, readCodes(readProject(t)).check(entries))
}

func TestCodesHaveWordsCanFail(t *testing.T) {
	const head = `import "github.com/openesu/openesu/problem"; `
	entry := func(text string) locales.Entry {
		return locales.Entry{Sentence: locales.Forms{"other": text}, Hint: locales.Forms{"other": "h"}}
	}
	tests := []struct {
		name    string
		files   []string
		entries map[string]locales.Entry
		want    []string
	}{
		{
			"sound: constants, helpers, closures, variables, other packages",
			[]string{
				"a/a.go", head + `
				const (
					One problem.Code = "a.one"
					Two = problem.Code("a.two")
				)
				func refuse(code problem.Code, args ...any) error {
					args = append(args, "file", 1)
					return problem.New(problem.Invalid, code, args...)
				}
				func (c *checker) bad(code problem.Code, key string) error {
					return problem.New(problem.Invalid, code, "key", key)
				}
				func f() {
					refuse(One, "line", 2)
					code := Two
					if true { code = Three }
					problem.New(problem.Invalid, code, "x", 1)
					c.bad(Four, "k")
				}`,
				"a/b.go", head + `const Three problem.Code = "a.three"; const Four problem.Code = "a.four"`,
				"b/b.go", head + `import "github.com/openesu/openesu/a"; var _ = problem.New(problem.Invalid, a.Two, "x", 1)`,
			},
			map[string]locales.Entry{"a.one": entry("{{.file}} {{.line}}"), "a.two": entry("{{.x}}"), "a.three": entry("{{.x}}"), "a.four": entry("{{.key}}"), "text.t": {}},
			nil,
		},
		{"no entry", []string{"a/a.go", head + `const One problem.Code = "a.one"`}, nil, []string{"a/a.go:2: a.one has no entry in locales/en/a.yaml"}},
		{"no code", []string{"a/a.go", ""}, map[string]locales.Entry{"a.one": entry("s")}, []string{"locales/en/a.yaml: a.one is no code"}},
		{
			"no argument",
			[]string{"a/a.go", head + `const One problem.Code = "a.one"; var _ = problem.New(problem.Invalid, One, "x", 1)`},
			map[string]locales.Entry{"a.one": entry("{{.y}}")},
			[]string{`a.one is raised without "y"`},
		},
		{
			"no argument through a helper",
			[]string{"a/a.go", head + `const One problem.Code = "a.one"
				func no(code problem.Code, key string) error { return problem.New(problem.Invalid, code, "key", key) }
				var _ = no(One, "y")`},
			map[string]locales.Entry{"a.one": entry("{{.y}}")},
			[]string{`a.one is raised without "y"`},
		},
		{
			"other arguments elsewhere",
			[]string{"a/a.go", head + `const One problem.Code = "a.one"
				var _ = problem.New(problem.Invalid, One, "x", 1)
				var _ = problem.New(problem.Invalid, One, "x", 1, "y", 2)`},
			map[string]locales.Entry{"a.one": entry("{{.x}}")},
			[]string{`a/a.go:4: a.one is raised with ["x" "y"], but at a/a.go:3 with ["x"]`},
		},
		{
			"never raised",
			[]string{"a/a.go", head + `const One problem.Code = "a.one"`},
			map[string]locales.Entry{"a.one": entry("{{.x}}")},
			[]string{`nothing raises it with that`},
		},
		{
			"literal code, computed name, twice, malformed, without New",
			[]string{
				"a/a.go", head + `var _ = problem.New(problem.Invalid, "a.one")`,
				"a/b.go", head + `const Two problem.Code = "a.two"; var _ = problem.New(problem.Invalid, Two, name, 1)`,
				"a/c.go", head + `const Again problem.Code = "a.two"`,
				"a/d.go", head + `const Bad problem.Code = "Bad"`,
				"a/e.go", head + `var _ = problem.Problem{Code: Two}`,
			},
			map[string]locales.Entry{"a.one": entry("s"), "a.two": entry("s"), "Bad": entry("s")},
			[]string{"a/a.go:2: a.one is raised by a literal", "a/b.go:2: the name", "a/c.go:2: a.two is declared at", "a/d.go:2", "a/e.go:2: a.two is raised without problem.New"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantBreaches(t, readCodes(small(t, test.files...)).check(test.entries), test.want...)
		})
	}
}

var textsExist = law{
	text: "Every text that Go or a page names by its id stands in locales/en.",
	why:  "a text that is not there shows as its id in front of a person.",
	mend: "write it into locales/en/AREA.yaml, or correct the id.",
}

var textID = regexp.MustCompile(`^text(\.[a-z0-9-]+)+$`)

func missingTexts(tr *tree, entries map[string]locales.Entry) (breaches []string) {
	for _, s := range tr.shipped() {
		s.walk(func(n ast.Node) {
			id, ok := literal(n)
			if _, known := entries[id]; ok && !known && textID.MatchString(id) {
				breaches = append(breaches, tr.at(s, n)+": "+id)
			}
		})
	}
	return breaches
}

func TestTextsExist(t *testing.T) {
	entries, _ := locales.Entries("en")
	textsExist.hold(t, missingTexts(readProject(t), entries))
}

func TestTextsExistCanFail(t *testing.T) {
	wantBreaches(t, missingTexts(small(t, "a/a.go", `var _ = r.Text("text.here"); var _ = r.Text("text.away")`),
		map[string]locales.Entry{"text.here": {}}), "text.away")
}
