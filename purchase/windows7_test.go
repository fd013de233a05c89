package purchase_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/purchase"
)

// The shipped program answers what people ask about it. The quotes name no
// seller, as those who only ask for a price do not.
func TestWindows7(t *testing.T) {
	text, err := programs.File("windows-7")
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Parse("windows-7.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	year2 := []purchase.Line{{Year: 2, Quantity: 10}}
	both := []purchase.Line{{Year: 1, Quantity: 10}, {Year: 2, Quantity: 10}}
	tests := map[string]struct {
		product, channel, qualification, on string
		lines                               []purchase.Line
		total, withMissing                  int64
		want                                []problem.Code
	}{
		// rule B1
		"year 2 alone": {channel: "csp", on: "2021-02-01", lines: year2, total: 100000, withMissing: 150000, want: []problem.Code{"purchase.years-missing"}},
		"both years":   {channel: "csp", on: "2021-02-01", lines: both, total: 150000, withMissing: 150000},
		"the last day": {channel: "csp", on: "2023-01-10", lines: both, total: 150000, withMissing: 150000},
		"too late":     {channel: "csp", on: "2023-01-11", lines: both, total: 150000, withMissing: 150000, want: []problem.Code{"purchase.program-over"}},
		// rule P4
		"csp too early":    {channel: "csp", on: "2019-11-30", lines: both, total: 150000, withMissing: 150000, want: []problem.Code{"purchase.channel-not-open"}},
		"csp opens":        {channel: "csp", on: "2019-12-02", lines: both, total: 150000, withMissing: 150000},
		"volume opens":     {channel: "volume", on: "2019-04-01", lines: both, total: 150000, withMissing: 150000},
		"volume too early": {channel: "volume", on: "2019-03-31", lines: both, total: 150000, withMissing: 150000, want: []problem.Code{"purchase.channel-not-open"}},
		// rule B9
		"mpsa":            {channel: "mpsa", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.channel-closed"}},
		"unified support": {channel: "unified-support", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.channel-closed"}},
		// rule B7
		"with Software Assurance":           {channel: "volume", qualification: "windows-enterprise-sa-or-e3", on: "2021-02-01", lines: both, total: 75000, withMissing: 75000},
		"with Software Assurance, over csp": {channel: "csp", qualification: "windows-enterprise-sa-or-e3", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.qualification-without-price"}},
		// rule B8
		"education, over csp":    {channel: "csp", qualification: "education", on: "2021-02-01", lines: both, total: 150000, withMissing: 150000},
		"education, over volume": {channel: "volume", qualification: "education", on: "2021-02-01", lines: both, total: 150000, withMissing: 150000, want: []problem.Code{"purchase.qualification-elsewhere"}},
		// rule P5
		"Windows XP":  {product: "Windows XP", channel: "csp", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.not-covered"}},
		"Office 2010": {product: "Office 2010", channel: "csp", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.not-covered"}},
		// rule P3
		"Ultimate": {product: "Windows 7 Ultimate SP1", channel: "csp", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.edition-ineligible"}},
		// rule P6
		"embedded, over csp":       {product: "Windows Embedded Standard 7", channel: "csp", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.embedded-only"}},
		"embedded, over volume":    {product: "Windows Embedded POSReady 7", channel: "volume", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.embedded-only"}},
		"embedded, without track":  {product: "SQL Server 2008 R2 for Embedded Systems", channel: "csp", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.embedded-only"}},
		"embedded, no contract":    {product: "Windows Embedded Standard 7", channel: "oem", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.contract-missing", "purchase.price-not-public"}},
		"Windows 7 itself by OEMs": {channel: "oem", on: "2021-02-01", lines: both, want: []problem.Code{"purchase.channel-without-product", "purchase.contract-missing"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := purchase.Price(p, purchase.Request{Product: tt.product, Channel: program.ChannelID(tt.channel), Currency: "USD",
				Qualification: program.QualificationID(tt.qualification), Lines: tt.lines, On: civil.MustParse(tt.on)})
			var got []problem.Code
			for _, refusal := range q.Refusals {
				got = append(got, refusal.Code)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if q.Total.Minor != tt.total || q.TotalWithMissing.Minor != tt.withMissing || q.Allowed != (tt.want == nil) {
				t.Errorf("allowed is %v, total %s, with missing %s", q.Allowed, q.Total, q.TotalWithMissing)
			}
		})
	}

	q := purchase.Price(p, purchase.Request{Channel: "csp", Currency: "USD", Lines: year2, On: civil.MustParse("2021-02-01")})
	missing := []purchase.Missing{{Year: 1, Seats: 10, Cost: money.Amount{Currency: "USD", Minor: 50000}}}
	if diff := cmp.Diff(missing, q.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	// rule B10
	for year, want := range map[program.Year][]problem.Code{1: nil, 2: {"purchase.price-not-announced"}} {
		q := purchase.Price(p, purchase.Request{Channel: "csp", List: "shop", Currency: "JPY", Lines: []purchase.Line{{Year: year, Quantity: 1}},
			Held: []purchase.Holding{{Track: "windows-7", Year: 1, Seats: 1}}, On: civil.MustParse("2020-02-01")})
		if len(q.Refusals) != len(want) || len(want) > 0 && q.Refusals[0].Code != want[0] {
			t.Errorf("in Japan, year %d: %v", year, q.Refusals)
		}
	}
}
