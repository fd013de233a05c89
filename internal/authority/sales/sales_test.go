package sales

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/purchase"
)

// start is 2021-01-12, the last day of year 1, in Los Angeles, and the day after in UTC.
var start = time.Date(2021, 1, 13, 7, 59, 59, 0, time.UTC)

var (
	owner = access.LocalUser("ann")
	staff = access.Actor{Kind: access.Operator, ID: "op-sales", Roles: []access.Role{access.Sales}, Tenant: access.All}
)

// desk is an office with a clock that a story moves, the program windows-7, a
// customer, and partners.
type desk struct {
	*testing.T
	db     *db.DB
	office *Office
	ring   *keyring.Ring

	mu  sync.Mutex
	now time.Time

	contoso                  Customer
	direct, provider, resell Partner
}

func each(t *testing.T, story func(d *desk)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		d := &desk{T: t, now: start}
		c.Now = func() time.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.now }
		d.db = dbtest.Open(t, c)
		d.open()
		story(d)
		report, err := audit.Verify(t.Context(), d.db)
		if err = errors.Join(err, report.Err()); err != nil || report.Rows == 0 {
			t.Errorf("audit: %+v, %v", report, err)
		}
	})
}

func (d *desk) open() {
	sealing := filepath.Join(d.TempDir(), "sealing")
	d.ok(keyring.NewSealingKey(sealing, rand.Reader))
	aead, err := keyring.SealingKey(sealing)
	d.ok(err)
	vault, err := keyring.OpenVault(d.Context(), d.db, aead)
	d.ok(err)
	w, err := audit.NewWriter("test")
	d.ok(err)
	d.ring = keyring.New(keyring.Config{DB: d.db, Audit: w, Vault: vault})
	d.office = New(Config{DB: d.db, Audit: w, Keys: d.ring})
	_, fresh, err := d.office.Import(d.Context(), owner, "windows-7.yaml", windows7(d.T))
	if d.ok(err); !fresh {
		d.Fatal("nothing was imported")
	}
	d.contoso = d.customer(Customer{Name: "Contoso Ltd", TenantID: "11111111-AAAA-4111-8111-111111111111"})
	d.direct = d.partner(Partner{Name: "Fabrikam", Kind: Direct, Channels: []program.ChannelID{"csp"}})
	d.provider = d.partner(Partner{Name: "Provisio", Kind: Provider, Channels: []program.ChannelID{"csp"}})
	d.resell = d.partner(Partner{Name: "Litware", Kind: Reseller, Provider: "provisio", Channels: []program.ChannelID{"csp"}})
}

func windows7(t testing.TB) []byte {
	t.Helper()
	text, err := programs.File("windows-7")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// amended is the windows-7 file with replacements made, each of which must be there.
func amended(t testing.TB, pairs ...string) []byte {
	t.Helper()
	text := string(windows7(t))
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the file has no %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return []byte(text)
}

func (d *desk) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) refused(err error, codes ...problem.Code) {
	d.Helper()
	var got []problem.Code
	for _, p := range problem.All(err) {
		got = append(got, p.Code)
	}
	if !cmp.Equal(got, codes) {
		d.Errorf("got %v, want %v", err, codes)
	}
}

func (d *desk) at(day string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = civil.MustParse(day).In(time.UTC).Add(20 * time.Hour)
}

func (d *desk) customer(c Customer) Customer {
	d.Helper()
	c, err := d.office.AddCustomer(d.Context(), staff, c)
	d.ok(err)
	return c
}

func (d *desk) partner(p Partner) Partner {
	d.Helper()
	p, err := d.office.AddPartner(d.Context(), staff, p)
	d.ok(err)
	return p
}

// volume asks for seats of windows-7 years 1, 2, … in dollars.
func volume(customer string, seats ...int) OrderIn {
	in := OrderIn{Program: "windows-7", Customer: customer, Channel: "volume", Currency: "USD"}
	for i, n := range seats {
		if n > 0 {
			in.Lines = append(in.Lines, purchase.Line{Year: program.Year(i + 1), Quantity: n})
		}
	}
	return in
}

func csp(customer, seller string, seats ...int) OrderIn {
	in := volume(customer, seats...)
	in.Channel, in.Seller = "csp", seller
	return in
}

func (d *desk) place(in OrderIn) (Order, []keyring.Key) {
	d.Helper()
	order, keys, err := d.office.Place(d.Context(), staff, in)
	d.ok(err)
	return order, keys
}

func (d *desk) keys(customer access.Tenant) []keyring.Key {
	d.Helper()
	keys, err := d.ring.List(d.Context(), owner, keyring.Filter{Customer: customer})
	d.ok(err)
	return keys
}

// use counts n installations on a key.
func (d *desk) use(id keyring.KeyID, n int) {
	d.Helper()
	d.ok(d.db.Write(d.Context(), func(tx *db.Tx) error {
		_, err := keyring.Count(tx, id, n)
		return err
	}))
}

func (d *desk) limits(customer access.Tenant) string {
	d.Helper()
	var all []string
	for _, k := range d.keys(customer) {
		all = append(all, fmt.Sprintf("year %d: %d", k.Year, k.Limit()))
	}
	return strings.Join(all, ", ")
}

// acts are the acts on objects of one sort, in order.
func (d *desk) acts(object string) []string {
	d.Helper()
	var out bytes.Buffer
	d.ok(audit.Export(d.Context(), d.db, audit.Query{Tenant: access.All}, &out))
	var acts []string
	for text := range strings.Lines(out.String()) {
		var row struct{ Act, Object string }
		d.ok(json.Unmarshal([]byte(text), &row))
		if strings.HasPrefix(row.Object, object) {
			acts = append(acts, row.Act)
		}
	}
	return acts
}

func partnerActor(p Partner) access.Actor {
	return access.Actor{Kind: access.Operator, ID: "op-" + p.Name, Roles: []access.Role{access.Partner}, Partner: p.ID}
}

func administrator(c Customer) access.Actor {
	return access.Actor{Kind: access.Operator, ID: "op-it", Roles: []access.Role{access.CustomerAdministrator}, Tenant: c.ID}
}

func TestOrderToKey(t *testing.T) {
	each(t, func(d *desk) {
		order, keys := d.place(volume("contoso LTD", 10))
		if len(keys) != 1 || keys[0].Limit() != 10 || keys[0].Year != 1 {
			d.Fatalf("keys %+v", keys)
		}
		want := Order{
			ID: order.ID, Customer: d.contoso.ID, Program: "windows-7", Version: 1, Track: "windows-7", Channel: "volume",
			Total: money.Amount{Currency: "USD", Minor: 50000}, Day: civil.MustParse("2021-01-12"), Placed: start, Actor: "operator/op-sales",
			Lines: []OrderLine{{Year: 1, SKU: order.Lines[0].SKU, Quantity: 10, Unit: money.Amount{Currency: "USD", Minor: 5000}, Amount: money.Amount{Currency: "USD", Minor: 50000}}},
		}
		dates := cmp.Comparer(func(a, b civil.Date) bool { return a == b })
		if diff := cmp.Diff(want, order, dates); diff != "" {
			d.Error(diff)
		}
		stored, err := d.office.Order(d.Context(), staff, order.ID)
		d.ok(err)
		if diff := cmp.Diff(order, stored, dates); diff != "" {
			d.Error(diff)
		}

		// rule K1: over all channels
		_, more := d.place(csp("contoso ltd", "Fabrikam", 5, 3))
		if more[0].ID != keys[0].ID || d.limits(d.contoso.ID) != "year 1: 15, year 2: 3" {
			d.Errorf("limits %s", d.limits(d.contoso.ID))
		}
		secret, err := d.ring.Reveal(d.Context(), owner, more[1].ID)
		d.ok(err)
		if secret.Tag() != 7002 {
			d.Errorf("the key of year 2 carries tag %d", secret.Tag())
		}
		// rule B1
		_, _, err = d.office.Place(d.Context(), staff, volume("contoso ltd", 0, 13))
		d.refused(err, purchase.YearsMissing)
		if d.limits(d.contoso.ID) != "year 1: 15, year 2: 3" {
			d.Errorf("after a refusal: %s", d.limits(d.contoso.ID))
		}
		if diff := cmp.Diff([]string{"program.import", "order.refuse"}, d.acts("program/")); diff != "" {
			d.Error(diff)
		}
		if diff := cmp.Diff([]string{"order.place", "order.place"}, d.acts("order/")); diff != "" {
			d.Error(diff)
		}
		// rule K18
		_, err = d.office.Correct(d.Context(), administrator(d.contoso), keys[0].ID, "shows too few")
		d.refused(err, keyring.NothingToCorrect)
		d.ok(d.db.Write(d.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE product_keys SET seats = 4 WHERE id = $1`, keys[0].ID)
			return err
		}))
		fixed, err := d.office.Correct(d.Context(), administrator(d.contoso), keys[0].ID, "shows too few")
		if err != nil || fixed.Limit() != 15 {
			d.Errorf("corrected: %+v, %v", fixed, err)
		}
	})
}

// rule K5: the allowance of the channel's terms is added once, and nothing is left
// of it when all seats are returned.
func TestAllowance(t *testing.T) {
	each(t, func(d *desk) {
		d.at("2021-02-01")
		_, fresh, err := d.office.Import(d.Context(), owner, "f", amended(d.T, "version: 1\n", "version: 2\n", "from: 2019-04-01\ntime", "from: 2021-02-01\ntime",
			"    seller: required\n    returns: true", "    seller: required\n    allowance: 5\n    returns: true"))
		if d.ok(err); !fresh {
			d.Fatal("not new")
		}
		order, keys := d.place(csp("contoso ltd", "Fabrikam", 10))
		if keys[0].Limit() != 15 {
			d.Errorf("limit %d", keys[0].Limit())
		}
		d.place(csp("contoso ltd", "Fabrikam", 10))
		if d.limits(d.contoso.ID) != "year 1: 25" {
			d.Error(d.limits(d.contoso.ID))
		}
		_, err = d.office.Return(d.Context(), partnerActor(d.direct), ReturnIn{Order: order.ID, Year: 1, Quantity: 10})
		d.ok(err)
		if d.limits(d.contoso.ID) != "year 1: 15" {
			d.Error(d.limits(d.contoso.ID))
		}
	})
}

// Orders and returns at the same time keep rule B1: never more seats of year 2 than
// of year 1, and each seat returned once.
func TestAtTheSameTime(t *testing.T) {
	each(t, func(d *desk) {
		d.at("2021-02-01")
		first, _ := d.place(csp("contoso ltd", "Fabrikam", 6))
		var all sync.WaitGroup
		var mu sync.Mutex
		sold, returned := 0, 0
		for range 8 {
			all.Go(func() { // two seats of year 2 at a time
				_, _, err := d.office.Place(d.Context(), staff, csp("contoso ltd", "Fabrikam", 0, 2))
				mu.Lock()
				defer mu.Unlock()
				switch problem.CodeOf(err) {
				case "":
					if sold += 2; err != nil {
						d.Error(err)
					}
				case purchase.YearsMissing:
				default:
					d.Error(err)
				}
			})
			all.Go(func() { // one seat of year 1 at a time
				_, err := d.office.Return(d.Context(), partnerActor(d.direct), ReturnIn{Order: first.ID, Year: 1, Quantity: 1})
				mu.Lock()
				defer mu.Unlock()
				switch problem.CodeOf(err) {
				case "":
					if returned++; err != nil {
						d.Error(err)
					}
				case purchase.ReturnTooMany, purchase.ReturnLaterFirst:
				default:
					d.Error(err)
				}
			})
		}
		all.Wait()
		// rule B1
		left := 6 - returned
		if sold > left || left-sold > 1 || sold == 0 && returned != 6 {
			d.Errorf("%d of year 1 left, %d of year 2 sold", left, sold)
		}
		for _, k := range d.keys(d.contoso.ID) {
			if want := map[program.Year]int{1: left, 2: sold}[k.Year]; k.Seats != want {
				d.Errorf("key of year %d has %d seats, want %d", k.Year, k.Seats, want)
			}
		}
	})
}

func TestReturn(t *testing.T) {
	each(t, func(d *desk) {
		order, keys := d.place(csp("contoso ltd", "Fabrikam", 10, 10))
		actor := partnerActor(d.direct)
		give := func(actor access.Actor, year program.Year, n int) error {
			_, err := d.office.Return(d.Context(), actor, ReturnIn{Order: order.ID, Year: year, Quantity: n})
			return err
		}
		// rule B14: not before the first day of the year bought, in the program's time zone
		d.refused(give(actor, 2, 1), purchase.ReturnTooEarly)
		d.mu.Lock()
		d.now = start.Add(time.Second)
		d.mu.Unlock()
		d.refused(give(actor, 1, 1), purchase.ReturnLaterFirst)
		d.use(keys[1].ID, 7)
		d.refused(give(actor, 2, 4), purchase.ReturnActivated)
		d.refused(give(staff, 2, 1), purchase.ReturnNotBySeller)
		d.refused(give(partnerActor(d.resell), 2, 1), OrderUnknown)
		d.refused(give(administrator(d.contoso), 2, 1), access.Forbidden)
		d.ok(give(actor, 2, 3))
		d.refused(give(actor, 2, 8), purchase.ReturnTooMany)
		done, err := d.office.Return(d.Context(), staff, ReturnIn{Order: order.ID, Year: 1, Quantity: 2, AskedBy: "fabrikam"})
		d.ok(err)
		if done.Amount != (money.Amount{Currency: "USD", Minor: 10000}) || done.Day != civil.MustParse("2021-01-13") {
			d.Errorf("%+v", done)
		}
		if d.limits(d.contoso.ID) != "year 1: 8, year 2: 7" {
			d.Error(d.limits(d.contoso.ID))
		}
		after, err := d.office.Order(d.Context(), actor, order.ID)
		d.ok(err)
		if after.Lines[0].Returned != 2 || after.Lines[1].Returned != 3 || after.Total != order.Total {
			d.Errorf("%+v", after)
		}
		all, err := d.office.Returns(d.Context(), actor, order.ID)
		d.ok(err)
		if len(all) != 2 {
			d.Errorf("returns %+v", all)
		}
		inVolume, _ := d.place(volume("contoso ltd", 1))
		_, err = d.office.Return(d.Context(), staff, ReturnIn{Order: inVolume.ID, Year: 1, Quantity: 1, AskedBy: "fabrikam"})
		d.refused(err, purchase.ReturnNotTaken)
		_, err = d.office.Return(d.Context(), actor, ReturnIn{Order: order.ID, Year: 3, Quantity: 1})
		d.refused(err, purchase.ReturnTooEarly, purchase.ReturnTooMany)
	})
}

func TestSellers(t *testing.T) {
	each(t, func(d *desk) {
		d.at("2021-02-01")
		// rule B12
		order, _ := d.place(csp("contoso ltd", "litware", 1))
		if order.Seller != d.resell.ID || order.Provider != d.provider.ID {
			d.Errorf("%+v", order)
		}
		unregistered := d.partner(Partner{Name: "Wingtip", Kind: Direct})
		_, _, err := d.office.Place(d.Context(), staff, csp("contoso ltd", "Wingtip", 1))
		d.refused(err, purchase.SellerUnregistered)
		_, _, err = d.office.Place(d.Context(), staff, csp("contoso ltd", "", 1))
		d.refused(err, purchase.SellerMissing)
		_, err = d.office.Register(d.Context(), staff, "wingtip", []program.ChannelID{"csp"})
		d.ok(err)
		d.place(csp("contoso ltd", string(unregistered.ID), 1))
		_, _, err = d.office.Place(d.Context(), staff, csp("contoso ltd", "nobody", 1))
		d.refused(err, PartnerUnknown)

		// A partner acts for itself, or for the resellers that buy through it.
		byPartner := func(p Partner, in OrderIn) error {
			_, _, err := d.office.Place(d.Context(), partnerActor(p), in)
			return err
		}
		d.ok(byPartner(d.provider, csp("contoso ltd", "litware", 1)))
		d.refused(byPartner(unregistered, csp("contoso ltd", "litware", 1)), NotTheSeller)
		d.refused(byPartner(unregistered, volume("contoso ltd", 1)))
		// Whom it has not sold to, it names by what cannot be guessed.
		other := d.customer(Customer{Name: "Northwind", TenantID: "t-north"})
		d.refused(byPartner(d.direct, csp("northwind", "", 1)), CustomerUnknown)
		d.ok(byPartner(d.direct, csp("T-North", "", 1)))
		d.ok(byPartner(d.direct, csp("northwind", "", 1)))

		// What a partner sees.
		orders := func(actor access.Actor) int {
			all, err := d.office.Orders(d.Context(), actor, OrderFilter{})
			d.ok(err)
			return len(all)
		}
		if a, b, c := orders(partnerActor(d.direct)), orders(partnerActor(d.provider)), orders(staff); a != 2 || b != 2 || c != 6 {
			d.Errorf("orders %d %d %d", a, b, c)
		}
		_, err = d.office.Order(d.Context(), partnerActor(d.direct), order.ID)
		d.refused(err, OrderUnknown)
		customers, err := d.office.Customers(d.Context(), partnerActor(d.direct), "", 0)
		d.ok(err)
		if len(customers) != 1 || customers[0].ID != other.ID {
			d.Errorf("customers %+v", customers)
		}
		narrowed, err := d.office.ActFor(d.Context(), partnerActor(d.direct), "northwind")
		d.ok(err)
		keys, err := d.ring.List(d.Context(), narrowed, keyring.Filter{})
		d.ok(err)
		if len(keys) != 1 || keys[0].Customer != other.ID {
			d.Errorf("keys %+v", keys)
		}
		_, err = d.office.ActFor(d.Context(), partnerActor(d.direct), "contoso ltd")
		d.refused(err, CustomerUnknown)

		// rule B18
		list, err := d.office.Partners(d.Context(), "csp", "")
		d.ok(err)
		if len(list) != 4 {
			d.Errorf("public list %+v", list)
		}
	})
}

// rule P6
func TestEmbedded(t *testing.T) {
	each(t, func(d *desk) {
		d.at("2021-02-01")
		d.partner(Partner{Name: "Maker", Kind: OEM, Channels: []program.ChannelID{"oem"}})
		in := OrderIn{
			Program: "windows-7", Customer: "contoso ltd", Channel: "oem", Product: "windows-embedded-standard-7", Currency: "USD", Seller: "maker",
			Lines: []purchase.Line{{Year: 1, Quantity: 2}}, SellerPrices: map[program.Year]money.Amount{1: {Currency: "USD", Minor: 7000}},
		}
		place := func(in OrderIn) (Order, error) {
			order, _, err := d.office.Place(d.Context(), staff, in)
			return order, err
		}
		_, err := place(in)
		d.refused(err, purchase.ContractMissing)
		add := func(number string, days civil.Range) {
			_, err := d.office.AddAgreement(d.Context(), staff, "contoso ltd", Agreement{
				Program: "windows-7", Channel: "oem", Number: number, Partner: "maker", Contract: "EPSO-1", Holder: purchase.HeldByOEM, Valid: days,
			})
			d.ok(err)
		}
		add("e-old", civil.Range{Last: civil.MustParse("2021-01-31")})
		add("e-new", civil.Range{First: civil.MustParse("2021-02-01")})
		in.Agreement = "E-old"
		_, err = place(in)
		d.refused(err, purchase.ContractNotValid)
		in.Agreement, in.Channel, in.Seller = "E-New", "", ""
		order, err := place(in)
		d.ok(err)
		if order.Contract != "EPSO-1" || order.Holder != purchase.HeldByOEM || order.Agreement != "E-NEW" || order.Track != "windows-embedded-standard-7" {
			d.Errorf("%+v", order)
		}
		again, err := d.office.Order(d.Context(), staff, order.ID)
		d.ok(err)
		if again.Holder != purchase.HeldByOEM || again.Contract != "EPSO-1" {
			d.Errorf("%+v", again)
		}
		in.Channel = "volume"
		_, err = place(in)
		d.refused(err, AgreementOther)
		in.Agreement = "E-NONE"
		_, err = place(in)
		d.refused(err, AgreementUnknown)
		in.Agreement = ""
		_, err = place(in)
		if problem.CodeOf(problem.All(err)[0]) != purchase.EmbeddedOnly {
			d.Errorf("through a channel for others: %v", err)
		}
		// The agreement's number names customer and channel alike.
		in.Customer, in.Channel = "e-new", ""
		_, err = place(in)
		d.ok(err)
		// rule K22: the embedded key is another one than the standard one
		d.place(volume("contoso ltd", 1))
		if n := len(d.keys(d.contoso.ID)); n != 2 {
			d.Errorf("%d keys", n)
		}
	})
}

func TestCustomers(t *testing.T) {
	each(t, func(d *desk) {
		add := func(c Customer) error { _, err := d.office.AddCustomer(d.Context(), staff, c); return err }
		d.refused(add(Customer{Name: " CONTOSO  ltd"}), CustomerExists)
		d.refused(add(Customer{Name: "Contoso", TenantID: "11111111-aaaa-4111-8111-111111111111 "}), TenantTaken)
		d.refused(add(Customer{Name: " "}), NameBad)
		_, err := d.office.AddCustomer(d.Context(), administrator(d.contoso), Customer{Name: "Mine"})
		d.refused(err, access.Forbidden)
		north := d.customer(Customer{Name: "Northwind", Qualifications: []program.QualificationID{"education"}})
		agreement, err := d.office.AddAgreement(d.Context(), staff, "northwind", Agreement{Program: "windows-7", Channel: "volume", Number: " v-77 "})
		d.ok(err)
		for _, bad := range []Agreement{
			{Program: "windows-7", Channel: "volume"}, {Program: "windows-7", Channel: "nowhere", Number: "1"},
			{Program: "windows-7", Channel: "volume", Number: "1", Contract: "c"}, {Program: "windows-7", Channel: "volume", Number: "1", Holder: "oem"},
		} {
			_, err := d.office.AddAgreement(d.Context(), staff, "northwind", bad)
			d.refused(err, AgreementBad)
		}
		_, err = d.office.AddAgreement(d.Context(), staff, "contoso ltd", Agreement{Program: "windows-7", Channel: "volume", Number: "V-77"})
		d.refused(err, AgreementExists)
		_, err = d.office.AddAgreement(d.Context(), staff, "contoso ltd", Agreement{Program: "windows-8", Channel: "volume", Number: "V-78"})
		d.refused(err, ProgramUnknown)

		// rule S3: number, full name or tenant id; and the id
		for _, ref := range []string{string(north.ID), " northwind ", "NORTHWIND", "v-77"} {
			if c, err := d.office.Customer(d.Context(), staff, ref); err != nil || c.ID != north.ID {
				d.Errorf("%q: %+v, %v", ref, c, err)
			}
		}
		if c, err := d.office.Customer(d.Context(), staff, "11111111-aaaa-4111-8111-111111111111"); err != nil || c.ID != d.contoso.ID {
			d.Errorf("by tenant id: %+v, %v", c, err)
		}
		for _, ref := range []string{"", "North", "v-7"} {
			_, err := d.office.Customer(d.Context(), staff, ref)
			d.refused(err, CustomerUnknown)
		}
		// rule B19
		own, err := d.office.Customer(d.Context(), administrator(north), "northwind")
		if err != nil || own.TenantID != north.TenantID {
			d.Errorf("%+v, %v", own, err)
		}
		agreements, err := d.office.Agreements(d.Context(), administrator(north), "northwind")
		d.ok(err)
		if len(agreements) != 1 || agreements[0].ID != agreement.ID || agreements[0].Number != "V-77" {
			d.Errorf("%+v", agreements)
		}
		_, err = d.office.Customer(d.Context(), access.Actor{Tenant: north.ID}, "northwind")
		d.refused(err, access.AskAdministrator)
		for _, ref := range []string{"northwind", string(north.ID), "v-77"} {
			_, err = d.office.Customer(d.Context(), administrator(d.contoso), ref)
			d.refused(err, CustomerUnknown)
		}
		names := func(actor access.Actor, after string) []string {
			all, err := d.office.Customers(d.Context(), actor, after, 0)
			d.ok(err)
			var names []string
			for _, c := range all {
				names = append(names, c.Name)
			}
			return names
		}
		if diff := cmp.Diff([][]string{{"Contoso Ltd", "Northwind"}, {"Northwind"}, {"Northwind"}}, [][]string{names(staff, ""), names(staff, "Contoso Ltd"), names(administrator(north), "")}); diff != "" {
			d.Error(diff)
		}

		_, err = d.office.AddPartner(d.Context(), staff, Partner{Name: "FABRIKAM", Kind: Direct})
		d.refused(err, PartnerExists)
		_, err = d.office.AddPartner(d.Context(), staff, Partner{Name: "X", Kind: "friend"})
		d.refused(err, PartnerKindBad)
		_, err = d.office.AddPartner(d.Context(), staff, Partner{Name: "X", Kind: Reseller})
		d.refused(err, ProviderBad)
		_, err = d.office.AddPartner(d.Context(), staff, Partner{Name: "X", Kind: Reseller, Provider: d.direct.ID})
		d.refused(err, ProviderBad)
	})
}

func TestQuote(t *testing.T) {
	each(t, func(d *desk) {
		d.customer(Customer{Name: "Adatum", Qualifications: []program.QualificationID{"windows-enterprise-sa-or-e3"}})
		total := func(actor access.Actor, in OrderIn) (string, []problem.Code) {
			d.Helper()
			q, err := d.office.Quote(d.Context(), actor, in)
			d.ok(err)
			var codes []problem.Code
			for _, p := range q.Refusals {
				codes = append(codes, p.Code)
			}
			return q.Total.String(), codes
		}
		for name, tc := range map[string]struct {
			in    OrderIn
			want  string
			codes []problem.Code
		}{
			"nobody named": {volume("", 10), "USD 500.00", nil},
			"a customer":   {volume("contoso ltd", 10), "USD 500.00", nil},
			// rule B7
			"one with a qualification":            {volume("adatum", 10), "USD 250.00", nil},
			"a year without the one before":       {volume("contoso ltd", 0, 1), "USD 100.00", []problem.Code{purchase.YearsMissing}},
			"without a seller, which a price can": {csp("contoso ltd", "", 10), "USD 500.00", nil},
			"on a day before the channel opened":  {func() OrderIn { in := csp("", "", 1); in.On = civil.MustParse("2019-12-01"); return in }(), "USD 50.00", []problem.Code{purchase.ChannelNotOpen}},
		} {
			got, codes := total(staff, tc.in)
			if got != tc.want || !cmp.Equal(codes, tc.codes, cmpopts.EquateEmpty()) {
				d.Errorf("%s: %s, %v", name, got, codes)
			}
		}
		// Holdings count, the customer's own only.
		d.place(volume("contoso ltd", 5))
		if _, codes := total(staff, volume("contoso ltd", 0, 5)); codes != nil {
			d.Errorf("with year 1 bought: %v", codes)
		}
		if _, codes := total(administrator(d.contoso), volume("", 0, 5)); codes != nil {
			d.Errorf("the customer itself: %v", codes)
		}
		if _, codes := total(staff, volume("adatum", 0, 5)); !cmp.Equal(codes, []problem.Code{purchase.YearsMissing}) {
			d.Errorf("another customer: %v", codes)
		}
		in := volume("contoso ltd", 1)
		in.Qualification = "windows-enterprise-sa-or-e3"
		_, err := d.office.Quote(d.Context(), staff, in)
		d.refused(err, QualificationNotHeld)
		in = volume("", 1)
		in.Program = "windows-8"
		_, err = d.office.Quote(d.Context(), staff, in)
		d.refused(err, ProgramUnknown)
		in = volume("", 1)
		in.On = civil.MustParse("2019-03-31")
		_, err = d.office.Quote(d.Context(), staff, in)
		d.refused(err, ProgramNotInForce)
		_, err = d.office.Quote(d.Context(), access.Actor{Roles: []access.Role{access.Publisher}, Tenant: access.All}, volume("", 1))
		d.refused(err, access.Forbidden)
	})
}

func TestOrders(t *testing.T) {
	each(t, func(d *desk) {
		north := d.customer(Customer{Name: "Northwind"})
		first, _ := d.place(volume("contoso ltd", 3, 2))
		d.at("2021-02-01")
		second, _ := d.place(volume("northwind", 1))
		d.at("2021-03-01")
		third, _ := d.place(volume("contoso ltd", 1))
		for name, tc := range map[string]struct {
			actor access.Actor
			f     OrderFilter
			want  []OrderID
		}{
			"all":         {staff, OrderFilter{}, []OrderID{first.ID, second.ID, third.ID}},
			"one page":    {staff, OrderFilter{Limit: 2}, []OrderID{first.ID, second.ID}},
			"the next":    {staff, OrderFilter{Limit: 2, After: second.ID}, []OrderID{third.ID}},
			"a customer":  {staff, OrderFilter{Customer: "contoso ltd"}, []OrderID{first.ID, third.ID}},
			"some days":   {staff, OrderFilter{Days: civil.Range{First: civil.MustParse("2021-01-13"), Last: civil.MustParse("2021-02-01")}}, []OrderID{second.ID}},
			"other":       {staff, OrderFilter{Program: "windows-8"}, nil},
			"its own":     {administrator(north), OrderFilter{}, []OrderID{second.ID}},
			"narrowed":    {staff.For(north.ID), OrderFilter{}, []OrderID{second.ID}},
			"without one": {partnerActor(d.direct), OrderFilter{}, nil},
		} {
			all, err := d.office.Orders(d.Context(), tc.actor, tc.f)
			d.ok(err)
			var ids []OrderID
			for _, order := range all {
				ids = append(ids, order.ID)
			}
			if diff := cmp.Diff(tc.want, ids); diff != "" {
				d.Errorf("%s: %s", name, diff)
			}
		}
		_, err := d.office.Order(d.Context(), administrator(north), first.ID)
		d.refused(err, OrderUnknown)
		_, err = d.office.Order(d.Context(), staff, "")
		d.refused(err, OrderUnknown)
		_, err = d.office.Orders(d.Context(), administrator(north), OrderFilter{Customer: "contoso ltd"})
		d.refused(err, CustomerUnknown)
	})
}
