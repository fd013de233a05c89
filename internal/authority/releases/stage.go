package releases

import (
	"context"
	"io"
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

// StageIn is a new update. What its kind and the program's calendar say need not
// be given.
type StageIn struct {
	Program program.ID
	Update  program.UpdateID
	Title   string
	Kind    program.KindID

	Rating    program.Rating      // "": the kind's
	Component program.ComponentID // "": the kind's
	// Content names which of the program's ungated contents it is, where several
	// are of its kind (rule P8).
	Content string
	// Free makes it free for everybody, whatever its rating (rule P2).
	Free bool

	At        time.Time // zero: the next regular release; out of band: now
	OutOfBand bool      // on another day than the regular one (rule D3)

	Tracks        []program.TrackID // none: all that the release day serves; not for what is free
	Editions      []program.EditionID
	Architectures []program.Arch
	Supersedes    []program.UpdateID
	Fixes         []string
	Payloads      []PayloadIn
}

// PayloadIn is a file that the depot holds (Receive).
type PayloadIn struct {
	Name          string
	Installer     string // "files"
	Architectures []program.Arch
	SHA256        update.Digest
	Unpacked      int64  // bytes of all files in it; 0: as many as there are
	Check         string // a program in it
}

// Receive takes a payload into the depot. It is not served before an update that
// has it is released.
func (r *Room) Receive(ctx context.Context, actor access.Actor, payload io.Reader) (update.Digest, int64, error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return "", 0, err
	}
	return r.cfg.Depot.Put(ctx, payload, update.MaxPayload, r.cfg.Random)
}

// Stage makes the manifest of a new update and keeps it sealed. Its coverage
// years are those of its release day in the program's time zone.
func (r *Room) Stage(ctx context.Context, actor access.Actor, in StageIn) (Release, error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return Release{}, err
	}
	payloads, err := r.payloads(ctx, in) // which may take a while
	if err != nil {
		return Release{}, err
	}
	var out Release
	err = r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		p, err := s.program(in.Program)
		if err != nil {
			return nil, err
		}
		if s.rows[key{in.Program, in.Update}] != nil {
			return nil, problem.New(problem.Conflict, UpdateExists, "program", in.Program, "update", in.Update)
		}
		loc, err := zone(p)
		if err != nil {
			return nil, err
		}
		at := r.instant(p, loc, s.now, in)
		if at.Before(s.now) {
			return nil, problem.New(problem.Refused, InstantPast, "update", in.Update, "instant", at.Format(time.RFC3339))
		}
		u, err := newUpdate(p, in, dayIn(at, loc))
		if err != nil {
			return nil, err
		}
		u.Payloads = payloads
		one := &row{Release: Release{Update: u, State: Staged, Instant: at, StagedAt: s.now, Actor: actor.String()}}
		if err := s.supersedence(one); err != nil {
			return nil, err
		}
		if err := s.enter(p, one); err != nil {
			return nil, err
		}
		out = one.Release
		entries := []audit.Entry{{Act: "update.stage", Object: updateObject(one), Detail: map[string]any{"instant": at.Unix()}}}
		if m := monthOf(p.ID, u.Released); s.quiet[m] && !u.Ungated {
			delete(s.quiet, m) // the record is no longer true
			s.quieted[m] = true
		}
		return entries, nil
	})
	return out, err
}

// instant is when an update is released, to the second.
func (r *Room) instant(p *program.Program, loc *time.Location, now time.Time, in StageIn) time.Time {
	switch {
	case !in.At.IsZero():
		return in.At.UTC().Truncate(time.Second)
	case in.OutOfBand:
		return now
	}
	for first := civil.New(now.In(loc).Year(), now.In(loc).Month(), 1); ; first = first.AddMonths(1) {
		if at := clock(p.Calendar.ReleaseDay(first.Year(), first.Month()), r.cfg.Hour, loc); at.After(now) {
			return at
		}
	}
}

// newUpdate decides whether an update may be released on a day, and makes its
// manifest but for the payloads.
func newUpdate(p *program.Program, in StageIn, day civil.Date) (*update.Update, error) {
	kind, ok := p.Kind(in.Kind)
	if !ok {
		return nil, problem.New(problem.Invalid, KindUnknown, "program", p.ID, "kind", in.Kind)
	}
	u := &update.Update{
		ID: in.Update, Program: p.ID, Title: in.Title, Kind: kind.ID, Rating: kind.Rating, Component: kind.Component,
		Released: day, OutOfBand: !p.Calendar.Regular(day), Editions: in.Editions, Architectures: in.Architectures,
		Ungated: kind.Ungated || in.Free, Supersedes: in.Supersedes, NotOn: kind.NotOn, Fixes: in.Fixes,
	}
	if in.Rating != "" {
		u.Rating = in.Rating
	}
	if in.Component != "" {
		u.Component = in.Component
	}
	if u.Title == "" {
		u.Title = string(u.ID) + " " + string(u.Kind)
	}
	switch {
	case !slices.Contains(p.Ratings.Order, u.Rating):
		return nil, problem.New(problem.Invalid, RatingUnknown, "program", p.ID, "rating", u.Rating, "ratings", p.Ratings.Order)
	case !u.Ungated && !slices.Contains(p.Ratings.Covered, u.Rating): // rule P2
		return nil, problem.New(problem.Refused, RatingNotCovered, "update", u.ID, "rating", u.Rating, "covered", p.Ratings.Covered)
	case u.Ungated && len(in.Tracks) > 0: // tracks say who needs which year, and nobody needs one
		return nil, problem.New(problem.Invalid, TracksFree, "update", u.ID)
	case u.OutOfBand && !in.OutOfBand && !kind.OutOfBand: // rule D3
		return nil, problem.New(problem.Refused, DayIrregular, "update", u.ID, "released", day, "regular", p.Calendar.ReleaseDay(day.Year(), day.Month()))
	}
	if err := componentEnded(p, u); err != nil {
		return nil, err
	}
	if err := contentEnded(p, in, day); err != nil {
		return nil, err
	}
	u.Years = update.YearsOn(p, day, u.Ungated)
	for _, t := range in.Tracks {
		if _, known := p.Track(t); !known {
			continue // update.Check names it
		}
		if _, ok := u.Years[t]; !ok {
			return nil, problem.New(problem.Refused, TrackUnserved, "update", u.ID, "track", t, "released", day)
		}
	}
	if len(in.Tracks) > 0 {
		all := u.Years
		u.Years = map[program.TrackID]program.Year{}
		for _, t := range in.Tracks {
			u.Years[t] = all[t]
		}
	}
	if c, ok := p.Component(u.Component); ok {
		maps.DeleteFunc(u.Years, func(t program.TrackID, _ program.Year) bool { return slices.Contains(c.Absent, t) })
	}
	if len(u.Years) == 0 {
		return nil, problem.New(problem.Refused, ProgramOver, "program", p.ID, "update", u.ID, "released", day, "last", p.LastDay())
	}
	return u, update.Check(p, u)
}

// componentEnded holds an update to its component's own end (rule P7).
func componentEnded(p *program.Program, u *update.Update) error {
	if u.Component == "" {
		return nil
	}
	c, ok := p.Component(u.Component)
	if !ok {
		return problem.New(problem.Invalid, ComponentUnknown, "program", p.ID, "component", u.Component)
	}
	if c.Ends.Over(u.Released) {
		return problem.New(problem.Refused, ComponentEnded, "update", u.ID, "component", c.Name, "ended", c.Ends.Date, "released", u.Released)
	}
	return nil
}

// contentEnded holds ungated content to its own end (rule P8).
func contentEnded(p *program.Program, in StageIn, day civil.Date) error {
	var of []program.Ungated
	var names []string
	for _, c := range p.Ungated {
		if c.Kind == in.Kind {
			of, names = append(of, c), append(names, c.ID)
		}
	}
	if in.Content != "" {
		of = slices.DeleteFunc(of, func(c program.Ungated) bool { return c.ID != in.Content })
		if len(of) == 0 {
			return problem.New(problem.Invalid, ContentUnknown, "update", in.Update, "content", in.Content, "kind", in.Kind)
		}
	}
	switch {
	case len(of) > 1:
		return problem.New(problem.Invalid, ContentUnnamed, "update", in.Update, "kind", in.Kind, "contents", names)
	case len(of) == 1 && of[0].Ends.Over(day):
		return problem.New(problem.Refused, ContentEnded, "update", in.Update, "content", of[0].Name, "ended", of[0].Ends.Date, "released", day)
	}
	return nil
}

// supersedence lets an update supersede only what is there, by then.
func (s *state) supersedence(r *row) error {
	for _, id := range r.Update.Supersedes {
		old := s.rows[key{r.Update.Program, id}]
		switch {
		case old == nil:
			return problem.New(problem.Refused, SupersedesUnknown, "update", r.Update.ID, "other", id)
		case old.State == Withdrawn:
			return problem.New(problem.Refused, SupersedesWithdrawn, "update", r.Update.ID, "other", id)
		case old.Instant.After(r.Instant):
			return problem.New(problem.Refused, SupersedesLater, "update", r.Update.ID, "other", id)
		}
	}
	return nil
}

// enter adds updates to those that are known, when devices could make a catalog
// of all of them.
func (s *state) enter(p *program.Program, rows ...*row) error {
	if err := s.catalogs(p, rows); err != nil {
		return err
	}
	for _, r := range rows {
		text, err := r.Update.Manifest()
		if err != nil {
			return problem.New(problem.Invalid, update.ManifestMalformed, "what", err.Error()).Because(err)
		}
		if r.Update, err = update.ParseManifest(text); err != nil {
			return err // larger than devices take, for instance
		}
		r.manifest = text
		s.rows[r.key()], s.touched[r.key()] = r, true
	}
	return nil
}

// catalogs tells whether what is known and these rows make a catalog.
func (s *state) catalogs(p *program.Program, rows []*row) error {
	var all []update.Update
	for _, r := range slices.Concat(s.of(p.ID), rows) {
		if r.State != Withdrawn {
			all = append(all, *r.Update)
		}
	}
	_, err := update.NewCatalog(p, all)
	return err
}
