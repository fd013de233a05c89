package laws

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var sqlAtHome = law{
	text: "SQL stands in store.go files and in internal/db.",
	why: "a store counts and locks, and never decides: rules that sink into SQL can neither be read beside the others\n" +
		"        nor be tested without a database. One file a room is also where a reviewer looks for both engines.",
	mend: "move the statement into the store.go of the room that owns the table, behind a method named after what it does.",
}

var sqlText = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|PRAGMA|TRUNCATE|LOCK)\s`)

func strayedSQL(tr *tree) (breaches []string) {
	for _, s := range tr.shipped() {
		if path.Base(s.path) == "store.go" || below(s.dir, []string{"internal/db"}) || strings.Contains(s.dir, "migrations") {
			continue
		}
		s.walk(func(n ast.Node) {
			if text, ok := literal(n); ok && sqlText.MatchString(text) {
				breaches = append(breaches, tr.at(s, n)+": "+firstWords(text))
			}
		})
	}
	return breaches
}

func firstWords(text string) string {
	words := strings.Fields(text)
	return strings.Join(words[:min(len(words), 8)], " ")
}

func TestSQLIsInStores(t *testing.T) { sqlAtHome.hold(t, strayedSQL(readProject(t))) }

func TestSQLIsInStoresCanFail(t *testing.T) {
	wantBreaches(t, strayedSQL(small(t,
		"internal/site/fleet/fleet.go", "const q = `\n\tSELECT id FROM devices`\nconst words = \"UPDATES ARE SELECTED\"",
		"internal/site/fleet/store.go", "const q = `SELECT id FROM devices`",
		"internal/db/lease.go", `const q = "UPDATE lease SET version = 1"`,
		"internal/site/fleet/fleet_test.go", `const q = "DELETE FROM devices"`,
		"coverage/a.go", `const q = "DELETE FROM devices"`,
	)), "coverage/a.go:2: DELETE", "fleet.go:2: SELECT id FROM devices")
}

var programFacts = law{
	text: "No Windows name, date, price, KB number, vendor code or channel stands in Go.",
	why: "OpenESU runs any such program. What belongs to one of them is data in its program file, where a vendor\n" +
		"        changes it without a release, and where one rule cannot say something else than another.",
	mend: "read it from the program file. Only the slmgr command, internal/agent/platform and internal/agent/install\n" +
		"        (which speak to Windows) and diagnosis (whose data is about its messages) are free of this law. A\n" +
		"        literal that only looks like such a fact goes into the list lookalikes, with the reason.",
}

// factForms are facts of one program by what they look like in a literal.
var factForms = []struct {
	what string
	form *regexp.Regexp
}{
	{"a KB number", regexp.MustCompile(`\bKB\s?[0-9]{6,7}\b`)},
	{"a vendor code", regexp.MustCompile(`(?i)\b(0x)?(C004[0-9A-F]{4}|8007[0-9A-F]{4}|80096010|8024[0-9A-F]{4})\b`)},
	{"a vendor's product", regexp.MustCompile(`\bWindows\b|(?i:\bwindows[- _]?([0-9]|server|embedded|nt|update|vista|xp))`)},
	{"a vendor or channel", regexp.MustCompile(`(?i)\b(microsoft|azure|vlsc|mpsa|wsus|volume[- ]licensing|premier|unified support)\b|\b(CSP|MAK|csp)\b`)},
	{"a date", regexp.MustCompile(`\b(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]\b`)},
	{"a price", regexp.MustCompile(`\b(USD|EUR|JPY|PLN|GBP) ?[0-9]`)},
}

// lookalikes by file: literals that are no facts of a program.
var lookalikes = map[string][]string{
	// the form of an amount, in an error
	"money/money.go": {"%q is not an amount of the form 'USD 50.00'"},
}

// layouts are dates in the sense of package time.
var layouts = regexp.MustCompile(`2006-01-02`)

// dateCalls make a day out of numbers.
var dateCalls = map[string]string{"time": "Date", module + "/civil": "New"}

func strayedFacts(tr *tree) (breaches []string) {
	free := []string{"internal/agent/platform", "internal/agent/install", "diagnosis"}
	for _, s := range tr.shipped() {
		if below(s.dir, free) || strings.HasPrefix(path.Base(s.path), "slmgr") || below("slmgr", strings.Split(s.dir, "/")) {
			continue
		}
		s.walk(func(n ast.Node) {
			text, ok := literal(n)
			if number, isLit := n.(*ast.BasicLit); isLit && number.Kind == token.INT {
				text, ok = strings.ReplaceAll(number.Value, "_", ""), true
			}
			if ok && !slices.Contains(lookalikes[s.path], text) {
				for _, fact := range factForms {
					if found := fact.form.FindString(layouts.ReplaceAllString(text, "")); found != "" {
						breaches = append(breaches, tr.at(s, n)+": "+fact.what+": "+found)
					}
				}
			}
			call, isCall := n.(*ast.CallExpr)
			if !isCall || len(call.Args) == 0 {
				return
			}
			from, name, _ := s.selected(call.Fun)
			year, isLit := call.Args[0].(*ast.BasicLit)
			if isLit && dateCalls[from] == name && name != "" && year.Value >= "1990" && len(year.Value) == 4 {
				breaches = append(breaches, tr.at(s, n)+": a date in "+year.Value)
			}
		})
	}
	return breaches
}

func TestFactsAreInProgramFiles(t *testing.T) { programFacts.hold(t, strayedFacts(readProject(t))) }

func TestFactsAreInProgramFilesCanFail(t *testing.T) {
	wantBreaches(t, strayedFacts(small(t,
		"a/a.go", `const x = "see KB4538483"`,
		"a/b.go", `const x = "0xc004f050"`,
		"a/c.go", `const x = 0xC004_F050`,
		"a/d.go", `const x = "windows-7"`,
		"a/e.go", `const x = "for Windows only"`,
		"a/f.go", `const x = "buy it in CSP"`,
		"a/g.go", `const x = "2020-01-14"`,
		"a/h.go", `const x = "USD 50"`,
		"a/i.go", `import "github.com/openesu/openesu/civil"; var x = civil.New(2020, 1, 14)`,
		"a/j.go", `import ("runtime"; "time"; "golang.org/x/sys/windows"); var x, y = runtime.GOOS == "windows", time.Date(1, 1, 1, 0, 0, 0, 0, nil); const l = "2006-01-02T15"`,
		"a/k_test.go", `const x = "windows-7"`,
		"diagnosis/a.go", `const x = "0xC004F050"`,
		"internal/agent/platform/a.go", `const x = "Windows"`,
		"internal/cli/device/slmgr.go", `const x = "Windows"`,
		"internal/cli/device/slmgr/a.go", `const x = "Windows"`,
	)), "a.go:2: a KB number", "b.go:2: a vendor code", "c.go:2: a vendor code", "d.go:2: a vendor's product",
		"e.go:2: a vendor's product", "f.go:2: a vendor or channel", "g.go:2: a date", "h.go:2: a price", "i.go:2: a date in 2020")
}
