package trust

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Config says where a client keeps its state and what it follows.
type Config struct {
	// Folder is the state folder: of its own, and writable by its owner only.
	// Enroll makes it.
	Folder string
	// Programs are the ones to follow; none means all that the vendor has. A
	// client learns all of them or nothing, so whoever wants one program's
	// trouble kept from another's opens a client for each.
	Programs []program.ID
	// Now is the clock, to judge expiry by; nil is the system's.
	Now func() time.Time
	// Patience is the longest time that one file may take; 0 is five minutes.
	Patience time.Duration
}

// Client is a device's or site's view of what is genuine. It is safe for
// concurrent use. Learning takes the folder's lock, so several processes may
// share a folder; one that only reads sees what was there when it opened it, or
// what is there now once a file of that is gone.
type Client struct {
	cfg   Config
	learn sync.Mutex // held by whoever changes the state
	mu    sync.Mutex // guards what follows
	state *state     // nil: not enrolled
	view  *verified  // nil: nothing verified yet
}

// Status says what a client holds, and how old it is.
type Status struct {
	Enrolled bool
	Stale    bool          // part of it has expired, or nothing is held
	Age      time.Duration // since IssuedAt, by the client's clock
	IssuedAt time.Time     // signed by the vendor
	Expires  time.Time     // of the part that expires first
	Versions Versions
}

// Manifest is one verified manifest.
type Manifest struct {
	Path     string
	UpdateID program.UpdateID
	Bytes    []byte
	Released time.Time
}

// Anchor is what a person gave a device to trust, from elsewhere than the server.
type Anchor struct {
	digest [sha256.Size]byte
	root   []byte // of a keyring file
}

const anchorPrefix = "sha256:"

// ParseAnchor reads "sha256:" and the digest of the first root's bytes, in
// hexadecimal, as Repository.Anchor writes it.
func ParseAnchor(text string) (Anchor, error) {
	var a Anchor
	digits, found := strings.CutPrefix(text, anchorPrefix)
	raw, err := hex.DecodeString(digits)
	if !found || err != nil || len(raw) != len(a.digest) {
		return a, problem.New(problem.Invalid, AnchorMalformed, "anchor", text).Because(err)
	}
	copy(a.digest[:], raw)
	return a, nil
}

// KeyringAnchor is the anchor in a vendor's keyring file: a root, as served. A
// site whose devices enroll by digest needs the whole chain, so it enrolls by
// digest too, or with the first root.
func KeyringAnchor(root []byte) Anchor { return Anchor{sha256.Sum256(root), bytes.Clone(root)} }

// Open opens the state in cfg.Folder and verifies it again, as of the instant
// that it was issued, so that expiry never takes away what was verified. A folder
// that is not there is a client that is not enrolled.
func Open(cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Patience == 0 {
		cfg.Patience = 5 * time.Minute
	}
	c := &Client{cfg: cfg}
	return c, c.load()
}

// load takes the state from the disk.
func (c *Client) load() error {
	st, view, err := c.open()
	if errors.Is(err, fs.ErrNotExist) { // maybe because another process has learned since the index was read
		st, view, err = c.open()
	}
	if err == nil {
		c.set(st, view)
	}
	return err
}

// open reads and verifies what the disk has.
func (c *Client) open() (st *state, view *verified, err error) {
	if st, err = openState(c.cfg.Folder); err != nil {
		return nil, nil, err
	}
	if st != nil && st.Root > 0 {
		// The roots that came after belong to the next state.
		var gone error
		get := func(name string, limit int64) ([]byte, error) {
			if isRoot(name) {
				return nil, fs.ErrNotExist
			}
			data, err := st.source(name, limit)
			if errors.Is(err, fs.ErrNotExist) {
				gone = err
			}
			return data, err
		}
		trusted, err := st.source(versioned(Root, st.Root), maxRoot)
		if err == nil {
			view, _, err = verify(trusted, nil, get, asIssued, st.Programs)
		}
		if err != nil {
			return nil, nil, c.damaged(cmp.Or(gone, err))
		}
	}
	return st, view, nil
}

func (c *Client) damaged(err error) error {
	return problem.New(problem.Refused, StateDamaged, "folder", c.cfg.Folder).Because(err)
}

// reading reads from the held state. When a file of it is gone, another process
// may have learned since: what is on the disk now is read instead, once.
func (c *Client) reading(read func(*state, *verified) error) error {
	st, view := c.get()
	if view == nil {
		return c.nothing(st)
	}
	err := read(st, view)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh, now, failed := c.open()
	if failed != nil || now == nil || fresh.equal(st) {
		return err
	}
	c.mu.Lock()
	if c.state == st { // else this process has learned, too
		c.state, c.view = fresh, now
	}
	c.mu.Unlock()
	return read(fresh, now)
}

func (c *Client) set(st *state, view *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.view = st, view
}

func (c *Client) get() (*state, *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.view
}

// alone runs act as the only one who changes the state, on what is on the disk.
func (c *Client) alone(act func(*state, *verified) error) error {
	c.learn.Lock()
	defer c.learn.Unlock()
	if err := makeFolder(c.cfg.Folder); err != nil {
		return err
	}
	owner, err := durable.Lock(c.cfg.Folder)
	if err != nil {
		return err
	}
	err = c.load()
	if err == nil {
		st, view := c.get()
		err = act(st, view)
	}
	return errors.Join(err, owner.Unlock())
}

// Enroll fixes whom to trust from here on: the first root must be the one that
// the anchor names, whatever the server says. Nothing else is learned yet;
// Refresh or Import is next. Enrolling again with the same root changes nothing.
func (c *Client) Enroll(ctx context.Context, anchor Anchor, fetch Fetch) error {
	root := anchor.root
	if root == nil {
		var err error
		name := versioned(Root, 1)
		if root, err = bounded(ctx, fetch, c.cfg.Patience)(name, maxRoot); err != nil {
			return unread(name, maxRoot, err)
		}
	}
	if got := sha256.Sum256(root); got != anchor.digest {
		return problem.New(problem.Refused, AnchorMismatch, "want", hex.EncodeToString(anchor.digest[:]), "got", hex.EncodeToString(got[:]))
	}
	first, _, err := parseRoot(metaName(Root), root)
	if err != nil {
		return err
	}
	if _, err := trustedmetadata.New(root); err != nil {
		return problem.New(problem.Refused, NotSigned, "role", string(Root)).Because(err)
	}
	return c.alone(func(st *state, _ *verified) error {
		name := versioned(Root, first.Signed.Version)
		if st != nil {
			if held, err := st.source(st.first(), maxRoot); err == nil && bytes.Equal(held, root) {
				return nil
			}
			return problem.New(problem.Conflict, AlreadyEnrolled, "folder", c.cfg.Folder)
		}
		st = newState(c.cfg.Folder)
		if err := st.put(name, root); err != nil {
			return err
		}
		if err := st.save(); err != nil {
			return err
		}
		c.set(st, nil)
		return nil
	})
}

// Refresh learns what the server has now. When it fails, the problem says why,
// and everything that was held stays as it was.
func (c *Client) Refresh(ctx context.Context, fetch Fetch) error {
	return c.learnFrom(ctx, fetch, byClock(c.cfg.Now()))
}

// Import learns from an offline bundle: a folder with the names that a server
// serves. Expiry is judged as of the instant at which the bundle was issued;
// what is older than what is held is refused as ever.
func (c *Client) Import(ctx context.Context, bundle fs.FS) error {
	return c.learnFrom(ctx, Folder(bundle), asIssued)
}

func (c *Client) learnFrom(ctx context.Context, fetch Fetch, at judge) error {
	get := bounded(ctx, fetch, c.cfg.Patience)
	return c.alone(func(st *state, held *verified) error {
		if st == nil {
			return problem.New(problem.Refused, NotEnrolled, "folder", c.cfg.Folder)
		}
		trusted, err := st.source(versioned(Root, st.newest()), maxRoot)
		if err != nil {
			return problem.New(problem.Refused, StateDamaged, "folder", c.cfg.Folder).Because(err)
		}
		view, newer, err := verify(trusted, held, get, at, c.cfg.Programs)
		// A root that verified is kept whatever follows: with the root before it,
		// a key that the vendor has withdrawn would be good again.
		rooted := st.clone()
		for i, root := range newer {
			if err := rooted.put(versioned(Root, st.newest()+int64(i)+1), root); err != nil {
				return err
			}
		}
		var next *state
		if err == nil {
			next, err = rooted.advance(view, get)
		}
		if err != nil {
			if len(newer) > 0 {
				if saved := rooted.save(); saved != nil {
					return errors.Join(err, saved)
				}
				c.set(rooted, held)
			}
			return err
		}
		if next.equal(st) {
			return nil
		}
		if err := next.save(); err != nil {
			return err
		}
		c.set(next, view)
		next.prune()
		return nil
	})
}

// Status says what is held and how old it is.
func (c *Client) Status() Status {
	st, view := c.get()
	if view == nil {
		return Status{Enrolled: st != nil, Stale: true}
	}
	now := c.cfg.Now()
	return Status{
		Enrolled: true, Stale: now.After(view.expires), Age: max(0, now.Sub(view.issued)),
		IssuedAt: view.issued, Expires: view.expires, Versions: maps.Clone(view.versions),
	}
}

// TrustKeys is trust/keys.json; nil when the vendor has none.
func (c *Client) TrustKeys() ([]byte, error) { return c.target(KeysPath) }

// Ended is trust/ended.json; nil when the vendor has none.
func (c *Client) Ended() ([]byte, error) { return c.target(EndedPath) }

// Program is programs/<id>.json, the public half of a program's file; nil when
// the vendor has none yet.
func (c *Client) Program(id program.ID) ([]byte, error) {
	if _, view := c.get(); view != nil {
		if _, ok := view.programs[id]; !ok {
			return nil, problem.New(problem.NotFound, UnknownProgram, "program", string(id))
		}
	}
	return c.target(programPath(id))
}

func (c *Client) target(path string) (data []byte, err error) {
	err = c.reading(func(st *state, view *verified) error {
		i := slices.IndexFunc(view.top, func(e Entry) bool { return e.Path == path })
		if i < 0 {
			data = nil
			return nil
		}
		data, err = c.read(st, view.top[i])
		return err
	})
	return data, err
}

func (c *Client) read(st *state, e Entry) ([]byte, error) {
	data, err := st.source(e.name(), e.Length)
	if err != nil || fits(e.Path, data, e.Length, e.SHA256[:]) != nil {
		return nil, c.damaged(err)
	}
	return data, nil
}

func (c *Client) nothing(st *state) error {
	if st == nil {
		return problem.New(problem.Refused, NotEnrolled, "folder", c.cfg.Folder)
	}
	return problem.New(problem.Refused, NothingVerified, "folder", c.cfg.Folder)
}

// Manifests are the manifests that a followed program lists, by release instant
// and then by update, each read from the folder and verified again.
func (c *Client) Manifests(id program.ID) ([]Manifest, error) {
	var all []Manifest
	err := c.reading(func(st *state, view *verified) error {
		listed, ok := view.programs[id]
		if !ok {
			return problem.New(problem.NotFound, UnknownProgram, "program", string(id))
		}
		all = make([]Manifest, 0, len(listed))
		for _, e := range listed {
			data, err := c.read(st, e)
			if err != nil {
				return err
			}
			update, _ := updateOf(id, e.Path) // entries lets no other path through
			all = append(all, Manifest{e.Path, update, data, e.Released})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b Manifest) int { return a.Released.Compare(b.Released) })
	return all, nil
}

// Files is all that is held, under the names by which a server serves it: for a
// site's own front door, and for the bundle that it exports. Roots that came
// after the verified state are not in it.
func (c *Client) Files() (Set, error) {
	var set Set
	err := c.reading(func(st *state, _ *verified) error {
		set = Set{}
		for name := range st.Files {
			if v, ok := rootVersion(name); ok && v > st.Root {
				continue
			}
			data, err := st.source(name, maxTarget)
			if err != nil {
				return fmt.Errorf("read held files: %w", c.damaged(err))
			}
			set[name] = data
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}
