package install

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/windows"

	"github.com/openesu/openesu/program"
)

// pointer returns the release that current names, or "" when it names none. A
// current that somebody else made is returned as something that is no id.
func pointer(root *os.Root) program.UpdateID {
	text, err := root.ReadFile(current)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil || len(text) == 0 {
		return "?"
	}
	return program.UpdateID(strings.TrimSpace(string(text)))
}

// writePointer makes what point renames over current.
func (f *folder) writePointer(id program.UpdateID) error {
	return f.write(current+fresh, []byte(id+"\n"))
}

// syncFolder does nothing: NTFS journals the entries of folders, and a handle of
// one cannot be flushed.
func syncFolder(*os.Root, string) error { return nil }

func noSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// executable takes every file: Windows decides by the name.
func executable(info fs.FileInfo) bool { return info.Mode().IsRegular() }

// checkEnv is all that a check gets from the machine.
func checkEnv() []string {
	root := os.Getenv("SystemRoot")
	return []string{"SystemRoot=" + root, "PATH=" + root + `\System32;` + root}
}

// contain leaves the check as it is: stopping it stops the process alone.
func contain(*exec.Cmd) {}
