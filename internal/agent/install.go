package agent

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const (
	// installerFiles is the installer that puts files into the product's folder.
	installerFiles = "files"
	// addOns is the folder, below the product's, of what is no release of the
	// product itself.
	addOns = "add-ons"
)

// line is the folder in which an update's files replace those of the one before.
// Cumulative updates of the product itself are its releases. Other cumulative
// ones have a line for each component or kind, and what is not cumulative has a
// folder of its own, so that nothing replaces what it does not contain.
func (k *knowledge) line(root string, e *update.Entry) install.Product {
	product := filepath.Join(root, filepath.FromSlash(k.identity.Folder))
	kind, _ := k.program.Kind(e.Kind)
	switch {
	case kind == nil || !kind.Cumulative:
		return install.Product{Dir: filepath.Join(product, addOns, string(e.ID))}
	case e.Component != "":
		return install.Product{Dir: filepath.Join(product, addOns, string(e.Component))}
	case e.Ungated:
		return install.Product{Dir: filepath.Join(product, addOns, string(e.Kind))}
	}
	return install.Product{Dir: product}
}

// goesBack refuses an update that is older than the release in whose place it
// would come. A release that was withdrawn is in no catalog any more, so its day
// was noted when it was installed; where nobody knows it, it counts as newer than
// all but what names it. Only a rollback goes back.
func (d *Device) goesBack(k *knowledge, e *update.Entry) error {
	current, there, err := k.line(d.cfg.Root, e).Current()
	if err != nil || !there || current == e.ID || slices.Contains(e.Supersedes, current) {
		return err
	}
	day, noted := k.local.Released[current]
	newer := !noted || !day.Before(e.Released)
	if listed, ok := k.catalog.Find(current); ok {
		newer = listed.Released.After(e.Released)
	}
	if newer {
		return problem.New(problem.Refused, NewerInstalled, "update", e.ID, "other", current)
	}
	return nil
}

// put installs a payload from the bytes that were verified.
func (d *Device) put(ctx context.Context, k *knowledge, e *update.Entry, p *update.Payload, payload io.Reader) error {
	// Noted before: a crash must not leave a release whose day nobody knows.
	if k.local.Released == nil {
		k.local.Released = map[program.UpdateID]civil.Date{}
	}
	k.local.Released[e.ID] = e.Released
	if err := d.saveLocal(k.state); err != nil {
		return err
	}
	product := k.line(d.cfg.Root, e)
	if err := makeFolder(product.Dir, 0o755); err != nil {
		return err
	}
	check := install.Check{Path: p.Check}
	return product.Install(ctx, e.ID, payload, install.Options{
		Limits: install.Limits{Total: p.Unpacked}, Check: check, AfterSwitch: check,
	})
}

// recover finishes what a crash left in the product's folders. One that it cannot
// mend holds back what goes there, and nothing else (rule D15).
func (d *Device) recover(ctx context.Context, k *knowledge, j *journal) error {
	product := filepath.Join(d.cfg.Root, filepath.FromSlash(k.identity.Folder))
	folders := []string{product}
	entries, err := os.ReadDir(filepath.Join(product, addOns))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.failed(k.program, addOns, err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			folders = append(folders, filepath.Join(product, addOns, entry.Name()))
		}
	}
	for _, folder := range folders {
		if err := (install.Product{Dir: folder}).Recover(ctx); err != nil {
			j.failed(k.program, folder, err)
		}
	}
	return ctx.Err()
}

// InstallFile installs one update: by its id, or from a payload file that
// somebody brought. The gate is asked as ever, and the bytes must be those that
// a verified manifest lists: a file copied by hand is no way round (rule D5). A
// file may be installed whatever the device's channel has (rule D2).
func (d *Device) InstallFile(ctx context.Context, name string, in UpdateIn) (*Outcome, error) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		id, err := program.ParseUpdateID(name)
		if err != nil {
			return nil, problem.New(problem.NotFound, UpdateUnknown, "name", clipped(name, 200)).Because(err)
		}
		in.Only = []program.UpdateID{id}
		return d.Update(ctx, in)
	}
	out := &Outcome{Updates: []Attempt{}}
	err = d.act(ctx, func(j *journal) error {
		k, err := d.ready(ctx, j, !in.Offline, out)
		if err != nil {
			return err
		}
		e, p, err := d.take(ctx, k, name)
		if err != nil {
			j.refused(k.program, "file", err)
			return err
		}
		r, err := d.runner(k, j, in)
		if err != nil {
			return err
		}
		f := k.find(e)
		j.decision(k, e, coverage.Verdict{State: f.State, Reasons: f.Reasons})
		a := refusal(&f)
		switch {
		case f.State == coverage.Installed:
			r.discard(string(p.SHA256))
			return nil
		case f.Allowed:
			a.Result, a.Err = r.bring(ctx, e, false)
		}
		out.Updates, out.RestartPending = append(out.Updates, a), k.facts.RestartPending
		return ctx.Err()
	})
	return out, err
}

// take finds the update whose payload a file is, and copies the file to where
// nobody else can change it.
func (d *Device) take(ctx context.Context, k *knowledge, name string) (*update.Entry, *update.Payload, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // only read
	digest, size, err := digestFile(ctx, f, update.MaxPayload)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range k.catalog.All() {
		for i := range e.Payloads {
			p := &e.Payloads[i]
			if p.SHA256 != digest || p.Size != size {
				continue
			}
			if own, ok := e.PayloadFor(k.facts.Arch); !ok || own.SHA256 != digest {
				return nil, nil, problem.New(problem.Refused, coverage.NotForArchitecture, "update", e.ID, "arch", k.facts.Arch)
			}
			return e, p, d.copy(ctx, f, p)
		}
	}
	return nil, nil, problem.New(problem.Refused, FileNotListed, "file", filepath.Base(name), "digest", digest)
}

func (d *Device) copy(ctx context.Context, from *os.File, p *update.Payload) error {
	if err := d.ensureDownloads(); err != nil {
		return err
	}
	path := d.path(downloadsDir, string(p.SHA256))
	if same, err := fileMatches(ctx, path, p); err == nil && same {
		return nil
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	to, err := os.OpenFile(path+partialEnding, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.LimitReader(&meter{ctx: ctx, r: from}, p.Size))
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.Rename(path+partialEnding, path) // install verifies the copy
}
