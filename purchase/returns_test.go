package purchase

import (
	"testing"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// rule B14
func TestReturn(t *testing.T) {
	p := harbor(t)
	tests := map[string]struct {
		change func(*ReturnRequest)
		want   []one
	}{
		"on the year's first day": {},
		"the day before":          {func(r *ReturnRequest) { r.On = civil.MustParse("2031-06-10") }, []one{{ReturnTooEarly, map[string]any{"first": civil.MustParse("2031-06-11")}}}},
		"by the customer":         {func(r *ReturnRequest) { r.BySeller = false }, []one{{ReturnNotBySeller, nil}}},
		"all that is left":        {func(r *ReturnRequest) { r.Quantity = 6 }, nil},
		"more than is not activated": {func(r *ReturnRequest) { r.Quantity = 7 },
			[]one{{ReturnActivated, map[string]any{"quantity": 7, "left": 6}}}},
		"more than was ordered": {func(r *ReturnRequest) { r.Quantity, r.NotActivated = 9, 10 }, []one{{ReturnTooMany, map[string]any{"ordered": 8}}}},
		"more than is held":     {func(r *ReturnRequest) { r.Quantity, r.Ordered, r.NotActivated = 11, 20, 20 }, []one{{ReturnTooMany, map[string]any{"ordered": 10}}}},
		"the earlier year first": {func(r *ReturnRequest) { r.Year, r.Quantity = 1, 3 },
			[]one{{ReturnLaterFirst, map[string]any{"year": program.Year(1), "later": program.Year(2), "seats": 1}}}},
		"what the later year leaves": {func(r *ReturnRequest) { r.Year, r.Quantity = 1, 2 }, nil},
		"no seat":                    {func(r *ReturnRequest) { r.Quantity = 0 }, []one{{QuantityTooSmall, nil}}},
		"over a channel without returns": {func(r *ReturnRequest) { r.Channel = "volume" },
			[]one{{ReturnNotTaken, map[string]any{"channel": "Volume"}}}},
		"over a closed channel": {func(r *ReturnRequest) { r.Channel = "legacy" }, []one{{ChannelClosed, nil}}},
		"over no channel":       {func(r *ReturnRequest) { r.Channel = "" }, []one{{ChannelUnknown, nil}}},
		"of no track":           {func(r *ReturnRequest) { r.Track = "" }, []one{{ProductUnknown, nil}}},
		"of no year":            {func(r *ReturnRequest) { r.Year = 9 }, []one{{YearUnknown, nil}}},
		"for several reasons": {func(r *ReturnRequest) { r.BySeller, r.On, r.NotActivated = false, civil.MustParse("2030-03-01"), -1 },
			[]one{{ReturnNotBySeller, nil}, {ReturnTooEarly, nil}, {ReturnActivated, map[string]any{"left": 0}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := ReturnRequest{Channel: "partner", Track: "harbor-5", Year: 2, Quantity: 1, On: civil.MustParse("2031-06-11"), BySeller: true,
				Ordered: 8, NotActivated: 6, Held: []Holding{held(1, 12), held(2, 4), held(2, 6), {"harbor-kiosk", 2, 50}}}
			if tt.change != nil {
				tt.change(&r)
			}
			checkRefusals(t, problem.All(Return(p, r)), tt.want)
		})
	}
}
