package purchase

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/openesu/openesu/civil"
)

// rule L1, L2
func TestSeats(t *testing.T) {
	for _, tt := range []struct{ devices, machines, terminals, seats, activations int }{
		{devices: 25, seats: 25, activations: 25},
		{machines: 10, terminals: 100, seats: 100, activations: 10},
		{machines: 100, terminals: 10, seats: 10, activations: 100},
		{devices: 5, machines: 2, terminals: 8, seats: 13, activations: 7},
	} {
		if got := Seats(tt.devices, tt.terminals); got != tt.seats {
			t.Errorf("%+v: %d seats", tt, got)
		}
		if got := Activations(tt.devices, tt.machines); got != tt.activations {
			t.Errorf("%+v: %d activations", tt, got)
		}
	}
}

// rule K5
func TestLimit(t *testing.T) {
	for _, tt := range []struct{ seats, allowance, want int }{
		{10, 0, 10}, {10, 5, 15}, {1, 5, 6}, {0, 5, 0}, {-3, 5, 0}, {10, -5, 10},
	} {
		if got := Limit(tt.seats, tt.allowance); got != tt.want {
			t.Errorf("Limit(%d, %d) is %d, want %d", tt.seats, tt.allowance, got, tt.want)
		}
	}
}

// rule B15
func TestInvoiceMonth(t *testing.T) {
	for _, tt := range []struct {
		day       int
		purchased string
		year      int
		month     time.Month
	}{
		{6, "2020-03-05", 2020, time.February},
		{6, "2020-03-06", 2020, time.March},
		{6, "2020-03-31", 2020, time.March},
		{6, "2020-01-05", 2019, time.December},
		{1, "2020-01-01", 2020, time.January},
		{28, "2021-03-27", 2021, time.February},
	} {
		if year, month := InvoiceMonth(tt.day, civil.MustParse(tt.purchased)); year != tt.year || month != tt.month {
			t.Errorf("bought on %s, with invoices on day %d: %d %s", tt.purchased, tt.day, year, month)
		}
	}
}

// rule B15
func TestInvoicePeriod(t *testing.T) {
	for _, tt := range []struct {
		day       int
		run, want string
	}{
		{6, "2020-03-06", "2020-02-06 to 2020-03-05"},
		{6, "2020-03-09", "2020-02-06 to 2020-03-05"},
		{6, "2020-04-05", "2020-02-06 to 2020-03-05"},
		{6, "2020-01-06", "2019-12-06 to 2020-01-05"},
		{1, "2020-03-01", "2020-02-01 to 2020-02-29"},
		{28, "2021-03-28", "2021-02-28 to 2021-03-27"},
	} {
		if got := InvoicePeriod(tt.day, civil.MustParse(tt.run)); got.String() != tt.want {
			t.Errorf("the run of %s on day %d closes %s, want %s", tt.run, tt.day, got, tt.want)
		}
	}
}

// Runs, late or not, leave out no day and bill none twice, and each day stands
// in the period of its invoice month (rule B15).
func TestEveryDayIsInvoicedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.IntRange(1, 28).Draw(t, "invoice day")
		run := civil.MustParse("2020-01-01").AddDays(rapid.IntRange(0, 3000).Draw(t, "run"))
		period := InvoicePeriod(day, run)
		next := InvoicePeriod(day, period.Last.AddDays(1).AddMonths(1))
		if !period.Valid() || !period.Last.Before(run) || next.First != period.Last.AddDays(1) {
			t.Fatalf("the run of %s closes %s, the next %s", run, period, next)
		}
		bought := period.First.AddDays(rapid.IntRange(0, period.Last.Sub(period.First)).Draw(t, "bought"))
		if year, month := InvoiceMonth(day, bought); year != period.First.Year() || month != period.First.Month() {
			t.Fatalf("%s, in %s, is invoiced for %d %s", bought, period, year, month)
		}
	})
}
