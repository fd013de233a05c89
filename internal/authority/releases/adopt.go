package releases

import (
	"context"
	"slices"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Adopt is a restored server's first act: it takes over the versions of public
// copies of its metadata, a site's for instance, that are higher than its own,
// and serves nothing below them. What only offline keys can raise is drafted anew
// for their holders. epoch is the new one.
func (r *Room) Adopt(ctx context.Context, actor access.Actor, epoch int64, copies ...trust.Set) error {
	if err := access.May(actor, access.ProgramWrite); err != nil {
		return err
	}
	return r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		repo := s.repo
		for _, c := range copies {
			seen, err := s.repo.Observe(c)
			if err != nil {
				return nil, err
			}
			repo = repo.AdoptVersions(seen)
		}
		repo = repo.AdoptVersions(nil)
		s.repo, s.floor, s.newEpoch = repo, repo.Floor, epoch
		low, err := behind(repo)
		if err != nil {
			return nil, err
		}
		low = slices.DeleteFunc(low, func(role trust.Role) bool { return role == trust.Snapshot || role == trust.Timestamp })
		if len(low) > 0 {
			err = s.drawAbove(repo, low)
		} else {
			var next trust.Repository
			next, err = repo.Publish(ctx, r.cfg.Online, s.now, trust.Regular)
			s.next = &next
		}
		if err != nil {
			return nil, err
		}
		return []audit.Entry{{Act: "repository.adopt", Object: "repository", Detail: map[string]any{"epoch": epoch, "floor": repo.Floor}}}, nil
	})
}

// behind lists the roles that stand below what was seen in public, sorted. A role
// that is not there stands at 0.
func behind(repo trust.Repository) ([]trust.Role, error) {
	set, err := repo.Set()
	if err != nil {
		return nil, err
	}
	stands := trust.Versions{}
	for name := range set {
		if role, version, ok := fileRole(name); ok {
			stands[role] = max(stands[role], version)
		}
	}
	stands[trust.Timestamp] = repo.Floor[trust.Timestamp] // says its version nowhere else; it is renewed with every snapshot
	var low []trust.Role
	for role, floor := range repo.Floor {
		if stands[role] < floor {
			low = append(low, role)
		}
	}
	slices.Sort(low)
	return low, nil
}

// drawAbove drafts the roles anew that only offline keys can raise.
func (s *state) drawAbove(repo trust.Repository, low []trust.Role) error {
	for _, role := range low {
		switch role {
		case trust.Root:
			return problem.New(problem.Unavailable, BelowPublic, "role", string(role), "public", repo.Floor[role])
		case trust.Targets:
			draft, err := repo.DraftTargets(trust.TargetsChange{}, s.now, trust.Regular)
			if err != nil {
				return err
			}
			s.chains[role], s.redrawn[role] = []*step{{instant: s.now, draft: draft}}, true
		default:
			id := program.ID(role)
			if err := s.redraft(id, 0, nil); err != nil {
				return err
			}
			if _, _, err := s.insert(id, &step{instant: s.now}); err != nil {
				return err
			}
		}
	}
	return nil
}
