package releases

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// rule D3 rule D16 rule K4
func TestAnUpdateComesAtItsInstantAndNotBefore(t *testing.T) {
	each(t, func(v *vendor) {
		device := v.device()
		in := v.rollup("KB4537820")
		staged := v.stage(in)
		if want := instant("2020-02-11 10:00"); !staged.Instant.Equal(want) {
			t.Errorf("released at %s, want the second Tuesday in the program's time zone: %s", staged.Instant, want)
		}
		same(t, "years", map[program.TrackID]program.Year{"windows-7": 1}, only(staged.Update.Years, "windows-7"))
		secret := []string{"KB4537820", string(in.Payloads[0].SHA256), "Weakness"}
		hidden := func(when string) {
			t.Helper()
			v.tick()
			_, err := v.Release(v.Context(), owner) // the owner cannot hurry it either
			fatal(t, err)
			same(t, when+": a device sees", []program.UpdateID{}, v.sees(device))
			v.nothingOf(when, secret)
		}
		hidden("staged")
		d := v.draft().Draft
		hidden("drafted")
		v.sign(d, "alice")
		hidden("signed by one")
		same(t, "one signature", Staged, v.states()["KB4537820"])
		v.sign(d, "bob")
		same(t, "two signatures", Queued, v.states()["KB4537820"])
		hidden("queued")
		v.at("2020-02-11 09:59")
		hidden("a minute before")

		v.at("2020-02-11 10:00")
		p := v.tick()
		same(t, "released", 1, len(p.Released))
		same(t, "a device without coverage sees", []program.UpdateID{"KB4537820"}, v.sees(device))
		payload, err := v.Payload(v.Context(), in.Payloads[0].SHA256)
		fatal(t, err)
		defer payload.Body.Close()
		body, err := io.ReadAll(payload.Body)
		fatal(t, err)
		same(t, "payload", string(in.Payloads[0].SHA256), fmt.Sprintf("%x", sha256.Sum256(body)))
		same(t, "payload's update", program.UpdateID("KB4537820"), payload.Updates[0].ID)
		c, err := v.Catalog(v.Context(), win)
		fatal(t, err)
		if _, ok := c.Find("KB4537820"); !ok {
			t.Error("the catalog lacks a released update")
		}
		h, err := v.History(v.Context(), win)
		fatal(t, err)
		same(t, "history", 1, len(h.Updates)) // rule D7
		again := v.tick()
		same(t, "released once", 0, len(again.Released))
		findings := 0
		fatal(t, v.office.DB.Read(v.Context(), func(tx *db.Tx) error {
			return tx.QueryRow(`SELECT COUNT(*) FROM audit WHERE act IN ('update.stage', 'update.draft', 'draft.sign', 'draft.complete', 'update.release')
				AND object NOT LIKE 'draft/targets/%'`).Scan(&findings)
		}))
		same(t, "audit rows", 6, findings)
	})
}

func only(m map[program.TrackID]program.Year, id program.TrackID) map[program.TrackID]program.Year {
	return map[program.TrackID]program.Year{id: m[id]}
}

// nothingOf looks for words wherever somebody who is no publisher could look.
func (v *vendor) nothingOf(when string, words []string) {
	v.Helper()
	files, err := v.Files(v.Context())
	fatal(v, err)
	for name, body := range files {
		for _, w := range words {
			if bytes.Contains(body, []byte(w)) || strings.Contains(name, w) {
				v.Errorf("%s: the public file %s shows %q", when, name, w)
			}
		}
	}
	h, err := v.History(v.Context(), win)
	fatal(v, err)
	same(v, when+": history", 0, len(h.Updates))
	c, err := v.Catalog(v.Context(), win)
	fatal(v, err)
	same(v, when+": catalog", 0, len(c.All()))
	shown, err := v.List(v.Context(), support, win)
	fatal(v, err)
	same(v, when+": shown to support", 0, len(shown))

	digest := update.Digest(words[1])
	_, staged := v.Payload(v.Context(), digest)
	unknown := update.Digest(strings.Repeat("0", 64))
	_, never := v.Payload(v.Context(), unknown)
	wantCode(v, staged, depot.NotFound)
	same(v, when+": staged and unknown payloads answer alike", strings.ReplaceAll(never.Error(), string(unknown), ""), strings.ReplaceAll(staged.Error(), string(digest), ""))

	// What the database keeps in the clear: sealed columns and audit rows.
	fatal(v, v.office.DB.Read(v.Context(), func(tx *db.Tx) error {
		for _, query := range []string{`SELECT manifest FROM releases`, `SELECT body FROM role_drafts`, `SELECT detail FROM audit`, `SELECT object FROM audit`, `SELECT body FROM metadata`} {
			rows, err := tx.Query(query)
			if err != nil {
				return err
			}
			for rows.Next() {
				var body []byte
				if err := rows.Scan(&body); err != nil {
					return err
				}
				for _, w := range words {
					if bytes.Contains(body, []byte(w)) {
						v.Errorf("%s: %s shows %q", when, query, w)
					}
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	}))
}

func TestTwoPublishersMustSign(t *testing.T) {
	each(t, func(v *vendor) {
		v.stage(v.rollup("KB1"))
		d := v.draft("KB1").Draft
		same(t, "missing", 2, d.Missing)
		_, err := v.trySign(d, "alice")
		fatal(t, err)
		_, err = v.trySign(d, "alice")
		wantCode(t, err, NothingSigned)
		copied, err := trust.ParseDraft(d.Document)
		fatal(t, err)
		wantCode(t, copied.Sign(t.Context(), signer("mallory")), trust.NotASigner)

		// A document that names other signers changes nothing.
		var forged map[string]any
		fatal(t, json.Unmarshal(d.Document, &forged))
		forged["signers"] = []any{map[string]any{"keys": publicTexts(keys("mallory")), "threshold": 1}}
		text, err := json.Marshal(forged)
		fatal(t, err)
		own, err := trust.ParseDraft(text)
		fatal(t, err)
		fatal(t, own.Sign(t.Context(), signer("mallory")))
		text, err = own.Document()
		fatal(t, err)
		_, err = v.Sign(t.Context(), owner, text)
		wantCode(t, err, NothingSigned)
		same(t, "state", Staged, v.states()["KB1"])
		out := v.sign(d, "carol")
		same(t, "signed by", 2, len(out.Draft.SignedBy))
		same(t, "state", Queued, v.states()["KB1"])
	})
}

// An update put in between two that are queued has the later one signed anew.
func TestInsertingHasLaterOnesSignedAnew(t *testing.T) {
	each(t, func(v *vendor) {
		device := v.device()
		later := v.rollup("KB3")
		later.At = instant("2020-03-10 10:00")
		v.stage(later)
		v.sign(v.draft("KB3").Draft, "alice", "bob")
		v.stage(v.rollup("KB2"))
		d := v.draft("KB2")
		if len(d.Again) != 1 || !slices.Equal(d.Again[0].Add, []program.UpdateID{"KB3"}) || d.Again[0].Missing != 2 {
			t.Fatalf("to be signed anew: %+v", d.Again)
		}
		same(t, "states", map[program.UpdateID]State{"KB2": Staged, "KB3": Staged}, v.states())
		v.sign(d.Draft, "alice", "bob")
		v.at("2020-02-11 10:00")
		v.tick()
		v.at("2020-03-10 10:00")
		v.tick()
		same(t, "without the second signatures", []program.UpdateID{"KB2"}, v.sees(device))
		v.sign(d.Again[0], "bob", "carol")
		same(t, "with them", []program.UpdateID{"KB2", "KB3"}, v.sees(device))
	})
}

// What was signed in time comes out when a server that was down comes back on the
// same day.
func TestAfterAnOutage(t *testing.T) {
	each(t, func(v *vendor) {
		v.stage(v.rollup("KB1"))
		v.sign(v.draft().Draft, "alice", "bob")
		v.at("2020-02-11 23:59")
		v.Room = New(v.office)
		same(t, "released", 1, len(v.tick().Released))
	})
}

// A server that was down over midnight, here between two years, lets nothing out
// under a day that is over. Staged anew, the update has the year of its new day;
// what waits behind it is held with it, and what is due before it comes.
func TestAfterAnOutageOverMidnight(t *testing.T) { // rule K4
	eachFrom(t, "2021-01-10 09:00", func(v *vendor) {
		device := v.device()
		out, err := v.ImportHistory(t.Context(), owner, ImportIn{Program: win, Text: []byte("date,kb,kind,supersedes,esu_year\n2020-02-11,KB1,Monthly Rollup,,1\n")})
		fatal(t, err)
		in := v.rollup("KB2")
		in.At = instant("2021-01-12 10:00") // the last day of year 1
		same(t, "year", program.Year(1), v.stage(in).Update.Years["windows-7"])
		v.sign(v.draft().Draft, "alice", "bob")
		in = v.rollup("KB3")
		in.At, in.OutOfBand = instant("2021-01-13 09:00"), true
		v.stage(in)
		v.sign(v.draft().Draft, "alice", "bob")
		v.at("2021-01-13 10:00")
		v.Room = New(v.office)
		p := v.tick()
		if len(p.Released) != 0 || len(p.Held) != 1 || p.Held[0].Role != trust.Role(win) {
			t.Fatalf("published %+v", p)
		}
		wantCode(t, p.Held[0].Err, DayPast)
		same(t, "states", map[program.UpdateID]State{"KB1": Queued, "KB2": Queued, "KB3": Queued}, v.states())
		v.sign(out.Draft, "alice", "bob") // an import comes out whenever it is signed
		same(t, "what is due before it", []program.UpdateID{"KB1"}, v.sees(device))

		_, err = v.Withdraw(t.Context(), owner, win, "KB2")
		fatal(t, err)
		again := v.rollup("KB2")
		again.OutOfBand = true
		same(t, "year, staged anew", program.Year(2), v.stage(again).Update.Years["windows-7"])
		v.draft()
		drafts, err := v.Drafts(t.Context(), owner, trust.Role(win))
		fatal(t, err)
		for _, d := range drafts {
			v.sign(d, "alice", "carol")
		}
		same(t, "a device sees", []program.UpdateID{"KB1", "KB3", "KB2"}, v.sees(device))
	})
}

// A version that was signed early contains an earlier one that never was. That
// one's update does not come out with it after its own day.
func TestASignedVersionOverAnUnsignedOne(t *testing.T) { // rule K4
	each(t, func(v *vendor) {
		device := v.device()
		v.stage(v.rollup("KB1")) // on 2020-02-11
		v.draft()
		later := v.rollup("KB2")
		later.At = instant("2020-03-10 10:00")
		v.stage(later)
		v.sign(v.draft("KB2").Draft, "alice", "bob")
		same(t, "signed with it", Queued, v.states()["KB1"])
		v.at("2020-03-10 10:00")
		p := v.tick()
		if len(p.Released) != 0 || len(p.Held) != 1 {
			t.Fatalf("published %+v", p)
		}
		wantCode(t, p.Held[0].Err, DayPast)
		out, err := v.Withdraw(t.Context(), owner, win, "KB1")
		fatal(t, err)
		v.sign(out.Again[0], "alice", "bob")
		same(t, "without it", []program.UpdateID{"KB2"}, v.sees(device))
	})
}

// An act that changes nothing writes nothing: others need not decide anew for it.
func TestIdleActsWriteNothing(t *testing.T) {
	each(t, func(v *vendor) {
		version := func() (n int64) {
			t.Helper()
			fatal(t, v.office.DB.Read(t.Context(), func(tx *db.Tx) error {
				return tx.QueryRow(`SELECT version FROM repository`).Scan(&n)
			}))
			return n
		}
		before := version()
		for range 3 {
			_, err := v.Release(t.Context(), owner)
			fatal(t, err)
		}
		same(t, "after three releases of nothing", before, version())
		v.at("2020-02-03 11:00")
		v.tick()
		same(t, "after a new timestamp", before+1, version())
	})
}

func TestSigningTooLateIsRefused(t *testing.T) { // rule K4
	each(t, func(v *vendor) {
		in := v.rollup("KB1")
		in.At = instant("2021-01-12 10:00") // the last day of year 1
		same(t, "years", program.Year(1), v.stage(in).Update.Years["windows-7"])
		d := v.draft().Draft
		v.sign(d, "alice")
		v.at("2021-01-13 00:00")
		_, err := v.trySign(d, "bob")
		wantCode(t, err, DayPast)
		v.at("2021-01-12 23:59")
		v.sign(d, "bob")
		same(t, "released", Released, v.states()["KB1"])
	})
}

func TestWithdraw(t *testing.T) {
	each(t, func(v *vendor) {
		device := v.device()
		in := v.rollup("KB1")
		v.released(in)
		queued := v.rollup("KB2")
		v.stage(queued)
		v.sign(v.draft("KB2").Draft, "alice", "bob")

		out, err := v.Withdraw(t.Context(), owner, win, "KB1")
		fatal(t, err)
		same(t, "to be signed anew", 1, len(out.Again))
		v.tick()
		same(t, "before the signatures", []program.UpdateID{"KB1"}, v.sees(device))
		v.sign(out.Draft, "alice", "carol")
		same(t, "after them", []program.UpdateID{}, v.sees(device))
		_, err = v.Payload(t.Context(), in.Payloads[0].SHA256)
		wantCode(t, err, depot.NotFound)
		h, err := v.History(t.Context(), win)
		fatal(t, err)
		if len(h.Updates) != 1 || !h.Updates[0].Withdrawn {
			t.Errorf("history: %+v", h.Updates)
		}
		_, err = v.Withdraw(t.Context(), owner, win, "KB1")
		wantCode(t, err, WithdrawnAlready)
		again := v.rollup("KB1")
		_, err = v.Stage(t.Context(), owner, again)
		wantCode(t, err, UpdateExists)
		again.Update, again.Supersedes = "KB9", []program.UpdateID{"KB1"}
		_, err = v.Stage(t.Context(), owner, again)
		wantCode(t, err, SupersedesWithdrawn)

		// One that is not released needs nobody's signature.
		out, err = v.Withdraw(t.Context(), owner, win, "KB2")
		fatal(t, err)
		same(t, "nothing left to sign", 0, len(out.Again))
		same(t, "states", map[program.UpdateID]State{"KB1": Withdrawn}, v.states())
	})
}

func TestDiscard(t *testing.T) {
	each(t, func(v *vendor) {
		v.stage(v.rollup("KB1"))
		d := v.draft().Draft
		_, err := v.Draft(t.Context(), owner, win, "KB1")
		wantCode(t, err, DraftedAlready)
		_, err = v.Draft(t.Context(), owner, win)
		wantCode(t, err, NothingStaged)
		_, err = v.Discard(t.Context(), owner, d.Role, d.Version)
		fatal(t, err)
		_, err = v.trySign(d, "alice")
		wantCode(t, err, DraftUnknown)
		same(t, "drafted again", []program.UpdateID{"KB1"}, v.draft().Draft.Add)
	})
}

// A publisher whose key is taken away counts no longer: what he helped to sign is
// signed anew before the change is published, and devices never see a gap.
func TestRevokingAPublisher(t *testing.T) {
	each(t, func(v *vendor) {
		device := v.device()
		v.released(v.rollup("KB1")) // by alice and bob
		v.stage(v.rollup("KB2"))
		v.sign(v.draft("KB2").Draft, "alice", "bob")
		out, err := v.ChangeTargets(t.Context(), owner, TargetsIn{Revoke: keys("bob")})
		fatal(t, err)
		same(t, "missing", 1, out.Draft.Missing)
		same(t, "the queue stands while nobody has signed", Queued, v.states()["KB2"])
		offline, err := trust.ParseDraft(out.Draft.Document)
		fatal(t, err)
		fatal(t, offline.Sign(t.Context(), v.targetsKey()))
		document, err := offline.Document()
		fatal(t, err)
		signed, err := v.Sign(t.Context(), owner, document)
		fatal(t, err)
		if len(signed.Published.Held) != 1 || signed.Published.Targets {
			t.Fatalf("published %+v, want targets held", signed.Published)
		}
		same(t, "queue", Staged, v.states()["KB2"])
		same(t, "devices meanwhile", []program.UpdateID{"KB1"}, v.sees(device))

		// Thrown away, the change leaves the program with the publishers it had.
		_, err = v.Discard(t.Context(), owner, trust.Targets, signed.Draft.Version)
		fatal(t, err)
		drafts, err := v.Drafts(t.Context(), owner, trust.Role(win))
		fatal(t, err)
		v.sign(drafts[len(drafts)-1], "alice", "bob")
		same(t, "queue", Queued, v.states()["KB2"])
		signed, err = v.ChangeTargets(t.Context(), owner, TargetsIn{Revoke: keys("bob"), Signers: []signing.Signer{v.targetsKey()}})
		fatal(t, err)
		same(t, "held again", 1, len(signed.Published.Held))

		drafts, err = v.Drafts(t.Context(), owner, trust.Role(win))
		fatal(t, err)
		same(t, "drafts", 2, len(drafts))
		copied, err := trust.ParseDraft(drafts[0].Document)
		fatal(t, err)
		wantCode(t, copied.Sign(t.Context(), signer("bob")), trust.NotASigner)
		v.sign(drafts[0], "alice")
		last := v.sign(drafts[0], "carol")
		same(t, "targets", true, last.Published.Targets)
		same(t, "devices", []program.UpdateID{"KB1"}, v.sees(device))
		v.sign(drafts[1], "alice", "carol")
		v.at("2020-03-10 10:00")
		v.tick()
		same(t, "devices", []program.UpdateID{"KB1", "KB2"}, v.sees(device))
	})
}

func TestGenesisOnce(t *testing.T) {
	each(t, func(v *vendor) {
		_, err := v.Genesis(t.Context(), owner, GenesisIn{Offline: v.offline, Keys: []byte(`{}`)})
		wantCode(t, err, Begun)
		anchor, err := v.Anchor(t.Context())
		fatal(t, err)
		same(t, "anchor", v.anchor, anchor)
		_, err = v.History(t.Context(), "other")
		wantCode(t, err, "frontdoor.program-unknown")
		_, err = v.Metadata(t.Context(), "99.targets.json")
		wantCode(t, err, MetadataUnknown)
	})
}

func TestTimestampStaysYoung(t *testing.T) {
	each(t, func(v *vendor) {
		device := v.device()
		first := device.Status().IssuedAt
		v.at("2020-02-03 09:59")
		v.tick()
		v.sees(device)
		same(t, "within the hour", first, device.Status().IssuedAt)
		v.at("2020-02-03 10:00")
		v.tick()
		v.sees(device)
		same(t, "after it", instant("2020-02-03 10:00"), device.Status().IssuedAt)
		v.at("2020-03-01 10:00") // the snapshot nears its end
		v.tick()
		v.sees(device)
		if v.at("2020-03-20 10:00"); device.Status().Expires.Before(instant("2020-03-03 10:00")) {
			t.Errorf("expires %s", device.Status().Expires)
		}
	})
}

// Many at once publish one version once.
func TestAtOnce(t *testing.T) {
	each(t, func(v *vendor) {
		device := v.device()
		v.stage(v.rollup("KB1"))
		d := v.draft().Draft
		var wg sync.WaitGroup
		for _, name := range []string{"alice", "bob", "carol"} {
			wg.Go(func() {
				copied, err := trust.ParseDraft(d.Document)
				if err == nil {
					err = copied.Sign(t.Context(), signer(name))
				}
				document := []byte{}
				if err == nil {
					document, err = copied.Document()
				}
				if err == nil {
					_, err = v.Sign(t.Context(), owner, document)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		v.at("2020-02-11 10:00")
		released := make([]int, 4)
		for i := range released {
			wg.Go(func() {
				p, err := v.Tick(t.Context(), itself)
				if err != nil && problem.CodeOf(err) != Busy {
					t.Error(err)
				}
				released[i] = len(p.Released)
			})
		}
		wg.Wait()
		slices.Sort(released)
		same(t, "released by one of them", []int{0, 0, 0, 1}, released)
		same(t, "a device sees", []program.UpdateID{"KB1"}, v.sees(device))
		report, err := audit.Verify(t.Context(), v.office.DB)
		fatal(t, err)
		same(t, "findings of the audit", 0, len(report.Findings))
	})
}

// Whoever has taken the server with all that it holds can let out early what
// publishers have signed. He cannot change what it says.
func TestAStolenServer(t *testing.T) { // rule K4
	each(t, func(v *vendor) {
		honest := v.device()
		in := v.rollup("KB1")
		in.At = instant("2021-02-09 10:00") // in year 2
		v.stage(in)
		v.sign(v.draft().Draft, "alice", "bob")
		v.at("2021-02-09 10:00") // as far as the thief's clock is concerned
		v.tick()

		thief := func(ctx context.Context, name string) (io.ReadCloser, error) {
			body, err := v.fetch(ctx, name)
			if err != nil || !strings.HasSuffix(name, ".KB1.json") {
				return body, err
			}
			manifest, err := io.ReadAll(body)
			free := bytes.Replace(manifest, []byte(`"windows-7":2`), []byte(`"windows-7":0`), 1)
			if bytes.Equal(manifest, free) {
				t.Errorf("nothing to change in %s", manifest)
			}
			return io.NopCloser(bytes.NewReader(free)), err
		}
		wantCode(t, honest.Refresh(t.Context(), thief), trust.WrongHash)
		same(t, "signed bytes only", []program.UpdateID{"KB1"}, v.sees(honest))

		// Nor can he list another manifest: his own publication is refused, and so
		// would it be by every device.
		s, err := v.load(t.Context())
		fatal(t, err)
		change := trust.ProgramChange{Add: []trust.Release{{Update: "KB2", Manifest: []byte("evil"), Released: v.clock()}}}
		draft, err := s.repo.DraftProgram(win, nil, change, v.clock(), trust.Regular)
		fatal(t, err)
		_, err = accept(s.repo, draft, nil)
		wantCode(t, err, trust.NotSigned)
		file, err := draft.File()
		fatal(t, err)
		s.repo.Programs[win], s.repo.Files["windows-7/KB2.json"] = file, []byte("evil")
		_, err = s.repo.Publish(t.Context(), v.office.Online, v.clock(), trust.Regular)
		wantCode(t, err, trust.NotSigned)
	})
}

// A restored authority serves nothing below what a site has seen, and goes on
// above it.
func TestAdopt(t *testing.T) {
	each(t, func(v *vendor) {
		backup := v.published()
		v.released(v.rollup("KB1"))
		device := v.device()
		site, err := device.Files()
		fatal(t, err)
		v.restore(backup)
		v.Room = New(v.office)
		fatal(t, v.Adopt(t.Context(), owner, 2, site))
		_, err = v.Metadata(t.Context(), "timestamp.json")
		wantCode(t, err, BelowPublic)
		waiting, err := v.Drafts(t.Context(), owner, trust.Role(win))
		fatal(t, err)
		same(t, "drafted anew, above what was seen", 1, len(waiting))

		// The release is made again, and its version stands above the one that was seen.
		again := v.rollup("KB1")
		again.OutOfBand = true
		v.stage(again)
		out := v.draft("KB1")
		if out.Draft.Version < 2 {
			t.Errorf("version %d, want one above the public one", out.Draft.Version)
		}
		v.sign(out.Draft, "alice", "bob")
		same(t, "a device that held the lost release", []program.UpdateID{"KB1"}, v.sees(device))
	})
}

func (v *vendor) published() [][]any {
	v.Helper()
	var all [][]any
	fatal(v, v.office.DB.Read(v.Context(), func(tx *db.Tx) error {
		rows, err := tx.Query(`SELECT name, epoch, body, at, listed FROM metadata`)
		if err != nil {
			return err
		}
		for rows.Next() {
			var name string
			var epoch, at, listed int64
			var body []byte
			if err := rows.Scan(&name, &epoch, &body, &at, &listed); err != nil {
				return err
			}
			all = append(all, []any{name, epoch, body, at, listed})
		}
		return rows.Err()
	}))
	return all
}

// restore puts a backup of an office without releases back.
func (v *vendor) restore(backup [][]any) {
	v.Helper()
	fatal(v, v.office.DB.Write(v.Context(), func(tx *db.Tx) error {
		for _, statement := range []string{`DELETE FROM releases`, `DELETE FROM role_drafts`, `DELETE FROM metadata`} {
			if _, err := tx.Exec(statement); err != nil {
				return err
			}
		}
		_, err := tx.InsertMany("metadata", []string{"name", "epoch", "body", "at", "listed"}, backup)
		return err
	}))
}
