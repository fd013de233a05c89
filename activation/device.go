package activation

import (
	"slices"
	"strings"
	"unicode"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

// CheckInstall says whether a key may be installed on a device, and what it
// opens. Unmet are the prerequisites that the device lacks (update.View.Unmet).
//
// The causes are told apart in the order of rule K14, after elevation (K15):
// licensing update missing, restart pending, key of another product (or of
// another kind of device, K22), malformed key; the last has a code of productkey.
// An edition outside the program is refused at activation and not here (K13). The
// product's own key plays no part (K2), and other years' keys neither (K3).
func CheckInstall(p *program.Program, f *device.Facts, unmet []*program.Prerequisite, keyText string, elevated bool) (
	productkey.Key, *program.Track, *program.CoverageYear, error,
) {
	key, malformed := productkey.Parse(keyText)
	refuse := func(err error) (productkey.Key, *program.Track, *program.CoverageYear, error) {
		return productkey.Key{}, nil, nil, err
	}
	if !elevated {
		return refuse(problem.New(problem.Refused, NotElevated))
	}
	for _, r := range unmet {
		if r.Role == program.RoleLicensing {
			return refuse(problem.New(problem.Refused, LicensingUpdateMissing, "name", r.Name, "update", newest(r)))
		}
	}
	if f.RestartPending {
		return refuse(problem.New(problem.Refused, RestartPending))
	}
	if malformed != nil {
		return refuse(malformed)
	}
	track, year, ok := p.ByTag(program.Tag(key.Tag()))
	if !ok {
		return refuse(problem.New(problem.Refused, WrongProduct, "product", p.Name))
	}
	if err := fits(p, track, f); err != nil {
		return refuse(err)
	}
	return key, track, year, nil
}

// newest is the newest update that satisfies a prerequisite, as the program
// names it; where it names only kinds, the prerequisite's own name.
func newest(r *program.Prerequisite) string {
	if n := len(r.AnyOf); n > 0 {
		return string(r.AnyOf[n-1])
	}
	return r.Name.String()
}

// fits says whether a key of the track is for the device's edition. Of an
// edition that is on no track nothing is known here.
func fits(p *program.Program, track *program.Track, f *device.Facts) error {
	e, ok := p.Edition(f.Edition)
	if !ok || e.Track == "" || e.Track == track.ID {
		return nil
	}
	own, ok := p.Track(e.Track)
	if !ok {
		return nil
	}
	switch {
	case track.Embedded && !own.Embedded:
		return problem.New(problem.Refused, KeyEmbeddedOnly, "product", own.Name, "key", track.Name)
	case own.Embedded && !track.Embedded:
		return problem.New(problem.Refused, KeyNotEmbedded, "product", own.Name, "key", track.Name)
	}
	return problem.New(problem.Refused, WrongProduct, "product", own.Name)
}

// CheckActivationID reads the activation id that a person or a script gave, and
// finds the year that it activates among the keys that are installed, by their
// ids. Braces, case, white space and typographic dashes do not matter.
func CheckActivationID(p *program.Program, text string, installed []program.ActivationID) (*program.Track, *program.CoverageYear, error) {
	plain := strings.ToLower(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || r == '{' || r == '}' || r == '\uFEFF' || r == '\u200B':
			return -1
		case unicode.Is(unicode.Pd, r) || r == '\u2212':
			return '-'
		}
		return r
	}, text))
	if plain == "" {
		return nil, nil, problem.New(problem.Invalid, IDMissing, "ids", installed)
	}
	if err := productsOwn(p, plain); err != nil {
		return nil, nil, err
	}
	id, err := program.ParseActivationID(plain)
	if err != nil {
		return nil, nil, problem.New(problem.Invalid, IDMalformed, "id", clip(text), "ids", installed).Because(err)
	}
	track, year, ok := p.ByActivationID(id)
	if !ok {
		return nil, nil, problem.New(problem.NotFound, IDNotFound, "id", id, "program", p.Name)
	}
	if !slices.Contains(installed, id) {
		return nil, nil, problem.New(problem.Refused, KeyNotInstalled, "id", id, "year", year.Year, "product", track.Name)
	}
	return track, year, nil
}

// productsOwn recognizes ids that people take for an add-on's (rule K19).
func productsOwn(p *program.Program, id string) error {
	for _, f := range p.ForeignKeys {
		if f.Prefix != "" && strings.HasPrefix(id, strings.ToLower(f.Prefix)) {
			return problem.New(problem.Refused, IDIsProductsOwn, "id", clip(id), "name", f.Name)
		}
	}
	return nil
}

// clip keeps what somebody typed short.
func clip(s string) string {
	if limit := 60; len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
