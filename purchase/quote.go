package purchase

import (
	"slices"
	"strings"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// quoting is one request on its way to a quote. Track and channel stay nil when
// they cannot be told; what needs them is then left out.
type quoting struct {
	p       *program.Program
	r       Request
	order   bool // not only a question
	product string
	track   *program.Track
	channel *program.Channel
	// qualification is the one that prices are looked up by.
	qualification program.QualificationID
	priced        bool // list, channel, track and qualification are known and fit
	seats         map[program.Year]int
	q             Quote
}

func quote(p *program.Program, r Request, order bool) Quote {
	w := &quoting{p: p, r: r, order: order, priced: true, seats: map[program.Year]int{},
		q: Quote{Refusals: []*problem.Problem{}, Lines: []QuoteLine{}, Missing: []Missing{}}}
	if r.Home {
		w.refuse(problem.New(problem.Refused, HomeUser, "notice", p.Notice, "advice", p.Upgrade))
	}
	w.findChannel()
	w.findProduct()
	w.checkChannel()
	w.checkQualification()
	w.checkList()
	w.checkContract()
	w.checkSeller()
	w.takeLines()
	w.price()
	w.findMissing()
	w.q.Allowed = len(w.q.Refusals) == 0
	return w.q
}

func (w *quoting) refuse(p *problem.Problem) { w.q.Refusals = append(w.q.Refusals, p) }

func (w *quoting) findChannel() {
	if ch, ok := w.p.Channel(w.r.Channel); ok {
		w.channel = ch
	}
}

// findProduct resolves what a person named: a track, an edition on one, or a
// product that is known not to be covered (rules P3, P5, P6).
func (w *quoting) findProduct() {
	w.product = strings.TrimSpace(w.r.Product)
	tracks := w.p.Tracks
	i := slices.IndexFunc(tracks, func(t program.Track) bool {
		return strings.EqualFold(string(t.ID), w.product) || strings.EqualFold(t.Name, w.product)
	})
	if i >= 0 {
		w.setTrack(&tracks[i])
		return
	}
	if w.product == "" || strings.EqualFold(string(w.p.ID), w.product) || strings.EqualFold(w.p.Name, w.product) {
		plain := slices.DeleteFunc(slices.Clone(tracks), func(t program.Track) bool { return t.Embedded })
		if len(plain) == 1 {
			w.setTrack(&plain[0])
			return
		}
		w.refuse(problem.New(problem.Invalid, ProductMissing, "products", products(tracks)))
		return
	}
	if e, ok := w.p.EditionNamed(w.product); ok {
		if e.Ineligible != nil {
			w.refuse(problem.New(problem.Refused, EditionIneligible, "edition", e.Name,
				"reason", e.Ineligible.Reason, "notice", w.p.Notice, "advice", w.p.Upgrade))
		} else if t, ok := w.p.Track(e.Track); ok {
			w.setTrack(t)
		}
		return
	}
	n, ok := w.p.NotCoveredNamed(w.product)
	switch {
	case !ok:
		w.refuse(problem.New(problem.Invalid, ProductUnknown, "product", w.product, "products", products(tracks)))
	case n.Embedded && !w.sellsEmbedded():
		w.refuse(problem.New(problem.Refused, EmbeddedOnly, "product", w.product))
	default:
		w.refuse(problem.New(problem.Refused, ProductNotCovered, "product", w.product, "reason", n.Reason, "advice", n.Advice))
	}
}

func (w *quoting) setTrack(t *program.Track) {
	w.track, w.q.Track = t, t.ID
	if w.product == "" {
		w.product = t.Name
	}
}

// sellsEmbedded reports whether the channel is one of those through which OEMs
// buy; there 'ask your OEM' would be no answer.
func (w *quoting) sellsEmbedded() bool {
	return w.channel != nil && slices.ContainsFunc(w.channel.Tracks, func(id program.TrackID) bool {
		t, ok := w.p.Track(id)
		return ok && t.Embedded
	})
}

func products(tracks []program.Track) []string {
	names := make([]string, len(tracks))
	for i := range tracks {
		names[i] = tracks[i].Name
	}
	return names
}

// checkChannel is rules P4, P6, B1 and B9: the channel exists, sells this track,
// and the day is one of its days.
func (w *quoting) checkChannel() {
	ch := w.channel
	if ch == nil {
		w.refuse(noChannel(w.p, w.r.Channel, w.channelsSelling()))
		return
	}
	if w.track != nil && !slices.Contains(ch.Tracks, w.track.ID) {
		w.priced = false
		if w.track.Embedded {
			w.refuse(problem.New(problem.Refused, EmbeddedOnly, "product", w.product))
		} else {
			w.refuse(problem.New(problem.Refused, ChannelWithout, "channel", ch.Name, "product", w.product, "channels", w.channelsSelling()))
		}
	}
	if w.r.On.Before(ch.Opens) {
		w.refuse(problem.New(problem.Refused, ChannelNotOpen, "channel", ch.Name, "opens", ch.Opens))
	}
	if w.track != nil {
		if last := lastSale(w.p, w.track); w.r.On.After(last) {
			w.refuse(problem.New(problem.Refused, ProgramOver, "product", w.product, "last", last))
		}
	}
}

// noChannel tells a channel that is named as closed from one that is not known.
func noChannel(p *program.Program, id program.ChannelID, open []program.ChannelID) *problem.Problem {
	if closed, ok := p.ClosedChannel(id); ok {
		return problem.New(problem.Refused, ChannelClosed, "channel", closed.Name, "channels", open)
	}
	return problem.New(problem.Invalid, ChannelUnknown, "channel", id, "channels", open)
}

// channelsSelling are the channels that sell the request's track, or all when
// it has none.
func (w *quoting) channelsSelling() []program.ChannelID {
	ids := []program.ChannelID{}
	for _, ch := range w.p.Channels {
		if w.track == nil || slices.Contains(ch.Tracks, w.track.ID) {
			ids = append(ids, ch.ID)
		}
	}
	return ids
}

// sold are the years that can be bought: those with a SKU, and not the ones that
// only hosted licenses cover (rule L3).
func sold(p *program.Program, t *program.Track) []program.Year {
	years := []program.Year{}
	for i := range t.Years {
		if _, ok := p.SKU(t.ID, t.Years[i].Year); ok && t.Years[i].Only == "" {
			years = append(years, t.Years[i].Year)
		}
	}
	return years
}

// lastSale is the last day on which anything is sold on a track (rule B1).
func lastSale(p *program.Program, t *program.Track) civil.Date {
	last := t.LastDay()
	if years := sold(p, t); len(years) > 0 {
		y, _ := t.Year(years[len(years)-1])
		last = y.Last
	}
	return last
}

// checkQualification is rules B7 and B8.
func (w *quoting) checkQualification() {
	if w.r.Qualification == "" {
		return
	}
	q, ok := w.p.Qualification(w.r.Qualification)
	if !ok {
		w.priced = false
		ids := []program.QualificationID{}
		for _, known := range w.p.Qualifications {
			ids = append(ids, known.ID)
		}
		w.refuse(problem.New(problem.Invalid, QualificationUnknown, "qualification", w.r.Qualification, "qualifications", ids))
		return
	}
	if !q.CommonPrice {
		w.qualification = q.ID
	}
	if w.channel == nil || slices.Contains(q.Channels, w.channel.ID) {
		return
	}
	if q.CommonPrice {
		w.refuse(problem.New(problem.Refused, QualificationElsewhere, "qualification", q.Name, "channel", w.channel.Name, "channels", q.Channels))
		return
	}
	w.priced = false
	w.refuse(problem.New(problem.Refused, QualificationWithoutPrice, "qualification", q.Name, "channel", w.channel.Name, "channels", q.Channels))
}

func (w *quoting) checkList() {
	if w.r.List == "" {
		w.r.List = w.p.DefaultList()
	}
	ids := []program.ListID{}
	for _, l := range w.p.PriceLists {
		ids = append(ids, l.ID)
	}
	if !slices.Contains(ids, w.r.List) {
		w.priced = false
		w.refuse(problem.New(problem.Invalid, ListUnknown, "list", w.r.List, "lists", ids))
	}
}

// checkContract is rule P6. Without the contract there is no offer, so even a
// quote says that it is missing.
func (w *quoting) checkContract() {
	if w.channel == nil || w.channel.Contract == "" {
		return
	}
	name, valid := w.channel.Contract, w.r.ContractValid
	switch {
	case w.r.Contract == "":
		w.refuse(problem.New(problem.Refused, ContractMissing, "contract", name, "channel", w.channel.Name))
	case w.r.On.Before(valid.First), !valid.Last.IsZero() && w.r.On.After(valid.Last):
		w.refuse(problem.New(problem.Refused, ContractNotValid, "contract", name, "number", w.r.Contract, "on", w.r.On))
	case w.order && w.r.ContractHolder != HeldByOEM && w.r.ContractHolder != HeldByCustomer:
		w.refuse(problem.New(problem.Invalid, ContractHolderMissing, "contract", name, "number", w.r.Contract))
	}
}

// checkSeller is rule B12.
func (w *quoting) checkSeller() {
	if w.channel == nil {
		return
	}
	rule, named := w.channel.Seller, w.r.Seller != ""
	switch {
	case rule == program.SellerNone && named:
		w.refuse(problem.New(problem.Refused, SellerUnneeded, "seller", w.r.Seller, "channel", w.channel.Name))
	case rule == program.SellerRequired && !named && w.order:
		w.refuse(problem.New(problem.Refused, SellerMissing, "channel", w.channel.Name))
	case rule == program.SellerRequired && named && !w.r.SellerRegistered:
		w.refuse(problem.New(problem.Refused, SellerUnregistered, "seller", w.r.Seller, "channel", w.channel.Name))
	}
	if w.order && named && w.r.SellerIndirect && w.r.Provider == "" {
		w.refuse(problem.New(problem.Refused, ProviderMissing, "seller", w.r.Seller))
	}
}

// takeLines adds up the lines by year and counts the seats that the customer
// would hold after the order. One seat is enough (rule B6).
func (w *quoting) takeLines() {
	if len(w.r.Lines) == 0 {
		w.refuse(problem.New(problem.Invalid, LinesMissing))
	}
	if w.track == nil {
		return
	}
	years := sold(w.p, w.track)
	for _, h := range w.r.Held {
		if h.Track == w.track.ID {
			w.seats[h.Year] = min(w.seats[h.Year]+min(max(h.Seats, 0), MaxSeats), MaxSeats)
		}
	}
	asked := map[program.Year]int{}
	for _, l := range w.r.Lines {
		switch _, exists := w.track.Year(l.Year); {
		case !exists:
			w.refuse(problem.New(problem.Invalid, YearUnknown, "year", l.Year, "product", w.product, "years", years))
		case !slices.Contains(years, l.Year):
			w.refuse(problem.New(problem.Refused, YearNotSold, "year", l.Year, "product", w.product, "years", years))
		case l.Quantity < 1:
			w.refuse(problem.New(problem.Invalid, QuantityTooSmall, "year", l.Year, "quantity", l.Quantity))
		case l.Quantity > MaxSeats-w.seats[l.Year]:
			w.refuse(problem.New(problem.Invalid, QuantityTooLarge, "year", l.Year, "quantity", l.Quantity, "limit", MaxSeats))
		default:
			asked[l.Year] += l.Quantity
			w.seats[l.Year] += l.Quantity
		}
	}
	for _, year := range years {
		if n := asked[year]; n > 0 {
			sku, _ := w.p.SKU(w.track.ID, year)
			w.q.Lines = append(w.q.Lines, QuoteLine{Year: year, SKU: sku.ID, Quantity: n})
		}
	}
}

// findMissing is rule B1: each earlier year needs as many seats as the largest
// later one. A year can be bought late, so nothing here asks when (rule B2).
func (w *quoting) findMissing() {
	if w.track == nil {
		return
	}
	need, by := 0, program.Year(0) // by is the year that the latest missing one is needed for
	for _, year := range slices.Backward(sold(w.p, w.track)) {
		switch seats := w.seats[year]; {
		case seats < need:
			w.q.Missing = append(w.q.Missing, Missing{Year: year, Seats: need - seats})
		case seats > need && len(w.q.Missing) == 0:
			need, by = seats, year
		default:
			need = seats
		}
	}
	slices.Reverse(w.q.Missing)
	w.priceMissing(by)
}
