package api

import (
	"context"
	"net/http"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// ProgramOffer is a program as a person plans with it.
type ProgramOffer struct {
	ID       program.ID   `json:"id"`
	Name     string       `json:"name"`
	Vendor   string       `json:"vendor"`
	Version  int          `json:"version"`
	From     civil.Date   `json:"from"` // the first day of this version
	TimeZone string       `json:"timeZone"`
	LastDay  civil.Date   `json:"lastDay"`
	Tracks   []TrackOffer `json:"tracks"`
	// Versions are all that were imported; none for a file that was not.
	Versions []sales.ProgramVersion `json:"versions,omitempty"`
}

// TrackOffer is what of a track is sold.
type TrackOffer struct {
	ID           program.TrackID `json:"id"`
	Name         string          `json:"name"`
	EndOfSupport civil.Date      `json:"endOfSupport"`
	Editions     int             `json:"editions"` // eligible ones
	Years        []YearOffer     `json:"years"`
}

// YearOffer is one coverage year.
type YearOffer struct {
	Year         program.Year         `json:"year"`
	First        civil.Date           `json:"first"`
	Last         civil.Date           `json:"last"`
	ActivationID program.ActivationID `json:"activationId"`
	SKU          program.SKUID        `json:"sku,omitempty"` // none is not sold
	Name         string               `json:"name,omitempty"`
	Prices       []PriceOffer         `json:"prices"`
}

// PriceOffer is one price of a year.
type PriceOffer struct {
	List          program.ListID          `json:"list"`
	Channel       program.ChannelID       `json:"channel"`
	Qualification program.QualificationID `json:"qualification,omitempty"`
	From          civil.Date              `json:"from,omitzero"`
	Planned       bool                    `json:"planned,omitempty"`
	Price         money.Amount            `json:"price"`
}

// Offer describes a program.
func Offer(p *program.Program) ProgramOffer {
	offer := ProgramOffer{
		ID: p.ID, Name: p.Name, Vendor: p.Vendor, Version: p.Version, From: p.From, TimeZone: p.TimeZone, LastDay: p.LastDay(),
	}
	for i := range p.Tracks {
		t := &p.Tracks[i]
		track := TrackOffer{ID: t.ID, Name: t.Name, EndOfSupport: t.EndOfSupport}
		for _, e := range p.Editions {
			if e.Track == t.ID && e.Ineligible == nil {
				track.Editions++
			}
		}
		for _, y := range t.Years {
			year := YearOffer{Year: y.Year, First: y.First, Last: y.Last, ActivationID: y.ActivationID, Prices: prices(p, t.ID, y.Year)}
			if s, ok := p.SKU(t.ID, y.Year); ok {
				year.SKU, year.Name = s.ID, s.Name
			}
			track.Years = append(track.Years, year)
		}
		offer.Tracks = append(offer.Tracks, track)
	}
	return offer
}

func prices(p *program.Program, track program.TrackID, year program.Year) []PriceOffer {
	all := []PriceOffer{}
	for _, l := range p.Prices {
		if amount, ok := l.Years[year]; ok && l.Track == track {
			all = append(all, PriceOffer{l.List, l.Channel, l.Qualification, l.From, l.Planned, amount})
		}
	}
	return all
}

// Programs lists programs.
type Programs struct {
	Programs []ProgramOffer `json:"programs"`
}

// ImportProgram asks to import a program file.
type ImportProgram struct {
	Name       string   `json:"name" maxLength:"255" doc:"The file's name, for what is said about it"`
	File       string   `json:"file" doc:"The program file"`
	Publishers []string `json:"publishers,omitempty" maxItems:"32" doc:"Public keys; none leaves those that the program has"`
	Threshold  int      `json:"threshold,omitempty" minimum:"0" maximum:"32" doc:"How many publishers sign a release; 0 means two"`
	DryRun     bool     `json:"dryRun,omitempty"`
}

type none struct{}

func (s *server) programs() {
	add(s, operation{id: "list-programs", method: http.MethodGet, path: "/programs", permission: access.ProgramRead,
		summary: "The programs, each in the version that is in force or comes next"},
		func(ctx context.Context, actor access.Actor, _ *none) (Programs, error) {
			versions, err := s.Sales.Versions(ctx, actor, "")
			if err != nil {
				return Programs{}, err
			}
			all := Programs{Programs: []ProgramOffer{}}
			for i, v := range versions {
				if i > 0 && versions[i-1].Program == v.Program {
					continue
				}
				offer, err := s.offer(ctx, actor, v.Program)
				if err != nil {
					return Programs{}, err
				}
				all.Programs = append(all.Programs, offer)
			}
			return all, nil
		})
	add(s, operation{id: "show-program", method: http.MethodGet, path: "/programs/{program}", permission: access.ProgramRead,
		summary: "One program: tracks, coverage years, SKUs and prices"},
		func(ctx context.Context, actor access.Actor, in *ProgramPath) (ProgramOffer, error) {
			return s.offer(ctx, actor, in.Program)
		})
	add(s, operation{id: "import-program", method: http.MethodPost, path: "/programs", permission: access.ProgramWrite, limit: maxFile,
		summary: "Import a version of a program file"},
		func(ctx context.Context, actor access.Actor, in *struct{ Body ImportProgram }) (Imported, error) {
			b := in.Body
			return s.Authority.Import(ctx, actor, ImportIn{
				Name: b.Name, File: []byte(b.File), Publishers: b.Publishers, Threshold: b.Threshold, DryRun: b.DryRun,
			})
		})
	add(s, operation{id: "show-trust", method: http.MethodGet, path: "/trust", summary: "What devices are enrolled with"},
		func(ctx context.Context, _ access.Actor, _ *none) (Trust, error) { return s.Authority.Trust(ctx) })
	add(s, operation{id: "show-targets-draft", method: http.MethodGet, path: "/trust/targets/draft", permission: access.UpdateStage,
		summary: "The draft that waits for the offline targets key"},
		func(ctx context.Context, actor access.Actor, _ *none) (Drafts, error) {
			return s.drafts(ctx, actor, trust.Targets)
		})
	add(s, operation{id: "sign-targets-draft", method: http.MethodPost, path: "/trust/targets/draft", permission: access.UpdateRelease, limit: maxFile,
		summary: "Take a targets draft back with its signatures"},
		func(ctx context.Context, actor access.Actor, in *struct{ Body SignedDraft }) (Signed, error) {
			return s.sign(ctx, actor, trust.Targets, in.Body)
		})
}

// ProgramPath names a program.
type ProgramPath struct {
	Program program.ID `path:"program" maxLength:"64"`
}

// offer describes the version of a program that is in force today, or the first
// one when none is yet.
func (s *server) offer(ctx context.Context, actor access.Actor, id program.ID) (ProgramOffer, error) {
	versions, err := s.Sales.Versions(ctx, actor, id)
	if err != nil {
		return ProgramOffer{}, err
	}
	p, err := s.inForce(ctx, id)
	if problem.CodeOf(err) == sales.ProgramNotInForce && len(versions) > 0 {
		err = s.DB.Read(ctx, func(tx *db.Tx) (err error) {
			p, err = s.Sales.Version(tx, id, versions[0].Version)
			return err
		})
	}
	if err != nil {
		return ProgramOffer{}, err
	}
	offer := Offer(p)
	offer.Versions = versions
	return offer, nil
}

func (s *server) inForce(ctx context.Context, id program.ID) (*program.Program, error) {
	var p *program.Program
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		p, _, err = s.Sales.InForce(tx, id)
		return err
	})
	return p, err
}

// underProgram adds the vendor's own codes to a refusal, where the program is known.
func (s *server) underProgram(ctx context.Context, id program.ID, err error) error {
	if err == nil {
		return nil
	}
	p, missing := s.inForce(ctx, id)
	if missing != nil {
		return err
	}
	return under(p, err)
}
