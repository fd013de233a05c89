//go:build unix

package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func administrator() bool { return os.Geteuid() == 0 }

// Protect has nothing to add to the mode with which a folder was made.
func Protect(string, fs.FileMode) error { return nil }

// Exposed reports whether others than this user and root own a folder or may
// write to it.
func Exposed(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	ours := ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
	return !ours || info.Mode().Perm()&0o022 != 0, nil
}

// owner asks of a root that is not there yet who may make it.
func owner(root string) bool {
	info, err := os.Stat(root)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(root) != root {
		root = filepath.Dir(root)
		info, err = os.Stat(root)
	}
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (administrator() || int(stat.Uid) == os.Geteuid())
}
