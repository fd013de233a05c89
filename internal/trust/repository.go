package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Repository is the vendor's side as a value: signed files and what they list.
// Its methods change nothing; they return what comes next, for the caller to
// store in the transaction in which it compares epoch and version.
//
// The way of a change: a Draft… method, signatures on the draft, Accept, and
// Publish. Renew goes on its own every hour.
type Repository struct {
	Roots     [][]byte              // the whole chain, 1.root.json first
	Targets   []byte                // nil before the first
	Programs  map[program.ID][]byte // each program's role file, as it is to be served
	Snapshot  []byte                // nil before the first publication
	Timestamp []byte
	Files     map[string][]byte // what targets and programs list, by path
	Floor     Versions          // versions seen in public before a restore
}

// Online are the signers of the two roles that a server holds.
type Online struct{ Snapshot, Timestamp signing.Signer }

// Anchor is what a device is told to trust: "sha256:" and the digest of the first
// root's bytes, in hexadecimal.
func (r Repository) Anchor() string {
	digest := sha256.Sum256(r.Roots[0])
	return anchorPrefix + hex.EncodeToString(digest[:])
}

// AdoptVersions returns a repository that numbers every new version above both
// its own and these, and is not published while a role that is signed offline
// stands below them. A restored server does this before it serves.
func (r Repository) AdoptVersions(minimum Versions) Repository {
	floor := Versions{}
	for _, v := range []Versions{r.Floor, minimum} {
		for role, version := range v {
			floor[role] = max(floor[role], version)
		}
	}
	r.Floor = floor
	return r
}

// Observe returns the versions of a public copy of this repository, a site's for
// instance, when it verifies under the roots held here, as of its own instant.
func (r Repository) Observe(copied Set) (Versions, error) {
	v, _, err := verify(r.root(), nil, copied.source, asIssued, nil)
	if err != nil {
		return nil, err
	}
	return v.versions, nil
}

func (r Repository) root() []byte {
	if len(r.Roots) == 0 {
		return nil
	}
	return r.Roots[len(r.Roots)-1]
}

// next is the version after current.
func (r Repository) next(role Role, current int64) int64 { return max(current, r.Floor[role]) + 1 }

// Accept takes over the signed next version of a role, when the thresholds that
// this repository knows are met by distinct keys, it lists only what it may, its
// number is above the one here, and everything that it lists is here or in files.
// What is no longer listed is dropped. A role that waits in the queue is accepted
// too; the caller keeps its bytes and forgets the result.
func (r Repository) Accept(role Role, file []byte, files map[string][]byte) (Repository, error) {
	if role == Root {
		return r.acceptRoot(file)
	}
	offered, err := parse[metadata.TargetsType](metaName(role), file)
	if err != nil {
		return r, err
	}
	listed, err := entries(role, offered)
	if err != nil {
		return r, err
	}
	current := r.Targets
	if role == Targets {
		var root *metadata.Metadata[metadata.RootType]
		if root, err = parse[metadata.RootType](metaName(Root), r.root()); err == nil {
			err = metaVerify(root, role, offered)
		}
		if err == nil {
			_, err = delegations(offered)
		}
	} else {
		current = r.Programs[program.ID(role)]
		var targets *metadata.Metadata[metadata.TargetsType]
		if targets, err = parse[metadata.TargetsType](metaName(Targets), r.Targets); err == nil {
			err = metaVerify(targets, role, offered)
		}
	}
	if err != nil {
		return r, err
	}
	if before, err := version(role, current); err != nil || offered.Signed.Version <= before {
		return r, stale(err, role, offered.Signed.Version, before)
	}
	next := maps.Clone(r.Files)
	if next == nil {
		next = map[string][]byte{}
	}
	maps.DeleteFunc(next, func(path string, _ []byte) bool { return allowed(role, path) })
	for _, e := range listed {
		data, ok := files[e.Path]
		if !ok {
			data, ok = r.Files[e.Path]
		}
		if !ok {
			return r, problem.New(problem.Invalid, Missing, "name", e.Path)
		}
		if err := fits(e.Path, data, e.Length, e.SHA256[:]); err != nil {
			return r, err
		}
		next[e.Path] = data
	}
	r.Files = next
	if role == Targets {
		r.Targets = file
		return r, nil
	}
	r.Programs = maps.Clone(r.Programs)
	if r.Programs == nil {
		r.Programs = map[program.ID][]byte{}
	}
	r.Programs[program.ID(role)] = file
	return r, nil
}

func (r Repository) acceptRoot(file []byte) (Repository, error) {
	offered, _, err := parseRoot(metaName(Root), file)
	if err != nil {
		return r, err
	}
	before := int64(0)
	if old := r.root(); old != nil {
		root, err := parse[metadata.RootType](metaName(Root), old)
		if err != nil {
			return r, err
		}
		if err := metaVerify(root, Root, offered); err != nil {
			return r, err
		}
		before = root.Signed.Version
	}
	if err := metaVerify(offered, Root, offered); err != nil {
		return r, err
	}
	if offered.Signed.Version != before+1 {
		return r, stale(nil, Root, offered.Signed.Version, before)
	}
	r.Roots = append(slices.Clip(r.Roots), file)
	return r, nil
}

// metaVerify asks whether by's threshold for role is met on offered.
func metaVerify[T metadata.Roles](by *metadata.Metadata[T], role Role, offered any) error {
	if err := by.VerifyDelegate(string(role), offered); err != nil {
		return problem.New(problem.Refused, NotSigned, "role", string(role)).Because(err)
	}
	return nil
}

func stale(err error, role Role, offered, current int64) error {
	if err != nil {
		return err
	}
	return problem.New(problem.Conflict, DraftStale, "role", string(role), "offered", offered, "current", current)
}

// version reads the number of a role's file; of none it is 0.
func version(role Role, file []byte) (int64, error) {
	if file == nil {
		return 0, nil
	}
	m, err := parse[metadata.TargetsType](metaName(role), file)
	if err != nil {
		return 0, err
	}
	return m.Signed.Version, nil
}

// Set is everything that the front door serves of this repository.
func (r Repository) Set() (Set, error) {
	set := Set{timestampName: r.Timestamp}
	for i, root := range r.Roots {
		set[versioned(Root, int64(i+1))] = root
	}
	snapshot, err := parse[metadata.SnapshotType](metaName(Snapshot), r.Snapshot)
	if err != nil {
		return nil, err
	}
	set[versioned(Snapshot, snapshot.Signed.Version)] = r.Snapshot
	for role, file := range r.roles() {
		m, err := parse[metadata.TargetsType](metaName(role), file)
		if err != nil {
			return nil, err
		}
		set[versioned(role, m.Signed.Version)] = file
		listed, err := entries(role, m)
		if err != nil {
			return nil, err
		}
		for _, e := range listed {
			if set[e.name()] = r.Files[e.Path]; set[e.name()] == nil {
				return nil, problem.New(problem.Invalid, Missing, "name", e.Path)
			}
		}
	}
	return set, nil
}

// roles are the files that the snapshot lists.
func (r Repository) roles() map[Role][]byte {
	all := map[Role][]byte{Targets: r.Targets}
	for id, file := range r.Programs {
		all[Role(id)] = file
	}
	return all
}

// source reads from the set, as a client would from a server.
func (s Set) source(name string, limit int64) ([]byte, error) {
	data, ok := s[name]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case int64(len(data)) > limit:
		return nil, errTooLong
	}
	return bytes.Clone(data), nil
}
