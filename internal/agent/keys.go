package agent

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// InstalledKey is a product key that was installed.
type InstalledKey struct {
	Track        program.TrackID      `json:"track"`
	Product      string               `json:"product"`
	Year         program.Year         `json:"year"`
	ActivationID program.ActivationID `json:"activationId"`
	LastFive     string               `json:"lastFive"`
	Portal       string               `json:"portalName"`
	Tool         string               `json:"toolName"`
}

// InstallKey installs a product key beside those of other years (rule K3); it
// replaces only an older key of the same year, and never the product's own (rule
// K2). Nothing is sent; Activate is next.
func (d *Device) InstallKey(ctx context.Context, text string) (*InstalledKey, error) {
	var out *InstalledKey
	err := d.act(ctx, func(j *journal) error {
		s, err := d.load()
		if err != nil {
			return err
		}
		k, _, err := d.know(ctx, s, false)
		if err != nil {
			return err
		}
		key, track, year, err := activation.CheckInstall(k.program, k.facts, k.view.Unmet(), text, true)
		if err != nil {
			j.refused(k.program, "product key", err)
			return err
		}
		if err := d.keepKey(year.ActivationID, key); err != nil {
			return err
		}
		j.say("ESU: product key %s installed: year %d of %s", key, year.Year, track.Name)
		out = &InstalledKey{track.ID, track.Name, year.Year, year.ActivationID, key.LastFive(), year.Key.Portal, year.Key.Tool}
		return nil
	})
	return out, err
}

// Activated is what came of one key's activation.
type Activated struct {
	ActivationID program.ActivationID `json:"activationId"`
	Year         program.Year         `json:"year,omitempty"`
	Product      string               `json:"product,omitempty"`
	License      license.ID           `json:"license,omitempty"`
	LastFive     string               `json:"lastFive,omitempty"`
	// Refused is why there is no license; the vendor's code goes with it.
	Refused *problem.Problem `json:"-"`
}

// Activation is what came of an Activate.
type Activation struct {
	Results []Activated        `json:"results"`
	Hosts   []string           `json:"hosts,omitempty"` // to allow, where the network failed (rule K17)
	Notices []*problem.Problem `json:"-"`
}

// ActivateIn says what to activate, and where.
type ActivateIn struct {
	// IDs are activation ids; none means every installed key (rule K9).
	IDs []string
	// Proxy is another server that passes requests on, for a device that reaches
	// only that (rule K10).
	Proxy string
}

// Requests makes the activation requests of a device without network, to be
// carried to somebody who sends them (rule K10). No product key is in them.
func (d *Device) Requests(ctx context.Context, ids []string) (*wire.Activations, []*problem.Problem, error) {
	out := new(wire.Activations)
	var told []*problem.Problem
	err := d.act(ctx, func(j *journal) error {
		_, p, err := d.prepare(ctx, ids, j)
		if err != nil {
			return err
		}
		for _, one := range p.wanted {
			if one.Refused != nil {
				told = append(told, one.Refused)
			}
		}
		out.Requests, told = p.requests, append(told, p.notices...)
		return nil
	})
	return out, told, err
}

// Accept takes in the answers to Requests, in any order, and as often as one likes.
func (d *Device) Accept(ctx context.Context, answers *wire.ActivationResults) (*Activation, error) {
	out := new(Activation)
	err := d.act(ctx, func(j *journal) error {
		s, err := d.load()
		if err != nil {
			return err
		}
		k, _, err := d.know(ctx, s, false)
		if err != nil {
			return err
		}
		if k.installation == nil {
			return problem.New(problem.Refused, AnswerForeign)
		}
		for _, r := range answers.Results {
			one, err := d.accept(k, Activated{}, r, j)
			if err != nil {
				return err
			}
			out.Results = append(out.Results, one)
		}
		if len(out.Results) == 0 {
			return problem.New(problem.Refused, AnswerForeign)
		}
		return nil
	})
	return out, err
}

// Activate activates keys of this device. One that is refused does not hold back
// the others. What fails on the way to the server is an error; what the server
// refuses stands in the results.
func (d *Device) Activate(ctx context.Context, in ActivateIn) (*Activation, error) {
	out := new(Activation)
	err := d.act(ctx, func(j *journal) error {
		k, p, err := d.prepare(ctx, in.IDs, j)
		if err != nil {
			return err
		}
		out.Results, out.Notices = p.wanted, p.notices
		if len(p.requests) == 0 {
			return nil
		}
		url := k.identity.Server
		if in.Proxy != "" {
			url = in.Proxy
		}
		server, err := d.client(url)
		if err != nil {
			return err
		}
		answers, err := server.Activate(ctx, p.requests)
		if err != nil {
			j.refused(k.program, "activation", err)
			out.Hosts = k.program.Activation.Hosts
			return err
		}
		for n, at := range p.places {
			if out.Results[at], err = d.accept(k, out.Results[at], answers[n], j); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// prepared is what an activation sends, and for which of the wanted.
type prepared struct {
	wanted   []Activated
	requests []string
	places   []int // of each request, in wanted
	notices  []*problem.Problem
}

func (d *Device) prepare(ctx context.Context, ids []string, j *journal) (*knowledge, *prepared, error) {
	s, err := d.load()
	if err != nil {
		return nil, nil, err
	}
	k, _, err := d.know(ctx, s, false)
	if err != nil {
		return nil, nil, err
	}
	installed := slices.Sorted(maps.Keys(k.keys))
	if len(ids) == 0 && len(installed) == 0 {
		err := problem.New(problem.Refused, NoKeyInstalled)
		j.refused(k.program, "activation", err)
		return nil, nil, err
	}
	if len(ids) == 0 {
		for _, id := range installed {
			ids = append(ids, string(id))
		}
	}
	var told *problem.Problem
	if k.installation, told, err = d.introduce(s, j); err != nil {
		return nil, nil, err
	}
	k.verifier.Installation, k.verifier.Now = k.installation.Installation, d.cfg.Now()
	p := new(prepared)
	if told != nil {
		p.notices = append(p.notices, told)
		j.refused(k.program, "installation", told)
	}
	for _, text := range ids {
		one := Activated{ActivationID: program.ActivationID(clipped(strings.TrimSpace(text), 64))}
		track, year, err := activation.CheckActivationID(k.program, text, installed)
		if err != nil {
			if one.Refused, _ = problem.As(err); one.Refused == nil {
				return nil, nil, err
			}
			j.refused(k.program, "activation", err)
			p.wanted = append(p.wanted, one)
			continue
		}
		one.ActivationID, one.Year, one.Product = year.ActivationID, year.Year, track.Name
		one.LastFive = k.keys[year.ActivationID].LastFive()
		request, err := activation.NewRequest(activation.Params{
			Audience: k.identity.Authority, Program: k.program.ID, ActivationID: year.ActivationID,
			Identity: k.installation.hash, Facts: k.facts, IssuedAt: d.cfg.Now(),
		}, k.keys[year.ActivationID], jws.InMemory(k.installation.key))
		if err != nil {
			return nil, nil, err
		}
		p.requests, p.places = append(p.requests, request), append(p.places, len(p.wanted))
		p.wanted = append(p.wanted, one)
	}
	return k, p, nil
}

// accept takes in one answer: a license is verified with the keys that are
// trusted here before it is kept, beside those that are there.
func (d *Device) accept(k *knowledge, one Activated, r wire.ActivationResult, j *journal) (Activated, error) {
	refuse := func(p *problem.Problem) (Activated, error) {
		one.Refused = p
		j.refused(k.program, "activation", p)
		return one, nil
	}
	if r.Problem != nil {
		return refuse(r.Problem.Problem())
	}
	token := license.Token(strings.TrimSpace(r.License))
	set, rejected := license.Verify(k.verifier, []license.Token{token})
	if len(rejected) > 0 {
		return refuse(rejected[0].Problem)
	}
	c := set.Claims()[0]
	if one.ActivationID != "" && one.ActivationID != c.ActivationID {
		return refuse(problem.New(problem.Refused, AnswerForeign))
	}
	if err := d.keepLicense(k, c, token); err != nil {
		return one, err
	}
	one.ActivationID, one.Year, one.License, one.LastFive = c.ActivationID, c.Year, c.ID, c.LastFive
	if track, ok := k.program.Track(c.Track); ok {
		one.Product = track.Name
	}
	j.say("ESU: activated year %d of %s, license %s", c.Year, one.Product, c.ID)
	return one, nil
}
