package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// state is the index of a client's folder. Files lie in files/ under their
// SHA-256 and never change; state.json says which of them make up the state, so
// replacing that one file moves a client from one state to the next as one act.
type state struct {
	// Root is the version that the verified state stands under; 0: none yet.
	Root int64 `json:"root"`
	// Programs are the ones that it follows.
	Programs []program.ID `json:"programs"`
	// Files are digests by served name.
	Files map[string]string `json:"files"`

	folder string
}

const (
	stateFile = "state.json"
	filesDir  = "files"
	// maxState bounds state.json: some hundred thousand files.
	maxState = 64 << 20
)

func newState(folder string) *state { return &state{Files: map[string]string{}, folder: folder} }

// openState reads the index; nil when there is none.
func openState(folder string) (*state, error) {
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open trust: %w", err)
	}
	// Windows keeps no such mode bits; there the folder's rights protect it.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return nil, problem.New(problem.Refused, StateExposed, "folder", folder)
	}
	text, err := durable.ReadFile(filepath.Join(folder, stateFile), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open trust: %w", err)
	}
	st := newState(folder)
	if err := json.Unmarshal(text, st); err != nil || len(st.Files) == 0 || st.newest() == 0 {
		return nil, problem.New(problem.Refused, StateDamaged, "folder", folder).Because(err)
	}
	return st, nil
}

// makeFolder makes the folders that are missing; they may be read by all.
func makeFolder(folder string) error { return durable.MkdirAll(filepath.Join(folder, filesDir), 0o755) }

func (s *state) path(digest string) string { return filepath.Join(s.folder, filesDir, digest) }

// source reads a file of the state; it is what its digest says.
func (s *state) source(name string, limit int64) ([]byte, error) {
	digest, ok := s.Files[name]
	if raw, err := hex.DecodeString(digest); !ok || err != nil || len(raw) != sha256.Size {
		return nil, fs.ErrNotExist
	}
	data, err := durable.ReadFile(s.path(digest), limit)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%s has changed on the disk", name)
	}
	return data, nil
}

// put adds a file under a served name, on the disk before it returns.
func (s *state) put(name string, data []byte) error {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	s.Files[name] = digest
	if there, err := os.ReadFile(s.path(digest)); err == nil && bytes.Equal(there, data) {
		return nil
	}
	return durable.WriteFile(s.path(digest), data, 0o644)
}

// advance makes the state of a verified view: its metadata, the roots up to now,
// and every listed file, from the folder or else from get.
func (s *state) advance(view *verified, get source) (*state, error) {
	next := newState(s.folder)
	next.Root = view.versions[Root]
	next.Programs = sortedKeys(view.programs)
	for name, digest := range s.Files {
		if isRoot(name) {
			next.Files[name] = digest
		}
	}
	for name, data := range view.files {
		if err := next.put(name, data); err != nil {
			return nil, err
		}
	}
	for _, e := range view.entries() {
		name := e.name()
		next.Files[name] = hex.EncodeToString(e.SHA256[:])
		if data, err := next.source(name, e.Length); err == nil && fits(name, data, e.Length, e.SHA256[:]) == nil {
			continue
		}
		data, err := fetchListed(get, name, e.Length, e.SHA256[:], maxTarget)
		if err != nil {
			return nil, err
		}
		if err := next.put(name, data); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// save makes this the folder's state.
func (s *state) save() error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.folder, stateFile), text, 0o644)
}

// prune removes the files that no state needs any more. What it cannot remove
// does no harm and is tried again next time.
func (s *state) prune() {
	needed := map[string]bool{}
	for _, digest := range s.Files {
		needed[digest] = true
	}
	there, _ := os.ReadDir(filepath.Join(s.folder, filesDir))
	for _, file := range there {
		if !needed[file.Name()] {
			_ = os.Remove(s.path(file.Name()))
		}
	}
}

func (s *state) clone() *state {
	c := *s
	c.Files = maps.Clone(s.Files)
	return &c
}

func (s *state) equal(t *state) bool { return reflect.DeepEqual(s, t) }

// newest is the newest root's version, and first the name of the oldest.
func (s *state) newest() int64 {
	_, newest := s.rootRange()
	return newest
}

func (s *state) first() string {
	first, _ := s.rootRange()
	return versioned(Root, first)
}

func (s *state) rootRange() (first, newest int64) {
	for name := range s.Files {
		if v, ok := rootVersion(name); ok {
			newest = max(newest, v)
			if first == 0 || v < first {
				first = v
			}
		}
	}
	return first, newest
}

func rootVersion(name string) (int64, bool) {
	number, ok := strings.CutSuffix(name, "."+metaName(Root))
	v, err := strconv.ParseInt(number, 10, 64)
	return v, ok && err == nil && v > 0
}

func isRoot(name string) bool {
	_, ok := rootVersion(name)
	return ok
}
