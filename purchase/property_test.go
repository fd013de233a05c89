package purchase

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/program"
)

// Whatever is bought and returned, earlier years keep as many seats (rule B1, B14).
func TestSeatsStayInOrder(t *testing.T) {
	p := harbor(t)
	rapid.Check(t, func(t *rapid.T) {
		seats := map[program.Year]int{}
		holdings := func() []Holding {
			return []Holding{held(3, seats[3]), held(1, seats[1]), held(2, seats[2])}
		}
		for range rapid.IntRange(1, 12).Draw(t, "acts") {
			year := program.Year(rapid.IntRange(1, 3).Draw(t, "year"))
			quantity := rapid.IntRange(1, 4).Draw(t, "quantity")
			if rapid.Bool().Draw(t, "return") {
				r := ReturnRequest{Channel: "partner", Track: "harbor-5", Year: year, Quantity: quantity, On: civil.MustParse("2033-01-01"), BySeller: true,
					Ordered: 100, NotActivated: 100, Held: holdings()}
				if Return(p, r) == nil {
					seats[year] -= quantity
				}
			} else if _, err := Place(p, request(func(r *Request) { r.Held = holdings() }, Line{year, quantity})); err == nil {
				seats[year] += quantity
			}
			if seats[1] < seats[2] || seats[2] < seats[3] || seats[3] < 0 {
				t.Fatalf("seats are %v", seats)
			}
		}
	})
}

// Missing years added to a request make it allowed, at the sum that was named (rule B1).
func TestMissingIsEnough(t *testing.T) {
	p := harbor(t)
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 5)
		r := request(nil)
		for year := program.Year(1); year <= 3; year++ {
			r.Held = append(r.Held, held(year, small.Draw(t, "held")))
			if n := small.Draw(t, "ordered"); n > 0 {
				r.Lines = append(r.Lines, Line{year, n})
			}
		}
		if len(r.Lines) == 0 {
			r.Lines = []Line{{1, 1}}
		}
		q := Price(p, r)
		for _, refusal := range q.Refusals {
			if refusal.Code != YearsMissing {
				t.Fatalf("refused for %v", refusal)
			}
		}
		if q.Allowed != (len(q.Missing) == 0) {
			t.Fatalf("allowed is %v with %v missing", q.Allowed, q.Missing)
		}
		sum := q.Total.Minor
		for _, m := range q.Missing {
			// One seat fewer of any missing year is not enough.
			fewer := r
			fewer.Lines = append([]Line{}, r.Lines...)
			for _, n := range q.Missing {
				if n.Year == m.Year {
					n.Seats--
				}
				if n.Seats > 0 {
					fewer.Lines = append(fewer.Lines, Line{n.Year, n.Seats})
				}
			}
			if Price(p, fewer).Allowed {
				t.Fatalf("%v is allowed, with less than %v", fewer.Lines, q.Missing)
			}
			sum += m.Cost.Minor
		}
		for _, m := range q.Missing {
			r.Lines = append(r.Lines, Line{m.Year, m.Seats})
		}
		full := Price(p, r)
		if !full.Allowed || full.Total != q.TotalWithMissing || full.Total.Minor != sum || full.TotalWithMissing != full.Total {
			t.Fatalf("with the missing: %+v, named were %v and %v", full, q.TotalWithMissing, q.Missing)
		}
	})
}

// Nothing that anybody can ask makes Price panic, and a quote is always whole:
// allowed or refused, with an exact total or none.
func TestAnyRequest(t *testing.T) {
	p := harbor(t)
	rapid.Check(t, func(t *rapid.T) {
		name := func(known ...string) string {
			return rapid.OneOf(rapid.SampledFrom(append(known, "")), rapid.StringN(0, 8, -1)).Draw(t, "name")
		}
		day := func() civil.Date {
			return civil.New(rapid.IntRange(2029, 2034).Draw(t, "y"), 6, rapid.IntRange(0, 30).Draw(t, "d"))
		}
		number := rapid.OneOf(rapid.IntRange(-1, 9), rapid.Int())
		year := rapid.OneOf(rapid.Int8Range(0, 5), rapid.Int8())
		r := Request{
			Product: name("Harbor", "harbor-kiosk", "Harbor Meter", "Harbor 3", "harbor-5-home"), Channel: program.ChannelID(name("partner", "volume", "maker", "shop", "legacy")),
			List: program.ListID(name("partners", "street")), Currency: "USD", Qualification: program.QualificationID(name("school", "assurance")),
			Seller: name("Quay"), SellerRegistered: rapid.Bool().Draw(t, "registered"), Contract: name("E-1"), ContractValid: civil.Range{First: day(), Last: day()},
			On: day(), SellerPrices: map[program.Year]money.Amount{1: usd(rapid.Int64().Draw(t, "price"))},
		}
		if rapid.Bool().Draw(t, "other currency") {
			r.Currency = "SEK"
		}
		for range rapid.IntRange(0, 4).Draw(t, "lines") {
			r.Lines = append(r.Lines, Line{program.Year(year.Draw(t, "year")), number.Draw(t, "quantity")})
			r.Held = append(r.Held, held(program.Year(year.Draw(t, "year")), number.Draw(t, "seats")))
		}
		q, err := Place(p, r)
		if q.Allowed != (err == nil) || q.Allowed != (len(q.Refusals) == 0) {
			t.Fatalf("allowed is %v with refusals %v and error %v", q.Allowed, q.Refusals, err)
		}
		var sum int64
		for _, l := range q.Lines {
			if l.Quantity < 1 || l.Quantity > MaxSeats || l.Amount.Minor < 0 {
				t.Fatalf("line %+v", l)
			}
			sum += l.Amount.Minor
		}
		if q.Total != (money.Amount{}) && q.Total.Minor != sum || q.Allowed && q.Total == (money.Amount{}) {
			t.Fatalf("total of %+v is %v", q.Lines, q.Total)
		}
		for _, m := range q.Missing {
			if m.Seats < 1 || m.Cost.Minor < 0 {
				t.Fatalf("missing %+v", m)
			}
		}
		if with := q.TotalWithMissing; with != (money.Amount{}) && with.Minor < q.Total.Minor {
			t.Fatalf("the total with the missing years is %v, without %v", q.TotalWithMissing, q.Total)
		}
	})
}
