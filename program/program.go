// Package program is one vendor's Extended Security Updates offer, as read from
// its file: what is covered and for how long, what a device must have first,
// how it is sold and at what price, and the vendor's own codes.
//
// Nothing here knows a product: names, days, prices and channels are data, and
// a new program is a new file. The code knows the kinds of rule only. A Program
// is immutable once Parse has returned it.
//
// The file has two halves. The public half goes to devices and sites, signed,
// as JSON (PublicJSON, ParsePublic); the commercial half (channels, prices,
// invoices) never leaves the authority, and is empty on a Program that came
// from ParsePublic.
package program

import (
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
)

// Program is one offer.
type Program struct {
	Public     `yaml:",inline"`
	Commercial `yaml:",inline"`
}

// Public is what devices and sites need to decide.
type Public struct {
	Format   int        `yaml:"format" json:"format"` // of the file; 1
	ID       ID         `yaml:"id" json:"id"`
	Name     string     `yaml:"name" json:"name"`
	Vendor   string     `yaml:"vendor" json:"vendor"`
	Version  int        `yaml:"version" json:"version"` // grows with each amendment (rule P14)
	From     civil.Date `yaml:"from" json:"from"`       // the day from which this version holds
	TimeZone string     `yaml:"time-zone" json:"time-zone"`

	Calendar      Calendar       `yaml:"calendar" json:"calendar"`
	Ratings       Ratings        `yaml:"ratings" json:"ratings"`
	Tracks        []Track        `yaml:"tracks" json:"tracks"`
	Editions      []Edition      `yaml:"editions" json:"editions"`
	Architectures []Arch         `yaml:"architectures" json:"architectures"`
	Components    []Component    `yaml:"components" json:"components,omitempty"`
	Kinds         []Kind         `yaml:"kinds" json:"kinds"`
	Prerequisites []Prerequisite `yaml:"prerequisites" json:"prerequisites,omitempty"` // in the order in which a device meets them
	Check         *CheckPackage  `yaml:"check-package" json:"check-package,omitempty"`
	Ungated       []Ungated      `yaml:"ungated" json:"ungated,omitempty"`
	Delivery      []Delivery     `yaml:"delivery" json:"delivery"`
	NotCovered    []NotCovered   `yaml:"not-covered" json:"not-covered,omitempty"`
	ForeignKeys   []ForeignKey   `yaml:"foreign-activation-ids" json:"foreign-activation-ids,omitempty"`
	Activation    Activation     `yaml:"activation" json:"activation"`
	Rights        []Right        `yaml:"rights" json:"rights,omitempty"`
	Upgrade       Text           `yaml:"upgrade-advice" json:"upgrade-advice"`
	Notice        Text           `yaml:"end-of-support-notice" json:"end-of-support-notice"`

	// Codes are the vendor's own codes for refusals, by ours.
	Codes map[problem.Code]string `yaml:"codes" json:"codes,omitempty"`
}

// Commercial is what the vendor's office needs to sell.
type Commercial struct {
	Channels       []Channel       `yaml:"channels" json:"-"`
	ClosedChannels []ClosedChannel `yaml:"closed-channels" json:"-"`
	Qualifications []Qualification `yaml:"qualifications" json:"-"`
	PriceLists     []PriceList     `yaml:"price-lists" json:"-"`
	SKUs           []SKU           `yaml:"skus" json:"-"`
	Prices         []PriceLine     `yaml:"prices" json:"-"`
	InvoiceDay     int             `yaml:"invoice-day" json:"-"` // rule B15
}

// Calendar says when regular releases come: the Nth such weekday of the month
// (rule D3).
type Calendar struct {
	Week    int     `yaml:"week" json:"week"`
	Weekday Weekday `yaml:"weekday" json:"weekday"`
}

// ReleaseDay is the regular release day of a month.
func (c Calendar) ReleaseDay(year int, month time.Month) civil.Date {
	return civil.NthWeekday(year, month, c.Week, time.Weekday(c.Weekday))
}

// Regular reports whether day is its month's regular release day.
func (c Calendar) Regular(day civil.Date) bool {
	return c.ReleaseDay(day.Year(), day.Month()) == day
}

// Ratings orders the ratings from the least to the worst and says which are
// covered (rule P2).
type Ratings struct {
	Order   []Rating `yaml:"order" json:"order"`
	Covered []Rating `yaml:"covered" json:"covered"`
}

// Track is one product's end of support and its coverage years.
type Track struct {
	ID           TrackID        `yaml:"id" json:"id"`
	Name         string         `yaml:"name" json:"name"`
	EndOfSupport civil.Date     `yaml:"end-of-support" json:"end-of-support"`
	Embedded     bool           `yaml:"embedded" json:"embedded,omitempty"` // rules P6, K22
	Years        []CoverageYear `yaml:"years" json:"years"`
}

// CoverageYear is what one purchase covers: fixed days, whenever it is bought
// (rule B5).
type CoverageYear struct {
	Year         Year         `yaml:"year" json:"year"`
	First        civil.Date   `yaml:"first" json:"first"`
	Last         civil.Date   `yaml:"last" json:"last"`
	ActivationID ActivationID `yaml:"activation-id" json:"activation-id"`
	Tag          Tag          `yaml:"tag" json:"tag"`
	Key          KeyNames     `yaml:"key" json:"key"`
	Only         Only         `yaml:"only" json:"only,omitempty"`
}

// Only limits a year to one kind of license.
type Only string

// OnlyCloud is a year for which only hosted licenses are issued (rule L3).
const OnlyCloud Only = "cloud"

// KeyNames are the names under which people meet a key (rule K20).
type KeyNames struct {
	Portal string `yaml:"portal" json:"portal"`
	Tool   string `yaml:"tool" json:"tool"`
	Device string `yaml:"device" json:"device"` // as the device's own listing shows the add-on
}

// Range is the year's first and last day, both covered.
func (y CoverageYear) Range() civil.Range { return civil.Range{First: y.First, Last: y.Last} }

// YearOf returns the year that an update released on day belongs to: Free
// through the end-of-support day, then the year that holds the day. It is false
// once the last year is over, and in a gap (rules P1, K4).
func (t *Track) YearOf(day civil.Date) (Year, bool) {
	if !day.After(t.EndOfSupport) {
		return Free, true
	}
	for _, y := range t.Years {
		if y.Range().Contains(day) {
			return y.Year, true
		}
	}
	return 0, false
}

// Year finds a coverage year by its number.
func (t *Track) Year(n Year) (*CoverageYear, bool) {
	i := slices.IndexFunc(t.Years, func(y CoverageYear) bool { return y.Year == n })
	if i < 0 {
		return nil, false
	}
	return &t.Years[i], true
}

// LastDay is the last day of the track's last year, after which nothing is sold
// or released on it (rule B1).
func (t *Track) LastDay() civil.Date { return t.Years[len(t.Years)-1].Last }

// Edition is one edition by its exact id (rule P3). An ineligible one says why;
// with a track, it still has that track's free updates (rule P1).
type Edition struct {
	ID            EditionID   `yaml:"id" json:"id"`
	Name          string      `yaml:"name" json:"name"`
	Aliases       []string    `yaml:"aliases" json:"aliases,omitempty"`
	Track         TrackID     `yaml:"track" json:"track,omitempty"`
	Architectures []Arch      `yaml:"architectures" json:"architectures,omitempty"` // none: all of the program's
	Ineligible    *Ineligible `yaml:"ineligible" json:"ineligible,omitempty"`
	// CheckPackage says that the check package has this edition on its own list.
	CheckPackage bool `yaml:"check-package" json:"check-package,omitempty"`
}

// Ineligible is why an edition is outside the program.
type Ineligible struct {
	Home   bool `yaml:"home" json:"home,omitempty"` // home users get the notice and the advice (rule P11)
	Reason Text `yaml:"reason" json:"reason"`
}

// Component is a part of the product with a support window of its own; no
// update to it is released after Ends (rule P7).
type Component struct {
	ID       ComponentID `yaml:"id" json:"id"`
	Name     string      `yaml:"name" json:"name"`
	Ends     End         `yaml:"ends" json:"ends,omitzero"`
	Absent   []TrackID   `yaml:"absent-on" json:"absent-on,omitempty"`
	Optional bool        `yaml:"optional" json:"optional,omitempty"` // devices may lack it
}

// Kind is a kind of update and what follows from being one.
type Kind struct {
	ID         KindID      `yaml:"id" json:"id"`
	Names      []string    `yaml:"names" json:"names,omitempty"` // in histories, exactly
	Rating     Rating      `yaml:"rating" json:"rating"`
	Component  ComponentID `yaml:"component" json:"component,omitempty"`
	Ungated    bool        `yaml:"ungated" json:"ungated,omitempty"`
	Cumulative bool        `yaml:"cumulative" json:"cumulative,omitempty"`
	// OutOfBand marks a kind that comes on any day.
	OutOfBand bool         `yaml:"out-of-band" json:"out-of-band,omitempty"`
	NotOn     []DeliveryID `yaml:"not-on" json:"not-on,omitempty"` // rule D2
}

// Role is what a prerequisite is for; it decides how its absence shows.
type Role string

// The closed set of roles, in the order in which they break things.
const (
	RoleServicingStack Role = "servicing-stack" // the installer itself is too old
	RoleSignature      Role = "signature"       // signatures of today cannot be verified
	RoleLicensing      Role = "licensing"       // keys cannot be installed
	RolePreparation    Role = "preparation"     // updates roll back
)

// Roles lists every role.
func Roles() []Role {
	return []Role{RoleServicingStack, RoleSignature, RoleLicensing, RolePreparation}
}

// Prerequisite is what a device must have before it can install keys or
// updates (rule D1). Any one of AnyOf satisfies it, whatever supersedes one of
// them, and any update that OrLater describes.
type Prerequisite struct {
	ID       PrerequisiteID `yaml:"id" json:"id"`
	Name     Text           `yaml:"name" json:"name"`
	Role     Role           `yaml:"role" json:"role"`
	Tracks   []TrackID      `yaml:"tracks" json:"tracks,omitempty"` // none: all
	AnyOf    []UpdateID     `yaml:"any-of" json:"any-of"`
	OrLater  []Later        `yaml:"or-later" json:"or-later,omitempty"`
	From     civil.Date     `yaml:"from" json:"from,omitzero"` // for updates released from this day on
	Restarts int            `yaml:"restarts" json:"restarts,omitempty"`
}

// Later describes updates that satisfy a prerequisite: of these kinds, released
// on Since or after.
type Later struct {
	Kinds []KindID   `yaml:"kinds" json:"kinds"`
	Since civil.Date `yaml:"since" json:"since"`
}

// CheckPackage is the optional package that tells beforehand whether updates
// would be accepted (rules D10, D14).
type CheckPackage struct {
	Updates []UpdateID `yaml:"updates" json:"updates"`
	// Needs are the least servicing stack and rollup; a device with older ones fails.
	Needs []Later `yaml:"needs" json:"needs"`
}

// Ungated is content that reaches every device until its own end (rule P8).
type Ungated struct {
	ID      string `yaml:"id" json:"id"`
	Name    string `yaml:"name" json:"name"`
	Kind    KindID `yaml:"kind" json:"kind"`
	Version string `yaml:"version" json:"version,omitempty"`
	Ends    End    `yaml:"ends" json:"ends,omitzero"`
}

// Delivery is a way on which updates travel (rule D4).
type Delivery struct {
	ID           DeliveryID `yaml:"id" json:"id"`
	Name         string     `yaml:"name" json:"name"`
	Default      bool       `yaml:"default" json:"default,omitempty"` // the one that a device uses until told otherwise
	LeastVersion string     `yaml:"least-version" json:"least-version,omitempty"`
}

// NotCovered is a product that people ask for and that no order covers (rules
// P5, P6).
type NotCovered struct {
	Names  []string `yaml:"names" json:"names"`
	Reason Text     `yaml:"reason" json:"reason"`
	Advice Text     `yaml:"advice" json:"advice,omitempty"`
	// Embedded products are asked of the device's OEM.
	Embedded bool `yaml:"embedded" json:"embedded,omitempty"`
}

// ForeignKey is an activation id that people take for an add-on's and that is
// the product's own (rule K19). Prefix is matched without case.
type ForeignKey struct {
	Prefix string `yaml:"prefix" json:"prefix"`
	Name   string `yaml:"name" json:"name"`
}

// Activation is where devices activate, so that a network failure can name the
// hosts to allow (rule K17).
type Activation struct {
	Hosts []string `yaml:"hosts" json:"hosts,omitempty"`
	// ListAll says that the device's listing needs the word 'all' to show an add-on (rule K9).
	ListAll bool `yaml:"list-all" json:"list-all,omitempty"`
}

// Right says whether a device may run the product after the end of support, by
// where its license comes from. Origins that are not listed are not in the
// table, and nothing is said of them (rule L5).
type Right struct {
	Origin string     `yaml:"origin" json:"origin"`
	Name   Text       `yaml:"name" json:"name"`
	After  RightAfter `yaml:"after" json:"after"`
}

// RightAfter is what becomes of a right at the end of support.
type RightAfter string

// The closed set of what becomes of a right.
const (
	RightKept         RightAfter = "kept"
	RightWithCoverage RightAfter = "with-coverage" // lost, and back for the years bought
)

// Right finds the right that comes with a license's origin.
func (p *Public) Right(origin string) (*Right, bool) {
	return find(p.Rights, func(r *Right) bool { return r.Origin == origin })
}

// Channel is a way to buy (rule P4).
type Channel struct {
	ID     ChannelID  `yaml:"id"`
	Name   string     `yaml:"name"`
	Opens  civil.Date `yaml:"opens"`
	Tracks []TrackID  `yaml:"tracks"`
	// Ask is whom to ask for a price that is not public (rule B11).
	Ask Text `yaml:"ask"`
	// Seller says whether an order names one (rule B12).
	Seller SellerRule `yaml:"seller"`
	// Contract must stand on every order (rule P6).
	Contract string `yaml:"contract"`
	// PricedBySeller channels have no public price: the seller sets it.
	PricedBySeller bool `yaml:"priced-by-seller"`
	// Returns are taken on this channel (rule B14).
	Returns bool `yaml:"returns"`
	// Allowance is how many activations the terms add to the seats (rule K5).
	Allowance int `yaml:"allowance"`
}

// SellerRule says whether an order names who sold it.
type SellerRule string

// The closed set of seller rules.
const (
	SellerNone     SellerRule = "none"
	SellerOptional SellerRule = "optional"
	SellerRequired SellerRule = "required"
)

// ClosedChannel is one that people ask for and that does not sell this (rule B9).
type ClosedChannel struct {
	ID   ChannelID `yaml:"id"`
	Name string    `yaml:"name"`
}

// Qualification entitles to a price of its own on some channels (rule B7), or
// only to the common price through some channels (rule B8).
type Qualification struct {
	ID       QualificationID `yaml:"id"`
	Name     Text            `yaml:"name"`
	Channels []ChannelID     `yaml:"channels"`
	// CommonPrice says that this qualification changes the channel and not the price.
	CommonPrice bool `yaml:"common-price"`
}

// PriceList is one of several lists side by side (rule B10). Quotes use the
// default one unless another is named.
type PriceList struct {
	ID      ListID `yaml:"id"`
	Name    string `yaml:"name"`
	Default bool   `yaml:"default"`
}

// SKU is one coverage year as an offer (rules B4, B13).
type SKU struct {
	ID       SKUID      `yaml:"id"`
	Track    TrackID    `yaml:"track"`
	Year     Year       `yaml:"year"`
	Name     string     `yaml:"name"`
	Place    []string   `yaml:"place"`    // where it stands in the price list
	Keywords []string   `yaml:"keywords"` // by which it is found
	Items    []ItemCode `yaml:"items"`
}

// ItemCode is a provider's own code for a SKU.
type ItemCode struct {
	Provider string `yaml:"provider"`
	Code     string `yaml:"code"`
	Name     string `yaml:"name"`
}

// PriceLine is the price of a track's years on one list and channel, in one
// currency, for one qualification ("" is everybody), from a day on, without tax.
type PriceLine struct {
	List          ListID                `yaml:"list"`
	Channel       ChannelID             `yaml:"channel"`
	Track         TrackID               `yaml:"track"`
	Qualification QualificationID       `yaml:"qualification"`
	From          civil.Date            `yaml:"from"`
	Planned       bool                  `yaml:"planned"` // not announced: cannot be ordered
	Years         map[Year]money.Amount `yaml:"years"`
}

// Currency is the line's currency.
func (l *PriceLine) Currency() money.Currency {
	for _, amount := range l.Years {
		return amount.Currency
	}
	return ""
}

// Track finds a track.
func (p *Public) Track(id TrackID) (*Track, bool) {
	return find(p.Tracks, func(t *Track) bool { return t.ID == id })
}

// Edition finds an edition by its exact id.
func (p *Public) Edition(id EditionID) (*Edition, bool) {
	return find(p.Editions, func(e *Edition) bool { return e.ID == id })
}

// EditionNamed finds an edition as a person writes it: its id, its name or an
// alias, in any case.
func (p *Public) EditionNamed(s string) (*Edition, bool) {
	return find(p.Editions, func(e *Edition) bool {
		return named(s, string(e.ID), e.Name) || named(s, e.Aliases...)
	})
}

// NotCoveredNamed finds a product that is named as not covered (rule P5).
func (p *Public) NotCoveredNamed(s string) (*NotCovered, bool) {
	return find(p.NotCovered, func(n *NotCovered) bool { return named(s, n.Names...) })
}

// Component finds a component.
func (p *Public) Component(id ComponentID) (*Component, bool) {
	return find(p.Components, func(c *Component) bool { return c.ID == id })
}

// Kind finds a kind of update.
func (p *Public) Kind(id KindID) (*Kind, bool) {
	return find(p.Kinds, func(k *Kind) bool { return k.ID == id })
}

// KindNamed finds a kind by the name that a history gives it, exactly.
func (p *Public) KindNamed(s string) (*Kind, bool) {
	return find(p.Kinds, func(k *Kind) bool { return string(k.ID) == s || slices.Contains(k.Names, s) })
}

// ByActivationID finds the track and year of an activation id.
func (p *Public) ByActivationID(id ActivationID) (*Track, *CoverageYear, bool) {
	return p.yearWhere(func(y *CoverageYear) bool { return y.ActivationID == id })
}

// ByTag finds the track and year of a key's tag.
func (p *Public) ByTag(tag Tag) (*Track, *CoverageYear, bool) {
	return p.yearWhere(func(y *CoverageYear) bool { return y.Tag == tag })
}

func (p *Public) yearWhere(is func(*CoverageYear) bool) (*Track, *CoverageYear, bool) {
	for i := range p.Tracks {
		if y, ok := find(p.Tracks[i].Years, is); ok {
			return &p.Tracks[i], y, true
		}
	}
	return nil, nil, false
}

// Channel finds an open channel.
func (p *Program) Channel(id ChannelID) (*Channel, bool) {
	return find(p.Channels, func(c *Channel) bool { return c.ID == id })
}

// ClosedChannel finds one that is named as closed.
func (p *Program) ClosedChannel(id ChannelID) (*ClosedChannel, bool) {
	return find(p.ClosedChannels, func(c *ClosedChannel) bool { return c.ID == id })
}

// Qualification finds a qualification.
func (p *Program) Qualification(id QualificationID) (*Qualification, bool) {
	return find(p.Qualifications, func(q *Qualification) bool { return q.ID == id })
}

// DefaultList is the list that quotes use.
func (p *Program) DefaultList() ListID {
	for _, l := range p.PriceLists {
		if l.Default {
			return l.ID
		}
	}
	return ""
}

// SKU finds the SKU of a track's year.
func (p *Program) SKU(track TrackID, year Year) (*SKU, bool) {
	return find(p.SKUs, func(s *SKU) bool { return s.Track == track && s.Year == year })
}

// Offers finds SKUs by name, keyword, place or a provider's item code, as a
// person types it (rule B13).
func (p *Program) Offers(query string) []*SKU {
	query = strings.TrimSpace(query)
	if query == "" {
		return nil
	}
	var found []*SKU
	for i := range p.SKUs {
		s := &p.SKUs[i]
		hit := named(query, string(s.ID)) || named(query, s.Keywords...) || named(query, s.Place...) ||
			strings.Contains(strings.ToLower(s.Name), strings.ToLower(query)) ||
			slices.ContainsFunc(s.Items, func(c ItemCode) bool { return named(query, c.Code, c.Name) })
		if hit {
			found = append(found, s)
		}
	}
	return found
}

// LastDay is the last day of the program's last year, on any track.
func (p *Public) LastDay() civil.Date {
	var last civil.Date
	for i := range p.Tracks {
		if d := p.Tracks[i].LastDay(); d.After(last) {
			last = d
		}
	}
	return last
}

func find[T any](all []T, is func(*T) bool) (*T, bool) {
	for i := range all {
		if is(&all[i]) {
			return &all[i], true
		}
	}
	return nil, false
}

func named(s string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, strings.TrimSpace(s)) })
}
