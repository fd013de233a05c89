package releases

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

// entry is a file, or with a name that ends in a slash a folder.
func entry(name string, mode int64) tar.Header {
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: 5}
	if strings.HasSuffix(name, "/") {
		h.Typeflag, h.Size = tar.TypeDir, 0
	}
	return h
}

func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for _, h := range entries {
		fatal(t, w.WriteHeader(&h))
		_, err := w.Write(make([]byte, h.Size))
		fatal(t, err)
	}
	fatal(t, w.Close())
	return raw.Bytes()
}

func compressed(t testing.TB, raw []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, options...)
	fatal(t, err)
	_, err = w.Write(raw)
	fatal(t, err)
	fatal(t, w.Close())
	return out.Bytes()
}

func TestPayloadsThatDevicesTake(t *testing.T) {
	each(t, func(v *vendor) {
		packed := v.payload("123")
		program := v.receive(compressed(t, archive(t, entry("bin/", 0o755), entry("bin/CHECK.EXE", 0o644))))
		cases := []struct {
			name    string
			payload PayloadIn
			change  func(p *PayloadIn)
			code    problem.Code
		}{
			{"measured", packed, func(*PayloadIn) {}, ""},
			{"as declared", packed, func(p *PayloadIn) { p.Unpacked = 13 }, ""},
			{"more declared", packed, func(p *PayloadIn) { p.Unpacked = 14 }, UnpackedDiffers},
			{"less declared", packed, func(p *PayloadIn) { p.Unpacked = 12 }, UnpackedDiffers},
			{"a check", packed, func(p *PayloadIn) { p.Check = "bin/check" }, ""},
			{"no check of that name", packed, func(p *PayloadIn) { p.Check = "bin/chec" }, CheckMissing},
			{"a check that is a folder", packed, func(p *PayloadIn) { p.Check = "bin" }, CheckMissing},
			{"a check that nobody may run", packed, func(p *PayloadIn) { p.Check = "readme" }, CheckMissing},
			{"a check that runs by its name", program, func(p *PayloadIn) { p.Check = "bin/CHECK.EXE" }, ""},
			{"an installer that no device has", packed, func(p *PayloadIn) { p.Installer = "floppy" }, InstallerUnknown},
			{"no installer", packed, func(p *PayloadIn) { p.Installer = "" }, InstallerUnknown},
			{"one good and one bad", packed, nil, PayloadUnfit},
		}
		for _, c := range cases {
			in := v.rollup("KB1")
			in.Payloads = []PayloadIn{c.payload, v.receive([]byte("no archive"))}
			if c.change != nil {
				in.Payloads = in.Payloads[:1]
				c.change(&in.Payloads[0])
			}
			out, err := v.Stage(t.Context(), owner, in)
			if problem.CodeOf(err) != c.code || c.code == "" && err != nil {
				t.Errorf("%s: got %v, want code %q", c.name, err, c.code)
			}
			if err != nil {
				continue
			}
			if want := map[update.Digest]int64{packed.SHA256: 13, program.SHA256: 5}[c.payload.SHA256]; out.Update.Payloads[0].Unpacked != want {
				t.Errorf("%s: unpacks to %d bytes, want %d", c.name, out.Update.Payloads[0].Unpacked, want)
			}
			_, err = v.Withdraw(t.Context(), owner, win, "KB1")
			fatal(t, err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		in := v.rollup("KB1")
		if _, err := v.Stage(canceled, owner, in); !errors.Is(err, context.Canceled) || problem.CodeOf(err) != "" {
			t.Errorf("canceled: %v", err)
		}
	})
}

// unfit are payloads that devices refuse; they seed the fuzz target too.
func unfit(t testing.TB) map[string][]byte {
	t.Helper()
	link := tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc/passwd", Mode: 0o755}
	attributed := entry("a", 0o644)
	attributed.Format, attributed.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr.user.a": "b"}
	large := entry("a", 0o644)
	large.Size = 17 << 20
	whole := archive(t, entry("a", 0o644))
	all := map[string][]byte{
		"nothing": {}, "no zstd": []byte("some bytes"), "no tar": compressed(t, bytes.Repeat([]byte("x"), 2048)),
		"no end mark": compressed(t, whole[:1024]), "half a file": compressed(t, whole[:514]), "half a stream": compressed(t, whole)[:60],
		"bytes after the end":    compressed(t, append(bytes.Clone(whole), 0, 1)),
		"a stream after the end": append(compressed(t, whole), compressed(t, whole)...),
		"rubbish after the end":  append(compressed(t, whole), "rubbish"...),
		"a large window":         compressed(t, archive(t, large), zstd.WithWindowSize(16<<20)),
	}
	for name, entries := range map[string][]tar.Header{
		"a link": {link}, "a pipe": {{Typeflag: tar.TypeFifo, Name: "p", Mode: 0o644}}, "attributes": {attributed},
		"any mode": {entry("a", 0o4755)}, "a folder's mode": {entry("a/", 0o700)},
		"absolute": {entry("/a", 0o644)}, "escapes": {entry("../a", 0o644)}, "dots": {entry("./a", 0o644)}, "backslash": {entry(`a\b`, 0o644)},
		"the root": {entry("./", 0o755)}, "twice": {entry("a", 0o644), entry("a", 0o644)}, "file and folder": {entry("a", 0o644), entry("a/", 0o755)},
		"no folder": {entry("a/b", 0o644)}, "inside a file": {entry("a", 0o644), entry("a/b", 0o644)},
		"a long path": {entry(strings.Repeat("a", maxPath+1), 0o644)},
	} {
		all[name] = compressed(t, archive(t, entries...))
	}
	return all
}

func TestUnfitPayloads(t *testing.T) {
	for name, payload := range unfit(t) {
		if err := new(inspection).read(t.Context(), bytes.NewReader(payload)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := unpacked(t, payload); err == nil {
			t.Errorf("%s: devices take it", name)
		}
	}
}

// unpacked is what a device makes of a payload.
func unpacked(t testing.TB, payload []byte) (int64, error) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	fatal(t, err)
	defer root.Close()
	sum, err := install.Unpack(t.Context(), bytes.NewReader(payload), root, install.Limits{Total: 1 << 30})
	return sum.Bytes, err
}

// What a device takes is taken, with the size that it comes to.
func FuzzInspection(f *testing.F) {
	for _, payload := range unfit(f) {
		f.Add(payload)
	}
	f.Add(compressed(f, archive(f, entry("a/", 0o755), entry("a/b", 0o644), entry("c", 0o755))))
	f.Fuzz(func(t *testing.T, payload []byte) {
		found := inspection{}
		inspected := found.read(t.Context(), bytes.NewReader(payload))
		if size, err := unpacked(t, payload); err == nil && (inspected != nil || size != found.bytes) {
			t.Errorf("a device unpacks %d bytes; inspected: %d, %v", size, found.bytes, inspected)
		}
	})
}
