package program

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// limits that let a catalog hold what it derives in machine words
const (
	maxTracks        = 64
	maxPrerequisites = 64
)

func (c *checker) public() {
	p := &c.p.Public
	if p.Format != 1 {
		c.bad("format", p.Format, "1")
	}
	if _, err := ParseID(string(p.ID)); err != nil {
		c.bad("id", p.ID, "lower-case words joined by '-', but not 'trust' or 'programs'")
	}
	for _, text := range []struct{ path, value string }{{"name", p.Name}, {"vendor", p.Vendor}, {"time-zone", p.TimeZone},
		{"upgrade-advice", p.Upgrade.String()}, {"end-of-support-notice", p.Notice.String()}} {
		if text.value == "" {
			c.missing(text.path, "a text")
		}
	}
	if p.Version < 1 {
		c.bad("version", p.Version, "a whole number from 1")
	}
	if p.From.IsZero() {
		c.missing("from", "the day from which this version holds")
	}
	if p.Calendar.Week < 1 || p.Calendar.Week > 4 {
		c.bad("calendar.week", p.Calendar.Week, "1 to 4")
	}
	c.ratings()
	c.tracks()
	c.editions()
	c.components()
	c.prerequisites()
	c.content()
}

func (c *checker) ratings() {
	r := c.p.Ratings
	seen := map[Rating]bool{}
	for i, rating := range r.Order {
		unique(c, seen, at("ratings.order", i), rating)
	}
	if len(r.Covered) == 0 {
		c.missing("ratings.covered", "the ratings that are in coverage")
	}
	for i, rating := range r.Covered {
		if !seen[rating] {
			c.unknown(at("ratings.covered", i), rating, "one of ratings.order")
		}
	}
}

func (c *checker) tracks() {
	if n := len(c.p.Tracks); n == 0 || n > maxTracks {
		c.missing("tracks", fmt.Sprintf("1 to %d tracks", maxTracks))
	}
	ids, activation, tags := map[TrackID]bool{}, map[ActivationID]bool{}, map[Tag]bool{}
	for i := range c.p.Tracks {
		t, path := &c.p.Tracks[i], at("tracks", i)
		c.slug(path+".id", string(t.ID))
		unique(c, ids, path+".id", t.ID)
		if t.Name == "" {
			c.missing(path+".name", "the product's name")
		}
		if t.EndOfSupport.IsZero() {
			c.missing(path+".end-of-support", "a day YYYY-MM-DD")
			continue
		}
		if n := len(t.Years); n == 0 || n > MaxYear {
			c.missing(path+".years", fmt.Sprintf("1 to %d coverage years", MaxYear))
		}
		for j := range t.Years {
			y, path := &t.Years[j], at(path+".years", j)
			c.year(t, j, path)
			unique(c, activation, path+".activation-id", y.ActivationID)
			unique(c, tags, path+".tag", y.Tag)
		}
	}
}

// year holds one coverage year to rule P1 and to its neighbor: no gap, no
// overlap, and the first starts on the end-of-support day or the day after.
func (c *checker) year(t *Track, j int, path string) {
	y := &t.Years[j]
	if y.Year != Year(j+1) { //nolint:gosec // at most MaxYear
		c.bad(path+".year", y.Year, strconv.Itoa(j+1)+", because years are listed in order from 1")
	}
	if !y.Range().Valid() {
		c.bad(path, y.Range(), "first and last day, in this order")
		return
	}
	switch after := t.EndOfSupport.AddDays(1); {
	case j > 0 && y.First.After(t.Years[j-1].Last.AddDays(1)):
		c.add(path+".first", YearsGap, "track", t.ID, "year", y.Year, "after", t.Years[j-1].Last, "first", y.First)
	case j > 0 && !y.First.After(t.Years[j-1].Last):
		c.add(path+".first", YearsOverlap, "track", t.ID, "year", y.Year, "last", t.Years[j-1].Last, "first", y.First)
	case j == 0 && y.First.Before(t.EndOfSupport):
		c.add(path+".first", YearEarly, "track", t.ID, "endOfSupport", t.EndOfSupport, "first", y.First)
	case j == 0 && y.First.After(after):
		c.add(path+".first", YearsGap, "track", t.ID, "year", y.Year, "after", t.EndOfSupport, "first", y.First)
	}
	if id, err := ParseActivationID(string(y.ActivationID)); err != nil || id != y.ActivationID {
		c.bad(path+".activation-id", y.ActivationID, "lower-case hexadecimal digits in groups of 8-4-4-4-12")
	}
	if y.Tag == 0 || y.Tag > MaxTag {
		c.bad(path+".tag", y.Tag, fmt.Sprintf("1 to %d, unique over all of the vendor's programs", MaxTag))
	}
	if y.Key.Portal == "" || y.Key.Tool == "" || y.Key.Device == "" {
		c.missing(path+".key", "the key's names: portal, tool and device")
	}
	if y.Only != "" && y.Only != OnlyCloud {
		c.bad(path+".only", y.Only, "cloud, or nothing")
	}
}

func (c *checker) editions() {
	p := &c.p.Public
	arch := map[Arch]bool{}
	for i, a := range p.Architectures {
		c.slug(at("architectures", i), string(a))
		unique(c, arch, at("architectures", i), a)
	}
	if n := len(arch); n == 0 || n > 16 {
		c.missing("architectures", "1 to 16 architectures")
	}
	ids, names := map[EditionID]bool{}, map[string]bool{}
	for i := range p.Editions {
		e, path := &p.Editions[i], at("editions", i)
		c.slug(path+".id", string(e.ID))
		unique(c, ids, path+".id", e.ID)
		if e.Name == "" {
			c.missing(path+".name", "the edition's name")
		}
		unique(c, names, path+".name", strings.ToLower(e.Name))
		for j, alias := range e.Aliases {
			unique(c, names, at(path+".aliases", j), strings.ToLower(alias))
		}
		switch {
		case e.Ineligible != nil && e.Ineligible.Reason.String() == "":
			c.missing(path+".ineligible.reason", "why the edition is outside the program")
		case e.Ineligible == nil || e.Track != "":
			c.track(path+".track", e.Track)
		}
		for j, a := range e.Architectures {
			if !arch[a] {
				c.unknown(at(path+".architectures", j), a, "one of architectures")
			}
		}
	}
	if len(ids) == 0 {
		c.missing("editions", "at least one edition")
	}
}

func (c *checker) components() {
	p := &c.p.Public
	ids := map[ComponentID]bool{}
	for i := range p.Components {
		path := at("components", i)
		c.slug(path+".id", string(p.Components[i].ID))
		unique(c, ids, path+".id", p.Components[i].ID)
		for j, t := range p.Components[i].Absent {
			c.track(at(path+".absent-on", j), t)
		}
	}
	if len(p.Components) > 64 {
		c.bad("components", len(p.Components), "64 at most")
	}
	delivery := map[DeliveryID]bool{}
	defaults := 0
	for i, d := range p.Delivery {
		c.slug(at("delivery", i)+".id", string(d.ID))
		unique(c, delivery, at("delivery", i)+".id", d.ID)
		if d.Default {
			defaults++
		}
	}
	if defaults != 1 {
		c.bad("delivery", fmt.Sprintf("%d defaults", defaults), "at least one way of delivery, and one of them the default")
	}
	kinds, names := map[KindID]bool{}, map[string]bool{}
	for i := range p.Kinds {
		k, path := &p.Kinds[i], at("kinds", i)
		c.slug(path+".id", string(k.ID))
		unique(c, kinds, path+".id", k.ID)
		for j, name := range k.Names {
			unique(c, names, at(path+".names", j), name)
		}
		if k.Component != "" && !ids[k.Component] {
			c.unknown(path+".component", k.Component, "one of components")
		}
		if !k.Ungated && !slices.Contains(p.Ratings.Covered, k.Rating) {
			c.bad(path+".rating", k.Rating, "one of ratings.covered, or ungated: true")
		}
		for j, d := range k.NotOn {
			if !delivery[d] {
				c.unknown(at(path+".not-on", j), d, "one of delivery")
			}
		}
	}
	if len(kinds) == 0 {
		c.missing("kinds", "at least one kind of update")
	}
}

func (c *checker) prerequisites() {
	ids := map[PrerequisiteID]bool{}
	if len(c.p.Prerequisites) > maxPrerequisites {
		c.bad("prerequisites", len(c.p.Prerequisites), fmt.Sprintf("%d at most", maxPrerequisites))
	}
	for i := range c.p.Prerequisites {
		r, path := &c.p.Prerequisites[i], at("prerequisites", i)
		c.slug(path+".id", string(r.ID))
		unique(c, ids, path+".id", r.ID)
		if r.Name.String() == "" {
			c.missing(path+".name", "a name that a person knows it by")
		}
		if !slices.Contains(Roles(), r.Role) {
			c.bad(path+".role", r.Role, fmt.Sprint("one of ", Roles()))
		}
		if len(r.AnyOf) == 0 && len(r.OrLater) == 0 {
			c.missing(path+".any-of", "the updates that satisfy it")
		}
		for j, u := range r.AnyOf {
			c.update(at(path+".any-of", j), u)
		}
		for j, t := range r.Tracks {
			c.track(at(path+".tracks", j), t)
		}
		for j := range r.OrLater {
			c.later(at(path+".or-later", j), &r.OrLater[j])
		}
		if r.Restarts < 0 || r.Restarts > 2 {
			c.bad(path+".restarts", r.Restarts, "0, 1 or 2")
		}
	}
}

func (c *checker) content() {
	p := &c.p.Public
	if k := p.Check; k != nil {
		if len(k.Updates) == 0 {
			c.missing("check-package.updates", "the updates that are the check package")
		}
		for i, u := range k.Updates {
			c.update(at("check-package.updates", i), u)
		}
		for i := range k.Needs {
			c.later(at("check-package.needs", i), &k.Needs[i])
		}
	}
	seen := map[string]bool{}
	for i, u := range p.Ungated {
		path := at("ungated", i)
		c.slug(path+".id", u.ID)
		unique(c, seen, path+".id", u.ID)
		if k, ok := p.Kind(u.Kind); !ok || !k.Ungated {
			c.unknown(path+".kind", u.Kind, "one of kinds, with ungated: true")
		}
	}
	for i, n := range p.NotCovered {
		if len(n.Names) == 0 || n.Reason.String() == "" {
			c.missing(at("not-covered", i), "names and a reason")
		}
	}
	for i, f := range p.ForeignKeys {
		if f.Prefix == "" || f.Name == "" {
			c.missing(at("foreign-activation-ids", i), "a prefix, and the name of whose it is")
		}
	}
	origins := map[string]bool{}
	for i, r := range p.Rights {
		path := at("rights", i)
		c.slug(path+".origin", r.Origin)
		unique(c, origins, path+".origin", r.Origin)
		if r.After != RightKept && r.After != RightWithCoverage {
			c.bad(path+".after", r.After, "kept or with-coverage")
		}
	}
	for _, code := range slices.Sorted(maps.Keys(p.Codes)) {
		if p.Codes[code] == "" {
			c.missing("codes."+string(code), "the vendor's code")
		}
	}
}

func (c *checker) later(path string, l *Later) {
	if len(l.Kinds) == 0 || l.Since.IsZero() {
		c.missing(path, "kinds, and the day since when")
	}
	for j, k := range l.Kinds {
		if _, ok := c.p.Kind(k); !ok {
			c.unknown(at(path+".kinds", j), k, "one of kinds")
		}
	}
}

func (c *checker) track(path string, id TrackID) {
	if _, ok := c.p.Track(id); !ok {
		c.unknown(path, id, "the id of one of tracks")
	}
}

func (c *checker) update(path string, id UpdateID) {
	if _, err := ParseUpdateID(string(id)); err != nil {
		c.bad(path, id, "letters, digits, '.', '_' and '-'")
	}
}

func (c *checker) slug(path, value string) {
	if len(value) > 64 || !slug.MatchString(value) {
		c.bad(path, value, "lower-case words joined by '-'")
	}
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
