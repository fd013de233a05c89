// Package agenttest is a whole small authority for tests of devices: the real
// front door over HTTP on loopback, the real rules, real signatures and metadata.
// Only its memory is not a database.
package agenttest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/update"
)

// Vendor is the authority. Fields may be read and changed between two requests.
type Vendor struct {
	t         testing.TB
	Program   *program.Program
	Authority *licensetest.Authority
	Repo      trust.Repository
	URL       string
	online    trust.Online

	mu       sync.Mutex
	now      time.Time
	Updates  []*update.Update
	Payloads map[update.Digest][]byte
	Keys     map[productkey.Ref]*activation.KeyState
	seats    map[license.Fingerprint]map[productkey.Ref]license.Token
	Reports  []string
	Refuse   func(report string) error // nil: every report is taken
	asked    []string
	hook     func(http.ResponseWriter, *http.Request) bool
	handler  http.Handler
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func signer(name string) signing.Signer { return signing.New(licensetest.Key(name)) }

func public(names ...string) []ed25519.PublicKey {
	var all []ed25519.PublicKey
	for _, name := range names {
		all = append(all, signer(name).Public())
	}
	return all
}

// New is a vendor with these releases, at noon of a day.
func New(t testing.TB, id program.ID, now string, releases ...*update.Update) *Vendor {
	t.Helper()
	text, err := programs.File(string(id))
	fatal(t, err)
	p, err := program.Parse(string(id), text)
	fatal(t, err)
	at, err := time.Parse(time.DateOnly, now)
	fatal(t, err)
	v := &Vendor{
		t: t, Program: p, Authority: licensetest.NewAuthority(t, "contoso", p), now: at.Add(12 * time.Hour),
		online: trust.Online{Snapshot: signer("snapshot"), Timestamp: signer("timestamp")}, Payloads: map[update.Digest][]byte{},
		Keys: map[productkey.Ref]*activation.KeyState{}, seats: map[license.Fingerprint]map[productkey.Ref]license.Token{},
	}
	root, err := v.Repo.DraftRoot(trust.RootKeys{
		Root: trust.Signers{Keys: public("root"), Threshold: 1}, Targets: trust.Signers{Keys: public("targets"), Threshold: 1},
		Snapshot: v.online.Snapshot.Public(), Timestamp: v.online.Timestamp.Public(),
	}, v.now, trust.Final)
	v.accept(root, err, "root")
	keys, err := v.Authority.Keys.JSON()
	fatal(t, err)
	file, err := p.PublicJSON()
	fatal(t, err)
	targets, err := v.Repo.DraftTargets(trust.TargetsChange{
		Keys: keys, Files: map[program.ID][]byte{id: file},
		Publishers: map[program.ID]trust.Signers{id: {Keys: public("alice", "bob")}},
	}, v.now, trust.Regular)
	v.accept(targets, err, "targets")
	v.Release(releases...)
	v.handler = frontdoor.Handler(frontdoor.Config{
		Backend: v, Trust: v, Audience: v.Authority.ID, Nonces: frontdoor.NewNonces([32]byte{7}, time.Minute), Now: v.Clock,
		Signer: frontdoor.Signer{
			Authority: v.Authority.ID, KeyID: func(program.ID) license.KeyID { return "access-1" },
			Key: func(program.ID) ed25519.PrivateKey { return v.Authority.Access },
		},
	})
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.URL = server.URL
	return v
}

func (v *Vendor) accept(d *trust.Draft, err error, names ...string) {
	v.t.Helper()
	fatal(v.t, err)
	for _, name := range names {
		fatal(v.t, d.Sign(context.Background(), signer(name)))
	}
	file, err := d.File()
	fatal(v.t, err)
	v.Repo, err = v.Repo.Accept(d.Role(), file, d.Files())
	fatal(v.t, err)
}

// Release signs, lists and publishes updates.
func (v *Vendor) Release(releases ...*update.Update) {
	v.t.Helper()
	var change trust.ProgramChange
	for _, u := range releases {
		u.Program = v.Program.ID
		kind, ok := v.Program.Kind(u.Kind)
		if !ok {
			v.t.Fatalf("%s: no kind %q", u.ID, u.Kind)
		}
		u.Ungated = kind.Ungated
		if u.Years == nil {
			u.Years = update.YearsOn(v.Program, u.Released, u.Ungated)
		}
		if u.Payloads == nil {
			v.Pack(u, "version "+string(u.ID))
		}
		text, err := u.Manifest()
		fatal(v.t, err)
		change.Add = append(change.Add, trust.Release{Update: u.ID, Manifest: text, Released: u.Released.In(time.UTC)})
		v.Updates = append(v.Updates, u)
	}
	v.change(change)
}

// Withdraw takes updates out of the list.
func (v *Vendor) Withdraw(ids ...program.UpdateID) {
	v.t.Helper()
	v.change(trust.ProgramChange{Withdraw: ids})
}

func (v *Vendor) change(change trust.ProgramChange) {
	v.t.Helper()
	d, err := v.Repo.DraftProgram(v.Program.ID, nil, change, v.now, trust.Regular)
	v.accept(d, err, "alice", "bob")
	v.Repo, err = v.Repo.Publish(context.Background(), v.online, v.now, trust.Regular)
	fatal(v.t, err)
}

// Pack gives an update a file "version" with some text.
func (v *Vendor) Pack(u *update.Update, text string) {
	v.t.Helper()
	var packed bytes.Buffer
	sum, err := install.Pack(&packed, fstest.MapFS{"version": {Data: []byte(text), Mode: 0o644}})
	fatal(v.t, err)
	sum256 := sha256.Sum256(packed.Bytes())
	digest := update.Digest(hex.EncodeToString(sum256[:]))
	v.Payloads[digest] = packed.Bytes()
	u.Payloads = []update.Payload{{
		Name: string(u.ID) + ".tar.zst", Installer: "files", SHA256: digest, Size: int64(packed.Len()), Unpacked: sum.Bytes,
	}}
}

// Rel is one update, as tests write it.
func Rel(id program.UpdateID, kind program.KindID, day string, supersedes ...program.UpdateID) *update.Update {
	return &update.Update{ID: id, Title: string(id) + " title", Kind: kind, Released: civil.MustParse(day), Supersedes: supersedes}
}

// Clock is the vendor's time, and fit for devices.
func (v *Vendor) Clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Later moves the clock.
func (v *Vendor) Later(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

// Intercept puts a hook before every request; it answers by returning true. What
// was asked before is forgotten.
func (v *Vendor) Intercept(hook func(http.ResponseWriter, *http.Request) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hook, v.asked = hook, nil
}

func (v *Vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	hook := v.hook
	v.asked = append(v.asked, r.Method+" "+r.URL.Path)
	v.mu.Unlock()
	if hook == nil || !hook(w, r) {
		v.handler.ServeHTTP(w, r)
	}
}

// AskedFor is how many requests began so ("GET /content").
func (v *Vendor) AskedFor(prefix string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, path := range v.asked {
		if strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}

// Metadata serves what was published.
func (v *Vendor) Metadata(_ context.Context, name string) ([]byte, error) {
	set, err := v.Repo.Set()
	if err != nil {
		return nil, err
	}
	if body, ok := set[name]; ok {
		return body, nil
	}
	return nil, problem.New(problem.NotFound, depot.NotFound, "digest", name)
}

// Activate decides as every authority does, and keeps its counts in memory.
func (v *Vendor) Activate(_ context.Context, requests []string) ([]frontdoor.Answer, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []frontdoor.Answer
	for _, text := range requests {
		token, err := v.Answer(text)
		all = append(all, frontdoor.Answer{License: token, Err: err})
	}
	return all, nil
}

// Answer decides upon one request.
func (v *Vendor) Answer(text string) (license.Token, error) {
	r, err := activation.ParseRequest(text, v.Authority.ID)
	if err != nil {
		return "", err
	}
	had, known := v.seats[r.Fingerprint()][r.Ref]
	decision, err := activation.Decide(v.Program, v.Keys[r.Ref], r, known)
	if err != nil || decision.Outcome == activation.Repeat {
		return had, err
	}
	v.Keys[r.Ref].Used++
	c := v.Authority.Claims(v.t, licensetest.Device{Installation: r.Installation()}, decision.Track.ID, decision.Year.Year)
	c.Seat = decision.Seat
	token := v.Authority.Sign(v.t, c)
	if v.seats[r.Fingerprint()] == nil {
		v.seats[r.Fingerprint()] = map[productkey.Ref]license.Token{}
	}
	v.seats[r.Fingerprint()][r.Ref] = token
	return token, nil
}

// Report keeps what devices send.
func (v *Vendor) Report(_ context.Context, text string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Reports = append(v.Reports, text)
	if v.Refuse != nil {
		return v.Refuse(text)
	}
	return nil
}

type payloadBody struct{ *bytes.Reader }

func (payloadBody) Close() error { return nil }

// Payload opens what was released.
func (v *Vendor) Payload(_ context.Context, digest update.Digest) (*frontdoor.Payload, error) {
	body, ok := v.Payloads[digest]
	if !ok {
		return nil, problem.New(problem.NotFound, depot.NotFound, "digest", digest)
	}
	out := &frontdoor.Payload{Body: payloadBody{bytes.NewReader(body)}}
	for _, u := range v.Updates {
		for _, p := range u.Payloads {
			if p.SHA256 == digest {
				out.Updates = append(out.Updates, u)
			}
		}
	}
	return out, nil
}

// History is not asked by devices.
func (v *Vendor) History(context.Context, program.ID) (*wire.History, error) {
	return nil, problem.New(problem.NotFound, frontdoor.ProgramUnknown, "program", v.Program.ID)
}

// Verifier holds access requests to the authority's keys.
func (v *Vendor) Verifier(id program.ID) (license.Verifier, bool) {
	return license.Verifier{Program: v.Program, Keys: v.Authority.Keys}, id == v.Program.ID
}

// Key issues a product key for a year.
func (v *Vendor) Key(track program.TrackID, year program.Year, limit int) productkey.Key {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	found, _ := v.Program.Track(track)
	y, ok := found.Year(year)
	if !ok {
		v.t.Fatalf("no year %d", year)
	}
	var random [12]byte
	copy(random[:], track+program.TrackID(rune('0'+year)))
	random[11] = byte(len(v.Keys))
	key, err := productkey.New(productkey.Tag(y.Tag), random)
	fatal(v.t, err)
	v.Keys[key.Ref()] = &activation.KeyState{Program: v.Program.ID, Track: track, Year: year, MAC: key.MAC(), Limit: limit}
	return key
}
