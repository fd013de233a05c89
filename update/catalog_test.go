package update_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// box is a small program: two tracks with different ends of support, an
// optional component, and two prerequisites.
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
  - id: till
    name: Box Till
    end-of-support: 2020-10-13
    embedded: true
    years:
      - {year: 1, first: 2020-10-14, last: 2021-10-12, activation-id: 00000000-0000-4000-8000-000000000003, tag: 3, key: {portal: a, tool: b, device: c}}
editions:
  - {id: pro, name: Box Pro, track: desk}
  - {id: lab, name: Box Lab, track: desk, architectures: [x64]}
  - {id: home, name: Box Home, track: desk, ineligible: {home: true, reason: Home editions are not covered.}}
  - {id: till, name: Box Till, track: till}
architectures: [x86, x64]
components:
  - {id: browser, name: Browser}
  - {id: runtime, name: Runtime, optional: true}
kinds:
  - {id: rollup, rating: High, cumulative: true}
  - {id: stack, rating: High, ungated: true}
  - {id: runtime, rating: High, component: runtime}
prerequisites:
  - {id: stack, name: Servicing stack, role: servicing-stack, any-of: [S1], or-later: [{kinds: [stack], since: 2020-03-01}]}
  - {id: prep, name: Preparation, role: preparation, tracks: [desk], any-of: [P1], from: 2020-03-01}
delivery: [{id: direct, name: Direct, default: true}]
channels:
  - {id: shop, name: Shop, opens: 2020-01-01, tracks: [desk, till], ask: the shop, seller: none}
price-lists: [{id: list, name: List, default: true}]
skus:
  - {id: d1, track: desk, year: 1, name: One, place: [Box]}
  - {id: d2, track: desk, year: 2, name: Two, place: [Box]}
  - {id: t1, track: till, year: 1, name: Till, place: [Box]}
invoice-day: 1
`

func load(t testing.TB) *program.Program {
	t.Helper()
	p, err := program.Parse("box.yaml", []byte(box))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// release is an update of a kind, with the years that its day gives.
func release(p *program.Program, id, day string, kind program.KindID, supersedes ...program.UpdateID) update.Update {
	released := civil.MustParse(day)
	k, _ := p.Kind(kind)
	return update.Update{
		ID: program.UpdateID(id), Program: p.ID, Kind: kind, Component: k.Component, Released: released, Ungated: k.Ungated,
		Years: update.YearsOn(p, released, k.Ungated), Supersedes: supersedes,
	}
}

func catalog(t testing.TB, p *program.Program, all ...update.Update) *update.Catalog {
	t.Helper()
	c, err := update.NewCatalog(p, all)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t testing.TB, c *update.Catalog, id program.UpdateID) *update.Entry {
	t.Helper()
	e, ok := c.Find(id)
	if !ok {
		t.Fatalf("no update %s", id)
	}
	return e
}

// rule K4, P1: the year is fixed at release, per track.
func TestYearsOnEachTrack(t *testing.T) {
	p := load(t)
	tests := []struct {
		day  string
		want map[program.TrackID]program.Year
	}{
		{"2020-01-14", map[program.TrackID]program.Year{"desk": 0, "till": 0}}, // the last free day
		{"2020-01-15", map[program.TrackID]program.Year{"desk": 1, "till": 0}},
		{"2020-10-14", map[program.TrackID]program.Year{"desk": 1, "till": 1}},
		{"2021-01-12", map[program.TrackID]program.Year{"desk": 1, "till": 1}},
		{"2021-01-13", map[program.TrackID]program.Year{"desk": 2, "till": 1}},
		{"2021-10-13", map[program.TrackID]program.Year{"desk": 2}},
		{"2022-01-12", map[program.TrackID]program.Year{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, update.YearsOn(p, civil.MustParse(tt.day), false)); diff != "" {
			t.Errorf("%s: %s", tt.day, diff)
		}
	}
	if got := update.YearsOn(p, civil.MustParse("2030-01-01"), true); len(got) != 2 || got["desk"] != program.Free {
		t.Errorf("ungated: %v", got)
	}
}

func TestCatalogRefuses(t *testing.T) {
	p := load(t)
	good := release(p, "A", "2020-02-11", "rollup")
	with := func(change func(*update.Update)) []update.Update {
		u := good
		change(&u)
		return []update.Update{u}
	}
	tests := []struct {
		name string
		all  []update.Update
		want problem.Code
	}{
		{"another program's", with(func(u *update.Update) { u.Program = "other" }), update.OtherProgram},
		{"twice", []update.Update{good, good}, update.Twice},
		{"unknown kind", with(func(u *update.Update) { u.Kind = "odd" }), update.UnknownTrack},
		{"unknown edition", with(func(u *update.Update) { u.Editions = []program.EditionID{"odd"} }), update.UnknownTrack},
		{"unknown architecture", with(func(u *update.Update) { u.Architectures = []program.Arch{"odd"} }), update.UnknownTrack},
		{"unknown component", with(func(u *update.Update) { u.Component = "odd" }), update.UnknownTrack},
		{"unknown track", with(func(u *update.Update) { u.Years = map[program.TrackID]program.Year{"odd": 1} }), update.UnknownTrack},
		{"a year that the day does not give", with(func(u *update.Update) { u.Years = map[program.TrackID]program.Year{"desk": 2} }), update.YearWrong},
		{"free after the end of support", with(func(u *update.Update) { u.Years = map[program.TrackID]program.Year{"desk": 0} }), update.YearWrong},
		{"supersedes a later one", []update.Update{release(p, "A", "2020-02-11", "rollup", "B"), release(p, "B", "2020-03-10", "rollup")}, update.SupersedesLater},
		{"in a circle", []update.Update{release(p, "A", "2020-02-11", "rollup", "B"), release(p, "B", "2020-02-11", "rollup", "A")}, update.SupersedesLater},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := update.NewCatalog(p, tt.all); problem.CodeOf(err) != tt.want {
				t.Errorf("NewCatalog = %v, want %s", err, tt.want)
			}
		})
	}
}

func ids(entries []*update.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, string(e.ID))
	}
	return strings.Join(all, " ")
}

// rule D12: supersedence is transitive, and counts only with what the device
// has or may have.
func TestSupersedence(t *testing.T) {
	p := load(t)
	c := catalog(t, p,
		release(p, "A", "2020-02-11", "rollup", "OLD"), // older than the history
		release(p, "B", "2020-03-10", "rollup", "A"),
		release(p, "C", "2021-02-09", "rollup", "B"),
		release(p, "R", "2020-03-10", "runtime", "A"), // for devices with the runtime only
	)
	a := find(t, c, "A")
	if got := ids(a.Newer()); got != "C R B" {
		t.Errorf("newer than A: %s", got)
	}
	only := func(year program.Year) func(*update.Entry, program.Year) bool {
		return func(_ *update.Entry, y program.Year) bool { return y <= year }
	}
	tests := []struct {
		name      string
		facts     device.Facts
		may       program.Year
		years     uint32
		want      program.UpdateID
		wantMaybe bool
	}{
		{"year 2 may be had", device.Facts{Edition: "pro", Arch: "x64"}, 2, 0b110, "C", true},
		{"year 1 alone", device.Facts{Edition: "pro", Arch: "x64"}, 1, 0b010, "B", true},
		{"year 1 and the runtime", device.Facts{Edition: "pro", Arch: "x64", Components: []program.ComponentID{"runtime"}}, 1, 0b010, "R", true},
		{"nothing, without the runtime", device.Facts{Edition: "pro", Arch: "x64"}, 0, 0, "", true}, // R may count for some
		{"installed counts, whatever is held", device.Facts{Edition: "pro", Arch: "x64", Installed: []program.UpdateID{"C"}}, 0, 0, "C", true},
		{"on a track that ended, the last that serves it", device.Facts{Edition: "till", Arch: "x86"}, 2, 0b110, "C", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := c.See(&tt.facts)
			if got := v.MaybeSuperseded(a, tt.years); got != tt.wantMaybe {
				t.Errorf("MaybeSuperseded = %t", got)
			}
			var got program.UpdateID
			if s := v.SupersededBy(a, only(tt.may)); s != nil {
				got = s.ID
			}
			if got != tt.want {
				t.Errorf("SupersededBy = %q, want %q", got, tt.want)
			}
		})
	}
	v := c.See(&device.Facts{Edition: "pro", Arch: "x64"})
	if v.MaybeSuperseded(find(t, c, "B"), 0b010) {
		t.Error("with year 1 alone, C cannot supersede B")
	}
}

// rule D1: in order, from their day on, on their tracks, and newer packages
// satisfy what older ones did.
func TestPrerequisites(t *testing.T) {
	p := load(t)
	c := catalog(t, p,
		release(p, "S1", "2019-12-10", "stack"),
		release(p, "S2", "2020-02-11", "stack", "S1"),
		release(p, "S3", "2020-04-14", "stack"),
		release(p, "P1", "2020-03-10", "stack"),
		release(p, "A", "2020-02-11", "rollup"),
		release(p, "B", "2020-03-10", "rollup", "A"),
	)
	tests := []struct {
		update    program.UpdateID
		edition   program.EditionID
		installed []program.UpdateID
		want      string
	}{
		{"A", "pro", nil, "stack"},
		{"A", "pro", []program.UpdateID{"S1"}, ""},
		{"A", "pro", []program.UpdateID{"S2"}, ""}, // supersedes S1
		{"A", "pro", []program.UpdateID{"S3"}, ""}, // later, of the kind
		{"B", "pro", nil, "stack prep"},
		{"B", "pro", []program.UpdateID{"P1"}, ""}, // a later stack too
		{"B", "pro", []program.UpdateID{"S2"}, "prep"},
		{"B", "till", nil, ""}, // free on that track
		{"S2", "pro", nil, ""}, // what unlocks needs nothing
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.update, tt.edition, tt.installed), func(t *testing.T) {
			v := c.See(&device.Facts{Edition: tt.edition, Arch: "x64", Installed: tt.installed})
			var got []string
			for _, r := range v.Missing(find(t, c, tt.update)) {
				got = append(got, string(r.ID))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("missing %v, want %q", got, tt.want)
			}
			if v.HasPrerequisites(find(t, c, tt.update)) != (tt.want == "") {
				t.Error("HasPrerequisites says something else")
			}
		})
	}
}

// rule P3, P8: exact editions; ungated content reaches every device.
func TestApplies(t *testing.T) {
	p := load(t)
	lab := release(p, "LAB", "2020-02-11", "rollup")
	lab.Editions = []program.EditionID{"lab"}
	x86 := release(p, "X86", "2020-02-11", "rollup")
	x86.Architectures = []program.Arch{"x86"}
	c := catalog(t, p, lab, x86, release(p, "ALL", "2020-02-11", "rollup"), release(p, "FREE", "2020-02-11", "stack"), release(p, "RUN", "2020-02-11", "runtime"))
	tests := []struct {
		edition program.EditionID
		arch    program.Arch
		want    string
	}{
		{"pro", "x64", "ALL FREE"},
		{"pro", "x86", "ALL FREE X86"},
		{"lab", "x64", "ALL FREE LAB"},
		{"lab", "x86", ""}, // the edition does not exist on it
		{"home", "x64", "ALL FREE"},
		{"unknown", "x64", "FREE"},
		{"pro", "arm", ""},
	}
	for _, tt := range tests {
		v := c.See(&device.Facts{Edition: tt.edition, Arch: tt.arch})
		var got []*update.Entry
		for _, e := range c.All() {
			if v.Applies(e) {
				got = append(got, e)
			}
		}
		if ids(got) != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.edition, tt.arch, ids(got), tt.want)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	p := load(t)
	u := release(p, "A", "2020-02-11", "rollup", "OLD")
	u.Payloads = []update.Payload{{Name: "a.tar.zst", Installer: "files", SHA256: update.Digest(strings.Repeat("a", 64)), Size: 7, Check: "check"}}
	text, err := u.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := update.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&u, got, cmp.Comparer(func(a, b civil.Date) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		`{}`, `{"id":"A"}`, string(text) + "x", strings.Replace(string(text), `"id"`, `"ID2"`, 1),
		strings.Replace(string(text), `"OLD"`, `"A"`, 1), strings.Replace(string(text), "aaaa", "AAAA", 1),
		strings.Replace(string(text), `"desk":1`, `"desk":-1`, 1), strings.Replace(string(text), `"size":7`, `"size":-7`, 1),
	} {
		if _, err := update.ParseManifest([]byte(bad)); problem.CodeOf(err) != update.ManifestMalformed {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	u := release(load(f), "A", "2020-02-11", "rollup", "OLD")
	text, err := u.Manifest()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		u, err := update.ParseManifest(text)
		if err != nil {
			return
		}
		again, err := u.Manifest()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := update.ParseManifest(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
