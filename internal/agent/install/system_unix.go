//go:build unix

package install

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/openesu/openesu/program"
)

// pointer returns the release that current names, or "" when it names none. A
// current that somebody else made is returned as something that is no id.
func pointer(root *os.Root) program.UpdateID {
	target, err := root.Readlink(current)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	id, ok := strings.CutPrefix(target, releases+"/")
	if err != nil || !ok || id == "" {
		return "?"
	}
	return program.UpdateID(id)
}

// writePointer makes what point renames over current.
func (f *folder) writePointer(id program.UpdateID) error {
	return f.root.Symlink(releaseDir(id), current+fresh)
}

// syncFolder makes the entries of a folder survive a loss of power.
func syncFolder(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func executable(info fs.FileInfo) bool { return info.Mode().IsRegular() && info.Mode()&0o111 != 0 }

// checkEnv is all that a check gets from the machine.
func checkEnv() []string { return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"} }

// contain makes the check stoppable together with all that it started.
func contain(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
