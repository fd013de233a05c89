package releases

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

func monthOf(id program.ID, day civil.Date) month {
	return month{id, fmt.Sprintf("%04d-%02d", day.Year(), day.Month())}
}

// NoRelease records that a month (YYYY-MM) has nothing in coverage (rule D3).
// Staging something covered in that month takes the record back.
func (r *Room) NoRelease(ctx context.Context, actor access.Actor, id program.ID, text string) error {
	if err := access.May(actor, access.UpdateRelease); err != nil {
		return err
	}
	return r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		p, err := s.program(id)
		if err != nil {
			return nil, err
		}
		at, err := time.Parse("2006-01", text)
		if err != nil {
			return nil, problem.New(problem.Invalid, MonthMalformed, "month", text).Because(err)
		}
		m := month{id, text}
		day := p.Calendar.ReleaseDay(at.Year(), at.Month())
		covered := slices.ContainsFunc(p.Tracks, func(t program.Track) bool {
			year, ok := t.YearOf(day)
			return ok && year != program.Free
		})
		switch {
		case !covered:
			return nil, problem.New(problem.Refused, MonthOutside, "program", id, "month", text)
		case s.quiet[m]:
			return nil, problem.New(problem.Conflict, MonthRecorded, "program", id, "month", text)
		}
		for _, one := range s.of(id) {
			if !one.Update.Ungated && one.State != Withdrawn && monthOf(id, one.Update.Released) == m {
				return nil, problem.New(problem.Conflict, MonthHasRelease, "program", id, "month", text)
			}
		}
		s.quiet[m], s.quieted[m] = true, true
		return []audit.Entry{{Act: "month.no-release", Object: "program/" + string(id), Detail: map[string]any{"month": text}}}, nil
	})
}

// NoReleases are the months (YYYY-MM) that have nothing in coverage, sorted.
func (r *Room) NoReleases(ctx context.Context, id program.ID) ([]string, error) {
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	var months []string
	for m := range maps.Keys(s.quiet) {
		if m.program == id {
			months = append(months, m.month)
		}
	}
	slices.Sort(months)
	return months, nil
}

// ImportIn is a history of updates that were released before there was this
// system: CSV, as update.ParseHistory reads it.
type ImportIn struct {
	Program program.ID
	Text    []byte
	DryRun  bool // say what would happen and change nothing
}

// Imported is what an import came to. Draft is zero when nothing was new.
type Imported struct {
	Updates []*update.Update
	Refused []*problem.Problem // by row, each with its name
	Drafted
}

// ImportHistory takes the good rows of a history and drafts one version of the
// program's role that lists them all. Publishers sign it like any other; then
// devices can evaluate those updates, and the public history shows them (rule
// D7). Bad rows are refused by name, and harm no others.
func (r *Room) ImportHistory(ctx context.Context, actor access.Actor, in ImportIn) (Imported, error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return Imported{}, err
	}
	var out Imported
	decide := func(s *state) (entries []audit.Entry, err error) {
		out = Imported{}
		p, err := s.program(in.Program)
		if err != nil {
			return nil, err
		}
		loc, err := zone(p)
		if err != nil {
			return nil, err
		}
		good, bad, err := update.ParseHistory(p, in.Text)
		if err != nil {
			return nil, err
		}
		rows, refused := r.historyRows(s, p, loc, good, actor)
		out.Refused = append(bad, refused...)
		st := &step{instant: s.now}
		for _, one := range rows {
			out.Updates, st.add = append(out.Updates, one.Update), append(st.add, one.Update.ID)
		}
		if len(rows) == 0 {
			return nil, nil
		}
		if err := s.enter(p, rows...); err != nil {
			return nil, err
		}
		if out.Drafted, entries, err = s.draft(in.Program, st); err != nil {
			return nil, err
		}
		return append(entries, audit.Entry{Act: "history.import", Object: draftObject(st.draft), Detail: map[string]any{
			"updates": len(rows), "refused": len(out.Refused),
		}}), nil
	}
	if !in.DryRun {
		err := r.act(ctx, actor, decide)
		return out, err
	}
	s, err := r.load(ctx)
	if err != nil {
		return Imported{}, err
	}
	_, err = decide(s)
	out.Drafted = Drafted{} // of a state that is thrown away
	return out, err
}

// historyRows takes the rows that can be released as of their own day.
func (r *Room) historyRows(s *state, p *program.Program, loc *time.Location, good []update.Update, actor access.Actor) (rows []*row, refused []*problem.Problem) {
	today := dayIn(s.now, loc)
	for i := range good {
		u := &good[i]
		var why *problem.Problem
		switch err := componentEnded(p, u); {
		case err != nil:
			why, _ = problem.As(err)
		case s.rows[key{p.ID, u.ID}] != nil:
			why = problem.New(problem.Conflict, UpdateExists, "program", p.ID, "update", u.ID)
		case u.Released.After(today):
			why = problem.New(problem.Refused, RowInFuture, "update", u.ID, "released", u.Released)
		}
		if why != nil {
			refused = append(refused, why)
			continue
		}
		rows = append(rows, &row{Release: Release{
			Update: u, State: Staged, Instant: clock(u.Released, r.cfg.Hour, loc), StagedAt: s.now, Imported: true, Actor: actor.String(),
		}})
	}
	return s.consistent(p, rows, refused)
}

// consistent leaves out rows whose supersedence cannot be, by name, until the
// rest makes a catalog.
func (s *state) consistent(p *program.Program, rows []*row, refused []*problem.Problem) ([]*row, []*problem.Problem) {
	for {
		err := s.catalogs(p, rows)
		why, named := problem.As(err)
		if err == nil || !named {
			return rows, refused
		}
		i := slices.IndexFunc(rows, func(one *row) bool { return one.Update.ID == why.Args["update"] })
		if i < 0 {
			i = slices.IndexFunc(rows, func(one *row) bool { return one.Update.ID == why.Args["other"] })
		}
		if i < 0 {
			return rows, refused // enter says it
		}
		rows, refused = slices.Delete(rows, i, i+1), append(refused, why)
	}
}
