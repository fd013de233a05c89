package install

import (
	"archive/tar"
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/openesu/openesu/problem"
)

func pack(t testing.TB, dir fs.FS) ([]byte, Summary) {
	t.Helper()
	var b bytes.Buffer
	sum, err := Pack(&b, dir)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), sum
}

func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// listing maps each path under dir to its mode and content.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + to
		}
		all[filepath.ToSlash(name)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPackThenUnpack(t *testing.T) {
	long := strings.Repeat("long-", 40) + "name" // past what a plain header holds
	payload, sum := pack(t, fstest.MapFS{
		"bin/run":         {Data: []byte("#!/bin/sh\n"), Mode: 0o700},
		"doc/leeg":        {Mode: 0o600},
		"doc/żółw.txt":    {Data: []byte("turtle"), Mode: 0o640},
		"empty":           {Mode: fs.ModeDir | 0o700},
		long + "/" + long: {Data: []byte("deep"), Mode: 0o444},
	})
	want := Summary{Files: 4, Folders: 4, Bytes: 20}
	if sum != want {
		t.Errorf("Pack says %+v, want %+v", sum, want)
	}
	dir := t.TempDir()
	got, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, dir), Limits{Total: 20})
	if err != nil || got != want {
		t.Fatalf("Unpack says %+v, %v, want %+v", got, err, want)
	}
	if runtime.GOOS == "windows" {
		return // keeps no modes
	}
	files := map[string]string{
		"bin": "drwxr-xr-x", "bin/run": "-rwxr-xr-x #!/bin/sh\n",
		"doc": "drwxr-xr-x", "doc/leeg": "-rw-r--r-- ", "doc/żółw.txt": "-rw-r--r-- turtle",
		"empty": "drwxr-xr-x",
		long:    "drwxr-xr-x", long + "/" + long: "-rw-r--r-- deep",
	}
	if diff := cmp.Diff(files, listing(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestPackIsReproducible(t *testing.T) {
	a, _ := pack(t, fstest.MapFS{
		"a":   {Data: []byte("one"), Mode: 0o640, ModTime: time.Unix(1, 0)},
		"b/c": {Data: []byte("two"), Mode: 0o755},
	})
	b, _ := pack(t, fstest.MapFS{
		"b":   {Mode: fs.ModeDir | 0o700, ModTime: time.Unix(9, 0)},
		"b/c": {Data: []byte("two"), Mode: 0o500, ModTime: time.Unix(7, 0)},
		"a":   {Data: []byte("one"), Mode: 0o600},
	})
	if !bytes.Equal(a, b) {
		t.Error("the same files at other times and with other modes give other bytes")
	}
}

func TestPackRefusesWhatUnpackRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  problem.Code
	}{
		"link":     {fstest.MapFS{"l": {Data: []byte("a"), Mode: fs.ModeSymlink | 0o777}}, LinkRefused},
		"socket":   {fstest.MapFS{"s": {Mode: fs.ModeSocket | 0o644}}, SpecialRefused},
		"fifo":     {fstest.MapFS{"p": {Mode: fs.ModeNamedPipe | 0o644}}, SpecialRefused},
		"setuid":   {fstest.MapFS{"sudo": {Mode: fs.ModeSetuid | 0o755}}, ModeRefused},
		"twins":    {fstest.MapFS{"A": {}, "a": {}}, EntryTwin},
		"reserved": {fstest.MapFS{"x/nul.txt": {}}, NameReserved},
		"colon":    {fstest.MapFS{"a:b": {}}, NameCharacter},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Pack(&bytes.Buffer{}, c.files)
			if problem.CodeOf(err) != c.want {
				t.Errorf("Pack says %v, want %s", err, c.want)
			}
		})
	}
}

// Whatever Pack takes, Unpack takes, with the same files.
func TestPackedIsAlwaysUnpacked(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "A", "b", "ä", "a\u0308", "con", "x.", strings.Repeat("n", 90), "é.txt"})
	rapid.Check(t, func(r *rapid.T) {
		files := fstest.MapFS{}
		for _, parts := range rapid.SliceOfN(rapid.SliceOfN(part, 1, 4), 0, 4).Draw(r, "paths") {
			files[strings.Join(parts, "/")] = &fstest.MapFile{Data: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "data")}
		}
		var b bytes.Buffer
		sum, err := Pack(&b, files)
		if err != nil {
			if _, ok := problem.As(err); !ok && !strings.Contains(err.Error(), "not a directory") && !strings.Contains(err.Error(), "not implemented") {
				r.Fatalf("Pack: %v", err)
			}
			r.Skip("refused")
		}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		got, err := Unpack(context.Background(), &b, openRoot(t, dir), Limits{Total: sum.Bytes})
		if err != nil || got != sum {
			r.Fatalf("Unpack says %+v, %v; Pack said %+v", got, err, sum)
		}
		again, err := Pack(&bytes.Buffer{}, os.DirFS(dir))
		if err != nil || again != sum {
			r.Fatalf("packed again: %+v, %v; before %+v", again, err, sum)
		}
	})
}

// archive writes a tar by hand, as an attacker would.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader:
		case h.Mode != 0:
		case h.Typeflag == tar.TypeDir:
			h.Mode = 0o755
		default:
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compress(t testing.TB, raw []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
