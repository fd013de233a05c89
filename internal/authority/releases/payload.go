package releases

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

// installerFiles is the installer that devices have: it unpacks a tar in zstd.
const installerFiles = "files"

// What a device takes at most.
const (
	maxEntries = 100_000
	maxPath    = 1024     // bytes
	maxPaths   = 16 << 20 // bytes of all paths
	window     = 8 << 20  // that zstd looks back over
	// entryOverhead bounds an entry's headers and padding.
	entryOverhead = 4 << 10
)

// payloads reads from the depot what the manifest says of each file.
func (r *Room) payloads(ctx context.Context, in StageIn) ([]update.Payload, error) {
	if len(in.Payloads) == 0 {
		return nil, problem.New(problem.Invalid, PayloadNone, "update", in.Update)
	}
	var all []update.Payload
	for _, p := range in.Payloads {
		one, err := r.payload(ctx, in, p)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// payload refuses what no device could install: the signature would be on it for
// good.
func (r *Room) payload(ctx context.Context, in StageIn, p PayloadIn) (update.Payload, error) {
	if p.Installer != installerFiles {
		return update.Payload{}, problem.New(problem.Invalid, InstallerUnknown, "update", in.Update, "payload", p.Name, "installer", p.Installer)
	}
	file, err := r.cfg.Depot.Open(p.SHA256)
	if problem.CodeOf(err) == depot.NotFound {
		return update.Payload{}, problem.New(problem.Invalid, PayloadMissing, "update", in.Update, "payload", p.Name, "digest", p.SHA256).Because(err)
	}
	if err != nil {
		return update.Payload{}, err
	}
	defer file.Close() // only read
	info, err := file.Stat()
	if err != nil {
		return update.Payload{}, fmt.Errorf("payload %s: %w", p.SHA256, err)
	}
	found := inspection{check: p.Check}
	raw := &bounded{ctx: ctx, r: file, left: info.Size()}
	if err := found.read(ctx, raw); err != nil {
		if broken := errors.Join(raw.broken, ctx.Err()); broken != nil {
			return update.Payload{}, fmt.Errorf("payload %s: %w", p.SHA256, broken)
		}
		return update.Payload{}, problem.New(problem.Invalid, PayloadUnfit, "update", in.Update, "payload", p.Name, "what", err.Error()).Because(err)
	}
	switch {
	case p.Unpacked != 0 && p.Unpacked != found.bytes:
		return update.Payload{}, problem.New(problem.Invalid, UnpackedDiffers, "update", in.Update, "payload", p.Name, "declared", p.Unpacked, "size", found.bytes)
	case p.Check != "" && !found.checks:
		return update.Payload{}, problem.New(problem.Invalid, CheckMissing, "update", in.Update, "payload", p.Name, "check", p.Check)
	}
	return update.Payload{
		Name: p.Name, Installer: p.Installer, Architectures: p.Architectures, SHA256: p.SHA256,
		Size: info.Size(), Unpacked: found.bytes, Check: p.Check,
	}, nil
}

// inspection goes through a payload in the way of a device, writing nothing. It
// refuses what is no archive of plain files and folders. Whether each name can
// stand on each system (reserved ones, twins but for case) devices judge.
type inspection struct {
	check string // the program to look for

	bytes  int64 // of all files
	checks bool  // the program is there and can be run

	folders map[string]bool // by path; false is a file
	paths   int
}

func (i *inspection) read(ctx context.Context, raw io.Reader) error {
	z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(window))
	if err != nil {
		return err
	}
	defer z.Close()
	i.folders = map[string]bool{".": true}
	out := &bounded{ctx: ctx, r: z, left: update.MaxPayload + maxEntries*entryOverhead}
	archive := tar.NewReader(out)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = i.entry(h)
		}
		if err != nil {
			return err
		}
	}
	if out.ended { // package tar takes a missing end mark for an end, having looked for it
		return io.ErrUnexpectedEOF
	}
	switch n, err := out.Read(make([]byte, 1)); {
	case n > 0:
		return errors.New("bytes after the end")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func (i *inspection) entry(h *tar.Header) error {
	folder := h.Typeflag == tar.TypeDir
	name := h.Name
	if folder {
		name = strings.TrimSuffix(name, "/")
	}
	i.paths += len(name)
	_, twice := i.folders[name]
	switch {
	case !folder && h.Typeflag != tar.TypeReg:
		return fmt.Errorf("%q is neither file nor folder", name)
	case !plain(h) || folder && h.Size != 0:
		return fmt.Errorf("%q has a header that devices do not take", name)
	case h.Mode != 0o755 && (folder || h.Mode != 0o644):
		return fmt.Errorf("%q has the mode %04o", name, h.Mode)
	case !fs.ValidPath(name) || len(name) > maxPath || strings.Contains(name, `\`):
		return fmt.Errorf("%q is no path", name)
	case twice:
		return fmt.Errorf("%q stands twice", name)
	case !i.folders[path.Dir(name)]:
		return fmt.Errorf("%q comes before its folder", name)
	case len(i.folders) > maxEntries || i.paths > maxPaths:
		return fmt.Errorf("more than %d entries", maxEntries)
	case h.Size > update.MaxPayload-i.bytes:
		return fmt.Errorf("more than %d bytes", int64(update.MaxPayload))
	}
	i.folders[name] = folder
	i.bytes += h.Size
	if !folder && name == i.check {
		i.checks = h.Mode == 0o755 || runsByName(name)
	}
	return nil
}

// plain says whether a header is USTAR, or PAX with a long path or size.
func plain(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if key != "path" && key != "size" {
			return false
		}
	}
	return h.Format == tar.FormatUSTAR || h.Format == tar.FormatPAX
}

// runsByName says whether a name's ending makes a program of a file: Windows goes
// by that, and what is packed there has no mode to run.
func runsByName(name string) bool {
	return slices.Contains([]string{".bat", ".cmd", ".com", ".exe"}, strings.ToLower(path.Ext(name)))
}

// bounded reads left bytes at most, and stops with its context.
type bounded struct {
	ctx    context.Context //nolint:containedctx // lives as long as one call
	r      io.Reader
	left   int64
	ended  bool  // somebody read past the end
	broken error // the first error but for the end
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return 0, errors.New("more bytes than a device takes")
	case errors.Is(err, io.EOF):
		b.ended = b.ended || n == 0
	case err != nil:
		b.broken = err
	}
	return n, err
}
