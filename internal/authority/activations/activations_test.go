package activations_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/activations"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
)

func at() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }

// office is a real database with one customer's key and the room that counts.
type office struct {
	testing.TB
	db        *db.DB
	program   *program.Program
	authority *licensetest.Authority
	ring      *keyring.Ring
	room      *activations.Room
	writer    *audit.Writer
}

func open(t testing.TB, d *db.DB, maxBatch int) *office {
	t.Helper()
	sealing := filepath.Join(t.TempDir(), "sealing")
	if err := keyring.NewSealingKey(sealing, rand.Reader); err != nil {
		t.Fatal(err)
	}
	return openSealed(t, d, maxBatch, sealing)
}

// openSealed opens the office of a database with the sealing key that it has.
func openSealed(t testing.TB, d *db.DB, maxBatch int, sealing string) *office {
	t.Helper()
	text, err := programs.File("appliance-os")
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Parse("appliance-os.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{TB: t, db: d, program: p, authority: licensetest.NewAuthority(t, "vendor", p)}
	aead, err := keyring.SealingKey(sealing)
	if err != nil {
		t.Fatal(err)
	}
	vault, err := keyring.OpenVault(context.Background(), d, aead)
	if err != nil {
		t.Fatal(err)
	}
	if o.writer, err = audit.NewWriter("test"); err != nil {
		t.Fatal(err)
	}
	o.ring = keyring.New(keyring.Config{DB: d, Audit: o.writer, Vault: vault})
	o.room = activations.Open(activations.Config{
		DB: d, Keys: o.ring, Writer: o.writer, Authority: "vendor", Random: rand.Reader, MaxBatch: maxBatch,
		Program:  inForce(p),
		Customer: func(*db.Tx, access.Tenant) (string, error) { return "Contoso", nil },
		Issuer:   issuer(o),
	})
	t.Cleanup(o.room.Close)
	return o
}

// sell issues a key with seats for a customer and returns it, opened.
func (o *office) sell(customer access.Tenant, seats int) (productkey.Key, keyring.KeyID) {
	o.Helper()
	track := o.program.Tracks[0]
	var keys []keyring.Key
	err := o.db.Write(context.Background(), func(tx *db.Tx) (err error) {
		if _, err := tx.Exec(`INSERT INTO customers (id, name, folded, created_at) VALUES ($1, $1, $1, 0) ON CONFLICT DO NOTHING`, string(customer)); err != nil {
			return err
		}
		keys, err = o.ring.Seats(tx, access.LocalUser("ann"), customer, o.program.ID, track.ID, []keyring.Change{{Year: 1, Tag: track.Years[0].Tag, Seats: seats}})
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	key, err := o.ring.Reveal(context.Background(), access.LocalUser("ann"), keys[0].ID)
	if err != nil {
		o.Fatal(err)
	}
	return key, keys[0].ID
}

func (o *office) request(name string, key productkey.Key, change func(*activation.Params)) string {
	o.Helper()
	d := licensetest.NewDevice(name)
	p := activation.Params{
		Audience: "vendor", Program: o.program.ID, ActivationID: o.program.Tracks[0].Years[0].ActivationID, Identity: d.Identity, IssuedAt: at(),
		Facts: &device.Facts{Program: o.program.ID, Edition: "standard", Arch: o.program.Architectures[0]},
	}
	if change != nil {
		change(&p)
	}
	text, err := activation.NewRequest(p, key, jws.InMemory(d.Key))
	if err != nil {
		o.Fatal(err)
	}
	return text
}

func (o *office) activate(requests ...string) []frontdoor.Answer {
	o.Helper()
	answers, err := o.room.Activate(context.Background(), license.Online, requests)
	if err != nil {
		o.Fatal(err)
	}
	return answers
}

func (o *office) key(id keyring.KeyID) keyring.Key {
	o.Helper()
	var k keyring.Key
	if err := o.db.Read(context.Background(), func(tx *db.Tx) (err error) {
		k, err = keyring.Find(tx, access.All, id)
		return err
	}); err != nil {
		o.Fatal(err)
	}
	return k
}

// ledger counts what is stored under a key.
func (o *office) ledger(id keyring.KeyID) (n, highest int) {
	o.Helper()
	if err := o.db.Read(context.Background(), func(tx *db.Tx) error {
		return tx.QueryRow(`SELECT count(*), coalesce(max(ordinal), 0) FROM activations WHERE key_id = $1`, string(id)).Scan(&n, &highest)
	}); err != nil {
		o.Fatal(err)
	}
	return n, highest
}

func (o *office) intact() {
	o.Helper()
	if report, err := audit.Verify(context.Background(), o.db); err != nil || report.Err() != nil {
		o.Errorf("audit: %v, %v", err, report.Err())
	}
}

func issuer(o *office) func(*db.Tx, program.ID) (license.KeyID, ed25519.PrivateKey, error) {
	return func(*db.Tx, program.ID) (license.KeyID, ed25519.PrivateKey, error) {
		return "license-1", o.authority.License, nil
	}
}

func inForce(p *program.Program) func(*db.Tx, program.ID) (*program.Program, error) {
	return func(_ *db.Tx, id program.ID) (*program.Program, error) {
		if id == p.ID {
			return p, nil
		}
		return nil, nil //nolint:nilnil // no such program
	}
}

func each(t *testing.T, story func(t *testing.T, o *office)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		c.Now = at
		story(t, open(t, dbtest.Open(t, c), 0))
	})
}

// Counting: a new installation costs one, the same one again nothing, and at the
// limit nothing changes. rule K5, K7, K8
func TestCounting(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		key, id := o.sell("contoso", 2)
		one, two, three := o.request("one", key, nil), o.request("two", key, nil), o.request("three", key, nil)

		first := o.activate(one)[0]
		if first.Err != nil {
			t.Fatal(first.Err)
		}
		d := licensetest.NewDevice("one")
		held, rejected := license.Verify(o.authority.Verifier(d), []license.Token{first.License})
		if len(rejected) > 0 || !held.Covers(o.program.Tracks[0].ID, 1, o.program.Tracks[0].Years[0].Last) {
			t.Fatalf("the license does not hold: %v", rejected)
		}
		if c := held.Claims()[0]; c.Seat != 1 || c.Customer != "Contoso" || c.Kind != license.Online || c.LastFive != key.LastFive() {
			t.Errorf("claims %+v", c)
		}

		again := o.activate(one)[0]
		if again.License != first.License {
			t.Error("the same installation got another license")
		}
		answers := o.activate(two, three, one, two) // all of them in one batch
		if answers[0].Err != nil || problem.CodeOf(answers[1].Err) != activation.LimitReached || answers[2].License != first.License ||
			answers[3].License != answers[0].License {
			t.Errorf("answers %+v", answers)
		}
		if k := o.key(id); k.Used != 2 || k.Remaining() != 0 {
			t.Errorf("used %d, remaining %d", k.Used, k.Remaining())
		}
		if n, highest := o.ledger(id); n != 2 || highest != 2 {
			t.Errorf("%d activations, the last is seat %d", n, highest)
		}
		o.sell("contoso", 1) // one more seat
		if got := o.activate(three)[0]; got.Err != nil {
			t.Error(got.Err)
		}
		o.intact()
	})
}

// A reinstalled device is a new installation and costs a seat. rule K7
func TestReinstalledCostsOne(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		key, id := o.sell("contoso", 5)
		o.activate(o.request("one", key, nil))
		if got := o.activate(o.request("one", key, func(p *activation.Params) { p.Identity[0] ^= 1 }))[0]; got.Err != nil {
			t.Fatal(got.Err)
		}
		if k := o.key(id); k.Used != 2 {
			t.Errorf("used %d", k.Used)
		}
	})
}

// One bad request in a batch harms no other, and refusals change nothing. rule K13
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		key, id := o.sell("contoso", 10)
		blocked, blockedID := o.sell("fabrikam", 10)
		if _, err := o.ring.Block(context.Background(), access.LocalUser("ann"), blockedID, "found on a public page"); err != nil {
			t.Fatal(err)
		}
		stranger, err := productkey.New(productkey.Tag(o.program.Tracks[0].Years[0].Tag), [12]byte{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		good := o.request("good", key, nil)
		parts := strings.Split(good, ".")
		tests := []struct {
			request string
			want    problem.Code
		}{
			{o.request("a", stranger, nil), activation.KeyUnknown},
			{o.request("b", blocked, nil), activation.KeyBlocked},
			{o.request("c", key, func(p *activation.Params) { p.Facts.Edition = "community" }), activation.EditionIneligible},
			{o.request("d", key, func(p *activation.Params) { p.ActivationID = o.program.Tracks[0].Years[1].ActivationID }), activation.IDMismatch},
			{o.request("e", key, func(p *activation.Params) { p.Audience = "other" }), activation.WrongAudience},
			{parts[0] + "." + parts[1] + "." + strings.Split(o.request("f", key, nil), ".")[2], activation.RequestSignature},
			{"nothing", activation.RequestMalformed},
			{good, ""},
		}
		var requests []string
		for _, tt := range tests {
			requests = append(requests, tt.request)
		}
		for i, a := range o.activate(requests...) {
			if problem.CodeOf(a.Err) != tests[i].want {
				t.Errorf("request %d: %v, want %q", i, a.Err, tests[i].want)
			}
		}
		if k := o.key(id); k.Used != 1 {
			t.Errorf("used %d, want only the good one", k.Used)
		}
		if k := o.key(blockedID); k.Used != 0 {
			t.Errorf("blocked key used %d", k.Used)
		}
		o.intact()
	})
}

// 64 clients at once on 50 seats: exactly 50 licenses, each its own seat. rule K5
func TestSixtyFourClientsOnFiftySeats(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		const clients, seats = 64, 50
		key, id := o.sell("contoso", seats)
		requests := make([]string, clients)
		for i := range requests {
			requests[i] = o.request(fmt.Sprint("device ", i), key, nil)
		}
		answers := make([]frontdoor.Answer, clients)
		var wait sync.WaitGroup
		for i := range clients {
			wait.Go(func() {
				got, err := o.room.Activate(context.Background(), license.Online, requests[i:i+1])
				if err != nil {
					t.Error(err)
					return
				}
				answers[i] = got[0]
			})
		}
		wait.Wait()
		licenses := map[license.Token]bool{}
		refused := 0
		for _, a := range answers {
			switch {
			case a.Err == nil:
				licenses[a.License] = true
			case problem.CodeOf(a.Err) == activation.LimitReached:
				refused++
			default:
				t.Error(a.Err)
			}
		}
		if len(licenses) != seats || refused != clients-seats {
			t.Errorf("%d licenses and %d refusals", len(licenses), refused)
		}
		if n, highest := o.ledger(id); n != seats || highest != seats {
			t.Errorf("%d rows, the last is seat %d", n, highest)
		}
		o.intact()
	})
}

// Two processes on one PostgreSQL count on one key and never past it.
func TestTwoProcessesOnOneKey(t *testing.T) {
	c := db.Config{URL: dbtest.PostgreSQL(t), Migrations: schema.Migrations(), Now: at}
	o := open(t, dbtest.Open(t, c), 8)
	second, err := audit.NewWriter("second")
	if err != nil {
		t.Fatal(err)
	}
	other := activations.Open(activations.Config{
		DB: dbtest.Open(t, c), Keys: o.ring, Writer: second, Authority: "vendor", Random: rand.Reader, MaxBatch: 8,
		Program:  inForce(o.program),
		Customer: func(*db.Tx, access.Tenant) (string, error) { return "Contoso", nil },
		Issuer:   issuer(o),
	})
	t.Cleanup(other.Close)
	key, id := o.sell("contoso", 50)
	var wait sync.WaitGroup
	for i := range 64 {
		room := []*activations.Room{o.room, other}[i%2]
		request := o.request(fmt.Sprint("device ", i), key, nil)
		wait.Go(func() {
			if _, err := room.Activate(context.Background(), license.Online, []string{request}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n, highest := o.ledger(id); n != 50 || highest != 50 {
		t.Errorf("%d rows, the last is seat %d", n, highest)
	}
	if k := o.key(id); k.Used != 50 {
		t.Errorf("used %d", k.Used)
	}
	o.intact()
}

// What was in the queue is answered when the room closes; later requests are refused.
func TestClose(t *testing.T) {
	c := db.Config{Path: filepath.Join(t.TempDir(), "esu.db"), Migrations: schema.Migrations(), Now: at}
	d := dbtest.Open(t, c)
	o := open(t, d, 0)
	key, _ := o.sell("contoso", 100)
	room := activations.Open(activations.Config{
		DB: d, Keys: o.ring, Writer: o.writer, Authority: "vendor", Random: rand.Reader,
		Program:  inForce(o.program),
		Customer: func(*db.Tx, access.Tenant) (string, error) { return "Contoso", nil },
		Issuer:   issuer(o),
	})
	var wait sync.WaitGroup
	for i := range 20 {
		request := o.request(fmt.Sprint("device ", i), key, nil)
		wait.Go(func() {
			answers, err := room.Activate(context.Background(), license.Online, []string{request})
			if err == nil && answers[0].Err == nil && answers[0].License == "" {
				t.Error("neither license nor refusal")
			}
			if err != nil && problem.CodeOf(err) != activations.Closing {
				t.Error(err)
			}
		})
	}
	room.Close()
	wait.Wait()
	_, err := room.Activate(context.Background(), license.Online, []string{o.request("late", key, nil)})
	if problem.CodeOf(err) != activations.Closing {
		t.Errorf("after closing: %v", err)
	}
}
