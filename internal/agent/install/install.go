// Package install puts the files of a release into a product's folder on a
// device, and takes them back when the release proves bad.
//
// Layout of a product's folder:
//
//	state.json                what is installed; the file that decides
//	current                   names the release that programs use
//	releases/<id>/            the current release and the one before it, the rollback slot
//	releases/.<id>.partial/   a release that is being unpacked
//
// On unix current is a symbolic link to releases/<id>, replaced by renaming a
// new link over it, so a path through it names the old release or the new one
// at every instant. On Windows a link needs a right of its own and nothing can
// be renamed over a folder, junctions included; there current is a regular file
// that holds the id, replaced by a rename that is as atomic, and programs read
// it when they start.
//
// Protocol. Each act first writes to state.json which release it is about to
// take away if it does not finish, then works, and writes state.json once more:
// that one rename is the moment at which an install or a rollback has happened.
// Whoever opens the folder after a crash (Recover, or the next act) points
// current at what state.json says and removes what it lists. So a crash at any
// point leaves the old release or the new one, whole, and no leftovers after
// the next act. Only releases that state.json names are ever removed.
//
// The package trusts no payload, although callers have verified its digest
// against a signed manifest: see Unpack. It does not decide whether an update
// may be installed (package coverage does), and it takes no lock: one process
// owns a device's state and runs one act on a product at a time.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Product is one product's folder, made by the first Install.
type Product struct {
	Dir string

	step func(string) // tests stop here; called around each change on the disk
}

// Options say how a release is unpacked and proven.
type Options struct {
	Limits      Limits // Total is what the signed manifest declares, exactly
	Check       Check  // runs before the switch
	AfterSwitch Check  // runs after it
}

// Install unpacks a payload as release id, runs its check, switches to it, runs
// the check after the switch, and keeps the release before it in the rollback
// slot. An error means that the release, the slot and current are what they
// were, unless it says that taking back failed too; then Recover finishes that.
// A release that is current already is left alone, and payload is not read.
func (p Product) Install(ctx context.Context, id program.UpdateID, payload io.Reader, opts Options) error {
	if !validID(id) {
		return problem.New(problem.Invalid, IDInvalid, "release", shown(string(id)))
	}
	if err := os.MkdirAll(p.Dir, folderMode); err != nil {
		return fmt.Errorf("install %s: %w", id, err)
	}
	f, err := p.open()
	if err != nil {
		return fmt.Errorf("install %s: %w", id, err)
	}
	defer f.close()
	done, err := f.admit(id)
	if done || err != nil {
		return err
	}
	if err := f.try(ctx, id, payload, opts); err != nil {
		err = fmt.Errorf("install %s: %w", id, diskFull(err))
		if undo := f.undo(); undo != nil {
			err = errors.Join(err, fmt.Errorf("take back %s: %w", id, undo))
		}
		return err
	}
	_ = f.clear() // the release stands; what cannot be removed yet stays listed for the next act
	return nil
}

// admit readies the folder for a release, and says whether it is there already.
func (f *folder) admit(id program.UpdateID) (done bool, err error) {
	if !f.known {
		// Without a state file nothing here is ours, so nothing may be replaced.
		for _, name := range []string{current, releases} {
			if err := f.absent(name); err != nil {
				return false, err
			}
		}
	}
	stale, err := f.settle()
	if err != nil {
		return false, fmt.Errorf("install %s: %w", id, err)
	}
	same := func(other program.UpdateID) bool { return twinKey(string(other)) == twinKey(string(id)) }
	switch {
	case same(f.state.Current):
		return true, nil
	case same(f.state.Previous):
		return false, problem.New(problem.Conflict, ReleaseKept, "release", string(id))
	case slices.ContainsFunc(f.state.Remove, same):
		return false, fmt.Errorf("install %s: %w", id, stale)
	}
	return false, errors.Join(f.absent(releaseDir(id)), f.absent(partialDir(id)))
}

// try does the work of an install up to the moment that makes it stand.
func (f *folder) try(ctx context.Context, id program.UpdateID, payload io.Reader, opts Options) error {
	old := f.state
	trial := old
	trial.Remove = append(slices.Clone(old.Remove), id)
	if err := f.save(trial); err != nil {
		return err
	}
	if err := f.unpack(ctx, id, payload, opts.Limits); err != nil {
		return err
	}
	if err := f.check(ctx, id, opts.Check); err != nil {
		return err
	}
	if err := f.point(id); err != nil {
		return err
	}
	if err := f.check(ctx, id, opts.AfterSwitch); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	stands := state{Current: id, Previous: old.Current, Remove: slices.Clone(old.Remove)}
	if old.Previous != "" {
		stands.Remove = append(stands.Remove, old.Previous)
	}
	return f.save(stands)
}

// unpack makes releases/<id>, whole and on the disk for good.
func (f *folder) unpack(ctx context.Context, id program.UpdateID, payload io.Reader, limits Limits) error {
	f.at("make releases")
	if err := f.root.Mkdir(releases, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := f.root.Chmod(releases, folderMode); err != nil {
		return err
	}
	f.at("make partial")
	if err := f.root.Mkdir(partialDir(id), 0o700); err != nil { // nobody else looks at half a release
		return err
	}
	dir, err := f.root.OpenRoot(partialDir(id))
	if err != nil {
		return err
	}
	f.at("unpack")
	sum, err := Unpack(ctx, payload, dir, limits)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	if sum.Bytes != limits.Total {
		return problem.New(problem.Invalid, SizeDiffers, "declared", limits.Total, "size", sum.Bytes)
	}
	if err := f.root.Chmod(partialDir(id), folderMode); err != nil {
		return err
	}
	if err := syncFolder(f.root, partialDir(id)); err != nil {
		return err
	}
	f.at("name release")
	if err := f.root.Rename(partialDir(id), releaseDir(id)); err != nil {
		return err
	}
	f.at("release named")
	return errors.Join(syncFolder(f.root, releases), syncFolder(f.root, "."))
}

// Current returns the release that is installed, and false when none is. It
// changes nothing; after a crash it tells what Recover will make of the folder.
func (p Product) Current() (program.UpdateID, bool, error) {
	s, err := p.read()
	return s.Current, s.Current != "", err
}

// Previous returns the release in the rollback slot, and false when it is empty.
func (p Product) Previous() (program.UpdateID, bool, error) {
	s, err := p.read()
	return s.Previous, s.Previous != "", err
}

func (p Product) read() (state, error) {
	f, err := p.open()
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer f.close()
	return f.state, nil
}

// Rollback makes the release in the rollback slot current, removes the one that
// was, and leaves the slot empty: a bad release does not come back by rolling
// back twice. No check runs; what is rolled back to has stood before.
func (p Product) Rollback(ctx context.Context) error {
	f, err := p.open()
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.Refused, NothingToRollBack, "folder", p.Dir)
	}
	if err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	defer f.close()
	if _, err := f.settle(); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	if f.state.Previous == "" {
		return problem.New(problem.Refused, NothingToRollBack, "folder", p.Dir)
	}
	if _, err := f.root.Stat(releaseDir(f.state.Previous)); err != nil {
		return fmt.Errorf("roll back to %s: %w", f.state.Previous, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	back := state{Current: f.state.Previous, Remove: append(slices.Clone(f.state.Remove), f.state.Current)}
	if err := f.save(back); err != nil {
		return fmt.Errorf("roll back to %s: %w", back.Current, err)
	}
	if _, err := f.settle(); err != nil {
		return fmt.Errorf("roll back to %s: %w", back.Current, err)
	}
	return nil
}

// Recover finishes what a crash left: afterwards current is what the state file
// says and there are no leftovers. Agents call it when they start. A release
// that cannot be removed, because a program still runs from it, is an error and
// stays listed; the next act tries again.
func (p Product) Recover(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := p.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover %s: %w", p.Dir, err)
	}
	defer f.close()
	stale, err := f.settle()
	if err = errors.Join(err, stale); err != nil {
		return fmt.Errorf("recover %s: %w", p.Dir, err)
	}
	return nil
}
