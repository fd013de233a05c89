// Package device is what a device says of itself. It is a claim and never
// proof: it explains and is kept for audit, and it decides nothing that a
// license does not allow as well.
//
// Facts travel and are stored in one canonical form (RFC 8785), so that equal
// devices have equal digests and a fleet of thousands holds a handful of
// distinct Facts.
package device

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gowebpki/jcs"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Limits of what one device may say.
const (
	MaxFacts     = 256 << 10 // bytes
	MaxInstalled = 4096
)

// FactsMalformed is a document that is no Facts.
const FactsMalformed problem.Code = "device.facts-malformed"

// Facts are one device's state as far as a program cares.
type Facts struct {
	Program    program.ID            `json:"program"`
	Edition    program.EditionID     `json:"edition"`
	Arch       program.Arch          `json:"arch"`
	Components []program.ComponentID `json:"components,omitempty"` // sorted
	Installed  []program.UpdateID    `json:"installed,omitempty"`  // sorted

	RestartPending bool `json:"restartPending,omitempty"`
	OfflineImage   bool `json:"offlineImage,omitempty"`
	AuditMode      bool `json:"auditMode,omitempty"`
	// ProductActivated and EmbeddedKeyRange speak of the product's own key (rule D9).
	ProductActivated bool `json:"productActivated,omitempty"`
	EmbeddedKeyRange bool `json:"embeddedKeyRange,omitempty"`
}

// Normalize sorts the lists and drops what stands twice, so that two devices in
// the same state say the same.
func (f *Facts) Normalize() {
	slices.Sort(f.Components)
	f.Components = slices.Compact(f.Components)
	slices.Sort(f.Installed)
	f.Installed = slices.Compact(f.Installed)
}

// Has reports whether the update is installed.
func (f *Facts) Has(id program.UpdateID) bool {
	_, ok := slices.BinarySearch(f.Installed, id)
	return ok
}

// HasComponent reports whether the component is there.
func (f *Facts) HasComponent(id program.ComponentID) bool {
	_, ok := slices.BinarySearch(f.Components, id)
	return ok
}

// Canonical is the RFC 8785 form of the facts.
func (f *Facts) Canonical() ([]byte, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode facts: %w", err)
	}
	return jcs.Transform(text)
}

// Digest identifies the facts by their canonical form.
func (f *Facts) Digest() ([sha256.Size]byte, error) {
	text, err := f.Canonical()
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(text), nil
}

// ParseFacts reads facts strictly: no unknown member, sorted lists, sane ids.
func ParseFacts(text []byte) (*Facts, error) {
	malformed := func(err error) error {
		return problem.New(problem.Invalid, FactsMalformed, "what", err.Error()).Because(err)
	}
	if len(text) > MaxFacts {
		return nil, malformed(fmt.Errorf("more than %d bytes", MaxFacts))
	}
	f := new(Facts)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed(errors.New("data after the document"))
	}
	if err := f.Check(); err != nil {
		return nil, malformed(err)
	}
	return f, nil
}

// Check reports what is wrong with the form of the facts.
func (f *Facts) Check() error {
	if _, err := program.ParseID(string(f.Program)); err != nil {
		return err
	}
	if len(f.Installed) > MaxInstalled || len(f.Components) > MaxInstalled {
		return fmt.Errorf("more than %d installed updates or components", MaxInstalled)
	}
	for i, id := range f.Installed {
		if _, err := program.ParseUpdateID(string(id)); err != nil {
			return err
		}
		if i > 0 && f.Installed[i-1] >= id {
			return errors.New("installed updates are not sorted")
		}
	}
	for i, id := range f.Components {
		if id == "" || len(id) > 64 || i > 0 && f.Components[i-1] >= id {
			return errors.New("components are not sorted names")
		}
	}
	if f.Edition == "" || len(f.Edition) > 64 || f.Arch == "" || len(f.Arch) > 64 {
		return errors.New("no edition or no architecture")
	}
	return nil
}
