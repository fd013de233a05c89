package agent

import (
	"context"
	"slices"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// LicenseStatus is where a year's key stands, in the words of the tool that
// administrators know.
type LicenseStatus string

// The statuses that an add-on has here.
const (
	NoKey        LicenseStatus = ""             // neither key nor license
	Unlicensed   LicenseStatus = "Unlicensed"   // installed and not activated
	Licensed     LicenseStatus = "Licensed"     // activated
	Notification LicenseStatus = "Notification" // a license is there and does not count
)

// Status is all that a person asks of one device.
type Status struct {
	Server      string              `json:"server"`
	Authority   license.AuthorityID `json:"authority"`
	Program     program.ID          `json:"program"`
	Name        string              `json:"name"`
	Edition     program.EditionID   `json:"edition"`
	EditionName string              `json:"editionName,omitempty"`
	Arch        program.Arch        `json:"arch"`
	Folder      string              `json:"folder"`
	Delivery    program.DeliveryID  `json:"delivery"`
	Eligible    bool                `json:"eligible"`
	// Outside is why the edition is outside the program.
	Outside *problem.Problem `json:"-"`

	Installation   string              `json:"installation,omitempty"` // fingerprint
	Metadata       Metadata            `json:"metadata"`
	RestartPending bool                `json:"restartPending"`
	Prerequisites  []PrerequisiteState `json:"prerequisites,omitempty"`
	Track          program.TrackID     `json:"track,omitempty"`
	TrackName      string              `json:"trackName,omitempty"`
	Years          []YearStatus        `json:"years,omitempty"`
	// Activated are the years whose updates this device may have.
	Activated []program.Year `json:"activatedYears"`
	On        civil.Date     `json:"on"`
	// OnYear is the coverage year of updates released on that day: Free, a year,
	// or nil when the track has none then. Covered says whether they may be had.
	OnYear  *program.Year `json:"onYear,omitempty"`
	Covered bool          `json:"covered"`
	Updates int           `json:"installedUpdates"`

	Notices []*problem.Problem `json:"-"`

	program *program.Program
}

// VendorCode is the vendor's own code for one of ours, as the program has it.
func (s *Status) VendorCode(code problem.Code) string { return VendorCode(s.program, code) }

// Metadata says how old the verified state is. Stale ends no coverage: what was
// verified goes on being used.
type Metadata struct {
	Stale    bool      `json:"stale"`
	Days     int       `json:"days"` // since it was issued
	IssuedAt time.Time `json:"issuedAt"`
	Expires  time.Time `json:"expires"`
}

// YearStatus is one coverage year of the device's track (rules K3, K9, K20).
type YearStatus struct {
	Year         program.Year         `json:"year"`
	First        civil.Date           `json:"first"`
	Last         civil.Date           `json:"last"`
	ActivationID program.ActivationID `json:"activationId"`
	// Portal, Tool and Device are the names under which people meet the key.
	Portal       string        `json:"portalName"`
	Tool         string        `json:"toolName"`
	Device       string        `json:"deviceName"`
	KeyInstalled bool          `json:"keyInstalled"`
	LastFive     string        `json:"lastFive,omitempty"`
	Status       LicenseStatus `json:"licenseStatus,omitempty"`
	LicenseID    license.ID    `json:"licenseId,omitempty"`
	Kind         license.Kind  `json:"licenseKind,omitempty"`
	Customer     string        `json:"customer,omitempty"`
	IssuedAt     time.Time     `json:"issuedAt,omitzero"`
	ExpiresAt    time.Time     `json:"expiresAt,omitzero"` // of hosted licenses
	Until        civil.Date    `json:"until,omitzero"`     // of ended ones: the last release day
	// Rejected is why the license does not count.
	Rejected *problem.Problem `json:"-"`
}

// PrerequisiteState is one step that a device takes before it installs keys or
// covered updates (rule D1).
type PrerequisiteState struct {
	ID       program.PrerequisiteID `json:"id"`
	Name     string                 `json:"name"`
	Role     program.Role           `json:"role"`
	Done     bool                   `json:"done"`
	Install  []program.UpdateID     `json:"install"` // any one of these
	From     civil.Date             `json:"from,omitzero"`
	Restarts int                    `json:"restarts,omitempty"`
	// Elsewhere are the channels that have it, when the device's own has not (rule D2).
	Elsewhere []string `json:"elsewhere,omitempty"`
	Next      bool     `json:"next"`
}

// Status tells all, as of a day, today when it is zero. It asks no server and
// changes nothing.
func (d *Device) Status(ctx context.Context, on civil.Date) (*Status, error) {
	s, err := d.load()
	if err != nil {
		return nil, err
	}
	k, _, err := d.know(ctx, s, false)
	if err != nil {
		return nil, err
	}
	out := &Status{
		Server: s.identity.Server, Authority: s.identity.Authority, Program: k.program.ID, Name: k.program.Name,
		Edition: k.facts.Edition, Arch: k.facts.Arch, Folder: s.identity.Folder, Delivery: s.identity.Delivery,
		Outside: k.outside(), Metadata: k.freshness(), RestartPending: k.facts.RestartPending,
		Prerequisites: k.prerequisites(), Activated: []program.Year{}, On: on, Updates: len(k.facts.Installed),
		Notices: k.notices, program: k.program,
	}
	out.Eligible = out.Outside == nil
	if k.installation != nil {
		out.Installation = k.installation.Fingerprint.String()
	}
	if k.view.Edition != nil {
		out.EditionName = k.view.Edition.Name
	}
	if on.IsZero() {
		out.On = k.today(d.cfg.Now())
	}
	if k.view.Track == nil {
		return out, nil
	}
	out.Track, out.TrackName = k.view.Track.ID, k.view.Track.Name
	for i := range k.view.Track.Years {
		y := k.year(&k.view.Track.Years[i])
		out.Years = append(out.Years, y)
		if y.Status == Licensed {
			out.Activated = append(out.Activated, y.Year)
		}
	}
	if year, ok := k.view.Track.YearOf(out.On); ok {
		out.OnYear = &year
		out.Covered = year == program.Free || k.held.Covers(k.view.Track.ID, year, out.On)
	}
	return out, nil
}

func (k *knowledge) freshness() Metadata {
	return Metadata{
		Stale: k.metadata.Stale, Days: int(k.metadata.Age / (24 * time.Hour)),
		IssuedAt: k.metadata.IssuedAt, Expires: k.metadata.Expires,
	}
}

// today is the day in the program's time zone, as release days are.
func (k *knowledge) today(now time.Time) civil.Date {
	zone, err := time.LoadLocation(k.program.TimeZone)
	if err != nil { // a machine without zone data
		zone = time.UTC
	}
	return civil.Of(now.In(zone))
}

func (k *knowledge) year(y *program.CoverageYear) YearStatus {
	out := YearStatus{
		Year: y.Year, First: y.First, Last: y.Last, ActivationID: y.ActivationID,
		Portal: y.Key.Portal, Tool: y.Key.Tool, Device: y.Key.Device,
	}
	if key, ok := k.keys[y.ActivationID]; ok {
		out.KeyInstalled, out.LastFive, out.Status = true, key.LastFive(), Unlicensed
	}
	for _, c := range k.held.Claims() { // the one that lasts longest first
		if c.ActivationID != y.ActivationID {
			continue
		}
		out.Status, out.LicenseID, out.Kind, out.Customer, out.IssuedAt = Licensed, c.ID, c.Kind, c.Customer, c.IssuedAt.Time()
		out.Until = k.verifier.Ended.Last(c.ID)
		if c.ExpiresAt != 0 {
			out.ExpiresAt = c.ExpiresAt.Time()
		}
		if c.LastFive != "" {
			out.LastFive = c.LastFive
		}
		return out
	}
	for _, l := range k.licenses { // the one that came last says why none counts
		if l.id == y.ActivationID {
			out.Status, out.LicenseID, out.Rejected = Notification, l.claims.ID, l.refusal
		}
	}
	return out
}

// Prerequisites are the program's, in order, with the one to take next.
func (d *Device) Prerequisites(ctx context.Context) ([]PrerequisiteState, error) {
	s, err := d.load()
	if err != nil {
		return nil, err
	}
	k, _, err := d.know(ctx, s, false)
	if err != nil {
		return nil, err
	}
	return k.prerequisites(), nil
}

func (k *knowledge) prerequisites() []PrerequisiteState {
	all := make([]PrerequisiteState, 0, len(k.program.Prerequisites))
	next := true
	for i := range k.program.Prerequisites {
		r := &k.program.Prerequisites[i]
		if len(r.Tracks) > 0 && (k.view.Track == nil || !slices.Contains(r.Tracks, k.view.Track.ID)) {
			continue
		}
		p := PrerequisiteState{
			ID: r.ID, Name: r.Name.String(), Role: r.Role, Done: k.view.Satisfied(r), Install: r.AnyOf,
			From: r.From, Restarts: r.Restarts,
		}
		if !p.Done {
			p.Next, next = next, false
			p.Elsewhere = k.elsewhere(r)
		}
		all = append(all, p)
	}
	return all
}

// elsewhere are the channels that have a prerequisite, when the device's has
// none of its updates.
func (k *knowledge) elsewhere(r *program.Prerequisite) []string {
	var others []string
	for _, id := range r.AnyOf {
		e, ok := k.catalog.Find(id)
		if !ok {
			continue
		}
		if !slices.Contains(k.notOn(e), k.identity.Delivery) {
			return nil
		}
		others = k.others(e)
	}
	return others
}
