package update

import (
	"fmt"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// What can be wrong with a set of manifests.
const (
	// OtherProgram is an update of another program.
	OtherProgram problem.Code = "update.other-program"
	// Twice is an update that stands twice.
	Twice problem.Code = "update.duplicate"
	// UnknownTrack is a track, edition, architecture, component or kind that the program does not have.
	UnknownTrack problem.Code = "update.unknown-reference"
	// YearWrong is a coverage year that does not follow from the release day.
	YearWrong problem.Code = "update.year-does-not-match"
	// SupersedesLater is supersedence that runs backwards or in a circle.
	SupersedesLater problem.Code = "update.supersedes-later"
)

// Catalog is all that was released of one program, with what follows from it
// worked out once. It is immutable and safe for use by many at once.
type Catalog struct {
	Program *program.Program
	entries []*Entry
	byID    map[program.UpdateID]*Entry
	// satisfied maps an update to the prerequisites that its presence meets.
	satisfied map[program.UpdateID]uint64
	words     int // of a bit set of entries
}

// Entry is an update in a catalog.
type Entry struct {
	*Update

	n        int
	tracks   []trackNeed // by the program's track ordinal
	editions []uint64    // bit set by edition ordinal
	arch     uint16      // bit set by architecture ordinal
	optional bool        // its component may be absent from a device
	requires uint64      // prerequisites, by ordinal, where it needs coverage
	// newer are the updates that supersede this one, directly or not; newest first.
	newer    []*Entry
	newerSet []uint64 // the same by ordinal
}

// trackNeed is what an update needs on one track, and what those that supersede
// it and serve at least the same devices need there.
type trackNeed struct {
	year    program.Year
	served  bool
	newer   uint32 // bit set by year: some update that supersedes this one for all its devices needs it
	partial bool   // some others supersede it for a part of its devices only
}

// NewCatalog checks a set of manifests against the program and works out
// supersedence and prerequisites. Updates may supersede ones that are not in
// the set (older than the history), but nothing that was released later.
func NewCatalog(p *program.Program, all []Update) (*Catalog, error) {
	c := &Catalog{Program: p, byID: make(map[program.UpdateID]*Entry, len(all)), words: (len(all) + 63) / 64}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b Update) int {
		if d := a.Released.Compare(b.Released); d != 0 {
			return d
		}
		return compare(a.ID, b.ID)
	})
	for i := range sorted {
		u := &sorted[i]
		if err := Check(p, u); err != nil {
			return nil, err
		}
		if c.byID[u.ID] != nil {
			return nil, problem.New(problem.Invalid, Twice, "update", u.ID)
		}
		e := c.newEntry(u, i)
		c.entries = append(c.entries, e)
		c.byID[u.ID] = e
	}
	if err := c.closeSupersedence(); err != nil {
		return nil, err
	}
	c.closePrerequisites()
	return c, nil
}

func compare(a, b program.UpdateID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Check holds one manifest to its program: every name is known, and each
// track's year is the one that the release day gives (rules K4, P1).
func Check(p *program.Program, u *Update) error {
	if u.Program != p.ID {
		return problem.New(problem.Invalid, OtherProgram, "update", u.ID, "program", u.Program, "expected", p.ID)
	}
	unknown := func(what string, name any) error {
		return problem.New(problem.Invalid, UnknownTrack, "update", u.ID, "what", what, "name", fmt.Sprint(name))
	}
	if _, ok := p.Kind(u.Kind); !ok {
		return unknown("kind", u.Kind)
	}
	if _, ok := p.Component(u.Component); u.Component != "" && !ok {
		return unknown("component", u.Component)
	}
	for _, e := range u.Editions {
		if _, ok := p.Edition(e); !ok {
			return unknown("edition", e)
		}
	}
	for _, a := range u.Architectures {
		if !slices.Contains(p.Architectures, a) {
			return unknown("architecture", a)
		}
	}
	for id, year := range u.Years {
		t, ok := p.Track(id)
		if !ok {
			return unknown("track", id)
		}
		due, in := t.YearOf(u.Released)
		if u.Ungated {
			due, in = program.Free, true
		}
		if !in || due != year {
			return problem.New(problem.Invalid, YearWrong, "update", u.ID, "track", id, "year", int(year), "released", u.Released)
		}
	}
	return nil
}

// YearsOn is what an update released on day needs on each of the tracks: the
// part of a manifest that is fixed at release. Tracks whose last year is over,
// or where the day falls between two, are left out.
func YearsOn(p *program.Program, day civil.Date, ungated bool) map[program.TrackID]program.Year {
	years := make(map[program.TrackID]program.Year, len(p.Tracks))
	for i := range p.Tracks {
		t := &p.Tracks[i]
		if ungated {
			years[t.ID] = program.Free
		} else if y, ok := t.YearOf(day); ok {
			years[t.ID] = y
		}
	}
	return years
}

func (c *Catalog) newEntry(u *Update, n int) *Entry {
	p := c.Program
	e := &Entry{Update: u, n: n, newerSet: make([]uint64, c.words)}
	e.tracks = make([]trackNeed, len(p.Tracks))
	for i := range p.Tracks {
		e.tracks[i].year, e.tracks[i].served = u.Years[p.Tracks[i].ID], hasKey(u.Years, p.Tracks[i].ID)
	}
	e.editions = make([]uint64, (len(p.Editions)+63)/64)
	for i := range p.Editions {
		ed := &p.Editions[i]
		if len(u.Editions) > 0 && !slices.Contains(u.Editions, ed.ID) {
			continue
		}
		if u.Ungated || hasKey(u.Years, ed.Track) {
			e.editions[i/64] |= 1 << (i % 64)
		}
	}
	for i, a := range p.Architectures {
		if len(u.Architectures) == 0 || slices.Contains(u.Architectures, a) {
			e.arch |= 1 << i
		}
	}
	if component, ok := p.Component(u.Component); ok {
		e.optional = component.Optional
	}
	return e
}

func hasKey[K comparable, V any](m map[K]V, k K) bool {
	_, ok := m[k]
	return ok
}

// closeSupersedence finds, for every update, all that supersede it, directly or
// through others.
func (c *Catalog) closeSupersedence() error {
	direct := make([][]*Entry, len(c.entries)) // by ordinal: what supersedes it directly
	for _, e := range c.entries {
		for _, id := range e.Supersedes {
			old := c.byID[id]
			if old == nil {
				continue
			}
			if old.Released.After(e.Released) {
				return problem.New(problem.Invalid, SupersedesLater, "update", e.ID, "other", old.ID)
			}
			direct[old.n] = append(direct[old.n], e)
		}
	}
	const begun, closed = 1, 2
	state := make([]int, len(c.entries))
	var closeEntry func(e *Entry) error
	closeEntry = func(e *Entry) error {
		state[e.n] = begun
		for _, s := range direct[e.n] {
			if state[s.n] == begun {
				return problem.New(problem.Invalid, SupersedesLater, "update", s.ID, "other", e.ID)
			}
			if state[s.n] != closed {
				if err := closeEntry(s); err != nil {
					return err
				}
			}
			e.newerSet[s.n/64] |= 1 << (s.n % 64)
			for w := range e.newerSet {
				e.newerSet[w] |= s.newerSet[w]
			}
		}
		state[e.n] = closed
		return nil
	}
	for _, e := range c.entries {
		if state[e.n] != closed {
			if err := closeEntry(e); err != nil {
				return err
			}
		}
		c.sum(e)
	}
	return nil
}

// sum lists what supersedes e, newest first, and notes what that needs on each track.
func (c *Catalog) sum(e *Entry) {
	for _, s := range slices.Backward(c.entries) {
		if e.newerSet[s.n/64]&(1<<(s.n%64)) == 0 {
			continue
		}
		e.newer = append(e.newer, s)
		for t := range e.tracks {
			switch need := &e.tracks[t]; {
			case !s.tracks[t].served:
			case s.servesAll(e):
				need.newer |= 1 << s.tracks[t].year
			default:
				need.partial = true
			}
		}
	}
}

// servesAll reports whether every device that old is for is one that e is for.
func (e *Entry) servesAll(old *Entry) bool {
	for w := range old.editions {
		if old.editions[w]&^e.editions[w] != 0 {
			return false
		}
	}
	return old.arch&^e.arch == 0 && (e.Component == old.Component || !e.optional)
}

// closePrerequisites finds which prerequisites each update's presence meets:
// those that name it, those that name one that it supersedes, and those whose
// 'or later' describes it; and which ones each update requires.
func (c *Catalog) closePrerequisites() {
	c.satisfied = make(map[program.UpdateID]uint64)
	for i := range c.Program.Prerequisites {
		r, bit := &c.Program.Prerequisites[i], uint64(1)<<i
		for _, id := range r.AnyOf {
			c.satisfied[id] |= bit
			if e := c.byID[id]; e != nil {
				for _, s := range e.newer {
					c.satisfied[s.ID] |= bit
				}
			}
		}
		for _, e := range c.entries {
			if laterThan(r.OrLater, e.Update) {
				c.satisfied[e.ID] |= bit
			}
		}
	}
	for _, e := range c.entries {
		if e.Ungated { // a prerequisite must not need what it unlocks
			continue
		}
		for i := range c.Program.Prerequisites {
			r := &c.Program.Prerequisites[i]
			if !e.Released.Before(r.From) && c.satisfied[e.ID]&(1<<i) == 0 {
				e.requires |= 1 << i
			}
		}
	}
}

func laterThan(rules []program.Later, u *Update) bool {
	return slices.ContainsFunc(rules, func(l program.Later) bool {
		return slices.Contains(l.Kinds, u.Kind) && !u.Released.Before(l.Since)
	})
}

// All is every update, in order of release and then of id.
func (c *Catalog) All() []*Entry { return c.entries }

// Find finds an update.
func (c *Catalog) Find(id program.UpdateID) (*Entry, bool) {
	e, ok := c.byID[id]
	return e, ok
}

// Newer are the updates that supersede e, directly or not, newest first.
func (e *Entry) Newer() []*Entry { return e.newer }

// Prerequisites are what a device must have before it installs e under
// coverage, in the order in which it meets them.
func (c *Catalog) Prerequisites(e *Entry) []*program.Prerequisite {
	return c.pick(e.requires)
}
