// Package update has the signed manifest of a release, the catalog that a set
// of manifests makes, and the calendar that releases follow.
//
// An update's coverage years are fixed when it is released, one per track, from
// the release day (rule K4); nothing here asks a clock. A Catalog closes
// supersedence and prerequisites once, so that the gate only looks bits up, and
// See does the same for what one device has installed.
package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Limits of one manifest.
const (
	MaxManifest = 256 << 10 // bytes
	MaxPayloads = 64
	MaxPayload  = 1 << 40 // bytes, packed or unpacked
)

// ManifestMalformed is a document that is no manifest.
const ManifestMalformed problem.Code = "update.manifest-malformed"

// Update is the manifest of one release.
type Update struct {
	ID        program.UpdateID    `json:"id"`
	Program   program.ID          `json:"program"`
	Title     string              `json:"title"`
	Kind      program.KindID      `json:"kind"`
	Rating    program.Rating      `json:"rating,omitempty"`
	Component program.ComponentID `json:"component,omitempty"`
	Released  civil.Date          `json:"released"`
	OutOfBand bool                `json:"outOfBand,omitempty"` // rule D3

	// Editions are the exact editions that it is for; none stands for every
	// eligible edition on a track of Years. Architectures likewise.
	Editions      []program.EditionID `json:"editions,omitempty"`
	Architectures []program.Arch      `json:"architectures,omitempty"`

	// Years says what coverage it needs on each track that it is for; Free is
	// none. A track that is not named is not served.
	Years   map[program.TrackID]program.Year `json:"years"`
	Ungated bool                             `json:"ungated,omitempty"` // rule P8

	Supersedes []program.UpdateID   `json:"supersedes,omitempty"`
	NotOn      []program.DeliveryID `json:"notOn,omitempty"` // rule D2
	Fixes      []string             `json:"fixes,omitempty"` // CVE ids
	Payloads   []Payload            `json:"payloads,omitempty"`
}

// Payload is one file of an update.
type Payload struct {
	Name          string         `json:"name"`
	Installer     string         `json:"installer"` // "files", …
	Architectures []program.Arch `json:"architectures,omitempty"`
	SHA256        Digest         `json:"sha256"`
	Size          int64          `json:"size"`
	Unpacked      int64          `json:"unpacked,omitempty"` // bytes; an installer stops past it
	// Check is a program inside the payload that says whether the installed
	// product works; an installer goes back when it fails.
	Check string `json:"check,omitempty"`
}

// Digest is a SHA-256 in lower-case hexadecimal.
type Digest string

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseDigest reads a digest.
func ParseDigest(s string) (Digest, error) {
	if !digest.MatchString(s) {
		return "", fmt.Errorf("%q is no SHA-256 digest in lower-case hexadecimal", s)
	}
	return Digest(s), nil
}

// ParseManifest reads a manifest strictly.
func ParseManifest(text []byte) (*Update, error) {
	malformed := func(err error) error {
		return problem.New(problem.Invalid, ManifestMalformed, "what", err.Error()).Because(err)
	}
	if len(text) > MaxManifest {
		return nil, malformed(fmt.Errorf("more than %d bytes", MaxManifest))
	}
	u := new(Update)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(u); err != nil {
		return nil, malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed(errors.New("data after the document"))
	}
	if err := u.check(); err != nil {
		return nil, malformed(err)
	}
	return u, nil
}

// Manifest is the document that ParseManifest reads. The same update always
// gives the same bytes.
func (u *Update) Manifest() ([]byte, error) {
	if err := u.check(); err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", u.ID, err)
	}
	return json.Marshal(u)
}

func (u *Update) check() error {
	if _, err := program.ParseUpdateID(string(u.ID)); err != nil {
		return err
	}
	if _, err := program.ParseID(string(u.Program)); err != nil {
		return err
	}
	if u.Kind == "" || u.Released.IsZero() {
		return errors.New("no kind or no release day")
	}
	if len(u.Years) == 0 {
		return errors.New("no track")
	}
	for track, year := range u.Years {
		if track == "" || year < program.Free || year > program.MaxYear {
			return fmt.Errorf("year %d on track %q", year, track)
		}
	}
	for _, id := range u.Supersedes {
		if _, err := program.ParseUpdateID(string(id)); err != nil {
			return err
		}
		if id == u.ID {
			return errors.New("it supersedes itself")
		}
	}
	if len(u.Payloads) > MaxPayloads {
		return fmt.Errorf("more than %d payloads", MaxPayloads)
	}
	for _, p := range u.Payloads {
		if _, err := ParseDigest(string(p.SHA256)); err != nil {
			return err
		}
		if p.Name == "" || p.Installer == "" || p.Size < 0 || p.Size > MaxPayload || p.Unpacked < 0 || p.Unpacked > MaxPayload {
			return fmt.Errorf("payload %q: name, installer or size", p.Name)
		}
	}
	return nil
}

// PayloadFor is the payload for an architecture.
func (u *Update) PayloadFor(arch program.Arch) (*Payload, bool) {
	for i := range u.Payloads {
		if p := &u.Payloads[i]; len(p.Architectures) == 0 || slices.Contains(p.Architectures, arch) {
			return p, true
		}
	}
	return nil, false
}
