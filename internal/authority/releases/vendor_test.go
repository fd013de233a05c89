package releases

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/update"
)

const win program.ID = "windows-7"

var (
	owner   = access.LocalUser("ann")
	itself  = access.Itself("releases")
	support = access.Actor{Kind: access.Operator, ID: "op-support", Roles: []access.Role{access.Support}, Tenant: access.All}
)

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

// vendor is an authority's publishing office on a real database, with Windows 7
// and its publishers alice, bob and carol, of whom two must sign.
type vendor struct {
	*testing.T
	*Room
	mu      sync.Mutex
	now     time.Time
	offline string
	anchor  string
	config  db.Config
	office  Config
}

func (v *vendor) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *vendor) at(t string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = instant(t)
}

// instant reads a moment of the program's own clock.
func instant(text string) time.Time {
	loc, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(err)
	}
	t, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func windows(t testing.TB) *program.Program {
	t.Helper()
	text, err := programs.File(string(win))
	fatal(t, err)
	p, err := program.Parse("windows-7.yaml", text)
	fatal(t, err)
	return p
}

// each tells a story that begins before the first covered release.
func each(t *testing.T, story func(v *vendor)) {
	t.Helper()
	eachFrom(t, "2020-02-03 09:00", story)
}

func eachFrom(t *testing.T, start string, story func(v *vendor)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		v := &vendor{T: t, now: instant(start), offline: filepath.Join(t.TempDir(), "offline")}
		c.Now = v.clock
		v.config = c
		v.office = v.open()
		v.Room = New(v.office)
		var err error
		v.anchor, err = v.Genesis(t.Context(), owner, GenesisIn{Offline: v.offline, Keys: []byte(`{"keys":[]}`)})
		fatal(t, err)
		_, err = v.ChangeTargets(t.Context(), owner, TargetsIn{
			Programs:   []*program.Program{windows(t)},
			Publishers: map[program.ID]trust.Signers{win: {Keys: keys("alice", "bob", "carol")}},
			Signers:    []signing.Signer{v.targetsKey()},
		})
		fatal(t, err)
		story(v)
	})
}

// open is everything that a process opens.
func (v *vendor) open() Config {
	v.Helper()
	d := dbtest.Open(v, v.config)
	sealing := filepath.Join(v.TempDir(), "sealing")
	fatal(v, keyring.NewSealingKey(sealing, rand.Reader))
	aead, err := keyring.SealingKey(sealing)
	fatal(v, err)
	vault, err := keyring.OpenVault(v.Context(), d, aead)
	fatal(v, err)
	w, err := audit.NewWriter("test")
	fatal(v, err)
	folder, err := depot.Open(filepath.Join(v.TempDir(), "depot"))
	fatal(v, err)
	v.Cleanup(func() { _ = folder.Close() })
	return Config{DB: d, Audit: w, Vault: vault, Depot: folder, Online: trust.Online{Snapshot: signer("snapshot"), Timestamp: signer("timestamp")}}
}

func (v *vendor) targetsKey() signing.Signer {
	v.Helper()
	s, err := signing.Open(v.Context(), filepath.Join(v.offline, TargetsKeyFile), nil)
	fatal(v, err)
	return s
}

// payload packs a product with one file of text, as publishers do, and takes it
// into the depot.
func (v *vendor) payload(text string) PayloadIn {
	v.Helper()
	var packed bytes.Buffer
	_, err := install.Pack(&packed, fstest.MapFS{"readme": {Data: []byte(text)}, "bin/check": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}})
	fatal(v, err)
	return v.receive(packed.Bytes())
}

func (v *vendor) receive(payload []byte) PayloadIn {
	v.Helper()
	d, _, err := v.Receive(v.Context(), owner, bytes.NewReader(payload))
	fatal(v, err)
	return PayloadIn{Name: "update.tar.zst", Installer: "files", SHA256: d}
}

// rollup is a covered update, to come on the next release day.
func (v *vendor) rollup(id program.UpdateID) StageIn {
	v.Helper()
	return StageIn{Program: win, Update: id, Title: "Weakness mended by " + string(id), Kind: "monthly-rollup", Payloads: []PayloadIn{v.payload("bytes of " + string(id))}}
}

func (v *vendor) stage(in StageIn) Release {
	v.Helper()
	out, err := v.Stage(v.Context(), owner, in)
	fatal(v, err)
	return out
}

// sign has publishers sign a draft, each on a machine of his own.
func (v *vendor) sign(d Draft, names ...string) Signed {
	v.Helper()
	var out Signed
	for _, name := range names {
		var err error
		out, err = v.trySign(d, name)
		fatal(v, err)
	}
	return out
}

func (v *vendor) trySign(d Draft, name string) (Signed, error) {
	v.Helper()
	copied, err := trust.ParseDraft(d.Document)
	fatal(v, err)
	fatal(v, copied.Sign(v.Context(), signer(name)))
	document, err := copied.Document()
	fatal(v, err)
	return v.Sign(v.Context(), owner, document)
}

func (v *vendor) draft(updates ...program.UpdateID) Drafted {
	v.Helper()
	d, err := v.Draft(v.Context(), owner, win, updates...)
	fatal(v, err)
	return d
}

func (v *vendor) tick() Published {
	v.Helper()
	p, err := v.Tick(v.Context(), itself)
	fatal(v, err)
	return p
}

// released stages, signs and releases an update, and moves the clock there.
func (v *vendor) released(in StageIn) Release {
	v.Helper()
	out := v.stage(in)
	v.sign(v.draft(in.Update).Draft, "alice", "bob")
	v.mu.Lock()
	v.now = out.Instant
	v.mu.Unlock()
	v.tick()
	return out
}

// fetch is how devices reach the metadata.
func (v *vendor) fetch(ctx context.Context, name string) (io.ReadCloser, error) {
	body, err := v.Metadata(ctx, name)
	if problem.CodeOf(err) == MetadataUnknown {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(body)), err
}

// device is a client that has enrolled and learned what there is.
func (v *vendor) device() *trust.Client {
	v.Helper()
	c, err := trust.Open(trust.Config{Folder: filepath.Join(v.TempDir(), "trust"), Programs: []program.ID{win}, Now: v.clock})
	fatal(v, err)
	anchor, err := trust.ParseAnchor(v.anchor)
	fatal(v, err)
	fatal(v, c.Enroll(v.Context(), anchor, v.fetch))
	fatal(v, c.Refresh(v.Context(), v.fetch))
	return c
}

// sees is what a device knows after it has asked again.
func (v *vendor) sees(c *trust.Client) []program.UpdateID {
	v.Helper()
	fatal(v, c.Refresh(v.Context(), v.fetch))
	all, err := c.Manifests(win)
	fatal(v, err)
	ids := []program.UpdateID{}
	for _, m := range all {
		u, err := update.ParseManifest(m.Bytes)
		fatal(v, err)
		ids = append(ids, u.ID)
	}
	return ids
}

func (v *vendor) states() map[program.UpdateID]State {
	v.Helper()
	all, err := v.List(v.Context(), owner, win)
	fatal(v, err)
	states := map[program.UpdateID]State{}
	for _, r := range all {
		states[r.Update.ID] = r.State
	}
	return states
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
	}
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
