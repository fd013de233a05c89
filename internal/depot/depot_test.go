package depot_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

const hello = update.Digest("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")

func TestWhatIsPutCanBeOpened(t *testing.T) {
	f := open(t, t.TempDir())
	for range 2 { // twice is once
		d, size, err := f.Put(t.Context(), strings.NewReader("hello"), 5, rand.Reader)
		if err != nil || d != hello || size != 5 {
			t.Fatalf("Put = %s, %d, %v", d, size, err)
		}
	}
	file, err := f.Open(hello)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(file); err != nil || string(rest) != "llo" {
		t.Fatalf("read %q, %v", rest, err)
	}
	if err := f.Verify(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
}

func TestWhatFailsLeavesNothing(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		r    io.Reader
		want problem.Code
	}{
		{"too large", t.Context(), strings.NewReader("hello!"), depot.TooLarge},
		{"sender breaks off", t.Context(), io.MultiReader(strings.NewReader("he"), broken{}), ""},
		{"canceled", canceled, strings.NewReader("hello"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			_, _, err := open(t, dir).Put(tt.ctx, tt.r, 5, rand.Reader)
			if err == nil || problem.CodeOf(err) != tt.want {
				t.Errorf("Put = %v, want code %q", err, tt.want)
			}
			err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					t.Errorf("left behind: %s", name)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestUnknownAndOddDigestsAreNotFound(t *testing.T) {
	f := open(t, t.TempDir())
	for _, d := range []update.Digest{hello, "", "..", "../../etc/passwd", update.Digest(strings.Repeat("A", 64))} {
		if _, err := f.Open(d); problem.CodeOf(err) != depot.NotFound {
			t.Errorf("Open(%q) = %v", d, err)
		}
	}
}

func TestChangedBytesAreNamed(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	if _, _, err := f.Put(t.Context(), bytes.NewReader([]byte("hello")), 5, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "2c", string(hello)), []byte("hallo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.Context(), hello); problem.CodeOf(err) != depot.Changed {
		t.Errorf("Verify = %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func open(t *testing.T, dir string) *depot.Folder {
	t.Helper()
	f, err := depot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}
