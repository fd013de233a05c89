package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/agent/platform"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// EnrollIn is what a device enrolls as.
type EnrollIn struct {
	Server string
	// Anchor is "sha256:…" as the authority printed it, or the path of the
	// vendor's keyring file; never anything that the server says.
	Anchor  string
	Program program.ID // may be left out where the vendor has one
	// Edition is an id, a name or an alias.
	Edition    string
	Arch       program.Arch // the processor's when empty
	Components []program.ComponentID
	Folder     string             // the product's, below the root; opt/PROGRAM when empty
	Delivery   program.DeliveryID // the program's default when empty
	// Installed are updates that were there before the agent.
	Installed        []program.UpdateID
	OfflineImage     bool
	AuditMode        bool
	ProductActivated bool
	EmbeddedKeyRange bool
	// Again replaces an enrollment: the installation counts as a new one.
	Again bool
}

// Enrolled is what came of an enrollment.
type Enrolled struct {
	Authority license.AuthorityID `json:"authority"`
	Program   program.ID          `json:"program"`
	Name      string              `json:"name"`
	Edition   program.EditionID   `json:"edition"`
	Arch      program.Arch        `json:"arch"`
	Folder    string              `json:"folder"`
	Delivery  program.DeliveryID  `json:"delivery"`
	// Outside is why the edition is outside the program; the device runs on all
	// the same (rule P10).
	Outside *problem.Problem `json:"-"`
}

const (
	trustPartial = "trust.partial"
	maxKeyring   = 1 << 20
)

// Enroll pins whom to trust and says what the device is. The anchor comes from
// elsewhere than the server; authority and program come from what it verifies.
func (d *Device) Enroll(ctx context.Context, in EnrollIn) (*Enrolled, error) {
	var out *Enrolled
	err := d.act(ctx, func(j *journal) error {
		before, err := d.load()
		switch {
		case err == nil && !in.Again:
			return problem.New(problem.Conflict, AlreadyEnrolled, "server", before.identity.Server)
		case problem.CodeOf(err) == NotEnrolled:
			before = nil
		case err != nil && !in.Again:
			return err
		}
		anchor, err := readAnchor(in.Anchor)
		if err != nil {
			return err
		}
		server, err := d.client(in.Server)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(d.path(trustPartial)); err != nil {
			return err
		}
		k, err := d.pin(ctx, anchor, server, in)
		if err != nil {
			return errors.Join(err, os.RemoveAll(d.path(trustPartial)))
		}
		same := before != nil && before.identity.Authority == k.identity.Authority && before.identity.Program == k.identity.Program
		if err := d.replace(before, same); err != nil {
			return err
		}
		if same { // the same machine has what it had
			k.local.Installed = append(k.local.Installed, before.local.Installed...)
			k.local.Restarts, k.local.Boot, k.local.Released = before.local.Restarts, before.local.Boot, before.local.Released
			k.local.Installed = k.state.facts().Installed
		}
		if err := errors.Join(d.saveLocal(k.state), d.saveIdentity(k.state)); err != nil {
			return err
		}
		out = k.enrolled()
		j.say("ESU: enrolled with %s for %s as %s (%s)", out.Authority, out.Program, out.Edition, out.Arch)
		return nil
	})
	return out, err
}

func readAnchor(text string) (trust.Anchor, error) {
	if strings.HasPrefix(text, "sha256:") {
		return trust.ParseAnchor(text)
	}
	root, err := durable.ReadFile(text, maxKeyring)
	if err != nil { // neither a digest nor a file
		_, malformed := trust.ParseAnchor(text)
		return trust.Anchor{}, malformed
	}
	return trust.KeyringAnchor(root), nil
}

// pin verifies a server's metadata against the anchor, beside what may be there
// already, and reads from it what the device is.
func (d *Device) pin(ctx context.Context, anchor trust.Anchor, server *wire.Client, in EnrollIn) (*knowledge, error) {
	cfg := trust.Config{Folder: d.path(trustPartial), Now: d.cfg.Now}
	if in.Program != "" {
		cfg.Programs = []program.ID{in.Program}
	}
	client, err := trust.Open(cfg)
	if err != nil {
		return nil, err
	}
	if err := client.Enroll(ctx, anchor, fetcher(server)); err != nil {
		return nil, err
	}
	if err := client.Refresh(ctx, fetcher(server)); err != nil {
		return nil, err
	}
	if in.Program == "" {
		if in.Program, err = onlyProgram(client); err != nil {
			return nil, err
		}
	}
	s := &state{identity: identity{Server: server.Base(), Anchor: in.Anchor, Program: in.Program}}
	k := &knowledge{state: s, facts: s.facts()}
	if err := k.readTrust(client); err != nil {
		return nil, err
	}
	if err := k.describe(in); err != nil {
		return nil, err
	}
	k.identity.Authority = k.verifier.Keys.Authority()
	k.facts = k.state.facts()
	if err := k.facts.Check(); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	k.view = k.catalog.See(k.facts)
	return k, nil
}

func onlyProgram(client *trust.Client) (program.ID, error) {
	var names []string
	for _, role := range slices.Sorted(maps.Keys(client.Status().Versions)) {
		if !slices.Contains([]trust.Role{trust.Root, trust.Targets, trust.Snapshot, trust.Timestamp}, role) {
			names = append(names, string(role))
		}
	}
	if len(names) != 1 {
		return "", problem.New(problem.Invalid, ProgramUnnamed, "programs", names)
	}
	return program.ID(names[0]), nil
}

// describe fills in what the device is, in the program's terms.
func (k *knowledge) describe(in EnrollIn) error {
	p := k.program
	if strings.TrimSpace(in.Edition) == "" {
		var names []string
		for _, e := range p.Editions {
			if e.Ineligible == nil {
				names = append(names, string(e.ID))
			}
		}
		return problem.New(problem.Invalid, EditionUnnamed, "editions", names)
	}
	k.identity.Edition = program.EditionID(clipped(strings.TrimSpace(in.Edition), 64))
	if e, ok := p.EditionNamed(in.Edition); ok {
		k.identity.Edition = e.ID
	}
	k.identity.Arch = in.Arch
	if in.Arch == "" {
		for _, name := range platform.Architectures() {
			if slices.Contains(p.Architectures, program.Arch(name)) {
				k.identity.Arch = program.Arch(name)
				break
			}
		}
		if k.identity.Arch == "" {
			return problem.New(problem.Invalid, ArchitectureUnnamed, "architectures", p.Architectures)
		}
	}
	for _, c := range in.Components {
		if _, ok := p.Component(c); !ok {
			return problem.New(problem.Invalid, ComponentUnknown, "component", c, "program", p.Name)
		}
	}
	k.identity.Delivery = in.Delivery
	var channels []program.DeliveryID
	for _, c := range p.Delivery {
		channels = append(channels, c.ID)
		if in.Delivery == "" && c.Default {
			k.identity.Delivery = c.ID
		}
	}
	if in.Delivery != "" && !slices.Contains(channels, in.Delivery) {
		return problem.New(problem.Invalid, DeliveryUnknown, "channel", in.Delivery, "channels", channels)
	}
	k.identity.Folder = filepath.ToSlash(in.Folder)
	if in.Folder == "" {
		k.identity.Folder = path.Join("/opt", string(p.ID))
	}
	k.local = local{
		Components: in.Components, Installed: in.Installed, OfflineImage: in.OfflineImage, AuditMode: in.AuditMode,
		ProductActivated: in.ProductActivated, EmbeddedKeyRange: in.EmbeddedKeyRange,
	}
	return nil
}

func clipped(text string, limit int) string {
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// replace puts the new trust in the place of the old one; the old one, and all
// that was held under it, goes aside. Product keys stay for the same program.
func (d *Device) replace(before *state, same bool) error {
	if before != nil {
		folder := d.path(asideDir, stamp(d.cfg.Now()))
		if err := makeFolder(folder, 0o700); err != nil {
			return err
		}
		names := []string{identityFile, licensesDir, reportFile, keyFile, trustDir, downloadsDir}
		if !same {
			names = append(names, keysDir)
		}
		for _, name := range names {
			if err := d.moveAside(folder, name); err != nil {
				return err
			}
		}
	}
	// Without identity.json a trust folder is what an enrollment left that broke off.
	if err := os.RemoveAll(d.path(trustDir)); err != nil {
		return err
	}
	return os.Rename(d.path(trustPartial), d.path(trustDir))
}

func (k *knowledge) enrolled() *Enrolled {
	return &Enrolled{
		Authority: k.identity.Authority, Program: k.program.ID, Name: k.program.Name, Edition: k.facts.Edition,
		Arch: k.facts.Arch, Folder: k.identity.Folder, Delivery: k.identity.Delivery, Outside: k.outside(),
	}
}

// outside is why the device's edition is outside the program; nil when it is not.
func (k *knowledge) outside() *problem.Problem {
	switch {
	case k.view.Edition == nil:
		return coverage.Reason{Code: coverage.EditionUnknown}.Problem(k.view, nil)
	case k.view.Edition.Ineligible != nil:
		return coverage.Reason{Code: coverage.EditionIneligible}.Problem(k.view, nil)
	}
	return nil
}
