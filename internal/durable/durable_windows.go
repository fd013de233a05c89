package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// flushRename flushes the file under its new name: Windows cannot flush a folder,
// but flushing a file writes the file system's log up to its last change, and the
// rename is that change.
func flushRename(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil // written read-only on purpose; its bytes were flushed before the rename
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// flushFolderIn does nothing, as flushFolder does.
func flushFolderIn(*os.Root, string) error { return nil }

// flushFolder does nothing: folders are written through the file system's log.
func flushFolder(string) error { return nil }

// tryLock locks one byte far behind the contents, so that others can still read
// whose lock it is.
func tryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}
