//go:build unix

package install

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Programs of every user run from a release, whatever the umask of the agent is.
func TestModesDespiteUmask(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	before := syscall.Umask(0o077)
	install(t, p, "KB1")
	syscall.Umask(before)
	for name, want := range map[string]os.FileMode{"": 0o755, "KB1": 0o755, "KB1/lib": 0o755, "KB1/version": 0o644} {
		info, err := os.Stat(filepath.Join(p.Dir, releases, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("releases/%s is %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}
