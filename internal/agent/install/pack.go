package install

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/openesu/openesu/problem"
)

// Pack writes all of dir as a payload, a tar.zst, and says what it holds; a
// manifest declares Summary.Bytes. The same files give the same bytes from the
// same build, whoever packs them and when: entries are sorted, owners and times
// are dropped, modes are 0755 for folders and for files that somebody may run
// (Windows keeps no such bit, so payloads for other systems are packed on
// those), 0644 for the rest. Pack refuses what Unpack would refuse.
func Pack(w io.Writer, dir fs.FS) (Summary, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithEncoderCRC(true))
	if err != nil {
		return Summary{}, fmt.Errorf("pack: %w", err)
	}
	p := packer{tree: newTree(Limits{Total: math.MaxInt64}), tar: tar.NewWriter(z), dir: dir}
	err = fs.WalkDir(dir, ".", p.entry)
	if err == nil {
		err = p.tar.Close()
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return Summary{}, fmt.Errorf("pack: %w", err)
	}
	return p.tree.sum, nil
}

type packer struct {
	tree *tree
	tar  *tar.Writer
	dir  fs.FS
}

func (p *packer) entry(name string, d fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: fileMode, Size: info.Size(), ModTime: time.Unix(0, 0)}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return problem.New(problem.Refused, LinkRefused, "name", shown(name))
	case info.IsDir():
		h.Typeflag, h.Name, h.Mode, h.Size = tar.TypeDir, name+"/", folderMode, 0
	case !info.Mode().IsRegular():
		return problem.New(problem.Refused, SpecialRefused, "name", shown(name))
	case info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0:
		return problem.New(problem.Refused, ModeRefused, "name", shown(name), "mode", info.Mode().String())
	case info.Mode()&0o111 != 0:
		h.Mode = execMode
	}
	if err := p.tree.add(name, info.IsDir(), h.Size); err != nil {
		return err
	}
	if err := p.tar.WriteHeader(&h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if info.IsDir() {
		return nil
	}
	f, err := p.dir.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if _, err := io.Copy(p.tar, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
