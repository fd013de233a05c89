package coverage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const box = `
format: 1
id: box
name: Box OS
vendor: Boxes
version: 1
from: 2020-01-01
time-zone: Europe/Berlin
calendar: {week: 2, weekday: Tuesday}
ratings: {order: [Low, High], covered: [High]}
upgrade-advice: Move to Box OS 2.
end-of-support-notice: Box OS is no longer supported.
tracks:
  - id: desk
    name: Box Desk
    end-of-support: 2020-01-14
    years:
      - {year: 1, first: 2020-01-14, last: 2021-01-12, activation-id: 00000000-0000-4000-8000-000000000001, tag: 1, key: {portal: a, tool: b, device: c}}
      - {year: 2, first: 2021-01-13, last: 2022-01-11, activation-id: 00000000-0000-4000-8000-000000000002, tag: 2, key: {portal: a, tool: b, device: c}}
      - {year: 3, first: 2022-01-12, last: 2023-01-10, activation-id: 00000000-0000-4000-8000-000000000003, tag: 3, key: {portal: a, tool: b, device: c}}
  - id: till
    name: Box Till
    end-of-support: 2020-10-13
    embedded: true
    years:
      - {year: 1, first: 2020-10-14, last: 2021-10-12, activation-id: 00000000-0000-4000-8000-000000000004, tag: 4, key: {portal: a, tool: b, device: c}}
editions:
  - {id: pro, name: Box Pro, track: desk}
  - {id: lab, name: Box Lab, track: desk, architectures: [x64]}
  - {id: home, name: Box Home, track: desk, ineligible: {home: true, reason: Home editions are not covered.}}
  - {id: till, name: Box Till, track: till}
architectures: [x86, x64]
components:
  - {id: runtime, name: Runtime, optional: true}
kinds:
  - {id: rollup, rating: High, cumulative: true}
  - {id: stack, rating: High, ungated: true}
  - {id: runtime, rating: High, component: runtime}
prerequisites:
  - {id: sha, name: New signatures, role: signature, any-of: [SHA]}
  - {id: stack, name: Servicing stack, role: servicing-stack, any-of: [S1], or-later: [{kinds: [stack], since: 2020-03-01}]}
  - {id: lic, name: Licensing update, role: licensing, any-of: [L0], or-later: [{kinds: [rollup], since: 2020-02-01}]}
  - {id: prep, name: Preparation, role: preparation, tracks: [desk], any-of: [P0, P1], from: 2020-03-01}
delivery: [{id: direct, name: Direct, default: true}]
channels:
  - {id: shop, name: Shop, opens: 2020-01-01, tracks: [desk, till], ask: the shop, seller: none}
price-lists: [{id: list, name: List, default: true}]
skus:
  - {id: d1, track: desk, year: 1, name: One, place: [Box]}
  - {id: d2, track: desk, year: 2, name: Two, place: [Box]}
  - {id: d3, track: desk, year: 3, name: Three, place: [Box]}
  - {id: t1, track: till, year: 1, name: Till, place: [Box]}
invoice-day: 1
`

func load(t testing.TB, text string) *program.Program {
	t.Helper()
	p, err := program.Parse("box.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func release(p *program.Program, id, day string, kind program.KindID, supersedes ...program.UpdateID) update.Update {
	released := civil.MustParse(day)
	k, _ := p.Kind(kind)
	return update.Update{
		ID: program.UpdateID(id), Program: p.ID, Kind: kind, Component: k.Component, Released: released, Ungated: k.Ungated,
		Years: update.YearsOn(p, released, k.Ungated), Supersedes: supersedes,
	}
}

// history is three years of rollups, one security update a year and what must
// be there first.
func history(p *program.Program) []update.Update {
	return []update.Update{
		release(p, "SHA", "2019-09-10", "stack"),
		release(p, "S1", "2019-10-08", "stack"),
		release(p, "FREE", "2020-01-14", "rollup"),
		release(p, "Y1A", "2020-02-11", "rollup", "FREE"),
		release(p, "P1", "2020-03-10", "stack"),
		release(p, "Y1B", "2021-01-12", "rollup", "Y1A"),
		release(p, "Y2A", "2021-02-09", "rollup", "Y1B"),
		release(p, "Y2B", "2022-01-11", "rollup", "Y2A"),
		release(p, "Y3A", "2022-02-08", "rollup", "Y2B"),
		release(p, "Y3B", "2023-01-10", "rollup", "Y3A"),
		release(p, "RUN1", "2020-06-09", "runtime"),
		release(p, "RUN2", "2021-06-08", "runtime", "RUN1"),
	}
}

func catalog(t testing.TB, p *program.Program, all []update.Update) *update.Catalog {
	t.Helper()
	c, err := update.NewCatalog(p, all)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func decide(t testing.TB, c *update.Catalog, f device.Facts, held license.Set, id program.UpdateID) coverage.Verdict {
	t.Helper()
	f.Normalize()
	e, ok := c.Find(id)
	if !ok {
		t.Fatalf("no update %s", id)
	}
	return coverage.Decide(c.See(&f), held, e)
}

func desk(years ...program.Year) []license.Grant { return grants("desk", years...) }

func grants(track program.TrackID, years ...program.Year) []license.Grant {
	var all []license.Grant
	for _, y := range years {
		all = append(all, license.Grant{Track: track, Year: y})
	}
	return all
}

// ready has all that must be there first.
func ready(change func(*device.Facts)) device.Facts {
	f := device.Facts{Program: "box", Edition: "pro", Arch: "x64", Installed: []program.UpdateID{"SHA", "S1", "L0", "P1"}}
	if change != nil {
		change(&f)
	}
	return f
}

// The gate, state by state and reason by reason. rule P1, P3, P7, P8, P10, K4,
// D1, D6, D8, D9, D12, B2
func TestDecide(t *testing.T) {
	p := load(t, box)
	c := catalog(t, p, history(p))
	till := func(f *device.Facts) { f.Edition = "till" }
	tests := []struct {
		name   string
		facts  device.Facts
		held   []license.Grant
		update program.UpdateID
		want   coverage.Verdict
	}{
		{"installed", ready(func(f *device.Facts) { f.Installed = append(f.Installed, "Y3B") }), nil, "Y3B",
			coverage.Verdict{State: coverage.Installed}},
		{"free for ever, for everybody", ready(nil), nil, "FREE", coverage.Verdict{State: coverage.Needed}},
		{"free for an edition outside the program", ready(func(f *device.Facts) { f.Edition = "home" }), nil, "FREE",
			coverage.Verdict{State: coverage.Needed}},
		{"ungated without any key", ready(func(f *device.Facts) { f.Installed = nil }), nil, "P1", coverage.Verdict{State: coverage.Needed}},
		{"ungated for an unknown edition", ready(func(f *device.Facts) { f.Edition = "odd"; f.Installed = nil }), nil, "P1",
			coverage.Verdict{State: coverage.Needed}},

		{"year 1 opens year 1", ready(nil), desk(1), "Y1B", coverage.Verdict{State: coverage.Needed}},
		{"year 1 opens nothing of year 2", ready(nil), desk(1), "Y2B", refuse(coverage.NotCovered, coverage.Reason{Code: coverage.YearNotCovered, Year: 2})},
		{"year 2 alone opens nothing of year 1", ready(nil), desk(2), "Y1B", coverage.Verdict{State: coverage.NotApplicable,
			Reasons: []coverage.Reason{{Code: coverage.Superseded, Update: "Y2B"}}}},
		{"year 2 alone opens no year-1 update that nothing supersedes", ready(func(f *device.Facts) { f.Components = []program.ComponentID{"runtime"} }),
			desk(3), "RUN1", refuse(coverage.NotCovered, coverage.Reason{Code: coverage.YearNotCovered, Year: 1})},
		{"with year 1 alone its last rollup stays, though later ones supersede it", ready(nil), desk(1), "Y1B", coverage.Verdict{State: coverage.Needed}},
		{"with years 1 and 3 the newest of year 3 counts", ready(nil), desk(1, 3), "Y1B",
			refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.Superseded, Update: "Y3B"})},
		{"superseded inside the year", ready(nil), desk(1), "Y1A", refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.Superseded, Update: "Y1B"})},
		{"superseded by what is there, whatever is held", ready(func(f *device.Facts) { f.Installed = append(f.Installed, "Y3A") }), nil, "FREE",
			refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.Superseded, Update: "Y3A"})},
		{"without coverage the last free one stays", ready(nil), nil, "FREE", coverage.Verdict{State: coverage.Needed}},
		{"a year that was ended keeps what came before", ready(nil), []license.Grant{{Track: "desk", Year: 1, Until: civil.MustParse("2020-12-31")}}, "Y1A",
			coverage.Verdict{State: coverage.Needed}},
		{"and refuses what came after", ready(nil), []license.Grant{{Track: "desk", Year: 1, Until: civil.MustParse("2020-12-31")}}, "Y1B",
			refuse(coverage.NotCovered, coverage.Reason{Code: coverage.YearNotCovered, Year: 1})},

		{"edition outside the program", ready(func(f *device.Facts) { f.Edition = "home" }), desk(1), "Y1A",
			refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.EditionIneligible})},
		{"edition that nobody knows", ready(func(f *device.Facts) { f.Edition = "pro-2" }), desk(1), "Y1A",
			refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.EditionUnknown})},
		{"architecture that the edition does not have", ready(func(f *device.Facts) { f.Edition, f.Arch = "lab", "x86" }), desk(1), "Y1B",
			refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.NotForArchitecture})},
		{"component that is not there", ready(nil), desk(1), "RUN1", refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.ComponentAbsent})},
		{"no longer for the track", ready(till), grants("till", 1), "Y3A", refuse(coverage.NotApplicable, coverage.Reason{Code: coverage.NotForEdition})},

		{"prerequisites in order", ready(func(f *device.Facts) { f.Installed = nil }), desk(1), "Y1B", refuse(coverage.PrerequisiteMissing,
			coverage.Reason{Code: coverage.PrerequisiteSignature, Prerequisite: "sha", Update: "SHA"},
			coverage.Reason{Code: coverage.PrerequisiteServicingStack, Prerequisite: "stack", Update: "S1"},
			coverage.Reason{Code: coverage.PrerequisitePreparation, Prerequisite: "prep", Update: "P1"})},
		{"what must come first is told first, coverage or not", ready(func(f *device.Facts) { f.Installed = []program.UpdateID{"SHA", "S1"} }), nil, "Y1B",
			refuse(coverage.NotCovered, coverage.Reason{Code: coverage.PrerequisitePreparation, Prerequisite: "prep", Update: "P1"},
				coverage.Reason{Code: coverage.YearNotCovered, Year: 1})},
		{"restart pending", ready(func(f *device.Facts) { f.RestartPending = true }), desk(1), "Y1B",
			refuse(coverage.Needed, coverage.Reason{Code: coverage.RestartPending})},
		{"offline image", ready(func(f *device.Facts) { f.OfflineImage = true }), desk(1), "Y1B",
			refuse(coverage.Needed, coverage.Reason{Code: coverage.OfflineImage})},
		{"offline image, free update", ready(func(f *device.Facts) { f.OfflineImage = true }), nil, "FREE", coverage.Verdict{State: coverage.Needed}},
		{"image in audit mode", ready(func(f *device.Facts) { f.AuditMode = true }), desk(1), "Y1B", coverage.Verdict{State: coverage.Needed}},

		{"embedded: its own end of support", ready(till), nil, "Y1A", coverage.Verdict{State: coverage.Needed}},
		{"embedded: unprotected from the first release after it", ready(till), nil, "Y1B",
			refuse(coverage.NotCovered, coverage.Reason{Code: coverage.YearNotCovered, Year: 1})},
		{"embedded: another track's year does not help", ready(till), desk(1), "Y1B",
			refuse(coverage.NotCovered, coverage.Reason{Code: coverage.YearNotCovered, Year: 1})},
		{"embedded range: both keys", ready(func(f *device.Facts) { f.EmbeddedKeyRange = true }), desk(1), "Y1B",
			refuse(coverage.NotCovered, coverage.Reason{Code: coverage.ProductNotActivated})},
		{"embedded range, both activated", ready(func(f *device.Facts) { f.EmbeddedKeyRange, f.ProductActivated = true, true }), desk(1), "Y1B",
			coverage.Verdict{State: coverage.Needed}},
		{"outside the range only the add-on counts", ready(func(f *device.Facts) { f.ProductActivated = false }), desk(1), "Y1B",
			coverage.Verdict{State: coverage.Needed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decide(t, c, tt.facts, licensetest.Set(t, p, tt.held...), tt.update)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Allowed() != (tt.want.State == coverage.Needed && len(tt.want.Reasons) == 0) {
				t.Error("Allowed disagrees with the verdict")
			}
		})
	}
}

// A device in the middle of its servicing keeps what it has: an older update is
// never allowed below an installed newer one. rule D12
func TestNeverBelowTheInstalledOne(t *testing.T) {
	p := load(t, box)
	c := catalog(t, p, history(p))
	f := ready(func(f *device.Facts) { f.Installed = append(f.Installed, "Y2A") })
	for _, old := range []program.UpdateID{"FREE", "Y1A", "Y1B"} {
		if v := decide(t, c, f, licensetest.Set(t, p, desk(1, 2, 3)...), old); v.Allowed() {
			t.Errorf("%s is allowed below Y2A: %v", old, v)
		}
	}
}

func refuse(s coverage.State, reasons ...coverage.Reason) coverage.Verdict {
	return coverage.Verdict{State: s, Reasons: reasons}
}

func TestCause(t *testing.T) {
	prep := coverage.Reason{Code: coverage.PrerequisitePreparation}
	year := coverage.Reason{Code: coverage.YearNotCovered, Year: 2}
	tests := []struct {
		verdict coverage.Verdict
		want    coverage.Reason
	}{
		{refuse(coverage.NotCovered, prep, year), year},
		{refuse(coverage.PrerequisiteMissing, prep, coverage.Reason{Code: coverage.RestartPending}), prep},
		{refuse(coverage.Needed), coverage.Reason{}},
	}
	for _, tt := range tests {
		if got, ok := tt.verdict.Cause(); got != tt.want || ok != (tt.want.Code != "") {
			t.Errorf("%v: cause %v, %t", tt.verdict, got, ok)
		}
	}
}

// The download gate knows licenses only. rule D5, P8
func TestCovers(t *testing.T) {
	p := load(t, box)
	other := load(t, box)
	other.ID = "box-2"
	tests := []struct {
		name string
		held license.Set
		u    update.Update
		want bool
	}{
		{"held", licensetest.Set(t, p, desk(1)...), release(p, "A", "2020-12-08", "rollup"), true},
		{"held on the other track", licensetest.Set(t, p, grants("till", 1)...), release(p, "A", "2020-12-08", "rollup"), true},
		{"not held", licensetest.Set(t, p, desk(2)...), release(p, "A", "2020-12-08", "rollup"), false},
		{"nothing held", license.Set{}, release(p, "A", "2020-12-08", "rollup"), false},
		{"free on a track that is still supported", license.Set{}, release(p, "A", "2020-10-13", "rollup"), true},
		{"ungated", license.Set{}, release(p, "A", "2020-12-08", "stack"), true},
		{"another program's year", licensetest.Set(t, other, desk(1)...), release(p, "A", "2020-12-08", "rollup"), false},
	}
	for _, tt := range tests {
		if got := coverage.Covers(tt.held, &tt.u); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// Every reason renders as a problem of its own code, with a sentence.
func TestReasonsRender(t *testing.T) {
	p := load(t, box)
	c := catalog(t, p, history(p))
	f := ready(func(f *device.Facts) { f.Edition = "home" })
	v := c.See(&f)
	e, _ := c.Find("Y1A")
	for _, code := range []problem.Code{
		coverage.EditionUnknown, coverage.EditionIneligible, coverage.NotForEdition, coverage.NotForArchitecture, coverage.ComponentAbsent,
		coverage.Superseded, coverage.YearNotCovered, coverage.ProductNotActivated, coverage.PrerequisiteSignature, coverage.PrerequisiteServicingStack,
		coverage.PrerequisiteLicensing, coverage.PrerequisitePreparation, coverage.RestartPending, coverage.OfflineImage,
	} {
		if got := (coverage.Reason{Code: code, Prerequisite: "prep"}).Problem(v, e); got.Code != code || got.Kind != problem.Refused {
			t.Errorf("%s renders as %v", code, got)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := load(b, box)
	c := catalog(b, p, history(p))
	f := ready(nil)
	f.Normalize()
	v := c.See(&f)
	held := licensetest.Set(b, p, desk(1, 2, 3)...)
	none := license.Set{}
	for _, bb := range []struct {
		name   string
		held   license.Set
		update program.UpdateID
	}{{"allowed", held, "Y3B"}, {"superseded", held, "Y1A"}, {"not-covered", none, "Y3B"}} {
		b.Run(bb.name, func(b *testing.B) {
			e, _ := c.Find(bb.update)
			b.ReportAllocs()
			for b.Loop() {
				coverage.Decide(v, bb.held, e)
			}
		})
	}
}

// A yes allocates nothing.
func TestDecideAllocatesNothingForAYes(t *testing.T) {
	p := load(t, box)
	c := catalog(t, p, history(p))
	f := ready(nil)
	f.Normalize()
	v, held := c.See(&f), licensetest.Set(t, p, desk(1, 2, 3)...)
	e, _ := c.Find("Y3B")
	if !coverage.Decide(v, held, e).Allowed() {
		t.Fatal("not allowed")
	}
	if n := testing.AllocsPerRun(100, func() { coverage.Decide(v, held, e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
