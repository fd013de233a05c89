// Package licensetest makes authorities, devices and licenses for tests. All is
// real: keys are made, tokens are signed, and a Set comes from license.Verify.
// Only randomness is not: the same names give the same keys.
package licensetest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/program"
)

// issued is when licenses are issued that do not say when.
func issued() time.Time { return time.Date(2020, time.February, 3, 9, 0, 0, 0, time.UTC) }

// Key is the private key of a name.
func Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Device is a device with its key.
type Device struct {
	Key      ed25519.PrivateKey
	Identity [32]byte // salted hash of the operating system's identity
	license.Installation
}

// NewDevice is the device of a name.
func NewDevice(name string) Device {
	d := Device{Key: Key("device " + name), Identity: sha256.Sum256([]byte("identity of " + name))}
	d.Installation = license.InstallationOf(license.PublicKey(d.Key.Public().(ed25519.PublicKey)), d.Identity)
	return d
}

// Authority signs licenses and access tokens for one program.
type Authority struct {
	ID      license.AuthorityID
	Program *program.Program
	License ed25519.PrivateKey // known as "license-1"
	Access  ed25519.PrivateKey // known as "access-1"
	Keys    license.Keys       // what trust/keys.json says

	last int // license issued last
}

// NewAuthority is the authority of a name, for a program.
func NewAuthority(t testing.TB, name license.AuthorityID, p *program.Program) *Authority {
	t.Helper()
	a := &Authority{ID: name, Program: p, License: Key("license " + string(name)), Access: Key("access " + string(name))}
	keys, err := license.NewKeys(name,
		license.VerificationKey{ID: "license-1", Use: license.UseLicense, Program: p.ID, Epoch: 1, Public: public(a.License)},
		license.VerificationKey{ID: "access-1", Use: license.UseAccess, Program: p.ID, Epoch: 1, Public: public(a.Access)})
	if err != nil {
		t.Fatal(err)
	}
	a.Keys = keys
	return a
}

func public(key ed25519.PrivateKey) license.KeyBytes {
	return license.KeyBytes(key.Public().(ed25519.PublicKey))
}

// Claims are those of a device's next license for a year: online, or hosted
// where the year is for hosted devices only.
func (a *Authority) Claims(t testing.TB, d Device, track program.TrackID, year program.Year) license.Claims {
	t.Helper()
	found, ok := a.Program.Track(track)
	if !ok {
		t.Fatalf("program %s has no track %q", a.Program.ID, track)
	}
	y, ok := found.Year(year)
	if !ok {
		t.Fatalf("track %s has no year %d", track, year)
	}
	a.last++
	c := license.Claims{
		ID: license.ID(fmt.Sprintf("lic-%04d", a.last)), Authority: a.ID, Program: a.Program.ID,
		Track: track, Year: year, ActivationID: y.ActivationID,
		Fingerprint: d.Fingerprint, PublicKey: d.PublicKey, Customer: "Contoso",
		LastFive: "WXY23", Seat: a.last, Kind: license.Online, IssuedAt: license.At(issued()),
	}
	if y.Only == program.OnlyCloud {
		c.Kind, c.LastFive, c.Seat, c.ExpiresAt = license.Hosted, "", 0, license.At(issued().AddDate(0, 0, 90))
	}
	return c
}

// Sign makes the license that c describes.
func (a *Authority) Sign(t testing.TB, c license.Claims) license.Token {
	t.Helper()
	token, err := license.Sign(c, "license-1", a.License)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Verifier holds licenses of a device to this authority's keys, on the day on
// which they are issued.
func (a *Authority) Verifier(d Device) license.Verifier {
	return license.Verifier{Program: a.Program, Keys: a.Keys, Installation: d.Installation, Now: issued()}
}

// Set is what a device holds that has these years of a program; a grant with a
// day is ended from there.
func Set(t testing.TB, p *program.Program, grants ...license.Grant) license.Set {
	t.Helper()
	a, d := NewAuthority(t, "contoso", p), NewDevice("licensed")
	v := a.Verifier(d)
	tokens := make([]license.Token, 0, len(grants))
	ended := map[license.ID]civil.Date{}
	for _, g := range grants {
		c := a.Claims(t, d, g.Track, g.Year)
		if !g.Until.IsZero() {
			ended[c.ID] = g.Until
		}
		tokens = append(tokens, a.Sign(t, c))
	}
	var err error
	if v.Ended, err = license.NewEnded(ended); err != nil {
		t.Fatal(err)
	}
	set, rejected := license.Verify(v, tokens)
	for _, r := range rejected {
		t.Fatalf("license %d for %v: %v", r.Index, grants[r.Index], r.Problem)
	}
	return set
}
