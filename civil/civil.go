// Package civil has calendar days, closed ranges of them, and the months and
// weekdays that calendars of releases are made of.
//
// A day has no time zone and no clock: coverage is counted in days (rule K4),
// and whoever turns an instant into a day says in which zone. The zero Date is
// "no day"; it sorts before every other.
package civil

import (
	"fmt"
	"time"
)

// Date is one day of the Gregorian calendar, from 0001-01-01 to 9999-12-31. It
// is comparable with ==.
type Date struct {
	n int32 // days since 0000-12-31; 0 is no day
}

const secondsPerDay = 24 * 60 * 60

// dayZero is 0000-12-31 in days before 1970-01-01.
const dayZero = 719163

// maxDay is 9999-12-31.
const maxDay = 3652059

// New returns the day, or the zero Date when the calendar has no such day.
func New(year int, month time.Month, day int) Date {
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if t.Year() != year || t.Month() != month || t.Day() != day || year < 1 || year > 9999 {
		return Date{}
	}
	return of(t)
}

// Of returns the day on which t falls in t's own location.
func Of(t time.Time) Date {
	y, m, d := t.Date()
	return New(y, m, d)
}

func of(t time.Time) Date {
	return Date{n: int32(t.Unix()/secondsPerDay + dayZero)} //nolint:gosec // bounded by the year 9999
}

// Parse reads YYYY-MM-DD and nothing else.
func Parse(s string) (Date, error) {
	if len(s) != len(time.DateOnly) {
		return Date{}, fmt.Errorf("%q is not a day of the form YYYY-MM-DD", s)
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		return Date{}, fmt.Errorf("%q is not a day of the form YYYY-MM-DD", s)
	}
	return of(t), nil
}

// MustParse is Parse for days that stand in source; it panics on a bad one.
func MustParse(s string) Date {
	d, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return d
}

// IsZero reports whether d is no day.
func (d Date) IsZero() bool { return d.n == 0 }

func (d Date) utc() time.Time {
	return time.Unix((int64(d.n)-dayZero)*secondsPerDay, 0).UTC()
}

// In returns the first instant of d in loc. That is 00:00, the first of two
// where clocks go back over midnight, and where they skip midnight or the whole
// day the instant at which they jump.
func (d Date) In(loc *time.Location) time.Time {
	y, m, n := d.utc().Date()
	t := time.Date(y, m, n, 0, 0, 0, 0, loc)
	if Of(t).Before(d) { // there is no midnight, and time.Date took the hour before
		_, t = t.ZoneBounds()
		return t
	}
	change, _ := t.ZoneBounds()
	before := change.Add(-time.Nanosecond)
	if change.IsZero() || Of(change) != d || Of(before) != d {
		return t
	}
	_, offset := before.Zone() // clocks went back on d, so its midnight may have come before that
	return d.utc().Add(-time.Duration(offset) * time.Second).In(loc)
}

// Year is d's year.
func (d Date) Year() int { return d.utc().Year() }

// Month is d's month.
func (d Date) Month() time.Month { return d.utc().Month() }

// Day is d's day of the month.
func (d Date) Day() int { return d.utc().Day() }

// Weekday is d's day of the week.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }

// AddDays returns the day n days later (earlier when n is negative). It is no
// day past either end of the calendar, and for no day.
func (d Date) AddDays(n int) Date {
	sum := int64(d.n) + int64(n)
	if d.IsZero() || n > maxDay || n < -maxDay || sum < 1 || sum > maxDay {
		return Date{}
	}
	return Date{n: int32(sum)}
}

// AddMonths returns the same day n months later; where that month is shorter,
// its last day. It is no day past either end of the calendar, and for no day.
func (d Date) AddMonths(n int) Date {
	if d.IsZero() || n > maxDay || n < -maxDay {
		return Date{}
	}
	t := d.utc()
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	last := LastOfMonth(first.Year(), first.Month())
	return New(first.Year(), first.Month(), min(t.Day(), last.Day()))
}

// Sub returns how many days d is after e.
func (d Date) Sub(e Date) int { return int(d.n) - int(e.n) }

// Before reports whether d is earlier than e.
func (d Date) Before(e Date) bool { return d.n < e.n }

// After reports whether d is later than e.
func (d Date) After(e Date) bool { return d.n > e.n }

// Compare is negative, zero or positive as d is before, on or after e.
func (d Date) Compare(e Date) int { return int(d.n) - int(e.n) }

// String is YYYY-MM-DD, or "" for no day.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.utc().Format(time.DateOnly)
}

// MarshalText writes YYYY-MM-DD; no day is empty.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// LastOfMonth is the month's last day, or no day outside the calendar.
func LastOfMonth(year int, month time.Month) Date {
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC)
	return New(last.Year(), last.Month(), last.Day())
}

// ParseEnd reads a day, or a month YYYY-MM, which ends on its last day (rule P8).
func ParseEnd(s string) (Date, error) {
	if t, err := time.Parse("2006-01", s); err == nil && t.Year() >= 1 {
		return LastOfMonth(t.Year(), t.Month()), nil
	}
	d, err := Parse(s)
	if err != nil {
		return Date{}, fmt.Errorf("%q is neither a day YYYY-MM-DD nor a month YYYY-MM", s)
	}
	return d, nil
}

// NthWeekday is the n-th such weekday of the month (n from 1); the second
// Tuesday of 2020-02 is NthWeekday(2020, time.February, 2, time.Tuesday). It is
// no day when the month has fewer.
func NthWeekday(year int, month time.Month, n int, weekday time.Weekday) Date {
	first := New(year, month, 1)
	if first.IsZero() || n < 1 {
		return Date{}
	}
	offset := (int(weekday) - int(first.Weekday()) + 7) % 7
	return New(year, month, 1+offset+7*(n-1))
}

// Range is a closed range of days: both ends belong to it (rule B5).
type Range struct {
	First, Last Date
}

// Contains reports whether d is in the range.
func (r Range) Contains(d Date) bool { return !d.Before(r.First) && !d.After(r.Last) }

// Overlaps reports whether the two share a day.
func (r Range) Overlaps(o Range) bool { return !r.First.After(o.Last) && !o.First.After(r.Last) }

// Valid reports whether both ends are days and in order.
func (r Range) Valid() bool {
	return !r.First.IsZero() && !r.Last.IsZero() && !r.First.After(r.Last)
}

// String is "FIRST to LAST".
func (r Range) String() string { return r.First.String() + " to " + r.Last.String() }
