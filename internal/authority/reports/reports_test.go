package reports_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/authority/reports"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

func start() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }

// office is a real database and a clock that a test moves.
type office struct {
	testing.TB
	db     *db.DB
	nonces *frontdoor.Nonces
	now    atomic.Int64
	keys   sync.Map     // of activated installations, by fingerprint
	boxes  atomic.Int64 // names for many
}

func newOffice(t testing.TB, c db.Config) *office {
	t.Helper()
	o := &office{TB: t, nonces: frontdoor.NewNonces([32]byte{1}, 5*time.Minute)}
	o.at(0)
	c.Now = o.clock
	o.db = dbtest.Open(t, c)
	return o
}

func (o *office) clock() time.Time       { return time.Unix(o.now.Load(), 0).UTC() }
func (o *office) at(after time.Duration) { o.now.Store(start().Add(after).Unix()) }

// room opens a room as a process does; it may be closed earlier than the test ends.
func (o *office) room(change func(*reports.Config)) *reports.Room {
	o.Helper()
	c := reports.Config{DB: o.db, Authority: "vendor", Nonces: o.nonces.Valid, Now: o.clock, Every: time.Hour, Known: o.known}
	if change != nil {
		change(&c)
	}
	r := reports.Open(c)
	o.Cleanup(r.Close)
	return r
}

func (o *office) known(_ *db.Tx, f license.Fingerprint) (license.PublicKey, bool, error) {
	key, found := o.keys.Load(f)
	if !found {
		return license.PublicKey{}, false, nil
	}
	return key.(license.PublicKey), true, nil
}

// box is a device that reports, as far as a server sees it.
type box struct {
	*office
	licensetest.Device
	counter  int64
	facts    device.Facts
	licenses []license.Token
}

// box is a device that was activated.
func (o *office) box(name string) *box {
	b := o.stranger(name)
	o.keys.Store(b.Fingerprint, b.PublicKey)
	return b
}

// stranger is a device that never was.
func (o *office) stranger(name string) *box {
	return &box{office: o, Device: licensetest.NewDevice(name), licenses: []license.Token{"first.of." + license.Token(name)},
		facts: device.Facts{Program: "appliance-os", Edition: "standard", Arch: "x64"}}
}

func (b *box) say(whole bool, change func(*wire.DeviceReport)) string {
	b.Helper()
	b.counter++
	body, err := b.facts.Canonical()
	if err != nil {
		b.Fatal(err)
	}
	sum, err := b.facts.Digest()
	if err != nil {
		b.Fatal(err)
	}
	r := wire.DeviceReport{
		Audience: "vendor", Program: b.facts.Program, Fingerprint: b.Fingerprint, Counter: b.counter, Nonce: b.nonces.New(b.clock()),
		IssuedAt: license.At(b.clock()), FactsDigest: update.Digest(hex.EncodeToString(sum[:])), LicensesDigest: wire.LicensesDigest(b.licenses),
	}
	if whole {
		r.Facts, r.Licenses = body, b.licenses
	}
	if change != nil {
		change(&r)
	}
	text, err := wire.SignReport(r, jws.InMemory(b.Key))
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// reports sends one report and wants this answer.
func (b *box) reports(r *reports.Room, whole bool, want problem.Code) {
	b.Helper()
	sent(b, r, b.say(whole, nil), want)
}

func sent(t testing.TB, r *reports.Room, text string, want problem.Code) {
	t.Helper()
	err := r.Report(context.Background(), text)
	if problem.CodeOf(err) != want {
		t.Fatalf("got %v, want %q", err, want)
	}
	if p, ok := problem.As(err); ok {
		if sentence, hint := locales.New("en").Problem(p); sentence == string(p.Code) || hint == "" {
			t.Errorf("%q, %q", sentence, hint)
		}
	}
}

// row is what is stored of a box.
func (b *box) row() (i reports.Installation, found bool) {
	b.Helper()
	if err := b.db.Read(context.Background(), func(tx *db.Tx) (err error) {
		i, found, err = reports.Find(tx, b.Fingerprint)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return i, found
}

// want compares what is stored of a box, but for how often its row was locked.
func (b *box) want(counter int64, cloned, seen time.Duration) {
	b.Helper()
	i, _ := b.row()
	sum, err := b.facts.Digest()
	if err != nil {
		b.Fatal(err)
	}
	want := reports.Installation{
		Fingerprint: b.Fingerprint, PublicKey: b.PublicKey, Program: "appliance-os", Facts: sum, Counter: counter,
		FirstSeen: license.At(start()), LastSeen: license.At(start().Add(seen)),
	}
	if n, err := hex.Decode(want.Licenses[:], []byte(wire.LicensesDigest(b.licenses))); err != nil || n != 32 {
		b.Fatal(err)
	}
	if cloned >= 0 {
		want.Cloned = license.At(start().Add(cloned))
	}
	if diff := cmp.Diff(want, i, cmpopts.IgnoreUnexported(reports.Installation{})); diff != "" {
		b.Error(diff)
	}
}

const never = time.Duration(-1)

func each(t *testing.T, story func(t *testing.T, o *office)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) { story(t, newOffice(t, c)) })
}

// A device is asked for what is not known and stores it once; then digests do.
func TestBodiesAreAskedFor(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r := o.room(nil)
		one, two := o.box("one"), o.box("two")
		one.reports(r, false, reports.BodyWanted)
		if _, found := one.row(); found {
			t.Fatal("stored without a body")
		}
		one.reports(r, true, "")
		one.want(2, never, 0)
		two.reports(r, true, "") // the same facts
		one.reports(r, false, "")

		one.facts.RestartPending = true
		one.reports(r, false, reports.BodyWanted)
		one.reports(r, true, "")
		one.want(5, never, 0)
		one.licenses = nil
		one.reports(r, false, reports.BodyWanted)
		one.reports(r, true, "")
		one.want(7, never, 0)
		one.reports(r, false, "")

		var bodies, lists []string
		if err := o.db.Read(t.Context(), func(tx *db.Tx) error {
			bodies, lists = nil, nil
			for query, into := range map[string]*[]string{
				`SELECT body FROM facts ORDER BY length(body)`: &bodies, `SELECT licenses FROM installation_licenses ORDER BY licenses`: &lists,
			} {
				rows, err := tx.Query(query)
				if err != nil {
					return err
				}
				for rows.Next() {
					var s string
					if err := rows.Scan(&s); err != nil {
						return err
					}
					*into = append(*into, s)
				}
				if err := rows.Err(); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{
			`{"arch":"x64","edition":"standard","program":"appliance-os"}`,
			`{"arch":"x64","edition":"standard","program":"appliance-os","restartPending":true}`,
		}, bodies); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"", "first.of.two"}, lists); diff != "" {
			t.Error(diff)
		}
	})
}

// A check-in that brings nothing new asks no database: it works without one.
func TestCheckInAsksNoDatabase(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(nil), o.box("one")
		b.reports(r, true, "")
		text := b.say(true, nil)
		sent(t, r, text, "")
		if err := o.db.Close(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			b.reports(r, false, "")
		}
		if err := r.Report(t.Context(), b.say(true, nil)); err == nil || problem.CodeOf(err) != "" {
			t.Errorf("stored without a database: %v", err)
		}
	})
}

// Two branches of a counter are a clone, whoever notices; nothing is refused.
func TestClones(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(nil), o.box("one")
		b.reports(r, true, "")
		b.reports(r, false, "")
		copied := *b
		b.reports(r, false, "")
		b.reports(r, false, "")
		b.want(1, never, 0) // the rest is in memory

		o.at(time.Minute)
		copied.reports(r, false, "") // the third, a second time: at once on the disk
		b.want(4, time.Minute, time.Minute)

		o.at(2 * time.Minute)
		b.reports(r, false, "")
		copied.reports(r, false, "")
		b.want(4, time.Minute, time.Minute) // known already, so it waits
		r.Close()
		b.want(5, 2*time.Minute, 2*time.Minute)

		o.at(3 * time.Minute)
		r = o.room(nil)
		copied.reports(r, true, "") // with bodies
		b.want(5, 3*time.Minute, 3*time.Minute)
	})
}

// A proxy that sends a report twice makes no clone, with bodies or without.
func TestRepeatsAreNoClones(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(nil), o.box("one")
		first := b.say(true, nil)
		sent(t, r, first, "")
		sent(t, r, first, "")
		second := b.say(false, nil)
		sent(t, r, second, "")
		sent(t, r, second, "")
		r.Close()
		b.want(2, never, 0)

		r = o.room(nil)
		same := b.say(false, func(d *wire.DeviceReport) { d.Counter = 2 })
		sent(t, r, same, "") // another report of that number is one
		b.want(2, 0, 0)
	})
}

// Who was never activated is refused, with bodies and without, and leaves no
// trace: not even the turn of a writer. Once activated, it reports.
func TestStrangersAreRefused(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(func(c *reports.Config) { c.Patience = time.Second }), o.stranger("one")
		// Another one writes for long: who waits for a turn waits in vain.
		writing, done := make(chan struct{}), make(chan error, 1)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		go func() {
			done <- o.db.Write(context.Background(), func(*db.Tx) error {
				close(writing)
				<-ctx.Done()
				return nil
			})
		}()
		<-writing
		b.reports(r, false, reports.UnknownInstallation)
		b.reports(r, true, reports.UnknownInstallation)
		end()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.Close()
		if _, found := b.row(); found {
			t.Error("a row")
		}
		var facts, licenses int
		if err := o.db.Read(t.Context(), func(tx *db.Tx) error {
			return tx.QueryRow(`SELECT (SELECT count(*) FROM facts), (SELECT count(*) FROM installation_licenses)`).Scan(&facts, &licenses)
		}); err != nil || facts+licenses > 0 {
			t.Errorf("%d facts and %d lists, %v", facts, licenses, err)
		}

		o.keys.Store(b.Fingerprint, b.PublicKey)
		r = o.room(nil)
		thief := *b
		thief.Key = licensetest.Key("thief")
		for _, whole := range []bool{false, true} {
			thief.reports(r, whole, reports.OtherKey) // before its owner ever reported
		}
		b.reports(r, false, reports.BodyWanted)
		b.reports(r, true, "")
		b.want(4, never, 0)
	})
}

// The first report binds the key, in memory and in the row.
func TestKeysAreBound(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(nil), o.box("one")
		b.reports(r, true, "")
		thief := *b
		thief.Key = licensetest.Key("thief")
		thief.counter = 100
		for _, whole := range []bool{false, true} {
			thief.reports(r, whole, reports.OtherKey)
			thief.reports(o.room(nil), whole, reports.OtherKey) // which does not remember it
		}
		b.reports(r, false, "")
		r.Close()
		b.want(2, never, 0)
	})
}

// Being seen is written at most once an hour, and when the room closes.
func TestSeenIsWrittenHourly(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(func(c *reports.Config) { c.Every = time.Millisecond }), o.box("one")
		b.reports(r, true, "")
		o.at(59 * time.Minute)
		b.reports(r, false, "")
		time.Sleep(20 * time.Millisecond) // many times around
		b.want(1, never, 0)
		o.at(time.Hour)
		b.reports(r, false, "")
		for i, _ := b.row(); i.Counter != 3; i, _ = b.row() {
			time.Sleep(time.Millisecond)
		}
		b.want(3, never, time.Hour)
		o.at(time.Hour + time.Minute)
		b.reports(r, false, "")
		time.Sleep(20 * time.Millisecond)
		b.want(3, never, time.Hour)
		r.Close()
		b.want(4, never, time.Hour+time.Minute)
		b.reports(r, false, reports.Closing)
		b.reports(r, true, reports.Closing)
		b.want(4, never, time.Hour+time.Minute)
	})
}

// Memory has a limit; what it forgets is neither lost nor mistaken for a clone.
func TestMemoryIsBounded(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r := o.room(func(c *reports.Config) { c.Remember, c.MaxBatch = 3, 2 })
		boxes := make([]*box, 8)
		for i := range boxes {
			boxes[i] = o.box(fmt.Sprint(i))
			boxes[i].reports(r, true, "")
		}
		for range 3 {
			for _, b := range boxes {
				b.reports(r, false, "")
			}
		}
		r.Close()
		for _, b := range boxes {
			b.want(4, never, 0)
		}

		r = o.room(func(c *reports.Config) { c.Remember = 3 })
		for _, b := range boxes {
			b.reports(r, false, "")
		}
		if err := o.db.Close(); err != nil {
			t.Fatal(err)
		}
		remembered := 0
		for _, b := range boxes {
			if r.Report(t.Context(), b.say(false, nil)) == nil {
				remembered++
			}
		}
		if remembered != 3 {
			t.Errorf("%d are remembered", remembered)
		}
	})
}

// Processes on one database agree: what one stored the other finds, and a change
// that it has not seen it notices within an hour.
func TestTwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := o.room(func(c *reports.Config) { c.Every = time.Millisecond }), o.room(nil)
		b := o.box("one")
		b.reports(here, true, "")
		b.reports(there, false, "")
		earlier := b.facts
		b.facts.AuditMode = true
		b.reports(there, true, "")
		b.reports(here, false, "") // remembers other facts, and looks
		b.reports(there, false, "")
		b.facts.AuditMode, b.facts.OfflineImage = false, true
		b.reports(there, true, "")

		o.at(time.Hour)
		b.facts = earlier
		b.facts.AuditMode = true // what it remembers, and nobody else
		b.reports(here, false, "")
		for i, _ := b.row(); i.Counter != 7; i, _ = b.row() {
			time.Sleep(time.Millisecond)
		}
		deadline := time.Now().Add(10 * time.Second)
		for {
			err := here.Report(t.Context(), b.say(false, nil))
			if problem.CodeOf(err) == reports.BodyWanted {
				break
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("still believed: %v", err)
			}
		}
		b.reports(here, true, "")
		i, _ := b.row()
		if i.Cloned != 0 || i.Counter != b.counter {
			t.Errorf("%+v", i)
		}
	})
}

// Many devices report at once, to two processes; each is there in the end, once
// and with its last word, and no two were taken for one.
func TestManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		rooms := []*reports.Room{o.room(nil), o.room(nil)}
		const devices, rounds = 24, 4
		boxes := make([]*box, devices)
		texts := make([][]string, devices)
		for i := range boxes {
			b := o.box(fmt.Sprint(i))
			for n := range rounds {
				b.facts.Components = []program.ComponentID{program.ComponentID(fmt.Sprint("round-", n))}
				texts[i] = append(texts[i], b.say(true, nil), b.say(false, nil))
			}
			boxes[i] = b
		}
		var wait sync.WaitGroup
		for i := range boxes {
			wait.Go(func() {
				for n, text := range texts[i] {
					if err := rooms[(i+n)%2].Report(context.Background(), text); err != nil {
						t.Errorf("device %d, report %d: %v", i, n, err)
					}
				}
			})
		}
		wait.Wait()
		for _, r := range rooms {
			r.Close()
		}
		for _, b := range boxes {
			b.want(2*rounds, never, 0)
		}
	})
}

// A nonce is this server's own and lives a few minutes.
func TestNonces(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(nil), o.box("one")
		sent(t, r, b.say(true, func(d *wire.DeviceReport) { d.Nonce = "mine" }), frontdoor.NonceWrong)
		old := b.say(true, nil)
		o.at(6 * time.Minute)
		sent(t, r, old, frontdoor.NonceWrong)
		sent(t, r, b.say(true, func(d *wire.DeviceReport) { d.Audience = "another" }), wire.ReportAudience)
		if _, found := b.row(); found {
			t.Error("stored")
		}
	})
}

// behind is the part of an authority that answers reports.
type behind struct{ *reports.Room }

func (behind) Metadata(context.Context, string) ([]byte, error)               { return nil, notHere() }
func (behind) Activate(context.Context, []string) ([]frontdoor.Answer, error) { return nil, notHere() }
func (behind) Payload(context.Context, update.Digest) (*frontdoor.Payload, error) {
	return nil, notHere()
}
func (behind) History(context.Context, program.ID) (*wire.History, error) { return nil, notHere() }

func notHere() error { return problem.New(problem.NotFound, frontdoor.ProgramUnknown, "program", "") }

// Over the wire a device is asked for bodies by a problem of a kind that tells it
// so, and is answered with nothing when all is well.
func TestOverTheWire(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		r, b := o.room(nil), o.box("one")
		server := httptest.NewServer(frontdoor.Handler(frontdoor.Config{Backend: behind{r}, Nonces: o.nonces, Now: o.clock}))
		defer server.Close()
		client, err := wire.NewClient(wire.Config{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := problem.As(client.Report(t.Context(), b.say(false, nil))); !ok || p.Kind != problem.NotFound || p.Code != reports.BodyWanted {
			t.Fatalf("%v", p)
		}
		if err := client.Report(t.Context(), b.say(true, nil)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(server.URL+"/v1/reports", "application/json", strings.NewReader(`{"report":"`+b.say(false, nil)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Errorf("status %s", resp.Status)
		}
	})
}
