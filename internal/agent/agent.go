// Package agent is one device: it enrolls, installs product keys, activates
// them, and installs the updates that it may have.
//
// It decides nothing by itself. What is genuine is trust's question, what is
// proven license's, whether a key may be installed activation's, and whether an
// update may be had coverage's; here these answers are fetched, acted upon,
// kept and written down. It prints nothing: acts return values and problems.
//
// # State
//
// All is files below ROOT/var/lib/esu, a folder that only its owner can read:
//
//	identity.json   enrollment; salt and salted hash of the system's identity
//	device.key      the installation's Ed25519 key, PKCS #8 in PEM
//	trust/          verified metadata (package trust)
//	keys/           product keys, a file for each activation id
//	licenses/       licenses, several for an activation id: NUMBER-ID.jws, as they came
//	facts.json      what is installed, and what was told at enrollment
//	downloads/      payloads by digest; DIGEST.partial while they arrive
//	closed/         lists of licenses that stay valid under closed keys
//	aside/          what belonged to an installation that is no more
//	servicing.log   the reason of each decision, for people and the troubleshooter
//	report.json     the counter of reports
//
// # Invariants
//
//   - One process changes a device at a time (durable.Lock for each act).
//   - The gate is asked before a download and again before an installation, of
//     every payload, wherever its bytes come from (rule D5).
//   - Nothing is installed whose digest no verified manifest has.
//   - What cannot be refreshed is told, and the last verified state goes on
//     being used: coverage that is held needs no server (rule K4).
//   - Without coverage only new updates stop (rule P10): no act here touches
//     what is installed.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/agent/platform"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
)

// Why an act on a device is refused, beside what the rules say.
const (
	// NotEnrolled is a device that does not know whom to trust yet.
	NotEnrolled problem.Code = "agent.not-enrolled"
	// AlreadyEnrolled is a second enrollment without saying so.
	AlreadyEnrolled problem.Code = "agent.already-enrolled"
	// ProgramUnnamed is an enrollment without a program, where the vendor has several or none.
	ProgramUnnamed problem.Code = "agent.program-unnamed"
	// ProgramUnpublished is a vendor who has not published keys or program yet.
	ProgramUnpublished problem.Code = "agent.program-unpublished"
	// EditionUnnamed is an enrollment that does not say which edition this is.
	EditionUnnamed problem.Code = "agent.edition-unnamed"
	// ArchitectureUnnamed is a processor that the program has no name for.
	ArchitectureUnnamed problem.Code = "agent.architecture-unnamed"
	// ComponentUnknown is a component that the program does not have.
	ComponentUnknown problem.Code = "agent.component-unknown"
	// DeliveryUnknown is a delivery channel that the program does not have.
	DeliveryUnknown problem.Code = "agent.delivery-unknown"
	// IdentityChanged is a device whose operating system is not the one that was activated (rule K7).
	IdentityChanged problem.Code = "agent.identity-changed"
	// StateDamaged is a file of the state that cannot be read.
	StateDamaged problem.Code = "agent.state-damaged"
	// StateExposed is a state that others than its owner and root may change.
	StateExposed problem.Code = "agent.state-exposed"
	// StateHidden is a state that this person may not read.
	StateHidden problem.Code = "agent.state-hidden"
	// NoKeyInstalled is an activation where there is nothing to activate.
	NoKeyInstalled problem.Code = "agent.no-key-installed"
	// AnswerForeign is an activation answer with no license for a key of this device.
	AnswerForeign problem.Code = "agent.answer-foreign"
	// NotOffered is an update that does not come on the device's channel (rule D2).
	NotOffered problem.Code = "agent.not-offered"
	// NoPayload is an update without bytes for this device.
	NoPayload problem.Code = "agent.no-payload"
	// InstallerUnknown is a payload for an installer that this agent does not have.
	InstallerUnknown problem.Code = "agent.installer-unknown"
	// NewerInstalled is an update in whose place a later one is already.
	NewerInstalled problem.Code = "agent.newer-installed"
	// PayloadTampered is bytes that are not those that the publishers signed.
	PayloadTampered problem.Code = "agent.payload-tampered"
	// PayloadIncomplete is a download that broke off.
	PayloadIncomplete problem.Code = "agent.payload-incomplete"
	// NotDownloaded is a payload that is not here, in a run that asks no server.
	NotDownloaded problem.Code = "agent.not-downloaded"
	// FileNotListed is a file that no verified manifest lists.
	FileNotListed problem.Code = "agent.file-not-listed"
	// UpdateUnknown is neither an update nor a file.
	UpdateUnknown problem.Code = "agent.update-unknown"
	// ManifestUnreadable is a signed manifest that this agent cannot use.
	ManifestUnreadable problem.Code = "agent.manifest-unreadable"
)

// Config says which device it is. The zero value is the running system.
type Config struct {
	Root   string           // "/" when empty
	Now    func() time.Time // the system's clock when nil
	Random io.Reader        // crypto/rand.Reader when nil
	Lang   string           // in which servers are asked to answer
	// Elevated replaces the platform's answer to whether the person may change
	// the device (rule K15).
	Elevated func() bool
	// Transport replaces the default way to servers.
	Transport http.RoundTripper
	// Stall is how long a download may bring nothing; a minute when zero.
	Stall time.Duration
}

// Device is one device. It holds no state of its own: every act reads the disk,
// so several processes may hold the same device.
type Device struct {
	cfg    Config
	system platform.System
	dir    string
}

// Open is the device at a root. Nothing is read yet.
func Open(c Config) *Device {
	if c.Root == "" {
		c.Root = string(filepath.Separator)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	d := &Device{cfg: c, system: platform.System{Root: c.Root}, dir: filepath.Join(c.Root, "var", "lib", "esu")}
	if d.cfg.Elevated == nil {
		d.cfg.Elevated = d.system.Elevated
	}
	return d
}

// LogFile is where the servicing log stands.
func (d *Device) LogFile() string { return d.path(logFile) }

func (d *Device) path(names ...string) string {
	return filepath.Join(append([]string{d.dir}, names...)...)
}

// act runs one act as the only process that changes the device: who may not is
// refused, and so is a device that another process changes (rule K15).
func (d *Device) act(ctx context.Context, do func(*journal) error) (err error) {
	if !d.cfg.Elevated() {
		return problem.New(problem.Refused, activation.NotElevated)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.own(); err != nil {
		return err
	}
	owner, err := durable.Lock(d.dir)
	if err != nil {
		return err
	}
	j := d.journal()
	defer func() { err = errors.Join(err, j.flush(), owner.Unlock()) }()
	return do(j)
}

// own makes the state's folder, or sees to it that nobody else can have written there.
func (d *Device) own() error {
	if err := makeFolder(d.dir, 0o700); err != nil {
		return err
	}
	if err := platform.Protect(d.dir, 0o700); err != nil { // somebody may have made it before
		return err
	}
	exposed, err := platform.Exposed(d.dir)
	if err == nil && exposed {
		err = problem.New(problem.Refused, StateExposed, "folder", d.dir)
	}
	return err
}

// makeFolder makes a folder, and the missing ones above it for all to read.
// Nobody but the system's administrators may change what is made here.
func makeFolder(path string, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := makeFolder(parent, 0o755); err != nil {
			return err
		}
	}
	if err := durable.MkdirAll(path, mode); err != nil {
		return err
	}
	return platform.Protect(path, mode)
}

// client speaks to the server that the device is enrolled with.
func (d *Device) client(url string) (*wire.Client, error) {
	return wire.NewClient(wire.Config{URL: url, Lang: d.cfg.Lang, Transport: d.cfg.Transport, Stall: d.cfg.Stall})
}

// hidden turns a state that this person may not read into the refusal that says so.
func hidden(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return problem.New(problem.Refused, StateHidden).Because(err)
	}
	return err
}

// remove removes a file that need not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
