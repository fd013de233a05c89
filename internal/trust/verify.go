package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// source reads a served file whole. A missing file is fs.ErrNotExist; one that
// has more than limit bytes is errTooLong, and no more than that was read of it.
type source func(name string, limit int64) ([]byte, error)

var errTooLong = errors.New("longer than allowed")

// verified is one whole verified state: the files and what they say.
type verified struct {
	files    Set             // every metadata file but the roots, by served name
	raw      map[Role][]byte // the same by role
	versions Versions        // of all roles, root included
	issued   time.Time
	expires  time.Time // when the first of the files expires
	top      []Entry
	programs map[program.ID][]Entry // the followed ones; nil entries: no role file yet
}

// walk is one pass of TUF's client workflow (specification 5.3 to 5.6).
type walk struct {
	set  *trustedmetadata.TrustedMetadata
	held *verified // nil at the first time
	get  source
	v    *verified
}

// verify walks from a trusted root to a whole verified state. It returns the
// newer roots too, which are verified even where the rest fails. follow names the
// programs whose roles are verified; none means all.
func verify(trusted []byte, held *verified, get source, at judge, follow []program.ID) (*verified, [][]byte, error) {
	if _, _, err := parseRoot(metaName(Root), trusted); err != nil {
		return nil, nil, err
	}
	set, err := trustedmetadata.New(trusted)
	if err != nil {
		return nil, nil, problem.New(problem.Refused, NotSigned, "role", string(Root)).Because(err)
	}
	w := &walk{set: set, held: held, get: get, v: &verified{
		files: Set{}, raw: map[Role][]byte{}, versions: Versions{}, programs: map[program.ID][]Entry{},
	}}
	roots, err := w.roots()
	for _, step := range []func() error{
		func() error { return w.timestamp(at) }, w.snapshot, w.targets, func() error { return w.programs(follow) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return nil, roots, err
	}
	return w.v, roots, nil
}

// roots follows the chain of roots, each signed by the one before and by itself.
func (w *walk) roots() (newer [][]byte, err error) {
	for range maxRotations {
		next := w.set.Root.Signed.Version + 1
		name := versioned(Root, next)
		data, err := w.get(name, maxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return newer, unread(name, maxRoot, err)
		}
		root, _, err := parseRoot(name, data)
		if err != nil {
			return newer, err
		}
		if _, err := w.set.UpdateRoot(data); err != nil {
			if isA[*metadata.ErrBadVersionNumber](err) && root.Signed.Version < next {
				return newer, rolledBack(Root, root.Signed.Version, next-1)
			}
			return newer, refused(err, Root, root.Signed.Version, next, root.Signed.Expires)
		}
		newer = append(newer, data)
	}
	w.v.versions[Root] = w.set.Root.Signed.Version
	w.v.expires = w.set.Root.Signed.Expires
	return newer, nil
}

// timestamp takes the offered timestamp, or keeps the held one if they have the
// same version. The held one counts only while the current root vouches for its
// key: that is how a vendor gets over a thief who signed a huge version number.
func (w *walk) timestamp(at judge) error {
	data, err := w.get(timestampName, maxTimestamp)
	if err != nil {
		return unread(timestampName, maxTimestamp, err)
	}
	offered, err := parse[metadata.TimestampType](timestampName, data)
	if err != nil {
		return err
	}
	claimed, err := issued(offered)
	if err != nil {
		return err
	}
	if offered.Signed.Meta[metaName(Snapshot)] == nil {
		return problem.New(problem.Invalid, Malformed, "name", timestampName)
	}
	asOf(w.set, at(claimed))
	if w.held != nil {
		// It fails when it is expired, which is no matter here, or no longer
		// vouched for, and then it is not loaded.
		_, _ = w.set.UpdateTimestamp(w.held.raw[Timestamp])
	}
	before := w.set.Timestamp
	_, err = w.set.UpdateTimestamp(data)
	switch {
	case err == nil:
	case w.set.Root.Signed.IsExpired(w.set.RefTime):
		return expired(Root, w.set.Root.Signed.Expires)
	case isA[*metadata.ErrEqualVersionNumber](err):
		data, claimed = w.held.raw[Timestamp], w.held.issued
	case isA[*metadata.ErrBadVersionNumber](err) && offered.Signed.Version >= before.Signed.Version:
		return rolledBack(Snapshot, offered.Signed.Meta[metaName(Snapshot)].Version, before.Signed.Meta[metaName(Snapshot)].Version)
	case isA[*metadata.ErrBadVersionNumber](err):
		return rolledBack(Timestamp, offered.Signed.Version, before.Signed.Version)
	default:
		return refused(err, Timestamp, 0, 0, offered.Signed.Expires)
	}
	if ts := w.set.Timestamp.Signed; ts.IsExpired(w.set.RefTime) {
		return expired(Timestamp, ts.Expires) // the held one, offered again
	}
	w.v.issued = claimed
	w.keep(Timestamp, timestampName, data, w.set.Timestamp.Signed.Version, w.set.Timestamp.Signed.Expires)
	return nil
}

func (w *walk) snapshot() error {
	meta := w.set.Timestamp.Signed.Meta[metaName(Snapshot)]
	data, err := w.listed(Snapshot, meta, maxSnapshot)
	if err != nil {
		return err
	}
	name := versioned(Snapshot, meta.Version)
	offered, err := parse[metadata.SnapshotType](name, data)
	if err != nil {
		return err
	}
	if offered.Signed.Meta[metaName(Targets)] == nil {
		return problem.New(problem.Invalid, Malformed, "name", name)
	}
	if w.held != nil {
		// As with the timestamp: what it lists must not go back, unless the root
		// has withdrawn its key.
		_, _ = w.set.UpdateSnapshot(w.held.raw[Snapshot], true)
	}
	before := w.set.Snapshot
	if _, err = w.set.UpdateSnapshot(data, false); err == nil {
		w.keep(Snapshot, name, data, offered.Signed.Version, offered.Signed.Expires)
		return nil
	}
	if before != nil && !isA[*metadata.ErrUnsignedMetadata](err) {
		if err := wentBack(before.Signed.Meta, offered.Signed.Meta); err != nil {
			return err
		}
	}
	return refused(err, Snapshot, offered.Signed.Version, meta.Version, offered.Signed.Expires)
}

func (w *walk) targets() error {
	offered, err := w.delegate(Targets, Root, w.set.Snapshot.Signed.Meta[metaName(Targets)])
	if err != nil {
		return err
	}
	w.v.top, err = entries(Targets, offered)
	return err
}

// programs verifies the roles of the followed programs. One that has publishers
// and no role file yet has no updates yet.
func (w *walk) programs(follow []program.ID) error {
	known, err := delegations(w.set.Targets[metadata.TARGETS])
	if err != nil {
		return err
	}
	if len(follow) == 0 {
		follow = sortedKeys(known)
	}
	for _, id := range follow {
		role := Role(id)
		if _, ok := known[id]; !ok {
			return problem.New(problem.NotFound, UnknownProgram, "program", string(id))
		}
		meta := w.set.Snapshot.Signed.Meta[metaName(role)]
		if meta == nil {
			if w.held != nil && w.held.versions[role] > 0 {
				return rolledBack(role, 0, w.held.versions[role])
			}
			w.v.programs[id] = nil
			continue
		}
		offered, err := w.delegate(role, Targets, meta)
		if err != nil {
			return err
		}
		if w.v.programs[id], err = entries(role, offered); err != nil {
			return err
		}
	}
	return nil
}

// delegate verifies one role that is signed offline. Its version never goes back
// behind what is held, not even where the online keys have changed and go-tuf
// starts anew: these versions were never a thief's to raise.
func (w *walk) delegate(role, by Role, meta *metadata.MetaFiles) (*metadata.Metadata[metadata.TargetsType], error) {
	if w.held != nil && meta.Version < w.held.versions[role] {
		return nil, rolledBack(role, meta.Version, w.held.versions[role])
	}
	data, err := w.listed(role, meta, maxTargets)
	if err != nil {
		return nil, err
	}
	name := versioned(role, meta.Version)
	offered, err := parse[metadata.TargetsType](name, data)
	if err != nil {
		return nil, err
	}
	if _, err := w.set.UpdateDelegatedTargets(data, string(role), string(by)); err != nil {
		return nil, refused(err, role, offered.Signed.Version, meta.Version, offered.Signed.Expires)
	}
	w.keep(role, name, data, offered.Signed.Version, offered.Signed.Expires)
	return offered, nil
}

// listed reads the file that meta describes, from what is held if it is there.
func (w *walk) listed(role Role, meta *metadata.MetaFiles, bound int64) ([]byte, error) {
	name, length, digest := versioned(role, meta.Version), meta.Length, meta.Hashes["sha256"]
	if length <= 0 {
		length = -1
	}
	if w.held != nil && w.held.versions[role] == meta.Version && fits(name, w.held.raw[role], length, digest) == nil {
		return w.held.raw[role], nil
	}
	return fetchListed(w.get, name, length, digest, bound)
}

// fetchListed reads a file whose length (or -1) and digest (or nil) are known.
func fetchListed(get source, name string, length int64, digest []byte, bound int64) ([]byte, error) {
	limit := bound
	if 0 <= length && length < bound {
		limit = length
	}
	data, err := get(name, limit)
	switch {
	case errors.Is(err, errTooLong) && limit == length:
		return nil, problem.New(problem.Refused, WrongLength, "name", name, "length", length)
	case err != nil:
		return nil, unread(name, limit, err)
	}
	return data, fits(name, data, length, digest)
}

func (w *walk) keep(role Role, name string, data []byte, version int64, expires time.Time) {
	w.v.files[name], w.v.raw[role], w.v.versions[role] = data, data, version
	if expires.Before(w.v.expires) {
		w.v.expires = expires
	}
}

// entries is everything that the verified state lists for the followed programs.
func (v *verified) entries() []Entry {
	var all []Entry
	for _, e := range v.top {
		id, isProgram := programOf(e.Path)
		if _, followed := v.programs[id]; followed || !isProgram {
			all = append(all, e)
		}
	}
	for _, id := range sortedKeys(v.programs) {
		all = append(all, v.programs[id]...)
	}
	return all
}

// unread names why a file could not be read.
func unread(name string, limit int64, err error) error {
	_, named := problem.As(err)
	switch {
	case named:
		return err
	case errors.Is(err, errTooLong):
		return problem.New(problem.Refused, Endless, "name", name, "limit", limit)
	case errors.Is(err, fs.ErrNotExist):
		return problem.New(problem.Unavailable, Missing, "name", name)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// refused names what go-tuf found. offered is the file's version, listed the one
// that it should have.
func refused(err error, role Role, offered, listed int64, expires time.Time) error {
	switch {
	case isA[*metadata.ErrExpiredMetadata](err):
		return expired(role, expires)
	case isA[*metadata.ErrBadVersionNumber](err):
		return problem.New(problem.Refused, Mixed, "role", string(role), "offered", offered, "listed", listed).Because(err)
	case isA[*metadata.ErrLengthOrHashMismatch](err):
		return problem.New(problem.Refused, WrongHash, "name", versioned(role, listed)).Because(err)
	case isA[*metadata.ErrUnsignedMetadata](err), isA[*metadata.ErrValue](err):
		return problem.New(problem.Refused, NotSigned, "role", string(role)).Because(err)
	}
	return problem.New(problem.Invalid, Malformed, "name", metaName(role)).Because(err)
}

func rolledBack(role Role, offered, held int64) error {
	return problem.New(problem.Refused, RolledBack, "role", string(role), "offered", offered, "held", held)
}

// wentBack names the first role that a new snapshot lists lower, or no longer.
func wentBack(before, after map[string]*metadata.MetaFiles) error {
	for _, name := range sortedKeys(before) {
		is := int64(0)
		if m := after[name]; m != nil {
			is = m.Version
		}
		if was := before[name].Version; is < was {
			return rolledBack(roleOf(name), is, was)
		}
	}
	return nil
}

func expired(role Role, at time.Time) error {
	return problem.New(problem.Refused, Expired, "role", string(role), "expired", instant(at))
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
