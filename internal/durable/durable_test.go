package durable_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/problem"
)

// TestMain is also the other process of TestLockOfAnotherProcess.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ESU_DURABLE_HOLD"); dir != "" {
		_, err := durable.Lock(dir)
		fmt.Println(err)
		_, _ = os.Stdin.Read(make([]byte, 1)) // until killed
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteFileReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "licenses.json")
	for i, perm := range []os.FileMode{0o600, 0o644} {
		want := fmt.Appendf(nil, "version %d", i)
		if err := durable.WriteFile(path, want, perm); err != nil {
			t.Fatal(err)
		}
		got, err := durable.ReadFile(path, 100)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
		if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != perm {
			t.Errorf("permissions %v, want %v", info.Mode().Perm(), perm)
		}
	}
	if diff := cmp.Diff([]string{"licenses.json"}, names(t, dir)); diff != "" {
		t.Errorf("the folder holds (-want +got):\n%s", diff)
	}
}

// A reader sees one whole version, whenever it looks.
func TestReadersNeverSeeAPart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts")
	version := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, 50_000+i) }
	if err := durable.WriteFile(path, version(0), 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		defer close(written)
		for i := range 40 {
			if err := durable.WriteFile(path, version(i), 0o600); err != nil {
				written <- err
			}
		}
	}()
	for done := false; !done; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		got, err := durable.ReadFile(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < 50_000 || !bytes.Equal(got, version(len(got)-50_000)) {
			t.Fatalf("a part of a file: %d bytes", len(got))
		}
	}
}

func TestWriteFileFailure(t *testing.T) {
	dir := t.TempDir()
	if err := durable.WriteFile(filepath.Join(dir, "no", "folder"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("write without a folder: %v", err)
	}
	// A folder cannot be replaced by a file; the temporary file must go again.
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "taken"), []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if diff := cmp.Diff([]string{"taken"}, names(t, dir)); diff != "" {
		t.Errorf("the folder holds (-want +got):\n%s", diff)
	}
}

func TestBelowARoot(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := durable.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink(outside, filepath.Join(dir, "way-out")); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := durable.WriteFileIn(root, "a/b/c", []byte("inside"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := durable.ReadFileIn(root, "a/b/c", 10); err != nil || string(got) != "inside" {
		t.Errorf("read %q, %v", got, err)
	}
	for _, name := range []string{"../escape", "way-out/escape"} {
		if err := durable.WriteFileIn(root, name, []byte("outside"), 0o600); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if got := names(t, outside); len(got) != 0 {
		t.Errorf("outside the root: %v", got)
	}
}

func TestReadFileLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ten")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := durable.ReadFile(path, 10); err != nil || len(got) != 10 {
		t.Errorf("ten bytes with a limit of ten: %d, %v", len(got), err)
	}
	_, err := durable.ReadFile(path, 9)
	want := problem.New(problem.TooLarge, durable.FileTooLarge, "file", path, "limit", int64(9))
	if got, _ := problem.As(err); got == nil || got.Error() != want.Error() || got.Kind != want.Kind {
		t.Errorf("ten bytes with a limit of nine: %v, want %v", err, want)
	}
	if _, err := durable.ReadFile(path+"?", 9); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	owner, err := durable.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = durable.Lock(dir)
	want := problem.New(problem.Unavailable, durable.InUse, "folder", dir, "pid", os.Getpid())
	if got, _ := problem.As(err); got == nil || got.Error() != want.Error() || got.Kind != want.Kind {
		t.Errorf("the second owner: %v, want %v", err, want)
	}
	if err := owner.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := durable.Lock(dir)
	if err != nil {
		t.Fatalf("after Unlock: %v", err)
	}
	if err := again.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// A killed owner leaves the folder free, and the refusal names the living one.
func TestLockOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(self)
	other.Env = append(os.Environ(), "ESU_DURABLE_HOLD="+dir)
	if _, err := other.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("the other process: %q, %v", line, err)
	}
	_, err = durable.Lock(dir)
	if p, ok := problem.As(err); !ok || p.Args["pid"] != other.Process.Pid {
		t.Errorf("while process %d holds it: %v", other.Process.Pid, err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // "signal: killed"
	owner, err := durable.Lock(dir)
	if err != nil {
		t.Fatalf("after the owner was killed: %v", err)
	}
	if err := owner.Unlock(); err != nil {
		t.Fatal(err)
	}
}
