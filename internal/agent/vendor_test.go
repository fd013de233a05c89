package agent

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/agent/agenttest"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const win program.ID = "windows-7"

// vendor is the authority of agenttest, with devices.
type vendor struct {
	*agenttest.Vendor
	t testing.TB
}

func newVendor(t testing.TB, id program.ID, now string, releases ...*update.Update) *vendor {
	t.Helper()
	return &vendor{agenttest.New(t, id, now, releases...), t}
}

// reports are those that devices sent, read as a server reads them.
func (v *vendor) reports() []wire.DeviceReport {
	v.t.Helper()
	var all []wire.DeviceReport
	for _, text := range v.Reports {
		r, err := wire.ParseReport(text, v.Authority.ID)
		fatal(v.t, err)
		all = append(all, *r)
	}
	return all
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code problem.Code) {
	t.Helper()
	for _, p := range problem.All(err) {
		if p.Code == code {
			return
		}
	}
	t.Errorf("got error %v, want %s", err, code)
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b civil.Date) bool { return a == b })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// machine is a device with its root.
type machine struct {
	*Device
	t    testing.TB
	v    *vendor
	root string
}

func (v *vendor) machine(name string) *machine {
	v.t.Helper()
	root := v.t.TempDir()
	m := &machine{t: v.t, v: v, root: root}
	m.write("etc/machine-id", name+"\n")
	m.write("proc/sys/kernel/random/boot_id", "boot 1\n")
	m.Device = Open(Config{Root: root, Now: v.Clock, Lang: "en"})
	return m
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, filepath.FromSlash(name))
	fatal(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	fatal(m.t, os.WriteFile(path, []byte(text), 0o644))
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, filepath.FromSlash(name)))
	fatal(m.t, err)
	return string(text)
}

func (m *machine) log() string { return m.read("var/lib/esu/servicing.log") }

// enrolled is a machine that trusts the vendor.
func (v *vendor) enrolled(in EnrollIn) *machine {
	v.t.Helper()
	m := v.machine("one")
	if in.Server == "" {
		in.Server = v.URL
	}
	in.Anchor = v.Repo.Anchor()
	if in.Arch == "" {
		in.Arch = v.Program.Architectures[len(v.Program.Architectures)-1]
	}
	_, err := m.Enroll(ctx, in)
	fatal(v.t, err)
	return m
}

// tree is every file below a folder of the root, for "nothing changed".
func (m *machine) tree(dir string) map[string]string {
	m.t.Helper()
	all := map[string]string{}
	base := filepath.Join(m.root, dir)
	err := filepath.WalkDir(base, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, base)] = string(text)
		return err
	})
	if os.IsNotExist(err) {
		return all
	}
	fatal(m.t, err)
	return all
}

// without is a tree without what every act may write.
func without(tree map[string]string, names ...string) map[string]string {
	tree = maps.Clone(tree)
	for name := range tree {
		for _, not := range names {
			if strings.Contains(name, not) {
				delete(tree, name)
			}
		}
	}
	return tree
}

func (m *machine) key(k productkey.Key) {
	m.t.Helper()
	_, err := m.InstallKey(ctx, k.Reveal())
	fatal(m.t, err)
}

// activated installs a key and activates it.
func (m *machine) activated(k productkey.Key) {
	m.t.Helper()
	m.key(k)
	a, err := m.Activate(ctx, ActivateIn{})
	fatal(m.t, err)
	for _, r := range a.Results {
		if r.Refused != nil {
			m.t.Fatal(r.Refused)
		}
	}
}

// updated runs an update and says what became of each, in order.
func (m *machine) updated(in UpdateIn) []string {
	m.t.Helper()
	out, err := m.Update(ctx, in)
	fatal(m.t, err)
	return results(out)
}

func results(o *Outcome) []string {
	all := []string{}
	for _, a := range o.Updates {
		all = append(all, string(a.Update)+" "+string(a.Result))
	}
	return all
}

func (m *machine) status() *Status {
	m.t.Helper()
	s, err := m.Status(ctx, civil.Date{})
	fatal(m.t, err)
	return s
}
