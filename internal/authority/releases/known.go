package releases

import (
	"context"

	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/program"
)

// Publishers are those who may sign a program's releases: as the targets that
// wait say, else as the published ones do. A program without any has no keys.
func (r *Room) Publishers(ctx context.Context, id program.ID) (trust.Signers, error) {
	s, err := r.load(ctx)
	if err != nil {
		return trust.Signers{}, err
	}
	if chain := s.chains[trust.Targets]; len(chain) > 0 {
		if waiting, ok := chain[0].targets.Publishers[id]; ok {
			return waiting, nil
		}
	}
	all, err := s.repo.Publishers()
	return all[id], err
}

// Versions are the version numbers of what is served now, by role.
func (r *Room) Versions(ctx context.Context) (trust.Versions, error) {
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.repo.Set()
	if err != nil {
		return nil, err
	}
	return s.repo.Observe(set)
}
