// Package depot keeps payloads by their SHA-256 digest: a folder in which a
// name says exactly what the bytes are.
//
// When Put returns, the bytes are on the disk and survive a power cut; until
// then nothing shows under the digest. A payload is never changed. Which
// payloads may be served to whom is not decided here: the front door asks.
package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

// What can be wrong with a payload.
const (
	// TooLarge is a payload over the limit.
	TooLarge problem.Code = "depot.payload-too-large"
	// NotFound is a digest under which nothing is kept.
	NotFound problem.Code = "depot.payload-not-found"
	// Changed is a payload whose bytes are no longer what its digest says.
	Changed problem.Code = "depot.payload-changed"
)

// Folder is a depot in a folder. It is safe for use by many goroutines.
type Folder struct {
	root *os.Root
}

const incoming = "incoming" // unfinished files

// Open opens a depot, and makes its folder when there is none.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open depot: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open depot: %w", err)
	}
	if err := root.MkdirAll(incoming, 0o750); err != nil {
		return nil, errors.Join(fmt.Errorf("open depot: %w", err), root.Close())
	}
	return &Folder{root: root}, nil
}

// Close ends the use of the folder.
func (f *Folder) Close() error { return f.root.Close() }

func place(d update.Digest) string { return path.Join(string(d[:2]), string(d)) }

// Put keeps what r holds, at most limit bytes, and returns its digest and size.
// Bytes that are there already are kept once.
func (f *Folder) Put(ctx context.Context, r io.Reader, limit int64, random io.Reader) (update.Digest, int64, error) {
	var name [16]byte
	if _, err := io.ReadFull(random, name[:]); err != nil {
		return "", 0, fmt.Errorf("depot: %w", err)
	}
	partial := path.Join(incoming, hex.EncodeToString(name[:]))
	d, size, err := f.receive(ctx, partial, r, limit)
	if err == nil {
		err = f.keep(partial, d)
	}
	if err != nil {
		return "", 0, errors.Join(err, ignoreMissing(f.root.Remove(partial)))
	}
	return d, size, nil
}

func (f *Folder) receive(ctx context.Context, name string, r io.Reader, limit int64) (update.Digest, int64, error) {
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return "", 0, fmt.Errorf("depot: %w", err)
	}
	defer file.Close() // closed below where it matters
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(cancelable{ctx, r}, limit+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("depot: receive payload: %w", err)
	case size > limit:
		return "", 0, problem.New(problem.TooLarge, TooLarge, "limit", limit)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return "", 0, fmt.Errorf("depot: %w", err)
	}
	return update.Digest(hex.EncodeToString(sum.Sum(nil))), size, nil
}

// keep moves a finished file under its digest and makes the move last.
func (f *Folder) keep(partial string, d update.Digest) error {
	folder := path.Dir(place(d))
	if err := f.root.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("depot: %w", err)
	}
	if err := durable.RenameIn(f.root, partial, place(d)); err != nil {
		return fmt.Errorf("depot: %w", err)
	}
	return nil
}

// Open opens a payload for reading from any place.
func (f *Folder) Open(d update.Digest) (*os.File, error) {
	if _, err := update.ParseDigest(string(d)); err != nil {
		return nil, problem.New(problem.NotFound, NotFound, "digest", d).Because(err)
	}
	file, err := f.root.Open(place(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.NotFound, NotFound, "digest", d)
	}
	if err != nil {
		return nil, fmt.Errorf("depot: open %s: %w", d, err)
	}
	return file, nil
}

// Verify reads a payload and says whether it is still what it was.
func (f *Folder) Verify(ctx context.Context, d update.Digest) error {
	file, err := f.Open(d)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, cancelable{ctx, file}); err != nil {
		return fmt.Errorf("depot: verify %s: %w", d, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != string(d) {
		return problem.New(problem.Refused, Changed, "digest", d)
	}
	return nil
}

type cancelable struct {
	ctx context.Context //nolint:containedctx // lives as long as one call
	r   io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
