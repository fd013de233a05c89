package coverage_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// model is the gate written another way: plain lists, walked anew for every
// question, nothing worked out beforehand. It is slow and meant to be read
// beside the rulebook.
type model struct {
	p   *program.Program
	all []update.Update
}

func (m model) get(id program.UpdateID) *update.Update {
	for i := range m.all {
		if m.all[i].ID == id {
			return &m.all[i]
		}
	}
	return nil
}

// supersedes reports whether a stands in the place of b, directly or through others.
func (m model) supersedes(a, b *update.Update) bool {
	for _, id := range a.Supersedes {
		if id == b.ID {
			return true
		}
		if next := m.get(id); next != nil && m.supersedes(next, b) {
			return true
		}
	}
	return false
}

func (m model) edition(f device.Facts) *program.Edition {
	e, _ := m.p.Edition(f.Edition)
	return e
}

// notForIt is why the update is not for the device ("" when it is), and the year
// that it needs there.
func (m model) notForIt(f device.Facts, u *update.Update) (string, program.Year) {
	e := m.edition(f)
	if e == nil && !u.Ungated {
		return "edition-unknown", 0
	}
	year, served := program.Free, true
	if !u.Ungated {
		year, served = u.Years[e.Track], slices.ContainsFunc(m.p.Tracks, func(t program.Track) bool {
			_, in := u.Years[t.ID]
			return t.ID == e.Track && in
		})
	}
	if e != nil && e.Ineligible != nil && (!served || year > 0) {
		return "edition-ineligible", 0
	}
	if !served || len(u.Editions) > 0 && !slices.Contains(u.Editions, f.Edition) {
		return "not-for-edition", 0
	}
	known := slices.Contains(m.p.Architectures, f.Arch) && (e == nil || len(e.Architectures) == 0 || slices.Contains(e.Architectures, f.Arch))
	if !known || len(u.Architectures) > 0 && !slices.Contains(u.Architectures, f.Arch) {
		return "not-for-architecture", 0
	}
	if c, ok := m.p.Component(u.Component); ok && c.Optional && !slices.Contains(f.Components, u.Component) {
		return "component-absent", 0
	}
	return "", year
}

func (m model) holds(f device.Facts, held []license.Grant, year program.Year, day civil.Date) bool {
	if year == program.Free {
		return true
	}
	for _, g := range held {
		if g.Track == m.edition(f).Track && g.Year == year && (g.Until.IsZero() || day.Compare(g.Until) <= 0) {
			return true
		}
	}
	return false
}

func (m model) meets(f device.Facts, r *program.Prerequisite) bool {
	if e := m.edition(f); len(r.Tracks) > 0 && (e == nil || !slices.Contains(r.Tracks, e.Track)) {
		return true
	}
	for _, id := range f.Installed {
		if m.satisfies(id, r) {
			return true
		}
	}
	return false
}

func (m model) satisfies(id program.UpdateID, r *program.Prerequisite) bool {
	if slices.Contains(r.AnyOf, id) {
		return true
	}
	u := m.get(id)
	if u == nil {
		return false
	}
	for _, named := range r.AnyOf {
		if old := m.get(named); old != nil && m.supersedes(u, old) {
			return true
		}
	}
	for _, l := range r.OrLater {
		if slices.Contains(l.Kinds, u.Kind) && u.Released.Compare(l.Since) >= 0 {
			return true
		}
	}
	return false
}

func (m model) decide(f device.Facts, held []license.Grant, u *update.Update) coverage.Verdict {
	if slices.Contains(f.Installed, u.ID) {
		return coverage.Verdict{State: coverage.Installed}
	}
	why, year := m.notForIt(f, u)
	if why != "" {
		return refuse(coverage.NotApplicable, reason(why))
	}
	var best *update.Update
	for i := range m.all {
		s := &m.all[i]
		if !m.supersedes(s, u) {
			continue
		}
		no, need := m.notForIt(f, s)
		if (no == "" && m.holds(f, held, need, s.Released) || slices.Contains(f.Installed, s.ID)) &&
			(best == nil || s.Released.After(best.Released) || s.Released == best.Released && s.ID > best.ID) {
			best = s
		}
	}
	if best != nil {
		r := reason("superseded")
		r.Update = best.ID
		return refuse(coverage.NotApplicable, r)
	}
	v := coverage.Verdict{State: coverage.Needed}
	for i := range m.p.Prerequisites {
		r := &m.p.Prerequisites[i]
		if !u.Ungated && year > 0 && u.Released.Compare(r.From) >= 0 && !m.satisfies(u.ID, r) && !m.meets(f, r) {
			v.State = coverage.PrerequisiteMissing
			lacking := reason("prerequisite-" + string(r.Role))
			lacking.Prerequisite, lacking.Update = r.ID, r.AnyOf[len(r.AnyOf)-1]
			v.Reasons = append(v.Reasons, lacking)
		}
	}
	if f.RestartPending {
		v.Reasons = append(v.Reasons, reason("restart-pending"))
	}
	if year > 0 && f.EmbeddedKeyRange && !f.ProductActivated {
		v.State, v.Reasons = coverage.NotCovered, append(v.Reasons, reason("product-not-activated"))
	}
	if !m.holds(f, held, year, u.Released) {
		r := reason("year-not-covered")
		r.Year = year
		v.State, v.Reasons = coverage.NotCovered, append(v.Reasons, r)
	}
	if year > 0 && f.OfflineImage {
		v.Reasons = append(v.Reasons, reason("offline-image"))
	}
	return v
}

func reason(code string) coverage.Reason {
	return coverage.Reason{Code: problem.Code("coverage." + code)}
}

// TestDecideAgainstTheModel asks both about 100,000 random cases.
func TestDecideAgainstTheModel(t *testing.T) {
	const worlds, questions = 500, 200
	p := load(t, box)
	sets := everySet(t, p)
	states := map[coverage.State]int{}
	for world := range uint64(worlds) {
		r := rand.New(rand.NewPCG(world, 0)) // repeatable on purpose
		all := randomHistory(p, r)
		c, m := catalog(t, p, all), model{p, all}
		for range questions {
			f, set, e := randomFacts(p, all, r), sets[r.IntN(len(sets))], c.All()[r.IntN(len(all))]
			got, want := coverage.Decide(c.See(&f), set.held, e), m.decide(f, set.grants, e.Update)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("world %d: %+v\nholding %v\nasks for %+v:\n%s", world, f, set.grants, e.Update, diff)
			}
			states[got.State]++
		}
	}
	for _, s := range []coverage.State{coverage.Installed, coverage.NotApplicable, coverage.NotCovered, coverage.PrerequisiteMissing, coverage.Needed} {
		if states[s] < worlds*questions/100 {
			t.Errorf("only %d of %d cases are %s: the cases say too little", states[s], worlds*questions, s)
		}
	}
}

type heldSet struct {
	grants []license.Grant
	held   license.Set
}

// everySet is every choice of years, some of them ended on a day.
func everySet(t *testing.T, p *program.Program) []heldSet {
	t.Helper()
	options := []license.Grant{
		{Track: "desk", Year: 1}, {Track: "desk", Year: 2}, {Track: "desk", Year: 3}, {Track: "till", Year: 1},
		{Track: "desk", Year: 1, Until: civil.MustParse("2020-08-01")},
	}
	var sets []heldSet
	for mask := range 1 << len(options) {
		var g []license.Grant
		for i, o := range options {
			if mask>>i&1 == 1 {
				g = append(g, o)
			}
		}
		sets = append(sets, heldSet{g, licensetest.Set(t, p, g...)})
	}
	return sets
}

func randomHistory(p *program.Program, r *rand.Rand) []update.Update {
	kinds := []program.KindID{"rollup", "rollup", "rollup", "stack", "runtime"}
	day := civil.MustParse("2019-09-01")
	var all []update.Update
	for i := range 5 + r.IntN(20) {
		day = day.AddDays(r.IntN(90))
		if len(update.YearsOn(p, day, false)) == 0 {
			break
		}
		u := release(p, fmt.Sprintf("U%02d", i), day.String(), kinds[r.IntN(len(kinds))])
		for _, old := range all {
			if r.IntN(4) == 0 {
				u.Supersedes = append(u.Supersedes, old.ID)
			}
		}
		if r.IntN(4) == 0 {
			u.Editions = pick(r, program.EditionID("pro"), "lab", "till", "home")
		}
		if r.IntN(6) == 0 {
			u.Architectures = []program.Arch{p.Architectures[r.IntN(2)]}
		}
		all = append(all, u)
	}
	for i, id := range []program.UpdateID{"SHA", "S1", "L0", "P0", "P1"} { // some of what prerequisites name is in the history
		if r.IntN(2) == 0 && i < len(all) {
			renamed := all[i].ID
			all[i].ID = id
			for j := range all {
				for k := range all[j].Supersedes {
					if all[j].Supersedes[k] == renamed {
						all[j].Supersedes[k] = id
					}
				}
			}
		}
	}
	return all
}

func randomFacts(p *program.Program, all []update.Update, r *rand.Rand) device.Facts {
	f := device.Facts{
		Program:          p.ID,
		Edition:          []program.EditionID{"pro", "pro", "lab", "till", "home", "odd"}[r.IntN(6)],
		Arch:             []program.Arch{"x64", "x64", "x64", "x86", "arm"}[r.IntN(5)],
		Components:       pick(r, program.ComponentID("runtime")),
		Installed:        pick(r, program.UpdateID("SHA"), "S1", "L0", "P0", "P1"),
		RestartPending:   r.IntN(8) == 0,
		OfflineImage:     r.IntN(8) == 0,
		AuditMode:        r.IntN(8) == 0,
		ProductActivated: r.IntN(2) == 0,
		EmbeddedKeyRange: r.IntN(4) == 0,
	}
	for _, u := range all {
		if r.IntN(12) == 0 {
			f.Installed = append(f.Installed, u.ID)
		}
	}
	f.Normalize()
	return f
}

func pick[T any](r *rand.Rand, from ...T) []T {
	var some []T
	for _, one := range from {
		if r.IntN(2) == 0 {
			some = append(some, one)
		}
	}
	return some
}
