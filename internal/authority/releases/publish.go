package releases

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// Published is what a publication brought.
type Published struct {
	Released  []*update.Update
	Withdrawn []*update.Update
	Targets   bool // a new version of targets
	// Held are versions that are due and could not be published, and why.
	Held []Held
}

// Held is a version that waits on.
type Held struct {
	Role trust.Role
	Err  error
}

// Release publishes everything that is signed and whose instant has come. A
// version that cannot be published holds back no other one.
func (r *Room) Release(ctx context.Context, actor access.Actor) (Published, error) {
	if err := access.May(actor, access.UpdateRelease); err != nil {
		return Published{}, err
	}
	return r.release(ctx, actor)
}

func (r *Room) release(ctx context.Context, actor access.Actor) (Published, error) {
	var out Published
	err := r.act(ctx, actor, func(s *state) (entries []audit.Entry, err error) {
		out, entries, err = r.publish(ctx, s)
		return entries, err
	})
	return out, err
}

func (r *Room) publish(ctx context.Context, s *state) (Published, []audit.Entry, error) {
	var out Published
	withTargets := len(s.chains[trust.Targets]) > 0 && s.chains[trust.Targets][0].signed
	next, taken, held, err := r.offer(ctx, s, withTargets)
	if withTargets && err != nil {
		if _, named := problem.As(err); !named {
			return out, nil, err
		}
		// Publishers have yet to sign what their own change asks of them.
		withTargets = false
		why := Held{trust.Targets, err}
		next, taken, held, err = r.offer(ctx, s, false)
		held = append([]Held{why}, held...)
	}
	out.Held = held
	if err != nil || next == nil {
		return out, nil, err
	}
	s.next, out.Targets = next, withTargets
	var entries []audit.Entry
	if withTargets {
		entries = append(entries, audit.Entry{Act: "targets.publish", Object: draftObject(s.chains[trust.Targets][0].draft)})
		s.chains[trust.Targets], s.redrawn[trust.Targets] = nil, true
	}
	for _, id := range slices.Sorted(maps.Keys(taken)) {
		role := trust.Role(id)
		chain, n := s.chains[role], taken[id]
		listed := listedBy(chain[n-1].draft)
		entries = append(entries, audit.Entry{Act: "program.publish", Object: draftObject(chain[n-1].draft)})
		s.chains[role], s.redrawn[role] = chain[n:], true
		for _, row := range s.of(id) {
			switch {
			case listed[row.Update.ID] && row.State != Released:
				row.State, row.ReleasedAt = Released, s.now
				out.Released = append(out.Released, row.Update)
				entries = append(entries, audit.Entry{Act: "update.release", Object: updateObject(row), Detail: manifestDetail(row)})
			case !listed[row.Update.ID] && row.State == Released:
				row.State = Withdrawn
				out.Withdrawn = append(out.Withdrawn, row.Update)
				entries = append(entries, audit.Entry{Act: "update.withdraw", Object: updateObject(row), Detail: manifestDetail(row)})
			default:
				continue
			}
			s.touched[row.key()] = true
		}
	}
	return out, entries, nil
}

// offer tries a publication of what is due. taken says how many steps of each
// chain it contains: a signed version contains the ones before it, signed or not.
func (r *Room) offer(ctx context.Context, s *state, withTargets bool) (next *trust.Repository, taken map[program.ID]int, held []Held, err error) {
	repo, taken := s.repo, map[program.ID]int{}
	if withTargets {
		if repo, err = s.working(); err != nil {
			return nil, nil, nil, err
		}
	}
	for _, role := range slices.Sorted(maps.Keys(s.chains)) {
		if role == trust.Targets {
			continue
		}
		chain := s.chains[role]
		due, late := s.due(role)
		if late != nil {
			held = append(held, Held{role, late})
		}
		if due < 0 {
			continue
		}
		with, err := accept(repo, chain[due].draft, s.sealedFiles(program.ID(role)))
		if err != nil {
			held = append(held, Held{role, err})
			continue
		}
		repo, taken[program.ID(role)] = with, due+1
	}
	if !withTargets && len(taken) == 0 {
		return nil, nil, held, nil
	}
	repo, err = repo.Publish(ctx, r.cfg.Online, s.now, trust.Regular)
	return &repo, taken, held, err
}

// due is the last version of a program that can be published, -1 for none, and
// why a later one cannot although it is due: with it an update would come out
// after its day. All versions behind that one contain the update too.
func (s *state) due(role trust.Role) (last int, late error) {
	last = -1
	for i, st := range s.chains[role] {
		if !st.signed || st.instant.After(s.now) {
			continue
		}
		p, err := s.program(program.ID(role))
		if err == nil {
			err = s.inTime(p, s.waiting(st.draft))
		}
		if err != nil {
			return last, err
		}
		last = i
	}
	return last, nil
}

// sealedFiles are the manifests of a program that are not released yet, by path.
func (s *state) sealedFiles(id program.ID) map[string][]byte {
	files := map[string][]byte{}
	for _, row := range s.of(id) {
		files[manifestPath(row.key())] = row.manifest
	}
	return files
}

// RenewAfter is how old a timestamp gets before it is signed anew.
const RenewAfter = time.Hour

// Renew signs a new timestamp when the last one is an hour old.
func (r *Room) Renew(ctx context.Context, actor access.Actor) error {
	return r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		if s.now.Sub(s.stamped) < RenewAfter {
			return nil, nil
		}
		next, err := s.repo.Renew(ctx, r.cfg.Online, s.now)
		s.next = &next
		return nil, err
	})
}

// Tick is what a server does on start and every few seconds: it publishes what
// is due and keeps the timestamp young. It costs two small queries when there is
// nothing to do.
func (r *Room) Tick(ctx context.Context, actor access.Actor) (Published, error) {
	var due int64
	var stamped, now time.Time
	err := r.cfg.DB.Read(ctx, func(tx *db.Tx) (err error) {
		now = tx.Now
		due, stamped, err = dueSteps(tx)
		return err
	})
	if err != nil {
		return Published{}, err
	}
	var out Published
	var released, renewed error
	if due > 0 {
		out, released = r.Release(ctx, actor)
	}
	if now.Sub(stamped) >= RenewAfter {
		renewed = r.Renew(ctx, actor)
	}
	return out, errors.Join(released, renewed)
}
