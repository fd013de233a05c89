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
