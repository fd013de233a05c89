package activation

import (
	"errors"
	"slices"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

// KeyState is one issued key, as it stands at the moment of the decision.
type KeyState struct {
	Program program.ID
	Track   program.TrackID
	Year    program.Year
	MAC     productkey.MAC

	Limit int // seats and allowance (rule K5)
	Used  int // installations counted, ever: nothing is given back
	// Raise says whom to ask for a higher limit (rule K6); none: the vendor.
	Raise program.Text

	Blocked    string // the reason, or "" for a key that is not blocked
	Recovering bool   // restored without a journal: how many seats are used is not certain
	Elsewhere  bool   // pinned to its customer's sites, and the request came by none of them
}

// Outcome is what to do with a request that is not refused.
type Outcome uint8

// The outcomes.
const (
	Grant  Outcome = iota + 1 // a new installation: count one, issue a license
	Repeat                    // counted before: issue its license again, count nothing (rule K7)
)

// Decision is an outcome and what it is about.
type Decision struct {
	Outcome Outcome
	Track   *program.Track
	Year    *program.CoverageYear
	Seat    int // ordinal of the new installation, from 1; 0 for Repeat
}

// Decide says whether an installation may be activated with a key. P is the
// program of r, nil when there is none of that id; k is the key found by r.Ref,
// nil when there is none; known says that this installation was counted under
// this key before. Nothing changes by a refusal.
//
// A proof that is wrong is answered exactly as a key that does not exist, so that
// nobody learns of keys by trying; the problem wraps the difference for the log.
// After the proof the whole truth is told, why a key is blocked included: who
// holds all 25 symbols is not guessing. A blocked key issues nothing, not even
// again; what it issued before stays good. The time is not asked: a key does not
// expire (rule K4).
func Decide(p *program.Program, k *KeyState, r *Request, known bool) (Decision, error) {
	switch {
	case p == nil:
		return refuse(problem.New(problem.NotFound, ProgramUnknown, "program", r.Program))
	case k == nil:
		return refuse(unknown("no key has this reference"))
	case !r.ProvenBy(k.MAC):
		return refuse(unknown("the key exists, and the request does not prove it"))
	case k.Blocked != "":
		return refuse(problem.New(problem.Refused, KeyBlocked, "reason", k.Blocked))
	case k.Program != p.ID || k.Program != r.Program:
		return refuse(problem.New(problem.Refused, WrongProduct, "product", p.Name))
	}
	track, year, err := yearOf(p, k, r)
	if err != nil {
		return refuse(err)
	}
	if err := eligible(p, track, r); err != nil {
		return refuse(err)
	}
	if known {
		return Decision{Outcome: Repeat, Track: track, Year: year}, nil
	}
	switch {
	case k.Elsewhere:
		return refuse(problem.New(problem.Refused, KeyPinned))
	case k.Recovering:
		return refuse(problem.New(problem.Unavailable, KeyRecovering))
	case k.Used >= k.Limit:
		raise := k.Raise
		if len(raise) == 0 {
			raise = program.Text{"en": p.Vendor}
		}
		return refuse(problem.New(problem.Refused, LimitReached, "limit", k.Limit, "used", k.Used, "raise", raise))
	}
	return Decision{Grant, track, year, k.Used + 1}, nil
}

func refuse(err error) (Decision, error) { return Decision{}, err }

func unknown(why string) error {
	return problem.New(problem.NotFound, KeyUnknown).Because(errors.New(why))
}

// yearOf is the key's year, when the request's activation id is that year's.
func yearOf(p *program.Program, k *KeyState, r *Request) (*program.Track, *program.CoverageYear, error) {
	track, ok := p.Track(k.Track)
	if !ok {
		return nil, nil, problem.New(problem.Refused, WrongProduct, "product", p.Name)
	}
	year, ok := track.Year(k.Year)
	switch {
	case !ok:
		return nil, nil, problem.New(problem.Refused, WrongProduct, "product", p.Name)
	case year.Only == program.OnlyCloud:
		return nil, nil, problem.New(problem.Refused, CloudOnly, "year", year.Year)
	case year.ActivationID == r.ActivationID:
		return track, year, nil
	}
	if err := productsOwn(p, string(r.ActivationID)); err != nil {
		return nil, nil, err
	}
	return nil, nil, problem.New(problem.Refused, IDMismatch,
		"id", r.ActivationID, "want", year.ActivationID, "year", year.Year, "product", track.Name)
}

// eligible holds what the device says of itself to rule K13.
func eligible(p *program.Program, track *program.Track, r *Request) error {
	e, ok := p.Edition(r.Facts.Edition)
	if !ok {
		return problem.New(problem.Refused, EditionUnknown, "edition", r.Facts.Edition, "program", p.Name)
	}
	if e.Ineligible != nil {
		why := e.Ineligible.Reason
		if e.Ineligible.Home {
			why = p.Notice // rule P11
		}
		return problem.New(problem.Refused, EditionIneligible, "edition", e.Name, "why", why, "advice", p.Upgrade)
	}
	if err := fits(p, track, r.Facts); err != nil {
		return err
	}
	served := e.Architectures
	if len(served) == 0 {
		served = p.Architectures
	}
	if !slices.Contains(served, r.Facts.Arch) {
		return problem.New(problem.Refused, ArchitectureIneligible, "arch", r.Facts.Arch, "edition", e.Name, "served", served)
	}
	return nil
}
