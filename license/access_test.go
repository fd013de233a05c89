package license_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
)

var noon = time.Date(2020, time.March, 10, 12, 0, 0, 0, time.UTC)

// pass is an access token's content that gate() takes.
func (w world) pass() license.Access {
	return license.Access{
		Authority: "contoso", Audience: "contoso", Program: "windows-7", Device: w.device.Fingerprint,
		Grants:   []license.Grant{{Track: "desktop", Year: 1}, {Track: "server", Year: 2, Until: day("2021-06-08")}},
		IssuedAt: license.At(noon), ExpiresAt: license.At(noon.Add(license.AccessLifetime)),
	}
}

func (w world) gate() license.AccessVerifier {
	return license.AccessVerifier{Keys: w.Keys, Audience: "contoso", Now: noon.Add(time.Hour)}
}

func TestAccess(t *testing.T) {
	w := newWorld(t)
	token, err := license.SignAccess(w.pass(), "access-1", w.Access)
	if err != nil {
		t.Fatal(err)
	}
	a, set, err := license.VerifyAccess(w.gate(), token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.pass(), a, cmpopts.EquateComparable(civil.Date{})); diff != "" {
		t.Error(diff)
	}
	if set.Program() != "windows-7" || !set.Covers("desktop", 1, day("2020-02-11")) || set.Covers("desktop", 2, day("2021-02-09")) ||
		!set.Covers("server", 2, day("2021-06-08")) || set.Covers("server", 2, day("2021-06-09")) {
		t.Errorf("covers %v", set.Grants())
	}
}

func TestAccessRefused(t *testing.T) {
	w := newWorld(t)
	sign := func(a license.Access, kid license.KeyID, key ed25519.PrivateKey) license.Token {
		token, err := license.SignAccess(a, kid, key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	other := w.pass()
	other.Program = "server-2008"
	elsewhere := w.pass()
	elsewhere.Audience = "fabrikam-site"
	stranger := w.pass()
	stranger.Authority = "fabrikam"
	late := w.gate()
	late.Now = w.pass().ExpiresAt.Time()
	clockless := w.gate()
	clockless.Now = time.Time{}
	good := sign(w.pass(), "access-1", w.Access)
	for _, tc := range []struct {
		what  string
		gate  license.AccessVerifier
		token license.Token
		want  problem.Code
	}{
		{"as it should be", w.gate(), good, ""},
		{"at its end", late, good, license.AccessExpired},
		{"without a clock", clockless, good, license.AccessExpired},
		{"tampered", w.gate(), good[:len(good)-8] + "AAAAAAAA", license.Signature},
		{"for another gate", w.gate(), sign(elsewhere, "access-1", w.Access), license.OtherAudience},
		{"of another authority", w.gate(), sign(stranger, "access-1", w.Access), license.OtherAuthority},
		{"another program under this one's key", w.gate(), sign(other, "access-1", w.Access), license.KeyNotTrusted},
		{"under the license key", w.gate(), sign(w.pass(), "license-1", w.License), license.KeyNotTrusted},
		{"under a rogue key", w.gate(), sign(w.pass(), "access-1", licensetest.Key("rogue")), license.Signature},
		{"under an unknown key", w.gate(), sign(w.pass(), "access-9", w.Access), license.KeyNotTrusted},
		{"nonsense", w.gate(), "nonsense", license.Malformed},
	} {
		_, set, err := license.VerifyAccess(tc.gate, tc.token)
		if got := problem.CodeOf(err); got != tc.want || set.Empty() != (tc.want != "") {
			t.Errorf("%s: %q, want %q; empty %v", tc.what, got, tc.want, set.Empty())
		}
	}
	h := header{"alg": "EdDSA", "typ": license.AccessType, "kid": "access-1"}
	for what, change := range map[string]func(*license.Access){
		"a life of more than a day": func(a *license.Access) { a.ExpiresAt++ },
		"no life":                   func(a *license.Access) { a.ExpiresAt = a.IssuedAt },
		"no years":                  func(a *license.Access) { a.Grants = nil },
		"no audience":               func(a *license.Access) { a.Audience = "" },
		"a free year":               func(a *license.Access) { a.Grants[0].Year = 0 },
		"too many years":            func(a *license.Access) { a.Grants = make([]license.Grant, license.MaxGrants+1) },
	} {
		a := w.pass()
		change(&a)
		if _, err := license.SignAccess(a, "access-1", w.Access); err == nil {
			t.Errorf("%s: signed", what)
		}
		_, _, err := license.VerifyAccess(w.gate(), forge(h, a, by(w.Access)))
		if got := problem.CodeOf(err); got != license.Malformed {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestAccessRequest(t *testing.T) {
	w := newWorld(t)
	held := w.Sign(t, w.Claims(t, w.device, "desktop", 1))
	r := license.AccessRequest{
		Nonce: "n-123", Audience: "contoso", Program: "windows-7",
		Fingerprint: w.device.Fingerprint, Licenses: []license.Token{held},
	}
	text, err := license.NewAccessRequest(r, jws.InMemory(w.device.Key))
	if err != nil {
		t.Fatal(err)
	}
	got, err := license.ParseAccessRequest(text, "contoso")
	if err != nil {
		t.Fatal(err)
	}
	r.PublicKey = w.device.PublicKey
	if diff := cmp.Diff(&r, got); diff != "" {
		t.Error(diff)
	}
	v := w.verifier()
	v.Installation = got.Installation()
	if set, _ := license.Verify(v, got.Licenses); !set.Covers("desktop", 1, day("2020-02-11")) {
		t.Error("the licenses do not count for who shows them")
	}

	// A license is not a password: who copied one has not the key of its device.
	thief := licensetest.NewDevice("thief")
	text, err = license.NewAccessRequest(r, jws.InMemory(thief.Key))
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := license.ParseAccessRequest(text, "contoso")
	if err != nil {
		t.Fatal(err)
	}
	v.Installation = stolen.Installation()
	if got := verdict(v, held); got != license.OtherDevice {
		t.Errorf("a copied license: %q", got)
	}
}

func TestAccessRequestRefused(t *testing.T) {
	w := newWorld(t)
	claims := func() header {
		return header{"nonce": "n", "aud": "contoso", "program": "windows-7", "fingerprint": w.device.Fingerprint, "licenses": []string{"a.b.c"}}
	}
	h := header{"alg": "EdDSA", "typ": license.AccessRequestType, "jwk": header{"kty": "OKP", "crv": "Ed25519", "x": w.device.PublicKey.String()}}
	jwk := func(members ...string) header {
		m := header{"kty": "OKP", "crv": "Ed25519", "x": w.device.PublicKey.String()}
		for i := 0; i < len(members); i += 2 {
			m[members[i]] = members[i+1]
		}
		return header{"alg": "EdDSA", "typ": license.AccessRequestType, "jwk": m}
	}
	with := func(name string, value any) header {
		c := claims()
		c[name] = value
		return c
	}
	for _, tc := range []struct {
		what   string
		header header
		claims header
		want   problem.Code
	}{
		{"as it should be", h, claims(), ""},
		{"for somebody else", h, with("aud", "fabrikam"), license.OtherAudience},
		{"signed by another key", jwk("x", licensetest.NewDevice("there").PublicKey.String()), claims(), license.RequestSignature},
		{"with the private half", jwk("d", w.device.PublicKey.String()), claims(), license.RequestMalformed},
		{"with a key id in the key", jwk("kid", "k"), claims(), license.RequestMalformed},
		{"with another curve", jwk("crv", "Ed448"), claims(), license.RequestMalformed},
		{"with a short key", jwk("x", "AAAA"), claims(), license.RequestMalformed},
		{"with a key id", header{"alg": "EdDSA", "typ": license.AccessRequestType, "kid": "access-1"}, claims(), license.RequestMalformed},
		{"of another kind", header{"alg": "EdDSA", "typ": "esu-activation+jwt", "jwk": h["jwk"]}, claims(), license.RequestMalformed},
		{"without a nonce", h, with("nonce", ""), license.RequestMalformed},
		{"without licenses", h, with("licenses", []string{}), license.RequestMalformed},
		{"with too many licenses", h, with("licenses", strings.Split(strings.Repeat("x ", license.MaxShown), " ")), license.RequestMalformed},
		{"without a fingerprint", h, with("fingerprint", "00000000000000000000"), license.RequestMalformed},
	} {
		_, err := license.ParseAccessRequest(string(forge(tc.header, tc.claims, by(w.device.Key))), "contoso")
		if got := problem.CodeOf(err); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}
