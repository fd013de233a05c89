package releases

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// view is one publication as it is served: made of what is released and of
// nothing else, and kept until the next one.
type view struct {
	epoch, published int64
	files            trust.Set
	behind           error // it stands below what was seen in public
	shelves          map[program.ID]*shelf
	payloads         map[update.Digest][]*update.Update
}

type shelf struct {
	catalog *update.Catalog
	history *wire.History
}

// current returns the view of the last publication. One small query says whether
// there is a newer one; who finds that makes the new view for all who wait.
func (r *Room) current(ctx context.Context) (*view, error) {
	v, err := r.fresh(ctx)
	if v != nil || err != nil {
		return v, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, err = r.fresh(ctx); v != nil || err != nil {
		return v, err
	}
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	if v, err = s.view(); err != nil {
		return nil, fmt.Errorf("open publication: %w", err)
	}
	r.view.Store(v)
	return v, nil
}

// fresh is the view at hand if nothing was published since, else nil.
func (r *Room) fresh(ctx context.Context) (*view, error) {
	var epoch, published int64
	err := r.cfg.DB.Read(ctx, func(tx *db.Tx) (err error) {
		epoch, published, err = edition(tx)
		return err
	})
	if v := r.view.Load(); err == nil && v != nil && v.epoch == epoch && v.published == published {
		return v, nil
	}
	return nil, err
}

// view shows what is released.
func (s *state) view() (*view, error) {
	v := &view{
		epoch: s.epoch, published: s.published, shelves: map[program.ID]*shelf{}, payloads: map[update.Digest][]*update.Update{},
	}
	var err error
	if v.files, err = s.repo.Set(); err != nil {
		return nil, err
	}
	low, err := behind(s.repo)
	if err != nil {
		return nil, err
	}
	if len(low) > 0 {
		v.behind = problem.New(problem.Unavailable, BelowPublic, "role", string(low[0]), "public", s.repo.Floor[low[0]])
	}
	publishers, err := s.repo.Publishers()
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(publishers)) {
		if s.repo.Files[programPath(id)] == nil {
			continue // has publishers, and no file yet
		}
		p, err := s.program(id)
		if err != nil {
			return nil, err
		}
		if v.shelves[id], err = v.shelf(p, s.of(id)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *view) shelf(p *program.Program, rows []*row) (*shelf, error) {
	one := &shelf{history: &wire.History{Program: p.ID, Updates: []wire.HistoryUpdate{}}}
	var released []update.Update
	for _, r := range rows {
		if r.State != Released && r.State != Withdrawn {
			continue
		}
		u := r.Update
		one.history.Updates = append(one.history.Updates, wire.HistoryUpdate{
			ID: u.ID, Title: u.Title, Kind: u.Kind, Rating: u.Rating, Released: u.Released, OutOfBand: u.OutOfBand,
			Ungated: u.Ungated, Years: u.Years, Supersedes: u.Supersedes, Withdrawn: r.State == Withdrawn,
		})
		if r.State == Withdrawn {
			continue
		}
		released = append(released, *u)
		for _, payload := range u.Payloads {
			v.payloads[payload.SHA256] = append(v.payloads[payload.SHA256], u)
		}
	}
	var err error
	one.catalog, err = update.NewCatalog(p, released)
	return one, err
}

// Metadata returns a file of the signed metadata by its name below /tuf/. Files
// of earlier publications stay there for those who are on their way through.
func (r *Room) Metadata(ctx context.Context, name string) ([]byte, error) {
	v, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	if v.behind != nil {
		return nil, v.behind
	}
	if body, ok := v.files[name]; ok {
		return body, nil
	}
	var body []byte
	err = r.cfg.DB.Read(ctx, func(tx *db.Tx) (err error) {
		body, err = served(tx, name)
		return err
	})
	if err == nil && body == nil {
		err = problem.New(problem.NotFound, MetadataUnknown, "name", name)
	}
	return body, err
}

// Files is the whole of the last publication, for copies of it.
func (r *Room) Files(ctx context.Context) (trust.Set, error) {
	v, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	return maps.Clone(v.files), v.behind
}

// Payload opens a payload that some released update has, and names those
// updates. Every other one, staged, withdrawn or never heard of, is the same
// refusal (rule D3).
func (r *Room) Payload(ctx context.Context, digest update.Digest) (*frontdoor.Payload, error) {
	v, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	updates := v.payloads[digest]
	if len(updates) == 0 {
		return nil, problem.New(problem.NotFound, depot.NotFound, "digest", digest)
	}
	body, err := r.cfg.Depot.Open(digest)
	if err != nil {
		return nil, err
	}
	return &frontdoor.Payload{Body: body, Updates: updates}, nil
}

// History is what was released of a program, withdrawn ones marked (rule D7).
func (r *Room) History(ctx context.Context, id program.ID) (*wire.History, error) {
	s, err := r.shelf(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.history, nil
}

// Catalog is everything that is released of a program, by its signed file.
func (r *Room) Catalog(ctx context.Context, id program.ID) (*update.Catalog, error) {
	s, err := r.shelf(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.catalog, nil
}

func (r *Room) shelf(ctx context.Context, id program.ID) (*shelf, error) {
	v, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	s := v.shelves[id]
	if s == nil {
		return nil, problem.New(problem.NotFound, frontdoor.ProgramUnknown, "program", id)
	}
	return s, nil
}
