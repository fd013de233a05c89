package releases

import (
	"strconv"
	"strings"
	"testing"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/update"
)

func TestStaging(t *testing.T) {
	each(t, func(v *vendor) {
		old := v.rollup("KB-old")
		v.released(old)
		later := v.rollup("KB-later")
		later.At = instant("2020-04-14 10:00")
		v.stage(later)

		cases := []struct {
			name   string
			change func(in *StageIn)
			code   problem.Code // "" is staged
		}{
			{"regular day", func(*StageIn) {}, ""},
			{"unknown program", func(in *StageIn) { in.Program = "windows-11" }, ProgramUnknown},
			{"an id that is taken", func(in *StageIn) { in.Update = "KB-old" }, UpdateExists},
			{"an id that is none", func(in *StageIn) { in.Update = "KB 1/2" }, update.ManifestMalformed},
			{"unknown kind", func(in *StageIn) { in.Kind = "toy" }, KindUnknown},
			{"unknown edition", func(in *StageIn) { in.Editions = []program.EditionID{"professional-*"} }, "update.unknown-reference"}, // rule P3
			{"unknown track", func(in *StageIn) { in.Tracks = []program.TrackID{"windows-11"} }, "update.unknown-reference"},
			{"unknown rating", func(in *StageIn) { in.Rating = "Terrible" }, RatingUnknown},
			{"rating not covered", func(in *StageIn) { in.Rating = "Moderate" }, RatingNotCovered},             // rule P2
			{"free for everybody", func(in *StageIn) { in.Rating, in.Free = "Moderate", true }, ""},            // rule P2
			{"irregular day", func(in *StageIn) { in.At = instant("2020-03-11 10:00") }, DayIrregular},         // rule D3
			{"out of band", func(in *StageIn) { in.At, in.OutOfBand = instant("2020-03-11 10:00"), true }, ""}, // rule D3
			{"late on the regular day, as it is over there", func(in *StageIn) { in.At = instant("2020-03-10 23:59") }, ""},
			{"in the past", func(in *StageIn) { in.At = instant("2020-02-11 09:00") }, InstantPast},
			{"unknown component", func(in *StageIn) { in.Component = "notepad" }, ComponentUnknown},
			{"component on its last day", func(in *StageIn) {
				in.Component, in.At, in.OutOfBand = "dotnet-4.6", instant("2022-04-26 10:00"), true
			}, ""},
			{"component past its end", func(in *StageIn) { // rule P7
				in.Component, in.At, in.OutOfBand = "dotnet-4.6", instant("2022-04-27 10:00"), true
			}, ComponentEnded},
			{"which content", func(in *StageIn) { in.Kind = "definitions" }, ContentUnnamed},
			{"no such content", func(in *StageIn) { in.Kind, in.Content = "definitions", "mse-platform" }, ContentUnknown},
			{"ungated content in its last month", func(in *StageIn) {
				in.Kind, in.Content, in.At = "definitions", "scep-2012", instant("2022-07-31 10:00")
			}, ""},
			{"ungated content past its end", func(in *StageIn) { // rule P8
				in.Kind, in.Content, in.At = "definitions", "scep-2012", instant("2022-08-01 10:00")
			}, ContentEnded},
			{"the only content of its kind, past its end", func(in *StageIn) { in.Kind = "security-client" }, ContentEnded}, // rule P8
			{"the last day of the last year on a track", func(in *StageIn) {
				in.Tracks, in.At = []program.TrackID{"windows-7"}, instant("2023-01-10 10:00")
			}, ""},
			{"a track whose years are over", func(in *StageIn) {
				in.Tracks, in.At = []program.TrackID{"windows-7"}, instant("2023-02-14 10:00")
			}, TrackUnserved},
			{"tracks of what is free", func(in *StageIn) { in.Rating, in.Free, in.Tracks = "Moderate", true, []program.TrackID{"windows-7"} }, TracksFree},
			{"tracks of an ungated kind", func(in *StageIn) {
				in.Kind, in.Content, in.Tracks = "definitions", "scep-2012", []program.TrackID{"windows-7"}
			}, TracksFree},
			{"after every year", func(in *StageIn) { in.At = instant("2025-01-14 10:00") }, ProgramOver},
			{"nothing to install", func(in *StageIn) { in.Payloads = nil }, PayloadNone},
			{"a payload that has not arrived", func(in *StageIn) { in.Payloads[0].SHA256 = update.Digest(strings.Repeat("0", 64)) }, PayloadMissing},
			{"supersedes what is there", func(in *StageIn) { in.Supersedes = []program.UpdateID{"KB-old"} }, ""},
			{"supersedes the unknown", func(in *StageIn) { in.Supersedes = []program.UpdateID{"KB-none"} }, SupersedesUnknown},
			{"supersedes what comes later", func(in *StageIn) { in.Supersedes = []program.UpdateID{"KB-later"} }, SupersedesLater},
		}
		for i, c := range cases {
			in := v.rollup(program.UpdateID("KB" + strconv.Itoa(i)))
			c.change(&in)
			out, err := v.Stage(t.Context(), owner, in)
			if problem.CodeOf(err) != c.code || c.code == "" && err != nil {
				t.Errorf("%s: got %v, want code %q", c.name, err, c.code)
			}
			if err != nil {
				continue
			}
			if out.Update.Ungated != (in.Free || in.Kind == "definitions") {
				t.Errorf("%s: ungated is %t", c.name, out.Update.Ungated)
			}
		}
		_, err := v.Stage(t.Context(), support, v.rollup("KB-support"))
		wantCode(t, err, access.Forbidden)
	})
}

func TestNoRelease(t *testing.T) { // rule D3
	each(t, func(v *vendor) {
		ctx := t.Context()
		v.stage(v.rollup("KB1"))
		wantCode(t, v.NoRelease(ctx, owner, win, "2020-02"), MonthHasRelease)
		wantCode(t, v.NoRelease(ctx, owner, win, "2020-2"), MonthMalformed)
		wantCode(t, v.NoRelease(ctx, owner, win, "2019-12"), MonthOutside)
		wantCode(t, v.NoRelease(ctx, owner, win, "2026-01"), MonthOutside)
		fatal(t, v.NoRelease(ctx, owner, win, "2020-05"))
		fatal(t, v.NoRelease(ctx, owner, win, "2020-06"))
		wantCode(t, v.NoRelease(ctx, owner, win, "2020-05"), MonthRecorded)
		in := v.rollup("KB2")
		in.At, in.OutOfBand = instant("2020-05-20 10:00"), true
		v.stage(in)
		months, err := v.NoReleases(ctx, win)
		fatal(t, err)
		same(t, "months without a release", []string{"2020-06"}, months)
	})
}

// rule D7 rule P8
func TestImportHistory(t *testing.T) {
	text, ok := programs.History(string(win))
	if !ok {
		t.Fatal("no history is shipped")
	}
	rows := strings.Count(strings.TrimSpace(string(text)), "\n")
	text = append(text, "2020-03,2020-03-10,KB9000001,Toy,,1\n"+ // unknown kind
		"2020-03,2020-03-10,KB9000002,Monthly Rollup,,2\n"+ // year 1 by its day
		"2023-03,2023-03-14,KB9000003,Security-only,,\n"...)
	eachFrom(t, "2023-02-01 12:00", func(v *vendor) {
		device := v.device()
		in := ImportIn{Program: win, Text: text, DryRun: true}
		tried, err := v.ImportHistory(t.Context(), owner, in)
		fatal(t, err)
		same(t, "states after a dry run", map[program.UpdateID]State{}, v.states())
		in.DryRun = false
		out, err := v.ImportHistory(t.Context(), owner, in)
		fatal(t, err)
		same(t, "a dry run says the same", codesOf(tried.Refused), codesOf(out.Refused))
		// Four shipped rows have no day.
		same(t, "refused", map[problem.Code]int{
			update.RowNoDay: 4, update.RowKind: 1, update.RowYear: 1, RowInFuture: 1,
		}, codesOf(out.Refused))
		same(t, "taken", rows-4, len(out.Updates))
		same(t, "one draft", rows-4, len(out.Draft.Add))
		same(t, "before the signatures a device sees", 0, len(v.sees(device)))
		v.sign(out.Draft, "alice", "bob")
		same(t, "after them", rows-4, len(v.sees(device)))

		c, err := v.Catalog(t.Context(), win)
		fatal(t, err)
		for id, want := range map[program.UpdateID]program.Year{
			"KB4534310": program.Free, // on the end-of-support day: rule P1
			"KB4537820": 1,
			"KB5004953": 2, // out of band, no year in the file: its day says it
		} {
			e, ok := c.Find(id)
			if !ok {
				t.Errorf("no %s", id)
				continue
			}
			same(t, string(id), want, e.Years["windows-7"])
		}
		if stack, ok := c.Find("KB4550738"); !ok || !stack.Ungated || stack.Years["windows-7"] != program.Free {
			t.Errorf("a servicing stack of year 1 is gated: %+v", stack) // the file says year 1
		}
		h, err := v.History(t.Context(), win)
		fatal(t, err)
		same(t, "history", rows-4, len(h.Updates))
		again, err := v.ImportHistory(t.Context(), owner, in)
		fatal(t, err)
		same(t, "again", 0, len(again.Updates))
		same(t, "named again", rows-4, codesOf(again.Refused)[UpdateExists])

		// A newer program file must still fit what was released.
		p := windows(t)
		p.Kinds = p.Kinds[1:]
		_, err = v.ChangeTargets(t.Context(), owner, TargetsIn{Programs: []*program.Program{p}, Signers: []signing.Signer{v.targetsKey()}})
		wantCode(t, err, ProgramUnfit)
	})
}

func TestImportOfTheFuture(t *testing.T) {
	each(t, func(v *vendor) { // on 2020-02-03
		out, err := v.ImportHistory(t.Context(), owner, ImportIn{Program: win, Text: []byte("date,kb,kind,supersedes,esu_year\n" +
			"2020-01-14,KB1,Monthly Rollup,KB0,\n2020-02-11,KB2,Monthly Rollup,KB1,\n2020-01-15,KB3,OOB,KB4,\n2020-01-16,KB4,OOB,,\n")})
		fatal(t, err)
		same(t, "taken", []program.UpdateID{"KB1", "KB4"}, out.Draft.Add)
		same(t, "refused", map[problem.Code]int{RowInFuture: 1, update.SupersedesLater: 1}, codesOf(out.Refused))
	})
}

func TestProgramsApart(t *testing.T) {
	each(t, func(v *vendor) {
		text, err := programs.File("appliance-os")
		fatal(t, err)
		other, err := program.Parse("appliance-os.yaml", text)
		fatal(t, err)
		_, err = v.ChangeTargets(t.Context(), owner, TargetsIn{
			Programs:   []*program.Program{other},
			Publishers: map[program.ID]trust.Signers{other.ID: {Keys: keys("dora", "emil")}},
			Signers:    []signing.Signer{v.targetsKey()},
		})
		fatal(t, err)
		v.released(v.rollup("KB1"))
		d, err := v.SignAnew(t.Context(), owner, other.ID)
		fatal(t, err)
		copied, err := trust.ParseDraft(d.Draft.Document)
		fatal(t, err)
		wantCode(t, copied.Sign(t.Context(), signer("alice")), trust.NotASigner)
		v.sign(d.Draft, "dora", "emil")
		h, err := v.History(t.Context(), other.ID)
		fatal(t, err)
		same(t, "the other program's history", 0, len(h.Updates))
		same(t, "a device of the first sees", []program.UpdateID{"KB1"}, v.sees(v.device()))
	})
}

func codesOf(all []*problem.Problem) map[problem.Code]int {
	n := map[problem.Code]int{}
	for _, p := range all {
		n[p.Code]++
	}
	return n
}
