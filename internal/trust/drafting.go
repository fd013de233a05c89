package trust

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// RootKeys is what a root says: who holds which top-level role.
type RootKeys struct {
	Root, Targets       Signers
	Snapshot, Timestamp ed25519.PublicKey
}

// TargetsChange is what the next version of targets does. Its zero value only
// signs anew.
type TargetsChange struct {
	Keys, Ended []byte                 // the new trust/keys.json and trust/ended.json; nil: as before
	Files       map[program.ID][]byte  // programs/<id>.json to add or replace
	Publishers  map[program.ID]Signers // delegations to add or replace; threshold 0 means two
	Revoke      []ed25519.PublicKey    // taken from every program
}

// Release is one update to list.
type Release struct {
	Update   program.UpdateID
	Manifest []byte
	Released time.Time
}

// ProgramChange is what the next version of a program's role does. Its zero
// value only signs anew.
type ProgramChange struct {
	Add      []Release
	Withdraw []program.UpdateID
}

// RootKeys reads the newest root, for the next one to be drafted from.
func (r Repository) RootKeys() (RootKeys, error) {
	_, keys, err := parseRoot(metaName(Root), r.root())
	return keys, err
}

// Publishers reads who may sign for which program.
func (r Repository) Publishers() (map[program.ID]Signers, error) {
	targets, err := parse[metadata.TargetsType](metaName(Targets), r.Targets)
	if err != nil {
		return nil, err
	}
	return delegations(targets)
}

func rootKeys(root *metadata.Metadata[metadata.RootType]) (keys RootKeys, err error) {
	read := map[Role]Signers{}
	for _, role := range []Role{Root, Targets, Snapshot, Timestamp} {
		r := root.Signed.Roles[string(role)]
		if r == nil {
			return keys, problem.New(problem.Invalid, Malformed, "name", metaName(Root))
		}
		s, err := signers(r.KeyIDs, root.Signed.Keys, r.Threshold)
		if err == nil && len(s.Keys) == 0 {
			err = fmt.Errorf("no keys for %s", role)
		}
		if err != nil {
			return keys, problem.New(problem.Invalid, Malformed, "name", metaName(Root)).Because(err)
		}
		read[role] = s
	}
	return RootKeys{read[Root], read[Targets], read[Snapshot].Keys[0], read[Timestamp].Keys[0]}, nil
}

// offline refuses an online key among keys that are kept offline: whoever broke
// into the server would hold both.
func (k RootKeys) offline(keys []ed25519.PublicKey) error {
	for _, key := range keys {
		if key.Equal(k.Snapshot) || key.Equal(k.Timestamp) {
			return problem.New(problem.Refused, KeyOnline, "key", signing.PublicText(key))
		}
	}
	return nil
}

// DraftRoot drafts the first root, or the next one: a rotation is signed by the
// thresholds of the old and of the new root keys.
func (r Repository) DraftRoot(keys RootKeys, at time.Time, term Term) (*Draft, error) {
	d := &Draft{role: Root, groups: []Signers{keys.Root}, previous: r.root(), root: metadata.Root(term.expiry(Root, at))}
	for role, s := range map[Role]Signers{
		Root: keys.Root, Targets: keys.Targets,
		Snapshot:  {Keys: []ed25519.PublicKey{keys.Snapshot}, Threshold: 1},
		Timestamp: {Keys: []ed25519.PublicKey{keys.Timestamp}, Threshold: 1},
	} {
		if err := s.check(role); err != nil {
			return nil, err
		}
		d.root.Signed.Roles[string(role)] = &metadata.Role{KeyIDs: s.ids(d.root.Signed.Keys), Threshold: s.Threshold}
	}
	if err := keys.offline(slices.Concat(keys.Root.Keys, keys.Targets.Keys)); err != nil {
		return nil, err
	}
	if r.Targets != nil {
		publishers, err := r.Publishers()
		if err != nil {
			return nil, err
		}
		for _, s := range publishers {
			if err := keys.offline(s.Keys); err != nil {
				return nil, err
			}
		}
	}
	if old := r.root(); old != nil {
		root, before, err := parseRoot(metaName(Root), old)
		if err != nil {
			return nil, err
		}
		d.root.Signed.Version = root.Signed.Version + 1 // the chain has no gaps
		d.groups = []Signers{before.Root, keys.Root}
	}
	return d, nil
}

// DraftTargets drafts the next version of targets.
func (r Repository) DraftTargets(change TargetsChange, at time.Time, term Term) (*Draft, error) {
	keys, err := r.RootKeys()
	if err != nil {
		return nil, err
	}
	d, err := r.draft(Targets, r.Targets, keys.Targets, at, term)
	if err != nil {
		return nil, err
	}
	publishers, err := delegations(d.targets)
	if err != nil {
		return nil, err
	}
	if err := change.publishers(publishers, keys); err != nil {
		return nil, err
	}
	all := &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	for _, id := range sortedKeys(publishers) {
		s := publishers[id]
		all.Roles = append(all.Roles, metadata.DelegatedRole{
			Name: string(id), KeyIDs: s.ids(all.Keys), Threshold: s.Threshold, Terminating: true, Paths: []string{string(id) + "/*"},
		})
	}
	d.targets.Signed.Delegations = all
	files := map[string][]byte{KeysPath: change.Keys, EndedPath: change.Ended}
	for id, text := range change.Files {
		if err := checkProgramID(id); err != nil {
			return nil, err
		}
		files[programPath(id)] = text
	}
	for path, text := range files {
		if text == nil {
			continue
		}
		d.files[path] = text
		if d.targets.Signed.Targets[path], err = listing(text, time.Time{}); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// publishers changes the delegations before to those after.
func (c TargetsChange) publishers(all map[program.ID]Signers, keys RootKeys) error {
	for id, s := range c.Publishers {
		if err := checkProgramID(id); err != nil {
			return err
		}
		if s.Threshold == 0 {
			s.Threshold = 2
		}
		all[id] = s
	}
	for _, id := range sortedKeys(all) {
		s := all[id]
		s.Keys = slices.DeleteFunc(slices.Clone(s.Keys), func(k ed25519.PublicKey) bool { return contains(c.Revoke, k) })
		if err := s.check(Role(id)); err != nil {
			return err
		}
		if err := keys.offline(s.Keys); err != nil {
			return err
		}
		all[id] = s
	}
	return nil
}

// DraftProgram drafts the version of a program's role that follows base: the
// published one (nil stands for it), or one that waits in the queue (Place).
func (r Repository) DraftProgram(id program.ID, base []byte, change ProgramChange, at time.Time, term Term) (*Draft, error) {
	publishers, err := r.Publishers()
	if err != nil {
		return nil, err
	}
	s, ok := publishers[id]
	if !ok {
		return nil, problem.New(problem.NotFound, UnknownProgram, "program", string(id))
	}
	if base == nil {
		base = r.Programs[id]
	}
	d, err := r.draft(Role(id), base, s, at, term)
	if err != nil {
		return nil, err
	}
	listed := d.targets.Signed.Targets
	for _, update := range change.Withdraw {
		path := manifestPath(id, update)
		if listed[path] == nil {
			return nil, problem.New(problem.NotFound, UpdateNotListed, "program", string(id), "update", string(update))
		}
		delete(listed, path)
	}
	for _, release := range change.Add {
		path := manifestPath(id, release.Update)
		if _, ok := updateOf(id, path); !ok || release.Released.IsZero() {
			return nil, problem.New(problem.Invalid, UpdateID, "update", string(release.Update))
		}
		if listed[path] != nil {
			return nil, problem.New(problem.Conflict, UpdateListed, "program", string(id), "update", string(release.Update))
		}
		d.files[path] = release.Manifest
		if listed[path], err = listing(release.Manifest, release.Released); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func manifestPath(id program.ID, update program.UpdateID) string {
	return string(id) + "/" + string(update) + ".json"
}

// draft copies the version before, with the next number and a new expiry.
func (r Repository) draft(role Role, previous []byte, s Signers, at time.Time, term Term) (*Draft, error) {
	d := &Draft{role: role, groups: []Signers{s}, previous: previous, files: map[string][]byte{}, targets: metadata.Targets()}
	current := int64(0)
	if previous != nil {
		before, err := parse[metadata.TargetsType](metaName(role), previous)
		if err != nil {
			return nil, err
		}
		d.targets, current = before, before.Signed.Version
	}
	d.targets.ClearSignatures()
	d.targets.Signed.Version = r.next(role, current)
	d.targets.Signed.Expires = term.expiry(role, at)
	return d, nil
}
