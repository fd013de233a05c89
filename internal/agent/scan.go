package agent

import (
	"context"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// ScanIn says what to look at.
type ScanIn struct {
	// On looks only at updates released up to that day; all of them when zero.
	On civil.Date
	// All tells of updates that do not concern the device, too.
	All bool
	// Offline asks no server.
	Offline bool
}

// Scan is where a device stands with every update that concerns it.
type Scan struct {
	Program  program.ID `json:"program"`
	On       civil.Date `json:"on,omitzero"`
	Metadata Metadata   `json:"metadata"`
	Updates  []Finding  `json:"updates"`
	// Stale is why nothing newer could be learned.
	Stale   *problem.Problem   `json:"-"`
	Notices []*problem.Problem `json:"-"`

	program *program.Program
}

// VendorCode is the vendor's own code for one of ours, as the program has it.
func (s *Scan) VendorCode(code problem.Code) string { return VendorCode(s.program, code) }

// Finding is one device and one update: the gate's verdict, unchanged, and
// whether the update comes on the device's channel.
type Finding struct {
	Update   program.UpdateID `json:"update"`
	Title    string           `json:"title"`
	Kind     program.KindID   `json:"kind"`
	Rating   program.Rating   `json:"rating,omitempty"`
	Released civil.Date       `json:"released"`
	Year     program.Year     `json:"year"` // of coverage; 0 is free
	State    coverage.State   `json:"state"`
	// Allowed reports whether the device may install it now; Offered, whether its
	// channel has it (rule D2).
	Allowed bool              `json:"allowed"`
	Offered bool              `json:"offered"`
	Reasons []coverage.Reason `json:"reasons,omitempty"`
	// Problems are the reasons as sentences, in the same order.
	Problems []*problem.Problem `json:"-"`
}

// Scan looks at every update. It needs no coverage (rule D16), asks the server
// for news first, and goes on without when there are none to be had.
func (d *Device) Scan(ctx context.Context, in ScanIn) (*Scan, error) {
	s, err := d.load()
	if err != nil {
		return nil, err
	}
	// Who may not write here looks at what was verified before.
	k, stale, err := d.know(ctx, s, !in.Offline && d.cfg.Elevated())
	if err != nil {
		return nil, err
	}
	if !in.On.IsZero() {
		if err := k.until(in.On); err != nil {
			return nil, err
		}
	}
	out := &Scan{
		Program: k.program.ID, On: in.On, Metadata: k.freshness(), Updates: []Finding{},
		Stale: stale, Notices: k.notices, program: k.program,
	}
	for _, e := range k.catalog.All() {
		f := k.find(e)
		if in.All || f.State != coverage.Installed && f.State != coverage.NotApplicable && !k.isCheck(e.ID) {
			out.Updates = append(out.Updates, f)
		}
	}
	return out, nil
}

func (k *knowledge) find(e *update.Entry) Finding {
	v, offered := k.decide(e)
	year, _ := k.view.Year(e)
	f := Finding{
		Update: e.ID, Title: e.Title, Kind: e.Kind, Rating: e.Rating, Released: e.Released, Year: year,
		State: v.State, Allowed: v.Allowed(), Offered: offered, Reasons: v.Reasons,
	}
	for _, r := range v.Reasons {
		f.Problems = append(f.Problems, r.Problem(k.view, e))
	}
	if !offered && f.State != coverage.Installed && f.State != coverage.NotApplicable {
		f.Problems = append(f.Problems, k.notOffered(e))
	}
	return f
}

// isCheck reports whether an update is the program's check package, which
// changes nothing and is run and not installed (rule D14).
func (k *knowledge) isCheck(id program.UpdateID) bool {
	return k.program.Check != nil && slices.Contains(k.program.Check.Updates, id)
}
