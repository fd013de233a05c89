package purchase

import (
	"time"

	"github.com/openesu/openesu/civil"
)

// Limit is how many activations a key has: its seats, and the allowance of the
// terms under which they were bought (rule K5). An allowance alone opens nothing,
// so that when all seats are returned no activation is left.
func Limit(seats, allowance int) int {
	if seats < 1 {
		return 0
	}
	return seats + max(allowance, 0)
}

// Seats is how many seats of a year a customer needs: one for each device (rule
// L1), and for virtual machines on its own or dedicated hosts one for each
// terminal that reaches them, counted once, however many machines there are
// (rule L2).
func Seats(devices, terminals int) int { return devices + terminals }

// Activations is how many activations those seats use: virtual machines activate,
// the terminals that reach them do not (rule L2).
func Activations(devices, machines int) int { return devices + machines }

// InvoiceMonth is the month on whose invoice a purchase stands (rule B15): its
// own from the invoice day on, else the one before. The invoice day is 1 to 28.
func InvoiceMonth(invoiceDay int, purchased civil.Date) (int, time.Month) {
	first := civil.New(purchased.Year(), purchased.Month(), 1)
	if purchased.Day() < invoiceDay {
		first = first.AddDays(-1)
	}
	return first.Year(), first.Month()
}

// InvoicePeriod is the days whose purchases the invoice run on a day closes (rule
// B15): the last whole stretch from one invoice day, which is 1 to 28, to the day
// before the next. A run that comes late closes the same days as one in time.
func InvoicePeriod(invoiceDay int, run civil.Date) civil.Range {
	end := civil.New(run.Year(), run.Month(), invoiceDay)
	if run.Before(end) {
		end = end.AddMonths(-1)
	}
	return civil.Range{First: end.AddMonths(-1), Last: end.AddDays(-1)}
}
