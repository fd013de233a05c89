// Package coverage is the gate: may this device have this update, and if not,
// why not?
//
// Decide is asked before a download and again before an installation, over a
// whole fleet for compliance, and by the troubleshooter, and gives the same
// answer everywhere. It is a pure function of what was released, what the
// device says of itself and what was proven by licenses. Coverage never
// switches anything off: without it, new updates stop and nothing else (rule
// P10).
//
// An answer has one State, the first that holds in the order of the constants,
// and reasons in the order in which a person mends them. States are never
// merged, and the gate allows an update only when it is Needed and no reason is
// left.
package coverage

import (
	"fmt"
	"slices"

	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// State is where one device stands with one update.
type State uint8

// The states. The first that holds is the answer.
const (
	Installed           State = iota // it is there
	NotApplicable                    // it is not for this device, or superseded by one that the device may have
	NotCovered                       // its coverage year is not held
	PrerequisiteMissing              // something must be installed first
	Needed                           // nothing of the above
)

var stateNames = [...]string{"installed", "not-applicable", "not-covered", "prerequisite-missing", "needed"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no state", text)
	}
	*s = State(i) //nolint:gosec // one of five
	return nil
}

// Why an update may not be had.
const (
	// EditionUnknown is a device whose edition the program does not list.
	EditionUnknown problem.Code = "coverage.edition-unknown"
	// EditionIneligible is a device whose edition is outside the program.
	EditionIneligible problem.Code = "coverage.edition-ineligible"
	// NotForEdition is an update for other editions.
	NotForEdition problem.Code = "coverage.not-for-edition"
	// NotForArchitecture is an update for other architectures.
	NotForArchitecture problem.Code = "coverage.not-for-architecture"
	// ComponentAbsent is an update to a component that the device lacks.
	ComponentAbsent problem.Code = "coverage.component-absent"
	// Superseded is an update with a newer one in its place, which the device has or may have.
	Superseded problem.Code = "coverage.superseded"
	// YearNotCovered is an update of a year for which the device holds no license.
	YearNotCovered problem.Code = "coverage.year-not-covered"
	// ProductNotActivated is a device in the embedded range whose own key is not activated.
	ProductNotActivated problem.Code = "coverage.product-not-activated"
	// PrerequisiteSignature is a device that cannot verify the update's signature.
	PrerequisiteSignature problem.Code = "coverage.prerequisite-signature"
	// PrerequisiteServicingStack is a device whose installer is too old.
	PrerequisiteServicingStack problem.Code = "coverage.prerequisite-servicing-stack"
	// PrerequisiteLicensing is a device without the licensing update.
	PrerequisiteLicensing problem.Code = "coverage.prerequisite-licensing"
	// PrerequisitePreparation is a device without the preparation package.
	PrerequisitePreparation problem.Code = "coverage.prerequisite-preparation"
	// RestartPending is a device that must restart first.
	RestartPending problem.Code = "coverage.restart-pending"
	// OfflineImage is an image that is serviced while it is not running (rule D6).
	OfflineImage problem.Code = "coverage.offline-image"
)

// Reason is one thing that stands in the way.
type Reason struct {
	Code         problem.Code           `json:"code"`
	Year         program.Year           `json:"year,omitempty"`
	Update       program.UpdateID       `json:"update,omitempty"` // what to install, or what supersedes
	Prerequisite program.PrerequisiteID `json:"prerequisite,omitempty"`
}

// Verdict is the gate's answer.
type Verdict struct {
	State   State    `json:"state"`
	Reasons []Reason `json:"reasons,omitempty"`
}

// Allowed reports whether the device may have the update now.
func (v Verdict) Allowed() bool { return v.State == Needed && len(v.Reasons) == 0 }

// Cause is the reason for the state itself: what to say when there is room for
// one. It is false when nothing stands in the way.
func (v Verdict) Cause() (Reason, bool) {
	for _, r := range v.Reasons {
		if v.State != NotCovered || r.Code == YearNotCovered || r.Code == ProductNotActivated {
			return r, true
		}
	}
	return Reason{}, false
}

// Decide answers for one device, as the catalog sees it, one update of that
// catalog, and the licenses that were verified for the device. It allocates
// nothing when the answer is yes.
func Decide(v *update.View, held license.Set, e *update.Entry) Verdict {
	if v.Installed(e) {
		return Verdict{State: Installed}
	}
	year, reason := applies(v, e)
	if reason.Code != "" {
		return Verdict{NotApplicable, []Reason{reason}}
	}
	if s := superseder(v, held, e); s != nil {
		return Verdict{NotApplicable, []Reason{{Code: Superseded, Update: s.ID}}}
	}
	covered := entitled(v, held, year, e)
	ownKey := year == program.Free || !v.Facts.EmbeddedKeyRange || v.Facts.ProductActivated // rule D9
	offline := year != program.Free && v.Facts.OfflineImage
	if covered && ownKey && !offline && !v.Facts.RestartPending && v.HasPrerequisites(e) {
		return Verdict{State: Needed}
	}
	return refuse(v, e, year, covered, ownKey, offline)
}

func refuse(v *update.View, e *update.Entry, year program.Year, covered, ownKey, offline bool) Verdict {
	verdict := Verdict{State: Needed}
	for _, r := range v.Missing(e) {
		verdict.State = PrerequisiteMissing
		verdict.Reasons = append(verdict.Reasons, Lacking(r))
	}
	if v.Facts.RestartPending {
		verdict.Reasons = append(verdict.Reasons, Reason{Code: RestartPending})
	}
	if !ownKey {
		verdict.State = NotCovered
		verdict.Reasons = append(verdict.Reasons, Reason{Code: ProductNotActivated})
	}
	if !covered {
		verdict.State = NotCovered
		verdict.Reasons = append(verdict.Reasons, Reason{Code: YearNotCovered, Year: year})
	}
	if offline {
		verdict.Reasons = append(verdict.Reasons, Reason{Code: OfflineImage})
	}
	return verdict
}

// applies returns the coverage year that the device needs for the update, or
// the reason why the update is not for the device.
func applies(v *update.View, e *update.Entry) (program.Year, Reason) {
	year, served := v.Year(e)
	switch {
	case v.Edition == nil && !e.Ungated:
		return 0, Reason{Code: EditionUnknown}
	case v.Edition != nil && v.Edition.Ineligible != nil && (!served || year != program.Free):
		return 0, Reason{Code: EditionIneligible}
	case !served || !v.ForEdition(e):
		return 0, Reason{Code: NotForEdition}
	case !v.ForArchitecture(e):
		return 0, Reason{Code: NotForArchitecture}
	case !v.ForComponents(e):
		return 0, Reason{Code: ComponentAbsent}
	}
	return year, Reason{}
}

func superseder(v *update.View, held license.Set, e *update.Entry) *update.Entry {
	if !v.MaybeSuperseded(e, years(v, held)) {
		return nil
	}
	return v.SupersededBy(e, func(s *update.Entry, year program.Year) bool {
		if year != program.Free && v.Edition != nil && v.Edition.Ineligible != nil {
			return false
		}
		return entitled(v, held, year, s)
	})
}

func years(v *update.View, held license.Set) uint32 {
	if v.Track == nil {
		return 0
	}
	return held.Years(v.Track.ID)
}

func entitled(v *update.View, held license.Set, year program.Year, e *update.Entry) bool {
	return year == program.Free || v.Track != nil && held.Program() == e.Program && held.Covers(v.Track.ID, year, e.Released)
}

// Covers is all that a download gate needs, which knows what was proven and
// nothing of the device: is there a track on which these licenses open the
// update, or on which it needs none? Decide asks the same of the device's own
// track before anything is installed.
func Covers(held license.Set, u *update.Update) bool {
	if u.Ungated {
		return true
	}
	for track, year := range u.Years {
		if year == program.Free || held.Program() == u.Program && held.Covers(track, year, u.Released) {
			return true
		}
	}
	return false
}

// Lacking is the reason that a missing prerequisite gives, with the newest
// update that the program names for it.
func Lacking(r *program.Prerequisite) Reason {
	reason := Reason{Code: PrerequisiteCode(r.Role), Prerequisite: r.ID}
	if n := len(r.AnyOf); n > 0 {
		reason.Update = r.AnyOf[n-1]
	}
	return reason
}

// PrerequisiteCode is the code under which a role's absence shows.
func PrerequisiteCode(role program.Role) problem.Code {
	switch role {
	case program.RoleSignature:
		return PrerequisiteSignature
	case program.RoleServicingStack:
		return PrerequisiteServicingStack
	case program.RoleLicensing:
		return PrerequisiteLicensing
	default:
		return PrerequisitePreparation
	}
}

// Problem is the reason as the edge renders it, for one device and update.
func (r Reason) Problem(v *update.View, e *update.Entry) *problem.Problem {
	p, f := v.Catalog.Program, v.Facts
	switch r.Code {
	case EditionUnknown:
		return problem.New(problem.Refused, EditionUnknown, "edition", f.Edition, "program", p.Name)
	case EditionIneligible:
		return problem.New(problem.Refused, EditionIneligible, "edition", v.Edition.Name, "why", v.Edition.Ineligible.Reason, "advice", p.Upgrade)
	case NotForArchitecture:
		return problem.New(problem.Refused, NotForArchitecture, "update", e.ID, "arch", f.Arch)
	case ComponentAbsent:
		return problem.New(problem.Refused, ComponentAbsent, "update", e.ID, "component", e.Component)
	case Superseded:
		return problem.New(problem.Refused, Superseded, "update", e.ID, "other", r.Update)
	case YearNotCovered:
		return problem.New(problem.Refused, YearNotCovered, "update", e.ID, "year", int(r.Year))
	case ProductNotActivated:
		return problem.New(problem.Refused, ProductNotActivated, "update", e.ID)
	case PrerequisiteSignature:
		return problem.New(problem.Refused, PrerequisiteSignature, "update", r.Update, "name", name(p, r))
	case PrerequisiteServicingStack:
		return problem.New(problem.Refused, PrerequisiteServicingStack, "update", r.Update, "name", name(p, r))
	case PrerequisiteLicensing:
		return problem.New(problem.Refused, PrerequisiteLicensing, "update", r.Update, "name", name(p, r))
	case PrerequisitePreparation:
		return problem.New(problem.Refused, PrerequisitePreparation, "update", r.Update, "name", name(p, r))
	case RestartPending:
		return problem.New(problem.Refused, RestartPending)
	case OfflineImage:
		return problem.New(problem.Refused, OfflineImage, "update", e.ID)
	default:
		return problem.New(problem.Refused, NotForEdition, "update", e.ID, "edition", f.Edition)
	}
}

func name(p *program.Program, r Reason) program.Text {
	for i := range p.Prerequisites {
		if p.Prerequisites[i].ID == r.Prerequisite {
			return p.Prerequisites[i].Name
		}
	}
	return program.Text{"en": string(r.Prerequisite)}
}
