package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

const (
	partialEnding = ".partial"
	// attempts is how often a download that breaks off is taken up again at once;
	// after them the part waits for the next run.
	attempts = 3
)

// Progress is told how much of a payload is there.
type Progress func(e *update.Update, done, total int64)

// downloader fetches payloads of one act, with one access token for them all.
type downloader struct {
	d        *Device
	k        *knowledge
	server   *wire.Client
	progress Progress
	offline  bool
	token    string
	down     *problem.Problem // why the server cannot be reached
}

// fetch brings a payload to downloads/DIGEST, unless it is there. The gate was asked.
func (l *downloader) fetch(ctx context.Context, e *update.Update, p *update.Payload) error {
	path := l.d.path(downloadsDir, string(p.SHA256))
	same, err := fileMatches(ctx, path, p)
	if err == nil && same {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l.down != nil {
		return l.down
	}
	if err = l.download(ctx, e, p, path); err != nil {
		if refused, ok := problem.As(err); ok && strings.HasPrefix(string(refused.Code), "network.") {
			l.down = refused // ask once, not once for each update
		}
	}
	return err
}

func (l *downloader) download(ctx context.Context, e *update.Update, p *update.Payload, path string) error {
	if l.offline {
		return problem.New(problem.Unavailable, NotDownloaded, "update", e.ID)
	}
	if err := l.d.ensureDownloads(); err != nil {
		return err
	}
	if err := l.authorize(ctx, e); err != nil {
		return err
	}
	var err error
	for range attempts {
		var again bool
		if again, err = l.receive(ctx, e, p, path+partialEnding); !again {
			break
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(path+partialEnding, path)
}

// authorize gets a token for gated bytes: the device signs the server's nonce
// and shows its licenses.
func (l *downloader) authorize(ctx context.Context, e *update.Update) error {
	if l.token != "" || coverage.Covers(license.Set{}, e) {
		return nil
	}
	nonce, err := l.server.Nonce(ctx)
	if err != nil {
		return err
	}
	request, err := license.NewAccessRequest(license.AccessRequest{
		Nonce: nonce, Audience: l.k.identity.Authority, Program: l.k.program.ID,
		Fingerprint: l.k.installation.Fingerprint, Licenses: l.k.valid,
	}, jws.InMemory(l.k.installation.key))
	if err != nil {
		return err
	}
	token, err := l.server.Access(ctx, request)
	l.token = token.Token
	return err
}

// receive appends to a part what it lacks, and verifies the whole. Again says
// that another attempt may do better: the connection broke off and brought
// something, or an old part was worth nothing.
func (l *downloader) receive(ctx context.Context, e *update.Update, p *update.Payload, path string) (again bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	had, err := io.Copy(sum, io.LimitReader(f, p.Size))
	if err != nil {
		return false, err
	}
	if err := f.Truncate(had); err != nil { // a longer one would never match
		return false, err
	}
	done := had
	if done < p.Size {
		body, err := l.server.Content(ctx, p.SHA256, l.token, done)
		if err != nil {
			return false, err
		}
		defer body.Close()
		meter := &meter{ctx: ctx, r: io.LimitReader(body, p.Size-done), told: func(n int64) {
			done += n
			if l.progress != nil {
				l.progress(e, done, p.Size)
			}
		}}
		if _, broke := io.Copy(io.MultiWriter(f, sum), meter); broke != nil || done < p.Size {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if silent, ok := problem.As(broke); ok { // the server, so the rest waits for the next run
				return false, errors.Join(silent, f.Sync())
			}
			incomplete := problem.New(problem.Unavailable, PayloadIncomplete, "update", e.ID, "done", done, "size", p.Size).Because(broke)
			return done > had, errors.Join(incomplete, f.Sync())
		}
	}
	if digestOf([sha256.Size]byte(sum.Sum(nil))) != p.SHA256 {
		tampered := problem.New(problem.Refused, PayloadTampered, "update", e.ID, "digest", p.SHA256)
		return had > 0, errors.Join(tampered, f.Truncate(0))
	}
	return false, f.Sync()
}

// meter ends a copy with the act, and tells of its progress.
type meter struct {
	ctx  context.Context //nolint:containedctx // lives as long as one call
	r    io.Reader
	told func(int64)
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	if n > 0 && m.told != nil {
		m.told(int64(n))
	}
	return n, err
}

// matches reports whether a file is the payload, to the last byte.
func matches(ctx context.Context, f *os.File, p *update.Payload) (bool, error) {
	got, size, err := digestFile(ctx, f, p.Size)
	return err == nil && size == p.Size && got == p.SHA256, err
}

func fileMatches(ctx context.Context, path string, p *update.Payload) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() // only read
	return matches(ctx, f, p)
}

// digestFile reads at most one byte more than limit.
func digestFile(ctx context.Context, f *os.File, limit int64) (update.Digest, int64, error) {
	sum := sha256.New()
	size, err := io.Copy(sum, io.LimitReader(&meter{ctx: ctx, r: f}, limit+1))
	if err != nil {
		return "", 0, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return digestOf([sha256.Size]byte(sum.Sum(nil))), size, nil
}
