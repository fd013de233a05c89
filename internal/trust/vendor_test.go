package trust

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const win program.ID = "windows-7"

var start = time.Date(2020, 1, 14, 18, 0, 0, 987654321, time.UTC)

// signer is a person or machine by name; one name has one key.
func signer(name string) signing.Signer {
	seed := sha256.Sum256([]byte(name))
	return signing.New(ed25519.NewKeyFromSeed(seed[:]))
}

func keys(names ...string) []ed25519.PublicKey {
	var all []ed25519.PublicKey
	for _, name := range names {
		all = append(all, signer(name).Public())
	}
	return all
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Errorf("got error %v, want %s", err, code)
		return
	}
	p, ok := problem.As(err)
	if !ok {
		return
	}
	read, hint := locales.New("en").Problem(p)
	if want, told := sentences()[code]; told && (!regexp.MustCompile("^"+want+"$").MatchString(read) || hint == "") {
		t.Errorf("a person reads %q (hint %q), want %q", read, hint, want)
	}
}

// sentences are what a person reads of each attack.
func sentences() map[problem.Code]string {
	return map[problem.Code]string{
		AnchorMismatch: `This server is not the one that you were told to trust: its first root is sha256:[0-9a-f]{64}, and it should be sha256:[0-9a-f]{64}\. Nothing was taken from it\.`,
		Expired:        `What the server offers is out of date: its [a-z0-9-]+ metadata expired on [-0-9T:Z]+\. Nothing new is learned from it; what is held stays usable\.`,
		RolledBack:     `Version \d+ of the [a-z0-9-]+ metadata was offered, but version \d+ is known here already\. Nothing was changed\.`,
		Mixed:          `The server puts metadata of different times together: version \d+ of [a-z0-9-]+ stands where version \d+ belongs\. Nothing was changed\.`,
		NotSigned:      `The [a-z0-9-]+ metadata does not carry enough signatures of the keys that may sign it, so it is not accepted\.`,
		WrongHash:      `\S+ is not the file that the vendor signed\. It was thrown away\.`,
		WrongLength:    `\S+ does not have the \d+ bytes that the vendor signed\. It was thrown away\.`,
		Endless:        `\S+ goes on past \d+ bytes, more than it can ever have\. It was thrown away\.`,
		TooSlow:        `\S+ did not arrive in time\.`,
		OutsidePaths:   `The signers of [a-z0-9-]+ signed for .+, which is not theirs to sign for\. Nothing was accepted\.`,
	}
}

// vendor is the offices of one vendor: root keys "root a" and "root b", both
// needed; "targets"; "snapshot" and "timestamp" online; and for Windows 7 the
// publishers alice, bob and carol, of whom two must sign.
type vendor struct {
	t      testing.TB
	repo   Repository
	now    time.Time
	online Online
}

func topKeys() RootKeys {
	return RootKeys{
		Root: Signers{keys("root a", "root b"), 2}, Targets: Signers{keys("targets"), 1},
		Snapshot: signer("snapshot").Public(), Timestamp: signer("timestamp").Public(),
	}
}

// newVendor has published one release, KB1.
func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{t: t, now: start, online: Online{signer("snapshot"), signer("timestamp")}}
	v.rotate(topKeys(), "root a", "root b")
	v.targets(TargetsChange{
		Keys: []byte(`{"keys":[]}`), Files: map[program.ID][]byte{win: []byte(`{"program":"windows-7"}`)},
		Publishers: map[program.ID]Signers{win: {Keys: keys("alice", "bob", "carol")}},
	})
	v.release("KB1", "the first manifest")
	v.publish()
	return v
}

// signed is the draft's file with these signatures.
func signed(t testing.TB, d *Draft, err error, names ...string) []byte {
	t.Helper()
	fatal(t, err)
	for _, name := range names {
		fatal(t, d.Sign(context.Background(), signer(name)))
	}
	file, err := d.File()
	fatal(t, err)
	return file
}

func (v *vendor) accept(d *Draft, err error, names ...string) {
	v.t.Helper()
	file := signed(v.t, d, err, names...)
	v.repo, err = v.repo.Accept(d.Role(), file, d.Files())
	fatal(v.t, err)
}

func (v *vendor) rotate(to RootKeys, names ...string) {
	v.t.Helper()
	d, err := v.repo.DraftRoot(to, v.now, Regular)
	v.accept(d, err, names...)
}

func (v *vendor) targets(change TargetsChange) {
	v.t.Helper()
	d, err := v.repo.DraftTargets(change, v.now, Regular)
	v.accept(d, err, "targets")
}

// release lists one more manifest, signed by alice and bob unless others are named.
func (v *vendor) release(update program.UpdateID, manifest string, names ...string) {
	v.t.Helper()
	if names == nil {
		names = []string{"alice", "bob"}
	}
	change := ProgramChange{Add: []Release{{update, []byte(manifest), v.now.Truncate(time.Second)}}}
	d, err := v.repo.DraftProgram(win, nil, change, v.now, Regular)
	v.accept(d, err, names...)
}

func (v *vendor) publish() {
	v.t.Helper()
	var err error
	v.repo, err = v.repo.Publish(context.Background(), v.online, v.now, Regular)
	fatal(v.t, err)
}

func (v *vendor) renew() {
	v.t.Helper()
	var err error
	v.repo, err = v.repo.Renew(context.Background(), v.online, v.now)
	fatal(v.t, err)
}

func (v *vendor) set() Set {
	v.t.Helper()
	set, err := v.repo.Set()
	fatal(v.t, err)
	return set
}

func (v *vendor) anchor() Anchor {
	v.t.Helper()
	a, err := ParseAnchor(v.repo.Anchor())
	fatal(v.t, err)
	return a
}

// forged is what a thief says of a role: a version and a file, with the file's
// length and digest or, bare, without.
type forged struct {
	version int64
	file    []byte
	bare    bool
}

// steal builds what a thief with both online keys would serve: set, with a
// snapshot and a timestamp that list these roles.
func (v *vendor) steal(set Set, snapshot, timestamp int64, roles map[Role]forged) Set {
	v.t.Helper()
	set = maps.Clone(set)
	list := func(f forged) *metadata.MetaFiles {
		if f.bare {
			return &metadata.MetaFiles{Version: f.version}
		}
		return metaFile(f.file, f.version)
	}
	s := metadata.Snapshot(v.now.AddDate(0, 0, 30))
	s.Signed.Version, s.Signed.Meta = snapshot, map[string]*metadata.MetaFiles{}
	for role, f := range roles {
		s.Signed.Meta[metaName(role)] = list(f)
		set[versioned(role, f.version)] = f.file
	}
	fatal(v.t, sign(context.Background(), s, v.online.Snapshot))
	file, err := s.ToBytes(false)
	fatal(v.t, err)
	set[versioned(Snapshot, snapshot)] = file
	ts := metadata.Timestamp(v.now.AddDate(0, 0, 3))
	ts.Signed.Version = timestamp
	ts.Signed.Meta = map[string]*metadata.MetaFiles{metaName(Snapshot): list(forged{snapshot, file, false})}
	ts.Signed.UnrecognizedFields = map[string]any{issuedAt: instant(v.now)}
	fatal(v.t, sign(context.Background(), ts, v.online.Timestamp))
	set[timestampName], err = ts.ToBytes(false)
	fatal(v.t, err)
	return set
}

// roles are the vendor's honest role files, as a thief would list them.
func (v *vendor) roles() map[Role]forged {
	v.t.Helper()
	all := map[Role]forged{}
	for role, file := range v.repo.roles() {
		n, err := version(role, file)
		fatal(v.t, err)
		all[role] = forged{version: n, file: file}
	}
	return all
}

// server serves a set over HTTP on loopback, with single answers replaced.
type server struct {
	mu    sync.Mutex
	set   Set
	hooks map[string]http.HandlerFunc
	asked []string
	fetch Fetch
}

func serve(t testing.TB, set Set) *server {
	t.Helper()
	s := &server{set: set, hooks: map[string]http.HandlerFunc{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.fetch = HTTP(h.Client(), h.URL+"/tuf")
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/tuf/")
	s.mu.Lock()
	data, ok := s.set[name]
	hook := s.hooks[name]
	s.asked = append(s.asked, name)
	s.mu.Unlock()
	switch {
	case hook != nil:
		hook(w, r)
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(data)
	}
}

// now serves another set from here on, with no hooks.
func (s *server) now(set Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set, s.hooks, s.asked = set, map[string]http.HandlerFunc{}, nil
}

// device is a client with a clock of its own.
type device struct {
	*Client
	t   testing.TB
	cfg Config
	now *time.Time
}

func newDevice(t testing.TB, now time.Time, programs ...program.ID) *device {
	t.Helper()
	d := &device{t: t, now: &now}
	d.cfg = Config{Folder: filepath.Join(t.TempDir(), "trust"), Programs: programs, Now: func() time.Time { return *d.now }, Patience: 10 * time.Second}
	d.reopen()
	return d
}

// enrolled is a device that has learned what the server has.
func enrolled(v *vendor, s *server) *device {
	v.t.Helper()
	d := newDevice(v.t, v.now, win)
	fatal(v.t, d.Enroll(context.Background(), v.anchor(), s.fetch))
	fatal(v.t, d.refresh(s))
	return d
}

func (d *device) reopen() {
	d.t.Helper()
	var err error
	d.Client, err = Open(d.cfg)
	fatal(d.t, err)
}

func (d *device) refresh(s *server) error { return d.Refresh(context.Background(), s.fetch) }

// holds is all that a person would see of what the device trusts.
func (d *device) holds() string {
	d.t.Helper()
	keys, err := d.TrustKeys()
	fatal(d.t, err)
	text, err := d.Program(win)
	fatal(d.t, err)
	manifests, err := d.Manifests(win)
	fatal(d.t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "keys %s\nprogram %s\n", keys, text)
	for _, m := range manifests {
		fmt.Fprintf(&b, "%s %s %s %s\n", m.Path, m.UpdateID, instant(m.Released), m.Bytes)
	}
	return b.String()
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// bundle is a set as a folder.
func bundle(set Set) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, data := range set {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}
