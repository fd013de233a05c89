package purchase

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func harbor(t testing.TB) *program.Program {
	t.Helper()
	text, err := os.ReadFile("testdata/harbor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Parse("harbor.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func usd(minor int64) money.Amount { return money.Amount{Currency: "USD", Minor: minor} }

func held(year program.Year, seats int) Holding {
	return Holding{Track: "harbor-5", Year: year, Seats: seats}
}

// request is one that nothing refuses, but for what change changes.
func request(change func(*Request), lines ...Line) Request {
	r := Request{Channel: "partner", Currency: "USD", Seller: "Quay", SellerRegistered: true, Lines: lines, On: civil.MustParse("2031-07-01")}
	if change != nil {
		change(&r)
	}
	return r
}

func codes(problems []*problem.Problem) []problem.Code {
	found := []problem.Code{}
	for _, p := range problems {
		found = append(found, p.Code)
	}
	return found
}

// one is what a refusal must be: its code, and the arguments that matter.
type one struct {
	code problem.Code
	args map[string]any
}

func checkRefusals(t *testing.T, got []*problem.Problem, want []one) {
	t.Helper()
	wantCodes := []problem.Code{}
	for _, w := range want {
		wantCodes = append(wantCodes, w.code)
	}
	if diff := cmp.Diff(wantCodes, codes(got)); diff != "" {
		t.Fatalf("refusals (-want +got):\n%s", diff)
	}
	for i, w := range want {
		for name, value := range w.args {
			if diff := cmp.Diff(value, got[i].Args[name], cmp.Comparer(func(a, b civil.Date) bool { return a == b })); diff != "" {
				t.Errorf("%s, argument %s (-want +got):\n%s", w.code, name, diff)
			}
		}
	}
}

func on(day string) func(*Request) { return func(r *Request) { r.On = civil.MustParse(day) } }

func TestPrice(t *testing.T) {
	p := harbor(t)
	ten := Line{Year: 1, Quantity: 10}
	tests := map[string]struct {
		change func(*Request)
		lines  []Line
		total  money.Amount
		want   []one
	}{
		// rule B1, B3, B4, B17
		"one year":               {lines: []Line{ten}, total: usd(50000)},
		"all years at once":      {lines: []Line{{2, 10}, {1, 10}, {3, 10}}, total: usd(350000)},
		"one year in two lines":  {lines: []Line{{1, 4}, {1, 6}}, total: usd(50000)},
		"earlier year held":      {change: func(r *Request) { r.Held = []Holding{held(1, 10)} }, lines: []Line{{2, 10}}, total: usd(100000)},
		"earlier year held half": {change: func(r *Request) { r.Held = []Holding{held(1, 5), held(1, 5)} }, lines: []Line{{2, 10}}, total: usd(100000)},
		// rule B1
		"earlier year not held": {lines: []Line{{2, 10}}, total: usd(100000), want: []one{{YearsMissing, map[string]any{
			"year": program.Year(2), "years": []program.Year{1}, "seats": []int{10}, "cost": usd(50000)}}}},
		"several earlier years": {change: func(r *Request) { r.Held = []Holding{held(1, 4), held(2, 9)} }, lines: []Line{{3, 10}}, total: usd(200000),
			want: []one{{YearsMissing, map[string]any{"years": []program.Year{1, 2}, "seats": []int{6, 1}, "cost": usd(40000)}}}},
		"named is the year that needs": {change: func(r *Request) { r.Held = []Holding{held(1, 3), held(2, 3), held(3, 3)} }, lines: []Line{{2, 1}}, total: usd(10000),
			want: []one{{YearsMissing, map[string]any{"year": program.Year(2), "years": []program.Year{1}, "seats": []int{1}}}}},
		"named is the latest year that needs": {change: func(r *Request) { r.Held = []Holding{held(1, 3), held(2, 1)} }, lines: []Line{{3, 2}}, total: usd(40000),
			want: []one{{YearsMissing, map[string]any{"year": program.Year(3), "years": []program.Year{2}, "seats": []int{1}}}}},
		"held on another track is no help": {change: func(r *Request) { r.Held = []Holding{{"harbor-kiosk", 1, 10}} }, lines: []Line{{2, 10}}, total: usd(100000),
			want: []one{{YearsMissing, nil}}},

		// rule B2
		"year 1 bought in year 3": {change: on("2033-06-14"), lines: []Line{ten}, total: usd(50000)},
		// rule B5
		"the last day of a year costs all of it": {change: on("2031-06-10"), lines: []Line{ten}, total: usd(50000)},
		// rule B6
		"one seat": {lines: []Line{{1, 1}}, total: usd(5000)},
		"no seats": {lines: []Line{{1, 0}, {2, -1}}, want: []one{{QuantityTooSmall, map[string]any{"quantity": 0}}, {QuantityTooSmall, map[string]any{"quantity": -1}}}},
		"no lines": {want: []one{{LinesMissing, nil}}},

		// rule P4, B1
		"before coverage, on the opening day": {change: on("2030-02-04"), lines: []Line{ten}, total: usd(50000)},
		"before the opening day":              {change: on("2030-02-03"), lines: []Line{ten}, total: usd(50000), want: []one{{ChannelNotOpen, map[string]any{"opens": civil.MustParse("2030-02-04")}}}},
		"another channel's opening day": {change: func(r *Request) { r.Channel, r.Seller, r.On = "volume", "", civil.MustParse("2029-10-01") }, lines: []Line{ten},
			total: usd(50000)},
		// rule B1
		"the day after the last year": {change: on("2033-06-15"), lines: []Line{ten}, total: usd(50000), want: []one{{ProgramOver, map[string]any{"last": civil.MustParse("2033-06-14")}}}},
		"a year for the cloud only":   {lines: []Line{{4, 1}}, want: []one{{YearNotSold, map[string]any{"years": []program.Year{1, 2, 3}}}}},
		"no such year":                {lines: []Line{{5, 1}, {0, 1}}, want: []one{{YearUnknown, nil}, {YearUnknown, nil}}},

		// rule P3
		"an edition by its alias": {change: func(r *Request) { r.Product = " office 5 " }, lines: []Line{ten}, total: usd(50000)},
		"a track by its name":     {change: func(r *Request) { r.Product = "harbor 5" }, lines: []Line{ten}, total: usd(50000)},
		"the program's name":      {change: func(r *Request) { r.Product = "Harbor" }, lines: []Line{ten}, total: usd(50000)},
		"an ineligible edition": {change: func(r *Request) { r.Product = "Harbor 5 Deluxe" }, lines: []Line{ten},
			want: []one{{EditionIneligible, map[string]any{"reason": program.Text{"en": "It is a consumer edition."}, "advice": p.Upgrade}}}},
		// rule P11
		"a home edition": {change: func(r *Request) { r.Product = "harbor-5-home" }, lines: []Line{ten},
			want: []one{{EditionIneligible, map[string]any{"notice": p.Notice, "advice": p.Upgrade}}}},
		"a home user": {change: func(r *Request) { r.Home = true }, lines: []Line{ten}, total: usd(50000),
			want: []one{{HomeUser, map[string]any{"notice": p.Notice, "advice": p.Upgrade}}}},
		// rule P5
		"not covered, with advice": {change: func(r *Request) { r.Product = "Harbor 3" }, lines: []Line{ten},
			want: []one{{ProductNotCovered, map[string]any{"product": "Harbor 3", "reason": program.Text{"en": "Its support ended long ago."}, "advice": program.Text{"en": "Move to Ocean."}}}}},
		"not covered, without": {change: func(r *Request) { r.Product = "harbor writer" }, lines: []Line{ten},
			want: []one{{ProductNotCovered, map[string]any{"advice": program.Text(nil)}}}},
		"unknown product": {change: func(r *Request) { r.Product = "Lighthouse" }, lines: []Line{ten},
			want: []one{{ProductUnknown, map[string]any{"products": []string{"Harbor 5", "Harbor Kiosk"}}}}},
		// rule P6
		"embedded over partners":           {change: func(r *Request) { r.Product = "Harbor Kiosk" }, lines: []Line{ten}, want: []one{{EmbeddedOnly, nil}}},
		"embedded over volume":             {change: func(r *Request) { r.Product, r.Channel = "Harbor Kiosk", "volume" }, lines: []Line{ten}, want: []one{{EmbeddedOnly, nil}}},
		"embedded, with no track":          {change: func(r *Request) { r.Product = "Harbor Meter" }, lines: []Line{ten}, want: []one{{EmbeddedOnly, nil}}},
		"embedded, with no track, by OEMs": {change: func(r *Request) { maker(r); r.Product = "Harbor Meter" }, lines: []Line{ten}, want: []one{{ProductNotCovered, nil}}},
		"embedded by OEMs":                 {change: maker, lines: []Line{ten}, total: usd(30000)},
		"without the contract":             {change: func(r *Request) { maker(r); r.Contract = "" }, lines: []Line{ten}, total: usd(30000), want: []one{{ContractMissing, nil}}},
		"contract over":                    {change: func(r *Request) { maker(r); r.On = civil.MustParse("2032-01-01") }, lines: []Line{ten}, total: usd(30000), want: []one{{ContractNotValid, nil}}},
		"contract not begun":               {change: func(r *Request) { maker(r); r.ContractValid.First = civil.MustParse("2031-07-02") }, lines: []Line{ten}, total: usd(30000), want: []one{{ContractNotValid, nil}}},
		"contract without end":             {change: func(r *Request) { maker(r); r.ContractValid = civil.Range{} }, lines: []Line{ten}, total: usd(30000)},
		"no standard product from OEMs": {change: func(r *Request) { maker(r); r.Product = "" }, lines: []Line{ten},
			want: []one{{ChannelWithout, map[string]any{"channels": []program.ChannelID{"volume", "partner", "shop"}}}}},

		// rule B9
		"a closed channel": {change: func(r *Request) { r.Channel = "legacy" }, lines: []Line{ten},
			want: []one{{ChannelClosed, map[string]any{"channel": "Legacy Agreements", "channels": []program.ChannelID{"volume", "partner", "shop"}}}}},
		"an unknown channel": {change: func(r *Request) { r.Channel = "post" }, lines: []Line{ten}, want: []one{{ChannelUnknown, nil}}},

		// rule B7
		"the lower price": {change: func(r *Request) { r.Channel, r.Qualification = "volume", "assurance" }, lines: []Line{ten}, total: usd(25000)},
		"no lower price through partners": {change: func(r *Request) { r.Qualification = "assurance" }, lines: []Line{ten},
			want: []one{{QualificationWithoutPrice, map[string]any{"channels": []program.ChannelID{"volume"}}}}},
		"without it, the common price":  {change: func(r *Request) { r.Channel = "volume" }, lines: []Line{ten}, total: usd(50000)},
		"the missing at the same price": {change: func(r *Request) { r.Channel, r.Qualification = "volume", "assurance" }, lines: []Line{{2, 1}}, total: usd(5000), want: []one{{YearsMissing, map[string]any{"cost": usd(2500)}}}},
		"unknown qualification":         {change: func(r *Request) { r.Qualification = "friend" }, lines: []Line{ten}, want: []one{{QualificationUnknown, nil}}},
		// rule B8
		"schools pay the common price": {change: func(r *Request) { r.Qualification = "school" }, lines: []Line{ten}, total: usd(50000)},
		"schools elsewhere": {change: func(r *Request) { r.Channel, r.Qualification = "volume", "school" }, lines: []Line{ten}, total: usd(50000),
			want: []one{{QualificationElsewhere, map[string]any{"channels": []program.ChannelID{"partner"}}}}},

		// rule B10
		"the old price until the new one":  {change: on("2032-06-08"), lines: []Line{{1, 1}, {2, 1}, {3, 1}}, total: usd(35000)},
		"the newest price in force":        {change: on("2032-06-09"), lines: []Line{{1, 1}, {2, 1}, {3, 1}}, total: usd(39000)},
		"another currency":                 {change: func(r *Request) { r.Currency = "JPY" }, lines: []Line{{1, 2}, {2, 1}}, total: money.Amount{Currency: "JPY", Minor: 28000}},
		"the street list":                  {change: func(r *Request) { r.Currency, r.List = "JPY", "street" }, lines: []Line{{1, 2}}, total: money.Amount{Currency: "JPY", Minor: 15800}},
		"no such list":                     {change: func(r *Request) { r.List = "secret" }, lines: []Line{ten}, want: []one{{ListUnknown, nil}}},
		"not announced, not even planned":  {change: func(r *Request) { r.Currency, r.List = "JPY", "street" }, lines: []Line{{1, 1}, {2, 1}}, want: []one{{PriceNotAnnounced, map[string]any{"years": []program.Year{2}}}}},
		"planned":                          {change: func(r *Request) { r.Currency = "JPY" }, lines: []Line{{1, 1}, {2, 1}, {3, 1}}, want: []one{{PriceNotAnnounced, map[string]any{"years": []program.Year{3}}}}},
		"not in force yet":                 {change: func(r *Request) { on("2031-06-10")(r); r.Currency = "JPY" }, lines: []Line{{1, 1}, {2, 1}}, want: []one{{PriceNotInForce, map[string]any{"years": []program.Year{2}, "from": civil.MustParse("2031-06-11")}}}},
		"a currency without a price":       {change: func(r *Request) { r.Currency = "EUR" }, lines: []Line{{1, 1}, {2, 1}, {3, 1}}, want: []one{{CurrencyNotPriced, map[string]any{"years": []program.Year{2, 3}, "currencies": []money.Currency{"USD"}}}}},
		"no currency for all of the years": {change: func(r *Request) { r.Currency, r.List, r.Held = "EUR", "street", []Holding{held(2, 1)} }, lines: []Line{{1, 1}, {3, 1}}, want: []one{{CurrencyNotPriced, map[string]any{"currencies": []money.Currency{"CHF", "JPY"}}}}},
		"no currency":                      {change: func(r *Request) { r.Currency = "" }, lines: []Line{{2, 1}, {1, 1}}, want: []one{{CurrencyMissing, map[string]any{"currencies": []money.Currency{"JPY", "SEK", "USD"}}}}},
		"an amount that no integer holds":  {change: func(r *Request) { r.Currency = "SEK" }, lines: []Line{{1, 2}}, want: []one{{AmountTooLarge, nil}}},
		"missing years that no integer holds": {change: func(r *Request) { r.Currency, r.Held = "SEK", []Holding{held(2, 1)} }, lines: []Line{{2, 1}}, total: money.Amount{Currency: "SEK", Minor: 9e18},
			want: []one{{YearsMissingUnpriced, map[string]any{"seats": []int{2}}}}},
		"more seats than anybody has":      {lines: []Line{{1, MaxSeats + 1}}, want: []one{{QuantityTooLarge, nil}}},
		"more than that in two lines":      {lines: []Line{{1, MaxSeats}, {1, 1}}, total: usd(5000 * MaxSeats), want: []one{{QuantityTooLarge, nil}}},
		"more than that with what is held": {change: func(r *Request) { r.Held = []Holding{held(1, MaxSeats)} }, lines: []Line{{1, 1}}, want: []one{{QuantityTooLarge, nil}}},
		// rule B11
		"not public, ask the shop":    {change: func(r *Request) { r.Channel, r.Seller = "shop", "" }, lines: []Line{ten}, want: []one{{PriceNotPublic, map[string]any{"ask": program.Text{"en": "Ask the shop."}}}}},
		"not public on that list":     {change: func(r *Request) { r.Channel, r.List = "volume", "street" }, lines: []Line{{1, 1}, {2, 1}}, want: []one{{PriceNotPublic, map[string]any{"years": []program.Year{1, 2}, "ask": program.Text{"en": "Ask your account team."}}}}},
		"not public, ask the OEM":     {change: func(r *Request) { maker(r); r.SellerPrices = nil }, lines: []Line{ten}, want: []one{{PriceNotPublic, map[string]any{"ask": program.Text{"en": "Ask the OEM."}}}}},
		"OEM's price for one year":    {change: maker, lines: []Line{{2, 1}}, want: []one{{PriceNotPublic, nil}, {YearsMissing, nil}}},
		"OEM's missing year":          {change: func(r *Request) { maker(r); r.SellerPrices = map[program.Year]money.Amount{2: usd(1)} }, lines: []Line{{2, 1}}, total: usd(1), want: []one{{YearsMissingUnpriced, nil}}},
		"OEM's price below nought":    {change: func(r *Request) { maker(r); r.SellerPrices[1] = usd(-1) }, lines: []Line{ten}, want: []one{{SellerPriceBad, nil}}},
		"OEM's price, other currency": {change: func(r *Request) { maker(r); r.Currency = "EUR" }, lines: []Line{ten}, want: []one{{SellerPriceBad, nil}}},
		"OEM's price, no currency":    {change: func(r *Request) { maker(r); r.Currency = ""; r.SellerPrices[1] = money.Amount{} }, lines: []Line{ten}, want: []one{{SellerPriceBad, nil}}},

		// rule B12
		"a seller that is not registered":   {change: func(r *Request) { r.SellerRegistered = false }, lines: []Line{ten}, total: usd(50000), want: []one{{SellerUnregistered, nil}}},
		"a licensing partner may be named":  {change: func(r *Request) { r.Channel, r.SellerRegistered = "volume", false }, lines: []Line{ten}, total: usd(50000)},
		"a seller where the vendor sells":   {change: func(r *Request) { r.Channel = "shop" }, lines: []Line{ten}, want: []one{{SellerUnneeded, nil}, {PriceNotPublic, nil}}},
		"a price question names no seller":  {change: func(r *Request) { r.Seller = "" }, lines: []Line{ten}, total: usd(50000)},
		"all refusals, in the order to fix": {change: func(r *Request) { r.Home, r.SellerRegistered, r.Currency = true, false, "JPY"; on("2030-01-01")(r) }, lines: []Line{{1, 0}, {2, 1}, {3, 1}}, want: []one{{HomeUser, nil}, {ChannelNotOpen, nil}, {SellerUnregistered, nil}, {QuantityTooSmall, nil}, {PriceNotInForce, nil}, {PriceNotAnnounced, nil}, {YearsMissing, nil}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := Price(p, request(tt.change, tt.lines...))
			checkRefusals(t, q.Refusals, tt.want)
			if diff := cmp.Diff(tt.total, q.Total); diff != "" {
				t.Errorf("total (-want +got):\n%s", diff)
			}
			if q.Allowed != (len(tt.want) == 0) {
				t.Errorf("allowed is %v", q.Allowed)
			}
		})
	}
}

// maker makes a request an OEM's own.
func maker(r *Request) {
	r.Product, r.Channel, r.Contract = "Harbor Kiosk", "maker", "E-17"
	r.ContractHolder, r.ContractValid = HeldByOEM, civil.Range{First: civil.MustParse("2031-01-01"), Last: civil.MustParse("2031-12-31")}
	r.SellerPrices = map[program.Year]money.Amount{1: usd(3000)}
}

func TestPlace(t *testing.T) {
	p := harbor(t)
	one1 := Line{Year: 1, Quantity: 1}
	tests := map[string]struct {
		change func(*Request)
		want   []problem.Code
	}{
		// rule B12
		"with all names":                   {},
		"without a seller":                 {func(r *Request) { r.Seller = "" }, []problem.Code{SellerMissing}},
		"an indirect reseller":             {func(r *Request) { r.SellerIndirect = true }, []problem.Code{ProviderMissing}},
		"with its provider":                {func(r *Request) { r.SellerIndirect, r.Provider = true, "Dock" }, nil},
		"volume, with or without a seller": {func(r *Request) { r.Channel, r.Seller = "volume", "" }, nil},
		// rule P6
		"an OEM":                     {maker, nil},
		"the customer's contract":    {func(r *Request) { maker(r); r.ContractHolder = HeldByCustomer }, nil},
		"nobody's contract":          {func(r *Request) { maker(r); r.ContractHolder = "" }, []problem.Code{ContractHolderMissing}},
		"no OEM":                     {func(r *Request) { maker(r); r.Seller = "" }, []problem.Code{SellerMissing}},
		"no contract":                {func(r *Request) { maker(r); r.Contract = "" }, []problem.Code{ContractMissing}},
		"refusals of both questions": {func(r *Request) { r.Seller, r.Home = "", true }, []problem.Code{HomeUser, SellerMissing}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := Place(p, request(tt.change, one1))
			if diff := cmp.Diff(append([]problem.Code{}, tt.want...), codes(problem.All(err))); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if q.Allowed != (err == nil) {
				t.Errorf("allowed is %v with error %v", q.Allowed, err)
			}
		})
	}
}

func TestProductMissing(t *testing.T) {
	p := harbor(t)
	p.Tracks[1].Embedded = false
	if q := Price(p, request(nil, Line{1, 1})); !errors.Is(q.Refusals[0], problem.New(problem.Invalid, ProductMissing)) {
		t.Errorf("refusals are %v", codes(q.Refusals))
	}
}

// rule B4, B5
func TestQuoteLines(t *testing.T) {
	p := harbor(t)
	for _, day := range []string{"2030-02-04", "2031-06-10", "2032-06-08"} {
		q := Price(p, request(on(day), Line{3, 2}, Line{1, 2}, Line{2, 1}, Line{2, 1}))
		want := []QuoteLine{
			{1, "h5-y1", 2, usd(5000), usd(10000)},
			{2, "h5-y2", 2, usd(10000), usd(20000)},
			{3, "h5-y3", 2, usd(20000), usd(40000)},
		}
		if diff := cmp.Diff(want, q.Lines); diff != "" {
			t.Errorf("lines on %s (-want +got):\n%s", day, diff)
		}
	}
}

func TestQuoteJSON(t *testing.T) {
	p := harbor(t)
	tests := map[string]struct{ q, want string }{
		"missing": {encode(t, Price(p, request(func(r *Request) { r.Held = []Holding{held(1, 4)} }, Line{2, 10}))),
			`{"allowed":false,"track":"harbor-5","lines":[{"year":2,"sku":"h5-y2","quantity":10,"unit":{"currency":"USD","minor":10000},"amount":{"currency":"USD","minor":100000}}],"total":{"currency":"USD","minor":100000},"missing":[{"year":1,"seats":6,"cost":{"currency":"USD","minor":30000}}],"totalWithMissing":{"currency":"USD","minor":130000}}`},
		"nothing": {encode(t, Price(p, Request{})), `{"allowed":false,"track":"harbor-5","lines":[],"missing":[]}`},
		"allowed": {encode(t, Price(p, request(nil, Line{1, 1}))),
			`{"allowed":true,"refusals":[],"track":"harbor-5","lines":[{"year":1,"sku":"h5-y1","quantity":1,"unit":{"currency":"USD","minor":5000},"amount":{"currency":"USD","minor":5000}}],"total":{"currency":"USD","minor":5000},"missing":[],"totalWithMissing":{"currency":"USD","minor":5000}}`},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.q); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// encode is the quote as JSON, without refusals where there are any, because
// these are the edge's to render.
func encode(t *testing.T, q Quote) string {
	t.Helper()
	shown := struct {
		Quote
		Refusals *[]string `json:"refusals,omitempty"`
	}{Quote: q}
	var value any = shown
	if len(q.Refusals) == 0 {
		value = q
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
