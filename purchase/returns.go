package purchase

import (
	"errors"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// ReturnRequest asks to give seats of one year back (rule B14).
type ReturnRequest struct {
	Channel  program.ChannelID // on which they were bought
	Track    program.TrackID
	Year     program.Year
	Quantity int
	On       civil.Date // the day of the request, in the program's time zone
	BySeller bool       // the seller on the order asks for it, and not its customer
	// Ordered are the seats of this year on the order or orders that the return
	// is against, less what has been returned of them.
	Ordered int
	// NotActivated are the seats of this year that no installation uses.
	NotActivated int
	Held         []Holding // all that the customer holds, before the return
}

// Return refuses a return with every reason at once, joined, in the order in
// which a person deals with them; nil means that it may be made. Later years go
// first, so that earlier ones always have as many seats. It is refused for good
// on channels that take no returns.
func Return(p *program.Program, r ReturnRequest) error {
	ch, ok := p.Channel(r.Channel)
	if !ok {
		w := quoting{p: p}
		return noChannel(p, r.Channel, w.channelsSelling())
	}
	if !ch.Returns {
		return problem.New(problem.Refused, ReturnNotTaken, "channel", ch.Name)
	}
	t, ok := p.Track(r.Track)
	if !ok {
		return problem.New(problem.Invalid, ProductUnknown, "product", r.Track, "products", products(p.Tracks))
	}
	year, ok := t.Year(r.Year)
	if !ok {
		return problem.New(problem.Invalid, YearUnknown, "year", r.Year, "product", t.Name, "years", sold(p, t))
	}
	if r.Quantity < 1 {
		return problem.New(problem.Invalid, QuantityTooSmall, "year", r.Year, "quantity", r.Quantity)
	}
	var refusals []error
	if !r.BySeller {
		refusals = append(refusals, problem.New(problem.Refused, ReturnNotBySeller, "channel", ch.Name))
	}
	if r.On.Before(year.First) {
		refusals = append(refusals, problem.New(problem.Refused, ReturnTooEarly, "year", r.Year, "first", year.First))
	}
	held := func(year program.Year) (seats int) {
		for _, h := range r.Held {
			if h.Track == r.Track && h.Year == year {
				seats += h.Seats
			}
		}
		return seats
	}
	if most := max(min(r.Ordered, held(r.Year)), 0); r.Quantity > most {
		return errors.Join(append(refusals,
			problem.New(problem.Refused, ReturnTooMany, "year", r.Year, "quantity", r.Quantity, "ordered", most))...)
	}
	if r.Quantity > r.NotActivated {
		refusals = append(refusals,
			problem.New(problem.Refused, ReturnActivated, "year", r.Year, "quantity", r.Quantity, "left", max(r.NotActivated, 0)))
	}
	left := held(r.Year) - r.Quantity
	for _, y := range slices.Backward(t.Years) {
		if over := held(y.Year) - left; y.Year > r.Year && over > 0 {
			refusals = append(refusals,
				problem.New(problem.Refused, ReturnLaterFirst, "year", r.Year, "quantity", r.Quantity, "later", y.Year, "seats", over))
		}
	}
	return errors.Join(refusals...)
}
