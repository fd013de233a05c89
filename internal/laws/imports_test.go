package laws

import (
	"go/ast"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

var purity = law{
	text: "Packages at the root are pure: values in, values out.",
	why: "the same rule decides on a device, in a fleet's report and in the troubleshooter, and is proved by tests\n" +
		"        without a machine around it; a rule that reads a clock or a file itself answers differently elsewhere.",
	mend: "take the value (a day, random bytes, the bytes of a file) as an argument, and read it in internal/.",
}

// impureImports are packages of the standard library that a root package does
// not import, with all below them but for pureImports.
var (
	impureImports = []string{
		"context", "crypto/rand", "database/sql", "hash/maphash", "io/ioutil", "log", "math/rand",
		"net", "os", "plugin", "runtime", "syscall", "testing", "unsafe",
	}
	pureImports = []string{"net/mail", "net/netip", "net/textproto", "net/url"}
	// pureLibraries neither read a clock nor reach for anything outside.
	pureLibraries = []string{
		"github.com/consensys/gnark-crypto", "github.com/go-jose/go-jose/v4", "github.com/goccy/go-yaml",
		"github.com/google/uuid", "github.com/gowebpki/jcs", "github.com/nicksnyder/go-i18n/v2",
		"golang.org/x/text", "rsc.io/qr",
	}
	// impureCalls by package; "*" is every package.
	impureCalls = map[string][]string{
		"time": {
			"After", "AfterFunc", "LoadLocation", "Local", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
		},
		"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
		"github.com/google/uuid": {
			"Must", "New", "NewDCEGroup", "NewDCEPerson", "NewDCESecurity", "NewRandom", "NewString", "NewUUID", "NewV6", "NewV7",
		},
		"*": {"GenerateKey"},
	}
	// slogValues is what of log/slog makes a value that knows how to be logged.
	slogValues = []string{"Any", "Attr", "Bool", "GroupValue", "Int", "Int64", "LogValuer", "String", "StringValue", "Uint64", "Value"}
)

func below(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return name == f || strings.HasPrefix(name, f+"/") })
}

func pure(tr *tree) (breaches []string) {
	for _, s := range tr.shipped() {
		if !atRoot(s.dir) {
			continue
		}
		for _, spec := range s.syntax.Imports {
			from, _ := literal(spec.Path)
			library := strings.Contains(from, ".") && !below(from, []string{module})
			switch {
			case from == "log/slog", below(from, pureImports), below(from, pureLibraries):
			case library, below(from, impureImports), below(from, []string{module + "/internal", module + "/cmd"}):
				breaches = append(breaches, tr.at(s, spec)+": imports "+from)
			}
		}
		s.walk(func(n ast.Node) {
			expr, _ := n.(ast.Expr)
			from, name, ok := s.selected(expr)
			if !ok {
				return
			}
			if slices.Contains(impureCalls[from], name) || slices.Contains(impureCalls["*"], name) ||
				from == "log/slog" && !slices.Contains(slogValues, name) {
				breaches = append(breaches, tr.at(s, n)+": uses "+path.Base(from)+"."+name)
			}
		})
	}
	return breaches
}

func TestPurity(t *testing.T) { purity.hold(t, pure(readProject(t))) }

func TestPurityCanFail(t *testing.T) {
	wantBreaches(t, pure(small(t,
		"coverage/a.go", `import "os"`,
		"coverage/b.go", `import ("time"; "log/slog"); var now = time.Now; func f(t time.Time) slog.Value { return slog.StringValue("") }`,
		"coverage/c.go", `import "log/slog"; func f() { slog.Info("") }`,
		"coverage/d.go", `import "crypto/ed25519"; func f() { ed25519.GenerateKey(nil) }`,
		"coverage/e.go", `import "modernc.org/sqlite"`,
		"coverage/f.go", `import "github.com/openesu/openesu/internal/db"`,
		"coverage/g.go", `import "math/rand/v2"`,
		"coverage/h.go", `import ("net/url"; "golang.org/x/text/language"; "github.com/google/uuid";  "github.com/openesu/openesu/civil"); var f = uuid.Parse`,
		"coverage/hh.go", `import "github.com/google/uuid"; var id = uuid.New()`,
		"coverage/i_test.go", `import "os"`,
		"internal/db/a.go", `import "os"`,
	)), "a.go:2: imports os", "b.go:2: uses time.Now", "c.go:2: uses slog.Info", "d.go:2: uses ed25519.GenerateKey",
		"e.go:2: imports modernc.org/sqlite", "f.go:2: imports", "g.go:2: imports math/rand/v2", "hh.go:2: uses uuid.New")
}

var order = law{
	text: "A package imports only what stands before it in the list.",
	why: "one direction means that a reader can start anywhere and read down, and that no change in a console or\n" +
		"        a command can reach the rules. internal/ may import the root, never the reverse.",
	mend: "move what both need to the earlier package, or take it as a value or a small interface. A new package is\n" +
		"        written into the list (here and in ARCHITECTURE.md) at the place where it belongs. What only tests may\n" +
		"        import is named testkit or ends in test, like dbtest.",
}

// list is the order of packages: line by line, left to right. What is not named
// shares the place of the nearest folder above it.
var list = strings.Fields(`
	problem civil money
	program device update
	productkey voice license
	purchase activation
	coverage
	compliance support diagnosis
	programs locales

	internal/durable internal/config internal/wire
	internal/db internal/depot internal/signing internal/trust
	internal/access internal/audit internal/outbox
	internal/term internal/pages
	internal/frontdoor
	internal/authority/schema
	internal/authority/keyring internal/authority/sales internal/authority/activations internal/authority/releases internal/authority/desk
	internal/authority/api internal/authority/console internal/authority
	internal/site/schema
	internal/site/mirror internal/site/fleet internal/site/compliance
	internal/site/console internal/site
	internal/agent/install internal/agent/platform internal/agent
	internal/doctor
	internal/cli
	cmd/esu cmd/esu-device
`)

// place is where a package stands in the list; -1 is nowhere.
func place(dir string) int {
	for ; dir != "."; dir = path.Dir(dir) {
		if i := slices.Index(list, dir); i >= 0 {
			return i
		}
	}
	return -1
}

func outOfOrder(tr *tree) (breaches []string) {
	for _, s := range tr.shipped() {
		here := place(s.dir)
		if here < 0 {
			breaches = append(breaches, s.dir+": is not in the list")
			continue
		}
		for _, spec := range s.syntax.Imports {
			from, _ := literal(spec.Path)
			dir, own := strings.CutPrefix(from, module+"/")
			switch {
			case !own:
			case servesTests(dir):
				breaches = append(breaches, tr.at(s, spec)+": imports "+dir+", which serves tests only")
			case place(dir) > here:
				breaches = append(breaches, tr.at(s, spec)+": imports "+dir+", which stands after "+list[here])
			}
		}
	}
	return breaches
}

func TestImportOrder(t *testing.T) { order.hold(t, outOfOrder(readProject(t))) }

func TestImportOrderCanFail(t *testing.T) {
	imports := func(dir string) string { return `import _ "` + module + "/" + dir + `"` }
	wantBreaches(t, outOfOrder(small(t,
		"civil/a.go", imports("problem"),
		"civil/b.go", imports("money"),
		"coverage/a.go", imports("license/licensetest"),
		"coverage/a_test.go", imports("license/licensetest"),
		"internal/cli/office/a.go", imports("internal/cli"),
		"internal/cli/a.go", imports("internal/cli/office"),
		"internal/db/dbtest/a.go", imports("internal/testkit"),
		"internal/depot/a.go", imports("internal/frontdoor/range"),
		"internal/extra/a.go", "",
	)), "civil/b.go:2: imports money", "coverage/a.go:2: imports license/licensetest, which serves tests",
		"depot/a.go:2: imports internal/frontdoor/range, which stands after", "internal/extra: is not in the list")
}

var roles = law{
	text: "esu-device carries no database, no office and no site; authority and site never import each other.",
	why: "a device needs little, and what it does not carry cannot be attacked on it; a customer's site must run\n" +
		"        without one line of the vendor's office, and the reverse.",
	mend: "go list -deps -f '{{.ImportPath}}: {{.Imports}}' ./cmd/esu-device shows who imports it; cut the chain where a\n" +
		"        shared package reaches too far. What both roles need stands before them in the list.",
}

// officeOnly is what no device carries.
var officeOnly = []string{
	module + "/internal/db", module + "/internal/authority", module + "/internal/site",
	"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/pressly/goose/v3",
}

func crossings(tr *tree) (breaches []string) {
	apart := [][2]string{{"internal/authority", "internal/site"}, {"internal/site", "internal/authority"}}
	for _, s := range tr.shipped() {
		for _, spec := range s.syntax.Imports {
			from, _ := literal(spec.Path)
			for _, pair := range apart {
				if below(s.dir, pair[:1]) && below(from, []string{module + "/" + pair[1]}) {
					breaches = append(breaches, tr.at(s, spec)+": imports "+from)
				}
			}
		}
	}
	return breaches
}

func TestRolesStayApart(t *testing.T) {
	tr := readProject(t)
	breaches := crossings(tr)
	if slices.ContainsFunc(tr.files, func(s *source) bool { return s.dir == "cmd/esu-device" }) {
		for _, system := range []string{"linux", "windows"} {
			deps := exec.Command("go", "list", "-deps", "./cmd/esu-device")
			deps.Dir = top
			deps.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system)
			var said strings.Builder
			deps.Stderr = &said
			out, err := deps.Output()
			if err != nil {
				t.Fatalf("go list -deps ./cmd/esu-device for %s: %v\n%s", system, err, said.String())
			}
			for _, dep := range strings.Fields(string(out)) {
				if below(dep, officeOnly) {
					breaches = append(breaches, "cmd/esu-device for "+system+": carries "+dep)
				}
			}
		}
	}
	roles.hold(t, breaches)
}

func TestRolesStayApartCanFail(t *testing.T) {
	wantBreaches(t, crossings(small(t,
		"internal/authority/api/a.go", `import "`+module+`/internal/site/fleet"`,
		"internal/site/a.go", `import "`+module+`/internal/authority"`,
		"internal/cli/a.go", `import ("`+module+`/internal/authority"; "`+module+`/internal/site")`,
	)), "authority/api/a.go:2", "site/a.go:2")
}
