package wire_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const emptyDigest = update.Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

// whole is a report of a device with everything in it.
func whole(t testing.TB, d licensetest.Device) wire.DeviceReport {
	t.Helper()
	facts := device.Facts{Program: "appliance-os", Edition: "standard", Arch: "x64", Components: []program.ComponentID{"a<b"}, Installed: []program.UpdateID{"BOX-1"}}
	body, err := facts.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	licenses := []license.Token{"one.one.one", "two.two.two"}
	return wire.DeviceReport{
		Audience: "vendor", Program: "appliance-os", Fingerprint: d.Fingerprint, Counter: 7, Nonce: "a-nonce", IssuedAt: 1_790_000_000,
		FactsDigest: digest(t, &facts), LicensesDigest: wire.LicensesDigest(licenses), Facts: body, Licenses: licenses,
	}
}

func digest(t testing.TB, f *device.Facts) update.Digest {
	t.Helper()
	sum, err := f.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return update.Digest(hex.EncodeToString(sum[:]))
}

// signed is any claims at all, signed as a report.
func signed(key ed25519.PrivateKey, claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	x := part(key.Public().(ed25519.PublicKey))
	text := part([]byte(`{"alg":"EdDSA","jwk":{"crv":"Ed25519","kty":"OKP","x":"`+x+`"},"typ":"esu-report+jwt"}`)) + "." + part([]byte(claims))
	return text + "." + part(ed25519.Sign(key, []byte(text)))
}

// What a device says arrives as it was said, with the key that signed it.
func TestReportsTravel(t *testing.T) {
	d := licensetest.NewDevice("one")
	all := whole(t, d)
	bare, none := all, all
	bare.Facts, bare.Licenses = nil, nil
	none.Licenses, none.LicensesDigest = nil, emptyDigest
	for name, said := range map[string]wire.DeviceReport{"whole": all, "digests alone": bare, "no licenses": none} {
		t.Run(name, func(t *testing.T) {
			text, err := wire.SignReport(said, jws.InMemory(d.Key))
			if err != nil {
				t.Fatal(err)
			}
			got, err := wire.ParseReport(text, "vendor")
			if err != nil {
				t.Fatal(err)
			}
			said.PublicKey = d.PublicKey
			if diff := cmp.Diff(said, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The claims of a report are these bytes; other makers of reports may order them
// as they like.
func TestReportClaims(t *testing.T) {
	d := licensetest.NewDevice("one")
	text, err := wire.SignReport(whole(t, d), jws.InMemory(d.Key))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"aud":"vendor","program":"appliance-os","fingerprint":"` + d.Fingerprint.String() + `","counter":7,"nonce":"a-nonce","iat":1790000000,` +
		`"factsDigest":"FACTS","licensesDigest":"LICENSES",` +
		`"facts":{"arch":"x64","components":["a\u003cb"],"edition":"standard","installed":["BOX-1"],"program":"appliance-os"},` +
		`"licenses":["one.one.one","two.two.two"]}`
	want = strings.NewReplacer("FACTS", string(whole(t, d).FactsDigest), "LICENSES", string(whole(t, d).LicensesDigest)).Replace(want)
	if diff := cmp.Diff(want, string(claims)); diff != "" {
		t.Error(diff)
	}
}

func TestReportsAreStrict(t *testing.T) {
	d := licensetest.NewDevice("one")
	sound, err := json.Marshal(whole(t, d))
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, by string) string {
		t.Helper()
		if !strings.Contains(string(sound), old) {
			t.Fatalf("%s has no %s", sound, old)
		}
		return signed(d.Key, strings.Replace(string(sound), old, by, 1))
	}
	foreign := whole(t, d)
	foreign.Audience = "another"
	elsewhere, err := wire.SignReport(foreign, jws.InMemory(d.Key))
	if err != nil {
		t.Fatal(err)
	}
	good := signed(d.Key, string(sound))
	tests := []struct {
		name, text string
		want       problem.Code
	}{
		{"sound", good, ""},
		{"sound, with blanks", change(`"counter":7`, `"counter" : 7`), ""},
		{"sound, facts without escapes", change(`\u003c`, `<`), ""},
		{"nothing", "", wire.ReportMalformed},
		{"too long", strings.Repeat("a", wire.MaxRequest+1), wire.ReportMalformed},
		{"another kind", strings.Replace(good, good[:strings.Index(good, ".")], "e30", 1), wire.ReportMalformed},
		{"another signature", good[:len(good)-8] + "AAAAAAAA", wire.ReportSignature},
		{"for another", elsewhere, wire.ReportAudience},
		{"no claims", signed(d.Key, `null`), wire.ReportMalformed},
		{"a member more", change(`"counter":7`, `"counter":7,"more":{"a":1}`), wire.ReportMalformed},
		{"a member in another's place", change(`"nonce":"a-nonce"`, `"Nonce":"a-nonce"`), wire.ReportMalformed},
		{"twice", change(`"counter":7`, `"counter":7,"counter":8`), wire.ReportMalformed},
		{"null", change(`"counter":7`, `"counter":null`), wire.ReportMalformed},
		{"counter from 1", change(`"counter":7`, `"counter":0`), wire.ReportMalformed},
		{"counter too large", change(`"counter":7`, `"counter":9223372036854775808`), wire.ReportMalformed},
		{"no nonce", change(`"a-nonce"`, `""`), wire.ReportMalformed},
		{"no fingerprint", change(d.Fingerprint.String(), strings.Repeat("0", 20)), wire.ReportMalformed},
		{"digest in upper case", change(`"factsDigest":"`, `"factsDigest":"A`), wire.ReportMalformed},
		{"facts of another digest", change(`"BOX-1"`, `"BOX-2"`), wire.ReportMalformed},
		{"facts that say what is false", change(`"edition"`, `"auditMode":false,"edition"`), wire.ReportMalformed},
		{"facts in another order", change(`"edition":"standard","installed":["BOX-1"]`, `"installed":["BOX-1"],"edition":"standard"`), wire.ReportMalformed},
		{"facts twice over", change(`"arch":"x64"`, `"arch":"x64","arch":"x64"`), wire.ReportMalformed},
		{"facts null", change(string(sound[strings.Index(string(sound), `{"arch"`):strings.Index(string(sound), `,"licenses":`)]), `null`), wire.ReportMalformed},
		{"facts of another program", change(`"program":"appliance-os","fingerprint"`, `"program":"other-os","fingerprint"`), wire.ReportMalformed},
		{"licenses of another digest", change(`"one.one.one"`, `"two.one.one"`), wire.ReportMalformed},
		{"a license of two lines", change(`"one.one.one","two.two.two"`, `"one.one.one\ntwo.two.two"`), wire.ReportMalformed},
		{"licenses without facts", signed(d.Key, withoutFacts(string(sound))), wire.ReportMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.ParseReport(tt.text, "vendor")
			if problem.CodeOf(err) != tt.want {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if p, ok := problem.As(err); ok {
				if sentence, hint := locales.New("en").Problem(p); sentence == string(p.Code) || hint == "" {
					t.Errorf("%q, %q", sentence, hint)
				}
			}
		})
	}
}

func withoutFacts(claims string) string {
	return claims[:strings.Index(claims, `,"facts":`)] + claims[strings.Index(claims, `,"licenses":`):]
}

// Nobody makes a report that nobody would take.
func TestSignReportChecks(t *testing.T) {
	d := licensetest.NewDevice("one")
	for name, spoil := range map[string]func(*wire.DeviceReport){
		"counter": func(r *wire.DeviceReport) { r.Counter = 0 },
		"facts":   func(r *wire.DeviceReport) { r.Facts = []byte(`{}`) },
		"too many licenses": func(r *wire.DeviceReport) {
			for range license.MaxShown {
				r.Licenses = append(r.Licenses, "more")
			}
			r.LicensesDigest = wire.LicensesDigest(r.Licenses)
		},
		"a long license": func(r *wire.DeviceReport) {
			r.Licenses[0] = license.Token(strings.Repeat("a", license.MaxToken+1))
			r.LicensesDigest = wire.LicensesDigest(r.Licenses)
		},
	} {
		r := whole(t, d)
		spoil(&r)
		if _, err := wire.SignReport(r, jws.InMemory(d.Key)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

// Whatever is taken can be said again and means the same.
func FuzzReport(f *testing.F) {
	d := licensetest.NewDevice("one")
	all := whole(f, d)
	bare := all
	bare.Facts, bare.Licenses = nil, nil
	for _, r := range []wire.DeviceReport{all, bare} {
		text, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add([]byte(strings.Replace(string(text), `"x64"`, `"\"\u00e9{:"`, 1)))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		got, err := wire.ParseReport(signed(d.Key, string(claims)), "vendor")
		if err != nil {
			if _, ok := problem.As(err); !ok {
				t.Fatalf("not a problem: %v", err)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(claims, &members); err != nil {
			t.Fatal(err)
		}
		known := []string{"aud", "program", "fingerprint", "counter", "nonce", "iat", "factsDigest", "licensesDigest", "facts", "licenses"}
		for name := range members {
			if !slices.Contains(known, name) {
				t.Fatalf("took %q", name)
			}
		}
		again, err := wire.SignReport(*got, jws.InMemory(d.Key))
		if err != nil {
			t.Fatal(err)
		}
		same, err := wire.ParseReport(again, "vendor")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, same, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}
