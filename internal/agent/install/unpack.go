package install

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/openesu/openesu/problem"
)

const (
	// window is the most memory that a stream may ask the decoder to look back
	// over; Pack stays within it.
	window = 8 << 20
	// entryOverhead bounds an entry's headers and padding: two header blocks,
	// one extension of a path and a size, padding.
	entryOverhead = 4 << 10

	fileMode   = 0o644
	execMode   = 0o755
	folderMode = 0o755
)

// Unpack writes a payload, as Pack makes it, into dir, which must be empty and
// used by nobody else. When it returns nil, every file and folder is on the
// disk for good, with mode 0644 or 0755 and nothing but files and folders. When
// it returns an error, dir may hold a part of the payload, never anything
// outside dir; removing it is the caller's.
//
// A payload that breaks the format is a *problem.Problem; an error of the disk
// or of r is not, but for a full disk. Further zstd frames that are empty carry
// nothing and are passed over; anything else after the archive is refused.
func Unpack(ctx context.Context, r io.Reader, dir *os.Root, limits Limits) (Summary, error) {
	limits = limits.filled()
	most := limits.Total + int64(limits.Entries)*entryOverhead
	in := &meter{stop: ctx.Err, r: r, left: most + most>>10 + 1<<16, max: limits.Total}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(window)) // of a stream, it bounds the window
	if err != nil {
		return Summary{}, fmt.Errorf("open payload: %w", err)
	}
	defer z.Close()
	out := &meter{stop: ctx.Err, r: z, left: most, max: limits.Total}
	u := unpacker{tree: newTree(limits), tar: tar.NewReader(out), dir: dir}
	if err := u.all(out); err != nil {
		return Summary{}, explain(err, in, out)
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(u.tree.folders))) {
		if err := syncFolder(dir, name); err != nil {
			return Summary{}, fmt.Errorf("unpack: %w", err)
		}
	}
	return u.tree.sum, nil
}

type unpacker struct {
	tree *tree
	tar  *tar.Reader
	dir  *os.Root
}

func (u *unpacker) all(out *meter) error {
	for {
		h, err := u.tar.Next()
		if errors.Is(err, io.EOF) {
			// The tar reader takes a missing end mark for an end; the mark was
			// there only if the reader stopped by itself.
			if out.err != nil {
				return io.ErrUnexpectedEOF
			}
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h); err != nil {
			return err
		}
	}
	switch n, err := out.Read(make([]byte, 1)); {
	case n > 0 || errors.Is(err, zstd.ErrMagicMismatch):
		return problem.New(problem.Invalid, TrailingBytes)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func (u *unpacker) entry(h *tar.Header) error {
	name := h.Name
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		name = strings.TrimSuffix(name, "/")
	case tar.TypeSymlink, tar.TypeLink:
		return problem.New(problem.Refused, LinkRefused, "name", shown(name))
	case tar.TypeXGlobalHeader, tar.TypeGNUSparse:
		return problem.New(problem.Refused, HeaderRefused, "name", shown(name))
	default:
		return problem.New(problem.Refused, SpecialRefused, "name", shown(name))
	}
	folder := h.Typeflag == tar.TypeDir
	if !plain(h) || folder && h.Size != 0 {
		return problem.New(problem.Refused, HeaderRefused, "name", shown(name))
	}
	if h.Mode != execMode && (folder || h.Mode != fileMode) {
		return problem.New(problem.Refused, ModeRefused, "name", shown(name), "mode", fmt.Sprintf("%04o", h.Mode))
	}
	if err := u.tree.add(name, folder, h.Size); err != nil {
		return err
	}
	var err error
	if folder {
		err = u.folder(name)
	} else {
		err = u.file(name, h)
	}
	if errors.Is(err, fs.ErrExist) { // this file system folds names in its own way
		return problem.New(problem.Refused, EntryTwice, "name", shown(name)).Because(err)
	}
	return err
}

// plain says whether a header is one that Pack writes: USTAR, or PAX with a
// long path or size and nothing else.
func plain(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if key != "path" && key != "size" {
			return false
		}
	}
	return h.Format == tar.FormatUSTAR || h.Format == tar.FormatPAX
}

func (u *unpacker) folder(name string) error {
	if err := u.dir.Mkdir(name, folderMode); err != nil {
		return err
	}
	return u.dir.Chmod(name, folderMode) // whatever the umask is
}

func (u *unpacker) file(name string, h *tar.Header) (err error) {
	f, err := u.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyN(f, u.tar, h.Size); err != nil {
		return err
	}
	if err := f.Chmod(fs.FileMode(h.Mode)); err != nil { //nolint:gosec // one of two small constants
		return err
	}
	return f.Sync()
}

// explain turns the error of a broken stream into a problem. The reader's and
// the disk's own errors stay what they are.
func explain(err error, in, out *meter) error {
	if _, ok := problem.As(err); ok {
		return err
	}
	for _, m := range []*meter{in, out} {
		if _, ok := problem.As(m.err); ok || m.err != nil && m.stop() != nil {
			return m.err
		}
	}
	var disk *fs.PathError
	switch {
	case in.err != nil && !errors.Is(in.err, io.EOF) && !errors.Is(in.err, io.ErrUnexpectedEOF):
		return fmt.Errorf("read payload: %w", in.err)
	case errors.As(err, &disk):
		return fmt.Errorf("unpack: %w", diskFull(err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return problem.New(problem.Invalid, PayloadTruncated).Because(err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return problem.New(problem.TooLarge, WindowTooLarge, "max", window).Because(err)
	}
	return problem.New(problem.Invalid, PayloadDamaged).Because(err)
}

// diskFull turns the one error of the disk that people can mend into a problem.
func diskFull(err error) error {
	if _, ok := problem.As(err); ok || !noSpace(err) {
		return err
	}
	return problem.New(problem.Unavailable, NoSpace).Because(err)
}

// meter reads no more than left bytes, stops when its caller does, and keeps
// the first error, which it never returns together with bytes.
type meter struct {
	stop func() error // a context's Err
	r    io.Reader
	left int64
	max  int64 // told when left runs out
	err  error
}

func (m *meter) Read(p []byte) (int, error) {
	if m.err == nil {
		m.err = m.stop()
	}
	if m.err != nil || len(p) == 0 {
		return 0, m.err
	}
	if int64(len(p)) > m.left+1 {
		p = p[:m.left+1] // one more, so that an end right at the limit is an end
	}
	n, err := m.r.Read(p)
	m.left -= int64(n)
	m.err = err
	if m.left < 0 {
		m.err = problem.New(problem.TooLarge, TotalTooLarge, "max", m.max)
		return 0, m.err
	}
	if n > 0 {
		return n, nil
	}
	return 0, m.err
}
