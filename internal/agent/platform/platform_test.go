package platform

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/openesu/openesu/problem"
)

func TestRootOfItsOwn(t *testing.T) {
	s := System{Root: filepath.Join(t.TempDir(), "image")}
	if s.Own() || !s.Elevated() {
		t.Errorf("own %v, elevated %v: a folder that we may make is ours", s.Own(), s.Elevated())
	}
	if _, err := s.Identity(); problem.CodeOf(err) != IdentityMissing {
		t.Error(err)
	}
	write := func(name, text string) {
		path := filepath.Join(s.Root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "\n", "uninitialized\n"} {
		write("etc/machine-id", text)
		if id, err := s.Identity(); problem.CodeOf(err) != IdentityMissing {
			t.Errorf("machine-id %q: %q, %v", text, id, err)
		}
	}
	write("etc/machine-id", "0123\n")
	one, err := s.Identity()
	if err != nil {
		t.Fatal(err)
	}
	write("etc/machine-id", "4567\n")
	if two, err := s.Identity(); err != nil || one == two {
		t.Errorf("%q and %q, %v", one, two, err)
	}
	if boot := s.Boot(); boot != "" {
		t.Errorf("boot %q out of nothing", boot)
	}
	write("proc/sys/kernel/random/boot_id", "b\n")
	if boot := s.Boot(); boot != "b" {
		t.Errorf("boot %q", boot)
	}
	if !(System{Root: string(filepath.Separator)}).Own() || !(System{Root: "//"}).Own() {
		t.Error("the system's root is its own")
	}
}
