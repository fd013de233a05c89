//go:build unix

package agent

import (
	"io/fs"
	"os"
	"testing"
)

// What others can write to is nothing to act upon.
func TestExposedState(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	info, err := os.Stat(m.dir)
	fatal(t, err)
	same(t, "mode", fs.FileMode(0o700), info.Mode().Perm())
	refused := func() {
		t.Helper()
		before := m.tree("var")
		_, err := m.Update(ctx, UpdateIn{})
		wantCode(t, err, StateExposed)
		same(t, "the state", before, m.tree("var"))
	}
	for _, mode := range []fs.FileMode{0o720, 0o702, 0o777} {
		fatal(t, os.Chmod(m.dir, mode))
		refused()
	}
	fatal(t, os.Chmod(m.dir, 0o755))
	m.updated(UpdateIn{})
	if os.Geteuid() == 0 { // others cannot give a folder away
		fatal(t, os.Chown(m.dir, 4711, 4711))
		refused()
	}
}
