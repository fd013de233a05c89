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

// Sign takes the signatures that a draft came back with; copies that publishers
// signed at the same time may come one after another. With the last one that is
// needed the version is queued, and published if its instant has come already.
// Whose signatures count is what the repository says, never the document.
func (r *Room) Sign(ctx context.Context, actor access.Actor, document []byte) (Signed, error) {
	if err := access.May(actor, access.UpdateRelease); err != nil {
		return Signed{}, err
	}
	back, err := trust.ParseDraft(document)
	if err != nil {
		return Signed{}, err
	}
	var out Signed
	due := false
	err = r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		chain := s.chains[back.Role()]
		i := slices.IndexFunc(chain, func(st *step) bool { return st.draft.Version() == back.Version() })
		if i < 0 {
			return nil, problem.New(problem.NotFound, DraftUnknown, "role", string(back.Role()), "version", back.Version())
		}
		st := chain[i]
		before, err := describe(st)
		if err != nil {
			return nil, err
		}
		if err := st.draft.Merge(back); err != nil {
			return nil, err
		}
		if out.Draft, err = describe(st); err != nil {
			return nil, err
		}
		news := slices.DeleteFunc(slices.Clone(out.Draft.SignedBy), func(k string) bool { return slices.Contains(before.SignedBy, k) })
		if len(news) == 0 {
			return nil, problem.New(problem.Conflict, NothingSigned, "role", string(back.Role()), "version", back.Version())
		}
		s.redrawn[back.Role()] = true
		entries := []audit.Entry{{Act: "draft.sign", Object: draftObject(st.draft), Detail: map[string]any{"keys": news}}}
		if out.Draft.Missing == 0 && !st.signed {
			if err := s.complete(st); err != nil {
				return nil, err
			}
			entries = append(entries, audit.Entry{Act: "draft.complete", Object: draftObject(st.draft)})
		}
		due = st.signed && !st.instant.After(s.now)
		return entries, nil
	})
	if err == nil && due {
		out.Published, err = r.release(ctx, actor)
	}
	return out, err
}

// complete judges a version that seems to have all of its signatures.
func (s *state) complete(st *step) error {
	if st.draft.Role() == trust.Targets {
		if _, err := accept(s.repo, st.draft, nil); err != nil {
			return err
		}
		st.signed = true
		return s.republish()
	}
	id := program.ID(st.draft.Role())
	p, err := s.program(id)
	if err != nil {
		return err
	}
	if err := s.inTime(p, s.waiting(st.draft)); err != nil {
		return err
	}
	repo, err := s.working()
	if err != nil {
		return err
	}
	if _, err := accept(repo, st.draft, s.sealedFiles(id)); err != nil {
		return err
	}
	st.signed = true
	s.settle(id)
	return nil
}
