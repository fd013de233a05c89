package agent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

const (
	identityFile = "identity.json"
	factsFile    = "facts.json"
	keyFile      = "device.key"
	reportFile   = "report.json"
	trustDir     = "trust"
	keysDir      = "keys"
	licensesDir  = "licenses"
	downloadsDir = "downloads"
	asideDir     = "aside"
	closedDir    = "closed"

	keyEnding     = ".key"
	licenseEnding = ".jws"

	// format is that of the state's files.
	format = 1
	// maxFile bounds them, in bytes.
	maxFile = 1 << 20
)

// identity is identity.json: what the device is enrolled as, and what its
// installation is known by.
type identity struct {
	Format    int                 `json:"format"`
	Server    string              `json:"server"`
	Authority license.AuthorityID `json:"authority"`
	Anchor    string              `json:"anchor"`
	Program   program.ID          `json:"program"`
	Edition   program.EditionID   `json:"edition"`
	Arch      program.Arch        `json:"arch"`
	Folder    string              `json:"folder"` // the product's, below the root
	Delivery  program.DeliveryID  `json:"delivery,omitempty"`

	// Salt and Hash are made with the device key; there are none before the
	// first activation, and after Generalize.
	Salt digest `json:"salt,omitzero"`
	Hash digest `json:"identity,omitzero"`
	// SetAside is where a former installation's state went, until there is a new one.
	SetAside string `json:"setAside,omitempty"`
}

// local is facts.json: what this agent installed, and what people told it.
type local struct {
	Format     int                   `json:"format"`
	Components []program.ComponentID `json:"components,omitempty"`
	Installed  []program.UpdateID    `json:"installed,omitempty"`
	// Released is the day of each release that this agent put into a folder.
	Released         map[program.UpdateID]civil.Date `json:"released,omitempty"`
	OfflineImage     bool                            `json:"offlineImage,omitempty"`
	AuditMode        bool                            `json:"auditMode,omitempty"`
	ProductActivated bool                            `json:"productActivated,omitempty"`
	EmbeddedKeyRange bool                            `json:"embeddedKeyRange,omitempty"`
	// Restarts is how many are due, and Boot the start after which they are.
	Restarts int    `json:"restarts,omitempty"`
	Boot     string `json:"boot,omitempty"`
}

// digest is 32 bytes as hexadecimal digits.
type digest [32]byte

func (g digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(g[:])), nil }

func (g *digest) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(g) {
		return errors.New("not 64 hexadecimal digits")
	}
	*g = digest(raw)
	return nil
}

// state is the device as its files say.
type state struct {
	identity identity
	local    local
}

// load reads the state; a device that is not enrolled is agent.not-enrolled.
func (d *Device) load() (*state, error) {
	s := new(state)
	if err := d.readJSON(identityFile, &s.identity, &s.identity.Format); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, problem.New(problem.Refused, NotEnrolled, "root", d.cfg.Root)
		}
		return nil, hidden(err)
	}
	if err := d.readJSON(factsFile, &s.local, &s.local.Format); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, hidden(err)
	}
	if boot := d.system.Boot(); s.local.Restarts > 0 && s.local.Boot != "" && boot != "" && boot != s.local.Boot {
		s.local.Restarts, s.local.Boot = s.local.Restarts-1, boot
	}
	return s, nil
}

func (d *Device) readJSON(name string, into any, got *int) error {
	text, err := durable.ReadFile(d.path(name), maxFile)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	err = decoder.Decode(into)
	if err == nil && *got != format {
		err = fmt.Errorf("format %d; this program reads %d", *got, format)
	}
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("data after the document")
		}
	}
	if err != nil {
		return problem.New(problem.Refused, StateDamaged, "file", d.path(name), "what", err.Error()).Because(err)
	}
	return nil
}

func (d *Device) writeJSON(name string, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return durable.WriteFile(d.path(name), append(text, '\n'), 0o600)
}

func (d *Device) saveIdentity(s *state) error {
	s.identity.Format = format
	return d.writeJSON(identityFile, &s.identity)
}

func (d *Device) saveLocal(s *state) error {
	s.local.Format = format
	return d.writeJSON(factsFile, &s.local)
}

// facts are what the device says of itself.
func (s *state) facts() *device.Facts {
	f := &device.Facts{
		Program: s.identity.Program, Edition: s.identity.Edition, Arch: s.identity.Arch,
		Components: slices.Clone(s.local.Components), Installed: slices.Clone(s.local.Installed),
		RestartPending: s.local.Restarts > 0, OfflineImage: s.local.OfflineImage, AuditMode: s.local.AuditMode,
		ProductActivated: s.local.ProductActivated, EmbeddedKeyRange: s.local.EmbeddedKeyRange,
	}
	f.Normalize()
	return f
}

// installedKeys are the product keys on the device by activation id (rule K3).
func (d *Device) installedKeys() (map[program.ActivationID]productkey.Key, error) {
	keys := map[program.ActivationID]productkey.Key{}
	paths, err := filepath.Glob(filepath.Join(escape(d.path(keysDir)), "*"+keyEnding))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		id, err := program.ParseActivationID(strings.TrimSuffix(filepath.Base(path), keyEnding))
		if err != nil {
			continue // not ours
		}
		text, err := durable.ReadFile(path, maxFile)
		if err == nil {
			keys[id], err = productkey.Parse(strings.TrimSpace(string(text)))
		}
		if err != nil {
			return nil, problem.New(problem.Refused, StateDamaged, "file", path, "what", err.Error()).Because(err)
		}
	}
	return keys, nil
}

// escape makes a folder's path safe inside a pattern.
func escape(path string) string {
	if filepath.Separator == '\\' { // where patterns have no escapes, paths have no such characters
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (d *Device) keepKey(id program.ActivationID, key productkey.Key) error {
	if err := makeFolder(d.path(keysDir), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(d.path(keysDir, string(id)+keyEnding), []byte(key.Reveal()+"\n"), 0o600)
}

// stamp names a folder by the moment.
func stamp(t time.Time) string { return t.UTC().Format("20060102T150405.000Z") }
