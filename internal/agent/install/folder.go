package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const (
	stateFile = "state.json"
	current   = "current"
	releases  = "releases"
	fresh     = ".new" // ends the name of what is about to be renamed
)

func releaseDir(id program.UpdateID) string { return releases + "/" + string(id) }
func partialDir(id program.UpdateID) string { return releases + "/." + string(id) + ".partial" }

// state is what state.json holds. Ids in Remove are releases on the disk that
// are not to stay: being tried, replaced or rolled back from.
type state struct {
	Current  program.UpdateID   `json:"current,omitempty"`
	Previous program.UpdateID   `json:"previous,omitempty"`
	Remove   []program.UpdateID `json:"remove,omitempty"`
}

func (s state) valid() bool {
	for _, id := range append([]program.UpdateID{s.Current, s.Previous}, s.Remove...) {
		if id != "" && !validID(id) {
			return false
		}
	}
	if s.Previous != "" && (s.Current == "" || s.Previous == s.Current) {
		return false
	}
	return !slices.ContainsFunc(s.Remove, func(id program.UpdateID) bool {
		return id == "" || id == s.Current || id == s.Previous
	})
}

func validID(id program.UpdateID) bool {
	_, err := program.ParseUpdateID(string(id))
	return err == nil && checkPath(string(id)) == nil
}

// folder is a product's folder while an act has it open.
type folder struct {
	dir   string // absolute; only for running checks
	root  *os.Root
	state state
	known bool // a state file stands
	step  func(string)
}

func (p Product) open() (*folder, error) {
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, root: root, step: p.step}
	if err := f.load(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *folder) close() { _ = f.root.Close() } // a handle of a folder; nothing is written by closing it

func (f *folder) at(step string) {
	if f.step != nil {
		f.step(step)
	}
}

func (f *folder) load() error {
	file, err := f.root.Open(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close() // only read
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&f.state)
	if err == nil && (!f.state.valid() || d.More()) {
		err = errors.New("it contradicts itself")
	}
	if err != nil {
		return problem.New(problem.Conflict, StateDamaged, "folder", f.dir).Because(err)
	}
	f.known = true
	return nil
}

// save makes s the state, in one rename. When it fails, f.state is the old one
// and the disk may hold either.
func (f *folder) save(s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f.at("write state")
	if err := f.write(stateFile+fresh, append(text, '\n')); err != nil {
		return err
	}
	f.at("put state")
	if err := f.root.Rename(stateFile+fresh, stateFile); err != nil {
		return err
	}
	f.at("state put")
	if err := syncFolder(f.root, "."); err != nil {
		return err
	}
	f.state, f.known = s, true
	return nil
}

func (f *folder) write(name string, text []byte) (err error) {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.Write(text)
	return errors.Join(err, file.Sync())
}

// point makes current name a release, or none. A current that is not of our
// making is left where it is.
func (f *folder) point(id program.UpdateID) error {
	named := pointer(f.root)
	switch {
	case named == id:
		return nil
	case named != "" && !validID(named):
		return f.absent(current)
	case id == "":
		f.at("drop current")
		if err := f.root.Remove(current); err != nil {
			return err
		}
	default:
		f.at("write current")
		if err := errors.Join(f.drop(current+fresh), f.writePointer(id)); err != nil {
			return err
		}
		f.at("put current")
		if err := f.root.Rename(current+fresh, current); err != nil {
			return err
		}
	}
	f.at("current put")
	return syncFolder(f.root, ".")
}

// settle makes the disk agree with the state. Stale is why a release could not
// be removed; it stays listed, and harms nothing but the space that it takes.
func (f *folder) settle() (stale, err error) {
	if !f.known {
		return nil, nil
	}
	if err := f.point(f.state.Current); err != nil {
		return nil, err
	}
	return f.clear(), nil
}

// undo brings back what stood before a failed try. The state is written anew,
// because a save that failed may have reached the disk.
func (f *folder) undo() error {
	if err := f.save(f.state); err != nil {
		return err
	}
	stale, err := f.settle()
	return errors.Join(err, stale)
}

func (f *folder) clear() error {
	var kept []program.UpdateID
	var errs []error
	for _, id := range f.state.Remove {
		f.at("remove release")
		err := errors.Join(f.root.RemoveAll(releaseDir(id)), f.root.RemoveAll(partialDir(id)))
		if err != nil {
			kept = append(kept, id)
			errs = append(errs, err)
		}
	}
	f.at("drop leftovers")
	errs = append(errs, f.drop(stateFile+fresh), f.drop(current+fresh))
	if len(f.state.Remove) > len(kept) {
		if err := syncFolder(f.root, releases); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		s := f.state
		s.Remove = kept
		errs = append(errs, f.save(s))
	}
	return errors.Join(errs...)
}

func (f *folder) drop(name string) error {
	if err := f.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// absent refuses a name that is taken.
func (f *folder) absent(name string) error {
	_, err := f.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for %s: %w", name, err)
	}
	return problem.New(problem.Conflict, FolderInUse, "folder", f.dir, "name", name)
}
