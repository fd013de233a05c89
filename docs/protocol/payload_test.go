package protocol

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/problem"
)

type payloadVector struct {
	Base64   string   `json:"base64"` // of the payload that the manifest lists
	Unpacked int64    `json:"unpacked"`
	Entries  []entry  `json:"entries"`
	Archives []refuse `json:"archives"`
}

// entry is a file or folder in an archive.
type entry struct {
	Name string `json:"name"`
	Type string `json:"type"` // file, folder, symlink, hardlink, fifo
	Mode int64  `json:"mode"` // decimal: 420 is 0644, 493 is 0755
	Text string `json:"text,omitempty"`
	Link string `json:"link,omitempty"`
}

// refuse is an archive and why a device refuses it; "" is that it takes it.
type refuse struct {
	What    string  `json:"what"`
	Entries []entry `json:"entries"`
	Code    string  `json:"code"`
}

func file(name, text string) entry { return entry{Name: name, Type: "file", Mode: 0o644, Text: text} }
func folder(name string) entry     { return entry{Name: name, Type: "folder", Mode: 0o755} }

func goodEntries() []entry {
	check := file("bin/check", "#!/bin/sh\nexit 0\n")
	check.Mode = 0o755
	return []entry{folder("bin"), check, file("readme.txt", "Lantern 2, February 2027\n")}
}

func unpacked(entries []entry) (n int64) {
	for _, e := range entries {
		n += int64(len(e.Text))
	}
	return n
}

func (w *world) payload(v *vectors) {
	special := func(name, kind, link string) entry { return entry{Name: name, Type: kind, Mode: 0o644, Link: link} }
	moded := func(e entry, mode int64) entry { e.Mode = mode; return e }
	v.Payload = payloadVector{
		Base64: base64.StdEncoding.EncodeToString(w.archive(goodEntries())), Unpacked: unpacked(goodEntries()), Entries: goodEntries(),
		Archives: []refuse{
			{"good", goodEntries(), ""},
			{"no entries", []entry{}, ""},
			{"a path from the root", []entry{file("/etc/passwd", "x")}, "install.path-absolute"},
			{"a path upward", []entry{file("../passwd", "x")}, "install.path-escapes"},
			{"a part that is a dot", []entry{file("./readme.txt", "x")}, "install.path-malformed"},
			{"a symbolic link", []entry{special("link", "symlink", "readme.txt")}, "install.link-refused"},
			{"a hard link", []entry{file("a", "x"), special("b", "hardlink", "a")}, "install.link-refused"},
			{"a pipe", []entry{special("pipe", "fifo", "")}, "install.special-refused"},
			{"set-user-id", []entry{moded(file("sh", "x"), 0o4755)}, "install.mode-refused"},
			{"writable by all", []entry{moded(file("a", "x"), 0o666)}, "install.mode-refused"},
			{"a folder with a file's mode", []entry{moded(folder("a"), 0o644)}, "install.mode-refused"},
			{"the same path twice", []entry{file("a", "x"), file("a", "y")}, "install.entry-twice"},
			{"paths that differ by case", []entry{file("Readme", "x"), file("README", "y")}, "install.entry-twin"},
			{"paths that differ by Unicode form", []entry{file("\u00e9", "x"), file("e\u0301", "y")}, "install.entry-twin"},
			{"a file before its folder", []entry{file("bin/check", "x")}, "install.parent-missing"},
			{"a file inside a file", []entry{file("bin", "x"), file("bin/check", "x")}, "install.parent-missing"},
			{"a backslash", []entry{file(`bin\check`, "x")}, "install.name-character"},
			{"an alternate stream", []entry{file("a:b", "x")}, "install.name-character"},
			{"an invisible character", []entry{file("a\u200bb", "x")}, "install.name-character"},
			{"a dot at the end", []entry{file("a.", "x")}, "install.name-ending"},
			{"a device of Windows", []entry{file("aux.txt", "x")}, "install.name-reserved"},
		},
	}
}

// archive is a tar in a zstd frame of blocks that are not compressed: any
// decoder reads it, and it depends on no encoder.
func (w *world) archive(entries []entry) []byte {
	w.t.Helper()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	kinds := map[string]byte{"file": tar.TypeReg, "folder": tar.TypeDir, "symlink": tar.TypeSymlink, "hardlink": tar.TypeLink, "fifo": tar.TypeFifo}
	for _, e := range entries {
		h := &tar.Header{Typeflag: kinds[e.Type], Name: e.Name, Mode: e.Mode, Size: int64(len(e.Text)), Linkname: e.Link, ModTime: time.Unix(0, 0)}
		if e.Type == "folder" {
			h.Name += "/"
		}
		fatal(w.t, out.WriteHeader(h))
		_, err := out.Write([]byte(e.Text))
		fatal(w.t, err)
	}
	fatal(w.t, out.Close())
	const block = 64 << 10
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0} // magic; one segment, its size in four bytes
	frame = binary.LittleEndian.AppendUint32(frame, uint32(b.Len()))
	for b.Len() > 0 {
		part := b.Next(block)
		head := uint32(len(part)) << 3
		if b.Len() == 0 {
			head |= 1 // the last one
		}
		frame = append(append(frame, byte(head), byte(head>>8), byte(head>>16)), part...)
	}
	return frame
}

func TestPayloadsAreJudged(t *testing.T) {
	v, w := written(t), newWorld(t)
	whole, err := base64.StdEncoding.DecodeString(v.Payload.Base64)
	fatal(t, err)
	got, err := unpack(t, whole, v.Payload.Unpacked)
	if err != nil || got.Bytes != v.Payload.Unpacked || got.Files != 2 || got.Folders != 1 {
		t.Errorf("the payload: %v %+v", err, got)
	}
	if _, err := unpack(t, whole, v.Payload.Unpacked-1); problem.CodeOf(err) != install.TotalTooLarge {
		t.Errorf("a payload that unpacks to more than declared: %v", err)
	}
	for _, a := range v.Payload.Archives {
		if _, err := unpack(t, w.archive(a.Entries), unpacked(a.Entries)); string(problem.CodeOf(err)) != a.Code || a.Code == "" && err != nil {
			t.Errorf("%s: %v, want %q", a.What, err, a.Code)
		}
	}
}

func unpack(t *testing.T, payload []byte, total int64) (install.Summary, error) {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	fatal(t, err)
	defer dir.Close()
	return install.Unpack(context.Background(), bytes.NewReader(payload), dir, install.Limits{Total: total})
}
