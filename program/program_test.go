package program_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/program"
)

// Any track that the checks let pass gives each day after its end of support,
// through its last, exactly one year, and in order.
func TestYearsCoverEachDayOnce(t *testing.T) { // rule P1
	text := small(t)
	rapid.Check(t, func(t *rapid.T) {
		p, err := program.Parse("small.yaml", []byte(strings.Replace(text, "first: 2030-06-11",
			rapid.SampledFrom([]string{"first: 2030-06-11", "first: 2030-06-12"}).Draw(t, "first"), 1)))
		if err != nil {
			t.Fatal(err)
		}
		track := &p.Tracks[0]
		day := track.EndOfSupport.AddDays(rapid.IntRange(-400, 900).Draw(t, "days after end of support"))
		year, ok := track.YearOf(day)
		switch {
		case !day.After(track.EndOfSupport):
			if year != program.Free || !ok {
				t.Fatalf("%s is year %d, %v", day, year, ok)
			}
		case day.After(track.LastDay()):
			if ok {
				t.Fatalf("%s, after the last day, is year %d", day, year)
			}
		default:
			before, _ := track.YearOf(day.AddDays(-1))
			y, found := track.Year(year)
			if !ok || !found || !y.Range().Contains(day) || year < before || year > before+1 {
				t.Fatalf("%s is year %d, %v, after year %d", day, year, ok, before)
			}
		}
	})
}

func TestFindingThings(t *testing.T) {
	p := parse(t, small(t))
	for _, name := range []string{"pro", "PRO", "Small 1 Pro", " small pro "} {
		if e, ok := p.EditionNamed(name); !ok || e.ID != "pro" {
			t.Errorf("EditionNamed(%q) = %v, %v", name, e, ok)
		}
	}
	for _, name := range []string{"", "Small", "Small 1", "Small 1 Pro*", "pr?"} {
		if e, ok := p.EditionNamed(name); ok { // rule P3
			t.Errorf("EditionNamed(%q) = %s", name, e.ID)
		}
	}
	if _, ok := p.Edition("Pro"); ok { // rule P3
		t.Error("an edition's id is matched without regard to case")
	}
	if track, y, ok := p.ByActivationID("0a6a3a64-5ef0-4b71-8a3c-2d6d42a0f5ac"); !ok || track.ID != "small-kiosk" || y.Year != 1 {
		t.Errorf("activation id: %v %v %v", track, y, ok)
	}
	if track, y, ok := p.ByTag(22); !ok || track.ID != "small-1" || y.Year != 2 {
		t.Errorf("tag: %v %v %v", track, y, ok)
	}
	if _, _, ok := p.ByTag(0); ok {
		t.Error("tag 0 is a year's")
	}
	if k, ok := p.KindNamed("Rollup"); !ok || k.ID != "rollup" {
		t.Errorf("kind: %v %v", k, ok)
	}
	if _, ok := p.KindNamed("ROLLUP"); ok {
		t.Error("a history's name is matched without regard to case")
	}
	if got := p.LastDay().String(); got != "2032-06-08" {
		t.Errorf("the program's last day is %s", got)
	}
	if got := p.DefaultList(); got != "vendor" {
		t.Errorf("the default list is %q", got)
	}
	if r, ok := p.Right("box"); !ok || r.After != program.RightKept {
		t.Errorf("right: %v %v", r, ok)
	}
	if _, ok := p.Right("gift"); ok { // an origin that is not in the table has no answer
		t.Error("a right of an unknown origin")
	}
}

func TestOffers(t *testing.T) { // rule B13
	p := parse(t, small(t))
	for query, want := range map[string][]program.SKUID{
		"ESU": {"s1"}, "software": {"s1", "s2"}, "year 2": {"s2"}, "N-1": {"s1"}, "small coverage": {"s1"}, "s2": {"s2"},
		"": nil, "  ": nil, "N-": nil, "Winter": nil,
	} {
		var got []program.SKUID
		for _, s := range p.Offers(query) {
			got = append(got, s.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Offers(%q): %s", query, diff)
		}
	}
}

func TestCalendar(t *testing.T) { // rule D3
	p := parse(t, small(t))
	if got := p.Calendar.ReleaseDay(2030, time.July).String(); got != "2030-07-09" {
		t.Errorf("July 2030 has its release on %s", got)
	}
	for day, want := range map[string]bool{"2030-07-09": true, "2030-07-08": false, "2030-07-02": false, "2030-07-16": false} {
		if got := p.Calendar.Regular(civil.MustParse(day)); got != want {
			t.Errorf("%s is regular: %v", day, got)
		}
	}
}

func TestActivationIDs(t *testing.T) { // rule K19
	const want = program.ActivationID("77db037b-95c3-48d7-a3ab-a9c6d41093e0")
	for _, s := range []string{string(want), strings.ToUpper(string(want)), "{" + string(want) + "}", " " + string(want) + "\n"} {
		if got, err := program.ParseActivationID(s); err != nil || got != want {
			t.Errorf("ParseActivationID(%q) = %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "77db037b", "77db037b95c348d7a3aba9c6d41093e0", "urn:uuid:" + string(want), string(want) + "0", strings.Replace(string(want), "-", "x", 1), "{{" + string(want) + "}}"} {
		if got, err := program.ParseActivationID(s); err == nil {
			t.Errorf("ParseActivationID(%q) = %s", s, got)
		}
	}
}

func TestEnd(t *testing.T) { // rule P8
	var e program.End
	if err := e.UnmarshalText([]byte("2022-07")); err != nil {
		t.Fatal(err)
	}
	if e.Over(civil.MustParse("2022-07-31")) || !e.Over(civil.MustParse("2022-08-01")) {
		t.Errorf("July ends on %s", e)
	}
	if (program.End{}).Over(civil.MustParse("9999-12-31")) {
		t.Error("what has no end is over")
	}
}
