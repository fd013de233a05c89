package program

import (
	"fmt"
	"slices"
	"time"

	"github.com/openesu/openesu/civil"
)

// Weekday is a day of the week by its English name.
type Weekday time.Weekday

var weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// MarshalText writes the name.
func (w Weekday) MarshalText() ([]byte, error) { return []byte(time.Weekday(w).String()), nil }

// UnmarshalText reads the name.
func (w *Weekday) UnmarshalText(text []byte) error {
	i := slices.Index(weekdays, string(text))
	if i < 0 {
		return fmt.Errorf("%q is no weekday: Sunday … Saturday", text)
	}
	*w = Weekday(i)
	return nil
}

// End is a last day. In a file it may be given as a month, which ends on its
// last day (rule P8).
type End struct{ civil.Date }

// UnmarshalText reads a day or a month.
func (e *End) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*e = End{}
		return nil
	}
	d, err := civil.ParseEnd(string(text))
	if err != nil {
		return err
	}
	e.Date = d
	return nil
}

// Over reports whether the end is past on day; no end is never past.
func (e End) Over(day civil.Date) bool { return !e.IsZero() && day.After(e.Date) }
