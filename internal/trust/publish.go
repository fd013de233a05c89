package trust

import (
	"context"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// renewBefore is how long before its expiry Renew makes a new snapshot.
const renewBefore = 10 * 24 * time.Hour

// Publish signs a new snapshot and timestamp over the roles as they stand here,
// issued at an instant, and returns the repository to serve. Before it returns,
// it walks through the result as every client will: one that held what was
// published before, and one that begins at the first root.
func (r Repository) Publish(ctx context.Context, online Online, at time.Time, term Term) (Repository, error) {
	meta := map[string]*metadata.MetaFiles{}
	versions := Versions{Root: int64(len(r.Roots))}
	for role, file := range r.roles() {
		v, err := version(role, file)
		if err != nil {
			return r, err
		}
		versions[role], meta[metaName(role)] = v, metaFile(file, v)
	}
	for _, role := range sortedKeys(versions) {
		if versions[role] < r.Floor[role] {
			return r, problem.New(problem.Refused, BelowAdopted, "role", string(role), "version", versions[role], "adopted", r.Floor[role])
		}
	}
	snapshot := metadata.Snapshot(term.expiry(Snapshot, at))
	snapshot.Signed.Meta = meta
	current := int64(0)
	if r.Snapshot != nil {
		before, err := parse[metadata.SnapshotType](metaName(Snapshot), r.Snapshot)
		if err != nil {
			return r, err
		}
		current = before.Signed.Version
	}
	snapshot.Signed.Version = r.next(Snapshot, current)
	if err := sign(ctx, snapshot, online.Snapshot); err != nil {
		return r, fmt.Errorf("sign snapshot: %w", err)
	}
	published := r
	var err error
	if published.Snapshot, err = snapshot.ToBytes(false); err != nil {
		return r, err
	}
	if published, err = published.stamp(ctx, online, at, term); err != nil {
		return r, err
	}
	if err := published.check(r, at); err != nil {
		return r, fmt.Errorf("publish: %w", err)
	}
	return published, nil
}

// check walks through r as clients of each program do, those that begin now and
// those that hold what was published before. A program whose role has expired is
// let through: it must not hold back the others, and its clients hear of it.
func (r Repository) check(before Repository, at time.Time) error {
	set, err := r.Set()
	if err != nil {
		return err
	}
	held, err := before.held()
	if err != nil {
		return err
	}
	publishers, err := r.Publishers()
	if err != nil {
		return err
	}
	follow := [][]program.ID{nil} // no program: the top level alone
	for i, id := range sortedKeys(publishers) {
		follow = append(follow[:i], []program.ID{id})
	}
	for _, programs := range follow {
		for _, holds := range []*verified{nil, held} {
			_, _, err := verify(r.Roots[0], holds, set.source, byClock(at), programs)
			if p, ok := problem.As(err); ok && p.Code == Expired && len(programs) > 0 && p.Args["role"] == string(programs[0]) {
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// held is what a client holds of the last publication, as far as it is known
// here: its snapshot and timestamp, and the versions that it took from them.
func (r Repository) held() (*verified, error) {
	if r.Timestamp == nil {
		return nil, nil
	}
	snapshot, err := parse[metadata.SnapshotType](metaName(Snapshot), r.Snapshot)
	if err != nil {
		return nil, err
	}
	v := &verified{raw: map[Role][]byte{Snapshot: r.Snapshot, Timestamp: r.Timestamp}, versions: Versions{}}
	for name, meta := range snapshot.Signed.Meta {
		v.versions[roleOf(name)] = meta.Version
	}
	return v, nil
}

// Renew signs a new timestamp, as a server does every hour, and a new snapshot
// where the old one nears its expiry or stands below an adopted version. What is
// listed stays the same.
func (r Repository) Renew(ctx context.Context, online Online, at time.Time) (Repository, error) {
	snapshot, err := parse[metadata.SnapshotType](metaName(Snapshot), r.Snapshot)
	if err != nil {
		return r, err
	}
	if snapshot.Signed.Expires.Sub(at) < renewBefore || snapshot.Signed.Version < r.Floor[Snapshot] {
		return r.Publish(ctx, online, at, Regular)
	}
	return r.stamp(ctx, online, at, Regular)
}

// stamp signs a timestamp over the snapshot.
func (r Repository) stamp(ctx context.Context, online Online, at time.Time, term Term) (Repository, error) {
	snapshot, err := parse[metadata.SnapshotType](metaName(Snapshot), r.Snapshot)
	if err != nil {
		return r, err
	}
	current := int64(0)
	if r.Timestamp != nil {
		before, err := parse[metadata.TimestampType](timestampName, r.Timestamp)
		if err != nil {
			return r, err
		}
		current = before.Signed.Version
	}
	timestamp := metadata.Timestamp(term.expiry(Timestamp, at))
	timestamp.Signed.Version = r.next(Timestamp, current)
	timestamp.Signed.Meta = map[string]*metadata.MetaFiles{metaName(Snapshot): metaFile(r.Snapshot, snapshot.Signed.Version)}
	timestamp.Signed.UnrecognizedFields = map[string]any{issuedAt: instant(at)}
	if err := sign(ctx, timestamp, online.Timestamp); err != nil {
		return r, fmt.Errorf("sign timestamp: %w", err)
	}
	root, err := parse[metadata.RootType](metaName(Root), r.root())
	if err != nil {
		return r, err
	}
	if err := metaVerify(root, Timestamp, timestamp); err != nil {
		return r, err
	}
	r.Timestamp, err = timestamp.ToBytes(false)
	return r, err
}
