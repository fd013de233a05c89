package install

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/openesu/openesu/problem"
)

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
func dir(name string) tar.Header  { return tar.Header{Typeflag: tar.TypeDir, Name: name + "/"} }
func typed(flag byte, name, to string) tar.Header {
	return tar.Header{Typeflag: flag, Name: name, Linkname: to}
}
func moded(h tar.Header, mode int64) tar.Header { h.Mode = mode; return h }
func sized(h tar.Header, size int64) tar.Header { h.Size = size; return h }
func attributed(h tar.Header, key, value string) tar.Header {
	h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{key: value}
	return h
}

var roomy = Limits{Total: 1 << 20, File: 1 << 19, Entries: 20}

// refusals are archives, each with the one thing that is wrong with it. They
// seed the fuzz target too.
var refusals = []struct {
	name    string
	entries []tar.Header
	want    problem.Code
}{
	{"absolute path", []tar.Header{file("/etc/passwd")}, PathAbsolute},
	{"parent path", []tar.Header{file("../evil")}, PathEscapes},
	{"parent path inside", []tar.Header{dir("a"), file("a/../../evil")}, PathEscapes},
	{"dot path", []tar.Header{file("./a")}, PathMalformed},
	{"empty part", []tar.Header{dir("a"), file("a//b")}, PathMalformed},
	{"folder that is the root", []tar.Header{dir(".")}, PathMalformed},
	{"symlink out", []tar.Header{typed(tar.TypeSymlink, "l", "/etc")}, LinkRefused},
	{"symlink inside", []tar.Header{file("a"), typed(tar.TypeSymlink, "l", "a")}, LinkRefused},
	{"hard link", []tar.Header{file("a"), typed(tar.TypeLink, "l", "a")}, LinkRefused},
	{"hard link out", []tar.Header{typed(tar.TypeLink, "l", "/etc/shadow")}, LinkRefused},
	{"character device", []tar.Header{typed(tar.TypeChar, "d", "")}, SpecialRefused},
	{"block device", []tar.Header{typed(tar.TypeBlock, "d", "")}, SpecialRefused},
	{"fifo", []tar.Header{typed(tar.TypeFifo, "p", "")}, SpecialRefused},
	{"contiguous file", []tar.Header{typed(tar.TypeCont, "c", "")}, SpecialRefused},
	{"same file twice", []tar.Header{file("a"), file("a")}, EntryTwice},
	{"folder and file of one name", []tar.Header{dir("a"), file("a")}, EntryTwice},
	{"case twins", []tar.Header{file("Readme"), file("README")}, EntryTwin},
	{"case twins as folders", []tar.Header{dir("Lib"), dir("lib")}, EntryTwin},
	{"sharp s twins", []tar.Header{file("straße"), file("STRASSE")}, EntryTwin},
	{"unicode form twins", []tar.Header{file("caf\u00e9"), file("cafe\u0301")}, EntryTwin},
	{"unicode form and case twins", []tar.Header{file("CAF\u00c9"), file("cafe\u0301")}, EntryTwin},
	{"iota twins", []tar.Header{file("\u1fb4"), file("\u03b1\u0345\u0301")}, EntryTwin},
	{"file in a folder of other case", []tar.Header{dir("Lib"), file("lib/a")}, ParentMissing},
	{"file before its folder", []tar.Header{file("a/b")}, ParentMissing},
	{"file inside a file", []tar.Header{file("a"), file("a/b")}, ParentMissing},
	{"backslash", []tar.Header{file(`..\evil`)}, NameCharacter},
	{"colon", []tar.Header{file("a:stream")}, NameCharacter},
	{"drive", []tar.Header{dir("C:"), file("C:/a")}, NameCharacter},
	{"line feed", []tar.Header{file("a\nb")}, NameCharacter},
	{"escape", []tar.Header{file("a\x1b[2Jb")}, NameCharacter},
	{"zero-width joiner", []tar.Header{file(".g\u200dit")}, NameCharacter},
	{"right-to-left override", []tar.Header{file("gpj\u202eexe")}, NameCharacter},
	{"no text", []tar.Header{file("a\xff")}, NameCharacter},
	{"trailing dot", []tar.Header{file("a.")}, NameEnding},
	{"three dots", []tar.Header{file("...")}, NameEnding},
	{"trailing space", []tar.Header{dir("a "), file("a /b")}, NameEnding},
	{"CON", []tar.Header{file("CON")}, NameReserved},
	{"nul with extension", []tar.Header{file("nul.tar.gz")}, NameReserved},
	{"aux with space", []tar.Header{file("Aux .txt")}, NameReserved},
	{"COM1", []tar.Header{dir("com1")}, NameReserved},
	{"LPT superscript", []tar.Header{file("LPT².log")}, NameReserved},
	{"conin", []tar.Header{file("conin$")}, NameReserved},
	{"long part", []tar.Header{file(strings.Repeat("n", 256))}, NameTooLong},
	{"long path", []tar.Header{file(strings.Repeat("n/", 600) + "n")}, NameTooLong},
	{"setuid", []tar.Header{moded(file("a"), 0o4755)}, ModeRefused},
	{"setgid", []tar.Header{moded(file("a"), 0o2755)}, ModeRefused},
	{"sticky", []tar.Header{moded(dir("a"), 0o1755)}, ModeRefused},
	{"writable by all", []tar.Header{moded(file("a"), 0o666)}, ModeRefused},
	{"unreadable folder", []tar.Header{moded(dir("a"), 0o700)}, ModeRefused},
	{"folder without way in", []tar.Header{moded(dir("a"), 0o644)}, ModeRefused},
	{"capability", []tar.Header{attributed(file("a"), "SCHILY.xattr.security.capability", "x")}, HeaderRefused},
	{"comment", []tar.Header{attributed(file("a"), "comment", "hidden")}, HeaderRefused},
	{"global header", []tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "a"}}}, HeaderRefused},
	{"GNU format", []tar.Header{{Typeflag: tar.TypeReg, Name: "a", Format: tar.FormatGNU}}, HeaderRefused},
	{"GNU long name", []tar.Header{{Typeflag: tar.TypeReg, Name: strings.Repeat("n", 200), Format: tar.FormatGNU}}, HeaderRefused},
	{"too large a file", []tar.Header{sized(file("a"), 1<<19+1)}, EntryTooLarge},
	{"too large together", []tar.Header{sized(file("a"), 1<<19), sized(file("b"), 1<<19), sized(file("c"), 1)}, TotalTooLarge},
}

func TestUnpackRefuses(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			outer := t.TempDir()
			inner := filepath.Join(outer, "in")
			if err := os.Mkdir(inner, 0o755); err != nil {
				t.Fatal(err)
			}
			payload := compress(t, archive(t, c.entries...))
			_, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, inner), roomy)
			if problem.CodeOf(err) != c.want {
				t.Errorf("Unpack says %v, want %s", err, c.want)
			}
			mustStayInside(t, outer, "in")
		})
	}
}

// mustStayInside fails when outer holds anything but its folder, or that folder
// anything but files and folders with their two modes.
func mustStayInside(t testing.TB, outer, inner string) {
	t.Helper()
	for path, text := range listing(t, outer) {
		mode, _, _ := strings.Cut(text, " ")
		if path != inner && !strings.HasPrefix(path, inner+"/") {
			t.Errorf("something was written outside: %s", path)
		}
		// A file being written when the stream breaks is its owner's alone.
		if runtime.GOOS != "windows" && mode != "drwxr-xr-x" && mode != "-rw-r--r--" && mode != "-rwxr-xr-x" && mode != "-rw-------" {
			t.Errorf("%s has mode %s", path, mode)
		}
	}
}

func TestUnpackRefusesTooManyEntries(t *testing.T) {
	payload := compress(t, archive(t, dir("a"), file("b"), file("c")))
	for most, want := range map[int]problem.Code{2: TooManyEntries, 3: ""} {
		_, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, t.TempDir()), Limits{Entries: most})
		if problem.CodeOf(err) != want || want == "" && err != nil {
			t.Errorf("Unpack of 3 entries with a limit of %d says %v, want %q", most, err, want)
		}
	}
	tr := newTree(Limits{Entries: 1 << 30})
	tr.paths = maxPaths - 1000 // all but five names of 200 bytes
	var n int
	var err error
	for ; err == nil; n++ {
		err = tr.add(fmt.Sprintf("%0200d", n), false, 0)
	}
	if problem.CodeOf(err) != TooManyEntries || n != 6 {
		t.Errorf("add refuses long name %d with %v, want the sixth with %s", n, err, TooManyEntries)
	}
}

// A file of zeros compresses a thousandfold; nothing of it reaches the disk
// past the declared size.
func TestUnpackStopsABomb(t *testing.T) {
	payload := compress(t, archive(t, sized(file("bomb"), 64<<20)))
	if len(payload) > 64<<10 {
		t.Fatalf("the bomb has %d bytes", len(payload))
	}
	dir := t.TempDir()
	_, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, dir), Limits{Total: 1 << 20, File: 1 << 40})
	if problem.CodeOf(err) != TotalTooLarge {
		t.Errorf("Unpack says %v, want %s", err, TotalTooLarge)
	}
	if got := listing(t, dir); len(got) != 0 {
		t.Errorf("on the disk: %v", got)
	}
}

// Headers that announce nothing cannot be told by their size; the stream is
// bounded too, compressed and not.
func TestUnpackStopsAnEndlessStream(t *testing.T) {
	pax := archive(t, attributed(file("a"), "comment", strings.Repeat("c", 900)))[:1536] // an extension, no entry
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}                              // an empty skippable frame
	r, w := io.Pipe()
	go func() {
		z, err := zstd.NewWriter(w)
		for err == nil {
			_, err = z.Write(pax)
		}
	}()
	defer r.Close()
	for name, stream := range map[string]io.Reader{
		"extensions":       r,
		"skippable frames": &endless{of: skippable},
	} {
		var taken counter
		_, err := Unpack(t.Context(), io.TeeReader(stream, &taken), openRoot(t, t.TempDir()), Limits{Total: 10, Entries: 10})
		if problem.CodeOf(err) != TotalTooLarge {
			t.Errorf("%s: Unpack says %v, want %s", name, err, TotalTooLarge)
		}
		if most := map[string]counter{"extensions": 32 << 10, "skippable frames": 128 << 10}[name]; taken > most {
			t.Errorf("%s: Unpack took %d bytes, want no more than %d", name, taken, most)
		}
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

type endless struct {
	of []byte
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.of[e.at%len(e.of)]
		e.at++
	}
	return len(p), nil
}

func TestUnpackRefusesATruncatedStream(t *testing.T) {
	raw := archive(t, dir("a"), sized(file("a/b"), 3000), sized(file("c"), 700))
	whole := compress(t, raw)
	for n := range whole {
		_, err := Unpack(t.Context(), bytes.NewReader(whole[:n]), openRoot(t, t.TempDir()), roomy)
		if problem.CodeOf(err) != PayloadTruncated {
			t.Fatalf("Unpack of %d of %d bytes says %v, want %s", n, len(whole), err, PayloadTruncated)
		}
	}
	for n := 0; n < len(raw); n += 128 { // a whole stream around part of an archive, at every boundary
		_, err := Unpack(t.Context(), bytes.NewReader(compress(t, raw[:n])), openRoot(t, t.TempDir()), roomy)
		if problem.CodeOf(err) != PayloadTruncated {
			t.Fatalf("Unpack of an archive cut at %d of %d says %v, want %s", n, len(raw), err, PayloadTruncated)
		}
	}
}

func TestUnpackRefusesTrailingBytes(t *testing.T) {
	raw := archive(t, sized(file("a"), 10))
	whole := compress(t, raw)
	for name, payload := range map[string][]byte{
		"after the stream":        append(bytes.Clone(whole), "garbage"...),
		"a second stream":         append(bytes.Clone(whole), whole...),
		"after the archive":       compress(t, append(bytes.Clone(raw), "garbage"...)),
		"zeros after the archive": compress(t, append(bytes.Clone(raw), make([]byte, 512)...)),
		"a second archive":        compress(t, append(bytes.Clone(raw), raw...)),
	} {
		_, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, t.TempDir()), roomy)
		if problem.CodeOf(err) != TrailingBytes {
			t.Errorf("%s: Unpack says %v, want %s", name, err, TrailingBytes)
		}
	}
	// Fewer bytes than a mark has look like a stream that was cut.
	_, err := Unpack(t.Context(), bytes.NewReader(append(bytes.Clone(whole), 'g')), openRoot(t, t.TempDir()), roomy)
	if problem.CodeOf(err) != PayloadTruncated {
		t.Errorf("one byte after the stream: Unpack says %v, want %s", err, PayloadTruncated)
	}
}

func TestUnpackRefusesDamage(t *testing.T) {
	raw := archive(t, sized(file("a"), 10))
	whole := compress(t, raw)
	for i := range whole { // a few bits carry nothing; with those the files are right
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		dir := t.TempDir()
		_, err := Unpack(t.Context(), bytes.NewReader(bad), openRoot(t, dir), roomy)
		if got := listing(t, dir); err == nil && !strings.HasSuffix(got["a"], " xxxxxxxxxx") {
			t.Errorf("a wrong byte %d of %d goes unseen: %v", i, len(whole), got)
		}
	}
	nul := archive(t, attributed(file("a"), "comment", "path=a.b"))
	nul = bytes.Replace(nul, []byte("comment=path=a.b"), []byte("path=aaaaaaaa\x00.b"), 1)
	negative := archive(t, file("a"))
	copy(negative[124:136], "-0000000001\x00")
	for name, payload := range map[string][]byte{
		"no stream":     []byte("PK\x03\x04 this is no zstd stream"),
		"no archive":    compress(t, bytes.Repeat([]byte("x"), 2048)),
		"NUL in a name": compress(t, nul),
		"negative size": compress(t, negative),
		"wrong header":  compress(t, bytes.Replace(raw, []byte("0000644"), []byte("0000645"), 1)),
	} {
		_, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, t.TempDir()), roomy)
		if problem.CodeOf(err) != PayloadDamaged {
			t.Errorf("%s: Unpack says %v, want %s", name, err, PayloadDamaged)
		}
	}
	if err := checkPath("a\x00b"); problem.CodeOf(err) != NameCharacter {
		t.Errorf("checkPath of a name with NUL says %v", err)
	}
}

func TestUnpackRefusesAFolderWithContent(t *testing.T) {
	raw := archive(t, dir("a"))
	resize(raw, 9)
	_, err := Unpack(t.Context(), bytes.NewReader(compress(t, raw)), openRoot(t, t.TempDir()), roomy)
	if problem.CodeOf(err) != HeaderRefused {
		t.Errorf("Unpack says %v, want %s", err, HeaderRefused)
	}
}

// A GNU sparse file says its size in three ways; all are refused by its header.
func TestUnpackRefusesSparseFiles(t *testing.T) {
	raw := archive(t, attributed(sized(file("a"), 512), "comment", strings.Repeat("c", 68)))
	for name, records := range map[string]string{
		"version 0.1": "GNU.sparse.major=0;GNU.sparse.minor=1;GNU.sparse.numblocks=1;GNU.sparse.map=0,512;GNU.sparse.size=9",
		"unknown":     "GNU.sparse.major=7;GNU.sparse.minor=0",
	} {
		var b bytes.Buffer
		for record := range strings.SplitSeq(records, ";") {
			n := len(record) + 4 // two digits, a space, a line feed
			b.WriteString(string(rune('0'+n/10)) + string(rune('0'+n%10)) + " " + record + "\n")
		}
		sparse := bytes.Clone(raw)
		copy(sparse[512:1024], append(b.Bytes(), make([]byte, 512-b.Len())...))
		resize(sparse, b.Len())
		_, err := Unpack(t.Context(), bytes.NewReader(compress(t, sparse)), openRoot(t, t.TempDir()), roomy)
		if code := problem.CodeOf(err); code != HeaderRefused && code != PayloadDamaged {
			t.Errorf("%s: Unpack says %v, want %s", name, err, HeaderRefused)
		}
	}
}

// resize gives the first header of an archive another size, and its checksum.
func resize(raw []byte, size int) {
	octal := func(n, digits int) []byte {
		b := bytes.Repeat([]byte("0"), digits)
		for i := digits - 1; n > 0; i-- {
			b[i] = byte('0' + n%8)
			n /= 8
		}
		return b
	}
	copy(raw[124:135], octal(size, 11))
	copy(raw[148:156], "        ")
	sum := 0
	for _, b := range raw[:512] {
		sum += int(b)
	}
	copy(raw[148:156], append(octal(sum, 6), 0, ' '))
}

func TestUnpackRefusesALargeWindow(t *testing.T) {
	for name, payload := range map[string][]byte{
		"window": compress(t, archive(t, sized(file("a"), 300<<10)), zstd.WithWindowSize(16<<20)),
		// magic, single segment with a content size of eight bytes: 1 GiB
		"single segment": append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0x40, 0, 0, 0, 0}, make([]byte, 64)...),
	} {
		_, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, t.TempDir()), roomy)
		if problem.CodeOf(err) != WindowTooLarge {
			t.Errorf("%s: Unpack says %v, want %s", name, err, WindowTooLarge)
		}
	}
}

// What is not the payload's fault is no problem of the payload.
func TestUnpackTellsTheReadersErrors(t *testing.T) {
	payload := compress(t, archive(t, sized(file("a"), 100)))
	broken := errors.New("cable pulled")
	_, err := Unpack(t.Context(), io.MultiReader(bytes.NewReader(payload[:20]), iotest.ErrReader(broken)), openRoot(t, t.TempDir()), roomy)
	if !errors.Is(err, broken) || problem.CodeOf(err) != "" {
		t.Errorf("Unpack says %v, want the reader's own error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Unpack(ctx, bytes.NewReader(payload), openRoot(t, t.TempDir()), roomy); !errors.Is(err, context.Canceled) {
		t.Errorf("Unpack says %v, want that it was canceled", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, dir), roomy)
	if problem.CodeOf(err) != EntryTwice || !errors.Is(err, fs.ErrExist) {
		t.Errorf("Unpack over a file says %v, want %s", err, EntryTwice)
	}
}

// FuzzUnpack feeds archives and whole payloads. Whatever comes: nothing outside
// the folder, nothing but files and folders, no more than the limits, a problem
// for whatever is wrong, and what is taken packs and unpacks to the same again.
func FuzzUnpack(f *testing.F) {
	for _, c := range refusals {
		if raw := archive(f, c.entries...); len(raw) < 64<<10 {
			f.Add(raw, false)
			f.Add(compress(f, raw), true)
		}
	}
	f.Add(archive(f, dir("a"), file("a/b"), moded(sized(file("c"), 30), 0o755)), false)
	limits := Limits{Total: 8 << 10, File: 4 << 10, Entries: 16}
	f.Fuzz(func(t *testing.T, payload []byte, compressed bool) {
		if !compressed {
			payload = compress(t, payload)
		}
		outer := t.TempDir()
		inner := filepath.Join(outer, "in")
		if err := os.Mkdir(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		sum, err := Unpack(t.Context(), bytes.NewReader(payload), openRoot(t, inner), limits)
		mustStayInside(t, outer, "in")
		var bytesThere int64
		got := listing(t, inner)
		for _, text := range got {
			_, content, _ := strings.Cut(text, " ")
			bytesThere += int64(len(content))
		}
		if bytesThere > limits.Total || len(got) > limits.Entries {
			t.Errorf("%d bytes in %d entries are past the limits", bytesThere, len(got))
		}
		if err != nil {
			if _, ok := problem.As(err); !ok {
				t.Errorf("not a problem: %v", err)
			}
			return
		}
		if sum.Bytes != bytesThere || sum.Files+sum.Folders != len(got) {
			t.Errorf("Unpack says %+v, and there are %d bytes in %d entries", sum, bytesThere, len(got))
		}
		again, packed := pack(t, os.DirFS(inner))
		second := filepath.Join(outer, "second")
		if err := os.Mkdir(second, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(t.Context(), bytes.NewReader(again), openRoot(t, second), limits); err != nil || packed != sum {
			t.Errorf("packed again: %+v, then %v; unpacked before: %+v", packed, err, sum)
		}
		if diff := cmp.Diff(got, listing(t, second)); diff != "" {
			t.Error(diff)
		}
	})
}
