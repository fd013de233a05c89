package civil_test

import (
	"encoding/json"
	"testing"
	"time"
	_ "time/tzdata" // the zones below, on any machine

	"pgregory.net/rapid"

	"github.com/openesu/openesu/civil"
)

var anyDay = rapid.Custom(func(t *rapid.T) civil.Date {
	return civil.MustParse("0001-01-01").AddDays(rapid.IntRange(0, 3652058).Draw(t, "days"))
})

// reference is the same day as the time package has it.
func reference(d civil.Date) time.Time {
	return time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.UTC)
}

func TestEndsOfTheCalendar(t *testing.T) {
	first, last := civil.MustParse("0001-01-01"), civil.MustParse("9999-12-31")
	if got := last.Sub(first); got != 3652058 {
		t.Errorf("the calendar has %d days after its first", got)
	}
	for name, d := range map[string]civil.Date{
		"before the first":       first.AddDays(-1),
		"after the last":         last.AddDays(1),
		"far before":             last.AddDays(-1 << 62),
		"far after":              first.AddDays(1<<62 + 1),
		"a month before":         first.AddMonths(-1),
		"a month after":          last.AddMonths(1),
		"months far after":       first.AddMonths(1 << 62),
		"no day plus one":        civil.Date{}.AddDays(1),
		"no day plus a month":    civil.Date{}.AddMonths(1),
		"30 February":            civil.New(2020, time.February, 30),
		"year 0":                 civil.New(0, time.January, 1),
		"year 10000":             civil.New(10000, time.January, 1),
		"end of a month, year 0": civil.LastOfMonth(0, time.May),
		"an instant, year 10000": civil.Of(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
		"a fifth Tuesday":        civil.NthWeekday(2020, time.February, 5, time.Tuesday),
		"a zeroth Tuesday":       civil.NthWeekday(2020, time.February, 0, time.Tuesday),
	} {
		if !d.IsZero() || d.String() != "" {
			t.Errorf("%s is %s, want no day", name, d)
		}
	}
}

func TestDayAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDay.Draw(t, "day")
		want := reference(d)
		if d.String() != want.Format(time.DateOnly) || d.Weekday() != want.Weekday() || civil.Of(want) != d {
			t.Fatalf("%s is %s, a %s, in package time", d, want.Format(time.DateOnly), want.Weekday())
		}
		if got, err := civil.Parse(d.String()); err != nil || got != d {
			t.Fatalf("Parse(%s) = %s, %v", d, got, err)
		}
	})
}

func TestArithmeticAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyDay.Draw(t, "a"), anyDay.Draw(t, "b")
		n := b.Sub(a)
		if a.AddDays(n) != b {
			t.Fatalf("%s + %d days = %s, want %s", a, n, a.AddDays(n), b)
		}
		if want := reference(a).AddDate(0, 0, n); civil.Of(want) != b {
			t.Fatalf("%s + %d days is %s in package time", a, n, want)
		}
		before := reference(a).Before(reference(b))
		if a.Before(b) != before || b.After(a) != before || (a.Compare(b) < 0) != before || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%s and %s are in the wrong order", a, b)
		}
	})
}

func TestAddMonthsKeepsTheDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDay.Draw(t, "day")
		n := rapid.IntRange(-2000, 2000).Draw(t, "months")
		got := d.AddMonths(n)
		index := d.Year()*12 + int(d.Month()) - 1 + n
		if index < 12 || index >= 10000*12 {
			if !got.IsZero() {
				t.Fatalf("%s + %d months = %s, outside the calendar", d, n, got)
			}
			return
		}
		last := civil.LastOfMonth(index/12, time.Month(index%12+1))
		if got.Year() != index/12 || int(got.Month()) != index%12+1 || got.Day() != min(d.Day(), last.Day()) {
			t.Fatalf("%s + %d months = %s", d, n, got)
		}
		if last.AddDays(1).Day() != 1 && last.String() != "9999-12-31" {
			t.Fatalf("%s is not the last day of its month", last)
		}
	})
}

func TestNthWeekday(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		year, month := rapid.IntRange(1, 9999).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month"))
		n, weekday := rapid.IntRange(1, 4).Draw(t, "n"), time.Weekday(rapid.IntRange(0, 6).Draw(t, "weekday"))
		d := civil.NthWeekday(year, month, n, weekday)
		if d.Year() != year || d.Month() != month || d.Weekday() != weekday || (d.Day()-1)/7 != n-1 {
			t.Fatalf("the %d. %s of %d-%d is %s", n, weekday, year, month, d)
		}
	})
	if got := civil.NthWeekday(2020, time.February, 2, time.Tuesday); got.String() != "2020-02-11" {
		t.Errorf("the second Tuesday of February 2020 is %s", got)
	}
}

func TestInIsTheFirstInstant(t *testing.T) {
	for _, tt := range []struct{ zone, day, want string }{
		{"America/Los_Angeles", "2020-02-11", "2020-02-11T00:00:00-08:00"},
		{"Europe/Berlin", "2026-03-29", "2026-03-29T00:00:00+01:00"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"}, // midnight skipped
		{"Asia/Beirut", "2021-03-28", "2021-03-28T01:00:00+03:00"},
		{"America/Toronto", "1919-03-31", "1919-03-31T00:30:00-04:00"}, // 23:30 to 00:30
		{"America/Havana", "2020-11-01", "2020-11-01T00:00:00-04:00"},  // midnight twice
		{"Africa/Tunis", "1990-09-30", "1990-09-30T00:00:00+02:00"},
		{"Antarctica/Casey", "2023-03-09", "2023-03-09T00:00:00+11:00"},
		{"America/Sao_Paulo", "2018-02-18", "2018-02-18T00:00:00-03:00"},
		{"Pacific/Apia", "2011-12-30", "2011-12-31T00:00:00+14:00"}, // a day that never was
	} {
		loc, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := civil.MustParse(tt.day).In(loc).Format(time.RFC3339); got != tt.want {
			t.Errorf("%s begins in %s at %s, want %s", tt.day, tt.zone, got, tt.want)
		}
	}
	zones := []string{"UTC", "America/Los_Angeles", "Europe/Berlin", "America/Havana", "America/Sao_Paulo", "Asia/Tokyo", "Australia/Lord_Howe"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		d := civil.MustParse("1970-01-01").AddDays(rapid.IntRange(0, 30000).Draw(t, "days"))
		first := d.In(loc)
		if civil.Of(first) != d || !civil.Of(first.Add(-1)).Before(d) {
			t.Fatalf("%s in %s begins at %s", d, loc, first)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "2020-1-14", "2020-13-01", "2020-02-30", "0000-01-01", "2020-01-14 ", "2020/01/14", "20200114xx", "+020-01-14"} {
		if d, err := civil.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %s", s, d)
		}
	}
}

// An end that is given as a month is its last day.
func TestParseEnd(t *testing.T) { // rule P8
	for in, want := range map[string]string{
		"2022-07": "2022-07-31", "2020-02": "2020-02-29", "2023-02": "2023-02-28", "2023-01-10": "2023-01-10", "9999-12": "9999-12-31",
	} {
		if d, err := civil.ParseEnd(in); err != nil || d.String() != want {
			t.Errorf("ParseEnd(%q) = %s, %v, want %s", in, d, err, want)
		}
	}
	for _, s := range []string{"", "2022", "2022-7", "2022-13", "0000-05", "July 2022"} {
		if d, err := civil.ParseEnd(s); err == nil {
			t.Errorf("ParseEnd(%q) = %s", s, d)
		}
	}
}

func TestRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := civil.Range{First: anyDay.Draw(t, "first"), Last: anyDay.Draw(t, "last")}
		o := civil.Range{First: anyDay.Draw(t, "other first"), Last: anyDay.Draw(t, "other last")}
		if r.Valid() != (r.Last.Sub(r.First) >= 0) {
			t.Fatalf("%s: valid is %v", r, r.Valid())
		}
		if !r.Valid() || !o.Valid() {
			return
		}
		// Rule B5: both ends belong to it, and nothing beyond them does.
		if !r.Contains(r.First) || !r.Contains(r.Last) || r.Contains(r.First.AddDays(-1)) || r.Contains(r.Last.AddDays(1)) {
			t.Fatalf("%s has wrong ends", r)
		}
		shared := r.Contains(o.First) || o.Contains(r.First)
		if r.Overlaps(o) != shared || o.Overlaps(r) != shared {
			t.Fatalf("%s and %s: overlap is %v", r, o, r.Overlaps(o))
		}
	})
	if (civil.Range{Last: civil.MustParse("2020-01-14")}).Valid() {
		t.Error("a range without a first day is valid")
	}
}

func TestJSON(t *testing.T) {
	type doc struct {
		Day  civil.Date `json:"day"`
		None civil.Date `json:"none,omitzero"`
	}
	text, err := json.Marshal(doc{Day: civil.MustParse("2020-01-14")})
	if err != nil || string(text) != `{"day":"2020-01-14"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var back doc
	if err := json.Unmarshal([]byte(`{"day":"2020-01-14","none":""}`), &back); err != nil || back.Day.String() != "2020-01-14" || !back.None.IsZero() {
		t.Errorf("%+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"day":"14.1.2020"}`), &back); err == nil {
		t.Error("a day in another form was read")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2020-01-14", "2022-07", "0000-00-00", "9999-12-31", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := civil.Parse(s); err == nil && d.String() != s {
			t.Errorf("Parse(%q) = %s", s, d)
		}
		if d, err := civil.ParseEnd(s); err == nil && (d.IsZero() || d.String()[:7] != s[:7]) {
			t.Errorf("ParseEnd(%q) = %s", s, d)
		}
	})
}
