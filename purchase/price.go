package purchase

import (
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// unpriced is why a year has no price. It is comparable, so that years without
// one for the same reason are named together.
type unpriced struct {
	code problem.Code
	from civil.Date // of PriceNotInForce
}

// unit is the price of one seat of a year (rule B10): of the lines that are
// announced and in force, the newest. Before the channel opens it is the price
// of its first day, because that is when the order could be placed.
func (w *quoting) unit(year program.Year) (money.Amount, unpriced) {
	if w.channel.PricedBySeller {
		amount, ok := w.r.SellerPrices[year]
		switch {
		case !ok:
			return money.Amount{}, unpriced{code: PriceNotPublic}
		case amount.Minor < 0 || amount.Currency == "" || amount.Currency != w.r.Currency:
			return money.Amount{}, unpriced{code: SellerPriceBad}
		}
		return amount, unpriced{}
	}
	day := w.r.On
	if day.Before(w.channel.Opens) {
		day = w.channel.Opens
	}
	var newest *program.PriceLine
	var next civil.Date
	public, planned := false, false
	for _, l := range w.lines() {
		public = true
		_, prices := l.Years[year]
		switch {
		case !prices:
		case l.Currency() != w.r.Currency:
		case l.Planned:
			planned = true
		case !l.From.After(day):
			if newest == nil || l.From.After(newest.From) {
				newest = l
			}
		case next.IsZero() || l.From.Before(next):
			next = l.From
		}
	}
	switch {
	case newest != nil:
		return newest.Years[year], unpriced{}
	case !next.IsZero():
		return money.Amount{}, unpriced{code: PriceNotInForce, from: next}
	case !public:
		return money.Amount{}, unpriced{code: PriceNotPublic}
	case planned, len(w.currencies([]program.Year{year})) == 0:
		return money.Amount{}, unpriced{code: PriceNotAnnounced}
	case w.r.Currency == "":
		return money.Amount{}, unpriced{code: CurrencyMissing}
	}
	return money.Amount{}, unpriced{code: CurrencyNotPriced}
}

// lines are the price lines that stand for this request, in any currency and on
// any day. Prices are public where there is one at all.
func (w *quoting) lines() []*program.PriceLine {
	var lines []*program.PriceLine
	for i := range w.p.Prices {
		l := &w.p.Prices[i]
		if l.List == w.r.List && l.Channel == w.channel.ID && l.Track == w.track.ID && l.Qualification == w.qualification {
			lines = append(lines, l)
		}
	}
	return lines
}

// currencies are those with an announced price for the most of the years: for all
// of them where there is such a currency.
func (w *quoting) currencies(years []program.Year) []money.Currency {
	for least := len(years); least > 0; least-- {
		found := []money.Currency{}
		for currency, priced := range w.announced(years) {
			if len(priced) >= least {
				found = append(found, currency)
			}
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found
		}
	}
	return []money.Currency{}
}

// announced is which of the years have a price in each currency, on whatever day.
func (w *quoting) announced(years []program.Year) map[money.Currency]map[program.Year]bool {
	priced := map[money.Currency]map[program.Year]bool{}
	for _, l := range w.lines() {
		for _, year := range years {
			if _, ok := l.Years[year]; ok && !l.Planned {
				if priced[l.Currency()] == nil {
					priced[l.Currency()] = map[program.Year]bool{}
				}
				priced[l.Currency()][year] = true
			}
		}
	}
	return priced
}

// price fills in the lines and their total. No line is divided by the days that
// are left of its year (rule B5), and the total is one sum (rule B17).
func (w *quoting) price() {
	if w.track == nil || w.channel == nil || !w.priced || len(w.q.Lines) == 0 {
		return
	}
	var reasons []unpriced
	years := map[unpriced][]program.Year{}
	total, exact := money.Amount{Currency: w.r.Currency}, true
	for i := range w.q.Lines {
		l := &w.q.Lines[i]
		unit, why := w.unit(l.Year)
		if why.code != "" {
			if years[why] == nil {
				reasons = append(reasons, why)
			}
			years[why] = append(years[why], l.Year)
			continue
		}
		l.Unit = unit
		amount, err := unit.Times(int64(l.Quantity))
		if err == nil {
			l.Amount = amount
			total, err = total.Add(amount)
		}
		exact = exact && err == nil
	}
	for _, why := range reasons {
		w.refuse(w.withoutPrice(why, years[why]))
	}
	if !exact {
		w.refuse(problem.New(problem.Invalid, AmountTooLarge, "product", w.product))
	}
	if exact && len(reasons) == 0 {
		w.q.Total = total
	}
}

func (w *quoting) withoutPrice(why unpriced, years []program.Year) *problem.Problem {
	switch why.code {
	case PriceNotInForce:
		return problem.New(problem.Refused, PriceNotInForce, "years", years, "from", why.from)
	case PriceNotAnnounced:
		return problem.New(problem.Refused, PriceNotAnnounced, "years", years, "currency", w.r.Currency)
	case CurrencyMissing:
		return problem.New(problem.Invalid, CurrencyMissing, "currencies", w.currencies(years))
	case CurrencyNotPriced:
		return problem.New(problem.Refused, CurrencyNotPriced, "currency", w.r.Currency, "years", years, "currencies", w.currencies(years))
	case SellerPriceBad:
		return problem.New(problem.Invalid, SellerPriceBad, "years", years)
	default:
		return problem.New(problem.Refused, PriceNotPublic, "years", years, "ask", w.channel.Ask) // rule B11
	}
}

// priceMissing says what the missing years cost, and refuses the order for them.
// by is the year that needs them.
func (w *quoting) priceMissing(by program.Year) {
	if len(w.q.Missing) == 0 {
		w.q.TotalWithMissing = w.q.Total
		return
	}
	years, seats := []program.Year{}, []int{}
	cost, known := money.Amount{Currency: w.r.Currency}, w.channel != nil && w.priced
	for i := range w.q.Missing {
		m := &w.q.Missing[i]
		years, seats = append(years, m.Year), append(seats, m.Seats)
		if !known {
			continue
		}
		var err error
		unit, why := w.unit(m.Year)
		if known = why.code == ""; !known {
			continue
		}
		if m.Cost, err = unit.Times(int64(m.Seats)); err == nil {
			cost, err = cost.Add(m.Cost)
		}
		known = err == nil
	}
	if !known {
		w.refuse(problem.New(problem.Refused, YearsMissingUnpriced, "year", by, "years", years, "seats", seats))
		return
	}
	w.refuse(problem.New(problem.Refused, YearsMissing, "year", by, "years", years, "seats", seats, "cost", cost))
	if with, err := w.q.Total.Add(cost); err == nil {
		w.q.TotalWithMissing = with
	}
}
