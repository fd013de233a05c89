// Package durable keeps files that survive a crash, and a folder that has one
// owner.
//
// WriteFile replaces a file as one act. Its bytes go to a temporary file beside
// it, which is flushed to the disk, renamed over the old one, and then the
// folder is flushed too. Whoever reads sees the old file or the new one, never a
// part; when WriteFile returns, the new one survives a power cut. A crash can
// leave a temporary file (".NAME.tmp-…"), which nothing reads.
//
// Lock takes a data folder for one process. The operating system drops the lock
// with the process, however that ends, so a crash never leaves a stale one. The
// file "lock" stays in the folder for good: it is what is locked, and it names
// the owner.
//
// The package does not merge, append or journal; for rows there is db.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/openesu/openesu/problem"
)

const (
	// InUse: another process owns the data folder.
	InUse problem.Code = "storage.in-use"
	// FileTooLarge: a file has more bytes than are read at once.
	FileTooLarge problem.Code = "storage.file-too-large"
)

// WriteFile replaces the file at path with data and exactly these permissions,
// whatever the umask. When it returns nil, the contents survive a power cut;
// when it returns an error, the old file is there or, if only the last flush
// failed, the new one. The folder must exist (see MkdirAll).
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer root.Close()
	return WriteFileIn(root, filepath.Base(path), data, perm)
}

// WriteFileIn is WriteFile for a name below root; it never leaves the root, not
// through a symbolic link either.
func WriteFileIn(root *os.Root, name string, data []byte, perm fs.FileMode) error {
	folder, base := filepath.Split(filepath.Clean(name))
	temp := filepath.Join(folder, "."+base+".tmp-"+rand.Text())
	if err := writeTemp(root, temp, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(root.Name(), name), errors.Join(err, ignoreMissing(root.Remove(temp))))
	}
	if err := root.Rename(temp, name); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(root.Name(), name), errors.Join(err, ignoreMissing(root.Remove(temp))))
	}
	if err := flushRename(root, name); err != nil {
		return fmt.Errorf("write %s: flush its folder: %w", filepath.Join(root.Name(), name), err)
	}
	return nil
}

func writeTemp(root *os.Root, temp string, data []byte, perm fs.FileMode) error {
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// RenameIn gives a file of a root another name there. When it returns nil, the
// file has the new name after a power cut, and so have folders that were made for
// it right below the root.
func RenameIn(root *os.Root, from, to string) error {
	if err := root.Rename(from, to); err != nil {
		return err
	}
	if err := flushRename(root, to); err != nil {
		return err
	}
	return flushFolderIn(root, filepath.Dir(filepath.Dir(to)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// MkdirAll makes a folder and the missing ones above it, and flushes each name
// into its parent, so that files written below survive together with their path.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	return flushFolder(parent)
}

// ReadFile reads a whole file of at most limit bytes; a larger one is
// storage.file-too-large, and no more than limit bytes of it are kept in memory.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, path, limit)
}

// ReadFileIn is ReadFile for a name below root.
func ReadFileIn(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, filepath.Join(root.Name(), name), limit)
}

func read(f *os.File, path string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	// One byte more tells a file that just fits from one that does not.
	if n, _ := f.Read(make([]byte, 1)); n > 0 {
		return nil, problem.New(problem.TooLarge, FileTooLarge, "file", path, "limit", limit)
	}
	return data, nil
}

// Owner is a folder that this process holds.
type Owner struct{ file *os.File }

// Lock makes this process the one owner of a folder until Unlock or its end. It
// does not wait: when the folder is held, by another process or by this one, it
// is storage.in-use with the folder and the owner's process id (0 if unknown).
func Lock(dir string) (*Owner, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	held, err := tryLock(f)
	if err == nil && held {
		// For people only: a wrong or missing pid changes nothing.
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, f.Close()))
	}
	if !held {
		defer f.Close()
		return nil, problem.New(problem.Unavailable, InUse, "folder", dir, "pid", ownerPID(f))
	}
	return &Owner{file: f}, nil
}

func ownerPID(f *os.File) int {
	text, err := read(f, f.Name(), 32)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// Unlock gives the folder back. The file stays: removing it would let two
// processes lock two files of the same name.
func (o *Owner) Unlock() error {
	if err := o.file.Close(); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}
