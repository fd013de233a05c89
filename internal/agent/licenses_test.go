package agent

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// What a stolen server issues is valid, for it has the key. It can give more, and
// take nothing back.
func TestLicensesAreNotTakenBack(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	bought := m.status().Years[0].LicenseID
	st, err := m.load()
	fatal(t, err)
	i, err := m.installation(st)
	fatal(t, err)
	device := licensetest.Device{Installation: i.Installation}
	forge := func(year program.Year, change func(*license.Claims)) license.ID {
		t.Helper()
		c := v.Authority.Claims(t, device, "windows-7", year)
		change(&c)
		token := v.Authority.Sign(t, c)
		a, err := m.Accept(ctx, &wire.ActivationResults{Results: []wire.ActivationResult{{License: string(token)}}})
		fatal(t, err)
		if a.Results[0].Refused != nil {
			t.Fatal(a.Results[0].Refused)
		}
		return c.ID
	}
	stands := func(what string) {
		t.Helper()
		y := m.status().Years[0]
		same(t, what, []any{Licensed, bought, true}, []any{y.Status, y.LicenseID, y.ExpiresAt.IsZero()})
	}

	forge(1, hosted(v, time.Hour))
	stands("beside one that expires")
	v.Later(2 * time.Hour)
	stands("after it has expired")

	// one under the same id, for another year
	forge(2, func(c *license.Claims) { c.ID = bought })
	stands("beside another of its id")
	same(t, "activated years", []program.Year{1}, m.status().Activated)

	// many more: the device keeps a few, and never loses what it held first
	for n := range 10 {
		forge(1, hosted(v, time.Duration(n+1)*time.Minute))
		forge(1, func(c *license.Claims) { c.ID = license.ID(fmt.Sprintf("more-%d", n)) })
	}
	stands("after many")
	files, err := os.ReadDir(m.path(licensesDir))
	fatal(t, err)
	same(t, "files", maxLicenses+1, len(files)) // one is year 2's
	last := forge(1, func(*license.Claims) {})
	forge(1, hosted(v, time.Hour)) // worth less than any of them

	// the key is closed: what the thief issued goes, and the newest came with the rest
	list, err := license.NewClosedList([]license.ID{bought})
	fatal(t, err)
	closed := func() *knowledge {
		t.Helper()
		st, err := m.load()
		fatal(t, err)
		k, _, err := m.know(ctx, st, false)
		fatal(t, err)
		k.verifier.Keys, err = license.NewKeys(v.Authority.ID, license.VerificationKey{
			ID: "license-1", Use: license.UseLicense, Program: win, Epoch: 1, Closed: list.Digest(),
			Public: license.KeyBytes(v.Authority.License.Public().(ed25519.PublicKey)),
		})
		fatal(t, err)
		fatal(t, m.hold(k))
		return k
	}
	same(t, "without its list", 0, len(closed().valid))
	m.write(filepath.Join("var/lib/esu/closed", string(list.Digest())), string(list.Text()))
	k := closed()
	same(t, "claims", 1, len(k.held.Claims()))
	same(t, "stays", bought, k.held.Claims()[0].ID)
	same(t, "the newest is kept", true, slices.ContainsFunc(k.licenses, func(l kept) bool { return l.claims.ID == last }))
}

// Of too many, those go first that will never count.
func TestLicensesMakeRoom(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	k, add := holder(t, v)
	m := v.machine("one")
	fatal(t, m.own())
	fresh := func(change func(*license.Claims)) license.Token {
		l := add(1, change)
		fatal(t, m.keepLicense(k, l.claims, l.token))
		return l.token
	}
	fresh(hosted(v, time.Hour))
	k.verifier.Now = k.verifier.Now.Add(2 * time.Hour)
	var want []license.Token
	for range maxLicenses {
		want = append(want, fresh(nil))
	}
	all, err := m.licenses()
	fatal(t, err)
	var got []license.Token
	for _, l := range all {
		got = append(got, l.token)
	}
	same(t, "kept", want, got)
}

// Of several licenses the one that lasts longest is shown and counts first, and
// no later one passes for another that is held.
func TestLicensesThatLast(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	k, add := holder(t, v)
	short := add(1, hosted(v, time.Hour))
	long := add(1, hosted(v, 24*time.Hour))
	add(2, func(c *license.Claims) { c.ID = long.claims.ID }) // without an end
	k.choose()
	same(t, "grants", uint32(1<<1), k.held.Years("windows-7"))
	same(t, "first", long.claims.ID, k.held.Claims()[0].ID)
	bought := add(1, nil)
	k.choose()
	same(t, "first", bought.claims.ID, k.held.Claims()[0].ID)

	var err error
	ended := add(1, nil)
	k.verifier.Ended, err = license.NewEnded(map[license.ID]civil.Date{ended.claims.ID: civil.MustParse("2020-06-01")})
	fatal(t, err)
	waits := kept{refusal: problem.New(problem.Unavailable, license.ClosedListMissing)}
	never := kept{refusal: problem.New(problem.Refused, license.ClosedKey)}
	same(t, "for ever, or perhaps", 0, k.lasting(bought, waits))
	order := []kept{bought, long, short, ended, never}
	for i := range order[1:] {
		if k.lasting(order[i], order[i+1]) >= 0 || k.lasting(order[i+1], order[i]) <= 0 {
			t.Errorf("%d does not come before %d", i, i+1)
		}
	}
}

// Access requests show a bounded number of licenses, of every year before more of one.
func TestLicensesShown(t *testing.T) {
	k, add := holder(t, newVendor(t, win, "2021-03-01", history()...))
	for range license.MaxShown + 1 {
		add(1, nil)
	}
	add(2, nil)
	k.choose()
	same(t, "shown", license.MaxShown, len(k.valid))
	set, _ := license.Verify(k.verifier, k.valid)
	same(t, "years shown", uint32(1<<1|1<<2), set.Years("windows-7"))
}

// holder holds licenses that are added to it.
func holder(t *testing.T, v *vendor) (*knowledge, func(program.Year, func(*license.Claims)) kept) {
	d := licensetest.NewDevice("one")
	k := &knowledge{verifier: v.Authority.Verifier(d)}
	k.verifier.Now = v.Clock()
	return k, func(year program.Year, change func(*license.Claims)) kept {
		t.Helper()
		c := v.Authority.Claims(t, d, "windows-7", year)
		if change != nil {
			change(&c)
		}
		l := kept{number: len(k.licenses) + 1, id: c.ActivationID, token: v.Authority.Sign(t, c)}
		k.judge(&l)
		if l.refusal != nil {
			t.Fatal(l.refusal)
		}
		k.licenses = append(k.licenses, l)
		return l
	}
}

// hosted makes a license one that ends.
func hosted(v *vendor, after time.Duration) func(*license.Claims) {
	return func(c *license.Claims) {
		c.Kind, c.LastFive, c.Seat, c.ExpiresAt = license.Hosted, "", 0, license.At(v.Clock().Add(after))
	}
}
