package update

import (
	"math/bits"
	"slices"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/program"
)

// View is one device as a catalog sees it: what its facts come to, worked out
// once, so that the gate can be asked about every update at the price of a few
// bit operations each. It is immutable.
type View struct {
	Catalog *Catalog
	Facts   *device.Facts
	// Edition is the device's edition, nil when the program does not know it.
	Edition *program.Edition
	// Track is the device's track, nil when its edition is on none.
	Track *program.Track

	edition   int // ordinal
	track     int // ordinal
	arch      uint16
	installed []uint64 // by ordinal
	satisfied uint64   // prerequisites met, by ordinal
}

// See looks at a device. The facts must be normalized and may not change while
// the view is in use.
func (c *Catalog) See(f *device.Facts) *View {
	v := &View{Catalog: c, Facts: f, edition: -1, track: -1, installed: make([]uint64, c.words)}
	if i := slices.IndexFunc(c.Program.Editions, func(e program.Edition) bool { return e.ID == f.Edition }); i >= 0 {
		v.edition, v.Edition = i, &c.Program.Editions[i]
		if t := slices.IndexFunc(c.Program.Tracks, func(t program.Track) bool { return t.ID == v.Edition.Track }); t >= 0 {
			v.track, v.Track = t, &c.Program.Tracks[t]
		}
	}
	if i := slices.Index(c.Program.Architectures, f.Arch); i >= 0 && (v.Edition == nil ||
		len(v.Edition.Architectures) == 0 || slices.Contains(v.Edition.Architectures, f.Arch)) {
		v.arch = 1 << i
	}
	for _, id := range f.Installed {
		v.satisfied |= c.satisfied[id]
		if e := c.byID[id]; e != nil {
			v.installed[e.n/64] |= 1 << (e.n % 64)
		}
	}
	for i := range c.Program.Prerequisites {
		if tracks := c.Program.Prerequisites[i].Tracks; len(tracks) > 0 && (v.Track == nil || !slices.Contains(tracks, v.Track.ID)) {
			v.satisfied |= 1 << i // not asked of this track
		}
	}
	return v
}

// Installed reports whether the device says that it has e.
func (v *View) Installed(e *Entry) bool {
	return v.installed[e.n/64]&(1<<(e.n%64)) != 0
}

// ArchitectureKnown reports whether the program serves the device's edition on
// its architecture.
func (v *View) ArchitectureKnown() bool { return v.arch != 0 }

// ForEdition reports whether e is for the device's edition. Ungated content
// reaches editions that the program does not know (rule P8).
func (v *View) ForEdition(e *Entry) bool {
	if v.edition < 0 {
		return e.Ungated && len(e.Editions) == 0
	}
	return e.editions[v.edition/64]&(1<<(v.edition%64)) != 0
}

// ForArchitecture reports whether e is for the device's architecture.
func (v *View) ForArchitecture(e *Entry) bool { return e.arch&v.arch != 0 }

// ForComponents reports whether the device has the component that e mends.
func (v *View) ForComponents(e *Entry) bool {
	return !e.optional || v.Facts.HasComponent(e.Component)
}

// Applies reports whether e is for this device at all, whatever it has and
// whatever it is covered for.
func (v *View) Applies(e *Entry) bool {
	return v.ForEdition(e) && v.ForArchitecture(e) && v.ForComponents(e)
}

// Year is the coverage that the device needs for e: Free, a year, or false when
// e does not serve its track.
func (v *View) Year(e *Entry) (program.Year, bool) {
	if e.Ungated {
		return program.Free, true
	}
	if v.track < 0 {
		return program.Free, false
	}
	return e.tracks[v.track].year, e.tracks[v.track].served
}

// SupersededBy finds the newest update that supersedes e and that this device
// may have: one that it has, or one that applies and whose year may says it
// holds (rule D12). What it may not have supersedes nothing.
func (v *View) SupersededBy(e *Entry, may func(*Entry, program.Year) bool) *Entry {
	if len(e.newer) == 0 {
		return nil
	}
	for _, s := range e.newer {
		if v.Installed(s) {
			return s
		}
		if year, served := v.Year(s); served && v.Applies(s) && may(s, year) {
			return s
		}
	}
	return nil
}

// MaybeSuperseded is a quick look before SupersededBy: false means that nothing
// newer is free, held (years is a bit set of the years that the device holds,
// bit 0 for free ones) or installed.
func (v *View) MaybeSuperseded(e *Entry, years uint32) bool {
	if len(e.newer) == 0 {
		return false
	}
	for w := range e.newerSet {
		if e.newerSet[w]&v.installed[w] != 0 {
			return true
		}
	}
	if v.track < 0 {
		return e.Ungated
	}
	need := &e.tracks[v.track]
	return need.partial || need.newer&(years|1) != 0
}

// Missing are the prerequisites of e that the device lacks, in the order in
// which it meets them. What is free on the device's track asks for none.
func (v *View) Missing(e *Entry) []*program.Prerequisite {
	return v.Catalog.pick(v.lacks(e))
}

// HasPrerequisites reports whether Missing(e) would be empty.
func (v *View) HasPrerequisites(e *Entry) bool { return v.lacks(e) == 0 }

func (v *View) lacks(e *Entry) uint64 {
	if v.track < 0 || e.tracks[v.track].year == program.Free {
		return 0
	}
	return e.requires &^ v.satisfied
}

// Unmet are the prerequisites of the program that the device lacks on its
// track, whatever update they are for, in order.
func (v *View) Unmet() []*program.Prerequisite {
	all := uint64(1)<<len(v.Catalog.Program.Prerequisites) - 1
	return v.Catalog.pick(all &^ v.satisfied)
}

// Satisfied reports whether the device meets a prerequisite.
func (v *View) Satisfied(r *program.Prerequisite) bool {
	i := slices.IndexFunc(v.Catalog.Program.Prerequisites, func(q program.Prerequisite) bool { return q.ID == r.ID })
	return i >= 0 && v.satisfied&(1<<i) != 0
}

func (c *Catalog) pick(mask uint64) []*program.Prerequisite {
	var found []*program.Prerequisite
	for ; mask != 0; mask &= mask - 1 {
		found = append(found, &c.Program.Prerequisites[bits.TrailingZeros64(mask)])
	}
	return found
}
